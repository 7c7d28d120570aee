"""Reads what an object says of its owners: which there are, and which of them controls it; pure."""

from typing import TYPE_CHECKING, Any

from ap_mcp.vendor import get, items, mapping, text, word

if TYPE_CHECKING:
    from ap_mcp.kubernetes.steps import Step

HELM_RELEASE, HELM_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
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


def undone_by(step: "Step") -> list[str]:
    """Return who may undo a change of an object that was there: the release that it belongs to, its controller."""
    live, change, found = step.change.before, step.change, list[str]()
    if live is None:
        return found
    if release := mapping(live, "/metadata/annotations").get(HELM_RELEASE):
        better = "delete_release" if change.verb == "delete" else "update_release"
        found.append(f"It belongs to release {word(release)}, whose next upgrade may undo this: use {better}.")
    if (controller := controller_of(live)) and not step.posts:
        after = "makes another one" if change.verb == "delete" else "may undo it"
        found.append(f"{word(controller.get('kind'))} {word(controller.get('name'))} controls it and {after}.")
    return found
