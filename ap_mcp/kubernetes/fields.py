"""Reads the fields of a kind from a cluster's OpenAPI v3 document: one level at a time, with types; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.masking import mask, mask_text
from ap_mcp.summaries.base import Part
from ap_mcp.vendor import TEXT_LIMIT, get, items, quoted, text
from ap_mcp.wording import closest, ends, few

ABOUT_ONE, ABOUT_EACH = 400, 90
DEPTH = 8
"""References that are followed in a row."""
NAMED = 12


class FieldLine(Part):
    """A field of a kind.

    Attributes:
        type: `string`, `list of Container`, `map of string`.
        values: the only ones that it takes.
        about: the start of what the cluster says about it.
    """

    name: str
    type: str
    required: bool | None = None
    values: list[str] | None = None
    default: str | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """What stands at one place of a kind.

    Attributes:
        type: of what stands there.
        about: what the cluster says about it.
        values: the only ones that it takes.
        fields: below it; those that are required come first.
    """

    type: str
    about: str
    values: list[str]
    fields: list[FieldLine]


def level_of(document: Any, resource: Resource, version: str, path: str = "") -> Level | None:
    """Return the fields at a place of a kind; None if the document does not know the kind.

    Args:
        document: the OpenAPI v3 document of its group and version.
        resource: the kind.
        version: that the document is of.
        path: names with dots between them, from the top of the object; empty for its top.

    Raises:
        CallRefused: there is no such field; close ones are named.
    """
    schemas = get(document, "/components/schemas", {})
    node = schema_of(schemas, resource, version)
    if node is None:
        return None
    node, way = followed(node, schemas), resource.kind
    for step in filter(None, path.replace("[]", "").replace("[*]", "").split(".")):
        node = _below(node, step, schemas, way)
        way = f"{way}.{step}"
    inner = _inside(node, schemas)
    required = set(_texts(inner, "/required"))
    found = get(inner, "/properties", {})
    fields = [_field(name, found[name], schemas, required=name in required) for name in found]
    return Level(
        type=_type(node, schemas),
        about=_about(node, schemas, ABOUT_ONE),
        values=_texts(node, "/enum"),
        fields=sorted(fields, key=lambda each: not each.required),
    )


def schema_of(schemas: Any, resource: Resource, version: str) -> dict[str, Any] | None:
    """Return the schema of a kind among those of a document; None if it is not there."""
    return next((each for each in _objects(schemas) if _is_of(each, resource, version)), None)


def _objects(schemas: Any) -> list[dict[str, Any]]:
    return [each for each in schemas.values() if isinstance(each, dict)] if isinstance(schemas, Mapping) else []


def _is_of(schema: Any, resource: Resource, version: str) -> bool:
    wanted = (resource.group, version, resource.kind)
    return any(
        (get(each, "/group", ""), get(each, "/version"), get(each, "/kind")) == wanted
        for each in items(schema, "/x-kubernetes-group-version-kind")
    )


def followed(schema: Any, schemas: Any) -> dict[str, Any]:
    """Return a schema with its reference replaced by what it refers to; what stands beside it stays."""
    found = dict(schema) if isinstance(schema, Mapping) else {}
    for _ in range(DEPTH):
        parts = items(found, "/allOf")
        reference = found.get("$ref") or (parts[0].get("$ref") if len(parts) == 1 else None)
        if not isinstance(reference, str):
            break
        beside = {key: each for key, each in found.items() if key not in ("$ref", "allOf")}
        found = {**get(schemas, f"/{reference.rpartition('/')[2]}", {}), **beside}
    return found


def _inside(schema: Mapping[str, Any], schemas: Any) -> dict[str, Any]:
    """Return what a list or a map holds, as fields are named of what is in it; anything else as it is."""
    found = dict(schema)
    for _ in range(DEPTH):
        inner = found.get("items") or found.get("additionalProperties")
        if not isinstance(inner, Mapping) or found.get("properties"):
            break
        found = followed(inner, schemas)
    return found


def _below(schema: Mapping[str, Any], step: str, schemas: Any, way: str) -> dict[str, Any]:
    inner = _inside(schema, schemas)
    there = get(inner, "/properties", {})
    if step in there:
        return followed(there[step], schemas)
    if near := closest(step, there):
        raise CallRefused(f"{text(way)} has no field {quoted(step)}. Did you mean {few(near, 3)}?")
    has = f"There are: {few(sorted(there), NAMED)}." if there else f"It is a {_type(schema, schemas)}, without fields."
    raise CallRefused(f"{text(way)} has no field {quoted(step)}. {has}")


def _field(name: str, schema: Any, schemas: Any, *, required: bool) -> FieldLine:
    node = followed(schema, schemas)
    default = node.get("default")
    return FieldLine(
        name=shown(name),
        type=_type(schema, schemas),
        required=required or None,
        values=_texts(node, "/enum") or None,
        default=shown(default) if default not in (None, "", {}, []) else None,
        about=_about(node, schemas, ABOUT_EACH) or None,
    )


def _type(schema: Any, schemas: Any, depth: int = 0) -> str:
    """Return the type of a schema in words."""
    parts = items(schema, "/allOf")
    reference = get(schema, "/$ref") or (get(parts[0], "/$ref") if len(parts) == 1 else None)
    if isinstance(reference, str):
        return shown(reference.rpartition(".")[2])
    if get(schema, "/x-kubernetes-int-or-string") is True or get(schema, "/format") == "int-or-string":
        return "integer or string"
    kind = shown(get(schema, "/type"))
    if depth < DEPTH and kind == "array":
        return f"list of {_type(get(schema, '/items', {}), schemas, depth + 1)}"
    inner = get(schema, "/additionalProperties")
    if depth < DEPTH and kind == "object" and isinstance(inner, Mapping):
        return f"map of {_type(inner, schemas, depth + 1)}"
    form = shown(get(schema, "/format"))
    if kind:
        return f"{kind} ({form})" if form in ("date-time", "byte") else kind
    several = [_type(each, schemas, depth + 1) for each in items(schema, "/oneOf")] if depth < DEPTH else []
    return " or ".join(several) or "anything"


def _about(schema: Any, _: Any, limit: int) -> str:
    """Return the first sentence of a description, or as much of it as fits."""
    said = shown(get(schema, "/description"), 4 * limit)
    first = said.partition(". ")[0].rstrip(".")
    return ends(first, limit)


def shown(value: Any, limit: int = TEXT_LIMIT) -> str:
    """Return a text of the cluster on one line, masked before it is cut."""
    return text(mask_text(value) if isinstance(value, str) else mask(value), limit)


def _texts(schema: Any, pointer: str) -> list[str]:
    found = get(schema, pointer)
    return [shown(each) for each in found if each != ""] if isinstance(found, list) else []
