"""What serving over HTTP costs beside the SDK's own server, and whether principals delay each other.

By itself, in fewer and shorter rounds: `PYTHONPATH=tests/support .venv/bin/python benchmarks/throughput.py`.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import anyio
from http_calls import HELD, KINDS, MIX, MIXED
from http_client import LEGACY, MODERN, Load, Measured, as_fast_as_answered, at_a_rate
from measures import Section, multiple

SERVERS = str(Path(__file__).with_name("http_servers.py"))
CONNECTIONS = 32
PRINCIPALS = (1, 10, 50)
LEAST, MOST = 0.4, 2.0
"""The least throughput as a share of the bare server's, and the most that 50 principals may add to p99."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    seconds: float
    """Of each kind of call in each round."""
    parts: int
    """How often lateness is measured."""
    at_a_rate: float
    """Seconds of that for each number of principals."""


FULL, QUICK = Effort(5, 1.0, 5, 2.0), Effort(3, 1.0, 3, 2.0)


async def section(effort: Effort = FULL) -> Section:
    """Measure both servers in turn, in both eras; then ours at half of what it can do."""
    rows, broken = [], []
    with served("bare") as bare, served("ours") as ours:
        for era in (MODERN, LEGACY):
            rounds = [await _round(bare, ours, era, effort.seconds) for _ in range(effort.rounds)]
            for kind in KINDS:
                rate = median(mine.rate / theirs.rate for mine, theirs in (each[kind] for each in rounds))
                cost = median(mine.cost / theirs.cost for mine, theirs in (each[kind] for each in rounds))
                rows.append([f"{kind}, {era}", f"{rate:.2f}", multiple(cost), "", ""])
                if kind in HELD and rate < LEAST:
                    broken.append(f"over HTTP: {kind}, {era}, at {rate:.2f} of the bare throughput")
            capacity = median(mine.rate for mine, _ in (each[MIX] for each in rounds))
            late = [await _late(ours, era, capacity / 2, effort.at_a_rate) for _ in range(effort.parts)]
            for count in PRINCIPALS:
                p50, p99 = (median(part[count].percentile(share) for part in late) * 1000 for share in (0.5, 0.99))
                rows.append([f"mixed, {count} at half of it, {era}", "", "", f"{p50:.1f} ms", f"{p99:.1f} ms"])
            one, many = PRINCIPALS[0], PRINCIPALS[-1]
            grown = median(part[many].percentile(0.99) / part[one].percentile(0.99) for part in late)
            rows.append([f"p99 of {many} to that of one, {era}", "", "", "", multiple(grown)])
            broken += [f"over HTTP: p99 of {many} is {multiple(grown)} that of one, {era}"] if grown > MOST else []
    about = (
        "Medians of calls over HTTP, stateless, one process, the cloud stubbed within it; beside them the SDK's "
        "low-level server, which sends what ours answered to the same call, text and structure, and does nothing else "
        f"for it; what is slow takes both a second. {CONNECTIONS} connections, {PRINCIPALS[1]} principals. Throughput "
        f"is a share of the bare server's for the same calls (of {' and '.join(HELD)} at least {LEAST}), processor "
        "time a call a multiple of its. Then the mixed calls at half of the rate that they reached, by 1, 10 and 50 "
        "principals: how long the quick ones take from the moment at which they are due; p99 of 50 at most "
        f"{MOST:.0f} times that of one."
    )
    header = ["calls", "throughput", "processor", "p50", "p99"]
    return Section("Over HTTP", about, header, rows, broken)


@contextmanager
def served(which: str) -> Iterator[int]:
    """Run one of the servers in a process of its own; yield its port."""
    command = [sys.executable, SERVERS, which]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output")
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _round(bare: int, ours: int, era: str, seconds: float) -> dict[str, tuple[Measured, Measured]]:
    """Measure each kind of call once at both servers, ours first, one after the other."""
    loads = {kind: [Load(port, era, calls, PRINCIPALS[1]) for port in (ours, bare)] for kind, calls in KINDS.items()}
    found = {}
    for kind, (mine, theirs) in loads.items():
        measured = await as_fast_as_answered(mine, CONNECTIONS, seconds)
        found[kind] = measured, await as_fast_as_answered(theirs, CONNECTIONS, seconds)
    return found


async def _late(port: int, era: str, rate: float, seconds: float) -> dict[int, Measured]:
    """Return how late calls are at a rate, by the number of principals who make them, one after the other."""
    return {count: await at_a_rate(Load(port, era, MIXED, count), rate, CONNECTIONS, seconds) for count in PRINCIPALS}


if __name__ == "__main__":
    found = anyio.run(section, QUICK)
    print("\n".join([*found.lines(), *found.broken]))
    sys.exit(1 if found.broken else 0)
