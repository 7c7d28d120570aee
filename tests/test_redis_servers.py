"""Servers that share Redis and seal with keys that none of the others has do not run beside each other unnoticed."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from redis_fake import FakeRedis, real_time

from ap_mcp.errors import SettingsError
from ap_mcp.state.redis_link import RedisLink
from ap_mcp.state.redis_servers import SERVERS, SILENCE, Servers

pytestmark = pytest.mark.anyio


@dataclass
class Shared:
    """A Redis, and servers that share it."""

    redis: FakeRedis
    url: str

    @asynccontextmanager
    async def server(self, *keys: str, beat: float = 3600.0) -> AsyncIterator[Servers]:
        """Run a server with keys of these names; it is killed in the end, unless it leaves."""
        link = RedisLink(self.url)
        servers = Servers(link, keys, beat)
        try:
            await servers.join()
            yield servers
        finally:
            if servers._beating is not None:
                servers._beating.cancel()
            await link.close()

    async def starts(self, *keys: str) -> bool:
        """Say whether one more server would start; it ends at once."""
        try:
            async with self.server(*keys) as servers:
                await servers.leave()
        except SettingsError:
            return False
        return True

    @property
    def counted(self) -> int:
        return len(self.redis.data.get(SERVERS.encode(), {}))


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    redis = FakeRedis()
    async with redis.served(tmp_path) as url:
        yield Shared(redis, url)


async def true(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - a task of its own does it
            await anyio.sleep(0.005)


async def test_servers_with_one_key_run_beside_each_other_and_so_they_do_while_it_is_changed(shared: Shared) -> None:
    rounds = [("old",), ("old", "new"), ("new", "old"), ("new",)]
    for before, after in zip(rounds, [*rounds[1:], rounds[-1]], strict=True):
        async with shared.server(*before) as one:
            assert await shared.starts(*before)
            async with shared.server(*after) as other:
                assert [await each.trouble() for each in (one, other)] == ["", ""]
                await other.leave()
            await one.leave()
    assert shared.counted == 0


async def test_a_server_with_another_key_does_not_start_and_leaves_the_others_alone(shared: Shared) -> None:
    async with shared.server("one") as one, shared.server("one", "more"):
        with pytest.raises(SettingsError) as refused:
            async with shared.server("another"):
                pass
        said = refused.value.render()
        assert "AP_MCP_STATE_KEY: Redis at " in said
        assert "is shared by 2 other servers with another key" in said
        assert "Give all servers the same key" in said
        assert shared.counted == 2
        assert await one.trouble() == ""


async def test_one_that_left_makes_room_at_once_and_one_that_was_killed_after_half_a_minute(shared: Shared) -> None:
    async with shared.server("old") as leaves:
        await leaves.leave()
    assert await shared.starts("new")
    async with shared.server("old"):
        pass
    passed = SILENCE.total_seconds()
    assert not await shared.starts("new")
    shared.redis.clock = lambda: real_time() + passed
    assert await shared.starts("new")


async def test_signs_of_life_go_on_whatever_redis_loses_and_others_are_reported_once(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared.server("one", beat=0.005) as one:
        shared.redis.broken = "LOADING Redis is loading the dataset in memory"
        asked = len(shared.redis.seen)
        await true(lambda: len(shared.redis.seen) > asked + 2)
        shared.redis.restart(with_data=False)
        with caplog.at_level(logging.WARNING):
            shared.redis.broken = ""
            await true(lambda: shared.counted == 1)
            shared.redis.restart(with_data=False)
            # Neither sees the other, as Redis has lost both.
            shared.redis.do_zadd(SERVERS.encode(), b"%d" % (real_time() * 1_000_000), b"stranger another")
            await true(lambda: bool(caplog.messages))
            asked = len(shared.redis.seen)
            await true(lambda: len(shared.redis.seen) > asked + 20)
        assert [("1 other server with another key" in said) for said in caplog.messages] == [True]
        await one.leave()
