"""Gets a person's consent through whichever channel the caller has; what a model can supply by itself is none.

Channels: a form the client shows while the call waits (`push`) or between two legs of a call (`return`), an approval
signed elsewhere, and, only where the operator accepts it, a token that the model itself carries. Whatever the channel,
the record of the question is opened in the store before the question leaves, and taken away to use the consent.

A call whose question is answered elsewhere may be held meanwhile (`holds.py`). That is no channel of its own: once
there is an answer, everything is read again, and the approval counts, or not, as if the call had just been made.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from anyio import CancelScope, create_task_group, current_time, get_cancelled_exc_class, move_on_after, sleep

from ap_mcp.binding import HttpCall
from ap_mcp.errors import SEALED_ELSEWHERE, ApprovalRequired, ConsentDeclined, ForgedState
from ap_mcp.guard.approval_requests import Asked, Place, Question, call_digest, new_code
from ap_mcp.guard.approvals import Approvers, approval_in, declined, standing, unknown_signers_in, waiting_in
from ap_mcp.guard.approvers import ApproversFile
from ap_mcp.guard.callers import AskBack, Caller, FormAnswer, FormFailed, local_user
from ap_mcp.guard.forms import SEEN_AT_ONCE, Forms, rows_of, why_no_form
from ap_mcp.guard.holds import Holds
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.impacts.layout import Layout
from ap_mcp.guard.lifetimes import (
    APPROVAL_LIFETIME,
    PATIENCE,
    PULSE,
    QUESTION_LIFETIME,
    READING_TIME,
    SHORTEST_READING,
    TOKEN_LIFETIME,
    wall_clock,
)
from ap_mcp.guard.notices import Notices, Silent
from ap_mcp.guard.seal import Forged, SealedElsewhere, Sealer, canonical, moment_at, ticks
from ap_mcp.guard.stores import ApprovalStore, OpenConsent
from ap_mcp.guard.where import Where
from ap_mcp.specs import CLUSTER, JSON
from ap_mcp.vendor import written
from ap_mcp.wording import NAME_LIMIT, clean, in_quotes, span

__all__ = ["AskBack", "Caller", "Confirmer", "Consent", "FormAnswer", "ReadAgain", "Request", "digest_of", "local_user"]

Mode: TypeAlias = Literal["human", "approval", "token", "deny"]

FIELD = "name"
STATE, TOKEN = "state", "token"
PROFILE = "profile"
MOST_ROUNDS = 3
AS_OF = "As of "
KEPT_CHANGING = "What it touches changed every time it was asked about. Call again when it no longer changes."
CHANGED = "What this touches has changed since you were asked; this is how it is now."
KEPT_LOSING = "The record of the question was lost each time it was asked. Call again to have it asked anew."
LOST = "The record of the question was lost while you were asked, so your answer does not count; you are asked again."
USED = "was used before, or the record of its question is lost"
WAITING = "waiting for a person to answer the form"
ONCE_MORE = "Once more, in short; all of it stands above (scroll up, or Page Up):"
NO_FORMS = "Nobody was asked: {why}."
NO_FORMS_COUNT = "Nobody was asked: the operator's setting AP_MCP_CONFIRM={mode} lets no form count."
ANOTHER_PERSON = "Nobody was asked here: a rule of the operator wants somebody other than the caller to approve."
NOT_SHOWN = "The client announced forms, but nobody answered one: {why}."
NOT_OPENED = "The client was given the link, and did not open it: {why}."
ON_THE_PAGE = "Read all of it and decide on the page (code {code}). Nothing is sent before."
HELD = "waiting for a person to decide {code}{where}, which has to happen within {left}"
WAITED = "Nobody decided it while this call waited, {waited}."
ANEW = "Call again to have it asked anew."
NOBODY_YET = (
    "Nobody can approve yet: a person runs `ap-mcp approvals init` in a terminal, then restarts the server, which "
    "knows the approvers that it found when it started. Then call again."
)
UNKNOWN_KEY = (
    "{code} was approved as {who} by a key this server does not know: restart it after `ap-mcp approvals init`, then "
    "call again. Until then no approval by that key counts, whatever its code."
)
NOBODY_LISTED = (
    "Nobody can approve yet: the operator has somebody make a passkey with `ap-mcp approvals enrol NAME`, or enters "
    "the key of `ap-mcp approvals init` in the server's list. It counts without a restart."
)
UNLISTED_KEY = (
    "{code} was approved as {who} by a key that is not in the operator's list, so it does not count: the operator "
    "enters that key, or somebody else decides."
)


@dataclass(frozen=True, slots=True)
class Request:
    """What consent is asked for: one call, bound to what a person is shown about it.

    Attributes:
        digest: of the true arguments and of the files they name; `arguments` are as a person sees them.
        calls: what is sent once somebody agrees, in order and to the byte: what is filled in was read before.
        steps: what each of them does, in a few words; only several need them.
        compared: the requests as the consent is bound to them, if that leaves out the version of an object.
        place: where it is sent to; not every path names it.
        shown_at: the service's time that the impact is about.
        other_approver: a rule wants somebody other than the caller to approve.
        takes_token: the tool has an argument for one; `token` is what was given for it.
    """

    tool: str
    arguments: Mapping[str, Any]
    digest: str
    impact: Impact
    calls: tuple[HttpCall, ...] = field(repr=False)
    place: Place
    shown_at: datetime
    steps: tuple[str, ...] = ()
    compared: tuple[HttpCall, ...] = field(default=(), repr=False)
    other_approver: bool = False
    takes_token: bool = True
    token: str | None = None

    def fingerprint(self) -> str:
        """Return a digest of what is shown and of what would be sent; in which order things are named is no matter."""
        where = [self.place.region, self.place.project, self.place.simulated, self.place.profile]
        sent = [where, *(_sent(call) for call in self.compared or self.calls)]
        return sha256(canonical([self.impact.fingerprint(), sent]).encode()).hexdigest()

    def laid_out(self, caller: Caller) -> Layout:
        """Return the question about this call, which says where it goes and for whom it is made."""
        place = self.place
        where = Where(
            place.region,
            place.project,
            _client(caller),
            caller.principal,
            simulated=place.simulated,
            profile=place.profile,
        )
        return self.impact.laid_out(where)

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
        said: who agreed, when and by which channel, in a sentence for whoever reads the result.
        because: what stands in the audit as the decision.
        id: of the record of its question; empty if a rule allows the call.
        code: of the question that was answered elsewhere; empty if none was.
    """

    request: Request
    channel: str
    approver: str
    said: str
    because: str = "a person agreed"
    id: str = ""
    code: str = ""


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
        pulse: seconds between two words to a client whose call waits.
        forms: which questions may be put into a form.
        holds: which calls stay open while their question is answered elsewhere.
        link: where a question can be read and decided, by its code; empty if no page is served.
        notices: takes what happens to questions that are answered elsewhere.
    """

    mode: Mode
    sealer: Sealer
    store: ApprovalStore
    approvers: Approvers
    now: Callable[[], datetime] = wall_clock
    patience: float = PATIENCE
    pulse: float = PULSE
    forms: Forms = "auto"
    holds: Holds = field(default_factory=Holds)
    link: Callable[[str], str] = lambda _: ""
    notices: Notices = field(default_factory=Silent)

    async def confirm(self, request: Request, caller: Caller, read_again: ReadAgain) -> Consent | AskBack:
        """Return a consent to exactly this call, or the question to put to a person.

        Args:
            request: the call and its impact, read just now.
            caller: who calls.
            read_again: reads everything anew, after a person took time to answer.

        Raises:
            ConsentDeclined: a person said no, typed another name, or what they saw kept changing; of a question that
                the call was held for, also that it expired, was withdrawn, or its approval was used by another call.
            ApprovalRequired: no person was asked, or none saw the form; says why, and how a person approves.
            ForgedState: what came back with the answer was not made here.
            ApprovalRefused: too many questions of this principal are open.
            ApprovalsUnusable: the store cannot be used, so no consent counts.
        """
        if request.token is not None and self.mode == "token" and not request.other_approver:
            return await self._by_token(request, caller, request.token)
        if why := self._why_no_form(request, caller):
            return await self._elsewhere(request, caller, read_again, why)
        if caller.returned is None and (consent := await self._approved(request, caller, read_again)):
            return consent
        if caller.push is None:
            return await self._between_legs(request, caller, read_again)
        return await self._while_waiting(request, caller, caller.push, read_again)

    def _why_no_form(self, request: Request, caller: Caller) -> str:
        """Return why no form is shown for a call, as a sentence; empty if one is."""
        if request.other_approver:
            return ANOTHER_PERSON
        if self.mode not in ("human", "token"):
            return NO_FORMS_COUNT.format(mode=self.mode)
        if not caller.can_return and caller.push is None:
            return NO_FORMS.format(why=caller.why_no_form)
        asked = request.laid_out(caller)
        # With a note, which a form that is shown again has: it must fit then too.
        text = message(asked, request.impact.name, max(CHANGED, LOST, key=len))
        why = why_no_form(self.forms, caller.client, asked, text, destroys=request.impact.destroys)
        return NO_FORMS.format(why=why) if why else ""

    def cluster_asked_about(self, caller: Caller, tool: str, profile: str = "") -> str | None:
        """Return the id of the cluster that a question was about which comes back with its answer; None if none does.

        It saves searching for the name once more. Consent does not rest on it: that is bound to the id.

        Args:
            caller: who calls.
            tool: what is called.
            profile: where the call goes; an id of another profile names nothing there.

        Raises:
            ForgedState: what comes back was not made here.
        """
        sealed = self._state(tool, caller) or {}
        found = (sealed.get("principal"), sealed.get("tool"), sealed.get(PROFILE))
        same = found == (caller.principal, tool, profile)
        cluster = sealed.get(CLUSTER) if same else None
        return cluster if isinstance(cluster, str) else None

    async def _while_waiting(
        self,
        request: Request,
        caller: Caller,
        push: Callable[[str, dict[str, Any]], Awaitable[FormAnswer]],
        read_again: ReadAgain,
    ) -> Consent | AskBack:
        note, lifetime, since = "", timedelta(seconds=self.patience) + READING_TIME, current_time()
        for _ in range(MOST_ROUNDS):
            opened = await self._opened(request.binding(caller.principal), lifetime)
            answer, why, asked = None, "", self.now()
            try:
                with move_on_after(self.patience):
                    text = message(request.laid_out(caller), request.impact.name, note)
                    answer = await self._shown(caller, since, push(text, form(request.impact)))
            except FormFailed as failed:
                why = f"it could not show one, and answered {failed} {in_quotes(failed.said)}".removesuffix(' ""')
            took = self.now() - asked
            if why := why or _not_shown(answer, took):
                await self._taken(opened.id, opened.digest)
                return await self._elsewhere(await read_again(None), caller, read_again, why, not_shown=True)
            if refusal := _refusal(request, answer):
                await self._taken(opened.id, opened.digest)
                raise refusal
            try:
                fresh = await read_again(None)
            finally:
                with CancelScope(shield=True):
                    taken = await self._taken(opened.id, opened.digest)
            if why := self._why_no_form(fresh, caller):
                return await self._elsewhere(fresh, caller, read_again, why)
            same = hmac.compare_digest(fresh.fingerprint(), request.fingerprint())
            if same and taken:
                return self._by_form(fresh, caller, took, opened.id)
            request, note = fresh, LOST if same else CHANGED
        why = KEPT_LOSING if note == LOST else KEPT_CHANGING
        raise ConsentDeclined(request.tool, why, "kept changing")

    async def _shown(self, caller: Caller, since: float, answer: Awaitable[FormAnswer]) -> FormAnswer:
        """Return what comes back from a form; the client is told that a person is waited for as long as it is open."""
        result: FormAnswer | FormFailed
        async with create_task_group() as group:
            group.start_soon(self._still_waiting, caller, since)
            try:
                result = await answer
            except FormFailed as failed:  # raised in here, the group would wrap it
                result = failed
            group.cancel_scope.cancel()
        if isinstance(result, FormFailed):
            raise result
        return result

    async def _still_waiting(self, caller: Caller, since: float) -> None:
        total = current_time() - since + self.patience
        while True:
            await caller.waiting(current_time() - since, total, WAITING)
            await sleep(self.pulse)

    async def _between_legs(self, request: Request, caller: Caller, read_again: ReadAgain) -> Consent | AskBack:
        bound = request.binding(caller.principal)
        sealed = self._state(request.tool, caller)
        if sealed is None or "id" not in sealed or not _is_about(sealed, request, caller):
            return await self._question(request, caller, bound, 1, "")
        if caller.returned is None:
            if sealed["round"] >= MOST_ROUNDS:
                why = "it came back without an answer each time"
                return await self._elsewhere(request, caller, read_again, why, not_shown=True)
            return await self._question(request, caller, bound, sealed["round"] + 1, "")
        if not await self._taken(sealed["id"], call_digest({key: sealed[key] for key in bound})):
            raise ConsentDeclined(request.tool, f"This answer {USED}. Call again to be asked anew.", "used before")
        took = self.now() - moment_at(sealed["asked"])
        if why := _not_shown(caller.returned, took):
            return await self._elsewhere(request, caller, read_again, why, not_shown=True)
        refusal = _refusal(request, caller.returned)
        if refusal and caller.returned.action == "decline":
            raise refusal
        if not hmac.compare_digest(sealed["fingerprint"], bound["fingerprint"]):
            if sealed["round"] >= MOST_ROUNDS:
                raise ConsentDeclined(request.tool, KEPT_CHANGING, "kept changing")
            return await self._question(request, caller, bound, sealed["round"] + 1, CHANGED)
        if refusal:
            raise refusal
        return self._by_form(request, caller, took, sealed["id"])

    def _by_form(self, request: Request, caller: Caller, took: timedelta, consent_id: str) -> Consent:
        who, when = in_quotes(caller.principal, NAME_LIMIT), written(self.now())
        client = f" of {in_quotes(caller.client, NAME_LIMIT)}" if caller.client else ""
        said = f"{who} agreed at {when} in a form{client}, {_seconds(took)} after it was sent"
        return Consent(request, "form", caller.principal, said, f"a person agreed after {_seconds(took)}", consent_id)

    async def _question(
        self, request: Request, caller: Caller, bound: Mapping[str, str], number: int, note: str
    ) -> AskBack:
        opened = await self._opened(bound, QUESTION_LIFETIME)
        about: dict[str, Any] = {"id": opened.id, "round": number, "asked": ticks(opened.created)}
        about |= {CLUSTER: request.arguments.get(CLUSTER), PROFILE: request.place.profile}
        state = self.sealer.seal(STATE, {**bound, **about}, opened.expires)
        text = message(request.laid_out(caller), request.impact.name, note)
        return AskBack(text, form(request.impact), state)

    async def _by_token(self, request: Request, caller: Caller, token: str) -> Consent:
        try:
            sealed = self.sealer.open(TOKEN, token, self.now())
        except SealedElsewhere:
            why = f"The confirmation_token {SEALED_ELSEWHERE} Call again without it for a new one."
            raise ConsentDeclined(request.tool, why, "token does not count") from None
        except Forged:
            sealed = None
        bound = request.binding(caller.principal)
        if sealed is None or any(sealed.get(key) != value for key, value in bound.items()):
            why = "The confirmation_token is unknown, expired, or for another call or state of things."
            raise ConsentDeclined(request.tool, f"{why} Call again without it for a new one.", "token does not count")
        if not await self._taken(sealed["id"], call_digest(bound)):
            why = f"The confirmation_token {USED}. Call again without it for a new one."
            raise ConsentDeclined(request.tool, why, "used before")
        because = "the model carried a token, as the operator accepts"
        said = f"the model carried a confirmation_token at {written(self.now())}, as the operator accepts"
        return Consent(request, "token", "", said, because, sealed["id"])

    async def _elsewhere(
        self, request: Request, caller: Caller, read_again: ReadAgain, why: str, *, not_shown: bool = False
    ) -> Consent | AskBack:
        """Take an approval that was signed for exactly this, or ask for one, and hold the call for it if that may be.

        Args:
            request: what consent is asked for.
            caller: who calls.
            read_again: reads everything anew.
            why: why nobody was asked here; of a form that was not shown, what became of it.
            not_shown: a form was sent.
        """
        request = await read_again(request.shown_at)
        why, began, held = NOT_SHOWN.format(why=why) if not_shown else why, self.holds.now(), None
        for _ in range(MOST_ROUNDS):
            if consent := await self._approved(request, caller, read_again):
                return consent
            if held is not None:
                await self._refuse_if_used(held)
            async with self.holds.asking(call_digest(request.binding(caller.principal))):
                question, hints = await self._waiting(request, caller, read_again)
            if asked := self._by_link(request, caller, question):
                return asked
            if not_opened := self._not_opened(request, caller):
                why, not_shown = NOT_OPENED.format(why=not_opened), True
                break
            if not await self._held(question, caller, began + self.holds.seconds):
                break
            held, request = question, await read_again(None)
        else:
            raise ConsentDeclined(request.tool, KEPT_CHANGING, "kept changing")
        waited = self.holds.now() - began
        raise ApprovalRequired(
            request.tool,
            request.impact.effect,
            request.laid_out(caller).text(),
            question.code,
            await self._token(request, request.binding(caller.principal)),
            why=f"{why} {WAITED.format(waited=span(waited))}" if waited >= 1 else why,
            lives=f"for {span(question.expires - self.now())}, until {written(question.expires)}",
            hints=hints,
            not_shown=not_shown,
            link=self.link(question.code),
        )

    async def _waiting(self, request: Request, caller: Caller, read_again: ReadAgain) -> tuple[Question, list[str]]:
        """Return the question that waits for a person elsewhere, asked now if none does; and what is in its way."""
        now = self.now()
        found = await self.store.about(request.binding(caller.principal), now)
        about = [each for each in found if self._asked_by(each, caller)]
        question = None if caller.own_question else waiting_in(about)
        if question is None or not await self._is_ours(question, caller, read_again):
            question = self._asked(request, caller, now)
            await self.store.ask(question)
            self.notices.asked(question, self.link(question.code))
        return question, self._hints(about)

    def _by_link(self, request: Request, caller: Caller, question: Question) -> AskBack | None:
        """Return the link for the client to have its user open; None if it cannot, or was given this one already."""
        link, sealed = self.link(question.code), self._given_link(request, caller)
        if not (link and caller.can_open) or sealed.get("code") == question.code:
            return None
        number = sealed.get("round", 0) + 1
        if number > MOST_ROUNDS:
            return None
        about: dict[str, Any] = {"code": question.code, "round": number}
        about |= {CLUSTER: request.arguments.get(CLUSTER), PROFILE: request.place.profile}
        text = "\n".join([*request.laid_out(caller).first, ON_THE_PAGE.format(code=question.code)])
        state = self.sealer.seal(STATE, {**request.binding(caller.principal), **about}, question.expires)
        return AskBack(text, {}, state, link)

    def _given_link(self, request: Request, caller: Caller) -> Mapping[str, Any]:
        """Return what was sealed beside the link that a client comes back with; empty if it does with none."""
        sealed = self._state(request.tool, caller) or {}
        return sealed if "code" in sealed and _is_about(sealed, request, caller) else {}

    def _not_opened(self, request: Request, caller: Caller) -> str:
        """Return why a client that was given a link has not opened it; empty if it may have, or was given none.

        That it has says no more than that: whether anybody agrees, and who, their signature alone says.
        """
        answer = caller.returned
        if not self._given_link(request, caller) or (answer and answer.action == "accept"):
            return ""
        return f"it answered {answer.action if answer else 'nothing'}"

    async def _held(self, question: Question, caller: Caller, ends: float) -> bool:
        """Keep the call open until a question is answered; say whether it is now.

        Raises:
            ConsentDeclined: the answer is no, or none will come.
        """
        if not (caller.may_hold and self.approvers and self.holds.now() < ends):
            return False

        async def settled() -> Asked | None:
            asked = await self.store.find(question.code) or Asked(question, is_open=False)
            return None if standing(asked, self.approvers, self.now()).state == "pending" else asked

        async def say(passed: float, most: float) -> None:
            link = self.link(question.code)
            left = span(question.expires - self.now())
            where = f" at {link}" if link else ""
            await caller.waiting(passed, most, HELD.format(code=question.code, where=where, left=left))

        try:
            async with caller.rest():
                asked = await self.holds.until(settled, question.code, ends, say)
        except get_cancelled_exc_class():
            self.notices.left(question)
            raise
        if asked is not None:
            self._refuse_if_ended(asked)
        return asked is not None

    def _refuse_if_ended(self, asked: Asked) -> None:
        """Refuse a call whose question got a no, or will get no answer.

        Raises:
            ConsentDeclined: it did.
        """
        question, found = asked.question, standing(asked, self.approvers, self.now())
        if found.state == "declined":
            raise declined(question, found.approver)
        if found.state == "withdrawn":
            why = f"{question.code} was withdrawn by {in_quotes(found.approver, NAME_LIMIT)} {found.why}. {ANEW}"
            raise ConsentDeclined(question.tool, why, "withdrawn")
        if found.state == "expired":
            raise ConsentDeclined(question.tool, f"Nobody decided {question.code}: {found.why}. {ANEW}", "expired")
        if found.state == "spent":
            why = f"The approval of {question.code} {USED}. Another call may have sent it: read what exists now."
            raise ConsentDeclined(question.tool, why, "used before")

    async def _refuse_if_used(self, question: Question) -> None:
        """Refuse a call whose approval another call has used at the same time, rather than ask about it once more.

        Raises:
            ConsentDeclined: it has.
        """
        self._refuse_if_ended(await self.store.find(question.code) or Asked(question, is_open=False))

    async def _approved(self, request: Request, caller: Caller, read_again: ReadAgain) -> Consent | None:
        """Take an approval that was signed for exactly this, if there is one.

        Raises:
            ConsentDeclined: the last answer was no, whichever client asked.
        """
        now = self.now()
        about = await self.store.about(request.binding(caller.principal), now)
        counting = [each for each in about if await self._may_count(each, caller, read_again)]
        found = approval_in(counting, self.approvers, now, other_approver=request.other_approver)
        if found is None or not await self._taken(found.question.consent.id, found.question.consent.digest):
            return None
        who, when = in_quotes(found.approver, NAME_LIMIT), written(found.at)
        said = f"{who} approved {found.question.code} at {when}, signed {found.how}"
        code = found.question.code
        return Consent(request, "approval", found.approver, said, id=found.question.consent.id, code=code)

    async def _may_count(self, asked: Asked, caller: Caller, read_again: ReadAgain) -> bool:
        """Say whether the answer to a question is about this call; a no is, to whichever client's question it was."""
        if asked.decision is None:
            return False
        if not asked.decision.approved:
            return True
        return self._asked_by(asked, caller) and await self._is_ours(asked.question, caller, read_again)

    def _asked_by(self, asked: Asked, caller: Caller) -> bool:
        """Say whether a question is the caller's own: another client's is left to that client."""
        return asked.question.client == _client(caller)

    def _hints(self, about: list[Asked]) -> list[str]:
        """Return what stands in the way of an approval."""
        is_read_again = isinstance(self.approvers, ApproversFile)
        for code, who in unknown_signers_in(about, self.approvers).items():
            why = UNLISTED_KEY if is_read_again else UNKNOWN_KEY
            return [why.format(code=code, who=in_quotes(who, NAME_LIMIT))]
        return [] if self.approvers else [NOBODY_LISTED if is_read_again else NOBODY_YET]

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
            client=_client(caller),
            region=request.place.region,
            project=request.place.project,
            effect=request.impact.effect,
            name=request.impact.name,
            impact_text=f"{AS_OF}{request.shown_at.isoformat()}\n{request.laid_out(caller).text()}",
            fingerprint=request.fingerprint(),
            created=now,
            expires=now + APPROVAL_LIFETIME,
            other_approver=request.other_approver,
            simulated=request.place.simulated,
            profile=request.place.profile,
        )

    async def _opened(self, bound: Mapping[str, str], lifetime: timedelta) -> OpenConsent:
        """Open a consent, before its question leaves; only the store's word that it is open lets it be used."""
        now = self.now()
        opened = OpenConsent(secrets.token_urlsafe(12), call_digest(bound), bound["principal"], now, now + lifetime)
        await self.store.open(opened)
        return opened

    async def _taken(self, consent_id: str, digest: str) -> bool:
        return await self.store.take(consent_id, digest, self.now())

    def _state(self, tool: str, caller: Caller) -> dict[str, Any] | None:
        """Return what came back with an answer; None if nothing did, or what did has expired.

        Raises:
            ForgedState: it was not made here.
        """
        try:
            return None if caller.state is None else self.sealer.open(STATE, caller.state, self.now())
        except Forged as error:
            raise ForgedState(tool, elsewhere=isinstance(error, SealedElsewhere)) from None


def _is_about(sealed: Mapping[str, Any], request: Request, caller: Caller) -> bool:
    """Say whether what came back with an answer was made for this call, on whatever state of things."""
    bound = {**request.binding(caller.principal), PROFILE: request.place.profile}
    return all(sealed.get(key) == value for key, value in bound.items() if key != "fingerprint")


def read_moment(text: str) -> datetime | None:
    """Return the time that a text gives as RFC 3339; None if it gives none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def message(asked: Layout, name: str, note: str = "") -> str:
    """Return what a person reads before they decide; of the model's words there are those alone that would be sent.

    A client whose window is too low may show the end of a long one alone, or its beginning alone: at either end stands
    what decides, with what to type.
    """
    to_go_on = f"To go on, type its name exactly: {in_quotes(name)}"
    text = asked.text(note)
    if rows_of(text) < SEEN_AT_ONCE:
        return f"{text}\n{to_go_on}"
    return "\n".join([asked.text(f"{to_go_on}\n{note}".rstrip()), ONCE_MORE, *asked.first, to_go_on])


def form(impact: Impact) -> dict[str, Any]:
    """Return the form: the name must be typed, because a bare yes can be answered by a machine."""
    text = {"type": "string", "title": "Name", "description": f"Type {in_quotes(impact.name)} to go on"}
    return {"type": "object", "properties": {FIELD: text}, "required": [FIELD]}


def _not_shown(answer: FormAnswer | None, took: timedelta) -> str:
    """Return what shows that no person has read a form and answered it; empty if one may have.

    Programs announce forms and answer them themselves, or never draw them: what they answer is nobody's word.

    Args:
        answer: what came back; None if nothing did in time.
        took: from sending it to its answer.
    """
    if answer is None:
        return f"nobody answered within {span(took)}"
    if took < SHORTEST_READING:
        return f"the client answered after {_seconds(took)}: nobody saw the form"
    if answer.action not in ("accept", "decline"):
        return f"it was closed after {_seconds(took)}, by the client or by a user who does not want this"
    return ""


def _refusal(request: Request, answer: FormAnswer | None) -> ConsentDeclined | None:
    """Return why what a person answered is no consent; None if it is."""
    if answer is None or answer.action != "accept":
        return ConsentDeclined(request.tool, "The person who was asked said no. Do not ask again unless they want it.")
    typed, name = answer.content.get(FIELD), request.impact.name
    if isinstance(typed, str) and hmac.compare_digest(_bytes(typed), _bytes(name)):
        return None
    why = f"The name typed was not {in_quotes(name)}. Call again to have it asked anew; only the person types it."
    return ConsentDeclined(request.tool, why, "wrong name")


def _seconds(took: timedelta) -> str:
    """Return how long an answer took: `0.03 s`, for what is short matters."""
    seconds = max(took.total_seconds(), 0)
    return f"{seconds:.2f} s" if seconds < 10 else span(seconds)


def _client(caller: Caller) -> str:
    """Return the program that asks, as a question keeps it: one clean line."""
    return clean(caller.client, NAME_LIMIT)


def _sent(call: HttpCall) -> list[Any]:
    body = call.body or b""
    content = canonical(json.loads(body)) if body and call.content_type == JSON else sha256(body).hexdigest()
    return [call.method, call.path, sorted(call.query), sorted(call.headers.items()), content]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
