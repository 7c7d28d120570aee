"""A signed answer is consent to exactly what was shown, once and in time; a hand in the store gains nothing."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from approving import ALICE, APPROVERS, BOUND, LATE, MALLORY, NOW, SOON, question
from hypothesis import assume, given
from hypothesis import strategies as st

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable, ConsentDeclined
from ap_mcp.guard import approvals
from ap_mcp.guard.approvals import (
    OPEN_LIMIT,
    ApprovalStore,
    Asked,
    Decision,
    Question,
    new_code,
    read_code,
    same_person,
    standing,
)
from ap_mcp.guard.keys import sign
from ap_mcp.guard.questions import ALPHABET, LONGEST

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
USED = SOON + MINUTE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ap-mcp" / "approvals.db"


@pytest.fixture
def store(path: Path) -> ApprovalStore:
    return ApprovalStore(path, APPROVERS)


def edit(store: ApprovalStore, statement: str, *values: object) -> None:
    """Write into the store by hand."""
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(statement, values)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def latest(store: ApprovalStore, now: datetime = USED) -> Asked | None:
    return store.latest_for(BOUND["principal"], BOUND["tool"], BOUND["digest"], BOUND["fingerprint"], now)


def approved(store: ApprovalStore, **changes: Any) -> Question:
    """Ask a question and have Alice approve it."""
    asked = question(**changes)
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, True, SOON))
    return asked


# Questions


def test_a_question_comes_back_as_it_was_asked(store: ApprovalStore) -> None:
    asked = question(arguments='{"values":"é\\u200b"}', impact_text="Löscht\nalles. \U0001f4a5", other_approver=True)
    store.ask(asked)
    assert store.find(asked.code) == Asked(asked)
    assert store.pending(SOON) == (asked,)
    assert latest(store) == Asked(asked)


def test_codes_are_easy_to_read_out_and_do_not_repeat() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    assert not set("".join(codes)) & set("01OIL")
    assert set("".join(codes)) == {*ALPHABET, "-"}
    assert all(read_code(code) == code for code in codes)


@pytest.mark.parametrize("typed", ["ABCD-2345", "abcd2345", " abcd - 2345\n", "AB-CD23-45"])
def test_a_code_is_found_however_it_is_typed(typed: str, store: ApprovalStore) -> None:
    store.ask(question(code="ABCD-2345"))
    assert store.find(typed) is not None


@pytest.mark.parametrize("typed", ["", "ABCD", "ABCD-2340", "ABCD-23456", "%", "' OR 1=1 --", "ÀBCD-2345", "x" * 9999])
def test_what_is_no_code_finds_nothing(typed: str, store: ApprovalStore) -> None:
    store.ask(question(code="ABCD-2345"))
    assert read_code(typed) is None
    assert store.find(typed) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "abcd-2345"},
        {"tool": ""},
        {"name": ""},
        {"impact_text": ""},
        {"principal": None},
        {"arguments": {"cluster_id": "x"}},
        {"impact_text": "half a \ud83d pair"},
        {"arguments_digest": "A" * 64},
        {"fingerprint": "f" * 63},
        {"expires": NOW},
        {"expires": NOW + LONGEST + SECOND},
        {"created": NOW.replace(tzinfo=None)},
    ],
)
def test_a_question_that_could_not_be_judged_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"question|moment"):
        question(**changes)


def test_the_same_moment_in_another_zone_makes_the_same_question() -> None:
    asked = question()
    zone = timezone(timedelta(hours=8))
    moved = replace(asked, created=asked.created.astimezone(zone), expires=asked.expires.astimezone(zone))
    assert (moved, moved.consent_id) == (asked, asked.consent_id)


def test_two_questions_say_the_same_if_a_person_is_shown_the_same_about_the_same_call() -> None:
    asked = question()
    assert asked.says_the_same(question(created=SOON, expires=LATE + MINUTE))
    for name in {each.name for each in fields(Question)} - {"code", "created", "expires"}:
        assert not asked.says_the_same(question(**{name: changed(getattr(asked, name))}))


def test_waiting_questions_are_listed_oldest_first(store: ApprovalStore) -> None:
    asked = [question(created=NOW + minutes * MINUTE) for minutes in (2, 0, 1)]
    for each in asked:
        store.ask(each)
    assert [each.created for each in store.pending(NOW + 3 * MINUTE)] == [NOW, NOW + MINUTE, NOW + 2 * MINUTE]


def test_what_is_decided_expired_or_not_asked_yet_does_not_wait(store: ApprovalStore) -> None:
    approved(store)
    store.ask(question(expires=SOON))
    store.ask(question(created=USED + MINUTE))
    assert store.pending(USED + MINUTE) == store.pending(USED + 2 * MINUTE) != ()
    assert store.pending(LATE + MINUTE) == ()


def test_an_agent_cannot_bury_a_person_in_questions(store: ApprovalStore) -> None:
    for _ in range(OPEN_LIMIT):
        store.ask(question())
    with pytest.raises(ApprovalRefused, match=f"{OPEN_LIMIT} questions of \"ivan\" wait"):
        store.ask(question())
    store.ask(question(principal="judy"))
    store.ask(question(created=LATE, expires=LATE + MINUTE))


def test_a_code_that_is_taken_is_not_asked_again(store: ApprovalStore) -> None:
    asked = approved(store)
    with pytest.raises(ApprovalsUnusable):
        store.ask(replace(asked, impact_text="Nothing much."))
    assert store.find(asked.code) == latest(store)


# What counts


def test_an_approval_is_granted_once(store: ApprovalStore) -> None:
    asked = approved(store)
    found = store.granted(BOUND, USED)
    assert found is not None
    assert (found.question, found.approver) == (asked, "alice")
    assert store.granted(BOUND, USED) is None
    assert latest(store) is None
    kept = store.find(asked.code)
    assert kept is not None
    assert standing(kept, APPROVERS, USED).state == "spent"


def test_an_approval_can_be_looked_at_before_it_is_spent(store: ApprovalStore) -> None:
    asked = approved(store)
    assert store.approved_for(BOUND, USED) == store.approved_for(BOUND, USED) is not None
    assert store.spend(asked.consent_id, asked.expires)
    assert store.approved_for(BOUND, USED) is None


def test_a_question_without_an_answer_grants_nothing(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    assert store.granted(BOUND, USED) is None
    assert store.pending_for(BOUND, USED) == asked
    assert standing(Asked(asked), APPROVERS, USED).state == "pending"


@pytest.mark.parametrize("name", sorted(BOUND))
def test_an_approval_of_another_call_grants_nothing(name: str, store: ApprovalStore) -> None:
    approved(store)
    other = {**BOUND, name: "b" * 64}
    assert store.granted(other, USED) is None
    assert store.pending_for(other, USED) is None


def test_without_pinned_approvers_nothing_counts(path: Path, store: ApprovalStore) -> None:
    approved(store)
    assert ApprovalStore(path).granted(BOUND, USED) is None


def test_a_refusal_is_told_with_who_refused_and_holds_until_it_expires(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, False, SOON))
    for _ in range(2):
        with pytest.raises(ConsentDeclined, match=f"alice declined it .{asked.code}."):
            store.granted(BOUND, USED)
    assert store.granted(BOUND, LATE) is None


def test_of_two_answers_the_last_one_holds(store: ApprovalStore) -> None:
    first, second = question(), question(created=NOW + SECOND)
    store.ask(first)
    store.ask(second)
    store.decide(second.code, sign(ALICE, second, True, SOON))
    store.decide(first.code, sign(ALICE, first, False, SOON + SECOND))
    with pytest.raises(ConsentDeclined):
        store.granted(BOUND, USED)


def test_an_answered_question_comes_before_a_newer_one_that_waits(store: ApprovalStore) -> None:
    asked, newer = approved(store), question(created=SOON)
    store.ask(newer)
    assert latest(store) == store.find(asked.code)
    assert store.pending_for(BOUND, USED) == newer


def test_an_answer_is_not_changed(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, False, SOON))
    with pytest.raises(ApprovalRefused, match="decided already"):
        store.decide(asked.code, sign(ALICE, asked, True, SOON))
    with pytest.raises(ConsentDeclined):
        store.granted(BOUND, USED)


def test_what_was_never_asked_or_has_expired_cannot_be_answered(store: ApprovalStore) -> None:
    asked = question(expires=SOON)
    with pytest.raises(ApprovalRefused, match="There is no question"):
        store.decide(asked.code, sign(ALICE, asked, True, NOW))
    store.ask(asked)
    with pytest.raises(ApprovalRefused, match="has expired"):
        store.decide(asked.code, replace(sign(ALICE, asked, True, NOW), at=SOON))


def test_an_approval_is_worthless_from_the_moment_it_expires(store: ApprovalStore) -> None:
    asked = approved(store)
    found = Asked(asked, sign(ALICE, asked, True, SOON))
    assert standing(found, APPROVERS, LATE - timedelta(microseconds=1)).state == "approved"
    assert standing(found, APPROVERS, LATE).state == "expired"
    assert store.granted(BOUND, LATE) is None


def test_somebody_else_must_approve_where_the_policy_says_so(store: ApprovalStore) -> None:
    bound = {**BOUND, "principal": "Alice"}
    asked = question(principal="Alice", other_approver=True)
    signed = sign(ALICE, replace(asked, other_approver=False), True, SOON)
    digest = approvals.Question.__module__  # the digest is made where questions are
    assert digest == "ap_mcp.guard.questions"
    store.ask(asked)
    store.decide(asked.code, signed)
    assert store.granted(bound, USED) is None


def test_a_policy_that_has_grown_stricter_since_the_question_holds(store: ApprovalStore) -> None:
    bound = {**BOUND, "principal": "alice"}
    approved(store, principal="alice")
    assert store.granted(bound, USED, other_approver=True) is None
    assert store.granted(bound, USED) is not None


def test_spelling_makes_nobody_somebody_else() -> None:
    assert same_person("alice", " ALICE\n")
    assert same_person("straße", "STRASSE")
    assert same_person("alice", "\uff41lice")
    assert not same_person("alice", "alice.b")


# Signatures

ASKED = question()
ANSWER = sign(ALICE, ASKED, True, SOON)
BOTH = {**APPROVERS, "mallory": MALLORY.key.public_key()}


def changed(value: Any) -> Any:
    """Return a value of the same kind that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, datetime):
        return value + SECOND
    if isinstance(value, str) and set(value) <= set("0123456789abcdef"):
        return value[1:] + ("0" if value[0] != "0" else "1")
    return value + "x" if not read_code(str(value)) else new_code()


def state(asked: Question, answer: Decision, now: datetime = USED) -> str:
    return standing(Asked(asked, answer), BOTH, now).state


def test_the_unchanged_answer_counts() -> None:
    assert state(ASKED, ANSWER) == "approved"


@pytest.mark.parametrize("name", [each.name for each in fields(Question)])
def test_no_field_of_a_question_can_be_changed_after_it_was_signed(name: str) -> None:
    assert state(replace(ASKED, **{name: changed(getattr(ASKED, name))}), ANSWER) == "worthless"


@given(st.sampled_from([each.name for each in fields(Question) if each.type is str]), st.data())
def test_no_character_of_a_question_can_be_changed_after_it_was_signed(name: str, data: st.DataObject) -> None:
    old = getattr(ASKED, name)
    place = data.draw(st.integers(0, len(old)))
    new = old[:place] + data.draw(st.text(max_size=2)) + old[place + data.draw(st.integers(0, 2)) :]
    assume(new != old)
    try:
        asked = replace(ASKED, **{name: new})
    except ValueError:
        return  # not even a question
    assert state(asked, ANSWER) == "worthless"


@given(st.integers(0, 511))
def test_no_bit_of_a_signature_can_be_changed(bit: int) -> None:
    signature = bytearray(ANSWER.signature)
    signature[bit // 8] ^= 1 << bit % 8
    assert state(ASKED, replace(ANSWER, signature=bytes(signature))) == "worthless"


@given(st.binary(max_size=100))
def test_no_made_up_signature_counts(signature: bytes) -> None:
    assert state(ASKED, replace(ANSWER, signature=signature)) == "worthless"


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, approver="mallory"),
        replace(ANSWER, approver="Alice"),
        replace(ANSWER, approver=""),
        replace(ANSWER, approved=False),
        replace(ANSWER, at=SOON + timedelta(microseconds=1)),
        replace(sign(MALLORY, ASKED, True, SOON), approver="alice"),
        replace(sign(ALICE, ASKED, False, SOON), approved=True),
        sign(ALICE, question(), True, SOON),
        sign(ALICE, replace(ASKED, impact_text="Nothing much."), True, SOON),
    ],
)
def test_no_part_of_an_answer_can_be_changed_or_taken_from_another(answer: Decision) -> None:
    assert state(ASKED, answer) == "worthless"


def test_a_stranger_who_signs_correctly_is_still_a_stranger() -> None:
    found = standing(Asked(ASKED, sign(MALLORY, ASKED, True, SOON)), APPROVERS, USED)
    assert (found.state, found.why) == ("worthless", '"mallory" is no approver known here')


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_approval_counts_at_no_time_but_between_its_signature_and_its_end(now: datetime) -> None:
    assert (state(ASKED, ANSWER, now) == "approved") == (SOON <= now < LATE)


# A hand in the store


def test_an_approval_written_into_the_store_grants_nothing(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    for signature in (b"", b"\0" * 64, sign(MALLORY, asked, True, SOON).signature):
        edit(
            store,
            "UPDATE questions SET approver = 'alice', approved = 1, decided = ?, signature = ?",
            approvals.ticks(SOON),
            signature,
        )
        assert store.granted(BOUND, USED) is None
        assert standing(latest(store) or Asked(asked), APPROVERS, USED).state == "worthless"


def test_a_question_is_still_heard_beside_a_forged_answer(store: ApprovalStore) -> None:
    asked, forged = approved(store), question(created=SOON)
    store.ask(forged)
    values = (approvals.ticks(USED), b"\0" * 64, forged.code)
    edit(store, "UPDATE questions SET approver = 'alice', approved = 0, decided = ?, signature = ? WHERE code = ?", *values)
    found = store.granted(BOUND, USED)
    assert found is not None
    assert found.question == asked


EDITS = {
    "code": "'ZZZZ-ZZZZ'",
    "tool": "'get_cluster'",
    "arguments": "'{}'",
    "arguments_digest": f"'{'b' * 64}'",
    "principal": "'judy'",
    "effect": "'read'",
    "name": "'x'",
    "impact_text": "'Nothing much.'",
    "fingerprint": f"'{'e' * 64}'",
    "created": "created - 1",
    "expires": "expires + 3600000000",
    "other_approver": "1",
    "approver": "'mallory'",
    "approved": "1",
    "decided": "decided + 1",
    "signature": "zeroblob(64)",
}


@pytest.mark.parametrize("column", sorted(EDITS))
def test_no_column_changed_by_hand_makes_consent(column: str, store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, column != "approved", SOON))
    edit(store, f"UPDATE questions SET {column} = {EDITS[column]}")  # noqa: S608 - the table above
    columns = {"arguments_digest": "digest"}
    edits = {"principal": "judy", "tool": "get_cluster", "arguments_digest": "b" * 64, "fingerprint": "e" * 64}
    wanted = {**BOUND, columns.get(column, column): edits[column]} if column in edits else BOUND
    assert store.granted(wanted, USED) is None
    assert store.granted(BOUND, USED) is None


def test_a_signature_copied_from_another_question_grants_nothing(store: ApprovalStore) -> None:
    store.ask(question())
    harmless = approved(store, tool="delete_release", name="redis", arguments_digest="b" * 64)
    edit(
        store,
        "UPDATE questions SET (approver, approved, decided, signature) ="
        " (SELECT approver, approved, decided, signature FROM questions WHERE code = ?)",
        harmless.code,
    )
    assert store.granted(BOUND, USED) is None


@pytest.mark.parametrize("column", sorted({*EDITS} - {"code"}))
@pytest.mark.parametrize("value", ["NULL", "'nonsense'", "x'ff00'", "9e99", "-9223372036854775808", "''"])
def test_nonsense_in_the_store_grants_nothing_and_hides_nothing(column: str, value: str, store: ApprovalStore) -> None:
    asked, other = approved(store), question(name="other")
    store.ask(other)
    with closing(sqlite3.connect(store.path)) as db, db:
        try:
            db.execute(f"UPDATE questions SET {column} = {value} WHERE code = ?", (asked.code,))  # noqa: S608
        except sqlite3.IntegrityError:
            return
    assert store.granted(BOUND, USED) is None
    assert other in store.pending(USED)
    assert store.find(other.code) == Asked(other)


def test_a_spent_approval_does_not_come_back_when_its_row_is_taken_out(store: ApprovalStore) -> None:
    asked = approved(store)
    assert store.granted(BOUND, USED)
    edit(store, "DELETE FROM spent")
    assert store.granted(BOUND, USED) is None
    assert not store.spend(asked.consent_id, asked.expires)


def test_a_spent_approval_does_not_come_back_under_another_code(store: ApprovalStore) -> None:
    approved(store)
    assert store.granted(BOUND, USED)
    edit(store, "UPDATE questions SET code = 'ZZZZ-ZZZZ'")
    assert store.granted(BOUND, USED) is None


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER undo AFTER INSERT ON spent BEGIN DELETE FROM spent; END",
        "CREATE VIEW more AS SELECT * FROM questions",
        "ALTER TABLE questions ADD COLUMN note TEXT",
        "DROP TABLE spent",
        "PRAGMA user_version = 0",
    ],
)
def test_a_store_with_other_tables_or_triggers_is_refused(statement: str, store: ApprovalStore) -> None:
    approved(store)
    edit(store, statement)
    with pytest.raises(ApprovalsUnusable, match="not as ap-mcp makes it"):
        store.granted(BOUND, USED)


# The clock


def test_an_expired_approval_does_not_come_back_when_the_clock_is_put_back(store: ApprovalStore) -> None:
    approved(store)
    assert store.granted(BOUND, LATE) is None
    assert store.granted(BOUND, LATE - SECOND) is None
    with pytest.raises(ApprovalsUnusable, match="clock says 2026-03-01 12:02:00 UTC, but .* has seen 2026-03-01 12:15:00"):
        store.granted(BOUND, USED)


def test_a_clock_that_was_set_right_by_a_little_is_borne(store: ApprovalStore) -> None:
    approved(store)
    store.pending(USED + MINUTE)
    assert store.granted(BOUND, USED) is not None


def test_a_consent_that_may_have_been_forgotten_is_not_spent_again(store: ApprovalStore) -> None:
    assert store.spend("token:1", LATE)
    store.purge(LATE + 2 * LONGEST)
    assert not ApprovalStore(store.path).spend("token:1", LATE)


@pytest.mark.parametrize("seen", ["9223372036854775807", "'soon'", "-1"])
def test_a_clock_written_by_hand_opens_nothing(seen: str, store: ApprovalStore) -> None:
    approved(store)
    assert store.granted(BOUND, USED)
    edit(store, f"UPDATE clock SET seen = {seen}")  # noqa: S608 - the values above
    try:
        assert store.granted(BOUND, USED) is None
    except ApprovalsUnusable as error:
        assert "9999-12-31" in error.render()


def test_what_expired_long_ago_is_forgotten_and_the_rest_kept(store: ApprovalStore) -> None:
    old, young = question(), question(created=NOW + LONGEST, expires=LATE + LONGEST)
    store.ask(old)
    store.spend("token:old", LATE)
    store.ask(young)
    store.purge(LATE + LONGEST - SECOND)
    assert store.find(old.code) is not None
    store.purge(LATE + LONGEST)
    assert store.find(old.code) is None
    assert store.find(young.code) is not None


# Spending


def test_a_consent_is_spent_once(store: ApprovalStore) -> None:
    assert store.spend("token:1", LATE)
    assert not store.spend("token:1", LATE)
    assert not store.spend("token:1", LATE + MINUTE)
    assert not ApprovalStore(store.path).spend("token:1", LATE)
    assert store.spend("token:2", LATE)


@pytest.mark.parametrize("stores", [1, 8], ids=["one store", "a store each"])
def test_of_threads_that_race_for_one_consent_one_gets_it(stores: int, path: Path) -> None:
    shared = [ApprovalStore(path, APPROVERS) for _ in range(stores)]
    barrier = Barrier(8)

    def race(number: int) -> bool:
        barrier.wait(5)
        return shared[number % stores].spend("token:1", LATE)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(race, range(8))) == [False] * 7 + [True]


def test_of_threads_that_race_for_one_approval_one_gets_it(store: ApprovalStore) -> None:
    approved(store)
    barrier = Barrier(4)

    def race(_: int) -> bool:
        barrier.wait(5)
        return store.granted(BOUND, USED) is not None

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, range(4))) == 1


RACER = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from ap_mcp.guard.approvals import ApprovalStore
path, expires, then = sys.argv[1:]
store = ApprovalStore(Path(path))
print("ready", flush=True)
sys.stdin.readline()
won = [store.spend(f"token:{number}", datetime.fromisoformat(expires)) for number in range(10)]
print(*map(int, won), flush=True)
if then == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def racer(path: Path, then: str = "end") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RACER, str(path), LATE.isoformat(), then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def raced(process: subprocess.Popen[str]) -> list[bool]:
    out, _ = process.communicate(timeout=30)
    return [word == "1" for word in out.split()]


def test_of_processes_that_race_for_consents_one_gets_each_even_in_a_store_that_is_just_being_made(path: Path) -> None:
    processes = [racer(path) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    won = [raced(process) for process in processes]
    assert [sum(each) for each in zip(*won, strict=True)] == [1] * 10


def test_a_consent_stays_spent_when_its_process_is_killed(path: Path, store: ApprovalStore) -> None:
    process = racer(path, "die")
    out, _ = process.communicate("\n", timeout=30)
    assert out.split() == ["ready", *["1"] * 10]
    assert process.returncode == -signal.SIGKILL
    assert not any(store.spend(f"token:{number}", LATE) for number in range(10))


# The file


def test_the_store_is_its_owners_only(store: ApprovalStore) -> None:
    os.umask(old := os.umask(0))
    os.umask(0)
    try:
        with store._transaction() as db:
            db.execute("INSERT INTO spent VALUES ('x', 1)")
            modes = {file.name: mode_of(file) for file in store.path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(["approvals.db", "approvals.db-shm", "approvals.db-wal"], 0o600)
    assert mode_of(store.path.parent) == 0o700


def test_another_connection_reads_while_one_writes(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    with store._transaction() as db, closing(sqlite3.connect(store.path, timeout=0)) as other:
        db.execute("DELETE FROM questions")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("SELECT code FROM questions").fetchall() == [(asked.code,)]
    assert store.find(asked.code) is None


def test_a_store_that_stays_locked_is_told_and_nothing_counts(
    store: ApprovalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(store)
    monkeypatch.setattr(approvals, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ApprovalsUnusable, match="another program has kept it locked.*try again"):
            store.granted(BOUND, USED)
        with pytest.raises(ApprovalsUnusable):
            store.spend("token:1", LATE)
    assert store.granted(BOUND, USED) is not None


def test_a_failure_in_the_middle_changes_nothing(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    with pytest.raises(ApprovalsUnusable, match="no such table"), store._transaction() as db:
        db.execute("DELETE FROM questions")
        db.execute("SELECT * FROM nowhere")
    assert store.find(asked.code) == Asked(asked)


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE recipes (name TEXT)")


def newer_store(path: Path) -> None:
    ApprovalStore(path).pending(NOW)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def damaged_store(path: Path) -> None:
    ApprovalStore(path).ask(question())
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    path.write_bytes(content)


def text(path: Path) -> None:
    path.write_text("dear diary, " * 100)


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")


def readable(path: Path) -> None:
    ApprovalStore(path).pending(NOW)
    path.chmod(0o640)


def foreign(path: Path) -> None:
    ApprovalStore(path).pending(NOW)
    path.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (other_database, "not as ap-mcp makes it.*Move it away"),
        (newer_store, "a newer ap-mcp made it"),
        (damaged_store, "damaged, or no database.*Move it away"),
        (text, "damaged, or no database.*Move it away"),
        (folder, "no plain file"),
        (link, "no plain file"),
        (readable, "other users may read or change .*chmod go-rwx"),
        (foreign, "other users may change .*chmod go-w"),
    ],
)
def test_a_store_that_cannot_be_trusted_or_read_is_told_and_left_alone(
    spoil: Callable[[Path], None], why: str, store: ApprovalStore
) -> None:
    store.path.parent.mkdir(parents=True, mode=0o700)
    spoil(store.path)
    if store.path.is_file():
        store.path.chmod(mode_of(store.path) & (0o640 if spoil is readable else 0o600))
    before = store.path.read_bytes() if store.path.is_file() else b""
    for use in uses(store):
        with pytest.raises(ApprovalsUnusable, match=why) as raised:
            use()
        assert str(store.path) in raised.value.render()
    assert (store.path.read_bytes() if store.path.is_file() else b"") == before


def uses(store: ApprovalStore) -> Iterator[Callable[[], object]]:
    yield lambda: store.granted(BOUND, USED)
    yield lambda: store.find("ABCD-2345")
    yield lambda: store.ask(question())
    yield lambda: store.spend("token:1", LATE)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ApprovalsUnusable, match=r"approvals\.db cannot be used: "):
        ApprovalStore(tmp_path / "file" / "approvals.db").pending(NOW)


def test_a_store_that_was_moved_away_is_made_anew_and_what_was_spent_stays_so_here(store: ApprovalStore) -> None:
    assert store.spend("token:1", LATE)
    store.path.unlink()
    assert store.pending(USED) == ()
    assert not store.spend("token:1", LATE)
