"""Rollouts that do not end, and pods that do not come or do not get ready although nothing known is wrong with them."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.containers import log_call, log_of
from ap_mcp.kubernetes.diagnose.evidence import SYSTEM, YOUNG, Evidence
from ap_mcp.kubernetes.diagnose.logs import UNRESOLVED, meaning_of, said_in_log, telling_line
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, thing_of
from ap_mcp.kubernetes.diagnose.rules_containers import DNS
from ap_mcp.kubernetes.diagnose.rules_probes import patience
from ap_mcp.kubernetes.events import event_text
from ap_mcp.kubernetes.pods import Container, containers_of, is_terminating, serves
from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.vendor import flag, get, moment, number, quoted, text, word
from ap_mcp.wording import plural, span

SLOW_INIT = timedelta(minutes=3)
"""An init container that runs longer waits for something, more likely than not."""


def stuck_rollouts(evidence: Evidence) -> Iterator[Finding]:
    """Find rollouts that are paused or do not end, and StatefulSets whose pods wait for one another."""
    for deployment in evidence.of("Deployment"):
        thing, progress = thing_of(deployment, "Deployment"), condition(deployment, "Progressing")
        wanted, updated = (
            int(number(get(deployment, place, default)) or 0)
            for place, default in (("/spec/replicas", 1), ("/status/updatedReplicas", 0))
        )
        calls = (evidence.show(thing, "shows its rollout"),)
        if flag(get(deployment, "/spec/paused")):
            if updated < wanted:
                what = f"is paused in the middle of a rollout: {updated} of {plural(wanted, 'pod')} updated"
                calls = (
                    evidence.call(
                        "k8s_rollout",
                        "goes on",
                        name=thing.name,
                        namespace=thing.namespace,
                        kind="deployment",
                        action="resume",
                    ),
                )
                yield Finding(
                    "rollout_paused", thing, what, ("spec.paused=true",), "warning", next=calls, part="rollout"
                )
        elif text(get(progress, "/reason")) == "ProgressDeadlineExceeded":
            fact = f"condition Progressing=False, ProgressDeadlineExceeded: {quoted(get(progress, '/message'))}"
            since = moment(get(progress, "/lastTransitionTime"))
            deadline = word(get(deployment, "/spec/progressDeadlineSeconds", 600))
            what = f"its rollout does not end (progressDeadlineSeconds={deadline})"
            yield Finding(
                "rollout_stuck",
                thing,
                what,
                (fact,),
                evidence.gravity_of(thing),
                since,
                (),
                calls,
                after=frozenset({thing}),
                part="rollout",
            )
    for stateful in evidence.of("StatefulSet"):
        yield from _waiting_in_line(evidence, stateful)
    if evidence.named is not None and evidence.named.kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        item = evidence.find(evidence.named)
        if item is not None and number(get(item, "/spec/replicas", 1)) == 0:
            calls = (
                evidence.call(
                    "k8s_scale",
                    "starts it",
                    kind=evidence.named.kind.lower(),
                    name=evidence.named.name,
                    namespace=evidence.named.namespace,
                    replicas=1,
                ),
            )
            yield Finding(
                "scaled_to_zero",
                evidence.named,
                "is scaled to 0, so nothing of it runs",
                ("spec.replicas=0",),
                "notice",
                next=calls,
            )


def _waiting_in_line(evidence: Evidence, stateful: Any) -> Iterator[Finding]:
    """Find pods of a StatefulSet that are not made before the one ahead of them is ready."""
    thing = thing_of(stateful, "StatefulSet")
    wanted, made = (
        int(number(get(stateful, place, default)) or 0)
        for place, default in (("/spec/replicas", 1), ("/status/replicas", 0))
    )
    if text(get(stateful, "/spec/podManagementPolicy")) == "Parallel" or made >= wanted or made == 0:
        return
    first = next((pod for pod in sorted(evidence.pods_by_owner.get(thing, []), key=_ordinal) if not serves(pod)), None)
    if first is None:
        return
    name = word(thing_of(first).name)
    missing = f"{plural(wanted - made, 'pod')} of {wanted}"
    what = f"{missing} are not made before {name} is ready (podManagementPolicy OrderedReady)"
    facts = (f"spec.replicas={wanted} status.replicas={made}",)
    yield Finding(
        "waiting_in_line",
        thing,
        what,
        facts,
        evidence.gravity_of(thing),
        None,
        (),
        (evidence.show(thing, "shows it"),),
        after=frozenset({thing}),
        part="order",
    )


def _ordinal(pod: Any) -> int:
    ending = thing_of(pod).name.rpartition("-")[2]
    return int(ending) if ending.isdecimal() and ending.isascii() else 0


def without_pods(evidence: Evidence, reported: Collection[Thing]) -> Iterator[Finding]:
    """Find workloads that have no pod at all, which nothing explains.

    Args:
        evidence: what was read.
        reported: what findings are about already.
    """
    if "Pod" not in evidence.lists:
        return
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for item in evidence.of(kind):
            thing = thing_of(item, kind)
            place = "/status/desiredNumberScheduled" if kind == "DaemonSet" else "/spec/replicas"
            wanted = int(number(get(item, place, 0 if kind == "DaemonSet" else 1)) or 0)
            if thing in reported or evidence.pods_by_owner.get(thing) or evidence.age_of(item) < YOUNG:
                continue
            calls = (evidence.show(thing, "shows its conditions and events"),)
            if kind == "DaemonSet" and not wanted and thing.namespace != SYSTEM:
                what = "runs nowhere: Autopilot has no nodes for a DaemonSet; a sidecar in each pod does instead"
                yield Finding("no_pods", thing, what, ("status.desiredNumberScheduled=0",), "warning", next=calls)
            elif wanted and not flag(get(item, "/spec/paused")) and not number(get(item, "/status/readyReplicas")):
                what = f"has none of the {plural(wanted, 'pod')} that it wants, and nothing says why"
                yield Finding("no_pods", thing, what, (f"replicas={wanted}, pods=0",), next=calls)


def silent_pods(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find pods that do not get ready although nothing that is known is wrong with them."""
    phase = text(get(pod, "/status/phase"))
    if is_terminating(pod) or phase not in ("Pending", "Running") or serves(pod) or is_starting(evidence, pod):
        return
    about, ready = evidence.workload_of(pod), condition(pod, "Ready")
    every, name = list(containers_of(pod)), thing_of(pod).name
    if (first := next((each for each in every if each.is_init and each.is_running), None)) is not None:
        yield _long_init(evidence, first, about)
        return
    waiting = [
        f"{each.said} is {word(each.reason)}" for each in every if each.reason and each.reason != "PodInitializing"
    ]
    state = "; ".join(waiting) or quoted(get(ready, "/message") or "no reason given")
    facts = [f"pod {word(name)}: phase={word(phase)}, Ready=False: {quoted(get(ready, '/message'))}"]
    warned = [each for each in evidence.events_of(pod, "Pod") if text(get(each, "/type")) == "Warning"]
    facts += [evidence.event(each) for each in warned[:1]]
    said = f"; the cluster says {quoted(event_text(warned[0]))}" if warned else "; nothing says why"
    node = frozenset({Thing("Node", "", text(get(pod, "/spec/nodeName")))})
    began, calls = moment(get(pod, "/metadata/creationTimestamp")), (evidence.show(about, "shows it"),)
    gravity = evidence.gravity_of(about)
    what = f"is not ready: {state}{said}"
    yield Finding("not_ready", about, what, tuple(facts), gravity, began, (name,), calls, after=node)


def _long_init(evidence: Evidence, container: Container, about: Thing) -> Finding:
    """Say that an init container does not end, which mostly waits for something else to be there."""
    log, since = evidence.logs.get(log_of(container)), container.since
    took = f" since {span(evidence.at - since)}" if since else ""
    what = f"{container.said} runs{took} and must end before the others start{said_in_log(log)}"
    unresolved = meaning_of(telling_line(log or "")) == UNRESOLVED
    name = log_of(container).pod
    return Finding(
        "init_runs",
        about,
        what,
        (f"pod {word(name)}: {container.said} state.running, Initialized=False",),
        evidence.gravity_of(about),
        since,
        (name,),
        (log_call(evidence, log_of(container), "shows what it waits for"),),
        after=frozenset({DNS}) if unresolved else frozenset(),
        log=log_of(container),
        part=container.name,
    )


def is_starting(evidence: Evidence, pod: Any) -> bool:
    """Say whether a pod that is not ready was made, or started, so lately that it may still become so by itself."""
    if evidence.age_of(pod) < YOUNG:
        return True
    since = moment(get(condition(pod, "PodScheduled"), "/lastTransitionTime"))
    if since is not None and evidence.at - since < YOUNG:
        return True
    waited = False
    for each in containers_of(pod):
        if each.is_running and not each.ready and (began := each.since):
            if evidence.at - began >= (SLOW_INIT if each.is_init else patience(each)):
                return False
            waited = True
    return waited
