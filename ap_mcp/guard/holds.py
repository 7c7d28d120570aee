"""Calls that stay open while a person decides elsewhere, so that the one who asks need not call again."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from anyio import Lock, current_time, sleep

T = TypeVar("T")
Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Say: TypeAlias = Callable[[float, float], Awaitable[None]]
"""Is called with the seconds that a call has been held for, and of how many at most."""

POLL = 1.0
"""Seconds between two reads of the store for one call."""
AT_FULL_PACE = 50
"""Calls that are held at once before each reads less often: the store is there for other calls too."""
WORD = 5.0
"""Seconds between two words to a client whose call is held; some give a call up after 10 without one."""


@dataclass
class Holds:
    """The calls of one server that are held.

    Attributes:
        seconds: how long a call is held at most; 0 holds none.
        sleep: lets time pass between two reads.
        now: the clock that goes by it, in seconds.
        is_over: the server is about to end, so that held calls answer and no others are held.
    """

    seconds: float = 0.0
    sleep: Sleep = sleep
    now: Callable[[], float] = current_time
    is_over: bool = False
    _held: Counter[str] = field(default_factory=Counter)
    _asking: dict[str, Lock] = field(default_factory=dict)

    def __len__(self) -> int:
        return self._held.total()

    def is_held(self, code: str) -> bool:
        """Say whether a call of this server waits for the answer to a question; else its asker has to call again."""
        return self._held[code] > 0

    def release(self) -> None:
        """Let every held call answer that it still waits for a person: this server is about to end."""
        self.is_over = True

    @asynccontextmanager
    async def asking(self, call: str) -> AsyncIterator[None]:
        """Return what a call is inside of while it asks its question, so that an equal one at the same time shares it.

        Args:
            call: digest of the call.
        """
        lock = self._asking.setdefault(call, Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._asking.pop(call, None)

    async def until(self, find: Callable[[], Awaitable[T | None]], code: str, ends: float, say: Say) -> T | None:
        """Return what is found, as soon as something is; None if nothing was when the time was up.

        Args:
            find: searches for it.
            code: of the question that the call waits for.
            ends: when the time is up, on the clock of these calls.
            say: keeps the client informed.
        """
        self._held[code] += 1
        began, spoken = self.now(), float("-inf")
        try:
            while (found := await find()) is None:
                now = self.now()
                if self.is_over or now >= ends:
                    return None
                if now - spoken >= WORD:
                    await say(now - began, ends - began)
                    spoken = now
                await self.sleep(min(POLL * max(1, len(self) / AT_FULL_PACE), ends - now))
            return found
        finally:
            self._held[code] -= 1
            if not self._held[code]:
                del self._held[code]
