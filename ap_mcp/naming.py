"""What callers name and the cloud does not: finds the id by a name, and the whole version by a short one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ap_mcp.errors import AmbiguousName, InvalidArguments, NameNotFound, Problem
from ap_mcp.masking import mask_text
from ap_mcp.rules.versions import meant_by
from ap_mcp.specs import Names, Offered, Operation, tokens
from ap_mcp.vendor import get, items, quoted, text, word
from ap_mcp.wording import closest, few

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MOST_NAMED = 10
ALIKE = "Did you mean"
NO_STEP = ("", ".", "..")
"""What can be no part of a path."""


def name_given(names: Names, arguments: Mapping[str, Any], operation: Operation | None) -> str | None:
    """Return the name that a call gives for an id; None if it gives the id, or neither.

    Args:
        names: how such a thing is found.
        arguments: of the call.
        operation: what is called; without it nothing is found for an argument that is left out.
    """
    if not names.searched_by:
        wanted = arguments.get(names.argument)
        return wanted if isinstance(wanted, str) and not UUID.fullmatch(wanted) else None
    place = operation.arguments.get(names.argument) if operation is not None else None
    if place is None or place.path_parameter is None or names.argument in arguments:
        return None
    wanted = arguments.get(names.searched_by)
    return wanted if isinstance(wanted, str) else None


def found(names: Names, lister: Operation, body: Any, wanted: str) -> str:
    """Return the id of the one thing that goes by a name.

    Args:
        names: how such a thing is found.
        lister: the operation that lists such things.
        body: what it answered.
        wanted: the name. An id counts as one too, before any name that is the same.

    Raises:
        CallRefused: the name fits nothing, or several things.
    """
    rows = [(each, row) for row in items(body, names.list) if (each := _id(row, names)) is not None]
    if not names.searched_by and any(each == wanted for each, _ in rows):
        return wanted
    # Several things may share an id that is found by a name: the releases of one namespace.
    named = {each: row for each, row in rows if wanted in called(row, names)} or _short(names, rows, wanted)
    if len(named) == 1:
        return next(iter(named))
    if named:
        choices = "".join(f"\n- {_choice(row, names)}" for row in list(named.values())[:MOST_NAMED])
        more = f"\n- and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        one = names.argument if names.searched_by else "id or name:version" if names.version else "id"
        raise AmbiguousName(f"{len(named)} {names.thing}s are called {quoted(wanted)}. Give one {one}:{choices}{more}")
    raise no_such(names, lister, [row for _, row in rows], wanted)


def no_such(names: Names, lister: Operation, rows: Sequence[Any], wanted: str) -> NameNotFound:
    """Return the error that nothing is called so, with what may be meant, or with what there is.

    Args:
        names: how such a thing is found.
        lister: the operation that lists such things.
        rows: the entries that it answered.
        wanted: the name.
    """
    known = _named_like(wanted, names, rows)
    error = NameNotFound(f"No {_thing(names)} is called {quoted(wanted)}. {known} {lister.id} shows all.")
    error.alike = known.startswith(ALIKE)
    return error


def _short(names: Names, rows: Sequence[tuple[str, Any]], wanted: str) -> dict[str, Any]:
    """Return the entries, by their ids, that a name with a short version means, as `redis:18.1` does."""
    bare, colon, short = wanted.rpartition(":")
    if not names.version or not colon:
        return {}
    versions = {each: text(get(row, names.version)) for each, row in rows if bare in called(row, names)}
    fitting = meant_by(short, list(dict.fromkeys(versions.values())))
    return {each: row for each, row in rows if versions.get(each) in fitting}


def whole_version(name: str, offered: Offered, body: Any, wanted: str) -> str:
    """Return the one version that a short one means; the short one itself if it fits none and there may be others.

    Args:
        name: of the argument.
        offered: where the versions stand.
        body: what was answered by the operation that lists them.
        wanted: the short one.

    Raises:
        InvalidArguments: it fits several, or none of all there are.
    """
    listed = [text(each) for pointer in offered.versions for each in _every(body, tokens(pointer))]
    versions = list(dict.fromkeys(each for each in listed if each))
    itself = [each for each in meant_by(wanted, versions, itself=True) if re.fullmatch(offered.whole, each)]
    if itself:
        return itself[0]
    fitting = meant_by(wanted, versions)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and not (offered.complete and versions):
        return wanted
    said = f"could be any of {few([word(each) for each in fitting])}. Give one of them"
    if not fitting:
        said = f"is not offered. Offered: {few([word(each) for each in versions])}"
    raise InvalidArguments([Problem(name, f"{word(wanted)} {said}")])


def _id(row: Any, names: Names) -> str | None:
    """Return the id of an entry; None if it has none that could be sent."""
    found = get(row, names.id)
    return found if isinstance(found, str) and found not in NO_STEP else None


def called(row: Any, names: Names) -> list[str]:
    """Return the names of an entry, those with its version last."""
    bare = _bare(row, names)
    version = text(get(row, names.version)) if names.version else ""
    return [*bare, *(f"{each}:{version}" for each in bare if version)]


def _bare(row: Any, names: Names) -> list[str]:
    return [each for pointer in names.by if isinstance(each := get(row, pointer), str) and each]


def _choice(row: Any, names: Names) -> str:
    every = called(row, names)
    shown = f" ({word(get(row, names.shown))})" if names.shown else ""
    name = every[-1] if names.version else every[0]
    return f"{word(get(row, names.id))} {word(mask_text(name))}{shown}"


def _thing(names: Names) -> str:
    return f"{names.thing} of this cluster" if names.within else names.thing


def _named_like(wanted: str, names: Names, rows: Sequence[Any]) -> str:
    """Say which things may be meant by a name that fits none, or which there are; each stands there once."""
    known = dict(sorted((label, every) for row in rows for label, every in _labels(row, names)))
    if not known:
        return f"There are no {names.thing}s."
    if near := alike(wanted, known):
        return f"{ALIKE} {' or '.join(near[:MOST_NAMED])}?"
    return f"There are: {few(list(known), MOST_NAMED)}."


def alike(wanted: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the labels of things of which a name is like one that fits none.

    Args:
        wanted: that name.
        known: the names of each thing, by its label.
    """
    folded = wanted.strip().casefold()
    close = closest(folded, [each.casefold() for every in known.values() for each in every])

    def is_like(name: str) -> bool:
        return name in close or (bool(folded) and folded in name)

    return [label for label, every in known.items() if any(is_like(each.casefold()) for each in every)]


def _labels(row: Any, names: Names) -> Iterator[tuple[str, list[str]]]:
    """Yield how an entry is named in a suggestion, with the names that stand for it.

    An alias stands beside its name, or one thing would look like two; a name with its version is a choice of its own.
    """
    bare = list(dict.fromkeys(map(mask_text, _bare(row, names))))
    if bare:
        aliases = f" (alias {', '.join(map(word, bare[1:]))})" if bare[1:] else ""
        yield f"{word(bare[0])}{aliases}", bare
    for each in map(mask_text, called(row, names)):
        if each not in bare:
            yield word(each), [each]


def _every(node: Any, steps: Sequence[str]) -> Iterator[Any]:
    """Yield what stands at a place, in which `*` is every entry of a list."""
    if not steps:
        yield node
    elif steps[0] == "*":
        for each in node if isinstance(node, list) else ():
            yield from _every(each, steps[1:])
    elif isinstance(node, Mapping):
        yield from _every(node.get(steps[0]), steps[1:])
