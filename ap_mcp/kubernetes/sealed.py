"""Shows objects without what is secret in them: keys, sizes and a tag to compare by in place of values; pure."""

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ap_mcp.cloud.bodies import Came
from ap_mcp.masking import PLACEHOLDER, contains_placeholder, mask
from ap_mcp.summaries.base import Part
from ap_mcp.summaries.pages import distinct
from ap_mcp.vendor import get, text
from ap_mcp.wording import clean

SECRET, CONFIG_MAP, BINARY = "Secret", "ConfigMap", "binaryData"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
VALUE_LIMIT = 200
ENTRIES_ROOM, ENTRY_LENGTH = 24_000, 60
"""Characters that the entries of one answer take, and those that each takes beside its name and value."""
TAG_LENGTH = 8
_KEY = secrets.token_bytes(32)
"""Of this process: the tag of a short value could be guessed by trying all, if its key were known."""


class Key(Part):
    """An entry of a Secret or ConfigMap.

    Attributes:
        bytes: of its value, once decoded.
        tag: the same for the same value, as long as this server runs; of what is hidden only.
        value: of what is no secret; head and tail of a long one.
    """

    key: str
    bytes: int
    tag: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """An object without secrets, and a page of the entries of one that holds entries.

    Attributes:
        body: the object.
        keys: the entries on the page; None for an object of any other kind.
        total: how many entries there are.
        cursor: where the next page begins; empty if this is the last one.
        is_lost: there is no entry by the cursor that was given, so that this is the first page.
    """

    body: dict[str, Any]
    keys: list[Key] | None
    total: int = 0
    cursor: str = ""
    is_lost: bool = False


def page_of(came: Came, kind: str, cursor: str = "") -> Sealed:
    """Return an object as it may be shown, with the page of its entries that begins behind the one by the cursor.

    Args:
        came: as the cluster answered.
        kind: with its group.
        cursor: of the page before; empty for the first one.
    """
    body, masked = came.body, seal(came.body, kind)
    if kind not in (SECRET, CONFIG_MAP):
        return Sealed(masked, None)
    entries = list(_entries(body, masked))
    names = distinct([each.name for each in entries])
    start = names.index(cursor) + 1 if cursor in names else 0
    keys, room = list[Key](), ENTRIES_ROOM
    for entry in entries[start:]:
        key = entry.shown(kind)
        room -= ENTRY_LENGTH + len(key.key) + len(key.value or "")
        if room < 0 and keys:
            break
        keys.append(key)
    end = start + len(keys)
    onward = names[end - 1] if end < len(entries) else ""
    return Sealed(masked, keys, len(entries), onward, is_lost=bool(cursor) and cursor not in names)


def seal(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return an object as it may be shown; what the server keeps for itself is dropped.

    Args:
        body: as the cluster answered.
        kind: with its group: an answer that says another kind is masked as this one nevertheless.
    """
    shown = {**body, "metadata": _metadata(body.get("metadata"))}
    if kind == SECRET:
        shown["kind"] = SECRET
    if isinstance(shown.get(BINARY), Mapping):
        # It cannot be read, and what it holds is not known here.
        shown[BINARY] = dict.fromkeys(shown[BINARY], PLACEHOLDER)
    masked: dict[str, Any] = mask(shown)
    return masked


def revealed(before: Any, after: Any, kind: str, sent: bytes | None = None) -> list[str]:
    """Return where an object would show what is hidden in it now, as a patch that copies a value would have it.

    Args:
        before: the object as it is.
        after: as it would be.
        kind: with its group.
        sent: JSON of the request: what the caller wrote there is known to it.
    """
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return []
    hidden = hidden_in(before, kind)
    if not hidden:
        return []
    if sent is not None:
        hidden -= {value for _, value in _texts(json.loads(sent))}
    return sorted({way for way, value in _texts(seal(after, kind)) if value in hidden})


def hidden_in(body: Any, kind: str) -> set[str]:
    """Return the values of an object that are not shown."""
    if not isinstance(body, Mapping):
        return set()
    return {value for _, value in _texts(_without_managers(body))} - shown_in(body, kind)


def shown_in(body: Any, kind: str) -> set[str]:
    """Return the texts of an object that are shown as they are."""
    return {value for _, value in _texts(seal(body, kind))} if isinstance(body, Mapping) else set()


def hides_at(body: Any, kind: str, pointer: str) -> bool:
    """Say whether something at a place of an object, or below it, is not shown."""
    if not isinstance(body, Mapping):
        return False
    there = {value for _, value in _texts({"": get(body, pointer)})}
    return bool(there - {value for _, value in _texts({"": get(seal(body, kind), pointer)})})


def supplied_in(after: Any, body: Any, before: Any, kind: str) -> Any:
    """Return of an object what a caller supplied by a list of operations, and what was shown before.

    Args:
        after: the object as it would be.
        body: the operations.
        before: the object as it is.
        kind: with its group.
    """
    return _only(after, {value for _, value in _texts(body)} | shown_in(before, kind))


def _only(value: Any, known: set[str]) -> Any:
    if isinstance(value, Mapping):
        made = {key: _only(each, known) for key, each in value.items()}
        return {key: each for key, each in made.items() if each is not None}
    if isinstance(value, list):
        entries = [_only(each, known) for each in value]
        return None if any(each is None for each in entries) else entries
    return value if not isinstance(value, str) or not value or value in known else None


def _without_managers(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = body.get("metadata")
    kept = (
        {key: each for key, each in metadata.items() if key != "managedFields"} if isinstance(metadata, Mapping) else {}
    )
    return {**body, "metadata": kept}


def _texts(value: Any, way: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in data that is not empty, with the way to it."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each, f"{way}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _texts(each, f"{way}[{number}]")
    elif isinstance(value, str) and value:
        yield way, value


def _metadata(found: Any) -> dict[str, Any]:
    metadata = dict(found) if isinstance(found, Mapping) else {}
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if isinstance(annotations, Mapping) and LAST_APPLIED in annotations:
        metadata["annotations"] = {key: each for key, each in annotations.items() if key != LAST_APPLIED}
    return {key: each for key, each in metadata.items() if each not in ({}, [])}


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a Secret or ConfigMap: where it stands, its name as shown, its value, and what is seen of it."""

    place: str
    name: str
    value: Any
    seen: Any

    def shown(self, kind: str) -> Key:
        """Return it as an answer has it."""
        is_encoded = self.place == BINARY or (kind == SECRET and self.place == "data")
        content = _content(self.value, encoded=is_encoded)
        hides = kind == SECRET or contains_placeholder({"value": self.seen}) is not None
        is_text = kind != SECRET and self.place == "data" and isinstance(self.seen, str)
        return Key(
            key=self.name,
            bytes=len(content),
            tag=tag_of(content) if hides else None,
            value=clean(str(self.seen), VALUE_LIMIT) if is_text else None,
        )


def _entries(body: Mapping[str, Any], masked: Mapping[str, Any]) -> Iterator[_Entry]:
    for place in ("data", "stringData", BINARY):
        raw, hidden = body.get(place), masked.get(place)
        if not isinstance(raw, Mapping):
            continue
        shown = list(hidden.values()) if isinstance(hidden, Mapping) else []
        for at, (key, value) in enumerate(raw.items()):
            seen = shown[at] if at < len(shown) else None
            yield _Entry(place, text(mask(str(key))), value, seen)


def tag_of(content: bytes) -> str:
    """Return a short tag of a value, by which it can be compared with others that this process has seen."""
    return hmac.new(_KEY, content, sha256).hexdigest()[:TAG_LENGTH]


def _content(value: Any, *, encoded: bool) -> bytes:
    raw = (value if isinstance(value, str) else text(value)).encode(errors="surrogatepass")
    if not encoded:
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        return raw
