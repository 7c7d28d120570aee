"""What the summaries of upgrades, checks and workflows have in common."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ap_mcp.summaries.base import Answer, NextCall, get, items, moment, span, text, word
from ap_mcp.summaries.following import UNDER_WAY, WAIT_FOR
from ap_mcp.summaries.pages import Page, paged

LISTED = 20
"""Entries of a history on one page."""
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

LineT = TypeVar("LineT")


def verdict_of(phase: str) -> str:
    """Return the verdict on a task in a phase; an unknown phase stands for itself."""
    return VERDICTS.get(phase, phase or "unknown")


def spoken(verdict: str) -> str:
    """Return a verdict as the words that follow a noun."""
    words = {SUCCEEDED: "has succeeded", FAILED: "has failed", "cancelled": "was cancelled", "stopped": "has stopped"}
    return words.get(verdict) or f"is {verdict.replace('_', ' ') if verdict in _SPOKEN else word(verdict)}"


def stamp(value: Any) -> str | None:
    """Return a time of the cloud in one short form; what is no time stays as it is."""
    found = moment(value)
    return f"{found:%Y-%m-%dT%H:%M:%SZ}" if found else text(value) or None


def created(body: Any) -> str:
    """Return when a task was created, in a form that sorts."""
    return stamp(get(body, "/metadata/creationTimestamp")) or ""


def newest_first(body: Any) -> list[dict[str, Any]]:
    """Return the tasks of a list; the service promises no order."""
    return sorted(items(body, "/items"), key=created, reverse=True)


def took(start: Any, end: Any) -> str | None:
    """Return the time between two moments of the cloud, if both are known and in order."""
    begun, ended = moment(start), moment(end)
    return span(ended - begun) if begun and ended and ended >= begun else None


def latest_backup(tasks: Iterable[Any]) -> datetime | None:
    """Return when the latest backup that succeeded had ended; None if there is none, or none tells."""
    ends = [get(each, "/status/completionTime") for each in tasks if get(each, "/status/phase") == "Success"]
    return max((each for each in map(moment, ends) if each), default=None)


def history_page(answer: Answer, tell: Callable[[Any], LineT]) -> Page[LineT]:
    """Return a page of a history as lines, the newest first; only those that are shown are made."""
    page = paged(answer, newest_first(answer.body), LISTED, lambda each: text(get(each, "/metadata/uid")))
    return Page([tell(each) for each in page.items], page.total, page.warnings, page.next)


def look_at(answer: Answer, kind: str, tool: str, why: str, *, task_id: str, verdict: str) -> NextCall:
    """Propose to look at a task of a history with its tool, or to wait for its end while it runs."""
    if verdict == RUNNING:
        return call(answer, WAIT_FOR, UNDER_WAY, kind=kind, id=task_id)
    return call(answer, tool, why, task_id=task_id)


def cluster_of(answer: Answer) -> dict[str, Any]:
    """Return the argument that names the cluster of a call, for the calls that follow."""
    return {"cluster_id": answer.arguments.get("cluster_id", "")}


def call(answer: Answer, tool: str, why: str, **arguments: Any) -> NextCall:
    """Propose a call on the same cluster."""
    return NextCall(tool=tool, arguments={**cluster_of(answer), **arguments}, why=why)
