"""Over the protocol, in both of its eras: held calls, with progress, and links that a client has its user open."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent
from approving import ALICE
from consenting import (
    KINDS,
    OTHER,
    Prepared,
    Scene,
    of_each_kind,
    of_each_kind_in_2026,
    policy,
    scene_of,
    scenes,
)
from holding import PAGE, link_to
from mcp.client import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult
from receiving import receiver

from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.callers import Caller

pytest_plugins = ["consent_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

in_both_eras = scenes(("delete_cluster", "auto"), ("delete_cluster", "legacy"))
AT_ONCE = 2
MANY = 20


async def soon(_: float) -> None:
    await anyio.sleep(0.01)


QUICK = {"sleep": soon, "now": anyio.current_time}
"""A clock on which a second of a hold passes in a hundredth of one."""


@asynccontextmanager
async def held(scene: Scene, person: ElicitationFnT | None = None, **settings: Any) -> AsyncIterator[Agent]:
    """Connect a client whose calls are held."""
    given = {"confirm": "approval", "approval_wait": 10, "clock": QUICK, **settings}
    async with scene.connect(person, **given) as agent:
        yield agent


async def waiting(scene: Scene, count: int = 1) -> list[Question]:
    """The questions that wait, once there are as many."""
    await true(lambda: scene.store.path.exists() and len(scene.store.pending(scene.clock())) >= count)
    return scene.store.pending(scene.clock())


async def true(what: Callable[[], bool]) -> None:
    """Wait until something is true."""
    with anyio.fail_after(20):
        while not what():  # noqa: ASYNC110 - what another process would see brings no event along
            await anyio.sleep(0.01)


@of_each_kind
async def test_a_held_call_is_answered_with_its_result_once_somebody_has_approved(scene: Scene) -> None:
    async with held(scene) as agent, anyio.create_task_group() as group:
        group.start_soon(scene.done, agent)
        scene.decide((await waiting(scene))[0])
    assert '"alice" approved' in agent.said


@in_both_eras
async def test_a_held_call_is_answered_with_the_no_of_a_person(scene: Scene) -> None:
    async with held(scene) as agent, anyio.create_task_group() as group:
        group.start_soon(scene.refused, agent)
        scene.decide((await waiting(scene))[0], approved=False)
    assert "alice declined it" in agent.said


@in_both_eras
async def test_the_client_is_informed_while_its_call_is_held(scene: Scene) -> None:
    heard: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        assert progress <= (total or 0)
        heard.append(str(message))

    async with held(scene) as agent:
        agent.autopilot.link = link_to
        async with anyio.create_task_group() as group:
            call = agent.client.call_tool
            scene.sent.append(scene.tool)
            group.start_soon(lambda: call(scene.tool, scene.arguments, progress_callback=progress))
            question = (await waiting(scene))[0]
            await true(lambda: bool(heard))
            scene.decide(question)
    assert f"to decide {question.code} at {PAGE}{question.code}" in heard[0]


@in_both_eras
async def test_held_calls_take_no_turns_from_others(scene: Scene) -> None:
    async with held(scene, calls_at_once=AT_ONCE) as agent:
        async with anyio.create_task_group() as group:
            for _ in range(MANY):
                group.start_soon(agent.client.call_tool, scene.tool, scene.arguments)
            await waiting(scene)
            await true(lambda: len(agent.autopilot.holds) == MANY)
            await agent.call("list_charts")
            agent.autopilot.holds.release()
        assert len(scene.store.pending(scene.clock())) == 1


# Links


class Opens:
    """Acts for a client that has its user open links, and for a user who may decide there."""

    def __init__(self, scene: Scene, action: Any = "accept", *, decides: bool | None = True) -> None:
        self.scene = scene
        self.action = action
        self.decides = decides
        self.shown: list[ElicitRequestURLParams] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        del context
        assert isinstance(params, ElicitRequestURLParams)
        self.shown.append(params)
        if self.decides is not None:
            asked = self.scene.store.find(params.url.removeprefix(PAGE))
            assert asked
            self.scene.decide(asked.question, ALICE, approved=self.decides)
        return ElicitResult(action=self.action)


@of_each_kind_in_2026
async def test_a_client_of_2026_has_its_user_open_the_page_and_goes_on_once_it_is_approved(scene: Scene) -> None:
    person = Opens(scene)
    async with held(scene, person) as agent:
        agent.autopilot.link = link_to
        await scene.done(agent)
    assert len(person.shown) == 1
    assert '"alice" approved' in agent.said


@scenes(*((kind, "auto") for kind in KINDS[:2]))
async def test_a_client_that_only_says_that_the_page_was_opened_gets_nothing_through(scene: Scene) -> None:
    async with held(scene, Opens(scene, decides=None), approval_wait=0) as agent:
        agent.autopilot.link = link_to
        said = await scene.refused(agent)
    assert said.startswith(f"approval_required: {PAGE}")
    assert "Nobody was asked" not in said


@scenes(("delete_cluster", "auto"))
async def test_a_no_on_the_page_is_a_no(scene: Scene) -> None:
    async with held(scene, Opens(scene, decides=False)) as agent:
        agent.autopilot.link = link_to
        await scene.refused(agent)
    assert "alice declined it" in agent.said


@scenes(("delete_cluster", "auto"))
async def test_a_link_that_is_not_opened_stays_where_an_approver_finds_it(scene: Scene) -> None:
    async with held(scene, Opens(scene, "decline", decides=None)) as agent:
        agent.autopilot.link = link_to
        assert "did not open it: it answered decline" in await scene.refused(agent)
        scene.decide((await waiting(scene))[0])
        await scene.done(agent)


@scenes(("delete_cluster", "auto"))
async def test_where_a_rule_wants_somebody_else_the_link_leads_there_too(scene: Scene) -> None:
    person = Opens(scene)
    async with held(scene, person, confirm="human", policy_file=policy(scene, OTHER)) as agent:
        agent.autopilot.link = link_to
        await scene.done(agent)
    assert len(person.shown) == 1


@scenes(("delete_cluster", "legacy"))
async def test_a_client_of_2025_is_given_the_link_in_the_answer(scene: Scene) -> None:
    async with held(scene, Opens(scene), approval_wait=0) as agent:
        agent.autopilot.link = link_to
        assert (await scene.refused(agent)).startswith(f"approval_required: {PAGE}")


# Webhooks


@in_both_eras
async def test_a_question_is_posted_with_its_link_and_so_is_how_the_call_ended(scene: Scene) -> None:
    async with receiver() as found, held(scene, approval_webhook=found.url()) as agent:
        agent.autopilot.link = link_to
        async with anyio.create_task_group() as group:
            group.start_soon(scene.done, agent)
            await found.has(1)
            scene.decide((await waiting(scene))[0])
        await found.has(2)
    asked, ended = found.posted[0], found.posted[-1]
    assert (asked["type"], ended["type"]) == ("approval.asked", "approval.succeeded")
    assert asked["data"]["link"] == f"{PAGE}{asked['data']['code']}"
    assert asked["data"]["title"].startswith("SIMULATED: delete_cluster ")
    assert asked["data"]["client"].startswith("mcp ")
    assert ended["data"]["by"] == "alice"


@in_both_eras
@pytest.mark.parametrize(("status", "kind"), [(403, "failed"), (500, "unknown")])
async def test_a_call_that_went_wrong_after_its_approval_is_posted_as_that(
    scene: Scene, status: float, kind: str
) -> None:
    async with receiver() as found, held(scene, approval_webhook=found.url()) as agent:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: agent.fail(scene.tool, **scene.arguments))
            question = (await waiting(scene))[0]
            agent.app.state.faults.inject("status", scene.tool, times=None, value=status)
            scene.decide(question)
        await found.has(2)
        scene.sent += scene.changes
    assert found.kinds[-1] == kind


@in_both_eras
async def test_a_receiver_that_hangs_delays_no_call_and_no_end(scene: Scene) -> None:
    async with receiver(None, *[None] * 9) as found:
        with anyio.fail_after(15):
            async with held(scene, approval_webhook=f"slack+{found.url()}", approval_wait=0) as agent:
                await scene.waits(agent)
                await scene.waits(agent)
        assert len(found.posted) == 1


async def test_a_client_that_leaves_is_posted_as_that(tmp_path: Path, prepared: Prepared) -> None:
    scene = scene_of(prepared, "delete_cluster", "auto", tmp_path)
    async with receiver() as found, held(scene, approval_webhook=found.url()) as agent:
        caller = Caller("ivan", "a bot 1", may_hold=True)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: agent.autopilot.call(scene.tool, scene.arguments, caller=caller))
            await found.has(1)
            await true(lambda: len(agent.autopilot.holds) == 1)
            group.cancel_scope.cancel()
        await found.has(2)
    assert found.kinds == ["asked", "left"]
    scene.check()
