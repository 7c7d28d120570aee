"""Shapes answers about stored charts: which there are, what settings they take, and where an archive went."""

from collections import Counter
from typing import Any

from pydantic import Field

from ap_mcp.files import KeptFile
from ap_mcp.rules.deletion import unsuccessful
from ap_mcp.rules.quotas import is_of_charts
from ap_mcp.rules.settings import settings
from ap_mcp.summaries.base import NextCall, Observation, Part, Result, summarises
from ap_mcp.summaries.pages import paged
from ap_mcp.summaries.quotas import is_unlimited
from ap_mcp.summaries.settings_shown import shown_settings
from ap_mcp.vendor import flag, get, items, moment, number, quoted, stamp, text, word, written
from ap_mcp.wording import plural

__all__ = ["chart", "chart_archive", "chart_change", "chart_deletion", "chart_list", "chart_quota", "chart_values"]

NAMES_SHOWN = 8
SHOWN = 100
"""Charts on one page."""


class ChartLine(Part):
    """One chart in a list."""

    id: str
    name: str
    version: str
    changed: str | None = None


class ChartList(Result):
    """The stored charts."""

    charts: list[ChartLine] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


class ChartState(Result):
    """One stored chart."""

    id: str = ""
    name: str = ""
    version: str = ""
    description: str | None = None
    public: bool | None = None
    changed: str | None = None
    settings: list[str] | None = None


class ChartChange(Result):
    """What an upload or an update has stored."""

    id: str = ""
    name: str = ""
    version: str = ""


class ChartValues(Result):
    """The settings a chart takes, with their defaults."""

    values: dict[str, Any] | None = None
    left_out: list[str] | None = None


class ChartArchive(Result):
    """Where the archive of a chart was saved."""

    path: str = ""
    bytes: int | None = None
    sha256: str = ""


class ChartDeletion(Result):
    """Which chart was deleted."""

    id: str = ""


class ChartQuota(Result):
    """How many charts may be stored and how many are."""

    limit: int | None = None
    used: int | None = None
    unlimited: bool | None = None


@summarises("chart_list", accepts=list)
def chart_list(answer: Observation) -> ChartList:
    """List the stored charts, versions of one chart together."""
    lines = sorted(
        (_chart_line(each) for each in items(answer.body)), key=lambda line: (line.name, line.version, line.id)
    )
    counted = Counter(line.name for line in lines)
    named = [word(name) if count == 1 else f"{word(name)} ({count} versions)" for name, count in counted.items()]
    more = f" and {plural(len(named) - NAMES_SHOWN, 'more chart')}" if len(named) > NAMES_SHOWN else ""
    said = f": {', '.join(named[:NAMES_SHOWN])}{more}" if named else ""
    page = paged(answer, lines, SHOWN, lambda line: line.id)
    return ChartList(
        summary=f"{plural(len(lines), 'stored chart')}{said}.",
        charts=page.items,
        shown=page.shown,
        total=page.total,
        warnings=page.warnings,
        next=page.next,
    )


@summarises("chart")
def chart(answer: Observation) -> ChartState:
    """Show one chart."""
    body = answer.body
    line = _chart_line(body)
    values = settings(get(body, "/values"))
    return ChartState(
        summary=f"{_what(line)}, {_changed(body)}.",
        id=line.id,
        name=line.name,
        version=line.version,
        description=text(get(body, "/description")) or None,
        public=flag(get(body, "/public")),
        changed=line.changed,
        settings=None if values is None else sorted(text(key) for key in values),
        next=_settings_of(line, "its settings with their defaults"),
    )


@summarises("chart_change")
def chart_change(answer: Observation) -> ChartChange:
    """Say what an upload or an update has stored."""
    line = _chart_line(answer.body)
    updated = f"The chart {word(line.id)} is {_what(line)} now; releases of it stay as they are."
    stored = f"{_what(line)} is stored{f' as chart {word(line.id)}' if line.id else '; its id is not reported'}."
    return ChartChange(
        summary=updated if "chart_id" in answer.arguments else stored,
        id=line.id,
        name=line.name,
        version=line.version,
        next=_settings_of(line, "its settings, before a release is made or changed"),
    )


@summarises("chart_values")
def chart_values(answer: Observation) -> ChartValues:
    """Show a chart's settings, or a section of them; where they are large, some by name only."""
    found = shown_settings(answer, "The chart takes")
    return ChartValues(
        summary=f"{found.said}." if found.said else "The chart's settings are not shown.",
        values=found.values,
        left_out=found.left_out or None,
        warnings=found.warnings,
        next=found.next,
    )


@summarises("chart_archive", accepts=str | None)
def chart_archive(answer: Observation) -> ChartArchive:
    """Say where an archive was saved."""
    chart_id = text(answer.arguments.get("chart_id"))
    if answer.file is None:
        return ChartArchive(summary=f"The archive of chart {word(chart_id)} came, but was not saved.")
    file = answer.file
    path = "" if isinstance(file, KeptFile) else str(file.path)
    place = f"is kept for you for a while: read {file.uri}" if isinstance(file, KeptFile) else f"is in {path}"
    return ChartArchive(
        summary=f"The archive of chart {word(chart_id)} {place} ({file.bytes} bytes).",
        path=path,
        bytes=file.bytes,
        sha256=file.sha256,
    )


@summarises("chart_deletion", accepts=str | dict | None)
def chart_deletion(answer: Observation) -> ChartDeletion:
    """Say that a chart was deleted."""
    chart_id = text(answer.arguments.get("chart_id"))
    return ChartDeletion(
        summary=f"The chart {word(chart_id)} is deleted; releases made from it keep running.",
        id=chart_id,
        warnings=unsuccessful(answer.body),
    )


@summarises("chart_quota")
def chart_quota(answer: Observation) -> ChartQuota:
    """Say how much room for charts is left."""
    found = items(answer.body, "/quotas/resources")
    own = next((each for each in found if is_of_charts(each)), {})
    limit, used = _whole(get(own, "/quota")), _whole(get(own, "/used"))
    if limit is None or used is None:
        others = [f"It reported {quoted(found)}."] if found and not own else []
        said = "The service did not report the quota."
        return ChartQuota(summary=said, limit=limit, used=used, warnings=others)
    if is_unlimited(limit):
        said = f"{plural(used, 'chart is', 'charts are')} stored, no limit."
        return ChartQuota(summary=said, used=used, unlimited=True)
    cure = "delete a chart before the next upload" if used else "no chart can be uploaded"
    full = [f"The quota is used up: {cure}."] if used >= limit else []
    return ChartQuota(summary=f"{used} of {limit} charts are stored.", limit=limit, used=used, warnings=full)


def _settings_of(line: ChartLine, why: str) -> list[NextCall]:
    return [NextCall(tool="get_chart_values", arguments={"chart_id": line.id}, why=why)] if line.id else []


def _chart_line(body: Any) -> ChartLine:
    return ChartLine(
        id=text(get(body, "/id")),
        name=text(get(body, "/name")) or "chart",
        version=text(get(body, "/version")),
        changed=stamp(_changed_at(body)),
    )


def _changed_at(body: Any) -> Any:
    return get(body, "/update_at") or get(body, "/create_at")


def _changed(body: Any) -> str:
    """Say when a chart was last changed; what is no time is quoted."""
    value = _changed_at(body)
    if found := moment(value):
        return f"changed at {written(found)}"
    return f"changed {quoted(value)}" if value else "changed at a time that is not reported"


def _what(line: ChartLine) -> str:
    return " ".join(word(each) for each in (line.name, line.version) if each)


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)
