"""Finds JSON in the middle of a text, also where the text was cut off within it."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ap_mcp.late_patterns import later

_TRIES = 2000
_OPENING = later(r"\{(?=\s{0,200}(?:[\"}]|\Z))|\[(?=\s{0,200}(?:[\"\d\[{\]tfn-]|\Z))")
_STEP = later(r'"(?:[^"\\]|\\.)*"?|[{}\[\],]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
_DECODER = json.JSONDecoder()


class Found(NamedTuple):
    """A piece of a text, and the object or list in it; one that is cut off could be read only as far as `read_to`."""

    start: int
    read_to: int
    end: int
    data: Any


def json_in(text: str) -> Iterator[Found]:
    """Yield the objects and lists in a text, those within others not by themselves.

    What is cut off at the end of the text is read as far as possible.
    """
    at, scanned = 0, 0
    for _ in range(_TRIES):
        opening = _OPENING.search(text, at)
        if opening is None or scanned > 8 * len(text):
            return
        found = _found(text, opening.start())
        if isinstance(found, Found):
            yield found
            at = found.end
        else:
            scanned += found - opening.start()
            at = opening.end()


def _found(text: str, start: int) -> Found | int:
    """Return what begins there, or how far it could be read."""
    try:
        data, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        return (_found_cut(text, start) if is_cut else None) or error.pos
    except RecursionError:
        return len(text)
    return Found(start, end, end, data)


def _found_cut(text: str, start: int) -> Found | None:
    """Return what JSON that is cut off holds up to its last whole value; None if it is none."""
    inside: list[str] = []
    read_to, missing = start, ""
    for step in _STEP.finditer(text, start):
        mark = step[0]
        if mark in _CLOSING:
            inside.append(_CLOSING[mark])
        elif mark in ("}", "]"):
            inside = inside[:-1]
        if mark[0] != '"':
            read_to, missing = step.start() if mark == "," else step.end(), "".join(reversed(inside))
    try:
        return Found(start, read_to, len(text), json.loads(text[start:read_to] + missing))
    except (ValueError, RecursionError):
        return None
