"""Waits for what the cloud does in its own time: reads, and reads again, by what the specs say about phases.

Here stands what clients are shown of it; the modules are imported with the first call.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from ap_mcp.rules.wait_hints import DELETED, ENDED, UNTIL, WAIT_FOR
from ap_mcp.specs import Operation

__all__ = [
    "DELETED",
    "DESCRIPTION",
    "IN_CLUSTERS",
    "LONGEST",
    "PLACES",
    "TITLE",
    "UNTIL",
    "USUAL",
    "WAIT_FOR",
    "Now",
    "Sleep",
    "kinds",
    "wait_schema",
]

TITLE = "Wait for something to end"
DESCRIPTION = "Waits until something ends and answers like its get tool. Repeat while running."
LONGEST = 600
USUAL = 50
PARENTS = ("cluster_id", "namespace")
IN_CLUSTERS = ("rollout", "k8s_job", "pods_ready")
"""Kinds of things inside a cluster: a workload's newest version, a Job, pods that are ready."""
PLACES = ("id", *PARENTS)
"""Arguments that become a part of a path."""

Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Now: TypeAlias = Callable[[], float]


def kinds(operations: Iterable[Operation]) -> list[str]:
    """Return the kinds of things that can be waited for with some operations."""
    return [kind for operation in operations if (kind := operation.awaited_as)]


def wait_schema(kinds: Iterable[str], longest: int = LONGEST) -> dict[str, Any]:
    """Return the input schema of `wait_for` for the kinds that are offered, and a longest wait in seconds."""
    return {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": list(kinds)},
            "id": {"type": "string", "description": "Id or name"},
            "cluster_id": {"type": "string"},
            "namespace": {"type": "string"},
            UNTIL: {"type": "string", "enum": [ENDED, DELETED], "default": ENDED},
            "wait_s": {"type": "integer", "default": USUAL, "minimum": 0, "maximum": longest},
        },
        "required": ["kind", "id"],
        "additionalProperties": False,
    }
