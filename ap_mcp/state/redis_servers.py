"""Which servers share Redis now: one that could not open what the others seal does not start beside them.

Each gives a sign of life, with the names of its state keys, from which nothing can be learnt about the keys.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta

from ap_mcp.errors import ApprovalsUnusable, SettingsError
from ap_mcp.guard.seal import ticks
from ap_mcp.state.redis_link import PREFIX, RedisLink
from ap_mcp.wording import plural, span

SERVERS = f"{PREFIX}servers"
BEAT = 10.0
"""Seconds between two signs of life."""
SILENCE = timedelta(seconds=30)
"""After how long without one a server counts as ended."""
OTHER_KEY = (
    "AP_MCP_STATE_KEY: Redis at {place} is shared by {servers} with another key. What one seals, the other cannot "
    "open, so that links, answers and sign-ins would count at one of them only."
)
SAME_KEY = (
    "Give all servers the same key. To change it while they run, give each the old and the new one for a while, see "
    f"docs/operating.md; one that was killed counts for {span(SILENCE)} more."
)

logger = logging.getLogger(__name__)


class Servers:
    """This server among those that share a Redis server.

    Args:
        link: leads to Redis.
        keys: the names of its state keys.
        beat: seconds between two signs of life.
    """

    def __init__(self, link: RedisLink, keys: Iterable[str], beat: float = BEAT) -> None:
        self._link = link
        self._beat_s = beat
        self._keys = frozenset(keys)
        self._entry = " ".join([secrets.token_hex(8), *sorted(self._keys)])
        self._beating: asyncio.Task[None] | None = None
        self._has_warned = False

    async def join(self) -> None:
        """Count as one of them from now on, until `leave`.

        Raises:
            SettingsError: another one has no key in common with this one.
            ApprovalsUnusable: Redis cannot be used.
        """
        await self._link.with_life()  # its clock counts
        if why := await self._beat():
            await self._withdraw()
            raise SettingsError(f"{why}\n{SAME_KEY}")
        self._beating = asyncio.create_task(self._go_on())

    async def leave(self) -> None:
        """Count no more."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
            await self._withdraw()

    async def trouble(self) -> str:
        """Return what is wrong with the keys of those that share Redis; empty if nothing is.

        Raises:
            ApprovalsUnusable: Redis cannot be used.
        """
        await self._link.run(("PING",))
        [entries] = await self._link.run(("ZRANGEBYSCORE", SERVERS, self._oldest, "+inf"))
        return self._judged(entries)

    async def check(self) -> None:
        """Give a sign of life now: a Redis that answers and takes nothing is of no use for guarded calls.

        Raises:
            ApprovalsUnusable: Redis cannot be used, or takes nothing.
        """
        await self._beat()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            with suppress(ApprovalsUnusable):  # which others report
                why = await self._beat()
                if why and not self._has_warned:
                    logger.warning("%s %s", why, SAME_KEY)
                self._has_warned = bool(why)

    async def _beat(self) -> str:
        """Give a sign of life; return what `trouble` does. Of two that begin at once, one at least sees the other."""
        *_, entries = await self._link.run(
            ("ZADD", SERVERS, ticks(self._link.clock()), self._entry),
            ("ZREMRANGEBYSCORE", SERVERS, "-inf", self._oldest),
            ("ZRANGE", SERVERS, 0, -1),
            atomic=True,
        )
        return self._judged(entries)

    async def _withdraw(self) -> None:
        with suppress(ApprovalsUnusable):
            await self._link.run(("ZREM", SERVERS, self._entry))

    @property
    def _oldest(self) -> str:
        return f"({ticks(self._link.clock() - SILENCE)}"

    def _judged(self, entries: Iterable[bytes]) -> str:
        others = [set(entry.decode("ascii", "replace").split()[1:]) for entry in entries]
        strangers = sum(not self._keys & each for each in others)
        if not strangers:
            return ""
        return OTHER_KEY.format(servers=plural(strangers, "other server"), place=self._link.place)
