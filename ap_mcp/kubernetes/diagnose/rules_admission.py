"""Pods that cannot even be made: a quota, a limit, a policy or a webhook says no, and there is no pod to read."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, any_of, is_set, named_in, thing_of
from ap_mcp.kubernetes.events import event_text, event_time
from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, items, moment, number, quoted, text, word
from ap_mcp.wording import few, plural

MAKERS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController", "CronJob")
NO_POD = "no pod can be made"
FAILED = ("FailedCreate", "FailedCreatePod")
_TEMPLATES = {"CronJob": "/spec/jobTemplate/spec/template/spec", "Pod": "/spec"}
_QUOTA = re.compile(
    r"exceeded quota: (?P<quota>[^,\s]+), requested: (?P<requested>.*?), used: (?P<used>.*?), limited: (?P<limited>.*)"
)
_UNSET = re.compile(r"failed quota: (?P<quota>[^:\s]+): must specify (?P<missing>.*)")
_RANGE = re.compile(
    r"(?:maximum|minimum) \S+ usage per \w+ is |max limit to request ratio per |No limit is specified", re.IGNORECASE
)
_WEBHOOK = re.compile(r'webhook "(?P<name>[^"]+)"')
_SERVICE = re.compile(
    r"https?://(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc\b|service \"(?P<other>[a-z0-9-]+)\" not found"
)
_ACCOUNT = re.compile(r'serviceaccount "(?P<name>[^"]+)" not found')
_NAMED = re.compile(
    r'no PriorityClass with name (?P<priority>\S+) was found|RuntimeClass "?(?P<runtime>[^"\s]+)"? not found'
)
_GONE = re.compile(r"because it is being terminated")
_DOWN = re.compile(r"call(?:ing)? webhook")
_DENIED = any_of("denied", "autopilot", "forbidden")
_POLICY = any_of("webhook", "AdmissionPolicy", "autopilot")
_PAIR = re.compile(r"([\w./-]+)=([^,\s]+)")
MOST_PAIRS = 4


def refused_pods(evidence: Evidence) -> Iterator[Finding]:
    """Find workloads whose pods the API server does not let be made."""
    reported: set[Thing] = set()
    for kind in MAKERS:
        for item in evidence.of(kind):
            refusal = _refusal(evidence, item, kind)
            if refusal is None:
                continue
            message, proof, since = refusal
            about = _top(evidence, item, kind)
            if about in reported:
                continue
            reported.add(about)
            owner = evidence.find(about) or item
            template = get(owner, _TEMPLATES.get(about.kind, "/spec/template/spec"))
            found = _judged(evidence, message, about, template or get(item, "/spec/template/spec"))
            yield replace(
                found, evidence=(proof, *found.evidence), since=since, gravity=evidence.gravity_of(about)
            )  # fmt: skip


def _top(evidence: Evidence, item: Any, kind: str) -> Thing:
    """Return what a person would change: of a ReplicaSet the Deployment, but of a Job the Job."""
    every = [each for each in evidence.owners(item, kind) if each.kind != "CronJob" or kind == "CronJob"]
    return every[-1]


def _refusal(evidence: Evidence, item: Any, kind: str) -> tuple[str, str, Any] | None:
    """Return what the API server said to the last pod of a workload, where that stands, and since when."""
    if is_set(item, "ReplicaFailure"):
        said = condition(item, "ReplicaFailure")
        message, reason = text(get(said, "/message"), 2000), text(get(said, "/reason"), 60)
        if reason == "FailedCreate" or "forbidden" in message:
            proof = f"{thing_of(item, kind)}: condition ReplicaFailure=True, {reason or 'no reason'}"
            return message, proof, moment(get(said, "/lastTransitionTime"))
    lacks = _lacks_pods(evidence, item, kind)
    if not lacks:
        return None
    for event in evidence.events_of(item, kind, *FAILED):
        return event_text(event), evidence.event(event), moment(get(event, "/firstTimestamp")) or event_time(event)
    return None


def _lacks_pods(evidence: Evidence, item: Any, kind: str) -> bool:
    """Say whether a workload has fewer pods than it wants: an event may be older than the pods that came since."""
    if kind in ("Job", "CronJob"):
        over = any(is_set(item, each) for each in ("Complete", "Failed"))
        return not over and not number(get(item, "/status/active")) and not items(item, "/status/active")
    place = "/status/desiredNumberScheduled" if kind == "DaemonSet" else "/spec/replicas"
    have = "/status/currentNumberScheduled" if kind == "DaemonSet" else "/status/replicas"
    wanted, made = number(get(item, place, 1)) or 0, number(get(item, have, 0)) or 0
    return made < wanted or not evidence.pods_by_owner.get(thing_of(item, kind))


def _judged(evidence: Evidence, message: str, about: Thing, spec: Any) -> Finding:
    """Return the finding that a refusal is."""
    for judge in (_by_quota, _by_limits, _by_webhook, _by_what_is_missing):
        if (found := judge(evidence, message, about, spec)) is not None:
            return found
    what = quoted(_inner(message)) if message else "the API server does not say why"
    return _change(evidence, about, "refused", what, "changes what is refused")


def _by_quota(evidence: Evidence, message: str, about: Thing, _: Any) -> Finding | None:
    if match := _QUOTA.search(message):
        return _quota(evidence, about, match)
    if match := _UNSET.search(message):
        what = f"ResourceQuota {word(match['quota'])} wants every container to set {quoted(match['missing'])}"
        return _change(evidence, about, "quota_unset", what, "sets requests and limits")
    if _RANGE.search(message):
        here = [each for each in evidence.of("LimitRange") if thing_of(each).namespace == about.namespace]
        named = f" {few([named_in(each) for each in here])}" if here else " of the namespace"
        what = f"LimitRange{named} says {quoted(_inner(message))}"
        return _change(evidence, about, "limit_range", what, "sets requests and limits that fit")
    return None


def _by_limits(evidence: Evidence, message: str, about: Thing, spec: Any) -> Finding | None:
    if "violates PodSecurity" in message:
        what = f"the namespace enforces a pod security standard that it breaks: {quoted(_inner(message))}"
        return _change(evidence, about, "pod_security", what, "sets the securityContext that is asked for")
    limits = beyond_autopilot(about.kind, spec)
    if limits and _DENIED.search(message) and not _DOWN.search(message):
        what = f"Autopilot allows no {few(limits)}; the cluster says {quoted(_inner(message))}"
        return _change(evidence, about, "autopilot_limits", what, "takes that out of the pod template")
    return None


def _by_webhook(evidence: Evidence, message: str, about: Thing, _: Any) -> Finding | None:
    if _DOWN.search(message):
        return _webhook_down(evidence, about, message)
    if not _POLICY.search(message):
        return None
    match = _WEBHOOK.search(message)
    by = f"admission webhook {quoted(match['name'])}" if match else "an admission policy"
    fault = "autopilot_limits" if "utopilot" in message else "webhook_denied"
    what = f"{by} refuses it: {quoted(_inner(message))}"
    return _change(evidence, about, fault, what, "changes what is refused")


def _by_what_is_missing(evidence: Evidence, message: str, about: Thing, _: Any) -> Finding | None:
    if _GONE.search(message):
        namespace = Thing("Namespace", "", about.namespace)
        what = f"{NO_POD}: the namespace {word(about.namespace)} is being deleted"
        calls = (evidence.show(namespace, "shows what its deletion waits for"),)
        return Finding("namespace_terminating", about, what, after=frozenset({namespace}), next=calls)
    if match := _ACCOUNT.search(message):
        what = f"{NO_POD}: ServiceAccount {word(match['name'])} does not exist in {word(about.namespace)}"
        lister = evidence.call("k8s_list", "shows what there is", kind="serviceaccount", namespace=about.namespace)
        return Finding("service_account", about, what, next=(lister,))
    if match := _NAMED.search(message):
        kind = "PriorityClass" if match["priority"] else "RuntimeClass"
        what = f"{kind} {word(match['priority'] or match['runtime'])} does not exist"
        return _change(evidence, about, "class_missing", what, "names one that exists")
    return None


def _quota(evidence: Evidence, about: Thing, match: re.Match[str]) -> Finding:
    """Say which limits of a quota a pod goes beyond, and by how much."""
    requested, used, limited = (dict(_PAIR.findall(match[each])) for each in ("requested", "used", "limited"))
    quota = Thing("ResourceQuota", about.namespace, match["quota"])
    parts = [
        f"{word(name)} {word(used.get(name, '?'))} of {word(limited.get(name, '?'))} used, {word(wants)} more wanted"
        for name, wants in list(requested.items())[:MOST_PAIRS]
    ]
    what = f"{NO_POD}: {quota.kind} {word(quota.name)} is used up: {'; '.join(parts)}"
    now = evidence.find(quota)
    hard, have = (get(now, f"/status/{each}") for each in ("hard", "used"))
    facts = [
        f"{quota}: {word(name)} used={word(get(have, f'/{name}'))} hard={word(get(hard, f'/{name}'))}"
        for name in requested
        if isinstance(hard, dict) and isinstance(have, dict) and "/" not in name and name in hard
    ]
    calls = (evidence.show(quota, "shows all that it limits; raise it, or free something"),)
    return Finding("quota", about, what, tuple(facts[:MOST_PAIRS]), next=calls, cause=str(quota))


def _webhook_down(evidence: Evidence, about: Thing, message: str) -> Finding:
    """Say which webhook does not answer: it blocks everything of its kind."""
    match, service = _WEBHOOK.search(message), _SERVICE.search(message)
    name = quoted(match["name"]) if match else "an admission webhook"
    what = (
        f"{NO_POD}: admission webhook {name} does not answer, and nothing passes without it: {quoted(_cause(message))}"
    )
    after, calls = frozenset[Thing](), list[NextCall]()
    if service and service["namespace"]:
        behind = Thing("Service", service["namespace"], service["name"])
        after = frozenset({behind})
        calls.append(
            evidence.call(
                "k8s_diagnose",
                "says why the webhook's Service does not answer",
                kind="service",
                name=behind.name,
                namespace=behind.namespace,
            )
        )
    kind = "validatingwebhookconfiguration" if "valid" in message.lower() else "mutatingwebhookconfiguration"
    calls.append(
        evidence.call("k8s_list", "shows the webhooks; failurePolicy says whether one may be skipped", kind=kind)
    )
    return Finding("webhook_down", about, what, after=after, next=tuple(calls), cause=name)


def beyond_autopilot(kind: str, spec: Any) -> list[str]:
    """Return what a pod template asks for that Autopilot does not allow."""
    found = [f"{each}" for each in ("hostNetwork", "hostPID", "hostIPC", "nodeName") if get(spec, f"/{each}")]
    found += [
        f"hostPath volume ({word(get(each, '/name'))})"
        for each in items(spec, "/volumes")
        if get(each, "/hostPath") is not None
    ]
    every = [*items(spec, "/containers"), *items(spec, "/initContainers")]
    found += [
        f"privileged container ({word(get(each, '/name'))})"
        for each in every
        if get(each, "/securityContext/privileged") is True
    ]
    ports = [each for container in every for each in items(container, "/ports") if get(each, "/hostPort")]
    found += [plural(len(ports), "hostPort")] if ports else []
    return [*found, *(["DaemonSet"] if kind == "DaemonSet" else [])]


def _inner(message: str) -> str:
    """Return a refusal without what every refusal begins with."""
    shorter = re.sub(r"^(?:create Pod \S+ in StatefulSet \S+ failed error: )?(?:Error creating: )?", "", message)
    shorter = re.sub(r'^pods "[^"]*" is forbidden: ', "", shorter)
    return re.sub(r'^admission webhook "[^"]*" denied the request: ', "", shorter)


def _cause(message: str) -> str:
    """Return the end of a chain of errors, where the cause stands."""
    return re.sub(r'^.*?failed to call webhook: (?:\w+ "[^"]*": )?', "", _inner(message))


def _change(evidence: Evidence, about: Thing, fault: str, what: str, why: str) -> Finding:
    """Return a finding that a change of the pod template corrects."""
    calls = (evidence.show(about, f"shows the pod template; k8s_patch {why}"),)
    return Finding(fault, about, f"{NO_POD}: {what}", next=calls)
