"""A client that stops reading: what waits for it is bounded, nothing is lost, and the server ends when it leaves."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
from forking import python
from mcp.client.stdio import get_default_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and pipes are measured as Linux has them")

REQUESTS = 3000
MOST_MIB = 60
"""By how much the server may grow; without a bound it takes 800."""
SECONDS = 60
LEAVES_IN = 3.0
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}}
READING = {"name": "list_clusters", "arguments": {}}


class Server:
    """A server process, and what is written to it by a thread that may have to wait."""

    def __init__(self, process: Popen[bytes]) -> None:
        self.process = process

    def send(self, *messages: dict[str, Any]) -> None:
        assert self.process.stdin
        for message in messages:
            self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        return message

    def mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        return int(kib) / 1024

    def flood(self, method: str, params: dict[str, Any], count: int) -> None:
        """Send requests without reading an answer, until the server takes no more for a second."""
        assert self.process.stdin
        pipe = self.process.stdin.fileno()
        os.set_blocking(pipe, False)
        requests = ({"jsonrpc": "2.0", "id": at, "method": method, "params": params} for at in range(2, 2 + count))
        due = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
        taken = monotonic()
        while due and monotonic() - taken < 1:
            try:
                due, taken = due[os.write(pipe, due) :], monotonic()
            except BlockingIOError:
                sleep(0.02)
        assert due, "the server took everything"


@contextmanager
def started(tmp_path: Path, by: str | None = None) -> Iterator[Server]:
    command = [by or python(), "-m", "ap_mcp", "serve", "--simulate"]
    environment = get_default_environment() | {"HOME": str(tmp_path)}
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment) as process:
        try:
            server = Server(process)
            server.send({"id": 0, "method": "initialize", "params": HELLO})
            assert server.read()["result"]["serverInfo"]["name"] == "ap-mcp"
            server.send({"method": "notifications/initialized"}, {"id": 1, "method": "tools/list"})
            assert server.read()["id"] == 1
            yield server
        finally:
            process.kill()


@pytest.mark.serial
@pytest.mark.parametrize(("method", "params"), [("tools/list", {}), ("tools/call", READING)])
def test_a_client_that_does_not_read_cannot_make_the_server_grow_or_stay(
    tmp_path: Path, method: str, params: dict[str, Any]
) -> None:
    with started(tmp_path, by=sys.executable) as server:
        server.send({"id": "first", "method": method, "params": params})
        assert "result" in server.read()
        before = server.mib()
        server.flood(method, params, REQUESTS)
        assert server.mib() - before < MOST_MIB
        assert server.process.stdin
        left = monotonic()
        server.process.stdin.close()
        server.process.wait(SECONDS)
        assert monotonic() - left < LEAVES_IN


def test_a_client_that_reads_again_gets_every_answer(tmp_path: Path) -> None:
    wanted = 300
    with started(tmp_path) as server:
        params = {"_meta": {"filler": "x" * 1000}}
        requests = [{"id": f"f{at}", "method": "tools/list", "params": params} for at in range(wanted)]
        writer = Thread(target=server.send, args=requests, daemon=True)
        writer.start()
        writer.join(1)
        assert writer.is_alive(), "the server took every request before it could answer"
        answers = [server.read()["id"] for _ in range(wanted)]
        assert sorted(answers) == sorted(f"f{at}" for at in range(wanted))
        server.send({"id": "last", "method": "ping"})
        assert server.read() == {"jsonrpc": "2.0", "id": "last", "result": {}}
        assert server.process.stdin
        server.process.stdin.close()
        assert server.process.wait(LEAVES_IN) == 0


def test_what_is_read_before_the_end_of_input_is_still_answered(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        server.send(*({"id": at, "method": "ping"} for at in range(2, 12)))
        assert [server.read()["id"] for _ in range(10)] == list(range(2, 12))
        assert server.process.stdin
        server.process.stdin.close()
        assert server.process.wait(LEAVES_IN) == 0


def test_requests_that_are_cancelled_make_room_for_others(tmp_path: Path) -> None:
    waiting = {"name": "wait_for", "arguments": {"kind": "cluster", "id": "ml-batch", "wait_s": 600}}
    with started(tmp_path) as server:
        for at in range(80):
            server.send({"id": f"w{at}", "method": "tools/call", "params": waiting})
            server.send({"method": "notifications/cancelled", "params": {"requestId": f"w{at}"}})
        server.send({"id": "last", "method": "ping"})
        while server.read().get("id") != "last":
            pass
