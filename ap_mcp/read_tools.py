"""Tools that are no operation: several reads made into one answer, each of which the policy must let pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ap_mcp import wait
from ap_mcp.arguments import check_arguments
from ap_mcp.assessment import reads as assess
from ap_mcp.errors import CallRefused, NameNotFound
from ap_mcp.plans import ReadTool, ToolContext
from ap_mcp.problems import reads as problems
from ap_mcp.problems.model import ProblemList
from ap_mcp.shaping import Answered, shaped_aside
from ap_mcp.specs import CLUSTER, Catalog, Operation
from ap_mcp.summaries import Result
from ap_mcp.wait import WAIT_FOR

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse


CLUSTER_KIND = "cluster"
"""The kind of thing whose id, for wait_for, is that of a cluster."""


@dataclass(frozen=True)
class Clocks:
    """How time passes for tools that wait, and what was changed a moment ago; shared by all callers."""

    sleep: wait.Sleep
    now: wait.Now
    recent: wait.Recent

    @classmethod
    def stopped(cls, catalog: Catalog) -> "Clocks":
        """Return clocks for tools that are shown and never called."""

        async def sleep(_: float) -> None:
            raise RuntimeError("a tool that is only shown was called")

        return cls(sleep, lambda: 0.0, wait.Recent(catalog, lambda: 0.0))


def offered(operations: Mapping[str, Operation], catalog: Catalog, clocks: Clocks) -> list[ReadTool]:
    """Return the read tools that can be made of the operations that are offered.

    Args:
        operations: those that are offered, by name.
        catalog: all operations.
        clocks: how time passes.
    """
    waitables = wait.waitables(operations.values(), catalog)
    waiting = [_wait_tool(waitables, clocks)] if waitables else []
    return [*waiting, *(tool for tool in read_tools(catalog) if operations.keys() >= tool.needs)]


def read_tools(catalog: Catalog) -> tuple[ReadTool, ...]:
    """Return the read tools that are the same wherever they are offered."""
    return (assess_tool(catalog), problems_tool(catalog))


def result_types() -> dict[str, type[Result]]:
    """Return the types of the results of read tools, by their names."""
    return {WAIT_FOR: wait.Waited, assess.ASSESS_UPGRADE: assess.Assessment, problems.LIST_PROBLEMS: ProblemList}


def _wait_tool(waitables: Mapping[str, wait.Waitable], clocks: Clocks) -> ReadTool:
    """Return `wait_for`, for the kinds of things that can be waited for."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> Result:
        waitable, polls = waitables[arguments["kind"]], _Polls(context)
        order = wait.Order(waitable, {**arguments, **await _about(context, waitable, arguments)})
        wanted = await polls.prepare(order)
        await polls.foresee(order.instead())
        changed = clocks.recent.concerns(order, wanted)

        async def sleep(seconds: float) -> None:
            async with context.rest():
                await clocks.sleep(seconds)

        watch = wait.Watch(order, polls.poll, polls.describe, sleep, clocks.now, context.report, changed)
        ending = await watch.run()
        result = None
        if ending.seen is not None:
            result = await context.finishing.shaped(
                ending.order.read, polls.arguments(ending.order), ending.seen, context.caller.principal
            )
        return wait.waited(order, ending, result)

    return ReadTool(
        name=WAIT_FOR,
        title=wait.TITLE,
        description=wait.DESCRIPTION,
        toolsets=frozenset({"essential", *(each.read.subject for each in waitables.values())}),
        input_schema=wait.wait_schema(waitables),
        run=run,
        in_path=wait.PLACES,
        cluster_of=lambda given: given["id"] if given.get("kind") == CLUSTER_KIND else given.get(CLUSTER),
        misfits=lambda arguments: list(wait.misfits(waitables, arguments)),
    )


def assess_tool(catalog: Catalog) -> ReadTool:
    """Return `assess_upgrade`: all that a person would read before an upgrade."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> Result:
        reads = context.reads

        async def forbidden(tool: str, given: Mapping[str, Any]) -> str:
            return await reads.refusal(catalog[tool], given)

        absent = frozenset(catalog) - context.finishing.operations.keys()
        wanted = await reads.resolve(arguments)
        condition = catalog["upgrade_cluster"].precondition
        found = await assess.assess(
            wanted,
            reads.read,
            reads.now,
            forbidden=forbidden,
            absent=absent,
            needs=condition.needs if condition else "",
        )
        return context.finishing.advised(found)

    return ReadTool(
        name=assess.ASSESS_UPGRADE,
        title=assess.TITLE,
        description=assess.DESCRIPTION,
        toolsets=frozenset({"upgrades", "essential"}),
        input_schema=assess.input_schema(catalog),
        run=run,
        needs=assess.NEEDS,
        in_path=(CLUSTER,),
    )


def problems_tool(catalog: Catalog) -> ReadTool:
    """Return `list_problems`: what of the account, or of one cluster, needs attention."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> Result:
        reads = context.reads
        cluster = (await reads.resolve(arguments)).get(CLUSTER)
        return context.finishing.advised(await problems.list_problems(cluster, reads.read, reads.now, context.report))

    return ReadTool(
        name=problems.LIST_PROBLEMS,
        title=problems.TITLE,
        description=problems.DESCRIPTION,
        toolsets=frozenset({"clusters", "essential"}),
        input_schema=problems.input_schema(catalog),
        run=run,
        needs=problems.NEEDS,
        in_path=(CLUSTER,),
    )


@dataclass
class _Polls:
    """The reads of one wait: of a thing, and of what it is about if the thing is forgotten.

    Attributes:
        ready: arguments of each read that was prepared, or why it may not be made.
    """

    context: ToolContext
    ready: dict[wait.ReadKey, Mapping[str, Any] | CallRefused] = field(default_factory=dict)

    async def prepare(self, order: wait.Order) -> Mapping[str, Any]:
        """Check a read against the specs and the policy; return its arguments, clusters by their ids.

        Raises:
            CallRefused: it may not be made.
        """
        check_arguments(order.read, order.arguments)
        wanted = await self.context.reads.resolve(order.arguments, order.read)
        await self.context.reads.permit(order.read, wanted)
        self.ready[order.key] = wanted
        return wanted

    async def foresee(self, instead: wait.Order | None) -> None:
        """Prepare a read while what it is about can still be found, and its name and tags read for the policy."""
        if instead is None or isinstance(self.ready.get(instead.key), Mapping):
            return
        try:
            await self.prepare(instead)
        except CallRefused as refused:
            self.ready[instead.key] = refused

    def arguments(self, order: wait.Order) -> Mapping[str, Any]:
        """Return the arguments of a read that was prepared.

        Raises:
            CallRefused: it may not be made.
        """
        wanted = self.ready[order.key]
        if isinstance(wanted, CallRefused):
            raise wanted
        return wanted

    async def poll(self, order: wait.Order) -> "CloudResponse":
        """Read once more."""
        response = await self.context.reads.response(order.read, self.arguments(order), fresh=True)
        await self.foresee(order.instead(response.body))
        return replace(response, body=order.narrowed(response.body))

    async def describe(self, order: wait.Order, response: "CloudResponse") -> wait.Shown:
        """Say in a sentence what a read showed, and how far the thing is."""
        answered = Answered(order.read, self.arguments(order), response.body, self.context.reads.now())
        found = (await shaped_aside(answered, len(response.content))).result
        return wait.Shown(found.summary, found.share)


async def _about(context: ToolContext, waitable: wait.Waitable, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments that name what a thing is about, clusters by their ids.

    Raises:
        CallRefused: a name fits no cluster, or several.
    """
    given = {name: arguments[name] for name in waitable.optional if name in arguments}
    try:
        return await context.reads.resolve(given)
    except NameNotFound:
        if arguments.get(wait.UNTIL) != wait.DELETED:
            raise
        return given  # perhaps deleted already, and the job that did it still shows it
