"""Follows the questions of one server from asking to their end, whoever decides them where, and has both posted."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from ap_mcp.errors import ApMcpError
from ap_mcp.guard.approval_requests import Asked, Question
from ap_mcp.guard.approvals import Approvers, Standing, standing
from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.guard.stores import ApprovalStore
from ap_mcp.webhooks.notice import Kind, notice
from ap_mcp.webhooks.posting import Posting

LAST_WORDS = 1.0
LOOK = 3.0
"""Seconds between two looks into the store for the questions that are followed."""
A_DAY = timedelta(days=1)
MOST_EVENTS = 1000

_Event: TypeAlias = tuple[str, Any, Any]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Followed:
    """A question whose end is not posted yet; `approved`: that it was approved is."""

    question: Question
    link: str
    approved: bool = False


class Webhooks:
    """Implements `guard.notices.Notices`: has posted what happens to questions.

    Args:
        posting: posts it.
        store: where questions are answered.
        approvers: returns whose signatures count.
        now: the clock of questions.
        look: seconds between two looks into the store.
    """

    def __init__(
        self,
        posting: Posting,
        store: ApprovalStore,
        approvers: Callable[[], Approvers],
        *,
        now: Callable[[], datetime] = wall_clock,
        look: float = LOOK,
    ) -> None:
        self.posting = posting
        self._store = store
        self._approvers = approvers
        self._now = now
        self._look_s = look
        self._events: asyncio.Queue[_Event] = asyncio.Queue(MOST_EVENTS)
        self._followed: dict[str, Followed] = {}
        self._task: asyncio.Task[None] | None = None

    def asked(self, question: Question, link: str) -> None:
        """Take that a question waits."""
        self._take(("asked", question, link))

    def left(self, question: Question) -> None:
        """Take that the one who asks has gone."""
        self._take(("left", question, ""))

    def used(self, code: str, outcome: str) -> None:
        """Take how a call ended that was made with an approval."""
        self._take(("used", code, outcome))

    async def close(self) -> None:
        """Post what waits, as far as that goes in a moment, and end."""
        if self._task is not None:
            try:
                await asyncio.wait_for(self._events.join(), LAST_WORDS)
            except TimeoutError:
                logger.warning("This server ends before all that happened to its questions was posted.")
            self._task.cancel()
            self._task = None
        await self.posting.close()

    def _take(self, event: _Event) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            logger.warning("Too much happens to questions for their webhook: some of it is not posted.")
            return
        if self._task is None:
            self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        looked = asyncio.get_running_loop().time()
        while True:
            left = looked + self._look_s - asyncio.get_running_loop().time() if self._followed else None
            try:
                event = await asyncio.wait_for(self._events.get(), left)
            except TimeoutError:
                event = None
            if event is not None:
                await self._safely(event)
                self._events.task_done()
            if asyncio.get_running_loop().time() >= looked + self._look_s:
                for code in [*self._followed]:
                    await self._safely(("look", code, ""))
                looked = asyncio.get_running_loop().time()

    async def _safely(self, event: _Event) -> None:
        """Handle an event; whatever fails, the next one is handled too."""
        try:
            await self._handle(*event)
        except ApMcpError as error:
            logger.warning("What happened to a question is not posted: %s", error.render())
        except Exception as error:  # noqa: BLE001 - likewise
            logger.error("What happened to a question is not posted: %s", type(error).__name__)  # noqa: TRY400

    async def _handle(self, what: str, about: Any, more: Any) -> None:
        if what == "asked":
            self._followed[about.code] = Followed(about, more)
            self._post("asked", about, link=more, today=await self._asked_today(about))
        elif what == "left" and about.code in self._followed:
            found = await self._store.find(about.code)
            if found is not None and self._standing(found).state == "pending":
                self._post("left", about, link=self._followed[about.code].link)
        elif what == "used":
            self._followed.pop(about, None)
            found = await self._store.find(about)
            if found is not None:
                self._post(more, found.question, by=found.decision.approver if found.decision else "")
        elif what == "look":
            await self._look(self._followed[about])

    async def _look(self, followed: Followed) -> None:
        """Post how a question has ended, once it has."""
        question = followed.question
        found = self._standing(await self._store.find(question.code) or Asked(question, is_open=False))
        if found.state == "approved":
            if not followed.approved:
                self._post("approved", question, by=found.approver)
            followed.approved = True
            return
        # Of an approval that is used the server posts more that has used it; one that nobody used has been posted.
        if found.state in ("declined", "withdrawn") or (found.state == "expired" and not followed.approved):
            self._post(found.state, question, by=found.approver)
        if found.state not in ("pending", "worthless"):
            self._followed.pop(question.code, None)

    def _standing(self, found: Asked) -> Standing:
        return standing(found, self._approvers(), self._now())

    def _post(self, kind: Kind, question: Question, *, link: str = "", by: str = "", today: int = 0) -> None:
        self.posting.put(notice(kind, question, self._now(), link=link, by=by, today=today))

    async def _asked_today(self, question: Question) -> int:
        """Return how many questions were asked for the same principal within a day, as far as the store still knows."""
        now = self._now()
        found = [*await self._store.pending(now), *(each.question for each in await self._store.history(now))]
        codes = {each.code for each in found if each.principal == question.principal and each.created > now - A_DAY}
        return len(codes | {question.code})
