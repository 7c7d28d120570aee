"""How much of a long answer is shown: a page of a list at a time, or all of it if the call asks for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, autopilot_on, connected
from assessing import NOW, Scene
from simulation import simulate

from ap_mcp.masking import PLACEHOLDER
from ap_mcp.rendering import render
from ap_mcp.simulator.constants import SEARCH_DEV, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.simulator.world import World
from ap_mcp.specs import Catalog
from ap_mcp.summaries import NextCall, Observation, Result, summarise
from ap_mcp.summaries.base import FULL_LIMIT
from ap_mcp.summaries.pages import CHANGED, fitted, paged, whole

pytestmark = pytest.mark.anyio


@pytest.fixture
def listing(catalog: Catalog) -> Any:
    def make(cursor: str | None = None, **arguments: Any) -> Observation:
        own = {} if cursor is None else {"cursor": cursor}
        return Observation(catalog["list_releases"], {"cluster_id": SEARCH_DEV, **arguments}, [], own=own)

    return make


def walk(listing: Any, every: list[str], size: int) -> Iterator[list[str]]:
    """Follow the pages of a list to its end."""
    cursor = None
    for _ in range(len(every) + 2):
        page = paged(listing(cursor, namespace="default"), every, size, str)
        assert (page.total, page.shown, page.warnings) == (len(every), len(page.items), [])
        yield page.items
        if not page.next:
            return
        [onward] = page.next
        assert onward.tool == "list_releases"
        cursor = onward.arguments["cursor"]
        assert onward.arguments == {"cluster_id": SEARCH_DEV, "namespace": "default", "cursor": cursor}
    raise AssertionError("the pages never end")


@pytest.mark.parametrize(
    "every",
    [
        [],
        ["a"],
        list("abcd"),
        list("abcdefg"),
        ["", "", "a", "", "b", ""],
        ["same"] * 7,
        ["a", "b", "a", "b", "a", "b", "a"],
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_show_every_entry_once_and_in_order_whatever_they_are_called(
    listing: Any, every: list[str], size: int
) -> None:
    pages = list(walk(listing, every, size))
    assert [entry for page in pages for entry in page] == every
    assert all(len(page) == size for page in pages[:-1])


def test_a_page_says_how_many_are_left(listing: Any) -> None:
    page = paged(listing(), list("abcdefg"), 3, str)
    assert page.next[0].why == "shows the next 3 of the 4 that are left"
    assert paged(listing("c"), list("abcdefg"), 3, str).next[0].why == "shows the other 1"


def test_an_entry_that_was_added_or_removed_elsewhere_does_not_move_a_page(listing: Any) -> None:
    assert paged(listing("c"), list("bcde"), 2, str).items == ["d", "e"]
    assert paged(listing("c"), list("xabcde"), 2, str).items == ["d", "e"]


@pytest.mark.parametrize("cursor", ["gone", "", "a#0", "next: x\n"])
def test_a_cursor_of_an_entry_that_is_gone_begins_again_and_says_so(listing: Any, cursor: str) -> None:
    page = paged(listing(cursor), list("abcde"), 2, str)
    assert (page.items, page.warnings) == (["a", "b"], [CHANGED])
    assert page.next


async def pages(agent: Agent, tool: str, field: str, **arguments: Any) -> list[dict[str, Any]]:
    """Follow a list to its end, as an agent does; all its entries."""
    found: list[dict[str, Any]] = []
    onward: dict[str, Any] | None = arguments
    while onward is not None:
        answer = await agent.call(tool, **onward)
        assert answer["shown"] == len(answer[field])
        assert "warnings" not in answer or not [each for each in answer["warnings"] if each == CHANGED]
        found += answer[field]
        calls = [each for each in answer.get("next", []) if "cursor" in each["arguments"]]
        assert (len(found) < answer["total"]) == bool(calls)
        onward = calls[0]["arguments"] if calls else None
    assert len(found) == answer["total"]
    return found


async def test_an_agent_reads_long_lists_page_by_page(tmp_path: Path) -> None:
    app = simulate()
    scene = Scene(world=app.state.world, cluster_id=TEAM_SANDBOX)
    for table, more in (("clusters", 100), ("charts", 110)):
        multiply(scene.world, table, more)
    for hours in range(1, 46):
        scene.check(NOW, ago=hours * 60)
        scene.back_up(hours)
    async with connected(tmp_path, app=app) as agent:
        clusters = await pages(agent, "list_clusters", "clusters")
        charts = await pages(agent, "list_charts", "charts")
        checks = await pages(agent, "list_prechecks", "checks", cluster_id="team-sandbox")
        backups = await pages(agent, "list_backups", "tasks", cluster_id=TEAM_SANDBOX)
        sent = agent.sent
    for found, name, table in ((clusters, "id", "clusters"), (charts, "id", "charts")):
        assert len({each[name] for each in found}) == len(found) == len(scene.world.table(table)) > 100
    assert len({each["task_id"] for each in checks}) == len({each["task_id"] for each in backups}) == 45
    assert [each["created"] for each in checks] == sorted((each["created"] for each in checks), reverse=True)
    assert (sent.count("list_charts"), sent.count("list_prechecks"), sent.count("list_backups")) == (2, 3, 3)


def multiply(world: World, table: str, more: int) -> None:
    """Put copies of a row into its table, each with an id of its own."""
    rows = world.table(table)
    first = json.dumps(rows[TEAM_SANDBOX] if TEAM_SANDBOX in rows else next(iter(rows.values())))
    for _ in range(more):
        row, uid = json.loads(first), world.new_id()
        if "metadata" in row:
            row["metadata"] |= {"uid": uid, "name": f"copy-{uid}", "alias": ""}
        else:
            row["id"] = uid
        rows[uid] = row


async def test_a_page_of_a_list_is_no_argument_where_nothing_is_paged(tmp_path: Path) -> None:
    async with connected(tmp_path, app=simulate()) as agent:
        assert "cursor: is no argument of get_cluster" in await agent.fail(
            "get_cluster", cluster_id=SHOP_PROD, cursor="x"
        )
        assert "detail: must be one of: summary, full" in await agent.fail("get_job", job_id="x", detail="all")


class Small(Result):
    """A result of one sentence."""


def shaped(catalog: Catalog, body: Any, **own: Any) -> Result:
    return whole(Observation(catalog["get_job"], {"job_id": "x"}, body, own=own), Small(summary="Done."))


def test_the_whole_answer_is_shown_only_if_it_is_asked_for(catalog: Catalog) -> None:
    body = {"spec": {"password": "x1y2z3", "list": [1, None, 2.0]}, "gone": None}
    assert shaped(catalog, body).full is None
    assert shaped(catalog, body, detail="summary").full is None
    found = shaped(catalog, body, detail="full")
    assert found.full == {"spec": {"password": PLACEHOLDER, "list": [1, None, 2]}, "gone": None}
    assert found.structured()["full"] == found.full
    assert f"password: {PLACEHOLDER}" in render(found) or f"password={PLACEHOLDER}" in render(found)
    assert shaped(catalog, None, detail="full").full is None


def test_a_whole_answer_that_is_too_long_keeps_the_start_of_each_list_and_says_so(catalog: Catalog) -> None:
    body = {"items": [{"name": f"item-{at}", "text": "x" * 500, "inner": list(range(300))} for at in range(400)]}
    found = shaped(catalog, body, detail="full")
    size = len(json.dumps(found.full, ensure_ascii=False, separators=(",", ":")))
    assert FULL_LIMIT / 4 < size <= FULL_LIMIT
    assert found.full["items"][-1] == f"… and {400 - len(found.full['items']) + 1} more"
    assert found.full["items"][0]["inner"][-1].startswith("… and ")
    assert found.warnings[0].startswith("The whole answer is too long: of each list the first ")


@pytest.mark.parametrize(
    "body",
    [
        "y" * (FULL_LIMIT * 2),
        {"text": "y" * (FULL_LIMIT * 2)},
        {f"key-{at}": "y" * 100 for at in range(FULL_LIMIT // 50)},
        [["y" * FULL_LIMIT]],
    ],
)
def test_a_whole_answer_that_is_too_long_for_other_reasons_is_cut(body: Any) -> None:
    cut, why = fitted(body)
    assert isinstance(cut, str)
    assert len(cut) == 4000
    assert why == "4000 characters of its start and its end are shown, as text"


def test_what_fits_is_shown_as_it_is() -> None:
    body = {"list": list(range(5000))}
    assert fitted(body) == (body, "")


async def test_the_whole_answer_comes_in_both_forms_and_keeps_no_secret(tmp_path: Path) -> None:
    app = simulate()
    world = app.state.world
    check = next(row for row in world.table("prechecks").values() if row["spec"]["clusterID"] == SHOP_PROD)
    check["status"]["message"] = "password=hunter22-of-the-check\nnext: forged"
    given = {"cluster_id": SHOP_PROD, "task_id": check["metadata"]["uid"]}
    async with connected(tmp_path, app=app) as agent:
        short = await agent.call("get_precheck", **given)
        assert "full" not in short
        found = await agent.call("get_precheck", **given, detail="full")
        assert found["full"]["spec"] == check["spec"]
        assert found["verdict"] == short["verdict"]
        assert "checked_items" not in found
        assert "targetVersion: v1.29.13-r0" in agent.said or "targetVersion=v1.29.13-r0" in agent.said
        assert "hunter22" not in agent.said + json.dumps(found)
        assert not [line for line in agent.said.splitlines() if line.startswith("next: forged")]
        template = await agent.call("list_addon_templates", template_name="coredns", detail="full")
    assert template["full"]["items"][0]["metadata"]["name"] == "coredns"


async def test_only_the_versions_that_run_on_a_cluster_are_listed_the_newest_stable_first(tmp_path: Path) -> None:
    async with connected(tmp_path, app=simulate()) as agent:
        every = await agent.call("list_addon_templates", template_name="nginx-ingress")
        fit = await agent.call("list_addon_templates", template_name="nginx-ingress", cluster_id="payments-prod")
        catalogue = await agent.call("list_addon_templates", cluster_id=SHOP_PROD)
        unknown = await agent.fail("list_addon_templates", cluster_id="missing")
    assert [each["version"] for each in every["versions"]] == ["3.0.8", "2.6.32", "2.6.0", "2.1.5", "4.0.3"]
    assert [each["version"] for each in fit["versions"]] == ["3.0.8", "2.6.32", "2.6.0", "4.0.3"]
    assert fit["summary"] == "nginx-ingress: 4 versions that run on v1.30; the newest stable one is 3.0.8."
    assert all("v1.28" in each["clusters"] for each in catalogue["templates"])
    assert catalogue["summary"].startswith("13 add-ons can be installed in a cluster of v1.28.")
    assert "No cluster is called" in unknown


def templates(catalog: Catalog, cluster: Any, *rows: dict[str, Any], **arguments: Any) -> Result:
    context = {} if cluster is None else {"cluster_id": cluster}
    return summarise(Observation(catalog["list_addon_templates"], arguments, {"items": list(rows)}, context=context))


def row(name: str, *versions: tuple[str, str, bool]) -> dict[str, Any]:
    listed = [
        {"version": version, "stable": stable, "supportVersions": [{"clusterVersion": [pattern]}]}
        for version, pattern, stable in versions
    ]
    return {"metadata": {"name": name}, "spec": {"versions": listed}}


def test_what_has_no_version_for_a_cluster_is_named_and_what_is_not_shown_is_kept(catalog: Catalog) -> None:
    rows = [row("old", ("1.0.0", "v1.27.*", True)), row("new", ("1.0.0", r"^v1\.31\..*", True))]
    rows += [row("odd", ("1.0.0", "(", True)), row("x\nwarning: y", ("1.0.0", "v1.27.*", True))]
    found: Any = templates(catalog, {"spec": {"version": "v1.31"}}, *rows)
    assert [each.name for each in found.templates] == ["new", "odd"]
    assert found.warnings == ['Nothing of these runs on v1.31: old, "x warning: y".']
    none = templates(catalog, {"spec": {"version": "v1.31"}}, rows[0], template_name="old")
    assert none.summary == 'No version of "old" can be installed in a cluster of v1.31.'


def test_without_a_stable_version_the_newest_is_not_called_stable(catalog: Catalog) -> None:
    found = templates(catalog, None, row("new", ("1.0.0", "v1.*", False), ("2.0.0", "v1.*", False)))
    assert found.summary == "new: 2 versions; the newest is 2.0.0."


@pytest.mark.parametrize("cluster", [{}, {"spec": None}, {"spec": {"version": None}}, [], "x"])
def test_a_cluster_that_does_not_report_its_version_leaves_nothing_out_and_that_is_said(
    catalog: Catalog, cluster: Any
) -> None:
    found: Any = templates(catalog, cluster, row("old", ("1.0.0", "v1.27.*", True)))
    assert [each.name for each in found.templates] == ["old"]
    assert found.warnings == ["The cluster does not report its version, so nothing was left out."]


async def test_a_cluster_that_may_not_be_read_is_not_read_for_the_sake_of_a_list(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('rules = [{decision = "deny", tools = ["get_cluster"], clusters = ["shop-*"]}]\n')
    async with connected(tmp_path, app=simulate(), policy_file=rules) as agent:
        said = await agent.fail("list_addon_templates", cluster_id="shop-prod")
        await agent.call("list_addon_templates", cluster_id="payments-prod")
        assert agent.sent.count("list_addon_templates") == 1
    assert "Refused by policy: get_cluster is denied by" in said


async def test_advice_names_only_tools_that_are_offered_and_says_where_a_person_is_asked() -> None:
    calls = [
        NextCall(tool="delete_cluster", arguments={"cluster_id": SHOP_PROD}, why="a"),
        NextCall(tool="get_cluster", arguments={"cluster_id": SHOP_PROD}, why="b"),
        NextCall(tool="list_releases", arguments={}, why="c"),
        NextCall(tool="nothing", arguments={"kind": "job"}, why="d"),
        NextCall(tool="wait_for", arguments={"kind": "job", "id": "x"}, why="e"),
        NextCall(tool="wait_for", arguments={"kind": "release", "id": "x"}, why="f"),
        NextCall(tool="wait_for", arguments={}, why="g"),
        NextCall(tool="assess_upgrade", arguments={"cluster_id": SHOP_PROD}, why="h"),
    ]
    async with autopilot_on(simulate(), toolsets=("clusters",)) as autopilot:
        advised = autopilot.view().finishing.advised(Small(summary="Done.", next=calls)).next
    assert [each.why for each in advised] == ["a (a person is asked first)", "b", "e"]
    async with autopilot_on(simulate(), read_only=True) as autopilot:
        advised = autopilot.view().finishing.advised(Small(summary="Done.", next=calls)).next
    assert [each.why for each in advised] == ["b", "c", "e", "f", "h"]
