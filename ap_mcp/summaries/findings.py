"""Shows the findings of a pre-upgrade check: the first in full, of the others the names."""

from collections.abc import Iterable, Mapping
from typing import Any

from ap_mcp.rules.findings import DETAILED, WHY_LIMIT, Failure
from ap_mcp.summaries.base import Part
from ap_mcp.vendor import get, items, text
from ap_mcp.wording import few, plural

NAMED = 3
"""Nodes or clients that are named before the rest is counted."""


class Finding(Part):
    """An item that failed, once for all the nodes on which it failed in the same way."""

    name: str
    group: str = ""
    level: str = ""
    count: int = 1
    where: str | None = None
    why: str = ""
    do: str | None = None


def shown(failures_: Iterable[Failure]) -> list[Finding]:
    """Show the first findings in full."""
    return [_finding(each) for each in list(failures_)[:DETAILED]]


def named(failures_: Iterable[Failure]) -> list[str]:
    """Name the findings that `shown` leaves out."""
    left = list(failures_)[DETAILED:]
    return [f"{each.name} on {plural(len(each.nodes), 'node')}" if each.nodes else each.name for each in left]


def _finding(failure: Failure) -> Finding:
    return Finding(
        name=failure.name,
        group=failure.group,
        level=failure.level,
        count=failure.count,
        where=_where(failure) or None,
        why=_why(failure),
        do=_advice(failure) if failure.blocks else None,
    )


def _why(failure: Failure) -> str:
    said = text(failure.message, WHY_LIMIT)
    return f"{said} (code {', '.join(failure.codes)})".lstrip() if failure.codes else said


def _where(failure: Failure) -> str:
    source = failure.source
    if NAMED < len(failure.nodes) == failure.checked:
        return f"all {failure.checked} nodes"
    if failure.nodes:
        return few(sorted(failure.nodes.values()), NAMED)
    addons = [get(each, "/addonTemplateName", get(each, "/addonTemplate")) for each in items(source, "/addonRisks")]
    if addons:
        return few([f"add-on {text(each)}" for each in addons], NAMED)
    if apis := items(source, "/deprecatedAPIRisks"):
        return "; ".join(f"{few(urls, NAMED)} used by {client}" for client, urls in _by_client(apis).items())
    if nodes := items(source, "/nodeRisks"):
        return few([f"node {text(get(each, '/NodeID'))}" for each in nodes], NAMED)
    settings = items(source, "/configurationRisks")
    return few([f"{text(get(each, '/package'))} {text(get(each, '/field'))}" for each in settings], NAMED)


def _by_client(apis: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    used: dict[str, list[str]] = {}
    for each in apis:
        used.setdefault(text(get(each, "/userAgent")), []).append(text(get(each, "/url")))
    return used


def _advice(failure: Failure) -> str:
    source = failure.source
    if get(source, "/addonRisks"):
        return "Bring the add-on to a fitting, healthy state: assess_upgrade says how."
    if get(source, "/deprecatedAPIRisks"):
        return "Move the clients to an API version that the target serves."
    if get(source, "/configurationRisks"):
        return "Restore the changed settings."
    if failure.nodes or get(source, "/nodeRisks"):
        return "Fix the nodes."
    return "Fix the cause, then check again."
