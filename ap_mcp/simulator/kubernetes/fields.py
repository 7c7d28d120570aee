"""Sets of fields, as `managedFields` writes them, and which fields of an object a value has."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.schemas import Schema, is_structured, items_of, property_of, resolved

Path = tuple[str, ...]
"""Steps like `f:spec`, `k:{"name":"app"}` (an entry of a list by its keys) and `v:"x"` (a value of a set)."""

_NOT_OWNED = ("apiVersion", "kind")
_NOT_OWNED_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
)  # fmt: skip
_compact = json.JSONEncoder(separators=(",", ":")).encode
_DEFAULT_KEYS = {"protocol": "TCP"}
"""Keys of list entries that may be left out, and what they are then."""


def fields_of(schema: Schema, item: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the leaves of an object, and its list entries, with what they hold, without what nobody owns."""
    shown = {key: value for key, value in item.items() if key not in _NOT_OWNED}
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key not in _NOT_OWNED_METADATA}
    found: dict[Path, Any] = {}
    _find_fields(schema, {**shown, "metadata": metadata}, (), found)
    found.pop(("f:metadata",), None)
    return found


def _find_fields(schema: Schema, value: Any, path: Path, found: dict[Path, Any]) -> None:
    traits = resolved(schema)
    if value and isinstance(value, dict) and is_structured(traits):
        for key, member in value.items():
            place = (*path, f"f:{key}")
            if member and isinstance(member, dict | list):
                _find_fields(property_of(traits, key), member, place, found)
            else:
                found.setdefault(place, member)
    elif value and isinstance(value, list) and traits.get("x-kubernetes-list-type") == "map":
        for entry in value:
            place = (*path, entry_key(traits, entry))
            found.setdefault(place, entry)
            _find_fields(items_of(traits), entry, place, found)
    elif value and isinstance(value, list) and traits.get("x-kubernetes-list-type") == "set":
        found.update({(*path, f"v:{json.dumps(each)}"): each for each in value})
    elif path:
        found.setdefault(path, value)


def entry_key(traits: Mapping[str, Any], entry: Any) -> str:
    """Return the step that names an entry of a list by the keys that its schema says."""
    entry = entry if isinstance(entry, Mapping) else {}
    keys = {key: entry.get(key, _DEFAULT_KEYS.get(key)) for key in traits["x-kubernetes-list-map-keys"]}
    named = {key: value for key, value in sorted(keys.items()) if value is not None}
    return f"k:{_compact(named)}"


def value_at(item: Any, path: Iterable[str]) -> Any:
    """Return what an object has at a path, None if it has nothing there."""
    for step in path:
        if step.startswith("f:"):
            item = item.get(step[2:]) if isinstance(item, Mapping) else None
        elif step.startswith("v:"):
            wanted = json.loads(step[2:])
            item = wanted if isinstance(item, list) and wanted in item else None
        else:
            item = next((each for each in item or () if _has_keys(each, json.loads(step[2:]))), None)
        if item is None:
            return None
    return item


def removed(item: Any, path: Path) -> None:
    """Take what is at a path out of an object, in place."""
    *above, last = path
    holder = value_at(item, above)
    if holder is None:
        return
    if last.startswith("f:"):
        holder.pop(last[2:], None)
    elif last.startswith("v:"):
        holder[:] = [each for each in holder if each != json.loads(last[2:])]
    else:
        holder[:] = [each for each in holder if not _has_keys(each, json.loads(last[2:]))]


def nested(paths: Iterable[Path]) -> dict[str, Any]:
    """Write a set as `fieldsV1`: entries of lists that are owned themselves have a dot."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        if path[-1].startswith("k:"):
            branch["."] = {}
    return tree


def flattened(tree: Mapping[str, Any], path: Path = ()) -> set[Path]:
    """Read a set from `fieldsV1`."""
    found: set[Path] = set()
    for step, branch in tree.items():
        if step == ".":
            found.add(path)
        elif branch:
            found |= flattened(branch, (*path, step))
        else:
            found.add((*path, step))
    return found


def shown(path: Path) -> str:
    """Write a path as messages do: `.spec.template.spec.containers[name="app"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("v:"):
            text += f"[={step[2:]}]"
        else:
            keys = json.loads(step[2:])
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
    return text


def _has_keys(entry: Any, keys: Mapping[str, Any]) -> bool:
    return isinstance(entry, Mapping) and all(
        entry.get(key, _DEFAULT_KEYS.get(key)) == value for key, value in keys.items()
    )
