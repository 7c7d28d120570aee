"""One wait: reads, and reads again, until the end, the deadline, or too much trouble."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from anyio import move_on_after

from ap_mcp.errors import ApMcpError, CallRefused, CloudUnreachable, NotFound, ServiceError
from ap_mcp.wait import Now, Sleep
from ap_mcp.wait.targets import RUNNING, Target, WaitVerdict

MOST_TROUBLES = 3
"""So many reads in a row may fail."""
GRACE = 5.0
"""Seconds a read may take beyond the deadline; clients end a call not much later."""
GROWTH = 1.5
GATEWAY = "APIGW."

Report: TypeAlias = Callable[[float, float, str], Awaitable[None]]
"""Is given how far the thing is, of how much, and what the last read showed."""
WHOLE = 100.0
"""Progress is a share of this, in percent: not of the time to wait, which says nothing about the thing."""
LEAST_STEP = 0.001
"""By how much progress grows although the cloud reports none: it must grow with every report."""


class Answered(Protocol):
    """What a read brings: an answer of the cloud."""

    @property
    def body(self) -> Any:
        """The parsed answer."""


AnsweredT = TypeVar("AnsweredT", bound=Answered)
TargetT = TypeVar("TargetT", bound=Target)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a read showed: in a sentence, and how far the thing is, in percent, if the cloud reports it."""

    sentence: str
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class Ending(Generic[TargetT, AnsweredT]):
    """How a wait ended.

    Attributes:
        order: what was read last.
        seen: the last answer; None if the thing no longer exists.
        seconds: how long it took.
        doubt: what makes the result uncertain.
        stale: it seems ended, but perhaps only because the cloud does not show yet what was changed a moment ago.
    """

    order: TargetT
    verdict: WaitVerdict
    seen: AnsweredT | None
    seconds: float
    doubt: str = ""
    stale: bool = False


@dataclass(slots=True)
class Watch(Generic[TargetT, AnsweredT]):
    """One wait: reads at once, then ever less often, until the end or the deadline.

    Attributes:
        order: what is waited for.
        read: reads once.
        describe: says what an answer shows.
        changed: it was changed a moment ago, so the first answer may be older than that.
    """

    order: TargetT
    read: Callable[[TargetT], Awaitable[AnsweredT]]
    describe: Callable[[TargetT, AnsweredT], Awaitable[Shown]]
    sleep: Sleep
    now: Now
    report: Report
    changed: bool = False
    seen: AnsweredT | None = None
    trouble: ApMcpError | None = None
    troubles: int = 0
    doubt: str = ""
    known: bool = False
    lost: NotFound | None = None
    stale: bool = False
    progress: float = -LEAST_STEP

    async def run(self) -> Ending[TargetT, AnsweredT]:
        """Wait.

        Raises:
            ApMcpError: a read failed for good, or too many in a row did.
        """
        longest = self.order.interval
        began, pause, reported = self.now(), longest / 4, -1.0
        while True:
            order_read = self.order
            verdict = self._believed(await self._read(began + self.order.seconds - self.now()))
            if self.order is not order_read:
                continue
            passed = self.now() - began
            left = self.order.seconds - passed
            if verdict != RUNNING or left <= 0:
                break
            if passed > reported:
                reported = passed
                await self._report()
            await self.sleep(min(max(pause, self._asked_for()), left))
            pause = min(pause * GROWTH, longest)
        if self.trouble is not None and self.seen is None:
            raise self.trouble
        return Ending(self.order, verdict, self.seen, passed, self.doubt, self.stale)

    async def _read(self, seconds: float) -> WaitVerdict:
        """Read once; a failure that may pass by itself is tolerated a few times."""
        self.doubt = "The last read took too long; this is what the one before it showed."
        with move_on_after(None if self.seen is None else max(GRACE, seconds)):
            try:
                seen = await self.read(self.order)
            except NotFound as error:
                return self._absent(error)
            except (ServiceError, CloudUnreachable) as error:
                return self._tolerated(error)
            except CallRefused as refusal:
                raise self._explained_refusal(refusal) from None
            was_deleting = self.seen is not None and self.order.is_being_deleted(self.seen.body)
            self.seen, self.trouble, self.troubles, self.doubt, self.known = seen, None, 0, "", True
            return self.order.verdict(seen.body, was_deleting=was_deleting)
        return RUNNING

    def _believed(self, verdict: WaitVerdict) -> WaitVerdict:
        """Take an end for none if it may be that of before a change, until another read shows it too."""
        if self.seen is None:
            return verdict
        self.stale, self.changed = self.changed and verdict != RUNNING, False
        return RUNNING if self.stale else verdict

    def _absent(self, error: NotFound) -> WaitVerdict:
        """Judge that there is no such thing: the end that was waited for, another thing to read, or an error."""
        # Other things may be missing too: the sign-in may find no project, the gateway no such API.
        ours = error.operation == self.order.operation
        if not ours or any(code.startswith(GATEWAY) for code in (error.code, *error.other_codes)):
            raise error
        body = self.seen.body if self.seen is not None else None
        if instead := self.order.instead(body):
            self.order, self.seen, self.trouble, self.lost = instead, None, None, error
            return RUNNING
        if not self.order.until_deleted and not (self.lost and self.order.is_being_deleted(body)):
            raise self._gone(self.order.explained(self.lost or error))
        self.doubt = "" if self.known else "It was not there at the first read: if that is unexpected, check the id."
        self.seen, self.trouble = None, None
        return "succeeded"

    def _gone(self, error: NotFound) -> NotFound:
        """Say of what was there at the read before that it vanished meanwhile."""
        if self.seen is not None:
            error.hint = f"The {self.order.name} was there at the read before: it vanished meanwhile. {error.hint}"
        return error

    def _explained_refusal(self, refusal: CallRefused) -> ApMcpError:
        """Return why a read was refused; if it replaced another read, also why that was needed."""
        if self.lost is None:
            return refusal
        self.lost.hint = f"{self.lost.hint} Its {self.order.kind} cannot be read instead: {refusal}"
        return self.lost

    def _tolerated(self, error: ServiceError | CloudUnreachable) -> WaitVerdict:
        """Count a failed read; raise what will not pass, or has happened too often."""
        passes = isinstance(error, CloudUnreachable) or error.may_pass
        self.trouble, self.troubles = error, self.troubles + 1
        if not passes or self.troubles > MOST_TROUBLES:
            raise error
        self.doubt = f"The last read failed ({_first_line(error)}); this is what the one before it showed."
        return RUNNING

    def _asked_for(self) -> float:
        """Return the seconds that the cloud asks to wait."""
        return (self.trouble.retry_after or 0.0) if isinstance(self.trouble, ServiceError) else 0.0

    async def _report(self) -> None:
        """Report how far the thing is; what is not over is never reported as whole."""
        shown = Shown(_first_line(self.trouble)) if self.trouble is not None else Shown("")
        if self.trouble is None and self.seen is not None:
            shown = await self.describe(self.order, self.seen)
        grown = round(self.progress + LEAST_STEP, 3)
        self.progress = max(min(shown.percent or 0.0, WHOLE - 1), grown)
        await self.report(self.progress, WHOLE, shown.sentence)


async def say_nothing(_progress: float, _total: float, _message: str) -> None:
    """Report nothing."""


def _first_line(error: ApMcpError) -> str:
    if isinstance(error, ServiceError):
        return f"{error.operation}: {error.brief()}"
    return str(error).partition("\n")[0].rstrip(".")
