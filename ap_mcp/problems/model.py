"""What a search for problems is made of: what was found, and what it checked."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import Field

from ap_mcp.masking import mask
from ap_mcp.rules.clusters import phase_of
from ap_mcp.summaries.base import NextCall, Part, Result
from ap_mcp.vendor import get, text, word

Gravity: TypeAlias = Literal["critical", "warning", "notice"]
GRAVITIES: Sequence[Gravity] = ("critical", "warning", "notice")
"""Does not work, or an upgrade that hangs; will not go on, or fails next; should be known. The gravest first."""
CLUSTER, ADDON, RELEASE, UPGRADE, JOB = "cluster", "add-on", "release", "upgrade", "job"
BACKUP, CHECK, PLAN, QUOTA, WORKLOAD = "backup", "pre-upgrade check", "planned upgrade", "quota", "workload"
KINDS = (CLUSTER, UPGRADE, ADDON, RELEASE, WORKLOAD, BACKUP, JOB, CHECK, PLAN, QUOTA)
"""Kinds of things in the order in which problems of one gravity are shown; unknown ones come last."""

LISTS: Mapping[str, str] = {
    CLUSTER: "list_clusters",
    UPGRADE: "list_upgrade_tasks",
    ADDON: "list_addons",
    RELEASE: "list_releases",
    WORKLOAD: "k8s_diagnose",
    BACKUP: "list_backups",
    JOB: "list_jobs",
    CHECK: "list_prechecks",
    PLAN: "list_upgrade_plans",
    QUOTA: "get_quotas",
}
"""Tools that show all things of a kind."""


class ProblemLine(Part):
    """One thing that needs attention."""

    what: str
    gravity: Gravity
    cause: str | None = None
    cluster: str | None = None


class ProblemList(Result):
    """What needs attention, the gravest first; `next` holds the call that leads on from each, in the same order."""

    problems: list[ProblemLine] = Field(default_factory=list)
    more: list[str] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None
    looked_at: dict[str, int] = Field(default_factory=dict)
    unread: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A thing that needs attention.

    Attributes:
        kind: what it is.
        name: the thing, as the reason for the next call begins with it.
        what: which thing, and how it is; a sentence without its stop.
        cause: what the service says about it; empty if it says nothing.
        next: the call that leads on.
    """

    gravity: Gravity
    kind: str
    name: str
    what: str
    next: NextCall
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, how many things of which kind it saw, and why it could not read something, by what it is."""

    troubles: Sequence[Trouble] = ()
    seen: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster that is checked.

    Attributes:
        body: what list_clusters or get_cluster say of it, secrets masked.
        at: the service's time.
        read_as_is: reads like `read`, but leaves it to the search to mask what it shows.
        namesakes: other clusters of the search are called the same.

    What cannot be read is reported, and ends the search.
    """

    body: Any
    at: datetime
    read_as_is: Callable[[str], Awaitable[Any]]
    namesakes: bool = False

    async def read(self, operation: str) -> Any:
        """Read an operation on the cluster, secrets masked.

        Raises:
            ApMcpError: it cannot be read.
        """
        return mask(await self.read_as_is(operation))

    @property
    def id(self) -> str:
        """The id of the cluster."""
        return text(get(self.body, "/metadata/uid"))

    @property
    def name(self) -> str:
        """What the cluster is called in a sentence; with its id if others are called the same."""
        called, uid = word(get(self.body, "/metadata/name")), word(self.id)
        if called and uid and self.namesakes:
            return f"{called} ({uid})"
        return called or uid or "a cluster without a name"

    @property
    def phase(self) -> str:
        """The phase of the cluster."""
        return phase_of(self.body)

    def call(self, tool: str, why: str, **arguments: Any) -> NextCall:
        """Return a call on the cluster; what is empty is left out."""
        given = {"cluster_id": self.id, **arguments}
        return NextCall(tool=tool, arguments={key: value for key, value in given.items() if value != ""}, why=why)


Look: TypeAlias = Callable[[Place], Awaitable[Found]]
"""Looks into a cluster for problems of one kind: a plain function that reads with `place.read`."""


@dataclass
class Tally:
    """What was seen, and what could not be read.

    Attributes:
        unread: why, by cluster (empty for the account) and operation.
    """

    seen: Counter[str] = field(default_factory=Counter)
    unread: dict[tuple[str, str], str] = field(default_factory=dict)


def picked(row: Any, *names: str) -> dict[str, Any]:
    """Return some fields of a row, secrets masked; masking all of a row, as a release with its manifest, takes long."""
    found = {name: get(row, f"/{name}") for name in names}
    masked: dict[str, Any] = mask({name: value for name, value in found.items() if value is not None})
    return masked
