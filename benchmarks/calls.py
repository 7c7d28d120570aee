"""What a call takes on top of the bare HTTP exchange with the same simulator, which runs in a process of its own."""

import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from measures import Section, dense, times
from simulation import signed_headers

from ap_mcp.binding import bind
from ap_mcp.cloud.client import CloudClient
from ap_mcp.credentials import find_credentials
from ap_mcp.rendering import render
from ap_mcp.server import Autopilot
from ap_mcp.settings import Settings
from ap_mcp.simulator.constants import PAYMENTS_PROD, PROJECT_ID, SHOP_PROD
from ap_mcp.simulator.serving import exports
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Result

WARM, RUNS = 30, 400
MOST_MS = 1.5
AP_MCP = str(Path(sys.executable).with_name("ap-mcp"))
CALLS: dict[str, dict[str, Any]] = {
    "get_cluster": {"cluster_id": PAYMENTS_PROD},
    "get_upgrade_info": {"cluster_id": PAYMENTS_PROD},
    "get_quotas": {},
    "list_clusters": {},
    "list_upgrade_tasks": {"cluster_id": PAYMENTS_PROD},
    "list_prechecks": {"cluster_id": SHOP_PROD},
}


@dataclass(frozen=True)
class Cost:
    """What one kind of call takes, in milliseconds: ours, and the exchange alone."""

    ours: float
    bare: float
    more: float
    """The median of the differences between calls that were made one after the other."""


async def section() -> Section:
    """Make each call in turn through our layers and as a bare, already signed request."""
    with simulator() as environment:
        async with connected(environment) as (autopilot, client):
            costs = {tool: await _cost(autopilot, client, environment, tool) for tool in CALLS}
    rows = [[tool, times(cost.ours, cost.bare), f"{cost.more:.2f} ms"] for tool, cost in costs.items()]
    typical = median(cost.more for cost in costs.values())
    rows.append(["median of these", times(_median("ours", costs), _median("bare", costs)), f"{typical:.2f} ms"])
    broken = [f"a call takes {typical:.2f} ms on top"] if typical > MOST_MS else []
    about = (
        "Checked arguments, policy, request, signature, answer, summary and both its forms, against httpx sending the "
        f"same signed request to the same simulator in another process; {RUNS} calls of each kind, in turn. "
        f"At most {MOST_MS} ms on top."
    )
    return Section("A call", about, ["operation", "ours", "on top"], rows, broken)


def _median(side: str, costs: dict[str, Cost]) -> float:
    return median(getattr(cost, side) for cost in costs.values())


@contextmanager
def simulator() -> Iterator[dict[str, str]]:
    """Run the simulator in a process of its own; yield the environment that points to it."""
    command = [AP_MCP, "simulate"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the simulator has no output")
            lines = [process.stdout.readline().removeprefix("export ") for _ in exports("")]
            yield dict(shlex.split(line)[0].split("=", 1) for line in lines)
        finally:
            process.terminate()


@asynccontextmanager
async def connected(environment: dict[str, str]) -> AsyncIterator[tuple[Autopilot, httpx.AsyncClient]]:
    endpoint = environment["AP_MCP_ENDPOINT"]
    settings = Settings(endpoint=endpoint, iam_endpoint=endpoint, region=environment["AP_MCP_REGION"])

    async def connect() -> CloudClient:
        return CloudClient(settings, find_credentials(environment))

    bare = httpx.AsyncClient(base_url=endpoint, trust_env=False)
    async with bare, Autopilot(settings, connect, simulated=True) as autopilot:
        yield autopilot, bare


async def _cost(autopilot: Autopilot, client: httpx.AsyncClient, environment: dict[str, str], tool: str) -> Cost:
    arguments = CALLS[tool]
    call = bind(load_catalog()[tool], arguments, project_id=PROJECT_ID)
    host = environment["AP_MCP_ENDPOINT"].removeprefix("http://")
    headers = signed_headers(call.method, call.path, call.query, host=host)

    async def bare() -> None:
        response = await client.request(call.method, call.path, params=list(call.query), headers=headers)
        response.raise_for_status()

    async def ours() -> None:
        result = await autopilot.call(tool, arguments)
        if not isinstance(result, Result):
            raise TypeError(f"{tool} asks a person")
        render(result)
        dense(result.structured())

    for _ in range(WARM):
        await _timed(bare)
        await _timed(ours)
    pairs = [(await _timed(ours), await _timed(bare)) for _ in range(RUNS)]
    mine, theirs = zip(*pairs, strict=True)
    return Cost(median(mine), median(theirs), median(one - other for one, other in pairs))


async def _timed(action: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await action()
    return 1000 * (time.perf_counter() - began)
