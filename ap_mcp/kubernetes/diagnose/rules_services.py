"""Services that lead nowhere: no pod selected, none ready, a port that no pod has, no address from outside."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import WORKLOADS, Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, labels_of, thing_of
from ap_mcp.kubernetes.diagnose.rules_probes import port_of, ports_of
from ap_mcp.kubernetes.events import event_text, event_time
from ap_mcp.kubernetes.pods import is_terminating, serves
from ap_mcp.vendor import flag, get, items, moment, number, quoted, text, word
from ap_mcp.wording import few, plural

OF_SERVICE = "kubernetes.io/service-name"
SLOW = timedelta(minutes=2)


def services_without_pods(evidence: Evidence) -> Iterator[Finding]:
    """Find Services behind which no pod is ready, or none listens."""
    addresses = _addresses(evidence)
    for service in evidence.of("Service"):
        thing = thing_of(service, "Service")
        yield from _without_balancer(evidence, service, thing)
        selector = labels_of(service, "/spec/selector")
        if not selector or text(get(service, "/spec/type")) == "ExternalName":
            continue
        ready, known = addresses.get(thing, (0, False))
        matching = evidence.selected(thing.namespace, selector)
        if ready or any(serves(pod) for pod in matching):
            yield from _wrong_port(evidence, service, thing, matching)
        elif matching:
            yield from _none_ready(evidence, service, thing, matching)
        elif evidence.is_whole("Pod") or known:
            yield from _selects_nothing(evidence, thing, selector)


def _addresses(evidence: Evidence) -> dict[Thing, tuple[int, bool]]:
    """Return how many ready addresses each Service has, and whether that is known."""
    found: dict[Thing, tuple[int, bool]] = {}
    for each in evidence.of("Endpoints"):
        count = sum(len(items(subset, "/addresses")) for subset in items(each, "/subsets"))
        found[thing_of(each, "Service")] = (count, True)
    for each in evidence.of("EndpointSlice"):
        owner = labels_of(each).get(OF_SERVICE)
        if owner:
            thing = Thing("Service", thing_of(each).namespace, owner)
            ready = sum(flag(get(end, "/conditions/ready")) is not False for end in items(each, "/endpoints"))
            found[thing] = (found.get(thing, (0, True))[0] + ready, True)
    return found


def _selects_nothing(evidence: Evidence, thing: Thing, selector: dict[str, str]) -> Iterator[Finding]:
    said = ",".join(f"{key}={value}" for key, value in selector.items())
    counts = {(key, value): len(evidence.selected(thing.namespace, {key: value})) for key, value in selector.items()}
    none = [f"{key}={value}" for (key, value), count in counts.items() if not count]
    some = [
        f"{plural(count, 'pod')} {'has' if count == 1 else 'have'} {word(f'{key}={value}')}"
        for (key, value), count in counts.items()
        if count
    ]
    makers = [
        (kind, each)
        for kind in WORKLOADS
        for each in evidence.of(kind)
        if thing_of(each).namespace == thing.namespace
        and selector.items() <= labels_of(each, "/spec/template/metadata/labels").items()
    ]
    owners = [next(reversed(list(evidence.owners(each, kind)))) for kind, each in makers]
    stopped = [
        str(thing_of(each, kind))
        for kind, each in makers
        if number(get(each, "/spec/replicas", 1)) == 0 and kind in ("Deployment", "StatefulSet")
    ]
    if stopped and all(number(get(each, "/spec/replicas", 1)) == 0 for _, each in makers):
        what, fault, gravity = f"has no endpoints: {few(stopped)} is scaled to 0", "scaled_to_zero", "notice"
    elif makers:
        what, fault, gravity = (
            f"has no endpoints: {few(sorted({str(each) for each in owners}))} has no pod",
            "no_endpoints",
            "critical",
        )
    else:
        where = (
            f"no pod in {word(thing.namespace)} has {few([word(each) for each in none])}"
            if none
            else "no one pod has all of these labels"
        )
        more = f" ({few(some)})" if some else ""
        what, fault, gravity = f"has no endpoints: it selects {word(said)}, and {where}{more}", "selector", "critical"
        near = _nearest(evidence, thing, selector)
        what += f"; closest is {near}" if near else ""
    facts = (f"spec.selector: {word(said)}; endpoints: none",)
    calls = (evidence.show(thing, "shows its selector; k8s_patch corrects it, or the labels of the pod template"),)
    yield Finding(fault, thing, what, facts, gravity, None, (), calls, after=frozenset(owners))  # type: ignore[arg-type]


def _nearest(evidence: Evidence, thing: Thing, selector: dict[str, str]) -> str:
    """Return the workload whose pods a selector nearly selects, and where they differ."""
    best, shared = "", 0
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for each in evidence.of(kind):
            labels = labels_of(each, "/spec/template/metadata/labels")
            alike = sum(labels.get(key) == value for key, value in selector.items())
            if thing_of(each).namespace == thing.namespace and alike > shared:
                differ = [
                    word(f"{key}={labels[key]}") if key in labels else f"no label {word(key)}"
                    for key in selector
                    if labels.get(key) != selector[key]
                ]
                best, shared = f"{thing_of(each, kind)}, whose pods have {few(differ)}", alike
    return best


def _none_ready(evidence: Evidence, service: Any, thing: Thing, matching: Sequence[Any]) -> Iterator[Finding]:
    if flag(get(service, "/spec/publishNotReadyAddresses")):
        return
    owners = frozenset(evidence.workload_of(pod) for pod in matching)
    if all(evidence.age_of(pod) < SLOW for pod in matching):
        return
    named = few(sorted(map(str, owners)), 2)
    what = f"has no ready address: none of its {plural(len(matching), 'pod')} ({named}) is ready"
    calls = (evidence.show(thing, "shows its selector and ports"),)
    yield Finding("no_ready_endpoint", thing, what, ("endpoints: none ready",), next=calls, after=owners)


def _wrong_port(evidence: Evidence, service: Any, thing: Thing, matching: Sequence[Any]) -> Iterator[Finding]:
    """Find ports of a Service that lead to ports which its pods do not have."""
    alive = [pod for pod in matching if not is_terminating(pod)]
    for port in items(service, "/spec/ports"):
        target = get(port, "/targetPort")
        target = get(port, "/port") if target is None else target
        have: Counter[str] = Counter()
        proven = False
        for pod in alive:
            for container in (*items(pod, "/spec/containers"), *items(pod, "/spec/initContainers")):
                declared = ports_of(container)
                have.update({*declared, *map(str, declared.values())})
                proven = proven or any(
                    port_of(get(container, f"/{kind}"), container) == target
                    for kind in ("readinessProbe", "livenessProbe")
                    if serves(pod)
                )
        if not alive or str(target) in have or proven or (not have and not _is_name(target)):
            continue
        named = " by that name" if _is_name(target) else ""
        there = few(sorted(each for each in have if each.isdecimal() or _is_name(target))) or "none"
        way = f"port {word(get(port, '/port'))} goes to targetPort {word(target)}"
        what = f"leads nowhere: its {way}, which its pods do not declare{named}; they declare {there}"
        facts = (f"spec.ports: port={word(get(port, '/port'))} targetPort={word(target)}",)
        calls = (evidence.show(thing, "shows its ports; k8s_patch corrects targetPort"),)
        # A number need not be declared to be listened on; a name must be.
        yield Finding(
            "target_port",
            thing,
            what,
            facts,
            "critical" if _is_name(target) else "warning",
            None,
            (),
            calls,
            part=str(target),
        )


def _is_name(port: Any) -> bool:
    return isinstance(port, str) and not port.isdecimal()


def _without_balancer(evidence: Evidence, service: Any, thing: Thing) -> Iterator[Finding]:
    """Find a Service that waits for its load balancer."""
    if text(get(service, "/spec/type")) != "LoadBalancer" or items(service, "/status/loadBalancer/ingress"):
        return
    events = [each for each in evidence.events_of(service, "Service") if text(get(each, "/type")) == "Warning"]
    if evidence.age_of(service) < SLOW and not events:
        return
    said = next((quoted(event_text(each)) for each in events), "")
    what = f"has no address from outside: {said or 'its load balancer is not made, and no event says why'}"
    facts = ("status.loadBalancer: empty", *(evidence.event(each) for each in events[:1]))
    began = event_time(events[-1]) if events else moment(get(service, "/metadata/creationTimestamp"))
    yield Finding(
        "load_balancer",
        thing,
        what,
        facts,
        "critical",
        began,
        (),
        (evidence.show(thing, "shows its annotations"),),
        part="balancer",
    )
