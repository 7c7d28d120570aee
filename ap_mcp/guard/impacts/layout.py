"""Lays out what a person reads before they agree: what decides in the first three lines, then all of it.

Many clients show no more of a form than its first lines, each cut at their width, and do not say so. The first line
says what is done to which thing, and whether there is a way back; the second which risks are taken and what goes; the
third what is changed, what should make one hesitate, what stays and what is unknown. Where no risk is taken and nothing
goes, that has the second line too. What did not fit is counted in lines, for that is what it takes further below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ap_mcp.guard.where import Where
from ap_mcp.wording import cut_at, cut_within, plural, width

if TYPE_CHECKING:
    from ap_mcp.guard.impacts.base import Impact

WIDTH = 74
"""Columns of a line that every client shows: on a terminal of 80, Claude Code cuts a longer one there."""
_LEAST = 12
"""Columns that must be left for what is done, or where it is done is cut too."""
RISK = "Risk remains: "
"""Stands before what a check is to skip: it is skipped by the check, not taken away."""
NOTHING_GOES = "Goes: nothing that is known."
NOTHING_MORE = "Nothing stays, changes or is unknown beside that."
NOTHING_ELSE = "Goes: nothing that is known; nothing else stays, changes or is unknown."


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
    rest = [
        ("Changes: ", impact.changes),
        ("Warning: ", impact.warnings),
        ("Stays: ", impact.stays),
        ("Not known: ", impact.unknown),
    ]
    if impact.risks or impact.goes:
        (goes,), goes_fit = _filled([(RISK, impact.risks), ("Goes: ", impact.goes)], 1)
        (other,), other_fits = _filled(rest, 1)
        first, fits = (deed, goes, other or NOTHING_MORE), deed_fits and goes_fit and other_fits
    else:
        (other, more), other_fits = _filled(rest, 2)
        first, fits = (
            (deed, other or NOTHING_GOES, more or (NOTHING_ELSE if other else NOTHING_MORE)),
            deed_fits and other_fits,
        )
    return Layout(first, tuple(_whole(impact, where)), fits)


def _deed(impact: "Impact", head: str) -> tuple[str, bool]:
    """Return the line about what is done to which thing, and whether all of it is there.

    Where it is too long, the name of the thing is cut in its middle, as its kind, what is done and where say more.
    """
    after = " No way back." if impact.final else ""
    whole = f"{head}: {impact.deed}{after}"
    if width(whole) <= WIDTH:
        return whole, True
    begins, place = f"{head}: ", impact.place if impact.deed.endswith(impact.place) else ""
    if width(f"{begins} {place}{after}") + _LEAST > WIDTH:
        place = ""
    done, ends = impact.deed.removesuffix(place).rstrip(), f" {place}{after}" if place else after
    shorter = cut_within(done, WIDTH - width(begins) - width(ends)) if place else ""
    return (f"{begins}{shorter}{ends}" if shorter else cut_at(f"{begins}{done}", WIDTH, ends)), False


def _filled(groups: Sequence[tuple[str, Sequence[str]]], count: int) -> tuple[list[str], bool]:
    """Return as much of some groups as fits into some lines, in their order, and whether that is all.

    What did not fit is counted at the end of the last line; a line for which nothing is left is empty.
    """
    left = [(label, entry) for label, entries in groups for entry in entries]
    lines, whole = [], True
    for number in range(count):
        line, shown, is_cut = _line(left, counts=number == count - 1)
        left, whole = left[shown:], whole and not is_cut
        lines.append(line)
    return lines, whole and not left


def _line(entries: Sequence[tuple[str, str]], *, counts: bool) -> tuple[str, int, bool]:
    """Return a line of as many entries as fit, their number, and whether one was cut for it.

    Args:
        entries: each with the label of its group.
        counts: how many are left is said at its end.
    """
    line, last = "", ""
    fitting, shown = "", 0
    for number, (label, entry) in enumerate(entries, 1):
        before = f"{line}; " if line and label == last else f"{line.rstrip('.')}. {label}" if line else label
        line, last = f"{before}{entry}", label
        if width(line) > WIDTH:
            break
        more = _more(len(entries) - number) if counts else ""
        if width(line) <= WIDTH - len(more):
            fitting, shown = f"{line}{more}", number
    if entries and not shown:
        label, entry = entries[0]
        return cut_at(f"{label}{entry}", WIDTH, _more(len(entries) - 1) if counts else ""), 1, True
    return fitting, shown, False


def _more(count: int) -> str:
    return f" (+{plural(count, 'line')})" if count else ""


def _whole(impact: "Impact", where: Where) -> list[str]:
    """Return all of an impact: where, what happens, what changes, warnings, what it is, what goes and stays."""
    lines = [*where.lines(), impact.sentence]
    lines += [f"Warning: {each}" for each in impact.warnings]
    lines += _listed("Changes:", impact.changes)
    lines += [f"{label}: {value}" for label, value in impact.facts]
    lines += _listed("Risks that remain, for the check is to skip them:", impact.risks)
    lines += _listed("Goes:", impact.goes)
    lines += _listed("Stays:", impact.stays)
    lines += _listed("Not known:", impact.unknown)
    return lines


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    return [title, *(f"- {line}" for line in entries)] if entries else []
