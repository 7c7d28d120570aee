"""Judges an audit log: intact, or not intact from which line on; and which calls have no known outcome.

A crash leaves the head one line behind, or a line cut short at the end, and neither is an alarm. Anything else means
that somebody changed the files, or that one is lost. A log begins at number 1; one that begins later has lost lines,
also when they were moved away: a log is put aside together with its head, and the next one begins at 1 again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

from ap_mcp.guard.audit_chain import Chain, Head, Line, Position, is_cut_short
from ap_mcp.wording import NAME_LIMIT, in_quotes

DECIDED, FINISHED, RESUMED, REFUSED = "decided", "finished", "resumed", "refused"
REPLAYED = "replayed"
"""A consent that was used already was offered again, and nothing was sent."""

_REPLAYED = (
    "a consent that was used already was offered again: the approvals store is an old copy, or was changed. "
    "It did not count: nothing was sent for it"
)
_CHANGED = "here a line was changed, added, moved or removed, or written with another key"
_ADDED = "what stands from here on was added: it bears no seal of the log's key"
_CUT = "lines are missing at the end"
_HEAD = "its head is missing, changed or old, so that lines may have been cut off the end unnoticed"
_RESUMED = "when it was written, the log was not as ap-mcp left it"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What a person should know about a log.

    Attributes:
        kind: `not intact`, of which there is one at most, `lost` and `replayed` are alarms.
        line: where it begins, from 1 on; 0 for the log as a whole.
        message: what is wrong.
    """

    kind: Literal["not intact", "lost", "replayed", "unfinished"]
    line: int
    message: str

    @property
    def is_alarm(self) -> bool:
        """Whether somebody must have changed files; a crash alone leaves only calls of unknown outcome."""
        return self.kind != "unfinished"

    def __str__(self) -> str:
        return f"{f'line {self.line}' if self.line else 'log'}: {self.kind}: {self.message}"


@dataclass(frozen=True, slots=True)
class Call:
    """A guarded call as the log has it; without `finished` its outcome is not known, unless it was refused."""

    line: int
    decided: Mapping[str, Any]
    finished: Mapping[str, Any] | None

    @property
    def is_refused(self) -> bool:
        """Whether nothing was sent, because the call was refused."""
        return bool(self.decided["event"] == REFUSED)


@dataclass(frozen=True, slots=True)
class Survey:
    """How far a log is intact.

    Attributes:
        newest: the last line of those that follow each other from the first on.
        end: how many bytes these lines take; behind it stands at most what a crash left, unless there is an alarm.
        alarm: where the log is no longer intact, and why.
    """

    newest: Position
    end: int
    alarm: AuditFinding | None


def survey(data: bytes, head: bytes | None, chain: Chain) -> Survey:
    """Follow the lines of a log to its end, or to the first place where something is wrong.

    Args:
        data: the whole log.
        head: the content of the file that says which line is the newest; None if there is none.
        chain: made with the key that the log must have been written with.
    """
    before, newest, end, number = Position(), Position(), 0, 0
    for number, raw, line in _lines(data, chain):
        if line is None or line.prev != newest.mac:
            break
        if line.event == RESUMED:
            return Survey(newest, end, AuditFinding("not intact", number, _RESUMED))
        before, newest, end = newest, line.position, end + len(raw)
    else:
        number += 1
    why = _wrong_at_end(data, end, chain.read_head(head), before, newest) if data or head is not None else None
    return Survey(newest, end, AuditFinding("not intact", 0 if why == _HEAD else number, why) if why else None)


def newest_of(data: bytes, chain: Chain) -> Position:
    """Return the authentic line with the highest number, wherever it stands."""
    return max((line.position for _, _, line in _lines(data, chain) if line), key=lambda at: at.seq, default=Position())


def calls(data: bytes, chain: Chain) -> list[Call]:
    """Return the calls that authentic lines report, in the order they were decided."""
    lines = {line.seq: (number, line) for number, _, line in _lines(data, chain) if line is not None}
    outcomes = {line.record["of"]: line for _, line in lines.values() if line.event == FINISHED}
    found = []
    for seq, (number, line) in sorted(lines.items()):
        if line.event == DECIDED:
            outcome = outcomes.get(seq)
            is_known = outcome is not None and outcome.seq > seq  # an older one is of a call in a log before this
            found.append(Call(number, line.record, outcome.record if outcome and is_known else None))
    return found


def refusals(data: bytes, chain: Chain) -> list[Call]:
    """Return the refused calls that authentic lines report, in their order."""
    lines = ((number, line) for number, _, line in _lines(data, chain) if line is not None)
    return [Call(number, line.record, None) for number, line in lines if line.event == REFUSED]


def check(data: bytes, head: bytes | None, chain: Chain) -> list[AuditFinding]:
    """Return all that is to be said about a log, in the order of its lines; takes what `survey` takes."""
    alarm = survey(data, head, chain).alarm
    unfinished = [_unfinished(call) for call in calls(data, chain) if call.finished is None]
    replayed = [
        AuditFinding("replayed", number, _REPLAYED) for number, _, line in _lines(data, chain) if _is_replay(line)
    ]
    return sorted([*unfinished, *replayed, *([alarm] if alarm else [])], key=lambda each: each.line)


def spends(lines: Iterable[bytes], consent: str) -> bool:
    """Say whether a log has a consent as used; it need not be intact for that, as a doubt only has a person asked.

    Args:
        lines: of the whole log.
        consent: its digest.
    """
    used = f'"consent":"{consent}"'.encode()
    return any(used in line for line in lines)


def _is_replay(line: Line | None) -> bool:
    return line is not None and line.event == REPLAYED


def _lines(data: bytes, chain: Chain) -> Iterator[tuple[int, bytes, Line | None]]:
    """Yield each line's number, its bytes with the line end, and what it is; None if it was not made with the key."""
    for number, raw in enumerate(BytesIO(data), 1):
        yield number, raw, chain.read(raw.removesuffix(b"\n"))


def _wrong_at_end(data: bytes, end: int, head: Head | None, before: Position, newest: Position) -> str | None:
    """Say what is wrong behind the newest line; None if a crash may have left it so."""
    rest = data[end:]
    may_be_cut_short = is_cut_short(rest, newest.seq + 1)
    if rest and not (may_be_cut_short and head and head.position.seq <= newest.seq):
        return _ADDED if head == Head(newest, end) else _CHANGED
    if head is None:
        return _HEAD
    if head.position.seq > newest.seq:
        return _CUT
    return None if head.position in (before, newest) else _HEAD


def _unfinished(call: Call) -> AuditFinding:
    asked = call.decided
    what = f"{asked['tool']} on {in_quotes(asked['target'], NAME_LIMIT)}" if asked["target"] else asked["tool"]
    why = "outcome unknown, unless it is running right now; the consent stays spent. See what exists now"
    return AuditFinding("unfinished", call.line, f"{what}, decided at {asked['time']}: {why}")
