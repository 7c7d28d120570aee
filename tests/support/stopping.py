"""Servers that stop dead at a drawn point between two steps, and what they and a person did before and after."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Protocol

from approving import ALICE, APPROVERS, NOW, SECOND
from confirming import DELETE, NAMED, READS
from redis_fake import FakeRedis

from ap_mcp.errors import ApMcpError, ApprovalRequired
from ap_mcp.guard.audit import AuditLog, Entry, Outcome, log_at
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.consent import Confirmer, Mode
from ap_mcp.guard.guarding import Guard, cleared_by
from ap_mcp.guard.keys import sign
from ap_mcp.guard.policy import Ask, Policy
from ap_mcp.guard.requests import Request
from ap_mcp.guard.seal import Sealer
from ap_mcp.guard.stores import ApprovalStore
from ap_mcp.state.local import LocalStore
from ap_mcp.state.redis import RedisStore
from ap_mcp.state.redis_link import RedisLink

STEPS = 10
KINDS = ("call", "call", "call", "stop", "stop", "stop", "answer", "answer", "harm", "wait")
MOST_POINTS = 14
"""About as many as a call passes."""
PUT_BACK = 0.8
"""How often a copy is put in the place of what is lost."""
FINE = {"unfinished", "replayed"}
"""What an audit log may say after stops and old copies of a store: nothing of it is lost or changed."""


class Stopped(BaseException):
    """The process ended here, at once: nothing of it runs any more, no clearing up either."""


@dataclass
class Stops:
    """Counts the points that a process passes, and stops it at one of them."""

    left: int | None = None
    dead: bool = False
    where: set[str] = field(default_factory=set)

    def here(self, point: str) -> None:
        if self.left is not None:
            self.left -= 1
        if self.dead or (self.left is not None and self.left < 0):
            self.where |= set() if self.dead else {point}
            self.dead = True
            raise Stopped


class StoppedStore:
    """A store whose process may end before and after each call of it."""

    def __init__(self, store: ApprovalStore, stops: Stops) -> None:
        self._store = store
        self._stops = stops

    def __getattr__(self, name: str) -> Any:
        call: Callable[..., Awaitable[Any]] = getattr(self._store, name)

        async def stoppable(*arguments: Any) -> Any:
            self._stops.here(f"before {name}")
            result = await call(*arguments)
            self._stops.here(f"after {name}")
            return result

        return stoppable


class StoppedLog(AuditLog):
    """A log likewise."""

    stops: Stops

    def decided(self, entry: Entry) -> int:
        self.stops.here("before decided")
        number = super().decided(entry)
        self.stops.here("after decided")
        return number

    def finished(self, seq: int, outcome: Outcome) -> None:
        self.stops.here("before finished")
        super().finished(seq, outcome)
        self.stops.here("after finished")


class Shelf(Protocol):
    """Where servers keep what they share, and what can happen to it."""

    shares_log: bool

    def store(self) -> ApprovalStore:
        """The store of a process that starts now."""

    async def end(self, store: ApprovalStore) -> None:
        """The process of a store has ended."""

    def copy(self) -> None:
        """Keep a copy of it as it is now."""

    def harm(self, draw: Random) -> None:
        """Lose it, or put a copy in its place."""


@dataclass
class LocalShelf:
    """A file, which is lost, or replaced by an older copy."""

    folder: Path
    shares_log = True
    copies: int = 0

    @property
    def path(self) -> Path:
        return self.folder / "approvals.db"

    def store(self) -> ApprovalStore:
        return LocalStore(self.path)

    async def end(self, store: ApprovalStore) -> None:
        await store.close()

    def copy(self) -> None:
        if self.path.exists():
            self.copies += 1
            shutil.copy(self.path, self.folder / f"copy-{self.copies}")

    def harm(self, draw: Random) -> None:
        if self.copies and draw.random() < PUT_BACK:
            shutil.copy(self.folder / f"copy-{draw.randint(1, self.copies)}", self.path)
        else:
            self.path.unlink(missing_ok=True)


@dataclass
class RedisShelf:
    """A Redis that starts anew with all of its data, with older ones, or with none; each server has its own log."""

    redis: FakeRedis
    url: str
    shares_log = False
    copies: list[dict[bytes, Any]] = field(default_factory=list)

    def store(self) -> ApprovalStore:
        return RedisStore(RedisLink(self.url))

    async def end(self, store: ApprovalStore) -> None:
        await store.close()

    def copy(self) -> None:
        self.copies.append(dict(self.redis.data))

    def harm(self, draw: Random) -> None:
        with_data = bool(self.copies) and draw.random() < PUT_BACK
        if with_data:
            self.redis.data = dict(draw.choice(self.copies))
        self.redis.restart(with_data=with_data)


@dataclass
class Team:
    """Two servers that share a shelf, an agent that repeats itself, and a person who says yes."""

    folder: Path
    shelf: Shelf
    mode: Mode
    draw: Random
    time: datetime = NOW
    sent: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    yes: int = 0
    where: set[str] = field(default_factory=set)

    async def play(self) -> None:
        """Let drawn things happen, one after another, and check what went out."""
        for _ in range(STEPS):
            if self.draw.random() < 0.5:
                self.shelf.copy()
            what = self.draw.choice(KINDS)
            if what == "answer":
                await self.answer()
            elif what == "harm":
                self.shelf.harm(self.draw)
            elif what == "wait":
                self.time += SECOND
            else:
                left = self.draw.randrange(MOST_POINTS) if what == "stop" else None
                await self.call(self.draw.randint(0, 1), Stops(left))
        self.check()

    async def call(self, number: int, stops: Stops) -> None:
        """Make the call on a server that has just started, with a proof of consent if there is any."""
        kept = self.shelf.store()
        store: Any = StoppedStore(kept, stops)
        log = StoppedLog(self.log(number).path, self.log(number).key_file)
        log.stops = stops
        confirmer = Confirmer(self.mode, Sealer(b"k" * 32), store, APPROVERS, lambda: self.time, forms="always")
        guard = Guard(Policy(), self.mode, lambda: confirmer, lambda: log)
        proof = self.draw.choice(self.proofs) if self.proofs and self.draw.random() < 0.8 else None
        caller, token = Caller("ivan"), None
        if self.mode == "human":
            caller = Caller("ivan", can_return=True, returned=NAMED if proof else None, state=proof)
        elif self.mode == "token":
            token = proof
        self.time += READS
        try:
            await self._made(guard, caller, replace(DELETE, token=token), stops)
        except ApprovalRequired as asked:
            self.proofs += [asked.token] if asked.token else []
            self.yes += bool(asked.token)
        except (ApMcpError, Stopped):
            pass
        finally:
            self.where |= stops.where
            await self.shelf.end(kept)

    async def answer(self) -> None:
        """Have a person approve all that waits for one."""
        store = self.shelf.store()
        for question in await store.pending(self.time):
            await store.decide(question.code, sign(ALICE, question, True, self.time))
            self.yes += 1
        await self.shelf.end(store)

    async def _made(self, guard: Guard, caller: Caller, request: Request, stops: Stops) -> None:
        async def read_again(at: datetime | None) -> Request:
            return request if at is None else replace(request, shown_at=at)

        consent = await guard.consent(Ask("destroy"), request, caller, read_again)
        if isinstance(consent, AskBack):
            self.proofs.append(consent.state)
            self.yes += 1  # the person types the name each time, and a client may send that more than once
            return
        cleared = cleared_by(consent)
        async with guard.sending(cleared, cleared.calls[0], caller) as sending:
            stops.here("before sending")
            self.sent.append(cleared.used)
            stops.here("after sending")
            sending.succeeded("request")

    def log(self, number: int) -> AuditLog:
        return log_at(self.folder / f"log-{0 if self.shelf.shares_log else number}" / "audit.jsonl")

    def check(self) -> None:
        """No consent let two requests through, none went out without one, and each is in a log."""
        assert len(self.sent) == len(set(self.sent)) <= self.yes
        logs = [self.log(number) for number in range(1 if self.shelf.shares_log else 2)]
        decided = [call.decided["consent"] for log in logs for call in log.calls()]
        assert len(decided) == len(set(decided))
        assert set(self.sent) <= set(decided)
        assert {finding.kind for log in logs for finding in log.verify()} <= FINE
