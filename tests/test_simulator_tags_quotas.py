"""Tags and quotas of the simulated account."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulation import Caller, fresh_world, simulate

from ap_mcp.simulator import constants
from ap_mcp.simulator.tags_quotas import MOST_TAGS
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return fresh_world()


@pytest.fixture
async def cloud(world: World) -> AsyncIterator[Caller]:
    async with Caller(simulate(world)) as caller:
        yield caller


async def tag(cloud: Caller, action: str, tags: list[dict[str, str]], cluster: str = constants.SEARCH_DEV) -> Any:
    return await cloud.send("POST", f"{cloud.project}/clusters/{cluster}/tags/{action}", {"tags": tags})


async def tags_of(cloud: Caller) -> dict[str, str]:
    cluster = (await cloud.send("GET", f"{cloud.project}/clusters/{constants.SEARCH_DEV}")).json()
    return {each["key"]: each["value"] for each in cluster["spec"].get("clusterTags", [])}


async def test_adding_tags_keeps_the_others_and_overwrites_equal_keys(cloud: Caller) -> None:
    for _ in range(2):
        answer = await tag(cloud, "create", [{"key": "env", "value": "test"}, {"key": "cost center", "value": ""}])
        assert (answer.status_code, answer.content) == (204, b"")
        assert await tags_of(cloud) == {"cost center": "", "env": "test", "team": "search"}


async def test_deleting_tags_accepts_keys_that_are_not_there(cloud: Caller) -> None:
    for _ in range(2):
        answer = await tag(cloud, "delete", [{"key": "env"}, {"key": "never-there"}])
        assert (answer.status_code, answer.content) == (204, b"")
        assert await tags_of(cloud) == {"team": "search"}
    await tag(cloud, "delete", [{"key": "team"}])
    assert await tags_of(cloud) == {}


async def test_a_cluster_holds_twenty_tags_and_no_more(cloud: Caller) -> None:
    there = len(await tags_of(cloud))
    fits = [{"key": f"k{number}", "value": "v"} for number in range(MOST_TAGS - there)]
    assert (await tag(cloud, "create", fits)).status_code == 204
    refused = await tag(cloud, "create", [{"key": "one-more", "value": "v"}])
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "CCE.01400001")
    assert "21 tags" in refused.json()["message"]
    assert (await tag(cloud, "create", [{"key": "k0", "value": "new"}])).status_code == 204


@pytest.mark.parametrize(
    "tags",
    [
        [{"key": "_sys_owner", "value": "x"}],
        [{"key": " padded", "value": "x"}],
        [{"key": "padded ", "value": "x"}],
        [{"key": "", "value": "x"}],
        [{"key": "what?", "value": "x"}],
        [{"key": "k", "value": "a<b"}],
        [{"key": "k" * 129, "value": "x"}],
        [{"key": "k", "value": "x" * 256}],
        [{"key": "k"}],
        [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
        [],
    ],
)
async def test_tags_that_the_service_does_not_take_are_refused(cloud: Caller, tags: list[dict[str, str]]) -> None:
    before = await tags_of(cloud)
    assert (await tag(cloud, "create", tags)).status_code == 400
    assert await tags_of(cloud) == before


@pytest.mark.parametrize("key", ["环境", "a.b:c/d=e+f-g@h", "k" * 128, "Größe 2"])
async def test_unusual_but_allowed_tags_are_taken(cloud: Caller, key: str) -> None:
    assert (await tag(cloud, "create", [{"key": key, "value": key}])).status_code == 204
    assert (await tags_of(cloud))[key] == key


async def test_tags_of_a_cluster_that_is_not_there_are_not_found(cloud: Caller) -> None:
    for action, tags in (("create", [{"key": "k", "value": "v"}]), ("delete", [{"key": "k"}])):
        assert (await tag(cloud, action, tags, constants.VPC_ID)).status_code == 404


async def test_the_quota_counts_the_clusters_that_are_there(cloud: Caller, world: World) -> None:
    async def quota() -> Any:
        (only,) = (await cloud.send("GET", f"{cloud.project}/quotas")).json()["quotas"]
        return only

    before = await quota()
    assert before == {
        "quotaKey": "autopilot_cluster",
        "quotaLimit": 20,
        "used": len(constants.CLUSTER_NAMES),
        "unit": "count",
        "regionId": constants.REGION,
    }
    await cloud.send("DELETE", f"{cloud.project}/clusters/{constants.TEAM_SANDBOX}")
    world.advance(600)
    assert (await quota())["used"] == before["used"] - 1
