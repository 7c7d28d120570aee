"""Keeps the latest whole answers of the cloud, masked and bounded, for the principal that made the call."""

import json
import secrets
import unicodedata
from base64 import b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.summaries.base import Observation, sendable

PREFIX = "autopilot://responses/"
DATA = "data:"
TEXT_LIMIT = 1_000_000
LIMIT_COUNT = 200
LIMIT_BYTES = 20_000_000
# What was read from JSON holds no circles that would have to be looked for.
_DENSE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)


@dataclass(slots=True)
class _Shelf:
    """The answers of one principal by their URI, the oldest first, and how many bytes they have together."""

    texts: dict[str, str] = field(default_factory=dict)
    size: int = 0


class LocalResponseStore:
    """Implements `guard.stores.ResponseStore` in memory: of whoever has most, the oldest answer goes first.

    Args:
        limit_count: how many answers are kept at most.
        limit_bytes: how many bytes of UTF-8 they may have together.
    """

    def __init__(self, limit_count: int = LIMIT_COUNT, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_count = limit_count
        self._limit_bytes = limit_bytes
        self._shelves: defaultdict[str, _Shelf] = defaultdict(_Shelf)
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    async def keep(self, principal: str, text: str) -> str | None:
        """Keep an answer and return its URI; None if it is larger than the whole store."""
        size = _size(text)
        if size > self._limit_bytes or self._limit_count < 1:
            return None
        while self._count and (self._bytes + size > self._limit_bytes or self._count >= self._limit_count):
            self._drop_one()
        uri, shelf = PREFIX + secrets.token_urlsafe(18), self._shelves[principal]
        shelf.texts[uri] = text
        self._grow(shelf, 1, size)
        return uri

    def _drop_one(self) -> None:
        """Drop the oldest answer of whoever takes most of the room, so that nobody takes that of the others."""
        principal, shelf = max(self._shelves.items(), key=lambda each: self._room(each[1]))
        self._grow(shelf, -1, -_size(shelf.texts.pop(next(iter(shelf.texts)))))
        if not shelf.texts:
            del self._shelves[principal]

    def _room(self, shelf: _Shelf) -> int:
        return shelf.size * self._limit_count + len(shelf.texts) * self._limit_bytes

    def _grow(self, shelf: _Shelf, count: int, size: int) -> None:
        shelf.size += size
        self._bytes += size
        self._count += count

    async def read(self, principal: str, uri: str) -> str | None:
        """Return a kept answer; None if it is gone, never was, or belongs to another principal."""
        shelf = self._shelves.get(principal)
        return shelf.texts.get(uri) if shelf else None


def as_data(content: bytes, media_type: str = "application/gzip") -> str:
    """Return the content of a file as a text that can be kept, which no JSON begins like."""
    return f"{DATA}{media_type};base64,{b64encode(content).decode()}"


def as_file(text: str) -> tuple[str, str] | None:
    """Return media type and base64 of a kept file; None if the text is an answer."""
    media_type, separator, encoded = text.partition(";base64,")
    return (media_type.removeprefix(DATA), encoded) if separator and text.startswith(DATA) else None


def kept_text(answer: Observation, limit: int = TEXT_LIMIT) -> str | None:
    """Return the whole body of an answer, which is masked already, as JSON; None if there is nothing to keep.

    There is nothing if the body is empty or went to a file. A text that is too long is cut and wrapped, so that it is
    still JSON.

    Args:
        answer: the answer.
        limit: how many characters of it are kept.
    """
    if answer.body in (None, "") or answer.file is not None:
        return None
    text = _json(answer.body)
    if len(text) <= limit:
        return text
    half = limit // 2
    note = f"Cut: {half} characters of the start and of the end follow, as text, of {len(text)}. Narrow the call down."
    return _json({"note": note, "start": text[:half], "end": text[-half:]})


def _size(text: str) -> int:
    return len(text.encode())


def _json(value: Any) -> str:
    try:
        text = _DENSE.encode(value)
    except ValueError:
        text = json.dumps(sendable(value), ensure_ascii=False, separators=(",", ":"))
    # Of ASCII, JSON writes out all that is not seen but one.
    is_seen = "\x7f" not in text if text.isascii() else text.isprintable()
    return text if is_seen else text.translate(_ESCAPED)


class _Escaped(dict[int, int | str]):
    """How each character stands in a JSON text: invisible ones as JSON spells them, half a character as `?`."""

    def __missing__(self, number: int) -> int | str:
        char = chr(number)
        spelt = "?" if unicodedata.category(char) == "Cs" else json.dumps(char)[1:-1]
        self[number] = number if char.isprintable() else spelt
        return self[number]


_ESCAPED = _Escaped()
