"""Calls of the tools that are no operation: each makes several reads, and one answer of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ap_mcp.arguments import check_arguments
from ap_mcp.assessment import ASSESS_UPGRADE
from ap_mcp.assessment.model import Assessment
from ap_mcp.assessment.reads import assess
from ap_mcp.errors import CallRefused, NameNotFound, Problem
from ap_mcp.plans import ToolContext
from ap_mcp.problems import LIST_PROBLEMS
from ap_mcp.problems.inside import LOOKS
from ap_mcp.problems.model import ProblemList
from ap_mcp.problems.reads import list_problems
from ap_mcp.shaping import Answered, shaped_aside
from ap_mcp.specs import CLUSTER, Catalog, Operation
from ap_mcp.summaries import Result
from ap_mcp.wait import DELETED, IN_CLUSTERS, UNTIL, WAIT_FOR
from ap_mcp.wait.clocks import Clocks
from ap_mcp.wait.poller import Ending, Shown, Watch
from ap_mcp.wait.result import Waited, waited
from ap_mcp.wait.targets import Order, ReadKey, Waitable, misfits, misfits_inside, waitables

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.kubernetes.tools import KindsKept


def result_types() -> dict[str, type[Result]]:
    """Return the types of the results of read tools, by their names."""
    return {WAIT_FOR: Waited, ASSESS_UPGRADE: Assessment, LIST_PROBLEMS: ProblemList}


NOT_INSIDE = "Workloads inside the clusters were not read: name one in cluster_id for that, or use k8s_diagnose."


class Waits:
    """The calls of `wait_for`.

    Args:
        operations: those that are offered.
        catalog: all operations.
        clocks: how time passes.
        inside: gives what clusters serve, if the tools for what is inside them are offered.
    """

    def __init__(
        self, operations: Iterable[Operation], catalog: Catalog, clocks: Clocks, inside: "KindsKept | None" = None
    ) -> None:
        self._waitables = waitables(operations, catalog)
        self._clocks = clocks
        self._inside = inside

    def misfits(self, arguments: Mapping[str, Any]) -> Sequence[Problem]:
        """Return what is wrong with arguments because of the kind that is waited for."""
        if arguments.get("kind") in IN_CLUSTERS:
            return list(misfits_inside(arguments))
        kind = arguments.get("kind")
        if self._inside is not None and isinstance(kind, str) and kind not in self._waitables:
            from ap_mcp.kubernetes.waits import meant  # noqa: PLC0415 - most calls know the kind

            return list(meant(kind))
        return list(misfits(self._waitables, arguments))

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> Result:
        """Wait for the end of a thing, and say how it ended."""
        if arguments["kind"] in IN_CLUSTERS and self._inside is not None:
            from ap_mcp.kubernetes.waits import wait_inside  # noqa: PLC0415 - most waits are for other things

            return await wait_inside(arguments, context, self._inside(), self._clocks)
        waitable, polls = self._waitables[arguments["kind"]], _Polls(context)
        order = Order(waitable, {**arguments, **await _about(context, waitable, arguments)})
        try:
            wanted = await polls.prepare(order)
        except NameNotFound as error:
            if not order.until_deleted:
                raise
            if error.alike:  # a misspelt name is no proof that the thing is gone
                raise NameNotFound(
                    f"{error} If it was deleted, it is gone, and there is nothing to wait for."
                ) from None
            doubt = f"Nothing is called that at the first read. If that is unexpected: {error}"
            return waited(order, Ending(order, "succeeded", None, 0.0, doubt), None)
        await polls.foresee(order.instead())
        changed = self._clocks.recent.concerns(order, wanted)

        async def sleep(seconds: float) -> None:
            async with context.rest():
                await self._clocks.sleep(seconds)

        watch = Watch(order, polls.poll, polls.describe, sleep, self._clocks.now, context.report, changed)
        ending = await watch.run()
        result = None
        if ending.seen is not None:
            read, given, seen = ending.order.read, polls.arguments(ending.order), ending.seen
            beside = ending.order.beside
            if read.objects is not None:
                from ap_mcp.kubernetes.readiness import workloads_beside  # noqa: PLC0415 - few things consist of any

                beside = await workloads_beside(read, seen.body, given, context)
            result = await context.finishing.shaped(read, given, seen, context.caller.principal, beside=beside)
        return waited(order, ending, result)


async def assess_upgrade(catalog: Catalog, arguments: Mapping[str, Any], context: ToolContext) -> Result:
    """Say whether a cluster can be upgraded now, by the catalog of all operations."""
    reads = context.reads

    async def forbidden(tool: str, given: Mapping[str, Any]) -> str:
        return await reads.refusal(catalog[tool], given)

    absent = frozenset(catalog) - context.finishing.operations.keys()
    wanted = await reads.resolve(arguments)
    condition = catalog["upgrade_cluster"].precondition
    found = await assess(
        wanted,
        reads.read,
        reads.now,
        forbidden=forbidden,
        absent=absent,
        needs=condition.needs if condition else "",
    )
    return context.finishing.advised(found)


async def problems(arguments: Mapping[str, Any], context: ToolContext, inside: "KindsKept | None" = None) -> Result:
    """Say what of the account, or of one cluster, needs attention; of one cluster also what is `inside` it."""
    reads = context.reads
    cluster = (await reads.resolve(arguments)).get(CLUSTER)
    looks = LOOKS
    if cluster is not None and inside is not None:
        from ap_mcp.kubernetes.troubles_inside import look_at_workloads  # noqa: PLC0415 - only for one cluster

        looks = (*LOOKS, look_at_workloads(reads, inside()))
    found = await list_problems(cluster, reads.read, reads.now, context.report, looks)
    said = reads.left_out("list_clusters") if cluster is None else []
    said += [NOT_INSIDE] if cluster is None and inside is not None and found.looked_at.get("clusters") else []
    return context.finishing.advised(found.model_copy(update={"warnings": [*found.warnings, *said]}))


@dataclass
class _Polls:
    """The reads of one wait: of a thing, and of what it is about if the thing is forgotten.

    Attributes:
        ready: arguments of each read that was prepared, or why it may not be made.
    """

    context: ToolContext
    ready: dict[ReadKey, Mapping[str, Any] | CallRefused] = field(default_factory=dict)

    async def prepare(self, order: Order) -> Mapping[str, Any]:
        """Check a read against the specs and the policy; return its arguments, clusters by their ids.

        Raises:
            CallRefused: it may not be made.
        """
        check_arguments(order.read, order.arguments)
        wanted = await self.context.reads.resolve(order.arguments, order.read)
        await self.context.reads.permit(order.read, wanted)
        self.ready[order.key] = wanted
        return wanted

    async def foresee(self, instead: Order | None) -> None:
        """Prepare a read while what it is about can still be found, and its name and tags read for the policy."""
        if instead is None or isinstance(self.ready.get(instead.key), Mapping):
            return
        try:
            await self.prepare(instead)
        except CallRefused as refused:
            self.ready[instead.key] = refused

    def arguments(self, order: Order) -> Mapping[str, Any]:
        """Return the arguments of a read that was prepared.

        Raises:
            CallRefused: it may not be made.
        """
        wanted = self.ready[order.key]
        if isinstance(wanted, CallRefused):
            raise wanted
        return wanted

    async def poll(self, order: Order) -> "CloudResponse":
        """Read once more."""
        response = await self.context.reads.response(order.read, self.arguments(order), fresh=True)
        await self.foresee(order.instead(response.body))
        return response.narrowed(order.narrowed(response.body))

    async def describe(self, order: Order, response: "CloudResponse") -> Shown:
        """Say in a sentence what a read showed, and how far the thing is."""
        given, now = self.arguments(order), self.context.reads.now()
        source = response.parsed_from
        answered = Answered(order.read, given, response.body, now, beside=order.beside, content=source)
        found = (await shaped_aside(answered, len(response.content))).result
        return Shown(found.summary, found.share)


async def _about(context: ToolContext, waitable: Waitable, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments that name what a thing is about, clusters by their ids.

    Raises:
        CallRefused: a name fits no cluster, or several.
    """
    given = {name: arguments[name] for name in waitable.optional if name in arguments}
    try:
        return await context.reads.resolve(given)
    except NameNotFound:
        if arguments.get(UNTIL) != DELETED:
            raise
        return given  # perhaps deleted already, and the job that did it still shows it
