"""Objects that stand in for what add-ons and releases install: no template is rendered.

A release has an object for each that its chart's templates make, named and sized by the plain values of the chart
(`image`, `replicas` or `replicaCount`, `service.port`, `resources`, `persistence`); an add-on has a Deployment for
each of its components. What they annotate says so.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.kubernetes.acting import make
from ap_mcp.simulator.kubernetes.controllers import acting_on
from ap_mcp.simulator.kubernetes.deletion import delete
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.networking import RELEASE as OWNER
from ap_mcp.simulator.kubernetes.options import DeleteOptions
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.kubernetes.upserts import upsert
from ap_mcp.simulator.world import Row, World, copied

STAND_IN = "ap-mcp/simulated"
STAND_IN_TEXT = "stands in for what the chart would install; its templates are not rendered"
OWNER_NAMESPACE = "meta.helm.sh/release-namespace"
HELM = "helm"
SYSTEM, MONITORING = "kube-system", "monitoring"
RUNNING = ("running", "available", "abnormal", "upgrading", "rollbacking", "upgradeFailed", "rollbackFailed",
           "deleting")  # fmt: skip
"""States of an add-on in which its objects are there."""

DEPLOYMENT, STATEFUL_SET = ("Deployment", "apps"), ("StatefulSet", "apps")
OWNED = (DEPLOYMENT, STATEFUL_SET, ("Service", ""), ("ConfigMap", ""), ("Secret", ""), ("ServiceAccount", ""),
         ("IngressClass", "networking.k8s.io"))  # fmt: skip
"""Kinds that stand-ins can be of."""

_NAME = re.compile(r"\{\{-? *\.Release\.Name *-?\}\}")
_REPLICAS = ("replicas", "replicaCount")
Objects = Iterator[tuple[Kind, Row]]


def objects_of_release(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List apiVersion, kind and name of the objects of a release; a name that only rendering would give is its own."""
    found: dict[tuple[str, str, str], None] = {}
    for api, kind, name in row.get("_objects") or (("apps/v1", "Deployment", ""), ("v1", "Service", "")):
        said = _NAME.sub(row["name"], name).strip("\"' ")
        found[api, kind, said if said and "{{" not in said else row["name"]] = None
    return list(found)


def apply_release(store: Store, row: Mapping[str, Any]) -> None:
    """Make or change the stand-ins of a release, and remove those that its chart has no more."""
    objects = list(_of_release(row))
    if not store.keeps_record:
        born = datetime.fromisoformat(row["create_at"]).astimezone(UTC)
        for _, item in objects:
            item["metadata"]["creationTimestamp"] = store.world.iso_timestamp(born)
    _apply(store, row["name"], row["namespace"], objects)


def apply_addon(store: Store, row: Mapping[str, Any]) -> None:
    """Make or change the stand-ins of an add-on."""
    _apply(store, addon_release(row), _addon_namespace(row), list(_of_addon(row)))


def remove(store: Store, release: str, namespace: str) -> None:
    """Remove the stand-ins of a release or an add-on."""
    _apply(store, release, namespace, [])


def addon_release(row: Mapping[str, Any]) -> str:
    """Return the name of the release by which the service installs an add-on."""
    return f"cceaddon-{row['spec']['addonTemplateName']}"


@reacts_to("release.applied")
def _release_applied(world: World, key: str) -> None:
    row = world.table("releases")[key]
    with acting_on(world, row["cluster_id"]) as store:
        if store:
            apply_release(store, row)


@reacts_to("release.removed")
def _release_removed(world: World, cluster_id: str, namespace: str, name: str) -> None:
    with acting_on(world, cluster_id) as store:
        if store:
            remove(store, name, namespace)


@reacts_to("addon.applied")
def _addon_applied(world: World, addon_id: str) -> None:
    row = world.table("addons")[addon_id]
    with acting_on(world, row["spec"]["clusterID"]) as store:
        if store:
            apply_addon(store, row)


@reacts_to("addon.removed")
def _addon_removed(world: World, row: Row) -> None:
    with acting_on(world, row["spec"]["clusterID"]) as store:
        if store:
            remove(store, addon_release(row), _addon_namespace(row))


def _apply(store: Store, release: str, namespace: str, wanted: list[tuple[Kind, Row]]) -> None:
    if wanted and store.get(known("Namespace"), "", namespace) is None:
        labels = {"kubernetes.io/metadata.name": namespace}
        about = {"name": namespace, "labels": labels}
        make(store, known("Namespace"), {"metadata": about, "status": {"phase": "Active"}}, manager=HELM)
    kept = {(kind.storage, item["metadata"]["name"]) for kind, item in wanted}
    for each in OWNED:
        kind = known(*each)
        for item in list(store.all(kind, namespace if kind.namespaced else "")):
            notes = item["metadata"].get("annotations") or {}
            mine = (notes.get(OWNER), notes.get(OWNER_NAMESPACE)) == (release, namespace)
            if mine and STAND_IN in notes and (kind.storage, item["metadata"]["name"]) not in kept:
                delete(store, kind, item, DeleteOptions())
    for kind, item in wanted:
        about = item["metadata"]
        if kind.namespaced:
            about["namespace"] = namespace
        own = {OWNER: release, OWNER_NAMESPACE: namespace, STAND_IN: STAND_IN_TEXT}
        about["annotations"] = {**about.get("annotations", {}), **own}
        upsert(store, kind, item, HELM)


def _of_release(row: Mapping[str, Any]) -> Objects:
    values, chart = row["_values"], f"{row['chart_name']}-{row['chart_version']}"
    labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": row["name"], "helm.sh/chart": chart}
    for _, kind, name in objects_of_release(row):
        about = {"name": name, "labels": dict(labels)}
        if kind in ("Deployment", "StatefulSet"):
            spec = _workload(name, values, row["chart_name"])
            if kind == "StatefulSet":
                spec |= {"serviceName": name, "volumeClaimTemplates": _claims(values)}
            yield known(kind, "apps"), {"metadata": about, "spec": spec}
        elif kind == "Service":
            target = next(
                (each for _, of, each in objects_of_release(row) if of in ("Deployment", "StatefulSet")), name
            )
            ports = [{"name": "main", "port": _port(values)}]
            yield known("Service"), {"metadata": about, "spec": {"selector": {"app": target}, "ports": ports}}
        elif kind in ("ConfigMap", "Secret", "ServiceAccount"):
            yield known(kind), {"metadata": about}


def _workload(name: str, values: Mapping[str, Any], chart: str) -> Row:
    replicas = next((values[key] for key in _REPLICAS if isinstance(values.get(key), int)), 1)
    container: Row = {"name": chart if re.fullmatch(r"[a-z0-9-]+", chart) else "main", "image": _image(values, chart)}
    container["ports"] = [{"name": "main", "containerPort": _port(values)}]
    if isinstance(values.get("resources"), Mapping) and values["resources"]:
        container["resources"] = copied(dict(values["resources"]))
    if isinstance(values.get("persistence"), Mapping):
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return _spec(name, max(0, replicas), container)


def _spec(name: str, replicas: int, container: Row, **pod: Any) -> Row:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **pod}}
    return {"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": template}


def _image(values: Mapping[str, Any], chart: str) -> str:
    image = values.get("image")
    if isinstance(image, str) and image:
        return image
    if not isinstance(image, Mapping):
        return chart
    repository, tag = image.get("repository") or chart, image.get("tag")
    return f"{repository}:{tag}" if tag else str(repository)


def _port(values: Mapping[str, Any]) -> int:
    service = values.get("service")
    port = service.get("port") if isinstance(service, Mapping) else None
    return port if isinstance(port, int) and 0 < port < 65536 else 80


def _claims(values: Mapping[str, Any]) -> list[Row]:
    asked = values.get("persistence")
    if not isinstance(asked, Mapping):
        return []
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str(asked.get("size", "1Gi"))}},
            "storageClassName": asked.get("storageClass") or "csi-disk"}  # fmt: skip
    return [{"metadata": {"name": "data"}, "spec": spec}]


def _addon_namespace(row: Mapping[str, Any]) -> str:
    labels = row["spec"].get("addonTemplateLabels") or ()
    system = row["spec"]["addonTemplateName"] == "metrics-server" or "CloudNativeObservability" not in labels
    return SYSTEM if system else MONITORING


def _of_addon(row: Mapping[str, Any]) -> Objects:
    spec, values = row["spec"], row["spec"]["values"]
    addon, version = spec["addonTemplateName"], spec["version"]
    basic, flavor, custom = (values.get(key) or {} for key in ("basic", "flavor", "custom"))
    labels = {
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/name": addon,
        "helm.sh/chart": f"{addon}-{version}",
    }
    tag = basic.get("image_version", version)
    for each in flavor.get("resources") or ():
        part = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", each["name"]).lower()
        name = addon if part == addon else part if part.startswith(addon) else f"{addon}-{part}"
        container: Row = {"name": part, "image": f"{basic['swr_addr']}/{basic['swr_user']}/{part}:{tag}"}
        sizes = {"limits": ("limitsCpu", "limitsMem"), "requests": ("requestsCpu", "requestsMem")}
        container["resources"] = {
            kind: {"cpu": each[cpu], "memory": each[memory]}
            for kind, (cpu, memory) in sizes.items() if cpu in each and memory in each
        }  # fmt: skip
        pod: Row = {}
        if addon == "coredns":
            container["ports"] = [{"name": "dns", "containerPort": 5353, "protocol": "UDP"}]
            container["volumeMounts"] = [{"name": "config", "mountPath": "/etc/coredns"}]
            pod = {"volumes": [{"name": "config", "configMap": {"name": "coredns"}}]}
        made = _spec(
            name, int(flavor.get("replicas", 1)), container, priorityClassName="system-cluster-critical", **pod
        )
        yield known(*DEPLOYMENT), {"metadata": {"name": name, "labels": {**labels, "app": name}}, "spec": made}
    if addon == "coredns":
        text = "".join(_server(each) for each in custom.get("servers") or ())
        yield known("ConfigMap"), {"metadata": {"name": "coredns", "labels": dict(labels)}, "data": {"Corefile": text}}
        ports = [{"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"}]
        about = {"name": "coredns", "labels": {**labels, "k8s-app": "coredns"}}
        service = {"clusterIP": basic.get("cluster_ip"), "selector": {"app": "coredns"}, "ports": ports}
        yield known("Service"), {"metadata": about, "spec": service}
    if addon == "nginx-ingress":
        name = custom.get("ingressClass") or "nginx"
        yield known("IngressClass", "networking.k8s.io"), {
            "metadata": {"name": name, "labels": dict(labels)}, "spec": {"controller": f"k8s.io/ingress-{name}"},
        }  # fmt: skip
        service = {"type": "LoadBalancer", "selector": {"app": f"{addon}-controller"}, "ports": [
            {"name": "http", "port": 80}, {"name": "https", "port": 443}]}  # fmt: skip
        yield known("Service"), {"metadata": {"name": f"{addon}-controller", "labels": dict(labels)}, "spec": service}


def _server(block: Mapping[str, Any]) -> str:
    """Write a server block of a Corefile."""
    zones = " ".join(f"{each['zone']}:{block.get('port', 53)}" for each in block.get("zones") or ({"zone": "."},))
    lines = []
    for plugin in block.get("plugins") or ():
        inner = "".join(f"\n    {line}" for line in str(plugin.get("configBlock", "")).splitlines())
        words = " ".join(str(each) for each in (plugin["name"], plugin.get("parameters", "")) if each != "")
        lines.append(f"  {words}" + (f" {{{inner}\n  }}" if inner else ""))
    return f"{zones} {{\n" + "\n".join(lines) + "\n}\n"
