"""`ap-mcp tools`: what a client is shown."""

from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import exits, settings_options, tool_argument
from ap_mcp.cli.outcomes import show_json

if TYPE_CHECKING:
    from mcp_types import Tool as McpTool

    from ap_mcp.plans import Tool
    from ap_mcp.settings import Settings
    from ap_mcp.specs import Operation

APIS = {
    "json": "MCP, as tools/list sends it",
    "openai": "OpenAI Chat Completions",
    "openai-responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
}
"""The forms in which tools are given, and the interface that takes each."""


@click.command()
@tool_argument(required=False)
@click.option(
    "--output",
    type=click.Choice(["text", *APIS]),
    default="text",
    show_default=True,
    help="Lines to read, or the tools as MCP, OpenAI's Chat Completions or Responses, or Anthropic take them.",
)
@settings_options("profile", "toolsets", "read_only")
@exits
def tools(tool: str | None, output: str, **flags: Any) -> None:
    """List the tools, or show one TOOL in full."""
    from difflib import get_close_matches

    from ap_mcp.errors import UnknownTool
    from ap_mcp.settings import load_settings
    from ap_mcp.specs import load_catalog
    from ap_mcp.toolbox import toolbox

    settings = load_settings(**flags)
    box = toolbox(load_catalog(), settings.toolsets, read_only=settings.read_only)
    offered, built = box.operations, box.shown
    if settings.profiles:
        from ap_mcp.cli.connecting import autopilot_for

        built = autopilot_for(settings).offered()
    shown = [each for each in built if tool in (None, each.name)]
    if tool is not None and not shown:
        raise UnknownTool(tool, get_close_matches(tool, [each.name for each in built], n=3))
    if output != "text":
        rendered = [_exported(output, each, box.tools[each.name], offered.get(each.name)) for each in shown]
        show_json(rendered[0] if tool else _together(output, settings, rendered))
    elif tool:
        click.echo(_described(shown[0], box.tools[tool], offered.get(tool)))
    else:
        width = max((len(each.name) for each in shown), default=0)
        for each in shown:
            click.echo(f"{each.name:<{width}}  {box.tools[each.name].least_effect:<7}  {each.title}")


def _together(output: str, settings: "Settings", tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the tools with what a client gives its model about them as a whole."""
    from ap_mcp.cli.connecting import autopilot_for
    from ap_mcp.protocol import instructions

    return {"api": APIS[output], "instructions": instructions(autopilot_for(settings)), "tools": tools}


def _exported(output: str, shown: "McpTool", tool: "Tool", operation: "Operation | None") -> dict[str, Any]:
    """Return a tool in a form, with what it can do to one: where there is no field for that, in its description."""
    from ap_mcp.specs import GUARDED, graver
    from ap_mcp.toolbox import FORMATS

    effect, worst = tool.least_effect, tool.effect
    more = graver(effect, tool.scope.effects)
    if output == "json":
        toolsets = [operation.subject] if operation else sorted(tool.toolsets)
        facts: dict[str, Any] = {"effect": effect, "worst_effect": worst, "toolsets": toolsets}
        if operation:
            facts["iam_action"] = operation.permission or None
        return FORMATS[output](shown) | {"_meta": {f"ap-mcp/{name}": each for name, each in facts.items()}}
    then = "; then a person must agree" if worst in GUARDED else ""
    consent = "; a person must agree first" if effect in GUARDED else ""
    raised = f", with some arguments {more}{consent or then}" if more else ""
    said = f"{shown.description} Effect: {effect}{raised or consent}."
    return FORMATS[output](shown.model_copy(update={"description": said}))


def _described(shown: "McpTool", tool: "Tool", operation: "Operation | None") -> str:
    """Return a tool as a page to read; one without an operation of its own reads with those of others."""
    from ap_mcp.kubernetes.spec import TOOLSET
    from ap_mcp.specs import graver

    more = graver(tool.least_effect, tool.scope.effects)
    effect = f"{tool.least_effect}, {more} with some arguments" if more else tool.least_effect
    last = "IAM actions: those of the tools that read what it needs"
    if operation is None and tool.toolsets <= {TOOLSET, "essential"}:
        last = "Permissions: cce:cluster:get, and inside the cluster those of its namespaces (Kubernetes RBAC)"
    if operation is not None:
        none = "not documented" if operation.permission is None else "none is needed"
        last = f"IAM action: {operation.iam_action or none}; {_source(operation.reference)}"
        last = f"needs: {operation.precondition.needs}\n{last}" if operation.precondition else last
    lines = [f"{tool.name}: {tool.title}", tool.description, f"effect: {effect}", "arguments:"]
    required = shown.input_schema.get("required", [])
    for name, schema in shown.input_schema["properties"].items():
        facts = [schema["type"], *(["required"] if name in required else [])]
        facts += [f"one of {', '.join(map(str, schema['enum']))}"] if "enum" in schema else []
        facts += [f"default {schema['default']}"] if "default" in schema else []
        about = f": {schema['description']}" if "description" in schema else ""
        lines.append(f"  {name} ({', '.join(facts)}){about}")
    return "\n".join([*lines, last])


def _source(reference: str) -> str:
    """Say where an operation is documented."""
    return f"known from {reference} only" if reference.startswith("SDK ") else f"API reference: {reference}"
