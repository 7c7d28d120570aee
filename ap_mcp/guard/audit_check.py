"""Judges an audit log: which lines were changed, lost, moved or added, and which calls have no known outcome.

A crash leaves half a line, a head that is one line behind, or a call without outcome; these are notes. Anything else
takes a hand in the file, or a lost file, and is an alarm. A log begins at number 1; one that begins later has lost
lines, also when they were moved away: a log is put aside together with its head, and the next one begins at 1 again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from ap_mcp.guard.audit_chain import ZERO, Chain, Head, Line, Piece, Position, is_cut_short
from ap_mcp.wording import NAME_LIMIT, in_quotes

DECIDED, FINISHED, MENDED = "decided", "finished", "mended"

Alarm: TypeAlias = Literal["changed", "missing", "reordered", "inserted", "duplicated", "cut", "foreign key", "head"]
Note: TypeAlias = Literal["half line", "behind", "unfinished"]
NOTES = frozenset({"half line", "behind", "unfinished"})

_FOREIGN = "it was written with another key"
_NOBODY_KNOWS = "so that lines may have been cut off the end unnoticed"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as ap-mcp leaves it when all goes well.

    Attributes:
        kind: what it is.
        line: where it begins, from 1 on; 0 for the log as a whole.
        message: what a person should know.
        last: where it ends, if it is about several lines.
    """

    kind: Alarm | Note
    line: int
    message: str
    last: int = 0

    @property
    def is_alarm(self) -> bool:
        """Whether somebody must have touched the files; a crash alone leaves only notes."""
        return self.kind not in NOTES

    def __str__(self) -> str:
        many = self.last > self.line
        place = f"lines {self.line}-{self.last}" if many else f"line {self.line}" if self.line else "log"
        return f"{place}: {self.kind}: {self.message}" + ("; the others likewise" if many else "")


@dataclass(frozen=True, slots=True)
class Call:
    """A guarded call as the log has it; without `finished` its outcome is not known."""

    line: int
    decided: Mapping[str, Any]
    finished: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Survey:
    """Where a log ends by its own account: its newest line, what that follows, and the bytes after the last line."""

    top: Position
    prev: str
    rest: bytes


def survey(pieces: Sequence[Piece]) -> Survey:
    """Return where a log ends by its own account."""
    lines = [(index, piece.line) for index, piece in enumerate(pieces) if piece.line is not None]
    newest = max((line for _, line in lines), key=lambda line: line.seq, default=None)
    rest = _bytes_of(pieces[lines[-1][0] + 1 if lines else 0 :])
    return Survey(newest.position, newest.prev, rest) if newest else Survey(Position(), ZERO, rest)


def trouble(found: Survey, head: Head | None) -> Alarm | Note | None:
    """Say what keeps a log from simply going on; that its head is one line behind does not."""
    if head is None:
        return "head"
    if head.position.seq > found.top.seq:
        return "cut"
    if head.position != found.top and not _is_behind(head, found.top, found.prev):
        return "head"
    if found.rest:
        return "half line" if is_cut_short(found.rest.removesuffix(b"\n"), found.top.seq + 1) else "inserted"
    return None


def calls(pieces: Iterable[Piece]) -> list[Call]:
    """Return the calls that authentic lines tell of, in the order they were decided."""
    lines = {piece.line.seq: (piece.number, piece.line) for piece in pieces if piece.line is not None}
    outcomes = {line.record["of"]: line for _, line in lines.values() if line.event == FINISHED}
    found = []
    for seq, (number, line) in sorted(lines.items()):
        if line.event == DECIDED:
            outcome = outcomes.get(seq)
            is_known = outcome is not None and outcome.seq > seq  # an older one is of a call in a log before this
            found.append(Call(number, line.record, outcome.record if outcome and is_known else None))
    return found


def check(data: bytes, head: bytes | None, chain: Chain) -> list[Finding]:
    """Return all that is to be said about a log, in the order of its lines.

    Args:
        data: the whole log.
        head: the content of the file that says which line is the newest; None if there is none.
        chain: made with the key that the log must have been written with.
    """
    pieces = chain.pieces(data)
    walk = _Walk(chain, pieces)
    for piece in pieces:
        walk.take(piece)
    walk.end(head, len(pieces))
    unfinished = [_unfinished(call) for call in calls(pieces) if call.finished is None]
    return sorted(_joined(walk.findings) + unfinished, key=lambda each: (each.line, each.kind))


class _Walk:
    """Goes through a log line by line, and notes where it leaves the chain."""

    def __init__(self, chain: Chain, pieces: Sequence[Piece]) -> None:
        self.findings: list[Finding] = []
        self._chain = chain
        lines = [piece.line for piece in pieces if piece.line is not None]
        self._present = {line.seq for line in lines}
        self._followed = {line.prev for line in lines}
        self._seen: set[str] = set()
        self._at, self._prev = Position(), ZERO
        self._strange: list[Piece] = []

    def take(self, piece: Piece) -> None:
        """Take the next line."""
        line, number, at = piece.line, piece.number, self._at
        if line is None:
            self._strange.append(piece)
            return
        if line.position.mac in self._seen:
            self._note("duplicated", number, f"it is a copy of number {line.seq}, which stands above")
        elif line.seq <= at.seq:
            self._note("reordered", number, f"it has number {line.seq} and stands below number {at.seq}")
        elif line.seq == at.seq + 1 and line.prev != at.mac and at.mac in self._followed:
            self._note("inserted", number, f"it does not follow number {at.seq}: it comes from another log")
        else:
            self._advance(line, number)
        self._seen.add(line.position.mac)

    def end(self, content: bytes | None, number: int) -> None:
        """Compare the last line, at `number`, with the head."""
        head, top = self._chain.read_head(content), self._at
        if head is None:
            if content is not None:
                self._note("head", 0, f"the head was changed, or not written with this key, {_NOBODY_KNOWS}")
            elif number:
                self._note("head", 0, f"the head is missing, {_NOBODY_KNOWS}")
            self._explain([], number)
            return
        if head.position.seq > top.seq:
            self._explain(range(top.seq + 1, head.position.seq + 1), number, at_end=True)
            return
        if _is_behind(head, top, self._prev):
            self._note(
                "behind", number, "the head does not name it yet: ap-mcp ended in between; the next call mends it"
            )
        elif head.position != top:
            self._note("head", 0, f"the head names another number {head.position.seq}, {_NOBODY_KNOWS}")
        if len(self._strange) == 1 and self._is_half(self._strange[0].raw):
            self._note("half line", number, "ap-mcp ended while it wrote it; the next call seals it off")
            self._strange = []
        self._explain([], number)

    def _is_half(self, raw: bytes) -> bool:
        """Say whether bytes below the last line are the next one, cut short, perhaps by no more than its line end."""
        whole = self._chain.read(raw)
        return whole.prev == self._at.mac if whole else is_cut_short(raw, self._at.seq + 1)

    def _advance(self, line: Line, number: int) -> None:
        gap: Iterable[int] = range(self._at.seq + 1, line.seq)
        if line.event == MENDED:
            self._unseal(line, number)
            gap = [seq for seq in gap if not line.record["present"] < seq <= line.record["expected"]]
        self._explain([seq for seq in gap if seq not in self._present], number)
        if line.seq == self._at.seq + 1 and line.prev != self._at.mac:
            self._note("inserted", number, f"it does not follow number {self._at.seq}: one of them is from another log")
        self._at, self._prev = line.position, line.prev

    def _unseal(self, line: Line, number: int) -> None:
        """Take what a mended line says about the strange lines before it and the numbers it could not find."""
        told = line.record
        kind, sealed = told["found"], f"{told['bytes']} bytes before it"
        starts = range(len(self._strange), -1, -1)
        matches = (at for at in starts if sha256(_bytes_of(self._strange[at:])).hexdigest() == told["sha256"])
        start = next(matches, None)
        if start is None:
            self._note("changed", number, f"the {sealed} that it sealed off are gone or not the same")
        elif kind in ("half line", "cut"):
            self._strange = self._strange[:start]
        if kind == "half line":
            self._note(kind, number, f"{sealed} were left when ap-mcp ended while writing, and are sealed off")
        elif kind == "cut":
            gone = _numbers(told["present"] + 1, told["expected"])
            self._note(kind, number, f"when it was written, the end was cut off already: {gone}")
        elif kind == "head":
            self._note(kind, number, f"the head was missing, changed or old when it was written, {_NOBODY_KNOWS}")
        else:
            self._note(kind, number, f"{sealed} had been added when it was written")

    def _explain(self, missing: Iterable[int], number: int, *, at_end: bool = False) -> None:
        """Match strange lines with the numbers missing where they stand."""
        left = list(missing)
        for piece in self._strange:
            seq = left.pop(0) if left else None
            if self._chain.is_foreign(piece.raw):
                self._note("foreign key", piece.number, _FOREIGN)
            elif seq is None:
                self._note("inserted", piece.number, "ap-mcp did not write it")
            elif piece.is_ended:
                self._note("changed", piece.number, f"it is not number {seq} as it was written")
            else:
                self._note("cut", piece.number, f"number {seq} is cut off in the middle, or changed")
        if left and at_end:
            self._note("cut", number, f"{_numbers(left[0], left[-1])} should stand after it")
        elif left:
            self._note("missing", number, f"{_numbers(left[0], left[-1])} should stand before it")
        self._strange = []

    def _note(self, kind: Alarm | Note, line: int, message: str) -> None:
        self.findings.append(Finding(kind, line, message))


def _is_behind(head: Head, top: Position, prev: str) -> bool:
    return head.position.seq == top.seq - 1 and head.position.mac == prev


def _unfinished(call: Call) -> Finding:
    told = call.decided
    what = f"{told['tool']} on {in_quotes(told['target'], NAME_LIMIT)}" if told["target"] else told["tool"]
    why = "outcome unknown, unless it is running right now; the consent stays spent. See what exists now"
    return Finding("unfinished", call.line, f"{what}, decided at {told['time']}: {why}")


def _joined(findings: Iterable[Finding]) -> list[Finding]:
    """Join what is said about lines that follow each other, so that one deed reads as one finding."""
    joined: list[Finding] = []
    for each in sorted(findings, key=lambda each: (each.kind, each.line)):
        before = joined[-1] if joined else None
        if before and before.kind == each.kind and each.line == max(before.line, before.last) + 1 > 1:
            joined[-1] = replace(before, last=each.line)
        else:
            joined.append(each)
    return joined


def _numbers(first: int, last: int) -> str:
    return f"number {first}" if first == last else f"numbers {first} to {last}"


def _bytes_of(pieces: Iterable[Piece]) -> bytes:
    return b"".join(piece.raw + (b"\n" if piece.is_ended else b"") for piece in pieces)
