"""What a person is asked to agree to: the requests of a plan and their impact, by one set of reads."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from ap_mcp import guard
from ap_mcp.errors import CallRefused, ConfirmationRequired
from ap_mcp.guard.approval_requests import Place
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.elsewhere import refuse_too_large
from ap_mcp.guard.policy import Ask, Decision
from ap_mcp.guard.seal import canonical
from ap_mcp.masking.supplied import as_supplied
from ap_mcp.plans import Drafter, Plan
from ap_mcp.reads import Reads
from ap_mcp.specs import Effect


@dataclass
class Proposal:
    """A plan on its way to consent; it can be described again, as things are by then.

    Attributes:
        plan: what the call will do.
        draft: makes its requests.
        effect: how grave it is.
        decision: of the policy about it.
        reads: the set of reads that it goes by.
        place: where it goes, but for the project, which takes a request to find.
        name: of what it acts on, once it was read.
    """

    plan: Plan
    draft: Drafter
    effect: Effect
    decision: Decision
    reads: Reads
    place: Place
    name: str = ""

    @contextmanager
    def refusals_on_record(self) -> Iterator[None]:
        """Have what refuses a guarded call from here on stand in the audit, with the name of what it is about."""
        try:
            yield
        except CallRefused as refusal:
            refusal.target = refusal.target or self.name
            if not isinstance(refusal, ConfirmationRequired):
                refusal.verdict = refusal.verdict or "refused"
            raise

    @cached_property
    def supplied(self) -> Mapping[str, Any]:
        """The arguments as a person sees them."""
        found: Mapping[str, Any] = as_supplied(dict(self.plan.arguments))
        return found

    async def asked(self, caller: Caller, at: datetime | None = None, *, elsewhere: bool = False) -> "guard.Request":
        """Return what consent is asked for, made ready to be put to a person for who calls.

        Args:
            caller: who calls.
            at: as for `request`.
            elsewhere: that person is elsewhere, whatever is asked.

        Raises:
            CallRefused: the call would fail, breaks a rule, or is too large for anybody to read.
        """
        if elsewhere:
            # Before the impact is read and laid out, which takes many times as long where there is so much of it.
            refuse_too_large(canonical(dict(self.supplied)))
        return (await self.request(at)).made_ready(caller)

    async def request(self, at: datetime | None = None) -> "guard.Request":
        """Return what consent is asked for, by what these reads show.

        Args:
            at: describe it as of then; else as of now.

        Raises:
            CallRefused: the call would fail, or breaks a rule.
        """
        draft = await self.draft(self.reads, self.effect, at)
        if draft.impact is None:
            raise TypeError(f"{self.plan.subject.tool} does not say what it would do")
        self.name = draft.impact.name
        return guard.Request(
            tool=self.plan.subject.tool,
            arguments=self.supplied,
            digest=guard.digest_of(self.plan.arguments, self.plan.files),
            impact=draft.impact,
            calls=draft.calls,
            steps=draft.steps,
            compared=draft.compared,
            place=replace(self.place, project=await self.reads.gateway.project_id()),
            shown_at=at or self.reads.now().replace(microsecond=0),
            other_approver=isinstance(self.decision, Ask) and self.decision.other_approver,
            takes_token=self.plan.takes_token,
            token=self.plan.token,
        )

    async def read_again(self, caller: Caller, at: datetime | None) -> "guard.Request":
        """Return it once more: read and decided anew; or, with a time, the same reads as they were described then.

        Raises:
            CallRefused: it may no longer be made.
        """
        if at is None:
            self.reads = self.reads.anew()
            self.decision = await self.reads.decided(self.plan.subject, partial(self.plan.cluster_named, self.reads))
        return await self.asked(caller, at)
