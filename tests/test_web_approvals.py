"""On the approval page a person sees all of it, and nothing but the passkey of a known approver decides."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from approval_desk import ALICES, KNOWN, Desk, opened, posted, signed_by
from approving import BOUND, LATE, MINUTE, SECOND, SOON, edit, question
from soft_authenticator import ORIGIN, PRESENT, SoftPasskey

from ap_mcp.errors import ApprovalsUnusable
from ap_mcp.guard.approval_requests import Asked, Question, SignedAnswer
from ap_mcp.guard.approvals import approval_in, standing
from ap_mcp.guard.approvers import KnownApprover
from ap_mcp.guard.seal import Sealer, canonical, ticks
from ap_mcp.guard.showing import shown
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.web.approval_forms import FRESH, HEADERS, MOST_BODY

pytestmark = pytest.mark.anyio
MALLORYS = SoftPasskey(id=b"mallory's phone")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as served:
        yield served


class Text(HTMLParser):
    """The text that a page shows, and the elements that it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.lines.append(data)

    def __contains__(self, text: str) -> bool:
        return text in "".join(self.lines)

    def form(self) -> dict[str, str | None]:
        return next((attributes for tag, attributes in self.tags if tag == "form"), {})


async def page(desk: Desk, path: str, status: int = 200) -> Text:
    response = await desk.client.get(path)
    assert response.status_code == status
    assert {name: response.headers[name] for name in HEADERS} == dict(HEADERS)
    return Text(response.text)


async def state_of(desk: Desk, asked: Question) -> str:
    found = await desk.store.find(asked.code)
    assert found is not None
    return standing(found, desk.approvers, desk.now).state


# What is shown


async def test_the_page_shows_everything_that_the_terminal_shows(desk: Desk) -> None:
    asked = await desk.asked(question(profile="prod-north", other_approver=True))
    text, seen = await page(desk, desk.path(asked)), shown(asked, desk.now)
    for words in (seen.code, seen.asked, seen.left, seen.where, seen.for_whom, seen.tool, seen.effect, seen.name):
        assert words in text
    assert all(line in text for line in (*seen.arguments, *seen.impact))
    assert "another person must decide" in text
    assert f"ap-mcp approvals approve {asked.code}" in text
    assert text.form()["action"] == desk.path(asked)
    assert text.form()["data-rp"] == "approve.example.com"


async def test_what_is_simulated_is_said_first(desk: Desk) -> None:
    text = await page(desk, desk.path(await desk.asked(question(simulated=True))))
    assert "SIMULATED, nothing real is touched · destroy" in text
    assert 'SIMULATED, nothing real is touched, region "cn-north-4"' in text


HOSTILE = '</title><script>alert(1)</script><img src=x onerror=alert(2)>" autofocus onfocus=alert(3) x="'


async def test_markup_from_the_cloud_and_from_callers_is_text(desk: Desk) -> None:
    clean = await page(desk, desk.path(await desk.asked(question())))
    parts = ("name", "principal", "client", "region", "project", "impact_text", "tool", "profile")
    changes = {part: f"{HOSTILE}{part}" for part in parts}
    asked = await desk.asked(question(arguments=canonical({"cluster_id": HOSTILE}), **changes))
    text = await page(desk, desk.path(asked))
    assert all(f"{HOSTILE}{part}" in text for part in parts)
    assert [tag for tag, _ in text.tags if tag != "li"] == [tag for tag, _ in clean.tags if tag != "li"]
    assert all(not name.startswith("on") for _, attributes in text.tags for name in attributes)


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x1b[2J", "\r", "\u2028", "\U000e0041"])
async def test_what_cannot_be_seen_is_spelt_out_and_nobody_can_agree_to_it(hidden: str, desk: Desk) -> None:
    for changes in ({"impact_text": f"Deletes {hidden}nothing."}, {"name": f"shop{hidden}"}, {"client": hidden}):
        asked = await desk.asked(question(**changes))
        text = await page(desk, desk.path(asked))
        assert hidden not in "".join(text.lines)
        assert f"\\u{ord(hidden[0]):04x}" in text
        assert "It cannot be decided: it holds characters that cannot be seen" in text
        assert text.form() == {}
        for answer in ("approve", "decline"):
            response = await desk.post(f"{desk.path(asked)}/challenge", {"answer": answer, "name": asked.name})
            assert (response.status_code, "cannot be seen" in response.json()["error"]) == (409, True)


async def test_how_often_somebody_asks_is_shown(desk: Desk) -> None:
    asked = await desk.asked(question())
    assert "for the first time within a day" in await page(desk, desk.path(asked))
    decided = [await desk.asked(question()) for _ in range(2)]
    await desk.decide(decided[0], "decline")
    await desk.asked(question(principal="judy"))
    assert "who asked 3 times within a day" in await page(desk, desk.path(asked))


async def test_every_answer_of_the_page_has_a_strict_policy_and_its_files_hold_no_foreign_address(desk: Desk) -> None:
    for name, kind in (("approvals.css", "text/css"), ("approvals.js", "text/javascript")):
        response = await desk.client.get(f"/approvals/static/{name}")
        assert response.headers["content-type"].startswith(kind)
        assert response.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert "http" not in response.text.replace("credentials", "")
        assert "innerHTML" not in response.text
    for name in ("approvals.py", "..%2fapprovals_page.py", "%2fetc%2fpasswd"):
        assert (await desk.client.get(f"/approvals/static/{name}")).status_code == 404
    text = await page(desk, desk.path(await desk.asked(question())))
    assert not [tag for tag, attributes in text.tags if tag == "style" or "style" in attributes]
    scripts = [attributes for tag, attributes in text.tags if tag == "script"]
    assert scripts == [{"src": "/approvals/static/approvals.js", "defer": None}]


async def test_the_pages_stand_under_the_path_of_the_public_address(tmp_path: Path) -> None:
    async with opened(tmp_path, f"{ORIGIN}/ap/mcp") as desk:
        asked = await desk.asked(question())
        text = await page(desk, desk.path(asked))
        assert desk.links.question(asked.code).startswith(f"{ORIGIN}/ap/mcp/approvals/{asked.code}/")
        assert text.form()["action"] == f"/ap/mcp{desk.path(asked)}"
        assert {"/ap/mcp/approvals/static/approvals.js"} == {
            attributes["src"] for tag, attributes in text.tags if tag == "script"
        }
        assert (await desk.decide(asked)).status_code == 200


# Who may read


async def test_a_code_alone_shows_nothing(desk: Desk) -> None:
    asked = await desk.asked(question())
    for path in (
        f"/approvals/{asked.code}",
        f"/approvals/{asked.code}/{'a' * 26}",
        f"/approvals/{asked.code}/{desk.links.key(question().code)}",
        "/approvals/ZZZZ-ZZZZ",
    ):
        text = await page(desk, path)
        assert "Sign in with a passkey" in text
        assert asked.name not in text


async def test_a_link_that_was_copied_badly_shows_nothing_and_one_in_small_letters_the_question(desk: Desk) -> None:
    asked = await desk.asked(question())
    assert asked.name in await page(desk, desk.path(asked).replace(asked.code, asked.code.lower()))
    assert "Sign in" in await page(desk, desk.path(asked)[:-1])
    assert "There is no such question" in await page(desk, desk.path(question()), 404)


async def test_replicas_with_one_key_know_each_others_links_and_others_do_not(tmp_path: Path, desk: Desk) -> None:
    code = question().code
    assert len(desk.links.key(code)) == 26
    assert replace(desk.links, public_url="https://x.example").opens(code, desk.links.key(code))
    assert not replace(desk.links, sealer=Sealer(b"K" * 32)).opens(code, desk.links.key(code))
    assert not desk.links.opens("no code", desk.links.key(code))
    assert not desk.links.opens(code, "é")


# Deciding


async def test_an_approval_on_the_page_lets_exactly_that_call_through_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    asked = await desk.asked(question())
    with caplog.at_level(logging.INFO, logger="ap_mcp"):
        response = await desk.decide(asked)
    assert (response.status_code, response.json()) == (200, {"done": "approve", "by": "alice"})
    assert f"{asked.code}: approve by alice on the page" in caplog.messages
    found = approval_in(await desk.store.about(BOUND, desk.now), desk.approvers, desk.now)
    assert found is not None
    assert (found.approver, found.at) == ("alice", desk.now)
    text = await page(desk, desk.path(asked))
    assert "This question is approved by alice." in text
    assert await desk.store.take(asked.consent.id, asked.consent.digest, desk.now)
    assert "This question is spent" in await page(desk, desk.path(asked))


async def test_a_no_needs_no_name_and_holds(desk: Desk) -> None:
    asked = await desk.asked(question())
    body = signed_by(ALICES, await desk.challenged(asked, "decline", name=""))
    assert (await desk.post(desk.path(asked), body)).status_code == 200
    assert await state_of(desk, asked) == "declined"
    text = await page(desk, desk.path(asked))
    assert "This question is declined by alice." in text
    assert text.form() == {}


async def test_a_question_is_withdrawn_by_passkey_also_after_it_was_approved(desk: Desk) -> None:
    for before in ([], ["approve"]):
        asked = await desk.asked(question())
        for answer in before:
            assert (await desk.decide(asked, answer)).status_code == 200
            assert "can take the approval back" in await page(desk, desk.path(asked))
        assert (await desk.decide(asked, "withdraw")).json() == {"done": "withdraw", "by": "alice"}
        assert await state_of(desk, asked) == "withdrawn"
        assert "This question is withdrawn by alice" in await page(desk, desk.path(asked))
        assert (await desk.post(f"{desk.path(asked)}/challenge", {"answer": "approve", "name": "shop-prod"})).json()[
            "error"
        ] == f"{asked.code} cannot be decided: it is withdrawn by alice already."


async def test_get_decides_nothing(desk: Desk) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    for method in ("GET", "HEAD"):
        assert (await desk.client.request(method, desk.path(asked), params=body)).status_code == 200
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await desk.client.request(method, desk.path(asked), json=body)).status_code == 405
    assert (await desk.client.get(f"{desk.path(asked)}/challenge")).status_code == 405
    assert await state_of(desk, asked) == "pending"


async def test_a_page_that_is_opened_twice_shows_the_second_that_it_is_decided(desk: Desk) -> None:
    asked = await desk.asked(question())
    first, second = await desk.signed(asked), await desk.signed(asked, "decline")
    assert (await desk.post(desk.path(asked), first)).status_code == 200
    for body in (first, second):
        response = await desk.post(desk.path(asked), body)
        assert (response.status_code, response.json()["over"]) == (409, True)
        assert "it is approved by alice already" in response.json()["error"]
    assert await state_of(desk, asked) == "approved"


async def test_of_two_answers_at_once_the_first_stands(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked, "decline")
    assert (await desk.decide(asked)).status_code == 200
    find = desk.store.find

    async def found_before(code: str) -> Asked | None:
        found = await find(code)
        return replace(found, decision=None) if found else None

    monkeypatch.setattr(desk.store, "find", found_before)
    response = await desk.post(desk.path(asked), body)
    assert (response.status_code, "is decided already" in response.text) == (409, True)


async def test_an_expired_question_is_gone(desk: Desk) -> None:
    asked = await desk.asked(question())
    desk.now = LATE - SECOND
    body = await desk.signed(asked)
    desk.now = LATE
    response = await desk.post(desk.path(asked), body)
    assert (response.status_code, "it must be asked anew" in response.json()["error"]) == (410, True)
    text = await page(desk, desk.path(asked))
    assert "This question is expired" in text
    assert text.form() == {}


async def test_the_name_must_be_typed_and_whoever_types_others_closes_the_question_to_nobody(desk: Desk) -> None:
    asked = await desk.asked(question())
    for typed in ("shop", "Shop-Prod", "shop-prod ", ""):
        response = await desk.post(f"{desk.path(asked)}/challenge", {"answer": "approve", "name": typed})
        assert (response.status_code, "still waits" in response.json()["error"]) == (403, True)
    assert await state_of(desk, asked) == "pending"
    assert (await desk.decide(asked)).status_code == 200


async def test_a_name_is_checked_again_with_the_answer(desk: Desk) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    assert (await desk.post(desk.path(asked), {**body, "name": "another"})).status_code == 403
    assert await state_of(desk, asked) == "pending"


# What does not count


async def test_the_signature_of_another_question_is_refused(desk: Desk) -> None:
    harmless, asked = await desk.asked(question(tool="delete_release")), await desk.asked(question())
    response = await desk.post(desk.path(asked), await desk.signed(harmless))
    assert (response.status_code, "another question or answer" in response.json()["error"]) == (403, True)
    assert await state_of(desk, asked) == "pending"


@pytest.mark.parametrize(
    ("signed", "sent"),
    [("decline", "approve"), ("approve", "decline"), ("withdraw", "approve"), ("approve", "withdraw")],
)
async def test_a_flipped_answer_is_refused(signed: str, sent: str, desk: Desk) -> None:
    asked = await desk.asked(question())
    response = await desk.post(desk.path(asked), {**await desk.signed(asked, signed), "answer": sent})
    assert (response.status_code, "another question or answer" in response.json()["error"]) == (403, True)
    assert await state_of(desk, asked) == "pending"


async def test_the_answer_to_what_was_shown_before_it_changed_is_refused(desk: Desk, tmp_path: Path) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    edit(ConsentFile(tmp_path / "approvals.db"), "UPDATE questions SET impact_text = 'Nothing much.'")
    assert (await desk.post(desk.path(asked), body)).status_code in (403, 409)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"flags": 0}, "nobody was present"),
        ({"flags": PRESENT}, "did not check who used it"),
        ({"origin": "https://approve.example.com.evil.example"}, "made on another page"),
        ({"crossOrigin": True}, "made on another page"),
        ({"kind": "webauthn.create"}, "cannot be read"),
        ({"passkey": SoftPasskey(id=ALICES.id)}, "bears no signature"),
        ({"passkey": MALLORYS}, "of no approver who is known here"),
        ({"passkey": SoftPasskey(ALICES.key, b"another id")}, "of no approver who is known here"),
    ],
)
async def test_what_no_approver_has_signed_present_and_verified_is_refused_and_closes_the_question_to_nobody(
    how: dict[str, Any], why: str, desk: Desk
) -> None:
    asked = await desk.asked(question())
    for _ in range(4):
        response = await desk.decide(asked, **how)
        assert response.status_code == 403
        assert why in response.json()["error"]
    assert await state_of(desk, asked) == "pending"
    assert (await desk.decide(asked)).status_code == 200


async def test_a_passkey_of_an_address_that_the_page_has_left_says_what_to_do(desk: Desk) -> None:
    old = SoftPasskey(id=b"old", origin="https://old.example.com")
    desk.approvers["bob"] = KnownApprover(passkeys=(old.pinned,))
    response = await desk.decide(await desk.asked(question()), passkey=old)
    assert response.status_code == 403
    assert (
        "made for https://old.example.com, and this page is at https://approve.example.com: make a new one"
        in (response.json()["error"])
    )


async def test_an_approver_who_is_taken_from_the_list_meanwhile_no_longer_counts(desk: Desk) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    del desk.approvers["alice"]
    assert (await desk.post(desk.path(asked), body)).status_code == 403
    assert "Nobody has a passkey for this page yet" in await page(desk, desk.path(asked))
    desk.approvers["alice"] = KNOWN["alice"]
    assert (await desk.post(desk.path(asked), body)).status_code == 200


async def test_a_new_approver_counts_at_once(desk: Desk) -> None:
    asked = await desk.asked(question())
    desk.approvers["mallory"] = KnownApprover(passkeys=(MALLORYS.pinned,))
    assert (await desk.decide(asked, passkey=MALLORYS)).json()["by"] == "mallory"


@pytest.mark.parametrize("principal", ["token:alice", "token:ALICE", "alice"])
async def test_where_another_person_must_decide_the_requester_does_not(principal: str, desk: Desk) -> None:
    asked = await desk.asked(question(principal=principal, other_approver=True))
    response = await desk.decide(asked)
    assert (response.status_code, "for whom the call is made" in response.json()["error"]) == (403, True)
    assert await state_of(desk, asked) == "pending"
    desk.approvers["mallory"] = KnownApprover(passkeys=(MALLORYS.pinned,), principals=frozenset())
    assert (await desk.decide(asked, passkey=MALLORYS)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{ORIGIN}:8443"},
        {"Origin": ORIGIN.replace("https", "http")},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_what_another_page_sends_is_refused(headers: dict[str, str], desk: Desk) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    for path in (desk.path(asked), f"{desk.path(asked)}/challenge", "/approvals/sign-in", "/approvals/enrol"):
        response = await desk.post(path, body, **headers)
        assert (response.status_code, "was not sent by the page" in response.json()["error"]) == (403, True)
    assert (await desk.client.post(desk.path(asked), json=body)).status_code == 403
    assert await state_of(desk, asked) == "pending"


async def test_an_answer_that_took_too_long_or_is_of_another_time_is_refused(desk: Desk) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    desk.now = SOON + FRESH
    response = await desk.post(desk.path(asked), body)
    assert (response.status_code, "too long after it was asked for" in response.json()["error"]) == (403, True)
    later = {**body, "at": ticks(desk.now + MINUTE)}
    assert (await desk.post(desk.path(asked), later)).status_code == 403
    assert (await desk.post(desk.path(asked), {**body, "at": ticks(desk.now)})).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"at": None},
        {"at": "1"},
        {"at": True},
        {"at": 1.5},
        {"at": 10**30},
        {"answer": None},
        {"answer": "maybe"},
        {"name": None},
        {"credential": ""},
        {"credential": 7},
        {"client_data": "*"},
        {"authenticator_data": None},
        {"signature": "x" * 9000},
    ],
)
async def test_bad_input_is_a_plain_error(changes: dict[str, Any], desk: Desk) -> None:
    asked = await desk.asked(question())
    response = await desk.post(desk.path(asked), {**await desk.signed(asked), **changes})
    assert response.status_code == 400
    assert response.json()["error"]
    assert await state_of(desk, asked) == "pending"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 9999, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"answer": "approve"}', "text/plain", 415),
        (b"answer=approve", "application/x-www-form-urlencoded", 415),
        (b'"' + b"x" * MOST_BODY + b'"', "application/json", 413),
    ],
)
async def test_a_body_that_is_not_the_pages_own_is_refused(content: bytes, kind: str, status: int, desk: Desk) -> None:
    asked = await desk.asked(question())
    headers = {"Origin": ORIGIN, "Content-Type": kind}
    assert (await desk.client.post(desk.path(asked), content=content, headers=headers)).status_code == status


async def test_a_question_that_is_not_there_or_whose_link_is_wrong_cannot_be_answered(desk: Desk) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)
    for path in (f"/approvals/{asked.code}/{'a' * 26}", desk.path(question()), "/approvals/nonsense/nonsense"):
        response = await desk.post(path, body)
        assert (response.status_code, f"{ORIGIN}/approvals" in response.json()["error"]) == (404, True)


async def test_while_the_store_cannot_be_used_the_page_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await desk.asked(question())

    async def broken(*_: object) -> None:
        raise ApprovalsUnusable("The approvals store cannot be used: it is locked.")

    monkeypatch.setattr(desk.store, "find", broken)
    assert "it is locked" in await page(desk, desk.path(asked), 503)
    response = await desk.post(f"{desk.path(asked)}/challenge", {"answer": "decline"})
    assert (response.status_code, "it is locked" in response.json()["error"]) == (503, True)


async def test_an_answer_that_the_store_loses_is_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await desk.asked(question())
    body = await desk.signed(asked)

    async def lost(*_: object) -> None:
        return None

    monkeypatch.setattr(desk.store, "decide", lost)
    response = await desk.post(desk.path(asked), body)
    assert (response.status_code, response.json()["error"]) == (
        409,
        "The answer was kept but does not count: pending.",
    )


async def test_an_approval_that_a_waiting_call_uses_at_once_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await desk.asked(question())
    body, decide = await desk.signed(asked), desk.store.decide

    async def decided_and_used(code: str, given: SignedAnswer) -> None:
        await decide(code, given)
        assert await desk.store.take(asked.consent.id, asked.consent.digest, desk.now)

    monkeypatch.setattr(desk.store, "decide", decided_and_used)
    response = await desk.post(desk.path(asked), body)
    assert (response.status_code, response.json()) == (200, {"done": "approve", "by": "alice"})


# The list


async def test_an_approver_signs_in_and_sees_what_waits_and_what_came_of_others(desk: Desk) -> None:
    waits, simulated = await desk.asked(question()), await desk.asked(question(simulated=True))
    declined, withdrawn = await desk.asked(question()), await desk.asked(question())
    await desk.decide(declined, "decline")
    await desk.store.withdraw(withdrawn.code, "ivan", desk.now)
    assert "Sign in with a passkey" in await page(desk, "/approvals")
    response = await desk.sign_in()
    assert response.json() == {"done": "sign-in"}
    said = response.headers["set-cookie"]
    assert said.startswith("__Host-ap-mcp-approver=")
    assert all(each in said for each in ("HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age=600"))
    text = await page(desk, "/approvals")
    assert "Signed in as alice" in text
    links = [attributes["href"] for tag, attributes in text.tags if tag == "a"][1:3]
    assert links == [desk.path(waits), desk.path(simulated)]
    assert "declined by alice" in text
    assert 'withdrawn by "ivan"' in text
    assert waits.name in await page(desk, f"/approvals/{waits.code}")
    assert (await desk.post("/approvals/sign-out", {})).status_code == 200
    assert "Sign in with a passkey" in await page(desk, "/approvals")


async def test_an_empty_list_says_so(desk: Desk) -> None:
    await desk.sign_in()
    text = await page(desk, "/approvals")
    assert "Nothing waits for a person." in text
    assert "Nothing was decided within the last day." in text


async def test_a_session_ends_after_ten_minutes_and_with_its_passkey(desk: Desk) -> None:
    await desk.sign_in()
    desk.now += timedelta(minutes=10) - SECOND
    assert "Signed in as alice" in await page(desk, "/approvals")
    desk.approvers["alice"] = KnownApprover(passkeys=(MALLORYS.pinned,))
    assert "Sign in" in await page(desk, "/approvals")
    del desk.approvers["alice"]
    assert "Sign in" in await page(desk, "/approvals")
    desk.approvers.update(KNOWN)
    desk.now += SECOND
    assert "Sign in" in await page(desk, "/approvals")


async def test_a_cookie_made_elsewhere_opens_nothing(desk: Desk) -> None:
    other = Sealer(b"K" * 32).seal("approver session", {"approver": "alice", "passkey": "x"}, LATE)
    for value in (other, "", "x", desk.links.sealer.seal("approver sign-in", {"approver": "alice"}, LATE)):
        desk.client.cookies.set("__Host-ap-mcp-approver", value)
        assert "Sign in with a passkey" in await page(desk, "/approvals")


@pytest.mark.parametrize("how", [{"flags": PRESENT}, {"passkey": MALLORYS}, {"origin": "https://evil.example"}])
async def test_nobody_else_signs_in(how: dict[str, Any], desk: Desk) -> None:
    response = await desk.sign_in(**how)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_signing_in_works_once_per_challenge_and_for_two_minutes(desk: Desk) -> None:
    challenges = [(await desk.post("/approvals/sign-in/challenge", {})).json() for _ in range(2)]
    body = signed_by(ALICES, challenges[0])
    assert (await desk.post("/approvals/sign-in", body)).status_code == 200
    assert (await desk.post("/approvals/sign-in", body)).status_code == 403
    assert (await desk.post("/approvals/sign-in", {**body, "state": challenges[1]["state"]})).status_code == 403
    assert (await desk.post("/approvals/sign-in", {**body, "state": "nonsense"})).status_code == 403
    desk.now += timedelta(minutes=2)
    assert (await desk.post("/approvals/sign-in", signed_by(ALICES, challenges[1]))).status_code == 403


async def test_signing_in_works_once_whichever_server_took_it_and_however_often_that_was_restarted(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        challenge = (await one.post("/approvals/sign-in/challenge", {})).json()
        body = signed_by(ALICES, challenge)
        strangers = signed_by(MALLORYS, challenge)
        assert (await one.post("/approvals/sign-in", strangers)).status_code == 403
        assert (await other.post("/approvals/sign-in", body)).status_code == 200
        assert (await one.post("/approvals/sign-in", body)).status_code == 403
        assert "Signed in as alice" in await page(other, "/approvals")
    async with opened(tmp_path) as restarted:
        assert (await restarted.post("/approvals/sign-in", body)).status_code == 403


async def test_a_signature_for_signing_in_decides_nothing_and_one_that_decides_signs_nobody_in(desk: Desk) -> None:
    asked = await desk.asked(question())
    challenge = (await desk.post("/approvals/sign-in/challenge", {})).json()
    said = await desk.challenged(asked)
    signed_in = signed_by(ALICES, challenge)
    assert (await desk.post(desk.path(asked), {**said, **signed_in})).status_code == 403
    decided = signed_by(ALICES, said)
    assert (await desk.post("/approvals/sign-in", {**decided, "state": challenge["state"]})).status_code == 403


async def test_on_this_machine_the_cookie_has_a_plain_name(tmp_path: Path) -> None:
    here = SoftPasskey(id=b"here", origin="http://localhost:8000")
    async with opened(tmp_path, here.origin) as desk:
        desk.approvers["alice"] = KnownApprover(passkeys=(here.pinned,))
        said = (await desk.sign_in(here)).headers["set-cookie"]
        assert said.startswith("ap-mcp-approver=")
        assert "Secure" not in said
        assert "Signed in as alice" in await page(desk, "/approvals")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "https://10.0.0.1"])
async def test_where_browsers_have_no_passkeys_the_page_says_so_and_names_the_terminal(
    address: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, address) as desk:
        asked = await desk.asked(question())
        text = await page(desk, desk.path(asked))
        assert "not at an address where browsers have passkeys" in text
        assert f"ap-mcp approvals approve {asked.code}" in text
        assert text.form() == {}
        assert "not at an address where browsers have passkeys" in await page(desk, "/approvals/enrol")


def test_words_of_a_browser_are_sent_as_they_are() -> None:
    assertion, signature = ALICES.asserted(b"challenge")
    assert json.loads(json.dumps(posted(ALICES, assertion, signature)))["credential"] == "YWxpY2UncyBwaG9uZQ"
