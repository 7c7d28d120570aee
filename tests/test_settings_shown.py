"""Settings in an answer: what is too large is one call away, and nothing is out of reach."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Observation
from ap_mcp.summaries.settings_shown import NAMES_SHOWN, VALUES_LIMIT, ShownSettings, shown_settings

WHICH = {"cluster_id": "c", "namespace": "n", "name": "r"}


def shown(values: Any, section: str | None = None) -> ShownSettings:
    own = {} if section is None else {"section": section}
    return shown_settings(Observation(load_catalog()["get_release"], WHICH, {"values": values}, own=own), "It has")


def test_small_settings_are_shown_whole_with_what_is_null_or_empty() -> None:
    values: dict[str, Any] = {"probe": None, "selector": {}, "tolerations": [], "tag": "", "a": {"b": [None, {}]}}
    for form in (values, json.dumps(values), json.dumps(json.dumps(values))):
        found = shown(form)
        assert (found.values, found.said, found.left_out, found.next) == (values, "It has 5 top-level settings", [], [])


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("server", {"ingress": {"nginx.org/x": {"on": True}}, "list": [{"a": 1}, 2], "text": "abc"}),
        ("server.ingress.nginx.org/x", {"on": True}),
        ("server.ingress.nginx.org/x.on", {'server.ingress."nginx.org/x".on': True}),
        ('server.ingress."nginx.org/x".on', {'server.ingress."nginx.org/x".on': True}),
        ("server['ingress']['nginx.org/x'].on", {'server.ingress."nginx.org/x".on': True}),
        ("server.list[0]", {"a": 1}),
        ("server.list", {"server.list": [{"a": 1}, 2]}),
        ("server.list.0", {"a": 1}),
        ("server.list.1-", {"server.list": [2]}),
        ("server.text.1-", {"server.text": "bc"}),
        (' "a.b" ', {'"a.b"': 5}),
        (" a.b ", {"a.b": 6}),
        ("a.b.c", {'a."b.c"': 7}),
        ("e.f", {'"e.f"': 8}),
        ("", None),
    ],
)
def test_a_section_is_found_by_its_path_also_where_keys_hold_dots(section: str, values: Any) -> None:
    tree = {
        "server": {"ingress": {"nginx.org/x": {"on": True}}, "list": [{"a": 1}, 2], "text": "abc"},
        "a.b": 5,
        "a": {"b": 6, "b.c": 7},
        "e.f": 8,
    }
    assert shown(tree, section).values == (values or tree)


@pytest.mark.parametrize("section", ["servr", "server.none", "server.list.9", "server.text.x", "..", "server.port.1"])
def test_a_section_that_is_not_there_is_said_with_what_is(section: str) -> None:
    found = shown({"server": {"list": [1], "text": "abc", "port": 1}, "other": 1}, section)
    assert found.values is None
    assert found.warnings[0].startswith(f"There is no section {section} in the settings. There are: ")
    assert "server" in found.warnings[0]


@pytest.mark.parametrize(
    ("values", "warned"),
    [(None, False), ("", False), ("no settings", True), ([1], True), (7, True), ("[" * 5000, True)],
)
def test_settings_that_are_there_and_cannot_be_read_are_said(values: Any, *, warned: bool) -> None:
    found = shown(values)
    assert found.values is None
    assert bool(found.warnings) is warned
    assert all("where settings were expected" in each for each in found.warnings)


LEAVES = st.one_of(st.integers(0, 9), st.none(), st.integers(1, 30).map(lambda size: "ab-" * size * 400))
TREES = st.dictionaries(
    st.sampled_from(["a", "b.c", "d", "e"]),
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["x", "y.z", "w"]), inner, max_size=3)
        ),
        max_leaves=12,
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(TREES)
def test_everything_that_is_left_out_is_reached_by_the_calls(tree: dict[str, Any]) -> None:
    pieces: list[str] = []
    waiting = [""]
    while waiting:
        found = shown(tree, waiting.pop())
        assert found.values is not None
        assert len(json.dumps(found.values)) <= 2 * VALUES_LIMIT
        assert [each.arguments["section"] for each in found.next] == found.left_out[:NAMES_SHOWN]
        pieces += [piece for piece in _texts(found.values) if "…" not in piece]
        waiting += found.left_out
    assert sum(map(len, pieces)) == sum(map(len, _texts(tree)))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _texts(each)


def test_a_large_chart_is_walked_to_its_end() -> None:
    numbers = "".join(f"{n:06}," for n in range(3_000))
    rows = [{"n": n, "text": "y" * 300} for n in range(200)]
    tree: dict[str, Any] = {
        "prometheus": {"spec": {f"rule{n}": "x" * 400 for n in range(100)}, "port": 9090},
        "dashboards": {"json": numbers},
        "rows": rows,
        "small": 1,
    }
    first = shown(tree)
    assert (first.values, first.left_out) == ({"small": 1}, ["prometheus", "dashboards", "rows"])
    assert first.said == "It has 4 top-level settings: 1 shown, 3 too large to show here"
    assert shown(tree, "dashboards.json").said == "dashboards.json is shown: 3800 of 21000 characters"
    assert shown(tree, "prometheus.spec").said.startswith("prometheus.spec has 100 settings: ")
    for path, whole, nothing in (("dashboards.json", numbers, ""), ("rows", rows, [])):
        got: Any = nothing
        for found in walked(tree, path):
            got += (found.values or {})[path]
        assert got == whole
    spec: dict[str, Any] = {}
    pages = list(walked(tree, "prometheus.spec"))
    for found in pages:
        spec |= found.values or {}
    assert spec == tree["prometheus"]["spec"]
    assert len(pages) <= 4


def walked(tree: Any, section: str) -> Iterator[ShownSettings]:
    while section:
        found = shown(tree, section)
        yield found
        section = next(iter(found.left_out), "")
