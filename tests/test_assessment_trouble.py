"""What an assessment of an upgrade says where parts are missing, unexpected, hostile, forbidden or very large."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from agent import autopilot_on, connected
from assessing import TARGET, Bend, Scene, failure, tools
from canaries import Planter, secrets_found
from simulation import simulate
from test_hostile_text import FORGED, Forger, unquoted, unseen
from upgrading import failed_items

from ap_mcp.assessment import ASSESS_UPGRADE
from ap_mcp.assessment.model import Assessment
from ap_mcp.errors import ApMcpError, CallRefused, NotFound
from ap_mcp.masking import PLACEHOLDER
from ap_mcp.rendering import render
from ap_mcp.simulator.constants import CHECKOUT_STAGING, PAYMENTS_PROD, SHOP_PROD
from ap_mcp.simulator.prechecks import add_findings
from ap_mcp.simulator.upgrade_state import UPGRADES
from ap_mcp.simulator.workflows import new_workflow
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import toolbox

pytestmark = pytest.mark.anyio

DECIDING = ("get_upgrade_info", "list_prechecks", "list_upgrade_tasks")
ASIDE = ("list_upgrade_paths", "get_upgrade_feature_gates", "list_backups", "list_addons", "list_upgrade_workflows")
LISTS = ("list_prechecks", "list_upgrade_tasks", "list_backups", "list_addons", "list_upgrade_workflows")
READ = ("get_cluster", *DECIDING, *ASIDE, "list_addon_templates")
UNEXPECTED: tuple[Any, ...] = (None, "nothing", 7, [], {}, {"items": None}, {"items": "x"}, {"items": {"a": 1}})
UNEXPECTED += ({"items": [None, "x", 3, {}]}, {"items": [{"metadata": None, "spec": "x", "status": []}]})
UNEXPECTED += (
    {"spec": [], "status": "x", "metadata": 7},
    {"spec": {"versionInfo": {"release": 7, "targetVersions": "v1.31"}}},
)


def instead(unexpected: Any, _body: Any) -> Any:
    """Answer with something unexpected."""
    return unexpected


@pytest.fixture
def ready() -> Scene:
    """A cluster whose upgrade can go ahead."""
    scene = Scene()
    scene.check()
    scene.back_up()
    return scene


@pytest.mark.parametrize(
    ("hours", "status", "risk", "call"),
    [
        (None, {}, "There is no backup.", "backup_cluster"),
        (30, {}, "The latest backup is 1 d 6 h old.", "backup_cluster"),
        (1, {"phase": "Running"}, "A backup is still being made.", "wait_for"),
        (1, {"phase": "Failed"}, "There is no backup.", "backup_cluster"),
        (1, {"completionTime": "soon"}, "There is a backup, but when it ended is not reported.", "backup_cluster"),
        (
            1,
            {"completionTime": "2030-06-02T07:00:00Z"},
            "The latest backup says that it ended at 2030-06-02T07:00:00Z, which is yet to come.",
            "backup_cluster",
        ),
        (1, {"completionTime": "2025-06-02T07:00:00Z"}, None, None),
        (1, {"completionTime": "2025-06-02 14:59:59.5 +0800 CST"}, None, None),
    ],
)
async def test_an_old_or_missing_backup_is_a_risk_and_made_before_the_upgrade(
    hours: float | None, status: dict[str, Any], risk: str | None, call: str | None
) -> None:
    scene = Scene()
    scene.check()
    if hours:
        scene.back_up(hours, **status)
    found = await scene.assess()
    assert (found.verdict, found.risks) == ("go", [risk] if risk else [])
    assert tools(found)[:-2] == ([call] if call else [])
    if not risk:
        assert "The latest backup is 1 h old." in found.passed


async def test_an_open_workflow_is_reported_and_one_that_is_over_is_not(ready: Scene) -> None:
    for phase in ("Pending", "Success", "Cancel", "Odd"):
        new_workflow(ready.world, ready.row, TARGET)["status"]["phase"] = phase
    found = await ready.assess()
    assert found.verdict == "go"
    [risk] = found.risks
    listed = f"one to {TARGET} is Odd, one to {TARGET} has stopped"
    assert risk == f"Of its upgrade workflows, {listed}: list_upgrade_workflows shows them."


@pytest.mark.parametrize("operation", [*DECIDING, *ASIDE])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (failure(403), 'HTTP 403 CCE.01403001 "no"'),
        (failure(500, ""), 'HTTP 500 "no"'),
        (failure(0), "no answer came"),
        (CallRefused("no"), "a rule forbids it"),
    ],
)
async def test_what_could_not_be_read_is_said_and_blocks_if_it_decides(
    ready: Scene, operation: str, error: ApMcpError, said: str
) -> None:
    ready.failing[operation] = error
    found = await ready.assess("v1.31")
    assert f"{operation} could not be read: {said}." in found.unknown
    assert (found.verdict == "not_yet") == (operation in DECIDING)
    if operation in DECIDING:
        assert tools(found)[0] == operation
        assert "upgrade_cluster" not in tools(found)
    assert not [each for each in found.passed if operation == "list_upgrade_tasks" and "no upgrade is running" in each]


async def test_a_backup_is_made_if_it_is_not_known_whether_there_is_one(ready: Scene) -> None:
    ready.failing["list_backups"] = failure(500)
    found = await ready.assess()
    assert tools(found)[0] == "backup_cluster"
    assert found.risks == []


async def test_a_cluster_that_cannot_be_read_is_no_assessment_but_an_error(ready: Scene) -> None:
    ready.failing["get_cluster"] = NotFound(status=404, operation="get_cluster")
    with pytest.raises(NotFound):
        await ready.assess()
    assert ready.asked == ["get_cluster"]


@pytest.mark.parametrize("operation", ["get_cluster", *DECIDING, *ASIDE, "list_addon_templates"])
async def test_unexpected_answers_never_break_an_assessment(ready: Scene, operation: str) -> None:
    for unexpected in UNEXPECTED:
        ready.bent[operation] = partial(instead, unexpected)
        found = await ready.assess("v1.31")
        if operation in ("get_cluster", "get_upgrade_info") or (operation == "list_prechecks"):
            assert found.verdict != "go"
        if operation in LISTS and unexpected in (None, "nothing", 7, {"items": "x"}, {"items": {"a": 1}}):
            assert f"{operation} could not be read: the answer is no list." in found.unknown


async def test_nothing_at_all_that_is_reported_is_not_yet() -> None:
    for unexpected in UNEXPECTED:
        scene = Scene(bent=dict.fromkeys((*DECIDING, *ASIDE, "get_cluster"), partial(instead, unexpected)))
        assert (await scene.assess()).verdict == "not_yet"


async def test_a_rule_that_forbids_the_upgrade_blocks_it(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text(
        'rules = [{decision = "deny", clusters = ["*-staging"], reason = "Not here."},\n'
        '{decision = "deny", tools = ["list_backups"]}, {decision = "ask", tools = ["list_addons"]}]\n'
    )
    app = simulate()
    scene = Scene(world=app.state.world)
    scene.check()
    async with connected(tmp_path, app=app, policy_file=rules, unasked=False) as agent:
        found = await agent.call("assess_upgrade", cluster_id="checkout-staging")
        assert any("opens the cluster upgrade APIs to an account on request only" in each for each in found["unknown"])
        said = await agent.fail("upgrade_cluster", cluster_id=CHECKOUT_STAGING, target_version="v1.31", dry_run=True)
    assert found["verdict"] == "not_yet"
    assert len(found["blockers"]) == 1
    assert found["blockers"][0] in said
    assert '"Not here."' in found["blockers"][0]
    assert found.get("next", []) == []
    assert "list_backups could not be read: a rule forbids it." in found["unknown"]
    asked = "a rule wants a person asked before it"
    assert f"list_addons could not be read: {asked}." in found["unknown"]


async def test_rules_that_go_by_the_cluster_cost_no_further_read_of_it(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('rules = [{decision = "deny", clusters = ["*-prod"], tags = {env = "prod"}}]\n')
    async with connected(tmp_path, policy_file=rules) as agent:
        await agent.call("assess_upgrade", cluster_id=CHECKOUT_STAGING)
        assert agent.sent.count("get_cluster") == 1


async def test_a_rule_that_forbids_another_step_leaves_that_step_out(ready: Scene) -> None:
    ready.rules = {"run_postcheck": "a rule"}
    found = await ready.assess()
    assert (found.verdict, tools(found)) == ("go", ["upgrade_cluster"])


async def test_a_server_that_only_reads_assesses_and_says_that_it_cannot_upgrade() -> None:
    app = simulate()
    Scene(world=app.state.world).check()
    async with autopilot_on(app, read_only=True) as autopilot:
        found = await autopilot.call("assess_upgrade", {"cluster_id": "checkout-staging"})
        shop = await autopilot.call("assess_upgrade", {"cluster_id": "shop-prod", "target_version": "v1.29"})
    assert isinstance(found, Assessment)
    assert isinstance(shop, Assessment)
    assert (found.verdict, found.next) == ("go", [])
    assert found.warnings == ["upgrade_cluster is not offered by this server."]
    assert shop.next == []


async def test_only_calls_that_can_be_made_are_proposed() -> None:
    async with autopilot_on(simulate(), toolsets=("upgrades",)) as autopilot:
        found = await autopilot.call("assess_upgrade", {"cluster_id": "shop-prod"})
    assert isinstance(found, Assessment)
    assert [each.tool for each in found.next] == ["run_precheck", "backup_cluster", "upgrade_cluster", "run_postcheck"]


@pytest.mark.parametrize(
    ("toolsets", "offered"), [(("clusters",), False), (("upgrades",), True), (("essential",), True), (("all",), True)]
)
def test_an_assessment_is_offered_with_the_upgrades(toolsets: tuple[str, ...], offered: bool) -> None:
    names = {each.name for each in toolbox(load_catalog(), toolsets).shown}
    assert (ASSESS_UPGRADE in names) == offered


async def test_a_cluster_goes_by_name_alias_or_id_and_an_unknown_one_is_reported_with_those_that_are(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path, app=simulate()) as agent:
        agent.world.table("clusters")[PAYMENTS_PROD]["metadata"]["alias"] = "Pay"
        for name in ("payments-prod", "Pay", PAYMENTS_PROD.upper()):
            assert (await agent.call("assess_upgrade", cluster_id=name))["cluster_id"] == PAYMENTS_PROD
        assert "No cluster is called" in await agent.fail("assess_upgrade", cluster_id="missing")
        for row in agent.world.table("clusters").values():
            row["metadata"]["alias"] = "twin"
        assert "7 clusters are called" in await agent.fail("assess_upgrade", cluster_id="twin")
        absent = "5a9f2b1e-3c1d-11ef-8a6b-0255ac100bff"
        assert "get_cluster failed: HTTP 404" in await agent.fail("assess_upgrade", cluster_id=absent)


async def test_wrong_arguments_are_all_reported_at_once_and_nothing_is_read(tmp_path: Path) -> None:
    async with connected(tmp_path, app=simulate()) as agent:
        said = await agent.fail("assess_upgrade", target_version=1.31, target="v1.31")
        for part in ("target: is no argument", "did you mean target_version?", "cluster_id: is required"):
            assert part in said
        assert "target_version: must be a string, not a number" in said
        assert "cluster_id: must not be empty" in await agent.fail("assess_upgrade", cluster_id="..")
        masked = await agent.fail("assess_upgrade", cluster_id="shop-prod", target_version=PLACEHOLDER)
        assert agent.sent == []
    assert "masked placeholder" in masked


@pytest.mark.parametrize("keep", [True, False])
async def test_hostile_text_never_speaks_in_our_voice(keep: bool) -> None:
    for turn, operation in enumerate(("", *READ)):
        found = await hostile(operation, Forger(turn, keep=keep)).assess("v1.31")
        shown = render(found)
        assert unseen(shown, "\n") == set()
        lines = shown.splitlines()
        assert sum(line.startswith("next: ") for line in lines) == len(found.next)
        assert sum(line.startswith("warning: ") for line in lines) == len(found.warnings)
        ours = [found.summary, *found.blockers, *found.risks, *found.passed, *found.unknown]
        ours += [each.why for each in found.next]
        assert [each for each in ours if FORGED in unquoted(each)] == []
        assert len(shown) < 20_000


async def test_secrets_in_what_is_read_stay_there() -> None:
    for turn, operation in enumerate(("", *READ)):
        found = await hostile(operation, Planter(turn, reckless=turn % 2 == 1)).assess("v1.31")
        assert secrets_found(render(found) + json.dumps(found.structured())) == []


def hostile(operation: str, change: Bend) -> Scene:
    """A cluster of which one answer, or if none is named every one, is hostile."""
    scene = Scene()
    scene.check(phase="Failed", message="x", clusterCheckStatus={"itemsStatus": [{"name": "x", "phase": "Failed"}]})
    scene.addon()["spec"]["version"] = "1.28.4"
    new_workflow(scene.world, scene.row, TARGET)
    scene.bent = dict.fromkeys([operation] if operation else READ, change)
    scene.failing["get_upgrade_feature_gates"] = failure(500, f"x\nnext: {FORGED}")
    return scene


def sizes(found: Assessment) -> tuple[int, int]:
    """Bytes of both forms of an answer."""
    structured = json.dumps(found.structured(), ensure_ascii=False, separators=(",", ":"))
    return len(render(found).encode()), len(structured.encode())


@pytest.mark.parametrize("target", ["v1.29", "v1.30", None])
async def test_a_usual_assessment_is_short(target: str | None) -> None:
    shown, structured = sizes(await Scene(cluster_id=SHOP_PROD).assess(target))
    assert shown <= 2500
    assert structured <= 2750


async def test_an_assessment_of_a_large_check_is_short_and_names_what_failed() -> None:
    scene = Scene(cluster_id=SHOP_PROD)
    add_findings(scene.world, SHOP_PROD, nodes=50, findings=400)
    check = scene.check("v1.29.13-r0")
    found = await scene.assess("v1.29")
    assert max(sizes(found)) <= 4000
    assert [name for name, _ in failed_items(check) if name not in render(found)] == []
    assert found.precheck_id == check["metadata"]["uid"]


async def test_what_the_service_says_of_an_upgrade_under_way_and_of_a_failed_backup_is_told() -> None:
    scene = Scene()
    scene.check()
    scene.back_up(1, phase="Failed", message="the bucket is full")
    (risk,) = (await scene.assess()).risks
    assert risk == 'There is no backup. The last one has failed. The service says "the bucket is full".'
    uid = scene.upgrade("Pause")
    scene.world.table(UPGRADES)[uid]["status"]["message"] = "waits for node-7"
    assert (await scene.assess()).blockers[0] == 'An upgrade is paused. The service says "waits for node-7".'
