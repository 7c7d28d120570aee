"""Scales, and evictions that disruption budgets allow or not."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.acting import write
from ap_mcp.simulator.kubernetes.columns import selector_text
from ap_mcp.simulator.kubernetes.controllers import reconciles
from ap_mcp.simulator.kubernetes.deletion import delete
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.options import delete_options
from ap_mcp.simulator.kubernetes.pods import is_active, is_ready
from ap_mcp.simulator.kubernetes.selectors import object_selector
from ap_mcp.simulator.kubernetes.statuses import StatusError, modified
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

BUDGET = ("PodDisruptionBudget", "policy")


def scale_of(item: Mapping[str, Any]) -> Row:
    """Return the scale of an object."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion",
                                                       "creationTimestamp") if key in item["metadata"]}  # fmt: skip
    status: Row = {"replicas": (item.get("status") or {}).get("replicas", 0)}
    text = selector_text((item.get("spec") or {}).get("selector"))
    if text != "<none>":
        status["selector"] = text
    spec = {"replicas": (item.get("spec") or {}).get("replicas", 0)}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def rescaled(kind: Kind, item: Row, scale: Mapping[str, Any]) -> Row:
    """Return an object with the replicas of a scale.

    Raises:
        StatusError: 409 if the scale is of another state, 422 if its number cannot be.
    """
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version and version != item["metadata"]["resourceVersion"]:
        raise modified(kind, item["metadata"]["name"])
    changed = copied(item)
    changed["spec"]["replicas"] = (scale.get("spec") or {}).get("replicas", 0)
    return changed


def evict(store: Store, namespace: str, name: str, eviction: Row, query: Mapping[str, str]) -> Row:
    """Delete a pod unless a budget forbids it.

    Raises:
        StatusError: 404 without such a pod, 429 if too few would be left.
    """
    kind = known("Pod")
    pod = store.fetch(kind, namespace, name)
    for budget in store.named(*BUDGET, namespace=namespace):
        matches = object_selector(budget["spec"].get("selector"))
        if not matches(pod["metadata"].get("labels") or {}) or not is_ready(pod):
            continue
        status = _status_of(store, budget)
        if status["disruptionsAllowed"] < 1:
            said = f"The disruption budget {budget['metadata']['name']} needs {status['desiredHealthy']} healthy pods "
            cause = {"reason": "DisruptionBudget", "message": f"{said}and has {status['currentHealthy']} currently"}
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise StatusError(429, "TooManyRequests", message, {"causes": [cause]})
    delete(store, kind, pod, delete_options(query, eviction.get("deleteOptions")))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


@reconciles("pods", "poddisruptionbudgets.policy")
def budgets_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Report what the budgets of a namespace allow."""
    kind = known(*BUDGET)
    for budget in store.all(kind, item["metadata"]["namespace"]):
        status = {**(budget.get("status") or {}), **_status_of(store, budget)}
        status["observedGeneration"] = budget["metadata"].get("generation", 1)
        write(store, kind, budget, {**copied(budget), "status": status})


def _status_of(store: Store, budget: Mapping[str, Any]) -> Row:
    spec = budget["spec"]
    matches = object_selector(spec.get("selector"))
    pods = [each for each in store.named("Pod", namespace=budget["metadata"]["namespace"])
            if matches(each["metadata"].get("labels") or {}) and is_active(each)]  # fmt: skip
    healthy, expected = sum(map(is_ready, pods)), len(pods)
    if spec.get("maxUnavailable") is not None:
        wanted = max(0, expected - _count(spec["maxUnavailable"], expected))
    else:
        wanted = _count(spec.get("minAvailable", 1), expected)
    allowed = max(0, healthy - wanted) if expected else 0
    return {
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
    }


def _count(value: Any, whole: int) -> int:
    """Return a number of pods, percentages rounded up."""
    if isinstance(value, str) and value.endswith("%"):
        return -(-whole * int(value[:-1]) // 100)
    return int(value)
