"""A signed answer is consent to exactly what was shown, once and in time; a hand in the store gains nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from approving import (
    ALICE,
    APPROVERS,
    BOUND,
    LATE,
    MALLORY,
    MINUTE,
    NOW,
    SECOND,
    SOON,
    USED,
    approved,
    approved_for,
    consent,
    edit,
    granted,
    pending_for,
    question,
    take,
)

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable, ConsentDeclined
from ap_mcp.guard.approval_requests import (
    Asked,
    Question,
    SignedAnswer,
    Withdrawal,
    read_code,
    same_person,
    signed_digest,
)
from ap_mcp.guard.approvals import Standing, standing
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import KEPT, OPEN_LIMIT
from ap_mcp.guard.seal import ticks
from ap_mcp.guard.showing import outcome
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.vendor import written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ap-mcp" / "approvals.db"


@pytest.fixture
def store(path: Path) -> ConsentFile:
    return ConsentFile(path)


def latest(store: ConsentFile, now: datetime = USED) -> Asked | None:
    return next(iter(store.about(BOUND, now)), None)


# Waiting


def test_a_question_comes_back_as_it_was_asked(store: ConsentFile) -> None:
    asked = question(arguments='{"values":"é\\u200b"}', impact_text="Löscht\nalles. \U0001f4a5", other_approver=True)
    store.ask(asked)
    assert store.find(asked.code) == Asked(asked)
    assert store.pending(SOON) == [asked]
    assert latest(store) == Asked(asked)


@pytest.mark.parametrize("typed", ["ABCD-2345", "abcd2345", " abcd - 2345\n", "AB-CD23-45"])
def test_a_code_is_found_however_it_is_typed(typed: str, store: ConsentFile) -> None:
    store.ask(question(code="ABCD-2345"))
    assert store.find(typed) is not None


@pytest.mark.parametrize("typed", ["", "ABCD", "ABCD-2340", "ABCD-23456", "%", "' OR 1=1 --", "ÀBCD-2345", "x" * 9999])
def test_what_is_no_code_finds_nothing(typed: str, store: ConsentFile) -> None:
    store.ask(question(code="ABCD-2345"))
    assert read_code(typed) is None
    assert store.find(typed) is None


def test_waiting_questions_are_listed_oldest_first(store: ConsentFile) -> None:
    asked = [question(created=NOW + minutes * MINUTE) for minutes in (2, 0, 1)]
    for each in asked:
        store.ask(each)
    assert [each.created for each in store.pending(NOW + 3 * MINUTE)] == [NOW, NOW + MINUTE, NOW + 2 * MINUTE]


def test_what_waits_is_counted_as_it_is_listed(store: ConsentFile) -> None:
    asked = [question(code=f"ABCD-234{at}", expires=LATE + at * MINUTE) for at in range(4, 8)]
    for each in asked:
        store.ask(each)
    store.decide(asked[0].code, sign(ALICE, asked[0], True, SOON))
    store.withdraw(asked[1].code, "ivan", SOON)
    for now, count in ((SOON, 2), (LATE + 6 * MINUTE, 1), (LATE + 7 * MINUTE, 0)):
        assert store.waiting(now) == len(store.pending(now)) == count


def test_what_is_decided_expired_or_not_asked_yet_does_not_wait(store: ConsentFile) -> None:
    approved(store)
    store.ask(question(expires=SOON))
    assert store.pending(USED) == []
    assert pending_for(store, BOUND, USED) is None
    coming = question(created=USED + MINUTE)
    store.ask(coming)
    edit(store, "UPDATE clock SET seen = 0")
    assert store.pending(USED) == []
    assert pending_for(store, BOUND, USED) is None
    assert store.pending(USED + MINUTE) == [coming]
    assert pending_for(store, BOUND, USED + MINUTE) == coming


def test_an_agent_cannot_bury_a_person_in_questions(store: ConsentFile) -> None:
    for _ in range(OPEN_LIMIT):
        store.ask(question())
    with pytest.raises(ApprovalRefused, match=f'{OPEN_LIMIT} questions of "ivan" wait'):
        store.ask(question())
    store.ask(question(principal="judy"))
    store.ask(question(created=LATE, expires=LATE + MINUTE))


def test_an_agent_cannot_fill_the_store_with_questions_either(
    store: ConsentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("consent_file", "refusals"):
        monkeypatch.setattr(f"ap_mcp.state.{module}.DAY_LIMIT", 3)
    for _ in range(3):
        declined(store)
    with pytest.raises(ApprovalRefused, match='3 questions of "ivan" were asked within a day'):
        store.ask(question())
    store.ask(question(principal="judy"))
    store.ask(question(simulated=True))
    later = LATE + KEPT
    store.ask(question(created=later, expires=later + MINUTE))


def test_a_code_that_is_taken_is_not_asked_again(store: ConsentFile) -> None:
    asked = approved(store)
    with pytest.raises(ApprovalsUnusable):
        store.ask(replace(asked, impact_text="Nothing much."))
    assert store.find(asked.code) == latest(store)


# Withdrawn


@pytest.mark.parametrize("answered", [False, True])
def test_what_is_withdrawn_waits_no_more_and_its_approval_is_void(answered: bool, store: ConsentFile) -> None:
    asked = approved(store) if answered else question()
    if not answered:
        store.ask(asked)
    store.withdraw(asked.code.lower(), "ivan", SOON)
    for each in (store, ConsentFile(store.path)):
        assert each.pending(SOON) == []
        assert latest(each) is None
        assert granted(each, BOUND, USED) is None
        kept = each.find(asked.code)
        assert kept is not None
        assert kept.withdrawal == Withdrawal("ivan", SOON)
        assert standing(kept, APPROVERS, USED) == Standing("withdrawn", "ivan", f"at {written(SOON)}")
    with pytest.raises(ApprovalRefused, match="was withdrawn"):
        store.decide(asked.code, sign(ALICE, asked, True, USED))
    assert granted(store, BOUND, USED) is None


def test_a_withdrawn_question_is_no_no_and_may_be_asked_again(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.withdraw(asked.code, "ivan", SOON)
    again = approved(store)
    found = granted(store, BOUND, USED)
    assert found is not None
    assert found.question == again


def test_withdrawn_questions_leave_room_for_others(store: ConsentFile) -> None:
    asked = [question() for _ in range(OPEN_LIMIT)]
    for each in asked:
        store.ask(each)
    store.withdraw(asked[7].code, "ivan", SOON)
    store.ask(question())


def test_the_record_of_a_withdrawn_question_that_is_put_back_opens_nothing(store: ConsentFile) -> None:
    asked = approved(store)
    with closing(sqlite3.connect(store.path)) as db:
        [kept] = db.execute("SELECT * FROM open").fetchall()
    store.withdraw(asked.code, "ivan", SOON)
    edit(store, "INSERT INTO open VALUES (?, ?, ?, ?, ?)", *kept)
    assert granted(store, BOUND, USED) is None


def declined(store: ConsentFile) -> Question:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, False, SOON))
    return asked


def used(store: ConsentFile) -> Question:
    asked = approved(store)
    assert granted(store, BOUND, USED)
    return asked


def withdrawn(store: ConsentFile) -> Question:
    asked = question()
    store.ask(asked)
    store.withdraw(asked.code, "ivan", SOON)
    return asked


def expired(store: ConsentFile) -> Question:
    asked = question(expires=SOON)
    store.ask(asked)
    return asked


@pytest.mark.parametrize(
    ("made", "why"),
    [(declined, "it was declined"), (used, "has been used"), (withdrawn, "is withdrawn"), (expired, "has expired")],
)
def test_what_came_to_another_end_is_not_withdrawn(
    made: Callable[[ConsentFile], Question], why: str, store: ConsentFile
) -> None:
    asked = made(store)
    before = store.find(asked.code)
    with pytest.raises(ApprovalRefused, match=f"{asked.code} cannot be withdrawn: .*{why}"):
        store.withdraw(asked.code, "ivan", USED)
    assert store.find(asked.code) == before


def test_what_nobody_asked_is_not_withdrawn(store: ConsentFile) -> None:
    with pytest.raises(ApprovalRefused, match='There is no question "ABCD-2345"'):
        store.withdraw("ABCD-2345", "ivan", SOON)


# What came to an end


def test_the_history_has_what_came_to_an_end_the_last_of_it_first(store: ConsentFile) -> None:
    old, no, gone, yes = expired(store), declined(store), withdrawn(store), used(store)
    store.ask(waiting := question())
    store.withdraw(waiting.code, "ivan", USED)
    store.ask(question())
    found = store.history(USED)
    assert [each.question.code for each in found[:1]] == [waiting.code]
    assert {each.question.code for each in found} == {each.code for each in (old, no, gone, yes, waiting)}
    assert [each.ended for each in found] == sorted((each.ended for each in found), reverse=True)
    states = {each.question.code: standing(each, APPROVERS, USED).state for each in found}
    assert [states[each.code] for each in (old, no, gone, yes)] == ["expired", "declined", "withdrawn", "spent"]


def test_the_history_is_bounded_and_lasts_a_day(store: ConsentFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.state.consent_file.MOST_OF_HISTORY", 2)
    ends = [NOW + number * SECOND for number in (3, 1, 2)]
    for each in ends:
        store.ask(question(expires=each))
    assert [each.ended for each in store.history(SOON)] == sorted(ends, reverse=True)[:2]
    store.ask(question(created=SOON + KEPT, expires=SOON + KEPT + MINUTE))
    assert store.history(SOON + KEPT) == []


@pytest.mark.parametrize("values", [(b"\x07", 1), ("ivan", "late")])
def test_half_a_withdrawal_is_passed_over(values: tuple[Any, Any], store: ConsentFile) -> None:
    asked = approved(store)
    edit(store, "UPDATE questions SET withdrawn_by = ?, withdrawn = ?", *values)
    assert store.find(asked.code) is None
    assert granted(store, BOUND, USED) is None


# What counts


def test_an_approval_is_granted_once(store: ConsentFile) -> None:
    asked = approved(store)
    found = granted(store, BOUND, USED)
    assert found is not None
    assert (found.question, found.approver) == (asked, "alice")
    assert granted(store, BOUND, USED) is None
    assert latest(store) is None
    kept = store.find(asked.code)
    assert kept is not None
    assert standing(kept, APPROVERS, USED).state == "spent"
    said = outcome(kept, APPROVERS, USED)
    assert said == "spent: it has been used by a call, or its record was lost; nothing more comes of it"


def test_an_approval_can_be_read_before_it_is_spent(store: ConsentFile) -> None:
    asked = approved(store)
    assert approved_for(store, BOUND, USED) == approved_for(store, BOUND, USED) is not None
    assert take(store, asked.consent, USED)
    assert approved_for(store, BOUND, USED) is None


def test_a_question_without_an_answer_grants_nothing(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    assert granted(store, BOUND, USED) is None
    assert pending_for(store, BOUND, USED) == asked
    assert standing(Asked(asked), APPROVERS, USED).state == "pending"


@pytest.mark.parametrize("name", sorted(BOUND))
def test_an_approval_of_another_call_grants_nothing(name: str, store: ConsentFile) -> None:
    approved(store)
    other = {**BOUND, name: "b" * 64}
    assert granted(store, other, USED) is None
    assert pending_for(store, other, USED) is None


def test_without_pinned_approvers_nothing_counts(path: Path, store: ConsentFile) -> None:
    approved(store)
    assert granted(store, BOUND, USED, approvers={}) is None


def test_a_refusal_says_who_refused_and_holds_until_it_expires(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, False, SOON))
    for _ in range(2):
        with pytest.raises(ConsentDeclined, match=f"alice declined it .{asked.code}."):
            granted(store, BOUND, USED)
    assert granted(store, BOUND, LATE) is None


def test_of_two_answers_the_last_one_holds(store: ConsentFile) -> None:
    first, second = question(), question(created=NOW + SECOND)
    store.ask(first)
    store.ask(second)
    store.decide(second.code, sign(ALICE, second, True, SOON))
    store.decide(first.code, sign(ALICE, first, False, SOON + SECOND))
    with pytest.raises(ConsentDeclined):
        granted(store, BOUND, USED)


def test_an_answered_question_comes_before_a_newer_one_that_waits(store: ConsentFile) -> None:
    asked, newer = approved(store), question(created=SOON)
    store.ask(newer)
    assert latest(store) == store.find(asked.code)
    assert pending_for(store, BOUND, USED) == newer


def test_an_answer_is_not_changed(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, False, SOON))
    with pytest.raises(ApprovalRefused, match="decided already"):
        store.decide(asked.code, sign(ALICE, asked, True, SOON))
    with pytest.raises(ConsentDeclined):
        granted(store, BOUND, USED)


def test_what_was_never_asked_or_has_expired_cannot_be_answered(store: ConsentFile) -> None:
    asked = question(expires=SOON)
    with pytest.raises(ApprovalRefused, match="There is no question"):
        store.decide(asked.code, sign(ALICE, asked, True, NOW))
    store.ask(asked)
    with pytest.raises(ApprovalRefused, match="has expired"):
        store.decide(asked.code, replace(sign(ALICE, asked, True, NOW), at=SOON))


def test_an_approval_is_worthless_from_the_moment_it_expires(store: ConsentFile) -> None:
    asked = approved(store)
    found = Asked(asked, sign(ALICE, asked, True, SOON))
    assert standing(found, APPROVERS, LATE - timedelta(microseconds=1)).state == "approved"
    assert standing(found, APPROVERS, LATE).state == "expired"
    assert granted(store, BOUND, LATE) is None


def test_somebody_else_must_approve_where_the_policy_says_so(store: ConsentFile) -> None:
    asked = question(principal="Alice", other_approver=True)
    digest = signed_digest(asked, "alice", approved=True, at=SOON)
    answer = SignedAnswer("alice", True, SOON, ALICE.key.sign(digest))
    found = standing(Asked(asked, answer), APPROVERS, USED)
    assert found.why == 'it needs somebody other than "alice", for whom the call is made'
    store.ask(asked)
    store.decide(asked.code, answer)
    assert granted(store, {**BOUND, "principal": "Alice"}, USED) is None


def test_a_policy_that_has_grown_stricter_since_the_question_holds(store: ConsentFile) -> None:
    bound = {**BOUND, "principal": "alice"}
    approved(store, principal="alice")
    assert granted(store, bound, USED, other_approver=True) is None
    assert granted(store, bound, USED) is not None


def test_spelling_does_not_make_another_person() -> None:
    assert same_person("alice", " ALICE\n")
    assert same_person("straße", "STRASSE")
    assert same_person("alice", "\uff41lice")
    assert not same_person("alice", "alice.b")


# A hand in the store


def test_an_approval_written_into_the_store_grants_nothing(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    for signature in (b"", b"\0" * 64, sign(MALLORY, asked, True, SOON).signature):
        edit(
            store,
            "UPDATE questions SET approver = 'alice', approved = 1, decided = ?, signature = ?",
            ticks(SOON),
            signature,
        )
        assert granted(store, BOUND, USED) is None
        assert standing(latest(store) or Asked(asked), APPROVERS, USED).state == "worthless"


def test_a_question_is_still_heard_beside_a_forged_answer(store: ConsentFile) -> None:
    asked, forged = approved(store), question(created=SOON)
    store.ask(forged)
    values = (ticks(USED), b"\0" * 64, forged.code)
    edit(
        store,
        "UPDATE questions SET approver = 'alice', approved = 0, decided = ?, signature = ? WHERE code = ?",
        *values,
    )
    found = granted(store, BOUND, USED)
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
def test_no_column_changed_by_hand_makes_consent(column: str, store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, column != "approved", SOON))
    edit(store, f"UPDATE questions SET {column} = {EDITS[column]}")  # noqa: S608 - the table above
    columns = {"arguments_digest": "digest"}
    edits = {"principal": "judy", "tool": "get_cluster", "arguments_digest": "b" * 64, "fingerprint": "e" * 64}
    wanted = {**BOUND, columns.get(column, column): edits[column]} if column in edits else BOUND
    assert granted(store, wanted, USED) is None
    assert granted(store, BOUND, USED) is None


def test_a_signature_copied_from_another_question_grants_nothing(store: ConsentFile) -> None:
    store.ask(question())
    harmless = approved(store, tool="delete_release", name="redis", arguments_digest="b" * 64)
    edit(
        store,
        "UPDATE questions SET (approver, approved, decided, signature) ="
        " (SELECT approver, approved, decided, signature FROM questions WHERE code = ?)",
        harmless.code,
    )
    assert granted(store, BOUND, USED) is None


@pytest.mark.parametrize("column", sorted({*EDITS} - {"code"}))
@pytest.mark.parametrize("value", ["NULL", "'nonsense'", "x'ff00'", "9e99", "-9223372036854775808", "''"])
def test_nonsense_in_the_store_grants_nothing_and_hides_nothing(column: str, value: str, store: ConsentFile) -> None:
    asked, other = approved(store), question(name="other")
    store.ask(other)
    with closing(sqlite3.connect(store.path)) as db, db:
        try:
            db.execute(f"UPDATE questions SET {column} = {value} WHERE code = ?", (asked.code,))  # noqa: S608
        except sqlite3.IntegrityError:
            return
    assert granted(store, BOUND, USED) is None
    assert other in store.pending(USED)
    assert store.find(other.code) == Asked(other)


def test_a_used_approval_does_not_come_back_when_its_record_is_put_back(store: ConsentFile) -> None:
    asked = approved(store)
    assert granted(store, BOUND, USED)
    edit(store, "INSERT INTO open VALUES (?, ?, 'ivan', 1, ?)", asked.consent.id, asked.consent.digest, 2**62)
    assert granted(store, BOUND, USED) is None
    assert not take(store, asked.consent, USED)


def test_a_used_approval_does_not_come_back_under_another_code(store: ConsentFile) -> None:
    approved(store)
    assert granted(store, BOUND, USED)
    edit(store, "UPDATE questions SET code = 'ZZZZ-ZZZZ'")
    assert granted(store, BOUND, USED) is None


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER undo BEFORE DELETE ON open BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW more AS SELECT * FROM questions",
        "ALTER TABLE questions ADD COLUMN note TEXT",
        "DROP TABLE open",
        "PRAGMA user_version = 0",
    ],
)
def test_a_store_with_other_tables_or_triggers_is_refused(statement: str, store: ConsentFile) -> None:
    approved(store)
    edit(store, statement)
    with pytest.raises(ApprovalsUnusable, match="not as ap-mcp makes it"):
        granted(store, BOUND, USED)


# The clock


@pytest.mark.parametrize("later", [SECOND, MINUTE])
def test_what_has_expired_is_not_taken_even_when_the_clock_is_put_back_a_little(
    later: timedelta, store: ConsentFile
) -> None:
    store.open(consent())
    store.open(consent(2, created=LATE, expires=LATE + MINUTE))
    assert not take(store, consent(), LATE - later)


def test_an_expired_approval_does_not_come_back_when_the_clock_is_put_back(store: ConsentFile) -> None:
    approved(store)
    assert granted(store, BOUND, LATE) is None
    assert granted(store, BOUND, LATE - SECOND) is None
    with pytest.raises(
        ApprovalsUnusable, match=r"clock says 2026-03-01T12:02:00Z, but .* has recorded 2026-03-01T12:15:00Z"
    ):
        granted(store, BOUND, USED)


def test_a_clock_that_was_set_right_by_a_little_is_borne(store: ConsentFile) -> None:
    approved(store)
    store.pending(USED + MINUTE)
    assert granted(store, BOUND, USED) is not None


def test_a_consent_that_was_forgotten_is_not_taken_again(store: ConsentFile) -> None:
    store.open(consent())
    assert take(store, consent())
    store.open(consent(2, created=LATE + 2 * KEPT, expires=LATE + 3 * KEPT))
    for now in (LATE + 2 * KEPT, LATE + 2 * KEPT - SECOND):
        assert not take(ConsentFile(store.path), consent(), now)


@pytest.mark.parametrize("seen", ["'soon'", "-1", "NULL"])
def test_a_clock_written_back_by_hand_brings_nothing_back(seen: str, store: ConsentFile) -> None:
    approved(store)
    assert granted(store, BOUND, USED)
    with suppress(sqlite3.IntegrityError):
        edit(store, f"UPDATE clock SET seen = {seen}")  # noqa: S608 - the values above
    assert granted(store, BOUND, USED) is None


def test_a_clock_written_far_ahead_by_hand_closes_the_store_and_says_why(store: ConsentFile) -> None:
    asked = approved(store)
    edit(store, "UPDATE clock SET seen = 9223372036854775807")
    with pytest.raises(ApprovalsUnusable, match="has recorded 9999-12-31"):
        granted(store, BOUND, USED)
    with pytest.raises(ApprovalsUnusable):
        take(store, asked.consent, USED)


def test_what_expired_long_ago_is_forgotten_and_the_rest_kept(store: ConsentFile) -> None:
    old, young = question(), question(created=NOW + KEPT, expires=LATE + KEPT)
    store.ask(old)
    store.ask(young)
    store.open(consent(1, created=LATE + KEPT - SECOND, expires=LATE + KEPT))
    assert store.find(old.code) is not None
    store.open(consent(2, created=LATE + KEPT, expires=LATE + KEPT + SECOND))
    assert store.find(old.code) is None
    assert store.find(young.code) == Asked(young)
