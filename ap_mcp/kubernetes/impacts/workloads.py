"""Impacts on what runs: which pods end, what loses its endpoints, what undoes it, and what a new template brings."""

from collections.abc import Sequence
from typing import Any

from ap_mcp.kubernetes.changes import REVISION
from ap_mcp.kubernetes.impacts.notes import (
    Notes,
    is_ending,
    labels_of,
    name_of,
    names_of,
)
from ap_mcp.kubernetes.owners import controller_of
from ap_mcp.kubernetes.pods import is_ready
from ap_mcp.kubernetes.secrets_read import containers, pod_spec
from ap_mcp.kubernetes.selectors import selects
from ap_mcp.kubernetes.volume_claims import ordinal_of, replicas_of
from ap_mcp.vendor import get, items, number, text, word
from ap_mcp.wording import few, plural

SCALED = frozenset(
    {"Deployment.apps", "StatefulSet.apps", "ReplicaSet.apps", "DaemonSet.apps", "ReplicationController"}
)
ROLLED = frozenset({"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps"})
MAKES_PODS = SCALED | {"Job.batch"}


async def about_deletion(notes: Notes) -> None:
    """Note what ends with a workload, what loses its endpoints, and what stays."""
    orphaned = any("stays, without an owner" in each for each in notes.step.options)
    pods = await _pods_of(notes)
    if pods is not None:
        ready = sum(map(is_ready, pods))
        notes.stable["pods"] = len(pods)
        if pods:
            line = f"{plural(len(pods), 'pod')} ({ready} ready): {few(names_of(pods), 5)}"
            (notes.stays if orphaned else notes.goes).append(line)
    if not orphaned:
        await _about_services(notes, pods or [])
    await _about_guards(notes, pods_stay=orphaned)
    if notes.change.resource.full == "StatefulSet.apps":
        await _about_its_claims(notes, pods_stay=orphaned)


async def _about_its_claims(notes: Notes, *, pods_stay: bool) -> None:
    """Note the volume claims that a StatefulSet made, and whether they go with it."""
    live = notes.live
    if not items(live, "/spec/volumeClaimTemplates"):
        return
    takes = get(live, "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted") == "Delete" and not pods_stay
    every = await notes.listed("PersistentVolumeClaim", "which volume claims it made")
    found = sorted(name_of(each) for each in every or [] if ordinal_of(live, name_of(each)) is not None)
    notes.stable["claims"] = found
    if found:
        line = f"{plural(len(found), 'volume claim')} of its pods ({few([word(each) for each in found], 5)}), "
        rest = "with what is on them" if takes else "with what is on them; they keep costing"
        (notes.goes if takes else notes.stays).append(line + rest)


async def about_pod(notes: Notes) -> None:
    """Note whether a pod comes back, what is lost with it, and whether something depends on it."""
    pod = notes.live
    if controller_of(pod) is None:
        notes.goes.append("the pod for good: no controller makes another one")
        notes.final = True
    kept_in = [text(get(each, "/name")) for each in items(pod, "/spec/volumes") if "emptyDir" in each]
    if kept_in:
        notes.goes.append(f"what is in its emptyDir volumes: {few([word(each) for each in kept_in])}")
    if is_ready(pod):
        await _about_services(notes, [pod])
    budgets = await notes.listed("PodDisruptionBudget", "which disruption budgets are for it")
    for each in budgets or []:
        if selects(get(each, "/spec/selector"), labels_of(pod)):
            allowed = number(get(each, "/status/disruptionsAllowed"))
            bound = "" if notes.step.posts else "; deleting it does not heed that, evicting it would"
            notes.fact("disruption budget", f"{word(name_of(each))} allows {allowed} more{bound}")
            if allowed == 0 and not notes.step.posts:
                notes.warnings.append(f"Disruption budget {word(name_of(each))} allows no more pods to go.")


async def about_scale(notes: Notes) -> None:
    """Note how many pods go, which Services lose all endpoints, and what will undo it."""
    before, after = replicas_of(notes.change.before), replicas_of(notes.change.after)
    ready = number(get(notes.live, "/status/readyReplicas")) or 0
    notes.fact("ready now", str(int(ready)))
    notes.stable["replicas"] = [before, after]
    scalers = await notes.listed("HorizontalPodAutoscaler", "whether an autoscaler sets it back")
    for each in _for_this(notes, scalers or []):
        if after == 0:
            notes.warnings.append(f"Autoscaler {word(name_of(each))} does nothing while there are 0 replicas.")
        else:
            notes.warnings.append(f"Autoscaler {word(name_of(each))} sets the number itself, and may set it back.")
    if after >= before:
        return
    notes.goes.append(f"{plural(before - after, 'pod')} of {before}")
    if after == 0:
        await _about_services(notes, await _pods_of(notes) or [])
    notes.warnings.append("Disruption budgets are not heeded when a workload is scaled down.")
    if notes.change.resource.full == "StatefulSet.apps":
        name = word(notes.change.name)
        claims = [word(get(each, "/metadata/name")) for each in items(notes.live, "/spec/volumeClaimTemplates")]
        which = f"{name}-{after} to {name}-{before - 1}" if before - after > 1 else f"{name}-{after}"
        notes.goes[-1] = f"pods {which}"
        if claims:
            taken = get(notes.live, "/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete"
            line = f"volume claims {few(claims)} of {which}, "
            (notes.goes if taken else notes.stays).append(line + ("with their data" if taken else "which keep costing"))
            notes.final |= taken


async def about_template(notes: Notes) -> None:
    """Note what a new template of pods brings: images, how they are rolled out, and what it can go back to."""
    before, after = notes.change.before, notes.change.after
    _about_images(notes, pod_spec(before), pod_spec(after))
    rolled = before is not None and notes.change.resource.full in ROLLED
    if not rolled or get(before, "/spec/template") == get(after, "/spec/template"):
        return
    ready = int(number(get(before, "/status/readyReplicas")) or 0)
    kind = get(after, "/spec/strategy/type") or get(after, "/spec/updateStrategy/type") or "RollingUpdate"
    if get(after, "/spec/paused") is True:
        notes.stays.append("running pods, until the rollout is resumed")
    elif kind == "Recreate":
        notes.goes.append(f"all {plural(ready, 'ready pod')} at once, until new ones are ready (strategy Recreate)")
    elif kind == "OnDelete":
        notes.stays.append("running pods, until somebody deletes them (strategy OnDelete)")
    else:
        places = ("/spec/strategy/rollingUpdate/maxUnavailable", "/spec/updateStrategy/rollingUpdate/maxUnavailable")
        most = next((found for place in places if (found := get(after, place)) is not None), None)
        down = f", at most {word(most)} fewer than wanted at a time" if most is not None else ""
        notes.goes.append(f"{plural(ready, 'ready pod')}, replaced one after the other{down}")
    if revision := text(get(before, f"/metadata/annotations/{REVISION.replace('/', '~1')}")):
        notes.fact("can go back to", f"revision {word(revision)}, with k8s_rollout and undo")


def _about_images(notes: Notes, old: Any, new: Any) -> None:
    """Note per container the image that it has and the one that it gets, and one that has no fixed version."""
    has = {text(get(each, "/name")): text(get(each, "/image")) for each in containers(old)}
    for each in containers(new):
        name, image = text(get(each, "/name")), text(get(each, "/image"))
        if has.get(name) == image:
            continue
        if has.get(name):
            notes.facts.insert(0, (f"image of {word(name)}", f"{word(has[name])} becomes {word(image)}"))
        else:
            notes.fact(f"image of {word(name)}", word(image))
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            notes.warnings.append(f"Image {word(image)} has no fixed version: each pod may get another one.")


async def _about_services(notes: Notes, pods: Sequence[Any]) -> None:
    """Note the Services that have no ready pod left once some pods are gone."""
    going = {name_of(each) for each in pods}
    labels = [labels_of(each) for each in pods] or [labels_of(notes.live, "/spec/template/metadata/labels")]
    services = await notes.listed("Service", "which Services lose their endpoints")
    concerned = [
        each for each in services or [] if any(selects(get(each, "/spec/selector"), own) for own in labels if own)
    ]
    if not concerned:
        return
    every = await notes.listed("Pod", "which other pods serve the same Services")
    lost = []
    for service in concerned:
        selector = get(service, "/spec/selector")
        rest = [each for each in every or [] if name_of(each) not in going and is_ready(each) and not is_ending(each)]
        if every is not None and not any(selects(selector, labels_of(each)) for each in rest):
            lost.append(name_of(service))
    if lost:
        names = few([word(each) for each in lost], 5)
        notes.goes.append(f"every endpoint of {'Service' if len(lost) == 1 else 'Services'} {names}")
    notes.stable["services"] = sorted(lost)


async def _about_guards(notes: Notes, *, pods_stay: bool) -> None:
    """Note the autoscalers and disruption budgets that point to nothing afterwards."""
    scalers = await notes.listed("HorizontalPodAutoscaler", "which autoscalers point to it")
    left = [f"autoscaler {word(name_of(each))}" for each in _for_this(notes, scalers or [])]
    budgets = await notes.listed("PodDisruptionBudget", "which disruption budgets are for it")
    labels = labels_of(notes.live, "/spec/template/metadata/labels")
    left += [
        f"disruption budget {word(name_of(each))}"
        for each in budgets or []
        if selects(get(each, "/spec/selector"), labels) and not pods_stay
    ]
    if left:
        notes.stays.append(f"{few(left)}, which then point to nothing")


def _for_this(notes: Notes, scalers: Sequence[Any]) -> list[Any]:
    kind, name = notes.change.resource.kind, notes.change.name
    return [
        each
        for each in scalers
        if get(each, "/spec/scaleTargetRef/kind") == kind and get(each, "/spec/scaleTargetRef/name") == name
    ]


async def _pods_of(notes: Notes) -> list[dict[str, Any]] | None:
    """Return the pods of a workload; None if they are not read."""
    pods = await notes.listed("Pod", "which pods it has")
    if pods is None:
        return None
    selector = get(notes.live, "/spec/selector")
    alive = [each for each in pods if not is_ending(each)]
    if selector is None:
        uid = get(notes.live, "/metadata/uid")
        return [each for each in alive if (controller_of(each) or {}).get("uid") == uid]
    return [each for each in alive if selects(selector, labels_of(each))]


async def about_node(notes: Notes) -> None:
    """Note the pods that run on a node."""
    query = {"fieldSelector": f"spec.nodeName={notes.change.name}"}
    pods = await notes.listed("Pod", "which pods run on it", "", query)
    if pods is not None:
        notes.fact("pods on it", f"{len(pods)}: {few(names_of(pods), 8)}" if pods else "none")
    notes.warnings.append("On Autopilot, nodes are changed by the service and not by users.")
