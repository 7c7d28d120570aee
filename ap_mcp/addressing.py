"""Where several profiles are served: how tools take the one that is meant, and how what they answer leads back to it.

Imported only then: who has one profile sees nothing of this.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_types import Tool as McpTool

from ap_mcp.errors import InvalidArguments, Problem
from ap_mcp.summaries.base import NextCall, Part, Result
from ap_mcp.wording import NAME_LIMIT, closest, in_quotes

PROFILE = "profile"
DESCRIPTION = "Account and region"


def with_profiles(offered: Mapping[str, Iterable[McpTool]]) -> list[McpTool]:
    """Return the tools of several profiles as one list, each with an argument for those that offer it.

    Args:
        offered: the tools of each profile, the default profile first.
    """
    profiles: dict[str, list[str]] = {}
    tools: dict[str, McpTool] = {}
    for profile, shown in offered.items():
        for tool in shown:
            profiles.setdefault(tool.name, []).append(profile)
            tools.setdefault(tool.name, tool)
    default = next(iter(offered))
    return [_with_argument(tools[name], profiles[name], default) for name in sorted(tools)]


def _with_argument(tool: McpTool, profiles: list[str], default: str) -> McpTool:
    """Return a tool with the argument; required where the default profile does not offer the tool."""
    schema: dict[str, Any] = {"type": "string", "enum": profiles, "description": DESCRIPTION}
    required = list(tool.input_schema.get("required", ()))
    if default in profiles:
        schema["default"] = default
    else:
        required.append(PROFILE)
    properties = {**tool.input_schema["properties"], PROFILE: schema}
    more = {"required": required} if required else {}
    return tool.model_copy(update={"input_schema": {**tool.input_schema, "properties": properties, **more}})


def addressed(arguments: Mapping[str, Any], profiles: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the profile that a call names, or the default one, and the other arguments.

    Args:
        arguments: of the call.
        profiles: those of the caller, the default one first.

    Raises:
        InvalidArguments: it names none of them.
    """
    rest = {name: value for name, value in arguments.items() if name != PROFILE}
    wanted = arguments.get(PROFILE)
    if wanted is None:
        return profiles[0], rest
    if wanted in profiles:
        return wanted, rest
    said = in_quotes(wanted, NAME_LIMIT) if isinstance(wanted, str) else "what is no text"
    near = closest(wanted, profiles, most=1) if isinstance(wanted, str) else []
    hint = f"Did you mean {near[0]}? " if near else ""
    raise InvalidArguments([Problem(PROFILE, f"must be one of {', '.join(profiles)}, not {said}. {hint}".rstrip())])


def leading_back(result: Result, profile: str) -> Result:
    """Return a result whose next calls, wherever they stand in it, go to the profile that it came from."""
    found: Result = _led(result, profile)
    return found


def _led(value: Any, profile: str) -> Any:
    if isinstance(value, NextCall):
        return value.model_copy(update={"arguments": {**value.arguments, PROFILE: profile}})
    if isinstance(value, Part):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: led for name, each in fields.items() if (led := _led(each, profile)) is not each}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, list | tuple):
        led = [_led(each, profile) for each in value]
        return value if all(one is other for one, other in zip(led, value, strict=True)) else type(value)(led)
    return value


def introduction(profiles: Iterable[tuple[str, str, bool]]) -> str:
    """Return what a client gives its model about the profiles.

    Args:
        profiles: each with its region, and whether it is only read; the default one first.
    """
    named = [f"{name} ({region}{', only reads' if only_reads else ''})" for name, region, only_reads in profiles]
    return f"The argument profile chooses the account and region: {', '.join(named)}. The first is the default."


def note(profile: str, profiles: tuple[str, ...]) -> str:
    """Return what an error says of the profile that it is about."""
    return f"Profile: {profile} (there are also: {', '.join(each for each in profiles if each != profile)})"
