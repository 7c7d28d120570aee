"""Which offered version a call means, which pre-upgrade check allows it, and what runs on it."""

import re
from datetime import UTC, datetime
from typing import Any

from ap_mcp.guard.impact import Case, entries, refused
from ap_mcp.summaries.base import age, get, items, moment, strings, text, word
from ap_mcp.summaries.upgrade_parts import verdict_of

MINOR = re.compile(r"v\d+\.\d+")
_PATTERN_LIMIT = 200
_RISKY = re.compile(r"\)[*+{]")
"""Repeating a group is what lets a pattern run for ages; none of the patterns of the service does it."""


def resolve_target(wanted: str, offered: list[str]) -> str | None:
    """Return the offered version that is meant: itself, or the newest of a minor version (`v1.31`); None if none is."""
    if wanted in offered:
        return wanted
    if not MINOR.fullmatch(wanted):
        return None
    return max((each for each in offered if each.startswith(f"{wanted}.")), key=order, default=None)


def order(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, so that versions can be compared."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))


def began(task: Any) -> datetime:
    """Return when a task was created; one that does not tell counts as the oldest."""
    return moment(get(task, "/metadata/creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def passed_check(case: Case, answer: Any, now: str, target: str, offered: list[str]) -> dict[str, Any]:
    """Return the pre-upgrade check that allows an upgrade; the newest one for it decides.

    Args:
        case: the call.
        answer: of list_prechecks.
        now: the version the cluster runs.
        target: the version it is to have.
        offered: all versions it could have; a check for `v1.31` was one for the newest of these.

    Raises:
        CallRefused: none passed, or it has expired, or it is for something else; it says what to run.
    """
    run = f'First: run_precheck(cluster_id="{word(case.cluster_id)}", target_version="{word(target)}").'
    every = entries(answer, "/items")
    if every is None:
        raise refused("what list_prechecks answered is no list of checks", run)
    fitting = [
        each
        for each in every
        if _is_for(case, each, now) and resolve_target(_aim(each), offered) == target and _is_told(each)
    ]
    if not fitting:
        others = sorted({_aim(each) for each in every if _passed(each)})
        known = f"; passed ones are for other versions: {', '.join(map(word, others))}" if others else ""
        raise refused(f"there is no pre-upgrade check from {word(now)} to {word(target)}{known}", run)
    newest = max(fitting, key=began)
    task = f'get_precheck(task_id="{word(get(newest, "/metadata/uid"))}")'
    way = f"the newest pre-upgrade check from {word(now)} to {word(target)}"
    if not _passed(newest):
        state = verdict_of(text(get(newest, "/status/phase")))
        if state == "running":
            raise refused(f"{way} is still running", f"{task} shows how far it is.")
        said = "did not pass" if state == "failed" else f"is {word(state)}"
        raise refused(f"{way} {said}", f"{task} tells why. {run}")
    expires = moment(get(newest, "/status/expireTimeStamp"))
    if expires is None:
        raise refused(f"{way} does not tell until when it counts", run)
    if expires <= case.now:
        raise refused(f"{way} expired {age(expires, case.now)} ago", run)
    return newest


def runs_on(release: Any, target: str) -> bool | None:
    """Say whether a version in an add-on's template is made for a cluster version; None if it does not tell."""
    patterns = [each for support in items(release, "/supportVersions") for each in strings(support, "/clusterVersion")]
    if not patterns:
        return None
    answers = [_matches(pattern, target) for pattern in patterns]
    return True if True in answers else None if None in answers else False


def _matches(pattern: str, version: str) -> bool | None:
    if len(pattern) > _PATTERN_LIMIT or _RISKY.search(pattern):
        return None
    try:
        return re.match(pattern, version[:40]) is not None
    except re.error:
        return None


def _is_for(case: Case, check: Any, now: str) -> bool:
    """Say whether a check is about this cluster as it is now."""
    owner, source = text(get(check, "/spec/clusterID")), text(get(check, "/spec/clusterVersion"))
    return owner.lower() in ("", case.cluster_id.lower()) and source == now


def _aim(check: Any) -> str:
    return text(get(check, "/spec/targetVersion"))


def _passed(check: Any) -> bool:
    return bool(get(check, "/status/phase") == "Success")


def _is_told(check: Any) -> bool:
    """Say whether a check says anything: one that broke off by itself does not undo an earlier one."""
    return bool(get(check, "/status/phase") != "Error")
