"""The columns that a server prints for each kind, and how their cells are filled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp

Item = Mapping[str, Any]
Fill = Callable[[Item, datetime], Any]
NONE, UNKNOWN = "<none>", "<unknown>"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type, whether it is shown only when more is asked for, and what its cells hold."""

    name: str
    fill: Fill
    type: str = "string"
    wide: bool = False


def human(moment: str | None, now: datetime) -> str:
    """Write how long ago a moment is, as kubectl shows ages."""
    if not moment:
        return UNKNOWN
    return duration(int((now - parse_timestamp(moment[:19] + "Z")).total_seconds()))


def duration(seconds: int) -> str:
    """Write a time span in at most two units, the coarser the longer it is."""
    for below, unit, size, smaller, rest in _SPANS:
        if seconds < below:
            more, less = divmod(max(seconds, 0), size)
            return _two(more, unit, less // rest, smaller) if rest else f"{more}{unit}"
    return f"{seconds // _YEAR}y"


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
_SPANS = (
    (2 * _MINUTE, "s", 1, "", 0),
    (10 * _MINUTE, "m", _MINUTE, "s", 1),
    (3 * _HOUR, "m", _MINUTE, "", 0),
    (8 * _HOUR, "h", _HOUR, "m", _MINUTE),
    (2 * _DAY, "h", _HOUR, "", 0),
    (8 * _DAY, "d", _DAY, "h", _HOUR),
    (2 * _YEAR, "d", _DAY, "", 0),
    (8 * _YEAR, "y", _YEAR, "d", _DAY),
)
"""Below how many seconds which unit is used, and with which smaller one."""


def _two(more: int, unit: str, rest: int, smaller: str) -> str:
    return f"{more}{unit}{rest}{smaller}" if rest else f"{more}{unit}"


def at(item: Any, path: str, default: Any = None) -> Any:
    """Return what an object has at a dotted path, or the default."""
    for part in path.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    return default if item is None else item


def field(path: str, default: Any = NONE) -> Fill:
    """Fill with what stands at a path."""
    return lambda item, _now: at(item, path, default)


def _always(said: str) -> Fill:
    return lambda _item, _now: said


def _joined(*paths: str) -> Fill:
    return lambda item, _now: "/".join(str(at(item, path, "")) for path in paths)


NAME = Column("Name", field("metadata.name"), "name")
AGE = Column("Age", lambda item, now: human(at(item, "metadata.creationTimestamp"), now))


def _images(spec_path: str) -> tuple[Column, ...]:
    def joined(part: str) -> Fill:
        return lambda item, _: ",".join(str(each.get(part, "")) for each in at(item, f"{spec_path}.containers", []))

    return Column("Containers", joined("name"), wide=True), Column("Images", joined("image"), wide=True)


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """Write a selector the way it is typed."""
    if not selector:
        return NONE
    found = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        operator, values = each["operator"], ",".join(each.get("values") or ())
        if operator in ("In", "NotIn"):
            found.append(f"{each['key']} {operator.lower()} ({values})")
        else:
            found.append(each["key"] if operator == "Exists" else f"!{each['key']}")
    return ",".join(found) or NONE


SELECTOR = Column("Selector", lambda item, _: selector_text(at(item, "spec.selector")), wide=True)


def _pod_status(item: Item, _now: datetime) -> str:
    status = item.get("status") or {}
    if at(item, "metadata.deletionTimestamp"):
        return "Terminating"
    preparing = _preparing(item)
    if preparing:
        return preparing
    reason = str(status.get("reason") or status.get("phase") or "")
    running = False
    for each in reversed(status.get("containerStatuses") or ()):
        state = each.get("state") or {}
        ended = state.get("terminated")
        reason = at(state, "waiting.reason") or reason
        if ended:
            reason = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
        running = running or bool(each.get("ready") and state.get("running"))
    return "Running" if reason == "Completed" and running else reason


def _preparing(item: Item) -> str:
    """Say how far the containers are that prepare a pod; empty if they are done."""
    for index, each in enumerate(at(item, "status.initContainerStatuses", [])):
        state = each.get("state") or {}
        if at(state, "terminated.exitCode") == 0:
            continue
        waiting = at(state, "waiting.reason", "")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        if state.get("terminated"):
            return f"Init:{at(state, 'terminated.reason', 'Error')}"
        return f"Init:{index}/{len(at(item, 'spec.initContainers', []))}"
    return ""


def _restarts(item: Item, now: datetime) -> str:
    statuses = at(item, "status.containerStatuses", [])
    count = sum(each.get("restartCount", 0) for each in statuses)
    last = max((at(each, "lastState.terminated.finishedAt", "") for each in statuses), default="")
    return f"{count} ({human(last, now)} ago)" if count and last else str(count)


def _ready_containers(item: Item, _now: datetime) -> str:
    ready = sum(bool(each.get("ready")) for each in at(item, "status.containerStatuses", []))
    return f"{ready}/{len(at(item, 'spec.containers', []))}"


def _ports(item: Item, _now: datetime) -> str:
    found = []
    for port in at(item, "spec.ports", []):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        found.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(found) or NONE


def _external(item: Item, _now: datetime) -> str:
    ingress = at(item, "status.loadBalancer.ingress", [])
    addresses = [each.get("ip") or each.get("hostname", "") for each in ingress]
    if at(item, "spec.type") == "LoadBalancer":
        return ",".join(addresses) or "<pending>"
    if at(item, "spec.type") == "ExternalName":
        return str(at(item, "spec.externalName", NONE))
    return ",".join(at(item, "spec.externalIPs", [])) or NONE


def _of(part: str, whole: str) -> Fill:
    return lambda item, _: f"{at(item, part, 0)}/{at(item, whole, 0)}"


def _node_status(item: Item, _now: datetime) -> str:
    ready = next((each["status"] for each in at(item, "status.conditions", []) if each["type"] == "Ready"), "Unknown")
    said = "Ready" if ready == "True" else "NotReady"
    return f"{said},SchedulingDisabled" if at(item, "spec.unschedulable") else said


def _roles(item: Item, _now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = at(item, "metadata.labels", {})
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _internal_address(item: Item, _now: datetime) -> str:
    addresses = at(item, "status.addresses", [])
    return str(next((each["address"] for each in addresses if each["type"] == "InternalIP"), NONE))


def _last_seen(item: Item, now: datetime) -> str:
    return human(item.get("lastTimestamp") or item.get("eventTime") or at(item, "metadata.creationTimestamp"), now)


def _involved(item: Item, _now: datetime) -> str:
    return f"{at(item, 'involvedObject.kind', '').lower()}/{at(item, 'involvedObject.name', '')}"


def _endpoints(item: Item, _now: datetime) -> str:
    found = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in subset.get("addresses") or ()
    ]
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "") or NONE


def _slice_endpoints(item: Item, _now: datetime) -> str:
    found = [address for each in item.get("endpoints") or () for address in each.get("addresses") or ()]
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "") or "<unset>"


def _slice_ports(item: Item, _now: datetime) -> str:
    return ",".join(str(each.get("port", "*")) for each in item.get("ports") or ()) or "<unset>"


def _targets(item: Item, _now: datetime) -> str:
    current = {at(each, "resource.name"): each for each in at(item, "status.currentMetrics", [])}
    found = []
    for metric in at(item, "spec.metrics", []):
        name = at(metric, "resource.name", metric.get("type", ""))
        now = at(current.get(name), "resource.current.averageUtilization")
        goal = at(metric, "resource.target.averageUtilization")
        if goal is None:
            found.append(f"{name}: {UNKNOWN}/{at(metric, 'resource.target.averageValue', UNKNOWN)}")
        else:
            found.append(f"{name}: {UNKNOWN if now is None else f'{now}%'}/{goal}%")
    return ", ".join(found) or NONE


def _hosts(item: Item, _now: datetime) -> str:
    hosts = [each.get("host") or "*" for each in at(item, "spec.rules", [])]
    return ",".join(hosts) or "*"


def _job_status(item: Item, _now: datetime) -> str:
    if at(item, "metadata.deletionTimestamp"):
        return "Terminating"
    met = [each["type"] for each in at(item, "status.conditions", []) if each["status"] == "True"]
    return next((each for each in ("Complete", "Failed", "Suspended") if each in met), "Running")


def _job_duration(item: Item, now: datetime) -> str:
    started, ended = at(item, "status.startTime"), at(item, "status.completionTime")
    if not started:
        return ""
    until = parse_timestamp(ended) if ended else now
    return duration(int((until - parse_timestamp(started)).total_seconds()))


def _since(path: str) -> Fill:
    return lambda item, now: human(at(item, path), now) if at(item, path) else NONE


def _quota(*names: str) -> Fill:
    def said(item: Item, _now: datetime) -> str:
        hard, used = at(item, "spec.hard", {}), at(item, "status.used", {})
        chosen = [name for name in sorted(hard) if name.startswith("limits.") == ("limits" in names)]
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in chosen)

    return said


def _subjects(kind: str) -> Fill:
    return lambda item, _: ", ".join(each["name"] for each in item.get("subjects") or () if each["kind"] == kind)


def _listed(path: str) -> Fill:
    return lambda item, _: ",".join(map(str, at(item, path, []))) or ""


def _access(item: Item, _now: datetime) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(short.get(each, each) for each in at(item, "spec.accessModes", []))


COLUMNS: Mapping[str, Sequence[Column]] = {
    "pods": (
        NAME, Column("Ready", _ready_containers), Column("Status", _pod_status), Column("Restarts", _restarts), AGE,
        Column("IP", field("status.podIP"), wide=True), Column("Node", field("spec.nodeName"), wide=True),
        Column("Nominated Node", field("status.nominatedNodeName"), wide=True),
        Column("Readiness Gates", _always(NONE), wide=True),
    ),
    "deployments.apps": (
        NAME, Column("Ready", _of("status.readyReplicas", "spec.replicas")),
        Column("Up-to-date", field("status.updatedReplicas", 0), "integer"),
        Column("Available", field("status.availableReplicas", 0), "integer"), AGE,
        *_images("spec.template.spec"), SELECTOR,
    ),
    "replicasets.apps": (
        NAME, Column("Desired", field("spec.replicas", 0), "integer"),
        Column("Current", field("status.replicas", 0), "integer"),
        Column("Ready", field("status.readyReplicas", 0), "integer"), AGE, *_images("spec.template.spec"), SELECTOR,
    ),
    "statefulsets.apps": (
        NAME, Column("Ready", _of("status.readyReplicas", "spec.replicas")), AGE, *_images("spec.template.spec"),
    ),
    "daemonsets.apps": (
        NAME, Column("Desired", field("status.desiredNumberScheduled", 0), "integer"),
        Column("Current", field("status.currentNumberScheduled", 0), "integer"),
        Column("Ready", field("status.numberReady", 0), "integer"), AGE,
    ),
    "replicationcontrollers": (
        NAME, Column("Desired", field("spec.replicas", 0), "integer"),
        Column("Current", field("status.replicas", 0), "integer"),
        Column("Ready", field("status.readyReplicas", 0), "integer"), AGE,
    ),
    "services": (
        NAME, Column("Type", field("spec.type")), Column("Cluster-IP", field("spec.clusterIP")),
        Column("External-IP", _external), Column("Port(s)", _ports), AGE,
        Column("Selector", lambda item, _: selector_text({"matchLabels": at(item, "spec.selector", {})}), wide=True),
    ),
    "endpoints": (NAME, Column("Endpoints", _endpoints), AGE),
    "endpointslices.discovery.k8s.io": (
        NAME, Column("AddressType", field("addressType")), Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints), AGE,
    ),
    "configmaps": (
        NAME, Column("Data", lambda item, _: len(item.get("data") or ()) + len(item.get("binaryData") or ()),
                     "integer"), AGE,
    ),
    "secrets": (
        NAME, Column("Type", field("type")),
        Column("Data", lambda item, _: len(item.get("data") or ()), "integer"), AGE,
    ),
    "events": (
        Column("Last Seen", _last_seen), Column("Type", field("type", "")), Column("Reason", field("reason", "")),
        Column("Object", _involved), Column("Subobject", field("involvedObject.fieldPath", ""), wide=True),
        Column("Source", field("source.component", ""), wide=True),
        Column("Message", lambda item, _: str(item.get("message") or "").strip()),
        Column("First Seen", _since("firstTimestamp"), wide=True),
        Column("Count", field("count", 1), "integer", wide=True),
        Column("Name", field("metadata.name"), "name", wide=True),
    ),
    "namespaces": (NAME, Column("Status", field("status.phase")), AGE),
    "nodes": (
        NAME, Column("Status", _node_status), Column("Roles", _roles), AGE,
        Column("Version", field("status.nodeInfo.kubeletVersion")), Column("Internal-IP", _internal_address, wide=True),
        Column("External-IP", _always(NONE), wide=True),
        Column("OS-Image", field("status.nodeInfo.osImage"), wide=True),
        Column("Kernel-Version", field("status.nodeInfo.kernelVersion"), wide=True),
        Column("Container-Runtime", field("status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    "serviceaccounts": (NAME, Column("Secrets", lambda item, _: len(item.get("secrets") or ()), "integer"), AGE),
    "persistentvolumeclaims": (
        NAME, Column("Status", field("status.phase")), Column("Volume", field("spec.volumeName", "")),
        Column("Capacity", field("status.capacity.storage", "")), Column("Access Modes", _access),
        Column("StorageClass", field("spec.storageClassName", "")),
        Column("VolumeAttributesClass", _always("<unset>")), AGE,
        Column("VolumeMode", field("spec.volumeMode", ""), wide=True),
    ),
    "persistentvolumes": (
        NAME, Column("Capacity", field("spec.capacity.storage", "")), Column("Access Modes", _access),
        Column("Reclaim Policy", field("spec.persistentVolumeReclaimPolicy", "")),
        Column("Status", field("status.phase", "")),
        Column("Claim", _joined("spec.claimRef.namespace", "spec.claimRef.name")),
        Column("StorageClass", field("spec.storageClassName", "")), Column("Reason", field("status.reason", "")), AGE,
    ),
    "storageclasses.storage.k8s.io": (
        NAME, Column("Provisioner", field("provisioner")), Column("ReclaimPolicy", field("reclaimPolicy")),
        Column("VolumeBindingMode", field("volumeBindingMode")),
        Column("AllowVolumeExpansion", field("allowVolumeExpansion", False), "boolean"), AGE,
    ),
    "resourcequotas": (NAME, Column("Request", _quota("requests")), Column("Limit", _quota("limits")), AGE),
    "limitranges": (NAME, Column("Created At", field("metadata.creationTimestamp"))),
    "horizontalpodautoscalers.autoscaling": (
        NAME,
        Column("Reference", _joined("spec.scaleTargetRef.kind", "spec.scaleTargetRef.name")),
        Column("Targets", _targets), Column("MinPods", field("spec.minReplicas", "<unset>")),
        Column("MaxPods", field("spec.maxReplicas"), "integer"),
        Column("Replicas", field("status.currentReplicas", 0), "integer"), AGE,
    ),
    "jobs.batch": (
        NAME, Column("Status", _job_status),
        Column("Completions", lambda item, _: f"{at(item, 'status.succeeded', 0)}/{at(item, 'spec.completions', 1)}"),
        Column("Duration", _job_duration), AGE, *_images("spec.template.spec"), SELECTOR,
    ),
    "cronjobs.batch": (
        NAME, Column("Schedule", field("spec.schedule")), Column("Timezone", field("spec.timeZone")),
        Column("Suspend", lambda item, _: str(bool(at(item, "spec.suspend", False)))),
        Column("Active", lambda item, _: len(at(item, "status.active", [])), "integer"),
        Column("Last Schedule", _since("status.lastScheduleTime")), AGE,
        *_images("spec.jobTemplate.spec.template.spec"),
    ),
    "ingresses.networking.k8s.io": (
        NAME, Column("Class", field("spec.ingressClassName")), Column("Hosts", _hosts),
        Column("Address", lambda item, _: ",".join(each.get("ip", "") for each in
                                                   at(item, "status.loadBalancer.ingress", []))),
        Column("Ports", lambda item, _: "80, 443" if at(item, "spec.tls") else "80"), AGE,
    ),
    "ingressclasses.networking.k8s.io": (
        NAME, Column("Controller", field("spec.controller")), Column("Parameters", _always(NONE)), AGE,
    ),
    "networkpolicies.networking.k8s.io": (
        NAME, Column("Pod-Selector", lambda item, _: selector_text(at(item, "spec.podSelector"))), AGE,
    ),
    "poddisruptionbudgets.policy": (
        NAME, Column("Min Available", field("spec.minAvailable", "N/A")),
        Column("Max Unavailable", field("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", field("status.disruptionsAllowed", 0), "integer"), AGE,
    ),
    "roles.rbac.authorization.k8s.io": (NAME, Column("Created At", field("metadata.creationTimestamp"))),
    "clusterroles.rbac.authorization.k8s.io": (NAME, Column("Created At", field("metadata.creationTimestamp"))),
    **{
        f"{plural}.rbac.authorization.k8s.io": (
            NAME, Column("Role", _joined("roleRef.kind", "roleRef.name")), AGE,
            Column("Users", _subjects("User"), wide=True), Column("Groups", _subjects("Group"), wide=True),
            Column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
        )
        for plural in ("rolebindings", "clusterrolebindings")
    },
    "customresourcedefinitions.apiextensions.k8s.io": (NAME, Column("Created At", field("metadata.creationTimestamp"))),
    "leases.coordination.k8s.io": (NAME, Column("Holder", field("spec.holderIdentity", "")), AGE),
    "priorityclasses.scheduling.k8s.io": (
        NAME, Column("Value", field("value", 0), "integer"),
        Column("Global-Default", field("globalDefault", False), "boolean"), AGE,
        Column("PreemptionPolicy", field("preemptionPolicy", "PreemptLowerPriority")),
    ),
    "controllerrevisions.apps": (
        NAME, Column("Controller", lambda item, _: ",".join(each["name"] for each in
                                                            at(item, "metadata.ownerReferences", []))),
        Column("Revision", field("revision", 0), "integer"), AGE,
    ),
    "apiservices.apiregistration.k8s.io": (
        NAME, Column("Service", field("spec.service.name", "Local")), Column("Available", _always("True")), AGE,
    ),
    "componentstatuses": (
        NAME, Column("Status", _always("Healthy")), Column("Message", _always("ok")),
        Column("Error", _always("")),
    ),
}  # fmt: skip
"""By kind; another kind shows its name and age."""

__all__ = ["AGE", "COLUMNS", "NAME", "Column", "at", "human", "selector_text"]
