"""Says what of an account, or of one cluster, needs attention: the gravest first, each with its cause and one call.

Here stands what clients are shown of it; the modules are imported with the first call.
"""

from collections.abc import Mapping
from typing import Any

from ap_mcp.schemas import argument_schema
from ap_mcp.specs import CLUSTER, Operation

LIST_PROBLEMS = "list_problems"
TITLE = "List what needs attention"
DESCRIPTION = (
    "Looks around for problems: failed or stuck clusters, add-ons, Helm releases, jobs, upgrades, checks, backups, "
    "quotas, in a named cluster workloads. Start here when something is wrong or to see how everything is."
)
NEEDS = frozenset({"list_clusters", "get_cluster"})
"""Operations that must be offered for this to be."""


def input_schema(operations: Mapping[str, Operation]) -> dict[str, Any]:
    """Return the input schema: the argument as it is in the specs of `operations`."""
    read = operations["get_cluster"]
    cluster = argument_schema(read, read.arguments[CLUSTER])
    return {"type": "object", "properties": {CLUSTER: cluster}, "additionalProperties": False}
