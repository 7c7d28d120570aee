"""Jobs and the CronJobs that make them: pods that end by themselves, tries, and when to give up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.kubernetes.acting import condition, controlled, emit, make, owner_reference, suffix, write
from ap_mcp.simulator.kubernetes.controllers import acting_on, reconciles
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.pods import is_active, is_ready, make_pod, stop_pod
from ap_mcp.simulator.kubernetes.schedules import next_moment
from ap_mcp.simulator.kubernetes.statuses import StatusError
from ap_mcp.simulator.kubernetes.store import Store, owner_of
from ap_mcp.simulator.world import Row, World, copied

JOB, CRON_JOB = ("Job", "batch"), ("CronJob", "batch")
PLANNED = "kubernetes_cron"
"""Rows by the id of a CronJob: when it runs next."""

MOST_MISSED = 100
"""Runs that are made up for after a world was left alone; a real controller stops there too."""


@reconciles("jobs.batch")
def job_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Make the pods that a Job still needs, or end it, and report its status."""
    kind = known(*JOB)
    old = store.get(kind, item["metadata"]["namespace"], item["metadata"]["name"])
    if old is not None and not old["metadata"].get("deletionTimestamp") and not _ended(old):
        new = copied(old)
        _label(new)
        _run(store, new)
        write(store, kind, old, new)
    owner = owner_of(item)
    above = owner and store.get(known(*CRON_JOB), item["metadata"]["namespace"], owner["name"])
    if above:
        _report_cron_job(store, dict(above))


@reconciles("pods")
def pod_of_job_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Let a Job react to its pod."""
    owner = owner_of(item)
    if owner is not None and owner["kind"] == "Job":
        above = store.get(known(*JOB), item["metadata"]["namespace"], owner["name"])
        if above is not None and above["metadata"]["uid"] == owner["uid"]:
            job_changed(store, above)


@reconciles("cronjobs.batch")
def cron_job_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Plan the next Job of a CronJob."""
    metadata = item["metadata"]
    found = store.get(known(*CRON_JOB), metadata["namespace"], metadata["name"])
    if found is None or found["spec"].get("suspend"):
        return
    at = _next_run(store, found)
    plan = {"at": store.world.iso_timestamp(at), "generation": found["metadata"].get("generation", 1)}
    if at is None or store.world.table(PLANNED).get(metadata["uid"]) == plan:
        return
    store.world.table(PLANNED)[metadata["uid"]] = plan
    store.world.schedule(
        (at - store.world.now()).total_seconds(), "kubernetes.cron", cluster_id=store.cluster_id,
        namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"],
        generation=found["metadata"].get("generation", 1),
    )  # fmt: skip


def _next_run(store: Store, cron_job: Row) -> datetime | None:
    """Return when a CronJob is due next; one that missed too many runs goes on from now."""
    schedule, now = cron_job["spec"]["schedule"], store.world.clock.now()
    due = at = next_moment(schedule, store.world.now())
    for _ in range(MOST_MISSED):
        if at is None or at > now:
            return due
        at = next_moment(schedule, at)
    emit(store, cron_job, "Warning", "TooManyMissedTimes", "too many missed start times", "cronjob-controller")
    return next_moment(schedule, now)


@reacts_to("kubernetes.cron")
def _due(world: World, *, cluster_id: str, namespace: str, name: str, uid: str, generation: int) -> None:
    with acting_on(world, cluster_id) as store:
        found = store and store.get(known(*CRON_JOB), namespace, name)
        if not store or not found or found["metadata"]["uid"] != uid:
            return
        if found["metadata"].get("generation", 1) != generation:
            return
        running = [each for each in controlled(store, known(*JOB), found) if not _ended(each)]
        if running and found["spec"].get("concurrencyPolicy") == "Forbid":
            emit(store, found, "Normal", "JobAlreadyActive", "Not starting job because prior execution is running and "
                 "concurrency policy is Forbid", "cronjob-controller")  # fmt: skip
        else:
            _make_job(store, found)
        changed = copied(store.fetch(known(*CRON_JOB), namespace, name))
        changed.setdefault("status", {})["lastScheduleTime"] = world.iso_timestamp()
        write(store, known(*CRON_JOB), found, changed)


def _make_job(store: Store, cron_job: Row) -> None:
    metadata, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    name = f"{metadata['name']}-{int(store.world.now().timestamp()) // 60}"
    if store.get(known(*JOB), metadata["namespace"], name) is not None:
        return
    about = {
        "name": name,
        "namespace": metadata["namespace"],
        "labels": dict((template.get("metadata") or {}).get("labels") or {}),
        "ownerReferences": [owner_reference(known(*CRON_JOB), cron_job)],
        "generation": 1,
    }
    make(store, known(*JOB), {"metadata": about, "spec": copied(template["spec"]), "status": {}})
    emit(store, cron_job, "Normal", "SuccessfulCreate", f"Created job {name}", "cronjob-controller")
    jobs = [each for each in controlled(store, known(*JOB), cron_job) if _ended(each)]
    for type_, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        ended = [each for each in jobs if _ended(each) == type_]
        ended.sort(key=lambda each: str(each["metadata"]["creationTimestamp"]))
        for each in ended[: max(0, len(ended) - cron_job["spec"].get(limit, 1))]:
            store.remove(known(*JOB), each)


def _report_cron_job(store: Store, old: Row) -> None:
    jobs = controlled(store, known(*JOB), old)
    new = copied(old)
    status = new.setdefault("status", {})
    active = [each["metadata"] for each in jobs if not _ended(each)]
    status["active"] = [
        {"apiVersion": "batch/v1", "kind": "Job", "name": each["name"], "namespace": each["namespace"],
         "uid": each["uid"]} for each in active
    ]  # fmt: skip
    if not active:
        del status["active"]
    done = [each["status"]["completionTime"] for each in jobs if _ended(each) == "Complete"]
    if done:
        status["lastSuccessfulTime"] = max(done)
    write(store, known(*CRON_JOB), old, new)


def _ended(job: Mapping[str, Any]) -> str:
    """Return the condition with which a Job ended, empty if it goes on."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((each["type"] for each in conditions if each["type"] in ("Complete", "Failed") and
                 each["status"] == "True"), "")  # fmt: skip


def _label(job: Row) -> None:
    """Let a Job select its own pods, as the server does for a Job that does not say how."""
    spec, metadata = job["spec"], job["metadata"]
    if spec.get("manualSelector") or spec.get("selector"):
        return
    values = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    labels = {**values, **{f"batch.kubernetes.io/{key}": value for key, value in values.items()}}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}
    template = spec["template"].setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **labels}


def _begin(store: Store, job: Row, status: Row) -> None:
    """Note when a Job began, and see to it at its deadline."""
    if "startTime" in status:
        return
    status["startTime"] = store.world.iso_timestamp()
    seconds = job["spec"].get("activeDeadlineSeconds")
    if seconds:
        metadata = job["metadata"]
        about = {"namespace": metadata["namespace"], "name": metadata["name"]}
        store.world.schedule(seconds, "kubernetes.job_deadline", cluster_id=store.cluster_id, **about)


@reacts_to("kubernetes.job_deadline")
def _deadline(world: World, *, cluster_id: str, namespace: str, name: str) -> None:
    with acting_on(world, cluster_id) as store:
        found = store and store.get(known(*JOB), namespace, name)
        if store and found:
            job_changed(store, found)


def _run(store: Store, job: Row) -> None:
    spec, now = job["spec"], store.world.iso_timestamp()
    status = job.setdefault("status", {})
    if spec.get("suspend"):
        condition(store, status, "Suspended", "True", "JobSuspended", "Job suspended")
        return
    _begin(store, job, status)
    pods = controlled(store, known("Pod"), job)
    active = [each for each in pods if is_active(each)]
    succeeded = sum((each.get("status") or {}).get("phase") == "Succeeded" for each in pods)
    failed = sum((each.get("status") or {}).get("phase") == "Failed" for each in pods)
    wanted = spec.get("completions")
    deadline = spec.get("activeDeadlineSeconds")
    late = deadline and (store.world.now() - parse_timestamp(status["startTime"])).total_seconds() >= deadline
    if failed > spec.get("backoffLimit", 6) or late:
        _give_up(store, job, active, late=bool(late))
        active = []
    elif (wanted is None and succeeded and not active) or (wanted is not None and succeeded >= wanted):
        for type_ in ("SuccessCriteriaMet", "Complete"):
            condition(store, status, type_, "True", "CompletionsReached", "Reached expected number of succeeded pods")
        status["completionTime"] = now
        emit(store, job, "Normal", "Completed", "Job completed", "job-controller")
    elif wanted is not None or not succeeded:
        left = spec["parallelism"] if wanted is None else min(spec["parallelism"], wanted - succeeded)
        active += _more_pods(store, job, left - len(active))
    for label, count in (("active", len(active)), ("succeeded", succeeded), ("failed", failed)):
        if count:
            status[label] = count
        else:
            status.pop(label, None)
    status["ready"] = sum(map(is_ready, active))


def _give_up(store: Store, job: Row, active: Sequence[Row], *, late: bool) -> None:
    said = "was active longer than specified deadline" if late else "has reached the specified backoff limit"
    reason = "DeadlineExceeded" if late else "BackoffLimitExceeded"
    for each in active:
        stop_pod(store, each)
    condition(store, job["status"], "Failed", "True", reason, f"Job {said}")
    emit(store, job, "Warning", reason, f"Job {said}", "job-controller")


def _more_pods(store: Store, job: Row, count: int) -> list[Row]:
    """Make pods, as many as are admitted."""
    made: list[Row] = []
    for _ in range(count):
        name = f"{job['metadata']['name']}-{suffix(store)}"
        try:
            made.append(make_pod(store, known(*JOB), job, job["spec"]["template"], name))
        except StatusError as refusal:
            emit(store, job, "Warning", "FailedCreate", f"Error creating: {refusal.message}", "job-controller")
            break
        emit(store, job, "Normal", "SuccessfulCreate", f"Created pod: {name}", "job-controller")
    return made
