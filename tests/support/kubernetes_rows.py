"""The operations on objects in a cluster that the API reference lists, one after the other on simulated clusters."""

import csv
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agent import Agent, is_trial
from kubernetes_calls import STRATEGIC, Cluster

from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.simulator.app import LoggedRequest

TABLE = Path(__file__).parents[1] / "data" / "kubernetes_operations.tsv"
NAME, NEW = "one", "another"
NODE = "autopilot-node-1"
MADE_BY_OTHERS = ("Node", "Event")
_POD = {"containers": [{"name": "app", "image": "nginx:1.27"}]}
_JOB = {"restartPolicy": "Never", **_POD}
_LABELS = {"app": NAME}
_TEMPLATE = {"metadata": {"labels": _LABELS}, "spec": _POD}
_NEWER = {"template": {"spec": {"containers": [{"name": "app", "image": "nginx:1.28"}]}}}
_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
_MORE = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
_SUBJECTS = [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}]
_OTHERS = [{"kind": "User", "name": "ben", "apiGroup": "rbac.authorization.k8s.io"}]
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Sample:
    """An object of a kind, what of it can be changed, and what its controller may report.

    Attributes:
        body: beside apiVersion, kind and metadata.
        change: a merge patch.
        status: a merge patch of what is reported.
    """

    body: Mapping[str, Any]
    change: Mapping[str, Any]
    status: Mapping[str, Any]


def _seen(**status: Any) -> dict[str, Any]:
    reported = {"type": "Reviewed", "status": "True", "reason": "Asked", "message": "by a person"}
    return {"status": status or {"conditions": [reported]}}


_STORED = {"resources": {"requests": {"storage": "10Gi"}}}
SAMPLES: Mapping[str, Sample] = {
    "Node": Sample({}, {"metadata": {"labels": {"tier": "b"}}}, {}),
    "Namespace": Sample({}, {"metadata": {"labels": {"tier": "b"}}}, _seen()),
    "ResourceQuota": Sample({"spec": {"hard": {"pods": "9"}}}, {"spec": {"hard": {"pods": "8"}}}, {}),
    "Pod": Sample({"spec": _POD}, {"spec": _NEWER["template"]["spec"]}, _seen()),
    "Deployment": Sample(
        {"spec": {"replicas": 2, "selector": {"matchLabels": _LABELS}, "template": _TEMPLATE}},
        {"spec": _NEWER},
        _seen(),
    ),
    "StatefulSet": Sample(
        {"spec": {"serviceName": NAME, "selector": {"matchLabels": _LABELS}, "template": _TEMPLATE}},
        {"spec": _NEWER},
        _seen(),
    ),
    "ReplicaSet": Sample({"spec": {"selector": {"matchLabels": _LABELS}, "template": _TEMPLATE}}, {}, {}),
    "ReplicationController": Sample({"spec": {"selector": _LABELS, "template": _TEMPLATE}}, {"spec": _NEWER}, _seen()),
    "Job": Sample({"spec": {"template": {"spec": _JOB}}}, {"spec": {"activeDeadlineSeconds": 900}}, _seen()),
    "CronJob": Sample(
        {"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": _JOB}}}}},
        {"spec": {"schedule": "0 4 * * *"}},
        _seen(lastScheduleTime="2026-01-01T03:00:00Z"),
    ),
    "Endpoints": Sample(
        {"subsets": [{"addresses": [{"ip": "10.9.0.1"}], "ports": [{"port": 80}]}]},
        {"subsets": [{"addresses": [{"ip": "10.9.0.2"}], "ports": [{"port": 80}]}]},
        {},
    ),
    "Service": Sample(
        {"spec": {"selector": _LABELS, "ports": [{"port": 80}]}}, {"spec": {"selector": {"app": NEW}}}, {}
    ),
    "Ingress": Sample(
        {"spec": {"defaultBackend": {"service": {"name": NAME, "port": {"number": 80}}}}},
        {"spec": {"defaultBackend": {"service": {"name": NEW, "port": {"number": 80}}}}},
        _seen(loadBalancer={"ingress": [{"ip": "10.9.0.3"}]}),
    ),
    "NetworkPolicy": Sample(
        {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
        {"spec": {"podSelector": {"matchLabels": _LABELS}}},
        {},
    ),
    "PersistentVolume": Sample(
        {
            "spec": {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "csi-sfsturbo",
                "csi": {"driver": "sfsturbo.csi.everest.io", "volumeHandle": "a-volume"},
            }
        },
        {"spec": {"capacity": {"storage": "20Gi"}}},
        _seen(message="reviewed"),
    ),
    "PersistentVolumeClaim": Sample(
        {"spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": NAME, **_STORED}},
        {"metadata": {"annotations": {"everest.io/size": "b"}}},
        _seen(),
    ),
    "ConfigMap": Sample({"data": {"size": "1"}}, {"data": {"size": "2"}}, {}),
    "Secret": Sample({"stringData": {"word": "one"}}, {"stringData": {"word": "two"}}, {}),
    "ClusterRole": Sample({"rules": _RULES}, {"rules": _MORE}, {}),
    "ClusterRoleBinding": Sample(
        {"roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"}, "subjects": _SUBJECTS},
        {"subjects": _OTHERS},
        {},
    ),
    "Role": Sample({"rules": _RULES}, {"rules": _MORE}, {}),
    "RoleBinding": Sample(
        {"roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"}, "subjects": _SUBJECTS},
        {"subjects": _OTHERS},
        {},
    ),
}


@dataclass(frozen=True)
class Row:
    """A row of the table: an operation of the reference, and the call that stands for it."""

    number: int
    function: str
    method: str
    path: str
    tool: str
    given: Mapping[str, Any]
    effect: str
    instead: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number} {self.method} {self.path} ({self.tool})"

    @cached_property
    def resource(self) -> Resource | None:
        """The kind that the row is about; None if it is about kinds themselves."""
        parts = self.path.strip("/").split("/")
        below = parts[2 if parts[0] == "api" else 3 :]
        plural = (below[2:] if below[:2] == ["namespaces", "{namespace}"] else below)[:1]
        return next((each for each in known_kinds() if [each.plural] == plural), None)

    @property
    def creates(self) -> bool:
        """Whether the object must not be there yet."""
        return self.given.get("mode") == "create"

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """The requests that must be made for it."""
        paths = self.instead or (self.path,)
        return [
            (self.method, each.replace("{namespace}", self.namespace).replace("{name}", self.name)) for each in paths
        ]

    @property
    def namespace(self) -> str:
        """The namespace of its own that it is tried in."""
        return f"row-{self.number}"

    @property
    def name(self) -> str:
        """The name of the object that it is about."""
        if self.resource is not None and self.resource.kind == "Node":
            return NODE
        namespaced = self.resource is None or self.resource.namespaced
        return NAME if namespaced else self.namespace

    def arguments(self, body: Any = None) -> dict[str, Any]:
        """Return the arguments of the call; `body` is of the object as it is now."""
        text = json.dumps(self.given).replace("{namespace}", self.namespace).replace("{name}", self.name)
        filled: dict[str, Any] = json.loads(text)
        if "patch" in filled:
            filled["patch"] = json.dumps(self._patch())
        if "manifest" in filled:
            filled["manifest"] = json.dumps(self.manifest() if self.creates else merged(body, self._patch()))
        return filled

    def _patch(self) -> Mapping[str, Any]:
        sample = SAMPLES[self.given.get("patch") or self.given["manifest"]]
        below = self.given.get("subresource", "")
        return {"": sample.change, "status": sample.status, "scale": {"spec": {"replicas": 1}}}.get(
            below, {"spec": {"finalizers": None}}
        )

    def manifest(self) -> dict[str, Any]:
        """Return an object of the kind of the row, as it is before."""
        of = self.resource
        assert of is not None
        place = {"namespace": self.namespace} if of.namespaced else {}
        head = {"apiVersion": of.api_version, "kind": of.kind, "metadata": {"name": self.name, **place}}
        return {**head, **deepcopy(dict(SAMPLES[of.kind].body))}


def rows() -> list[Row]:
    """Return the table."""
    with TABLE.open(newline="") as file:
        return [
            Row(
                number, each["function"], each["method"], each["path"], each["tool"], json.loads(each["arguments"]),
                each["effect"], tuple((each["served instead"] or "").split()),
            )
            for number, each in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1)
        ]  # fmt: skip


def merged(whole: Any, patch: Any) -> Any:
    """Return what a merge patch makes of a value."""
    if not isinstance(patch, Mapping) or not isinstance(whole, Mapping):
        return patch
    changed = {key: merged(whole.get(key), value) for key, value in patch.items() if value is not None}
    return {key: value for key, value in {**whole, **changed}.items() if patch.get(key, 0) is not None}


async def prepared(row: Row, cluster: Cluster) -> dict[str, Any]:
    """Make what a row is about; return the arguments of its call."""
    of = row.resource
    if of is None or (of.kind == "Namespace" and row.creates):
        return row.arguments()
    if of.namespaced or of.kind == "Namespace":
        await cluster.ok("POST", "/api/v1/namespaces", {"metadata": {"name": row.namespace}})
    if of.kind not in (*MADE_BY_OTHERS, "Namespace") and not row.creates:
        await cluster.ok("POST", f"/{'/'.join(of.parts(row.namespace))}", row.manifest())
    if row.given.get("action") == "undo":
        newer = dict(SAMPLES[of.kind].change)
        await cluster.ok("PATCH", f"/{'/'.join(of.parts(row.namespace, row.name))}", newer, type=STRATEGIC)
    if of.kind in MADE_BY_OTHERS or row.creates or "{name}" not in row.path:
        return row.arguments()
    body: Any = await cluster.ok("GET", f"/{'/'.join(of.parts(row.namespace, row.name))}")
    return row.arguments(body)


async def tried(row: Row, agent: Agent, cluster: Cluster) -> tuple[list[LoggedRequest], str]:
    """Call the tool of a row; return what the cluster was asked, and why that failed, if it did."""
    arguments = await prepared(row, cluster)
    agent.autopilot.cloud.kinds.forget(cluster.id)
    before = len(agent.app.state.log)
    result = await agent.run(row.tool, {"cluster_id": cluster.id, **arguments})
    asked = [each for each in agent.app.state.log[before:] if each.operation.startswith("kubernetes_")]
    return asked, agent.said if result.is_error else ""


def wrong(row: Row, asked: Sequence[LoggedRequest]) -> str:
    """Say what is wrong with the requests that were made for a row; empty if nothing."""
    good = [(each.method, each.path) for each in asked if each.status < 300]
    changes = [(each.method, each.path) for each in asked if is_change(each)]
    if row.effect == "read":
        missing = [each for each in row.wanted if good.count(each) != 1]
        return f"made {good} and changed {changes}" if missing or changes else ""
    trials = [(each.method, each.path) for each in asked if is_trial(each.operation)]
    last = max((at for at, each in enumerate(asked) if is_trial(each.operation)), default=len(asked))
    in_order = all(at > last for at, each in enumerate(asked) if is_change(each))
    fits = (
        changes == row.wanted and set(trials) == set(changes) and in_order and all(each in good for each in row.wanted)
    )
    return "" if fits else f"tried {trials}, changed {changes}"


def is_change(request: LoggedRequest) -> bool:
    """Say whether a request is more than a read, a review of rights or a dry run."""
    review = request.operation.startswith("kubernetes_create_selfsubject")
    return request.method != "GET" and not review and not is_trial(request.operation)
