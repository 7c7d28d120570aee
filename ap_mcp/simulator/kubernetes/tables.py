"""Lists as the server prints them: a Table with the columns of the kind, and as much of each object as is asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ap_mcp.simulator.kubernetes.columns import AGE, COLUMNS, NAME, Column, at, human
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.statuses import bad_request
from ap_mcp.simulator.world import Row

INCLUDED = ("None", "Metadata", "Object")
META_VERSION = "meta.k8s.io/v1"


def columns_of(kind: Kind, definition: Mapping[str, Any] | None) -> Sequence[Column]:
    """Return the columns of a kind; `definition` is that of a custom one."""
    if definition is None:
        return COLUMNS.get(kind.storage, (NAME, AGE))
    version = next(each for each in definition["spec"]["versions"] if each["name"] == kind.version)
    own = version.get("additionalPrinterColumns")
    if not own:
        return NAME, AGE
    return NAME, *(_printed(each) for each in own)


def table(columns: Sequence[Column], items: Sequence[Row], metadata: Row, included: str, now: datetime) -> Row:
    """Print objects.

    Args:
        columns: what is shown of them.
        items: the objects.
        metadata: of the list.
        included: how much of each object goes with its row: None, Metadata or Object.
        now: ages are counted from then.

    Raises:
        StatusError: 400 for another word than those.
    """
    included = included or "Metadata"
    if included not in INCLUDED:
        raise bad_request(f'unrecognized includeObject value: "{included}"')
    rows = []
    for item in items:
        row: Row = {"cells": [column.fill(item, now) for column in columns]}
        if included == "Object":
            row["object"] = item
        elif included == "Metadata":
            about = {"kind": "PartialObjectMetadata", "apiVersion": META_VERSION, "metadata": item["metadata"]}
            row["object"] = about
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": META_VERSION,
        "metadata": metadata,
        "columnDefinitions": [_described(column) for column in columns],
        "rows": rows,
    }


def _described(column: Column) -> Row:
    type_, format_ = ("string", "name") if column.type == "name" else (column.type, "")
    return {"name": column.name, "type": type_, "format": format_, "description": "", "priority": int(column.wide)}


def _printed(described: Mapping[str, Any]) -> Column:
    path = described["jsonPath"].lstrip(".")
    if described["type"] == "date":
        return Column(described["name"], lambda item, now: human(at(item, path), now))
    wide = bool(described.get("priority"))
    return Column(described["name"], lambda item, _: at(item, path, ""), described["type"], wide)
