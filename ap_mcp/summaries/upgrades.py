"""Shapes answers about cluster upgrades and backups: what is offered, what runs, how it went."""

from types import NoneType
from typing import Any

from pydantic import Field

from ap_mcp.rules.deletion import unsuccessful
from ap_mcp.rules.phases import BACKUP, UPGRADE
from ap_mcp.rules.sayings import last_upgrade_says, task_says
from ap_mcp.rules.upgrades import (
    FAILED,
    PAUSED,
    RUNNING,
    SUCCEEDED,
    backup_ends,
    backup_said,
    is_fresh,
    latest_backup,
    spoken,
    verdict_of,
    way,
)
from ap_mcp.rules.versions import offered_to, runs_now
from ap_mcp.summaries.base import ALONE, CURSOR, Observation, Part, Result, summarises
from ap_mcp.summaries.upgrade_common import call, created, history_page, read_or_wait, took
from ap_mcp.vendor import (
    SAID_LIMIT,
    because,
    flattened,
    get,
    items,
    mapping,
    moment,
    number,
    quoted,
    said,
    stamp,
    strings,
    text,
    word,
)
from ap_mcp.wording import plural


class Upgrade(Result):
    """One upgrade: from where to where, how far, how it went."""

    task_id: str = ""
    verdict: str = ""
    progress: float | None = None
    from_version: str = ""
    to_version: str = ""
    started: str | None = None
    ended: str | None = None
    took: str | None = None
    problem: str | None = None
    details: dict[str, str | int | float | bool] | None = None

    @property
    def share(self) -> float | None:
        """How far the upgrade is, in percent, as the service reports it."""
        return self.progress


class Started(Result):
    """Something that was started and can be followed."""

    task_id: str | None = None


class TaskLine(Part):
    """One upgrade or backup in a list."""

    task_id: str
    verdict: str
    progress: float | None = None
    from_version: str | None = None
    to_version: str | None = None
    started: str | None = None
    ended: str | None = None
    problem: str | None = None


class TaskList(Result):
    """A cluster's upgrades or backups, the newest first."""

    tasks: list[TaskLine] = Field(default_factory=list)
    latest: str | None = None
    shown: int | None = None
    total: int | None = None


class UpgradeInfo(Result):
    """What a cluster runs, where it can go, and how its latest upgrade stands."""

    version: str = ""
    suggested_patch: str | None = None
    targets: list[str] | None = None
    upgrade: str | None = None
    problem: str | None = None
    progress: float | None = None
    last_upgrade: str | None = None
    last_ended: str | None = None


class UpgradePath(Part):
    """Where a version can go."""

    version: str
    platform: str = ""
    targets: str = ""


class UpgradePaths(Result):
    """Every upgrade path."""

    paths: list[UpgradePath] = Field(default_factory=list)


class FeatureGates(Result):
    """Features by name, with the value of each."""

    gates: dict[str, str] = Field(default_factory=dict)


@summarises("upgrade_started")
def upgrade_started(answer: Observation) -> Upgrade:
    """Say that an upgrade was accepted."""
    body = answer.body
    task_id = text(get(body, "/metadata/uid"))
    action = get(body, "/spec/clusterUpgradeAction", {})
    source, target = text(get(action, "/version")), text(get(action, "/targetVersion"))
    return Upgrade(
        summary=f"The upgrade {way(source, target)} was accepted. "
        f"Until it has ended the cluster is Upgrading.{because(said(get(body, '/status')))}",
        task_id=task_id,
        verdict=verdict_of(phase) if (phase := text(get(body, "/status/phase"))) else RUNNING,
        from_version=source,
        to_version=target,
    )


@summarises("upgrade_task")
def upgrade_task(answer: Observation) -> Upgrade:
    """Say how one upgrade stands."""
    body = answer.body
    line = _task_line(body, UPGRADE)
    details = flattened(get(body, "/spec/items", {}))
    start = get(body, "/metadata/creationTimestamp")
    ended = line.verdict in (SUCCEEDED, FAILED)
    spent = took(start, get(body, "/status/completionTime") if ended else answer.now.isoformat())
    source = {"from_version": line.from_version} if line.from_version else {}
    next_ = {
        FAILED: [call(answer, "retry_upgrade", "Once the cause is fixed")],
        SUCCEEDED: [call(answer, "run_postcheck", "To see that the cluster is healthy", **source)],
    }
    doing = task_says(body, UPGRADE) if line.verdict == RUNNING else "" if line.verdict == FAILED else line.problem
    return Upgrade(
        summary=_said(line, spent, details) + because(doing),
        task_id=line.task_id,
        verdict=line.verdict,
        progress=line.progress,
        from_version=line.from_version or "",
        to_version=line.to_version or "",
        started=line.started,
        ended=line.ended,
        took=spent,
        problem=line.problem,
        details=details or None,
        next=next_.get(line.verdict, []),
    )


@summarises("upgrade_tasks", section="items")
def upgrade_tasks(answer: Observation) -> TaskList:
    """List a cluster's upgrades."""
    listed = _listed(answer, "upgrade", UPGRADE)
    first = listed.tasks[:1] if CURSOR not in answer.own else []
    reads = [
        read_or_wait(
            answer, "upgrade_task", "get_upgrade_task", "The latest", task_id=line.task_id, verdict=line.verdict
        )
        for line in first
    ]
    return listed.model_copy(update={"next": [*reads, *listed.next]})


@summarises("upgrade_retried", accepts=dict | str | NoneType)
def upgrade_retried(answer: Observation) -> Started:
    """Say that a failed upgrade runs again."""
    return Started(
        summary="The failed upgrade runs again.",
        warnings=unsuccessful(answer.body) if said(answer.body) else [],
        next=[call(answer, "list_upgrade_tasks", "Names its task, which wait_for waits for")],
    )


@summarises("backup_started")
def backup_started(answer: Observation) -> Started:
    """Say that a backup was started."""
    task_id = text(get(answer.body, "/uid")) or text(get(answer.body, "/metadata/uid"))
    which = f"The backup {word(task_id)} was started" if task_id else "A backup was started; its id is not reported"
    return Started(
        summary=f"{which}.{because(said(get(answer.body, '/status')))}",
        task_id=task_id or None,
    )


@summarises("backups", section="items")
def backups(answer: Observation) -> TaskList:
    """List a cluster's backups."""
    latest = stamp(get(answer.body, "/status/latestBackupTime"))
    listed = _listed(answer, "backup", BACKUP)
    every = items(answer.body, "/items")
    made = latest_backup(every) or moment(get(answer.body, "/status/latestBackupTime"))
    fresh = is_fresh(made, answer.now)
    busy = any(each.verdict == RUNNING for each in listed.tasks)
    none = "The latest is not new" if made else "None has succeeded" if every else "There is no backup yet"
    why = backup_said(every, answer.now) if backup_ends(every) else none
    next_ = [] if fresh or busy or CURSOR in answer.own else [call(answer, "backup_cluster", why)]
    if ALONE in answer.context and len(listed.tasks) == 1:
        (line,) = listed.tasks
        sentence = f"The backup {word(line.task_id)} {spoken(line.verdict)}.{because(line.problem)}"
        return TaskList(summary=sentence, tasks=[line], warnings=listed.warnings, next=next_)
    return listed.model_copy(update={"latest": latest or listed.latest, "next": [*next_, *listed.next]})


@summarises("upgrade_info")
def upgrade_info(answer: Observation) -> UpgradeInfo:
    """Say a cluster's version, what is offered to it, and how its upgrade stands."""
    body = answer.body
    release, patch = (text(get(body, f"/spec/versionInfo/{key}")) for key in ("release", "patch"))
    version, targets = runs_now(body), offered_to(body)
    phase = text(get(body, "/status/phase"))
    state = verdict_of(phase) if phase else None
    suggested = text(get(body, "/spec/versionInfo/suggestPatch"))
    last = text(get(body, "/spec/lastUpgradeInfo/phase"))
    busy = state in (RUNNING, FAILED, PAUSED)
    problem = said(get(body, "/status")) if state not in (None, SUCCEEDED) else ""
    before = last_upgrade_says(body)
    reported = get(body, "/spec/versionInfo/targetVersions") is not None
    return UpgradeInfo(
        summary=_offer(version, targets if reported else None)
        + (f" Its upgrade {spoken(state)}." if state and (busy or problem) else "")
        + because(problem)
        + (f" The last upgrade failed.{because(before)}" if before else ""),
        version=version,
        suggested_patch=f"{release}-{suggested}" if suggested and suggested != patch else None,
        targets=targets if reported else None,
        upgrade=state,
        problem=problem or None,
        progress=_percent(get(body, "/status/progress")) if busy else None,
        last_upgrade=verdict_of(last) if last else None,
        last_ended=stamp(get(body, "/spec/lastUpgradeInfo/completionTime")),
        next=_offered(answer, targets, state),
    )


@summarises("upgrade_paths", section="upgradePaths")
def upgrade_paths(answer: Observation) -> UpgradePaths:
    """List every upgrade path."""
    paths = [
        UpgradePath(
            version=text(get(each, "/version")),
            platform=text(get(each, "/platformVersion")),
            targets=", ".join(strings(each, "/targetVersions")),
        )
        for each in items(answer.body, "/upgradePaths")
    ]
    return UpgradePaths(summary=f"{plural(len(paths), 'version')} with upgrade paths.", paths=paths)


@summarises("upgrade_feature_gates", section="upgradeFeatureGates")
def upgrade_feature_gates(answer: Observation) -> FeatureGates:
    """List the upgrade features."""
    if not isinstance(get(answer.body, "/upgradeFeatureGates", {}), dict):
        raise TypeError("the features do not stand by their names")
    gates = mapping(answer.body, "/upgradeFeatureGates")
    on = sum(value.lower() in ("support", "true") for value in gates.values())
    return FeatureGates(summary=f"{plural(len(gates), 'upgrade feature')}, {on} of them supported.", gates=gates)


def _offer(version: str, targets: list[str] | None) -> str:
    """Return a sentence on the version of a cluster and where it can go; None is not reported."""
    runs = f"The cluster runs {word(version)}" if version else "Which version the cluster runs is not reported"
    if targets:
        return f"{runs}{' and' if version else '; it'} can be upgraded to {', '.join(word(each) for each in targets)}."
    if targets is None:
        return f"{runs}; which newer versions it can go to is not reported."
    return f"{runs}{' and' if version else '; it'} has no newer version to go to."


def _offered(answer: Observation, targets: list[str], state: str | None) -> list[Any]:
    if state == FAILED:
        return [
            call(answer, "list_upgrade_tasks", "Why it failed"),
            call(answer, "retry_upgrade", "Once that is fixed"),
        ]
    if state == RUNNING:
        return [call(answer, "list_upgrade_tasks", "How far it is")]
    return [call(answer, "assess_upgrade", "What blocks it, and what to do")] if targets else []


def _listed(answer: Observation, noun: str, kind: str) -> TaskList:
    page = history_page(answer, lambda each: _task_line(each, kind))
    first = page.items[:1] if CURSOR not in answer.own else []
    latest = [f"; the latest {_way(line)}{spoken(line.verdict)}" for line in first]
    why = because(first[0].problem) if first else ""
    return TaskList(
        summary=f"{plural(page.total, noun)}{''.join(latest)}.{why}",
        tasks=page.items,
        latest=first[0].ended if first else None,
        shown=page.shown,
        total=page.total,
        warnings=page.warnings,
        next=page.next,
    )


def _task_line(body: Any, kind: str) -> TaskLine:
    verdict = verdict_of(text(get(body, "/status/phase")), kind)
    return TaskLine(
        task_id=text(get(body, "/metadata/uid")),
        verdict=verdict,
        progress=_percent(get(body, "/status/progress")),
        from_version=text(get(body, "/spec/version")) or None,
        to_version=text(get(body, "/spec/targetVersion")) or None,
        started=created(body) or None,
        ended=stamp(get(body, "/status/completionTime")) if verdict in (SUCCEEDED, FAILED) else None,
        problem=(task_says(body, kind) or None) if verdict not in (RUNNING, SUCCEEDED) else None,
    )


def _said(line: TaskLine, spent: str | None, details: dict[str, Any]) -> str:
    after = f" after {spent}" if spent else ""
    far = f" at {line.progress:g} %" if line.progress is not None else ""
    why = "; ".join(f"{name}: {value}" for name, value in details.items() if text(value) not in (line.problem or ""))
    why = "; ".join(each for each in (line.problem, why) if each)
    because_of = quoted(why, 2 * SAID_LIMIT) if why else "No reason is given"
    sentences = {
        RUNNING: f"The upgrade {_way(line)}is running{far}{after}.",
        SUCCEEDED: f"The upgrade {_way(line)}succeeded{after}.",
        FAILED: f"The upgrade {_way(line)}failed{far}{after}. {because_of}.",
    }
    return sentences.get(line.verdict, f"The upgrade {_way(line)}{spoken(line.verdict)}{far}.")


def _way(line: TaskLine) -> str:
    return f"{way(line.from_version, line.to_version)} " if line.to_version else ""


def _percent(value: Any) -> float | None:
    found = number(value)
    return None if found is None else float(found)
