"""Python for tests that start `ap-mcp` as a process of its own, again and again: only the imports are shared.

`python()` starts a process that imports everything once. Whatever runs the program it returns has a process forked from
that one, with its own streams, folder, variables, signals and exit code; see `forked.py`. What a start itself is like
(imports, warnings, encodings) is tested with `sys.executable`.
"""

import atexit
import fcntl
import gc
import importlib
import marshal
import os
import pkgutil
import selectors
import shlex
import signal
import socket
import sys
import termios
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

FORKED = Path(__file__).with_name("forked.py")
LONGEST = 300
"""Seconds until a process that has not ended is ended."""


class Forking:
    """The process that has imported everything, and the folder of the program that stands for what it becomes."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="forking-")
        place = f"{self.folder.name}/socket"
        self.process = Popen([sys.executable, __file__, place], stdin=PIPE, stdout=PIPE)
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"
        self.python = Path(self.folder.name, "python")
        words = (sys.executable, "-I", "-S", str(FORKED), place)
        self.python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        self.python.chmod(0o700)

    def end(self) -> None:
        self.process.communicate()
        self.folder.cleanup()


@cache
def _started() -> Forking:
    return Forking()


def python() -> str:
    """Return a program that does what Python does with `-m ap_mcp …` and `-c …`, without importing anything anew."""
    return str(_started().python)


def end() -> None:
    """End what `python` has started, if anything."""
    if _started.cache_info().currsize:
        _started().end()
        _started.cache_clear()


class Server:
    """Becomes what it is asked to be, in processes of their own, until its standard input ends."""

    def __init__(self, place: str) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(place)
        self.listening.listen()
        self.ended, self.wakes = socket.socketpair()
        self.wakes.setblocking(False)
        signal.set_wakeup_fd(self.wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.waiting = selectors.DefaultSelector()
        for each in (self.listening, self.ended, sys.stdin):
            self.waiting.register(each, selectors.EVENT_READ)
        self.clients: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Follow who asks, who leaves, and what has ended."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for key, _ in self.waiting.select():
                if key.fileobj is self.listening:
                    self.start()
                elif key.fileobj is self.ended:
                    self.reap()
                elif key.fileobj is sys.stdin:
                    return
                else:
                    # Whoever stands for a process was killed: so is that.
                    os.kill(next(pid for pid, client in self.clients.items() if client is key.fileobj), signal.SIGKILL)
                    self.waiting.unregister(key.fileobj)

    def start(self) -> None:
        """Become what the next client asks for."""
        client, _ = self.listening.accept()
        length, streams, _, _ = socket.recv_fds(client, 4, 3)
        request = client.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
        process = os.fork()
        if not process:
            signal.set_wakeup_fd(-1)
            self.waiting.close()
            for each in (self.listening, self.ended, self.wakes, client, *self.clients.values()):
                each.close()
            arguments, folder, environment = marshal.loads(request)  # noqa: S302 - of the tests' own
            become(arguments, folder, environment, streams)
        for stream in streams:
            os.close(stream)
        self.clients[process] = client
        self.waiting.register(client, selectors.EVENT_READ)
        say(client, process)

    def reap(self) -> None:
        """Say how processes have ended to those that stand for them."""
        self.ended.recv(4096)
        while self.clients:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            client = self.clients.pop(process)
            if client in self.waiting.get_map():
                self.waiting.unregister(client)
            say(client, os.waitstatus_to_exitcode(status))
            client.close()


def say(client: socket.socket, number: int) -> None:
    """Send a number to what stands for a process, unless it was killed just now."""
    with suppress(BrokenPipeError):
        client.sendall(number.to_bytes(4, "big", signed=True))


def become(arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Be a program as if it were started just now; this process ends with it."""
    signal.alarm(LONGEST)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    if os.isatty(streams[0]):
        fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
    for stream, opened in enumerate(streams):
        os.dup2(opened, stream)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(stream, mode, closefd=False) for stream, mode in enumerate("rww"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code: str | int | None = 0
    try:
        run(*arguments)
    except SystemExit as ended:
        code = ended.code
    if code is None or isinstance(code, int):
        leave(code or 0)
    sys.exit(code)


def leave(code: int) -> None:
    """Do what Python does at its end, but take nothing apart: that touches, and so copies, all that was imported."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    # What cannot be written is left to Python, which then ends with a code of its own.
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(how: str, what: str, *arguments: str) -> None:
    """Do what Python does with such words."""
    sys.argv = [how, *arguments]
    if how == "-c":
        exec(what, {"__name__": "__main__"})  # noqa: S102 - of the tests' own
        return
    from ap_mcp.cli import main

    main(arguments, prog_name="ap-mcp")


LATE = ("_strptime", "anyio._backends._asyncio", "httpcore", "rich.console", "uvicorn.loops.auto",
        "uvicorn.loops.asyncio", "uvicorn.lifespan.off")  # fmt: skip
"""What libraries import only where they need it."""


def import_everything() -> None:
    """Import what any start of `ap-mcp` could, and do what is the same in each: read specs and certificates."""
    import ap_mcp
    from ap_mcp.cloud.lines import _usual_authorities
    from ap_mcp.masking.forms import _prefixes
    from ap_mcp.specs import load_catalog

    for module in pkgutil.walk_packages(ap_mcp.__path__, "ap_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    load_catalog()
    _usual_authorities()
    _prefixes(escaped=False)
    gc.freeze()


if __name__ == "__main__":
    import_everything()
    Server(sys.argv[1]).serve()
