"""Reads what a request carries: its body within limits, its JSON, its multipart parts."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from ap_mcp.simulator.error_bodies import GatewayRefusal
from ap_mcp.simulator.registry import SimulatedError, invalid
from ap_mcp.simulator.validation import LARGEST_JSON, parse_json
from ap_mcp.specs import MULTIPART, Operation

LARGEST_BODY = 12 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A body twice: as its schema describes it (form parts are strings) and as a handler takes it."""

    checked: Any = None
    handled: Any = None


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """Read a whole request body.

    Raises:
        GatewayRefusal: 413 as soon as it is known to be too large.
    """
    announced = headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() and len(announced) < 16 else 0
    body = bytearray()
    while max(size, len(body)) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if len(body) <= LARGEST_BODY and not message.get("more_body", False):
            return bytes(body)
    raise GatewayRefusal(413, "APIGW.0201", f"Request entity too large: at most {LARGEST_BODY} bytes are accepted")


async def parse_body(operation: Operation, headers: Mapping[str, str], body: bytes, service: str) -> Content:
    """Read a body as the operation's content type.

    Raises:
        SimulatedError: 400 for another content type, or a body that cannot be read.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != operation.content_type:
        reason = f"Content-Type must be {operation.content_type}, not {media_type!r}"
        raise SimulatedError(400, "CCE.01400006", "Content type not supported", reason=reason)
    if not body:
        return Content()
    try:
        if media_type == MULTIPART:
            return await _multipart(headers, body)
        value = parse_json(body)
    except ValueError as error:
        raise invalid(f"the body cannot be read as {media_type}: {error}", service=service) from error
    return Content(value, value)


async def _multipart(headers: Mapping[str, str], body: bytes) -> Content:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(Headers(headers), stream(), max_files=1, max_fields=1, max_part_size=LARGEST_JSON)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ValueError(error.message) from error
    try:
        return await _content(form)
    finally:
        await form.close()


async def _content(form: FormData) -> Content:
    checked: dict[str, str] = {}
    handled: dict[str, Any] = {}
    for name, part in form.multi_items():
        if isinstance(part, UploadFile) != (name == "content"):
            raise ValueError(f"the part {name!r} must {'' if name == 'content' else 'not '}carry a file name")
        if isinstance(part, UploadFile):
            handled |= {"content": await part.read(), "filename": part.filename or ""}
            checked["content"] = handled["content"].decode("latin-1")
        else:
            handled[name] = parse_json(part.encode())
            checked[name] = part
    return Content(checked, handled)
