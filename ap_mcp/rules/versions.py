"""Cluster versions: which one is meant, which check counts for it, what runs on it, by which way to get there."""

import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from ap_mcp.vendor import get, items, strings, text

MINOR = re.compile(r"v\d+\.\d+")
_SHORT = re.compile(r"v?\d+\.\d+")
_PATCH = re.compile(r"v\d+\.\d+\..+")


def runs_now(info: Any) -> str:
    """Return the whole version that get_upgrade_info reports; empty if it reports none."""
    release, patch = (text(get(info, f"/spec/versionInfo/{key}")) for key in ("release", "patch"))
    return f"{release}-{patch}" if release and patch else release


def offered_to(info: Any) -> list[str]:
    """Return the versions that get_upgrade_info offers."""
    return [each for each in strings(info, "/spec/versionInfo/targetVersions") if each]


def resolve_target(wanted: str, offered: Sequence[str]) -> str | None:
    """Return the one offered version that is meant, as by `meant_by`; None if none is, or several may be."""
    if wanted in offered:
        return wanted
    fitting = meant_by(wanted, offered)
    return fitting[0] if len(fitting) == 1 else None


def meant_by(wanted: str, versions: Sequence[str], *, itself: bool = False) -> list[str]:
    """Return the versions that a short one may mean, by the way people write them.

    With or without its `v`, `1.31.6` means `v1.31.6-r0`, and `1.31` the newest patch of that minor version. Where
    nothing is below it, a version means itself.

    Args:
        wanted: the short one, or a whole one.
        versions: those there are.
        itself: nothing below it is searched.
    """
    bare = _bare(wanted)
    same = [each for each in versions if bare and _bare(each) == bare]
    below = [each for each in versions if bare and _bare(each).startswith((f"{bare}.", f"{bare}-"))]
    if itself or not below:
        return same[:1]
    if not _SHORT.fullmatch(bare):
        return same[:1] or below
    return [max(below, key=order)] if _are_patches(below) else below


def _are_patches(versions: Sequence[str]) -> bool:
    """Say whether versions are those of clusters: the newest of them is meant by their minor version."""
    return all(_PATCH.fullmatch(each) for each in versions)


def _bare(version: str) -> str:
    return version.strip().lower().removeprefix("v")


def order(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, so that versions can be compared."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))


def minor_of(version: str) -> str:
    """Return the minor version that a version belongs to: `v1.31` of `v1.31.6-r0`."""
    return ".".join(version.split(".")[:2])


def upgrade_path(paths: Any, offered: Sequence[str], wanted: str) -> list[str]:
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
