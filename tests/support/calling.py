"""Calls the simulator's operations by tool name and arguments, bound from the specs as the server does it."""

from dataclasses import dataclass
from typing import Any

import httpx
from simulation import Caller

from ap_mcp.binding import FilePart, bind
from ap_mcp.simulator.world import World
from ap_mcp.specs import Catalog


@dataclass(frozen=True)
class Tools:
    """Every operation of a catalog, sent to one simulator."""

    catalog: Catalog
    caller: Caller

    @property
    def world(self) -> World:
        """The simulated account."""
        return self.caller.app.state.world

    async def __call__(self, tool: str, **arguments: Any) -> httpx.Response:
        """Bind, sign and send one call; the arguments are not checked, so that the simulator's checks show."""
        files = {name: value for name, value in arguments.items() if isinstance(value, FilePart)}
        plain = {name: value for name, value in arguments.items() if name not in files}
        project_id = self.caller.credentials.project_id
        call = bind(self.catalog[tool], plain, project_id=project_id, files=files)
        headers = {"Content-Type": call.content_type}
        return await self.caller.send(call.method, call.path, call.body, query=call.query, headers=headers)
