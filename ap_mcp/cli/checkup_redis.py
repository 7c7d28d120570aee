"""What `ap-mcp doctor` finds about the Redis server that several servers share."""

import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ap_mcp.cli.checkup import Finding

if TYPE_CHECKING:
    from ap_mcp.settings import Settings

CHECK = "redis"
DOCUMENT = "docs/operating.md shows how."
LATER = "Until then no server that shares it starts, and guarded calls are refused."


async def redis(chosen: "Settings") -> AsyncIterator[Finding]:
    """Check Redis as the servers use it; what is written to try that is removed at once."""
    from ap_mcp.errors import ApMcpError
    from ap_mcp.state.shared import NO_KEY, link_to, trouble_of_keys

    if chosen.redis_url is None:
        return
    if not chosen.state_keys:
        yield Finding(CHECK, "problem", NO_KEY, "Set it to the same value on all servers; a terminal needs none.")
    for finding in _way(chosen.redis_url.get_secret_value()):
        yield finding
    try:
        link = link_to(chosen)
        try:
            key = f"ap-mcp:1:doctor:{secrets.token_hex(8)}"
            tried = (("SET", key, "1", "NX", "PX", 1000), ("GETDEL", key), ("EVAL", "return 1", 0))
            *_, server, replication, persistence, memory = await link.run(
                *tried, *(("INFO", section) for section in ("server", "replication", "persistence", "memory"))
            )
            other_keys = await trouble_of_keys(chosen, link)
        finally:
            await link.close()
    except ApMcpError as error:
        yield Finding(CHECK, "problem", error.render(), LATER)
        return
    yield Finding(CHECK, "ok", f"Redis {server.get('redis_version', '')} at {link.place} can be used")
    if other_keys:
        yield Finding(CHECK, "problem", *other_keys)
    for finding in (*_role(chosen, server, replication), *_keeping(persistence, memory), *_clock(link.clock.skew)):
        yield finding


def _way(url: str) -> Iterator[Finding]:
    """Check how Redis is reached, and as whom."""
    from ap_mcp.setting_values import is_loopback

    parts = urlsplit(url)
    if parts.scheme == "redis" and not is_loopback(parts.hostname or ""):
        found = "the password, and what people are asked, go to Redis in clear"
        yield Finding(CHECK, "warning", found, "Use rediss://, unless you trust the network between.")
    if (parts.username or "default") == "default":
        found = "its user is `default`, who usually may do everything to all keys"
        yield Finding(CHECK, "warning", found, f"Make a user of its own with ACL SETUSER; {DOCUMENT}")


def _role(chosen: "Settings", server: dict[str, Any], replication: dict[str, Any]) -> Iterator[Finding]:
    """Check what stands beside it."""
    if server.get("redis_mode", "standalone") != "standalone":
        found = f"it runs in the mode {server['redis_mode']}, which ap-mcp does not support"
        yield Finding(CHECK, "problem", found, "Use one server, with replicas if need be.")
    if not server.get("run_id") or not replication.get("master_replid"):
        found = "it does not say which process it is, so that a restart cannot be noticed"
        yield Finding(CHECK, "problem", found, "Connect to the server itself, not to a proxy.")
    wanted, following = chosen.redis_replicas, int(replication.get("connected_slaves", 0))
    if following < wanted:
        found = f"{following} replicas follow, and AP_MCP_REDIS_REPLICAS wants {wanted}: guarded calls are refused"
        yield Finding(CHECK, "problem", found, "Connect more replicas, or set it to what there are.")


def _keeping(persistence: dict[str, Any], memory: dict[str, Any]) -> Iterator[Finding]:
    """Check what it loses; nothing of that lets a consent be used twice."""
    if not int(persistence.get("aof_enabled", 0)):
        found = "what was decided, and how long the audit logs are, is forgotten when it restarts (appendonly no)"
        yield Finding(CHECK, "warning", found, "Set appendonly yes.")
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and int(memory.get("maxmemory", 0)):
        found = f"it forgets keys when its memory is full (maxmemory-policy {policy}), questions that wait among them"
        yield Finding(CHECK, "warning", found, "Set maxmemory-policy noeviction, and use it for ap-mcp alone.")


def _clock(skew: timedelta) -> Iterator[Finding]:
    """Compare its clock, which counts for consents, with this machine's."""
    from ap_mcp.state.redis_clock import NOTICED
    from ap_mcp.wording import span

    if abs(skew) > NOTICED:
        way = "ahead of" if skew > timedelta() else "behind"
        found = f"this machine's clock is {span(abs(skew))} {way} that of Redis, which counts for consents"
        yield Finding(CHECK, "warning", found, "Set both by a time server (NTP).")
