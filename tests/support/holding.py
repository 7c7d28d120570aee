"""Calls that are held while a person decides elsewhere: their time passes in a test only as the test has it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from approving import ALICE
from confirming import DELETE, Desk

from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.consent import Confirmer
from ap_mcp.guard.holds import Holds
from ap_mcp.guard.keys import Approver, sign
from ap_mcp.guard.requests import Consent, Request

PAGE = "https://ap.example/approvals/"


def link_to(code: str) -> str:
    return f"{PAGE}{code}"


def no_page(_: str) -> str:
    return ""


@dataclass
class Noted:
    """Takes notices, and remembers them in order."""

    said: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def asked(self, question: Question, link: str) -> None:
        self.said.append(("asked", question.code))
        self.links.append(link)

    def left(self, question: Question) -> None:
        self.said.append(("left", question.code))

    def used(self, code: str, outcome: str) -> None:
        self.said.append((outcome, code))

    def watch(self) -> None:
        self.said.append(("watching", ""))

    async def close(self) -> None:
        self.said.append(("closed", ""))


@dataclass
class HeldDesk(Desk):
    """A desk whose calls are held; what `happens` comes in order, one step in each second of the hold."""

    seconds: float = 50
    page: Callable[[str], str] = no_page
    happens: list[Callable[[], Awaitable[None]] | None] = field(default_factory=list)
    progress: list[tuple[float, float, str]] = field(default_factory=list)
    rested: list[str] = field(default_factory=list)
    notices: Noted = field(default_factory=Noted)
    holds: Holds = field(init=False)

    def __post_init__(self) -> None:
        began = self.time

        def now() -> float:
            return (self.time - began).total_seconds()

        self.holds = Holds(self.seconds, self._passes, now)

    @property
    def confirmer(self) -> Confirmer:
        return replace(super().confirmer, holds=self.holds, link=self.page, notices=self.notices)

    @property
    def codes(self) -> list[str]:
        """Of the questions that were asked, in order."""
        return [code for what, code in self.notices.said if what == "asked"]

    def caller(self, **more: Any) -> Caller:
        return Caller("ivan", may_hold=True, waiting=self._waiting, rest=self._rest, **more)

    async def held(self, request: Request = DELETE, **caller: Any) -> Consent | AskBack:
        return await self.ask(request, self.caller(**caller))

    async def answer(self, code: str = "", approver: Approver = ALICE, *, approved: bool = True) -> None:
        """Answer the question that was asked last, or another one."""
        asked = await self.confirmer.store.find(code or self.codes[-1])
        assert asked
        await self.confirmer.store.decide(asked.question.code, sign(approver, asked.question, approved, self.time))

    def after(self, seconds: int, *steps: Callable[[], Awaitable[None]]) -> None:
        """Let something happen so many seconds into the hold."""
        self.happens = [*[None] * (seconds - 1), *steps]

    async def _passes(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        step = self.happens.pop(0) if self.happens else None
        if step is not None:
            await step()

    async def _waiting(self, passed: float, most: float, message: str) -> None:
        self.progress.append((passed, most, message))

    @asynccontextmanager
    async def _rest(self) -> AsyncIterator[None]:
        self.rested.append("rests")
        yield
        self.rested.append("works")


def at(seconds: Iterable[float], most: float) -> list[tuple[float, float]]:
    return [(each, most) for each in seconds]
