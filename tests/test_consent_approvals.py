"""Approvals and tokens that are anything but what they should be: nothing goes out for them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from approving import ALICE, MALLORY, edit
from consenting import (
    ANOTHER,
    ANY_ID,
    OTHER,
    Prepared,
    Scene,
    another_call,
    as_somebody_else,
    in_one_era,
    of_an_operation_and_in_a_cluster,
    of_each_kind,
    policy,
    tampered,
    token_in,
    touch,
)
from guarded import Person

from ap_mcp.errors import ApprovalRefused
from ap_mcp.guard import keys
from ap_mcp.guard.approval_requests import Question, SignedAnswer, signed_digest
from ap_mcp.guard.keys import init_key, sign, unlock
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME, TOKEN_LIFETIME
from ap_mcp.guard.seal import ticks
from ap_mcp.operation_tools import TOKEN

pytest_plugins = ["consent_fixtures"]
pytestmark = pytest.mark.anyio


def decision_on(scene: Scene, question: Question) -> SignedAnswer:
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


def opened(question: Question) -> tuple[Any, ...]:
    """Values of the record that an approval takes away."""
    consent = question.consent
    return consent.id, consent.digest, consent.principal, ticks(consent.expires)


def put_back(scene: Scene, tables: dict[str, Any]) -> None:
    """Bring the account back to how it was, as if nothing had been done."""
    for name, rows in tables.items():
        scene.world.table(name).clear()
        scene.world.table(name).update(rows)


# Tokens


@of_an_operation_and_in_a_cluster
async def test_a_token_is_unknown_outside_mode_token(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
    for confirm in ("human", "approval", "deny"):
        async with scene.connect(confirm=confirm) as agent:
            assert "confirmation_token: is no argument" in await scene.refused(agent, confirmation_token=token)


@of_an_operation_and_in_a_cluster
async def test_a_token_that_was_not_made_for_this_very_call_is_worth_nothing(
    scene: Scene, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, else_ = another_call(scene), ANOTHER[scene.tool]
    async with scene.connect(confirm="token") as agent:
        mine, code = await scene.token(agent), (await scene.waits(agent)).code
        await agent.fail(else_, **prepared.calls[else_])
        for_others = [await scene.token(agent, other), token_in(agent.said)]
        for token in (*tampered(mine), *for_others, code, ANY_ID, ""):
            said = await scene.refused(agent, confirmation_token=token)
            assert "confirmation_token is unknown" in said
        assert "confirmation_token is unknown" in await scene.refused(agent, other, confirmation_token=mine)
    as_somebody_else(monkeypatch)
    async with scene.connect(confirm="token") as agent:
        assert "confirmation_token is unknown" in await scene.refused(agent, confirmation_token=mine)
    monkeypatch.undo()
    scene.clock.pass_by(TOKEN_LIFETIME)
    async with scene.connect(confirm="token") as agent:
        assert "confirmation_token is unknown" in await scene.refused(agent, confirmation_token=mine)


@of_each_kind
async def test_a_token_for_things_as_they_were_is_worth_nothing_once_they_change(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
        touch(scene)
        assert "confirmation_token is unknown" in await scene.refused(agent, confirmation_token=token)


@of_each_kind
async def test_a_token_works_once_also_on_another_server_of_the_same_user(scene: Scene) -> None:
    async with scene.connect(confirm="token") as agent:
        token = await scene.token(agent)
        await scene.done(agent, confirmation_token=token)
        # Whether things have changed by it or not: this consent is gone.
        assert (await agent.run(scene.tool, {**scene.arguments, TOKEN: token})).is_error
    async with scene.connect(confirm="token") as agent:
        assert (await agent.run(scene.tool, {**scene.arguments, TOKEN: token})).is_error


@of_an_operation_and_in_a_cluster
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


@of_an_operation_and_in_a_cluster
async def test_an_approval_that_was_declined_holds_until_it_expires(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question, approved=False)
        assert f"alice declined it ({question.code})" in await scene.refused(agent)
        scene.clock.pass_by(APPROVAL_LIFETIME)
        assert (await scene.waits(agent)).code != question.code


@of_an_operation_and_in_a_cluster
async def test_an_approval_counts_in_its_time_for_its_call_and_for_its_user(
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
        anew = await scene.waits(agent)
        assert anew.code != question.code
        scene.decide(anew)
    as_somebody_else(monkeypatch)
    async with scene.connect(confirm="approval") as agent:
        assert (await scene.waits(agent)).principal == "somebody-else"


@in_one_era
async def test_an_approval_counts_for_things_as_they_were_and_for_no_other_call(scene: Scene) -> None:
    other = another_call(scene)
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
        assert (await scene.waits(agent, other)).code != question.code
        touch(scene)
        assert (await scene.waits(agent)).code != question.code


@of_an_operation_and_in_a_cluster
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
        mine = question.as_json()
        write(scene, approved, **{name: mine[name] for name in mine if name not in ("code", "created", "expires")})
        assert (await scene.waits(agent)).code != approved.code


@of_each_kind
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


@of_an_operation_and_in_a_cluster
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


@of_an_operation_and_in_a_cluster
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


@of_an_operation_and_in_a_cluster
async def test_who_asks_cannot_approve_where_somebody_else_must(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    as_somebody_else(monkeypatch, "Alice")
    async with scene.connect(confirm="approval", policy_file=policy(scene, OTHER)) as agent:
        question = await scene.waits(agent)
        with pytest.raises(ApprovalRefused, match="somebody other than"):
            scene.decide(question)
        at = scene.clock()
        digest = signed_digest(question, "alice", approved=True, at=at)
        scene.store.decide(question.code, SignedAnswer("alice", True, at, ALICE.key.sign(digest)))
        assert (await scene.waits(agent)).code != question.code
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
    async with scene.connect(confirm="approval", policy_file=policy(scene, OTHER)) as agent:
        assert (await scene.waits(agent)).code != question.code


@of_each_kind
async def test_an_approval_works_once_also_on_another_server_of_the_same_user(scene: Scene) -> None:
    async with scene.connect(confirm="approval") as agent:
        question = await scene.waits(agent)
        scene.decide(question)
        state = scene.world.to_json()["tables"]
        await scene.done(agent)
        put_back(scene, state)
        assert (await scene.waits(agent)).code != question.code
        edit(scene.store, "INSERT INTO open VALUES (?, ?, ?, 1, ?)", *opened(question))
        assert (await scene.waits(agent)).code != question.code
        edit(scene.store, "DELETE FROM open")
    async with scene.connect() as agent:
        assert (await scene.waits(agent)).code != question.code
