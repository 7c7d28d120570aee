"""Gets a person's consent through whichever channel the caller has; what a model can supply by itself is none.

Channels: a form the client shows while the call waits (`push`) or between two legs of a call (`return`), an approval
signed elsewhere, and, only where the operator accepts it, a token that the model itself carries. Whatever the channel,
the record of the question is opened in the store before the question leaves, and taken away to use the consent.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from anyio import CancelScope, move_on_after

from ap_mcp.binding import HttpCall
from ap_mcp.errors import ApprovalRequired, ConsentDeclined
from ap_mcp.guard.approval_requests import Question, call_digest, new_code
from ap_mcp.guard.approvals import Approvers, approval_in, waiting_in
from ap_mcp.guard.callers import AskBack, Caller, FormAnswer, local_user
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.lifetimes import (
    APPROVAL_LIFETIME,
    PATIENCE,
    QUESTION_LIFETIME,
    READING_TIME,
    TOKEN_LIFETIME,
    wall_clock,
)
from ap_mcp.guard.seal import Sealer, canonical
from ap_mcp.guard.stores import ApprovalStore, OpenConsent
from ap_mcp.specs import CLUSTER, JSON
from ap_mcp.wording import in_quotes

__all__ = ["AskBack", "Caller", "Confirmer", "Consent", "FormAnswer", "ReadAgain", "Request", "digest_of", "local_user"]

Mode: TypeAlias = Literal["human", "approval", "token", "deny"]

FIELD = "name"
STATE, TOKEN = "state", "token"
MOST_ROUNDS = 3
AS_OF = "As of "
KEPT_CHANGING = "What it touches changed every time it was asked about. Call again when it no longer changes."
CHANGED = "What this touches has changed since you were asked; this is how it is now."
KEPT_LOSING = "The record of the question was lost each time it was asked. Call again to have it asked anew."
LOST = "The record of the question was lost while you were asked, so your answer does not count; you are asked again."
USED = "was used before, or the record of its question is lost"


@dataclass(frozen=True, slots=True)
class Request:
    """What consent is asked for: one call, bound to what a person is shown about it.

    Attributes:
        digest: of the true arguments and of the files they name; `arguments` are masked.
        calls: what is sent once somebody agrees, in order and to the byte: what is filled in was read before.
        steps: what each of them does, in a few words; only several need them.
        project: the project it is sent to; not every path names it.
        shown_at: the service's time that the impact is about.
        other_approver: a rule wants somebody other than the caller to approve.
        takes_token: the tool has an argument for one; `token` is what was given for it.
    """

    tool: str
    arguments: Mapping[str, Any]
    digest: str
    impact: Impact
    calls: tuple[HttpCall, ...] = field(repr=False)
    project: str
    shown_at: datetime
    steps: tuple[str, ...] = ()
    other_approver: bool = False
    takes_token: bool = True
    token: str | None = None

    def fingerprint(self) -> str:
        """Return a digest of what is shown and of what would be sent; in which order things are named is no matter."""
        sent = [self.project, *(_sent(call) for call in self.calls)]
        return sha256(canonical([self.impact.fingerprint(), sent]).encode()).hexdigest()

    def binding(self, principal: str) -> dict[str, str]:
        """Return what a consent must match to count for this call."""
        bound = {"tool": self.tool, "digest": self.digest, "fingerprint": self.fingerprint()}
        return {**bound, "principal": principal}


ReadAgain: TypeAlias = Callable[[datetime | None], Awaitable[Request]]
"""Decides and reads everything anew; with a time, as it would have been shown then, its ages and all."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A person agreed, or a rule allows the call; it is used up already.

    Attributes:
        request: what was agreed to, and nothing else is sent.
        channel: how it was obtained.
        approver: who agreed.
        because: what stands in the audit as the decision.
    """

    request: Request
    channel: str
    approver: str
    because: str = "a person agreed"


def digest_of(arguments: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Return the digest of a call's true arguments and of the content of the files they name."""
    contents = {name: sha256(content).hexdigest() for name, content in files.items()}
    canonical = json.dumps([dict(arguments), contents], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Confirmer:
    """Asks for consent in one of the operator's modes, for any principal: it keeps nothing of a call itself.

    Args:
        mode: human, approval, token or deny.
        sealer: seals what travels through the client.
        store: open consents and approvals; all servers of one user share it.
        approvers: whose signatures count, as they were when the server started.
        now: the clock.
        patience: seconds a person may take over a form that is shown while the call waits.
    """

    mode: Mode
    sealer: Sealer
    store: ApprovalStore
    approvers: Approvers
    now: Callable[[], datetime] = wall_clock
    patience: float = PATIENCE

    async def confirm(self, request: Request, caller: Caller, read_again: ReadAgain) -> Consent | AskBack:
        """Return a consent to exactly this call, or the question to put to a person.

        Args:
            request: the call and its impact, read just now.
            caller: who calls.
            read_again: reads everything anew, after a person took time to answer.

        Raises:
            ConsentDeclined: a person said no or nothing, typed another name, or what they saw kept changing.
            ApprovalRequired: the caller cannot be asked; says how a person approves.
            ApprovalRefused: too many questions of this principal are open.
            ApprovalsUnusable: the store cannot be used, so no consent counts.
        """
        forms = self.mode in ("human", "token") and not request.other_approver
        if request.token is not None and self.mode == "token" and not request.other_approver:
            return await self._by_token(request, caller, request.token)
        if forms and caller.can_return:
            return await self._between_legs(request, caller)
        if forms and caller.push is not None:
            return await self._while_waiting(request, caller, caller.push, read_again)
        return await self._elsewhere(request, caller, read_again)

    def cluster_asked_about(self, caller: Caller, tool: str) -> str | None:
        """Return the id of the cluster that a question was about which comes back with its answer; None if none does.

        It saves searching for the name once more. Consent does not rest on it: that is bound to the id.
        """
        sealed = self._unsealed(STATE, caller.state) or {}
        same = sealed.get("principal") == caller.principal and sealed.get("tool") == tool
        cluster = sealed.get(CLUSTER) if same else None
        return cluster if isinstance(cluster, str) else None

    async def _while_waiting(
        self,
        request: Request,
        caller: Caller,
        push: Callable[[str, dict[str, Any]], Awaitable[FormAnswer]],
        read_again: ReadAgain,
    ) -> Consent:
        note, lifetime = "", timedelta(seconds=self.patience) + READING_TIME
        for _ in range(MOST_ROUNDS):
            opened = await self._opened(request.binding(caller.principal), lifetime)
            answer = None
            with move_on_after(self.patience):
                answer = await push(message(request.impact, note), form(request.impact))
            if refusal := _refusal(request, answer):
                await self._taken(opened.id, opened.digest)
                raise refusal
            try:
                fresh = await read_again(None)
            finally:
                with CancelScope(shield=True):
                    taken = await self._taken(opened.id, opened.digest)
            if fresh.other_approver:
                return await self._elsewhere(fresh, caller, read_again)
            same = hmac.compare_digest(fresh.fingerprint(), request.fingerprint())
            if same and taken:
                return Consent(fresh, "form", caller.principal)
            request, note = fresh, LOST if same else CHANGED
        raise ConsentDeclined(request.tool, KEPT_LOSING if note == LOST else KEPT_CHANGING)

    async def _between_legs(self, request: Request, caller: Caller) -> Consent | AskBack:
        bound = request.binding(caller.principal)
        sealed = self._unsealed(STATE, caller.state)
        if sealed is None or caller.returned is None:
            return await self._question(request, bound, 1, "")
        if any(sealed.get(key) != value for key, value in bound.items() if key != "fingerprint"):
            return await self._question(request, bound, 1, "")
        if not await self._taken(sealed["id"], call_digest({key: sealed[key] for key in bound})):
            raise ConsentDeclined(request.tool, f"This answer {USED}. Call again to be asked anew.")
        if not hmac.compare_digest(sealed["fingerprint"], bound["fingerprint"]):
            if sealed["round"] >= MOST_ROUNDS:
                raise ConsentDeclined(request.tool, KEPT_CHANGING)
            return await self._question(request, bound, sealed["round"] + 1, CHANGED)
        if refusal := _refusal(request, caller.returned):
            raise refusal
        return Consent(request, "form", caller.principal)

    async def _question(self, request: Request, bound: Mapping[str, str], number: int, note: str) -> AskBack:
        opened = await self._opened(bound, QUESTION_LIFETIME)
        about = {"id": opened.id, "round": number, CLUSTER: request.arguments.get(CLUSTER)}
        state = self.sealer.seal(STATE, {**bound, **about}, opened.expires)
        return AskBack(message(request.impact, note), form(request.impact), state)

    async def _by_token(self, request: Request, caller: Caller, token: str) -> Consent:
        sealed = self._unsealed(TOKEN, token)
        bound = request.binding(caller.principal)
        if sealed is None or any(sealed.get(key) != value for key, value in bound.items()):
            why = "The confirmation_token is unknown, expired, or for another call or state of things."
            raise ConsentDeclined(request.tool, f"{why} Call again without it for a new one.")
        if not await self._taken(sealed["id"], call_digest(bound)):
            raise ConsentDeclined(request.tool, f"The confirmation_token {USED}. Call again without it for a new one.")
        return Consent(request, "token", "", "the model carried a token, as the operator accepts")

    async def _elsewhere(self, request: Request, caller: Caller, read_again: ReadAgain) -> Consent:
        """Take an approval that was signed for exactly this, or ask for one."""
        request = await read_again(request.shown_at)
        now, bound = self.now(), request.binding(caller.principal)
        about = await self.store.about(bound, now)
        found = approval_in(about, self.approvers, now, other_approver=request.other_approver)
        if found and await self._is_ours(found.question, caller, read_again):
            consent = found.question.consent
            if await self._taken(consent.id, consent.digest):
                return Consent(request, "approval", found.approver)
        question = waiting_in(about)
        if question is None or not await self._is_ours(question, caller, read_again):
            question = self._asked(request, caller, now)
            await self.store.ask(question)
        token = await self._token(request, bound)
        raise ApprovalRequired(request.tool, request.impact.effect, request.impact.text(), question.code, token)

    async def _token(self, request: Request, bound: Mapping[str, str]) -> str | None:
        """Return a token for the model to carry, where the operator accepts that; else None."""
        if self.mode != "token" or not request.takes_token or request.other_approver:
            return None
        opened = await self._opened(bound, TOKEN_LIFETIME)
        return self.sealer.seal(TOKEN, {**bound, "id": opened.id}, opened.expires)

    async def _is_ours(self, question: Question, caller: Caller, read_again: ReadAgain) -> bool:
        """Say whether a person was shown what is true, and not what somebody wrote into the store.

        What was shown is made anew for the time it was about, and must be the same to the letter.
        """
        shown_at = read_moment(question.impact_text.partition("\n")[0].removeprefix(AS_OF))
        if shown_at is None:
            return False
        return question.says_the_same(self._asked(await read_again(shown_at), caller, self.now()))

    def _asked(self, request: Request, caller: Caller, now: datetime) -> Question:
        return Question(
            code=new_code(),
            tool=request.tool,
            arguments=canonical(dict(request.arguments)),
            arguments_digest=request.digest,
            principal=caller.principal,
            effect=request.impact.effect,
            name=request.impact.name,
            impact_text=f"{AS_OF}{request.shown_at.isoformat()}\n{request.impact.text()}",
            fingerprint=request.fingerprint(),
            created=now,
            expires=now + APPROVAL_LIFETIME,
            other_approver=request.other_approver,
        )

    async def _opened(self, bound: Mapping[str, str], lifetime: timedelta) -> OpenConsent:
        """Open a consent, before its question leaves; only the store's word that it is open lets it be used."""
        now = self.now()
        opened = OpenConsent(secrets.token_urlsafe(12), call_digest(bound), bound["principal"], now, now + lifetime)
        await self.store.open(opened)
        return opened

    async def _taken(self, consent_id: str, digest: str) -> bool:
        return await self.store.take(consent_id, digest, self.now())

    def _unsealed(self, kind: str, sealed: str | None) -> dict[str, Any] | None:
        return None if sealed is None else self.sealer.open(kind, sealed, self.now())


def read_moment(text: str) -> datetime | None:
    """Return the time that a text gives as RFC 3339; None if it gives none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def message(impact: Impact, note: str = "") -> str:
    """Return what a person reads before they decide; made of facts read from the cloud, never of the model's words."""
    typed = f"To go on, type its name exactly: {in_quotes(impact.name)}"
    return "\n".join(part for part in (note, impact.text(), typed) if part)


def form(impact: Impact) -> dict[str, Any]:
    """Return the form: the name must be typed, because a bare yes can be answered by a machine."""
    text = {"type": "string", "title": "Name", "description": f"Type {in_quotes(impact.name)} to go on"}
    return {"type": "object", "properties": {FIELD: text}, "required": [FIELD]}


def _refusal(request: Request, answer: FormAnswer | None) -> ConsentDeclined | None:
    """Return why what came back from a form is no consent; None if it is."""
    if answer is None or answer.action not in ("accept", "decline"):
        why = "The person who was asked did not answer. Call again to have them asked anew."
        return ConsentDeclined(request.tool, why)
    if answer.action == "decline":
        return ConsentDeclined(request.tool, "The person who was asked said no. Do not ask again unless they want it.")
    typed, name = answer.content.get(FIELD), request.impact.name
    if isinstance(typed, str) and hmac.compare_digest(_bytes(typed), _bytes(name)):
        return None
    why = f"The name typed was not {in_quotes(name)}. Call again to have it asked anew; only the person types it."
    return ConsentDeclined(request.tool, why)


def _sent(call: HttpCall) -> list[Any]:
    body = call.body or b""
    content = canonical(json.loads(body)) if body and call.content_type == JSON else sha256(body).hexdigest()
    return [call.method, call.path, sorted(call.query), sorted(call.headers.items()), content]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
