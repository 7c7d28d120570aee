"""Completion in a shell: names of tools and of arguments, and the values that an argument can have."""

from collections.abc import Mapping
from typing import Any

from click import Context, Parameter
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

WITHOUT_SPACE = "[[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace"


class Bash(BashComplete):
    """Completion for bash, which puts no space behind `KEY=`."""

    # Bash takes `=` for the end of a word, and a space would have to be removed before the value.
    source_template = BashComplete.source_template.replace("    return 0\n", f"    {WITHOUT_SPACE}\n    return 0\n", 1)


def prepare() -> None:
    """Make completion for bash as it is meant here."""
    add_completion_class(Bash)


def tools(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the tools whose names begin so."""
    from ap_mcp.specs import load_catalog
    from ap_mcp.toolbox import toolbox

    offered = toolbox(load_catalog()).tools
    return [CompletionItem(name, help=tool.title) for name, tool in offered.items() if name.startswith(incomplete)]


def pairs(context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Return `KEY=` for each argument of the tool that is not given yet, or the values of the one that is typed."""
    from ap_mcp.specs import load_catalog
    from ap_mcp.toolbox import toolbox

    tool = toolbox(load_catalog()).tools.get(context.params.get("tool") or "")
    if tool is None:
        return []
    properties: Mapping[str, Any] = tool.input_schema["properties"]
    given = list(context.params.get("pairs") or ())
    # Bash splits `kind=jo` into three words, and click takes a `=` that comes last for nothing.
    words = [each for each in given if each != "="]
    split = bool(words) and words[-1] in properties
    key, typed = (words[-1], incomplete) if split else (incomplete.partition("=")[0], incomplete.partition("=")[2])
    if split or "=" in incomplete:
        values = [value for value in _values(properties.get(key, {})) if value.startswith(typed)]
        return [CompletionItem(value if split else f"{key}={value}") for value in values]
    named = {each.partition("=")[0] for each in given}
    return [
        CompletionItem(f"{name}=", help=schema.get("description"))
        for name, schema in properties.items()
        if name.startswith(incomplete) and name not in named
    ]


def _values(schema: Mapping[str, Any]) -> list[str]:
    return ["true", "false"] if schema.get("type") == "boolean" else [str(each) for each in schema.get("enum", ())]
