"""How much of a long answer is shown: a page of a list at a time, or everything if the call asks for it."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from ap_mcp.summaries.base import CURSOR, DETAIL, FULL, FULL_LIMIT, NextCall, Observation, Part, Result, sendable
from ap_mcp.wording import ends, few, is_cut, plural

AS_TEXT = 4000
"""Characters shown of an answer that is too long for other reasons than its lists."""
BESIDE_FULL = 12_000
"""Characters of all else where an answer holds the whole one of the cloud."""
_LENGTHS = (100, 50, 20, 10, 5, 2, 1)
CHANGED = "The cursor names nothing in this list, which may have changed since: this is its start again."

LEFT_NAMED = 5
ItemT = TypeVar("ItemT")
R = TypeVar("R", bound=Result)
PartT = TypeVar("PartT", bound=Part)


@dataclass(frozen=True)
class Page(Generic[ItemT]):
    """A part of a list.

    Attributes:
        items: what is shown.
        total: how many there are in all.
        warnings: about the page.
        next: the call for the page after it, if there is one.
    """

    items: list[ItemT]
    total: int
    warnings: list[str]
    next: list[NextCall]

    @property
    def shown(self) -> int:
        """How many entries the page has."""
        return len(self.items)


def paged(answer: Observation, every: Sequence[ItemT], size: int, key: Callable[[ItemT], str]) -> Page[ItemT]:
    """Return the page of a list that a call asks for: the first, or the one after the entry its cursor names.

    Args:
        answer: to the call.
        every: the whole list, in an order that stays.
        size: how many entries a page has.
        key: what an entry is named by in a cursor.
    """
    keys = distinct([key(each) for each in every])
    cursor = answer.own.get(CURSOR)
    start = keys.index(cursor) + 1 if cursor in keys else 0
    shown = list(every[start : start + size])
    left = len(every) - start - len(shown)
    onward = []
    if left:
        given = {name: value for name, value in {**answer.arguments, **answer.own}.items() if value is not None}
        why = (
            f"shows the next {min(left, size)} of the {left} that are left"
            if left > size
            else f"shows the other {left}"
        )
        onward = [
            NextCall(tool=answer.operation.id, arguments={**given, CURSOR: keys[start + len(shown) - 1]}, why=why)
        ]
    changed = [CHANGED] if cursor is not None and cursor not in keys else []
    return Page(shown, len(every), changed, onward)


def distinct(keys: Sequence[str]) -> list[str]:
    """Name by its position what has no name of its own."""
    counted = Counter(keys)
    return [key if key and counted[key] == 1 else f"{key}#{place}" for place, key in enumerate(keys)]


def in_full(answer: Observation, *texts: str) -> list[NextCall]:
    """Return the call that shows everything, if a text had to be cut and the call did not ask for everything already.

    Args:
        answer: to the call.
        texts: as they are shown.
    """
    if DETAIL not in answer.operation.options or answer.own.get(DETAIL) == FULL or not any(map(is_cut, texts)):
        return []
    return [whole_answer(answer, "shows what is cut here")]


def whole_answer(answer: Observation, why: str) -> NextCall:
    """Return the same call for the whole answer."""
    given = {name: value for name, value in answer.arguments.items() if value is not None}
    return NextCall(tool=answer.operation.id, arguments={**given, DETAIL: FULL}, why=why)


def whole(answer: Observation, result: Result) -> Result:
    """Return a result with the whole answer of the cloud beside it, if the call asks for it."""
    if answer.own.get(DETAIL) != FULL or answer.file is not None or answer.body is None:
        return result
    body, cut = fitted(sendable(answer.body))
    why = f"The whole answer is too long: {cut}." if cut else ""
    return result.model_copy(update={"full": body, "warnings": [*result.warnings, *([why] if why else [])]})


def fitted(body: Any, limit: int = FULL_LIMIT) -> tuple[Any, str]:
    """Return JSON of at most so many characters, and what became of it to get there; empty if nothing did.

    Each list keeps its first entries, as many as fit; what was left out is counted at its end.
    """
    if _size(body) <= limit:
        return body, ""
    for length in _LENGTHS:
        cut = _cut(body, length)
        if _size(cut) <= limit:
            return cut, f"of each list the first {plural(length, 'entry', 'entries')} are shown"
    return ends(_dense(body), AS_TEXT), f"{AS_TEXT} characters of its start and its end are shown, as text"


def bounded(result: R) -> R:
    """Return a result that is no longer than an answer may be, which says of what only the first entries are shown.

    How long a list is that a summary shows is up to the cloud: how many conditions an object has, or what fails.
    """
    rest, limit = result, FULL_LIMIT
    if result.full is not None:
        rest, limit = result.model_copy(update={"full": None}), BESIDE_FULL
    if result.bounds_itself or _size(rest.structured()) <= limit:
        return result
    shorter, left = rest, dict[str, int]()
    for length in (500, 200, *_LENGTHS):
        left = {}
        shorter = _shorter(rest, length, left)
        if _size(shorter.structured()) <= limit:
            break
    named = few([f"{count} of {name}" for name, count in left.items()], LEFT_NAMED)
    onward = f"{result.raw} has them all" if result.raw else "ask about one thing, or for less, to see them"
    why = f"This answer would be too long; not shown are {named}: {onward}."
    warnings = [*shorter.warnings, *([why] if left else [])]
    return shorter.model_copy(update={"warnings": warnings, "full": result.full})


def _shorter(part: PartT, length: int, left: dict[str, int]) -> PartT:
    """Return a piece of a result with so many entries of each list at most; `left` takes how many more there were."""
    update: dict[str, Any] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, (list, dict, Part)):
            update[name] = _first(value, length, name, left)
    return part.model_copy(update=update)


def _first(value: Any, length: int, name: str, left: dict[str, int]) -> Any:
    if isinstance(value, Part):
        return _shorter(value, length, left)
    if not isinstance(value, (list, dict)):
        return value
    if len(value) > length:
        left[name] = left.get(name, 0) + len(value) - length
    if isinstance(value, dict):
        return {key: _first(each, length, name, left) for key, each in islice(value.items(), length)}
    return [_first(each, length, name, left) for each in value[:length]]


def _cut(value: Any, length: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _cut(each, length) for key, each in value.items()}
    if isinstance(value, list):
        left = len(value) - length
        return [*(_cut(each, length) for each in value[:length]), *([f"… and {left} more"] if left > 0 else [])]
    return value


def _size(value: Any) -> int:
    return len(_dense(value))


def _dense(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
