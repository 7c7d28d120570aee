"""Says which volume claims the pods of an object use, and which volumes a claim may be given; pure."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.kubernetes.secrets_read import pod_spec
from ap_mcp.kubernetes.spec import effect_table
from ap_mcp.vendor import get, items, number, strings, text

_OLD_CLASS = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class"
_FREE = ("", "Pending", "Available")


def claims_of(body: Any) -> frozenset[str]:
    """Return the volume claims that the pods of an object mount, except those that are made for each pod."""
    volumes = items(pod_spec(body), "/volumes")
    return frozenset(text(get(each, "/persistentVolumeClaim/claimName")) for each in volumes) - {""}


def templates_of(body: Any) -> list[dict[str, Any]]:
    """Return the volume claims that are made for each pod of an object, as its templates have them."""
    ephemeral = (get(each, "/ephemeral/volumeClaimTemplate") for each in items(pod_spec(body), "/volumes"))
    return [*items(body, "/spec/volumeClaimTemplates"), *(each for each in ephemeral if isinstance(each, dict))]


def stores_of(spec: Any) -> frozenset[str]:
    """Return the volumes of a pod that are stores elsewhere, which others may use, without a claim to them."""
    own = effect_table().own_volumes
    return frozenset(text(get(each, "/name")) for each in items(spec, "/volumes") if not {*each} - {"name"} <= own)


def chooses_content(claim: Any) -> bool:
    """Say whether a volume claim is for what is there already, a volume or a copy, rather than for an empty volume."""
    chosen = ("volumeName", "selector", "dataSource", "dataSourceRef")
    return any(get(claim, f"/spec/{each}") for each in chosen) or _class_of(claim) == ""


def may_bind(volume: Any, claim: Any, namespace: str, name: str) -> bool:
    """Say whether a volume that is there already may be given to a new claim that chooses none; sizes do not count.

    Args:
        volume: as the cluster has it, or as a manifest makes it.
        claim: as it becomes, or its template.
        namespace: of the claim.
        name: of the claim; empty if it is made for each pod, and may be called as it will.
    """
    if (kept := get(volume, "/spec/claimRef")) is not None:
        # Only a volume that is kept for a name, and was not given out yet, has no uid there.
        fits = not name or text(get(kept, "/name")) == name
        return fits and text(get(kept, "/namespace")) == namespace and not get(kept, "/uid")
    if text(get(volume, "/status/phase")) not in _FREE or get(volume, "/metadata/deletionTimestamp"):
        return False
    wanted = _class_of(claim)
    modes = {*strings(claim, "/spec/accessModes")} <= {*strings(volume, "/spec/accessModes")}
    return modes and wanted in (None, _class_of(volume) or "")


def _class_of(body: Any) -> str | None:
    """Return the storage class of a claim or volume; None if it has none yet, so that the server may give it one."""
    found = get(body, "/spec/storageClassName", get(body, _OLD_CLASS))
    return None if found is None else text(found)


def ordinal_of(stateful_set: Any, claim: str) -> int | None:
    """Return the number of the pod that a StatefulSet made a volume claim for; None if the claim is none of its."""
    name = text(get(stateful_set, "/metadata/name"))
    for each in items(stateful_set, "/spec/volumeClaimTemplates"):
        number_said = claim.removeprefix(f"{text(get(each, '/metadata/name'))}-{name}-")
        if number_said != claim and number_said.isdecimal():
            return int(number_said)
    return None


def ordinals_of(stateful_set: Any) -> range:
    """Return the numbers of the pods of a StatefulSet; none if there is none."""
    first = int(number(get(stateful_set, "/spec/ordinals/start")) or 0)
    return range(first, first + replicas_of(stateful_set)) if isinstance(stateful_set, Mapping) else range(0)


def replicas_of(body: Any) -> int:
    """Return how many replicas an object is to have; one if it does not say."""
    found = number(get(body, "/spec/replicas"))
    return 1 if found is None else int(found)
