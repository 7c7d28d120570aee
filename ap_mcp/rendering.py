r"""Renders any result as lines that can be read on their own, in which what the cloud wrote never looks like ours.

A text or a key of the cloud stands bare if it is one plain word, else in quotation marks as JSON has them, with line
breaks written as `\\n`. Bare sentences are ours: those of a result, and fields that are declared as `Ours`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Any, TypeAlias, get_args, get_origin

from ap_mcp.masking import PLACEHOLDER
from ap_mcp.summaries.base import COMMON_FIELDS, OWN, TELLING, NextCall, Part, Result, can_be_sent, sendable
from ap_mcp.vendor import text
from ap_mcp.wording import begins_as_ours, clean, is_plain

VALUE_LIMIT = 4000
INLINE_LIST = 160
SHORT_KEY = 64
INDENT = "  "

Scalar: TypeAlias = str | int | float | bool

_BARE = re.compile(rf"[A-Za-z0-9!#$%&*+\-./:<>?@\\^_|~]+|{re.escape(PLACEHOLDER)}")
_JSON = json.JSONEncoder(ensure_ascii=False)
_SPAN = re.compile(r"\d+ (?:s|min|h|d)(?: \d+ (?:s|min|h|d))?")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer, and the lines that say it.

    Attributes:
        name: `summary`, the name of a field, `warning`, `consent`, `next`, `request_id` or `whole answer`.
        lines: what it says; none if it is empty.
        value: of a field, with our own words marked.
    """

    name: str
    lines: list[str]
    value: Any = None


def render(result: Result) -> str:
    """Return the text half of an answer: the summary, the facts, warnings, next calls, and where the rest is."""
    return "\n".join(line for piece in pieces(result) for line in piece.lines)


def pieces(result: Result) -> Iterator[Piece]:
    """Yield the parts of an answer in the order in which they are read."""
    yield Piece("summary", [one_line(result.summary)])
    for field in _fields_of(type(result)):
        value = getattr(result, field.name)
        if field.name in COMMON_FIELDS or value is None or not can_be_sent(value):
            continue
        value = _marked(value, ours=field.is_own)
        empty = value in ([], {}) and field.is_telling
        shown = _Own("none") if empty else _as_it_is(value) if field.is_free else value
        yield Piece(field.name, list(_field(field.name, shown, "")), shown)
    if result.full is not None:
        yield Piece("full", list(_field("full", _as_it_is(sendable(result.full)), "")))
    yield from (Piece("warning", [f"warning: {one_line(warning)}"]) for warning in result.warnings)
    if result.consent:
        yield Piece("consent", [f"consent: {one_line(result.consent)}"])
    yield from (Piece("next", [f"next: {call_line(call)}"]) for call in result.next)
    if result.request_id:
        yield Piece("request_id", [f"request_id: {one_line(result.request_id)}"])
    if result.raw:
        yield Piece("whole answer", [f"whole answer: {one_line(result.raw)}"])


def field_lines(name: str, value: Any) -> list[str]:
    """Return the lines that say a field of an item: none if it is empty."""
    return list(_field(_key(name), value, ""))


def cell(value: Any) -> str | None:
    """Return a value as it stands in a column: empty if there is nothing to say, None if it needs lines."""
    return _alone(value) if _is_scalar(value) and value != "" else _inline(value)


class _Own(str):
    """Our own words, never put in quotation marks."""

    __slots__ = ()


def _marked(value: Any, *, ours: bool = False) -> Any:
    """Return a result as JSON that can be sent, without what is None, with our own words marked as such."""
    if isinstance(value, Part):
        return {
            field.name: _marked(each, ours=field.is_own)
            for field in _fields_of(type(value))
            if (each := getattr(value, field.name)) is not None and can_be_sent(each)
        }
    if isinstance(value, dict):
        return {sendable(key): _marked(each, ours=ours) for key, each in value.items() if can_be_sent(each)}
    if isinstance(value, (list, tuple)):
        return [_marked(each, ours=ours) for each in value if can_be_sent(each)]
    shown = sendable(value)
    # What is seen otherwise than it was written is no longer ours.
    return _Own(shown) if ours and shown is value and isinstance(value, str) else shown


@dataclass(frozen=True, slots=True)
class _FieldFacts:
    """What the declaration of a field says about how it is shown."""

    name: str
    is_own: bool
    is_free: bool
    is_telling: bool


@cache
def _fields_of(part: type[Part]) -> tuple[_FieldFacts, ...]:
    """Return the fields of a kind of result, read from their annotations once."""
    return tuple(
        _FieldFacts(
            name,
            OWN in field.metadata or _is_own(field.annotation),
            _is_free(field.annotation),
            TELLING in field.metadata,
        )
        for name, field in part.model_fields.items()
    )


def _is_own(annotation: Any) -> bool:
    """Say whether the texts of a field are our own words."""
    if get_origin(annotation) is Annotated:
        return OWN in annotation.__metadata__
    return any(map(_is_own, get_args(annotation)))


class _Written(str):
    """A value of the cloud that is nothing, as JSON writes it; never put in quotation marks."""

    __slots__ = ()


_NOTHING: tuple[Any, ...] = (None, "", [], {})


def _is_free(annotation: Any) -> bool:
    """Say whether a field holds data of any form, in which a null and what is empty mean something."""
    return annotation is Any or any(map(_is_free, get_args(annotation)))


def _as_it_is(value: Any, *, outermost: bool = True) -> Any:
    """Return data with what is null or empty in it written out."""
    if value in _NOTHING and not isinstance(value, (bool, int, float)):
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
        yield f"{indent}{name}: {_alone(value)}"


def _mapping_field(name: str, value: Mapping[str, Any], indent: str) -> Iterator[str]:
    flat = _flat(value)
    if flat is not None:
        yield f"{indent}{name}: {_pairs(flat)}"
        return
    yield f"{indent}{name}:"
    for key, each in value.items():
        yield from _field(_key(key), each, indent + INDENT)


def _list_field(name: str, value: list[Any], indent: str) -> Iterator[str]:
    if all(_is_short(each) for each in value):
        joined = ", ".join(map(_listed, value))
        if len(joined) <= INLINE_LIST:
            yield f"{indent}{name}: {joined}"
            return
    yield f"{indent}{name} ({len(value)}):"
    for each in value:
        yield from _item(each, indent)


def _item(value: Any, indent: str) -> Iterator[str]:
    """Yield one item of a list: its first text leads, its other facts follow on the same line; a row is one line."""
    if isinstance(value, list) and value and all(map(_is_scalar, value)):
        yield f"{indent}- {' '.join(map(_token, value))}"
        return
    if not isinstance(value, Mapping):
        yield from _field("-", value, indent) if isinstance(value, list) else [f"{indent}- {_alone(value)}"]
        return
    leading: list[str] = []
    facts: list[str] = []
    blocks: dict[str, Any] = {}
    for key, each in value.items():
        shown = _inline(each)
        if shown is None:
            blocks[key] = each
        elif shown and not leading and isinstance(each, str):
            leading = [_alone(each)]
        elif shown:
            facts.append(f"{_key(key)}={shown}")
    parts = [*leading, " ".join(facts)] if facts else leading
    yield f"{indent}- {INDENT.join(parts)}".rstrip()
    for key, each in blocks.items():
        yield from _field(_key(key), each, indent + INDENT)


def _inline(value: Any) -> str | None:
    """Return a value that fits behind `key=`, empty if there is nothing to say, None if it needs lines."""
    if isinstance(value, str):
        return _token(value) if value else ""
    if value in ([], {}):
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
    return " ".join(f"{_key(key)}={_token(value)}" for key, value in flat.items())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _is_short(value: Any) -> bool:
    """Say whether a value may share its line: a sentence, or one with quotation marks, reads badly among others."""
    if not isinstance(value, str) or isinstance(value, _Written):
        return _is_scalar(value)
    return '"' not in value and not (value.endswith(".") and " " in value)


def _alone(value: Any) -> str:
    """Return a scalar that has its line to itself: our own words are bare there."""
    if isinstance(value, _Own):
        return one_line(value)
    shown = _token(value)
    if shown[:1] == '"':
        line = one_line(value)
        return line if _SPAN.fullmatch(line) else shown
    return _quoted(shown) if ":" in shown and begins_as_ours(shown) else shown


def _listed(value: Any) -> str:
    """Return a scalar among others, with commas between them: our own words are bare if they hold none."""
    return one_line(value) if isinstance(value, _Own) and "," not in value else _token(value)


def _token(value: Any) -> str:
    """Return a scalar that can be taken for nothing else, nor for several: a text is bare if it is one plain word."""
    if type(value) is str and len(value) <= VALUE_LIMIT and _BARE.fullmatch(value):
        return value
    shown = one_line(value)
    if not isinstance(value, str) or isinstance(value, _Written):
        return shown
    return shown if _BARE.fullmatch(shown) else _quoted(shown)


def _key(key: Any) -> str:
    """Return a key, of ours or of the cloud, so that what it begins cannot be taken for a line of ours."""
    return _short_key(key) if type(key) is str and len(key) <= SHORT_KEY else _any_key(key)


def _any_key(key: Any) -> str:
    shown = one_line(key)
    plain = is_plain(shown) and ":" not in shown and "=" not in shown and not begins_as_ours(shown)
    return shown if plain else _quoted(shown)


@lru_cache(maxsize=4096)
def _short_key(key: str) -> str:
    return _any_key(key)


def _quoted(shown: str) -> str:
    """Return one line in quotation marks; its line breaks are written out already."""
    return _JSON.encode(shown).replace("\\\\n", "\\n")
