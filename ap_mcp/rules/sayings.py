"""What the service says of things that are in trouble: every distinct text, for guard, summaries and problems alike."""

from typing import Any

from ap_mcp.rules import phases
from ap_mcp.service_texts import codes_of, is_within, texts_of
from ap_mcp.specs.waits import FAILURE
from ap_mcp.vendor import SAID_LIMIT, get, items, joined, said, text

_ADDON_VERSIONS = ("currentVersion", "targetVersions")
"""Fields of an add-on's status that describe versions, not how the add-on is."""
RELEASE_SAYS = ("status_description", "message", "reason", "error")
"""Fields that say how a release is; its description says what was done."""


def addon_says(addon: Any, limit: int = SAID_LIMIT) -> str:
    """Return what is said of how an add-on is."""
    return said(get(addon, "/status"), limit, _ADDON_VERSIONS)


def release_says(release: Any, limit: int = SAID_LIMIT) -> str:
    """Return what is said of how a release is."""
    return said({key: get(release, f"/{key}") for key in RELEASE_SAYS}, limit)


def last_upgrade_says(info: Any) -> str:
    """Return why the upgrade before failed, unless the state of the latest one says the same."""
    last = get(info, "/spec/lastUpgradeInfo")
    if phases.verdict(phases.UPGRADE, get(last, "/phase")) != FAILURE:
        return ""
    says, now = said(last), said(get(info, "/status"))
    return "" if is_within(says, now) else says


def task_says(task: Any, kind: str) -> str:
    """Return why an upgrade or a backup failed: what its failed parts say, and what it says of itself."""
    own = [each.text for each in texts_of(get(task, "/status"), SAID_LIMIT // 2)]
    parts = []
    for part in items(task, "/spec/items"):
        phase = text(get(part, "/status", get(part, "/phase")))
        says = "; ".join(each.text for each in texts_of(part, SAID_LIMIT // 2))
        failed = phases.verdict(kind, phase) == FAILURE
        if failed or (says and not phases.succeeded(kind, phase)):
            name = " ".join(each for each in (text(get(part, "/type", get(part, "/name"))), phase) if each)
            parts.append(": ".join(each for each in (name, says) if each))
    return joined([*parts, *own], codes_of({"of": get(task, "/status"), "parts": get(task, "/spec/items")}))
