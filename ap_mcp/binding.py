"""Turns checked arguments into the one HTTP request of an operation; pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from ap_mcp.errors import SpecError
from ap_mcp.specs import FILE, JSON, MULTIPART, Argument, Operation, Precondition, Schema, tokens

ABSENT: Final = object()

# As browsers, curl and the vendor's SDK write a file name: UTF-8 as it is, quotes and control characters escaped.
_FILE_NAME_ESCAPES: Final = {code: f"%{code:02X}" for code in (*range(0x20), ord('"'), 0x7F)}


@dataclass(frozen=True, slots=True)
class FilePart:
    """A local file that is sent as one part of a multipart body."""

    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request, complete but for its host and its signature.

    Attributes:
        path: percent-encoded, starting with `/`.
        query: names and values, not yet encoded, in the order they are sent.
        permission: IAM action it needs, as errors name it.
        precondition: what must be so in the account before it can succeed.
        accepts: media type of a successful answer; None if it has no body.
        may_answer_nothing: a successful answer may lack the body that `accepts` speaks of.
        cluster: id of the cluster whose Kubernetes API it is for; empty: it is for CCE or IAM.
    """

    operation_id: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    content_type: str = JSON
    idempotent: bool = False
    permission: str | None = None
    precondition: Precondition | None = None
    accepts: str | None = JSON
    may_answer_nothing: bool = False
    cluster: str = ""


def bind(
    operation: Operation,
    arguments: Mapping[str, Any],
    *,
    project_id: str,
    filled: Mapping[str, Any] | None = None,
    files: Mapping[str, FilePart] | None = None,
) -> HttpCall:
    """Build the request of `operation` for arguments that `check_arguments` has passed.

    Args:
        operation: what to call.
        arguments: flat tool arguments.
        project_id: of the account; never an argument.
        filled: values read from the cloud, by the pointer of their `fill`; what was merged holds what was given.
        files: content of the file arguments, by argument name.
    """
    path = {"project_id": project_id}
    fixed = [each for each in operation.parameters if each["in"] == "query" and _is_fixed(each)]
    query = [(str(each["name"]), _text(each["schema"]["const"])) for each in fixed]
    headers: dict[str, str] = {}
    draft: Any = {}
    for pointer, value in (filled or {}).items():
        draft = _put(draft, tokens(pointer), value)
    merged = {fill.pointer for fill in operation.fill if fill.merge} & {*(filled or {})}
    for name, value in {**arguments, **(files or {})}.items():
        argument = operation.arguments[name]
        for place in argument.places:
            kind, _, wire = place.removeprefix("$request.").partition(".")
            if place.startswith("/"):
                draft = draft if place in merged else _put(draft, tokens(place), _spread(argument, value))
            elif kind == "path":
                path[wire] = str(value)
            elif kind == "query":
                query += [(wire, _text(item)) for item in (value if isinstance(value, list) else [value])]
            else:
                headers[wire] = _text(value)
    content_type, body = _encoded(operation, draft)
    return HttpCall(
        operation_id=operation.id,
        method=operation.method,
        path=_filled_path(operation.path, path),
        query=tuple(query),
        headers=headers,
        body=body,
        content_type=content_type,
        idempotent=operation.idempotent,
        permission=operation.iam_action,
        precondition=operation.precondition,
        accepts=operation.response_type,
        may_answer_nothing=operation.may_answer_nothing,
    )


def complete(operation: Operation, node: Schema, draft: Any, *, required: bool) -> Any:
    """Return what is sent for `node`: the draft plus constants and defaults; ABSENT if nothing is.

    An object is sent if it is required or something below it was given. Its constants, and the defaults of its
    required properties, go with it. JSON inside a string becomes that string.
    """
    node = operation.follow(node)
    if "contentSchema" in node:
        inner = complete(operation, node["contentSchema"], draft, required=required)
        return inner if inner is ABSENT else json.dumps(inner, ensure_ascii=False, separators=(",", ":"))
    if "properties" in node and (required or draft is not ABSENT):
        return _complete_object(operation, node, {} if draft is ABSENT else draft)
    if draft is ABSENT:
        return _own_value(node, required=required)
    if isinstance(draft, list) and "items" in node:
        return [complete(operation, node["items"], item, required=True) for item in draft]
    if isinstance(draft, Mapping) and isinstance(node.get("additionalProperties"), Mapping):
        entries = node["additionalProperties"]
        return {name: complete(operation, entries, item, required=True) for name, item in draft.items()}
    # JSON Schema takes 7.0 for an integer; the service does not.
    return int(draft) if node.get("type") == "integer" and isinstance(draft, float) else draft


def _own_value(node: Schema, *, required: bool) -> Any:
    if "const" in node and not node.get("readOnly"):
        return node["const"]
    return node["default"] if required and "default" in node else ABSENT


def _complete_object(operation: Operation, node: Schema, draft: Any) -> Any:
    if not isinstance(draft, Mapping):
        return draft
    known = {
        name: complete(operation, child, draft.get(name, ABSENT), required=name in node.get("required", ()))
        for name, child in node["properties"].items()
    }
    free = {name: value for name, value in draft.items() if name not in known}
    return {name: value for name, value in {**known, **free}.items() if value is not ABSENT}


def _spread(argument: Argument, value: Any) -> Any:
    """Turn a flat map or a list of flat objects into the list the API wants, a list of texts into one text."""
    if argument.entries:
        key, content = tokens(argument.entries["key"]), tokens(argument.entries["value"])
        return [_put(_put({}, key, name), content, item) for name, item in value.items()]
    if argument.items:
        return [_item(argument.items, item) for item in value]
    return argument.joined.join(value) if argument.joined else value


def _item(places: Mapping[str, str], flat: Mapping[str, Any]) -> Any:
    item: Any = {}
    for name, value in flat.items():
        item = _put(item, tokens(places[name]), value)
    return item


def _put(draft: Any, path: list[str], value: Any) -> Any:
    """Return `draft` with `value` at `path`; `*` spreads a list over the items of an array."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if head == "*":
        return [_put({}, rest, item) for item in value]
    base = draft if isinstance(draft, dict) else {}
    return {**base, head: _put(base.get(head, {}), rest, value)}


def _is_fixed(parameter: Schema) -> bool:
    """Say whether a parameter goes with every request: it has one value only, and that by default."""
    schema: Schema = parameter["schema"]
    return "const" in schema and "default" in schema


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _filled_path(template: str, values: Mapping[str, str]) -> str:
    """Fill a path template; only unreserved characters of a value stay as they are."""
    filled = "/".join(
        quote(values[part[1:-1]], safe="") if part.startswith("{") else part for part in template.split("/")
    )
    if any(part in {"", ".", ".."} for part in filled.split("/")[1:]):
        raise SpecError(f"{template}: a path value is empty, '.' or '..'; the argument check must refuse it")
    return filled


def _encoded(operation: Operation, draft: Any) -> tuple[str, bytes | None]:
    if operation.body is None:
        return JSON, None
    body = complete(operation, operation.body, draft or ABSENT, required=operation.body_required)
    if body is ABSENT:
        return JSON, None
    if operation.content_type == MULTIPART:
        return _multipart(body.items())
    # Half of a character that the cloud itself wrote, in settings that are merged, goes back as its JSON escape.
    return JSON, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def _multipart(parts: Iterable[tuple[str, Any]]) -> tuple[str, bytes]:
    """Encode form parts as RFC 7578; the boundary is a digest of the content, so equal input gives equal bytes."""
    encoded: list[bytes] = []
    for name, value in parts:
        disposition = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, FilePart):
            filename = value.filename.translate(_FILE_NAME_ESCAPES)
            head = f'{disposition}; filename="{filename}"\r\nContent-Type: {FILE}'
            encoded.append(head.encode(errors="replace") + b"\r\n\r\n" + value.content)
        else:
            encoded.append(f"{disposition}\r\n\r\n{_text(value)}".encode())
    boundary = hashlib.sha256(b"".join(encoded)).hexdigest()[:32]
    lines = [f"--{boundary}\r\n".encode() + part + b"\r\n" for part in encoded]
    return f"{MULTIPART}; boundary={boundary}", b"".join(lines) + f"--{boundary}--\r\n".encode()
