"""Consent is bound to every part of a call and of what was shown, counts once, and only as the mode allows."""

import json
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from approving import ALICE, MALLORY, MINUTE, NOW, SECOND
from confirming import ARGUMENTS, CALL, DELETE, IVAN, NAMED, PLACE, READS, SHOP, Desk
from hypothesis import assume, given
from hypothesis import strategies as st

from ap_mcp.errors import ApprovalRefused, ApprovalRequired, ForgedState
from ap_mcp.guard.callers import AskBack, Caller, FormAnswer, FormFailed, local_user
from ap_mcp.guard.consent import CHANGED, Mode
from ap_mcp.guard.elsewhere import MOST_ROUNDS, NOBODY_YET, read_moment
from ap_mcp.guard.form_answers import FIELD, form, message
from ap_mcp.guard.impacts.layout import WIDTH
from ap_mcp.guard.keys import sign
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME, LARGEST_QUESTION, PULSE, QUESTION_LIFETIME, TOKEN_LIFETIME
from ap_mcp.guard.requests import Consent, Request, digest_of
from ap_mcp.guard.seal import Sealer
from ap_mcp.guard.where import ANYWHERE, Where
from ap_mcp.wording import width

pytestmark = pytest.mark.anyio

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=4), json_values, max_size=4)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def one_token(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Desk]:
    desk = Desk(tmp_path_factory.mktemp("desk"), mode="token")
    return anyio.run(desk.token), desk


def other_requests() -> list[Request]:
    """The request with every part of it changed, one at a time."""
    different: tuple[dict[str, Any], ...] = (
        {"method": "POST"},
        {"path": "/clusters/0e1e"},
        {"query": (("a", "1"),)},
        {"query": (("a", "2"), ("b", "1"))},
        {"headers": {}},
        {"body": b'{"a":1,"b":3}'},
        {"body": b'{"a":true,"b":2}'},
        {"body": None},
        {"content_type": "multipart/form-data; boundary=x"},
    )
    calls = [replace(CALL, **change) for change in different]
    shown: tuple[dict[str, Any], ...] = (
        {"name": "shop"},
        {"effect": "disrupt"},
        {"stable": {"id": "0e1e"}},
        {"settled": {"target_version": "v1.31.7"}},
    )
    impacts = [replace(SHOP, **change) for change in shown]
    return [
        replace(DELETE, place=replace(PLACE, region="eu-west-101")),
        replace(DELETE, place=replace(PLACE, project="another")),
        replace(DELETE, place=replace(PLACE, simulated=True)),
        replace(DELETE, place=replace(PLACE, profile="eu")),
        *(replace(DELETE, calls=(call,)) for call in calls),
        *(replace(DELETE, impact=impact) for impact in impacts),
    ]


# What consent is bound to


@given(arguments, arguments)
def test_two_calls_have_one_digest_only_if_their_arguments_are_the_same_json(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest_of(one, {}) == digest_of(other, {})) == same
    assert digest_of(dict(reversed(one.items())), {}) == digest_of(one, {})


def test_a_digest_separates_what_python_takes_for_equal_and_covers_the_content_of_files() -> None:
    spellings: list[dict[str, Any]] = [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": [1]}, {"a": None}, {}]
    files: list[dict[str, bytes]] = [{}, {"a": b""}, {"a": b"1"}, {"b": b"1"}]
    digests = {digest_of(given, content) for given in spellings for content in files}
    assert len(digests) == len(spellings) * len(files)


def test_a_fingerprint_covers_all_that_is_shown_and_all_that_is_sent() -> None:
    prints = [each.fingerprint for each in (DELETE, *other_requests())]
    assert len(set(prints)) == len(prints)


def test_a_fingerprint_does_not_depend_on_the_order_in_which_an_agent_names_things() -> None:
    turned = replace(CALL, query=CALL.query[::-1], body=b'{"b": 2, "a": 1}')
    assert replace(DELETE, calls=(turned,)).fingerprint == DELETE.fingerprint


def test_every_part_of_a_request_is_bound_or_known_not_to_matter() -> None:
    bound = {"tool", "arguments", "digest", "impact", "calls", "compared", "place"}
    free = {"steps", "shown_at", "other_approver", "takes_token", "token"}
    assert {each.name for each in fields(Request)} == bound | free


# Tokens


async def test_a_token_is_taken_once_for_its_call_in_its_time(desk: Desk) -> None:
    desk.mode = "token"
    token = await desk.token()
    desk.time += TOKEN_LIFETIME - SECOND
    consent = await desk.ask(replace(DELETE, token=token))
    assert isinstance(consent, Consent)
    assert (consent.channel, consent.approver) == ("token", "")
    assert "used before" in await desk.refusal(replace(DELETE, token=token))
    token = await desk.token()
    desk.time += TOKEN_LIFETIME
    assert "is unknown, expired" in await desk.refusal(replace(DELETE, token=token))


async def test_a_token_for_anything_else_is_refused(desk: Desk) -> None:
    desk.mode = "token"
    token = await desk.token()
    others = [*other_requests(), replace(DELETE, tool="get_cluster"), replace(DELETE, digest="0" * 64)]
    for other in others:
        assert "is unknown" in await desk.refusal(replace(other, token=token))
    assert "is unknown" in await desk.refusal(replace(DELETE, token=token), Caller("mallory"))
    assert isinstance(await desk.ask(replace(DELETE, token=token)), Consent)


async def test_what_a_state_says_is_no_token_and_the_other_way_round(desk: Desk) -> None:
    desk.mode = "token"
    state, token = (await desk.question()).state, await desk.token()
    assert "is unknown" in await desk.refusal(replace(DELETE, token=state))
    for forged in (token, state[:-1], "v1.AAAA", ""):
        with pytest.raises(ForgedState, match=r"did not make, or that was changed\. Nothing was sent"):
            await desk.ask(caller=Caller("ivan", can_return=True, returned=NAMED, state=forged))


async def test_what_a_server_with_another_key_sealed_is_refused_with_the_way_to_share_keys(desk: Desk) -> None:
    desk.mode = "token"
    state, token = (await desk.question()).state, await desk.token()
    desk.sealer = Sealer(b"o" * 32)
    shared = "was sealed by another server, or before a restart: .* need the same AP_MCP_STATE_KEY"
    assert re.search(shared, await desk.refusal(replace(DELETE, token=token)))
    returning = Caller("ivan", can_return=True, returned=NAMED, state=state)
    with pytest.raises(ForgedState, match=shared):
        await desk.ask(caller=returning)
    desk.sealer = Sealer(b"o" * 32, b"k" * 32)
    assert isinstance(await desk.ask(caller=returning), Consent)


@given(st.data())
def test_no_mutation_of_a_token_is_taken(one_token: tuple[str, Desk], data: st.DataObject) -> None:
    token, desk = one_token
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii"))
    mutated = data.draw(
        st.sampled_from(
            [token[:at] + other + token[at + 1 :], token[:at] + token[at + 1 :], token[:at] + other + token[at:]]
        )
    )
    assume(mutated != token)
    anyio.run(desk.refusal, replace(DELETE, token=mutated))


@given(arguments)
def test_a_token_is_taken_for_no_other_arguments(one_token: tuple[str, Desk], other: dict[str, Any]) -> None:
    token, desk = one_token
    assume(other != ARGUMENTS)
    anyio.run(desk.refusal, replace(DELETE, arguments=other, digest=digest_of(other, {}), token=token))


# Modes and channels


@pytest.mark.parametrize("mode", ["human", "approval", "deny"])
async def test_a_token_counts_in_mode_token_only(desk: Desk, mode: Mode) -> None:
    desk.mode = "token"
    token = await desk.token()
    desk.mode = mode
    await desk.code(replace(DELETE, token=token))


async def test_a_tool_that_takes_no_token_offers_none(desk: Desk) -> None:
    desk.mode = "token"
    with pytest.raises(ApprovalRequired) as caught:
        await desk.ask(replace(DELETE, takes_token=False))
    assert caught.value.token is None


@pytest.mark.parametrize("mode", ["approval", "deny"])
async def test_forms_are_not_used_where_a_program_could_fill_them_in(desk: Desk, mode: Mode) -> None:
    desk.mode = mode
    await desk.code(caller=desk.pushed)
    await desk.code(caller=Caller("ivan", can_return=True))
    assert desk.shown == []


async def test_somebody_else_approves_by_signature_whatever_the_caller_can_show(desk: Desk) -> None:
    desk.mode = "token"
    token = await desk.token()
    strict = replace(DELETE, other_approver=True)
    for caller in (desk.pushed, Caller("ivan", can_return=True), IVAN):
        code = await desk.code(replace(strict, token=token), caller)
    asked = await desk.confirmer.store.find(code)
    assert asked
    assert asked.question.other_approver
    await desk.confirmer.store.decide(code, sign(ALICE, asked.question, True, desk.time))
    consent = await desk.ask(strict)
    assert isinstance(consent, Consent)
    assert (consent.channel, consent.approver) == ("approval", "alice")
    assert desk.shown == []


# Forms while the call waits


async def test_a_form_is_answered_with_the_name_and_consents_to_what_was_found_last(desk: Desk) -> None:
    desk.found = [replace(DELETE, shown_at=NOW + MINUTE)]
    consent = await desk.ask(caller=desk.pushed)
    assert isinstance(consent, Consent)
    assert consent.request.shown_at == NOW + MINUTE
    assert (consent.channel, consent.approver) == ("form", "ivan")
    where = Where("cn-north-4", "project", "", "ivan")
    assert desk.shown == [message(SHOP.laid_out(where), "shop-prod")]


async def test_what_is_sent_is_what_the_last_form_showed(desk: Desk) -> None:
    newer = replace(
        DELETE, impact=replace(SHOP, settled={"target_version": "v1.31.7"}), calls=(replace(CALL, body=b"7"),)
    )
    desk.found = [newer, newer]
    consent = await desk.ask(caller=desk.pushed)
    assert isinstance(consent, Consent)
    assert (consent.request.calls[0].body, consent.request.impact.settled) == (b"7", {"target_version": "v1.31.7"})
    assert [CHANGED in each for each in desk.shown] == [False, True]


async def test_what_would_be_sent_may_not_change_under_a_form_either(desk: Desk) -> None:
    desk.found = [
        replace(DELETE, calls=(replace(CALL, body=json.dumps({"a": number}).encode()),)) for number in range(9)
    ]
    assert "changed every time" in await desk.refusal(caller=desk.pushed)
    assert len(desk.shown) == 3


async def test_a_rule_that_begins_to_want_somebody_else_is_obeyed_also_after_the_form(desk: Desk) -> None:
    strict = replace(DELETE, other_approver=True)
    desk.found = [strict, strict, strict]
    code = await desk.code(caller=desk.pushed)
    asked = await desk.confirmer.store.find(code)
    assert asked
    assert asked.question.other_approver


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (FormAnswer("decline", {FIELD: "shop-prod"}), "said no"),
        (FormAnswer("accept"), "typed was not"),
        (FormAnswer("accept", {FIELD: ["shop-prod"]}), "typed was not"),
        (FormAnswer("accept", {FIELD: "shop\N{NON-BREAKING HYPHEN}prod"}), "typed was not"),
        (FormAnswer("accept", {FIELD: "ѕhop-prod"}), "typed was not"),  # noqa: RUF001
        (FormAnswer("accept", {FIELD: "shop-prod\n"}), "typed was not"),
        (FormAnswer("accept", {FIELD: "shop-prod\ud800"}), "typed was not"),
    ],
)
async def test_anything_but_the_name_is_a_no(desk: Desk, answer: FormAnswer, said: str) -> None:
    desk.answers = [answer]
    assert said in await desk.refusal(caller=desk.pushed)
    asked = await desk.question()
    again = Caller("ivan", can_return=True, returned=answer, state=asked.state)
    assert said in await desk.refusal(caller=again)


@pytest.mark.parametrize(
    ("answer", "reads", "said"),
    [
        (NAMED, 0.03, "the client answered after 0.03 s: nobody saw the form"),
        (FormAnswer("decline"), 0.01, "the client answered after 0.01 s: nobody saw the form"),
        (FormAnswer("cancel"), 0.0, "the client answered after 0.00 s: nobody saw the form"),
        (NAMED, 0.63, "the client answered after 0.63 s: nobody saw the form"),
        (NAMED, 2.999, "the client answered after 3.00 s: nobody saw the form"),
        (NAMED, -5, "the client answered after 0.00 s: nobody saw the form"),
        (
            FormAnswer("cancel", {FIELD: "shop-prod"}),
            40,
            "closed after 40 s, by the client or by a user who does not want this",
        ),
        (
            FormAnswer("", {FIELD: "shop-prod"}),
            40,
            "closed after 40 s, by the client or by a user who does not want this",
        ),
    ],
)
async def test_an_answer_that_no_person_can_have_given_is_none_and_the_call_waits_for_an_approval(
    desk: Desk, answer: FormAnswer, reads: float, said: str
) -> None:
    desk.reads, desk.answers = timedelta(seconds=reads), [answer]
    state = (await desk.question()).state
    desk.time += desk.reads - READS
    for caller in (Caller("ivan", can_return=True, returned=answer, state=state), desk.pushed):
        with pytest.raises(ApprovalRequired) as caught:
            await desk.ask(caller=caller)
        assert said in caught.value.render()
        assert caught.value.verdict == "not shown"
        desk.time += SECOND * 60


async def test_an_approval_is_taken_without_another_form(desk: Desk) -> None:
    desk.reads = timedelta(0)
    code = await desk.code(caller=desk.pushed)
    asked = await desk.confirmer.store.find(code)
    assert asked
    desk.time += SECOND
    await desk.confirmer.store.decide(code, sign(ALICE, asked.question, True, desk.time))
    consent = await desk.ask(caller=desk.pushed)
    assert isinstance(consent, Consent)
    assert (consent.channel, len(desk.shown)) == ("approval", 1)


@pytest.mark.parametrize("said", ["error -32601", "what is no answer"])
async def test_a_client_that_cannot_show_the_form_it_announced_gets_a_code(desk: Desk, said: str) -> None:
    async def fails(_: str, __: Mapping[str, Any]) -> FormAnswer:
        raise FormFailed(said)

    with pytest.raises(ApprovalRequired) as caught:
        await desk.ask(caller=Caller("ivan", push=fails))
    assert f"announced forms, but nobody answered one: it could not show one, and answered {said}." in str(caught.value)


async def test_a_question_that_comes_back_without_an_answer_each_time_was_not_shown(desk: Desk) -> None:
    state: str | None = None
    for _ in range(MOST_ROUNDS):
        state = (await desk.question(state=state)).state
    with pytest.raises(ApprovalRequired, match="came back without an answer each time"):
        await desk.question(state=state)


async def test_while_a_person_is_waited_for_the_client_is_told_again_and_again(desk: Desk) -> None:
    said: list[tuple[float, float, str]] = []
    enough = anyio.Event()

    async def waiting(passed: float, total: float, what: str) -> None:
        said.append((passed, total, what))
        if len(said) == 3:
            enough.set()

    async def push(text: str, schema: dict[str, Any]) -> FormAnswer:
        await enough.wait()
        return await desk.push(text, schema)

    desk.pulse = 0.001
    with anyio.fail_after(20):
        assert isinstance(await desk.ask(caller=Caller("ivan", push=push, waiting=waiting)), Consent)
    assert [passed for passed, _, __ in said] == sorted({passed for passed, _, __ in said})
    assert all(passed < total and "waiting for a person" in what for passed, total, what in said)
    assert PULSE < 60


async def test_a_form_that_stays_unanswered_is_taken_away(desk: Desk) -> None:
    left = []

    async def no_answer(_: str, __: Mapping[str, Any]) -> FormAnswer:
        try:
            await anyio.sleep_forever()
        finally:
            left.append(True)
        return NAMED

    desk.patience = 0.01
    with anyio.fail_after(20):
        with pytest.raises(ApprovalRequired, match="nobody answered within 0 s"):
            await desk.ask(caller=Caller("ivan", push=no_answer))
    assert left == [True]


def test_a_form_can_be_filled_in_only_by_typing_the_name() -> None:
    schema = form(SHOP)
    assert list(schema["properties"]) == schema["required"] == [FIELD]
    assert "default" not in schema["properties"][FIELD]
    asked = SHOP.laid_out(ANYWHERE)
    assert message(asked, "shop-prod").endswith('type its name exactly: "shop-prod"')
    assert message(asked, "shop-prod", CHANGED).split("\n")[:4] == [*asked.first, CHANGED]


# Forms between two legs


async def test_an_answered_state_counts_once_in_its_time(desk: Desk) -> None:
    asked = await desk.question()
    back = Caller("ivan", can_return=True, returned=NAMED, state=asked.state)
    desk.time += QUESTION_LIFETIME - SECOND - READS
    assert isinstance(await desk.ask(caller=back), Consent)
    assert "used before" in await desk.refusal(caller=back)
    desk.time += SECOND
    assert isinstance(await desk.ask(caller=back), AskBack)


async def test_a_state_of_another_call_only_asks(desk: Desk) -> None:
    state = (await desk.question()).state
    for other in (replace(DELETE, tool="get_cluster"), replace(DELETE, digest="0" * 64)):
        assert CHANGED not in (await desk.question(other, returned=NAMED, state=state)).message
    stranger = Caller("mallory", can_return=True, returned=NAMED, state=state)
    assert isinstance(await desk.ask(caller=stranger), AskBack)
    assert isinstance(await desk.ask(caller=Caller("ivan", can_return=True, returned=NAMED, state=state)), Consent)


async def test_what_changed_between_two_legs_is_asked_about_again_three_times_at_most(desk: Desk) -> None:
    state: str | None = None
    for number, other in enumerate(other_requests()[:3]):
        asked = await desk.question(other, returned=NAMED, state=state)
        assert (CHANGED in asked.message) == (number > 0)
        state = asked.state
    again = Caller("ivan", can_return=True, returned=NAMED, state=state)
    assert "changed every time" in await desk.refusal(DELETE, again)


# Approvals


async def test_an_approval_for_anything_else_is_passed_over(desk: Desk) -> None:
    code = await desk.code()
    asked = await desk.confirmer.store.find(code)
    assert asked
    await desk.confirmer.store.decide(code, sign(ALICE, asked.question, True, desk.time))
    for other in (*other_requests(), replace(DELETE, tool="get_cluster"), replace(DELETE, digest="0" * 64)):
        assert await desk.code(other) != code
    assert await desk.code(caller=Caller("mallory")) != code
    consent = await desk.ask()
    assert isinstance(consent, Consent)
    assert (consent.channel, consent.approver) == ("approval", "alice")
    assert await desk.code() != code


async def test_a_question_says_why_nobody_was_asked_how_long_it_lives_and_how_the_outcome_is_learnt(desk: Desk) -> None:
    said = await desk.waits(caller=Caller("ivan", why_no_form="this client announces no forms"))
    assert said.startswith("approval_required: code ")
    assert "Nobody was asked: this client announces no forms.\n" in said
    assert "The code counts for 15 min, until 2026-03-01T12:15:00Z." in said
    assert "call delete_cluster again with the same arguments: only that says what was decided" in said
    desk.mode = "approval"
    assert "AP_MCP_CONFIRM=approval lets no form count" in await desk.waits(caller=desk.pushed)
    strict = replace(DELETE, other_approver=True)
    assert "wants somebody other than the caller to approve" in await desk.waits(strict, desk.pushed)


@pytest.mark.parametrize("mode", ["human", "token"])
async def test_the_first_words_are_the_code_and_the_last_line_how_to_approve_for_clients_that_show_no_more(
    desk: Desk, mode: Mode
) -> None:
    desk.mode, desk.approvers = mode, {}
    said = await desk.waits()
    code = said.partition("Code: ")[2].partition(". ")[0]
    assert said[:36].startswith(f"approval_required: code {code}. ")
    again, nobody, last = said.split("\n")[-3:]
    assert last == f"Approve in a terminal: ap-mcp approvals approve {code}"
    assert width(last) <= WIDTH
    assert again.startswith("Once approved, call delete_cluster again")
    assert nobody == NOBODY_YET
    assert f"Code: {code}. Repeat it to the user" in said
    assert ("confirmation_token=" in said) == (mode == "token")


async def test_the_first_approver_ever_learns_that_the_server_does_not_know_them_yet(desk: Desk) -> None:
    known, desk.approvers = desk.approvers, {}
    code = await desk.code()
    assert "Nobody can approve yet: a person runs `ap-mcp approvals init`" in await desk.waits()
    await desk.approve(code)
    for _ in range(2):
        said = await desk.waits()
        assert f'{code} was approved as "alice" by a key this server does not know: restart it' in said
        assert "Nobody can approve yet" not in said
    desk.approvers = known
    consent = await desk.ask()
    assert isinstance(consent, Consent)
    assert (consent.approver, "approved" in consent.said, code in consent.said) == ("alice", True, True)


async def test_a_key_that_is_known_by_another_name_or_not_at_all_approves_nothing_and_that_is_said(desk: Desk) -> None:
    code = await desk.code()
    await desk.approve(code, MALLORY)
    assert f'{code} was approved as "mallory" by a key this server does not know' in await desk.waits()


async def test_a_question_and_its_approval_are_those_of_one_client(desk: Desk) -> None:
    code = await desk.code(caller=Caller("ivan", "Claude 1"))
    for client in ("", "Claude 2", "ap-mcp call 1"):
        assert await desk.code(caller=Caller("ivan", client)) != code
    await desk.approve(code)
    assert await desk.code(caller=Caller("ivan", "Claude 2")) != code
    assert isinstance(await desk.ask(caller=Caller("ivan", "Claude 1")), Consent)


async def test_a_no_holds_for_whichever_client_calls(desk: Desk) -> None:
    code = await desk.code(caller=Caller("ivan", "Claude 1"))
    asked = await desk.confirmer.store.find(code)
    assert asked
    await desk.confirmer.store.decide(code, sign(ALICE, asked.question, False, desk.time))
    assert "alice declined it" in await desk.refusal(caller=Caller("ivan", "Claude 2"))
    assert "alice declined it" in await desk.refusal(caller=desk.pushed)
    assert desk.shown == []


@pytest.mark.parametrize("change", [{"simulated": True}, {"region": "eu-west-101"}, {"project": "another"}])
async def test_what_is_asked_in_one_place_is_neither_taken_over_nor_approved_in_another(
    desk: Desk, change: dict[str, Any]
) -> None:
    elsewhere = replace(DELETE, place=replace(PLACE, **change))
    code = await desk.code(elsewhere)
    assert await desk.code() != code
    await desk.approve(code)
    assert await desk.code() != code
    asked = await desk.confirmer.store.find(code)
    assert asked
    assert asked.question.place == elsewhere.place
    assert isinstance(await desk.ask(elsewhere), Consent)


async def test_a_question_of_its_own_takes_over_none_that_waits(desk: Desk) -> None:
    code = await desk.code()
    at_terminal = IVAN._replace(own_question=True)
    mine = await desk.code(caller=at_terminal)
    assert mine != code
    await desk.approve(mine)
    consent = await desk.ask(caller=at_terminal)
    assert isinstance(consent, Consent)
    assert mine in consent.said
    assert await desk.code() == code


async def test_a_question_is_asked_once_as_long_as_things_stay_the_same(desk: Desk) -> None:
    code = await desk.code()
    assert await desk.code() == code
    desk.time += APPROVAL_LIFETIME
    assert await desk.code() != code


@pytest.mark.parametrize("text", ["", "now", "2026-03-01", "2026-03-01T12:00:00", "12"])
def test_a_time_without_its_zone_is_none(text: str) -> None:
    assert read_moment(text) is None


def test_a_time_is_read_back_as_it_was_written() -> None:
    assert read_moment(NOW.isoformat()) == NOW


def test_the_user_is_who_the_process_runs_as_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.setenv(name, "mallory")
    assert local_user() == pwd.getpwuid(os.getuid()).pw_name


async def test_what_is_too_long_for_a_person_to_read_waits_for_nobody(desk: Desk) -> None:
    given = {**ARGUMENTS, "note": "x" * LARGEST_QUESTION}
    with pytest.raises(ApprovalRefused, match=r"read 200,\d+ characters, and at most 200,000 .* Nothing was sent"):
        await desk.ask(replace(DELETE, arguments=given, digest=digest_of(given, {})))
    assert await desk.confirmer.store.pending(desk.time) == []
    given["note"] = "x" * (LARGEST_QUESTION - 5000)
    await desk.code(replace(DELETE, arguments=given, digest=digest_of(given, {})))
