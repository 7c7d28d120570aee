"""What containers print: lines that follow from the pod, so that every read of a log agrees with the one before."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.kubernetes.defaults import containers
from ap_mcp.simulator.kubernetes.pod_outcomes import refused_line
from ap_mcp.simulator.kubernetes.programs import program_of
from ap_mcp.simulator.kubernetes.statuses import bad_request
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row

EVERY_SECONDS = 15
MOST_LINES = 400
_PATHS = ("/", "/healthz", "/api/items", "/api/orders", "/metrics")


def log_of(store: Store, pod: Mapping[str, Any], query: Mapping[str, str]) -> str:
    """Return what a container has printed, as the query asks for it.

    Raises:
        StatusError: 400 if the container is not named, not there, or has not started.
    """
    name = _container(pod, query.get("container", ""))
    status = _status(pod, name)
    previous = query.get("previous") in ("true", "1")
    lines = list(_lines(store, pod, name, status, previous=previous))
    since = _since(store, query)
    if since is not None:
        lines = [(moment, text) for moment, text in lines if moment >= since]
    if "tailLines" in query:
        lines = lines[len(lines) - min(len(lines), int(query["tailLines"])) :]
    stamped = query.get("timestamps") in ("true", "1")
    text = "".join((f"{moment.strftime('%Y-%m-%dT%H:%M:%S.%fZ')} " if stamped else "") + f"{said}\n"
                   for moment, said in lines)  # fmt: skip
    limit = query.get("limitBytes")
    return text.encode()[: int(limit)].decode(errors="ignore") if limit else text


def _container(pod: Mapping[str, Any], name: str) -> str:
    names = [each["name"] for each in containers(pod["spec"])]
    own = [each["name"] for each in pod["spec"]["containers"]]
    about = pod["metadata"]["name"]
    if not name:
        if len(own) > 1:
            said = f"a container name must be specified for pod {about}, choose one of: [{' '.join(own)}]"
            raise bad_request(said)
        return str(own[0])
    if name not in names:
        raise bad_request(f"container {name} is not valid for pod {about}")
    return name


def _status(pod: Mapping[str, Any], name: str) -> Row:
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return dict(next((each for each in every if each["name"] == name), {}))


def _lines(
    store: Store, pod: Mapping[str, Any], name: str, status: Row, *, previous: bool
) -> Iterator[tuple[datetime, str]]:
    about = pod["metadata"]["name"]
    state = (status.get("lastState") if previous else status.get("state")) or {}
    ran = state.get("terminated") or state.get("running")
    if previous and not ran:
        raise bad_request(f'previous terminated container "{name}" in pod "{about}" not found')
    if not ran and not previous:
        ran = (status.get("lastState") or {}).get("terminated")
    if not ran:
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        said = "trying and failing to pull image" if "Image" in reason else reason
        raise bad_request(f'container "{name}" in pod "{about}" is waiting to start: {said}')
    begun = parse_timestamp(ran.get("startedAt") or pod["metadata"]["creationTimestamp"])
    program = program_of(_image(pod, name))
    refused = refused_line(store, pod, program.refused_words) if "exitCode" in ran else ""
    if program.log or refused:
        for index, text in enumerate((refused,) if refused else program.log):
            yield begun + timedelta(milliseconds=200 * index), text
        return
    if pod["spec"].get("restartPolicy") != "Always":
        yield begun, "starting"
        if ran.get("finishedAt"):
            yield parse_timestamp(ran["finishedAt"]), "failed" if ran.get("exitCode") else "done"
        return
    ended = parse_timestamp(ran["finishedAt"]) if ran.get("finishedAt") else store.world.now()
    yield from _usual(f"{about}/{name}", begun, ended)


def _image(pod: Mapping[str, Any], name: str) -> str:
    return str(next(each["image"] for each in containers(pod["spec"]) if each["name"] == name))


def _usual(about: str, begun: datetime, until: datetime) -> Iterator[tuple[datetime, str]]:
    """Yield the lines of a program that starts and then answers requests."""
    yield begun, "starting"
    yield begun + timedelta(milliseconds=300), "listening on :8080"
    count = int((until - begun).total_seconds() // EVERY_SECONDS)
    for number in range(max(1, count - MOST_LINES), count + 1):
        chance = hashlib.sha256(f"{about}/{number}".encode()).digest()
        moment = begun + timedelta(seconds=number * EVERY_SECONDS)
        path = _PATHS[chance[0] % len(_PATHS)]
        yield moment, f'level=info method=GET path="{path}" status=200 duration={chance[1] % 90 + 2}ms'


def _since(store: Store, query: Mapping[str, str]) -> datetime | None:
    if query.get("sinceSeconds"):
        return store.world.now() - timedelta(seconds=int(query["sinceSeconds"]))
    if query.get("sinceTime"):
        return datetime.fromisoformat(query["sinceTime"])
    return None
