"""Answers k8s_logs: the newest lines of a pod, or of all pods of a workload, of the run that crashed too."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ap_mcp.aside import aside
from ap_mcp.errors import ApMcpError, CallRefused, ServiceError
from ap_mcp.kubernetes.api import ClusterApi, cluster_api
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.kubernetes.log_lines import Tail, tail_of
from ap_mcp.kubernetes.owned import owned_by, pods_selected, worst_first
from ap_mcp.kubernetes.pods import CRASH_LOOP, Container, containers_of, is_healthy, not_scheduled
from ap_mcp.kubernetes.show import DEFAULT, ended
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.states import label_selector
from ap_mcp.kubernetes.troubles import explained
from ap_mcp.masking import mask_text
from ap_mcp.parallel_reads import read_together, why_unread
from ap_mcp.plans import ToolContext
from ap_mcp.summaries.base import BRIEF, NextCall, Ours, Part, Result
from ap_mcp.vendor import get, items, quoted, text, word
from ap_mcp.wording import few, plural

LOGS = "k8s_logs"
LINES, SEARCHED = 100, 5000
"""Lines that are read if none are given, and if a text is searched for."""
BYTES = 1024 * 1024
"""Of one log that are read at most."""
ROOM = 40_000
"""Characters of all lines together."""
SHORT, RECENT = 5, timedelta(minutes=10)
"""A run with fewer lines, or one that began less long ago, says little of why the one before it ended."""
AT_MOST = ((50, 10), (200, 5), (2000, 3))
"""Of how many pods logs are read, by the lines of each."""
NAMED = 5


class LogBlock(Part):
    """What one run of a container wrote.

    Attributes:
        previous: it is the run before the one that goes on now.
        note: what must be known of the run, and of what is left out.
        lines: the oldest first.
    """

    pod: str
    container: str
    previous: bool | None = None
    note: Ours | None = None
    lines: list[str] | None = None


class Logs(Result):
    """Logs of the containers of some pods, secrets in them masked.

    Attributes:
        other_pods: those of the workload whose logs were not read.
    """

    bounds_itself: ClassVar[bool] = True

    logs: Annotated[list[LogBlock], BRIEF] = Field(default_factory=list)
    other_pods: list[str] | None = None


RESULT = Logs


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How logs are read.

    Attributes:
        room: characters that the lines of one log may take.
    """

    lines: int
    contains: str
    since: int | None
    previous: bool
    room: int
    now: datetime


async def run(arguments: Mapping[str, Any], context: ToolContext, kinds: KnownKinds) -> Logs:
    """Read logs.

    Raises:
        CallRefused: there is no such container, the kind has no pods, or a rule closes it.
        ServiceError: the cluster said no.
    """
    api = await cluster_api(LOGS, arguments["cluster_id"], context.reads, kinds)
    resource = await api.resource(arguments.get("kind", "pod"))
    namespace, name = arguments.get("namespace", DEFAULT), arguments["name"].strip()
    if not resource.namespaced:
        raise CallRefused(f"{resource.plural} have no logs: name a pod, or a workload with pods. Nothing was read.")
    async with explained(api, resource, namespace, name):
        body = await api.get(resource, name, namespace)
        pods, more = await _pods_of(api, resource, body, namespace)
    lines = arguments.get("lines", LINES)
    at_most = next(pods_ for most, pods_ in AT_MOST if lines <= most)
    chosen, others = pods[:at_most], pods[at_most:]
    container = arguments.get("container", "")
    pairs = [(pod, each) for pod in chosen for each in _containers(pod, container)]
    wanted = _Wanted(
        lines=lines,
        contains=arguments.get("contains", ""),
        since=arguments.get("since_s"),
        previous=arguments.get("previous", False),
        room=ROOM // max(len(pairs), 1),
        now=context.reads.now(),
    )

    async def read(at: str) -> list[LogBlock]:
        return await _blocks(api, *pairs[int(at)], wanted)

    found, errors = await read_together(read, {str(at): (str(at), {}) for at in range(len(pairs))})
    if errors and not found:
        async with explained(api, await api.resource("pods"), namespace):
            raise next(iter(errors.values()))
    blocks: list[LogBlock] = []
    for at, (pod, each) in enumerate(pairs):
        blocks += found.get(str(at), [])
        if error := errors.get(str(at)):
            why = f"could not be read: {why_unread(error)}"
            blocks.append(LogBlock(pod=_name(pod), container=each.name, note=why))
    what = f"{resource.kind} {word(name)} in {word(namespace)} of {api.name}"
    return Logs(
        summary=_sentence(what, blocks, len(chosen), len(others), more=more),
        logs=blocks,
        other_pods=[_name(each) for each in others][:NAMED] or None,
        next=_next(arguments, api, resource, chosen, others),
    )


async def _pods_of(api: ClusterApi, resource: Resource, body: Any, namespace: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the pods of an object, those in trouble first, and whether there are more than were read."""
    if resource.full == "Pod":
        return [body], False
    if resource.full == "CronJob.batch":
        jobs = (await owned_by(api, resource, body)).jobs
        if not jobs:
            raise CallRefused(f"{word(get(body, '/metadata/name'))} has no job now, so there are no logs.")
        body = jobs[0]
    selector = label_selector(get(body, "/spec/selector"))
    if not selector:
        raise CallRefused(
            f"{resource.kind} {word(get(body, '/metadata/name'))} selects no pods, so it has no logs: name a pod, or a "
            "workload such as a deployment, statefulset or job."
        )
    found = await pods_selected(api, namespace, selector)
    pods = worst_first(items(found, "/items"))
    if not pods:
        raise CallRefused(
            f"{resource.kind} {word(get(body, '/metadata/name'))} has no pods now ({selector}), so there are no logs. "
            "k8s_diagnose says why."
        )
    return pods, bool(get(found, "/metadata/continue"))


def _containers(pod: Any, named: str) -> list[Container]:
    """Return the containers of a pod whose logs are wanted: of those before the others only what failed.

    Raises:
        CallRefused: none is called so; those that there are are named.
    """
    every = [*containers_of(pod), *(Container(text(get(each, "/name")), "", "running") for each in _added(pod))]
    if named:
        found = [each for each in every if each.name == named]
        if not found:
            there = few([word(each.name) + (" (init)" if each.init else "") for each in every], NAMED)
            raise CallRefused(f"Pod {word(_name(pod))} has no container {quoted(named)}. There are: {there}.")
        return found
    return [each for each in every if not each.is_init or not each.is_healthy]


def _added(pod: Any) -> Iterable[dict[str, Any]]:
    """Return the containers that were added to a running pod to debug it."""
    return items(pod, "/spec/ephemeralContainers")


async def _blocks(api: ClusterApi, pod: Any, container: Container, wanted: _Wanted) -> list[LogBlock]:
    """Read a container's log, and that of the run before if this one says little and that one crashed."""
    if why := _no_log(pod, container, wanted):
        return [LogBlock(pod=_name(pod), container=container.name, note=why)]
    if wanted.previous:
        return [await _block(api, pod, container, wanted, previous=True)]
    waits = container.reason == CRASH_LOOP
    current = None
    try:
        current = await _block(api, pod, container, wanted)
    except ServiceError:
        # Between two runs some servers have a log of the last one only.
        if not waits:
            raise
    if current and (len(current.lines or ()) >= SHORT or not _may_have_crashed(container, wanted.now)):
        return [current]
    try:
        before = await _block(api, pod, container, wanted, previous=True)
    except ApMcpError:
        if current is None:
            raise
        return [current]
    return [before] if not current or not current.lines or current.lines == before.lines else [before, current]


def _no_log(pod: Any, container: Container, wanted: _Wanted) -> str:
    """Say why there is no such log; empty if there may be one."""
    if container.never_ran:
        return _never_ran(pod, container)
    if wanted.previous and container.last is None:
        return "has not been started again, so there is no log of a run before this one"
    return ""


def _may_have_crashed(container: Container, now: datetime) -> bool:
    """Say whether the end of the run before is what is of interest."""
    if container.last is None:
        return False
    fresh = container.since is None or now - container.since < RECENT
    return container.reason == CRASH_LOOP or (fresh and (not container.ready or container.last.failed))


async def _block(
    api: ClusterApi, pod: Any, container: Container, wanted: _Wanted, *, previous: bool = False
) -> LogBlock:
    raw, asked, read = await _text(api, pod, container, wanted, previous=previous)
    tail: Tail = await aside(partial(tail_of, raw, wanted.lines, wanted.room, wanted.contains), len(raw))
    notes = [_about(container, wanted.now, previous=previous)]
    if read < asked:
        notes.append(
            f"the lines are long: of the last {asked} only {read} fit into the {BYTES // 1024} KiB that are read"
        )
    if tail.searched is not None:
        notes.append(f"{len(tail.lines) + tail.older} of the {tail.searched} lines that were read hold the text")
    elif not tail.lines:
        notes.append(f"wrote nothing{f' in the last {wanted.since} s' if wanted.since else ''}")
    if tail.older and len(tail.lines) < wanted.lines:
        notes.append(f"{plural(tail.older, 'older line')} left out for their length")
    if tail.cut:
        notes.append(f"{tail.cut} characters of long lines left out")
    return LogBlock(
        pod=_name(pod),
        container=container.name,
        previous=previous or None,
        note="; ".join(filter(None, notes)) or None,
        lines=tail.lines,
    )


async def _text(
    api: ClusterApi, pod: Any, container: Container, wanted: _Wanted, *, previous: bool
) -> tuple[str, int, int]:
    """Return the end of a log, how many lines were wanted, and of how many it is the end.

    A cluster cuts a log that is too long at its end, where the newest lines are: then fewer are asked for.
    """
    asked = max(wanted.lines, SEARCHED) if wanted.contains else wanted.lines
    resource, namespace = await api.resource("pods"), text(get(pod, "/metadata/namespace"))
    raw = ""
    for tail in dict.fromkeys((asked, max(asked // 20, 1), 1)):
        query = {
            "container": container.name,
            "tailLines": str(tail),
            "limitBytes": str(BYTES),
            "sinceSeconds": str(wanted.since or ""),
            "previous": "true" if previous else "",
        }
        raw = await api.text(resource, _name(pod), namespace, "log", query)
        if len(raw.encode(errors="replace")) < BYTES:
            return raw, asked, asked if tail == asked else tail
    return raw, asked, 1


def _about(container: Container, now: datetime, *, previous: bool) -> str:
    """Say which run a log is of, if it is not simply the one that goes on."""
    if previous and container.last is not None:
        return f"the run before, which ended {ended(container.last, now)}"
    if container.end is not None:
        return f"ended {ended(container.end, now)}"
    if container.state == "waiting" and container.last is not None:
        return f"waits to be started again; its last run ended {ended(container.last, now)}"
    if container.restarts:
        return f"running, after {plural(container.restarts, 'restart')}"
    return ""


def _never_ran(pod: Any, container: Container) -> str:
    """Say why a container has no log."""
    why = word(container.reason) if container.reason else ""
    said = container.message or not_scheduled(pod) or text(get(pod, "/status/message"), 600)
    reason = ": " + ", ".join(filter(None, (why, quoted(mask_text(said), 400) if said else ""))) if why or said else ""
    return f"never started{reason}; it has no log, k8s_diagnose says what to do"


def _name(pod: Any) -> str:
    return text(get(pod, "/metadata/name"))


def _sentence(what: str, blocks: list[LogBlock], pods: int, others: int, *, more: bool) -> str:
    shown = sum(len(each.lines or ()) for each in blocks)
    logs = plural(len({(each.pod, each.container) for each in blocks}), "container")
    left = f" {others}{' or more' if more else ''} other pods were not read." if others else ""
    return f"{plural(shown, 'line')} of {logs} in {plural(pods, 'pod')}: {what}.{left}"


def _next(
    arguments: Mapping[str, Any], api: ClusterApi, resource: Resource, chosen: list[dict[str, Any]], others: list[Any]
) -> list[NextCall]:
    calls = []
    if not all(map(is_healthy, chosen)):
        given = {"cluster_id": api.cluster, "kind": resource.plural, "name": arguments["name"]}
        place = {"namespace": text(get(chosen[0], "/metadata/namespace"))}
        calls.append(NextCall(tool="k8s_diagnose", arguments={**given, **place}, why="says why it is not healthy"))
    if others:
        given = {**arguments, "kind": "pod", "name": _name(others[0])}
        calls.append(NextCall(tool=LOGS, arguments=given, why="shows one of the pods that were not read"))
    return calls
