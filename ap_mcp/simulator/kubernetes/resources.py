"""What can be done with the objects of a kind: the verbs on collections, on one object, and on its subresources."""

from collections.abc import Callable, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes import patches, reviews, subresources, writing
from ap_mcp.simulator.kubernetes.answering import TEXT, Answered, Presenter, Streamed
from ap_mcp.simulator.kubernetes.asking import Asked
from ap_mcp.simulator.kubernetes.conversions import stored, stored_kind
from ap_mcp.simulator.kubernetes.deletion import delete
from ap_mcp.simulator.kubernetes.kinds import METRICS, Kind
from ap_mcp.simulator.kubernetes.lists import page, selected
from ap_mcp.simulator.kubernetes.logs import log_of
from ap_mcp.simulator.kubernetes.metrics import metrics_of
from ap_mcp.simulator.kubernetes.networking import allocate
from ap_mcp.simulator.kubernetes.options import delete_options, write_options
from ap_mcp.simulator.kubernetes.places import Place
from ap_mcp.simulator.kubernetes.statuses import (
    bad_request,
    forbidden,
    method_not_allowed,
    not_found,
    unsupported_media_type,
)
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.kubernetes.watching import Pause, Watched, watch
from ap_mcp.simulator.world import Row

REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")
REFUSED = ("exec", "attach", "portforward")


def carry_out(store: Store, place: Place, asked: Asked, pause: Pause) -> Answered | Streamed:
    """Do what a request asks of the objects of a kind.

    Raises:
        StatusError: whatever the server would refuse.
    """
    kind, verb = place.kind, place.verb(asked)
    if place.subresource:
        return _subresource(store, place, asked, verb)
    if verb not in kind.verbs or (verb == "create" and place.name):
        raise method_not_allowed(kind)
    if kind.group in REVIEWS:
        return Answered(reviews.answer(kind, asked.content() or {}, asked.user), 201)
    if verb == "watch":
        return _watch(store, place, asked, pause)
    return _VERBS[verb](store, place, asked)


def _watch(store: Store, place: Place, asked: Asked, pause: Pause) -> Streamed:
    watched = Watched(place.kind, place.namespace, selected(place.kind, asked, place.name), asked)
    return watch(store.world, store.cluster_id, watched, pause)


def _presenter(store: Store, place: Place, asked: Asked) -> Presenter:
    return Presenter(store, place.kind, asked.accepted(), asked.query.get("includeObject", ""))


def _list(store: Store, place: Place, asked: Asked) -> Answered:
    presenter = _presenter(store, place, asked)
    items, metadata = page(store, place.kind, place.namespace, asked)
    return Answered(presenter.many(items, metadata))


def _get(store: Store, place: Place, asked: Asked) -> Answered:
    kind = place.kind
    presenter = _presenter(store, place, asked)
    if kind.group == METRICS:
        metrics = metrics_of(store, kind, place.namespace)
        found = next((each for each in metrics if each["metadata"]["name"] == place.name), None)
        if found is None:
            raise not_found(kind, f"{place.namespace}/{place.name}" if place.namespace else place.name)
        return Answered(presenter.one(found))
    return Answered(presenter.one(store.fetch(kind, place.namespace, place.name)))


def _create(store: Store, place: Place, asked: Asked) -> Answered:
    options = write_options(asked.query, asked.agent)
    item = stored(place.kind, asked.content())
    made = writing.create(store, place.stored, item, options, _allocated)
    return _written(_presenter(store, place, asked).one(made), 201, options.warnings)


def _allocated(store: Store, kind: Kind, item: Row) -> None:
    if kind.storage == "services":
        allocate(store, item)


def _update(store: Store, place: Place, asked: Asked) -> Answered:
    options = write_options(asked.query, asked.agent)
    made = writing.replace(store, place.stored, stored(place.kind, asked.content()), options)
    return _written(_presenter(store, place, asked).one(made), 200, options.warnings)


def _patch(store: Store, place: Place, asked: Asked) -> Answered:
    media_type = asked.media_type
    if media_type not in patches.PATCHES:
        raise unsupported_media_type(list(patches.PATCHES))
    options = write_options(asked.query, asked.agent, apply=media_type == patches.APPLY_PATCH)
    content = asked.content()
    if media_type == patches.APPLY_PATCH:
        content = stored(place.kind, content)
    made, new = writing.patch(store, place.stored, media_type, content, options)
    return _written(_presenter(store, place, asked).one(made), 201 if new else 200, options.warnings)


def _delete(store: Store, place: Place, asked: Asked) -> Answered:
    kind = stored_kind(place.kind)
    item = store.fetch(kind, place.namespace, place.name)
    left, gone = delete(store, kind, item, delete_options(asked.query, asked.content()))
    if not gone or kind.storage == "pods":
        return Answered(_presenter(store, place, asked).one(left))
    details = {"name": place.name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}
    details["uid"] = item["metadata"]["uid"]
    return Answered({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


def _delete_collection(store: Store, place: Place, asked: Asked) -> Answered:
    kind, options = stored_kind(place.kind), delete_options(asked.query, asked.content())
    presenter = _presenter(store, place, asked)
    items, metadata = page(store, place.kind, place.namespace, asked)
    # What is listed as of an earlier version is deleted as it is now, by its name.
    there = [store.get(kind, each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in items]
    left = [delete(store, kind, each, options)[0] for each in there if each is not None]
    return Answered(presenter.many(left, metadata))


_VERBS: Mapping[str, Callable[[Store, Place, Asked], Answered]] = {
    "list": _list,
    "get": _get,
    "create": _create,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "deletecollection": _delete_collection,
}


def _subresource(store: Store, place: Place, asked: Asked, verb: str) -> Answered:
    kind, name = place.kind, place.subresource
    if name in REFUSED:
        store.fetch(kind, place.namespace, place.name)
        raise forbidden(kind, place.name, f"{name} is not available in a simulated cluster")
    if verb not in kind.verbs_of(name):
        raise method_not_allowed(kind)
    if name == "log":
        item = store.fetch(kind, place.namespace, place.name)
        return Answered(log_of(store, item, asked.query), media_type=TEXT)
    if name == "scale":
        return _scale(store, place, asked, verb)
    if name == "token":
        account = store.fetch(kind, place.namespace, place.name)
        options = write_options(asked.query, asked.agent)
        return Answered(reviews.token(store, account, _object(asked), dry_run=options.dry_run), 201)
    if name == "eviction":
        return Answered(subresources.evict(store, place.namespace, place.name, _object(asked), asked.query), 201)
    if name == "binding":
        raise forbidden(kind, place.name, "pods are assigned by the scheduler")
    if verb == "get":
        return _get(store, place, asked)
    return (_patch if verb == "patch" else _update)(store, place, asked)


def _scale(store: Store, place: Place, asked: Asked, verb: str) -> Answered:
    kind, options = place.kind, write_options(asked.query, asked.agent, apply=False)
    item = store.fetch(kind, place.namespace, place.name)
    if verb == "get":
        return Answered(subresources.scale_of(item))
    content: Any = asked.content()
    current = subresources.scale_of(item)
    if verb == "patch":
        merged = patches.json_patched(current, content) if asked.media_type == patches.JSON_PATCH else (
            patches.merge_patched(current, content))  # fmt: skip
        content = merged
    if not isinstance(content, dict):
        raise bad_request("the body of the request is no Scale")
    changed = subresources.rescaled(kind, item, content)
    made = writing.replace(store, place, changed, options)
    return Answered(subresources.scale_of(made))


def _object(asked: Asked) -> Row:
    content = asked.content()
    return content if isinstance(content, dict) else {}


def _written(body: Row, status: int, warnings: list[str]) -> Answered:
    headers = {}
    if warnings:
        escaped = [each.replace("\\", "\\\\").replace('"', '\\"') for each in warnings]
        headers["Warning"] = ", ".join(f'299 - "{each}"' for each in escaped)
    return Answered(body, status, headers=headers)
