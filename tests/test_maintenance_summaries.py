"""What an agent reads about maintenance windows and the upgrades that the service plans."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ap_mcp.specs import Catalog
from ap_mcp.summaries import Observation, summarise
from ap_mcp.summaries.maintenance import MaintenanceWindow, Plan, PlanList

NOW = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)
WINDOW = {"weekly_period": "Friday,Saturday", "start_time": "02:00", "duration_hours": 4, "upgrade_scope": "patch"}
HERE = {"cluster_id": "shop-prod"}


@pytest.fixture
def summed(catalog: Catalog) -> Any:
    def call(operation: str, body: Any, **own: Any) -> Any:
        return summarise(Observation(catalog[operation], HERE, body, now=NOW, own=own))

    return call


def plan(uid: str, start: str, **status: str) -> dict[str, Any]:
    spec = {
        "clusterID": "c1",
        "clusterVersion": "v1.30.4-r2",
        "targetVersion": "v1.30.10-r0",
        "notBefore": start,
        "notAfter": "2025-09-01T02:00:00Z",
        "notBeforeDeadline": "2025-08-01T02:00:00Z",
    }
    return {"metadata": {"uid": uid}, "spec": spec, "status": status}


@pytest.mark.parametrize("tool", ["get_maintenance_window", "create_maintenance_window", "update_maintenance_window"])
def test_a_window_is_reported_as_the_hours_in_which_the_service_may_upgrade(summed: Any, tool: str) -> None:
    result = summed(tool, WINDOW)
    assert isinstance(result, MaintenanceWindow)
    assert result.summary == (
        "The service may upgrade the cluster by itself on Friday and Saturday from 02:00 UTC for 4 h."
    )
    assert (result.weekdays, result.upgrade_scope) == (["Friday", "Saturday"], "patch")
    assert [(call.tool, call.arguments) for call in result.next] == [("list_upgrade_plans", HERE)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "by itself on days that the service does not name."),
        ({"weekly_period": "Friday", "duration_hours": "2"}, "by itself on Friday for 2 h."),
        ({"weekly_period": ["x"], "start_time": 7, "duration_hours": None}, "from 7 UTC."),
    ],
)
def test_a_window_that_says_less_is_reported_too(summed: Any, body: Any, said: str) -> None:
    assert summed("get_maintenance_window", body).summary.endswith(said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (WINDOW, " It might on Friday and Saturday from 02:00 UTC for 4 h."),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_removed_window_is_reported_with_or_without_an_answer(summed: Any, body: Any, said: str) -> None:
    result = summed("delete_maintenance_window", body)
    assert result.summary == f"The service no longer upgrades the cluster by itself.{said}"
    assert [call.tool for call in result.next] == ["list_upgrade_plans"]


def test_planned_upgrades_are_reported_the_next_one_first(summed: Any) -> None:
    later, sooner = plan("p2", "2025-07-11T02:00:00Z"), plan("p1", "2025-07-04T02:00:00Z", phase="Pending")
    past = plan("p0", "2025-05-01T02:00:00Z", phase="Success")
    result = summed("list_upgrade_plans", {"kind": "List", "items": [later, past, sooner]})
    assert isinstance(result, PlanList)
    assert [each.upgrade_plan_id for each in result.plans] == ["p0", "p1", "p2"]
    assert result.summary == (
        "2 planned: from v1.30.4-r2 to v1.30.10-r0, 2025-07-04T02:00:00Z or later, at the latest"
        " 2025-09-01T02:00:00Z. 1 plan is over."
    )
    assert [(call.tool, call.arguments["target_version"]) for call in result.next] == [
        ("assess_upgrade", "v1.30.10-r0")
    ]


@pytest.mark.parametrize(
    ("start", "end", "phase", "standing"),
    [
        ("2025-06-02T08:00:01Z", "2025-06-09T08:00:00Z", "Pending", "ahead"),
        ("2025-06-02T08:00:00Z", "2025-06-09T08:00:00Z", "Pending", "due"),
        ("2025-06-01T08:00:00Z", "2025-06-02T08:00:00Z", "", "due"),
        ("2025-06-01T08:00:00Z", "2025-06-09T08:00:00Z", "Running", "due"),
        ("2025-06-01T08:00:00Z", None, "Dreaming", "due"),
        ("2025-06-01T08:00:00Z", "2025-06-02T07:59:59Z", "Pending", "over"),
        ("2025-06-01T08:00:00Z", "2025-06-09T08:00:00Z", "Success", "over"),
        ("2025-06-01T08:00:00Z", "2025-06-09T08:00:00Z", "Failed", "over"),
        ("2025-06-05T08:00:00Z", "2025-06-09T08:00:00Z", "Expired", "over"),
        ("2025-06-05T08:00:00Z", "2025-06-09T08:00:00Z", "Cancelled", "over"),
        (None, "2025-06-09T08:00:00Z", "", "ahead"),
        ("soon", None, "", "ahead"),
    ],
)
def test_a_plan_is_due_from_the_start_of_its_window_until_the_end_of_it_or_of_the_upgrade(
    summed: Any, start: Any, end: Any, phase: str, standing: str
) -> None:
    body = plan("p1", start, phase=phase)
    body["spec"]["notAfter"] = end
    result = summed("list_upgrade_plans", {"items": [body]})
    assert result.plans[0].standing == standing
    assert (result.summary == "No upgrade is ahead. 1 plan is over.") == (standing == "over")
    assert ("may start any minute or has started" in result.summary) == (standing == "due")
    proposed = {"due": ["assess_upgrade", "list_upgrade_tasks"], "ahead": ["assess_upgrade"], "over": []}
    assert [call.tool for call in result.next] == proposed[standing]


def test_a_plan_that_is_due_is_reported_before_those_ahead(summed: Any) -> None:
    due, later = plan("p1", "2025-06-01T02:00:00Z", phase="Pending"), plan("p2", "2025-07-04T02:00:00Z")
    result = summed("list_upgrade_plans", {"items": [later, due]})
    assert result.summary == (
        "1 due: from v1.30.4-r2 to v1.30.10-r0 may start any minute or has started, at the latest"
        " 2025-09-01T02:00:00Z. 1 planned: from v1.30.4-r2 to v1.30.10-r0, 2025-07-04T02:00:00Z or later, at the"
        " latest 2025-09-01T02:00:00Z."
    )


def test_a_lone_plan_in_the_place_of_the_list_is_a_list_of_one(summed: Any) -> None:
    alone = summed("list_upgrade_plans", {"kind": "List", "items": plan("p1", "2025-07-04T02:00:00Z")})
    assert (alone.shown, alone.total, alone.plans[0].upgrade_plan_id) == (1, 1, "p1")


@pytest.mark.parametrize("body", [{"items": []}, {"items": None}])
def test_no_plan_is_reported_as_none(summed: Any, body: Any) -> None:
    assert summed("list_upgrade_plans", body).summary == "No upgrade is planned."


def test_many_plans_come_in_pages(summed: Any) -> None:
    body = {"items": [plan(f"p{n:02}", f"2025-07-{n + 1:02}T02:00:00Z") for n in range(25)]}
    first = summed("list_upgrade_plans", body)
    assert (first.shown, first.total) == (20, 25)
    second = summed("list_upgrade_plans", body, cursor=first.next[-1].arguments["cursor"])
    assert [each.upgrade_plan_id for each in second.plans] == ["p20", "p21", "p22", "p23", "p24"]
    assert second.next == []


def test_a_delayed_upgrade_is_reported_with_its_new_start(summed: Any) -> None:
    result = summed("update_upgrade_plan", plan("p1", "2025-07-30T02:00:00Z"))
    assert isinstance(result, Plan)
    assert result.summary == (
        "The upgrade from v1.30.4-r2 to v1.30.10-r0 starts 2025-07-30T02:00:00Z or later,"
        " at the latest 2025-09-01T02:00:00Z."
    )
    assert "starts at an unknown time or later" in summed("update_upgrade_plan", {}).summary
