"""Waits for what the cloud does in its own time: looks, and looks again, by what the specs say about phases."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from anyio import move_on_after
from pydantic import Field

from ap_mcp.errors import ApMcpError, CallRefused, CloudUnreachable, NotFound, Problem, ServiceError, quoted
from ap_mcp.specs import Catalog, Operation, Wait, tokens
from ap_mcp.summaries.base import COMMON_FIELDS, NextCall, Result, get, items, span, word

WAIT_FOR = "wait_for"
TITLE = "Wait for something to end"
DESCRIPTION = "Waits until something has ended, then answers like its get tool. Repeat while not settled."
LONGEST = 600
USUAL = 50
MOST_TROUBLES = 3
"""So many looks in a row may fail."""
GRACE = 5.0
"""Seconds a look may take beyond the deadline; clients give up on a call not much later."""
GROWTH = 1.5
PARENTS = ("cluster_id", "namespace")
PLACES = ("id", *PARENTS)
"""Arguments that become a part of a path."""
GATEWAY = "APIGW."

Verdict: TypeAlias = Literal["succeeded", "failed", "running"]
Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Now: TypeAlias = Callable[[], float]
Report: TypeAlias = Callable[[float, float, str], Awaitable[None]]
"""Told how many seconds have passed, of how many, and what the last look showed."""


class Waited(Result):
    """How a wait ended: what the reading tool says of the thing, and whether that is the end of it."""

    settled: bool = False
    verdict: Verdict = "running"
    waited: str = ""
    found: dict[str, Any] = Field(default_factory=dict)


class Seen(Protocol):
    """What a look brings: an answer of the cloud."""

    @property
    def body(self) -> Any:
        """The parsed answer."""


SeenT = TypeVar("SeenT", bound=Seen)


@dataclass(frozen=True, slots=True)
class Waitable:
    """A kind of thing that can be waited for.

    Attributes:
        read: the operation that looks at it.
        wait: what its phases mean.
        removal: what they mean while it is being deleted, if the specs say so.
        can_go: there is an operation that deletes it.
    """

    kind: str
    read: Operation
    wait: Wait
    removal: Wait | None
    can_go: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments of the look; the last takes the id, unless a list is looked at and searched for it."""
        return tuple(name for name in self.read.arguments if name in self.wait.argument)

    @property
    def parents(self) -> tuple[str, ...]:
        """Those among them that say where the thing is."""
        return self.names if self.wait.item else self.names[:-1]


@dataclass(frozen=True, slots=True)
class Order:
    """What one call waits for, and how long."""

    waitable: Waitable
    given: Mapping[str, Any]

    @property
    def read(self) -> Operation:
        """The operation that looks."""
        return self.waitable.read

    @property
    def id(self) -> str:
        """The id of the thing."""
        return str(self.given["id"])

    @property
    def gone(self) -> bool:
        """Whether the end is that it no longer exists."""
        return bool(self.given.get("gone"))

    @property
    def seconds(self) -> float:
        """How long to wait at most."""
        return float(self.given.get("wait_s", USUAL))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the look."""
        return {name: self.given[name] if name in self.waitable.parents else self.id for name in self.waitable.names}

    def narrowed(self, body: Any) -> Any:
        """Return an answer with nothing but the thing in it, if it is a list.

        Raises:
            CallRefused: the list does not hold it.
        """
        item = self.waitable.wait.item
        if item is None:
            return body
        every = items(body, item.list)
        kept = [each for each in every if get(each, item.id) == self.id]
        if not kept:
            ids = ", ".join(word(get(each, item.id)) for each in every[-10:]) or "none"
            raise CallRefused(f"{self.read.id} shows no {item.kind} {quoted(self.id)}. It shows: {ids}.")
        return _replaced(body, tokens(item.list), kept)

    def verdict(self, body: Any) -> Verdict:
        """Judge an answer by the phase in it; a phase nobody told us about is no end."""
        rules = self.waitable.removal if self.gone else self.waitable.wait
        phase = get(body, self.waitable.wait.at)
        if rules is None:
            return "running"
        return "succeeded" if phase in rules.success else "failed" if phase in rules.failure else "running"


def waitables(operations: Iterable[Operation], catalog: Catalog) -> dict[str, Waitable]:
    """Return by its kind whatever can be waited for with some operations; what deletes it is found in the catalog."""
    found = {}
    for read in operations:
        if read.wait is not None and (kind := read.awaited_as):
            removals = [
                each.wait
                for each in catalog.values()
                if each.method == "DELETE" and each.target is not None and each.target.read == read.id
            ]
            telling = (wait for wait in removals if wait is not None and wait.operation == read.id)
            found[kind] = Waitable(kind, read, read.wait, next(telling, None), bool(removals))
    return found


def wait_schema(kinds: Iterable[str]) -> dict[str, Any]:
    """Return the input schema of `wait_for` for the kinds that are offered."""
    return {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": list(kinds)},
            "id": {"type": "string", "description": "Id; name of a cluster or release"},
            "cluster_id": {"type": "string"},
            "namespace": {"type": "string"},
            "gone": {"type": "boolean", "description": "Wait for its deletion"},
            "wait_s": {"type": "integer", "default": USUAL, "minimum": 0, "maximum": LONGEST},
        },
        "required": ["kind", "id"],
        "additionalProperties": False,
    }


def misfits(known: Mapping[str, Waitable], arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what is wrong with arguments of `wait_for` because of the kind that is waited for."""
    kind = arguments.get("kind")
    waitable = known.get(kind) if isinstance(kind, str) else None
    if waitable is None:
        return
    for name in PARENTS:
        if name in waitable.parents and name not in arguments:
            yield Problem(name, f"is required for kind {kind}")
        if name not in waitable.parents and name in arguments:
            yield Problem(name, f"must not be given for kind {kind}")
    if arguments.get("gone") and not waitable.can_go:
        can = ", ".join(each.kind for each in known.values() if each.can_go)
        yield Problem("gone", f"must not be given for kind {kind}, which cannot be deleted; for these it may: {can}")


@dataclass(frozen=True, slots=True)
class Ending(Generic[SeenT]):
    """How a wait ended.

    Attributes:
        seen: the last answer; None if the thing no longer exists.
        seconds: how long it took.
        doubt: what to bear in mind about the result.
    """

    verdict: Verdict
    seen: SeenT | None
    seconds: float
    doubt: str = ""


@dataclass(slots=True)
class Watch(Generic[SeenT]):
    """One wait: looks at once, then ever less often, until the end or the deadline.

    Attributes:
        order: what is waited for.
        look: asks the cloud once.
        tell: says in a sentence what an answer shows.
    """

    order: Order
    look: Callable[[], Awaitable[SeenT]]
    tell: Callable[[SeenT], str]
    sleep: Sleep
    now: Now
    report: Report
    seen: SeenT | None = None
    trouble: ApMcpError | None = None
    troubles: int = 0
    doubt: str = ""

    async def run(self) -> Ending[SeenT]:
        """Wait.

        Raises:
            ApMcpError: a look failed for good, or too many in a row did.
        """
        longest = float(self.order.waitable.wait.every)
        began, pause, told = self.now(), longest / 4, -1.0
        while True:
            verdict = await self._look(began + self.order.seconds - self.now())
            passed = self.now() - began
            left = self.order.seconds - passed
            if verdict != "running" or left <= 0:
                break
            if passed > told:
                told = passed
                await self.report(passed, self.order.seconds, self._message())
            await self.sleep(min(max(pause, self._asked_for()), left))
            pause = min(pause * GROWTH, longest)
        if self.trouble is not None and self.seen is None:
            raise self.trouble
        return Ending(verdict, self.seen, passed, self.doubt)

    async def _look(self, left: float) -> Verdict:
        """Look once; what may pass by itself is endured for a while."""
        self.doubt = "The last look took too long; this is what the one before it showed."
        with move_on_after(None if self.seen is None else max(GRACE, left)):
            try:
                seen = await self.look()
            except NotFound as error:
                return self._absent(error)
            except (ServiceError, CloudUnreachable) as error:
                return self._endured(error)
            self.seen, self.trouble, self.troubles, self.doubt = seen, None, 0, ""
            return self.order.verdict(seen.body)
        return "running"

    def _absent(self, error: NotFound) -> Verdict:
        """Judge that there is no such thing: the end that was waited for, or an error."""
        # Somebody else may miss something else: the sign-in its project, the gateway the whole API.
        ours = error.operation == self.order.read.id
        is_it = ours and not any(code.startswith(GATEWAY) for code in (error.code, error.other_code))
        if is_it and not self.order.gone and self.order.waitable.can_go:
            error.hint = f"{error.hint} To wait until something is deleted, give gone=true.".strip()
        if not (is_it and self.order.gone):
            raise error
        self.doubt = "" if self.seen else "It was not there at the first look: if that is a surprise, check the id."
        self.seen, self.trouble = None, None
        return "succeeded"

    def _endured(self, error: ServiceError | CloudUnreachable) -> Verdict:
        """Count a failed look; raise what will not pass, or has happened too often."""
        passes = isinstance(error, CloudUnreachable) or error.may_pass
        self.trouble, self.troubles = error, self.troubles + 1
        if not passes or self.troubles > MOST_TROUBLES:
            raise error
        self.doubt = f"The last look failed ({_first_line(error)}); this is what the one before it showed."
        return "running"

    def _asked_for(self) -> float:
        """Return the seconds that the cloud wants to be left alone."""
        return (self.trouble.retry_after or 0.0) if isinstance(self.trouble, ServiceError) else 0.0

    def _message(self) -> str:
        if self.trouble is not None:
            return _first_line(self.trouble)
        return self.tell(self.seen) if self.seen is not None else ""


def waited(order: Order, ending: Ending[Any], result: Result | None) -> Waited:
    """Shape how a wait ended around what the reading tool says; None stands for a thing that no longer exists."""
    kind, took = order.waitable.kind.replace("_", " "), span(ending.seconds)
    doubts = [ending.doubt] if ending.doubt else []
    if result is None:
        said = f"The {kind} {quoted(order.id)} is gone."
        return Waited(summary=said, settled=True, verdict="succeeded", waited=took, warnings=doubts)
    ended = Waited(
        summary=result.summary,
        settled=True,
        verdict=ending.verdict,
        waited=took,
        found={name: value for name, value in result.structured().items() if name not in COMMON_FIELDS},
        warnings=[*doubts, *result.warnings],
        next=result.next,
        request_id=result.request_id,
        raw=result.raw,
    )
    if ending.verdict != "running":
        return ended
    said = f"Still {'there' if order.gone else 'running'} after {took}; call wait_for again. {result.summary}"
    again = NextCall(tool=WAIT_FOR, arguments=dict(order.given), why="waits on")
    return ended.model_copy(update={"summary": said, "settled": False, "next": [again]})


async def say_nothing(_passed: float, _total: float, _message: str) -> None:
    """Report to nobody."""


def _replaced(body: Any, path: Sequence[str], value: Any) -> Any:
    """Copy an answer with another value at the end of a path."""
    if not path or not isinstance(body, Mapping):
        return value
    return {**body, path[0]: _replaced(body.get(path[0]), path[1:], value)}


def _first_line(error: ApMcpError) -> str:
    return str(error).partition("\n")[0].rstrip(".")
