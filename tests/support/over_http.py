"""Our application over HTTP, in this process and without sockets: requests by hand, and the SDK's client."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
from agent import Agent, autopilot_on
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from ap_mcp.server import Autopilot
from ap_mcp.simulator.app import Simulator
from ap_mcp.web.app import http_app
from ap_mcp.web.approvals_page import pages_of
from ap_mcp.web.health import Check
from ap_mcp.web.options import PATH, HttpOptions
from ap_mcp.web.sign_in import SignIn

ORIGIN = "http://127.0.0.1:8000"
MODERN = "2026-07-28"
ACCEPTED = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@dataclass
class Served:
    """A server over HTTP, in this process."""

    asgi: ASGIApp = field(repr=False)
    autopilot: Autopilot = field(repr=False)
    simulator: Simulator = field(repr=False)

    def by_hand(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        """What sends single requests."""
        transport = httpx.ASGITransport(self.asgi)
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)

    @asynccontextmanager
    async def client(
        self, mode: str = "auto", headers: Mapping[str, str] | None = None, **more: Any
    ) -> AsyncIterator[Agent]:
        """The SDK's client, connected."""
        transport = httpx2.ASGITransport(self.asgi)
        async with httpx2.AsyncClient(transport=transport, headers=dict(headers or {})) as sends:
            streams = streamable_http_client(f"{ORIGIN}{PATH}", http_client=sends)
            async with Client(streams, mode=mode, **more) as client:
                yield Agent(client, self.simulator, self.autopilot)


@asynccontextmanager
async def served(
    simulator: Simulator,
    folder: Path,
    options: HttpOptions | None = None,
    sign_in: SignIn | None = None,
    *,
    routes: Sequence[Route] = (),
    checks: Sequence[Check] = (),
    counting: Callable[[Autopilot], ServerMiddleware[Any]] | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve a simulated account over HTTP, for callers on other machines."""
    chosen = {
        "files_dir": folder / "files",
        "chart_roots": (),
        "audit_log": folder / "state" / "audit.jsonl",
        "approvals_db": folder / "state" / "approvals.db",
        "approver_dir": folder / "config",
        "confirm": "approval",
        "unasked": False,
        **settings,
    }
    autopilot = autopilot_on(simulator, remote=True, **chosen)
    pages = pages_of(autopilot) if "public_url" in settings else None
    own = [*routes, *(pages.routes() if pages else [])]
    sees = None if counting is None else counting(autopilot)
    app = http_app(autopilot, options or HttpOptions(), sign_in, routes=own, checks=checks, counting=sees)
    async with autopilot, living(app):
        yield Served(app, autopilot, simulator)


@asynccontextmanager
async def living(app: ASGIApp) -> AsyncIterator[None]:
    """Let an application live as a server does."""
    started, ended, leave = anyio.Event(), anyio.Event(), anyio.Event()
    asked = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))

    async def receive() -> Message:
        message = next(asked)
        if message["type"] == "lifespan.shutdown":
            await leave.wait()
        return message

    async def send(message: Message) -> None:
        assert message["type"].endswith(".complete"), message
        (started if "startup" in message["type"] else ended).set()

    async def run() -> None:
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await started.wait()
        try:
            yield
        finally:
            leave.set()
            with anyio.CancelScope(shield=True):
                await ended.wait()


def request(method: str, params: Mapping[str, Any] | None = None, version: str = MODERN) -> dict[str, Any]:
    """What `httpx` sends as one request of the protocol."""
    given = dict(params or {})
    headers = {**ACCEPTED, "mcp-protocol-version": version}
    if version == MODERN:
        meta = {"protocolVersion": version, "clientCapabilities": {}}
        given["_meta"] = {f"io.modelcontextprotocol/{key}": value for key, value in meta.items()}
        headers["mcp-method"] = method
        if "name" in given:
            headers["mcp-name"] = given["name"]
    return {"json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}, "headers": headers}
