"""The latest whole answers of the cloud in Redis, where any server that shares it finds them; none else reads them."""

import base64
import re
import secrets
import zlib
from datetime import timedelta

from anyio import to_thread

from ap_mcp.errors import ApprovalsUnusable
from ap_mcp.guard.seal import Forged, Sealer, ticks
from ap_mcp.response_store import PREFIX as URI
from ap_mcp.response_store import LocalResponseStore
from ap_mcp.state.redis_link import PREFIX, Command, RedisLink, name_of

LIFETIME = timedelta(hours=1)
LIMIT_COUNT = 50
LIMIT_BYTES = 8_000_000
"""How many answers of one principal are kept, and how many bytes they may have together as they are kept."""
KIND = "kept answer"

_ID = re.compile(r"[A-Za-z0-9_-]{24}")


class RedisResponses:
    """Implements `guard.stores.ResponseStore` for all servers that share a Redis server and a state key.

    What cannot be kept there is kept by this server alone, so that no read fails because of it.

    Args:
        link: leads to Redis.
        sealer: whoever can read in Redis cannot read an answer without its key.
        limit_count: how many answers of one principal are kept.
        limit_bytes: how many bytes they may have together.
    """

    def __init__(
        self, link: RedisLink, sealer: Sealer, limit_count: int = LIMIT_COUNT, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._link = link
        self._sealer = sealer
        self._limit_count = limit_count
        self._limit_bytes = limit_bytes
        self._here = LocalResponseStore()

    async def keep(self, principal: str, text: str) -> str | None:
        """Keep an answer and return its URI; None if it is larger than one principal's share."""
        name, now = secrets.token_urlsafe(18), self._link.clock()
        sealed = await to_thread.run_sync(self._sealed, principal, text)
        if len(sealed) > self._limit_bytes:
            return None
        index, lives = _index(principal), LIFETIME // timedelta(milliseconds=1)
        try:
            *_, entries = await self._link.run_if_well(
                ("SET", _key(principal, name), sealed, "PX", lives),
                ("ZADD", index, ticks(now), f"{name}|{len(sealed)}"),
                ("PEXPIRE", index, lives),
                ("ZREMRANGEBYSCORE", index, "-inf", ticks(now - LIFETIME)),
                ("ZRANGE", index, 0, -1),
            )
            await self._trim(principal, [entry.decode("ascii", "replace") for entry in entries])
        except ApprovalsUnusable:
            return await self._here.keep(principal, text)
        return URI + name

    async def read(self, principal: str, uri: str) -> str | None:
        """Return a kept answer; None if it is gone, never was, or belongs to another principal."""
        if (found := await self._here.read(principal, uri)) is not None:
            return found
        name = uri.removeprefix(URI)
        if not uri.startswith(URI) or not _ID.fullmatch(name):
            return None
        try:
            [sealed] = await self._link.run(("GET", _key(principal, name)))
        except ApprovalsUnusable:
            return None
        return None if sealed is None else await to_thread.run_sync(self._opened, principal, sealed)

    async def _trim(self, principal: str, entries: list[str]) -> None:
        """Let the oldest answers go that are beyond the share of a principal."""
        total, gone = 0, list[str]()
        for number, entry in enumerate(reversed(entries)):
            size = entry.rpartition("|")[2]
            total += int(size) if size.isdecimal() else 0
            if number >= self._limit_count or total > self._limit_bytes:
                gone.append(entry)
        if gone:
            keys = [_key(principal, entry.partition("|")[0]) for entry in gone]
            commands: tuple[Command, ...] = (("DEL", *keys), ("ZREM", _index(principal), *gone))
            await self._link.run(*commands)

    def _sealed(self, principal: str, text: str) -> str:
        packed = base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 1)).decode("ascii")
        return self._sealer.seal(KIND, {"principal": principal, "packed": packed}, self._link.clock() + LIFETIME)

    def _opened(self, principal: str, sealed: bytes) -> str | None:
        try:
            payload = self._sealer.open(KIND, sealed.decode("ascii", "replace"), self._link.clock())
        except Forged:
            return None
        if payload is None or payload["principal"] != principal:
            return None
        return zlib.decompress(base64.b64decode(payload["packed"])).decode("utf-8", "surrogatepass")


def _index(principal: str) -> str:
    return f"{PREFIX}answers:{name_of(principal)}"


def _key(principal: str, name: str) -> str:
    return f"{PREFIX}answer:{name_of(principal)}:{name}"
