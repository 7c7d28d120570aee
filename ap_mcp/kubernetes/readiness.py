"""Says how the workloads are that something of the cloud consists of, such as a release: with the fewest reads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anyio import move_on_after

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.api import ClusterApi, cluster_api
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.kubernetes.rollouts import KINDS, rollout_of
from ap_mcp.kubernetes.spec import known_kinds, tool_specs
from ap_mcp.rules.release_objects import release_objects
from ap_mcp.specs import CLUSTER, Operation
from ap_mcp.specs.waits import SUCCESS
from ap_mcp.summaries.base import WORKLOADS
from ap_mcp.vendor import get, items, text

if TYPE_CHECKING:
    from ap_mcp.plans import ToolContext

SECONDS = 5.0
"""The answer does not wait longer for the cluster."""
MOST = 500


async def workloads_beside(
    operation: Operation, body: Any, arguments: Mapping[str, Any], context: "ToolContext"
) -> dict[str, Any]:
    """Read how the workloads are of a thing that is in place; nothing where no tool for the cluster is offered.

    A read for each kind of workload. What a rule forbids, or the cluster does not show, is left out.

    Args:
        operation: read the thing.
        body: what it answered.
        arguments: of the read, the cluster by its id.
        context: what the call may use.
    """
    wait, place = operation.wait, operation.objects
    if place is None or wait is None or wait.verdict(get(body, wait.phase_at)) != SUCCESS:
        return {}
    objects, namespace = release_objects(get(body, place.list)), text(get(body, place.namespace))
    names = {kind: each for kind, each in (objects.names if objects else {}).items() if kind in KINDS}
    if not names or not namespace or not tool_specs().keys() & set(context.finishing.tools):
        return {}
    found: list[dict[str, Any]] = []
    with move_on_after(SECONDS), suppress(ApMcpError):
        # Only kinds that every cluster serves are read: nothing need be known of it.
        kinds = KnownKinds(lambda: 0.0)
        api = await cluster_api(operation.id, arguments[CLUSTER], context.reads, kinds)
        for kind, wanted in names.items():
            with suppress(ApMcpError):
                found += [each async for each in _read(api, kind, wanted, namespace)]
    return {WORKLOADS: found} if found else {}


async def _read(api: ClusterApi, kind: str, names: tuple[str, ...], namespace: str) -> AsyncIterator[dict[str, Any]]:
    resource = next(each for each in known_kinds() if each.kind == kind)
    if len(names) == 1:
        every = [await api.get(resource, names[0], namespace)]
    else:
        every = items(await api.list(resource, namespace, query={"limit": str(MOST)}), "/items")
    for each in every:
        rollout = rollout_of(kind, each)
        if (name := text(get(each, "/metadata/name"))) in names and rollout is not None:
            facts = {"kind": kind, "name": name, "ready": rollout.ready, "wanted": rollout.wanted}
            yield facts if rollout.is_complete else {**facts, "phase": rollout.phase, "why": rollout.why}
