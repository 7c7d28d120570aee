"""Creates, reads, changes and removes the simulated clusters, and shows their jobs."""

import copy
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator import cluster_access
from ap_mcp.simulator.cluster_rows import (
    ADDONS_ANNOTATION,
    QUOTA,
    SERVICE_CIDR,
    TABLE,
    Blueprint,
    Network,
    available_cluster,
    blocked_step,
    creation_steps,
    deletion_options,
    deletion_steps,
    find_cluster,
    make_available,
    new_row,
    taken,
)
from ap_mcp.simulator.cluster_seed import seed_clusters
from ap_mcp.simulator.constants import FULL_SUBNET_ID
from ap_mcp.simulator.lifecycle import find_job, start_job, touch
from ap_mcp.simulator.registry import Answer, SimulatedError, SimulatedRequest, handles, invalid, reacts_to
from ap_mcp.simulator.versions import NEWEST_PATCHES, resolve
from ap_mcp.simulator.world import Row, World

__all__ = ["available_cluster", "cluster_access", "find_cluster", "seed_clusters"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MESSAGES = {
    "CreateFailed": "The cluster could not be created. Read its job, delete the cluster and create it again.",
    "DeleteFailed": "The cluster could not be deleted. Read its job, fix what prevents the deletion and delete again.",
}


@handles("create_cluster")
def create_cluster(world: World, request: SimulatedRequest) -> Row:
    """Start building a cluster."""
    plan = _blueprint(request.body)
    if len(world.table(TABLE)) >= QUOTA:
        raise SimulatedError(
            400, "CCE.01400007", "Insufficient cluster quota", reason=f"all {QUOTA} clusters of the account are in use"
        )
    for name in filter(None, (plan.name, plan.alias)):
        if conflict := taken(world, name):
            raise conflict
    row = new_row(world, plan)
    steps = creation_steps(row, enable_snat=plan.enable_snat, enable_swr=plan.enable_swr)
    full = FULL_SUBNET_ID in plan.network.eni_subnets
    job_id = start_job(
        world,
        "CreateCluster",
        row,
        steps,
        on_success="cluster.created",
        on_failure="cluster.not_created",
        fails_at="AllocateEniSubnets" if full else None,
        reason=f"subnet {FULL_SUBNET_ID} has no free IP address" if full else "",
        payload={"cluster_id": row["metadata"]["uid"]},
    )
    row["status"] = {"phase": "Creating", "jobID": job_id}
    answer = copy.deepcopy(row)
    answer["metadata"]["annotations"] = {"jobid": job_id, "resourceJobId": world.new_id()}
    answer["spec"] |= {"enableSnat": plan.enable_snat, "enableSWRImageAccess": plan.enable_swr}
    del answer["metadata"]["labels"]
    if not plan.alias:
        del answer["metadata"]["alias"]
    return answer


@handles("list_clusters")
def list_clusters(world: World, request: SimulatedRequest) -> Row:
    """List the clusters that fit the filters."""
    rows = [row for row in world.table(TABLE).values() if _fits(row, request.query)]
    return {"kind": "Cluster", "apiVersion": "v3", "items": [_shown(world, row, request.query) for row in rows]}


@handles("get_cluster")
def get_cluster(world: World, request: SimulatedRequest) -> Row:
    """Show one cluster."""
    return _shown(world, find_cluster(world, request.path["cluster_id"]), request.query)


@handles("update_cluster")
def update_cluster(world: World, request: SimulatedRequest) -> Row:
    """Change alias, description or subnets."""
    row = available_cluster(world, request.path["cluster_id"])
    alias = request.body.get("metadata", {}).get("alias", "")
    subnets = request.body["spec"].get("eniNetwork", {}).get("subnets")
    if alias and (conflict := taken(world, alias, by_other_than=row["metadata"]["uid"])):
        raise conflict
    if subnets is not None:
        _check_subnets([subnet["subnetID"] for subnet in subnets])
        row["spec"]["eniNetwork"] = {"subnets": copy.deepcopy(subnets)}
    if "description" in request.body["spec"]:
        row["spec"]["description"] = request.body["spec"]["description"]
    row["metadata"]["alias"] = alias or row["metadata"]["alias"]
    touch(world, row)
    return _shown(world, row, {})


@handles("delete_cluster")
def delete_cluster(world: World, request: SimulatedRequest) -> Row:
    """Start removing a cluster; asked again, name the job that runs already."""
    row = find_cluster(world, request.path["cluster_id"])
    phase = row["status"]["phase"]
    if phase == "Deleting":
        return _shown(world, row, {})
    if phase in ("Creating", "Upgrading", "RollingBack"):
        raise invalid(f"cluster {row['metadata']['name']!r} is {phase}; wait until that has ended")
    options = deletion_options(request.query)
    blocked = blocked_step(row, options)
    job_id = start_job(
        world,
        "DeleteCluster",
        row,
        deletion_steps(options, request.query.get("lts_reclaim_policy", "Delete_Master_Log_Stream")),
        on_success="cluster.deleted",
        on_failure="cluster.not_deleted",
        fails_at=blocked[0] if blocked else None,
        reason=blocked[1] if blocked else "",
        payload={"cluster_id": row["metadata"]["uid"]},
    )
    answer = copy.deepcopy(_shown(world, row, {}))
    row["status"] |= {"phase": "Deleting", "jobID": job_id}
    touch(world, row)
    answer["status"] |= {"jobID": job_id, "deleteOption": _asked(options), "deleteStatus": _counts(world)}
    return answer


@handles("get_job")
def get_job(world: World, request: SimulatedRequest) -> Answer:
    """Show a job with all its sub-jobs."""
    return Answer(find_job(world, request.path["job_id"]))


@reacts_to("cluster.created")
def _created(world: World, *, cluster_id: str, **_: Any) -> None:
    row = world.table(TABLE)[cluster_id]
    make_available(row)
    touch(world, row)


@reacts_to("cluster.not_created")
def _not_created(world: World, *, cluster_id: str, job_id: str, **_: Any) -> None:
    _fail(world, world.table(TABLE)[cluster_id], job_id, "CreateFailed")


@reacts_to("cluster.deleted")
def _deleted(world: World, *, cluster_id: str, **_: Any) -> None:
    del world.table(TABLE)[cluster_id]


@reacts_to("cluster.not_deleted")
def _not_deleted(world: World, *, cluster_id: str, job_id: str, **_: Any) -> None:
    _fail(world, world.table(TABLE)[cluster_id], job_id, "DeleteFailed")


def _fail(world: World, row: Row, job_id: str, reason: str) -> None:
    why = find_job(world, job_id)["status"]["reason"]
    row["status"] |= {"phase": "Error", "jobID": job_id, "reason": reason, "message": f"{_MESSAGES[reason]} ({why})"}
    touch(world, row)


def _blueprint(body: Mapping[str, Any]) -> Blueprint:
    """Read a request to create a cluster, refusing what the service would refuse."""
    metadata, spec = body["metadata"], body["spec"]
    version = resolve(spec.get("version"))
    if version is None:
        reason = f"version {spec['version']!r} is not supported; supported: {', '.join(NEWEST_PATCHES)}"
        raise SimulatedError(400, "CCE.01400015", "Version not supported", reason=reason)
    tags = {tag["key"]: tag["value"] for tag in spec.get("clusterTags", ())}
    if len(tags) < len(spec.get("clusterTags", ())):
        raise invalid("a tag key is given twice")
    installed = metadata.get("annotations", {}).get(ADDONS_ANNOTATION, "[]")
    return Blueprint(
        name=metadata["name"],
        version=version,
        network=_network(spec),
        alias=metadata.get("alias", ""),
        description=spec.get("description", ""),
        tags=tags,
        enterprise_project=spec.get("extendParam", {}).get("enterpriseProjectId", "0"),
        enable_snat=spec.get("enableSnat", False),
        enable_swr=spec.get("enableSWRImageAccess", False),
        addons=json.loads(installed),
    )


def _network(spec: Mapping[str, Any]) -> Network:
    host = spec["hostNetwork"]
    if not _UUID.fullmatch(host["vpc"]):
        raise invalid(f"VPC {host['vpc']!r} does not exist")
    subnets = [subnet["subnetID"] for subnet in spec["eniNetwork"]["subnets"]]
    _check_subnets([host["subnet"], *subnets])
    cidr = spec.get("serviceNetwork", {}).get("IPv4CIDR", SERVICE_CIDR)
    try:
        ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise invalid(f"the service CIDR block {cidr!r} is no IPv4 network") from error
    return Network(vpc=host["vpc"], subnet=host["subnet"], eni_subnets=subnets, service_cidr=cidr)


def _check_subnets(subnets: list[str]) -> None:
    strangers = [subnet for subnet in subnets if not _UUID.fullmatch(subnet)]
    if strangers:
        reason = f"not in the VPC: {', '.join(map(repr, strangers))}"
        raise SimulatedError(400, "CCE.01400002", "Subnet not found in the VPC", reason=reason)


def _fits(row: Row, query: Mapping[str, str]) -> bool:
    wanted = query.get("version", "")
    return (
        query.get("status") in (None, row["status"]["phase"])
        and query.get("type") in (None, row["spec"]["type"])
        and wanted in ("", row["spec"]["version"], row["_version"])
    )


def _shown(world: World, row: Row, query: Mapping[str, str]) -> Row:
    """Return a cluster as a read answers it; with `detail`, its add-ons stand in an annotation."""
    if query.get("detail") != "true":
        return row
    uid = row["metadata"]["uid"]
    installed = [
        {"addonTemplateName": addon["spec"]["addonTemplateName"], **_addon_state(addon)}
        for addon in world.table("addons").values()
        if addon["spec"]["clusterID"] == uid
    ]
    noted = {**row["metadata"]["annotations"], "installedAddonInstances": json.dumps(installed)}
    return {**row, "metadata": {**row["metadata"], "annotations": noted}}


def _addon_state(addon: Row) -> dict[str, str]:
    return {"version": addon["spec"]["version"], "status": addon["status"]["status"]}


def _asked(options: Mapping[str, str]) -> dict[str, str]:
    return {name: f"delete-{value}" for name, value in options.items() if value != "skip"}


def _counts(world: World) -> dict[str, int]:
    before = world.random.randrange(20, 60)
    added = world.random.randrange(0, 8)
    return {"previous_total": before, "current_total": before + added, "updated": before, "added": added, "deleted": 0}
