"""Requests to the Kubernetes API of a cluster: how they are built, and which of them only read; pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from ap_mcp.binding import HttpCall
from ap_mcp.errors import InvalidArguments, Problem
from ap_mcp.late_patterns import later
from ap_mcp.specs import JSON

CLUSTER_ID = later(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TEXT = "text/plain"
READ_SUBRESOURCES = ("status", "scale", "log")
REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews"})
"""Kinds of questions about the caller's own rights: they are posted, and nothing is kept of them."""

_SEGMENT = r"[A-Za-z0-9%._~-]+"
_API = rf"/(?:api|apis/{_SEGMENT})/{_SEGMENT}"
_OBJECTS = later(
    rf"{_API}(?:/namespaces/{_SEGMENT})?/{_SEGMENT}(?:/{_SEGMENT}(?:/(?:{'|'.join(READ_SUBRESOURCES)}))?)?"
)
_DISCOVERY = later(rf"/version|/api|/apis|{_API}|/openapi/v3(?:/{_SEGMENT}){{0,4}}")
_REVIEW = later(rf"/apis/authorization\.k8s\.io/v1/(?:{'|'.join(sorted(REVIEWS))})")
# What turns a read into a stream without an end, or into something else than a read.
_NOT_FOR_READS = frozenset({"watch", "follow", "dryRun", "fieldManager", "force"})
_NO_PATH_VALUES = frozenset({"", ".", ".."})
_NO_PATH_CHARACTERS = frozenset("/%")
"""What no name in a path of Kubernetes may have: its server decodes a path before it takes it apart, so that an encoded
slash would lead to another object, namespace or subresource than the one that rules saw."""
_ENCODED = later(r"%2F|%25", re.IGNORECASE)


def cluster_request(
    operation_id: str,
    cluster: str,
    method: str,
    parts: Iterable[str],
    *,
    query: Iterable[tuple[str, str]] = (),
    body: Any = None,
    content_type: str = JSON,
    accept: str = JSON,
    accepts: str = JSON,
    idempotent: bool | None = None,
) -> HttpCall:
    """Return a request to the Kubernetes API of a cluster.

    Args:
        operation_id: what errors and the audit call it: the tool.
        cluster: the cluster's id, in lower case.
        method: of HTTP.
        parts: of the path, not yet encoded.
        query: names and values, not yet encoded.
        body: JSON to be sent; a text goes as it is.
        content_type: of the body.
        accept: the media types wanted, as the Accept header has them.
        accepts: media type of a successful answer.
        idempotent: it may be sent again after a lost answer; only reads may if not given.

    Raises:
        InvalidArguments: the cluster's id is none, or a part of the path is empty, '.' or '..', or has '/' or '%'.
    """
    parts = tuple(parts)
    if CLUSTER_ID.fullmatch(cluster) is None:
        raise InvalidArguments([Problem("cluster_id", "must be the id of a cluster, or the name of one")])
    if wrong := [part for part in parts if part in _NO_PATH_VALUES or _NO_PATH_CHARACTERS & {*part}]:
        raise InvalidArguments([Problem("", f"{wrong[0]!r} is no name of anything in a cluster")])
    content = None if body is None else body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return HttpCall(
        operation_id=operation_id,
        method=method,
        path="/" + "/".join(quote(part, safe="") for part in parts),
        query=tuple(query),
        headers={"Accept": accept},
        body=None if content is None else content.encode(errors="backslashreplace"),
        content_type=content_type,
        idempotent=method == "GET" if idempotent is None else idempotent,
        accepts=accepts,
        may_answer_nothing=accepts == TEXT,
        cluster=cluster,
    )


def is_cluster_read(call: HttpCall) -> bool:
    """Say whether a request to a Kubernetes API only reads: by method, path, query and headers; in doubt it does not.

    A proxy, exec, attach or port-forward below an object is no read, whatever its method is, nor is a watch.
    """
    if CLUSTER_ID.fullmatch(call.cluster) is None or not call.headers.keys() <= {"Accept"}:
        return False
    if _ENCODED.search(call.path) or any(part in _NO_PATH_VALUES for part in call.path.split("/")[1:]):
        return False
    if call.method == "POST":
        return _REVIEW.fullmatch(call.path) is not None and not call.query and _asks_about_itself(call.body)
    names = {name for name, _ in call.query}
    reads = call.method == "GET" and call.body is None and not names & _NOT_FOR_READS
    return reads and any(each.fullmatch(call.path) for each in (_OBJECTS, _DISCOVERY))


def _asks_about_itself(body: bytes | None) -> bool:
    try:
        document = json.loads(body or b"")
    except ValueError:
        return False
    return isinstance(document, Mapping) and f"{document.get('kind', '')}s".lower() in REVIEWS
