"""One consent lets one call through, however many try at once, and the record says so whatever ends in the middle."""

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from approving import ALICE
from consenting import STATE_KEY, Prepared, Scene, Scenes, answer_to, leg, question_of, token_in
from forking import python
from guarded import Person
from mcp.client.stdio import get_default_environment
from starlette.types import Receive, Scope, Send

from ap_mcp.guard.audit import AuditLog, log_at
from ap_mcp.guard.keys import sign
from ap_mcp.operation_tools import TOKEN
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.serving import exports, running

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio

RIVALS = 4
SECONDS = 60


class Stuck(httpx.AsyncBaseTransport):
    """Leads into a simulator, but what is more than a read never arrives there."""

    def __init__(self, app: Simulator) -> None:
        self.inner = httpx.ASGITransport(app)
        self.sent = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            self.sent.set()
            await anyio.sleep_forever()
        return await self.inner.handle_async_request(request)


def audit_of(scene: Scene) -> AuditLog:
    return log_at(scene.folder / "state" / "audit.jsonl")


async def all_at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls at the same time; their results."""
    results: list[Any] = []

    async def run(call: Callable[[], Any]) -> None:
        results.append(await call())

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(run, call)
    return results


def one_went_through(scene: Scene, results: list[Any]) -> None:
    assert scene.changes == [scene.tool]
    assert [getattr(each, "is_error", True) for each in results].count(False) == 1
    scene.sent.append(scene.tool)
    assert [call.finished is not None for call in audit_of(scene).calls()] == [True]
    assert audit_of(scene).verify() == []


# Rivals


@pytest.mark.parametrize("tool", ["delete_cluster", "update_addon", "upload_chart"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("channel", ["token", "approval"])
async def test_of_calls_at_the_same_time_with_one_consent_one_goes_out(
    scene_for: Scenes, tool: str, mode: str, channel: str
) -> None:
    scene = scene_for(tool, mode)
    async with scene.connect(confirm=channel) as first, scene.connect(confirm=channel) as second:
        given: dict[str, Any] = {}
        if channel == "token":
            given = {TOKEN: await scene.token(first)}
        else:
            scene.decide(await scene.waits(first))
        calls = [partial(agent.run, tool, {**scene.arguments, **given}) for agent in [first, second] * (RIVALS // 2)]
        one_went_through(scene, await all_at_once(*calls))


@pytest.mark.parametrize("tool", ["delete_cluster", "update_addon", "upload_chart"])
async def test_of_answers_at_the_same_time_to_one_question_one_goes_out(scene_for: Scenes, tool: str) -> None:
    scene = scene_for(tool)
    async with scene.connect(Person()) as first, scene.connect(Person()) as second:
        answer = answer_to(await question_of(first, scene))
        calls = [partial(leg, agent, scene, **answer) for agent in [first, second] * (RIVALS // 2)]
        one_went_through(scene, await all_at_once(*calls))


@pytest.mark.parametrize("channel", ["token", "approval"])
def test_of_servers_in_threads_of_their_own_one_uses_the_consent(scene_for: Scenes, channel: str) -> None:
    scene = scene_for("delete_cluster")
    barrier = threading.Barrier(RIVALS)
    results: list[Any] = []

    async def consent() -> dict[str, Any]:
        async with scene.connect(confirm=channel) as agent:
            if channel == "token":
                return {TOKEN: await scene.token(agent)}
            scene.decide(await scene.waits(agent))
            return {}

    async def race(given: dict[str, Any]) -> None:
        async with scene.connect(confirm=channel) as agent:
            await agent.run("get_cluster", {"cluster_id": scene.arguments["cluster_id"]})
            barrier.wait(SECONDS)
            results.append(await agent.run(scene.tool, {**scene.arguments, **given}))

    given = anyio.run(consent)
    threads = [threading.Thread(target=anyio.run, args=(race, given)) for _ in range(RIVALS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(results) == RIVALS
    one_went_through(scene, results)


# Ended in the middle


@contextmanager
def server(scene: Scene, base_url: str) -> Iterator[subprocess.Popen[str]]:
    """Run a real server against a simulator of this process, as a client of 2025 would start it."""
    variables = {
        "AP_MCP_CONFIRM": "token",
        "AP_MCP_STATE_KEY": STATE_KEY,
        "AP_MCP_AUDIT_LOG": str(scene.folder / "state" / "audit.jsonl"),
        "AP_MCP_APPROVALS_DB": str(scene.folder / "state" / "approvals.db"),
        "AP_MCP_APPROVER_DIR": str(scene.folder / "config"),
        "HOME": str(scene.folder),
    }
    environment = {**get_default_environment(), **exports(base_url), **variables}
    command = [python(), "-m", "ap_mcp", "serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd=scene.folder, text=True) as process:
        try:
            info = {"name": "a test", "version": "1"}
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
            say(process, id=1, method="initialize", params=params)
            hear(process, 1)
            say(process, method="notifications/initialized")
            yield process
        finally:
            process.kill()


def say(process: "subprocess.Popen[str]", **message: Any) -> None:
    assert process.stdin
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]", number: int) -> dict[str, Any]:
    assert process.stdout
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        if message.get("id") == number:
            return message
    raise AssertionError("the server ended")


def call(process: "subprocess.Popen[str]", number: int, scene: Scene, **more: Any) -> None:
    say(process, id=number, method="tools/call", params={"name": scene.tool, "arguments": {**scene.arguments, **more}})


def answered(process: "subprocess.Popen[str]", number: int) -> str:
    result = hear(process, number)["result"]
    assert result["isError"]
    return str(result["content"][0]["text"])


@pytest.mark.parametrize("channel", ["token", "approval"])
def test_a_server_that_is_killed_in_the_middle_leaves_a_line_that_says_so_and_the_consent_stays_spent(
    scene_for: Scenes, channel: str
) -> None:
    scene = scene_for("delete_cluster", "legacy")
    arrived = threading.Event()
    simulator = scene.app

    async def swallows(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] != "GET":
            arrived.set()
            await receive()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await simulator(scope, receive, send)

    with running(swallows) as base_url:
        with server(scene, base_url) as process:
            call(process, 2, scene)
            said = answered(process, 2)
            given = {TOKEN: token_in(said)} if channel == "token" else {}
            if channel == "approval":
                asked = scene.store.find(said.partition("Code: ")[2].partition(". ")[0])
                assert asked
                signed = sign(ALICE, asked.question, True, asked.question.created)
                scene.store.decide(asked.question.code, signed)
            call(process, 3, scene, **given)
            assert arrived.wait(SECONDS)
            process.send_signal(signal.SIGKILL)
            process.wait(SECONDS)
        [entry] = audit_of(scene).calls()
        assert (entry.decided["tool"], entry.decided["channel"], entry.finished) == (scene.tool, channel, None)
        [finding] = audit_of(scene).verify()
        assert finding.kind == "unfinished"
        assert "outcome unknown" in finding.message
        arrived.clear()
        with server(scene, base_url) as process:
            call(process, 2, scene, **given)
            assert ("used before" if channel == "token" else "approval_required") in answered(process, 2)
        assert not arrived.is_set()
    assert len(audit_of(scene).calls()) == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_is_cancelled_under_way_is_recorded_as_of_unknown_outcome(
    scene_for: Scenes, mode: str
) -> None:
    scene = scene_for("delete_cluster", mode)
    wire = Stuck(scene.app)
    async with scene.connect(confirm="token", transport=wire) as agent:
        token = await scene.token(agent)

        async def gives_up(scope: anyio.CancelScope) -> None:
            await wire.sent.wait()
            scope.cancel()

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(gives_up, group.cancel_scope)
                await agent.client.call_tool(scene.tool, {**scene.arguments, TOKEN: token})
        assert "used before" in await scene.refused(agent, confirmation_token=token)
    [entry] = audit_of(scene).calls()
    assert entry.finished
    assert entry.finished["result"] == "unknown"
    assert "check before you repeat it" in entry.finished["detail"]
    assert audit_of(scene).verify() == []


@pytest.mark.parametrize(
    ("fault", "value", "result"),
    [
        *(("lost", None, "unknown"), ("cut", None, "unknown"), ("cut_json", None, "unknown")),
        *(("status", 503, "unknown"), ("html", 502, "unknown"), ("status", 500, "unknown")),
        *(("status", 409, "failed"), ("html", 403, "failed")),
    ],
)
async def test_what_became_of_a_call_is_recorded_as_far_as_it_is_known(
    scene_for: Scenes, fault: Any, value: int | None, result: str
) -> None:
    scene = scene_for("rollback_addon")
    scene.app.state.faults.inject(fault, scene.tool, value=value)
    async with scene.connect(Person()) as agent:
        assert (await agent.run(scene.tool, scene.arguments)).is_error
    scene.sent.append(scene.tool)
    [entry] = audit_of(scene).calls()
    assert entry.finished
    assert entry.finished["result"] == result


# Nothing without its record


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Fills the disk for whatever the audit log writes."""
    return lambda: monkeypatch.setattr("ap_mcp.guard.audit._write_all", _no_space)


async def refuses_all(scene: Scene, prepared: Prepared, said: str, **settings: Any) -> None:
    async with scene.connect(Person(), **settings) as agent:
        for tool, arguments in prepared.calls.items():
            refusal = await agent.fail(tool, **arguments)
            assert said in refusal, tool
            assert "Nothing was sent" in refusal


async def test_a_full_disk_lets_no_guarded_call_out(
    scene_for: Scenes, prepared: Prepared, full_disk: Callable[[], None]
) -> None:
    scene = scene_for("delete_cluster")
    full_disk()
    await refuses_all(scene, prepared, "No space left on device")


async def test_a_log_that_cannot_be_written_lets_no_guarded_call_out(scene_for: Scenes, prepared: Prepared) -> None:
    scene = scene_for("delete_cluster")
    in_the_way = scene.folder / "file"
    in_the_way.touch()
    await refuses_all(scene, prepared, "cannot be written", audit_log=in_the_way / "audit.jsonl")


async def test_a_folder_without_write_permission_lets_no_guarded_call_out(scene_for: Scenes) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    scene = scene_for("delete_cluster")
    folder = scene.folder / "closed"
    folder.mkdir(mode=0o500)
    async with scene.connect(Person(), audit_log=folder / "audit.jsonl") as agent:
        assert "cannot be written" in await scene.refused(agent)


async def test_a_rule_that_lets_a_call_go_still_wants_it_recorded(
    scene_for: Scenes, full_disk: Callable[[], None]
) -> None:
    scene = scene_for("delete_cluster")
    path = scene.folder / "policy.toml"
    path.write_text('[[rules]]\ndecision = "allow"\nclusters = ["team-*"]\neffects = ["destroy"]\n')
    full_disk()
    async with scene.connect(policy_file=path) as agent:
        assert "Nothing was sent" in await agent.fail(scene.tool, **scene.arguments)


async def test_a_call_whose_outcome_cannot_be_recorded_says_that_it_was_made(
    scene_for: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_for("delete_cluster")
    original = AuditLog.decided

    def then_full(log: AuditLog, entry: Any) -> int:
        number = original(log, entry)
        monkeypatch.setattr("ap_mcp.guard.audit._write_all", _no_space)
        return number

    monkeypatch.setattr(AuditLog, "decided", then_full)
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
        result = await agent.call(scene.tool, **scene.arguments, **{TOKEN: token})
    assert any("The call was made (succeeded)" in warning for warning in result["warnings"])
    scene.sent.append(scene.tool)
    monkeypatch.undo()
    [entry] = audit_of(scene).calls()
    assert entry.finished is None


def _no_space(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
