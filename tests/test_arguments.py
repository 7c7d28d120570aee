"""What a caller reads about wrong arguments: everything at once, and how to fix it."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.arguments import MOST_PROBLEMS, check_against, check_arguments, meets
from ap_mcp.errors import InvalidArguments
from ap_mcp.schemas import checked_schema
from ap_mcp.specs import Catalog
from ap_mcp.wording import NAME_LIMIT

CREATE = {
    "name": "web-shop",
    "vpc_id": "2f1d6a0c-9b3e-4f57-8c41-6d0a9e7b5c10",
    "subnet_id": "a041c2d8-75c6-4093-8b8b-46d293e76087",
    "eni_subnet_ids": ["4c8b7e92-1f60-4a3d-9b25-e07c3d81fa21"],
}


def problems(catalog: Catalog, tool: str, arguments: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(catalog[tool], arguments)
    return {problem.argument: problem.message for problem in caught.value.problems}


def test_good_arguments_pass(catalog: Catalog) -> None:
    check_arguments(catalog["create_cluster"], CREATE)


def test_all_problems_of_a_call_are_reported_at_once(catalog: Catalog) -> None:
    found = problems(
        catalog,
        "create_cluster",
        {**CREATE, "name": "X", "vpc_id": 7, "eni_subnet_ids": [], "nmae": "typo", "tags": {"a": 1}},
    )
    assert set(found) >= {"name", "vpc_id", "eni_subnet_ids", "nmae", "tags.a"}
    assert found["vpc_id"] == "must be a string, not an integer"
    assert found["nmae"] == "is no argument of create_cluster; did you mean name?"


def test_missing_arguments_are_named(catalog: Catalog) -> None:
    assert set(problems(catalog, "create_cluster", {})) == {"name", "vpc_id", "subnet_id", "eni_subnet_ids"}


def test_allowed_values_are_listed(catalog: Catalog) -> None:
    found = problems(catalog, "delete_cluster", {"cluster_id": "web", "delete_net": "maybe"})
    assert found == {"delete_net": "must be one of: block, try, skip"}


def test_an_unknown_argument_without_a_near_name_lists_what_there_is(catalog: Catalog) -> None:
    found = problems(catalog, "get_job", {"job_id": "1", "zzzzzz": True})
    assert found == {"zzzzzz": "is no argument of get_job; it takes job_id"}


def test_of_many_unknown_arguments_no_more_are_looked_at_than_are_shown(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def seek(name: str, *_: object, **__: object) -> list[str]:
        asked.append(name)
        return []

    monkeypatch.setattr("ap_mcp.arguments.closest", seek)
    found = problems(catalog, "get_job", {"job_id": "1", **{f"{'z' * 500}{each}": 1 for each in range(1000)}})
    assert len(asked) == len(found) == MOST_PROBLEMS
    assert max(map(len, found)) <= NAME_LIMIT


def test_a_tool_without_arguments_says_so(catalog: Catalog) -> None:
    assert problems(catalog, "get_quotas", {"zzz": 1}) == {"zzz": "is no argument of get_quotas; it takes none"}


def test_a_call_without_arguments_is_checked_where_a_schema_wants_some() -> None:
    for rule, said in (({"required": ["a"]}, {"a": "is required"}), ({"minProperties": 1}, None)):
        with pytest.raises(InvalidArguments) as caught:
            check_against("tool", {"type": "object", "properties": {"a": {}}, **rule}, {})
        found = {problem.argument: problem.message for problem in caught.value.problems}
        assert found == (said or {"arguments": "must have at least 1 entries, not 0"})
    assert check_against("tool", {"type": "object", "properties": {"a": {}}, "additionalProperties": False}, {}) == {}


def test_unknown_fields_inside_a_list_are_refused(catalog: Catalog) -> None:
    addons = [{"name": "coredns", "colour": "blue"}]
    found = problems(catalog, "create_cluster", {**CREATE, "addons": addons})
    assert found["addons.0.colour"].startswith("is unknown here; allowed: name")


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_value_that_could_change_the_path_is_refused(catalog: Catalog, value: str) -> None:
    assert "must not be empty, '.' or '..'" in problems(catalog, "get_job", {"job_id": value})["job_id"]


def test_the_value_itself_is_never_repeated(catalog: Catalog) -> None:
    found = problems(catalog, "create_cluster", {**CREATE, "name": "S3CRET VALUE"})
    assert "S3CRET" not in str(found)


def test_a_line_break_does_not_slip_past_the_end_of_a_pattern(catalog: Catalog) -> None:
    tags = {"env": "prod\n"}
    assert set(problems(catalog, "add_cluster_tags", {"cluster_id": "web", "tags": tags})) == {"tags.env"}


def test_blanks_around_an_argument_are_cut_and_those_deeper_are_kept(catalog: Catalog) -> None:
    wanted = check_arguments(catalog["create_cluster"], {**CREATE, "name": " web-shop\n"})
    assert wanted["name"] == "web-shop"
    values = {"motd": " hello "}
    release = {"cluster_id": "web", "chart_id": "c", "name": "r", "namespace": "n", "values": values}
    assert check_arguments(catalog["create_release"], release)["values"] == values


BREAKING = ("", "A_b", "é", "-", "a\nb", "a<b", "latest", "a" * 200)


def patterns_in(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str) and "not" not in path:
            yield path, schema["pattern"]
        yield from (found for key, child in schema.items() for found in patterns_in(child, (*path, key)))


def test_whoever_breaks_a_pattern_reads_words_and_no_regular_expression(catalog: Catalog) -> None:
    tried = 0
    for name, operation in catalog.items():
        for argument, schema in checked_schema(operation)["properties"].items():
            for path, pattern in patterns_in(schema):
                for text in BREAKING:
                    given: Any = {
                        "propertyNames": {text: "x"},
                        "additionalProperties": {"a": text},
                        "items": [text],
                    }.get(path[0] if path else "", text)
                    try:
                        check_arguments(operation, {argument: given})
                    except InvalidArguments as refused:
                        broken = [each for each in refused.problems if each.argument.split(".")[0] == argument]
                        assert all(pattern not in each.message and "^[" not in each.message for each in broken)
                        assert all("must " in each.message for each in broken), (name, broken)
                        tried += len(broken)
    assert tried > 30


def test_keys_and_size_of_a_map_are_checked_like_the_list_it_becomes(catalog: Catalog) -> None:
    wrong_key = {"cluster_id": "web", "tags": {"a<b": "x"}}
    assert problems(catalog, "add_cluster_tags", wrong_key)["tags"].startswith(
        'the key "a<b" must hold a character, and none of ! "'
    )
    none = {"cluster_id": "web", "tags": {}}
    assert problems(catalog, "add_cluster_tags", none) == {"tags": "must have at least 1 entries, not 0"}


@pytest.mark.parametrize("key", ["_sys_owner", " a", "a "])
def test_a_tag_key_that_the_service_keeps_or_would_refuse_is_named(catalog: Catalog, key: str) -> None:
    why = f'the key "{key}" must neither begin with _sys_, which is kept for the service, nor begin or end with a blank'
    assert problems(catalog, "add_cluster_tags", {"cluster_id": "web", "tags": {key: "x"}}) == {"tags": why}
    assert problems(catalog, "create_cluster", {**CREATE, "tags": {key: "x"}}) == {"tags": why}


def test_each_wrong_key_and_entry_of_a_map_is_named_however_odd_it_is(catalog: Catalog) -> None:
    operation = catalog["add_cluster_tags"]
    tags = {"fine": "x", "a?": "x", "b*": "x", "": "x", "c\nd": 3, "k" * 5000: 3, "\ud800<": "x"}
    with pytest.raises(InvalidArguments) as refused:
        check_arguments(operation, {"cluster_id": "web", "tags": tags})
    said = str(refused.value)
    assert all(f"tags: the key {each} must hold" in said for each in ('"a?"', '"b*"', '""'))
    assert r'tags."c\nd": must be a string, not an integer' in said
    assert "fine" not in said
    assert max(map(len, said.splitlines())) < 400
    said.encode()


def test_a_tag_key_that_the_service_keeps_is_not_deleted(catalog: Catalog) -> None:
    found = problems(catalog, "delete_cluster_tags", {"cluster_id": "web", "keys": ["env", "_sys_owner"]})
    assert found == {"keys.1": "must not begin with _sys_: the service keeps such tags"}


def test_what_no_json_can_carry_is_refused(catalog: Catalog) -> None:
    values = {"a": [float("nan")], "b": {"c": "\ud800", "d\udfff": 1}}
    found = problems(catalog, "install_addon", {"cluster_id": "web", "template_name": "x", "values": values})
    assert found == {
        "values.a.0": "must be a finite number",
        "values.b": "has a key that is no valid Unicode text",
        "values.b.c": "is no valid Unicode text",
    }


def test_unknown_fields_of_free_maps_with_a_known_form_are_refused(catalog: Catalog) -> None:
    order = {"pool": [{"nodeSelector": {"key": "a", "operator": "in"}, "priority": 1, "colour": "blue"}]}
    arguments = {"cluster_id": "web", "target_version": "v1.31", "node_order": order}
    assert set(problems(catalog, "upgrade_cluster", arguments)) == {"node_order.pool.0.colour"}


def test_a_constraint_names_the_argument_and_the_condition(catalog: Catalog) -> None:
    found = problems(catalog, "set_cluster_public_access", {"cluster_id": "web", "action": "bind"})
    assert found == {"eip_id": 'is required when action is "bind"'}


@pytest.mark.parametrize(
    ("constraints", "arguments", "expected"),
    [
        ({"not": {"required": ["name"]}}, {"name": "web1"}, {"name": "must not be given"}),
        (
            {"anyOf": [{"required": ["alias"]}, {"required": ["tags"]}]},
            {},
            {"alias / tags": "at least one of them is required"},
        ),
        ({"dependentRequired": {"name": ["alias"]}}, {"name": "web1"}, {"alias": "is required with name"}),
        ({"minProperties": 99}, {}, {"arguments": "nothing to change was given"}),
        ({"oneOf": [{"required": ["alias"]}, {"required": ["tags"]}]}, {"alias": "abcd", "tags": {"a": "b"}}, None),
        (
            {"allOf": [{"if": {"properties": {"name": {"enum": ["web1"]}}}, "then": {"required": ["alias"]}}]},
            {},
            {"alias": "is required when name is one of web1"},
        ),
    ],
)
def test_every_form_of_constraint_is_put_into_words(
    catalog: Catalog, constraints: dict[str, Any], arguments: dict[str, Any], expected: dict[str, str] | None
) -> None:
    operation = dataclasses.replace(catalog["create_cluster"], constraints=constraints)
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(operation, {**CREATE, "name": "web1", **arguments})
    found = {problem.argument: problem.message for problem in caught.value.problems}
    assert found == (expected or {"alias / tags": "exactly one of them is required"})


def test_a_flood_of_problems_is_cut(catalog: Catalog) -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(catalog["get_job"], {f"unknown{at}": at for at in range(100)})
    assert len(caught.value.problems) == 20


def test_conditions_are_json_schema_over_flat_arguments() -> None:
    condition = {"required": ["override"], "properties": {"override": {"const": True}}}
    assert meets(condition, {"override": True})
    assert not meets(condition, {"override": False})
    assert not meets(condition, {})


leaf = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9)
documents = st.recursive(
    leaf, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=9), of, max_size=3)
)
DOCUMENT = {"type": "object", "properties": {"patch": {"type": "string", "contentMediaType": "application/yaml"}}}


@given(st.lists(documents, max_size=3) | st.dictionaries(st.text(max_size=9), documents, max_size=3))
def test_a_document_may_be_given_as_it_is_and_counts_as_its_text(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)
    assert check_against("k8s_patch", DOCUMENT, {"patch": document}) == {"patch": text}
    assert check_against("k8s_patch", DOCUMENT, {"patch": text}) == {"patch": text}


@pytest.mark.parametrize("given_", [7, True, {"a": float("nan")}])
def test_what_is_no_document_is_refused_where_one_is_wanted(given_: Any) -> None:
    with pytest.raises(InvalidArguments):
        check_against("k8s_patch", DOCUMENT, {"patch": given_})


def test_an_object_is_no_text_where_no_document_is_wanted() -> None:
    with pytest.raises(InvalidArguments, match="must be a string, not an object"):
        check_against("get_job", {"type": "object", "properties": {"job_id": {"type": "string"}}}, {"job_id": {}})


@pytest.mark.parametrize(
    ("tool", "given", "meant"),
    [
        ("delete_cluster_tags", {"tags": ["env"], "cluster_id": "x"}, "keys"),
        ("delete_cluster_tags", {"tags": '["env"]', "cluster_id": "x"}, "keys"),
        ("delete_cluster_tags", {"tagKeys": ["env"], "cluster_id": "x"}, "keys"),
        ("add_cluster_tags", {"labels": {"env": "prod"}, "cluster_id": "x"}, "tags"),
        ("get_addon", {"id": "a", "cluster_id": "x"}, "addon_id"),
        ("get_addon", {"addonName": "a", "cluster_id": "x"}, "addon_id"),
        ("get_cluster", {"CLUSTER-ID": "x"}, "cluster_id"),
        ("install_addon", {"addonTemplateName": "coredns", "cluster_id": "x"}, "template_name"),
        ("upgrade_cluster", {"version": "v1.31", "cluster_id": "x"}, "target_version"),
        ("create_release", {"release_name": "a", "cluster_id": "x"}, "name"),
        ("delete_cluster", {"confirm": "yes"}, None),
    ],
)
def test_an_argument_that_is_nearly_one_is_named_by_its_words_letters_or_value(
    catalog: Catalog, tool: str, given: dict[str, Any], meant: str | None
) -> None:
    said = problems(catalog, tool, given)[next(iter(given))]
    assert said.endswith(f"did you mean {meant}?") if meant else "it takes cluster_id, " in said
