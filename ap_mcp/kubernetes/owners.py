"""Reads what an object says of its owners: which there are, and which of them controls it; pure."""

from typing import Any

from ap_mcp.vendor import get, items, text

_AT = "/metadata/ownerReferences"


def owners_of(body: Any) -> list[dict[str, Any]]:
    """Return the references to the owners of an object, with which it is deleted."""
    return items(body, _AT)


def owner_uids(body: Any) -> set[str]:
    """Return the uids of the owners of an object."""
    return {text(get(each, "/uid")) for each in owners_of(body)}


def controller_of(body: Any) -> dict[str, Any] | None:
    """Return the reference to the controller of an object; None if it has none."""
    return next((each for each in owners_of(body) if each.get("controller") is True), None)
