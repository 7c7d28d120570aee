"""What answers propose leads on: who follows it by reading alone never comes back to a call made before."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, connected
from assessing import Scene
from simulation import simulate

from ap_mcp.simulator.constants import CHECKOUT_STAGING
from ap_mcp.simulator.upgrade_state import UPGRADES

pytestmark = pytest.mark.anyio

DRAWN = 24
ENTRIES = ("list_problems", "list_clusters", "get_cluster", "assess_upgrade", "list_prechecks", "list_addons")
FURTHER = ("get_upgrade_info", "list_upgrade_tasks", "list_backups", "list_releases", "get_maintenance_window")
OF_THE_ACCOUNT = ("list_problems", "list_clusters", "list_jobs", "list_charts")
CLUSTER = ("Available", "Available", "Available", "Error", "Unavailable", "Upgrading", "Hibernation", "Creating")
UPGRADE = ("", "", "Success", "Failed", "Running", "Pause", "Queuing")
CHECK = ("", "passed", "Failed", "Error", "Running", "expired")
ADDON = ("running", "running", "abnormal", "installFailed", "upgradeFailed", "deleteFailed", "upgrading", "available")


@dataclass
class Walk:
    """The reads that can be reached from some, each made once; `leads` holds where each leads to."""

    agent: Agent
    reading: set[str]
    leads: dict[str, list[str]] = field(default_factory=dict)

    async def from_(self, tool: str, arguments: dict[str, Any]) -> None:
        """Read, and whatever reads are proposed."""
        waiting = [(tool, arguments)]
        while waiting:
            tool, arguments = waiting.pop()
            here = written(tool, arguments)
            if here in self.leads:
                continue
            result = await self.agent.run(tool, arguments)
            proposed = (result.structured_content or {}).get("next", [])
            # What is proposed stands in its order, and what comes after a change or a wait may read something else.
            reads = takewhile(lambda each: each["tool"] in self.reading, proposed)
            onward = [(each["tool"], each["arguments"]) for each in reads]
            self.leads[here] = [written(*each) for each in onward]
            waiting += onward

    def circles(self) -> Iterator[list[str]]:
        """Yield the ways that lead back to where they began."""
        for start in self.leads:
            ways = [[start]]
            seen = set()
            while ways:
                way = ways.pop()
                for each in self.leads.get(way[-1], ()):
                    if each == start:
                        yield [*way, each]
                    elif each not in seen:
                        seen.add(each)
                        ways.append([*way, each])


def written(tool: str, arguments: dict[str, Any]) -> str:
    return f"{tool}({', '.join(f'{key}={value}' for key, value in sorted(arguments.items()))})"


def drawn(number: int) -> Scene:
    """Draw a state of a cluster: its phase, its upgrades, checks, backups and add-ons."""
    draw, scene = random.Random(number), Scene()  # noqa: S311 - the same states in every run
    check, upgrade = draw.choice(CHECK), draw.choice(UPGRADE)
    if check:
        row = scene.check(ago=600 if check == "expired" else 5)
        row["status"] |= {} if check in ("passed", "expired") else {"phase": check}
    if draw.random() < 0.5:
        scene.back_up(hours=draw.choice((1, 100)), phase=draw.choice(("Success", "Failed")))
    if upgrade:
        scene.upgrade(upgrade)
        task = list(scene.world.table(UPGRADES).values())[-1]
        task["metadata"]["updateTimestamp"] = scene.world.timestamp(scene.world.now() - timedelta(hours=3))
    for name in ("coredns", "metrics-server"):
        scene.addon(name)["status"] |= {"status": draw.choice(ADDON), "Reason": "it said so"}
    scene.row["status"]["phase"] = draw.choice(CLUSTER)
    return scene


@pytest.mark.parametrize("number", range(DRAWN))
async def test_following_reads_never_leads_back(number: int, tmp_path: Path) -> None:
    async with connected(tmp_path, app=simulate(drawn(number).world)) as agent:
        tools = (await agent.client.list_tools()).tools
        # A wait lets time pass, which may change what is read.
        reading = {tool.name for tool in tools if tool.annotations and tool.annotations.read_only_hint} - {"wait_for"}
        walk = Walk(agent, reading)
        for entry in (*ENTRIES, *FURTHER):
            await walk.from_(entry, {} if entry in OF_THE_ACCOUNT else {"cluster_id": CHECKOUT_STAGING})
        assert list(walk.circles()) == []
        assert len(walk.leads) > len(ENTRIES)
        assert agent.changed == []
