"""Who owns which fields: the record of every write in `managedFields`, and server-side apply with its conflicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ap_mcp.simulator.kubernetes.fields import Path, entry_key, fields_of, flattened, nested, removed, shown, value_at
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.schemas import Schema, is_structured, items_of, property_of, resolved
from ap_mcp.simulator.kubernetes.statuses import StatusError
from ap_mcp.simulator.world import Row, copied

APPLY, UPDATE = "Apply", "Update"


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: a name, with what operation, of which kind, through which subresource, and when."""

    name: str
    operation: str
    kind: Kind
    subresource: str
    time: str

    def is_of(self, entry: Mapping[str, Any]) -> bool:
        """Say whether an entry of `managedFields` is this manager's."""
        mine = (self.name, self.operation, self.subresource)
        return mine == (entry["manager"], entry["operation"], entry.get("subresource", ""))

    def entry(self, paths: set[Path]) -> Row:
        """Make this manager's entry."""
        made = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.kind.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": nested(paths),
        }
        return {**made, "subresource": self.subresource} if self.subresource else made


def recorded(schema: Schema, old: Mapping[str, Any], new: Row, manager: Manager) -> None:
    """Note in an object that a manager wrote it: it owns what it changed, and nobody what is gone.

    Args:
        schema: of the object.
        old: what it was, empty if it was not there.
        new: what it is now; its `managedFields` are set.
        manager: who wrote it.
    """
    present = fields_of(schema, new)
    before = fields_of(schema, old) if old else {}
    changed = {path for path, value in present.items() if before.get(path) != value}
    gone = before.keys() - present
    entries: list[Row] = []
    known = False
    for entry in old.get("metadata", {}).get("managedFields") or ():
        owned = flattened(entry["fieldsV1"]) - gone
        if not manager.is_of(entry):
            _keep(entries, entry, owned - {path for path in changed if not path[-1].startswith("k:")})
        else:
            known = True
            fresh = manager.entry(owned | changed)
            _keep(entries, fresh if changed else entry, owned | changed)
    if changed and not known:
        entries.append(manager.entry(changed))
    new["metadata"]["managedFields"] = entries


def applied(schema: Schema, live: Mapping[str, Any] | None, wanted: Row, manager: Manager, *, force: bool) -> Row:
    """Return what an object becomes when a manager applies a configuration, with its `managedFields`.

    Args:
        schema: of the object.
        live: what it is now, if it is there.
        wanted: the configuration.
        manager: who applies it.
        force: take over what others own.

    Raises:
        StatusError: 409 with every field that others own and that would be changed.
    """
    paths = set(fields_of(schema, wanted))
    if live is None:
        made = copied(wanted)
        made["metadata"]["managedFields"] = [manager.entry(paths)]
        return made
    entries = live["metadata"].get("managedFields") or []
    others = [(entry, flattened(entry["fieldsV1"])) for entry in entries if not manager.is_of(entry)]
    conflicts = [
        (entry, path)
        for entry, owned in others
        for path in sorted(owned & paths)
        if not path[-1].startswith("k:") and value_at(live, path) != value_at(wanted, path)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    taken = {path for _, path in conflicts}
    before = next((flattened(entry["fieldsV1"]) for entry in entries if manager.is_of(entry)), set())
    made = copied(dict(live))
    owned_by_others = set().union(*(owned for _, owned in others))
    for path in sorted(before - paths, key=len, reverse=True):
        if not any(owned[: len(path)] == path for owned in owned_by_others):
            removed(made, path)
    made = dict(_laid_over(schema, made, wanted))
    kept: list[Row] = []
    for entry, owned in others:
        _keep(kept, entry, owned - taken)
    made["metadata"]["managedFields"] = [*kept, manager.entry(paths)]
    return made


def _keep(entries: list[Row], entry: Mapping[str, Any], owned: set[Path]) -> None:
    if owned:
        entries.append({**entry, "fieldsV1": nested(owned)})


def _laid_over(schema: Schema, below: Any, above: Any) -> Any:
    """Merge a configuration into an object, by the list types of the schema."""
    traits = resolved(schema)
    if isinstance(above, dict) and is_structured(schema):
        merged = dict(below) if isinstance(below, dict) else {}
        for key, value in above.items():
            merged[key] = _laid_over(property_of(schema, key), merged.get(key), value)
        return merged
    if isinstance(above, list) and traits.get("x-kubernetes-list-type") == "map":
        entries = list(below or ())
        places = {entry_key(traits, each): index for index, each in enumerate(entries)}
        for each in above:
            place = places.get(entry_key(traits, each))
            if place is None:
                entries.append(each)
            else:
                entries[place] = _laid_over(items_of(schema), entries[place], each)
        return entries
    if isinstance(above, list) and traits.get("x-kubernetes-list-type") == "set":
        return [*(below or ()), *(each for each in above if each not in (below or ()))]
    return above


def _conflict(conflicts: Sequence[tuple[Mapping[str, Any], Path]]) -> StatusError:
    by_manager: dict[str, list[str]] = {}
    causes = []
    for entry, path in conflicts:
        through = f" with subresource {entry['subresource']!r}" if entry.get("subresource") else ""
        who = f'"{entry["manager"]}"{through} using {entry["apiVersion"]}'
        by_manager.setdefault(who, []).append(shown(path))
        causes.append({"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": shown(path)})
    count = len(conflicts)
    if count == 1:
        ((who, (only,)),) = by_manager.items()
        message = f"Apply failed with 1 conflict: conflict with {who}: {only}"
    else:
        said = [
            f"conflicts with {who}:" + "".join(f"\n- {path}" for path in paths) for who, paths in by_manager.items()
        ]
        message = f"Apply failed with {count} conflicts: " + "\n".join(said)
    return StatusError(409, "Conflict", message, {"causes": causes})
