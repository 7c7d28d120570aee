"""Reads which storage, and what is on it, the pods of an object open that did not have it before."""

from typing import Any

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.around_lists import Lists
from ap_mcp.kubernetes.effects import Change
from ap_mcp.kubernetes.spec import effect_table
from ap_mcp.kubernetes.volume_claims import (
    chooses_content,
    claims_of,
    may_bind,
    ordinal_of,
    ordinals_of,
    templates_of,
)
from ap_mcp.vendor import get, text, word

CLAIM, VOLUME = "PersistentVolumeClaim", "PersistentVolume"


async def storage_opened(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> tuple[str, ...]:
    """Return the storage that is there already, and that the pods of an object open, in words.

    A claim that the same call makes is for a new volume only if it chooses none and no free one fits it.
    """
    if effect_table().class_of(change.resource) != "workload":
        return ()
    named = claims_of(change.after) - claims_of(change.before)
    own = {name: body for name in sorted(named) if (body := lists.made.get((CLAIM, change.namespace, name)))}
    found = [f"volume claim {word(name)}, with what is on it" for name in sorted(named - own.keys())]
    for name, body in own.items():
        found += await _bound(body, name, change, lists, unread)
    if _has_more(ordinals_of(change.before), ordinals_of(change.after)):
        found += await _made_for_each(change, lists, unread)
    return tuple(found)


def _has_more(before: range, after: range) -> bool:
    return any(number not in before for number in (*after[:1], *after[-1:]))


async def _made_for_each(change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> list[str]:
    """Return what pods that an object has more of open by the claims that are made for each of them."""
    found = list[str]()
    for each in templates_of(change.after):
        found += await _bound(each, "", change, lists, unread)
    if get(change.after, "/spec/volumeClaimTemplates"):
        before, after = ordinals_of(change.before), ordinals_of(change.after)
        for each in await lists.of(CLAIM, change.namespace, unread):
            name = text(get(each, "/metadata/name"))
            number = ordinal_of(change.after, name)
            if number in after and number not in before and (CLAIM, change.namespace, name) not in lists.made:
                found.append(f"volume claim {word(name)}, which is there already, with what is on it")
    return found


async def _bound(claim: Any, name: str, change: Change, lists: Lists, unread: dict[str, ApMcpError]) -> list[str]:
    """Return which content a claim that is new chooses, or which volumes that are there already it may be given."""
    said = f"volume claim {word(name)}" if name else "the volume claim made for each pod"
    if chooses_content(claim):
        return [f"what {said} chooses"]
    volumes = [body for (kind, *_), body in lists.made.items() if kind == VOLUME]
    volumes += await lists.of(VOLUME, "", unread)
    free = [each for each in volumes if may_bind(each, claim, change.namespace, name)]
    return [f"volume {word(get(each, '/metadata/name'))}, which {said} may be given" for each in free]
