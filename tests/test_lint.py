"""Each mistake one can make in a spec is found by the lint, by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ap_mcp.lint import lint, rewrite, untidy
from ap_mcp.specs import specs_folder

Change = Callable[[dict[str, Any]], object]
DELETE = "/autopilot/v3/projects/{project_id}/clusters/{cluster_id}"
UPGRADE = "/autopilot/v3/projects/{project_id}/clusters/{cluster_id}/operation/upgrade"
CREATE = "/autopilot/v3/projects/{project_id}/clusters"
TEMPLATES = "/autopilot/v3/addontemplates"
JOB = "/autopilot/v3/projects/{project_id}/jobs/{job_id}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "tool_specs"
    shutil.copytree(specs_folder(), copy)
    return copy


def change(folder: Path, path: str, method: str, edit: Change, subject: str = "clusters") -> list[str]:
    """Edit one operation of a document and lint the copy."""
    file = folder / f"{subject}.json"
    document = json.loads(file.read_bytes())
    edit(document["paths"][path][method])
    file.write_text(json.dumps(document, ensure_ascii=False))
    rewrite(folder)
    return lint(folder)


def ours(operation: dict[str, Any]) -> dict[str, Any]:
    extension = operation["x-ap-mcp"]
    assert isinstance(extension, dict)
    return extension


def about(**other: Any) -> dict[str, Any]:
    """Return what a job is about, as the specs say it, but for something."""
    argument = {"cluster_id": "/spec/clusterUID"}
    return {
        "operation": "get_cluster",
        "argument": argument,
        "type_at": "/spec/type",
        "deletion_types": ["DeleteCluster"],
        **other,
    }


def follows(operation: dict[str, Any], **consequence: Any) -> None:
    ours(operation)["consequences"] = [consequence]


def test_a_pattern_that_some_hosts_refuse_is_found(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        ours(operation)["arguments"]["job_id"] = {"to": "$request.path.job_id", "schema": {"pattern": r"^\d+$"}}

    assert change(folder, JOB, "get", edit) == [
        r"get_job: argument job_id: pattern ^\d+$ has the escape \d, which hosts on llama.cpp refuse",
        r"get_job: argument job_id: pattern ^\d+$ has no x-pattern-in-words: who breaks it is to read words",
    ]


def test_a_thing_is_found_by_names_that_its_list_has(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        ours(operation)["names"] |= {"argument": "job_id", "by": ["/metadata/nick"], "within": ["cluster_id"]}

    found = change(folder, CREATE, "get", edit)
    assert "list_clusters: names: /items/0/metadata/nick is not in the answer of list_clusters" in found
    assert "list_clusters: names: get_job takes job_id, but not ['cluster_id']" in found


def test_only_what_a_name_finds_may_be_left_out_of_a_path(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        ours(operation)["arguments"]["job_id"] = {"to": "$request.path.job_id", "required": False}

    assert change(folder, JOB, "get", edit) == [
        "get_job: argument job_id: it may be left out of the path, and nothing says how it is found"
    ]


def test_versions_that_a_short_one_may_mean_are_listed_where_the_spec_says(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        offered = {"operation": "get_upgrade_info", "versions": ["/spec/nowhere/*"], "whole": "^v$"}
        ours(operation)["arguments"]["version"] = {"to": "/spec/version", "offered": offered}

    assert change(folder, CREATE, "post", edit) == [
        "create_cluster: argument version, offered: get_upgrade_info needs ['cluster_id']",
        "create_cluster: argument version, offered: /spec/nowhere/* is not in the answer of get_upgrade_info",
    ]


def test_a_version_in_a_list_of_objects_stands_in_a_field_of_theirs(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        offered = ours(operation)["arguments"]["addons"]["offered"]
        offered |= {"field": "release", "arguments": {"template_name": "$item.title"}}

    assert change(folder, UPGRADE, "post", edit, "upgrades") == [
        "upgrade_cluster: argument addons, offered: ['release', 'title'] are no fields of its objects"
    ]


def test_an_operation_that_only_the_sdk_knows_may_lack_its_permission(folder: Path) -> None:
    def newer(operation: dict[str, Any]) -> None:
        ours(operation).pop("permission")
        ours(operation)["reference"] = "SDK 3.1.219"

    assert change(folder, DELETE, "delete", newer) == []


@pytest.mark.parametrize(
    ("settings", "said"), [("", []), ("/spec", ["target: /spec/spec/description is not in the answer of get_cluster"])]
)
def test_settings_stand_in_the_thing_where_the_request_has_them(folder: Path, settings: str, said: list[str]) -> None:
    found = change(folder, DELETE, "put", lambda op: ours(op)["target"].update(settings=settings))
    assert found[: len(said)] == [f"update_cluster: {each}" for each in said]
    assert bool(found) == bool(said)


def test_the_shipped_documents_pass(folder: Path) -> None:
    assert lint(folder) == []


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda op: ours(op).pop("effect"), "missing or malformed 'effect'"),
        (lambda op: ours(op).update(effect="harmless"), "'harmless' is not one of"),
        (lambda op: ours(op).update(surprise=1), "surprise"),
        (lambda op: ours(op)["arguments"].update(project_id="/x"), "project_id"),
        (lambda op: ours(op)["arguments"].pop("cluster_id"), "path parameter cluster_id is no argument"),
        (lambda op: ours(op)["arguments"].pop("delete_net"), "parameter delete_net (query) is no argument"),
        (lambda op: ours(op)["arguments"].update(extra="$request.query.nope"), "argument extra"),
        (lambda op: ours(op)["target"].update(argument="absent"), "target: absent is no argument"),
        (lambda op: ours(op)["target"].update(read="nothing_here"), "target: there is no operation nothing_here"),
        (lambda op: ours(op)["target"].update(read="delete_cluster"), "target: delete_cluster does more than read"),
        (lambda op: ours(op)["target"].update(read="get_job"), "target: get_job needs ['job_id']"),
        (lambda op: ours(op)["wait"].update(interval_s=3), "wait: differs from what get_job says about itself"),
        (lambda op: ours(op)["wait"].update(success=["Sucess"]), "['Sucess'] are not among the phases that get_job"),
        (lambda op: ours(op)["wait"].update(failure=["Success"]), "wait: ['Success'] are success and failure"),
        (lambda op: ours(op)["wait"].update(operation="get_quotas"), "missing or malformed 'phase_at'"),
        (
            lambda op: ours(op)["wait"].update(phase_at="/status/mood"),
            "wait: /status/mood is not in the answer of get_job",
        ),
        (lambda op: ours(op)["wait"]["argument"].update(job_id="/status/x"), "wait: /status/x is not in the answer"),
        (lambda op: ours(op)["wait"]["argument"].update(job_id="$arguments.x"), "wait: x is no argument"),
        (lambda op: ours(op)["wait"]["argument"].update(name="/kind"), "wait: get_job takes no ['name']"),
        (lambda op: ours(op)["wait"].update(skip_if="never"), "wait: never is no argument of delete_cluster"),
        (
            lambda op: ours(op)["wait"].update(idle=["Running"], deleting=["Running"]),
            "['Running'] are idle and deleting",
        ),
        (lambda op: ours(op)["wait"].update(deleting=["Going"]), "['Going'] are not among the phases that get_job"),
        (
            lambda op: ours(op)["wait"].update(resource=about(operation="get_it")),
            "wait resource: there is no operation",
        ),
        (
            lambda op: ours(op)["wait"].update(resource=about(type_at="/spec/mood")),
            "wait resource: /spec/mood is not in",
        ),
        (
            lambda op: ours(op)["deletion_options"]["delete_net"].pop("try"),
            "deletion_options: delete_net takes ['block', 'skip', 'try'] and a default, what is said is of",
        ),
        (
            lambda op: ours(op)["deletion_options"].update(delete_all={"yes": {"takes": "all"}}),
            "deletion_options: delete_all is no argument",
        ),
        (
            lambda op: ours(op)["deletion_options"]["delete_net"]["try"].update(on_failure="hope"),
            "'hope' is not one of ['stop', 'continue']",
        ),
        (
            lambda op: ours(op)["target"].update(facts={"mood": "/mood"}),
            "target: /mood is not in the answer of get_cluster",
        ),
        (lambda op: ours(op)["target"].update(item={"list": "/items", "id": "/id"}), "target: /items/0/id is not in"),
        (
            lambda op: ours(op)["target"].update(before={"delete_net": "deadline"}),
            "target: before: 'deadline' is none of the facts",
        ),
        (
            lambda op: ours(op)["target"].update(before={"mood": "deadline"}),
            "target: before: mood is no argument that is a text",
        ),
        (
            lambda op: ours(op)["target"].update(ended={"kind": "mood", "phase_at": "/status/phase"}),
            "target: ended: nothing is waited for as mood",
        ),
        (
            lambda op: ours(op)["target"].update(ended={"kind": "cluster", "phase_at": "/mood"}),
            "target: /mood is not in the answer of get_cluster",
        ),
        (lambda op: ours(op)["target"].update(cluster="/metadata/uid"), "target: cluster: cluster_id names it already"),
        (lambda op: ours(op)["target"].update(settings=""), "target: it sends no JSON that could replace settings"),
        (lambda op: ours(op).update(consequences=[]), "consequences"),
        (lambda op: ours(op).update(consequences=[{"if": {"required": ["cluster_id"]}}]), "consequences[0]"),
        (lambda op: follows(op, happens="It goes"), "consequences: 'It goes' is not one sentence with a full stop"),
        (lambda op: follows(op, happens="It goes. It ends."), "is not one sentence with a full stop"),
        (lambda op: follows(op, goes=["the cluster."]), "consequences: 'the cluster.' is a line of a list"),
        (
            lambda op: follows(op, **{"if": {"not": {"required": ["mood"]}}, "goes": ["it"]}),
            "consequences: mood is no argument of delete_cluster",
        ),
        (
            lambda op: (ours(op).pop("target"), ours(op).update(consequences=[{"goes": ["it"]}])),
            "consequences: without a",
        ),
        (lambda op: ours(op).pop("permission"), "permission is missing"),
        (lambda op: ours(op).update(reference="somewhere"), "'somewhere' does not match"),
        (lambda op: op.update(description="One. Two. Three. Four."), "more than three sentences"),
        (lambda op: op.update(description="No stop"), "does not end with a full stop"),
        (lambda op: op.update(summary="x" * 41), "title is longer than 40"),
        (lambda op: op["responses"]["200"].update(content={"application/json": {"schema": {"$ref": "#/no"}}}), "#/no"),
    ],
)
def test_a_mistake_is_named(folder: Path, edit: Change, said: str) -> None:
    assert any(said in problem for problem in change(folder, DELETE, "delete", edit))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda op: ours(op)["context"].update(cluster_id={}), "missing or malformed"),
        (
            lambda op: ours(op)["context"].update(job_id={"operation": "nothing"}),
            "context job_id: there is no operation",
        ),
        (lambda op: ours(op)["context"]["cluster_id"].update(operation="get_job"), "get_job needs ['job_id']"),
        (
            lambda op: ours(op)["context"]["cluster_id"].update(operation="get_quotas"),
            "get_quotas takes no such argument",
        ),
        (
            lambda op: ours(op)["context"]["cluster_id"].update(operation="delete_cluster"),
            "delete_cluster does more than",
        ),
        (lambda op: ours(op)["context"].update(detail={"operation": "get_cluster"}), "'detail' should not be valid"),
        (
            lambda op: ours(op)["context"].update(template_name={"operation": "list_addon_templates"}),
            "context template_name: it is an argument of list_addon_templates already",
        ),
        (lambda op: ours(op).update(effect="write"), "argument cluster_id: list_addon_templates does more than read"),
        (lambda op: ours(op).update(effect="write"), "argument detail: list_addon_templates does more than read"),
        (
            lambda op: ours(op).update(options=["everything"]),
            "'everything' is not one of ['cursor', 'detail'",
        ),
        (lambda op: ours(op).update(options=["detail", "detail"]), "non-unique elements"),
        (lambda op: ours(op).update(options=[]), "[] should be non-empty"),
    ],
)
def test_a_mistake_in_an_argument_of_ours_is_named(folder: Path, edit: Change, said: str) -> None:
    problems = change(folder, TEMPLATES, "get", edit, "addons")
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda made: made.update(operation="nothing"), "reconcile: there is no operation nothing"),
        (lambda made: made.update(operation="get_job"), "reconcile: get_job needs ['job_id']"),
        (
            lambda made: made.update(match={"mood": "/metadata/name"}),
            "reconcile: mood is no argument of create_cluster",
        ),
        (lambda made: made.update(id="/metadata/mood"), "reconcile: /items/0/metadata/mood is not in the answer"),
        (lambda made: made.update(match={}), "{} should be non-empty"),
        (lambda made: made.pop("created_at"), "missing or malformed"),
    ],
)
def test_a_mistake_in_how_a_lost_creation_is_found_is_named(
    folder: Path, edit: Callable[[dict[str, Any]], Any], said: str
) -> None:
    problems = change(folder, CREATE, "post", lambda op: edit(ours(op)["reconcile"]))
    assert any(said in problem for problem in problems), problems


def test_what_may_be_sent_again_needs_no_reconciling(folder: Path) -> None:
    problems = change(folder, CREATE, "post", lambda op: ours(op).update(idempotent=True))
    assert "create_cluster: reconcile: create_cluster may be sent again anyway" in problems


def test_one_kind_is_waited_for_in_one_way(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        ours(operation)["wait"].update(kind="cluster", item={"list": "/spec/subJobs", "id": "/metadata/mood"})

    problems = change(folder, JOB, "get", edit)
    assert "get_job: wait: cluster is waited for with get_cluster too" in problems
    assert "get_job: wait: /spec/subJobs/0/metadata/mood is not in the answer of get_job" in problems


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda wait: wait.pop("kind"), "wait: kind is missing"),
        (lambda wait: wait.pop("id"), "wait: id is missing"),
        (
            lambda wait: wait.update(id="cluster"),
            "wait: id cluster is not among the arguments that name",
        ),
        (
            lambda wait: wait.pop("transitional"),
            "wait: what ['Initializing', 'Running'] mean is not said",
        ),
        (lambda wait: wait["success"].append("Running"), "wait: ['Running'] are success and transitional"),
        (
            lambda wait: wait.update(groups={"other": ["Dreaming"]}),
            "wait: other names ['Dreaming'], which are no",
        ),
        (lambda wait: wait.update(wording={"Dreaming": "dreams"}), "wait: wording names ['Dreaming']"),
        (lambda wait: wait.update(aliases={"Run": "Dreaming"}), "wait: aliases names ['Dreaming']"),
        (lambda wait: wait.update(aliases={"Failed": "Success"}), "wait: ['Failed'] are aliases and phases"),
    ],
)
def test_a_mistake_in_how_the_end_is_said_is_named(
    folder: Path, edit: Callable[[dict[str, Any]], Any], said: str
) -> None:
    problems = change(folder, JOB, "get", lambda op: edit(ours(op)["wait"]))
    assert any(said in problem for problem in problems), problems


def test_what_something_is_called_is_said_where_it_is_read_and_nowhere_else(folder: Path) -> None:
    problems = change(folder, DELETE, "delete", lambda op: ours(op)["wait"].update(kind="job", id="job_id"))
    assert "delete_cluster: wait: kind is for get_job to say" in problems
    assert "delete_cluster: wait: id is for get_job to say" in problems


def test_a_body_leaf_that_nothing_fills_is_named(folder: Path) -> None:
    problems = change(folder, CREATE, "post", lambda op: ours(op)["arguments"].pop("vpc_id"))
    assert problems == [
        "create_cluster: /spec/hostNetwork/vpc of the body is no argument, constant, fill or unsupported"
    ]


def test_an_unsupported_pointer_must_exist(folder: Path) -> None:
    problems = change(folder, CREATE, "post", lambda op: ours(op)["unsupported"].append("/spec/nothing"))
    assert "create_cluster: /spec/nothing is not in the schema" in problems


def test_an_argument_needs_a_description(folder: Path) -> None:
    def edit(operation: dict[str, Any]) -> None:
        operation["parameters"][-1].pop("description", None)

    assert any("has no description" in problem for problem in change(folder, DELETE, "delete", edit))


def test_a_document_out_of_form_is_named_and_can_be_rewritten(folder: Path) -> None:
    file = folder / "tags.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before)))
    assert lint(folder) == ["tags.json: not canonical; run: ap-mcp specs check --write"]
    assert rewrite(folder) == [file]
    assert untidy(folder) == []
    assert file.read_text() == before
