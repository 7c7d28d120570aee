"""Makes the cases that the rules of a diagnosis are tried with: what is read, and the first finding about it."""

from dataclasses import dataclass, field
from typing import Any

from broken import (
    CART,
    IMAGE,
    SPACE,
    Json,
    Seen,
    deployment,
    event,
    job,
    log_of,
    pod,
    runs,
    said,
    thing,
    unplaced,
    waits,
)

from ap_mcp.kubernetes.diagnose.model import Thing
from ap_mcp.kubernetes.diagnose.rules_containers import DNS


@dataclass(frozen=True)
class Case:
    """What is read, and the first finding about it: its kind of fault, what it is about, what it says."""

    name: str
    fault: str
    says: tuple[str, ...]
    seen: Seen
    about: Thing = CART
    then: tuple[str, ...] = field(default=())


def in_pod(
    name: str,
    fault: str,
    container: Json,
    *says: str,
    events: list[tuple[str, str]] | None = None,
    log: str = "",
    **more: Any,
) -> Case:
    """Return a case of one container in one pod of a Deployment."""
    one = pod(container, **more)
    reported = [event(one, reason, text, field_path="spec.containers{app}") for reason, text in events or []]
    logs = {**log_of(log), **log_of(log, previous=False)} if log else {}
    return Case(name, fault, says, Seen([*deployment(), one], reported, logs))


def image(name: str, fault: str, reason: str, kubelet: str, *says: str, message: str = "", **more: Any) -> Case:
    pull = f'Failed to pull image "{IMAGE}": {kubelet}'
    events = [("Failed", pull), ("Failed", "Error: ErrImagePull")] if kubelet else []
    return in_pod(
        name,
        fault,
        waits(reason, message or f'Back-off pulling image "{IMAGE}"'),
        *says,
        events=events,
        phase="Pending",
        **more,
    )


def refused(name: str, fault: str, message: str, *says: str, template: Json | None = None) -> Case:
    failure = said("ReplicaFailure", "True", "FailedCreate", message)
    top, below = deployment(conditions=[failure], status={"replicas": 0}, template=template)
    below["status"] = {"replicas": 0, "conditions": [failure]}
    reported = event(below, "FailedCreate", f"Error creating: {message}")
    return Case(name, fault, says, Seen([top, below], [reported]))


def unscheduled(name: str, fault: str, message: str, *says: str) -> Case:
    return Case(name, fault, says, Seen([*deployment(), unplaced(message)]))


def mounting(name: str, fault: str, *texts: str, says: tuple[str, ...], reason: str = "FailedMount") -> Case:
    one = pod(waits("ContainerCreating"), phase="Pending")
    reported = [event(one, reason, text, minutes=at + 1) for at, text in enumerate(texts)]
    return Case(name, fault, says, Seen([*deployment(), one], reported))


def network(name: str, fault: str, message: str, *says: str) -> Case:
    return mounting(name, fault, message, says=says, reason="FailedCreatePodSandBox")


def probing(
    name: str,
    fault: str,
    message: str,
    *says: str,
    kind: str = "readiness",
    probe: Json | None = None,
    ports: Any = (8080,),
    started: bool = True,
    log: str = "",
) -> Case:
    asks = {f"{kind}Probe": {"periodSeconds": 5, **(probe or {"httpGet": {"path": "/ok", "port": 8080}})}}
    declared = [
        {"containerPort": each} if isinstance(each, int) else {"name": each[0], "containerPort": each[1]}
        for each in ports
    ]
    container = runs(ready=False, started=started, since=30, ports=declared, **asks)  # type: ignore[arg-type]
    return in_pod(
        name, fault, container, *says, events=[("Unhealthy", f"{kind.title()} probe failed: {message}")], log=log
    )


def alone(
    name: str,
    fault: str,
    item: Json,
    *says: str,
    events: list[tuple[str, str]] | None = None,
    beside: list[Json] | None = None,
    **event_more: Any,
) -> Case:
    """Return a case of one object that is no workload."""
    reported = [event(item, reason, text, **event_more) for reason, text in events or []]
    about = Thing(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
    return Case(name, fault, says, Seen([item, *(beside or [])], reported), about)


def failed_job(
    name: str,
    reason: str,
    *says: str,
    pods: list[Json] | None = None,
    log: str = "",
    message: str = "it failed",
    **more: Any,
) -> Case:
    item = job(conditions=[said("Failed", "True", reason, message)], failed=4, **more)
    logs = log_of(log, "close-xyz", "job", previous=False) if log else {}
    return Case(name, "job_failed", says, Seen([item, *(pods or [])], [], logs), Thing("Job", SPACE, "close"))


def job_pod(container: Json, **more: Any) -> Json:
    return pod(
        container,
        name="close-xyz",
        owner=("Job", "close"),
        phase="Failed",
        labels={"job-name": "close"},
        restartPolicy="Never",
        **more,
    )


def dns(ready: int, wanted: int = 2) -> Json:
    item = deployment("coredns", replicas=wanted, ready=ready)[0]
    return {**item, "metadata": {**item["metadata"], "namespace": DNS.namespace}}


def healthy(ports: Any = (8080,), **more: Any) -> list[Json]:
    container = runs(ports=[{"containerPort": each} if isinstance(each, int) else each for each in ports])
    return [*deployment(ready=1), pod(container, ready=True, **more)]


NOT_FOUND = f'rpc error: code = NotFound desc = failed to resolve reference "{IMAGE}": {IMAGE}: not found'
LIVENESS = [
    ("Killing", "Container app failed liveness probe, will be restarted"),
    ("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500"),
]
OCI = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed:"
    " unable to start container process: "
)
GONE = "0/3 nodes are available: "
NO_METRICS = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for"
    " resource cpu: "
)
SUSPENDED = thing("CronJob", "nightly", spec={"suspend": True, "schedule": "0 2 * * *"})
