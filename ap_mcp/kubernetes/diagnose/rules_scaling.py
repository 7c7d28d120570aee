"""Autoscalers that do not scale, and disruption budgets that allow nothing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import SYSTEM, YOUNG, Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, is_set, labels_of, thing_of
from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, moment, number, quoted, text, word
from ap_mcp.wording import plural

METRICS = "metrics-server"
_NO_API = re.compile(
    r"could not find the requested resource|no matches for kind|no (?:custom|external) metrics API", re.IGNORECASE
)
_API_DOWN = re.compile(
    r"currently unable to handle the request|service ?unavailable|connection refused|deadline exceeded", re.IGNORECASE
)
_NO_REQUEST = re.compile(r"missing request for (?P<of>\S+)")
_RESOURCE_API = re.compile(r"metrics\.k8s\.io|resource metrics API")
_OTHER_API = re.compile(r"custom\.metrics|external\.metrics|(?:custom|external) metrics", re.IGNORECASE)
_NO_SAMPLES = re.compile(r"no metrics returned|did not receive metrics|no metrics known", re.IGNORECASE)


def blind_autoscalers(evidence: Evidence) -> Iterator[Finding]:
    """Find autoscalers that know no metrics, have no target, or are at their end."""
    for scaler in evidence.of("HorizontalPodAutoscaler"):
        thing = thing_of(scaler, "HorizontalPodAutoscaler")
        kind, name = (text(get(scaler, f"/spec/scaleTargetRef/{key}")) for key in ("kind", "name"))
        target = Thing(kind, thing.namespace, name)
        able, active, limited = (condition(scaler, each) for each in ("AbleToScale", "ScalingActive", "ScalingLimited"))
        if is_set(scaler, "AbleToScale", "False"):
            missing = evidence.lacks(target) or "not found" in text(get(able, "/message"))
            why = f"{target} does not exist" if missing else quoted(get(able, "/message"))
            calls = (evidence.show(thing, "shows its target"),)
            yield replace(_of_scaler(thing, "autoscaler_target", f"does not scale: {why}", able), next=calls)
        elif is_set(scaler, "ScalingActive", "False"):
            # A workload that is off is not scaled, and one that has just begun has no metrics.
            if text(get(active, "/reason")) != "ScalingDisabled" and evidence.age_of(scaler) >= YOUNG:
                yield _blind(evidence, thing, target, active)
        elif is_set(scaler, "ScalingLimited") and text(get(limited, "/reason")) == "TooManyReplicas":
            most, now = number(get(scaler, "/spec/maxReplicas")), number(get(scaler, "/status/currentReplicas"))
            if most is not None and now is not None and now >= most:
                what = f"is at its end: it wants more than maxReplicas={most}, and {target} has {now}"
                calls = (evidence.show(thing, "shows load and limits; k8s_patch raises maxReplicas"),)
                found = _of_scaler(thing, "autoscaler_limit", what, limited)
                yield replace(found, gravity="notice", next=calls)


def _blind(evidence: Evidence, thing: Thing, target: Thing, active: Any) -> Finding:
    """Say why an autoscaler knows no metrics."""
    message = text(get(active, "/message"), 2000)
    fault, after, cause = "autoscaler_metrics", frozenset({target}), ""
    calls: tuple[NextCall, ...] = (evidence.show(thing, "shows its metrics"),)
    if match := _NO_REQUEST.search(message):
        what = f"the containers of {target} request no {word(match['of'])}, of which it takes a share"
        fault, after = "autoscaler_requests", frozenset()
        calls = (evidence.show(target, "shows what is requested; k8s_patch sets it"),)
    elif _OTHER_API.search(message):
        what = f"the cluster does not answer for its custom or external metric: {quoted(message)}"
    elif _NO_API.search(message):
        what = f"the cluster serves no metrics.k8s.io, so add-on {METRICS} is missing or broken"
        fault, after, cause = "no_metrics", frozenset({_METRICS}), METRICS
        calls = (
            evidence.call("install_addon", "installs it, if list_addons does not show it", template_name=METRICS),
            evidence.call("list_addons", "shows whether it is there, and how it is"),
        )
    elif _RESOURCE_API.search(message) and _API_DOWN.search(message):
        what = f"metrics.k8s.io does not answer, so add-on {METRICS} is not healthy"
        fault, after, cause = "no_metrics", frozenset({_METRICS}), METRICS
        calls = (
            evidence.call("get_addon", "shows how it is", addon_id=METRICS),
            evidence.call("k8s_diagnose", "says why", kind="deployment", name=METRICS, namespace=SYSTEM),
        )
    elif _NO_SAMPLES.search(message):
        what = f"there are no metrics of the pods of {target} yet"
    else:
        what = quoted(message or get(active, "/reason"))
    found = _of_scaler(thing, fault, f"does not scale: {what}", active)
    return replace(found, next=calls, after=after, cause=cause)


_METRICS = Thing("Deployment", SYSTEM, METRICS)


def _of_scaler(thing: Thing, fault: str, what: str, said: Any) -> Finding:
    kind, status, reason = (word(get(said, f"/{key}")) for key in ("type", "status", "reason"))
    fact = f"condition {kind}={status}, {reason}: {quoted(get(said, '/message'))}"
    return Finding(fault, thing, what, (fact,), "warning", moment(get(said, "/lastTransitionTime")))


def blocking_budgets(evidence: Evidence) -> Iterator[Finding]:
    """Find disruption budgets that allow no eviction, which an upgrade needs."""
    for budget in evidence.of("PodDisruptionBudget"):
        thing = thing_of(budget, "PodDisruptionBudget")
        allowed, expected = (number(get(budget, f"/status/{each}")) for each in ("disruptionsAllowed", "expectedPods"))
        if allowed != 0 or not expected:
            continue
        healthy, desired = (
            number(get(budget, f"/status/{each}")) or 0 for each in ("currentHealthy", "desiredHealthy")
        )
        selector = labels_of(budget, "/spec/selector/matchLabels")
        owners = frozenset(evidence.workload_of(pod) for pod in evidence.selected(thing.namespace, selector))
        asks = " ".join(
            f"{key}={word(get(budget, f'/spec/{key}'))}"
            for key in ("minAvailable", "maxUnavailable")
            if get(budget, f"/spec/{key}") is not None
        )
        state = f"disruptionsAllowed=0 currentHealthy={healthy} desiredHealthy={desired} expectedPods={expected}"
        facts = (f"status: {state}; spec: {asks}",)
        after = owners if healthy < desired else frozenset[Thing]()
        if after:
            what = f"allows no eviction: {healthy} of the {plural(int(desired), 'pod')} that it keeps are healthy"
        else:
            blocks = "a node cannot be drained, so an upgrade may wait for it"
            what = f"never allows an eviction: {asks} with {plural(int(expected), 'pod')}; {blocks}"
        yield Finding(
            "disruption_budget",
            thing,
            what,
            facts,
            "notice",
            None,
            (),
            (evidence.show(thing, "shows it; k8s_patch loosens it, or add replicas"),),
            after=after,
        )
