"""Compares objects with their schemas: unknown fields, types, what is missing, and what a value may be."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.schemas import (
    INT_OR_STRING,
    QUANTITY,
    Schema,
    is_open,
    items_of,
    property_of,
    reference_of,
    resolved,
)
from ap_mcp.simulator.kubernetes.statuses import Cause, required, unsupported, wrong

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?")
_GO_TYPES = {
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "string": "string",
    "array": "[]",
    "object": "",
}
_PYTHON: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}
_SPECIAL = (QUANTITY, INT_OR_STRING)


def unknown_fields(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of members that the schema does not have."""
    schema = resolved(schema)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        opened = is_open(schema)
        for name, member in value.items():
            place = f"{path}.{name}" if path else name
            if name in properties:
                yield from unknown_fields(properties[name], member, place)
            elif isinstance(schema.get("additionalProperties"), Mapping):
                yield from unknown_fields(schema["additionalProperties"], member, place)
            elif not opened:
                yield place
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from unknown_fields(items_of(schema), entry, f"{path}[{index}]")


def pruned(schema: Schema, value: Any) -> Any:
    """Copy a value without what its schema does not have."""
    schema = resolved(schema)
    if isinstance(value, dict):
        if not isinstance(schema.get("additionalProperties"), Mapping) and is_open(schema):
            properties = schema.get("properties", {})
            return {key: pruned(properties[key], each) if key in properties else each for key, each in value.items()}
        kept = value.items() if is_open(schema) else [(k, v) for k, v in value.items() if k in schema["properties"]]
        return {key: pruned(property_of(schema, key), each) for key, each in kept}
    if isinstance(value, list):
        return [pruned(items_of(schema), each) for each in value]
    return value


def without_nulls(value: Any) -> Any:
    """Copy a value without members that are null, which mean the same as none."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def wrong_types(schema: Schema, value: Any, path: str = "", owner: str = "") -> Iterator[str]:
    """Yield what the server's decoder would say about values of another type."""
    name = reference_of(schema)
    schema = resolved(schema)
    if value is None or name.startswith(_SPECIAL):
        if value is not None and (isinstance(value, bool | dict | list)):
            yield _unmarshal(value, owner, path, name.rpartition(".")[2])
        return
    type_ = str(schema.get("type", ""))
    if type_ in _PYTHON and not _fits(value, type_):
        target = "int32" if schema.get("format") == "int32" else _GO_TYPES.get(type_, "")
        short = name.rpartition(".")[2]
        yield _unmarshal(value, owner, path, f"{target}{short}" if type_ in ("array", "object") else target)
    elif isinstance(value, dict):
        inside = name.rpartition(".")[2] or owner
        for key, member in value.items():
            yield from wrong_types(property_of(schema, key), member, f"{path}.{key}" if path else key, inside)
    elif isinstance(value, list):
        for entry in value:
            yield from wrong_types(items_of(schema), entry, path, owner)


def wrong_values(schema: Schema, value: Any, path: str = "") -> Iterator[Cause]:
    """Yield what is missing, and what lies outside of what a schema allows."""
    name = reference_of(schema)
    schema = resolved(schema)
    if name.startswith(QUANTITY):
        if not _QUANTITY.fullmatch(str(value)):
            expression = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            yield wrong(path, value, f"quantities must match the regular expression {expression}")
        return
    if isinstance(value, dict):
        for key in schema.get("required", ()):
            if value.get(key) in (None, ""):
                yield required(f"{path}.{key}" if path else key)
        for key, member in value.items():
            if member is not None:
                place = (
                    f"{path}[{key}]" if key not in schema.get("properties", {}) else f"{path}.{key}" if path else key
                )
                yield from wrong_values(property_of(schema, key), member, place)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from wrong_values(items_of(schema), entry, f"{path}[{index}]")
    else:
        yield from _outside(schema, value, path)


def _outside(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, schema["enum"])
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield wrong(path, value, f"{path} in body should match '{schema['pattern']}'")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield wrong(path, value, f"{path} in body should be greater than or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            yield wrong(path, value, f"{path} in body should be less than or equal to {schema['maximum']}")
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield wrong(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
        if len(value) > schema.get("maxLength", len(value)):
            yield Cause("FieldValueTooLong", path, f"may not be more than {schema['maxLength']} bytes", value)


def _fits(value: Any, type_: str) -> bool:
    if isinstance(value, bool):
        return type_ == "boolean"
    if type_ == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _PYTHON[type_])


def _unmarshal(value: Any, owner: str, path: str, target: str) -> str:
    kind = {bool: "bool", dict: "object", list: "array", str: "string"}.get(type(value), "number")
    said = kind if kind != "number" else f"number {value}" if isinstance(value, float) else "number"
    return f"json: cannot unmarshal {said} into Go struct field {owner}.{path} of type {target or 'object'}"
