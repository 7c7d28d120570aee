"""Creates, replaces, patches and applies objects: checked, filled in, admitted, recorded; a dry run keeps nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ap_mcp.simulator.kubernetes import apply, defaults, object_rules, patches, validation
from ap_mcp.simulator.kubernetes.admission import admit, admit_creation
from ap_mcp.simulator.kubernetes.deletion import finish_deletion
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.options import IGNORE, STRICT, WriteOptions
from ap_mcp.simulator.kubernetes.places import Place
from ap_mcp.simulator.kubernetes.statuses import (
    Cause,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    modified,
    not_found,
)
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

Prepare = Callable[[Store, Kind, Row], None]
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)


def create(
    store: Store, place: Place, given: Any, options: WriteOptions, before: Prepare = lambda _store, _kind, _item: None
) -> Row:
    """Create an object; `before` may add to it what only the server gives.

    Raises:
        StatusError: for everything that a server refuses.
    """
    kind = place.kind
    item = _decoded(store, place, given, options)
    metadata = item["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for name in (*_SERVER_OWNED, "resourceVersion", "managedFields"):
        metadata.pop(name, None)
    _name(store, metadata)
    if kind.has_status:
        item.pop("status", None)
    born(store, kind, item)
    _complete(store, kind, item, None)
    admit_creation(store, kind, item)
    before(store, kind, item)
    if store.get(kind, metadata.get("namespace", ""), metadata["name"]) is not None:
        raise already_exists(kind, metadata["name"])
    apply.recorded(store.schema(kind), {}, item, _manager(store, place, options, apply.UPDATE))
    return _kept(store, kind, item, options)


def replace(store: Store, place: Place, given: Any, options: WriteOptions) -> Row:
    """Put an object in place of the one that is there.

    Raises:
        StatusError: for everything that a server refuses.
    """
    old = store.fetch(place.kind, place.namespace, place.name)
    item = _decoded(store, place, given, options)
    return _update(store, old, item, _manager(store, place, options, apply.UPDATE), options)


def patch(store: Store, place: Place, media_type: str, given: Any, options: WriteOptions) -> tuple[Row, bool]:
    """Patch an object, or apply a configuration; says as well whether that made the object.

    Raises:
        StatusError: for everything that a server refuses.
    """
    if media_type == patches.APPLY_PATCH:
        return _apply(store, place, given, options)
    kind = place.kind
    old = store.fetch(kind, place.namespace, place.name)
    schema = store.schema(kind)
    if media_type == patches.JSON_PATCH:
        wanted = patches.json_patched(old, given)
    elif media_type == patches.MERGE_PATCH:
        wanted = patches.merge_patched(old, given)
    elif kind.custom:
        raise StatusError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted "
                          f"media types include: {patches.JSON_PATCH}, {patches.MERGE_PATCH}, {patches.APPLY_PATCH}"
                          )  # fmt: skip
    else:
        wanted = patches.strategically_patched(schema, old, given)
    item = _decoded(store, place, copied(wanted), options)
    return _update(store, old, item, _manager(store, place, options, apply.UPDATE), options), False


def _apply(store: Store, place: Place, given: Any, options: WriteOptions) -> tuple[Row, bool]:
    kind, name, subresource = place.kind, place.name, place.subresource
    wanted = _decoded(store, place, given, options)
    if wanted["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    live = store.get(kind, place.namespace, name)
    if live is None and subresource:
        raise not_found(kind, name)
    if not subresource and kind.has_status:
        wanted.pop("status", None)
    version = wanted["metadata"].pop("resourceVersion", "")
    if version and (live is None or version != live["metadata"]["resourceVersion"]):
        raise modified(kind, name) if live else conflict(kind, name, "the object does not exist")
    manager = _manager(store, place, options, apply.APPLY)
    item = apply.applied(store.schema(kind), live, wanted, manager, force=options.force)
    if live is not None:
        return _update(store, live, item, manager, options), False
    born(store, kind, item)
    _complete(store, kind, item, None)
    admit_creation(store, kind, item)
    return _kept(store, kind, item, options), True


def _update(store: Store, old: Row, item: Row, manager: apply.Manager, options: WriteOptions) -> Row:
    kind = manager.kind
    name = old["metadata"]["name"]
    metadata = item["metadata"]
    if metadata.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
        raise modified(kind, name)
    if metadata.get("uid") not in (None, "", old["metadata"]["uid"]):
        why = (
            f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {old['metadata']['uid']}"
        )
        raise conflict(kind, name, why)
    for field in _SERVER_OWNED:
        metadata.pop(field, None)
        if field in old["metadata"]:
            metadata[field] = old["metadata"][field]
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    _only_through(kind, old, item, manager.subresource)
    _complete(store, kind, item, old)
    admit(kind, item, old)
    if (kind.custom or kind.storage in defaults.GENERATION) and _intent(kind, item) != _intent(kind, old):
        metadata["generation"] = old["metadata"].get("generation", 0) + 1
    if manager.operation == apply.UPDATE:
        apply.recorded(store.schema(kind), old, item, manager)
    if _without_times(item) == _without_times(old):
        return old
    if not options.dry_run and finish_deletion(store, kind, item):
        return item
    return _kept(store, kind, item, options)


def _only_through(kind: Kind, old: Row, item: Row, subresource: str) -> None:
    """Put back what a write through this path leaves alone."""
    if subresource == "status":
        kept = {key: value for key, value in old.items() if key not in ("status", "metadata")}
        status = item.get("status")
        managed = item["metadata"].get("managedFields")
        item["metadata"] = {**copied(old["metadata"]), **({"managedFields": managed} if managed else {})}
        for key in [key for key in item if key not in ("metadata", "status")]:
            del item[key]
        item.update(copied(kept))
        if status is not None:
            item["status"] = status
    elif subresource == "finalize":
        finalizers = (item.get("spec") or {}).get("finalizers") or []
        item["spec"] = {**(old.get("spec") or {}), "finalizers": finalizers}
        item["status"] = old.get("status", {})
    elif kind.has_status:
        item.pop("status", None)
        if "status" in old:
            item["status"] = copied(old["status"])
        if kind.storage == "namespaces":
            item["spec"] = copied(old.get("spec") or {})


def _decoded(store: Store, place: Place, given: Any, options: WriteOptions) -> Row:
    """Read an object as its kind; what names it must agree with the path.

    Raises:
        StatusError: 400 if it cannot be read, or is for another place.
    """
    kind, namespace, name = place.kind, place.namespace, place.name
    if not isinstance(given, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind"
        )
    item: Row = copied(given)
    named = (item.get("apiVersion") or kind.api_version, item.get("kind") or kind.kind)
    if named != (kind.api_version, kind.kind):
        said = f"the API version in the data ({named[0]}) does not match the expected API version ({kind.api_version})"
        raise bad_request(f'{named[1]} in version "{named[0]}" cannot be handled as a {kind.kind}: {said}')
    item["apiVersion"], item["kind"] = kind.api_version, kind.kind
    schema = store.schema(kind)
    wrong = next(validation.wrong_types(schema, item, "", kind.kind), None)
    if wrong is not None:
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {wrong}')
    _check_fields(kind, list(validation.unknown_fields(schema, item)), options)
    item = validation.without_nulls(validation.pruned(schema, item))
    metadata = item.setdefault("metadata", {})
    if name and metadata.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if kind.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    return item


def _check_fields(kind: Kind, unknown: Sequence[str], options: WriteOptions) -> None:
    if not unknown or options.validation == IGNORE:
        return
    said = [f'unknown field "{path}"' for path in unknown]
    if options.validation == STRICT:
        head = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: '
        raise bad_request(head + ", ".join(said))
    options.warnings.extend(said)


def _complete(store: Store, kind: Kind, item: Row, old: Mapping[str, Any] | None) -> None:
    """Fill an object in, and check it.

    Raises:
        StatusError: 422 with all that is wrong with it.
    """
    schema = store.schema(kind)
    defaults.fill(kind, schema, item)
    causes: list[Cause] = [
        *validation.wrong_values(schema, _without_status(item)),
        *object_rules.problems(kind, item, old),
    ]
    seen: dict[tuple[str, str], Cause] = {}
    for cause in causes:
        seen.setdefault((cause.field, cause.reason), cause)
    if seen:
        raise invalid(kind, item["metadata"].get("name", ""), list(seen.values()))


def _without_status(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "status"}


def _name(store: Store, metadata: Row) -> None:
    prefix = metadata.get("generateName")
    if prefix and not metadata.get("name"):
        metadata["name"] = prefix + "".join(store.world.random.choice(SUFFIX) for _ in range(5))


def born(store: Store, kind: Kind, item: Row) -> None:
    """Give a new object what the server gives it."""
    metadata = item["metadata"]
    metadata["uid"] = store.world.new_id()
    metadata["creationTimestamp"] = store.world.iso_timestamp()
    if kind.custom or kind.storage in defaults.GENERATION:
        metadata["generation"] = 1
    if kind.storage == "namespaces":
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata.get("name", "")}
        item["status"] = {"phase": "Active"}


def _manager(store: Store, place: Place, options: WriteOptions, operation: str) -> apply.Manager:
    return apply.Manager(options.manager, operation, place.kind, place.subresource, store.world.iso_timestamp())


def _kept(store: Store, kind: Kind, item: Row, options: WriteOptions) -> Row:
    if options.dry_run:
        item["metadata"].setdefault("resourceVersion", "")
        if not item["metadata"]["resourceVersion"]:
            del item["metadata"]["resourceVersion"]
        return item
    return store.put(kind, item)


def _intent(kind: Kind, item: Mapping[str, Any]) -> Any:
    left = {"metadata", "status"} if kind.has_status or kind.storage in defaults.GENERATION else {"metadata"}
    return {key: value for key, value in item.items() if key not in left}


def _without_times(item: Mapping[str, Any]) -> Any:
    """Return an object without what alone makes no change: when its fields were written."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    managed = [{**entry, "time": ""} for entry in item["metadata"].get("managedFields") or ()]
    return {**item, "metadata": metadata}, managed
