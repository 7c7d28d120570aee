"""Volume claims: bound to a volume that their class makes, or waiting for a class that is not there."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.acting import emit, make, write
from ap_mcp.simulator.kubernetes.controllers import reconciles
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import copied

CLASS, CLAIM = ("StorageClass", "storage.k8s.io"), "PersistentVolumeClaim"
COMPONENT = "persistentvolume-controller"
NO_CLASS = "no persistent volumes available for this claim and no storage class is set"


@reconciles("persistentvolumeclaims")
def claim_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Make the volume of a claim, or say why there is none; a claim that is gone takes its volume with it."""
    kind, metadata = known(CLAIM), item["metadata"]
    old = store.get(kind, metadata["namespace"], metadata["name"])
    if old is None or old["metadata"]["uid"] != metadata["uid"]:
        volume = store.get(known("PersistentVolume"), "", _volume_name(metadata["uid"]))
        if volume is not None:
            store.remove(known("PersistentVolume"), volume)
        return
    if (old.get("status") or {}).get("phase") == "Bound" or old["metadata"].get("deletionTimestamp"):
        return
    wanted = old["spec"].get("storageClassName")
    found = store.get(known(*CLASS), "", wanted) if wanted else None
    if found is None:
        why = f'storageclass.storage.k8s.io "{wanted}" not found' if wanted else NO_CLASS
        new = copied(old)
        new.setdefault("status", {})["phase"] = "Pending"
        write(store, kind, old, new)
        emit(store, old, "Warning" if wanted else "Normal", "ProvisioningFailed" if wanted else "FailedBinding", why,
             COMPONENT, count=1)  # fmt: skip
        return
    _bind(store, old, found)


@reconciles("storageclasses.storage.k8s.io")
def class_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Let the claims that wait for a class react to it."""
    for claim in store.named(CLAIM):
        if claim["spec"].get("storageClassName") == item["metadata"]["name"]:
            claim_changed(store, claim)


def _bind(store: Store, claim: dict[str, Any], storage_class: Mapping[str, Any]) -> None:
    metadata, spec = claim["metadata"], claim["spec"]
    name = _volume_name(metadata["uid"])
    capacity = {"storage": ((spec.get("resources") or {}).get("requests") or {}).get("storage", "1Gi")}
    modes = spec.get("accessModes") or ["ReadWriteOnce"]
    reference = {"kind": CLAIM, "apiVersion": "v1", "namespace": metadata["namespace"], "name": metadata["name"],
                 "uid": metadata["uid"]}  # fmt: skip
    if store.get(known("PersistentVolume"), "", name) is None:
        about = {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": storage_class["provisioner"]}}
        volume = {
            "accessModes": modes, "capacity": capacity, "claimRef": reference, "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "csi": {"driver": "disk.csi.everest.io", "volumeHandle": metadata["uid"]},
        }  # fmt: skip
        made = {"metadata": about, "spec": volume, "status": {"phase": "Bound"}}
        make(store, known("PersistentVolume"), made, manager="everest-csi-provisioner")
    new = copied(claim)
    new["spec"]["volumeName"] = name
    new["status"] = {"phase": "Bound", "accessModes": modes, "capacity": capacity}
    write(store, known(CLAIM), claim, new)
    emit(store, new, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}",
         "everest-csi-provisioner")  # fmt: skip


def _volume_name(uid: str) -> str:
    return f"pvc-{uid}"
