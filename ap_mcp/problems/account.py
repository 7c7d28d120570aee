"""What of the whole account needs attention: jobs that have failed or are stuck, and quotas near their end."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.problems.model import JOB, QUOTA, Found, Trouble
from ap_mcp.rules import phases
from ap_mcp.rules.job_records import listed, phase_of_record, why_it_failed
from ap_mcp.rules.quotas import CHARTS, CLUSTERS, is_of_charts, quota_name
from ap_mcp.rules.upgrades import began
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, items, moment, number, text, word
from ap_mcp.wording import age

RECENT = timedelta(days=7)
"""A job that failed longer ago is history."""
QUIET = timedelta(minutes=30)
NEARLY, LAST = 0.9, 1
"""A quota is near its end when this share of it is used, or so few are left."""


def about_jobs(body: Any, clusters: Collection[str], at: datetime, named: Collection[str] = ()) -> Found:
    """Find jobs that have failed lately and were not repeated since, or are under way and do not move.

    Args:
        body: what list_jobs answered, secrets masked.
        clusters: ids of the clusters that are checked; a job of any other one is left out.
        at: the service's time.
        named: ids of jobs that are shown with their clusters already.

    Raises:
        LookupError: it is no list of jobs.
    """
    rows = sorted(listed(body), key=began)
    ours = [row for row in rows if (owner := text(get(row, "/spec/clusteruid"))) in clusters or not owner]
    done = {_work(row): began(row) for row in ours if phases.succeeded(phases.JOB, phase_of_record(row))}
    troubles = [
        found
        for row in ours
        if text(get(row, "/metadata/uid")) not in named
        and not (_work(row) in done and done[_work(row)] > began(row))
        and (found := _about_job(row, at))
    ]
    return Found(troubles, {JOB: len(ours)})


def about_quotas(clusters: Any, charts: Any) -> Found:
    """Find quotas that are used up, or nearly.

    Args:
        clusters: what get_quotas answered; None if it did not.
        charts: what get_chart_quota answered, likewise.
    """
    rows = [
        (quota_name(each), "get_quotas", get(each, "/used"), get(each, "/quotaLimit"))
        for each in items(clusters, "/quotas")
    ]
    rows += [
        (
            CHARTS if is_of_charts(each) else text(get(each, "/type")),
            "get_chart_quota",
            get(each, "/used"),
            get(each, "/quota"),
        )
        for each in items(charts, "/quotas/resources")
    ]
    return Found(tuple(_about_quotas(rows)), {QUOTA: len(rows)})


def _about_job(row: Any, at: datetime) -> Trouble | None:
    phase, uid, kind = phase_of_record(row), text(get(row, "/metadata/uid")), text(get(row, "/spec/type"))
    name = word(kind) if kind else "of no reported type"
    of = text(get(row, "/spec/resourcename"))
    what = f"Job {name} of {word(of)}" if of else f"Job {name}"
    moved = _moved(row)
    follow = NextCall(tool="get_job", arguments={"job_id": uid}, why="shows the step that failed")
    if phases.broken(phases.JOB, phase) and (moved is None or at - moved <= RECENT):
        ago = f", {since} ago" if (since := age(moved, at)) else ""
        return Trouble("warning", JOB, name, f"{what} has failed{ago}", follow, why_it_failed(row))
    if phases.under_way(phases.JOB, phase) and moved is not None and at - moved > QUIET:
        return Trouble("warning", JOB, name, f"{what} has not changed for {age(moved, at)}", follow)
    return None


def _moved(row: Any) -> datetime | None:
    """Return when a job or one of its steps last changed; None if none says when."""
    waiting, times = [row], list[datetime]()
    while waiting:
        each = waiting.pop()
        waiting += items(each, "/spec/subjobs")
        stamps = (get(each, f"/metadata/{key}") for key in ("updateTimestamp", "creationTimestamp"))
        times += [found for stamp in stamps if (found := moment(stamp))]
    return max(times, default=None)


def _work(row: Any) -> tuple[str, ...]:
    """Return what a job does to what: a later one that succeeded makes up for one that failed."""
    return tuple(text(get(row, f"/spec/{key}")) for key in ("type", "clusteruid", "resourceid", "resourcename"))


def _about_quotas(rows: list[tuple[str, str, Any, Any]]) -> Iterator[Trouble]:
    for name, read, used_, limit_ in rows:
        used, limit = number(used_), number(limit_)
        if used is None or limit is None or limit < 0:  # -1 is no limit
            continue
        left = limit - used
        what = word(name) if name else "something that is not named"
        lister = NextCall(tool=read, why="shows it")
        if name in (CLUSTERS, CHARTS):
            lister = NextCall(tool=f"list_{name}", why="shows what counts")
        if left <= 0:
            yield Trouble("warning", QUOTA, what, f"The quota of {what} is used up: {used} of {limit}", lister)
        elif left <= LAST or used >= NEARLY * limit:
            yield Trouble("notice", QUOTA, what, f"The quota of {what} is nearly used up: {used} of {limit}", lister)
