"""Looks for what a call of an operation has done, by what its spec says of that; nothing is sent but reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from anyio import move_on_after

from ap_mcp import guard
from ap_mcp.arguments import meets
from ap_mcp.errors import ApMcpError, CallRefused, NotFound
from ap_mcp.guard.subject import subject_of
from ap_mcp.lost_answers import Look, Sent
from ap_mcp.rules.clusters import exact_tags
from ap_mcp.rules.versions import resolve_target
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.specs import GUARDED, JSON, Operation, Reconcile
from ap_mcp.specs.waits import DELETING
from ap_mcp.vendor import get, items, moment, word
from ap_mcp.wording import age

if TYPE_CHECKING:
    from ap_mcp.reads import Reads

LOOK_SECONDS = 15.0
MOST_NAMED = 10
CLOCKS_DIFFER = timedelta(seconds=2)
"""How much older than the request a thing may seem that the request created: times come in whole seconds."""
TIME_UNKNOWN = timedelta(seconds=60)
"""The same where the service did not report its time before the request was sent."""


@dataclass(frozen=True)
class Aftermath:
    """A call whose answer was lost.

    Attributes:
        operation: what was called.
        arguments: its flat arguments, names replaced by ids.
        reads: reads anew, under the policy of the caller.
        files: content of the files that arguments name.
    """

    operation: Operation
    arguments: Mapping[str, Any]
    reads: "Reads"
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    async def look(self, sent: Sent) -> Look:
        """Return what shows of a request; that nothing could be read is one of the answers."""
        made, target = self.operation.reconcile, self.operation.target
        where = made.operation if made else target.read if target else ""
        if not where:
            return Look("unclear")
        unread = Look("unclear", f"{where} could not be read either: call it before you send it again.")
        with move_on_after(LOOK_SECONDS):
            try:
                if made is not None and all(name in self.arguments for name in made.match):
                    return await self._listed(made, sent)
                return await self._acted_on(where, sent)
            except ApMcpError:
                return unread
        return unread

    async def _listed(self, made: Reconcile, sent: Sent) -> Look:
        """Search for what was perhaps created: by its name, or if it has none, for the newest that fits."""
        read = self.reads.catalog[made.operation]
        given = {name: self.arguments[name] for name in read.arguments if name in self.arguments}
        given = {name: value for name, value in given.items() if name not in made.match}
        body = (await self.reads.response(read, given)).body
        since = self._since(sent)
        found = [row for row in items(body, made.list) if self._fits(row, made, since)]
        named = [f"{name} {word(self.arguments[name])}" for name in (*made.match, *made.fits) if name in self.arguments]
        which = ["" if made.match else "newer than the call", f"with {' and '.join(named)}" if named else ""]
        what = " ".join(part for part in which if part)
        if not found:
            again = "call it again in a while before you send it again"
            return Look("unclear", f"{read.id} shows nothing {what} yet: {again}.")
        shown = "; ".join(_created(row, made, self.reads.now()) for row in found[:MOST_NAMED])
        after = "If that is what you wanted" if made.match else "If that is it, as is likely"
        return Look("unclear", f"{read.id} shows now, {what}: {shown}. {after}, do not send it again.")

    def _since(self, sent: Sent) -> datetime:
        """Return from when on the service may have created something for a request; to be asked after a read."""
        if sent.service_time:
            return sent.at - CLOCKS_DIFFER
        return self.reads.now() - (datetime.now(UTC) - sent.at) - TIME_UNKNOWN

    def _fits(self, row: Any, made: Reconcile, since: datetime) -> bool:
        if any(get(row, pointer) != self.arguments[name] for name, pointer in made.match.items()):
            return False
        if made.match:
            return True
        wanted = [
            (self.arguments[name], get(row, pointer)) for name, pointer in made.fits.items() if name in self.arguments
        ]
        if any(resolve_target(str(asked), [str(has)]) is None for asked, has in wanted):
            return False
        created = moment(get(row, made.created_at))
        return created is not None and created >= since

    async def _acted_on(self, where: str, sent: Sent) -> Look:
        """Read the thing that the call acts on."""
        read = self.reads.catalog[where]
        given = {name: value for name, value in self.arguments.items() if name in read.arguments}
        try:
            body = _thing(self.operation, await self.reads.read(where, **given), self.arguments)
        except NotFound:
            body = None
        if body is None:
            return self._gone(where, sent)
        if self._shows(where, body, sent):
            follow = how_to_wait(where, body, **{name: str(value) for name, value in given.items()})
            shown = body if self.operation.response_type == JSON else ""
            said = f"{self.operation.id} succeeded: its answer was lost, and {where} shows it done or under way."
            return Look("done", f"{said} {follow}".rstrip(), shown)
        return await self._compared(where, sent)

    def _gone(self, where: str, sent: Sent) -> Look:
        if self.operation.deletes and sent.impact:
            return Look(
                "done", f"{self.operation.id} succeeded: its answer was lost, and {where} finds the thing gone."
            )
        return Look("unclear", f"{where} finds nothing there now.")

    def _shows(self, where: str, body: Any, sent: Sent) -> bool:
        """Say whether the thing is as the call should have made it."""
        operation, wait = self.operation, self.reads.catalog[where].wait
        if operation.deletes and sent.impact and wait is not None and wait.operation == where:
            return wait.verdict(get(body, wait.phase_at)) == DELETING
        if operation.done is not None and sent.impact:
            return meets(operation.done, body)
        if named := operation.changes.get("cluster_tags"):
            return _tags_are(body, self.arguments[named])
        settings = operation.target.settings if operation.target else None
        if settings is not None and sent.call.body:
            return _holds(get(body, settings) if settings else body, json.loads(sent.call.body))
        return False

    async def _compared(self, where: str, sent: Sent) -> Look:
        """Say whether all that a person was shown is still so."""
        if not sent.impact:
            seen = await self.reads.effect_facts(self.operation, self.arguments)
            if subject_of(self.operation, self.arguments, seen=seen).effects & GUARDED:
                return self._changed(where)
            if self.operation.deletes or not self.operation.idempotent:
                return Look("unclear", f"{where} shows how it is now: read it before you send it again.")
            return Look("as before", f"{where} does not show the change: call it before you send it again.")
        clock = self.reads.now
        case = guard.Case(self.operation, self.arguments, sent.effect, self.reads.tell, clock, self.files)
        try:
            same = (await guard.build_impact(case)).fingerprint() == sent.impact
        except CallRefused:
            same = False
        if same:
            said = "shows all as it was before the call: it was not carried out, or that does not show yet."
            return Look("as before", f"{where} {said} Read it again before you repeat the call.")
        return self._changed(where)

    @staticmethod
    def _changed(where: str) -> Look:
        said = "What it acts on is no longer as it was when the call was sent, so it was not sent again:"
        return Look("unclear", f"{said} {where} shows whether the call did that, or something else.")


def _thing(operation: Operation, body: Any, arguments: Mapping[str, Any]) -> Any:
    """Return the thing that a call acts on out of what its read answers; None if a list does not have it."""
    target = operation.target
    if target is None or target.item is None:
        return body
    wanted = arguments[target.argument]
    return next((each for each in items(body, target.item.list) if get(each, target.item.id) == wanted), None)


def _tags_are(cluster: Any, wanted: Any) -> bool:
    try:
        tags = exact_tags(cluster)
    except LookupError:
        return False
    if isinstance(wanted, Mapping):
        return all(tags.get(key) == value for key, value in wanted.items())
    return not set(wanted) & set(tags)


def _holds(has: Any, wanted: Any) -> bool:
    """Say whether settings are all that was sent; what was not sent is no matter."""
    if isinstance(wanted, Mapping):
        return isinstance(has, Mapping) and all(_holds(has.get(key), value) for key, value in wanted.items())
    return bool(has == wanted)


def _created(row: Any, made: Reconcile, now: datetime) -> str:
    since = age(moment(get(row, made.created_at)), now)
    return f"{word(get(row, made.id))}{f', created {since} ago' if since else ''}"
