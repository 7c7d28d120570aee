"""Containers that run and are not ready: what their probe asks, and what it is answered."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.containers import events_about, log_call, log_of
from ap_mcp.kubernetes.diagnose.evidence import REVISED, SYSTEM, Evidence
from ap_mcp.kubernetes.diagnose.logs import looks_like_error, said_in_log, telling_line
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, named_in, thing_of
from ap_mcp.kubernetes.events import event_text
from ap_mcp.kubernetes.pods import Container, containers_of, is_terminating, serves
from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, items, moment, number, quoted, strings, text, word
from ap_mcp.wording import few

SPARE = timedelta(seconds=30)
_REFUSED_AT = re.compile(r"connection refused", re.IGNORECASE)
_SLOW = re.compile(r"timeout|timed out|deadline exceeded", re.IGNORECASE)
_STATUS = re.compile(r"statuscode: (?P<code>\d+)", re.IGNORECASE)


def not_ready(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find containers of a pod that run and are not ready."""
    phase = text(get(pod, "/status/phase"))
    if is_terminating(pod) or phase not in ("Running", "Pending") or serves(pod):
        return
    found = False
    for container in containers_of(pod):
        if not container.is_running or container.ready or container.is_init:
            continue
        # A sidecar that does not start holds back the others, and the pod stays Pending.
        if phase == "Pending" and not container.sidecar:
            continue
        found = True
        if not _starts(evidence, container):
            yield _unready(evidence, container)
    gate = condition(pod, "Ready")
    if not found and text(get(gate, "/reason")) == "ReadinessGatesNotReady":
        yield from _gated(evidence, pod, gate)


def patience(container: Container) -> timedelta:
    """Return how long a container may take to become ready before that is a fault, by its own probes."""
    longest = 0.0
    for kind in ("startupProbe", "readinessProbe"):
        probe = get(container.spec, f"/{kind}")
        if isinstance(probe, dict):
            delay = number(get(probe, "/initialDelaySeconds", 0)) or 0
            period = number(get(probe, "/periodSeconds", 10)) or 10
            longest += delay + period * (
                (number(get(probe, "/failureThreshold", 3)) or 3) if kind == "startupProbe" else 3
            )
    return timedelta(seconds=min(longest, 3600)) + SPARE


def _starts(evidence: Evidence, container: Container) -> bool:
    """Say whether a container that is not ready was started so lately that this is no fault yet."""
    since = container.since
    return since is not None and evidence.at - since < patience(container)


def _unready(evidence: Evidence, container: Container) -> Finding:
    pod = container.pod
    about = evidence.workload_of(pod)
    kind = "startup" if container.started is False and get(container.spec, "/startupProbe") else "readiness"
    probe = get(container.spec, f"/{kind}Probe")
    events = events_about(evidence, container, "Unhealthy")
    events = [each for each in events if kind in event_text(each).lower()]
    said = next(map(event_text, events), "")
    started = ", started=false" if kind == "startup" else ""
    facts = [f"pod {named_in(pod)}: {container.said} runs, ready=false{started}"]
    facts += [evidence.event(each) for each in events[:1]]
    line = telling_line(evidence.logs.get(log_of(container), ""))
    in_log = f"; its log says{said_in_log(line)[1:]}" if looks_like_error(line) else ""
    fault, what = _judged(kind, container, probe, said)
    return Finding(
        fault,
        about,
        f"{container.said} {what}{in_log}",
        tuple(facts),
        evidence.gravity_of(about),
        container.since,
        (thing_of(pod).name,),
        (
            *(repairs(evidence, about, container, kind) if fault == "probe_port" else ()),
            evidence.show(about, f"shows the {kind} probe to correct with k8s_patch"),
            log_call(evidence, log_of(container), "shows what it does instead"),
        ),
        log=log_of(container),
        part=container.name,
    )


def _judged(kind: str, container: Container, probe: Any, said: str) -> tuple[str, str]:
    """Return the fault and the sentence, after the container's name."""
    state = "has not started as far as its startup probe can tell" if kind == "startup" else "runs but is not ready"
    if wrong := wrong_port(container, probe, said):
        return "probe_port", f"{state}: its {kind} probe asks {wrong}"
    return f"{kind}_probe", f"{state}{_answered(kind, container, probe, said)}"


def wrong_port(container: Container, probe: Any, said: str) -> str:
    """Return which port a probe asks that the container does not have, and which it has; empty if there is no such."""
    port, declared = port_of(probe, container.spec), ports_of(container.spec)
    named = text(get(probe, "/httpGet/port", get(probe, "/tcpSocket/port")))
    if named and not named.isdecimal() and port is None:
        return f"the port {word(named)}, which the container does not name; it has {_listed(declared)}"
    if port is not None and declared and port not in declared.values() and (_REFUSED_AT.search(said) or not said):
        return f"port {port}, the container declares {_listed(declared)}"
    return ""


def repairs(evidence: Evidence, about: Thing, container: Container, kind: str) -> tuple[NextCall, ...]:
    """Return the calls that have a probe ask the port that its container has; none if that is not clear.

    What a Helm release made is put right there, or the next update of the release brings the fault again.

    Args:
        evidence: what was read.
        about: the workload that makes the pod.
        container: it asks a port that this one does not have.
        kind: of the probe: startup, readiness or liveness.
    """
    declared = [*ports_of(container.spec).values()]
    how = next((each for each in ("httpGet", "tcpSocket", "grpc") if get(container.spec, f"/{kind}Probe/{each}")), "")
    if about.kind not in REVISED or about.namespace == SYSTEM or len(declared) != 1 or not how:
        return ()
    release = evidence.release_of(about)
    place = "initContainers" if container.is_init else "containers"
    probe = {f"{kind}Probe": {how: {"port": declared[0]}}}
    patch = {"spec": {"template": {"spec": {place: [{"name": container.name, **probe}]}}}}
    where = {"kind": about.kind.lower(), "name": about.name, "namespace": about.namespace}
    why = f"has the {kind} probe ask port {declared[0]}"
    why += ", until the next update of its release" if release else ""
    call = evidence.call("k8s_patch", why, **where, patch=json.dumps(patch))
    return (release, call) if release else (call,)


def _answered(kind: str, container: Container, probe: Any, said: str) -> str:
    """Return what a probe is answered, behind how the container is."""
    port = port_of(probe, container.spec)
    if not isinstance(probe, dict):
        return f": {quoted(said)}" if said else ""
    if _REFUSED_AT.search(said):
        return f": nothing listens on {f'port {port}' if port is not None else 'what its probe asks'}: {quoted(said)}"
    asks = f": its {kind} probe{_asked(probe, port)}"
    if match := _STATUS.search(said):
        return f"{asks} is answered with status {match['code']}"
    if _SLOW.search(said):
        return f"{asks} is not answered within {number(get(probe, '/timeoutSeconds')) or 1} s: {quoted(said)}"
    return f"{asks} fails{f': {quoted(said)}' if said else ''}"


def _asked(probe: Any, port: int | None) -> str:
    path = text(get(probe, "/httpGet/path"))
    if get(probe, "/exec") is not None:
        return f", the command {quoted(' '.join(strings(probe, '/exec/command')), 100)},"
    if get(probe, "/grpc") is not None:
        return f" (gRPC, port {port})"
    return (
        f" of {word(path)} on port {port}"
        if path and port is not None
        else f" of port {port}"
        if port is not None
        else ""
    )


def port_of(probe: Any, container: Any) -> int | None:
    """Return the number of the port that a probe asks; None if it asks none, or one by a name that there is not."""
    for place in ("/httpGet/port", "/tcpSocket/port", "/grpc/port"):
        port = get(probe, place)
        if isinstance(port, int) and not isinstance(port, bool):
            return port
        if isinstance(port, str):
            return int(port) if port.isdecimal() else ports_of(container).get(port)
    return None


def ports_of(container: Any) -> dict[str, int]:
    """Return the ports that a container declares, by their names, or their numbers if they have none."""
    found = {}
    for each in items(container, "/ports"):
        port = number(get(each, "/containerPort"))
        if port is not None:
            found[text(get(each, "/name")) or str(port)] = int(port)
    return found


def _listed(ports: dict[str, int]) -> str:
    return few([f"{port}" if name == str(port) else f"{port} ({word(name)})" for name, port in ports.items()]) or "none"


def _gated(evidence: Evidence, pod: Any, ready: Any) -> Iterator[Finding]:
    """Find readiness gates that are not open, such as one that waits for a load balancer."""
    since = moment(get(ready, "/lastTransitionTime"))
    if since is not None and evidence.at - since < 2 * SPARE:
        return
    about = evidence.workload_of(pod)
    gates = [word(get(each, "/conditionType")) for each in items(pod, "/spec/readinessGates")]
    what = f"all its containers are ready, but a readiness gate is not: {few(gates) or 'not named'}"
    fact = f"pod {named_in(pod)}: Ready=False, ReadinessGatesNotReady: {quoted(get(ready, '/message'))}"
    calls = (evidence.show(Thing("Pod", about.namespace, thing_of(pod).name), "shows its conditions"),)
    yield Finding(
        "readiness_gate", about, what, (fact,), evidence.gravity_of(about), since, (thing_of(pod).name,), calls
    )
