"""The gateway: the only way out to the cloud, and a wall. Nothing but reads leaves without a permit of the guard."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from anyio import Lock

from ap_mcp.aside import on_the_loop, weigh
from ap_mcp.binding import FilePart, HttpCall, bind
from ap_mcp.cluster_requests import is_cluster_read
from ap_mcp.errors import BadAnswer, NotPermitted, ReadOnly, ServiceError, TooLarge
from ap_mcp.late_patterns import later
from ap_mcp.masking import mask_text
from ap_mcp.permits import MayRepeat, Permit, never
from ap_mcp.specs import Catalog, Operation

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudClient, CloudResponse

# No line breaks, no brackets of data, no word as long as a key.
_WORDS = later(r"(?!.*[\w+/=-]{40})[^\n\r{}\[\]<>\"]{0,300}")


class Gateway:
    """One account of the cloud; all requests leave through here, for every caller.

    Args:
        catalog: all operations, also those that no tool is offered for.
        connect: makes the cloud client; not called before the first request.
        read_only: nothing but reads leaves, with or without a permit.

    Attributes:
        knows_time: an answer has come that said what time it is there.
    """

    def __init__(
        self, catalog: Catalog, connect: "Callable[[], Awaitable[CloudClient]]", *, read_only: bool = False
    ) -> None:
        self._catalog = catalog
        self._connect = connect
        self._read_only = read_only
        self._cloud: CloudClient | None = None
        self._connecting = Lock()
        self._stack = AsyncExitStack()
        self._ahead = timedelta()
        self.knows_time = False

    def now(self) -> datetime:
        """Return the service's time by its last answer: ages must not depend on this machine's clock."""
        return datetime.now(UTC) + self._ahead

    async def close(self) -> None:
        """Close the connections, if there are any."""
        await self._stack.aclose()

    async def connect(self) -> None:
        """Make what sends requests, if it is not there yet; nothing is sent.

        Raises:
            CredentialsMissing: there are no credentials to sign with.
            SettingsError: they, or the settings, cannot be used.
        """
        await self._client()

    @on_the_loop
    async def project_id(self) -> str:
        """Return the id of the project that everything here belongs to."""
        cloud = await self._client()
        with _masking_errors():
            return await cloud.project_id()

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

    async def read(self, operation: Operation, arguments: Mapping[str, Any]) -> "CloudResponse":
        """Make a read; anything else is held back.

        Raises:
            NotPermitted: the operation does more than read.
            ServiceError: the cloud said no; secrets it repeated are masked.
            CloudUnreachable: nothing usable came.
        """
        return await self.send(await self.bound(operation, arguments))

    @on_the_loop
    async def send(
        self, call: HttpCall, permit: Permit | None = None, may_repeat: MayRepeat | None = None
    ) -> "CloudResponse":
        """Send a request, if it is a read or its permit is given, which is used up.

        Args:
            call: the request.
            permit: for it; it is for one effect, so repeats after a lost answer pass with it if `may_repeat` lets them.
            may_repeat: asked before the request is sent again although it may have taken effect. Without it nothing
                but a read is.

        Raises:
            NotPermitted: it is no read, and the permit is missing, used, or for another request.
            ReadOnly: it is no read, and this server only reads.
            ServiceError: the cloud said no; secrets it repeated are masked.
            CloudUnreachable: nothing usable came.
        """
        self._admit(call, permit)
        cloud = await self._client()
        known = self._catalog.get(call.operation_id)
        with _masking_errors(secret=known is not None and known.effect == "secret"):
            try:
                response = await (cloud.send(call) if permit is None else cloud.send(call, may_repeat or never))
            except TooLarge as error:
                error.hint = f"{error.hint} {_narrower(known, call)}".strip()
                raise
        weigh(len(response.content))
        try:
            self._ahead = parsedate_to_datetime(response.headers["date"]).astimezone(UTC) - datetime.now(UTC)
            self.knows_time = True
        except (KeyError, ValueError):
            self._ahead = timedelta()
        request_id = mask_text(response.request_id)
        return response if request_id == response.request_id else replace(response, request_id=request_id)

    async def knows_way_to(self, cluster: str) -> bool:
        """Say whether requests can go to a cluster, or take a certificate first."""
        return (await self._client()).knows_way_to(cluster)

    async def introduce(self, cluster: str, kubeconfig: Any) -> None:
        """Use a kubeconfig for the requests to a cluster, which go to its own API server then.

        Raises:
            CallRefused: it is of no use.
        """
        await (await self._client()).introduce(cluster, kubeconfig)

    def _admit(self, call: HttpCall, permit: Permit | None) -> None:
        """Raise unless a request may leave."""
        operation = self._catalog.get(call.operation_id)
        reads = is_cluster_read(call) if call.cluster else operation is not None and is_read(operation, call)
        if self._read_only and not reads:
            raise ReadOnly(call.operation_id)
        if permit is not None:
            permit.spend(call, "call", "dry_run")
        elif not reads:
            raise NotPermitted(call.operation_id, "it is no read, and it has no permit")

    async def _client(self) -> "CloudClient":
        if self._cloud is not None:
            return self._cloud
        async with self._connecting:
            if self._cloud is None:
                self._cloud = await self._stack.enter_async_context(await self._connect())
            return self._cloud


def is_read(operation: Operation, call: HttpCall) -> bool:
    """Say whether a request only reads: by what the spec says of its operation, and only if it is a request of that."""
    same = call.operation_id == operation.id and call.method == operation.method
    if operation.worst_effect != "read" or not same or _template(operation.path).fullmatch(call.path) is None:
        return False
    headers = all(operation.parameter("header", name) for name in call.headers)
    return headers and (call.body is None or operation.body is not None)


@cache
def _template(path: str) -> re.Pattern[str]:
    parts = re.split(r"({\w+})", path)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def _narrower(operation: Operation | None, call: HttpCall) -> str:
    """Say which arguments make the answer to a call smaller; empty if it takes none."""
    places = {} if operation is None else {name: each.places for name, each in operation.arguments.items()}
    queries = [
        (name, place.rpartition(".")[2]) for name, every in places.items() for place in every if ".query." in place
    ]
    more = [name for name, key in queries if key not in dict(call.query)]
    return f"Ask for less of it: {' or '.join(more)} narrows it down." if more else ""


@contextmanager
def _masking_errors(*, secret: bool = False) -> Iterator[None]:
    """Mask what an error quotes.

    Args:
        secret: the operation returns credentials: nothing is quoted but what an error of the API says in words.
    """
    try:
        yield
    except ServiceError as error:
        # Services repeat what they refuse, and half an answer is quoted as an error.
        unread = secret and (isinstance(error, BadAnswer) or error.status >= 500 or not error.code)
        error.rewrite((lambda _: "") if unread else _in_words if secret else mask_text, in_words=secret)
        raise


def _in_words(text: str) -> str:
    """Return a text that may be quoted although credentials were asked for; empty if it could be a part of them."""
    return mask_text(text) if _WORDS.fullmatch(text) else ""
