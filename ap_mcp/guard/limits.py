"""How many calls one principal may make, and have at once: each waits its turn for a while, and is refused then."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from anyio import Semaphore, WouldBlock, move_on_after

from ap_mcp.errors import TooManyCalls, TooOften

PATIENCE = 10.0
"""Seconds that a call waits for its turn; clients end a call not much later."""
MOST_BESIDE = 32
"""Calls that may wait for a turn, or rest, beside those that work."""
MOST_RATED = 10_000
"""Principals whose calls are counted before those who have not called for a while are forgotten."""


@dataclass
class _Lane:
    """The calls of one principal.

    Attributes:
        slots: turns that are free.
        calls: how many there are, working or not.
    """

    slots: Semaphore
    calls: int = 0


@dataclass
class LocalTurn:
    """Implements `guard.stores.Turn`."""

    slots: Semaphore
    held: bool = True

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """Give the turn to others while this call only waits; afterwards it waits for another one."""
        self.held = False
        self.slots.release()
        yield
        await self.slots.acquire()
        self.held = True


@dataclass
class Rate:
    """How many calls a principal may make in the course of time: so many a second, and so many in a row.

    Of each principal one moment is kept: that at which all their calls so far would have been made at an even pace
    (the generic cell rate algorithm).

    Attributes:
        a_second: calls.
        burst: calls that may come in a row, if none have come for long enough.
        now: the clock, in seconds.
    """

    a_second: float
    burst: int
    now: Callable[[], float] = monotonic
    _even: dict[str, float] = field(default_factory=dict)

    def take(self, principal: str) -> float:
        """Count a call, if it may be made now; return after how many seconds it may be made, 0 if it was counted."""
        now, pace = self.now(), 1 / self.a_second
        even = max(self._even.get(principal, now), now)
        wait = even - now - (self.burst - 1) * pace
        if wait > 0:
            return wait
        if len(self._even) >= MOST_RATED:
            self._even = {name: moment for name, moment in self._even.items() if moment > now}
        self._even[principal] = even + pace
        return 0.0


@dataclass
class LocalLimits:
    """Implements `guard.stores.Limits` for one server.

    Attributes:
        at_once: calls of one principal that work at once.
        patience: seconds that a call waits for its turn.
        rate: how often one principal may call; as often as they like if None.
    """

    at_once: int
    patience: float = PATIENCE
    rate: Rate | None = None
    _lanes: dict[str, _Lane] = field(default_factory=dict)

    @property
    def working(self) -> int:
        """Calls that work now, of everybody."""
        return sum(self.at_once - lane.slots.value for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn, or rest, of everybody."""
        return sum(lane.calls for lane in self._lanes.values()) - self.working

    @asynccontextmanager
    async def admit(self, principal: str) -> AsyncIterator[LocalTurn]:
        """Return what a call runs inside of.

        Raises:
            TooManyCalls: when it is entered, if the principal has too many calls.
        """
        if self.rate is not None and (wait := self.rate.take(principal)):
            raise TooOften(self.rate.a_second, self.rate.burst, wait)
        lane = self._lanes.setdefault(principal, _Lane(Semaphore(self.at_once)))
        if lane.calls >= self.at_once + MOST_BESIDE:
            raise TooManyCalls(lane.calls, self.patience)
        lane.calls += 1
        try:
            await self._turn(lane)
            turn = LocalTurn(lane.slots)
            try:
                yield turn
            finally:
                if turn.held:
                    lane.slots.release()
        finally:
            lane.calls -= 1
            if not lane.calls:
                del self._lanes[principal]

    async def _turn(self, lane: _Lane) -> None:
        """Take a turn, and wait for one if none is free."""
        try:
            lane.slots.acquire_nowait()
        except WouldBlock:
            with move_on_after(self.patience) as waiting:
                await lane.slots.acquire()
            if waiting.cancelled_caught:
                raise TooManyCalls(lane.calls - 1, self.patience) from None
