"""Posting never holds up anybody, is tried twice where that does no harm, and follows a question to its end."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from approving import ALICE, APPROVERS, MALLORY, NOW, SECOND, question
from certificates import Authority
from receiving import Receiver, answer, receiver

from ap_mcp.cloud.lines import Lines, outward_lines
from ap_mcp.errors import ApprovalsUnusable
from ap_mcp.guard.approval_requests import Asked, Question
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME
from ap_mcp.settings import Settings
from ap_mcp.state.local import LocalStore
from ap_mcp.webhook_addresses import Address, Form
from ap_mcp.webhooks.following import Webhooks
from ap_mcp.webhooks.notice import notice, trial
from ap_mcp.webhooks.posting import MOST_OF_ONE, MOST_WAITING, Posting

pytestmark = pytest.mark.anyio

LINK = "https://ap.example/approvals/"
ASKED = notice("asked", question(), NOW)


def lines(ca_file: Path | None = None) -> Lines:
    return outward_lines(Settings(ca_file=ca_file))


async def at_once(_: float) -> None:
    await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def posting(*addresses: Address, ca_file: Path | None = None, **more: Any) -> AsyncIterator[Posting]:
    made = Posting(addresses, partial(lines, ca_file), **{"pause": at_once, **more})
    yield made
    await made.close()


# One post


async def test_a_notice_is_posted_to_every_receiver() -> None:
    async with (
        receiver() as one,
        receiver() as other,
        posting(Address("generic", one.url()), Address("slack", other.url("/services/T"))) as made,
    ):
        made.put(ASKED)
        await one.has(1)
        await other.has(1)
    assert one.posted[0]["data"]["title"] == other.posted[0]["text"] == ASKED.title
    assert other.heads[0].startswith("POST /services/T HTTP/1.1")
    assert [each.counts for each in made.receivers] == [{"posted": 1, "failed": 0, "dropped": 0}] * 2


async def test_putting_a_notice_takes_no_time_whatever_its_receiver_does() -> None:
    async with receiver(None, None) as hangs, posting(Address("slack", hangs.url()), time_out=0.2) as made:
        began = time.perf_counter()
        made.put(ASKED)
        assert time.perf_counter() - began < 0.1
        await hangs.has(1)


async def test_a_receiver_that_hangs_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with receiver(None, None, None) as hangs, receiver() as works:
        async with posting(Address("slack", hangs.url()), Address("slack", works.url()), time_out=0.3) as made:
            made.put(ASKED)
            await works.has(1)
            assert made.receivers[0].counts["failed"] == 0
            await hangs.has(1)
        assert "no answer within 0.3 s" in caplog.text
        assert len(hangs.posted) == 1  # it may have taken it, and a chat would show it twice


@pytest.mark.parametrize(
    ("form", "answers", "tries", "why"),
    [
        ("slack", [answer("", "429 Too Many Requests")], 2, ""),
        ("slack", [answer("", "503 Unavailable")], 1, "HTTP 503"),
        ("slack", [answer("no_service", "404 Not Found")], 1, "HTTP 404"),
        ("slack", [answer("", "302 Found", "Location: /elsewhere")], 1, "a redirect, which is not followed"),
        ("slack", [answer("<html><title>Sign in</title>")], 1, "with a web page"),
        ("feishu", [answer('{"code":19021}')], 1, "the signature or the clock is wrong"),
        ("dingtalk", [answer('{"errcode":310000}')], 1, "wants a signature"),
        ("wecom", [answer('{"errcode":45009}')], 1, "more than 20 messages"),
        ("generic", [answer("", "500 Error")], 2, ""),
        ("generic", [answer("", "500 Error"), answer("", "500 Error")], 2, "HTTP 500"),
        ("generic", [b"no HTTP at all\r\n\r\n"], 2, ""),
        ("slack", [b""], 1, "no answer"),
    ],
)
async def test_what_was_refused_is_known_and_tried_again_only_where_it_cannot_be_shown_twice(
    form: Form, answers: list[bytes], tries: int, why: str
) -> None:
    async with receiver(None, *answers) as found, posting() as made:
        said = await made.post(Address(form, found.url()), trial(NOW))
    assert why in said
    assert bool(said) == bool(why)
    assert len(found.posted) == tries
    if tries == 2:
        names = {line for head in found.heads for line in head.splitlines() if line.lower().startswith("webhook-id")}
        assert len(names) == (1 if form == "generic" else 0)


async def test_an_answer_without_end_is_read_to_a_bound() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 5_000_000
    async with receiver(None, endless) as found, posting() as made:
        assert await made.post(Address("slack", found.url()), trial(NOW)) == ""


async def test_a_host_where_nothing_listens_is_tried_twice_and_named_without_its_path() -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with receiver() as found:
        url = found.url("/secret-path")
    async with posting(pause=pause) as made:
        said = await made.post(Address("slack", url), trial(NOW))
    assert said.startswith("no connection")
    assert "secret-path" not in said
    assert pauses == [1.0]


async def test_somebody_elses_certificate_is_not_taken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with receiver(authority.server_context("localhost")) as found, posting(ca_file=authority.file) as made:
        own = Address("slack", found.url("/secret-path", "localhost", "https"))
        assert await made.post(own, trial(NOW)) == ""
    async with receiver(authority.server_context("somebody.else")) as found, posting(ca_file=authority.file) as made:
        said = await made.post(Address("slack", found.url("/secret-path", "localhost", "https")), trial(NOW))
    assert "certificate" in said.lower()
    assert found.posted == []


# Failures


async def test_a_failure_is_logged_once_with_what_to_do_and_that_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = answer("", "403 Forbidden")
    async with (
        receiver(None, refused, refused, refused) as found,
        posting(Address("slack", found.url("/services/secret"))) as made,
    ):
        for _ in range(4):
            made.put(ASKED)
        await found.has(4)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert f"webhook slack at 127.0.0.1:{found.port} (HTTP 403)" in said[0]
    assert "ap-mcp approvals test-webhook" in said[0]
    assert "works again" in said[1]
    assert "secret" not in caplog.text
    assert made.receivers[0].counts == {"posted": 1, "failed": 3, "dropped": 0}


async def test_what_is_too_much_for_a_receiver_is_dropped_and_counted() -> None:
    async with receiver(None, None) as hangs, posting(Address("slack", hangs.url()), time_out=0.5) as made:
        for number in range(MOST_WAITING + 5):
            made.put(notice("asked", question(principal=f"somebody {number % 10}"), NOW))
        assert made.receivers[0].counts["dropped"] == 5
        while not made.receivers[0].waiting.empty():
            made.receivers[0].waiting.get_nowait()
            made.receivers[0].waiting.task_done()


async def test_who_asks_much_leaves_room_for_the_questions_of_others() -> None:
    async with receiver() as found, posting(Address("generic", found.url())) as made:
        for _ in range(MOST_WAITING):
            made.put(ASKED)
        made.put(notice("asked", question(principal="judy"), NOW))
        await made.close()
        assert [each["data"]["principal"] for each in found.posted] == ["ivan"] * MOST_OF_ONE + ["judy"]
        assert made.receivers[0].counts == {"posted": MOST_OF_ONE + 1, "failed": 0, "dropped": 75}
        for _ in range(MOST_OF_ONE):
            made.put(ASKED)
        assert made.receivers[0].counts["dropped"] == 75


async def test_an_error_of_our_own_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def connect() -> Lines:
        raise RuntimeError("secret-value")

    made = Posting([Address("slack", "https://x.example/1")], connect)
    made.put(ASKED)
    made.put(ASKED)
    await made.close()
    assert made.receivers[0].counts["failed"] == 2
    assert "RuntimeError" in caplog.text
    assert "secret-value" not in caplog.text


async def test_a_server_that_ends_gives_what_waits_a_moment(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ap_mcp.webhooks.posting.LAST_WORDS", 1)
    async with receiver(None, None) as hangs, receiver() as works:
        made = Posting([Address("slack", hangs.url()), Address("slack", works.url())], lines)
        made.put(ASKED)
        await made.close()
        assert len(works.posted) == 1
    assert "ends before everything was posted" in caplog.text


# From asking to the end


class Desk:
    """A store with its clock, a receiver, and what follows the questions."""

    def __init__(self, folder: Path, found: Receiver) -> None:
        self.time = NOW
        self.found = found
        self.store = LocalStore(folder / "approvals.db")
        self.webhooks = self.server()

    def server(self, path: str = "/", look: float = 0.01) -> Webhooks:
        """What follows the questions of one server, which posts to the receiver."""
        posting = Posting([Address("generic", self.found.url(path))], lines, pause=at_once)
        return Webhooks(posting, self.store, lambda: APPROVERS, now=lambda: self.time, look=look, look_elsewhere=0.01)

    async def ask(self, **changes: Any) -> Question:
        asked = question(**changes)
        await self.store.ask(asked)
        self.webhooks.asked(asked, f"{LINK}{asked.code}")
        return asked

    async def decide(self, asked: Question, *, approved: bool = True, by: Any = ALICE) -> None:
        self.time += SECOND
        await self.store.decide(asked.code, sign(by, asked, approved, self.time))

    async def follows_nothing(self) -> None:
        """Wait until no question is followed any more."""
        with anyio.fail_after(20):
            while self.webhooks._followed:  # noqa: ASYNC110 - there is no event for it
                await anyio.sleep(0.01)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with receiver() as found:
        made = Desk(tmp_path, found)
        yield made
        await made.webhooks.close()


async def test_a_question_is_posted_with_its_link_and_then_who_approved_it_and_how_it_ended(desk: Desk) -> None:
    asked = await desk.ask()
    await desk.found.has(1)
    await desk.decide(asked)
    await desk.found.has(2)
    assert await desk.store.take(asked.consent.id, asked.consent.digest, desk.time)
    desk.webhooks.used(asked.code, "succeeded")
    await desk.found.has(3)
    assert desk.found.kinds == ["asked", "approved", "succeeded"]
    assert desk.found.posted[0]["data"]["link"] == f"{LINK}{asked.code}"
    assert desk.found.posted[1]["data"]["by"] == desk.found.posted[2]["data"]["by"] == "alice"
    assert desk.found.posted[2]["data"]["title"] == 'delete_cluster "shop-prod" was approved by "alice" and is done'


async def test_an_approval_that_is_used_at_once_is_posted_once_with_how_it_ended(desk: Desk) -> None:
    desk.webhooks._look_s = 60
    asked = await desk.ask()
    await desk.decide(asked)
    desk.webhooks.used(asked.code, "unknown")
    await desk.found.has(2)
    assert desk.found.kinds == ["asked", "unknown"]
    assert desk.found.posted[1]["data"]["by"] == "alice"


async def test_a_no_a_withdrawal_and_an_end_of_time_are_posted_once_each(desk: Desk) -> None:
    no, withdrawn = await desk.ask(), await desk.ask()
    await desk.decide(no, approved=False)
    await desk.store.withdraw(withdrawn.code, "bob", desk.time)
    await desk.found.has(4)
    late = await desk.ask(created=desk.time, expires=desk.time + APPROVAL_LIFETIME)
    await desk.found.has(5)
    desk.time += APPROVAL_LIFETIME
    await desk.found.has(6)
    await anyio.sleep(0.05)
    ends = {(each["type"], each["data"]["code"], each["data"]["by"]) for each in desk.found.posted}
    assert {
        ("approval.declined", no.code, "alice"),
        ("approval.withdrawn", withdrawn.code, "bob"),
        ("approval.expired", late.code, ""),
    } < ends
    assert len(desk.found.posted) == 6


async def test_an_approval_that_nobody_uses_is_not_said_to_be_undecided(desk: Desk) -> None:
    asked = await desk.ask()
    await desk.decide(asked)
    await desk.found.has(2)
    desk.time += APPROVAL_LIFETIME
    await desk.follows_nothing()
    assert desk.found.kinds == ["asked", "approved"]


async def test_what_another_server_has_used_is_left_to_that_one(desk: Desk) -> None:
    asked = await desk.ask()
    await desk.found.has(1)
    assert await desk.store.take(asked.consent.id, asked.consent.digest, desk.time)
    await desk.follows_nothing()
    assert desk.found.kinds == ["asked"]
    desk.webhooks.used(asked.code, "failed")  # as that server posts it, which was not the one that asked
    await desk.found.has(2)
    assert desk.found.kinds == ["asked", "failed"]


async def test_how_the_questions_of_a_server_that_is_gone_ended_is_posted_once_by_another(desk: Desk) -> None:
    no, late, used = await desk.ask(), await desk.ask(), await desk.ask()
    await desk.found.has(3)
    await desk.webhooks.close()
    await desk.decide(no, approved=False)
    await desk.decide(used)
    assert await desk.store.take(used.consent.id, used.consent.digest, desk.time)
    others = [desk.server() for _ in range(3)]
    elsewhere = desk.server("/another-channel")
    for each in (*others, elsewhere):
        each.watch()
    await desk.found.has(4)
    desk.time += APPROVAL_LIFETIME
    await desk.found.has(5)
    await anyio.sleep(0.05)
    for each in (*others, elsewhere):
        await each.close()
    ends = [(each["type"], each["data"]["code"]) for each in desk.found.posted[3:]]
    assert ends == [("approval.declined", no.code), ("approval.expired", late.code)]
    assert await desk.store.announced(desk.webhooks.posting.place) == []


async def test_a_server_that_only_looks_leaves_what_waits_to_the_one_that_asked(desk: Desk) -> None:
    other = desk.server()
    other.watch()
    asked = await desk.ask()
    await desk.found.has(1)
    await desk.decide(asked)
    await desk.found.has(2)
    await anyio.sleep(0.05)
    await other.close()
    assert desk.found.kinds == ["asked", "approved"]


async def test_what_hinders_a_server_again_and_again_is_logged_once(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def announced(place: str) -> list[str]:
        tried.append(place)
        raise ApprovalsUnusable("no store")

    monkeypatch.setattr(desk.store, "announced", announced)
    desk.webhooks.watch()
    with anyio.fail_after(5):
        while len(tried) < 3:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.01)
    assert caplog.text.count("no store") == 1


async def test_a_signature_that_does_not_count_is_not_posted_as_an_answer(desk: Desk) -> None:
    asked = await desk.ask()
    await desk.found.has(1)
    await desk.decide(asked, by=MALLORY)
    await anyio.sleep(0.05)
    assert desk.found.kinds == ["asked"]


async def test_that_the_asker_has_left_is_posted_only_of_a_question_that_still_waits(desk: Desk) -> None:
    asked, decided = await desk.ask(), await desk.ask()
    await desk.found.has(2)
    desk.webhooks.left(asked)
    await desk.found.has(3)
    assert desk.found.kinds == ["asked", "asked", "left"]
    assert desk.found.posted[2]["data"]["link"] == f"{LINK}{asked.code}"
    await desk.decide(decided, approved=False)
    await desk.found.has(4)
    desk.webhooks.left(decided)
    await anyio.sleep(0.05)
    assert desk.found.kinds == ["asked", "asked", "left", "declined"]


async def test_how_many_were_asked_for_the_same_principal_within_a_day_is_posted(desk: Desk) -> None:
    await desk.ask(principal="somebody")
    for _ in range(3):
        await desk.decide(await desk.ask(created=desk.time), approved=False)
    await desk.found.has(7)
    texts = [each["data"]["text"] for each in desk.found.posted if each["type"] == "approval.asked"]
    assert "within a day" not in texts[0]
    assert "Asked for them within a day: 3 questions." in texts[3]


async def test_a_store_that_fails_holds_up_nothing_and_is_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ApprovalsUnusable("no store"), RuntimeError("secret")]

    async def find(code: str) -> Asked | None:
        del code
        if failures:
            failure = failures.pop(0)
            raise failure
        return None

    monkeypatch.setattr(desk.store, "find", find)
    desk.webhooks.used("WXYZ-2345", "failed")
    desk.webhooks.used("WXYZ-2345", "failed")
    await desk.ask()
    await desk.found.has(1)
    assert "no store" in caplog.text
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_too_many_events_are_dropped_and_said_to_be(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    desk.webhooks._events = asyncio.Queue(1)
    asked = question()
    desk.webhooks.left(asked)
    desk.webhooks.left(asked)
    assert "some of it is not posted" in caplog.text


async def test_a_server_that_ends_while_its_store_hangs_does_not_wait_for_it(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(code: str) -> Asked | None:
        del code
        await anyio.sleep_forever()
        return None

    monkeypatch.setattr(desk.store, "find", find)
    monkeypatch.setattr("ap_mcp.webhooks.following.LAST_WORDS", 0.1)
    desk.webhooks.used("WXYZ-2345", "failed")
    with anyio.fail_after(5):
        await desk.webhooks.close()
    assert "ends before all that happened" in caplog.text
