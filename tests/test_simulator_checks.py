"""What a simulated pre-upgrade check finds, how long it takes, and how long it counts."""

from collections.abc import AsyncIterator

import pytest
from simulation import Caller, simulate
from upgrading import CHECK_SECONDS, Upgrader, failed_items, refused

from ap_mcp.simulator import constants
from ap_mcp.simulator.check_items import NODE_ITEMS, Skips, make_nodes, spread_findings
from ap_mcp.simulator.check_items import Item as CheckItem
from ap_mcp.simulator.prechecks import add_findings, large_precheck

pytestmark = pytest.mark.anyio

RISKY = "ContainerdPodRestartRisk"
NOWHERE = "00000000-0000-1000-8000-000000000000"


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    app = simulate()
    async with Caller(app) as caller:
        yield caller
    assert app.state.violations == []


@pytest.fixture
def shop(caller: Caller) -> Upgrader:
    return Upgrader(caller, constants.SHOP_PROD)


@pytest.fixture
def staging(caller: Caller) -> Upgrader:
    return Upgrader(caller, constants.CHECKOUT_STAGING)


async def test_a_check_goes_through_its_groups_one_after_the_other(staging: Upgrader) -> None:
    started = (await staging.start_check()).json()
    assert (started["status"]["phase"], list(started["metadata"])) == ("Init", ["uid"])
    seen = []
    for seconds in (0, 4, 12, 8, 14):
        staging.world.advance(seconds)
        status = (await staging.read(f"operation/precheck/tasks/{started['metadata']['uid']}"))["status"]
        groups = [status[group]["phase"] for group in ("clusterCheckStatus", "addonCheckStatus", "nodeCheckStatus")]
        seen.append((status["phase"], *groups))
    assert seen == [
        ("Init", "Init", "Init", "Init"),
        ("Running", "Running", "Init", "Init"),
        ("Running", "Success", "Running", "Init"),
        ("Running", "Success", "Success", "Running"),
        ("Success", "Success", "Success", "Success"),
    ]


async def test_a_passed_check_counts_for_an_hour_and_a_failed_one_has_no_expiry(
    staging: Upgrader, shop: Upgrader
) -> None:
    passed = await staging.check()
    assert passed["status"]["phase"] == "Success"
    assert passed["status"]["expireTimeStamp"].startswith("2025-06-02 09:00:37")
    assert "expireTimeStamp" not in (await shop.check())["status"]


async def test_shop_prod_is_blocked_by_an_addon_a_deprecated_api_and_three_nodes(shop: Upgrader) -> None:
    check = await shop.check()
    assert check["status"]["phase"] == "Failed"
    assert failed_items(check) == [
        ("DeprecatedApiCheck", ""),
        ("AddonVersionLimit", ""),
        (RISKY, "autopilot-shop-01"),
        (RISKY, "autopilot-shop-02"),
        (RISKY, "autopilot-shop-03"),
    ]
    addon = next(item for item in check["status"]["addonCheckStatus"]["itemsStatus"] if item["phase"] == "Failed")
    assert addon["riskSource"]["addonRisks"] == [{"addonTemplateName": "nginx-ingress", "alias": "nginx-ingress"}]
    assert "2.6.0" in addon["message"]


async def test_what_a_check_finds_depends_on_the_target(shop: Upgrader) -> None:
    check = await shop.check("v1.28")
    assert check["spec"]["targetVersion"] == "v1.28.13-r2"
    assert {name for name, _ in failed_items(check)} == {RISKY}


async def test_once_the_addon_is_new_and_the_risks_are_skipped_the_check_passes(shop: Upgrader) -> None:
    addons = shop.world.table("addons").values()
    nginx = next(row for row in addons if row["metadata"]["name"] == "nginx-ingress")
    nginx["spec"]["version"] = "2.6.0"
    nodes = [node["uid"] for node in shop.world.table("upgrade_facts")[shop.cluster_id]["nodes"]]
    of_nodes = {"key": "node.uid", "values": nodes[:3], "operator": "In"}
    skip = [{"name": "DeprecatedApiCheck"}, {"name": RISKY, "resourceSelector": of_nodes}]
    check = await shop.check(skip=skip)
    assert check["status"]["phase"] == "Success"
    assert check["spec"]["skippedCheckItemList"] == skip


async def test_skipping_some_nodes_leaves_the_others_checked(shop: Upgrader) -> None:
    node = shop.world.table("upgrade_facts")[shop.cluster_id]["nodes"][0]["uid"]
    selector = {"key": "node.uid", "values": [node], "operator": "In"}
    check = await shop.check(skip=[{"name": RISKY, "resourceSelector": selector}])
    assert (RISKY, "autopilot-shop-01") not in failed_items(check)
    assert (RISKY, "autopilot-shop-02") in failed_items(check)


async def test_an_exception_cannot_be_skipped(shop: Upgrader) -> None:
    check = await shop.check(skip=[{"name": "AddonVersionLimit"}])
    assert ("AddonVersionLimit", "") in failed_items(check)


async def test_an_unhealthy_addon_blocks_any_upgrade(caller: Caller) -> None:
    check = await Upgrader(caller, constants.SEARCH_DEV).check("v1.30")
    assert [name for name, _ in failed_items(check)] == ["AddonLimit"]


async def test_a_check_of_the_wrong_version_cluster_or_target_is_refused(staging: Upgrader) -> None:
    refused(await staging.start_check(clusterVersion="v1.29"), 400, "CCE.01400001", "v1.29.8-r0")
    refused(await staging.start_check(clusterID=NOWHERE), 400, "CCE.01400001", NOWHERE)
    for target in ("v1.28", "v1.29.8-r0", "v1.99", "v1.31.0-r9"):
        refused(await staging.start_check(target), 400, "CCE.01400015", "v1.31.6-r0")


async def test_one_cluster_runs_one_check_at_a_time(staging: Upgrader) -> None:
    await staging.start_check()
    refused(await staging.start_check(), 429, "CCE.01429002", "pre-upgrade check")
    staging.world.advance(CHECK_SECONDS)
    assert (await staging.start_check()).status_code == 200


async def test_a_cluster_that_is_not_available_is_not_checked(caller: Caller) -> None:
    refused(await Upgrader(caller, constants.ML_BATCH).start_check(), 400, "CCE.01400001", "Creating")


async def test_a_check_ends_when_its_cluster_is_deleted(staging: Upgrader) -> None:
    await staging.start_check()
    staging.row["status"]["phase"] = "Deleting"
    staging.world.advance(CHECK_SECONDS)
    items = (await staging.read("operation/precheck/tasks"))["items"]
    assert items[-1]["status"]["phase"] == "Error"
    assert "Deleting" in items[-1]["status"]["message"]


async def test_a_cluster_deleted_during_its_check_does_not_disturb_the_world(staging: Upgrader) -> None:
    await staging.start_check()
    del staging.world.table("clusters")[staging.cluster_id]
    staging.world.advance_until_idle(600)
    assert (await staging.send("GET", "operation/precheck/tasks")).status_code == 404


async def test_checks_are_listed_and_belong_to_their_cluster(shop: Upgrader, staging: Upgrader) -> None:
    before = (await shop.read("operation/precheck/tasks"))["items"]
    assert [check["status"]["phase"] for check in before] == ["Failed"]
    await shop.check()
    after = (await shop.read("operation/precheck/tasks"))["items"]
    assert [check["metadata"]["uid"] for check in after][:1] == [before[0]["metadata"]["uid"]]
    foreign = await staging.send("GET", f"operation/precheck/tasks/{after[1]['metadata']['uid']}")
    refused(foreign, 404, "CCE.01404001", after[1]["metadata"]["uid"])


async def test_a_large_cluster_can_be_made_to_fail_its_check_four_hundred_times(staging: Upgrader) -> None:
    add_findings(staging.world, staging.cluster_id, nodes=50, findings=400)
    check = await staging.check()
    assert len(failed_items(check)) == 400
    assert len({node for _, node in failed_items(check)}) == 50


def test_a_large_check_can_be_made_without_a_simulator() -> None:
    check = large_precheck(nodes=10, findings=25)
    assert len(failed_items(check)) == 25
    assert not any(key.startswith("_") for key in check)
    with pytest.raises(ValueError, match="80 findings at most"):
        spread_findings(make_nodes("node", 10), 10 * len(NODE_ITEMS) + 1)


def test_an_item_skipped_without_nodes_is_skipped_on_every_node() -> None:
    item = CheckItem(RISKY, "Risk", "NodeCheck", "Warning")
    some = {"name": RISKY, "resourceSelector": {"key": "node.uid", "values": ["a"], "operator": "In"}}
    more = {"name": RISKY, "resourceSelector": {"key": "node.uid", "values": ["b"], "operator": "In"}}
    assert [Skips([some, more]).cover(item, node) for node in "abc"] == [True, True, False]
    assert Skips([some, {"name": RISKY}, more]).cover(item, "c")


async def test_a_post_check_passes_only_a_healthy_cluster_of_the_requested_version(
    staging: Upgrader, caller: Caller
) -> None:
    assert (await staging.post_check())["status"] == {"phase": "Success"}
    assert (await staging.post_check(targetVersion="v1.31.6-r0"))["status"] == {"phase": "Failed"}
    assert (await Upgrader(caller, constants.LEGACY_IMPORT).post_check())["status"] == {"phase": "Failed"}
