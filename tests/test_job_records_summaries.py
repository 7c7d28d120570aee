"""What an agent reads about the records of jobs, whose fields are written in lower case."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ap_mcp.specs import Catalog
from ap_mcp.summaries import Observation, summarise
from ap_mcp.summaries.job_records import JobList
from ap_mcp.summaries.jobs import JobState

NOW = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def summed(catalog: Catalog) -> Any:
    def call(operation: str, body: Any, **own: Any) -> Any:
        return summarise(Observation(catalog[operation], {}, body, now=NOW, own=own))

    return call


def record(uid: str, status: str, minute: int = 0, reason: str = "", steps: Any = None) -> dict[str, Any]:
    spec = {"type": "CreateCluster", "clusteruid": "c1", "resourcename": f"shop-{uid}"}
    return {
        "kind": "Job",
        "apiVersion": "v2",
        "metadata": {"uid": uid, "creationTimestamp": f"2025-06-02 07:{minute:02}:00 +0000 UTC"},
        "spec": {**spec, **({"subjobs": steps} if steps is not None else {})},
        "status": {"status": status, "reason": reason, "completionTime": "2025-06-02 07:59:00 +0000 UTC"},
    }


def test_jobs_are_listed_failed_ones_first_then_running_ones_the_newest_first(summed: Any) -> None:
    body = [record("a", "Success", 1), record("b", "Running", 2), record("c", "Failed", 3), record("d", "Failed", 4)]
    result = summed("list_jobs", [*body, record("e", "Initializing", 5)])
    assert isinstance(result, JobList)
    assert [(each.job_id, each.verdict) for each in result.jobs] == [
        ("d", "failed"), ("c", "failed"), ("e", "running"), ("b", "running"), ("a", "succeeded"),
    ]  # fmt: skip
    assert result.summary == "5 jobs: 2 failed, 2 running, 1 succeeded."
    assert (result.jobs[0].of, result.jobs[0].cluster_id) == ("shop-d", "c1")
    assert [each.ended for each in result.jobs] == [*["2025-06-02T07:59:00Z"] * 2, None, None, "2025-06-02T07:59:00Z"]
    assert [(call.tool, call.arguments) for call in result.next] == [
        ("wait_for", {"kind": "job", "id": "e"}),
        ("get_job", {"job_id": "d"}),
    ]


def test_a_failed_job_is_listed_with_the_reason_of_its_innermost_failed_step(summed: Any) -> None:
    steps = [record("s1", "Success"), record("s2", "Failed", 0, "", [record("s3", "Failed", 0, "subnet full")])]
    (line,) = summed("list_jobs", [record("a", "Failed", 1, "step failed", steps)]).jobs
    assert line.reason == "subnet full"
    (line,) = summed("list_jobs", [record("a", "Failed", 1, "step failed")]).jobs
    assert line.reason == "step failed"


def test_many_jobs_come_in_pages_and_none_is_lost(summed: Any) -> None:
    body = [record(f"j{n:03}", "Failed" if n % 7 == 0 else "Success", n % 60) for n in range(150)]
    seen: list[str] = []
    own: dict[str, str] = {}
    pages = 0
    while True:
        page = summed("list_jobs", body, **own)
        seen += [each.job_id for each in page.jobs]
        pages += 1
        assert page.total == 150
        onward = [call.arguments["cursor"] for call in page.next if call.tool == "list_jobs"]
        if not onward:
            break
        own = {"cursor": onward[0]}
    assert pages == 4
    assert sorted(seen) == sorted(each["metadata"]["uid"] for each in body)


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ([], 0),
        ([None, "x", 7], 0),
        ([{}], 1),
        ([{"status": "x"}], 1),
        ({}, 0),
        ({"items": None}, 0),
        ({"items": [record("a", "Success")]}, 1),
        ({"items": record("a", "Success")}, 1),
    ],
)
def test_malformed_lists_are_still_reported(summed: Any, body: Any, total: int) -> None:
    listed = summed("list_jobs", body)
    assert (listed.total, len(listed.jobs)) == (total, total)


def test_an_object_that_is_no_list_is_shown_as_it_came_and_counted_as_no_job(summed: Any) -> None:
    result = summed("list_jobs", record("a", "Success"))
    assert not isinstance(result, JobList)
    assert "shop-a" in str(result.structured())


@pytest.mark.parametrize("phase", ["Success", "Failed", "Running", "Initializing", "Dreaming", ""])
def test_a_job_stands_in_a_list_as_it_does_alone(summed: Any, phase: str) -> None:
    listed, alone = summed("list_jobs", [record("a", phase)]), summed("get_job_record", record("a", phase))
    assert listed.jobs[0].verdict == alone.verdict
    known = phase not in ("Dreaming", "")
    assert bool(listed.warnings) != known


def test_a_record_is_reported_as_get_job_reports_the_job(summed: Any) -> None:
    steps = [record("s1", "Success"), record("s2", "Running")]
    result = summed("get_job_record", record("a", "Running", 1, "", steps))
    assert isinstance(result, JobState)
    assert (result.job_id, result.cluster_id, result.verdict, result.percent) == ("a", "c1", "running", 50)
    assert result.running == ["CreateCluster shop-s2"]
    failed = summed("get_job_record", record("a", "Failed", 1, "", [record("s", "Failed", 0, "subnet full")]))
    assert [(each.path, each.reason) for each in failed.failed] == [
        ("CreateCluster > CreateCluster shop-s", "subnet full")
    ]


@pytest.mark.parametrize(
    "body", [{}, {"spec": None}, {"spec": 1, "status": []}, {"spec": {"subjobs": "x"}, "status": {}}]
)
def test_malformed_records_are_still_reported(summed: Any, body: Any) -> None:
    assert isinstance(summed("get_job_record", body), JobState)


def test_a_job_of_which_several_steps_failed_is_listed_with_the_reason_of_each(summed: Any) -> None:
    steps = [record(f"s{n}", "Failed", 0, f"step {n} has no room") for n in range(6)]
    (line,) = summed("list_jobs", [record("a", "Failed", 1, "step failed", steps[:3])]).jobs
    assert line.reason == "step 0 has no room; step 1 has no room; step 2 has no room"
    (line,) = summed("list_jobs", [record("a", "Failed", 1, "step failed", [*steps, steps[0]])]).jobs
    assert line.reason.endswith("step 3 has no room; and 2 more reasons")
