"""Fills a cluster when it is first asked: what every cluster has, and what its add-ons and releases run."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

from ap_mcp.simulator.clock import ManualClock, parse_timestamp
from ap_mcp.simulator.constants import CLUSTER_NAMES
from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.kubernetes.acting import CONTROLLER_MANAGER, make
from ap_mcp.simulator.kubernetes.apply import UPDATE, Manager, recorded
from ap_mcp.simulator.kubernetes.controllers import controlled_store
from ap_mcp.simulator.kubernetes.jobs import PLANNED
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.pod_outcomes import ADDRESSES
from ap_mcp.simulator.kubernetes.retries import TABLE as RETRIES
from ap_mcp.simulator.kubernetes.retries import bring_up_to_date
from ap_mcp.simulator.kubernetes.stand_ins import HELM, RUNNING, STAND_IN, SYSTEM, apply_addon, apply_release
from ap_mcp.simulator.kubernetes.store import TABLE, Store, new_row
from ap_mcp.simulator.kubernetes.workload_seed import USER, Step, steps_of
from ap_mcp.simulator.world import Row, World

NODES = ("autopilot-node-1", "autopilot-node-2")
STORAGE_CLASSES = {
    "csi-disk": "everest-csi-provisioner",
    "csi-nas": "everest-csi-provisioner",
    "csi-obs": "everest-csi-provisioner",
    "csi-sfsturbo": "everest-csi-provisioner",
}
ROLES = ("cluster-admin", "admin", "edit", "view")
MOST_KEPT = 32
"""Pasts that are remembered, for accounts that are made again: each is some hundred thousand bytes."""


def ensure_seeded(world: World, cluster_id: str) -> None:
    """Fill a cluster that has not been asked for anything yet with what its past has left in it."""
    if cluster_id in world.table(TABLE):
        return
    tables = {
        "clusters": {cluster_id: world.table("clusters")[cluster_id]},
        "addons": {row["metadata"]["uid"]: row for row in addons_of(world, cluster_id)},
        "upgrade_facts": {key: row for key, row in world.table("upgrade_facts").items() if key == cluster_id},
        "releases": {key: row for key, row in world.table("releases").items() if row["cluster_id"] == cluster_id},
    }
    packed = _lived_through(pickle.dumps(tables, pickle.HIGHEST_PROTOCOL), world.now())
    past = World.from_json(pickle.loads(packed))  # noqa: S301 - packed here
    for name in (TABLE, ADDRESSES, RETRIES, PLANNED):
        world.table(name).update(past.table(name))
    world.take_over(past)


@lru_cache(MOST_KEPT)
def _lived_through(tables: bytes, now: datetime) -> bytes:
    """Live through the past of a cluster in a world of its own, and return that; the same past only once."""
    world = World(ManualClock(now))
    for name, rows in pickle.loads(tables).items():  # noqa: S301 - packed here
        world.table(name).update(rows)
    ((cluster_id, cluster),) = world.table("clusters").items()
    born = parse_timestamp(cluster["metadata"]["creationTimestamp"])
    past = World(ManualClock(born), seed=int(cluster_id[:8], 16))
    past.table("clusters")[cluster_id] = cluster
    past.table("addons").update(world.table("addons"))
    past.table(TABLE)[cluster_id] = {**new_row(), "past": True}
    with controlled_store(past, cluster_id) as store:
        for kind, item in _basics(store, _nodes(world, cluster_id)):
            make(store, known(*kind), item)
    for moment, act in sorted(_steps(world, cluster_id), key=lambda step: step[0]):
        past.advance(max(0.0, (moment - past.now()).total_seconds()))
        with controlled_store(past, cluster_id) as store:
            act(store)
    past.advance(max(0.0, (now - past.now()).total_seconds()))
    with controlled_store(past, cluster_id) as store:
        bring_up_to_date(store)
    _record(store)
    del past.table(TABLE)[cluster_id]["past"]
    return pickle.dumps(past.to_json(), pickle.HIGHEST_PROTOCOL)


@reacts_to("cluster.deleted")
def _cluster_deleted(world: World, *, cluster_id: str, **_: Any) -> None:
    for name in (TABLE, ADDRESSES, RETRIES):
        world.table(name).pop(cluster_id, None)


def addons_of(world: World, cluster_id: str) -> list[Row]:
    """List the rows of a cluster's add-ons."""
    return [row for row in world.table("addons").values() if row["spec"]["clusterID"] == cluster_id]


def _steps(world: World, cluster_id: str) -> Iterator[Step]:
    """Yield what happened in a cluster: its add-ons, its releases, and what its users did."""
    for row in addons_of(world, cluster_id):
        if row["status"]["status"] in RUNNING:
            yield parse_timestamp(row["metadata"]["updateTimestamp"]), partial(apply_addon, row=row)
    for row in world.table("releases").values():
        if row["cluster_id"] == cluster_id:
            for each in [*row["_history"][-1:], row]:
                yield datetime.fromisoformat(each["update_at"]).astimezone(UTC), partial(apply_release, row=each)
    name = world.table("clusters")[cluster_id]["metadata"]["name"]
    if cluster_id in CLUSTER_NAMES:
        yield from steps_of(name, world.now())


def _record(store: Store) -> None:
    """Note who wrote what of everything that is there, as if each had written it once."""
    served = store.served()
    for kind in {each.storage: each for each in served.kinds if each.storage != "events"}.values():
        for item in store.all(kind):
            of = served.of(item["apiVersion"], item["kind"]) or kind
            begun = item["metadata"]["creationTimestamp"]
            writer, reporter = _writers(item)
            status = item.pop("status", None)
            recorded(store.schema(of), {}, item, Manager(writer, UPDATE, of, "", begun))
            if status is not None:
                old = {**item, "metadata": dict(item["metadata"])}
                item["status"] = status
                subresource = "status" if of.has_status else ""
                now = store.world.iso_timestamp()
                recorded(store.schema(of), old, item, Manager(reporter, UPDATE, of, subresource, now))


def _writers(item: Row) -> tuple[str, str]:
    """Name who made an object, and who reports its status."""
    metadata = item["metadata"]
    if item["kind"] == "Pod":
        return CONTROLLER_MANAGER, "kubelet"
    if (metadata.get("annotations") or {}).get(STAND_IN):
        return HELM, CONTROLLER_MANAGER
    if metadata.get("ownerReferences") or item["kind"] in ("Endpoints", "PersistentVolume"):
        return CONTROLLER_MANAGER, CONTROLLER_MANAGER
    system = metadata.get("namespace", SYSTEM) == SYSTEM or metadata["name"] in ("kubernetes", "default")
    return ("kube-apiserver" if system else USER), CONTROLLER_MANAGER


def _nodes(world: World, cluster_id: str) -> list[str]:
    """List the names of a cluster's nodes, those that its checks speak of if there are any."""
    facts = world.table("upgrade_facts").get(cluster_id, {})
    return [each["name"] for each in facts.get("nodes") or ()] or list(NODES)


def _basics(store: Store, nodes: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Row]]:
    cluster = store.cluster
    born = store.world.iso_timestamp(parse_timestamp(cluster["metadata"]["creationTimestamp"]))
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        yield (
            ("Namespace",),
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}, "creationTimestamp": born},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            },
        )
    for index, name in enumerate(nodes):
        yield ("Node",), _node(name, index, cluster["_version"], born)
    for name, provisioner in STORAGE_CLASSES.items():
        yield (
            ("StorageClass", "storage.k8s.io"),
            {
                "metadata": {"name": name, "creationTimestamp": born},
                "provisioner": provisioner,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
                "allowVolumeExpansion": name != "csi-obs",
            },
        )
    yield (
        ("IngressClass", "networking.k8s.io"),
        {
            "metadata": {"name": "cce", "creationTimestamp": born},
            "spec": {"controller": "ingress.cce.io/elb"},
        },
    )
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    for name in ROLES:
        verbs = ["get", "list", "watch"] if name == "view" else ["*"]
        about = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, "creationTimestamp": born}
        yield ("ClusterRole", "rbac.authorization.k8s.io"), {"metadata": about, "rules": [{**rule, "verbs": verbs}]}
    yield (
        ("ClusterRoleBinding", "rbac.authorization.k8s.io"),
        {
            "metadata": {"name": "cluster-admin", "creationTimestamp": born},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:masters"}],
        },
    )
    yield ("Service",), {
        "metadata": {"name": "kubernetes", "namespace": "default", "creationTimestamp": born,
                     "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.247.0.1", "clusterIPs": ["10.247.0.1"],
                 "sessionAffinity": "None",
                 "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 5443}]},
        "status": {"loadBalancer": {}},
    }  # fmt: skip
    yield ("Endpoints",), {
        "metadata": {"name": "kubernetes", "namespace": "default", "creationTimestamp": born},
        "subsets": [{"addresses": [{"ip": cluster["_host"]}], "ports": [{"name": "https", "port": 5443,
                                                                        "protocol": "TCP"}]}],
    }  # fmt: skip


def _node(name: str, index: int, version: str, born: str) -> Row:
    """Make one of the virtual nodes that Autopilot shows for the pods it runs."""
    capacity = {"cpu": "500", "memory": "2000Gi", "pods": "1000"}
    ready: Mapping[str, Any] = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": born,
                                "lastHeartbeatTime": born, "message": "kubelet is ready."}  # fmt: skip
    labels = {"kubernetes.io/hostname": name, "type": "virtual-kubelet", "kubernetes.io/os": "linux",
              "kubernetes.io/arch": "amd64"}  # fmt: skip
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": born},
        "spec": {"providerID": f"autopilot://{name}"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": f"192.168.0.{4 + index}"},
                          {"type": "Hostname", "address": name}],
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [dict(ready)],
            "nodeInfo": {
                "kubeletVersion": version, "osImage": "Huawei Cloud EulerOS 2.0", "architecture": "amd64",
                "kernelVersion": "5.10.0", "containerRuntimeVersion": "containerd://1.6.14", "operatingSystem": "linux",
                "bootID": "", "machineID": "", "systemUUID": "", "kubeProxyVersion": version,
            },
        },
    }  # fmt: skip
