"""Guard, summaries, assessment and waits read each fact of the cloud in the same way, whatever it is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from assessing import TARGET, Scene
from hypothesis import given
from hypothesis import strategies as st
from impacts import Judge, judge, open_workflow
from waiting import Answered

from ap_mcp.assessment.addons import fitness_of
from ap_mcp.assessment.model import UpgradeReads
from ap_mcp.errors import CallRefused
from ap_mcp.guard.facts import cluster_facts
from ap_mcp.rules.addons import needs_reinstall, runs_on, why_no_rollback
from ap_mcp.rules.clusters import exact_tags, tags_of
from ap_mcp.rules.deletion import chosen
from ap_mcp.rules.findings import count_of, counted, findings_of
from ap_mcp.rules.phases import ADDON, CLUSTER, PRECHECK, RELEASE, UPGRADE, WORKFLOW, phases_of
from ap_mcp.rules.upgrades import cancellable
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.specs import Catalog, load_catalog
from ap_mcp.specs.waits import PHASE_VERDICTS
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.summaries.addon_templates import TemplateList
from ap_mcp.summaries.checks import Precheck, PrecheckList
from ap_mcp.summaries.upgrade_workflows import Workflow
from ap_mcp.vendor import dated, get, stamp
from ap_mcp.wait.poller import Ending
from ap_mcp.wait.result import waited as end_of
from ap_mcp.wait.targets import Order, waitables

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 29, 8, 7, tzinfo=UTC)
UNKNOWN = "Dreaming"


def phases(kind: str) -> list[str]:
    """All phases of a kind, and one that nothing knows."""
    wait = phases_of(kind)
    return [*(phase for name in PHASE_VERDICTS for phase in getattr(wait, name)), UNKNOWN]


def shown(tool: str, body: Any, **arguments: Any) -> Any:
    """What an agent reads of an answer."""
    return summarise(Observation(load_catalog()[tool], arguments, body, now=NOW))


def waits(result: Result) -> bool:
    """Whether an answer proposes to wait."""
    return "wait_for" in [each.tool for each in result.next]


def waited(kind: str, body: Any) -> str:
    """How a wait judges an answer."""
    known = waitables(load_catalog().values(), load_catalog())[kind]
    return Order(known, {"kind": kind, "id": "x", "cluster_id": "c", "namespace": "n"}).verdict(body)


@contextmanager
def bent(cloud: Judge, tool: str, pointer: str, value: Any) -> Iterator[None]:
    """Let another value stand in the answers of a read."""

    def change(body: Any) -> Any:
        copy = json.loads(json.dumps(body))
        *way, last = pointer.split("/")[1:]
        node = copy
        for step in way:
            node = node[step]
        node[last] = value
        return copy

    before = cloud.bent.get(tool)
    cloud.bent[tool] = change
    yield
    cloud.bent.pop(tool)
    if before is not None:
        cloud.bent[tool] = before


def answering(body: Any) -> Any:
    """Return what makes an answer of a read that arrives."""
    return lambda _: body


async def outcome(cloud: Judge, tool: str, **arguments: Any) -> tuple[str, tuple[str, ...]]:
    """Why a call is refused, or empty; and what its question warns of."""
    try:
        return "", (await cloud.impact(tool, **arguments)).warnings
    except CallRefused as refusal:
        return refusal.render(), ()


async def test_whether_something_is_under_way_in_a_cluster_is_one_answer() -> None:
    async with judge() as cloud:
        row = await cloud.send("get_cluster", cluster_id=TEAM_SANDBOX)
        for phase in phases(CLUSTER):
            verdict = phases_of(CLUSTER).verdict(phase)
            with bent(cloud, "get_cluster", "/status/phase", phase):
                refusal, warnings = await outcome(cloud, "delete_cluster", cluster_id=TEAM_SANDBOX)
            body = {**row, "status": {**row["status"], "phase": phase}}
            read = shown("get_cluster", body, cluster_id=TEAM_SANDBOX)
            assert bool(refusal) == (verdict == "deleting"), phase
            assert ("something is under way" in " ".join(warnings)) == (verdict == "transitional"), phase
            busy = verdict in ("transitional", "deleting", None)
            assert waits(read) == busy, phase
            assert (waited("cluster", body) == "running") == busy, phase
            assert ("nothing runs in it" in " ".join(read.warnings)) == (verdict == "idle"), phase


async def test_only_a_cluster_that_works_can_be_upgraded_whichever_part_is_asked() -> None:
    for phase in phases(CLUSTER):
        scene = Scene()
        scene.check()
        scene.row["status"]["phase"] = phase
        found = await scene.assess(TARGET)
        works = phases_of(CLUSTER).verdict(phase) == "success"
        assert (found.verdict == "go") == works, phase
        assert (await scene.refusal(TARGET) == "") == works, phase


def workflow(phase: str, upgrade: str) -> dict[str, Any]:
    """An upgrade workflow whose upgrade is in a state; empty for one that was not started."""
    point = {"taskType": "Cluster", **({"taskID": "t1", "status": upgrade} if upgrade else {})}
    status = {"pointStatuses": [{"taskType": "PreCheck", "status": "Success"}, point]}
    return {
        "metadata": {"uid": "w1"},
        "spec": {"clusterID": SEARCH_DEV, "clusterVersion": "v1.30.1-r0", "targetVersion": TARGET},
        "status": {**status, **({"phase": phase} if phase else {})},
    }


FORBIDDEN_WORKFLOWS = ("Running", "Success", "Cancel")
FORBIDDEN_UPGRADES = ("Running", "Init", "Pause", "Queuing", "Queueing")
"""By section 4.3.17 of the reference."""


async def test_a_workflow_can_be_cancelled_exactly_where_the_reference_does_not_forbid_it() -> None:
    every = [(phase, upgrade) for phase in [*phases(WORKFLOW), ""] for upgrade in [*phases(UPGRADE), "Queueing", ""]]
    allowed = set()
    async with judge() as cloud:
        opened = await open_workflow(cloud, SEARCH_DEV)
        for phase, upgrade in every:
            body = workflow(phase, upgrade)
            cloud.bent["get_upgrade_workflow"] = answering(body)
            refusal, _ = await outcome(cloud, "cancel_upgrade_workflow", **opened)
            read = shown("get_upgrade_workflow", body, **opened)
            assert isinstance(read, Workflow)
            says = cancellable(body)
            assert says.allowed == read.can_cancel == (not refusal), (phase, upgrade)
            assert bool(read.why_not) != says.allowed, (phase, upgrade)
            allowed |= {(phase, upgrade)} if says.allowed else set()
    known = [(phase, upgrade) for phase, upgrade in every if phase not in (UNKNOWN, "") and upgrade != UNKNOWN]
    forbidden = {
        (phase, upgrade) for phase, upgrade in known if phase in FORBIDDEN_WORKFLOWS or upgrade in FORBIDDEN_UPGRADES
    }
    assert allowed == set(known) - forbidden


def test_an_upgrade_that_is_under_way_by_its_own_task_forbids_cancelling_too() -> None:
    body = workflow("Pending", "Failed")
    assert cancellable(body, [{"metadata": {"uid": "t1"}, "status": {"phase": "Failed"}}]).allowed
    found = cancellable(body, [{"metadata": {"uid": "t1"}, "status": {"phase": "Running"}}])
    assert (found.allowed, found.obstacle, found.phase, found.task_id) == (False, "upgrade", "Running", "t1")


async def test_an_addon_is_changed_rolled_back_and_removed_by_the_same_states() -> None:
    async with judge() as cloud:
        listed = (await cloud.send("list_addons", cluster_id=SHOP_PROD))["items"]
        named = {"cluster_id": SHOP_PROD, "addon_id": listed[0]["metadata"]["uid"]}
        row = await cloud.send("get_addon", **named)
        for state in phases(ADDON):
            verdict = phases_of(ADDON).verdict(state)
            body = {**row, "status": {**row["status"], "status": state, "isRollbackable": True}}
            cloud.bent["get_addon"] = answering(body)
            read = shown("get_addon", body, **named)
            proposed = [each.tool for each in read.next]
            rollback, _ = await outcome(cloud, "rollback_addon", **named)
            update, _ = await outcome(cloud, "update_addon", **named, values={"custom": {"x": 1}})
            deletion, warnings = await outcome(cloud, "delete_addon", **named)
            assert bool(rollback) == bool(why_no_rollback(body)), state
            assert "rollback_addon" not in proposed or not rollback, state
            refused = verdict in ("transitional", "deleting") or needs_reinstall(state)
            assert bool(update) == refused, (state, update)
            assert bool(deletion) == (verdict == "deleting"), state
            assert ("usual way out" in " ".join(warnings)) == ("delete_addon" in proposed), state
            assert (
                waits(read) == (verdict in ("transitional", "deleting", None)) == (waited("addon", body) == "running")
            ), state


async def test_a_release_is_under_way_or_broken_for_guard_summary_and_wait_alike() -> None:
    named = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
    async with judge() as cloud:
        row = await cloud.send("get_release", **named)
        for status in phases(RELEASE):
            verdict = phases_of(RELEASE).verdict(status)
            body = {**row, "status": status}
            cloud.bent["get_release"] = answering(body)
            refusal, warnings = await outcome(cloud, "delete_release", **named)
            assert bool(refusal) == (verdict == "deleting"), status
            assert ("under way" in " ".join(warnings)) == (verdict == "transitional"), status
            read = shown("get_release", body, **named)
            assert waits(read) == (verdict in ("transitional", "deleting", None)), status
            assert (waited("release", body) == "running") == waits(read), status


PATTERNS = (
    *("v1.(31|32)$", "v1.(27|28).*", "v1.(30|31).*", r"^v1\.31\..*$", "v1.31", "v1.31.6-r0", "v1.3.*", "v2.*"),
    *(r"v1\.31\.[0-5]-r0", "(a+)+$", "v1.("),
)


def template(pattern: str) -> dict[str, Any]:
    """What list_addon_templates says of an add-on with one version."""
    version = {"version": "1.0.0", "stable": True, "supportVersions": [{"clusterVersion": [pattern]}]}
    return {"items": [{"metadata": {"name": "coredns"}, "spec": {"require": False, "versions": [version]}}]}


def installed(version: str = "0.9.0") -> dict[str, Any]:
    """An add-on as get_addon and list_addons show it."""
    return {
        "metadata": {"uid": "a1", "name": "coredns"},
        "spec": {"addonTemplateName": "coredns", "clusterID": SEARCH_DEV, "version": version, "values": {}},
        "status": {"status": "running", "targetVersions": ["1.0.0"]},
    }


def assessed_fit(pattern: str, target: str) -> bool | None:
    """Whether an assessment takes the version of an add-on to fit."""
    reads = UpgradeReads(
        cluster_id=SEARCH_DEV,
        wanted=None,
        now="v1.30.1-r0",
        offered=[target],
        upgrade_path=[target],
        answers={},
        errors={},
        templates={"coredns": template(pattern)},
        at=NOW,
    )
    return fitness_of([installed("1.0.0")], reads)[0].fits


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("version", ["v1.31", "v1.31.6-r0", "v1.28.3-r1"])
async def test_whether_an_addon_fits_a_version_is_one_answer(pattern: str, version: str) -> None:
    fits = runs_on(template(pattern)["items"][0]["spec"]["versions"][0], version)
    assert assessed_fit(pattern, version) is fits
    context = {"cluster_id": {"spec": {"version": version}}}
    listed = summarise(Observation(load_catalog()["list_addon_templates"], {}, template(pattern), context=context))
    assert isinstance(listed, TemplateList)
    assert bool(listed.templates) == (fits is not False)
    async with judge() as cloud:
        cloud.bent["list_addon_templates"] = answering(template(pattern))
        with bent(cloud, "get_cluster", "/spec/version", version):
            cloud.bent["get_addon"] = lambda _: {**installed(), "metadata": {"name": "coredns"}}
            addon_id = (await cloud.send("list_addons", cluster_id=SEARCH_DEV))["items"][0]["metadata"]["uid"]
            named = {"cluster_id": SEARCH_DEV, "addon_id": addon_id, "target_version": "1.0.0"}
            refusal, _ = await outcome(cloud, "update_addon", **named)
            assert ("does not run on cluster version" in refusal) == (fits is False), refusal
            if fits is not False:
                impact = await cloud.impact("update_addon", **named)
                assert any("whether 1.0.0 runs on" in each for each in impact.unknown) == (fits is None)


@given(st.sampled_from(PATTERNS), st.integers(0, 40), st.integers(0, 11))
def test_what_is_said_of_a_minor_version_holds_for_each_of_its_patches(pattern: str, patch: int, release: int) -> None:
    row = {"supportVersions": [{"clusterVersion": [pattern]}]}
    whole, minor = runs_on(row, f"v1.31.{patch}-r{release}"), runs_on(row, "v1.31")
    assert minor is None or minor is whole


def test_a_pattern_is_matched_against_the_whole_version() -> None:
    row = {"supportVersions": [{"clusterVersion": ["v1.(31|32)$"]}]}
    assert (runs_on(row, "v1.31.6-r0"), runs_on(row, "v1.31")) == (False, False)


async def test_findings_are_counted_one_way() -> None:
    async with judge() as cloud:
        started = await cloud.send("run_precheck", cluster_id=SHOP_PROD, target_version="v1.30")
        cloud.world.advance(60)
        named = {"cluster_id": SHOP_PROD, "task_id": started["metadata"]["uid"]}
        check = await cloud.send("get_precheck", **named)
    full_disk = {"name": "NodeDisk", "kind": "Exception", "group": "NodeCheck", "level": "Fatal", "phase": "Failed"}
    nodes = [{"nodeInfo": {"uid": f"n{n}", "name": f"node-{n}"}, "itemsStatus": [full_disk]} for n in range(3)]
    check["status"]["nodeCheckStatus"] = {"phase": "Failed", "nodeStageStatus": nodes}
    found = findings_of(check)
    assert count_of(each for each in found.every if each.name == "NodeDisk") == 1
    assert found.blocking
    assert found.risks
    read: Any = shown("get_precheck", check, **named)
    assert sum(read.failed.values()) == count_of(found.every) == sum(counted(found.every).values())
    assert [each.name for each in read.blocking] == [each.name for each in found.blocking]
    assert len([*read.blocking, *read.risks, *read.also_failed]) == count_of(found.every)
    assert len(read.skip_items) == count_of(found.risks)
    assert f"{count_of(found.blocking)} item" in read.summary
    scene = Scene(cluster_id=SHOP_PROD)
    scene.bent["list_prechecks"] = lambda _: {"items": [check]}
    assessed = await scene.assess("v1.30")
    said = " ".join([*assessed.blockers, *assessed.risks])
    assert all(each.name in said for each in found.every)
    assert f"{count_of(found.risks)} of them found by the check" in assessed.summary


async def test_a_check_that_passed_with_findings_names_them_alike_in_question_and_summary() -> None:
    item = {"name": "NodeDiskCheck", "kind": "Risk", "group": "NodeCheck", "level": "Warning", "phase": "Failed"}
    scene = Scene()
    check = scene.check()
    check["status"]["clusterCheckStatus"] = {"phase": "Success", "itemsStatus": [item, {**item, "phase": UNKNOWN}]}
    found = findings_of(check)
    assert ([each.name for each in found.every], found.unknown) == (["NodeDiskCheck"], ('NodeDiskCheck "Dreaming"',))
    read = shown("get_precheck", check, cluster_id=scene.cluster_id)
    assert "1 item failed" in " ".join(read.warnings)
    assert any("NodeDiskCheck" in each for each in (await scene.assess(TARGET)).risks)
    said = 'Whether 1 item passed is not known: NodeDiskCheck "Dreaming".'
    assert said in read.warnings
    assert any(said in each for each in (await scene.assess(TARGET)).risks)
    assert f"Although the check passed: {said}" in (await scene.impact(TARGET)).warnings


@pytest.mark.parametrize("expires", ["later", "earlier", None, "soon"])
@pytest.mark.parametrize("phase", phases(PRECHECK))
async def test_a_check_leads_to_an_upgrade_exactly_where_the_guard_allows_it(phase: str, expires: str | None) -> None:
    scene = Scene()
    check = scene.check(phase=phase)
    times = {"later": check["status"]["expireTimeStamp"], "earlier": check["metadata"]["creationTimestamp"]}
    check["status"]["expireTimeStamp"] = times.get(expires or "", expires)
    observed = Observation(
        load_catalog()["get_precheck"], {"cluster_id": scene.cluster_id}, check, now=scene.world.now()
    )
    read = summarise(observed)
    assert isinstance(read, Precheck)
    listed = summarise(replace(observed, operation=load_catalog()["list_prechecks"], body={"items": [check]}))
    assert isinstance(listed, PrecheckList)
    allowed = await scene.refusal(TARGET) == ""
    assert allowed == (phases_of(PRECHECK).verdict(phase) == "success" and expires == "later")
    assert ("upgrade_cluster" in [each.tool for each in read.next]) == allowed
    assert (read.verdict == "ready") == (listed.checks[0].verdict == "ready") == allowed
    assert ((await scene.assess(TARGET)).verdict == "go") == allowed


@pytest.mark.parametrize("phase", ["Error", "Running", UNKNOWN, None])
async def test_a_failed_check_with_an_item_of_unknown_result_is_blocked_for_summary_and_assessment(phase: Any) -> None:
    item = {"name": "NodeDiskCheck", "kind": "Risk", "group": "NodeCheck", "level": "Warning", "phase": "Failed"}
    scene = Scene()
    check = scene.check(phase="Failed")
    other = {**item, "name": "KernelCheck", "phase": phase}
    check["status"]["clusterCheckStatus"] = {"phase": "Failed", "itemsStatus": [item, other]}
    read = shown("get_precheck", check, cluster_id=scene.cluster_id)
    assert isinstance(read, Precheck)
    assert read.verdict == "blocked"
    assessed = await scene.assess(TARGET)
    assert any("Whether 1 item passed is not known: KernelCheck" in each for each in assessed.blockers)
    proposed = [each for each in [*read.next, *assessed.next] if each.tool == "run_precheck"]
    assert [each.arguments.get("skip_items") for each in proposed] == [None, None]
    assert await scene.refusal(TARGET)


def test_tags_are_the_same_for_rules_questions_and_answers() -> None:
    listed = [{"key": "env", "value": "prod"}, {"key": "flag", "value": None}, {"key": "team"}]
    body = {"metadata": {"uid": "u", "name": "web"}, "spec": {"clusterTags": listed}, "status": {"phase": "Available"}}
    tags = {"env": "prod", "flag": "", "team": ""}
    assert tags_of(body) == exact_tags(body) == cluster_facts(body).tags == tags
    assert shown("get_cluster", body, cluster_id="u").tags == tags


async def test_a_question_and_the_answer_say_the_same_of_each_option_of_a_deletion(catalog: Catalog) -> None:
    operation = catalog["delete_cluster"]
    async with judge() as cloud:
        for name, fates in operation.deletion_options.items():
            for value, fate in fates.items():
                given: dict[str, Any] = {"cluster_id": TEAM_SANDBOX, name: value}
                impact = await cloud.impact("delete_cluster", **given)
                (option,) = [each for each in chosen(operation, {name: value}) if each.name == name]
                assert option.fate == fate
                assert any(each.startswith(f"{fate.takes} (") for each in impact.goes) == bool(fate.takes)
                assert any(each.startswith(f"{fate.leaves}, ") for each in impact.stays) == bool(fate.leaves)
                body = {"metadata": {"name": "web"}, "status": {"deleteOption": {name: f"delete-{value}"}}}
                read: Any = shown("delete_cluster", body, cluster_id=TEAM_SANDBOX)
                if fate.takes:
                    assert read.removes[0].startswith(fate.takes)
                    assert fate.takes not in (read.keeps or ())


async def test_what_an_unknown_value_of_an_option_does_is_not_guessed() -> None:
    async with judge() as cloud:
        impact = await cloud.impact("delete_cluster", cluster_id=TEAM_SANDBOX, delete_efs="sometimes")
    assert "What delete_efs=sometimes takes and leaves is not known." in impact.warnings


@pytest.mark.parametrize(
    ("body", "doubts"), [("success", 0), ('"success"', 0), (None, 0), ("queued", 1), ({"a": 1}, 1)]
)
@pytest.mark.parametrize("tool", ["delete_addon", "delete_chart", "delete_release"])
def test_the_answer_to_a_deletion_is_judged_the_same_way_everywhere(tool: str, body: Any, doubts: int) -> None:
    read = shown(tool, body, cluster_id="c", addon_id="a", chart_id="h", namespace="n", name="web")
    assert len(read.warnings) == doubts


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-29 08:07:00.592972 +0000 UTC", "2026-11-29T08:07:00Z"),
        ("2026-11-29T16:07:00+08:00", "2026-11-29T08:07:00Z"),
        (1795939620, "2026-11-29T08:07:00Z"),
        ("soon", "soon"),
        (None, None),
    ],
)
def test_every_time_of_the_cloud_has_one_form_in_answers(written: Any, read: str | None) -> None:
    assert stamp(written) == read
    assert get({"at": read}, "/at") == read


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2025-06-01 09:15:30.5 +0800 CST", "2025-06-01T01:15:30Z"),
        (" 2025-06-01T01:15:30Z ", "2025-06-01T01:15:30Z"),
        ("2025-06-01 01:15:30 node lost", "2025-06-01 01:15:30 node lost"),
        ("1717459200", "1717459200"),
        (4, "4"),
        ("02:00", "02:00"),
        (None, ""),
    ],
)
def test_a_fact_is_written_as_a_time_only_if_it_is_nothing_else(value: Any, said: str) -> None:
    assert dated(value) == said


@pytest.mark.parametrize("kind", ["precheck", "upgrade_task", "upgrade_workflow", "job"])
def test_an_ended_wait_has_the_verdict_of_the_tool_that_reads(kind: str) -> None:
    known = waitables(load_catalog().values(), load_catalog())[kind]
    order = Order(known, {"kind": kind, "id": "x", "cluster_id": "c"})
    risk = {"name": "A", "kind": "Risk", "phase": "Failed"}
    for phase in phases(kind):
        for found in ([risk], [risk, {**risk, "name": "B", "kind": "Exception"}]):
            body = {"status": {"phase": phase, "clusterCheckStatus": {"itemsStatus": found}}}
            read = shown(known.read.id, body, cluster_id="c")
            ended = end_of(order, Ending(order, order.verdict(body), Answered(body), 1.0), read)
            assert ended.verdict == (read.verdict if order.verdict(body) != "running" else "running"), phase
            if kind == "precheck" and phase == "Failed":
                assert ended.verdict == ("blocked" if len(found) > 1 else "ready_with_risks")
