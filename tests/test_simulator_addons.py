"""How simulated add-ons are installed, upgraded, rolled back and removed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from simulation import Caller, fresh_world, simulate

from ap_mcp.simulator.addon_catalogue import PRODUCTS
from ap_mcp.simulator.addon_templates import fits
from ap_mcp.simulator.addons import addons_of, unfit_addons
from ap_mcp.simulator.constants import ML_BATCH, PAYMENTS_PROD, SEARCH_DEV, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio

ADDONS = "/autopilot/v3/addons"
NOWHERE = "00000000-0000-1000-8000-000000000000"


@pytest.fixture
def world() -> World:
    return fresh_world()


@pytest.fixture
def caller(world: World) -> Iterator[Caller]:
    app = simulate(world)
    yield Caller(app)
    assert app.state.violations == []


def request(kind: str, cluster_id: str, name: str, version: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    spec = {"clusterID": cluster_id, "addonTemplateName": name, "values": values}
    return {
        "kind": "Addon",
        "apiVersion": "v3",
        "metadata": {"annotations": {f"addon.{kind}/type": kind}},
        "spec": spec | ({"version": version} if version else {}),
    }


async def install(
    caller: Caller, name: str, version: str | None = None, *, cluster: str = TEAM_SANDBOX, **values: Any
) -> httpx.Response:
    return await caller.send("POST", ADDONS, request("install", cluster, name, version, values))


async def upgrade(caller: Caller, addon: Mapping[str, Any], version: str, **values: Any) -> httpx.Response:
    spec = addon["spec"]
    body = request("upgrade", spec["clusterID"], spec["addonTemplateName"], version, values)
    return await caller.send("PUT", f"{ADDONS}/{addon['metadata']['uid']}", body)


async def rollback(caller: Caller, addon: Mapping[str, Any]) -> httpx.Response:
    path = f"{ADDONS}/{addon['metadata']['uid']}/operation/rollback"
    return await caller.send("POST", path, {"clusterID": addon["spec"]["clusterID"]})


async def read(caller: Caller, addon: Mapping[str, Any]) -> Any:
    answer = await caller.send("GET", f"{ADDONS}/{addon['metadata']['uid']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(caller: Caller, cluster_id: str) -> dict[str, Any]:
    answer = await caller.send("GET", ADDONS, query=[("cluster_id", cluster_id)])
    return {each["spec"]["addonTemplateName"]: each for each in answer.json()["items"]}


def refused(answer: httpx.Response, status: int, code: str, *said: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["errorCode"] == code
    assert all(part in answer.text for part in said), answer.text


async def test_the_catalogue_is_large_and_each_version_says_which_clusters_it_fits(caller: Caller) -> None:
    answer = await caller.send("GET", "/autopilot/v3/addontemplates")
    items = answer.json()["items"]
    assert len(items) == len(PRODUCTS) >= 12
    assert len(answer.content) > 100_000
    for item in items:
        assert len(item["spec"]["versions"]) > 1
        assert all(version["supportVersions"] and version["input"] for version in item["spec"]["versions"])


async def test_templates_are_found_by_name_or_alias_and_an_unknown_name_finds_none(caller: Caller) -> None:
    found = {}
    for name in ("coredns", "kube-prometheus-stack", "nothing"):
        answer = await caller.send("GET", "/autopilot/v3/addontemplates", query=[("addon_template_name", name)])
        found[name] = [each["metadata"]["name"] for each in answer.json()["items"]]
    assert found == {"coredns": ["coredns"], "kube-prometheus-stack": ["cie-collector"], "nothing": []}


async def test_every_available_cluster_has_the_standard_addons(caller: Caller, world: World) -> None:
    for cluster_id, cluster in world.table("clusters").items():
        names = set(await listed(caller, cluster_id))
        assert {"coredns", "metrics-server"} <= names or cluster["status"]["phase"] != "Available"


async def test_a_list_leaves_the_values_out_and_a_read_has_them(caller: Caller) -> None:
    addon = (await listed(caller, SHOP_PROD))["coredns"]
    assert addon["spec"]["values"] is None
    assert (await read(caller, addon))["spec"]["values"]["flavor"]["replicas"] == 2


async def test_an_addon_of_shop_prod_blocks_an_upgrade_until_it_is_new_enough(caller: Caller, world: World) -> None:
    blocking = unfit_addons(world, SHOP_PROD, "v1.30.10-r0")
    assert [(row["metadata"]["name"], row["spec"]["version"]) for row in blocking] == [("nginx-ingress", "2.1.5")]
    addon = (await listed(caller, SHOP_PROD))["nginx-ingress"]
    assert addon["status"]["targetVersions"] == ["2.6.0", "2.6.32", "3.0.8"]
    assert (await upgrade(caller, addon, "2.6.0")).status_code == 200
    world.advance(60)
    assert unfit_addons(world, SHOP_PROD, "v1.30.10-r0") == []


async def test_an_installation_takes_its_time_and_gets_the_newest_fitting_stable_version(
    caller: Caller, world: World
) -> None:
    answer = await install(caller, "nginx-ingress")
    addon = answer.json()
    assert answer.status_code == 201
    assert (addon["status"]["status"], addon["spec"]["version"]) == ("installing", "3.0.8")
    assert addon["status"]["targetVersions"] is None
    world.advance(10)
    assert (await read(caller, addon))["status"]["status"] == "installing"
    world.advance(20)
    status = (await read(caller, addon))["status"]
    assert (status["status"], status["isRollbackable"], status["targetVersions"]) == ("running", False, ["4.0.3"])


async def test_values_not_sent_are_those_of_the_template(caller: Caller) -> None:
    addon = (await install(caller, "grafana", custom={"storage_size": "20Gi", "_note": "kept"})).json()
    values = addon["spec"]["values"]
    assert values["custom"]["storage_size"] == "20Gi"
    assert values["custom"]["storage_class"] == "csi-disk"
    assert values["custom"]["_note"] == "kept"
    assert values["flavor"]["name"] == "autopilot-flavor1"
    assert values["systemAutoInject"]["cluster"]["clusterID"] == TEAM_SANDBOX


async def test_an_upgrade_forgets_every_value_that_is_not_sent_again(caller: Caller, world: World) -> None:
    addon = (await install(caller, "grafana", "1.3.4", custom={"storage_size": "20Gi"})).json()
    world.advance(60)
    changed = (await upgrade(caller, addon, "1.3.4", custom={"publicAccess": False})).json()
    assert changed["spec"]["values"]["custom"]["storage_size"] == "5Gi"
    assert changed["status"]["status"] == "upgrading"


async def test_an_upgrade_can_be_rolled_back_once_with_the_values_of_before(caller: Caller, world: World) -> None:
    addon = (await install(caller, "nginx-ingress", "2.6.32", custom={"ingressClass": "edge"})).json()
    world.advance(60)
    going = (await upgrade(caller, addon, "3.0.8")).json()
    assert (going["spec"]["version"], going["status"]["status"]) == ("3.0.8", "upgrading")
    assert not going["status"]["isRollbackable"]
    world.advance(60)
    done = await read(caller, addon)
    assert (done["status"]["isRollbackable"], done["status"]["previousVersion"]) == (True, "2.6.32")
    back = (await rollback(caller, addon)).json()
    assert (back["status"]["status"], back["spec"]["version"]) == ("rollbacking", "2.6.32")
    assert back["status"]["previousVersion"] == "3.0.8"
    world.advance(60)
    settled = await read(caller, addon)
    assert settled["status"]["status"] == "running"
    assert settled["spec"]["values"]["custom"]["ingressClass"] == "edge"
    refused(await rollback(caller, addon), 400, "CCE.03400001", "isRollbackable is false")


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        *((status, True) for status in ("running", "available", "abnormal", "upgradeFailed", "rollbackFailed")),
        *((status, False) for status in ("installing", "installFailed", "deleting", "deleteFailed", "unknown")),
    ],
)
async def test_a_rollback_is_possible_in_five_states_only(
    caller: Caller, world: World, status: str, allowed: bool
) -> None:
    addon = (await listed(caller, PAYMENTS_PROD))["nginx-ingress"]
    await upgrade(caller, addon, "3.0.8")
    world.advance(60)
    world.table("addons")[addon["metadata"]["uid"]]["status"]["status"] = status
    answer = await rollback(caller, addon)
    assert answer.status_code == (200 if allowed else 400), answer.text


async def test_a_change_of_values_alone_leaves_nothing_to_roll_back_to(caller: Caller, world: World) -> None:
    addon = (await listed(caller, TEAM_SANDBOX))["coredns"]
    assert (await upgrade(caller, addon, addon["spec"]["version"], flavor={"replicas": 3})).status_code == 200
    world.advance(60)
    status = (await read(caller, addon))["status"]
    assert (status["status"], status["isRollbackable"]) == ("running", False)


async def test_a_failed_upgrade_says_why_and_can_be_rolled_back(caller: Caller, world: World) -> None:
    addon = (await install(caller, "nginx-ingress", "2.6.32")).json()
    world.advance(60)
    await upgrade(caller, addon, "3.0.8", custom={"publicAccess": True})
    world.advance(60)
    status = (await read(caller, addon))["status"]
    assert (status["status"], status["isRollbackable"]) == ("upgradeFailed", True)
    assert "eipID must not be empty" in status["message"]
    assert (await rollback(caller, addon)).status_code == 200


@pytest.mark.parametrize(
    ("values", "status", "said"),
    [
        ({"flavor": {"replicas": 0}}, "installFailed", "above zero"),
        ({"flavor": {"replicas": "two"}}, "installFailed", "above zero"),
        ({"flavor": {"replicas": 30}}, "available", "20 of 30 pods"),
        ({"basic": {"swr_addr": "swr.elsewhere.example"}}, "abnormal", "ImagePullBackOff"),
        ({"custom": {"rotation_enable": True}}, "installFailed", "agency_name"),
        ({"custom": {"rotation_enable": True, "agency_name": "reader"}, "flavor": None}, "running", ""),
    ],
)
async def test_an_installation_ends_as_its_values_make_it(
    caller: Caller, world: World, values: dict[str, Any], status: str, said: str
) -> None:
    addon = (await install(caller, "dew-provider", **values)).json()
    world.advance(60)
    found = (await read(caller, addon))["status"]
    assert found["status"] == status
    assert said in found["message"]


async def test_a_failed_installation_must_be_removed_before_it_is_tried_again(caller: Caller, world: World) -> None:
    broken = (await listed(caller, SEARCH_DEV))["dew-provider"]
    assert broken["status"]["status"] == "installFailed"
    refused(await upgrade(caller, broken, "1.1.33"), 400, "CCE.03400001", "installFailed cannot be upgraded")
    refused(await install(caller, "dew-provider", cluster=SEARCH_DEV), 409, "CCE.03409001", "dew-provider")
    path, query = f"{ADDONS}/{broken['metadata']['uid']}", [("cluster_id", SEARCH_DEV)]
    assert (await caller.send("DELETE", path, query=query)).text == "success"
    world.advance(60)
    assert (await install(caller, "dew-provider", cluster=SEARCH_DEV)).status_code == 201


async def test_a_deleted_addon_is_deleting_and_then_gone(caller: Caller, world: World) -> None:
    addon = (await listed(caller, PAYMENTS_PROD))["log-agent"]
    path, query = f"{ADDONS}/{addon['metadata']['uid']}", [("cluster_id", PAYMENTS_PROD)]
    for _ in range(2):
        answer = await caller.send("DELETE", path, query=query)
        assert (answer.text, answer.headers["content-type"]) == ("success", "text/plain")
    assert (await read(caller, addon))["status"]["status"] == "deleting"
    world.advance(60)
    refused(await caller.send("GET", path), 404, "CCE.03404001", addon["metadata"]["uid"])
    assert "log-agent" not in await listed(caller, PAYMENTS_PROD)


async def test_an_addon_that_is_deleted_while_it_installs_does_not_come_back(caller: Caller, world: World) -> None:
    addon = (await install(caller, "grafana")).json()
    await caller.send("DELETE", f"{ADDONS}/{addon['metadata']['uid']}")
    world.advance_until_idle(3600)
    assert "grafana" not in await listed(caller, TEAM_SANDBOX)


async def test_what_cannot_be_installed_is_refused_with_the_reason(caller: Caller) -> None:
    refused(await install(caller, "no-such-thing"), 404, "CCE.03404001", "no-such-thing")
    refused(await install(caller, "grafana", "9.9.9"), 404, "CCE.03404001", "9.9.9")
    refused(await install(caller, "coredns"), 409, "CCE.03409001", "Addon instance has installed.")
    refused(await install(caller, "grafana", "1.3.0"), 400, "CCE.03400001", "v1.31", "possible: 1.3.4")
    refused(await install(caller, "grafana", cluster=NOWHERE), 404, "CCE.03404001", NOWHERE)
    refused(await install(caller, "grafana", cluster=ML_BATCH), 400, "CCE.03400001", "Creating")


async def test_an_addon_cannot_be_reached_through_another_cluster(caller: Caller) -> None:
    addon = (await listed(caller, SHOP_PROD))["coredns"]
    path, query = f"{ADDONS}/{addon['metadata']['uid']}", [("cluster_id", TEAM_SANDBOX)]
    for method in ("GET", "DELETE"):
        refused(await caller.send(method, path, query=query), 404, "CCE.03404001", TEAM_SANDBOX)
    disguised = {**addon, "spec": {**addon["spec"], "clusterID": TEAM_SANDBOX}}
    refused(await upgrade(caller, disguised, "1.30.29"), 404, "CCE.03404001", TEAM_SANDBOX)
    refused(await rollback(caller, disguised), 404, "CCE.03404001", TEAM_SANDBOX)


async def test_an_upgrade_goes_only_where_the_service_offers_and_only_from_a_settled_state(caller: Caller) -> None:
    addon = (await listed(caller, PAYMENTS_PROD))["nginx-ingress"]
    refused(await upgrade(caller, addon, "2.1.5"), 400, "CCE.03400001", "possible: 3.0.8, 4.0.3")
    other = {**addon, "spec": {**addon["spec"], "addonTemplateName": "coredns"}}
    refused(await upgrade(caller, other, "3.0.8"), 400, "CCE.03400001", "coredns")
    assert (await upgrade(caller, addon, "3.0.8")).status_code == 200
    refused(await upgrade(caller, addon, "4.0.3"), 400, "CCE.03400001", "upgrading cannot be upgraded")
    refused(await rollback(caller, addon), 400, "CCE.03400001", "upgrading cannot be rolled back")


@pytest.mark.parametrize("spoil", ["annotations", "values", "unknown"])
async def test_a_request_that_does_not_fit_the_spec_is_refused(caller: Caller, spoil: str) -> None:
    body = request("install", TEAM_SANDBOX, "grafana", None, {})
    if spoil == "annotations":
        body["metadata"]["annotations"] = {"addon.install/type": "upgrade"}
    elif spoil == "values":
        del body["spec"]["values"]
    else:
        body["spec"]["replicas"] = 2
    refused(await caller.send("POST", ADDONS, body), 400, "CCE.03400001")


async def test_a_new_cluster_comes_with_the_standard_addons_and_those_asked_for(world: World) -> None:
    cluster = world.table("clusters")[ML_BATCH]
    wanted = [
        {"addonTemplateName": "coredns", "values": {"flavor": {"replicas": 3}}},
        {"addonTemplateName": "grafana", "values": {}},
        {"addonTemplateName": "no-such-thing", "values": {}},
    ]
    cluster |= {"_addons": wanted, "spec": {**cluster["spec"], "version": "v1.31"}}
    world.fire("cluster.created", cluster_id=ML_BATCH, job_id="")
    rows = {row["metadata"]["name"]: row for row in addons_of(world, ML_BATCH)}
    assert set(rows) == {"coredns", "metrics-server", "grafana"}
    assert {row["status"]["status"] for row in rows.values()} == {"running"}
    assert rows["coredns"]["spec"]["values"]["flavor"]["replicas"] == 3


async def test_a_deleted_cluster_takes_its_addons_along(world: World) -> None:
    world.fire("cluster.deleted", cluster_id=SHOP_PROD, job_id="")
    assert addons_of(world, SHOP_PROD) == []
    assert addons_of(world, PAYMENTS_PROD)


async def test_a_saved_world_goes_on_where_it_stopped(caller: Caller, world: World) -> None:
    addon = (await install(caller, "grafana")).json()
    again = World.from_json(json.loads(json.dumps(world.to_json())))
    again.advance(60)
    assert again.table("addons")[addon["metadata"]["uid"]]["status"]["status"] == "running"


def test_some_version_of_every_addon_fits_each_cluster_version_on_offer() -> None:
    for product in PRODUCTS:
        for version in ("v1.28.15-r2", "v1.29", "v1.30.10-r0", "v1.31.6-r0"):
            assert any(fits(product.name, release.version, version) for release in product.releases)
