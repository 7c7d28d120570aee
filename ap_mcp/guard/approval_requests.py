"""A call that waits for a person elsewhere, the signed answer, and the judgement whether that is consent."""

import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ap_mcp.guard.seal import canonical, moment_at, ticks
from ap_mcp.wording import in_quotes

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
LIFETIME = timedelta(minutes=15)
LONGEST = timedelta(days=1)
"""No question lives longer, whoever wrote it: an answer is about how things are now."""
SHOWN = 80

State: TypeAlias = Literal["pending", "approved", "declined", "expired", "spent", "worthless"]

_CODE = re.compile(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def new_code() -> str:
    """Return a code that is easy to read out and to type, and names one question."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def read_code(text: str) -> str | None:
    """Return a code as it is kept, however a person wrote it; None if it is none."""
    letters = re.sub(r"[\s-]", "", text).upper()
    code = f"{letters[:4]}-{letters[4:]}"
    return code if _CODE.fullmatch(code) else None


def same_person(one: str, other: str) -> bool:
    """Say whether two names may mean the same person; spelling is no way to become somebody else."""
    first, second = (unicodedata.normalize("NFKC", name).strip().casefold() for name in (one, other))
    return first == second


@dataclass(frozen=True, slots=True)
class Question:
    """One call that waits for a person, with everything they are shown.

    Attributes:
        code: names it.
        tool: what is called.
        arguments: canonical JSON, secrets masked.
        arguments_digest: of the true arguments, in hex.
        principal: for whom the call is made.
        effect: how grave it is.
        name: what the approver must type: the target's own name.
        impact_text: what would happen.
        fingerprint: of the facts the impact was told from, in hex.
        created: when it was asked.
        expires: from then on no answer counts.
        other_approver: only somebody other than the principal may approve.
    """

    code: str
    tool: str
    arguments: str
    arguments_digest: str
    principal: str
    effect: str
    name: str
    impact_text: str
    fingerprint: str
    created: datetime
    expires: datetime
    other_approver: bool = False

    def __post_init__(self) -> None:
        for name in _TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) or not value or _SURROGATE.search(value):
                raise ValueError(f"a question needs its {name}, as text that can be stored")
        if not _CODE.fullmatch(self.code):
            raise ValueError("a question needs a code of new_code()")
        if not (_DIGEST.fullmatch(self.arguments_digest) and _DIGEST.fullmatch(self.fingerprint)):
            raise ValueError("a question needs digests that are SHA-256 in hex")
        for name in ("created", "expires"):
            object.__setattr__(self, name, moment_at(ticks(getattr(self, name))))
        if not timedelta() < self.expires - self.created <= LONGEST:
            raise ValueError(f"a question must expire after it is asked, and within {LONGEST}")

    def told(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "created": ticks(self.created), "expires": ticks(self.expires)}

    @property
    def consent_id(self) -> str:
        """Under what name an approval of exactly this is spent."""
        return f"approval:{sha256(canonical(self.told()).encode()).hexdigest()}"

    def says_the_same(self, other: "Question") -> bool:
        """Say whether two questions show a person the same about the same call, whenever they were asked."""
        aside = {"code", "created", "expires"}
        mine, theirs = self.told(), other.told()
        return all(mine[name] == theirs[name] for name in mine if name not in aside)


_TEXTS = tuple(each.name for each in fields(Question) if each.type is str)


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """What a named approver answered, signed; see `signed_digest` for what the signature covers."""

    approver: str
    approved: bool
    at: datetime
    signature: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the store has it: nothing here is proven, `standing` judges it."""

    question: Question
    decision: SignedAnswer | None = None
    spent: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a question has come to; `worthless` is an answer that does not count, and `why` says why not."""

    state: State
    approver: str = ""
    why: str = ""


def signed_digest(question: Question, approver: str, *, approved: bool, at: datetime) -> bytes:
    """Return what an approver signs: the SHA-256 of the whole question and the answer to it."""
    decision = {"approver": approver, "approved": approved, "at": ticks(at)}
    told = {"purpose": "ap-mcp approval 1", "question": question.told(), "decision": decision}
    return sha256(canonical(told).encode()).digest()


def standing(asked: Asked, approvers: Mapping[str, Ed25519PublicKey], now: datetime) -> Standing:
    """Judge what a question has come to; only `approved` is consent.

    Args:
        asked: as it was found in the store.
        approvers: the public keys that were pinned when the program started.
        now: the time.
    """
    question, decision = asked.question, asked.decision
    if asked.spent:
        return Standing("spent", why="it has been used")
    if now >= question.expires:
        return Standing("expired", why=f"it expired at {question.expires:%H:%M:%S} UTC")
    if now < question.created:
        return Standing("worthless", why="it was asked at a time that this machine's clock has not reached")
    if decision is None:
        return Standing("pending")
    if why := _flaw(question, decision, approvers, now):
        return Standing("worthless", why=why)
    return Standing("approved" if decision.approved else "declined", decision.approver)


def _flaw(
    question: Question, decision: SignedAnswer, approvers: Mapping[str, Ed25519PublicKey], now: datetime
) -> str | None:
    """Return why an answer does not count; None if it does."""
    who = in_quotes(decision.approver, SHOWN)
    key = approvers.get(decision.approver)
    if key is None:
        return f"{who} is no approver known here"
    digest = signed_digest(question, decision.approver, approved=decision.approved, at=decision.at)
    try:
        key.verify(decision.signature, digest)
    except InvalidSignature:
        return f"it does not bear the signature of {who} under this question and this answer"
    if question.other_approver and same_person(question.principal, decision.approver):
        return f"it needs somebody other than {who}, for whom the call is made"
    if not question.created <= decision.at < question.expires or decision.at > now:
        return "it was not signed between the question and now"
    return None
