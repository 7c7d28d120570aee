"""How much one principal may do at once is asked before a call begins, with the name of who calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agent import connected

from ap_mcp.errors import CallRefused
from ap_mcp.guard.callers import local_user

pytestmark = pytest.mark.anyio


class OneCall:
    """Limits that admit one call of each principal, and then none."""

    def __init__(self) -> None:
        self.admitted: list[str] = []
        self.ended: list[str] = []

    @asynccontextmanager
    async def admit(self, principal: str) -> AsyncIterator[None]:
        if principal in self.admitted:
            raise CallRefused(f"{principal} has made too many calls. Nothing was sent; wait a minute.")
        self.admitted.append(principal)
        try:
            yield
        finally:
            self.ended.append(principal)


async def test_a_principal_over_its_limit_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        agent.autopilot.limits = limits = OneCall()
        await agent.call("get_quotas")
        assert limits.admitted == limits.ended == [local_user()]
        sent = list(agent.sent)
        assert "has made too many calls. Nothing was sent" in await agent.fail("get_quotas")
        assert agent.sent == sent


async def test_a_server_with_one_user_admits_every_call(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        for _ in range(5):
            await agent.call("get_quotas")
        assert agent.sent == ["get_quotas"] * 5
