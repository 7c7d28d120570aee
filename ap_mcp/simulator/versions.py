"""The cluster versions of the simulated region, and which leads to which."""

import re

NEWEST_PATCHES = {
    "v1.31": "v1.31.6-r0",
    "v1.30": "v1.30.10-r0",
    "v1.29": "v1.29.13-r0",
    "v1.28": "v1.28.13-r2",
    "v1.27": "v1.27.16-r6",
}
"""Newest release of each minor version, newest first."""
OLDER_PATCHES = ("v1.31.4-r0", "v1.30.4-r2", "v1.29.8-r0", "v1.28.6-r0", "v1.27.8-r4")
"""Releases that clusters still run and new ones no longer get."""
PLATFORMS = {"v1.31": "cce.2.0", "v1.30": "cce.5.0", "v1.29": "cce.7.0", "v1.28": "cce.8.0", "v1.27": "cce.9.0"}
"""Platform version of each minor version."""
FARTHEST_MINOR = 3
"""How many minor versions one upgrade may span."""


def short(version: str) -> str:
    """Return the form in which a cluster shows its version: `v1.31` of `v1.31.4-r0`."""
    return ".".join(version.split(".")[:2])


def resolve(version: str | None) -> str | None:
    """Return the full version that a requested one (`v1.31`, `v1.31.4-r0`, or none) means; None if there is none."""
    if not version:
        return next(iter(NEWEST_PATCHES.values()))
    known = {*NEWEST_PATCHES.values(), *OLDER_PATCHES}
    return NEWEST_PATCHES.get(version) or (version if version in known else None)


def order(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, so that versions can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def minor(version: str) -> int:
    """Return the minor version: 31 of `v1.31.4-r0`."""
    return order(version)[1]


def targets_of(version: str) -> list[str]:
    """List the versions a cluster may be upgraded to: the newest release of each minor version in reach."""
    reach = range(minor(version), minor(version) + FARTHEST_MINOR + 1)
    newest = (NEWEST_PATCHES.get(f"v1.{each}") for each in reach)
    return [target for target in newest if target and order(target) > order(version)]
