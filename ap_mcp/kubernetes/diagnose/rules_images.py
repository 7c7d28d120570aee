"""Images that cannot be obtained: no such tag, no right, no way to the registry, or for another processor."""

import re
from collections.abc import Iterator
from typing import Any

from ap_mcp.kubernetes.diagnose.containers import events_about
from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, any_of, thing_of
from ap_mcp.kubernetes.events import event_text
from ap_mcp.kubernetes.pods import Container, containers_of, is_terminating
from ap_mcp.vendor import get, items, moment, quoted, text, word
from ap_mcp.wording import few

WAITING = frozenset(
    {
        *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"),
        *("RegistryUnavailable", "SignatureValidationFailed"),
    }
)
OWN_REGISTRY = "myhuaweicloud.com"
PULL_SECRET, USUAL_SECRET = "kubernetes.io/dockerconfigjson", "default-secret"
"""The type of a Secret to pull with; CCE puts one of that name into each namespace."""
_FAILED = ("Failed", "InspectFailed", "ErrImageNeverPull", "BackOff", "FailedToRetrieveImagePullSecret")
_EMPTY = re.compile(r"^(?:Error: |Back-off pulling image )", re.IGNORECASE)
_PLATFORM = any_of(
    r"no match(?:ing manifest)? for (?:platform|linux|windows)|no matching manifest|unsupported (?:os|platform)",
    "does not match the (?:specified|detected host) platform",
)
_NETWORK = any_of(
    *("time(?:d )?-?out", "deadline exceeded", "no such host", "connection (?:refused|reset)", "no route to host"),
    *("network is unreachable", "server misbehaving", "name resolution", "TLS handshake", "x509", r"\bEOF\b"),
    *(r"\b50[0234]\b", "unavailable", "http: server gave HTTP response"),
)
_CERTIFICATE = any_of("x509", "certificate")
_NONE = any_of(
    *("manifest unknown", "manifest for .* not found", "name unknown", "not ?found", r"\b404\b"),
    "does not exist(?! or may require)",
)
_REFUSED = any_of(
    *(r"\b40[13]\b", "unauthorized", "authenticat", "authoriz", "denied", "forbidden", "no basic auth", "may require"),
    "insufficient_scope",
)
_CAUSES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("image_platform", _PLATFORM),
    ("image_limited", any_of(r"\b429\b", "too ?many ?requests", "rate ?limit", "pull QPS exceeded")),
    ("image_out_of_reach", _NETWORK),
    ("image_tag", _NONE),
    ("image_refused", _REFUSED),
    ("image_space", any_of("no space left on device", "disk quota")),
)
_REFUSED_FIRST = any_of(
    *("pull access denied", "access to the resource is denied", "insufficient_scope", "unauthorized", "authoriz"),
    *(r"\b40[13]\b", "may require"),
)
_REFUSED_SURELY = any_of(r"\b40[13]\b", "denied", "unauthorized")
_HIDES = re.compile(r"may require|does not exist or", re.IGNORECASE)
_SPECIFIC = re.compile(r"manifest unknown|name unknown|\b404\b|: not found|code = NotFound", re.IGNORECASE)


def images_not_obtained(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find containers of a pod whose image cannot be obtained."""
    if is_terminating(pod):
        return
    for container in containers_of(pod):
        if container.reason in WAITING:
            yield _finding(evidence, container)


def cause_of(message: str) -> str:
    """Return why an image was not obtained, by what the kubelet says; `image` if that does not say it.

    A registry that hides what one may not see says both: that it refuses, and that there may be no such image.
    """
    if _REFUSED_FIRST.search(message) and not _SPECIFIC.search(message):
        out_of_reach = _NETWORK.search(message) and not _REFUSED_SURELY.search(message)
        return "image_out_of_reach" if out_of_reach else "image_refused"
    return next((fault for fault, pattern in _CAUSES if pattern.search(message)), "image")


def _finding(evidence: Evidence, container: Container) -> Finding:
    pod, image = container.pod, container.image
    about, said, proof = evidence.workload_of(pod), *_why(evidence, container)
    facts = [f"pod {word(thing_of(pod).name)}: {container.said} state.waiting.reason={word(container.reason)}", *proof]
    fault = _by_reason(container.reason) or cause_of(said.replace(image, "") if image else said)
    lead = "imagePullSecrets" if fault == "image_refused" else "another image"
    shared = {"image_out_of_reach": parts_of(image)[0], "image_tag": image}
    stays = fault in ("image_out_of_reach", "image_limited", "image_refused")
    return Finding(
        fault,
        about,
        f"{container.said} cannot start: {_judged(evidence, fault, container, image, said)}",
        tuple(facts),
        evidence.gravity_of(about),
        moment(get(pod, "/status/startTime")) or moment(get(pod, "/metadata/creationTimestamp")),
        (thing_of(pod).name,),
        (
            evidence.show(about, f"shows the pod template; k8s_patch sets {lead}"),
            *(() if stays else evidence.undo(about)),
        ),
        part=f"{container.name} {image}",
        cause=shared.get(fault, ""),
    )


def _by_reason(waits: str) -> str:
    return {
        "InvalidImageName": "image_name",
        "ErrImageNeverPull": "image_never_pulled",
        "SignatureValidationFailed": "image_signature",
        "RegistryUnavailable": "image_out_of_reach",
    }.get(waits, "")


def _why(evidence: Evidence, container: Container) -> tuple[str, list[str]]:
    """Return what the kubelet says about the pull: where the status has only the back-off, an event has the why."""
    image = text(get(container.spec, "/image"), 500)
    failed = [
        each
        for each in events_about(evidence, container, *_FAILED)
        if not _EMPTY.match(event_text(each)) and (image in event_text(each) or "mage" in event_text(each))
    ]
    pulls = [each for each in failed if "pull secret" not in event_text(each)]
    message = container.message
    if _EMPTY.match(message) and ":" not in _EMPTY.sub("", message).replace(image, ""):
        message = ""
    said = next((event_text(each) for each in pulls), "")
    proof = [evidence.event(each) for each in failed[:2]]
    if not pulls and message:
        proof.append(f"state.waiting.message: {quoted(message)}")
    if not pulls and not message and evidence.events is not None:
        proof.append("no event says why: events are kept for an hour only")
    return f"{said} {message}".strip(), proof


_SENTENCES = {
    "image_platform": "image {image} is not built for the processor of this cluster",
    "image_limited": "registry {host} answers no more pulls for now (rate limit)",
    "image_name": "{quoted} is not a valid name of an image",
    "image_never_pulled": "imagePullPolicy is Never, and image {image} is not on the node",
    "image_signature": "the signature of image {image} is not accepted",
    "image_space": "there is no room to unpack image {image}",
}


def _judged(evidence: Evidence, fault: str, container: Container, image: str, said: str) -> str:
    """Return what is wrong with an image."""
    host, name, tag = parts_of(image)
    if fault == "image_tag":
        return f"tag {word(tag)} of image {word(f'{host}/{name}')} does not exist"
    if fault == "image_refused":
        return _refused(evidence, container, image, said)
    if fault == "image_out_of_reach":
        how = f": {quoted(_last(said))}" if said else ""
        if _CERTIFICATE.search(said):
            return f"registry {word(host)} has a certificate that is not accepted{how}"
        ours = OWN_REGISTRY in host
        outside = "" if ours else "; one outside the cloud needs a way out (SNAT) from the pods' subnet"
        return f"registry {word(host)} cannot be reached from the pods{how}{outside}"
    if fault in _SENTENCES:
        return _SENTENCES[fault].format(image=word(image), host=word(host), quoted=quoted(image))
    because = f": {quoted(_last(said))}" if said else f" ({word(container.reason)})"
    return f"image {word(image)} could not be pulled{because}"


def _refused(evidence: Evidence, container: Container, image: str, said: str) -> str:
    """Say whom a registry refuses: the pull secrets that the pod names, or does not."""
    namespace, host = thing_of(container.pod).namespace, parts_of(image)[0]
    named = [text(get(each, "/name")) for each in items(container.pod, "/spec/imagePullSecrets")]
    usable = evidence.names.get((PULL_SECRET, namespace))
    if not named:
        usual = USUAL_SECRET if not usable or USUAL_SECRET in usable else min(usable)
        there = f"{word(usual)} is the usual one here" if usable else f"on CCE usually {usual}"
        why = f"the pod names no imagePullSecrets; {there}"
    elif usable is not None and (absent := [each for each in named if each not in usable]):
        lacking = few([word(each) for each in absent])
        why = f"no Secret {lacking} of type {PULL_SECRET} exists in {word(namespace)}"
    elif unread := _not_retrieved(evidence, container):
        why = f"its pull secret {unread} does not exist in {word(namespace)}"
    else:
        why = f"the Secret {few([word(each) for each in named])} gives no right to it"
    perhaps = ", or there is no such image" if _HIDES.search(said) else ""
    return f"registry {word(host)} refuses image {word(image)}: {why}{perhaps}"


def _not_retrieved(evidence: Evidence, container: Container) -> str:
    """Return the pull secrets that the kubelet did not find; empty if it says nothing."""
    for event in events_about(evidence, container, "FailedToRetrieveImagePullSecret"):
        if match := re.search(r"secrets \((?P<names>[^)]*)\)", event_text(event)):
            return word(match["names"])
    return ""


def _last(said: str) -> str:
    """Return the end of a chain of errors, where the cause stands."""
    links = re.split(r": (?=[^/])", said)
    return ": ".join(links[-3:])


def parts_of(image: str) -> tuple[str, str, str]:
    """Return the registry, the name, and the tag or digest of an image."""
    rest, _, digest = image.partition("@")
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", rest
    name, _, tag = path.partition(":")
    return host, name, digest or tag or "latest"
