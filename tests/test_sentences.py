"""What our own sentences do not hold: names of the vendor's JSON, of the protocol, and where something stands in them.

A caller knows the arguments of our tools and an operator's words. Kubernetes' own field names are such words, for they
stand in manifests. What is for developers only, the specs and their lint, may name anything.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import mcp_types
import pytest
from pydantic import BaseModel
from sources import modules

from ap_mcp.specs import load_catalog, specs_folder
from ap_mcp.toolbox import toolbox

FOR_DEVELOPERS = ("simulator", "kubernetes", "specs", "lint.py", "toolbox.py", "binding.py")
CAMEL = re.compile(r"[a-z][a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+")
PLACES = re.compile(r"(?<![\w.{}/-])/(?:spec|status|metadata|components)/|\bx-ap-mcp\b")
SHAPE = re.compile(r"\{[^{}]*\}")
"""An object that stands in a description as callers give it: its keys are what it says."""
TEXTS = frozenset({"description", "summary", "happens", "goes", "stays", "unknown", "needs", "meaning", "hint"})


def keys_below(node: Any) -> Iterator[str]:
    """Yield the names of all properties in a schema or document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "properties" and isinstance(value, dict):
            yield from value
        yield from keys_below(value)


@cache
def foreign_names() -> frozenset[str]:
    """Return the names of the vendor's JSON and of the protocol that are no words of any language."""
    documents = (
        json.loads(each.read_bytes()) for each in specs_folder().glob("*.json") if each.stem != "x-ap-mcp.schema"
    )
    vendor = {name for each in documents for name in keys_below(each)}
    models = (
        each for _, each in inspect.getmembers(mcp_types) if isinstance(each, type) and issubclass(each, BaseModel)
    )
    protocol = {str(field.alias) for model in models for field in model.model_fields.values() if field.alias}
    return frozenset(name for name in vendor | protocol if CAMEL.fullmatch(name))


def in_code() -> Iterator[tuple[str, str]]:
    """Yield the sentences of our modules, or the parts of them between values, each with where it stands."""
    for where, nodes in modules().items():
        if where.partition("/")[0] in FOR_DEVELOPERS:
            continue
        bare = {id(each.value) for each in nodes if isinstance(each, ast.Expr)}
        for node in nodes:
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in bare:
                continue
            if " " in node.value.strip() and "\n" not in node.value.strip():
                yield f"{where}:{node.lineno}", node.value


def in_specs(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of ours in the specs that a caller or a person reads."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in TEXTS and isinstance(value, str | list):
            yield from ((f"{where}/{key}", each) for each in ([value] if isinstance(value, str) else value))
        else:
            yield from in_specs(value, f"{where}/{key}")


def in_answers_of_specs() -> Iterator[tuple[str, str]]:
    for tool in toolbox(load_catalog()).shown:
        shown = {"description": tool.description, "title": {"description": tool.title}, "arguments": tool.input_schema}
        yield from in_specs(shown, tool.name)
    yield from in_specs(json.loads((specs_folder() / "errors.json").read_bytes()), "errors")
    for operation in load_catalog().values():
        for each in operation.consequences:
            yield from ((operation.id, line) for line in (each.happens, *each.goes, *each.stays, *each.unknown))


def names_in(text: str) -> list[str]:
    shown = SHAPE.sub("", SHAPE.sub("", text))
    return [each for each in CAMEL.findall(shown) if each in foreign_names()] + PLACES.findall(text)


def test_the_names_that_no_sentence_may_hold_are_drawn_from_the_specs_and_from_the_protocol() -> None:
    assert {"clusterID", "addonTemplateName", "requestState", "structuredContent"} <= foreign_names()
    assert names_in("The field addonTemplateName stands at /spec/version.") == ["addonTemplateName", "/spec/"]
    assert len(dict(in_code())) > 1000


@pytest.mark.parametrize("source", [in_code, in_answers_of_specs], ids=["code", "specs"])
def test_no_sentence_holds_names_of_the_vendors_json_or_of_the_protocol_nor_says_where_they_stand(source: Any) -> None:
    assert [(where, text, found) for where, text in source() if (found := names_in(text))] == []
