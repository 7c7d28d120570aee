"""Applies the three kinds of patches: JSON patch, merge patch, strategic merge patch."""

from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch

from ap_mcp.simulator.kubernetes.schemas import Schema, items_of, property_of, resolved
from ap_mcp.simulator.kubernetes.statuses import StatusError, bad_request
from ap_mcp.simulator.world import copied

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
_ORDER, _RETAIN, _DELETE_FROM = "$setElementOrder/", "$retainKeys", "$deleteFromPrimitiveList/"


def json_patched(item: Mapping[str, Any], patch: Any) -> Any:
    """Carry out the operations of a JSON patch.

    Raises:
        StatusError: 400 for what is no patch, 422 if an operation cannot be carried out.
    """
    if not isinstance(patch, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        return jsonpatch.apply_patch(copied(dict(item)), patch)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"unable to apply the json patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise StatusError(422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
                          ) from error  # fmt: skip


def merge_patched(target: Any, patch: Any) -> Any:
    """Merge as RFC 7396 says: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patched(merged.get(key), value)
    return merged


def strategically_patched(schema: Schema, target: Any, patch: Any) -> Any:
    """Merge as the schema says: lists with a merge key entry by entry, lists of a set joined, other lists replaced.

    Raises:
        StatusError: 400 for a directive that is unknown, or an entry without its merge key.
    """
    if not isinstance(patch, Mapping):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return _plain({key: value for key, value in patch.items() if key != "$patch"})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unrecognized patch directive: {directive}")
    merged = _reduced(dict(target) if isinstance(target, Mapping) else {}, patch)
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(property_of(schema, key), merged.get(key), value, patch.get(_ORDER + key))
    for key, order in patch.items():  # an order may come alone, when entries only move
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and name not in patch and isinstance(merged.get(name), list):
            merge_key = resolved(property_of(schema, name)).get("x-kubernetes-patch-merge-key")
            merged[name] = _ordered(merged[name], order, merge_key)
    return merged


def _reduced(target: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out the directives that take members or entries away."""
    kept = {key: value for key, value in target.items() if _RETAIN not in patch or key in patch[_RETAIN]}
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            kept[name] = [each for each in kept.get(name, ()) if each not in value]
    return kept


def _merged(schema: Schema, old: Any, new: Any, order: Sequence[Any] | None) -> Any:
    if isinstance(new, Mapping):
        return strategically_patched(schema, old, new)
    traits = resolved(schema)
    if not isinstance(new, list) or "merge" not in traits.get("x-kubernetes-patch-strategy", ""):
        return new
    merge_key = traits.get("x-kubernetes-patch-merge-key")
    if merge_key is None:
        joined = [*(old or ()), *(each for each in new if each not in (old or ()))]
        return _ordered(joined, order, None)
    return _ordered(_by_key(items_of(schema), old or [], new, merge_key), order, merge_key)


def _by_key(schema: Schema, old: Sequence[Any], new: Sequence[Any], merge_key: str) -> list[Any]:
    if any(each == {"$patch": "replace"} for each in new):
        old, new = [], [each for each in new if each != {"$patch": "replace"}]
    merged = list(old)
    for entry in new:
        if not isinstance(entry, Mapping) or merge_key not in entry:
            raise bad_request(f"map: {entry} does not contain declared merge key: {merge_key}")
        place = next((i for i, each in enumerate(merged) if each.get(merge_key) == entry[merge_key]), None)
        if entry.get("$patch") == "delete":
            merged = [each for each in merged if each.get(merge_key) != entry[merge_key]]
        elif place is None:
            merged.append(strategically_patched(schema, {}, entry))
        else:
            merged[place] = strategically_patched(schema, merged[place], entry)
    return merged


def _ordered(entries: list[Any], order: Sequence[Any] | None, merge_key: str | None) -> list[Any]:
    """Bring entries that are named in an order into it; the others keep their places behind their neighbours."""
    if not order:
        return entries

    def name(entry: Any) -> Any:
        return entry.get(merge_key) if merge_key else entry

    wanted = [name(each) for each in order]
    listed = iter(sorted((each for each in entries if name(each) in wanted), key=lambda each: wanted.index(name(each))))
    return [next(listed) if name(each) in wanted else each for each in entries]


def _plain(value: Any) -> Any:
    """Copy a value without directives."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if not key.startswith("$")}
    return [_plain(each) for each in value] if isinstance(value, list) else value
