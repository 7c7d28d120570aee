"""What is known of a container beside its state: the events about it, its log, and the call that shows that."""

import re
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import LogKey, thing_of
from ap_mcp.kubernetes.pods import Container
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, text

_FIELD = re.compile(r"spec\.\w+\{(.+)\}")


def log_of(container: Container) -> LogKey:
    """Return the log of the run that ended last, or of the present one if none did."""
    pod = thing_of(container.pod, "Pod")
    return LogKey(pod.namespace, pod.name, container.name, container.end is None and container.last is not None)


def log_call(evidence: Evidence, log: LogKey, why: str) -> NextCall:
    """Return the call that shows a log."""
    namespace, pod, container, previous = log
    where = {"kind": "pod", "name": pod, "namespace": namespace, "container": container}
    return evidence.call("k8s_logs", why, **where, **({"previous": True} if previous else {}))


def events_about(evidence: Evidence, container: Container, *reasons: str) -> list[Any]:
    """Return the events of the pod that are about a container or do not say about which, the newest first."""
    return [
        each
        for each in evidence.events_of(container.pod, "Pod", *reasons)
        if (match := _FIELD.fullmatch(text(get(each, "/involvedObject/fieldPath")))) is None
        or match[1] == container.name
    ]
