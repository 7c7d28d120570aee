"""Compares settings: what differs, as it is; values read from the cloud without a secret, a caller's as supplied."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from ap_mcp.masking import PLACEHOLDER, contains_placeholder, mask
from ap_mcp.masking.supplied import Unshown, as_supplied, masked_name, supplied_name
from ap_mcp.wording import exactly, few, path, remembered, step

ABSENT: Final = object()
"""What a key has that is not there."""

LINES = 12
PATH_LIMIT, VALUE_LIMIT = 200, 60
_LIMITS = (PATH_LIMIT, VALUE_LIMIT, VALUE_LIMIT)
WHOLE_LIST = 160
"""Characters of a list up to which it is compared as a whole; a longer one entry by entry."""

_WORDS = re.compile(r"[A-Z]*[a-z]+|[A-Z]+").findall
_STARS = re.compile(r"\*{3,}").fullmatch


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that changes; its texts are never cut.

    Attributes:
        keys: the way to it, places in lists among it.
        path: the same with dots, fit to be shown.
        before: its value as text, secrets masked; empty if it was not set.
        after: likewise, or as the caller supplied it; empty if it will not be set.
        unshown: `after` is a secret of the caller, of which it only says how long it is.
    """

    keys: tuple[str, ...]
    path: str
    before: str
    after: str
    unshown: bool = False

    @property
    def is_image(self) -> bool:
        """Whether it says which image runs: `image.tag`, `sidecarImage`, and not how one is pulled."""
        words = [_words(key) for key in self.keys]
        return any(each & {"image", "Image", "images", "Images"} for each in words) and not any(
            each & {"pull", "Pull"} for each in words
        )

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
        if self.unshown:
            return f"{self.path}: changed, {self.after}"
        if self.after == self.before:
            return f"{self.path}: changes"
        return f"{self.path}: {self.before} becomes {self.after}"

    def short(self) -> "SettingChange":
        """Return it with its texts cut."""
        path, before, after = (_cut(each, most) for each, most in zip(self._texts, _LIMITS, strict=True))
        return replace(self, path=path, before=before, after=after)

    @property
    def _texts(self) -> tuple[str, str, str]:
        return self.path, self.before, self.after


@remembered(4096)
def _words(key: str) -> frozenset[str]:
    """Return the words of a key, as in `sidecarImage`."""
    return frozenset(_WORDS(key.replace("_", " ")))


def _cut(text: str, limit: int) -> str:
    """Return a text that is cut if it is long; one in quotation marks still ends with one."""
    mark = text[-1] if text[-1:] in ("'", '"') else ""
    return text if len(text) <= limit else f"{text[: limit - 1 - len(mark)]}…{mark}"


def changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
) -> list[SettingChange]:
    """List what differs between two sets of settings, in the order of their keys.

    Args:
        before: as read from the cloud.
        after: what it becomes.
        given: what the caller supplied of it, which is shown as it was supplied; all else is masked.
        asked: the same as the caller wrote it, if true values took the place of masked ones in `given`: those came
            from the cloud, and stay masked.
    """
    true: Any = ABSENT if given is None else given
    written = true if asked is None else asked
    first = _Node(before, mask(before))
    return list(_changes((), first, _Node(after, mask(after), true, written, as_supplied(written))))


def every_line(found: Sequence[SettingChange], fallbacks: Mapping[str, str] | None = None) -> list[str]:
    """Return every change as a line, none of them cut: images that change, what else stands already, what is new.

    Args:
        found: the changes.
        fallbacks: by path, what a setting that is removed falls back to.
    """
    gravest_first = sorted(found, key=lambda each: (not each.before, not each.is_image))
    return [each.line((fallbacks or {}).get(each.path, "")) for each in gravest_first]


def assignments(given: Mapping[str, Any], asked: Mapping[str, Any] | None = None) -> list[str]:
    """Return a caller's settings as lines, where it is not known what they replace; `asked` is as for `changes`."""
    return [f"{each.path} is set to {each.after}" for each in changes(_bare(given), given, given, asked)]


def nulls(given: Mapping[str, Any], asked: Mapping[str, Any] | None = None) -> list[SettingChange]:
    """Return the settings that a caller sets to null; `asked` is as for `changes`."""
    return [each for each in changes(_bare(given), given, given, asked) if at(given, each.keys) is None]


def lines(found: Sequence[SettingChange]) -> list[str]:
    """Return changes as short lines; beyond the first dozen only what they are called."""
    short = [each.short() for each in found]
    lines = [each.line() for each in short[:LINES]]
    rest = [each.path for each in short[LINES:]]
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
    """Return the value at the end of a way, places in lists among it; ABSENT if there is none."""
    node: Any = values
    for key in way:
        node = _at_key(node, int(key) if isinstance(node, list) and key.isdigit() else key)
    return node


def shown_at(masked: Mapping[str, Any], way: Sequence[str]) -> str:
    """Return the value at the end of a way in settings that were masked, as text; empty if there is none."""
    return shown(at(masked, [masked_name(key) for key in way]))


def shown(value: Any) -> str:
    """Return a value that was masked, or is to be shown as it is, as text that is not cut; empty if it is absent."""
    if value is ABSENT:
        return ""
    if isinstance(value, Unshown):
        return f"{value.length} characters"
    if isinstance(value, str):
        return "a secret" if value == PLACEHOLDER else exactly(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{exactly(str(key))}: {shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return json.dumps(value, default=str)


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


def _bare(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without their values, so that each of these counts as a change of its own."""
    return {key: _bare(inner) for key, inner in given.items() if isinstance(inner, Mapping) and inner}


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
    return _cut(path(masked_name(each) for each in way), PATH_LIMIT)


@dataclass(frozen=True)
class _Node:
    """A place in a tree of settings: what stands there, that masked, and the same of what the caller gave for it.

    Attributes:
        given: what the caller gave, with true values in place of masked ones.
        asked: what the caller wrote.
        supplied: that, as a person may see it.
    """

    value: Any
    masked: Any
    given: Any = ABSENT
    asked: Any = ABSENT
    supplied: Any = ABSENT

    def below(self, key: Any) -> "_Node":
        """Return the place below this one under a key, or in a list under a number."""
        return _Node(
            _at_key(self.value, key),
            self._in_masked.get(key, PLACEHOLDER),
            _at_key(self.given, key),
            self._in_asked.get(key, ABSENT),
            self._in_supplied.get(key, ABSENT),
        )

    @cached_property
    def _in_masked(self) -> Mapping[Any, Any]:
        if isinstance(self.value, list):
            return dict(enumerate(self.masked)) if isinstance(self.masked, list) else {}
        return _aligned(self.value, self.masked)

    @cached_property
    def _in_asked(self) -> Mapping[Any, Any]:
        return _aligned(self.given, self.asked)

    @cached_property
    def _in_supplied(self) -> Mapping[Any, Any]:
        return _aligned(self.given, self.supplied)

    @property
    def is_given(self) -> bool:
        """Whether it is what the caller supplied."""
        return self.given is not ABSENT and same(self.given, self.value)

    @property
    def shown(self) -> Any:
        """What a person sees of it."""
        if self.value is ABSENT:
            return ABSENT
        return _shown_of(self) if self.is_given else self.masked

    def step(self, key: Any) -> str:
        """Return how the way to what is below is written; a caller's own key as it was supplied."""
        if isinstance(self.value, list):
            return str(key)
        name = masked_name(key) if _at_key(self.asked, key) is ABSENT else supplied_name(key)
        return exactly(name) if name.isdecimal() else step(name)


def _aligned(true: Any, other: Any) -> Mapping[Any, Any]:
    """Return what another form of an object or list has at each key of the true one; it may be called otherwise there.

    Both stand in the same order. Nothing is known where the other form has more or less.
    """
    if isinstance(true, list):
        return dict(enumerate(other)) if isinstance(other, list) and len(other) == len(true) else {}
    if not (isinstance(true, Mapping) and isinstance(other, Mapping)) or len(true) != len(other):
        return {}
    return dict(zip(true, other.values(), strict=True))


def _shown_of(node: _Node) -> Any:
    """Return what a person sees of what a caller gave: as it was written, but masked what came from the cloud."""
    if same(node.asked, node.given):
        return node.supplied
    if isinstance(node.value, list) and isinstance(node.given, list):
        return [_shown_of(node.below(at)) for at in range(len(node.value))]
    if isinstance(node.value, Mapping) and isinstance(node.given, Mapping):
        return {node.step(key): _shown_of(node.below(key)) for key in node.value}
    return node.masked


def _changes(way: tuple[tuple[str, str], ...], before: _Node, after: _Node) -> Iterator[SettingChange]:
    """Walk two trees side by side; `way` holds each key with how it is written."""
    for key in _keys(before.value, after.value):
        old, new = before.below(key), after.below(key)
        way_here = (*way, (str(key), (before if new.value is ABSENT else after).step(key)))
        if _are_trees(old.value, new.value) or _are_long_lists(old, new):
            yield from _changes(way_here, old, new)
        elif not same(old.value, new.value) or _is_guess(old, new):
            written = ".".join(each for _, each in way_here)
            unshown = isinstance(new.shown, Unshown)
            yield SettingChange(
                tuple(each for each, _ in way_here), written, shown(old.shown), shown(new.shown), unshown
            )


def _is_guess(old: _Node, new: _Node) -> bool:
    """Say whether a caller gives what is there already and was masked: to report that would say what it is."""
    if new.asked is ABSENT or old.value is ABSENT or same(old.masked, old.value):
        return False
    if isinstance(new.value, list) and isinstance(old.value, list) and not same(new.asked, new.given):
        return any(_is_guess(old.below(at), new.below(at)) for at in range(min(len(old.value), len(new.value))))
    return same(new.asked, new.given)


def _keys(first: Any, second: Any) -> Iterable[Any]:
    """Return the keys, or places, of two objects or two lists of which one may be absent."""
    if isinstance(first, list) or isinstance(second, list):
        return range(max(len(each) for each in (first, second) if isinstance(each, list)))
    return sorted({*_object(first), *_object(second)}, key=str)


def _at_key(tree: Any, key: Any) -> Any:
    if isinstance(tree, list):
        return tree[key] if isinstance(key, int) and key < len(tree) else ABSENT
    return tree.get(key, ABSENT) if isinstance(tree, Mapping) else ABSENT


def _are_trees(first: Any, second: Any) -> bool:
    """Say whether two values are compared key by key: both are objects, or a whole one comes or goes."""
    if first is ABSENT or second is ABSENT:
        return any(isinstance(each, Mapping) and each for each in (first, second))
    return isinstance(first, Mapping) and isinstance(second, Mapping)


def _are_long_lists(old: _Node, new: _Node) -> bool:
    """Say whether two values are lists, or one that comes or goes, so long that a change in them could be missed."""
    every = [each for each in (old, new) if each.value is not ABSENT]
    if not all(isinstance(each.value, list) for each in every):
        return False
    # Each entry takes a character at least, so the text of a list of many need not be made.
    return any(len(each.value) > WHOLE_LIST or len(shown(each.shown)) > WHOLE_LIST for each in every)


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
