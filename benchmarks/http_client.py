"""Makes calls over HTTP as fast as they are answered, or at a fixed rate, on connections that are kept open."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    is_slow: bool = False
    """It waits for the cloud; how long it takes is not counted."""


def request(call: Call, era: str, principal: str) -> bytes:
    """Write a call as it goes over the wire."""
    params: dict[str, Any] = {"name": call.tool, "arguments": dict(call.arguments)}
    if era == MODERN:
        params["_meta"] = META
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    more = f"mcp-method: tools/call\r\nmcp-name: {call.tool}\r\n" if era == MODERN else ""
    head = (
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:8000\r\ncontent-type: application/json\r\n"
        f"accept: application/json, text/event-stream\r\nmcp-protocol-version: {era}\r\n{more}"
        f"authorization: Bearer {principal}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def exchange(self, sent: bytes) -> bytes:
        """Send a request and return the body of its answer.

        Raises:
            RuntimeError: the answer is not that of a call that succeeded.
        """
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        self._writer.write(sent)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            body = await self._reader.readuntil(LAST_CHUNK)
        else:
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await self._reader.readexactly(length)
        if not head.startswith(b"http/1.1 200") or b'"isError":true' in body:
            raise RuntimeError((head + body)[:2000].decode(errors="replace"))
        return body

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()


@dataclass
class Load:
    """What is sent to one server: calls in turn, by principals in turn."""

    port: int
    era: str
    calls: Sequence[Call]
    principals: int = 1

    def requests(self) -> Iterator[tuple[bytes, bool]]:
        """Yield requests for ever, and whether each is slow."""
        names = [f"principal-{number}" for number in range(self.principals)]
        known = {(call, name): request(call, self.era, name) for call in set(self.calls) for name in names}
        # Where there are as many calls as principals, each would make the same one again and again.
        for turn, call in enumerate(cycle(self.calls)):
            name = names[(turn + turn // len(self.calls)) % len(names)]
            yield known[call, name], call.is_slow

    async def busy(self) -> float:
        """Return the processor time that the server has had."""
        line = Line(self.port)
        answer = await line.exchange(b"GET /busy HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        await line.close()
        return float(json.loads(answer)["busy"])


@dataclass(frozen=True)
class Measured:
    """What a load came to."""

    calls: int
    seconds: float
    busy: float
    """Processor time of the server."""
    latencies: Sequence[float] = ()
    """Seconds of each call that is not slow, from the moment at which it was due, in order of their length."""

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    @property
    def cost(self) -> float:
        """Processor time a call."""
        return self.busy / self.calls

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


@asynccontextmanager
async def lines(port: int, count: int) -> Any:
    found = [Line(port) for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            await each.close()


async def as_fast_as_answered(load: Load, connections: int, seconds: float) -> Measured:
    """Keep all connections at work, and count what is answered."""
    requests, count = load.requests(), 0
    async with lines(load.port, connections) as every:
        for each in every:
            await each.exchange(next(requests)[0])
        busy, began = await load.busy(), time.perf_counter()

        async def work(line: Line) -> None:
            nonlocal count
            while time.perf_counter() - began < seconds:
                await line.exchange(next(requests)[0])
                count += 1

        await asyncio.gather(*map(work, every))
        took = time.perf_counter() - began
        return Measured(count, took, await load.busy() - busy)


async def at_a_rate(load: Load, rate: float, connections: int, seconds: float) -> Measured:
    """Make calls at fixed moments, whatever becomes of earlier ones: a call that finds no free connection is late."""
    count = int(rate * seconds)
    due: asyncio.Queue[tuple[float, bytes, bool]] = asyncio.Queue()
    latencies: list[float] = []
    async with lines(load.port, connections) as every:
        warm = load.requests()
        for each in every:
            await each.exchange(next(warm)[0])
        busy, began = await load.busy(), time.perf_counter()

        async def arrive() -> None:
            for number, (sent, is_slow) in enumerate(islice(load.requests(), count)):
                at = began + number / rate
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                due.put_nowait((at, sent, is_slow))

        async def work(line: Line) -> None:
            while True:
                at, sent, is_slow = await due.get()
                await line.exchange(sent)
                if not is_slow:
                    latencies.append(time.perf_counter() - at)
                due.task_done()

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(line)) for line in every]
            await arrive()
            await due.join()
            for each in workers:
                each.cancel()
        took = time.perf_counter() - began
        return Measured(count, took, await load.busy() - busy, sorted(latencies))
