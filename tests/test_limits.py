"""How much one principal may do at once is asked before a call begins, with the name of who calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent, connected
from guarded import Person
from simulation import simulate
from waiting import Hourglass, job_of

from ap_mcp.errors import CallRefused, TooManyCalls
from ap_mcp.guard.callers import local_user
from ap_mcp.guard.limits import MOST_BESIDE, LocalLimits, LocalTurn
from ap_mcp.simulator.constants import ML_BATCH, TEAM_SANDBOX

pytestmark = pytest.mark.anyio


class OneCall:
    """Limits that admit one call of each principal, and then none."""

    working = waiting = 0

    def __init__(self) -> None:
        self.admitted: list[str] = []
        self.ended: list[str] = []

    @asynccontextmanager
    async def admit(self, principal: str) -> AsyncIterator[LocalTurn]:
        if principal in self.admitted:
            raise CallRefused(f"{principal} has made too many calls. Nothing was sent; wait a minute.")
        self.admitted.append(principal)
        try:
            yield LocalTurn(anyio.Semaphore(0))
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


class Work:
    """Calls that work, or rest, until they are to end."""

    def __init__(self, limits: LocalLimits) -> None:
        self.limits = limits
        self.begun: list[str] = []
        self.refused: list[str] = []
        self.end = anyio.Event()

    async def call(self, principal: str = "ann", *, resting: bool = False) -> None:
        try:
            async with self.limits.admit(principal) as turn:
                self.begun.append(principal)
                if resting:
                    async with turn.rest():
                        await self.end.wait()
                else:
                    await self.end.wait()
        except TooManyCalls as refused:
            self.refused.append(str(refused))


async def settled(times: int = 5) -> None:
    for _ in range(times):
        await anyio.lowlevel.checkpoint()


async def test_a_call_waits_its_turn_and_principals_do_not_wait_for_each_other() -> None:
    work = Work(LocalLimits(2))
    async with anyio.create_task_group() as tasks:
        for principal in ("ann", "ann", "ann", "bob"):
            tasks.start_soon(work.call, principal)
        await settled()
        assert sorted(work.begun) == ["ann", "ann", "bob"]
        work.end.set()
    assert sorted(work.begun) == ["ann", "ann", "ann", "bob"]
    assert work.refused == []
    assert work.limits == LocalLimits(2)  # nothing of theirs is kept


async def test_a_call_whose_turn_does_not_come_is_refused_with_when_to_make_it_again() -> None:
    work = Work(LocalLimits(1, patience=0.01))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work.call)
        await settled()
        await work.call()
        [said] = work.refused
        assert said.startswith("Refused: 1 call is under way for you, and no more are taken at once. Nothing was sent.")
        assert said.endswith("Make this call again when some of them have ended, in about 0.01 s.")
        work.end.set()


async def test_a_call_that_only_waits_keeps_no_other_from_working_and_waits_for_a_turn_afterwards() -> None:
    work = Work(LocalLimits(1))
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(partial(work.call, resting=True))
        await settled(20)
        assert len(work.begun) == 5
        async with work.limits.admit("ann"):
            work.end.set()
            await settled()
            assert "ann" in work.limits._lanes
    assert work.limits == LocalLimits(1)


async def test_calls_that_wait_have_a_limit_too() -> None:
    work = Work(LocalLimits(1))
    async with anyio.create_task_group() as tasks:
        for _ in range(1 + MOST_BESIDE + 1):
            tasks.start_soon(partial(work.call, resting=True))
        await settled(5 * MOST_BESIDE)
        assert (len(work.begun), len(work.refused)) == (1 + MOST_BESIDE, 1)
        work.end.set()


@pytest.mark.parametrize("resting", [False, True])
async def test_a_call_that_is_cancelled_gives_its_turn_back(resting: bool) -> None:
    work = Work(LocalLimits(1))
    for _ in range(3):
        with anyio.move_on_after(0.01):
            await work.call(resting=resting)
    assert len(work.begun) == 3
    assert work.limits == LocalLimits(1)


async def test_a_call_that_is_cancelled_while_it_waits_for_another_turn_takes_none() -> None:
    work, resting = Work(LocalLimits(1)), Work(LocalLimits(1))
    resting.limits = work.limits
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(resting.call, resting=True))
        await settled()
        async with work.limits.admit("ann"):
            resting.end.set()
            await settled()
            tasks.cancel_scope.cancel()
    assert work.limits == LocalLimits(1)


async def test_wait_for_lets_others_work_while_it_sleeps(tmp_path: Path) -> None:
    app = simulate()
    glass = Hourglass(app.state.world)
    agents: list[Agent] = []

    async def sleep(seconds: float) -> None:
        await agents[0].call("get_quotas")
        await glass.sleep(seconds)

    async with connected(tmp_path, app=app, clock={"sleep": sleep, "now": glass.now}) as agent:
        agent.autopilot.limits = LocalLimits(1)
        agents.append(agent)
        await agent.call("wait_for", kind="job", id=job_of(agent, ML_BATCH), wait_s=5)
        assert "get_quotas" in agent.sent


class Working(Person):
    """A person in whose client another call is made while they read."""

    agent: Agent

    async def __call__(self, context: Any, params: Any) -> Any:
        await self.agent.call("get_quotas")
        return await super().__call__(context, params)


async def test_others_work_while_a_person_is_asked(tmp_path: Path) -> None:
    person = Working()
    async with connected(tmp_path, mode="legacy", person=person, unasked=False) as agent:
        person.agent = agent
        agent.autopilot.limits = LocalLimits(1)
        await agent.call("delete_cluster", cluster_id=TEAM_SANDBOX)
        assert agent.changed == ["delete_cluster"]
