"""The store of one machine: the file of consents, used in worker threads, so that the event loop never waits for it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from ap_mcp.guard.approval_requests import Asked, Question, SignedAnswer
from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.consent_file import ConsentFile

THREADS = 4
"""How many calls use the file at once; more wait here, and leave other work its threads while the file is locked."""

T = TypeVar("T")


class LocalStore:
    """Implements `guard.stores.ApprovalStore` for all servers of one user on this machine.

    A call that is cancelled either has not begun, or ends in its thread first: what it took is taken.

    Args:
        path: of the file; it and its folder are made for their owner only when first used.
    """

    def __init__(self, path: Path) -> None:
        self._file = ConsentFile(path)
        self._limiter = CapacityLimiter(THREADS)

    def now(self) -> datetime:
        """Return the time that counts for consents: this machine's."""
        return wall_clock()

    async def time(self) -> datetime:
        """Return it, as the store itself has it."""
        return self.now()

    async def close(self) -> None:
        """End all connections; there are none between two calls."""

    async def open(self, consent: OpenConsent) -> None:
        """Record that a consent may be used once."""
        await self._in_thread(partial(self._file.open, consent))

    async def take(self, consent_id: str, digest: str, now: datetime) -> bool:
        """Take the record of a consent away: True once."""
        return await self._in_thread(partial(self._file.take, consent_id, digest, now))

    async def use_once(self, name: str, now: datetime, until: datetime) -> bool:
        """Remember that something was used: True the first time."""
        return await self._in_thread(partial(self._file.use_once, name, now, until))

    async def ask(self, question: Question) -> None:
        """Put a question where a person finds it, and open its consent."""
        await self._in_thread(partial(self._file.ask, question))

    async def find(self, code: str) -> Asked | None:
        """Return the question of a code, however it was typed."""
        return await self._in_thread(partial(self._file.find, code))

    async def pending(self, now: datetime) -> list[Question]:
        """Return the questions without an answer, oldest first."""
        return await self._in_thread(partial(self._file.pending, now))

    async def waiting(self, now: datetime) -> int:
        """Return how many questions have no answer."""
        return await self._in_thread(partial(self._file.waiting, now))

    async def about(self, bound: Mapping[str, str], now: datetime) -> list[Asked]:
        """Return the questions about exactly this call whose consents are open."""
        return await self._in_thread(partial(self._file.about, bound, now))

    async def decide(self, code: str, answer: SignedAnswer) -> None:
        """Keep a person's answer; the first one stands."""
        await self._in_thread(partial(self._file.decide, code, answer))

    async def withdraw(self, code: str, by: str, now: datetime) -> None:
        """Take a question away, and the record of its consent with it."""
        await self._in_thread(partial(self._file.withdraw, code, by, now))

    async def history(self, now: datetime) -> list[Asked]:
        """Return the questions that came to an end of late, the last first."""
        return await self._in_thread(partial(self._file.history, now))

    async def announce(self, code: str, place: str) -> None:
        """Record that people were informed of a question, and are to be informed of its end."""
        await self._in_thread(partial(self._file.announce, code, place))

    async def announced(self, place: str) -> list[str]:
        """Return the codes of questions whose end people are still to be informed of."""
        return await self._in_thread(partial(self._file.announced, place))

    async def settle(self, code: str, place: str) -> bool:
        """Take that record away: True once."""
        return await self._in_thread(partial(self._file.settle, code, place))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await to_thread.run_sync(call, limiter=self._limiter)
