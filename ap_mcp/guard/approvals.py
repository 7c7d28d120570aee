"""The store that servers and approvers share: questions, signed answers, and which consents are spent.

All servers of one user and `ap-mcp approvals` share one SQLite file. It is not trusted: an answer counts by its
signature alone, which covers the whole question as it was shown. What a hand in the file can do is lose something,
and then it must be asked again.
"""

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable, ConsentDeclined
from ap_mcp.guard.approval_requests import (
    LIFETIME,
    SHOWN,
    Asked,
    Question,
    SignedAnswer,
    Standing,
    new_code,
    read_code,
    same_person,
    standing,
)
from ap_mcp.guard.private_files import check_private_file, make_private_file, make_private_folder
from ap_mcp.guard.seal import moment_at, ticks
from ap_mcp.wording import in_quotes

__all__ = [
    "LIFETIME",
    "Approval",
    "ApprovalStore",
    "Asked",
    "Question",
    "SignedAnswer",
    "Standing",
    "new_code",
    "read_code",
    "same_person",
    "standing",
]

KEPT = timedelta(days=1)
"""How long the store remembers what has expired."""
CLOCK_SLACK = timedelta(minutes=2)
"""How far the clock may have gone back, as clocks do that are set right."""
OPEN_LIMIT = 100
BUSY_SECONDS = 5.0

_APPLICATION_ID = 0x61706D63
_VERSION = 1
_CLOCK = "CREATE TABLE clock (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seen INTEGER NOT NULL)"
_QUESTIONS = (
    "CREATE TABLE questions (code TEXT PRIMARY KEY, tool TEXT NOT NULL, arguments TEXT NOT NULL,"
    " arguments_digest TEXT NOT NULL, principal TEXT NOT NULL, effect TEXT NOT NULL, name TEXT NOT NULL,"
    " impact_text TEXT NOT NULL, fingerprint TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " other_approver INTEGER NOT NULL, approver TEXT, approved INTEGER, decided INTEGER, signature BLOB)"
)
_SPENT = "CREATE TABLE spent (consent TEXT PRIMARY KEY, expires INTEGER NOT NULL)"
_SCHEMA = (_CLOCK, _QUESTIONS, _SPENT)
_COLUMNS = tuple(each.name for each in fields(Question))
_ALL = ", ".join((*_COLUMNS, "approver", "approved", "decided", "signature"))
_CALL = "principal = ? AND tool = ? AND arguments_digest = ? AND fingerprint = ?"
_LATEST = ticks(datetime.max.replace(tzinfo=UTC))
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_AFRESH = "Move it away: a new one is made, and what waited is asked again."
_NOBODY: Mapping[str, Ed25519PublicKey] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Approval:
    """A question that a named approver has said yes to, proven by their signature."""

    question: Question
    approver: str


class ApprovalStore:
    """The questions, answers and spent consents of one user; safe between threads and processes.

    Each call opens the file anew, so that nothing of it outlives a fork, or a file that was moved away.

    Args:
        path: of the database; it and its folder are made for their owner only when first used.
        approvers: the pinned public keys; without them nothing counts as approved.
    """

    def __init__(self, path: Path, approvers: Mapping[str, Ed25519PublicKey] = _NOBODY) -> None:
        self.path = path
        self.approvers = MappingProxyType(dict(approvers))
        self._spent: set[str] = set()
        self._lock = Lock()

    def ask(self, question: Question) -> None:
        """Put a question where a person finds it.

        Raises:
            ApprovalRefused: too many of this principal wait already.
            ApprovalsUnusable: the store cannot be used.
        """
        with self._transaction() as db:
            moment = self._mark(db, question.created)
            _forget(db, moment)
            waiting = "SELECT count(*) FROM questions WHERE principal = ? AND decided IS NULL AND expires > ?"
            if db.execute(waiting, (question.principal, moment)).fetchone()[0] >= OPEN_LIMIT:
                why = f"{OPEN_LIMIT} questions of {in_quotes(question.principal, SHOWN)} wait for a person already"
                raise ApprovalRefused(f"Refused: {why}. Nothing was sent. Decide some, or let them expire.")
            told = question.told()
            statement = f"INSERT INTO questions ({', '.join(told)}) VALUES ({', '.join('?' * len(told))})"  # noqa: S608
            db.execute(statement, tuple(told.values()))

    def find(self, code: str) -> Asked | None:
        """Return the question of a code, however it was typed."""
        with self._transaction() as db:
            return self._find(db, code)

    def pending(self, now: datetime) -> tuple[Question, ...]:
        """Return the questions nobody has answered yet, oldest first."""
        with self._transaction() as db:
            moment = self._mark(db, now)
            found = self._select(db, "decided IS NULL AND created <= ? AND expires > ?", moment, moment)
            return tuple(asked.question for asked in reversed(found))

    def latest_for(
        self, principal: str, tool: str, arguments_digest: str, fingerprint: str, now: datetime
    ) -> Asked | None:
        """Return the live question about exactly this call: the one answered last, or else the newest.

        Live is what has not expired and is not spent; whether an answer counts is for `standing` to say.

        Raises:
            ApprovalsUnusable: the store cannot be used, or the clock has gone back.
        """
        bound = {"principal": principal, "tool": tool, "digest": arguments_digest, "fingerprint": fingerprint}
        return next(iter(self._live(bound, now)), None)

    def pending_for(self, bound: Mapping[str, str], now: datetime) -> Question | None:
        """Return the newest question about exactly this call that nobody has answered yet."""
        return next((asked.question for asked in self._live(bound, now) if asked.decision is None), None)

    def approved_for(self, bound: Mapping[str, str], now: datetime, *, other_approver: bool = False) -> Approval | None:
        """Return the approval of exactly this call without spending it; None if there is none that counts.

        Answers that do not count are passed over: they neither grant nor refuse anything.

        Args:
            bound: principal, tool, digest (of the arguments) and fingerprint of the call.
            now: the time.
            other_approver: what the policy asks for now, whatever it did when the question was asked.

        Raises:
            ConsentDeclined: the last answer was no; it holds until its question expires.
            ApprovalsUnusable: the store cannot be used, or the clock has gone back.
        """
        for asked in self._live(bound, now):
            found = standing(asked, self.approvers, now)
            if found.state == "declined":
                why = f"{found.approver} declined it ({asked.question.code})."
                raise ConsentDeclined(asked.question.tool, f"{why} Do not ask again unless they want it.")
            if found.state == "approved" and not (other_approver and same_person(found.approver, bound["principal"])):
                return Approval(asked.question, found.approver)
        return None

    def granted(self, bound: Mapping[str, str], now: datetime, *, other_approver: bool = False) -> Approval | None:
        """Spend the approval of exactly this call and return it; see `approved_for`."""
        found = self.approved_for(bound, now, other_approver=other_approver)
        return found if found and self.spend(found.question.consent_id, found.question.expires) else None

    def decide(self, code: str, decision: SignedAnswer) -> None:
        """Keep a person's answer; its signature is judged when it is used.

        Raises:
            ApprovalRefused: there is no such question, it has expired, or is answered already.
            ApprovalsUnusable: the store cannot be used.
        """
        with self._transaction() as db:
            moment = self._mark(db, decision.at)
            asked = self._find(db, code)
            if asked is None:
                raise ApprovalRefused(f"There is no question {in_quotes(code, SHOWN)}. Nothing was decided.")
            if asked.decision is not None:
                raise ApprovalRefused(f"{asked.question.code} is decided already, and an answer is not changed.")
            if moment >= ticks(asked.question.expires):
                raise ApprovalRefused(f"{asked.question.code} has expired. Nothing was decided; it must be asked anew.")
            db.execute(
                "UPDATE questions SET approver = ?, approved = ?, decided = ?, signature = ? WHERE code = ?",
                (decision.approver, decision.approved, ticks(decision.at), decision.signature, asked.question.code),
            )

    def spend(self, consent_id: str, expires: datetime) -> bool:
        """Use a consent of any kind up; True once, for one thread of one process, and never again.

        Args:
            consent_id: names it.
            expires: when it would have become worthless by itself; it is remembered well beyond that.

        Raises:
            ApprovalsUnusable: the store cannot be used; the consent must then not be used either.
        """
        with self._transaction() as db:
            if ticks(expires) <= _seen(db):
                return False  # also when the clock was put back: it may have been spent and forgotten since
            added = db.execute("INSERT OR IGNORE INTO spent VALUES (?, ?)", (consent_id, ticks(expires))).rowcount
        if added != 1:
            return False
        with self._lock:  # whoever takes the row out of the file does not take it out of here
            first = consent_id not in self._spent
            self._spent.add(consent_id)
            return first

    def purge(self, now: datetime) -> None:
        """Forget what expired more than a day ago."""
        with self._transaction() as db:
            _forget(db, self._mark(db, now))

    def _live(self, bound: Mapping[str, str], now: datetime) -> Iterable[Asked]:
        call = (bound["principal"], bound["tool"], bound["digest"], bound["fingerprint"])
        with self._transaction() as db:
            moment = self._mark(db, now)
            found = self._select(db, f"{_CALL} AND created <= ? AND expires > ?", *call, moment, moment)
        return [asked for asked in found if not asked.spent]

    def _find(self, db: sqlite3.Connection, code: str) -> Asked | None:
        return next(iter(self._select(db, "code = ?", read_code(code) or "")), None)

    def _select(self, db: sqlite3.Connection, where: str, *values: Any) -> list[Asked]:
        """Return the questions, the last answered first, then the newest; rows that hold none are passed over."""
        query = f"SELECT {_ALL} FROM questions WHERE {where} ORDER BY decided DESC, created DESC, rowid DESC"  # noqa: S608
        found = []
        for row in db.execute(query, values).fetchall():
            with suppress(TypeError, ValueError, LookupError, OverflowError):
                question, decision = _question(row), _decision(row)
                found.append(Asked(question, decision, self._is_spent(db, question.consent_id)))
        return found

    def _is_spent(self, db: sqlite3.Connection, consent_id: str) -> bool:
        found = db.execute("SELECT 1 FROM spent WHERE consent = ?", (consent_id,)).fetchone()
        return found is not None or consent_id in self._spent

    def _mark(self, db: sqlite3.Connection, now: datetime) -> int:
        """Remember the time and return the latest one known: what has expired stays so when the clock is put back."""
        moment, seen = ticks(now), _seen(db)
        if now + CLOCK_SLACK < moment_at(seen):
            raise ApprovalsUnusable(
                f"This machine's clock says {moment_at(moment):%Y-%m-%d %H:%M:%S} UTC, but {self.path} has seen "
                f"{moment_at(seen):%Y-%m-%d %H:%M:%S}: no approval counts before the clock is past that. "
                "Set it right; if it was wrong then, move the file away."
            )
        latest = max(moment, seen)
        db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?)", (latest,))
        return latest

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the database in a transaction that nobody else's can cut into.

        Raises:
            ApprovalsUnusable: instead of whatever SQLite or the file system says.
        """
        try:
            with closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                with db:
                    yield db
        except (sqlite3.Error, OSError) as error:
            raise ApprovalsUnusable(f"The approvals store {self.path} cannot be used: {_reason(error)}") from error

    def _connect(self) -> sqlite3.Connection:
        make_private_folder(self.path.parent)
        make_private_file(self.path)
        check_private_file(self.path)
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse a file that holds anything else, triggers planted in ours included."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA synchronous = FULL")
    if _identity(db) == (0, 0, ()):
        db.execute("BEGIN IMMEDIATE")
        with db:
            _create(db)
    application, version, schema = _identity(db)
    if application == _APPLICATION_ID and version > _VERSION:
        raise OSError(errno.EINVAL, "a newer ap-mcp made it; use that version, or another AP_MCP_APPROVALS_DB.")
    if (application, version, schema) != (_APPLICATION_ID, _VERSION, _SCHEMA):
        raise OSError(errno.EINVAL, f"it is a database, but not as ap-mcp makes it. {_AFRESH}")
    with suppress(sqlite3.OperationalError):  # somebody is using it as it is; a later caller will get it
        db.execute("PRAGMA journal_mode = WAL")


def _create(db: sqlite3.Connection) -> None:
    if _identity(db) != (0, 0, ()):  # another process was faster
        return
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {_VERSION}")


def _identity(db: sqlite3.Connection) -> tuple[int, int, tuple[str, ...]]:
    rows = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    return application, version, tuple(row[0] for row in rows)


def _seen(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seen FROM clock").fetchone()
    return min(max(row[0], 0), _LATEST) if row and isinstance(row[0], int) else 0


def _forget(db: sqlite3.Connection, moment: int) -> None:
    before = ticks(moment_at(moment) - KEPT)
    for table in ("questions", "spent"):
        db.execute(f"DELETE FROM {table} WHERE expires <= ?", (before,))  # noqa: S608 - our own names


def _question(row: tuple[Any, ...]) -> Question:
    values = dict(zip(_COLUMNS, row, strict=False))
    moments = {name: moment_at(values[name]) for name in ("created", "expires")}
    return Question(**{**values, **moments, "other_approver": _truth(values["other_approver"])})


def _decision(row: tuple[Any, ...]) -> SignedAnswer | None:
    approver, approved, at, signature = given = row[len(_COLUMNS) :]
    if given == (None,) * 4:
        return None
    if not isinstance(approver, str) or not isinstance(signature, bytes):
        raise TypeError("half an answer")
    return SignedAnswer(approver, _truth(approved), moment_at(at), signature)


def _truth(value: Any) -> bool:
    return {0: False, 1: True}[value]


def _reason(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return f"another program has kept it locked for {BUSY_SECONDS:g} seconds. Nothing was changed; try again."
    if code in _DAMAGED:
        return f"it is damaged, or no database at all. {_AFRESH}"
    return f"SQLite says {in_quotes(str(error), 200)}."
