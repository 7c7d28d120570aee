"""An assessment says go exactly when the guard would ask a person about the upgrade, in whatever state things are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent, autopilot_on, connected
from assessing import NEXT_MINOR, NOW, TARGET, Scene, failure
from guarded import Person
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp_types import Tool
from simulation import simulate

from ap_mcp.assessment.model import Assessment
from ap_mcp.assessment.verdict import CHANGES
from ap_mcp.errors import CallRefused
from ap_mcp.guard.impacts.base import NOT_YET
from ap_mcp.simulator.constants import CHECKOUT_STAGING, SHOP_PROD
from ap_mcp.simulator.upgrade_state import CHECKS
from ap_mcp.summaries.base import Result

pytestmark = pytest.mark.anyio


GOOD_CHECK: dict[str, Any] = {
    "phase": "Success",
    "target": TARGET,
    "source": NOW,
    "owner": CHECKOUT_STAGING,
    "created": 10,
}
GOOD_CHECK |= {"expires": 30, "iso": False}
UNEXPECTED_CHECKS: dict[str, Sequence[Any]] = {
    "phase": ("Failed", "Error", "Running", "Init", "Odd", None),
    "target": ("v1.31", NEXT_MINOR, "", None),
    "source": ("v1.29", "v1.28.6-r0", None),
    "owner": (SHOP_PROD, "", CHECKOUT_STAGING.upper()),
    "created": (10, 20, 10.0001, None, "soon"),
    "expires": (0, -1, None, "soon"),
    "iso": (True,),
}
GOOD_TASK: dict[str, Any] = {"phase": "Success", "created": 10}
UNEXPECTED_TASKS: dict[str, Sequence[Any]] = {
    "phase": ("Failed", "Running", "Pause", "", None, "Odd"),
    "created": (10, 20, 10.0001, None, "soon"),
}
AS_IT_IS = "as it is"
UNEXPECTED_LISTS: tuple[Any, ...] = (None, "nothing", {"metadata": {}}, 7, [None, "x", 3])
GOOD: dict[str, Any] = {"wanted": "v1.31", "phase": "Available", "name": "checkout-staging", "uid": CHECKOUT_STAGING}
GOOD |= {"status": AS_IT_IS, "release": "v1.29.8", "targets": [NEXT_MINOR, TARGET], "list_prechecks": AS_IT_IS}
GOOD |= {"list_upgrade_tasks": AS_IT_IS, "fails": "", "addon": "running", "addon_version": "1.30.29"}
UNEXPECTED: dict[str, Sequence[Any]] = {
    "wanted": (TARGET, None, NEXT_MINOR, "v1.33", "v1.29", "", "latest"),
    "phase": ("Upgrading", "Error", "", None),
    "name": ("", None, "\u200b"),
    "uid": (CHECKOUT_STAGING.upper(), SHOP_PROD, None),
    "status": (None, "", "Success", "Failed", "Running", "Odd"),
    "release": (None, "", "v1.29"),
    "targets": ([], None, [""], TARGET, ["v1.31"], [TARGET, "v1.31.10-r0"], "v1.31"),
    "list_prechecks": UNEXPECTED_LISTS,
    "list_upgrade_tasks": UNEXPECTED_LISTS,
    "fails": ("list_prechecks", "list_upgrade_tasks", "get_upgrade_info", "list_addons", "list_backups"),
    "addon": ("abnormal", "upgrading", None),
    "addon_version": ("1.28.4", "0.0.1", None),
}


def mostly(
    good: Mapping[str, Any], others: Mapping[str, Sequence[Any]], most: int
) -> st.SearchStrategy[dict[str, Any]]:
    """Draw something good in which some values are replaced by others."""
    change = st.sampled_from([(name, value) for name, values in others.items() for value in values])
    return st.lists(change, max_size=most).map(lambda changes: {**good, **dict(changes)})


STATE = st.builds(
    lambda cluster, checks, tasks: {**cluster, "checks": checks, "tasks": tasks},
    mostly(GOOD, UNEXPECTED, 2),
    st.lists(mostly(GOOD_CHECK, UNEXPECTED_CHECKS, 2), min_size=1, max_size=3),
    st.lists(mostly(GOOD_TASK, UNEXPECTED_TASKS, 1), max_size=2),
)


def stamp(scene: Scene, minutes: Any, *, iso: bool = False) -> Any:
    """A time so many minutes from now in one of the two forms; what is no number stays as it is."""
    if not isinstance(minutes, int | float):
        return minutes
    at = scene.world.now() + timedelta(minutes=minutes)
    return scene.world.iso_timestamp(at) if iso else scene.world.timestamp(at)


def scene_of(state: dict[str, Any]) -> Scene:
    """Put a simulated cluster into a state."""
    scene = Scene()
    scene.world.table(CHECKS).clear()
    for each in state["checks"]:
        row = scene.check()
        row["spec"] = {"clusterID": each["owner"], "clusterVersion": each["source"], "targetVersion": each["target"]}
        row["status"] |= {"phase": each["phase"], "expireTimeStamp": stamp(scene, each["expires"], iso=each["iso"])}
        row["metadata"]["creationTimestamp"] = stamp(scene, _before(each["created"]), iso=each["iso"])
    for each in state["tasks"]:
        row = scene.world.table("upgrade_tasks")[scene.upgrade(each["phase"])]
        row["metadata"]["creationTimestamp"] = stamp(scene, _before(each["created"]))
    scene.row["status"]["phase"] = state["phase"]
    scene.row["metadata"] |= {"name": state["name"]}
    addon = scene.addon()
    addon["status"]["status"] = state["addon"]
    scene.bend("list_addons", "/items/0/spec/version", state["addon_version"])
    scene.bend("get_cluster", "/metadata/uid", state["uid"])
    scene.bend("get_upgrade_info", "/spec/versionInfo/release", state["release"])
    scene.bend("get_upgrade_info", "/spec/versionInfo/targetVersions", state["targets"])
    if state["status"] != AS_IT_IS:
        scene.bend("get_upgrade_info", "/status/phase", state["status"])
    for operation in ("list_prechecks", "list_upgrade_tasks"):
        if state[operation] != AS_IT_IS:
            scene.bend(operation, "/items", state[operation])
    if state["fails"]:
        scene.failing[state["fails"]] = failure(403)
    return scene


def _before(minutes: Any) -> Any:
    return -minutes if isinstance(minutes, int | float) else minutes


@pytest.mark.parametrize("field", sorted(UNEXPECTED))
async def test_one_unexpected_value_decides_for_the_assessment_as_it_does_for_the_guard(field: str) -> None:
    for value in UNEXPECTED[field]:
        await _agree({**GOOD, "checks": [GOOD_CHECK], "tasks": [GOOD_TASK], field: value})


async def test_one_unexpected_check_or_upgrade_decides_for_the_assessment_as_it_does_for_the_guard() -> None:
    assert await _agree({**GOOD, "checks": [GOOD_CHECK], "tasks": []}) == "go"
    for field, value in [(field, value) for field, values in UNEXPECTED_CHECKS.items() for value in values]:
        unexpected = {**GOOD_CHECK, field: value}
        await _agree({**GOOD, "checks": [unexpected], "tasks": []})
        await _agree({**GOOD, "checks": [{**GOOD_CHECK, "phase": "Failed"}, unexpected], "tasks": []})
    for field, value in [(field, value) for field, values in UNEXPECTED_TASKS.items() for value in values]:
        unexpected = {**GOOD_TASK, field: value}
        await _agree({**GOOD, "checks": [GOOD_CHECK], "tasks": [unexpected]})
        await _agree({**GOOD, "checks": [GOOD_CHECK], "tasks": [unexpected, {**GOOD_TASK, "phase": "Running"}]})


def test_an_assessment_says_go_exactly_when_the_guard_does_not_refuse_the_upgrade() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STATE)
    def agree(state: dict[str, Any]) -> None:
        seen[anyio.run(_agree, state)] += 1

    agree()
    assert min(seen["go"], seen["not_yet"]) >= 10, seen


async def _agree(state: dict[str, Any]) -> str:
    """Assess the upgrade of a cluster in a state, and let the guard judge it; the verdict, if they agree."""
    scene = scene_of(state)
    found = await scene.assess(state["wanted"])
    await _agrees(scene, found, state["wanted"])
    return found.verdict


async def _agrees(scene: Scene, found: Assessment, wanted: str | None) -> None:
    if found.to_version is None:
        assert found.verdict != "go"
        assert wanted is None or await scene.refusal(wanted)
        return
    refusal = await scene.refusal(found.to_version)
    assert (found.verdict == "go") == (refusal == ""), (refusal, found.blockers)
    if found.verdict == "go" and wanted:
        assert await scene.refusal(wanted) == "" if not found.upgrade_path else await scene.refusal(wanted)


@pytest.mark.parametrize(
    ("cluster", "target"), [("shop-prod", "v1.29"), ("payments-prod", None), ("team-sandbox", None)]
)
async def test_what_an_assessment_says_is_what_a_dry_run_of_the_upgrade_says(cluster: str, target: str | None) -> None:
    app = simulate()
    async with autopilot_on(app) as autopilot:
        for _ in range(2):
            given = {"cluster_id": cluster, **({"target_version": target} if target else {})}
            found = await autopilot.call("assess_upgrade", given)
            assert isinstance(found, Assessment)
            wanted = {"cluster_id": cluster, "target_version": found.to_version or "v1.31", "dry_run": True}
            try:
                shown = await autopilot.call("upgrade_cluster", wanted)
            except CallRefused:
                assert found.verdict != "go"
            else:
                assert isinstance(shown, Result)
                missing = [each for each in shown.warnings if each.startswith(NOT_YET)]
                assert (found.verdict == "go") == (not missing)
            if found.to_version:
                check = {"cluster_id": cluster, "target_version": found.to_version}
                await autopilot.call("run_precheck", check)
                app.state.world.advance(60)


class Follower:
    """Makes the calls that an assessment proposes, as an agent would: in order, and waits for what each has started."""

    def __init__(self, agent: Agent, tools: Sequence[Tool]) -> None:
        self.agent = agent
        self.schemas = {each.name: Draft202012Validator(each.input_schema) for each in tools}
        self.made: list[str] = []

    async def make(self, call: Mapping[str, Any]) -> None:
        """Make a call, which must fit its tool, and those that its answer proposes to get to its end."""
        tool, arguments = call["tool"], call["arguments"]
        assert [error.message for error in self.schemas[tool].iter_errors(arguments)] == []
        assert ("a person is asked" in call["why"]) == (tool in ("update_addon", "upgrade_cluster"))
        self.made.append(tool)
        answer = await self.agent.call(tool, **arguments)
        if tool == "assess_upgrade":
            return
        for onward in answer.get("next", []):
            if onward["tool"] == "wait_for" or "skip_items" in onward["arguments"]:
                await self.make(onward)


@pytest.mark.parametrize(("target", "after", "checks"), [("v1.31", "up_to_date", 2), ("v1.29", "not_yet", 1)])
async def test_the_proposed_calls_lead_from_not_yet_to_an_upgraded_cluster(
    tmp_path: Path, target: str, after: str, checks: int
) -> None:
    app, person = simulate(), Person()

    async def sleep(seconds: float) -> None:
        app.state.world.advance(seconds)

    clock = {"sleep": sleep, "now": lambda: app.state.world.now().timestamp()}
    async with connected(tmp_path, app=app, person=person, unasked=False, clock=clock) as agent:
        follower = Follower(agent, (await agent.client.list_tools()).tools)
        found = await agent.call("assess_upgrade", cluster_id="shop-prod", target_version=target)
        assert found["verdict"] == "not_yet"
        for call in found["next"]:
            await follower.make(call)
        # The risks that a check of before has found need not be found again.
        assert follower.made.count("run_precheck") == checks
        assert [each for each in follower.made if each in CHANGES] == [
            *("update_addon", *["run_precheck"] * checks, "backup_cluster", "upgrade_cluster", "run_postcheck")
        ]
        again = await agent.call("assess_upgrade", cluster_id="shop-prod")
    assert len(person.read) == 2
    assert again["from_version"] == found["to_version"]
    assert again["verdict"] == after
    assert (again.get("to_version") == TARGET) == (after == "not_yet")


async def test_an_assessment_made_again_after_each_step_comes_to_go(tmp_path: Path) -> None:
    app = simulate()

    async def sleep(seconds: float) -> None:
        app.state.world.advance(seconds)

    clock = {"sleep": sleep, "now": lambda: app.state.world.now().timestamp()}
    async with connected(tmp_path, app=app, clock=clock) as agent:
        wanted = {"cluster_id": "shop-prod", "target_version": "v1.29"}
        made = []
        for _ in range(9):
            found = await agent.call("assess_upgrade", **wanted)
            if found["verdict"] == "go" and not found.get("risks"):
                break
            call = next(each for each in found["next"] if not each["tool"].startswith("get_"))
            made.append(call["tool"])
            await agent.call(call["tool"], **call["arguments"])
            if found["verdict"] == "go":
                break
    assert made == ["update_addon", "wait_for", "run_precheck", "wait_for", "backup_cluster"]
