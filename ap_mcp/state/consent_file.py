"""Open consents, questions and signed answers in one SQLite file: what each call reads and changes, in one step.

All servers of one user and `ap-mcp approvals` share the file. It is not trusted: an answer counts by its signature
alone, which covers the whole question as it was shown. Writing into the file can only make people be asked again; an
open record that is put back by hand is refused by the server that took it.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
from ap_mcp.guard.approval_requests import (
    SHOWN,
    Asked,
    Assertion,
    Question,
    SignedAnswer,
    Withdrawal,
    read_code,
    why_not_withdrawn,
)
from ap_mcp.guard.lifetimes import CLOCK_SLACK, DAY_LIMIT, KEPT, MOST_OF_HISTORY, OPEN_LIMIT
from ap_mcp.guard.seal import moment_at, ticks
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.database import Database
from ap_mcp.state.refusals import asked_too_often, too_many_wait
from ap_mcp.state.taken import Taken
from ap_mcp.vendor import written
from ap_mcp.wording import in_quotes

_COLUMNS = tuple(each.name for each in fields(Question))
_ANSWER = ("approver", "approved", "decided", "signature", "client_data", "authenticator_data")
_ALL = ", ".join((*_COLUMNS, *_ANSWER, "withdrawn_by", "withdrawn"))
_CALL = "principal = ? AND tool = ? AND arguments_digest = ? AND fingerprint = ?"
_ENDED = (
    "code IN (SELECT code FROM questions WHERE created <= ? AND coalesce(decided, withdrawn, 0) + (expires <= ?) > 0"
    " ORDER BY coalesce(withdrawn, decided, expires) DESC LIMIT ?)"
)
_LATEST = ticks(datetime.max.replace(tzinfo=UTC))


class ConsentFile:
    """What `guard.stores.ApprovalStore` promises, made of blocking calls; safe between threads and processes.

    Every method raises `ApprovalsUnusable` if the file cannot be used, or the clock has gone back.

    Args:
        path: of the file; it and its folder are made for their owner only when first used.
    """

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self._taken = Taken()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.database.path

    def open(self, consent: OpenConsent) -> None:
        """Record that a consent may be used once; see `ConsentStore.open`."""
        with self.database.transaction() as db:
            moment = self._mark(db, consent.created)
            _forget(db, moment)
            waiting = "SELECT count(*) FROM open WHERE principal = ? AND NOT asked_elsewhere AND expires > ?"
            _check_limit(db.execute(waiting, (consent.principal, moment)).fetchone()[0], consent.principal)
            _insert(db, consent, elsewhere=False)

    def take(self, consent_id: str, digest: str, now: datetime) -> bool:
        """Take the record of a consent away; see `ConsentStore.take`."""
        with self.database.transaction() as db:
            moment = self._mark(db, now)
            row = db.execute("SELECT digest, expires > ? FROM open WHERE consent = ?", (moment, consent_id)).fetchone()
            gone = db.execute("DELETE FROM open WHERE consent = ?", (consent_id,)).rowcount
            if gone:
                self.database.renew(db)
        if gone != 1 or row != (digest, 1):
            return False
        return self._taken.add(consent_id)  # putting the record back into the file does not put it back in here

    def use_once(self, name: str, now: datetime, until: datetime) -> bool:
        """Remember that something was used; see `ConsentStore.use_once`."""
        row = (f"used:{name}", "", "", True, ticks(until))  # no digest is empty, so that nothing takes it
        with self.database.transaction() as db:
            _forget(db, self._mark(db, now))
            return db.execute("INSERT OR IGNORE INTO open VALUES (?, ?, ?, ?, ?)", row).rowcount == 1

    def ask(self, question: Question) -> None:
        """Put a question where a person finds it, and open its consent; see `ApprovalStore.ask`."""
        with self.database.transaction() as db:
            moment = self._mark(db, question.created)
            _forget(db, moment)
            waits = "sum(decided IS NULL AND withdrawn IS NULL AND expires > ?)"
            counts = f"SELECT coalesce({waits}, 0), count(*) FROM questions WHERE principal = ? AND simulated = ?"  # noqa: S608 - our own words
            waiting, kept = db.execute(counts, (moment, question.principal, question.simulated)).fetchone()
            _check_limit(waiting, question.principal)
            if kept >= DAY_LIMIT:
                raise asked_too_often(question.principal)
            values = question.as_json()
            statement = f"INSERT INTO questions ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608
            db.execute(statement, tuple(values.values()))
            _insert(db, question.consent, elsewhere=True)

    def find(self, code: str) -> Asked | None:
        """Return the question of a code, however it was typed."""
        with self.database.transaction() as db:
            return self._find(db, code)

    def pending(self, now: datetime) -> list[Question]:
        """Return the questions without an answer, oldest first."""
        with self.database.transaction() as db:
            moment = self._mark(db, now)
            found = self._select(db, "decided IS NULL AND created <= ? AND expires > ?", moment, moment)
        return [asked.question for asked in reversed(found) if asked.is_open]

    def waiting(self, now: datetime) -> int:
        """Return how many questions have no answer; see `ApprovalStore.waiting`."""
        with self.database.transaction() as db:
            moment = self._mark(db, now)
            waits = "decided IS NULL AND withdrawn IS NULL AND created <= ? AND expires > ?"
            count: int = db.execute(f"SELECT count(*) FROM questions WHERE {waits}", (moment, moment)).fetchone()[0]  # noqa: S608 - our own words
        return count

    def about(self, bound: Mapping[str, str], now: datetime) -> list[Asked]:
        """Return the questions about exactly this call whose consents are open; see `ApprovalStore.about`."""
        call = (bound["principal"], bound["tool"], bound["digest"], bound["fingerprint"])
        with self.database.transaction() as db:
            moment = self._mark(db, now)
            found = self._select(db, f"{_CALL} AND created <= ? AND expires > ?", *call, moment, moment)
        return [asked for asked in found if asked.is_open]

    def decide(self, code: str, answer: SignedAnswer) -> None:
        """Keep a person's answer; its signature is judged when it is used."""
        with self.database.transaction() as db:
            moment = self._mark(db, answer.at)
            asked = self._find(db, code)
            if asked is None:
                raise ApprovalRefused(f"There is no question {in_quotes(code, SHOWN)}. Nothing was decided.")
            if asked.withdrawal is not None:
                raise ApprovalRefused(
                    f"{asked.question.code} was withdrawn. Nothing was decided; it must be asked anew."
                )
            if asked.decision is not None:
                raise ApprovalRefused(f"{asked.question.code} is decided already, and an answer is not changed.")
            if moment >= ticks(asked.question.expires):
                raise ApprovalRefused(f"{asked.question.code} has expired. Nothing was decided; it must be asked anew.")
            values = (answer.approver, answer.approved, ticks(answer.at), answer.signature, *_asserted(answer))
            update = f"UPDATE questions SET ({', '.join(_ANSWER)}) = ({', '.join('?' * len(_ANSWER))}) WHERE code = ?"  # noqa: S608 - our own names
            db.execute(update, (*values, asked.question.code))

    def withdraw(self, code: str, by: str, now: datetime) -> None:
        """Take a question and its consent away; see `ApprovalStore.withdraw`."""
        with self.database.transaction() as db:
            moment = self._mark(db, now)
            asked = self._find(db, code)
            if asked is None:
                raise ApprovalRefused(f"There is no question {in_quotes(code, SHOWN)}. Nothing was withdrawn.")
            if why := why_not_withdrawn(asked, moment_at(moment)):
                raise ApprovalRefused(f"{asked.question.code} cannot be withdrawn: {why}. Nothing was changed.")
            db.execute("DELETE FROM open WHERE consent = ?", (asked.question.consent.id,))
            withdrawn = "UPDATE questions SET withdrawn_by = ?, withdrawn = ? WHERE code = ?"
            db.execute(withdrawn, (by, moment, asked.question.code))
            self.database.renew(db)
        self._taken.add(asked.question.consent.id)

    def history(self, now: datetime) -> list[Asked]:
        """Return the questions that came to an end of late, the last first; see `ApprovalStore.history`."""
        with self.database.transaction() as db:
            moment = self._mark(db, now)
            found = self._select(db, _ENDED, moment, moment, MOST_OF_HISTORY)
        return sorted(found, key=lambda asked: asked.ended, reverse=True)

    def announce(self, code: str, place: str) -> None:
        """Record that people were informed of a question, and are to be informed of its end."""
        with self.database.transaction() as db:
            db.execute("UPDATE questions SET announced = ? WHERE code = ?", (place, code))

    def announced(self, place: str) -> list[str]:
        """Return the codes of questions whose end people are still to be informed of."""
        with self.database.transaction() as db:
            rows = db.execute("SELECT code FROM questions WHERE announced = ? ORDER BY rowid", (place,)).fetchall()
        return [row[0] for row in rows]

    def settle(self, code: str, place: str) -> bool:
        """Take that record away; see `ApprovalStore.settle`."""
        with self.database.transaction() as db:
            done = "UPDATE questions SET announced = NULL WHERE code = ? AND announced = ?"
            return db.execute(done, (code, place)).rowcount == 1

    def _find(self, db: sqlite3.Connection, code: str) -> Asked | None:
        return next(iter(self._select(db, "code = ?", read_code(code) or "")), None)

    def _select(self, db: sqlite3.Connection, where: str, *values: Any) -> list[Asked]:
        """Return the questions, the last answered first, then the newest; rows that hold none are passed over."""
        query = f"SELECT {_ALL} FROM questions WHERE {where} ORDER BY decided DESC, created DESC, rowid DESC"  # noqa: S608
        found = []
        for row in db.execute(query, values).fetchall():
            with suppress(TypeError, ValueError, LookupError, OverflowError):
                question = _question(row)
                is_open = self._is_open(db, question.consent.id)
                found.append(Asked(question, _answer(row), is_open, _withdrawal(row)))
        return found

    def _is_open(self, db: sqlite3.Connection, consent_id: str) -> bool:
        found = db.execute("SELECT 1 FROM open WHERE consent = ?", (consent_id,)).fetchone()
        return found is not None and consent_id not in self._taken

    def _mark(self, db: sqlite3.Connection, now: datetime) -> int:
        """Remember the time and return the latest one known: what has expired stays so when the clock is put back."""
        moment, recorded = ticks(now), _recorded(db)
        if now + CLOCK_SLACK < moment_at(recorded):
            raise ApprovalsUnusable(
                f"This machine's clock says {written(moment_at(moment))}, but {self.path} has recorded "
                f"{written(moment_at(recorded))}: no consent counts before the clock is past that. "
                "Set it right; if it was wrong then, move the file away."
            )
        latest = max(moment, recorded)
        db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?)", (latest,))
        return latest


def _check_limit(waiting: int, principal: str) -> None:
    if waiting >= OPEN_LIMIT:
        raise too_many_wait(principal)


def _insert(db: sqlite3.Connection, consent: OpenConsent, *, elsewhere: bool) -> None:
    values = (consent.id, consent.digest, consent.principal, elsewhere, ticks(consent.expires))
    db.execute("INSERT INTO open VALUES (?, ?, ?, ?, ?)", values)


def _recorded(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seen FROM clock").fetchone()
    return min(max(row[0], 0), _LATEST) if row and isinstance(row[0], int) else 0


def _forget(db: sqlite3.Connection, moment: int) -> None:
    """Delete what expired long ago; people may want to see what happened to a question for a while."""
    before = ticks(moment_at(moment) - KEPT)
    for table in ("questions", "open"):
        db.execute(f"DELETE FROM {table} WHERE expires <= ?", (before,))  # noqa: S608 - our own names


def _question(row: tuple[Any, ...]) -> Question:
    values = dict(zip(_COLUMNS, row, strict=False))
    moments = {name: moment_at(values[name]) for name in ("created", "expires")}
    truths = {name: _truth(values[name]) for name in ("other_approver", "simulated")}
    return Question(**{**values, **moments, **truths})


def _answer(row: tuple[Any, ...]) -> SignedAnswer | None:
    approver, approved, at, signature, *asserted = given = row[len(_COLUMNS) : len(_COLUMNS) + len(_ANSWER)]
    if given == (None,) * len(_ANSWER):
        return None
    assertion = None if asserted == [None, None] else Assertion(*asserted)
    parts = (signature, *(asserted if assertion else ()))
    if not isinstance(approver, str) or not all(isinstance(each, bytes) for each in parts):
        raise TypeError("half an answer")
    return SignedAnswer(approver, _truth(approved), moment_at(at), signature, assertion)


def _asserted(answer: SignedAnswer) -> tuple[bytes | None, bytes | None]:
    if answer.assertion is None:
        return None, None
    return answer.assertion.client_data, answer.assertion.authenticator_data


def _withdrawal(row: tuple[Any, ...]) -> Withdrawal | None:
    by, at = row[len(_COLUMNS) + len(_ANSWER) :]
    if at is None:
        return None
    if not isinstance(by, str):
        raise TypeError("half a withdrawal")
    return Withdrawal(by, moment_at(at))


def _truth(value: Any) -> bool:
    return {0: False, 1: True}[value]
