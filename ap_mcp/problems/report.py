"""Makes one answer of all problems that were found: the gravest first, and nothing is cut unsaid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ap_mcp.problems.model import (
    CLUSTER,
    GRAVITIES,
    KINDS,
    LISTS,
    UPGRADE,
    ProblemLine,
    ProblemList,
    Tally,
    Trouble,
)
from ap_mcp.wording import few, plural

SHOWN = 20
"""Problems that are shown with cause and next call; the others are named."""
NAMED_CLUSTERS = 4


def folded(troubles: Sequence[Trouble]) -> list[Trouble]:
    """Return the problems of one cluster without the cluster's own state where its upgrade is the cause of it."""
    upgrade = next((each for each in troubles if each.kind == UPGRADE), None)
    state = next((each for each in troubles if each.kind == CLUSTER and each.next.tool != "get_job"), None)
    if upgrade is None or state is None:
        return list(troubles)
    cause = "; ".join(dict.fromkeys(filter(None, (upgrade.cause, state.cause))))
    both = replace(upgrade, what=f"{state.what}: {upgrade.what[:1].lower()}{upgrade.what[1:]}", cause=cause)
    return [both if each is upgrade else each for each in troubles if each is not state]


def report(
    troubles: Iterable[tuple[str, Trouble]], tally: Tally, where: str, beyond: Sequence[str] = ()
) -> ProblemList:
    """Make the answer.

    Args:
        troubles: what was found, each with the name of its cluster, which is empty for the account.
        tally: what was seen, and what could not be read.
        where: the cluster that was asked about; empty for the whole account.
        beyond: clusters of which no more was read than the list says.
    """
    found = sorted(troubles, key=_urgency)
    shown, left = found[:SHOWN], found[SHOWN:]
    counts = [
        plural(count, gravity, gravity if gravity == "critical" else "")
        for gravity in GRAVITIES
        if (count := sum(each.gravity == gravity for _, each in found))
    ]
    unread = _unread(tally.unread)
    warnings = [f"{plural(len(left), 'problem')} {_where_the_rest_is(left, where)}"] if left else []
    unlooked = f"Of {plural(len(beyond), 'cluster')} only the list was read; name one in cluster_id: {few(beyond)}."
    return ProblemList(
        summary=_summary(found, counts, tally, where, unread=bool(unread or beyond)),
        problems=[
            ProblemLine(what=f"{each.what}.", gravity=each.gravity, cause=each.cause or None, cluster=cluster or None)
            for cluster, each in shown
        ],
        more=[each.what for _, each in left],
        shown=len(shown),
        total=len(found),
        looked_at={_plural(kind): count for kind, count in tally.seen.items()},
        unread=unread,
        warnings=[*warnings, *([unlooked] if beyond else [])],
        next=[each.next.model_copy(update={"why": f"{each.name}: {each.next.why}"}) for _, each in shown],
    )


def _where_the_rest_is(left: Sequence[tuple[str, Trouble]], where: str) -> str:
    """Say with which calls more is learnt of problems that are only named; a call like this one would not help."""
    verb = "is" if len(left) == 1 else "are"
    lists = list(
        dict.fromkeys(LISTS[each.kind] for cluster, each in left if (where or not cluster) and each.kind in LISTS)
    )
    ways = [] if where or not any(cluster for cluster, _ in left) else ["list_problems with a cluster_id"]
    ways += [few(lists)] if lists else []
    return f"{verb} only named: {' and '.join(ways) or 'the reads of each thing'} show more."


def _urgency(found: tuple[str, Trouble]) -> tuple[int, int, str, str]:
    cluster, each = found
    order = KINDS.index(each.kind) if each.kind in KINDS else len(KINDS)
    return GRAVITIES.index(each.gravity), order, cluster, each.what


def _summary(
    found: Sequence[tuple[str, Trouble]], counts: Sequence[str], tally: Tally, where: str, *, unread: bool
) -> str:
    """Say how many problems there are and which is the gravest; without any, what was checked."""
    inside = f" in {where}" if where else ""
    checked = few([plural(count, kind, _plural(kind)) for kind, count in tally.seen.items()]) or "nothing"
    but = ", but not all could be read" if unread else ""
    if not found:
        return f"Nothing{inside} needs attention{but}. Checked {checked}."
    return f"{plural(len(found), 'problem')}{inside}{but}: {', '.join(counts)}. {found[0][1].what}."


def _unread(failed: Mapping[tuple[str, str], str]) -> list[str]:
    """Say what could not be read and why; operations and clusters that failed alike share a line."""
    by_cluster: dict[tuple[str, str], list[str]] = {}
    for (cluster, operation), why in failed.items():
        by_cluster.setdefault((cluster, why), []).append(operation)
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (cluster, why), operations in by_cluster.items():
        alike.setdefault((tuple(sorted(operations)), why), []).append(cluster)
    return [
        f"{', '.join(operations)}{_of(clusters)} could not be read: {why.rstrip('.')}."
        for (operations, why), clusters in alike.items()
    ]


def _of(clusters: Iterable[str]) -> str:
    named = sorted(filter(None, clusters))
    return f" of {few(named, NAMED_CLUSTERS)}" if named else ""


def _plural(kind: str) -> str:
    return f"{kind}s"
