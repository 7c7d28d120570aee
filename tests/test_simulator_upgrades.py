"""How simulated clusters are upgraded: paths, the task's life, failures, backups and workflows."""

from collections.abc import AsyncIterator

import pytest
from simulation import Caller, simulate
from upgrading import BACKUP_SECONDS, UPGRADE_SECONDS, Upgrader, refused, stages

from ap_mcp.simulator import constants
from ap_mcp.simulator.upgrades import fail_next_upgrade
from ap_mcp.simulator.versions import NEWEST_PATCHES, order, resolve
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio

NOWHERE = "00000000-0000-1000-8000-000000000000"


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    app = simulate()
    async with Caller(app) as caller:
        yield caller
    assert app.state.violations == []


@pytest.fixture
def staging(caller: Caller) -> Upgrader:
    return Upgrader(caller, constants.CHECKOUT_STAGING)


@pytest.fixture
def payments(caller: Caller) -> Upgrader:
    return Upgrader(caller, constants.PAYMENTS_PROD)


async def test_the_upgrade_information_names_the_exact_version_and_its_targets(staging: Upgrader) -> None:
    info = await staging.read("upgradeinfo")
    version = info["spec"]["versionInfo"]
    assert (version["release"], version["patch"], version["suggestPatch"]) == ("v1.29.8", "r0", "r0")
    assert version["targetVersions"] == ["v1.29.13-r0", "v1.30.10-r0", "v1.31.6-r0"]
    assert (info["status"], info["spec"]["lastUpgradeInfo"]) == ({}, {})


async def test_the_newest_cluster_is_offered_nothing(caller: Caller) -> None:
    info = await Upgrader(caller, constants.TEAM_SANDBOX).read("upgradeinfo")
    assert info["spec"]["versionInfo"]["targetVersions"] == []


async def test_a_cluster_that_was_upgraded_has_a_past(payments: Upgrader) -> None:
    info = await payments.read("upgradeinfo")
    assert info["spec"]["lastUpgradeInfo"]["phase"] == info["status"]["phase"] == "Success"
    (task,) = (await payments.read("operation/upgrade/tasks"))["items"]
    assert (task["spec"]["version"], task["spec"]["targetVersion"]) == ("v1.29.8-r0", "v1.30.4-r2")
    (workflow,) = (await payments.read("operation/upgradeworkflows"))["items"]
    assert workflow["status"]["phase"] == "Success"
    assert (await payments.backups())["status"]["latestBackupTime"] < task["metadata"]["creationTimestamp"]


async def test_paths_lead_upwards_and_no_further_than_three_minor_versions(caller: Caller) -> None:
    paths = (await caller.send("GET", "/autopilot/v3/clusterupgradepaths")).json()["upgradePaths"]
    assert {path["version"] for path in paths} == set(NEWEST_PATCHES)
    for path in paths:
        assert all(0 <= order(target)[1] - order(path["version"])[1] <= 3 for target in path["targetVersions"])


async def test_the_feature_gates_are_texts(caller: Caller) -> None:
    gates = (await caller.send("GET", "/autopilot/v3/clusterupgradefeaturegates")).json()["upgradeFeatureGates"]
    assert set(gates.values()) <= {"Support", "Disable", "Default"}


async def test_without_a_passed_check_for_the_target_there_is_no_upgrade(staging: Upgrader) -> None:
    refused(await staging.start_upgrade(), 400, "CCE.01400001", "pre-upgrade check", "v1.31.6-r0")
    await staging.check("v1.30")
    refused(await staging.start_upgrade("v1.31"), 400, "CCE.01400001", "v1.31.6-r0")
    assert (await staging.start_upgrade("v1.30.10-r0")).status_code == 200


async def test_an_expired_check_does_not_count(staging: Upgrader) -> None:
    await staging.check()
    staging.world.advance(3700)
    refused(await staging.start_upgrade(), 400, "CCE.01400001", "pre-upgrade check")


async def test_a_target_that_is_not_offered_is_refused(staging: Upgrader) -> None:
    await staging.check()
    for target in ("v1.29.8-r0", "v1.28", "v1.32", "latest"):
        refused(await staging.start_upgrade(target), 400, "CCE.01400015", "target versions")


async def test_an_upgrade_goes_from_init_to_success_and_the_cluster_with_it(staging: Upgrader) -> None:
    await staging.check()
    started = await staging.start_upgrade()
    action = started.json()["spec"]["clusterUpgradeAction"]
    assert (action["version"], action["targetVersion"]) == ("v1.29.8-r0", "v1.31.6-r0")
    assert staging.row["status"]["phase"] == "Upgrading"
    shown = []
    for seconds in (0, 2, 3, 20, 25, 25, 20, 15):
        staging.world.advance(seconds)
        status = (await staging.task(started))["status"]
        shown.append((status["phase"], status["progress"]))
    assert [phase for phase, _ in shown] == ["Init", "Queuing", *["Running"] * 5, "Success"]
    assert [float(progress) for _, progress in shown] == sorted(float(progress) for _, progress in shown)
    assert (staging.row["_version"], staging.row["spec"]["version"]) == ("v1.31.6-r0", "v1.31")
    assert staging.row["spec"]["extendParam"]["upgradefrom"] == "v1.29.8-r0"
    assert staging.row["status"]["phase"] == "Available"
    assert (await staging.read("upgradeinfo"))["spec"]["versionInfo"]["targetVersions"] == []


async def test_while_an_upgrade_runs_nothing_else_may_start(staging: Upgrader) -> None:
    await staging.check()
    await staging.start_upgrade()
    refused(await staging.start_upgrade(), 429, "CCE.01429002", "upgrade task")
    refused(await staging.start_check(), 400, "CCE.01400001", "Upgrading")
    refused(await staging.backup(), 400, "CCE.01400001", "Upgrading")
    refused(await staging.retry(), 400, "CCE.01400001", "only a failed upgrade")
    assert (await staging.read("upgradeinfo"))["status"]["phase"] == "Init"


async def test_an_upgrade_that_fails_says_why_and_can_be_retried(payments: Upgrader) -> None:
    assert (await payments.check())["status"]["phase"] == "Success"
    started = await payments.start_upgrade()
    payments.world.advance(UPGRADE_SECONDS)
    task = await payments.task(started)
    assert (task["status"]["phase"], task["status"]["progress"]) == ("Failed", "45.00")
    assert task["spec"]["items"]["step"] == "UpgradeControlPlane"
    assert payments.row["status"]["reason"] == "UpgradeFailed"
    assert (await payments.post_check())["status"]["phase"] == "Failed"
    again = await payments.retry()
    assert (again.status_code, again.content) == (200, b"")
    payments.world.advance(UPGRADE_SECONDS)
    task = await payments.task(started)
    assert task["status"]["phase"] == "Success"
    assert "items" not in task["spec"]
    assert payments.row["spec"]["extendParam"]["upgradefrom"] == "v1.29.8-r0,v1.30.4-r2"
    assert "reason" not in payments.row["status"]


async def test_a_retry_can_fail_again(staging: Upgrader) -> None:
    fail_next_upgrade(staging.world, staging.cluster_id, times=2)
    await staging.check()
    started = await staging.start_upgrade()
    for _ in range(2):
        staging.world.advance(UPGRADE_SECONDS)
        assert (await staging.task(started))["status"]["phase"] == "Failed"
        assert (await staging.retry()).status_code == 200
    staging.world.advance(UPGRADE_SECONDS)
    assert (await staging.task(started))["status"]["phase"] == "Success"


async def test_there_is_nothing_to_retry_where_nothing_failed(staging: Upgrader) -> None:
    refused(await staging.retry(), 400, "CCE.01400001", "has none")


async def test_addons_are_upgraded_along_with_the_cluster(payments: Upgrader) -> None:
    fail_next_upgrade(payments.world, payments.cluster_id, times=0)
    addon = {"addonTemplateName": "nginx-ingress", "operation": "patch", "version": "3.0.8"}
    await payments.check()
    refused(await payments.start_upgrade(addons=[{**addon, "addonTemplateName": "grafana"}]), 400, "CCE.01400001")
    refused(await payments.start_upgrade(addons=[{**addon, "version": "2.1.5"}]), 400, "CCE.01400001", "2.1.5")
    assert (await payments.start_upgrade(addons=[addon])).status_code == 200
    payments.world.advance(UPGRADE_SECONDS + 60)
    rows = payments.world.table("addons").values()
    mine = [row for row in rows if row["spec"]["clusterID"] == payments.cluster_id]
    nginx = next(row for row in mine if row["spec"]["addonTemplateName"] == "nginx-ingress")
    assert nginx["spec"]["version"] == "3.0.8"


async def test_an_addon_that_broke_meanwhile_does_not_stop_the_upgrade(payments: Upgrader) -> None:
    fail_next_upgrade(payments.world, payments.cluster_id, times=0)
    addon = {"addonTemplateName": "nginx-ingress", "operation": "patch", "version": "3.0.8"}
    await payments.check()
    started = await payments.start_upgrade(addons=[addon])
    rows = payments.world.table("addons").values()
    for row in rows:
        if row["spec"]["clusterID"] == payments.cluster_id:
            row["status"]["status"] = "installing"
    payments.world.advance(UPGRADE_SECONDS)
    assert (await payments.task(started))["status"]["phase"] == "Success"


async def test_a_cluster_deleted_during_its_upgrade_does_not_disturb_the_world(staging: Upgrader) -> None:
    await staging.check()
    await staging.start_upgrade()
    del staging.world.table("clusters")[staging.cluster_id]
    staging.world.advance_until_idle(600)
    assert (await staging.send("GET", "upgradeinfo")).status_code == 404


async def test_a_backup_takes_its_time_and_sets_the_latest_backup_time(staging: Upgrader) -> None:
    assert (await staging.backups())["status"] == {}
    uid = (await staging.backup()).json()["uid"]
    refused(await staging.backup(), 429, "CCE.01429002", uid)
    staging.world.advance(12)
    (running,) = (await staging.backups())["items"]
    assert (running["metadata"]["uid"], running["status"]["phase"]) == (uid, "Running")
    staging.world.advance(BACKUP_SECONDS)
    listed = await staging.backups()
    assert listed["items"][0]["status"]["progress"] == "100"
    assert listed["status"]["latestBackupTime"] == listed["items"][0]["status"]["completionTime"]


async def test_a_workflow_follows_check_backup_upgrade_and_post_check(staging: Upgrader) -> None:
    opened = await staging.open_workflow()
    assert opened.status_code == 201
    nothing = dict.fromkeys(("PreCheck", "Snapshot", "Cluster", "PostCheck"))
    assert (stages(opened.json()), opened.json()["status"]["phase"]) == (nothing, "Init")
    await staging.start_check()
    assert (await staging.workflow(opened))["status"]["phase"] == "Running"
    staging.world.advance(60)
    done = {**nothing, "PreCheck": "Success"}
    assert stages(await staging.workflow(opened)) == done
    await staging.backup()
    staging.world.advance(BACKUP_SECONDS)
    started = await staging.start_upgrade()
    workflow = await staging.workflow(opened)
    assert stages(workflow) == {**done, "Snapshot": "Success", "Cluster": "Init"}
    assert workflow["status"]["pointStatuses"][2]["taskID"] == started.json()["metadata"]["uid"]
    staging.world.advance(UPGRADE_SECONDS)
    assert (await staging.workflow(opened))["status"]["phase"] == "Init"
    await staging.post_check()
    workflow = await staging.workflow(opened)
    assert (set(stages(workflow).values()), workflow["status"]["phase"]) == ({"Success"}, "Success")


async def test_a_workflow_leaves_tasks_of_another_target_alone(staging: Upgrader) -> None:
    opened = await staging.open_workflow("v1.31")
    await staging.check("v1.30")
    await staging.start_upgrade("v1.30")
    staging.world.advance(UPGRADE_SECONDS)
    assert set(stages(await staging.workflow(opened)).values()) == {None}


async def test_a_cluster_has_one_open_workflow_and_each_knows_its_cluster(
    staging: Upgrader, payments: Upgrader
) -> None:
    opened = await staging.open_workflow()
    refused(await staging.open_workflow("v1.30"), 409, "CCE.01409001", "v1.31.6-r0")
    refused(await staging.open_workflow("v1.28"), 400, "CCE.01400015")
    refused(await payments.open_workflow(clusterVersion="v1.29"), 400, "CCE.01400001", "v1.30.4-r2")
    refused(await payments.open_workflow(clusterID=NOWHERE), 400, "CCE.01400001")
    refused(await payments.cancel(opened), 404, "CCE.01404001")


async def test_an_idle_workflow_can_be_cancelled_once(staging: Upgrader) -> None:
    opened = await staging.open_workflow()
    cancelled = await staging.cancel(opened)
    assert (cancelled.status_code, cancelled.json()["status"]["phase"]) == (200, "Cancel")
    refused(await staging.cancel(opened), 400, "CCE.01400001", "Cancel")
    assert (await staging.open_workflow()).status_code == 201


async def test_a_running_or_finished_workflow_cannot_be_cancelled(staging: Upgrader, payments: Upgrader) -> None:
    opened = await staging.open_workflow()
    await staging.start_check()
    refused(await staging.cancel(opened), 400, "CCE.01400001", "Running")
    (past,) = (await payments.read("operation/upgradeworkflows"))["items"]
    path = f"operation/upgradeworkflows/{past['metadata']['uid']}"
    refused(await payments.send("PATCH", path, {"status": {"phase": "Cancel"}}), 400, "CCE.01400001", "Success")


async def test_a_workflow_whose_upgrade_is_paused_cannot_be_cancelled(staging: Upgrader) -> None:
    opened = await staging.open_workflow()
    row = staging.world.table("upgrade_workflows")[opened.json()["metadata"]["uid"]]
    row["status"]["pointStatuses"][2] |= {"taskID": "t", "status": "Pause"}
    refused(await staging.cancel(opened), 400, "CCE.01400001", "Pause")


async def test_cancelling_after_a_failed_upgrade_gives_the_upgrade_up(payments: Upgrader) -> None:
    opened = await payments.open_workflow()
    await payments.check()
    started = await payments.start_upgrade()
    payments.world.advance(UPGRADE_SECONDS)
    assert (await payments.workflow(opened))["status"]["phase"] == "Pending"
    assert (await payments.cancel(opened)).status_code == 200
    assert (payments.row["status"]["phase"], payments.row["_version"]) == ("Available", "v1.30.4-r2")
    refused(await payments.retry(), 400, "CCE.01400001", "gave up")
    assert (await payments.task(started))["status"]["phase"] == "Failed"


async def test_tasks_belong_to_their_cluster(staging: Upgrader, payments: Upgrader) -> None:
    (task,) = (await payments.read("operation/upgrade/tasks"))["items"]
    foreign = await staging.send("GET", f"operation/upgrade/tasks/{task['metadata']['uid']}")
    refused(foreign, 404, "CCE.01404001", task["metadata"]["uid"])


async def test_an_upgrade_goes_on_in_a_world_that_was_saved(staging: Upgrader) -> None:
    await staging.check()
    task_id = (await staging.start_upgrade()).json()["metadata"]["uid"]
    world = World.from_json(staging.world.to_json())
    world.advance(UPGRADE_SECONDS)
    assert world.table("upgrade_tasks")[task_id]["status"]["phase"] == "Success"


def test_versions_are_resolved_to_releases() -> None:
    assert resolve(None) == resolve("v1.31") == NEWEST_PATCHES["v1.31"]
    assert resolve("v1.29.8-r0") == "v1.29.8-r0"
    assert resolve("v1.2") is None
