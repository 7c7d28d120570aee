"""How often a principal may call, counted over all servers that share Redis; by each alone while that is down."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ap_mcp.errors import ApprovalsUnusable, TooOften
from ap_mcp.guard.limits import Rate
from ap_mcp.guard.stores import Limits, Turn
from ap_mcp.state.redis_link import PREFIX, RedisLink, name_of

COUNT = """
-- As guard.limits.Rate: KEYS[1] holds the moment at which all calls so far would have been made at an even pace.
-- ARGV: microseconds between two calls at that pace, and how far that moment may lie ahead. Redis's clock counts.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local even = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = even - now - ARGV[2]
if wait > 0 then
  return string.format('%.0f', wait)
end
local next = even + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1)
return '0'
"""

logger = logging.getLogger(__name__)


class RedisLimits:
    """Implements `guard.stores.Limits`: how often is counted by all servers together, how many at once by each.

    Args:
        link: leads to Redis.
        here: what holds on this server alone, whether or not Redis is up.
        rate: how often one principal may call.
    """

    def __init__(self, link: RedisLink, here: Limits, rate: Rate) -> None:
        self._link = link
        self._here = here
        self._rate = rate

    @property
    def working(self) -> int:
        """Calls that work now on this server, of everybody."""
        return self._here.working

    @property
    def waiting(self) -> int:
        """Calls that wait there for their turn, or rest, of everybody."""
        return self._here.waiting

    @asynccontextmanager
    async def admit(self, principal: str) -> AsyncIterator[Turn]:
        """Return what a call runs inside of; see `Limits.admit`."""
        if wait := await self._wait(principal):
            raise TooOften(self._rate.a_second, self._rate.burst, wait)
        async with self._here.admit(principal) as turn:
            yield turn

    async def _wait(self, principal: str) -> float:
        """Count a call; return after how many seconds it may be made, 0 if now."""
        pace = round(1_000_000 / self._rate.a_second)
        key = f"{PREFIX}rate:{name_of(principal)}"
        try:
            [wait] = await self._link.run_if_well(("EVAL", COUNT, 1, key, pace, (self._rate.burst - 1) * pace))
        except ApprovalsUnusable as error:
            logger.debug("Each server counts calls by itself: %s", error.render())
            return 0.0
        return int(wait) / 1_000_000
