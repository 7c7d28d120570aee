"""Runs tools: every call goes spec → tool → guard → client → summary, in that order, here."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from anyio import CancelScope, current_time, sleep, to_thread

from ap_mcp import guard, read_tools, wait
from ap_mcp.arguments import check_arguments
from ap_mcp.binding import FilePart, HttpCall
from ap_mcp.errors import (
    ApMcpError,
    AuditFailed,
    CloudUnreachable,
    ConfirmationRequired,
    InvalidArguments,
    Problem,
    ReadOnly,
    UnknownTool,
)
from ap_mcp.files import read_upload
from ap_mcp.finishing import Results
from ap_mcp.gateway import Gateway
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.facts import NOTHING_READ, Facts, read_facts
from ap_mcp.guard.policy import Allow, Ask, Decision, Refuse, decide, effect_of, needs_cluster
from ap_mcp.guard.policy_file import load_policy
from ap_mcp.guard.private_files import APPROVERS_FILE
from ap_mcp.guard.stores import Limits, Unlimited
from ap_mcp.masking import contains_placeholder, mask
from ap_mcp.schemas import nodes_at
from ap_mcp.settings import Settings
from ap_mcp.specs import FILE, GUARDED, Operation, load_catalog
from ap_mcp.summaries import Observation, Result
from ap_mcp.summaries.dry_run import dry_run
from ap_mcp.toolbox import DRY_RUN, TOKEN, own_schemas, select

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudClient, CloudResponse

LOCAL = Caller("local")
NOTHING: Mapping[str, Any] = {}
CHART_LIMIT = 12 * 1024 * 1024

logger = logging.getLogger(__name__)


class Autopilot:
    """Runs tools against the cloud: the one way through the code, whoever calls.

    Args:
        settings: what the operator chose.
        connect: makes the cloud client; not called before the first call that needs it.
        simulated: the other end is the simulator; everything said about this server says so.
        unasked: guarded calls need nobody's consent; for tests on the simulator only.
        sleep: how `wait_for` lets time pass between its looks.
        now: the clock it goes by, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        connect: "Callable[[], Awaitable[CloudClient]]",
        *,
        simulated: bool = False,
        unasked: bool = False,
        sleep: wait.Sleep = sleep,
        now: wait.Now = current_time,
    ) -> None:
        if unasked and not simulated:
            raise ValueError("only the simulator can be used without consent")
        self.settings = settings
        self.simulated = simulated
        self.catalog = load_catalog()
        self.operations = {
            operation.id: operation
            for operation in select(self.catalog, settings.toolsets, read_only=settings.read_only)
        }
        self.waitables = wait.waitables(self.operations.values(), self.catalog)
        self.composed = read_tools.offered(self.operations)
        self.policy = replace(load_policy(settings.policy_file, settings), ask=not unasked)
        self.account = Gateway(self.catalog, connect)
        self.results = Results(settings, self.policy, self.operations, self.composed, self.waitables)
        # Read once, now: whoever can write to the file later gains nothing on this server.
        approvers = settings.approver_dir / APPROVERS_FILE
        self._approvers = guard.load_approvers(approvers) if os.path.lexists(approvers) else {}
        self.limits: Limits = Unlimited()
        self.sleep, self.clock, self.recent = sleep, now, wait.Recent(self.catalog, now)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.account.close()

    async def read(self, tool: str, **arguments: Any) -> Any:
        """Return what the cloud answers to a read of our own: as it came, not for an agent to see."""
        return await self.account.read(tool, **await self.account.resolved(arguments))

    @cached_property
    def confirmer(self) -> "guard.Confirmer":
        """What gets a person's consent."""
        from ap_mcp.state.local import LocalStore  # noqa: PLC0415 - only guarded calls need a database

        store = LocalStore(self.settings.approvals_db)
        return guard.Confirmer(self.settings.confirm, guard.sealer_from(self.settings), store, self._approvers, _wall)

    @cached_property
    def audit(self) -> "guard.AuditLog":
        """What keeps account of guarded calls."""
        return guard.audit_from(self.settings)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller = LOCAL,
        report: wait.Report = wait.say_nothing,
    ) -> Result | AskBack:
        """Run one tool.

        Args:
            name: the tool.
            arguments: its arguments.
            caller: who calls, and how a person behind them can be asked.
            report: is told how a tool that waits gets on.

        Returns:
            The result for an agent, secrets masked; or what to ask a person before the call is made again.

        Raises:
            ApMcpError: refused (`CallRefused`), said no (`ServiceError`), or not reached (`CloudUnreachable`).
        """
        if name in self.composed:
            _refuse_placeholders(arguments)
            return await self.composed[name].run(self, arguments, caller, report)
        operation = self._find(name)
        arguments, own = self._checked(operation, arguments)
        self._refuse_at_once(operation, arguments, trying=bool(own.get(DRY_RUN)))
        files = await self._files(operation, arguments)
        arguments = await self.account.resolved(arguments)
        decision = await self._decided(operation, arguments)
        effect = effect_of(operation, arguments, self.policy)
        if not isinstance(decision, Ask) and effect not in GUARDED and not own.get(DRY_RUN):
            call = await self._bound(operation, arguments, files)
            context = await self._context(operation, own)
            reply = await self.account.submit(operation, arguments, call)
            return await self.shaped(operation, arguments, reply, caller, own=own, context=context)
        contents = {name: part.content for name, part in files.items()}
        case = guard.Case(operation, arguments, effect, self.account.read, self.account.now, contents)
        look = partial(self._proposed, case, files, own.get(TOKEN))
        request = await look(decision=decision)
        if own.get(DRY_RUN):
            call = request.call
            shown = request.impact.structured()
            return dry_run(shown, call.method, call.path, query=call.query, form=call.content_type, body=call.body)
        consent = await self._consent(decision, request, caller, look)
        return consent if isinstance(consent, AskBack) else await self._recorded(operation, arguments, consent, caller)

    async def permit(self, read: Operation, arguments: Mapping[str, Any], facts: Facts | None = None) -> None:
        """Make sure that the policy lets a read be made on the way to another answer.

        Args:
            read: what is to be called.
            arguments: its flat arguments.
            facts: of its cluster, if they were just read; else they are if a rule goes by them.

        Raises:
            CallRefused: it does not, or wants a person asked.
        """
        decision = await self._decided(read, arguments, facts)
        if isinstance(decision, Ask):
            raise ConfirmationRequired(read.id, decision.effect, ASKED_ABOUT)

    async def _decided(
        self, operation: Operation, arguments: Mapping[str, Any], facts: Facts | None = None
    ) -> Decision:
        """Decide about a call, with its cluster's facts if a rule goes by them.

        Raises:
            CallRefused: it may not go out, whoever agrees.
        """
        if not needs_cluster(operation, self.policy):
            facts = NOTHING_READ
        elif facts is None:
            facts = await read_facts(self.account.read, arguments["cluster_id"])
        decision = decide(operation, arguments, facts, self.policy)
        if isinstance(decision, Refuse):
            raise decision.error
        return decision

    def _refuse_at_once(self, operation: Operation, arguments: Mapping[str, Any], *, trying: bool) -> None:
        """Refuse what needs no look at the cloud, before anything is sent or anybody asked."""
        if not needs_cluster(operation, self.policy):
            decision = decide(operation, arguments, NOTHING_READ, self.policy)
            if isinstance(decision, Refuse):
                raise decision.error
            if isinstance(decision, Ask) and self.settings.confirm == "deny" and not trying:
                raise ConfirmationRequired(operation.id, decision.effect, DENIED)

    async def _proposed(
        self,
        case: "guard.Case",
        files: Mapping[str, FilePart],
        token: str | None,
        at: datetime | None = None,
        decision: Decision | None = None,
    ) -> "guard.Request":
        """Look at what a call would touch, and make the very request that is sent if somebody agrees to it.

        Args:
            case: the call.
            files: content of the local files that arguments name.
            token: the consent that the model carries, if it does.
            at: tell it as it would have been told then.
            decision: about the call; it is decided anew if none is given, for rules may no longer let it pass.

        Raises:
            CallRefused: it may not go out, whoever agrees.
        """
        if decision is None:
            decision = await self._decided(case.operation, case.arguments)
        impact = await guard.build_impact(case if at is None else replace(case, clock=lambda: at))
        return guard.Request(
            tool=case.operation.id,
            arguments=mask(case.arguments),
            digest=guard.digest_of(case.arguments, case.files),
            impact=impact,
            call=await self._bound(case.operation, {**case.arguments, **impact.settled}, files),
            project=await self.account.project_id(),
            shown_at=at or self.account.now().replace(microsecond=0),
            other_approver=isinstance(decision, Ask) and decision.other_approver,
            takes_token=case.operation.guarded,
            token=token,
        )

    async def _consent(
        self, decision: Decision, request: "guard.Request", caller: Caller, look_again: "guard.LookAgain"
    ) -> "guard.Consent | AskBack":
        """Return the consent a call needs; one that a rule lets go needs nobody's."""
        if isinstance(decision, Ask):
            if self.settings.confirm == "deny":
                raise ConfirmationRequired(request.tool, decision.effect, DENIED)
            return await self.confirmer.confirm(request, caller, look_again)
        rule = decision.rule if isinstance(decision, Allow) else None
        return guard.Consent(request, "rule", "", rule.source if rule else "no consent was asked for")

    async def _recorded(
        self, operation: Operation, arguments: Mapping[str, Any], consent: "guard.Consent", caller: Caller
    ) -> Result:
        """Send a guarded call between two lines of the audit; without the first, nothing is sent."""
        request = consent.request
        entry = guard.Entry(
            principal=caller.principal,
            client=f"{caller.client} (simulated)".strip() if self.simulated else caller.client,
            tool=operation.id,
            arguments=request.arguments,
            effect=request.impact.effect,
            target=request.impact.name,
            impact=request.impact.fingerprint(),
            decision=consent.because,
            channel=consent.channel,
            approver=consent.approver,
        )
        with CancelScope(shield=True):
            number = await to_thread.run_sync(self.audit.decided, entry)
        outcome, unrecorded = guard.Outcome("unknown", detail="cut short: look before you repeat it"), ""
        try:
            reply = await self.account.submit(operation, arguments, request.call)
            outcome = guard.Outcome("succeeded", request_id=reply.request_id)
        except ApMcpError as error:
            outcome = _ending(error)
            raise
        finally:
            with CancelScope(shield=True):
                unrecorded = await self._finished(number, outcome)
        result = await self.shaped(operation, arguments, reply, caller)
        return result.model_copy(update={"warnings": [*result.warnings, unrecorded]}) if unrecorded else result

    async def _finished(self, number: int, outcome: "guard.Outcome") -> str:
        """Record how a guarded call ended; return why that failed, for it must not hide the end itself."""
        try:
            await to_thread.run_sync(self.audit.finished, number, outcome)
        except AuditFailed as error:
            logger.error("audit line %d has no end: %s", number, error.render())  # noqa: TRY400 - no trace needed
            return error.render()
        return ""

    async def _bound(
        self, operation: Operation, arguments: Mapping[str, Any], files: Mapping[str, FilePart]
    ) -> HttpCall:
        filled = await self.account.filled(operation, arguments)
        return await self.account.bound(operation, arguments, filled=filled, files=files)

    def _find(self, name: str) -> Operation:
        if name in self.operations:
            return self.operations[name]
        if self.settings.read_only and name in self.catalog and self.catalog[name].worst_effect != "read":
            raise ReadOnly(name)
        raise UnknownTool(name, get_close_matches(name, [*self.operations, *self.composed], n=3))

    def _checked(self, operation: Operation, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check the arguments; return those of the operation, and those of ours (`dry_run` and the like)."""
        ours = own_schemas(operation, self.settings.confirm)
        check_arguments(operation, arguments, own=ours)
        _refuse_placeholders(arguments)
        theirs = {name: value for name, value in arguments.items() if name not in ours}
        return theirs, {name: value for name, value in arguments.items() if name in ours}

    async def _context(self, operation: Operation, own: Mapping[str, Any]) -> dict[str, Any]:
        """Read what arguments of ours name, for the summary to go by."""
        found = {}
        for each in operation.context:
            if each.argument in own:
                wanted = await self.account.resolved({each.argument: own[each.argument]})
                read = self.catalog[each.operation]
                await self.permit(read, wanted)
                found[each.argument] = (await self.account.ask(read, wanted)).body
        return found

    async def _files(self, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, FilePart]:
        """Read the local files that arguments name, before anything is sent."""
        parts = {}
        for name, argument in operation.arguments.items():
            if name in arguments and nodes_at(operation, argument.places[0])[-1].get("contentMediaType") == FILE:
                read = partial(read_upload, arguments[name], self.settings.chart_roots, CHART_LIMIT)
                upload = await to_thread.run_sync(read)
                parts[name] = FilePart(upload.filename, upload.content)
        return parts

    async def shaped(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        reply: "CloudResponse",
        caller: Caller,
        *,
        own: Mapping[str, Any] = NOTHING,
        context: Mapping[str, Any] = NOTHING,
    ) -> Result:
        """Shape the answer of a call for an agent.

        Args:
            operation: what was called.
            arguments: its flat arguments.
            reply: what came.
            caller: who may read the whole answer.
            own: the arguments of ours that were given with them.
            context: what was read beside it.
        """
        body = None if operation.response_type == FILE else reply.body
        answer = Observation(operation, arguments, body, None, self.account.now(), own, context)
        self.recent.note(answer)
        return await self.results.shaped(answer, reply, caller.principal)

    def advised(self, result: Result) -> Result:
        """Return a result whose next calls can be made, and say where a person is asked."""
        return self.results.advised(result)


DENIED = "The operator has switched guarded tools off (AP_MCP_CONFIRM=deny)."
ASKED_ABOUT = "A rule of the operator wants a person asked before each look: call the tool itself."


def _refuse_placeholders(arguments: Mapping[str, Any]) -> None:
    path = contains_placeholder(arguments)
    if path is not None:
        why = "is a masked placeholder, not a value; sending it would overwrite the real secret. Leave it out"
        raise InvalidArguments([Problem(path, why)])


def _ending(error: ApMcpError) -> "guard.Outcome":
    """Say whether a call that ended in an error may have had its effect all the same."""
    lost = isinstance(error, CloudUnreachable) and error.may_have_arrived
    return guard.Outcome("unknown" if lost else "failed", getattr(error, "request_id", ""), error.render())


def _wall() -> datetime:
    return datetime.now(UTC)
