"""Says whether a cluster can be upgraded now, what blocks it, and which calls to make.

Here stands what clients are shown of it; the modules are imported with the first call.
"""

from collections.abc import Mapping
from typing import Any

from ap_mcp.schemas import argument_schema
from ap_mcp.specs import CLUSTER, Operation

ASSESS_UPGRADE = "assess_upgrade"
TITLE = "Assess an upgrade"
DESCRIPTION = "Says whether a cluster can be upgraded now, what blocks it, and which calls to make, in order."
TARGET = "target_version"
NEEDS = frozenset({"get_upgrade_info"})
"""Operations that must be offered for this to be."""


def input_schema(operations: Mapping[str, Operation]) -> dict[str, Any]:
    """Return the input schema: the arguments as they are in the specs of `operations`."""
    upgrade = operations["get_upgrade_info"]
    cluster = argument_schema(upgrade, upgrade.arguments[CLUSTER])
    target = {"type": "string", "description": "v1.31 or a whole version; the newest offered if left out"}
    return {
        "type": "object",
        "properties": {CLUSTER: cluster, TARGET: target},
        "required": [CLUSTER],
        "additionalProperties": False,
    }
