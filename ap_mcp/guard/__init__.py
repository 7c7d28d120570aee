"""Decides whether a call may go out, and gets a person's consent where it must.

What only guarded calls need is reached through this package (`guard.Confirmer`) and imported when it is first used:
impacts, forms, approvals and the audit, with their ciphers and databases, would take a twentieth of every start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ap_mcp.guard.approvals import ApprovalStore
    from ap_mcp.guard.audit import AuditLog, Entry, Outcome, audit_from
    from ap_mcp.guard.consent import Confirmer, Consent, LookAgain, Request, digest_of
    from ap_mcp.guard.impacts import build_impact
    from ap_mcp.guard.impacts.base import Case
    from ap_mcp.guard.keys import load_approvers
    from ap_mcp.guard.seal import sealer_from

__all__ = [
    "ApprovalStore",
    "AuditLog",
    "Case",
    "Confirmer",
    "Consent",
    "Entry",
    "LookAgain",
    "Outcome",
    "Request",
    "audit_from",
    "build_impact",
    "digest_of",
    "load_approvers",
    "sealer_from",
]

_PLACES = {
    **dict.fromkeys(("Confirmer", "Consent", "LookAgain", "Request", "digest_of"), "consent"),
    **dict.fromkeys(("AuditLog", "Entry", "Outcome", "audit_from"), "audit"),
    "ApprovalStore": "approvals",
    "Case": "impacts.base",
    "build_impact": "impacts",
    "load_approvers": "keys",
    "sealer_from": "seal",
}


def __getattr__(name: str) -> Any:
    """Import the module that has a name, once somebody asks for it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
