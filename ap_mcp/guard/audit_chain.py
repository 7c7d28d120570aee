"""Lines chained by keyed hashes, so that none is changed, lost, moved or added unnoticed; no I/O.

Each line carries the hash of the line before it and ends with its own, made over its very bytes. A head, made with the
same key and kept apart, says which line is the newest, so that lines missing at the end are noticed too. Who
has the key can write anything; who puts back old copies of both the lines and the head is not noticed.
"""

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY_LENGTH = 32
ZERO = "0" * 64

_TIME = re.compile(rb"[0-9T:.-]*Z?")
_LINE = re.compile(rb'(\{"seq":.*),"mac":"([0-9a-f]{64})"\}')


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the chain: a line's number and hash."""

    seq: int = 0
    mac: str = ZERO


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was made with the key; whether it stands where it belongs is another question."""

    position: Position
    prev: str
    record: Mapping[str, Any]

    @property
    def seq(self) -> int:
        """Its number, from 1 on."""
        return self.position.seq

    @property
    def event(self) -> str:
        """What it records."""
        return str(self.record["event"])


@dataclass(frozen=True, slots=True)
class Head:
    """Which line is the newest, and where in the file it ends."""

    position: Position
    end: int


class Chain:
    """Makes and recognises lines and heads with one key.

    Args:
        key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise ValueError(f"a key must have {KEY_LENGTH} bytes")
        self._key = bytes(key)

    def __repr__(self) -> str:
        return "Chain(key hidden)"

    def line(self, after: Position, time: str, event: str, fields: Mapping[str, Any]) -> tuple[bytes, Position]:
        """Return the line that follows a place, with its line end, and its own place.

        Raises:
            ValueError: the fields are no JSON.
        """
        record = {"seq": after.seq + 1, "time": time, "event": event, **fields, "prev": after.mac}
        raw, mac = self._signed(b"line", record)
        return raw + b"\n", Position(after.seq + 1, mac)

    def read(self, raw: bytes) -> Line | None:
        """Return a line, given without its line end; None unless it was made with the key, to the byte."""
        found = self._opened(b"line", raw)
        if found is None:
            return None
        record, mac = found
        return Line(Position(record["seq"], mac), record["prev"], record)

    def head(self, position: Position, end: int) -> bytes:
        """Return the head that names a line as the newest."""
        raw, _ = self._signed(b"head", {"seq": position.seq, "line": position.mac, "end": end})
        return raw + b"\n"

    def read_head(self, raw: bytes | None) -> Head | None:
        """Return a head; None unless it was made with the key."""
        found = self._opened(b"head", raw[:-1]) if raw and raw.endswith(b"\n") else None
        return Head(Position(found[0]["seq"], found[0]["line"]), found[0]["end"]) if found else None

    def _mac(self, label: bytes, data: bytes) -> str:
        return hmac.digest(self._key, b"ap-mcp audit 1 " + label + b"\0" + data, "sha256").hex()

    def _signed(self, label: bytes, record: Mapping[str, Any]) -> tuple[bytes, str]:
        body = json.dumps(record, separators=(",", ":"), ensure_ascii=True, allow_nan=False)[:-1].encode("ascii")
        mac = self._mac(label, body)
        return body + b',"mac":"' + mac.encode() + b'"}', mac

    def _opened(self, label: bytes, raw: bytes) -> tuple[dict[str, Any], str] | None:
        found = _LINE.fullmatch(raw)
        if found is None or not hmac.compare_digest(self._mac(label, found[1]), found[2].decode()):
            return None
        return json.loads(found[1] + b"}"), found[2].decode()


def new_key() -> bytes:
    """Return 32 random bytes."""
    return secrets.token_bytes(KEY_LENGTH)


def is_cut_short(raw: bytes, seq: int) -> bool:
    """Say whether bytes may be line `seq` when a program, or the machine, ended in the middle of writing it.

    A complete line was not cut short, even if another program wrote it; nor was a complete object without a seal,
    for the seal is the last thing in a line.
    """
    begun = b'{"seq":%d,"time":"' % seq
    written = raw.rstrip(b"\0")
    if not raw or b"\n" in raw or _is_object(written):
        return False
    if not written.startswith(begun):
        return begun.startswith(written)
    time, _, after = written.removeprefix(begun).partition(b'"')
    event = b',"event":"'
    return _TIME.fullmatch(time) is not None and (after.startswith(event) or event.startswith(after))


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except ValueError:
        return False
