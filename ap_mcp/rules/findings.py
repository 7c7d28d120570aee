"""Reads the items of a pre-upgrade check: an item of many nodes or add-ons is one finding, what blocks stands first."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.rules.phases import PRECHECK, phases_of, succeeded, verdict
from ap_mcp.rules.risk_sources import ADDON, Source, sources_of
from ap_mcp.service_texts import Said, texts_and_codes_of, texts_of
from ap_mcp.specs.waits import FAILURE
from ap_mcp.vendor import get, items, quoted, strings, text, word
from ap_mcp.wording import NAMED, few, plural

NODE_IDS = 5
"""Most nodes a suggestion to skip lists one by one; with more the item is skipped everywhere."""
SEVERITY = {"Fatal": 0, "Warning": 1, "Info": 2}
_NODES, _MESSAGES = 3, 2
"""Nodes and messages of an item without a result that are named before the rest is counted."""
_LONGEST = 4000
_SOURCE = ("riskSource",)


@dataclass
class Failure:
    """A failed item, once for all its occurrences, and all that is said of them; `checked` nodes were checked.

    That is how findings are counted everywhere: an item is one, on however many nodes, of however many add-ons. The
    sets are dictionaries because they keep the order.
    """

    name: str
    kind: str
    checked: int
    groups: dict[str, None] = field(default_factory=dict)
    levels: dict[str, None] = field(default_factory=dict)
    messages: dict[str, None] = field(default_factory=dict)
    sources: dict[Source, None] = field(default_factory=dict)
    count: int = 0
    nodes: dict[str, str] = field(default_factory=dict)
    codes: dict[str, None] = field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Whether it must be fixed; only what is called a risk, and can be named, can be skipped."""
        return self.kind.lower() != "risk" or not self.name

    @property
    def group(self) -> str:
        """What it is about."""
        return ", ".join(self.groups)

    @property
    def level(self) -> str:
        """How grave it is, the gravest first."""
        return ", ".join(sorted(self.levels, key=lambda each: SEVERITY.get(each, 1)))

    @property
    def gravity(self) -> int:
        """How grave it is, in a form that sorts."""
        return min((SEVERITY.get(each, 1) for each in self.levels), default=1)

    @property
    def addons(self) -> list[str]:
        """The add-ons that it is about."""
        return [each.name for each in self.sources if each.kind == ADDON]


_PLACES = ("/clusterCheckStatus/itemsStatus", "/addonCheckStatus/itemsStatus", "/nodeCheckStatus/nodeStageStatus")
"""Where the items of a check stand in its status; those of nodes last."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a pre-upgrade check found, for guard, summary and assessment alike.

    Attributes:
        every: the failed items, folded, the gravest first.
        passed: how many items passed; None if the check reports no item.
        unknown: items of which it is not known whether they passed, with their phases.
        reported: the check says what it checked; else that nothing was found says nothing.
    """

    every: tuple[Failure, ...]
    passed: int | None
    unknown: tuple[str, ...]
    reported: bool = True

    @property
    def blocking(self) -> list[Failure]:
        """What must be fixed."""
        return [each for each in self.every if each.blocks]

    @property
    def risks(self) -> list[Failure]:
        """What may be skipped."""
        return [each for each in self.every if not each.blocks]


def findings_of(check: Any) -> Findings:
    """Read what a check found, as get_precheck or list_prechecks show it."""
    status = get(check, "/status", {})
    phases = [get(item, "/phase") for item, _ in checked_items(status)]
    passed = sum(succeeded(PRECHECK, each) for each in phases) if phases else None
    reported = any(get(status, place) is not None for place in _PLACES)
    return Findings(tuple(failures(status)), passed, tuple(unknown_phases(status)), reported)


def count_of(found: Iterable[Failure]) -> int:
    """Count findings, in the one way that every answer does: an item counts once, on however many nodes it failed."""
    return len(list(found))


def nodes_of(found: Iterable[Failure]) -> int:
    """Count the nodes on which items failed."""
    return len({node for each in found for node in each.nodes})


def checked_items(status: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield every item of a check with its node, which is empty for the items of cluster and add-ons."""
    *groups, nodes = _PLACES
    for group in groups:
        yield from ((item, {}) for item in items(status, group))
    for stage in items(status, nodes):
        node = get(stage, "/nodeInfo", {})
        yield from ((item, node if isinstance(node, dict) else {}) for item in items(stage, "/itemsStatus"))


def failures(status: Any) -> list[Failure]:
    """List the failed items, folded, the gravest first."""
    folded: dict[tuple[str, bool], Failure] = {}
    checked = len(items(status, _PLACES[-1]))
    for item, node in checked_items(status):
        if not _failed(get(item, "/phase")):
            continue
        name, uid = text(get(node, "/name")), text(get(node, "/uid"))
        said, codes = texts_and_codes_of(item, _LONGEST, _SOURCE)
        message = _message(said, (name, uid))
        title, kind = text(get(item, "/name")), text(get(item, "/kind"))
        fresh = Failure(title, kind, checked)
        failure = folded.setdefault((title or message, fresh.blocks), fresh)
        failure.count += 1
        _add(failure.groups, text(get(item, "/group")))
        _add(failure.levels, text(get(item, "/level")))
        _add(failure.messages, message)
        own = (uid, name)
        failure.sources |= {each: None for each in sources_of(get(item, "/riskSource")) if each.name not in own}
        failure.codes |= dict.fromkeys(map(text, codes))
        if uid or name:
            failure.nodes[uid or name] = name or uid
    return sorted(folded.values(), key=lambda each: (not each.blocks, each.gravity, each.name))


def unknown_phases(status: Any) -> list[str]:
    """Name the items of which it is not known whether they passed, with what they say: that is not guessed.

    The specs do not know the phase of such an item, or the check has ended and the item has not.
    """
    ended = phases_of(PRECHECK).ends(get(status, "/phase"))
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for item, node in checked_items(status):
        phase = text(get(item, "/phase"))
        if not ((phase and _is_unknown(phase)) or (ended and not phases_of(PRECHECK).ends(phase))):
            continue
        name = text(get(item, "/name"))
        known = f"{word(name) if name else 'an item without a name'} {quoted(phase) if phase else 'in no phase'}"
        nodes, messages = found.setdefault(known, ({}, {}))
        own = (text(get(node, "/name")), text(get(node, "/uid")))
        _add(nodes, own[0] or own[1])
        _add(messages, _message(texts_of(item, _LONGEST, _SOURCE), own))
    return [_unknown(known, list(nodes), list(messages)) for known, (nodes, messages) in found.items()]


def _unknown(known: str, nodes: list[str], messages: list[str]) -> str:
    where = f" on {few([word(each) for each in nodes], _NODES)}" if nodes else ""
    says = few([quoted(each) for each in messages], _MESSAGES)
    return f"{known}{where}{f', which says {says}' if says else ''}"


def not_known(found: Findings, most: int = NAMED) -> str:
    """Return a sentence that names the items of which it is not known whether they passed; empty if there are none.

    Args:
        found: what a check found.
        most: how many are named before the rest is counted.
    """
    if not found.unknown:
        return ""
    return f"Whether {plural(len(found.unknown), 'item')} passed is not known: {few(found.unknown, most)}."


def counted(failures_: Iterable[Failure]) -> dict[str, int]:
    """Count findings by group and level, in the same way as `count_of`."""
    gravest = [(each.group, each.level.partition(", ")[0]) for each in failures_]
    return dict(Counter(f"{group} {level}".strip() or "other" for group, level in gravest))


def skippable(failures_: Iterable[Failure], already: Any) -> list[dict[str, Any]]:
    """Make the `skip_items` of the next check: what this one skipped already, and every risk it found."""
    wanted: dict[str, set[str] | None] = {}
    for entry in items(already):
        _skip(wanted, text(get(entry, "/name")), set(strings(entry, "/resourceSelector/values")))
    for each in failures_:
        if not each.blocks:
            _skip(wanted, each.name, set(each.nodes) if len(each.nodes) <= NODE_IDS else set())
    return [{"name": name, **({"node_ids": sorted(nodes)} if nodes else {})} for name, nodes in wanted.items()]


def _failed(phase: Any) -> bool:
    return verdict(PRECHECK, phase) == FAILURE and not _is_unknown(phase)


def _is_unknown(phase: Any) -> bool:
    """Say whether the specs do not know a phase of an item; a check as a whole may break off, an item does not."""
    return verdict(PRECHECK, phase) is None or phases_of(PRECHECK).holds("broke_off", phase)


def _skip(wanted: dict[str, set[str] | None], name: str, nodes: set[str]) -> None:
    """Add an item, of some nodes or altogether; altogether wins."""
    known = wanted.get(name, set())
    if not name:
        return
    together = nodes | known if nodes and known is not None else None
    wanted[name] = together if together and len(together) <= NODE_IDS else None


def _message(said: Iterable[Said], names: Iterable[str]) -> str:
    """Return all that an item says, without the names of its node."""
    return _without("; ".join(text(each.text, _LONGEST) for each in said), names)


def _add(known: dict[str, None], value: str) -> None:
    if value:
        known[value] = None


def _without(message: str, names: Iterable[str]) -> str:
    """Take a node's own names out of a message, so that equal findings are equal texts."""
    # A name of a letter or two may as well be a word of the message.
    for name in sorted((each for each in names if len(each) > 2), key=len, reverse=True):
        message = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", "…", message)
    return message
