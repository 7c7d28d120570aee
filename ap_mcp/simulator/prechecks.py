"""Pre-upgrade checks of the simulated clusters, from request to expiry; and the post-upgrade check."""

import copy
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.simulator.check_items import (
    Skips,
    addon_results,
    cluster_results,
    failed,
    make_nodes,
    node_results,
    spread_findings,
)
from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.cluster_rows import available_cluster, find_cluster
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.registry import SimulatedRequest, handles, invalid, not_found, public, reacts_to
from ap_mcp.simulator.upgrade_state import (
    CHECKS,
    UPGRADES,
    check_cluster_id,
    facts_of,
    locked,
    new_task,
    of_cluster,
    resolve_target,
)
from ap_mcp.simulator.workflows import track
from ap_mcp.simulator.world import Row, World

GROUPS = ("clusterCheckStatus", "addonCheckStatus", "nodeCheckStatus")
SECONDS = (3.0, 12.0, 8.0, 14.0)
"""How long a check waits before its first group, and how long each group takes."""
LASTS = timedelta(hours=1)
"""How long a passed check counts."""


@handles("run_precheck")
def run_precheck(world: World, request: SimulatedRequest) -> Row:
    """Start a check of a cluster for one target version."""
    cluster = available_cluster(world, request.path["cluster_id"])
    wanted = request.body["spec"]
    check_cluster_id(wanted, cluster)
    if wanted["clusterVersion"] != cluster["_version"]:
        raise invalid(f"spec.clusterVersion is {wanted['clusterVersion']!r}, the cluster runs {cluster['_version']}")
    target = resolve_target(cluster, wanted["targetVersion"])
    cluster_id = cluster["metadata"]["uid"]
    for check in of_cluster(world, CHECKS, cluster_id):
        if check["status"]["phase"] in ("Init", "Running"):
            raise locked("pre-upgrade check", check["metadata"]["uid"])
    check = _new_check(world, cluster, target, wanted.get("skippedCheckItemList", []))
    check_id = check["metadata"]["uid"]
    track(world, cluster_id, "PreCheck", check_id, "Init", target=target)
    world.schedule(SECONDS[0], "precheck.step", check_id=check_id, group=0)
    return {**copy.deepcopy(check), "metadata": {"uid": check_id}}


@handles("get_precheck")
def get_precheck(world: World, request: SimulatedRequest) -> Row:
    """Show one check."""
    find_cluster(world, request.path["cluster_id"])
    check = world.table(CHECKS).get(request.path["task_id"])
    if check is None or check["_clusterID"] != request.path["cluster_id"]:
        raise not_found("pre-upgrade check", request.path["task_id"])
    return check


@handles("list_prechecks")
def list_prechecks(world: World, request: SimulatedRequest) -> Row:
    """List a cluster's checks, oldest first."""
    find_cluster(world, request.path["cluster_id"])
    checks = of_cluster(world, CHECKS, request.path["cluster_id"])
    return {"kind": "List", "apiVersion": "v3", "metadata": {}, "items": checks}


@handles("run_postcheck")
def run_postcheck(world: World, request: SimulatedRequest) -> Row:
    """Say at once whether a cluster is healthy after its last upgrade."""
    cluster = find_cluster(world, request.path["cluster_id"])
    wanted = request.body["spec"]
    check_cluster_id(wanted, cluster)
    cluster_id = cluster["metadata"]["uid"]
    phase = "Success" if _is_healthy(world, cluster, wanted) else "Failed"
    post_id = world.new_id()
    track(world, cluster_id, "PostCheck", post_id, phase)
    return {
        "kind": "PostCheckTask",
        "apiVersion": "v3",
        "metadata": {"uid": post_id},
        "spec": {"clusterID": cluster_id, **wanted},
        "status": {"phase": phase},
    }


def passed_check(world: World, cluster: Row, target: str) -> Row | None:
    """Return a check that allows an upgrade to `target` now, if there is one."""
    for check in reversed(of_cluster(world, CHECKS, cluster["metadata"]["uid"])):
        spec, status = check["spec"], check["status"]
        fits = spec["targetVersion"] == target and spec["clusterVersion"] == cluster["_version"]
        if fits and status["phase"] == "Success" and parse_timestamp(status["expireTimeStamp"]) > world.now():
            return check
    return None


def add_findings(world: World, cluster_id: str, *, nodes: int = 50, findings: int = 400) -> None:
    """Let a cluster run a number of nodes on which its next check finds a number of risks."""
    facts = facts_of(world, cluster_id)
    facts["nodes"] = make_nodes("autopilot-node", nodes)
    facts["nodeFindings"] = spread_findings(facts["nodes"], findings)


def large_precheck(*, nodes: int = 50, findings: int = 400) -> Row:
    """Make the finished check of a large cluster as the service answers it, without a running simulator."""
    world, cluster_id = World(), "d2a1f4c6-7b10-11ef-9c1e-0255ac100b99"
    add_findings(world, cluster_id, nodes=nodes, findings=findings)
    cluster = {"metadata": {"uid": cluster_id}, "_version": "v1.28.6-r0"}
    check = past_check(world, cluster, "v1.31.4-r0", world.now())
    return dict(public(check))


def past_check(world: World, cluster: Row, target: str, ended: datetime) -> Row:
    """Put a check that ended some time ago into the world, with what it would have found."""
    check = _new_check(world, cluster, target, [])
    for group in range(len(GROUPS)):
        _examine(world, check, group)
    _conclude(world, check, ended)
    check["metadata"] |= {
        "creationTimestamp": world.timestamp(ended - timedelta(seconds=sum(SECONDS))),
        "updateTimestamp": world.timestamp(ended),
    }
    return check


def _new_check(world: World, cluster: Row, target: str, skipped: list[Row]) -> Row:
    cluster_id = cluster["metadata"]["uid"]
    spec = {"clusterID": cluster_id, "clusterVersion": cluster["_version"], "targetVersion": target}
    if skipped:
        spec["skippedCheckItemList"] = copy.deepcopy(skipped)
    status = {"phase": "Init", **{group: {"phase": "Init"} for group in GROUPS}}
    return new_task(world, CHECKS, "PreCheckTask", cluster_id, spec=spec, status=status)


@reacts_to("precheck.step")
def _step(world: World, check_id: str, group: int) -> None:
    """Finish the group before, begin the next one, or end the check after the last."""
    check = world.table(CHECKS)[check_id]
    cluster_id = check["_clusterID"]
    cluster = world.table("clusters").get(cluster_id)
    touch(world, check)
    if cluster is None or cluster["status"]["phase"] != "Available":
        said = "the cluster went away" if cluster is None else f"the cluster became {cluster['status']['phase']}"
        check["status"] |= {"phase": "Error", "message": f"the check was broken off: {said}"}
        track(world, cluster_id, "PreCheck", check_id, "Failed")
        return
    if group:
        _examine(world, check, group - 1)
    if group == len(GROUPS):
        _conclude(world, check, world.now())
        status = check["status"]
        track(world, cluster_id, "PreCheck", check_id, status["phase"], expires=status.get("expireTimeStamp"))
        return
    check["status"]["phase"] = "Running"
    check["status"][GROUPS[group]]["phase"] = "Running"
    track(world, cluster_id, "PreCheck", check_id, "Running")
    world.schedule(SECONDS[group + 1], "precheck.step", check_id=check_id, group=group + 1)


def _examine(world: World, check: Row, group: int) -> None:
    """Check one group of items as the cluster is now."""
    skips = Skips(check["spec"].get("skippedCheckItemList", []))
    cluster_id, target = check["_clusterID"], check["spec"]["targetVersion"]
    if GROUPS[group] == "nodeCheckStatus":
        nodes = node_results(world, cluster_id, skips)
        bad = any(failed(node["itemsStatus"]) for node in nodes)
        found = {"nodeStageStatus": nodes} if nodes else {}
    else:
        results = cluster_results if GROUPS[group] == "clusterCheckStatus" else addon_results
        items = results(world, cluster_id, target, skips)
        bad, found = failed(items), {"itemsStatus": items}
    check["status"][GROUPS[group]] = {"phase": "Failed" if bad else "Success", **found}


def _conclude(world: World, check: Row, ended: datetime) -> None:
    status = check["status"]
    good = all(status[group]["phase"] == "Success" for group in GROUPS)
    status["phase"] = "Success" if good else "Failed"
    if good:
        status["expireTimeStamp"] = world.timestamp(ended + LASTS)


def _is_healthy(world: World, cluster: Row, wanted: Mapping[str, Any]) -> bool:
    upgrades = of_cluster(world, UPGRADES, cluster["metadata"]["uid"])
    return (
        cluster["status"]["phase"] == "Available"
        and (not upgrades or upgrades[-1]["status"]["phase"] == "Success")
        and wanted.get("targetVersion", cluster["_version"]) in (cluster["_version"], cluster["spec"]["version"])
    )
