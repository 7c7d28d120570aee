"""Puts findings in order: the likeliest cause first, and what follows from another under that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ap_mcp.kubernetes.diagnose.model import GRAVITIES, Finding, Thing
from ap_mcp.kubernetes.diagnose.rules_containers import DNS

CRASHES = (
    "memory",
    "liveness_probe",
    "command_missing",
    "command_refused",
    "not_started",
    "hook",
    "crash",
    "startup_probe",
)
ORDER = (
    *("dns_down", "node", "namespace", "namespace_terminating"),
    *("autopilot_limits", "pod_security", "webhook_down", "webhook_denied", "quota", "quota_unset", "limit_range"),
    *("service_account", "class_missing", "refused"),
    *("storage_class", "claim_lost", "claim_missing", "claim_pending"),
    *("no_address", "sandbox", "no_room", "gated", "unschedulable"),
    *("image_refused", "image_tag", "image_name", "image_never_pulled", "image_signature", "image_platform"),
    *("image_out_of_reach", "image_limited", "image_space", "image"),
    *("config_missing", "runs_as_root", "config", "volume_in_use", "volume_not_mounted"),
    *(*CRASHES, "node_lost", "evicted", "ended_by_node", "out_of_time"),
    *(
        "probe_port",
        "readiness_probe",
        "readiness_gate",
        "init_runs",
        "not_ready",
        "no_pods",
        "waiting_in_line",
        "pod_terminating",
        "terminating",
    ),
    *("job_failed", "job_failing", "cron_schedule", "cron_missed", "cron_blocked"),
    *("selector", "target_port", "no_endpoints", "no_ready_endpoint", "load_balancer"),
    *("ingress_backend", "ingress_port", "ingress_class", "ingress_secret", "ingress_controller", "ingress_follows"),
    *("no_metrics", "autoscaler_requests", "autoscaler_target", "autoscaler_metrics", "autoscaler_limit"),
    *("rollout_stuck", "rollout_paused", "dns", "claim_resize", "claim_terminating", "disruption_budget"),
    *("job_suspended", "cron_suspended", "scaled_to_zero"),
)
"""Every kind of fault: what explains most comes first. Only a kind further up explains one further down."""
RANK = {fault: at for at, fault in enumerate(ORDER)}
CONSEQUENCES = frozenset({"ingress_follows", "waiting_in_line"})
"""Faults that are none unless something explains them."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A finding, what follows from it, and what else has the same cause."""

    finding: Finding
    then: tuple[Finding, ...] = ()
    also: tuple[Thing, ...] = ()


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with those about the pods of one workload, alike but for the pod, as one."""
    groups: dict[tuple[str, Thing, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.fault, each.about, each.part), []).append(each)
    return [_one(sorted(every, key=lambda each: (each.pods, each.what))) for every in groups.values()]


def _one(alike: Sequence[Finding]) -> Finding:
    first = alike[0]
    began = [each.since for each in alike if each.since is not None]
    return replace(
        first,
        gravity=min((each.gravity for each in alike), key=GRAVITIES.index),
        since=min(began, default=None),
        pods=tuple(sorted({pod for each in alike for pod in each.pods})),
        explains=frozenset[Thing]().union(*(each.explains for each in alike)),
        after=frozenset[Thing]().union(*(each.after for each in alike)),
    )


def in_order(findings: Iterable[Finding]) -> list[Cause]:
    """Return the causes, the gravest and likeliest first, each with what follows from it."""
    every = sorted(merged(findings), key=_place)
    under: dict[int, list[Finding]] = {}
    above: dict[int, int] = {}
    # Only what has to do with the same thing can explain it: to try each with each takes minutes for thousands.
    near: dict[Thing, set[int]] = {}
    for at, each in enumerate(every):
        for thing in {each.about} | each.explains:
            near.setdefault(thing, set()).add(at)
    for at, each in enumerate(every):
        others = {other for thing in {each.about} | each.after for other in near.get(thing, ())} - {at}
        reasons = [other for other in others if _explains(every[other], each)]
        if reasons:
            above[at] = min(reasons, key=lambda other: (_rank(every[other]), other))
    for at in above:
        root = at
        while root in above:
            root = above[root]
        under.setdefault(root, []).append(every[at])
    roots = [(at, each) for at, each in enumerate(every) if at not in above and each.fault not in CONSEQUENCES]
    causes: dict[tuple[str, str], Cause] = {}
    for at, each in roots:
        key = (each.fault, each.cause or f"{each.about} {each.part}")
        then = tuple(under.get(at, ()))
        known = causes.get(key)
        also = (*known.also, each.about) if known else ()
        causes[key] = Cause(known.finding if known else each, (*(known.then if known else ()), *then), also)
    return list(causes.values())


def _explains(cause: Finding, other: Finding) -> bool:
    """Say whether one finding explains another."""
    if cause.about == other.about and cause.part == other.part and cause.fault in CRASHES:
        return other.fault in ("readiness_probe", "startup_probe", "probe_port") and _rank(cause) < _rank(other)
    found = ({cause.about} | cause.explains) & other.after
    if other.fault == "dns":
        return bool(found) and cause.fault != "dns"
    if found == {DNS} and cause.gravity != "critical":
        return False
    return bool(found) and _rank(cause) < _rank(other)


def _rank(finding: Finding) -> int:
    if finding.about == DNS and finding.gravity == "critical" and finding.fault != "dns":
        return RANK["dns_down"]
    return RANK[finding.fault]


def _place(finding: Finding) -> tuple[int, int, int, str, str, str]:
    count = -len(finding.pods)
    return (GRAVITIES.index(finding.gravity), _rank(finding), count, str(finding.about), finding.part, finding.what)
