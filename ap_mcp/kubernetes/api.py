"""Reads the Kubernetes API of one cluster for one call: each request passes the operator's rules, none is made twice.

What goes wrong is explained by how the cluster is: still being created, hibernated, without that kind of object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ap_mcp.cluster_requests import TEXT, cluster_request
from ap_mcp.errors import ApMcpError, CallRefused, CloudUnreachable, NotFound, PermissionDenied, ServiceError
from ap_mcp.guard.facts import FACTS_READ
from ap_mcp.guard.subject import Objects, Subject
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.kubernetes.kinds import chosen
from ap_mcp.kubernetes.spec import Resource, known_kinds, tool_specs
from ap_mcp.rules.clusters import not_available, phase_of
from ap_mcp.rules.phases import CLUSTER as CLUSTER_PHASES
from ap_mcp.rules.phases import broken
from ap_mcp.specs import CLUSTER
from ap_mcp.vendor import get, items, text, word

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.reads import Reads

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
DEFAULT = "default"
MOST_PAGES = 20
LONGEST_CURSOR = 8000
_NOT_FOUND = 404
REVIEW_GROUP = "authorization.k8s.io"
DISCOVERY = "discovery"
"""What rules see as the kind of a read that shows kinds and no objects."""


@dataclass(frozen=True)
class ClusterApi:
    """The Kubernetes API of one cluster, as one call reads it.

    Attributes:
        tool: the tool that is called; rules go by it.
        cluster: the cluster's id, which get_cluster has answered for.
        reads: one set of reads, under the policy of the caller.
        kinds: what clusters serve; shared.
        body: what get_cluster answered.
    """

    tool: str
    cluster: str
    reads: "Reads"
    kinds: KnownKinds
    body: Any

    @property
    def name(self) -> str:
        """The cluster's name, for a person to read; its id if it has none."""
        return word(text(get(self.body, "/metadata/name")) or self.cluster)

    @property
    def changes(self) -> bool:
        """Whether the call changes something, and is decided about as a whole beside its reads."""
        spec = tool_specs().get(self.tool)
        return spec is not None and spec.effect != "read"

    async def resource(self, said: str) -> Resource:
        """Return the kind that a caller means.

        Raises:
            CallRefused: the cluster serves no such kind; close ones are named.
        """
        return await self.kinds.find(self.cluster, said, self._discovered)

    async def served(self, *, fresh: bool = False) -> tuple[Resource, ...]:
        """Return all kinds that the cluster serves."""
        return await self.kinds.served(self.cluster, self._discovered, fresh=fresh)

    async def get(self, resource: Resource, name: str, namespace: str = "", subresource: str = "") -> Any:
        """Return one object as JSON, secrets in it not masked.

        Raises:
            NotFound: there is none of that name.
            ApMcpError: a rule forbids it, or the cluster said no.
        """
        return (await self.read(resource, namespace, name, subresource)).body

    async def list(
        self, resource: Resource, namespace: str = "", *, accept: str = JSON, query: Mapping[str, str] | None = None
    ) -> Any:
        """Return a list of objects as JSON; of all namespaces if none is given.

        Args:
            resource: their kind.
            namespace: that they are in.
            accept: the form wanted: `JSON`, `TABLE` or `NAMES_ONLY`.
            query: selectors, limit, continue; those without a value are left out.

        Raises:
            ApMcpError: a rule forbids it, or the cluster said no.
        """
        return (await self.read(resource, namespace, query=query or {}, accept=accept)).body

    async def text(
        self, resource: Resource, name: str, namespace: str, subresource: str, query: Mapping[str, str]
    ) -> str:
        """Return what an object's subresource answers as text, such as the log of a pod."""
        read = await self.read(resource, namespace, name, subresource, query=query, accept=f"{TEXT},*/*", accepts=TEXT)
        return read.body if isinstance(read.body, str) else ""

    async def review(self, kind: str, spec: Mapping[str, Any]) -> Any:
        """Return what a cluster answers to a question about the caller's own rights, of which it keeps nothing.

        Args:
            kind: `SelfSubjectAccessReview` or `SelfSubjectRulesReview`.
            spec: the question.

        Raises:
            ApMcpError: a rule forbids it, or the cluster said no.
        """
        body = {"apiVersion": f"{REVIEW_GROUP}/v1", "kind": kind, "spec": spec}
        parts = ("apis", REVIEW_GROUP, "v1", f"{kind.lower()}s")
        call = cluster_request(self.tool, self.cluster, "POST", parts, body=body, idempotent=True)
        return (await self.reads.of_cluster(call, self.subject(Objects(DISCOVERY)), asked=self.changes)).body

    async def path(self, *parts: str, accept: str = JSON) -> Any:
        """Return what a path of discovery answers, such as /version or the schemas of a group."""
        return await self._discovered(parts, accept)

    async def read(
        self,
        resource: Resource,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        accepts: str = JSON,
    ) -> "CloudResponse":
        """Return what a cluster answers to a read, secrets in it not masked.

        Args:
            resource: the kind.
            namespace: that is read in; all if none is given.
            name: of one object; without it they are listed.
            subresource: what of it is read.
            query: selectors, limit, continue; those without a value are left out.
            accept: the form wanted.
            accepts: what may come: JSON or text.

        Raises:
            ApMcpError: a rule forbids it, or the cluster said no.
        """
        subject = self.subject(Objects(resource.full, namespace if resource.namespaced else "", name))
        given = tuple((key, value) for key, value in (query or {}).items() if value)

        async def read(of: Resource) -> "CloudResponse":
            parts = of.parts(namespace, name, subresource)
            call = cluster_request(self.tool, self.cluster, "GET", parts, query=given, accept=accept, accepts=accepts)
            return await self.reads.of_cluster(call, subject, asked=self.changes)

        try:
            return await read(resource)
        except (ServiceError, CloudUnreachable) as error:
            if not is_no_path(error) or resource not in known_kinds():
                raise self._explained(error) from None
        # A well-known kind may be served in another version, or not at all.
        there = chosen(f"{resource.plural}.{resource.group}".rstrip("."), await self.served(fresh=True))
        try:
            return await read(there)
        except (ServiceError, CloudUnreachable) as error:
            raise self._explained(error) from None

    def subject(self, *objects: Objects) -> Subject:
        """Return a read of some objects as rules see it."""
        return Subject(
            self.tool, frozenset({"read"}), "read", on_cluster=True, problem="its facts were not read", objects=objects
        )

    async def _discovered(self, parts: tuple[str, ...], accept: str) -> Any:
        call = cluster_request(self.tool, self.cluster, "GET", parts, accept=accept)
        try:
            return (await self.reads.of_cluster(call, self.subject(Objects(DISCOVERY)), asked=self.changes)).body
        except (ServiceError, CloudUnreachable) as error:
            raise self._explained(error) from None

    def _explained(self, error: ServiceError | CloudUnreachable) -> ApMcpError:
        """Return an error with what it means inside a cluster, and how the cluster is if that may be the reason."""
        if why := not_available(self.body):
            error.found = f"{why} Its Kubernetes API answers once it is Available; get_cluster shows how it is."
            if broken(CLUSTER_PHASES, phase_of(self.body)):
                error.found = f"{why} Waiting does not help: get_cluster shows what failed."
                if isinstance(error, ServiceError) and error.may_pass:
                    error.may_pass, error.hint = False, ""
        if isinstance(error, PermissionDenied):
            error.hint = (
                "The identity in use may not do this inside the cluster (Kubernetes RBAC, or CCE's permissions for "
                "namespaces): name a namespace that it may use, or have an administrator grant it."
            )
        elif isinstance(error, NotFound):
            error.hint = "k8s_list shows what there is; without a namespace it shows all of them."
        return error


async def every_object(
    api: ClusterApi, resource: Resource, namespace: str = "", query: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return all objects of a list, also where the cluster sends it in pages though it was not asked to.

    Raises:
        CallRefused: the list has no end.
        ApMcpError: a rule forbids it, or the cluster said no.
    """
    found, more = list[dict[str, Any]](), ""
    for _ in range(MOST_PAGES):
        body = await api.list(resource, namespace, query={**(query or {}), "continue": more})
        found += items(body, "/items")
        more = text(get(body, "/metadata/continue"), LONGEST_CURSOR)
        if not more:
            return found
    raise CallRefused(f"The cluster sent {MOST_PAGES} pages of {resource.plural} and still has more.")


async def cluster_api(tool: str, cluster: Any, reads: "Reads", kinds: KnownKinds) -> ClusterApi:
    """Return the Kubernetes API of a cluster, whose name is replaced by its id.

    Args:
        tool: that is called.
        cluster: id, name or alias.
        reads: one set of reads.
        kinds: what clusters serve.

    Raises:
        CallRefused: no cluster is called so, a rule closes it, or its API cannot be reached as it is.
    """
    named = str((await reads.resolve({CLUSTER: cluster}))[CLUSTER])
    # The id becomes a part of the host: only one that the service itself names does. And what is in a cluster is closed
    # to whoever may not read the cluster.
    body = (await reads.response(reads.catalog[FACTS_READ], {CLUSTER: named})).body
    if text(get(body, "/metadata/uid")).lower() != named:
        raise CallRefused(f"Refused: get_cluster answered for another cluster than {word(named)}. Nothing was sent.")
    return ClusterApi(tool, named, reads, kinds, body)


def is_no_path(error: ApMcpError) -> bool:
    """Say whether an error is about a path that the cluster does not serve, and not about an object by its name.

    Where a group is not served at all, it answers with a line that is no JSON.
    """
    if not isinstance(error, ServiceError) or error.status != _NOT_FOUND:
        return False
    said = " ".join(error.texts)
    return "could not find the requested resource" in said or "404 page not found" in said
