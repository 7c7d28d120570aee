"""Quotas: what a namespace may use, and what it uses."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.acting import write
from ap_mcp.simulator.kubernetes.admission import usage, written
from ap_mcp.simulator.kubernetes.controllers import reconciles
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.pods import is_active
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import copied

COUNTED: Mapping[str, Kind] = {
    "services": known("Service"),
    "secrets": known("Secret"),
    "configmaps": known("ConfigMap"),
    "persistentvolumeclaims": known("PersistentVolumeClaim"),
    "replicationcontrollers": known("ReplicationController"),
    "resourcequotas": known("ResourceQuota"),
}
"""What a quota can limit the number of, beside pods."""


@reconciles("resourcequotas", "pods", *(each for each in COUNTED if each != "resourcequotas"))
def quotas_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Report what a namespace uses of its quotas."""
    kind, namespace = known("ResourceQuota"), item["metadata"]["namespace"]
    quotas = store.all(kind, namespace)
    if not quotas:
        return
    used: dict[str, float] = {}
    for pod in store.named("Pod", namespace=namespace):
        if is_active(pod):
            for name, amount in usage(pod["spec"]).items():
                used[name] = used.get(name, 0.0) + amount
    for name, counted in COUNTED.items():
        used[name] = used[f"count/{name}"] = float(len(store.all(counted, namespace)))
    for quota in quotas:
        hard = quota["spec"].get("hard") or {}
        status = {"hard": dict(hard), "used": {name: written(name, used.get(name, 0.0)) for name in hard}}
        write(store, kind, quota, {**copied(quota), "status": status})
