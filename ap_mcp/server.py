"""Runs tools: tool → arguments checked → plan → guard → consent → permit → gateway → result, in that order, here."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from anyio import current_time, sleep

from ap_mcp import guard, wait
from ap_mcp.aside import has_much, in_a_thread, size_of, steps_aside, weigh, weighed
from ap_mcp.calling import Calling, working_on
from ap_mcp.clouds import Account, Cloud, Connect
from ap_mcp.errors import (
    ApMcpError,
    CallRefused,
    ConfirmationRequired,
    Conflict,
    OnlyLocal,
    PartlyDone,
    RightsChanged,
    on_the_way_to,
)
from ap_mcp.finishing import Finishing, owner_of
from ap_mcp.gateway import Gateway
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.guarding import Cleared, Guard, Sending, cleared_by
from ap_mcp.guard.limits import LocalLimits, Rate
from ap_mcp.guard.policy import Allow, Ask, Decision, effect_of
from ap_mcp.guard.stores import ApprovalStore, Limits, ResponseStore, Turn
from ap_mcp.lost_answers import Sent, deliver
from ap_mcp.masking import mask
from ap_mcp.plans import Plan, Report, ToolContext, report_nothing
from ap_mcp.principals import Everybody, Principals, Rights, View, rights_from
from ap_mcp.private_files import APPROVERS_FILE
from ap_mcp.response_store import LocalResponseStore
from ap_mcp.settings import Settings
from ap_mcp.specs import GUARDED, load_catalog
from ap_mcp.summaries import Result
from ap_mcp.toolbox import toolbox

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_types import Tool as McpTool

    from ap_mcp.binding import HttpCall
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.guard.approvals import Approvers
    from ap_mcp.guard.holds import Holds
    from ap_mcp.guard.notices import Notices
    from ap_mcp.guard.subject import Subject
    from ap_mcp.plans import Drafter
    from ap_mcp.proposals import Proposal
    from ap_mcp.reads import Reads
    from ap_mcp.specs import Effect
    from ap_mcp.state.shared import SharedState

logger = logging.getLogger(__name__)

LOCAL = Caller("local")
NOT_ASKED_ABOUT = "A rule of the operator wants a person asked about it, which works for single reads only: call those."

MOST_VERSIONS = 3
"""How often a request is made anew because its object has another version by then."""
MOST_VIEWS = 64
"""How many different rights are remembered at once."""
CHANGED_MEANWHILE = "The object has changed since it was read; call again, which shows and asks about it as it is now."


class Autopilot:
    """Runs tools against the cloud: the one way through the code, for every caller.

    Args:
        settings: what the operator chose.
        accounts: those that calls go to, the default one first; or what makes the cloud client of the only one.
        simulated: the other end is the simulator; everything said about this server says so.
        unasked: guarded calls need no consent; for tests on the simulator only.
        remote: its callers are on other machines, and reach it over HTTP.
        sleep: how `wait_for` lets time pass between its reads.
        now: the clock it goes by, in seconds.

    Attributes:
        approvers: whose approvals count.
        principals: who may use it, and what.
        draining: it is about to end; calls that only wait should come to their end.
    """

    def __init__(
        self,
        settings: Settings,
        accounts: "Connect | Sequence[Account]",
        *,
        simulated: bool = False,
        unasked: bool = False,
        remote: bool = False,
        sleep: wait.Sleep = sleep,
        now: wait.Now = current_time,
    ) -> None:
        if unasked and not simulated:
            raise ValueError("only the simulator can be used without consent")
        self.settings = settings
        self.simulated = simulated
        self.remote = remote
        self.catalog = load_catalog()
        every = (Account(settings, accounts),) if callable(accounts) else accounts
        made = (Cloud(each, self.catalog, simulated=simulated, sleep=sleep, now=now) for each in every)
        self.clouds = {each.profile: each for each in made}
        self.shared = _shared_by(settings)
        self.kept: ResponseStore = LocalResponseStore() if self.shared is None else self.shared.kept
        self.approvers = _approvers(settings.approver_dir / APPROVERS_FILE, remote=remote)
        rights = rights_from(settings, profiles=tuple(self.clouds), ask=not unasked, remote=remote)
        self.principals: Principals = Everybody(rights)
        self._views: list[View] = []
        self._lists: list[tuple[list[View], list[McpTool]]] = []
        rate = Rate(settings.rate, settings.burst, now) if remote and settings.rate else None
        self.limits: Limits = LocalLimits(settings.calls_at_once, rate=rate)
        if self.shared is not None and rate is not None:
            self.limits = self.shared.limits(self.limits, rate)
        self.link: Callable[[str], str] = lambda _: ""
        """Where a question can be read and decided, by its code; empty as long as no page is served."""
        self.draining = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if "confirmer" in self.__dict__:  # nothing was asked before
            await self.confirmer.notices.close()
        if self.shared is not None:
            await self.shared.close()
        for cloud in self.clouds.values():
            await cloud.gateway.close()

    async def join_others(self) -> None:
        """Count as one of the servers that share anything, if this one does, before anything is served.

        Raises:
            SettingsError: what they need for it is missing, or differs.
            ApprovalsUnusable: what they share cannot be used.
        """
        if self.shared is not None:
            await self.shared.join()

    def watch_questions(self) -> None:
        """Have people informed of the end of questions too whose server has ended meanwhile."""
        if self.settings.webhooks:
            self.confirmer.notices.watch()

    @property
    def cloud(self) -> Cloud:
        """The account of the default profile, or the only one."""
        return next(iter(self.clouds.values()))

    @property
    def gateway(self) -> Gateway:
        """The way to that account."""
        return self.cloud.gateway

    @cached_property
    def confirmer(self) -> "guard.Confirmer":
        """What gets a person's consent."""
        from ap_mcp.state.local import LocalStore  # noqa: PLC0415 - only guarded calls need a database

        store = LocalStore(self.settings.approvals_db) if self.shared is None else self.shared.store
        return guard.Confirmer(
            self.settings.confirm,
            guard.sealer_from(self.settings),
            store,
            self.approvers,
            now=store.now,
            forms=self.settings.forms,
            holds=self.holds,
            link=self._linked,
            notices=self._notices(store),
        )

    def leave(self) -> None:
        """Have calls that only wait come to their end: the process is about to."""
        self.draining = True
        self.holds.release()

    def _notices(self, store: "ApprovalStore") -> "Notices":
        """Return what informs people of questions: a webhook, if the operator has set one."""
        if not self.settings.webhooks:
            from ap_mcp.guard.notices import Silent  # noqa: PLC0415 - only guarded calls ask anybody

            return Silent()
        from ap_mcp.cloud.lines import outward_lines  # noqa: PLC0415 - few servers post anything
        from ap_mcp.webhooks.following import Webhooks  # noqa: PLC0415 - likewise
        from ap_mcp.webhooks.posting import Posting  # noqa: PLC0415 - likewise

        posting = Posting(self.settings.webhooks, partial(outward_lines, self.settings))
        return Webhooks(posting, store, lambda: self.confirmer.approvers, now=store.now)

    def _linked(self, code: str) -> str:
        return self.link(code)  # not bound any earlier: a page may come to be served later

    @cached_property
    def holds(self) -> "Holds":
        """The calls that stay open until a person elsewhere has decided."""
        from ap_mcp.guard.holds import Holds  # noqa: PLC0415 - only guarded calls are held

        clocks = self.cloud.clocks
        return Holds(self.settings.approval_wait, clocks.sleep, clocks.now)

    @cached_property
    def audit(self) -> "guard.AuditLog":
        """What keeps account of every call that is not a read."""
        return guard.audit_from(self.settings)

    def rights_of(self, principal: str) -> Rights:
        """Return what a principal may use now.

        Raises:
            UnknownPrincipal: nothing, or nothing any more.
        """
        return self.principals.rights_of(principal)

    def view(self, principal: str = LOCAL.principal, profile: str | None = None) -> View:
        """Return the server as a principal sees it; equal rights share one view of each profile.

        Args:
            principal: who calls.
            profile: where the calls go, one of theirs; the default one if not given.

        Raises:
            UnknownPrincipal: the principal may not use it.
        """
        rights = self.rights_of(principal)
        cloud = self.clouds[rights.profiles[0] if profile is None else profile]
        for view in self._views:
            if view.cloud is cloud and view.rights == rights:
                return view
        # Rights change while a server runs: what no principal has any more is forgotten.
        del self._views[: 1 - MOST_VIEWS]
        self._views.append(self._view(rights, cloud))
        return self._views[-1]

    def addressed(self, principal: str, arguments: Mapping[str, Any]) -> tuple[View, Mapping[str, Any]]:
        """Return the view of the profile that a call names, and its other arguments.

        Raises:
            InvalidArguments: the principal has no such profile.
        """
        profiles = self.rights_of(principal).profiles
        if len(profiles) == 1:
            return self.view(principal), arguments
        from ap_mcp.addressing import addressed  # noqa: PLC0415 - few servers have several profiles

        profile, rest = addressed(arguments, profiles)
        return self.view(principal, profile), rest

    def offered(self, principal: str = LOCAL.principal) -> "list[McpTool]":
        """Return the tools that a principal is offered, as clients see them."""
        views = [self.view(principal, each) for each in self.rights_of(principal).profiles]
        if len(views) == 1:
            return views[0].toolbox.shown
        for known, tools in self._lists:
            if len(known) == len(views) and all(one is other for one, other in zip(known, views, strict=True)):
                return tools
        from ap_mcp.addressing import with_profiles  # noqa: PLC0415 - likewise

        tools = with_profiles({view.cloud.profile: view.toolbox.shown for view in views})
        del self._lists[: 1 - MOST_VIEWS]
        self._lists.append((views, tools))
        return tools

    async def kept_answer(self, principal: str, uri: str) -> str | None:
        """Return a whole answer that was kept; None if it is gone, or of another principal, or a profile not theirs."""
        for profile in self.rights_of(principal).profiles:
            if (found := await self.kept.read(owner_of(principal, profile), uri)) is not None:
                return found
        return None

    def reads(self, view: View, cluster: str | None = None, caller: Caller = LOCAL) -> "Reads":
        """Return a new set of reads, under the policy of a view.

        Args:
            view: of the principal.
            cluster: the id of the cluster that a person was asked about, if the call comes back with their answer.
            caller: who calls.
        """
        from ap_mcp.reads import Reads  # noqa: PLC0415 - no start waits for what only calls need

        cloud = view.cloud
        introduce = partial(cloud.introductions.introduce, view.guard, caller) if cloud.is_direct else None
        return Reads(cloud.gateway, self.catalog, view.policy, cluster, introduce)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller = LOCAL,
        report: Report = report_nothing,
    ) -> Result | AskBack:
        """Run one tool.

        Args:
            name: the tool.
            arguments: its arguments.
            caller: who calls, and how a person behind them can be asked.
            report: takes the progress of a tool that waits.

        Returns:
            The result for an agent, secrets masked; or what to ask a person before the call is made again.

        Raises:
            ApMcpError: refused (`CallRefused`), said no (`ServiceError`), or not reached (`CloudUnreachable`).
        """
        logger.debug("%r called by %r through %r", name, caller.principal, caller.client)
        view, arguments = self.addressed(caller.principal, arguments)
        try:
            async with self.admitted(caller.principal, name) as turn:
                resting = caller.resting(turn.rest)
                outcome = await self._run(view, name, arguments, resting, report=report, turn=turn)
        except ApMcpError as error:
            logger.debug("%r ended as %s", name, type(error).__name__)
            error.profile = view.note
            if isinstance(error, CallRefused):
                await self._record(error, view, name, arguments, caller)
            raise
        logger.debug("%r ended as %s", name, type(outcome).__name__)
        return outcome if isinstance(outcome, AskBack) else view.leading_back(outcome)

    async def refused(self, refusal: CallRefused, name: str, arguments: Mapping[str, Any], caller: Caller) -> None:
        """Record that a call was refused after it had returned, by a person who was asked meanwhile.

        Args:
            refusal: why.
            name: the tool.
            arguments: its arguments.
            caller: who called.
        """
        view, arguments = self.addressed(caller.principal, arguments)
        await self._record(refusal, view, name, arguments, caller)

    async def _record(
        self, refusal: CallRefused, view: View, name: str, arguments: Mapping[str, Any], caller: Caller
    ) -> None:
        """Write a line of the audit about a refusal, if it is a matter for it."""
        if refusal.verdict:
            effect = await in_a_thread(partial(view.effect_of, name, arguments), size_of(arguments))
            await view.guard.refused(refusal, name, arguments, effect, caller)

    @asynccontextmanager
    async def admitted(self, principal: str, tool: str = "") -> AsyncIterator[Turn]:
        """Return what a call runs inside of, or anything else that makes requests for a principal.

        Raises:
            TooManyCalls: when it is entered, if the principal makes too many.
        """
        with working_on(Calling(principal, tool, self.remote)), weighed():
            async with self.limits.admit(principal) as turn:
                yield turn

    async def _run(
        self, view: View, name: str, arguments: Mapping[str, Any], caller: Caller, *, report: Report, turn: Turn
    ) -> Result | AskBack:
        """Run one tool: the whole sequence."""
        tool = view.toolbox.find(name)
        with on_the_way_to(name, sends=tool.effect != "read", composed=name not in self.catalog):
            weigh(size := size_of(arguments))
            arguments = await in_a_thread(partial(tool.checked, arguments), size)
            subject = await in_a_thread(partial(tool.subject, arguments), size)
            decision = view.guard.decided_at_once(subject, dry_run=tool.is_dry_run(arguments))
            reads = self.reads(view, view.guard.cluster_asked_about(caller, name), caller)
            rehearse = partial(self._rehearsed, view, reads)
            finishing = view.finishing.knowing(reads.known)
            context = ToolContext(reads, finishing, caller, rehearse, report, turn.rest)
            planning = tool.plan(arguments, context)
            plan = await (planning if tool.effect == "read" else steps_aside(planning))
            if plan.local_use and view.rights.remote:
                raise OnlyLocal(name, plan.local_use)
            if decision is None or plan.subject != subject:
                decision = await reads.decided(plan.subject, partial(plan.cluster_named, reads))
            if plan.answer is not None and isinstance(decision, Allow):
                return await _bounded(await plan.answer())
            cleared = await self._cleared(view, plan, decision, reads, caller)
        if isinstance(cleared, AskBack | Result):
            return cleared
        with view.guard.reporting(cleared):
            return await self._sent(view, plan, cleared, caller)

    async def _rehearsed(self, view: View, reads: "Reads", call: "HttpCall", subject: "Subject") -> "CloudResponse":
        """Have a cluster check a request that it will not carry out, unless the policy refuses the call."""
        await reads.decided(subject, call.cluster)
        await reads.introduce(call.cluster)
        return await view.cloud.gateway.send(call, view.guard.rehearsal(call))

    async def _cleared(
        self, view: View, plan: Plan, decision: Decision, reads: "Reads", caller: Caller
    ) -> Cleared | Result | AskBack:
        """Return the requests that may go out; or what would, if the call only asks; or what to ask a person."""
        if plan.draft is None:  # a tool of several reads, about which a rule wants to ask
            effect = decision.effect if isinstance(decision, Ask) else plan.subject.stated
            raise ConfirmationRequired(plan.subject.tool, effect, NOT_ASKED_ABOUT)
        effect = effect_of(plan.subject, view.policy)
        if isinstance(decision, Allow) and effect not in GUARDED and not plan.dry_run:
            return await steps_aside(_unasked(plan, plan.draft, reads, effect))
        from ap_mcp.proposals import Proposal  # noqa: PLC0415 - few calls need consent, or only ask

        proposal = Proposal(plan, plan.draft, effect, decision, reads, view.cloud.place(simulated=self.simulated))
        if plan.dry_run:
            return await steps_aside(_only_shown(proposal))
        with proposal.refusals_on_record():
            elsewhere = view.guard.asks_elsewhere(decision, caller, plan.token)
            request = await steps_aside(proposal.asked(caller, elsewhere=elsewhere))
            await view.guard.expect_record()
            read_again = partial(self._read_again, view, caller, proposal)
            consent = await view.guard.consent(decision, request, caller, read_again)
        return consent if isinstance(consent, AskBack) else cleared_by(consent)

    async def _read_again(
        self, view: View, caller: Caller, proposal: "Proposal", at: "datetime | None"
    ) -> "guard.Request":
        """Read once more what a person was asked about; they may have taken long, and the caller lost their rights."""
        if self.rights_of(caller.principal) != view.rights:
            raise RightsChanged
        return await steps_aside(proposal.read_again(caller, at))

    async def _sent(self, view: View, plan: Plan, cleared: Cleared, caller: Caller) -> Result:
        """Send requests in order, each with a permit and between two lines of the audit; stop at the first failure."""
        responses: list[CloudResponse] = []
        unrecorded: list[str] = []
        for number in range(len(cleared.calls)):
            try:
                response, sending = await self._delivered(view, plan, cleared, number, caller)
            except ApMcpError as error:
                await plan.explain(error)
                error.consent = cleared.consent
                if responses:
                    stopped = PartlyDone(cleared.tool, cleared.steps, len(responses), error, unrecorded)
                    stopped.consent = cleared.consent
                    raise stopped from error
                raise
            responses.append(response)
            unrecorded += [sending.unrecorded] if sending.unrecorded else []
        result = await plan.finished(responses)
        more = {"warnings": [*result.warnings, *unrecorded], "consent": cleared.consent or None}
        return result.model_copy(update=more)

    async def _delivered(
        self, view: View, plan: Plan, cleared: Cleared, number: int, caller: Caller
    ) -> "tuple[CloudResponse, Sending]":
        """Send one request; anew, with a permit of its own, if only the version of its object is another by then."""
        call, gateway = cleared.calls[number], view.cloud.gateway
        for attempts_left in reversed(range(MOST_VERSIONS + 1)):
            sent = Sent(call, gateway.now(), cleared.effect, cleared.impact, gateway.knows_time)
            try:
                async with view.guard.sending(cleared, call, caller) as sending:
                    return await deliver(gateway, sent, sending, plan.look), sending
            except Conflict as error:
                renewed = await steps_aside(plan.renew(number)) if plan.renew is not None and attempts_left else None
                if renewed is None:
                    error.found = CHANGED_MEANWHILE if plan.renew is not None else error.found
                    raise
                call = renewed
        raise AssertionError("the last attempt ends with an answer or an error")

    async def _note_head(self) -> None:
        """Note how long the audit log is where the other servers are noted too, if there are any."""
        if self.shared is not None:
            await self.shared.heads.note(self.audit)

    def _view(self, rights: Rights, cloud: Cloud) -> View:
        policy = cloud.policy(rights.policy)
        tools = toolbox(
            self.catalog,
            rights.toolsets,
            read_only=policy.read_only,
            confirm=rights.confirm,
            remote=rights.remote,
            within=rights.within,
            clocks=cloud.clocks,
            kinds=lambda: cloud.kinds,
            closed=policy.closed,
        )
        kinds = frozenset(tools.awaited)
        finishing = Finishing(
            settings=cloud.settings,
            policy=policy,
            mode=rights.confirm,
            operations=tools.operations,
            tools=tools.tools,
            kinds=kinds,
            gateway=cloud.gateway,
            kept=self.kept,
            recent=cloud.clocks.recent,
            simulated=self.simulated,
            remote=rights.remote,
            profile=cloud.profile,
        )
        guarding = Guard(
            policy,
            rights.confirm,
            lambda: self.confirmer,
            lambda: self.audit,
            self.simulated,
            cloud.profile,
            self._note_head,
        )
        return View(rights, cloud, tools, guarding, finishing)


async def _unasked(plan: Plan, draft: "Drafter", reads: "Reads", effect: "Effect") -> Cleared:
    """Return the requests of a call that needs no consent."""
    drafted = await draft(reads, None)
    return Cleared(plan.subject.tool, mask(dict(plan.arguments)), effect, drafted.calls, drafted.steps)


async def _bounded(result: Result) -> Result:
    """Return what a read came to as an answer holds it: how much that is, the cloud decides."""
    if not has_much():
        return result
    from ap_mcp.summaries.pages import bounded  # noqa: PLC0415 - no start waits for what only answers need

    return await in_a_thread(partial(bounded, result), size_of(result))


async def _only_shown(proposal: "Proposal") -> Result:
    """Return what a call would do that only asks."""
    from ap_mcp.dry_runs import dry_run  # noqa: PLC0415 - few calls only ask

    request = await proposal.request()
    return dry_run(request.impact.structured(), request.calls)


def _shared_by(settings: Settings) -> "SharedState | None":
    """Return what a server shares with others, if the operator wants that."""
    if settings.redis_url is None:
        return None
    from ap_mcp.state.shared import SharedState  # noqa: PLC0415 - few servers share anything

    return SharedState(settings)


def _approvers(path: Path, *, remote: bool) -> "Approvers":
    """Return whose approvals count: over HTTP as the file says at the time, else as it does now.

    An agent on this machine could write the file; one that calls over HTTP cannot, and people come and go.
    """
    if remote:
        return guard.ApproversFile(path)
    return guard.load_approvers(path) if os.path.lexists(path) else {}
