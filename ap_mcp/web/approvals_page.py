"""Serves the approval page: GET shows and never decides, POST takes what the passkey of a known approver has signed."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ap_mcp.aside import in_a_thread
from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
from ap_mcp.guard.approval_requests import Asked, Question, SignedAnswer, passkey_digest, withdrawal_digest
from ap_mcp.guard.approvals import Approvers, standing, why_not_counted
from ap_mcp.guard.approvers import why_same_person
from ap_mcp.guard.links import Links
from ap_mcp.guard.passkeys import packed
from ap_mcp.guard.seal import ticks
from ap_mcp.guard.showing import CANNOT_BE_SEEN, hides_something
from ap_mcp.guard.stores import ApprovalStore
from ap_mcp.server import Autopilot
from ap_mcp.vendor import written
from ap_mcp.web import approval_views as views
from ap_mcp.web.approval_forms import (
    HEADERS,
    Refusal,
    answer,
    page,
    read_body,
    read_signed,
    read_text,
    read_time,
    refused,
    signer,
)
from ap_mcp.web.approver_sessions import Sessions
from ap_mcp.web.enrolment import enrolled

APPROVE, DECLINE, WITHDRAW = "approve", "decline", "withdraw"
NOT_HERE = "There is no such question, or the link is not whole. What waits is listed at {all}."
_DAY = timedelta(days=1)
_STATIC = {"approvals.css": "text/css", "approvals.js": "text/javascript"}

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class ApprovalPages:
    """The pages on which people approve, as routes for the server that serves them.

    Args:
        store: of questions, which all servers share.
        approvers: whose answers count; read again when the operator's file has changed.
        links: of the questions; its address is the one origin of all pages.
        now: the clock; that of the store if none is given.
        waits: says of a code whether a call of this server stays open for the answer.
    """

    def __init__(
        self,
        store: ApprovalStore,
        approvers: Approvers,
        links: Links,
        now: Callable[[], datetime] | None = None,
        waits: Callable[[str], bool] = lambda _: False,
    ) -> None:
        parts = urlsplit(links.public_url)
        self.places = views.Places(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))
        self._store, self._approvers, self._links, self._now = store, approvers, links, now or store.now
        self._sessions = Sessions(links.sealer, store, self.places.origin, self._now)
        self._waits = waits

    def routes(self) -> list[Route]:
        """Return the routes, below the path that the server stands under."""
        posts: Mapping[str, Handler] = {
            "/sign-in/challenge": self._sign_in_challenge,
            "/sign-in": self._sign_in,
            "/sign-out": self._sign_out,
            "/enrol": self._enrol,
            "/{code}/{key}/challenge": self._challenge,
            "/{code}/{key}": self._decide,
        }
        gets: Mapping[str, Handler] = {
            "": self._list,
            "/static/{name}": self._static,
            "/enrol": self._enrol_page,
            "/{code}": self._question,
            "/{code}/{key}": self._question,
        }
        return [
            *(Route(f"/approvals{path}", _posted(each), methods=["POST"]) for path, each in posts.items()),
            *(Route(f"/approvals{path}", self._read(each), methods=["GET"]) for path, each in gets.items()),
        ]

    def _read(self, show: Handler) -> Handler:
        """Return a handler of GET, which shows why if the store cannot be used."""

        async def handle(request: Request) -> Response:
            try:
                return await show(request)
            except ApprovalsUnusable as error:
                logger.warning("The approval page shows nothing: %s", error)
                return page(views.message_page(self.places, "Nothing can be shown", str(error)), 503)

        return handle

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return self._nothing()
        content = (Path(__file__).with_name("static") / name).read_bytes()
        return Response(content, media_type=_STATIC[name], headers=dict(HEADERS))

    async def _list(self, request: Request) -> Response:
        approver = self._sessions.approver(request, self._approvers)
        if approver is None:
            return page(views.sign_in_page(self.places, self._approvers))
        now = self._now()
        waiting = sorted(await self._store.pending(now), key=lambda each: each.simulated)
        ended = sorted(await self._store.history(now), key=lambda each: each.question.simulated)
        linked = [(each, self._path(each.code)) for each in waiting]
        listed = partial(views.list_page, self.places, approver, linked, ended, approvers=self._approvers, now=now)
        return page(await in_a_thread(listed))

    async def _question(self, request: Request) -> Response:
        code, key = request.path_params["code"], request.path_params.get("key", "")
        if not self._links.opens(code, key) and self._sessions.approver(request, self._approvers) is None:
            return page(views.sign_in_page(self.places, self._approvers))
        asked = await self._store.find(code)
        if asked is None:
            return self._nothing()
        now, question = self._now(), asked.question
        content = partial(
            views.question_page,
            self.places,
            question,
            standing(asked, self._approvers, now),
            now,
            key=self._links.key(question.code),
            approvers=self._approvers,
            many=await self._times_asked(question, now),
            waits=self._waits(question.code),
        )
        return page(await in_a_thread(content))

    async def _times_asked(self, question: Question, now: datetime) -> int:
        """Return how many questions of a principal there were within a day."""
        recent = [*await self._store.pending(now), *(each.question for each in await self._store.history(now))]
        return sum(each.principal == question.principal and each.created > now - _DAY for each in recent)

    async def _challenge(self, request: Request) -> Response:
        body = await read_body(request, self.places.origin)
        wanted, question = await self._decidable(request, body)
        at = self._now()
        return answer({"challenge": packed(_challenge_of(question, wanted, at)), "at": ticks(at)})

    async def _decide(self, request: Request) -> Response:
        body = await read_body(request, self.places.origin)
        wanted, question = await self._decidable(request, body)
        now, signed = self._now(), read_signed(body)
        at = read_time(body, now)
        who, _ = signer(signed, _challenge_of(question, wanted, at), self._approvers, self.places.origin)
        if wanted == WITHDRAW:
            await self._store.withdraw(question.code, who, now)
        else:
            if question.other_approver and (why := why_same_person(question.principal, who, self._approvers.get(who))):
                raise Refusal(403, f"{who} cannot decide {question.code}: {why}. Nothing was decided.")
            given = SignedAnswer(who, wanted == APPROVE, at, signed.signature, signed.assertion)
            await self._store.decide(question.code, given)
            await self._check_that_it_counts(question, given)
        logger.info("%s: %s by %s on the page", question.code, wanted, who)
        return answer({"done": wanted, "by": who})

    async def _check_that_it_counts(self, question: Question, given: SignedAnswer) -> None:
        asked = await self._store.find(question.code)
        if why := why_not_counted(asked, given, self._approvers, self._now()):
            raise Refusal(409, f"The answer was kept but does not count: {why}.", over=True)

    async def _decidable(self, request: Request, body: Mapping[str, Any]) -> tuple[str, Question]:
        """Return what a person wants, and the question, which can still be answered like that.

        Raises:
            Refusal: it cannot.
        """
        code, wanted = request.path_params["code"], read_text(body, "answer")
        asked = await self._store.find(code) if self._links.opens(code, request.path_params["key"]) else None
        if asked is None:
            raise Refusal(404, NOT_HERE.format(all=self._links.all))
        if wanted not in (APPROVE, DECLINE, WITHDRAW):
            raise Refusal(400, f"answer must be {APPROVE}, {DECLINE} or {WITHDRAW}.")
        question = asked.question
        self._check_standing(asked, wanted)
        # However often: there is nothing to guess, and who only has the link must not close the question to others.
        if wanted == APPROVE and read_text(body, "name") != question.name:
            why = "What you typed is not the name of what this call acts on"
            raise Refusal(403, f"Not approved: {why}. Nothing was decided; {question.code} still waits.")
        return wanted, question

    def _check_standing(self, asked: Asked, wanted: str) -> None:
        question, found = asked.question, standing(asked, self._approvers, self._now())
        if found.state == "expired":
            why = f"it expired at {written(question.expires)}; it must be asked anew"
            raise Refusal(410, f"{question.code} cannot be decided: {why}.", over=True)
        if found.state != "pending" and not (found.state == "approved" and wanted == WITHDRAW):
            by = f" by {found.approver}" if found.approver else ""
            raise Refusal(409, f"{question.code} cannot be decided: it is {found.state}{by} already.", over=True)
        if wanted != WITHDRAW and hides_something(question):
            raise Refusal(409, f"{question.code} cannot be decided: {CANNOT_BE_SEEN}.")

    async def _sign_in_challenge(self, request: Request) -> Response:
        await read_body(request, self.places.origin)
        return answer(self._sessions.challenge())

    async def _sign_in(self, request: Request) -> Response:
        body = await read_body(request, self.places.origin)
        response = answer({"done": "sign-in"})
        name = await self._sessions.sign_in(read_text(body, "state"), read_signed(body), self._approvers, response)
        logger.info("%s signed in to the approval page", name)
        return response

    async def _sign_out(self, request: Request) -> Response:
        await read_body(request, self.places.origin)
        response = answer({"done": "sign-out"})
        self._sessions.sign_out(response)
        return response

    async def _enrol_page(self, _: Request) -> Response:
        return page(views.enrol_page(self.places))

    async def _enrol(self, request: Request) -> Response:
        body = await read_body(request, self.places.origin)
        made = await enrolled(body, self._store, self.places.origin, self.places.rp_id, self._now())
        logger.info("%s made a passkey (%s), which the operator has to enter", made.name, made.passkey.fingerprint)
        return answer(made.as_json())

    def _path(self, code: str) -> str:
        return self.places.of(code, self._links.key(code))

    def _nothing(self) -> Response:
        return page(views.message_page(self.places, "Not found", NOT_HERE.format(all=self._links.all)), 404)


def pages_of(autopilot: Autopilot) -> ApprovalPages | None:
    """Return the pages of a server, and have it give their links; None if it asks nobody, or has no address for them.

    Args:
        autopilot: what serves the calls.
    """
    address = autopilot.settings.public_url
    if autopilot.settings.confirm == "deny":
        return None
    if address is None:
        logger.warning("No approval page is served, for its address is not known: set AP_MCP_PUBLIC_URL")
        return None
    confirmer = autopilot.confirmer
    links = Links(address, confirmer.sealer)
    autopilot.link = links.question
    return ApprovalPages(confirmer.store, autopilot.approvers, links, waits=autopilot.holds.is_held)


def _posted(take: Handler) -> Handler:
    """Return a handler of POST, which answers refusals in JSON."""

    async def handle(request: Request) -> Response:
        try:
            return await take(request)
        except Refusal as refusal:
            return refused(refusal)
        except ApprovalRefused as error:  # somebody was faster
            return refused(Refusal(409, str(error), over=True))
        except ApprovalsUnusable as error:
            logger.warning("Nothing can be decided on the approval page: %s", error)
            return refused(Refusal(503, str(error)))

    return handle


def _challenge_of(question: Question, wanted: str, at: datetime) -> bytes:
    if wanted == WITHDRAW:
        return withdrawal_digest(question, at)
    return passkey_digest(question, approved=wanted == APPROVE, at=at)
