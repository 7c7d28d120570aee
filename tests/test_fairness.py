"""However slow the calls of one principal are, those of another go on: turns, connections and processes are shared."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from agent import autopilot_on
from heavy import Heavy, releases
from simulation import simulate

from ap_mcp import aside
from ap_mcp.calling import NOBODY, Calling, calling, working_on
from ap_mcp.cloud.client import AT_ONCE_PER_CLUSTER
from ap_mcp.errors import TooManyCalls, TooOften
from ap_mcp.fairness import FairShare
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.limits import LocalLimits, Rate
from ap_mcp.server import Autopilot
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import SEARCH_DEV
from ap_mcp.summaries import Result

pytestmark = pytest.mark.anyio

ANN, BOB = Caller("token:ann"), Caller("token:bob")


class Turns:
    """Principals who take turns at something, and keep them."""

    def __init__(self, share: FairShare) -> None:
        self.share = share
        self.begun: list[str] = []
        self.end = anyio.Event()

    async def hold(self, principal: str, *, is_shared: bool = True) -> None:
        with working_on(Calling(principal, "", is_shared)):
            async with self.share.turn():
                self.begun.append(principal)
                await self.end.wait()

    async def settle(self, tasks: Any, *principals: str, **how: bool) -> None:
        for principal in principals:
            tasks.start_soon(partial(self.hold, principal, **how))
        await settled()


async def settled(times: int = 20) -> None:
    for _ in range(times):
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def turns(total: int, weight: int = 1) -> AsyncIterator[tuple[Turns, Any]]:
    found = Turns(FairShare(total, weight))
    async with anyio.create_task_group() as tasks:
        yield found, tasks
        found.end.set()
    assert found.share.waiting == 0
    assert (found.share._free, found.share._held) == (total, {})


async def test_one_principal_leaves_as_much_as_it_holds() -> None:
    async with turns(10) as (at, tasks):
        await at.settle(tasks, *["ann"] * 20)
        assert at.begun == ["ann"] * 5
        await at.settle(tasks, *["bob"] * 20)
        assert at.begun[5:] == ["bob"] * 3
        await at.settle(tasks, "eve")
        assert at.begun[8:] == ["eve"]
        assert at.share.waiting == 15 + 17


async def test_who_has_the_server_to_themselves_may_hold_all() -> None:
    async with turns(4) as (at, tasks):
        await at.settle(tasks, *["me"] * 6, is_shared=False)
        assert at.begun == ["me"] * 4


async def test_a_weight_leaves_less_to_others() -> None:
    async with turns(4, weight=3) as (at, tasks):
        await at.settle(tasks, *["ann"] * 4, *["bob"] * 2)
        assert at.begun == ["ann", "ann", "ann", "bob"]


async def test_a_turn_that_is_given_back_goes_to_who_holds_least() -> None:
    share, begun, ends = FairShare(3, weight=9), [], {name: anyio.Event() for name in "abcdef"}

    async def hold(name: str, principal: str) -> None:
        with working_on(Calling(principal, "", is_shared=True)):
            async with share.turn():
                begun.append(name)
                await ends[name].wait()

    async with anyio.create_task_group() as tasks:
        for name, principal in zip("abcde", ("ann", "ann", "eve", "ann", "bob"), strict=True):
            tasks.start_soon(hold, name, principal)
            await settled()
        assert begun == ["a", "b", "c"]
        ends["c"].set()
        await settled()
        assert begun == ["a", "b", "c", "e"]  # bob, although ann has waited longer
        ends["a"].set()
        await settled()
        assert begun == ["a", "b", "c", "e", "d"]
        for each in ends.values():
            each.set()


async def test_who_is_cancelled_while_they_wait_takes_no_turn_and_blocks_nobody() -> None:
    async with turns(2) as (at, tasks):
        await at.settle(tasks, "ann")
        for _ in range(3):
            with anyio.move_on_after(0.001) as scope:
                await at.hold("ann")
            assert scope.cancelled_caught
        assert at.share.waiting == 0
        await at.settle(tasks, "bob")
        assert at.begun == ["ann", "bob"]


async def test_who_is_cancelled_as_their_turn_comes_gives_it_to_the_next() -> None:
    async with turns(1) as (at, others):
        async with anyio.create_task_group() as tasks:
            with working_on(Calling("ann", "", is_shared=True)):
                async with at.share.turn():
                    await at.settle(tasks, "bob")
                    await at.settle(others, "eve")
                    tasks.cancel_scope.cancel()  # bob does not know yet as he gets the turn
        await settled()
        assert at.begun == ["eve"]


def test_outside_of_calls_nobody_is_served() -> None:
    assert calling() is NOBODY
    with working_on(Calling("ann", "get_quotas")):
        assert calling().principal == "ann"
    assert calling() is NOBODY


class Hanging(httpx.AsyncBaseTransport):
    """Leads into a simulator; what is asked for under one path is never answered until it is let go."""

    def __init__(self, app: Simulator, path: str) -> None:
        self._inner = httpx.ASGITransport(app)
        self._path = path
        self.under_way = 0
        self.end = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._path in request.url.path and not self.end.is_set():
            self.under_way += 1
            await self.end.wait()
        return await self._inner.handle_async_request(request)


async def tried(autopilot: Autopilot, caller: Caller, tool: str, arguments: dict[str, Any], errors: list[str]) -> None:
    try:
        await autopilot.call(tool, arguments, caller=caller)
    except TooManyCalls as refused:
        errors.append(str(refused))


async def test_25_hanging_calls_of_one_principal_do_not_delay_those_of_another(tmp_path: Path) -> None:
    app = simulate()
    cloud, refused = Hanging(app, "/charts"), list[str]()
    autopilot = autopilot_on(app, transport=cloud, remote=True, approver_dir=tmp_path)
    async with autopilot, anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(tried, autopilot, ANN, "list_charts", {}, refused)
        await settled(200)
        assert cloud.under_way == autopilot.settings.calls_at_once
        with anyio.fail_after(10):
            for tool in ("list_clusters", "get_quotas", "list_jobs"):
                assert isinstance(await autopilot.call(tool, {}, caller=BOB), Result)
        cloud.end.set()
    assert refused == []


async def test_hanging_requests_to_a_cluster_leave_one_to_another_principal(tmp_path: Path) -> None:
    app = simulate()
    cloud = Hanging(app, "/services")
    autopilot = autopilot_on(app, transport=cloud, remote=True, approver_dir=tmp_path)
    slow = {"cluster_id": SEARCH_DEV, "kind": "Service", "namespace": "default"}
    async with autopilot, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(tried, autopilot, ANN, "k8s_list", slow, [])
        await settled(300)
        assert cloud.under_way == AT_ONCE_PER_CLUSTER - 1
        with anyio.fail_after(10):
            found = await autopilot.call("k8s_list", {**slow, "kind": "Pod"}, caller=BOB)
        assert isinstance(found, Result)
        cloud.end.set()


async def test_large_answers_of_one_principal_leave_a_process_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, worked = FairShare(2), list[str]()
    monkeypatch.setattr(aside, "_PROCESSES", shared)
    monkeypatch.setattr(aside, "IN_A_PROCESS", 1)
    end = anyio.Event()

    async def work(*_: object, **__: object) -> None:
        worked.append(calling().principal)
        await end.wait()
        raise OSError

    monkeypatch.setattr("anyio.to_process.run_sync", work)
    app = simulate()
    cloud = Heavy(app, json.dumps(releases(64 * 1024, 3)).encode())
    autopilot = autopilot_on(app, transport=cloud, remote=True, approver_dir=tmp_path)
    async with autopilot, anyio.create_task_group() as tasks:
        for caller in (ANN, ANN, ANN, BOB):
            tasks.start_soon(tried, autopilot, caller, "list_releases", {"cluster_id": SEARCH_DEV}, [])
        await settled(300)
        assert sorted(worked) == [ANN.principal, BOB.principal]
        end.set()
    assert shared.waiting == 0


# How often


class Glass:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_so_many_calls_may_come_in_a_row_and_then_so_many_a_second() -> None:
    glass = Glass()
    rate = Rate(4, 3, glass)
    assert [rate.take("ann") for _ in range(3)] == [0, 0, 0]
    assert rate.take("ann") == pytest.approx(0.25)
    assert rate.take("bob") == 0
    glass.time += 0.25
    assert rate.take("ann") == 0
    assert rate.take("ann") == pytest.approx(0.25)
    glass.time += 60
    assert [rate.take("ann") for _ in range(4)] == [0, 0, 0, pytest.approx(0.25)]


def test_an_even_pace_below_the_rate_is_never_refused_whatever_the_burst() -> None:
    glass = Glass()
    rate = Rate(10, 1, glass)
    for _ in range(500):
        assert rate.take("ann") == 0
        glass.time += 0.11


def test_who_has_not_called_for_a_while_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.guard.limits.MOST_RATED", 3)
    glass = Glass()
    rate = Rate(1, 5, glass)
    for each in range(9):
        assert rate.take(f"token:{each}") == 0
        glass.time += 2
    assert len(rate._even) <= 3


async def test_a_call_beyond_the_rate_is_refused_with_when_to_make_it_again() -> None:
    glass = Glass()
    limits = LocalLimits(4, rate=Rate(4, 2, glass))
    for _ in range(2):
        async with limits.admit("ann"):
            pass
    with pytest.raises(TooOften, match=r"faster than 4 a second.*Nothing was sent.*again in 0\.3 s") as refused:
        async with limits.admit("ann"):
            raise AssertionError
    assert refused.value.retry_after == 0.3
    glass.time += refused.value.retry_after
    async with limits.admit("ann"):
        pass


async def test_a_rate_holds_for_callers_on_other_machines_only(tmp_path: Path) -> None:
    for remote, most in ((True, 2), (False, 5)):
        autopilot = autopilot_on(simulate(), remote=remote, rate=0.001, burst=2, approver_dir=tmp_path)
        async with autopilot:
            refused: list[str] = []
            for _ in range(5):
                await tried(autopilot, ANN, "get_quotas", {}, refused)
            assert len(refused) == 5 - most
            await tried(autopilot, BOB, "get_quotas", {}, refused)
            assert len(refused) == 5 - most
