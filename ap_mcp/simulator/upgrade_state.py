"""What upgrades, checks, backups and workflows all need to know about a cluster."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.registry import SimulatedError, invalid
from ap_mcp.simulator.versions import NEWEST_PATCHES, targets_of
from ap_mcp.simulator.world import Row, World

FACTS = "upgrade_facts"
"""Table of hidden facts by cluster id: `nodes`, `nodeFindings`, `deprecatedAPIs`, `upgradeFailures`."""
UPGRADES, CHECKS, BACKUPS, WORKFLOWS = "upgrade_tasks", "prechecks", "backups", "upgrade_workflows"


def facts_of(world: World, cluster_id: str) -> Row:
    """Return the hidden facts of a cluster, to be changed in place."""
    return world.table(FACTS).setdefault(cluster_id, {})


def of_cluster(world: World, table: str, cluster_id: str) -> list[Row]:
    """List what a cluster has in a table, oldest first."""
    return [row for row in world.table(table).values() if row["_clusterID"] == cluster_id]


def check_cluster_id(request_spec: Mapping[str, Any], cluster: Row) -> None:
    """Check that a body that names a cluster names that of the path.

    Raises:
        SimulatedError: 400 if it names another.
    """
    uid = cluster["metadata"]["uid"]
    if request_spec.get("clusterID", uid) != uid:
        raise invalid(f"spec.clusterID is {request_spec['clusterID']!r}, the path names cluster {uid}")


def resolve_target(cluster: Row, wanted: str) -> str:
    """Return the offered version that a target (`v1.31` or `v1.31.4-r0`) means.

    Raises:
        SimulatedError: 400 if it is not offered.
    """
    version = cluster["_version"]
    offered = targets_of(version)
    target = NEWEST_PATCHES.get(wanted, wanted)
    if target not in offered:
        choice = ", ".join(offered) or "none, it is the newest"
        reason = f"cluster version {version} cannot be upgraded to {wanted!r}; target versions: {choice}"
        raise SimulatedError(400, "CCE.01400015", "Version not supported", reason=reason)
    return target


def locked(what: str, task_id: str) -> SimulatedError:
    """Make the 429 for something that is busy with another task."""
    return SimulatedError(
        429, "CCE.01429002", "Resource locked by other requests", reason=f"{what} {task_id} is still running"
    )


def new_task(world: World, table: str, kind: str, cluster_id: str, version: str = "v3", **parts: Row) -> Row:
    """Put a task into a table, created now, and return it."""
    now = world.timestamp()
    task: Row = {
        "kind": kind,
        "apiVersion": version,
        "metadata": {"uid": world.new_id(), "creationTimestamp": now, "updateTimestamp": now},
        **parts,
        "_clusterID": cluster_id,
    }
    world.table(table)[task["metadata"]["uid"]] = task
    return task
