"""Decides from a pod and its cluster whether the pod runs, and what shows if it does not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp, short_timestamp
from ap_mcp.simulator.kubernetes.defaults import containers
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.object_rules import quantity
from ap_mcp.simulator.kubernetes.programs import program_of
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row

ADDRESSES = "kubernetes_addresses"
"""Rows by cluster: how many pods its subnets can give addresses to, where that is not plenty."""

FIRST_BACK_OFF, LONGEST_BACK_OFF = 10, 300
"""Seconds until a container is tried again: twice as many after each try, up to the longest."""

RUNS_SECONDS = 2
"""How long a program runs that ends right after its start."""

PULL_SECRET = "kubernetes.io/dockerconfigjson"  # noqa: S105 - a type of Secrets
NORMAL, WARNING = "Normal", "Warning"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a container, or a whole pod if none is named, from running or from being ready.

    Attributes:
        container: whose trouble it is.
        reason: what its status says.
        message: why.
        events: type, reason and message of each event that shows it.
        unscheduled: the pod has no place yet.
        exit_code: with what the container ends after each start.
        ended: the reason of that end.
        running: the container runs, and is not ready.
    """

    container: str
    reason: str
    message: str = ""
    events: tuple[tuple[str, str, str], ...] = ()
    unscheduled: bool = False
    exit_code: int | None = None
    ended: str = "Error"
    running: bool = False

    def container_status(self, spec: Mapping[str, Any], begun: datetime, now: datetime) -> Row:
        """Return what the status of the container shows, which was first tried at a moment, now."""
        made: Row = {"name": spec["name"], "image": spec["image"], "imageID": "", "ready": False, "started": False}
        if self.running:
            state: Row = {"running": {"startedAt": short_timestamp(begun)}}
            return {**made, "imageID": image_id(spec["image"]), "started": True, "restartCount": 0, "state": state,
                    "lastState": {}}  # fmt: skip
        state = {"waiting": {"reason": self.reason}}
        if self.message:
            state["waiting"]["message"] = self.message
        if self.exit_code is None:
            return {**made, "restartCount": 0, "state": state, "lastState": {}}
        restarts, last = tries((now - begun).total_seconds())
        started = begun + timedelta(seconds=last)
        ended = {
            "exitCode": self.exit_code, "reason": self.ended, "startedAt": short_timestamp(started),
            "finishedAt": short_timestamp(started + timedelta(seconds=RUNS_SECONDS)),
            "containerID": "containerd://simulated",
        }  # fmt: skip
        made |= {"imageID": image_id(spec["image"]), "restartCount": restarts}
        return {**made, "state": state, "lastState": {"terminated": ended}}


def image_id(image: str) -> str:
    """Return the identity of an image that was pulled."""
    repository = image.partition("@")[0]
    return f"{repository.rpartition(':')[0] or repository}@sha256:simulated"


def tries(seconds: float) -> tuple[int, int]:
    """Return how often something is tried again in the time after its first try, and when the last try was."""
    count, at, wait = 0, 0, FIRST_BACK_OFF
    while at + wait <= seconds and wait < LONGEST_BACK_OFF:
        count, at, wait = count + 1, at + wait, min(wait * 2, LONGEST_BACK_OFF)
    more = max(0, int((seconds - at) // LONGEST_BACK_OFF)) if wait == LONGEST_BACK_OFF else 0
    return count + more, at + more * LONGEST_BACK_OFF


def trouble_of(store: Store, pod: Mapping[str, Any]) -> Trouble | None:
    """Return what keeps a pod from running or from being ready, None if nothing does."""
    return next(_troubles(store, pod), None)


def has_room(store: Store) -> bool:
    """Say whether the subnets of a cluster have an address for one more pod."""
    limit = store.world.table(ADDRESSES).get(store.cluster_id)
    if limit is None or not set(subnets_of(store.cluster)) <= set(limit["subnets"]):
        return True
    used = sum("podIP" in (each.get("status") or {}) and each["status"].get("phase") in ("Pending", "Running")
               for each in store.named("Pod"))  # fmt: skip
    return used < int(limit["pods"])


def subnets_of(cluster: Mapping[str, Any]) -> list[str]:
    """List the subnets from which the pods of a cluster get their addresses."""
    return [str(each["subnetID"]) for each in cluster["spec"]["eniNetwork"]["subnets"]]


def _troubles(store: Store, pod: Mapping[str, Any]) -> Iterator[Trouble]:
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    nodes = len(store.named("Node"))
    for volume in spec.get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if not claim:
            continue
        found = store.get(known("PersistentVolumeClaim"), namespace, claim)
        why = f'persistentvolumeclaim "{claim}" not found' if found is None else ""
        if found is not None and (found.get("status") or {}).get("phase") != "Bound":
            why = "pod has unbound immediate PersistentVolumeClaims"
        if why:
            said = f"0/{nodes} nodes are available: {why}. preemption: 0/{nodes} nodes are available: {nodes} "
            said += "Preemption is not helpful for scheduling."
            yield Trouble("", "Unschedulable", said, unscheduled=True)
    if "podIP" not in (pod.get("status") or {}) and not has_room(store):
        said = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: "
        said += f"failed to allocate ip: subnet {subnets_of(store.cluster)[0]} has no free IP address"
        yield Trouble("", "ContainerCreating", events=((WARNING, "FailedCreatePodSandBox", said),))
    for each in containers(spec):
        yield from _cannot_pull(store, pod, each)
        missing = _missing_reference(store, namespace, each)
        if missing:
            failed = ((WARNING, "Failed", f"Error: {missing}"),)
            yield Trouble(each["name"], "CreateContainerConfigError", missing, failed)
        yield from _ends(store, pod, each)
    for each in spec["containers"]:
        yield from _not_ready(pod, each)


def _cannot_pull(store: Store, pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[Trouble]:
    image = container["image"]
    program = program_of(image)
    why = ""
    if program.host:
        why = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
            f'Head "https://{program.host}/v2/": dial tcp: lookup {program.host}: no such host'
        )
    elif program.missing:
        why = f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
        why += f'failed to resolve reference "{image}": {image}: not found'
    elif program.private and not _has_pull_secret(store, pod):
        why = "failed to authorize: failed to fetch oauth token: unexpected status from GET request: 401 Unauthorized"
    if why:
        said = f'Back-off pulling image "{image}"'
        events = (
            (NORMAL, "Pulling", f'Pulling image "{image}"'),
            (WARNING, "Failed", f'Failed to pull image "{image}": {why}'),
            (WARNING, "Failed", "Error: ErrImagePull"),
            (NORMAL, "BackOff", said),
            (WARNING, "Failed", "Error: ImagePullBackOff"),
        )
        yield Trouble(container["name"], "ImagePullBackOff", said, events)


def _has_pull_secret(store: Store, pod: Mapping[str, Any]) -> bool:
    namespace = pod["metadata"]["namespace"]
    names = [each["name"] for each in pod["spec"].get("imagePullSecrets") or ()]
    found = (store.get(known("Secret"), namespace, name) for name in names)
    return any(each is not None and each.get("type") == PULL_SECRET for each in found)


def _ends(store: Store, pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[Trouble]:
    """Yield why the program of a container ends right after its start, if it does."""
    program, name = program_of(container["image"]), container["name"]
    code, ended = program.exit_code, "Error"
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    if code is None and program.memory and limit is not None and quantity(limit) < quantity(program.memory):
        code, ended = 137, "OOMKilled"
    if code is None and refused_line(store, pod, program.refused_words):
        code = 1
    if code is None:
        return
    about = pod["metadata"]
    said = f"{about['name']}_{about['namespace']}({about['uid']})"
    event = f"Back-off restarting failed container {name} in pod {said}"
    begun = (pod.get("status") or {}).get("startTime")
    wait = _wait((store.world.now() - parse_timestamp(begun)).total_seconds() if begun else 0)
    message = f"back-off {wait} restarting failed container={name} pod={said}"
    yield Trouble(name, "CrashLoopBackOff", message, ((WARNING, "BackOff", event),), exit_code=code, ended=ended)


def refused_line(store: Store, pod: Mapping[str, Any], words: tuple[str, ...]) -> str:
    """Return the place and word of a configuration that a program does not understand, empty if it reads all."""
    for volume in (pod["spec"].get("volumes") or ()) if words else ():
        name = (volume.get("configMap") or {}).get("name")
        found = store.get(known("ConfigMap"), pod["metadata"]["namespace"], name) if name else None
        for key, text in ((found or {}).get("data") or {}).items():
            for number, line in enumerate(text.splitlines(), 1):
                word = next((each for each in words if each in line.split()), "")
                if word:
                    return f"/etc/coredns/{key}:{number} - Error during parsing: Unknown directive '{word}'"
    return ""


def _wait(seconds: float) -> str:
    """Write how long the next back-off is, as `2m40s`."""
    count, _ = tries(seconds)
    minutes, rest = divmod(min(FIRST_BACK_OFF * 2 ** min(count, 10), LONGEST_BACK_OFF), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _not_ready(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[Trouble]:
    """Yield that a readiness probe asks a port that the container does not listen on, as far as it says on which."""
    probe = container.get("readinessProbe") or {}
    asked = probe.get("httpGet") or probe.get("tcpSocket") or {}
    declared = container.get("ports") or ()
    port = asked.get("port")
    if not declared or port is None or asked.get("host"):
        return
    if port in [each["containerPort"] for each in declared] or port in [each.get("name") for each in declared]:
        return
    target = f"{(pod.get('status') or {}).get('podIP', '')}:{port}"
    refused = f"dial tcp {target}: connect: connection refused"
    if "httpGet" in probe:
        refused = f'Get "http://{target}{asked.get("path", "/")}": {refused}'
    said = f"Readiness probe failed: {refused}"
    yield Trouble(container["name"], "Unhealthy", said, ((WARNING, "Unhealthy", said),), running=True)


def _missing_reference(store: Store, namespace: str, container: Mapping[str, Any]) -> str:
    """Say which ConfigMap or Secret, or key of one, a container's environment needs and is not there."""
    wanted: list[tuple[str, Mapping[str, Any]]] = []
    for source in container.get("envFrom") or ():
        wanted += [("ConfigMap", source.get("configMapRef") or {}), ("Secret", source.get("secretRef") or {})]
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        wanted += [("ConfigMap", source.get("configMapKeyRef") or {}), ("Secret", source.get("secretKeyRef") or {})]
    for kind, reference in wanted:
        name, key = reference.get("name"), reference.get("key")
        if not name or reference.get("optional"):
            continue
        found = store.get(known(kind), namespace, name)
        if found is None:
            return f'{kind.lower()} "{name}" not found'
        if key and key not in {**(found.get("data") or {}), **(found.get("binaryData") or {})}:
            return f"couldn't find key {key} in {kind} {namespace}/{name}"
    return ""
