"""Judges what the answers to a question are worth: only a signature of a known approver, in time, is consent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidSignature

from ap_mcp.errors import ConsentDeclined
from ap_mcp.guard.approval_requests import OVER, SHOWN, Asked, Question, SignedAnswer, passkey_digest, signed_digest
from ap_mcp.guard.approvers import KnownApprover, why_same_person
from ap_mcp.guard.passkeys import flaw
from ap_mcp.vendor import written
from ap_mcp.wording import in_quotes

Approvers: TypeAlias = Mapping[str, KnownApprover]
"""The people whose signatures count, by name; on stdio pinned when the program started."""
WITH_KEY = "with their key, in a terminal"
WITH_PASSKEY = "with their passkey, on the page"
State: TypeAlias = Literal["pending", "approved", "declined", "expired", "spent", "withdrawn", "worthless"]


@dataclass(frozen=True, slots=True)
class Approval:
    """A question that a named approver has said yes to, proven by their signature, when they did, and with what."""

    question: Question
    approver: str
    at: datetime
    how: str = WITH_KEY


@dataclass(frozen=True, slots=True)
class Standing:
    """What a question has come to; `worthless` is an answer that does not count, and `why` says why not.

    `approver` is who answered it; of one that was withdrawn, who withdrew it.
    """

    state: State
    approver: str = ""
    why: str = ""


def standing(asked: Asked, approvers: Approvers, now: datetime) -> Standing:
    """Judge what a question has come to; only `approved` is consent.

    Args:
        asked: as it was found in the store.
        approvers: whose signatures count.
        now: the time.
    """
    question, decision = asked.question, asked.decision
    if not asked.is_open or asked.withdrawal is not None:
        return _gone(asked)
    if now >= question.expires:
        return Standing("expired", why=f"it expired at {written(question.expires)}")
    if now < question.created:
        return Standing("worthless", why="it was asked at a time that this machine's clock has not reached")
    if decision is None:
        return Standing("pending")
    if why := _flaw(question, decision, approvers, now):
        return Standing("worthless", why=why)
    return Standing("approved" if decision.approved else "declined", decision.approver)


def why_not_counted(asked: Asked | None, given: SignedAnswer, approvers: Approvers, now: datetime) -> str:
    """Return why an answer that somebody has just given does not count; empty if it does, or was used meanwhile.

    A call that waits for an approval uses it as soon as it is there, before whoever gave it has read it back.

    Args:
        asked: the question as it was found in the store afterwards; None if it is not there.
        given: the answer.
        approvers: whose signatures count.
        now: the time.
    """
    if asked is None:
        return "the store has lost it"
    found = standing(asked, approvers, now)
    if asked.decision != given:
        return found.why or found.state
    if found.state == "spent" and given.approved:
        return _flaw(asked.question, given, approvers, now) or ""
    return "" if found.state in ("approved", "declined") else found.why or found.state


def approval_in(
    found: Iterable[Asked], approvers: Approvers, now: datetime, *, other_approver: bool = False
) -> Approval | None:
    """Return the approval among what a store has about one call, without using it; None if none counts.

    Answers that do not count are passed over: they neither grant nor refuse anything.

    Args:
        found: what `ApprovalStore.about` returned.
        approvers: whose signatures count.
        now: the time.
        other_approver: what the policy asks for now, whatever it did when the question was asked.

    Raises:
        ConsentDeclined: the last answer was no; it holds until its question expires.
    """
    for asked in found:
        question, judged = asked.question, standing(asked, approvers, now)
        if judged.state == "declined":
            raise declined(question, judged.approver)
        if judged.state != "approved" or asked.decision is None:
            continue
        who = judged.approver
        if not (other_approver and why_same_person(question.principal, who, approvers.get(who))):
            return Approval(question, who, asked.decision.at, WITH_PASSKEY if asked.decision.assertion else WITH_KEY)
    return None


def declined(question: Question, approver: str) -> ConsentDeclined:
    """Return the error of a call that an approver has said no to."""
    why = f"{approver} declined it ({question.code}). Do not ask again unless they want it."
    return ConsentDeclined(question.tool, why)


def unknown_signers_in(found: Iterable[Asked], approvers: Approvers) -> dict[str, str]:
    """Return who approved among what a store has about one call, by its code, with a key that is not known here.

    Each may be a person whose key was made after this program was started, or nobody at all.
    """
    return {
        asked.question.code: asked.decision.approver
        for asked in found
        if asked.decision and asked.decision.approved and not _is_signed(asked.question, asked.decision, approvers)
    }


def waiting_in(found: Iterable[Asked]) -> Question | None:
    """Return the newest question without an answer among what a store has about one call."""
    return next((asked.question for asked in found if asked.decision is None), None)


def _gone(asked: Asked) -> Standing:
    if asked.withdrawal is not None:
        return Standing("withdrawn", asked.withdrawal.by, f"at {written(asked.withdrawal.at)}")
    return Standing("spent", why=OVER)


def _flaw(question: Question, decision: SignedAnswer, approvers: Approvers, now: datetime) -> str | None:
    """Return why an answer does not count; None if it does."""
    who = in_quotes(decision.approver, SHOWN)
    if decision.approver not in approvers:
        return f"{who} is no approver known here"
    if not _is_signed(question, decision, approvers):
        return f"it does not bear the signature of {who} under this question and this answer"
    known = approvers.get(decision.approver)
    if question.other_approver and (why := why_same_person(question.principal, decision.approver, known)):
        return why
    if not question.created <= decision.at < question.expires or decision.at > now:
        return "it was not signed between the question and now"
    return None


def _is_signed(question: Question, decision: SignedAnswer, approvers: Approvers) -> bool:
    """Say whether an answer bears the signature of an approver who is known here."""
    known = approvers.get(decision.approver)
    if known is None:
        return False
    if decision.assertion is not None:
        challenge, signature = passkey_digest(question, approved=decision.approved, at=decision.at), decision.signature
        return any(not flaw(passkey, decision.assertion, signature, challenge) for passkey in known.passkeys)
    digest = signed_digest(question, decision.approver, approved=decision.approved, at=decision.at)
    try:
        if known.key is not None:
            known.key.verify(decision.signature, digest)
    except InvalidSignature:
        return False
    return known.key is not None
