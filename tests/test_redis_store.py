"""Servers that share Redis share questions and answers, and none of them lets a consent be used twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from approving import ALICE, APPROVERS, BOUND, LATE, MINUTE, NOW, SECOND, SOON, USED, consent, question
from redis_fake import FakeRedis

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
from ap_mcp.guard.approval_requests import Asked, Assertion, Question, SignedAnswer, Withdrawal
from ap_mcp.guard.approvals import Approval, Standing, approval_in, standing, waiting_in
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import KEPT, OPEN_LIMIT
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.redis import RedisStore
from ap_mcp.state.redis_link import RedisLink
from ap_mcp.vendor import written

pytestmark = pytest.mark.anyio


@dataclass
class Shared:
    """Servers that share one Redis, whose clock the test sets."""

    redis: FakeRedis
    url: str
    made: list[RedisStore]
    time: datetime = NOW

    def store(self, **how: Any) -> RedisStore:
        """The store of one server."""
        self.made.append(RedisStore(RedisLink(self.url, **how)))
        return self.made[-1]


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    redis = FakeRedis()
    async with redis.served(tmp_path) as url:
        shared = Shared(redis, url, [])
        redis.clock = lambda: shared.time.timestamp()  # noqa: PLW0108 - of the time that is set by then
        yield shared
        for store in shared.made:
            await store.close()


@pytest.fixture
def store(shared: Shared) -> RedisStore:
    return shared.store()


async def approved(store: RedisStore, **changes: Any) -> Question:
    """Ask a question and have Alice approve it."""
    asked = question(**changes)
    await store.ask(asked)
    await store.decide(asked.code, sign(ALICE, asked, True, SOON))
    return asked


async def granted(store: RedisStore, now: datetime = USED) -> Approval | None:
    """The approval of the call, which is used by it."""
    found = approval_in(await store.about(BOUND, now), APPROVERS, now)
    return found if found and await take(store, found.question.consent, now) else None


async def take(store: RedisStore, opened: OpenConsent, now: datetime = SOON) -> bool:
    return await store.take(opened.id, opened.digest, now)


# Taking


async def test_a_consent_is_taken_once_by_whichever_server(shared: Shared) -> None:
    one, other = shared.store(), shared.store()
    assert not await take(one, consent())
    await one.open(consent())
    await one.open(consent(2))
    assert await take(other, consent())
    assert not await take(one, consent())
    assert await take(one, consent(2))


async def test_what_is_used_once_is_used_up_on_every_server_until_it_is_worthless(shared: Shared) -> None:
    one, other = shared.store(), shared.store()
    assert await one.use_once("sign-in:a", NOW, SOON)
    assert await other.use_once("sign-in:b", NOW, SOON)
    for store in (one, other, shared.store()):
        assert not await store.use_once("sign-in:a", NOW, SOON)
    shared.time = SOON
    assert await other.use_once("sign-in:a", NOW, SOON)


async def test_of_many_that_race_for_one_consent_one_gets_it(shared: Shared) -> None:
    stores = [shared.store() for _ in range(4)]
    await stores[0].open(consent())
    won: list[bool] = []

    async def race(store: RedisStore) -> None:
        won.append(await take(store, consent()))

    async with anyio.create_task_group() as group:
        for store in stores * 5:
            group.start_soon(race, store)
    assert sorted(won) == [False] * 19 + [True]


async def test_a_consent_bound_to_another_call_is_not_taken_and_gone(store: RedisStore) -> None:
    await store.open(consent())
    assert not await take(store, consent(digest="e" * 64))
    assert not await take(store, consent())


async def test_an_expired_consent_is_not_taken_by_either_clock(shared: Shared, store: RedisStore) -> None:
    await store.open(consent())
    assert not await take(store, consent(), LATE)
    await store.open(consent(2))
    shared.time = LATE
    assert not await take(store, consent(2), SOON)
    assert shared.redis.keys("*open:*") == []


async def test_a_consent_that_is_open_is_not_opened_again(store: RedisStore) -> None:
    await store.open(consent())
    with pytest.raises(ApprovalsUnusable, match="open already"):
        await store.open(consent(expires=LATE + MINUTE))
    assert await take(store, consent())


async def test_one_principal_cannot_fill_the_store_with_forms(store: RedisStore) -> None:
    for number in range(OPEN_LIMIT):
        await store.open(consent(number))
    with pytest.raises(ApprovalRefused, match=f'{OPEN_LIMIT} questions of "ivan" wait'):
        await store.open(consent(OPEN_LIMIT))
    assert not await take(store, consent(OPEN_LIMIT))
    await store.open(consent(OPEN_LIMIT, principal="judy"))
    assert await take(store, consent(0))
    await store.open(consent(OPEN_LIMIT + 1))
    await store.open(consent(OPEN_LIMIT + 2, created=LATE, expires=LATE + MINUTE))


# Lost, restarted, put back


@pytest.mark.parametrize("with_data", [True, False])
async def test_after_a_restart_nothing_that_was_open_counts_and_people_are_asked_again(
    shared: Shared, with_data: bool
) -> None:
    store = shared.store()
    await store.open(consent())
    asked = await approved(store)
    shared.redis.restart(with_data=with_data)
    for each in (store, shared.store()):
        assert await each.about(BOUND, USED) == []
        assert await each.pending(USED) == []
        assert await granted(each) is None
        found = await each.find(asked.code)
        assert (found is not None) == with_data
        assert found is None or not found.is_open
    assert not await take(store, consent())
    again = await approved(store)
    assert await granted(shared.store()) == Approval(again, "alice", SOON)


async def test_a_record_that_is_put_back_is_refused_by_the_server_that_took_it(
    shared: Shared, store: RedisStore
) -> None:
    asked = await approved(store)
    before = dict(shared.redis.data)
    assert await granted(store)
    shared.redis.data = before
    assert await granted(store) is None
    found = await store.find(asked.code)
    assert found
    assert standing(found, APPROVERS, USED).state == "spent"


async def test_a_replica_that_is_behind_has_what_was_taken_and_it_does_not_count(shared: Shared) -> None:
    store = shared.store()
    await approved(store)
    behind = dict(shared.redis.data)
    assert await granted(store)
    shared.redis.data = behind  # it takes over now, as the primary of another life
    shared.redis.restart(with_data=True)
    assert await granted(shared.store()) is None


async def test_a_consent_is_not_used_unless_as_many_replicas_follow_as_the_operator_wants(shared: Shared) -> None:
    shared.redis.replicas = 1
    store = shared.store(replicas=2)
    await store.open(consent())
    with pytest.raises(ApprovalsUnusable, match=r"Only 1 of the 2 replicas .* Nothing was sent"):
        await take(store, consent())
    shared.redis.replicas = 2
    assert not await take(store, consent())
    await store.open(consent(2))
    assert await take(store, consent(2))


async def test_an_answer_that_was_lost_on_the_way_loses_the_consent_and_nothing_else(
    shared: Shared, store: RedisStore
) -> None:
    await store.open(consent())
    shared.redis.cut_after = "getdel"
    assert not await take(store, consent())
    shared.redis.cut_after = "exec"
    await store.open(consent(2))
    assert await take(store, consent(2))
    shared.redis.cut_after = "exec"
    asked = question()
    await store.ask(asked)
    assert await store.pending(SOON) == [asked]
    shared.redis.cut_after = "exec"
    await store.decide(asked.code, sign(ALICE, asked, True, SOON))
    assert await granted(store)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"digest":7}', b"\xff", b'{"digest":"d","principal":"ivan"}'])
async def test_a_record_that_somebody_else_wrote_opens_nothing(shared: Shared, text: bytes) -> None:
    store = shared.store()
    await store.open(consent())
    asked = await approved(store)
    for key in shared.redis.keys("*open:*"):
        shared.redis.data[key.encode()] = text
    assert not await take(store, consent())
    found = await store.find(asked.code)
    assert found
    assert not found.is_open


# Questions


async def test_a_question_comes_back_as_it_was_asked_on_every_server(shared: Shared) -> None:
    asked = question(arguments='{"values":"é\\u200b"}', impact_text="Löscht\nalles. \U0001f4a5", other_approver=True)
    await shared.store().ask(asked)
    other = shared.store()
    assert await other.find(asked.code.lower().replace("-", " ")) == Asked(asked)
    assert await other.pending(SOON) == [asked]
    assert await other.about(BOUND, SOON) == [Asked(asked)]
    assert waiting_in(await other.about(BOUND, SOON)) == asked


@pytest.mark.parametrize("code", ["ABCD-2345", "nonsense", "*", ""])
async def test_what_nobody_asked_is_not_found_decided_or_withdrawn(code: str, store: RedisStore) -> None:
    assert await store.find(code) is None
    with pytest.raises(ApprovalRefused, match="There is no question"):
        await store.decide(code, sign(ALICE, question(), True, SOON))
    with pytest.raises(ApprovalRefused, match="There is no question"):
        await store.withdraw(code, "ivan", SOON)


async def test_waiting_questions_are_listed_oldest_first_as_long_as_they_wait(store: RedisStore) -> None:
    asked = [question(created=NOW + minutes * MINUTE, expires=LATE + MINUTE) for minutes in (2, 0, 1)]
    for each in asked:
        await store.ask(each)
    assert await store.pending(NOW + 3 * MINUTE) == [asked[1], asked[2], asked[0]]
    assert await store.pending(NOW) == [asked[1]]
    assert await store.pending(LATE + MINUTE) == []


async def test_what_waits_is_counted_as_it_is_listed(store: RedisStore) -> None:
    asked = [question(code=f"ABCD-234{at}", expires=LATE + at * MINUTE) for at in range(4, 8)]
    for each in asked:
        await store.ask(each)
    await store.decide(asked[0].code, sign(ALICE, asked[0], True, SOON))
    await store.withdraw(asked[1].code, "ivan", SOON)
    for now, count in ((SOON, 2), (LATE + 6 * MINUTE, 1), (LATE + 7 * MINUTE, 0)):
        assert await store.waiting(now) == len(await store.pending(now)) == count


async def test_what_is_about_a_call_comes_the_last_answered_first(store: RedisStore) -> None:
    first, second, third = (question(created=NOW + seconds * SECOND) for seconds in range(3))
    for each in (first, second, third):
        await store.ask(each)
    await store.ask(question(tool="get_cluster"))
    await store.decide(first.code, sign(ALICE, first, True, SOON + SECOND))
    await store.decide(second.code, sign(ALICE, second, True, SOON))
    found = [asked.question for asked in await store.about(BOUND, USED)]
    assert found == [first, second, third]


async def test_an_agent_cannot_bury_a_person_in_questions(store: RedisStore) -> None:
    asked = [question() for _ in range(OPEN_LIMIT)]
    for each in asked:
        await store.ask(each)
    more = question()
    with pytest.raises(ApprovalRefused, match=f'{OPEN_LIMIT} questions of "ivan" wait'):
        await store.ask(more)
    assert await store.find(more.code) is None
    assert len(await store.pending(SOON)) == OPEN_LIMIT
    await store.ask(question(principal="judy"))
    await store.ask(question(simulated=True))
    await store.decide(asked[0].code, sign(ALICE, asked[0], True, SOON))
    await store.ask(question())
    await store.withdraw(asked[1].code, "ivan", SOON)
    await store.ask(question())
    with pytest.raises(ApprovalRefused):
        await store.ask(question())


async def test_a_code_that_is_taken_is_not_asked_again(store: RedisStore) -> None:
    asked = await approved(store)
    with pytest.raises(ApprovalsUnusable, match="names another question"):
        await store.ask(replace(asked, impact_text="Nothing much."))
    found = await store.find(asked.code)
    assert found
    assert found.question == asked


async def test_an_approval_lets_one_call_through_and_is_kept_for_people_to_see(shared: Shared) -> None:
    asked = await approved(shared.store())
    one, other = shared.store(), shared.store()
    assert await granted(other) == Approval(asked, "alice", SOON)
    assert await granted(one) is None
    [found] = await one.history(USED)
    assert standing(found, APPROVERS, USED).state == "spent"


async def test_a_principal_cannot_fill_redis_with_questions(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("redis", "refusals"):
        monkeypatch.setattr(f"ap_mcp.state.{module}.DAY_LIMIT", 3)
    store, other = shared.store(), shared.store()
    for _ in range(3):
        await approved(store)
    for _ in range(2):
        with pytest.raises(ApprovalRefused, match='3 questions of "ivan" were asked within a day'):
            await other.ask(question())
    assert len(await store.about(BOUND, SOON)) == 3
    await other.ask(question(principal="judy"))
    await other.ask(question(simulated=True))
    shared.time = later = NOW + KEPT
    await store.time()
    await store.ask(question(created=later, expires=later + MINUTE))


async def test_that_an_end_is_to_be_announced_is_taken_away_by_one_of_all_servers(shared: Shared) -> None:
    stores, asked = [shared.store() for _ in range(4)], question()
    await stores[0].ask(asked)
    assert not await stores[1].settle(asked.code, "chat")
    await stores[0].announce(asked.code, "chat")
    assert await stores[1].announced("chat") == [asked.code]
    assert await stores[1].announced("elsewhere") == []
    assert not await stores[1].settle(asked.code, "elsewhere")
    settled: list[bool] = []

    async def settle(store: RedisStore) -> None:
        settled.append(await store.settle(asked.code, "chat"))

    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(settle, store)
    assert sorted(settled) == [False, False, False, True]
    assert await stores[1].announced("chat") == []
    await stores[0].announce("OLD2-OLD2", "chat")
    shared.time = NOW + 3 * KEPT
    await stores[0].time()
    await stores[0].announce(asked.code, "chat")
    assert await stores[1].announced("chat") == [asked.code]


async def test_the_first_answer_stands_whoever_answers_at_once(shared: Shared) -> None:
    asked = question()
    stores = [shared.store() for _ in range(8)]
    await stores[0].ask(asked)
    taken: list[SignedAnswer] = []

    async def answer(store: RedisStore, number: int) -> None:
        given = sign(ALICE, asked, number % 2 == 0, SOON + number * SECOND)
        with suppress(ApprovalRefused):
            await store.decide(asked.code, given)
            taken.append(given)

    async with anyio.create_task_group() as group:
        for number, store in enumerate(stores):
            group.start_soon(answer, store, number)
    found = await stores[0].find(asked.code)
    assert found
    assert [found.decision] == taken


async def test_the_signature_of_a_passkey_comes_back_whole(store: RedisStore) -> None:
    asked = question()
    await store.ask(asked)
    answer = SignedAnswer("alice", True, SOON, b"\0\xff", Assertion(b'{"type":"webauthn.get"}', b"\x01\x02"))
    await store.decide(asked.code, answer)
    assert await store.find(asked.code) == Asked(asked, answer)


async def test_what_has_expired_is_not_decided(store: RedisStore) -> None:
    asked = question(expires=SOON)
    await store.ask(asked)
    with pytest.raises(ApprovalRefused, match="has expired"):
        await store.decide(asked.code, replace(sign(ALICE, asked, True, SOON - SECOND), at=SOON))


@pytest.mark.parametrize("answered", [False, True])
async def test_what_is_withdrawn_waits_no_more_and_its_approval_is_void(answered: bool, shared: Shared) -> None:
    store = shared.store()
    asked = await approved(store) if answered else question()
    if not answered:
        await store.ask(asked)
    before = dict(shared.redis.data)
    await store.withdraw(asked.code.lower(), "ivan", SOON)
    for each in (store, shared.store()):
        assert await each.pending(SOON) == []
        assert await granted(each) is None
        found = await each.find(asked.code)
        assert found
        assert found.withdrawal == Withdrawal("ivan", SOON)
        assert standing(found, APPROVERS, USED) == Standing("withdrawn", "ivan", f"at {written(SOON)}")
    with pytest.raises(ApprovalRefused, match="was withdrawn"):
        await store.decide(asked.code, sign(ALICE, asked, True, USED))
    with pytest.raises(ApprovalRefused, match="is withdrawn already"):
        await store.withdraw(asked.code, "ivan", USED)
    shared.redis.data = before
    assert await granted(store) is None


async def test_a_no_is_not_withdrawn(store: RedisStore) -> None:
    asked = question()
    await store.ask(asked)
    await store.decide(asked.code, sign(ALICE, asked, False, SOON))
    with pytest.raises(ApprovalRefused, match="it was declined"):
        await store.withdraw(asked.code, "ivan", SOON)


async def test_the_history_has_what_came_to_an_end_the_last_of_it_first_for_a_day(shared: Shared) -> None:
    store = shared.store()
    expired = question(expires=NOW + SECOND)
    await store.ask(expired)
    gone, waiting = question(), question()
    for each in (gone, waiting):
        await store.ask(each)
    yes = await approved(store)
    await store.withdraw(gone.code, "ivan", USED)
    assert [each.question for each in await store.history(USED)] == [gone, yes, expired]
    assert [each.question for each in await store.history(NOW + SECOND)] == [expired]
    shared.time = NOW + SECOND + KEPT
    await store.ask(question(created=shared.time, expires=shared.time + MINUTE))
    codes = [each.question.code for each in await store.history(shared.time)]
    assert expired.code not in codes
    assert await store.find(expired.code) is None
    shared.time = LATE + 2 * KEPT
    assert shared.redis.do_get(b"ap-mcp:1:q:x") is None
    shared.redis.do([b"PING"])
    assert shared.redis.keys("*:[qaw]:*") == []


@pytest.mark.parametrize("kind", ["q", "a"])
@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"at":1e99}', b"\xff", b'{"approver":1,"approved":2,"at":3}', b"[" * 100_000]
)
async def test_what_somebody_else_wrote_is_passed_over(shared: Shared, kind: str, text: bytes) -> None:
    store = shared.store()
    asked = await approved(store)
    shared.redis.data[f"ap-mcp:1:{kind}:{asked.code}".encode()] = text
    assert await store.find(asked.code) is None
    assert await granted(store) is None


async def test_a_question_that_was_edited_in_the_store_has_no_open_consent(shared: Shared) -> None:
    store = shared.store()
    asked = await approved(store)
    key = f"ap-mcp:1:q:{asked.code}".encode()
    shared.redis.data[key] = shared.redis.data[key].replace(b"for good", b"a little")
    found = await store.find(asked.code)
    assert found
    assert not found.is_open
    assert await granted(store) is None


# Redis itself


async def test_whatever_is_wrong_with_redis_nothing_counts_and_the_place_is_named_without_the_password(
    shared: Shared,
) -> None:
    store = shared.store()
    await store.open(consent())
    for said, why in (
        ("NOAUTH Authentication required.", "user and password"),
        ("NOPERM this user has no permissions to run the 'getdel' command", "docs/operating.md"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "memory is full"),
        ("READONLY You can't write against a read only replica.", "name the primary"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "primary is away"),
        ("NOREPLICAS Not enough good replicas to write.", "until more replicas follow"),
        ("LOADING Redis is loading the dataset in memory", "still reading its data"),
        ("ERR unknown command 'GETDEL', with args beginning with: 'x'", r"older than 6\.2"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "No space left"),
    ):
        shared.redis.broken = said
        with pytest.raises(ApprovalsUnusable, match=f"Redis at .*{why}.*Guarded calls are refused"):
            await take(store, consent())
    shared.redis.broken = ""
    assert await take(store, consent())


async def test_what_redis_refuses_is_not_repeated(shared: Shared) -> None:
    store = shared.store()
    shared.redis.takes_nothing = "MISCONF Errors writing to the AOF file: No space left on device"
    with pytest.raises(ApprovalsUnusable) as refused:
        await store.ask(question())
    assert 'it says "MISCONF Errors writing to the AOF file: No space left on device"' in str(refused.value)
    with pytest.raises(ApprovalsUnusable) as refused:
        await store.use_once("S3CRET", NOW, LATE)
    assert "S3CRET" not in refused.value.render()


async def test_an_unreachable_redis_is_reported_at_once(tmp_path: Path) -> None:
    store = RedisStore(RedisLink(f"unix://{tmp_path}/none.sock"))
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: store.open(consent()),
        lambda: take(store, consent()),
        lambda: store.ask(question()),
        lambda: store.find("ABCD-2345"),
        lambda: store.pending(NOW),
        lambda: store.waiting(NOW),
        lambda: store.about(BOUND, NOW),
        lambda: store.history(NOW),
        store.time,
    ]
    with anyio.fail_after(1):
        for use in uses:
            with pytest.raises(ApprovalsUnusable, match=r"none\.sock cannot be used: no connection"):
                await use()
    await store.close()


async def test_the_place_in_a_message_holds_no_password() -> None:
    store = RedisStore(RedisLink("redis://ap-mcp:hunter2@127.0.0.1:1/0"))
    with pytest.raises(ApprovalsUnusable, match=r"Redis at 127\.0\.0\.1:1 cannot") as caught:
        await store.time()
    assert "hunter2" not in caught.value.render()


async def test_a_redis_that_comes_back_is_used_again(shared: Shared, tmp_path: Path) -> None:
    store = shared.store()
    await store.open(consent())
    shared.redis.broken = "LOADING Redis is loading the dataset in memory"
    with pytest.raises(ApprovalsUnusable):
        await store.time()
    shared.redis.broken = ""
    assert await take(store, consent())


async def test_the_clock_of_redis_counts_for_all_who_share_it(shared: Shared) -> None:
    shared.time = NOW + timedelta(days=400)
    store = shared.store()
    assert await store.time() >= shared.time
    assert store.now() - shared.time < 5 * SECOND


async def test_a_store_whose_calls_have_event_loops_of_their_own_keeps_no_connection(shared: Shared) -> None:
    store = shared.store(keeps=False)
    await store.open(consent())

    def elsewhere() -> bool:
        return anyio.run(take, store, consent())

    assert await anyio.to_thread.run_sync(elsewhere)
