"""How much pods and nodes use: what the add-on metrics-server answers, derived from what they ask for."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.object_rules import quantity
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row

WINDOW = "30s"
DEFAULT_CPU, DEFAULT_MEMORY = 0.1, 128 * 1024**2


def metrics_of(store: Store, kind: Kind, namespace: str) -> list[Row]:
    """Return the metrics of running pods, or of nodes."""
    pods = [
        each for each in store.named("Pod", namespace=namespace) if each.get("status", {}).get("phase") == "Running"
    ]
    if kind.plural == "pods":
        return [_pod(store, kind, each) for each in pods]
    found = []
    for node in store.named("Node"):
        here = [each for each in pods if each["spec"].get("nodeName") == node["metadata"]["name"]]
        used = [_used(each, container) for each in here for container in each["spec"]["containers"]]
        usage = _written(sum(cpu for cpu, _ in used), sum(memory for _, memory in used))
        found.append({**_about(store, kind, node), "usage": usage})
    return found


def _runs(pod: Row) -> bool:
    return bool((pod.get("status") or {}).get("phase") == "Running")


def _pod(store: Store, kind: Kind, pod: Row) -> Row:
    parts = [{"name": each["name"], "usage": _written(*_used(pod, each))} for each in pod["spec"]["containers"]]
    return {**_about(store, kind, pod), "containers": parts}


def _about(store: Store, kind: Kind, item: Mapping[str, Any]) -> Row:
    now, metadata = store.world.iso_timestamp(), item["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    about = {**kept, "creationTimestamp": now}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": about, "timestamp": now, "window": WINDOW}


def used_share(pod: Mapping[str, Any], container: Mapping[str, Any]) -> float:
    """Return how much of what a container asks for it uses."""
    chance = hashlib.sha256(f"{pod['metadata']['name']}/{container['name']}".encode()).digest()[0]
    return chance / 255 * 0.6 + 0.1


def _used(pod: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[float, float]:
    requests = (container.get("resources") or {}).get("requests") or {}
    share = used_share(pod, container)
    return (
        share * (quantity(requests.get("cpu", 0)) or DEFAULT_CPU),
        share * (quantity(requests.get("memory", 0)) or DEFAULT_MEMORY),
    )


def _written(cpu: float, memory: float) -> Row:
    return {"cpu": f"{round(cpu * 1000)}m", "memory": f"{round(memory / 1024)}Ki"}
