"""Flat input schemas for tools, generated from the specs; and strict copies of the specs' own schemas."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ap_mcp.specs import FILE, Argument, Operation, Schema, pointed, tokens

SHOWN = (
    "type",
    "description",
    "const",
    "enum",
    "default",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
IN_WORDS = "x-pattern-in-words"
"""Stands beside a `pattern` and says what it wants to whoever gave something else."""
CHECKED = ("not", "propertyNames", IN_WORDS)
"""What is checked and not shown: several hosts reject it, or it would only make the tools longer."""
ARRAY_KEYWORDS = ("minItems", "maxItems", "uniqueItems")
MAP_KEYWORDS = {"minItems": "minProperties", "maxItems": "maxProperties"}
MOST_KEPT = 256
"""Schemas that are kept once they were made: a few for each operation."""


def input_schema(operation: Operation) -> dict[str, Any]:
    """Return the schema a client is shown: a flat object without `$ref`, closed at its root.

    The object and its `properties` belong to the caller; what is below them is shared and must stay as it is.
    """
    made = _input_schema(operation)
    return {**made, "properties": dict(made["properties"])}


def checked_schema(operation: Operation) -> dict[str, Any]:
    """Return the input schema with what is checked but not shown, the form of a map's keys too; shared likewise."""
    made = _checked_schema(operation)
    return {**made, "properties": dict(made["properties"])}


@lru_cache(MOST_KEPT)
def _input_schema(operation: Operation) -> dict[str, Any]:
    return _as_shown(_whole_schema(operation))


@lru_cache(MOST_KEPT)
def _checked_schema(operation: Operation) -> dict[str, Any]:
    return strict(operation, _whole_schema(operation))


def _whole_schema(operation: Operation) -> dict[str, Any]:
    required = [name for name, argument in operation.arguments.items() if is_required(operation, argument)]
    return {
        "type": "object",
        "properties": {name: whole_argument(operation, value) for name, value in operation.arguments.items()},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def argument_schema(operation: Operation, argument: Argument) -> dict[str, Any]:
    """Return the schema of one argument as it is shown: that of its first place, with the argument's own overrides."""
    return _as_shown(whole_argument(operation, argument))


def whole_argument(operation: Operation, argument: Argument) -> dict[str, Any]:
    """Return the schema of one argument, with what is only checked."""
    if not argument.places:
        return _ordered({**argument.schema, "description": argument.description})
    nodes = nodes_at(operation, argument.places[0])
    leaf = nodes[-1]
    if argument.entries:
        shown = _map_schema(operation, leaf, argument.entries)
    elif argument.items:
        shown = _list_schema(operation, leaf, argument.items)
    elif argument.joined:
        whole = _shown(operation, leaf)
        shown = {"type": "array", **{key: whole[key] for key in ("description",) if key in whole}}
        shown["items"] = {"type": "string"}
    else:
        shown = _shown(operation, leaf)
    if "*" in tokens(argument.places[0]):
        array = nodes[tokens(argument.places[0]).index("*")]
        bounds = {key: array[key] for key in ARRAY_KEYWORDS if key in array}
        if argument.entries:
            shown |= {MAP_KEYWORDS[key]: value for key, value in bounds.items() if key in MAP_KEYWORDS}
        else:
            description = {"description": text} if (text := shown.pop("description", array.get("description"))) else {}
            shown = {"type": "array", **description, "items": shown, **bounds}
    shown |= argument.schema
    if argument.description:
        shown["description"] = argument.description
    return _ordered(shown)


def is_required(operation: Operation, argument: Argument) -> bool:
    """Say whether a call must give the argument: the API wants it and neither spec nor server can supply it."""
    if argument.required is not None or not argument.places:
        return bool(argument.required)
    place = argument.places[0]
    if place.startswith("$request."):
        kind, _, name = place.removeprefix("$request.").partition(".")
        parameter = operation.parameter(kind, name)
        return bool(parameter and parameter.get("required"))
    if any(place == fill.pointer for fill in operation.fill):
        return False
    nodes = nodes_at(operation, place)
    if "const" in nodes[-1] or "default" in nodes[-1] or not operation.body_required:
        return False
    return all(
        step == "*" or step in _unwrapped(operation, node).get("required", ())
        for node, step in zip(nodes, tokens(place), strict=False)
    )


def nodes_at(operation: Operation, place: str) -> list[Schema]:
    """Return the schemas met on the way to a place, the last being its own; followed, through JSON in strings.

    Raises:
        KeyError: the place is not in the schema.
    """
    if place.startswith("$request."):
        kind, _, name = place.removeprefix("$request.").partition(".")
        parameter = operation.parameter(kind, name)
        if parameter is None:
            raise KeyError(place)
        description = {"description": parameter["description"]} if "description" in parameter else {}
        return [{**operation.follow(parameter["schema"]), **description}]
    if operation.body is None:
        raise KeyError(place)
    return walk(operation, operation.body, place)


def walk(operation: Operation, schema: Schema, pointer: str) -> list[Schema]:
    """Return the schemas along `pointer`, starting with `schema` itself.

    Raises:
        KeyError: the pointer leaves the schema.
    """
    nodes = [operation.follow(schema)]
    for step in tokens(pointer):
        inner = _unwrapped(operation, nodes[-1])
        if step in inner.get("properties", {}):
            child = inner["properties"][step]
        elif "items" in inner and (step == "*" or step.isdigit()):
            child = inner["items"]
        elif isinstance(inner.get("additionalProperties"), Mapping):
            child = inner["additionalProperties"]
        else:
            raise KeyError(pointer)
        nodes.append(operation.follow(child))
    return nodes


def strict(operation: Operation, schema: Schema) -> dict[str, Any]:
    """Return a self-contained copy of a schema in which objects refuse properties they do not name.

    References become local ones under `$defs`, so recursive schemas stay finite.
    """
    definitions: dict[str, Any] = {}
    closed = _closed(operation, schema, definitions)
    return {**closed, "$defs": definitions} if definitions else closed


def _closed(operation: Operation, node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_closed(operation, item, definitions) for item in node]
    if not isinstance(node, Mapping):
        return node
    copy: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$ref":
            name = value.replace("/", ".").replace("#", "")
            copy["$ref"] = f"#/$defs/{name}"
            if name not in definitions:
                definitions[name] = {}
                definitions[name] |= _closed(operation, pointed(operation.documents, value), definitions)
        elif key in {"properties", "$defs", "patternProperties"}:
            copy[key] = {name: _closed(operation, child, definitions) for name, child in value.items()}
        else:
            copy[key] = _closed(operation, value, definitions)
    if "properties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy


def _map_schema(operation: Operation, leaf: Schema, entries: Mapping[str, str]) -> dict[str, Any]:
    value = _shown(operation, walk(operation, leaf, entries["value"])[-1])
    value.pop("description", None)
    keys = _shown(operation, walk(operation, leaf, entries["key"])[-1])
    return {"type": "object", "propertyNames": keys, "additionalProperties": value}


def _list_schema(operation: Operation, leaf: Schema, items: Mapping[str, str]) -> dict[str, Any]:
    argument = {name: Argument(name, (pointer,)) for name, pointer in items.items()}
    inner = {name: _inner_schema(operation, leaf, value) for name, value in argument.items()}
    required = [
        name
        for name, pointer in items.items()
        if all(
            step == "*" or step in _unwrapped(operation, node).get("required", ())
            for node, step in zip(walk(operation, leaf, pointer), tokens(pointer), strict=False)
        )
    ]
    return {"type": "object", "properties": inner, **({"required": required} if required else {})}


def _inner_schema(operation: Operation, leaf: Schema, argument: Argument) -> dict[str, Any]:
    path = tokens(argument.places[0])
    nodes = walk(operation, leaf, argument.places[0])
    shown = _shown(operation, nodes[-1])
    if "*" not in path:
        return shown
    description = {"description": text} if (text := shown.pop("description", None)) else {}
    return {"type": "array", **description, "items": shown}


def _shown(operation: Operation, node: Schema) -> dict[str, Any]:
    """Copy what a client needs of a schema, and what is only checked, deeply, without references."""
    node = operation.follow(node)
    if node.get("contentMediaType") == FILE:
        return {"type": "string", "minLength": 1, **{key: node[key] for key in ("description",) if key in node}}
    if "contentSchema" in node:
        node = {**operation.follow(node["contentSchema"]), **{k: node[k] for k in ("description",) if k in node}}
    shown = {key: node[key] for key in (*SHOWN, *CHECKED) if key in node}
    if "items" in node:
        shown["items"] = _shown(operation, node["items"])
    if "properties" in node:
        shown["properties"] = {
            name: _shown(operation, child) for name, child in node["properties"].items() if not child.get("readOnly")
        }
        if node.get("required"):
            shown["required"] = list(node["required"])
    if isinstance(node.get("additionalProperties"), Mapping):
        shown["additionalProperties"] = _shown(operation, node["additionalProperties"])
    return shown


def _ordered(shown: dict[str, Any]) -> dict[str, Any]:
    rest = ("items", "properties", "required", "additionalProperties")
    return {key: shown[key] for key in (*SHOWN, *CHECKED, *rest) if key in shown}


def _as_shown(schema: dict[str, Any]) -> dict[str, Any]:
    """Copy a schema without what is only checked."""
    shown = {key: value for key, value in schema.items() if key not in CHECKED}
    for key in ("items", "additionalProperties"):
        if isinstance(shown.get(key), dict):
            shown[key] = _as_shown(shown[key])
    if "properties" in shown:
        shown["properties"] = {name: _as_shown(child) for name, child in shown["properties"].items()}
    return shown


def _unwrapped(operation: Operation, node: Schema) -> Schema:
    return operation.follow(node["contentSchema"]) if "contentSchema" in node else node
