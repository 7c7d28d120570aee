"""Whether an answer that came as a success is one of the operation that was called."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.specs import Operation

NOT_UNDERSTOOD = "the answer was not understood"


def is_foreign(operation: Operation, body: Any) -> bool:
    """Say whether the answer to a read is that of another service: an object without a field that the specs know."""
    if operation.effect != "read" or not isinstance(body, Mapping) or not body or not operation.response:
        return False
    schema = operation.follow(operation.response)
    if schema.get("type") == "array":
        return "items" not in body
    known = schema.get("properties", {})
    return bool(known) and known.keys().isdisjoint(body)


def no_objects(listed: Any) -> int:
    """Count the entries of a list that are no objects, which nothing can be read from; 0 if it is no list."""
    return sum(not isinstance(each, Mapping | list) for each in listed) if isinstance(listed, list) else 0
