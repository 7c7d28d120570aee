"""Reads what a diagnosis goes by: some lists at once, what these ask for, and at most three logs; no pod by itself."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from ap_mcp.errors import ApMcpError, CallRefused, NotFound
from ap_mcp.kubernetes.api import NAMES_ONLY, ClusterApi
from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import LogKey, Thing, is_set, thing_of
from ap_mcp.kubernetes.diagnose.order import Cause
from ap_mcp.kubernetes.diagnose.rules_containers import DNS
from ap_mcp.kubernetes.diagnose.rules_images import PULL_SECRET
from ap_mcp.kubernetes.diagnose.rules_ingresses import secrets_of
from ap_mcp.kubernetes.diagnose.rules_storage import is_pending
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.kubernetes.states import label_selector
from ap_mcp.masking import mask_text
from ap_mcp.parallel_reads import why_unread
from ap_mcp.vendor import get, items, strings, text, word
from ap_mcp.wording import few

PAGE, PAGES = 500, {"Pod": 6, "Event": 3}
"""Objects of a page, and how many pages of a kind are read; of any other kind it is two."""
TARGETED = 4
"""Objects whose events are read by name where there are too many to read all."""
LOGS, LOG_LINES, LOG_BYTES = 3, 60, 65_536
SERVING = ("Service", "EndpointSlice", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget")
MAKING = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob")
STORED = ("PersistentVolumeClaim", "ResourceQuota")
OWNED_BY: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("ReplicaSet",),
    "StatefulSet": (),
    "DaemonSet": (),
    "ReplicaSet": ("Deployment",),
    "Job": ("CronJob",),
    "CronJob": ("Job",),
}
"""What else is read of workloads if one of a kind is named."""
FOUND_BY_NAME = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "Pod", "Service", "Ingress")
QUIET = (
    *("Scheduled", "Pulled", "Pulling", "Created", "Started", "SuccessfulCreate", "SuccessfulDelete"),
    *(
        "ScalingReplicaSet",
        "SuccessfulAttachVolume",
        "SuccessfulRescale",
        "Completed",
        "SawCompletedJob",
        "LeaderElection",
    ),
)
"""Reasons of events that say that all is as it should be; the server leaves them out."""


@dataclass
class Reading:
    """The reads of one diagnosis.

    Attributes:
        lists: what was read, by kind.
        cut: kinds that were not read to their end, with how many objects were.
        unread: why a kind could not be read.
        part: kinds of which only what belongs to the named object was read.
    """

    api: ClusterApi
    named: Thing | None
    namespace: str
    lists: dict[str, list[Any]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    unread: dict[str, ApMcpError] = field(default_factory=dict)
    part: set[str] = field(default_factory=set)
    names: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    logs: dict[LogKey, str] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        """Return what was read so far."""
        lists = {kind: every for kind, every in self.lists.items() if kind != "Event"}
        return Evidence(
            self.api.cluster,
            self.api.reads.now(),
            lists,
            frozenset({*self.cut, *self.part}),
            self.lists.get("Event"),
            self.logs,
            self.named,
            self.names,
            tuple(strings([get(each, "/subnetID") for each in items(self.api.body, "/spec/eniNetwork/subnets")])),
        )

    async def first(self) -> None:
        """Read the lists.

        Raises:
            ApMcpError: none of them can be read.
        """
        named = self.named
        if named is not None and named.kind in OWNED_BY:
            kinds = [named.kind, *OWNED_BY[named.kind], *SERVING, *STORED]
        else:
            kinds = [*MAKING, *SERVING, *STORED]
        selector = self._selector()
        wanted: dict[str, Callable[[], Awaitable[None]]] = {
            kind: self._lister(kind) for kind in kinds if kind not in self.lists
        }
        for kind in ("Pod", *(("ReplicaSet",) if named is not None and named.kind == "Deployment" else ())):
            wanted[kind] = self._lister(kind, {"labelSelector": selector})
            if selector:
                self.part.add(kind)
        wanted["Event"] = self._lister("Event", {"fieldSelector": ",".join(f"reason!={each}" for each in QUIET)})
        wanted["Namespace"] = self._one("Namespace", self.namespace) if self.namespace else self._lister("Namespace")
        if self.namespace != DNS.namespace:
            wanted["coredns"] = self._dns
        await self._all(wanted)
        if isinstance(missing := self.unread.get("Namespace"), NotFound):
            raise missing
        if self.unread.keys() >= set(wanted) - {"Namespace", "coredns"}:
            raise self.unread["Pod"]
        await self._events_by_name()

    async def second(self, evidence: Evidence, causes: Iterable[Cause]) -> None:
        """Read what the lists ask for: classes, nodes, names of Secrets, and the logs that would say most."""
        causes = list(causes)
        faults = {each.fault for cause in causes for each in (cause.finding, *cause.then)}
        pods = evidence.of("Pod")
        wanted: dict[str, Callable[[], Awaitable[None]]] = {}
        if any(is_pending(each) for each in evidence.of("PersistentVolumeClaim")):
            wanted["StorageClass"] = self._lister("StorageClass")
        if any(not items(each, "/status/loadBalancer/ingress") for each in evidence.of("Ingress")):
            wanted["IngressClass"] = self._lister("IngressClass")
        if (
            not self.namespace
            or (self.named is not None and self.named.kind == "Node")
            or any(_needs_node(each) for each in pods)
        ):
            wanted["Node"] = self._lister("Node")
        if evidence.of("Service") and not evidence.of("EndpointSlice"):
            wanted["Endpoints"] = self._lister("Endpoints")
        if "limit_range" in faults:
            wanted["LimitRange"] = self._lister("LimitRange")
        for namespace in sorted({thing_of(each).namespace for each in evidence.of("Ingress") if secrets_of(each)})[
            : 1 if self.namespace else 2
        ]:
            wanted[f"Secret {namespace}"] = self._names("Secret", namespace, "Secret", "")
        refused = sorted(
            {
                each.about.namespace
                for cause in causes
                for each in (cause.finding, *cause.then)
                if each.fault == "image_refused"
            }
        )
        for namespace in refused[:2]:
            wanted[f"pull secrets {namespace}"] = self._names("Secret", namespace, PULL_SECRET, f"type={PULL_SECRET}")
        for key in wanted_logs(causes):
            wanted[f"log {key}"] = self._log(key)
        await self._all({what: read for what, read in wanted.items() if what not in self.lists})

    def said_unread(self) -> list[str]:
        """Return what could not be read, and what was not read to its end, in sentences."""
        by_reason: dict[str, list[str]] = {}
        for what, error in self.unread.items():
            by_reason.setdefault(why_unread(error).rstrip("."), []).append(
                "a log" if what.startswith("log ") else word(what.split(" ")[0])
            )
        said = [f"Not read: {few(list(dict.fromkeys(kinds)))}: {why}." for why, kinds in by_reason.items()]
        return said + [
            f"Of kind {word(kind)} only {count} objects were read, there are more: name a namespace or a workload."
            for kind, count in self.cut.items()
        ]

    def _selector(self) -> str:
        """Return the selector of the pods that belong to the named workload; empty if all pods matter."""
        if self.named is None:
            return ""
        if self.named.kind == "CronJob":
            return "job-name"
        item = next(iter(self.lists.get(self.named.kind, ())), None)
        return label_selector(get(item, "/spec/selector")) if self.named.kind in OWNED_BY else ""

    async def _all(self, wanted: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        async def make(what: str, read: Callable[[], Awaitable[None]]) -> None:
            try:
                await read()
            except ApMcpError as error:
                self.unread[what] = error

        async with anyio.create_task_group() as group:
            for what, read in wanted.items():
                group.start_soon(make, what, read)

    def _lister(self, kind: str, query: Mapping[str, str] | None = None) -> Callable[[], Awaitable[None]]:
        async def read() -> None:
            self.lists[kind] = await self._pages(kind, query or {})

        return read

    async def _pages(self, kind: str, query: Mapping[str, str]) -> list[Any]:
        resource, found, more = resource_of(kind), list[Any](), ""
        namespace = self.namespace if resource.namespaced else ""
        for _ in range(PAGES.get(kind, 2)):
            body = await self.api.list(resource, namespace, query={"limit": str(PAGE), **query, "continue": more})
            found += items(body, "/items")
            more = str(get(body, "/metadata/continue") or "")
            if not more:
                return found
        self.cut[kind] = len(found)
        return found

    def _one(self, kind: str, name: str) -> Callable[[], Awaitable[None]]:
        async def read() -> None:
            self.lists[kind] = [await self.api.get(resource_of(kind), name)]
            self.part.add(kind)

        return read

    async def _dns(self) -> None:
        """Read how name resolution is; a cluster whose add-on is called otherwise says nothing about it."""
        try:
            found = await self.api.get(resource_of(DNS.kind), DNS.name, DNS.namespace)
        except NotFound:
            return
        every = self.lists.setdefault(DNS.kind, [])
        if not any(thing_of(each, DNS.kind) == DNS for each in every):
            every.append(found)

    def _names(self, kind: str, namespace: str, under: str, selector: str) -> Callable[[], Awaitable[None]]:
        """Read names alone: what a Secret holds is not read here."""

        async def read() -> None:
            query = {"fieldSelector": selector, "limit": str(PAGE)}
            body = await self.api.list(resource_of(kind), namespace, accept=NAMES_ONLY, query=query)
            if not get(body, "/metadata/continue"):
                self.names[under, namespace] = frozenset(thing_of(each).name for each in items(body, "/items"))

        return read

    def _log(self, key: LogKey) -> Callable[[], Awaitable[None]]:
        async def read() -> None:
            query = {
                "container": key.container,
                "previous": "true" if key.previous else "",
                "tailLines": str(LOG_LINES),
                "limitBytes": str(LOG_BYTES),
            }
            said = await self.api.text(resource_of("Pod"), key.pod, key.namespace, "log", query)
            self.logs[key] = mask_text(said[-LOG_BYTES:])

        return read

    async def _events_by_name(self) -> None:
        """Read the events about the named object and its pods where there were too many to read all."""
        if self.named is None or "Event" not in self.cut:
            return
        troubled = [each for each in self.lists.get("Pod", ()) if not is_set(each, "Ready")]
        owned = [each for kind in ("ReplicaSet", "Job") for each in self.lists.get(kind, ())]
        newest = sorted(owned, key=lambda each: text(get(each, "/metadata/creationTimestamp")), reverse=True)
        names = dict.fromkeys([self.named.name, *(thing_of(each).name for each in (*newest[:1], *troubled))])

        async def read(name: str) -> None:
            found = await self._pages("Event", {"fieldSelector": f"involvedObject.name={name}"})
            self.lists.setdefault("Event", []).extend(found)

        await self._all({f"Event {name}": _bound(read, name) for name in list(names)[:TARGETED]})


def _bound(read: Callable[[str], Awaitable[None]], name: str) -> Callable[[], Awaitable[None]]:
    async def bound() -> None:
        await read(name)

    return bound


def wanted_logs(causes: Iterable[Cause]) -> list[LogKey]:
    """Return the logs that would say most: of the first findings that ask for one, one each."""
    keys = [each.log for cause in causes for each in (cause.finding, *cause.then) if each.log is not None]
    return list(dict.fromkeys(keys))[:LOGS]


def resource_of(kind: str) -> Resource:
    """Return a well-known kind."""
    return next(each for each in known_kinds() if each.kind == kind)


def _needs_node(pod: Any) -> bool:
    """Say whether how a pod is may come from its node."""
    runs = [get(each, "/ready") for each in items(pod, "/status/containerStatuses")]
    silent = is_set(pod, "Ready", "False") and bool(runs) and all(runs)
    lost = silent or text(get(pod, "/status/phase")) == "Unknown" or text(get(pod, "/status/reason")) == "NodeLost"
    return lost or get(pod, "/metadata/deletionTimestamp") is not None or is_set(pod, "PodScheduled", "False")


async def named_object(
    api: ClusterApi, kind: str, name: str, namespace: str, among: Sequence[str] = FOUND_BY_NAME
) -> tuple[Thing, Any]:
    """Find the object that a caller means; without a namespace, in any; without a kind, of some.

    Args:
        api: the cluster.
        kind: as the caller names it; empty if they do not.
        name: of the object.
        namespace: that it is in; empty if the caller names none.
        among: the kinds that are tried, the likeliest first.

    Raises:
        CallRefused: there is none, or several.
        ApMcpError: it cannot be read.
    """
    resources = [await api.resource(kind)] if kind else [resource_of(each) for each in among]
    if len(resources) == 1 and (namespace or not resources[0].namespaced):
        where = namespace if resources[0].namespaced else ""
        return Thing(resources[0].kind, where, name), await api.get(resources[0], name, where)
    found: dict[Thing, Any] = {}
    errors: list[ApMcpError] = []

    async def look(resource: Resource) -> None:
        try:
            body = await api.list(resource, namespace, query={"fieldSelector": f"metadata.name={name}", "limit": "20"})
        except ApMcpError as error:
            errors.append(error)
            return
        for each in items(body, "/items"):
            found[thing_of(each, resource.kind)] = each

    async with anyio.create_task_group() as group:
        for resource in resources:
            group.start_soon(look, resource)
    # A workload and its Service mostly share a name: the workload is meant.
    order = [each.kind for each in resources]
    first = sorted(found, key=lambda each: (order.index(each.kind), each))
    alike = [each for each in first if each.kind == first[0].kind]
    if not first:
        if errors:
            raise errors[0]
        what = word(kind) if kind else "workload"
        where = f" in {word(namespace)}" if namespace else ""
        raise CallRefused(f"There is no {what} called {word(name)}{where}. k8s_list shows what there is.")
    if len(alike) > 1:
        places = few([word(each.namespace) for each in alike])
        raise CallRefused(f"Several {word(alike[0].kind)}s are called {word(name)}: in {places}. Give the namespace.")
    return first[0], found[first[0]]
