"""Decides whether a call may go out, and gets a person's consent where it must.

What only guarded calls need is reached through this package (`guard.Confirmer`) and imported when it is first used:
impacts, forms and the audit, with their ciphers, would take a twentieth of every start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ap_mcp.guard.approvers import ApproversFile as ApproversFile
    from ap_mcp.guard.approvers import load_approvers as load_approvers
    from ap_mcp.guard.audit import AuditLog as AuditLog
    from ap_mcp.guard.audit import Entry as Entry
    from ap_mcp.guard.audit import Outcome as Outcome
    from ap_mcp.guard.audit import audit_from as audit_from
    from ap_mcp.guard.consent import Confirmer as Confirmer
    from ap_mcp.guard.impacts import build_impact as build_impact
    from ap_mcp.guard.impacts.base import Case as Case
    from ap_mcp.guard.requests import Consent as Consent
    from ap_mcp.guard.requests import ReadAgain as ReadAgain
    from ap_mcp.guard.requests import Request as Request
    from ap_mcp.guard.requests import digest_of as digest_of
    from ap_mcp.guard.seal import sealer_from as sealer_from

_PLACES = {
    "approvers": ("ApproversFile", "load_approvers"),
    "audit": ("AuditLog", "Entry", "Outcome", "audit_from"),
    "consent": ("Confirmer",),
    "impacts": ("build_impact",),
    "impacts.base": ("Case",),
    "requests": ("Consent", "ReadAgain", "Request", "digest_of"),
    "seal": ("sealer_from",),
}


def __getattr__(name: str) -> Any:
    """Import the module that has a name, when the name is first used."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
