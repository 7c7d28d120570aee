"""What the specs of charts and releases promise beyond their form."""

import json
from typing import Any

import pytest

from ap_mcp.arguments import check_arguments, meets
from ap_mcp.binding import FilePart, bind
from ap_mcp.errors import InvalidArguments
from ap_mcp.simulator.constants import PROJECT_ID
from ap_mcp.specs import Catalog

RELEASE = {"cluster_id": "c1", "namespace": "default", "name": "shop"}
NAMED = {**RELEASE, "chart_id": "x1"}


def problems(catalog: Catalog, tool: str, **arguments: Any) -> list[str]:
    try:
        check_arguments(catalog[tool], arguments)
    except InvalidArguments as error:
        return [str(problem) for problem in error.problems]
    return []


def effect(catalog: Catalog, tool: str, **arguments: Any) -> str:
    operation = catalog[tool]
    return next((rule.effect for rule in operation.effect_when if meets(rule.condition, arguments)), operation.effect)


def body_of(catalog: Catalog, tool: str, **arguments: Any) -> Any:
    call = bind(catalog[tool], arguments, project_id=PROJECT_ID)
    assert call.body is not None
    return json.loads(call.body)


def test_a_rollback_needs_its_revision_and_an_upgrade_something_to_change(catalog: Catalog) -> None:
    assert problems(catalog, "update_release", **NAMED, action="rollback") == [
        'revision: is required when action is "rollback"'
    ]
    assert problems(catalog, "update_release", **RELEASE, action="upgrade") == [
        'values / chart_id / reset_values / recreate: at least one of them is required when action is "upgrade"'
    ]
    nothing_named = problems(catalog, "update_release", **RELEASE)
    assert nothing_named == problems(catalog, "update_release", **RELEASE, action="upgrade")
    changes: list[dict[str, Any]] = [{"values": {}}, {"chart_id": "x1"}, {"reset_values": True}, {"recreate": True}]
    for change in changes:
        assert problems(catalog, "update_release", **RELEASE, action="upgrade", **change) == []
        assert problems(catalog, "update_release", **RELEASE, **change) == []
    assert problems(catalog, "update_release", **NAMED, action="rollback", revision=2) == []
    assert problems(catalog, "update_release", **NAMED, action="upgrade", values={}) == []


def test_what_a_direction_would_ignore_is_refused(catalog: Catalog) -> None:
    assert problems(catalog, "update_release", **NAMED, action="rollback", revision=2, values={"a": 1}) == [
        'values: must not be given when action is "rollback"'
    ]
    assert problems(catalog, "update_release", **NAMED, action="upgrade", values={"a": 1}, revision=2) == [
        'revision: must not be given when action is "upgrade"'
    ]


def test_a_release_is_upgraded_unless_the_call_says_rollback(catalog: Catalog) -> None:
    assert body_of(catalog, "update_release", **NAMED, values={"a": 1})["action"] == "upgrade"
    assert problems(catalog, "update_release", **NAMED, revision=2) == [
        'revision: must not be given when action is "upgrade"'
    ]


def test_a_rollback_sends_the_empty_values_and_the_parameters_the_service_insists_on(catalog: Catalog) -> None:
    assert body_of(catalog, "update_release", **NAMED, action="rollback", revision=2) == {
        "chart_id": "x1",
        "action": "rollback",
        "parameters": {"release_version": 2},
        "values": {},
    }
    assert body_of(catalog, "update_release", **NAMED, action="upgrade", values={"a": 1})["parameters"] == {}


def test_an_installation_without_values_or_options_sends_no_parameters(catalog: Catalog) -> None:
    assert body_of(catalog, "create_release", **NAMED, version="1.0.0") == {
        "chart_id": "x1",
        "name": "shop",
        "namespace": "default",
        "version": "1.0.0",
        "values": {},
    }


def test_checking_only_is_the_wire_s_dry_run(catalog: Catalog) -> None:
    body = body_of(catalog, "create_release", **NAMED, version="1.0.0", check_only=True)
    assert body["parameters"] == {"dry_run": True}


@pytest.mark.parametrize(
    ("tool", "plain", "argument", "raised"),
    [
        ("create_release", "write", "replace", "destroy"),
        ("upload_chart", "write", "override", "destroy"),
        ("update_chart", "disrupt", "override", "destroy"),
    ],
)
def test_what_overwrites_destroys(catalog: Catalog, tool: str, plain: str, argument: str, raised: str) -> None:
    assert effect(catalog, tool) == effect(catalog, tool, **{argument: False}) == plain
    assert effect(catalog, tool, **{argument: True}) == raised


def test_a_new_release_s_name_is_one_that_kubernetes_takes(catalog: Catalog) -> None:
    arguments = {**NAMED, "version": "1.0.0"}
    assert problems(catalog, "create_release", **arguments) == []
    for name in ("Shop", "1shop", "shop-", "sh op", "sh/op", ""):
        assert len(problems(catalog, "create_release", **{**arguments, "name": name})) == 1


def test_a_path_value_cannot_leave_its_segment(catalog: Catalog) -> None:
    for name in ("", ".", ".."):
        assert problems(catalog, "get_chart", chart_id=name) == ["chart_id: must not be empty, '.' or '..'"]
    call = bind(catalog["get_chart"], {"chart_id": "../../x?y=%2f"}, project_id=PROJECT_ID)
    assert call.path == "/autopilot/v2/charts/..%2F..%2Fx%3Fy%3D%252f"


def test_the_options_of_an_upload_go_before_the_archive_and_only_if_given(catalog: Catalog) -> None:
    archive = {"chart_path": FilePart("shop-1.0.0.tgz", b"archive")}
    bare = bind(catalog["upload_chart"], {}, project_id=PROJECT_ID, files=archive).body or b""
    assert b'name="parameters"' not in bare
    given = bind(catalog["upload_chart"], {"skip_lint": True}, project_id=PROJECT_ID, files=archive).body or b""
    assert given.index(b'{"skip_lint":true,"source":"package"}') < given.index(b'filename="shop-1.0.0.tgz"')


def test_the_project_of_the_chart_quota_is_the_configured_one(catalog: Catalog) -> None:
    operation = catalog["get_chart_quota"]
    assert not operation.arguments
    assert bind(operation, {}, project_id="p1").path == "/autopilot/v2/charts/p1/quotas"
