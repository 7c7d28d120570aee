"""Whether a client may be sent a form: what decides must be seen, and most clients do not show a form whole.

`forms.json` has what is known of clients, by the name that each gives of itself: from which version on it shows a form
of so many rows whole, if need be page by page. Of all others only the first lines of a form are taken to be seen.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from ap_mcp.guard.impacts.layout import Layout
from ap_mcp.wording import in_quotes, plural, rows_of_line

Forms: TypeAlias = Literal["auto", "always", "never"]

DATA = Path(__file__).with_name("forms.json")
OFF = "the operator wants no forms (AP_MCP_FORMS=never)"
COLUMNS = 80
"""Of a terminal, where nothing else is known of a client."""
SEEN_AT_ONCE = 12
"""Rows of a form that a terminal of 24 rows shows beside the field to type in."""
_VERSION = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}")
_NAME_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a client: from version `since` on it shows a form of up to `rows` rows of `columns` whole."""

    since: tuple[int, ...]
    rows: int
    columns: int = COLUMNS


@cache
def known_clients() -> Mapping[str, Known]:
    """Return the clients that are known to show whole forms, by the name that they give of themselves."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    return {
        name: Known(_numbers(each["since"]), each["rows"], each.get("columns", COLUMNS)) for name, each in found.items()
    }


def why_no_form(setting: Forms, client: str, asked: Layout, message: str, *, destroys: bool) -> str:
    """Return why a question is not put into a form of a client, in words; empty if it may be.

    Args:
        setting: what the operator chose.
        client: name and version of the program, as it says of itself.
        asked: the question.
        message: the text that the form would have.
        destroys: something goes for good.
    """
    if setting != "auto":
        return OFF if setting == "never" else ""
    known = _known(client)
    who = in_quotes(client, _NAME_LIMIT) if client else "a client that does not say its name"
    rows = rows_of(message, known.columns if known else COLUMNS)
    if known:
        return (
            "" if rows <= known.rows else f"{who} shows {plural(known.rows, 'line')} of a form, and this one has {rows}"
        )
    if destroys or not asked.fits:
        return f"{who} is not known to show a form of {plural(rows, 'line')} whole"
    return ""


def rows_of(text: str, columns: int = COLUMNS) -> int:
    """Return how many rows a text takes where lines are broken between words, at a width in columns."""
    return sum(rows_of_line(line, columns) for line in text.split("\n"))


def _known(client: str) -> Known | None:
    """Return what is known of a client; None if nothing is known of it, or of its version."""
    name, _, version = client.rpartition(" ")
    known = known_clients().get(name)
    return known if known and _VERSION.match(version) and _numbers(version) >= known.since else None


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.match(version)
    return tuple(map(int, found[0].split("."))) if found else ()
