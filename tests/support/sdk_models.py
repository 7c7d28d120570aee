"""Compares a raw answer with the model the official SDK has of it, and with what the SDK made of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp

FREE_FORM = frozenset({"ChartValueValues"})
"""Models that name an example key of what may hold any key."""


def misfits(models: Any, raw: Any, answer: Any, headers: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """List every place of a raw answer that the SDK does not know, types otherwise, or read as something else.

    Args:
        models: the SDK's module of models.
        raw: the JSON that came, parsed; text if it was text, None if nothing came.
        answer: the SDK's object made of it; its class is what it should have been.
        headers: the headers that came; the SDK puts some into fields.
    """
    model = type(answer)
    if set(model.attribute_map.values()) == {"body"}:
        if raw == [] and answer.body is None:  # the SDK makes nothing of an empty list
            return []
        return list(_value(models, "$", raw, model.openapi_types["body"], answer.body))
    if raw is None:
        raw = {}
    if isinstance(raw, Mapping):
        raw = {**{wire: headers[wire] for wire in model.attribute_map.values() if wire in headers}, **raw}
    return list(_object(models, "$", raw, model.__name__, answer))


def _value(models: Any, place: str, raw: Any, kind: str, made: Any) -> Iterator[str]:
    if raw is None:
        yield f"{place}: null"
    elif match := re.fullmatch(r"list\[(.+)\]", kind):
        yield from _list(models, place, raw, match[1], made)
    elif match := re.fullmatch(r"dict\(str, ?(.+)\)", kind):
        for key, item in raw.items():
            yield from _value(models, f"{place}.{key}", item, match[1], made[key])
    elif kind in _FITS:
        yield from _plain(place, raw, kind, made)
    elif getattr(models, kind).openapi_types:
        yield from _object(models, place, raw, kind, made)
    else:
        yield from _word(models, place, raw, kind, made)


def _object(models: Any, place: str, raw: Any, kind: str, made: Any) -> Iterator[str]:
    if not isinstance(raw, Mapping):
        yield _mistyped(place, raw, kind)
        return
    if kind in FREE_FORM:
        return
    model = getattr(models, kind)
    attributes = {wire: attribute for attribute, wire in model.attribute_map.items()}
    for key in raw.keys() - attributes.keys():
        yield f"{place}.{key}: unknown to {kind}"
    for wire, attribute in attributes.items():
        part = getattr(made, attribute)
        if wire in raw:
            yield from _value(models, f"{place}.{wire}", raw[wire], model.openapi_types[attribute], part)
        elif part is not None:
            yield f"{place}.{wire}: did not come, read as {part!r}"


def _list(models: Any, place: str, raw: Any, kind: str, made: Any) -> Iterator[str]:
    if not isinstance(raw, list):
        yield _mistyped(place, raw, f"list[{kind}]")
        return
    for index, (item, part) in enumerate(zip(raw, made, strict=True)):
        yield from _value(models, f"{place}[{index}]", item, kind, part)


def _plain(place: str, raw: Any, kind: str, made: Any) -> Iterator[str]:
    if not _FITS[kind](raw):
        yield _mistyped(place, raw, kind)
    elif made != raw and not (kind == "date" and raw.startswith(str(made))):
        yield f"{place}: {raw!r} read as {made!r}"


def _word(models: Any, place: str, raw: Any, kind: str, made: Any) -> Iterator[str]:
    """Check a word of a closed list: the SDK keeps these as constants of a class without fields."""
    words = [value for name, value in vars(getattr(models, kind)).items() if name.isupper()]
    if raw not in words:
        yield f"{place}: {raw!r} is none of {kind}'s {', '.join(words)}"
    elif made != raw:
        yield f"{place}: {raw!r} read as {made!r}"


def _mistyped(place: str, raw: Any, kind: str) -> str:
    return f"{place}: {raw!r} is no {kind}"


def _is_date(raw: Any) -> bool:
    """Accept both of the service's ways to write a time: the SDK says `date` for either."""
    try:
        return bool(parse_timestamp(raw))
    except (TypeError, ValueError, AttributeError):
        return False


_FITS: dict[str, Callable[[Any], bool]] = {
    "str": lambda raw: isinstance(raw, str),
    "int": lambda raw: isinstance(raw, int) and not isinstance(raw, bool),
    "bool": lambda raw: isinstance(raw, bool),
    "date": _is_date,
    "object": lambda _: True,
}
"""Says whether JSON is of one of the SDK's simple types."""
