"""What the server fills in that a sender left out."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.schemas import Schema, items_of, resolved
from ap_mcp.simulator.world import Row

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "deployments.apps": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "replicationcontrollers": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
    "podtemplates": ("template",),
    "pods": (),
}
"""Where a kind has the pods that it makes."""

GENERATION = frozenset(
    """deployments.apps replicasets.apps statefulsets.apps daemonsets.apps jobs.batch cronjobs.batch
    replicationcontrollers ingresses.networking.k8s.io networkpolicies.networking.k8s.io
    ingressclasses.networking.k8s.io poddisruptionbudgets.policy
    customresourcedefinitions.apiextensions.k8s.io""".split()  # noqa: SIM905 - a list would be three times as long
)
"""Kinds whose changes of the specification are counted, beside custom ones."""


def pod_holder(kind: Kind, item: Mapping[str, Any]) -> Any:
    """Return what has `metadata` and `spec` of the pods that an object makes, None for another kind."""
    path = TEMPLATES.get(kind.storage)
    if path is None:
        return None
    holder: Any = item
    for step in path:
        holder = holder.get(step) if isinstance(holder, Mapping) else None
    return holder


def fill(kind: Kind, schema: Schema, item: Row) -> None:
    """Fill an object in, in place; it fits its schema."""
    if kind.custom:
        _from_schema(schema, item)
        return
    filler = _FILLERS.get(kind.storage)
    if filler is not None:
        filler(item.setdefault("spec", {}) if "spec" in schema.get("properties", {}) else item)
    holder = pod_holder(kind, item)
    if isinstance(holder, dict) and isinstance(holder.get("spec"), dict):
        _pod(holder["spec"])


def _from_schema(schema: Schema, value: Any) -> None:
    schema = resolved(schema)
    if isinstance(value, dict):
        for name, each in schema.get("properties", {}).items():
            if name not in value and "default" in each:
                value[name] = each["default"]
            if name in value and name != "metadata":
                _from_schema(each, value[name])
    elif isinstance(value, list):
        for entry in value:
            _from_schema(items_of(schema), entry)


def _laid_under(target: Row, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def containers(spec: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the containers of a pod, those that prepare it first."""
    for name in ("initContainers", "containers"):
        yield from (each for each in spec.get(name) or () if isinstance(each, dict))


def _pod(spec: Row) -> None:
    _laid_under(
        spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30, securityContext={},
    )  # fmt: skip
    if spec.get("serviceAccountName"):
        _laid_under(spec, serviceAccount=spec["serviceAccountName"])
    for each in containers(spec):
        _container(each)
    for volume in spec.get("volumes") or ():
        for name in ("configMap", "secret", "projected", "downwardAPI"):
            if volume.get(name) is not None:
                _laid_under(volume[name], defaultMode=420)
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}


def _container(each: Row) -> None:
    image = str(each.get("image", ""))
    newest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    _laid_under(
        each, imagePullPolicy="Always" if newest else "IfNotPresent", resources={},
        terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File",
    )  # fmt: skip
    for port in each.get("ports") or ():
        _laid_under(port, protocol="TCP")
    for probe in (each[name] for name in ("readinessProbe", "livenessProbe", "startupProbe") if each.get(name)):
        _laid_under(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        if probe.get("httpGet"):
            _laid_under(probe["httpGet"], path="/", scheme="HTTP")
    for variable in each.get("env") or ():
        source = (variable.get("valueFrom") or {}).get("fieldRef")
        if source:
            _laid_under(source, apiVersion="v1")
    limits = each["resources"].get("limits") or {}
    if limits:
        each["resources"]["requests"] = {**limits, **(each["resources"].get("requests") or {})}


def _deployment(spec: Row) -> None:
    _laid_under(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    strategy = spec["strategy"]
    _laid_under(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _laid_under(strategy, rollingUpdate={})
        _laid_under(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _stateful_set(spec: Row) -> None:
    _laid_under(
        spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )  # fmt: skip
    _laid_under(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _laid_under(spec["updateStrategy"], rollingUpdate={"partition": 0})
    for claim in spec.get("volumeClaimTemplates") or ():
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}
        _laid_under(claim["spec"], volumeMode="Filesystem")


def _replicas(spec: Row) -> None:
    _laid_under(spec, replicas=1)


def _job(spec: Row) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        _laid_under(spec, completions=1)
    _laid_under(
        spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False, podReplacementPolicy=
        "TerminatingOrFailed",
    )  # fmt: skip


def _cron_job(spec: Row) -> None:
    _laid_under(
        spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1
    )  # fmt: skip


def _service(spec: Row) -> None:
    _laid_under(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] == "ExternalName":
        return
    _laid_under(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack", internalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _laid_under(spec, externalTrafficPolicy="Cluster", allocateLoadBalancerNodePorts=True)
    for port in spec.get("ports") or ():
        _laid_under(port, protocol="TCP", targetPort=port.get("port"))


def _claim(spec: Row) -> None:
    _laid_under(spec, volumeMode="Filesystem")


def _autoscaler(spec: Row) -> None:
    _laid_under(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _namespace(spec: Row) -> None:
    _laid_under(spec, finalizers=["kubernetes"])


def _secret(item: Row) -> None:
    _laid_under(item, type="Opaque")
    plain = item.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
        item["data"] = {**(item.get("data") or {}), **encoded}


def _class(item: Row) -> None:
    _laid_under(item, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _definition(spec: Row) -> None:
    names = spec.get("names", {})
    kind = str(names.get("kind", ""))
    _laid_under(names, singular=kind.lower(), listKind=f"{kind}List")
    _laid_under(spec, conversion={"strategy": "None"})


_FILLERS: Mapping[str, Callable[[Row], None]] = {
    "deployments.apps": _deployment,
    "statefulsets.apps": _stateful_set,
    "replicasets.apps": _replicas,
    "replicationcontrollers": _replicas,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "services": _service,
    "persistentvolumeclaims": _claim,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
    "namespaces": _namespace,
    "secrets": _secret,
    "storageclasses.storage.k8s.io": _class,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
}
