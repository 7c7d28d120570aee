"""The account behind the tools: finds its clusters by name, reads what a call needs to know, sends what it asks."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from anyio import Lock, move_on_after

from ap_mcp.binding import FilePart, HttpCall, bind
from ap_mcp.errors import (
    AmbiguousCluster,
    ApMcpError,
    CallRefused,
    CloudUnreachable,
    ClusterNotFound,
    QuotaExceeded,
    ServiceError,
)
from ap_mcp.masking import mask_text
from ap_mcp.specs import Catalog, Operation, Reconcile
from ap_mcp.summaries import Observation, summarise
from ap_mcp.vendor import get, items, moment, quoted, word
from ap_mcp.wording import age, few

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudClient, CloudResponse

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CLUSTER = "cluster_id"
LIST_CLUSTERS, GET_QUOTAS = "list_clusters", "get_quotas"
QUOTA_SECONDS = 5.0
LOOK_SECONDS = 15.0
MOST_NAMED = 10


class Gateway:
    """One account of the cloud, seen as operations.

    Args:
        catalog: all operations, also those no tool is offered for: names are looked up with them.
        connect: makes the cloud client; not called before the first request.
    """

    def __init__(self, catalog: Catalog, connect: "Callable[[], Awaitable[CloudClient]]") -> None:
        self._catalog = catalog
        self._connect = connect
        self._cloud: CloudClient | None = None
        self._connecting = Lock()
        self._stack = AsyncExitStack()
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the service's time, as its last answer told it: ages must not depend on this machine's clock."""
        return datetime.now(UTC) + self._ahead

    async def close(self) -> None:
        """Close the connections, if there are any."""
        await self._stack.aclose()

    async def bound(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        *,
        filled: Mapping[str, Any] | None = None,
        files: Mapping[str, FilePart] | None = None,
    ) -> HttpCall:
        """Return the request of a call, with everything it needs but its host and signature."""
        return bind(operation, arguments, project_id=await self.project_id(), filled=filled, files=files)

    async def project_id(self) -> str:
        """Return the id of the project that everything here belongs to."""
        cloud = await self._client()
        with _masking_errors():
            return await cloud.project_id()

    async def send(self, call: HttpCall) -> "CloudResponse":
        """Send a request.

        Raises:
            ServiceError: the cloud said no; secrets it repeated are masked.
            CloudUnreachable: nothing usable came.
        """
        cloud = await self._client()
        try:
            with _masking_errors():
                reply = await cloud.send(call)
        except QuotaExceeded as error:
            error.hint = f"{error.hint} {await self._quotas(cloud)}".strip()
            raise
        try:
            self._ahead = parsedate_to_datetime(reply.headers["date"]).astimezone(UTC) - datetime.now(UTC)
        except (KeyError, ValueError):
            self._ahead = timedelta()
        return replace(reply, request_id=mask_text(reply.request_id))

    async def submit(self, operation: Operation, arguments: Mapping[str, Any], call: HttpCall) -> "CloudResponse":
        """Send the request of a call; if it creates something and the answer is lost, look whether that exists.

        Raises:
            ServiceError: the cloud said no.
            CloudUnreachable: nothing usable came; it says what the look showed.
        """
        try:
            return await self.send(call)
        except CloudUnreachable as error:
            made = operation.reconcile
            if error.may_have_arrived and made and all(name in arguments for name in made.match):
                error.seen = await self._sought(made, arguments)
            raise

    async def ask(self, operation: Operation, arguments: Mapping[str, Any]) -> "CloudResponse":
        """Bind and send a call that needs nothing read first."""
        return await self.send(await self.bound(operation, arguments))

    async def read(self, tool: str, **arguments: Any) -> Any:
        """Return what a reading operation answers: the vendor's JSON as it came, not masked."""
        return (await self.ask(self._catalog[tool], arguments)).body

    async def resolved(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with a cluster's name or alias replaced by its id."""
        wanted = arguments.get(CLUSTER)
        if not isinstance(wanted, str):
            return dict(arguments)
        if UUID.fullmatch(wanted):
            return {**arguments, CLUSTER: wanted.lower()}
        clusters = items(await self.read(LIST_CLUSTERS), "/items")
        named = [each for each in clusters if wanted in (get(each, "/metadata/name"), get(each, "/metadata/alias"))]
        if len(named) == 1:
            return {**arguments, CLUSTER: get(named[0], "/metadata/uid")}
        if named:
            choices = "".join(f"\n- {_told(each)}" for each in named[:MOST_NAMED])
            more = f"\n- and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
            raise AmbiguousCluster(f"{len(named)} clusters are called {quoted(wanted)}. Give one id:{choices}{more}")
        known = _named_like(wanted, clusters)
        raise ClusterNotFound(f"No cluster is called {quoted(wanted)}. {known} {LIST_CLUSTERS} shows all.")

    async def filled(self, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Read what the spec says is filled in for the caller; each read is made once.

        Raises:
            CallRefused: the cloud does not tell a value that must be sent.
        """
        filled: dict[str, Any] = {}
        read: dict[tuple[str, str], Any] = {}
        given = {place for name in arguments for place in operation.arguments[name].places}
        for fill in operation.fill:
            if fill.pointer in given and not fill.merge:
                continue
            wanted = {name: arguments[place.removeprefix("$arguments.")] for name, place in fill.arguments.items()}
            key = (fill.operation, repr(wanted))
            if key not in read:
                read[key] = await self.read(fill.operation, **wanted)
            try:
                value = fill.take(read[key])
            except LookupError:
                value = None
            if value is None:
                # Also for a merge: taking nothing for {} would reset everything that the caller does not name.
                missing = " and ".join(fill.sources)
                why = f"{fill.operation} does not tell {missing}, which {operation.id} must send"
                raise CallRefused(f"Refused: {why}; guessing it could reset what is there. Nothing was sent.")
            filled[fill.pointer] = value
        return filled

    async def _sought(self, made: Reconcile, arguments: Mapping[str, Any]) -> str:
        """Say whether something that was perhaps created is listed; nothing is sent again."""
        wanted = {pointer: arguments[name] for name, pointer in made.match.items()}
        what = " and ".join(f"{name} {word(arguments[name])}" for name in made.match)
        read = self._catalog[made.operation]
        given = {name: arguments[name] for name in read.arguments if name in arguments and name not in made.match}
        with move_on_after(LOOK_SECONDS), suppress(ApMcpError):
            rows = items((await self.ask(read, given)).body, made.list)
            found = [row for row in rows if all(get(row, pointer) == value for pointer, value in wanted.items())]
            told = "; ".join(_born(row, made, self.now()) for row in found[:MOST_NAMED])
            if found:
                return f"{read.id} shows now, with {what}: {told}. If that is what you wanted, do not send it again."
            return f"{read.id} shows nothing with {what} yet: look once more in a while before you send it again."
        return f"{read.id} could not be read either: look with it before you send it again."

    async def _quotas(self, cloud: "CloudClient") -> str:
        """Return what the quotas are now, for an error about one; empty if they cannot be read, or not at once."""
        read = self._catalog[GET_QUOTAS]
        with move_on_after(QUOTA_SECONDS), suppress(ApMcpError):
            reply = await cloud.send(bind(read, {}, project_id=await cloud.project_id()))
            return f"{GET_QUOTAS} now: {summarise(Observation(read, {}, reply.body)).summary}"
        return ""

    async def _client(self) -> "CloudClient":
        async with self._connecting:
            if self._cloud is None:
                self._cloud = await self._stack.enter_async_context(await self._connect())
            return self._cloud


@contextmanager
def _masking_errors() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        # Services repeat what they refuse, and half an answer is quoted as an error.
        error.rewrite(mask_text)
        raise


def _named_like(wanted: str, clusters: Sequence[Any]) -> str:
    """Say which clusters may be meant by a name that fits none, or which there are."""
    called = [
        each for cluster in clusters for each in (get(cluster, "/metadata/name"), get(cluster, "/metadata/alias"))
    ]
    names = sorted({each for each in called if isinstance(each, str) and each})
    if not names:
        return "The project has no clusters."
    folded = wanted.strip().casefold()
    close = get_close_matches(folded, [each.casefold() for each in names], n=3)
    near = [each for each in names if each.casefold() in close or (folded and folded in each.casefold())]
    if near:
        return f"Did you mean {' or '.join(map(word, near[:MOST_NAMED]))}?"
    return f"There are: {few([word(each) for each in names], MOST_NAMED)}."


def _born(row: Any, made: Reconcile, now: datetime) -> str:
    since = age(moment(get(row, made.created_at)), now)
    return f"{word(get(row, made.id))}{f', created {since} ago' if since else ''}"


def _told(cluster: Any) -> str:
    uid, name, phase = (word(get(cluster, place)) for place in ("/metadata/uid", "/metadata/name", "/status/phase"))
    return f"{uid} {name} ({phase})"
