"""Any server that shares Redis gives out what another kept, to the same principal; Redis itself reads nothing."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis_fake import FakeRedis, real_time

from ap_mcp.guard.seal import Sealer
from ap_mcp.response_store import PREFIX
from ap_mcp.state.redis_link import REST, RedisLink
from ap_mcp.state.redis_responses import LIFETIME, RedisResponses

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
TEXT = '{"items":["é\u4e2d","' + "x" * 5000 + '"]}'


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def links(redis: FakeRedis, tmp_path: Path) -> AsyncIterator[list[RedisLink]]:
    async with redis.served(tmp_path) as url:
        links = [RedisLink(url) for _ in range(2)]
        yield links
        for link in links:
            await link.close()


@pytest.fixture
def one(links: list[RedisLink]) -> RedisResponses:
    return RedisResponses(links[0], Sealer(KEY))


@pytest.fixture
def other(links: list[RedisLink]) -> RedisResponses:
    return RedisResponses(links[1], Sealer(KEY))


async def test_what_one_server_keeps_another_gives_to_the_same_principal(
    one: RedisResponses, other: RedisResponses
) -> None:
    uri = await one.keep("token:ann", TEXT)
    assert uri
    assert await other.read("token:ann", uri) == TEXT
    assert await other.read("token:bob", uri) is None
    assert await one.read("token:ann", uri) == TEXT


@pytest.mark.parametrize("uri", ["", PREFIX, f"{PREFIX}{'x' * 24}", f"{PREFIX}../answers:x", "https://example.com"])
async def test_what_was_never_kept_is_not_found(one: RedisResponses, uri: str) -> None:
    assert await one.read("token:ann", uri) is None


async def test_nothing_of_an_answer_can_be_read_in_redis(one: RedisResponses, redis: FakeRedis) -> None:
    await one.keep("token:ann", '{"name":"shop-prod"}')
    assert redis.keys()
    assert "shop-prod" not in repr(redis.data)
    assert "ann" not in repr(redis.data).replace("answer", "")


async def test_an_answer_that_is_moved_to_another_principal_or_changed_is_not_given_out(
    one: RedisResponses, redis: FakeRedis, links: list[RedisLink]
) -> None:
    mine, theirs = await one.keep("token:ann", TEXT), await one.keep("token:bob", "{}")
    assert mine
    assert theirs
    keys = {uri: next(iter(redis.keys(f"*{uri.removeprefix(PREFIX)}"))).encode() for uri in (mine, theirs)}
    redis.data[keys[theirs]] = redis.data[keys[mine]]
    assert await one.read("token:bob", theirs) is None
    redis.data[keys[mine]] += b"x"
    assert await one.read("token:ann", mine) is None
    again = await one.keep("token:ann", TEXT)
    assert again
    assert await RedisResponses(links[1], Sealer(b"o" * 32)).read("token:ann", again) is None


async def test_an_answer_is_kept_for_an_hour(one: RedisResponses, redis: FakeRedis) -> None:
    uri = await one.keep("token:ann", TEXT)
    assert uri
    redis.clock = lambda: real_time() + LIFETIME.total_seconds() - 60
    assert await one.read("token:ann", uri) == TEXT
    redis.clock = lambda: real_time() + (LIFETIME + timedelta(seconds=1)).total_seconds()
    assert await one.read("token:ann", uri) is None


async def test_the_oldest_answers_of_a_principal_go_first_and_only_theirs(
    links: list[RedisLink], redis: FakeRedis
) -> None:
    store = RedisResponses(links[0], Sealer(KEY), limit_count=3)
    theirs = await store.keep("token:bob", TEXT)
    uris = [await store.keep("token:ann", f'"{number}"') for number in range(8)]
    found = [await store.read("token:ann", uri or "") for uri in uris]
    assert found == [None] * 5 + ['"5"', '"6"', '"7"']
    assert await store.read("token:bob", theirs or "") == TEXT
    assert len(redis.keys("*:answer:*")) == 4


async def test_the_answers_of_a_principal_have_so_many_bytes_together(links: list[RedisLink]) -> None:
    store = RedisResponses(links[0], Sealer(KEY), limit_bytes=1000)
    noise = [bytes(range(number, number + 200)).hex() for number in range(3)]
    uris = [await store.keep("token:ann", each) for each in noise]
    found = [await store.read("token:ann", uri or "") for uri in uris]
    assert found == [None, None, noise[2]]
    assert await store.keep("token:ann", "".join(noise) * 9 + repr([hash(str(n)) for n in range(99)])) is None


async def test_a_redis_that_failed_is_not_asked_for_a_while_to_keep_an_answer(redis: FakeRedis, tmp_path: Path) -> None:
    moment = 0.0
    async with redis.served(tmp_path) as url:
        link = RedisLink(url, steady=lambda: moment)
        store = RedisResponses(link, Sealer(KEY))

        async def asked() -> int:
            before = redis.seen.count("set")
            uri = await store.keep("token:ann", TEXT)
            assert await store.read("token:ann", uri or "") == TEXT
            return redis.seen.count("set") - before

        redis.takes_nothing = "OOM command not allowed when used memory > 'maxmemory'."
        assert [await asked() > 0 for _ in range(3)] == [True, False, False]
        moment = REST
        assert [await asked() > 0 for _ in range(2)] == [True, False]
        redis.takes_nothing = ""
        await link.run(("PING",))
        assert [await asked() > 0 for _ in range(2)] == [True, True]
        await link.close()


async def test_while_redis_is_down_a_server_keeps_answers_itself(
    one: RedisResponses, other: RedisResponses, redis: FakeRedis
) -> None:
    before = await one.keep("token:ann", TEXT)
    redis.broken = "LOADING Redis is loading the dataset in memory"
    uri = await one.keep("token:ann", TEXT)
    assert uri
    assert await one.read("token:ann", before or "") is None
    assert await one.read("token:ann", uri) == TEXT
    assert await other.read("token:ann", uri) is None
    redis.broken = ""
    assert await one.read("token:ann", uri) == TEXT
    assert await one.read("token:ann", before or "") == TEXT
