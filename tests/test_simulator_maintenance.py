"""Maintenance windows of the simulated account, and the upgrades that the service makes in them by itself."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulation import Caller, simulate

from ap_mcp.simulator import constants
from ap_mcp.simulator.maintenance import PLANS, WINDOWS
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio

DAY = 86400
WINDOW = {"weekly_period": "Friday,Saturday", "start_time": "02:00", "duration_hours": 4}


@pytest.fixture
def world() -> World:
    return seeded_world()


@pytest.fixture
async def cloud(world: World) -> AsyncIterator[Caller]:
    async with Caller(simulate(world)) as caller:
        yield caller


async def window(cloud: Caller, method: str, body: Any = None, cluster: str = constants.SEARCH_DEV) -> Any:
    return await cloud.send(method, f"{cloud.project}/clusters/{cluster}/maintenancewindows", body)


async def plans(cloud: Caller, cluster: str = constants.SEARCH_DEV) -> list[dict[str, Any]]:
    answer = await cloud.send("GET", f"{cloud.project}/clusters/{cluster}/upgradeplans")
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def move(cloud: Caller, plan: dict[str, Any], start: str) -> Any:
    where = f"{cloud.project}/clusters/{plan['spec']['clusterID']}/upgradeplans/{plan['metadata']['uid']}"
    return await cloud.send("PUT", where, {"notBefore": start})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weekly_period": "Friday,Someday"}, "'Someday' is no day"),
        ({"weekly_period": "Friday,Friday"}, "given twice"),
        ({"start_time": "25:00"}, "no time such as 02:00"),
        ({"start_time": "2am"}, "no time such as 02:00"),
        ({"duration_hours": 25}, "more than 24"),
        ({"duration_hours": 0}, "duration_hours"),
    ],
)
async def test_what_is_no_window_is_refused(cloud: Caller, world: World, change: dict[str, Any], said: str) -> None:
    answer = await window(cloud, "POST", {**WINDOW, **change})
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert constants.SEARCH_DEV not in world.table(WINDOWS)


async def test_a_cluster_has_one_window(cloud: Caller) -> None:
    assert (await window(cloud, "POST", WINDOW)).status_code == 201
    again = await window(cloud, "POST", WINDOW)
    assert (again.status_code, again.json()["errorCode"]) == (409, "CCE.01409001")
    for method, body in (("GET", None), ("PUT", WINDOW), ("DELETE", None)):
        missing = await window(cloud, method, body, constants.CHECKOUT_STAGING)
        assert (missing.status_code, missing.json()["errorCode"]) == (404, "CCE.01404001")


async def test_a_window_plans_the_upgrade_to_the_newest_patch_version_a_month_ahead(
    cloud: Caller, world: World
) -> None:
    await window(cloud, "POST", WINDOW)
    (plan,) = await plans(cloud)
    assert (plan["spec"]["clusterVersion"], plan["spec"]["targetVersion"]) == ("v1.30.4-r2", "v1.30.10-r0")
    assert plan["spec"]["notBefore"] == "2025-07-04T02:00:00Z"  # a Friday, 32 days after that Monday
    assert plan["spec"]["notBefore"] < plan["spec"]["notBeforeDeadline"] < plan["spec"]["notAfter"]
    await window(cloud, "PUT", {**WINDOW, "weekly_period": "Sunday"})
    (moved,) = await plans(cloud)
    assert (moved["metadata"]["uid"], moved["spec"]["notBefore"]) == (plan["metadata"]["uid"], "2025-07-06T02:00:00Z")
    await window(cloud, "DELETE")
    assert await plans(cloud) == []
    await window(cloud, "POST", WINDOW, constants.TEAM_SANDBOX)
    assert await plans(cloud, constants.TEAM_SANDBOX) == [], "it runs the newest already"
    world.advance(40 * DAY)
    assert world.table("clusters")[constants.SEARCH_DEV]["_version"] == "v1.30.4-r2"


async def test_the_service_makes_the_upgrade_when_it_is_due(cloud: Caller, world: World) -> None:
    await window(cloud, "POST", WINDOW)
    world.advance(33 * DAY)
    (plan,) = await plans(cloud)
    assert plan["status"]["phase"] == "Success"
    assert world.table("clusters")[constants.SEARCH_DEV]["_version"] == "v1.30.10-r0"
    late = await move(cloud, plan, "2025-07-20T02:00:00Z")
    assert (late.status_code, "only one that waits" in late.json()["message"]) == (400, True)


async def test_an_upgrade_that_is_moved_starts_later_and_not_before(cloud: Caller, world: World) -> None:
    await window(cloud, "POST", WINDOW)
    (plan,) = await plans(cloud)
    deadline = plan["spec"]["notBeforeDeadline"]
    for start, said in (
        (deadline, f"must be before notBeforeDeadline {deadline}"),
        ("2025-01-01T00:00:00Z", "is past"),
        ("tomorrow", "no time such as"),
    ):
        refused = await move(cloud, plan, start)
        assert (refused.status_code, said in refused.json()["message"]) == (400, True)
    assert (await move(cloud, plan, "2025-07-20T12:00:00Z")).json()["spec"]["notBefore"] == "2025-07-20T12:00:00Z"
    world.advance(40 * DAY)
    assert world.table("clusters")[constants.SEARCH_DEV]["_version"] == "v1.30.4-r2"
    world.advance(10 * DAY)
    assert world.table("clusters")[constants.SEARCH_DEV]["_version"] == "v1.30.10-r0"
    missing = await move(cloud, {**plan, "metadata": {"uid": "nothing"}}, "2025-08-20T12:00:00Z")
    assert missing.status_code == 404


async def test_a_busy_cluster_is_upgraded_in_a_later_window_or_not_at_all(cloud: Caller, world: World) -> None:
    await window(cloud, "POST", WINDOW)
    cluster = world.table("clusters")[constants.SEARCH_DEV]
    cluster["status"]["phase"] = "Upgrading"
    world.advance(33 * DAY)
    assert [each["spec"]["notBefore"] for each in await plans(cloud)] == ["2025-07-11T02:00:00Z"]
    world.advance(60 * DAY)
    assert [each["status"]["phase"] for each in await plans(cloud)] == ["Expired"]


async def test_a_plan_for_a_version_that_the_cluster_has_left_no_longer_counts(cloud: Caller, world: World) -> None:
    world.table("clusters")[constants.PAYMENTS_PROD]["_version"] = "v1.31.6-r0"
    assert await plans(cloud, constants.PAYMENTS_PROD) == []
    world.advance(40 * DAY)
    assert [each for each in world.table(PLANS).values() if each["_clusterID"] == constants.PAYMENTS_PROD] == []


async def test_a_deleted_cluster_leaves_no_window_and_no_plan(cloud: Caller, world: World) -> None:
    await window(cloud, "POST", WINDOW)
    await cloud.send("DELETE", f"{cloud.project}/clusters/{constants.SEARCH_DEV}")
    world.advance(DAY)
    assert constants.SEARCH_DEV not in world.table("clusters")
    assert constants.SEARCH_DEV not in world.table(WINDOWS)
    world.advance(40 * DAY)
    assert [each for each in world.table(PLANS).values() if each["_clusterID"] == constants.SEARCH_DEV] == []


async def test_both_production_clusters_have_a_window_and_a_planned_upgrade_from_the_start(cloud: Caller) -> None:
    for cluster in (constants.SHOP_PROD, constants.PAYMENTS_PROD):
        assert (await window(cloud, "GET", cluster=cluster)).status_code == 200
        (plan,) = await plans(cloud, cluster)
        assert plan["status"]["phase"] == "Pending"


async def test_a_job_record_is_the_job_in_lower_case(cloud: Caller, world: World) -> None:
    records = (await cloud.send("GET", cloud.project.replace("/v3/", "/v2/") + "/jobs")).json()
    jobs = world.table("jobs")
    assert [each["metadata"]["uid"] for each in records] == list(jobs)
    failed = next(each for each in records if each["status"]["status"] == "Failed")
    job = jobs[failed["metadata"]["uid"]]
    assert failed["spec"]["clusteruid"] == job["spec"]["clusterUID"]
    assert len(failed["spec"]["subjobs"]) == len(job["spec"]["subJobs"])
    assert failed["status"]["completionTime"] == job["metadata"]["updateTimestamp"]
    (waiting,) = (each for each in records if each is not failed)
    assert waiting["status"] == {"status": "Initializing", "reason": ""}
    path = f"{cloud.project.replace('/v3/', '/v2/')}/jobs/{waiting['metadata']['uid']}"
    refused = await cloud.send("DELETE", path)
    assert refused.status_code == 400
    assert "only the record of a job that has ended can be deleted" in refused.text
