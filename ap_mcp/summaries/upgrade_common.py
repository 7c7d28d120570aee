"""What the summaries of upgrades, checks and workflows have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

from ap_mcp.rules.upgrades import RUNNING
from ap_mcp.rules.wait_hints import UNDER_WAY, WAIT_FOR
from ap_mcp.summaries.base import NextCall, Observation
from ap_mcp.summaries.pages import Page, paged
from ap_mcp.vendor import get, items, moment, stamp, text
from ap_mcp.wording import span

LISTED = 20
"""Entries of a history on one page."""


LineT = TypeVar("LineT")


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


def history_page(answer: Observation, line_of: Callable[[Any], LineT]) -> Page[LineT]:
    """Return a page of a history as lines, the newest first; only those that are shown are made."""
    page = paged(answer, newest_first(answer.body), LISTED, lambda each: text(get(each, "/metadata/uid")))
    return Page([line_of(each) for each in page.items], page.total, page.warnings, page.next)


def read_or_wait(answer: Observation, kind: str, tool: str, why: str, *, task_id: str, verdict: str) -> NextCall:
    """Propose to read a task of a history with its tool, or to wait for its end while it runs."""
    if verdict == RUNNING:
        return call(answer, WAIT_FOR, UNDER_WAY, kind=kind, id=task_id)
    return call(answer, tool, why, task_id=task_id)


def cluster_of(answer: Observation) -> dict[str, Any]:
    """Return the argument that names the cluster of a call, for the calls that follow."""
    return {"cluster_id": answer.arguments.get("cluster_id", "")}


def call(answer: Observation, tool: str, why: str, **arguments: Any) -> NextCall:
    """Propose a call on the same cluster."""
    return NextCall(tool=tool, arguments={**cluster_of(answer), **arguments}, why=why)
