"""Says which existing Secrets the settings of a chart name: its pods can read them, and their logs may show them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ap_mcp.wording import path, remembered

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+").findall
"""The words of a key, as in `existingSecret` and `TLS_SECRET_NAME`."""
_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?").fullmatch
_ENDS = (("secret", "name"), ("secret", "ref"), ("secret", "key", "ref"), ("from", "secret"), ("vars", "secret"))
"""Last words of a key that holds the name of a Secret, one or several."""
_EXISTING = "existing"
_PULLED_WITH = "pull"
"""No container sees the Secrets that images are pulled with."""
_EDGE = {"ingress", "tls"}
"""What only the Ingress controller reads."""
_SOURCES = "sources"
"""Of a projected volume; an entry's `secret` has the name below it."""


class Named(NamedTuple):
    """What exists already and the pods of a release can read: `Secret db`; and the setting that says so."""

    what: str
    setting: str


def secrets_named(values: Any) -> list[Named]:
    """Return what the settings of a chart hand to its pods by name, in the order in which it stands there."""
    return list(_named(values, (), frozenset()))


def _named(node: Any, way: tuple[str, ...], above: frozenset[str]) -> Iterator[Named]:
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from _named(each, (*way, str(number)), above)
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        here, words = (*way, str(key)), _words(str(key))
        every = above.union(words)
        if account := _account(here, value):
            yield Named(f"the token of ServiceAccount {account}", path(here))
        elif _holds_names(words, every, value) and (names := _names(value)):
            yield from (Named(f"Secret {name}", path(here)) for name in names)
        else:
            yield from _named(value, here, every)


@remembered(4096)
def _words(key: str) -> tuple[str, ...]:
    return tuple(each.lower() for each in _WORDS(key))


def _holds_names(last: tuple[str, ...], every: frozenset[str], value: Any) -> bool:
    """Say whether names of Secrets that containers read stand at a place.

    Args:
        last: the words of its key.
        every: those of the keys above it as well.
        value: what stands there.
    """
    if _PULLED_WITH in every or every >= _EDGE:
        return False
    if last == ("secrets",):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if last == ("secret",):
        return _SOURCES in every
    single = tuple(each.removesuffix("s") if each in ("secrets", "names") else each for each in last)
    if _EXISTING in single and (single[-1] == "secret" or single[-2:] == ("secret", "name")):
        return True
    return any(single[-len(each) :] == each for each in _ENDS)


def _names(value: Any) -> list[str]:
    """Return the names that stand as they are, in an object, or in a list of either; none if one is no name."""
    if isinstance(value, list):
        found = [name for each in value for name in _names(each)]
        return found if len(found) == len(value) else []
    name = value.get("name") if isinstance(value, Mapping) else value
    return [name] if isinstance(name, str) and _NAME(name) else []


def _account(way: tuple[str, ...], value: Any) -> str:
    """Return the service account that a setting takes without making it; empty if it takes none, or the default one."""
    key = way[-1].lower().replace("_", "")
    name = None
    if key == "serviceaccountname":
        name = value
    elif key == "serviceaccount" and isinstance(value, Mapping) and value.get("create") is False:
        name = value.get("name")
    return name if isinstance(name, str) and name != "default" and _NAME(name) else ""
