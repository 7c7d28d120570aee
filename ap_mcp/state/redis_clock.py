"""The clock of a Redis server, which all that share it go by: their own ones need not agree."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.guard.seal import moment_at, ticks
from ap_mcp.wording import span

NOTICED = timedelta(seconds=5)
"""How far this machine's clock may be from that of Redis before it is worth a word."""
FRESH = 60.0
"""Seconds after which the best reading gives way to the latest one, for clocks do not run equally fast."""

logger = logging.getLogger(__name__)


class RedisClock:
    """The time of Redis, as far as its replies said, carried on by this process's steady clock.

    It is never ahead of Redis by more than clocks drift in a minute, and never behind the last reply: what another
    server wrote before that reply lies in the past here too.

    Args:
        wall: this machine's clock, which counts until Redis has said anything.
        steady: seconds that only ever go forward.
    """

    def __init__(self, wall: Callable[[], datetime] = wall_clock, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._start: int | None = None
        self._read_at = 0.0
        self._has_warned = False

    def __call__(self) -> datetime:
        """Return the time."""
        return self._wall() if self._start is None else moment_at(self._start + _micro(self._steady()))

    @property
    def skew(self) -> timedelta:
        """How far this machine's clock is ahead of Redis's."""
        return self._wall() - self()

    def heard(self, moment: datetime) -> None:
        """Take a time that a reply held, as soon as it came."""
        now = self._steady()
        start = ticks(moment) - _micro(now)
        if self._start is None or start > self._start or now - self._read_at > FRESH:
            self._start, self._read_at = start, now
        if abs(self.skew) > NOTICED and not self._has_warned:
            self._has_warned = True
            way = "ahead of" if self.skew > timedelta() else "behind"
            text = "This machine's clock is %s %s that of Redis, which counts for consents: set both by a time server."
            logger.warning(text, span(abs(self.skew)), way)


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)
