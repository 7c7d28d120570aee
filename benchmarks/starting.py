"""How long a host waits for the list of tools, and what the waiting server takes, against a bare server."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from measures import Section, multiple, times

RUNS = 15
LONGEST = 60
TIME, MEMORY = 1.10, 1.25
OURS = (str(Path(sys.executable).with_name("ap-mcp")), "serve")
BARE = (sys.executable, str(Path(__file__).with_name("bare.py")))
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}
ERAS = {
    "2026-07-28": [{"id": 1, "method": "tools/list", "params": {"_meta": META}}],
    "2025-11-25": [
        {"id": 0, "method": "initialize", "params": HELLO},
        {"method": "notifications/initialized"},
        {"id": 1, "method": "tools/list"},
    ],
}


@dataclass(frozen=True)
class Start:
    """One start, until the tools are listed."""

    seconds: float
    kilobytes: float
    """Resident; not a number where the system does not tell."""


def section() -> Section:
    """Start both servers in turn, so that whatever else the machine does falls on both."""
    rows, broken = [], []
    with tempfile.TemporaryDirectory() as home:
        for era, messages in ERAS.items():
            _start(OURS, messages, home)
            pairs = [(_start(OURS, messages, home), _start(BARE, messages, home)) for _ in range(RUNS)]
            ours, bare = zip(*pairs, strict=True)
            seconds = [median(each.seconds for each in side) for side in (ours, bare)]
            least = [min(each.seconds for each in side) for side in (ours, bare)]
            memory = [median(each.kilobytes for each in side) for side in (ours, bare)]
            rows += [
                [f"spawn to tools/list, {era}: median", times(*seconds), multiple(TIME)],
                [f"spawn to tools/list, {era}: best", times(*least), ""],
                [f"memory then, {era}", times(*memory), multiple(MEMORY)],
            ]
            broken += [f"start-up, {era}: {times(*seconds)}"] if seconds[0] > TIME * seconds[1] else []
            broken += [f"memory, {era}: {times(*memory)}"] if memory[0] > MEMORY * memory[1] else []
    about = (
        f"`ap-mcp serve` against benchmarks/bare.py, a server of the SDK with one tool; {RUNS} starts each, in turn."
    )
    return Section("Start-up and memory", about, ["what", "ours", "at most"], rows, broken)


def _start(command: tuple[str, ...], messages: list[dict[str, Any]], home: str) -> Start:
    """Start a server, have it list its tools, and send it home."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=_environment(home), **PIPES) as process:
        try:
            listed = _ask(process, messages)
            seconds = time.perf_counter() - began
            if not listed["result"]["tools"]:
                raise RuntimeError(f"{command[0]} lists no tools")
            kilobytes = _resident(process.pid)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(LONGEST)
    return Start(seconds, kilobytes)


PIPES: Mapping[str, Any] = {
    "stdin": subprocess.PIPE,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.DEVNULL,
    "text": True,
}


def _ask(process: "subprocess.Popen[str]", messages: list[dict[str, Any]]) -> Any:
    """Send messages as a host does, which waits for each answer; return the last."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the server has no pipes")
    answer = None
    for message in messages:
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()
        if "id" in message:
            answer = json.loads(process.stdout.readline())
    return answer


def _environment(home: str) -> dict[str, str]:
    """Return an environment as bare as that in which hosts start servers."""
    kept: Iterator[str] = (name for name in ("PATH", "SYSTEMROOT", "TEMP") if name in os.environ)
    return {**{name: os.environ[name] for name in kept}, "HOME": home, "USERPROFILE": home}


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return float(line.split()[1])
