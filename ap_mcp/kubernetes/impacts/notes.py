"""What is noted about one step while its impact is written, and the reads that tell of what stands around an object."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ap_mcp.errors import ApMcpError
from ap_mcp.guard.impacts.base import not_read
from ap_mcp.kubernetes.api import ClusterApi, every_object
from ap_mcp.kubernetes.effects import Change
from ap_mcp.kubernetes.pods import has_ended
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.kubernetes.steps import Step
from ap_mcp.vendor import get, mapping, text, word


@dataclass
class Notes:
    """What a person is shown about one step, as `Impact` has it.

    Attributes:
        step: what is done.
        api: the cluster.
        now: the time that ages are measured against.
    """

    step: Step
    api: ClusterApi
    now: datetime
    deed: str = ""
    sentence: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    goes: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stable: dict[str, Any] = field(default_factory=dict)
    final: bool = False

    @property
    def change(self) -> Change:
        """What is done to the object."""
        return self.step.change

    @property
    def live(self) -> Any:
        """The object as it is; None if there is none."""
        return self.step.change.before

    def fact(self, label: str, value: str | None) -> None:
        """Note what the object is; nothing is noted for an empty value."""
        if value:
            self.facts.append((label, value))

    async def listed(
        self, kind: str, what: str, namespace: str | None = None, query: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]] | None:
        """Return the objects of a well-known kind in the object's namespace; None, and so noted, if they are not read.

        Args:
            kind: as manifests have it.
            what: what is not known without them.
            namespace: another one; empty for all of them.
            query: selectors and limits.
        """
        place = self.change.namespace if namespace is None else namespace
        try:
            return await every_object(self.api, kind_of(kind), place, query)
        except ApMcpError as error:
            self.unread(what, error)
            return None

    async def got(self, kind: str, name: str, namespace: str, what: str) -> Any:
        """Return one object of a well-known kind; None, and so noted, if it is not read."""
        try:
            return await self.api.get(kind_of(kind), name, namespace)
        except ApMcpError as error:
            self.unread(what, error)
            return None

    def unread(self, what: str, error: ApMcpError) -> None:
        """Say that something could not be read, or may not: it is unknown, and a warning."""
        line = f"{what}: {not_read(error)}"
        if line not in self.unknown:
            self.unknown.append(line)
            self.warnings.append(f"Not read: {what}.")
            self.stable["unread"] = sorted([*self.stable.get("unread", []), what])


def kind_of(kind: str) -> Resource:
    """Return a well-known kind."""
    return next(each for each in known_kinds() if each.kind == kind)


def names_of(found: list[dict[str, Any]]) -> list[str]:
    """Return the names of some objects, fit to be shown."""
    return [word(name_of(each)) for each in found]


def name_of(body: Any) -> str:
    """Return an object's name."""
    return text(get(body, "/metadata/name"))


def is_ending(pod: Any) -> bool:
    """Say whether a pod is being deleted, or has ended by itself."""
    return has_ended(pod) or get(pod, "/metadata/deletionTimestamp") is not None


def labels_of(body: Any, pointer: str = "/metadata/labels") -> dict[str, str]:
    """Return the labels of an object, or of its pods."""
    return mapping(body, pointer)


def walk(value: Any) -> Iterator[Any]:
    """Yield every object within data."""
    if isinstance(value, Mapping):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)
