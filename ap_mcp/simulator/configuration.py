"""What of the simulated clusters is collected in logs, and which features the simulated service has."""

from ap_mcp.simulator.cluster_rows import find_cluster
from ap_mcp.simulator.constants import PAYMENTS_PROD
from ap_mcp.simulator.registry import SimulatedRequest, handles, reacts_to
from ap_mcp.simulator.world import Row, World

TABLE = "log_configs"
KINDS = {
    "control": ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    "audit": ("audit",),
    "system-addon": ("coredns", "nginx-ingress"),
}
"""The logs of each kind."""
KEPT_DAYS = 30
GATES = {
    "AutopilotMaintenanceWindow": True,
    "ClusterLogCollection": "Support",
    "ImageCache": {"enabled": False, "reason": "not in this region"},
    "MaxReleaseHistory": 10,
}
"""Features of the region, with values of every type, as the service guarantees none."""


@handles("get_log_config")
def get_log_config(world: World, request: SimulatedRequest) -> Row:
    """Show which logs of a cluster are collected, all or those of a kind."""
    config = log_config(world, find_cluster(world, request.path["cluster_id"]))
    wanted = KINDS.get(request.query.get("type", ""), tuple(config["logs"]))
    logs = [{"name": name, "enable": on} for name, on in config["logs"].items() if name in wanted]
    return {"ttl_in_days": config["days"], "log_configs": logs}


@handles("get_feature_gates")
def get_feature_gates(_world: World, _request: SimulatedRequest) -> Row:
    """Show the features of the service."""
    return {"kind": "Configuration", "apiVersion": "v3.1", "spec": dict(GATES)}


def log_config(world: World, cluster: Row) -> Row:
    """Return what of a cluster is collected; all but the audit log unless that was changed."""
    usual = {name: name != "audit" for names in KINDS.values() for name in names}
    return world.table(TABLE).get(cluster["metadata"]["uid"], {"days": KEPT_DAYS, "logs": usual})


def seed_configuration(world: World) -> None:
    """Let a production cluster keep its audit log, too."""
    everything = dict.fromkeys((name for names in KINDS.values() for name in names), True)
    world.table(TABLE)[PAYMENTS_PROD] = {"days": 180, "logs": everything}


@reacts_to("cluster.deleted")
def _forget(world: World, *, cluster_id: str, **_: object) -> None:
    world.table(TABLE).pop(cluster_id, None)
