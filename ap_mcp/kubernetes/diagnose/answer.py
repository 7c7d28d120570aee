"""`k8s_diagnose`: reads a workload, a namespace or a cluster, and says what does not work, why, and what to do."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from pydantic import Field

from ap_mcp.kubernetes.api import ClusterApi, cluster_api
from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import GRAVITIES, Finding, Gravity, Thing
from ap_mcp.kubernetes.diagnose.order import Cause, in_order
from ap_mcp.kubernetes.diagnose.reading import Reading, named_object
from ap_mcp.kubernetes.diagnose.related import concerns, of_kind, related_to
from ap_mcp.kubernetes.diagnose.rules import findings_of, starting_pods
from ap_mcp.kubernetes.diagnose.rules_containers import DNS
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.specs import CLUSTER
from ap_mcp.summaries.base import NextCall, Ours, Part, Result
from ap_mcp.vendor import word
from ap_mcp.wording import age, few, plural

if TYPE_CHECKING:
    from ap_mcp.plans import ToolContext

SHOWN, NAMED_PODS, CALLS, CALLS_EACH = 8, 3, 6, 2
"""Findings that are shown whole, pods of one that are named, next calls in all and for each finding."""


MANY = 300
"""Objects from which on a diagnosis works beside the event loop."""
_NOUN = re.compile(r"(?:container|init container|its|no|names|all|\d+) ")
"""What a sentence begins with that does not go on from the name of the thing."""


NO_EVENTS = "There are no events, which a cluster keeps for an hour only: what fails may say more once started again."


class FindingLine(Part):
    """Something that does not work, why, and what it is concluded from."""

    what: Ours
    gravity: Gravity
    since: str | None = None
    pods: Ours | None = None
    evidence: list[Ours] = Field(default_factory=list)
    also: list[Ours] = Field(default_factory=list)
    then: list[Ours] = Field(default_factory=list)


class Diagnosis(Result):
    """What does not work, likeliest cause first; `then` is what follows from it, `also` what has the same cause."""

    findings: list[FindingLine] = Field(default_factory=list)
    more: list[Ours] = Field(default_factory=list)
    starting: list[Ours] = Field(default_factory=list)
    total: int = 0
    looked_at: dict[str, int] = Field(default_factory=dict)
    not_read: list[Ours] = Field(default_factory=list)


RESULT = Diagnosis


@dataclass(frozen=True)
class Diagnosed:
    """A diagnosis before it is shaped.

    Attributes:
        causes: what does not work, in order.
        beside: how name resolution is, where that explains nothing of it.
        starting: how many pods of which workload are still starting.
        unread: what was not read, in sentences.
    """

    evidence: Evidence
    causes: Sequence[Cause]
    starting: Mapping[Thing, int]
    beside: Sequence[Cause] = ()
    unread: Sequence[str] = ()


async def run(arguments: Mapping[str, Any], context: "ToolContext", kinds: KnownKinds) -> Diagnosis:
    """Diagnose a workload, a namespace or a cluster.

    Raises:
        CallRefused: what is named does not exist.
        ApMcpError: a rule forbids all of it, or the cluster said no.
    """
    api = await cluster_api("k8s_diagnose", arguments[CLUSTER], context.reads, kinds)
    kind, name, namespace = (arguments.get(each, "") for each in ("kind", "name", "namespace"))
    found = await diagnosed(api, kind, name, namespace)
    return shaped(found, _scope(api, found.evidence.named, kind, namespace))


async def diagnosed(api: ClusterApi, kind: str = "", name: str = "", namespace: str = "") -> Diagnosed:
    """Read, and conclude; what rules the operator has decide about every read.

    Args:
        api: the cluster.
        kind: of what is asked about; empty for all kinds.
        name: likewise; empty for all of them.
        namespace: likewise; empty for all of them.

    Raises:
        CallRefused: what is named does not exist.
        ApMcpError: a rule forbids all of it, or the cluster said no.
    """
    named, of = None, ""
    reading = Reading(api, None, namespace)
    if name:
        named, item = await named_object(api, kind, name, namespace)
        reading = Reading(api, named, named.name if named.kind == "Namespace" else named.namespace)
        reading.lists[named.kind] = [item]
        reading.part.add(named.kind)
        if named.kind == "Namespace":
            reading.named = None
    elif kind:
        of = (await api.resource(kind)).kind
    await reading.first()
    first = await _aside(reading.evidence(), named, of, reading.namespace)
    await reading.second(first.evidence, first.causes)
    found = await _aside(reading.evidence(), named, of, reading.namespace)
    return replace(found, unread=reading.said_unread())


async def _aside(evidence: Evidence, named: Thing | None, of: str, namespace: str) -> Diagnosed:
    """Conclude; of many objects beside the event loop, for it takes a while."""
    if sum(map(len, evidence.lists.values())) < MANY:
        return _concluded(evidence, named, of, namespace)
    return await to_thread.run_sync(_concluded, evidence, named, of, namespace)


def _concluded(evidence: Evidence, named: Thing | None, of: str, namespace: str) -> Diagnosed:
    findings, things = findings_of(evidence), _things(evidence, named, of)
    counts = starting_pods(evidence, findings)
    starting = {each: count for each, count in counts.items() if things is None or each in things}
    causes = in_order(findings)
    is_asked_about = DNS in (things or ()) if named is not None else namespace in ("", DNS.namespace)
    beside = [] if is_asked_about else [each for each in causes if _is_beside(each, things)]
    narrowed = _narrowed([each for each in causes if each not in beside], things)
    return Diagnosed(evidence, narrowed, starting, beside)


def _is_beside(cause: Cause, things: frozenset[Thing] | None) -> bool:
    """Say whether a cause is that name resolution is not whole, but works, and explains nothing that is asked about."""
    if cause.finding.about != DNS or cause.finding.gravity == "critical":
        return False
    return not any(things is None or concerns(each, things) for each in cause.then)


def _things(evidence: Evidence, named: Thing | None, of: str) -> frozenset[Thing] | None:
    """Return the objects that a diagnosis is about; None if it is about all."""
    if of:
        return of_kind(evidence, of)
    return related_to(evidence, named) if named is not None and named.kind != "Namespace" else None


def _narrowed(causes: Sequence[Cause], things: frozenset[Thing] | None) -> list[Cause]:
    """Return the causes that have to do with what was asked about, or from which something follows that does.

    That names do not resolve has to do with everything.
    """
    if things is None:
        return list(causes)
    near = things | {DNS}
    return [
        each for each in causes if near & {*each.also} or any(concerns(one, near) for one in (each.finding, *each.then))
    ]


def _scope(api: ClusterApi, named: Thing | None, kind: str, namespace: str) -> str:
    if named is not None:
        return f"{named} of {api.name}"
    of = f"{word(kind)} in " if kind else ""
    return f"{of}{f'namespace {word(namespace)} of ' if namespace else ''}{api.name}"


def shaped(found: Diagnosed, scope: str) -> Diagnosis:
    """Shape a diagnosis for an agent.

    Args:
        found: the diagnosis.
        scope: what was asked about, in a sentence.
    """
    evidence, causes = found.evidence, found.causes
    shown, more = causes[:SHOWN], causes[SHOWN:]
    warnings = [f"Beside it: {sentence(evidence, each.finding)}" for each in found.beside]
    if causes and evidence.events is not None and not evidence.events:
        warnings.append(NO_EVENTS)
    return Diagnosis(
        summary=_summary(found, scope),
        findings=[_line(evidence, each) for each in shown],
        more=[sentence(evidence, each.finding) for each in more],
        starting=[f"{each}: {plural(count, 'pod')} still starting" for each, count in sorted(found.starting.items())],
        total=len(causes),
        looked_at={kind: len(every) for kind, every in evidence.lists.items() if every}
        | ({"Event": len(evidence.events)} if evidence.events else {}),
        not_read=list(found.unread),
        warnings=warnings,
        next=_next(shown),
    )


def sentence(evidence: Evidence, finding: Finding) -> str:
    """Return a finding in one sentence that names what it is about and how much of that works."""
    ready = evidence.ready(finding.about)
    state = f" ({ready[0]} of {ready[1]} ready)" if ready is not None and ready[1] else ""
    return f"{finding.about}{state}{': ' if state or _NOUN.match(finding.what) else ' '}{finding.what}."


def _line(evidence: Evidence, cause: Cause) -> FindingLine:
    finding, pods = cause.finding, [word(each) for each in cause.finding.pods]
    return FindingLine(
        what=sentence(evidence, finding),
        gravity=finding.gravity,
        since=age(finding.since, evidence.at),
        pods=f"{plural(len(pods), 'pod')}: {few(pods, NAMED_PODS)}" if pods else None,
        evidence=list(finding.evidence),
        also=[str(each) for each in cause.also],
        then=[sentence(evidence, each) for each in cause.then],
    )


def _summary(found: Diagnosed, scope: str) -> str:
    causes = found.causes
    but = " Not all could be read." if found.unread else ""
    starting = sum(found.starting.values())
    waits = f" {plural(starting, 'pod')} still starting." if starting else ""
    if not causes:
        seen = few([plural(len(every), kind) for kind, every in found.evidence.lists.items() if every], 4)
        return f"Nothing wrong found in {scope}.{waits}{but} Looked at {seen or 'nothing'}."
    counts = [
        plural(count, each, each if each == "critical" else "")
        for each in GRAVITIES
        if (count := sum(one.finding.gravity == each for one in causes))
    ]
    first = sentence(found.evidence, causes[0].finding)
    found_so_far = f"{plural(len(causes), 'finding')} in {scope}: {', '.join(counts)}."
    return f"{found_so_far}{waits}{but} Likeliest: {first}"


def _next(causes: Iterable[Cause]) -> list[NextCall]:
    calls: dict[str, NextCall] = {}
    for cause in causes:
        for each in cause.finding.next[:CALLS_EACH]:
            key = f"{each.tool} {sorted(each.arguments.items())}"
            calls.setdefault(key, each.model_copy(update={"why": f"{cause.finding.about}: {each.why}"}))
    return list(calls.values())[:CALLS]
