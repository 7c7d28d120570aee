"""How a cluster's upgrades, pre-upgrade checks and backups stand, and what that allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from ap_mcp.rules import phases
from ap_mcp.rules.phases import BACKUP, PRECHECK, UPGRADE, WORKFLOW, phases_of
from ap_mcp.rules.versions import resolve_target
from ap_mcp.specs.waits import FAILURE, IDLE, SUCCESS, TRANSITIONAL
from ap_mcp.vendor import get, items, moment, text, word, written
from ap_mcp.wording import age

OLD_BACKUP = timedelta(days=1)
"""How old the latest backup may be before an upgrade."""
RUNNING: Final = "running"
SUCCEEDED, FAILED, PAUSED = "succeeded", "failed", "paused"
WAITING, STOPPED, CANCELLED, UNKNOWN = "idle", "stopped", "cancelled", "unknown"
STAGE_TITLES = {
    "PreCheck": "pre-upgrade check",
    "Snapshot": "backup",
    "Cluster": "upgrade",
    "PostCheck": "post-upgrade check",
    "Rollback": "rollback",
}
CHECK_STAGE, BACKUP_STAGE, UPGRADE_STAGE = "PreCheck", "Snapshot", "Cluster"
_SENTENCES = {
    SUCCEEDED: "has succeeded",
    FAILED: "has failed",
    CANCELLED: "was cancelled",
    STOPPED: "has stopped",
    "undated": "passed, but does not say until when it counts",
}
_PLAIN = frozenset({RUNNING, PAUSED, WAITING, UNKNOWN, "ready", "ready_with_risks", "blocked", "error", "expired"})


def verdict_of(phase: str, kind: str = UPGRADE) -> str:
    """Return the verdict on an upgrade, a check, a backup or a stage; an unknown phase stands for itself."""
    found = phases.verdict(kind, phase)
    if kind == UPGRADE and phases_of(UPGRADE).holds("paused", phase):
        return PAUSED
    words: Mapping[Any, str] = {SUCCESS: SUCCEEDED, FAILURE: FAILED, TRANSITIONAL: RUNNING, IDLE: WAITING}
    return words.get(found, "") or phase or UNKNOWN


def workflow_verdict(phase: str) -> str:
    """Return the verdict on an upgrade workflow; one that reports no phase has not begun."""
    found = phases.verdict(WORKFLOW, phase) if phase else IDLE
    if found == FAILURE:
        return CANCELLED if phases_of(WORKFLOW).holds("cancelled", phase) else STOPPED
    return verdict_of(phase, WORKFLOW) if phase else WAITING


def spoken(verdict: str) -> str:
    """Return a verdict as the words that follow a noun."""
    plain = verdict.replace("_", " ") if verdict in _PLAIN else word(verdict)
    return _SENTENCES.get(verdict) or f"is {plain}"


def latest_backup(tasks: Iterable[Any]) -> datetime | None:
    """Return when the latest backup that succeeded was finished; None if none reports that."""
    return max(filter(None, backup_ends(tasks)), default=None)


def backup_ends(tasks: Iterable[Any]) -> list[datetime | None]:
    """Return when each backup that succeeded was finished; None for one that does not report that."""
    made = (each for each in tasks if phases.succeeded(BACKUP, get(each, "/status/phase")))
    return [moment(get(each, "/status/completionTime")) for each in made]


def is_fresh(backup: datetime | None, at: datetime) -> bool:
    """Say whether a backup was made lately; of a time that is yet to come that is not known."""
    return backup is not None and age(backup, at) is not None and at - backup <= OLD_BACKUP


def backup_said(tasks: Iterable[Any], at: datetime) -> str:
    """Say how old the latest backup is, as a sentence without its stop; one without a time is named."""
    ends = backup_ends(tasks)
    latest, all_known = max(filter(None, ends), default=None), None not in ends
    if latest is None:
        return "There is no backup" if all_known else "There is a backup, but when it ended is not reported"
    since = age(latest, at)
    old = f"is {since} old" if since else f"says that it ended at {written(latest)}, which is yet to come"
    return f"The latest backup {'' if all_known else 'that says when it ended '}{old}"


def way(source: Any, target: Any) -> str:
    """Return from which version to which something leads, as it stands in a sentence; what is not reported is said."""
    left, right = text(source), text(target)
    if not left and not right:
        return "between versions that are not reported"
    unknown = "a version that is not reported"
    return f"from {word(left) if left else unknown} to {word(right) if right else unknown}"


def stage_of(workflow: Any, kind: str) -> dict[str, Any]:
    """Return one stage of an upgrade workflow; empty if it has none of that kind."""
    return next((each for each in items(workflow, "/status/pointStatuses") if get(each, "/taskType") == kind), {})


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Whether an upgrade workflow can be cancelled.

    Attributes:
        allowed: it can be.
        obstacle: what forbids it: the state of the workflow or that of its upgrade; empty if nothing does.
        phase: the state of what forbids it; empty if that is not reported.
        task_id: the workflow's upgrade; empty if none was started.
    """

    allowed: bool
    obstacle: Literal["", "workflow", "upgrade"] = ""
    phase: str = ""
    task_id: str = ""


def cancellable(workflow: Any, tasks: Iterable[Any] = ()) -> Cancelling:
    """Say whether an upgrade workflow can be cancelled: the workflow and its upgrade must both be idle.

    The reference (4.3.17) forbids it for a workflow that is running, has succeeded or was cancelled, and while its
    upgrade is starting, queued, running or paused. A state that the specs do not know forbids it too.

    Args:
        workflow: what get_upgrade_workflow answered.
        tasks: the upgrades of the cluster; the task itself may know better than the workflow.
    """
    stage = stage_of(workflow, UPGRADE_STAGE)
    task_id, phase = text(get(stage, "/taskID")), text(get(workflow, "/status/phase"))
    if not phases_of(WORKFLOW).holds("cancellable", phase):
        return Cancelling(allowed=False, obstacle="workflow", phase=phase, task_id=task_id)
    task: Any = next((each for each in tasks if task_id and get(each, "/metadata/uid") == task_id), {})
    for state in (text(get(stage, "/status")), text(get(task, "/status/phase"))):
        if state and not phases_of(UPGRADE).ends(state):
            return Cancelling(allowed=False, obstacle="upgrade", phase=state, task_id=task_id)
    return Cancelling(allowed=True, task_id=task_id)


CheckState: TypeAlias = Literal["passed", "none", "running", "not passed", "undated", "expired"]


@dataclass(frozen=True, slots=True)
class Way:
    """An upgrade.

    Attributes:
        cluster_id: of what.
        now: the version it runs.
        target: the version it is to have.
        offered: all versions it could have; `v1.31` means the newest of these that fits.
    """

    cluster_id: str
    now: str
    target: str
    offered: Sequence[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the pre-upgrade checks of a cluster say about an upgrade.

    Attributes:
        state: whether the newest check for it allows it, and if not why.
        check: that check; if there is none, the newest that broke off, or empty.
        others: versions for which a check did pass.
    """

    state: CheckState
    check: Mapping[str, Any]
    others: tuple[str, ...] = ()


def began(task: Any) -> datetime:
    """Return when a task was created; one that does not say when counts as the oldest."""
    return moment(get(task, "/metadata/creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def tasks_of(body: Any) -> list[dict[str, Any]] | None:
    """Return the checks, upgrades or whatever else a cluster has, the oldest first; None if the answer lists nothing.

    A list that was left out or null is empty.
    """
    found = get(body, "/items", [] if isinstance(body, Mapping) else None)
    return sorted((each for each in found if isinstance(each, dict)), key=began) if isinstance(found, list) else None


def upgrade_verdicts(tasks: Sequence[Any], info: Any) -> list[str]:
    """Return how a cluster's latest upgrade stands: by its task, if there is one, and by get_upgrade_info.

    Args:
        tasks: its upgrades, the oldest first.
        info: what get_upgrade_info answered.
    """
    reported = [get(tasks[-1], "/status/phase", "")] if tasks else []
    reported += [get(info, "/status/phase")]
    return [verdict_of(text(each)) for each in reported if each is not None]


def under_way(verdicts: Iterable[str]) -> str:
    """Return the first verdict that is no end of an upgrade; empty if there is none."""
    return next((each for each in verdicts if each not in (SUCCEEDED, FAILED)), "")


def judge_checks(checks: Iterable[Any], way: Way, at: datetime) -> Judged:
    """Say whether a pre-upgrade check allows an upgrade; the newest one for it decides.

    Args:
        checks: the entries of list_prechecks.
        way: the upgrade.
        at: the time to measure against.
    """
    every = list(checks)
    fitting = [each for each in every if _is_for(each, way) and _says_something(each)]
    if not fitting:
        broken: Mapping[str, Any] = max((each for each in every if _is_for(each, way)), key=began, default={})
        return Judged("none", broken, tuple(sorted({aim_of(each) for each in every if _passed(each)})))
    newest = max(fitting, key=began)
    return Judged(state_of_check(newest, at), newest)


def state_of_check(check: Any, at: datetime) -> CheckState:
    """Say whether a single check allows the upgrade it is for: it has passed, and counts until a later moment."""
    if not _passed(check):
        running = verdict_of(text(get(check, "/status/phase")), PRECHECK) == RUNNING
        return RUNNING if running else "not passed"
    expires = moment(get(check, "/status/expireTimeStamp"))
    if expires is None:
        return "undated"
    return "expired" if expires <= at else "passed"


def _is_for(check: Any, way: Way) -> bool:
    """Say whether a check is about an upgrade of this cluster as it is now."""
    owner, source = text(get(check, "/spec/clusterID")), text(get(check, "/spec/clusterVersion"))
    ours = owner.lower() in ("", way.cluster_id.lower()) and source == way.now
    return ours and resolve_target(aim_of(check), way.offered) == way.target


def aim_of(task: Any) -> str:
    """Return the version that a check, an upgrade or a planned upgrade is for; empty if it does not say."""
    return text(get(task, "/spec/targetVersion"))


def _passed(check: Any) -> bool:
    return phases.succeeded(PRECHECK, get(check, "/status/phase"))


def _says_something(check: Any) -> bool:
    """Say whether a check says anything: one that broke off by itself does not undo an earlier one."""
    return not phases_of(PRECHECK).holds("broke_off", get(check, "/status/phase"))
