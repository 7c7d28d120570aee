"""Serves the simulator over HTTP on this machine, and can cut its connections like a bad network."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ap_mcp.simulator.access import SIMULATED_CREDENTIALS, SimulatedCredentials
from ap_mcp.simulator.app import CUT, Simulator, build_app
from ap_mcp.simulator.faults import Faults
from ap_mcp.simulator.world import World

HOST = "127.0.0.1"
START_TIMEOUT = 30.0


class CuttableProtocol(H11Protocol):
    """HTTP/1.1 that lets the application close the connection under an unfinished answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Offer `transport.close` to every request of the connection."""
        super().connection_made(transport)
        served: Any = self.app

        async def cuttable(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CUT] = transport.close
            await served(scope, receive, send)

        self.app = cuttable


class LocalServer(uvicorn.Server):
    """A server on a socket that is bound at once, so that its address is known before it runs."""

    def __init__(self, app: Simulator, port: int = 0, on_start: Callable[[], None] | None = None) -> None:
        config = uvicorn.Config(
            app, http=CuttableProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, date_header=False, timeout_graceful_shutdown=3,
        )  # fmt: skip
        super().__init__(config)
        self._on_start = on_start
        self._socket = socket.create_server((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited; else each answer takes 40 ms
        self.base_url = f"http://{HOST}:{self._socket.getsockname()[1]}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept requests, then say so."""
        await super().startup(sockets)
        if self._on_start is not None:
            self._on_start()

    def serve_until_stopped(self) -> None:
        """Serve until a signal (in the main thread) or `should_exit`."""
        try:
            self.run(sockets=[self._socket])
        finally:
            self._socket.close()


def serve(
    world: World,
    port: int = 0,
    *,
    faults: Faults | None = None,
    credentials: SimulatedCredentials = SIMULATED_CREDENTIALS,
    announce: Callable[[dict[str, str]], None] = lambda _exports: None,
) -> None:
    """Serve a world over HTTP until interrupted.

    Args:
        world: the account, usually on a `ScaledClock`.
        port: where to listen on the loopback address; 0 takes a free port.
        faults: trouble to make; that of the environment unless given.
        credentials: the keys whose environment is announced.
        announce: called with that environment once requests are answered.

    Raises:
        OSError: if the port is taken.
        SettingsError: if the environment's faults cannot be read.
    """
    trouble = Faults.from_environment(os.environ) if faults is None else faults
    app = build_app(world, faults=trouble, strict_answers=False)
    server = LocalServer(app, port, lambda: announce(exports(server.base_url, credentials)))
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn stops gracefully, then passes the signal on
        server.serve_until_stopped()


@contextlib.contextmanager
def running(app: Simulator, port: int = 0) -> Iterator[str]:
    """Serve an application in a thread for the length of the block; gives its base URL."""
    started = threading.Event()
    server = LocalServer(app, port, started.set)
    thread = threading.Thread(target=server.serve_until_stopped, name="simulator", daemon=True)
    thread.start()
    try:
        if not started.wait(START_TIMEOUT):
            raise TimeoutError(f"the simulator did not start within {START_TIMEOUT:g} s")
        yield server.base_url
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT)


def exports(base_url: str, credentials: SimulatedCredentials = SIMULATED_CREDENTIALS) -> dict[str, str]:
    """Return the environment that points this program, or the official SDK, at a served simulator."""
    return credentials.exports(base_url)
