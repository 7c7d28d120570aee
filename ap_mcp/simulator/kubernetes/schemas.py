"""What objects may hold: the OpenAPI schemas of the built-in kinds and of custom resources, and how to walk them.

`data/schemas.json.gz` is made by `tools/kubernetes_data.py` from kubernetes-validate, © 2018 Will Thames, licensed
under the Apache License 2.0, which has it from Kubernetes, © The Kubernetes Authors, of the same license.
"""

import gzip
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind

Schema = Mapping[str, Any]
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
QUANTITY, INT_OR_STRING = "io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr"
ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
"""The schema of a value about which nothing is known."""


@cache
def load(name: str) -> Any:
    """Read a compressed data file of this package."""
    packed = files("ap_mcp.simulator.kubernetes").joinpath(f"data/{name}.json.gz").read_bytes()
    return json.loads(gzip.decompress(packed))


def definitions() -> dict[str, Schema]:
    """Return the schemas by the names that they refer to each other with."""
    return load("schemas")  # type: ignore[no-any-return]


@cache
def _names() -> dict[tuple[str, str, str], str]:
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in definitions().items()
        for each in schema.get("x-kubernetes-group-version-kind", ())
        if len(schema["x-kubernetes-group-version-kind"]) == 1
    }


def name_of(group: str, version: str, kind: str) -> str | None:
    """Return what the schema of a built-in kind is called."""
    return _names().get((group, version, kind))


def schema_of(kind: Kind, custom: Mapping[tuple[str, str], Schema] | None = None) -> Schema:
    """Return the schema of a kind; `custom` has those of custom resources by qualified name and version."""
    name = name_of(kind.group, kind.version, kind.kind)
    if name is not None and not kind.custom:
        return definitions()[name]
    return (custom or {}).get((kind.qualified, kind.version), ANYTHING)


def custom_schemas(found: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Schema]:
    """Return the schemas of custom resources by qualified name and version, with the fields every object has."""
    made: dict[tuple[str, str], Schema] = {}
    for name, definition in found.items():
        for version in definition["spec"]["versions"]:
            own = (version.get("schema") or {}).get("openAPIV3Schema") or ANYTHING
            text = {"type": "string"}
            meta = {"$ref": f"#/components/schemas/{META}.ObjectMeta"}
            properties = {**own.get("properties", {}), "apiVersion": text, "kind": text, "metadata": meta}
            made[name, version["name"]] = {**own, "type": "object", "properties": properties}
    return made


def resolved(schema: Schema) -> Schema:
    """Follow references; what stands beside one is kept."""
    while True:
        reference = schema.get("$ref")
        if reference is None and len(schema.get("allOf", ())) == 1:
            reference = schema["allOf"][0].get("$ref")
        if reference is None:
            return schema
        beside = {key: value for key, value in schema.items() if key.startswith("x-")}
        target = definitions().get(reference.rpartition("/")[2], ANYTHING)
        schema = {**target, **beside} if beside else target


def reference_of(schema: Schema) -> str:
    """Return the name of the definition that a schema refers to, empty if it refers to none."""
    reference = schema.get("$ref") or next((each.get("$ref") for each in schema.get("allOf", ())), None) or ""
    return str(reference).rpartition("/")[2]


def property_of(schema: Schema, name: str) -> Schema:
    """Return the schema of a member of an object, `ANYTHING` if none is known."""
    schema = resolved(schema)
    known = schema.get("properties", {}).get(name)
    if known is not None:
        return known  # type: ignore[no-any-return]
    other = schema.get("additionalProperties")
    return other if isinstance(other, Mapping) else ANYTHING


def items_of(schema: Schema) -> Schema:
    """Return the schema of the entries of a list."""
    found = resolved(schema).get("items")
    return found if isinstance(found, Mapping) else ANYTHING


def is_open(schema: Schema) -> bool:
    """Say whether an object may hold members that the schema does not name."""
    schema = resolved(schema)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return True
    return not schema.get("properties") or "additionalProperties" in schema


def is_structured(schema: Schema) -> bool:
    """Say whether an object's members are owned and merged one by one."""
    schema = resolved(schema)
    return schema.get("x-kubernetes-map-type") != "atomic" and bool(
        schema.get("properties") or schema.get("additionalProperties") or schema.get(
            "x-kubernetes-preserve-unknown-fields")
    )  # fmt: skip
