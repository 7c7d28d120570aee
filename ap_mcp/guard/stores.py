"""What servers keep between calls, as protocols: a local and a shared implementation serve the same guard.

A consent is used once because the record of its question exists from asking to use: it is opened before the question
leaves the server, and the one that takes it away may send. A store that lost its data, or has no such record, makes a
person be asked again; no loss lets a consent be used twice.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ap_mcp.guard.approval_requests import Asked, Question, SignedAnswer


class OpenConsent(NamedTuple):
    """The record of a question that is open: it can be taken away once, by the one that then has the consent.

    Attributes:
        id: names it; it cannot be guessed.
        digest: of the call it is bound to, in hex.
        principal: for whom the call is made.
        created: when the question was asked.
        expires: from then on it is worthless.
    """

    id: str
    digest: str
    principal: str
    created: datetime
    expires: datetime


class ConsentStore(Protocol):
    """The open consents of all principals; each method raises `ApprovalsUnusable` if the store cannot be used."""

    async def open(self, consent: OpenConsent) -> None:
        """Record that a consent may be used once; to be called before its question leaves the server.

        Raises:
            ApprovalRefused: too many of this principal are open already.
        """

    async def take(self, consent_id: str, digest: str, now: datetime) -> bool:
        """Take the record of a consent away: True for exactly one of all who try, in whatever process.

        Args:
            consent_id: names it.
            digest: what it must be bound to; the record is gone even if it is bound to something else.
            now: the time; what has expired is not taken.
        """

    async def use_once(self, name: str, now: datetime, until: datetime) -> bool:
        """Remember that something was used: True for the first of all who say so, in whatever process.

        It is no consent: once the store has lost its data, it may be used again.

        Args:
            name: of what was used.
            now: the time.
            until: from then on it is worthless by itself, and may be forgotten.
        """


class ApprovalStore(ConsentStore, Protocol):
    """Questions that people answer elsewhere. The store is not trusted: `standing` judges what is found in it."""

    def now(self) -> datetime:
        """Return the time that all who share the store go by, as well as it is known here."""

    async def time(self) -> datetime:
        """Return that time, asked for anew."""

    async def close(self) -> None:
        """End what was opened to use the store; it can be used again."""

    async def ask(self, question: "Question") -> None:
        """Put a question where a person finds it, and open `question.consent` in the same step.

        Raises:
            ApprovalRefused: too many of this principal wait already, or were asked within a day.
        """

    async def find(self, code: str) -> "Asked | None":
        """Return the question of a code, however it was typed."""

    async def pending(self, now: datetime) -> "Sequence[Question]":
        """Return the questions without an answer, oldest first."""

    async def waiting(self, now: datetime) -> int:
        """Return how many questions have no answer, as the store counts them, without reading what is asked."""

    async def about(self, bound: Mapping[str, str], now: datetime) -> "Sequence[Asked]":
        """Return the questions about exactly this call whose consents are open, the last answered first.

        Args:
            bound: principal, tool, digest (of the arguments) and fingerprint of the call.
            now: the time.
        """

    async def decide(self, code: str, answer: "SignedAnswer") -> None:
        """Keep a person's answer; the first one stands.

        Raises:
            ApprovalRefused: there is no such question, it has expired, was withdrawn, or is answered already.
        """

    async def withdraw(self, code: str, by: str, now: datetime) -> None:
        """Take a question away, and the record of its consent with it: that is neither a yes nor a no.

        One that was approved can be withdrawn until it is used; a no stands until it expires. Whether the asker or an
        approver is at the other end is for the caller to check: the store is not trusted with it.

        Args:
            code: of the question, however it was typed.
            by: who withdraws it.
            now: the time.

        Raises:
            ApprovalRefused: there is no such question, it has expired, was declined, used or withdrawn already.
        """

    async def history(self, now: datetime) -> "Sequence[Asked]":
        """Return the questions that were answered or withdrawn, or have expired, of late: the last of them first.

        At most `MOST_OF_HISTORY` are returned, and none is kept longer than a day after it has expired.
        """

    async def announce(self, code: str, place: str) -> None:
        """Record that people were informed of a question at some place, and are to be informed there of its end.

        Args:
            code: of the question.
            place: stands for where they read; of no use to anybody who sees it in the store.
        """

    async def announced(self, place: str) -> "Sequence[str]":
        """Return the codes of questions whose end people are still to be informed of at a place."""

    async def settle(self, code: str, place: str) -> bool:
        """Take that record away: True for exactly one of all who try, who then informs people of the end."""


class ResponseStore(Protocol):
    """The latest whole answers of the cloud, masked, for the principal that made the call."""

    async def keep(self, principal: str, text: str) -> str | None:
        """Keep an answer and return its URI; None if it is larger than the store."""

    async def read(self, principal: str, uri: str) -> str | None:
        """Return a kept answer; None if it is gone, never was, or belongs to another principal."""


class Turn(Protocol):
    """The right of one call to work now."""

    def rest(self) -> AbstractAsyncContextManager[None]:
        """Return what a call is inside of while it only waits, for time to pass or for a person: others may work."""


class Limits(Protocol):
    """How much one principal may do at once."""

    @property
    def working(self) -> int:
        """Calls that work now on this server, of everybody."""

    @property
    def waiting(self) -> int:
        """Calls that wait there for their turn, or rest, of everybody."""

    def admit(self, principal: str) -> AbstractAsyncContextManager[Turn]:
        """Return what a call runs inside of.

        Raises:
            CallRefused: when it is entered, if the principal has too many calls.
        """
