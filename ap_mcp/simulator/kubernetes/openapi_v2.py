"""The OpenAPI v2 document of a cluster, as JSON and in the protobuf form of gnostic, which kubectl before 1.29 wants.

The numbers of the fields are those of `OpenAPIv2.proto` of github.com/google/gnostic-models (Apache License 2.0).
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Served
from ap_mcp.simulator.kubernetes.openapi import operations_of, schemas_of
from ap_mcp.simulator.kubernetes.schemas import Schema
from ap_mcp.simulator.world import Row

PROTOBUF = "application/com.github.proto-openapi.spec.v2"
_BYTES = 2
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(served: Served, custom: Mapping[tuple[str, str], Schema], release: str) -> Row:
    """Return the document as JSON."""
    definitions: Row = {}
    paths: Row = {}
    for kind in served.kinds:
        definitions |= schemas_of(kind, custom)
        paths |= operations_of(kind)
    text = json.dumps(definitions).replace("#/components/schemas/", "#/definitions/")
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": release},
        "paths": {path: _older(item) for path, item in paths.items()},
        "definitions": json.loads(text),
    }


def encoded(body: Mapping[str, Any]) -> bytes:
    """Write a document in gnostic's form."""
    info = _text(1, body["info"]["title"]) + _text(2, body["info"]["version"])
    paths = b"".join(_named(2, path, _path_item(item)) for path, item in body["paths"].items())
    definitions = b"".join(_definition(name, json.dumps(schema)) for name, schema in body["definitions"].items())
    return _text(1, body["swagger"]) + _part(2, info) + _part(8, paths) + _part(9, definitions)


def _older(item: Mapping[str, Any]) -> Row:
    """Return the operations of a path as v2 has them: parameters have their types themselves."""
    made: Row = {}
    for method, operation in item.items():
        parameters = [
            {"name": each["name"], "in": each["in"], "type": each["schema"]["type"], "uniqueItems": True}
            for each in operation["parameters"]
        ]
        kept = {key: operation[key] for key in operation if key.startswith(("x-", "operationId"))}
        made[method] = {**kept, "parameters": parameters, "responses": {"200": {"description": "OK"}}}
    return made


@cache
def _definition(name: str, schema: str) -> bytes:
    """Write a definition, once for all documents; it comes as JSON so that it can be remembered."""
    return _named(1, name, _schema(json.loads(schema)))


def _schema(schema: Mapping[str, Any]) -> bytes:
    only = schema.get("allOf", ())
    made = _text(1, schema.get("$ref") or (only[0].get("$ref", "") if len(only) == 1 else ""))
    made += _text(2, schema.get("format", "")) + _text(4, schema.get("description", ""))
    made += b"".join(_text(19, name) for name in schema.get("required", ()))
    other = schema.get("additionalProperties")
    if isinstance(other, Mapping):
        made += _part(21, _part(1, _schema(other)))
    if isinstance(schema.get("type"), str):
        made += _part(22, _text(1, schema["type"]))
    if isinstance(schema.get("items"), Mapping):
        made += _part(23, _part(1, _schema(schema["items"])))
    properties = schema.get("properties")
    if properties:
        made += _part(25, b"".join(_named(1, name, _schema(each)) for name, each in properties.items()))
    return made + _extensions(31, schema)


def _path_item(item: Mapping[str, Any]) -> bytes:
    return b"".join(_part(_METHODS[method], _operation(each)) for method, each in item.items())


def _operation(operation: Mapping[str, Any]) -> bytes:
    made = _text(5, operation["operationId"])
    for each in operation["parameters"]:
        query = _text(2, "query") + _text(4, each["name"]) + _text(6, each["type"])
        made += _part(8, _part(1, _part(2, _part(3, query))))
    made += _part(9, _named(1, "200", _part(1, _text(1, "OK"))))
    return made + _extensions(13, operation)


def _extensions(number: int, holder: Mapping[str, Any]) -> bytes:
    named = ((key, value) for key, value in holder.items() if key.startswith("x-"))
    return b"".join(_named(number, key, _text(2, json.dumps(value))) for key, value in named)


def _named(number: int, name: str, value: bytes) -> bytes:
    return _part(number, _text(1, name) + _part(2, value))


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode()) if text else b""


def _part(number: int, content: bytes) -> bytes:
    return bytes(_varint(number << 3 | _BYTES)) + bytes(_varint(len(content))) + content


def _varint(number: int) -> Iterable[int]:
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number
