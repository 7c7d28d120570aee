"""`k8s_scale`: the number of replicas is set through the scale of a workload, if that is as it was read."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.api import ClusterApi
from ap_mcp.kubernetes.effects import Change
from ap_mcp.kubernetes.patch import SCALE, needed, place_of, with_replicas
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.steps import Checks, Step, change_request, with_version
from ap_mcp.vendor import get, number, word


async def steps(arguments: Mapping[str, Any], api: ClusterApi, checks: Checks) -> list[Step]:
    """Return what sets the number of replicas.

    Raises:
        CallRefused: the kind has no scale, or the policy or the cluster's own check says no.
    """
    return [await _step(arguments, await api.resource(arguments["kind"]), checks)]


async def _step(arguments: Mapping[str, Any], resource: Resource, checks: Checks) -> Step:
    name, namespace, wanted = arguments["name"], place_of(arguments, resource), arguments["replicas"]
    live = await needed(checks, resource, namespace, name)
    scale = await checks.live(resource, namespace, name, SCALE)
    if scale is None:
        raise CallRefused(
            f"Refused: {resource.kind} {word(name)} has no scale. Nothing was sent. "
            "Deployments, StatefulSets and ReplicaSets have one."
        )
    has = int(number(get(scale, "/spec/replicas")) or 0)
    before, after = (with_replicas(live, {"spec": {"replicas": each}}) for each in (has, wanted))
    change = Change("change", resource, namespace, name, before, after, SCALE)
    await checks.decided(change)
    body = {
        "apiVersion": get(scale, "/apiVersion", "autoscaling/v1"),
        "kind": get(scale, "/kind", "Scale"),
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {"replicas": wanted},
    }
    compared = change_request(checks.api, "PUT", resource.parts(namespace, name, SCALE), body)
    nothing = has == wanted
    checked = None if nothing else await checks.dry_run(compared, change)

    async def again(api: ClusterApi) -> Step:
        return await _step(arguments, resource, Checks(api, checks.rehearse))

    return Step(
        change=change,
        call=None if nothing else with_version(compared, scale),
        compared=None if nothing else compared,
        again=again,
        given={"spec": {"replicas": wanted}},
        warnings=checked.warnings if checked else (),
        unchecked=checked.unchecked if checked else "",
        default_namespace=resource.namespaced and "namespace" not in arguments,
        words=f"scale {{}} from {has} to {wanted}",
    )
