"""Clients that nobody here wrote: releases of the official TypeScript SDK, and the MCP Inspector.

They are driven over real pipes, and over HTTP with a token, on one server for all.

They come from npm, in exact versions, into `tests/foreign/node_modules`; `make test` runs them by themselves. The
official Python SDK is the client of all other tests: over real pipes in `test_stdio.py`, with a token over a real port
here.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import from_npm
import httpx2
import pytest
from agent import text_of
from from_npm import FOREIGN
from mcp import Client
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from serving_alone import PROGRAM, serving_alone

from ap_mcp.settings import Settings
from ap_mcp.specs import load_catalog

pytestmark = pytest.mark.foreign

SECONDS = 120
SERVER = [*PROGRAM, "serve", "--simulate"]
NEWEST = "@modelcontextprotocol/client"
FORMS = {"AP_MCP_FORMS": "always"} if "forms" in Settings.model_fields else {}
"""These clients show the whole form, which no server can know."""
CLIENTS = [("sdk-1.10", "plain"), ("sdk-1", "forms"), (NEWEST, "plain"), (NEWEST, "modern")]
TOOL_ERROR = 5
"""How the Inspector ends when a tool says that it failed."""
SIGN_IN = 3
"""How it ends when it has to sign in in another way, which takes a terminal."""


@pytest.fixture(scope="session")
def node() -> str:
    """The Node that runs the clients, which are installed by then."""
    return from_npm.node()


@dataclass(frozen=True)
class Way:
    """How a server is reached.

    Attributes:
        target: the command that starts it, or its address.
        token: what a client signs in with.
    """

    target: tuple[str, ...]
    token: str = field(default="", repr=False)

    @property
    def over_http(self) -> bool:
        return bool(self.token)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Serve the simulator on a free port, to whoever has the token that is made for it."""
    home = tmp_path_factory.mktemp("served")
    environment = get_default_environment() | {"HOME": str(home)}
    make = [*PROGRAM, "token", "new", "foreign", "--read-write", "--output", "json"]
    made = subprocess.run(make, env=environment, capture_output=True, text=True, timeout=SECONDS, check=True)
    with serving_alone(home, AP_MCP_APPROVAL_WAIT="1") as address:
        yield Way((address,), json.loads(made.stdout)["token"])


@pytest.fixture(params=["stdio", "http"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.getfixturevalue("served") if request.param == "http" else Way(tuple(SERVER))
    return found


def run(home: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = get_default_environment() | {"HOME": str(home), "NO_COLOR": "1"} | FORMS | more
    return subprocess.run(
        command, cwd=FOREIGN, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def drive(home: Path, node: str, client: str, mode: str, way: Way) -> subprocess.CompletedProcess[str]:
    return run(home, node, "drive.mjs", client, mode, *way.target, TOKEN=way.token)


@pytest.mark.parametrize(("client", "mode"), CLIENTS)
def test_a_session_of_the_official_typescript_sdk(tmp_path: Path, node: str, way: Way, client: str, mode: str) -> None:
    done = drive(tmp_path, node, client, mode, way)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["server"]["name"] == "ap-mcp"
    assert_offered(set(found["tools"]), way)
    assert found["prompts"] == ["upgrade-cluster", "diagnose-failure", "clean-up"]
    assert found["completed"] == ["shop-prod"]
    assert 'cluster_id: "shop-prod"' in found["prompt"]
    assert "shop-prod" in found["read"]["text"]
    assert found["read"]["types"] == (["text"] if client == "sdk-1.10" else ["text", "resource_link"])
    assert found["read"]["raw"] in found["read"]["text"]
    assert found["whole"] > 1000
    assert found["templates"] == 1
    assert "Resource not found" in found["gone"]
    assert found["written"]["text"].startswith("1 tag set: probe")
    assert "- job_id: must be a string, not an integer" in found["bad"]
    assert "- speed: is no argument of get_job" in found["bad"]
    consent(found, mode, way)
    shares = [each["progress"] for each in found["waited"]["progress"]]
    assert shares
    assert shares == sorted(set(shares))
    assert {each["total"] for each in found["waited"]["progress"]} == {100}
    assert not found["waited"]["error"]
    assert "Traceback" not in done.stderr


def assert_offered(tools: set[str], way: Way) -> None:
    """Everything is offered, but over HTTP nothing that sends or writes files of the server."""
    catalog = load_catalog()
    local = {name for name, operation in catalog.items() if operation.local_use}
    assert local
    assert tools & set(catalog) == set(catalog) - (local if way.over_http else set())


def consent(found: dict[str, Any], mode: str, way: Way) -> None:
    """What a guarded call came to: over stdio a form, if there is one; over HTTP an approval, with a page to open."""
    if way.over_http or mode == "plain":
        where = "http://localhost:" if way.over_http else "code "
        assert found["guarded"].startswith(f"approval_required: {where}")
    else:
        assert "team-sandbox is being deleted." in found["guarded"]
    asked = mode == "modern" if way.over_http else mode != "plain"
    assert len(found["asked"]) == asked
    if asked and way.over_http:
        (page,) = found["asked"]
        assert page.startswith("200 ")
        assert "team-sandbox" in page


@pytest.mark.parametrize(("client", "mode"), [each for each in CLIENTS if each != (NEWEST, "plain")])
def test_the_official_typescript_sdk_says_that_a_token_is_wrong(
    tmp_path: Path, node: str, served: Way, client: str, mode: str
) -> None:
    done = drive(tmp_path, node, client, mode, Way(served.target, f"{served.token}x"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "401" in done.stderr
    assert served.token not in done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_a_session_of_the_official_python_sdk_with_a_token(served: Way, mode: str, version: str) -> None:
    (url,) = served.target
    async with (
        httpx2.AsyncClient(headers=served.headers) as sends,
        Client(streamable_http_client(url, http_client=sends), mode=mode) as client,
    ):
        assert client.protocol_version == version
        listed = await client.call_tool("list_clusters", {})
        assert "shop-prod" in text_of(listed)
        raw = await client.read_resource(listed.structured_content["raw"])
        assert "shop-prod" in raw.model_dump_json()
        waits = await client.call_tool("delete_cluster", {"cluster_id": "shop-prod"})
        assert text_of(waits).startswith("approval_required: http://localhost:")


INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


def inspected(home: Path, node: str, way: Way, *options: str, era: str = "legacy") -> subprocess.CompletedProcess[str]:
    """Run the Inspector's command line against a server."""
    command, *arguments = way.target
    server: dict[str, Any] = {"type": "stdio", "command": command, "args": arguments, "env": FORMS}
    if way.over_http:
        server = {"type": "streamable-http", "url": command, "headers": way.headers}
    entry = {**server, "protocolEra": era, "connectionTimeout": SECONDS * 1000}
    config = home / "servers.json"
    config.write_text(json.dumps({"mcpServers": {"ap": entry}}))
    return run(home, node, INSPECTOR, "--cli", "--config", str(config), "--server", "ap", "--format", "json", *options)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    result: dict[str, Any] = found.get("result", found)
    return result


@pytest.mark.parametrize(
    ("way", "era"), [("stdio", "legacy"), ("stdio", "modern"), ("http", "legacy"), ("http", "modern")], indirect=["way"]
)
def test_the_inspector_lists_and_calls_tools(tmp_path: Path, node: str, way: Way, era: str) -> None:
    listed = inspected(tmp_path, node, way, "--method", "tools/list", era=era)
    assert listed.returncode == 0, listed.stderr
    assert_offered({tool["name"] for tool in result_of(listed)["tools"]}, way)
    given = json.dumps({"cluster_id": "shop-prod", "with_addons": None})
    call = ("--method", "tools/call", "--tool-name", "get_cluster", "--tool-args-json", given)
    called = inspected(tmp_path, node, way, *call, era=era)
    assert called.returncode == 0, called.stderr
    assert result_of(called)["structuredContent"]["name"] == "shop-prod"


def test_the_inspector_sees_that_a_tool_failed(tmp_path: Path, node: str) -> None:
    called = inspected(tmp_path, node, Way(tuple(SERVER)), "--method", "tools/call", "--tool-name", "get_job")
    assert called.returncode == TOOL_ERROR
    assert "job_id: is required" in called.stdout


def test_the_inspector_says_that_a_token_is_wrong(tmp_path: Path, node: str, served: Way) -> None:
    refused = inspected(tmp_path, node, Way(served.target, f"{served.token}x"), "--method", "tools/list")
    assert refused.returncode == SIGN_IN
    assert '"code":"auth_required"' in refused.stderr
