"""The life of pods: made, scheduled, started, finished, stopped; and what keeps one from running."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp, short_timestamp
from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.kubernetes.acting import condition, emit, make, owner_reference, write
from ap_mcp.simulator.kubernetes.admission import admit_creation
from ap_mcp.simulator.kubernetes.controllers import acting_on, reconciles
from ap_mcp.simulator.kubernetes.defaults import containers, fill
from ap_mcp.simulator.kubernetes.deletion import delete
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.options import DeleteOptions
from ap_mcp.simulator.kubernetes.pod_outcomes import Trouble, has_room, image_id, tries, trouble_of
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, World, copied

START_SECONDS = 3.0
"""How long a pod takes from being scheduled to running."""

RUN_SECONDS = 5.0
"""How long a pod runs that is meant to end by itself."""

RETRY_SECONDS = 2.0
"""How soon a pod is tried again once what it waited for is there."""

RETRY_AFTER = 2 * START_SECONDS
"""How old a pod is that is tried again for no reason but time."""


def is_active(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod counts as one that runs or will."""
    phase = (pod.get("status") or {}).get("phase")
    return not pod["metadata"].get("deletionTimestamp") and phase not in ("Succeeded", "Failed")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return is_active(pod) and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def make_pod(store: Store, owner_kind: Kind, owner: Row, template: Mapping[str, Any], name: str) -> Row:
    """Make a pod from a template.

    Raises:
        StatusError: if it is not admitted.
    """
    kind = known("Pod")
    metadata = copied(dict(template.get("metadata") or {}))
    metadata |= {"name": name, "namespace": owner["metadata"]["namespace"]}
    metadata["ownerReferences"] = [owner_reference(owner_kind, owner)]
    item: Row = {"metadata": metadata, "spec": copied(dict(template["spec"])), "status": {"phase": "Pending"}}
    fill(kind, store.schema(kind), item)
    admit_creation(store, kind, item)
    return make(store, kind, item)


def stop_pod(store: Store, pod: Row) -> None:
    """Begin to end a pod."""
    emit(store, pod, "Normal", "Killing", "Stopping container " + ", ".join(each["name"] for each in containers(
        pod["spec"])), "kubelet")  # fmt: skip
    delete(store, known("Pod"), pod, DeleteOptions())


@reconciles("pods")
def pod_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Give a new pod its place, and let it start after a while."""
    kind = known("Pod")
    old = store.get(kind, item["metadata"]["namespace"], item["metadata"]["name"])
    if old is None or (old.get("status") or {}).get("startTime") or old["metadata"].get("deletionTimestamp"):
        return
    if any(each["type"] == "PodScheduled" for each in (old.get("status") or {}).get("conditions") or ()):
        return
    pod = copied(old)
    status = pod.setdefault("status", {})
    status |= {"phase": "Pending", "qosClass": _quality(pod["spec"])}
    trouble = trouble_of(store, pod)
    if trouble is not None and trouble.unscheduled:
        condition(store, status, "PodScheduled", "False", "Unschedulable", trouble.message)
        write(store, kind, old, pod, manager="kube-scheduler")
        emit(store, pod, "Warning", "FailedScheduling", trouble.message, "default-scheduler")
        return
    _place(store, pod)
    write(store, kind, old, pod, manager="kubelet")
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    said = f"Successfully assigned {namespace}/{name} to {pod['spec']['nodeName']}"
    emit(store, pod, "Normal", "Scheduled", said, "default-scheduler")
    _later(store, pod, START_SECONDS, "kubernetes.pod_started")


@reconciles("secrets", "configmaps", "persistentvolumeclaims")
def need_of_pods_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Try the pods of a namespace again that could not start, for what they wait for may be there now."""
    for pod in store.named("Pod", namespace=item["metadata"]["namespace"]):
        if is_active(pod) and not is_ready(pod) and (pod.get("status") or {}).get("conditions"):
            _later(store, pod, RETRY_SECONDS, "kubernetes.pod_started")


def try_again(store: Store, pod: Row) -> None:
    """Try once more to start a pod that could not start, and show how often it was tried by now."""
    since = (store.world.now() - parse_timestamp(pod["metadata"]["creationTimestamp"])).total_seconds()
    if is_active(pod) and not is_ready(pod) and since > RETRY_AFTER and (pod.get("status") or {}).get("conditions"):
        _start(store, pod)


@reacts_to("kubernetes.pod_started")
def _started(world: World, *, cluster_id: str, namespace: str, name: str, uid: str) -> None:
    with acting_on(world, cluster_id) as store:
        pod = store and _same(store, namespace, name, uid)
        if store and pod:
            _start(store, pod)


@reacts_to("kubernetes.pod_finished")
def _finished(world: World, *, cluster_id: str, namespace: str, name: str, uid: str) -> None:
    with acting_on(world, cluster_id) as store:
        pod = store and _same(store, namespace, name, uid)
        if store and pod:
            _finish(store, pod, 0)


@reacts_to("kubernetes.pod_stopped")
def _stopped(world: World, *, cluster_id: str, namespace: str, name: str, uid: str) -> None:
    with acting_on(world, cluster_id) as store:
        pod = store and _same(store, namespace, name, uid)
        if not store or not pod:
            return
        if pod["metadata"].get("finalizers"):
            changed = copied(pod)
            changed["metadata"]["deletionGracePeriodSeconds"] = 0
            store.put(known("Pod"), changed)
        else:
            store.remove(known("Pod"), pod)


def _same(store: Store, namespace: str, name: str, uid: str) -> Row | None:
    found = store.get(known("Pod"), namespace, name)
    return found if found is not None and found["metadata"]["uid"] == uid else None


def _later(store: Store, pod: Row, seconds: float, event: str) -> None:
    metadata = pod["metadata"]
    about = {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
    store.world.schedule(seconds, event, cluster_id=store.cluster_id, **about)


def _place(store: Store, pod: Row) -> None:
    """Assign a node and addresses to a pod, in place."""
    nodes = [each for each in store.named("Node") if not each["spec"].get("unschedulable")] or store.named("Node")
    node = nodes[store.world.random.randrange(len(nodes))] if nodes else None
    status, now = pod["status"], store.world.iso_timestamp()
    pod["spec"].setdefault("nodeName", node["metadata"]["name"] if node else "autopilot")
    host = next((each["address"] for each in (node or {}).get("status", {}).get("addresses") or ()
                 if each["type"] == "InternalIP"), "192.168.0.4")  # fmt: skip
    status |= {"startTime": now, "hostIP": host}
    _give_address(store, status)
    for type_ in ("PodScheduled", "Initialized"):
        condition(store, status, type_, "True")
    _unready(store, pod)
    status["containerStatuses"] = [_container(each, waiting="ContainerCreating") for each in pod["spec"]["containers"]]


def _give_address(store: Store, status: Row) -> None:
    if "podIP" not in status and has_room(store):
        address = f"10.0.{store.world.random.randrange(1, 250)}.{store.world.random.randrange(2, 250)}"
        status |= {"podIP": address, "podIPs": [{"ip": address}]}


def _start(store: Store, old: Row) -> None:
    if old["metadata"].get("deletionTimestamp") or is_ready(old):
        return
    pod = copied(old)
    status = pod["status"]
    trouble = trouble_of(store, pod)
    if trouble is not None and trouble.unscheduled:
        since = (store.world.now() - parse_timestamp(old["metadata"]["creationTimestamp"])).total_seconds()
        count = 1 + tries(since)[0]
        emit(store, old, "Warning", "FailedScheduling", trouble.message, "default-scheduler", count=count)
        return
    if "containerStatuses" not in status:
        _place(store, pod)
    _give_address(store, status)
    if trouble is not None:
        _struggle(store, old, pod, trouble)
        return
    now = store.world.iso_timestamp()
    status["phase"] = "Running"
    status["containerStatuses"] = [_container(each, started=now) for each in pod["spec"]["containers"]]
    for type_ in ("Initialized", "Ready", "ContainersReady", "PodScheduled"):
        condition(store, status, type_, "True")
    write(store, known("Pod"), old, pod, manager="kubelet")
    _tell_start(store, pod, count=0)
    if pod["spec"].get("restartPolicy") != "Always":
        _later(store, pod, RUN_SECONDS, "kubernetes.pod_finished")


def _struggle(store: Store, old: Row, pod: Row, trouble: Trouble) -> None:
    """Show a pod whose container cannot start, or ends at once, and try again later."""
    status = pod["status"]
    _unready(store, pod)
    if trouble.exit_code is not None and pod["spec"].get("restartPolicy") == "Never":
        _finish(store, old, trouble.exit_code, trouble.ended)
        return
    begun, now = parse_timestamp(status["startTime"]), store.world.now()
    first = [each for each in pod["spec"].get("initContainers") or () if each["name"] == trouble.container]
    if first:
        status["initContainerStatuses"] = [trouble.container_status(first[0], begun, now)]
    kept = {each["name"]: each for each in status.get("containerStatuses") or () if "running" in each["state"]}
    status["containerStatuses"] = [
        _container(each, waiting="PodInitializing") if first else _beside(trouble, each, kept.get(each["name"]), begun,
                                                                         now)
        for each in pod["spec"]["containers"]
    ]  # fmt: skip
    runs = not first and (trouble.running or trouble.exit_code is not None)
    status["phase"] = "Running" if runs else "Pending"
    write(store, known("Pod"), old, pod, manager="kubelet")
    count = 1 + tries((now - begun).total_seconds())[0]
    if trouble.exit_code is not None or (trouble.running and trouble.container not in kept):
        _tell_start(store, pod, count=1 if trouble.running else count)
    for type_, reason, message in trouble.events:
        emit(store, pod, type_, reason, message, "kubelet", count=count)


def _tell_start(store: Store, pod: Row, *, count: int) -> None:
    for each in containers(pod["spec"]):
        said = f'Container image "{each["image"]}" already present on machine'
        emit(store, pod, "Normal", "Pulled", said, "kubelet", count=count)
        emit(store, pod, "Normal", "Created", f"Created container: {each['name']}", "kubelet", count=count)
        emit(store, pod, "Normal", "Started", f"Started container {each['name']}", "kubelet", count=count)


def _beside(trouble: Trouble, spec: Row, before: Row | None, begun: datetime, now: datetime) -> Row:
    """Return the status of a container of a pod that is in trouble: its own, or another's."""
    if not trouble.container:
        return _container(spec, waiting=trouble.reason)
    if spec["name"] == trouble.container:
        return before if trouble.running and before else trouble.container_status(spec, begun, now)
    return before or _container(spec, started=short_timestamp(now))


def _finish(store: Store, old: Row, code: int, reason: str = "Completed") -> None:
    """End the containers of a pod that is not started again."""
    pod, now = copied(old), store.world.iso_timestamp()
    status = pod["status"]
    status["phase"] = "Failed" if code else "Succeeded"
    status["containerStatuses"] = []
    for each in pod["spec"]["containers"]:
        ended = {"exitCode": code, "reason": reason, "startedAt": status["startTime"], "finishedAt": now}
        made = {**_container(each), "state": {"terminated": ended}}
        status["containerStatuses"].append(made)
    for type_ in ("Ready", "ContainersReady"):
        condition(store, status, type_, "False", "PodFailed" if code else "PodCompleted")
    write(store, known("Pod"), old, pod, manager="kubelet")


def _unready(store: Store, pod: Row) -> None:
    names = " ".join(each["name"] for each in pod["spec"]["containers"])
    for type_ in ("Ready", "ContainersReady"):
        said = f"containers with unready status: [{names}]"
        condition(store, pod["status"], type_, "False", "ContainersNotReady", said)


def _container(spec: Mapping[str, Any], *, waiting: str = "", started: str = "") -> Row:
    state: Row = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": started}} if started else {}
    image = spec["image"]
    made = {"name": spec["name"], "image": image, "ready": bool(started), "restartCount": 0, "started": bool(started)}
    identity = {"imageID": image_id(image)} if started else {}
    return {**made, "imageID": "", **identity, "state": state, "lastState": {}}


def _quality(spec: Mapping[str, Any]) -> str:
    resources = [each.get("resources") or {} for each in spec["containers"]]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    same = all(each.get("limits") and each.get("requests") == each["limits"] for each in resources)
    return "Guaranteed" if same else "Burstable"
