"""Decides from a pod and its cluster whether the pod runs, and what shows if it does not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ap_mcp.simulator.kubernetes.defaults import containers
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row

BROKEN_TAG = "broken"
"""An image tag that no registry has, as for releases."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a container from running; with an exit code, it starts and ends again."""

    container: str
    reason: str
    message: str
    events: tuple[tuple[str, str], ...] = ()
    unscheduled: bool = False
    exit_code: int | None = None

    def container_status(self, spec: Mapping[str, Any], now: str, *, restarts: int) -> Row:
        """Return what the status of the container shows."""
        state: Row = {"waiting": {"reason": self.reason, "message": self.message}}
        last: Row = {}
        if self.exit_code is not None:
            ended = {"exitCode": self.exit_code, "reason": "Error", "startedAt": now, "finishedAt": now}
            last, restarts = {"terminated": ended}, restarts + 1
        made = {"name": spec["name"], "image": spec["image"], "imageID": "", "ready": False, "started": False}
        return {**made, "restartCount": restarts, "state": state, "lastState": last}


def trouble_of(store: Store, pod: Mapping[str, Any]) -> Trouble | None:
    """Return what keeps a pod from running, None if nothing does."""
    return next(_troubles(store, pod), None)


def _troubles(store: Store, pod: Mapping[str, Any]) -> Iterator[Trouble]:
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    for volume in spec.get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and store.get(known("PersistentVolumeClaim"), namespace, claim) is None:
            said = f'0/{len(store.named("Node"))} nodes are available: persistentvolumeclaim "{claim}" not found.'
            yield Trouble("", "Unschedulable", said, unscheduled=True)
        elif claim and not _bindable(store, namespace, claim):
            said = (
                f"0/{len(store.named('Node'))} nodes are available: pod has unbound immediate PersistentVolumeClaims."
            )
            yield Trouble("", "Unschedulable", said, unscheduled=True)
    for each in containers(spec):
        missing = _missing_reference(store, namespace, each)
        if missing:
            said = f"{missing} not found"
            failed = (("Failed", f"Error: {said}"),)
            yield Trouble(each["name"], "CreateContainerConfigError", said, failed)
        if each.get("image", "").rpartition(":")[2] == BROKEN_TAG:
            yield _cannot_pull(each)


def _cannot_pull(container: Mapping[str, Any]) -> Trouble:
    image = container["image"]
    why = (
        f'Failed to pull image "{image}": rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
    )
    why += f"failed to resolve reference: {image}: not found"
    said = f'Back-off pulling image "{image}"'
    events = (
        ("Failed", why),
        ("Failed", "Error: ErrImagePull"),
        ("BackOff", said),
        ("Failed", "Error: ImagePullBackOff"),
    )
    return Trouble(container["name"], "ImagePullBackOff", said, events)


def _bindable(store: Store, namespace: str, claim: str) -> bool:
    found = store.get(known("PersistentVolumeClaim"), namespace, claim) or {}
    if (found.get("status") or {}).get("phase") == "Bound":
        return True
    wanted = (found.get("spec") or {}).get("storageClassName")
    return wanted is None or store.get(known("StorageClass", "storage.k8s.io"), "", wanted) is not None


def _missing_reference(store: Store, namespace: str, container: Mapping[str, Any]) -> str:
    """Name the ConfigMap or Secret that a container's environment needs and that is not there."""
    wanted: list[tuple[str, Mapping[str, Any]]] = []
    for source in container.get("envFrom") or ():
        wanted += [("ConfigMap", source.get("configMapRef") or {}), ("Secret", source.get("secretRef") or {})]
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        wanted += [("ConfigMap", source.get("configMapKeyRef") or {}), ("Secret", source.get("secretKeyRef") or {})]
    for kind, reference in wanted:
        name = reference.get("name")
        if name and not reference.get("optional") and store.get(known(kind), namespace, name) is None:
            return f'{kind.lower()} "{name}"'
    return ""
