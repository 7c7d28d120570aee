"""Shapes answers about clusters: how they are, what a change has started, and how they are reached."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from ap_mcp.rules.clusters import TAGS, phase_of, standing, tags_of
from ap_mcp.rules.deletion import CONFIRMED, Chosen, answered, left_out
from ap_mcp.rules.phases import ADDON, CLUSTER, broken, described, phases_of, succeeded, verdict
from ap_mcp.specs.waits import IDLE
from ap_mcp.summaries.base import CURSOR, TAG, TELLING, NextCall, Observation, Ours, Part, Result, summarises
from ap_mcp.summaries.pages import paged
from ap_mcp.vendor import (
    SAID_LIMIT,
    TEXT_LIMIT,
    because,
    flag,
    get,
    items,
    loaded,
    moment,
    named,
    quoted,
    reported,
    said,
    stamp,
    strings,
    text,
    word,
)
from ap_mcp.wording import age, few, plural

DESCRIBED = 80
"""Characters of a description in a list."""
SHOWN, WARNED = 90, 3
"""Clusters on one page, and those whose trouble is also warned about; the ones after the page are named."""
_CHANGEABLE = {"alias": "alias", "description": "description", "eni_subnet_ids": "pod subnets"}
_ADDONS = "/metadata/annotations/installedAddonInstances"
_ENDPOINTS, _SUBNETS = "/status/endpoints", "/spec/eniNetwork/subnets"
_DETAILS = {
    "alias": "/metadata/alias",
    "platform": "/spec/platformVersion",
    "upgraded_from": "/spec/extendParam/upgradefrom",
    "vpc_id": "/spec/hostNetwork/vpc",
    "subnet_id": "/spec/hostNetwork/subnet",
    "service_cidr": "/spec/serviceNetwork/IPv4CIDR",
    "enterprise_project_id": "/spec/extendParam/enterpriseProjectId",
}


class ClusterLine(Part):
    """One cluster in a list."""

    id: str
    name: str
    alias: str | None = None
    phase: str
    version: str
    age: str | None = None
    description: str | None = None
    tags: str | None = None
    addons: str | None = None
    problem: str | None = None


class ClusterList(Result):
    """The clusters of the project, those in trouble first; of a long list, what is on later pages by name only."""

    clusters: list[ClusterLine] = Field(default_factory=list)
    more: list[str] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


class ClusterState(Result):
    """One cluster as it stands."""

    id: str = ""
    name: str = ""
    phase: str = ""
    problem: str | None = None
    job_id: str | None = None
    version: str = ""
    age: str | None = None
    description: str | None = None
    tags: Annotated[dict[str, str] | None, TELLING] = None
    eni_subnet_ids: list[str] | None = None
    endpoints: Annotated[list[str] | None, TELLING] = None
    addons: Annotated[list[str] | None, TELLING] = None
    details: dict[str, str] | None = None


class ClusterChange(Result):
    """What can be changed of a cluster, after a change."""

    cluster_id: str = ""
    name: str = ""
    alias: str | None = None
    description: str | None = None
    eni_subnet_ids: list[str] | None = None


class ClusterCreation(Result):
    """What a creation has started."""

    cluster_id: str = ""
    name: str = ""
    job_id: str | None = None
    version: str | None = None


class ClusterDeletion(Result):
    """What a deletion has started, and what goes with the cluster."""

    cluster_id: str = ""
    name: str = ""
    job_id: str | None = None
    removes: list[Ours] | None = None
    keeps: list[Ours] | None = None


@summarises("cluster_list", section="items")
def cluster_list(answer: Observation) -> ClusterList:
    """List clusters, one line each."""
    every = items(answer.body, "/items")
    wanted = text(answer.own.get(TAG))
    having = [each for each in every if _has_tag(each, wanted)] if wanted else every
    made = [(_cluster_line(answer, each), each) for each in having]
    made.sort(key=lambda each: _urgency(each[0]))
    lines = [line for line, _ in made]
    counted = Counter(line.phase or "unknown" for line in lines)
    counts = ", ".join(f"{count} {word(phase)}" for phase, count in counted.most_common())
    page = paged(answer, lines, SHOWN, lambda line: line.id)
    later = lines[lines.index(page.items[-1]) + 1 :] if page.next else []
    begins = CURSOR not in answer.own
    troubled = [(line, body) for line, body in made if begins and _in_trouble(line)]
    ill = [(line, failed) for line, body in made if begins and (failed := _failed_addons(body))]
    reads = [_explaining(line, _state(body, answer.now)) for line, body in troubled[:WARNED]]
    reads += [_list_addons(line.id, f"{word(line.name)}: shows what is wrong with them") for line, _ in ill[:1]]
    return ClusterList(
        summary=f"{_how_many(len(lines), len(every), wanted)}{': ' + counts if counts else ''}.",
        clusters=page.items,
        more=[f"{word(line.name)} {word(line.phase)} {word(line.version)}" for line in later],
        shown=page.shown,
        total=page.total,
        warnings=[*page.warnings, *_list_doubts([line for line, _ in troubled], ill, later)],
        next=[*reads, *page.next],
    )


@summarises("cluster")
def cluster(answer: Observation) -> ClusterState:
    """Show one cluster."""
    state = _state(answer.body, answer.now)
    more = ", ".join(filter(None, (state.version and word(state.version), state.age and f"{state.age} old")))
    stands = f"{word(state.name)} {standing(state.phase)}"
    return state.model_copy(
        update={
            "summary": f"{stands}{': ' + more if more else ''}.{because(state.problem)}",
            "warnings": list(_doubts(answer.body, state)),
            "next": [
                *_follow(state),
                *([_list_addons(state.id, "shows what is wrong with them")] if _failed_addons(answer.body) else []),
            ],
        }
    )


@summarises("cluster_update")
def cluster_update(answer: Observation) -> ClusterChange:
    """Show what of a cluster was changed."""
    body = answer.body
    changed = [what for name, what in _CHANGEABLE.items() if name in answer.arguments]
    return ClusterChange(
        summary=f"Changed {' and '.join(changed) or 'nothing'} of {word(_name(body))}.",
        cluster_id=text(get(body, "/metadata/uid")) or text(answer.arguments.get("cluster_id")),
        name=_name(body),
        alias=_said(body, "/metadata/alias"),
        description=_said(body, "/spec/description"),
        eni_subnet_ids=_subnets(body),
    )


@summarises("cluster_creation")
def cluster_creation(answer: Observation) -> ClusterCreation:
    """Say that a creation has started."""
    body = answer.body
    version, uid = text(get(body, "/spec/version")), text(get(body, "/metadata/uid"))
    what = f"{word(_name(body))} ({word(version) if version else 'version not reported'})"
    named = f" as {word(uid)}" if uid else ""
    return ClusterCreation(
        summary=f"{what} is being created{named}. That takes minutes, and it is billed from now.",
        cluster_id=uid,
        name=_name(body),
        version=version or None,
        **_job(body),
    )


@summarises("cluster_deletion")
def cluster_deletion(answer: Observation) -> ClusterDeletion:
    """Say that a deletion has started, and what goes with the cluster."""
    body = answer.body
    return ClusterDeletion(
        summary=f"{word(_name(body))} is being deleted.",
        cluster_id=text(get(body, "/metadata/uid")) or text(answer.arguments.get("cluster_id")),
        name=_name(body),
        removes=reported([_removal(each) for each in answered(answer.operation, body)], body, CONFIRMED),
        keeps=list(left_out(answer.operation, body)) or None,
        **_job(body),
    )


def _list_doubts(
    troubled: list[ClusterLine], ill: list[tuple[ClusterLine, list[str]]], later: list[ClusterLine]
) -> Iterator[str]:
    for line in troubled[:WARNED]:
        yield f"{word(line.name)} {standing(line.phase)}{'' if line.problem else ': no reason given'}."
    if len(troubled) > WARNED:
        yield f"{len(troubled) - WARNED} more are in trouble; they stand first in the list."
    for line, failed in ill[:WARNED]:
        yield f"{word(line.name)}: {few(failed)}."
    if len(ill) > WARNED:
        yield f"{len(ill) - WARNED} more have add-ons in trouble."
    if later:
        yield f"The last {len(later)} are only named: the next page has them, status or version narrows the list."


def _has_tag(cluster: Any, wanted: str) -> bool:
    key, separator, value = wanted.partition("=")
    tags = tags_of(cluster)
    return key in tags and (not separator or tags[key] == value)


def _how_many(shown: int, total: int, tag: str) -> str:
    return f"{shown} of {plural(total, 'cluster')} with tag {word(tag)}" if tag else plural(shown, "cluster")


def _cluster_line(answer: Observation, body: Any) -> ClusterLine:
    name, alias = _name(body), text(get(body, "/metadata/alias"))
    tags = " ".join(f"{key}={value}" for key, value in tags_of(body).items())
    return ClusterLine(
        id=text(get(body, "/metadata/uid")),
        name=name,
        alias=alias if alias != name and alias else None,
        phase=phase_of(body),
        version=text(get(body, "/spec/version")),
        age=age(moment(get(body, "/metadata/creationTimestamp")), answer.now),
        description=text(get(body, "/spec/description"), DESCRIBED) or None,
        tags=tags or None,
        addons=None if (found := _addons(body)) is None else ", ".join(found) or "none",
        problem=_problem(body, TEXT_LIMIT),
    )


def _in_trouble(line: ClusterLine) -> bool:
    """Say whether a cluster is broken, or busy with something that reports a problem, as a failed upgrade does."""
    return broken(CLUSTER, line.phase) or (line.problem is not None and not succeeded(CLUSTER, line.phase))


def _urgency(line: ClusterLine) -> tuple[int, str]:
    rank = 0 if _in_trouble(line) else 2 if succeeded(CLUSTER, line.phase) else 1
    return rank, line.name


def _state(body: Any, now: datetime) -> ClusterState:
    details = {name: text(get(body, pointer)) for name, pointer in _DETAILS.items()}
    created = get(body, "/metadata/creationTimestamp")
    details["created"] = stamp(created) or ""
    return ClusterState(
        summary="",
        id=text(get(body, "/metadata/uid")),
        name=_name(body),
        phase=phase_of(body),
        problem=_problem(body),
        job_id=_said(body, "/status/jobID"),
        version=text(get(body, "/spec/version")),
        age=age(moment(created), now),
        description=_said(body, "/spec/description"),
        tags=reported(tags_of(body), body, TAGS),
        eni_subnet_ids=_subnets(body),
        endpoints=reported([_endpoint(each) for each in items(body, _ENDPOINTS)], body, _ENDPOINTS),
        addons=_addons(body),
        details={name: value for name, value in details.items() if value} or None,
    )


def _job(body: Any) -> dict[str, Any]:
    """Return the fields of a result about the job just started."""
    job_id = text(get(body, "/status/jobID"))
    if not job_id:
        return {"warnings": ["The service named no job; get_cluster shows how far it is."]}
    return {"job_id": job_id}


def _doubts(body: Any, state: ClusterState) -> Iterator[str]:
    if flag(get(body, "/status/isLocked")):
        scene = _said(body, "/status/lockScene")
        yield f"Billing has locked the cluster{': ' + quoted(scene) if scene else ''}."
    if verdict(CLUSTER, state.phase) == IDLE:
        yield f"The cluster {standing(state.phase)}: nothing runs in it."
    if failed := _failed_addons(body):
        yield f"{few(failed)}."
    if any(each.startswith("External ") for each in state.endpoints or ()):
        yield "Its API server is exposed to the internet."


def _follow(state: ClusterState) -> list[NextCall]:
    """Say what to do about a cluster that is busy or broken."""
    if state.job_id and not succeeded(CLUSTER, state.phase):
        why = "shows how that happened" if broken(CLUSTER, state.phase) else "shows how far it is"
        return [NextCall(tool="get_job", arguments={"job_id": state.job_id}, why=why)]
    if phases_of(CLUSTER).holds("upgrading", state.phase):
        why = (
            "says whether the upgrade has failed: then waiting does not help" if state.problem else "shows the upgrade"
        )
        return [NextCall(tool="list_upgrade_tasks", arguments={"cluster_id": state.id}, why=why)]
    return []


def _explaining(line: ClusterLine, state: ClusterState) -> NextCall:
    """Return the read that says why a cluster is in trouble."""
    call = next(iter(_follow(state)), None) or _read(line.id, "shows what is wrong")
    return call.model_copy(update={"why": f"{word(line.name)}: {call.why}"})


def _list_addons(cluster_id: str, why: str) -> NextCall:
    return NextCall(tool="list_addons", arguments={"cluster_id": cluster_id}, why=why)


def _read(cluster_id: str, why: str) -> NextCall:
    return NextCall(tool="get_cluster", arguments={"cluster_id": cluster_id}, why=why)


def _removal(option: Chosen) -> str:
    fate = option.fate
    if fate is None or not fate.takes:
        return f"{word(option.name)}={word(option.value)}"
    return f"{fate.takes} (goes on if that fails)" if fate.on_failure == "continue" else fate.takes


def _name(body: Any) -> str:
    return text(get(body, "/metadata/name")) or "cluster"


def _problem(body: Any, limit: int = SAID_LIMIT) -> str | None:
    return said(get(body, "/status"), limit) or None


def _said(body: Any, pointer: str) -> str | None:
    return text(get(body, pointer)) or None


def _endpoint(body: Any) -> str:
    return f"{text(get(body, '/type')) or 'unknown'} {text(get(body, '/url'))}"


def _subnets(body: Any) -> list[str] | None:
    return named(body, _SUBNETS, "/subnetID")


def _failed_addons(body: Any) -> list[str]:
    """Return which of the add-ons that were read with a cluster are broken, and how."""
    noted = [
        (text(get(each, "/addonTemplateName")), text(get(each, "/status")))
        for each in items(loaded(get(body, _ADDONS)))
    ]
    return [
        f"add-on {word(name or 'without a name')} {described(ADDON, status) or f'is {word(status)}'}"
        for name, status in noted
        if broken(ADDON, status)
    ]


def _addons(body: Any) -> list[str] | None:
    """Return the add-ons that a read with `with_addons` notes in an annotation; None if there is no such note."""
    noted = loaded(get(body, _ADDONS))
    lines = [
        " ".join(filter(None, (text(get(each, f"/{key}")) for key in ("addonTemplateName", "version", "status"))))
        for each in items(noted)
    ]
    return reported(lines or strings(noted), body, _ADDONS)
