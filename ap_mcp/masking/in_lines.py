"""Hides what stands below a secret's name in lines, as in YAML, without parsing it: it is often cut or broken."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ap_mcp.late_patterns import later
from ap_mcp.masking.in_templates import hide_in_template, is_template
from ap_mcp.masking.names import Sense, describes_a_secret, sense_of
from ap_mcp.masking.placeholders import PLACEHOLDER
from ap_mcp.masking.values import is_opaque, is_open, looks_secret

LEAD = r"[ \t]*(?:-[ \t]+)*"
_LINE = later(
    rf"(?P<lead>{LEAD})(?P<key>\"[^\"]{{1,128}}\"|'[^']{{1,128}}'|[^\s:#\"'{{}}\[\],&*!|>%@`-][^\s:]{{0,127}})"
    r"(?P<colon>[ \t]*:)(?:[ \t]+(?P<value>.*))?"
)
_BLANKS = later(r"[ \t]*")
_NEAR = 20
"""Lines in which the other half of a pair is sought."""
_BLOCK = later(r"(?:[&!][\w.!/:-]{1,64}[ \t]+){0,2}[|>][+\d-]{0,3}(?:[ \t]+#.*)?")
_FACT_KEY = later(r"[\w.-]*[kK](?:ey|EY)[sS]?")


class Edit(NamedTuple):
    """A piece of a text, and what to show instead."""

    start: int
    end: int
    shown: str


class Line(NamedTuple):
    """One line of a text."""

    source: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """What stands in it."""
        return self.source[self.start : self.end]

    @property
    def indent(self) -> int:
        """Columns before its first character."""
        found = _BLANKS.match(self.source, self.start, self.end)
        return found.end() - self.start if found else 0

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in it."""
        return self.start + self.indent == self.end or self.source[self.start + self.indent] == "\r"


def line_at(text: str, position: int) -> Line:
    """Return the line that a position is in."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return Line(text, start, len(text) if end < 0 else end)


def lines_after(line: Line, most: int | None = None) -> Iterator[Line]:
    """Yield the lines behind one, at most so many."""
    text = line.source
    while line.end < len(text) and most != 0:
        line = line_at(text, line.end + 1)
        most = most - 1 if most else None
        yield line


def lines_before(line: Line, most: int) -> Iterator[Line]:
    """Yield the lines in front of one, the nearest first, at most so many."""
    for _ in range(most):
        if line.start == 0:
            return
        line = line_at(line.source, line.start - 1)
        yield line


def goes_on_below(value: str) -> bool:
    """Say whether what follows a name on its line only opens what is in the lines below."""
    return value in ("", "{", "[") or value.startswith("#") or (value[:1] in ("&", "!") and " " not in value)


def is_block(value: str) -> bool:
    """Say whether a text of several lines begins: `|`, `>-`."""
    return value[:1] in ("|", ">", "&", "!") and _BLOCK.fullmatch(value) is not None


def below(line: Line, column: int, *, items: bool) -> list[Line]:
    """Return the lines that belong to a name at a column: those further in, and the items of a list at its column."""
    found: list[Line] = []
    for each in lines_after(line):
        deeper = each.indent > column or (
            items and each.indent == column and each.source[each.start + column : each.start + column + 1] == "-"
        )
        if not each.is_blank and not deeper:
            break
        found.append(each)
    while found and found[-1].is_blank:
        found.pop()
    return found


def hide_below(lines: list[Line], *, sealed: bool) -> Iterator[Edit]:
    """Hide what stands in the lines below a secret's name, but for the facts about it.

    Args:
        lines: those below.
        sealed: it is the data of a Secret, in which every value is one.
    """
    drops: int | None = None
    for line in lines:
        if drops is not None and line.indent > drops:
            yield Edit(line.start - 1, line.end, "")
            continue
        drops = None
        shown = _shown_below(line.text, sealed=sealed)
        if shown != line.text:
            match = _LINE.fullmatch(line.text)
            drops = len(match["lead"]) if match is not None else None
            yield Edit(line.start, line.end, shown)


def _shown_below(line: str, *, sealed: bool) -> str:
    match = _LINE.fullmatch(line)
    if match is None:
        bare = line.lstrip(" \t-")
        item = bare.strip("{}[], \r")
        reveals = item and not item.startswith("#") and not is_open(item) and item.strip("\"'") != PLACEHOLDER
        return line[: len(line) - len(bare)] + PLACEHOLDER if reveals else line
    value = (match["value"] or "").strip()
    key = match["key"].strip("\"'")
    if goes_on_below(value) or reveals_nothing(value) or (not sealed and is_fact(key, value)):
        return line
    shown = hide_in_template(value) if is_template(value) and not sealed else PLACEHOLDER
    return f"{match['lead']}{match['key']}{match['colon']} {shown}"


def is_fact(key: str, value: str) -> bool:
    """Say whether a value below a secret's name only says something about it, or which key of a Secret it is."""
    if describes_a_secret(key):
        return True
    names_key = _FACT_KEY.fullmatch(key) is not None and sense_of(key) in (Sense.PERHAPS, Sense.PLAIN)
    return names_key and not is_opaque(bare(value))


def bare(value: str) -> str:
    """Return a value without the comma behind it and its quotation marks."""
    return value.strip().rstrip(", ").strip("\"'")


def reveals_nothing(value: str) -> bool:
    """Say whether a value as it stands in a line may be shown below a secret's name."""
    inner = bare(value)
    return is_open(value) or is_open(inner) or inner == PLACEHOLDER or value.rstrip(", ") in ("{}", "[]")


def siblings(line: Line) -> Iterator[Line]:
    """Yield the lines of the same entry: `value:` beside `name:`, before and behind it."""
    match = _LINE.fullmatch(line.text)
    if match is not None:
        if "-" not in match["lead"]:
            yield from _entry(match, lines_before(line, _NEAR), forward=False)
        yield from _entry(match, lines_after(line, _NEAR), forward=True)


def _entry(match: re.Match[str], lines: Iterator[Line], *, forward: bool) -> Iterator[Line]:
    """Yield lines that begin at the column of a name, as far as they are of its entry."""
    column = len(match["lead"])
    for each in lines:
        other = _LINE.fullmatch(each.text)
        at = len(other["lead"]) if other else each.indent
        begins = other is not None and "-" in other["lead"]
        if other is None or at > column:
            if other is None and not each.is_blank and at <= column:
                return
            continue
        if at < column or other["key"] == match["key"] or (forward and begins):
            return
        yield each
        if begins:
            return


def key_and_value(line: Line) -> tuple[str, str, int]:
    """Return the key of a line, its value, and where the value begins in the text; empty if it has none."""
    match = _LINE.fullmatch(line.text)
    if match is None or match["value"] is None:
        return "", "", line.end
    return match["key"].strip("\"'"), match["value"], line.start + match.start("value")


def hidden_value(name: str, sense: Sense, value: str) -> str:
    """Return what to show of the rest of a line behind a name."""
    inner = bare(value)
    if reveals_nothing(value) or not looks_secret(name, sense, inner):
        return value
    return hide_in_template(value) if is_template(value) else PLACEHOLDER
