"""Completes what a person types into a prompt, from live reads under the operator's policy."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from anyio import move_on_after

from ap_mcp.errors import ApMcpError
from ap_mcp.reads import Reads
from ap_mcp.rules.versions import minor_of, offered_to, order
from ap_mcp.specs import CLUSTER
from ap_mcp.vendor import get, items, text
from ap_mcp.wording import is_plain

SECONDS = 3.0
"""A person is typing: what takes longer comes too late."""
MOST = 100
"""Values of one answer, as the protocol allows."""
LIST_CLUSTERS, UPGRADE_INFO = "list_clusters", "get_upgrade_info"

logger = logging.getLogger(__name__)


async def completed(
    reads: Reads, argument: str, typed: str, given: Mapping[str, str], profiles: Sequence[str] = ()
) -> tuple[list[str], int]:
    """Return what the value of a prompt's argument may be; nothing if it cannot be known, or not at once.

    Args:
        reads: one set of reads, under the policy of the caller, of the profile that is given.
        argument: of the prompt.
        typed: how its value begins, or what it holds.
        given: the prompt's other arguments, as far as they are known.
        profiles: those of the caller, the default one first.

    Returns:
        The values, the likeliest first, and how many there are beyond the most that are returned as well.
    """
    if argument == "profile":
        values = _matching(profiles, typed, ordered=True)
        return values, len(values)
    found: list[str] = []
    with move_on_after(SECONDS):
        try:
            found = await _candidates(reads, argument, typed, given)
        except ApMcpError as error:
            logger.debug("No completion of %s: %s", argument, type(error).__name__)
    return found[:MOST], len(found)


async def _candidates(reads: Reads, argument: str, typed: str, given: Mapping[str, str]) -> list[str]:
    if argument == "cluster":
        clusters = items(await reads.read(LIST_CLUSTERS), "/items")
        named = [text(get(each, f"/metadata/{key}")) for each in clusters for key in ("name", "alias")]
        ids = [text(get(each, "/metadata/uid")) for each in clusters] if typed else []
        return _matching(named, typed) or [each for each in _matching(ids, typed) if each.startswith(typed)]
    if argument == "target_version" and given.get("cluster"):
        cluster = await reads.resolve({CLUSTER: given["cluster"]})
        offered = offered_to(await reads.read(UPGRADE_INFO, **cluster))
        versions = sorted({*offered, *map(minor_of, offered)}, key=order, reverse=True)
        return _matching(versions, typed if typed.startswith("v") or not typed else f"v{typed}", ordered=True)
    return []


def _matching(values: Iterable[str], typed: str, *, ordered: bool = False) -> list[str]:
    """Return the values that begin with what was typed, then those that hold it; names that are no plain text never."""
    wanted = typed.strip().casefold()
    plain = [each for each in dict.fromkeys(values) if each and is_plain(each) and wanted in each.casefold()]
    if not ordered:
        plain.sort()
    return sorted(plain, key=lambda each: not each.casefold().startswith(wanted))
