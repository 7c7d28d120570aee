"""Makes objects of the Kubernetes API in a test, as controllers and kubelets leave them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import LogKey, Thing
from ap_mcp.kubernetes.diagnose.order import Cause, in_order
from ap_mcp.kubernetes.diagnose.rules import findings_of

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
SPACE, HASH = "web", "7d9f"
IMAGE = "swr.example.com/web/cart:2.1"
READ = (
    *("Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "Service", "EndpointSlice"),
    *("Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PersistentVolumeClaim", "ResourceQuota", "Node"),
    *("StorageClass", "IngressClass"),
)
Json = dict[str, Any]


def ago(minutes: float) -> str:
    return f"{AT - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def meta(name: str, *, age: float = 60, owner: tuple[str, str] | None = None, **more: Any) -> Json:
    made: Json = {"name": name, "namespace": SPACE, "creationTimestamp": ago(age), "uid": f"uid-{name}", **more}
    if owner:
        made["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True, "uid": f"uid-{owner[1]}"}]
    return made


def said(kind: str, status: str, reason: str = "", message: str = "", minutes: float = 30) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(minutes)}


def deployment(
    name: str = "cart",
    *,
    replicas: int = 1,
    ready: int = 0,
    conditions: Iterable[Json] = (),
    status: Json | None = None,
    template: Json | None = None,
    labels: Json | None = None,
    **spec: Any,
) -> list[Json]:
    """Return a Deployment and its ReplicaSet."""
    wears = {"app": name, **(labels or {})}
    pods = {
        "metadata": {"labels": wears},
        "spec": {"containers": [{"name": "app", "image": IMAGE}], **(template or {})},
    }
    stands = {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready}
    marks = {"deployment.kubernetes.io/revision": "2"}
    asks = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pods}
    top = {
        "kind": "Deployment",
        "metadata": meta(name, annotations=marks),
        "spec": {**asks, **spec},
        "status": {**stands, "conditions": list(conditions), **(status or {})},
    }
    below = {
        "kind": "ReplicaSet",
        "metadata": meta(f"{name}-{HASH}", owner=("Deployment", name), labels={**wears, "pod-template-hash": HASH}),
        "spec": asks,
        "status": {"replicas": stands["replicas"]},
    }
    return [top, below]


def pod(
    *containers: Json,
    name: str = "",
    of: str = "cart",
    owner: tuple[str, str] | None = None,
    phase: str = "Running",
    ready: bool = False,
    init: Iterable[Json] = (),
    conditions: Iterable[Json] | None = None,
    age: float = 60,
    status: Json | None = None,
    labels: Json | None = None,
    metadata: Json | None = None,
    **spec: Any,
) -> Json:
    """Return a pod, of a Deployment unless another owner is given; a container is a status with its spec in `_spec`."""
    name = name or f"{of}-{HASH}-aaaaa"
    owner = owner if owner is not None else ("ReplicaSet", f"{of}-{HASH}")
    wears = labels if labels is not None else {"app": of, "pod-template-hash": HASH}
    placed = [said("PodScheduled", "True", minutes=age), said("Ready", "True" if ready else "False", minutes=age)]
    running = containers or (runs(ready=ready),)
    every = {"containerStatuses": list(running), "initContainerStatuses": list(init)}
    specs = {
        "containers": [{"name": each["name"], "image": IMAGE, **each.get("_spec", {})} for each in running],
        "initContainers": [{"name": each["name"], "image": IMAGE, **each.get("_spec", {})} for each in init],
    }
    return {
        "kind": "Pod",
        "metadata": {**meta(name, age=age, owner=owner if owner[0] else None, labels=wears), **(metadata or {})},
        "spec": {"nodeName": "node-1", "restartPolicy": "Always", **specs, **spec},
        "status": {
            "phase": phase,
            "startTime": ago(age),
            "conditions": list(placed if conditions is None else conditions),
            **every,
            **(status or {}),
        },
    }


def unplaced(message: str, reason: str = "Unschedulable", minutes: float = 30, **more: Any) -> Json:
    """Return a pod that the scheduler finds no node for."""
    waits = [said("PodScheduled", "False", reason, message, minutes)]
    made = pod(phase="Pending", conditions=waits, **more)
    made["spec"].pop("nodeName")
    made["status"] |= {"containerStatuses": [], "initContainerStatuses": []}
    return made


def waits(
    reason: str, message: str = "", *, name: str = "app", restarts: int = 0, last: Json | None = None, **spec: Any
) -> Json:
    before = {"terminated": last} if last else {}
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {
        "name": name,
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "state": state,
        "lastState": before,
        "_spec": spec,
    }


def runs(
    *,
    name: str = "app",
    ready: bool = True,
    started: bool = True,
    since: float = 30,
    restarts: int = 0,
    last: Json | None = None,
    **spec: Any,
) -> Json:
    before = {"terminated": last} if last else {}
    state = {"running": {"startedAt": ago(since)}}
    return {
        "name": name,
        "ready": ready,
        "started": started,
        "restartCount": restarts,
        "state": state,
        "lastState": before,
        "_spec": spec,
    }


def ended(code: int, reason: str = "Error", *, minutes: float = 2, lasted: float = 1, message: str = "") -> Json:
    return {
        "exitCode": code,
        "reason": reason,
        "startedAt": ago(minutes + lasted),
        "finishedAt": ago(minutes),
        **({"message": message} if message else {}),
    }


def over(end: Json, *, name: str = "app", restarts: int = 0, **spec: Any) -> Json:
    """Return a container that has ended and is not started again."""
    return {
        "name": name,
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "state": {"terminated": end},
        "lastState": {},
        "_spec": spec,
    }


def crashing(
    code: int = 1,
    reason: str = "Error",
    *,
    restarts: int = 9,
    name: str = "app",
    message: str = "",
    lasted: float = 0.5,
    **spec: Any,
) -> Json:
    return waits(
        "CrashLoopBackOff",
        "back-off 5m0s restarting failed container",
        name=name,
        restarts=restarts,
        last=ended(code, reason, message=message, lasted=lasted),
        **spec,
    )


def event(
    about: Json,
    reason: str,
    message: str,
    *,
    type_: str = "Warning",
    count: int = 3,
    minutes: float = 2,
    field_path: str = "",
    **more: Any,
) -> Json:
    whom = {
        "kind": about["kind"],
        "namespace": SPACE,
        "name": about["metadata"]["name"],
        "uid": about["metadata"]["uid"],
    }
    return {
        "kind": "Event",
        "metadata": meta(f"event-{reason}-{minutes}"),
        "involvedObject": {**whom, **({"fieldPath": field_path} if field_path else {})},
        "type": type_,
        "reason": reason,
        "message": message,
        "count": count,
        "firstTimestamp": ago(minutes + 20),
        "lastTimestamp": ago(minutes),
        **more,
    }


def thing(
    kind: str,
    name: str,
    *,
    age: float = 60,
    spec: Json | None = None,
    status: Json | None = None,
    owner: tuple[str, str] | None = None,
    **metadata: Any,
) -> Json:
    return {
        "kind": kind,
        "metadata": {**meta(name, age=age, owner=owner), **metadata},
        "spec": spec or {},
        "status": status or {},
    }


def service(
    name: str = "cart", *, selector: Json | None = None, port: Any = 80, target: Any = 8080, **spec: Any
) -> Json:
    ports = [{"name": "http", "port": port, "targetPort": target, "protocol": "TCP"}]
    return thing(
        "Service",
        name,
        spec={
            "type": "ClusterIP",
            "selector": {"app": "cart"} if selector is None else selector,
            "ports": ports,
            **spec,
        },
    )


def job(
    name: str = "close",
    *,
    conditions: Iterable[Json] = (),
    age: float = 30,
    owner: tuple[str, str] | None = None,
    **status: Any,
) -> Json:
    template = {"metadata": {"labels": {"job-name": name}}, "spec": {"containers": [{"name": "job", "image": IMAGE}]}}
    asks = {"backoffLimit": 3, "template": template, "selector": {"matchLabels": {"job-name": name}}}
    return thing(
        "Job",
        name,
        age=age,
        spec=asks,
        status={"startTime": ago(age), "conditions": list(conditions), **status},
        owner=owner,
    )


def claim(
    name: str = "data", *, cls: str | None = "csi-disk", phase: str = "Pending", age: float = 60, **metadata: Any
) -> Json:
    wants = {} if cls is None else {"storageClassName": cls}
    return thing(
        "PersistentVolumeClaim",
        name,
        age=age,
        spec={"accessModes": ["ReadWriteOnce"], **wants},
        status={"phase": phase},
        **metadata,
    )


def storage_class(name: str = "csi-disk", mode: str = "Immediate") -> Json:
    return {
        "metadata": {"name": name, "creationTimestamp": ago(9999)},
        "kind": "StorageClass",
        "volumeBindingMode": mode,
    }


def autoscaler(*conditions: Json, most: int = 5, now: int = 2) -> Json:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most}
    return thing(
        "HorizontalPodAutoscaler", "cart", spec=spec, status={"currentReplicas": now, "conditions": list(conditions)}
    )


def ingress(
    *, service_name: str = "cart", port: Any = 80, cls: str | None = "cce", address: bool = True, **spec: Any
) -> Json:
    at = {"name": port} if isinstance(port, str) else {"number": port}
    path = {"path": "/", "backend": {"service": {"name": service_name, "port": at}}}
    asks = {
        "rules": [{"host": "shop.example.com", "http": {"paths": [path]}}],
        **({"ingressClassName": cls} if cls else {}),
    }
    return thing(
        "Ingress",
        "front",
        spec={**asks, **spec},
        status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]} if address else {}},
    )


@dataclass(frozen=True)
class Seen:
    """What is read of a cluster in a test."""

    objects: list[Json]
    events: list[Json] = field(default_factory=list)
    logs: Mapping[LogKey, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def evidence(self, **more: Any) -> Evidence:
        lists: dict[str, list[Json]] = {kind: [] for kind in READ}
        for each in self.objects:
            lists.setdefault(each["kind"], []).append(each)
        return Evidence("c1", AT, lists, events=self.events, logs=self.logs, **{**self.more, **more})

    def causes(self, **more: Any) -> list[Cause]:
        return in_order(findings_of(self.evidence(**more)))


def log_of(
    text: str, pod_name: str = f"cart-{HASH}-aaaaa", container: str = "app", *, previous: bool = True
) -> dict[LogKey, str]:
    return {LogKey(SPACE, pod_name, container, previous): text}


CART = Thing("Deployment", SPACE, "cart")


@cache
def seeded() -> dict[str, Any]:
    """Return the broken workloads of the data file, by the fault of each."""
    found: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "broken_workloads.json").read_bytes())
    return found


def seen_of(case: Json) -> Seen:
    """Return a case of the data file as it is read."""
    space = case["objects"][0]["metadata"]["namespace"]
    logs = {}
    for key, lines in case["logs"].items():
        name, container, *previous = key.split("/")
        logs[LogKey(space, name, container, bool(previous))] = "\n".join(lines)
    return Seen(case["objects"], case["events"], logs)
