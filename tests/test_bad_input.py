"""Whatever a call holds: every mistake is reported, nothing is sent, no path changes, and the server goes on."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from agent import autopilot_on, unharmed
from frames import session
from simulation import simulate

from ap_mcp.errors import SAID_LIMIT
from ap_mcp.operation_calls import CHART_LIMIT
from ap_mcp.schemas import input_schema
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import PAYMENTS_PROD, TEAM_SANDBOX
from ap_mcp.specs import Catalog, Operation, load_catalog
from ap_mcp.wording import NAME_LIMIT

pytestmark = pytest.mark.anyio

ANY_ID = "3d7c0a52-5c1e-11ef-9a41-0255ac100d01"
RELEASE = {"cluster_id": TEAM_SANDBOX, "namespace": "default", "name": "cache", "chart_id": REDIS, "version": "18.6.1"}
WRONG = {"string": 7, "integer": "seven", "boolean": "yes", "array": "x", "object": [1]}
"""For each type a value of another."""
FITTING = ("v1.31", "abcd", "Friday")
"""For each pattern of a spec a text that fits it."""
HOSTILE = ("a/../b", "%2F..%2F", "a\r\nHost: x", "a?x=1#b", "{project_id}")
"""Path values that would change a path if they were not encoded; `test_binding_properties` draws many more."""


def good(schema: Mapping[str, Any], name: str = "") -> Any:
    """A value that a schema accepts."""
    if name == "cluster_id":
        return TEAM_SANDBOX
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "string":
        return next(value for value in FITTING if re.search(schema.get("pattern", ""), value))
    made = {"integer": schema.get("minimum", 1), "boolean": True, "object": {"k": "v"}}
    return [good(schema["items"])] if schema["type"] == "array" else made[schema["type"]]


def required(operation: Operation) -> dict[str, Any]:
    schema = input_schema(operation)
    return {name: good(schema["properties"][name], name) for name in schema.get("required", ())}


def out_of_range(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Values of the right type that a schema does not accept."""
    limits: dict[str, Callable[[Any], Any]] = {
        "enum": lambda _: "neither",
        "minimum": lambda least: least - 1,
        "maximum": lambda most: most + 1,
        "pattern": lambda wanted: next(each for each in ("<?>\n", "") if not re.search(wanted, each)),
        "minLength": lambda _: "",
        "maxLength": lambda most: "a" * (most + 1),
        "minItems": lambda _: [],
        "minProperties": lambda _: {},
        "maxProperties": lambda most: {f"k{n}": "" for n in range(most + 1)},
    }
    yield from (wrong(schema[limit]) for limit, wrong in limits.items() if limit in schema)
    if "items" in schema:
        yield from ([wrong] for wrong in out_of_range(schema["items"]))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from ({"k": wrong} for wrong in out_of_range(schema["additionalProperties"]))


async def test_an_unknown_argument_is_refused_by_every_tool(tmp_path: Path, catalog: Catalog) -> None:
    async with unharmed(tmp_path) as agent:
        for name, operation in catalog.items():
            said = await agent.fail(name, **required(operation), no_such_thing=1)
            assert f"no_such_thing: is no argument of {name}; it takes" in said
        said = await agent.fail("get_cluster", cluster="x")
        assert "cluster: is no argument of get_cluster; did you mean cluster_id?" in said
        assert agent.sent == []


async def test_all_missing_arguments_are_named_at_once_by_every_tool(tmp_path: Path, catalog: Catalog) -> None:
    async with unharmed(tmp_path) as agent:
        for name, operation in catalog.items():
            if wanted := required(operation):
                said = await agent.fail(name)
                assert [line for line in wanted if f"- {line}: is required" not in said] == []
        assert agent.sent == []


async def test_a_value_of_another_type_is_refused_by_every_tool(tmp_path: Path, catalog: Catalog) -> None:
    async with unharmed(tmp_path) as agent:
        for name, operation in catalog.items():
            for argument, schema in input_schema(operation)["properties"].items():
                needed = required(operation)
                for wrong in (WRONG[schema["type"]], *([None] if argument in needed else [])):
                    said = await agent.fail(name, **needed | {argument: wrong})
                    assert re.search(rf"- {argument}: must be an? {schema['type']}, not an? ", said), (name, said)
        assert agent.sent == []


async def test_a_value_out_of_range_is_refused_with_the_range_by_every_tool(tmp_path: Path, catalog: Catalog) -> None:
    tried = 0
    async with unharmed(tmp_path) as agent:
        for name, operation in catalog.items():
            for argument, schema in input_schema(operation)["properties"].items():
                for wrong in out_of_range(schema):
                    said = await agent.fail(name, **required(operation) | {argument: wrong})
                    assert re.search(rf"- {argument}[^:]*: .*must ", said), (name, said)
                    tried += 1
        assert agent.sent == []
    assert tried > 30


async def test_everything_wrong_with_a_call_is_reported_at_once_with_what_is_allowed(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        said = await agent.fail(
            "create_cluster", name="UPPER", vpc_id=7, eni_subnet_ids=[], tags={"a": 1}, addons=[{"nme": "x"}], speed=9
        )
        assert said.splitlines()[0] == "Nothing was sent: 8 problems with the arguments."
        for problem in (
            "speed: is no argument",
            "name: must be 4 to 128 small letters",
            "vpc_id: must be a string, not an integer",
        ):
            assert f"- {problem}" in said
        for problem in ("subnet_id: is required", "eni_subnet_ids: must have at least 1", "tags.a: must be a string"):
            assert f"- {problem}" in said
        for problem in ("addons.0.nme: is unknown here; allowed: name, version, values", "addons.0.name: is required"):
            assert f"- {problem}" in said
        said = await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX, delete_efs="yes")
        assert "- delete_efs: must be one of: block, try, skip" in said
        assert agent.sent == []


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("update_cluster", {}, "alias / description / eni_subnet_ids: at least one of them is required"),
        ("set_cluster_public_access", {"action": "bind"}, "eip_id: is required when action is"),
        ("set_cluster_public_access", {"action": "unbind", "eip_id": ANY_ID}, "eip_id: "),
        (
            "update_addon",
            {"addon_id": ANY_ID},
            "target_version / values / reset_values: at least one of them is required",
        ),
        ("run_precheck", {"target_version": "v1.31", "skip_items": [{"node_ids": ["a"]}]}, "skip_items.0.name: is"),
        ("update_release", {"action": "rollback"}, "revision: is required when action is"),
        ("update_release", {"action": "upgrade"}, "values / chart_id / reset_values / recreate: at least one of them"),
        ("update_release", {"action": "upgrade", "values": {}, "revision": 2}, "revision: must not be given"),
        ("update_release", {"action": "rollback", "revision": 2, "values": {}}, "values: must not be given"),
    ],
)
async def test_arguments_that_do_not_go_together_are_refused(
    tmp_path: Path, tool: str, arguments: dict[str, Any], problem: str
) -> None:
    more = {"namespace": "default", "name": "cache"} if tool == "update_release" else {}
    async with unharmed(tmp_path) as agent:
        assert problem in await agent.fail(tool, cluster_id=TEAM_SANDBOX, **more, **arguments)
        assert agent.sent == []


async def test_values_that_no_request_can_carry_are_refused(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"a": deep}
    async with unharmed(tmp_path) as agent:
        assert "values: is nested deeper than" in await agent.fail("create_release", **RELEASE, values=deep)
        assert "values.x: must fit into 64 bits" in await agent.fail("create_release", **RELEASE, values={"x": 2**70})
        assert "name: is no valid Unicode" in await agent.fail("create_release", **RELEASE | {"name": "\ud800"})
        assert agent.sent == []


MORE: dict[str, dict[str, Any]] = {
    "set_cluster_public_access": {"eip_id": ANY_ID},
    "update_release": {"action": "upgrade", "values": {}},
    "update_chart": {"chart_path": "chart.tgz"},
}
"""What a good call needs beyond the arguments that are always required, and one of those of which one is."""


def enough(operation: Operation) -> dict[str, Any]:
    """Arguments of a good call: those that are required, and the first of those of which one is."""
    choices = [each.get("required", []) for each in (operation.constraints or {}).get("anyOf", [])]
    shown = input_schema(operation)["properties"]
    chosen = {name: good(shown[name], name) for name in (choices[0] if choices else [])}
    return required(operation) | chosen | MORE.get(operation.id, {})


def path_arguments() -> list[tuple[str, str, str]]:
    """Tool, argument and segment of the path template of every path value."""
    return [
        (operation.id, name, f"{{{argument.path_parameter}}}")
        for operation in load_catalog().values()
        for name, argument in operation.arguments.items()
        if argument.path_parameter
    ]


async def test_no_value_can_change_the_path_of_a_request(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "chart.tgz").write_bytes(b"x")
    async with unharmed(tmp_path) as agent:
        for (tool, argument, wanted), value in zip(path_arguments(), cycle(HOSTILE), strict=False):
            base = enough(catalog[tool])
            agent.app.state.log.clear()
            await agent.fail(tool, **base | {argument: value})
            if argument == "cluster_id":
                assert agent.sent == ["list_clusters"], agent.said
                continue
            assert agent.sent
            for request in agent.app.state.log:
                assert request.operation == tool or request.method == "GET"
                path, template = request.path.split("/"), catalog[request.operation].path.split("/")
                assert len(path) == len(template)
                assert request.path.isascii()
                assert request.path.isprintable()
                if wanted in template:
                    assert unquote(path[template.index(wanted)]) == value
            agent.app.state.log.clear()
            for nothing in ("", ".", "..", "\udc80"):
                assert f"- {argument}: " in await agent.fail(tool, **base | {argument: nothing})
            assert agent.sent == []


async def test_no_value_can_add_to_the_query_of_a_request(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        for value in ("payments&chart_id=1", "payments#", "a=b", "%26x=y", "+", "\x00", "payments\r\nHost: x"):
            listed = await agent.call("list_releases", cluster_id=PAYMENTS_PROD, namespace=value)
            assert listed["releases"] == []
        assert {request.path.count("?") for request in agent.app.state.log} == {0}


def broken_charts(folder: Path) -> dict[str, Path | str]:
    """Charts that must not be sent, by what is said about them."""
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    (outside / "chart.tgz").write_bytes(build_chart("x", {"Chart.yaml": "name: x\nversion: 1.0.0\n"}))
    (folder / "link.tgz").symlink_to(outside / "chart.tgz")
    (folder / "linked").symlink_to(outside)
    (folder / "folder.tgz").mkdir()
    (folder / "empty.tgz").touch()
    with (folder / "huge.tgz").open("wb") as huge:
        huge.truncate(CHART_LIMIT + 1)
    os.mkfifo(folder / "pipe.tgz")
    strange = "does not lie in a folder that uploads may come from"
    return {
        f"1 {strange}": outside / "chart.tgz",
        f"2 {strange}": folder / "link.tgz",
        f"3 {strange}": folder / "linked" / "chart.tgz",
        f"4 {strange}": f"../{outside.name}/chart.tgz",
        f"5 {strange}": "/etc/passwd",
        f"6 {strange}": "~/chart.tgz",
        "is no plain file": "folder.tgz",
        "1 is no plain file": "pipe.tgz",
        "is empty": "empty.tgz",
        "is larger than 12 MiB": "huge.tgz",
        "There is no file": folder / "missing.tgz",
        "is no path this machine understands": "a\x00.tgz",
        "must have at least 1 characters": "",
    }


@pytest.mark.parametrize("tool", ["upload_chart", "update_chart"])
async def test_only_a_plain_file_below_the_open_folders_is_sent(tmp_path: Path, tool: str) -> None:
    more = {"chart_id": REDIS} if tool == "update_chart" else {}
    root = tmp_path / "charts"
    root.mkdir()
    async with unharmed(tmp_path, chart_roots=(root,)) as agent:
        for said, path in broken_charts(root).items():
            reported = await agent.fail(tool, **more, chart_path=str(path))
            assert said.lstrip("123456 ") in reported
            assert "Nothing was sent" in reported or str(root) in reported
        assert agent.sent == []


async def test_a_broken_chart_is_refused_by_the_service_and_nothing_is_stored(tmp_path: Path) -> None:
    (tmp_path / "noise.tgz").write_bytes(os.urandom(300))
    (tmp_path / "chart.zip").write_bytes(build_chart("x", {"Chart.yaml": "name: x\nversion: 1.0.0\n"}))
    whole = build_chart("x", {"Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n"})
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    async with unharmed(tmp_path) as agent:
        before = agent.world.to_json()["tables"]
        for name, reason in {"noise": "tgz", "half": "tgz", "chart": "zip"}.items():
            said = await agent.fail("upload_chart", chart_path=f"{name}.{reason}")
            assert "upload_chart failed: HTTP 400, CCE.02400001" in said
            assert "Request id: " in said
        assert agent.changed == ["upload_chart"] * 3
        assert agent.world.to_json()["tables"] == before


LONG = "x" * 50_000
MANY = {f"{number}{'y' * 100}": "1" for number in range(2000)}
ECHOES: tuple[tuple[str, dict[str, Any]], ...] = (
    (f"made/{LONG}", {}),
    (f"notifications/{LONG}", {}),
    ("tools/call", {"name": LONG}),
    ("tools/call", {"name": "get_cluster", "arguments": {LONG: 1}}),
    ("tools/call", {"name": "get_cluster", "arguments": MANY}),
    ("tools/call", {"name": "get_cluster", "arguments": {"cluster_id": LONG}}),
    ("tools/call", {"name": "create_cluster", "arguments": {"name": LONG, "addons": [MANY] * 50}}),
    ("tools/call", {"name": "wait_for", "arguments": {"kind": LONG, "id": LONG}}),
    ("resources/read", {"uri": LONG}),
    ("resources/read", {"uri": f"autopilot://responses/{LONG}"}),
    ("resources/list", {"cursor": LONG}),
    ("prompts/get", {"name": LONG}),
    ("prompts/get", {"name": "upgrade-cluster", "arguments": {"cluster": LONG, **MANY}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": LONG}, "argument": {"name": LONG, "value": LONG}}),
    ("completion/complete", {"ref": {"type": "ref/resource", "uri": LONG}, "argument": {"name": "id", "value": LONG}}),
    ("logging/setLevel", {"level": LONG}),
    ("resources/subscribe", {"uri": LONG}),
)


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_no_refusal_repeats_more_of_a_request_than_names_it(version: str, tmp_path: Path) -> None:
    async with session(autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl"), version) as client:
        await client.open()
        lengths = {method[:40]: len(json.dumps(await client.answer(method, params))) for method, params in ECHOES}
        refused = await client.refused(f"made/{LONG}")
    assert {method: length for method, length in lengths.items() if length > 2 * SAID_LIMIT} == {}
    assert refused["data"].startswith("made/xxx")
    assert len(refused["data"]) <= NAME_LIMIT
