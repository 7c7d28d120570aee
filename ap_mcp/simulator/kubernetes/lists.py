"""Lists: selected, in pages that show one state however much changes meanwhile."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.asking import Asked
from ap_mcp.simulator.kubernetes.kinds import METRICS, Kind
from ap_mcp.simulator.kubernetes.metrics import metrics_of
from ap_mcp.simulator.kubernetes.selectors import Matches, field_selector, label_selector
from ap_mcp.simulator.kubernetes.statuses import StatusError, bad_request, expired
from ap_mcp.simulator.kubernetes.store import Store, key_of
from ap_mcp.simulator.world import Row

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


def selected(kind: Kind, asked: Asked, name: str = "") -> Matches:
    """Return what a request selects among objects.

    Raises:
        StatusError: 400 for a selector that cannot be read.
    """
    labels = label_selector(asked.query.get("labelSelector", ""))
    fields = field_selector(kind, asked.query.get("fieldSelector", ""))

    def matches(item: Mapping[str, Any]) -> bool:
        metadata = item["metadata"]
        return (not name or metadata["name"] == name) and labels(metadata.get("labels") or {}) and fields(item)

    return matches


def page(store: Store, kind: Kind, namespace: str, asked: Asked) -> tuple[list[Row], Row]:
    """Return the objects that a list asks for, and the metadata of the list.

    Raises:
        StatusError: 400 for what cannot be read, 410 for a token that is too old.
    """
    matches, limit = selected(kind, asked), asked.number("limit")
    version, after = store.version, ""
    token = asked.query.get("continue", "")
    if token:
        version, after = _read(token)
    elif asked.query.get("resourceVersionMatch") == "Exact":
        version = asked.number("resourceVersion")
    items = metrics_of(store, kind, namespace) if kind.group == METRICS else _state(store, kind, namespace, version)
    items = [each for each in items if matches(each)]
    if after:
        items = [each for each in items if _key(each) > after]
    metadata: Row = {"resourceVersion": str(version)}
    if limit and len(items) > limit:
        metadata["continue"] = _token(version, _key(items[limit - 1]))
        if not asked.query.get("labelSelector") and not asked.query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return items, metadata


def _state(store: Store, kind: Kind, namespace: str, version: int) -> list[Row]:
    try:
        return store.all(kind, namespace, at=version)
    except StatusError as error:
        raise expired(TOO_OLD) from error


def _key(item: Mapping[str, Any]) -> str:
    return key_of(item["metadata"].get("namespace", ""), item["metadata"]["name"])


def _token(version: int, after: str) -> str:
    content = {"v": "meta.k8s.io/v1", "rv": version, "start": after}
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _read(token: str) -> tuple[int, str]:
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(content["rv"]), str(content["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid: " + str(error)) from error
