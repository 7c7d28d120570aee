"""A call whose question is answered elsewhere stays open for a while, and goes on by itself once there is an answer."""

from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from approving import MALLORY, SECOND
from confirming import DELETE, SHOP
from holding import PAGE, HeldDesk, at, link_to

from ap_mcp.errors import ApprovalRequired, ApprovalsUnusable, ConsentDeclined, ForgedState
from ap_mcp.guard.approval_requests import Asked, new_code
from ap_mcp.guard.callers import AskBack, FormAnswer
from ap_mcp.guard.elsewhere import KEPT_CHANGING, MOST_ROUNDS
from ap_mcp.guard.holds import AT_FULL_PACE, Holds
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME
from ap_mcp.guard.requests import Consent, Request
from ap_mcp.state.local import LocalStore

pytestmark = pytest.mark.anyio

CHANGED = replace(DELETE, impact=replace(SHOP, stable={"id": "0e1f", "version": "v1.31"}))
OPENED = FormAnswer("accept")


@pytest.fixture
def desk(tmp_path: Path) -> HeldDesk:
    return HeldDesk(tmp_path, mode="approval")


@pytest.fixture
def paged(tmp_path: Path) -> HeldDesk:
    return HeldDesk(tmp_path, mode="approval", page=link_to)


async def required(call: Awaitable[Any]) -> ApprovalRequired:
    with pytest.raises(ApprovalRequired) as caught:
        await call
    return caught.value


async def refused(call: Awaitable[Any]) -> ConsentDeclined:
    with pytest.raises(ConsentDeclined, match="Nothing was sent") as caught:
        await call
    return caught.value


# While it is held


async def test_a_held_call_goes_on_within_a_second_of_its_approval(desk: HeldDesk) -> None:
    began = desk.time
    desk.after(3, desk.answer)
    consent = await desk.held()
    assert isinstance(consent, Consent)
    assert (consent.channel, consent.approver, consent.code) == ("approval", "alice", desk.codes[0])
    assert consent.said.startswith(f'"alice" approved {desk.codes[0]} at ')
    assert consent.said.endswith(", signed with their key, in a terminal")
    assert desk.time - began <= 4 * SECOND


async def test_an_approval_lets_one_held_call_through_and_none_after_it(desk: HeldDesk) -> None:
    desk.after(1, desk.answer)
    assert isinstance(await desk.held(), Consent)
    again = await required(desk.held())
    assert [again.code] == desk.codes[1:]


async def test_progress_says_every_few_seconds_where_it_is_decided_and_how_long_that_can_be(paged: HeldDesk) -> None:
    await required(paged.held())
    code = paged.codes[0]
    assert [each[:2] for each in paged.progress] == at(range(0, 50, 5), 50)
    assert paged.progress[0][2] == (
        f"waiting for a person to decide {code} at {PAGE}{code}, which has to happen within 15 min"
    )
    assert paged.progress[-1][2].endswith("within 14 min")


async def test_without_a_page_progress_names_the_code_alone(desk: HeldDesk) -> None:
    desk.after(1, desk.answer)
    await desk.held()
    assert f"to decide {desk.codes[0]}, which" in desk.progress[0][2]


async def test_a_held_call_takes_no_turn_while_it_waits_and_works_again_before_it_goes_on(desk: HeldDesk) -> None:
    desk.after(2, desk.answer)
    await desk.held()
    assert desk.rested == ["rests", "works"]


async def test_when_the_time_is_up_the_answer_names_the_code_and_how_long_it_was_waited_for(desk: HeldDesk) -> None:
    began = desk.time
    waits = await required(desk.held())
    assert desk.time - began == timedelta(seconds=50)
    assert [waits.code] == desk.codes
    assert "Nobody decided it while this call waited, 50 s." in waits.render()
    assert f"call {DELETE.tool} again with the same arguments" in waits.render()


async def test_an_approval_after_the_hold_counts_for_the_call_that_is_made_again(desk: HeldDesk) -> None:
    await required(desk.held())
    await desk.answer()
    consent = await desk.held()
    assert isinstance(consent, Consent)
    assert len(desk.codes) == 1


async def test_a_call_that_is_made_again_is_held_for_the_question_that_waits_already(desk: HeldDesk) -> None:
    await required(desk.held())
    desk.after(2, desk.answer)
    assert isinstance(await desk.held(), Consent)
    assert len(desk.codes) == 1


@pytest.mark.parametrize("why", ["no time", "not by this caller", "nobody can approve"])
async def test_a_call_is_not_held_where_that_would_be_of_no_use(tmp_path: Path, why: str) -> None:
    desk = HeldDesk(tmp_path, mode="approval", seconds=0 if why == "no time" else 50)
    if why == "nobody can approve":
        desk.approvers = {}
    caller = desk.caller()._replace(may_hold=why != "not by this caller")
    began = desk.time
    waits = await required(desk.ask(caller=caller))
    assert desk.time == began
    assert desk.progress == []
    assert "while this call waited" not in waits.render()


# What ends it


async def test_a_no_ends_it_at_once(desk: HeldDesk) -> None:
    desk.after(2, partial(desk.answer, approved=False))
    no = await refused(desk.held())
    assert "alice declined it" in str(no)
    assert no.verdict == "declined"
    assert len(desk.progress) == 1


async def test_a_question_that_is_withdrawn_ends_it_and_may_be_asked_anew(desk: HeldDesk) -> None:
    async def withdraw() -> None:
        await desk.confirmer.store.withdraw(desk.codes[0], "bob", desk.time)

    desk.after(2, withdraw)
    gone = await refused(desk.held())
    assert gone.verdict == "withdrawn"
    assert f'{desk.codes[0]} was withdrawn by "bob"' in str(gone)
    assert "Call again" in str(gone)
    await required(desk.held())
    assert len(desk.codes) == 2


async def test_a_question_that_expires_meanwhile_ends_it(desk: HeldDesk) -> None:
    await required(desk.held())
    desk.time += APPROVAL_LIFETIME - timedelta(seconds=60)
    late = await refused(desk.held())
    assert late.verdict == "expired"
    assert "Nobody decided" in str(late)
    assert "Call again" in str(late)
    assert len(desk.codes) == 1


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_that_is_seen_too_late_is_not_said_to_be_none(desk: HeldDesk, *, approved: bool) -> None:
    async def at_the_last_moment() -> None:
        await desk.answer(approved=approved)
        desk.time += APPROVAL_LIFETIME

    desk.after(2, at_the_last_moment)
    late = await refused(desk.held())
    assert late.verdict == "expired"
    assert f"The answer to {desk.codes[0]} was not seen in time: it expired at" in str(late)


async def test_a_no_to_the_same_question_under_another_code_is_not_said_to_be_none(desk: HeldDesk) -> None:
    """Two servers that are asked at the same moment both ask; whichever is answered, that is the answer."""

    async def asked_by_another_server_and_declined() -> None:
        store = desk.confirmer.store
        asked = await store.find(desk.codes[0])
        assert asked
        twin = replace(asked.question, code=new_code())
        await store.ask(twin)
        await desk.answer(twin.code, approved=False)

    desk.after(2, asked_by_another_server_and_declined)
    no = await refused(desk.held())
    assert no.verdict == "declined"
    assert "alice declined it" in str(no)


async def test_a_store_that_fails_meanwhile_ends_it_and_nothing_counts(desk: HeldDesk) -> None:
    async def breaks() -> None:
        desk.path.write_bytes(b"no database at all" * 100)

    desk.after(2, breaks)
    with pytest.raises(ApprovalsUnusable):
        await desk.held()
    assert len(desk.holds) == 0


async def test_a_store_that_loses_the_question_ends_it(desk: HeldDesk) -> None:
    desk.store = Forgetful(desk)
    lost = await refused(desk.held())
    assert "the record of its question is lost" in str(lost)


class Forgetful(LocalStore):
    """A store that has nothing of what it was given."""

    def __init__(self, desk: HeldDesk) -> None:
        super().__init__(desk.path)

    async def find(self, code: str) -> Asked | None:
        del code
        return None


async def test_a_server_that_ends_lets_its_held_calls_answer_first(desk: HeldDesk) -> None:
    async def ends() -> None:
        desk.holds.release()

    began = desk.time
    desk.after(4, ends)
    waits = await required(desk.held())
    assert [waits.code] == desk.codes
    assert desk.time - began == 4 * SECOND
    assert "call delete_cluster again" in waits.render()
    await required(desk.held())
    assert desk.time - began == 4 * SECOND


async def test_a_client_that_leaves_is_noted_and_its_question_stays(desk: HeldDesk) -> None:
    with anyio.CancelScope() as scope:

        async def leaves() -> None:
            assert desk.holds.is_held(desk.codes[0])
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        desk.after(2, leaves)
        await desk.held()
    code = desk.codes[0]
    assert desk.notices.said == [("asked", code), ("left", code)]
    assert not desk.holds.is_held(code)
    await desk.answer()
    assert isinstance(await desk.held(), Consent)


async def test_a_signature_that_is_not_known_here_is_no_answer_and_the_person_is_asked_anew(desk: HeldDesk) -> None:
    desk.after(1, partial(desk.answer, approver=MALLORY))
    waits = await required(desk.held())
    assert [waits.code] == desk.codes[1:]
    assert '"mallory" by a key this server does not know' in waits.render()


# What counts in the end


async def test_an_approval_of_how_things_were_lets_nothing_through_and_is_asked_anew(desk: HeldDesk) -> None:
    async def changes() -> None:
        await desk.answer()
        desk.found = [CHANGED] * 9

    desk.after(1, changes)
    desk.happens += [None, desk.answer]
    desk.found = [DELETE] * 2
    consent = await desk.held()
    assert isinstance(consent, Consent)
    assert len(desk.codes) == 2
    assert desk.codes[1] in consent.said
    assert consent.request.impact == CHANGED.impact


async def test_what_keeps_changing_is_given_up(desk: HeldDesk) -> None:
    versions = iter(range(99))

    async def changes() -> None:
        await desk.answer()
        impact = replace(SHOP, stable={"id": "0e1f", "version": next(versions)})
        desk.found = [replace(DELETE, impact=impact)] * 3

    desk.happens = [changes] * MOST_ROUNDS
    desk.found = [DELETE] * 2
    assert KEPT_CHANGING in str(await refused(desk.held()))


async def test_of_two_equal_calls_that_are_held_one_goes_on_and_the_other_says_why_not(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "approvals.db")
    desk = HeldDesk(tmp_path, mode="approval", store=store)
    outcomes: list[Consent | AskBack | ConsentDeclined] = []

    async def call() -> None:
        try:
            outcomes.append(await desk.held())
        except ConsentDeclined as error:
            outcomes.append(error)

    async def answer() -> None:
        while len(desk.holds) < len(calls):
            await anyio.lowlevel.checkpoint()
        await desk.answer()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            calls = [call, call]
            desk.happens = [answer]
            for each in calls:
                group.start_soon(each)
    sent = [each for each in outcomes if isinstance(each, Consent)]
    others = [each for each in outcomes if isinstance(each, ConsentDeclined)]
    assert (len(sent), len(others)) == (1, 1)
    assert others[0].verdict == "used before"
    assert "Another call may have sent it: read what exists now." in str(others[0])


async def test_an_approval_that_another_call_used_while_this_one_read_again_is_not_asked_for_once_more(
    desk: HeldDesk,
) -> None:
    """The other call takes the record after this one saw the approval, and before it could take it itself."""
    desk.after(1, desk.answer)

    async def read_again(at: Any) -> Request:
        if at is None:
            asked = await desk.confirmer.store.find(desk.codes[0])
            assert asked
            consent = asked.question.consent
            assert await desk.confirmer.store.take(consent.id, consent.digest, desk.time)
        return DELETE if at is None else replace(DELETE, shown_at=at)

    used = await refused(desk.confirmer.confirm(DELETE, desk.caller(), read_again))
    assert used.verdict == "used before"
    assert len(desk.codes) == 1


# Links


async def opened(desk: HeldDesk, **more: Any) -> AskBack:
    asked = await desk.held(can_open=True, **more)
    assert isinstance(asked, AskBack)
    return asked


async def test_a_client_that_opens_links_is_given_one_with_what_decides_and_without_a_form(paged: HeldDesk) -> None:
    asked = await opened(paged)
    assert (asked.link, asked.schema) == (f"{PAGE}{paged.codes[0]}", {})
    lines = asked.message.splitlines()
    assert "Deletes cluster shop-prod" in lines[0] or "shop-prod" in lines[0]
    assert lines[-1] == f"Read all of it and decide on the page (code {paged.codes[0]}). Nothing is sent before."
    assert paged.progress == []


async def test_that_a_link_was_opened_is_no_consent_and_the_call_waits_for_the_signature(paged: HeldDesk) -> None:
    asked = await opened(paged)
    waits = await required(paged.held(can_open=True, state=asked.state, returned=OPENED))
    assert [waits.code] == paged.codes
    assert len(paged.progress) == 10
    assert "answered that its user would open it. Nobody decided it while this call waited, 50 s." in waits.render()
    assert "Nobody was asked" not in waits.render()


async def test_a_link_that_is_approved_lets_the_call_through_as_it_comes_back(paged: HeldDesk) -> None:
    asked = await opened(paged)
    paged.after(3, paged.answer)
    consent = await paged.held(can_open=True, state=asked.state, returned=OPENED)
    assert isinstance(consent, Consent)
    assert (consent.channel, consent.approver) == ("approval", "alice")


async def test_what_was_approved_before_the_client_comes_back_is_not_waited_for(paged: HeldDesk) -> None:
    asked = await opened(paged)
    await paged.answer()
    assert isinstance(await paged.held(can_open=True, state=asked.state, returned=OPENED), Consent)
    assert paged.progress == []


@pytest.mark.parametrize("answer", [FormAnswer("decline"), FormAnswer("cancel"), None], ids=str)
async def test_a_link_that_was_not_opened_is_answered_at_once_and_still_waits(
    paged: HeldDesk, answer: FormAnswer | None
) -> None:
    asked = await opened(paged)
    waits = await required(paged.held(can_open=True, state=asked.state, returned=answer))
    assert [waits.code] == paged.codes
    assert waits.verdict == "not shown"
    assert f"did not open it: it answered {answer.action if answer else 'nothing'}." in waits.render()
    assert paged.progress == []


@pytest.mark.parametrize("part", ["tool", "principal", "arguments"])
async def test_the_state_of_a_link_to_another_call_opens_nothing_here(paged: HeldDesk, part: str) -> None:
    asked = await opened(paged)
    caller = paged.caller(can_open=True, state=asked.state, returned=OPENED)
    request = DELETE
    if part == "tool":
        request = replace(DELETE, tool="delete_addon")
    elif part == "principal":
        caller = caller._replace(principal="mallory")
    else:
        request = replace(DELETE, digest="0" * 64)
    again = await paged.ask(request, caller)
    assert isinstance(again, AskBack)
    assert again.link != asked.link
    assert len(paged.codes) == 2


async def test_a_state_that_was_tampered_with_is_refused(paged: HeldDesk) -> None:
    asked = await opened(paged)
    with pytest.raises(ForgedState):
        await paged.held(can_open=True, state=asked.state[:-2] + "AA", returned=OPENED)


async def test_when_things_change_the_client_is_given_the_new_link_a_few_times_at_most(paged: HeldDesk) -> None:
    changed = [replace(DELETE, impact=replace(SHOP, stable={"version": number})) for number in range(MOST_ROUNDS)]
    asked = await opened(paged)
    links = [asked.link]
    for request in changed[:-1]:
        again = await paged.held(request, can_open=True, state=asked.state, returned=OPENED)
        assert isinstance(again, AskBack)
        links.append(again.link)
        asked = again
    waits = await required(paged.held(changed[-1], can_open=True, state=asked.state, returned=OPENED))
    assert len({*links, waits.link}) == MOST_ROUNDS + 1


async def test_the_state_of_a_link_is_no_answer_to_a_form(tmp_path: Path) -> None:
    paged = HeldDesk(tmp_path, mode="approval", page=link_to)
    asked = await opened(paged)
    paged.mode = "human"
    again = await paged.held(can_return=True, state=asked.state, returned=FormAnswer("accept", {"name": "shop-prod"}))
    assert isinstance(again, AskBack)
    assert (again.link, bool(again.schema)) == ("", True)


async def test_the_answer_to_a_form_is_no_link_that_was_opened(tmp_path: Path) -> None:
    paged = HeldDesk(tmp_path, mode="human", page=link_to)
    asked = await paged.held(can_return=True)
    assert isinstance(asked, AskBack)
    paged.mode = "approval"
    again = await paged.held(can_open=True, state=asked.state, returned=OPENED)
    assert isinstance(again, AskBack)
    assert again.link == f"{PAGE}{paged.codes[0]}"


async def test_with_a_page_the_answer_names_the_link_first_and_last(paged: HeldDesk) -> None:
    waits = await required(paged.held())
    lines, link = waits.render().splitlines(), f"{PAGE}{paged.codes[0]}"
    assert lines[0].startswith(f"approval_required: {link} (code {paged.codes[0]}). Nothing was sent")
    assert f"Link: {link}" in lines
    assert lines[-2:] == [
        f"Approve in a terminal: ap-mcp approvals approve {paged.codes[0]}",
        f"Approve in a browser: {link}",
    ]
    assert paged.notices.links == [link]


# How often it is looked


async def test_many_held_calls_look_less_often_each() -> None:
    now, looks = 0.0, 0

    async def passes(seconds: float) -> None:
        nonlocal now
        await anyio.lowlevel.checkpoint()
        now += seconds / many

    async def find() -> None:
        nonlocal looks
        looks += 1

    async def say(passed: float, most: float) -> None:
        del passed, most

    many = 4 * AT_FULL_PACE
    holds = Holds(40, passes, lambda: now)
    async with anyio.create_task_group() as group:
        for number in range(many):
            group.start_soon(holds.until, find, f"{number}", 40.0, say)
    assert looks < many * 20
    assert len(holds) == 0
