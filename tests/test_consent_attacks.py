"""Ways around the guard that somebody could try: each was walked, and ends in a refusal, a question, or no effect."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from approving import ALICE
from consenting import (
    OPERATIONS,
    Prepared,
    Scene,
    Scenes,
    addon_in,
    answer_to,
    checked_refusal,
    forged,
    leg,
    question_of,
    text_in,
)
from guarded import CHART, Person
from mcp_types import CallToolResult

from ap_mcp.guard.consent import CHANGED
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    LEGACY_IMPORT,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SUBNET_IDS,
    TEAM_SANDBOX,
)
from ap_mcp.specs import GUARDED, Catalog

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio


class Meddler(httpx.AsyncBaseTransport):
    """Leads into a simulator, and does something to its world just before chosen reads of something."""

    def __init__(self, scene: Scene, ending: str, do: Callable[[int], None]) -> None:
        self.inner = httpx.ASGITransport(scene.app)
        self.ending, self.do, self.reads = ending, do, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith(self.ending):
            self.reads += 1
            self.do(self.reads)
        return await self.inner.handle_async_request(request)


class Busy(Person):
    """A person at whose client something happens while they read."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__()
        self.do = do

    async def __call__(self, context: Any, params: Any) -> Any:
        self.do()
        return await super().__call__(context, params)


# Arguments that are checked as one thing and bound as another


@pytest.mark.parametrize("dodge", [1, 1.0, "True", "1", "yes", '"true"', [True], {"a": True}])
async def test_what_only_resembles_yes_replaces_nothing_unasked(scene_for: Scenes, dodge: Any) -> None:
    for tool, name in (("create_release", "replace"), ("upload_chart", "override"), ("update_chart", "override")):
        scene = scene_for(tool, **{name: dodge})
        async with scene.connect() as agent:
            assert f"{name}: must be a boolean" in await scene.refused(agent)


@pytest.mark.parametrize("dodge", ["true", " true\n"])
async def test_yes_as_text_is_yes_before_it_is_decided_whether_to_ask(scene_for: Scenes, dodge: str) -> None:
    for tool, name in (("create_release", "replace"), ("upload_chart", "override"), ("update_chart", "override")):
        scene = scene_for(tool, **{name: dodge})
        async with scene.connect() as agent:
            assert "approval_required" in await scene.refused(agent)


@pytest.mark.parametrize("dodge", ["", [], {}, "x", "[]", "[null]", [None], [[SUBNET_IDS[0]]], f'["{SUBNET_IDS[0]}"]'])
async def test_no_spelling_of_new_subnets_goes_out_unasked(scene_for: Scenes, dodge: Any) -> None:
    scene = scene_for("update_cluster", alias="harmless", eni_subnet_ids=dodge)
    async with scene.connect() as agent:
        said = await scene.refused(agent)
        assert "eni_subnet_ids" in said or "approval_required" in said


async def test_other_spellings_of_a_name_of_an_argument_are_no_arguments(scene_for: Scenes) -> None:
    scene = scene_for("create_release")
    del scene.arguments["replace"]
    spellings = (
        "Replace",
        "replace ",
        "\uff52eplace",
        "parameters.replace",
        "$request.query.replace",
        "/parameters/replace",
    )
    for name in spellings:
        async with scene.connect() as agent:
            said = await scene.refused(agent, {**scene.arguments, name: True})
            assert f"{name}: is no argument of create_release" in said


async def test_a_life_longer_than_allowed_is_refused_however_it_is_written(scene_for: Scenes) -> None:
    for days in (2, 2.0, "2", "2.0", True, "true", -1, 0, 1e9):
        scene = scene_for("get_cluster_certificate", duration_days=days)
        async with scene.connect(Person()) as agent:
            assert "duration_days" in await scene.refused(agent)


async def test_no_spelling_of_an_id_leads_to_another_thing_or_around_a_question(scene_for: Scenes) -> None:
    person = Person("decline")
    for spelt in (
        f"{TEAM_SANDBOX}/",
        f"{TEAM_SANDBOX}?x=1",
        f"{TEAM_SANDBOX}#",
        f"{TEAM_SANDBOX}%2f..%2f{SEARCH_DEV}",
        f"../clusters/{TEAM_SANDBOX}",
        f"{{{TEAM_SANDBOX}}}",
        "team\N{NON-BREAKING HYPHEN}sandbox",
        "team-sandboх",  # noqa: RUF001
        "TEAM-SANDBOX",
        "..",
        "",
    ):
        scene = scene_for("delete_cluster", cluster_id=spelt)
        async with scene.connect(person) as agent:
            assert re.search("No cluster is called|must not be empty", await agent.fail(scene.tool, **scene.arguments))
    assert person.read == []
    for spelt in (TEAM_SANDBOX.upper(), f" {TEAM_SANDBOX}\n"):
        scene = scene_for("delete_cluster", cluster_id=spelt)
        async with scene.connect(person) as agent:
            assert "said no" in await scene.refused(agent)
        assert f"id {TEAM_SANDBOX}" in person.read[-1]


@pytest.mark.parametrize("tool", ["delete_addon", "delete_release", "cancel_upgrade_workflow", "delete_chart"])
async def test_an_id_that_climbs_out_of_its_path_reaches_nothing(scene_for: Scenes, tool: str) -> None:
    name = {"delete_release": "name", "cancel_upgrade_workflow": "upgrade_workflow_id"}.get(tool, f"{tool[7:]}_id")
    person = Person()
    for spelt in ("..", ".", "../..", "x/../../y", "%2e%2e", "x\x00", "x\n", "*"):
        scene = scene_for(tool, **{name: spelt})
        async with scene.connect(person) as agent:
            assert (await agent.run(tool, scene.arguments)).is_error
    assert person.read == []


# Names that lead somewhere else than they did


async def test_two_clusters_of_one_name_are_named_by_id_before_a_person_is_asked(scene_for: Scenes) -> None:
    scene, person = scene_for("delete_cluster", cluster_id="sandbox"), Person()
    for cluster_id in (TEAM_SANDBOX, LEGACY_IMPORT):
        scene.world.table("clusters")[cluster_id]["metadata"]["alias"] = "sandbox"
    scene.begin()
    async with scene.connect(person) as agent:
        said = await agent.fail("delete_cluster", **scene.arguments)
    assert TEAM_SANDBOX in said
    assert LEGACY_IMPORT in said
    assert person.read == []


async def test_a_name_that_is_given_to_another_cluster_between_two_legs_is_asked_about_anew(scene_for: Scenes) -> None:
    scene = scene_for("delete_cluster", cluster_id="sandbox")
    clusters = scene.world.table("clusters")
    clusters[TEAM_SANDBOX]["metadata"]["alias"] = "sandbox"
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
        clusters[TEAM_SANDBOX]["metadata"]["alias"] = "team-sandbox"
        clusters[PAYMENTS_PROD]["metadata"]["alias"] = "sandbox"
        scene.begin()
        again = await question_of(agent, scene, **answer_to(asked))
        assert '"payments-prod"' in again.model_dump()["input_requests"]["consent"]["params"]["message"]


async def test_what_a_person_types_is_the_name_of_what_is_acted_on_not_what_the_agent_called_it(
    scene_for: Scenes,
) -> None:
    scene = scene_for("delete_cluster", cluster_id="harmless")
    scene.world.table("clusters")[PAYMENTS_PROD]["metadata"]["alias"] = "harmless"
    scene.begin()
    async with scene.connect(Person(typed="harmless")) as agent:
        assert 'The name typed was not "payments-prod"' in await scene.refused(agent)


# Things that change after somebody agreed


async def test_settings_that_change_while_a_person_reads_are_asked_about_again(scene_for: Scenes) -> None:
    scene = scene_for("update_addon", "legacy")
    values = addon_in(scene.world, SEARCH_DEV, "log-agent")["spec"]["values"]

    def meddle(number: int) -> None:
        # The 1st read is for the form and for what is filled in, the 2nd for both again, after the answer.
        if number == 2:
            values["slipped"] = "in"

    person = Person()
    wire = Meddler(scene, scene.arguments["addon_id"], meddle)
    async with scene.connect(person, transport=wire) as agent:
        await scene.done(agent)
    assert [CHANGED in each for each in person.read] == [False, True]


async def test_a_file_that_is_swapped_while_a_person_reads_is_not_sent(
    scene_for: Scenes, prepared: Prepared, tmp_path: Path
) -> None:
    path = tmp_path / CHART
    path.write_bytes((prepared.folder / CHART).read_bytes())
    head = "apiVersion: v2\nname: redis\nversion: 18.6.1\n"
    evil = {"Chart.yaml": head, "values.yaml": "replicas: 666\n", "templates/service.yaml": "kind: Service\n"}

    def swap() -> None:
        path.write_bytes(build_chart("redis", evil))

    for mode in ("auto", "legacy"):
        path.write_bytes((prepared.folder / CHART).read_bytes())
        scene, person = scene_for("upload_chart", mode), Busy(swap)
        scene.charts = tmp_path
        async with scene.connect(person) as agent:
            await scene.done(agent)
        sent = next(each for each in scene.world.table("charts").values() if each["name"] == "redis")
        # Between two legs the new file was asked about; while the call waited, the old one was held.
        assert len(person.read) == (2 if mode == "auto" else 1)
        assert ("666" in json.dumps(sent)) == (mode == "auto")


async def test_a_rule_that_comes_to_fit_while_a_person_reads_is_obeyed(scene_for: Scenes, tmp_path: Path) -> None:
    rules = {
        "deny": ('decision = "deny"', "No consent lifts this"),
        "ask": ('decision = "ask"\napprover = "other"', "approval_required"),
    }
    for name, (decision, said) in rules.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(f'[[rules]]\n{decision}\ntags = {{ frozen = "*" }}\n')
        scene = scene_for("delete_cluster", "legacy")
        cluster = scene.world.table("clusters")[TEAM_SANDBOX]

        def freeze(scene: Scene = scene, cluster: dict[str, Any] = cluster) -> None:
            cluster["spec"]["clusterTags"] = [{"key": "frozen", "value": ""}]
            scene.begin()

        async with scene.connect(Busy(freeze), policy_file=path) as agent:
            assert said in await scene.refused(agent)


# Tools that seem only to read


def test_what_reads_only_sends_nothing_but_reads(catalog: Catalog) -> None:
    assert {each.method for each in catalog.values() if each.worst_effect == "read"} == {"GET"}
    reads = {fill.operation for each in catalog.values() for fill in each.fill}
    reads |= {each.target.read for each in catalog.values() if each.target}
    reads |= {each.wait.operation for each in catalog.values() if each.wait}
    assert {catalog[name].worst_effect for name in reads} == {"read"}


def test_whatever_deletes_or_hands_out_a_key_is_guarded_without_any_arguments(catalog: Catalog) -> None:
    grave = {each.id for each in catalog.values() if each.method == "DELETE"}
    grave |= {name for name in catalog if name.startswith(("delete", "cancel"))}
    grave -= {"delete_maintenance_window"}  # ends what the service does by itself, and is put back in one call
    grave |= {"get_cluster_certificate", "retry_upgrade", "rollback_addon"}
    assert {catalog[name].effect for name in grave} <= GUARDED


async def test_waiting_is_no_way_to_call_something_else(scene_for: Scenes) -> None:
    scene = scene_for("delete_cluster")
    async with scene.connect(Person()) as agent:
        for kind in ("delete_cluster", "get_cluster_certificate", "kubeconfig", "", "cluster/"):
            assert "kind: must be one of" in checked_refusal(await agent.fail("wait_for", kind=kind, id=TEAM_SANDBOX))
        assert "is no argument of wait_for" in await agent.fail(
            "wait_for", kind="cluster", id=TEAM_SANDBOX, confirmation_token="x"
        )


async def test_a_rule_that_asks_about_a_read_holds_for_waiting_too(scene_for: Scenes, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "ask"\ntools = ["get_cluster"]\n')
    scene = scene_for("delete_cluster")
    async with scene.connect(policy_file=path) as agent:
        said = await agent.fail("wait_for", kind="cluster", id=TEAM_SANDBOX, wait_s=1)
    assert "A rule of the operator wants a person asked before get_cluster" in checked_refusal(said)
    assert scene.app.state.log == []


async def test_a_rule_of_a_cluster_holds_for_waiting_too(scene_for: Scenes, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["wait_for"]\nclusters = ["team-*"]\n')
    scene = scene_for("delete_cluster")
    async with scene.connect(policy_file=path) as agent:
        for named in (TEAM_SANDBOX, "team-sandbox"):
            assert "wait_for on cluster" in await agent.fail("wait_for", kind="cluster", id=named, wait_s=0)
        await agent.call("wait_for", kind="cluster", id=SEARCH_DEV, wait_s=0)


async def test_a_question_of_one_tool_does_not_help_to_name_a_cluster_for_another(
    scene_for: Scenes, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["list_clusters"]\n')
    scene = scene_for("delete_cluster", "auto")
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
    async with scene.connect(Person(), policy_file=path) as agent:
        tags = {"cluster_id": "team-sandbox", "tags": {"a": "b"}}
        result = await leg(agent, scene, tool="add_cluster_tags", arguments=tags, **answer_to(asked))
        assert "list_clusters is denied" in text_in(result)


async def test_a_read_that_a_rule_asks_about_is_asked_about_and_then_made(scene_for: Scenes, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "ask"\ntools = ["get_*"]\n')
    scene = scene_for("delete_cluster", "legacy")
    person = Person()
    async with scene.connect(person, policy_file=path) as agent:
        await agent.call("get_cluster", cluster_id=TEAM_SANDBOX)
        await agent.call("get_log_config", cluster_id=TEAM_SANDBOX)
        assert len(person.read) == 2
        person.action = "decline"
        await agent.fail("get_cluster", cluster_id=TEAM_SANDBOX)
        assert agent.sent == ["get_cluster", "get_log_config"]


async def test_a_rule_of_a_cluster_holds_for_the_records_of_its_jobs(scene_for: Scenes, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\nclusters = ["legacy-*"]\n')
    scene = scene_for("delete_job_record", "legacy")
    person = Person()
    async with scene.connect(person, policy_file=path) as agent:
        assert 'on cluster "legacy-import" is denied' in await scene.refused(agent)
        assert person.read == []
    path.write_text('[[rules]]\ndecision = "deny"\nclusters = ["shop-*"]\n')
    async with scene.connect(person, policy_file=path) as agent:
        scene.world.table("clusters")[LEGACY_IMPORT]["metadata"]["name"] = "shop-new"
        scene.begin()
        assert 'on cluster "shop-new" is denied' in await scene.refused(agent)
        scene.world.table("clusters")[LEGACY_IMPORT]["metadata"]["name"] = "another"
        scene.begin()
        await scene.done(agent)
    assert len(person.read) == 1


async def test_a_token_is_offered_only_by_tools_that_take_one(scene_for: Scenes, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "ask"\ntools = ["install_addon"]\n')
    scene = scene_for("delete_addon")
    async with scene.connect(confirm="token", policy_file=path) as agent:
        said = await agent.fail("install_addon", cluster_id=TEAM_SANDBOX, template_name="log-agent")
        assert said.startswith("approval_required")
        assert "confirmation_token" not in said


# Dry runs


@pytest.mark.parametrize("dodge", [1, "True", "yes", "", "null", [], 0])
async def test_only_true_is_a_dry_run_and_anything_else_that_resembles_it_is_refused(
    scene_for: Scenes, dodge: Any
) -> None:
    scene = scene_for("delete_cluster")
    async with scene.connect(Person()) as agent:
        assert "dry_run: must be a boolean" in await scene.refused(agent, dry_run=dodge)


async def test_a_dry_run_that_is_left_out_as_null_or_given_as_text_is_what_it_says(scene_for: Scenes) -> None:
    scene = scene_for("delete_cluster")
    async with scene.connect() as agent:
        for not_wanted in (None, "false"):
            assert "approval_required" in await scene.refused(agent, dry_run=not_wanted)
        shown = await agent.call(scene.tool, **scene.arguments, dry_run="true")
        assert shown["summary"].startswith("Dry run: nothing was sent")
        assert scene.changes == []


async def test_a_dry_run_uses_no_consent_up_and_asks_no_person(scene_for: Scenes) -> None:
    scene, person = scene_for("delete_cluster"), Person()
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
        shown = await agent.call(scene.tool, **scene.arguments, confirmation_token=token, dry_run=True)
        assert shown["summary"].startswith("Dry run: nothing was sent")
        assert scene.changes == []
        assert "approval_required" in await scene.refused(agent, dry_run=False)
        await scene.done(agent, confirmation_token=token)
    scene = scene_for("delete_cluster")
    async with scene.connect(person) as agent:
        await agent.call(scene.tool, **scene.arguments, dry_run=True)
    assert person.read == []


# What is not shown cannot be agreed to


OPTIONS: dict[str, dict[str, Any]] = {
    "update_cluster": {"alias": "other-name", "description": "other text"},
    "delete_cluster": {
        **dict.fromkeys(("delete_efs", "delete_eni", "delete_net", "delete_sfs30"), "try"),
        "delete_obs": "block",
        "lts_reclaim_policy": "Retain",
    },
    "set_cluster_public_access": {},
    "update_addon": {"target_version": "1.7.1", "values": {"flavor": {"replicas": 4}}, "reset_values": True},
    "upgrade_cluster": {
        "addons": [{"name": "coredns", "version": "1.30.29", "values": {"stub": {"domain": "example.com"}}}],
        "batch_size": 7,
        "batch_scope": "NodePool",
        "pool_order": {"pool-77": 3},
        "node_order": {"pool-78": [{"nodeSelector": {"key": "zone", "operator": "in", "value": ["a"]}, "priority": 1}]},
    },
    "upload_chart": {"skip_lint": True, "visible": True},
    "update_chart": {"skip_lint": True, "visible": True},
    "create_release": {"values": {"replicas": 7}, "no_hooks": True, "check_only": True},
    "update_release": {
        **dict.fromkeys(("reset_values", "recreate", "include_hooks", "check_only"), True),
        "values": {"replicas": 7},
    },
}
"""Options of guarded tools, each with a value that makes a difference."""
SAME_ANYWAY = {
    "cluster_id": "shown as the target",
    "chart_id": "shown as the target, or as the chart",
    "version": "of create_release: shown with the chart",
    "description": "of create_release: free text that does nothing",
    "override": "an upload that overwrites says so; without it the service refuses",
    "replace": "as override",
    "revision": "for a rollback, which names it",
    "action": "the sentence",
    "target_version": "the sentence; for an add-on here the version it has",
}


async def test_every_option_of_a_guarded_call_shows_in_what_a_person_is_asked(
    scene_for: Scenes, prepared: Prepared, catalog: Catalog
) -> None:
    for tool in OPERATIONS:
        arguments = prepared.calls[tool]
        options = set(catalog[tool].arguments) - set(OPTIONS.get(tool, {})) - set(SAME_ANYWAY) - set(arguments)
        assert not options, f"{tool}: {options} need a value here"
        scene = scene_for(tool)
        async with scene.connect() as agent:
            plain = await agent.call(tool, **arguments, dry_run=True)
            for name, value in OPTIONS.get(tool, {}).items():
                shown = await agent.call(tool, **{**arguments, name: value}, dry_run=True)
                is_shown = shown["impact"] != plain["impact"] or shown.get("warnings") != plain.get("warnings")
                assert is_shown or name in SAME_ANYWAY, f"{tool}: {name} is not shown"


# Whose approval, for which account


async def test_an_approval_for_one_project_is_none_for_another(
    scene_for: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_for("upload_chart")
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question, ALICE)

        async def another() -> str:
            return "0" * 32

        monkeypatch.setattr(agent.autopilot.gateway, "project_id", another)
        assert (await scene.waits(agent)).code != question.code


async def test_a_client_that_makes_up_answers_without_a_question_is_asked(scene_for: Scenes) -> None:
    scene = scene_for("retry_upgrade")
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
        answered = answer_to(asked)
        await question_of(agent, scene, **{**answered, "request_state": None})
        for state in ("", "v1.", "{}", json.dumps({"tool": scene.tool, "id": "x", "round": 1})):
            await forged(agent, scene, **{**answered, "request_state": state})
        result = await leg(agent, scene, tool="upgrade_cluster", arguments={"cluster_id": CHECKOUT_STAGING}, **answered)
        assert isinstance(result, CallToolResult)
        assert result.is_error
