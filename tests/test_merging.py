"""Settings of a call over those that a thing has: what is not named stays, a masked value stands for the true one."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from ap_mcp.masking import PLACEHOLDER, contains_placeholder, mask
from ap_mcp.rules.merging import merge_patch, merged, renewed, true_values, ways
from ap_mcp.rules.settings import settings
from ap_mcp.rules.settings_diff import ABSENT, at, names, same
from ap_mcp.wording import path

SECRETS = ("password", "token", "secretKey", "apiKey")
NAMES = ("replicas", "image", "host", "auth", "probe", "custom")
leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "a", "b: c", "[x]"]))
secrets = st.text(alphabet="QZ7kx9", min_size=9, max_size=12).map(lambda text: f"S3cr-{text}")


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    plain = st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    secret = st.dictionaries(st.sampled_from(SECRETS), secrets, max_size=2)
    return st.builds(lambda one, other: {**one, **other}, plain, secret)


pairs = st.builds(lambda name, value: {"name": name, "value": value}, st.sampled_from(["DB_PASSWORD", "LOG"]), secrets)
things = st.recursive(
    leaves, lambda inner: st.one_of(_objects(inner), st.lists(st.one_of(inner, pairs), max_size=3)), max_leaves=8
)
trees = _objects(things)
drawing = settings_of(suppress_health_check=[HealthCheck.too_slow], deadline=None)
"""Drawing a tree takes long on a busy machine, testing it does not."""


@drawing
@given(trees, trees)
def test_nothing_that_the_call_does_not_name_changes(current: dict[str, Any], given: dict[str, Any]) -> None:
    before = copy.deepcopy((current, given))
    sent, _ = merged(current, given)
    assert (current, given) == before
    for way in {*ways(current), *ways(sent)}:
        if not names(given, way):
            assert same(at(sent, way), at(current, way)), way


@drawing
@given(trees, trees)
def test_what_the_call_names_is_sent_and_null_removes(current: dict[str, Any], given: dict[str, Any]) -> None:
    sent, without_effect = merged(current, given)
    for way in ways(given):
        wanted = at(given, way)
        if wanted is None and at(current, way) is None:
            assert at(sent, way) is None, "a null that is there stays: in Helm it removes a default"
        elif wanted is None:
            assert at(sent, way) is ABSENT
            assert (way in without_effect) is (at(current, way) is ABSENT)
        elif wanted != {}:
            assert same(at(sent, way), wanted)


@drawing
@given(trees, trees)
def test_it_is_rfc_7396_but_for_nulls_that_are_there(current: dict[str, Any], given: dict[str, Any]) -> None:
    sent, _ = merged(current, given)
    ours, theirs = dict(_present(sent)), dict(_present(merge_patch(current, given)))
    assert {way: ours[way] for way in ours if way in theirs} == theirs
    assert all(ours[way] is None for way in ours.keys() - theirs.keys())


@drawing
@given(trees, st.data())
def test_settings_that_come_back_as_they_were_shown_keep_every_secret(
    current: dict[str, Any], data: st.DataObject
) -> None:
    given = copy.deepcopy(mask(current))
    chosen = data.draw(st.sampled_from([(), *ways(current)]))
    if chosen:
        _put(given, chosen, 4711)
    found = true_values(current, mask(current), given)
    assert found.misplaced == []
    assert contains_placeholder(found.values) is None
    sent, without_effect = merged(current, found.values)
    assert without_effect == []
    for way in ways(sent):
        expected = 4711 if chosen and way[: len(chosen)] == chosen else at(current, way)
        assert same(at(sent, way), expected), way


@drawing
@given(trees, trees)
def test_no_placeholder_is_ever_sent_unsaid(current: dict[str, Any], given: dict[str, Any]) -> None:
    foreign = {**mask(given), "extra": {"password": PLACEHOLDER}}
    found = true_values(current, mask(current), foreign)
    sent, _ = merged(current, found.values)
    assert found.misplaced
    assert (contains_placeholder(sent) is None) is (contains_placeholder(found.values) is None)
    for way in ways(found.values):
        value = at(found.values, way)
        if contains_placeholder([value, *way]) is not None:
            assert any(each.startswith(path(way)) for each in found.misplaced), way


ENV = [
    {"name": "DB_PASSWORD", "value": "S3cret-one"},
    {"name": "API_TOKEN", "value": "S3cret-two"},
    {"name": "LOG", "value": "x"},
]
ARGS = ["--password", "S3cret-one", "--token", "S3cret-two", "--level=debug"]
HIDDEN_ENV, HIDDEN_ARGS = mask({"env": ENV})["env"], mask({"args": ARGS})["args"]


@pytest.mark.parametrize(
    ("current", "given", "sent"),
    [
        (ENV, HIDDEN_ENV, ENV),
        (ENV, HIDDEN_ENV[::-1], ENV[::-1]),
        (ENV, [HIDDEN_ENV[1]], [ENV[1]]),
        (ENV, [{"name": "NEW", "value": "1"}, *HIDDEN_ENV], [{"name": "NEW", "value": "1"}, *ENV]),
        (ENV, [{**HIDDEN_ENV[0], "more": 1}], [{**ENV[0], "more": 1}]),
        (ENV, [{"name": "OTHER", "value": PLACEHOLDER}], None),
        (ENV, [PLACEHOLDER], None),
        (ARGS, HIDDEN_ARGS, ARGS),
        (ARGS, [*HIDDEN_ARGS[2:4], *HIDDEN_ARGS[:2]], [*ARGS[2:4], *ARGS[:2]]),
        (ARGS, [*HIDDEN_ARGS[:4], "--level=info"], [*ARGS[:4], "--level=info"]),
        (ARGS, ["--secret", PLACEHOLDER], None),
        ([{"password": "S3cret-one"}, {"password": "S3cret-two"}], [{"password": PLACEHOLDER}], None),
        (
            [{"password": "S3cret-one", "role": "a"}, {"password": "S3cret-two", "role": "a"}],
            [{"password": PLACEHOLDER, "role": "a"}, {"password": PLACEHOLDER, "role": "b"}],
            [{"password": "S3cret-one", "role": "a"}, {"password": "S3cret-two", "role": "b"}],
        ),
        (
            "postgres://shop:S3cret-one@db/shop",
            "postgres://shop:«masked»@db/shop",
            "postgres://shop:S3cret-one@db/shop",
        ),
        ("postgres://shop:S3cret-one@db/shop", "postgres://shop:«masked»@other/shop", None),
    ],
)
def test_a_masked_value_stands_for_the_true_one_only_where_it_is_certain(current: Any, given: Any, sent: Any) -> None:
    thing = {"it": current}
    found = true_values(thing, mask(thing), {"it": given})
    if sent is None:
        assert found.misplaced
    else:
        assert (found.misplaced, found.values) == ([], {"it": sent})


def test_keys_that_hold_a_secret_come_back_masked_too() -> None:
    thing = {"mirrors": {"https://user:S3cret-one@mirror.example": True}}
    shown = mask(thing)
    assert true_values(thing, shown, shown).values == thing
    stray = true_values({}, {}, shown)
    assert stray.misplaced == ['mirrors."https://user:«masked»@mirror.example"']


def test_a_long_text_that_came_back_cut_stands_for_the_whole_one() -> None:
    thing = {"dashboard": "x" * 5_000, "other": "y" * 5_000}
    given = {"dashboard": f"{'x' * 300}… (5000 characters)", "other": f"{'x' * 300}… (5000 characters)"}
    assert true_values(thing, thing, given).values == {"dashboard": thing["dashboard"], "other": given["other"]}


@drawing
@given(trees, trees, trees)
def test_only_untouched_defaults_follow_another_version(
    current: dict[str, Any], installed: dict[str, Any], wanted: dict[str, Any]
) -> None:
    found = renewed(current, installed, wanted)
    for way in ways(current):
        was, then = at(current, way), at(installed, way)
        if was == {}:
            continue
        if then is ABSENT:
            assert same(at(found.values, way), was)
        elif not isinstance(was, list) and not same(was, then) and not isinstance(then, Mapping):
            assert same(at(found.values, way), was), "somebody chose it"
    assert renewed(current, installed, installed).values == current or any(each == {} for _, each in _present(current))
    assert renewed(installed, installed, installed).values == installed


def test_defaults_follow_at_every_depth_and_what_was_changed_is_named() -> None:
    flavor = {"name": "small", "replicas": 2, "resources": [{"name": "core", "cpu": "1"}, {"name": "side", "cpu": "1"}]}
    installed: dict[str, Any] = {
        "basic": {"tag": "1", "user": "old"},
        "custom": {"a": {"b": 1}, "gone": 1},
        "flavor": flavor,
    }
    wanted = copy.deepcopy(installed)
    wanted["basic"] = {"tag": "2", "user": "new"}
    wanted["custom"] = {"a": {"b": 2}, "more": True}
    wanted["flavor"]["resources"][0]["cpu"] = "2"
    current = copy.deepcopy(installed)
    current["custom"]["a"]["b"] = 7
    current["flavor"]["resources"][1] |= {"cpu": "4", "id": "x"}
    current["own"] = {"key": 1}
    found = renewed(current, installed, wanted)
    assert found.values == {
        "basic": {"tag": "2", "user": "new"},
        "custom": {"a": {"b": 7}},
        "flavor": {**flavor, "resources": [{"name": "core", "cpu": "2"}, {"name": "side", "cpu": "4", "id": "x"}]},
        "own": {"key": 1},
    }
    assert {".".join(way) for way in found.kept} == {"custom.a.b", "flavor.resources.side.cpu"}
    assert {".".join(way) for way in found.taken} == {
        *("basic.tag", "basic.user", "custom.gone", "flavor.resources.core.cpu")
    }


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": None}, {"a": None}),
        ('{"a": null, "b": ""}', {"a": None, "b": ""}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("image:\n  tag: 1.9\nday: 2024-01-02\non: yes\n", {"image": {"tag": 1.9}, "day": "2024-01-02", "true": True}),
        ("", None),
        (None, None),
        ("no settings", None),
        ("[1]", None),
        ([{"a": 1}], None),
        ("a: &x [1]\nb: *x\n", None),
        ("a: .nan\n", None),
        ("a: [", None),
        ("a:" + " [" * 100, None),
        ('{"a":' * 100 + "1" + "}" * 100, None),
        ("a: 1\n" * 100_000, None),
    ],
)
def test_settings_are_read_in_every_form_that_holds_an_object(value: Any, read: Any) -> None:
    assert settings(value) == read


def _present(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield from ((way, at(values, way)) for way in ways(values))


def _put(tree: dict[str, Any], way: tuple[str, ...], value: Any) -> None:
    node = tree
    for key in way[:-1]:
        node = node[key]
    node[way[-1]] = value


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merge_patch(target, patch) == result
    assert (target, patch) == before


@pytest.mark.parametrize("where", ["alone", "in a list", "in an object of a list"])
def test_a_text_that_an_answer_cut_keeps_the_whole_wherever_it_comes_back(where: str) -> None:
    whole = "A" * 5000
    cut = f"{whole[:40]}… (5000 characters)"
    held, given = {
        "alone": (whole, cut),
        "in a list": ([whole, "b"], [cut, "b", "c"]),
        "in an object of a list": ([{"name": "x", "text": whole}], [{"name": "x", "text": cut}, {"name": "n"}]),
    }[where]
    found = true_values({"held": held}, {"held": held}, {"held": given})
    assert found.misplaced == []
    assert whole in str(found.values)
    assert "characters)" not in str(found.values)
    changed = true_values({"held": "B" * 5000}, {"held": "B" * 5000}, {"held": cut})
    assert changed.misplaced == ["held"]
