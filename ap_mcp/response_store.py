"""Keeps the latest whole answers of the cloud, masked and bounded, for whoever made the call."""

import json
import secrets
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ap_mcp.summaries.base import Observation, sendable

PREFIX = "autopilot://responses/"
TEXT_LIMIT = 1_000_000
LIMIT_COUNT = 200
LIMIT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """One masked answer, as text, and who may read it."""

    principal: str
    text: str
    size: int


class ResponseStore:
    """A bounded store: the oldest answers go first, and only the principal of a call reads its answer.

    Args:
        limit_count: how many answers are kept at most.
        limit_bytes: how many bytes of UTF-8 they may have together.
        limit_text: how many characters of one answer are kept; a longer one is cut and says so.
    """

    def __init__(
        self, limit_count: int = LIMIT_COUNT, limit_bytes: int = LIMIT_BYTES, limit_text: int = TEXT_LIMIT
    ) -> None:
        self._limit_count = limit_count
        self._limit_bytes = limit_bytes
        self._limit_text = limit_text
        self._kept: OrderedDict[str, KeptResponse] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, principal: str, answer: Observation) -> str | None:
        """Keep the body of an answer, which is masked since the answer was made, and return its URI.

        An empty body, one larger than the whole store, and what went to a file are not kept.
        """
        if answer.body in (None, "") or answer.file is not None:
            return None
        text = self._text(answer.body)
        size = len(text.encode("utf-8"))
        if size > self._limit_bytes or self._limit_count < 1:
            return None
        uri = PREFIX + secrets.token_urlsafe(18)
        self._kept[uri] = KeptResponse(principal, text, size)
        self._bytes += size
        while self._bytes > self._limit_bytes or len(self._kept) > self._limit_count:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size
        return uri

    def read(self, principal: str, uri: str) -> str | None:
        """Return a kept answer; None when it is gone, never was, or belongs to somebody else."""
        kept = self._kept.get(uri)
        return kept.text if kept is not None and kept.principal == principal else None

    def _text(self, body: Any) -> str:
        """Return an answer as JSON; one that is too long is cut and wrapped, so that it is still JSON."""
        text = _json(body)
        if len(text) <= self._limit_text:
            return text
        cut = {
            "note": f"Cut: the first {self._limit_text} of {len(text)} characters follow, as text. "
            "Narrow the call down to see the rest.",
            "start": text[: self._limit_text],
        }
        return _json(cut)


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(sendable(value), ensure_ascii=False, separators=(",", ":"))
    return text if text.isprintable() else text.translate(_ESCAPED)


class _Escaped(dict[int, int | str]):
    """How each character stands in a JSON text: what cannot be seen as JSON spells it, half a character as `?`."""

    def __missing__(self, number: int) -> int | str:
        char = chr(number)
        spelt = "?" if unicodedata.category(char) == "Cs" else json.dumps(char)[1:-1]
        self[number] = number if char.isprintable() else spelt
        return self[number]


_ESCAPED = _Escaped()
