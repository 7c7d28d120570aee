"""Shows what a request does to settings that stand already: each one that changes, before and after, as long as it is.

A value is never cut: one that is too long for a line goes on in the next.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.guard.impacts.base import LINE_LIMIT, ImpactDraft
from ap_mcp.masking import PLACEHOLDER, mask
from ap_mcp.rules.settings_diff import ABSENT, SettingChange, at, changes, digest
from ap_mcp.specs import Operation, Target
from ap_mcp.vendor import get
from ap_mcp.wording import is_plain

CHUNK = LINE_LIMIT - 200
"""Characters of a value in one line; the rest of the line says which setting it is."""
NO_CHANGE = "Every setting that the request names has that value already."


def about_settings(draft: ImpactDraft, target: Target, thing: Any, sent: Any) -> None:
    """Note each setting that changes, before and after, and those that the request leaves open.

    Args:
        draft: to be added to.
        target: says where the settings stand in the thing.
        thing: what was read.
        sent: the JSON of the request.
    """
    found = get(thing, target.settings or "")
    standing = found if isinstance(found, Mapping) else {}
    every = changes(standing, sent)
    named = [each for each in every if at(sent, each.keys) is not ABSENT]
    open_ = [each for each in every if each not in named and _is_settable(draft.case.operation, each.keys)]
    draft.stable["settings"] = digest([[each.keys, at(standing, each.keys)] for each in named + open_ if each.before])
    for each in named:
        draft.goes += _change(each, _shown(standing, each.keys), _shown(sent, each.keys))
    if not named:
        draft.warnings.append(NO_CHANGE)
    for each in open_ if draft.case.operation.method == "PUT" else ():
        whether = f"whether {each.path} keeps its value, for the request does not name it"
        draft.unknown += [f"{whether}{part}: {piece}" for part, piece in pieces(_shown(standing, each.keys))]


def pieces(value: Any) -> list[tuple[str, str]]:
    """Return a masked value in pieces that fit into a line, and which piece each is if there are several.

    Each of several pieces is in quotation marks of its own, so that none can be taken for words of ours.
    """
    written = value if isinstance(value, str) and is_plain(value) else _written(value)
    if len(written) <= CHUNK:
        return [("", written)] if written else []
    found = [f'"{"".join(each)}"' for each in _in_chunks(value if isinstance(value, str) else written)]
    return [(f" ({number} of {len(found)})", each) for number, each in enumerate(found, 1)]


def _in_chunks(text: str) -> Iterator[list[str]]:
    """Yield the characters of a text as JSON has them inside of quotation marks, as many as fit into a line."""
    chunk: list[str] = []
    size = 0
    for written in (_quoted_json(char)[1:-1] for char in text):
        if size + len(written) > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(written)
        size += len(written)
    yield chunk


def _change(change: SettingChange, before: Any, after: Any) -> Iterator[str]:
    """Yield a change as lines of which none is cut."""
    old, new = _written(before), _written(after)
    if old == new:
        yield f"{change.path}: changes from one secret to another"
    elif len(old) + len(new) <= CHUNK:
        yield f"{change.path}: {old} becomes {new}"
    else:
        for when, value in (("before", before), ("after", after)):
            yield from (f"{change.path}, {when}{part}: {piece}" for part, piece in pieces(value))


def _written(value: Any) -> str:
    """Return a masked value as it is, whatever its length."""
    if value is ABSENT:
        return "not set"
    return "a secret" if value == PLACEHOLDER else _quoted_json(value)


def _quoted_json(value: Any) -> str:
    """Return JSON in which a quotation mark always begins or ends a text; one inside of a text is written by number."""
    written = json.dumps(value, ensure_ascii=False, default=str)
    return re.sub(r"\\(.)", lambda found: "\\u0022" if found[1] == '"' else found[0], written)


def _shown(values: Mapping[str, Any], way: tuple[str, ...]) -> Any:
    """Return the value at the end of a way, masked; also where only its name, or what it is part of, gives it away."""
    found = at(mask(values), way)
    return PLACEHOLDER if found is ABSENT and at(values, way) is not ABSENT else found


def _is_settable(operation: Operation, way: tuple[str, ...]) -> bool:
    """Say whether the request body has a place for a setting, whatever fills it."""
    pointer = "".join(f"/{key.replace('~', '~0').replace('/', '~1')}" for key in way)
    places = [place for argument in operation.arguments.values() for place in argument.places if place.startswith("/")]
    places += [*(fill.pointer for fill in operation.fill), *operation.unsupported]
    return any(f"{pointer}/".startswith(f"{place.partition('/*')[0]}/") for place in places)
