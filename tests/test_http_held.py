"""Over HTTP a call stays open until a person elsewhere has decided, its client leaves, or the server ends."""

import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from agent import Agent
from consenting import ERAS, STATE_KEY, Prepared, Scene, scene_of
from holding import PAGE, link_to
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult
from over_http import request, served
from receiving import receiver
from simulation import simulate
from test_consent_held import QUICK, true, waiting
from test_http_approvals import PAGE as SITE
from test_http_approvals import browser, decided, link_in, list_alice
from test_http_serving import SECONDS, TOOL, VERSIONS, remotely, serving

from ap_mcp.server import Autopilot
from ap_mcp.web.options import PATH, HttpOptions

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio


@pytest.fixture(params=ERAS)
def scene(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    found = scene_of(prepared, TOOL, request.param, tmp_path)
    yield found
    found.check()


@pytest.fixture
def modern(tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    found = scene_of(prepared, TOOL, "auto", tmp_path)
    yield found
    found.check()


def holding(scene: Scene, **settings: Any) -> Autopilot:
    """What runs tools for callers over HTTP, whose calls are held."""
    return remotely(scene, clock=QUICK, approval_wait=50, **settings)


@asynccontextmanager
async def connected(scene: Scene, place: str, autopilot: Autopilot, **more: Any) -> AsyncIterator[Agent]:
    async with Client(f"{place}{PATH}", mode=scene.mode, **more) as client:
        await client.list_tools()  # or the client would ask for them to check the answer, at a server that ends
        yield Agent(client, scene.app, autopilot)


async def test_a_held_call_is_answered_with_its_result_over_http(scene: Scene) -> None:
    autopilot = holding(scene)
    with anyio.fail_after(SECONDS):
        async with serving(autopilot) as place, connected(scene, place, autopilot) as agent:
            async with anyio.create_task_group() as calls:
                calls.start_soon(scene.done, agent)
                scene.decide((await waiting(scene))[0])
            assert '"alice" approved' in agent.said
    assert [call.decided["channel"] for call in autopilot.audit.calls()] == ["approval"]
    assert autopilot.audit.verify() == []


async def test_a_server_that_is_asked_to_end_has_its_held_calls_answer_that_they_wait(scene: Scene) -> None:
    autopilot = holding(scene)
    autopilot.link = link_to
    with anyio.fail_after(SECONDS):
        async with (
            serving(autopilot) as place,
            connected(scene, place, autopilot) as agent,
            anyio.create_task_group() as calls,
        ):
            calls.start_soon(scene.refused, agent)
            question = (await waiting(scene))[0]
            await true(lambda: autopilot.holds.is_held(question.code))
            os.kill(os.getpid(), signal.SIGTERM)
    assert agent.said.startswith(f"approval_required: {PAGE}{question.code} (code {question.code})")
    assert [each.code for each in scene.store.pending(scene.clock())] == [question.code]


async def test_a_client_that_closes_the_connection_leaves_its_question_behind_and_that_is_posted(scene: Scene) -> None:
    asked = request("tools/call", {"name": TOOL, "arguments": scene.arguments}, VERSIONS[scene.mode])
    with anyio.fail_after(SECONDS):
        async with receiver() as found:
            autopilot = holding(scene, approval_webhook=found.url())
            async with serving(autopilot) as place:
                async with httpx.AsyncClient() as http, anyio.create_task_group() as calls:
                    calls.start_soon(lambda: http.post(f"{place}{PATH}", **asked, timeout=SECONDS))
                    question = (await waiting(scene))[0]
                    await true(lambda: autopilot.holds.is_held(question.code))
                    calls.cancel_scope.cancel()
                await true(lambda: not autopilot.holds.is_held(question.code))
                await found.has(2)
        assert found.kinds == ["asked", "left"]
    assert [each.code for each in scene.store.pending(scene.clock())] == [question.code]


async def test_of_two_clients_with_the_same_call_one_gets_it_done_and_the_other_is_informed(scene: Scene) -> None:
    autopilot = holding(scene)
    with anyio.fail_after(SECONDS):
        async with (
            serving(autopilot) as place,
            connected(scene, place, autopilot) as one,
            connected(scene, place, autopilot) as other,
        ):
            scene.sent.append(TOOL)
            results = []

            async def call(agent: Agent) -> None:
                results.append(await agent.run(TOOL, scene.arguments))

            async with anyio.create_task_group() as calls:
                calls.start_soon(call, one)
                calls.start_soon(call, other)
                await true(lambda: len(autopilot.holds) == len((one, other)))
                scene.decide((await waiting(scene))[0])
    assert sorted(result.is_error for result in results) == [False, True]
    assert any("Another call may have sent it" in agent.said for agent in (one, other))


async def test_a_client_of_2026_opens_the_page_and_its_call_comes_back_to_be_held(modern: Scene) -> None:
    shown: list[str] = []

    async def opens(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        del context
        assert isinstance(params, ElicitRequestURLParams)
        shown.append(params.url)
        return ElicitResult(action="accept")

    autopilot = holding(modern)
    autopilot.link = link_to
    with anyio.fail_after(SECONDS):
        async with (
            serving(autopilot) as place,
            connected(modern, place, autopilot, elicitation_callback=opens) as agent,
            anyio.create_task_group() as calls,
        ):
            calls.start_soon(modern.done, agent)
            question = (await waiting(modern))[0]
            await true(lambda: autopilot.holds.is_held(question.code))
            modern.decide(question)
    assert shown == [f"{PAGE}{question.code}"]
    assert TOOL in agent.done


@pytest.mark.parametrize("mode", ERAS)
async def test_the_chat_leads_to_the_page_and_the_page_to_the_result(mode: str, tmp_path: Path) -> None:
    """The whole way: a bot calls, people read of it in their chat, one opens the link and approves with a passkey."""
    list_alice(tmp_path)
    options = HttpOptions(origins=frozenset({SITE}))
    more: dict[str, Any] = {"public_url": SITE, "approval_wait": 50, "clock": QUICK, "state_key": STATE_KEY}
    arguments = {"cluster_id": "search-dev"}
    with anyio.fail_after(SECONDS):
        async with receiver() as chat:
            hooks = f"{chat.url()} slack+{chat.url()}"
            async with (
                served(simulate(), tmp_path, options, approval_webhook=hooks, **more) as site,
                site.client(mode) as bot,
                browser(site) as page,
            ):
                async with anyio.create_task_group() as calls:
                    calls.start_soon(lambda: bot.call("delete_cluster", **arguments))
                    await chat.has(2)
                    link = next(each["data"]["link"] for each in chat.posted if "data" in each)
                    await true(lambda: len(site.autopilot.holds) == 1)
                    assert "The call stays open for your answer" in (await page.get(link)).text
                    assert (await decided(page, link, "approve", "search-dev")).status_code == 200
                assert bot.changed == ["delete_cluster"]
                assert re.search('"alice" approved .*, signed with their passkey, on the page', bot.said)
        ends = [each for each in chat.posted if each.get("type") == "approval.succeeded"]
        assert [each["data"]["by"] for each in ends] == ["alice"]
        slack = [each for each in chat.posted if "blocks" in each]
        assert f"<{link}|Read and decide>" in slack[0]["blocks"][2]["text"]["text"]


async def test_the_page_says_that_the_call_may_have_to_be_made_again_where_none_stays_open(tmp_path: Path) -> None:
    list_alice(tmp_path)
    async with (
        served(simulate(), tmp_path, HttpOptions(origins=frozenset({SITE})), public_url=SITE) as site,
        site.client() as bot,
        browser(site) as page,
    ):
        link = link_in(await bot.fail("delete_cluster", cluster_id="search-dev"))
        assert "it is made again once you have approved" in (await page.get(link)).text
