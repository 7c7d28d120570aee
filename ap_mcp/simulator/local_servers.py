"""HTTP servers on this machine that are bound at once, and whose connections can be cut like those of a bad network."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ap_mcp.simulator.app import CUT

HOST = "127.0.0.1"


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

    def __init__(
        self,
        app: ASGIApp,
        port: int = 0,
        on_start: Callable[[], None] | None = None,
        protocol: type[H11Protocol] = CuttableProtocol,
    ) -> None:
        config = uvicorn.Config(
            app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
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
