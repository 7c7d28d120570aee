"""Waiting for what happens inside a cluster: how far it is, how it ended, and why it does not get on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agent import Agent
from broken import (
    HASH,
    SPACE,
    Json,
    Seen,
    crashing,
    deployment,
    ended,
    job,
    log_of,
    over,
    pod,
    said,
    thing,
)
from seen_cluster import SeenCluster, seeing
from waiting import Hourglass

from ap_mcp.kubernetes.tools import nothing_kept
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import toolbox

pytestmark = pytest.mark.anyio

HERE: Json = {"kind": "Namespace", "metadata": {"name": SPACE}, "status": {"phase": "Active"}}


@asynccontextmanager
async def waiting_inside(
    tmp_path: Path, *objects: Json, **more: Any
) -> AsyncIterator[tuple[Agent, SeenCluster, Hourglass]]:
    glass = Hourglass()
    logs = more.pop("logs", {})
    async with seeing(
        tmp_path, Seen([HERE, *objects], [], logs), clock={"sleep": glass.sleep, "now": glass.now}, **more
    ) as (agent, cluster):
        yield agent, cluster, glass


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("deployment", "for a Deployment it is rollout, with id deployment/NAME"),
        ("sts", "for a StatefulSet it is rollout, with id statefulset/NAME"),
        ("jobs", "for a Job it is k8s_job, with id job/NAME"),
        ("pod", "for a Pod it is pods_ready, with id pod/NAME"),
    ],
)
async def test_the_kind_of_an_object_leads_to_what_is_waited_for(tmp_path: Path, kind: str, said: str) -> None:
    async with waiting_inside(tmp_path) as (agent, _, _):
        assert said in await agent.fail("wait_for", kind=kind, id="cart", cluster_id="shop-prod")
        assert "for a " not in await agent.fail("wait_for", kind="configmap", id="cart", cluster_id="shop-prod")


async def wait(agent: Agent, kind: str, id_: str, **arguments: Any) -> dict[str, Any]:
    given = {"namespace": SPACE, **arguments}
    return await agent.call("wait_for", kind=kind, id=id_, cluster_id="shop-prod", **given)


def later(cluster: SeenCluster, *objects: Json) -> Callable[[], object]:
    """Return what changes the cluster's objects during the next sleep."""

    def change() -> None:
        names = {(each["kind"], each["metadata"]["name"]) for each in objects}
        kept = [each for each in cluster.seen.objects if (each["kind"], each["metadata"]["name"]) not in names]
        cluster.seen.objects[:] = [*kept, *objects]

    return change


def rolling(ready: int, updated: int, **more: Any) -> Json:
    status = {"updatedReplicas": updated, "availableReplicas": ready, "replicas": 3}
    return deployment(replicas=3, ready=ready, status=status, **more)[0]


async def test_a_rollout_is_waited_for_until_it_is_done(tmp_path: Path) -> None:
    async with waiting_inside(tmp_path, rolling(1, 1)) as (agent, cluster, glass):
        glass.meanwhile = later(cluster, rolling(3, 3))
        answer = await wait(agent, "rollout", "cart")
    assert (answer["verdict"], answer["ended"]) == ("succeeded", True)
    assert answer["summary"] == "Deployment web/cart: 3 of 3 pods ready, rollout done."
    assert answer["found"] == {"ready": 3, "wanted": 3, "updated": 3}
    assert len(glass.slept) == 1
    assert sum(url.path.endswith("/deployments/cart") for url in cluster.asked) == 2


async def test_a_rollout_that_ends_badly_says_why_and_what_to_do(tmp_path: Path) -> None:
    stuck = rolling(0, 1, conditions=[said("Progressing", "False", "ProgressDeadlineExceeded", "timed out")])
    objects = (stuck, deployment()[1], pod(crashing()))
    async with waiting_inside(tmp_path, *objects, logs=log_of("FATAL: no database")) as (agent, _, glass):
        answer = await wait(agent, "rollout", "deploy/cart")
    assert (answer["verdict"], answer["ended"], glass.slept) == ("failed", True, [])
    assert '"FATAL: no database"' in answer["summary"]
    assert "ends with code 1" in answer["found"]["cause"]
    assert answer["found"]["evidence"]


async def test_what_goes_on_for_long_says_what_is_in_its_way(tmp_path: Path) -> None:
    async with waiting_inside(tmp_path, rolling(0, 3), deployment()[1], pod(crashing())) as (agent, cluster, _):
        answer = await wait(agent, "rollout", "cart", wait_s=30)
        assert (answer["verdict"], answer["ended"]) == ("running", False)
        assert answer["summary"].startswith("Still running after 30 s; call wait_for again.")
        assert "ends with code 1" in answer["summary"]
        again = answer["next"][0]
        assert (again["tool"], again["arguments"]["id"], again["arguments"]["namespace"]) == (
            "wait_for",
            "deployment/cart",
            SPACE,
        )
        before = len(cluster.asked)
        await wait(agent, "rollout", "cart", wait_s=0)
        assert len(cluster.asked) - before <= 4, "a look in between costs no diagnosis"


async def test_a_paused_rollout_is_not_waited_for(tmp_path: Path) -> None:
    async with waiting_inside(tmp_path, rolling(3, 0, paused=True)) as (agent, _, glass):
        answer = await wait(agent, "rollout", "cart")
    assert (answer["verdict"], answer["ended"], glass.slept) == ("idle", False, [])


async def test_a_stateful_set_is_found_by_its_name_alone(tmp_path: Path) -> None:
    done = thing(
        "StatefulSet", "db", spec={"replicas": 1}, status={"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    )
    async with waiting_inside(tmp_path, done) as (agent, _, _):
        for name in ("db", "sts/db", "statefulset/db"):
            assert (await wait(agent, "rollout", name))["verdict"] == "succeeded"
        answer = await agent.call("wait_for", kind="rollout", id="db", cluster_id="shop-prod")
        assert answer["summary"].startswith("StatefulSet web/db")


async def test_a_job_is_waited_for_and_its_failure_explained(tmp_path: Path) -> None:
    failed = job(conditions=[said("Failed", "True", "BackoffLimitExceeded")], failed=4)
    tried = pod(
        over(ended(2), name="job"),
        name="close-1",
        owner=("Job", "close"),
        phase="Failed",
        labels={"job-name": "close"},
    )
    logs = log_of("error: no such table", "close-1", "job", previous=False)
    async with waiting_inside(tmp_path, job(active=1), tried, logs=logs) as (agent, cluster, glass):
        glass.meanwhile = later(cluster, failed)
        answer = await wait(agent, "k8s_job", "close")
        assert (answer["verdict"], answer["ended"]) == ("failed", True)
        assert '"error: no such table"' in answer["summary"]
        glass.meanwhile = None
        later(cluster, job(conditions=[said("Complete", "True")], succeeded=1))()
        assert (await wait(agent, "k8s_job", "job/close"))["verdict"] == "succeeded"
        later(cluster, {**job(), "spec": {"suspend": True}})()
        assert (await wait(agent, "k8s_job", "close"))["verdict"] == "idle"


async def test_pods_are_waited_for_by_their_workload_by_a_selector_and_one_by_one(tmp_path: Path) -> None:
    one, other = pod(ready=True), pod(name=f"cart-{HASH}-b")
    async with waiting_inside(tmp_path, *deployment(replicas=2, ready=1), one, other) as (agent, cluster, glass):
        for id_ in ("cart", "app=cart"):
            answer = await wait(agent, "pods_ready", id_, wait_s=0)
            assert (answer["verdict"], answer["found"]["ready"], answer["found"]["wanted"]) == ("running", 1, 2)
        assert (await wait(agent, "pods_ready", f"pod/cart-{HASH}-aaaaa"))["verdict"] == "succeeded"
        glass.meanwhile = later(cluster, pod(name=f"cart-{HASH}-b", ready=True))
        assert (await wait(agent, "pods_ready", "app=cart"))["verdict"] == "succeeded"
        assert (await wait(agent, "pods_ready", "app=none", wait_s=0))["verdict"] == "running"


async def test_what_cannot_be_waited_for_is_refused_with_what_can(tmp_path: Path) -> None:
    async with waiting_inside(tmp_path, *deployment()) as (agent, _, _):
        assert "cluster_id: is required" in await agent.fail("wait_for", kind="rollout", id="cart")
        gone = {"kind": "rollout", "id": "cart", "cluster_id": "shop-prod", "until": "deleted"}
        assert "must not be deleted" in await agent.fail("wait_for", **gone)
        inside = {"cluster_id": "shop-prod", "namespace": SPACE}
        assert "called nothing" in await agent.fail("wait_for", kind="rollout", id="nothing", **inside)
        assert "for a Deployment or StatefulSet" in await agent.fail("wait_for", kind="rollout", id="pod/x", **inside)


async def test_a_rule_that_closes_a_namespace_closes_waiting_in_it(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text(f'[[rules]]\ndecision = "deny"\nnamespaces = ["{SPACE}"]\neffects = ["read"]\n', "utf-8")
    async with waiting_inside(tmp_path, *deployment(), policy_file=rules) as (agent, cluster, _):
        await agent.fail("wait_for", kind="rollout", id="cart", cluster_id="shop-prod", namespace=SPACE)
    assert cluster.asked == []


def test_the_kinds_inside_clusters_are_offered_with_the_tools_for_them() -> None:
    for toolsets, offered in (
        (("all",), True),
        (("essential",), True),
        (("kubernetes",), True),
        (("clusters",), False),
    ):
        awaited = toolbox(load_catalog(), toolsets, kinds=nothing_kept).awaited
        assert ({"rollout", "k8s_job", "pods_ready"} <= set(awaited)) is offered
