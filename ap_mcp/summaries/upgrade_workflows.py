"""Shapes answers about upgrade workflows: their stages, and what can be done with them now."""

from typing import Any

from pydantic import Field

from ap_mcp.rules import phases
from ap_mcp.rules.phases import UPGRADE
from ap_mcp.rules.upgrades import (
    BACKUP_STAGE,
    CANCELLED,
    CHECK_STAGE,
    FAILED,
    PAUSED,
    RUNNING,
    STAGE_TITLES,
    STOPPED,
    SUCCEEDED,
    UPGRADE_STAGE,
    WAITING,
    cancellable,
    spoken,
    stage_of,
    verdict_of,
    way,
    workflow_verdict,
)
from ap_mcp.summaries.base import CURSOR, NextCall, Observation, Ours, Part, Result, summarises
from ap_mcp.summaries.pages import paged
from ap_mcp.summaries.upgrade_common import LISTED, call, created, newest_first, took
from ap_mcp.vendor import because, get, items, moment, reported, said, stamp, text, word
from ap_mcp.wording import plural, span

NONE = "No upgrade workflows."
CLOSED = (SUCCEEDED, CANCELLED)


class Stage(Part):
    """One stage of a workflow."""

    stage: str
    status: str
    task_id: str | None = None
    started: str | None = None
    took: str | None = None
    expires: str | None = None
    problem: str | None = None


class Workflow(Result):
    """An upgrade workflow with its stages."""

    upgrade_workflow_id: str = ""
    verdict: str = ""
    from_version: str = ""
    to_version: str = ""
    stages: list[Stage] | None = None
    can_cancel: bool | None = None
    can_retry: bool | None = None
    why_not: Ours | None = None


class WorkflowLine(Part):
    """One workflow in a list."""

    upgrade_workflow_id: str
    verdict: str
    from_version: str = ""
    to_version: str = ""
    created: str | None = None
    at: str | None = None


class WorkflowList(Result):
    """A cluster's workflows, the newest first."""

    workflows: list[WorkflowLine] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


@summarises("upgrade_workflow")
def upgrade_workflow(answer: Observation) -> Workflow:
    """Say how a workflow stands, stage by stage, and what comes next."""
    body = answer.body
    points = items(body, "/status/pointStatuses")
    line = _workflow_line(body)
    why_not = _why_not_cancellable(body)
    stages = [_stage(answer, point) for point in points]
    problem = said(get(body, "/status"), leave_out=("pointStatuses",)) if line.verdict not in CLOSED else ""
    return Workflow(
        summary=_said(line, points) + because("; ".join(each for each in (*_problems(stages), problem) if each)),
        upgrade_workflow_id=line.upgrade_workflow_id,
        verdict=line.verdict,
        from_version=line.from_version,
        to_version=line.to_version,
        stages=reported(stages, body, "/status/pointStatuses"),
        can_cancel=why_not is None,
        can_retry=_stage_verdict(body, UPGRADE_STAGE) == FAILED and line.verdict == STOPPED,
        why_not=why_not,
        next=_next(answer, line),
    )


@summarises("upgrade_workflows", section="items")
def upgrade_workflows(answer: Observation) -> WorkflowList:
    """List a cluster's workflows."""
    every = [_workflow_line(each) for each in newest_first(answer.body)]
    page = paged(answer, every, LISTED, lambda line: line.upgrade_workflow_id)
    open_ = [line for line in every if line.verdict not in CLOSED]
    reads = [
        call(answer, "get_upgrade_workflow", "Its stages", upgrade_workflow_id=line.upgrade_workflow_id)
        for line in (open_ or every)[:1]
    ]
    return WorkflowList(
        summary=f"{plural(page.total, 'upgrade workflow')}, {len(open_) or 'none'} of them open." if every else NONE,
        workflows=page.items,
        shown=page.shown,
        total=page.total,
        warnings=page.warnings,
        next=[*(reads if CURSOR not in answer.own else []), *page.next],
    )


def _workflow_line(body: Any) -> WorkflowLine:
    points = items(body, "/status/pointStatuses")
    now = next((point for point in points if _now(point)), None)
    return WorkflowLine(
        upgrade_workflow_id=text(get(body, "/metadata/uid")),
        verdict=workflow_verdict(text(get(body, "/status/phase"))),
        from_version=text(get(body, "/spec/clusterVersion")),
        to_version=text(get(body, "/spec/targetVersion")),
        created=created(body) or None,
        at=f"{_title(now)} {word(verdict_of(text(get(now, '/status'))))}" if now else None,
    )


def _now(point: Any) -> bool:
    return verdict_of(text(get(point, "/status"))) in (RUNNING, PAUSED, FAILED)


def _stage(answer: Observation, point: Any) -> Stage:
    status = text(get(point, "/status"))
    start, end = get(point, "/startTimeStamp"), get(point, "/endTimeStamp")
    begun = moment(start)
    running = span(answer.now - begun) if begun and not end and verdict_of(status) == RUNNING else None
    return Stage(
        stage=_title(point),
        status=verdict_of(status) if status else "not started",
        task_id=text(get(point, "/taskID")) or None,
        started=stamp(start),
        took=took(start, end) or running,
        expires=stamp(get(point, "/expireTimeStamp")),
        problem=(said(point) or None) if verdict_of(status) not in (SUCCEEDED, RUNNING, WAITING) else None,
    )


def _problems(stages: list[Stage]) -> list[str]:
    return [each.problem for each in stages if each.problem]


def _said(line: WorkflowLine, points: list[dict[str, Any]]) -> str:
    done = [_title(point) for point in points if phases.succeeded(UPGRADE, get(point, "/status"))]
    progress = f" Done: {', '.join(done)}." if done else " No stage is done yet." if points else ""
    at = f" Now: {line.at}." if line.at else ""
    return f"The workflow {way(line.from_version, line.to_version)} {spoken(line.verdict)}.{progress}{at}"


def _why_not_cancellable(body: Any) -> str | None:
    found = cancellable(body)
    if found.allowed:
        return None
    if found.obstacle == "workflow":
        verdict = workflow_verdict(found.phase)
        return f"The workflow {spoken(verdict)}." if found.phase else "The state of the workflow is not reported."
    return f"Its upgrade is in state {word(found.phase)}."


def _next(answer: Observation, line: WorkflowLine) -> list[NextCall]:
    if line.verdict in (*CLOSED, RUNNING):
        return []
    body, target = answer.body, {"target_version": line.to_version}
    if _stage_verdict(body, CHECK_STAGE) != SUCCEEDED:
        return [call(answer, "run_precheck", "First stage", **target)]
    expires = moment(get(stage_of(body, CHECK_STAGE), "/expireTimeStamp"))
    upgrade = _stage_verdict(body, UPGRADE_STAGE)
    if upgrade == FAILED:
        return [call(answer, "retry_upgrade", "Once the cause is fixed")]
    if upgrade == SUCCEEDED:
        return [call(answer, "run_postcheck", "Last stage")]
    if expires is not None and expires <= answer.now:
        return [call(answer, "run_precheck", "The check has expired", **target)]
    saved = _stage_verdict(body, BACKUP_STAGE) == SUCCEEDED
    backup = [] if saved else [call(answer, "backup_cluster", "An upgrade cannot be undone")]
    return [*backup, call(answer, "upgrade_cluster", "The check has passed", **target)]


def _stage_verdict(workflow: Any, kind: str) -> str:
    return verdict_of(text(get(stage_of(workflow, kind), "/status")))


def _title(point: Any) -> str:
    kind = text(get(point, "/taskType"))
    return STAGE_TITLES.get(kind) or word(kind)
