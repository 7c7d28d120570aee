"""No guarded call goes out without a person's consent, whatever is handed over in its place; with it, each does once.

The tools come from the specs: a new guarded one fails here until it has a call of its own.
"""

from typing import Any

import anyio
import pytest
from agent import Agent
from consenting import (
    ANOTHER,
    DENYING,
    KINDS,
    TOOLS,
    Prepared,
    Scene,
    another_call,
    answer_to,
    as_somebody_else,
    checked_refusal,
    forged,
    is_part_of_cluster,
    leg,
    message_of,
    name_in,
    of_each_kind,
    of_each_kind_in_2025,
    of_each_kind_in_2026,
    of_each_kind_in_both_eras,
    on_parts_of_clusters,
    policy,
    question_of,
    tampered,
    text_in,
    touch,
    with_every_tool,
)
from guarded import Action, Person
from mcp_types import ElicitResult, InputRequiredResult

from ap_mcp.guard.consent import CHANGED
from ap_mcp.guard.form_answers import FIELD
from ap_mcp.guard.impacts import builders
from ap_mcp.guard.lifetimes import QUESTION_LIFETIME
from ap_mcp.operation_tools import TOKEN
from ap_mcp.simulator.constants import TEAM_SANDBOX
from ap_mcp.specs import CLUSTER, GUARDED, MULTIPART, Catalog

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio

WITHOUT_FORMS = ("human", "approval", "token")


def test_there_is_a_call_for_every_guarded_tool_and_each_needs_consent(prepared: Prepared) -> None:
    assert set(prepared.calls) == set(TOOLS)
    assert len(TOOLS) >= 17


# The person cannot be asked


@of_each_kind_in_both_eras
async def test_a_client_without_forms_gets_a_code_and_nothing_is_sent(scene: Scene) -> None:
    for confirm in WITHOUT_FORMS:
        async with scene.connect(confirm=confirm) as agent:
            question = await scene.waits(agent)
            assert question.name in agent.said
            assert question.impact_text.partition("\n")[2] in agent.said
            assert ("confirmation_token=" in agent.said) == (confirm == "token")


@of_each_kind
async def test_mode_deny_refuses_whoever_would_agree(scene: Scene) -> None:
    person = Person()
    async with scene.connect(person, confirm="deny") as agent:
        assert "AP_MCP_CONFIRM=deny" in await scene.refused(agent)
    async with scene.connect(person, policy_file=policy(scene, DENYING)) as agent:
        assert "No consent lifts this" in await scene.refused(agent)
    assert person.read == []


@of_each_kind
async def test_in_mode_approval_a_form_is_not_even_shown(scene: Scene) -> None:
    person = Person()
    async with scene.connect(person, confirm="approval") as agent:
        await scene.waits(agent)
    assert person.read == []


# Forms


@of_each_kind_in_both_eras
async def test_a_person_who_does_not_agree_is_obeyed(scene: Scene) -> None:
    person = Person()
    refusals: tuple[tuple[Action, str], ...] = (("decline", "said no"), ("cancel", "it was closed after"))
    async with scene.connect(person) as agent:
        for person.action, said in refusals:
            assert said in await scene.refused(agent)
    assert len(person.read) == 2


@of_each_kind
async def test_any_other_name_than_the_very_one_is_no_consent(scene: Scene) -> None:
    person = Person(typed="yes")
    async with scene.connect(person) as agent:
        await scene.refused(agent)
        name = name_in(person.read[0])
        for person.typed in (f"{name} ", name.upper()):
            assert f'The name typed was not "{name}"' in await scene.refused(agent)


@of_each_kind
async def test_a_form_sent_back_empty_or_filled_in_otherwise_is_no_consent(scene: Scene) -> None:
    contents: list[Any] = [None, {"confirm": True}]
    if scene.mode == "auto":
        contents.append({FIELD: True})

    async def clicks(context: Any, params: Any) -> ElicitResult:
        del context, params
        return ElicitResult.model_construct(action="accept", content=contents[-1])

    async with scene.connect(clicks) as agent:
        while contents:
            assert "The name typed was not" in await scene.refused(agent)
            contents.pop()


@of_each_kind_in_2025
async def test_a_person_who_takes_too_long_has_not_agreed(scene: Scene) -> None:
    left = []

    async def sleeps(context: Any, params: Any) -> ElicitResult:
        del context, params
        try:
            await anyio.sleep_forever()
        finally:
            left.append("the form")
        raise AssertionError("the wait never ends")

    async with scene.connect(sleeps, patience=0.02) as agent:
        await scene.waits(agent)
        assert "nobody answered within" in agent.said
    assert left == ["the form"]


@of_each_kind_in_2025
async def test_what_changes_while_a_person_reads_is_asked_about_again_and_three_times_at_most(scene: Scene) -> None:
    person = Person()

    async def agrees_too_late(context: Any, params: Any) -> ElicitResult:
        touch(scene, len(person.read))
        return await person(context, params)

    async with scene.connect(agrees_too_late) as agent:
        assert "changed every time" in await scene.refused(agent)
    assert [CHANGED in each for each in person.read] == [False, True, True]


@of_each_kind_in_2026
async def test_what_changes_between_two_legs_is_asked_about_again_and_three_times_at_most(scene: Scene) -> None:
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
        for number in (1, 2):
            touch(scene, number)
            asked = await question_of(agent, scene, **answer_to(asked))
            assert CHANGED in message_of(asked)
        touch(scene, 3)
        assert "changed every time" in checked_refusal(text_in(await leg(agent, scene, **answer_to(asked))))


@of_each_kind_in_2026
async def test_a_state_that_was_not_made_for_this_very_call_only_asks_again_and_a_forged_one_not_even_that(
    scene: Scene, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another_call(scene)
    async with scene.connect(Person(), confirm="token") as agent:
        mine = answer_to(await question_of(agent, scene))
        for_others = [
            await question_of(agent, scene, arguments=other),
            await question_of(agent, scene, tool=ANOTHER[scene.tool], arguments=prepared.calls[ANOTHER[scene.tool]]),
        ]
        for changed in tampered(mine["request_state"]):
            await forged(agent, scene, **{**mine, "request_state": changed})
        states = [*(each.request_state for each in for_others), None]
        for state in states:
            asked = await question_of(agent, scene, **{**mine, "request_state": state})
            assert CHANGED not in message_of(asked)
        for answer in ({}, {"consent": None}, {"other": mine["input_responses"]["consent"]}):
            given = {name: each for name, each in answer.items() if each}
            await question_of(agent, scene, input_responses=given, request_state=mine["request_state"])
        said = text_in(await leg(agent, scene, arguments={**scene.arguments, TOKEN: mine["request_state"]}))
        assert "confirmation_token is unknown" in checked_refusal(said)
    as_somebody_else(monkeypatch)
    async with scene.connect(Person(), confirm="token") as agent:
        await question_of(agent, scene, **mine)
    async with scene.connect(Person(), state_key="another key that they do not share") as agent:
        await forged(agent, scene, **mine)
    monkeypatch.undo()
    scene.clock.pass_by(QUESTION_LIFETIME)
    async with scene.connect(Person()) as agent:
        await question_of(agent, scene, **mine)


@of_each_kind_in_2026
async def test_an_answer_is_used_up_by_whatever_it_says(scene: Scene) -> None:
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
        no = {"consent": ElicitResult(action="decline")}
        assert "said no" in checked_refusal(text_in(await leg(agent, scene, **answer_to(asked, input_responses=no))))
        assert "was used before" in checked_refusal(text_in(await leg(agent, scene, **answer_to(asked))))


@of_each_kind_in_2026
async def test_an_answered_state_works_once(scene: Scene) -> None:
    async with scene.connect(Person()) as agent:
        yes = answer_to(await question_of(agent, scene))
        scene.sent.append(scene.tool)
        assert not text_in(await leg(agent, scene, **yes)).startswith(scene.tool)
        assert scene.changes == [scene.tool]
        said = text_in(await leg(agent, scene, **yes))
        assert "othing was sent" in said or "failed: HTTP" in said
    async with scene.connect(Person()) as agent:
        again = await leg(agent, scene, **yes)
        assert isinstance(again, InputRequiredResult) or again.is_error


# What no consent helps


@on_parts_of_clusters
async def test_a_thing_of_another_cluster_is_refused_before_anybody_is_asked(scene: Scene) -> None:
    wrong, person = {**scene.arguments, "cluster_id": TEAM_SANDBOX}, Person()
    async with scene.connect(person) as agent:
        assert (await agent.run(scene.tool, wrong)).is_error
    async with scene.connect(confirm="approval") as agent:
        scene.decide(await scene.waits(agent))
        assert (await agent.run(scene.tool, wrong)).is_error
    assert person.read == []


# With consent


async def goes_out_once(scene: Scene, agent: Agent, channel: str, **given: Any) -> None:
    """Make the call, which has its consent; it must be on record as it was."""
    await scene.done(agent, **given)
    audit = agent.autopilot.audit
    assert audit.verify() == []
    [call] = audit.calls()
    assert (call.decided["tool"], call.decided["channel"]) == (scene.tool, channel)
    assert call.finished
    assert call.finished["result"] == "succeeded"


@with_every_tool
async def test_with_a_form_filled_in_exactly_one_request_goes_out_and_it_is_on_record(scene: Scene) -> None:
    person = Person()
    async with scene.connect(person) as agent:
        await goes_out_once(scene, agent, "form")
    assert len(person.read) == 1


@of_each_kind
async def test_with_an_approval_exactly_one_request_goes_out_and_it_is_on_record(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        scene.decide(await scene.waits(agent))
        await goes_out_once(scene, agent, "approval")


@of_each_kind
async def test_with_a_token_exactly_one_request_goes_out_and_it_is_on_record(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        await goes_out_once(scene, agent, "token", **{TOKEN: await scene.token(agent)})


def test_a_tool_of_each_kind_is_among_those_that_stand_for_the_others(catalog: Catalog) -> None:
    kinds = [catalog[name] for name in KINDS if name in catalog]
    assert {each.worst_effect for each in kinds} == GUARDED
    assert any(each.effect_when for each in kinds)
    assert any(each.fill for each in kinds)
    assert any(each.content_type == MULTIPART for each in kinds)
    assert any(each.answers_with_file for each in kinds)
    assert any(each.id not in builders() for each in kinds)
    assert {CLUSTER in each.arguments for each in kinds} == {True, False}
    assert any(is_part_of_cluster(name) for name in KINDS)
