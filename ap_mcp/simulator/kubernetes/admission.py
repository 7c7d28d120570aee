"""What a cluster admits: namespaces that are there, and what Autopilot allows of pods and Services."""

from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.defaults import containers
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.object_rules import quantity
from ap_mcp.simulator.kubernetes.statuses import StatusError, forbidden, not_found
from ap_mcp.simulator.kubernetes.store import Store

WEBHOOK = "validating.autopilot.cce.io"
PROTECTED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def admit_creation(store: Store, kind: Kind, item: Mapping[str, Any]) -> None:
    """Refuse an object that may not be created here.

    Raises:
        StatusError: 404 if its namespace is not there, 403 if it may not be created.
    """
    metadata = item["metadata"]
    namespace = metadata.get("namespace", "")
    if kind.namespaced:
        home = store.get(known("Namespace"), "", namespace)
        if home is None:
            raise not_found(known("Namespace"), namespace)
        if home["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(kind, metadata["name"], why)
    admit(kind, item)
    if kind.storage == "pods":
        _check_quotas(store, kind, item)


def admit(kind: Kind, item: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> None:
    """Refuse what Autopilot does not allow; what it has itself set by now is no reason, so `old` is what was there.

    Raises:
        StatusError: 403 with every reason.
    """
    refused = list(_refused(kind, item, old))
    if refused:
        said = f"{' and '.join(refused)} {'are' if len(refused) > 1 else 'is'} not allowed in Autopilot clusters"
        raise StatusError(403, "Forbidden", f'admission webhook "{WEBHOOK}" denied the request: {said}')


def admit_deletion(kind: Kind, item: Mapping[str, Any]) -> None:
    """Refuse to delete what a cluster cannot be without.

    Raises:
        StatusError: 403.
    """
    if kind.storage == "namespaces" and item["metadata"]["name"] in PROTECTED_NAMESPACES:
        raise forbidden(kind, item["metadata"]["name"], "this namespace may not be deleted")


def _refused(kind: Kind, item: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[str]:
    if kind.storage == "daemonsets.apps":
        yield "DaemonSet"
    if kind.storage == "services" and item["spec"].get("type") == "NodePort":
        yield "a Service of type NodePort"
    if kind.storage != "pods":
        return
    spec = item["spec"]
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    if spec.get("nodeName") and not item["metadata"].get("ownerReferences") and old is None:
        yield "nodeName"
    if any("hostPath" in volume for volume in spec.get("volumes") or ()):
        yield "a hostPath volume"
    for each in containers(spec):
        if (each.get("securityContext") or {}).get("privileged"):
            yield f"the privileged container {each['name']}"


def usage(spec: Mapping[str, Any]) -> dict[str, float]:
    """Return what a pod counts for in a quota."""
    used: dict[str, float] = {"pods": 1.0, "count/pods": 1.0}
    for each in spec.get("containers") or ():
        for part in ("requests", "limits"):
            for name, amount in ((each.get("resources") or {}).get(part) or {}).items():
                for label in (f"{part}.{name}", *((name,) if part == "requests" else ())):
                    used[label] = used.get(label, 0.0) + quantity(amount)
    return used


def _check_quotas(store: Store, kind: Kind, pod: Mapping[str, Any]) -> None:
    namespace, asked = pod["metadata"]["namespace"], usage(pod["spec"])
    for quota in store.named("ResourceQuota", namespace=namespace):
        hard, used = quota["spec"].get("hard") or {}, (quota.get("status") or {}).get("used") or {}
        missing = [name for name in hard if name.startswith(("limits.", "requests.")) and name not in asked]
        if missing:
            why = f"failed quota: {quota['metadata']['name']}: must specify {','.join(sorted(missing))}"
            raise forbidden(kind, pod["metadata"]["name"], why)
        over = [name for name in sorted(hard) if name in asked and quantity(used.get(name, 0)) + asked[name] >
                quantity(hard[name])]  # fmt: skip
        if over:
            amounts = {
                "requested": {name: written(name, asked[name]) for name in over},
                "used": {name: used.get(name, "0") for name in over},
                "limited": {name: hard[name] for name in over},
            }
            said = ", ".join(
                f"{what}: {','.join(f'{name}={amount}' for name, amount in listed.items())}"
                for what, listed in amounts.items()
            )
            raise forbidden(kind, pod["metadata"]["name"], f"exceeded quota: {quota['metadata']['name']}, {said}")


def written(name: str, amount: float) -> str:
    """Write an amount the way quotas do: memory in its largest whole unit, processors in thousandths if need be."""
    if name.endswith(("memory", "storage")):
        for power, unit in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
            if amount and amount % 1024**power == 0:
                return f"{amount / 1024**power:g}{unit}"
        return f"{amount:g}"
    return f"{amount:g}" if amount == int(amount) else f"{amount * 1000:g}m"
