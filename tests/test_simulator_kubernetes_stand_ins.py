"""The objects that add-ons and releases bring to a simulated cluster, and how they follow them."""

from typing import Any

import pytest
from calling import Tools
from kubernetes_calls import APPS, CORE, Cluster
from simulation import Caller, simulate

from ap_mcp.simulator.addons import upgrade
from ap_mcp.simulator.chart_seed import SEARCH_API
from ap_mcp.simulator.constants import (
    SEARCH_DEV,
    SHOP_PROD,
    TEAM_SANDBOX,
)
from ap_mcp.simulator.kubernetes.acting import make
from ap_mcp.simulator.kubernetes.controllers import controlled_store
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.programs import BROKEN_TAG, CRASHING_TAG
from ap_mcp.simulator.kubernetes.seed import ensure_seeded
from ap_mcp.simulator.kubernetes.stand_ins import apply_release
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio
pytestmark = pytest.mark.anyio


@pytest.fixture
async def cloud(catalog: Catalog) -> Tools:
    return Tools(catalog, Caller(simulate()))


RELEASE = {"cluster_id": SHOP_PROD, "namespace": "shop", "name": "catalog-search"}


async def test_a_release_that_is_deployed_and_crashes_is_healthy_after_a_rollback(cloud: Tools) -> None:
    prod = Cluster(cloud.caller, SHOP_PROD)
    assert (await cloud("get_release", **RELEASE)).json()["status"] == "DEPLOYED"
    service = await prod.ok("GET", f"{CORE}/namespaces/shop/services/catalog-search")
    assert service["metadata"]["creationTimestamp"] == "2025-02-04T08:00:00Z"
    assert await prod.states("shop", "catalog-search") == ["0/1 CrashLoopBackOff", "1/1 Running", "1/1 Running"]
    answer = await cloud("update_release", **RELEASE, action="rollback", chart_id=SEARCH_API, revision=1)
    assert answer.status_code < 300, answer.text
    cloud.world.advance(60)
    assert (await cloud("get_release", **RELEASE)).json()["status"] == "DEPLOYED"
    assert await prod.states("shop", "catalog-search") == ["1/1 Running", "1/1 Running"]


@pytest.mark.parametrize(
    ("tag", "status", "state"),
    [("0.9.6", "DEPLOYED", "1/1 Running"), (CRASHING_TAG, "DEPLOYED", "0/1 CrashLoopBackOff"),
     (BROKEN_TAG, "FAILED", "0/1 ImagePullBackOff")],
)  # fmt: skip
@pytest.mark.parametrize("asked_before", [True, False])
async def test_the_objects_of_a_release_follow_it(
    cloud: Tools, tag: str, status: str, state: str, *, asked_before: bool
) -> None:
    sandbox = Cluster(cloud.caller, TEAM_SANDBOX)
    if asked_before:
        await sandbox.names(f"{CORE}/namespaces")
    where = {"cluster_id": TEAM_SANDBOX, "namespace": "trial", "name": "finder"}
    values = {"image": {"tag": tag}, "replicas": 1}
    done = await cloud("create_release", **where, chart_id=SEARCH_API, version="0.9.3", values=values)
    assert done.status_code < 300, done.text
    cloud.world.advance(60)
    release = (await cloud("get_release", **where)).json()
    assert release["status"] == status
    assert await sandbox.states("trial", "finder") == [state]
    found = await sandbox.ok("GET", f"{APPS}/namespaces/trial/deployments/finder")
    assert found["metadata"]["annotations"]["meta.helm.sh/release-name"] == "finder"
    assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert "stands in" in found["metadata"]["annotations"]["ap-mcp/simulated"]
    for title, path in (("apps/v1/Deployment", f"{APPS}/namespaces/trial/deployments"),
                        ("v1/Service", f"{CORE}/namespaces/trial/services")):  # fmt: skip
        names = await sandbox.names(path, labelSelector="app.kubernetes.io/instance=finder")
        assert f"==> {title}" in release["resources"]
        assert names == ["finder"]
    await cloud("delete_release", **where)
    cloud.world.advance(60)
    assert await sandbox.states("trial", "finder") == []
    assert await sandbox.names(f"{CORE}/namespaces/trial/services") == []


async def test_the_objects_of_an_add_on_follow_it(cloud: Tools) -> None:
    sandbox = Cluster(cloud.caller, TEAM_SANDBOX)
    deployments = f"{APPS}/namespaces/kube-system/deployments"
    assert await sandbox.names(deployments) == ["coredns", "metrics-server"]
    answer = await cloud("install_addon", cluster_id=TEAM_SANDBOX, template_name="gatekeeper")
    assert answer.status_code < 300, answer.text
    cloud.world.advance(60)
    assert await sandbox.names(deployments) == [
        "coredns", "gatekeeper-audit", "gatekeeper-controller-manager", "metrics-server",
    ]  # fmt: skip
    assert await sandbox.states("kube-system", "gatekeeper-audit") == ["1/1 Running"] * 2
    await cloud("delete_addon", addon_id=answer.json()["metadata"]["uid"], cluster_id=TEAM_SANDBOX)
    cloud.world.advance(60)
    assert await sandbox.names(deployments) == ["coredns", "metrics-server"]


async def test_an_add_on_whose_images_cannot_be_had_shows_it_in_its_pods(cloud: Tools) -> None:
    sandbox = Cluster(cloud.caller, TEAM_SANDBOX)
    await sandbox.names(f"{CORE}/namespaces")
    values = {"basic": {"swr_addr": "swr.elsewhere.example"}}
    await cloud("install_addon", cluster_id=TEAM_SANDBOX, template_name="gatekeeper", values=values)
    cloud.world.advance(60)
    assert await sandbox.states("kube-system", "gatekeeper-audit") == ["0/1 ImagePullBackOff"] * 2


async def test_changing_the_add_on_puts_right_what_was_edited_behind_its_back(cloud: Tools) -> None:
    dev = Cluster(cloud.caller, SEARCH_DEV)
    assert await dev.states("kube-system", "coredns") == ["0/1 CrashLoopBackOff", "1/1 Running"]
    (addon,) = (row for row in cloud.world.table("addons").values()
                if (row["spec"]["clusterID"], row["spec"]["addonTemplateName"]) == (SEARCH_DEV, "coredns"))  # fmt: skip
    upgrade(cloud.world, addon, addon["spec"]["version"], {})
    cloud.world.advance(30)
    assert await dev.states("kube-system", "coredns") == ["1/1 Running"] * 2


ODD_VALUES: dict[str, tuple[dict[str, Any], str, int]] = {
    "nothing": ({}, "tool", 1),
    "an image in one piece": ({"image": "quay.io/acme/tool:3", "replicaCount": 4}, "quay.io/acme/tool:3", 4),
    "no tag": ({"image": {"repository": "acme/tool"}}, "acme/tool", 1),
    "values of other types": ({"image": 7, "replicas": "two", "service": "none", "persistence": None}, "tool", 1),
}


@pytest.mark.parametrize("case", ODD_VALUES)
def test_a_stand_in_takes_of_the_values_what_is_plain(case: str) -> None:
    values, image, replicas = ODD_VALUES[case]
    world = simulate().state.world
    ensure_seeded(world, TEAM_SANDBOX)
    release = {"name": "t", "namespace": "default", "chart_name": "tool", "chart_version": "1.0.0", "_values": values}
    with controlled_store(world, TEAM_SANDBOX) as store:
        apply_release(store, release)
    (made,) = store.named("Deployment", "apps", "default")
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert made["spec"]["replicas"] == replicas
    assert [each["metadata"]["name"] for each in store.named("Service", namespace="default")] == ["kubernetes", "t"]


def test_a_release_has_the_objects_that_its_chart_has_now_and_leaves_those_of_others() -> None:
    world = simulate().state.world
    ensure_seeded(world, TEAM_SANDBOX)
    objects = [
        ("apps/v1", "StatefulSet", '"{{ .Release.Name }}-db"'), ("v1", "Secret", "{{- .Release.Name -}}"),
        ("v1", "ConfigMap", '{{ include "tool.fullname" . }}'), ("v1", "ServiceAccount", "runner"),
        ("v1", "Service", "{{ .Release.Name }}"), ("example.com/v1", "Widget", "w"),
    ]  # fmt: skip
    values = {"persistence": {"size": "3Gi"}, "resources": {"requests": {"cpu": "1"}}}
    release = {"name": "t", "namespace": "tools", "chart_name": "tool", "chart_version": "1.0.0", "_values": values}
    with controlled_store(world, TEAM_SANDBOX) as store:
        apply_release(store, {**release, "_objects": objects})
        make(store, known("ConfigMap"), {"metadata": {"name": "mine", "namespace": "tools"}})
    (made,) = store.named("StatefulSet", "apps", "tools")
    assert made["metadata"]["name"] == "t-db"
    assert made["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert store.fetch(known("Service"), "tools", "t")["spec"]["selector"] == {"app": "t-db"}
    assert store.get(known("Secret"), "tools", "t")
    assert store.get(known("ServiceAccount"), "tools", "runner")
    address = store.fetch(known("Service"), "tools", "t")["spec"]["clusterIP"]
    with controlled_store(world, TEAM_SANDBOX) as store:
        apply_release(store, {**release, "_objects": [objects[4], objects[2]], "chart_version": "1.1.0"})
    world.advance(60)
    assert store.named("StatefulSet", "apps", "tools") == []
    assert {each["metadata"]["name"] for each in store.named("ConfigMap", namespace="tools")} == {
        "kube-root-ca.crt", "mine", "t",
    }  # fmt: skip
    kept = store.fetch(known("Service"), "tools", "t")
    assert (kept["spec"]["clusterIP"], kept["metadata"]["labels"]["helm.sh/chart"]) == (address, "tool-1.1.0")
