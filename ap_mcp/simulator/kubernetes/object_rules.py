"""What must be so of an object beyond its schema: names, labels, selectors, and what may not change."""

import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ap_mcp.simulator.kubernetes.defaults import containers, pod_holder
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.selectors import object_selector
from ap_mcp.simulator.kubernetes.statuses import Cause, immutable, not_allowed, required, unsupported, wrong

Causes = Iterator[Cause]
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_ONE_LABEL = ("namespaces", "services")
_ANY_SEGMENT = ("roles", "rolebindings", "clusterroles", "clusterrolebindings", "events")
LABEL_HELP = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
VALUE_HELP = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
KEY_HELP = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
POD_UPDATE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def problems(kind: Kind, item: Mapping[str, Any], old: Mapping[str, Any] | None) -> Causes:
    """Yield what is wrong with an object, and with the change from what it was."""
    yield from _metadata(kind, item)
    holder = pod_holder(kind, item)
    if isinstance(holder, Mapping):
        prefix = {"pods": "spec", "cronjobs.batch": "spec.jobTemplate.spec.template.spec"}
        # The pods of a StatefulSet also have the volumes that are made for each of them.
        templates = (item.get("spec") or {}).get("volumeClaimTemplates") or ()
        made = {(each.get("metadata") or {}).get("name") for each in templates}
        yield from _pod(holder.get("spec") or {}, prefix.get(kind.storage, "spec.template.spec"), made)
    checks = _CHECKS.get(kind.storage)
    if checks is not None:
        yield from checks(item)
    if old is not None:
        yield from _frozen(kind, item, old)


def _metadata(kind: Kind, item: Mapping[str, Any]) -> Causes:
    metadata = item["metadata"]
    name = str(metadata.get("name", ""))
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif kind.plural in _ANY_SEGMENT:
        if not _PATH_SEGMENT.fullmatch(name):
            yield wrong("metadata.name", name, "may not contain '/'")
    elif kind.plural in _ONE_LABEL:
        if not _LABEL.fullmatch(name) or len(name) > 63:
            yield wrong("metadata.name", name, LABEL_HELP)
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
        yield wrong("metadata.name", name, SUBDOMAIN_HELP)
    yield from _labels(metadata.get("labels") or {}, "metadata.labels")
    for key in metadata.get("annotations") or ():
        if not _is_key(key.lower()):
            yield wrong("metadata.annotations", key, KEY_HELP)


def _labels(labels: Mapping[str, Any], path: str) -> Causes:
    for key, value in labels.items():
        if not _is_key(key):
            yield wrong(path, key, KEY_HELP)
        if len(str(value)) > 63:
            yield wrong(path, value, "must be no more than 63 characters")
        elif not _VALUE.fullmatch(str(value)):
            yield wrong(path, value, VALUE_HELP)


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return False
    return bool(_LABEL_NAME.fullmatch(name)) and len(name) <= 63


def _pod(spec: Mapping[str, Any], path: str, made: AbstractSet[Any] = frozenset()) -> Causes:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    volumes = {each.get("name") for each in spec.get("volumes") or ()} | made
    names: set[str] = set()
    for list_ in ("initContainers", "containers"):
        for index, each in enumerate(spec.get(list_) or ()):
            place = f"{path}.{list_}[{index}]"
            yield from _container(each, place, names, volumes)
            names.add(each.get("name", ""))
    policy = spec.get("restartPolicy")
    if policy not in ("Always", "OnFailure", "Never", None):
        yield unsupported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never"))


def _container(each: Mapping[str, Any], place: str, names: set[str], volumes: set[Any]) -> Causes:
    name = each.get("name", "")
    if name in names and name:
        yield Cause("FieldValueDuplicate", f"{place}.name", "", name)
    if name and not _LABEL.fullmatch(name):
        yield wrong(f"{place}.name", name, LABEL_HELP)
    if not each.get("image"):
        yield required(f"{place}.image")
    for index, port in enumerate(each.get("ports") or ()):
        number = port.get("containerPort")
        if isinstance(number, int) and not 0 < number < 65536:
            yield wrong(f"{place}.ports[{index}].containerPort", number, "must be between 1 and 65535, inclusive")
    for index, mount in enumerate(each.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield Cause("FieldValueNotFound", f"{place}.volumeMounts[{index}].name", "", mount.get("name"))
    resources = each.get("resources") or {}
    for name, amount in (resources.get("requests") or {}).items():
        limit = (resources.get("limits") or {}).get(name)
        if limit is not None and quantity(amount) > quantity(limit):
            what = f"must be less than or equal to {name} limit of {limit}"
            yield wrong(f"{place}.resources.requests", amount, what)


_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_UNITS |= {f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", 1)}


def quantity(text: Any) -> float:
    """Return the amount that a quantity such as `512Mi` means; 0 for what is none."""
    found = re.fullmatch(r"([+-]?[\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)", str(text))
    if found is None or found[2] not in _UNITS:
        return 0.0
    return float(found[1]) * _UNITS[found[2]]


def _workload(item: Mapping[str, Any]) -> Causes:
    spec = item.get("spec") or {}
    replicas = spec.get("replicas")
    if isinstance(replicas, int) and replicas < 0:
        yield wrong("spec.replicas", replicas, "must be greater than or equal to 0")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    yield from _labels(labels, "spec.template.labels")
    selector = spec.get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield wrong("spec.selector", selector, "empty selector is invalid for deployment")
    elif not object_selector(selector)(labels):
        yield wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy not in ("Always", None):
        yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _job(item: Mapping[str, Any]) -> Causes:
    yield from _job_spec(item.get("spec") or {}, "spec")


def _job_spec(spec: Mapping[str, Any], path: str) -> Causes:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        yield unsupported(f"{path}.template.spec.restartPolicy", policy, ("OnFailure", "Never"))
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"):
        if isinstance(spec.get(name), int) and spec[name] < 0:
            yield wrong(f"{path}.{name}", spec[name], "must be greater than or equal to 0")


def _cron_job(item: Mapping[str, Any]) -> Causes:
    spec = item.get("spec") or {}
    schedule = str(spec.get("schedule", ""))
    if schedule and not schedule.startswith("@") and len(schedule.split()) != 5:
        yield wrong(
            "spec.schedule", schedule, f"expected exactly 5 fields, found {len(schedule.split())}: [{schedule}]"
        )
    yield from _job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def _service(item: Mapping[str, Any]) -> Causes:
    spec = item.get("spec") or {}
    type_ = spec.get("type")
    if type_ not in ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"):
        yield unsupported("spec.type", type_, ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"))
    ports = spec.get("ports") or ()
    if not ports and type_ != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    for index, port in enumerate(ports):
        number = port.get("port")
        if isinstance(number, int) and not 0 < number < 65536:
            yield wrong(f"spec.ports[{index}].port", number, "must be between 1 and 65535, inclusive")
        if len(ports) > 1 and not port.get("name"):
            yield required(f"spec.ports[{index}].name")


def _config_map(item: Mapping[str, Any]) -> Causes:
    for field in ("data", "binaryData"):
        for key in item.get(field) or ():
            if not _CONFIG_KEY.fullmatch(key):
                yield wrong(f"{field}[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', "
                            "'_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                            "'[-._a-zA-Z0-9]+')")  # fmt: skip


def _autoscaler(item: Mapping[str, Any]) -> Causes:
    spec = item.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if most < 1:
        yield wrong("spec.maxReplicas", most, "must be greater than 0")
    elif most < least:
        yield wrong("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def _definition(item: Mapping[str, Any]) -> Causes:
    spec = item.get("spec") or {}
    expected = f"{(spec.get('names') or {}).get('plural')}.{spec.get('group')}"
    if item["metadata"].get("name") != expected:
        yield wrong("metadata.name", item["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
    if sum(1 for each in spec.get("versions") or () if each.get("storage")) != 1:
        yield wrong("spec.versions", spec.get("versions"), "must have exactly one version marked as storage version")


def _frozen(kind: Kind, item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    """Yield what was changed that may not be."""
    spec, before = item.get("spec") or {}, old.get("spec") or {}
    for name in _IMMUTABLE.get(kind.storage, ()):
        if before.get(name) is not None and before[name] != spec.get(name):
            yield immutable(f"spec.{name}", spec.get(name))
    check = _FROZEN.get(kind.storage)
    if check is not None:
        yield from check(item, old)


def _frozen_content(item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    if "type" in old and item.get("type") != old["type"]:
        yield immutable("type", item.get("type"))
    if old.get("immutable"):
        for name in ("data", "binaryData"):
            if item.get(name) != old.get(name):
                yield not_allowed(name, "field is immutable when `immutable` is set")
        if not item.get("immutable"):
            yield not_allowed("immutable", "field is immutable when `immutable` is set")


def _frozen_service(item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    was, now = old["spec"].get("clusterIP"), item["spec"].get("clusterIP")
    if was and was != now and item["spec"].get("type") != "ExternalName":
        yield wrong("spec.clusterIPs[0]", [now] if now else [], "may not change once set")


def _frozen_pod(item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    if _shape(item["spec"]) != _shape(old["spec"]):
        yield not_allowed("spec", POD_UPDATE)


def _frozen_stateful_set(item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    free = ("replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds", "revisionHistoryLimit")  # fmt: skip
    kept = [{key: value for key, value in each["spec"].items() if key not in free} for each in (item, old)]
    if kept[0] != kept[1]:
        named = ", ".join(f"'{name}'" for name in free[:5])
        said = f"updates to statefulset spec for fields other than {named} and 'minReadySeconds' are forbidden"
        yield not_allowed("spec", said)


def _frozen_claim(item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    if _but_size(item["spec"]) != _but_size(old["spec"]):
        said = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield not_allowed("spec", said)


def _frozen_binding(item: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    if item.get("roleRef") != old.get("roleRef"):
        yield wrong("roleRef", item.get("roleRef"), "cannot change roleRef")


_FROZEN: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Causes]] = {
    "configmaps": _frozen_content,
    "secrets": _frozen_content,
    "services": _frozen_service,
    "pods": _frozen_pod,
    "statefulsets.apps": _frozen_stateful_set,
    "persistentvolumeclaims": _frozen_claim,
    "rolebindings.rbac.authorization.k8s.io": _frozen_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _frozen_binding,
}


def _shape(spec: Mapping[str, Any]) -> Any:
    """Return what of a pod may not change."""
    free = ("containers", "initContainers", "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds",
            "ephemeralContainers")  # fmt: skip
    rest = {key: value for key, value in spec.items() if key not in free}
    return rest, [{key: value for key, value in each.items() if key != "image"} for each in containers(spec)]


def _but_size(spec: Mapping[str, Any]) -> Any:
    return {key: value for key, value in spec.items() if key not in ("resources", "volumeName")}


_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "deployments.apps": ("selector",),
    "replicasets.apps": ("selector",),
    "daemonsets.apps": ("selector",),
    "jobs.batch": ("template", "selector", "completionMode"),
    "customresourcedefinitions.apiextensions.k8s.io": ("group", "scope"),
}

_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], Causes]] = {
    "deployments.apps": _workload,
    "replicasets.apps": _workload,
    "statefulsets.apps": _workload,
    "daemonsets.apps": _workload,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "services": _service,
    "configmaps": _config_map,
    "secrets": _config_map,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
}
