"""Watches: what is there, and then every change as it happens, with bookmarks."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio

from ap_mcp.simulator.kubernetes.answering import Presenter, Streamed
from ap_mcp.simulator.kubernetes.asking import Asked
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.selectors import Matches
from ap_mcp.simulator.kubernetes.statuses import StatusError
from ap_mcp.simulator.kubernetes.store import ADDED, DELETED, MODIFIED, Change, Store
from ap_mcp.simulator.world import Row, World

Pause = Callable[[float], Awaitable[object]]
POLL_SECONDS, BOOKMARK_SECONDS, LONGEST_SECONDS = 0.1, 60.0, 1800.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched: the objects of a kind that match, in the form that is wanted."""

    kind: Kind
    namespace: str
    matches: Matches
    asked: Asked


def watch(world: World, cluster_id: str, watched: Watched, pause: Pause = anyio.sleep) -> Streamed:
    """Begin a watch; it ends after the time that is asked for, or with the answer's connection.

    Args:
        world: where the cluster is.
        cluster_id: whose objects.
        watched: which of them.
        pause: waits between two looks.

    Raises:
        StatusError: 410 if the resourceVersion to begin with is forgotten.
    """
    asked = watched.asked
    text = asked.query.get("resourceVersion") or "0"
    since = int(text) if text.isdecimal() else 0
    store = Store(world, cluster_id)
    if since:
        list(store.changes(watched.kind, watched.namespace, since))
    limit = float(asked.number("timeoutSeconds") or LONGEST_SECONDS)

    async def parts() -> AsyncIterator[bytes]:
        position, passed, marked = since, 0.0, 0.0
        with world.lock:
            first, position = _first(store, watched, since)
        for each in first:
            yield each
        while passed < limit:
            await pause(POLL_SECONDS)
            passed += POLL_SECONDS
            with world.lock:
                world.catch_up()
                try:
                    found, position = _news(store, watched, position)
                except StatusError as error:
                    found, passed = [_event("ERROR", error.body())], limit
            for each in found:
                yield each
            if passed - marked >= BOOKMARK_SECONDS and asked.flag("allowWatchBookmarks"):
                marked = passed
                yield _bookmark(watched, position)

    return Streamed(parts)


def _first(store: Store, watched: Watched, since: int) -> tuple[list[bytes], int]:
    """Return what a watch begins with: what is there unless it goes on from a resourceVersion."""
    asked = watched.asked
    initial = asked.query.get("sendInitialEvents") == "true"
    if since and not initial:
        return _news(store, watched, since)
    presenter = _presenter(store, watched)
    items = [each for each in store.all(watched.kind, watched.namespace) if watched.matches(each)]
    sent = [_event(ADDED, presenter.one(each)) for each in items]
    if initial:
        sent.append(_bookmark(watched, store.version, end=True))
    return sent, store.version


def _news(store: Store, watched: Watched, position: int) -> tuple[list[bytes], int]:
    if store.version == position:
        return [], position
    presenter = _presenter(store, watched)
    changes = store.changes(watched.kind, watched.namespace, position)
    return [
        _event(type_, presenter.one(item)) for each in changes for type_, item in _seen(watched, each)
    ], store.version


def _seen(watched: Watched, change: Change) -> Iterator[tuple[str, Row]]:
    """Yield a change as this watch sees it: what begins to match is added, what stops to match deleted."""
    before = change.before is not None and watched.matches(change.before)
    after = change.type != DELETED and watched.matches(change.after)
    if before and after:
        yield MODIFIED, change.after
    elif after:
        yield ADDED, change.after
    elif before:
        yield DELETED, change.after


def _presenter(store: Store, watched: Watched) -> Presenter:
    asked = watched.asked
    return Presenter(store, watched.kind, asked.accepted(), asked.query.get("includeObject", ""))


def _bookmark(watched: Watched, version: int, *, end: bool = False) -> bytes:
    metadata: Row = {"resourceVersion": str(version), "creationTimestamp": None}
    if end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    kind = watched.kind
    return _event("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})


def _event(type_: str, item: Any) -> bytes:
    return json.dumps({"type": type_, "object": item}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
