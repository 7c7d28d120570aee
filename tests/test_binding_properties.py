"""What holds for every operation and any arguments: the path keeps its form, the body keeps to its schema."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from drawn import arguments_of, filled_of
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sdk_oracle import our_wire

from ap_mcp.binding import FilePart, bind
from ap_mcp.cloud.signing import encode_query
from ap_mcp.schemas import strict
from ap_mcp.specs import MULTIPART, Operation, Schema, load_catalog

PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
BODIES = sorted(name for name, operation in load_catalog().items() if operation.body)
PATHS = sorted(name for name, operation in load_catalog().items() if "{" in operation.path)
MOST_IN_A_PATH = 4
"""Values of a call that become parts of its path."""
PROPERTY = settings(
    max_examples=settings().max_examples // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


HOSTILE = st.text() | st.text(alphabet="./%2fF;\\?#& \r\n\u0000\uff0e\uff0f")


@PROPERTY
@given(HOSTILE, st.lists(HOSTILE, min_size=MOST_IN_A_PATH, max_size=MOST_IN_A_PATH))
@example("a/../b", ["%2e%2e", "../../x", "a?x=1#b", "a\\b;{project_id}@:*\r\nHost: x"])
@example("{project_id}", ["%2F..%2F", " ", "x" * 5000, "\u202e\x7fé"])
def test_no_path_value_changes_the_segments_of_any_operation(project: str, values: list[str]) -> None:
    assume(not {"", ".", ".."} & {project, *values})
    for tool in PATHS:
        operation = load_catalog()[tool]
        names = {n: argument.path_parameter for n, argument in operation.arguments.items() if argument.path_parameter}
        call = bind(operation, dict(zip(names, values, strict=False)), project_id=project, filled={}, files={})
        wanted = {"{project_id}": project} | {f"{{{names[n]}}}": v for n, v in zip(names, values, strict=False)}
        assert re.fullmatch(r"[A-Za-z0-9._~%/-]+", call.path)
        template = operation.path.split("/")
        assert [unquote(segment) for segment in call.path.split("/")] == [wanted.get(part, part) for part in template]


@PROPERTY
@given(value=st.text())
def test_a_query_value_survives_the_wire(value: str) -> None:
    call = bind(load_catalog()["list_addon_templates"], {"template_name": value}, project_id=PROJECT)
    encoded = encode_query(call.query)
    assert parse_qsl(encoded, keep_blank_values=True, strict_parsing=True) == [("addon_template_name", value)]


@pytest.mark.parametrize("tool", BODIES)
@PROPERTY
@given(data=st.data())
def test_a_body_fits_its_schema_and_holds_nothing_undeclared(tool: str, data: st.DataObject) -> None:
    operation = load_catalog()[tool]
    arguments, filled = data.draw(arguments_of(operation)), data.draw(filled_of(operation))
    before = copy.deepcopy((arguments, filled))
    files = {"chart_path": FilePart("a.tgz", b"x")} if operation.content_type == MULTIPART else {}
    call = bind(operation, arguments, project_id=PROJECT, filled=filled, files=files)
    assert (arguments, filled) == before
    assert operation.body is not None
    sent = our_wire(call).body
    if files:
        sent = {name: _text(sent[name]) for name in sent["order"]}
    assert list(_undeclared(operation, operation.body, sent, "")) == []
    _body_of(tool).validate(sent)


@cache
def _body_of(tool: str) -> Draft202012Validator:
    operation = load_catalog()[tool]
    schema = strict(operation, operation.body or {})
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _text(part: Mapping[str, Any]) -> str:
    return "a file" if part["filename"] else json.dumps(part["content"])


def _undeclared(operation: Operation, node: Schema, value: Any, place: str) -> Iterator[str]:
    node = operation.follow(node)
    if node.get("readOnly"):
        yield place
    elif "contentSchema" in node:
        yield from _undeclared(operation, node["contentSchema"], json.loads(value), place)
    elif "properties" in node:
        yield from (f"{place}/{name}" for name in value.keys() - node["properties"].keys())
        for name in value.keys() & node["properties"].keys():
            yield from _undeclared(operation, node["properties"][name], value[name], f"{place}/{name}")
    elif "items" in node:
        for item in value:
            yield from _undeclared(operation, node["items"], item, f"{place}/*")
    elif isinstance(node.get("additionalProperties"), Mapping):
        for item in value.values():
            yield from _undeclared(operation, node["additionalProperties"], item, f"{place}/*")
