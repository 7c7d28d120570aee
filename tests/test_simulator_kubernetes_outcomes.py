"""What keeps pods, claims and autoscalers of a simulated cluster from doing what they should, as they show it."""

from typing import Any

import pytest
from kubernetes_calls import CORE, cluster

pytestmark = pytest.mark.anyio
pytestmark = pytest.mark.anyio


def pod(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "a:1", **container}], **spec}}


CLAIM = [{"name": "data", "persistentVolumeClaim": {"claimName": "gone"}}]
STATES: dict[str, tuple[dict[str, Any], str]] = {
    "registry that nobody knows": (pod({"image": "registry.invalid/a:1"}), "0/1 ImagePullBackOff"),
    "first container crashes": (pod({}, initContainers=[{"name": "first", "image": "a:crashing"}]),
                                "0/1 Init:CrashLoopBackOff"),
    "no such claim": (pod({}, volumes=CLAIM), "0/1 Pending"),
    "probe by the name of a port": (pod({"ports": [{"name": "web", "containerPort": 80}],
                                         "readinessProbe": {"httpGet": {"port": "web"}}}), "1/1 Running"),
    "probe of a port that is not said": (pod({"readinessProbe": {"tcpSocket": {"port": 81}}}), "1/1 Running"),
    "probe of another port": (pod({"ports": [{"containerPort": 80}], "readinessProbe": {"tcpSocket": {"port": 81}}}),
                              "0/1 Running"),
    "ends at once and is not started again": (pod({"image": "a:crashing"}, restartPolicy="Never"), "0/1 Error"),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
async def test_a_pod_shows_what_keeps_it_from_running(case: str) -> None:
    manifest, state = STATES[case]
    sandbox = cluster()
    await sandbox.ok("POST", f"{CORE}/namespaces/default/pods", manifest)
    sandbox.world.advance(60)
    ((_, ready, shown, *_),) = await sandbox.table(f"{CORE}/namespaces/default/pods")
    assert f"{ready} {shown}" == state


async def test_a_claim_without_a_class_waits_and_a_volume_goes_with_its_claim() -> None:
    sandbox = cluster()
    claims = f"{CORE}/namespaces/default/persistentvolumeclaims"
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await sandbox.ok("POST", claims, {"metadata": {"name": "plain"}, "spec": spec})
    await sandbox.ok("POST", claims, {"metadata": {"name": "disk"}, "spec": {**spec, "storageClassName": "csi-disk"}})
    assert [row[:2] for row in await sandbox.table(claims)] == [["disk", "Bound"], ["plain", "Pending"]]
    events = (await sandbox.ok("GET", f"{CORE}/namespaces/default/events"))["items"]
    assert "no storage class is set" in next(each["message"] for each in events if each["reason"] == "FailedBinding")
    assert len(await sandbox.names(f"{CORE}/persistentvolumes")) == 1
    await sandbox.ok("DELETE", f"{claims}/disk")
    assert await sandbox.names(f"{CORE}/persistentvolumes") == []


async def test_an_autoscaler_without_its_target_says_so() -> None:
    sandbox = cluster()
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3}
    await sandbox.ok("POST", path, {"metadata": {"name": "web"}, "spec": spec})
    (condition,) = (await sandbox.ok("GET", f"{path}/web"))["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "FailedGetScale")
    assert 'Deployment "web" not found' in condition["message"]
