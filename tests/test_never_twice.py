"""No consent is used twice, whatever happens to the store: it is lost, restored, replayed, or shared with others."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from approving import ALICE, MINUTE, NOW, SECOND
from confirming import DELETE, IVAN, NAMED, READS, Desk
from consenting import Scenes, answer_to, checked_refusal, leg, question_of, text_in
from guarded import Person
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ap_mcp.errors import ApprovalRequired, ApprovalsUnusable, ConsentDeclined
from ap_mcp.guard.audit import log_at
from ap_mcp.guard.callers import Caller, FormAnswer
from ap_mcp.guard.consent import LOST
from ap_mcp.guard.elsewhere import MOST_ROUNDS
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import OPEN_LIMIT
from ap_mcp.guard.requests import Consent
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.local import LocalStore

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio

Step: TypeAlias = tuple[str, int]
"""What happens next, and a number: of a server, an answer, or a copy, counted round."""

SERVERS = 2
HARMS = ("delete", "truncate", "restore")
STEPS = ("ask", "ask", "answer", "answer", "answer", "copy", *HARMS, "restart", "wait")
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=4, max_size=24)
RESTORED: list[Step] = [
    *(("ask", 0), ("copy", 0), ("answer", 0), ("copy", 0), ("ask", 0)),
    *(("restore", 1), ("restart", 1), ("answer", 1), ("ask", 1)),
    *(("restore", 0), ("restart", 0), ("answer", 0), ("ask", 0)),
]
"""A consent is used, and copies in which it is open come back, to servers that know nothing of it."""
enough = settings(deadline=None)


@dataclass
class Recorded(LocalStore):
    """A store that records which consents it opened and handed out."""

    path: Path
    opened: set[str]
    handed_out: list[str]

    def __post_init__(self) -> None:
        super().__init__(self.path)

    async def open(self, consent: OpenConsent) -> None:
        await super().open(consent)
        self.opened.add(consent.id)

    async def take(self, consent_id: str, digest: str, now: datetime) -> bool:
        taken = await super().take(consent_id, digest, now)
        self.handed_out += [consent_id] * taken
        return taken


@dataclass
class Servers:
    """Servers of one user that share a file, and what changes that file behind them."""

    folder: Path
    mode: Any
    time: datetime = NOW
    copies: list[Path] = field(default_factory=list)
    opened: set[str] = field(default_factory=set)
    handed_out: list[str] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.desks = [Desk(self.folder, self.mode) for _ in range(SERVERS)]
        for number in range(SERVERS):
            self.restart(number)

    def restart(self, number: int) -> None:
        desk = self.desks[number % SERVERS]
        desk.store = Recorded(desk.path, self.opened, self.handed_out)

    def harm(self, what: str, number: int) -> None:
        """Do something to the file; there is an older copy of it only if it was copied before."""
        path = self.desks[0].path
        if what == "restore" and self.copies:
            shutil.copy(self.copies[number % len(self.copies)], path)
        elif what == "truncate" and path.exists():
            path.write_bytes(b"")
        else:
            path.unlink(missing_ok=True)

    def happens(self, what: str, number: int) -> None:
        """Let something happen that is neither a question nor an answer."""
        if what == "copy" and self.desks[0].path.exists():
            self.copies.append(self.folder / f"copy-{len(self.copies)}")
            shutil.copy(self.desks[0].path, self.copies[-1])
        elif what == "restart":
            self.restart(number)
        elif what == "wait":
            self.time += SECOND
        elif what in HARMS:
            self.harm(what, number)

    async def call(self, number: int, caller: Caller = IVAN, **request: Any) -> Any:
        """Make the call on a server; what comes back, an error too."""
        desk = self.desks[number % SERVERS]
        desk.time = self.time
        try:
            result = await desk.ask(replace(DELETE, **request), caller)
        except (ApprovalRequired, ConsentDeclined) as refused:
            return refused
        if isinstance(result, Consent):
            self.sent += 1
        self.check()
        return result

    def check(self) -> None:
        """Each consent was handed out by one store, once, and whatever was sent has one of its own."""
        assert len(set(self.handed_out)) == len(self.handed_out)
        assert self.sent <= len(self.handed_out)


def returning(state: str | None) -> Caller:
    return Caller("ivan", can_return=True, returned=NAMED if state else None, state=state)


def play(
    servers: Servers,
    steps: list[Step],
    call: Callable[[int, str | None], Awaitable[Any]],
    proof_in: Callable[[Any], str | None],
) -> None:
    """Ask and answer as the steps say; each call that went out used one proof of consent, and no two the same.

    Args:
        servers: asked, and what happens to their file.
        steps: what happens, in order.
        call: makes the call on a server, with a proof of consent or without.
        proof_in: what a caller who was asked may come back with.
    """

    async def run() -> None:
        proofs: list[str] = []
        used: list[str] = []
        for what, number in steps:
            given = proofs[number % len(proofs)] if what == "answer" and proofs else None
            if given or what == "ask":
                result = await call(number, given)
                if isinstance(result, Consent):
                    assert given
                    used.append(given)
                elif not isinstance(result, ConsentDeclined):
                    proof = proof_in(result)
                    assert proof
                    proofs.append(proof)
            servers.happens(what, number)
        assert len(set(used)) == len(used) == servers.sent == len(servers.handed_out)

    anyio.run(run)


@enough
@example(steps=RESTORED)
@given(steps=steps)
def test_an_answer_between_two_legs_lets_one_call_through_whatever_happens_to_the_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    servers = Servers(tmp_path_factory.mktemp("servers"), "human")

    async def call(number: int, state: str | None) -> Any:
        servers.time += READS
        return await servers.call(number, returning(state))

    play(servers, steps, call, lambda asked: asked.state)


@enough
@example(steps=RESTORED)
@given(steps=steps)
def test_a_token_lets_one_call_through_whatever_happens_to_the_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    servers = Servers(tmp_path_factory.mktemp("servers"), "token")
    play(servers, steps, lambda number, token: servers.call(number, token=token), lambda asked: asked.token)


@enough
@example(steps=RESTORED)
@given(steps=steps)
def test_an_approval_lets_one_call_through_whatever_happens_to_the_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    async def play() -> None:
        servers = Servers(tmp_path_factory.mktemp("servers"), "approval")
        signed = 0
        for what, number in steps:
            if what == "ask":
                await servers.call(number)
            elif what == "answer":
                store = LocalStore(servers.desks[0].path)
                for question in await store.pending(servers.time):
                    await store.decide(question.code, sign(ALICE, question, True, servers.time))
                    signed += 1
            servers.happens(what, number)
        assert servers.sent == len(servers.handed_out) == len(set(servers.handed_out)) <= signed

    anyio.run(play)


@enough
@given(st.lists(st.sampled_from([None, *HARMS]), min_size=MOST_ROUNDS, max_size=MOST_ROUNDS), st.integers(0, 5))
def test_a_form_counts_only_if_its_record_outlives_it_and_the_person_is_asked_again_if_not(
    tmp_path_factory: pytest.TempPathFactory, harms: list[str | None], number: int
) -> None:
    async def play() -> None:
        servers = Servers(tmp_path_factory.mktemp("servers"), "human")
        await servers.call(0, returning(None))
        servers.happens("copy", 0)
        left = list(harms)
        shown: list[str] = []

        async def push(text: str, _: Mapping[str, Any]) -> FormAnswer:
            assert len(servers.opened) == len(shown) + 2
            shown.append(text)
            servers.desks[number % SERVERS].time += READS
            if harm := left.pop(0):
                servers.harm(harm, number)
            return NAMED

        result = await servers.call(number, Caller("ivan", push=push))
        rounds = harms.index(None) + 1 if None in harms else MOST_ROUNDS
        assert [LOST in text for text in shown] == [False, *[True] * (rounds - 1)]
        assert isinstance(result, Consent if None in harms else ConsentDeclined)
        assert servers.sent == len(servers.handed_out) == (None in harms)

    anyio.run(play)


# No question without its record


class Unwritable(LocalStore):
    """A store in which nothing can be opened."""

    async def open(self, consent: OpenConsent) -> None:
        del consent
        raise ApprovalsUnusable("The approvals store cannot be used: a test says so.")


async def test_no_person_is_asked_while_the_record_of_the_question_cannot_be_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "token")
    desk.store = Unwritable(desk.path)
    for caller in (desk.pushed, returning(None), IVAN):
        with pytest.raises(ApprovalsUnusable):
            await desk.ask(caller=caller)
    assert desk.shown == []


async def test_an_answer_that_is_no_consent_leaves_no_record_open(tmp_path: Path) -> None:
    servers = Servers(tmp_path, "human")
    desk = servers.desks[0]
    for number in range(OPEN_LIMIT + 1):
        desk.answers = [FormAnswer("decline")] if number % 2 else [FormAnswer("accept")]
        assert isinstance(await servers.call(0, desk.pushed), ConsentDeclined)
    assert len(desk.shown) == len(servers.opened) == len(servers.handed_out) == OPEN_LIMIT + 1


@pytest.mark.parametrize("answered_after", [READS, 6 * MINUTE])
async def test_a_form_that_was_answered_in_time_counts_though_its_facts_are_read_after_it(
    tmp_path: Path, answered_after: timedelta
) -> None:
    desk = Desk(tmp_path, patience=300.0)

    async def push(_: str, __: Mapping[str, Any]) -> FormAnswer:
        desk.time += answered_after
        return NAMED

    assert isinstance(await desk.ask(caller=Caller("ivan", push=push)), Consent)


# The store in threads of its own


async def test_of_tasks_and_servers_that_race_for_one_consent_one_gets_it(tmp_path: Path) -> None:
    stores = [LocalStore(tmp_path / "approvals.db") for _ in range(3)]
    await stores[0].open(OpenConsent("1", "d", "ivan", NOW, NOW + MINUTE))
    won: list[bool] = []

    async def race(store: LocalStore) -> None:
        won.append(await store.take("1", "d", NOW))

    async with anyio.create_task_group() as group:
        for store in stores * 4:
            group.start_soon(race, store)
    assert sorted(won) == [False] * 11 + [True]


async def test_a_call_that_is_cancelled_while_the_store_is_locked_ends_what_it_began(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path / "approvals.db")
    await store.open(OpenConsent("1", "d", "ivan", NOW, NOW + MINUTE))
    results: list[bool] = []

    async def take() -> None:
        results.append(await store.take("1", "d", NOW))

    with closing(sqlite3.connect(store._file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            while not store._limiter.borrowed_tokens:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    await anyio.lowlevel.checkpoint()
            assert results == []
            other.execute("ROLLBACK")
    assert not await store.take("1", "d", NOW)
    assert results in ([], [True])


# Through the whole server


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("channel", ["form", "form between two legs", "token", "approval"])
async def test_a_store_that_is_lost_between_question_and_call_has_the_person_asked_again_and_nothing_sent(
    scene_for: Scenes, channel: str, harm: str
) -> None:
    scene = scene_for("delete_cluster", "legacy" if channel == "form" else "auto")
    confirm = channel if channel in ("token", "approval") else "human"
    path, copy = scene.store.path, scene.folder / "copy"
    scene.store.pending(scene.clock())
    shutil.copy(path, copy)

    def lose() -> None:
        path.unlink()
        if harm == "truncate":
            path.touch(mode=0o600)
        elif harm == "restore":
            shutil.copy(copy, path)

    class Reader(Person):
        async def __call__(self, context: Any, params: Any) -> Any:
            if channel == "form" and not self.read:
                lose()
            return await super().__call__(context, params)

    person = Reader() if confirm == "human" else None
    async with scene.connect(person, confirm=confirm) as agent:
        if channel == "form":
            await scene.done(agent)
            assert person
            assert [LOST in text for text in person.read] == [False, True]
        elif channel == "form between two legs":
            answer = answer_to(await question_of(agent, scene))
            lose()
            assert "Call again to be asked anew" in checked_refusal(text_in(await leg(agent, scene, **answer)))
            await scene.done(agent)
        elif channel == "token":
            token = await scene.token(agent)
            lose()
            said = await scene.refused(agent, confirmation_token=token)
            assert "Call again without it for a new one" in said
        else:
            question = await scene.waits(agent)
            scene.decide(question)
            lose()
            assert (await scene.waits(agent)).code != question.code


@pytest.mark.parametrize("again", ["old copy of both files", "row put back"])
async def test_a_spent_approval_does_not_count_again_after_an_old_store_is_put_back_and_a_restart(
    scene_for: Scenes, again: str
) -> None:
    scene = scene_for("get_cluster_certificate")  # changes nothing, so that the same approval would fit again
    path = scene.store.path
    beside = path.with_name(f"{path.name}.generation")
    async with scene.connect(confirm="approval") as agent:
        scene.decide(await scene.waits(agent))
        copies = {each: each.read_bytes() for each in (path, beside)}
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT * FROM open").fetchall()
        await scene.done(agent)
    if again == "row put back":
        with closing(sqlite3.connect(path)) as db, db:
            db.executemany("INSERT INTO open VALUES (?, ?, ?, ?, ?)", rows)
    else:
        for each, content in copies.items():
            each.write_bytes(content)
        for stray in path.parent.glob(f"{path.name}-*"):
            stray.unlink()
    async with scene.connect(confirm="approval") as agent:
        assert "used before, as the audit log has it" in await scene.refused(agent)
        await scene.waits(agent)
    log = log_at(scene.folder / "state" / "audit.jsonl")
    [finding] = log.verify()
    assert (finding.kind, finding.is_alarm) == ("replayed", True)
