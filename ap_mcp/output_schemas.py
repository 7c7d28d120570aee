"""Turns the type of a result into the small, open JSON Schema that clients are shown.

Fifty of them travel with every list of tools, so they name every field and say only what is no text:
a property without a type is a text, an array without items holds texts. They are read from the annotations.

Clients are shown what `output_schemas.json` holds, which `ap-mcp docs --write` makes of the types: importing the types
would cost a start more than all else of ours, and none is needed before the first answer.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ap_mcp.summaries.base import BRIEF, COMMON_FIELDS, Result

_OBJECTS = {"type": "array", "items": {"type": "object"}}
_SCALARS = {str: {}, bool: {"type": "boolean"}, int: {"type": "integer"}, float: {"type": "number"}}


MADE = Path(__file__).with_suffix(".json")


def output_schema(kind: str) -> dict[str, Any]:
    """Return the schema of the results of a kind: no `$ref`, no titles, nothing closed, only `summary` required.

    Args:
        kind: the summary of an operation, or the name of a tool that is none.
    """
    return schemas()[kind]


def made_of(types: Mapping[str, type[Result]]) -> str:
    """Return what the file has to hold for the types of results, by their kinds."""
    schemas = {kind: result_schema(types[kind]) for kind in sorted(types)}
    return json.dumps(schemas, indent=1) + "\n"


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of all kinds of results."""
    found: dict[str, dict[str, Any]] = json.loads(MADE.read_bytes())
    return found


def result_schema(result: type[Result]) -> dict[str, Any]:
    """Return the schema of results of a type."""
    fields = result.model_fields
    own = {
        name: _OBJECTS if BRIEF in field.metadata else schema_of(field.annotation)
        for name, field in fields.items()
        if name not in COMMON_FIELDS
    }
    return {"type": "object", "properties": {"summary": {}, **own}, "required": ["summary"]}


def schema_of(annotation: Any, *, names_inside: bool = True) -> dict[str, Any]:
    """Return the schema of one field; objects inside objects show no names any more."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin = get_origin(annotation)
    if annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    if origin is Literal:
        return {"enum": list(get_args(annotation))}
    if origin in (Union, UnionType):
        choices = [schema_of(each, names_inside=names_inside) for each in get_args(annotation) if each is not NoneType]
        return choices[0] if all(each == choices[0] for each in choices) else {}
    if annotation is list or origin in (list, tuple):
        items = schema_of((get_args(annotation) or (str,))[0]) if names_inside else {}
        named = {"properties": items["properties"]} if "properties" in items else items
        return {"type": "array", "items": named} if named else {"type": "array"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and names_inside:
        inner = {
            name: schema_of(field.annotation, names_inside=False) for name, field in annotation.model_fields.items()
        }
        return {"type": "object", "properties": inner}
    return {} if annotation is Any else {"type": "object"}
