"""Reads a list of objects as rows: the server's table, or the objects themselves where it makes none; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ap_mcp.masking import mask, mask_text
from ap_mcp.vendor import get, items, moment, text
from ap_mcp.wording import age, clean

CELL_LIMIT = 200
NAMESPACE, NAME = "Namespace", "Name"
_NOTHING = "-"
_NAMES_OF_SECRETS = ("secret", "secrets", "secretname")
"""Columns that say which Secret an object uses."""
_WELL = frozenset({"Running", "Completed", "Succeeded", "Bound", "Active", "Available", "Ready", "True"})


@dataclass(frozen=True, slots=True)
class Table:
    """Objects of a list, secrets in it masked.

    Attributes:
        columns: their titles.
        rows: their cells.
        names: of the objects, by row.
        places: their namespaces, by row; empty where that is not known.
        total: how many objects were answered; there is a row of the first ones only.
    """

    columns: list[str]
    rows: list[list[Any]]
    names: list[str]
    places: list[str]
    total: int


def table_of(body: Any, now: datetime, limit: int, *, everywhere: bool) -> Table:
    """Return what a cluster answered to a list as rows.

    Args:
        body: a Table, or a list of objects.
        now: to measure ages where the server does not.
        limit: how many rows there are at most: some servers send more objects than they are asked for.
        everywhere: the list is of all namespaces, so each row begins with its own.
    """
    if get(body, "/kind") == "Table":
        return _of_table(body, limit, everywhere=everywhere)
    return _of_list(body, now, limit, everywhere=everywhere)


def _of_table(body: Any, limit: int, *, everywhere: bool) -> Table:
    defined = items(body, "/columnDefinitions")
    kept = [at for at, each in enumerate(defined) if not get(each, "/priority")]
    titles = [text(get(defined[at], "/name")) for at in kept]
    at_name = next((at for at, each in enumerate(defined) if get(each, "/format") == "name"), 0)
    rows, names, places = [], [], []
    every = items(body, "/rows")
    for row in every[:limit]:
        cells = get(row, "/cells", [])
        name, place = _at(cells, at_name), text(get(row, "/object/metadata/namespace"))
        shown = [_cell(title, _at(cells, at)) for title, at in zip(titles, kept, strict=True)]
        rows.append([place, *shown] if everywhere else shown)
        names.append(text(get(row, "/object/metadata/name")) or text(name))
        places.append(place)
    return Table([NAMESPACE, *titles] if everywhere else titles, rows, names, places, len(every))


def _of_list(body: Any, now: datetime, limit: int, *, everywhere: bool) -> Table:
    rows, names, places = [], [], []
    every = items(body, "/items")
    phases = [text(get(each, "/status/phase")) for each in every[:limit]]
    has_phases = any(phases)
    for each, phase in zip(every, phases, strict=False):
        name, place = text(get(each, "/metadata/name")), text(get(each, "/metadata/namespace"))
        since = age(moment(get(each, "/metadata/creationTimestamp")), now) or _NOTHING
        state = [phase or _NOTHING] if has_phases else []
        rows.append([*([place] if everywhere else []), name, *state, since])
        names.append(name)
        places.append(place)
    titles = [NAME, *(["Status"] if has_phases else []), "Age"]
    return Table([NAMESPACE, *titles] if everywhere else titles, rows, names, places, len(every))


def _at(cells: Any, at: int) -> Any:
    return cells[at] if isinstance(cells, list) and at < len(cells) else None


def _cell(title: str, value: Any) -> Any:
    """Return a cell, masked by what it holds and by the title that it stands under."""
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raw = value if isinstance(value, str) else text(value)
    hidden = mask_text(raw) if title.lower().replace(" ", "") in _NAMES_OF_SECRETS else mask({title: raw})[title]
    return clean(str(hidden), CELL_LIMIT)


def trouble_in(full: str, table: Table) -> list[int]:
    """Return the rows of what is surely not healthy, by what the table shows.

    Args:
        full: the kind with its group.
        table: of its objects.
    """
    judge = _JUDGES.get(full)
    if judge is None:
        return []
    lowered = [each.lower() for each in table.columns]
    return [at for at, row in enumerate(table.rows) if judge(dict(zip(lowered, row, strict=False)))]


def _pod(row: Mapping[str, Any]) -> bool:
    status = str(row.get("status", ""))
    return status not in _STARTING and (status not in _WELL or (status == "Running" and _lacks(row.get("ready"))))


_STARTING = frozenset({"", "Pending", "ContainerCreating", "PodInitializing", "Terminating", _NOTHING})
"""How a pod is that may still become ready, or need not: the table does not say for how long it has been so."""


def _lacks(value: Any) -> bool:
    """Say whether a cell such as `1/3` shows less than there should be."""
    have, slash, want = str(value).partition("/")
    return bool(slash) and have.isdigit() and want.isdigit() and int(have) < int(want)


def _differs(have: str, want: str) -> Callable[[Mapping[str, Any]], bool]:
    def judge(row: Mapping[str, Any]) -> bool:
        found, wanted = row.get(have), row.get(want)
        return isinstance(found, int) and isinstance(wanted, int) and found < wanted

    return judge


def _state_is(*bad: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: any(each in str(row.get("status", "")) for each in bad)


_JUDGES: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "Pod": _pod,
    "Deployment.apps": lambda row: _lacks(row.get("ready")),
    "StatefulSet.apps": lambda row: _lacks(row.get("ready")),
    "DaemonSet.apps": _differs("ready", "desired"),
    "Job.batch": _state_is("Failed"),
    "PersistentVolumeClaim": _state_is("Pending", "Lost"),
    "PersistentVolume": _state_is("Failed"),
    "Node": _state_is("NotReady"),
}
