"""Keeps the objects of a cluster, with resourceVersions and enough history for watches and for lists in pages."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind, Served, known, served_at_first
from ap_mcp.simulator.kubernetes.schemas import Schema, custom_schemas, schema_of
from ap_mcp.simulator.kubernetes.statuses import expired, not_found
from ap_mcp.simulator.world import Row, World, copied

TABLE = "kubernetes"
FIRST_VERSION = 1000
MOST_HISTORY = 256
"""Changes that are remembered: who asks for what was before them gets the answer that it has expired."""

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an object; `before` is what it was, `after` what it is, or was when it was deleted."""

    version: int
    type: str
    before: Row | None
    after: Row


def key_of(namespace: str, name: str) -> str:
    """Return where an object is kept among those of its kind."""
    return f"{namespace}/{name}"


class Store:
    """The objects of one cluster. What it returns is shared: copy before you change it, and put it back."""

    def __init__(self, world: World, cluster_id: str, on_change: Callable[[Kind, Row], None] | None = None) -> None:
        self.world = world
        self.cluster_id = cluster_id
        self._row = world.table(TABLE).setdefault(cluster_id, new_row())
        self.on_change = on_change

    @property
    def cluster(self) -> Row:
        """The cluster's own row."""
        return self.world.table("clusters")[self.cluster_id]

    @property
    def keeps_record(self) -> bool:
        """Whether changes are remembered, and who made them: not while the past of a cluster is made up."""
        return not self._row.get("past")

    @property
    def version(self) -> int:
        """The resourceVersion of the newest change."""
        return int(self._row["version"])

    @property
    def oldest_version(self) -> int:
        """The oldest resourceVersion whose state is still known."""
        history = self._row["history"]
        return int(history[0][0]) - 1 if len(history) >= MOST_HISTORY else 0

    def served(self) -> Served:
        """Return the kinds that the cluster serves now."""
        addons = self.world.table("addons").values()
        metrics = any(
            row["spec"]["clusterID"] == self.cluster_id
            and row["spec"]["addonTemplateName"] == "metrics-server"
            and row["status"]["status"] in ("running", "available")
            for row in addons
        )
        definitions = self._objects(CRDS).values()
        return Served(definitions, metrics=metrics) if definitions else served_at_first(metrics=metrics)

    def schema(self, kind: Kind) -> Schema:
        """Return the schema of a kind."""
        if not kind.custom:
            return schema_of(kind)
        return schema_of(kind, custom_schemas({obj["metadata"]["name"]: obj for obj in self._objects(CRDS).values()}))

    def get(self, kind: Kind, namespace: str, name: str) -> Row | None:
        """Return an object, if there is one."""
        return self._objects(kind.storage).get(key_of(namespace, name))

    def fetch(self, kind: Kind, namespace: str, name: str) -> Row:
        """Return an object.

        Raises:
            StatusError: 404 if there is none.
        """
        found = self.get(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def all(self, kind: Kind, namespace: str = "", *, at: int | None = None) -> list[Row]:
        """Return the objects of a kind, of one namespace if given, in the order of their names.

        Args:
            kind: whose objects.
            namespace: where; everywhere if empty.
            at: the resourceVersion of the state that is wanted, the newest unless given.

        Raises:
            StatusError: 410 if that state is forgotten.
        """
        objects: Mapping[str, Row] = self._objects(kind.storage)
        if at is not None and at < self.version:
            objects = self._state(kind.storage, at)
        prefix = f"{namespace}/" if namespace else ""
        return [objects[key] for key in sorted(key for key in objects if key.startswith(prefix))]

    def named(self, kind: str, group: str = "", namespace: str = "") -> list[Row]:
        """Return the objects of a built-in kind by its name."""
        return self.all(known(kind, group), namespace)

    def copy(self, kind: Kind, namespace: str, name: str) -> Row | None:
        """Return a copy of an object to change, if there is one."""
        found = self.get(kind, namespace, name)
        return None if found is None else copied(found)

    def put(self, kind: Kind, item: Row) -> Row:
        """Keep an object in place of what was there under its name; its resourceVersion is set."""
        metadata = item["metadata"]
        key = key_of(metadata.get("namespace", ""), metadata["name"])
        objects = self._objects(kind.storage)
        before = objects.get(key)
        metadata["resourceVersion"] = str(self._next(ADDED if before is None else MODIFIED, kind, key, before))
        objects[key] = item
        self._tell(kind, item)
        return item

    def remove(self, kind: Kind, item: Row) -> Row:
        """Take an object out, and return it as it was at last."""
        metadata = item["metadata"]
        key = key_of(metadata.get("namespace", ""), metadata["name"])
        before = self._objects(kind.storage).pop(key)
        version = str(self._next(DELETED, kind, key, before))
        last = {**before, "metadata": {**before["metadata"], "resourceVersion": version}}
        self._tell(kind, last)
        return last

    def changes(self, kind: Kind, namespace: str, since: int) -> Iterator[Change]:
        """Yield what happened to the objects of a kind after a resourceVersion.

        Raises:
            StatusError: 410 if that is forgotten.
        """
        self._check(since)
        prefix = f"{namespace}/"
        history = [entry for entry in self._row["history"] if entry[2] == kind.storage and entry[0] > since]
        for index, (version, type_, _, key, before) in enumerate(history):
            if namespace and not key.startswith(prefix):
                continue
            if type_ == DELETED:
                metadata = {**before["metadata"], "resourceVersion": str(version)}
                yield Change(version, type_, before, {**before, "metadata": metadata})
                continue
            later = itertools.islice(history, index + 1, None)
            after = next((entry[4] for entry in later if entry[3] == key), None)
            yield Change(version, type_, before, after or self._objects(kind.storage)[key])

    def _state(self, storage: str, at: int) -> Mapping[str, Row]:
        self._check(at)
        objects = dict(self._objects(storage))
        for version, _, of, key, before in reversed(self._row["history"]):
            if version > at and of == storage:
                if before is None:
                    objects.pop(key, None)
                else:
                    objects[key] = before
        return objects

    def _check(self, version: int) -> None:
        if version < self.oldest_version:
            raise expired(f"too old resource version: {version} ({self.oldest_version})")

    def _next(self, type_: str, kind: Kind, key: str, before: Row | None) -> int:
        self._row["version"] += 1
        version = int(self._row["version"])
        if not self.keeps_record:
            return version
        history = self._row["history"]
        history.append([version, type_, kind.storage, key, before])
        del history[:-MOST_HISTORY]
        return version

    def _tell(self, kind: Kind, item: Row) -> None:
        if self.on_change is not None:
            self.on_change(kind, item)

    def _objects(self, storage: str) -> dict[str, Row]:
        return self._row["objects"].setdefault(storage, {})  # type: ignore[no-any-return]


def new_row() -> Row:
    """Make the row of a cluster without any object."""
    return {"version": FIRST_VERSION, "objects": {}, "history": []}


def owner_of(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference to what controls an object, if anything does."""
    references = item["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), None)
