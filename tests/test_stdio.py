"""The server as hosts start it: a process of its own that speaks through its standard input and output."""

import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import pytest
from agent import text_of
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from click.testing import CliRunner
from forking import python
from guarded import Action, Person
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client
from mcp_types import ElicitRequestParams, ElicitResult

from ap_mcp.cli import main
from ap_mcp.cli.serve import WAITING
from ap_mcp.guard.lifetimes import SHORTEST_READING
from ap_mcp.simulator.constants import SEARCH_DEV, TEAM_SANDBOX
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio

SIMULATED = ["-m", "ap_mcp", "serve", "--simulate"]
SECONDS = 30
ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
AUDIT = ".local/state/ap-mcp/audit.jsonl"
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "a test", "version": "1"},
}


@asynccontextmanager
async def client(tmp_path: Path, mode: str, *flags: str, person: ElicitationFnT | None = None) -> AsyncIterator[Client]:
    """Start a server and connect to it; what it says on standard error goes to `stderr.txt`."""
    environment = {"HOME": str(tmp_path), "AP_MCP_FORMS": "always"}
    server = StdioServerParameters(command=python(), args=[*SIMULATED, *flags], env=environment)
    with (tmp_path / "stderr.txt").open("w") as log, anyio.fail_after(SECONDS):
        async with Client(stdio_client(server, log), mode=mode, elicitation_callback=person) as connected:
            yield connected


class Pipe:
    """A server process, and the lines that go to and fro."""

    def __init__(self, process: Process) -> None:
        assert process.stdin
        assert process.stdout
        self.process = process
        self.stdin = process.stdin
        self.stdout = TextReceiveStream(process.stdout)
        self.unread = ""

    async def say(self, line: str) -> None:
        await self.stdin.send(f"{line}\n".encode())

    async def ask(self, number: int, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer; every line before it must be a message of the protocol, too."""
        await self.say(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        while True:
            message: dict[str, Any] = json.loads(await self.line())
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == number:
                return message

    async def line(self) -> str:
        """Return the next line that is said."""
        while "\n" not in self.unread:
            self.unread += await self.stdout.receive()
        line, _, self.unread = self.unread.partition("\n")
        return line

    async def rest(self) -> str:
        """Return what is still said after the last answer that was read."""
        return self.unread + "".join([chunk async for chunk in self.stdout])


@asynccontextmanager
async def process(tmp_path: Path, *arguments: str, by: str | None = None) -> AsyncIterator[Process]:
    environment = get_default_environment() | {"HOME": str(tmp_path)}
    command = [by or python(), *arguments]
    with anyio.fail_after(SECONDS):
        async with await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment) as started:
            try:
                yield started
            finally:
                if started.returncode is None:
                    started.kill()


async def said(started: Process) -> tuple[str, str]:
    """Return what a process wrote to its standard output and error until it ended."""
    assert started.stdout
    assert started.stderr
    out = "".join([chunk async for chunk in TextReceiveStream(started.stdout)])
    return out, "".join([chunk async for chunk in TextReceiveStream(started.stderr)])


@pytest.mark.parametrize(("mode", "version"), ERAS.items())
async def test_a_session_over_real_pipes_and_real_http(
    tmp_path: Path, catalog: Catalog, mode: str, version: str
) -> None:
    person = Person()

    async def reads(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Take a moment, on the server's own clock, which cannot be moved from here."""
        await anyio.sleep(SHORTEST_READING.total_seconds() if person.action == "accept" else 0)
        return await person(context, params)

    async with client(tmp_path, mode, person=reads) as connected:
        assert connected.protocol_version == version
        assert "SIMULATED" in (connected.instructions or "")
        assert set(catalog) <= {tool.name for tool in (await connected.list_tools()).tools}
        listed = await connected.call_tool("list_clusters", {})
        assert listed.structured_content["clusters"][0]["id"]
        raw = await connected.read_resource(listed.structured_content["raw"])
        assert "shop-prod" in raw.model_dump_json()
        await connected.call_tool("add_cluster_tags", {"cluster_id": "search-dev", "tags": {"größe": "klein"}})
        shown = await connected.call_tool("get_cluster", {"cluster_id": SEARCH_DEV})
        assert shown.structured_content["tags"]["größe"] == "klein"
        await a_person_says_no(connected, person)
        assert [line["event"] for line in recorded(tmp_path)] == ["decided", "finished", "refused", "refused"]
        person.action, person.typed = "accept", None
        gone = await connected.call_tool("delete_cluster", {"cluster_id": TEAM_SANDBOX})
        assert not gone.is_error
        assert all("Deletes cluster" in shown for shown in person.read)
        failed = await connected.call_tool("get_cluster", {"cluster_id": "unknown"})
        assert failed.is_error
        assert text_of(failed).startswith('No cluster is called "unknown"')
    said = (tmp_path / "stderr.txt").read_text()
    assert "SIMULATED: no cloud is touched" in said
    assert "Traceback" not in said
    assert WAITING not in said
    tagged, done, declined, cancelled, decided, finished = recorded(tmp_path)
    assert (declined["decision"], cancelled["decision"]) == ("not shown", "not shown")
    assert declined["target"] == cancelled["target"] == "team-sandbox"
    assert (tagged["tool"], tagged["effect"], tagged["channel"]) == ("add_cluster_tags", "write", "")
    assert (done["of"], done["result"]) == (tagged["seq"], "succeeded")
    assert (decided["tool"], decided["target"], decided["channel"]) == ("delete_cluster", "team-sandbox", "form")
    assert decided["client"].endswith(" (simulated)")
    assert finished["result"] == "succeeded"


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The lines of the audit."""
    return [json.loads(line) for line in (folder / AUDIT).read_text().splitlines()]


NO: tuple[tuple[Action, str | None, str], ...] = (
    ("decline", None, "nobody saw the form"),
    ("cancel", None, "nobody saw the form"),
)
"""What a person does with a form, what they type, and what the agent reads then."""


async def a_person_says_no(connected: Client, person: Person) -> None:
    """Make a guarded call that is not agreed to, in every way; nothing must be sent."""
    for person.action, person.typed, why in NO:
        refused = await connected.call_tool("delete_cluster", {"cluster_id": TEAM_SANDBOX})
        assert refused.is_error
        assert why in text_of(refused)
    assert len(person.read) == len(NO)
    shown = await connected.call_tool("get_cluster", {"cluster_id": TEAM_SANDBOX})
    assert shown.structured_content["phase"] == "Available"


async def test_standard_output_carries_the_protocol_only_and_the_server_leaves_with_its_client(tmp_path: Path) -> None:
    async with process(tmp_path, *SIMULATED, "--toolsets", "clusters,charts", by=sys.executable) as started:
        pipe = Pipe(started)
        assert (await pipe.ask(1, "initialize", HELLO))["result"]["serverInfo"]["name"] == "ap-mcp"
        await pipe.say('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        for garbage in ("no json", '{"half":', "[]", '{"jsonrpc":"2.0"}', "[" * 5000, '"\\ud800"', "NaN", ""):
            await pipe.say(garbage)
        offered = {tool["name"] for tool in (await pipe.ask(2, "tools/list", {}))["result"]["tools"]}
        assert {"list_charts", "delete_cluster"} < offered
        assert "get_quotas" not in offered
        for number, tool in enumerate(("list_charts", "no_such_tool", "list_clusters"), start=3):
            answer = await pipe.ask(number, "tools/call", {"name": tool, "arguments": {}})
            assert answer["result"].get("isError", False) == (tool == "no_such_tool")
        wanted = {"name": "delete_cluster", "arguments": {"cluster_id": TEAM_SANDBOX}}
        refused = (await pipe.ask(8, "tools/call", wanted))["result"]
        assert refused["isError"]
        assert refused["content"][0]["text"].startswith("approval_required: code ")
        assert (await pipe.ask(9, "no/such/method", {}))["error"]["code"] == -32601
        await pipe.stdin.aclose()
        for line in (await pipe.rest()).splitlines():
            assert json.loads(line)["jsonrpc"] == "2.0"
        assert await started.wait() == 0


@pytest.mark.parametrize("command", [["serve"], ["serve", "--simulate"]])
def test_consent_cannot_be_switched_off(command: list[str]) -> None:
    refused = CliRunner().invoke(main, [*command, "--confirm", "off"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "'off' is not one of 'human', 'approval', 'token', 'deny'" in refused.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server_without_a_traceback(tmp_path: Path, how: signal.Signals) -> None:
    async with process(tmp_path, *SIMULATED) as started:
        pipe = Pipe(started)
        await pipe.ask(1, "initialize", HELLO)
        started.send_signal(how)
        _, err = await said(started)
        assert await started.wait() != 0
        assert "Traceback" not in err


async def test_a_handshake_behind_a_probe_that_got_no_answer_in_time_is_served(tmp_path: Path) -> None:
    async with process(tmp_path, *SIMULATED) as started:
        pipe = Pipe(started)
        envelope = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": HELLO["clientInfo"],
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        probe = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {"_meta": envelope}}
        await pipe.say(json.dumps(probe))
        answer = await pipe.ask(1, "initialize", HELLO)
    assert answer["result"]["protocolVersion"] == "2025-11-25"
