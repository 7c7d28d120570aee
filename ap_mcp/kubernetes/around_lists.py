"""Lists of a cluster that tell what a change does to other objects, each read once for all that a call changes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.api import ClusterApi, every_object
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.kubernetes.steps import Step
from ap_mcp.vendor import get, word

Made: TypeAlias = Mapping[tuple[str, str, str], Any]
"""Objects that a call creates, as they become, by kind, namespace and name."""


@dataclass
class Lists:
    """Lists of one cluster, each read once; what cannot be read is noted."""

    api: ClusterApi
    made: Made
    _known: dict[tuple[str, ...], list[dict[str, Any]] | ApMcpError] = field(default_factory=dict)

    async def read(self, kind: str, namespace: str, labels: str = "") -> list[dict[str, Any]] | ApMcpError:
        """Return the objects of a well-known kind in a namespace, or in all of them, or why they were not read."""
        resource = next(each for each in known_kinds() if each.kind == kind)
        return await self._read(resource, namespace, labels)

    async def _read(self, resource: Resource, namespace: str, labels: str = "") -> list[dict[str, Any]] | ApMcpError:
        key = (resource.full, namespace, labels)
        if key not in self._known:
            try:
                self._known[key] = await every_object(self.api, resource, namespace, {"labelSelector": labels})
            except ApMcpError as error:
                self._known[key] = error
        return self._known[key]

    async def of(
        self, kind: str, namespace: str, unread: dict[str, ApMcpError], labels: str = ""
    ) -> list[dict[str, Any]]:
        """Return the objects of a well-known kind; none, and so noted, if they were not read."""
        found = await self.read(kind, namespace, labels)
        if isinstance(found, ApMcpError):
            unread[f"which {kind} it concerns"] = found
            return []
        return found

    async def of_custom(self, kinds: Collection[str], namespace: str, unread: dict[str, ApMcpError]) -> list[str]:
        """Return the objects of custom kinds that may concern a namespace, in words; what was not read is noted."""
        try:
            served = [each for each in await self.api.served() if each.full in kinds] if kinds else []
        except ApMcpError as error:
            unread["which custom kinds select pods"] = error
            return []
        named = list[str]()
        for resource in served:
            found = await self._read(resource, namespace if resource.namespaced else "")
            if isinstance(found, ApMcpError):
                unread[f"which {word(resource.kind)} it concerns"] = found
            else:
                named += [f"{word(resource.kind)} {word(get(each, '/metadata/name'))}" for each in found]
        return named


def made_by(steps: Iterable[Step]) -> Made:
    """Return what the steps of a call create."""
    changes = (each.change for each in steps if each.change.verb == "create")
    return {(each.resource.full, each.namespace, each.name): each.after for each in changes}
