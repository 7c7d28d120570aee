"""A confirmer at a desk of its own: one request, its clock, what is found when it is read again, and who answers."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from approving import ALICE, APPROVERS, NOW

from ap_mcp.binding import HttpCall
from ap_mcp.errors import ApprovalRequired, ConsentDeclined
from ap_mcp.guard.approval_requests import Place
from ap_mcp.guard.approvals import Approvers
from ap_mcp.guard.callers import AskBack, Caller, FormAnswer
from ap_mcp.guard.consent import Confirmer, Mode
from ap_mcp.guard.form_answers import FIELD
from ap_mcp.guard.forms import Forms
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.keys import Approver, sign
from ap_mcp.guard.requests import Consent, Request, digest_of
from ap_mcp.guard.seal import Sealer
from ap_mcp.guard.stores import ApprovalStore
from ap_mcp.state.local import LocalStore

SHOP = Impact("delete_cluster", "destroy", "shop-prod", "Deletes cluster shop-prod for good.", stable={"id": "0e1f"})
CALL = HttpCall(
    "delete_cluster",
    "DELETE",
    "/clusters/0e1f",
    query=(("a", "1"), ("b", "2")),
    headers={"x": "y"},
    body=b'{"a":1,"b":2}',
)
PLACE = Place("cn-north-4", "project")
ARGUMENTS = {"cluster_id": "0e1f", "delete_obs": "try"}
DELETE = Request("delete_cluster", ARGUMENTS, digest_of(ARGUMENTS, {}), SHOP, (CALL,), PLACE, NOW)
IVAN = Caller("ivan")
READS = timedelta(seconds=3)
"""How long the person at the desk takes over a form."""
NAMED = FormAnswer("accept", {FIELD: "shop-prod"})


@dataclass
class Desk:
    """A confirmer with a clock of its own, what would be found when reading again, and who answers forms.

    Without a store of its own, each call is of another process, which shares no more than the file.
    """

    folder: Path
    mode: Mode = "human"
    time: datetime = NOW
    found: list[Request] = field(default_factory=list)
    """What is found each next time; what was found first, once that is used up."""
    answers: list[FormAnswer] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    patience: float = 20
    pulse: float = 20
    reads: timedelta = READS
    approvers: Approvers = field(default_factory=lambda: APPROVERS)
    store: ApprovalStore | None = None
    forms: Forms = "always"
    sealer: Sealer = field(default_factory=lambda: Sealer(b"k" * 32))

    @property
    def path(self) -> Path:
        return self.folder / "approvals.db"

    @property
    def confirmer(self) -> Confirmer:
        store = self.store or LocalStore(self.path)
        return Confirmer(
            self.mode,
            self.sealer,
            store,
            self.approvers,
            lambda: self.time,
            self.patience,
            self.pulse,
            self.forms,
        )

    async def ask(self, request: Request = DELETE, caller: Caller = IVAN) -> Consent | AskBack:
        async def read_again(at: datetime | None) -> Request:
            fresh = self.found.pop(0) if self.found else request
            return fresh if at is None else replace(fresh, shown_at=at)

        return await self.confirmer.confirm(request, caller, read_again)

    async def refusal(self, request: Request = DELETE, caller: Caller = IVAN) -> str:
        with pytest.raises(ConsentDeclined) as caught:
            await self.ask(request, caller)
        assert "Nothing was sent" in str(caught.value)
        return str(caught.value)

    async def code(self, request: Request = DELETE, caller: Caller = IVAN) -> str:
        with pytest.raises(ApprovalRequired) as caught:
            await self.ask(request, caller)
        return caught.value.code

    async def waits(self, request: Request = DELETE, caller: Caller = IVAN) -> str:
        """Make the call, which must wait for an approval; what the agent reads."""
        with pytest.raises(ApprovalRequired) as caught:
            await self.ask(request, caller)
        return caught.value.render()

    async def approve(self, code: str, approver: Approver = ALICE) -> None:
        """Approve a question, a moment later."""
        asked = await self.confirmer.store.find(code)
        assert asked
        self.time += READS
        await self.confirmer.store.decide(code, sign(approver, asked.question, True, self.time))

    async def token(self, request: Request = DELETE, caller: Caller = IVAN) -> str:
        with pytest.raises(ApprovalRequired) as caught:
            await self.ask(request, caller)
        assert caught.value.token
        return caught.value.token

    async def question(self, request: Request = DELETE, **caller: Any) -> AskBack:
        asked = await self.ask(request, Caller("ivan", can_return=True, **caller))
        assert isinstance(asked, AskBack)
        self.time += READS
        return asked

    async def push(self, text: str, schema: dict[str, Any]) -> FormAnswer:
        assert schema["required"] == [FIELD]
        self.shown.append(text)
        self.time += self.reads
        return self.answers.pop(0) if self.answers else NAMED

    @property
    def pushed(self) -> Caller:
        return Caller("ivan", push=self.push)
