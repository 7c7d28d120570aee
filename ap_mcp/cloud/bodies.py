"""Reads what the cloud and the gateways before it send instead of an answer, in every known shape; never fails."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HIDDEN = "***"
_EXCERPT = 20_000
_SHORTEST_SECRET = 6
_DOCUMENTED, _OTHER = "errorCode", "error_code"
_MESSAGES = ("errorMessage", "error_msg", "errorMsg", "message", "title", "error_description", "detail")
_NO_ERROR = {"", "0", "200", "success", "ok"}
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)
_ACTION = re.compile(r"\b[a-zA-Z]{2,20}:[a-zA-Z]{2,40}:[a-zA-Z]{2,60}\b")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error body says, as far as it says it."""

    code: str = ""
    other_code: str = ""
    message: str = ""
    reason: str = ""
    request_id: str = ""
    denied_action: str = ""
    is_encoded: bool = False


def parse_json(content: bytes) -> Any:
    """Return the parsed JSON; halves of characters, which nothing here could pass on, become question marks.

    Raises:
        ValueError: it is none, is cut off, or is nested beyond reason.
    """
    try:
        document = json.loads(content)
        if _HALF.search(content):
            document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return document


def is_html(content: bytes, media_type: str = "") -> bool:
    """Say whether this is a page for people."""
    start = content[:200].lstrip().lower()
    return media_type == "text/html" or start.startswith((b"<!doctype html", b"<html"))


def read_error_body(content: bytes) -> ErrorBody:
    """Take an error body apart, whatever it is."""
    try:
        document = parse_json(content)
    except ValueError:
        return ErrorBody(message=_plain(content))
    if not isinstance(document, Mapping):
        return ErrorBody(message=_plain(content))
    return _from_document(document)


def holds_error(document: Any) -> bool:
    """Say whether JSON that came with a success is an error nevertheless."""
    if not isinstance(document, Mapping):
        return False
    if document.get("kind") == "Status" and document.get("status") == "Failure":
        return True
    inner = document.get("error")
    if isinstance(inner, Mapping) and (document.keys() <= {"error", "request_id"} or _codes(inner)):
        return True
    return bool(_codes(document)) and any(_text(document.get(name)) for name in _MESSAGES)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in `text`: gateways repeat the request they refuse, token and all.

    What is too short to be one is left alone, or it would be replaced within words.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def _from_document(document: Mapping[str, Any]) -> ErrorBody:
    inner = document.get("error")
    flat: Mapping[str, Any] = {**document, **inner} if isinstance(inner, Mapping) else document
    codes = _codes(flat)
    message = next((text for name in _MESSAGES if (text := _text(flat.get(name)))), "")
    if not message:
        message = inner if isinstance(inner, str) else json.dumps(document, ensure_ascii=False)
    action = _ACTION.search(message)
    return ErrorBody(
        code=codes[0] if codes else "",
        other_code=codes[1] if len(codes) > 1 else "",
        message=message,
        reason=_text(flat.get("reason")),
        request_id=_text(flat.get("request_id")) or _text(flat.get("requestId")),
        denied_action=action.group() if action else "",
        is_encoded=bool(flat.get("encoded_authorization_message")),
    )


def _codes(document: Mapping[str, Any]) -> list[str]:
    """Return the vendor's codes, the documented one first; a bare HTTP status is no code."""
    found = [_text(document.get(name)) for name in (_DOCUMENTED, _OTHER)]
    generic = _text(document.get("code"))
    if not any(found) and not re.fullmatch(r"\d{3}", generic):
        found.append(generic)
    return list(dict.fromkeys(code for code in found if code.lower() not in _NO_ERROR))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return "" if value in (None, True, False, {}, []) else json.dumps(value, ensure_ascii=False)


def _plain(content: bytes) -> str:
    """Return the readable part of a page or a text."""
    text = content[:_EXCERPT].decode("utf-8", errors="replace")
    if not is_html(content):
        return text
    title = _TITLE.search(text)
    return " ".join(_TAG.sub(" ", title.group(1) if title else text).split())
