from typing import Any

import pytest
from impacts import CHECK_SECONDS, bend_items, facts, fail_an_upgrade, judge, open_workflow, start

from ap_mcp.errors import NotFound, PermissionDenied
from ap_mcp.simulator.constants import CHECKOUT_STAGING, PAYMENTS_PROD

pytestmark = pytest.mark.anyio

TARGET = "v1.31.6-r0"


async def test_a_retry_shows_what_failed_why_and_when() -> None:
    async with judge() as cloud:
        task = await fail_an_upgrade(cloud)
        impact = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
    assert (impact.name, impact.effect) == ("checkout-staging", "disrupt")
    assert f"from v1.29.8-r0 to {TARGET} again" in impact.sentence
    assert facts(impact)["failed"].startswith(f"upgrade {task} ")
    assert facts(impact)["failed"].endswith(" ago at 45 %")
    assert "UpgradeControlPlane" in facts(impact)["because"]
    assert "There is no backup: backup_cluster makes one." in impact.warnings
    assert "whether the cause has been fixed" in impact.unknown[0]


async def test_a_retry_without_a_reason_says_so() -> None:
    async with judge() as cloud:
        await fail_an_upgrade(cloud)

        def silent(found: Any) -> Any:
            for each in found["items"]:
                each["spec"].pop("items", None)
            return found

        cloud.bent["list_upgrade_tasks"] = silent
        shown = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
        cloud.row(CHECKOUT_STAGING)["status"] = {"phase": "Upgrading"}
        impact = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
    assert "etcd" in facts(shown)["because"]
    assert facts(impact)["because"] == "no reason is given"
    assert "Nothing says why it failed." in impact.warnings


@pytest.mark.parametrize(
    ("cluster_id", "state"), [(CHECKOUT_STAGING, "it has none"), (PAYMENTS_PROD, "its latest has succeeded")]
)
async def test_a_retry_of_nothing_is_refused(cluster_id: str, state: str) -> None:
    async with judge() as cloud:
        said = await cloud.refusal("retry_upgrade", cluster_id=cluster_id)
    assert f"has no failed upgrade to retry: {state}" in said


async def test_a_retry_of_a_running_upgrade_is_refused() -> None:
    async with judge() as cloud:
        await fail_an_upgrade(cloud)
        await cloud.send("retry_upgrade", cluster_id=CHECKOUT_STAGING)
        said = await cloud.refusal("retry_upgrade", cluster_id=CHECKOUT_STAGING)
    assert "its latest is running" in said


async def test_an_upgrade_that_was_given_up_cannot_be_retried() -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        await fail_an_upgrade(cloud)
        await cloud.send("cancel_upgrade_workflow", **workflow)
        said = await cloud.refusal("retry_upgrade", cluster_id=CHECKOUT_STAGING)
        cloud.fail("list_upgrade_workflows")
        impact = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
    assert f"given up when workflow {workflow['upgrade_workflow_id']} was cancelled" in said
    assert "Could not be read: whether the failed upgrade was given up." in impact.warnings
    assert "The cluster is Available: the failed upgrade may have been given up already." in impact.warnings


async def test_a_retry_that_cannot_be_judged_is_refused() -> None:
    async with judge() as cloud:
        await fail_an_upgrade(cloud)
        cloud.fail("list_upgrade_tasks")
        assert "could not be read" in await cloud.refusal("retry_upgrade", cluster_id=CHECKOUT_STAGING)


async def test_a_second_failure_is_another_retry_but_time_alone_is_not() -> None:
    async with judge() as cloud:
        await fail_an_upgrade(cloud)
        first = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
        cloud.world.advance(7200)
        later = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
        cloud.world.table("upgrade_tasks")[first.stable["task"]["id"]]["spec"]["items"] = {"step": "DrainNode"}
        other = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
    assert first.fingerprint() == later.fingerprint() != other.fingerprint()


async def test_cancelling_shows_the_stages_and_that_a_failed_upgrade_is_given_up() -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        idle = await cloud.impact("cancel_upgrade_workflow", **workflow)
        await fail_an_upgrade(cloud)
        impact = await cloud.impact("cancel_upgrade_workflow", **workflow)
    assert (impact.name, impact.effect) == ("checkout-staging", "disrupt")
    assert impact.sentence == (
        f"Ends the upgrade workflow of cluster checkout-staging from v1.29.8-r0 to {TARGET} for good."
    )
    assert facts(impact)["workflow"] == f"{workflow['upgrade_workflow_id']}, Pending"
    assert "pre-upgrade check: succeeded" in facts(impact)["stages"]
    assert "upgrade: failed" in facts(impact)["stages"]
    assert impact.goes == ("the failed upgrade is given up: retry_upgrade no longer works for it",)
    assert "what of the half-done upgrade stays in the cluster" in impact.unknown
    assert idle.goes == ("its stages no longer count; no upgrade was started in it",)
    assert idle.fingerprint() != impact.fingerprint()


async def test_a_workflow_in_which_something_runs_cannot_be_cancelled() -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        await cloud.send("run_precheck", cluster_id=CHECKOUT_STAGING, target_version="v1.31")
        checking = await cloud.refusal("cancel_upgrade_workflow", **workflow)
        cloud.world.advance(CHECK_SECONDS)
        await start(cloud)
        upgrading = await cloud.refusal("cancel_upgrade_workflow", **workflow)
    assert "the workflow is Running and cannot be cancelled now" in checking
    assert 'wait_for(kind="upgrade_workflow", id=' in checking
    assert "the workflow is Running and cannot be cancelled now" in upgrading


async def test_a_workflow_that_is_over_cannot_be_cancelled() -> None:
    async with judge() as cloud:
        done = (await cloud.send("list_upgrade_workflows", cluster_id=PAYMENTS_PROD))["items"][0]["metadata"]["uid"]
        said = await cloud.refusal("cancel_upgrade_workflow", cluster_id=PAYMENTS_PROD, upgrade_workflow_id=done)
        workflow = await open_workflow(cloud)
        await cloud.send("cancel_upgrade_workflow", **workflow)
        again = await cloud.refusal("cancel_upgrade_workflow", **workflow)
    assert "the workflow is Success" in said
    assert "the workflow is Cancel" in again


@pytest.mark.parametrize("phase", ["", "Strange", "running"])
async def test_a_workflow_in_an_unknown_state_cannot_be_cancelled(phase: str) -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        cloud.bent["get_upgrade_workflow"] = lambda found: {**found, "status": {"phase": phase}}
        assert "cannot be cancelled now" in await cloud.refusal("cancel_upgrade_workflow", **workflow)


@pytest.mark.parametrize("status", ["Running", "Init", "Pause", "Queuing", "Queueing", "Strange"])
async def test_a_workflow_whose_upgrade_is_under_way_cannot_be_cancelled(status: str) -> None:
    points = [{"taskType": "Cluster", "taskID": "t1", "status": status}]
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        cloud.bent["get_upgrade_workflow"] = lambda found: {
            **found,
            "status": {"phase": "Pending", "pointStatuses": points},
        }
        said = await cloud.refusal("cancel_upgrade_workflow", **workflow)
    assert f"is {status} and cannot be cancelled now" in said
    assert f'wait_for(kind="upgrade_task", id="t1", cluster_id="{CHECKOUT_STAGING}")' in said


async def test_the_upgrade_itself_knows_better_than_the_workflow() -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        await fail_an_upgrade(cloud)
        bend_items(cloud, "list_upgrade_tasks", phase="Running")
        said = await cloud.refusal("cancel_upgrade_workflow", **workflow)
        cloud.fail("list_upgrade_tasks")
        impact = await cloud.impact("cancel_upgrade_workflow", **workflow)
    assert "is Running and cannot be cancelled now" in said
    assert 'wait_for(kind="upgrade_task", id=' in said
    assert "Could not be read: how the upgrade in the workflow stands." in impact.warnings


async def test_a_workflow_of_another_cluster_is_not_cancelled() -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        other = await cloud.send("get_upgrade_workflow", **workflow)
        moved = {**workflow, "cluster_id": PAYMENTS_PROD}
        assert isinstance(await cloud.failure("cancel_upgrade_workflow", **moved), NotFound)
        mine = await open_workflow(cloud, PAYMENTS_PROD)
        cloud.bent["get_upgrade_workflow"] = lambda _: other
        said = await cloud.refusal("cancel_upgrade_workflow", **mine)
    assert f"the upgrade workflow belongs to cluster {CHECKOUT_STAGING}, not to {PAYMENTS_PROD}" in said


@pytest.mark.parametrize("operation", ["get_cluster", "get_upgrade_workflow"])
async def test_a_workflow_that_cannot_be_read_is_not_cancelled(operation: str) -> None:
    async with judge() as cloud:
        workflow = await open_workflow(cloud)
        cloud.fail(operation)
        assert isinstance(await cloud.failure("cancel_upgrade_workflow", **workflow), PermissionDenied)


async def test_a_workflow_of_an_earlier_upgrade_says_nothing_about_this_one() -> None:
    async with judge() as cloud:
        await cloud.send("cancel_upgrade_workflow", **await open_workflow(cloud))
        task = await fail_an_upgrade(cloud)
        impact = await cloud.impact("retry_upgrade", cluster_id=CHECKOUT_STAGING)
    assert impact.stable["task"]["id"] == task
