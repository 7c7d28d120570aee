"""What an upgrade goes on in spite of: the risks that its pre-upgrade check skipped, each with what it means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ap_mcp.rules.findings import checked_items
from ap_mcp.rules.phases import PRECHECK, verdict
from ap_mcp.rules.risk_sources import NODE, sources_of
from ap_mcp.specs.waits import FAILURE
from ap_mcp.vendor import get, items, quoted, strings, text, word
from ap_mcp.wording import plural

WHY_LIMIT = 400


@dataclass(frozen=True, slots=True)
class Skipped:
    """A check item that was skipped.

    Attributes:
        name: of the item.
        nodes: the names of the nodes that it is about; empty if it is about none.
        meaning: what the checks say of it, each text once.
    """

    name: str
    nodes: tuple[str, ...]
    meaning: tuple[str, ...]

    @property
    def where(self) -> str:
        """On how many nodes; empty if it is about none."""
        return f" on {plural(len(self.nodes), 'node')}" if self.nodes else ""

    def line(self) -> str:
        """Return it as a line: which item, on which nodes, and what it means."""
        nodes = f" ({', '.join(map(word, self.nodes))})" if self.nodes else ""
        means = "; ".join(self.meaning) or "no check says what it found"
        return f"{word(self.name)}{self.where}{nodes}: {means}"


def skipped_in(check: Any, every: Sequence[Any]) -> list[Skipped]:
    """Return what a check skipped.

    Args:
        check: the check that counts.
        every: all checks of the cluster; an older one for the same version may say what the item found.
    """
    wanted: dict[str, set[str] | None] = {}
    for each in items(check, "/spec/skippedCheckItemList"):
        name, nodes = text(get(each, "/name")), set(strings(each, "/resourceSelector/values"))
        known = wanted.get(name, set())
        wanted[name] = nodes | known if nodes and known is not None else None
    target = get(check, "/spec/targetVersion")
    same = [check, *(each for each in every if get(each, "/spec/targetVersion") == target)]
    return [_skipped(name, nodes, same) for name, nodes in sorted(wanted.items())]


def _skipped(name: str, chosen: set[str] | None, checks: Sequence[Any]) -> Skipped:
    """Return one item; without chosen nodes, it is about those on which a check found something.

    The check that counts says where the risk is; what it is, often only one in which the item failed.
    """
    nodes = dict.fromkeys(chosen or (), "")
    sources: dict[str, None] = {}
    messages: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for item, node, failed in _occurrences(name, checks):
        uid, called = text(get(node, "/uid")), text(get(node, "/name"))
        if uid and chosen is not None and uid not in chosen:
            continue
        if uid:
            nodes[uid] = called
        sources |= dict.fromkeys(_sources(get(item, "/riskSource")))
        messages[failed][_nameless(text(get(item, "/message"), WHY_LIMIT), (called, uid))] = None
    means = [quoted(each, WHY_LIMIT) for each in (*(messages[True] or messages[False]), *sources) if each]
    return Skipped(name, tuple(sorted(called or uid for uid, called in nodes.items())), tuple(means))


def _occurrences(name: str, checks: Sequence[Any]) -> Iterator[tuple[Any, Any, bool]]:
    """Yield where checks found something with an item, its node, and whether it failed there."""
    for check in checks:
        for item, node in checked_items(get(check, "/status", {})):
            failed = verdict(PRECHECK, get(item, "/phase")) == FAILURE
            if get(item, "/name") == name and (failed or get(item, "/riskSource")):
                yield item, node, failed


def _sources(risk: Any) -> Iterator[str]:
    """Yield where a risk comes from, and of whom it is, but for the nodes, which are named anyway."""
    for each in sources_of(risk):
        if each.kind != NODE:
            yield f"{each.shown} of {each.of}" if each.of else each.shown


def _nameless(message: str, names: Sequence[str]) -> str:
    """Take a node's own names out of a message, so that it is the same for every node."""
    for each in names:
        message = message.replace(each, "…") if each else message
    return message
