"""A real browser without a screen, an authenticator in it, and the approval page served to both."""

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import uvicorn
from approving import question
from from_npm import TESTS, installed
from starlette.applications import Starlette
from starlette.types import ASGIApp

from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.approvals import standing
from ap_mcp.guard.approvers import ApproversFile, load_approvers, save_approvers, with_passkey
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME, wall_clock
from ap_mcp.guard.links import Links
from ap_mcp.guard.seal import Sealer
from ap_mcp.private_files import APPROVERS_FILE
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.state.local import LocalStore
from ap_mcp.web.approvals_page import ApprovalPages
from ap_mcp.web.enrolment import Invitation, read_line
from ap_mcp.web.gate import Gate
from ap_mcp.web.options import HttpOptions

HERE = TESTS / "browser"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ALONE = [
    "--no-sandbox",  # it is not used where the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 30.0


def chromium() -> str:
    """The browser of this machine."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert found, "these tests need Chromium: tools/programs.sh chromium, or your system's package of it"
    return found


def axe() -> str:
    """The rules of accessibility, as a script to run in a page; fetched from npm once."""
    return (installed(HERE) / "axe-core" / "axe.min.js").read_text()


@contextmanager
def listening(build: Any) -> Iterator[str]:
    """Serve an application on this machine, and give its origin.

    Args:
        build: makes the application, once its origin is known.
    """
    with socket.create_server(("127.0.0.1", 0)) as place:
        origin = f"http://localhost:{place.getsockname()[1]}"
        app: ASGIApp = build(origin)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        until = monotonic() + PATIENCE
        while not server.started:
            assert monotonic() < until, "the server does not start"
            sleep(0.01)
        yield origin
        server.should_exit = True
        thread.join(PATIENCE)


@dataclass
class Office:
    """The approval page, its store and its list of approvers."""

    folder: Path
    origin: str = ""
    links: Links = field(init=False)

    @property
    def store(self) -> ConsentFile:
        return ConsentFile(self.folder / "approvals.db")

    @property
    def approvers(self) -> Path:
        return self.folder / "config" / APPROVERS_FILE

    def app(self, origin: str) -> ASGIApp:
        self.origin = origin
        self.links = Links(origin, Sealer(b"k" * 32))
        self.approvers.parent.mkdir(mode=0o700, parents=True)
        store = LocalStore(self.folder / "approvals.db")
        pages = ApprovalPages(store, ApproversFile(self.approvers), self.links)
        return Gate(Starlette(routes=pages.routes()), HttpOptions(origins=frozenset({origin})))

    def asked(self, lifetime: timedelta = APPROVAL_LIFETIME, **changes: Any) -> Question:
        """Ask a question now."""
        now = wall_clock()
        asked = question(**{"created": now, "expires": now + lifetime, **changes})
        self.store.ask(asked)
        return asked

    def link(self, asked: Question) -> str:
        return self.links.question(asked.code)

    def state_of(self, asked: Question) -> str:
        found = self.store.find(asked.code)
        assert found is not None
        return standing(found, load_approvers(self.approvers), wall_clock()).state

    def invitation(self, name: str) -> str:
        """A one-time link for a new approver."""
        invitation = Invitation(name)
        self.store.open(invitation.record(wall_clock()))
        return invitation.link(self.origin)

    def accept(self, command: str) -> None:
        """Enter the line that a new approver was shown, as the operator does."""
        made = read_line(command.rsplit(maxsplit=1)[-1])
        known = load_approvers(self.approvers)
        save_approvers(self.approvers, with_passkey(known, made.name, made.passkey))


class Visitor:
    """A person at a browser of their own, with an authenticator.

    Args:
        browser: that runs already.
        verifies: their authenticator checks who uses it.
        how: of the browser's context, such as `color_scheme`.
    """

    def __init__(self, browser: Any, *, verifies: bool = True, **how: Any) -> None:
        self.context = browser.new_context(**how)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.devtools = self.context.new_cdp_session(self.page)
        self.devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        added = self.devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self.authenticator = added["authenticatorId"]

    def verify(self, *, succeeds: bool) -> None:
        """Have the authenticator recognise the person from now on, or not."""
        self.devtools.send(
            "WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": succeeds}
        )

    def said(self) -> str:
        """What the page says in the end about what was just done."""
        status = self.page.locator("[role=status]")
        self.page.wait_for_function(
            "() => { const text = document.querySelector('[role=status]')?.textContent ?? '';"
            " return text && !text.endsWith('…'); }"
        )
        return str(status.text_content())

    def enrol(self, office: Office, name: str) -> str:
        """Make a passkey by a one-time link, and return the command for the operator."""
        self.page.goto(office.invitation(name))
        self.page.get_by_role("button", name="Make a passkey").click()
        command = self.page.locator("#made-command")
        command.wait_for(state="visible")
        return str(command.text_content())

    def post(self, address: str, body: Mapping[str, Any]) -> int:
        """Post as a script of the page that is open could, and return the status."""
        script = (
            "([address, body]) => fetch(address, {method: 'POST', headers: {'Content-Type': 'application/json'},"
            " body: JSON.stringify(body)}).then((response) => response.status)"
        )
        return int(self.page.evaluate(script, [address, dict(body)]))

    def violations(self, rules: str) -> list[str]:
        """What the page gets wrong for people who cannot see, or use a mouse."""
        self.devtools.send("Runtime.evaluate", {"expression": rules})
        ran = self.devtools.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run().then((found) => found.violations.map((each) => `${each.id}: "
                "${each.nodes.map((node) => node.html).join(' ')}`))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        found: list[str] = ran["result"]["value"]
        return found

    def close(self) -> None:
        self.context.close()
