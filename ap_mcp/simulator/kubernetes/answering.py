"""Answers: objects, lists, Tables, text, and streams of what happens."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.simulator.kubernetes.asking import PARTIAL, TABLE, Accepted
from ap_mcp.simulator.kubernetes.conversions import shown, stored_kind
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.kubernetes.tables import META_VERSION, columns_of, table
from ap_mcp.simulator.world import Row

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished answer."""

    body: Any
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Write the body."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that goes on; each part is sent when it is there."""

    parts: Callable[[], AsyncIterator[bytes]]
    media_type: str = JSON


class Presenter:
    """Shows the objects of one kind in the form that a request accepts."""

    def __init__(self, store: Store, kind: Kind, accepted: Accepted, included: str = "") -> None:
        self._store = store
        self._kind = kind
        self._accepted = accepted
        self._included = included

    def one(self, item: Row) -> Row:
        """Show one object."""
        if self._accepted.shape == TABLE:
            return self._table([item], {"resourceVersion": item["metadata"].get("resourceVersion", "")})
        return _partial(item) if self._accepted.shape == PARTIAL else shown(self._kind, item)

    def many(self, items: Sequence[Row], metadata: Row) -> Row:
        """Show a list."""
        kind = self._kind
        if self._accepted.shape == TABLE:
            return self._table(items, metadata)
        if self._accepted.shape == PARTIAL:
            parts = [_partial(item) for item in items]
            return {"kind": f"{PARTIAL}List", "apiVersion": META_VERSION, "metadata": metadata, "items": parts}
        return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata,
                "items": [shown(kind, item) for item in items]}  # fmt: skip

    def _table(self, items: Sequence[Row], metadata: Row) -> Row:
        kind = self._kind
        definitions = self._store.named("CustomResourceDefinition", "apiextensions.k8s.io") if kind.custom else []
        definition = next((each for each in definitions if each["metadata"]["name"] == kind.qualified), None)
        columns = columns_of(stored_kind(kind), definition)
        made = table(columns, items, metadata, self._included, self._store.world.now())
        for row in made["rows"]:
            if self._included == "Object":
                row["object"] = shown(kind, row["object"])
        return made


def _partial(item: Row) -> Row:
    return {"kind": PARTIAL, "apiVersion": META_VERSION, "metadata": item["metadata"]}
