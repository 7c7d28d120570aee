"""Deployments, ReplicaSets and StatefulSets: what they make, how they roll out, and the status they report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.kubernetes.acting import (
    condition,
    controlled,
    digest,
    drop_condition,
    emit,
    make,
    owner_reference,
    suffix,
    write,
)
from ap_mcp.simulator.kubernetes.controllers import acting_on, reconciles
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.pods import is_active, is_ready, make_pod, stop_pod
from ap_mcp.simulator.kubernetes.statuses import StatusError
from ap_mcp.simulator.kubernetes.store import Store, owner_of
from ap_mcp.simulator.world import Row, World, copied

HASH, REVISION_HASH = "pod-template-hash", "controller-revision-hash"
REVISION = "deployment.kubernetes.io/revision"
DEPLOYMENT, REPLICA_SET, STATEFUL_SET = ("Deployment", "apps"), ("ReplicaSet", "apps"), ("StatefulSet", "apps")


@reconciles("deployments.apps")
def deployment_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Bring the ReplicaSets of a Deployment one step nearer to what it asks for, and report its status."""
    kind = known(*DEPLOYMENT)
    old = store.get(kind, item["metadata"]["namespace"], item["metadata"]["name"])
    if old is None or old["metadata"].get("deletionTimestamp"):
        return
    sets = controlled(store, known(*REPLICA_SET), old)
    newest = next((each for each in sets if _template(each) == old["spec"]["template"]), None)
    if not old["spec"].get("paused"):
        newest = _new_set(store, old, sets, newest)
        _roll(store, old, newest)
        _forget_old_sets(store, old, newest)
    elif newest is not None:
        _scale(store, newest, old["spec"]["replicas"])
    _report_deployment(store, old)


@reconciles("replicasets.apps")
def replica_set_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Make or stop pods until there are as many as a ReplicaSet asks for, and report its status."""
    _reconcile_replica_set(store, item, again=False)


@reconciles("resourcequotas")
def quota_of_replica_sets_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Try again what a quota may have kept from being made."""
    for each in store.all(known(*REPLICA_SET), item["metadata"]["namespace"]):
        if _failure(each) is not None:
            _reconcile_replica_set(store, each, again=True)


def _failure(replica_set: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition that says why a ReplicaSet has too few pods, if it does."""
    conditions = (replica_set.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == "ReplicaFailure"), None)


def _reconcile_replica_set(store: Store, item: Mapping[str, Any], *, again: bool) -> None:
    kind = known(*REPLICA_SET)
    namespace = item["metadata"]["namespace"]
    old = store.get(kind, namespace, item["metadata"]["name"])
    if old is not None and not old["metadata"].get("deletionTimestamp"):
        status = old.get("status") or {}
        same = status.get("observedGeneration") == old["metadata"].get("generation", 1)
        refusal = _fill(store, old, waits=not again and same and _failure(old) is not None)
        new = _shallow(store.fetch(kind, namespace, old["metadata"]["name"]))
        pods = [each for each in controlled(store, known("Pod"), new) if is_active(each)]
        ready = sum(map(is_ready, pods))
        counts = {"fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        status = {name: count for name, count in counts.items() if count}
        status |= {"replicas": len(pods), "observedGeneration": new["metadata"].get("generation", 1)}
        if "conditions" in new.get("status", {}):
            status["conditions"] = new["status"]["conditions"]
        if refusal:
            condition(store, status, "ReplicaFailure", "True", "FailedCreate", refusal)
        elif "conditions" in status:
            drop_condition(status, "ReplicaFailure")
        new["status"] = status
        write(store, kind, old, new)
    owner = owner_of(item)
    if owner is not None and owner["kind"] == "Deployment":
        above = store.get(known(*DEPLOYMENT), namespace, owner["name"])
        if above is not None:
            deployment_changed(store, above)


@reconciles("statefulsets.apps")
def stateful_set_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Make, replace or stop the numbered pods of a StatefulSet, one after the other, and report its status."""
    kind = known(*STATEFUL_SET)
    old = store.get(kind, item["metadata"]["namespace"], item["metadata"]["name"])
    if old is None or old["metadata"].get("deletionTimestamp"):
        return
    name, wanted = old["metadata"]["name"], old["spec"]["replicas"]
    revision = f"{name}-{digest(old['spec']['template'])}"
    pods = {_ordinal(each): each for each in controlled(store, known("Pod"), old)}
    _step_of_stateful_set(store, old, revision, pods)
    pods = {_ordinal(each): each for each in controlled(store, known("Pod"), old)}
    active = [each for each in pods.values() if is_active(each)]
    updated = [each for each in active if each["metadata"]["labels"].get(REVISION_HASH) == revision]
    before = (old.get("status") or {}).get("currentRevision") or revision
    new = copied(old)
    new["status"] = {
        **{key: value for key, value in (old.get("status") or {}).items() if key == "conditions"},
        "observedGeneration": old["metadata"].get("generation", 1),
        "replicas": len(active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(map(is_ready, active)),
        "updatedReplicas": len(updated),
        "updateRevision": revision,
        "currentRevision": revision if len(updated) == wanted else before,
        "currentReplicas": len(updated) if len(updated) == wanted else len(active) - len(updated),
        "collisionCount": 0,
    }
    write(store, kind, old, new)


@reacts_to("kubernetes.deadline")
def _deadline(world: World, *, cluster_id: str, namespace: str, name: str) -> None:
    with acting_on(world, cluster_id) as store:
        found = store and store.get(known(*DEPLOYMENT), namespace, name)
        if store and found:
            _report_deployment(store, found)


def _template(replica_set: Mapping[str, Any]) -> Any:
    """Return the template of a ReplicaSet as its Deployment has it."""
    template = replica_set["spec"]["template"]
    metadata = template.get("metadata", {})
    if HASH not in metadata.get("labels", {}):
        return template
    labels = {key: value for key, value in metadata["labels"].items() if key != HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _new_set(store: Store, deployment: Row, sets: Sequence[Row], newest: Row | None) -> Row:
    """Return the ReplicaSet of a Deployment's present template, made if need be, with the highest revision."""
    kind = known(*REPLICA_SET)
    others = [each for each in sets if newest is None or each["metadata"]["uid"] != newest["metadata"]["uid"]]
    revision = str(1 + max((_revision(each) for each in others), default=0))
    if newest is not None:
        changed = _shallow(newest)
        _number(changed, max(int(revision), _revision(newest)))
        return write(store, kind, newest, changed)
    spec, metadata = deployment["spec"], deployment["metadata"]
    hash_ = digest(spec["template"])
    template = copied(spec["template"])
    labels = {**template.setdefault("metadata", {}).get("labels", {}), HASH: hash_}
    template["metadata"]["labels"] = labels
    selector = copied(spec["selector"])
    selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH: hash_}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    made = {
        "metadata": {
            "name": f"{metadata['name']}-{hash_}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {**annotations, REVISION: revision},
            "ownerReferences": [owner_reference(known(*DEPLOYMENT), deployment)],
            "generation": 1,
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
        "status": {"replicas": 0},
    }
    return make(store, kind, made)


def _revision(item: Mapping[str, Any]) -> int:
    return int((item["metadata"].get("annotations") or {}).get(REVISION, 0))


def _number(item: Row, revision: int) -> None:
    """Set the revision of an object whose metadata are its own."""
    item["metadata"]["annotations"] = {**item["metadata"].get("annotations", {}), REVISION: str(revision)}


def _shallow(item: Row) -> Row:
    """Copy an object whose metadata and status alone are to be replaced: what is below them stays shared."""
    return {**item, "metadata": dict(item["metadata"])}


def _roll(store: Store, deployment: Row, newest: Row) -> None:
    spec = deployment["spec"]
    wanted = spec["replicas"]
    sets = controlled(store, known(*REPLICA_SET), deployment)
    olds = [each for each in sets if each["metadata"]["uid"] != newest["metadata"]["uid"]]
    if spec["strategy"]["type"] == "Recreate":
        for each in olds:
            _scale(store, each, 0, deployment)
        if not any(pod for each in olds for pod in controlled(store, known("Pod"), each)):
            _scale(store, newest, wanted, deployment)
        return
    rolling = spec["strategy"].get("rollingUpdate") or {}
    surge = _part(rolling.get("maxSurge", 0), wanted, up=True)
    missing = _part(rolling.get("maxUnavailable", 0), wanted, up=False)
    if not surge and not missing:
        missing = 1
    total = sum(each["spec"]["replicas"] for each in sets)
    size = newest["spec"]["replicas"]
    if size > wanted:
        newest = _scale(store, newest, wanted, deployment)
    elif size < wanted:
        newest = _scale(store, newest, size + max(0, min(wanted + surge - total, wanted - size)), deployment)
    _shrink_olds(store, deployment, olds, newest, wanted - missing)


def _shrink_olds(store: Store, deployment: Row, olds: Sequence[Row], newest: Row, least: int) -> None:
    """Scale old ReplicaSets down as far as enough pods stay available: those that do not run first."""
    total = sum(each["spec"]["replicas"] for each in (*olds, newest))
    spare = total - least - (newest["spec"]["replicas"] - _available(newest))
    for each in olds:
        broken = each["spec"]["replicas"] - _available(each)
        less = min(spare, broken)
        if less > 0:
            _scale(store, each, each["spec"]["replicas"] - less, deployment)
            spare -= less
    room = sum(map(_available, (*olds, newest))) - least
    for each in sorted(olds, key=_revision):
        current = store.fetch(known(*REPLICA_SET), each["metadata"]["namespace"], each["metadata"]["name"])
        less = min(room, current["spec"]["replicas"], max(spare, 0))
        if less > 0:
            _scale(store, current, current["spec"]["replicas"] - less, deployment)
            room, spare = room - less, spare - less


def _available(replica_set: Mapping[str, Any]) -> int:
    status = replica_set.get("status") or {}
    return min(int(status.get("availableReplicas", 0)), int(replica_set["spec"]["replicas"]))


def _part(value: Any, whole: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = whole * int(value[:-1]) / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def _scale(store: Store, replica_set: Row, replicas: int, deployment: Row | None = None) -> Row:
    before = replica_set["spec"]["replicas"]
    if before == replicas:
        return replica_set
    changed = copied(replica_set)
    changed["spec"]["replicas"] = replicas
    changed["metadata"]["generation"] = changed["metadata"].get("generation", 1) + 1
    if deployment is not None:
        direction = "up" if replicas > before else "down"
        said = f"Scaled {direction} replica set {replica_set['metadata']['name']} from {before} to {replicas}"
        emit(store, deployment, "Normal", "ScalingReplicaSet", said, "deployment-controller")
    return write(store, known(*REPLICA_SET), replica_set, changed)


def _forget_old_sets(store: Store, deployment: Row, newest: Row) -> None:
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    sets = controlled(store, known(*REPLICA_SET), deployment)
    empty = [
        each
        for each in sets
        if each["metadata"]["uid"] != newest["metadata"]["uid"]
        and not each["spec"]["replicas"]
        and not (each.get("status") or {}).get("replicas")
    ]
    for each in sorted(empty, key=_revision)[: max(0, len(empty) - limit)]:
        store.remove(known(*REPLICA_SET), each)


def _report_deployment(store: Store, item: Mapping[str, Any]) -> None:
    kind = known(*DEPLOYMENT)
    old = store.fetch(kind, item["metadata"]["namespace"], item["metadata"]["name"])
    sets = controlled(store, known(*REPLICA_SET), old)
    newest = next((each for each in sets if _template(each) == old["spec"]["template"]), None)
    wanted = old["spec"]["replicas"]
    total, available = (sum((each.get("status") or {}).get(name, 0) for each in sets)
                        for name in ("replicas", "availableReplicas"))  # fmt: skip
    updated = (newest.get("status") or {}).get("replicas", 0) if newest else 0
    ready_new = (newest.get("status") or {}).get("availableReplicas", 0) if newest else 0
    new = _shallow(old)
    counts = {
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        "unavailableReplicas": max(0, total - available, wanted - available),
    }
    status: Row = {name: count for name, count in counts.items() if count}
    status["observedGeneration"] = old["metadata"].get("generation", 1)
    status["conditions"] = (old.get("status") or {}).get("conditions", [])
    missing = _part(((old["spec"]["strategy"].get("rollingUpdate")) or {}).get("maxUnavailable", 0), wanted, up=False)
    enough = available >= wanted - missing
    condition(
        store, status, "Available", "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "Deployment has minimum availability." if enough else "Deployment does not have minimum availability.",
    )  # fmt: skip
    done = updated == wanted and ready_new == wanted and total == wanted
    _report_progress(store, old, status, newest, done=done, progress=(updated, available, total))
    failure = _failure(newest) if newest else None
    if failure is not None:
        condition(store, status, "ReplicaFailure", "True", "FailedCreate", failure["message"])
    else:
        drop_condition(status, "ReplicaFailure")
    new["status"] = status
    if newest is not None:
        _number(new, _revision(newest))
    write(store, kind, old, new)


def _report_progress(
    store: Store, deployment: Row, status: Row, newest: Row | None, *, done: bool, progress: tuple[int, int, int]
) -> None:
    """Report whether a rollout goes on, is done, or has made no progress for too long."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    name = newest["metadata"]["name"] if newest else ""
    said = next((each for each in status["conditions"] if each["type"] == "Progressing"), None)
    before = deployment.get("status") or {}
    stood = (before.get("updatedReplicas", 0), before.get("availableReplicas", 0), before.get("replicas", 0))
    now = store.world.iso_timestamp()
    if spec.get("paused"):
        condition(store, status, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        return
    if done:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        condition(store, status, "Progressing", "True", "NewReplicaSetAvailable", text)
        found = next(each for each in status["conditions"] if each["type"] == "Progressing")
        found["lastUpdateTime"] = (said or {}).get("lastUpdateTime", now) if said == found else now
        return
    before_last = said is not None and said.get("reason") == "NewReplicaSetAvailable"
    if before_last and said is not None and f'"{name}"' in said.get("message", "") and progress[0] == progress[2]:
        return  # a rollout that was done stays so, whatever becomes of its pods
    restarted = said is None or before_last or said.get("reason") == "DeploymentPaused"
    if restarted or (stood != progress and (said or {}).get("reason") != "ProgressDeadlineExceeded"):
        condition(store, status, "Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        found = next(each for each in status["conditions"] if each["type"] == "Progressing")
        if restarted or found.get("lastUpdateTime") != now:
            found["lastUpdateTime"] = now
            store.world.schedule(
                spec.get("progressDeadlineSeconds", 600) + 1, "kubernetes.deadline",
                cluster_id=store.cluster_id, namespace=metadata["namespace"], name=metadata["name"],
            )  # fmt: skip
        return
    if _overdue(store, said or {}, spec.get("progressDeadlineSeconds", 600)):
        text = f'ReplicaSet "{name}" has timed out progressing.'
        condition(store, status, "Progressing", "False", "ProgressDeadlineExceeded", text)


def _overdue(store: Store, said: Mapping[str, Any], seconds: int) -> bool:
    since = parse_timestamp(said.get("lastUpdateTime") or said["lastTransitionTime"])
    return (store.world.now() - since).total_seconds() > seconds


def _fill(store: Store, replica_set: Row, *, waits: bool) -> str:
    """Make or stop pods; returns what kept one from being made, which is not tried again while it `waits`."""
    kind = known(*REPLICA_SET)
    pods = [each for each in controlled(store, known("Pod"), replica_set) if is_active(each)]
    wanted = replica_set["spec"]["replicas"]
    name = replica_set["metadata"]["name"]
    first_to_go = sorted(pods, key=lambda pod: (is_ready(pod), pod["metadata"]["creationTimestamp"]))
    for each in first_to_go[: max(0, len(pods) - wanted)]:
        emit(store, replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {each['metadata']['name']}",
             "replicaset-controller")  # fmt: skip
        stop_pod(store, each)
    failure = _failure(replica_set)
    if waits and failure is not None and len(pods) < wanted:
        return str(failure["message"])
    for _ in range(wanted - len(pods)):
        try:
            made = make_pod(store, kind, replica_set, replica_set["spec"]["template"], f"{name}-{suffix(store)}")
        except StatusError as refusal:
            said = f"Error creating: {refusal.message}"
            emit(store, replica_set, "Warning", "FailedCreate", said, "replicaset-controller")
            return refusal.message
        emit(store, replica_set, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}",
             "replicaset-controller")  # fmt: skip
    return ""


def _ordinal(pod: Mapping[str, Any]) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _step_of_stateful_set(store: Store, item: Row, revision: str, pods: Mapping[int, Row]) -> None:
    """Do the next thing: stop what is too much, make what is missing, replace what is old."""
    spec = item["spec"]
    surplus = [number for number in pods if number >= spec["replicas"]]
    if surplus:
        stop_pod(store, pods[max(surplus)])
        return
    for number in range(spec["replicas"]):
        pod = pods.get(number) or _numbered_pod(store, item, revision, number)
        if pod is None or (spec.get("podManagementPolicy") != "Parallel" and not is_ready(pod)):
            break
    update = spec.get("updateStrategy") or {}
    if update.get("type") != "OnDelete":
        _replace_old_pod(store, pods, revision, (update.get("rollingUpdate") or {}).get("partition", 0))


def _numbered_pod(store: Store, item: Row, revision: str, number: int) -> Row | None:
    """Make the pod of a number; None if it is not admitted."""
    name = item["metadata"]["name"]
    _claims(store, item, number)
    template = copied(item["spec"]["template"])
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels |= {
        REVISION_HASH: revision,
        "statefulset.kubernetes.io/pod-name": f"{name}-{number}",
        "apps.kubernetes.io/pod-index": str(number),
    }
    _mount_claims(item, template, number)
    try:
        return make_pod(store, known(*STATEFUL_SET), item, template, f"{name}-{number}")
    except StatusError as refusal:
        said = f"create Pod {name}-{number} in StatefulSet {name} failed error: {refusal.message}"
        emit(store, item, "Warning", "FailedCreate", said, "statefulset-controller")
        return None


def _replace_old_pod(store: Store, pods: Mapping[int, Row], revision: str, partition: int) -> None:
    """Stop the last pod of an older revision, once those behind it are ready."""
    for number in sorted(pods, reverse=True):
        pod = pods[number]
        if number >= partition and pod["metadata"]["labels"].get(REVISION_HASH) != revision:
            if is_active(pod):
                stop_pod(store, pod)
            return
        if not is_ready(pod):
            return


def _claims(store: Store, item: Row, number: int) -> None:
    kind = known("PersistentVolumeClaim")
    for template in item["spec"].get("volumeClaimTemplates") or ():
        metadata = template["metadata"]
        name = f"{metadata['name']}-{item['metadata']['name']}-{number}"
        if store.get(kind, item["metadata"]["namespace"], name) is None:
            labels = {**(item["spec"]["selector"].get("matchLabels") or {}), **metadata.get("labels", {})}
            about = {"name": name, "namespace": item["metadata"]["namespace"], "labels": labels}
            make(store, kind, {"metadata": about, "spec": copied(template["spec"]), "status": {"phase": "Pending"}})


def _mount_claims(item: Row, template: Row, number: int) -> None:
    volumes = template["spec"].setdefault("volumes", [])
    for claim in item["spec"].get("volumeClaimTemplates") or ():
        name = claim["metadata"]["name"]
        full = f"{name}-{item['metadata']['name']}-{number}"
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": full}})
    if not volumes:
        del template["spec"]["volumes"]


@reconciles("pods")
def pod_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Let what controls a pod react to its change."""
    owner = owner_of(item)
    reaction = {"ReplicaSet": (REPLICA_SET, replica_set_changed), "StatefulSet": (STATEFUL_SET, stateful_set_changed)}
    if owner is None or owner["kind"] not in reaction:
        return
    kind, react = reaction[owner["kind"]]
    above = store.get(known(*kind), item["metadata"]["namespace"], owner["name"])
    if above is not None and above["metadata"]["uid"] == owner["uid"]:
        react(store, above)
