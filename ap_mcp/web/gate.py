"""What every request passes before anything reads it: whom it is for, which page sent it, how large and slow it is."""

import logging
from codecs import BOM_UTF8
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from anyio import fail_after, move_on_after
from mcp_types import INVALID_REQUEST, ErrorData, JSONRPCError
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ap_mcp.frames import read_anew
from ap_mcp.web.names import origin_of, place_of
from ap_mcp.web.options import HttpOptions
from ap_mcp.wording import NAME_LIMIT, in_quotes

OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that whatever watches the process asks by its address; they give nothing away and change nothing."""
MOST_REPORTED = 20
"""How many different refused names are written to the log; anybody can make up more."""

LIMIT_ELSEWHERE = 64 * 1024
"""The most bytes of a request to anything but the protocol, which anybody may send."""
PASSED_OVER, PASSED_OVER_SECONDS = 16 * 1024 * 1024, 10.0
"""Of a body that is too large, the most bytes that are read and dropped before that is answered, and for how long."""
TOO_MANY = "Too many of your requests are under way here. Try again once some have ended."
CROWDED = "Too many requests are under way here. Try again in a moment."
ENDING = {"connection": "close"}
TAKEN, WRONG_ACCEPT, WRONG_TYPE = 202, 406, 415
PERHAPS_NO_MESSAGE = frozenset({TAKEN, 400, WRONG_ACCEPT})
"""How the SDK answers what is no message, among others."""
HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}

logger = logging.getLogger(__name__)


class Gate:
    """Lets only requests through that are for this server, and from no foreign web page.

    A page that a user visits could otherwise have their browser call a server on their machine or in their network, by
    a name that it lets point there.

    Args:
        app: what is behind it.
        options: what the server is called, and whose pages may call it.
    """

    def __init__(self, app: ASGIApp, options: HttpOptions) -> None:
        self._app = app
        self._base = options.base_path
        self._hosts = [place_of(each) for each in options.hosts]
        self._origins = {origin_of(each) for each in options.origins}
        self._reported: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["path"].isprintable():
            # Routes match up to a line break at the end of a path: what compares the whole of it would not see them.
            await PlainTextResponse("There is no such address.", 404, HEADERS)(scope, receive, send)
            return
        if self._base and scope["path"].startswith(f"{self._base}/"):
            # A proxy may pass the base path on, or take it off.
            scope = {**scope, "root_path": scope.get("root_path", "") + self._base}
        refusal = None if path_of(scope) in OPEN else self._refusal(HTTPConnection(scope))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not place_of(hosts[0]).is_one_of(self._hosts):
            named = in_quotes(", ".join(hosts), NAME_LIMIT)
            said = f"This server is not called {named}: AP_MCP_PUBLIC_URL and AP_MCP_HTTP_HOSTS say what it is called."
            return self._refused(421, said)
        origins = request.headers.getlist("origin")
        if any(origin_of(origin) not in self._origins for origin in origins):
            named = in_quotes(", ".join(origins), NAME_LIMIT)
            return self._refused(403, f"Pages of {named} may not call this server: AP_MCP_HTTP_ORIGINS says which may.")
        return None

    def _refused(self, status: int, said: str) -> Response:
        if said not in self._reported and len(self._reported) < MOST_REPORTED:
            self._reported.add(said)
            logger.warning("Refused with %d: %s", status, said)
        return PlainTextResponse(said, status, HEADERS)


class NotTooMany:
    """Answers requests beyond a number that are under way with 503, but those of whatever watches the process.

    One that only waits for its client does not count: clients that send or take nothing would keep all others out.

    Args:
        app: what is behind it.
        most: how many may be under way at once.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way = 0
        self._is_full = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http" or path_of(scope) in OPEN:
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            self._report()
            await PlainTextResponse(CROWDED, 503, HEADERS | {"retry-after": "1"})(scope, receive, send)
            return
        has_body = False

        async def received() -> Message:
            nonlocal has_body
            if has_body:  # what comes now is that the client has left, for which nobody waits alone
                return await receive()
            with self._waiting():
                message = await receive()
            has_body = not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            with self._waiting():
                await send(message)

        self._under_way += 1
        try:
            await self._app(scope, received, sent)
        finally:
            self._under_way -= 1
            self._is_full = self._is_full and self._under_way > self._most // 2

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Leave a request out of the count while it waits for its client."""
        self._under_way -= 1
        try:
            yield
        finally:
            self._under_way += 1

    def _report(self) -> None:
        """Write to the log that there are too many; again only once there were far fewer."""
        if not self._is_full:
            self._is_full = True
            logger.warning("%d requests are under way, the most that are served at once: others get 503.", self._most)


class Shares:
    """Answers requests of one caller beyond a number that are under way with 429, whatever they ask for.

    Args:
        app: what is behind it.
        most: how many of one caller may be under way at once; those who need not sign in are not counted.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way = Counter[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if (user := scope.get("user")) is None:
            await self._app(scope, receive, send)
            return
        who = user.access_token.principal
        if self._under_way[who] >= self._most:
            await PlainTextResponse(TOO_MANY, 429, HEADERS | ENDING | {"retry-after": "1"})(scope, receive, send)
            return
        self._under_way[who] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]


class WholeBodies:
    """Reads the body of a request before anything else does: it may be neither large nor slow.

    Args:
        app: what is behind it.
        path: where large ones are taken.
        limit: the most bytes there.
        seconds: how long they may take.
    """

    def __init__(self, app: ASGIApp, path: str, limit: int, seconds: float) -> None:
        self._app = app
        self._path = path
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its whole body, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit if path_of(scope) == self._path else min(self._limit, LIMIT_ELSEWHERE)
        try:
            with fail_after(self._seconds):
                body = await _body(scope, receive, limit)
        except TimeoutError:
            said = f"The body of the request did not come within {self._seconds:g} s."
            await PlainTextResponse(said, 408, ENDING)(scope, receive, send)
            return
        except ValueError:
            await _pass_over(receive, min(self._seconds, PASSED_OVER_SECONDS))
            said = f"The body of the request has more than {limit} bytes, the most that are taken."
            await PlainTextResponse(said, 413, ENDING)(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replayed([{"type": "http.request", "body": body}], receive), send)


class Explains:
    """Says what is wrong with what is no message: the SDK acknowledges some of it, and of the rest names its models.

    Args:
        app: what is behind it.
        path: where the protocol is.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request with its whole body on, and its answer back, or another one in its place."""
        if scope["type"] != "http" or path_of(scope) != self._path:
            await self._app(scope, receive, send)
            return
        asked = await receive()
        body, is_replaced = asked.get("body", b"").removeprefix(BOM_UTF8), False

        async def answer(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start" and message["status"] in PERHAPS_NO_MESSAGE:
                other = _explained(message["status"], HTTPConnection(scope).headers.get("content-type", ""), body)
                if other is not None:
                    is_replaced = True
                    await other(scope, receive, send)
            if not is_replaced:
                await send(message)

        await self._app(scope, _replayed([{**asked, "body": body}], receive), answer)


def _explained(status: int, content_type: str, body: bytes) -> Response | None:
    """Return what says better why a request is not served; None if that was said well, or if it is."""
    if status == WRONG_ACCEPT:
        return _not_served(status, "the header Accept must name application/json and text/event-stream")
    if status != TAKEN and content_type.partition(";")[0].strip().lower() != "application/json":
        return _not_served(WRONG_TYPE, "the header Content-Type must be application/json")
    found = next(read_anew(body, None, "request"), None)
    if not isinstance(found, JSONRPCError):
        return None
    return Response(found.model_dump_json(by_alias=True, exclude_unset=True), 400, HEADERS, "application/json")


def _not_served(status: int, why: str) -> Response:
    error = ErrorData(code=INVALID_REQUEST, message=f"Invalid request: {why}")
    said = JSONRPCError(jsonrpc="2.0", id=None, error=error)
    return Response(said.model_dump_json(by_alias=True, exclude_unset=True), status, HEADERS, "application/json")


class PostOnly:
    """Takes nothing but POST on one path.

    Without sessions, the stream that a GET opens would never say anything and never end.

    Args:
        app: what is behind it.
        path: the path.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "http" and scope["method"] != "POST" and path_of(scope) == self._path:
            await PlainTextResponse("POST only: this address is for MCP clients.", 405, {"allow": "POST"})(
                scope, receive, send
            )
        else:
            await self._app(scope, receive, send)


def path_of(scope: Scope) -> str:
    """Return the path of a request without what the proxy put before it."""
    path: str = scope["path"]
    base: str = scope.get("root_path", "")
    return path.removeprefix(base) if path.startswith(f"{base}/") else path


async def _body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Return the whole body; None if the client has left.

    Raises:
        ValueError: it is too large.
    """
    length = HTTPConnection(scope).headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise ValueError
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            raise ValueError
        if not message.get("more_body", False):
            return bytes(body)


async def _pass_over(receive: Receive, seconds: float) -> None:
    """Read the rest of a body, within bounds: a client that still sends sees its connection break, and no answer."""
    left, more = PASSED_OVER, True
    with move_on_after(seconds):
        while more and left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            more = message.get("more_body", False)


def _replayed(messages: Sequence[Message], receive: Receive) -> Receive:
    """Return a `receive` that gives some messages first."""
    waiting = deque(messages)

    async def give() -> Message:
        return waiting.popleft() if waiting else await receive()

    return give
