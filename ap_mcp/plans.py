"""The one form of tool: what a client is shown of it, and what a call of it will do."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from ap_mcp.arguments import check_against
from ap_mcp.binding import HttpCall
from ap_mcp.errors import ApMcpError, InvalidArguments, Problem
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.subject import Subject, ToolScope
from ap_mcp.lost_answers import Look, Sent, look_nowhere
from ap_mcp.masking import contains_placeholder, mask, mask_text
from ap_mcp.specs import CLUSTER, Effect
from ap_mcp.summaries import Result
from ap_mcp.summaries.base import TAG

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.finishing import Finishing
    from ap_mcp.guard.impacts.base import Impact
    from ap_mcp.reads import Reads

Report: TypeAlias = Callable[[float, float, str], Awaitable[None]]
"""Is given how far the call is, of how much, and what was read last."""


async def report_nothing(_progress: float, _total: float, _message: str) -> None:
    """Report to no one."""


class Draft(NamedTuple):
    """What a call would send, by one set of reads.

    Attributes:
        calls: the requests, in order.
        impact: what they would do, for a person to read; None if it was not asked for.
        steps: what each request does, in a few words; only several need them.
        compared: the requests as a consent is bound to them, if not to the byte: without the version that an object
            had when it was read, or the second in which they were made.
    """

    calls: tuple[HttpCall, ...]
    impact: "Impact | None" = None
    steps: tuple[str, ...] = ()
    compared: tuple[HttpCall, ...] = ()


class Drafter(Protocol):
    """Makes the requests of a call."""

    async def __call__(self, reads: "Reads", effect: Effect | None, at: datetime | None = None) -> Draft:
        """Return the requests, by what the reads show.

        Args:
            reads: one set of reads.
            effect: how grave the call is, if the impact is wanted; None if not.
            at: describe the impact as of then; else as of now.
        """


async def _nothing_to_add(_: ApMcpError) -> None:
    """Leave an error as it is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call will do: its reads, then its writes in order, after one consent and with a permit each.

    Attributes:
        subject: the call as rules see it.
        arguments: with names replaced by ids.
        answer: makes the reads of a call that only reads, and returns the result.
        draft: makes the requests of a call that does more; also of one that only reads, for when a rule wants a person
            asked about it. None: such a call cannot be asked about.
        finish: makes the result of what was answered to the requests.
        explain: adds to an error what helps, before it is reported.
        look: finds out what became of a request whose answer was lost.
        renew: makes a request anew, known by its place, after the service said that the object has another version by
            now; None: something that was agreed to is different. Without it, that ends the call.
        cluster: reads which cluster it is about, if no argument names it.
        files: content of the files that arguments name: a consent is bound to it.
        dry_run: show what would happen and send nothing.
        takes_token: the tool has an argument for the consent that the model itself carries.
        token: the consent that the model itself carries.
        local_use: what it does to the machine it runs on, so that it is for callers there only; else empty.
    """

    subject: Subject
    arguments: Mapping[str, Any] = field(repr=False)
    answer: Callable[[], Awaitable[Result]] | None = None
    draft: Drafter | None = None
    finish: "Callable[[Sequence[CloudResponse]], Awaitable[Result]] | None" = None
    explain: Callable[[ApMcpError], Awaitable[None]] = _nothing_to_add
    look: Callable[[Sent], Awaitable[Look]] = look_nowhere
    renew: Callable[[int], Coroutine[Any, Any, HttpCall | None]] | None = None
    cluster: "Callable[[Reads], Awaitable[Any]] | None" = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    dry_run: bool = False
    takes_token: bool = False
    token: str | None = field(default=None, repr=False)
    local_use: str = ""

    def __post_init__(self) -> None:
        if (self.draft is None) != (self.finish is None):
            raise TypeError(f"{self.subject.tool}: a plan that sends something says what came of it, and no other does")

    async def cluster_named(self, reads: "Reads") -> Any:
        """Return the cluster that the call is about, by its id or name; None if it is about none."""
        return self.arguments.get(CLUSTER) if self.cluster is None else await self.cluster(reads)

    async def finished(self, responses: "Sequence[CloudResponse]") -> Result:
        """Return the result of what was answered to the requests."""
        if self.finish is None:
            raise TypeError(f"{self.subject.tool} sends nothing")
        return await self.finish(responses)


class ToolContext(NamedTuple):
    """What a tool may use for one call.

    Attributes:
        reads: one set of reads, under the policy of the caller.
        finishing: makes results fit for the caller.
        caller: who calls.
        rehearse: `await rehearse(call, subject)` has a cluster check a request that its server will not carry out
            (`dryRun=All`), if the policy does not refuse the subject; returns the answer.
        report: takes progress.
        rest: what a call is inside of while it only waits, so that others may work.
    """

    reads: "Reads"
    finishing: "Finishing"
    caller: Caller
    rehearse: "Callable[[HttpCall, Subject], Awaitable[CloudResponse]]"
    report: Report = report_nothing
    rest: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


class Tool(Protocol):
    """A tool: an operation of the specs, several reads made into one answer, or requests to something else."""

    @property
    def name(self) -> str:
        """The name that clients call it by."""

    @property
    def title(self) -> str:
        """What it does, in a few words."""

    @property
    def description(self) -> str:
        """What it does, when to use it, and what follows; for an agent."""

    @property
    def toolsets(self) -> frozenset[str]:
        """The toolsets that hold it."""

    @property
    def effect(self) -> Effect:
        """Its gravest effect, whatever the arguments are."""

    @property
    def scope(self) -> ToolScope:
        """What its calls can be: every effect, and whether they act on a cluster."""

    @property
    def least_effect(self) -> Effect:
        """What a call does at least, before its arguments or what they change raise it."""

    @property
    def idempotent(self) -> bool:
        """Whether calling it twice does no more than calling it once."""

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments: flat, without references."""

    @property
    def result(self) -> str:
        """The kind of its results, by which `output_schemas` has their schema."""

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call as they are meant; everything else takes these.

        Raises:
            InvalidArguments: with every problem found.
        """

    def subject(self, arguments: Mapping[str, Any]) -> Subject:
        """Return a call as rules see it before anything is read."""

    def is_dry_run(self, arguments: Mapping[str, Any]) -> bool:
        """Say whether a call only asks what would happen."""

    async def plan(self, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
        """Return what a call will do; nothing is sent yet but what it takes to replace names by ids.

        Raises:
            CallRefused: a name fits nothing, a file cannot be read, and the like.
        """


@dataclass(frozen=True)
class ReadTool:
    """A tool that makes several reads and gives one answer; `wait_for` and `assess_upgrade` are such tools.

    Attributes:
        toolsets: the toolsets that hold it; `essential` is one.
        needs: operations that must be offered for it to be.
        run: `await run(arguments, context)` reads with `context.reads` and returns the result.
        in_path: arguments that become a part of a path.
        cluster_of: returns the cluster that a call is about, so that rules about clusters apply; None if none.
        misfits: finds what is wrong with arguments although it fits the schema.
        checks: the schema that arguments are checked against, if it says more than what clients are shown.
        on_objects: it reads objects inside a cluster.
    """

    name: str
    title: str
    description: str
    toolsets: frozenset[str]
    input_schema: dict[str, Any]
    run: Callable[[Mapping[str, Any], ToolContext], Awaitable[Result]]
    needs: frozenset[str] = frozenset()
    in_path: Sequence[str] = ()
    cluster_of: Callable[[Mapping[str, Any]], Any] = lambda given: given.get(CLUSTER)
    misfits: Callable[[Mapping[str, Any]], Sequence[Problem]] = lambda _: ()
    checks: dict[str, Any] | None = None
    effect: Effect = "read"
    idempotent: bool = True
    on_objects: bool = False

    @property
    def scope(self) -> ToolScope:
        """What its calls can be."""
        about = CLUSTER in self.input_schema["properties"]
        return ToolScope(frozenset({self.effect}), about, self.on_objects)

    @property
    def least_effect(self) -> Effect:
        """What a call does at least: it reads."""
        return self.effect

    @property
    def result(self) -> str:
        """The kind of its results: its own."""
        return self.name

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call as they are meant.

        Raises:
            InvalidArguments: with every problem found.
        """
        wanted = check_against(
            self.name, self.checks or self.input_schema, arguments, in_path=self.in_path, misfits=self.misfits
        )
        refuse_placeholders(wanted)
        return wanted

    def subject(self, arguments: Mapping[str, Any]) -> Subject:
        """Return a call as rules see it: a read; what it reads is decided about read by read as well."""
        on_cluster = self.cluster_of(arguments) is not None
        return Subject(self.name, frozenset({self.effect}), self.effect, on_cluster=on_cluster)

    def is_dry_run(self, _: Mapping[str, Any]) -> bool:
        """Say whether a call only asks what would happen: a read never does."""
        return False

    async def plan(self, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
        """Return a plan that only reads."""

        async def answer() -> Result:
            return await self.run(arguments, context)

        about = {**arguments, CLUSTER: self.cluster_of(arguments)}
        return Plan(self.subject(arguments), about, answer=answer)


def refuse_guesses(tag: Any) -> None:
    """Refuse to choose by a tag whose value answers mask: what is found would say whether it was guessed.

    Raises:
        InvalidArguments: the value would be masked.
    """
    key, separator, value = str(tag or "").partition("=")
    if separator and (mask_text(str(tag)) != tag or mask({key: value}) != {key: value}):
        raise InvalidArguments([Problem(TAG, f"names a value that answers mask; give the key alone: {key}")])


def refuse_placeholders(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that hold a masked value where the true one would be overwritten.

    Raises:
        InvalidArguments: naming where.
    """
    path = contains_placeholder(arguments)
    if path is not None:
        why = "is a masked placeholder, not a value; sending it would overwrite the real secret"
        raise InvalidArguments([Problem(path, f"{why}. Give the real value, or leave it out")])
