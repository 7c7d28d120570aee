"""The impact of an operation that has no builder of its own: what it acts on, and with which arguments."""

import json
from collections.abc import Iterator
from typing import Any

from ap_mcp.guard.impacts.base import CLUSTER, Case, Impact, ImpactDraft, about_cluster, gather, must_belong, read
from ap_mcp.masking import mask
from ap_mcp.vendor import get, text, word
from ap_mcp.wording import clean

CLUSTER_READ = "get_cluster"
ARGUMENT_LIMIT = 200
DOES = {
    "read": "reads only",
    "write": "changes things or starts to cost money",
    "disrupt": "may interrupt what runs, or cannot simply be put back",
    "destroy": "removes something for good, or cannot be undone",
    "secret": "hands out credentials",
}
_NAMES = ("/metadata/name", "/spec/addonTemplateName", "/name", "/metadata/uid", "/id")
_OWNERS = ("/spec/clusterID", "/cluster_id")
_PHASES = ("/status/phase", "/status/status", "/status")
_VERSIONS = ("/spec/version", "/version", "/chart_version")


async def generic(case: Case) -> Impact:
    """Say what is acted on, from the read that the spec names, and with which arguments."""
    target = case.operation.target
    reads = {}
    if case.cluster_id:
        reads["cluster"] = read(CLUSTER_READ, cluster_id=case.cluster_id)
    if target and target.argument != CLUSTER:
        reads["thing"] = read(target.read, **{name: case.arguments[name] for name in _needed(case)})
    answers = await gather(case, **reads)
    cluster = answers.needed("cluster") if "cluster" in reads else None
    thing = answers.needed("thing") if "thing" in reads else None
    title = case.operation.title
    name = _name(case, thing if thing is not None else cluster)
    draft = ImpactDraft(case, name, f"{title}: {DOES.get(case.effect, 'needs care')}.")
    if thing is not None:
        _about(draft, thing)
    if cluster is not None:
        about_cluster(draft, cluster, whole=thing is None)
    _about_arguments(draft)
    draft.unknown.append("what else this may touch: nothing more is known about this operation")
    return draft.impact()


def _needed(case: Case) -> Iterator[str]:
    """Yield the arguments of the call that the read of its target takes too."""
    read = case.operation.target.read if case.operation.target else ""
    taken = {CLUSTER, case.operation.target.argument if case.operation.target else "", "namespace"}
    yield from (name for name in case.arguments if name in taken and read)


def _name(case: Case, thing: Any) -> str:
    names = (text(get(thing, pointer)) for pointer in _NAMES)
    return next((each for each in names if each), text(case.arguments.get("name")) or case.operation.id)


def _about(draft: ImpactDraft, thing: Any) -> None:
    for pointer in _OWNERS:
        if draft.case.cluster_id and get(thing, pointer) is not None:
            must_belong(draft.case, thing, pointer, "target")
    for label, pointers in (("name", _NAMES), ("version", _VERSIONS), ("phase", _PHASES)):
        value = next((each for pointer in pointers if isinstance(each := get(thing, pointer), str)), "")
        if value:
            draft.fact(label, word(value))
            draft.stable[label] = text(value)


def _about_arguments(draft: ImpactDraft) -> None:
    """Note the arguments of the call, secrets masked."""
    shown = mask({name: value for name, value in draft.case.arguments.items() if name != CLUSTER})
    for name, value in shown.items():
        given = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        draft.fact(f"argument {name}", word(clean(given, ARGUMENT_LIMIT)))
