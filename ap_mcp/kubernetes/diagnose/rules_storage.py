"""Volumes: claims that get none, and volumes that cannot be attached or mounted."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import YOUNG, Evidence, claims_of
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, is_set, named_in, thing_of
from ap_mcp.kubernetes.events import event_text, event_time
from ap_mcp.kubernetes.pods import containers_of, is_terminating
from ap_mcp.vendor import get, moment, quoted, strings, text, word
from ap_mcp.wording import few

CLAIM, CLASS = "PersistentVolumeClaim", "StorageClass"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
LATE, ON_USE = "WaitForFirstConsumer", ("WaitForFirstConsumer", "WaitForPodScheduled")
_NO_CLASS = re.compile(r'storageclass[\w.]* "(?P<name>[^"]*)" not found', re.IGNORECASE)
_MULTI = re.compile(r"Multi-Attach error|already exclusively attached|already used by pod", re.IGNORECASE)
_USED_BY = re.compile(r"used by pod\(s\) (?P<pods>[\w.,\- ]+)")
_VOLUME = re.compile(r'volume "(?P<name>[^"]+)"')
_UNMOUNTED = re.compile(r"unmounted volumes=\[(?P<names>[^\]]*)\]")
_LACKS = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found', re.IGNORECASE)
_LACKS_KEY = re.compile(r"references non-existent (?P<kind>secret|config) key: (?P<key>\S+)")
_TIMEOUT = re.compile(r"timed out waiting for the condition|context deadline exceeded")
_PASSING = re.compile(r"not registered|failed to sync (?:secret|configmap) cache")
STUCK = timedelta(minutes=2)


def claims_without_volume(evidence: Evidence) -> Iterator[Finding]:
    """Find volume claims that have no volume, or lost it."""
    for claim in evidence.of(CLAIM):
        phase, thing = text(get(claim, "/status/phase")), thing_of(claim, CLAIM)
        if deleted := moment(get(claim, "/metadata/deletionTimestamp")):
            yield from _in_use(evidence, claim, thing, deleted)
        elif phase == "Lost":
            volume = word(get(claim, "/spec/volumeName"))
            what = f"its volume {volume} no longer exists, and with it the data"
            yield Finding("claim_lost", thing, what, ("status.phase=Lost",), next=(evidence.show(thing, "shows it"),))
        elif is_pending(claim):
            yield from _pending(evidence, claim, thing)
        for event in evidence.events_of(claim, CLAIM, "VolumeResizeFailed")[:1]:
            if is_set(claim, "Resizing") or is_set(claim, "FileSystemResizePending"):
                what = f"cannot be made larger: {quoted(event_text(event))}"
                lead = (evidence.show(thing, "shows its size and class"),)
                yield Finding(
                    "claim_resize", thing, what, (evidence.event(event),), "warning", event_time(event), (), lead
                )


def is_pending(claim: Any) -> bool:
    """Say whether a claim has no volume; one that nothing was reported of yet has none either."""
    return text(get(claim, "/status/phase")) in ("Pending", "")


def _pending(evidence: Evidence, claim: Any, thing: Thing) -> Iterator[Finding]:
    name = get(claim, "/spec/storageClassName")
    wanted = (
        text(name)
        if name is not None
        else text(get(claim, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class"))
    )
    failed = evidence.events_of(
        claim, CLAIM, "ProvisioningFailed", "FailedBinding", "ProvisioningError", "VolumeMismatch"
    )
    said = next(map(event_text, failed), "")
    facts = ("status.phase=Pending", *(evidence.event(each) for each in failed[:1]))
    began, lead = moment(get(claim, "/metadata/creationTimestamp")), (evidence.show(thing, "shows what it asks for"),)
    missing = _NO_CLASS.search(said)
    if wanted and (evidence.lacks(Thing(CLASS, "", wanted)) or missing):
        there = sorted(word(thing_of(each).name) for each in evidence.of(CLASS))
        known = f"; there {'is' if len(there) == 1 else 'are'} {few(there)}" if there else ""
        what = f"wants StorageClass {word(missing['name'] if missing else wanted)}, which does not exist{known}"
        calls = (
            evidence.call(
                "k8s_list",
                "shows the classes there are; a claim's class cannot be changed, so it is made anew",
                kind="storageclass",
            ),
        )
        yield Finding("storage_class", thing, what, facts, since=began, next=calls, cause=wanted)
        return
    if said:
        yield Finding("claim_pending", thing, f"gets no volume: {quoted(said)}", facts, since=began, next=lead)
        return
    if evidence.age_of(claim) < YOUNG or _waits_for_use(evidence, claim, wanted):
        return
    default = any(
        text(get(each, "/metadata/annotations/" + key.replace("/", "~1"))) == "true"
        for each in evidence.of(CLASS)
        for key in DEFAULT_CLASS
    )
    if not wanted and name is None and evidence.is_whole(CLASS) and not default:
        what = "names no StorageClass, and none is the default"
        yield Finding("storage_class", thing, what, facts, since=began, next=lead)
        return
    waits = evidence.events_of(claim, CLAIM, "ExternalProvisioning")
    if waits or evidence.age_of(claim) >= STUCK:
        what = f"gets no volume: {quoted(event_text(waits[0])) if waits else 'nothing says why'}"
        yield Finding(
            "claim_pending",
            thing,
            what,
            (*facts, *(evidence.event(each) for each in waits[:1])),
            since=began,
            next=lead,
        )


def _waits_for_use(evidence: Evidence, claim: Any, wanted: str) -> bool:
    """Say whether a claim gets its volume only with the first pod that uses it: that is no fault of it."""
    if evidence.events_of(claim, CLAIM, *ON_USE):
        return True
    mode = text(get(evidence.find(Thing(CLASS, "", wanted)), "/volumeBindingMode"))
    if mode != LATE:
        return not evidence.is_whole(CLASS) and bool(wanted)
    return not any(is_set(pod, "PodScheduled") for pod in evidence.users.get(thing_of(claim, CLAIM), ()))


def _in_use(evidence: Evidence, claim: Any, thing: Thing, deleted: Any) -> Iterator[Finding]:
    if evidence.at - deleted < STUCK:
        return
    users = sorted(named_in(pod) for pod in evidence.users.get(thing, ()))
    held = strings(claim, "/metadata/finalizers")
    why = (
        f"pods still use it: {few(users)}" if users else f"its finalizers hold it: {few([word(each) for each in held])}"
    )
    yield Finding(
        "claim_terminating",
        thing,
        f"is being deleted and stays: {why}",
        ("metadata.deletionTimestamp is set",),
        "notice",
        deleted,
        next=(evidence.show(thing, "shows it"),),
    )


def volumes_not_mounted(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find why the volumes of a pod are not attached or mounted while its containers wait for them."""
    if is_terminating(pod) or any(each.is_running for each in containers_of(pod)):
        return
    if text(get(pod, "/status/phase")) not in ("Pending", ""):
        return
    events = [
        each
        for each in evidence.events_of(pod, "Pod", "FailedMount", "FailedAttachVolume", "FailedMapVolume")
        if not _PASSING.search(event_text(each))
    ]
    # That it waited too long comes again and again; what it waits for, only now and then.
    telling = sorted(
        events, key=lambda each: bool(_TIMEOUT.search(event_text(each)) and _UNMOUNTED.search(event_text(each)))
    )
    for event in telling[:1]:
        about, name, message = evidence.workload_of(pod), thing_of(pod).name, event_text(event)
        facts = (f"pod {word(name)}: containers are not made yet", evidence.event(event))
        began, gravity = moment(get(event, "/firstTimestamp")) or event_time(event), evidence.gravity_of(about)
        fault, what = _mount(about.namespace, message)
        claims = frozenset(Thing(CLAIM, about.namespace, each) for each in claims_of(pod))
        calls = (evidence.show(about, "shows its volumes"),)
        yield Finding(fault, about, what, facts, gravity, began, (name,), calls, after=claims, part=what)


def _mount(namespace: str, message: str) -> tuple[str, str]:
    """Return the fault that a failed mount is, and the sentence about it."""
    volume = _VOLUME.search(message)
    which = f"volume {word(volume['name'])}" if volume else "a volume"
    if lacks := _LACKS.search(message):
        kind = "Secret" if lacks["kind"].lower() == "secret" else "ConfigMap"
        return "config_missing", f"waits for {kind} {word(lacks['name'])}, which does not exist in {word(namespace)}"
    if lacks := _LACKS_KEY.search(message):
        kind = "Secret" if lacks["kind"] == "secret" else "ConfigMap"
        what = f"waits for the key {word(lacks['key'])}, which the {kind} of {which} does not have"
        return "config_missing", what
    if _MULTI.search(message):
        users = _USED_BY.search(message)
        by = f" by pod {word(users['pods'].strip())}" if users else ""
        return "volume_in_use", f"cannot use {which}: it is still attached elsewhere{by}, and can be at one place only"
    if names := _UNMOUNTED.search(message):
        waits = few([word(each) for each in names["names"].split()])
        return "volume_not_mounted", f"waits too long for its volumes: {waits}"
    return "volume_not_mounted", f"cannot mount {which}: {quoted(message)}"
