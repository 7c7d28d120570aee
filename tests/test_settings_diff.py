"""How two sets of settings are compared, and what is reported of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.masking import PLACEHOLDER, mask
from ap_mcp.rules import settings_diff
from ap_mcp.wording import path, steps


def test_a_long_list_of_changes_ends_in_names() -> None:
    found = settings_diff.changes({}, {f"key{number:02}": number for number in range(40)})
    lines = settings_diff.lines(found)
    assert len(lines) == settings_diff.LINES + 1
    assert lines[0] == "key00: new, 0"
    assert lines[-1].startswith("also: key12, key13")
    assert lines[-1].endswith("and 16 more")


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": True}, {"a": 1}, ["a: true becomes 1"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] becomes [1, 2]"]),
        ({"a": {"b": 1}}, {"a": 2}, ['a: {"b": 1} becomes 2']),
        ({"a": None}, {}, ["a: null is no longer set"]),
        ({"a b": 1}, {"a b": 2}, ['"a b": 1 becomes 2']),
        ({"password": "x"}, {"password": ["y"]}, ["password: a secret becomes [a secret]"]),
        ({"env": [{"name": "DB_PASSWORD", "value": "x"}]}, {"env": [{"name": "DB_PASSWORD", "value": "y"}]}, None),
        ({"kind": "Secret", "data": {"k": "x"}}, {"kind": "Secret", "data": {"k": "y"}}, ["data.k: changes"]),
        ({"postgres://u:hunter2@db/one": 1}, {}, None),
    ],
)
def test_changes_are_compared_as_json_and_masked(before: Any, after: Any, lines: list[str] | None) -> None:
    found = settings_diff.lines(settings_diff.changes(before, after))
    assert lines is None or found == lines
    assert len(found) == 1 or lines == []
    assert "hunter2" not in str(found)
    assert not {'"x"', "'x'"} & set(str(found).split())


def test_asterisks_are_found_at_any_depth() -> None:
    assert settings_diff.starred({"a": {"b": "***"}, "c": ["*****", "x"], "d": "**", "e": "* * *"}) == ["a.b", "c.0"]


def test_an_object_that_comes_or_goes_is_reported_key_by_key() -> None:
    whole = {"image": {"tag": "v2", "pull": {"secret": "x", "always": True}}, "none": {}}
    assert settings_diff.lines(settings_diff.changes({}, whole)) == [
        "image.pull.always: new, true",
        "image.pull.secret: new, a secret",
        'image.tag: new, "v2"',
        "none: new, {}",
    ]
    assert settings_diff.lines(settings_diff.changes(whole, {"none": {}}))[2] == 'image.tag: "v2" is no longer set'


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"a": [1]}, {"a": [True]}, False),
        ({"a": [{"b": 0}]}, {"a": [{"b": False}]}, False),
        ({"a": [{"b": [2.0]}]}, {"a": [{"b": [2]}]}, True),
        ({"a": [{"b": 1}]}, {"a": [{"c": 1}]}, False),
        ({"a": {}}, {"a": []}, False),
    ],
)
def test_lists_are_compared_as_json_too(before: Any, after: Any, same: bool) -> None:
    assert (settings_diff.changes(before, after) == []) is same


@pytest.mark.parametrize(
    ("before", "after", "hidden"),
    [
        ({"password": "x", "host": "db"}, {"password": "y", "host": "db"}, ["password"]),
        ({"password": "x"}, {"password": ""}, []),
        ({"db": {"password": "*****"}}, {"db": {"password": "*****"}}, ["db.password"]),
        ({"note": "***", "count": 3}, {"note": "****", "count": 3}, []),
        (
            {"env": [{"name": "API_TOKEN", "value": "x"}]},
            {"env": [{"name": "API_TOKEN", "value": "y"}]},
            ["env.0.value"],
        ),
        ({"dsn": "redis://:hunter2@one:1/0"}, {"dsn": "redis://:hunter2@two:1/0"}, []),
        ({"dsn": "redis://:hunter2@one:1/0"}, {"dsn": "redis://:hunter3@one:1/0"}, ["dsn"]),
        ({"passwords": []}, {"passwords": []}, []),
        ({"password": None}, {}, []),
    ],
)
def test_what_is_masked_on_both_sides_is_known_not_to_be_comparable(before: Any, after: Any, hidden: list[str]) -> None:
    assert settings_diff.hidden_in_both(mask(before), mask(after)) == hidden


def test_a_key_that_is_masked_hides_what_stands_below_it() -> None:
    before, after = mask({"postgres://u:hunter2@db/one": 1}), mask({"postgres://u:hunter3@db/one": 1})
    assert settings_diff.changes(before, after) == []
    (path,) = settings_diff.hidden_in_both(before, after)
    assert PLACEHOLDER in path
    assert "hunter" not in path


def test_a_setting_counts_as_named_if_the_call_names_what_it_is_part_of() -> None:
    assert settings_diff.names({"image": None}, ("image", "tag"))
    assert settings_diff.names({"image": {"tag": "v2"}}, ("image", "tag"))
    assert not settings_diff.names({"image": {}}, ("image", "tag"))


KEYS = st.one_of(
    st.sampled_from(
        ["image", "tag", "image.tag", "a.b.c", "[0]", "0", "a[0]", 'a"b', "a'b", "", ".", "next", "é", "x y"]
    ),
    st.text(max_size=8),
)


@given(st.lists(KEYS, min_size=1, max_size=4))
def test_a_path_says_which_keys_it_is_made_of(keys: list[str]) -> None:
    assert steps(path(keys)) == keys


def _tree(way: list[str]) -> dict[str, Any]:
    return {way[0]: _tree(way[1:]) if way[1:] else 1}


@given(st.lists(st.lists(KEYS, min_size=1, max_size=4), min_size=2, max_size=2, unique_by=tuple))
def test_two_settings_are_never_shown_by_the_same_path(ways: list[list[str]]) -> None:
    trees = [_tree(way) for way in ways]
    shown = [settings_diff.changes({}, tree, tree)[0].path for tree in trees]
    assert shown[0] != shown[1]
    assert settings_diff.path_of(ways[0]) != settings_diff.path_of(ways[1])


def test_a_key_that_holds_a_dot_is_not_taken_for_a_path() -> None:
    before = {"image": {"tag": "1"}, "image.tag": "1", "list": ["x"], "map": {"0": "x"}}
    after = {"image": {"tag": "2"}, "image.tag": "3", "list": ["y"], "map": {"0": "y"}}
    assert settings_diff.every_line(settings_diff.changes(before, after)) == [
        'image.tag: "1" becomes "2"',
        '"image.tag": "1" becomes "3"',
        'list: ["x"] becomes ["y"]',
        'map."0": "x" becomes "y"',
    ]
