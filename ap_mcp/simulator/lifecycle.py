"""Things that take time: jobs with sub-jobs, and single fields that move through a list of values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.simulator.events import reactions_to, reacts_to
from ap_mcp.simulator.registry import not_found
from ap_mcp.simulator.world import Row, World

INITIALIZING, RUNNING, SUCCESS, FAILED = "Initializing", "Running", "Success", "Failed"
START_AFTER = 2.0
"""Seconds a new job waits before its first step runs."""


@dataclass(frozen=True, slots=True)
class Step:
    """One sub-job: a leaf that takes `seconds`, or a parent of `steps` that run one after the other."""

    type: str
    seconds: float = 5.0
    steps: Sequence["Step"] = ()
    resource_id: str = ""
    resource_name: str = ""
    extend_param: Mapping[str, str] = field(default_factory=dict)


def start_job(
    world: World,
    type_: str,
    cluster: Mapping[str, Any],
    steps: Sequence[Step],
    *,
    on_success: str | None = None,
    on_failure: str | None = None,
    fails_at: str | None = None,
    reason: str = "",
    payload: Mapping[str, Any] | None = None,
    resource_id: str = "",
    resource_name: str = "",
    extend_param: Mapping[str, str] | None = None,
) -> str:
    """Start a job on a cluster and return its id.

    Args:
        world: where it happens.
        type_: the job's type, such as `CreateCluster`.
        cluster: the cluster's row (its `metadata.uid` and `metadata.name` are used).
        steps: sub-jobs, run in order.
        on_success: event fired at the end with `job_id` and the payload.
        on_failure: event fired when a step fails, with the same arguments.
        fails_at: type of the leaf step that fails at its end instead of succeeding.
        reason: what the failing step reports.
        payload: further arguments of both events.
        resource_id: what the job works on, the cluster unless given.
        resource_name: its name.
        extend_param: vendor details of the job.
    """
    for event in (on_success, on_failure):
        if event is not None:
            reactions_to(event)
    if not steps:
        raise ValueError(f"the job {type_} needs at least one step")
    uid, name = cluster["metadata"]["uid"], cluster["metadata"]["name"]
    whole = Step(type_, 0, steps, resource_id or uid, resource_name or name, extend_param or {})
    job = _job_of(world, whole, uid)
    job["_on"] = {SUCCESS: on_success, FAILED: on_failure}
    job["_payload"] = dict(payload or {})
    if fails_at is not None:
        _mark_failing(job, fails_at, reason)
    job_id = str(job["metadata"]["uid"])
    world.table("jobs")[job_id] = job
    world.schedule(START_AFTER, "job.step", job_id=job_id)
    return job_id


def find_job(world: World, job_id: str) -> Row:
    """Return a job or, at any depth, a sub-job.

    Raises:
        SimulatedError: 404 if there is none.
    """
    jobs = world.table("jobs")
    for job in [jobs[job_id]] if job_id in jobs else jobs.values():
        for path in _paths(job):
            if path[-1]["metadata"]["uid"] == job_id:
                return path[-1]
    raise not_found("job", job_id)


def unfinished_jobs(world: World, cluster_id: str) -> list[Row]:
    """List a cluster's jobs that still run or wait to."""
    jobs = world.table("jobs").values()
    return [
        job
        for job in jobs
        if job["spec"]["clusterUID"] == cluster_id and job["status"]["phase"] in (INITIALIZING, RUNNING)
    ]


def move(
    world: World,
    table: str,
    key: str,
    pointer: str,
    steps: Sequence[tuple[float, Any]],
    *,
    then: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Let one field of a row take a list of values over time.

    Args:
        world: where it happens.
        table: the row's table.
        key: the row's id; if the row is gone when a step is due, nothing happens any more.
        pointer: the field, as `/status/phase`. A later `move` of the same field replaces an earlier one.
        steps: pairs of (seconds since the step before, new value).
        then: event fired after the last step with the payload.
        payload: that event's arguments.
    """
    if then is not None:
        reactions_to(then)
    row = world.table(table)[key]
    ticket = world.new_id()
    row.setdefault("_moves", {})[pointer] = ticket
    remaining = [list(step) for step in steps]
    rest = {"then": then, "payload": dict(payload or {})}
    world.schedule(
        remaining[0][0] if remaining else 0, "row.step",
        table=table, key=key, pointer=pointer, ticket=ticket, remaining=remaining, **rest,
    )  # fmt: skip


def stop_moving(world: World, table: str, key: str, pointer: str) -> None:
    """Cancel the changes of a field that are still to come."""
    world.table(table)[key].get("_moves", {}).pop(pointer, None)


def touch(world: World, row: Row) -> None:
    """Set a row's `metadata.updateTimestamp` to now, in the form it already has."""
    metadata = row.get("metadata", {})
    old = metadata.get("updateTimestamp", metadata.get("creationTimestamp"))
    if isinstance(old, str):
        metadata["updateTimestamp"] = world.iso_timestamp() if old.endswith("Z") else world.timestamp()


@reacts_to("row.step")
def _row_step(
    world: World,
    *,
    table: str,
    key: str,
    pointer: str,
    ticket: str,
    remaining: list[list[Any]],
    then: str | None,
    payload: Row,
) -> None:
    row = world.table(table).get(key)
    if row is None or row.get("_moves", {}).get(pointer) != ticket:
        return
    if remaining:
        _set(row, pointer, remaining[0][1])
        touch(world, row)
    if len(remaining) > 1:
        rest = {"remaining": remaining[1:], "then": then, "payload": payload}
        world.schedule(remaining[1][0], "row.step", table=table, key=key, pointer=pointer, ticket=ticket, **rest)
        return
    del row["_moves"][pointer]
    if then is not None:
        world.fire(then, **payload)


def _set(row: Row, pointer: str, value: Any) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in parents:
        row = row.setdefault(part, {})
    row[last] = value


def _job_of(world: World, step: Step, cluster_uid: str) -> Row:
    spec: Row = {"type": step.type, "clusterUID": cluster_uid}
    optional = {
        "resourceID": step.resource_id,
        "resourceName": step.resource_name,
        "extendParam": dict(step.extend_param),
    }
    spec |= {key: value for key, value in optional.items() if value}
    now = world.timestamp()
    job: Row = {
        "kind": "Job",
        "apiVersion": "v3",
        "metadata": {"uid": world.new_id(), "creationTimestamp": now, "updateTimestamp": now},
        "spec": spec,
        "status": {"phase": INITIALIZING, "reason": ""},
        "_seconds": step.seconds,
    }
    if step.steps:
        spec["subJobs"] = [_job_of(world, child, cluster_uid) for child in step.steps]
    return job


def _paths(job: Row, above: tuple[Row, ...] = ()) -> Iterator[tuple[Row, ...]]:
    """Yield each job of a tree, itself first, as the path from the root to it."""
    here = (*above, job)
    yield here
    for child in job["spec"].get("subJobs", []):
        yield from _paths(child, here)


def _leaves(job: Row) -> list[tuple[Row, ...]]:
    return [path for path in _paths(job) if not path[-1]["spec"].get("subJobs")]


def _mark_failing(job: Row, step_type: str, reason: str) -> None:
    for path in _leaves(job):
        if path[-1]["spec"]["type"] == step_type:
            path[-1]["_fails"] = reason or f"{step_type} failed"
            return
    raise ValueError(f"the job {job['spec']['type']} has no leaf step {step_type}")


def _set_phase(world: World, job: Row, phase: str, reason: str = "") -> None:
    if job["status"]["phase"] != phase:
        job["status"] = {"phase": phase, "reason": reason}
        touch(world, job)


@reacts_to("job.step")
def _job_step(world: World, job_id: str) -> None:
    """End the leaf that runs, if one does, and start the next one."""
    job = world.table("jobs").get(job_id)
    if job is None or job["status"]["phase"] in (SUCCESS, FAILED):
        return
    running = next((path for path in _leaves(job) if path[-1]["status"]["phase"] == RUNNING), None)
    if running is not None and not _end_leaf(world, running):
        _finish(world, job, FAILED)
        return
    waiting = next((path for path in _leaves(job) if path[-1]["status"]["phase"] == INITIALIZING), None)
    if waiting is None:
        _finish(world, job, SUCCESS)
        return
    for part in waiting:
        _set_phase(world, part, RUNNING)
    world.schedule(waiting[-1]["_seconds"], "job.step", job_id=job_id)


def _end_leaf(world: World, path: tuple[Row, ...]) -> bool:
    """Say whether the leaf succeeded, after setting its phase and that of the parents it completes."""
    *above, leaf = path
    reason = leaf.get("_fails")
    if reason is not None:
        for part in reversed(path):
            _set_phase(world, part, FAILED, reason)
        return False
    _set_phase(world, leaf, SUCCESS)
    for parent in reversed(above):
        touch(world, parent)
        if parent is not path[0] and all(child["status"]["phase"] == SUCCESS for child in parent["spec"]["subJobs"]):
            _set_phase(world, parent, SUCCESS)
    return True


def _finish(world: World, job: Row, phase: str) -> None:
    _set_phase(world, job, phase)
    event = job["_on"][phase]
    if event is not None:
        world.fire(event, job_id=job["metadata"]["uid"], **job["_payload"])


def fail_running_step(world: World, job_id: str, reason: str) -> None:
    """Fail a job at whatever it is doing now."""
    job = world.table("jobs")[job_id]
    leaves = [path for path in _leaves(job) if path[-1]["status"]["phase"] in (RUNNING, INITIALIZING)]
    if leaves:
        leaves[0][-1]["_fails"] = reason
        _end_leaf(world, leaves[0])
        _finish(world, job, FAILED)
