"""Waiting for what takes time: from the first read to the end, the deadline, or too many errors."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import stamina
from agent import connected
from click.testing import CliRunner
from waiting import Answered, answer, job_of, reads, waiting, watch

from ap_mcp.cli import main
from ap_mcp.errors import CloudUnreachable, InvalidArguments, NotFound, PermissionDenied
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.constants import LEGACY_IMPORT, ML_BATCH, PAYMENTS_PROD, SEARCH_DEV, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.specs import Catalog, load_catalog
from ap_mcp.toolbox import toolbox
from ap_mcp.wait import IN_CLUSTERS, TITLE, WAIT_FOR, wait_schema
from ap_mcp.wait import poller as watching
from ap_mcp.wait.targets import waitables

pytestmark = pytest.mark.anyio

ANY_ID = "3d7c0a52-5c1e-11ef-9a41-0255ac100d01"
KINDS = ["cluster", "job", "addon", "upgrade_task", "precheck", "backup", "upgrade_workflow", "release", *IN_CLUSTERS]
RELEASE = {"cluster_id": PAYMENTS_PROD, "namespace": "payments"}


@pytest.fixture(autouse=True)
def one_attempt() -> Iterator[None]:
    """What is tried again here is tried by the wait, not by the client."""
    with stamina.set_testing(True, attempts=1):
        yield


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_job_is_waited_for_to_its_end_and_reported_as_get_job_reports_it(tmp_path: Path, mode: str) -> None:
    async with waiting(tmp_path, mode=mode) as (agent, _):
        job_id = job_of(agent, ML_BATCH)
        ended = await agent.call(WAIT_FOR, kind="job", id=job_id, wait_s=600)
        assert (ended["ended"], ended["verdict"]) == (True, "succeeded")
        assert "The cluster is ready." in ended["summary"]
        read = await agent.call("get_job", job_id=job_id)
        assert (read["summary"], read["next"]) == (ended["summary"], ended["next"])
        common = {"summary", "next", "request_id", "raw", "warnings"}
        assert ended["found"] == {name: value for name, value in read.items() if name not in common}
        assert agent.changed == []
        assert ended["raw"]


async def test_a_failure_ends_the_wait_and_names_its_reason(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        ended = await agent.call(WAIT_FOR, kind="job", id=job_of(agent, LEGACY_IMPORT))
        assert (ended["ended"], ended["verdict"]) == (True, "failed")
        assert "has no free IP address" in agent.said
        assert (reads(agent, "get_job"), glass.slept) == (1, [])


async def test_reads_become_rarer_and_end_with_the_deadline(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        arguments = {"kind": "job", "id": job_of(agent, ML_BATCH), "wait_s": 40}
        ended = await agent.call(WAIT_FOR, **arguments)
        assert (ended["ended"], ended["verdict"], ended["waited"]) == (False, "running", "40 s")
        assert ended["summary"].startswith("Still running after 40 s; call wait_for again. CreateCluster is running")
        known = {**arguments, "cluster_id": ML_BATCH}
        assert ended["next"] == [{"tool": WAIT_FOR, "arguments": known, "why": "waits longer"}]
        assert glass.slept[:4] == [2.5, 3.75, 5.625, 8.4375]
        assert max(glass.slept) <= 10
        assert sum(glass.slept) == 40
        assert reads(agent, "get_job") == len(glass.slept) + 1


async def test_no_time_means_one_read(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        ended = await agent.call(WAIT_FOR, kind="cluster", id="ml-batch", wait_s=0)
        assert (ended["ended"], ended["found"]["phase"]) == (False, "Creating")
        assert (agent.sent, glass.slept) == (["list_clusters", "get_cluster"], [])


async def test_progress_is_the_share_of_the_job_and_says_what_the_last_read_showed(tmp_path: Path) -> None:
    reported: list[tuple[float, float | None, str | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with waiting(tmp_path) as (agent, _):
        arguments = {"kind": "job", "id": job_of(agent, ML_BATCH), "wait_s": 600}
        result = await agent.client.call_tool(WAIT_FOR, arguments, progress_callback=report)
        assert not result.is_error
    shares = [progress for progress, _, _ in reported]
    assert len(shares) > 3
    assert shares == sorted(set(shares))
    assert {total for _, total, _ in reported} == {100}
    said = [int(re.search(r"is running: (\d+)%", message or "")[1]) for _, _, message in reported]  # type: ignore[index]
    assert [int(share) for share in shares] == said
    assert said[-1] > said[0]
    assert all(message and message.startswith("CreateCluster is running: ") for _, _, message in reported)


@pytest.mark.parametrize(
    ("percents", "wanted"),
    [
        ((10, 40, 90), [10, 40, 90]),
        ((50, 50, 50), [50, 50.001, 50.002]),
        ((50, 20, 60), [50, 50.001, 60]),
        ((None, None, None), [0, 0.001, 0.002]),
        ((None, 30, None), [0, 30, 30.001]),
        ((100, 100, 250), [99, 99.001, 99.002]),
    ],
)
async def test_progress_grows_with_every_report_whatever_the_cloud_says(
    percents: tuple[int | None, ...], wanted: list[float]
) -> None:
    reported: list[float] = []

    async def report(progress: float, total: float, _: str) -> None:
        reported.append(progress)
        assert total == 100

    seen = [Answered({"status": {"phase": "Creating"}, "percent": percent}) for percent in (*percents, 0)]
    await watch([*seen], seconds=11.875, report=report)
    assert reported == wanted


async def test_every_kind_is_waited_for(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        here = {"cluster_id": "checkout-staging"}
        workflow = await agent.call("create_upgrade_workflow", **here, target_version="v1.31")
        target = workflow["to_version"]
        check = await agent.call("run_precheck", **here, target_version=target)
        ended = await agent.call(WAIT_FOR, kind="precheck", id=check["task_id"], **here, wait_s=600)
        assert (ended["ended"], ended["verdict"], ended["found"]["verdict"]) == (True, "ready", "ready")
        backup = await agent.call("backup_cluster", **here)
        ended = await agent.call(WAIT_FOR, kind="backup", id=backup["task_id"], **here)
        assert [each["task_id"] for each in ended["found"]["tasks"]] == [backup["task_id"]]
        assert ended["summary"] == f"The backup {backup['task_id']} has succeeded."
        assert not {"total", "latest"} & ended["found"].keys()  # there may be other ones, and newer ones
        task = await agent.call("upgrade_cluster", **here, target_version=target)
        ended = await agent.call(WAIT_FOR, kind="upgrade_task", id=task["task_id"], **here, wait_s=600)
        assert ended["found"]["to_version"] == target
        await agent.call("run_postcheck", **here, from_version=workflow["from_version"])
        ended = await agent.call(
            WAIT_FOR, kind="upgrade_workflow", id=workflow["upgrade_workflow_id"], **here, wait_s=600
        )
        assert (ended["verdict"], ended["found"]["verdict"]) == ("succeeded", "succeeded")
        addon = await agent.call("install_addon", **here, template_name="nginx-ingress")
        ended = await agent.call(WAIT_FOR, kind="addon", id=addon["id"], **here)
        assert ended["found"]["status"] == "running"
        ended = await agent.call(WAIT_FOR, kind="release", id="payments-api", **RELEASE)
        assert ended["found"]["status"] == "DEPLOYED"
        ended = await agent.call(WAIT_FOR, kind="cluster", id="ml-batch", wait_s=600)
        assert ended["found"]["phase"] == "Available"


async def test_a_blocked_check_is_called_blocked_and_says_why(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        check = await agent.call("run_precheck", cluster_id=SHOP_PROD, target_version="v1.30")
        ended = await agent.call(WAIT_FOR, kind="precheck", id=check["task_id"], cluster_id="shop-prod", wait_s=600)
        assert (ended["verdict"], ended["found"]["verdict"]) == ("blocked", "blocked")
        assert "nginx-ingress" in agent.said


async def test_a_backup_that_the_list_does_not_hold_is_an_error_that_shows_what_it_holds(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        backup = await agent.call("backup_cluster", cluster_id="search-dev")
        said = await agent.fail(WAIT_FOR, kind="backup", id=ANY_ID, cluster_id="search-dev")
        assert f'no backup "{ANY_ID}"' in said
        assert backup["task_id"] in said
        assert glass.slept == []


async def test_the_end_of_a_deletion_is_that_the_thing_is_gone(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        addon = addons_of(agent.world, SEARCH_DEV)[0]["metadata"]["uid"]
        await agent.call("delete_addon", cluster_id=SEARCH_DEV, addon_id=addon)
        ended = await agent.call(WAIT_FOR, kind="addon", id=addon, cluster_id="search-dev", until="deleted")
        assert (ended["ended"], ended["verdict"], "warnings" in ended) == (True, "succeeded", False)
        assert glass.slept
        await agent.call("delete_release", **RELEASE, name="payments-api")
        assert (await agent.call(WAIT_FOR, kind="release", id="payments-api", **RELEASE, until="deleted"))["ended"]
        await agent.call("delete_cluster", cluster_id="team-sandbox")
        ended = await agent.call(WAIT_FOR, kind="cluster", id=TEAM_SANDBOX, until="deleted", wait_s=600)
        assert ended["summary"] == f'The cluster "{TEAM_SANDBOX}" no longer exists.'
        assert TEAM_SANDBOX not in agent.world.table("clusters")


async def test_what_stays_is_still_there_when_time_runs_out(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        ended = await agent.call(WAIT_FOR, kind="cluster", id="search-dev", until="deleted", wait_s=20)
        assert not ended["ended"]
        still = "Still there after 20 s, and not shown as being deleted; call wait_for again. search-dev is Available"
        assert ended["summary"].startswith(still)


async def test_what_was_gone_before_is_reported_with_a_doubt(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        ended = await agent.call(WAIT_FOR, kind="addon", id=ANY_ID, cluster_id=SEARCH_DEV, until="deleted")
        assert ended["verdict"] == "succeeded"
        assert "check the id" in ended["warnings"][0]
        assert glass.slept == []
        misspelt = await agent.fail(WAIT_FOR, kind="cluster", id="serch-dev", until="deleted")
        assert "No cluster is called" in misspelt
        assert "If it was deleted, it is gone, and there is nothing to wait for." in misspelt
        for kind, where in (("cluster", {}), ("addon", {"cluster_id": SEARCH_DEV}), ("addon", {"cluster_id": "xyz"})):
            gone = await agent.call(WAIT_FOR, kind=kind, id="qqqqqq", until="deleted", **where)
            assert (gone["ended"], gone["verdict"]) == (True, "succeeded")
            assert "no longer exists" in gone["summary"]
            assert gone["warnings"][0].startswith(
                "Nothing is called that at the first read. If that is unexpected: No "
            )


async def test_what_does_not_exist_is_the_clouds_error_with_the_next_step(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        said = await agent.fail(WAIT_FOR, kind="addon", id=ANY_ID, cluster_id=SEARCH_DEV)
        assert said.startswith("get_addon failed: HTTP 404")
        assert 'give until="deleted"' in said
        assert 'until="deleted"' not in await agent.fail(WAIT_FOR, kind="job", id=ANY_ID)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"kind": "is required", "id": "is required"}),
        (
            {"kind": "addon", "id": "", "wait_s": 601, "until": "gone", "clutser_id": "x"},
            {
                "clutser_id": "is no argument of wait_for; did you mean cluster_id?",
                "wait_s": "must be at most 600",
                "until": "must be one of: ended, deleted",
                "id": "must not be empty, '.' or '..'",
                "cluster_id": "is required for kind addon",
            },
        ),
        (
            {"kind": "release", "id": "web"},
            {"cluster_id": "is required for kind release"},
        ),
        (
            {"kind": "precheck", "id": "x", "cluster_id": "web", "namespace": "web", "until": "deleted"},
            {
                "namespace": "must not be given for kind precheck",
                "until": "must not be deleted for kind precheck, which cannot be deleted; "
                "for these it may: cluster, job, addon, release",
            },
        ),
        ({"kind": ["job"], "id": "x"}, {"kind": f"must be one of: {', '.join(KINDS)}"}),
        ({"kind": "node", "id": 7, "wait_s": -1}, {"kind": None, "id": None, "wait_s": "must be at least 0"}),
    ],
)
async def test_everything_wrong_with_a_call_is_reported_at_once(
    tmp_path: Path, arguments: dict[str, Any], expected: dict[str, str | None]
) -> None:
    async with waiting(tmp_path) as (agent, _):
        with pytest.raises(InvalidArguments) as caught:
            await agent.autopilot.call(WAIT_FOR, arguments)
        found = {problem.argument: problem.message for problem in caught.value.problems}
        assert {name: message if expected.get(name) else None for name, message in found.items()} == expected
        assert agent.sent == []


async def test_trouble_that_passes_is_endured(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        faults = agent.app.state.faults
        faults.inject("status", "get_cluster", value=503)
        faults.inject("lost", "get_cluster")
        faults.inject("throttle", "get_cluster", value=9)
        ended = await agent.call(WAIT_FOR, kind="cluster", id=ML_BATCH, wait_s=600)
        assert (ended["verdict"], "warnings" in ended) == ("succeeded", False)
        assert glass.slept[:3] == [2.5, 3.75, 9]


async def test_a_wait_ends_after_too_many_failed_reads(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        agent.app.state.faults.inject("status", "get_cluster", times=None)
        said = await agent.fail(WAIT_FOR, kind="cluster", id=ML_BATCH, wait_s=600)
        assert said.startswith("get_cluster failed: HTTP 503")
        assert reads(agent, "get_cluster") == watching.MOST_TROUBLES + 1


async def test_trouble_all_the_time_is_an_error_and_trouble_at_the_end_a_warning(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        faults = agent.app.state.faults
        faults.inject("status", "get_cluster")
        assert "HTTP 503" in await agent.fail(WAIT_FOR, kind="cluster", id=ML_BATCH, wait_s=0)
        first_read = await agent.call(WAIT_FOR, kind="cluster", id=ML_BATCH, wait_s=0)
        assert "warnings" not in first_read
    cut = CloudUnreachable("https://x", "cut", may_have_arrived=False)
    ending = await watch([answer("Creating"), cut], seconds=2.5)
    assert ending.verdict == "running"
    assert ending.doubt.startswith("The last read failed (No answer from https://x (cut)")


async def test_what_cannot_pass_is_not_endured() -> None:
    denied = PermissionDenied(status=403, operation="get_cluster")
    with pytest.raises(PermissionDenied):
        await watch([answer("Creating"), denied, answer("Available")])


async def test_a_missing_api_is_not_taken_for_a_deleted_thing() -> None:
    for operation, code in (("get_cluster", "APIGW.0101"), ("find_project", "IAM.0004")):
        with pytest.raises(NotFound) as caught:
            await watch([NotFound(status=404, operation=operation, code=code)], until="deleted")
        assert 'until="deleted"' not in str(caught.value)
    missing = NotFound(status=404, operation="get_cluster", code="CCE.01404001")
    assert (await watch([missing], until="deleted")).seen is None


@pytest.mark.parametrize(
    ("status", "until", "verdict"),
    [
        ("deleteSuccess", "deleted", "succeeded"),
        ("deleteFailed", "deleted", "failed"),
        ("running", "deleted", "running"),
        ("deleteSuccess", "ended", "failed"),
        ("deleting", "ended", "running"),
    ],
)
async def test_phases_of_a_deletion_mean_what_the_specs_say(status: str, until: str, verdict: str) -> None:
    ending = await watch([Answered({"status": {"status": status}})], kind="addon", seconds=0, until=until)
    assert ending.verdict == verdict


async def test_a_read_that_hangs_does_not_hold_the_answer_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GRACE", 0.01)
    ending = await watch([answer("Creating"), None], seconds=2)
    assert (ending.verdict, ending.seen, ending.seconds) == ("running", answer("Creating"), 2)
    assert "took too long" in ending.doubt


async def test_an_unknown_phase_is_no_end() -> None:
    ending = await watch([answer("Dreaming"), Answered(None), Answered({"status": {"phase": ["x"]}})], seconds=6.25)
    assert ending.verdict == "running"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_cancelled_call_stops_reading(tmp_path: Path, mode: str) -> None:
    asleep, stopped = anyio.Event(), anyio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            stopped.set()
            raise

    async with connected(tmp_path, mode=mode, clock={"sleep": sleep}) as agent:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(agent.client.call_tool, WAIT_FOR, {"kind": "cluster", "id": ML_BATCH})
                await asleep.wait()
                group.cancel_scope.cancel()
            await stopped.wait()
        assert reads(agent, "get_cluster") == 1


async def test_a_server_that_only_reads_waits_too(tmp_path: Path) -> None:
    async with waiting(tmp_path, read_only=True) as (agent, _):
        shown = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        assert shown[WAIT_FOR].input_schema["properties"]["kind"]["enum"] == KINDS
        ended = await agent.call(WAIT_FOR, kind="addon", id=ANY_ID, cluster_id=SEARCH_DEV, until="deleted")
        assert ended["ended"]


async def test_only_what_the_toolsets_hold_can_be_waited_for(tmp_path: Path) -> None:
    async with waiting(tmp_path, toolsets=("charts", "quotas")) as (agent, _):
        shown = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        assert shown[WAIT_FOR].input_schema["properties"]["kind"]["enum"] == ["release"]
        assert "must be one of: release" in await agent.fail(WAIT_FOR, kind="job", id=ANY_ID)
        assert "Did you mean wait_for" in await agent.fail("waitfor", kind="job", id=ANY_ID)
    async with waiting(tmp_path, toolsets=("essential",)) as (agent, _):
        shown = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        assert "upgrade_workflow" not in shown[WAIT_FOR].input_schema["properties"]["kind"]["enum"]
        backup = await agent.call("backup_cluster", cluster_id=SEARCH_DEV)
        assert [(each["tool"], each["arguments"]["kind"]) for each in backup["next"]] == [(WAIT_FOR, "backup")]
    async with waiting(tmp_path, toolsets=("tags", "quotas")) as (agent, _):
        assert WAIT_FOR not in {tool.name for tool in (await agent.client.list_tools()).tools}
        assert f'There is no tool "{WAIT_FOR}"' in await agent.fail(WAIT_FOR, kind="job", id=ANY_ID)


def test_the_essential_tools_and_the_wait_fit_hosts_with_a_tool_limit() -> None:
    assert len(toolbox(load_catalog(), ["essential"]).shown) <= 42


def test_what_a_client_is_shown_of_it_is_small(catalog: Catalog) -> None:
    tool = next(tool for tool in toolbox(catalog).shown if tool.name == WAIT_FOR)
    shown = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
    assert len(json.dumps(shown, separators=(",", ":"))) <= 620
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint


def test_every_argument_that_a_kind_needs_can_be_given(catalog: Catalog) -> None:
    known = waitables(catalog.values(), catalog)
    assert [*known, *IN_CLUSTERS] == KINDS
    for each in known.values():
        assert {*each.parents, "id"} <= set(wait_schema(known)["properties"])
        assert each.read.method == "GET"
        assert each.read.worst_effect == "read"


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        (("kind=cluster", f"id={ML_BATCH}", "wait_s=0"), 7),
        (("kind=cluster", "id=legacy-import"), 5),
        (("kind=cluster", "id=search-dev"), 0),
        (("kind=cluster", f"id={ML_BATCH}", "wait_s=many"), 2),
        (("kind=addon", "id=x"), 2),
    ],
)
def test_a_script_learns_how_a_wait_ended(tmp_path: Path, pairs: tuple[str, ...], code: int) -> None:
    command = ["call", "--simulate", "--state", str(tmp_path / "state.json"), "--output", "json", WAIT_FOR, *pairs]
    ran = CliRunner().invoke(main, command)
    assert ran.exit_code == code, ran.output
    if code != 2:
        assert json.loads(ran.stdout)["ended"] == (code != 7)


def test_the_commands_show_it() -> None:
    listed = CliRunner().invoke(main, ["tools"]).stdout
    assert any(line.split(maxsplit=2) == [WAIT_FOR, "read", TITLE] for line in listed.splitlines())
    described = CliRunner().invoke(main, ["tools", WAIT_FOR]).stdout
    assert "kind (string, required, one of cluster, job" in described
