"""Reads what a pod says of itself: how its containers are, how they ended, and what they wait for; pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ap_mcp.vendor import get, items, moment, number, text, word

READY, COMPLETED = "Ready", "Completed"
CRASH_LOOP = "CrashLoopBackOff"
_MOST_SAID = 2000
_STATES = ("running", "terminated", "waiting")
_LISTS = (("initContainerStatuses", "initContainers"), ("containerStatuses", "containers"))
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class End:
    """How a run of a container ended.

    Attributes:
        code: that it exited with; None if it is not reported.
        reason: `Error`, `OOMKilled`, `Completed`.
        message: what it left behind.
        at: when it ended.
        lasted: for how many seconds it ran.
    """

    code: int | None
    reason: str
    message: str
    at: datetime | None
    lasted: float | None

    @property
    def failed(self) -> bool:
        """Whether it ended with anything but success."""
        return self.code != 0


NOT_REPORTED = End(None, "", "", None, None)
"""How a run ended of which nothing is reported."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod as it is now.

    Attributes:
        state: `running`, `waiting` or `terminated`; empty if nothing is reported of it yet.
        reason: why it waits.
        message: what it waits for.
        init: it runs before the others, and they wait for its end.
        sidecar: it starts before the others, and goes on beside them.
        since: when this run began.
        end: how this run ended, if it did.
        last: how the run before it ended, if there was one.
        started: its startup probe has succeeded; None if that is not reported.
        spec: what the pod asks for.
        pod: that it is a container of.
    """

    name: str
    image: str
    state: str = ""
    reason: str = ""
    message: str = ""
    ready: bool = False
    restarts: int = 0
    init: bool = False
    sidecar: bool = False
    since: datetime | None = None
    end: End | None = None
    last: End | None = None
    started: bool | None = None
    spec: Any = field(default=None, repr=False)
    pod: Any = field(default=None, repr=False)

    @property
    def said(self) -> str:
        """The container in a sentence."""
        return f"{'init container' if self.is_init else 'container'} {word(self.name)}"

    @property
    def is_init(self) -> bool:
        """Whether the others wait for its end; a sidecar among those that start first has none."""
        return self.init and not self.sidecar

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.state == "running"

    @property
    def ended(self) -> End | None:
        """How it ended, now or the last time; None if it never did."""
        return self.end or self.last

    @property
    def never_ran(self) -> bool:
        """Whether no run of it has begun, so that it has no log."""
        return self.state in ("", "waiting") and self.last is None

    @property
    def crashed(self) -> bool:
        """Whether the run before this one ended, or it waits to be started again."""
        return self.last is not None or self.reason == CRASH_LOOP

    @property
    def is_healthy(self) -> bool:
        """Whether it does what it should at this time."""
        if self.end is not None:
            return not self.end.failed
        return self.is_running if self.is_init else self.ready


def containers_of(pod: Any) -> list[Container]:
    """Return the containers of a pod in the order of their start, those that nothing is reported of too.

    Those that only debug it are left out.
    """
    return list(_containers(pod))


def _containers(pod: Any) -> Iterator[Container]:
    for statuses, specs in _LISTS:
        reported = {text(get(each, "/name")): each for each in items(pod, f"/status/{statuses}")}
        for spec in items(pod, f"/spec/{specs}") or [{"name": name} for name in reported]:
            yield _container(pod, spec, reported.get(text(get(spec, "/name"))), init=specs == "initContainers")


def _container(pod: Any, spec: Any, status: Any, *, init: bool) -> Container:
    state = next((each for each in _STATES if get(status, f"/state/{each}") is not None), "")
    now = get(status, f"/state/{state}")
    return Container(
        name=text(get(spec, "/name")),
        image=text(get(spec, "/image") or get(status, "/image"), 500),
        state=state,
        reason=text(get(now, "/reason")) if state == "waiting" else "",
        message=text(get(now, "/message"), _MOST_SAID),
        ready=get(status, "/ready") is True,
        restarts=int(number(get(status, "/restartCount")) or 0),
        init=init,
        sidecar=init and get(spec, "/restartPolicy") == "Always",
        since=moment(get(now, "/startedAt")),
        end=_end(now) if state == "terminated" else None,
        last=_end(last) if (last := get(status, "/lastState/terminated")) is not None else None,
        started=started if isinstance(started := get(status, "/started"), bool) else None,
        spec=spec,
        pod=pod,
    )


def _end(terminated: Any) -> End:
    code, began = number(get(terminated, "/exitCode")), moment(get(terminated, "/startedAt"))
    at = moment(get(terminated, "/finishedAt"))
    return End(
        code=None if code is None else int(code),
        reason=text(get(terminated, "/reason")),
        message=text(get(terminated, "/message"), _MOST_SAID),
        at=at,
        lasted=(at - began).total_seconds() if at and began and at >= began else None,
    )


def status_of(pod: Any) -> str:
    """Return how a pod is in one word, as kubectl shows it: `Running`, `CrashLoopBackOff`, `Init:0/1`, `Evicted`."""
    if get(pod, "/metadata/deletionTimestamp") is not None:
        return "Unknown" if get(pod, "/status/reason") == "NodeLost" else "Terminating"
    every = containers_of(pod)
    first = [each for each in every if each.init]
    for at, each in enumerate(first):
        if (each.end is not None and not each.end.failed) or (each.sidecar and each.state == "running"):
            continue
        why = _word(each) if each.end is not None or each.reason not in ("", "PodInitializing") else ""
        return f"Init:{why or f'{at}/{len(first)}'}"
    phase = text(get(pod, "/status/reason")) or text(get(pod, "/status/phase")) or "Unknown"
    main = [each for each in every if not each.init]
    words = [shown for each in reversed(main) if (shown := _word(each))]
    if not words:
        return phase
    running = any(each.state == "running" and each.ready for each in main)
    return "Running" if words[-1] == COMPLETED and running else words[-1]


def _word(container: Container) -> str:
    """Return why a container does not run; empty if it does, or if that is not reported."""
    if container.end is not None:
        return container.end.reason or f"ExitCode:{container.end.code}"
    return container.reason


def is_ready(pod: Any) -> bool:
    """Say whether a pod is ready to be used."""
    found = next((each for each in items(pod, "/status/conditions") if get(each, "/type") == READY), None)
    return bool(get(found, "/status") == "True")


def is_terminating(pod: Any) -> bool:
    """Say whether a pod is being deleted."""
    return moment(get(pod, "/metadata/deletionTimestamp")) is not None


def serves(pod: Any) -> bool:
    """Say whether a pod is ready to be used, and stays."""
    return is_ready(pod) and not is_terminating(pod)


def has_ended(pod: Any) -> bool:
    """Say whether a pod has run to its end."""
    return text(get(pod, "/status/phase")) in _ENDED


def is_healthy(pod: Any) -> bool:
    """Say whether a pod is as it should be: ready, or ended with success."""
    return is_ready(pod) or text(get(pod, "/status/phase")) == "Succeeded"


def not_scheduled(pod: Any) -> str:
    """Return why no place was found for a pod; empty if one was, or if that is not reported."""
    found = next((each for each in items(pod, "/status/conditions") if get(each, "/type") == "PodScheduled"), None)
    return text(get(found, "/message") or get(found, "/reason"), 600) if get(found, "/status") == "False" else ""
