"""Which storage new pods open: only a new, empty volume is opened without a question."""

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes_calls import CORE
from kubernetes_writing import VOLUME, Scene, made, shop
from test_kubernetes_impacts import DB, STORE, lines, refusing, with_database

from ap_mcp.kubernetes.volume_claims import chooses_content, may_bind

pytestmark = pytest.mark.anyio

IN_SHOP = {"namespace": "shop"}
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk, namespace: shop}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}, storageClassName: %s}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: shop}
spec:
  containers: [{name: reader, image: "busybox:1.36"}]
  volumes: [%s]
"""
BY_NAME = POD % "{name: disk, persistentVolumeClaim: {claimName: disk}}"
FOR_EACH_POD = POD % (
    "{name: disk, ephemeral: {volumeClaimTemplate: {spec: "
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}, storageClassName: disks}}}}"
)


async def asked(scene: Scene, manifest: str) -> dict[str, str]:
    return lines(await scene.apply(manifest, dry_run=True))


def volume(**spec: Any) -> dict[str, Any]:
    status = spec.pop("status", {})
    return {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], **spec}, "status": status}


def claim(**spec: Any) -> dict[str, Any]:
    return {"spec": {"accessModes": ["ReadWriteOnce"], **spec}}


def kept_for(namespace: str, name: str, **more: str) -> dict[str, Any]:
    return {"claimRef": {"namespace": namespace, "name": name, **more}}


FREE = {"storageClassName": "disks", "status": {"phase": "Available"}}


@pytest.mark.parametrize(
    ("there", "wanted", "name", "may"),
    [
        (volume(**FREE), claim(storageClassName="disks"), "disk", True),
        (volume(storageClassName="disks"), claim(storageClassName="disks"), "", True),
        (volume(**FREE), claim(), "disk", True),
        (volume(**FREE), claim(storageClassName="others"), "disk", False),
        (volume(**{**FREE, "accessModes": ["ReadOnlyMany"]}), claim(storageClassName="disks"), "disk", False),
        (volume(**{**FREE, "status": {"phase": "Released"}}), claim(storageClassName="disks"), "disk", False),
        (volume(**kept_for("shop", "disk")), claim(storageClassName="disks"), "disk", True),
        (volume(**kept_for("shop", "disk")), claim(storageClassName="disks"), "", True),
        (volume(**kept_for("shop", "disk", uid="u1")), claim(storageClassName="disks"), "disk", False),
        (volume(**kept_for("shop", "other")), claim(storageClassName="disks"), "disk", False),
        (volume(**kept_for("default", "disk")), claim(storageClassName="disks"), "disk", False),
    ],
)
def test_a_claim_may_be_given_a_free_volume_of_its_class_and_one_that_is_kept_for_it(
    there: Any, wanted: Any, name: str, may: bool
) -> None:
    assert may_bind(there, wanted, "shop", name) is may


@pytest.mark.parametrize(
    ("spec", "chooses"),
    [
        ({"storageClassName": "disks"}, False),
        ({}, False),
        ({"storageClassName": ""}, True),
        ({"storageClassName": "disks", "volumeName": "v"}, True),
        ({"storageClassName": "disks", "selector": {"matchLabels": {"app": "db"}}}, True),
        ({"storageClassName": "disks", "dataSource": {"kind": "VolumeSnapshot", "name": "s"}}, True),
        ({"storageClassName": "disks", "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "c"}}, True),
    ],
)
def test_a_claim_that_names_a_volume_or_a_copy_is_for_no_empty_one(spec: Any, chooses: bool) -> None:
    assert chooses_content({"spec": spec}) is chooses


@pytest.mark.parametrize(
    ("there", "new", "opened"),
    [
        ([], f"{CLAIM % 'disks'}---{BY_NAME}", ""),
        ([], f"{BY_NAME}---{CLAIM % 'disks'}", ""),
        ([], BY_NAME, "volume claim disk"),
        ([CLAIM % "disks"], f"{CLAIM % 'disks'}---{BY_NAME}", "volume claim disk"),
        ([VOLUME % "disks"], f"{CLAIM % 'disks'}---{BY_NAME}", "volume old-disk, which volume claim disk may be given"),
        ([VOLUME % "others"], f"{CLAIM % 'disks'}---{BY_NAME}", ""),
        ([], FOR_EACH_POD, ""),
        ([VOLUME % "disks"], FOR_EACH_POD, "volume old-disk, which the volume claim made for each pod may be given"),
        ([], FOR_EACH_POD.replace("spec: {access", "spec: {volumeName: x, access"), "what the volume claim made for"),
        ([], f"{CLAIM % 'disks, volumeName: x'}---{BY_NAME}", "what volume claim disk chooses"),
    ],
)
async def test_pods_are_asked_about_with_the_storage_that_is_there_already_named(
    tmp_path: Path, there: list[str], new: str, opened: str
) -> None:
    async with shop(tmp_path) as scene:
        for each in there:
            await made(scene.cluster, each)
        shown = await asked(scene, new)
        assert shown["effect"] == ("disrupt" if opened else "write")
        assert opened in shown["warnings"]
        assert ("can change it" in shown["warnings"]) is bool(opened)


async def test_volumes_that_cannot_be_read_leave_a_new_claim_asked(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await refusing(scene, "persistentvolumes")
        shown = await asked(scene, f"{CLAIM % 'disks'}---{BY_NAME}")
        assert shown["effect"] == "disrupt"
        assert "which PersistentVolume it concerns" in shown["unknown"]


@pytest.mark.parametrize("of", ["disks", '""'])
async def test_a_volume_made_by_hand_is_asked_about_for_any_claim_may_be_given_it(tmp_path: Path, of: str) -> None:
    async with shop(tmp_path) as scene:
        assert (await asked(scene, VOLUME % of))["effect"] == "disrupt"


async def test_a_new_stateful_set_takes_over_old_claims_and_names_them(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene)
        await scene.cluster.ok("DELETE", "/apis/apps/v1/namespaces/shop/statefulsets/db")
        database = DB % ("Retain", "Retain")
        shown = await asked(scene, database.replace("replicas: 3", "replicas: 2"))
        assert shown["effect"] == "disrupt"
        assert "volume claim data-db-0, which is there already" in shown["warnings"]
        assert "data-db-1" in shown["warnings"]
        assert "data-db-2" not in shown["warnings"]
        assert (await asked(scene, database.replace("name: db,", "name: other,")))["effect"] == "write"


async def test_more_pods_of_a_stateful_set_that_get_old_claims_are_asked_about(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene)
        place = {"kind": "sts", "name": "db", **IN_SHOP}
        assert lines(await scene.call("k8s_scale", **place, replicas=4, dry_run=True))["effect"] == "write"
        await made(scene.cluster, (CLAIM % "disks").replace("name: disk,", "name: data-db-3,"))
        for tool, more in (("k8s_scale", {"replicas": 4}), ("k8s_patch", {"patch": "spec: {replicas: 4}"})):
            shown = lines(await scene.call(tool, **place, **more, dry_run=True))
            assert shown["effect"] == "disrupt"
            assert "volume claim data-db-3, which is there already" in shown["warnings"]


async def test_a_claim_that_a_workload_newly_mounts_is_named(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "old"}}]
        patch = json.dumps({"spec": {"template": {"spec": {"volumes": volumes}}}})
        given = {"kind": "deploy", "name": "cart", **IN_SHOP, "patch": patch}
        assert "volume claim old" in lines(await scene.call("k8s_patch", **given, dry_run=True))["warnings"]


async def test_a_claim_and_its_pods_of_one_manifest_are_made_without_a_question(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, STORE % "Delete")
        await scene.apply(f"{CLAIM % 'disks'}---{BY_NAME}")
        assert await scene.cluster.names(f"{CORE}/namespaces/shop/persistentvolumeclaims") == ["disk"]
