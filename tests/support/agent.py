"""An agent in a test: an MCP client, our server, and the simulator, all in this process, with every layer between."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.session import ClientSession, ElicitationFnT
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, ErrorData, Implementation, TextContent
from simulation import simulate

from ap_mcp.cloud.client import CloudClient
from ap_mcp.credentials import find_credentials
from ap_mcp.protocol import build_server
from ap_mcp.server import Autopilot
from ap_mcp.settings import Settings
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.serving import exports
from ap_mcp.simulator.world import World

ENDPOINT = "http://127.0.0.1:1"
FILES = ("files_dir", "audit_log", "approvals_db", "approver_dir")
"""The settings that name a place for each test's own files."""
ROOTS = "chart_roots"
"""The one that names several."""
SECONDS = 20
"""No call of a test may take longer."""
READS = timedelta(seconds=3)
"""How long the person of a test reads a form, on the clock of consent."""


class Clock:
    """A clock that moves only when it is set."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, time: timedelta) -> None:
        self.time += time


def reading(person: ElicitationFnT | None, clock: Clock) -> ElicitationFnT | None:
    """Have a person take a while over each form; a program that answers at once says so by `reads_for`."""
    if person is None:
        return None

    async def reads(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        clock.pass_by(getattr(person, "reads_for", READS))
        return await person(context, params)

    return reads


def is_trial(operation: str) -> bool:
    """Say whether a request to a cluster was only checked by it."""
    return operation.startswith("kubernetes_") and operation.endswith("_dry_run")


@dataclass
class Agent:
    """A connected client, and the simulated account behind the server."""

    client: Client = field(repr=False)
    app: Simulator = field(repr=False)
    autopilot: Autopilot = field(repr=False)
    said: str = ""
    """What the last answer said as text."""
    done: set[str] = field(default_factory=set)
    """Tools that succeeded."""

    @property
    def world(self) -> World:
        return self.app.state.world

    @property
    def sent(self) -> list[str]:
        """Operations the simulator was asked for, in order."""
        return [request.operation for request in self.app.state.log]

    @property
    def changed(self) -> list[str]:
        """Operations among them that are more than a read."""
        return [each.operation for each in self.app.state.log if each.method != "GET" and not is_trial(each.operation)]

    async def run(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool; whatever comes must keep what is promised for every answer."""
        with anyio.fail_after(SECONDS):
            result = await self.client.call_tool(tool, arguments)
        self.said = text_of(result)
        assert self.said.strip(), f"{tool} says nothing"
        if result.is_error:
            assert result.structured_content is None
        else:
            # That it fits the schema which clients were shown has been checked by the client, else the call raises.
            assert isinstance(result.structured_content, dict)
            assert self.said.startswith(result.structured_content["summary"])
            self.done.add(tool)
        return result

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must succeed; return its structured content."""
        result = await self.run(tool, arguments)
        assert not result.is_error, self.said
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def fail(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail; return what it says."""
        result = await self.run(tool, arguments)
        assert result.is_error, f"{tool} should have failed: {self.said}"
        return self.said


def text_of(result: CallToolResult) -> str:
    """The text blocks of a result, joined."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def autopilot_on(
    app: Simulator,
    environment: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Mapping[str, Any] | None = None,
    *,
    unasked: bool = True,
    remote: bool = False,
    listening: str = "",
    **settings: Any,
) -> Autopilot:
    """What runs tools against an in-process simulator; settings as the operator would give them.

    Args:
        app: the simulator.
        environment: variables in place of those that hold the simulator's keys.
        transport: in place of the one that leads into the simulator.
        clock: `sleep` and `now`, in place of real time, for waiting.
        unasked: no consent is needed.
        remote: its callers are on other machines.
        listening: where the simulator listens, for requests over sockets; nothing is then said to be simulated.
        settings: beyond, or instead of, those that point at the simulator; forms are shown to any client.
    """
    place = listening or ENDPOINT
    found = exports(place)
    chosen = _chosen(
        {"forms": "always", "endpoint": place, "iam_endpoint": place, "region": found["AP_MCP_REGION"]} | settings
    )

    async def connect() -> CloudClient:
        keys = find_credentials(found if environment is None else environment)
        return CloudClient(chosen, keys, transport or (None if listening else httpx.ASGITransport(app)))

    return Autopilot(chosen, connect, simulated=not listening, unasked=unasked, remote=remote, **clock or {})


def _chosen(given: dict[str, Any]) -> Settings:
    """Return settings; those of one test after the other differ in their files only, and reading them takes long."""
    if not given.keys() >= {*FILES, ROOTS}:
        return Settings(**given)
    files = {name: given[name].absolute() for name in FILES}
    files[ROOTS] = tuple(each.resolve(strict=True) for each in given[ROOTS])
    variables = (item for item in os.environ.items() if item[0].startswith("AP_MCP_"))
    rest = (item for item in given.items() if item[0] not in files)
    return _read_once(frozenset(rest), frozenset(variables)).model_copy(update=files)


@cache
def _read_once(given: frozenset[tuple[str, Any]], variables: frozenset[tuple[str, str]]) -> Settings:
    del variables  # pydantic reads them itself
    return Settings(**dict(given))


def _shared_validator(session: ClientSession, name: str, output_schema: dict[str, Any]) -> Draft202012Validator:
    """Return the validator of a schema, which each session of the SDK would make anew."""
    del session, name
    return _validator(json.dumps(output_schema))


@cache
def _validator(schema: str) -> Draft202012Validator:
    found = json.loads(schema)
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


async def _validate_as_listed(session: ClientSession, name: str, result: CallToolResult) -> None:
    """Validate an answer by the schema that this session was shown, or another one of the same version before it.

    Each session of the SDK would list all tools at its first answer, which takes longer than most tests.
    """
    version, schemas = session.protocol_version, session._tool_output_schemas
    if name not in schemas and (version, name) in _listed:
        schemas[name] = _listed[version, name]
    await _validate(session, name, result)
    if (version, name) not in _listed:
        _listed.update({(version, each): schema for each, schema in session._tool_output_schemas.items()})


_listed: dict[tuple[str | None, str], dict[str, Any] | None] = {}
"""What a tool answers, by version of the protocol and tool."""
_validate = ClientSession.validate_tool_result
ClientSession.validate_tool_result = _validate_as_listed  # type: ignore[method-assign,assignment]
ClientSession._output_schema_validator = _shared_validator  # type: ignore[method-assign,assignment]


@asynccontextmanager
async def connected(
    tmp_path: Path,
    *,
    app: Simulator | None = None,
    mode: str = "auto",
    person: ElicitationFnT | None = None,
    consent_clock: Clock | None = None,
    client_info: Implementation | None = None,
    **settings: Any,
) -> AsyncIterator[Agent]:
    """Connect an agent; files go below `tmp_path`, charts are read from there, `person` reads and answers forms."""
    folders = {
        "files_dir": tmp_path / "files",
        "chart_roots": (tmp_path,),
        "audit_log": tmp_path / "state" / "audit.jsonl",
        "approvals_db": tmp_path / "state" / "approvals.db",
        "approver_dir": tmp_path / "config",
    }
    served = app or simulate()
    autopilot = autopilot_on(served, **{**folders, **settings})
    if person is not None or consent_clock is not None:
        consent_clock = consent_clock or Clock()
        autopilot.confirmer = replace(autopilot.confirmer, now=consent_clock)
        person = reading(person, consent_clock)
    server = build_server(autopilot)
    try:
        client = Client(server, mode=mode, raise_exceptions=True, elicitation_callback=person, client_info=client_info)
        async with autopilot, client:
            yield Agent(client, served, autopilot)
    except BaseExceptionGroup as group:
        # What fails in a test fails inside the client's task groups; wrapped in them, it is hard to find.
        raise _innermost(group) from None
    assert served.state.violations == []


@asynccontextmanager
async def unharmed(tmp_path: Path, **settings: Any) -> AsyncIterator[Agent]:
    """Connect an agent; whatever it does, a good call must work afterwards."""
    async with connected(tmp_path, **settings) as agent:
        yield agent
        agent.app.state.faults.clear()
        await agent.call("list_charts")


def _innermost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner
