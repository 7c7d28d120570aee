"""Leaves out of answers what is about clusters that a rule of the operator closes to reading."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.guard.facts import facts_in
from ap_mcp.guard.policy import Policy, explain, needs_cluster
from ap_mcp.guard.subject import subject_of
from ap_mcp.specs import CLUSTER, Operation


@dataclass(slots=True)
class Opened:
    """What is left of a list of clusters.

    Attributes:
        rows: the clusters that may be read.
        closed: the others.
    """

    rows: list[Any] = field(default_factory=list)
    closed: list[Any] = field(default_factory=list)


def closes_clusters(read: Operation, policy: Policy) -> bool:
    """Say whether the policy may close some clusters to a read of one."""
    return bool(policy.rules) and needs_cluster(subject_of(read, {CLUSTER: ""}), policy)


def opened(rows: Collection[Any], read: Operation, policy: Policy) -> Opened:
    """Sort the clusters of a list into those that may be read and those that a rule closes; doubt closes.

    Args:
        rows: each as `read` answers it.
        read: reads one cluster.
        policy: the rules.
    """
    found = Opened()
    for row in rows:
        (found.closed if _is_closed(row, read, policy) else found.rows).append(row)
    return found


def left_out(count: int) -> str:
    """Return the line that says that some clusters are not shown."""
    are = "cluster is" if count == 1 else "clusters are"
    return f"{count} {are} not shown because a rule of the operator closes {'it' if count == 1 else 'them'} to reading."


def mentions(value: Any, ids: Collection[str]) -> bool:
    """Say whether any of some ids stands anywhere in JSON-like data."""
    if isinstance(value, str):
        return value.lower() in ids
    if isinstance(value, Mapping):
        return any(mentions(each, ids) for each in value.values())
    return isinstance(value, list) and any(mentions(each, ids) for each in value)


def _is_closed(row: Any, read: Operation, policy: Policy) -> bool:
    facts = facts_in(row)
    named = facts.cluster.id if facts.cluster else ""
    verdicts = explain(subject_of(read, {CLUSTER: named}, facts), policy).verdicts
    return any(
        each.rule.decision == "deny" and each.rule.about_clusters and each.matches is not False for each in verdicts
    )
