"""How long others wait while a large answer of the cloud is worked on."""

import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent import connected
from heavy import MIB, Heavy, heavy_answers, longest_ping
from measures import Section
from simulation import simulate

SIZE = 8 * MIB
MOST_MS = 150


async def section() -> Section:
    """Ping a server in this process while it works on each of some answers of eight megabytes."""
    rows, broken = [], []
    for name, (tool, given, content) in heavy_answers(SIZE).items():
        pause, took = await _measured(tool, given, content)
        rows.append([name, f"{took:.1f} s", f"{pause * 1000:.0f} ms", f"{MOST_MS} ms"])
        broken += [f"load: {name}: a ping took {pause * 1000:.0f} ms"] if pause * 1000 > MOST_MS else []
    about = (
        "An answer of 8 MiB is received, masked, summarised and kept; meanwhile the same client sends pings, one "
        "after the other. Larger answers are refused from 16 MiB on. Times depend on the machine."
    )
    return Section("Load", about, ["an answer of 8 MiB", "until it is there", "longest ping", "at most"], rows, broken)


async def _measured(tool: str, given: dict[str, Any], content: bytes) -> tuple[float, float]:
    app, started = simulate(), time.perf_counter()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pings are for versions of the protocol before 2026-07-28
        async with connected(Path(folder), app=app, transport=Heavy(app, content), mode="legacy") as agent:
            pause = await longest_ping(agent.client, lambda: agent.client.call_tool(tool, given))
    return pause, time.perf_counter() - started
