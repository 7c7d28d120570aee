"""Compares an object with the schema of its kind, where the server itself cannot check it yet; pure.

Types, fields that do not exist, fields that are missing, and values that are not among the allowed ones: what else the
server goes by is not known here.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ap_mcp.kubernetes.fields import followed, schema_of, shown
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.vendor import get, items, strings, word
from ap_mcp.wording import closest, few

MOST = 10
"""Problems of an object that are reported at once."""
OF_ANY_OBJECT = ("apiVersion", "kind", "metadata")
_OPEN = "x-kubernetes-preserve-unknown-fields"
_QUANTITY = ".Quantity"
"""Schemas of amounts say that they are strings; numbers are taken as well."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_SAID = {"object": "an object", "array": "a list", "integer": "an integer"}


def misfits(document: Any, resource: Resource, body: Any) -> list[str] | None:
    """Return what is wrong with an object, by place; None if there is no schema of its kind.

    Args:
        document: the OpenAPI v3 document of its group and version.
        resource: its kind, with the version that the object names.
        body: the object.
    """
    schemas = get(document, "/components/schemas", {})
    schema = schema_of(schemas, resource, resource.version)
    return None if schema is None else list(islice(_misfits(schema, schemas, body, ""), MOST))


def misfits_of_custom(definition: Any, version: str, body: Any) -> list[str] | None:
    """Return what is wrong with an object of a custom kind, by place; None if its definition has no schema of it.

    Args:
        definition: the CustomResourceDefinition.
        version: that the object names.
        body: the object.
    """
    versions = {get(each, "/name"): each for each in items(definition, "/spec/versions")}
    if version not in versions:
        return [f"its definition has no version {word(version)}, only {few([word(each) for each in versions])}"]
    schema = get(versions[version], "/schema/openAPIV3Schema")
    if not isinstance(schema, Mapping):
        return None
    own = {key: each for key, each in body.items() if key not in OF_ANY_OBJECT}
    needed = [each for each in strings(schema, "/required") if each not in OF_ANY_OBJECT]
    return list(islice(_misfits({**schema, "required": needed}, {}, own, ""), MOST))


def _misfits(schema: Any, schemas: Any, value: Any, way: str) -> Iterator[str]:
    node = followed(schema, schemas)
    if value is None:  # the server leaves it out
        return
    if not _fits(node, schema, value):
        yield f"{_place(way)} must be {_wanted(node)}"
        return
    allowed = node.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        yield f"{_place(way)} must be one of {few([shown(each) for each in allowed if each != ''], MOST)}"
    if isinstance(value, Mapping):
        yield from _misfits_of_object(node, schemas, value, way)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _misfits(node.get("items", {}), schemas, each, f"{way}[{number}]")


def _misfits_of_object(node: Mapping[str, Any], schemas: Any, value: Mapping[str, Any], way: str) -> Iterator[str]:
    fields, more = get(node, "/properties", {}), node.get("additionalProperties")
    for name in strings(node, "/required"):
        if value.get(name) is None:
            yield f"{_place(_below(way, name))} is missing"
    for name, each in value.items():
        inner = fields.get(name, more)
        if isinstance(inner, Mapping):
            yield from _misfits(inner, schemas, each, _below(way, name))
        elif fields and not inner and not node.get(_OPEN) and not _is_embedded(node, name):
            near = closest(name, fields, most=1)
            yield f"{_place(_below(way, name))} is no field" + (f". Did you mean {word(near[0])}?" if near else "")


def _is_embedded(node: Mapping[str, Any], name: str) -> bool:
    return bool(node.get("x-kubernetes-embedded-resource")) and name in OF_ANY_OBJECT


def _fits(node: Mapping[str, Any], schema: Any, value: Any) -> bool:
    """Say whether a value is of the type that a schema wants; a boolean is no number."""
    wanted = _types(node)
    if not wanted:
        return True
    if isinstance(value, bool):
        return "boolean" in wanted
    amount = _QUANTITY in str(get(schema, "/$ref") or [get(each, "/$ref") for each in items(schema, "/allOf")])
    return (amount and isinstance(value, int | float)) or any(isinstance(value, _TYPES[each]) for each in wanted)


def _types(node: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema takes; none if it takes all, or says so in a way that is not known here."""
    if node.get("x-kubernetes-int-or-string") is True or node.get("format") == "int-or-string":
        return ["integer", "string"]
    several = [each.get("type") for each in (*items(node, "/oneOf"), *items(node, "/anyOf"))]
    wanted = [node["type"]] if "type" in node else several
    return [str(each) for each in wanted] if all(each in _TYPES for each in wanted) else []


def _wanted(node: Mapping[str, Any]) -> str:
    return " or ".join(_SAID.get(each, f"a {each}") for each in _types(node))


def _below(way: str, name: str) -> str:
    return f"{way}.{word(name)}".lstrip(".")


def _place(way: str) -> str:
    return way or "the object"
