"""Backups of the simulated clusters."""

from ap_mcp.simulator.cluster_rows import available_cluster, find_cluster
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.registry import SimulatedRequest, handles, reacts_to
from ap_mcp.simulator.upgrade_state import BACKUPS, locked, new_task, of_cluster
from ap_mcp.simulator.workflows import track
from ap_mcp.simulator.world import Row, World

STEPS = ((2.0, "Running", "0"), (8.0, "Running", "33"), (8.0, "Running", "67"), (8.0, "Success", "100"))
"""Seconds since the step before, phase and progress."""


@handles("backup_cluster")
def backup_cluster(world: World, request: SimulatedRequest) -> Row:
    """Start a backup."""
    cluster_id = available_cluster(world, request.path["cluster_id"])["metadata"]["uid"]
    for backup in of_cluster(world, BACKUPS, cluster_id):
        if backup["status"]["phase"] in ("Init", "Running"):
            raise locked("backup", backup["metadata"]["uid"])
    backup = _new_backup(world, cluster_id)
    uid = backup["metadata"]["uid"]
    track(world, cluster_id, "Snapshot", uid, "Init")
    world.schedule(STEPS[0][0], "backup.step", backup_id=uid, step=0)
    return {"uid": uid, "metadata": {"kind": "Snapshot", "apiVersion": "v3.1"}}


@handles("list_backups")
def list_backups(world: World, request: SimulatedRequest) -> Row:
    """List a cluster's backups, oldest first, and when the latest good one ended."""
    find_cluster(world, request.path["cluster_id"])
    backups = of_cluster(world, BACKUPS, request.path["cluster_id"])
    ends = [backup["status"]["completionTime"] for backup in backups if backup["status"]["phase"] == "Success"]
    status = {"latestBackupTime": max(ends)} if ends else {}
    return {"kind": "List", "apiVersion": "v3.1", "metadata": {}, "items": backups, "status": status}


def past_backup(world: World, cluster_id: str, ended: str) -> None:
    """Put a backup that ended some time ago into the world."""
    backup = _new_backup(world, cluster_id)
    backup["metadata"] |= {"creationTimestamp": ended, "updateTimestamp": ended}
    backup["status"] = {"phase": "Success", "progress": "100", "completionTime": ended}


def _new_backup(world: World, cluster_id: str) -> Row:
    status = {"phase": "Init", "progress": "0"}
    return new_task(world, BACKUPS, "SnapshotTask", cluster_id, "v3.1", spec={}, status=status)


@reacts_to("backup.step")
def _step(world: World, backup_id: str, step: int) -> None:
    backup = world.table(BACKUPS)[backup_id]
    _, phase, progress = STEPS[step]
    backup["status"] |= {"phase": phase, "progress": progress}
    touch(world, backup)
    track(world, backup["_clusterID"], "Snapshot", backup_id, phase)
    if step + 1 < len(STEPS):
        world.schedule(STEPS[step + 1][0], "backup.step", backup_id=backup_id, step=step + 1)
    else:
        backup["status"]["completionTime"] = world.timestamp()
