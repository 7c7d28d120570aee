"""The containers of a pod, each with what the pod asks for and how it is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.kubernetes import pods
from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import LogKey, thing_of
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, moment, number, text, word

_FIELD = re.compile(r"spec\.\w+\{(.+)\}")


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod.

    Attributes:
        pod: the pod.
        spec: what the pod asks for.
        status: how it is; empty before the kubelet says.
        is_init: it runs before the others, and must end; a sidecar among these does not count.
    """

    pod: Any
    spec: Any
    status: Any
    is_init: bool

    @property
    def name(self) -> str:
        """The name, as it came."""
        return text(get(self.spec, "/name") or get(self.status, "/name"))

    @property
    def said(self) -> str:
        """The container in a sentence."""
        return f"{'init container' if self.is_init else 'container'} {word(self.name)}"

    @property
    def waits(self) -> str:
        """The reason why it does not run; empty if it runs or has ended."""
        return text(get(self.status, "/state/waiting/reason"))

    @property
    def message(self) -> str:
        """What the kubelet says about why it waits."""
        return text(get(self.status, "/state/waiting/message"), 2000)

    @property
    def ended(self) -> Any:
        """How it ended, now or the last time; None if it never did."""
        return get(self.status, "/state/terminated") or get(self.status, "/lastState/terminated")

    @property
    def runs_since(self) -> datetime | None:
        """When it was started, if it runs."""
        return moment(get(self.status, "/state/running/startedAt"))

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return isinstance(get(self.status, "/state/running"), dict)

    @property
    def is_ready(self) -> bool:
        """Whether it is ready."""
        return get(self.status, "/ready") is True

    @property
    def restarts(self) -> int:
        """How often it was restarted."""
        return int(number(get(self.status, "/restartCount")) or 0)

    @property
    def log(self) -> LogKey:
        """The log of the run that ended last, or of the present one if none did."""
        ended_before = get(self.status, "/state/terminated") is None and self.ended is not None
        pod = thing_of(self.pod, "Pod")
        return LogKey(pod.namespace, pod.name, self.name, ended_before)

    def show_log(self, evidence: Evidence, why: str) -> NextCall:
        """Return the call that shows its log."""
        namespace, pod, container, previous = self.log
        where = {"kind": "pod", "name": pod, "namespace": namespace, "container": container}
        return evidence.call("k8s_logs", why, **where, **({"previous": True} if previous else {}))

    def events(self, evidence: Evidence, *reasons: str) -> list[Any]:
        """Return the events of the pod that are about this container or do not say about which, the newest first."""
        return [
            each
            for each in evidence.events_of(self.pod, "Pod", *reasons)
            if (match := _FIELD.fullmatch(text(get(each, "/involvedObject/fieldPath")))) is None
            or match[1] == self.name
        ]


def containers_of(pod: Any) -> Iterator[Container]:
    """Yield the containers of a pod in the order in which they start; those that only debug it are left out."""
    for spec, status, init, sidecar in pods.listed(pod):
        yield Container(pod, spec, status or {}, init and not sidecar)


def ran(ended: Any) -> timedelta | None:
    """Return how long a run lasted; None if that is not reported."""
    began, over = moment(get(ended, "/startedAt")), moment(get(ended, "/finishedAt"))
    return over - began if began and over and over >= began else None


def is_terminating(pod: Any) -> bool:
    """Say whether a pod is being deleted."""
    return moment(get(pod, "/metadata/deletionTimestamp")) is not None


def is_ready(pod: Any) -> bool:
    """Say whether a pod is ready to serve, and stays."""
    return pods.is_ready(pod) and not is_terminating(pod)
