import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from calling import Tools
from simulation import Caller, simulate

from ap_mcp.binding import FilePart
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import PAYMENTS_API, PAYMENTS_API_OLD, REDIS, SEARCH_API
from ap_mcp.simulator.constants import LEGACY_IMPORT, ML_BATCH, PAYMENTS_PROD, SEARCH_DEV, TEAM_SANDBOX
from ap_mcp.simulator.releases import MOST_REVISIONS, merged
from ap_mcp.simulator.world import World
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio

UNKNOWN = "00000000-0000-11ef-8f53-0255ac100000"
CACHE = {"cluster_id": SEARCH_DEV, "namespace": "default", "name": "query-cache"}
NEW = {"cluster_id": SEARCH_DEV, "namespace": "shop", "name": "carts"}
INSTALL: dict[str, Any] = {**NEW, "chart_id": REDIS, "version": "18.6.1", "values": {"replicas": 3}}
UPGRADE: dict[str, Any] = {**CACHE, "action": "upgrade", "chart_id": REDIS, "values": {"replicas": 2}}
ROLLBACK: dict[str, Any] = {**CACHE, "action": "rollback", "chart_id": REDIS, "revision": 1}


@pytest.fixture
async def cloud(catalog: Catalog) -> AsyncIterator[Tools]:
    async with Caller(simulate()) as caller:
        yield Tools(catalog, caller)


async def status_of(cloud: Tools, release: dict[str, str]) -> str:
    return str((await cloud("get_release", **release)).json()["status"])


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errorCode"]


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["message"])


async def test_the_seed_account_runs_releases(cloud: Tools) -> None:
    listed = (await cloud("list_releases", cluster_id=PAYMENTS_PROD)).json()
    shown = [(release["name"], release["status"], release["chart_version"], release["version"]) for release in listed]
    assert shown == [("payments-api", "DEPLOYED", "1.9.0", 5), ("sessions-redis", "DEPLOYED", "18.6.1", 1)]
    assert {release["cluster_name"] for release in listed} == {"payments-prod"}
    broken = (await cloud("get_release", cluster_id=SEARCH_DEV, namespace="search", name="search-api")).json()
    assert (broken["status"], broken["version"]) == ("FAILED", 2)
    assert "ImagePullBackOff" in broken["status_description"]
    assert (await cloud("list_releases", cluster_id=TEAM_SANDBOX)).json() == []


async def test_releases_are_listed_by_namespace_and_by_chart(cloud: Tools) -> None:
    async def names(**filters: str) -> list[str]:
        answer = await cloud("list_releases", cluster_id=SEARCH_DEV, **filters)
        return [release["name"] for release in answer.json()]

    assert await names() == ["query-cache", "search-api"]
    assert await names(namespace="search") == ["search-api"]
    assert await names(chart_id=REDIS) == ["query-cache"]
    assert await names(namespace="search", chart_id=REDIS) == []


async def test_a_release_is_installed_on_the_clock_with_its_values_over_the_chart_s(cloud: Tools) -> None:
    created = await cloud("create_release", **INSTALL, description="carts of guests")
    assert created.status_code == 201
    release = created.json()
    assert (release["status"], release["version"], release["chart_name"]) == ("PENDING_INSTALL", 1, "redis")
    assert release["description"] == "carts of guests"
    values = json.loads(release["values"])
    assert (values["replicas"], values["service"]) == (3, {"port": 6379})
    assert release["create_at"].endswith("+08:00")
    cloud.world.advance(29)
    assert await status_of(cloud, NEW) == "PENDING_INSTALL"
    cloud.world.advance(1)
    assert await status_of(cloud, NEW) == "DEPLOYED"


async def test_hooks_take_time_unless_they_are_skipped(cloud: Tools) -> None:
    install = {
        "cluster_id": SEARCH_DEV,
        "chart_id": PAYMENTS_API,
        "version": "1.9.0",
        "values": {},
        "namespace": "shop",
    }
    for name, skip in (("slow", False), ("fast", True)):
        await cloud("create_release", **install, name=name, no_hooks=skip)
    cloud.world.advance(30)
    found = {row["name"]: row["status"] for row in (await cloud("list_releases", cluster_id=SEARCH_DEV)).json()}
    assert (found["slow"], found["fast"]) == ("PENDING_INSTALL", "DEPLOYED")


async def test_checking_an_installation_or_an_update_changes_nothing(cloud: Tools) -> None:
    before = cloud.world.to_json()["tables"]
    checked = await cloud("create_release", **INSTALL, check_only=True)
    assert (checked.status_code, checked.json()["status_description"]) == (201, "Dry run complete")
    for update in (UPGRADE, ROLLBACK):
        checked = await cloud("update_release", **update, check_only=True)
        assert (checked.json()["version"], checked.json()["status_description"]) == (2, "Dry run complete")
    assert (await cloud("get_release", **NEW)).status_code == 404
    assert cloud.world.to_json()["tables"] == before


async def test_a_taken_name_needs_replace_and_then_starts_a_new_history(cloud: Tools) -> None:
    again = {**INSTALL, **CACHE}
    answer = await cloud("create_release", **again)
    assert refused(answer) == (409, "CCE.02409001")
    assert "'query-cache' is taken in the namespace 'default'" in reason(answer)
    await cloud("update_release", **UPGRADE)
    cloud.world.advance(60)
    assert (await cloud("create_release", **again, replace=True)).status_code == 201
    cloud.world.advance(60)
    assert [each["version"] for each in (await cloud("get_release_history", **CACHE)).json()] == [1]


async def test_an_image_that_cannot_be_pulled_ends_in_a_failed_release(cloud: Tools) -> None:
    await cloud("create_release", **{**INSTALL, "values": {"image": {"tag": "broken"}}})
    cloud.world.advance(60)
    release = (await cloud("get_release", **NEW)).json()
    assert release["status"] == "FAILED"
    assert "tag broken not found" in release["status_description"]


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({"cluster_id": UNKNOWN}, (404, "CCE.02404001"), "cluster"),
        ({"chart_id": UNKNOWN}, (404, "CCE.02404001"), "chart"),
        ({"version": "1.0.0"}, (400, "CCE.02400001"), "has version 18.6.1, not 1.0.0"),
        ({"cluster_id": ML_BATCH}, (400, "CCE.02400001"), "'ml-batch' is Creating"),
        ({"cluster_id": LEGACY_IMPORT}, (400, "CCE.02400001"), "'legacy-import' is Error"),
        ({"name": "Not_A_Name"}, (400, "CCE.02400001"), "name"),
        ({"name": "n" * 54}, (400, "CCE.02400001"), "at most 53"),
        ({"namespace": "No Namespace"}, (400, "CCE.02400001"), "namespace"),
        ({"values": []}, (400, "CCE.02400001"), "values"),
    ],
)
async def test_an_installation_that_cannot_work_is_refused_with_its_reason(
    cloud: Tools, change: dict[str, Any], expected: tuple[int, str], said: str
) -> None:
    answer = await cloud("create_release", **{**INSTALL, **change})
    assert refused(answer) == expected
    assert said in reason(answer)
    assert len(cloud.world.table("releases")) == 5


async def test_values_are_checked_by_the_chart_s_own_schema(cloud: Tools) -> None:
    install = {**INSTALL, "chart_id": PAYMENTS_API, "version": "1.9.0", "values": {"replicas": 0}}
    answer = await cloud("create_release", **install)
    assert refused(answer) == (400, "CCE.02400001")
    assert "replicas breaks the rule 'minimum'" in reason(answer)
    answer = await cloud("create_release", **{**install, "values": {"image": None}})
    assert "the values breaks the rule 'required'" in reason(answer)


@pytest.mark.parametrize(
    "schema",
    ['{"$ref": "http://127.0.0.1:1/evil.json"}', '{"type": "weird"}', '{"properties": {"name": {"pattern": "("}}}'],
)
async def test_a_chart_whose_schema_is_unusable_cannot_be_installed_and_fetches_nothing(
    cloud: Tools, schema: str
) -> None:
    files = {
        "Chart.yaml": "apiVersion: v2\nname: unusable\nversion: 1.0.0\n",
        "values.yaml": "a: 1\n",
        "values.schema.json": schema,
        "templates/a.yaml": "kind: Pod\n",
    }
    content = FilePart("unusable-1.0.0.tgz", build_chart("unusable", files))
    chart = (await cloud("upload_chart", chart_path=content)).json()
    answer = await cloud(
        "create_release", **{**INSTALL, "chart_id": chart["id"], "version": "1.0.0", "values": {"name": "x"}}
    )
    assert refused(answer) == (400, "CCE.02400001")
    assert "values.schema.json of unusable cannot be used" in reason(answer)


async def test_an_upgrade_makes_a_new_revision_and_keeps_the_old_one(cloud: Tools) -> None:
    upgraded = (await cloud("update_release", **UPGRADE)).json()
    assert (upgraded["status"], upgraded["version"]) == ("PENDING_UPGRADE", 2)
    assert json.loads(upgraded["values"])["replicas"] == 2
    cloud.world.advance(25)
    assert await status_of(cloud, CACHE) == "DEPLOYED"
    history = (await cloud("get_release_history", **CACHE)).json()
    assert [(each["version"], each["status_description"]) for each in history] == [
        (1, "Superseded by revision 2"),
        (2, "Upgrade complete"),
    ]


async def test_an_upgrade_without_values_keeps_the_given_ones_unless_they_are_reset(cloud: Tools) -> None:
    kept = await cloud("update_release", **{**UPGRADE, "values": {}})
    assert json.loads(kept.json()["values"])["persistence"]["size"] == "4Gi"
    cloud.world.advance(60)
    reset = await cloud("update_release", **{**UPGRADE, "values": {}}, reset_values=True)
    assert json.loads(reset.json()["values"])["persistence"]["size"] == "8Gi"


async def test_an_upgrade_moves_to_another_version_of_the_same_chart_only(cloud: Tools) -> None:
    payments = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api", "action": "upgrade"}
    moved = await cloud("update_release", **payments, chart_id=PAYMENTS_API_OLD, values={"database": {"host": "db"}})
    assert (moved.json()["chart_version"], moved.json()["version"]) == ("1.8.2", 6)
    answer = await cloud("update_release", **{**UPGRADE, "chart_id": SEARCH_API})
    assert "made from 'redis', not from 'search-api'" in reason(answer)


async def test_recreating_pods_and_running_hooks_take_longer(cloud: Tools) -> None:
    payments = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
    update = {**payments, "action": "upgrade", "chart_id": PAYMENTS_API, "values": {}}
    await cloud("update_release", **update, recreate=True, include_hooks=True)
    cloud.world.advance(59)
    assert await status_of(cloud, payments) == "PENDING_UPGRADE"
    cloud.world.advance(1)
    assert await status_of(cloud, payments) == "DEPLOYED"


async def test_a_rollback_brings_back_chart_and_values_as_a_new_revision(cloud: Tools) -> None:
    payments = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
    first = (await cloud("get_release_history", **payments)).json()[0]
    back = await cloud("update_release", **payments, action="rollback", chart_id=PAYMENTS_API, revision=1)
    release = back.json()
    assert (release["status"], release["version"], release["chart_version"]) == ("PENDING_ROLLBACK", 6, "1.8.2")
    assert release["values"] == first["values"]
    cloud.world.advance(15)
    after = (await cloud("get_release", **payments)).json()
    assert (after["status"], after["status_description"]) == ("DEPLOYED", "Rollback to 1")


async def test_a_rollback_to_an_unknown_revision_is_refused(cloud: Tools) -> None:
    answer = await cloud("update_release", **{**ROLLBACK, "revision": 9})
    assert refused(answer) == (404, "CCE.02404001")
    without = {key: value for key, value in ROLLBACK.items() if key != "revision"}
    assert refused(await cloud("update_release", **without)) == (404, "CCE.02404001")


async def test_a_rollback_works_after_its_chart_was_deleted(cloud: Tools) -> None:
    await cloud("update_release", **UPGRADE)
    cloud.world.advance(60)
    await cloud("delete_chart", chart_id=REDIS)
    assert (await cloud("update_release", **ROLLBACK)).status_code == 200
    cloud.world.advance(60)
    assert refused(await cloud("update_release", **UPGRADE)) == (404, "CCE.02404001")


async def test_only_the_last_revisions_are_kept(cloud: Tools) -> None:
    for _ in range(MOST_REVISIONS + 2):
        await cloud("update_release", **UPGRADE)
        cloud.world.advance(60)
    versions = [each["version"] for each in (await cloud("get_release_history", **CACHE)).json()]
    assert versions == list(range(3, MOST_REVISIONS + 4))


async def test_a_busy_release_refuses_changes_until_it_is_done(cloud: Tools) -> None:
    await cloud("update_release", **UPGRADE)
    for tool, arguments in (("update_release", ROLLBACK), ("create_release", {**INSTALL, **CACHE, "replace": True})):
        answer = await cloud(tool, **arguments)
        assert refused(answer) == (403, "CCE.02403001")
        assert "is being upgraded" in reason(answer)
    cloud.world.advance(60)
    assert (await cloud("update_release", **ROLLBACK)).status_code == 200


async def test_a_deleted_release_is_being_removed_and_then_unknown(cloud: Tools) -> None:
    deleted = await cloud("delete_release", **CACHE)
    assert (deleted.status_code, deleted.text) == (200, "success")
    assert await status_of(cloud, CACHE) == "DELETING"
    assert (await cloud("delete_release", **CACHE)).text == "success"
    assert refused(await cloud("update_release", **UPGRADE)) == (403, "CCE.02403001")
    cloud.world.advance(10)
    for tool in ("get_release", "get_release_history", "delete_release"):
        assert refused(await cloud(tool, **CACHE)) == (404, "CCE.02404001")


async def test_a_deletion_overtakes_a_running_upgrade(cloud: Tools) -> None:
    await cloud("update_release", **UPGRADE)
    await cloud("delete_release", **CACHE)
    cloud.world.advance(60)
    assert (await cloud("get_release", **CACHE)).status_code == 404
    assert (await cloud("create_release", **{**INSTALL, **CACHE})).status_code == 201


async def test_a_release_of_another_cluster_is_not_found(cloud: Tools) -> None:
    assert refused(await cloud("get_release", **{**CACHE, "cluster_id": PAYMENTS_PROD})) == (404, "CCE.02404001")


async def test_an_unknown_action_is_refused(cloud: Tools) -> None:
    assert refused(await cloud("update_release", **{**UPGRADE, "action": "downgrade"})) == (400, "CCE.02400001")


async def test_releases_under_way_survive_saving_and_loading_the_world(cloud: Tools) -> None:
    await cloud("update_release", **UPGRADE)
    world = World.from_json(json.loads(json.dumps(cloud.world.to_json())))
    world.advance(60)
    assert world.table("releases")[f"{SEARCH_DEV}/default/query-cache"]["status"] == "DEPLOYED"


def test_values_merge_maps_and_null_removes() -> None:
    defaults = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": 5}
    assert merged(defaults, {"a": {"b": None, "x": {"y": 1}}, "d": [3], "e": {"f": None, "g": 1}}) == {
        "a": {"c": 2, "x": {"y": 1}},
        "d": [3],
        "e": {"g": 1},
    }
    assert defaults == {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": 5}
