"""The documents of tool_specs: valid OpenAPI, linted, canonical, complete, and in our own words."""

import array
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ap_mcp import specs
from ap_mcp.errors import SpecError
from ap_mcp.lint import copied, lint, runs
from ap_mcp.specs import SUBJECTS, Catalog, Operation, load_catalog, read_catalog, specs_folder

DATA = Path(__file__).parent / "data"
NAMES = sorted(load_catalog())


def documented() -> list[dict[str, str]]:
    """Rows of the table of documented operations."""
    with (DATA / "operations.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_document_is_valid_openapi(subject: str) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    path = specs_folder() / f"{subject}.json"
    validator = OpenAPIV31SpecValidator(json.loads(path.read_bytes()), base_uri=path.as_uri())
    assert [error.message for error in validator.iter_errors()] == []


def test_the_lint_finds_nothing() -> None:
    assert lint() == []


def test_exactly_the_documented_operations_are_there(catalog: Catalog) -> None:
    expected = {row["tool"]: (row["method"], row["path"], row["section"], row["family"]) for row in documented()}
    found = {name: (each.method, each.path, each.reference, each.subject) for name, each in catalog.items()}
    assert found == expected


def test_effects_are_those_the_table_states(catalog: Catalog) -> None:
    assert {name: each.effect for name, each in catalog.items()} == {row["tool"]: row["effect"] for row in documented()}


@pytest.mark.parametrize(
    ("name", "worst"),
    [("update_cluster", "disrupt"), ("upload_chart", "destroy"), ("create_release", "secret"), ("get_job", "read")],
)
def test_the_worst_effect_counts_what_arguments_can_bring_about(catalog: Catalog, name: str, worst: str) -> None:
    assert catalog[name].worst_effect == worst


def test_success_statuses_are_those_the_table_states(catalog: Catalog) -> None:
    stated = {row["tool"]: re.match(r"20\d", row["note"]) for row in documented()}
    assert {name: each.status for name, each in catalog.items()} == {
        name: int(status[0]) if status else 200 for name, status in stated.items()
    }


def test_a_create_or_a_post_that_starts_something_is_never_idempotent(catalog: Catalog) -> None:
    sendable_twice = {"add_cluster_tags", "delete_cluster_tags"}
    for name, operation in catalog.items():
        if operation.method == "POST" and name not in sendable_twice:
            assert not operation.idempotent, name
        if operation.method == "GET":
            assert operation.idempotent, name


def texts(node: Any) -> Iterator[str]:
    """Every sentence of ours in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"description", "summary", "$comment", "note", "meaning", "hint"} and isinstance(value, str):
                yield value
            yield from texts(value)
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)


@pytest.mark.parametrize("path", sorted(specs_folder().glob("*.json")), ids=lambda path: path.stem)
def test_no_wording_is_shared_with_the_reference(path: Path) -> None:
    fingerprints = array.array("I")
    fingerprints.frombytes((DATA / "reference_runs.bin").read_bytes())
    reference = frozenset(fingerprints)
    assert [run for text in texts(json.loads(path.read_bytes())) for run in copied(text, reference)] == []


def test_copied_wording_is_noticed() -> None:
    source = "The cluster is being woken up from hibernation by its owner"
    assert copied("See: the cluster is being woken up.", frozenset(runs(source))) == ["the cluster is being woken up"]


def test_a_reference_that_points_to_nothing_is_an_error() -> None:
    with pytest.raises(SpecError, match=r"common.json#/nowhere points to nothing"):
        specs.pointed({"common.json": {}}, "common.json#/nowhere")


def test_a_missing_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"common\.json"):
        read_catalog(tmp_path)


def test_an_operation_without_its_extension_is_named(tmp_path: Path) -> None:
    for name in ("common", *SUBJECTS):
        (tmp_path / f"{name}.json").write_text("{}")
    raw = {"paths": {"/x": {"get": {"operationId": "get_x", "responses": {"200": {}}}}}}
    (tmp_path / "clusters.json").write_text(json.dumps(raw))
    with pytest.raises(SpecError, match=r"clusters.json, GET /x.*x-ap-mcp"):
        read_catalog(tmp_path)


def test_one_operation_id_may_not_stand_twice(catalog: Catalog) -> None:
    operation = catalog["get_job"]
    with pytest.raises(SpecError, match="get_job"):
        Catalog([operation, operation], {})


def test_the_iam_actions_that_the_list_of_chapter_6_does_not_have(catalog: Catalog) -> None:
    """They stand on newer pages of the vendor."""
    assert catalog["add_cluster_tags"].iam_action == "cce:cluster:addTags (or its alias cce:tag:operate)"
    assert catalog["delete_cluster_tags"].iam_action == "cce:cluster:removeTags (or its alias cce:tag:operate)"
    assert catalog["rollback_addon"].iam_action == "cce:addonInstance:rollback"
    for name in ("list_addon_templates", "get_upgrade_feature_gates"):
        assert (catalog[name].permission, catalog[name].iam_action) == ("", "")
    assert catalog["get_maintenance_window"].permission is None


def test_operations_are_found_by_their_tool_name(catalog: Catalog) -> None:
    operation = catalog["delete_cluster"]
    assert isinstance(operation, Operation)
    assert operation.guarded
    assert repr(catalog) == f"<Catalog of {len(documented())} operations>"
    assert not catalog["get_cluster"].guarded
