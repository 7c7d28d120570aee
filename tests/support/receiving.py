"""A receiver of webhooks on this machine: it remembers what is posted, and answers as a test has it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.from_thread import start_blocking_portal

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def answer(body: str, status: str = "200 OK", *headers: str) -> bytes:
    """An answer of HTTP."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()


@dataclass
class Receiver:
    """What came in, and what is answered next; nothing at all if that is None, and `OK` once nothing is left."""

    answers: list[bytes | None] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def kinds(self) -> list[str]:
        """What happened, in order, as a program of an operator receives it."""
        return [each["type"].removeprefix("approval.") for each in self.posted]

    async def has(self, count: int) -> None:
        """Wait until so many were posted."""
        with anyio.fail_after(20):
            while len(self.posted) < count:  # noqa: ASYNC110 - the server has no event for it
                await anyio.sleep(0.01)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
            body = await reader.readexactly(int(length.partition(":")[2]))
            self.heads.append(head)
            self.posted.append(json.loads(body))
            said = self.answers.pop(0) if self.answers else OK
            if said is None:
                await reader.read()  # until the other end has had enough
            else:
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # a check that only connects
        finally:
            writer.close()


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None, *answers: bytes | None) -> AsyncIterator[Receiver]:
    """Listen on a free port."""
    made = Receiver([*answers])
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, *answers: bytes | None) -> Iterator[Receiver]:
    """Listen likewise, in a thread of its own: for commands, which have a loop of their own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(receiver(tls, *answers)) as made:
        yield made
