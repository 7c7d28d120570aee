"""What a person is shown before something in a cluster is changed: by verb and kind, read from what is there now."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ap_mcp.guard.impacts.base import Impact, pair, production_sign
from ap_mcp.kubernetes.changes import paths_changed
from ap_mcp.kubernetes.effects import REPLICAS
from ap_mcp.kubernetes.impacts import data, objects, rights, secrets, traffic, workloads
from ap_mcp.kubernetes.impacts.notes import Notes
from ap_mcp.kubernetes.owners import controller_of
from ap_mcp.kubernetes.pods import is_ready
from ap_mcp.kubernetes.secrets_read import pod_spec
from ap_mcp.kubernetes.steps import Step
from ap_mcp.rules.clusters import tags_of
from ap_mcp.specs import Effect
from ap_mcp.vendor import get, moment, text, word
from ap_mcp.wording import age, few, plural

if TYPE_CHECKING:
    from ap_mcp.kubernetes.writes import Outlook

ON_DELETION: Mapping[str, Callable[[Notes], Awaitable[None]]] = {
    "Pod": workloads.about_pod,
    "Namespace": data.about_namespace,
    "PersistentVolumeClaim": data.about_claim,
    **dict.fromkeys(workloads.MAKES_PODS, workloads.about_deletion),
}
ON_ANY_CHANGE: Mapping[str, Callable[[Notes], Awaitable[None]]] = {
    "PersistentVolume": data.about_volume,
    "Node": workloads.about_node,
    "Service": traffic.about_service,
    "NetworkPolicy.networking.k8s.io": traffic.about_policy,
    "PodDisruptionBudget.policy": traffic.about_budget,
    "Secret": secrets.about_secret,
    "ConfigMap": secrets.about_users,
}
NAMED = 20
"""Objects of a collection that are named before the rest is counted."""


async def impact_of(tool: str, outlook: "Outlook", effect: Effect, now: datetime) -> Impact:
    """Return what a call would do, for a person to read.

    Args:
        tool: that is called.
        outlook: what the call comes to.
        effect: how grave it is.
        now: the time that ages are measured against.
    """
    acting = outlook.acting
    if outlook.collection:
        return _of_collection(tool, outlook, effect, now)
    notes = [await noted(step, outlook, now) for step in acting]
    if len(notes) == 1:
        return _of_one(tool, outlook, effect, notes[0])
    return _of_several(tool, outlook, effect, notes)


async def noted(step: Step, outlook: "Outlook", now: datetime) -> Notes:
    """Return what is noted about one step."""
    notes, change = Notes(step, outlook.api, now), step.change
    notes.deed = step.said
    notes.final = change.verb == "delete" and step.effects.keys() == {"destroy"}
    objects.about_object(notes)
    objects.about_managers(notes)
    objects.about_checks(notes)
    if not step.posts:
        objects.about_changes(notes)
        traffic.about_others(notes)
        objects.about_finalizers(notes)
        await objects.about_unknown_kind(notes)
    for builder in _builders(step):
        await builder(notes)
    return notes


def _builders(step: Step) -> Iterator[Callable[[Notes], Awaitable[None]]]:
    """Yield what tells more about a step, by its verb and kind."""
    change, kind = step.change, step.change.resource.full
    deletes = change.verb == "delete"
    if step.posts and change.subresource == "token":
        yield rights.about_token
    elif (deletes or step.posts) and kind in ON_DELETION:
        yield ON_DELETION[kind]
    if kind in ON_ANY_CHANGE:
        yield ON_ANY_CHANGE[kind]
    elif kind.endswith(".rbac.authorization.k8s.io"):
        yield rights.about_rights
    scaled = change.verb == "change" and change.after is not None and kind in workloads.SCALED
    if scaled and REPLICAS in paths_changed(change.before, change.after):
        yield workloads.about_scale
    if not deletes and pod_spec(change.after) is not None:
        yield workloads.about_template


def _cluster_facts(outlook: "Outlook") -> tuple[list[tuple[str, str]], list[str]]:
    body = outlook.api.body
    tags = few([pair(key, value) for key, value in sorted(tags_of(body).items())]) or "none"
    facts = [("cluster", f"{outlook.api.name}, id {word(outlook.api.cluster)}"), ("cluster tags", tags)]
    sign = production_sign(body)
    return facts, [f"The cluster looks like production: {sign}."] if sign else []


def _cluster_seen(outlook: "Outlook") -> list[Any]:
    """Return what a person is shown of the cluster, for the fingerprint."""
    return [outlook.api.cluster, outlook.api.name, tags_of(outlook.api.body)]


def _of_one(tool: str, outlook: "Outlook", effect: Effect, notes: Notes) -> Impact:
    facts, warnings = _cluster_facts(outlook)
    name = notes.change.name or text(get(notes.change.after, "/metadata/name")) or notes.change.resource.kind
    return Impact(
        operation=tool,
        effect=effect,
        name=name,
        sentence=f"{_capital(notes.deed)} in cluster {outlook.api.name}.",
        facts=(*facts, *notes.facts),
        changes=tuple(notes.changes),
        goes=tuple(notes.goes),
        stays=tuple(notes.stays),
        warnings=(*notes.warnings, *warnings),
        unknown=tuple(notes.unknown),
        stable={"cluster": _cluster_seen(outlook), "step": notes.step.facts(), "seen": notes.stable},
        deed=f"{_capital(notes.deed)} in {outlook.api.name}.",
        place=f"in {outlook.api.name}.",
        final=notes.final,
        destroys="destroy" in outlook.effects,
    )


def _of_several(tool: str, outlook: "Outlook", effect: Effect, every: Sequence[Notes]) -> Impact:
    """Return the impact of several documents: the name to type is the cluster's."""
    facts, warnings = _cluster_facts(outlook)
    done = few([each.step.said for each in every], 4)
    sentence = f"{plural(len(every), 'change')} in cluster {outlook.api.name}, in this order: {done}."

    def lines(attribute: str) -> tuple[str, ...]:
        return tuple(f"{each.step.thing}: {line}" for each in every for line in getattr(each, attribute))

    return Impact(
        operation=tool,
        effect=effect,
        name=outlook.api.name,
        sentence=sentence,
        facts=(
            *facts,
            *((each.step.said, ", ".join(sorted(each.step.effects))) for each in every),
            *((f"{each.step.thing}: {label}", value) for each in every for label, value in each.facts),
        ),
        changes=lines("changes"),
        goes=lines("goes"),
        stays=lines("stays"),
        warnings=(*lines("warnings"), *warnings),
        unknown=lines("unknown"),
        stable={"cluster": _cluster_seen(outlook), "steps": [[each.step.facts(), each.stable] for each in every]},
        deed=f"{plural(len(every), 'change')} in {outlook.api.name}: {done}.",
        final=any(each.final for each in every),
        destroys="destroy" in outlook.effects,
    )


def _of_collection(tool: str, outlook: "Outlook", effect: Effect, now: datetime) -> Impact:
    """Return the impact of deleting what selectors match: bound to the very objects that were listed."""
    acting = outlook.acting
    resource, namespace = acting[0].change.resource, acting[0].change.namespace
    facts, warnings = _cluster_facts(outlook)
    lives: list[Any] = [each.change.before for each in acting]
    names = [word(each.change.name) for each in acting]
    made = sorted(at for each in lives if (at := moment(get(each, "/metadata/creationTimestamp"))))
    back = sum(1 for each in lives if controller_of(each) is not None)
    count = plural(len(acting), resource.kind, resource.plural)
    way = "all by one request" if acting[0].shared else "one after the other"
    place = f"namespace {word(namespace)}" if namespace else "the whole cluster"
    where = f"{'of' if namespace else 'in'} {outlook.api.name}."
    facts.append(("kind", f"{resource.kind} ({resource.api_version})"))
    facts.append(("namespace", word(namespace) if namespace else "none"))
    if made:
        facts += [("oldest", age(made[0], now) or ""), ("newest", age(made[-1], now) or "")]
    facts += [("chosen", each) for each in acting[0].options]
    goes = [few(names, NAMED)]
    if resource.full == "Pod":
        goes[0] += f" ({sum(map(is_ready, lives))} ready)"
    warned = [f"{back} of them have a controller, which makes others."] if back else []
    warned += [f"{plural(held, 'object')} stay until their finalizers are done." for held in [
        sum(1 for each in lives if get(each, "/metadata/finalizers"))] if held]  # fmt: skip
    warned += [f"The cluster warns: {each}" for each in dict.fromkeys(line for one in acting for line in one.warnings)]
    warned += [f"Not checked by the cluster beforehand: {each}." for each in dict.fromkeys(
        one.unchecked for one in acting if one.unchecked)]  # fmt: skip
    return Impact(
        operation=tool,
        effect=effect,
        name=namespace or outlook.api.name,
        sentence=f"Deletes {count} in {place} of cluster {outlook.api.name}, {way}.",
        facts=tuple((label, value) for label, value in facts if value),
        goes=tuple(goes),
        stays=("what is in other namespaces",) if namespace else (),
        warnings=(*warned, *warnings),
        stable={
            "cluster": _cluster_seen(outlook),
            "uids": sorted(text(get(each, "/metadata/uid")) for each in lives),
            "options": list(acting[0].options),
        },
        deed=f"Delete {count}{f' in {word(namespace)}' if namespace else ''} {where}",
        place=where,
        final=effect == "destroy",
        destroys="destroy" in outlook.effects,
    )


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]
