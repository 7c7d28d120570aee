"""The tools that change something in a cluster: what a call comes to, its requests, and what was done.

Each tool says in its module which `Step`s a call has; all else is the same for all of them. Before anybody is asked,
the policy has decided by the least that a call can do, the objects were read, and the cluster has checked the requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ap_mcp.binding import HttpCall
from ap_mcp.errors import CallRefused, NotFound
from ap_mcp.guard.policy import Allow
from ap_mcp.guard.subject import Subject
from ap_mcp.kubernetes.api import ClusterApi, cluster_api
from ap_mcp.kubernetes.around import with_around
from ap_mcp.kubernetes.effects import gravest
from ap_mcp.kubernetes.steps import Step
from ap_mcp.kubernetes.write_tool import CONTENTS, DRY_RUN, TOKEN, WriteTool
from ap_mcp.lost_answers import Look, Sent
from ap_mcp.plans import Draft, Plan, ToolContext
from ap_mcp.specs import CLUSTER, EFFECTS, GUARDED, LEAVES_CREDENTIALS, Effect
from ap_mcp.vendor import get, items, text
from ap_mcp.wording import plural

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.reads import Reads
    from ap_mcp.summaries import Result

CHANGED = "What this touches has changed meanwhile"


async def planned(tool: WriteTool, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
    """Return what a call will do.

    Raises:
        CallRefused: the policy or the cluster says no, or something is not as the call has it.
    """
    return await _Call(tool, arguments, context).plan()


@dataclass
class Outlook:
    """What a call comes to, by one set of reads.

    Attributes:
        api: the cluster.
        steps: all that it names, in order; those without a request stay as they are.
        at: when it was read.
    """

    api: ClusterApi
    steps: list[Step]
    collection: bool = False

    @property
    def acting(self) -> list[Step]:
        """The steps that send something."""
        return [each for each in self.steps if each.call is not None]

    @property
    def requests(self) -> list[list[Step]]:
        """The steps by the requests that they are sent as, in order: one each, unless they share it."""
        acting = self.acting
        return [acting] if acting and acting[0].shared else [[each] for each in acting]

    @property
    def effects(self) -> frozenset[Effect]:
        """Every effect that the call has; reading, if it changes nothing."""
        return frozenset(effect for each in self.acting for effect in each.effects) or frozenset({"read"})

    @property
    def calls(self) -> tuple[HttpCall, ...]:
        """The requests, in order."""
        return tuple(first.call for first, *_ in self.requests if first.call is not None)

    @property
    def compared(self) -> tuple[HttpCall, ...]:
        """The requests as a consent is bound to them."""
        return tuple(first.compared for first, *_ in self.requests if first.compared is not None)

    @property
    def said(self) -> tuple[str, ...]:
        """What each request does, in a few words."""
        return tuple(
            f"delete {plural(len(every), first.change.resource.kind, first.change.resource.plural)}"
            if (first := every[0]).shared
            else first.said
            for every in self.requests
        )


@dataclass
class _Call:
    """One call of a tool that changes something."""

    tool: WriteTool
    arguments: Mapping[str, Any]
    context: ToolContext
    _seen: "list[tuple[Reads, Outlook]]" = field(default_factory=list)
    _decided: frozenset[Effect] = frozenset()

    async def plan(self) -> Plan:
        """Read what the call comes to, and return it as a plan."""
        outlook = await self._looked(self.context.reads)
        cluster = outlook.api.cluster
        arguments = self._recorded(outlook)
        subject = self._subject(outlook)
        self._decided = outlook.effects
        if not outlook.acting:
            return Plan(subject, arguments, answer=partial(self._nothing, outlook))
        self._refuse_default_namespace(outlook)
        contents = {name: str(self.arguments[name]).encode() for name in CONTENTS if name in self.arguments}
        return Plan(
            subject=subject,
            arguments={**arguments, CLUSTER: cluster},
            draft=self._draft,
            finish=self._finish,
            look=self._look,
            renew=self._renew,
            files=contents,
            dry_run=self.tool.is_dry_run(self.arguments),
            takes_token=True,
            token=self.arguments.get(TOKEN),
            local_use=LEAVES_CREDENTIALS if any(each.makes_token for each in outlook.acting) else "",
        )

    async def _looked(self, reads: "Reads") -> Outlook:
        """Return what the call comes to by a set of reads; none is used twice."""
        for seen, outlook in self._seen:
            if seen is reads:
                return outlook
        api = await cluster_api(self.tool.name, self.arguments[CLUSTER], reads, self.tool.kinds())
        steps = await with_around(await self.tool.steps(self.arguments, api, self.context.rehearse), api)
        collection = self.tool.module == "delete" and "name" not in self.arguments
        outlook = Outlook(api, steps, collection)
        self._seen.append((reads, outlook))
        return outlook

    def _subject(self, outlook: Outlook) -> Subject:
        limits = tuple(limit for each in outlook.acting for limit in each.limits)
        return Subject(
            tool=self.tool.name,
            effects=outlook.effects,
            stated=gravest(outlook.effects),
            on_cluster=True,
            problem="its facts were not read",
            limits=limits,
            objects=tuple(each.objects for each in outlook.acting) or tuple(each.objects for each in outlook.steps),
        )

    def _recorded(self, outlook: Outlook) -> dict[str, Any]:
        """Return the arguments as they are recorded: what may hold secrets by its digest, and every object by name."""
        own = (DRY_RUN, TOKEN, *CONTENTS)
        kept = {name: value for name, value in self.arguments.items() if name not in own}
        digests = {
            f"{name}_sha256": sha256(str(self.arguments[name]).encode()).hexdigest()
            for name in CONTENTS
            if name in self.arguments
        }
        things = [f"{each.change.verb} {each.thing}" for each in outlook.acting]
        return {**kept, CLUSTER: outlook.api.cluster, "cluster": outlook.api.name, **digests, "objects": things}

    def _refuse_default_namespace(self, outlook: Outlook) -> None:
        """Refuse a guarded call that leaves it to chance in which namespace it acts."""
        if not outlook.effects & GUARDED:
            return
        if found := next((each for each in outlook.acting if each.default_namespace), None):
            raise CallRefused(
                f"Refused: {found.said} needs a person's consent, and the call names no namespace. Nothing was sent. "
                'Call again with namespace; if it is meant, with namespace "default".'
            )

    async def _draft(self, reads: "Reads", effect: Effect | None, at: datetime | None = None) -> Draft:
        outlook = await self._looked(reads)
        if not outlook.acting:
            raise CallRefused(f"{CHANGED}: all is as it should be now. Nothing was sent.")
        graver = [each for each in outlook.effects if EFFECTS.index(each) > EFFECTS.index(gravest(self._decided))]
        if graver:
            raise CallRefused(f"{CHANGED}, and it is graver now ({gravest(graver)}). Nothing was sent. Call again.")
        subject = self._subject(outlook)
        decision = await reads.decided(subject, outlook.api.cluster)
        if effect is None and not isinstance(decision, Allow):
            raise CallRefused(f"{CHANGED}, and a person must be asked now. Nothing was sent. Call again.")
        impact = None
        if effect is not None:
            from ap_mcp.kubernetes.impacts import impact_of  # noqa: PLC0415 - guarded calls only

            impact = await impact_of(self.tool.name, outlook, effect, at or reads.now())
        self._seen = [(reads, outlook)]
        return Draft(outlook.calls, impact, outlook.said, outlook.compared)

    async def _renew(self, number: int) -> HttpCall | None:
        """Return a request again, for the object as it is now, if nothing that was agreed to is different."""
        _, outlook = self._seen[-1]
        step = outlook.requests[number][0]
        if step.shared:
            return None
        api = replace(outlook.api, reads=outlook.api.reads.anew())
        try:
            fresh, *_ = await with_around([await step.again(api)], api, outlook.steps)
        except CallRefused:  # says that nothing was sent, and a request was
            return None
        if fresh.call is None or fresh.facts() != step.facts():
            return None
        outlook.steps[outlook.steps.index(step)] = fresh
        return fresh.call

    async def _nothing(self, outlook: Outlook) -> "Result":
        from ap_mcp.kubernetes.results import result_of  # noqa: PLC0415

        return self.context.finishing.advised(result_of(outlook, ()))

    async def _finish(self, responses: "Sequence[CloudResponse]") -> "Result":
        from ap_mcp.kubernetes.results import result_of, saved_token  # noqa: PLC0415

        _, outlook = self._seen[-1]
        folder = self.context.finishing.settings.files_dir
        pairs = zip(outlook.requests, responses, strict=True)
        responses = [await saved_token(each, response, folder) for every, response in pairs for each in every]
        return self.context.finishing.advised(result_of(outlook, responses))

    async def _look_at_all(self, outlook: Outlook) -> Look:
        """Find out what became of a request to delete all objects of a kind."""
        first = outlook.acting[0].change
        api = replace(outlook.api, reads=outlook.api.reads.anew())
        listed = items(await api.list(first.resource, first.namespace), "/items")
        meant = {text(get(each.change.before, "/metadata/uid")) for each in outlook.acting}
        there = [each for each in listed if text(get(each, "/metadata/uid")) in meant]
        stay = [each for each in there if get(each, "/metadata/deletionTimestamp") is None]
        if not stay:
            return Look("done", f"Its answer was lost; {'all are being deleted' if there else 'all are gone'}.", None)
        if len(stay) == len(meant):
            return Look("as before")
        return Look("unclear", f"{plural(len(stay), 'object')} of {len(meant)} are there as before.")

    async def _look(self, sent: Sent) -> Look:
        """Find out what became of a request whose answer was lost, by the object as it is now."""
        _, outlook = self._seen[-1]
        step = next((each for each in outlook.acting if each.call == sent.call), None)
        if step is None or step.posts:
            return Look("unclear")
        if step.shared:
            return await self._look_at_all(outlook)
        api = replace(outlook.api, reads=outlook.api.reads.anew())
        change = step.change
        if not change.name:
            return Look("unclear", f"Whether it was made is not known: k8s_list shows the {change.resource.plural}.")
        try:
            live = await api.get(change.resource, change.name, change.namespace)
        except NotFound:
            live = None
        uid = get(live, "/metadata/uid")
        if change.verb == "delete":
            gone = live is None or uid != get(change.before, "/metadata/uid")
            if gone or get(live, "/metadata/deletionTimestamp"):
                return Look(
                    "done", f"Its answer was lost; {step.thing} is {'gone' if gone else 'being deleted'}.", live
                )
        elif live is not None and change.after is not None and replace(change, before=live).is_none:
            return Look("done", f"Its answer was lost; {step.thing} is as it was to become.", live)
        before = get(change.before, "/metadata/resourceVersion")
        same = live is None if change.before is None else get(live, "/metadata/resourceVersion") == before
        said = f"k8s_get shows how {step.thing} is now."
        return Look("as before" if same else "unclear", said)
