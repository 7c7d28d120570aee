"""The impact of an operation that has no builder of its own, from what the spec says about it.

`target` names the thing and the read that shows it, `consequences` say what follows from the call. Where the request
body replaces settings of the thing, each one that changes is shown before and after, as long as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

from ap_mcp.arguments import meets
from ap_mcp.binding import bind
from ap_mcp.filling import fill_in
from ap_mcp.guard.impacts.base import (
    CLUSTER,
    Answers,
    Case,
    Impact,
    ImpactDraft,
    Read,
    about_cluster,
    gather,
    must_belong,
    read,
    refused,
)
from ap_mcp.guard.impacts.before_after import about_argument, about_settings
from ap_mcp.masking import mask
from ap_mcp.rules.phases import phases_of
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.specs import Consequence, load_catalog
from ap_mcp.vendor import dated, get, items, moment, text, word, written

CLUSTER_READ = "get_cluster"
DOES = {
    "read": "reads only",
    "write": "changes things or starts to cost money",
    "disrupt": "may interrupt what runs, or cannot simply be put back",
    "destroy": "removes something for good, or cannot be undone",
    "secret": "hands out credentials",
}
NOTHING_SAID = "what else this may touch: nothing more is known about this operation"
_NAMES = ("/metadata/name", "/spec/addonTemplateName", "/name", "/metadata/uid", "/id")
_IDS = ("/metadata/uid", "/id")
_OWN_NAMES = ("/metadata/name", "/name")
_OWNERS = ("/spec/clusterID", "/cluster_id")
_PHASES = ("/status/phase", "/status/status", "/status")
_VERSIONS = ("/spec/version", "/version", "/chart_version")


async def generic(case: Case) -> Impact:
    """Say what is acted on, what changes there and what follows, from the reads and sentences that the spec names."""
    reads = _reads(case)
    answers = await gather(case, **reads)
    cluster = answers.needed("cluster") if "cluster" in reads else None
    thing = _thing(case, answers.needed("thing")) if "thing" in reads else None
    seen = cluster if thing is None else thing
    _must_be_asked_for(case, thing)
    _must_have_ended(case, seen)
    _must_be_before(case, seen)
    found = following(case)
    draft = ImpactDraft(case, _name(case, thing, cluster), _sentence(case, found))
    draft.deed = f"{case.operation.title}: {word(draft.name)}."
    if thing is not None:
        _about(draft, thing)
    if cluster is not None:
        about_cluster(draft, cluster, whole=thing is None)
    if target := case.operation.target:
        for label, pointer in target.facts.items():
            _fact(draft, label, get(seen, pointer))
        if target.settings is not None:
            about_settings(draft, target, seen, await _sent(case, reads, answers))
    _about_arguments(draft)
    for each in found:
        draft.goes += each.goes
        draft.stays += each.stays
        draft.unknown += each.unknown
    if not found:
        draft.unknown.append(NOTHING_SAID)
    return draft.impact()


def _reads(case: Case) -> dict[str, Read]:
    """Return the reads to make, each once: the cluster, and the thing in it."""
    reads = {}
    target = case.operation.target
    if case.cluster_id:
        reads["cluster"] = read(CLUSTER_READ, cluster_id=case.cluster_id)
    if target and not (target.read == CLUSTER_READ and case.cluster_id):
        taken = load_catalog()[target.read].arguments
        reads["thing"] = read(target.read, **{name: value for name, value in case.arguments.items() if name in taken})
    return reads


async def _sent(case: Case, reads: Mapping[str, Read], answers: Answers) -> Any:
    """Return the JSON that the call would send."""

    async def read_once(operation: str, **arguments: Any) -> Any:
        name = next((name for name, made in reads.items() if made == read(operation, **arguments)), None)
        return answers.needed(name) if name else await case.read(operation, **arguments)

    filled = await fill_in(case.operation, case.arguments, read_once)
    body = bind(case.operation, case.arguments, project_id="-", filled=filled.values).body
    return json.loads(body) if body else {}


def _thing(case: Case, body: Any) -> Any:
    """Return what was read, or the entry of it that the call names.

    Raises:
        CallRefused: the list has no such entry.
    """
    target = case.operation.target
    if target is None or target.item is None:
        return body
    wanted = case.arguments[target.argument]
    entry = next((each for each in items(body, target.item.list) if get(each, target.item.id) == wanted), None)
    if entry is None:
        raise refused(f"{target.read} shows no {target.argument} {word(wanted)}", f"{target.read} shows what there is.")
    return entry


def _must_be_asked_for(case: Case, thing: Any) -> None:
    """Refuse a call if what was read for it says that it is another thing than the call names.

    Raises:
        CallRefused: naming both.
    """
    target = case.operation.target
    if target is None or target.item is not None or target.argument == CLUSTER:
        return
    wanted = str(case.arguments.get(target.argument, ""))
    places = _IDS if target.argument.endswith("_id") else _OWN_NAMES
    reported = [text(each) for pointer in places if isinstance(each := get(thing, pointer), str) and each]
    if reported and wanted.casefold() not in [each.casefold() for each in reported]:
        raise refused(f"{target.argument} {word(wanted)} was asked for, and {word(reported[0])} was answered")


def _must_have_ended(case: Case, thing: Any) -> None:
    """Refuse a call on something that is still under way, where the spec says that it must have ended.

    Raises:
        CallRefused: naming the phase, and how to follow it.
    """
    target = case.operation.target
    if target is None or target.ended is None:
        return
    phase, wait = get(thing, target.ended.phase_at), phases_of(target.ended.kind)
    if not wait.under_way(phase):
        return
    given = {name: str(case.arguments[name]) for name in wait.argument if name in case.arguments}
    after = how_to_wait(wait.operation, _standing_at(wait.phase_at, phase), **given)
    what = f"{target.ended.kind.replace('_', ' ')} {word(case.arguments[target.argument])}"
    raise refused(f"{what} is {word(phase)}; {case.operation.id} acts only on one that has ended", after)


def _must_be_before(case: Case, thing: Any) -> None:
    """Refuse a time that is not before the one that the thing allows; what is no time is left to the service.

    Raises:
        CallRefused: naming both times.
    """
    target = case.operation.target
    for name, label in target.before.items() if target else ():
        given, limit = moment(case.arguments.get(name)), moment(get(thing, target.facts[label] if target else ""))
        if given is not None and limit is not None and given >= limit:
            raise refused(f"{name} {written(given)} must be before the {label}, {written(limit)}")


def _standing_at(pointer: str, value: Any) -> Any:
    """Return an object in which a value stands at a JSON pointer."""
    for step in reversed(pointer.split("/")[1:]):
        value = {step: value}
    return value


def following(case: Case) -> list[Consequence]:
    """Return what the spec says to follow from a call."""
    every = case.operation.consequences
    return [each for each in every if each.condition is None or meets(each.condition, case.arguments)]


def _sentence(case: Case, found: list[Consequence]) -> str:
    does = f"{case.operation.title}: {DOES.get(case.effect, 'needs care')}."
    return " ".join([does, *(each.happens for each in found if each.happens)])


def _name(case: Case, thing: Any, cluster: Any) -> str:
    """Return the name of the thing; of one without a name that of its cluster, else what the call names it by.

    Only a call that names nothing at all, as one that creates something without a name, goes by its operation.
    """
    target = case.operation.target
    given = [target.argument] if target else []
    given += ["name", *(each for each, argument in case.operation.arguments.items() if argument.path_parameter)]
    named = [text(get(body, pointer)) for body in (thing, cluster) if body is not None for pointer in _NAMES]
    named += [text(case.arguments.get(each)) for each in given]
    return next((each for each in named if each), case.operation.id)


def _about(draft: ImpactDraft, thing: Any) -> None:
    """Note what the thing is, and check that it is part of the cluster that the call names."""
    for pointer in _OWNERS:
        if draft.case.cluster_id and get(thing, pointer) is not None:
            must_belong(draft.case, thing, pointer, "target")
    for label, pointers in (("name", _NAMES), ("version", _VERSIONS), ("phase", _PHASES)):
        said = next((each for pointer in pointers if isinstance(each := get(thing, pointer), str)), "")
        _fact(draft, label, said)


def _fact(draft: ImpactDraft, label: str, value: Any) -> None:
    shown = dated(value)
    # Masked before it is cut: what a cut leaves of a secret may not look like one any more.
    draft.fact(label, word(dated(mask({label: value})[label])) if shown else None)
    if shown:
        draft.stable[label] = shown


def _about_arguments(draft: ImpactDraft) -> None:
    """Note with which arguments it is called; changed settings are shown already."""
    operation = draft.case.operation
    replaces = operation.target is not None and operation.target.settings is not None
    for name in draft.case.arguments:
        is_setting = replaces and all(place.startswith("/") for place in operation.arguments[name].places)
        if name != CLUSTER and not is_setting:
            about_argument(draft, name)
