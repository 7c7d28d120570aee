"""Jobs that gave up, go on failing or do not begin, and CronJobs that do not start them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.containers import log_call, log_of
from ap_mcp.kubernetes.diagnose.evidence import NEVER, Evidence
from ap_mcp.kubernetes.diagnose.logs import UNRESOLVED, meaning_of, said_in_log, telling_line
from ap_mcp.kubernetes.diagnose.model import Finding, Gravity, LogKey, Thing, is_set, thing_of
from ap_mcp.kubernetes.diagnose.rules_admission import FAILED
from ap_mcp.kubernetes.diagnose.rules_containers import DNS, OOM
from ap_mcp.kubernetes.events import event_text, event_time
from ap_mcp.kubernetes.pods import NOT_REPORTED, Container, containers_of
from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.vendor import flag, get, items, moment, number, quoted, text, word
from ap_mcp.wording import age, plural, span

MISSED = ("TooManyMissedTimes", "FailedNeedsStart", "MissSchedule", "MissedSchedule")
UNREADABLE = ("UnparseableSchedule", "InvalidSchedule", "UnknownTimeZone", "UnparsableSchedule")
PAUSES = (timedelta(hours=1), timedelta(days=1), timedelta(days=31), None, timedelta(days=7))
"""How long a run can be waited for at most where a field of a schedule is set: minute, hour, day, month (not known,
for it can be years), weekday."""
SHORT = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}
TROUBLES: tuple[tuple[tuple[str, ...], str, str, Gravity], ...] = (
    (UNREADABLE, "cron_schedule", "starts no Job: its schedule cannot be read", "critical"),
    (MISSED, "cron_missed", "missed its time", "warning"),
    (("JobAlreadyActive",), "cron_blocked", "", "warning"),
)
"""Events of a CronJob, the fault that each means, and how it is said."""


def failed_jobs(evidence: Evidence) -> Iterator[Finding]:
    """Find Jobs that failed and were not made up for since, and those that go on failing."""
    runs: dict[Thing, list[Any]] = defaultdict(list)
    for job in evidence.of("Job"):
        runs[next(reversed(list(evidence.owners(job, "Job"))))].append(job)
    for owner, jobs in runs.items():
        jobs.sort(key=lambda each: (text(get(each, "/metadata/creationTimestamp")), thing_of(each).name), reverse=True)
        finished = [each for each in jobs if is_set(each, "Complete") or is_set(each, "Failed")]
        # Of a CronJob's runs the last one counts: an earlier failure was made up for, or happened again.
        failed = finished[:1] if owner.kind == "CronJob" else finished
        for job in failed:
            if is_set(job, "Failed"):
                before = sum(is_set(each, "Failed") for each in jobs) if owner.kind == "CronJob" else 1
                yield _failed(evidence, job, owner, before)
        for job in jobs:
            if not any(is_set(job, each) for each in ("Complete", "Failed")):
                yield from _unfinished(evidence, job)


def _failed(evidence: Evidence, job: Any, owner: Thing, before: int) -> Finding:
    thing, said = thing_of(job, "Job"), condition(job, "Failed")
    reason, tries = text(get(said, "/reason"), 60), int(number(get(job, "/status/failed")) or 0)
    when = moment(get(said, "/lastTransitionTime"))
    pods = evidence.pods_by_owner.get(thing, [])
    last = _last_end(pods)
    facts = [f"condition Failed=True, reason={word(reason)}: {quoted(get(said, '/message'))}"]
    if reason == "DeadlineExceeded":
        limit = number(get(job, "/spec/activeDeadlineSeconds"))
        how = f"was ended because it ran longer than {f'activeDeadlineSeconds={limit}' if limit else 'it may'}"
    elif reason == "PodFailurePolicy":
        how = f"was ended by its podFailurePolicy: {quoted(get(said, '/message'))}"
    else:
        how = f"failed {plural(tries, 'time')} and gave up" if tries else "failed and gave up"
    how += f" ({before} of the runs that are kept failed)" if before > 1 else ""
    why, key, after = "", None, frozenset[Thing]()
    if last is not None:
        why, key, after = _why(evidence, last, facts)
    elif not pods:
        why = "; its pods are gone, and their logs with them"
    calls = [log_call(evidence, key, "shows what it wrote")] if key else [evidence.show(thing, "shows it")]
    if owner.kind == "CronJob":
        calls.append(evidence.show(owner, "shows the CronJob; with the cause corrected, its next run makes a new Job"))
    names = tuple(thing_of(pod).name for pod in pods)
    return Finding(
        "job_failed",
        thing,
        f"{how}{why}",
        tuple(facts),
        "critical",
        when,
        names,
        tuple(calls),
        frozenset({owner}),
        after,
        key,
    )


def _why(evidence: Evidence, last: Container, facts: list[str]) -> tuple[str, LogKey, frozenset[Thing]]:
    """Return how the last try of a Job ended, the log that says why, and what may be behind it."""
    ended, key = last.ended or NOT_REPORTED, log_of(last)
    code, log = ended.code, evidence.logs.get(key)
    facts.append(f"pod {word(key.pod)}: {last.said} exitCode={code}, reason={word(ended.reason)}")
    if ended.reason == OOM:
        limit = text(get(last.spec, "/resources/limits/memory"))
        return (
            f": {last.said} was killed for memory{f', its limit is {word(limit)}' if limit else ''}",
            key,
            frozenset(),
        )
    said = said_in_log(log) or (f": {quoted(ended.message)}" if ended.message else "")
    took = f", {span(ended.lasted)} after its start" if ended.lasted is not None else ""
    unresolved = meaning_of(telling_line(log or "")) == UNRESOLVED
    return (
        f"; the last time {last.said} ended with code {code}{took}{said}",
        key,
        frozenset({DNS}) if unresolved else frozenset(),
    )


def _last_end(pods: Sequence[Any]) -> Container | None:
    """Return the container that failed last, in any pod."""
    failed = [
        (ended.at or NEVER, thing_of(pod).name, at, container)
        for pod in pods
        for at, container in enumerate(containers_of(pod))
        if (ended := container.ended) is not None and ended.failed
    ]
    return max(failed, key=lambda each: each[:3])[3] if failed else None


def _unfinished(evidence: Evidence, job: Any) -> Iterator[Finding]:
    thing, tries = thing_of(job, "Job"), int(number(get(job, "/status/failed")) or 0)
    if flag(get(job, "/spec/suspend")):
        what = "is suspended (spec.suspend): it does not begin until that is taken away"
        yield Finding(
            "job_suspended", thing, what, ("spec.suspend=true",), "notice", next=(evidence.show(thing, "shows it"),)
        )
        return
    if tries:
        facts = [f"status.failed={tries}"]
        limit = number(get(job, "/spec/backoffLimit", 6))
        last = _last_end(evidence.pods_by_owner.get(thing, []))
        why, key, after = _why(evidence, last, facts) if last is not None else ("", None, frozenset[Thing]())
        what = f"failed {plural(tries, 'time')} so far and tries again (backoffLimit {limit}){why}"
        calls = (log_call(evidence, key, "shows what it wrote"),) if key else (evidence.show(thing, "shows it"),)
        yield Finding(
            "job_failing",
            thing,
            what,
            tuple(facts),
            "warning",
            moment(get(job, "/status/startTime")),
            (),
            calls,
            after=after | {thing},
            log=key,
        )


def idle_cronjobs(evidence: Evidence) -> Iterator[Finding]:
    """Find CronJobs that start no Job."""
    for cron in evidence.of("CronJob"):
        thing = thing_of(cron, "CronJob")
        calls = (evidence.show(thing, "shows its schedule and its last runs"),)
        if flag(get(cron, "/spec/suspend")):
            last = age(moment(get(cron, "/status/lastScheduleTime")), evidence.at)
            what = f"is suspended (spec.suspend), so it starts no Job{f'; the last one {last} ago' if last else ''}"
            yield Finding("cron_suspended", thing, what, ("spec.suspend=true",), "notice", next=calls)
            continue
        yield from _long_idle(evidence, cron, thing)
        for reasons, fault, how, gravity in TROUBLES:
            for event in evidence.events_of(cron, "CronJob", *reasons)[:1]:
                started, seen = moment(get(cron, "/status/lastScheduleTime")), event_time(event)
                if started and seen and started > seen:
                    continue
                what = f"{how}: {quoted(event_text(event))}" if how else _blocked(evidence, cron)
                began = moment(get(event, "/firstTimestamp")) or seen
                yield Finding(fault, thing, what, (evidence.event(event),), gravity, began, (), calls)


def _long_idle(evidence: Evidence, cron: Any, thing: Thing) -> Iterator[Finding]:
    """Find that a CronJob has started nothing for longer than its schedule can ever mean, also without an event."""
    longest = _longest_pause(text(get(cron, "/spec/schedule")))
    last = moment(get(cron, "/status/lastScheduleTime")) or moment(get(cron, "/metadata/creationTimestamp"))
    reported = [each for reasons, *_ in TROUBLES for each in reasons]
    if longest is None or last is None or evidence.at - last <= 2 * longest or items(cron, "/status/active"):
        return
    if evidence.events_of(cron, "CronJob", *reported, *FAILED):
        return
    late = number(get(cron, "/spec/startingDeadlineSeconds"))
    why = f"; startingDeadlineSeconds is {late}: below 10 a run may be missed" if late is not None and late < 10 else ""
    never = get(cron, "/status/lastScheduleTime") is None
    since = "since it was made" if never else f"for {age(last, evidence.at)}"
    what = f"has started no Job {since}, though its schedule is {quoted(get(cron, '/spec/schedule'))}{why}"
    fact = f"status.lastScheduleTime={'none' if never else word(get(cron, '/status/lastScheduleTime'))}"
    calls = (evidence.show(thing, "shows its schedule, time zone and last runs"),)
    yield Finding("cron_missed", thing, what, (fact,), "warning", last, (), calls)


def _longest_pause(schedule: str) -> timedelta | None:
    """Return how much time can be between two runs of a schedule at most; None if it is not a usual one."""
    fields = SHORT.get(schedule, schedule).split()
    if len(fields) != len(PAUSES):
        return None
    pauses = [pause for field, pause in zip(fields, PAUSES, strict=True) if field not in ("*", "?")]
    return None if None in pauses else max(filter(None, pauses), default=timedelta(minutes=1))


def _blocked(evidence: Evidence, cron: Any) -> str:
    active = [
        Thing("Job", thing_of(cron).namespace, text(get(each, "/name"))) for each in items(cron, "/status/active")
    ]
    since = [age(moment(get(evidence.find(each), "/status/startTime")), evidence.at) for each in active[:1]]
    which = (
        f"{active[0]} still runs{f' since {since[0]}' if since[0] else ''}"
        if active
        else "the run before still goes on"
    )
    policy = word(get(cron, "/spec/concurrencyPolicy", "Forbid"))
    return f"skips runs: {which}, and concurrencyPolicy is {policy}"
