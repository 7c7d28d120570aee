"""Reads request bodies in the protobuf form that clients written in Go send for built-in kinds.

`data/messages.json.gz`, made by `tools/kubernetes_data.py` from the Go modules k8s.io/api and k8s.io/apimachinery
(© The Kubernetes Authors, Apache License 2.0), has the fields of each message.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ap_mcp.simulator.kubernetes.schemas import load, name_of
from ap_mcp.simulator.kubernetes.statuses import bad_request, unsupported_media_type
from ap_mcp.simulator.world import Row

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MACHINERY = "k8s.io.apimachinery.pkg."
_DELETE_OPTIONS = f"{_MACHINERY}apis.meta.v1.DeleteOptions"
_UNKNOWN = f"{_MACHINERY}runtime.Unknown"


def decoded(body: bytes) -> Row:
    """Read an object from its envelope.

    Raises:
        StatusError: 415 for a kind whose messages are not known, 400 for what cannot be read.
    """
    if not body.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _message(_UNKNOWN, body[len(MAGIC) :])
        api_version, kind = str(envelope.get("apiVersion", "")), str(envelope.get("kind", ""))
        name = _message_of(api_version, kind)
        if name is None:
            raise unsupported_media_type(["application/json", "application/yaml"])
        content = _message(name, base64.b64decode(envelope.get("raw", "")))
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"unable to decode protobuf: {error}") from error
    return {"apiVersion": api_version, "kind": kind, **content}


def _message_of(api_version: str, kind: str) -> str | None:
    if kind == "DeleteOptions":
        return _DELETE_OPTIONS
    group, _, version = api_version.rpartition("/")
    schema = name_of(group, version, kind)
    if schema is None:
        return None
    name = schema.replace("io.k8s.api.", "k8s.io.api.", 1)
    return name if name in load("messages") else None


def _message(name: str, data: bytes) -> Row:
    fields: Mapping[int, tuple[str, str, str]] = {row[0]: tuple(row[1:]) for row in load("messages")[name]}
    made: Row = {}
    for number, value in _fields(data):
        if number not in fields:
            continue
        field, type_, flags = fields[number]
        if "m" in flags:
            entry = dict(_fields(value))
            key = bytes(entry.get(1, b"")).decode()
            made.setdefault(field, {})[key] = _value(type_, entry.get(2, b"" if type_ not in ("int", "bool") else 0))
        elif "r" in flags:
            made.setdefault(field, []).append(_value(type_, value))
        elif "i" in flags:
            made |= _value(type_, value)
        else:
            read = _value(type_, value)
            if "p" in flags or read not in ("", 0, False, None, {}):
                made[field] = read
    return made


def _value(type_: str, value: Any) -> Any:
    simple = _SIMPLE.get(type_)
    if simple is not None:
        return simple(value)
    special = _SPECIAL.get(type_.removeprefix(_MACHINERY))
    return special(value) if special is not None else _message(type_, value)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        wire, value = tag & 7, b""
        if wire == _VARINT:
            number, place = _varint(data, place)
            yield tag >> 3, number
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in (_FIXED_64, _FIXED_32):
            size = 8 if wire == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {wire} is not used")
        value, place = data[place : place + size], place + size
        if len(value) < size:
            raise ValueError("unexpected end of data")
        yield tag >> 3, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, place


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(data: bytes) -> str | None:
    parts = dict(_fields(data))
    if not parts:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=_signed(parts.get(1, 0)))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(data: bytes) -> str | None:
    text, parts = _time(data), dict(_fields(data))
    return text and f"{text[:-1]}.{parts.get(2, 0) // 1000:06d}Z"


def _quantity(data: bytes) -> str:
    return bytes(dict(_fields(data)).get(1, b"")).decode()


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    return bytes(parts.get(3, b"")).decode() if parts.get(1) == 1 else _signed(parts.get(2, 0))


def _json(data: bytes) -> Any:
    raw = bytes(dict(_fields(data)).get(1, b""))
    return json.loads(raw) if raw else None


def _duration(data: bytes) -> str:
    return f"{_signed(dict(_fields(data)).get(1, 0)) // 10**9}s"


_SIMPLE: Mapping[str, Callable[[Any], Any]] = {
    "string": lambda value: bytes(value).decode(),
    "bytes": lambda value: base64.b64encode(bytes(value)).decode(),
    "int": _signed,
    "bool": bool,
}
_SPECIAL: Mapping[str, Callable[[bytes], Any]] = {
    "apis.meta.v1.Time": _time,
    "apis.meta.v1.MicroTime": _micro_time,
    "apis.meta.v1.Duration": _duration,
    "apis.meta.v1.FieldsV1": _json,
    "api.resource.Quantity": _quantity,
    "util.intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _json,
}
"""Messages that have a form of their own in JSON."""
