"""Follows questions from asking to their end, whoever decides them where, and has both posted, by one server each.

The server that asks posts the question, and leaves a record in the store that its end is to be posted. Whichever server
finds the end takes the record away and posts it: mostly the one that asked, which looks more often.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
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
"""Seconds between two looks into the store for the questions that this server asked."""
LOOK_ELSEWHERE = 30.0
"""Seconds between two looks for those of others: of servers that have ended meanwhile."""
A_DAY = timedelta(days=1)
MOST_EVENTS = 1000

_Event: TypeAlias = tuple[str, Any, Any]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Followed:
    """A question of this server whose end is not posted yet."""

    question: Question
    link: str


class Webhooks:
    """Implements `guard.notices.Notices`: has posted what happens to questions.

    Args:
        posting: posts it.
        store: where questions are answered.
        approvers: returns whose signatures count.
        now: the clock of questions.
        look: seconds between two looks into the store.
        look_elsewhere: seconds between two looks for questions of other servers.
    """

    def __init__(
        self,
        posting: Posting,
        store: ApprovalStore,
        approvers: Callable[[], Approvers],
        *,
        now: Callable[[], datetime] = wall_clock,
        look: float = LOOK,
        look_elsewhere: float = LOOK_ELSEWHERE,
    ) -> None:
        self.posting = posting
        self._place = posting.place
        self._store = store
        self._approvers = approvers
        self._now = now
        self._look_s = look
        self._look_elsewhere_s = look_elsewhere
        self._trouble = ""
        self._events: asyncio.Queue[_Event] = asyncio.Queue(MOST_EVENTS)
        self._followed: dict[str, Followed] = {}
        self._task: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def asked(self, question: Question, link: str) -> None:
        """Take that a question waits."""
        self._take(("asked", question, link))

    def left(self, question: Question) -> None:
        """Take that the one who asks has gone."""
        self._take(("left", question, ""))

    def used(self, code: str, outcome: str) -> None:
        """Take how a call ended that was made with an approval."""
        self._take(("used", code, outcome))

    def watch(self) -> None:
        """Follow also what other servers asked, or this one before it was started anew."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Post what waits, as far as that goes in a moment, and end."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
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
                await self._safely(self._handle(*event))
                self._events.task_done()
            if asyncio.get_running_loop().time() >= looked + self._look_s:
                for code in [*self._followed]:
                    await self._safely(self._look(code))
                looked = asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        while True:
            await self._safely(self._look_elsewhere())
            await asyncio.sleep(self._look_elsewhere_s)

    async def _safely(self, work: Awaitable[None]) -> None:
        """Do something; whatever fails, what follows is done too. That it fails is logged once for each reason."""
        trouble = ""
        try:
            await work
        except ApMcpError as error:
            trouble = error.render()
        except Exception as error:  # noqa: BLE001 - likewise
            trouble = type(error).__name__
        if trouble and trouble != self._trouble:
            logger.warning("What happened to a question is not posted: %s", trouble)
        self._trouble = trouble

    async def _handle(self, what: str, about: Any, more: Any) -> None:
        if what == "asked":
            await self._store.announce(about.code, self._place)
            self._followed[about.code] = Followed(about, more)
            self._post("asked", about, link=more, today=await self._asked_today(about))
        elif what == "left" and about.code in self._followed:
            found = await self._store.find(about.code)
            if found is not None and self._standing(found).state == "pending":
                self._post("left", about, link=self._followed[about.code].link)
        elif what == "used":
            # Whoever has used it posts what became of it, so that it was approved is no news.
            self._followed.pop(about, None)
            await self._store.settle(about, self._place)
            found = await self._store.find(about)
            if found is not None:
                self._post(more, found.question, by=found.decision.approver if found.decision else "")

    async def _look_elsewhere(self) -> None:
        for code in await self._store.announced(self._place):
            if code not in self._followed:
                await self._look(code)

    async def _look(self, code: str) -> None:
        """Post how a question has ended, once it has, unless another server does."""
        found = await self._store.find(code)
        ended = Standing("spent") if found is None else self._standing(found)
        if ended.state in ("pending", "worthless"):
            return
        self._followed.pop(code, None)
        is_ours = await self._store.settle(code, self._place)
        # Of an approval that was used, the server that used it posts more.
        if is_ours and found is not None and ended.state in ("approved", "declined", "expired", "withdrawn"):
            self._post(ended.state, found.question, by=ended.approver)

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
