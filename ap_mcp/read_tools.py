"""Tools that are no operation: several reads made into one answer, each of which the policy must let pass.

A host waits for the list of tools: here stands how they are shown, and `read_calls` comes with the first call.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ap_mcp import assessment, problems, wait
from ap_mcp.kubernetes.spec import TOOLSET
from ap_mcp.plans import ReadTool, ToolContext
from ap_mcp.specs import CLUSTER, Catalog, Operation
from ap_mcp.wait.clocks import Clocks

if TYPE_CHECKING:
    from ap_mcp.kubernetes.tools import KindsKept
    from ap_mcp.read_calls import Waits
    from ap_mcp.summaries import Result


CLUSTER_KIND = "cluster"
"""The kind of thing whose id, for wait_for, is that of a cluster."""


def offered(
    operations: Mapping[str, Operation],
    catalog: Catalog,
    clocks: Clocks,
    inside: "KindsKept | None" = None,
    longest: int = wait.LONGEST,
) -> list[ReadTool]:
    """Return the read tools that can be made of the operations that are offered.

    Args:
        operations: those that are offered, by name.
        catalog: all operations.
        clocks: how time passes.
        inside: gives what clusters serve, if the tools for what is inside them are offered.
        longest: how many seconds a call may wait.
    """
    reads = [each for each in operations.values() if each.awaited_as]
    waiting = [_wait_tool(reads, catalog, clocks, inside, longest)] if reads or inside else []
    return [*waiting, *(tool for tool in read_tools(catalog, inside) if operations.keys() >= tool.needs)]


def read_tools(catalog: Catalog, inside: "KindsKept | None" = None) -> tuple[ReadTool, ...]:
    """Return the read tools that are shown the same wherever they are offered."""
    return (assess_tool(catalog), problems_tool(catalog, inside))


def _wait_tool(
    reads: list[Operation], catalog: Catalog, clocks: Clocks, inside: "KindsKept | None", longest: int
) -> ReadTool:
    """Return `wait_for`, for the kinds of things that some operations read, and those inside clusters."""
    within = wait.IN_CLUSTERS if inside else ()

    @cache
    def waits() -> "Waits":
        from ap_mcp.read_calls import Waits  # noqa: PLC0415 - no start waits for what only calls need

        return Waits(reads, catalog, clocks, inside)

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> "Result":
        return await waits().run(arguments, context)

    return ReadTool(
        name=wait.WAIT_FOR,
        title=wait.TITLE,
        description=wait.DESCRIPTION,
        toolsets=frozenset({"essential", *(each.subject for each in reads), *([TOOLSET] if inside else [])}),
        input_schema=wait.wait_schema((*wait.kinds(reads), *within), longest),
        run=run,
        in_path=wait.PLACES,
        cluster_of=lambda given: given["id"] if given.get("kind") == CLUSTER_KIND else given.get(CLUSTER),
        misfits=lambda arguments: waits().misfits(arguments),
        on_objects=bool(inside),
    )


def assess_tool(catalog: Catalog) -> ReadTool:
    """Return `assess_upgrade`: all that a person would read before an upgrade."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> "Result":
        from ap_mcp.read_calls import assess_upgrade  # noqa: PLC0415 - likewise

        return await assess_upgrade(catalog, arguments, context)

    return ReadTool(
        name=assessment.ASSESS_UPGRADE,
        title=assessment.TITLE,
        description=assessment.DESCRIPTION,
        toolsets=frozenset({"upgrades", "essential"}),
        input_schema=assessment.input_schema(catalog),
        run=run,
        needs=assessment.NEEDS,
        in_path=(CLUSTER,),
    )


def problems_tool(catalog: Catalog, inside: "KindsKept | None" = None) -> ReadTool:
    """Return `list_problems`: what of the account, or of one cluster, needs attention."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> "Result":
        from ap_mcp import read_calls  # noqa: PLC0415 - likewise

        return await read_calls.problems(arguments, context, inside)

    return ReadTool(
        name=problems.LIST_PROBLEMS,
        title=problems.TITLE,
        description=problems.DESCRIPTION,
        toolsets=frozenset({"clusters", "essential"}),
        input_schema=problems.input_schema(catalog),
        run=run,
        needs=problems.NEEDS,
        in_path=(CLUSTER,),
        on_objects=bool(inside),
    )
