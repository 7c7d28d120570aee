"""Deletes objects: finalizers, what they own, pods that are given time to end, and namespaces with all they hold."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ap_mcp.simulator.kubernetes.admission import admit_deletion
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.options import DeleteOptions
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

STOP_SECONDS = 2.0
"""How long a pod takes to end, if it is given as much."""

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
DEFAULT_GRACE = 30


def delete(store: Store, kind: Kind, item: Row, options: DeleteOptions) -> tuple[Row, bool]:
    """Delete an object, or begin to; returns what it is now or was at last, and whether it is gone.

    Raises:
        StatusError: 403 if it may not be deleted, 409 if the preconditions are not met.
    """
    options.check(kind, item)
    admit_deletion(kind, item)
    changed = copied(item)
    metadata = changed["metadata"]
    grace = _grace(kind, item, options)
    finalizers = [*(metadata.get("finalizers") or ()), *_own_finalizers(kind, options, metadata)]
    held = bool(finalizers) or bool(kind.storage == "namespaces" and (item.get("spec") or {}).get("finalizers"))
    if options.dry_run:
        return changed, not (held or grace)
    if not held and not grace:
        return store.remove(kind, item), True
    if metadata.get("deletionTimestamp") and not (kind.storage == "pods" and options.grace == 0):
        return item, False
    if finalizers:
        metadata["finalizers"] = finalizers
    metadata["deletionTimestamp"] = store.world.iso_timestamp(store.world.now() + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    if "generation" in metadata:
        metadata["generation"] += 1
    if kind.storage == "namespaces":
        changed["status"] = {"phase": "Terminating"}
        del metadata["deletionGracePeriodSeconds"]
    kept = store.put(kind, changed)
    if kind.storage == "pods" and grace:
        store.world.schedule(
            min(grace, STOP_SECONDS), "kubernetes.pod_stopped",
            cluster_id=store.cluster_id, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"],
        )  # fmt: skip
    return kept, False


def finish_deletion(store: Store, kind: Kind, item: Row) -> bool:
    """Take an object out that is being deleted and that nothing holds any more; says whether it was so."""
    metadata = item["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if kind.storage == "namespaces" and (item.get("spec") or {}).get("finalizers"):
        return False
    if kind.storage == "pods" and metadata.get("deletionGracePeriodSeconds"):
        return False
    store.remove(kind, item)
    return True


def _grace(kind: Kind, item: Mapping[str, Any], options: DeleteOptions) -> int:
    if kind.storage != "pods" or (item.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return options.grace
    return int(item["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE))


def _own_finalizers(kind: Kind, options: DeleteOptions, metadata: Mapping[str, Any]) -> list[str]:
    if kind.storage in ("pods", "namespaces", "events"):
        return []
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(options.propagation)
    return [wanted] if wanted and wanted not in (metadata.get("finalizers") or ()) else []
