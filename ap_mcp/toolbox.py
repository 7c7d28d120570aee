"""Operations as MCP tools: what a client is shown, and which of them it is shown."""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_types import Tool, ToolAnnotations

from ap_mcp.output_schemas import output_schema, result_schema
from ap_mcp.read_tools import Composed, offered
from ap_mcp.schemas import argument_schema, input_schema
from ap_mcp.specs import Catalog, Operation, load_catalog
from ap_mcp.summaries.base import CURSOR, DETAIL, FULL

ALL = "all"
PRESET = "essential"
DRY_RUN = "dry_run"
OPTIONS: dict[str, dict[str, Any]] = {
    CURSOR: {"type": "string", "description": "Next page"},
    DETAIL: {"type": "string", "enum": ["summary", FULL], "description": "How much"},
}
TOKEN = "confirmation_token"  # noqa: S105 - the name of an argument
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


def build_tools(operations: Mapping[str, Operation] | Iterable[Operation], *, confirm: str = "human") -> list[Tool]:
    """Return one tool per operation and those made of several, sorted so that clients may cache them."""
    chosen = tuple(operations.values() if isinstance(operations, Mapping) else operations)
    tools = [build_tool(operation, confirm=confirm) for operation in chosen]
    made = offered({operation.id: operation for operation in chosen})
    return sorted([*tools, *map(composed_tool, made.values())], key=lambda tool: tool.name)


def own_schemas(operation: Operation, confirm: str = "human") -> dict[str, dict[str, Any]]:
    """Return the arguments of ours that a tool takes beside those of its operation, each with its schema.

    Args:
        operation: what the tool calls.
        confirm: how consent is had; only `token` lets the model carry one.
    """
    reads = {each.argument: (load_catalog()[each.operation], each.description) for each in operation.context}
    named = {name: _context_schema(read, name, said) for name, (read, said) in reads.items()}
    chosen = {name: dict(OPTIONS[name]) for name in operation.options}
    if not operation.guarded:
        return {**named, **chosen}
    token = {TOKEN: {"type": "string", "description": "From approval_required"}} if confirm == "token" else {}
    return {**named, **chosen, DRY_RUN: {"type": "boolean", "description": "Only show"}, **token}


def build_tool(operation: Operation, *, confirm: str = "human") -> Tool:
    """Return the tool of one operation; its hints state the worst it can do."""
    effect = operation.worst_effect
    schema = input_schema(operation)
    schema["properties"] |= own_schemas(operation, confirm)
    return Tool(
        name=operation.id,
        title=operation.title,
        description=operation.description,
        input_schema=schema,
        output_schema=output_schema(operation.summary),
        annotations=ToolAnnotations(
            read_only_hint=effect == "read",
            destructive_hint=effect in {"disrupt", "destroy"},
            idempotent_hint=operation.idempotent,
            open_world_hint=True,
        ),
    )


def composed_tool(composed: Composed) -> Tool:
    """Return a tool that is made of reads."""
    return Tool(
        name=composed.name,
        title=composed.title,
        description=composed.description,
        input_schema=composed.input_schema,
        output_schema=result_schema(composed.result),
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
    )


def as_openai(tool: Tool) -> dict[str, Any]:
    """Return a tool in the form OpenAI's APIs take."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


def as_anthropic(tool: Tool) -> dict[str, Any]:
    """Return a tool in the form Anthropic's API takes."""
    return {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}


def as_json(tool: Tool) -> dict[str, Any]:
    """Return a tool as `tools/list` sends it."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


FORMATS = {"json": as_json, "openai": as_openai, "anthropic": as_anthropic}


def _context_schema(read: Operation, name: str, description: str | None) -> dict[str, Any]:
    schema = argument_schema(read, read.arguments[name])
    return {**schema, "description": description} if description else schema


def _holds(operation: Operation, toolsets: frozenset[str]) -> bool:
    return bool({ALL, operation.subject} & toolsets) or (PRESET in toolsets and operation.id in ESSENTIAL)
