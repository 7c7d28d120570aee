"""The OpenAPI v3 documents of a cluster: an index, and a document per version of a group."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind, Served
from ap_mcp.simulator.kubernetes.patches import PATCHES
from ap_mcp.simulator.kubernetes.schemas import META, Schema, definitions, name_of, schema_of
from ap_mcp.simulator.world import Row

_OPTIONS = ("dryRun", "fieldManager", "fieldValidation", "force")


def index(served: Served, custom: Mapping[tuple[str, str], Schema]) -> Row:
    """List the documents with addresses that change when they do."""
    places = {}
    for group, versions in served.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            kinds = [each for each in served.kinds if (each.group, each.version) == (group, version)]
            about = repr([(kind, custom.get((kind.qualified, kind.version))) for kind in kinds])
            mark = hashlib.sha256(about.encode()).hexdigest().upper()
            places[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
    return {"paths": places}


def document(served: Served, custom: Mapping[tuple[str, str], Schema], path: str, release: str) -> Row | None:
    """Return the document of one version of a group (`apis/apps/v1`), None if it is not served."""
    parts = path.split("/")
    group, version = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else (parts[1], parts[-1])
    kinds = [each for each in served.kinds if (each.group, each.version) == (group, version)]
    if not kinds or path != (f"apis/{group}/{version}" if group else f"api/{version}"):
        return None
    schemas: dict[str, Any] = {}
    for kind in kinds:
        schemas |= schemas_of(kind, custom)
    for name in ("DeleteOptions", "Status"):
        _collect(f"{META}.{name}", schemas)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": release},
        "paths": {place: item for kind in kinds for place, item in operations_of(kind).items()},
        "components": {"schemas": schemas},
    }


def _schema_name(kind: Kind) -> str:
    known = None if kind.custom else name_of(kind.group, kind.version, kind.kind)
    return known or ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def schemas_of(kind: Kind, custom: Mapping[tuple[str, str], Schema]) -> dict[str, Any]:
    """Return the schema of a kind and all that it refers to, by name."""
    found: dict[str, Any] = {}
    name = _schema_name(kind)
    if name in definitions():
        _collect(name, found)
        return found
    own = [{"group": kind.group, "version": kind.version, "kind": kind.kind}]
    found[name] = {"type": "object", **schema_of(kind, custom), "x-kubernetes-group-version-kind": own}
    _collect(f"{META}.ObjectMeta", found)
    return found


def _collect(name: str, found: dict[str, Any]) -> None:
    """Gather a definition and all that it refers to."""
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in definitions() and each not in found:
            found[each] = definitions()[each]
            waiting += _referred(each)


@cache
def _referred(name: str) -> tuple[str, ...]:
    """List what a definition refers to."""
    return tuple(_references(definitions()[name]))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def operations_of(kind: Kind) -> Row:
    """Return what can be done with a kind, by path and method."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    collection = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    one = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
    made: Row = {collection: {}, f"{collection}/{{name}}": {}}
    for verb, method in (("list", "get"), ("create", "post"), ("deletecollection", "delete")):
        if verb in kind.verbs:
            made[collection][method] = _operation(kind, verb)
    for verb, method in one.items():
        if verb in kind.verbs:
            made[f"{collection}/{{name}}"][method] = _operation(kind, verb)
    return {path: item for path, item in made.items() if item}


def _operation(kind: Kind, verb: str) -> Row:
    reference = {"$ref": f"#/components/schemas/{_schema_name(kind)}"}
    options = _OPTIONS if verb == "patch" else _OPTIONS[:3] if verb in ("create", "update") else _OPTIONS[:1]
    made: Row = {
        "operationId": f"{verb}{kind.kind}{kind.version}{kind.group.replace('.', '')}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "boolean" if name == "force" else "string",
                                                     "uniqueItems": True}}
            for name in options if verb not in ("get", "list")
        ],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-action": {"update": "put", "create": "post"}.get(verb, verb),
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    }  # fmt: skip
    if verb in ("create", "update"):
        made["requestBody"] = {"content": {"*/*": {"schema": reference}}}
    if verb == "patch":
        made["requestBody"] = {"content": {each: {"schema": {"type": "object"}} for each in PATCHES}}
    return made


def encoded(body: Mapping[str, Any]) -> bytes:
    """Write a document as compactly as it goes."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
