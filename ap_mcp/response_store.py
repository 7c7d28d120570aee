"""Keeps the latest whole answers of the cloud, masked and bounded, for the principal that made the call."""

import json
import secrets
import unicodedata
from base64 import b64encode
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

from ap_mcp.summaries.base import Observation, sendable

PREFIX = "autopilot://responses/"
DATA = "data:"
TEXT_LIMIT = 1_000_000
LIMIT_COUNT = 200
LIMIT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """One masked answer, as text, who may read it, and its size in bytes."""

    principal: str
    text: str
    size: int


class LocalResponseStore:
    """Implements `guard.stores.ResponseStore` in memory: of whoever has most, the oldest answer goes first.

    Args:
        limit_count: how many answers are kept at most.
        limit_bytes: how many bytes of UTF-8 they may have together.
    """

    def __init__(self, limit_count: int = LIMIT_COUNT, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_count = limit_count
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, KeptResponse] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def keep(self, principal: str, text: str) -> str | None:
        """Keep an answer and return its URI; None if it is larger than the whole store."""
        size = len(text.encode("utf-8"))
        if size > self._limit_bytes or self._limit_count < 1:
            return None
        uri = PREFIX + secrets.token_urlsafe(18)
        while self._kept and (self._bytes + size > self._limit_bytes or len(self._kept) >= self._limit_count):
            self._bytes -= self._kept.pop(self._next_to_go()).size
        self._kept[uri] = KeptResponse(principal, text, size)
        self._bytes += size
        return uri

    def _next_to_go(self) -> str:
        """Return the oldest answer of whoever takes most of the room, so that nobody takes that of the others."""
        taken: Counter[str] = Counter()
        for kept in self._kept.values():
            taken[kept.principal] += kept.size * self._limit_count + self._limit_bytes
        [(most, _)] = taken.most_common(1)
        return next(uri for uri, kept in self._kept.items() if kept.principal == most)

    async def read(self, principal: str, uri: str) -> str | None:
        """Return a kept answer; None if it is gone, never was, or belongs to another principal."""
        kept = self._kept.get(uri)
        return kept.text if kept is not None and kept.principal == principal else None


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


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(sendable(value), ensure_ascii=False, separators=(",", ":"))
    return text if text.isprintable() else text.translate(_ESCAPED)


class _Escaped(dict[int, int | str]):
    """How each character stands in a JSON text: invisible ones as JSON spells them, half a character as `?`."""

    def __missing__(self, number: int) -> int | str:
        char = chr(number)
        spelt = "?" if unicodedata.category(char) == "Cs" else json.dumps(char)[1:-1]
        self[number] = number if char.isprintable() else spelt
        return self[number]


_ESCAPED = _Escaped()
