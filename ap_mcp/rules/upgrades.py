"""How a cluster's upgrades, pre-upgrade checks and backups stand, and what that allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from ap_mcp.rules.versions import resolve_target
from ap_mcp.vendor import get, moment, text, word

OLD_BACKUP = timedelta(days=1)
"""How old the latest backup may be before an upgrade."""
RUNNING, SUCCEEDED, FAILED = "running", "succeeded", "failed"
VERDICTS = {
    "Init": RUNNING,
    "Queuing": RUNNING,
    "Queueing": RUNNING,
    "Running": RUNNING,
    "Pause": "paused",
    "Success": SUCCEEDED,
    "Failed": FAILED,
}
_SPOKEN = frozenset({*VERDICTS.values(), "idle", "unknown", "ready", "ready_with_risks", "blocked", "error", "expired"})


def verdict_of(phase: str) -> str:
    """Return the verdict on a task in a phase; an unknown phase stands for itself."""
    return VERDICTS.get(phase, phase or "unknown")


def spoken(verdict: str) -> str:
    """Return a verdict as the words that follow a noun."""
    words = {SUCCEEDED: "has succeeded", FAILED: "has failed", "cancelled": "was cancelled", "stopped": "has stopped"}
    return words.get(verdict) or f"is {verdict.replace('_', ' ') if verdict in _SPOKEN else word(verdict)}"


def latest_backup(tasks: Iterable[Any]) -> datetime | None:
    """Return when the latest backup that succeeded had ended; None if there is none, or none tells."""
    ends = [get(each, "/status/completionTime") for each in tasks if get(each, "/status/phase") == "Success"]
    return max((each for each in map(moment, ends) if each), default=None)


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
    """Return when a task was created; one that does not tell counts as the oldest."""
    return moment(get(task, "/metadata/creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def tasks_of(body: Any) -> list[dict[str, Any]] | None:
    """Return the checks, upgrades or whatever else a cluster has, the oldest first; None if the answer lists nothing.

    A list that was left out or null is empty.
    """
    found = get(body, "/items", [] if isinstance(body, Mapping) else None)
    return sorted((each for each in found if isinstance(each, dict)), key=began) if isinstance(found, list) else None


def upgrade_verdicts(tasks: Sequence[Any], info: Any) -> list[str]:
    """Return how a cluster's latest upgrade stands: by its task, if there is one, and by get_upgrade_info, if it tells.

    Args:
        tasks: its upgrades, the oldest first.
        info: what get_upgrade_info answered.
    """
    told = [get(tasks[-1], "/status/phase", "")] if tasks else []
    told += [get(info, "/status/phase")]
    return [verdict_of(text(each)) for each in told if each is not None]


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
    fitting = [each for each in every if _is_for(each, way) and _is_told(each)]
    if not fitting:
        broken: Mapping[str, Any] = max((each for each in every if _is_for(each, way)), key=began, default={})
        return Judged("none", broken, tuple(sorted({_aim(each) for each in every if _passed(each)})))
    newest = max(fitting, key=began)
    if not _passed(newest):
        running = verdict_of(text(get(newest, "/status/phase"))) == RUNNING
        return Judged("running" if running else "not passed", newest)
    expires = moment(get(newest, "/status/expireTimeStamp"))
    if expires is None:
        return Judged("undated", newest)
    return Judged("expired" if expires <= at else "passed", newest)


def _is_for(check: Any, way: Way) -> bool:
    """Say whether a check is about an upgrade of this cluster as it is now."""
    owner, source = text(get(check, "/spec/clusterID")), text(get(check, "/spec/clusterVersion"))
    ours = owner.lower() in ("", way.cluster_id.lower()) and source == way.now
    return ours and resolve_target(_aim(check), way.offered) == way.target


def _aim(check: Any) -> str:
    return text(get(check, "/spec/targetVersion"))


def _passed(check: Any) -> bool:
    return bool(get(check, "/status/phase") == "Success")


def _is_told(check: Any) -> bool:
    """Say whether a check says anything: one that broke off by itself does not undo an earlier one."""
    return bool(get(check, "/status/phase") != "Error")
