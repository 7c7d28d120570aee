"""The guard of one principal: decides about calls, gets consent, and makes the permits of what may go out."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, to_thread

from ap_mcp import guard
from ap_mcp.binding import HttpCall
from ap_mcp.errors import (
    ApMcpError,
    ApprovalRequired,
    AuditFailed,
    CallRefused,
    ConfirmationRequired,
    ConsentOff,
    PartlyDone,
    ReadOnly,
    may_have_happened,
)
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.policy import Allow, Ask, Decision, Policy, Refuse, decide, needs_cluster
from ap_mcp.guard.subject import Subject
from ap_mcp.permits import Permit, digest_of
from ap_mcp.specs import Effect
from ap_mcp.watching import ConsentSought, NotRecorded, happened

if TYPE_CHECKING:
    from ap_mcp.guard.audit import AuditLog, Ending, Outcome
    from ap_mcp.guard.consent import Confirmer, Mode
    from ap_mcp.guard.requests import Consent, ReadAgain, Request

DENY = "deny"
UNASKED = "no consent was asked for"
DENIED = "The operator has switched guarded tools off (AP_MCP_CONFIRM=deny)."
NOBODY_MAY_BE_ASKED = "No rule of the operator allows it, and nobody may be asked about this call."

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cleared:
    """Requests that may go out, in order, and what is recorded about them.

    Attributes:
        tool: what is called.
        arguments: masked.
        effect: how grave it is.
        calls: the requests.
        steps: what each of them does, in a few words; only several need them.
        target: the name of the thing it is done to.
        impact: digest of what a person was shown, or would have been.
        because: what let it through.
        channel: how a person was asked; empty if none was.
        approver: who agreed.
        consent: who agreed, when and by which channel, in a sentence; empty for a call that is not guarded.
        used: digest of the id of the consent that is used up; empty if there is none.
        code: of the question that was answered elsewhere; empty if none was.
    """

    tool: str
    arguments: Mapping[str, Any]
    effect: Effect
    calls: tuple[HttpCall, ...] = field(repr=False)
    steps: tuple[str, ...] = ()
    target: str = ""
    impact: str = ""
    because: str = "no consent is needed"
    channel: str = ""
    approver: str = ""
    consent: str = ""
    used: str = ""
    code: str = ""


@dataclass(slots=True)
class Sending:
    """One request on its way: its permit, how it ended, and why that could not be recorded."""

    permit: Permit
    outcome: "Outcome"
    unrecorded: str = ""

    def succeeded(self, request_id: str, found: str = "") -> None:
        """Note that the request did what it should; `found` says how that is known if its answer was lost."""
        self.outcome = guard.Outcome("succeeded", request_id, found)


async def _note_nowhere() -> None:
    """Leave the log as the only one who knows how long it is."""


@dataclass(frozen=True)
class Guard:
    """What stands between the calls of one principal and the gateway; light, and made per principal.

    Attributes:
        policy: what the operator allows.
        mode: how consent is obtained.
        confirmer: gets it; shared, and made when first used.
        audit: the log, likewise.
        simulated: the other end is the simulator.
        profile: where its calls go, as the operator calls it; empty if there is one place only.
        note: is called once lines were added to the log, to note elsewhere how long it is.
    """

    policy: Policy
    mode: "Mode"
    confirmer: "Callable[[], Confirmer]" = field(repr=False)
    audit: "Callable[[], AuditLog]" = field(repr=False)
    simulated: bool = False
    profile: str = ""
    note: "Callable[[], Awaitable[None]]" = field(default=_note_nowhere, repr=False)

    def decided_at_once(self, subject: Subject, *, dry_run: bool) -> Decision | None:
        """Decide about a call before anything is read; None if that takes the facts of its cluster.

        Args:
            subject: the call.
            dry_run: it only asks what would happen.

        Raises:
            CallRefused: no consent allows it.
        """
        if needs_cluster(subject, self.policy):
            return None
        decision = decide(subject, self.policy)
        if isinstance(decision, Refuse):
            raise decision.error
        if isinstance(decision, Ask) and not dry_run:
            self._refuse_if_off(subject.tool, decision)
        return decision

    def cluster_asked_about(self, caller: Caller, tool: str) -> str | None:
        """Return the id of the cluster that a returning question of a tool was about; None if none returns."""
        if caller.state is None:
            return None
        return self.confirmer().cluster_asked_about(caller, tool, self.profile)

    def asks_elsewhere(self, decision: Decision, caller: Caller, token: str | None) -> bool:
        """Say whether nobody but a person elsewhere can agree to a call, whatever it would do."""
        if not isinstance(decision, Ask) or not caller.may_ask or token is not None:
            return False
        return bool(self._confirmer.why_never_a_form(caller, other_approver=decision.other_approver))

    @property
    def _confirmer(self) -> "Confirmer":
        return replace(self.confirmer(), mode=self.mode)

    async def consent(
        self, decision: Decision, request: "Request", caller: Caller, read_again: "ReadAgain"
    ) -> "Consent | AskBack":
        """Return the consent that a call needs; one that a rule releases needs none of a person."""
        if isinstance(decision, Ask):
            self._refuse_if_off(request.tool, decision)
            if not caller.may_ask and request.token is None:
                impact = request.laid_out(caller).text()
                raise ConfirmationRequired(request.tool, decision.effect, NOBODY_MAY_BE_ASKED, impact)
            with _counted(request.tool) as sought:
                found = await self._confirmer.confirm(request, caller, read_again)
                if isinstance(found, AskBack):
                    sought.outcome, sought.channel = "asked", "link" if found.link else "form"
                else:
                    sought.outcome, sought.channel = "agreed", found.channel
                return found
        rule = decision.rule if isinstance(decision, Allow) else None
        if rule is None:
            return guard.Consent(request, "rule", "", "nobody was asked: this server asks for no consent", UNASKED)
        return guard.Consent(request, "rule", "", f"nobody was asked: allowed by {rule.source}", rule.source)

    async def expect_record(self) -> None:
        """Check before a person is asked that the audit can record what they agree to.

        Raises:
            AuditFailed: it could not.
        """
        await to_thread.run_sync(self.audit().expect)

    async def refused(
        self, refusal: CallRefused, tool: str, arguments: Mapping[str, Any], effect: str, caller: Caller
    ) -> None:
        """Record that a call was refused; if that fails, the refusal stands all the same.

        Args:
            refusal: says how the audit calls it.
            tool: what was called.
            arguments: what with.
            effect: how grave it would have been.
            caller: who called.
        """

        def record() -> None:
            entry = guard.Entry(
                principal=caller.principal,
                client=self._named(caller),
                tool=tool,
                arguments=arguments,
                effect=effect,
                target=refusal.target,
                decision=refusal.verdict,
                profile=self.profile,
            )
            self.audit().refused(entry, getattr(refusal, "reason", "") or refusal.render())

        try:
            with CancelScope(shield=True):
                await to_thread.run_sync(record)
                await self.note()
        except ApMcpError as error:
            happened(NotRecorded())
            logger.error("a refusal was not recorded: %s", error.render())  # noqa: TRY400 - no trace needed

    @asynccontextmanager
    async def sending(self, cleared: Cleared, call: HttpCall, caller: Caller) -> AsyncIterator[Sending]:
        """Yield the permit of one request, between the two lines of the audit; without the first, nothing is sent.

        Raises:
            AuditFailed: the first line could not be written.
        """
        if self.policy.read_only and cleared.effect != "read":
            raise ReadOnly(cleared.tool, self.policy.closed)
        try:
            with CancelScope(shield=True):
                number = await to_thread.run_sync(self.audit().decided, self._entry(cleared, call, caller))
        except AuditFailed:
            happened(NotRecorded())
            raise
        sending = Sending(
            Permit("call", digest_of(call)), guard.Outcome("unknown", detail="interrupted: check before you repeat it")
        )
        try:
            yield sending
        except ApMcpError as error:
            sending.outcome = _ending(error)
            raise
        finally:
            with CancelScope(shield=True):
                sending.unrecorded = await self._finished(number, sending.outcome)

    @contextmanager
    def reporting(self, cleared: Cleared) -> Iterator[None]:
        """Inform people how a call ends that one of them has approved elsewhere."""
        outcome = "unknown"
        try:
            yield
            outcome = "succeeded"
        except ApMcpError as error:
            outcome = _ending(error.error if isinstance(error, PartlyDone) else error).result
            raise
        finally:
            if cleared.code:
                self.confirmer().notices.used(cleared.code, outcome)

    def rehearsal(self, call: HttpCall) -> Permit:
        """Return the permit of a dry run of a Kubernetes request, which the server checks and does not carry out.

        Raises:
            ReadOnly: not even that is sent.
        """
        if self.policy.read_only:
            raise ReadOnly(call.operation_id, self.policy.closed)
        return Permit("dry_run", digest_of(call))

    def _refuse_if_off(self, tool: str, decision: Ask) -> None:
        if self.mode == DENY:
            raise ConsentOff(tool, decision.effect, DENIED)

    def _entry(self, cleared: Cleared, call: HttpCall, caller: Caller) -> "guard.Entry":
        return guard.Entry(
            principal=caller.principal,
            client=self._named(caller),
            tool=cleared.tool,
            arguments=cleared.arguments,
            effect=cleared.effect,
            target=cleared.target,
            impact=cleared.impact,
            request=digest_of(call),
            decision=cleared.because,
            channel=cleared.channel,
            approver=cleared.approver,
            consent=cleared.used if call is cleared.calls[0] else "",
            profile=self.profile,
        )

    def _named(self, caller: Caller) -> str:
        """Return the program that calls, as the audit names it."""
        return f"{caller.client} (simulated)".strip() if self.simulated else caller.client

    async def _finished(self, number: int, outcome: "Outcome") -> str:
        """Record how a request ended; return why that failed, for it must not hide the end itself."""
        try:
            await to_thread.run_sync(self.audit().finished, number, outcome)
            await self.note()
        except AuditFailed as error:
            happened(NotRecorded())
            logger.error("audit line %d has no end: %s", number, error.render())  # noqa: TRY400 - no trace needed
            return error.render()
        return ""


@dataclass
class _Sought:
    """What is known of a consent that is sought, as it is counted."""

    channel: str = "approval"
    outcome: str = ""


@contextmanager
def _counted(tool: str) -> Iterator[_Sought]:
    """Let who watches know how the search for a consent ended."""
    sought = _Sought()
    try:
        yield sought
    except ApprovalRequired:
        sought.outcome = "waiting"
        raise
    except BaseException as error:
        sought.outcome = type(error).__name__
        raise
    finally:
        happened(ConsentSought(tool, sought.channel, sought.outcome))


def cleared_by(consent: "Consent") -> Cleared:
    """Return what may go out by a consent: exactly the requests that it was given for."""
    request = consent.request
    return Cleared(
        tool=request.tool,
        arguments=request.arguments,
        effect=request.impact.effect,
        calls=request.calls,
        steps=request.steps,
        target=request.impact.name,
        impact=request.impact.fingerprint(),
        because=consent.because,
        channel=consent.channel,
        approver=consent.approver,
        consent=consent.said,
        used=sha256(consent.id.encode()).hexdigest() if consent.id else "",
        code=consent.code,
    )


def _ending(error: ApMcpError) -> "Outcome":
    """Say whether a request that ended in an error may have taken effect."""
    ending: Ending = "unknown" if may_have_happened(error) else "failed"
    return guard.Outcome(ending, getattr(error, "request_id", ""), error.render())
