"""What every client can rely on, whatever it calls and whichever era of the protocol it speaks."""

import copy
import json
import logging
import re
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from agent import Agent, autopilot_on, connected, text_of
from consenting import KINDS
from deciding import effect_of
from guarded import IN_CLUSTERS, account, guarded_account
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ResourceLink, TextResourceContents
from simulation import simulate, touched

from ap_mcp import __version__
from ap_mcp.masking import PLACEHOLDER
from ap_mcp.protocol import build_server, instructions
from ap_mcp.response_store import LocalResponseStore
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.chart_seed import PAYMENTS_API, REDIS
from ap_mcp.simulator.constants import LEGACY_IMPORT, PAYMENTS_PROD, SEARCH_DEV, SECRET_KEY, TEAM_SANDBOX
from ap_mcp.specs import Catalog, load_catalog
from ap_mcp.toolbox import ESSENTIAL, toolbox

pytestmark = pytest.mark.anyio

ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
ANY_ID = "3d7c0a52-5c1e-11ef-9a41-0255ac100d01"
RELEASE = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}


def text_in(contents: list[Any]) -> str:
    assert all(isinstance(each, TextResourceContents) for each in contents)
    return "".join(each.text for each in contents)


async def offered(agent: Agent) -> set[str]:
    """Names of the operations that are offered as tools."""
    return {tool.name for tool in (await agent.client.list_tools()).tools} & set(agent.autopilot.catalog)


async def session(agent: Agent) -> list[Any]:
    """A bit of everything, as data that must be the same in both eras."""
    seen: list[Any] = [(await agent.client.list_tools()).tools]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_clusters", {"status": "Available"}),
        ("get_cluster", {"cluster_id": "payments", "with_addons": True}),
        ("add_cluster_tags", {"cluster_id": "search-dev", "tags": {"env": "prüfung"}}),
        ("delete_cluster", {"cluster_id": "team-sandbox"}),
        ("get_release", RELEASE),
        ("get_cluster", {"cluster_id": "absent"}),
        ("get_job", {"job_id": ANY_ID}),
        ("create_cluster", {"name": 7}),
        ("no_such_tool", {}),
    ]
    for tool, arguments in calls:
        result = await agent.run(tool, arguments)
        seen.append(re.sub(r"responses/[\w-]+", "responses/…", result.model_dump_json(exclude={"meta"})))
        links = [block.uri for block in result.content if isinstance(block, ResourceLink)]
        seen += [text_in((await agent.client.read_resource(uri)).contents) for uri in links]
    seen.append((await agent.client.list_resource_templates()).resource_templates)
    return [*seen, (await agent.client.list_resources()).resources, agent.app.state.log]


@pytest.mark.parametrize("mode", ERAS)
async def test_an_answer_that_does_not_fit_what_clients_were_shown_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    schema = {"type": "object", "required": ["nothing"]}
    shown = [tool.model_copy(update={"output_schema": schema}) for tool in toolbox(load_catalog()).shown]
    monkeypatch.setattr("ap_mcp.toolbox.Toolbox.shown", shown)
    async with connected(tmp_path, mode=mode) as agent:
        await agent.client.list_tools()
        with pytest.raises(RuntimeError, match="Invalid structured content returned by tool list_charts"):
            await agent.call("list_charts")


async def test_both_eras_of_the_protocol_give_the_same_answers(tmp_path: Path) -> None:
    sessions = {}
    for mode, version in ERAS.items():
        async with connected(tmp_path, mode=mode) as agent:
            assert agent.client.protocol_version == version
            sessions[mode] = await session(agent)
    assert sessions["auto"] == sessions["legacy"]


@pytest.mark.parametrize("mode", ERAS)
async def test_the_server_says_who_it_is_and_that_it_is_simulated(tmp_path: Path, mode: str) -> None:
    async with connected(tmp_path, mode=mode) as agent:
        info = agent.client.server_info
        assert info is not None
        assert (info.name, info.version) == ("ap-mcp", f"{__version__}+simulated")
        assert info.title is not None
        assert "simulated" in info.title
        assert (agent.client.instructions or "").startswith("SIMULATED: nothing here is real")


def test_a_server_on_the_cloud_does_not_say_simulated() -> None:
    real = autopilot_on(simulate())
    real.simulated = False
    server = build_server(real)
    assert "simulated" not in f"{server.version} {server.title} {server.instructions}".lower()


@pytest.mark.parametrize("mode", ERAS)
async def test_what_is_not_there_is_a_protocol_error_for_resources_and_a_tool_error_for_tools(
    tmp_path: Path, mode: str
) -> None:
    async with connected(tmp_path, mode=mode) as agent:
        said = await agent.fail("get_clutser", cluster_id="x")
        assert said.startswith('There is no tool "get_clutser" here. Did you mean get_cluster')
        for uri in ("autopilot://responses/nothing", "autopilot://elsewhere/1", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="Resource not found") as caught:
                await agent.client.read_resource(uri)
            assert caught.value.error.code == (-32002 if mode == "legacy" else INVALID_PARAMS)
        assert agent.sent == []


async def test_a_call_without_arguments_needs_none(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        assert not (await agent.client.call_tool("list_charts")).is_error


async def test_the_whole_answer_is_kept_masked_for_whoever_asked(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        shown = await agent.call("get_release", **RELEASE)
        assert f"whole answer: {shown['raw']}" in agent.said
        kept = text_in((await agent.client.read_resource(shown["raw"])).contents)
        assert json.loads(kept)["chart_version"] == "1.9.0"
        stored = agent.world.table("releases")["/".join(RELEASE.values())]
        secret = stored["_overrides"]["database"]["password"]
        assert secret in stored["values"]
        assert PLACEHOLDER in kept
        assert secret not in kept + agent.said + json.dumps(shown)
        assert await agent.autopilot.kept.read("another principal", shown["raw"]) is None
        assert (await agent.client.list_resources()).resources == []


async def test_files_and_credentials_are_not_kept_as_resources(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        chart = await agent.run("download_chart", {"chart_id": REDIS})
        certificate = await agent.run("get_cluster_certificate", {"cluster_id": SEARCH_DEV, "duration_days": 1})
        assert not any(isinstance(block, ResourceLink) for block in (*chart.content, *certificate.content))
        assert isinstance(agent.autopilot.kept, LocalResponseStore)
        assert len(agent.autopilot.kept) == 0


async def test_only_the_chosen_toolsets_are_offered(tmp_path: Path, catalog: Catalog) -> None:
    async with connected(tmp_path, toolsets=("tags", "quotas")) as agent:
        assert await offered(agent) == {each.id for each in catalog.values() if each.subject in {"tags", "quotas"}}
        assert "the chosen toolsets leave it out" in await agent.fail("list_clusters")
        assert agent.sent == []
        await agent.call("add_cluster_tags", cluster_id="ml-batch", tags={"a": "b"})
        assert agent.sent == ["list_clusters", "get_cluster", "add_cluster_tags", "get_cluster"]
    async with connected(tmp_path, toolsets=("essential",)) as agent:
        assert await offered(agent) == ESSENTIAL


async def test_a_server_that_only_reads_offers_and_runs_nothing_else(tmp_path: Path, catalog: Catalog) -> None:
    _, calls = await guarded_account(tmp_path)
    async with connected(tmp_path, read_only=True) as agent:
        tools = (await agent.client.list_tools()).tools
        assert await offered(agent) == {each.id for each in catalog.values() if each.worst_effect == "read"}
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        for tool, arguments in calls.items():
            assert "read-only" in await agent.fail(tool, **arguments)
            assert "read-only" in await agent.fail(tool, **arguments, dry_run=True)
        assert "read-only" in await agent.fail("add_cluster_tags", cluster_id=TEAM_SANDBOX, tags={"a": "b"})
        assert agent.sent == []
        assert "only reads" in instructions(agent.autopilot)
        await agent.call("list_clusters")


async def test_the_table_of_guarded_calls_is_complete_and_each_does_its_worst(tmp_path: Path, catalog: Catalog) -> None:
    _, every = await guarded_account(tmp_path)
    calls = {tool: arguments for tool, arguments in every.items() if tool not in IN_CLUSTERS}
    assert set(calls) == {each.id for each in catalog.values() if each.guarded}
    for tool, arguments in calls.items():
        seen = {fact.name: {"env": "dev"} for fact in catalog[tool].facts}
        assert effect_of(catalog[tool], arguments, seen=seen) == catalog[tool].worst_effect


SAID = {
    "human": ("approval_required: code ", "Nothing was sent: ", "ap-mcp approvals approve "),
    "approval": ("approval_required: code ", "Nothing was sent: ", "ap-mcp approvals approve "),
    "token": ("approval_required: code ", "Nothing was sent: ", "ap-mcp approvals approve ", "\nconfirmation_token="),
    "deny": ("needs confirmation", "AP_MCP_CONFIRM=deny", "Nothing was sent"),
}
"""What a client that cannot ask a person gets, by how consent is obtained."""


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("confirm", SAID)
async def test_a_guarded_call_of_a_client_that_cannot_ask_is_never_sent(
    tmp_path: Path, confirm: str, mode: str
) -> None:
    state, every = await guarded_account(tmp_path)
    # Whether a call inside a cluster is guarded is known only once the cluster was asked.
    calls = {tool: arguments for tool, arguments in every.items() if tool not in IN_CLUSTERS}
    if confirm != "human":
        calls = {tool: calls[tool] for tool in KINDS if tool in calls}
    async with connected(tmp_path, app=account(state), mode=mode, confirm=confirm, unasked=False) as agent:
        for tool, arguments in list(calls.items())[mode == "legacy" :: 2]:
            for _ in range(2):
                said = await agent.fail(tool, **arguments)
                assert [part for part in (f"{tool} ", *SAID[confirm]) if part not in said] == []
            assert ("confirmation_token" in said) == (confirm == "token")
        assert agent.changed == []
        now = touched(agent.world)
        assert now == {name: state["tables"].get(name) for name in now}
        facts = {fact.reading.operation for tool in calls for fact in agent.autopilot.catalog[tool].facts}
        assert (set(agent.sent) <= facts) == (confirm == "deny")


async def test_tools_with_a_harmless_side_need_no_confirmation_for_it(tmp_path: Path) -> None:
    async with connected(tmp_path, unasked=False) as agent:
        await agent.call("update_cluster", cluster_id=TEAM_SANDBOX, alias="sandpit")
        new = {**RELEASE, "name": "another", "chart_id": PAYMENTS_API, "version": "1.9.0"}
        await agent.call("create_release", **new, replace=False)
        assert agent.changed == ["update_cluster", "create_release"]


@pytest.mark.parametrize(
    "values",
    [
        {"auth": {"password": PLACEHOLDER}},
        {"env": [{"name": "A", "value": f"postgres://u:{PLACEHOLDER}@db"}]},
        {"packed": json.dumps({"password": PLACEHOLDER})},
    ],
)
async def test_a_masked_value_that_comes_back_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    async with connected(tmp_path) as agent:
        said = await agent.fail(
            "update_release", **RELEASE, action="upgrade", chart_id=PAYMENTS_API, values={"a": 1, **values}
        )
        assert f"values.{next(iter(values))}" in said
        assert "masked placeholder" in said
        assert agent.changed == []


async def test_a_mistake_of_ours_is_reported_plainly_and_its_details_go_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("inner detail")

    async with connected(tmp_path) as agent:
        monkeypatch.setattr("ap_mcp.gateway.bind", fail)
        with caplog.at_level(logging.ERROR):
            said = await agent.fail("list_charts")
        assert said.startswith("list_charts: an error in ap-mcp itself")
        assert "inner detail" not in said
        assert "inner detail" in caplog.text
        assert SECRET_KEY not in caplog.text
        monkeypatch.undo()
        await agent.call("list_charts")


@pytest.mark.parametrize("name", [PAYMENTS_PROD, "payments-prod", "payments", PAYMENTS_PROD.upper()])
async def test_a_cluster_goes_by_id_name_or_alias(tmp_path: Path, name: str) -> None:
    async with connected(tmp_path) as agent:
        assert (await agent.call("get_cluster", cluster_id=name))["id"] == PAYMENTS_PROD


async def test_a_name_of_several_clusters_is_refused_with_their_ids(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        agent.world.table("clusters")[LEGACY_IMPORT]["metadata"]["alias"] = "payments"
        said = await agent.fail("delete_cluster", cluster_id="payments")
        assert '2 clusters are called "payments"' in said
        assert f"{PAYMENTS_PROD} payments-prod (Available)" in said
        assert f"{LEGACY_IMPORT} legacy-import (Error)" in said
        assert agent.changed == []


async def test_of_many_clusters_with_one_name_a_few_are_shown(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        clusters = agent.world.table("clusters")
        for number in range(20):
            row = copy.deepcopy(clusters[LEGACY_IMPORT])
            row["metadata"] |= {"uid": f"0000{number:04d}-1111-2222-3333-444455556666", "alias": "twin"}
            clusters[row["metadata"]["uid"]] = row
        said = await agent.fail("get_cluster", cluster_id="twin")
        assert said.startswith('20 clusters are called "twin". Give one id:')
        assert said.endswith("\n- and 10 more")


async def test_a_name_of_no_cluster_is_refused_with_the_nearest(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        payments = "payments-prod (alias payments)"
        said = await agent.fail("delete_cluster", cluster_id="payment-prod")
        assert said.startswith(f'No cluster is called "payment-prod". Did you mean {payments}? ')
        assert said.endswith("list_clusters shows all.")
        for wanted, meant in {"PAYMENTS": payments, "prod": f"{payments} or shop-prod"}.items():
            assert f"Did you mean {meant}?" in await agent.fail("delete_cluster", cluster_id=wanted)
        assert "There are: checkout-staging, " in await agent.fail("get_cluster", cluster_id="zzz")
        agent.world.table("clusters").clear()
        assert "There are no clusters." in await agent.fail("get_cluster", cluster_id="payments-prod")
        assert agent.changed == []


async def test_an_addon_of_another_cluster_is_not_found_in_the_named_one(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        addon_id = addons_of(agent.world, PAYMENTS_PROD)[0]["metadata"]["uid"]
        for tool in ("get_addon", "update_addon", "rollback_addon", "delete_addon"):
            more = {"target_version": "9.9.9"} if tool == "update_addon" else {}
            assert "HTTP 404" in await agent.fail(tool, cluster_id="search-dev", addon_id=addon_id, **more)
        assert addon_id in agent.world.table("addons")


async def test_concurrent_calls_get_their_own_answers_over_one_connection(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        connections = []
        connect = agent.autopilot.gateway._connect

        async def counted() -> Any:
            connections.append(1)
            await anyio.lowlevel.checkpoint()
            return await connect()

        agent.autopilot.gateway._connect = counted
        names = {row["metadata"]["name"]: uid for uid, row in agent.world.table("clusters").items()} | {"absent": ""}
        answers: dict[str, list[Any]] = {name: [] for name in names}

        async def ask(name: str) -> None:
            answers[name].append(await agent.client.call_tool("get_cluster", {"cluster_id": name}))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for name in [*names] * 4:
                    group.start_soon(ask, name)
        for name, uid in names.items():
            assert len(answers[name]) == 4
            for result in answers[name]:
                assert result.structured_content["id"] == uid if uid else "No cluster is called" in text_of(result)
        assert len(connections) == 1


async def test_a_cancelled_call_leaves_the_server_working(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        agent.app.state.faults.inject("delay", "list_charts", value=60)
        with anyio.move_on_after(0.05) as scope:
            await agent.client.call_tool("list_charts")
        assert scope.cancelled_caught
        await agent.call("list_charts")


async def test_a_server_closes_its_connection_to_the_cloud_at_the_end(tmp_path: Path) -> None:
    class Closing(httpx.ASGITransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    app = simulate()
    transport = Closing(app)
    autopilot = autopilot_on(app, transport=transport)
    async with autopilot, Client(build_server(autopilot)) as client:
        await client.call_tool("list_charts")
        assert not transport.closed
    assert transport.closed
