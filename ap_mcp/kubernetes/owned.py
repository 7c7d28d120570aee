"""Reads what an object owns: the versions of a workload, its pods, the jobs of a cron job."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.api import ClusterApi
from ap_mcp.kubernetes.owners import owner_uids
from ap_mcp.kubernetes.pods import is_healthy
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.states import label_selector
from ap_mcp.parallel_reads import read_together
from ap_mcp.vendor import get, items, mapping, moment, number, text

READ_AT_MOST = 200
VERSIONS = {
    "Deployment.apps": "replicasets",
    "StatefulSet.apps": "controllerrevisions",
    "DaemonSet.apps": "controllerrevisions",
}
OWN_PODS = (
    "Deployment.apps",
    "StatefulSet.apps",
    "DaemonSet.apps",
    "ReplicaSet.apps",
    "Job.batch",
    "ReplicationController",
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Owned:
    """What an object owns, as far as it was read.

    Attributes:
        revisions: versions of a workload, the newest first.
        pods: the worst first, then the newest.
        jobs: the newest first.
        more_pods: there are more than were read.
        errors: why something was not read, by what it is.
    """

    revisions: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    more_pods: bool = False
    errors: dict[str, ApMcpError] = field(default_factory=dict)

    @property
    def worth_asking(self) -> list[dict[str, Any]]:
        """What events say most about: pods that are not healthy, the newest version, the newest job."""
        unwell = [each for each in self.pods if not is_healthy(each)][:1]
        newest = [each for each in self.revisions[:1] if get(each, "/kind") == "ReplicaSet"]
        return [*unwell, *newest, *self.jobs[:1]]


async def owned_by(api: ClusterApi, resource: Resource, body: Any, *, healthy: bool = False) -> Owned:
    """Read what an object owns.

    Args:
        api: the cluster.
        resource: its kind.
        body: the object.
        healthy: its pods are of no interest.
    """
    namespace = text(get(body, "/metadata/namespace"))
    selector = label_selector(get(body, "/spec/selector"))
    wanted: dict[str, Callable[[], Awaitable[Any]]] = {}
    if (versions := VERSIONS.get(resource.full)) and selector:
        wanted["revisions"] = partial(_list, api, versions, namespace, selector)
    if resource.full in OWN_PODS and selector and not healthy:
        wanted["pods"] = partial(_list, api, "pods", namespace, selector)
    if resource.full == "CronJob.batch":
        wanted["jobs"] = partial(_list, api, "jobs", namespace, "")

    async def read(what: str) -> Any:
        return await wanted[what]()

    found, errors = await read_together(read, {each: (each, {}) for each in wanted})
    uid = text(get(body, "/metadata/uid"))
    revisions = sorted(_of(uid, items(found.get("revisions"), "/items")), key=_revision, reverse=True)
    uids = {uid, *(text(get(each, "/metadata/uid")) for each in revisions)}
    pods = [each for each in items(found.get("pods"), "/items") if not owner_uids(each) or owner_uids(each) & uids]
    return Owned(
        revisions=[{**each, "kind": "ReplicaSet"} if versions == "replicasets" else each for each in revisions],
        pods=[{**each, "kind": "Pod"} for each in worst_first(pods)],
        jobs=[{**each, "kind": "Job"} for each in newest_first(_of(uid, items(found.get("jobs"), "/items")))],
        more_pods=bool(get(found.get("pods"), "/metadata/continue")),
        errors=errors,
    )


async def pods_selected(api: ClusterApi, namespace: str, selector: str) -> Any:
    """Return the list of pods that a selector matches, the first `READ_AT_MOST` of them.

    Raises:
        ApMcpError: they may not be listed, or the cluster said no.
    """
    return await _list(api, "pods", namespace, selector)


async def _list(api: ClusterApi, plural: str, namespace: str, selector: str) -> Any:
    query = {"labelSelector": selector, "limit": str(READ_AT_MOST)}
    return await api.list(await api.resource(plural), namespace, query=query)


def worst_first(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return pods: those that are not healthy first, of these and of the others the newest."""
    return sorted(newest_first(pods), key=is_healthy)


def newest_first(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects, the newest first."""
    return sorted(found, key=lambda each: moment(get(each, "/metadata/creationTimestamp")) or _LONG_AGO, reverse=True)


def _of(uid: str, found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if uid in owner_uids(each)]


def _revision(body: Any) -> float:
    annotated = mapping(body, "/metadata/annotations").get("deployment.kubernetes.io/revision")
    return number(annotated) or number(get(body, "/revision")) or 0
