"""What servers keep between calls, where the operator wants it: in Redis, or on this machine alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from ap_mcp.errors import SettingsError
from ap_mcp.guard.limits import Rate
from ap_mcp.guard.stores import ApprovalStore, Limits, ResponseStore

if TYPE_CHECKING:
    from ap_mcp.state.redis_link import RedisLink

NO_PACKAGE = (
    "AP_MCP_REDIS_URL: the Python package redis is missing. Install it with: pip install 'ap-mcp[redis]', or leave the "
    "setting out."
)
NO_KEY = (
    "AP_MCP_REDIS_URL is set without AP_MCP_STATE_KEY: servers that share Redis need the same key, or none takes the "
    "answers to another's questions. `openssl rand -hex 32` makes one."
)


class HasState(Protocol):
    """The part of the settings that says where things are kept."""

    @property
    def approvals_db(self) -> Path:
        """The file of this machine's store."""

    @property
    def redis_url(self) -> SecretStr | None:
        """The Redis server that several servers share; None: each machine has its own store."""

    @property
    def redis_replicas(self) -> int:
        """How many replicas must have what is taken away."""


class HasSharedState(HasState, Protocol):
    """What a server needs beside it, so that the answers to its questions count on the others."""

    @property
    def state_keys(self) -> tuple[SecretStr, ...]:
        """The keys that the servers share."""


def store_from(settings: HasState, *, keeps: bool = True) -> ApprovalStore:
    """Return the store of open consents, questions and answers that the operator chose; nothing is opened yet.

    Args:
        settings: what the operator chose.
        keeps: connections are kept between two calls, which are of one event loop.

    Raises:
        SettingsError: it is in Redis, and the package for that is missing.
    """
    if settings.redis_url is not None:
        link = link_to(settings, keeps=keeps)
        from ap_mcp.state.redis import RedisStore  # noqa: PLC0415 - likewise

        return RedisStore(link)
    from ap_mcp.state.local import LocalStore  # noqa: PLC0415 - only guarded calls need a database

    return LocalStore(settings.approvals_db)


def link_to(settings: HasState, *, keeps: bool = True) -> "RedisLink":
    """Return a link to the Redis server of the settings, which connects when it is first used.

    Raises:
        SettingsError: the package for it is missing.
    """
    try:
        from ap_mcp.state.redis_link import RedisLink  # noqa: PLC0415 - an extra, which few servers need
    except ImportError as error:
        raise SettingsError(NO_PACKAGE) from error
    if settings.redis_url is None:
        raise ValueError("there is no Redis in these settings")
    return RedisLink(settings.redis_url.get_secret_value(), replicas=settings.redis_replicas, keeps=keeps)


async def trouble_of_keys(settings: HasSharedState, link: "RedisLink") -> tuple[str, str] | None:
    """Return what keeps a server with these settings from starting beside those that run, and what to do; or None.

    Raises:
        ApprovalsUnusable: Redis cannot be used.
    """
    from ap_mcp.guard.seal import sealer_from  # noqa: PLC0415 - few servers share anything
    from ap_mcp.state.redis_servers import SAME_KEY, Servers  # noqa: PLC0415 - likewise

    found = await Servers(link, sealer_from(settings).names).trouble() if settings.state_keys else ""
    return (found, SAME_KEY) if found else None


class SharedState:
    """What a server shares with others in Redis.

    Args:
        settings: what the operator chose.

    Raises:
        SettingsError: the package for it is missing.
    """

    def __init__(self, settings: HasSharedState) -> None:
        self._has_key = bool(settings.state_keys)
        self._link = link_to(settings)
        from ap_mcp.guard.seal import sealer_from  # noqa: PLC0415 - few servers share anything
        from ap_mcp.state.redis import RedisStore  # noqa: PLC0415 - likewise
        from ap_mcp.state.redis_heads import AuditHeads  # noqa: PLC0415 - likewise
        from ap_mcp.state.redis_responses import RedisResponses  # noqa: PLC0415 - likewise
        from ap_mcp.state.redis_servers import Servers  # noqa: PLC0415 - likewise

        sealer = sealer_from(settings)
        self.store: ApprovalStore = RedisStore(self._link)
        self.heads = AuditHeads(self._link)
        self.kept: ResponseStore = RedisResponses(self._link, sealer)
        self.servers = Servers(self._link, sealer.names)

    def limits(self, here: Limits, rate: Rate) -> Limits:
        """Return limits that count over all servers how often a principal calls.

        Args:
            here: what holds on this server alone.
            rate: how often one may call.
        """
        from ap_mcp.state.redis_limits import RedisLimits  # noqa: PLC0415 - few servers share anything

        return RedisLimits(self._link, here, rate)

    async def join(self) -> None:
        """Count as one of the servers, before anything is served; it must be able to work together with the others.

        Raises:
            SettingsError: the key that they share is missing, or another one.
            ApprovalsUnusable: Redis cannot be used.
        """
        if not self._has_key:
            raise SettingsError(NO_KEY)
        await self.servers.join()

    async def check(self) -> None:
        """Check that Redis answers, and takes what is written.

        Raises:
            ApprovalsUnusable: it does not.
        """
        await self.servers.check()

    async def close(self) -> None:
        """Count as one of them no more, and end all connections."""
        await self.servers.leave()
        await self._link.close()
