"""Maintenance windows of the simulated clusters, and the upgrades that the service makes in them by itself."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.cluster_rows import TABLE, find_cluster
from ap_mcp.simulator.constants import PAYMENTS_PROD, SHOP_PROD
from ap_mcp.simulator.registry import SimulatedError, SimulatedRequest, handles, invalid, not_found, reacts_to
from ap_mcp.simulator.upgrade_state import UPGRADES, new_task, of_cluster
from ap_mcp.simulator.upgrades import start_upgrade
from ap_mcp.simulator.versions import NEWEST_PATCHES, order, short
from ap_mcp.simulator.world import Row, World

WINDOWS, PLANS = "maintenance_windows", "upgrade_plans"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LONGEST_HOURS = 24
ANNOUNCED = timedelta(days=31)
"""How long before its start an upgrade is planned, at least."""
MOVABLE, LATEST = timedelta(days=21), timedelta(days=28)
"""How long after its first start an upgrade can be moved to begin, and how long after that it begins at the latest."""
PENDING, RUNNING, EXPIRED = "Pending", "Running", "Expired"
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def seed_maintenance(world: World) -> None:
    """Give both production clusters a window at the weekend, for which an upgrade is planned."""
    for cluster_id, days, start, hours in (
        (SHOP_PROD, "Saturday,Sunday", "01:00", 4),
        (PAYMENTS_PROD, "Friday,Saturday", "02:00", 3),
    ):
        window = {"weekly_period": days, "start_time": start, "duration_hours": hours}
        world.table(WINDOWS)[cluster_id] = window
        _plan(world, world.table(TABLE)[cluster_id], window)


@handles("create_maintenance_window")
def create_maintenance_window(world: World, request: SimulatedRequest) -> Row:
    """Open a window, and plan the upgrade to the newest patch version if the cluster does not run it."""
    cluster = find_cluster(world, request.path["cluster_id"])
    if cluster["metadata"]["uid"] in world.table(WINDOWS):
        reason = f"cluster {cluster['metadata']['name']!r} has a maintenance window; change that one"
        raise SimulatedError(409, "CCE.01409001", "The resource already exists", reason=reason)
    return _set(world, cluster, request.body)


@handles("get_maintenance_window")
def get_maintenance_window(world: World, request: SimulatedRequest) -> Row:
    """Show the window of a cluster."""
    cluster = find_cluster(world, request.path["cluster_id"])
    return _window(world, cluster)


@handles("update_maintenance_window")
def update_maintenance_window(world: World, request: SimulatedRequest) -> Row:
    """Replace the window of a cluster; an upgrade that waits moves with it."""
    cluster = find_cluster(world, request.path["cluster_id"])
    _window(world, cluster)
    return _set(world, cluster, request.body)


@handles("delete_maintenance_window")
def delete_maintenance_window(world: World, request: SimulatedRequest) -> Row:
    """Close the window of a cluster; an upgrade that waits is no longer planned."""
    cluster = find_cluster(world, request.path["cluster_id"])
    window = _window(world, cluster)
    del world.table(WINDOWS)[cluster["metadata"]["uid"]]
    for plan in _pending(world, cluster["metadata"]["uid"]):
        del world.table(PLANS)[plan["metadata"]["uid"]]
    return window


@handles("list_upgrade_plans")
def list_upgrade_plans(world: World, request: SimulatedRequest) -> Row:
    """List the upgrades of a cluster that wait, run or were made by the service."""
    cluster = find_cluster(world, request.path["cluster_id"])
    return {"kind": "List", "apiVersion": "v3", "items": list(_current(world, cluster))}


@handles("update_upgrade_plan")
def update_upgrade_plan(world: World, request: SimulatedRequest) -> Row:
    """Move the start of an upgrade that waits, up to its deadline."""
    cluster = find_cluster(world, request.path["cluster_id"])
    wanted = request.path["upgrade_plan_id"]
    plan = next((each for each in _current(world, cluster) if each["metadata"]["uid"] == wanted), None)
    if plan is None:
        raise not_found("upgrade plan", wanted)
    if plan["status"]["phase"] != PENDING:
        raise invalid(f"upgrade plan {wanted} is {plan['status']['phase']}: only one that waits can be moved")
    _schedule(world, world.table(PLANS)[wanted], _moved_to(world, plan, request.body["notBefore"]))
    return plan


@reacts_to("plan.due")
def _due(world: World, *, plan_id: str, not_before: str) -> None:
    """Start a planned upgrade, or wait for the next window if the cluster is busy."""
    plan = world.table(PLANS).get(plan_id)
    if plan is None or plan["spec"]["notBefore"] != not_before or plan["status"]["phase"] != PENDING:
        return
    cluster = world.table(TABLE)[plan["_clusterID"]]
    if cluster["_version"] != plan["spec"]["clusterVersion"]:
        del world.table(PLANS)[plan_id]
    elif cluster["status"]["phase"] == "Available":
        plan["_taskID"] = start_upgrade(world, cluster, plan["spec"]["targetVersion"], [])["metadata"]["uid"]
        plan["status"]["phase"] = RUNNING
    else:
        later = _next_start(world.table(WINDOWS)[plan["_clusterID"]], world.now() + timedelta(minutes=1))
        if later <= parse_timestamp(plan["spec"]["notAfter"]):
            _schedule(world, plan, later)
        else:
            plan["status"]["phase"] = EXPIRED


@reacts_to("cluster.deleted")
def _forget(world: World, *, cluster_id: str, **_: Any) -> None:
    world.table(WINDOWS).pop(cluster_id, None)
    for plan in of_cluster(world, PLANS, cluster_id):
        del world.table(PLANS)[plan["metadata"]["uid"]]


def _window(world: World, cluster: Row) -> Row:
    uid = cluster["metadata"]["uid"]
    if uid not in world.table(WINDOWS):
        raise not_found("maintenance window of cluster", uid)
    return world.table(WINDOWS)[uid]


def _set(world: World, cluster: Row, window: Mapping[str, Any]) -> Row:
    """Store a window and plan anew what waits for it.

    Raises:
        SimulatedError: 400 if it is none.
    """
    days = window["weekly_period"].split(",")
    if strange := [day for day in days if day not in DAYS]:
        raise invalid(f"weekly_period: {', '.join(map(repr, strange))} is no day; days are {', '.join(DAYS)}")
    if len(set(days)) < len(days):
        raise invalid("weekly_period: a day is given twice")
    if not _TIME.fullmatch(window["start_time"]):
        raise invalid(f"start_time {window['start_time']!r} is no time such as 02:00")
    if window["duration_hours"] > LONGEST_HOURS:
        raise invalid(f"duration_hours {window['duration_hours']} is more than {LONGEST_HOURS}")
    stored = dict(window)
    world.table(WINDOWS)[cluster["metadata"]["uid"]] = stored
    _plan(world, cluster, stored)
    return stored


def _plan(world: World, cluster: Row, window: Mapping[str, Any]) -> None:
    """Plan the upgrade of a cluster to the newest patch of its minor version, if it does not run that, or move it."""
    version = cluster["_version"]
    target = NEWEST_PATCHES[short(version)]
    if order(target) <= order(version):
        return
    cluster_id = cluster["metadata"]["uid"]
    start = _next_start(window, world.now() + ANNOUNCED)
    versions = {"clusterID": cluster_id, "clusterVersion": version, "targetVersion": target}
    plan = next((each for each in _pending(world, cluster_id) if versions.items() <= each["spec"].items()), None)
    if plan is None:
        plan = new_task(world, PLANS, "UpgradePlan", cluster_id, spec=versions, status={"phase": PENDING})
        plan["metadata"]["name"] = f"{cluster['metadata']['name']}-{target}"
    plan["spec"]["notAfter"] = world.iso_timestamp(start + LATEST)
    plan["spec"]["notBeforeDeadline"] = world.iso_timestamp(start + MOVABLE)
    _schedule(world, plan, start)


def _schedule(world: World, plan: Row, start: datetime) -> None:
    """Let a plan be due at a moment, and no longer at an earlier one."""
    plan["spec"]["notBefore"] = world.iso_timestamp(start)
    wait = (start - world.now()).total_seconds()
    world.schedule(wait, "plan.due", plan_id=plan["metadata"]["uid"], not_before=plan["spec"]["notBefore"])


def _next_start(window: Mapping[str, Any], after: datetime) -> datetime:
    """Return when a window opens next, at a moment or later."""
    hour, minute = map(int, window["start_time"].split(":"))
    opens = after.replace(hour=hour, minute=minute, second=0, microsecond=0)
    days = window["weekly_period"].split(",")
    starts = (opens + timedelta(days=number) for number in range(len(DAYS) + 1))
    return next(each for each in starts if each >= after and DAYS[each.weekday()] in days)


def _moved_to(world: World, plan: Row, wanted: str) -> datetime:
    """Return the new start of a plan.

    Raises:
        SimulatedError: 400 if it is no time, is past, or not before the deadline.
    """
    try:
        start = parse_timestamp(wanted)
    except ValueError as error:
        raise invalid(f"notBefore {wanted!r} is no time such as {plan['spec']['notBefore']}") from error
    deadline = plan["spec"]["notBeforeDeadline"]
    if start >= parse_timestamp(deadline):
        raise invalid(f"notBefore {wanted} must be before notBeforeDeadline {deadline}")
    if start <= world.now():
        raise invalid(f"notBefore {wanted} is past")
    return start


def _current(world: World, cluster: Row) -> Iterator[Row]:
    """Yield the plans of a cluster as they stand; one for a version that it has left no longer counts."""
    for plan in of_cluster(world, PLANS, cluster["metadata"]["uid"]):
        task = world.table(UPGRADES).get(plan.get("_taskID", ""))
        ended = task is not None and task["status"]["phase"] in ("Success", "Failed")
        phase = task["status"]["phase"] if task is not None and ended else plan["status"]["phase"]
        if phase != PENDING or plan["spec"]["clusterVersion"] == cluster["_version"]:
            yield {**plan, "status": {"phase": phase}}


def _pending(world: World, cluster_id: str) -> list[Row]:
    return [each for each in of_cluster(world, PLANS, cluster_id) if each["status"]["phase"] == PENDING]
