"""A call that waits for a person elsewhere, and the signed answer to it; `approvals.py` judges what it is worth."""

import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from ap_mcp.guard.lifetimes import LONGEST_LIFETIME
from ap_mcp.guard.seal import canonical, moment_at, ticks
from ap_mcp.guard.stores import OpenConsent

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
SHOWN = 80
"""How many characters of a name or code an error shows."""

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


def call_digest(bound: Mapping[str, str]) -> str:
    """Return the digest of what a consent is bound to: principal, tool, digest and fingerprint of a call."""
    return sha256(canonical(dict(bound)).encode()).hexdigest()


def same_person(one: str, other: str) -> bool:
    """Say whether two names may mean the same person; spelling does not make another person."""
    first, second = (unicodedata.normalize("NFKC", name).strip().casefold() for name in (one, other))
    return first == second


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call goes; consent to it counts there alone.

    Attributes:
        region: of the cloud, or its host where no region is set.
        project: the id of the project.
        simulated: it is the simulator, and nothing is real.
        profile: the operator's name for this account and region; empty if there is one only.
    """

    region: str
    project: str
    simulated: bool = False
    profile: str = ""

    def __str__(self) -> str:
        profile = f"profile {self.profile}, " if self.profile else ""
        return f"{'SIMULATED, ' if self.simulated else ''}{profile}region {self.region}, project {self.project}"


OVER = "it has been used by a call, or its record was lost; nothing more comes of it"
"""What is known of a question whose record is gone."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call that waits for a person, with everything they are shown.

    Attributes:
        code: names it.
        tool: what is called.
        arguments: canonical JSON, as the caller supplied them; plain secrets left out.
        arguments_digest: of the true arguments, in hex.
        principal: for whom the call is made.
        client: the program that asks, as it names itself; the answer counts for a call of the same one alone.
        region: where the call goes.
        project: likewise.
        effect: how grave it is.
        name: what the approver must type: the target's own name.
        impact_text: what would happen.
        fingerprint: of the facts that the impact was made from, in hex.
        created: when it was asked.
        expires: from then on no answer counts.
        other_approver: only somebody other than the principal may approve.
        simulated: nothing real is touched.
        profile: where the call goes, as the operator calls it; empty if there is one place only.
    """

    code: str
    tool: str
    arguments: str
    arguments_digest: str
    principal: str
    client: str
    region: str
    project: str
    effect: str
    name: str
    impact_text: str
    fingerprint: str
    created: datetime
    expires: datetime
    other_approver: bool = False
    simulated: bool = False
    profile: str = ""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) or not (value or name in _MAY_BE_EMPTY) or _SURROGATE.search(value):
                raise ValueError(f"a question needs its {name}, as text that can be stored")
        if not _CODE.fullmatch(self.code):
            raise ValueError("a question needs a code of new_code()")
        if not (_DIGEST.fullmatch(self.arguments_digest) and _DIGEST.fullmatch(self.fingerprint)):
            raise ValueError("a question needs digests that are SHA-256 in hex")
        for name in ("created", "expires"):
            object.__setattr__(self, name, moment_at(ticks(getattr(self, name))))
        if not timedelta() < self.expires - self.created <= LONGEST_LIFETIME:
            raise ValueError(f"a question must expire after it is asked, and within {LONGEST_LIFETIME}")

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "created": ticks(self.created), "expires": ticks(self.expires)}

    @property
    def place(self) -> Place:
        """Where the call goes."""
        return Place(self.region, self.project, self.simulated, self.profile)

    @property
    def consent(self) -> OpenConsent:
        """The record that an approval of exactly this takes away; its id covers all that is shown."""
        bound = {"tool": self.tool, "digest": self.arguments_digest, "fingerprint": self.fingerprint}
        digest = call_digest({**bound, "principal": self.principal})
        name = f"approval:{sha256(canonical(self.as_json()).encode()).hexdigest()}"
        return OpenConsent(name, digest, self.principal, self.created, self.expires)

    def says_the_same(self, other: "Question") -> bool:
        """Say whether two questions show a person the same about the same call, whenever they were asked."""
        aside = {"code", "created", "expires"}
        mine, theirs = self.as_json(), other.as_json()
        return all(mine[name] == theirs[name] for name in mine if name not in aside)


_MAY_BE_EMPTY = frozenset({"client", "profile"})
_TEXTS = tuple(each.name for each in fields(Question) if each.type is str)


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a passkey signed, beside its signature.

    Attributes:
        client_data: the browser's words: which challenge it was, and on which page.
        authenticator_data: the authenticator's words: for which site, and that it checked who used it.
    """

    client_data: bytes
    authenticator_data: bytes


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """What a named approver answered, signed; see `signed_digest` for what the signature covers.

    Attributes:
        approver: their name.
        approved: yes or no.
        at: when they signed.
        signature: by the key that `ap-mcp approvals init` made, or by a passkey.
        assertion: what else a passkey signed; none if it was not a passkey.
    """

    approver: str
    approved: bool
    at: datetime
    signature: bytes
    assertion: Assertion | None = None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Who took a question away, and when; it needs no signature, for it lets nothing through."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the store has it: nothing here is proven, `standing` judges it.

    Attributes:
        question: as it stands there.
        decision: the answer, if there is one.
        is_open: the record of its consent is there, so it was not used yet.
        withdrawal: how it was taken away, if it was.
    """

    question: Question
    decision: SignedAnswer | None = None
    is_open: bool = True
    withdrawal: Withdrawal | None = None

    @property
    def ended(self) -> datetime:
        """When it came to its end, or will: it was withdrawn, or answered, or expires."""
        if self.withdrawal is not None:
            return self.withdrawal.at
        return self.decision.at if self.decision is not None else self.question.expires


def why_not_withdrawn(asked: Asked, now: datetime) -> str:
    """Return why a question can no longer be withdrawn; empty if it can.

    Args:
        asked: as it was found in the store.
        now: the time.
    """
    if asked.withdrawal is not None:
        return "it is withdrawn already"
    if now >= asked.question.expires:
        return "it has expired"
    if asked.decision is not None and not asked.decision.approved:
        return "it was declined, which stands until it expires"
    return "" if asked.is_open else OVER


def signed_digest(question: Question, approver: str, *, approved: bool, at: datetime) -> bytes:
    """Return what an approver signs: the SHA-256 of the whole question and the answer to it."""
    decision = {"approver": approver, "approved": approved, "at": ticks(at)}
    return _digest_of("ap-mcp approval 1", question, decision)


def passkey_digest(question: Question, *, approved: bool, at: datetime) -> bytes:
    """Return what a passkey signs: the SHA-256 of the whole question and the answer to it.

    Who answers is known only when the passkey is chosen; each is pinned for one approver alone, so it names them.
    """
    return _digest_of("ap-mcp approval by passkey 1", question, {"approved": approved, "at": ticks(at)})


def withdrawal_digest(question: Question, at: datetime) -> bytes:
    """Return what a passkey signs to have a question withdrawn; it is no answer."""
    return _digest_of("ap-mcp withdrawal by passkey 1", question, {"at": ticks(at)})


def _digest_of(purpose: str, question: Question, decision: Mapping[str, Any]) -> bytes:
    signed = {"purpose": purpose, "question": question.as_json(), "decision": dict(decision)}
    return sha256(canonical(signed).encode()).digest()
