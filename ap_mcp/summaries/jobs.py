"""Shapes a job, whatever the depth of its sub-jobs: the verdict, what runs now, and the step that failed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from ap_mcp.rules.phases import JOB, phases_of, succeeded, verdict
from ap_mcp.specs.waits import FAILURE, SUCCESS, PhaseVerdict
from ap_mcp.summaries.base import DETAIL, FULL, NextCall, Observation, Part, Result, summarises
from ap_mcp.summaries.pages import in_full, whole_answer
from ap_mcp.vendor import SAID_LIMIT, TEXT_LIMIT, get, items, moment, quoted, said, text, word, written
from ap_mcp.wording import plural, span

JobVerdict = Literal["running", "succeeded", "failed"]
RUNNING: Final = "running"
_VERDICTS: dict[PhaseVerdict | None, JobVerdict] = {SUCCESS: "succeeded", FAILURE: "failed"}
NO_REASON = "no reason given"
FAILURES_SHOWN = 20
RUNNING_SHOWN, REMOVED_SHOWN = 10, 40
_ROOM = 6000
"""Characters of all reasons together; each has at least those of any other text."""
QUIET_SECONDS = 900
"""A running job that nothing has moved for so long is worth a warning."""
_SENTENCES = {
    ("CreateCluster", "succeeded"): "The cluster is ready.",
    ("DeleteCluster", "succeeded"): "The cluster no longer exists.",
    ("CreateCluster", "failed"): "A cluster whose creation failed must be deleted and created anew.",
    ("DeleteCluster", "failed"): "Fix what prevents it, then delete again.",
}


class FailedStep(Part):
    """The way to a sub-job that failed, and why."""

    path: str
    reason: str


class JobState(Result):
    """How far a job is; the step that failed comes first, then what the jobs above it say beside that."""

    job_id: str = ""
    type: str = ""
    cluster_id: str = ""
    verdict: JobVerdict
    percent: int | None = None
    failed: list[FailedStep] = Field(default_factory=list)
    above: list[FailedStep] = Field(default_factory=list)
    running: list[str] = Field(default_factory=list)
    removed: list[str] | None = None
    elapsed: str | None = None
    stalled_since: str | None = None

    @property
    def share(self) -> float | None:
        """How far the job is, in percent."""
        return self.percent


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One job of the tree, the job above it, and the names of all those above it."""

    body: Any
    parent: "Node | None"
    path: tuple[str, ...]
    leaf: bool

    @property
    def name(self) -> str:
        """Its type, with what it works on if that is reported; fit to stand in a sentence."""
        what = text(get(self.body, "/spec/resourceName"))
        kind = word(_type(self.body))
        return f"{kind} {word(what)}" if what and self.leaf else kind

    @property
    def phase(self) -> str:
        """Its phase."""
        return text(get(self.body, "/status/phase"))


@summarises("job")
def job(answer: Observation) -> JobState:
    """Show how far a job is."""
    nodes = list(_walk(answer.body))
    leaves = [node for node in nodes if node.leaf]
    done = sum(succeeded(JOB, node.phase) for node in leaves)
    state = verdict_on(nodes[0].phase)
    failed, above = _failures(nodes)
    running = [node.name for node in leaves if phases_of(JOB).holds("running", node.phase)]
    times = [at for node in nodes if (at := moment(get(node.body, "/metadata/updateTimestamp")))]
    started = moment(get(answer.body, "/metadata/creationTimestamp"))
    last = max(times, default=None)
    stalled = last if state == RUNNING and _is_quiet(last, answer.now) else None
    shaped = JobState(
        summary="",
        job_id=text(get(answer.body, "/metadata/uid")) or text(answer.arguments.get("job_id")),
        type=_type(answer.body),
        cluster_id=text(get(answer.body, "/spec/clusterUID")),
        verdict=state,
        percent=100 if state == "succeeded" else 100 * done // len(leaves),
        failed=failed[:FAILURES_SHOWN],
        above=above[:FAILURES_SHOWN],
        running=_few(running),
        removed=_removed(answer.body, state, leaves),
        elapsed=_elapsed(started, last if state != RUNNING else answer.now),
        stalled_since=written(stalled) if stalled else None,
        warnings=[*_doubts(state, failed, stalled, answer.now), *_not_understood(nodes)],
    )
    rest = in_full(answer, *(each.reason for each in (*shaped.failed, *shaped.above)))
    if len(failed) > FAILURES_SHOWN and not rest and answer.own.get(DETAIL) != FULL:
        rest = [whole_answer(answer, "shows every step")]
    return shaped.model_copy(
        update={"summary": _sentence(shaped, f"{done} of {len(leaves)} done"), "next": [*rest, *_follow(shaped)]}
    )


def _removed(body: Any, state: JobVerdict, leaves: list[Node]) -> list[str] | None:
    """Return what a deletion that succeeded removed, by its steps; None for any other job, or if it reports no step."""
    rules = phases_of(JOB).resource
    if state != "succeeded" or rules is None or get(body, rules.type_at) not in rules.deletion_types:
        return None
    done = [node.name for node in leaves if node.parent is not None and succeeded(JOB, node.phase)]
    return _few(done, REMOVED_SHOWN) or None


def verdict_on(phase: str) -> JobVerdict:
    """Return how a job stands by its phase; one whose phase says no end counts as running."""
    return _VERDICTS.get(verdict(JOB, phase), RUNNING)


def _walk(root: Any) -> Iterator[Node]:
    """Yield a job and all its sub-jobs, parents first, without recursion: the service decides the depth."""
    waiting: list[tuple[Any, Node | None]] = [(root, None)]
    while waiting:
        body, parent = waiting.pop()
        children = items(body, "/spec/subJobs")
        node = Node(body, parent, (*(parent.path if parent else ()), word(_type(body))), leaf=not children)
        yield node
        waiting += [(child, node) for child in reversed(children)]


def _failures(nodes: list[Node]) -> tuple[list[FailedStep], list[FailedStep]]:
    """List what failed at the ends of the tree, and what the jobs above say beside that.

    A job above stands among the ends only if none of its own steps failed. An end that gives no reason has that of the
    nearest job above it which gives one.
    """
    failed = [node for node in nodes if verdict(JOB, node.phase) == FAILURE]
    explained = set(_above(failed))
    ends = [node for node in failed if node not in explained]
    room = min(max(_ROOM // max(len(ends), 1), TEXT_LIMIT), SAID_LIMIT)
    steps = [FailedStep(path=_way(node), reason=_reason(node, room)) for node in ends]
    shown = "\n".join(each.reason for each in steps).lower()
    above = [
        FailedStep(path=_way(node), reason=reason)
        for node in reversed(nodes)
        if node in explained and (reason := _says(node, room)) and reason.lower() not in shown
    ]
    return steps, above


def _reason(node: Node, room: int) -> str:
    """Return why a step failed, by its own words or those of the nearest job above it."""
    if own := _says(node, room):
        return own
    for above in _above([node]):
        if inherited := _says(above, room):
            return f"{inherited} (the reason of {above.name})"
    return NO_REASON


def _says(node: Node, room: int) -> str:
    return said(node.body, room, ("metadata", "spec"))


def _above(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        above = node.parent
        while above is not None:
            yield above
            above = above.parent


def _not_understood(nodes: list[Node]) -> Iterator[str]:
    """Name the phases that the specs do not know with a step that is in each, and what could not be read."""
    unknown = {node.phase: node for node in reversed(nodes) if node.phase and verdict(JOB, node.phase) is None}
    for phase, node in reversed(unknown.items()):
        yield f"{_way(node)} is in the phase {quoted(phase)}, which is not known."
    if not nodes[0].phase:
        yield "The service does not report the phase of the job: it counts as running."
    if unread := next((node for node in nodes if _hides_steps(node)), None):
        yield f"What lies below {_way(unread)} could not be read."


def _hides_steps(node: Node) -> bool:
    """Say whether a job may have steps that cannot be read, as those very deep down, which are masked."""
    return node.leaf and bool(get(node.body, "/spec/subJobs", not isinstance(get(node.body, "/spec", {}), dict)))


def _way(node: Node) -> str:
    return " > ".join((*node.path[:-1], node.name))


def _few(names: list[str], most: int = RUNNING_SHOWN) -> list[str]:
    left = len(names) - most
    return [*names[:most], *([f"and {left} more"] if left > 0 else [])]


def _sentence(state: JobState, steps: str) -> str:
    took = f" after {state.elapsed}" if state.elapsed else ""
    if state.verdict == RUNNING:
        now = f", now {', '.join(state.running[:3])}" if state.running else ""
        return f"{word(state.type)} is running: {state.percent}% ({steps}{now}){took}."
    more = _SENTENCES.get((state.type, state.verdict), "")
    where = f" at {_first(state.failed[0])}" if state.failed and state.verdict == "failed" else ""
    return f"{word(state.type)} {state.verdict}{took}{where}. {more}".rstrip()


def _first(step: FailedStep) -> str:
    why = step.reason if step.reason == NO_REASON else quoted(step.reason.rstrip("."), SAID_LIMIT)
    return f"{step.path.split(' > ')[-1]}: {why}"


def _doubts(state: str, failed: list[FailedStep], stalled: datetime | None, now: datetime) -> Iterator[str]:
    if len(failed) > FAILURES_SHOWN:
        yield f"{len(failed)} steps failed; the first {FAILURES_SHOWN} are shown."
    if state == "succeeded" and failed:
        yield f"{plural(len(failed), 'step')} failed and did not stop the job: what they were to remove may be left."
    if stalled is not None:
        yield f"Nothing has moved for {span(now - stalled)}."


def _follow(state: JobState) -> list[NextCall]:
    if state.verdict == RUNNING or state.type == "DeleteCluster" or not state.cluster_id:
        return []
    cluster = {"cluster_id": state.cluster_id}
    if state.verdict == "failed":
        # get_cluster would lead back here.
        undo = NextCall(tool="delete_cluster", arguments=cluster, why="before it is created anew")
        return [undo] if state.type == "CreateCluster" else []
    return [NextCall(tool="get_cluster", arguments=cluster, why="shows how it is now")]


def _is_quiet(last: datetime | None, now: datetime) -> bool:
    return last is not None and (now - last).total_seconds() > QUIET_SECONDS


def _elapsed(started: datetime | None, ended: datetime | None) -> str | None:
    return span(ended - started) if started and ended else None


def _type(body: Any) -> str:
    return text(get(body, "/spec/type")) or "job"
