"""A result as a person at a terminal reads it: lists in columns, names first, states in colour.

It is made from the same fields as the text for agents, and says all that this says: what does not fit beside the other
columns stands below its row. Nothing is cut.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ap_mcp.rendering import Piece, cell, field_lines, pieces
from ap_mcp.specs.waits import DELETING, FAILURE, SUCCESS, TRANSITIONAL
from ap_mcp.wording import width

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ap_mcp.summaries import Result

NAME, ID = "name", "id"
STATES = frozenset({"phase", "status", "state"})
"""Fields that hold a phase of the API; what it means stands in the specs."""
VERDICTS = frozenset({"verdict", "gravity"})
"""Fields that hold a word of ours."""
WORDS = {
    "green": frozenset(["ready", "go", "passed", "succeeded"]),
    "yellow": frozenset(["ready_with_risks", "running", "expired", "warning", "idle"]),
    "bold red": frozenset(["blocked", "failed", "error", "critical"]),
}
"""What such words mean: green is good, red has failed, yellow goes on or needs attention."""
_PHASES = {SUCCESS: "green", TRANSITIONAL: "yellow", DELETING: "yellow", FAILURE: "bold red"}
NOTHING = "-"
"""Stands in the first column of a row that has nothing there, so that it is seen to be a row."""
_GAP = "  "
_INDENT = "    "


def is_fit(stream: Any) -> bool:
    """Say whether a stream is a terminal that shows colours, and whose user has not said no to them."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream is not None and stream.isatty()


def show(result: "Result", console: "Console | None" = None) -> None:
    """Print a result for a person.

    Args:
        result: what a tool answered.
        console: where to; standard output if none is given.
    """
    from rich.console import Console

    console = console or Console(file=sys.stdout)
    for piece in pieces(result):
        for line in _lines(piece, console.width):
            # The terminal breaks what is too long: in what is copied from it there is then no break.
            console.print(line, soft_wrap=True)


def warn_of_production(name: str, sign: str, console: "Console | None" = None) -> None:
    """Print, so that it is not overlooked, that a call acts on a cluster that looks like production.

    Args:
        name: of the cluster, fit to be shown.
        sign: what makes it look like that, likewise.
        console: where to; standard error if none is given.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console(stderr=True)
    console.print(Text(f" PRODUCTION: cluster {name}, {sign} ", style="bold white on red"), soft_wrap=True)


def _lines(piece: Piece, columns: int) -> "Iterator[Text]":
    from rich.text import Text

    styles = {"summary": "bold", "warning": "yellow", "request_id": "dim", "whole answer": "dim"}
    if _is_table(piece.value):
        yield Text(piece.lines[0], style="dim")
        yield from _table(piece.value, columns, piece.name.removesuffix("s"))
    elif piece.name in styles and piece.value is None:
        yield from (Text(line, style=styles[piece.name]) for line in piece.lines)
    else:
        yield from (_labelled(line, style_of(piece.name, piece.value)) for line in piece.lines)


def _labelled(line: str, style: str = "") -> "Text":
    """Return a line with the label at its beginning set off, if there is one."""
    from rich.text import Text

    label, colon, rest = line.partition(":")
    if not colon or not label.strip().replace("_", "").isalpha():
        return Text(line)
    return Text.assemble((f"{label}:", "dim"), (rest, style))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _table(rows: Sequence[Mapping[str, Any]], columns: int, kind: str) -> "Iterator[Text]":
    """Yield the lines of a table: its head, and for each row the columns that fit, and below it the rest."""
    from rich.text import Text

    cells = {key: [cell(row.get(key, "")) for row in rows] for key in _in_order(rows)}
    widths = _fitting({key: each for key, each in cells.items() if any(each) and None not in each}, columns)
    yield Text(_GAP.join(_padded(key, space) for key, space in widths.items()).rstrip(), style="dim")
    for number, row in enumerate(rows):
        line = Text()
        for key, space in widths.items():
            shown = cells[key][number] or (NOTHING if not line else "")
            line.append(_padded(shown, space) + _GAP, style=style_of(key, row.get(key), kind))
        line.rstrip()
        yield line
        yield from _below({key: row[key] for key in cells if key in row and key not in widths}, columns)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def _in_order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys of rows: first the name, or if there is none how each is; ids last, all else as it comes."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lead = {NAME} if NAME in keys else STATES | VERDICTS
    return sorted(keys, key=lambda key: (key not in lead, key == ID or key.endswith(f"_{ID}")))


def _fitting(cells: Mapping[str, Sequence[str | None]], columns: int) -> dict[str, int]:
    """Return the columns that fit beside each other, with their widths: the widest are left out until they do."""
    widths = {key: max(width(each or "") for each in (key, *shown)) for key, shown in cells.items()}
    while len(widths) > 1 and sum(widths.values()) + len(_GAP) * (len(widths) - 1) > columns:
        _, *others = widths
        del widths[max(reversed(others), key=lambda key: widths[key])]
    return widths


def _below(fields: Mapping[str, Any], columns: int) -> "Iterator[Text]":
    """Yield what does not fit beside the other columns of a row, indented; short fields share a line."""
    shared: list[str] = []
    for key, value in fields.items():
        first, *more = field_lines(key, value) or [""]
        together = _INDENT + _GAP.join([*shared, first])
        if shared and (more or width(together) > columns):
            yield _fields(shared)
            shared = []
        if more:
            yield from (_labelled(_INDENT + line) for line in (first, *more))
        elif first:
            shared.append(first)
    if shared:
        yield _fields(shared)


def _fields(shared: Sequence[str]) -> "Text":
    from rich.text import Text

    line = Text(_INDENT)
    for number, each in enumerate(shared):
        line.append(_GAP if number else "").append_text(_labelled(each))
    return line


def style_of(key: str, value: Any, kind: str = "") -> str:
    """Return the style of a value; empty if it has none of its own.

    Args:
        key: the name of its field.
        value: the value.
        kind: of the thing whose phase it may be, as waits call it; else all that have such a phase must agree.
    """
    if not isinstance(value, str):
        return ""
    if key == NAME:
        return "bold"
    if key in VERDICTS:
        return next((style for style, words in WORDS.items() if value in words), "")
    if key not in STATES:
        return ""
    from ap_mcp.specs import load_catalog

    waits = load_catalog().waits
    chosen = [waits[kind]] if kind in waits else list(waits.values())
    found = {verdict for wait in chosen if (verdict := wait.verdict(value))}
    return _PHASES.get(found.pop(), "") if len(found) == 1 else ""
