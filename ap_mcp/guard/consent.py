"""Gets a person's consent through whichever channel the caller has; what a model can supply by itself is none.

Channels: a form the client shows while the call waits (`push`) or between two legs of a call (`return`), an approval
signed elsewhere, and, only where the operator accepts it, a token that the model itself carries. Whatever the channel,
the record of the question is opened in the store before the question leaves, and taken away to use the consent.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias

from anyio import CancelScope, create_task_group, current_time, move_on_after, sleep

from ap_mcp.aside import in_a_thread
from ap_mcp.errors import SEALED_ELSEWHERE, ConsentDeclined
from ap_mcp.guard.approval_requests import call_digest
from ap_mcp.guard.approvals import Approvers
from ap_mcp.guard.callers import AskBack, Caller, FormAnswer, FormFailed
from ap_mcp.guard.elsewhere import KEPT_CHANGING, MOST_ROUNDS, Elsewhere
from ap_mcp.guard.form_answers import form, message, not_shown, refusal, seconds
from ap_mcp.guard.forms import Forms, why_no_form
from ap_mcp.guard.holds import Holds
from ap_mcp.guard.lifetimes import (
    PATIENCE,
    PULSE,
    QUESTION_LIFETIME,
    READING_TIME,
    TOKEN_LIFETIME,
    wall_clock,
)
from ap_mcp.guard.notices import Notices, Silent
from ap_mcp.guard.records import PROFILE, USED, Records, is_about
from ap_mcp.guard.requests import Consent, ReadAgain, Request
from ap_mcp.guard.seal import Forged, SealedElsewhere, Sealer, moment_at, ticks
from ap_mcp.guard.stores import ApprovalStore
from ap_mcp.specs import CLUSTER
from ap_mcp.vendor import written
from ap_mcp.wording import NAME_LIMIT, in_quotes

Mode: TypeAlias = Literal["human", "approval", "token", "deny"]

TOKEN = "token"  # noqa: S105 - what is sealed, not a secret
CHANGED = "What this touches has changed since you were asked; this is how it is now."
KEPT_LOSING = "The record of the question was lost each time it was asked. Call again to have it asked anew."
LOST = "The record of the question was lost while you were asked, so your answer does not count; you are asked again."
WAITING = "waiting for a person to answer the form"
NO_FORMS = "Nobody was asked: {why}."
NO_FORMS_COUNT = "Nobody was asked: AP_MCP_CONFIRM={mode} lets no form count; over HTTP it is always so."
ANOTHER_PERSON = "Nobody was asked here: a rule of the operator wants somebody other than the caller to approve."


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

    @cached_property
    def records(self) -> Records:
        """The records of questions that the store holds."""
        return Records(self.sealer, self.store, self.now)

    @cached_property
    def elsewhere(self) -> Elsewhere:
        """Asks people who are not at the client."""
        return Elsewhere(self.records, self.approvers, self.holds, self.link, self.notices, self._token)

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
        if why := await in_a_thread(partial(self._why_no_form, request, caller)):
            return await self.elsewhere.obtain(request, caller, read_again, why)
        if caller.returned is None and (consent := await self.elsewhere.approved(request, caller, read_again)):
            return consent
        if caller.push is None:
            return await self._between_legs(request, caller, read_again)
        return await self._while_waiting(request, caller, caller.push, read_again)

    def _why_no_form(self, request: Request, caller: Caller) -> str:
        """Return why no form is shown for a call, as a sentence; empty if one is."""
        if why := self.why_never_a_form(caller, other_approver=request.other_approver):
            return why
        asked = request.laid_out(caller)
        # With a note, which a form that is shown again has: it must fit then too.
        text = message(asked, request.impact.name, max(CHANGED, LOST, key=len))
        why = why_no_form(self.forms, caller.client, asked, text, destroys=request.impact.destroys)
        return NO_FORMS.format(why=why) if why else ""

    def why_never_a_form(self, caller: Caller, *, other_approver: bool) -> str:
        """Return why no form is shown whatever is asked, as a sentence; empty if one may be."""
        if other_approver:
            return ANOTHER_PERSON
        if self.mode not in ("human", "token"):
            return NO_FORMS_COUNT.format(mode=self.mode)
        if not caller.can_return and caller.push is None:
            return NO_FORMS.format(why=caller.why_no_form)
        return ""

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
        sealed = self.records.returned(tool, caller) or {}
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
            opened = await self.records.opened(request.binding(caller.principal), lifetime)
            text = await in_a_thread(partial(message, request.laid_out(caller), request.impact.name, note))
            answer, why, asked = None, "", self.now()
            try:
                with move_on_after(self.patience):
                    answer = await self._shown(caller, since, push(text, form(request.impact)))
            except FormFailed as failed:
                why = f"it could not show one, and answered {failed} {in_quotes(failed.said)}".removesuffix(' ""')
            took = self.now() - asked
            if why := why or not_shown(answer, took):
                await self.records.taken(opened.id, opened.digest)
                return await self.elsewhere.obtain(await read_again(None), caller, read_again, why, not_shown=True)
            if no := refusal(request, answer):
                await self.records.taken(opened.id, opened.digest)
                raise no
            try:
                fresh = await read_again(None)
            finally:
                with CancelScope(shield=True):
                    taken = await self.records.taken(opened.id, opened.digest)
            if why := await in_a_thread(partial(self._why_no_form, fresh, caller)):
                return await self.elsewhere.obtain(fresh, caller, read_again, why)
            same = hmac.compare_digest(fresh.fingerprint, request.fingerprint)
            if same and taken:
                return self._by_form(fresh, caller, took, opened.id)
            request, note = fresh, LOST if same else CHANGED
        why = KEPT_LOSING if note == LOST else KEPT_CHANGING
        raise ConsentDeclined(request.tool, why, "kept changing")

    async def _shown(self, caller: Caller, since: float, answer: Awaitable[FormAnswer]) -> FormAnswer:
        """Return what comes back from a form; the client gets progress as long as it is open."""
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
        sealed = self.records.returned(request.tool, caller)
        if sealed is None or "id" not in sealed or not is_about(sealed, request, caller):
            return await self._question(request, caller, bound, 1, "")
        if caller.returned is None:
            if sealed["round"] >= MOST_ROUNDS:
                why = "it came back without an answer each time"
                return await self.elsewhere.obtain(request, caller, read_again, why, not_shown=True)
            return await self._question(request, caller, bound, sealed["round"] + 1, "")
        if not await self.records.taken(sealed["id"], call_digest({key: sealed[key] for key in bound})):
            raise ConsentDeclined(request.tool, f"This answer {USED}. Call again to be asked anew.", "used before")
        took = self.now() - moment_at(sealed["asked"])
        if why := not_shown(caller.returned, took):
            return await self.elsewhere.obtain(request, caller, read_again, why, not_shown=True)
        no = refusal(request, caller.returned)
        if no and caller.returned.action == "decline":
            raise no
        if not hmac.compare_digest(sealed["fingerprint"], bound["fingerprint"]):
            if sealed["round"] >= MOST_ROUNDS:
                raise ConsentDeclined(request.tool, KEPT_CHANGING, "kept changing")
            return await self._question(request, caller, bound, sealed["round"] + 1, CHANGED)
        if no:
            raise no
        return self._by_form(request, caller, took, sealed["id"])

    def _by_form(self, request: Request, caller: Caller, took: timedelta, consent_id: str) -> Consent:
        who, when = in_quotes(caller.principal, NAME_LIMIT), written(self.now())
        client = f" of {in_quotes(caller.client, NAME_LIMIT)}" if caller.client else ""
        said = f"{who} agreed at {when} in a form{client}, {seconds(took)} after it was sent"
        return Consent(request, "form", caller.principal, said, f"a person agreed after {seconds(took)}", consent_id)

    async def _question(
        self, request: Request, caller: Caller, bound: Mapping[str, str], number: int, note: str
    ) -> AskBack:
        text = await in_a_thread(partial(message, request.laid_out(caller), request.impact.name, note))
        opened = await self.records.opened(bound, QUESTION_LIFETIME)
        about: dict[str, Any] = {"id": opened.id, "round": number, "asked": ticks(opened.created)}
        state = self.records.sealed(request, caller, about, opened.expires)
        return AskBack(text, form(request.impact), state)

    async def _token(self, request: Request, caller: Caller) -> str | None:
        """Return a token for the model to carry, where the operator accepts that; else None."""
        if self.mode != "token" or not request.takes_token or request.other_approver:
            return None
        bound = request.binding(caller.principal)
        opened = await self.records.opened(bound, TOKEN_LIFETIME)
        return self.sealer.seal(TOKEN, {**bound, "id": opened.id}, opened.expires)

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
        if not await self.records.taken(sealed["id"], call_digest(bound)):
            why = f"The confirmation_token {USED}. Call again without it for a new one."
            raise ConsentDeclined(request.tool, why, "used before")
        because = "the model carried a token, as the operator accepts"
        said = f"the model carried a confirmation_token at {written(self.now())}, as the operator accepts"
        return Consent(request, "token", "", said, because, sealed["id"])
