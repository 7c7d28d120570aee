"""A one-time link lets somebody make a passkey, which counts for nothing before the operator's file has it."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from approval_desk import ALICES, BOBS, Desk, made, opened
from approving import question
from soft_authenticator import ORIGIN, PRESENT

from ap_mcp.errors import CallRefused
from ap_mcp.guard.approvers import KnownApprover, load_approvers
from ap_mcp.guard.passkeys import packed
from ap_mcp.private_files import APPROVERS_FILE
from ap_mcp.web.enrolment import LIFETIME, Invitation, NewPasskey, read_line


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as served:
        yield served


async def invited(desk: Desk, name: str = "bob") -> Invitation:
    invitation = Invitation(name)
    await desk.store.open(invitation.record(desk.now))
    return invitation


@pytest.mark.anyio
async def test_who_has_the_link_makes_a_passkey_and_counts_once_the_operator_has_entered_it(
    desk: Desk, tmp_path: Path
) -> None:
    invitation = await invited(desk)
    assert invitation.link(ORIGIN) == f"{ORIGIN}/approvals/enrol#bob.{invitation.secret}"
    assert invitation.secret not in (tmp_path / "approvals.db").read_bytes().decode("latin-1")
    page = await desk.client.get("/approvals/enrol")
    assert (page.status_code, 'data-does="enrol"' in page.text) == (200, True)
    response = await desk.post("/approvals/enrol", made(invitation))
    assert response.status_code == 200
    assert response.json()["fingerprint"] == BOBS.pinned.fingerprint
    asked = await desk.asked(question())
    assert (await desk.decide(asked, passkey=BOBS)).status_code == 403
    path = tmp_path / "config" / APPROVERS_FILE
    path.parent.mkdir(mode=0o700)
    path.write_text(f"{{{response.json()['entry']}}}")
    path.chmod(0o600)
    found = load_approvers(path)
    assert found == {"bob": KnownApprover(passkeys=(BOBS.pinned,), principals=frozenset())}
    desk.approvers.update(found)
    assert (await desk.decide(asked, passkey=BOBS)).json()["by"] == "bob"


@pytest.mark.anyio
async def test_the_line_for_the_operator_holds_the_name_and_the_passkey(desk: Desk) -> None:
    shown = (await desk.post("/approvals/enrol", made(await invited(desk)))).json()
    program, group, command, line = shown["command"].split()
    assert (program, group, command) == ("ap-mcp", "approvals", "accept")
    assert read_line(f" {line}\n") == NewPasskey("bob", BOBS.pinned)


@pytest.mark.anyio
async def test_a_link_works_once_and_for_fifteen_minutes_and_for_its_name_alone(desk: Desk) -> None:
    used, late, renamed = await invited(desk), await invited(desk), await invited(desk)
    assert (await desk.post("/approvals/enrol", made(used))).status_code == 200
    for body in (
        made(used),
        {**made(renamed), "name": "alice"},
        made(Invitation("bob")),
        {**made(used), "name": "al ice"},
    ):
        response = await desk.post("/approvals/enrol", body)
        assert (response.status_code, "have the operator make" in response.json()["error"].lower()) == (410, True)
    desk.now += LIFETIME
    assert (await desk.post("/approvals/enrol", made(late))).status_code == 410
    assert timedelta(minutes=15) == LIFETIME


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"flags": 0}, "nobody was present"),
        ({"flags": PRESENT}, "did not check who used it"),
        ({"origin": "https://evil.example"}, "made on another page"),
        ({"kind": "webauthn.get"}, "cannot be read"),
        ({"challenge": packed(b"another")}, "another question or answer"),
    ],
)
async def test_what_was_not_made_on_this_page_by_this_link_is_refused_and_leaves_the_link(
    how: dict[str, Any], why: str, desk: Desk
) -> None:
    invitation = await invited(desk)
    response = await desk.post("/approvals/enrol", made(invitation, **how))
    assert (response.status_code, why in response.json()["error"]) == (403, True)
    assert (await desk.post("/approvals/enrol", made(invitation))).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    "changes", [{"key": "AAAA"}, {"key": ""}, {"credential": None}, {"client_data": 7}, {"secret": None}, {"name": 7}]
)
async def test_bad_input_is_a_plain_error_and_leaves_the_link(changes: dict[str, Any], desk: Desk) -> None:
    invitation = await invited(desk)
    response = await desk.post("/approvals/enrol", {**made(invitation), **changes})
    assert (response.status_code, bool(response.json()["error"])) == (400, True)
    assert (await desk.post("/approvals/enrol", made(invitation))).status_code == 200


@pytest.mark.parametrize("name", ["", "al ice", "a" * 65, "<b>", "é", "-x"])
def test_nobody_is_invited_under_a_name_that_no_approver_may_have(name: str) -> None:
    with pytest.raises(CallRefused, match="no name for an approver"):
        Invitation(name)


def test_an_invitation_does_not_show_its_secret_in_a_log() -> None:
    invitation = Invitation("bob")
    assert invitation.secret not in repr(invitation)
    assert len(invitation.secret) == 43


LINE = NewPasskey("bob", ALICES.pinned).line


def changed(**members: Any) -> str:
    entry = {"name": "bob", "id": packed(b"x"), "key": packed(ALICES.spki), "origin": ORIGIN, **members}
    return packed(json.dumps({name: value for name, value in entry.items() if value is not None}).encode())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "=",
        LINE[:-5],
        LINE + "A",
        packed(b"[]"),
        packed(b"[" * 4000),
        packed(b"\xff"),
        changed(name=None),
        changed(name="al ice"),
        changed(id=None),
        changed(key="AAAA"),
        changed(origin="http://evil.example"),
        changed(more="x"),
        "A" * 10_000,
    ],
    ids=lambda line: line[:8],  # keys differ from process to process
)
def test_a_line_that_is_not_whole_is_refused(line: str) -> None:
    with pytest.raises(CallRefused, match="no line that the page for new approvers shows"):
        read_line(line)
    assert read_line(changed()).name == "bob"
