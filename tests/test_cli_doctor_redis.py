"""The doctor looks at the Redis that servers share, says what is wrong with it, and leaves nothing in it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis_fake import FakeRedis, real_time

from ap_mcp.cli.checkup import Finding
from ap_mcp.cli.checkup_redis import redis as examined
from ap_mcp.guard.seal import Sealer
from ap_mcp.settings import Settings
from ap_mcp.state.redis_servers import SERVERS

pytestmark = pytest.mark.anyio

KEY = "a key that all servers of a test share"


@pytest.fixture
def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def url(fake: FakeRedis, tmp_path: Path) -> AsyncIterator[str]:
    async with fake.served(tmp_path) as url:
        yield url


async def found_at(url: str | None, key: str | None = KEY, **more: Any) -> list[Finding]:
    chosen = Settings(redis_url=SecretStr(url) if url else None, state_key=SecretStr(key) if key else None, **more)
    return [finding async for finding in examined(chosen)]


def said(findings: list[Finding], state: str) -> str:
    return "\n".join(f"{each.found} {each.advice}" for each in findings if each.state == state)


async def test_without_redis_there_is_nothing_to_say() -> None:
    assert await found_at(None) == []


async def test_a_redis_that_can_be_used_is_said_to_be_and_nothing_stays_in_it(url: str, fake: FakeRedis) -> None:
    findings = await found_at(url)
    assert said(findings, "problem") == ""
    assert said(findings, "ok").startswith("Redis 7.0.15 at ")
    assert "ACL SETUSER" in said(findings, "warning")
    assert fake.keys() == []


@pytest.mark.parametrize(("key", "why"), [(KEY, ""), ("another key than that of this server", "with another key")])
async def test_a_server_that_runs_with_another_state_key_is_reported(
    key: str, why: str, url: str, fake: FakeRedis
) -> None:
    [name] = Sealer(key.encode()).names
    fake.do_zadd(SERVERS.encode(), b"%d" % (real_time() * 1_000_000), f"a {name}".encode())
    found = said(await found_at(url), "problem")
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("says", "state", "why"),
    [
        ({"redis_mode": "cluster"}, "problem", "mode cluster, which ap-mcp does not support"),
        ({"run_id": ""}, "problem", "not to a proxy"),
        ({"master_replid": ""}, "problem", "not to a proxy"),
        ({"aof_enabled": 0}, "warning", "Set appendonly yes"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 1}, "warning", "Set maxmemory-policy noeviction"),
    ],
)
async def test_what_does_not_suit_is_reported_with_what_to_do(
    url: str, fake: FakeRedis, says: dict[str, Any], state: str, why: str
) -> None:
    assert why not in said(await found_at(url), state)
    fake.says = says
    assert why in said(await found_at(url), state)


async def test_too_few_replicas_are_a_problem(url: str, fake: FakeRedis) -> None:
    assert "0 replicas follow, and AP_MCP_REDIS_REPLICAS wants 1" in said(
        await found_at(url, redis_replicas=1), "problem"
    )
    fake.replicas = 1
    assert said(await found_at(url, redis_replicas=1), "problem") == ""


async def test_clocks_that_are_apart_are_reported(url: str, fake: FakeRedis) -> None:
    fake.clock = lambda: real_time() + 90
    assert "behind that of Redis" in said(await found_at(url), "warning")
    fake.clock = lambda: real_time() - 90
    assert "ahead of that of Redis" in said(await found_at(url), "warning")


async def test_a_redis_that_cannot_be_used_is_a_problem_and_so_is_a_missing_key(url: str, fake: FakeRedis) -> None:
    fake.broken = "NOPERM this user has no permissions to run the 'getdel' command"
    findings = await found_at(url, None)
    assert "without AP_MCP_STATE_KEY" in said(findings, "problem")
    assert "its user may not run what ap-mcp needs" in said(findings, "problem")
    assert said(findings, "ok") == ""


async def test_a_password_that_goes_over_a_network_in_clear_is_warned_of() -> None:
    findings = await found_at("redis://ap-mcp:hunter2@redis.invalid:1/0")
    assert "in clear" in said(findings, "warning")
    assert "ACL SETUSER" not in said(findings, "warning")
    assert "hunter2" not in repr(findings)
    assert "in clear" not in said(await found_at("redis://127.0.0.1:1/0"), "warning")
