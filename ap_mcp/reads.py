"""The reads on the way to one answer: each passes the operator's policy, and within one set none is made twice."""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from anyio import Lock, move_on_after

from ap_mcp.aside import on_the_loop
from ap_mcp.binding import HttpCall
from ap_mcp.errors import (
    ApMcpError,
    CallRefused,
    ConfirmationRequired,
    DeniedByPolicy,
    NameNotFound,
    NotFound,
)
from ap_mcp.gateway import Gateway
from ap_mcp.guard.closed import closes_clusters, left_out, mentions, opened
from ap_mcp.guard.facts import FACTS_READ, Facts, facts_in, read_facts
from ap_mcp.guard.policy import Allow, Ask, Policy, Refuse, decide, needs_cluster
from ap_mcp.guard.subject import Subject, subject_of, with_facts
from ap_mcp.masking import mask
from ap_mcp.naming import UUID, called, found, name_given, no_such, whole_version
from ap_mcp.permits import digest_of
from ap_mcp.specs import CLUSTER, Catalog, Names, Offered, Operation
from ap_mcp.summaries import Observation, summarise
from ap_mcp.vendor import as_object, get, items, text

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse

GET_QUOTAS = "get_quotas"
QUOTA_SECONDS = 5.0
UNNAMED = "a cluster closed to reading"
ABOUT_CLOSED = "is denied: what it answers is about a cluster that a rule of the operator closes to reading"
ASKED_ABOUT_OBJECTS = "A rule of the operator wants a person asked about it, which works for changes only."
ASKED_ABOUT = "A rule of the operator wants a person asked before {0}, so no other tool may use it: call {0} by itself."


Introduce: TypeAlias = "Callable[[Reads, str], Awaitable[None]]"
"""Makes sure, by some reads, that requests to a cluster's Kubernetes API can be sent."""


@dataclass(slots=True)
class _Once:
    """A read that is made by the first caller that needs it."""

    lock: Lock = field(default_factory=partial(Lock, fast_acquire=True))
    response: "CloudResponse | None" = None
    error: ApMcpError | None = None


class Reads:
    """One set of reads of the cloud, none made twice; a later set is another object, with reads of its own.

    Args:
        gateway: the way to the cloud.
        catalog: all operations, also those that no tool is offered for.
        policy: decides about each read.
        cluster: the id of the cluster that a person was asked about, if the call comes back with their answer.
        introduce: makes sure that requests to a cluster's Kubernetes API can be sent.
    """

    def __init__(
        self,
        gateway: Gateway,
        catalog: Catalog,
        policy: Policy,
        cluster: str | None = None,
        introduce: "Introduce | None" = None,
    ) -> None:
        self.gateway = gateway
        self._introduce = introduce
        self.catalog = catalog
        self._policy = policy
        self._cluster = cluster
        self._made: dict[tuple[str, str], _Once] = {}
        self._facts: dict[str, Facts] = {}
        self._closed: dict[str, Any] = {}

    def now(self) -> datetime:
        """Return the service's time."""
        return self.gateway.now()

    def anew(self) -> "Reads":
        """Return a new set under the same policy, in which nothing has been read yet."""
        return Reads(self.gateway, self.catalog, self._policy, introduce=self._introduce)

    async def decided(self, subject: Subject, cluster: Any = None) -> Allow | Ask:
        """Decide about a call, with the facts of its cluster if a rule goes by them.

        Args:
            subject: the call.
            cluster: the cluster that it is about, by its id or name, or what finds it; asked only if a rule goes by it.

        Raises:
            CallRefused: it may not be made; no consent allows it.
            NotFound: there is no such cluster.
        """
        if needs_cluster(subject, self._policy):
            found = await cluster() if callable(cluster) else cluster
            named = (await self.resolve({CLUSTER: found}))[CLUSTER]
            facts = await self.facts(str(named)) if named else Facts(problem="the call is about no cluster")
            subject = with_facts(subject, named, facts)
        decision = decide(subject, self._policy)
        if isinstance(decision, Refuse):
            raise decision.error
        return decision

    async def refusal(self, operation: Operation, arguments: Mapping[str, Any]) -> str:
        """Return why the policy forbids a call, whatever the consent; empty if it does not."""
        try:
            await self.decided(subject_of(operation, arguments), arguments.get(CLUSTER))
        except DeniedByPolicy as error:
            return error.render()
        return ""

    async def read(self, tool: str, /, **arguments: Any) -> Any:
        """Return what a reading operation answers: the vendor's JSON as it came, not masked.

        Raises:
            ApMcpError: the policy does not let it be read, or the cloud said no.
        """
        return (await self.response(self.catalog[tool], arguments)).body

    async def tell(self, tool: str, /, **arguments: Any) -> Any:
        """Return what a reading operation answers, to be shown to somebody who did not call it, as an impact shows it.

        A rule that closes a cluster to get_cluster closes what is in it as well: nobody asked about that cluster.

        Raises:
            ApMcpError: the policy does not let it, or its cluster, be read, or the cloud said no.
        """
        if CLUSTER in arguments and tool != FACTS_READ:
            await self.permit(self.catalog[FACTS_READ], {CLUSTER: arguments[CLUSTER]})
        body = await self.read(tool, **arguments)
        lister, names = self.catalog.named[CLUSTER]
        if tool != lister.id or not self._closed:
            return body
        # An impact has to say that something was not read there, and not what it is called.
        unnamed = [{"metadata": {"uid": each, "name": UNNAMED}} for each in self._closed]
        return {**as_object(body), names.list.strip("/"): [*items(body, names.list), *unnamed]}

    async def permit(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """Make sure that the policy lets a read be made on the way to another answer.

        Raises:
            CallRefused: it forbids it, or wants a person asked.
        """
        decision = await self.decided(subject_of(operation, arguments), arguments.get(CLUSTER))
        if isinstance(decision, Ask):
            raise ConfirmationRequired(operation.id, decision.effect, ASKED_ABOUT.format(operation.id))

    async def response(
        self, operation: Operation, arguments: Mapping[str, Any], *, fresh: bool = False
    ) -> "CloudResponse":
        """Return the answer to a read that the policy lets be made.

        Args:
            operation: reads.
            arguments: its flat arguments, the cluster as an id.
            fresh: make it, even if this set has made it before.

        Raises:
            CallRefused: the policy forbids it, or wants a person asked.
        """
        await self.permit(operation, arguments)
        return await self.made(operation, arguments, fresh=fresh)

    async def made(self, operation: Operation, arguments: Mapping[str, Any], *, fresh: bool = False) -> "CloudResponse":
        """Return the answer to a read that was decided about already."""
        given = repr(sorted(arguments.items()))
        return await self._once(operation.id, given, partial(self._read, operation, arguments), fresh=fresh)

    @on_the_loop
    async def _once(
        self, what: str, given: str, make: "Callable[[], Awaitable[CloudResponse]]", *, fresh: bool = False
    ) -> "CloudResponse":
        once = self._made.setdefault((what, given), _Once())
        async with once.lock:
            if fresh or (once.response is None and once.error is None):
                once.response = once.error = None
                try:
                    once.response = await make()
                except ApMcpError as error:
                    once.error = error
        if once.response is None:
            raise once.error or AssertionError("a read ends with an answer or an error")
        return once.response

    async def of_cluster(self, call: HttpCall, subject: Subject, *, asked: bool = False) -> "CloudResponse":
        """Return the answer to a read of a cluster's Kubernetes API that the policy lets be made.

        Args:
            call: the request.
            subject: as rules see it, with the kind, namespace and name of what is read.
            asked: it is on the way of a call that changes something: a rule that wants a person asked about the tool
                is about that call, and holds no read back.

        Raises:
            CallRefused: the policy forbids it, or wants a person asked.
        """
        decision = await self.decided(subject, call.cluster)
        if isinstance(decision, Ask) and not (asked and decision.rule is not None and decision.rule.is_about_tools):
            raise ConfirmationRequired(subject.tool, decision.effect, ASKED_ABOUT_OBJECTS)

        async def make() -> "CloudResponse":
            await self.introduce(call.cluster)
            return await self.gateway.send(call)

        return await self._once(digest_of(call), "", make)

    async def _read(self, operation: Operation, arguments: Mapping[str, Any]) -> "CloudResponse":
        """Make a read; of an answer about the account leave out what is about clusters that a rule closes to reading.

        Raises:
            DeniedByPolicy: all of it is about one.
        """
        response = await self.gateway.read(operation, arguments)
        lister, names = self.catalog.named[CLUSTER]
        read = self.catalog[FACTS_READ]
        if operation.on_cluster or not closes_clusters(read, self._policy):
            return response
        if operation is lister:
            found = opened(items(response.body, names.list), read, self._policy)
            self._closed |= {text(get(row, names.id)).lower(): row for row in found.closed}
            whole = {**as_object(response.body), names.list.strip("/"): found.rows}
            return response.narrowed(whole) if found.closed else response
        await self.made(lister, {})
        return response.narrowed(self._without_closed(operation, response.body))

    def _without_closed(self, operation: Operation, body: Any) -> Any:
        """Return an answer without the entries of lists that are about closed clusters."""
        if isinstance(body, list):
            return [each for each in body if not mentions(each, self._closed)]
        lists = {key: each for key, each in as_object(body).items() if isinstance(each, list)}
        kept = {**as_object(body), **{key: self._without_closed(operation, rows) for key, rows in lists.items()}}
        if mentions(kept, self._closed):
            raise DeniedByPolicy(operation.id, ABOUT_CLOSED, "No consent lifts this; only the operator can.")
        return kept if lists else body

    def left_out(self, operation: str) -> list[str]:
        """Return a line that says how many clusters an answer leaves out; none if it shows all, or is about others."""
        lister, _ = self.catalog.named[CLUSTER]
        return [left_out(len(self._closed))] if operation == lister.id and self._closed else []

    @on_the_loop
    async def introduce(self, cluster: str) -> None:
        """Make sure that requests to a cluster's Kubernetes API can be sent, whatever they do.

        Raises:
            CallRefused: that takes a certificate, and a rule denies it.
            ServiceError: the cloud said no.
        """
        if self._introduce is not None:
            await self._introduce(self, cluster)

    def known(self, cluster_id: str) -> Facts | None:
        """Return what rules go by of a cluster, if any read of this set has shown it; nothing is read for it."""
        if cluster_id in self._facts:
            return self._facts[cluster_id]
        lister, names = self.catalog.named[CLUSTER]
        lists = {lister.id: names.list, FACTS_READ: ""}
        made = ((lists.get(what), each.response) for (what, _), each in self._made.items())
        bodies = ((at, answer.body) for at, answer in made if at is not None and answer is not None)
        rows = (row for at, body in bodies for row in (items(body, at) if at else [body]))
        return next((facts_in(row) for row in rows if text(get(row, names.id)).lower() == cluster_id.lower()), None)

    async def facts(self, cluster_id: str) -> Facts:
        """Return what rules go by of a cluster; reading it is a part of deciding, so no rule is asked.

        Raises:
            NotFound: there is no such cluster.
        """

        async def body() -> Any:
            return (await self.made(self.catalog[FACTS_READ], {CLUSTER: cluster_id})).body

        if cluster_id not in self._facts:
            self._facts[cluster_id] = await read_facts(body)
        return self._facts[cluster_id]

    async def resolve(self, arguments: Mapping[str, Any], operation: Operation | None = None) -> dict[str, Any]:
        """Return the arguments with names replaced by ids, and short versions by whole ones.

        Args:
            arguments: flat ones, of any tool.
            operation: what they are given to, if it is one operation: then what its path lacks is found too.

        Raises:
            CallRefused: a name fits nothing, or several things, or the policy does not let the list be read.
        """
        wanted = dict(arguments)
        for lister, names in self.catalog.named.values():
            given = wanted.get(names.argument)
            if name := name_given(names, wanted, operation):
                wanted[names.argument] = await self._id_of(name, lister, names, wanted)
            elif isinstance(given, str) and UUID.fullmatch(given):
                wanted[names.argument] = given.lower()
        for name, argument in (operation.arguments if operation is not None else {}).items():
            if argument.offered is not None and name in wanted:
                wanted[name] = await self._with_whole_versions(wanted[name], name, argument.offered, wanted)
        return wanted

    async def misnamed(self, arguments: Mapping[str, Any]) -> str:
        """Say which names that the service takes as they are fit nothing, and which are like them; empty if all fit.

        Args:
            arguments: of a call that the service knows nothing for.
        """
        for lister, names in self.catalog.taken_as_is:
            wanted = arguments.get(names.argument)
            if not isinstance(wanted, str):
                continue
            with suppress(ApMcpError):
                rows = items(await self.read(lister.id), names.list)
                if rows and not any(wanted in called(row, names) for row in rows):
                    return str(no_such(names, lister, rows, wanted))
        return ""

    async def _with_whole_versions(self, value: Any, name: str, offered: Offered, arguments: Mapping[str, Any]) -> Any:
        """Return a version, or objects that each hold one, with whole versions for short ones."""
        if isinstance(value, str):
            return await self._whole(value, name, offered, offered.given(arguments))
        field, found = offered.field, []
        for place, each in enumerate(value):
            at, given = f"{name}.{place}.{field}", offered.given(arguments, each)
            whole = await self._whole(each[field], at, offered, given) if field in each else None
            found.append(each if whole is None else {**each, field: whole})
        return found

    async def _id_of(self, name: str, lister: Operation, names: Names, arguments: Mapping[str, Any]) -> str:
        """Return the id of the thing that goes by a name."""
        if names.argument == CLUSTER and self._cluster is not None and await self._is_still_called(name):
            return self._cluster
        within = {each: arguments[each] for each in names.within if each in arguments}
        body = await self.read(lister.id, **within)
        try:
            return found(names, lister, body, name)
        except NameNotFound as error:
            # Who knows its name is refused by the rule; who does not, is not helped to it.
            if names.argument != CLUSTER or not self._closed:
                raise
            if closed := next((each for each, row in self._closed.items() if name in called(row, names)), None):
                return closed
            shown = NameNotFound(f"{error} {left_out(len(self._closed))}")
            shown.alike = error.alike
            raise shown from None

    async def _whole(self, short: str, name: str, offered: Offered, given: Mapping[str, Any]) -> str:
        """Return the whole version that a short one means, if that can be known."""
        if re.fullmatch(offered.whole, short):
            return short
        try:
            body = await self.read(offered.operation, **given)
        except ApMcpError:
            if offered.complete:
                raise
            return short
        return whole_version(name, offered, body, short)

    async def _is_still_called(self, wanted: str) -> bool:
        """Say whether a name is that of the cluster a person was asked about, which is read in any case."""
        if self._cluster is None:
            return False
        with suppress(NotFound):
            cluster = (await self.facts(self._cluster)).cluster
            return cluster is not None and wanted in (cluster.name, cluster.alias)
        return False

    async def effect_facts(self, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Read what the effect of a call depends on, by the name of each fact.

        Raises:
            CallRefused: it cannot be decided from what was read, or the policy does not let it be read.
        """
        found = {}
        for fact in operation.facts:
            reading = fact.reading
            try:
                body = await self.read(reading.operation, **reading.given(arguments))
                # A masked value counts as another one: what happens may not say whether the caller has guessed it.
                found[fact.name] = {**fact.take(mask(body), arguments), **fact.take(body, arguments)}
            except LookupError:
                why = f"what {reading.operation} answers does not show what {operation.id} would replace"
                raise CallRefused(f"Refused: {why}. Nothing was sent.") from None
        return found

    async def quotas(self) -> str:
        """Return what the quotas are now, for an error about one; empty if they cannot be read, or not at once."""
        read = self.catalog[GET_QUOTAS]
        with move_on_after(QUOTA_SECONDS), suppress(ApMcpError):
            response = await self.response(read, {})
            return f"{GET_QUOTAS} now: {summarise(Observation(read, {}, response.body)).summary}"
        return ""
