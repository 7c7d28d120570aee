"""How an upgrade that the service has planned stands to its own window."""

from datetime import datetime
from typing import Any, Literal, TypeAlias

from ap_mcp.rules.phases import UPGRADE, phases_of
from ap_mcp.vendor import get, moment, text

PlanState: TypeAlias = Literal["ahead", "due", "over"]
_OVER = ("expire", "cancel")
"""How further phases of a plan that is over may begin: the service documents no phases of plans."""


def plan_state(plan: Any, at: datetime) -> PlanState:
    """Say whether a planned upgrade is ahead, may start any minute, or is over.

    It is over once its phase is an end, or its window is past. It is due from the start of its window on, whatever
    else its phase says; one whose start is not known is ahead.
    """
    start, end = moment(get(plan, "/spec/notBefore")), moment(get(plan, "/spec/notAfter"))
    if _has_ended(text(get(plan, "/status/phase"))) or (end is not None and end < at):
        return "over"
    return "due" if start is not None and start <= at else "ahead"


def is_overdue(plan: Any, at: datetime) -> bool:
    """Say whether the window of a planned upgrade is past, and nothing says that it took place or was called off."""
    end = moment(get(plan, "/spec/notAfter"))
    return end is not None and end < at and not _has_ended(text(get(plan, "/status/phase")))


def _has_ended(phase: str) -> bool:
    """Say whether a phase is an end of the upgrade itself, or a word that it no longer takes place."""
    return phases_of(UPGRADE).ends(phase) or phase.lower().startswith(_OVER)
