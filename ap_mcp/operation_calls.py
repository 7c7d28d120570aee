"""Calls of operations: what each reads, sends and reports."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import move_on_after

from ap_mcp import guard
from ap_mcp.aside import in_a_thread, weigh
from ap_mcp.binding import FilePart
from ap_mcp.errors import ApMcpError, NotFound, QuotaExceeded
from ap_mcp.files import read_upload
from ap_mcp.guard.subject import subject_of
from ap_mcp.lost_answers import Look, Sent
from ap_mcp.plans import Draft, Plan, ToolContext
from ap_mcp.schemas import nodes_at
from ap_mcp.specs import FILE, Effect, Operation
from ap_mcp.summaries import Result, result_type
from ap_mcp.summaries.base import AFTERWARDS
from ap_mcp.vendor import get, items, text

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.reads import Reads

AFTERWARDS_SECONDS = 10.0
CHART_LIMIT = 12 * 1024 * 1024


async def planned(
    operation: Operation, given: Mapping[str, Any], context: ToolContext, *, dry_run: bool, token: str | None
) -> Plan:
    """Return what a call of an operation will do.

    Args:
        operation: what is called.
        given: all arguments, those of ours too.
        context: what the call may use.
        dry_run: it only asks what would happen.
        token: the consent that the model itself carries.

    Raises:
        CallRefused: a name fits nothing, or a file cannot be read.
    """
    sent = {name: value for name, value in given.items() if name in operation.arguments}
    files = await _files(operation, sent, context)
    sent = await context.reads.resolve(sent, operation)
    seen = await context.reads.effect_facts(operation, sent)
    call = _Call(operation, sent, given, files, context, seen, dry_run)
    return Plan(
        subject=subject_of(operation, sent, seen=seen),
        arguments=sent,
        answer=call.answer if operation.worst_effect == "read" else None,
        draft=call.draft,
        finish=call.finish,
        explain=call.explain,
        look=call.look,
        cluster=call.cluster if operation.target and operation.target.cluster else None,
        files={name: part.content for name, part in files.items()},
        dry_run=dry_run,
        takes_token=operation.guarded,
        token=token,
        local_use=operation.local_use,
    )


async def _files(operation: Operation, arguments: Mapping[str, Any], context: ToolContext) -> dict[str, FilePart]:
    """Read the local files that arguments name, before anything is sent."""
    parts = {}
    for name, argument in operation.arguments.items():
        node = nodes_at(operation, argument.places[0])[-1] if name in arguments and argument.places else {}
        if node.get("contentMediaType") == FILE:
            read = partial(read_upload, arguments[name], context.finishing.settings.chart_roots, CHART_LIMIT)
            upload = await in_a_thread(read)
            weigh(len(upload.content))
            parts[name] = FilePart(upload.filename, upload.content)
    return parts


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
    dry_run: bool

    async def answer(self) -> Result:
        """Read, and say what was read."""
        beside = await self._beside()
        response = await self.context.reads.made(self.operation, self.sent)
        result = await self._shaped(response, {**beside, **await self._inside(response.body)})
        names = self.operation.names
        is_empty = names is not None and names.as_is and not items(response.body, names.list)
        if is_empty and (known := await self.context.reads.misnamed(self.sent)):
            result = result.model_copy(update={"summary": known})
        said = self.context.reads.left_out(self.operation.id)
        return result.model_copy(update={"warnings": [*result.warnings, *said]}) if said else result

    async def draft(self, reads: "Reads", effect: Effect | None, at: datetime | None = None) -> Draft:
        """Return the request, and what it would do if `effect` is given."""
        from ap_mcp.filling import fill_in  # noqa: PLC0415 - most calls only read

        sent, impact = dict(self.sent), None
        if effect is not None:
            clock = reads.now if at is None else partial(_same, at)
            impact = await guard.build_impact(
                guard.Case(self.operation, self.sent, effect, reads.tell, clock, self._contents(), self.dry_run)
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
        """Add the quotas to an error about one, and names that may be meant to one about a name that there is not."""
        if isinstance(error, QuotaExceeded):
            error.hint = f"{error.hint} {await self.context.reads.quotas()}".strip()
        elif isinstance(error, NotFound) and (known := await self.context.reads.misnamed(self.sent)):
            error.hint = f"{known} The same call again would get the same answer."

    async def look(self, sent: Sent) -> Look:
        """Find out what became of the request, by what the spec says of that."""
        from ap_mcp.aftermath import Aftermath  # noqa: PLC0415 - hardly any answer is lost

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

    async def _inside(self, body: Any) -> dict[str, Any]:
        """Read how the workloads in the cluster are that the thing consists of."""
        if self.operation.objects is None:
            return {}
        from ap_mcp.kubernetes.readiness import workloads_beside  # noqa: PLC0415 - few things consist of any

        return await workloads_beside(self.operation, body, self.sent, self.context)

    async def _shaped(self, response: "CloudResponse", beside: Mapping[str, Any]) -> Result:
        own = {name: value for name, value in self.given.items() if name not in self.operation.arguments}
        return await self.context.finishing.shaped(
            self.operation, self.sent, response, self.context.caller.principal, own=own, beside=beside
        )
