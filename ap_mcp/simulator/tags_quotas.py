"""Tags of the simulated clusters, and how many clusters there may be."""

from ap_mcp.simulator.cluster_rows import QUOTA, TABLE, find_cluster
from ap_mcp.simulator.constants import REGION
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.registry import SimulatedRequest, handles, invalid
from ap_mcp.simulator.world import Row, World

MOST_TAGS = 20


@handles("add_cluster_tags")
def add_cluster_tags(world: World, request: SimulatedRequest) -> None:
    """Set tags; a key that exists gets the new value."""
    row = find_cluster(world, request.path["cluster_id"])
    given = [tag["key"] for tag in request.body["tags"]]
    if twice := sorted({key for key in given if given.count(key) > 1}):
        raise invalid(f"tag keys given twice: {', '.join(twice)}")
    tags = _tags(row) | {tag["key"]: tag["value"] for tag in request.body["tags"]}
    if len(tags) > MOST_TAGS:
        raise invalid(f"the cluster would have {len(tags)} tags, {MOST_TAGS} are allowed")
    _set_tags(world, row, tags)


@handles("delete_cluster_tags")
def delete_cluster_tags(world: World, request: SimulatedRequest) -> None:
    """Remove tags; a key that is not there is no error."""
    row = find_cluster(world, request.path["cluster_id"])
    gone = {tag["key"] for tag in request.body["tags"]}
    _set_tags(world, row, {key: value for key, value in _tags(row).items() if key not in gone})


@handles("get_quotas")
def get_quotas(world: World, _request: SimulatedRequest) -> Row:
    """Count the clusters against their quota."""
    used = len(world.table(TABLE))
    quota = {"quotaKey": "autopilot_cluster", "quotaLimit": QUOTA, "used": used, "unit": "count", "regionId": REGION}
    return {"quotas": [quota]}


def _tags(row: Row) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in row["spec"].get("clusterTags", ())}


def _set_tags(world: World, row: Row, tags: dict[str, str]) -> None:
    """Store tags in the order of their keys; if there are none, store nothing."""
    row["spec"].pop("clusterTags", None)
    if tags:
        row["spec"]["clusterTags"] = [{"key": key, "value": tags[key]} for key in sorted(tags)]
    touch(world, row)
