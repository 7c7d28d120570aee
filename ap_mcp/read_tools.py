"""Tools that are no operation of their own: made of several reads, each of which the policy must let pass."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ap_mcp import wait
from ap_mcp.arguments import check_against, check_arguments
from ap_mcp.assessment import reads
from ap_mcp.assessment.reads import ASSESS_UPGRADE
from ap_mcp.errors import CallRefused, ClusterNotFound, ConfirmationRequired, DeniedByPolicy
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.facts import Facts, facts_in
from ap_mcp.specs import Catalog, Operation
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.wait import WAIT_FOR

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.gateway import Gateway


class ToolContext(Protocol):
    """What such a tool needs of the server: an `Autopilot`."""

    catalog: Catalog
    operations: dict[str, Operation]
    account: "Gateway"
    recent: wait.Recent
    sleep: wait.Sleep
    clock: wait.Now

    @property
    def composed(self) -> Mapping[str, "Composed"]:
        """The tools of this kind that are offered."""

    @property
    def waitables(self) -> Mapping[str, wait.Waitable]:
        """What can be waited for, by its kind."""

    async def permit(self, read: Operation, arguments: Mapping[str, Any], facts: Facts | None = None) -> None:
        """Raise if the policy does not let a read be made; it goes by facts that were just read, if they are given."""

    async def shaped(
        self, operation: Operation, arguments: Mapping[str, Any], reply: "CloudResponse", caller: Caller
    ) -> Result:
        """Shape an answer for an agent."""

    def advised(self, result: Result) -> Result:
        """Return a result whose next calls can be made, and say whether a person is asked."""


Run: TypeAlias = Callable[[ToolContext, Mapping[str, Any], Caller, wait.Report], Awaitable[Result]]


@dataclass(frozen=True)
class Composed:
    """One such tool; all it does is read."""

    name: str
    title: str
    description: str
    toolset: str
    input_schema: dict[str, Any]
    result: type[Result]
    run: Run


def offered(operations: Mapping[str, Operation]) -> dict[str, Composed]:
    """Return, by name, the tools that can be made of some operations."""
    kinds = [kind for operation in operations.values() if (kind := operation.awaited_as)]
    found = []
    if kinds:
        toolset = "every one with something to wait for"
        schema = wait.wait_schema(kinds)
        found.append(Composed(WAIT_FOR, wait.TITLE, wait.DESCRIPTION, toolset, schema, wait.Waited, _wait_for))
    if operations.keys() >= reads.NEEDS:
        schema = reads.input_schema(operations)
        found.append(
            Composed(
                ASSESS_UPGRADE,
                reads.TITLE,
                reads.DESCRIPTION,
                "upgrades, essential",
                schema,
                reads.Assessment,
                _assess_upgrade,
            )
        )
    return {each.name: each for each in found}


@dataclass
class _Looks:
    """The looks of one wait: at a thing, and at what it is about if the thing is forgotten.

    Attributes:
        ready: arguments of each look that was prepared, or why it may not be made.
    """

    core: ToolContext
    ready: dict[wait.ReadKey, Mapping[str, Any] | CallRefused] = field(default_factory=dict)

    async def prepare(self, order: wait.Order) -> Mapping[str, Any]:
        """Check a look against the specs and the policy; return its arguments, clusters by their ids.

        Raises:
            CallRefused: it may not be made.
        """
        check_arguments(order.read, order.arguments)
        wanted = await self.core.account.resolved(order.arguments)
        await self.core.permit(order.read, wanted)
        self.ready[order.key] = wanted
        return wanted

    async def foresee(self, instead: wait.Order | None) -> None:
        """Prepare a look while what it is at can still be found, and its name and tags read for the policy."""
        if instead is None or isinstance(self.ready.get(instead.key), Mapping):
            return
        try:
            await self.prepare(instead)
        except CallRefused as refused:
            self.ready[instead.key] = refused

    def arguments(self, order: wait.Order) -> Mapping[str, Any]:
        """Return the arguments of a look that was prepared.

        Raises:
            CallRefused: it may not be made.
        """
        wanted = self.ready[order.key]
        if isinstance(wanted, CallRefused):
            raise wanted
        return wanted

    async def look(self, order: wait.Order) -> "CloudResponse":
        """Look once."""
        reply = await self.core.account.ask(order.read, self.arguments(order))
        await self.foresee(order.instead(reply.body))
        return replace(reply, body=order.narrowed(reply.body))

    def tell(self, order: wait.Order, reply: "CloudResponse") -> str:
        """Say in a sentence what a look showed."""
        answer = Observation(order.read, self.arguments(order), reply.body, now=self.core.account.now())
        return summarise(answer).summary


async def _wait_for(core: ToolContext, arguments: Mapping[str, Any], caller: Caller, report: wait.Report) -> Result:
    """Look at something until it has ended or the time is up; each look is a reading tool's."""
    problems = wait.misfits(core.waitables, arguments)
    check_against(WAIT_FOR, core.composed[WAIT_FOR].input_schema, arguments, in_path=wait.PLACES, more=problems)
    waitable, looks = core.waitables[arguments["kind"]], _Looks(core)
    order = wait.Order(waitable, {**arguments, **await _about(core, waitable, arguments)})
    wanted = await looks.prepare(order)
    await looks.foresee(order.instead())
    changed = core.recent.concerns(order, wanted)
    ending = await wait.Watch(order, looks.look, looks.tell, core.sleep, core.clock, report, changed).run()
    result = None
    if ending.seen is not None:
        result = await core.shaped(ending.order.read, looks.arguments(ending.order), ending.seen, caller)
    return wait.waited(order, ending, result)


async def _about(core: ToolContext, waitable: wait.Waitable, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments that name what a thing is about, clusters by their ids.

    Raises:
        CallRefused: a name fits no cluster, or several.
    """
    given = {name: arguments[name] for name in waitable.optional if name in arguments}
    try:
        return await core.account.resolved(given)
    except ClusterNotFound:
        if arguments.get(wait.UNTIL) != wait.DELETED:
            raise
        return given  # perhaps deleted already, and the job that did it still tells


async def _assess_upgrade(
    core: ToolContext, arguments: Mapping[str, Any], _caller: Caller, _report: wait.Report
) -> Result:
    """Look at all that a person would look at before an upgrade."""
    check_against(ASSESS_UPGRADE, core.composed[ASSESS_UPGRADE].input_schema, arguments, in_path=(reads.CLUSTER,))
    wanted = await core.account.resolved(arguments)

    facts: Facts | None = None

    async def read(tool: str, **given: Any) -> Any:
        nonlocal facts
        operation = core.catalog[tool]
        await core.permit(operation, given, facts)
        body = (await core.account.ask(operation, given)).body
        if tool == reads.FIRST:
            facts = facts_in(body)
        return body

    async def forbidden(tool: str, given: Mapping[str, Any]) -> str:
        try:
            await core.permit(core.catalog[tool], given, facts)
        except ConfirmationRequired:
            return ""
        except DeniedByPolicy as error:
            return error.render()
        return ""

    absent = frozenset(core.catalog) - core.operations.keys()
    found = await reads.assess(wanted, read, core.account.now, forbidden=forbidden, absent=absent)
    return core.advised(found)
