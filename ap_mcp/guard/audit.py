"""The audit log: what was decided before a guarded call is sent, and what became of it.

Its lines are chained (see `audit_chain`) with a key that stands beside it, its owner's only. Several processes write
in turn, under a lock on the key's file. Where one ended in the middle of a line, nothing was sent yet: the next one
takes that line away and goes on. Where somebody changed the files, it leaves all as it is and goes on below a line
that says so, and that no later one hides.
"""

import errno
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from ap_mcp.errors import AuditFailed, ConsentDeclined, SettingsError
from ap_mcp.guard.audit_chain import KEY_LENGTH, Chain, Position, new_key
from ap_mcp.guard.audit_check import (
    DECIDED,
    FINISHED,
    REFUSED,
    REPLAYED,
    RESUMED,
    AuditFinding,
    Call,
    calls,
    check,
    newest_of,
    refusals,
    spends,
    survey,
)
from ap_mcp.guard.audit_heads import Extent
from ap_mcp.guard.file_lock import lock
from ap_mcp.masking import mask, mask_text
from ap_mcp.private_files import check_private_file, make_private_file, make_private_folder, write_private_file

__all__ = ["AuditFinding", "AuditLog", "Call", "Entry", "Outcome", "audit_from", "log_at"]

REUSED = "Its consent was used before, as the audit log has it. Call again to have a person asked anew."
KEY_FILE = "audit.key"
LONGEST_TEXT = 2000
ID_LENGTH = 16

Ending: TypeAlias = Literal["succeeded", "failed", "unknown", "not sent"]

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)

logger = logging.getLogger(__name__)


class HasAuditLog(Protocol):
    """The part of the settings that says where the log is."""

    @property
    def audit_log(self) -> Path:
        """The file the lines go to."""

    @property
    def audit_stderr(self) -> bool:
        """Whether they go to standard error as well."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is recorded before a guarded call is sent, or when a call is refused.

    Attributes:
        tool: what is called.
        effect: how grave it is.
        principal: for whom.
        arguments: what with; masked here once more, and texts that go on for pages are cut.
        client: the program that called, with its version.
        target: the name of the thing it is done to.
        impact: digest of what was shown about it.
        request: digest of what is sent.
        decision: what let it through, such as the rule of the operator, or what stood against it.
        channel: how a person was asked.
        approver: who agreed.
        consent: digest of the id of the consent that is used; only the first of several requests has it.
        profile: where it goes, as the operator calls it; left out of the line if there is one place only.
    """

    tool: str
    effect: str
    principal: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    client: str = ""
    target: str = ""
    impact: str = ""
    request: str = ""
    decision: str = ""
    channel: str = ""
    approver: str = ""
    consent: str = ""
    profile: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, without secrets."""
        texts = {name: _plain(str(value)) for name, value in asdict(self).items() if name != "arguments"}
        if not self.profile:
            del texts["profile"]
        return {**texts, "arguments": _plain(mask(dict(self.arguments)))}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call.

    Attributes:
        result: `unknown` when no answer came back.
        request_id: under which the cloud knows the request.
        detail: what went wrong, masked here once more.
    """

    result: Ending
    request_id: str = ""
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, without secrets."""
        return {
            "result": self.result,
            "request_id": _plain(str(self.request_id)),
            "detail": _plain(mask_text(str(self.detail))),
        }


def _now() -> datetime:
    return datetime.now(UTC)


class AuditLog:
    """One log; safe between threads and processes. Each call opens the files anew.

    Args:
        path: of the log; it and its folder are made for their owner only when first used.
        key_file: holds the key, which is made when first used; what the processes lock too.
        clock: the time, with its time zone.
        echo: gets each line too, once it is on the disk.
    """

    def __init__(
        self,
        path: Path,
        key_file: Path,
        clock: Callable[[], datetime] = _now,
        echo: Callable[[bytes], None] | None = None,
    ) -> None:
        self.path = path
        self.key_file = key_file
        self.head_file = path.with_name(f"{path.name}.head")
        self._clock = clock
        self._echo = echo

    @property
    def is_begun(self) -> bool:
        """Whether anything was ever recorded here, as far as the files show.

        Raises:
            AuditFailed: they cannot be read.
        """
        with self._explained("read"):
            return self._has_lines()

    def decided(self, entry: Entry) -> int:
        """Record that a call is about to be sent; it is on the disk when this returns.

        So the log is a second memory of what is used, beside the store, which may be an old copy of itself.

        Returns:
            The number to give to `finished`.

        Raises:
            AuditFailed: it could not be recorded; the call must not be sent.
            ConsentDeclined: its consent is recorded as used already, so the call must not be sent; that is recorded.
        """
        advice = "Fix that, or choose another file with AP_MCP_AUDIT_LOG."
        with self._explained("written", "Nothing was sent.", advice), self._writing() as chain:
            if not entry.consent or not spends(self._lines(), entry.consent):
                return self._append_with(chain, DECIDED, entry.as_json())
            self._append_with(chain, REPLAYED, entry.as_json())
        raise ConsentDeclined(entry.tool, REUSED, "used before")

    def refused(self, entry: Entry, reason: str) -> None:
        """Record that a call was refused, and why; masked here once more.

        Raises:
            AuditFailed: it could not be recorded.
        """
        with self._explained("written", "The call was refused all the same: nothing was sent."):
            self._append(REFUSED, {**entry.as_json(), "reason": _plain(mask_text(reason))})

    def finished(self, seq: int, outcome: Outcome) -> None:
        """Record what became of a call.

        Args:
            seq: what `decided` returned.
            outcome: what became of it.

        Raises:
            AuditFailed: it could not be recorded, although the call was made.
        """
        missing = f"The call was made ({outcome.result}), but the log keeps number {seq} as one of unknown outcome."
        with self._explained("written", missing, "Read what exists now before you repeat the call."):
            self._append(FINISHED, {"of": seq, **outcome.as_json()})

    def check(self) -> None:
        """Check whether a line could be written, as far as the log and its key show; nothing waits for their lock.

        Raises:
            AuditFailed: none could.
        """
        with self._explained("written"):
            self._check_files()

    def expect(self) -> None:
        """Check before a person is asked that what they agree to can be recorded then; its folder is made for that.

        Raises:
            AuditFailed: it could not.
        """
        advice = "Fix that, or choose another file with AP_MCP_AUDIT_LOG."
        with self._explained("written", "Nothing was sent.", advice):
            make_private_folder(self.path.parent)
            if not os.access(self.path.parent, os.W_OK):
                raise OSError(errno.EACCES, f"{self.path.parent} cannot be written to")
            if os.path.lexists(self.path):
                check_private_file(self.path)
            self._check_files()

    def _check_files(self) -> None:
        if self._has_lines():
            for each in (self.path, self.key_file):
                if os.path.lexists(each):
                    check_private_file(each)
            if not self.key_file.exists() or self.key_file.stat().st_size != KEY_LENGTH:
                raise OSError(errno.EINVAL, self._lost_key())

    def verify(self) -> list[AuditFinding]:
        """Return from which line on the log is not intact, if it is not, and the calls of unknown outcome.

        Raises:
            AuditFailed: the log or its key cannot be read.
        """
        if not self.is_begun:
            return []
        with self._reading() as chain:
            return check(self._content(), self._head_content(), chain)

    def calls(self) -> list[Call]:
        """Return the calls recorded, oldest first; lines that were not written with the key are left out.

        Raises:
            AuditFailed: the log or its key cannot be read.
        """
        if not self.is_begun:
            return []
        with self._reading() as chain:
            return calls(self._content(), chain)

    def refusals(self) -> list[Call]:
        """Return the refused calls that are recorded, as `calls` does.

        Raises:
            AuditFailed: the log or its key cannot be read.
        """
        if not self.is_begun:
            return []
        with self._reading() as chain:
            return refusals(self._content(), chain)

    def extent(self) -> Extent | None:
        """Return which log this is, and how many lines its head says it has; None if it holds none that can be read.

        Raises:
            AuditFailed: the log or its key cannot be read.
        """
        if not self.is_begun:
            return None
        with self._reading() as chain:
            head, first = (
                chain.read_head(self._head_content()),
                chain.read(next(self._lines(), b"").removesuffix(b"\n")),
            )
        return Extent(first.position.mac[:ID_LENGTH], head.position.seq) if head and first else None

    def _append(self, event: str, fields: Mapping[str, Any]) -> int:
        with self._writing() as chain:
            return self._append_with(chain, event, fields)

    def _append_with(self, chain: Chain, event: str, fields: Mapping[str, Any]) -> int:
        make_private_file(self.path)
        check_private_file(self.path)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | _NO_FOLLOW | _BINARY)
        try:
            return self._write(chain, descriptor, self._newest(chain, descriptor), event, fields).seq
        finally:
            os.close(descriptor)

    def _newest(self, chain: Chain, descriptor: int) -> Position:
        """Return the line to go on below, once the end of the log is as it should be."""
        content, size = self._head_content(), os.fstat(descriptor).st_size
        if content is None and size == 0:
            self._set_head(chain, Position(), 0)
            return Position()
        head = chain.read_head(content)
        return head.position if head and head.end == size else self._resumed(chain, descriptor, content)

    def _resumed(self, chain: Chain, descriptor: int, head: bytes | None) -> Position:
        """Return the line to go on below where the head does not name the end of the file."""
        for stray in self.path.parent.glob(f".{self.head_file.name}.*"):
            stray.unlink(missing_ok=True)
        data = self._content()
        found = survey(data, head, chain)
        end = len(data) if found.alarm else found.end  # for a line that a crash cut short, nothing was sent
        os.ftruncate(descriptor, end)
        if end and data[end - 1 : end] != b"\n":
            _write_all(descriptor, b"\n")
            end += 1
        os.fsync(descriptor)
        if found.alarm is None:
            self._set_head(chain, found.newest, end)
            return found.newest
        logger.warning("%s is not as ap-mcp left it; `ap-mcp audit verify` says more", self.path)
        known = chain.read_head(head)
        newest = max(newest_of(data, chain), known.position if known else Position(), key=lambda at: at.seq)
        return self._write(chain, descriptor, newest, RESUMED, {})

    def _write(self, chain: Chain, descriptor: int, after: Position, event: str, fields: Mapping[str, Any]) -> Position:
        """Write one line and then the head; if that fails, take the line back as far as possible."""
        time = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        raw, position = chain.line(after, time, event, fields)
        start, before = os.fstat(descriptor).st_size, self._head_content()
        try:
            _write_all(descriptor, raw)
            os.fsync(descriptor)
            self._set_head(chain, position, start + len(raw))
        except OSError:
            with suppress(OSError):
                if self._head_content() == before:
                    os.ftruncate(descriptor, start)
                    os.fsync(descriptor)
            raise
        if self._echo is not None:
            self._echo(raw)
        return position

    def _has_lines(self) -> bool:
        return self.head_file.exists() or (self.path.exists() and self.path.stat().st_size > 0)

    def _set_head(self, chain: Chain, position: Position, end: int) -> None:
        write_private_file(self.head_file, chain.head(position, end))
        _sync_folder(self.path.parent)

    def _head_content(self) -> bytes | None:
        try:
            return self.head_file.read_bytes()
        except FileNotFoundError:
            return None

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines of the log, which may be too long to be held in memory; none if there is no log."""
        with suppress(FileNotFoundError), self.path.open("rb") as lines:
            yield from lines

    @contextmanager
    def _writing(self) -> Iterator[Chain]:
        make_private_folder(self.path.parent)
        make_private_file(self.key_file)
        check_private_file(self.key_file)
        descriptor = os.open(self.key_file, os.O_RDWR | _NO_FOLLOW | _BINARY)
        try:
            lock(descriptor)
            yield Chain(self._key(descriptor))
        finally:
            os.close(descriptor)

    @contextmanager
    def _reading(self) -> Iterator[Chain]:
        with self._explained("read", "", "Without the log and its key nothing can be said."):
            descriptor = os.open(self.key_file, os.O_RDONLY | _BINARY)
            try:
                lock(descriptor, shared=True)
                key = os.read(descriptor, KEY_LENGTH + 1)
                if len(key) != KEY_LENGTH:
                    raise OSError(errno.EINVAL, self._lost_key())
                yield Chain(key)
            finally:
                os.close(descriptor)

    def _key(self, descriptor: int) -> bytes:
        """Return the key; make it if nothing was written yet, never a second one for lines that need the first."""
        key = os.read(descriptor, KEY_LENGTH + 1)
        if len(key) == KEY_LENGTH:
            return key
        if self._has_lines():
            raise OSError(errno.EINVAL, self._lost_key())
        key = new_key()
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        _write_all(descriptor, key)
        os.fsync(descriptor)
        _sync_folder(self.key_file.parent)
        return key

    def _lost_key(self) -> str:
        files = f"{self.path.name} and {self.head_file.name}"
        return f"its key, {self.key_file}, is lost or damaged. Put it back, or move {files} away to begin anew"

    @contextmanager
    def _explained(self, verb: str, *more: str) -> Iterator[None]:
        """Say in our words what the file system says in its own."""
        try:
            yield
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
            name = getattr(error, "filename", None)
            where = f" ({name})" if name and str(name) != str(self.path) else ""
            said = [f"The audit log {self.path} cannot be {verb}: {reason}{where}.", *more]
            raise AuditFailed(" ".join(part for part in said if part)) from error


def audit_from(settings: HasAuditLog) -> AuditLog:
    """Return the log that the operator chose.

    Raises:
        SettingsError: its name is that of its key.
    """
    if settings.audit_log.name == KEY_FILE:
        raise SettingsError(f"AP_MCP_AUDIT_LOG: {KEY_FILE} is the name of the log's key; choose another one")
    return log_at(settings.audit_log, _to_stderr if settings.audit_stderr else None)


def log_at(path: Path, echo: Callable[[bytes], None] | None = None) -> AuditLog:
    """Return the log of a file; all logs of a folder share one key, so that a log put aside there can be checked.

    Args:
        path: of the file.
        echo: gets each line too.
    """
    return AuditLog(path, path.with_name(KEY_FILE), echo=echo)


def _to_stderr(line: bytes) -> None:
    """Write a line to standard error, for whoever collects that; nobody may, and the log has it."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line.decode("ascii"))
        sys.stderr.flush()


def _plain(value: Any) -> Any:
    """Return JSON-like data as JSON, with long texts cut; their digest stays."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        digest = sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{value[:LONGEST_TEXT]}… ({len(value)} characters, sha256 {digest})"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """Have a file's new name on the disk too."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot, and need not
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
