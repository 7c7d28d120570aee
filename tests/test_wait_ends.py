"""Where a wait ends that has no plain end: what is forgotten, what is not shown yet, what waits for a call."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from agent import Agent
from waiting import Answered, answer, job_of, reads, waiting, watch

from ap_mcp.errors import CallRefused, NotFound
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    LEGACY_IMPORT,
    ML_BATCH,
    PAYMENTS_PROD,
    SEARCH_DEV,
    TEAM_SANDBOX,
)
from ap_mcp.simulator.upgrade_state import UPGRADES
from ap_mcp.wait import WAIT_FOR
from ap_mcp.wait.recent_changes import MOMENT

pytestmark = pytest.mark.anyio

ANY_ID = "3d7c0a52-5c1e-11ef-9a41-0255ac100d01"
JOB = {"kind": "job", "id": ANY_ID}
NO_JOB = NotFound(status=404, operation="get_job", code="CCE.01404001")
NO_CLUSTER = NotFound(status=404, operation="get_cluster", code="CCE.01404001")


@pytest.fixture(autouse=True)
def one_attempt() -> Iterator[None]:
    """What is tried again here is tried by the wait, not by the client."""
    with stamina.set_testing(True, attempts=1):
        yield


def forget_jobs(agent: Agent) -> None:
    """Let the service forget its jobs, though they go on."""
    agent.app.state.faults.inject("status", "get_job", times=None, value=404)


def job(type_: str, phase: str = "Running") -> Answered:
    return Answered({"spec": {"type": type_, "clusterUID": ML_BATCH}, "status": {"phase": phase}})


# Jobs that are forgotten


async def test_a_job_that_vanishes_while_it_is_waited_for_gives_way_to_its_cluster(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        glass.meanwhile = lambda: forget_jobs(agent)
        job_id = job_of(agent, ML_BATCH)
        ended = await agent.call(WAIT_FOR, kind="job", id=job_id, wait_s=600)
        assert (ended["ended"], ended["verdict"], ended["found"]["phase"]) == (True, "succeeded", "Available")
        forgotten = (
            f'The job "{job_id}" is no longer known, so how it ended is not known; this is how its cluster is now.'
        )
        assert ended["summary"].startswith(f"{forgotten} ml-batch is Available")
        assert (reads(agent, "get_job"), reads(agent, "get_cluster")) == (2, len(glass.slept))


@pytest.mark.parametrize(
    ("cluster", "verdict", "phase"),
    [
        ("search-dev", "succeeded", "Available"),
        (LEGACY_IMPORT, "failed", "Error"),
        ("ml-batch", "running", "Creating"),
    ],
)
async def test_a_job_that_is_not_known_is_judged_by_the_cluster_that_is_named(
    tmp_path: Path, cluster: str, verdict: str, phase: str
) -> None:
    async with waiting(tmp_path) as (agent, glass):
        ended = await agent.call(WAIT_FOR, **JOB, cluster_id=cluster, wait_s=0)
        assert (ended["verdict"], ended["found"]["phase"], glass.slept) == (verdict, phase, [])
        assert f'The job "{ANY_ID}" is no longer known, so how it ended is not known; this is' in ended["summary"]
        assert "get_job" not in {each["tool"] for each in ended.get("next", [])}
        if verdict == "running":
            assert ended["summary"].startswith("Still running after 0 s; call wait_for again. The job ")
            assert ended["next"][0]["arguments"] == {**JOB, "cluster_id": ML_BATCH}


async def test_a_deletion_succeeds_though_job_and_cluster_are_forgotten(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        gone = await agent.call("delete_cluster", cluster_id="team-sandbox")
        (wait,) = gone["next"]
        assert wait["arguments"] == {
            "kind": "job",
            "id": gone["job_id"],
            "cluster_id": TEAM_SANDBOX,
            "until": "deleted",
        }
        forget_jobs(agent)
        ended = await agent.call(wait["tool"], **wait["arguments"], wait_s=600)
        assert (ended["ended"], ended["verdict"]) == (True, "succeeded")
        known = f'The job "{gone["job_id"]}" is no longer known; the cluster "{TEAM_SANDBOX}" no longer exists.'
        assert (ended["summary"], "warnings" in ended) == (known, False)
        assert glass.slept
        again = await agent.call(wait["tool"], **wait["arguments"])
        assert (again["verdict"], again["summary"]) == ("succeeded", known)
        assert "check the id" in again["warnings"][0]


async def test_a_cluster_that_stayed_was_not_deleted(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        ended = await agent.call(WAIT_FOR, **JOB, cluster_id=SEARCH_DEV, until="deleted")
        assert (ended["verdict"], ended["found"]["phase"]) == ("failed", "Available")
        assert "so how it ended is not known" in ended["summary"]
        assert ended["summary"].startswith("It was not deleted. ")


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ([job("DeleteCluster"), NO_JOB, NO_CLUSTER], "succeeded"),
        ([job("DeleteCluster"), NO_JOB, answer("Deleting"), NO_CLUSTER], "succeeded"),
        ([job("DeleteCluster"), NO_JOB, answer("Available")], "failed"),
        ([job("CreateCluster"), NO_JOB, answer("Creating"), answer("Available")], "succeeded"),
        ([NO_JOB, answer("Deleting"), NO_CLUSTER], "succeeded"),
    ],
)
async def test_what_was_seen_of_a_job_decides_what_became_of_it(seen: list[Any], verdict: str) -> None:
    ending = await watch(seen, kind="job", cluster_id=ML_BATCH)
    assert (ending.verdict, ending.doubt) == (verdict, "")


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ([answer("Available"), answer("Deleting"), answer("Error")], "failed"),
        ([answer("Error"), answer("Deleting"), NO_CLUSTER], "succeeded"),
        ([answer("Available"), answer("Available")], "running"),
    ],
)
async def test_a_deletion_that_no_longer_goes_on_has_failed(seen: list[Any], verdict: str) -> None:
    ending = await watch(seen, until="deleted", seconds=2.5 if verdict == "running" else 50)
    assert ending.verdict == verdict


@pytest.mark.parametrize("seen", [[NO_JOB], [job("CreateCluster"), NO_JOB]])
async def test_if_job_and_cluster_are_gone_it_is_not_known_how_it_ended(seen: list[Any]) -> None:
    gone = NotFound(status=404, operation="get_job", code="CCE.01404001")
    with pytest.raises(NotFound) as caught:
        await watch([*seen[:-1], gone, NO_CLUSTER], kind="job", cluster_id=ML_BATCH)
    said = str(caught.value)
    assert said.startswith("get_job failed: HTTP 404")
    assert f'The cluster "{ML_BATCH}" that it was about does not exist either' in said
    assert "cannot be known" in said
    assert "list_clusters" in said


async def test_a_job_without_a_cluster_is_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        for more in ({}, {"until": "deleted"}):
            said = await agent.fail(WAIT_FOR, **JOB, **more)
            assert said.startswith("get_job failed: HTTP 404")
            assert "give cluster_id to learn how its cluster is, or read it with get_cluster or list_clusters" in said


async def test_a_wait_that_goes_on_names_the_cluster_in_case_its_job_vanishes(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        gone = await agent.call("delete_cluster", cluster_id="team-sandbox")
        ended = await agent.call(WAIT_FOR, kind="job", id=gone["job_id"], wait_s=0)
        again = {"kind": "job", "id": gone["job_id"], "cluster_id": TEAM_SANDBOX, "until": "deleted"}
        assert ended["next"][0]["arguments"] == again
        assert ended["verdict"] == "running"


async def test_a_wait_that_goes_on_says_what_else_to_read(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        status = agent.world.table("clusters")[SEARCH_DEV]["status"]
        status.update(phase="Upgrading", reason="UpgradeFailed", message="etcd is not healthy")
        wait = {"kind": "cluster", "id": "search-dev"}
        ended = await agent.call(WAIT_FOR, **wait, wait_s=0)
        again, read = ended["next"]
        assert (again["tool"], again["arguments"]) == (WAIT_FOR, wait)
        assert (read["tool"], read["arguments"]) == ("list_upgrade_tasks", {"cluster_id": SEARCH_DEV})
        assert "whether the upgrade has failed" in read["why"]


async def test_a_wrong_name_is_reported_unless_its_cluster_may_be_deleted_by_now(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        job_id = job_of(agent, LEGACY_IMPORT)
        assert "No cluster is called" in await agent.fail(WAIT_FOR, kind="job", id=job_id, cluster_id="legacy")
        ended = await agent.call(WAIT_FOR, kind="job", id=job_id, cluster_id="legacy", until="deleted")
        assert (ended["verdict"], ended["found"]["type"]) == ("failed", "CreateCluster")
        said = await agent.fail(WAIT_FOR, **JOB, cluster_id="legacy", until="deleted")
        assert said.startswith("get_job failed: HTTP 404")
        assert 'Its cluster cannot be read instead: No cluster is called "legacy".' in said


async def test_rules_about_clusters_hold_for_the_read_of_the_cluster_of_a_job(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["get_cluster"]\nclusters = ["ml-*"]\n')
    async with waiting(tmp_path, policy_file=policy) as (agent, glass):
        gone = await agent.call("delete_cluster", cluster_id="team-sandbox")
        glass.meanwhile = lambda: forget_jobs(agent)
        ended = await agent.call(WAIT_FOR, kind="job", id=gone["job_id"], wait_s=600)
        assert (ended["verdict"], reads(agent, "get_job")) == ("succeeded", 2)
        said = await agent.fail(WAIT_FOR, **JOB, cluster_id="ml-batch")
        assert "Its cluster cannot be read instead: Refused by policy" in said


# What the cloud does not show yet


async def test_an_end_seen_right_after_a_change_is_read_again(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        row = next(each for each in addons_of(agent.world, SEARCH_DEV) if each["metadata"]["name"] == "log-agent")
        which = {"cluster_id": SEARCH_DEV, "addon_id": row["metadata"]["uid"]}
        wait = {"kind": "addon", "id": which["addon_id"], "cluster_id": "search-dev"}
        await agent.call("update_addon", **which, target_version="1.7.1")
        row["status"]["status"] = "running"  # as it was before
        unsure = await agent.call(WAIT_FOR, **wait, wait_s=0)
        assert (unsure["ended"], unsure["verdict"], unsure["found"]["status"]) == (False, "running", "running")
        assert unsure["summary"].startswith("Perhaps not over: it was changed a moment ago, which may not show yet;")
        assert unsure["next"][0]["arguments"] == wait

        glass.meanwhile = lambda: row["status"].update(status="upgrading")
        before = reads(agent, "get_addon")
        ended = await agent.call(WAIT_FOR, **wait)
        assert (ended["verdict"], ended["found"]["status"]) == ("succeeded", "running")
        assert reads(agent, "get_addon") - before >= 3

        glass.time += MOMENT + 1
        before = reads(agent, "get_addon")
        assert (await agent.call(WAIT_FOR, **wait, wait_s=0))["ended"]
        assert reads(agent, "get_addon") == before + 1


@pytest.mark.parametrize(
    ("seen", "verdict", "slept"),
    [
        ([answer("Available"), answer("Available")], "succeeded", 2.5),
        ([answer("Error"), answer("Upgrading"), answer("Available")], "succeeded", 6.25),
        ([answer("Upgrading"), answer("Available")], "succeeded", 2.5),
        ([answer("Available"), answer("Error")], "failed", 2.5),
        ([NO_CLUSTER], "succeeded", 0),
    ],
)
async def test_two_reads_must_agree_after_a_change(seen: list[Any], verdict: str, slept: float) -> None:
    ending = await watch(seen, changed=True, until="deleted" if len(seen) == 1 else "ended")
    assert (ending.verdict, ending.seconds, ending.stale) == (verdict, slept, False)


async def test_the_deadline_makes_no_success_of_what_may_be_older_than_the_change() -> None:
    ending = await watch([answer("Available")], seconds=0, changed=True)
    assert (ending.verdict, ending.stale) == ("running", True)
    ending = await watch([answer("Available"), answer("Available")], seconds=2, changed=True)
    assert (ending.verdict, ending.seconds) == ("succeeded", 2)


async def test_a_change_delays_no_wait_for_what_it_made_or_what_is_elsewhere(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        backup = await agent.call("backup_cluster", cluster_id="search-dev")
        agent.world.advance_until_idle()
        await agent.call("delete_release", cluster_id=PAYMENTS_PROD, namespace="payments", name="payments-api")
        for wait in (
            {"kind": "backup", "id": backup["task_id"], "cluster_id": "search-dev"},
            {"kind": "cluster", "id": "checkout-staging"},
            {"kind": "release", "id": "query-cache", "cluster_id": SEARCH_DEV, "namespace": "default"},
        ):
            assert (await agent.call(WAIT_FOR, **wait))["ended"]
        assert glass.slept == []


async def test_what_was_made_and_then_changed_is_no_exception(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        this = {"cluster_id": PAYMENTS_PROD}
        await agent.call("run_precheck", **this, target_version="v1.31")
        agent.world.advance_until_idle()
        task = await agent.call("upgrade_cluster", **this, target_version="v1.31")
        agent.world.advance_until_idle()
        wait = {"kind": "upgrade_task", "id": task["task_id"], **this, "wait_s": 0}
        assert (await agent.call(WAIT_FOR, **wait))["verdict"] == "failed"
        retried = await agent.call("retry_upgrade", **this)
        assert [each["tool"] for each in retried["next"]] == ["list_upgrade_tasks"]
        row = agent.world.table("upgrade_tasks")[task["task_id"]]
        row["status"]["phase"] = "Failed"  # as it was before
        assert (await agent.call(WAIT_FOR, **wait))["verdict"] == "running"
        assert "Perhaps not over" in agent.said
        assert glass.slept == []


# What waits for a call


async def test_a_workflow_in_which_nothing_runs_ends_the_wait_with_what_comes_next(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        workflow = await agent.call("create_upgrade_workflow", cluster_id="checkout-staging", target_version="v1.31")
        assert [each["tool"] for each in workflow["next"]] == ["run_precheck"]
        glass.time += MOMENT + 1
        wait = {"kind": "upgrade_workflow", "id": workflow["upgrade_workflow_id"], "cluster_id": CHECKOUT_STAGING}
        idle = await agent.call(WAIT_FOR, **wait)
        assert (idle["ended"], idle["verdict"], idle["found"]["verdict"]) == (False, "idle", "idle")
        assert idle["summary"].startswith("Nothing is under way, so waiting longer changes nothing: ")
        assert [each["tool"] for each in idle["next"]] == ["run_precheck"]
        assert glass.slept == []

        await agent.call("run_precheck", cluster_id=CHECKOUT_STAGING, target_version=workflow["to_version"])
        idle = await agent.call(WAIT_FOR, **wait, wait_s=600)
        assert (idle["verdict"], idle["next"][0]["tool"]) == ("idle", "backup_cluster")
        assert glass.slept


async def test_a_workflow_that_does_not_show_yet_what_was_started_is_read_again(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, glass):
        workflow = await agent.call("create_upgrade_workflow", cluster_id="checkout-staging", target_version="v1.31")
        glass.time += MOMENT + 1
        await agent.call("run_precheck", cluster_id=CHECKOUT_STAGING, target_version=workflow["to_version"])
        row = agent.world.table("upgrade_workflows")[workflow["upgrade_workflow_id"]]
        row["status"]["phase"] = "Init"  # as it was before
        wait = {"kind": "upgrade_workflow", "id": workflow["upgrade_workflow_id"], "cluster_id": CHECKOUT_STAGING}
        unsure = await agent.call(WAIT_FOR, **wait, wait_s=0)
        assert (unsure["verdict"], unsure["next"][0]["tool"]) == ("running", WAIT_FOR)


# What the words of a wait say of phases that are no plain end


@pytest.mark.parametrize(
    ("phase", "opening", "until"),
    [
        ("Upgrading", "Still running after 20 s; ", None),
        ("Odd", "No end that is known here after 20 s; ", None),
        ("", "No end that is known here after 20 s; ", None),
        ("Deleting", "Being deleted, and still there after 20 s; ", "deleted"),
    ],
)
async def test_a_wait_without_an_end_says_what_is_known_of_the_phase(
    tmp_path: Path, phase: str, opening: str, until: str | None
) -> None:
    async with waiting(tmp_path) as (agent, _):
        agent.world.table("clusters")[SEARCH_DEV]["status"]["phase"] = phase
        ended = await agent.call(WAIT_FOR, kind="cluster", id=SEARCH_DEV, wait_s=20)
        assert (ended["ended"], ended["verdict"]) == (False, "running")
        assert ended["summary"].startswith(f"{opening}call wait_for again. ")
        assert ended["next"][0]["arguments"].get("until") == until


async def test_an_addon_that_runs_again_after_its_deletion_began_was_not_deleted() -> None:
    def shown(status: str) -> Answered:
        return Answered({"status": {"status": status}})

    gone = NotFound(status=404, operation="get_addon", code="CCE.01404001")
    for last, verdict in ((shown("running"), "failed"), (shown("installFailed"), "failed"), (gone, "succeeded")):
        ending = await watch([shown("deleting"), last], kind="addon", until="deleted", cluster_id=ML_BATCH)
        assert ending.verdict == verdict


async def test_what_vanishes_while_its_end_is_waited_for_is_said_to_have_been_there() -> None:
    for seen, vanished in ([answer("Upgrading")], True), ([], False):
        with pytest.raises(NotFound) as gone:
            await watch([*seen, NotFound(status=404, operation="get_cluster", code="CCE.01404001")])
        assert ("was there at the read before: it vanished meanwhile" in gone.value.hint) == vanished


@pytest.mark.parametrize("body", [{}, {"items": None}, {"foo": 1}])
async def test_an_answer_without_a_list_is_not_taken_for_one_that_lacks_the_thing(body: dict[str, Any]) -> None:
    ending = await watch([Answered({"items": []})], kind="backup", cluster_id=ML_BATCH, seconds=0)
    assert ending.order.narrowed(body) == body
    with pytest.raises(CallRefused, match="shows no backup"):
        ending.order.narrowed({"items": []})


async def test_a_paused_upgrade_is_not_said_to_run(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (agent, _):
        task = (await agent.call("list_upgrade_tasks", cluster_id=PAYMENTS_PROD))["tasks"][0]["task_id"]
        agent.world.table(UPGRADES)[task]["status"]["phase"] = "Pause"
        ended = await agent.call(WAIT_FOR, kind="upgrade_task", id=task, cluster_id=PAYMENTS_PROD, wait_s=0)
        assert "Still running" not in ended["summary"]
        assert "is paused" in ended["summary"]
