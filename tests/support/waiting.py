"""Waits in a test: time that passes only during a sleep, and reads that show what the test gives."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from agent import Agent, connected
from simulation import simulate

from ap_mcp.errors import ApMcpError
from ap_mcp.simulator.constants import ML_BATCH
from ap_mcp.simulator.world import World
from ap_mcp.specs import load_catalog
from ap_mcp.wait.poller import Ending, Report, Shown, Watch, say_nothing
from ap_mcp.wait.targets import Order, waitables


@dataclass
class Hourglass:
    """Time that passes only during a sleep, and then also in the simulated account."""

    world: World | None = None
    time: float = 1000.0
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], object] | None = None
    """What happens during the next sleep."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        if self.world is not None:
            self.world.advance(seconds)
        if self.meanwhile is not None:
            happen, self.meanwhile = self.meanwhile, None
            happen()

    def now(self) -> float:
        return self.time


@asynccontextmanager
async def waiting(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Agent, Hourglass]]:
    """Connect an agent to a server whose time is an hourglass."""
    app = simulate()
    glass = Hourglass(app.state.world)
    clock = {"sleep": glass.sleep, "now": glass.now}
    async with connected(tmp_path, app=app, clock=clock, **settings) as agent:
        yield agent, glass


def job_of(agent: Agent, cluster_id: str) -> str:
    return str(agent.world.table("clusters")[cluster_id]["status"]["jobID"])


def reads(agent: Agent, operation: str) -> int:
    return agent.sent.count(operation)


@dataclass(frozen=True)
class Answered:
    """What a read brings."""

    body: Any


def answer(phase: str) -> Answered:
    return Answered({"status": {"phase": phase}})


async def watch(
    answers: list[Answered | ApMcpError | None],
    *,
    kind: str = "cluster",
    seconds: float = 50,
    changed: bool = False,
    report: Report = say_nothing,
    **given: Any,
) -> Ending[Order, Answered]:
    """Wait for something that each read shows like this; at None a read never ends."""
    glass = Hourglass()
    waitable = waitables(load_catalog().values(), load_catalog())[kind]
    coming = iter(answers)

    async def read(_: Order) -> Answered:
        found = next(coming)
        if found is None:
            await anyio.sleep_forever()
        if isinstance(found, ApMcpError):
            raise found
        assert found is not None
        return found

    async def describe(_: Order, seen: Answered) -> Shown:
        return Shown(str(seen), seen.body.get("percent") if isinstance(seen.body, dict) else None)

    order = Order(waitable, {"kind": kind, "id": ML_BATCH, "wait_s": seconds, **given})
    return await Watch(order, read, describe, glass.sleep, glass.now, report, changed).run()
