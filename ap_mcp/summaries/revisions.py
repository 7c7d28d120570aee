"""Compares the revisions of a release: what each one changed, and which older one it is like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ap_mcp.rules.settings import settings
from ap_mcp.rules.settings_diff import ABSENT, changes, digest, hidden_in_both, lines
from ap_mcp.vendor import get, loaded, number, text
from ap_mcp.wording import few

CHART = ("chart_name", "chart_version")
BUT_MASKED = ", but masked values are not compared"
NONE_OLDER = "no older revision is listed to compare with"
NOT_NUMBERED = "its number is not reported, so it is not compared"


@dataclass(frozen=True, slots=True)
class Revision:
    """What a revision runs.

    Attributes:
        number: which one it is; None if that is not reported.
        chart: name and version of its chart; empty unless both are reported.
        values: its values; text if they hold no object, ABSENT if they are not reported.
    """

    number: int | None
    chart: Mapping[str, str]
    values: Any

    @property
    def parts(self) -> set[str]:
        """What of it can be compared."""
        return {*(["chart"] if self.chart else []), *([] if self.values is ABSENT else ["values"])}

    def only(self, parts: set[str]) -> dict[str, Any]:
        """Return some parts of it as one tree of settings."""
        tree: dict[str, Any] = dict(self.chart) if "chart" in parts else {}
        return tree | {"values": self.values} if "values" in parts else tree


def read_revision(body: Any) -> Revision:
    """Read one revision of a history."""
    found = number(get(body, "/version"))
    chart = {key: text(get(body, f"/{key}")) for key in CHART}
    return Revision(None if found is None else int(found), chart if all(chart.values()) else {}, _values(body))


def changes_of(revisions: Sequence[Revision]) -> list[list[str]]:
    """Return, for each revision, what differs from the one before it.

    Args:
        revisions: the newest first; those without a number stand last.
    """
    numbered = [each for each in revisions if each.number is not None]
    twins = _twins(numbered)
    found = [_compared(now, before, twin) for (now, before), twin in zip(pairwise(numbered), twins, strict=False)]
    oldest = [[NONE_OLDER] if each.number not in (0, 1) else [] for each in numbered[-1:]]
    return [*found, *oldest, *([NOT_NUMBERED] for _ in revisions[len(numbered) :])]


def not_compared(revisions: Sequence[Revision]) -> list[str]:
    """Warn of values that are masked, whose changes are not shown here."""
    numbered = [each for each in revisions if each.number is not None]
    found = {path for now, before in pairwise(numbered) for path in _hidden(before, now)}
    return [f"Masked values are not compared between revisions: {few(sorted(found))}."] if found else []


def _values(body: Any) -> Any:
    """Return the values of a revision; those too deep to walk count as not reported."""
    value = get(body, "/values")
    if value in (None, ""):
        return ABSENT
    found = settings(value)
    if found is not None:
        return found
    return ABSENT if isinstance(loaded(value), dict | list) else value


def _twins(revisions: Sequence[Revision]) -> list[int | None]:
    """Return, for each revision, the oldest one with the same chart and values; None if there is none."""
    first: dict[str, int | None] = {}
    found: list[int | None] = []
    for each in reversed(revisions):
        if each.parts < {"chart", "values"}:
            found.append(None)
            continue
        seal = digest(each.only(each.parts))
        found.append(first.get(seal))
        first.setdefault(seal, each.number)
    return found[::-1]


def _compared(now: Revision, before: Revision, twin: int | None) -> list[str]:
    """Say what differs between a revision and the one listed before it.

    Args:
        now: the revision.
        before: the next older one in the list.
        twin: an older one that it is like, as after a rollback.
    """
    parts = now.parts & before.parts
    found = changes(before.only(parts), now.only(parts))
    said = []
    if now.number is not None and before.number != now.number - 1:
        said.append(f"compared with revision {before.number}, the next older one listed")
    if found and twin is not None:
        said.append(f"same chart and values as revision {twin}{BUT_MASKED if _hidden(now, now) else ''}")
    if not found and parts:
        what = " and ".join(sorted(parts))
        masked = "values" in parts and _hidden(before, now)
        said.append(f"same {what} as revision {before.number}{BUT_MASKED if masked else ''}")
    return [*said, *lines(found), *_missing(parts)]


def _missing(parts: set[str]) -> list[str]:
    """Say what could not be compared."""
    if not parts:
        return ["neither chart nor values are reported, so nothing is compared"]
    if parts == {"chart"}:
        return ["values are not reported: only the chart is compared"]
    return ["the chart is not reported: only values are compared"] if parts == {"values"} else []


def _hidden(before: Revision, now: Revision) -> list[str]:
    return hidden_in_both({"values": before.values}, {"values": now.values})
