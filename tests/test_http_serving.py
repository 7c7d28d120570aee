"""Listening and ending: where the server is, and what becomes of calls when it is asked to end."""

import json
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
import uvicorn
from agent import Agent, autopilot_on
from click.testing import CliRunner
from consenting import ERAS, STATE_KEY, Prepared, Scene, scene_of
from forking import python
from mcp import Client
from over_http import request
from simulation import simulate
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ap_mcp.cli import main
from ap_mcp.errors import SettingsError
from ap_mcp.server import Autopilot
from ap_mcp.web.app import http_app
from ap_mcp.web.options import PATH, HttpOptions
from ap_mcp.web.serving import Prompt, listen, serve_http, url_of

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio

TOOL = "delete_cluster"
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
SECONDS = 30
A_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MANY = 20
A_WHILE = 0.4
"""Longer than a server takes to notice that it is to end: what it would cut off is cut off by then."""


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """The way to the simulator, on which requests of one method are held up."""

    inner: httpx.AsyncBaseTransport
    method: str
    on_it: anyio.Event = field(default_factory=anyio.Event)
    let_go: anyio.Event = field(default_factory=anyio.Event)
    given_up: anyio.Event = field(default_factory=anyio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == self.method:
            self.on_it.set()
            try:
                await self.let_go.wait()
            except anyio.get_cancelled_exc_class():
                self.given_up.set()
                raise
        return await self.inner.handle_async_request(request)


@asynccontextmanager
async def serving(
    autopilot: Autopilot, options: HttpOptions | None = None, routes: Sequence[Route] = ()
) -> AsyncIterator[str]:
    """Serve on a free port; ends when the process is asked to, or the block is left."""
    sockets, chosen = listen("127.0.0.1:0"), options or HttpOptions()
    up = anyio.Event()
    async with anyio.create_task_group() as group:
        app = http_app(autopilot, chosen, routes=routes)
        group.start_soon(serve_http, autopilot, app, sockets, up.set, chosen.connections)
        await up.wait()
        place = url_of(sockets[0])
        yield place
        if not autopilot.draining:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(params=ERAS)
def scene(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    found = scene_of(prepared, TOOL, request.param, tmp_path)
    yield found
    found.check()


def remotely(scene: Scene, **more: Any) -> Autopilot:
    """What runs tools for callers over HTTP, with the clock of a scene for consents."""
    state = scene.folder / "state"
    autopilot = autopilot_on(
        scene.app,
        unasked=False,
        remote=True,
        confirm="approval",
        state_key=STATE_KEY,
        files_dir=scene.folder / "files",
        chart_roots=(),
        audit_log=state / "audit.jsonl",
        approvals_db=state / "approvals.db",
        approver_dir=scene.folder / "config",
        **more,
    )
    autopilot.confirmer = replace(autopilot.confirmer, now=scene.clock)
    return autopilot


def behind(scene: Scene, wire: Wire, approval_wait: int = 0) -> Autopilot:
    return remotely(scene, transport=wire, approval_wait=approval_wait)


async def test_a_guarded_call_on_its_way_when_the_process_is_asked_to_end_is_finished(scene: Scene) -> None:
    wire = Wire(httpx.ASGITransport(scene.app), "DELETE")
    autopilot = behind(scene, wire)
    with anyio.fail_after(SECONDS):
        async with serving(autopilot) as place, Client(f"{place}{PATH}", mode=scene.mode) as client:
            agent = Agent(client, scene.app, autopilot)
            await client.list_tools()  # or the client would ask for them to check the answer, at a server that ends
            scene.decide(await scene.waits(agent))
            async with anyio.create_task_group() as calls:
                calls.start_soon(scene.done, agent)
                await wire.on_it.wait()
                os.kill(os.getpid(), signal.SIGTERM)
                await anyio.sleep(A_WHILE)
                assert autopilot.draining
                with pytest.raises(OSError, match=r"refused|failed"):
                    await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2]))
                wire.let_go.set()
    assert TOOL in agent.done
    assert autopilot.audit.verify() == []
    assert [call.finished["result"] for call in autopilot.audit.calls() if call.finished] == ["succeeded"]


async def test_a_call_that_is_held_for_a_person_answers_before_the_server_ends(scene: Scene) -> None:
    autopilot = behind(scene, Wire(httpx.ASGITransport(scene.app), "NONE"), approval_wait=50)
    with anyio.fail_after(10):
        async with serving(autopilot) as place, Client(f"{place}{PATH}", mode=scene.mode) as client:
            agent = Agent(client, scene.app, autopilot)
            await client.list_tools()
            async with anyio.create_task_group() as calls:
                calls.start_soon(scene.waits, agent)
                while not len(autopilot.holds):  # noqa: ASYNC110 - a hold is nothing that is waited for
                    await anyio.sleep(0.01)
                os.kill(os.getpid(), signal.SIGTERM)
    assert agent.said.startswith("approval_required: ")


async def test_what_only_listens_or_has_not_said_what_it_wants_does_not_keep_a_server_from_ending(
    scene: Scene,
) -> None:
    autopilot = behind(scene, Wire(httpx.ASGITransport(scene.app), "NONE"))
    with anyio.fail_after(5):
        async with serving(autopilot) as place:
            port = int(place.rpartition(":")[2])
            idle = await anyio.connect_tcp("127.0.0.1", port)
            begun = await anyio.connect_tcp("127.0.0.1", port)
            await begun.send(b"POST /mcp HTTP/1.1\r\nHost: local")
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{place}/healthz")).status_code == 200
    for each in (idle, begun):
        with suppress(anyio.EndOfStream):
            await each.receive()
        await each.aclose()


@pytest.mark.parametrize("asks", [True, False])
async def test_a_connection_that_waited_while_the_loop_was_busy_does_not_keep_a_server_from_ending(
    tmp_path: Path, *, asks: bool
) -> None:
    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    with anyio.fail_after(5):
        async with serving(autopilot) as place:
            waits = socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), timeout=1)
            waits.sendall(A_REQUEST if asks else b"")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(A_WHILE)  # noqa: ASYNC251 - nothing else goes on: neither is it accepted nor the end begun
    answer = read_to_end(waits)
    if asks:
        assert_last_answer(answer)
    else:
        assert not answer
    assert autopilot.draining


async def test_what_is_sent_before_a_server_stops_listening_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer that has just connected sends its call to nobody else."""
    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    waiting: list[socket.socket] = []
    runs = uvicorn.Server.main_loop

    async def ends(server: uvicorn.Server) -> None:
        await runs(server)
        for _ in range(MANY):
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            waiting[-1].sendall(A_REQUEST)

    monkeypatch.setattr(uvicorn.Server, "main_loop", ends)
    with anyio.fail_after(SECONDS):
        async with serving(autopilot) as place:
            port = int(place.rpartition(":")[2])
    answers = [read_to_end(each) for each in waiting]
    assert len(answers) == MANY
    for answer in answers:
        assert_last_answer(answer)


@pytest.mark.parametrize("asked_before", [False, True])
async def test_who_is_connected_when_a_server_begins_to_end_can_still_ask(
    tmp_path: Path, *, asked_before: bool
) -> None:
    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    with anyio.fail_after(SECONDS):
        async with serving(autopilot) as place:
            port = int(place.rpartition(":")[2])
            client = await anyio.connect_tcp("127.0.0.1", port)
            if asked_before:
                await client.send(A_REQUEST)
                assert b"connection: close" not in await client.receive()
            else:  # another one that is answered was taken later
                async with httpx.AsyncClient() as http:
                    await http.get(f"{place}/healthz")
            os.kill(os.getpid(), signal.SIGTERM)
            with suppress(OSError):
                while True:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
            await client.send(A_REQUEST)
            answer = b"".join([part async for part in client])
            await client.aclose()
    assert_last_answer(answer)


def read_to_end(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(partial(connection.recv, 1000), b""))


def assert_last_answer(answer: bytes) -> None:
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_signal_ends_a_server_whatever_it_interrupts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    inside: list[bool] = []

    def leave() -> None:
        inside.append(is_interrupted)
        Autopilot.leave(autopilot)

    monkeypatch.setattr(autopilot, "leave", leave)
    with anyio.fail_after(5):
        async with serving(autopilot):
            is_interrupted = True
            os.kill(os.getpid(), signal.SIGTERM)
            is_interrupted = False
    assert inside
    assert not any(inside)


@pytest.mark.parametrize("asked", [(), (b"GET /he",), (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /he", b"a")])
async def test_a_client_that_does_not_say_what_it_wants_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(Prompt, "head_seconds", 0.05)
    with anyio.fail_after(5):
        async with (
            serving(autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)) as place,
            await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2])) as stream,
        ):
            for piece in asked:
                await stream.send(piece)
                if b"healthz" in piece:
                    assert (await stream.receive()).startswith(b"HTTP/1.1 200")
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_the_rest_of_a_request_that_was_refused_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prompt, "head_seconds", 0.2)
    with anyio.fail_after(5):
        async with (
            serving(autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)) as place,
            await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2])) as stream,
        ):
            await stream.send(b"POST /mcp HTTP/1.1\r\nHost: evil\r\nContent-Length: 1000\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 421")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await dripping(stream)


async def dripping(stream: anyio.abc.SocketStream) -> None:
    while True:
        await stream.send(b"x")
        with anyio.move_on_after(0.02):
            await stream.receive()


async def test_a_connection_on_which_a_request_was_refused_takes_the_next_one(tmp_path: Path) -> None:
    with anyio.fail_after(5):
        async with (
            serving(autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)) as place,
            await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2])) as stream,
        ):
            await stream.send(b"POST /mcp HTTP/1.1\r\nHost: evil\r\nContent-Length: 5\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 421")
            await stream.send(b"12345GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")


async def test_a_client_that_takes_nothing_of_its_answers_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prompt, "stalled_seconds", 0.05)

    async def large(_: Request) -> Response:
        return Response(b"x" * 20_000_000)

    with anyio.fail_after(10):
        async with (
            serving(
                autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True),
                routes=[Route("/large", large)],
            ) as place,
            await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2])) as stream,
        ):
            await stream.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await anyio.sleep(0.5)
            read = 0
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    read += len(await stream.receive())
            assert read < 20_000_000


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("Content-Length: 2000000", b"", b"413"),
        ("Transfer-Encoding: chunked", b"186a00\r\n" + b"x" * 1_600_000, b"413"),
        ("Content-Length: 10", b"{", b"408"),
        ("Transfer-Encoding: chunked", b"1\r\n{\r\n", b"408"),
    ],
)
async def test_a_body_that_is_not_taken_ends_the_connection(
    tmp_path: Path, head: str, body: bytes, status: bytes
) -> None:
    options = HttpOptions(body_seconds=0.1)
    with anyio.fail_after(10):
        async with (
            serving(autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True), options) as place,
            await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2])) as stream,
        ):
            await stream.send(f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
            with suppress(anyio.BrokenResourceError):
                await stream.send(body)
            assert (await stream.receive()).split()[1] == status
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()


async def test_a_client_that_sends_far_too_much_reads_why_it_is_not_taken(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        async with (
            serving(autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)) as place,
            httpx.AsyncClient(base_url=place, trust_env=False) as http,
        ):
            for size in (1_100_000, 8_000_000):
                answer = await http.post("/mcp", content=b"x" * size)
                assert (answer.status_code, "more than 1048576 bytes" in answer.text) == (413, True)


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_connections_on_which_nothing_runs_make_room_for_others(tmp_path: Path) -> None:
    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    with anyio.fail_after(10):
        async with AsyncExitStack() as stack, serving(autopilot, HttpOptions(connections=10)) as place:
            port = int(place.rpartition(":")[2])
            opened = []
            for begun in (b"", GET, b"POST /mcp HTTP/1.1\r\nHost: local") * 10:
                opened.append(await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port)))
                await opened[-1].send(begun or b"G")
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{place}/healthz")).status_code == 200
                assert (await http.post(f"{place}{PATH}", **request("tools/list"))).status_code == 200
            for each in opened[:18:3]:  # those that never said what they want, the oldest
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await each.receive()
            await opened[-2].receive()
            await opened[-2].send(GET)
            assert (await opened[-2].receive()).startswith(b"HTTP/1.1 200")


WAITING = {
    "a probe": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    "a page": b"POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    "a call": b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    "an answer": b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("begun", WAITING.values(), ids=WAITING)
async def test_clients_that_neither_end_their_requests_nor_take_the_answers_keep_nobody_out(
    tmp_path: Path, begun: bytes
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000
            await anyio.lowlevel.checkpoint()

    async def large(_: Request) -> Response:
        return StreamingResponse(pieces())

    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    routes = [Route("/large", large, methods=["GET", "POST"])]
    with anyio.fail_after(10):
        async with serving(autopilot, HttpOptions(connections=10), routes) as place, AsyncExitStack() as stack:
            port = int(place.rpartition(":")[2])
            for _ in range(25):
                slow = await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
                await slow.send(begun)
                await anyio.sleep(0.01)
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{place}/healthz")).status_code == 200
                assert (await http.post(f"{place}{PATH}", **request("tools/list"))).status_code == 200


async def test_while_as_much_runs_as_can_who_watches_is_answered_and_others_come_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, running = anyio.Event(), []

    async def slow(asked: Request) -> Response:
        running.append(asked)
        await go_on.wait()
        return Response(b"done")

    autopilot = autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl", remote=True)
    options = HttpOptions(connections=10)
    with anyio.fail_after(10), caplog.at_level(logging.WARNING):
        async with (
            AsyncExitStack() as stack,
            serving(autopilot, options, [Route("/slow", slow)]) as place,
            httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http,
        ):
            async with anyio.create_task_group() as group:
                for _ in range(options.requests):
                    group.start_soon(http.get, f"{place}/slow")
                while len(running) < options.requests:  # noqa: ASYNC110 - nothing that is waited for
                    await anyio.sleep(0.01)
                for _ in range(20):
                    port = int(place.rpartition(":")[2])
                    await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
                for _ in range(2):
                    refused = await http.post(f"{place}{PATH}", **request("tools/list"))
                    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                    assert (await http.get(f"{place}/healthz")).status_code == 200
                go_on.set()
            assert (await http.post(f"{place}{PATH}", **request("tools/list"))).status_code == 200
    assert [each.getMessage() for each in caplog.records if "are under way" in each.getMessage()] == [
        "9 requests are under way, the most that are served at once: others get 503."
    ]


async def test_a_call_whose_client_closes_the_connection_is_given_up(scene: Scene) -> None:
    wire = Wire(httpx.ASGITransport(scene.app), "GET")
    autopilot = behind(scene, wire)
    asked = request("tools/call", {"name": "list_clusters", "arguments": {}}, VERSIONS[scene.mode])
    with anyio.fail_after(SECONDS):
        async with serving(autopilot) as place, anyio.create_task_group() as calls:

            async def call() -> None:
                async with httpx.AsyncClient(timeout=SECONDS) as http:
                    await http.post(f"{place}{PATH}", **asked)

            calls.start_soon(call)
            await wire.on_it.wait()
            calls.cancel_scope.cancel()
            await wire.given_up.wait()


def test_a_free_port_is_taken_at_all_addresses_of_a_name() -> None:
    sockets = listen("localhost:0")
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert {each.getsockname()[0] for each in sockets} <= {"127.0.0.1", "::1"}
    finally:
        for each in sockets:
            each.close()


def test_the_address_of_a_version_6_socket_stands_in_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("there is no IPv6 here")
    (found,) = listen("[::1]:0")
    with found:
        assert url_of(found) == f"http://[::1]:{found.getsockname()[1]}"


def test_every_address_of_either_version_is_listened_at_by_one_socket() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    (found,) = listen("[::]:0")
    with found, socket.create_connection(("127.0.0.1", found.getsockname()[1]), timeout=SECONDS):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::]"])
def test_an_answer_is_not_held_back_until_the_client_has_confirmed_its_head(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    (found,) = listen(f"{host}:0")
    with found, socket.create_connection(found.getsockname()[:2], timeout=SECONDS):
        connection, _ = found.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"127.0.0.1:{port}: another program listens there already: choose"):
            listen(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "why"),
    [("192.0.2.1:0", "no address of this machine"), ("no-such-host.invalid:0", "this name has no address")],
)
def test_an_address_that_is_not_of_this_machine_is_named_with_why(address: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        listen(address)


async def started(home: Path, *flags: str, **more: str) -> Any:
    """Start the program; returns its process."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], **more}
    command = [python(), "-m", "ap_mcp", "serve", *flags]
    return await anyio.open_process(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment)


async def test_the_program_serves_the_simulator_and_lets_a_running_call_end(tmp_path: Path) -> None:
    """Both eras, by the command itself, with the signal that whatever runs it sends."""
    faults = {"AP_MCP_SIMULATOR_FAULTS": "delay:list_clusters:*:1.5"}
    with anyio.fail_after(SECONDS):
        process = await started(tmp_path, "--simulate", "--http", "127.0.0.1:0", **faults)
        url = (await process.stdout.receive()).decode().strip()
        assert url.startswith("http://127.0.0.1:")
        found: list[str] = []

        async def call(mode: str) -> None:
            async with Client(url, mode=mode) as client:
                await client.list_tools()
                ready.append(mode)
                result = await client.call_tool("list_clusters", {})
                found.append(str(result.content[0]))

        ready: list[str] = []
        async with anyio.create_task_group() as calls:
            for mode in ERAS:
                calls.start_soon(call, mode)
            while len(ready) < len(ERAS):  # noqa: ASYNC110 - another process reports nothing
                await anyio.sleep(0.01)
            await anyio.sleep(A_WHILE)
            process.send_signal(signal.SIGTERM)
        assert ["shop-prod" in each for each in found] == [True, True]
        assert await process.wait() == 0
        said = (await process.stderr.receive()).decode()
        assert "SIMULATED" in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--http", "0.0.0.0:0"), "nobody has to sign in"),
        (("--http", "127.0.0.1:0", "--confirm", "human"), "--confirm: over HTTP"),
        (("--http", "nonsense"), "--http: must be HOST:PORT"),
        (("--http", "192.0.2.1:0"), "nobody has to sign in"),
    ],
)
def test_what_cannot_be_served_ends_the_program_with_two_before_it_listens(flags: tuple[str, ...], why: str) -> None:
    done = CliRunner().invoke(main, ["serve", *flags])
    assert done.exit_code == 2
    assert why in done.output


def test_a_simulator_is_not_served_to_strangers_either() -> None:
    done = CliRunner().invoke(main, ["serve", "--simulate", "--http", "0.0.0.0:0"])
    assert done.exit_code == 2
    assert "nobody has to sign in" in done.output


async def test_the_program_serves_metrics_beside_and_writes_its_log_as_json(tmp_path: Path) -> None:
    more = {"AP_MCP_METRICS": "0", "AP_MCP_LOG_LEVEL": "info", "AP_MCP_LOG_FORMAT": "json"}
    with anyio.fail_after(SECONDS):
        process = await started(tmp_path, "--simulate", "--http", "127.0.0.1:0", **more)
        url = (await process.stdout.receive()).decode().strip()
        log = ""
        while "metrics are read at" not in log:
            log += (await process.stderr.receive()).decode()
        said = [json.loads(line)["message"] for line in log.splitlines()]
        [place] = [line.removeprefix("metrics are read at ") for line in said if "metrics are read at" in line]
        async with Client(url) as client, httpx.AsyncClient(trust_env=False) as http:
            await client.call_tool("get_quotas", {})
            text = (await http.get(place)).text
            assert 'gen_ai_tool_name="get_quotas"' in text
            assert "ap_mcp_state_up 1.0" in text
            assert (await http.get(url.replace("/mcp", "/metrics"))).status_code == 404
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
