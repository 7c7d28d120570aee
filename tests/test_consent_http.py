"""Over HTTP the same consent holds: forms where the session can carry an answer, approvals where it cannot."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from agent import Agent, autopilot_on, reading
from consenting import ERAS, STATE_KEY, Prepared, Scene, answer_to, checked_refusal, forged, leg, question_of, scene_of
from guarded import Person
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp_types import CallToolResult, ElicitResult
from starlette.applications import Starlette

from ap_mcp.protocol import build_server

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio

TOOL = "delete_cluster"
NO_WAY_BACK: tuple[dict[str, Any], ...] = ({"stateless_http": True}, {"json_response": True})


class Started(uvicorn.Server):
    """A server that says when it takes requests."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app, ws="none", lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=1
            )
        )
        self.up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def served(
    scene: Scene, *, how: dict[str, Any] | None = None, patience: float = 20, **settings: Any
) -> AsyncIterator[tuple[str, Any]]:
    """Serve over HTTP on a free port; the address, and what runs the tools behind it."""
    state = scene.folder / "state"
    folders = {
        "files_dir": scene.folder / "files",
        "chart_roots": (scene.charts,),
        "audit_log": state / "audit.jsonl",
        "approvals_db": state / "approvals.db",
        "approver_dir": scene.folder / "config",
    }
    autopilot = autopilot_on(scene.app, unasked=False, state_key=STATE_KEY, **{**folders, **settings})
    autopilot.confirmer = replace(autopilot.confirmer, now=scene.clock, patience=patience)
    server = Started(build_server(autopilot).streamable_http_app(**(how or {})))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with autopilot, anyio.create_task_group() as group:
            group.start_soon(server.serve, [listening])
            await server.up.wait()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", autopilot
            finally:
                server.should_exit = True


@asynccontextmanager
async def agent_at(scene: Scene, at: tuple[str, Any], person: ElicitationFnT | None = None) -> AsyncIterator[Agent]:
    url, autopilot = at
    with anyio.fail_after(30):
        async with Client(url, mode=scene.mode, elicitation_callback=reading(person, scene.clock)) as client:
            yield Agent(client, scene.app, autopilot)


@pytest.fixture(params=ERAS)
def scene(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    yield from checked(scene_of(prepared, TOOL, request.param, tmp_path))


@pytest.fixture
def modern(tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    yield from checked(scene_of(prepared, TOOL, "auto", tmp_path))


@pytest.fixture
def legacy(tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    yield from checked(scene_of(prepared, TOOL, "legacy", tmp_path))


def checked(scene: Scene) -> Iterator[Scene]:
    yield scene
    scene.check()


def audited(at: tuple[str, Any]) -> list[tuple[str, str]]:
    """Channel and outcome of every call on record."""
    audit = at[1].audit
    assert audit.verify() == []
    return [(call.decided["channel"], call.finished["result"]) for call in audit.calls()]


async def test_a_form_over_http_lets_one_call_through(scene: Scene) -> None:
    person = Person()
    async with served(scene) as at:
        async with agent_at(scene, at, person) as agent:
            await scene.done(agent)
        assert audited(at) == [("form", "succeeded")]
    assert len(person.read) == 1


async def test_a_form_over_http_that_is_not_agreed_to_sends_nothing(scene: Scene) -> None:
    async with served(scene) as at:
        for person in (Person("decline"), Person("cancel"), Person(typed="team-sandbox ")):
            async with agent_at(scene, at, person) as agent:
                await scene.refused(agent)
            assert len(person.read) == 1


async def test_a_form_over_http_is_taken_away_when_the_person_does_not_answer(legacy: Scene) -> None:
    async def sleeps(context: Any, params: Any) -> ElicitResult:
        del context, params
        await anyio.sleep_forever()
        raise AssertionError("the wait never ends")

    async with served(legacy, patience=0.05) as at, agent_at(legacy, at, sleeps) as agent:
        await legacy.waits(agent)
        assert "nobody answered within" in agent.said


@pytest.mark.parametrize("how", NO_WAY_BACK, ids=str)
async def test_a_session_of_2025_without_a_way_back_needs_an_approval(legacy: Scene, how: dict[str, Any]) -> None:
    person = Person()
    async with served(legacy, how=how) as at:
        async with agent_at(legacy, at, person) as agent:
            legacy.decide(await legacy.waits(agent))
            await legacy.done(agent)
            assert (await agent.run(TOOL, legacy.arguments)).is_error
        assert audited(at) == [("approval", "succeeded")]
    assert person.read == []


@pytest.mark.parametrize("how", NO_WAY_BACK, ids=str)
async def test_a_session_of_2026_needs_no_way_back(modern: Scene, how: dict[str, Any]) -> None:
    async with served(modern, how=how) as at:
        async with agent_at(modern, at, Person()) as agent:
            await modern.done(agent)
        assert audited(at) == [("form", "succeeded")]


@pytest.mark.parametrize("confirm", ["human", "approval", "token"])
async def test_a_client_without_forms_needs_an_approval_over_http_too(scene: Scene, confirm: str) -> None:
    async with served(scene, confirm=confirm) as at, agent_at(scene, at) as agent:
        question = await scene.waits(agent)
        assert (await scene.waits(agent)).code == question.code


async def test_in_mode_approval_no_form_is_shown_over_http(scene: Scene) -> None:
    person = Person()
    async with served(scene, confirm="approval") as at, agent_at(scene, at, person) as agent:
        await scene.waits(agent)
    assert person.read == []


async def test_a_question_of_one_server_may_be_answered_to_another_once(modern: Scene) -> None:
    async with served(modern) as one, served(modern) as other:
        async with agent_at(modern, one, Person()) as first, agent_at(modern, other, Person()) as second:
            answer = answer_to(await question_of(first, modern))
            modern.sent.append(TOOL)
            result = await leg(second, modern, **answer)
            assert isinstance(result, CallToolResult)
            assert not result.is_error
            again = await leg(first, modern, **answer)
            assert isinstance(again, CallToolResult)
            assert again.is_error
        assert audited(one) == audited(other) == [("form", "succeeded")]


async def test_a_state_that_was_tampered_with_is_refused_over_http(modern: Scene) -> None:
    async with served(modern) as at, agent_at(modern, at, Person()) as agent:
        answer = answer_to(await question_of(agent, modern))
        for state in (answer["request_state"][:-1], "v1.AAAA", "null"):
            await forged(agent, modern, **{**answer, "request_state": state})


async def test_a_token_given_over_http_in_mode_human_is_no_argument(scene: Scene) -> None:
    async with served(scene) as at, agent_at(scene, at) as agent:
        said = await agent.fail(TOOL, **scene.arguments, confirmation_token="x")
        assert "confirmation_token: is no argument" in checked_refusal(said)
