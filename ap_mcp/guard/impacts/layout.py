"""Lays out what a person reads before they agree: what decides in the first three lines, then all of it.

Many clients show no more of a form than its first lines, each cut at their width, and do not say so. The first line
says what is done to which thing, and whether there is a way back; the second what goes; the third what is changed,
what should make one hesitate, what stays and what is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ap_mcp.guard.where import Where
from ap_mcp.wording import cut_at, width

if TYPE_CHECKING:
    from ap_mcp.guard.impacts.base import Impact

WIDTH = 76
"""Columns of a line that every client shows."""
NOTHING_GOES = "Goes: nothing that is known."
NOTHING_MORE = "Nothing stays, changes or is unknown beside that."


@dataclass(frozen=True, slots=True)
class Layout:
    """A question as a person reads it.

    Attributes:
        first: the three lines that decide, none wider than `WIDTH`.
        rest: all that follows.
        fits: nothing that decides stands in the rest only.
    """

    first: tuple[str, str, str]
    rest: tuple[str, ...]
    fits: bool

    def text(self, note: str = "") -> str:
        """Return all of it; a note stands below the lines that decide."""
        return "\n".join([*self.first, *([note] if note else []), *self.rest])


def laid_out(impact: "Impact", where: Where) -> Layout:
    """Return an impact as the question that a person reads."""
    deed, deed_fits = _deed(impact, where.head)
    goes, goes_fit = _within("", [("Goes: ", impact.goes)]) if impact.goes else (NOTHING_GOES, True)
    rest = [
        ("Changes: ", impact.changes),
        ("Warning: ", impact.warnings),
        ("Stays: ", impact.stays),
        ("Not known: ", impact.unknown),
    ]
    other, other_fits = _within(NOTHING_MORE, rest)
    return Layout((deed, goes, other), tuple(_whole(impact, where)), deed_fits and goes_fit and other_fits)


def _deed(impact: "Impact", head: str) -> tuple[str, bool]:
    """Return the line about what is done to which thing, and whether all of it is there."""
    after = " No way back." if impact.final else ""
    whole = f"{head}: {impact.deed}{after}"
    return (whole, True) if width(whole) <= WIDTH else (cut_at(whole[: -len(after) or None], WIDTH, after), False)


def _within(empty: str, groups: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, bool]:
    """Return as much of some groups as fits into a line, in their order, and whether that is all."""
    line, total, shown = "", sum(len(each) for _, each in groups), 0
    for label, entries in groups:
        for number, entry in enumerate(entries):
            before = f"{line}; " if number else f"{line.rstrip('.')}. {label}" if line else label
            longer = f"{before}{entry}"
            left = total - shown - 1
            if width(longer) > WIDTH - (len(_more(left)) if left else 0):
                if not shown:
                    line = cut_at(longer, WIDTH, _more(left))
                    return line, False
                return f"{line}{_more(total - shown)}", False
            line, shown = longer, shown + 1
    return line or empty, True


def _more(count: int) -> str:
    return f" (+{count} more)" if count else ""


def _whole(impact: "Impact", where: Where) -> list[str]:
    """Return all of an impact: where, what happens, what changes, warnings, what it is, what goes and stays."""
    lines = [*where.lines(), impact.sentence]
    lines += [f"Warning: {each}" for each in impact.warnings]
    lines += _listed("Changes:", impact.changes)
    lines += [f"{label}: {value}" for label, value in impact.facts]
    lines += _listed("Goes:", impact.goes)
    lines += _listed("Stays:", impact.stays)
    lines += _listed("Not known:", impact.unknown)
    return lines


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    return [title, *(f"- {line}" for line in entries)] if entries else []
