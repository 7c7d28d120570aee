"""What a policy needs to know about the cluster of a call, as the cloud reported it just now."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ap_mcp.errors import CloudUnreachable, NotFound, ServiceError
from ap_mcp.rules.clusters import exact_tags


class ClusterFacts(NamedTuple):
    """What rules go by; who may change the cluster can change its alias and tags, not its name and id."""

    id: str
    name: str
    alias: str = ""
    tags: Mapping[str, str] = MappingProxyType({})

    def is_called(self, wanted: object) -> bool:
        """Say whether a call that names `wanted` names this cluster."""
        names = {each.casefold() for each in (self.id, self.name, self.alias) if each}
        return isinstance(wanted, str) and wanted.casefold() in names


class Facts(NamedTuple):
    """What was read for one call.

    Attributes:
        cluster: the cluster it acts on; None if it acts on none, or it was not or could not be read.
        problem: why the cluster could not be read.
    """

    cluster: ClusterFacts | None = None
    problem: str | None = None


FACTS_READ = "get_cluster"
"""The operation that reads them."""


async def read_facts(read: Callable[[], Awaitable[Any]]) -> Facts:
    """Read the facts of a cluster; what went wrong is one of them.

    Args:
        read: `await read()` gives what get_cluster answers: the vendor's JSON as it came.

    Raises:
        NotFound: there is no such cluster, so that no rule needs to be tried.
    """
    try:
        return facts_in(await read())
    except NotFound:
        raise
    except (ServiceError, CloudUnreachable) as error:
        return Facts(problem=f"the cluster could not be read: {error.render()}")


def facts_in(body: Any) -> Facts:
    """Return the facts of a cluster out of what get_cluster answered; what is wrong with that is one of them."""
    try:
        return Facts(cluster_facts(body))
    except LookupError as error:
        return Facts(problem=f"what get_cluster answered is of no use: {error}")


def cluster_facts(body: Any) -> ClusterFacts:
    """Return the facts out of what get_cluster answered.

    Anything unexpected is an error, because a tag or an alias that is missed would open what a rule closes.

    Raises:
        LookupError: id, name, alias or tags cannot be read.
    """
    metadata, _ = _object(body, "metadata"), _object(body, "spec")
    return ClusterFacts(
        id=_text(metadata, "uid", "the cluster's id"),
        name=_text(metadata, "name", "the cluster's name"),
        alias=_text(metadata, "alias", "the cluster's alias", needed=False),
        tags=exact_tags(body),
    )


def _object(body: Any, key: str) -> Mapping[str, Any]:
    found = body.get(key) if isinstance(body, Mapping) else None
    if isinstance(found, Mapping):
        return found
    raise LookupError(f"it has no {key}")


def _text(found: Mapping[str, Any], key: str, what: str, *, needed: bool = True) -> str:
    value = found.get(key)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value):
        raise LookupError(f"it does not report {what}")
    return value
