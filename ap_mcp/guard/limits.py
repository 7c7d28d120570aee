"""How many calls one principal may have at once: each waits its turn for a while, and is refused then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import Semaphore, WouldBlock, move_on_after

from ap_mcp.errors import TooManyCalls

PATIENCE = 10.0
"""Seconds that a call waits for its turn; clients end a call not much later."""
MOST_BESIDE = 32
"""Calls that may wait for a turn, or rest, beside those that work."""


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
class LocalLimits:
    """Implements `guard.stores.Limits` for one server.

    Attributes:
        at_once: calls of one principal that work at once.
        patience: seconds that a call waits for its turn.
    """

    at_once: int
    patience: float = PATIENCE
    _lanes: dict[str, _Lane] = field(default_factory=dict)

    @asynccontextmanager
    async def admit(self, principal: str) -> AsyncIterator[LocalTurn]:
        """Return what a call runs inside of.

        Raises:
            TooManyCalls: when it is entered, if the principal has too many calls.
        """
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
