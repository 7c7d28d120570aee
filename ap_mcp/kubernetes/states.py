"""Says in a sentence how an object is, with the facts of its kind; pure, on objects that are masked already."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ap_mcp.kubernetes.pods import containers_of, is_healthy, not_scheduled, status_of
from ap_mcp.kubernetes.rollouts import condition, count, rollout_of
from ap_mcp.vendor import as_object, flattened, get, items, mapping, moment, quoted, strings, text, word
from ap_mcp.wording import age, few, plural

FACTS = 12
"""Facts that are shown of a kind that nothing is known about."""
_NEGATIVE = ("Pressure", "Unavailable", "Failure", "Failed", "Degraded", "Stalled", "Remaining", "Limited", "Pending")
_NEGATIVE_TYPES = frozenset({"Suspended", "DisruptionTarget", "Resizing", "Terminating", "FailureTarget"})


@dataclass(frozen=True, slots=True)
class State:
    """How an object is.

    Attributes:
        sentence: without a subject: `2 of 3 ready, rollout done`.
        healthy: False if it is surely not as it should be.
        facts: what one chooses by, by name.
    """

    sentence: str
    healthy: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


def state_of(full: str, body: Any, now: datetime) -> State:
    """Return how an object is.

    Args:
        full: its kind with its group.
        body: the object, masked.
        now: to measure ages.
    """
    found = _READERS.get(full, _any)(body, now)
    since = moment(get(body, "/metadata/deletionTimestamp"))
    if since is None:
        return found
    held = [word(each) for each in strings(body, "/metadata/finalizers")]
    ago = f" since {at}" if (at := age(since, now)) else ""
    waits = f", held by the finalizers {few(held)}" if held else ""
    return State(f"being deleted{ago}{waits}; {found.sentence}", healthy=False, facts=found.facts)


def matters(entry: Any) -> bool:
    """Say whether a condition reports something that is not as it should be."""
    kind, status = text(get(entry, "/type")), get(entry, "/status")
    negative = kind.endswith(_NEGATIVE) or kind in _NEGATIVE_TYPES
    return bool(status != ("False" if negative else "True"))


def _workload(kind: str) -> Callable[[Any, datetime], State]:
    def read(body: Any, _: datetime) -> State:
        rollout = rollout_of(kind, body)
        if rollout is None:
            raise TypeError(f"{kind} rolls nothing out")
        why = f": {rollout.why}" if rollout.why else ""
        sentence = f"{rollout.ready} of {rollout.wanted} ready, rollout {rollout.phase}{why}"
        strategy = get(body, "/spec/strategy/type") or get(body, "/spec/updateStrategy/type")
        facts = {
            "revision": mapping(body, "/metadata/annotations").get("deployment.kubernetes.io/revision"),
            "strategy": strategy,
            "selector": _selector(get(body, "/spec/selector")),
        }
        return State(sentence, rollout.is_complete, facts)

    return read


def _replica_set(body: Any, _: datetime) -> State:
    wanted, ready = count(body, "/spec/replicas", 1), count(body, "/status/readyReplicas")
    return State(f"{ready} of {wanted} ready", ready >= wanted, {"selector": _selector(get(body, "/spec/selector"))})


def _pod(body: Any, _: datetime) -> State:
    every = [each for each in containers_of(body) if not each.is_init]
    sentence = f"{status_of(body)}, {sum(each.ready for each in every)} of {plural(len(every), 'container')} ready"
    if why := not_scheduled(body):
        sentence += f"; no place for it: {quoted(why, 400)}"
    elif said := text(get(body, "/status/message"), 400):
        sentence += f"; {quoted(said, 400)}"
    facts = {
        "node": get(body, "/spec/nodeName"),
        "ip": get(body, "/status/podIP"),
        "service_account": get(body, "/spec/serviceAccountName"),
    }
    return State(sentence, is_healthy(body), facts)


def _job(body: Any, now: datetime) -> State:
    wanted, done, failed = count(body, "/spec/completions", 1), count(body, "/status/succeeded"), _failed(body)
    facts = {"started": _ago(body, "/status/startTime", now), "ended": _ago(body, "/status/completionTime", now)}
    broken = condition(body, "Failed")
    if get(broken, "/status") == "True":
        why = f"{word(get(broken, '/reason'))}: {quoted(get(broken, '/message'))}"
        return State(f"failed after {plural(failed, 'failed pod')}: {why}", healthy=False, facts=facts)
    if get(condition(body, "Complete"), "/status") == "True":
        return State(f"complete, {done} of {wanted} done", facts=facts)
    if get(body, "/spec/suspend") is True:
        return State(f"suspended, {done} of {wanted} done", facts=facts)
    return State(
        f"running: {count(body, '/status/active')} active, {done} of {wanted} done, {failed} failed", facts=facts
    )


def _failed(body: Any) -> int:
    return count(body, "/status/failed")


def _cron_job(body: Any, now: datetime) -> State:
    last = _ago(body, "/status/lastScheduleTime", now)
    suspended = "suspended, " if get(body, "/spec/suspend") is True else ""
    active = len(items(body, "/status/active"))
    sentence = f"{suspended}{plural(active, 'job')} running, last started {f'{last} ago' if last else 'never'}"
    facts = {
        "schedule": get(body, "/spec/schedule"),
        "time_zone": get(body, "/spec/timeZone"),
        "last_success": _ago(body, "/status/lastSuccessfulTime", now),
        "concurrency": get(body, "/spec/concurrencyPolicy"),
    }
    return State(sentence, facts=facts)


def _service(body: Any, _: datetime) -> State:
    kind = text(get(body, "/spec/type")) or "ClusterIP"
    outside = _addresses(body) or strings(body, "/spec/externalIPs")
    waits = kind == "LoadBalancer" and not outside
    sentence = f"{word(kind)}" + (", its load balancer has no address yet" if waits else "")
    ports = [_port(each) for each in items(body, "/spec/ports")]
    facts = {
        "cluster_ip": get(body, "/spec/clusterIP"),
        "address": few(outside) if outside else None,
        "ports": few(ports) if ports else None,
        "selector": _selector(get(body, "/spec/selector")),
        "external_name": get(body, "/spec/externalName"),
    }
    return State(sentence, not waits, facts)


def served_by(state: State, slices: Iterable[Any]) -> State:
    """Return how a Service with a selector is, with whether ready pods are behind it.

    Args:
        state: as the Service itself reports it.
        slices: its EndpointSlices.
    """
    every = [end for each in slices for end in items(each, "/endpoints")]
    ready = sum(get(each, "/conditions/ready") is not False for each in every)
    facts = {**state.facts, "ready_endpoints": ready}
    if ready:
        return State(state.sentence, state.healthy, facts)
    none = "its selector matches no pod that has an address"
    why = f"{plural(len(every), 'pod')} {'is' if len(every) == 1 else 'are'} not ready" if every else none
    return State(f"{state.sentence}, no ready pod is behind it: {why}", healthy=False, facts=facts)


def _port(port: Any) -> str:
    target = get(port, "/targetPort")
    to = f"→{text(target)}" if target is not None and target != get(port, "/port") else ""
    return f"{text(get(port, '/port'))}{to}/{text(get(port, '/protocol')) or 'TCP'}"


def _ingress(body: Any, _: datetime) -> State:
    outside = _addresses(body)
    routes = [
        f"{text(get(rule, '/host')) or '*'}{text(get(path, '/path')) or '/'}→{_backend(get(path, '/backend'))}"
        for rule in items(body, "/spec/rules")
        for path in items(rule, "/http/paths")
    ]
    facts = {
        "class": get(body, "/spec/ingressClassName"),
        "address": few(outside) if outside else None,
        "routes": few(routes) if routes else None,
        "default": _backend(found) if (found := get(body, "/spec/defaultBackend")) else None,
        "tls": few([text(get(each, "/secretName")) for each in items(body, "/spec/tls")]) or None,
    }
    return State("has an address" if outside else "no address yet", bool(outside), facts)


def _backend(backend: Any) -> str:
    port = get(backend, "/service/port/number") or get(backend, "/service/port/name")
    name = get(backend, "/service/name") or get(backend, "/resource/name")
    return f"{text(name)}:{text(port)}" if port else text(name)


def _claim(body: Any, _: datetime) -> State:
    phase = text(get(body, "/status/phase")) or "Unknown"
    facts = {
        "size": get(body, "/status/capacity/storage") or get(body, "/spec/resources/requests/storage"),
        "class": get(body, "/spec/storageClassName"),
        "volume": get(body, "/spec/volumeName"),
        "access": few(strings(body, "/spec/accessModes")) or None,
    }
    return State(word(phase), phase == "Bound", facts)


def _volume(body: Any, _: datetime) -> State:
    phase = text(get(body, "/status/phase")) or "Unknown"
    claim = get(body, "/spec/claimRef")
    facts = {
        "size": get(body, "/spec/capacity/storage"),
        "class": get(body, "/spec/storageClassName"),
        "claim": f"{text(get(claim, '/namespace'))}/{text(get(claim, '/name'))}" if claim else None,
        "when_released": get(body, "/spec/persistentVolumeReclaimPolicy"),
    }
    return State(word(phase), phase != "Failed", facts)


def _autoscaler(body: Any, now: datetime) -> State:
    low, high = count(body, "/spec/minReplicas", 1), count(body, "/spec/maxReplicas")
    now_there, wanted = count(body, "/status/currentReplicas"), count(body, "/status/desiredReplicas")
    active = get(condition(body, "ScalingActive"), "/status")
    blind = "; it cannot scale, see its conditions" if active == "False" else ""
    target = get(body, "/spec/scaleTargetRef")
    facts = {
        "target": f"{text(get(target, '/kind'))}/{text(get(target, '/name'))}",
        "metrics": few([_metric(each) for each in items(body, "/spec/metrics")]) or None,
        "last_scaled": _ago(body, "/status/lastScaleTime", now),
    }
    return State(f"{now_there} replicas, {wanted} wanted, between {low} and {high}{blind}", active != "False", facts)


def _metric(metric: Any) -> str:
    kind = text(get(metric, "/type"))
    inner = get(metric, f"/{kind[:1].lower()}{kind[1:]}")
    name = text(get(inner, "/name") or get(inner, "/metric/name"))
    target = next((value for key, value in flattened(get(inner, "/target")).items() if key != "type"), "")
    return f"{name}={target}" if name else kind


def _node(body: Any, _: datetime) -> State:
    ready = get(condition(body, "Ready"), "/status") == "True"
    closed = ", closed to new pods" if get(body, "/spec/unschedulable") is True else ""
    facts = {
        "cpu": get(body, "/status/allocatable/cpu"),
        "memory": get(body, "/status/allocatable/memory"),
        "pods": get(body, "/status/allocatable/pods"),
        "version": get(body, "/status/nodeInfo/kubeletVersion"),
    }
    return State(f"{'ready' if ready else 'not ready'}{closed}", ready, facts)


def _phase(body: Any, _: datetime) -> State:
    phase = text(get(body, "/status/phase")) or "Unknown"
    return State(word(phase), phase not in ("Failed", "Unknown", "Terminating"))


def _entries(body: Any, _: datetime) -> State:
    held = sum(len(as_object(get(body, f"/{each}"))) for each in ("data", "stringData", "binaryData"))
    kind = text(get(body, "/type"))
    fixed = ", cannot be changed" if get(body, "/immutable") is True else ""
    return State(f"{plural(held, 'key')}{fixed}", facts={"type": kind or None})


def _budget(body: Any, _: datetime) -> State:
    have, want = count(body, "/status/currentHealthy"), count(body, "/status/desiredHealthy")
    allowed = count(body, "/status/disruptionsAllowed")
    facts = {
        "min_available": get(body, "/spec/minAvailable"),
        "max_unavailable": get(body, "/spec/maxUnavailable"),
        "selector": _selector(get(body, "/spec/selector")),
    }
    return State(f"{have} healthy of {want} that must be, {plural(allowed, 'pod')} may be evicted now", facts=facts)


def _role(body: Any, _: datetime) -> State:
    rules = [
        f"{'|'.join(_words(each, '/verbs'))} {'|'.join(_words(each, '/resources') or _words(each, '/nonResourceURLs'))}"
        for each in items(body, "/rules")
    ]
    return State(plural(len(rules), "rule"), facts={"rules": few(rules)} if rules else {})


def _binding(body: Any, _: datetime) -> State:
    subjects = [_subject(each) for each in items(body, "/subjects")]
    role = f"{text(get(body, '/roleRef/kind'))} {text(get(body, '/roleRef/name'))}"
    return State(f"gives {plural(len(subjects), 'subject')} {quoted(role)}", facts={"subjects": few(subjects) or None})


def _subject(subject: Any) -> str:
    place = f"{text(get(subject, '/namespace'))}/" if get(subject, "/namespace") else ""
    return f"{text(get(subject, '/kind'))} {place}{text(get(subject, '/name'))}"


def _any(body: Any, _: datetime) -> State:
    """Read a kind that nothing is known about by what most of them have: a phase, or conditions."""
    phase = next((found for each in ("phase", "state", "status") if (found := _word(body, each))), "")
    ready = next((each for kind in ("Ready", "Available", "Healthy", "Synced") if (each := condition(body, kind))), {})
    healthy = get(ready, "/status", "True") == "True"
    said = f" ({text(get(ready, '/reason'))})" if get(ready, "/reason") and not healthy else ""
    shown = f"{text(get(ready, '/type'))}={text(get(ready, '/status'))}{said}" if ready else ""
    facts = dict(list(_scalars(get(body, "/spec"))) + list(_scalars(get(body, "/status"), "status.")))
    sentence = "; ".join(quoted(each) for each in (phase, shown) if each) or "reports no state"
    return State(sentence, healthy, dict(list(facts.items())[:FACTS]))


def _word(body: Any, name: str) -> str:
    found = get(body, f"/status/{name}")
    return text(found) if isinstance(found, str) else ""


def _scalars(value: Any, before: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        kept = {key: each for key, each in value.items() if key != "conditions"}
        yield from ((f"{before}{key}", each) for key, each in flattened(kept).items() if each != "")


def _selector(selector: Any) -> str | None:
    """Return a selector as it is written in label_selector."""
    found = label_selector(selector)
    return found or None


def label_selector(selector: Any) -> str:
    """Return a selector of an object in the form of a query; empty if it selects nothing that way."""
    labels = get(selector, "/matchLabels")
    if labels is None and isinstance(selector, Mapping) and "matchExpressions" not in selector:
        labels = selector
    parts = [f"{key}={value}" for key, value in labels.items()] if isinstance(labels, Mapping) else []
    for each in items(selector, "/matchExpressions"):
        key, operator, values = text(get(each, "/key")), get(each, "/operator"), ",".join(_words(each, "/values"))
        parts += [
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}.get(
                str(operator), f"!{key}"
            )
        ]
    return ",".join(parts)


def _words(body: Any, pointer: str) -> list[str]:
    found = get(body, pointer)
    return [text(each) or '""' for each in found] if isinstance(found, list) else []


def _addresses(body: Any) -> list[str]:
    every = items(body, "/status/loadBalancer/ingress")
    return [text(get(each, "/ip") or get(each, "/hostname")) for each in every]


def _ago(body: Any, pointer: str, now: datetime) -> str | None:
    return age(moment(get(body, pointer)), now)


_READERS: Mapping[str, Callable[[Any, datetime], State]] = {
    "Deployment.apps": _workload("Deployment"),
    "StatefulSet.apps": _workload("StatefulSet"),
    "DaemonSet.apps": _workload("DaemonSet"),
    "ReplicaSet.apps": _replica_set,
    "ReplicationController": _replica_set,
    "Pod": _pod,
    "Job.batch": _job,
    "CronJob.batch": _cron_job,
    "Service": _service,
    "Ingress.networking.k8s.io": _ingress,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "HorizontalPodAutoscaler.autoscaling": _autoscaler,
    "Node": _node,
    "Namespace": _phase,
    "ConfigMap": _entries,
    "Secret": _entries,
    "PodDisruptionBudget.policy": _budget,
    "Role.rbac.authorization.k8s.io": _role,
    "ClusterRole.rbac.authorization.k8s.io": _role,
    "RoleBinding.rbac.authorization.k8s.io": _binding,
    "ClusterRoleBinding.rbac.authorization.k8s.io": _binding,
}
