"""Says which Secrets the pods of a workload can read, by their template: whoever reads their logs may learn them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.kubernetes.spec import effect_table
from ap_mcp.vendor import get, items, mapping, text

TEMPLATES = ("/spec/template/spec", "/spec/jobTemplate/spec/template/spec", "/template/spec")
"""Where a pod's specification stands in what makes pods."""
DEFAULT_ACCOUNT = "default"
ACCOUNT_TOKEN, ACCOUNT_NAME = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"
"""The type of a Secret that the server fills, and the annotation that says with whose token."""


def pod_spec(body: Any) -> Any:
    """Return the specification of the pods that an object makes, or is; None if it makes none."""
    if get(body, "/kind") == "Pod":
        return get(body, "/spec")
    return next((found for place in TEMPLATES if (found := get(body, place)) is not None), None)


def containers(spec: Any) -> list[dict[str, Any]]:
    """Return the containers of a pod, those that run first included."""
    return [each for place in ("/initContainers", "/containers", "/ephemeralContainers") for each in items(spec, place)]


def secrets_of(spec: Any) -> frozenset[str]:
    """Return the names of the Secrets that a pod's own specification hands to its containers.

    Those that the image is pulled with are not among them: no container sees them.
    """
    return frozenset(name for name in _secrets(spec) if name)


def account_of(spec: Any) -> str:
    """Return the service account whose token the pod's containers get; empty for the default one, or if none do."""
    if get(spec, "/automountServiceAccountToken") is False and not _projects_token(spec):
        return ""
    name = text(get(spec, "/serviceAccountName") or get(spec, "/serviceAccount"))
    return "" if name == DEFAULT_ACCOUNT else name


def gets_default_token(spec: Any) -> bool:
    """Say whether the pod's containers get the token of the account that is theirs if they name none."""
    named = text(get(spec, "/serviceAccountName") or get(spec, "/serviceAccount"))
    refused = get(spec, "/automountServiceAccountToken") is False and not _projects_token(spec)
    return named in ("", DEFAULT_ACCOUNT) and not refused


def does_without(spec: Any, kind: str) -> frozenset[str]:
    """Return the names of the ConfigMaps or Secrets that a pod reads if there are any, and else does without.

    Args:
        spec: of the pod.
        kind: ConfigMap or Secret.
    """
    own = "configMap" if kind == "ConfigMap" else "secret"
    volumes = items(spec, "/volumes")
    sources = [source for volume in volumes for source in items(volume, "/projected/sources")]
    found = [get(each, f"/{own}") for each in (*volumes, *sources)]
    for each in containers(spec):
        found += [get(one, f"/valueFrom/{own}KeyRef") for one in items(each, "/env")]
        found += [get(one, f"/{own}Ref") for one in items(each, "/envFrom")]
    names = (get(each, "/name") or get(each, "/secretName") for each in found if get(each, "/optional") is True)
    return frozenset(map(text, names))


def is_account(subject: Any, namespace: str, name: str) -> bool:
    """Say whether a subject of a binding is a service account, by its name or by a group that it is in."""
    kind, named = get(subject, "/kind"), text(get(subject, "/name"))
    if kind == "ServiceAccount":
        return named == name and text(get(subject, "/namespace")) == namespace
    groups = {f"system:serviceaccounts:{namespace}", "system:serviceaccounts", "system:authenticated"}
    return kind == "Group" and named in groups


def filled_by_server(body: Any) -> str:
    """Return the service account whose token the server itself puts into a Secret; empty if it puts in none."""
    if get(body, "/type") != ACCOUNT_TOKEN:
        return ""
    return text(get(body, f"/metadata/annotations/{ACCOUNT_NAME.replace('/', '~1')}")) or "(not named)"


def filled_by_others(secret: Any) -> bool:
    """Say whether the server, or a program that acts upon an annotation, may put into a Secret what others know."""
    annotations = mapping(secret, "/metadata/annotations")
    return bool(filled_by_server(secret)) or not all(map(effect_table().is_note, annotations))


def newly_read(before: Any, after: Any, made: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return what the pods of an object can read that they could not before, in words; empty if nothing.

    Args:
        before: the object as it is; None if there is none.
        after: as it becomes.
        made: Secrets that the same call creates, so that whoever makes it knows them already.
    """
    old, new = pod_spec(before), pod_spec(after)
    if new is None:
        return ()
    found = [f"Secret {name}" for name in sorted(secrets_of(new) - secrets_of(old) - made)]
    account = account_of(new)
    return (*found, *([f"the token of ServiceAccount {account}"] if account and account != account_of(old) else []))


def other_programs(before: Any, after: Any, made: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return which containers get another program, or more Secrets, and what they can read then, in words.

    A new version of the same image counts as the same program.

    Args:
        before: the object as it is.
        after: as it becomes.
        made: Secrets that the same call creates.
    """
    old, new = pod_spec(before), pod_spec(after)
    if old is None or new is None:
        return ()
    known = {text(get(each, "/name")): each for each in containers(old)}
    found = []
    for each in containers(new):
        name = text(get(each, "/name"))
        has = known.get(name)
        is_other = has is None or _program(has) != _program(each)
        what = _read_by(each, new) - made - (frozenset() if is_other else _read_by(has, old))
        tokens = f"the token of ServiceAccount {account_of(new)}" if is_other and account_of(new) else ""
        if what or tokens:
            said = [*(f"Secret {secret}" for secret in sorted(what)), *filter(None, [tokens])]
            found.append(f"container {name} can read {' and '.join(said)}")
    return tuple(found)


def _program(container: Any) -> list[Any]:
    """Return what runs in a container, without the version of its image."""
    image = text(get(container, "/image")).partition("@")[0]
    folder, slash, last = image.rpartition("/")
    handlers = ("livenessProbe/exec", "readinessProbe/exec", "startupProbe/exec")
    own = [get(container, f"/{each}") or None for each in ("command", "args", "lifecycle", *handlers)]
    return [f"{folder}{slash}{last.partition(':')[0]}", *own]


def _read_by(container: Any, spec: Any) -> frozenset[str]:
    """Return the names of the Secrets that one container of a pod sees, itself or in the processes of others."""
    return frozenset(name for each in _seen_by(container, spec) for name in _handed_to(each, spec)) - {""}


def _seen_by(container: Any, spec: Any) -> list[Any]:
    """Return a container with those whose processes it sees: their environment, and the files they have."""
    every = containers(spec)
    if get(spec, "/shareProcessNamespace") is True:
        return every
    target = get(container, "/targetContainerName")
    return [container, *(each for each in every if target and get(each, "/name") == target)]


def _handed_to(container: Any, spec: Any) -> Iterator[str]:
    yield from _in_environment(container)
    mounted = {text(get(each, "/name")) for each in items(container, "/volumeMounts")}
    for each in items(spec, "/volumes"):
        if text(get(each, "/name")) in mounted:
            yield from _in_volume(each)


def _secrets(spec: Any) -> Iterator[str]:
    for container in containers(spec):
        yield from _in_environment(container)
    for volume in items(spec, "/volumes"):
        yield from _in_volume(volume)


def _in_environment(container: Any) -> Iterator[str]:
    for each in items(container, "/env"):
        yield text(get(each, "/valueFrom/secretKeyRef/name"))
    for each in items(container, "/envFrom"):
        yield text(get(each, "/secretRef/name"))


def _in_volume(volume: Mapping[str, Any]) -> Iterator[str]:
    for source in items(volume, "/projected/sources"):
        yield text(get(source, "/secret/name"))
    # Drivers get the Secret, and hand on what it opens.
    for kind in volume.values():
        yield text(get(kind, "/secretName"))
        for place in ("/secretRef/name", "/nodePublishSecretRef/name"):
            yield text(get(kind, place))


def _projects_token(spec: Any) -> bool:
    sources = (source for volume in items(spec, "/volumes") for source in items(volume, "/projected/sources"))
    return any(isinstance(source, Mapping) and "serviceAccountToken" in source for source in sources)
