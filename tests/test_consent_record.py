"""Whoever reads a result or the audit learns who agreed, when and how, and every refusal leaves one line."""

import errno
import os
from datetime import timedelta
from typing import Any

import pytest
from agent import Agent, connected
from consenting import (
    DENYING,
    Prepared,
    Scene,
    Scenes,
    answer_to,
    checked_refusal,
    forged,
    leg,
    of_each_kind,
    policy,
    question_of,
    text_in,
)
from guarded import Person
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, ErrorData

from ap_mcp.guard.audit import Call
from ap_mcp.guard.form_answers import FIELD
from ap_mcp.operation_tools import TOKEN
from ap_mcp.simulator.constants import SEARCH_DEV

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio

DELETE = "delete_cluster"
AT_ONCE = timedelta(milliseconds=30)


def refusals(agent: Agent) -> list[Call]:
    """The refusals on record, in a log that is intact and has no call of unknown outcome."""
    assert agent.autopilot.audit.verify() == []
    return agent.autopilot.audit.refusals()


async def one_refusal(agent: Agent, verdict: str, said: str = "") -> None:
    """Check that one more refusal is on record, the last one, and not as a call."""
    *_, last = found = refusals(agent)
    assert last.is_refused
    assert (last.decided["decision"], said in last.decided["reason"]) == (verdict, True)
    assert last.decided["principal"]
    assert last.decided["client"].endswith("(simulated)")
    assert agent.autopilot.audit.calls() == []
    assert len({each.decided["seq"] for each in found}) == len(found)


# Refusals


@of_each_kind
async def test_whatever_a_person_says_but_yes_is_one_line(scene: Scene) -> None:
    person = Person("decline")
    async with scene.connect(person) as agent:
        await scene.refused(agent)
        await one_refusal(agent, "declined", "said no")
        person.action, person.typed = "accept", "another name"
        await scene.refused(agent)
        await one_refusal(agent, "wrong name", "The name typed was not")
        person.reads_for = AT_ONCE
        await scene.waits(agent)
        await one_refusal(agent, "not shown", "the client answered after 0.03 s: nobody saw the form")
        assert [each.decided["tool"] for each in refusals(agent)] == [scene.tool] * 3
        assert {bool(each.decided["target"]) for each in refusals(agent)} == {True}
        assert {each.decided["effect"] for each in refusals(agent)} & {"disrupt", "destroy", "secret"}


async def test_what_the_operator_refuses_is_one_line_though_it_would_only_read(scene_for: Scenes) -> None:
    scene = scene_for(DELETE)
    for settings, tool, verdict in (
        ({"policy_file": policy(scene, DENYING)}, DELETE, "denied by policy"),
        ({"read_only": True}, DELETE, "read-only"),
        ({"confirm": "deny"}, DELETE, "not confirmed"),
        ({"policy_file": policy(scene, DENYING.replace("{tool}", "get_cluster"))}, "get_cluster", "denied by policy"),
    ):
        log = scene.folder / "state" / f"{verdict}-{tool}.jsonl"
        async with scene.connect(Person(), audit_log=log, **settings) as agent:
            assert "Nothing was sent." in await agent.fail(tool, cluster_id=scene.arguments["cluster_id"])
            await one_refusal(agent, verdict)
            assert len(refusals(agent)) == 1


async def test_a_forged_state_and_a_token_that_does_not_count_are_one_line_each(scene_for: Scenes) -> None:
    scene = scene_for(DELETE)
    async with scene.connect(Person(), confirm="token") as agent:
        answer = answer_to(await question_of(agent, scene))
        await forged(agent, scene, **{**answer, "request_state": f"{answer['request_state']}A"})
        await one_refusal(agent, "forged state")
        await scene.refused(agent, confirmation_token="made up")
        await one_refusal(agent, "token does not count")
        no = {"consent": ElicitResult(action="decline")}
        checked_refusal(text_in(await leg(agent, scene, **{**answer, "input_responses": no})))
        checked_refusal(text_in(await leg(agent, scene, **answer)))
        await one_refusal(agent, "used before")
        assert len(refusals(agent)) == 4


async def test_a_guarded_call_that_cannot_succeed_is_one_line_and_its_dry_run_none(scene_for: Scenes) -> None:
    scene = scene_for("upgrade_cluster", cluster_id=SEARCH_DEV, target_version="v1.31")
    async with scene.connect(Person()) as agent:
        await agent.call(scene.tool, **scene.arguments, dry_run=True)
        assert refusals(agent) == []
        await agent.fail(scene.tool, **scene.arguments)
        await one_refusal(agent, "refused")
        await agent.fail(scene.tool, cluster_id=SEARCH_DEV)
        assert len(refusals(agent)) == 1


async def test_a_question_that_waits_is_no_refusal(scene_for: Scenes) -> None:
    scene = scene_for(DELETE)
    async with scene.connect() as agent:
        await scene.waits(agent)
        assert not agent.autopilot.audit.is_begun


async def test_a_refusal_stands_though_it_cannot_be_recorded(
    scene_for: Scenes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = scene_for(DELETE)

    def no_space(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ap_mcp.guard.audit._write_all", no_space)
    async with scene.connect(Person("decline")) as agent:
        assert "said no" in await scene.refused(agent)
    assert "a refusal was not recorded: The audit log" in caplog.text


# Who agreed


@of_each_kind
async def test_a_result_says_who_agreed_when_and_in_which_form(scene: Scene) -> None:
    async with scene.connect(Person()) as agent:
        result = await scene.done(agent)
        client = agent.autopilot.audit.calls()[0].decided["client"].removesuffix(" (simulated)")
        principal = agent.autopilot.audit.calls()[0].decided["principal"]
    assert result["consent"].startswith(f'"{principal}" agreed at 20')
    assert result["consent"].endswith(f'Z in a form of "{client}", 3.00 s after it was sent')
    assert f"\nconsent: {result['consent']}\n" in f"{agent.said}\n"


async def test_a_result_says_who_approved_that_a_token_was_carried_or_which_rule_allows_it(scene_for: Scenes) -> None:
    scene = scene_for(DELETE)
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
        said = (await scene.done(agent))["consent"]
        assert said.startswith(f'"alice" approved {question.code} at ')
    scene = scene_for(DELETE)
    async with scene.connect(confirm="token") as agent:
        said = (await scene.done(agent, **{TOKEN: await scene.token(agent)}))["consent"]
        assert said.startswith("the model carried a confirmation_token at ")
    scene = scene_for(DELETE)
    allowing = '[[rules]]\ndecision = "allow"\neffects = ["destroy"]\ntools = ["{tool}"]\n'
    async with scene.connect(policy_file=policy(scene, allowing)) as agent:
        assert (await scene.done(agent))["consent"] == "nobody was asked: allowed by policy.toml rule 1"


async def test_a_call_that_fails_after_a_person_agreed_says_who_it_was(scene_for: Scenes) -> None:
    scene = scene_for("rollback_addon", "legacy")
    scene.app.state.faults.inject("status", scene.tool, value=409)
    async with scene.connect(Person()) as agent:
        said = await agent.fail(scene.tool, **scene.arguments)
    scene.sent.append(scene.tool)
    assert said.rpartition("\nConsent: ")[2].partition(" at ")[0].endswith(" agreed")


async def test_a_plain_write_says_nothing_of_consent(scene_for: Scenes) -> None:
    scene = scene_for(DELETE)
    async with connected(scene.folder, app=scene.app, unasked=False) as agent:
        result = await agent.call("add_cluster_tags", cluster_id=SEARCH_DEV, tags={"owner": "ivan"})
    scene.sent.append("add_cluster_tags")
    assert "consent" not in result


# Clients that announce forms and have none


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ErrorData(code=-32601, message="Method not found"), 'error -32601 "Method not found".'),
        (ErrorData(code=-32603, message="boom\nnext: do_this()"), 'error -32603 "boom next: do_this()".'),
        (RuntimeError("a client of its own kind"), "it could not show one, and answered "),
    ],
)
async def test_a_client_that_answers_a_form_with_an_error_gets_a_code_and_the_reason(
    scene_for: Scenes, answer: Any, said: str
) -> None:
    scene = scene_for(DELETE, "legacy")

    async def fails(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        del context, params
        if isinstance(answer, Exception):
            raise answer
        return ErrorData(code=answer.code, message=answer.message)

    async with scene.connect(fails) as agent:
        await scene.waits(agent)
        assert "The client announced forms, but nobody answered one: it could not show one" in agent.said
        assert said in agent.said
        await one_refusal(agent, "not shown")


async def test_while_a_form_is_open_the_client_reads_that_a_person_is_waited_for(
    scene_for: Scenes, prepared: Prepared
) -> None:
    del prepared
    scene = scene_for(DELETE, "legacy")
    said: list[str] = []
    person = Person()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        said.append(message or "")

    async def reads(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert params.requested_schema["required"] == [FIELD]  # type: ignore[union-attr]
        return await person(context, params)

    async with scene.connect(reads) as agent:
        result = await agent.client.call_tool(DELETE, scene.arguments, progress_callback=progress)
        assert not result.is_error
    scene.sent.append(DELETE)
    assert said == ["waiting for a person to answer the form"]
