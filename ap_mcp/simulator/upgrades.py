"""Upgrades of the simulated clusters: what is offered, the task and its life, a failure and its retry."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ap_mcp.simulator import backups, prechecks, workflows
from ap_mcp.simulator.addon_templates import fits
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.addons import upgrade as upgrade_addon
from ap_mcp.simulator.cluster_rows import available_cluster, find_cluster, make_available, set_version
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.prechecks import passed_check
from ap_mcp.simulator.registry import SimulatedError, SimulatedRequest, handles, invalid, not_found, reacts_to
from ap_mcp.simulator.upgrade_seed import seed_upgrades
from ap_mcp.simulator.upgrade_state import UPGRADES, facts_of, locked, new_task, of_cluster, resolve_target
from ap_mcp.simulator.versions import NEWEST_PATCHES, OLDER_PATCHES, PLATFORMS, order, short, targets_of
from ap_mcp.simulator.workflows import track
from ap_mcp.simulator.world import Row, World

__all__ = ["backups", "fail_next_upgrade", "prechecks", "seed_upgrades", "workflows"]

STEPS = (
    (2.0, "Queuing", "0.00"),
    (3.0, "Running", "0.00"),
    (20.0, "Running", "20.00"),
    (25.0, "Running", "45.00"),
    (25.0, "Running", "70.00"),
    (20.0, "Running", "90.00"),
    (15.0, "Success", "100.00"),
)
"""Seconds since the step before, phase and progress."""
FAILS_AT = 3
"""The step at which an upgrade that is to fail does so."""
FAILURE = {"step": "UpgradeControlPlane", "message": "etcd did not become healthy within 10 minutes of its restart"}
UNDER_WAY = ("Init", "Queuing", "Running", "Pause")
FEATURE_GATES = {
    "DisplayPreCheckDetail": "Support",
    "EvsSnapshot": "Disable",
    "LabelForSkippedNode": "Support",
    "UpgradeStrategy": "Default",
}


@handles("upgrade_cluster")
def upgrade_cluster(world: World, request: SimulatedRequest) -> Row:
    """Start an upgrade that a passed check allows."""
    cluster = find_cluster(world, request.path["cluster_id"])
    cluster_id = cluster["metadata"]["uid"]
    action = request.body["spec"]["clusterUpgradeAction"]
    latest = _latest(world, cluster_id)
    if latest and latest["status"]["phase"] in UNDER_WAY:
        raise locked("upgrade task", latest["metadata"]["uid"])
    available_cluster(world, cluster_id)
    target = resolve_target(cluster, action["targetVersion"])
    if passed_check(world, cluster, target) is None:
        raise invalid(f"no passed and unexpired pre-upgrade check for {target}; run one first")
    _check_addons(world, cluster_id, action.get("addons", []), target)
    task = start_upgrade(world, cluster, target, action.get("addons", []))
    strategy = {"type": "inPlaceRollingUpdate", **copy.deepcopy(action["strategy"])}
    shown = {
        "version": cluster["_version"],
        "targetVersion": target,
        "targetPlatformVersion": PLATFORMS[short(target)],
        "strategy": strategy,
        "config": {},
    }
    return {"metadata": {"uid": task["metadata"]["uid"]}, "spec": {"clusterUpgradeAction": shown}}


@handles("get_upgrade_task")
def get_upgrade_task(world: World, request: SimulatedRequest) -> Row:
    """Show one upgrade."""
    find_cluster(world, request.path["cluster_id"])
    task = world.table(UPGRADES).get(request.path["task_id"])
    if task is None or task["_clusterID"] != request.path["cluster_id"]:
        raise not_found("upgrade task", request.path["task_id"])
    return task


@handles("list_upgrade_tasks")
def list_upgrade_tasks(world: World, request: SimulatedRequest) -> Row:
    """List a cluster's upgrades, oldest first."""
    find_cluster(world, request.path["cluster_id"])
    tasks = of_cluster(world, UPGRADES, request.path["cluster_id"])
    return {"kind": "List", "apiVersion": "v3", "metadata": {}, "items": tasks}


@handles("retry_upgrade")
def retry_upgrade(world: World, request: SimulatedRequest) -> None:
    """Run the failed upgrade of a cluster again, from its start."""
    cluster = find_cluster(world, request.path["cluster_id"])
    task = _latest(world, cluster["metadata"]["uid"])
    if task is None or task["status"]["phase"] != "Failed" or task["_givenUp"]:
        state = "has none" if task is None else f"has one that is {task['status']['phase']}"
        if task is not None and task["_givenUp"]:
            state = "gave up the one that failed, as its workflow was cancelled"
        raise invalid(f"only a failed upgrade can be retried; cluster {cluster['metadata']['name']!r} {state}")
    task["spec"].pop("items", None)
    task["status"] = {"phase": "Init", "progress": "0.00"}
    cluster["status"] = {"phase": "Upgrading"}
    _run(world, task)


@handles("get_upgrade_info")
def get_upgrade_info(world: World, request: SimulatedRequest) -> Row:
    """Show a cluster's version, its targets, and how its upgrade stands."""
    cluster = find_cluster(world, request.path["cluster_id"])
    release, patch = cluster["_version"].rsplit("-", 1)
    known = [*NEWEST_PATCHES.values(), *OLDER_PATCHES]
    same = sorted((each for each in known if each.startswith(f"{release}-")), key=order)
    tasks = of_cluster(world, UPGRADES, cluster["metadata"]["uid"])
    ended = [task for task in tasks if task["status"]["phase"] not in UNDER_WAY]
    return {
        "kind": "UpgradeInfo",
        "apiVersion": "v3",
        "metadata": {},
        "spec": {
            "lastUpgradeInfo": dict(ended[-1]["status"]) if ended else {},
            "versionInfo": {
                "release": release,
                "patch": patch,
                "suggestPatch": same[-1].rsplit("-", 1)[1] if same else patch,
                "targetVersions": targets_of(cluster["_version"]),
            },
            "upgradeFeatureGates": {"supportUpgradePageV4": True},
        },
        "status": dict(tasks[-1]["status"]) if tasks else {},
    }


@handles("list_upgrade_paths")
def list_upgrade_paths(_world: World, _request: SimulatedRequest) -> Row:
    """List every upgrade path of the region."""
    paths = [
        {"version": version, "platformVersion": platform, "targetVersions": targets_of(f"{version}.0-r0")}
        for version, platform in PLATFORMS.items()
    ]
    return {"kind": "ClusterUpgradePaths", "apiVersion": "v3", "metadata": {}, "upgradePaths": paths}


@handles("get_upgrade_feature_gates")
def get_upgrade_feature_gates(_world: World, _request: SimulatedRequest) -> Row:
    """Show which upgrade features the region supports."""
    return {
        "kind": "ClusterUpgradeFeatureGates",
        "apiVersion": "v3",
        "metadata": {},
        "upgradeFeatureGates": dict(FEATURE_GATES),
    }


def fail_next_upgrade(world: World, cluster_id: str, times: int = 1) -> None:
    """Let the next upgrades or retries of a cluster fail half-way."""
    facts_of(world, cluster_id)["upgradeFailures"] = times


def _latest(world: World, cluster_id: str) -> Row | None:
    tasks = of_cluster(world, UPGRADES, cluster_id)
    return tasks[-1] if tasks else None


def _check_addons(world: World, cluster_id: str, wanted: Sequence[Mapping[str, Any]], target: str) -> None:
    installed = {row["spec"]["addonTemplateName"] for row in addons_of(world, cluster_id)}
    for addon in wanted:
        name, version = addon["addonTemplateName"], addon["version"]
        if name not in installed:
            raise invalid(f"add-on {name!r} is not installed in the cluster")
        if not fits(name, version, target):
            raise invalid(f"add-on {name} {version} does not run on {target}")


def start_upgrade(world: World, cluster: Row, target: str, addons: Sequence[Mapping[str, Any]]) -> Row:
    """Start the upgrade of a cluster and return its task."""
    cluster_id = cluster["metadata"]["uid"]
    spec = {"version": cluster["_version"], "targetVersion": target}
    status = {"phase": "Init", "progress": "0.00"}
    task = new_task(world, UPGRADES, "UpgradeTask", cluster_id, spec=spec, status=status)
    task |= {"_addons": copy.deepcopy(list(addons)), "_givenUp": False, "_run": 0}
    cluster["status"]["phase"] = "Upgrading"
    touch(world, cluster)
    _run(world, task)
    return task


def _run(world: World, task: Row) -> None:
    """Begin the steps of a task; those of an earlier run no longer count."""
    task["_run"] += 1
    uid = task["metadata"]["uid"]
    touch(world, task)
    track(world, task["_clusterID"], "Cluster", uid, "Init", target=task["spec"]["targetVersion"])
    world.schedule(STEPS[0][0], "upgrade.step", task_id=uid, run=task["_run"], step=0)


@reacts_to("upgrade.step")
def _step(world: World, task_id: str, run: int, step: int) -> None:
    task = world.table(UPGRADES)[task_id]
    cluster = world.table("clusters").get(task["_clusterID"])
    if cluster is None or task["_run"] != run:
        return
    facts = facts_of(world, task["_clusterID"])
    _, phase, progress = STEPS[step]
    if step == FAILS_AT and facts.get("upgradeFailures", 0) > 0:
        facts["upgradeFailures"] -= 1
        phase = "Failed"
    task["status"] |= {"phase": phase, "progress": progress}
    touch(world, task)
    if phase == "Failed":
        _fail(world, task, cluster)
    elif phase == "Success":
        _succeed(world, task, cluster)
    else:
        world.schedule(STEPS[step + 1][0], "upgrade.step", task_id=task_id, run=run, step=step + 1)
    track(world, task["_clusterID"], "Cluster", task_id, phase)


def _fail(world: World, task: Row, cluster: Row) -> None:
    task["status"]["completionTime"] = world.timestamp()
    task["spec"]["items"] = dict(FAILURE)
    cluster["status"] |= {"reason": "UpgradeFailed", "message": f"{FAILURE['step']}: {FAILURE['message']}"}
    touch(world, cluster)


def _succeed(world: World, task: Row, cluster: Row) -> None:
    task["status"]["completionTime"] = world.timestamp()
    set_version(cluster, task["spec"]["targetVersion"])
    make_available(cluster)
    touch(world, cluster)
    rows = {row["spec"]["addonTemplateName"]: row for row in addons_of(world, task["_clusterID"])}
    for addon in task["_addons"]:
        row = rows.get(addon["addonTemplateName"])
        if row is not None:
            _move_addon(world, row, addon)


def _move_addon(world: World, row: Row, addon: Mapping[str, Any]) -> None:
    """Upgrade an add-on along with its cluster; one that broke meanwhile stays as it is."""
    try:
        upgrade_addon(world, row, addon["version"], addon.get("values", row["spec"].get("values", {})))
    except SimulatedError as error:
        row["status"]["message"] = f"not upgraded along with the cluster: {error.reason}"


@reacts_to("upgrade.given_up")
def _give_up(world: World, task_id: str) -> None:
    """Leave a failed upgrade behind: the cluster keeps its version."""
    task = world.table(UPGRADES)[task_id]
    task["_givenUp"] = True
    cluster = world.table("clusters")[task["_clusterID"]]
    make_available(cluster)
    touch(world, cluster)
