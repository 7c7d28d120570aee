"""What controllers share: who owns what, conditions, events, and the record of what a controller wrote."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes import apply
from ap_mcp.simulator.kubernetes.defaults import fill
from ap_mcp.simulator.kubernetes.kinds import Kind, known
from ap_mcp.simulator.kubernetes.store import Store, owner_of
from ap_mcp.simulator.world import Row, copied

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
CONTROLLER_MANAGER = "kube-controller-manager"
MOST_EVENTS = 400
"""Events a cluster keeps: the oldest are dropped, as a real one drops those of more than an hour ago."""


def digest(value: Any, length: int = 10) -> str:
    """Return a short name for a value, of the letters that generated names are made of."""
    import json  # noqa: PLC0415 - of this function alone

    number = int.from_bytes(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()[:12], "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[index])
    return "".join(letters)


def suffix(store: Store, length: int = 5) -> str:
    """Return letters for a generated name, the same in every run with the same seed."""
    return "".join(store.world.random.choice(ALPHABET) for _ in range(length))


def owner_reference(kind: Kind, owner: Mapping[str, Any]) -> Row:
    """Make the reference to what controls an object."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controlled(store: Store, kind: Kind, owner: Mapping[str, Any]) -> list[Row]:
    """List the objects of a kind that an object controls."""
    uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
    return [each for each in store.all(kind, namespace) if (owner_of(each) or {}).get("uid") == uid]


def write(store: Store, kind: Kind, old: Row, new: Row, *, manager: str = CONTROLLER_MANAGER) -> Row:
    """Keep what a controller made of an object, unless nothing changed."""
    if new == old:
        return old
    if not store.keeps_record:
        return store.put(kind, new)
    status = new.get("status") != old.get("status")
    subresource = "status" if status and kind.has_status else ""
    who = apply.Manager(manager, apply.UPDATE, kind, subresource, store.world.iso_timestamp())
    apply.recorded(store.schema(kind), old, new, who)
    return store.put(kind, new)


def make(store: Store, kind: Kind, item: Row, *, manager: str = CONTROLLER_MANAGER) -> Row:
    """Keep an object that a controller makes."""
    metadata = item["metadata"]
    metadata.setdefault("uid", store.world.new_id())
    metadata.setdefault("creationTimestamp", store.world.iso_timestamp())
    item = {"apiVersion": kind.api_version, "kind": kind.kind, **item}
    fill(kind, store.schema(kind), item)
    if store.keeps_record:
        who = apply.Manager(manager, apply.UPDATE, kind, "", store.world.iso_timestamp())
        apply.recorded(store.schema(kind), {}, item, who)
    return store.put(kind, item)


def condition(  # noqa: PLR0917 - in the order in which conditions are written
    store: Store, status: Row, type_: str, value: str, reason: str = "", message: str = ""
) -> None:
    """Set a condition of a status in place; the moment of its last transition stays unless its value changes."""
    now = store.world.iso_timestamp()
    entries = [dict(each) for each in status.get("conditions") or ()]
    found = next((each for each in entries if each["type"] == type_), None)
    if found is None:
        found = {"type": type_, "status": "", "lastTransitionTime": now}
        entries.append(found)
    if found["status"] != value:
        found |= {"status": value, "lastTransitionTime": now}
    for name, said in (("reason", reason), ("message", message)):
        if said:
            found[name] = said
        else:
            found.pop(name, None)
    status["conditions"] = entries


def drop_condition(status: Row, type_: str) -> None:
    """Take a condition away."""
    status["conditions"] = [each for each in status.get("conditions") or () if each["type"] != type_]


def emit(  # noqa: PLR0917 - in the order in which events are shown
    store: Store, about: Mapping[str, Any], type_: str, reason: str, message: str, component: str, *, count: int = 0
) -> None:
    """Record an event about an object; the same one again only raises its count, by one or to what it is by now."""
    kind, metadata, now = known("Event"), about["metadata"], store.world.iso_timestamp()
    namespace = metadata.get("namespace") or "default"
    name = f"{metadata['name']}.{digest([metadata['uid'], reason, message], 16)}"
    old = store.get(kind, namespace, name)
    if old is not None:
        if not count or count > old["count"]:
            store.put(kind, {**copied(old), "count": count or old["count"] + 1, "lastTimestamp": now})
        return
    involved = {
        "kind": about["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": about["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    event = {
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {key: value for key, value in involved.items() if value},
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": count or 1,
        "type": type_,
        "reportingComponent": component,
        "reportingInstance": "",
    }
    make(store, kind, event, manager=component)
    events = store.all(kind)
    if len(events) > MOST_EVENTS:
        store.remove(kind, min(events, key=lambda each: str(each.get("lastTimestamp") or "")))
