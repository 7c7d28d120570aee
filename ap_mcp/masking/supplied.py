"""What a person is shown of what a caller supplied: all of it as it was supplied, but for plain secrets.

A person must see what they agree to, so nothing is hidden for what it looks like: an encoded command would look like a
token. Only what stands under a secret's name, and holds no character that a shell or a template would obey, is
replaced by how long it is; so is a private key in its usual form. Its own name counts: of what stands further below a
secret's name, as in `sealed-secrets.image.tag` or in the data of a Secret, only entries whose names say nothing, or
announce a secret themselves, are left out.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Self, TypeAlias

from ap_mcp.masking import DEPTH_LIMIT, PLACEHOLDER, label_of, mask, numbered
from ap_mcp.masking.deciding import decides
from ap_mcp.masking.names import GENERIC, Sense, names_a_secret, sense_of

Span: TypeAlias = tuple[int, int]

# Reads as a password and, for whoever looks into it, as user and password of a registry.
_PROBE = "dTpwYXNzd29yZA=="
# Reads as a password that is a number, too long for a count, and as one of the digits that a `pin` is.
_DIGITS = 739153284
# Nothing that a shell or a template would obey; the scheme of a header may stand before it.
_PLAIN = re.compile(r"(?:(?:Bearer|Basic|Token) )?[A-Za-z0-9_./:@+=,-]*")
# Known for certain by its form, whatever its name is.
_KEY_BLOCK = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY)-----\r?\n"
    r"(?:[A-Za-z0-9+/]{64}\r?\n)*[A-Za-z0-9+/=]{1,64}\r?\n-----END (?P=kind)-----\s*"
)
# One setting by its name, as in `--secrets image=evil`: the name counts, as that of an entry below a secret's does.
_SETTING = re.compile(r"(?P<name>[A-Za-z][\w.-]{0,127})=[A-Za-z0-9_./:@+-]+")
_SHORT_NAME = 20
_COMPACT = (",", ":")
_SEALED = ("data", "stringData")
_BEFORE = 400
"""Characters of a line before a value in which its name is sought."""
_REACH = 4000
"""Characters before a line in which is sought what it stands below."""
# Read backwards from the value.
_KEY = re.compile(r"[\"']?[ \t]{0,9}(?::|>=|=)[ \t]{0,9}[\"']?(?P<key>[\w.-]{1,128})")
_OPENS = re.compile(r"(?P<indent>[ \t]*(?:-[ \t]+)*)[\"']?(?P<key>[\w.-]{1,128})[\"']?[ \t]*:(?:[ \t].*)?")
_ITEM = re.compile(r"[ \t]*-[ \t]+[\"']?\Z")


class Unshown(str):
    """Stands for a value under a secret's name that is not shown; `length` is how many characters it has."""

    __slots__ = ("length",)

    length: int

    def __new__(cls, length: int) -> Self:
        """Make it of a length, for JSON a text like any other."""
        made = super().__new__(cls, f"«{length} characters»")
        made.length = length
        return made


def as_supplied(value: Any) -> Any:
    """Return a copy of JSON-like data of a caller, as a person may see it."""
    # What is still hidden with another text in its place is hidden by its name, and not for what it looks like.
    probed = _walked(value, mask(value), _probed, 0)
    return _walked_beside(value, probed, mask(probed))


def supplied_name(key: Any) -> str:
    """Return a key of a caller, as a person may see it."""
    name = str(key)
    return name if len(name) <= _SHORT_NAME else str(as_supplied(name))


def masked_name(key: Any) -> str:
    """Return a key as the masked copy of its object has it: it may be an address with a password in it."""
    return str(next(iter(mask({key: None}))))


def in_place(given: Any, shown: Any) -> dict[Any, Any]:
    """Return what the masked copy of an object has for each of its keys, whatever they are called there."""
    if isinstance(given, Mapping) and shown == PLACEHOLDER:
        return dict.fromkeys(given, PLACEHOLDER)
    if not (isinstance(given, Mapping) and isinstance(shown, Mapping) and len(given) == len(shown)):
        return {}
    return dict(zip(given, shown.values(), strict=True))


def _unlike(name: str, key: Any, given: Mapping[Any, Any], named: Mapping[str, Any], numbers: dict[str, int]) -> str:
    """Return the name that a person sees of a key, with a number if another key looks the same; see `numbered`."""
    return numbered(name, lambda each: each in named or (each != str(key) and each in given), numbers)


def _probed(given: Any, shown: Any) -> Any:
    """Return a leaf with another text wherever its masked copy hides something."""
    if not isinstance(given, str):
        return _DIGITS if shown == PLACEHOLDER else given
    return _Probed.of(given, hidden_in(given, shown) or [])


class _Probed(str):
    """A text with another one in some places; `spans` are those places in the text as it was, and in this one."""

    __slots__ = ("spans",)

    spans: list[tuple[Span, Span]]

    @classmethod
    def of(cls, given: str, hidden: list[Span]) -> Self:
        """Make it of a text and of what is hidden of it."""
        parts, spans, done, length = [], [], 0, 0
        for start, end in hidden:
            length += start - done
            probe = str(_DIGITS) if given[start:end].isdigit() else _PROBE
            parts += [given[done:start], probe]
            spans.append(((start, end), (length, length + len(probe))))
            length, done = length + len(probe), end
        made = cls("".join([*parts, given[done:]]))
        made.spans = spans
        return made


def hidden_in(given: str, shown: Any) -> list[Span] | None:
    """Return which parts of a text its masked copy hides, whatever blanks that adds or drops; None if nobody knows."""
    if not isinstance(shown, str):
        return None
    if PLACEHOLDER not in given and shown in (given, PLACEHOLDER):  # of most of thousands it is seen at once
        start, end = len(given) - len(given.lstrip()), len(given.rstrip())
        return [(start, end)] if shown == PLACEHOLDER and start < end else []
    first, *others = ("".join(each.split()) for each in shown.split(PLACEHOLDER))
    places = [number for number, char in enumerate(given) if not char.isspace()]
    dense = "".join(given[number] for number in places)
    if not dense.startswith(first) or not others:
        return None if others or dense != first else []
    found, at = [], len(first)
    for number, piece in enumerate(others, 1):
        is_last = number == len(others)
        begins = max(at, len(dense) - len(piece)) if is_last else dense.find(piece, at)
        if begins < 0 or (is_last and dense[begins:] != piece):
            return None
        if begins > at:
            found.append((places[at], places[begins - 1] + 1))
        at = begins + len(piece)
    return found


def _walked(given: Any, shown: Any, leaf: Callable[[Any, Any], Any], depth: int) -> Any:
    """Copy a tree, each leaf made of the leaf and of what its masked copy has in that place."""
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    if isinstance(given, Mapping):
        found = in_place(given, shown)
        return {key: _walked(each, found.get(key), leaf, depth + 1) for key, each in given.items()}
    if isinstance(given, list | tuple):
        return [_walked(each, other, leaf, depth + 1) for each, other in _pairs(given, shown)]
    return leaf(given, shown)


def _pairs(given: Any, shown: Any) -> Iterator[tuple[Any, Any]]:
    whole = PLACEHOLDER if shown == PLACEHOLDER else None
    same = shown if isinstance(shown, list) and len(shown) == len(given) else [whole] * len(given)
    return zip(given, same, strict=True)


def _walked_beside(given: Any, probed: Any, shown: Any, depth: int = 0, *, sealed: bool | None = None) -> Any:
    """Copy a tree as a person may see it, by its probed copy and the masked copy of that.

    Args:
        given: the tree.
        probed: it with another text wherever something is hidden.
        shown: the masked copy of that.
        depth: how deep it stands.
        sealed: whether it holds entries of a secret, that may be called anything; None if it is below none.
    """
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    if isinstance(given, Mapping):
        found = in_place(given, shown)
        alone = {} if sealed is None else in_place(given, mask({key: _leaves(each) for key, each in probed.items()}))
        named: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        for key, each in given.items():
            own = _own_name(key, given)
            by_itself = key in alone and own not in GENERIC and not (sealed and not decides(own))
            masked = alone[key] if by_itself else found.get(key)
            name = _unlike(supplied_name(key), key, given, named, numbers)
            below = _sealed_below(key, own, given, sealed=sealed)
            named[name] = _walked_beside(each, probed[key], masked, depth + 1, sealed=below)
        return named
    if isinstance(given, list | tuple):
        rows = zip(probed, _pairs(given, shown), strict=True)
        return [_walked_beside(each, other, masked, depth + 1, sealed=sealed) for other, (each, masked) in rows]
    if isinstance(given, str):
        return _text(given, probed, shown)
    return Unshown(len(str(given))) if shown == PLACEHOLDER else given


def _leaves(probed: Any) -> Any:
    """Return a value without the objects in it, which are judged by themselves."""
    if isinstance(probed, Mapping):
        return {}
    return [_leaves(each) for each in probed] if isinstance(probed, list | tuple) else probed


def _is_plain(value: str) -> bool:
    """Say whether a value under a secret's name is nothing that could do or decide anything."""
    setting = _SETTING.fullmatch(value)
    return bool(_PLAIN.fullmatch(value)) and not (setting and decides(setting["name"]))


def _own_name(key: Any, given: Mapping[Any, Any]) -> str:
    """Return what a value is called: by its key, or in a pair of name and value by the name."""
    return label_of(str(key), given) or str(key)


def _sealed_below(key: Any, own: str, given: Mapping[Any, Any], *, sealed: bool | None) -> bool | None:
    """Say whether what stands under a key holds entries of a secret; None if it is below no secret's name."""
    if names_a_secret(own) or (key in _SEALED and (sealed is not None or given.get("kind") == "Secret")):
        return True
    return sealed if sealed is None or own in GENERIC else False


def _text(given: str, probed: _Probed, shown: Any) -> str:
    """Return a text with how long they are in place of the plain secrets that are hidden by their names."""
    named = hidden_in(probed, shown)
    if named is None:
        return _json(given)
    if named and given.lstrip()[:1] in ("{", "[") and (read := _json(given)) != given:
        return read
    is_named = _within(named)
    plain = [
        span
        for span, (first, last) in probed.spans
        if _KEY_BLOCK.fullmatch(given[slice(*span)]) or (_is_plain(given[slice(*span)]) and is_named(first, last))
    ]
    if plain == [(0, len(given))]:
        return Unshown(len(given))
    parts, done, line = [], 0, 0
    for start, end in plain:
        value = given[start:end]
        # Sought from the value before on: a long text may be one line.
        line = max(line, given.rfind("\n", done, start) + 1)
        own = _decided_by(given, start, line)
        parts += [given[done:start], as_supplied({own: value})[own] if own else Unshown(end - start)]
        done = end
    return "".join([*parts, given[done:]])


def _within(ranges: Iterable[Span]) -> Callable[[int, int], bool]:
    """Return what says whether a range lies within one of some others, of which there may be very many."""
    ordered = sorted(ranges)
    # Of those that begin no later than a range, one holds it exactly if the furthest end does.
    furthest = list(accumulate((end for _, end in ordered), max))

    def is_within(first: int, last: int) -> bool:
        before = bisect_right(ordered, first, key=lambda each: each[0])
        return before > 0 and last <= furthest[before - 1]

    return is_within


def _decided_by(text: str, at: int, start: int) -> str:
    """Return the name of a setting whose value stands in a text, if a person must see it; empty if not.

    It is hidden for what it stands below: lines further out, or the list that it is in.

    Args:
        text: that it stands in.
        at: where it begins.
        start: where its line does.
    """
    before = text[max(start, at - _BEFORE) : at]
    if (opened := before.rfind("[")) > before.rfind("]"):
        before = before[:opened]
    above = _above(text, start)
    if _ITEM.fullmatch(before):
        own = next(above, "")
    elif found := _KEY.match(before[::-1]):
        own = found["key"][::-1]
    else:
        return ""
    if not own or own in GENERIC or sense_of(own) is not Sense.PLAIN:
        return ""
    outer = next(above, "")
    is_entry = not outer or names_a_secret(outer) or outer in GENERIC or outer in _SEALED
    return "" if is_entry and not decides(own) else own


def _above(text: str, start: int) -> Iterator[str]:
    """Yield the names that a line stands below, by how far in the lines begin, the nearest first."""
    line = text[start:].partition("\n")[0] if len(text) - start < _REACH else text[start : start + _REACH]
    indent = len(line) - len(line.lstrip())
    # The items of a list may stand as far out as its name does.
    room = indent + 1 if line.lstrip().startswith("- ") else indent
    for each in reversed(text[max(0, start - _REACH) : start].splitlines()):
        found = _OPENS.fullmatch(each)
        if found is not None and len(found["indent"]) < room:
            room = len(found["indent"])
            yield found["key"]


def _json(given: str) -> str:
    """Return a text of which nobody knows what its masked copy hides: JSON is shown as data, any other as it is.

    So is JSON that does not say the same once it was read: with a key twice, or a number that is written differently.
    """
    try:
        data = json.loads(
            given, object_pairs_hook=_unique, parse_float=_exact(float), parse_int=_exact(int), parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        return given
    if not isinstance(data, dict | list):
        return given
    compact = json.dumps(data, ensure_ascii=False, separators=_COMPACT) == given
    return json.dumps(as_supplied(data), ensure_ascii=False, separators=_COMPACT if compact else None)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _exact(number: Callable[[str], int | float]) -> Callable[[str], int | float]:
    """Return a reader of numbers that takes only those that are written as they would be written anew."""

    def read(text: str) -> int | float:
        found = number(text)
        if repr(found) != text:
            raise ValueError("the number is written in another way")
        return found

    return read


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
