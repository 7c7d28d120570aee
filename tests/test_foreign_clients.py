"""Clients that nobody here wrote, over real pipes: releases of the official TypeScript SDK, and the MCP Inspector.

They come from npm, in exact versions, into `tests/foreign/node_modules`; `make test` runs them by themselves. The
official Python SDK is the client of all other tests, over real pipes in `test_stdio.py`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import from_npm
import pytest
from from_npm import FOREIGN
from mcp.client.stdio import get_default_environment

from ap_mcp.settings import Settings
from ap_mcp.specs import load_catalog

pytestmark = pytest.mark.foreign

SECONDS = 120
SERVER = [sys.executable, "-m", "ap_mcp", "serve", "--simulate"]
NEWEST = "@modelcontextprotocol/client"
FORMS = {"AP_MCP_FORMS": "always"} if "forms" in Settings.model_fields else {}
"""These clients show the whole form, which no server can know."""
CLIENTS = [("sdk-1.10", "plain"), ("sdk-1", "forms"), (NEWEST, "plain"), (NEWEST, "modern")]
TOOL_ERROR = 5
"""How the Inspector ends when a tool says that it failed."""


@pytest.fixture(scope="session")
def node() -> str:
    """The Node that runs the clients, which are installed by then."""
    return from_npm.node()


def run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = get_default_environment() | {"HOME": str(home), "NO_COLOR": "1"} | FORMS
    return subprocess.run(
        command, cwd=FOREIGN, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize(("client", "mode"), CLIENTS)
def test_a_session_of_the_official_typescript_sdk(tmp_path: Path, node: str, client: str, mode: str) -> None:
    done = run(tmp_path, node, "drive.mjs", client, mode, *SERVER)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["server"]["name"] == "ap-mcp"
    assert set(load_catalog()) <= set(found["tools"])
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
    if mode == "plain":
        assert found["asked"] == []
        assert found["guarded"].startswith("approval_required: code ")
    else:
        assert len(found["asked"]) == 1
        assert "team-sandbox is being deleted." in found["guarded"]
    shares = [each["progress"] for each in found["waited"]["progress"]]
    assert shares
    assert shares == sorted(set(shares))
    assert {each["total"] for each in found["waited"]["progress"]} == {100}
    assert not found["waited"]["error"]
    assert "Traceback" not in done.stderr


INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


def inspected(home: Path, node: str, *options: str, era: str = "legacy") -> subprocess.CompletedProcess[str]:
    """Run the Inspector's command line against a server."""
    command, *arguments = SERVER
    timeout = {"connectionTimeout": SECONDS * 1000}
    entry = {"type": "stdio", "command": command, "args": arguments, "env": FORMS, "protocolEra": era, **timeout}
    config = home / "servers.json"
    config.write_text(json.dumps({"mcpServers": {"ap": entry}}))
    return run(home, node, INSPECTOR, "--cli", "--config", str(config), "--server", "ap", "--format", "json", *options)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    result: dict[str, Any] = found.get("result", found)
    return result


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_and_calls_tools(tmp_path: Path, node: str, era: str) -> None:
    listed = inspected(tmp_path, node, "--method", "tools/list", era=era)
    assert listed.returncode == 0, listed.stderr
    assert set(load_catalog()) <= {tool["name"] for tool in result_of(listed)["tools"]}
    arguments = json.dumps({"cluster_id": "shop-prod", "with_addons": None})
    called = inspected(
        tmp_path, node, "--method", "tools/call", "--tool-name", "get_cluster", "--tool-args-json", arguments, era=era
    )
    assert called.returncode == 0, called.stderr
    assert result_of(called)["structuredContent"]["name"] == "shop-prod"


def test_the_inspector_sees_that_a_tool_failed(tmp_path: Path, node: str) -> None:
    called = inspected(tmp_path, node, "--method", "tools/call", "--tool-name", "get_job")
    assert called.returncode == TOOL_ERROR
    assert "job_id: is required" in called.stdout
