"""Horizontal autoscalers: what they measure, what keeps them from it, and the limits they hold."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.acting import condition, emit, write
from ap_mcp.simulator.kubernetes.controllers import reconciles
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.metrics import used_share
from ap_mcp.simulator.kubernetes.pods import is_active
from ap_mcp.simulator.kubernetes.selectors import object_selector
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

AUTOSCALER = ("HorizontalPodAutoscaler", "autoscaling")
EVERY_SECONDS = 15
NO_METRICS = (
    "unable to fetch metrics from resource metrics API: the server could not find the requested resource "
    "(get pods.metrics.k8s.io)"
)


@reconciles("horizontalpodautoscalers.autoscaling")
def autoscaler_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Report what an autoscaler sees, and bring its target within its limits."""
    kind, metadata = known(*AUTOSCALER), item["metadata"]
    old = store.get(kind, metadata["namespace"], metadata["name"])
    if old is None or old["metadata"].get("deletionTimestamp"):
        return
    spec, new = old["spec"], copied(old)
    status: Row = {"conditions": copied(old.get("status") or {}).get("conditions") or []}
    target_kind, target = _target(store, metadata["namespace"], spec["scaleTargetRef"])
    if target_kind is None or target is None:
        reference = spec["scaleTargetRef"]
        said = f"the HPA controller was unable to get the target's current scale: {reference['kind']} \""
        said += f'{reference["name"]}" not found'
        condition(store, status, "AbleToScale", "False", "FailedGetScale", said)
        emit(store, old, "Warning", "FailedGetScale", said, "horizontal-pod-autoscaler", count=1)
        write(store, kind, old, {**new, "status": {**status, "currentReplicas": 0, "desiredReplicas": 0}})
        return
    current = target["spec"].get("replicas", 1)
    said = "the HPA controller was able to get the target's current scale"
    condition(store, status, "AbleToScale", "True", "SucceededGetScale", said)
    status |= {"currentReplicas": current, "observedGeneration": old["metadata"].get("generation", 1)}
    pods = _pods(store, target)
    blind, measured = _measured(store, spec, pods)
    if blind:
        name, why = blind
        reason, said = f"FailedGet{name}Metric", f"the HPA was unable to compute the replica count: {why}"
        condition(store, status, "ScalingActive", "False", reason, said)
        emit(store, old, "Warning", reason, why, "horizontal-pod-autoscaler", count=1)
        write(store, kind, old, {**new, "status": {**status, "desiredReplicas": 0}})
        return
    wanted = min(max(current, spec.get("minReplicas", 1)), spec["maxReplicas"])
    said = "the HPA was able to successfully calculate a replica count from cpu resource utilization"
    condition(store, status, "ScalingActive", "True", "ValidMetricFound", said)
    limited = {True: ("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count"),
               False: ("False", "DesiredWithinRange", "the desired count is within the acceptable range")}  # fmt: skip
    condition(store, status, "ScalingLimited", *limited[wanted == spec["maxReplicas"]])
    write(store, kind, old, {**new, "status": {**status, "desiredReplicas": wanted, "currentMetrics": measured}})
    if wanted != current and current:
        _rescale(store, target_kind, target, wanted)


@reconciles("deployments.apps", "statefulsets.apps")
def target_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Let the autoscalers of a workload react to its change."""
    for each in store.all(known(*AUTOSCALER), item["metadata"]["namespace"]):
        reference = each["spec"]["scaleTargetRef"]
        if (reference["kind"], reference["name"]) == (item["kind"], item["metadata"]["name"]):
            autoscaler_changed(store, each)


def _target(store: Store, namespace: str, reference: Mapping[str, Any]) -> tuple[Kind | None, Row | None]:
    kind = store.served().of(reference.get("apiVersion", "apps/v1"), reference["kind"])
    return kind, None if kind is None else store.get(kind, namespace, reference["name"])


def _pods(store: Store, target: Mapping[str, Any]) -> list[Row]:
    matches = object_selector(target["spec"].get("selector"))
    pods = store.named("Pod", namespace=target["metadata"]["namespace"])
    return [each for each in pods if is_active(each) and matches(each["metadata"].get("labels") or {})]


def _measured(store: Store, spec: Mapping[str, Any], pods: list[Row]) -> tuple[tuple[str, str] | None, list[Row]]:
    """Return why a metric cannot be had, and what the metrics are if all can."""
    found = []
    for metric in spec.get("metrics") or ():
        if metric["type"] != "Resource":
            continue
        name = metric["resource"]["name"]
        failed = f"failed to get {name} utilization: "
        if not store.served().of("metrics.k8s.io/v1beta1", "PodMetrics"):
            return ("Resource", f"{failed}unable to get metrics for resource {name}: {NO_METRICS}"), []
        for pod in pods:
            for each in pod["spec"]["containers"]:
                if name not in ((each.get("resources") or {}).get("requests") or {}):
                    said = f"missing request for {name} in container {each['name']} of Pod {pod['metadata']['name']}"
                    return ("Resource", failed + said), []
        shares = [used_share(pod, each) for pod in pods for each in pod["spec"]["containers"]]
        average = round(100 * sum(shares) / len(shares)) if shares else 0
        found.append({"type": "Resource", "resource": {"name": name, "current": {"averageUtilization": average}}})
    return None, found


def _rescale(store: Store, kind: Kind, target: Row, wanted: int) -> None:
    changed = copied(target)
    changed["spec"]["replicas"] = wanted
    changed["metadata"]["generation"] = changed["metadata"].get("generation", 1) + 1
    write(store, kind, target, changed)
