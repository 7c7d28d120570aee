"""Which objects have to do with one that a caller named: what it needs, what it owns, what leads to it."""

from collections.abc import Iterator
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import WORKLOADS, Evidence, claims_of
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, labels_of, thing_of
from ap_mcp.vendor import get, items, text

TEMPLATE = "/spec/template/metadata/labels"


def related_to(evidence: Evidence, named: Thing) -> frozenset[Thing]:
    """Return an object, what it depends on at any depth, and what leads to it."""
    found = {named}
    waiting = [named, *_above(evidence, named)]
    while waiting:
        thing = waiting.pop()
        found.add(thing)
        waiting += [each for each in _below(evidence, thing) if each not in found]
    namespace = named.name if named.kind == "Namespace" else named.namespace
    return frozenset(found | {Thing("Namespace", "", namespace)})


def of_kind(evidence: Evidence, kind: str) -> frozenset[Thing]:
    """Return all objects of a kind, and what they depend on or own."""
    found = set[Thing]()
    for each in evidence.of(kind):
        thing = thing_of(each, kind)
        waiting = [thing]
        while waiting:
            thing = waiting.pop()
            found.add(thing)
            waiting += [below for below in _below(evidence, thing) if below not in found]
    return frozenset(found)


def concerns(finding: Finding, things: frozenset[Thing]) -> bool:
    """Say whether a finding has to do with one of some objects."""
    pods = {Thing("Pod", finding.about.namespace, name) for name in finding.pods}
    return finding.about in things or bool(pods & things)


def _below(evidence: Evidence, thing: Thing) -> Iterator[Thing]:
    """Yield what an object needs, or owns."""
    item, here = evidence.find(thing), thing.namespace
    if thing.kind in (*WORKLOADS, "CronJob"):
        yield from evidence.owned.get(thing, ())
        yield from (thing_of(pod, "Pod") for pod in evidence.pods_by_owner.get(thing, ()))
    elif thing.kind == "Pod":
        yield from (Thing("PersistentVolumeClaim", here, claim) for claim in claims_of(item))
        yield Thing("Node", "", text(get(item, "/spec/nodeName")))
        yield evidence.workload_of(item) if item is not None else thing
    elif thing.kind == "Ingress":
        yield from (Thing("Service", here, name) for name in _services_of(item))
    elif thing.kind == "HorizontalPodAutoscaler":
        yield _target_of(item)
    elif thing.kind in _SELECT:
        yield from _selected(evidence, here, labels_of(item, _SELECT[thing.kind]))
    elif thing.kind == "PersistentVolumeClaim":
        yield from (evidence.workload_of(pod) for pod in evidence.users.get(thing, ()))


_SELECT = {"Service": "/spec/selector", "PodDisruptionBudget": "/spec/selector/matchLabels"}


def _selected(evidence: Evidence, namespace: str, selector: dict[str, str]) -> Iterator[Thing]:
    """Yield the workloads whose pods a selector selects, also those that have none."""
    if not selector:
        return
    yield from (evidence.workload_of(pod) for pod in evidence.selected(namespace, selector))
    for kind in WORKLOADS:
        for each in evidence.of(kind):
            if thing_of(each).namespace == namespace and selector.items() <= labels_of(each, TEMPLATE).items():
                yield thing_of(each, kind)


def _target_of(scaler: Any) -> Thing:
    kind, name = (text(get(scaler, f"/spec/scaleTargetRef/{key}")) for key in ("kind", "name"))
    return Thing(kind, thing_of(scaler).namespace, name)


def _above(evidence: Evidence, thing: Thing) -> Iterator[Thing]:
    """Yield what leads to an object, or is about it: its Services, their Ingresses, its autoscaler and its budget."""
    item = evidence.find(thing)
    if item is None:
        return
    owner = (
        evidence.workload_of(item) if thing.kind == "Pod" else next(reversed(list(evidence.owners(item, thing.kind))))
    )
    labels = labels_of(item, "/metadata/labels" if thing.kind == "Pod" else TEMPLATE)
    services = {thing} if thing.kind == "Service" else set(_near(evidence, thing, labels))
    yield from services
    for ingress in evidence.of("Ingress"):
        if any(Thing("Service", thing_of(ingress).namespace, name) in services for name in _services_of(ingress)):
            yield thing_of(ingress, "Ingress")
    for scaler in evidence.of("HorizontalPodAutoscaler"):
        target = _target_of(scaler)
        if target in (thing, owner):
            yield thing_of(scaler, "HorizontalPodAutoscaler")
    for budget in evidence.of("PodDisruptionBudget"):
        selector = labels_of(budget, "/spec/selector/matchLabels")
        if selector and thing_of(budget).namespace == thing.namespace and selector.items() <= labels.items():
            yield thing_of(budget, "PodDisruptionBudget")


def _near(evidence: Evidence, thing: Thing, labels: dict[str, str]) -> Iterator[Thing]:
    """Yield the Services that select an object's pods, or would but for a part of their selector."""
    for service in evidence.of("Service"):
        selector = labels_of(service, "/spec/selector")
        same_place = thing_of(service).namespace == thing.namespace
        if same_place and any(labels.get(key) == value for key, value in selector.items()):
            full = selector.items() <= labels.items()
            others = evidence.selected(thing.namespace, selector)
            if full or not others:
                yield thing_of(service, "Service")


def _services_of(ingress: Any) -> Iterator[str]:
    backends = [get(ingress, "/spec/defaultBackend")]
    backends += [get(path, "/backend") for rule in items(ingress, "/spec/rules") for path in items(rule, "/http/paths")]
    for backend in backends:
        if name := text(get(backend, "/service/name")):
            yield name
