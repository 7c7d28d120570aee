"""Fills a cluster when it is first asked: what every cluster has, and what its add-ons and releases run."""

from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.kubernetes.acting import make
from ap_mcp.simulator.kubernetes.controllers import controlled_store
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.store import TABLE, Store
from ap_mcp.simulator.world import Row, World

NODES = ("autopilot-node-1", "autopilot-node-2")
STORAGE_CLASSES = {
    "csi-disk": "everest-csi-provisioner",
    "csi-nas": "everest-csi-provisioner",
    "csi-obs": "everest-csi-provisioner",
    "csi-sfsturbo": "everest-csi-provisioner",
}
ROLES = ("cluster-admin", "admin", "edit", "view")
STAND_IN = "ap-mcp/simulated"
STAND_IN_TEXT = "stands in for what the chart would install; its templates are not rendered"


def ensure_seeded(world: World, cluster_id: str) -> None:
    """Fill a cluster that has not been asked for anything yet."""
    if cluster_id in world.table(TABLE):
        return
    with controlled_store(world, cluster_id) as store:
        for kind, item in _basics(store):
            make(store, known(*kind), item, manager="kube-apiserver")


def _basics(store: Store) -> Iterator[tuple[tuple[str, ...], Row]]:
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
    for index, name in enumerate(NODES):
        yield ("Node",), _node(name, index, cluster["spec"]["version"], born)
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
                "kubeletVersion": f"{version}.0", "osImage": "Huawei Cloud EulerOS 2.0", "architecture": "amd64",
                "kernelVersion": "5.10.0", "containerRuntimeVersion": "containerd://1.6.14", "operatingSystem": "linux",
                "bootID": "", "machineID": "", "systemUUID": "", "kubeProxyVersion": f"{version}.0",
            },
        },
    }  # fmt: skip
