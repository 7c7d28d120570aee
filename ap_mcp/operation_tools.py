"""Operations of the specs as tools: each call is one request."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from anyio import move_on_after, to_thread

from ap_mcp import guard
from ap_mcp.aftermath import Aftermath
from ap_mcp.arguments import check_arguments
from ap_mcp.binding import FilePart
from ap_mcp.errors import ApMcpError, QuotaExceeded
from ap_mcp.files import read_upload
from ap_mcp.filling import fill_in
from ap_mcp.guard.subject import Subject, subject_of
from ap_mcp.lost_answers import Look, Sent
from ap_mcp.plans import Draft, Plan, ToolContext, refuse_placeholders
from ap_mcp.schemas import argument_schema, input_schema, nodes_at
from ap_mcp.specs import FILE, Context, Effect, Operation, load_catalog
from ap_mcp.summaries import Result, result_type
from ap_mcp.summaries.base import AFTERWARDS, CURSOR, DETAIL, FULL, SECTION, TAG
from ap_mcp.vendor import get, text

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.reads import Reads

DRY_RUN = "dry_run"
TOKEN = "confirmation_token"  # noqa: S105 - the name of an argument
OPTIONS: dict[str, dict[str, Any]] = {
    CURSOR: {"type": "string", "description": "Next page"},
    DETAIL: {"type": "string", "enum": ["summary", FULL], "description": "How much"},
    SECTION: {"type": "string", "description": "Only these values, e.g. server.ingress"},
    TAG: {"type": "string", "description": "key or key=value"},
}
AFTERWARDS_SECONDS = 10.0
CHART_LIMIT = 12 * 1024 * 1024


@dataclass(frozen=True)
class OperationTool:
    """One operation as a tool.

    Attributes:
        operation: what it calls.
        confirm: how consent is obtained; only with `token` the model may carry one.
    """

    operation: Operation
    confirm: str = "human"

    @property
    def name(self) -> str:
        """The name that clients call it by."""
        return self.operation.id

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        return self.operation.title

    @property
    def description(self) -> str:
        """What it does, for an agent."""
        return self.operation.description

    @property
    def toolsets(self) -> frozenset[str]:
        """The subject that it belongs to."""
        return frozenset({self.operation.subject})

    @property
    def effect(self) -> Effect:
        """Its gravest effect."""
        return self.operation.worst_effect

    @property
    def idempotent(self) -> bool:
        """Whether calling it twice does no more than calling it once."""
        return self.operation.idempotent

    @property
    def result(self) -> str:
        """The kind of its results."""
        return self.operation.summary

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of the operation's arguments and of ours; made once per process, so it is not to be changed."""
        return _input_schema(self.operation, self.confirm)

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call as they are meant.

        Raises:
            InvalidArguments: with every problem found.
        """
        wanted = check_arguments(self.operation, arguments, own=_own_schemas(self.operation, self.confirm))
        merged = {fill.pointer for fill in self.operation.fill if fill.merge}
        places = {name: argument.places for name, argument in self.operation.arguments.items()}
        # In settings that are merged, a placeholder in its own place keeps what is there: that needs a read.
        refuse_placeholders({name: each for name, each in wanted.items() if not merged & {*places.get(name, ())}})
        return wanted

    def subject(self, arguments: Mapping[str, Any]) -> Subject:
        """Return a call as rules see it before anything is read."""
        return subject_of(self.operation, self._sent(arguments))

    def is_dry_run(self, arguments: Mapping[str, Any]) -> bool:
        """Say whether a call only asks what would happen."""
        return bool(arguments.get(DRY_RUN))

    async def plan(self, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
        """Return what a call will do.

        Raises:
            CallRefused: a name fits nothing, or a file cannot be read.
        """
        sent = self._sent(arguments)
        files = await self._files(sent, context)
        sent = await context.reads.resolve(sent, self.operation)
        seen = await context.reads.effect_facts(self.operation, sent)
        call = _Call(self.operation, sent, arguments, files, context, seen)
        return Plan(
            subject=subject_of(self.operation, sent, seen=seen),
            arguments=sent,
            answer=call.answer if self.effect == "read" else None,
            draft=call.draft,
            finish=call.finish,
            explain=call.explain,
            look=call.look,
            cluster=call.cluster if self.operation.target and self.operation.target.cluster else None,
            files={name: part.content for name, part in files.items()},
            dry_run=self.is_dry_run(arguments),
            takes_token=self.operation.guarded,
            token=arguments.get(TOKEN),
        )

    def _sent(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the operation, without those of ours."""
        return {name: value for name, value in arguments.items() if name in self.operation.arguments}

    async def _files(self, arguments: Mapping[str, Any], context: ToolContext) -> dict[str, FilePart]:
        """Read the local files that arguments name, before anything is sent."""
        parts = {}
        for name, argument in self.operation.arguments.items():
            node = nodes_at(self.operation, argument.places[0])[-1] if name in arguments and argument.places else {}
            if node.get("contentMediaType") == FILE:
                read = partial(read_upload, arguments[name], context.finishing.settings.chart_roots, CHART_LIMIT)
                upload = await to_thread.run_sync(read)
                parts[name] = FilePart(upload.filename, upload.content)
        return parts


@cache
def _input_schema(operation: Operation, confirm: str) -> dict[str, Any]:
    schema = input_schema(operation)
    return {**schema, "properties": {**schema["properties"], **_own_schemas(operation, confirm)}}


@cache
def _own_schemas(operation: Operation, confirm: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of ours that a tool takes beside those of its operation, each with its schema."""
    found = {each.argument: _context_schema(each) for each in operation.context}
    found |= {name: dict(OPTIONS[name]) for name in operation.options}
    if operation.guarded:
        found[DRY_RUN] = {"type": "boolean", "description": "Only show"}
    if operation.guarded and confirm == "token":
        found[TOKEN] = {"type": "string", "description": "From approval_required"}
    return found


def _context_schema(context: Context) -> dict[str, Any]:
    read = load_catalog()[context.operation]
    schema = argument_schema(read, read.arguments[context.argument])
    return {**schema, "description": context.description} if context.description else schema


def _same(at: datetime) -> datetime:
    return at


@dataclass(frozen=True)
class _Call:
    """One call of an operation: `sent` are its arguments with names replaced by ids, `given` all of them as given."""

    operation: Operation
    sent: Mapping[str, Any]
    given: Mapping[str, Any]
    files: Mapping[str, FilePart]
    context: ToolContext
    seen: Mapping[str, Any]

    async def answer(self) -> Result:
        """Read, and say what was read."""
        beside = await self._beside()
        response = await self.context.reads.made(self.operation, self.sent)
        return await self._shaped(response, beside)

    async def draft(self, reads: "Reads", effect: Effect | None, at: datetime | None = None) -> Draft:
        """Return the request, and what it would do if `effect` is given."""
        sent, impact = dict(self.sent), None
        if effect is not None:
            clock = reads.now if at is None else partial(_same, at)
            impact = await guard.build_impact(
                guard.Case(self.operation, self.sent, effect, reads.tell, clock, self._contents())
            )
            sent |= impact.settled
        filled = await fill_in(self.operation, sent, reads.tell if impact else reads.read)
        call = await reads.gateway.bound(self.operation, sent, filled=filled.values, files=self.files)
        return Draft((call,), impact)

    async def finish(self, responses: "Sequence[CloudResponse]") -> Result:
        """Say what was answered to the request; or what was found of it, if the answer was lost."""
        response = responses[0]
        if response.found and response.body is None:
            return result_type(self.operation.summary)(summary=response.found)
        result = await self._shaped(response, {**self.seen, **await self._afterwards()})
        return result.model_copy(update={"summary": f"{response.found} {result.summary}"}) if response.found else result

    def _contents(self) -> dict[str, bytes]:
        return {name: part.content for name, part in self.files.items()}

    async def explain(self, error: ApMcpError) -> None:
        """Add the quotas to an error about one."""
        if isinstance(error, QuotaExceeded):
            error.hint = f"{error.hint} {await self.context.reads.quotas()}".strip()

    async def look(self, sent: Sent) -> Look:
        """Look for what became of the request, by what the spec says of that."""
        return await Aftermath(self.operation, self.sent, self.context.reads.anew(), self._contents()).look(sent)

    async def cluster(self, reads: "Reads") -> str:
        """Read which cluster the thing is about that the call acts on; empty if it is about none."""
        target = self.operation.target
        if target is None or target.cluster is None:
            return ""
        taken = reads.catalog[target.read].arguments
        thing = await reads.read(target.read, **{name: value for name, value in self.sent.items() if name in taken})
        return text(get(thing, target.cluster))

    async def _afterwards(self) -> dict[str, Any]:
        """Read how things are once the call has succeeded; nothing, if that cannot be read."""
        reading = self.operation.afterwards
        with move_on_after(AFTERWARDS_SECONDS), suppress(ApMcpError):
            if reading is not None:
                return {AFTERWARDS: await self.context.reads.anew().read(reading.operation, **reading.given(self.sent))}
        return {}

    async def _beside(self) -> dict[str, Any]:
        """Read what arguments of ours name, for the summary to go by."""
        found, reads = {}, self.context.reads
        for each in self.operation.context:
            if each.argument in self.given:
                wanted = await reads.resolve({each.argument: self.given[each.argument]})
                found[each.argument] = await reads.read(each.operation, **wanted)
        return found

    async def _shaped(self, response: "CloudResponse", beside: Mapping[str, Any]) -> Result:
        own = {name: value for name, value in self.given.items() if name not in self.operation.arguments}
        return await self.context.finishing.shaped(
            self.operation, self.sent, response, self.context.caller.principal, own=own, beside=beside
        )
