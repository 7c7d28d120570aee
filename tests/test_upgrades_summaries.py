"""What an agent reads about upgrades, backups and workflows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ap_mcp.rules.wait_hints import WAIT_FOR
from ap_mcp.specs import Catalog
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.summaries.upgrade_workflows import Workflow, WorkflowList
from ap_mcp.summaries.upgrades import FeatureGates, Started, TaskList, Upgrade, UpgradeInfo, UpgradePaths

NOW = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)
WAIT = {"kind": "upgrade_task", "id": "task-1", "cluster_id": "shop-prod"}
BEGAN, ENDED = "2025-06-02 07:48:00.123456 +0000 UTC", "2025-06-02 07:55:00.5 +0000 UTC"


@pytest.fixture
def summed(catalog: Catalog) -> Any:
    def call(operation: str, body: Any, **arguments: Any) -> Result:
        return summarise(Observation(catalog[operation], {"cluster_id": "shop-prod", **arguments}, body, now=NOW))

    return call


def task(phase: str, uid: str = "task-1", began: str = BEGAN, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": uid, "creationTimestamp": began},
        "spec": {"version": "v1.28.6-r0", "targetVersion": "v1.31.6-r0", **more.pop("spec", {})},
        "status": {"phase": phase, "progress": "45.00", "completionTime": ENDED, **more},
    }


def test_an_accepted_upgrade_shows_its_task_and_both_versions(summed: Any) -> None:
    action = {"version": "v1.28.6-r0", "targetVersion": "v1.31.6-r0", "config": {}}
    result = summed("upgrade_cluster", {"metadata": {"uid": "task-1"}, "spec": {"clusterUpgradeAction": action}})
    assert isinstance(result, Upgrade)
    assert (result.verdict, result.from_version, result.to_version) == ("running", "v1.28.6-r0", "v1.31.6-r0")
    assert [(call.tool, call.arguments) for call in result.next] == [(WAIT_FOR, WAIT)]


@pytest.mark.parametrize(
    ("phase", "verdict", "said", "tool"),
    [
        ("Init", "running", "is running at 45 % after 11 min", WAIT_FOR),
        ("Queuing", "running", "is running at 45 % after 11 min", WAIT_FOR),
        ("Running", "running", "is running at 45 % after 11 min", WAIT_FOR),
        ("Success", "succeeded", "succeeded after 7 min", "run_postcheck"),
        ("Failed", "failed", "failed at 45 % after 7 min. No reason is given", "retry_upgrade"),
        ("Pause", "paused", "is paused at 45 %", WAIT_FOR),
        ("Dreaming", "Dreaming", "is Dreaming at 45 %", WAIT_FOR),
    ],
)
def test_a_task_says_how_far_it_is_and_what_to_do(summed: Any, phase: str, verdict: str, said: str, tool: str) -> None:
    result = summed("get_upgrade_task", task(phase), task_id="task-1")
    assert (result.verdict, result.progress) == (verdict, 45.0)
    assert said in result.summary
    assert [call.tool for call in result.next] == [tool]
    assert (result.ended is None) == (verdict not in ("succeeded", "failed"))


def test_a_failed_task_quotes_what_the_service_says_about_it_as_data(summed: Any) -> None:
    body = task("Failed", spec={"items": {"step": "Etcd", "message": 'not "healthy"\nat all'}})
    result = summed("get_upgrade_task", body)
    assert result.details == {"step": "Etcd", "message": 'not "healthy" at all'}
    assert "\"not 'healthy' at all; step: Etcd\"" in result.summary
    assert result.problem == 'not "healthy" at all'


def test_upgrades_are_listed_newest_first(summed: Any) -> None:
    old = task("Success", "old", "2024-01-01 00:00:00.0 +0800 CST")
    result = summed("list_upgrade_tasks", {"items": [old, task("Failed", "new")]})
    assert isinstance(result, TaskList)
    assert [line.task_id for line in result.tasks] == ["new", "old"]
    assert result.summary == "2 upgrades; the latest from v1.28.6-r0 to v1.31.6-r0 has failed."
    assert result.next[0].arguments["task_id"] == "new"


def test_a_long_history_comes_in_pages(summed: Any) -> None:
    result = summed("list_upgrade_tasks", {"items": [task("Success")] * 21})
    assert (result.shown, result.total) == (20, 21)
    assert (result.next[-1].tool, result.next[-1].why) == ("list_upgrade_tasks", "shows the other 1")


@pytest.mark.parametrize("body", [None, {}, ""])
def test_a_retry_without_an_answer_says_what_to_read(summed: Any, body: Any) -> None:
    result = summed("retry_upgrade", body)
    assert isinstance(result, Started)
    assert [call.tool for call in result.next] == ["list_upgrade_tasks"]


def test_the_latest_upgrade_is_waited_for_if_it_runs(summed: Any) -> None:
    (call,) = summed("list_upgrade_tasks", {"items": [task("Running")]}).next
    assert (call.tool, call.arguments) == (WAIT_FOR, WAIT)


def test_a_backup_shows_its_id(summed: Any) -> None:
    result = summed("backup_cluster", {"uid": "b-1", "metadata": {"kind": "Snapshot"}})
    assert result.task_id == "b-1"
    assert [(call.tool, call.arguments) for call in result.next] == [
        (WAIT_FOR, {**WAIT, "kind": "backup", "id": "b-1"})
    ]
    assert summed("backup_cluster", {"metadata": {"kind": "Snapshot"}}).next == []


def test_backups_are_listed_with_the_time_of_the_latest_good_one(summed: Any) -> None:
    running = {"metadata": {"uid": "b-2", "creationTimestamp": BEGAN}, "status": {"phase": "Running", "progress": "67"}}
    result = summed("list_backups", {"items": [running], "status": {"latestBackupTime": ENDED}})
    assert result.summary == "1 backup; the latest is running."
    assert (result.latest, result.tasks[0].progress) == ("2025-06-02T07:55:00Z", 67.0)
    assert [call.tool for call in summed("list_backups", {"items": []}).next] == ["backup_cluster"]
    for ended, proposed in (("2025-06-01T09:00:00Z", []), ("2025-05-30T08:00:00Z", ["backup_cluster"])):
        made = summed("list_backups", {"items": [task("Success", completionTime=ended)]})
        assert [call.tool for call in made.next] == proposed


def info(*targets: str, phase: str | None = None, suggested: str = "r0") -> dict[str, Any]:
    version = {"release": "v1.28.6", "patch": "r0", "suggestPatch": suggested, "targetVersions": list(targets)}
    status = {"phase": phase, "progress": "20"} if phase else {}
    return {"spec": {"versionInfo": version, "lastUpgradeInfo": status}, "status": status}


def test_upgrade_information_puts_the_version_together_and_proposes_an_assessment(summed: Any) -> None:
    result = summed("get_upgrade_info", info("v1.29.13-r0", "v1.31.6-r0", suggested="r4"))
    assert isinstance(result, UpgradeInfo)
    assert (result.version, result.suggested_patch) == ("v1.28.6-r0", "v1.28.6-r4")
    assert (result.next[0].tool, result.next[0].arguments) == ("assess_upgrade", {"cluster_id": "shop-prod"})


@pytest.mark.parametrize(
    ("phase", "state", "tools"),
    [
        ("Running", "running", ["list_upgrade_tasks"]),
        ("Failed", "failed", ["list_upgrade_tasks", "retry_upgrade"]),
        ("Success", "succeeded", ["assess_upgrade"]),
    ],
)
def test_upgrade_information_says_how_the_upgrade_stands(summed: Any, phase: str, state: str, tools: list[str]) -> None:
    result = summed("get_upgrade_info", info("v1.31.6-r0", phase=phase))
    assert result.upgrade == state
    assert ("Its upgrade" in result.summary) == (state != "succeeded")
    assert [call.tool for call in result.next] == tools


def test_a_cluster_without_targets_is_said_to_have_none(summed: Any) -> None:
    result = summed("get_upgrade_info", info())
    assert "no newer version" in result.summary
    assert result.next == []


def test_paths_have_one_line_per_version(summed: Any) -> None:
    path = {"version": "v1.28", "platformVersion": "cce.8.0", "targetVersions": ["v1.29.13-r0", "v1.31.6-r0"]}
    result = summed("list_upgrade_paths", {"upgradePaths": [path]})
    assert isinstance(result, UpgradePaths)
    assert result.paths[0].targets == "v1.29.13-r0, v1.31.6-r0"


def test_feature_gates_are_counted(summed: Any) -> None:
    result = summed("get_upgrade_feature_gates", {"upgradeFeatureGates": {"A": "Support", "B": "Disable"}})
    assert isinstance(result, FeatureGates)
    assert result.summary == "2 upgrade features, 1 of them supported."


def workflow(phase: str | None, uid: str = "w-1", **statuses: str) -> dict[str, Any]:
    points = [
        {
            "taskType": stage,
            **({"status": statuses[stage], "taskID": "t", "startTimeStamp": BEGAN} if stage in statuses else {}),
        }
        for stage in ("PreCheck", "Snapshot", "Cluster", "PostCheck")
    ]
    return {
        "metadata": {"uid": uid, "creationTimestamp": BEGAN},
        "spec": {"clusterVersion": "v1.28.6-r0", "targetVersion": "v1.31.6-r0"},
        "status": {"pointStatuses": points, **({"phase": phase} if phase else {})},
    }


@pytest.mark.parametrize(
    ("phase", "statuses", "tools"),
    [
        (None, {}, ["run_precheck"]),
        ("Init", {}, ["run_precheck"]),
        ("Running", {"PreCheck": "Running"}, ["wait_for"]),
        ("Pending", {"PreCheck": "Failed"}, ["run_precheck"]),
        ("Init", {"PreCheck": "Success"}, ["backup_cluster", "upgrade_cluster"]),
        ("Init", {"PreCheck": "Success", "Snapshot": "Success"}, ["upgrade_cluster"]),
        ("Pending", {"PreCheck": "Success", "Cluster": "Failed"}, ["retry_upgrade"]),
        ("Init", {"PreCheck": "Success", "Cluster": "Success"}, ["run_postcheck"]),
        ("Success", {"PreCheck": "Success", "Cluster": "Success", "PostCheck": "Success"}, []),
        ("Cancel", {}, []),
    ],
)
def test_a_workflow_proposes_its_next_stage(summed: Any, phase: Any, statuses: Any, tools: list[str]) -> None:
    result = summed("get_upgrade_workflow", workflow(phase, **statuses), upgrade_workflow_id="w-1")
    assert isinstance(result, Workflow)
    assert [call.tool for call in result.next] == tools


@pytest.mark.parametrize(
    ("phase", "statuses", "expected"),
    [
        ("Init", {}, (True, False, None)),
        ("Running", {"PreCheck": "Running"}, (False, False, "The workflow is running.")),
        ("Pending", {"Cluster": "Failed"}, (True, True, None)),
        ("Pending", {"Cluster": "Pause"}, (False, False, "Its upgrade is in state Pause.")),
        ("Success", {}, (False, False, "The workflow has succeeded.")),
        ("Cancel", {}, (False, False, "The workflow was cancelled.")),
    ],
)
def test_a_workflow_says_whether_it_can_be_cancelled_or_retried_and_why_not(
    summed: Any, phase: str, statuses: Any, expected: Any
) -> None:
    result = summed("cancel_upgrade_workflow", workflow(phase, **statuses))
    assert (result.can_cancel, result.can_retry, result.why_not) == expected


def test_stages_show_their_state_and_how_long_they_took(summed: Any) -> None:
    body = workflow("Running", PreCheck="Success", Cluster="Running")
    body["status"]["pointStatuses"][0] |= {"endTimeStamp": ENDED, "expireTimeStamp": ENDED}
    check, backup, upgrade, _ = summed("get_upgrade_workflow", body).stages
    assert (check.stage, check.status, check.took, check.expires) == (
        "pre-upgrade check",
        "succeeded",
        "7 min",
        "2025-06-02T07:55:00Z",
    )
    assert (backup.status, backup.took) == ("not started", None)
    assert (upgrade.status, upgrade.took) == ("running", "11 min")


def test_a_workflow_says_what_is_done_and_what_runs(summed: Any) -> None:
    result = summed("create_upgrade_workflow", workflow("Pending", PreCheck="Success", Cluster="Failed"))
    assert result.summary == (
        "The workflow from v1.28.6-r0 to v1.31.6-r0 has stopped. Done: pre-upgrade check. Now: upgrade failed."
    )


def test_workflows_are_listed_and_the_open_one_is_proposed(summed: Any) -> None:
    result = summed("list_upgrade_workflows", {"items": [workflow("Success"), workflow("Pending", "w-2")]})
    assert isinstance(result, WorkflowList)
    assert result.summary == "2 upgrade workflows, 1 of them open."
    assert result.next[0].arguments["upgrade_workflow_id"] == "w-2"
    assert summed("list_upgrade_workflows", {"items": workflow("Init")}).total == 1
    assert summed("list_upgrade_workflows", {"items": []}).summary == "No upgrade workflows."


@pytest.mark.parametrize("operation", ["get_upgrade_task", "get_upgrade_workflow", "get_upgrade_info", "list_backups"])
@pytest.mark.parametrize(
    "body", [{}, {"status": []}, {"status": {"phase": {}}, "spec": 3}, {"kind": "x", "items": {"status": 1}}]
)
def test_unexpected_answers_are_still_reported(summed: Any, operation: str, body: Any) -> None:
    result = summed(operation, body)
    assert result.summary
    assert not result.raw
    assert (type(result).__name__ == "Unread") == (operation == "list_backups" and "items" not in body)


def test_a_failed_backup_says_which_part_failed_and_why(summed: Any) -> None:
    parts = [
        {"type": "etcd", "status": "Failed", "message": "OBS bucket is full"},
        {"type": "metadata", "status": "Success", "message": "done"},
    ]
    body = {"items": [task("Failed", spec={"items": parts}, message="backup failed")]}
    result = summed("list_backups", body)
    assert result.tasks[0].problem == "etcd Failed: OBS bucket is full; backup failed"
    assert 'The service says "etcd Failed: OBS bucket is full; backup failed".' in result.summary


@pytest.mark.parametrize("info", [None, {}, {"release": "v1.29.8", "targetVersions": None}])
def test_versions_that_are_not_reported_are_not_taken_for_none(summed: Any, info: Any) -> None:
    result = summed("get_upgrade_info", {"spec": {"versionInfo": info}, "status": None})
    assert result.summary.endswith("which newer versions it can go to is not reported.")
    assert result.targets is None


def test_a_failed_stage_of_a_workflow_says_why(summed: Any) -> None:
    points = [{"taskType": "Cluster", "status": "Failed", "message": "etcd is not healthy"}]
    result = summed("get_upgrade_workflow", {"status": {"phase": "Failed", "pointStatuses": points}})
    assert result.stages[0].problem == "etcd is not healthy"
    assert "etcd is not healthy" in result.summary


@pytest.mark.parametrize("phase", ["Init", "Running", "Failed", "Pause", "Dreaming"])
def test_what_the_service_says_of_an_upgrade_that_has_not_succeeded_is_told(summed: Any, phase: str) -> None:
    said = "waits for node-7: eviction is blocked by pdb web"
    assert said in summed("get_upgrade_task", task(phase, message=said), task_id="task-1").summary
    before = {"phase": "Failed", "message": "no IP"}
    info = {"spec": {"lastUpgradeInfo": before}, "status": {"phase": phase, "message": said}}
    shown = summed("get_upgrade_info", info).summary
    assert said in shown
    assert 'The last upgrade failed. The service says "no IP".' in shown
    stage = {"taskType": "Cluster", "status": "Failed", "message": "node lost"}
    status = {"phase": phase, "message": said, "pointStatuses": [stage]}
    workflow = summed("get_upgrade_workflow", {"metadata": {"uid": "w"}, "spec": {}, "status": status})
    assert f'The service says "node lost; {said}".' in workflow.summary
    assert '""' not in workflow.summary


@pytest.mark.parametrize("nothing", ["0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC", "0000-00-00", 0, "0"])
def test_a_time_that_services_write_for_none_is_none(summed: Any, nothing: Any) -> None:
    result = summed("get_upgrade_task", task("Success", completionTime=nothing), task_id="task-1")
    assert (result.ended, result.took) == (None, None)


@pytest.mark.parametrize("gates", [[{"name": "A", "status": "Support"}], "A", 3])
def test_feature_gates_in_another_form_are_shown_as_they_came(summed: Any, gates: Any) -> None:
    found = summed("get_upgrade_feature_gates", {"upgradeFeatureGates": gates})
    assert "the service answered" in found.summary
    assert str(gates[0] if isinstance(gates, str) else 3 if gates == 3 else "Support") in found.answer


@pytest.mark.parametrize("tool", ["upgrade_cluster", "backup_cluster", "retry_upgrade"])
def test_a_start_that_the_service_answers_with_a_failure_says_so(summed: Any, tool: str) -> None:
    found = summed(tool, {"metadata": {}, "spec": {}, "status": {"phase": "Failed", "message": "no room for it"}})
    assert "no room for it" in " ".join([found.summary, *found.warnings])
    assert '""' not in found.summary
