"""Shows the findings of a pre-upgrade check: who is meant and why, as far as there is room, and what is left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from ap_mcp.rules.findings import Failure
from ap_mcp.rules.risk_sources import ADDON, API, NODE, SETTING, Kind, Source
from ap_mcp.summaries.base import Part
from ap_mcp.vendor import text
from ap_mcp.wording import few, is_cut, plural

NAMED = 3
"""Nodes that are named before the rest is counted."""
ALIKE, VARIES = 2, 60
"""Words that messages have in common, and characters of what differs, to be shown as one message."""
UNNAMED = "an item without a name"


class Finding(Part):
    """An item that failed, once for all the nodes and add-ons of which it failed."""

    name: str
    group: str = ""
    level: str = ""
    count: int = 1
    where: str | None = None
    why: str = ""
    do: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """How much is shown of a finding: what is blamed, messages, characters of each; and findings of a kind in full."""

    sources: int
    messages: int
    message: int
    detailed: int = 8


ROOMS = (Room(40, 8, 600), Room(12, 4, 300), Room(5, 3, 160), Room(3, 2, 110), Room(3, 2, 110, 6), Room(2, 1, 80, 4))
"""From small checks to large ones; the first is taken in which all findings fit."""
FITS = 1650
"""Characters of all findings together."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Findings as they are shown.

    Attributes:
        blocking: what must be fixed.
        risks: what may be skipped.
        also: what and where of the others.
        is_cut: something of them can only be read in the whole answer.
    """

    blocking: list[Finding]
    risks: list[Finding]
    also: list[str]
    is_cut: bool


def shown(blocking: Sequence[Failure], risks: Sequence[Failure]) -> Shown:
    """Show findings with as much of each as there is room for."""
    found: list[tuple[Finding, bool]] = []
    also: list[str] = []
    split = 0
    for room in ROOMS:
        split = len(blocking[: room.detailed])
        found = [finding(each, room) for each in (*blocking[: room.detailed], *risks[: room.detailed])]
        also = [_in_short(each) for each in (*blocking[room.detailed :], *risks[room.detailed :])]
        if sum(len(each.model_dump_json(exclude_none=True)) for each, _ in found) + len(str(also)) <= FITS:
            break
    every = [each for each, _ in found]
    return Shown(every[:split], every[split:], also, bool(also) or any(is_less for _, is_less in found))


def finding(failure: Failure, room: Room) -> tuple[Finding, bool]:
    """Return a finding as it is shown, and whether something is left out."""
    places = _places(failure)
    where = "; ".join(filter(None, (_nodes(failure), *(few(each, room.sources) for each in places))))
    is_less = any(len(each) > room.sources for each in places) or NAMED < len(failure.nodes) < failure.checked
    why = _why(failure, room, complete=not is_less)
    is_less = is_less or is_cut(why) or len(failure.messages) > room.messages
    shown_finding = Finding(
        name=failure.name or UNNAMED,
        group=failure.group,
        level=failure.level,
        count=failure.count,
        where=where or None,
        why=f"{why} (code {few(list(failure.codes), room.sources)})".lstrip() if failure.codes else why,
        do=_advice(failure) if failure.blocks else None,
    )
    return shown_finding, is_less


def _in_short(failure: Failure) -> str:
    places = [each for listed in _places(failure) for each in listed]
    where = f" ({few(places, NAMED)})" if places else ""
    return f"{failure.name or UNNAMED}{where}" + (f" on {plural(len(failure.nodes), 'node')}" if failure.nodes else "")


def _nodes(failure: Failure) -> str:
    if NAMED < len(failure.nodes) == failure.checked:
        return f"all {failure.checked} nodes"
    return few(sorted(failure.nodes.values()), NAMED)


def _places(failure: Failure) -> list[list[str]]:
    """Return what is blamed, kind by kind: add-ons, APIs by the client that uses them, nodes, settings, the rest."""
    of: dict[Kind, list[Source]] = {}
    for each in failure.sources:
        of.setdefault(each.kind, []).append(each)
    apis = [f"{few(urls, 12)}{f' used by {client}' if client else ''}" for client, urls in _by_owner(of.pop(API, []))]
    settings: dict[str, list[str]] = {}
    for each in of.pop(SETTING, []):
        settings.setdefault(each.shown, []).extend([each.of] if each.of else [])
    changed = [f"{what}{f' on {few(nodes, NAMED)}' if nodes else ''}" for what, nodes in settings.items()]
    named = {kind: [each.shown for each in listed] for kind, listed in of.items()}
    ordered = [named.pop(ADDON, []), apis, named.pop(NODE, []), changed, *named.values()]
    return [each for each in ordered if each]


def _by_owner(sources: Iterable[Source]) -> Iterable[tuple[str, list[str]]]:
    owned: dict[str, list[str]] = {}
    for each in sources:
        owned.setdefault(each.of, []).append(each.shown)
    return owned.items()


def _why(failure: Failure, room: Room, *, complete: bool) -> str:
    """Return what the check says; of several messages what they have in common, with what differs, or the first ones.

    Args:
        failure: the finding.
        room: for it.
        complete: all that it blames is named already, so that a list of it at the end need not be repeated.
    """
    messages = list(failure.messages)
    if len(messages) > 1:
        return _alike(messages, room) or (
            f"{len(messages)} different messages: "
            + "; ".join(text(each, room.message) for each in messages[: room.messages])
            + (f"; and {len(messages) - room.messages} more" if len(messages) > room.messages else "")
        )
    message = messages[0] if messages else ""
    return text(_without_list(message, failure) if complete else message, room.message)


def _alike(messages: Sequence[str], room: Room) -> str:
    """Return messages that differ in one place as one; empty if they differ in more."""
    words = [each.split() for each in messages]
    shortest = min(map(len, words))
    starts = sum(1 for _ in takewhile(_equal, list(zip(*words, strict=False))))
    ends = sum(1 for _ in takewhile(_equal, list(zip(*(each[::-1] for each in words), strict=False))))
    ends = min(ends, shortest - starts)
    middles = [" ".join(each[starts : len(each) - ends]) or "nothing" for each in words]
    if starts + ends < ALIKE or max(map(len, middles)) > VARIES:
        return ""
    whole = " ".join((*words[0][:starts], "…", *words[0][len(words[0]) - ends :]))
    return f"{text(whole, room.message)} ({len(messages)} messages; … stands for {few(middles, 3 * room.sources)})"


def _equal(words: tuple[str, ...]) -> bool:
    return len(set(words)) == 1


def _without_list(message: str, failure: Failure) -> str:
    """Leave out the end of a message that only repeats what it blames, which is named beside it."""
    head, colon, tail = message.rpartition(": ")
    for each in sorted((each.name for each in failure.sources), key=len, reverse=True):
        tail = tail.replace(each, "")
    return head if colon and not tail.replace("and", "").strip(" ,;.") else message


def _advice(failure: Failure) -> str:
    kinds = {each.kind for each in failure.sources}
    advice = {
        ADDON: "Update the add-on, or if installing it failed, install it anew. assess_upgrade says which.",
        API: "Move the clients to an API version that the target serves.",
        SETTING: "Restore the changed settings.",
    }
    given = [said for kind, said in advice.items() if kind in kinds]
    if not given and (failure.nodes or NODE in kinds):
        given = ["Fix the nodes."]
    return " ".join(given) or "Fix the cause, then check again."
