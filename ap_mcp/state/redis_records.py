"""How questions, answers and open consents are written in Redis, and read again: JSON that nobody trusts."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ap_mcp.guard.approval_requests import Asked, Assertion, Question, SignedAnswer, Withdrawal
from ap_mcp.guard.seal import canonical, moment_at, ticks
from ap_mcp.guard.stores import OpenConsent

WRONG = (TypeError, ValueError, LookupError, OverflowError, RecursionError)
"""What reading raises where something else was written."""


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """The record of an open consent.

    Attributes:
        digest: of the call that it is bound to.
        principal: for whom the call is made.
        expires: from then on it is worthless.
        life: of the Redis server that it was written to; in another life it is worthless.
        code: of its question, if that is answered elsewhere.
    """

    digest: str
    principal: str
    expires: datetime
    life: str
    code: str = ""

    @classmethod
    def of(cls, consent: OpenConsent, life: str, code: str = "") -> "OpenRecord":
        """Return the record of a consent that is opened now."""
        return cls(consent.digest, consent.principal, consent.expires, life, code)

    @classmethod
    def read(cls, text: bytes) -> "OpenRecord":
        """Return a record; raises one of `WRONG` if it is none."""
        values = read_object(text)
        texts = {name: read_text(values[name]) for name in ("digest", "principal", "life", "code")}
        return cls(expires=moment_at(values["expires"]), **texts)

    def text(self) -> str:
        """Return it as it is kept."""
        values = {"digest": self.digest, "principal": self.principal, "life": self.life, "code": self.code}
        return canonical({**values, "expires": ticks(self.expires)})


def question_text(question: Question) -> str:
    """Return a question as it is kept."""
    return canonical(question.as_json())


def answer_text(answer: SignedAnswer) -> str:
    """Return an answer as it is kept."""
    values = {"approver": answer.approver, "approved": answer.approved, "at": ticks(answer.at)}
    made: dict[str, Any] = {**values, "signature": _encoded(answer.signature)}
    if answer.assertion is not None:
        made["client_data"] = _encoded(answer.assertion.client_data)
        made["authenticator_data"] = _encoded(answer.assertion.authenticator_data)
    return canonical(made)


def withdrawal_text(by: str, at: datetime) -> str:
    """Return a withdrawal as it is kept."""
    return canonical({"by": by, "at": ticks(at)})


def asked_of(question: bytes, answer: bytes | None, withdrawal: bytes | None) -> Asked:
    """Return what three keys say of one question; raises one of `WRONG` if any of them holds something else."""
    return Asked(
        _question(read_object(question)),
        None if answer is None else _answer(read_object(answer)),
        withdrawal=None if withdrawal is None else _withdrawal(read_object(withdrawal)),
    )


def _question(values: dict[str, Any]) -> Question:
    moments = {name: moment_at(values[name]) for name in ("created", "expires")}
    truths = {name: _truth(values[name]) for name in ("other_approver", "simulated")}
    return Question(**{**values, **moments, **truths})


def _answer(values: dict[str, Any]) -> SignedAnswer:
    signature, assertion = _decoded(values["signature"]), None
    if "client_data" in values:
        assertion = Assertion(_decoded(values["client_data"]), _decoded(values["authenticator_data"]))
    at = moment_at(values["at"])
    return SignedAnswer(read_text(values["approver"]), _truth(values["approved"]), at, signature, assertion)


def _withdrawal(values: dict[str, Any]) -> Withdrawal:
    return Withdrawal(read_text(values["by"]), moment_at(values["at"]))


def read_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; raises one of `WRONG` if the text is none."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found


def read_text(value: Any) -> str:
    """Return a text; raises one of `WRONG` if the value is none."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
