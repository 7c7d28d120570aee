"""The one way to a Redis server: commands in one round trip on one connection, its time, and which server it was.

Nothing but this module imports `redis`, which is an extra; it is imported where AP_MCP_REDIS_URL is set only.
"""

import ssl
from collections.abc import Callable, Sequence
from hashlib import sha256
from time import monotonic
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as NoAnswer

from ap_mcp.errors import ApprovalsUnusable
from ap_mcp.guard.seal import moment_at
from ap_mcp.state.redis_clock import RedisClock
from ap_mcp.wording import in_quotes

Command: TypeAlias = Sequence[Any]
"""The words of a command, as they go to Redis."""

PREFIX = "ap-mcp:1:"
"""Begins every key; the number is that of the form in which things are kept."""
PATIENCE = 1.0
"""Seconds that a connection, or an answer, may take."""
REPLICATION_MS = 500
"""How long the replicas may take to have what was taken away; shorter than `PATIENCE`."""
REST = 5.0
"""Seconds for which Redis is not asked again, after it failed, for what can be done without it."""
COMMANDS = (
    *("get", "set", "getdel", "mget", "del", "pexpire"),
    *("zadd", "zrem", "zcard", "zrange", "zrangebyscore", "zrevrangebyscore", "zrevrange", "zremrangebyscore"),
    *("hset", "hgetall", "hdel", "eval", "multi", "exec", "ping", "time", "info", "wait"),
)
"""What the user of ap-mcp in Redis must be allowed to run, on keys of the prefix alone."""
GUARDED = "Guarded calls are refused until it can be; reads go on."

_SERVER: tuple[Command, ...] = (("INFO", "server"), ("INFO", "replication"))
# The phrase counts too: what comes while a connection is made loses its kind.
_OTHERS: tuple[tuple[type[RedisError], str, str], ...] = (
    (AuthenticationError, "authentication required", "it does not take the user and password of AP_MCP_REDIS_URL"),
    (NoPermissionError, "no permission", "its user may not run what ap-mcp needs; docs/operating.md has its ACL"),
    (OutOfMemoryError, "command not allowed when used memory", "its memory is full (maxmemory)"),
    (ReadOnlyError, "read only replica", "it is a replica, which cannot be written to: name the primary"),
    (MasterDownError, "masterdown", "it is a replica whose primary is away: name the primary"),
    (BusyLoadingError, "is loading the dataset", "it is still reading its data"),
    (NoAnswer, "timeout", f"no answer came within {PATIENCE:g} s"),
)
_REFUSED = {
    "noreplicas": "it takes no writes until more replicas follow (min-replicas-to-write)",
    "unknown command": "it is older than 6.2, which ap-mcp needs",
}


class RedisLink:
    """Connections to one Redis server, or to the primary of several.

    A command whose connection broke is sent once more: each one used here may be repeated, as what was taken away is
    not found again then, and nothing is lost but the consent.

    Args:
        url: redis://, rediss:// or unix://, with user and password.
        replicas: how many replicas must have what is taken away before it counts as taken.
        keeps: connections are kept for the next command; else its event loop may be another one.
        clock: takes the time that Redis says.
        steady: seconds that only ever go forward.
    """

    def __init__(
        self,
        url: str,
        *,
        replicas: int = 0,
        keeps: bool = True,
        clock: RedisClock | None = None,
        steady: Callable[[], float] = monotonic,
    ) -> None:
        self.clock = clock or RedisClock()
        self._steady = steady
        self._rests_until = float("-inf")
        self.replicas = replicas
        self._keeps = keeps
        self.place = place_of(url)
        verified: dict[str, Any] = {}
        if url.startswith("rediss:"):
            verified = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        self._client: Redis = Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 1),
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            protocol=2,
            **verified,
        )

    async def run_if_well(self, *commands: Command) -> list[Any]:
        """Return what `run` does, but ask for nothing soon after Redis failed: one that hangs holds up no call then.

        Raises:
            ApprovalsUnusable: Redis cannot be used, or could not be a moment ago.
        """
        if self._steady() < self._rests_until:
            raise ApprovalsUnusable(f"Redis at {self.place} failed less than {REST:g} s ago. {GUARDED}")
        return await self.run(*commands)

    async def run(self, *commands: Command, atomic: bool = False) -> list[Any]:
        """Send commands together on one connection, and return what each answers.

        Args:
            commands: their words.
            atomic: nothing may come between them.

        Raises:
            ApprovalsUnusable: Redis cannot be reached, or refuses one of them.
        """
        try:
            async with self._client.pipeline(transaction=atomic) as pipe:
                for words in (*commands, ("TIME",)):
                    pipe.execute_command(*words)
                *answers, (seconds, micro) = await pipe.execute()
        except (RedisError, OSError) as error:
            self._rests_until = self._steady() + REST
            raise ApprovalsUnusable(f"Redis at {self.place} cannot be used: {_reason(error)}. {GUARDED}") from error
        finally:
            if not self._keeps:
                await self.close()
        self._rests_until = float("-inf")
        self.clock.heard(moment_at(int(seconds) * 1_000_000 + int(micro)))
        return answers

    async def taken(self, key: str) -> tuple[bytes | None, str]:
        """Take a value away, for good, and return it, with the life of the server that had it.

        All of it goes over one connection: a later answer cannot be that of another server.

        Raises:
            ApprovalsUnusable: Redis cannot be used, or its replicas do not have it; the value may be gone.
        """
        waiting: tuple[Command, ...] = (("WAIT", self.replicas, REPLICATION_MS),) if self.replicas else ()
        value, server, replication, *followed = await self.run(("GETDEL", key), *_SERVER, *waiting)
        if value is not None and followed and followed[0] < self.replicas:
            raise ApprovalsUnusable(
                f"Only {followed[0]} of the {self.replicas} replicas of Redis at {self.place} that "
                "AP_MCP_REDIS_REPLICAS asks for have followed in time. Nothing was sent, and the consent is used up: "
                "call again to have a person asked anew, once the replicas follow."
            )
        return value, _life(server, replication)

    async def with_life(self, *commands: Command) -> tuple[str, list[Any]]:
        """Return what `run` does, and the life of the server that answered.

        It changes whenever a server starts, or becomes the primary: what is kept may be older then than it was before.
        """
        server, replication, *answers = await self.run(*_SERVER, *commands)
        return _life(server, replication), answers

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()


def name_of(principal: str) -> str:
    """Return what stands for a principal in a key."""
    return sha256(principal.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def place_of(url: str) -> str:
    """Return where a URL leads, without user and password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]


def _life(server: dict[str, Any], replication: dict[str, Any]) -> str:
    return f"{server.get('run_id', '')}:{replication.get('master_replid', '')}"


def _reason(error: RedisError | OSError) -> str:
    said = str(error).lower()
    for kind, phrase, reason in _OTHERS:
        if isinstance(error, kind) or phrase in said:
            return reason
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or 'no reason given'}): check its certificate, and ssl_ca_certs in the URL"
    if isinstance(error, NotConnected | OSError):
        return f"no connection ({in_quotes(str(error), 200)})"
    for phrase, reason in _REFUSED.items():
        if phrase in said:
            return reason
    # What it refused may hold what a person is asked, and names that cannot be guessed.
    refusal = str(error).rpartition(" of pipeline caused error: ")[2].strip("(',)")
    return f"it says {in_quotes(refusal, 200)}"
