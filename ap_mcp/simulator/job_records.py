"""Records of the simulated jobs as the older API has them: listed, read and removed."""

from typing import Any

from ap_mcp.simulator.lifecycle import FAILED, SUCCESS, find_job
from ap_mcp.simulator.registry import SimulatedRequest, fetch, handles, invalid
from ap_mcp.simulator.world import Row, World

TABLE = "jobs"
_NAMES = {
    "type": "type",
    "clusteruid": "clusterUID",
    "resourceid": "resourceID",
    "resourcename": "resourceName",
    "extendparam": "extendParam",
}
"""What the older API calls a field of a job, and what `get_job` calls it."""


@handles("list_jobs")
def list_jobs(world: World, _request: SimulatedRequest) -> list[Row]:
    """List all jobs of the project, the oldest first."""
    return [_record(job) for job in world.table(TABLE).values()]


@handles("get_job_record")
def get_job_record(world: World, request: SimulatedRequest) -> Row:
    """Show a job, or one of its sub-jobs."""
    return _record(find_job(world, request.path["job_id"]))


@handles("delete_job_record")
def delete_job_record(world: World, request: SimulatedRequest) -> None:
    """Remove the record of a job that has ended; its sub-jobs go with it."""
    job_id = request.path["job_id"]
    phase = fetch(world, TABLE, job_id, "job")["status"]["phase"]
    if phase not in (SUCCESS, FAILED):
        raise invalid(f"job {job_id} is {phase}: only the record of a job that has ended can be deleted")
    del world.table(TABLE)[job_id]


def _record(job: Row) -> Row:
    """Return a job in the form of the older API, with its sub-jobs."""
    spec: dict[str, Any] = {new: job["spec"][old] for new, old in _NAMES.items() if old in job["spec"]}
    if "subJobs" in job["spec"]:
        spec["subjobs"] = [_record(each) for each in job["spec"]["subJobs"]]
    status = {"status": job["status"]["phase"], "reason": job["status"]["reason"]}
    if job["status"]["phase"] in (SUCCESS, FAILED):
        status["completionTime"] = job["metadata"]["updateTimestamp"]
    return {"kind": "Job", "apiVersion": "v2", "metadata": job["metadata"], "spec": spec, "status": status}
