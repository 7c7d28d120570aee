"""Listens and serves until asked to end; then takes nothing new, and lets what runs come to its end."""

import errno
import signal
import socket
import sys
import threading
from asyncio import AbstractEventLoop, Protocol, TimerHandle, Transport, get_running_loop
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, ClassVar

import h11
import uvicorn
from anyio import create_task_group, sleep
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from ap_mcp.errors import ApMcpError, SettingsError
from ap_mcp.server import Autopilot
from ap_mcp.web.options import MOST_CONNECTIONS, is_wildcard

GRACE_SECONDS = 65
"""How long running calls may take to their end: longer than any call waits."""
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays: longer than proxies keep theirs, or they would send into one that is closing."""
OTHER_FILES = 400
"""Open files that are not connections of clients: to the cloud and Redis, databases, logs."""
WANTED_FILES = 4096
MOST_WATCHING = 50
"""Connections to what is served beside."""
LARGEST_HEAD = 64 * 1024
BACKLOG = 2048
HEAD_SECONDS = 15.0
"""How long a client may take to say what it wants, and to send the rest of what was answered before it was there."""
STALLED_SECONDS = 60.0
"""How long a client may take nothing of its answer."""
LATE_SECONDS = 0.2
"""How long a connection has to say what it wants once the server has begun to end."""
TRIES = 5


def listen(address: str, setting: str = "AP_MCP_HTTP") -> list[socket.socket]:
    """Return sockets that listen at every address of a host; with port 0 all at the same free one.

    Args:
        address: `host:port`.
        setting: the variable that says so.

    Raises:
        SettingsError: it cannot be listened there, and why.
    """
    host, _, port = address.rpartition(":")
    tries = TRIES if port == "0" else 1
    for left in reversed(range(tries)):
        try:
            return _listening(host, int(port))
        except OSError as error:
            # A port that is free at one address may be taken at another.
            if error.errno != errno.EADDRINUSE or not left:
                raise SettingsError(f"{setting}: {address}: {_why(error)} Nothing was started.") from None
    raise AssertionError("the last try listens or fails")


def url_of(listening: socket.socket) -> str:
    """Return the address of a socket as clients on this machine would spell it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def room_for_connections() -> int:
    """Return how many clients may be connected at once, after this process was let open as many files as it may."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource  # noqa: PLC0415 - not on Windows

    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < WANTED_FILES:
        files = WANTED_FILES if most == resource.RLIM_INFINITY else min(WANTED_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    room = MOST_CONNECTIONS if files == resource.RLIM_INFINITY else files - OTHER_FILES
    return max(min(room, MOST_CONNECTIONS), MOST_CONNECTIONS // 10)


async def serve_http(
    autopilot: Autopilot,
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None] = lambda: None,
    connections: int = MOST_CONNECTIONS,
) -> None:
    """Serve an application until the process is asked to end, and running calls have ended.

    Args:
        autopilot: runs the tools behind it.
        app: the application.
        sockets: where it listens.
        ready: called once requests are answered.
        connections: how many clients may be connected at once.

    Raises:
        SettingsError: what several servers need to share Redis is missing, or differs.
        ApprovalsUnusable: Redis cannot be used.
    """
    async with autopilot:
        await autopilot.join_others()
        autopilot.watch_questions()
        await Draining(autopilot, app, ready, connections).serve(list(sockets))


@asynccontextmanager
async def beside(app: ASGIApp, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve another application meanwhile, for whatever watches this process; it ends at once.

    Args:
        app: the application.
        sockets: where it listens.
    """
    server = _Watched(_config(app, MOST_WATCHING, lifespan="off"))
    failed: ApMcpError | None = None
    async with create_task_group() as group:
        group.start_soon(server.serve, list(sockets))
        try:
            yield
        except ApMcpError as error:  # else the group would hide it in another one
            failed = error
        finally:
            server.should_exit = server.force_exit = True
    if failed is not None:
        raise failed


def _config(app: ASGIApp, connections: int, **more: Any) -> uvicorn.Config:
    """Return how uvicorn serves an application of ours to so many connections, and reports nothing by itself."""
    http = of_one_server(connections)
    return uvicorn.Config(app, http=http, ws="none", log_config=None, access_log=False, server_header=False, **more)


class _Watched(uvicorn.Server):
    """A server that leaves signals to the one that it watches."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Draining(uvicorn.Server):
    """A server that, asked to end, says that it is not ready, takes no new connections, and lets running calls end.

    Whoever was connected by then has a moment to ask: a balancer sends no call twice, so one that it has just sent must
    not be lost.

    Args:
        autopilot: is informed that it ends.
        app: the application.
        ready: called once requests are answered.
        connections: how many clients may be connected at once.
    """

    def __init__(
        self,
        autopilot: Autopilot,
        app: ASGIApp,
        ready: Callable[[], None] = lambda: None,
        connections: int = MOST_CONNECTIONS,
    ) -> None:
        super().__init__(
            _config(
                app,
                connections,
                lifespan="on",
                proxy_headers=False,
                h11_max_incomplete_event_size=LARGEST_HEAD,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._autopilot = autopilot
        self._ready = ready
        self._loop: AbstractEventLoop | None = None
        # Answers of 2025 are streams, which that library would cut off the moment a signal comes.
        AppStatus.enable_automatic_graceful_drain = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        super().handle_exit(sig, frame)
        # A signal comes in the middle of anything; what it interrupts may be just what this needs.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._autopilot.leave)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, once running calls have ended, and those that are on their way."""
        waiting = [each for listening in sockets or () for each in _accepted(listening)]
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append(CLOSE_HEADER)
        for each in waiting:
            await get_running_loop().connect_accepted_socket(self._connection, each)
        await sleep(LATE_SECONDS)
        async with create_task_group() as group:
            group.start_soon(self._end_latecomers, {*self.server_state.connections})
            await super().shutdown(sockets)
            group.cancel_scope.cancel()

    def _connection(self) -> Protocol:
        own: Callable[..., Protocol] = self.config.http_protocol_class
        return own(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _end_latecomers(self, known: set[Any]) -> None:
        """End connections that are made although nothing listens any more: they waited while the loop was busy.

        Nobody else ends them, and a client may keep one open for longer than running calls are waited for.
        """
        while True:
            await sleep(LATE_SECONDS)
            for each in self.server_state.connections - known:
                known.add(each)
                if not each.transport.is_closing():
                    each.shutdown()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End by SIGTERM and Ctrl-C as asked, which is a success; uvicorn would have the signal kill the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._loop = get_running_loop()
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class Prompt(H11Protocol):
    """A connection that is closed if its client is slow: to say what it wants, to end what is answered, or to listen.

    uvicorn would wait for ever, so that a few clients could take all connections there are; and beyond a number of them
    it refuses every request, of whatever watches the process too. Here the one that has waited for its client for
    longest makes room: for a request, for the rest of one, or for it to take an answer.

    Attributes:
        head_seconds: how long the head of a request may take, and the rest of one that is answered already.
        stalled_seconds: how long nothing of an answer may be taken.
        most: how many there may be.
        idle: those of the same server that wait for their clients, in the order in which they began to.
    """

    head_seconds = HEAD_SECONDS
    stalled_seconds = STALLED_SECONDS
    _head: TimerHandle | None = None
    _stalled: TimerHandle | None = None
    most: ClassVar[int]
    idle: "ClassVar[dict[Prompt, None]]"

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request; if there are too many connections, another one makes room."""
        super().connection_made(transport)
        self._wait()
        self.idle[self] = None
        if len(self.connections) > self.most:
            oldest = next(iter(self.idle))
            del self.idle[oldest]
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait on if a request has only begun."""
        super().data_received(data)
        if self._is_running():
            self.idle.pop(self, None)
        if self._is_answered_early():
            return  # what drips in gives it no more time
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head is None and not self.transport.is_closing():
            self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one, which nobody reads: it may have been refused."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():  # else another request came right behind
            self.idle[self] = None
        if self._is_answered_early() and self._head is None and not self.transport.is_closing():
            self._wait()

    def pause_writing(self) -> None:
        """Wait until the client takes more of its answer."""
        super().pause_writing()
        self.idle[self] = None
        self._stalled = self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        self._stop_stalling()
        super().resume_writing()
        if self._is_running():
            self.idle.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.idle.pop(self, None)
        self._stop_waiting()
        self._stop_stalling()
        super().connection_lost(exc)

    def _is_running(self) -> bool:
        """Say whether there is a whole request that is not answered."""
        is_asked = self.cycle is not None and not self.cycle.response_complete
        return is_asked and self.conn.their_state is not h11.SEND_BODY

    def _is_answered_early(self) -> bool:
        is_answered = self.cycle is not None and self.cycle.response_complete
        return is_answered and self.conn.their_state is h11.SEND_BODY

    def _wait(self) -> None:
        self._head = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_stalling(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def of_one_server(connections: int) -> type[Prompt]:
    """Return what the connections of one server are, of which there are so many at most."""

    class Connection(Prompt):
        most = connections
        idle: ClassVar[dict[Prompt, None]] = {}

    return Connection


def _accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept whoever waits at a socket: who is left there when it is closed loses what was sent already."""
    while True:
        try:
            connection, _ = listening.accept()
        except ConnectionAbortedError:
            continue
        except OSError:  # nobody is left, or there is no room
            return
        connection.setblocking(False)
        yield connection


def _listening(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at the addresses of a host, except those that this machine does not have.

    Raises:
        OSError: there is none, or one cannot be listened at for another reason.
    """
    found: list[socket.socket] = []
    missing: OSError | None = None
    for family, place in dict.fromkeys(_places(host.strip("[]"))):
        both = family == socket.AF_INET6 and is_wildcard(host) and socket.has_dualstack_ipv6()
        try:
            found.append(socket.create_server((place, port), family=family, backlog=BACKLOG, dualstack_ipv6=both))
            # Connections inherit it; else the body of an answer waits 40 ms for the client to confirm its head.
            found[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = found[-1].getsockname()[1]
        except OSError as error:
            if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                missing = error
                continue
            for each in found:
                each.close()
            raise
    if missing is not None and not found:
        raise missing
    return found


def _places(host: str) -> list[tuple[socket.AddressFamily, str]]:
    places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(place[0], str(place[4][0])) for place in places]


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "this name has no address."
    reasons = {
        errno.EADDRINUSE: "another program listens there already: choose another port, or 0 for a free one.",
        errno.EADDRNOTAVAIL: "this is no address of this machine.",
        errno.EACCES: "this user may not listen there: choose a port above 1023.",
    }
    return reasons.get(error.errno or 0, f"cannot listen there: {error.strerror}.")
