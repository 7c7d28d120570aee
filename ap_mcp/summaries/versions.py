"""Cluster versions: which one is meant, which check counts for it, what runs on it, by which way to get there."""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from ap_mcp.summaries.base import get, items, moment, strings, text
from ap_mcp.summaries.upgrade_parts import FAILED, RUNNING, SUCCEEDED, verdict_of

MINOR = re.compile(r"v\d+\.\d+")
_PATTERN_LIMIT, _VERSION_LIMIT = 200, 40
_PATTERN = re.compile(r"(?:[\w.()|*+?^$\\-]|\[[\w-]+\])*", re.ASCII)
_RISKY = re.compile(r"\)[*+]|(?:[^(]*\(){4}|(?:[^*+?]*[*+?]){5}")
"""Repeated groups, many groups or many repetitions let a pattern run for ages; the service uses one of each."""

CheckState: TypeAlias = Literal["passed", "none", "running", "not passed", "undated", "expired"]


@dataclass(frozen=True, slots=True)
class Way:
    """An upgrade.

    Attributes:
        cluster_id: of what.
        now: the version it runs.
        target: the version it is to have.
        offered: all versions it could have; `v1.31` means the newest of these that fits.
    """

    cluster_id: str
    now: str
    target: str
    offered: Sequence[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the pre-upgrade checks of a cluster say about an upgrade.

    Attributes:
        state: whether the newest check for it allows it, and if not why.
        check: that check; if there is none, the newest that broke off, or empty.
        others: versions for which a check did pass.
    """

    state: CheckState
    check: Mapping[str, Any]
    others: tuple[str, ...] = ()


def runs_now(info: Any) -> str:
    """Return the whole version that get_upgrade_info tells; empty if it tells none."""
    release, patch = (text(get(info, f"/spec/versionInfo/{key}")) for key in ("release", "patch"))
    return f"{release}-{patch}" if release and patch else release


def offered_to(info: Any) -> list[str]:
    """Return the versions that get_upgrade_info offers."""
    return [each for each in strings(info, "/spec/versionInfo/targetVersions") if each]


def resolve_target(wanted: str, offered: Sequence[str]) -> str | None:
    """Return the offered version that is meant: itself, or the newest of a minor version (`v1.31`); None if none is."""
    if wanted in offered:
        return wanted
    if not MINOR.fullmatch(wanted):
        return None
    return max((each for each in offered if each.startswith(f"{wanted}.")), key=order, default=None)


def order(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, so that versions can be compared."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))


def minor_of(version: str) -> str:
    """Return the minor version that a version belongs to: `v1.31` of `v1.31.6-r0`."""
    return ".".join(version.split(".")[:2])


def began(task: Any) -> datetime:
    """Return when a task was created; one that does not tell counts as the oldest."""
    return moment(get(task, "/metadata/creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def tasks_of(body: Any) -> list[dict[str, Any]] | None:
    """Return the checks, upgrades or whatever else a cluster has, the oldest first; None if the answer lists nothing.

    A list that was left out or null is empty.
    """
    found = get(body, "/items", [] if isinstance(body, Mapping) else None)
    return sorted((each for each in found if isinstance(each, dict)), key=began) if isinstance(found, list) else None


def upgrade_verdicts(tasks: Sequence[Any], info: Any) -> list[str]:
    """Return how a cluster's latest upgrade stands: by its task, if there is one, and by get_upgrade_info, if it tells.

    Args:
        tasks: its upgrades, the oldest first.
        info: what get_upgrade_info answered.
    """
    told = [get(tasks[-1], "/status/phase", "")] if tasks else []
    told += [get(info, "/status/phase")]
    return [verdict_of(text(each)) for each in told if each is not None]


def under_way(verdicts: Iterable[str]) -> str:
    """Return the first verdict that is no end of an upgrade; empty if there is none."""
    return next((each for each in verdicts if each not in (SUCCEEDED, FAILED)), "")


def judge_checks(checks: Iterable[Any], way: Way, at: datetime) -> Judged:
    """Say whether a pre-upgrade check allows an upgrade; the newest one for it decides.

    Args:
        checks: the entries of list_prechecks.
        way: the upgrade.
        at: the time to measure against.
    """
    every = list(checks)
    fitting = [each for each in every if _is_for(each, way) and _is_told(each)]
    if not fitting:
        broken: Mapping[str, Any] = max((each for each in every if _is_for(each, way)), key=began, default={})
        return Judged("none", broken, tuple(sorted({_aim(each) for each in every if _passed(each)})))
    newest = max(fitting, key=began)
    if not _passed(newest):
        running = verdict_of(text(get(newest, "/status/phase"))) == RUNNING
        return Judged("running" if running else "not passed", newest)
    expires = moment(get(newest, "/status/expireTimeStamp"))
    if expires is None:
        return Judged("undated", newest)
    return Judged("expired" if expires <= at else "passed", newest)


def route(paths: Any, offered: Sequence[str], wanted: str) -> list[str]:
    """Return the fewest versions to go through to one that is not offered, the last being the one wanted.

    Args:
        paths: what list_upgrade_paths answered; each of its paths leads from a minor version to full ones.
        offered: the versions to begin with.
        wanted: a full version, or a minor one, which any of its versions meets.

    Returns:
        The versions in order; empty if no way is known.
    """
    leads: dict[str, set[str]] = {}
    for path in items(paths, "/upgradePaths"):
        leads.setdefault(minor_of(text(get(path, "/version"))), set()).update(strings(path, "/targetVersions"))
    ways = deque([each] for each in sorted(offered, key=order, reverse=True))
    seen = set(offered)
    while ways:
        way = ways.popleft()
        ahead = {each for each in leads.get(minor_of(way[-1]), ()) if order(each) > order(way[-1])} - seen
        newest_first = sorted(ahead, key=order, reverse=True)
        if found := resolve_target(wanted, newest_first):
            return [*way, found]
        seen |= ahead
        ways.extend([*way, each] for each in newest_first)
    return []


def template_versions(answer: Any, name: str) -> list[dict[str, Any]]:
    """Return the versions of an add-on that list_addon_templates answered; others of a like name are left out."""
    ours = [each for each in items(answer, "/items") if get(each, "/metadata/name") == name]
    return [each for template in ours for each in items(template, "/spec/versions")]


def runs_on(release: Any, target: str) -> bool | None:
    """Say whether a version in an add-on's template is made for a cluster version; None if it does not tell."""
    patterns = [each for support in items(release, "/supportVersions") for each in strings(support, "/clusterVersion")]
    if not patterns:
        return None
    answers = [_matches(pattern, target) for pattern in patterns]
    return True if True in answers else None if None in answers else False


def _matches(pattern: str, version: str) -> bool | None:
    if len(pattern) > _PATTERN_LIMIT or _RISKY.search(pattern) or not _PATTERN.fullmatch(pattern):
        return None
    try:
        return re.match(pattern, version[:_VERSION_LIMIT]) is not None
    except re.error:
        return None


def _is_for(check: Any, way: Way) -> bool:
    """Say whether a check is about an upgrade of this cluster as it is now."""
    owner, source = text(get(check, "/spec/clusterID")), text(get(check, "/spec/clusterVersion"))
    ours = owner.lower() in ("", way.cluster_id.lower()) and source == way.now
    return ours and resolve_target(_aim(check), way.offered) == way.target


def _aim(check: Any) -> str:
    return text(get(check, "/spec/targetVersion"))


def _passed(check: Any) -> bool:
    return bool(get(check, "/status/phase") == "Success")


def _is_told(check: Any) -> bool:
    """Say whether a check says anything: one that broke off by itself does not undo an earlier one."""
    return bool(get(check, "/status/phase") != "Error")
