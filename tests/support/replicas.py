"""A team's servers over HTTP: programs of their own, which share a real Redis and a cloud that tests can watch."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from approving import ALICE
from mcp_types import CallToolResult
from pydantic import SecretStr
from redis_server import RedisServer, free_port, wait_for
from simulation import fresh_world, simulate
from starlette.types import ASGIApp, Receive, Scope, Send

from ap_mcp.guard.audit import AuditLog, log_at
from ap_mcp.guard.keys import APPROVERS_FILE, sign
from ap_mcp.guard.stores import ApprovalStore
from ap_mcp.settings import Settings
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.faults import Fault, Faults
from ap_mcp.simulator.serving import exports, running
from ap_mcp.state.shared import store_from

KEY = "a key that all servers of a test share"
REPLICAS = 2
PATIENCE = 80.0
PROGRAM = [sys.executable, "-m", "ap_mcp"]


class Watched(Faults):
    """Trouble that a test makes; it remembers what the cloud was asked for, in order, as soon as that arrives.

    Attributes:
        arrived: the operations.
        unanswered: how many requests the cloud has not answered yet, those of servers that ended included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[str] = []
        self.unanswered = 0

    def take(self, operation: str) -> tuple[Fault, ...]:
        """Note a request."""
        self.arrived.append(operation)
        return super().take(operation)

    def counting(self, cloud: ASGIApp) -> ASGIApp:
        """Return the cloud, with what it has not answered counted."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            asked = scope["type"] == "http"
            self.unanswered += asked
            try:
                await cloud(scope, receive, send)
            finally:
                self.unanswered -= asked

        return answer


@dataclass
class Team:
    """Servers of one team, and what they share.

    Attributes:
        redis: what is shared in it is lost with it.
        simulator: the cloud that all of them call.
        trouble: what happens to their requests there.
        folder: for the files of each.
        environment: the settings of all.
    """

    redis: RedisServer
    simulator: Simulator
    trouble: Watched
    folder: Path
    environment: dict[str, str]
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(REPLICAS)])
    _running: dict[int, "subprocess.Popen[str]"] = field(default_factory=dict)

    def start(self, number: int, **settings: str) -> None:
        """Start one server, with settings of its own, and wait until it answers."""
        command = [*PROGRAM, "serve", "--http", f"127.0.0.1:{self.ports[number]}"]
        environment = {**self._own(number), **settings}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self._running[number] = process
        assert process.stdout
        assert process.stdout.readline().strip() == self.place(number)

    def place(self, number: int) -> str:
        """Where clients of one server find it."""
        return f"http://127.0.0.1:{self.ports[number]}/mcp"

    def kill(self, number: int) -> None:
        """End a server at once."""
        self._end(number, signal.SIGKILL)

    @contextmanager
    def hanging(self, number: int) -> Iterator[None]:
        """Have a server do nothing meanwhile."""
        process = self._running[number]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def stop(self, number: int) -> int:
        """Ask a server to end; returns its exit code."""
        return self._end(number, signal.SIGTERM)

    def run(self, number: int, *arguments: str, typed: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run one of our commands beside one of the servers, with settings of its own."""
        how: dict[str, Any] = {"env": {**self._own(number), **settings}, "input": typed, "timeout": PATIENCE}
        return subprocess.run([*PROGRAM, *arguments], check=False, capture_output=True, text=True, **how)

    def log(self, number: int) -> AuditLog:
        """What one server has recorded."""
        return log_at(self.folder / f"replica-{number}" / "audit.jsonl")

    def audited(self, cluster: str) -> list[dict[str, Any]]:
        """What all servers have recorded about a cluster, as `ap-mcp audit` shows it."""
        shown = [json.loads(self.run(each, "audit", "show", "--json").stdout) for each in range(REPLICAS)]
        return [call for log in shown for call in log if call["target"] == cluster]

    def renew(self) -> None:
        """Bring back what was deleted, and forget what was sent; servers that ended run again.

        What servers sent before they were killed is carried out first, or it would happen to what is brought back.
        """
        wait_for(lambda: not self.trouble.unanswered)
        self.simulator.state.world = fresh_world()
        self.trouble.clear()
        self.trouble.arrived.clear()
        for number in set(range(REPLICAS)) - set(self._running):
            self.start(number)

    def sent(self, operation: str) -> int:
        """How often the cloud was asked for something."""
        return self.trouble.arrived.count(operation)

    async def approve_all(self) -> None:
        """Have Alice approve all that waits, in a terminal."""
        store = self._store()
        for question in await store.pending(await store.time()):
            await store.decide(question.code, sign(ALICE, question, True, await store.time()))

    async def withdraw_all(self) -> None:
        """Have nothing wait any more."""
        store = self._store()
        for question in await store.pending(await store.time()):
            await store.withdraw(question.code, ALICE.name, await store.time())

    def close(self) -> None:
        """End all servers."""
        for number in list(self._running):
            self.kill(number)

    def _store(self) -> ApprovalStore:
        return store_from(Settings(redis_url=SecretStr(self.redis.url)), keeps=False)

    def _own(self, number: int) -> dict[str, str]:
        return {**self.environment, "AP_MCP_AUDIT_LOG": str(self.log(number).path)}

    def _end(self, number: int, how: signal.Signals) -> int:
        process = self._running.pop(number)
        process.send_signal(how)
        code = process.wait(PATIENCE)
        assert process.stdout
        process.stdout.close()
        return code


@contextmanager
def team_in(folder: Path, approver: Any = ALICE.public_text, **settings: str) -> Iterator[Team]:
    """Give a team whose servers run.

    Args:
        folder: for all files.
        approver: what the operator's list has of Alice.
        settings: of all servers.
    """
    config = folder / "config"
    config.mkdir(mode=0o700)
    (config / APPROVERS_FILE).write_text(json.dumps({ALICE.name: approver}))
    (config / APPROVERS_FILE).chmod(0o600)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AP_MCP_", "HW_", "HUAWEI"))}
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        trouble = Watched()
        simulator = simulate(fresh_world(), faults=trouble)
        cloud = exports(stack.enter_context(running(trouble.counting(simulator))))
        shared = {
            **kept,
            **cloud,
            "AP_MCP_REDIS_URL": redis.url,
            "AP_MCP_STATE_KEY": KEY,
            "AP_MCP_APPROVER_DIR": str(config),
            "HOME": str(folder),
            **settings,
        }
        team = Team(redis, simulator, trouble, folder, shared)
        stack.callback(team.close)
        for number in range(REPLICAS):
            team.start(number)
        yield team


def said(result: CallToolResult) -> str:
    return "".join(getattr(each, "text", "") for each in result.content)
