"""Shapes answers about releases: how they are, what they run with, and which revisions there are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from pydantic import Field

from ap_mcp.rules.deletion import unsuccessful
from ap_mcp.rules.phases import RELEASE, broken, described, succeeded, under_way
from ap_mcp.rules.release_objects import release_objects
from ap_mcp.rules.sayings import release_says
from ap_mcp.summaries.base import CURSOR, WORKLOADS, NextCall, Observation, Ours, Part, Result, summarises
from ap_mcp.summaries.pages import paged
from ap_mcp.summaries.revisions import changes_of, not_compared, read_revision
from ap_mcp.summaries.settings_shown import shown_settings
from ap_mcp.vendor import because, get, items, number, stamp, text, word
from ap_mcp.wording import plural

__all__ = ["release", "release_change", "release_deletion", "release_history", "release_list"]

NOT_REPORTED = "not reported"
SHOWN = 100
"""Releases on one page."""
STUCK, PAUSED = "stuck", "paused"
"""What a rollout is that does not go on by itself, as the reader of rollouts calls it."""
NAMED = 2
"""Rollouts that the summary says more of."""
UP_TO_THE_CHART = (
    "Which Secrets of the namespace its pods can read, and so show in their logs, is up to the chart's templates."
)
_SUPERSEDED = "SUPERSEDED"
"""What Helm calls a revision that is not the current one; the reference does not list it."""


class ReleaseLine(Part):
    """One release in a list."""

    name: str
    namespace: str
    status: str
    chart: str
    revision: int | None = None
    changed: str | None = None
    problem: str | None = None


class ReleaseList(Result):
    """The releases of a cluster, those in trouble first."""

    releases: list[ReleaseLine] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


class ReleaseState(Result):
    """One release: how it is and what it runs with."""

    name: str = ""
    namespace: str = ""
    cluster_id: str = ""
    status: str = ""
    chart: str = ""
    revision: int | None = None
    changed: str | None = None
    description: str | None = None
    problem: str | None = None
    objects: list[str] | None = None
    workloads: list[Ours] | None = None
    values: dict[str, Any] | None = None
    left_out: list[str] | None = None


class ReleaseChange(Result):
    """What an installation, an upgrade or a rollback has started."""

    name: str = ""
    namespace: str = ""
    status: str = ""
    chart: str = ""
    revision: int | None = None


class ReleaseDeletion(Result):
    """Which release is being removed."""

    name: str = ""
    namespace: str = ""


class RevisionLine(Part):
    """One revision of a release."""

    revision: int | None = None
    status: str
    chart: str
    changed: str | None = None
    note: str | None = None
    changes: list[Ours] = Field(default_factory=list)


class ReleaseHistory(Result):
    """The revisions of a release, the newest first, each with what it changed."""

    revisions: list[RevisionLine] = Field(default_factory=list)


@summarises("release_list", accepts=list)
def release_list(answer: Observation) -> ReleaseList:
    """List a cluster's releases."""
    lines = sorted((_release_line(each) for each in _flat(answer.body)), key=_urgency)
    counted = Counter(line.status for line in lines)
    states = ", ".join(f"{count} {_stated(status)}" for status, count in counted.most_common())
    failed = [] if CURSOR in answer.own else [line for line in lines if broken(RELEASE, line.status)]
    page = paged(answer, lines, SHOWN, lambda line: f"{line.namespace}/{line.name}")
    reads = [
        _call("get_release", answer, line, f"shows what is wrong with {_title(line.namespace, line.name)}")
        for line in failed[:1]
    ]
    return ReleaseList(
        summary=f"{plural(len(lines), 'release')}{': ' + states if states else ''}.",
        releases=page.items,
        shown=page.shown,
        total=page.total,
        warnings=[*page.warnings, *(f"{_title(line.namespace, line.name)} {_doing(line.status)}." for line in failed)],
        next=[*reads, *page.next],
    )


@summarises("release")
def release(answer: Observation) -> ReleaseState:
    """Show one release."""
    body = answer.body
    line = _release_line(body)
    found = shown_settings(answer, "It has")
    objects = release_objects(get(body, "/resources"))
    description = _described(body, line)
    workloads = items(answer.context, f"/{WORKLOADS}")
    pods = _pods(workloads)
    return ReleaseState(
        summary=f"{_standing(line)}{pods}{because(line.problem)}{f' {found.said}.' if found.is_part else ''}",
        name=line.name,
        namespace=line.namespace,
        cluster_id=text(get(body, "/cluster_id")),
        status=line.status,
        chart=line.chart,
        revision=line.revision,
        changed=line.changed,
        description=description or None,
        problem=line.problem,
        objects=None if objects is None else objects.lines,
        workloads=[_readiness(each) for each in workloads] or None,
        values=found.values,
        left_out=found.left_out or None,
        warnings=found.warnings,
        next=[*_not_ready(answer, line, workloads), *_after(answer, line), *found.next],
    )


def _described(body: Any, line: ReleaseLine) -> str:
    """Return what is said of a release beside its problem: what was done, and how it is while all goes well."""
    done = text(get(body, "/description"))
    if line.problem:
        return done if done != line.problem else ""
    says = release_says(body)
    return says if done in says else done if says in done else f"{done}; {says}"


def _pods(workloads: Sequence[Mapping[str, Any]]) -> str:
    """Say how many pods of a release's workloads are ready, and what is stuck; empty if that was not read."""
    ready = sum(min(_count(get(each, f"/{key}")) or 0 for key in ("ready", "wanted")) for each in workloads)
    wanted = sum(_count(get(each, "/wanted")) or 0 for each in workloads)
    stuck = [each for each in workloads if get(each, "/phase") == STUCK][:NAMED]
    said = "".join(f" {word(get(each, '/kind'))} {word(get(each, '/name'))}:{_rollout(each)}." for each in stuck)
    return f" {ready} of its {plural(wanted, 'pod')} ready.{said}" if workloads else ""


def _is_incomplete(workload: Mapping[str, Any]) -> bool:
    """Say whether pods of a workload are not ready, or its newest version is not in place."""
    return bool(get(workload, "/phase"))


def _readiness(workload: Mapping[str, Any]) -> str:
    kind, name, ready, wanted = (word(get(workload, f"/{key}")) for key in ("kind", "name", "ready", "wanted"))
    rollout = f",{_rollout(workload)}" if _is_incomplete(workload) else ""
    return f"{kind} {name}: {ready} of {wanted} ready{rollout}"


def _rollout(workload: Mapping[str, Any]) -> str:
    """Say how far a rollout is; what the cluster wrote in it is in quotation marks."""
    why = get(workload, "/why")
    return f" rollout {get(workload, '/phase')}{f': {why}' if why else ''}"


def _not_ready(answer: Observation, line: ReleaseLine, workloads: Sequence[Mapping[str, Any]]) -> Iterator[NextCall]:
    """Yield what leads on from a release whose pods are not all ready: to see why, and to wait if that may help."""
    unfinished = sorted(filter(_is_incomplete, workloads), key=lambda each: get(each, "/phase") != STUCK)
    for each in unfinished[:1]:
        kind, name = text(get(each, "/kind")).lower(), text(get(each, "/name"))
        where = {"cluster_id": answer.arguments.get("cluster_id"), "namespace": line.namespace}
        waits = {"kind": "rollout", "id": f"{kind}/{name}", **where}
        if get(each, "/phase") not in (STUCK, PAUSED):
            yield NextCall(
                tool="wait_for", arguments=waits, why="waits until its pods are ready, and says what is in the way"
            )
        why = "says why they are not ready"
        yield NextCall(tool="k8s_diagnose", arguments={**where, "kind": kind, "name": name}, why=why)


@summarises("release_change")
def release_change(answer: Observation) -> ReleaseChange:
    """Say what an installation, an upgrade or a rollback has started, or that it was only verified."""
    line = _release_line(answer.body)
    checked = answer.arguments.get("check_only") is True
    installs = answer.operation.method == "POST"
    return ReleaseChange(
        summary=_checked(line) if checked else f"{_standing(line)}{because(line.problem)}",
        name=line.name,
        namespace=line.namespace,
        status="" if checked else line.status,
        chart=line.chart,
        revision=None if checked else line.revision,
        warnings=[UP_TO_THE_CHART] if installs and not checked else [],
        next=[] if checked else _after(answer, line),
    )


@summarises("release_deletion", accepts=str | dict | None)
def release_deletion(answer: Observation) -> ReleaseDeletion:
    """Say that a removal has started; the service says no more than a word."""
    namespace, name = (text(answer.arguments.get(key)) for key in ("namespace", "name"))
    return ReleaseDeletion(
        summary=f"The release {_title(namespace, name)} is being deleted.",
        namespace=namespace,
        name=name,
        warnings=unsuccessful(answer.body),
    )


@summarises("release_history", accepts=list)
def release_history(answer: Observation) -> ReleaseHistory:
    """List the revisions of a release, and what differs from each to the next."""
    bodies = sorted(_flat(answer.body), key=_newness, reverse=True)
    read = [read_revision(each) for each in bodies]
    lines = [_revision(*each) for each in zip(bodies, changes_of(read), strict=True)]
    name = word("/".join(text(answer.arguments.get(key)) for key in ("namespace", "name")))
    current = f" {lines[0].revision}," if lines and lines[0].revision is not None else ""
    now = f"; the current one,{current} {_doing(lines[0].status)}" if lines else ""
    return ReleaseHistory(
        summary=f"{name} has {plural(len(lines), 'revision')}{now}.",
        revisions=lines,
        warnings=not_compared(read),
        next=_back(answer, lines),
    )


def _back(answer: Observation, lines: list[RevisionLine]) -> list[NextCall]:
    """Propose a rollback to the newest older revision that is not broken; that a deployed one works is not known."""
    good = next((line for line in lines[1:] if not broken(RELEASE, line.status)), None)
    if not lines or good is None or good.revision is None:
        return []
    arguments = {**answer.arguments, "action": "rollback", "revision": good.revision}
    doubt = "" if broken(RELEASE, lines[0].status) else ", if what is deployed does not work"
    return [NextCall(tool="update_release", arguments=arguments, why=f"goes back to revision {good.revision}{doubt}")]


def _flat(body: Any) -> list[dict[str, Any]]:
    """Return the releases of a list, also of one that holds lists, as the reference draws it."""
    found: list[dict[str, Any]] = []
    for each in body if isinstance(body, list) else [body]:
        found += items(each)
    return found


def _release_line(body: Any) -> ReleaseLine:
    status = text(get(body, "/status")) or NOT_REPORTED
    problem = release_says(body)
    return ReleaseLine(
        namespace=text(get(body, "/namespace")),
        name=text(get(body, "/name")),
        status=status,
        chart=_chart(body),
        revision=_count(get(body, "/version")),
        changed=stamp(get(body, "/update_at")),
        problem=problem if problem and not (succeeded(RELEASE, status) or under_way(RELEASE, status)) else None,
    )


def _newness(body: Any) -> float:
    found = number(get(body, "/version"))
    return -inf if found is None else found


def _revision(body: Any, changes: list[str]) -> RevisionLine:
    line = _release_line(body)
    notes = dict.fromkeys((text(get(body, "/description")), release_says(body)))
    return RevisionLine(
        revision=line.revision,
        status=line.status,
        chart=line.chart,
        changed=line.changed,
        note="; ".join(filter(None, notes)) or None,
        changes=changes,
    )


def _chart(body: Any) -> str:
    return " ".join(word(each) for key in ("chart_name", "chart_version") if (each := text(get(body, f"/{key}"))))


def _count(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _urgency(line: ReleaseLine) -> tuple[int, str, str]:
    rank = 0 if broken(RELEASE, line.status) else 1 if under_way(RELEASE, line.status) else 2
    return rank, line.namespace, line.name


def _title(namespace: str, name: str) -> str:
    found = "/".join(filter(None, (namespace, name)))
    return word(found) if found else "the release"


def _doing(status: str) -> str:
    if status.upper() == _SUPERSEDED:
        return "is superseded"
    unknown = "in a status that is not reported" if status == NOT_REPORTED else word(status)
    return described(RELEASE, status) or f"is {unknown}"


def _stated(status: str) -> str:
    return status if status == NOT_REPORTED else word(status)


def _standing(line: ReleaseLine) -> str:
    chart = f" ({line.chart})" if line.chart else ""
    revision = f", revision {line.revision}" if line.revision is not None else ""
    return f"{_title(line.namespace, line.name)}{chart}{revision} {_doing(line.status)}."


def _checked(line: ReleaseLine) -> str:
    what = _title(line.namespace, line.name) + (f" ({line.chart})" if line.chart else "")
    if broken(RELEASE, line.status):
        why = because(line.problem) or " No reason is given."
        return f"The service would not accept this for {what}: it {_doing(line.status)}. Nothing has changed.{why}"
    return f"The service would accept this for {what}; it was only verified, nothing has changed."


def _call(tool: str, answer: Observation, line: ReleaseLine, why: str) -> NextCall:
    given = answer.arguments
    arguments = {
        "cluster_id": given.get("cluster_id", ""),
        "namespace": line.namespace or given.get("namespace", ""),
        "name": line.name or given.get("name", ""),
    }
    return NextCall(tool=tool, arguments=arguments, why=why)


def _after(answer: Observation, line: ReleaseLine) -> list[NextCall]:
    """Say what to do about a release that is in trouble."""
    if not broken(RELEASE, line.status):
        return []
    return [_call("get_release_history", answer, line, "it may hold a revision to roll back to with update_release")]
