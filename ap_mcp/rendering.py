"""Renders any result as lines that can be read on their own; a value from the cloud can never forge a line."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, get_args

from ap_mcp.summaries.base import COMMON_FIELDS, NextCall, Result, sendable
from ap_mcp.vendor import text
from ap_mcp.wording import clean

VALUE_LIMIT = 4000
INLINE_LIST = 160
INDENT = "  "

Scalar: TypeAlias = str | int | float | bool

_BARE = re.compile(r"[^\s\"'=,;{}\[\]()]+")


def render(result: Result) -> str:
    """Return the text half of an answer: the summary, the facts, warnings, next calls, and where the rest is."""
    lines = [one_line(result.summary)]
    facts = sendable(result.model_dump(exclude_none=True, exclude=set(COMMON_FIELDS)))
    fields = type(result).model_fields
    for name, value in facts.items():
        lines += _field(one_line(name), _as_it_is(value) if _is_free(fields[name].annotation) else value, "")
    lines += _field("full", _as_it_is(sendable(result.full)), "") if result.full is not None else []
    lines += [f"warning: {one_line(warning)}" for warning in result.warnings]
    lines += [f"consent: {one_line(result.consent)}"] if result.consent else []
    lines += [f"next: {call_line(call)}" for call in result.next]
    lines += [f"request_id: {one_line(result.request_id)}"] if result.request_id else []
    lines += [f"whole answer: {one_line(result.raw)}"] if result.raw else []
    return "\n".join(lines)


class _Written(str):
    """A value of the cloud that is nothing, as JSON writes it; never put in quotation marks."""

    __slots__ = ()


_NOTHING: tuple[Any, ...] = (None, "", [], {})


def _is_free(annotation: Any) -> bool:
    """Say whether a field holds data of any form, in which a null and what is empty mean something."""
    return annotation is Any or any(map(_is_free, get_args(annotation)))


def _as_it_is(value: Any, *, outermost: bool = True) -> Any:
    """Return data with what is null or empty in it written out."""
    if value in _NOTHING and not isinstance(value, bool | int | float):
        return value if outermost else _Written(json.dumps(value))
    if isinstance(value, Mapping):
        return {key: _as_it_is(each, outermost=False) for key, each in value.items()}
    return [_as_it_is(each, outermost=False) for each in value] if isinstance(value, list) else value


def one_line(value: Any, limit: int = VALUE_LIMIT) -> str:
    r"""Return any scalar on one line: line breaks are written as `\n`, invisible characters are dropped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _Written):
        return str(value)
    if isinstance(value, str):
        broken = value.replace("\r\n", "\n").strip("\n")
        return text(broken.replace("\n", "\\n"), limit)
    return str(value)


def call_line(call: NextCall) -> str:
    """Return a suggested call as one would write it: `get_job(job_id="…") — why`."""
    given = ", ".join(f"{one_line(name)}={_argument(value)}" for name, value in call.arguments.items())
    return f"{one_line(call.tool)}({given}) — {one_line(call.why)}"


def _argument(value: Any) -> str:
    return clean(json.dumps(sendable(value), ensure_ascii=False, separators=(",", ":"), default=str), VALUE_LIMIT)


def _field(name: str, value: Any, indent: str) -> Iterator[str]:
    """Yield the lines of one field; what is empty yields none."""
    if value in ("", [], {}):
        return
    if isinstance(value, Mapping):
        yield from _mapping_field(name, value, indent)
    elif isinstance(value, list):
        yield from _list_field(name, value, indent)
    else:
        yield f"{indent}{name}: {one_line(value)}"


def _mapping_field(name: str, value: Mapping[str, Any], indent: str) -> Iterator[str]:
    flat = _flat(value)
    if flat is not None:
        yield f"{indent}{name}: {_pairs(flat)}"
        return
    yield f"{indent}{name}:"
    for key, each in value.items():
        yield from _field(one_line(key), each, indent + INDENT)


def _list_field(name: str, value: list[Any], indent: str) -> Iterator[str]:
    if all(_is_short(each) for each in value):
        tokens = [_token(each, spaces=True) for each in value]
        joined = ", ".join(tokens)
        if len(joined) <= INLINE_LIST:
            yield f"{indent}{name}: {joined}"
            return
    yield f"{indent}{name} ({len(value)}):"
    for each in value:
        yield from _item(each, indent)


def _item(value: Any, indent: str) -> Iterator[str]:
    """Yield one item of a list: its first text leads, its other facts follow on the same line."""
    if not isinstance(value, Mapping):
        yield from _field("-", value, indent) if isinstance(value, list) else [f"{indent}- {one_line(value)}"]
        return
    inline: dict[str, str] = {}
    blocks: dict[str, Any] = {}
    for key, each in value.items():
        shown = _inline(each)
        if shown is None:
            blocks[key] = each
        elif shown:
            inline[key] = shown
    lead = next((key for key in inline if isinstance(value[key], str)), None) if inline else None
    rest = {key: shown for key, shown in inline.items() if key != lead}
    parts = [_token(value[lead], spaces=True)] if lead is not None else []
    parts += [" ".join(f"{one_line(key)}={shown}" for key, shown in rest.items())] if rest else []
    yield f"{indent}- {INDENT.join(parts)}".rstrip()
    for key, each in blocks.items():
        yield from _field(one_line(key), each, indent + INDENT)


def _inline(value: Any) -> str | None:
    """Return a value that fits behind `key=`, empty if there is nothing to say, None if it needs lines."""
    if value in ("", [], {}):
        return ""
    if isinstance(value, Mapping):
        flat = _flat(value)
        return None if flat is None else "{" + _pairs(flat) + "}"
    if not isinstance(value, list):
        return _token(value)
    if not all(_is_short(each) for each in value):
        return None
    joined = ",".join(_token(each) for each in value)
    return joined if len(joined) <= INLINE_LIST else None


def _flat(value: Mapping[str, Any]) -> dict[str, Scalar] | None:
    """Return the mapping if it holds only scalars, and few enough for one line."""
    if not all(_is_scalar(each) for each in value.values()):
        return None
    return (
        dict(value) if sum(len(str(key)) + len(str(each)) for key, each in value.items()) <= 2 * INLINE_LIST else None
    )


def _pairs(flat: Mapping[str, Scalar]) -> str:
    return " ".join(f"{_token(key)}={_token(value)}" for key, value in flat.items())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _is_short(value: Any) -> bool:
    """Say whether a value may share its line: a sentence, or one with quotation marks, reads badly among others."""
    if not isinstance(value, str) or isinstance(value, _Written):
        return _is_scalar(value)
    return '"' not in value and not (value.endswith(".") and " " in value)


def _token(value: Any, *, spaces: bool = False) -> str:
    """Return a scalar that cannot be taken for several: in quotation marks when it holds a separator."""
    shown = one_line(value)
    if not isinstance(value, str) or isinstance(value, _Written):
        return shown
    bare = shown.replace(" ", "") if spaces else shown
    return shown if _BARE.fullmatch(bare) else json.dumps(shown, ensure_ascii=False)
