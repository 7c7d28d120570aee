"""The operator's rules hold for every read on the way to another answer: what they close is neither read nor shown."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from agent import connected
from canaries import harmless_calls
from consenting import KINDS, TOOLS, Prepared, prepare
from guarded import unchecked

from ap_mcp.simulator.chart_seed import PAYMENTS_API, REDIS
from ap_mcp.simulator.constants import CHECKOUT_STAGING, PAYMENTS_PROD, SEARCH_DEV, SHOP_PROD
from ap_mcp.specs import load_catalog
from ap_mcp.wait import WAIT_FOR

pytestmark = pytest.mark.anyio

CANARY = "CanaryOfAClosedCluster"
FORBIDDEN = "a rule forbids it"
OF_PAYMENTS = {"cluster_id": PAYMENTS_PROD}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


def rules(folder: Path, *lines: str) -> Path:
    path = folder / "policy.toml"
    path.write_text("".join(f"[[rules]]\n{line}\n" for line in lines))
    return path


def reads_in(sent: Collection[str]) -> set[str]:
    catalog = load_catalog()
    return {each for each in sent if each in catalog and catalog[each].worst_effect == "read"}


async def run(
    folder: Path, prepared: Prepared, tool: str, arguments: dict[str, Any], *lines: str
) -> tuple[str, bool, list[str]]:
    """Call a tool under rules; return all that it said, whether it was an error, and what was sent."""
    settings: dict[str, Any] = {"policy_file": rules(folder, *lines)} if lines else {}
    app, roots = unchecked(prepared.state), (prepared.folder, folder)
    async with connected(folder, app=app, chart_roots=roots, unasked=False, **settings) as agent:
        result = await agent.run(tool, arguments)
        said = agent.said + json.dumps(result.structured_content, ensure_ascii=False)
        return said, bool(result.is_error), agent.sent


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_read_that_a_rule_denies_is_not_made_for_an_impact(
    tmp_path: Path, prepared: Prepared, tool: str
) -> None:
    arguments = {**prepared.calls[tool], "dry_run": True}
    _, refused, sent = await run(tmp_path, prepared, tool, arguments)
    assert not refused
    made = reads_in(sent)
    reasons = [("deny", FORBIDDEN)]
    if tool in KINDS:
        reasons.append(("ask", "a rule wants a person asked before it"))
    assert made, f"{tool} is shown without a look at anything"
    for each in sorted(made):
        for decision, why in reasons:
            rule = f'decision = "{decision}"\ntools = ["{each}"]'
            said, refused, sent = await run(tmp_path, prepared, tool, arguments, rule)
            assert each not in sent, f"{tool} reads {each}"
            if refused:
                assert each in said, said
                assert "othing was sent" in said
            else:
                assert f"not read: {why}" in said, f"{tool} without {each}: {said}"


@pytest.fixture(scope="module")
def marked(prepared: Prepared) -> Prepared:
    """The account with a mark in all that is in two clusters, but their names and ids."""
    state = json.loads(json.dumps(prepared.state))
    for table, rows in state["tables"].items():
        for row in rows.values():
            if PAYMENTS_PROD in json.dumps(row) and table not in ("clusters", "charts"):
                for place in ("_namespace", "namespace"):
                    if place in row:
                        row[place] = f"{row[place]}-{CANARY.lower()}"
                for key in ("description", "_description"):
                    row[key] = CANARY
    cluster = state["tables"]["clusters"][PAYMENTS_PROD]
    cluster["spec"]["description"] = CANARY
    cluster["spec"].setdefault("clusterTags", []).append({"key": "canary", "value": CANARY})
    return Prepared(state, prepared.calls, prepared.folder)


@pytest.mark.parametrize("rule", ['effects = ["read"]', 'tools = ["get_cluster"]', 'tools = ["get_*", "list_*"]'])
async def test_what_is_in_a_cluster_that_is_closed_is_not_told_by_tools_on_no_cluster(
    tmp_path: Path, marked: Prepared, rule: str
) -> None:
    closed = f'decision = "deny"\n{rule}\nclusters = ["payments-prod"]'
    for tool, arguments in (
        ("delete_chart", {"chart_id": PAYMENTS_API}),
        ("update_chart", {**marked.calls["update_chart"], "chart_id": PAYMENTS_API}),
        ("delete_chart", {"chart_id": REDIS}),
        ("upload_chart", marked.calls["upload_chart"]),
    ):
        whole, refused, sent = await run(tmp_path, marked, tool, {**arguments, "dry_run": True})
        assert not refused
        assert "list_releases" in sent
        said, refused, _ = await run(tmp_path, marked, tool, {**arguments, "dry_run": True}, closed)
        assert not refused
        assert f"not read: {FORBIDDEN}" in said
        assert "a cluster closed to reading" in said
        for name in ("payments-prod", "payments/payments-api", "sessions-redis", CANARY, CANARY.lower()):
            assert name not in said, f"{tool}: {said}"
        assert "in payments-prod: chart" in whole


async def test_nothing_is_told_of_a_closed_cluster_by_any_tool_that_names_it(tmp_path: Path, marked: Prepared) -> None:
    closed = 'decision = "deny"\neffects = ["read"]\nclusters = ["payments-prod"]'
    calls = {**harmless_calls(marked.state, tmp_path), **marked.calls}
    app, roots = unchecked(marked.state), (marked.folder, tmp_path)
    settings: dict[str, Any] = {"policy_file": rules(tmp_path, closed), "chart_roots": roots, "unasked": False}
    tried = 0
    assert CANARY in (await run(tmp_path, marked, "get_cluster", OF_PAYMENTS))[0]
    async with connected(tmp_path, app=app, **settings) as agent:
        for tool, arguments in calls.items():
            if "cluster_id" not in arguments:
                continue
            for named in (PAYMENTS_PROD, "payments-prod", "payments"):
                wanted = {**arguments, "cluster_id": named}
                wanted |= {"dry_run": True} if tool in TOOLS else {}
                result = await agent.run(tool, wanted)
                said = agent.said + result.model_dump_json()
                assert CANARY not in said, f"{tool}: {said}"
                tried += bool(result.is_error) and "denied by policy.toml" in said
        await agent.run(WAIT_FOR, {"kind": "cluster", "id": "payments-prod", "wait_s": 0})
        assert "denied" in agent.said
    assert tried > 3 * 30


async def test_other_clusters_stay_open_where_one_is_closed(tmp_path: Path, prepared: Prepared) -> None:
    closed = 'decision = "deny"\neffects = ["read"]\nclusters = ["payments-prod"]'
    for cluster_id in (SHOP_PROD, SEARCH_DEV, CHECKOUT_STAGING):
        _, refused, _ = await run(tmp_path, prepared, "list_releases", {"cluster_id": cluster_id}, closed)
        assert not refused
