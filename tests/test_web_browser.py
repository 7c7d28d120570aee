"""In a real browser people make passkeys, approve by keyboard alone, and nothing else gets anything decided."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from browsing import ALONE, Office, Visitor, axe, chromium, listening
from mcp import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from test_web_approvals import HOSTILE

pytestmark = pytest.mark.browser

PROGRAM = [sys.executable, "-m", "ap_mcp"]
PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of the pages, to look at."""
LONG = (
    "As of 2026-11-29T23:00:00+00:00\n"
    "cn-north-4: Deletes cluster shop-prod for good. No way back.\n"
    "Goes: 4 add-ons: cie-collector, coredns, metrics-server, nginx-ingress (+1 line)\n"
    "Warning: it looks like production. Stays: OBS volumes, which may keep costing\n"
    "Region: cn-north-4\nProject: 05495693be02\n"
    "Deletes the cluster with everything that runs in it.\n"
    "Warning: The cluster looks like production: tag env=prod.\n"
    "cluster: shop-prod, Available\nid: 5a9f2b1e-3c1d-11ef-8a6b-0255ac100b01\nversion: v1.28\nage: 412 d\n"
    "Goes:\n- 4 add-ons: cie-collector, coredns, metrics-server, nginx-ingress\n- Load balancers\n"
    "Stays:\n- OBS volumes, which may keep costing\n"
    "Not known:\n- which volumes there are, and what data is on them"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ALONE)
        yield started
        started.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    served = Office(tmp_path)
    with listening(served.app):
        yield served


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def come(**how: Any) -> Visitor:
        visitors.append(Visitor(browser, **how))
        return visitors[-1]

    yield come
    for each in visitors:
        each.close()


@pytest.fixture
def alice(office: Office, visit: Callable[..., Visitor]) -> Visitor:
    """An approver whose passkey the operator has entered."""
    visitor = visit()
    office.accept(visitor.enrol(office, "alice"))
    return visitor


def sent_by(visitor: Visitor, act: Callable[[], None]) -> list[tuple[str, dict[str, Any]]]:
    """What the page posts while somebody does something."""
    posted: list[tuple[str, dict[str, Any]]] = []

    def note(request: Any) -> None:
        if request.method == "POST":
            posted.append((request.url, json.loads(request.post_data)))

    visitor.page.on("request", note)
    act()
    visitor.page.remove_listener("request", note)
    return posted


def approve(visitor: Visitor, name: str = "shop-prod") -> None:
    visitor.page.get_by_label("to approve, without the quotation marks").fill(name)
    visitor.page.get_by_role("button", name="Approve with a passkey").click()


def test_somebody_makes_a_passkey_by_a_link_and_approves_by_keyboard_alone(
    office: Office, visit: Callable[..., Visitor]
) -> None:
    person = visit()
    command = person.enrol(office, "alice")
    assert "Your passkey is made. It counts for nothing yet." in person.page.inner_text("main")
    assert person.page.url == f"{office.origin}/approvals/enrol"
    office.accept(command)
    asked = office.asked()
    person.page.goto(office.link(asked))
    keyboard = person.page.keyboard
    for _ in range(12):
        keyboard.press("Tab")
        if person.page.evaluate("document.activeElement.id") == "name":
            break
    keyboard.type("shop-prod")
    keyboard.press("Tab")
    keyboard.press("Enter")
    person.page.locator("#standing").wait_for()
    assert "This question is approved by alice." in person.page.inner_text("main")
    assert office.state_of(asked) == "approved"
    assert person.errors == []


def test_a_question_is_declined_and_another_withdrawn(office: Office, alice: Visitor) -> None:
    for button, state in (("Decline", "declined"), ("Withdraw", "withdrawn")):
        asked = office.asked()
        alice.page.goto(office.link(asked))
        alice.page.get_by_role("button", name=button).click()
        alice.page.locator("#standing").wait_for()
        assert office.state_of(asked) == state
        assert f"This question is {state} by" in alice.page.inner_text("main")


def test_another_name_decides_nothing_and_can_be_put_right(office: Office, alice: Visitor) -> None:
    asked = office.asked()
    alice.page.goto(office.link(asked))
    for _ in range(3):
        approve(alice, "shop-test")
        assert "is not the name of what this call acts on" in alice.said()
    assert office.state_of(asked) == "pending"
    approve(alice)
    alice.page.locator("#standing").wait_for()
    assert office.state_of(asked) == "approved"


def test_what_was_signed_counts_once_and_for_its_own_question_and_answer(office: Office, alice: Visitor) -> None:
    asked, other = office.asked(), office.asked(name="other")
    alice.page.goto(office.link(asked))

    def done() -> None:
        approve(alice)
        alice.page.locator("#standing").wait_for()

    (_, _), (address, body) = sent_by(alice, done)
    assert alice.post(address, body) == 409
    assert alice.post(office.link(other), {**body, "name": "other"}) == 403
    assert office.state_of(other) == "pending"
    flipped = office.asked()
    alice.page.goto(office.link(flipped))
    alice.page.route(
        f"{office.link(flipped)}",
        lambda route: (
            route.continue_(post_data=route.request.post_data.replace('"answer":"approve"', '"answer":"decline"'))
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    approve(alice)
    assert "it was signed for another question or answer" in alice.said()
    assert office.state_of(flipped) == "pending"


def test_an_expired_question_can_no_longer_be_decided(office: Office, alice: Visitor) -> None:
    asked = office.asked(timedelta(seconds=3))
    alice.page.goto(office.link(asked))
    alice.page.wait_for_timeout(3000)
    approve(alice)
    alice.page.locator("#standing").wait_for()
    assert "This question is expired" in alice.page.inner_text("main")


def test_a_passkey_that_no_operator_has_entered_decides_nothing(
    office: Office, alice: Visitor, visit: Callable[..., Visitor]
) -> None:
    mallory = visit()
    mallory.enrol(office, "mallory")
    asked = office.asked()
    mallory.page.goto(office.link(asked))
    approve(mallory)
    assert "of no approver who is known here" in mallory.said()
    assert office.state_of(asked) == "pending"


def test_without_finger_face_or_pin_nothing_is_decided(office: Office, alice: Visitor) -> None:
    asked = office.asked()
    alice.page.goto(office.link(asked))
    alice.verify(succeeds=False)
    approve(alice)
    assert alice.said() == "The passkey was not used, so nothing was done. You can try again."
    alice.verify(succeeds=True)
    approve(alice)
    alice.page.locator("#standing").wait_for()
    assert office.state_of(asked) == "approved"


def test_a_page_opened_twice_shows_the_second_that_it_is_decided(office: Office, alice: Visitor) -> None:
    asked = office.asked()
    first = alice.page
    first.goto(office.link(asked))
    second = alice.context.new_page()
    second.goto(office.link(asked))
    approve(alice)
    first.locator("#standing").wait_for()
    second.get_by_role("button", name="Decline").click()
    second.locator("#standing").wait_for()
    assert "This question is approved by alice." in second.inner_text("main")
    assert office.state_of(asked) == "approved"


def test_pages_of_others_can_neither_frame_it_nor_post_to_it_nor_use_its_passkeys(
    office: Office, alice: Visitor
) -> None:
    asked = office.asked()
    link = office.link(asked)
    posts: list[str | None] = []

    async def evil(request: Request) -> HTMLResponse:
        posts.append(request.headers.get("cookie"))
        return HTMLResponse(
            f"<iframe src='{link}'></iframe><form method=post action='{link}' enctype='text/plain'>"
            f'<input name=\'{{"answer":"approve","x":"\' value=\'"}}\'><button>Win a prize</button></form>'
        )

    with listening(lambda _: Starlette(routes=[Route("/", evil)])) as elsewhere:
        page = alice.page
        page.goto(elsewhere)
        framed = page.frames[1] if len(page.frames) > 1 else None
        page.wait_for_timeout(500)
        assert framed is None or "shop-prod" not in framed.content()
        assert any("frame-ancestors" in error for error in alice.errors)
        status = page.evaluate(
            "(link) => fetch(link, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
            ".then((response) => response.status, (error) => error.name)",
            link,
        )
        assert status == "TypeError"
        with page.expect_response(lambda response: response.url == link and response.request.method == "POST") as got:
            page.get_by_role("button", name="Win a prize").click()
        assert got.value.status == 403
    assert office.state_of(asked) == "pending"


def test_markup_of_the_cloud_is_text_in_a_browser_too(office: Office, alice: Visitor) -> None:
    asked = office.asked(name=HOSTILE, impact_text=HOSTILE, client=HOSTILE)
    opened: list[str] = []

    def note(dialog: Any) -> None:
        opened.append(dialog.message)
        dialog.dismiss()

    alice.page.on("dialog", note)
    alice.page.goto(office.link(asked))
    assert HOSTILE in alice.page.inner_text("main")
    assert opened == []
    approve(alice, HOSTILE)
    alice.page.locator("#standing").wait_for()
    assert office.state_of(asked) == "approved"


def test_without_scripts_the_terminal_is_named(office: Office, alice: Visitor, visit: Callable[..., Visitor]) -> None:
    asked = office.asked()
    plain = visit(java_script_enabled=False)
    plain.page.goto(office.link(asked))
    text = plain.page.inner_text("main")
    assert "This page needs scripts to use a passkey" in text
    assert f"ap-mcp approvals approve {asked.code}" in text
    assert "shop-prod" in text


def test_an_approver_signs_in_reads_the_list_and_leaves_again(office: Office, alice: Visitor) -> None:
    asked = office.asked()
    alice.page.goto(f"{office.origin}/approvals")
    assert "shop-prod" not in alice.page.inner_text("main")
    alice.page.get_by_role("button", name="Sign in with a passkey").click()
    alice.page.get_by_text("Signed in as alice").wait_for()
    (cookie,) = alice.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("ap-mcp-approver", True, "Strict")
    alice.page.get_by_role("link", name=asked.code).click()
    approve(alice)
    alice.page.locator("#standing").wait_for()
    alice.page.goto(f"{office.origin}/approvals")
    assert "approved by alice" in alice.page.inner_text("main")
    alice.page.get_by_role("button", name="Sign out").click()
    alice.page.get_by_role("button", name="Sign in with a passkey").wait_for()
    assert alice.errors == []


def test_a_used_link_makes_no_second_passkey(office: Office, visit: Callable[..., Visitor]) -> None:
    link = office.invitation("bob")
    for said in ("", "This link was used before"):
        person = visit()
        person.page.goto(link)
        assert "Name: bob" in person.page.inner_text("main")
        person.page.get_by_role("button", name="Make a passkey").click()
        if said:
            assert said in person.said()
        else:
            person.page.locator("#made-command").wait_for(state="visible")
    person = visit()
    person.page.goto(f"{office.origin}/approvals/enrol")
    person.page.get_by_role("button", name="Make a passkey").click()
    assert "This link is not whole" in person.said()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_people_who_cannot_see_or_use_a_mouse_can_use_every_page(
    scheme: str, width: int, office: Office, visit: Callable[..., Visitor]
) -> None:
    person, rules = visit(color_scheme=scheme, viewport={"width": width, "height": 900}), axe()
    found: dict[str, list[str]] = {}

    def checked(name: str) -> None:
        found[name] = person.violations(rules)
        if PICTURES:
            person.page.screenshot(path=f"{PICTURES}/{name}-{scheme}-{width}.png", full_page=True)
        overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not person.page.evaluate(overflow), f"{name} is wider than its window"

    person.page.goto(office.invitation("alice"))
    checked("enrol")
    person.page.get_by_role("button", name="Make a passkey").click()
    person.page.locator("#made-command").wait_for(state="visible")
    checked("made")
    office.accept(str(person.page.locator("#made-command").text_content()))
    asked = office.asked(simulated=True, impact_text=LONG, principal="token:chatops", other_approver=False)
    person.page.goto(office.link(asked))
    checked("question")
    approve(person, "wrong")
    person.said()
    checked("wrong-name")
    approve(person)
    person.page.locator("#standing").wait_for()
    checked("approved")
    office.asked()
    person.page.goto(f"{office.origin}/approvals")
    checked("sign-in")
    person.page.get_by_role("button", name="Sign in with a passkey").click()
    person.page.get_by_text("Signed in as alice").wait_for()
    checked("list")
    assert not any(found.values()), found


def test_one_command_shows_all_of_it(tmp_path: Path, visit: Callable[..., Visitor]) -> None:
    """From nothing to a call that a person on the page lets through, by the program itself."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AP_MCP_", "XDG_"))},
        "HOME": str(tmp_path),
        "AP_MCP_APPROVAL_WAIT": "50",
    }

    def program(*arguments: str, typed: str = "") -> str:
        done = subprocess.run(
            [*PROGRAM, *arguments], env=environment, input=typed, capture_output=True, text=True, check=True
        )
        return done.stdout

    with serving(environment) as endpoint:
        environment["AP_MCP_PUBLIC_URL"] = f"http://localhost:{urlsplit(endpoint).port}"
        person = visit()
        person.page.goto(program("approvals", "enrol", "alice").strip())
        person.page.get_by_role("button", name="Make a passkey").click()
        command = person.page.locator("#made-command")
        command.wait_for(state="visible")
        program(*str(command.text_content()).split()[1:], typed="alice\n")
        with ThreadPoolExecutor(1) as caller:
            result = caller.submit(anyio.run, deleted, endpoint, "search-dev")
            person.page.goto(f"{environment['AP_MCP_PUBLIC_URL']}/approvals")
            person.page.get_by_role("button", name="Sign in with a passkey").click()
            person.page.get_by_text("Signed in as alice").wait_for()
            link = person.page.locator("td a")
            for _ in range(60):
                if link.count():
                    break
                person.page.wait_for_timeout(500)
                person.page.goto(f"{environment['AP_MCP_PUBLIC_URL']}/approvals")
            link.click()
            approve(person, "search-dev")
            person.page.locator("#standing").wait_for()
            assert '"alice" approved' in result.result(120)
    assert person.errors == []


async def deleted(endpoint: str, cluster: str) -> str:
    """Delete a cluster as a client does, which calls again if its call was not held long enough."""
    async with Client(endpoint) as client:
        for _ in range(3):
            result = await client.call_tool("delete_cluster", {"cluster_id": cluster})
            if not result.is_error:
                break
        return str(result.content)


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """Run the program on a free port of this machine, and give the address that it prints."""
    command = [*PROGRAM, "serve", "--simulate", "--http", "localhost:0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as it:
        assert it.stdout is not None
        try:
            yield it.stdout.readline().strip()
        finally:
            it.terminate()
