"""However a client spells arguments, with null for what it leaves out and JSON as text, the call is the same."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from agent import connected
from drawn import arguments_of, values_of
from guarded import account, guarded_account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ap_mcp.arguments import meant
from ap_mcp.errors import InvalidArguments
from ap_mcp.guard.requests import digest_of
from ap_mcp.simulator.constants import TEAM_SANDBOX
from ap_mcp.specs import Schema, load_catalog
from ap_mcp.toolbox import toolbox

CATALOG = load_catalog()
TOOLS = toolbox(CATALOG, confirm="token").tools
PROPERTY = settings(
    max_examples=settings().max_examples // 8,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def drawn(tool: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw arguments that pass the check of a tool, those of ours among them."""
    own = values_of(TOOLS[tool].input_schema)
    if tool not in CATALOG:
        return own.filter(lambda given: passes(tool, given))
    taken = CATALOG[tool].arguments
    return st.tuples(own, arguments_of(CATALOG[tool])).map(
        lambda both: {name: value for name, value in both[0].items() if name not in taken} | both[1]
    )


def passes(tool: str, given: Mapping[str, Any]) -> bool:
    try:
        TOOLS[tool].checked(given)
    except InvalidArguments:
        return False
    return True


@st.composite
def respelled(draw: st.DrawFn, schema: Schema, value: Any) -> Any:
    """Draw another spelling of a value: null for fields that are left out, JSON text for what is no string."""
    if isinstance(value, Mapping) and "properties" in schema:
        known = schema["properties"]
        value = {name: draw(respelled(known[name], each)) for name, each in value.items()}
        left_out = [name for name in known if name not in value and name not in schema.get("required", ())]
        value |= {name: None for name in left_out if draw(st.booleans())}
    elif isinstance(value, Mapping) and isinstance(schema.get("additionalProperties"), Mapping):
        value = {name: draw(respelled(schema["additionalProperties"], each)) for name, each in value.items()}
    elif isinstance(value, list):
        value = [draw(respelled(schema["items"], each)) for each in value]
    elif isinstance(value, int) and schema["type"] == "integer" and draw(st.booleans()):
        value = float(value) if abs(value) < 2**50 else value
    return json.dumps(value) if schema["type"] != "string" and draw(st.booleans()) else value


@pytest.mark.parametrize("tool", sorted(TOOLS))
@PROPERTY
@given(data=st.data())
def test_every_spelling_of_a_call_is_the_same_call(tool: str, data: st.DataObject) -> None:
    given_, schema = data.draw(drawn(tool)), TOOLS[tool].input_schema
    wanted = TOOLS[tool].checked(given_)
    cut = {name: each.strip() if isinstance(each, str) else each for name, each in given_.items()}
    assert exactly(wanted) == exactly(cut)
    nulls = dict.fromkeys(name for name in schema["properties"] if name not in given_)
    texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in given_.items()}
    other = data.draw(respelled({**schema, "type": "string"}, given_))
    blanks = {name: f" {each}\t\n" if isinstance(each, str) else each for name, each in given_.items()}
    for spelling in (given_ | nulls, texts, blanks, other):
        found = TOOLS[tool].checked(spelling)
        assert exactly(found) == exactly(wanted)
        assert digest_of(found, {}) == digest_of(wanted, {})
        assert TOOLS[tool].subject(found) == TOOLS[tool].subject(wanted)


def exactly(value: Any) -> str:
    """Tell apart what Python takes for equal: 1, 1.0 and True."""
    return json.dumps(value, sort_keys=True)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "values": {"type": "object"},
        "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
    "required": ["text"],
    "additionalProperties": False,
}
SAME: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"count": None, "tags": None, "values": None}, {}),
    ({"text": None}, {"text": None}),
    ({"unknown": None}, {"unknown": None}),
    ({"tags": {"a": None}, "values": {"a": None, "b": "1"}}, {"tags": {"a": None}, "values": {"a": None, "b": "1"}}),
    (
        {"tags": '{"a": "1"}', "values": '{"a": "{}", "b": null}'},
        {"tags": {"a": "1"}, "values": {"a": "{}", "b": None}},
    ),
    ({"items": '["{\\"n\\": \\"3\\"}", {"n": null}]'}, {"items": [{"n": 3}, {}]}),
    ({"names": '["1", "[2]"]'}, {"names": ["1", "[2]"]}),
    ({"text": "true", "names": ["7"]}, {"text": "true", "names": ["7"]}),
    ({"count": "3.0", "share": "3", "flag": " false "}, {"count": 3, "share": 3, "flag": False}),
    ({"count": 3.0, "share": 3.0}, {"count": 3, "share": 3.0}),
)


@pytest.mark.parametrize(("given_", "wanted"), SAME)
def test_what_is_meant(given_: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert exactly(meant(SCHEMA, given_)) == exactly(wanted)


@pytest.mark.parametrize(
    "given_",
    [
        {"count": "3.5"},
        {"count": "true"},
        {"count": ""},
        {"count": "9" * 5000},
        {"flag": "1"},
        {"flag": "True"},
        {"flag": "null"},
        {"names": '{"a": 1}'},
        {"tags": '{"a": "1", "a": "2"}'},
        {"values": '{"a": NaN}'},
        {"values": '"{}"'},
        {"values": "[" * 100_000},
        {"values": "a: 1"},
    ],
)
def test_a_text_that_is_not_exactly_what_is_wanted_stays_a_text(given_: dict[str, Any]) -> None:
    assert meant(SCHEMA, given_) == given_


@pytest.mark.anyio
async def test_a_person_sees_and_the_cloud_gets_the_same_however_a_guarded_call_is_spelled(tmp_path: Path) -> None:
    state, calls = await guarded_account(tmp_path)
    async with connected(tmp_path, app=account(state), chart_roots=(tmp_path,)) as agent:
        for tool, arguments in calls.items():
            schema = agent.autopilot.view().toolbox.tools[tool].input_schema["properties"]
            shown = await agent.call(tool, **arguments, dry_run=True)
            texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in arguments.items()}
            left_out = dict.fromkeys(name for name in schema if name not in arguments)
            assert await agent.call(tool, **texts | left_out | {"dry_run": "true"}) == shown


@pytest.mark.anyio
async def test_a_call_in_another_spelling_is_the_one_that_waits_for_a_person(tmp_path: Path) -> None:
    async with connected(tmp_path, unasked=False) as agent:
        plain = await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX)
        code = re.search(r"\b[A-Z2-9]{4}-[A-Z2-9]{4}\b", plain)
        assert code
        other = await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX, delete_obs=None, dry_run="false")
        assert code[0] in other
        assert code[0] not in await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX, delete_obs="try")
        assert agent.changed == []
