"""A real Redis server of a test's own: started, stopped, killed, put behind, promoted."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis

PROGRAM = shutil.which("redis-server")
MISSING = "redis-server is missing: run `tools/programs.sh redis-server`, or install Redis 6.2 or newer by other means"
PATIENCE = 20.0
KEPT = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass
class RedisServer:
    """A server in a folder of its own, at a port of its own.

    Attributes:
        folder: for its data.
        options: of its command line.
        secret: the password of its user `default`, if there is one.
    """

    folder: Path
    options: tuple[str, ...] = KEPT
    secret: str | None = None
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *more: str) -> Self:
        """Start it, and wait until it answers."""
        if PROGRAM is None:
            raise AssertionError(MISSING)
        self.folder.mkdir(exist_ok=True)
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "")
        quiet = ("--logfile", str(self.folder / "log"), "--repl-diskless-sync-delay", "0")
        self.process = subprocess.Popen([PROGRAM, *place, *quiet, *self.options, *more], stdout=subprocess.DEVNULL)
        wait_for(lambda: self.do("PING") is True)
        return self

    def do(self, *words: str | int) -> Any:
        """Run one command, as its operator; None if there is no answer."""
        with redis.Redis(port=self.port, password=self.secret, socket_timeout=PATIENCE) as client:
            try:
                return client.execute_command(*words)
            except redis.ConnectionError:
                return None

    def follow(self, primary: "RedisServer") -> None:
        """Become a replica, and have all that the primary has."""
        self.do("REPLICAOF", "127.0.0.1", primary.port)
        wait_for(lambda: (self.do("INFO", "replication") or {}).get("master_link_status") == "up")
        wait_for(primary.is_followed)

    def is_followed(self) -> bool:
        """Say whether a replica has all that is written here, as soon as it is."""
        with redis.Redis(port=self.port, single_connection_client=True, socket_timeout=PATIENCE) as client:
            client.set("probe", "1")
            return bool(client.execute_command("WAIT", 1, 200))

    def promote(self) -> None:
        """Become a primary."""
        self.do("REPLICAOF", "NO", "ONE")

    def freeze(self) -> None:
        """Hang: nothing is answered or replicated, and no connection ends."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait(PATIENCE)
            self.process = None

    def restart(self, *, with_data: bool = True) -> None:
        """Kill it and start it anew."""
        self.kill()
        if not with_data:
            shutil.rmtree(self.folder)
        self.start()

    def _signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)


def wait_for(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)
