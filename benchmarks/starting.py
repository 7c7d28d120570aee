"""How long a host waits for the list of tools and the first answer, and what that takes, against a bare server."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from calls import simulator
from measures import Section, multiple

from ap_mcp.simulator.constants import PAYMENTS_PROD

RUNS = 21
LONGEST = 60
TIME, MEMORY = 1.10, 1.25
OURS = (str(Path(sys.executable).with_name("ap-mcp")), "serve")
BARE = (sys.executable, str(Path(__file__).with_name("bare.py")))
CLUSTER, ECHO = {"cluster_id": PAYMENTS_PROD}, {"name": "echo", "arguments": {"text": "x"}}
CALLS: Mapping[tuple[str, ...], list[Mapping[str, Any]]] = {
    OURS: [{"name": "list_clusters", "arguments": {}}, {"name": "get_cluster", "arguments": CLUSTER}],
    BARE: [ECHO, ECHO],
}
"""What is called: first something without arguments, which need not be checked, then with some."""
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}
ERAS = {
    MODERN: [{"id": 1, "method": "tools/list", "params": {"_meta": META}}],
    "2025-11-25": [
        {"id": 0, "method": "initialize", "params": HELLO},
        {"method": "notifications/initialized"},
        {"id": 1, "method": "tools/list"},
    ],
}
PIPES: Mapping[str, Any] = {
    "stdin": subprocess.PIPE,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.DEVNULL,
    "text": True,
}


@dataclass(frozen=True)
class Start:
    """One start, and the first call."""

    seconds: float
    """Until the tools are listed."""
    until_answer: float
    """Seconds until the first call is answered."""
    busy: float
    """Seconds of processor time, until it has ended."""
    kilobytes: float
    """Resident after the first call; not a number where the system does not report it."""
    kilobytes_later: float
    """Likewise after the second."""


def section() -> Section:
    """Start both servers in turn, so that whatever else the machine does falls on both."""
    rows, broken = [], []
    with tempfile.TemporaryDirectory() as home, simulator() as cloud:
        environment = {**_environment(home), **cloud}
        for era in ERAS:
            _start(OURS, era, environment)
            pairs = [(_start(OURS, era, environment), _start(BARE, era, environment)) for _ in range(RUNS)]
            ratios = {what: median(each) for what, each in _ratios(pairs).items()}
            rows += [
                [f"spawn to tools/list, {era}", multiple(ratios["seconds"]), multiple(TIME)],
                [f"spawn to the first call's answer, {era}", multiple(ratios["until_answer"]), ""],
                [f"processor time until it leaves, {era}", multiple(ratios["busy"]), ""],
                [f"memory after the first call, {era}", multiple(ratios["kilobytes"]), multiple(MEMORY)],
                [f"memory after one with arguments, {era}", multiple(ratios["kilobytes_later"]), ""],
            ]
            broken += [f"start-up, {era}: {multiple(ratios['seconds'])}"] if ratios["seconds"] > TIME else []
            broken += [f"memory, {era}: {multiple(ratios['kilobytes'])}"] if ratios["kilobytes"] > MEMORY else []
    about = (
        f"`ap-mcp serve` against bare.py, the SDK's low-level server with one tool: {RUNS} starts of each, in turn; "
        "medians of the ratios, pair by pair. Ours then lists the clusters of the simulator, which takes no arguments, "
        "and reads one of them, whose arguments are checked; bare.py says x back, twice."
    )
    return Section("Start-up and memory", about, ["what", "ours", "at most"], rows, broken)


def _ratios(pairs: list[tuple["Start", "Start"]]) -> dict[str, list[float]]:
    """Return ours as a multiple of the bare server's, pair by pair: what slows the machine down slows both."""
    whats = (each.name for each in fields(Start))
    return {what: [getattr(ours, what) / getattr(bare, what) for ours, bare in pairs] for what in whats}


def _start(command: tuple[str, ...], era: str, environment: Mapping[str, str]) -> Start:
    """Start a server, have it list its tools and answer a call, and stop it."""
    more = {"_meta": META} if era == MODERN else {}
    calls = [
        {"id": at, "method": "tools/call", "params": {**call, **more}} for at, call in enumerate(CALLS[command], 2)
    ]
    before, began = _busy(), time.perf_counter()
    with subprocess.Popen(command, env=environment, **PIPES) as process:
        try:
            listed = _ask(process, ERAS[era])
            seconds = time.perf_counter() - began
            if not listed["result"]["tools"]:
                raise RuntimeError(f"{command[0]} lists no tools")
            _call(process, calls[0])
            until_answer, kilobytes = time.perf_counter() - began, _resident(process.pid)
            _call(process, calls[1])
            later = _resident(process.pid)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(LONGEST)
    return Start(seconds, until_answer, _busy() - before, kilobytes, later)


def _call(process: "subprocess.Popen[str]", call: dict[str, Any]) -> None:
    if _ask(process, [call])["result"].get("isError"):
        raise RuntimeError(f"{process.args} answers no call")


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
    """Return an environment as bare as that of hosts that start servers."""
    kept: Iterator[str] = (name for name in ("PATH", "SYSTEMROOT", "TEMP") if name in os.environ)
    return {**{name: os.environ[name] for name in kept}, "HOME": home, "USERPROFILE": home}


def _busy() -> float:
    """Return the processor time of all children that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return float(line.split()[1])
