"""Answers k8s_list: objects of a kind as the server's own table, a page at a time; events newest first."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from ap_mcp.aside import in_a_thread
from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.api import LONGEST_CURSOR, TABLE, ClusterApi, cluster_api
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.kubernetes.events import KEPT, EventLine, event_line, newest
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.tables import Table, table_of, trouble_in
from ap_mcp.kubernetes.troubles import explained, no_such_namespace
from ap_mcp.plans import ToolContext
from ap_mcp.summaries.base import BRIEF, NextCall, Result
from ap_mcp.vendor import get, items, number, text, word
from ap_mcp.wording import few

LIST, DIAGNOSE, GET = "k8s_list", "k8s_diagnose", "k8s_get"
SIZE = 50
EVENTS_READ, EVENT_PAGES = 500, 4
"""Events of one request, and requests before it is said that there may be newer ones: a cluster lists them by name."""
NAMED = 5


class ObjectTable(Result):
    """Objects of a kind, one row each, in the columns that kubectl shows.

    Attributes:
        events: in place of rows, the newest first.
        remaining: how many come after these; None if the cluster does not say.
        cursor: where the next page begins.
    """

    columns: list[str] | None = None
    rows: list[list[Any]] | None = None
    events: Annotated[list[EventLine] | None, BRIEF] = None
    shown: int = 0
    remaining: int | None = None
    cursor: str | None = None


RESULT = ObjectTable


async def run(arguments: Mapping[str, Any], context: ToolContext, kinds: KnownKinds) -> ObjectTable:
    """List objects.

    Raises:
        CallRefused: the cluster has no such kind, a rule closes it, or there is no such namespace.
        ServiceError: the cluster said no.
    """
    api = await cluster_api(LIST, arguments["cluster_id"], context.reads, kinds)
    resource = await api.resource(arguments["kind"])
    namespace = arguments.get("namespace", "")
    if namespace and not resource.namespaced:
        raise CallRefused(f"{resource.plural} are in no namespace: leave namespace out. Nothing was listed.")
    query = {
        "limit": str(arguments.get("limit", SIZE)),
        "continue": arguments.get("cursor", ""),
        "labelSelector": arguments.get("label_selector", ""),
        "fieldSelector": arguments.get("field_selector", ""),
    }
    async with explained(api, resource, namespace, query=query):
        shown = (
            await _events(api, resource, namespace, query, arguments)
            if resource.plural == "events"
            else await _table(api, resource, namespace, query, arguments)
        )
    if namespace and not shown.shown and (missing := await no_such_namespace(api, namespace)):
        # A cluster lists what is in a namespace that does not exist as nothing.
        raise CallRefused(missing)
    return shown


async def _table(
    api: ClusterApi, resource: Resource, namespace: str, query: Mapping[str, str], arguments: Mapping[str, Any]
) -> ObjectTable:
    everywhere = resource.namespaced and not namespace
    bare = {} if everywhere else {"includeObject": "None"}
    body = await api.list(resource, namespace, accept=TABLE, query={**query, **bare})
    now, limit = api.reads.now(), int(query["limit"])
    count = min(limit, len(items(body, "/rows") or items(body, "/items")))
    work = partial(table_of, body, now, limit, everywhere=everywhere)
    table: Table = await in_a_thread(work, count * _ROW_BYTES)
    remaining = number(get(body, "/metadata/remainingItemCount"))
    cursor = text(get(body, "/metadata/continue"), LONGEST_CURSOR) or None
    onward = [_next_page(arguments, cursor, remaining)] if cursor else []
    warnings, left = list[str](), table.total - limit
    if left > 0:
        # Some servers heed no limit, such as those of metrics.
        cursor, remaining, onward = None, left, []
        warnings = [_NO_PAGES.format(left)]
    trouble = trouble_in(resource.full, table)
    shown = len(table.rows)
    return ObjectTable(
        summary=_sentence(_kinds(resource, namespace, api, shown), query, shown, onward, len(trouble)),
        columns=table.columns,
        rows=table.rows,
        shown=shown,
        remaining=None if remaining is None else int(remaining),
        cursor=cursor,
        warnings=warnings,
        next=[*_diagnoses(arguments, resource, namespace, table, trouble), *onward],
    )


_ROW_BYTES = 150
_NO_PAGES = "The cluster sent all at once: {} more are left out. Raise limit, name a namespace, or use selectors."
_THERE_ARE_MORE = (
    "The cluster has more events than the {} that were read, and it does not order them by time: newer ones may be "
    "among the rest. Name a namespace, or select by field_selector, such as type=Warning."
)


async def _events(
    api: ClusterApi, resource: Resource, namespace: str, query: Mapping[str, str], arguments: Mapping[str, Any]
) -> ObjectTable:
    limit, found, cursor, remaining = int(query["limit"]), [], query["continue"], None
    for _ in range(EVENT_PAGES):
        body = await api.list(resource, namespace, query={**query, "limit": str(EVENTS_READ), "continue": cursor})
        found += items(body, "/items")
        cursor, remaining = (
            text(get(body, "/metadata/continue"), LONGEST_CURSOR),
            get(body, "/metadata/remainingItemCount"),
        )
        if not cursor:
            break
    now = api.reads.now()
    every = newest(found)
    shown = [event_line(each, now, namespace=not namespace) for each in every[:limit]]
    left = len(every) - len(shown)
    onward = []
    if left and not cursor and limit < EVENTS_READ:
        given = {**arguments, "limit": min(len(every), EVENTS_READ)}
        onward = [NextCall(tool=LIST, arguments=given, why=f"shows {_older(left)} too")]
    warnings = []
    if cursor:
        onward = [_next_page(arguments, cursor, number(remaining))]
        warnings = [_THERE_ARE_MORE.format(len(every))]
    older = f"; {_older(left)} {'was' if left == 1 else 'were'} read and left out" if left else ""
    count = f"{len(shown)} " if len(shown) > 1 else ""
    summary = f"The {count}newest {_kinds(resource, namespace, api, len(shown))}{older}." if shown else ""
    return ObjectTable(
        summary=summary or f"No {_kinds(resource, namespace, api, 0)}{_selected(query)}. {KEPT}",
        events=shown,
        shown=len(shown),
        remaining=left or None,
        cursor=cursor or None,
        warnings=warnings,
        next=onward,
    )


def _older(left: int) -> str:
    return "the older one" if left == 1 else f"the {left} older ones"


def _kinds(resource: Resource, namespace: str, api: ClusterApi, count: int) -> str:
    where = f" in {word(namespace)}" if namespace else " in all namespaces" if resource.namespaced else ""
    name = (resource.singular or resource.kind.lower()) if count == 1 else resource.plural
    return f"{name}{where} of {api.name}"


def _selected(query: Mapping[str, str]) -> str:
    given = [query["labelSelector"], query["fieldSelector"]]
    return " that the selector matches" if any(given) else ""


def _sentence(what: str, query: Mapping[str, str], shown: int, onward: Sequence[NextCall], bad: int) -> str:
    if not shown:
        return f"No {what}{_selected(query)}{' on this page; there are more pages' if onward else ''}."
    begins = "The next " if query["continue"] else ""
    left = f", {onward[0].why.removeprefix('shows ')} follow" if onward else ""
    unwell = f"; {bad} of these not healthy" if bad else ""
    return f"{begins}{shown} {what}{left}{unwell}."


def _next_page(arguments: Mapping[str, Any], cursor: str, remaining: float | None) -> NextCall:
    why = "shows more" if remaining is None else f"shows {int(remaining)} more"
    return NextCall(tool=LIST, arguments={**arguments, "cursor": cursor}, why=why)


def _diagnoses(
    arguments: Mapping[str, Any], resource: Resource, namespace: str, table: Table, trouble: Sequence[int]
) -> list[NextCall]:
    """Return the calls that say why something is not healthy: of one thing, or of all in the namespace."""
    if not trouble:
        return []
    names = [table.names[at] for at in trouble]
    places = {table.places[at] or namespace for at in trouble}
    given = {"cluster_id": arguments["cluster_id"]}
    place = {"namespace": places.pop()} if len(places) == 1 and resource.namespaced else {}
    if len(names) == 1:
        why, given = f"says why {word(names[0])} is not healthy", {**given, "kind": resource.plural, "name": names[0]}
        return [NextCall(tool=DIAGNOSE, arguments={**given, **place}, why=why)]
    why = f"says why {few([word(each) for each in names], NAMED)} are not healthy"
    return [NextCall(tool=DIAGNOSE, arguments={**given, **place}, why=why)]
