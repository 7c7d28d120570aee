"""Reads which Kubernetes objects a release consists of.

The reference says of `resources` no more than that it is a text. Releases are described as Helm 2 does, and that prints
objects as kubectl would: `==> v1/Service`, a line of headings, a line for each. A manifest and JSON are read too.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ap_mcp.vendor import get, loaded, text, word

_KIND = re.compile(r"==> (?:[\w.-]{1,80}/){0,2}([A-Za-z]{1,60})(?:\(\w{1,40}\))?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.:-]{0,251}[a-z0-9])?")
_IN_MANIFEST = re.compile(r"(kind|  name): *[\"']?([\w.:-]{1,253})[\"']?\s*(?:#.*)?")
LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class ReleaseObjects:
    """Objects by their kind, kinds and names in the order of the answer.

    Attributes:
        names: by kind.
    """

    names: Mapping[str, tuple[str, ...]]

    @property
    def lines(self) -> list[str]:
        """One text for each kind: `Deployment shop-api, shop-worker`."""
        return [f"{word(kind)} {', '.join(map(word, names))}" for kind, names in self.names.items()]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.names.values()))


def release_objects(resources: Any) -> ReleaseObjects | None:
    """Return the objects of a release; None if the service does not report them in a form that is known."""
    found = loaded(resources)
    pairs = list(_in_text(found[:LONGEST]) if isinstance(found, str) else _in_data(found, ""))
    names: dict[str, dict[str, None]] = {}
    for kind, name in pairs:
        names.setdefault(kind, {})[name] = None
    return ReleaseObjects({kind: tuple(each) for kind, each in names.items()}) if names else None


def _in_text(found: str) -> Iterator[tuple[str, str]]:
    """Yield the objects that a text names: as kubectl prints them, or as a manifest has them."""
    if "==> " not in found:
        yield from _in_manifests(found)
        return
    kind, column = "", 0
    for line in found.splitlines():
        if title := _KIND.match(line):
            kind, column = title[1], -1
            continue
        words = line.split()
        if not kind or not words:
            continue
        if words[0].isupper() or "NAME" in words:
            column = words.index("NAME") if "NAME" in words else -1
        elif 0 <= column < len(words) and _NAME.fullmatch(words[column]):
            yield kind, words[column]


def _in_manifests(found: str) -> Iterator[tuple[str, str]]:
    for document in re.split(r"(?m)^---", found):
        said: dict[str, str] = {}
        for line in document.splitlines():
            if line.startswith("metadata:"):
                said.pop("  name", None)
            if (match := _IN_MANIFEST.fullmatch(line)) and match[1] not in said:
                said[match[1]] = match[2]
        if said.keys() == {"kind", "  name"}:
            yield said["kind"], said["  name"]


def _in_data(found: Any, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the objects in JSON: a list of them, or lists of them or of names by their kind."""
    if isinstance(found, list):
        for each in found:
            if isinstance(each, str) and kind:
                yield kind, text(each)
            else:
                yield from _in_data(each, kind)
    elif isinstance(found, Mapping):
        own = text(get(found, "/kind")) or kind
        name = text(get(found, "/metadata/name") or get(found, "/name"))
        if own and name:
            yield own, name
            return
        for key, each in found.items():
            yield from _in_data(each, kind if key == "items" else text(key)) if isinstance(each, list | dict) else ()
