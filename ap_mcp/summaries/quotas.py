"""Shapes quotas: how much is allowed, used and left."""

from typing import Any

from ap_mcp.rules.quotas import quota_name
from ap_mcp.summaries.base import Observation, Part, Result, summarises
from ap_mcp.vendor import get, items, number, quoted, text, word


class Quota(Part):
    """One kind of resource against its limit."""

    name: str
    used: int
    limit: int | None = None
    left: int | None = None
    unlimited: bool | None = None
    region: str | None = None


class QuotaList(Result):
    """The quotas of the project."""

    quotas: list[Quota] | None = None


@summarises("quotas", section="quotas")
def quotas(answer: Observation) -> QuotaList:
    """Show how much of each quota is used."""
    every = items(answer.body, "/quotas")
    found = [quota for each in every if (quota := _quota(each))]
    said = "; ".join(map(_line, found)) or ("No quota could be read" if every else "The service reported no quota")
    full = [f"No more {word(each.name)} can be created: the quota is used up." for each in found if each.left == 0]
    unread = [_unread(each) for each in every if _quota(each) is None]
    return QuotaList(
        summary=f"{said}.",
        quotas=found if found or not every else None,
        warnings=[
            *dict.fromkeys(full),
            *([f"{len(unread)} more could not be read: {'; '.join(unread)}."] if unread else []),
        ],
    )


def _unread(body: Any) -> str:
    """Return a quota that could not be read as it came."""
    named = text(get(body, "/quotaKey"))
    rest = {key: each for key, each in body.items() if key not in ("quotaKey", "unit") and each is not None}
    return f"{word(named) if named else 'a quota without a name'} {quoted(rest) if rest else 'without numbers'}"


def is_unlimited(limit: float) -> bool:
    """Say whether a quota is none: the services of the cloud write a negative number where there is no limit."""
    return limit < 0


def _line(quota: Quota) -> str:
    if quota.unlimited:
        return f"{quota.used} {word(quota.name)} used, no limit"
    return f"{quota.used} of {quota.limit} {word(quota.name)} used, {quota.left} left"


def _quota(body: Any) -> Quota | None:
    used, limit = number(get(body, "/used")), number(get(body, "/quotaLimit"))
    if used is None or limit is None or used < 0:
        return None
    name = quota_name(body)
    region = text(get(body, "/regionId")) or None
    if is_unlimited(limit):
        return Quota(name=name, used=int(used), unlimited=True, region=region)
    left = max(int(limit) - int(used), 0)
    return Quota(name=name, used=int(used), limit=int(limit), left=left, region=region)
