"""The two servers of `throughput.py`, each a process of its own: the SDK's low-level server alone, and ours.

The cloud of ours is in the process as well: what the simulator answers is recorded and comes at once, so that all
time that is measured is spent on the way between the socket and the cloud client's transport. One operation is slow.
"""

import asyncio
import gc
import logging
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import httpx
import mcp_types as types
import uvicorn
from http_calls import EVERY, SLOW, SLOW_SECONDS
from mcp import Client
from mcp.server import Server, ServerRequestContext
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from simulation import simulate
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ap_mcp.cloud.client import CloudClient
from ap_mcp.credentials import find_credentials
from ap_mcp.principals import Rights
from ap_mcp.protocol import build_server
from ap_mcp.server import LOCAL, Autopilot
from ap_mcp.settings import Settings
from ap_mcp.simulator.serving import exports
from ap_mcp.web.app import http_app
from ap_mcp.web.options import PATH, HttpOptions
from ap_mcp.web.serving import listen
from ap_mcp.web.sign_in import SignIn
from ap_mcp.web.signed_in import SignedIn

ISSUER = "https://issuer.example"
ENDPOINT = "http://127.0.0.1:1"
SLOW_PATH = "/charts/quotas"
"""What is answered late: get_chart_quota."""


class Anybody:
    """Takes the name of a principal for their token, as the SDK's sign-in has it: what is measured is no sign-in."""

    auth = AuthSettings(issuer_url=ISSUER, resource_server_url=None, required_scopes=[])

    async def verify_token(self, token: str) -> AccessToken:
        return AccessToken(token=token, client_id=token, subject=token, scopes=[])


class OurAnybody(SignIn):
    """The same, as our sign-in has it."""

    def __init__(self, rights: Rights) -> None:
        super().__init__("", PATH)
        self._rights = rights

    async def signed_in(self, token: str) -> SignedIn:
        return SignedIn(client_id=token, scopes=[], principal=f"token:{token}", rights_now=lambda: self._rights)


class Recorded(httpx.AsyncBaseTransport):
    """Answers a request as the simulator did the first time; at once, but for what is slow."""

    def __init__(self) -> None:
        self._simulator = httpx.ASGITransport(simulate())
        self._known: dict[tuple[str, bytes], tuple[int, list[tuple[bytes, bytes]], bytes]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        key = (request.method, request.url.raw_path)
        if key not in self._known:
            answer = await self._simulator.handle_async_request(request)
            self._known[key] = (answer.status_code, answer.headers.raw, await answer.aread())
        if request.url.path.endswith(SLOW_PATH):
            await asyncio.sleep(SLOW_SECONDS)
        status, headers, content = self._known[key]
        return httpx.Response(status, headers=headers, content=content)


async def answers(folder: Path) -> dict[str, types.CallToolResult]:
    """Return what ours answers to each call."""
    async with Client(build_server(our_autopilot(folder))) as client:
        return {call.tool: await client.call_tool(call.tool, dict(call.arguments)) for call in EVERY}


def bare_app(routes: list[Route], folder: Path) -> ASGIApp:
    """Serve what ours answers, without any of the work for it."""
    known = {tool: answer.model_dump() for tool, answer in anyio.run(answers, folder).items()}
    schema = {"type": "object"}

    async def list_tools(_: ServerRequestContext[Any], __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name=name, input_schema=schema) for name in known])

    async def call_tool(_: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name == SLOW.tool:
            await asyncio.sleep(SLOW_SECONDS)
        return types.CallToolResult(**known[params.name])

    tools = {"on_list_tools": list_tools, "on_call_tool": call_tool}
    # Without the last, the SDK would list the tools at every call.
    server = Server("bare", version="1", **tools, get_tool_input_schema=dict.fromkeys(known, schema).get)
    anybody = Anybody()
    return server.streamable_http_app(
        stateless_http=True, auth=anybody.auth, token_verifier=anybody, custom_starlette_routes=routes
    )


def our_app(routes: list[Route], folder: Path) -> ASGIApp:
    autopilot = our_autopilot(folder)
    return http_app(autopilot, HttpOptions(), OurAnybody(autopilot.rights_of(LOCAL.principal)), routes=routes)


def our_autopilot(folder: Path) -> Autopilot:
    places = {"audit_log": folder / "audit.jsonl", "approvals_db": folder / "approvals.db", "files_dir": folder}
    found, stub = exports(ENDPOINT), Recorded()
    settings = Settings(
        endpoint=ENDPOINT,
        iam_endpoint=ENDPOINT,
        region=found["AP_MCP_REGION"],
        confirm="approval",
        rate=0,  # what is measured is how much can be done, not how much one principal may do
        chart_roots=(),
        **places,
    )

    async def connect() -> CloudClient:
        return CloudClient(settings, find_credentials(found), stub)

    return Autopilot(settings, connect, simulated=True, remote=True)


async def busy(_: Request) -> JSONResponse:
    """Say how much processor time this process has had."""
    return JSONResponse({"busy": time.process_time()})


def main() -> None:
    logging.disable(logging.WARNING)
    (listening,) = listen("127.0.0.1:0")
    with TemporaryDirectory() as folder, listening:
        routes = [Route("/busy", busy)]
        app = {"bare": bare_app, "ours": our_app}[sys.argv[1]](routes, Path(folder))
        # Connections wait in the socket until they are taken.
        print(listening.getsockname()[1], flush=True)
        gc.collect()
        gc.freeze()
        with suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, http="h11", log_level="error")).run([listening])


if __name__ == "__main__":
    main()
