"""Completion in a shell: names of tools and of arguments, and the values that an argument can have."""

from collections.abc import Iterable, Mapping
from typing import Any

from click import Context, Parameter
from click.shell_completion import BashComplete, CompletionItem, ZshComplete, add_completion_class

WITHOUT_SPACE = "[[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace"

NO_SUFFIX = (
    "local -a nospace=()\n    "
    '[[ "$completions_with_descriptions[1]" == *=:* || "$completions[1]" == *= ]] && nospace=(-S "")'
)


class Bash(BashComplete):
    """Completion for bash, which puts no space behind `KEY=`."""

    # Bash takes `=` for the end of a word, and a space would have to be removed before the value.
    source_template = BashComplete.source_template.replace("    return 0\n", f"    {WITHOUT_SPACE}\n    return 0\n", 1)


class Zsh(ZshComplete):
    """Completion for zsh, which puts no space behind `KEY=` either."""

    source_template = ZshComplete.source_template.replace(" -U", ' -U "${nospace[@]}"').replace(
        '    if [ -n "$completions', f'    {NO_SUFFIX}\n\n    if [ -n "$completions', 1
    )


def prepare() -> None:
    """Make completion for bash and zsh as it is meant here."""
    add_completion_class(Bash)
    add_completion_class(Zsh)


def profiles(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the profiles whose names begin so, after those that are named already."""
    return _listed(_profiles(), incomplete)


def toolsets(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the toolsets whose names begin so, after those that are named already."""
    from ap_mcp.settings import TOOLSETS

    return _listed(TOOLSETS, incomplete)


def _listed(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    before, comma, typed = incomplete.rpartition(",")
    rest = [each for each in names if each.startswith(typed) and each not in before.split(",")]
    return [CompletionItem(before + comma + each) for each in rest]


def _profiles() -> list[str]:
    from ap_mcp.errors import SettingsError
    from ap_mcp.settings import profile_tables

    try:
        return list(profile_tables())
    except SettingsError:  # any command says it
        return []


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
    properties: dict[str, Any] = dict(tool.input_schema["properties"])
    if names := _profiles():
        properties["profile"] = {"enum": names}
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
