"""Compares an object with what it becomes, by path, without what the server itself notes in it."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.rules.settings_diff import SettingChange, changes, digest, same

SERVERS = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
"""What the server notes in the metadata of an object; it is no setting."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REVISION = "deployment.kubernetes.io/revision"
_KEYS = ("name", "mountPath", "containerPort", "port", "key", "ip", "type")
"""What tells the entries of a list apart, in the order in which it is tried; the entries of a list of objects that all
have one of these, each another, are compared by it and not by their place."""


def settings_of(body: Any, *, status: bool = False) -> dict[str, Any]:
    """Return an object without what the server notes in it; without its status as well unless that is what changes."""
    if not isinstance(body, Mapping):
        return {}
    metadata = {key: value for key, value in _object(body.get("metadata")).items() if key not in SERVERS}
    annotations = {
        key: value for key, value in _object(metadata.pop("annotations", None)).items() if key != LAST_APPLIED
    }
    kept = {key: value for key, value in body.items() if key != "metadata" and (status or key != "status")}
    return {**kept, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def unchanged(before: Any, after: Any, *, status: bool = False) -> bool:
    """Say whether an object stays as it is."""
    return same(settings_of(before, status=status), settings_of(after, status=status))


def changed(before: Any, after: Any, given: Any = None, *, status: bool = False) -> list[SettingChange]:
    """List what changes in an object, in the order of its paths; entries of lists go by their names.

    Args:
        before: the object as it is; None if there is none.
        after: as it becomes, by the server's own check.
        given: what the caller supplied of it, which is shown as it was supplied; all else is masked.
        status: its status is what changes.
    """
    old, new = by_name(settings_of(before, status=status)), by_name(settings_of(after, status=status))
    supplied = by_name(settings_of(given, status=status)) if isinstance(given, Mapping) else None
    return changes(old, new, supplied)


def removed(found: list[SettingChange]) -> list[SettingChange]:
    """Return those changes that take a setting away."""
    return [each for each in found if not each.after]


def facts_of(body: Any, *, status: bool = False) -> str:
    """Return a digest of an object that changes when a setting of it does, and not when only its status moves."""
    uid = _object(_object(body).get("metadata")).get("uid")
    return digest([uid, settings_of(body, status=status)])


def by_name(value: Any) -> Any:
    """Return data in which lists of objects that have names of their own are objects of these names."""
    if isinstance(value, Mapping):
        return {key: by_name(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    entries = [by_name(each) for each in value]
    for key in _KEYS:
        names = [each.get(key) if isinstance(each, Mapping) else None for each in value]
        if names and all(isinstance(each, str | int) and each != "" for each in names) and len({*names}) == len(names):
            return {str(name): entry for name, entry in zip(names, entries, strict=True)}
    return entries


def paths_changed(before: Any, after: Any) -> set[tuple[str, ...]]:
    """Return the first two steps of every way that leads to something that changes."""
    old, new = settings_of(before), settings_of(after)
    found: set[tuple[str, ...]] = set()
    for part in {*old, *new}:
        first, second = old.get(part), new.get(part)
        if same(first, second):
            continue
        if isinstance(first, Mapping | None) and isinstance(second, Mapping | None):
            inner = {*_object(first), *_object(second)}
            found |= {(part, key) for key in inner if not same(_object(first).get(key), _object(second).get(key))}
        else:
            found.add((part,))
    return found


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
