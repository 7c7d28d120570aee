"""A stand-in for a Redis server, spoken to over a socket: what its data does when it is lost, and who it is then."""

import asyncio
import fnmatch
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from ap_mcp.state.redis_limits import COUNT

Words: TypeAlias = list[bytes]

ADDING = frozenset({"set", "zadd", "hset", "eval"})


class Said(Exception):
    """An error that Redis answers with."""


def real_time() -> float:
    return datetime.now(UTC).timestamp()


@dataclass
class FakeRedis:
    """Keys with their values and ends; the commands that ap-mcp uses do what they do in Redis.

    Attributes:
        clock: its time, in seconds since 1970.
        replicas: how many follow, as `WAIT` has it.
        life: what it says of itself; another one after each start.
        broken: what it answers every command with.
        takes_nothing: what it answers those with that would have it keep more.
        seen: the commands that came, in order.
        says: of itself, otherwise than it would, in every section of INFO.
        cut_after: the connection breaks once this command was carried out, before it is answered.
    """

    clock: Callable[[], float] = real_time
    replicas: int = 0
    life: int = 1
    broken: str = ""
    takes_nothing: str = ""
    seen: list[str] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)
    cut_after: str = ""
    data: dict[bytes, Any] = field(default_factory=dict)
    ends: dict[bytes, float] = field(default_factory=dict)

    def restart(self, *, with_data: bool) -> None:
        """Begin another life."""
        self.life += 1
        if not with_data:
            self.data.clear()
            self.ends.clear()

    def do(self, words: Words) -> Any:
        """Carry out one command."""
        name = words[0].decode().lower()
        self.seen.append(name)
        if self.broken:
            raise Said(self.broken)
        if self.takes_nothing and name in ADDING:
            raise Said(self.takes_nothing)
        for key in [key for key, end in self.ends.items() if end <= self.clock()]:
            del self.data[key], self.ends[key]
        return getattr(self, f"do_{name}")(*words[1:])

    def do_ping(self) -> Any:
        return "PONG"

    def do_client(self, *_: bytes) -> Any:
        return "OK"

    def do_select(self, _: bytes) -> Any:
        return "OK"

    def do_time(self) -> Any:
        micro = round(self.clock() * 1_000_000)
        return [b"%d" % (micro // 1_000_000), b"%d" % (micro % 1_000_000)]

    def do_info(self, section: bytes) -> Any:
        about: dict[bytes, dict[str, Any]] = {
            b"server": {"redis_version": "7.0.15", "run_id": f"run{self.life}"},
            b"replication": {"master_replid": f"repl{self.life}", "connected_slaves": self.replicas},
            b"persistence": {"aof_enabled": 1},
            b"memory": {"maxmemory": 0, "maxmemory_policy": "noeviction"},
        }
        values = {**about[section], **self.says}
        lines = [f"# {section.decode()}", *(f"{name}:{value}" for name, value in values.items())]
        return "\r\n".join([*lines, ""]).encode()

    def do_wait(self, _: bytes, __: bytes) -> Any:
        return self.replicas

    def do_get(self, key: bytes) -> Any:
        return self.data.get(key)

    def do_mget(self, *keys: bytes) -> Any:
        return [self.data.get(key) for key in keys]

    def do_set(self, key: bytes, value: bytes, *how: bytes) -> Any:
        if b"NX" in how and key in self.data:
            return None
        self.data[key] = value
        self.ends.pop(key, None)
        if b"PX" in how:
            self.do_pexpire(key, how[how.index(b"PX") + 1])
        return "OK"

    def do_getdel(self, key: bytes) -> Any:
        self.ends.pop(key, None)
        return self.data.pop(key, None)

    def do_del(self, *keys: bytes) -> Any:
        return sum(self.do_getdel(key) is not None for key in keys)

    def do_pexpire(self, key: bytes, ms: bytes) -> Any:
        if key in self.data:
            self.ends[key] = self.clock() + int(ms) / 1000
        return int(key in self.data)

    def do_zadd(self, key: bytes, *words: bytes) -> Any:
        how = {word for word in words if word in {b"NX", b"XX", b"GT"}}
        members = self.data.setdefault(key, {})
        rest = [word for word in words if word not in how]
        for score, member in _pairs(rest):
            greater = b"GT" in how and float(score) > members.get(member, float("-inf"))
            if greater or (b"GT" not in how and ((member in members) is (b"XX" in how) or not how)):
                members[member] = float(score)
        return len(members)

    def do_zrem(self, key: bytes, *members: bytes) -> Any:
        found = self.data.get(key, {})
        gone = [found.pop(member, None) for member in members]
        if key in self.data and not found:
            self.do_getdel(key)
        return sum(each is not None for each in gone)

    def do_zcard(self, key: bytes) -> Any:
        return len(self.data.get(key, {}))

    def do_zrange(self, key: bytes, start: bytes, stop: bytes, *how: bytes) -> Any:
        members = self._sorted(key)[int(start) : None if stop == b"-1" else int(stop) + 1]
        return [word for each in members for word in (each, b"%.17g" % self.data[key][each])] if how else members

    def do_zrevrange(self, key: bytes, start: bytes, stop: bytes) -> Any:
        members = self._sorted(key)[::-1]
        return members[int(start) : None if stop == b"-1" else int(stop) + 1]

    def do_zcount(self, key: bytes, low: bytes, high: bytes) -> Any:
        return len(self.do_zrangebyscore(key, low, high))

    def do_zrangebyscore(self, key: bytes, low: bytes, high: bytes) -> Any:
        return [each for each in self._sorted(key) if _within(self.data[key][each], low, high)]

    def do_zrevrangebyscore(self, key: bytes, high: bytes, low: bytes, *limit: bytes) -> Any:
        found = self.do_zrangebyscore(key, low, high)[::-1]
        return found[int(limit[1]) :][: int(limit[2])] if limit else found

    def do_zremrangebyscore(self, key: bytes, low: bytes, high: bytes) -> Any:
        return self.do_zrem(key, *self.do_zrangebyscore(key, low, high))

    def do_hset(self, key: bytes, *words: bytes) -> Any:
        self.data.setdefault(key, {}).update(_pairs(list(words)))
        return len(words) // 2

    def do_hgetall(self, key: bytes) -> Any:
        return [word for pair in self.data.get(key, {}).items() for word in pair]

    def do_hdel(self, key: bytes, *names: bytes) -> Any:
        return self.do_zrem(key, *names)

    def do_eval(self, script: bytes, *words: bytes) -> Any:
        """Do what the scripts of ap-mcp do; whether these do it is tried on a real server."""
        if script == b"return 1":
            return 1
        assert script.decode() == COUNT
        _, key, pace, ahead = words
        now = round(self.clock() * 1_000_000)
        even = max(int(self.data.get(key, now)), now)
        if even - now > int(ahead):
            return b"%d" % (even - now - int(ahead))
        following = even + int(pace)
        self.do_set(key, b"%d" % following, b"PX", b"%d" % ((following - now) // 1000 + 1))
        return b"0"

    def keys(self, pattern: str = "*") -> list[str]:
        """The keys that fit a pattern."""
        return sorted(key.decode() for key in self.data if fnmatch.fnmatch(key.decode(), pattern))

    def _sorted(self, key: bytes) -> list[bytes]:
        found: dict[bytes, float] = self.data.get(key, {})
        return sorted(found, key=lambda member: (found[member], member))

    @asynccontextmanager
    async def served(self, folder: Path) -> AsyncIterator[str]:
        """Serve it on a socket in a folder, or elsewhere if its name is too long; the URL."""
        path = folder / f"{secrets.token_hex(4)}.sock"
        talks: dict[asyncio.Task[Any] | None, asyncio.StreamWriter] = {}

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks[asyncio.current_task()] = writer
            await self._converse(reader, writer)

        server = await asyncio.start_unix_server(converse, path)
        try:
            yield f"unix://{path}"
        finally:
            server.close()
            path.unlink(missing_ok=True)
            for writer in talks.values():
                writer.close()
            await asyncio.gather(*filter(None, talks))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queued: list[Words] | None = None
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                words = await _read(reader)
                name = words[0].decode().lower()
                if name == "multi":
                    queued, answer = [], _encoded("OK")
                elif name == "exec":
                    answer = b"*%d\r\n" % len(queued or []) + b"".join(self._answer(each) for each in queued or [])
                    queued = None
                elif queued is not None:
                    queued.append(words)
                    answer = _encoded("QUEUED")
                else:
                    answer = self._answer(words)
                if self.cut_after == name:
                    self.cut_after = ""
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def _answer(self, words: Words) -> bytes:
        try:
            return _encoded(self.do(words))
        except Said as error:
            return f"-{error}\r\n".encode()


def _pairs(words: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(words[::2], words[1::2], strict=True))


def _within(score: float, low: bytes, high: bytes) -> bool:
    above = score > float(low[1:]) if low.startswith(b"(") else score >= float(low)
    below = score < float(high[1:]) if high.startswith(b"(") else score <= float(high)
    return above and below


async def _read(reader: asyncio.StreamReader) -> Words:
    count = int((await reader.readuntil(b"\r\n"))[1:])
    words = []
    for _ in range(count):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2])
    return words


def _encoded(value: Any) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, str):
        return f"+{value}\r\n".encode()
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))


@contextmanager
def in_a_thread(redis: FakeRedis, folder: Path) -> Iterator[str]:
    """Serve a Redis for programs that have an event loop of their own; the URL."""
    loop, ready, found, end = asyncio.new_event_loop(), threading.Event(), [""], asyncio.Event()

    async def serve() -> None:
        async with redis.served(folder) as found[0]:
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(5)
    yield found[0]
    loop.call_soon_threadsafe(end.set)
    thread.join(5)
    loop.close()
