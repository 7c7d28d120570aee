"""Standard input and output as the way to one client, which may stop reading: what waits for it is bounded.

The SDK's transport reads requests as fast as they come, and keeps every answer until it can be written; and a thread
that writes to a full pipe cannot be stopped, so the process would outlive its client. Here requests are let in as
answers get out, writing is done by a thread that ends with the process, and a client that has closed its end and does
not read is left.
"""

import logging
import os
import select
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stdout, suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

import anyio
from anyio import CancelScope, EndOfStream, Event, Semaphore, from_thread, lowlevel, move_on_after
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.server import Server
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

STUCK_SECONDS = 0.5
"""A client that has closed its end, and takes nothing for so long, reads no more."""

BEHIND_SECONDS = 0.1
"""What is in the pipe already comes out of it within so long."""

MOST_REPORTED = 10
"""How many lines that are no message are written to the log; a client may send nothing else."""

logger = logging.getLogger(__name__)


async def serve(server: Server[Any], at_once: int) -> None:
    """Serve one client on standard input and output until it leaves.

    Args:
        server: the MCP server.
        at_once: how many requests are read and not answered yet at most.
    """
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    with CancelScope() as serving:
        async with _outlet(serving) as outlet, anyio.create_task_group() as tasks:
            turnstile = Turnstile(at_once)
            with _inlet() as pipe:
                tasks.start_soon(_leave_when_closed, pipe, outlet, turnstile)
                lines = SentLines(pipe)
                # The SDK wants anyio files, of which it uses two methods of one, and reads the lines of the other.
                async with stdio_server(cast("Any", lines), cast("Any", outlet)) as (reader, writer):
                    inlet, requests = anyio.create_memory_object_stream[SessionMessage | Exception](0)
                    frames = Frames(reader, lines, writer)
                    tasks.start_soon(turnstile.let_in, frames, inlet)
                    # A stray print must not reach the client.
                    with redirect_stdout(sys.stderr):
                        answers = Answers(turnstile, frames, outlet, writer)
                        await server.run(requests, answers, server.create_initialization_options())
            tasks.cancel_scope.cancel()


class SentLines:
    """The lines that a client sends, each kept until it is known what the transport made of it.

    Args:
        fd: where from.
    """

    def __init__(self, fd: int) -> None:
        # It stays open: a thread may still be reading it when the server has left.
        self._file = anyio.wrap_file(open(fd, "rb", closefd=False))  # noqa: SIM115
        self._kept: deque[bytes] = deque()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for line in self._file:
            self._kept.append(line)
            yield line

    def next(self) -> bytes:
        """Return the line of the next item of the transport."""
        return self._kept.popleft()


class Frames:
    """What a client sends: messages as the transport reads them. What is no message is read anew, or answered.

    Args:
        reader: the transport's.
        lines: the lines it reads.
        writer: the transport's.
    """

    def __init__(
        self,
        reader: ObjectReceiveStream[SessionMessage | Exception],
        lines: SentLines,
        writer: ObjectSendStream[SessionMessage],
    ) -> None:
        self.version: str | None = None
        """Of the protocol, once the handshake is answered."""
        self._reader = reader
        self._lines = lines
        self._writer = writer
        self._reported = 0

    async def __aiter__(self) -> AsyncIterator[SessionMessage]:
        """Yield the messages; a handshake that waits right behind a probe comes before it.

        A client whose probe got no answer in time, for the server was still starting, goes on with the handshake.
        Served in that order, the probe would settle the protocol and the handshake be refused, and the client would
        give it up.
        """
        with suppress(EndOfStream):
            held = [await self._next()]
            if _method_of(held[0]) == "server/discover":
                with move_on_after(BEHIND_SECONDS), suppress(EndOfStream):
                    held.append(await self._next())
            if _method_of(held[-1]) == "initialize":
                held.reverse()
            for item in held:
                async for message in self._messages(item):
                    yield message
            while True:
                if isinstance(item := await self._next(), SessionMessage):
                    yield item
                    continue
                async for message in self._messages(item):
                    yield message

    async def _next(self) -> SessionMessage | bytes:
        """Return the next message, or a line that is none as it stands."""
        item = await self._reader.receive()
        line = self._lines.next()
        if isinstance(item, Exception):
            return line
        if isinstance(item.message, JSONRPCNotification) and not item.message.method.startswith("notifications/"):
            return line  # the transport takes a request for a notification if its id is none
        return item

    async def _messages(self, item: SessionMessage | bytes) -> AsyncIterator[SessionMessage]:
        if isinstance(item, SessionMessage):
            yield item
            return
        from ap_mcp.frames import read_anew  # noqa: PLC0415 - few clients ever send such a line

        for found in read_anew(item, self.version):
            if isinstance(found, SessionMessage):
                yield found
                continue
            self._report(found.error.message)
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # nobody reads any more
                await self._writer.send(SessionMessage(found))

    def _report(self, why: str) -> None:
        self._reported += 1
        if self._reported <= MOST_REPORTED:
            last = "; any more of them are answered alone" if self._reported == MOST_REPORTED else ""
            logger.warning("The client sent a line that is no message. %s%s", why, last)


def _method_of(item: SessionMessage | bytes) -> str:
    message = item.message if isinstance(item, SessionMessage) else None
    return message.method if isinstance(message, JSONRPCRequest) else ""


class Outlet:
    """Writes whole messages to a descriptor, one after the other, in a thread that need not end.

    Args:
        fd: where to.
        serving: is cancelled if nobody reads any more.
    """

    def __init__(self, fd: int, serving: CancelScope) -> None:
        self.gone = False
        self._fd = fd
        self._serving = serving
        self._due: SimpleQueue[tuple[bytes, Event] | None] = SimpleQueue()
        self._since: float | None = None
        self._token = lowlevel.current_token()
        Thread(target=self._work, name="writes to the client", daemon=True).start()

    async def write(self, message: str) -> None:
        """Write a message; returns once all of it is in the pipe."""
        written = Event()
        self._since = monotonic()
        self._due.put((message.encode(), written))
        await written.wait()
        self._since = None

    async def flush(self) -> None:
        """Do nothing: what was written is out."""

    @property
    def is_stuck(self) -> bool:
        """Whether the client does not take what is being written."""
        return self._since is not None and monotonic() - self._since > STUCK_SECONDS

    def leave(self) -> None:
        """End the server: nobody reads any more."""
        self.gone = True
        self._serving.cancel()

    def close(self) -> None:
        """Let the thread end, if it can."""
        self._due.put(None)

    def _work(self) -> None:
        with suppress(RuntimeError):  # the server has left meanwhile
            while (due := self._due.get()) is not None:
                message, written = due
                try:
                    while message:
                        message = message[os.write(self._fd, message) :]
                except OSError:
                    from_thread.run_sync(self.leave, token=self._token)
                    return
                from_thread.run_sync(written.set, token=self._token)


class Turnstile:
    """Lets requests in as answers get out.

    Args:
        at_once: how many requests are inside at most.
    """

    def __init__(self, at_once: int) -> None:
        self.is_shut = False
        """Whether a request waits outside, so that nothing is read."""
        self._free = Semaphore(at_once)
        self._inside: Counter[str] = Counter()

    async def let_in(self, frames: Frames, inlet: ObjectSendStream[SessionMessage | Exception]) -> None:
        """Pass on what a client sends, until it ends; while too many requests are inside, nothing is read."""
        async with inlet:
            async for item in frames:
                message = item.message
                if isinstance(message, JSONRPCRequest):
                    self.is_shut = self._free.value == 0
                    await self._free.acquire()
                    self.is_shut = False
                    self._inside[str(message.id)] += 1
                elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
                    self.let_out((message.params or {}).get("requestId"))  # it is never answered
                try:
                    await inlet.send(item)
                except anyio.BrokenResourceError:
                    return

    def let_out(self, request_id: Any) -> None:
        """Note that a request is answered, or needs no answer any more."""
        if self._inside[str(request_id)] > 0:
            self._inside[str(request_id)] -= 1
            self._free.release()
        self._inside += Counter()  # forgets what is zero


class Answers:
    """The stream that the server writes to: like the transport's own, but for the turnstile's count.

    Args:
        turnstile: counts.
        frames: learns which version of the protocol is spoken.
        outlet: where messages end.
        writer: the transport's.
    """

    def __init__(
        self, turnstile: Turnstile, frames: Frames, outlet: Outlet, writer: ObjectSendStream[SessionMessage]
    ) -> None:
        self._turnstile = turnstile
        self._frames = frames
        self._outlet = outlet
        self._writer = writer

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message; returns when the message before it is in the pipe.

        Raises:
            anyio.BrokenResourceError: nobody reads any more.
        """
        if self._outlet.gone:
            raise anyio.BrokenResourceError
        if isinstance(item.message, JSONRPCResponse) and "protocolVersion" in item.message.result:
            self._frames.version = item.message.result["protocolVersion"]
        try:
            await self._writer.send(item)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._turnstile.let_out(item.message.id)

    async def aclose(self) -> None:
        """Close it."""
        await self._writer.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@asynccontextmanager
async def _outlet(serving: CancelScope) -> AsyncIterator[Outlet]:
    """Yield what writes to the client; meanwhile whatever else is printed goes to standard error."""
    sys.stdout.flush()
    fd = sys.stdout.fileno()
    wire = os.dup(fd)
    os.dup2(sys.stderr.fileno(), fd)
    outlet = Outlet(wire, serving)
    try:
        yield outlet
    finally:
        outlet.close()
        os.dup2(wire, fd)  # the copy stays open: the thread may be writing to it


@contextmanager
def _inlet() -> Iterator[int]:
    """Yield what the client writes to; meanwhile whatever else reads standard input is at its end at once."""
    fd = sys.stdin.fileno()
    pipe, nothing = os.dup(fd), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, fd)
    os.close(nothing)
    try:
        yield pipe
    finally:
        os.dup2(pipe, fd)  # the copy stays open: a thread may be reading it


async def _leave_when_closed(pipe: int, outlet: Outlet, turnstile: Turnstile) -> None:
    """Leave once the client has closed its end, if the end of input cannot be read or what it is sent is not taken."""
    if not hasattr(select, "poll"):  # Windows
        return
    closed = Event()
    token = lowlevel.current_token()

    def watch() -> None:
        poll = select.poll()
        poll.register(pipe, getattr(select, "POLLRDHUP", 0))
        poll.poll()
        with suppress(RuntimeError):
            from_thread.run_sync(closed.set, token=token)

    Thread(target=watch, name="watches the client", daemon=True).start()
    await closed.wait()
    await anyio.sleep(STUCK_SECONDS)
    while not (outlet.is_stuck or turnstile.is_shut):  # noqa: ASYNC110 - what is stuck reports nothing
        await anyio.sleep(STUCK_SECONDS / 2)
    outlet.leave()
