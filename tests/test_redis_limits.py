"""How often one calls is counted by all servers together, and by each alone while Redis is down or hangs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agent import autopilot_on
from pydantic import SecretStr
from redis_fake import FakeRedis
from simulation import simulate

from ap_mcp.errors import TooManyCalls, TooOften
from ap_mcp.guard.limits import LocalLimits, Rate
from ap_mcp.state.redis_limits import RedisLimits
from ap_mcp.state.redis_link import REST, RedisLink

pytestmark = pytest.mark.anyio


@dataclass
class Servers:
    """Two servers, their Redis, and the time that passes for all of them."""

    redis: FakeRedis
    links: list[RedisLink]
    time: float = 1_000_000.0

    def limits(self, number: int, a_second: float = 1, burst: int = 3, at_once: int = 16) -> RedisLimits:
        rate = Rate(a_second, burst, lambda: self.time)
        here = LocalLimits(at_once, patience=0.01, rate=Rate(a_second, burst, lambda: self.time))
        return RedisLimits(self.links[number], here, rate)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    redis = FakeRedis()
    async with redis.served(tmp_path) as url:
        servers = Servers(redis, [])
        servers.links += [RedisLink(url, steady=lambda: servers.time) for _ in range(2)]
        redis.clock = lambda: servers.time
        yield servers
        for link in servers.links:
            await link.close()


async def called(limits: RedisLimits, principal: str = "token:ann") -> bool:
    try:
        async with limits.admit(principal):
            return True
    except TooOften:
        return False


async def test_calls_are_counted_over_all_servers_and_for_each_principal_alone(servers: Servers) -> None:
    one, other = servers.limits(0), servers.limits(1)
    assert [await called(each) for each in (one, other, one, other, one)] == [True, True, True, False, False]
    assert await called(other, "token:bob")
    servers.time += 1
    assert [await called(each) for each in (other, one)] == [True, False]
    servers.time += 100
    assert [await called(one) for _ in range(4)] == [True, True, True, False]


async def test_a_refusal_says_when_to_call_again(servers: Servers) -> None:
    limits = servers.limits(0, burst=1)
    assert await called(limits)
    servers.time += 0.25
    with pytest.raises(TooOften, match=r"Make this call again in 0\.8 s"):
        async with limits.admit("token:ann"):
            raise AssertionError


async def test_how_many_at_once_is_a_matter_of_each_server(servers: Servers) -> None:
    one, other = servers.limits(0, at_once=1, burst=9), servers.limits(1, at_once=1, burst=9)
    async with one.admit("token:ann"), other.admit("token:ann"):
        with pytest.raises(TooManyCalls):
            async with one.admit("token:ann"):
                raise AssertionError


async def test_while_redis_is_down_each_server_counts_by_itself_and_asks_again_only_after_a_while(
    servers: Servers,
) -> None:
    one, other = servers.limits(0), servers.limits(1)
    servers.redis.broken = "LOADING Redis is loading the dataset in memory"
    assert [await called(one) for _ in range(4)] == [True, True, True, False]
    assert [await called(other) for _ in range(4)] == [True, True, True, False]
    servers.redis.broken = ""
    seen = len(servers.redis.seen)
    servers.time += REST - 1
    assert await called(one)
    assert len(servers.redis.seen) == seen
    servers.time += 1
    assert await called(one)
    assert "eval" in servers.redis.seen[seen:]


async def test_a_server_over_http_that_shares_redis_counts_there(servers: Servers, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"redis_url": SecretStr("redis://redis.example"), "approver_dir": tmp_path}
    assert isinstance(autopilot_on(simulate(), remote=True, **settings).limits, RedisLimits)
    assert isinstance(autopilot_on(simulate(), remote=True, rate=0, **settings).limits, LocalLimits)
    assert isinstance(autopilot_on(simulate(), **settings).limits, LocalLimits)
