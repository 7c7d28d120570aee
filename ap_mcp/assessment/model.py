"""What an assessment of an upgrade is made of: what was read, what is said about it, and the calls to come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import Field

from ap_mcp.rules.upgrades import Way, tasks_of
from ap_mcp.rules.wait_hints import WAIT_FOR
from ap_mcp.summaries.base import NextCall, Ours, Result
from ap_mcp.vendor import get, text

DETAILED = 5
"""Things of a kind that are shown in full; the others are named."""


class Assessment(Result):
    """Whether a cluster can be upgraded now: what blocks it, what is risky, what has passed, what is not known."""

    verdict: str = ""
    cluster_id: str = ""
    name: str = ""
    from_version: str = ""
    to_version: str | None = None
    upgrade_path: list[str] = Field(default_factory=list)
    precheck_id: str | None = None
    blockers: list[Ours] = Field(default_factory=list)
    risks: list[Ours] = Field(default_factory=list)
    passed: list[Ours] = Field(default_factory=list)
    unknown: list[Ours] = Field(default_factory=list)
    gates: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpgradeReads:
    """What was read.

    Attributes:
        cluster_id: the cluster.
        wanted: the version that was asked for; None for the newest that is offered.
        now: the version it runs; empty if that is not reported.
        offered: the versions it can go to.
        upgrade_path: the versions to go through, the first of which is offered; empty if there is nothing to go to.
        answers: what reads answered, by operation, secrets masked; one that failed is missing.
        errors: why those failed, in our words.
        templates: of add-ons that may not fit, by name.
        at: the time to measure ages against.
        absent: tools that this server does not offer.
        closed: tools that a rule of the operator forbids here, and which rule.
        needs: what the account must have for an upgrade and nobody can read; empty if nothing is.
    """

    cluster_id: str
    wanted: str | None
    now: str
    offered: Sequence[str]
    upgrade_path: Sequence[str]
    answers: Mapping[str, Any]
    errors: Mapping[str, str]
    templates: Mapping[str, Any]
    at: datetime
    absent: frozenset[str] = frozenset()
    closed: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""

    @property
    def way(self) -> Way:
        """The upgrade that is assessed: to the first version of the path."""
        return Way(self.cluster_id, self.now, self.upgrade_path[0], self.offered)

    @property
    def cluster(self) -> Any:
        """What get_cluster answered."""
        return self.answers["get_cluster"]

    @property
    def info(self) -> Any:
        """What get_upgrade_info answered; None if it failed."""
        return self.answers.get("get_upgrade_info")

    def listed(self, operation: str) -> list[dict[str, Any]]:
        """Return the entries that a read answered, the oldest first; none if it failed."""
        return tasks_of(self.answers.get(operation)) or []


@dataclass
class AssessmentDraft:
    """An assessment being made; `steps` are the calls to come, in their order.

    Attributes:
        precheck_id: the check that decides, or the last one that broke off.
        along: add-ons that the upgrade must take along, as upgrade_cluster takes them.
        found_risks: how many of the risks a check found.
        more_risks: risks that share a line with others.
        more_blockers: likewise.
    """

    reads: UpgradeReads
    blockers: list[str] = field(default_factory=list)
    risks: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    steps: list[NextCall] = field(default_factory=list)
    precheck_id: str = ""
    along: list[dict[str, str]] = field(default_factory=list)
    found_risks: int = 0
    more_risks: int = 0
    more_blockers: int = 0

    def step(self, tool: str, why: str, **arguments: Any) -> bool:
        """Add a call on the cluster, if it can be made here; say whether that is so."""
        return self.call(tool, why, cluster_id=self.reads.cluster_id, **arguments)

    def call(self, tool: str, why: str, **arguments: Any) -> bool:
        """Add a call, if it can be made here and all it needs is known; say whether that is so."""
        if tool in self.reads.absent or tool in self.reads.closed or "" in arguments.values():
            return False
        self.steps.append(NextCall(tool=tool, arguments=arguments, why=why))
        return True

    def wait(self, kind: str, id_: str, why: str) -> bool:
        """Add a wait for something in the cluster; say whether its id is known."""
        return self.step(WAIT_FOR, why, kind=kind, id=id_)


def id_of(body: Any) -> str:
    """Return the id of anything that has metadata."""
    return text(get(body, "/metadata/uid"))
