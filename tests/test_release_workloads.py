"""A release that is deployed says how its workloads are: with one read of the cluster for each kind of them."""

from pathlib import Path
from typing import Any

import pytest
from agent import Agent
from broken import Json, Seen, deployment
from seen_cluster import SeenCluster, seeing

from ap_mcp.simulator.constants import PAYMENTS_PROD

pytestmark = pytest.mark.anyio

RELEASE = {"cluster_id": "payments-prod", "namespace": "payments", "name": "payments-api"}


def of_release(ready: int, wanted: int = 6) -> Json:
    made = deployment("payments-api", replicas=wanted, ready=ready, status={"availableReplicas": ready})[0]
    return {**made, "metadata": {**made["metadata"], "namespace": "payments"}}


def inside(tmp_path: Path, *objects: Json, **more: Any) -> Any:
    return seeing(tmp_path, Seen(list(objects)), cluster=PAYMENTS_PROD, **more)


def asked(cluster: SeenCluster) -> list[str]:
    return [url.path for url in cluster.asked]


async def test_a_deployed_release_whose_pods_are_ready_says_so_with_one_read(tmp_path: Path) -> None:
    async with inside(tmp_path, of_release(6)) as (agent, cluster):
        answer = await agent.call("get_release", **RELEASE)
    assert "is deployed. 6 of its 6 pods ready." in answer["summary"]
    assert answer["workloads"] == ["Deployment payments-api: 6 of 6 ready"]
    assert asked(cluster) == ["/apis/apps/v1/namespaces/payments/deployments/payments-api"]
    assert [each for each in answer.get("next", ()) if each["tool"] in ("wait_for", "k8s_diagnose")] == []


async def test_a_deployed_release_whose_pods_are_not_ready_leads_to_the_wait_and_the_diagnosis(tmp_path: Path) -> None:
    async with inside(tmp_path, of_release(2)) as (agent, _):
        for answer in (await agent.call("get_release", **RELEASE), await _waited(agent)):
            assert "2 of its 6 pods ready." in answer["summary"]
            rollout, why = answer["next"][:2]
            assert (rollout["tool"], rollout["arguments"]["kind"]) == ("wait_for", "rollout")
            assert rollout["arguments"]["id"] == "deployment/payments-api"
            assert (why["tool"], why["arguments"]["name"]) == ("k8s_diagnose", "payments-api")
            followed = await agent.call(rollout["tool"], **rollout["arguments"], wait_s=0)
            assert followed["found"]["ready"] == 2


async def test_a_rollout_that_is_stuck_behind_ready_old_pods_is_said_as_k8s_get_says_it(tmp_path: Path) -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    stuck = of_release(6)
    stuck["status"] |= {"replicas": 7, "updatedReplicas": 1, "conditions": [late]}
    async with inside(tmp_path, stuck) as (agent, _):
        answer = await agent.call("get_release", **RELEASE)
        seen = await agent.call("k8s_get", **RELEASE, kind="deployment")
    said = "rollout stuck: no progress for its limit of 600 s: 1 new pod is not ready"
    assert f"6 of its 6 pods ready. Deployment payments-api: {said}." in answer["summary"]
    assert answer["workloads"] == [f"Deployment payments-api: 6 of 6 ready, {said}"]
    assert said in seen["summary"]
    assert [each["tool"] for each in answer["next"] if each["tool"].startswith(("k8s", "wait"))] == ["k8s_diagnose"]


async def test_more_pods_than_wanted_of_one_workload_do_not_hide_what_lacks(tmp_path: Path) -> None:
    under_way = of_release(7)
    under_way["status"] |= {"replicas": 8, "updatedReplicas": 1}
    async with inside(tmp_path, under_way) as (agent, _):
        answer = await agent.call("get_release", **RELEASE)
    assert "6 of its 6 pods ready." in answer["summary"]
    assert [each["tool"] for each in answer["next"]][:2] == ["wait_for", "k8s_diagnose"]


async def _waited(agent: Agent) -> dict[str, Any]:
    where = {"cluster_id": RELEASE["cluster_id"], "namespace": RELEASE["namespace"]}
    return await agent.call("wait_for", kind="release", id=RELEASE["name"], **where)


@pytest.mark.parametrize("hidden", [{"forbidden": frozenset({"deployments"})}, {"toolsets": ("charts", "clusters")}])
async def test_a_release_is_shown_all_the_same_where_the_cluster_cannot_be_read(tmp_path: Path, hidden: Any) -> None:
    async with inside(tmp_path, of_release(2), **hidden) as (agent, cluster):
        answer = await agent.call("get_release", **RELEASE)
    assert "workloads" not in answer
    assert "ready" not in answer["summary"]
    assert len(cluster.asked) == ("forbidden" in hidden)


async def test_a_rule_about_the_namespace_closes_its_workloads_and_not_the_release(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('[[rules]]\ndecision = "deny"\nkinds = ["Deployment.apps"]\neffects = ["read"]\n', "utf-8")
    async with inside(tmp_path, of_release(2), policy_file=rules) as (agent, cluster):
        answer = await agent.call("get_release", **RELEASE)
    assert "workloads" not in answer
    assert cluster.asked == []
