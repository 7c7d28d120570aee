"""Builds impacts in tests from live reads of an in-process simulator, through the real client."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from deciding import effect_of
from simulation import simulate

from ap_mcp.binding import bind
from ap_mcp.cloud.client import CloudClient
from ap_mcp.credentials import find_credentials
from ap_mcp.errors import ApMcpError, CallRefused
from ap_mcp.filling import fill_in
from ap_mcp.guard.impacts import build_impact
from ap_mcp.guard.impacts.base import Case, Impact
from ap_mcp.guard.policy import Policy
from ap_mcp.settings import Settings
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import CHECKOUT_STAGING
from ap_mcp.simulator.serving import exports
from ap_mcp.simulator.upgrades import fail_next_upgrade
from ap_mcp.simulator.world import World
from ap_mcp.specs import Effect, load_catalog

ENDPOINT = "http://127.0.0.1:1"
CHECK_SECONDS, BACKUP_SECONDS, UPGRADE_SECONDS = 40, 30, 120
Bend = Callable[[Any], Any]


@dataclass
class Judge:
    """Asks what calls would do; reads go to a simulator, whose answers can be changed."""

    client: CloudClient = field(repr=False)
    app: Simulator = field(repr=False)
    bent: dict[str, Bend] = field(default_factory=dict)
    """Operation → what makes of its answer the one that arrives."""
    read: list[str] = field(default_factory=list)
    """Operations that were read, in order."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Content of the local files that arguments name."""
    only_asks: bool = False
    """Whether the calls only ask what would happen."""

    @property
    def world(self) -> World:
        return self.app.state.world

    def row(self, cluster_id: str) -> dict[str, Any]:
        """A cluster as the simulator keeps it."""
        row: dict[str, Any] = self.world.table("clusters")[cluster_id]
        return row

    async def send(self, tool: str, **arguments: Any) -> Any:
        """Call an operation as if no consent were needed; its answer."""
        operation = load_catalog()[tool]
        filled = (await fill_in(operation, arguments, self.send)).values
        project = await self.client.project_id()
        return (await self.client.send(bind(operation, arguments, project_id=project, filled=filled))).body

    async def read_for_impact(self, tool: str, **arguments: Any) -> Any:
        """Read for an impact."""
        self.read.append(tool)
        body = await self.send(tool, **arguments)
        return self.bent.get(tool, lambda same: same)(body)

    async def impact(self, tool: str, *, effect: Effect | None = None, **arguments: Any) -> Impact:
        """Build the impact of a call; nothing but reads may be sent for it."""
        operation = load_catalog()[tool]
        before = len(self.app.state.log)
        found = effect or effect_of(operation, arguments, Policy())
        try:
            return await build_impact(
                Case(operation, arguments, found, self.read_for_impact, self.world.now, self.files, self.only_asks)
            )
        finally:
            assert {request.method for request in self.app.state.log[before:]} <= {"GET"}

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """Say why a call is refused without asking anybody."""
        error = await self.failure(tool, **arguments)
        assert isinstance(error, CallRefused), error
        assert "Nothing was sent" in str(error)
        return error.render()

    async def failure(self, tool: str, **arguments: Any) -> ApMcpError:
        """Return the error with which a call ends before anybody is asked."""
        try:
            impact = await self.impact(tool, **arguments)
        except ApMcpError as error:
            return error
        raise AssertionError(impact.text())

    def fail(self, operation: str, status: int = 403) -> None:
        """Let every read of an operation fail."""
        self.app.state.faults.inject("status", operation, times=None, value=status)


@asynccontextmanager
async def judge(app: Simulator | None = None) -> AsyncIterator[Judge]:
    """Connect to a simulator, a new one if none is given."""
    served = app or simulate()
    async with CloudClient(_settings(), find_credentials(exports(ENDPOINT)), httpx.ASGITransport(served)) as client:
        yield Judge(client, served)


@cache
def _settings() -> Settings:
    return Settings(endpoint=ENDPOINT, iam_endpoint=ENDPOINT, region=exports(ENDPOINT)["AP_MCP_REGION"])


def facts(impact: Impact) -> dict[str, str]:
    """The facts of an impact by their labels."""
    return dict(impact.facts)


async def check(cloud: Judge, cluster_id: str = CHECKOUT_STAGING, target: str = "v1.31", **more: Any) -> str:
    """Run a pre-upgrade check to its end; its id."""
    started = await cloud.send("run_precheck", cluster_id=cluster_id, target_version=target, **more)
    cloud.world.advance(CHECK_SECONDS)
    return str(started["metadata"]["uid"])


async def back_up(cloud: Judge, cluster_id: str = CHECKOUT_STAGING) -> None:
    """Back a cluster up."""
    await cloud.send("backup_cluster", cluster_id=cluster_id)
    cloud.world.advance(BACKUP_SECONDS)


async def start(cloud: Judge, cluster_id: str = CHECKOUT_STAGING, target: str = "v1.31") -> str:
    """Start an upgrade that a check allows; its id."""
    started = await cloud.send("upgrade_cluster", cluster_id=cluster_id, target_version=target)
    return str(started["metadata"]["uid"])


async def fail_an_upgrade(cloud: Judge, cluster_id: str = CHECKOUT_STAGING) -> str:
    """Let an upgrade fail half-way; its id."""
    fail_next_upgrade(cloud.world, cluster_id)
    await check(cloud, cluster_id)
    task = await start(cloud, cluster_id)
    cloud.world.advance(UPGRADE_SECONDS)
    return task


async def open_workflow(cloud: Judge, cluster_id: str = CHECKOUT_STAGING) -> dict[str, Any]:
    """Open an upgrade workflow; the arguments that cancel it."""
    opened = await cloud.send("create_upgrade_workflow", cluster_id=cluster_id, target_version="v1.31")
    return {"cluster_id": cluster_id, "upgrade_workflow_id": opened["metadata"]["uid"]}


def bend_items(cloud: Judge, operation: str, **status: Any) -> None:
    """Let the status of every entry of a list arrive changed."""

    def bend(found: Any) -> Any:
        entries = [{**each, "status": {**each["status"], **status}} for each in found["items"]]
        return {**found, "items": entries}

    cloud.bent[operation] = bend
