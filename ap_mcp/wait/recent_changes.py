"""Remembers for a moment what was changed through this server, for the cloud may still show how it was before."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ap_mcp.specs import Catalog, Operation
from ap_mcp.summaries.base import Observation
from ap_mcp.summaries.wait_hints import wait_call
from ap_mcp.wait.poller import Now
from ap_mcp.wait.targets import Order

MOMENT = 10.0
"""Seconds in which an answer may be older than the change."""
MOST = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A change: when, of what subject, the look at what was changed, what names that, and the id of what it made."""

    at: float
    subject: str
    read: str
    named: Mapping[str, Any]
    made: str

    def concerns(self, read: Operation, arguments: Mapping[str, Any]) -> bool:
        """Say whether a look is at what was changed, or at something of the same subject in it."""
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
        self._changed: deque[Change] = deque(maxlen=MOST)

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
            call = wait_call(answer) if wait and wait.argument.get(wait.takes_id, "").startswith("/") else None
            made = call.arguments["id"] if call else ""
            self._changed.append(Change(self._now(), operation.subject, read.id, named, made))

    def concerns(self, order: Order, arguments: Mapping[str, Any]) -> bool:
        """Say whether a thing, or what it is in, was changed a moment ago; what was made since shows nothing older.

        Args:
            order: what is waited for.
            arguments: of the look, with names replaced by ids.
        """
        oldest = self._now() - MOMENT
        for each in reversed(self._changed):
            if each.at < oldest or each.made == order.id:
                return False
            if each.concerns(order.read, arguments):
                return True
        return False
