"""What an agent reads about charts and releases."""

import json
from pathlib import Path
from typing import Any

import pytest

from ap_mcp.files import SavedFile
from ap_mcp.simulator.chart_seed import PAYMENTS_API, REDIS
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV
from ap_mcp.simulator.registry import SimulatedRequest, handler_of, public
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.world import World
from ap_mcp.specs import Catalog
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.summaries.charts import (
    ChartArchive,
    ChartChange,
    ChartDeletion,
    ChartList,
    ChartQuota,
    ChartState,
    ChartValues,
)
from ap_mcp.summaries.plain import Unread
from ap_mcp.summaries.releases import ReleaseChange, ReleaseDeletion, ReleaseHistory, ReleaseList, ReleaseState
from ap_mcp.summaries.settings_shown import VALUES_LIMIT

RELEASE = {"cluster_id": SEARCH_DEV, "namespace": "search", "name": "search-api"}
PAYMENTS = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}


def waiting(release: dict[str, str], **more: str) -> dict[str, Any]:
    """Return what to call `wait_for` with."""
    where = {name: value for name, value in release.items() if name != "name"}
    return {"kind": "release", "id": release["name"], **where, **more}


@pytest.fixture
def summed(catalog: Catalog) -> Any:
    def call(operation: str, body: Any, *, file: SavedFile | None = None, **arguments: Any) -> Result:
        return summarise(Observation(catalog[operation], arguments, body, file))

    return call


@pytest.fixture(scope="module")
def world() -> World:
    return seeded_world()


def said(world: World, operation: str, **path: str) -> Any:
    """Return what the simulator would answer."""
    handler = handler_of(operation)
    assert handler is not None
    answer = handler(world, SimulatedRequest(operation, path))
    return public(getattr(answer, "body", answer))


def test_charts_are_listed_by_name_with_their_versions(summed: Any, world: World) -> None:
    result = summed("list_charts", said(world, "list_charts"))
    assert isinstance(result, ChartList)
    assert result.summary == "4 stored charts: payments-api (2 versions), redis, search-api."
    assert [(line.name, line.version) for line in result.charts][:2] == [
        ("payments-api", "1.8.2"),
        ("payments-api", "1.9.0"),
    ]
    assert result.charts[2].changed == "2024-08-30T06:20:11Z"


def test_a_list_without_charts_says_so(summed: Any) -> None:
    assert summed("list_charts", []).summary == "0 stored charts."


def test_many_charts_are_counted_and_all_listed(summed: Any) -> None:
    result = summed("list_charts", [{"id": f"{n}", "name": f"chart-{n:02}", "version": "1.0.0"} for n in range(30)])
    assert result.summary.endswith("chart-07 and 22 more charts.")
    assert len(result.charts) == 30


def test_a_chart_names_its_settings_and_leads_to_their_defaults(summed: Any, world: World) -> None:
    result = summed("get_chart", said(world, "get_chart", chart_id=REDIS), chart_id=REDIS)
    assert isinstance(result, ChartState)
    assert result.summary == "redis 18.6.1, changed at 2024-08-30T06:20:11Z."
    assert (result.public, result.description) == (False, "Key-value store with one volume per replica")
    assert result.settings == ["auth", "image", "persistence", "replicas", "resources", "service"]
    assert [(call.tool, call.arguments) for call in result.next] == [("get_chart_values", {"chart_id": REDIS})]


def test_an_upload_and_an_update_say_what_is_stored_now(summed: Any, world: World) -> None:
    body = said(world, "get_chart", chart_id=REDIS)
    uploaded = summed("upload_chart", body)
    assert isinstance(uploaded, ChartChange)
    assert (uploaded.id, uploaded.name, uploaded.version) == (REDIS, "redis", "18.6.1")
    assert uploaded.summary == f"redis 18.6.1 is stored as chart {REDIS}."
    updated = summed("update_chart", body, chart_id=REDIS).summary
    assert updated == f"The chart {REDIS} is redis 18.6.1 now; releases of it stay as they are."


def test_values_come_whole_with_secrets_masked(summed: Any) -> None:
    body = {"values": {"replicas": 3, "db": {"host": "db", "password": "hunter2"}}}
    result = summed("get_chart_values", body, chart_id=PAYMENTS_API)
    assert isinstance(result, ChartValues)
    assert result.summary == "The chart takes 2 top-level settings."
    assert result.values is not None
    assert (result.values["replicas"], result.values["db"]["host"]) == (3, "db")
    assert "hunter2" not in result.model_dump_json()
    assert result.left_out is None


def test_values_too_large_to_show_are_named_counted_and_one_call_away(summed: Any) -> None:
    body = {"values": {"dashboards": {"one": "x" * VALUES_LIMIT}, "replicas": 2, "empty": {}}}
    result = summed("get_chart_values", body, chart_id=REDIS)
    assert (result.values, result.left_out) == ({"replicas": 2, "empty": {}}, ["dashboards"])
    assert result.summary == "The chart takes 3 top-level settings: 2 shown, 1 too large to show here."
    assert result.warnings == ["Not shown here: dashboards. section shows each."]
    assert [each.arguments for each in result.next] == [{"chart_id": REDIS, "section": "dashboards"}]


def test_values_that_are_no_map_are_quoted(summed: Any) -> None:
    result = summed("get_chart_values", {"values": "none"})
    assert (result.summary, result.values) == ("The chart's settings are not shown.", None)
    assert '"none"' in result.warnings[0]


def test_a_downloaded_archive_is_named_by_its_file_only(summed: Any) -> None:
    file = SavedFile(Path("/files/redis-18.6.1.tgz"), 1028, "ab" * 32)
    result = summed("download_chart", None, file=file, chart_id=REDIS)
    assert isinstance(result, ChartArchive)
    assert (result.path, result.bytes, result.sha256) == ("/files/redis-18.6.1.tgz", 1028, "ab" * 32)
    assert result.summary == f"The archive of chart {REDIS} is in /files/redis-18.6.1.tgz (1028 bytes)."
    assert "was not saved" in summed("download_chart", None, chart_id=REDIS).summary


def test_a_deleted_chart_leaves_its_releases(summed: Any) -> None:
    result = summed("delete_chart", "success", chart_id=REDIS)
    assert isinstance(result, ChartDeletion)
    assert result.summary == f"The chart {REDIS} is deleted; releases made from it keep running."
    assert result.warnings == []
    assert summed("delete_chart", "queued", chart_id=REDIS).warnings == [
        'The service says "queued" instead of success.'
    ]


@pytest.mark.parametrize("limit", [-1, "-1", -5])
def test_a_negative_quota_is_no_limit(summed: Any, limit: Any) -> None:
    charts = summed("get_chart_quota", {"quotas": {"resources": [{"type": "CHARTS", "quota": limit, "used": 3}]}})
    assert (charts.summary, charts.warnings) == ("3 charts are stored, no limit.", [])
    assert charts.structured() == {"summary": charts.summary, "used": 3, "unlimited": True}
    row = {"quotaKey": "autopilot_cluster", "quotaLimit": limit, "used": 7}
    clusters = summed("get_quotas", {"quotas": [row, {**row, "quotaKey": "other", "quotaLimit": 7}]})
    assert clusters.summary == "7 clusters used, no limit; 7 of 7 other used, 0 left."
    assert clusters.warnings == ["No more other can be created: the quota is used up."]
    assert clusters.quotas[0].left is clusters.quotas[0].limit is None


def test_the_chart_quota_warns_when_it_is_used_up(summed: Any, world: World) -> None:
    result = summed("get_chart_quota", said(world, "get_chart_quota"))
    assert isinstance(result, ChartQuota)
    assert (result.summary, result.limit, result.used) == ("4 of 200 charts are stored.", 200, 4)
    full = summed("get_chart_quota", {"quotas": {"resources": [{"type": "Charts", "quota": "5", "used": 5}]}})
    assert "used up" in full.warnings[0]
    assert summed("get_chart_quota", {"quotas": {}}).summary == "The service did not report the quota."


def test_releases_in_trouble_come_first_with_the_reason(summed: Any, world: World) -> None:
    body = said(world, "list_releases", cluster_id=SEARCH_DEV)
    result = summed("list_releases", body, cluster_id=SEARCH_DEV)
    assert isinstance(result, ReleaseList)
    assert result.summary == "2 releases: 1 FAILED, 1 DEPLOYED."
    assert [line.name for line in result.releases] == ["search-api", "query-cache"]
    assert result.releases[1].problem is None
    assert "ImagePullBackOff" in str(result.releases[0].problem)
    assert result.warnings == ["search/search-api has failed."]
    assert [(call.tool, call.arguments) for call in result.next] == [("get_release", RELEASE)]


def test_a_list_of_lists_is_read_as_the_reference_draws_it(summed: Any) -> None:
    result = summed("list_releases", [[{"name": "a"}], [{"name": "b"}, {"name": "c"}]])
    assert [line.name for line in result.releases] == ["a", "b", "c"]


def test_a_failed_release_says_why_and_leads_to_its_history(summed: Any, world: World) -> None:
    result = summed("get_release", said(world, "get_release", **RELEASE), **RELEASE)
    assert isinstance(result, ReleaseState)
    assert result.summary.startswith("search/search-api (search-api 0.9.3), revision 2 has failed. The service says")
    assert (result.status, result.revision) == ("FAILED", 2)
    assert (result.values or {})["image"]["tag"] == "0.9.4-rc1"
    assert [(call.tool, call.arguments) for call in result.next] == [("get_release_history", RELEASE)]


def test_a_healthy_release_shows_its_values_without_secrets_and_asks_for_nothing(summed: Any, world: World) -> None:
    result = summed("get_release", said(world, "get_release", **PAYMENTS), **PAYMENTS)
    assert result.summary == "payments/payments-api (payments-api 1.9.0), revision 5 is deployed."
    assert result.values["database"]["host"] == "payments-db.internal.example"
    assert "S1mulated" not in result.model_dump_json()
    assert (result.problem, result.next) == (None, [])


def test_what_a_failed_release_says_of_itself_is_reported_once(summed: Any, world: World) -> None:
    why = "timed out waiting for the condition"
    body = {**said(world, "get_release", **PAYMENTS), "status": "FAILED", "status_description": why}
    assert summed("get_release", {**body, "description": why}, **PAYMENTS).description is None
    result = summed("get_release", body, **PAYMENTS)
    assert (result.problem, result.description) == (why, "Upgrade complete")


@pytest.mark.parametrize("tool", ["create_release", "update_release"])
def test_a_change_under_way_is_followed_and_leaves_the_values_out(summed: Any, world: World, tool: str) -> None:
    body = {**said(world, "get_release", **PAYMENTS), "status": "PENDING_UPGRADE", "status_description": "Preparing"}
    result = summed(tool, body, **PAYMENTS)
    assert result.summary == "payments/payments-api (payments-api 1.9.0), revision 5 is being upgraded."
    assert isinstance(result, ReleaseChange)
    assert (result.status, result.revision) == ("PENDING_UPGRADE", 5)
    assert [(call.tool, call.arguments) for call in result.next] == [("wait_for", waiting(PAYMENTS))]


def test_a_check_says_that_nothing_has_changed(summed: Any, world: World) -> None:
    body = {**said(world, "get_release", **PAYMENTS), "status": "PENDING_UPGRADE"}
    result = summed("update_release", body, **PAYMENTS, check_only=True)
    assert "it was only verified, nothing has changed" in result.summary
    assert (result.status, result.revision, result.next) == ("", None, [])


def test_a_removal_is_under_way_until_the_release_is_not_found(summed: Any) -> None:
    result = summed("delete_release", "success", **RELEASE)
    assert isinstance(result, ReleaseDeletion)
    assert result.summary == "The release search/search-api is being deleted."
    assert (result.namespace, result.name, result.warnings) == ("search", "search-api", [])
    assert [(call.tool, call.arguments) for call in result.next] == [("wait_for", waiting(RELEASE, until="deleted"))]


def test_a_history_comes_newest_first_and_names_the_current_revision(summed: Any, world: World) -> None:
    result = summed("get_release_history", said(world, "get_release_history", **RELEASE), **RELEASE)
    assert isinstance(result, ReleaseHistory)
    assert result.summary == "search/search-api has 2 revisions; the current one, 2, has failed."
    assert [line.revision for line in result.revisions] == [2, 1]
    assert result.revisions[0].changes == ['values.image.tag: "0.9.3" becomes "0.9.4-rc1"']
    assert result.revisions[1].note == "Install complete; Superseded by revision 2"
    assert summed("get_release_history", [], **RELEASE).summary == "search/search-api has 0 revisions."


@pytest.mark.parametrize(
    ("tool", "body"),
    [
        ("list_charts", [{}, None, 5, {"name": None, "update_at": "yesterday"}]),
        ("get_chart", {"values": "{broken", "public": "perhaps", "update_at": 0}),
        ("get_chart_values", {}),
        ("get_chart_quota", {"quotas": {"resources": [{"type": 7, "quota": "many"}]}}),
        ("list_releases", [{"status": 5, "version": "x", "status_description": {"a": 1}}]),
        ("get_release", {}),
        ("get_release", {"values": "[1]", "version": "3", "status": None, "name": ["a"]}),
        ("get_release_history", [{"version": None}, {"version": "2"}]),
        ("delete_release", {"odd": True}),
    ],
)
def test_unexpected_answers_are_still_reported(summed: Any, tool: str, body: Any) -> None:
    result = summed(tool, body)
    assert not isinstance(result, Unread)
    assert result.summary
    json.dumps(result.structured(), allow_nan=False)


@pytest.mark.parametrize(
    ("row", "said", "warning"),
    [
        ({"type": "releases", "quota": 3, "used": 9}, "did not report", "releases"),
        ({"type": "charts", "quota": 0, "used": 0}, "0 of 0", "no chart can be uploaded"),
        ({"quota": 3, "used": 3}, "3 of 3", "delete a chart"),
    ],
)
def test_only_the_quota_of_charts_is_said_to_be_that(summed: Any, row: Any, said: str, warning: str) -> None:
    found = summed("get_chart_quota", {"quotas": {"resources": [row]}})
    assert said in found.summary
    assert [warning in each for each in found.warnings] == [True]


def test_a_release_that_fails_when_it_is_checked_is_not_said_to_be_accepted(summed: Any) -> None:
    body = {"name": "shop", "namespace": "web", "status": "failed", "status_description": "hook failed"}
    found = summed("create_release", body, name="shop", check_only=True)
    assert found.summary.startswith(
        "The service would not accept this for web/shop: it has failed. Nothing has changed."
    )
    assert "hook failed" in found.summary
