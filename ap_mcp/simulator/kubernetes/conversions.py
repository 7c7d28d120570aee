"""Kinds that are served in more versions than one: what is kept, and how each version shows it."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.world import Row, copied

AUTOSCALING, EVENTS = "autoscaling", "events.k8s.io"


def stored_kind(kind: Kind) -> Kind:
    """Return the kind in the version that its objects are kept in."""
    if kind.group == AUTOSCALING and kind.version == "v1":
        return known("HorizontalPodAutoscaler", AUTOSCALING)
    return known("Event") if kind.group == EVENTS else kind


def shown(kind: Kind, item: Row) -> Row:
    """Return a kept object as a version shows it."""
    if stored_kind(kind) == kind:
        return item
    made = copied(item) | {"apiVersion": kind.api_version}
    return _autoscaler_shown(made) if kind.group == AUTOSCALING else _event_shown(made)


def stored(kind: Kind, item: Any) -> Any:
    """Return an object of a version as it is kept."""
    if stored_kind(kind) == kind or not isinstance(item, Mapping):
        return item
    made = copied(dict(item))
    if made.get("apiVersion", kind.api_version) == kind.api_version:
        made["apiVersion"] = stored_kind(kind).api_version
    return _autoscaler_stored(made) if kind.group == AUTOSCALING else _event_stored(made)


def _autoscaler_shown(item: Row) -> Row:
    spec, status = item["spec"], item.get("status") or {}
    cpu = [each for each in spec.pop("metrics", ()) if _is_cpu(each)]
    if cpu:
        spec["targetCPUUtilizationPercentage"] = cpu[0]["resource"]["target"]["averageUtilization"]
    spec.pop("behavior", None)
    current = [each for each in status.pop("currentMetrics", ()) if (each.get("resource") or {}).get("name") == "cpu"]
    if current and "averageUtilization" in current[0]["resource"]["current"]:
        status["currentCPUUtilizationPercentage"] = current[0]["resource"]["current"]["averageUtilization"]
    status.pop("conditions", None)
    return item


def _is_cpu(metric: Mapping[str, Any]) -> bool:
    resource = metric.get("resource") or {}
    return resource.get("name") == "cpu" and "averageUtilization" in (resource.get("target") or {})


def _autoscaler_stored(item: Row) -> Row:
    spec = item.get("spec") or {}
    share = spec.pop("targetCPUUtilizationPercentage", None)
    if share is not None:
        target = {"type": "Utilization", "averageUtilization": share}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    (item.get("status") or {}).pop("currentCPUUtilizationPercentage", None)
    return item


_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "count": "deprecatedCount",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "source": "deprecatedSource",
    "reportingComponent": "reportingController",
}


def _event_shown(item: Row) -> Row:
    made = {_EVENT_NAMES.get(key, key): value for key, value in item.items()}
    made.setdefault("eventTime", None)
    return made


def _event_stored(item: Row) -> Row:
    old_names = {new: old for old, new in _EVENT_NAMES.items()}
    return {old_names.get(key, key): value for key, value in item.items()}
