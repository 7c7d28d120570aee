"""What of a cluster needs attention: itself, its add-ons, releases, upgrades, checks, backups and planned upgrades."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.errors import ApMcpError
from ap_mcp.problems.model import (
    ADDON,
    BACKUP,
    CHECK,
    CLUSTER,
    PLAN,
    RELEASE,
    UPGRADE,
    Found,
    Gravity,
    Look,
    Place,
    Trouble,
    picked,
)
from ap_mcp.rules import phases
from ap_mcp.rules.addons import addon_name_of, needs_reinstall, runs_in_part, state_of
from ap_mcp.rules.clusters import standing
from ap_mcp.rules.findings import Failure, Findings, findings_of, not_known
from ap_mcp.rules.sayings import RELEASE_SAYS, addon_says, release_says, task_says
from ap_mcp.rules.upgrade_plans import is_overdue, plan_state
from ap_mcp.rules.upgrades import (
    FAILED,
    PAUSED,
    RUNNING,
    SUCCEEDED,
    aim_of,
    began,
    spoken,
    state_of_check,
    tasks_of,
    verdict_of,
)
from ap_mcp.rules.versions import minor_of
from ap_mcp.specs.waits import DELETING, IDLE
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import SAID_LIMIT, flag, get, items, moment, said, stamp, text, word
from ap_mcp.wording import age, few

QUIET = timedelta(minutes=30)
"""What is under way and has not changed for so long is stuck."""
NAMED = 4
"""Findings of a check that are named."""
RELEASE_FIELDS = ("name", "namespace", "status", *RELEASE_SAYS, "create_at", "update_at")
"""Of a release, what says how it is; its values and manifest may be large."""
_LENGTH = SAID_LIMIT // 2
"""Characters of one cause."""
TASKS, CHECKS = "list_upgrade_tasks", "list_prechecks"


async def look_at_cluster(place: Place) -> Found:
    """Find what is wrong with a cluster itself; it was read already."""
    return Found(tuple(_about_cluster(place)))


async def look_at_addons(place: Place) -> Found:
    """Find add-ons that do not work, or work only in part."""
    rows = items(await place.read("list_addons"), "/items")
    troubles = [found for row in rows if (found := _about_addon(place, row))]
    return Found(troubles, {ADDON: len(rows)})


async def look_at_releases(place: Place) -> Found:
    """Find releases that have failed or do not get on."""
    body = await place.read_as_is("list_releases")
    # The reference draws a list that holds lists.
    rows = [row for each in (body if isinstance(body, list) else [body]) for row in items(each)]
    troubles = [found for row in rows if (found := _about_release(place, picked(row, *RELEASE_FIELDS)))]
    return Found(troubles, {RELEASE: len(rows)})


async def look_at_upgrades(place: Place) -> Found:
    """Find a latest upgrade that has failed, is paused or is stuck."""
    tasks = tasks_of(await place.read(TASKS)) or []
    return Found(tuple(_about_upgrade(place, tasks[-1])) if tasks else (), {UPGRADE: len(tasks)})


async def look_at_checks(place: Place) -> Found:
    """Find a latest pre-upgrade check that blocks the next upgrade, or no longer allows it."""
    checks, tasks = tasks_of(await place.read(CHECKS)) or [], await _upgrades(place)
    open_ = [each for each in checks if _counts_still(place, each, tasks)]
    return Found(tuple(_about_check(place, open_[-1])) if open_ else (), {CHECK: len(checks)})


async def look_at_backups(place: Place) -> Found:
    """Find a latest backup that has failed or is stuck."""
    rows = tasks_of(await place.read("list_backups")) or []
    return Found(tuple(_about_backup(place, rows[-1])) if rows else (), {BACKUP: len(rows)})


async def look_at_plans(place: Place) -> Found:
    """Find planned upgrades that may start any minute, or should have started."""
    rows, tasks = items(await place.read("list_upgrade_plans"), "/items"), await _upgrades(place)
    done = {aim_of(each) for each in tasks if verdict_of(text(get(each, "/status/phase"))) == SUCCEEDED}
    troubles = [found for row in rows if aim_of(row) not in done and (found := _about_plan(place, row))]
    return Found(troubles, {PLAN: len(rows)})


async def _upgrades(place: Place) -> list[Any]:
    """Return the upgrades of a cluster, the oldest first; none if they cannot be read, which another search reports."""
    with suppress(ApMcpError):
        return tasks_of(await place.read(TASKS)) or []
    return []


LOOKS: Sequence[Look] = (
    look_at_cluster,
    look_at_addons,
    look_at_releases,
    look_at_upgrades,
    look_at_checks,
    look_at_backups,
    look_at_plans,
)
"""All searches in one cluster. Another kind of thing is another function here."""


def _about_cluster(place: Place) -> Iterator[Trouble]:
    phase, problem = place.phase, said(get(place.body, "/status"))
    verdict = phases.verdict(phases.CLUSTER, phase)
    what = f"Cluster {place.name} {standing(phase)}"
    if flag(get(place.body, "/status/isLocked")):
        scene = text(get(place.body, "/status/lockScene"))
        locked = f"Cluster {place.name} is locked by billing"
        yield Trouble("critical", CLUSTER, place.name, locked, place.call("get_cluster", "shows why"), scene)
    if phases.succeeded(phases.CLUSTER, phase):
        return
    if phases.broken(phases.CLUSTER, phase) or verdict is None:
        yield Trouble("critical", CLUSTER, place.name, what, _follow(place), problem)
    elif verdict == IDLE:
        yield Trouble(
            "notice", CLUSTER, place.name, f"{what}: nothing runs in it", place.call("get_cluster", "shows it"), problem
        )
    elif problem:
        yield Trouble("warning", CLUSTER, place.name, what, _follow(place), problem)


def _follow(place: Place) -> NextCall:
    """Return the call that shows why a cluster is not Available."""
    job = text(get(place.body, "/status/jobID"))
    if job:
        return place.call("get_job", "shows the step that failed", cluster_id="", job_id=job)
    if phases.phases_of(phases.CLUSTER).holds("upgrading", place.phase):
        return place.call(TASKS, "shows whether its upgrade has failed")
    return place.call("get_cluster", "shows what it reports")


def _about_addon(place: Place, row: Any) -> Trouble | None:
    state = state_of(row)
    gravity = _gravity_of(phases.ADDON, state, row, place.at)
    if gravity is None and not runs_in_part(state):
        return None
    name = " ".join(word(each) for each in (addon_name_of(row), text(get(row, "/spec/version"))) if each) or "?"
    doing = phases.described(phases.ADDON, state) or f"is {word(state) if state else 'in no state that is reported'}"
    stuck = _for_how_long(phases.ADDON, state, row, place.at)
    cure = ", which only deleting it and installing it anew fixes" if needs_reinstall(state) else ""
    uid = text(get(row, "/metadata/uid"))
    follow = place.call("get_addon" if uid else "list_addons", "shows what it reports and what fixes it", addon_id=uid)
    what = f"Add-on {name} of {place.name} {doing}{stuck}{cure}"
    return Trouble(gravity or "warning", ADDON, name, what, follow, addon_says(row, _LENGTH))


def _about_release(place: Place, row: Any) -> Trouble | None:
    status, name, namespace = (text(get(row, f"/{key}")) for key in ("status", "name", "namespace"))
    gravity = _gravity_of(phases.RELEASE, status, row, place.at)
    if gravity is None:
        return None
    doing = phases.described(phases.RELEASE, status) or f"is {word(status) if status else 'in no state it reports'}"
    stuck = _for_how_long(phases.RELEASE, status, row, place.at)
    broken = phases.broken(phases.RELEASE, status)
    tool, why = ("get_release_history", "shows a revision to go back to") if broken else ("get_release", "shows it")
    if not (name and namespace):
        tool, why = "list_releases", "shows it"
    follow = place.call(tool, why, namespace=namespace, name=name if tool != "list_releases" else "")
    title = word("/".join(filter(None, (namespace, name)))) or "without a name"
    what = f"Release {title} of {place.name} {doing}{stuck}"
    return Trouble(gravity, RELEASE, title, what, follow, release_says(row, _LENGTH))


def _about_upgrade(place: Place, task: Any) -> Iterator[Trouble]:
    verdict, uid = verdict_of(text(get(task, "/status/phase"))), text(get(task, "/metadata/uid"))
    stuck = verdict == RUNNING and _is_stuck(task, place.at)
    unknown = verdict == text(get(task, "/status/phase"))  # which no words of ours stand for
    if verdict not in (FAILED, PAUSED) and not stuck and not unknown:
        return
    way = f"from {word(get(task, '/spec/version'))} to {word(get(task, '/spec/targetVersion'))}"
    since = age(_moved(task), place.at)
    how = f"has not changed for {since}" if stuck else spoken(verdict)
    ago = f", {since} ago" if since and verdict == FAILED else ""
    follow = place.call("get_upgrade_task" if uid else TASKS, "shows where it stopped", task_id=uid)
    what = f"The upgrade of {place.name} {way} {how}{ago}"
    gravity: Gravity = "warning" if unknown else "critical"
    yield Trouble(gravity, UPGRADE, place.name, what, follow, task_says(task, phases.UPGRADE))


def _counts_still(place: Place, check: Any, tasks: Sequence[Any]) -> bool:
    """Say whether a check is about the cluster as it is: no upgrade began after it, and the version is the same."""
    version, now = text(get(check, "/spec/clusterVersion")), text(get(place.body, "/spec/version"))
    same = not version or not now or minor_of(version) == minor_of(now)
    return same and all(began(each) <= began(check) for each in tasks)


def _about_check(place: Place, check: Any) -> Iterator[Trouble]:
    state = state_of_check(check, place.at)
    target = aim_of(check)
    aim = f"pre-upgrade check of {place.name} for {word(target) if target else 'a version it does not name'}"
    ago = f", {since} ago" if (since := age(_began(check), place.at)) else ""
    assess = place.call("assess_upgrade", "says what blocks it and what fixes that", target_version=target)
    if state == "not passed":
        found = findings_of(check)
        cause = "; ".join(filter(None, (_findings(found), _says({"message": get(check, "/status/message")}))))
        blocked = "found what blocks the upgrade" if found.blocking else "did not pass"
        yield Trouble("warning", CHECK, place.name, f"The {aim} {blocked}{ago}", assess, cause)
    elif state == RUNNING and _is_stuck(check, place.at):
        stuck = f"The {aim} has not changed for {age(_moved(check), place.at)}"
        yield Trouble("warning", CHECK, place.name, stuck, assess)
    elif state in ("expired", "undated"):
        expired = f"passed and has expired{ago}" if state == "expired" else spoken("undated")
        yield Trouble("notice", CHECK, place.name, f"The {aim} {expired}: an upgrade needs a new one", assess)


def _findings(found: Findings) -> str:
    """Name what a check found: first what must be fixed, then the risks that may be skipped, and what is not known."""
    parts = []
    if found.blocking:
        parts.append(f"must be fixed: {few(_named(found.blocking), NAMED)}")
    if found.risks:
        parts.append(f"risks to fix or to skip: {few(_named(found.risks), NAMED)}")
    return "; ".join([*parts, *filter(None, [not_known(found, NAMED).rstrip(".")])])


def _named(found: Sequence[Failure]) -> list[str]:
    return list(dict.fromkeys(word(each.name) for each in found))


def _about_backup(place: Place, row: Any) -> Iterator[Trouble]:
    phase = text(get(row, "/status/phase"))
    gravity = _gravity_of(phases.BACKUP, phase, row, place.at)
    if gravity is None:
        return
    stuck = _for_how_long(phases.BACKUP, phase, row, place.at)
    since = age(_moved(row), place.at)
    ended = "has failed" if phases.broken(phases.BACKUP, phase) else spoken(verdict_of(phase, phases.BACKUP))
    how = f"is still being made{stuck}" if stuck else f"{ended}{f', {since} ago' if since else ''}"
    cause = task_says(row, phases.BACKUP)
    follow = place.call("list_backups", "shows all backups")
    yield Trouble("warning", BACKUP, place.name, f"The latest backup of {place.name} {how}", follow, cause)


def _about_plan(place: Place, row: Any) -> Trouble | None:
    late = is_overdue(row, place.at)
    if not late and plan_state(row, place.at) != "due":
        return None
    target = aim_of(row)
    latest = stamp(get(row, "/spec/notAfter"))
    until = f" (at the latest {word(latest)})" if latest else ""
    how = f"may start any minute or has started{until}"
    if late:
        how = f"is overdue: its time ended {age(moment(get(row, '/spec/notAfter')), place.at)} ago"
    what = f"The planned upgrade of {place.name} to {word(target) if target else 'a version it does not name'} {how}"
    follow = place.call(TASKS, "shows whether it has started")
    if not late and target:
        follow = place.call("assess_upgrade", "says whether it can succeed", target_version=target)
    return Trouble("warning", PLAN, place.name, what, follow, _says({"message": get(row, "/status/message")}))


def _gravity_of(kind: str, phase: str, row: Any, at: datetime) -> Gravity | None:
    """Return how grave the phase of a thing is; None if it is healthy, or under way and moving."""
    verdict = phases.verdict(kind, phase)
    if phases.broken(kind, phase):
        return "critical"
    if phases.under_way(kind, phase) or verdict == DELETING:
        return "warning" if _is_stuck(row, at) else None
    return "warning" if verdict is None else None


def _for_how_long(kind: str, phase: str, row: Any, at: datetime) -> str:
    """Say for how long nothing has changed of what is under way; empty if it is not, or moves."""
    if not phases.under_way(kind, phase) or not _is_stuck(row, at):
        return ""
    return f", and has not changed for {age(_moved(row), at)}"


def _is_stuck(row: Any, at: datetime) -> bool:
    moved = _moved(row)
    return moved is not None and at - moved > QUIET


def _moved(row: Any) -> datetime | None:
    """Return when something was last changed, or made; None if it says neither."""
    places = ("/metadata/updateTimestamp", "/update_at", "/metadata/creationTimestamp", "/create_at")
    return next((found for each in places if (found := moment(get(row, each)))), None)


def _began(task: Any) -> datetime | None:
    """Return when a task was created; None if it does not say."""
    return moment(get(task, "/metadata/creationTimestamp"))


def _says(thing: Any) -> str:
    return said(thing, _LENGTH)
