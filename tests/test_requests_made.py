"""How many requests a call makes: a read decides once, and within one set of reads nothing is read twice."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent, connected
from guarded import Person, account, guarded_account
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from ap_mcp.guard import policy
from ap_mcp.simulator.constants import TEAM_SANDBOX

pytestmark = pytest.mark.anyio

READS = ["get_cluster", "list_releases", "list_addons", "get_cluster_endpoints"]
"""What is read for the impact of a cluster's deletion."""
UPGRADE = [
    *("get_cluster", "get_upgrade_info", "list_prechecks", "list_upgrade_tasks", "list_backups", "list_addons"),
    *("list_addon_templates", "list_addon_templates"),
]
ASSESSMENT = [
    *("get_cluster", "get_upgrade_info", "list_upgrade_paths", "get_upgrade_feature_gates", "list_prechecks"),
    *("list_backups", "list_addons", "list_upgrade_tasks", "list_upgrade_workflows"),
    *("list_addon_templates", "list_addon_templates"),
]
ADDON = ["get_cluster", "get_addon", "list_addon_templates"]
EVERY_RULE = '[[rules]]\ndecision = "deny"\nclusters = ["nothing"]\ntools = ["*_*"]\n'


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("requests")
    return folder, *anyio.run(guarded_account, folder)


async def sent(
    prepared: tuple[Path, Any, Any], tool: str, arguments: dict[str, Any] | None = None, **settings: Any
) -> list[str]:
    folder, state, calls = prepared
    given = {"chart_roots": (folder,), "unasked": False, "mode": "legacy", **settings}
    async with connected(folder, app=account(state), person=Person(), **given) as agent:
        await agent.call(tool, **(arguments or calls[tool]))
        return agent.sent


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_typical_calls_make_no_request_more_than_they_need(prepared: tuple[Path, Any, Any], mode: str) -> None:
    by_name = {"cluster_id": "team-sandbox"}
    assert await sent(prepared, "list_clusters", {"status": "Available"}, mode=mode) == ["list_clusters"]
    assert await sent(prepared, "get_cluster", {"cluster_id": TEAM_SANDBOX}, mode=mode) == ["get_cluster"]
    assert await sent(prepared, "backup_cluster", by_name, mode=mode) == ["list_clusters", "backup_cluster"]
    assert await sent(prepared, "delete_cluster", by_name, mode=mode) == [
        "list_clusters",
        *READS,
        *READS,
        "delete_cluster",
    ]
    assert await sent(prepared, "update_addon", mode=mode) == [*ADDON, *ADDON, "update_addon"]
    # The minor version is replaced by the offered patch first; what that takes is read once in each look.
    reads = ["get_upgrade_info", *(each for each in UPGRADE if each != "get_upgrade_info")]
    assert await sent(prepared, "upgrade_cluster", mode=mode) == [
        *reads,
        *(reads if mode == "auto" else UPGRADE),
        "upgrade_cluster",
    ]
    assert await sent(prepared, "assess_upgrade", {"cluster_id": "checkout-staging"}, mode=mode) == [
        "list_clusters",
        *ASSESSMENT,
    ]
    assert await sent(prepared, "wait_for", {"kind": "cluster", "id": TEAM_SANDBOX}, mode=mode) == ["get_cluster"]


async def test_a_name_costs_one_list_and_an_id_none(prepared: tuple[Path, Any, Any]) -> None:
    _, _, calls = prepared
    by_id = calls["update_addon"]
    assert await sent(prepared, "update_addon", {**by_id, "addon_id": "log-agent"}) == [
        *("list_addons", *ADDON),
        *(*ADDON, "update_addon"),
    ]
    chart = calls["delete_chart"]["chart_id"]
    release = calls["delete_release"]
    assert await sent(prepared, "get_chart", {"chart_id": chart}) == ["get_chart"]
    assert await sent(prepared, "get_chart", {"chart_id": "redis"}) == ["list_charts", "get_chart"]
    # A deployed release has workloads in its cluster: each kind of them is read there.
    read = ["get_release", "get_cluster", "kubernetes_get_statefulsets"]
    assert await sent(prepared, "get_release", release) == read
    found = {key: value for key, value in release.items() if key != "namespace"}
    assert await sent(prepared, "get_release", found) == ["list_releases", *read]
    # Deleting reads the releases for what a person is shown: the same list, within one look.
    once = await sent(prepared, "delete_release", found)
    assert once[: len(once) // 2].count("list_releases") == 1


async def test_rules_about_clusters_cost_no_request_where_the_cluster_is_read_anyway(
    prepared: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(EVERY_RULE)
    by_name = {"cluster_id": "team-sandbox"}
    ruled: dict[str, Any] = {"policy_file": path}
    assert await sent(prepared, "delete_cluster", by_name, **ruled) == [
        "list_clusters",
        *READS,
        *READS,
        "delete_cluster",
    ]
    assert await sent(prepared, "get_cluster", {"cluster_id": TEAM_SANDBOX}, **ruled) == ["get_cluster"]
    assessed = await sent(prepared, "assess_upgrade", {"cluster_id": "checkout-staging"}, **ruled)
    assert assessed == ["list_clusters", *ASSESSMENT]


async def test_a_name_that_means_another_cluster_by_the_time_of_the_answer_is_searched_again(
    prepared: tuple[Path, Any, Any],
) -> None:
    folder, state, _ = prepared

    class Renaming(Person):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            found = await super().__call__(context, params)
            agent.world.table("clusters")[TEAM_SANDBOX]["metadata"] |= {"name": "another", "alias": "another"}
            return found

    async with connected(folder, app=account(state), person=Renaming(), unasked=False) as agent:
        said = await agent.fail("delete_cluster", cluster_id="team-sandbox")
        assert "No cluster is called" in said
        assert agent.sent == ["list_clusters", *READS, "get_cluster", "list_clusters"]


async def test_a_plain_read_is_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decided = []

    def explain(subject: Any, rules: Any) -> Any:
        decided.append(subject.tool)
        return original(subject, rules)

    original = policy.explain
    monkeypatch.setattr(policy, "explain", explain)
    path = tmp_path / "policy.toml"
    path.write_text(EVERY_RULE)
    given: list[dict[str, Any]] = [{}, {"policy_file": path}]
    for settings in given:
        async with connected(tmp_path, **settings) as agent:
            await agent.call("get_cluster", cluster_id=TEAM_SANDBOX)
            await agent.call("list_charts")
        assert decided == ["get_cluster", "list_charts"]
        decided.clear()


async def test_what_failed_within_a_set_of_reads_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(EVERY_RULE)
    async with connected(tmp_path, policy_file=path, unasked=False) as agent:
        await refused(agent)
        assert agent.sent == ["get_cluster"]


async def refused(agent: Agent) -> None:
    agent.app.state.faults.inject("html", "get_cluster", times=None, value=403)
    said = await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX)
    assert "the cluster could not be read" in said
