"""The event loop of a server that many call: they take turns at it, however much one of them asks for.

An event loop does whatever is ready in one order. Somebody with fifty requests under way has fifty steps ready each
time that a request of somebody else has one, which then takes fifty times as long.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context
from time import perf_counter
from typing import TypeVarTuple

from ap_mcp.calling import calling

if sys.platform == "win32":
    from asyncio import ProactorEventLoop as _Loop
else:
    from asyncio import SelectorEventLoop as _Loop

FIRST_SECONDS, TURN_SECONDS = 0.01, 0.001
"""How long steps are made of one principal for whom nothing was left to do, and of one who goes on.

The first is enough for most calls. A step is not interrupted.
"""
MOST_BEFORE = 4
"""How often one who goes on lets pass what others have begun: a request takes three steps to its first turn."""

Ts = TypeVarTuple("Ts")


class FairLoop(_Loop):
    """An event loop on which those who are served take turns.

    Steps for one of them are made in the order in which they became ready; those for nobody at once, as ever.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = perf_counter) -> None:
        super().__init__()
        self._now = now
        self._lanes: dict[str, deque[asyncio.Handle]] = {}
        self._begun = 0

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Have a step made once it is the turn of whom it is for."""
        who = calling(context).principal
        if not who:
            self._begun += 1
            return super().call_soon(callback, *args, context=context)
        step = asyncio.Handle(callback, args, self, context)
        if who in self._lanes:
            self._lanes[who].append(step)
        else:
            self._lanes[who] = deque([step])
            self._begun += 1
            super().call_soon(self._turn, who, FIRST_SECONDS)
        return step

    def _turn(self, who: str, seconds: float) -> None:
        """Make steps of one principal."""
        lane, ends = self._lanes[who], self._now() + seconds
        try:
            while lane:
                if not (step := lane.popleft()).cancelled():
                    step._run()  # noqa: SLF001 - as the loop itself does; it reports what goes wrong
                if self._now() >= ends:
                    break
        finally:
            if lane:
                super().call_soon(self._go_on, who, self._begun, MOST_BEFORE)
            else:
                del self._lanes[who]

    def _go_on(self, who: str, begun: int, before: int) -> None:
        """Make further steps of one principal, unless others have begun something meanwhile: that comes first."""
        if before and begun != self._begun:
            super().call_soon(self._go_on, who, self._begun, before - 1)
        else:
            self._turn(who, TURN_SECONDS)
