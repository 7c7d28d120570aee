"""Compares settings: which keys differ, shown without a secret."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ap_mcp.masking import PLACEHOLDER, contains_placeholder, mask
from ap_mcp.vendor import quoted, text, word
from ap_mcp.wording import begins_as_ours, few

ABSENT: Final = object()
"""What a key has that is not there."""

LINES = 12
VALUE_LIMIT = 60

_STARS = re.compile(r"\*{3,}").fullmatch


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that changes.

    Attributes:
        keys: the way to it.
        path: the same with dots, fit to be shown.
        before: its value as text, secrets masked; empty if it was not set.
        after: likewise; empty if it will not be set.
    """

    keys: tuple[str, ...]
    path: str
    before: str
    after: str

    def line(self, fallback: str = "") -> str:
        """Return it as one line.

        Args:
            fallback: what applies once it is no longer set, if that is known.
        """
        if not self.before:
            return f"{self.path}: new, {self.after}"
        if not self.after:
            known = fallback if fallback != self.before else "its default"
            return f"{self.path}: {self.before} " + (f"goes back to {known}" if known else "is no longer set")
        return (
            f"{self.path}: changes" if self.after == self.before else f"{self.path}: {self.before} becomes {self.after}"
        )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[SettingChange]:
    """List what differs between two sets of settings, in the order of their keys; lists are compared as a whole."""
    return list(_changes((), before, after, mask(before), mask(after)))


def lines(found: Sequence[SettingChange], fallbacks: Mapping[str, str] | None = None) -> list[str]:
    """Return changes as lines; beyond the first dozen only what they are called.

    Args:
        found: the changes.
        fallbacks: by path, what a setting that is removed falls back to.
    """
    lines = [each.line((fallbacks or {}).get(each.path, "")) for each in found[:LINES]]
    rest = [each.path for each in found[LINES:]]
    return [*lines, f"also: {few(rest)}"] if rest else lines


def names(keys: Mapping[str, Any], way: Sequence[str]) -> bool:
    """Say whether settings of a call name the setting at the end of a way, or something it is part of."""
    node: Any = keys
    for key in way:
        if not isinstance(node, Mapping):
            return True
        if key not in node:
            return False
        node = node[key]
    return True


def at(values: Mapping[str, Any], way: Sequence[str]) -> Any:
    """Return the value at the end of a way; ABSENT if there is none."""
    node: Any = values
    for key in way:
        if not isinstance(node, Mapping) or key not in node:
            return ABSENT
        node = node[key]
    return node


def shown_at(values: Mapping[str, Any], way: Sequence[str]) -> str:
    """Return the value at the end of a way as text, secrets masked; empty if there is none."""
    return shown(at(mask(values), [_name(key) for key in way]))


def shown(value: Any) -> str:
    """Return a value that was masked before, short and in quotation marks if it is text; empty if it is absent."""
    if value is ABSENT:
        return ""
    if value == PLACEHOLDER:
        return "a secret"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return quoted(value, VALUE_LIMIT)


def starred(values: Any) -> list[str]:
    """List the settings that hold only asterisks: a secret that was hidden, which must not be sent as its value."""
    return [path_of(way) for way, value in _leaves((), values) if _is_starred(value)]


def hidden_in_both(before: Any, after: Any) -> list[str]:
    """List the settings that seem equal only because their content, or their name, is masked in both."""
    hidden = {way: value for way, value in _leaves((), before) if _is_hidden(way, value)}
    return [path_of(way) for way, value in _leaves((), after) if way in hidden and same(hidden[way], value)]


def digest(values: Any) -> str:
    """Return what a fingerprint covers of settings: not their content, but whether they are the same."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _leaves(way: tuple[str, ...], node: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield everything in settings that holds nothing else, with the way to it."""
    if isinstance(node, Mapping) and node:
        for key, inner in node.items():
            yield from _leaves((*way, str(key)), inner)
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _leaves((*way, str(index)), inner)
    else:
        yield way, node


def _is_starred(value: Any) -> bool:
    return isinstance(value, str) and _STARS(value) is not None


def _is_hidden(way: tuple[str, ...], value: Any) -> bool:
    return _is_starred(value) or contains_placeholder([value, *way]) is not None


def path_of(way: Iterable[Any]) -> str:
    """Return the way to a setting, fit to be shown."""
    path = ".".join(text(_name(each)) for each in way)
    return quoted(path) if begins_as_ours(path) else word(path)


def _changes(
    way: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any], old: Any, new: Any
) -> Iterator[SettingChange]:
    """Walk two trees and their masked copies side by side."""
    for key in sorted({*before, *after}, key=str):
        step = (*way, str(key))
        first, second = before.get(key, ABSENT), after.get(key, ABSENT)
        shown_first, shown_second = _below(old, key, first), _below(new, key, second)
        if _are_trees(first, second):
            yield from _changes(step, _object(first), _object(second), shown_first, shown_second)
        elif not same(first, second):
            yield SettingChange(step, path_of(step), shown(shown_first), shown(shown_second))


def _are_trees(first: Any, second: Any) -> bool:
    """Say whether two values are compared key by key: both are objects, or a whole one comes or goes."""
    if first is ABSENT or second is ABSENT:
        return any(isinstance(each, Mapping) and each for each in (first, second))
    return isinstance(first, Mapping) and isinstance(second, Mapping)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def same(first: Any, second: Any) -> bool:
    """Compare as JSON does, at any depth: true is not 1."""
    if isinstance(first, bool) is not isinstance(second, bool):
        return False
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return bool(first == second)


def _below(masked: Any, key: Any, value: Any) -> Any:
    """Return the masked copy of a value; where the masked tree has no such place, all of it is a secret."""
    if value is ABSENT:
        return ABSENT
    return masked.get(_name(key), PLACEHOLDER) if isinstance(masked, Mapping) else PLACEHOLDER


def _name(key: Any) -> str:
    """Return a key as the masked copy has it: it may be an address with a password in it."""
    return str(next(iter(mask({key: None}))))
