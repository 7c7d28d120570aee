"""Impacts on data: what a namespace holds, which disk a claim stands for, and whether the disk goes with it."""

from collections.abc import Sequence
from typing import Any

from anyio import create_task_group

from ap_mcp.aside import on_the_loop
from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.api import NAMES_ONLY
from ap_mcp.kubernetes.impacts.notes import (
    Notes,
    kind_of,
    labels_of,
    name_of,
    names_of,
)
from ap_mcp.kubernetes.impacts.objects import count_of
from ap_mcp.kubernetes.pods import has_ended
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.volume_claims import ordinal_of, ordinals_of
from ap_mcp.vendor import get, items, strings, text, word
from ap_mcp.wording import few, plural

NO_CONTENT = frozenset(
    {
        *("Event", "Event.events.k8s.io", "PodMetrics.metrics.k8s.io", "Endpoints", "EndpointSlice.discovery.k8s.io"),
        *("Lease.coordination.k8s.io", "ReplicaSet.apps", "ControllerRevision.apps"),
    }
)
"""What others make anew, or what is not missed: it is not worth a line."""
HELM_LABELS = "owner=helm"


async def about_namespace(notes: Notes) -> None:
    """Note everything that goes with a namespace: counts per kind, disks, addresses, releases, pods that run."""
    name = notes.change.name
    notes.final = True
    try:
        served = await notes.api.served()
    except ApMcpError as error:
        notes.unread("what is in the namespace", error)
        return
    kinds = {each.full: each for each in served if each.namespaced and (not each.verbs or "list" in each.verbs)}
    counts = await _counts(notes, name, [each for full, each in kinds.items() if full not in NO_CONTENT])
    notes.stable["counts"] = counts
    claims = await notes.listed("PersistentVolumeClaim", "which volume claims are in it", name) or []
    if claims:
        await _about_claims(notes, claims)
    services = await notes.listed("Service", "which Services are in it", name) or []
    balancers = [each for each in services if get(each, "/spec/type") == "LoadBalancer"]
    for each in balancers:
        entries = items(each, "/status/loadBalancer/ingress")
        shown = few([word(get(one, "/ip") or get(one, "/hostname")) for one in entries]) or "no address yet"
        notes.goes.append(f"load balancer of Service {word(name_of(each))} ({shown}); the address is lost")
    await _about_releases(notes, name)
    held = sorted((full for full, count in counts.items() if count), key=lambda each: -counts[each])
    listed = ", ".join(f"{counts[full]} {word(full.partition('.')[0])}" for full in held)
    notes.goes.insert(0, listed or "nothing: the namespace is empty")
    pods = await notes.listed("Pod", "which pods run in it", name, {"fieldSelector": "status.phase=Running"})
    if pods:
        notes.warnings.insert(0, f"{plural(len(pods), 'pod')} run in it now: {few(names_of(pods), 5)}.")
    finalizers = [*strings(notes.live, "/spec/finalizers"), *strings(notes.live, "/metadata/finalizers")]
    others = [each for each in finalizers if each != "kubernetes"]
    if others:
        notes.warnings.append(f"Finalizers that may hang: {few([word(each) for each in others])}.")


@on_the_loop
async def _counts(notes: Notes, namespace: str, kinds: Sequence[Resource]) -> dict[str, int]:
    """Return how many objects of each kind a namespace holds; each is asked for by a request for one of them."""
    counts: dict[str, int] = {}
    failed: list[tuple[str, ApMcpError]] = []

    async def count(resource: Resource) -> None:
        try:
            listed = await notes.api.list(resource, namespace, accept=NAMES_ONLY, query={"limit": "1"})
        except ApMcpError as error:
            failed.append((resource.full, error))
            return
        counts[resource.full] = count_of(listed)

    async with create_task_group() as group:
        for each in kinds:
            group.start_soon(count, each)
    for full, error in sorted(failed, key=lambda each: each[0]):
        notes.unread(f"how many {word(full)} are in it", error)
    # Every namespace has these, and they come back by themselves.
    if counts.get("ConfigMap") == 1 and counts.get("ServiceAccount") == 1 and sum(counts.values()) == 2:
        counts = {}
    return dict(sorted(counts.items()))


async def _about_claims(notes: Notes, claims: Sequence[Any]) -> None:
    volumes = await notes.listed("PersistentVolume", "what becomes of the disks", "")
    policies = {name_of(each): text(get(each, "/spec/persistentVolumeReclaimPolicy")) for each in volumes or []}
    for each in claims:
        size = text(get(each, "/status/capacity/storage") or get(each, "/spec/resources/requests/storage"))
        policy = policies.get(text(get(each, "/spec/volumeName")), "")
        what = f"volume claim {word(name_of(each))} ({word(size) or 'size not reported'})"
        if policy == "Retain":
            notes.stays.append(f"the disk of {what}, which keeps costing")
        else:
            after = ", with its disk and data" if policy else "; whether its disk goes is not known"
            notes.goes.append(f"{what}{after}")


async def _about_releases(notes: Notes, namespace: str) -> None:
    try:
        listed = await notes.api.list(
            kind_of("Secret"), namespace, accept=NAMES_ONLY, query={"labelSelector": HELM_LABELS, "limit": "500"}
        )
    except ApMcpError as error:
        notes.unread("which releases are in it", error)
        return
    names = sorted({labels_of(each).get("name", "") for each in items(listed, "/items")} - {""})
    if names:
        notes.goes.append(f"{plural(len(names), 'release')}: {few([word(each) for each in names])}")


async def about_claim(notes: Notes) -> None:
    """Note which disk a claim stands for, whether it goes, and who uses it now."""
    claim = notes.live
    volume = text(get(claim, "/spec/volumeName"))
    size = text(get(claim, "/status/capacity/storage") or get(claim, "/spec/resources/requests/storage"))
    notes.fact("size", word(size))
    storage_class = text(get(claim, "/spec/storageClassName"))
    notes.fact("storage class", word(storage_class) if storage_class else "")
    if volume:
        body = await notes.got("PersistentVolume", volume, "", "what becomes of its disk")
        policy = text(get(body, "/spec/persistentVolumeReclaimPolicy"))
        notes.fact("volume", f"{word(volume)}, reclaim policy {word(policy) if policy else 'not known'}")
        notes.stable["volume"] = [volume, policy]
        if policy == "Retain":
            notes.stays.append(f"volume {word(volume)} with its data; the disk keeps costing")
        elif policy:
            notes.goes.append(f"the disk ({word(size)}) and its data are deleted")
        else:
            notes.unknown.append("whether the disk and its data are deleted")
    else:
        notes.fact("volume", "none yet: it is not bound")
    pods = await notes.listed("Pod", "which pods use it now")
    place = "/persistentVolumeClaim/claimName"
    users = [
        each
        for each in pods or []
        if not has_ended(each) and any(get(one, place) == notes.change.name for one in items(each, "/spec/volumes"))
    ]
    if users:
        names = few(names_of(users), 5)
        notes.warnings.append(f"{plural(len(users), 'pod')} use it now ({names}): it goes once they end.")
        notes.stable["users"] = sorted(map(name_of, users))
    sets = await notes.listed("StatefulSet", "whether a StatefulSet makes an empty one")
    for each in sets or []:
        ordinal = ordinal_of(each, notes.change.name)
        if ordinal in ordinals_of(each):
            pod = f"{word(name_of(each))}-{ordinal}"
            notes.warnings.append(f"StatefulSet {word(name_of(each))} makes an empty one when pod {pod} is made again.")


async def about_volume(notes: Notes) -> None:
    """Note what a volume is claimed by, and what becomes of its disk."""
    policy = text(get(notes.live, "/spec/persistentVolumeReclaimPolicy"))
    claim = get(notes.live, "/spec/claimRef")
    notes.fact("size", word(get(notes.live, "/spec/capacity/storage")))
    notes.fact("reclaim policy", word(policy) if policy else "not reported")
    if claim:
        notes.fact("claimed by", f"{word(get(claim, '/namespace'))}/{word(get(claim, '/name'))}")
    if notes.change.verb == "delete":
        goes = policy == "Delete"
        line = "the disk and its data" if goes else "the disk itself, which keeps costing and is no longer known here"
        (notes.goes if goes else notes.stays).append(line)
