"""What a person is shown before they agree, where nothing but the spec says it."""

from pathlib import Path
from typing import Any

import pytest
from agent import connected
from impacts import facts, judge

from ap_mcp.simulator.constants import LEGACY_IMPORT, ML_BATCH, PAYMENTS_PROD, SEARCH_DEV

pytestmark = pytest.mark.anyio

WINDOW: dict[str, Any] = {"weekdays": ["Friday"], "start_time": "02:00", "duration_hours": 4}


async def test_a_new_window_is_said_to_let_the_service_upgrade_by_itself() -> None:
    async with judge() as cloud:
        impact = await cloud.impact("create_maintenance_window", cluster_id=SEARCH_DEV, **WINDOW)
    assert (impact.name, impact.effect) == ("search-dev", "disrupt")
    assert "From then on the service upgrades the cluster by itself in these hours." in impact.sentence
    assert facts(impact)["argument weekdays"] == '["Friday"]'
    assert "control of when new patch versions are installed" in impact.goes
    assert any("pre-upgrade check" in line for line in impact.unknown)
    assert cloud.read == ["get_cluster"]


async def test_a_changed_window_shows_each_setting_before_and_after_and_those_left_out_as_they_stand() -> None:
    async with judge() as cloud:
        impact = await cloud.impact("update_maintenance_window", cluster_id=PAYMENTS_PROD, start_time="04:30")
        cloud.world.table("maintenance_windows")[PAYMENTS_PROD]["upgrade_scope"] = "patch"
        scoped = await cloud.impact("update_maintenance_window", cluster_id=PAYMENTS_PROD, start_time="04:30")
    assert list(impact.changes) == ['start_time: "02:00" becomes "04:30"']
    assert impact.name == "payments-prod"
    assert "The cluster looks like production: tag env=prod." in impact.warnings
    assert sorted(set(cloud.read)) == ["get_cluster", "get_maintenance_window"]
    assert 'whether upgrade_scope keeps its value, for the request does not name it: "patch"' in scoped.unknown
    assert scoped.fingerprint() != impact.fingerprint()


async def test_a_missing_window_ends_the_call_before_a_person_is_asked() -> None:
    async with judge() as cloud:
        error = await cloud.failure("update_maintenance_window", cluster_id=SEARCH_DEV, start_time="04:30")
    assert "HTTP 404" in str(error)


async def test_a_delayed_upgrade_shows_its_versions_and_both_starts_and_must_be_of_the_cluster() -> None:
    async with judge() as cloud:
        (plan,) = (await cloud.send("list_upgrade_plans", cluster_id=PAYMENTS_PROD))["items"]
        which = {"upgrade_plan_id": plan["metadata"]["uid"], "not_before": "2025-07-14T02:00:00Z"}
        impact = await cloud.impact("update_upgrade_plan", cluster_id=PAYMENTS_PROD, **which)
        refused = await cloud.refusal("update_upgrade_plan", cluster_id=SEARCH_DEV, **which)
    shown = facts(impact)
    assert (shown["from version"], shown["to version"]) == ("v1.30.4-r2", "v1.30.10-r0")
    assert shown["deadline for the start"] == plan["spec"]["notBeforeDeadline"]
    before = plan["spec"]["notBefore"]
    assert f'notBefore: "{before}" becomes "2025-07-14T02:00:00Z"' in impact.changes
    assert impact.name == plan["metadata"]["name"]
    assert f"list_upgrade_plans shows no upgrade_plan_id {plan['metadata']['uid']}" in refused


@pytest.mark.parametrize("start", ["deadline", "2099-01-01T00:00:00+08:00"])
async def test_a_planned_upgrade_is_not_moved_to_its_deadline_or_later(start: str) -> None:
    async with judge() as cloud:
        (plan,) = (await cloud.send("list_upgrade_plans", cluster_id=PAYMENTS_PROD))["items"]
        deadline = plan["spec"]["notBeforeDeadline"]
        which = {"cluster_id": PAYMENTS_PROD, "upgrade_plan_id": plan["metadata"]["uid"]}
        wanted = deadline if start == "deadline" else start
        refused = await cloud.refusal("update_upgrade_plan", **which, not_before=wanted)
        assert f"must be before the deadline for the start, {deadline}" in refused
        earlier = await cloud.impact("update_upgrade_plan", **which, not_before="2025-06-20T02:00:00Z")
        strange = await cloud.impact("update_upgrade_plan", **which, not_before="next week")
    assert any(line.startswith("with an earlier start: time for a backup") for line in earlier.goes)
    assert 'becomes "next week"' in " ".join(strange.changes)


@pytest.mark.parametrize("phase", ["Initializing", "Running"])
async def test_the_record_of_a_job_that_runs_is_not_removed(phase: str) -> None:
    async with judge() as cloud:
        job = cloud.row(ML_BATCH)["status"]["jobID"]
        cloud.bent["get_job_record"] = lambda body: {**body, "status": {"status": phase}}
        refused = await cloud.refusal("delete_job_record", job_id=job)
    assert f"job {job} is {phase}; delete_job_record acts only on one that has ended" in refused
    assert f'wait_for(kind="job", id="{job}"' in refused


async def test_the_times_among_the_facts_have_the_one_form_of_all_answers() -> None:
    async with judge() as cloud:
        job = cloud.row(LEGACY_IMPORT)["status"]["jobID"]
        said = {"completionTime": "2025-06-01 09:15:30.5 +0800 CST", "reason": "2025-06-01 01:15:30 etcd failed"}
        cloud.bent["get_job_record"] = lambda body: {**body, "status": {"status": "Failed", **said}}
        shown = facts(await cloud.impact("delete_job_record", job_id=job))
    assert shown["ended"] == "2025-06-01T01:15:30Z"
    assert shown["reason"] == '"2025-06-01 01:15:30 etcd failed"'


@pytest.mark.parametrize("other", [{"metadata": {"uid": "another"}}, {"id": "another"}])
async def test_a_thing_that_says_it_is_another_one_is_not_acted_on(other: dict[str, Any]) -> None:
    async with judge() as cloud:
        job = cloud.row(LEGACY_IMPORT)["status"]["jobID"]
        cloud.bent["get_job_record"] = lambda body: {**body, "metadata": {}, **other}
        refused = await cloud.refusal("delete_job_record", job_id=job)
    assert f"job_id {job} was asked for, and another was answered" in refused


async def test_a_thing_that_reports_no_name_goes_by_what_the_call_names_it() -> None:
    async with judge() as cloud:
        job = cloud.row(LEGACY_IMPORT)["status"]["jobID"]
        cloud.bent["get_job_record"] = lambda body: {**body, "metadata": None}
        assert (await cloud.impact("delete_job_record", job_id=job)).name == job


async def test_a_removed_record_shows_which_job_it_was_and_why_it_failed() -> None:
    async with judge() as cloud:
        job = cloud.row(LEGACY_IMPORT)["status"]["jobID"]
        impact = await cloud.impact("delete_job_record", job_id=job)
    shown = facts(impact)
    assert (impact.name, impact.effect) == (job, "destroy")
    assert (shown["type"], shown["acted on"], shown["phase"]) == ("CreateCluster", "legacy-import", "Failed")
    assert "has no free IP address" in shown["reason"]
    assert shown["cluster id"] == LEGACY_IMPORT
    assert "the cluster and everything else that the job worked on" in impact.stays


async def test_a_rule_that_asks_about_removing_a_window_shows_what_follows(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "ask"\ntools = ["delete_maintenance_window"]\n')
    async with connected(tmp_path, policy_file=policy, unasked=False) as agent:
        said = await agent.fail("delete_maintenance_window", cluster_id=PAYMENTS_PROD)
        assert agent.changed == []
    for part in (
        "The service no longer upgrades the cluster by itself.",
        'weekdays: "Friday,Saturday"',
        "start: 02:00",
    ):
        assert part in said
    assert "whether an upgrade that is planned already still takes place" in said
