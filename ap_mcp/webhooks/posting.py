"""Posts notices to incoming webhooks: in order, each receiver on its own, and without anybody waiting for it."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, TypeAlias

from anyio import fail_after

from ap_mcp.cloud import http
from ap_mcp.cloud.lines import Lines
from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.watching import NoticePosted, happened
from ap_mcp.webhook_addresses import Address
from ap_mcp.webhooks.forms import Message, message, refusal
from ap_mcp.webhooks.notice import Notice
from ap_mcp.wording import clean

Outcome: TypeAlias = Literal["posted", "failed", "dropped"]

TIME_OUT = 5.0
"""Seconds for one attempt, connection and answer and all."""
PAUSE = 1.0
"""Seconds before the second attempt, which is the last."""
MOST_WAITING = 100
"""Notices that wait for one receiver; further ones are dropped, for a person reads no more of them either."""
MOST_OF_ONE = 25
"""Of these, how many are about questions of one principal, so that those of others are not dropped for them."""
MOST_READ = 10_000
LAST_WORDS = 5.0
"""Seconds that a server which ends still gives to what waits."""
FAILING = (
    "Questions cannot be posted to webhook %s (%s). They wait all the same: see `ap-mcp approvals list`. "
    "`ap-mcp approvals test-webhook` tries it again; until it works this is not logged once more."
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Receiver:
    """One webhook, and what waits for it.

    Attributes:
        address: where it is.
        waiting: what is posted next.
        shares: how much of it is about whose questions.
        counts: how many notices were posted, failed or were dropped.
        failing: the last one failed, which was logged.
    """

    address: Address
    waiting: "asyncio.Queue[Notice]" = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    shares: Counter[str] = field(default_factory=Counter)
    counts: dict[Outcome, int] = field(default_factory=lambda: {"posted": 0, "failed": 0, "dropped": 0})
    failing: bool = False
    task: "asyncio.Task[None] | None" = None

    def take(self, notice: Notice) -> bool:
        """Say whether there is room for a notice, which then waits."""
        if self.waiting.full() or self.shares[_whose(notice)] >= MOST_OF_ONE:
            return False
        self.shares[_whose(notice)] += 1
        self.waiting.put_nowait(notice)
        return True

    async def next(self) -> Notice:
        """Return what is posted next, once there is something."""
        notice = await self.waiting.get()
        self.shares[_whose(notice)] -= 1
        if not self.shares[_whose(notice)]:
            del self.shares[_whose(notice)]
        return notice

    def count(self, outcome: Outcome) -> None:
        """Count what became of a notice."""
        self.counts[outcome] += 1
        happened(NoticePosted(self.address.form, outcome))


class Posting:
    """Posts to each of some webhooks what is put in here.

    Args:
        addresses: of the webhooks.
        connect: makes the connections, when the first notice is posted; they follow no redirects.
        now: the clock.
        pause: lets time pass before a second attempt.
        time_out: seconds for one attempt.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        connect: Callable[[], Lines],
        *,
        now: Callable[[], datetime] = wall_clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        time_out: float = TIME_OUT,
    ) -> None:
        self.receivers = [Receiver(each) for each in addresses]
        self._connect = connect
        self._lines: Lines | None = None
        self._now = now
        self._pause = pause
        self._time_out = time_out

    @property
    def place(self) -> str:
        """What stands for all the receivers where others see it: servers with the same ones post for each other."""
        addresses = "\n".join(sorted(each.address.url for each in self.receivers))
        return sha256(addresses.encode()).hexdigest()[:16]

    def put(self, notice: Notice) -> None:
        """Post a notice to every receiver, soon; returns at once and never fails."""
        for each in self.receivers:
            if not each.take(notice):
                each.count("dropped")
            elif each.task is None:
                each.task = asyncio.create_task(self._work(each))

    async def post(self, address: Address, notice: Notice) -> str:
        """Post a notice now, twice where that does no harm; return why that failed, in words, or nothing."""
        name = f"msg_{secrets.token_hex(12)}"
        why, again = await self._attempt(address, message(address, notice, self._now(), name))
        if why and again:
            await self._pause(PAUSE)
            why, _ = await self._attempt(address, message(address, notice, self._now(), name))
        return why

    async def close(self) -> None:
        """Give what waits a moment, then end."""
        working = [each for each in self.receivers if each.task is not None]
        if working:
            waited = asyncio.gather(*(each.waiting.join() for each in working))
            try:
                await asyncio.wait_for(waited, LAST_WORDS)
            except TimeoutError:
                logger.warning("This server ends before everything was posted to its webhooks.")
        for each in working:
            if each.task is not None:
                each.task.cancel()
                each.task = None
        if self._lines is not None:
            await self._lines.close()
            self._lines = None

    async def _work(self, receiver: Receiver) -> None:
        while True:
            notice = await receiver.next()
            try:
                why = await self.post(receiver.address, notice)
                self._count(receiver, why)
            except Exception as error:  # noqa: BLE001 - whatever fails, the next notice is posted
                self._count(receiver, f"an error in ap-mcp itself, {type(error).__name__}")
            finally:
                receiver.waiting.task_done()

    def _count(self, receiver: Receiver, why: str) -> None:
        receiver.count("failed" if why else "posted")
        if why and not receiver.failing:
            logger.warning(FAILING, receiver.address, why)
        elif receiver.failing and not why:
            logger.warning("Webhook %s works again.", receiver.address)
        receiver.failing = bool(why)

    async def _attempt(self, address: Address, made: Message) -> tuple[str, bool]:
        """Make one attempt; return why it failed, and whether another one does no harm.

        Only what cannot have been taken is tried again, unless the receiver knows messages by their id.
        """
        knows_ids = address.form == "generic"
        if self._lines is None:
            self._lines = self._connect()
        try:
            with fail_after(self._time_out):
                request = http.Request("POST", made.url, content=made.body, headers=made.headers)
                answer = await self._lines.send(request)
                try:
                    body = await _beginning(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            return f"no answer within {self._time_out:g} s", knows_ids
        except (http.ConnectError, http.ConnectTimeout) as error:
            return f"no connection: {clean(str(error)) or type(error).__name__}", True
        except http.HTTPError as error:
            return f"no answer: {clean(str(error)) or type(error).__name__}", knows_ids
        why = refusal(address.form, answer.status_code, body)
        return why, answer.status_code == 429 or (knows_ids and answer.status_code >= 500)


def _whose(notice: Notice) -> str:
    return str(notice.data.get("principal", ""))


async def _beginning(answer: http.Response) -> str:
    """Return the first characters of an answer, however long it is."""
    read = b""
    async for piece in answer.aiter_bytes():
        read += piece
        if len(read) >= MOST_READ:
            break
    return read[:MOST_READ].decode("utf-8", "replace")
