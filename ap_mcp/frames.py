"""Lines on standard input, and bodies over HTTP, that are no message as the SDK takes them: what they mean instead.

Without an answer a client waits until its own time runs out, and nobody learns why.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    RequestId,
    jsonrpc_message_adapter,
)
from mcp_types.version import is_version_at_least
from pydantic import ValidationError
from pydantic_core import from_json

LINE = "line"
NO_BATCHES_SINCE = "2025-06-18"
NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def read_anew(sent: bytes, version: str | None, way: str = LINE) -> Iterator[SessionMessage | JSONRPCError]:
    """Yield the messages in what was sent, and what is answered to what is none; nothing for what is blank.

    Args:
        sent: a line, or the body of a request.
        version: of the protocol, once it is agreed.
        way: what each message has of its own; batches are taken in lines only.
    """
    text = sent.removeprefix(BOM_UTF8).strip()
    if not text:
        return
    try:
        found = from_json(text)
    except ValueError as error:
        yield _refused(None, PARSE_ERROR, f"{error}. Each {way} must be one JSON-RPC message in UTF-8")
        return
    if not isinstance(found, list):
        yield _message(found)
    elif way != LINE:
        yield _refused(None, INVALID_REQUEST, f"batches are not taken here: send each message in a {way} of its own")
    elif version is None or is_version_at_least(version, NO_BATCHES_SINCE):
        why = f"protocol {version} has no batches" if version else "the handshake cannot be in a batch"
        yield _refused(None, INVALID_REQUEST, f"{why}: send each message on a line of its own")
    elif found:
        yield from map(_message, found)
    else:
        yield _refused(None, INVALID_REQUEST, "this batch is empty")


def _message(found: Any) -> SessionMessage | JSONRPCError:
    if isinstance(found, dict) and "method" in found and "id" in found and _id_of(found) is None:
        return _refused(None, INVALID_REQUEST, _faults(found))
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_python(found, by_name=False))
    except ValidationError:
        refused = _refused(_id_of(found), INVALID_REQUEST, _faults(found))
        is_answer = isinstance(found, dict) and "method" not in found and found.keys() & {"result", "error"}
        # Whoever waits for that answer learns that it came, and the client is not answered.
        return SessionMessage(refused) if is_answer and refused.id is not None else refused


def _id_of(found: Any) -> RequestId | None:
    value = found.get("id") if isinstance(found, dict) else None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _faults(found: Any) -> str:
    """Say what is wrong with a message, without anything of what it says."""
    if not isinstance(found, dict):
        return f"a message must be an object, not {_named(found)}"
    said = [] if found.get("jsonrpc") == "2.0" else ['"jsonrpc" must be "2.0"']
    if "id" in found and _id_of(found) is None:
        said.append(f'"id" must be a text or a whole number, not {_named(found["id"])}')
    if "method" not in found and not found.keys() & {"result", "error"}:
        said.append('"method" is missing')
    elif "method" in found and not isinstance(found["method"], str):
        said.append(f'"method" must be a text, not {_named(found["method"])}')
    wanted = ("params",) if "method" in found else ("result", "error")
    said += [
        f'"{key}" must be an object, not {_named(found[key])}'
        for key in wanted
        if key in found and not isinstance(found[key], dict)
    ]
    return "; ".join(said) or "it is neither a request nor a notification nor an answer"


def _named(value: Any) -> str:
    return NAMES.get(type(value), "null")


def _refused(request_id: RequestId | None, code: int, why: str) -> JSONRPCError:
    what = "Parse error" if code == PARSE_ERROR else "Invalid request"
    return JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=f"{what}: {why}"))
