"""Compares an object with what it becomes, by path, without what the server itself notes in it."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.kubernetes.sealed import tag_of
from ap_mcp.masking.supplied import masked_name
from ap_mcp.rules.settings_diff import ABSENT, SettingChange, changes, digest, names, same, shown
from ap_mcp.wording import path

SERVERS = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
"""What the server notes in the metadata of an object; it is no setting."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REVISION = "deployment.kubernetes.io/revision"
_KEYS = ("name", "mountPath", "containerPort", "port", "key", "ip", "type")
"""What tells the entries of a list apart, in the order in which it is tried; the entries of a list of objects that all
have one of these, each another, are compared by it and not by their place."""


def settings_of(body: Any, *, status: bool = False, copy: bool = False) -> dict[str, Any]:
    """Return an object without what the server notes in it.

    Args:
        body: the object.
        status: with its status, which may be what changes.
        copy: with the copy that kubectl keeps of what was applied last, likewise.
    """
    if not isinstance(body, Mapping):
        return {}
    metadata = {key: value for key, value in _object(body.get("metadata")).items() if key not in SERVERS}
    annotations = {
        key: value for key, value in _object(metadata.pop("annotations", None)).items() if copy or key != LAST_APPLIED
    }
    kept = {key: value for key, value in body.items() if key != "metadata" and (status or key != "status")}
    return {**kept, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def unchanged(before: Any, after: Any, *, status: bool = False, copy: bool = False) -> bool:
    """Say whether an object stays as it is."""
    return same(settings_of(before, status=status, copy=copy), settings_of(after, status=status, copy=copy))


def changed(
    before: Any, after: Any, given: Any = None, *, status: bool = False, copy: bool = False
) -> list[SettingChange]:
    """List what changes in an object, in the order of its paths; entries of lists go by their names.

    Args:
        before: the object as it is; None if there is none.
        after: as it becomes, by the server's own check.
        given: what the caller supplied of it, which is shown as it was supplied; all else is masked.
        status: its status may change.
        copy: the copy may that kubectl keeps of what was applied last.
    """
    old, new = (settings_of(each, status=status, copy=copy) for each in (before, after))
    supplied: Any = settings_of(given, status=status, copy=copy) if isinstance(given, Mapping) else ABSENT
    if copy:
        old, new = (_without_copy(each, supplied) for each in (old, new))
    orders: list[SettingChange] = []
    first, second, third = _by_name((), (old, new, supplied), orders)
    return [*changes(first, second, None if third is ABSENT else third), *orders]


def removed(found: list[SettingChange]) -> list[SettingChange]:
    """Return those changes that take a setting away."""
    return [each for each in found if not each.after]


def facts_of(body: Any, *, status: bool = False, copy: bool = False) -> str:
    """Return a digest of an object that changes when a setting of it does, and not when only its status moves."""
    uid = _object(_object(body).get("metadata")).get("uid")
    return digest([uid, settings_of(body, status=status, copy=copy)])


def names_at(body: Any, *way: str) -> bool:
    """Say whether a request names what stands at a place of an object, or something that holds it or is in it.

    Args:
        body: an object, a patch of one, or a list of operations of a JSON patch.
        way: the keys that lead to the place.
    """
    if isinstance(body, list):
        pointer = "".join(f"/{each.replace('~', '~0').replace('/', '~1')}" for each in way) + "/"
        touched = [f"{each.get(place)}/" for each in body for place in ("path", "from") if place in each]
        return any(pointer.startswith(each) or each.startswith(pointer) for each in touched)
    return names(body, way)


def _without_copy(settings: dict[str, Any], supplied: Any) -> dict[str, Any]:
    """Return settings with a tag in place of kubectl's copy, in which secrets may stand, unless the caller wrote it."""
    annotations = _object(_object(settings.get("metadata")).get("annotations"))
    copy = annotations.get(LAST_APPLIED, ABSENT)
    given = _object(_object(_object(supplied).get("metadata")).get("annotations")).get(LAST_APPLIED, ABSENT)
    if copy is ABSENT or same(copy, given):
        return settings
    tagged = {**annotations, LAST_APPLIED: f"not shown, tag {tag_of(str(copy).encode())}"}
    return {**settings, "metadata": {**settings["metadata"], "annotations": tagged}}


def _by_name(way: tuple[str, ...], trees: tuple[Any, ...], orders: list[SettingChange]) -> tuple[Any, ...]:
    """Return data in which lists of objects that have names of their own are objects of these names.

    Args:
        way: the keys that lead there.
        trees: the data as it is, as it becomes, and what the caller gave of it; ABSENT where there is none.
        orders: takes which lists have their entries in another order.
    """
    compared = [each for each in trees[:2] if each is not ABSENT]
    if all(isinstance(each, Mapping) for each in compared):
        keys = dict.fromkeys(key for each in trees if isinstance(each, Mapping) for key in each)
        made: tuple[dict[str, Any], ...] = ({}, {}, {})
        for key in keys:
            inner = tuple(each.get(key, ABSENT) if isinstance(each, Mapping) else ABSENT for each in trees)
            for place, value in zip(made, _by_name((*way, key), inner, orders), strict=True):
                if value is not ABSENT:
                    place[key] = value
        return tuple(new if isinstance(old, Mapping) else old for old, new in zip(trees, made, strict=True))
    if not any(compared) or not all(isinstance(each, list) for each in compared):
        return trees
    for key in _KEYS:
        named = [_named_by(key, each) for each in compared]
        if all(each is not None for each in named):
            if len(named) > 1:
                orders += _reordered(way, *[list(each or ()) for each in named])
            found = ((each, _named_by(key, each)) for each in trees)
            return _by_name(way, tuple(each if own is None else own for each, own in found), orders)
    return trees


def _named_by(key: str, value: Any) -> dict[str, Any] | None:
    """Return the entries of a list by what a key holds in them; None if that does not tell each from the others."""
    if not isinstance(value, list):
        return None
    names = [each.get(key) if isinstance(each, Mapping) else None for each in value]
    distinct = {str(each) for each in names if isinstance(each, str | int) and each != ""}
    return dict(zip(map(str, names), value, strict=True)) if len(distinct) == len(names) else None


def _reordered(way: tuple[str, ...], before: list[str], after: list[str]) -> list[SettingChange]:
    """Return that the entries of a list stand otherwise than as they did with the new ones behind, if they do.

    In some lists, such as that of what runs first, the order decides.
    """
    expected = [each for each in before if each in after] + sorted(each for each in after if each not in before)
    where = f"order of {path(masked_name(each) for each in way)}"
    old, new = (shown([masked_name(each) for each in names]) for names in (before, after))
    return [SettingChange(way, where, old, new)] if after != expected else []


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
