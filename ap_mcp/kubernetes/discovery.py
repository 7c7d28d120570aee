"""Reads which kinds a cluster serves: from its aggregated discovery, or group by group where it has none."""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from anyio import Lock

from ap_mcp.aside import on_the_loop
from ap_mcp.kubernetes.kinds import chosen, fitting
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.parallel_reads import read_together
from ap_mcp.vendor import get, items, text

AGGREGATED = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
ACCEPT = f"{AGGREGATED},application/json"
KEPT_SECONDS = 600.0
MOST_VERSIONS = 500
"""Versions of groups that are asked for, each by a request: no cluster has more."""

Read: TypeAlias = Callable[[tuple[str, ...], str], Awaitable[Any]]
"""Reads a path, given as its parts, with an Accept header."""


@dataclass(slots=True)
class _Kept:
    kinds: tuple[Resource, ...] = ()
    at: float = float("-inf")
    lock: Lock = field(default_factory=Lock)


class KnownKinds:
    """The kinds that clusters serve, kept for a while; shared by all callers.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[str, _Kept] = {}

    async def find(self, cluster: str, said: str, read: Read) -> Resource:
        """Return the kind that a caller means.

        The well-known ones are answered without a request. Any other asks the cluster, once more if what is kept does
        not have it, for a definition may have come since.

        Args:
            cluster: its id.
            said: as the caller names it.
            read: reads from the cluster.

        Raises:
            CallRefused: there is no such kind.
            ApMcpError: the cluster could not be asked.
        """
        if found := fitting(said, known_kinds()):
            return found[0]
        kept = self._kept.get(cluster)
        if kept is not None and (found := fitting(said, kept.kinds)):
            return found[0]
        return chosen(said, await self.served(cluster, read, fresh=True))

    @on_the_loop
    async def served(self, cluster: str, read: Read, *, fresh: bool = False) -> tuple[Resource, ...]:
        """Return all kinds that a cluster serves.

        Raises:
            ApMcpError: the cluster could not be asked.
        """
        kept = self._kept.setdefault(cluster, _Kept())
        asked = self._now()
        async with kept.lock:
            # Who waited for somebody else's question takes the answer to it.
            if not kept.kinds or (kept.at < asked if fresh else self._now() - kept.at > KEPT_SECONDS):
                kept.kinds = await served_by(read)
                kept.at = self._now()
        return kept.kinds

    def forget(self, cluster: str) -> None:
        """Ask a cluster again the next time: it said that it does not serve what it served."""
        self._kept.pop(cluster, None)


async def served_by(read: Read) -> tuple[Resource, ...]:
    """Ask a cluster for all kinds it serves.

    Raises:
        ApMcpError: it could not be asked.
    """
    core, groups = await read(("api",), ACCEPT), await read(("apis",), ACCEPT)
    if get(core, "/kind") == "APIGroupDiscoveryList" and get(groups, "/kind") == "APIGroupDiscoveryList":
        found = [each for body in (core, groups) for each in _aggregated(body)]
    else:
        found = await _one_by_one(read, core, groups)
    return tuple(filter(_is_sound, found))


_KIND, _NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*"), re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def _is_sound(resource: Resource) -> bool:
    """Say whether a kind can be one: its names fit into a path, and it is called as Kubernetes calls what is there.

    Rules go by the kind and requests by the plural: what calls Secrets something else would lead round the rules.
    """
    names = (resource.plural, resource.version, *([resource.group] if resource.group else []))
    own = next((each.kind for each in known_kinds() if each.parts()[1:] == resource.parts()[1:]), resource.kind)
    return own == resource.kind and bool(_KIND.fullmatch(resource.kind)) and all(map(_NAME.fullmatch, names))


def _aggregated(body: Any) -> Iterator[Resource]:
    """Yield the kinds of an APIGroupDiscoveryList, each in the first version that has it, which is the preferred."""
    for group in items(body, "/items"):
        seen: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for version in items(group, "/versions"):
            for resource in items(version, "/resources"):
                seen.setdefault(text(get(resource, "/resource")), []).append((text(get(version, "/version")), resource))
        for plural, served in seen.items():
            first, resource = served[0]
            yield Resource(
                kind=text(get(resource, "/responseKind/kind")),
                group=text(get(group, "/metadata/name")),
                version=first,
                plural=plural,
                namespaced=get(resource, "/scope") == "Namespaced",
                short=_texts(resource, "/shortNames"),
                singular=text(get(resource, "/singularResource")),
                versions=tuple(version for version, _ in served),
                verbs=frozenset(_texts(resource, "/verbs")),
                subresources=frozenset(text(get(each, "/subresource")) for each in items(resource, "/subresources")),
            )


async def _one_by_one(read: Read, core: Any, groups: Any) -> list[Resource]:
    """Ask for each group and version by itself, as clusters older than aggregated discovery want it."""
    wanted: dict[tuple[str, ...], tuple[str, str]] = {("api", "v1"): ("", "v1")} if core else {}
    for group in items(groups, "/groups"):
        name = text(get(group, "/name"))
        preferred = text(get(group, "/preferredVersion/version"))
        versions = [text(get(each, "/version")) for each in items(group, "/versions")]
        for version in sorted(versions, key=lambda each: each != preferred):
            wanted["apis", name, version] = (name, version)

    async def one(parts: str) -> Any:
        return await read(tuple(parts.split("/")), "application/json")

    wanted = dict(islice(wanted.items(), MOST_VERSIONS))
    found, _ = await read_together(one, {"/".join(parts): ("/".join(parts), {}) for parts in wanted})
    kinds: dict[tuple[str, str], Resource] = {}
    for parts, (group_name, version) in wanted.items():
        for each in kinds_of(found.get("/".join(parts)), group_name, version):
            kinds.setdefault((group_name, each.plural), each)
    return list(kinds.values())


def path_of(group: str, version: str) -> tuple[str, ...]:
    """Return the parts of the path at which a version of a group lists its kinds."""
    return ("apis", group, version) if group else ("api", version)


def kinds_of(body: Any, group: str, version: str) -> Iterator[Resource]:
    """Yield the kinds of an APIResourceList, which is of one version of a group."""
    below: dict[str, set[str]] = {}
    listed = items(body, "/resources")
    for each in listed:
        plural, _, subresource = text(get(each, "/name")).partition("/")
        below.setdefault(plural, set()).update({subresource} if subresource else ())
    for each in listed:
        plural = text(get(each, "/name"))
        if "/" not in plural:
            yield Resource(
                kind=text(get(each, "/kind")),
                group=group,
                version=version,
                plural=plural,
                namespaced=get(each, "/namespaced") is True,
                short=_texts(each, "/shortNames"),
                singular=text(get(each, "/singularName")),
                versions=(version,),
                verbs=frozenset(_texts(each, "/verbs")),
                subresources=frozenset(below[plural]),
            )


def _texts(body: Any, pointer: str) -> tuple[str, ...]:
    found = get(body, pointer)
    return tuple(text(each) for each in found) if isinstance(found, list) else ()
