"""Services: their addresses, and the Endpoints and EndpointSlices of the pods that they select."""

from collections.abc import Mapping, Sequence
from typing import Any

from ap_mcp.simulator.kubernetes.acting import make, owner_reference, write
from ap_mcp.simulator.kubernetes.controllers import reconciles
from ap_mcp.simulator.kubernetes.defaults import containers
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.pods import is_ready
from ap_mcp.simulator.kubernetes.selectors import object_selector
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

SLICE = ("EndpointSlice", "discovery.k8s.io")
RELEASE = "meta.helm.sh/release-name"
"""Annotation of what a release brought: it tells the Service of an ingress controller."""

FIRST_NODE_PORT, LAST_NODE_PORT = 30000, 32767


def allocate(store: Store, service: Row) -> None:
    """Give a new Service its addresses and ports, in place."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") is None:
        spec["clusterIP"] = f"10.247.{store.world.random.randrange(1, 250)}.{store.world.random.randrange(2, 250)}"
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    if spec.get("type") in ("LoadBalancer", "NodePort") and spec.get("allocateLoadBalancerNodePorts", True):
        for port in spec.get("ports") or ():
            port.setdefault("nodePort", store.world.random.randrange(FIRST_NODE_PORT, LAST_NODE_PORT))


@reconciles("services")
def service_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Keep what a Service reaches, and its address if a load balancer stands before it."""
    kind, metadata = known("Service"), item["metadata"]
    old = store.get(kind, metadata["namespace"], metadata["name"])
    if old is None:
        return
    if old["spec"].get("type") == "LoadBalancer" and not (old.get("status") or {}).get("loadBalancer", {}).get(
        "ingress"
    ):
        new = copied(old)
        address = f"203.0.113.{store.world.random.randrange(1, 254)}"
        new["status"] = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
        old = write(store, kind, old, new, manager="cloud-controller-manager")
    if old["spec"].get("selector"):
        _endpoints(store, old)


@reconciles("ingresses.networking.k8s.io")
def ingress_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Give an Ingress its address: that of the controller's own Service, or one of its own; none without its class."""
    kind, metadata = known("Ingress", "networking.k8s.io"), item["metadata"]
    old = store.get(kind, metadata["namespace"], metadata["name"])
    classes = {each["metadata"]["name"]: each for each in store.named("IngressClass", "networking.k8s.io")}
    chosen = None if old is None else classes.get(old["spec"].get("ingressClassName", ""))
    if old is None or chosen is None or (old.get("status") or {}).get("loadBalancer", {}).get("ingress"):
        return
    addresses = [{"ip": f"203.0.113.{store.world.random.randrange(1, 254)}"}]
    release = (chosen["metadata"].get("annotations") or {}).get(RELEASE)
    if release:
        services = [each for each in store.named("Service") if each["spec"].get("type") == "LoadBalancer"
                    and (each["metadata"].get("annotations") or {}).get(RELEASE) == release]  # fmt: skip
        found = [(each.get("status") or {}).get("loadBalancer", {}).get("ingress") or [] for each in services]
        addresses = [{"ip": each["ip"]} for entries in found for each in entries]
    if addresses:
        new = {**copied(old), "status": {"loadBalancer": {"ingress": addresses}}}
        write(store, kind, old, new, manager="ingress-controller")


@reconciles("pods")
def pod_of_service_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Let the Services that select a pod react to its change."""
    labels = item["metadata"].get("labels") or {}
    for service in store.named("Service", namespace=item["metadata"]["namespace"]):
        selector = service["spec"].get("selector")
        if selector and object_selector({"matchLabels": selector})(labels):
            _endpoints(store, service)


def _endpoints(store: Store, service: Row) -> None:
    metadata, spec = service["metadata"], service["spec"]
    matches = object_selector({"matchLabels": spec["selector"]})
    pods = [
        each
        for each in store.named("Pod", namespace=metadata["namespace"])
        if matches(each["metadata"].get("labels") or {})
        and (each.get("status") or {}).get("podIP")
        and each["status"].get("phase") not in ("Succeeded", "Failed")
    ]
    ready = [each for each in pods if is_ready(each)]
    others = [each for each in pods if not is_ready(each) and not each["metadata"].get("deletionTimestamp")]
    _keep_endpoints(store, service, ready, others)
    _keep_slice(store, service, ready, others)


def _keep_endpoints(store: Store, service: Row, ready: Sequence[Row], others: Sequence[Row]) -> None:
    kind, metadata = known("Endpoints"), service["metadata"]
    subset: Row = {}
    for name, pods in (("addresses", ready), ("notReadyAddresses", others)):
        if pods:
            subset[name] = [_address(each) for each in pods]
    if subset:
        subset["ports"] = _ports(service, [*ready, *others][0], "port")
    content = [subset] if subset else None
    old = store.get(kind, metadata["namespace"], metadata["name"])
    if old is None:
        item: Row = {"metadata": {"name": metadata["name"], "namespace": metadata["namespace"],
                                  "labels": dict(metadata.get("labels") or {})}}  # fmt: skip
        make(store, kind, item | ({"subsets": content} if content else {}))
        return
    new = copied(old)
    new.pop("subsets", None)
    write(store, kind, old, new | ({"subsets": content} if content else {}))


def _keep_slice(store: Store, service: Row, ready: Sequence[Row], others: Sequence[Row]) -> None:
    kind, metadata = known(*SLICE), service["metadata"]
    name = f"{metadata['name']}-{metadata['uid'][:5]}"
    entries = [
        {
            "addresses": [each["status"]["podIP"]],
            "conditions": {"ready": good, "serving": good, "terminating": False},
            "nodeName": each["spec"].get("nodeName", ""),
            "targetRef": _target(each),
        }
        for good, pods in ((True, ready), (False, others))
        for each in pods
    ]
    pods = [*ready, *others]
    content = {"endpoints": entries, "ports": _ports(service, pods[0], "port") if pods else [], "addressType": "IPv4"}
    old = store.get(kind, metadata["namespace"], name)
    if old is not None:
        write(store, kind, old, {**copied(old), **content})
        return
    labels = {
        **(metadata.get("labels") or {}),
        "kubernetes.io/service-name": metadata["name"],
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    about = {"name": name, "namespace": metadata["namespace"], "labels": labels, "generation": 1}
    about["ownerReferences"] = [owner_reference(known("Service"), service)]
    make(store, kind, {"metadata": about, **content})


def _ports(service: Row, pod: Row, field: str) -> list[Row]:
    found = []
    for port in service["spec"].get("ports") or ():
        number = _number(port.get("targetPort", port["port"]), pod)
        if number is not None:
            name = {"name": port["name"]} if port.get("name") else {}
            found.append({**name, field: number, "protocol": port.get("protocol", "TCP")})
    return found


def _number(target: Any, pod: Row) -> int | None:
    if isinstance(target, int):
        return target
    ports = [port for each in containers(pod["spec"]) for port in each.get("ports") or ()]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == target), None)


def _address(pod: Row) -> Row:
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", ""), "targetRef": _target(pod)}


def _target(pod: Row) -> Row:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
