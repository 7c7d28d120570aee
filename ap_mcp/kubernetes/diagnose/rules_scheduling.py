"""Pods that wait for a place: no node fits, no address is free, or the network cannot be set up."""

import re
from collections.abc import Iterator
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import SCHEDULING, YOUNG, Evidence, claims_of
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, labels_of, thing_of
from ap_mcp.kubernetes.events import event_text, event_time
from ap_mcp.kubernetes.pods import containers_of, is_terminating
from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, items, moment, quoted, text, word
from ap_mcp.wording import few

SANDBOX = ("FailedCreatePodSandBox", "FailedCreatePodSandbox", "NetworkNotReady", "FailedSandboxCreate")
_ADDRESS = r"\b(?:ips?|ip ?address(?:es)?|addresses|subnets?|enis?|sub-?enis?)\b"
_LACK = (
    r"\b(?:no|not enough|insufficient|exhausted|run out|out of|lack|full|used up|unavailable|"
    r"failed to (?:allocate|assign)|allocat\w+ failed)\b"
)
_NO_ADDRESS = re.compile(rf"{_LACK}[^;\n]{{0,60}}{_ADDRESS}|{_ADDRESS}[^;\n]{{0,60}}{_LACK}", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_PREAMBLE = re.compile(r"^.*?\d+/\d+ nodes are available:?\s*", re.DOTALL)
_AFTERWARDS = re.compile(r"\.?\s*(?:preemption|Preemption):.*$", re.DOTALL)
_COUNTED = re.compile(r"^(?P<count>\d+) (?P<rest>.*)$", re.DOTALL)
_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" (?P<how>not found|is being deleted)')
CAUSES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        (r"^Insufficient (?P<of>\S+)", "there is not enough {of} free"),
        (r"^Too many pods", "the limit of pods is reached (1,000 in an Autopilot cluster unless it was raised)"),
        (
            r"didn't match (?:Pod's )?node (?:affinity/)?selector|didn't match Pod's node affinity",
            "no node has the labels that its nodeSelector or node affinity asks for; Autopilot chooses nodes itself",
        ),
        (
            r"(?:untolerated taint|had taints?) (?P<of>\{[^}]*\})",
            "a node has the taint {of}, which the pod does not tolerate",
        ),
        (
            r"didn't (?:match|satisfy) (?:existing )?pods? anti-affinity",
            "its anti-affinity keeps it away from pods that are there",
        ),
        (r"didn't match pod affinity", "no node runs the pods that its affinity asks for"),
        (r"topology spread constraints", "its topologySpreadConstraints cannot be met"),
        (r"volume node affinity conflict|no available volume zone", "its volume is in a zone where no node fits"),
        (r"exceed max volume count|max(?:imum)? volume", "a node has as many volumes as it can"),
        (r"free ports", "the host port that it asks for is taken"),
        (r"were unschedulable|\(cordoned\)", "a node is cordoned"),
        (
            r"unbound immediate PersistentVolumeClaims|didn't find available persistent volumes",
            "its volume claim has no volume yet",
        ),
        (r"waiting for ephemeral volume controller", "the claim of its ephemeral volume is not made yet"),
        (r"no nodes available", "the cluster has no node"),
    )
)
"""Reasons of the scheduler why a node does not fit, without their number, and what each means."""


def without_place(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find why a pod waits for a node, or for its network."""
    if text(get(pod, "/status/phase")) not in ("Pending", "") or is_terminating(pod):
        return
    about, placed = evidence.workload_of(pod), condition(pod, "PodScheduled")
    began = moment(get(placed, "/lastTransitionTime")) or moment(get(pod, "/metadata/creationTimestamp"))
    old = began is None or evidence.at - began >= SCHEDULING
    if text(get(placed, "/status")) == "False":
        if old:
            yield _unscheduled(evidence, pod, about, placed)
    elif not placed and not get(pod, "/spec/nodeName"):
        if evidence.age_of(pod) >= YOUNG:
            yield _ignored(evidence, pod, about)
    else:
        yield from _without_network(evidence, pod, about)


def causes_in(message: str) -> list[str]:
    """Return each reason why no node fits, as a sentence; what is not known stays in the scheduler's words."""
    inner = _AFTERWARDS.sub("", _PREAMBLE.sub("", message)).strip().rstrip(".")
    found = dict[str, None]()
    for part in re.split(r", (?=\d+ |pod has|persistentvolumeclaim)", inner):
        match = _COUNTED.match(part)
        rest = (match["rest"] if match else part).strip()
        for pattern, sentence in CAUSES:
            if known := pattern.search(rest):
                of = known.groupdict().get("of")
                found[sentence.format(of=word(of) if of else "")] = None
                break
        else:
            found[quoted(rest)] = None
    return list(found) if inner else []


def _unscheduled(evidence: Evidence, pod: Any, about: Thing, placed: Any) -> Finding:
    reason = text(get(placed, "/reason"), 60)
    events = evidence.events_of(pod, "Pod", "FailedScheduling")
    message = text(get(placed, "/message"), 2000) or next(map(event_text, events), "")
    facts = [f"pod {word(thing_of(pod).name)}: PodScheduled=False, {word(reason)}: {quoted(message)}"]
    facts += [evidence.event(each) for each in events[:1] if event_text(each) != message]
    fault, after, calls = "unschedulable", frozenset[Thing](), list[NextCall]()
    causes = causes_in(message)
    claims = claims_of(pod)
    if match := _CLAIM.search(message):
        claim = Thing("PersistentVolumeClaim", about.namespace, match["name"])
        how = "does not exist" if match["how"] == "not found" else "is being deleted"
        fault, causes, after = "claim_missing", [f"its volume claim {word(claim.name)} {how}"], frozenset({claim})
        calls.append(
            evidence.call("k8s_list", "shows the claims there are", kind=claim.kind.lower(), namespace=claim.namespace)
        )
    else:
        # A pod of a StatefulSet uses the claims that are named after it.
        ending = f"-{thing_of(pod).name}"
        ours = [each for each in map(thing_of, evidence.of("PersistentVolumeClaim")) if each.name.endswith(ending)]
        claims += [each.name for each in ours if each.namespace == about.namespace]
        after = frozenset(Thing("PersistentVolumeClaim", about.namespace, each) for each in claims)
        if "ersistentVolume" in message or "persistent volume" in message:
            calls += [evidence.show(each, "shows why it has no volume") for each in sorted(after)[:1]]
    if reason == "SchedulingGated":
        gates = [word(get(each, "/name")) for each in items(pod, "/spec/schedulingGates")]
        fault, causes = "gated", [f"a scheduling gate holds it: {few(gates) or 'not named'}"]
    if "Insufficient" in message or "Too many pods" in message:
        fault = "no_room"
        facts += _requests(pod)
        calls.append(evidence.show(about, "shows what each pod requests"))
    nodes = frozenset(Thing("Node", "", thing_of(each).name) for each in evidence.of("Node"))
    return Finding(
        fault,
        about,
        f"cannot be scheduled: {'; '.join(causes) or quoted(message) or 'the scheduler does not say why'}",
        tuple(facts),
        evidence.gravity_of(about),
        moment(get(placed, "/lastTransitionTime")) or moment(get(pod, "/metadata/creationTimestamp")),
        (thing_of(pod).name,),
        tuple(calls) or (evidence.show(about, "shows what the pod template asks for"),),
        after=after | (nodes if "not-ready" in message or "unreachable" in message else frozenset()),
        part="; ".join(causes),
    )


def _requests(pod: Any) -> list[str]:
    """Return what the containers of a pod request, as evidence."""
    asks = [
        f"{word(get(each, '/name'))} " + " ".join(f"{word(key)}={word(amount)}" for key, amount in wants.items())
        for each in items(pod, "/spec/containers")
        if (wants := labels_of(each, "/resources/requests"))
    ]
    return [f"requests of each pod: {few(asks)}"] if asks else []


def _ignored(evidence: Evidence, pod: Any, about: Thing) -> Finding:
    scheduler = text(get(pod, "/spec/schedulerName")) or "default-scheduler"
    what = f"is not scheduled, and no scheduler says why; the pod asks for {word(scheduler)}"
    began = moment(get(pod, "/metadata/creationTimestamp"))
    fact = f"pod {word(thing_of(pod).name)}: no condition PodScheduled, spec.schedulerName={word(scheduler)}"
    calls = (evidence.show(about, "shows what the pod template asks for"),)
    return Finding(
        "unschedulable", about, what, (fact,), evidence.gravity_of(about), began, (thing_of(pod).name,), calls
    )


def _without_network(evidence: Evidence, pod: Any, about: Thing) -> Iterator[Finding]:
    """Find why the sandbox of a pod, which holds its network, is not made."""
    if any(each.is_running or each.ended for each in containers_of(pod)):
        return
    for event in evidence.events_of(pod, "Pod", *SANDBOX)[:1]:
        message = event_text(event)
        facts = (f"pod {word(thing_of(pod).name)}: scheduled, no container made yet", evidence.event(event))
        began = moment(get(event, "/firstTimestamp")) or event_time(event)
        if _NO_ADDRESS.search(message):
            subnet = _UUID.search(message)
            which = f"subnet {subnet[0]}" if subnet else "the subnet of the pods"
            add = "takes the whole list of the pods' subnets: add another to those there are, which get_cluster shows"
            calls = (evidence.call("update_cluster", add, eni_subnet_ids=list(evidence.subnets) or ""),)
            what, fault = f"waits for an IP address: {which} has none free", "no_address"
        else:
            calls = (
                evidence.call(
                    "k8s_list",
                    "shows whether other pods have this too",
                    kind="events",
                    field_selector=f"reason={text(get(event, '/reason'), 60)}",
                ),
            )
            what, fault, which = f"cannot set up its network: {quoted(message)}", "sandbox", ""
        yield Finding(
            fault, about, what, facts, evidence.gravity_of(about), began, (thing_of(pod).name,), calls,
            cause=which,
        )  # fmt: skip
