"""Reads the cloud's JSON without failing over unexpected values: pointers, lists, texts, numbers, times."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from ap_mcp.late_patterns import later
from ap_mcp.masking import mask
from ap_mcp.service_texts import is_within, texts_and_codes_of
from ap_mcp.wording import ANSI, NAME_LIMIT, clean, in_quotes, is_plain

T = TypeVar("T")

TEXT_LIMIT = 300
SAID_LIMIT = 1200
"""Characters of all that the service says about one failure."""
_DEPTH = 6
_CLOCK = later(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<time>\d{2}:\d{2}:\d{2})(?:[.,](?P<fraction>\d{1,12}))?"
    r" ?(?P<zone>[+-]\d{2}:?\d{2}|[A-Za-z]{1,5})?(?![^\s])",
)
_NO_TIME = later(r"0{1,4}1?-0[01]-0[01](?!\d)")
_ZONES = {"Z": "+00:00", "UTC": "+00:00", "GMT": "+00:00", "CST": "+08:00"}
_NUMBER = later(r"-?\d{1,20}(?:\.\d{1,20})?")
_EPOCH_UNITS = ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))


def get(body: Any, pointer: str, default: Any = None) -> Any:
    """Return what stands at a JSON pointer; `default` when it is absent, null, or the way there is malformed."""
    node = body
    for key in _keys(pointer):
        if type(node) is dict or isinstance(node, Mapping):
            node = node.get(key)
        elif isinstance(node, list) and key.isascii() and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return default
    return default if node is None else node


@lru_cache(maxsize=2048)
def _keys(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def items(body: Any, pointer: str = "") -> list[dict[str, Any]]:
    """Return the objects of the list at `pointer`; a lone object counts as a list of one."""
    found = get(body, pointer, [])
    every = found if isinstance(found, list) else [found]
    return [each for each in every if isinstance(each, dict)]


def reported(value: T, body: Any, *pointers: str) -> T | None:
    """Return what was read from parts of an answer; None if it holds none of them: not reported is not none."""
    return value if any(get(body, pointer) is not None for pointer in pointers) else None


def named(body: Any, pointer: str, name: str) -> list[str] | None:
    """Return what the objects of a list are called; None if the list is not reported, nor any of their names."""
    every = items(body, pointer)
    found = [shown for each in every if (shown := text(get(each, name)))]
    return found if found or (not every and get(body, pointer) is not None) else None


def strings(body: Any, pointer: str = "") -> list[str]:
    """Return the scalars of the list at `pointer` as clean texts; a lone scalar counts as a list of one."""
    found = get(body, pointer, [])
    every = found if isinstance(found, list) else [found]
    return [text(each) for each in every if isinstance(each, (str, int, float))]


def mapping(body: Any, pointer: str = "") -> dict[str, str]:
    """Return the object at `pointer` as clean texts, as labels and annotations need it."""
    found = get(body, pointer)
    return {text(key): text(value) for key, value in found.items()} if isinstance(found, dict) else {}


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, empty if the value is none."""
    return dict(value) if isinstance(value, Mapping) else {}


def flattened(value: Any, name: str = "", depth: int = 0) -> dict[str, str | int | float | bool]:
    """Return the scalars of nested data under dotted names; what lies too deep becomes text."""
    if value is None:
        return {}
    if isinstance(value, (bool, int, float)):
        return {name: value}
    if isinstance(value, str) or depth == _DEPTH:
        return {name: text(value)}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    facts: dict[str, str | int | float | bool] = {}
    for key, each in pairs:
        facts |= flattened(each, f"{name}.{text(key)}" if name else text(key), depth + 1)
    return facts


def text(value: Any, limit: int = TEXT_LIMIT) -> str:
    """Return any value of the cloud as one harmless line of at most `limit` characters; null is empty."""
    if type(value) is str and len(value) <= limit and " " not in value and value.isprintable():
        return value  # as most are
    if value is None:
        return ""
    if isinstance(value, (bool, dict, list)):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    shown = str(value)
    return clean(shown if shown.isprintable() else ANSI.sub("", shown), limit)


def quoted(value: Any, limit: int = TEXT_LIMIT) -> str:
    """Return a text of the cloud in quotation marks, secrets masked, for use inside a sentence of ours."""
    return in_quotes(text(mask(value), limit), limit)


def said(thing: Any, limit: int = SAID_LIMIT, leave_out: Collection[str] = ()) -> str:
    """Return all that the service says about a failure: each distinct text once, the most specific first, and codes.

    Args:
        thing: an object of the cloud, or the part of it that says how it is.
        limit: characters in all; each text has its share, with head and tail.
        leave_out: names of fields that say something else.
    """
    texts, codes = texts_and_codes_of(thing, limit // 2, leave_out)
    return joined([each.text for each in texts], codes, limit)


def because(problem: str | None) -> str:
    """Return a sentence, after a blank, with what `said` found; empty if that is nothing."""
    return f" The service says {quoted(problem, 2 * SAID_LIMIT)}." if problem else ""


def joined(texts: Sequence[str], codes: Sequence[str], limit: int = SAID_LIMIT) -> str:
    """Return texts of the cloud as one, each cut to its share of `limit`, with the codes that stand in none of them."""
    share = max(limit // max(len(texts), 1) - 2, NAME_LIMIT)
    lines = [text(each.strip().rstrip("."), share) if len(texts) > 1 else text(each, share) for each in texts]
    line = "; ".join(dict.fromkeys(each for each in lines if each))
    new = [shown for code in codes if not is_within(shown := text(code, NAME_LIMIT), line)]
    return f"{line} (code {', '.join(new)})".lstrip() if new else line


def word(value: Any) -> str:
    """Return a name, id or version of the cloud as it is; in quotation marks if it could pass for more than that."""
    shown = text(value)
    return shown if is_plain(shown) else quoted(value)


def number(value: Any) -> int | float | None:
    """Return a number, also one written as text; anything else is None."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def flag(value: Any) -> bool | None:
    """Return a boolean, also one written as text; anything else is None."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def loaded(value: Any) -> Any:
    """Return the JSON that a string holds; what holds none comes back as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def moment(value: Any) -> datetime | None:
    """Return the time that any of the API's clocks shows, in UTC; None when it shows none.

    Read are `2024-06-04 12:49:28.773718231 +0000 UTC` (and other offsets), RFC 3339, and seconds,
    milliseconds, microseconds or nanoseconds since 1970. A time without a zone is taken as UTC.
    """
    try:
        if (epoch := number(value)) is not None:
            unit = next(unit for bound, unit in _EPOCH_UNITS if abs(epoch) < bound)
            return datetime.fromtimestamp(epoch / unit, UTC) if epoch else None
        match = _CLOCK.match(value.strip()) if isinstance(value, str) else None
        if match is None:
            return None
        zone = (match["zone"] or "Z").upper()
        offset = zone if zone[0] in "+-" else _ZONES[zone]
        fraction = (match["fraction"] or "")[:6].ljust(6, "0")
        stamp = f"{match['day']}T{match['time']}.{fraction}{offset}"
        found = datetime.fromisoformat(stamp).astimezone(UTC)
    except (ValueError, KeyError, OverflowError, OSError):
        return None
    return found if found.year > 1 else None


def written(at: datetime) -> str:
    """Return a time in the one form of all answers: RFC 3339 in UTC with seconds, `2026-11-29T08:07:00Z`."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def dated(value: Any) -> str:
    """Return a value of the cloud as text, and one that is nothing but a date with a clock time as `stamp` does.

    Unlike that it takes no number for a time, and leaves a sentence that begins with a time as it is.
    """
    match = _CLOCK.match(value.strip()) if isinstance(value, str) else None
    if match is None or value.strip()[match.end() :].strip() not in ("", *_ZONES):
        return text(value)
    return stamp(value) or ""


def stamp(value: Any) -> str | None:
    """Return a time of the cloud in the form of all answers; what is no time stays as it is, nothing is None.

    The year 1, and 0 seconds since 1970, are how services write that there is no time.
    """
    found = moment(value)
    if found:
        return written(found)
    return None if number(value) == 0 or _NO_TIME.match(text(value)) else text(value) or None
