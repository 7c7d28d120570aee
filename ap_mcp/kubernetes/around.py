"""Reads what a change does to other objects: which selectors match differently, and from whom it takes traffic."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from anyio import create_task_group

from ap_mcp.aside import on_the_loop
from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.api import ClusterApi
from ap_mcp.kubernetes.around_lists import Lists, made_by
from ap_mcp.kubernetes.around_storage import storage_opened
from ap_mcp.kubernetes.effects import Around, Change
from ap_mcp.kubernetes.owners import controller_of
from ap_mcp.kubernetes.pods import has_ended, serves
from ap_mcp.kubernetes.secrets_read import (
    DEFAULT_ACCOUNT,
    TEMPLATES,
    does_without,
    gets_default_token,
    is_account,
    pod_spec,
)
from ap_mcp.kubernetes.selectors import selects
from ap_mcp.kubernetes.spec import UNKNOWN, effect_table
from ap_mcp.kubernetes.states import label_selector
from ap_mcp.kubernetes.steps import Step
from ap_mcp.kubernetes.volume_claims import replicas_of
from ap_mcp.vendor import get, items, mapping, number, strings, text, word

INGRESS = "Ingress.networking.k8s.io"
POLICY = "NetworkPolicy"
LABELS_AT = "/metadata/labels"
_BOOTSTRAP = "kubernetes.io/bootstrapping"
_CLASS = "/metadata/annotations/kubernetes.io~1ingress.class"


async def with_around(steps: Sequence[Step], api: ClusterApi, call: Sequence[Step] = ()) -> list[Step]:
    """Return steps that know what they do to other objects; nothing is read for those that can do nothing to any.

    Args:
        steps: to look at.
        api: the cluster.
        call: all steps of their call; if left out, there are no others.
    """
    lists = Lists(api, made_by(call or steps))
    return [replace(each, change=replace(each.change, around=await _around(each, lists))) for each in steps]


async def _around(step: Step, lists: Lists) -> Around | None:
    change = step.change
    if step.call is None or change.after is None or change.subresource not in ("", "scale"):
        return None
    if change.resource.full == INGRESS:
        return await _hosts_taken(change, lists)
    if change.verb == "create":
        return await _joined(change, lists)
    selected, unread = await _selected_otherwise(change, lists), dict[str, ApMcpError]()
    opened = await storage_opened(change, lists, unread)
    taken = (*await _traffic_joined(change, lists, unread), *await _room_taken(change, lists, unread)) if _starts(
        change) else ()  # fmt: skip
    if not opened and not taken and not unread:
        return selected
    found = selected or Around()
    return replace(found, opened=opened, taken=taken, unread={**found.unread, **unread})


# Selectors


@on_the_loop
async def _selected_otherwise(change: Change, lists: Lists) -> Around | None:
    """Return what selects an object, or the pods that it makes, differently once their labels change."""
    compared = [
        (kind, before, after)
        for place, kinds in _labelled(change)
        if (before := mapping(change.before, place)) != (after := mapping(change.after, place))
        for kind in kinds
    ]
    if not compared:
        return None
    places = {kind: "" if kind == POLICY else change.namespace for kind, *_ in compared}
    async with create_task_group() as group:
        for each in places.items():
            group.start_soon(lists.read, *each)
    gains, loses, unread = list[str](), list[str](), dict[str, ApMcpError]()
    for kind, before, after in compared:
        for body in await lists.of(kind, places[kind], unread):
            now, then = (_is_selected(kind, body, change.namespace, labels) for labels in (before, after))
            gains += [_named(kind, body, change.namespace)] if then - now else []
            loses += [_named(kind, body, change.namespace)] if now - then else []
    customs = effect_table().custom_selectors if POLICY in places else ()
    doubtful = await lists.of_custom(customs, change.namespace, unread)
    return Around(tuple(gains), tuple(loses), tuple(doubtful), unread=unread)


def _labelled(change: Change) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield where an object has labels that others select by, its own and those of its pods, and the kinds of these."""
    table = effect_table()
    if table.class_of(change.resource) == UNKNOWN:
        return
    yield LABELS_AT, table.selected_by.get(change.resource.kind, ())
    if place := _template(change.after):
        # A controller selects no pods of another one.
        yield place, tuple(each for each in table.selected_by["Pod"] if table.classes[each] != "workload")


def _template(body: Any) -> str:
    """Return where the labels of the pods stand that an object makes; empty if it makes none."""
    places = (each.removesuffix("/spec") for each in TEMPLATES)
    return next((f"{each}{LABELS_AT}" for each in places if get(body, each) is not None), "")


def _is_selected(kind: str, body: Any, namespace: str, labels: Mapping[str, str]) -> set[int]:
    """Return which of an object's selectors match labels, by their number."""
    return {number for number, each in enumerate(_selectors(kind, body, namespace)) if selects(each, labels)}


def _selectors(kind: str, body: Any, namespace: str) -> Iterator[Any]:
    """Yield the selectors of an object that may match pods of a namespace."""
    if kind != POLICY:
        yield get(body, "/spec/selector")
        return
    own = get(body, "/metadata/namespace", namespace) == namespace
    if own:
        yield get(body, "/spec/podSelector")
    for way, side in (("ingress", "from"), ("egress", "to")):
        for rule in items(body, f"/spec/{way}"):
            # Which namespaces a peer means is not asked: it may be this one.
            yield from (
                get(peer, "/podSelector") for peer in items(rule, f"/{side}") if own or "namespaceSelector" in peer
            )


def _named(kind: str, body: Any, namespace: str) -> str:
    place = text(get(body, "/metadata/namespace", namespace))
    return f"{kind} {'' if place == namespace else f'{word(place)}/'}{word(get(body, '/metadata/name'))}"


# Traffic


def _starts(change: Change) -> bool:
    """Say whether a workload that has no pods gets some, by its number of replicas or by being let go."""
    if effect_table().class_of(change.resource) != "workload":
        return False
    before, after = change.before, change.after
    let_go = get(before, "/spec/suspend") is True and get(after, "/spec/suspend") is not True
    return let_go or replicas_of(before) == 0 < replicas_of(after)


async def _joined(change: Change, lists: Lists) -> Around | None:
    """Return what a new object does to others, by its class."""
    its_class, unread = effect_table().class_of(change.resource), dict[str, ApMcpError]()
    if its_class == "config":
        return Around(awaited=await _awaited(change, lists, unread), unread=unread)
    if its_class != "workload":
        return None
    taken = (*await _traffic_joined(change, lists, unread), *await _room_taken(change, lists, unread))
    adopted = await _adopted(change, lists, unread)
    opened, rights = await storage_opened(change, lists, unread), await _rights(change, lists, unread)
    return Around(taken=taken, adopted=adopted, opened=opened, rights=rights, unread=unread)


async def _awaited(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> tuple[str, ...]:
    """Return the pods that read a new ConfigMap or Secret, and did without it so far."""
    return tuple(
        word(get(each, "/metadata/name"))
        for each in await lists.of("Pod", change.namespace, unread)
        if not has_ended(each) and change.name in does_without(get(each, "/spec"), change.resource.kind)
    )


async def _rights(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> tuple[str, ...]:
    """Return what gives rights to the default account of a namespace, if the pods of a new object get its token.

    What Kubernetes itself gives to every account opens nothing.
    """
    if not gets_default_token(pod_spec(change.after)):
        return ()
    found, account = list[str](), (change.namespace, DEFAULT_ACCOUNT)
    for kind, namespace in (("RoleBinding", change.namespace), ("ClusterRoleBinding", "")):
        for each in await lists.of(kind, namespace, unread):
            is_own = mapping(each, LABELS_AT).get(_BOOTSTRAP) == "rbac-defaults"
            if not is_own and any(is_account(one, *account) for one in items(each, "/subjects")):
                role = f"{word(get(each, '/roleRef/kind'))} {word(get(each, '/roleRef/name'))}"
                found.append(f"{role}, by {_named(kind, each, change.namespace if namespace else '')}")
    return tuple(found)


async def _traffic_joined(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> tuple[str, ...]:
    """Return the Services that other pods serve now, and that the pods of a new object serve as well."""
    labels = mapping(change.after, LABELS_AT if change.resource.kind == "Pod" else _template(change.after))
    taken = list[str]()
    for service in await lists.of("Service", change.namespace, unread) if labels else ():
        selector = get(service, "/spec/selector")
        if not selects(selector, labels):
            continue
        if any(map(serves, await lists.of("Pod", change.namespace, unread, label_selector(selector)))):
            name = word(get(service, "/metadata/name"))
            taken.append(f"a share of the traffic of Service {name}, which other pods serve now")
    return tuple(taken)


async def _room_taken(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> tuple[str, ...]:
    """Return that the pods of a new object may end others, by their priority, where there is no room for all."""
    name = text(get(pod_spec(change.after), "/priorityClassName"))
    classes = await lists.of("PriorityClass", "", unread) if name else []
    found = next((each for each in classes if get(each, "/metadata/name") == name), None)
    value = number(get(found, "/value")) or 0
    if value <= 0 or get(found, "/preemptionPolicy") == "Never":
        return ()
    return (f"room of pods of lower priority, which may be ended for it: PriorityClass {word(name)} is {value}",)


async def _adopted(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> tuple[str, ...]:
    """Return what a new controller selects and no other one has: it takes that over, and ends what is too much."""
    kinds = [kind for kind, by in effect_table().selected_by.items() if change.resource.kind in by]
    selector, adopted = get(change.after, "/spec/selector"), list[str]()
    for kind in kinds if selector else ():
        adopted += [
            f"{_named(kind, each, change.namespace)}, which no controller has now and this one may delete"
            for each in await lists.of(kind, change.namespace, unread)
            if controller_of(each) is None and not has_ended(each) and selects(selector, mapping(each, LABELS_AT))
        ]
    return tuple(adopted)


async def _hosts_taken(change: Change, lists: Lists) -> Around | None:
    """Return the hosts of an Ingress that others serve now, and those whose certificate becomes another one."""
    before, after = change.before, change.after
    hosts, certified = _hosts(after) - _hosts(before), _certified(after).items() - _certified(before).items()
    if not hosts and not certified:
        return None
    unread, taken = dict[str, ApMcpError](), list[str]()
    for other in await lists.of("Ingress", "", unread):
        if _is_same(other, change) or _apart(other, after):
            continue
        name = _named("Ingress", other, change.namespace)
        covered = sorted(each for each in hosts if any(_covers(own, each) for own in _hosts(other)))
        taken += [f"the traffic of {_host(each)}, which {name} serves now" for each in covered]
        theirs = _certified(other)
        taken += [
            f"the certificate of {_host(host)}, which {name} has from Secret {word(theirs[host])}"
            for host, secret in sorted(certified)
            if theirs.get(host, secret) != secret
        ]
    return Around(taken=tuple(taken), unread=unread)


def _hosts(ingress: Any) -> set[str]:
    """Return the hosts that an Ingress serves; the empty one stands for all that no other serves."""
    found = {text(get(each, "/host")).lower() for each in items(ingress, "/spec/rules")}
    more = mapping(ingress, "/metadata/annotations").get(effect_table().more_hosts, "")
    found |= {each.strip().lower() for each in more.split(",")} - {""}
    return found | ({""} if get(ingress, "/spec/defaultBackend") is not None else set())


def _certified(ingress: Any) -> dict[str, str]:
    """Return the Secret that each host of an Ingress has its certificate from."""
    every: Iterable[Any] = items(ingress, "/spec/tls")
    return {host.lower(): text(get(each, "/secretName")) for each in every for host in strings(each, "/hosts")}


def _covers(own: str, other: str) -> bool:
    """Say whether requests to a host go to an Ingress that serves another one, which may be a wildcard or none."""
    return own in ("", other) or (own.startswith("*.") and other.partition(".")[2] == own[2:])


def _apart(one: Any, other: Any) -> bool:
    """Say whether two Ingresses name different classes, and so are served by different controllers."""
    classes = [text(get(each, "/spec/ingressClassName") or get(each, _CLASS)) for each in (one, other)]
    return all(classes) and classes[0] != classes[1]


def _is_same(other: Any, change: Change) -> bool:
    return (get(other, "/metadata/namespace"), get(other, "/metadata/name")) == (change.namespace, change.name)


def _host(host: str) -> str:
    return f"host {word(host)}" if host else "every host that no other Ingress serves"
