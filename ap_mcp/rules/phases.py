"""What a phase means, as the specs say it: guard, summaries, assessment and waits ask here and nowhere else."""

from functools import cache
from typing import Any

from ap_mcp.specs import load_catalog
from ap_mcp.specs.waits import FAILURE, SUCCESS, PhaseVerdict, Wait

CLUSTER, JOB, ADDON, RELEASE = "cluster", "job", "addon", "release"
UPGRADE, PRECHECK, BACKUP, WORKFLOW = "upgrade_task", "precheck", "backup", "upgrade_workflow"
"""Kinds of things that have phases, as `wait_for` calls them."""


def phases_of(kind: str) -> Wait:
    """Return what the phases of a kind of thing mean.

    Raises:
        KeyError: no operation reads such a thing.
    """
    return load_catalog().waits[kind]


def verdict(kind: str, phase: Any) -> PhaseVerdict | None:
    """Return what a phase of a kind of thing means; None if the specs do not know it."""
    return phases_of(kind).verdict(phase)


def succeeded(kind: str, phase: Any) -> bool:
    """Say whether a phase is the good end: of a cluster or an add-on, that it works."""
    return verdict(kind, phase) == SUCCESS


def under_way(kind: str, phase: Any) -> bool:
    """Say whether something is being done to a thing that ends by itself, a deletion included."""
    return phases_of(kind).under_way(phase)


def broken(kind: str, phase: Any) -> bool:
    """Say whether a thing has failed and is still there; a deletion that has succeeded is no failure of the thing."""
    deletion = _deletion_of(kind)
    return verdict(kind, phase) == FAILURE and (deletion is None or deletion.verdict(phase) != SUCCESS)


def described(kind: str, phase: str) -> str:
    """Return how a phase is said after the name of the thing; empty if the specs have no words for it."""
    return phases_of(kind).described(phase)


@cache
def _deletion_of(kind: str) -> Wait | None:
    """Return what the phases mean while a thing is being deleted, if the specs say so."""
    read = phases_of(kind).operation
    found = (each.wait for each in load_catalog().deletions_of(read))
    return next((each for each in found if each is not None and each.operation == read), None)
