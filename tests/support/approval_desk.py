"""The approval page with a store, a clock, people and a browser without a screen: for tests in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from approving import SOON
from soft_authenticator import ORIGIN, PRESENT, VERIFIED, SoftPasskey
from starlette.applications import Starlette

from ap_mcp.guard.approval_requests import Assertion, Question
from ap_mcp.guard.approvals import Approvers
from ap_mcp.guard.approvers import KnownApprover
from ap_mcp.guard.links import Links
from ap_mcp.guard.passkeys import packed, unpacked
from ap_mcp.guard.seal import Sealer
from ap_mcp.state.local import LocalStore
from ap_mcp.web.approvals_page import ApprovalPages
from ap_mcp.web.enrolment import Invitation

ALICES = SoftPasskey(id=b"alice's phone")
BOBS = SoftPasskey(id=b"bob's laptop")
KNOWN: Approvers = {"alice": KnownApprover(passkeys=(ALICES.pinned,), principals=frozenset({"token:alice"}))}


@dataclass
class Desk:
    """Serves the page, and is its visitor."""

    store: LocalStore
    client: httpx.AsyncClient
    links: Links
    pages: ApprovalPages
    now: datetime = SOON
    approvers: dict[str, KnownApprover] = field(default_factory=dict)

    def path(self, question: Question) -> str:
        """The path of a question, as its link has it."""
        return self.links.question(question.code).removeprefix(self.links.public_url)

    async def asked(self, question: Question) -> Question:
        await self.store.ask(question)
        return question

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post as the page's own script does."""
        return await self.client.post(path, json=body, headers={"Origin": self.pages.places.origin, **headers})

    async def challenged(self, question: Question, answer: str = "approve", name: str | None = None) -> dict[str, Any]:
        """What the page's script has before the passkey is used: its words so far, and the challenge."""
        said = {"answer": answer, "name": question.name if name is None else name}
        response = await self.post(f"{self.path(question)}/challenge", said)
        assert response.status_code == 200, response.text
        return {**said, **response.json()}

    async def signed(
        self, question: Question, answer: str = "approve", passkey: SoftPasskey = ALICES, **how: Any
    ) -> dict[str, Any]:
        """What the page's script posts in the end."""
        return signed_by(passkey, await self.challenged(question, answer), **how)

    async def decide(self, question: Question, answer: str = "approve", **how: Any) -> httpx.Response:
        """Have a passkey answer a question."""
        return await self.post(self.path(question), await self.signed(question, answer, **how))

    async def sign_in(self, passkey: SoftPasskey = ALICES, **how: Any) -> httpx.Response:
        challenge = (await self.post("/approvals/sign-in/challenge", {})).json()
        return await self.post("/approvals/sign-in", signed_by(passkey, challenge, **how))


def signed_by(passkey: SoftPasskey, said: dict[str, Any], **how: Any) -> dict[str, Any]:
    """What a browser posts once a passkey has signed the challenge of `said`."""
    assertion, signature = passkey.asserted(unpacked(said["challenge"]) or b"", **how)
    return {**{name: said[name] for name in said if name != "challenge"}, **posted(passkey, assertion, signature)}


def posted(passkey: SoftPasskey, assertion: Assertion, signature: bytes) -> dict[str, str]:
    return {
        "credential": packed(passkey.id),
        "client_data": packed(assertion.client_data),
        "authenticator_data": packed(assertion.authenticator_data),
        "signature": packed(signature),
    }


def made(invitation: Invitation, passkey: SoftPasskey = BOBS, flags: int = PRESENT | VERIFIED, **said: Any) -> Any:
    """What the page's script posts once the browser has made a passkey."""
    words = {"kind": "webauthn.create", **said}
    return {
        "name": invitation.name,
        "secret": invitation.secret,
        "credential": packed(passkey.id),
        "key": packed(passkey.spki),
        "client_data": packed(passkey.client_data(invitation.challenge, **words)),
        "authenticator_data": packed(passkey.authenticator_data(flags)),
    }


@asynccontextmanager
async def opened(folder: Path, public_url: str = ORIGIN, sealer: Sealer | None = None) -> AsyncIterator[Desk]:
    """Serve the page in memory."""
    links = Links(public_url, sealer or Sealer(b"k" * 32))
    store, approvers = LocalStore(folder / "approvals.db"), dict(KNOWN)
    pages = ApprovalPages(store, approvers, links, lambda: desk.now)
    transport = httpx.ASGITransport(Starlette(routes=pages.routes()))
    async with httpx.AsyncClient(transport=transport, base_url=pages.places.origin) as client:
        desk = Desk(store, client, links, pages, approvers=approvers)
        yield desk
