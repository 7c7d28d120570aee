"""Diagnosis and waits inside clusters on the simulated Kubernetes API: what its controllers leave is understood."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, connected
from kubernetes_calls import CORE, DEPLOYMENTS, JOBS, SHOP, Cluster, deployment, job
from simulation import Caller, simulate

from ap_mcp.simulator.constants import TEAM_SANDBOX

pytestmark = pytest.mark.anyio

LATER = 900.0
"""Seconds after which nothing is young."""


@asynccontextmanager
async def shop(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Agent, Cluster]]:
    app = simulate()
    made = Cluster(Caller(app))
    async with connected(tmp_path, app=app, **settings) as agent:
        await made.shop()
        yield agent, made


@dataclass(frozen=True)
class Case:
    """What is created, and what the first finding about it says."""

    name: str
    says: tuple[str, ...]
    made: tuple[tuple[str, dict[str, Any]], ...]
    then: tuple[str, ...] = field(default=())


def service(target: Any = 8080, **selector: str) -> tuple[str, dict[str, Any]]:
    spec = {"selector": selector or {"app": "web"}, "ports": [{"port": 80, "targetPort": target}]}
    return f"{SHOP}/services", {"metadata": {"name": "web"}, "spec": spec}


def claim(cls: str) -> tuple[str, dict[str, Any]]:
    wants = {"accessModes": ["ReadWriteOnce"], "storageClassName": cls, "resources": {"requests": {"storage": "1Gi"}}}
    return f"{SHOP}/persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": wants}


def quota(**hard: str) -> tuple[str, dict[str, Any]]:
    return f"{SHOP}/resourcequotas", {"metadata": {"name": "team"}, "spec": {"hard": hard}}


def with_env(source: Mapping[str, Any]) -> dict[str, Any]:
    made = deployment()
    made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [source]
    return made


DATA = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
BROKEN_IMAGE = deployment(image="registry.example.com/shop/web:broken")
CASES = (
    Case("an image", ("Deployment shop/web", "tag broken of image"), ((DEPLOYMENTS, BROKEN_IMAGE),)),
    Case(
        "a secret",
        ("Deployment shop/web", "Secret login, which does not exist"),
        ((DEPLOYMENTS, with_env({"secretRef": {"name": "login"}})),),
    ),
    Case(
        "a config map",
        ("ConfigMap settings, which does not exist",),
        ((DEPLOYMENTS, with_env({"configMapRef": {"name": "settings"}})),),
    ),
    Case("a claim", ("claim data does not exist",), ((DEPLOYMENTS, deployment(volumes=DATA)),)),
    Case(
        "a class",
        ("PersistentVolumeClaim shop/data", "StorageClass fast", "csi-disk"),
        (claim("fast"), (DEPLOYMENTS, deployment(volumes=DATA))),
        ("Deployment shop/web",),
    ),
    Case(
        "a quota",
        ("ResourceQuota team is used up", "pods 0 of 0 used"),
        (quota(pods="0"), (DEPLOYMENTS, deployment())),
    ),
    Case("Autopilot", ("Autopilot allows no hostNetwork",), ((DEPLOYMENTS, deployment(hostNetwork=True)),)),
    Case(
        "a selector",
        ("Service shop/web has no endpoints", "version=v2", "2 pods have app=web"),
        ((DEPLOYMENTS, deployment()), service(app="web", version="v2")),
    ),
    Case("a named port", ("targetPort metrics",), ((DEPLOYMENTS, deployment()), service("metrics"))),
    Case(
        "pods that a Service waits for",
        ("tag broken of image",),
        ((DEPLOYMENTS, BROKEN_IMAGE), service()),
        ("Service shop/web",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
async def test_what_the_controllers_leave_is_understood(case: Case, tmp_path: Path) -> None:
    async with shop(tmp_path) as (agent, cluster):
        for path, body in case.made:
            await cluster.ok("POST", path, body)
        cluster.world.advance(LATER)
        answer = await agent.call("k8s_diagnose", cluster_id=TEAM_SANDBOX, namespace="shop")
        first = answer["findings"][0]
        assert [each for each in case.says if each not in first["what"]] == [], agent.said
        assert [each for each in case.then if not any(line.startswith(each) for line in first["then"])] == [], (
            agent.said
        )
        assert answer["total"] == 1, agent.said
        assert first["evidence"]


async def test_a_healthy_namespace_and_a_healthy_cluster_have_no_findings(tmp_path: Path) -> None:
    async with shop(tmp_path) as (agent, cluster):
        await cluster.ok("POST", DEPLOYMENTS, deployment())
        await cluster.ok("POST", *service())
        starting = await agent.call("k8s_diagnose", cluster_id=TEAM_SANDBOX, namespace="shop")
        assert starting["starting"] == ["Deployment shop/web: 2 pods still starting"]
        cluster.world.advance(LATER)
        for where in (
            {"namespace": "shop"},
            {},
            {"kind": "deploy", "name": "web"},
            {"kind": "svc"},
            {"kind": "node"},
        ):
            answer = await agent.call("k8s_diagnose", cluster_id=TEAM_SANDBOX, **where)
            assert answer["total"] == 0, agent.said
            assert not answer.get("not_read"), agent.said


async def test_a_rollout_ends_and_a_job_does(tmp_path: Path) -> None:
    async with shop(tmp_path) as (agent, cluster):
        await cluster.ok("POST", DEPLOYMENTS, deployment())
        await cluster.ok("POST", JOBS, job())
        inside = {"cluster_id": TEAM_SANDBOX, "namespace": "shop", "wait_s": 0}
        under_way = await agent.call("wait_for", kind="rollout", id="web", **inside)
        assert under_way["verdict"] == "running"
        cluster.world.advance(LATER)
        for kind, id_ in (("rollout", "web"), ("k8s_job", "once"), ("pods_ready", "app=web")):
            ended = await agent.call("wait_for", kind=kind, id=id_, **inside)
            assert (ended["verdict"], ended["ended"]) == ("succeeded", True), agent.said


async def test_a_rollout_to_a_broken_image_fails_with_its_cause(tmp_path: Path) -> None:
    async with shop(tmp_path) as (agent, cluster):
        await cluster.ok("POST", DEPLOYMENTS, BROKEN_IMAGE)
        cluster.world.advance(LATER)
        ended = await agent.call(
            "wait_for", kind="rollout", id="web", cluster_id=TEAM_SANDBOX, namespace="shop", wait_s=0
        )
        assert ended["verdict"] == "failed", agent.said
        assert "tag broken of image" in ended["found"]["cause"]


async def test_an_unknown_namespace_is_an_error(tmp_path: Path) -> None:
    async with shop(tmp_path) as (agent, _):
        assert "nowhere" in await agent.fail("k8s_diagnose", cluster_id=TEAM_SANDBOX, namespace="nowhere")


async def test_a_namespace_that_is_being_deleted_and_stays_is_the_cause(tmp_path: Path) -> None:
    async with shop(tmp_path) as (agent, cluster):
        held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}, "data": {}}
        await cluster.ok("POST", f"{SHOP}/configmaps", held)
        await cluster.ok("DELETE", f"{CORE}/namespaces/shop")
        cluster.world.advance(LATER)
        answer = await agent.call("k8s_diagnose", cluster_id=TEAM_SANDBOX, namespace="shop")
        assert answer["findings"][0]["what"].startswith("Namespace shop is being deleted and stays"), agent.said


async def test_the_patch_that_a_diagnosis_proposes_for_a_probe_makes_the_workload_ready(tmp_path: Path) -> None:
    made = deployment()
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container |= {"ports": [{"containerPort": 8080}], "readinessProbe": {"httpGet": {"path": "/ok", "port": 8081}}}
    async with shop(tmp_path) as (agent, cluster):
        await cluster.ok("POST", DEPLOYMENTS, made)
        cluster.world.advance(LATER)
        answer = await agent.call("k8s_diagnose", cluster_id=TEAM_SANDBOX, namespace="shop")
        assert "asks port 8081, the container declares 8080" in answer["findings"][0]["what"]
        patch = answer["next"][0]
        assert patch["tool"] == "k8s_patch"
        await agent.call(patch["tool"], **patch["arguments"])
        cluster.world.advance(LATER)
        assert (await agent.call("k8s_diagnose", cluster_id=TEAM_SANDBOX, namespace="shop"))["total"] == 0
