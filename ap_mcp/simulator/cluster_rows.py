"""What a cluster is in the simulated world: its row, its addresses, and the steps of building and removing one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ap_mcp.simulator.constants import REGION
from ap_mcp.simulator.lifecycle import Step
from ap_mcp.simulator.registry import SimulatedError, fetch, invalid
from ap_mcp.simulator.versions import PLATFORMS, short
from ap_mcp.simulator.world import Row, World

TABLE = "clusters"
QUOTA = 20
"""Clusters an account may have."""

ADDONS_ANNOTATION = "cluster.install.addons/install"
SERVICE_CIDR = "10.247.0.0/16"
OPTION_DEFAULTS = {
    "delete_efs": "skip",
    "delete_eni": "block",
    "delete_net": "block",
    "delete_obs": "skip",
    "delete_sfs30": "skip",
}
_SPELLINGS = {"true": "block", "false": "skip"}
_RECLAIM_STEPS = {
    "delete_net": ("DeleteServiceResources", 20.0),
    "delete_eni": ("DeleteEniPorts", 15.0),
    "delete_efs": ("DeleteSFSTurboVolumes", 25.0),
    "delete_sfs30": ("DeleteSFS30Volumes", 25.0),
    "delete_obs": ("DeleteOBSVolumes", 25.0),
}
_LOG_STEPS = {"Delete_Log_Group": "DeleteLogGroup", "Delete_Master_Log_Stream": "DeleteMasterLogStream"}


@dataclass(frozen=True, slots=True)
class Network:
    """Where a cluster lives."""

    vpc: str
    subnet: str
    eni_subnets: Sequence[str]
    service_cidr: str = SERVICE_CIDR


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What is decided about a cluster before it is built; `version` is the full one, with its patch."""

    name: str
    version: str
    network: Network
    alias: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    enterprise_project: str = "0"
    enable_snat: bool = False
    enable_swr: bool = False
    addons: Sequence[Mapping[str, Any]] = ()


def new_row(world: World, plan: Blueprint, *, uid: str = "", created: datetime | None = None) -> Row:
    """Put a new cluster into the world, still without a phase, and return its row."""
    uid = uid or world.new_id()
    born = world.timestamp(created)
    row: Row = {
        "kind": "Cluster",
        "apiVersion": "v3",
        "metadata": {
            "name": plan.name,
            "uid": uid,
            "alias": plan.alias or plan.name,
            "labels": {"FeatureGates": "arpOptimization,elbv3,xGPU"},
            "annotations": {"enableAutopilot": "true"},
            "creationTimestamp": born,
            "updateTimestamp": born,
        },
        "spec": _spec(plan),
        "status": {},
        "_version": plan.version,
        "_addons": [dict(addon) for addon in plan.addons],
        "_host": f"192.168.{world.random.randrange(0, 8)}.{world.random.randrange(4, 250)}",
        "_port_id": world.new_id(),
        "_eip": None,
        "_stuck": {},
    }
    world.table(TABLE)[uid] = row
    return row


def set_version(row: Row, version: str, platform: str = "") -> None:
    """Set the version of a cluster (`v1.31.6-r0`); the one before is added to its history."""
    spec, before = row["spec"], row["_version"]
    history = [entry for entry in spec["extendParam"]["upgradefrom"].split(",") if entry]
    spec["extendParam"]["upgradefrom"] = ",".join([*history, before])
    spec["version"] = short(version)
    spec["platformVersion"] = platform or PLATFORMS.get(short(version), spec["platformVersion"])
    row["_version"] = version


def make_available(row: Row) -> None:
    """Set a cluster running, with the addresses it has then."""
    row["status"] = {"phase": "Available", "endpoints": endpoints(row)}


def endpoints(row: Row) -> list[dict[str, str]]:
    """List the API server's addresses as a cluster's status shows them."""
    uid = row["metadata"]["uid"]
    found = [{"url": f"https://{uid}.cluster.cce.{REGION}.myhuaweicloud.com:5443", "type": "Internal"}]
    return [*found, {"url": public_url(row), "type": "External"}] if row["_eip"] else found


def private_url(row: Row) -> str:
    """Return the API server's address inside the VPC."""
    return f"https://{row['_host']}:5443"


def public_url(row: Row) -> str:
    """Return the API server's address on the internet; empty if it has none."""
    return f"https://{row['_eip']['address']}:5443" if row["_eip"] else ""


def find_cluster(world: World, cluster_id: str) -> Row:
    """Return a cluster's row.

    Raises:
        SimulatedError: 404 if there is none.
    """
    return fetch(world, TABLE, cluster_id, "cluster")


def available_cluster(world: World, cluster_id: str) -> Row:
    """Return the row of a cluster that runs.

    Raises:
        SimulatedError: 404 if there is none, 400 if it is in another phase.
    """
    row = find_cluster(world, cluster_id)
    phase = row["status"]["phase"]
    if phase != "Available":
        raise invalid(f"cluster {row['metadata']['name']!r} is {phase}; this needs an Available cluster")
    return row


def taken(world: World, name: str, *, by_other_than: str = "") -> SimulatedError | None:
    """Return the 409 for a name or alias that another cluster uses already, if one does."""
    for uid, row in world.table(TABLE).items():
        if uid != by_other_than and name in (row["metadata"]["name"], row["metadata"]["alias"]):
            reason = f"a cluster with the name or alias {name!r} exists: {uid}"
            return SimulatedError(409, "CCE.01409001", "The resource already exists", reason=reason)
    return None


def creation_steps(row: Row, *, enable_snat: bool, enable_swr: bool) -> list[Step]:
    """List the sub-jobs that build a cluster."""
    uid = row["metadata"]["uid"]
    network = [
        Step("CreateSecurityGroup", 8),
        *([Step("CreateVpcEndpoints", 20)] if enable_swr else []),
        *([Step("CreateNatGateway", 30)] if enable_snat else []),
        Step("AllocateEniSubnets", 10),
    ]
    control_plane = [
        Step("CreatePSMCert", 6),
        Step("InstallMaster", 120, extend_param={"serverID": row["_port_id"]}, resource_id=uid),
        Step("CheckMaster", 20),
    ]
    addons = [Step("InstallAddon", 15, resource_name=addon["addonTemplateName"]) for addon in row["_addons"]]
    return [
        Step("PrepareNetwork", steps=network),
        Step("InstallControlPlane", steps=control_plane),
        *([Step("InstallAddons", steps=addons)] if addons else []),
        Step("RegisterCluster", 4),
    ]


def deletion_options(query: Mapping[str, str]) -> dict[str, str]:
    """Return what happens to each kind of resource: block, try or skip."""
    given = {name: query.get(name, default) for name, default in OPTION_DEFAULTS.items()}
    return {name: _SPELLINGS.get(value, value) for name, value in given.items()}


def deletion_steps(options: Mapping[str, str], log_policy: str) -> list[Step]:
    """List the sub-jobs that remove a cluster, with those the options ask for."""
    reclaimed = [Step(*step) for name, step in _RECLAIM_STEPS.items() if options[name] != "skip"]
    logs = [Step(_LOG_STEPS[log_policy], 6)] if log_policy in _LOG_STEPS else []
    return [
        Step("DeleteAddons", 12),
        *([Step("ReclaimResources", steps=reclaimed)] if reclaimed else []),
        *logs,
        Step("UninstallMaster", 40),
        Step("DeleteSecurityGroup", 6),
    ]


def blocked_step(row: Row, options: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the step at which a deletion will stop and why: something is stuck, and its option is `block`."""
    for name, reason in row["_stuck"].items():
        if options.get(name) == "block":
            return _RECLAIM_STEPS[name][0], reason
    return None


def _spec(plan: Blueprint) -> Row:
    network = plan.network
    spec: Row = {
        "category": "Turbo",
        "type": "VirtualMachine",
        "flavor": "cce.autopilot.cluster",
        "version": short(plan.version),
        "platformVersion": PLATFORMS[short(plan.version)],
        "description": plan.description,
        "hostNetwork": {"vpc": network.vpc, "subnet": network.subnet},
        "containerNetwork": {"mode": "eni"},
        "eniNetwork": {"subnets": [{"subnetID": subnet} for subnet in network.eni_subnets]},
        "serviceNetwork": {"IPv4CIDR": network.service_cidr},
        "authentication": {"mode": "rbac"},
        "billingMode": 0,
        "kubernetesSvcIpRange": network.service_cidr,
        "kubeProxyMode": "iptables",
        "az": f"{REGION}a",
        "extendParam": {"enterpriseProjectId": plan.enterprise_project, "upgradefrom": ""},
    }
    if plan.tags:
        spec["clusterTags"] = [{"key": key, "value": value} for key, value in plan.tags.items()]
    return spec
