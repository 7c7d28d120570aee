"""Whether a client may be sent a form: what decides must be seen, and most clients do not show a form whole.

`forms.json` has what is known of clients, by the name that each gives of itself: from which version on it shows a form
of so many rows whole. Of all others only the first lines of a form are taken to be seen.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from ap_mcp.guard.impacts.layout import WIDTH, Layout
from ap_mcp.wording import in_quotes, plural, width

Forms: TypeAlias = Literal["auto", "always", "never"]

DATA = Path(__file__).with_name("forms.json")
OFF = "the operator wants no forms (AP_MCP_FORMS=never)"
_VERSION = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}")
_NAME_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a client: from version `since` on it shows a form of up to `rows` rows whole."""

    since: tuple[int, ...]
    rows: int


@cache
def known_clients() -> Mapping[str, Known]:
    """Return the clients that are known to show whole forms, by the name that they give of themselves."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    return {name: Known(_numbers(each["since"]), each["rows"]) for name, each in found.items()}


def why_no_form(setting: Forms, client: str, effect: str, asked: Layout, message: str) -> str:
    """Return why a question is not put into a form of a client, in words; empty if it may be.

    Args:
        setting: what the operator chose.
        client: name and version of the program, as it says of itself.
        effect: how grave the call is.
        asked: the question.
        message: the text that the form would have.
    """
    if setting != "auto":
        return OFF if setting == "never" else ""
    rows, who = rows_of(message), in_quotes(client, _NAME_LIMIT) if client else "a client that does not say its name"
    most = _shown_by(client)
    if most is not None:
        return "" if rows <= most else f"{who} shows {plural(most, 'line')} of a form, and this one has {rows}"
    if effect == "destroy" or not asked.fits:
        return f"{who} is not known to show a form of {plural(rows, 'line')} whole"
    return ""


def rows_of(text: str) -> int:
    """Return how many rows a text takes, broken at the width that every client shows."""
    return sum(max(1, -(-width(line) // WIDTH)) for line in text.split("\n"))


def _shown_by(client: str) -> int | None:
    """Return how many rows of a form a client shows; None if that is not known of it, or of its version."""
    name, _, version = client.rpartition(" ")
    known = known_clients().get(name)
    return known.rows if known and _VERSION.match(version) and _numbers(version) >= known.since else None


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.match(version)
    return tuple(map(int, found[0].split("."))) if found else ()
