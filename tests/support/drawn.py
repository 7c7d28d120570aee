"""Draws arguments for any operation out of its schema, for tests that hold for all of them."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from ap_mcp.arguments import check_arguments
from ap_mcp.errors import InvalidArguments
from ap_mcp.schemas import checked_schema, walk
from ap_mcp.specs import Operation, Schema

ANY = "any key"
"""Stands in objects whose keys the specs do not know: without it they are empty, which may be said."""


def arguments_of(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Draw arguments that pass the check and can be sent: with all that is a part of the path."""
    schema = checked_schema(operation)
    path = [name for name, each in operation.arguments.items() if each.path_parameter]
    whole = {**schema, "required": sorted({*schema.get("required", ()), *path})}
    return values_of(whole).filter(lambda drawn: _passes(operation, drawn))


def filled_of(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what the reads of an operation's `fill` could answer."""
    assert operation.body is not None
    leaves = {fill.pointer: walk(operation, operation.body, fill.pointer)[-1] for fill in operation.fill}
    return st.fixed_dictionaries({pointer: values_of(leaf) for pointer, leaf in leaves.items()})


def _passes(operation: Operation, arguments: Mapping[str, Any]) -> bool:
    try:
        check_arguments(operation, arguments)
    except InvalidArguments:
        return False
    return True


def whole(operation: Operation, schema: Schema, depth: int = 0) -> Any:
    """Return an answer that holds everything its schema knows."""
    schema = operation.follow(schema)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((each for each in ("object", "array") if each in kind), kind[0]) if isinstance(kind, list) else kind
    if depth > 9:
        return "deep"
    if "contentSchema" in schema:
        return json.dumps(whole(operation, schema["contentSchema"], depth + 1))
    if kind == "object":
        found = {name: whole(operation, each, depth + 1) for name, each in schema.get("properties", {}).items()}
        return found or {ANY: "value"}
    if kind == "array":
        return [whole(operation, schema.get("items", {}), depth + 1)]
    known = schema.get("const", next(iter([*schema.get("examples", ()), *schema.get("enum", ())]), None))
    if known:
        return known
    return {"integer": 3, "number": 3, "boolean": True}.get(kind, "text")


def values_of(schema: Schema) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        return _objects(schema)
    if schema["type"] == "array":
        most = min(schema.get("maxItems", 4), 4)
        return st.lists(values_of(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)
    if schema["type"] == "string":
        return _texts(schema)
    if schema["type"] == "integer":
        return st.integers(schema.get("minimum", -(2**40)), schema.get("maximum", 2**40))
    return st.booleans()


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 50)
    if "pattern" not in schema:
        return st.text(min_size=least, max_size=most)
    whole = schema["pattern"].endswith("$")
    texts = st.from_regex(schema["pattern"].removesuffix("$"), fullmatch=whole)
    return texts.filter(lambda text: least <= len(text) <= max(most, 130))


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    if "properties" in schema:
        drawn = {name: values_of(child) for name, child in schema["properties"].items()}
        needed = {name: drawn.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(needed, optional=drawn)
    inner = schema.get("additionalProperties", True)
    values = values_of(inner) if isinstance(inner, Mapping) else _JSON
    keys = values_of(schema.get("propertyNames", {"type": "string"}))
    return st.dictionaries(keys, values, min_size=schema.get("minProperties", 0), max_size=4)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
