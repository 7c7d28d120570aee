"""Shapes the records of jobs as the older API has them: fields in lower case, the phase under `status`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import Field

from ap_mcp.rules import phases
from ap_mcp.rules.job_records import listed, phase_of_record, why_it_failed
from ap_mcp.rules.phases import JOB
from ap_mcp.rules.upgrades import FAILED, RUNNING, SUCCEEDED, began
from ap_mcp.rules.wait_hints import UNDER_WAY, WAIT_FOR
from ap_mcp.summaries import jobs
from ap_mcp.summaries.base import CURSOR, NextCall, Observation, Part, Result, summarises
from ap_mcp.summaries.pages import paged
from ap_mcp.summaries.upgrade_common import created
from ap_mcp.vendor import get, quoted, stamp, text
from ap_mcp.wording import few, plural

GET_JOB = "get_job"
SHOWN = 40
"""Jobs on one page."""
_NAMES = {
    "clusteruid": "clusterUID",
    "resourceid": "resourceID",
    "resourcename": "resourceName",
    "extendparam": "extendParam",
}
"""What a record calls a field, and what `get_job` calls it."""
_ORDER = (FAILED, RUNNING, SUCCEEDED)


class JobLine(Part):
    """One job in a list."""

    job_id: str
    verdict: str
    type: str = ""
    of: str = ""
    cluster_id: str = ""
    created: str | None = None
    ended: str | None = None
    reason: str | None = None


class JobList(Result):
    """The jobs of the project: failed ones, then those that run, then the others; the newest first among each."""

    jobs: list[JobLine] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


@summarises("job_records", accepts=list | dict)
def job_records(answer: Observation) -> JobList:
    """List jobs, a line each."""
    found = sorted(listed(answer.body), key=began, reverse=True)
    every = sorted((_line(body) for body in found), key=lambda line: _ORDER.index(line.verdict))
    page = paged(answer, every, SHOWN, lambda line: line.job_id)
    counts = [f"{count} {verdict}" for verdict in _ORDER if (count := _count(every, verdict))]
    return JobList(
        summary=f"{plural(len(every), 'job')}: {', '.join(counts)}." if counts else f"{plural(len(every), 'job')}.",
        jobs=page.items,
        shown=page.shown,
        total=page.total,
        warnings=[*_not_understood(found), *page.warnings],
        next=[*(_looks(every) if CURSOR not in answer.own else []), *page.next],
    )


@summarises("job_record")
def job_record(answer: Observation) -> jobs.JobState:
    """Show how far a job is, as `get_job` does."""
    return jobs.job(replace(answer, body=_renamed(answer.body)))


def _not_understood(found: list[dict[str, Any]]) -> Iterator[str]:
    """Say which phases the specs do not know, as such a job counts as running."""
    unknown = [body for body in found if phases.verdict(JOB, phase_of_record(body)) is None]
    if unknown:
        said = few(sorted({quoted(phase_of_record(body)) if phase_of_record(body) else "none" for body in unknown}))
        yield f"{plural(len(unknown), 'job')} in a phase that is not known, counted as running: {said}."


def _line(body: Any) -> JobLine:
    verdict = jobs.verdict_on(phase_of_record(body))
    why = why_it_failed(body) if verdict == FAILED else ""
    return JobLine(
        job_id=text(get(body, "/metadata/uid")),
        verdict=verdict,
        type=text(get(body, "/spec/type")),
        of=text(get(body, "/spec/resourcename")),
        cluster_id=text(get(body, "/spec/clusteruid")),
        created=created(body) or None,
        ended=stamp(get(body, "/status/completionTime")) if verdict != RUNNING else None,
        reason=why or None,
    )


def _count(every: list[JobLine], verdict: str) -> int:
    return sum(line.verdict == verdict for line in every)


def _looks(every: list[JobLine]) -> Iterator[NextCall]:
    """Yield the call that follows the newest running job, and the one that shows the newest failure."""
    newest = {line.verdict: line.job_id for line in reversed(every) if line.job_id}
    if RUNNING in newest:
        yield NextCall(tool=WAIT_FOR, arguments={"kind": "job", "id": newest[RUNNING]}, why=UNDER_WAY)
    if FAILED in newest:
        yield NextCall(tool=GET_JOB, arguments={"job_id": newest[FAILED]}, why="Shows the step that failed")


def _renamed(body: Any) -> Any:
    """Return a record with the names that `get_job` uses, at every depth."""
    if not isinstance(body, dict):
        return body
    spec, status = get(body, "/spec", {}), get(body, "/status", {})
    renamed = dict(body)
    if isinstance(spec, dict):
        renamed["spec"] = {_NAMES.get(key, key): value for key, value in spec.items() if key != "subjobs"}
        if "subjobs" in spec:
            steps = spec["subjobs"]
            renamed["spec"]["subJobs"] = [_renamed(each) for each in steps] if isinstance(steps, list) else steps
    if isinstance(status, dict) and "phase" not in status:
        renamed["status"] = {**status, "phase": status.get("status")}
    return renamed
