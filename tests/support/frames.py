"""A session in raw messages, of any version of the protocol; each that the server sends is held against its schema."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from jsonschema import Draft202012Validator
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ap_mcp.protocol import build_server
from ap_mcp.server import Autopilot

SCHEMAS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "mcp_schemas.json").read_text(encoding="utf-8")
)
"""What the specification publishes for each version, of what a server sends; without its descriptions."""
RESULTS = {
    "initialize": "InitializeResult",
    "server/discover": "DiscoverResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "completion/complete": "CompleteResult",
}
META = "io.modelcontextprotocol/"
INFO = {"name": "frames", "version": "1"}
SECONDS = 20

Answer = dict[str, Any]
Asked = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers a request of the server."""


@cache
def schema(version: str, name: str) -> Draft202012Validator:
    """The validator of one definition of a version."""
    definitions = SCHEMAS[version]
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})


class Session:
    """A client that speaks one version; whatever the server sends must fit the schema of that version."""

    def __init__(self, version: str, reader: Any, writer: Any, asked: Asked | None) -> None:
        self.version = version
        self.modern = version in MODERN_PROTOCOL_VERSIONS
        self.capabilities: dict[str, Any] = {"elicitation": {}} if asked else {}
        self.notified: list[dict[str, Any]] = []
        self._reader = reader
        self._writer = writer
        self._asked = asked
        self._id = 0

    async def open(self) -> Answer:
        """Begin as clients of this version do; return what the server says of itself."""
        if self.modern:
            return await self.ask("server/discover")
        given = {"protocolVersion": self.version, "capabilities": self.capabilities, "clientInfo": INFO}
        opened = await self.ask("initialize", given)
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return opened

    async def call(self, tool: str, /, **arguments: Any) -> Answer:
        """Call a tool; return its result."""
        return await self.ask("tools/call", {"name": tool, "arguments": arguments, "_meta": {"progressToken": tool}})

    async def ask(self, method: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Return the result of a request."""
        answer = await self.answer(method, params)
        assert "error" not in answer, answer
        result: Answer = answer["result"]
        interim = result.get("resultType") == "input_required"
        self._check("InputRequiredResult" if interim else RESULTS[method], result)
        return result

    async def refused(self, method: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Return the error that a request is answered with."""
        answer = await self.answer(method, params)
        error: Answer = answer["error"]
        return error

    async def answer(self, method: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Send a request, and return its answer as it came."""
        self._id += 1
        given = dict(params or {})
        if self.modern:
            about = {"protocolVersion": self.version, "clientInfo": INFO, "clientCapabilities": self.capabilities}
            given["_meta"] = given.get("_meta", {}) | {META + name: value for name, value in about.items()}
        await self._send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": given})
        with anyio.fail_after(SECONDS):
            while True:
                message = await self._receive()
                if message.get("id") == self._id and "method" not in message:
                    return message

    async def _receive(self) -> dict[str, Any]:
        sent = await self._reader.receive()
        message: dict[str, Any] = sent.message.model_dump(by_alias=True, exclude_unset=True, mode="json")
        if "error" in message:
            self._check("JSONRPCError" if "JSONRPCError" in SCHEMAS[self.version] else "JSONRPCErrorResponse", message)
        elif "result" in message:
            named = "JSONRPCResultResponse" in SCHEMAS[self.version]
            self._check("JSONRPCResultResponse" if named else "JSONRPCResponse", message)
        elif "id" in message:
            assert self._asked, "a client that cannot show forms was asked to"
            self._check("ElicitRequest", message)
            reply = await self._asked(message["params"])
            await self._send({"jsonrpc": "2.0", "id": message["id"], "result": reply})
        else:
            assert message["method"] == "notifications/progress"
            self._check("ProgressNotification", message)
            self.notified.append(message["params"])
        return message

    def _check(self, name: str, value: Any) -> None:
        errors = [
            f"{error.json_path}: {error.message[:300]}" for error in schema(self.version, name).iter_errors(value)
        ]
        assert errors == [], f"no {name} of {self.version}"

    async def _send(self, message: dict[str, Any]) -> None:
        await self._writer.send(SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False)))


@asynccontextmanager
async def session(autopilot: Autopilot, version: str, asked: Asked | None = None) -> AsyncIterator[Session]:
    """Open a session of one version with a server."""
    server = build_server(autopilot)
    to_server, of_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    of_server, to_client = anyio.create_memory_object_stream[SessionMessage](0)
    async with autopilot, anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, of_client, of_server, server.create_initialization_options())
        async with to_server, to_client:
            yield Session(version, to_client, to_server, asked)
            tasks.cancel_scope.cancel()
