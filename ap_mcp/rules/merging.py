"""Lays the settings of a call over those that a thing has: what the call does not name stays as it is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ap_mcp.masking import PLACEHOLDER, contains_placeholder, mask
from ap_mcp.rules.settings_diff import ABSENT, same
from ap_mcp.wording import path, step

Way: TypeAlias = tuple[str, ...]
_CUT = re.compile(r"(.*)… \((\d{1,9}) characters\)", re.DOTALL)
MOST_COMPARED = 256
"""Entries of a list up to which a masked one is found wherever it was moved to; in a longer list it must not move."""
_IDENTITIES = ("name", "key", "id")
"""What tells the objects of a list apart, the first that they have."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply an RFC 7396 merge patch: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def ways(values: Mapping[str, Any]) -> Iterator[Way]:
    """Yield the way to each setting that holds no others; a list counts as one setting."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from ((key, *way) for way in ways(value))
        else:
            yield (key,)


@dataclass(slots=True)
class TrueValues:
    """What a call gives, with the values that masked placeholders stand for.

    Attributes:
        values: the settings.
        misplaced: where a placeholder stands that no value of the thing belongs to, as `auth.password`.
    """

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    misplaced: list[str] = field(default_factory=list)


def true_values(current: Mapping[str, Any], shown: Mapping[str, Any], given: Mapping[str, Any]) -> TrueValues:
    """Return what a call gives, each masked placeholder replaced by the value that the thing has in the same place.

    Args:
        current: what the thing has.
        shown: the same as the caller was shown it, secrets masked.
        given: what the call gives.
    """
    found = TrueValues()
    found.values = _object(found, (), (current, shown), given)
    return found


def merged(current: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Way]]:
    """Merge settings of a call into those of a thing as RFC 7396 says, but that a null leaves a null as it is.

    In Helm a null among the settings of a release removes a default of its chart.

    Returns:
        The settings, and the ways to nulls without effect: the thing has no such setting.
    """
    without_effect: list[Way] = []
    return _merged((), current, given, without_effect), without_effect


def _merged(way: Way, current: Any, given: Mapping[str, Any], without_effect: list[Way]) -> dict[str, Any]:
    result = dict(current) if isinstance(current, Mapping) else {}
    for key, value in given.items():
        step = (*way, key)
        if isinstance(value, Mapping):
            result[key] = _merged(step, result.get(key), value, without_effect)
        elif value is not None:
            result[key] = value
        elif key not in result:
            without_effect.append(step)
        elif result[key] is not None:
            del result[key]
    return result


def _object(found: TrueValues, way: Way, thing: tuple[Any, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    current, shown = (each if isinstance(each, Mapping) else {} for each in thing)
    real = dict(zip(shown, current, strict=True)) if len(shown) == len(current) else {}
    result: dict[str, Any] = {}
    for name, value in given.items():
        key = name if name in current else real.get(name, name)
        here = current.get(key, ABSENT)
        if here is ABSENT and contains_placeholder(name) is not None:
            found.misplaced.append(_path((*way, name)))
        result[key] = _value(found, (*way, name), (here, _shown_at(shown, key, here)), value)
    return result


def _value(found: TrueValues, way: Way, thing: tuple[Any, Any], given: Any) -> Any:
    current, shown = thing
    if _is_cut(given, shown):
        return current
    if isinstance(given, Mapping):
        return _object(found, way, thing, given)
    mark = _mark_in(given, name=_name_of(way))
    if mark is None:
        return given
    if current is not ABSENT and same(shown, given):
        return current
    if isinstance(given, list) and isinstance(current, list) and isinstance(shown, list):
        return [_entry(found, (*way, str(at)), (current, shown), given, at) for at in range(len(given))]
    found.misplaced.append(_path(way, mark))
    return given


def _mark_in(value: Any, place: str = "", name: str = "") -> str | None:
    """Return where a value stands that an answer masked or cut, below some name; None if there is none."""
    if isinstance(value, str):
        return place if _CUT.fullmatch(value) else contains_placeholder(value, place, name)
    if isinstance(value, Mapping):
        if (marked := contains_placeholder(dict.fromkeys(value), place)) is not None:
            return marked
        steps = [(f"{place}.{step(key)}" if place else step(key), str(key), each) for key, each in value.items()]
    else:
        steps = [(f"{place}[{at}]", name, each) for at, each in enumerate(value if isinstance(value, list) else ())]
    found = (_mark_in(each, inner, own) for inner, own, each in steps)
    return next((each for each in found if each is not None), None)


def _entry(found: TrueValues, way: Way, thing: tuple[list[Any], list[Any]], given: list[Any], at: int) -> Any:
    """Return an entry of a list, which the thing may have at another place."""
    each = given[at]
    mark = _mark_in(each, name=_name_of(way))
    if mark is None:
        return each
    current, shown = thing
    place = _counterpart(current, shown, given, at)
    if place is None:
        found.misplaced.append(_path(way, mark))
        return each
    return _value(found, way, (current[place], shown[place]), each)


def _counterpart(current: list[Any], shown: list[Any], given: list[Any], at: int) -> int | None:
    """Return which entry of the thing's list a masked one of the caller's list is; None if that is not certain.

    Entries may have been added, removed or moved, so a place alone says nothing while the lists differ.
    """
    each = given[at]
    if max(len(given), len(shown)) > MOST_COMPARED:  # each with each takes too long
        here = len(given) == len(shown) and (same(shown[at], each) or _is_cut(each, shown[at]))
        return at if here else None
    alike = [place for place, other in enumerate(shown) if same(other, each) or _is_cut(each, other)]
    if each == PLACEHOLDER:  # what stands before it says what it is: --password
        alike = [place for place in alike if same(_before(shown, place), _before(given, at))]
    if len(alike) == 1 or (alike and all(same(current[alike[0]], current[place]) for place in alike)):
        return alike[0]
    if len(given) == len(shown):
        unchanged = all(same(*pair) for place, pair in enumerate(zip(given, shown, strict=True)) if place != at)
        if at in alike or (unchanged and isinstance(each, Mapping) and not _identity(each)):
            return at
    if identity := _identity(each):
        ours, theirs = ([at for at, one in enumerate(many) if _identity(one) == identity] for many in (given, shown))
        if len(ours) == len(theirs) == 1:
            return theirs[0]
    return None


def _is_cut(given: Any, shown: Any) -> bool:
    """Say whether a text is the start of the one that is there, as answers show long ones."""
    found = _CUT.fullmatch(given) if isinstance(given, str) else None
    return found is not None and isinstance(shown, str) and len(shown) == int(found[2]) and shown.startswith(found[1])


def _before(entries: list[Any], at: int) -> Any:
    return entries[at - 1] if at else ABSENT


def _identity(entry: Any) -> tuple[str, str] | None:
    if not isinstance(entry, Mapping):
        return None
    found = next((name for name in _IDENTITIES if isinstance(entry.get(name), str | int)), None)
    return None if found is None else (found, str(entry[found]))


def _shown_at(shown: Mapping[str, Any], name: str, current: Any) -> Any:
    if current is ABSENT:
        return ABSENT
    masked = name if name in shown else next(iter(mask({name: None})))
    return shown.get(masked, PLACEHOLDER)


def _name_of(way: Sequence[str]) -> str:
    """Return what is called what stands at the end of a way: an entry of a list as the list is."""
    return next((each for each in reversed(way) if not each.isdigit()), "")


def _path(way: Sequence[str], inside: str | None = None) -> str:
    return path(way) + (f".{inside}" if inside and not inside.startswith("[") else inside or "")


@dataclass(slots=True)
class Renewal:
    """Settings that follow the defaults of another version where the installed one's defaults were untouched.

    Attributes:
        values: the settings.
        taken: the ways to those that take the default of the other version.
        kept: the ways to those that differ from the installed version's default: somebody chose them.
    """

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    taken: list[Way] = field(default_factory=list)
    kept: list[Way] = field(default_factory=list)


def renewed(current: Mapping[str, Any], installed: Mapping[str, Any], wanted: Mapping[str, Any]) -> Renewal:
    """Give each setting that is as the installed version has it by default the default of another version.

    Args:
        current: the settings.
        installed: defaults of the installed version.
        wanted: defaults of the other one; a setting that it does not have any more goes.
    """
    found = Renewal()
    values = {
        key: _renewed(found, (key,), each, _at(installed, key), _at(wanted, key)) for key, each in current.items()
    }
    found.values = {key: each for key, each in values.items() if each is not ABSENT}
    return found


def _renewed(found: Renewal, way: Way, current: Any, installed: Any, wanted: Any) -> Any:
    """Return a setting as it is to be sent; ABSENT if it is not any more."""
    if isinstance(current, Mapping) and current and isinstance(installed, Mapping):
        inside = {
            key: _renewed(found, (*way, key), each, _at(installed, key), _at(wanted, key))
            for key, each in current.items()
        }
        left = {key: each for key, each in inside.items() if each is not ABSENT}
        return left or (ABSENT if wanted is ABSENT else {} if isinstance(wanted, Mapping) else wanted)
    if (names := _named_alike(current, installed, wanted)) is not None:
        entries = zip(names, current, installed, wanted, strict=True)
        return [_renewed(found, (*way, name), *three) for name, *three in entries]
    if installed is not ABSENT and same(current, installed):
        if not same(current, wanted):
            found.taken.append(way)
        return wanted
    if installed is not ABSENT and not same(current, wanted):
        found.kept.append(way)
    return current


def _at(tree: Any, key: str) -> Any:
    return tree.get(key, ABSENT) if isinstance(tree, Mapping) else ABSENT


def _named_alike(*lists: Any) -> list[str] | None:
    """Return the names of the entries of lists that hold objects of the same names in the same order; else None."""
    if not all(isinstance(each, list) and each for each in lists):
        return None
    named = [[str(one.get("name", "")) if isinstance(one, Mapping) else "" for one in each] for each in lists]
    first = named[0]
    return first if all(first) and len(set(first)) == len(first) and all(each == first for each in named) else None
