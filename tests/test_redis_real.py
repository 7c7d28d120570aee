"""On real Redis servers: what is shared, lost, put behind or killed lets no consent be used twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from approving import ALICE, MINUTE, question
from certificates import Authority
from killed_server import call_number, guard_on
from redis_server import KEPT, RedisServer, free_port, wait_for

from ap_mcp.errors import ApprovalRefused, ApprovalRequired, ApprovalsUnusable, TooOften
from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.audit import log_at
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import OPEN_LIMIT
from ap_mcp.guard.limits import LocalLimits, Rate
from ap_mcp.guard.policy import Ask
from ap_mcp.guard.requests import Request
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.redis import RedisStore
from ap_mcp.state.redis_limits import RedisLimits
from ap_mcp.state.redis_link import COMMANDS, PREFIX, RedisLink

pytestmark = [pytest.mark.redis, pytest.mark.anyio]

KILLS = 20
CALLS = 600
SUPPORT = Path(__file__).parent / "support"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@asynccontextmanager
async def store_on(url: str, **how: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(RedisLink(url, **how))
    try:
        yield store
    finally:
        await store.close()


def consent_at(store: RedisStore, number: int = 1) -> OpenConsent:
    now = store.now()
    return OpenConsent(f"consent-{number}", "d" * 64, "ivan", now, now + 15 * MINUTE)


async def opened(store: RedisStore, number: int = 1) -> OpenConsent:
    await store.time()
    made = consent_at(store, number)
    await store.open(made)
    return made


async def asked(store: RedisStore, **changes: Any) -> Question:
    await store.time()
    now = store.now()
    made = question(**{"created": now, "expires": now + 15 * MINUTE, **changes})
    await store.ask(made)
    return made


async def take(store: RedisStore, consent: OpenConsent) -> bool:
    return await store.take(consent.id, consent.digest, store.now())


# Shared


async def test_one_of_forty_gets_a_consent_and_one_of_forty_answers_stands(server: RedisServer) -> None:
    async with store_on(server.url) as one, store_on(server.url) as other:
        won: list[str] = []
        consent, waiting = await opened(one), await asked(one)

        async def race(store: RedisStore, number: int) -> None:
            won.extend(["taken"] * await take(store, consent))
            try:
                await store.decide(waiting.code, sign(ALICE, waiting, number % 2 == 0, store.now()))
                won.append("decided")
            except ApprovalRefused:
                pass

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(race, (one, other)[number % 2], number)
        assert sorted(won) == ["decided", "taken"]


async def test_what_waits_is_bounded_found_listed_withdrawn_and_ends(server: RedisServer) -> None:
    async with store_on(server.url) as one, store_on(server.url) as other:
        every = [await asked(one) for _ in range(OPEN_LIMIT)]
        with pytest.raises(ApprovalRefused, match="wait for a person already"):
            await asked(other)
        assert await other.pending(other.now()) == every
        await other.withdraw(every[3].code, "judy", other.now())
        more = await asked(one, expires=one.now() + timedelta(milliseconds=300))
        assert await take(other, every[0].consent)
        ended = await one.history(one.now())
        assert [each.question for each in ended] == [every[3]]
        await anyio.sleep(0.4)
        assert not await take(one, more.consent)
        await other.time()
        assert {each.question.code for each in await other.history(other.now())} == {every[3].code, more.code}


async def test_a_clock_that_is_wrong_here_does_not_count(server: RedisServer) -> None:
    async with store_on(server.url) as store:
        said = server.do("TIME")
        now = await store.time()
        assert abs(now.timestamp() - said[0]) < 5


async def test_how_often_one_calls_is_counted_over_all_servers(server: RedisServer) -> None:
    rate = Rate(10, 20)
    links = [RedisLink(server.url) for _ in range(2)]
    limits = [RedisLimits(link, LocalLimits(64), rate) for link in links]
    admitted: list[float] = []

    async def call(number: int) -> None:
        with suppress(TooOften):
            async with limits[number % 2].admit("token:ann"):
                admitted.append(time.monotonic())

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(call, number)
    first = len(admitted)
    span = admitted[-1] - admitted[0]
    assert 20 <= first <= 20 + 10 * span + 1
    with pytest.raises(TooOften) as caught:
        async with limits[0].admit("token:ann"), limits[1].admit("token:ann"):
            raise AssertionError("both came at once")
    assert 0 < caught.value.retry_after <= 0.2
    async with limits[0].admit("token:bob"):
        pass
    await anyio.sleep(0.35)
    for number in range(12):
        await call(number)
    assert 3 <= len(admitted) - first <= 6
    for link in links:
        await link.close()


# Lost and behind


async def test_after_a_restart_with_all_data_what_was_taken_stays_taken_and_the_rest_is_asked_again(
    server: RedisServer,
) -> None:
    async with store_on(server.url) as one, store_on(server.url) as other:
        used, open_still, waiting = await opened(one, 1), await opened(one, 2), await asked(one)
        assert await take(one, used)
        server.restart()
        assert [await take(other, each) for each in (used, open_still, waiting.consent)] == [False] * 3
        assert await other.pending(other.now()) == []
        found = await other.find(waiting.code)
        assert found
        assert found.question == waiting
        again = await opened(one, 3)
        assert await take(other, again)


async def test_after_a_restart_without_data_nothing_counts(server: RedisServer) -> None:
    async with store_on(server.url) as one, store_on(server.url) as other:
        used, open_still, waiting = await opened(one, 1), await opened(one, 2), await asked(one)
        assert await take(one, used)
        server.restart(with_data=False)
        assert [await take(other, each) for each in (used, open_still, waiting.consent)] == [False] * 3
        assert await other.find(waiting.code) is None


@pytest.mark.parametrize("options", [("--appendonly", "no"), ("--appendonly", "yes", "--appendfsync", "no")])
async def test_data_that_were_written_to_the_disk_late_let_nothing_be_used_twice(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with RedisServer(tmp_path / "redis", options) as server:
        async with store_on(server.url) as one, store_on(server.url) as other:
            consent = await opened(one)
            server.do("SAVE")
            assert await take(one, consent)
            server.restart()
            assert not await take(other, consent)


@pytest.fixture
def replica(server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "replica") as replica:
        replica.follow(server)
        yield replica


async def test_a_replica_that_was_cut_off_and_takes_over_does_not_let_a_consent_be_used_again(
    server: RedisServer, replica: RedisServer
) -> None:
    async with store_on(server.url) as one:
        consent = await opened(one)
        wait_for(lambda: replica.do("EXISTS", f"{PREFIX}open:{consent.id}") == 1)
        replica.promote()
        assert await take(one, consent)
        server.kill()
        assert replica.do("EXISTS", f"{PREFIX}open:{consent.id}") == 1
        async with store_on(replica.url) as other:
            await other.time()
            assert not await take(other, consent)


async def test_a_primary_that_comes_back_with_the_data_of_another_lets_nothing_be_used_again(
    server: RedisServer, replica: RedisServer
) -> None:
    async with store_on(server.url) as one, store_on(server.url) as other:
        consent = await opened(one)
        wait_for(lambda: replica.do("EXISTS", f"{PREFIX}open:{consent.id}") == 1)
        replica.promote()
        assert await take(one, consent)
        server.follow(replica)
        server.promote()
        assert server.do("EXISTS", f"{PREFIX}open:{consent.id}") == 1
        assert not await take(other, consent)


async def test_nothing_is_sent_unless_the_replicas_follow_where_the_operator_wants_them_to(
    server: RedisServer, replica: RedisServer
) -> None:
    async with store_on(server.url, replicas=1) as store:
        first, second = await opened(store, 1), await opened(store, 2)
        assert await take(store, first)
        replica.freeze()
        with pytest.raises(ApprovalsUnusable, match="Only 0 of the 1 replicas"):
            await take(store, second)
        replica.thaw()
        assert not await take(store, second)


async def test_a_redis_that_hangs_is_given_up_soon_and_used_again_later(server: RedisServer) -> None:
    async with store_on(server.url) as store:
        consent = await opened(store)
        server.freeze()
        start = time.monotonic()
        with pytest.raises(ApprovalsUnusable, match="no answer came within 1 s"):
            await take(store, consent)
        assert time.monotonic() - start < 5
        server.thaw()
        await store.time()
        assert not await take(store, consent), "the first try was carried out once the server went on"
        assert await take(store, await opened(store, 2))


# Who may do what


async def test_the_user_that_the_documents_show_can_do_all_that_is_needed_and_nothing_else(
    server: RedisServer,
) -> None:
    rules = ["~ap-mcp:1:*", "resetchannels", "-@all", *(f"+{name}" for name in COMMANDS)]
    server.do("ACL", "SETUSER", "ap-mcp", "on", ">a-long-password", *rules)
    url = f"redis://ap-mcp:a-long-password@127.0.0.1:{server.port}/0"
    async with store_on(url, replicas=0) as store:
        waiting = await asked(store)
        await store.decide(waiting.code, sign(ALICE, waiting, True, store.now()))
        assert await take(store, waiting.consent)
        await store.withdraw((await asked(store)).code, "ivan", store.now())
        assert len(await store.history(store.now())) == 2
        assert await take(store, await opened(store))
    link = RedisLink(url)
    for words in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("GET", "other"), ("ACL", "LIST")):
        with pytest.raises(ApprovalsUnusable, match="its user may not run"):
            await link.run(words)
    await link.close()
    async with store_on(url.replace("a-long", "another")) as store:
        with pytest.raises(ApprovalsUnusable, match="does not take the user and password"):
            await store.time()


async def test_tls_is_checked(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "ours", tmp_path / "foreign"
    for folder in (ours, foreign):
        folder.mkdir()
    authority, other = Authority(ours), Authority(foreign)
    authority.server_context("localhost")
    secure = free_port()
    tls = ("--tls-port", str(secure), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority.file))
    files = ("--tls-cert-file", str(ours / "localhost.pem"), "--tls-key-file", str(ours / "localhost.pem"))
    with RedisServer(tmp_path / "redis", (*KEPT, *tls, *files)):
        async with store_on(f"rediss://localhost:{secure}/0?ssl_ca_certs={authority.file}") as store:
            assert await take(store, await opened(store))
        wrong = {
            f"rediss://localhost:{secure}/0?ssl_ca_certs={other.file}": "TLS failed|certificate verify failed",
            f"rediss://127.0.0.1:{secure}/0?ssl_ca_certs={authority.file}": "TLS failed|certificate verify failed",
            f"rediss://localhost:{secure}/0": "TLS failed|certificate verify failed",
            f"redis://localhost:{secure}/0": "no connection",
        }
        for url, why in wrong.items():
            async with store_on(url) as store:
                with pytest.raises(ApprovalsUnusable, match=why):
                    await store.time()


# Killed


async def test_servers_that_are_killed_send_each_approved_call_once_at_most(
    server: RedisServer, tmp_path: Path
) -> None:
    async with store_on(server.url) as store:
        await approve_all(store, tmp_path)
    draw, killed = Random(7), 0  # noqa: S311 - no secret
    for number in range(KILLS):
        process = start(server, tmp_path, f"replica-{number % 2}")
        await anyio.sleep(draw.uniform(0.0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        killed += process.returncode == -signal.SIGKILL
    last = start(server, tmp_path, "replica-0")
    last.communicate(timeout=60)
    assert last.returncode == 0
    lines = (tmp_path / "sent").read_text().splitlines()
    assert killed == KILLS
    assert len(lines) == len(set(lines)) == len({line.split()[0] for line in lines})
    assert CALLS - KILLS <= len(lines) <= CALLS
    logs = [log_at(tmp_path / f"replica-{number}" / "audit.jsonl") for number in range(2)]
    decided = [call.decided["consent"] for log in logs for call in log.calls()]
    assert len(decided) == len(set(decided))
    assert {line.split()[1] for line in lines} <= set(decided)
    assert {finding.kind for log in logs for finding in log.verify()} <= {"unfinished"}


async def approve_all(store: RedisStore, folder: Path) -> None:
    """Ask about every call, and have each approved."""
    await store.time()
    guard = guard_on(store, folder / "asking" / "audit.jsonl")
    for number in range(CALLS):
        request, caller = call_number(number)

        async def read_again(_: object, request: Request = request) -> Request:
            return request

        with pytest.raises(ApprovalRequired):
            await guard.consent(Ask("destroy"), request, caller, read_again)
    for waiting in await store.pending(store.now()):
        await store.decide(waiting.code, sign(ALICE, waiting, True, store.now()))


def start(server: RedisServer, folder: Path, name: str) -> "subprocess.Popen[str]":
    """Start a server, and wait until it works."""
    command = [sys.executable, str(SUPPORT / "killed_server.py"), server.url, str(folder), name, str(CALLS)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(SUPPORT)}
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process
