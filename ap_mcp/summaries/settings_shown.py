"""Shows settings: as many as fit an answer, or one section of them, with the calls that lead to what was left out."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.rules.settings import settings
from ap_mcp.summaries.base import SECTION, NextCall, Observation
from ap_mcp.vendor import get, quoted, text, word
from ap_mcp.wording import closest, few, plural, step, steps
from ap_mcp.wording import path as path_of

VALUES_LIMIT = 16_000
"""Characters of settings an answer holds; larger ones are named, and each has a call that shows it."""
TEXT_LIMIT = 3_800
"""Characters of one text among them, which must fit into a line of the text half of an answer."""
HEAD = 300
NAMES_SHOWN = 8
PATH_LIMIT = 200
"""Characters of a path that a sentence names as it is."""
_RANGE = re.compile(r"(\d{1,9})-")


@dataclass(frozen=True)
class ShownSettings:
    """Settings as an answer shows them.

    Attributes:
        values: what is shown; None if none are reported, or what is reported cannot be read.
        said: how many there are, in a sentence; empty if that is not known.
        left_out: sections that are not shown, or only begun.
        warnings: what was left out, is not there or could not be read.
        next: the calls that show what was left out.
        is_part: not all settings are shown.
    """

    values: dict[str, Any] | None = None
    said: str = ""
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    next: list[NextCall] = field(default_factory=list)
    is_part: bool = False


@dataclass(frozen=True)
class _Section:
    """A part of settings: what stands at the end of a path, from some entry or character on; of an object by size."""

    path: str
    node: Any
    start: int = 0


def shown_settings(answer: Observation, begins: str) -> ShownSettings:
    """Show the settings in an answer, or the section of them that the call asks for.

    Args:
        answer: has them at `/values`, in any form.
        begins: how a sentence about all of them begins, as in `The chart takes`.
    """
    reported = get(answer.body, "/values")
    if reported in (None, ""):
        return ShownSettings()
    found = settings(reported)
    if found is None:
        return ShownSettings(warnings=[f"The service answers {quoted(reported)} where settings were expected."])
    wanted = text(answer.own.get(SECTION)).strip()
    section = _find(found, steps(wanted)) if wanted else _Section("", found)
    if section is None:
        near = closest(wanted, [path_of(way) for way in _ways(found, 3)]) or [*map(step, found)]
        known = few([_named(each) for each in near], NAMES_SHOWN)
        return ShownSettings(warnings=[f"There is no section {word(wanted)} in the settings. There are: {known}."])
    return _shown(answer, section, begins)


def _shown(answer: Observation, section: _Section, begins: str) -> ShownSettings:
    """Show what of a section fits."""
    path = section.path
    cut: list[str] = []
    if isinstance(section.node, Mapping):
        kept, left, count = _fitting(section)
        values = {key: _shortened(each, _below(path, key), cut) for key, each in kept.items()}
        holds = len(section.node)
        said = (
            f"{_named(path)} has {plural(holds, 'setting')}"
            if path
            else f"{begins} {plural(holds, 'top-level setting')}"
        )
        said += f": {len(kept)} shown" if count or section.start else ""
        said += f", {count} {'too large to show here' if count <= NAMES_SHOWN else 'more'}" if count else ""
    else:
        part, left = _part(section)
        values = {path: part}
        if isinstance(part, list):
            values = {path: [_shortened(each, f"{path}.{at}", cut) for at, each in enumerate(part, section.start)]}
        noun = "characters" if isinstance(part, str) else "entries"
        said = f"{_named(path)} is shown"
        said += f": {len(part)} of {len(section.node)} {noun}" if left or section.start else ""
    left_out = [*left, *cut]
    onward = [_call(answer, each) for each in left_out[:NAMES_SHOWN]]
    return ShownSettings(values, said, left_out, _too_large(left_out), onward, bool(left_out or path))


def _find(node: Any, way: Sequence[str], path: str = "") -> _Section | None:
    """Return what stands at the end of a way; a key may hold dots itself, also where the caller did not quote it."""
    if not way:
        return _Section(path, node)
    if isinstance(node, Mapping):
        for taken in (1, *range(len(way), 1, -1)):
            key = ".".join(way[:taken])
            if key in node and (found := _find(node[key], way[taken:], _below(path, key))):
                return found
    if len(way) == 1 and isinstance(node, Mapping | list | str) and (begins := _RANGE.fullmatch(way[0])):
        return _Section(path, node, int(begins[1]))
    if isinstance(node, list) and way[0].isdecimal() and int(way[0]) < len(node):
        return _find(node[int(way[0])], way[1:], f"{path}.{int(way[0])}")
    return None


def _fitting(section: _Section) -> tuple[dict[str, Any], list[str], int]:
    """Return the settings that fit, the small ones first; the paths that lead to the others, and how many those are."""
    sizes = {key: _size(value) + len(key) for key, value in section.node.items()}
    ordered = sorted(sizes, key=lambda name: sizes[name])
    room, end = VALUES_LIMIT, section.start
    while end < len(ordered) and (room := room - sizes[ordered[end]]) >= 0:
        end += 1
    kept, left = set(ordered[section.start : end]), set(ordered[end:])
    paths = [_below(section.path, key) for key in section.node if key in left]
    if len(left) > NAMES_SHOWN:
        first = max(end, section.start + 1)  # an entry that is too large by itself has a call of its own
        paths = [_below(section.path, key) for key in ordered[end:first]] + [f"{section.path}.{first}-".lstrip(".")]
    return {key: value for key, value in section.node.items() if key in kept}, paths, len(left)


def _part(section: _Section) -> tuple[Any, list[str]]:
    """Return what fits of a list or a text, and the paths of the rest; of an entry that is too large by itself too."""
    node, start = section.node, section.start
    if isinstance(node, str):
        end = start + TEXT_LIMIT
        return node[start:end], [f"{section.path}.{end}-"] if end < len(node) else []
    if not isinstance(node, list):
        return node, []
    room, end = VALUES_LIMIT, start
    while end < len(node) and (room := room - _size(node[end])) >= 0:
        end += 1
    if end == start < len(node):
        beyond = [f"{section.path}.{end + 1}-"] if end + 1 < len(node) else []
        return [], [f"{section.path}.{end}", *beyond]
    return node[start:end], [f"{section.path}.{end}-"] if end < len(node) else []


def _shortened(node: Any, path: str, cut: list[str]) -> Any:
    """Return settings in which long texts are only begun; `cut` takes the paths to those."""
    if isinstance(node, Mapping):
        return {key: _shortened(each, _below(path, key), cut) for key, each in node.items()}
    if isinstance(node, list):
        return [_shortened(each, f"{path}.{at}", cut) for at, each in enumerate(node)]
    if isinstance(node, str) and len(node) > TEXT_LIMIT:
        cut.append(path)
        return f"{node[:HEAD]}… ({len(node)} characters)"
    return node


def _too_large(left_out: list[str]) -> list[str]:
    if not left_out:
        return []
    named = few([_named(each) for each in left_out], NAMES_SHOWN)
    return [f"Not shown here: {named}. {SECTION} shows each."]


def _call(answer: Observation, path: str) -> NextCall:
    arguments = {**answer.arguments, SECTION: path}
    return NextCall(tool=answer.operation.id, arguments=arguments, why=f"shows {_named(path)}")


def _ways(node: Any, depth: int, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(node, Mapping) and depth:
        for key, each in node.items():
            yield (*way, key)
            yield from _ways(each, depth - 1, (*way, key))


def _below(path: str, key: str) -> str:
    return f"{path}.{step(key)}" if path else step(key)


def _named(path: str) -> str:
    """Return a path as a sentence names it, whose keys are harmless already."""
    return path if len(path) <= PATH_LIMIT else word(path)


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, default=str))
