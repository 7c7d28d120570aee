"""Add-ons: how they are, the versions of a template, and on which cluster versions each runs."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ap_mcp.rules.phases import ADDON, phases_of, succeeded
from ap_mcp.rules.versions import MINOR
from ap_mcp.vendor import as_object, flag, get, items, number, strings, text

_PATTERN_LIMIT, _VERSION_LIMIT = 200, 40
_PATTERN = re.compile(r"(?:[\w.()|*+?^$\\-]|\[[\w-]+\])*", re.ASCII)
_RISKY = re.compile(r"\)[*+]|(?:[^(]*\(){4}|(?:[^*+?]*[*+?]){5}")
"""Repeated groups, many groups or many repetitions let a pattern run very long; the service uses one of each."""
_PATCHES, _RELEASES = range(41), range(12)
"""Patch versions of a minor one that stand for all of it."""


def template_name_of(addon: Any) -> str:
    """Return the name of an add-on's template; empty if it is not reported."""
    return text(get(addon, "/spec/addonTemplateName"))


def addon_name_of(addon: Any) -> str:
    """Return what an add-on is called: by its template, or by its own name."""
    return template_name_of(addon) or text(get(addon, "/metadata/name"))


def workload_of(addon: Any) -> str:
    """Return the workload in kube-system that an add-on runs, as `wait_for` takes it; empty if it is not known."""
    name = template_name_of(addon)
    return f"deployment/{name}" if name in ("coredns", "metrics-server") else ""


def state_of(addon: Any) -> str:
    """Return the phase of an installed add-on; empty if it is not reported."""
    return text(get(addon, "/status/status"))


def runs_in_full(state: str) -> bool:
    """Say whether all of an add-on works."""
    return succeeded(ADDON, state) and not phases_of(ADDON).holds("degraded", state)


def runs_in_part(state: str) -> bool:
    """Say whether only some instances of an add-on work."""
    return phases_of(ADDON).holds("degraded", state)


def needs_reinstall(state: str) -> bool:
    """Say whether no update leads out of a state: only deletion does, and then an installation."""
    return phases_of(ADDON).holds("reinstall", state)


def states_to_roll_back() -> tuple[str, ...]:
    """Return the states in which an add-on can be rolled back."""
    return phases_of(ADDON).groups["can_roll_back"]


def why_no_rollback(addon: Any) -> str:
    """Return why an add-on cannot be rolled back: `no version` or its state; empty if it can be.

    The reference (4.2.4) wants both `isRollbackable` and one of five states.
    """
    if flag(get(addon, "/status/isRollbackable")) is not True:
        return "no version"
    return "" if phases_of(ADDON).holds("can_roll_back", state_of(addon)) else "state"


def template_of(answer: Any, name: str) -> dict[str, Any] | None:
    """Return the template of a name that list_addon_templates answered, without those of similar names; None if absent.

    A template that is listed in parts is put together.
    """
    ours = [each for each in items(answer, "/items") if get(each, "/metadata/name") == name]
    if not ours:
        return None
    versions = [each for template in ours for each in items(template, "/spec/versions")]
    return {**ours[0], "spec": {**as_object(get(ours[0], "/spec")), "versions": versions}}


def template_versions(answer: Any, name: str) -> list[dict[str, Any]]:
    """Return the versions of an add-on that list_addon_templates answered."""
    return items(template_of(answer, name), "/spec/versions")


def version_entry(answer: Any, name: str, version: str) -> dict[str, Any] | None:
    """Return what list_addon_templates says of one version of an add-on; None if it says nothing."""
    rows = template_versions(answer, name)
    return next((each for each in rows if text(get(each, "/version")) == version), None)


def defaults_of(entry: Any, size: str = "") -> dict[str, Any] | None:
    """Return the settings that a version of an add-on has by default; None if it does not say.

    Args:
        entry: the version as its template, or the add-on itself, describes it.
        size: the name of the flavor whose sizes are wanted too.
    """
    form = get(entry, "/input")
    if not isinstance(form, Mapping):
        return None
    parameters = as_object(form.get("parameters"))
    sizes = [each for key, each in parameters.items() if key != "custom" and size and get(each, "/name") == size]
    found = {"basic": form.get("basic"), "custom": parameters.get("custom"), "flavor": sizes[0] if sizes else None}
    return {name: each for name, each in found.items() if isinstance(each, Mapping)}


def runs_on(release: Any, target: str) -> bool | None:
    """Say whether a version of an add-on is made for a cluster version; None if that cannot be known.

    Args:
        release: the version as its template, or the add-on itself, describes it.
        target: a whole version, or a minor one (`v1.31`), as get_cluster reports it: then the answer holds for all
            of its patch versions, and is None where they differ.
    """
    patterns = [each for support in items(release, "/supportVersions") for each in strings(support, "/clusterVersion")]
    if not patterns or not target:
        return None
    answers = [_fits(pattern, target) for pattern in patterns]
    return True if True in answers else None if None in answers else False


def size_line(flavor: Any) -> str:
    """Return a flavor as one line: its name, replicas, and what each part asks for."""
    name, replicas = text(get(flavor, "/name")), number(get(flavor, "/replicas"))
    parts = [_part(each) for each in items(flavor, "/resources")]
    counted = f"{replicas} x " if replicas else ""
    return ": ".join(each for each in (name, counted + ", ".join(parts)) if each)


def _part(resource: Mapping[str, Any]) -> str:
    cpu = text(resource.get("requestsCpu") or resource.get("limitsCpu"))
    memory = text(resource.get("requestsMem") or resource.get("limitsMem"))
    return " ".join(each for each in (text(resource.get("name")), cpu, memory) if each)


@lru_cache(maxsize=4096)
def _fits(pattern: str, target: str) -> bool | None:
    """Match a pattern of the cloud, a regular expression, against a version; None if it is not safe to run, or unclear.

    The reference says of it no more than that it is a regular expression over cluster versions, and shows
    `v1.(27|28).*`: it is matched from the start of the whole version.
    """
    if len(pattern) > _PATTERN_LIMIT or _RISKY.search(pattern) or not _PATTERN.fullmatch(pattern):
        return None
    try:
        read = re.compile(pattern)
    except re.error:
        return None
    if not MINOR.fullmatch(target):
        return read.match(target[:_VERSION_LIMIT]) is not None
    found = {read.match(each) is not None for each in _patches_of(target)}
    return found.pop() if len(found) == 1 else None


def _patches_of(minor: str) -> Iterator[str]:
    return (f"{minor}.{patch}-r{release}" for patch in _PATCHES for release in _RELEASES)
