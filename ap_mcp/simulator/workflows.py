"""Upgrade workflows: records that follow the check, backup, upgrade and post-check of one target."""

from typing import Any

from ap_mcp.simulator.cluster_rows import available_cluster, find_cluster
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.registry import SimulatedError, SimulatedRequest, handles, invalid, not_found
from ap_mcp.simulator.upgrade_state import WORKFLOWS, check_cluster_id, new_task, of_cluster, resolve_target
from ap_mcp.simulator.world import Row, World

STAGES = ("PreCheck", "Snapshot", "Cluster", "PostCheck")
NEEDED = ("PreCheck", "Cluster", "PostCheck")
"""Stages that make a workflow a success; a backup is optional."""
OVER = ("Success", "Cancel")
UNDER_WAY = ("Init", "Queuing", "Running")
CANNOT_CANCEL = ("Running", "Success", "Cancel")
BUSY_UPGRADE = ("Running", "Init", "Pause", "Queuing")


@handles("create_upgrade_workflow")
def create_upgrade_workflow(world: World, request: SimulatedRequest) -> Row:
    """Open a workflow for one target version."""
    cluster = available_cluster(world, request.path["cluster_id"])
    wanted = request.body["spec"]
    check_cluster_id(wanted, cluster)
    if wanted.get("clusterVersion", cluster["_version"]) != cluster["_version"]:
        raise invalid(f"spec.clusterVersion is {wanted['clusterVersion']!r}, the cluster runs {cluster['_version']}")
    target = resolve_target(cluster, wanted["targetVersion"])
    if opened := open_workflow(world, cluster["metadata"]["uid"]):
        uid, its = opened["metadata"]["uid"], opened["spec"]["targetVersion"]
        reason = f"workflow {uid} to {its} is still open; finish or cancel it first"
        raise SimulatedError(409, "CCE.01409001", "The resource already exists", reason=reason)
    return new_workflow(world, cluster, target)


@handles("list_upgrade_workflows")
def list_upgrade_workflows(world: World, request: SimulatedRequest) -> Row:
    """List a cluster's workflows, oldest first."""
    find_cluster(world, request.path["cluster_id"])
    workflows = of_cluster(world, WORKFLOWS, request.path["cluster_id"])
    return {"kind": "List", "apiVersion": "v3", "items": workflows}


@handles("get_upgrade_workflow")
def get_upgrade_workflow(world: World, request: SimulatedRequest) -> Row:
    """Show one workflow."""
    find_cluster(world, request.path["cluster_id"])
    workflow = world.table(WORKFLOWS).get(request.path["upgrade_workflow_id"])
    if workflow is None or workflow["_clusterID"] != request.path["cluster_id"]:
        raise not_found("upgrade workflow", request.path["upgrade_workflow_id"])
    return workflow


@handles("cancel_upgrade_workflow")
def cancel_upgrade_workflow(world: World, request: SimulatedRequest) -> Row:
    """Cancel a workflow that is not over and in which nothing runs; a failed upgrade is given up with it."""
    workflow = get_upgrade_workflow(world, request)
    phase = workflow["status"]["phase"]
    if phase in CANNOT_CANCEL:
        raise invalid(f"workflow {workflow['metadata']['uid']} is {phase} and cannot be cancelled")
    upgrade = _point(workflow, "Cluster")
    if upgrade.get("status") in BUSY_UPGRADE:
        raise invalid(
            f"upgrade task {upgrade['taskID']} of the workflow is {upgrade['status']}: it cannot be cancelled"
        )
    workflow["status"]["phase"] = "Cancel"
    touch(world, workflow)
    if upgrade.get("status") == "Failed":
        world.fire("upgrade.given_up", task_id=upgrade["taskID"])
    return workflow


def new_workflow(world: World, cluster: Row, target: str) -> Row:
    """Put a new workflow into the world."""
    cluster_id = cluster["metadata"]["uid"]
    spec = {"clusterID": cluster_id, "clusterVersion": cluster["_version"], "targetVersion": target}
    lines = [_line("PreCheck", "Cluster", critical=True), _line("Cluster", "PostCheck", critical=False)]
    status = {"phase": "Init", "pointStatuses": [{"taskType": stage} for stage in STAGES], "lineStatuses": lines}
    return new_task(world, WORKFLOWS, "WorkFlowTask", cluster_id, spec=spec, status=status)


def open_workflow(world: World, cluster_id: str) -> Row | None:
    """Return the workflow of a cluster that is not over, if there is one."""
    workflows = reversed(of_cluster(world, WORKFLOWS, cluster_id))
    return next((each for each in workflows if each["status"]["phase"] not in OVER), None)


def track(
    world: World,
    cluster_id: str,
    stage: str,
    task_id: str,
    status: str,
    *,
    target: str | None = None,
    expires: str | None = None,
) -> None:
    """Let a cluster's open workflow know how one of its stages goes.

    Args:
        world: where it happens.
        cluster_id: whose workflow it is.
        stage: which stage.
        task_id: what runs in it; a task that is new to the workflow takes the place of an earlier one.
        status: of the task.
        target: version the task is about, given when it starts; another than the workflow's does not concern it.
        expires: when the result of a check ends to count.
    """
    workflow = open_workflow(world, cluster_id)
    if workflow is None or target not in (None, workflow["spec"]["targetVersion"]):
        return
    point = _point(workflow, stage)
    if point.get("taskID") != task_id:
        if target is None and stage in ("PreCheck", "Cluster"):
            return
        point.clear()
        point |= {"taskType": stage, "taskID": task_id, "startTimeStamp": world.timestamp()}
    point["status"] = status
    point.pop("endTimeStamp", None)
    if status not in UNDER_WAY:
        point["endTimeStamp"] = world.timestamp()
    if expires:
        point["expireTimeStamp"] = expires
    workflow["status"]["phase"] = _phase(workflow)
    touch(world, workflow)


def _phase(workflow: Row) -> str:
    statuses = {point["taskType"]: point.get("status") for point in workflow["status"]["pointStatuses"]}
    if any(status in UNDER_WAY for status in statuses.values()):
        return "Running"
    if "Failed" in statuses.values():
        return "Pending"
    return "Success" if all(statuses[stage] == "Success" for stage in NEEDED) else "Init"


def _point(workflow: Row, stage: str) -> dict[str, Any]:
    points: list[dict[str, Any]] = workflow["status"]["pointStatuses"]
    return next(point for point in points if point["taskType"] == stage)


def _line(start: str, end: str, *, critical: bool) -> Row:
    return {"startPoint": {"taskType": start}, "endPoint": {"taskType": end}, "critical": critical}
