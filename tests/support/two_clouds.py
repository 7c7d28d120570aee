"""Two simulated accounts behind one server, with the same clusters by the same names and ids: `eu` and `asia`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from agent import Agent, Clock, _innermost, reading
from mcp import Client
from mcp.client.session import ElicitationFnT
from simulation import simulate

from ap_mcp.cloud.client import CloudClient
from ap_mcp.clouds import Account, Connect
from ap_mcp.credentials import find_credentials
from ap_mcp.guard.policy import Rule
from ap_mcp.protocol import build_server
from ap_mcp.server import Autopilot
from ap_mcp.settings import Settings
from ap_mcp.simulator.access import SIMULATED_CREDENTIALS
from ap_mcp.simulator.app import Simulator

ENDPOINT = "http://127.0.0.1:1"
REGIONS = {"eu": "eu-west-101", "asia": "ap-southeast-1"}
PROJECTS = {"eu": "e" * 32, "asia": "a" * 32}


@dataclass
class Two:
    """A server with two accounts, and their simulators by profile."""

    autopilot: Autopilot = field(repr=False)
    apps: Mapping[str, Simulator] = field(repr=False)

    def sent(self, profile: str) -> list[str]:
        """Operations that the simulator of a profile was asked for."""
        return [each.operation for each in self.apps[profile].state.log]

    def changed(self, profile: str) -> list[str]:
        """Operations among them that are more than a read."""
        return [each.operation for each in self.apps[profile].state.log if each.method != "GET"]


def two(
    folder: Path,
    *,
    profiles: Mapping[str, Mapping[str, Any]] | None = None,
    rules: Mapping[str, tuple[Rule, ...]] | None = None,
    unasked: bool = True,
    **settings: Any,
) -> Two:
    """Return a server with two accounts.

    Args:
        folder: for its files.
        profiles: settings of each profile, beyond those that lead to its simulator.
        rules: of each profile.
        unasked: no consent is needed.
        settings: for all.
    """
    names: dict[str, Any] = {
        "files_dir": folder / "files",
        "chart_roots": (folder,),
        "audit_log": folder / "state" / "audit.jsonl",
        "approvals_db": folder / "state" / "approvals.db",
        "approver_dir": folder / "config",
    }
    common = Settings(**({"forms": "always"} | names | settings))
    apps, accounts = {}, []
    for name in profiles if profiles is not None else REGIONS:
        keys = replace(SIMULATED_CREDENTIALS, project_id=PROJECTS[name], region=REGIONS[name])
        apps[name] = simulate(credentials=(keys,))
        there = {"region": REGIONS[name], "endpoint": ENDPOINT, "iam_endpoint": ENDPOINT}
        own = common.model_copy(update={**there, **(profiles or {}).get(name, {})})
        connect = _connector(own, keys.exports(ENDPOINT), apps[name])
        accounts.append(Account(own, connect, name, (rules or {}).get(name, ())))
    return Two(Autopilot(common, accounts, simulated=True, unasked=unasked), apps)


def _connector(settings: Settings, environment: Mapping[str, str], app: Simulator) -> Connect:
    async def connect() -> CloudClient:
        return CloudClient(settings, find_credentials(environment), httpx.ASGITransport(app))

    return connect


@asynccontextmanager
async def connected_to_two(
    folder: Path, person: ElicitationFnT | None = None, **how: Any
) -> AsyncIterator[tuple[Agent, Two]]:
    """Connect an agent to a server with two accounts."""
    both = two(folder, **how)
    if person is not None:
        clock = Clock()
        both.autopilot.confirmer = replace(both.autopilot.confirmer, now=clock)
        person = reading(person, clock)
    first = next(iter(both.apps.values()))
    try:
        client = Client(build_server(both.autopilot), raise_exceptions=True, elicitation_callback=person)
        async with both.autopilot, client:
            yield Agent(client, first, both.autopilot), both
    except BaseExceptionGroup as group:
        raise _innermost(group) from None
