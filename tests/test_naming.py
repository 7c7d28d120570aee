"""A name stands wherever an id stands, and a short version for the one that is offered."""

import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import connected
from guarded import Person, account, guarded_account
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.errors import AmbiguousName, CallRefused, NameNotFound
from ap_mcp.naming import UUID, found, name_given, whole_version
from ap_mcp.rules.versions import meant_by
from ap_mcp.simulator.chart_seed import PAYMENTS_API, REDIS
from ap_mcp.simulator.constants import CHECKOUT_STAGING, SEARCH_DEV
from ap_mcp.specs import load_catalog

pytestmark = pytest.mark.anyio

CATALOG = load_catalog()
NAMED = CATALOG.named
TOOLS = [(name, operation.id) for name in NAMED for operation in CATALOG.values() if name in operation.arguments]
QUERY_CACHE = {"cluster_id": SEARCH_DEV, "namespace": "default", "name": "query-cache"}
READS: dict[str, dict[str, Any]] = {
    **{each: {"chart_id": REDIS} for each in ("get_chart", "get_chart_values", "download_chart")},
    "get_release": QUERY_CACHE,
    "get_release_history": QUERY_CACHE,
    "list_releases": {"cluster_id": SEARCH_DEV, "chart_id": REDIS},
}
"""Calls beside those of the guarded tools."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("names")
    return folder, *anyio.run(guarded_account, folder)


def test_every_id_of_what_has_a_name_can_be_found_by_it() -> None:
    assert set(NAMED) == {"cluster_id", "addon_id", "chart_id", "namespace"}
    optional = {(each.id, name) for each in CATALOG.values() for name, one in each.arguments.items() if _found(one)}
    assert optional == {
        (each, "namespace") for each in ("get_release", "update_release", "delete_release", "get_release_history")
    }


def _found(argument: Any) -> bool:
    return argument.path_parameter is not None and argument.required is False


def by_name(world: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the same call with names, in blanks, for every id in it."""
    wanted = dict(arguments)
    clusters, addons, charts = (world.table(each) for each in ("clusters", "addons", "charts"))
    if uid := wanted.get("cluster_id"):
        wanted["cluster_id"] = f" {clusters[uid]['metadata']['name']}\t"
    if uid := wanted.get("addon_id"):
        wanted["addon_id"] = f"{addons[uid]['spec']['addonTemplateName']} "
    if uid := wanted.get("chart_id"):
        wanted["chart_id"] = f" {charts[uid]['name']}:{charts[uid]['version']}\n"
    return wanted


async def test_a_name_and_an_id_ask_the_same_question_about_the_same_request(prepared: Any) -> None:
    folder, state, calls = prepared
    swept = set()
    async with connected(folder, app=account(state), chart_roots=(folder,)) as agent:
        for tool, arguments in calls.items():
            named = by_name(agent.world, arguments)
            if tool in ("update_release", "delete_release"):
                del named["namespace"]
            if named == arguments:
                continue
            asked = [await agent.call(tool, dry_run=True, **each) for each in (arguments, named)]
            for each in asked:
                each.pop("request_id", None)
            assert asked[0] == asked[1], tool
            swept |= {(name, tool) for name in NAMED if name in arguments}
        for tool, arguments in READS.items():
            named = by_name(agent.world, arguments)
            if tool.startswith("get_release"):
                del named["namespace"]
            shown = []
            for each in (arguments, named):
                before = len(agent.sent)
                result = await agent.call(tool, **each)
                shown.append({key: value for key, value in result.items() if key not in ("request_id", "raw", "file")})
                assert agent.sent[before:].count(tool) == 1
            text = [str(each).replace("-2.tgz", ".tgz") for each in shown]
            assert text[0] == text[1], tool
            swept |= {(name, tool) for name in NAMED if name in arguments}
    missed = {(name, tool) for name, tool in TOOLS if name in ("addon_id", "chart_id")} - swept
    assert missed == {("addon_id", "get_addon")}  # below


async def test_what_is_given_by_name_is_sent_and_bound_by_id(prepared: Any) -> None:
    folder, state, calls = prepared
    person = Person()
    given = {"cluster_id": "search-dev", "addon_id": "log-agent"}
    async with connected(folder, app=account(state), person=person, unasked=False, mode="legacy") as agent:
        addon = calls["delete_addon"]["addon_id"]
        shown = await agent.call("get_addon", **given)
        assert shown["id"] == addon
        await agent.call("delete_addon", **given)
        assert agent.sent[-1] == "delete_addon"
        assert addon in str(person.read)


@pytest.mark.parametrize("kind", ["addon", "release"])
async def test_a_wait_takes_a_name_too(prepared: Any, kind: str) -> None:
    folder, state, calls = prepared
    async with connected(folder, app=account(state)) as agent:
        uid = calls["delete_addon"]["addon_id"] if kind == "addon" else "query-cache"
        name = "log-agent" if kind == "addon" else "query-cache"
        where = {} if kind == "addon" else {"namespace": "default"}
        by_id = await agent.call("wait_for", kind=kind, id=uid, cluster_id=SEARCH_DEV, **where)
        named = await agent.call("wait_for", kind=kind, id=name, cluster_id="search-dev")
        assert (named["verdict"], named["found"]) == (by_id["verdict"], by_id["found"])


async def test_a_name_of_several_things_lists_them_and_of_none_the_nearest(prepared: Any) -> None:
    folder, state, _ = prepared
    async with connected(folder, app=account(state)) as agent:
        said = await agent.fail("delete_chart", chart_id="payments-api")
        assert said.startswith('2 charts are called "payments-api". Give one id or name:version:')
        assert f"\n- {PAYMENTS_API} payments-api:1." in said
        said = await agent.fail("get_chart", chart_id="redi")
        assert said == 'No chart is called "redi". Did you mean redis or redis:18.6.1? list_charts shows all.'
        said = await agent.fail("get_addon", cluster_id=SEARCH_DEV, addon_id="CoreDNS")
        assert said.startswith('No add-on of this cluster is called "CoreDNS". Did you mean coredns?')
        # What the service takes by its name is sent as it is; names like it are read where it fits nothing.
        nearest = {"nginx": "nginx-ingress", "prometheus": "cie-collector (alias kube-prometheus-stack)"}
        for wrong, right in nearest.items():
            meant = f'No add-on template is called "{wrong}". Did you mean {right}? list_addon_templates shows all.'
            assert meant in await agent.fail("install_addon", cluster_id=SEARCH_DEV, template_name=wrong)
            assert (await agent.call("list_addon_templates", template_name=wrong))["summary"] == meant
        said = await agent.fail("install_addon", cluster_id=SEARCH_DEV, template_name="nginx-ingress", version="0.0.1")
        assert "No add-on template" not in said
        # An alias stands beside its name, and leads to it: one thing must not look like two.
        for wrong in ("payment", "payments-prd"):
            said = await agent.fail("get_cluster", cluster_id=wrong)
            assert "Did you mean payments-prod (alias payments)?" in said
        assert "payments-prod (alias payments)," in await agent.fail("get_cluster", cluster_id="zzz")
        said = await agent.fail("get_addon", cluster_id="shop-prod", addon_id="kube-prometheus-stck")
        assert "Did you mean cie-collector (alias kube-prometheus-stack)?" in said
        rows = agent.world.table("releases")
        twin = next(row for row in rows.values() if row["name"] == "query-cache")
        rows["twin"] = {**twin, "namespace": "other"}
        said = await agent.fail("delete_release", cluster_id=SEARCH_DEV, name="query-cache")
        assert said.startswith('2 releases are called "query-cache". Give one namespace:\n- default query-cache (')


async def test_every_release_is_found_by_its_name_however_many_share_its_namespace(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        rows = [*agent.world.table("releases").values()]
        places = [(each["cluster_id"], each["namespace"]) for each in rows]
        assert len(set(places)) < len(places)
        for each in rows:
            if sum(row["name"] == each["name"] and row["cluster_id"] == each["cluster_id"] for row in rows) == 1:
                shown = await agent.call("get_release", cluster_id=each["cluster_id"], name=each["name"])
                assert (shown["namespace"], shown["name"]) == (each["namespace"], each["name"])


async def test_a_rule_about_the_list_holds_for_a_name_as_well(prepared: Any, tmp_path: Path) -> None:
    folder, state, _ = prepared
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["list_addons"]\n')
    async with connected(folder, app=account(state), policy_file=path) as agent:
        assert "Refused by policy: list_addons" in await agent.fail(
            "get_addon", cluster_id=SEARCH_DEV, addon_id="coredns"
        )
        assert "get_addon" not in agent.sent


NAMES = st.sampled_from(
    ["web", "Web", "web:1.0", "1.0", "web-1", "4d90b7e2-6e18-11ef-8f53-0255ac100c03", "id-1", "a", ""]
)
IDS = st.sampled_from(["id-1", "id-2", "web", "4d90b7e2-6e18-11ef-8f53-0255ac100c03", "..", "", None, 7])
ROWS = st.lists(st.fixed_dictionaries({"id": IDS, "name": NAMES, "version": st.sampled_from(["1.0", "2.0", None])}))


@given(ROWS, NAMES)
def test_a_look_alike_is_never_taken_for_the_thing(rows: list[dict[str, Any]], wanted: str) -> None:
    lister, names = NAMED["chart_id"]
    usable = [row for row in rows if isinstance(row["id"], str) and row["id"] not in ("", "..")]
    ids = {row["id"] for row in usable}
    called = {
        row["id"]
        for row in usable
        if wanted and wanted in (row["name"], f"{row['name']}:{row['version']}")
        if row["name"]
    }
    try:
        uid = found(names, lister, rows, wanted)
    except AmbiguousName:
        assert wanted not in ids
        assert len(called) > 1
    except NameNotFound:
        assert wanted not in ids
        assert not called
    else:
        assert uid == wanted or called == {uid}


def test_what_looks_like_an_id_is_one() -> None:
    _, names = NAMED["chart_id"]
    assert UUID.fullmatch(REDIS)
    assert name_given(names, {"chart_id": REDIS.upper()}, None) is None
    assert name_given(names, {"chart_id": f"{REDIS}x"}, None) == f"{REDIS}x"


PATCHES = ["v1.30.10-r0", "v1.30.4-r2", "v1.31.6-r0", "v1.3.1-r0", "v1.31.6-r2", "v1.31.60-r0", "1.7.1", "1.70.1"]


@given(
    st.lists(st.sampled_from(PATCHES), unique=True),
    st.from_regex(r"[vV]?1(\.[0-9]{1,2}){0,2}(-r[0-9])?", fullmatch=True),
)
def test_a_short_version_means_only_what_it_begins(offered: list[str], wanted: str) -> None:
    bare = wanted.lower().removeprefix("v")
    for each in meant_by(wanted, offered):
        assert each in offered
        assert re.match(rf"v?{re.escape(bare)}([.-]|$)", each)


@pytest.mark.parametrize("short", ["1.30", "v1.30", "1.30.10", "v1.30.10", "V1.30.10-R0", " v1.30.10-r0 "])
async def test_a_short_version_is_sent_whole(prepared: Any, short: str) -> None:
    folder, state, _ = prepared
    where = {"cluster_id": CHECKOUT_STAGING}
    async with connected(folder, app=account(state)) as agent:
        checked = await agent.call("run_precheck", target_version=short, **where)
        assert checked["target_version"] == "v1.30.10-r0"
        assert agent.sent == ["get_upgrade_info", "run_precheck"]
        assessed = await agent.call("assess_upgrade", target_version=short, **where)
        assert assessed["to_version"] == "v1.30.10-r0"


async def test_a_version_that_fits_none_or_several_is_refused_with_those_there_are(prepared: Any) -> None:
    folder, state, _ = prepared
    where = {"cluster_id": CHECKOUT_STAGING}
    async with connected(folder, app=account(state)) as agent:
        said = await agent.fail("run_precheck", target_version="1.3", **where)
        assert "1.3 is not offered. Offered: v1.29.13-r0, v1.30.10-r0, v1.31.6-r0" in said
        said = await agent.fail("install_addon", template_name="log-agent", version="1", **where)
        assert "version: 1 could be any of 1.7.1, 1.6.0, 1.5.2. Give one of them" in said
        assert "run_precheck" not in agent.sent


def test_a_version_that_may_exist_all_the_same_is_left_to_the_service() -> None:
    offered = CATALOG["create_cluster"].arguments["version"].offered
    assert offered is not None
    body = {"upgradePaths": [{"version": "v1.30", "targetVersions": ["v1.31.6-r0"]}]}
    said = {each: whole_version("version", offered, body, each) for each in ("1.30", "1.31.6", "1.99", "v1.31.6-r0")}
    assert said == {"1.30": "v1.30", "1.31.6": "v1.31.6-r0", "1.99": "1.99", "v1.31.6-r0": "v1.31.6-r0"}
    with pytest.raises(CallRefused, match="could be any of"):
        whole_version(
            "version", offered, {"upgradePaths": [{"targetVersions": ["v1.31.6-r0", "v1.31.6-r2"]}]}, "1.31.6"
        )


async def test_a_short_version_of_an_addon_in_an_upgrade_is_sent_whole(prepared: Any) -> None:
    folder, state, _ = prepared
    where = {"cluster_id": CHECKOUT_STAGING, "target_version": "1.30"}
    async with connected(folder, app=account(state)) as agent:
        only = [{"name": "coredns", "version": "1.99"}]
        said = await agent.fail("upgrade_cluster", addons=only, dry_run=True, **where)
        assert "addons.0.version: 1.99 is not offered. Offered: " in said
        several = [{"name": "coredns", "version": "1.30.29"}, {"name": "log-agent", "version": "1"}]
        said = await agent.fail("upgrade_cluster", addons=several, dry_run=True, **where)
        assert "addons.1.version: 1 could be any of 1.7.1, 1.6.0, 1.5.2" in said
        only = [{"name": "coredns", "version": "v1.29"}]
        shown = await agent.call("upgrade_cluster", addons=only, dry_run=True, **where)
    sent = shown["request"]["body"]["spec"]["clusterUpgradeAction"]["addons"]
    assert [(each["addonTemplateName"], each["version"]) for each in sent] == [("coredns", "1.29.4")]


STORED = st.lists(st.sampled_from(["1.2.0", "1.2.7", "1.20.0", "2.0.0", "2.0.0-rc1"]), unique=True, min_size=1)


@given(STORED, st.from_regex(r"v?[12](\.[0-9]{1,2}){0,2}", fullmatch=True))
def test_a_name_with_a_short_version_means_the_one_stored_chart_that_fits(stored: list[str], short: str) -> None:
    lister, names = NAMED["chart_id"]
    rows = [{"id": f"id-{each}", "name": "web", "version": each} for each in stored]
    rows += [{"id": "other", "name": "web-api", "version": "1.2.0"}]
    fitting = meant_by(short, stored)
    if len(fitting) == 1:
        assert found(names, lister, rows, f"web:{short}") == f"id-{fitting[0]}"
        return
    with pytest.raises(AmbiguousName if fitting else NameNotFound) as refused:
        found(names, lister, rows, f"web:{short}")
    assert all(f"web:{each}" in str(refused.value) for each in fitting)


async def test_a_short_version_of_a_chart_is_sent_whole(prepared: Any) -> None:
    folder, state, _ = prepared
    release = {"cluster_id": SEARCH_DEV, "namespace": "default", "name": "short", "chart_id": "redis:18"}
    async with connected(folder, app=account(state)) as agent:
        made = await agent.call("create_release", version="v18.6", **release)
    assert made["chart"] == "redis 18.6.1"  # The service refuses every version but the chart's own.
