"""The operations inside a cluster that the API reference lists: each is a call of a tool, and becomes that request."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, connected
from kubernetes_calls import Cluster
from kubernetes_rows import Row, rows, tried, wrong
from simulation import Caller, simulate

from ap_mcp.kubernetes.spec import tool_specs
from ap_mcp.simulator.clock import ScaledClock
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.serving import listening, running

pytestmark = pytest.mark.anyio

ROWS = rows()
TOOLS = sorted({each.tool for each in ROWS})


def test_the_table_has_every_operation_of_the_reference_and_one_of_them_by_two_tools() -> None:
    requests = [(each.method, each.path) for each in ROWS]
    assert (len(requests), len(set(requests))) == (199, 198)
    assert sum(bool(each.instead) for each in ROWS) == 8
    assert set(TOOLS) <= set(tool_specs())


def effects(folder: Path) -> list[str]:
    """The effects of the calls that were recorded, in order."""
    file = folder / "state" / "audit.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    decided = [each for each in lines if each["event"] == "decided"]
    return [each["effect"] for each in decided if each["tool"] in tool_specs()]


async def faults_of(wanted: Iterable[Row], agent: Agent, folder: Path) -> list[str]:
    """Try rows, and say what is wrong with any: what was asked of the cluster, and what was recorded."""
    cluster, found = Cluster(Caller(agent.app)), []
    for row in wanted:
        before = len(effects(folder))
        asked, failed = await tried(row, agent, cluster)
        recorded = effects(folder)[before:] or ["read"]
        said = failed or wrong(row, asked)
        if not said and recorded != [row.effect]:
            said = f"recorded as {recorded}, not as {row.effect}"
        found += [f"{row}: {said}"] if said else []
    return found


@pytest.mark.parametrize("tool", TOOLS)
async def test_each_operation_of_the_reference_is_made_by_its_tool(tmp_path: Path, tool: str) -> None:
    async with connected(tmp_path) as agent:
        found = await faults_of((each for each in ROWS if each.tool == tool), agent, tmp_path)
    assert found == [], "\n".join(found)


@pytest.mark.kubectl
async def test_each_operation_of_the_reference_goes_to_the_server_of_the_cluster_itself(tmp_path: Path) -> None:
    app, policy = simulate(seeded_world(ScaledClock())), tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "allow"\ntools = ["k8s_*"]\neffects = ["disrupt", "destroy"]\n')
    settings: dict[str, Any] = {"kubernetes": "direct", "policy_file": policy, "unasked": False}
    with running(app) as place, listening(app):
        async with connected(tmp_path, app=app, listening=place, **settings) as agent:
            found = await faults_of(ROWS, agent, tmp_path)
            certificates = agent.sent.count("get_cluster_certificate")
    assert found == [], "\n".join(found)
    assert certificates == 1
