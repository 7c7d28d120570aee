"""Which kinds a cluster serves: those of `data/kinds.tsv`, and one for each custom resource definition."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
METRICS = "metrics.k8s.io"
EXTERNAL_SUBRESOURCES = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "binding": ("", "v1", "Binding"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
}
"""Subresources that have a kind of their own."""

SUBRESOURCE_VERBS = {
    "log": ("get",),
    "eviction": ("create",),
    "token": ("create",),
    "binding": ("create",),
    "finalize": ("update",),
    "exec": ("create", "get"),
    "attach": ("create", "get"),
    "portforward": ("create", "get"),
}
"""What each subresource allows; the others can be read, replaced and patched."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind in one version, as discovery describes it; `storage` names its objects whatever the version."""

    group: str
    version: str
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    singular_name: str = ""
    list_kind_name: str = ""
    custom: bool = False

    @property
    def api_version(self) -> str:
        """Group and version as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The name of one object."""
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        """The kind of a list of them."""
        return self.list_kind_name or f"{self.kind}List"

    @property
    def qualified(self) -> str:
        """The plural with its group, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """The kind with its group, as messages of validation name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def storage(self) -> str:
        """Where its objects are kept: those of all its versions together."""
        return "events" if self.plural == "events" else self.qualified

    @property
    def has_status(self) -> bool:
        """Whether its status is a subresource, which other writes leave alone."""
        return "status" in self.subresources

    def verbs_of(self, subresource: str) -> tuple[str, ...]:
        """List what a subresource allows."""
        return SUBRESOURCE_VERBS.get(subresource, ("get", "patch", "update"))


@cache
def built_in() -> tuple[Kind, ...]:
    """Read the kinds that every cluster serves."""
    source = files("ap_mcp.simulator.kubernetes").joinpath("data/kinds.tsv").read_text(encoding="utf-8")
    return tuple(
        Kind(
            group=row["group"],
            version=row["version"],
            plural=row["plural"],
            kind=row["kind"],
            short_names=_words(row["short names"]),
            namespaced=row["scope"] == "namespaced",
            subresources=_words(row["subresources"]),
            categories=_words(row["categories"]),
            verbs=_words(row["verbs"]) or ALL_VERBS,
        )
        for row in csv.DictReader(source.splitlines(), delimiter="\t")
    )


@cache
def known(kind: str, group: str = "") -> Kind:
    """Return a built-in kind by its name, in the version that comes first."""
    return next(each for each in built_in() if each.kind == kind and each.group == group)


def custom_kinds(definition: Mapping[str, Any]) -> tuple[Kind, ...]:
    """List the kinds, one for each served version, that a custom resource definition makes; none if it is not ready."""
    spec = definition["spec"]
    names = definition.get("status", {}).get("acceptedNames") or {}
    if not names.get("plural"):
        return ()
    return tuple(
        Kind(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            short_names=tuple(names.get("shortNames", ())),
            namespaced=spec["scope"] == "Namespaced",
            subresources=tuple(version.get("subresources") or ()),
            categories=tuple(names.get("categories", ())),
            singular_name=names.get("singular", ""),
            list_kind_name=names.get("listKind", ""),
            custom=True,
        )
        for version in spec["versions"]
        if version["served"]
    )


class Served:
    """The kinds of one cluster: the built-in ones, and those of its custom resource definitions."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]], *, metrics: bool) -> None:
        kinds = [each for each in built_in() if metrics or each.group != METRICS]
        for definition in definitions:
            kinds += custom_kinds(definition)
        self.kinds: Sequence[Kind] = tuple(kinds)
        self._by_path = {(each.group, each.version, each.plural): each for each in kinds}
        self._by_kind = {(each.api_version, each.kind): each for each in kinds}

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        """Find a kind by its place in a path."""
        return self._by_path.get((group, version, plural))

    def of(self, api_version: str, kind: str) -> Kind | None:
        """Find a kind by what an object calls itself."""
        return self._by_kind.get((api_version, kind))

    @cached_property
    def kept(self) -> tuple[Kind, ...]:
        """The kinds whose objects are kept, each once for all its versions."""
        first: dict[str, Kind] = {}
        for each in self.kinds:
            if "delete" in each.verbs:
                first.setdefault(each.storage, each)
        return tuple(first.values())

    def groups(self) -> dict[str, list[str]]:
        """List the versions of each group, the preferred one first; the legacy group is the empty name."""
        found: dict[str, list[str]] = {}
        for each in self.kinds:
            versions = found.setdefault(each.group, [])
            if each.version not in versions:
                versions.append(each.version)
        return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


@cache
def served_at_first(*, metrics: bool) -> Served:
    """Return the kinds of a cluster without custom resource definitions."""
    return Served((), metrics=metrics)
