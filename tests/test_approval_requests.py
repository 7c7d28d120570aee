"""A question says everything a person is shown, and no part of it or of the answer can be changed afterwards."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from approving import (
    ALICE,
    APPROVERS,
    LATE,
    MALLORY,
    MINUTE,
    NOW,
    SECOND,
    SOON,
    USED,
    question,
)
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ap_mcp.guard.approval_requests import (
    ALPHABET,
    Asked,
    Question,
    SignedAnswer,
    new_code,
    read_code,
    signed_digest,
)
from ap_mcp.guard.approvals import standing
from ap_mcp.guard.approvers import KnownApprover
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import LONGEST_LIFETIME


def test_codes_are_easy_to_read_out_and_do_not_repeat() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    assert not set("".join(codes)) & set("01OIL")
    assert set("".join(codes)) == {*ALPHABET, "-"}
    assert all(read_code(code) == code for code in codes)


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
        {"expires": NOW + LONGEST_LIFETIME + SECOND},
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
    assert (moved, moved.consent) == (asked, asked.consent)


def test_two_questions_say_the_same_if_a_person_is_shown_the_same_about_the_same_call() -> None:
    asked = question()
    assert asked.says_the_same(question(created=SOON, expires=LATE + MINUTE))
    for name in {each.name for each in fields(Question)} - {"code", "created", "expires"}:
        assert not asked.says_the_same(question(**{name: changed(getattr(asked, name))}))


# Signatures

ASKED = question()
ANSWER = sign(ALICE, ASKED, True, SOON)
BOTH = {**APPROVERS, "mallory": KnownApprover(MALLORY.key.public_key())}


def changed(value: Any) -> Any:
    """Return a value of the same kind that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, datetime):
        return value + SECOND
    if isinstance(value, str) and value and set(value) <= set("0123456789abcdef"):
        return value[1:] + ("0" if value[0] != "0" else "1")
    return value + "x" if not read_code(str(value)) else new_code()


def state(asked: Question, answer: SignedAnswer, now: datetime = USED) -> str:
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
def test_no_part_of_an_answer_can_be_changed_or_taken_from_another(answer: SignedAnswer) -> None:
    assert state(ASKED, answer) == "worthless"


def test_a_stranger_who_signs_correctly_is_still_a_stranger() -> None:
    found = standing(Asked(ASKED, sign(MALLORY, ASKED, True, SOON)), APPROVERS, USED)
    assert (found.state, found.why) == ("worthless", '"mallory" is no approver known here')


@pytest.mark.parametrize(
    ("name", "value"), [("approver", "mallory"), ("approved", False), ("at", SOON + SECOND), ("question", question())]
)
def test_a_signature_covers_the_question_and_all_of_the_answer(name: str, value: Any) -> None:
    signed: dict[str, Any] = {"question": ASKED, "approver": "alice", "approved": True, "at": SOON}
    assert signed_digest(**signed) != signed_digest(**{**signed, name: value})
    assert signed_digest(**signed) == signed_digest(**signed)


def test_a_question_of_a_time_to_come_does_not_wait_yet() -> None:
    assert standing(Asked(ASKED), APPROVERS, NOW - SECOND).state == "worthless"


@given(st.datetimes(datetime(2026, 3, 1, 11, 50), datetime(2026, 3, 1, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
@example(NOW)
@example(SOON - SECOND)
@example(SOON)
@example(LATE)
def test_an_approval_counts_at_no_time_but_between_its_signature_and_its_end(now: datetime) -> None:
    assert (state(ASKED, ANSWER, now) == "approved") == (SOON <= now < LATE)
