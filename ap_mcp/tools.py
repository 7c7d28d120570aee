"""Operations as MCP tools: what a client is shown, and which of them it is shown."""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_types import Tool, ToolAnnotations

from ap_mcp.schemas import input_schema
from ap_mcp.specs import Catalog, Operation
from ap_mcp.summaries.schema import output_schema, result_schema
from ap_mcp.wait import DESCRIPTION, TITLE, WAIT_FOR, Waited, wait_schema

ALL = "all"
PRESET = "essential"
DRY_RUN = "dry_run"
TOKEN = "confirmation_token"  # noqa: S105 - the name of an argument
ESSENTIAL = frozenset(
    {
        *("list_clusters", "get_cluster", "create_cluster", "update_cluster", "delete_cluster", "get_job"),
        *("get_cluster_certificate", "get_cluster_endpoints", "get_quotas", "add_cluster_tags"),
        *("list_addons", "get_addon", "list_addon_templates", "install_addon", "update_addon", "delete_addon"),
        *("get_upgrade_info", "run_precheck", "get_precheck", "list_prechecks", "upgrade_cluster"),
        *("get_upgrade_task", "list_upgrade_tasks", "retry_upgrade", "backup_cluster", "run_postcheck"),
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
    """Return one tool per operation, and `wait_for` if one can be waited on, sorted so that clients may cache them."""
    chosen = tuple(operations.values() if isinstance(operations, Mapping) else operations)
    kinds = [kind for operation in chosen if (kind := operation.awaited_as)]
    tools = [build_tool(operation, confirm=confirm) for operation in chosen] + ([wait_tool(kinds)] if kinds else [])
    return sorted(tools, key=lambda tool: tool.name)


def own_schemas(operation: Operation, confirm: str = "human") -> dict[str, dict[str, Any]]:
    """Return the arguments of ours that a tool takes beside those of its operation, each with its schema.

    Args:
        operation: what the tool calls.
        confirm: how consent is had; only `token` lets the model carry one.
    """
    if not operation.guarded:
        return {}
    token = {TOKEN: {"type": "string", "description": "From approval_required"}} if confirm == "token" else {}
    return {DRY_RUN: {"type": "boolean", "description": "Only show"}, **token}


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


def wait_tool(kinds: Iterable[str]) -> Tool:
    """Return the tool that waits for things of some kinds; all it does is read."""
    return Tool(
        name=WAIT_FOR,
        title=TITLE,
        description=DESCRIPTION,
        input_schema=wait_schema(kinds),
        output_schema=result_schema(Waited),
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


def _holds(operation: Operation, toolsets: frozenset[str]) -> bool:
    return bool({ALL, operation.subject} & toolsets) or (PRESET in toolsets and operation.id in ESSENTIAL)
