"""Reads the items of a pre-upgrade check: equal findings of many nodes become one, what blocks stands first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.rules.phases import PRECHECK, phases_of, succeeded, verdict
from ap_mcp.specs.waits import FAILURE
from ap_mcp.vendor import get, items, quoted, strings, text, word
from ap_mcp.wording import NAMED, few, plural

DETAILED = 8
"""Findings of a kind that are shown in full; of the others only the names."""
NODE_IDS = 5
"""Most nodes a suggestion to skip lists one by one; with more the item is skipped everywhere."""
WHY_LIMIT = 150
SEVERITY = {"Fatal": 0, "Warning": 1, "Info": 2}


@dataclass
class Failure:
    """What is known of a failed item while its occurrences are being folded; `checked` nodes were checked."""

    name: str
    kind: str
    group: str
    level: str
    message: str
    source: Any
    checked: int
    count: int = 0
    nodes: dict[str, str] = field(default_factory=dict)
    codes: dict[str, None] = field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Whether it must be fixed; only what is called a risk can be skipped."""
        return self.kind.lower() != "risk"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a pre-upgrade check found, for guard, summary and assessment alike.

    Attributes:
        every: the failed items, folded, the gravest first.
        passed: how many items passed; None if the check reports no item.
        unknown: items of which it is not known whether they passed, with their phases.
    """

    every: tuple[Failure, ...]
    passed: int | None
    unknown: tuple[str, ...]

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
    return Findings(tuple(failures(status)), passed, tuple(unknown_phases(status)))


def count_of(found: Iterable[Failure]) -> int:
    """Count findings: an item counts once for each node on which it failed, or once if it is of no node."""
    return sum(each.count for each in found)


def checked_items(status: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield every item of a check with its node, which is empty for the items of cluster and add-ons."""
    for group in ("clusterCheckStatus", "addonCheckStatus"):
        yield from ((item, {}) for item in items(status, f"/{group}/itemsStatus"))
    for stage in items(status, "/nodeCheckStatus/nodeStageStatus"):
        node = get(stage, "/nodeInfo", {})
        yield from ((item, node if isinstance(node, dict) else {}) for item in items(stage, "/itemsStatus"))


def failures(status: Any) -> list[Failure]:
    """List the failed items, folded, the gravest first."""
    folded: dict[tuple[str, ...], Failure] = {}
    checked = len(items(status, "/nodeCheckStatus/nodeStageStatus"))
    for item, node in checked_items(status):
        if not _failed(get(item, "/phase")):
            continue
        name, uid = text(get(node, "/name")), text(get(node, "/uid"))
        message = _without(text(get(item, "/message"), 2 * WHY_LIMIT), (name, uid))
        title, kind, group, level = (text(get(item, f"/{key}")) for key in ("name", "kind", "group", "level"))
        fresh = Failure(title, kind, group, level, message, get(item, "/riskSource", {}), checked)
        failure = folded.setdefault((title, kind, group, level, message), fresh)
        failure.count += 1
        failure.codes |= dict.fromkeys(strings(item, "/errorCodes"))
        if uid or name:
            failure.nodes[uid or name] = name or uid
    found = list(folded.values())
    if len(found) > 2 * DETAILED:
        found = list(_by_name(found))
    return sorted(found, key=lambda each: (not each.blocks, SEVERITY.get(each.level, 1), each.name))


def unknown_phases(status: Any) -> list[str]:
    """Name the items of which it is not known whether they passed: that is not guessed.

    The specs do not know the phase of such an item, or the check has ended and the item has not.
    """
    ended = phases_of(PRECHECK).ends(get(status, "/phase"))
    found = ((text(get(item, "/name")), text(get(item, "/phase"))) for item, _ in checked_items(status))
    return list(
        dict.fromkeys(
            f"{word(name)} {quoted(phase) if phase else 'in no phase'}"
            for name, phase in found
            if (phase and _is_unknown(phase)) or (ended and not phases_of(PRECHECK).ends(phase))
        )
    )


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
    counts: Counter[str] = Counter()
    for each in failures_:
        counts[f"{each.group} {each.level}".strip() or "other"] += each.count
    return dict(counts)


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


def _by_name(found: Iterable[Failure]) -> Iterator[Failure]:
    folded: dict[tuple[str, bool, str, str], Failure] = {}
    for each in found:
        first = folded.setdefault((each.name, each.blocks, each.group, each.level), each)
        if first is not each:
            first.count += each.count
            first.nodes |= each.nodes
            first.codes |= each.codes
    yield from folded.values()


def _without(message: str, names: Iterable[str]) -> str:
    """Take a node's own names out of a message, so that equal findings are equal texts."""
    for name in names:
        message = message.replace(name, "…") if name else message
    return message
