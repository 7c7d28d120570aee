"""No guarded call goes out without a person's consent, whatever is handed over in its place; with it, each does once.

The tools come from the specs: a new guarded one fails here until it has a call of its own.
"""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent, text_of
from approving import ALICE, MALLORY, edit
from consenting import (
    ANY_ID,
    ERAS,
    TOOLS,
    Prepared,
    Scene,
    another_call,
    answer_to,
    is_part_of_cluster,
    leg,
    name_in,
    prepare,
    question_of,
    scene_of,
    told,
    touch,
)
from guarded import Action, Person
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from ap_mcp.errors import ApprovalRefused
from ap_mcp.guard import approvals, keys
from ap_mcp.guard.approvals import Question
from ap_mcp.guard.confirm import APPROVAL_LIFETIME, CHANGED, FIELD, LIFETIME
from ap_mcp.guard.keys import init_key, sign, unlock
from ap_mcp.guard.questions import Decision, signed_digest
from ap_mcp.guard.seal import ticks
from ap_mcp.simulator.names import TEAM_SANDBOX
from ap_mcp.tools import TOKEN

pytestmark = pytest.mark.anyio

WITHOUT_FORMS = ("human", "approval", "token")
DENYING = '[[rules]]\ndecision = "deny"\ntools = ["{tool}"]\n'
OTHER = '[[rules]]\ndecision = "ask"\napprover = "other"\ntools = ["{tool}"]\n'
ANOTHER = dict(zip(TOOLS, [*TOOLS[1:], TOOLS[0]], strict=True))
"""For each tool another one."""


def _scenes(*cases: tuple[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scene", cases, ids=[" ".join(case) for case in cases], indirect=True)


in_both_eras = _scenes(*itertools.product(TOOLS, ERAS))
in_2026 = _scenes(*itertools.product(TOOLS, ["auto"]))
in_2025 = _scenes(*itertools.product(TOOLS, ["legacy"]))
on_parts_of_clusters = _scenes(*itertools.product(filter(is_part_of_cluster, TOOLS), ERAS))
in_one_era = _scenes(*zip(TOOLS, itertools.cycle(ERAS), strict=False))
"""For what is no matter of the protocol: half of the tools in the one era, half in the other."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store not wait for the disk: that it survives a crash is tested elsewhere, and here it is used a lot."""
    careful = approvals._prepare

    def prepare_hastily(db: sqlite3.Connection) -> None:
        careful(db)
        db.execute("PRAGMA synchronous = OFF")

    monkeypatch.setattr(approvals, "_prepare", prepare_hastily)


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared) -> Iterator[Scene]:
    tool, era = request.param
    scene = scene_of(prepared, tool, era, tmp_path)
    yield scene
    scene.check()


def as_somebody_else(monkeypatch: pytest.MonkeyPatch, name: str = "somebody-else") -> None:
    """Let servers that start now run for another user."""
    monkeypatch.setattr("ap_mcp.protocol.local_user", lambda: name)


def tampered(sealed: str) -> list[str]:
    """Spellings of a sealed text that differ in a single place."""
    places = (0, len(sealed) // 2, len(sealed) - 1)
    flipped = [f"{sealed[:at]}{'A' if sealed[at] != 'A' else 'B'}{sealed[at + 1 :]}" for at in places]
    return [*flipped, f"{sealed}="]


def message_of(asked: InputRequiredResult) -> str:
    assert asked.input_requests
    form = asked.input_requests["consent"].params
    assert isinstance(form, ElicitRequestFormParams)
    return form.message


def text_in(result: CallToolResult | InputRequiredResult) -> str:
    assert isinstance(result, CallToolResult)
    return text_of(result)


def decision_on(scene: Scene, question: Question) -> Decision:
    asked = scene.store.find(question.code)
    assert asked
    assert asked.decision
    return asked.decision


def write(scene: Scene, question: Question, **values: Any) -> None:
    """Write values into the row of a question by hand."""
    if "signature" in values:
        values["decided"] = ticks(scene.clock())
    columns = ", ".join(f"{name} = ?" for name in values)
    edit(scene.store, f"UPDATE questions SET {columns} WHERE code = ?", *values.values(), question.code)  # noqa: S608


def put_back(scene: Scene, tables: dict[str, Any]) -> None:
    """Bring the account back to how it was, as if nothing had been done."""
    for name, rows in tables.items():
        scene.world.table(name).clear()
        scene.world.table(name).update(rows)


def policy(scene: Scene, text: str) -> Path:
    path = scene.folder / "policy.toml"
    path.write_text(text.format(tool=scene.tool))
    return path


def test_there_is_a_call_for_every_guarded_tool_and_each_needs_consent(prepared: Prepared) -> None:
    assert set(prepared.calls) == set(TOOLS)
    assert len(TOOLS) >= 17


# Nobody can be asked


@in_both_eras
async def test_a_client_without_forms_gets_a_code_and_nothing_is_sent(scene: Scene) -> None:
    for confirm in WITHOUT_FORMS:
        async with scene.connect(confirm=confirm) as agent:
            question = await scene.waits(agent)
            assert question.name in agent.said
            assert question.impact_text.partition("\n")[2] in agent.said
            assert ("confirmation_token=" in agent.said) == (confirm == "token")


@in_both_eras
async def test_mode_deny_refuses_whoever_would_agree(scene: Scene) -> None:
    person = Person()
    async with scene.connect(person, confirm="deny") as agent:
        assert "AP_MCP_CONFIRM=deny" in await scene.refused(agent)
    async with scene.connect(person, policy_file=policy(scene, DENYING)) as agent:
        assert "No consent lifts this" in await scene.refused(agent)
    assert person.read == []


@in_one_era
async def test_in_mode_approval_a_form_is_not_even_shown(scene: Scene) -> None:
    person = Person()
    async with scene.connect(person, confirm="approval") as agent:
        await scene.waits(agent)
    assert person.read == []


# Forms


@in_both_eras
async def test_a_person_who_does_not_agree_is_obeyed(scene: Scene) -> None:
    person = Person()
    refusals: tuple[tuple[Action, str], ...] = (("decline", "said no"), ("cancel", "did not answer"))
    async with scene.connect(person) as agent:
        for person.action, said in refusals:
            assert said in await scene.refused(agent)
    assert len(person.read) == 2


@in_both_eras
async def test_any_other_name_than_the_very_one_is_no_consent(scene: Scene) -> None:
    person = Person(typed="yes")
    async with scene.connect(person) as agent:
        await scene.refused(agent)
        name = name_in(person.read[0])
        for person.typed in (f"{name} ", name.upper()):
            assert f'The name typed was not "{name}"' in await scene.refused(agent)


@in_both_eras
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


@in_2025
async def test_a_person_who_takes_too_long_has_not_agreed(scene: Scene) -> None:
    left = []

    async def sleeps(context: Any, params: Any) -> ElicitResult:
        del context, params
        try:
            await anyio.sleep_forever()
        finally:
            left.append("the form")
        raise AssertionError("nobody wakes them")

    async with scene.connect(sleeps, patience=0.02) as agent:
        assert "did not answer" in await scene.refused(agent)
    assert left == ["the form"]


@in_2025
async def test_what_changes_while_a_person_reads_is_asked_about_again_and_three_times_at_most(scene: Scene) -> None:
    person = Person()

    async def agrees_too_late(context: Any, params: Any) -> ElicitResult:
        touch(scene, len(person.read))
        return await person(context, params)

    async with scene.connect(agrees_too_late) as agent:
        assert "changed every time" in await scene.refused(agent)
    assert [each.startswith(CHANGED) for each in person.read] == [False, True, True]


@in_2026
async def test_what_changes_between_two_legs_is_asked_about_again_and_three_times_at_most(scene: Scene) -> None:
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
        for number in (1, 2):
            touch(scene, number)
            asked = await question_of(agent, scene, **answer_to(asked))
            assert message_of(asked).startswith(CHANGED)
        touch(scene, 3)
        assert "changed every time" in told(text_in(await leg(agent, scene, **answer_to(asked))))


@in_2026
async def test_a_state_that_was_not_made_for_this_very_call_only_asks_again(
    scene: Scene, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another_call(scene)
    async with scene.connect(Person(), confirm="token") as agent:
        mine = answer_to(await question_of(agent, scene))
        for_others = [
            await question_of(agent, scene, arguments=other),
            await question_of(agent, scene, tool=ANOTHER[scene.tool], arguments=prepared.calls[ANOTHER[scene.tool]]),
        ]
        states = [*tampered(mine["request_state"]), *(each.request_state for each in for_others), None]
        for state in states:
            asked = await question_of(agent, scene, **{**mine, "request_state": state})
            assert not message_of(asked).startswith(CHANGED)
        for answer in ({}, {"consent": None}, {"other": mine["input_responses"]["consent"]}):
            given = {name: each for name, each in answer.items() if each}
            await question_of(agent, scene, input_responses=given, request_state=mine["request_state"])
        said = text_in(await leg(agent, scene, arguments={**scene.arguments, TOKEN: mine["request_state"]}))
        assert "confirmation_token is unknown" in told(said)
    as_somebody_else(monkeypatch)
    async with scene.connect(Person(), confirm="token") as agent:
        await question_of(agent, scene, **mine)
    async with scene.connect(Person(), state_key="another key, which nobody shares with them") as agent:
        await question_of(agent, scene, **mine)
    monkeypatch.undo()
    scene.clock.pass_by(LIFETIME)
    async with scene.connect(Person()) as agent:
        await question_of(agent, scene, **mine)


@in_2026
async def test_an_answer_is_used_up_by_whatever_it_says(scene: Scene) -> None:
    async with scene.connect(Person()) as agent:
        asked = await question_of(agent, scene)
        no = {"consent": ElicitResult(action="decline")}
        assert "said no" in told(text_in(await leg(agent, scene, **answer_to(asked, input_responses=no))))
        assert "was used before" in told(text_in(await leg(agent, scene, **answer_to(asked))))


@in_2026
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


# Tokens


@in_one_era
async def test_a_token_is_unknown_outside_mode_token(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
    for confirm in ("human", "approval", "deny"):
        async with scene.connect(confirm=confirm) as agent:
            assert "confirmation_token: is no argument" in await scene.refused(agent, confirmation_token=token)


@in_one_era
async def test_a_token_that_was_not_made_for_this_very_call_is_worth_nothing(
    scene: Scene, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, else_ = another_call(scene), ANOTHER[scene.tool]
    async with scene.connect(confirm="token") as agent:
        mine, code = await scene.token(agent), (await scene.waits(agent)).code
        await agent.fail(else_, **prepared.calls[else_])
        for_others = [await scene.token(agent, other), agent.said.rpartition("confirmation_token=")[2]]
        for token in (*tampered(mine), *for_others, code, ANY_ID, ""):
            said = await scene.refused(agent, confirmation_token=token)
            assert "confirmation_token is unknown" in said
        assert "confirmation_token is unknown" in await scene.refused(agent, other, confirmation_token=mine)
    as_somebody_else(monkeypatch)
    async with scene.connect(confirm="token") as agent:
        assert "confirmation_token is unknown" in await scene.refused(agent, confirmation_token=mine)
    monkeypatch.undo()
    scene.clock.pass_by(LIFETIME)
    async with scene.connect(confirm="token") as agent:
        assert "confirmation_token is unknown" in await scene.refused(agent, confirmation_token=mine)


@in_one_era
async def test_a_token_for_things_as_they_were_is_worth_nothing_once_they_change(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
        touch(scene)
        assert "confirmation_token is unknown" in await scene.refused(agent, confirmation_token=token)


@in_one_era
async def test_a_token_works_once_also_on_another_server_of_the_same_user(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
        await scene.done(agent, confirmation_token=token)
        # Whether things have changed by it or not: this consent is gone.
        assert (await agent.run(scene.tool, {**scene.arguments, TOKEN: token})).is_error
    async with scene.connect(confirm="token") as agent:
        assert (await agent.run(scene.tool, {**scene.arguments, TOKEN: token})).is_error


@in_one_era
async def test_where_somebody_else_must_approve_neither_form_nor_token_counts(scene: Scene) -> None:
    person = Person()
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
    async with scene.connect(person, confirm="token", policy_file=policy(scene, OTHER)) as agent:
        assert (await scene.waits(agent)).other_approver
        assert "confirmation_token=" not in agent.said
        said = await scene.refused(agent, confirmation_token=token)
        assert said.startswith("approval_required")
    assert person.read == []


# Approvals


@in_one_era
async def test_an_approval_that_was_declined_holds_until_it_expires(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question, approved=False)
        assert f"alice declined it ({question.code})" in await scene.refused(agent)
        scene.clock.pass_by(APPROVAL_LIFETIME)
        assert (await scene.waits(agent)).code != question.code


@in_one_era
async def test_an_approval_counts_in_its_time_for_its_call_for_its_user_and_for_things_as_they_were(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another_call(scene)
    async with scene.connect(confirm="approval") as agent:
        for_other = await scene.waits(agent, other)
        scene.decide(for_other)
        question = await scene.waits(agent)
        assert question.code != for_other.code
        scene.decide(question)
        scene.clock.pass_by(question.expires - scene.clock())
        assert (await scene.waits(agent)).code != question.code
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
    as_somebody_else(monkeypatch)
    async with scene.connect(confirm="approval") as agent:
        assert (await scene.waits(agent)).principal == "somebody-else"
    monkeypatch.undo()
    touch(scene)
    async with scene.connect(confirm="approval") as agent:
        assert (await scene.waits(agent)).code != question.code


@in_one_era
async def test_what_somebody_writes_into_the_store_is_no_approval(scene: Scene) -> None:
    other = another_call(scene)
    async with scene.connect(confirm="approval") as agent:
        approved = await scene.waits(agent, other)
        scene.decide(approved)
        signature = decision_on(scene, approved).signature
        for forged in (signature, b"\0" * 64, b""):
            question = await scene.waits(agent)
            write(scene, question, approver="alice", approved=1, signature=forged)
            assert (await scene.waits(agent)).code != question.code
        question = await scene.waits(agent)
        edit(scene.store, "DELETE FROM questions WHERE code = ?", question.code)
        mine = question.told()
        write(scene, approved, **{name: mine[name] for name in mine if name not in ("code", "created", "expires")})
        assert (await scene.waits(agent)).code != approved.code


@in_one_era
async def test_an_approval_of_another_text_than_the_true_one_does_not_count(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        for changes in (
            {"impact_text": "As of 2025-06-02T08:00:00+00:00\nShows something. Nothing changes."},
            {"impact_text": "Shows something. Nothing changes."},
            {"name": "something-harmless", "arguments": "{}", "effect": "read"},
        ):
            question = await scene.waits(agent)
            write(scene, question, **changes)
            doctored = scene.store.find(question.code)
            assert doctored
            scene.decide(doctored.question)
            assert (await scene.waits(agent)).code != question.code


@in_one_era
async def test_a_decision_counts_only_with_the_key_of_an_approver_the_server_knew_at_its_start(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question, MALLORY)
        again = await scene.waits(agent)
        as_alice = replace(sign(MALLORY, again, True, scene.clock()), approver="alice")
        scene.store.decide(again.code, as_alice)
        config = scene.folder / "config" / keys.APPROVERS_FILE
        config.write_text(json.dumps({"alice": ALICE.public_text, "mallory": MALLORY.public_text}))
        assert (await scene.waits(agent)).code not in (question.code, again.code)


@in_one_era
async def test_a_wrong_passphrase_signs_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)
    folder = scene.folder / "approver"
    init_key(folder, "bob", "correct horse battery")
    async with scene.connect(confirm="approval", approver_dir=folder) as agent:
        question = await scene.waits(agent)
        with pytest.raises(ApprovalRefused, match="does not open"):
            unlock(folder, "correct horse battery ")
        assert (await scene.waits(agent)).code == question.code
        scene.decide(question, unlock(folder, "correct horse battery"))
        await scene.done(agent)


@in_one_era
async def test_who_asks_cannot_approve_where_somebody_else_must(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    as_somebody_else(monkeypatch, "Alice")
    async with scene.connect(confirm="approval", policy_file=policy(scene, OTHER)) as agent:
        question = await scene.waits(agent)
        with pytest.raises(ApprovalRefused, match="somebody other than"):
            scene.decide(question)
        at = scene.clock()
        digest = signed_digest(question, "alice", approved=True, at=at)
        scene.store.decide(question.code, Decision("alice", True, at, ALICE.key.sign(digest)))
        assert (await scene.waits(agent)).code != question.code
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
    async with scene.connect(confirm="approval", policy_file=policy(scene, OTHER)) as agent:
        assert (await scene.waits(agent)).code != question.code


@in_one_era
async def test_an_approval_works_once_also_on_another_server_of_the_same_user(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
        state = scene.world.to_json()["tables"]
        await scene.done(agent)
        put_back(scene, state)
        assert (await scene.waits(agent)).code != question.code
        edit(scene.store, "DELETE FROM spent")
        assert (await scene.waits(agent)).code != question.code
    async with scene.connect() as agent:
        edit(scene.store, "INSERT INTO spent VALUES (?, ?)", question.consent_id, 2**62)
        assert (await scene.waits(agent)).code != question.code


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


@in_both_eras
async def test_with_a_form_filled_in_exactly_one_request_goes_out_and_it_is_on_record(scene: Scene) -> None:
    person = Person()
    async with scene.connect(person) as agent:
        await goes_out_once(scene, agent, "form")
    assert len(person.read) == 1


@in_both_eras
async def test_with_an_approval_exactly_one_request_goes_out_and_it_is_on_record(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        scene.decide(await scene.waits(agent))
        await goes_out_once(scene, agent, "approval")


@in_both_eras
async def test_with_a_token_exactly_one_request_goes_out_and_it_is_on_record(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        await goes_out_once(scene, agent, "token", **{TOKEN: await scene.token(agent)})
