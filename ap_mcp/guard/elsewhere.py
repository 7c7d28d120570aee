"""Consent of a person elsewhere: a question that waits for a signed answer, and the call that is held meanwhile.

Holding a call is no channel of its own (`holds.py`): once there is an answer, everything is read again, and the
approval counts, or not, as if the call had just been made.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anyio import get_cancelled_exc_class

from ap_mcp.errors import ApprovalRefused, ApprovalRequired, ConsentDeclined
from ap_mcp.guard.approval_requests import Asked, Question, call_digest, new_code
from ap_mcp.guard.approvals import Approvers, approval_in, declined, standing, unknown_signers_in, waiting_in
from ap_mcp.guard.approvers import ApproversFile
from ap_mcp.guard.callers import AskBack, Caller, client_of
from ap_mcp.guard.holds import Holds
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME, LARGEST_QUESTION
from ap_mcp.guard.notices import Notices
from ap_mcp.guard.records import USED, Records, is_about
from ap_mcp.guard.requests import Consent, ReadAgain, Request
from ap_mcp.guard.seal import canonical
from ap_mcp.vendor import written
from ap_mcp.wording import NAME_LIMIT, in_quotes, span

MOST_ROUNDS = 3
AS_OF = "As of "
KEPT_CHANGING = "What it touches changed every time it was asked about. Call again when it no longer changes."
NOT_SHOWN = "The client announced forms, but nobody answered one: {why}."
NOT_OPENED = "The client was given the link, and did not open it: {why}."
OPENED = "The client was given the link, and answered that its user would open it."
ON_THE_PAGE = "Read all of it and decide on the page (code {code}). Nothing is sent before."
HELD = "waiting for a person to decide {code}{where}, which has to happen within {left}"
WAITED = "Nobody decided it while this call waited, {waited}."
NOBODY, LATE = "Nobody decided {}", "The answer to {} was not seen in time"
ANEW = "Call again to have it asked anew."
NOBODY_YET = (
    "Nobody can approve yet: a person runs `ap-mcp approvals init` in a terminal. A server that runs is restarted "
    "then, for it knows the approvers that it found when it started. Then call again."
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


@dataclass(frozen=True)
class Elsewhere:
    """Asks for approvals that are signed elsewhere, and takes them.

    Args:
        records: of questions and consents.
        approvers: whose signatures count.
        holds: which calls stay open while their question is answered.
        link: where a question can be read and decided, by its code; empty if no page is served.
        notices: takes what happens to the questions.
        token: makes a token for the model to carry, where the operator accepts that.
    """

    records: Records
    approvers: Approvers
    holds: Holds
    link: Callable[[str], str]
    notices: Notices
    token: Callable[[Request, Caller], Awaitable[str | None]]

    async def obtain(
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
        refuse_too_large(canonical(dict(request.arguments)), request.laid_out(caller).text())
        request = await read_again(request.shown_at)
        why, began, held = NOT_SHOWN.format(why=why) if not_shown else why, self.holds.now(), None
        for _ in range(MOST_ROUNDS):
            if consent := await self.approved(request, caller, read_again):
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
        if self._given_link(request, caller).get("code") == question.code and not not_shown:
            why = f"{why} {OPENED}" if request.other_approver else OPENED
        waited = self.holds.now() - began
        if waited >= 1:
            await self._refuse_if_declined(request, caller)
        raise ApprovalRequired(
            request.tool,
            request.impact.effect,
            request.laid_out(caller).text(),
            question.code,
            await self.token(request, caller),
            why=f"{why} {WAITED.format(waited=span(waited))}" if waited >= 1 else why,
            lives=f"for {span(question.expires - self.records.now())}, until {written(question.expires)}",
            hints=hints,
            not_shown=not_shown,
            link=self.link(question.code),
        )

    async def _waiting(self, request: Request, caller: Caller, read_again: ReadAgain) -> tuple[Question, list[str]]:
        """Return the question that waits for a person elsewhere, asked now if none does; and what is in its way."""
        now = self.records.now()
        found = await self.records.store.about(request.binding(caller.principal), now)
        about = [each for each in found if self._asked_by(each, caller)]
        question = None if caller.own_question else waiting_in(about)
        if question is None or not await self._is_ours(question, caller, read_again):
            question = self._asked(request, caller, now)
            refuse_too_large(question.arguments, question.impact_text)
            await self.records.store.ask(question)
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
        text = "\n".join([*request.laid_out(caller).first, ON_THE_PAGE.format(code=question.code)])
        state = self.records.sealed(request, caller, about, question.expires)
        return AskBack(text, {}, state, link)

    def _given_link(self, request: Request, caller: Caller) -> Mapping[str, Any]:
        """Return what was sealed beside the link that a client comes back with; empty if it does with none."""
        sealed = self.records.returned(request.tool, caller) or {}
        return sealed if "code" in sealed and is_about(sealed, request, caller) else {}

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
            asked = await self.records.store.find(question.code) or Asked(question, is_open=False)
            return None if standing(asked, self.approvers, self.records.now()).state == "pending" else asked

        async def say(passed: float, most: float) -> None:
            link = self.link(question.code)
            left = span(question.expires - self.records.now())
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
        question, found = asked.question, standing(asked, self.approvers, self.records.now())
        if found.state == "declined":
            raise declined(question, found.approver)
        if found.state == "withdrawn":
            why = f"{question.code} was withdrawn by {in_quotes(found.approver, NAME_LIMIT)} {found.why}. {ANEW}"
            raise ConsentDeclined(question.tool, why, "withdrawn")
        if found.state == "expired":
            said = (LATE if asked.decision else NOBODY).format(question.code)
            raise ConsentDeclined(question.tool, f"{said}: {found.why}. {ANEW}", "expired")
        if found.state == "spent":
            why = f"The approval of {question.code} {USED}. Another call may have sent it: read what exists now."
            raise ConsentDeclined(question.tool, why, "used before")

    async def _refuse_if_used(self, question: Question) -> None:
        """Refuse a call whose approval another call has used at the same time, rather than ask about it once more.

        Raises:
            ConsentDeclined: it has.
        """
        self._refuse_if_ended(await self.records.store.find(question.code) or Asked(question, is_open=False))

    async def _refuse_if_declined(self, request: Request, caller: Caller) -> None:
        """Refuse a call that somebody said no to while it was held, under a code that another server asked with.

        Raises:
            ConsentDeclined: somebody has.
        """
        now = self.records.now()
        about = await self.records.store.about(request.binding(caller.principal), now)
        approval_in([each for each in about if each.decision and not each.decision.approved], self.approvers, now)

    async def approved(self, request: Request, caller: Caller, read_again: ReadAgain) -> Consent | None:
        """Take an approval that was signed for exactly this, if there is one.

        Raises:
            ConsentDeclined: the last answer was no, whichever client asked.
        """
        now = self.records.now()
        about = await self.records.store.about(request.binding(caller.principal), now)
        counting = [each for each in about if await self._may_count(each, caller, read_again)]
        found = approval_in(counting, self.approvers, now, other_approver=request.other_approver)
        if found is None or not await self.records.taken(found.question.consent.id, found.question.consent.digest):
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
        return asked.question.client == client_of(caller)

    def _hints(self, about: list[Asked]) -> list[str]:
        """Return what stands in the way of an approval."""
        is_read_again = isinstance(self.approvers, ApproversFile)
        for code, who in unknown_signers_in(about, self.approvers).items():
            why = UNLISTED_KEY if is_read_again else UNKNOWN_KEY
            return [why.format(code=code, who=in_quotes(who, NAME_LIMIT))]
        return [] if self.approvers else [NOBODY_LISTED if is_read_again else NOBODY_YET]

    async def _is_ours(self, question: Question, caller: Caller, read_again: ReadAgain) -> bool:
        """Say whether a person was shown what is true, and not what somebody wrote into the store.

        What was shown is made anew for the time it was about, and must be the same to the letter.
        """
        shown_at = read_moment(question.impact_text.partition("\n")[0].removeprefix(AS_OF))
        if shown_at is None:
            return False
        return question.says_the_same(self._asked(await read_again(shown_at), caller, self.records.now()))

    def _asked(self, request: Request, caller: Caller, now: datetime) -> Question:
        return Question(
            code=new_code(),
            tool=request.tool,
            arguments=canonical(dict(request.arguments)),
            arguments_digest=request.digest,
            principal=caller.principal,
            client=client_of(caller),
            region=request.place.region,
            project=request.place.project,
            effect=request.impact.effect,
            name=request.impact.name,
            impact_text=f"{AS_OF}{written(request.shown_at)}\n{request.laid_out(caller).text()}",
            fingerprint=request.fingerprint,
            created=now,
            expires=now + APPROVAL_LIFETIME,
            other_approver=request.other_approver,
            simulated=request.place.simulated,
            profile=request.place.profile,
        )


def refuse_too_large(arguments: str, impact_text: str = "") -> None:
    """Refuse what nobody would read; before the impact is known, what its arguments alone make too large.

    Raises:
        ApprovalRefused: they do.
    """
    if (size := len(arguments) + len(impact_text)) > LARGEST_QUESTION:
        raise ApprovalRefused(
            f"Refused: a person would have to read {size:,} characters, and at most {LARGEST_QUESTION:,} are asked "
            "about at once. Nothing was sent. Make the change in smaller parts."
        )


def read_moment(text: str) -> datetime | None:
    """Return the time that a text gives as RFC 3339; None if it gives none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
