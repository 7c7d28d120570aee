"""What a person is shown of what a caller supplied: all of it as it was supplied, but for plain secrets.

A person must see what they agree to, so nothing is hidden for what it looks like: an encoded command would look like a
token. Only what stands under a secret's name, and holds no character that a shell or a template would obey, is
replaced by how long it is; so is a private key in its usual form.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeAlias

from ap_mcp.masking import DEPTH_LIMIT, PLACEHOLDER, mask

Span: TypeAlias = tuple[int, int]

# Reads as a password and, for whoever looks into it, as user and password of a registry.
_PROBE = "dTpwYXNzd29yZA=="
# Nothing that a shell or a template would obey; the scheme of a header may stand before it.
_PLAIN = re.compile(r"(?:(?:Bearer|Basic|Token) )?[A-Za-z0-9_./:@+=,-]*")
# Known for certain by its form, whatever its name is.
_KEY_BLOCK = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY)-----\r?\n"
    r"(?:[A-Za-z0-9+/]{64}\r?\n)*[A-Za-z0-9+/=]{1,64}\r?\n-----END (?P=kind)-----\s*"
)
_SHORT_NAME = 20


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
    if not (isinstance(given, Mapping) and isinstance(shown, Mapping) and len(given) == len(shown)):
        return {}
    return dict(zip(given, shown.values(), strict=True))


def _unlike(name: str, key: Any, given: Mapping[Any, Any], named: Mapping[str, Any]) -> str:
    """Return the name that a person sees of a key, with a number if another key looks the same."""
    shown, number = name, 2
    while shown in named or (shown != str(key) and shown in given):
        shown, number = f"{name} ({number})", number + 1
    return shown


def _probed(given: Any, shown: Any) -> Any:
    """Return a leaf with another text wherever its masked copy hides something."""
    if not isinstance(given, str):
        return _PROBE if shown == PLACEHOLDER else given
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
            parts += [given[done:start], _PROBE]
            spans.append(((start, end), (length, length + len(_PROBE))))
            length, done = length + len(_PROBE), end
        made = cls("".join([*parts, given[done:]]))
        made.spans = spans
        return made


def hidden_in(given: str, shown: Any) -> list[Span] | None:
    """Return which parts of a text its masked copy hides, whatever blanks that adds or drops; None if nobody knows."""
    if not isinstance(shown, str):
        return None
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
    same = shown if isinstance(shown, list) and len(shown) == len(given) else [None] * len(given)
    return zip(given, same, strict=True)


def _walked_beside(given: Any, probed: Any, shown: Any, depth: int = 0) -> Any:
    """Copy a tree as a person may see it, by its probed copy and the masked copy of that."""
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    if isinstance(given, Mapping):
        found = in_place(given, shown)
        named: dict[str, Any] = {}
        for key, each in given.items():
            name = _unlike(supplied_name(key), key, given, named)
            named[name] = _walked_beside(each, probed[key], found.get(key), depth + 1)
        return named
    if isinstance(given, list | tuple):
        rows = zip(probed, _pairs(given, shown), strict=True)
        return [_walked_beside(each, other, masked, depth + 1) for other, (each, masked) in rows]
    if isinstance(given, str):
        return _text(given, probed, shown)
    return Unshown(len(str(given))) if shown == PLACEHOLDER else given


def _text(given: str, probed: _Probed, shown: Any) -> str:
    """Return a text with how long they are in place of the plain secrets that are hidden by their names."""
    named = hidden_in(probed, shown)
    if named is None:
        return _json(given)
    plain = [
        span
        for span, (first, last) in probed.spans
        if _KEY_BLOCK.fullmatch(given[slice(*span)])
        or (_PLAIN.fullmatch(given[slice(*span)]) and any(start <= first and last <= end for start, end in named))
    ]
    if plain == [(0, len(given))]:
        return Unshown(len(given))
    parts, done = [], 0
    for start, end in plain:
        parts += [given[done:start], Unshown(end - start)]
        done = end
    return "".join([*parts, given[done:]])


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
    return json.dumps(as_supplied(data), ensure_ascii=False) if isinstance(data, dict | list) else given


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
