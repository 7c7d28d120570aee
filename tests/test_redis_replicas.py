"""Two servers over HTTP behind one Redis: asked on one, approved in a terminal, carried out by the other, once."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from approving import ALICE
from mcp import Client
from mcp_types import CallToolResult, ResourceLink, TextResourceContents
from pydantic import SecretStr
from redis_server import RedisServer

from ap_mcp.guard.keys import APPROVERS_FILE, sign
from ap_mcp.settings import Settings
from ap_mcp.state.shared import store_from

pytestmark = [pytest.mark.redis, pytest.mark.anyio]

KEY = "a key that all servers of a test share"
TOOL = "delete_cluster"


@dataclass
class Team:
    """Two servers of one team, and what they share."""

    redis: RedisServer
    folder: Path
    places: list[str]
    environment: dict[str, str]

    async def call(self, number: int, tool: str, arguments: dict[str, Any], mode: Any = "auto") -> CallToolResult:
        async with Client(self.places[number], mode=mode) as client:
            result = await client.call_tool(tool, arguments)
            assert isinstance(result, CallToolResult)
            return result

    async def approve_all(self) -> None:
        """Have Alice approve all that waits."""
        store = store_from(Settings(redis_url=SecretStr(self.redis.url)), keeps=False)
        now = await store.time()
        for question in await store.pending(now):
            await store.decide(question.code, sign(ALICE, question, True, await store.time()))

    def run(self, number: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one of our commands beside one of the servers."""
        told = {**self.environment, "AP_MCP_AUDIT_LOG": str(self.log(number))}
        command = [sys.executable, "-m", "ap_mcp", *arguments]
        return subprocess.run(command, env=told, check=False, capture_output=True, text=True)

    def audited(self, number: int) -> list[dict[str, Any]]:
        """What one server has recorded, as `ap-mcp audit` shows it."""
        found: list[dict[str, Any]] = json.loads(self.run(number, "audit", "show", "--json").stdout)
        return found

    def log(self, number: int) -> Path:
        return self.folder / f"replica-{number}" / "audit.jsonl"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    tmp_path = tmp_path_factory.mktemp("team")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path / "redis"))
        config = tmp_path / "config"
        config.mkdir(mode=0o700)
        (config / APPROVERS_FILE).write_text(json.dumps({ALICE.name: ALICE.public_text}))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AP_MCP_", "HW_", "HUAWEI"))}
        simulator = started(stack, ["simulate", "--port", "0"], kept)
        exports = dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in read(simulator, 8))
        shared = {
            **kept,
            **exports,
            "AP_MCP_REDIS_URL": redis.url,
            "AP_MCP_STATE_KEY": KEY,
            "AP_MCP_APPROVER_DIR": str(config),
            "AP_MCP_APPROVAL_WAIT": "0",
            "HOME": str(tmp_path),
        }
        team = Team(redis, tmp_path, [], shared)
        for number in range(2):
            own = {**shared, "AP_MCP_AUDIT_LOG": str(team.log(number))}
            [place] = read(started(stack, ["serve", "--http", "127.0.0.1:0"], own), 1)
            team.places.append(place.strip())
        yield team


def started(stack: ExitStack, arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start one of our commands; it ends with the test."""
    command = [sys.executable, "-m", "ap_mcp", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    stack.callback(process.wait, 20)
    stack.callback(process.kill)
    assert process.stdout
    stack.callback(process.stdout.close)
    return process


def read(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline() for _ in range(count)]


def said(result: CallToolResult) -> str:
    return "".join(getattr(each, "text", "") for each in result.content)


@pytest.mark.parametrize(("mode", "cluster"), [("auto", "team-sandbox"), ("legacy", "search-dev")])
async def test_a_question_of_one_server_is_approved_and_carried_out_by_the_other_once(
    team: Team, mode: str, cluster: str
) -> None:
    call = {"cluster_id": cluster}
    asked = await team.call(0, TOOL, call, mode)
    assert "approval_required" in said(asked), said(asked)
    assert "approval_required" in said(await team.call(1, TOOL, call, mode))
    await team.approve_all()
    done = await team.call(1, TOOL, call, mode)
    assert not done.is_error, said(done)
    assert "alice" in said(done)
    for number in range(2):
        assert (await team.call(number, TOOL, call, mode)).is_error
    made = [each for number in range(2) for each in team.audited(number) if each["target"] == cluster]
    sent = [each for each in made if each["outcome"]["result"] == "succeeded"]
    assert [(each["tool"], each["approver"]) for each in sent] == [(TOOL, "alice")]


async def test_a_whole_answer_of_one_server_is_read_from_the_other(team: Team) -> None:
    result = await team.call(0, "list_clusters", {})
    [link] = [each for each in result.content if isinstance(each, ResourceLink)]
    async with Client(team.places[1]) as client:
        [contents] = (await client.read_resource(str(link.uri))).contents
        assert isinstance(contents, TextResourceContents)
        assert "shop-prod" in contents.text


async def test_while_redis_is_gone_guarded_calls_are_refused_and_afterwards_people_are_asked_again(team: Team) -> None:
    call = {"cluster_id": "checkout-staging"}
    assert "approval_required" in said(await team.call(0, TOOL, call))
    await team.approve_all()
    team.redis.kill()
    for number in range(2):
        refused = await team.call(number, TOOL, call)
        assert refused.is_error
        assert "Redis at " in said(refused)
        assert not (await team.call(number, "list_clusters", {})).is_error
    team.redis.start()
    assert "approval_required" in said(await team.call(1, TOOL, call))
    made = [each for number in range(2) for each in team.audited(number) if each["target"] == "checkout-staging"]
    assert {each["outcome"]["result"] for each in made} <= {"refused"}


async def test_a_log_that_is_lost_as_a_whole_is_reported(team: Team) -> None:
    assert team.run(0, "audit", "verify").returncode == 0
    for each in team.log(0).parent.glob("audit*"):
        each.unlink()
    done = team.run(0, "audit", "verify")
    assert done.returncode == 1
    assert "another log stood here" in done.stdout
