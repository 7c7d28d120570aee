"""Reads what the cloud and the gateways before it send instead of an answer, in every known shape; never fails."""

import gc
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

from ap_mcp.errors import SAID_LIMIT
from ap_mcp.service_texts import codes_of, inside, others_of, own_codes, texts_of

HIDDEN = "***"
TOO_DEEP = "nested too deeply"
MOST_VALUES = 1_000_000
"""Values of one answer: each takes its time and memory, however short it is."""
_LARGE = 256 * 1024
_EXCERPT = 20_000
_SHORTEST_SECRET = 6
_ENCODED = "encoded_authorization_message"
_MESSAGES = ("errorMessage", "error_msg", "errorMsg", "message", "title", "error_description", "detail")
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)
_ACTION = re.compile(r"\b[a-zA-Z]{2,20}:[a-zA-Z]{2,40}:[a-zA-Z]{2,60}\b")


@dataclass(frozen=True, slots=True)
class Came:
    """A body and the JSON that it was parsed from, which goes to another process in its place.

    To write down what was parsed keeps the event loop from other work for longer than anything else, and fails where
    it is deep.

    Attributes:
        body: parsed JSON, or anything else.
        content: what it was parsed from; empty if it was not.
    """

    body: Any
    content: bytes = b""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_parsed_again, (self.content,)) if self.content else (Came, (self.body,))


def _parsed_again(content: bytes) -> Came:
    """Return what another process has sent."""
    return Came(parse_json(content), content)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error body says, as far as it says it."""

    code: str = ""
    other_codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    names_the_cause: bool = False
    reason: str = ""
    request_id: str = ""
    denied_action: str = ""
    encoded: str = ""
    others: str = ""

    @property
    def message(self) -> str:
        """All that it says, as one text to search in."""
        return "\n".join(self.texts)


def parse_json(content: bytes) -> Any:
    """Return the parsed JSON; halves of characters, which nothing here could pass on, become question marks.

    Raises:
        ValueError: it is none, is cut off, or is nested beyond reason.
    """
    try:
        with _nothing_collected(len(content)):
            document = json.loads(content)
        if _HALF.search(content):
            document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    return document


def holds_too_many(content: bytes) -> bool:
    """Say whether JSON holds more values than are worked on, whose number counts for more than their bytes."""
    if content.count(b",") <= MOST_VALUES:
        return False
    # Commas within texts are none between values.
    return _TEXT.sub(b"", content).count(b",") > MOST_VALUES


@contextmanager
def _nothing_collected(size: int) -> Iterator[None]:
    """Keep the garbage collector from going through all that is read of a large document, of which nothing is garbage.

    It takes a third of the time for which the event loop is kept.
    """
    if size < _LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def is_html(content: bytes, media_type: str = "") -> bool:
    """Say whether this is a page for people; JSON is none, whatever type its sender gives it."""
    start = content[:200].lstrip().lower()
    return (media_type == "text/html" and not start.startswith((b"{", b"["))) or start.startswith(
        (b"<!doctype html", b"<html")
    )


def read_error_body(content: bytes) -> ErrorBody:
    """Take an error body apart, whatever it is."""
    try:
        document = parse_json(content)
    except ValueError:
        return _of_text(content)
    # What is said beside the texts is masked, which takes long for what is large.
    return _from_document(document, with_others=len(content) <= _EXCERPT) or _of_text(content)


def holds_error(document: Any) -> bool:
    """Say whether JSON that came with a success is an error nevertheless."""
    if not isinstance(document, Mapping):
        return False
    if document.get("kind") == "Status" and document.get("status") == "Failure":
        return True
    inner = document.get("error")
    if isinstance(inner, Mapping) and (document.keys() <= {"error", "request_id"} or own_codes(inner)):
        return True
    return bool(own_codes(document)) and any(_text(document.get(name)) for name in _MESSAGES)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in `text`: gateways repeat the request they refuse, token and all.

    What is too short to be one is left alone, or it would be replaced within words.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def _of_text(content: bytes) -> ErrorBody:
    parts = _plain(content)
    said = [each.text for each in texts_of(parts, SAID_LIMIT)] if is_html(content) else parts
    return ErrorBody(texts=tuple(filter(None, said)))


def _from_document(document: Any, *, with_others: bool) -> ErrorBody | None:
    """Return what JSON says; None if it is no object and says nothing."""
    own: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    inner = own.get("error")
    flat: Mapping[str, Any] = {**own, **inner} if isinstance(inner, Mapping) else own
    said = texts_of(document, SAID_LIMIT, (_ENCODED,)) if isinstance(document, Mapping | list) else []
    word = _text(flat.get("reason")).strip()
    reason = "" if " " in word else word
    shown = [each for each in said if each.text.strip() != reason]
    if not isinstance(document, Mapping) and not any(each.names_the_cause for each in shown):
        return None
    codes, encoded = codes_of(document, (_ENCODED,)), _encoded(document)
    known = [*codes, word, *(each.text for each in said)]
    action = next((found for each in shown if (found := _ACTION.search(each.text))), None)
    return ErrorBody(
        code=codes[0] if codes else "",
        other_codes=tuple(codes[1:]),
        texts=tuple(each.text for each in shown) or (() if reason or encoded else (_dense(document),)),
        names_the_cause=any(each.names_the_cause for each in shown),
        reason=reason,
        request_id=_text(flat.get("request_id")) or _text(flat.get("requestId")),
        denied_action=action.group() if action else "",
        encoded=encoded,
        others=others_of(document, known, (_ENCODED,)) if with_others and (shown or reason) else "",
    )


def _encoded(document: Any) -> str:
    """Return the encoded reason of a refusal, wherever it stands; empty if there is none."""
    return next(
        (_text(each[_ENCODED]) for each in inside(document) if isinstance(each, Mapping) and _ENCODED in each), ""
    )


def _dense(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return "" if value in (None, True, False, {}, []) else json.dumps(value, ensure_ascii=False)


def _plain(content: bytes) -> list[str]:
    """Return a text, or the readable parts of a page: its title, and what it shows, which may name an event."""
    if len(content) > 2 * _EXCERPT:
        content = content[:_EXCERPT] + b" ... " + content[-_EXCERPT:]
    text = content.decode("utf-8", errors="replace")
    if not is_html(content):
        return [text]
    title = _TITLE.search(text)
    parts = [title.group(1), f"{text[: title.start()]}<{text[title.end() :]}"] if title else [text]
    return [" ".join(unescape(_TAG.sub(" ", each)).split()) for each in parts]
