"""Shares what there is a number of between those who call: nobody's slow calls keep the others waiting."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import Event

from ap_mcp.calling import calling

ALONE = ""
"""Who has the server to themselves."""


class FairShare:
    """Turns at something.

    One principal may hold at most as many turns as are left besides, or `weight` times as many: however many hold
    theirs for long, whoever comes next finds one. Of those who wait and may hold more, the one that holds least is
    next. Who has the server to themselves may hold all.

    Args:
        total: how many turns there are.
        weight: how much of what is left one principal may hold.
    """

    def __init__(self, total: int, weight: int = 1) -> None:
        self._free = total
        self._weight = weight
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Event]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Return what a part of a call runs inside of: a turn of the principal whose call it is."""
        call = calling()
        principal = call.principal if call.is_shared else ALONE
        # Whoever waits may hold no more as things stand, so nobody is overtaken.
        if self._may_take(principal):
            self._take(principal)
        else:
            await self._wait(principal)
        try:
            yield
        finally:
            self._give_back(principal)

    def _may_take(self, principal: str) -> bool:
        return self._free > 0 and (principal == ALONE or self._held[principal] < self._weight * self._free)

    def _take(self, principal: str) -> None:
        self._free -= 1
        self._held[principal] += 1

    def _give_back(self, principal: str) -> None:
        self._free += 1
        self._held[principal] -= 1
        if not self._held[principal]:
            del self._held[principal]
        while (next_one := self._next()) is not None:
            turn = self._waiting[next_one].popleft()
            if not self._waiting[next_one]:
                del self._waiting[next_one]
            self._take(next_one)
            turn.set()

    def _next(self) -> str | None:
        """Return whose turn it is; of those who hold equally many, who has waited longest."""
        able = [each for each in self._waiting if self._may_take(each)]
        return min(able, key=self._held.__getitem__, default=None)

    async def _wait(self, principal: str) -> None:
        turn = Event()
        self._waiting.setdefault(principal, deque()).append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # both at once: the turn is for somebody else then
                self._give_back(principal)
            else:
                self._leave(principal, turn)
            raise

    def _leave(self, principal: str, turn: Event) -> None:
        self._waiting[principal].remove(turn)
        if not self._waiting[principal]:
            del self._waiting[principal]
