"""What of the workloads of a cluster needs attention, as one of the searches of `list_problems`."""

from typing import TYPE_CHECKING

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.api import cluster_api
from ap_mcp.kubernetes.diagnose.answer import Diagnosed, diagnosed, sentence
from ap_mcp.kubernetes.diagnose.order import Cause
from ap_mcp.parallel_reads import why_unread
from ap_mcp.problems import LIST_PROBLEMS
from ap_mcp.problems.model import WORKLOAD, Found, Look, Place, Trouble
from ap_mcp.rules.clusters import not_available

if TYPE_CHECKING:
    from ap_mcp.kubernetes.discovery import KnownKinds
    from ap_mcp.reads import Reads

WORKLOADS = "k8s_diagnose"
"""What is said not to have been read where the cluster shows nothing."""
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def look_at_workloads(reads: "Reads", kinds: "KnownKinds") -> Look:
    """Return the search in a cluster for workloads that do not work.

    Args:
        reads: one set of reads, under the policy of the caller.
        kinds: what clusters serve.
    """

    async def look(place: Place) -> Found:
        if not_available(place.body):
            return Found()
        try:
            found = await diagnosed(await cluster_api(LIST_PROBLEMS, place.id, reads, kinds))
        except ApMcpError as error:
            return Found(unread={WORKLOADS: why_unread(error)})
        seen = sum(len(found.evidence.of(kind)) for kind in KINDS)
        unread = {WORKLOADS: " ".join(found.unread)} if found.unread else {}
        return Found([_trouble(place, found, each) for each in found.causes], {WORKLOAD: seen} if seen else {}, unread)

    return look


def _trouble(place: Place, found: Diagnosed, cause: Cause) -> Trouble:
    about = cause.finding.about
    what = sentence(found.evidence, cause.finding).removesuffix(".")
    also = f"; the same with {len(cause.also)} more" if cause.also else ""
    where = {"kind": about.kind.lower(), "name": about.name, "namespace": about.namespace}
    follow = place.call(WORKLOADS, "shows the evidence and what to do", **where)
    return Trouble(cause.finding.gravity, WORKLOAD, str(about), f"{what}{also}", follow)
