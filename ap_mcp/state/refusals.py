"""Why a store takes no further question of somebody, in the same words wherever it keeps them."""

from ap_mcp.errors import ApprovalRefused
from ap_mcp.guard.approval_requests import SHOWN
from ap_mcp.guard.lifetimes import DAY_LIMIT, OPEN_LIMIT
from ap_mcp.wording import in_quotes


def too_many_wait(principal: str) -> ApprovalRefused:
    """Return the error of a question beside which too many wait."""
    why = f"{OPEN_LIMIT} questions of {in_quotes(principal, SHOWN)} wait for a person already"
    return ApprovalRefused(f"Refused: {why}. Nothing was sent. Decide some, or let them expire.")


def asked_too_often(principal: str) -> ApprovalRefused:
    """Return the error of a question before which too many were asked."""
    why = f"{DAY_LIMIT} questions of {in_quotes(principal, SHOWN)} were asked within a day"
    return ApprovalRefused(f"Refused: {why}, and no more are taken. Nothing was sent. Call again some hours later.")
