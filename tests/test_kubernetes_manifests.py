"""Manifests: what is read of YAML and JSON, and that everything wrong is said at once, with its place."""

import json
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.errors import InvalidArguments
from ap_mcp.kubernetes.manifests import DEEPEST, MOST_DOCUMENTS, MOST_NODES, MOST_STARTS, read_manifest, read_patch
from ap_mcp.masking import PLACEHOLDER

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def body(text: str) -> dict[str, Any]:
    (document,) = read_manifest(text)
    return document.body


def problems(text: str, **more: bool) -> list[str]:
    with pytest.raises(InvalidArguments) as caught:
        read_manifest(text, **more)
    return [each.message for each in caught.value.problems]


def test_several_documents_are_read_in_order_and_empty_ones_left_out() -> None:
    other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b, namespace: shop}\n"
    text = f"{HEAD}---\n---\n# nothing\n---\n{other}"
    first, second = read_manifest(text)
    assert (first.kind, first.name, first.group, first.line) == ("ConfigMap", "a", "", 1)
    assert (second.kind, second.name, second.group, second.namespace) == ("Deployment", "b", "apps", "shop")
    assert second.line == 8


def test_the_entries_of_a_list_are_documents_of_their_own_in_yaml_and_json() -> None:
    entry = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    other = {**entry, "metadata": {"name": "b"}}
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [entry, {"apiVersion": "v1", "kind": "List", "items": [other]}],
    }
    for text in (json.dumps(listed), yaml.safe_dump(listed)):
        assert [each.name for each in read_manifest(text)] == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("0644", 420),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1e3", "1e3"),
        ("1.5", 1.5),
        ("yes", True),
        ("'yes'", "yes"),
        ('"{{ .Values.x }}"', "{{ .Values.x }}"),
        ("~", None),
        ("=", "="),
    ],
)
def test_a_value_is_what_kubernetes_takes_it_for(written: str, meant: object) -> None:
    assert body(f"{HEAD}data: {{x: {written}}}\n")["data"]["x"] == meant


@pytest.mark.parametrize(
    "number", [f"0x{'f' * 4000}", f"0{'7' * 4000}", f"0b{'1' * 4000}", "9" * 4000, ".inf", "-.inf"]
)
def test_a_number_beyond_all_bounds_is_said_and_nothing_worse(number: str) -> None:
    with pytest.raises(InvalidArguments, match="is no number that JSON has"):
        read_patch(f"a: {number}")


def test_aliases_and_merged_keys_are_written_out() -> None:
    text = f"{HEAD}data:\n  base: &base {{a: '1', b: '2'}}\n  other: {{<<: *base, b: '3'}}\n  same: *base\n"
    data = body(text)["data"]
    assert (data["other"], data["same"]) == ({"a": "1", "b": "3"}, {"a": "1", "b": "2"})


def test_a_bomb_of_aliases_is_refused_before_it_is_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert problems("\n".join(lines)) == [f"holds more than {MOST_NODES} values once its aliases are written out"]


def test_an_alias_within_what_it_names_is_refused() -> None:
    assert problems("a: &a\n  b: *a\n") == ["line 1: an alias refers to what it stands in"]


@pytest.mark.parametrize("start", ["[", "{a: ", '{"a":', "- "])
@pytest.mark.parametrize("times", [DEEPEST + 5, 20_000])
def test_what_is_nested_too_deep_is_refused(start: str, times: int) -> None:
    (problem,) = problems(start * times)
    assert "nested" in problem or "nesting" in problem or "is no YAML" in problem


def test_a_text_of_nothing_but_document_starts_is_refused_before_it_is_read_to_its_end() -> None:
    read_manifest("---\n" * (MOST_STARTS - 1) + HEAD)
    (said,) = problems("---\n" * 100_000)
    assert f"more than {MOST_STARTS} documents" in said


def test_json_that_is_nested_too_deep_is_refused() -> None:
    text = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
    assert problems(text) == [f"is nested deeper than {DEEPEST} levels"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}data:\n\tx: y\n", "line 5 is indented with a tab"),
        (f"{HEAD}data: {{x: 1, x: 2}}\n", 'line 4: the key "x" stands twice'),
        ('{"apiVersion": "v1", "apiVersion": "v1"}', 'the key "apiVersion" stands twice'),
        (f"{HEAD}data: !!python/object:os.system x\n", 'line 4: the tag "!!python/object:os.system"'),
        (f"{HEAD}data: {{x: !!binary aGk=, y: !mine z}}\n", 'line 4: the tag "!!binary"'),
        (f"{HEAD}data: {{x: .inf}}\n", "is no number that JSON has"),
        (f"{HEAD}data: {{[a]: b}}\n", "a key must be a text"),
        ("a: b\n c: d: e\n", "is no YAML: line 2"),
        ("a: \x01", "holds the character"),
        ("", "holds no document"),
        ("just words", "and is a text"),
        ("- 1\n- 2\n", "and is a list"),
    ],
)
def test_what_is_no_manifest_is_said_with_its_line(text: str, said: str) -> None:
    assert any(said in each for each in problems(text)), problems(text)


@pytest.mark.parametrize(
    "line",
    [
        "  name: {{ .Release.Name }}",
        "  name: {{ .Release.Name }}-web",
        '  name: {{ include "web.name" . }}',
        "  {{- toYaml .Values.labels | nindent 4 }}",
        "{{- if .Values.enabled }}",
        '  name: "{{ .Release.Name }}"',
    ],
)
def test_a_template_of_helm_is_known_for_what_it_is(line: str) -> None:
    (problem, *_) = problems(f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n{line}\n")
    assert "this is a template of Helm and no manifest" in problem
    assert "create_release" in problem


def test_braces_in_a_text_are_no_template_of_helm() -> None:
    assert body(f"{HEAD}data:\n  rule: |\n    {{{{ $labels.pod }}}} is down\n")["data"]["rule"].startswith("{{ $labels")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ["apiVersion is missing", "kind is missing", "metadata is missing"]),
        ({"apiVersion": "v1", "kind": "configmap", "metadata": {"name": "a"}}, ["the kind is written ConfigMap"]),
        ({"apiVersion": "apps/v1", "kind": "statefulset", "metadata": {"name": "a"}}, ["is written StatefulSet"]),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {}}, ["metadata.name is missing"]),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}, ["with mode create only"]),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 7}}, ["put it in quotation marks"]),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}, ["is no name that Kubernetes takes"]),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "A_b"}}, ["metadata.namespace"]),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "x": [PLACEHOLDER]},
            ["is a masked placeholder"],
        ),
    ],
)
def test_what_a_document_lacks_is_said_all_at_once(given: dict[str, Any], said: list[str]) -> None:
    found = problems(yaml.safe_dump(given))
    assert len(found) == len(said)
    assert all(expected in problem for expected, problem in zip(said, found, strict=True))


def test_a_generated_name_will_do_where_an_object_is_created() -> None:
    (document,) = read_manifest("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", generated=True)
    assert document.name == ""


def test_the_problems_of_all_documents_are_said_together_each_with_its_document() -> None:
    found = problems(f"{HEAD}---\nkind: Pod\nmetadata: {{name: b}}\n---\napiVersion: v1\nkind: Pod\n---\n{HEAD}")
    assert found == [
        "document 2 (line 5): apiVersion is missing",
        "document 3 (line 8): metadata is missing",
        "document 4 (line 11): ConfigMap a stands in document 1 (line 1) already",
    ]


def test_more_objects_than_are_taken_at_once_are_refused() -> None:
    text = "---\n".join(HEAD.replace("name: a", f"name: a{n}") for n in range(MOST_DOCUMENTS + 1))
    assert problems(text) == [
        f"holds {MOST_DOCUMENTS + 1} objects, and at most {MOST_DOCUMENTS} are taken at once: send it in parts"
    ]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_any_json_is_read_as_itself_also_when_it_is_written_as_yaml(value: Any) -> None:
    given_ = {"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": value}
    assert body(json.dumps(given_)) == given_
    assert body(yaml.safe_dump(given_, allow_unicode=True)) == given_


@given(st.text())
def test_no_text_makes_reading_fail_in_another_way(text: str) -> None:
    with suppress(InvalidArguments):
        assert read_manifest(text)


def test_a_patch_is_one_value_without_masked_placeholders() -> None:
    assert read_patch("spec: {replicas: 2}") == {"spec": {"replicas": 2}}
    assert read_patch('[{"op": "remove", "path": "/a"}]') == [{"op": "remove", "path": "/a"}]
    for wrong in ("a: 1\n---\nb: 2", "", f"data: {{password: '{PLACEHOLDER}'}}"):
        with pytest.raises(InvalidArguments):
            read_patch(wrong)
