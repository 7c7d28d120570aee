"""Which tools a caller is offered, and how they are shown to clients of several kinds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mcp_types import Tool as McpTool
from mcp_types import ToolAnnotations

from ap_mcp.errors import OnlyLocal, ReadOnly, UnknownTool
from ap_mcp.guard.subject import ToolScope
from ap_mcp.kubernetes.spec import TOOLSET
from ap_mcp.kubernetes.tools import WRITES, KindsKept, kubernetes_tools, nothing_kept
from ap_mcp.operation_tools import OperationTool
from ap_mcp.output_schemas import output_schema
from ap_mcp.plans import Tool
from ap_mcp.read_tools import offered
from ap_mcp.specs import Catalog, Operation
from ap_mcp.wait import LONGEST, USUAL, WAIT_FOR
from ap_mcp.wait.clocks import Clocks
from ap_mcp.wording import closest

ALL = "all"
PRESET = "essential"
ESSENTIAL = frozenset(
    {
        *("list_clusters", "get_cluster", "create_cluster", "update_cluster", "delete_cluster", "get_job"),
        *("get_cluster_certificate", "get_cluster_endpoints", "add_cluster_tags"),
        *("list_addons", "get_addon", "list_addon_templates", "install_addon", "update_addon", "delete_addon"),
        *("get_upgrade_info", "run_precheck", "get_precheck", "upgrade_cluster"),
        *("get_upgrade_task", "list_upgrade_tasks", "retry_upgrade", "backup_cluster", "list_backups", "run_postcheck"),
        *("list_charts", "get_chart_values", "list_releases", "get_release", "create_release"),
        *("update_release", "delete_release", "get_release_history"),
    }
)


def select(catalog: Catalog, toolsets: Iterable[str] = (ALL,), *, read_only: bool = False) -> tuple[Operation, ...]:
    """Return the operations a server offers, in the order of the specs.

    Args:
        catalog: all operations.
        toolsets: subjects, `essential` or `all`; an operation is offered if one of them holds it.
        read_only: leave out whatever does more than read.
    """
    wanted = frozenset(toolsets)
    return tuple(
        operation
        for operation in catalog.values()
        if _holds(operation, wanted) and not (read_only and operation.worst_effect != "read")
    )


@dataclass(frozen=True)
class Toolbox:
    """The tools that a caller is offered.

    Attributes:
        operations: those behind some of them, by name.
        tools: all of them, by name.
        catalog: all operations, offered or not.
        read_only: only tools that read are offered.
        remote: tools that work with files of this machine are not offered.
        closed: what is set to read only, if it is so, as `READ_ONLY` names it.
    """

    operations: Mapping[str, Operation]
    tools: Mapping[str, Tool]
    catalog: Catalog
    read_only: bool = False
    remote: bool = False
    closed: str = "server"

    @cached_property
    def shown(self) -> list[McpTool]:
        """The tools as clients see them, sorted so that clients may cache them."""
        return sorted((as_mcp(tool) for tool in self.tools.values()), key=lambda tool: tool.name)

    @property
    def awaited(self) -> tuple[str, ...]:
        """The kinds of things that `wait_for` waits for."""
        found = self.tools.get(WAIT_FOR)
        return tuple(found.input_schema["properties"]["kind"]["enum"]) if found else ()

    def find(self, name: str) -> Tool:
        """Return a tool that is offered.

        Raises:
            ReadOnly: it does more than read.
            OnlyLocal: it works with files of this machine, and who calls is elsewhere.
            UnknownTool: it is not offered; close names are suggested.
        """
        if name in self.tools:
            return self.tools[name]
        changes = name in WRITES or (name in self.catalog and self.catalog[name].worst_effect != "read")
        if self.read_only and changes:
            raise ReadOnly(name, self.closed)
        if self.remote and name in self.catalog and (use := self.catalog[name].local_use):
            raise OnlyLocal(name, use)
        raise UnknownTool(name, closest(name, self.tools), left_out=name in {*self.catalog, *WRITES})


def toolbox(
    catalog: Catalog,
    toolsets: Iterable[str] = (ALL,),
    *,
    read_only: bool = False,
    confirm: str = "human",
    remote: bool = False,
    within: Iterable[str] = (ALL,),
    clocks: Clocks | None = None,
    kinds: KindsKept = nothing_kept,
    closed: str = "server",
) -> Toolbox:
    """Return the tools of some toolsets.

    Args:
        catalog: all operations.
        toolsets: as for `select`.
        read_only: likewise.
        confirm: how consent is obtained: with `token`, guarded tools take one.
        remote: leave out what works with files of this machine, and keep waits as short as HTTP lets them be.
        within: toolsets, one of which has to hold a tool, too.
        clocks: how time passes for tools that wait; they can be shown without, but not called.
        kinds: gives what clusters serve, shared by all callers; tools can be shown without, but not called.
        closed: what is set to read only, if it is so, as `READ_ONLY` names it.
    """
    chosen = select(catalog, toolsets, read_only=read_only)
    wanted, bounds = frozenset(toolsets), frozenset(within)
    operations = {
        operation.id: operation
        for operation in chosen
        if _holds(operation, bounds) and not (remote and operation.local_use)
    }
    tools: list[Tool] = [OperationTool(operation, confirm) for operation in operations.values()]
    clocks = clocks or Clocks.stopped(catalog)
    inside = kinds if all({ALL, PRESET, TOOLSET} & each for each in (wanted, bounds)) else None
    others = (
        *offered(operations, catalog, clocks, inside, USUAL if remote else LONGEST),
        *kubernetes_tools(kinds, read_only=read_only, confirm=confirm),
    )
    tools += [tool for tool in others if all(ALL in each or tool.toolsets & each for each in (wanted, bounds))]
    return Toolbox(operations, {tool.name: tool for tool in tools}, catalog, read_only, remote, closed)


def known_to_rules(catalog: Catalog) -> dict[str, ToolScope]:
    """Return all tools that the operator's rules may name, offered or not, with what their calls can be."""
    return {name: tool.scope for name, tool in toolbox(catalog).tools.items()}


def as_mcp(tool: Tool) -> McpTool:
    """Return a tool as `tools/list` has it; its hints state the worst that it can do."""
    return McpTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=output_schema(tool.result),
        annotations=ToolAnnotations(
            read_only_hint=tool.effect == "read",
            destructive_hint=not tool.scope.effects.isdisjoint({"disrupt", "destroy"}),
            idempotent_hint=tool.idempotent,
            open_world_hint=True,
        ),
    )


def as_openai(tool: McpTool) -> dict[str, Any]:
    """Return a tool in the form that OpenAI's Chat Completions API takes."""
    return {"type": "function", "function": _function(tool)}


def as_openai_responses(tool: McpTool) -> dict[str, Any]:
    """Return a tool in the form that OpenAI's Responses API takes."""
    # Without saying so, that API makes every argument required, which rules out most of ours.
    return {"type": "function", **_function(tool), "strict": False}


def _function(tool: McpTool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}


def as_anthropic(tool: McpTool) -> dict[str, Any]:
    """Return a tool in the form Anthropic's API takes."""
    return {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}


def as_json(tool: McpTool) -> dict[str, Any]:
    """Return a tool as `tools/list` sends it."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


FORMATS = {
    "json": as_json,
    "openai": as_openai,
    "openai-responses": as_openai_responses,
    "anthropic": as_anthropic,
}


def _holds(operation: Operation, toolsets: frozenset[str]) -> bool:
    return bool({ALL, operation.subject} & toolsets) or (PRESET in toolsets and operation.id in ESSENTIAL)
