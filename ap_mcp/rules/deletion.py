"""What the options of a deletion take and leave, by the specs; and whether the service agreed to one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ap_mcp.specs import Fate, Operation
from ap_mcp.vendor import get, mapping, quoted, text

CONFIRMED = "/status/deleteOption"
"""Where the answer to a deletion names the options that it carries out."""
_ANSWERED = "delete-"
"""What stands before the value of an option in the answer to a deletion."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An option of a deletion, its value, and what that does; None if the specs do not know the value."""

    name: str
    value: str
    fate: Fate | None


def chosen(operation: Operation, arguments: Mapping[str, Any]) -> list[Chosen]:
    """Return every option of a deletion with its value: as given, or what the service does if it is not."""
    return [
        _chosen(operation, name, str(arguments.get(name, _default(operation, name))))
        for name in operation.deletion_options
    ]


def answered(operation: Operation, body: Any) -> list[Chosen]:
    """Return the options that the answer to a deletion confirms; it names only those that take something."""
    options = mapping(body, CONFIRMED)
    return [_chosen(operation, name, value.removeprefix(_ANSWERED)) for name, value in options.items()]


def left_out(operation: Operation, body: Any) -> Iterator[str]:
    """Yield what stays, as the answer to a deletion does not name it; nothing if the answer names no option."""
    options = mapping(body, CONFIRMED)
    for name, fates in operation.deletion_options.items() if options else ():
        takes = {each.takes for each in fates.values() if each.takes}
        if name not in options and len(takes) == 1:
            yield from takes


def unsuccessful(body: Any) -> list[str]:
    """Warn when a deletion was answered with anything but the one word; an empty answer is none, for HTTP said yes."""
    said = text(body)
    return [] if said.strip('"') in ("success", "") else [f"The service says {quoted(said)} instead of success."]


def _chosen(operation: Operation, name: str, value: str) -> Chosen:
    return Chosen(name, value, operation.deletion_options.get(name, {}).get(value))


def _default(operation: Operation, name: str) -> Any:
    parameter = operation.parameter("query", name) or {}
    return get(operation.follow(parameter.get("schema", {})), "/default", "")
