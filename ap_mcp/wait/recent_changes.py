"""Remembers for a moment what was changed through this server, for the cloud may still show how it was before."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ap_mcp.rules.wait_hints import wait_hint
from ap_mcp.specs import Catalog, Operation
from ap_mcp.summaries.base import Observation
from ap_mcp.wait import Now

if TYPE_CHECKING:
    from ap_mcp.wait.targets import Order

MOMENT = 10.0
"""Seconds in which an answer may be older than the change."""
MOST = 200


class RecentChange(NamedTuple):
    """A change: when, of what subject, the read of what was changed, what names that, and the id of what it made."""

    at: float
    subject: str
    read: str
    named: Mapping[str, Any]
    made: str

    def concerns(self, read: Operation, arguments: Mapping[str, Any]) -> bool:
        """Say whether a read is of what was changed, or of something of the same subject in it."""
        near = read.id == self.read or read.subject == self.subject
        return near and self.named.items() <= arguments.items()


class Recent:
    """The changes of the last moment.

    Args:
        catalog: all operations.
        now: the clock, in seconds.
    """

    def __init__(self, catalog: Catalog, now: Now) -> None:
        self._catalog = catalog
        self._now = now
        self._changed: deque[RecentChange] = deque(maxlen=MOST)

    def note(self, answer: Observation) -> None:
        """Remember what a call has changed, if it was a change."""
        operation, given = answer.operation, answer.arguments
        wait = operation.wait
        idle = wait is not None and wait.skip_if is not None and given.get(wait.skip_if) is True
        if operation.effect in ("read", "secret") or operation.target is None or idle:
            return
        read = self._catalog[operation.target.read]
        if read.wait:
            named = {name: given.get(name) for name in read.wait.argument}
            named_in_answer = wait is not None and wait.argument.get(wait.id, "").startswith("/")
            hint = wait_hint(operation, given, answer.body) if named_in_answer else None
            made = hint.arguments["id"] if hint else ""
            self._changed.append(RecentChange(self._now(), operation.subject, read.id, named, made))

    def concerns(self, order: "Order", arguments: Mapping[str, Any]) -> bool:
        """Say whether a thing, or what it is in, was changed a moment ago; what was made since shows nothing older.

        Args:
            order: what is waited for.
            arguments: of the read, with names replaced by ids.
        """
        oldest = self._now() - MOMENT
        for each in reversed(self._changed):
            if each.at < oldest or each.made == order.id:
                return False
            if each.concerns(order.read, arguments):
                return True
        return False
