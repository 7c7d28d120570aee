"""The reading tools from end to end: an agent, our server, and the Kubernetes API of a simulated cluster."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent import Agent, connected
from kubernetes_calls import CORE, DEPLOYMENTS, SHOP, Cluster, deployment
from simulation import Caller

from ap_mcp.simulator.constants import TEAM_SANDBOX

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

HERE = {"cluster_id": "team-sandbox", "namespace": "shop"}


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent beside a cluster in which a Deployment runs, and a Secret is kept."""
    async with connected(tmp_path) as connection, Caller(connection.app) as caller:
        cluster = Cluster(caller, TEAM_SANDBOX)
        await cluster.shop()
        await cluster.ok("POST", DEPLOYMENTS, deployment(replicas=3))
        await cluster.ok("POST", f"{SHOP}/secrets", {"metadata": {"name": "db"}, "stringData": {"password": "hunter2"}})
        connection.world.advance(120)
        yield connection


async def test_what_runs_is_listed_shown_and_read(agent: Agent) -> None:
    pods = await agent.call("k8s_list", kind="pods", **HERE)
    assert pods["columns"] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert [row[1:3] for row in pods["rows"]] == [["1/1", "Running"]] * 3
    shown = await agent.call("k8s_get", kind="deploy", name="web", **HERE)
    assert shown["summary"] == "Deployment web in shop of team-sandbox: 3 of 3 ready, rollout done."
    assert shown["revisions"][0]["images"] == ["nginx:1.27"]
    assert {each["reason"] for each in shown["events"]} >= {"ScalingReplicaSet", "SuccessfulCreate"}
    logs = await agent.call("k8s_logs", kind="deploy", name="web", lines=5, **HERE)
    assert {each["pod"] for each in logs["logs"]} == {row[0] for row in pods["rows"]}
    assert all(each["lines"] for each in logs["logs"])
    events = await agent.call("k8s_list", kind="events", **HERE)
    assert events["shown"] > 3


async def test_pages_lead_to_the_whole_list_and_the_end_has_no_cursor(agent: Agent) -> None:
    page = await agent.call("k8s_list", kind="pods", limit=2, **HERE)
    assert (page["shown"], page["remaining"]) == (2, 1)
    rest = await agent.call("k8s_list", **page["next"][-1]["arguments"])
    assert (rest["shown"], "cursor" in rest) == (1, False)
    wrong = await agent.fail("k8s_list", kind="pods", cursor="made up", **HERE)
    assert "leave it out" in wrong or "without cursor" in wrong


async def test_a_secret_is_compared_by_a_tag_and_shown_nowhere(agent: Agent) -> None:
    for detail in ("summary", "full"):
        shown = await agent.call("k8s_get", kind="secret", name="db", detail=detail, **HERE)
        assert [(each["key"], each["bytes"]) for each in shown["data"]] == [("password", 7)]
        assert "hunter2" not in agent.said + json.dumps(shown)
        assert "aHVudGVyMg" not in agent.said + json.dumps(shown)


async def test_kinds_and_fields_are_those_of_the_cluster(agent: Agent) -> None:
    every = await agent.call("k8s_discover", cluster_id="team-sandbox")
    assert "deployments/deploy" in next(each for each in every["groups"] if each["group_version"] == "apps/v1")["kinds"]
    spec = await agent.call("k8s_discover", cluster_id="team-sandbox", kind="deploy", field="spec")
    assert {each["name"] for each in spec["fields"]} >= {"replicas", "selector", "template"}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("k8s_list", {"kind": "deploymnets"}, "Did you mean deployments"),
        ("k8s_list", {"kind": "pods", "namespace": "shpo"}, "There is no namespace shpo. Did you mean shop?"),
        ("k8s_list", {"kind": "nodes", "namespace": "shop"}, "nodes are in no namespace"),
        ("k8s_list", {"kind": "pods", "namespace": ""}, "namespace"),
        ("k8s_list", {"kind": "pods", "label_selector": "app in (a"}, "label_selector is written as"),
        ("k8s_list", {"kind": "pods", "field_selector": "spec.color=red"}, "field_selector is written as"),
        ("k8s_get", {"kind": "deploy", "name": "Web", "namespace": "shop"}, "Did you mean web?"),
        ("k8s_get", {"kind": "deploy", "name": "web"}, "There is one in another namespace: shop."),
        ("k8s_get", {"kind": "secret", "name": "db", "namespace": "shop", "subresource": "scale"}, "have no scale"),
        ("k8s_logs", {"name": "web", "namespace": "shop"}, "Did you mean web-"),
        ("k8s_logs", {"name": "web", "kind": "deploy", "namespace": "shop", "container": "x"}, "There are: app."),
        ("k8s_discover", {"kind": "deploy", "field": "spec.replcas"}, "Did you mean replicas?"),
    ],
)
async def test_what_is_wrong_says_what_to_do(agent: Agent, tool: str, arguments: dict[str, str], said: str) -> None:
    assert said in await agent.fail(tool, cluster_id="team-sandbox", **arguments)


async def test_a_cluster_by_another_name_or_in_another_state_is_explained(agent: Agent) -> None:
    assert "Did you mean team-sandbox?" in await agent.fail("k8s_list", cluster_id="team-sandbx", kind="pods")
    cluster = agent.world.table("clusters")[TEAM_SANDBOX]
    cluster["status"]["phase"] = "Hibernation"
    said = await agent.fail("k8s_list", cluster_id="team-sandbox", kind="pods")
    assert "is hibernated (phase Hibernation), not Available" in said
    assert CORE not in said
