"""What can be waited for, and what one call waits for: taken from what the specs say about phases."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

from ap_mcp.errors import CallRefused, NotFound, Problem
from ap_mcp.masking import mask
from ap_mcp.rules.wait_hints import DELETED, ENDED, UNTIL
from ap_mcp.specs import Catalog, Operation, tokens
from ap_mcp.specs.waits import DELETING, FAILURE, IDLE, SUCCESS, PhaseVerdict, Wait
from ap_mcp.summaries.base import ALONE
from ap_mcp.vendor import get, items, text, word
from ap_mcp.wait import PARENTS, USUAL
from ap_mcp.wording import in_quotes, is_plain

ReadKey: TypeAlias = tuple[str, tuple[tuple[str, Any], ...]]
"""An operation and its arguments."""
WaitVerdict: TypeAlias = Literal["succeeded", "failed", "running", "idle"]
RUNNING: Final = "running"
_VERDICTS: Mapping[PhaseVerdict | None, WaitVerdict] = {SUCCESS: "succeeded", FAILURE: "failed", IDLE: "idle"}
"""Any other phase, an unknown one included, is no end."""


@dataclass(frozen=True, slots=True)
class Waitable:
    """A kind of thing that can be waited for.

    Attributes:
        read: the operation that reads it.
        wait: what its phases mean.
        removal: what they mean while it is being deleted, if the specs say so.
        can_be_deleted: there is an operation that deletes it, or what it is about.
        lister: the operation that lists such things, if there is one.
        about: what it is about, if it may be forgotten before it is read.
    """

    kind: str
    read: Operation
    wait: Wait
    removal: Wait | None
    can_be_deleted: bool
    lister: str = ""
    about: "Waitable | None" = None

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments of the read; one takes the id, unless a list is read and searched for it."""
        return tuple(name for name in self.read.arguments if name in self.wait.argument)

    @property
    def parents(self) -> tuple[str, ...]:
        """Those among them that say where the thing is."""
        return tuple(name for name in self.names if name != self.wait.id)

    @property
    def required(self) -> tuple[str, ...]:
        """Those among these that cannot be found by the name of the thing."""
        return tuple(name for name in self.parents if self.read.arguments[name].required is not False)

    @property
    def optional(self) -> tuple[str, ...]:
        """Arguments beyond them that name what it is about."""
        return self.about.names if self.about else ()


class Target(Protocol):
    """What one call waits for: something whose reads say whether it has ended, and how."""

    @property
    def kind(self) -> str:
        """The kind of thing."""

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments of the call."""

    @property
    def name(self) -> str:
        """The thing in a sentence."""

    @property
    def operation(self) -> str:
        """The name of the read, by which an error says what was missing."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the read."""

    @property
    def interval(self) -> float:
        """The longest pause between two reads, in seconds."""

    @property
    def seconds(self) -> float:
        """How long to wait at most."""

    @property
    def until_deleted(self) -> bool:
        """Whether the end is that it no longer exists."""

    def verdict(self, body: Any, *, was_deleting: bool = False) -> WaitVerdict:
        """Judge an answer."""

    def is_being_deleted(self, body: Any) -> bool:
        """Say whether an answer shows the thing while it is being deleted."""

    def is_running(self, body: Any) -> bool:
        """Say whether an answer shows that something is under way; what is paused or not known does not say so."""

    @property
    def can_be_deleted(self) -> bool:
        """Whether a call can wait until it is deleted."""

    def instead(self, body: Any = None) -> Self | None:
        """Return what to wait for if it is forgotten; None if that is not known."""

    def explained(self, error: NotFound) -> NotFound:
        """Add to an error, that there is no such thing, what can be done about it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one call waits for, and how long.

    Attributes:
        given: the arguments of the call.
        instead_of: the order whose thing is forgotten; this one reads what that was about.
    """

    waitable: Waitable
    given: Mapping[str, Any]
    instead_of: "Order | None" = None

    @property
    def read(self) -> Operation:
        """The operation that reads."""
        return self.waitable.read

    @property
    def kind(self) -> str:
        """The kind of thing."""
        return self.waitable.kind

    @property
    def operation(self) -> str:
        """The name of the read, by which an error says what was missing."""
        return self.read.id

    @property
    def interval(self) -> float:
        """The longest pause between two reads, in seconds."""
        return float(self.waitable.wait.interval_s)

    @property
    def id(self) -> str:
        """The id of the thing."""
        return str(self.given["id"])

    @property
    def name(self) -> str:
        """The thing in a sentence."""
        return f"{self.waitable.kind.replace('_', ' ')} {in_quotes(self.id)}"

    @property
    def until_deleted(self) -> bool:
        """Whether the end is that it no longer exists; of a job, it is what the job is about that must be deleted."""
        return self._asks_for_deletion and self.waitable.about is None

    @property
    def _asks_for_deletion(self) -> bool:
        return self.given.get(UNTIL) == DELETED

    @property
    def seconds(self) -> float:
        """How long to wait at most."""
        return float(self.given.get("wait_s", USUAL))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the read."""
        known = {**self.given, self.waitable.wait.id: self.id}
        return {name: known[name] for name in self.waitable.names if name in known}

    @property
    def key(self) -> ReadKey:
        """What is read, in a form that can be a key."""
        return self.read.id, tuple(self.arguments.items())

    def instead(self, body: Any = None) -> "Order | None":
        """Return the order to read what the thing is about; None if that is not known.

        Args:
            body: the last answer about the thing, if there was one; it knows best.
        """
        about, rules = self.waitable.about, self.waitable.wait.resource
        if about is None or rules is None:
            return None
        known = {name: _id_at(body, place) or self.given.get(name) for name, place in rules.argument.items()}
        if not all(isinstance(value, str) and value for value in known.values()):
            return None
        where = {name: value for name, value in known.items() if name in about.parents}
        removal = self._asks_for_deletion or get(body, rules.type_at) in rules.deletion_types
        until = DELETED if removal else ENDED
        given = {"kind": about.kind, "id": known[about.wait.id], **where, "wait_s": self.seconds, UNTIL: until}
        return Order(about, given, self)

    def explained(self, error: NotFound) -> NotFound:
        """Add to an error, that there is no such thing, what can be done about it."""
        hint, about = "", self.waitable.about
        if self.instead_of is not None:
            hint = (
                f"The {self.name} that it was about does not exist either: whether it was deleted or never existed "
                f"cannot be known. {self.waitable.lister} shows what there is."
            )
        elif about is not None:
            hint = (
                f"A {self.kind} is forgotten some time after its end: give {' and '.join(about.names)} to "
                f"learn how its {about.kind} is, or read it with {about.read.id} or {about.lister}."
            )
        elif self.waitable.can_be_deleted:
            hint = 'To wait until something is deleted, give until="deleted".'
        error.hint = f"{error.hint} {hint}".strip()
        return error

    @property
    def beside(self) -> Mapping[str, Any]:
        """What a summary goes by: of a list, that the thing is the only one that was left in it."""
        return {} if self.waitable.wait.item is None else {ALONE: self.id}

    def narrowed(self, body: Any) -> Any:
        """Return an answer with nothing but the thing in it, if it is a list; one that holds no list says nothing.

        Raises:
            CallRefused: the list does not hold it.
        """
        item = self.waitable.wait.item
        if item is None or not isinstance(get(body, item.list), list):
            return body
        every = items(body, item.list)
        kept = [each for each in every if get(each, item.id) == self.id]
        if not kept:
            ids = ", ".join(word(get(each, item.id)) for each in every[-10:]) or "none"
            raise CallRefused(f"{self.read.id} shows no {self.waitable.kind} {in_quotes(self.id)}. It shows: {ids}.")
        return _replaced(body, tokens(item.list), kept)

    def verdict(self, body: Any, *, was_deleting: bool = False) -> WaitVerdict:
        """Judge an answer by the phase in it; an unknown phase is no end.

        Args:
            body: the answer.
            was_deleting: an answer before it showed the thing while it was being deleted.
        """
        wait, removal = self.waitable.wait, self.waitable.removal
        phase = get(body, wait.phase_at)
        if not self.until_deleted:
            return _judged(wait, phase)
        if removal is not None and (found := _judged(removal, phase)) != RUNNING:
            return found
        # A deletion that is forgotten, or no longer goes on, has ended: what is idle then was not deleted.
        return "failed" if (was_deleting or self.instead_of) and wait.ends(phase) else RUNNING

    def is_being_deleted(self, body: Any) -> bool:
        """Say whether an answer shows the thing while it is being deleted."""
        return self.waitable.wait.verdict(get(body, self.waitable.wait.phase_at)) == DELETING

    def is_running(self, body: Any) -> bool:
        """Say whether an answer shows that something is under way; what is paused or not known does not say so."""
        wait, phase = self.waitable.wait, get(body, self.waitable.wait.phase_at)
        return wait.under_way(phase) and phase not in wait.groups.get("paused", ())

    @property
    def can_be_deleted(self) -> bool:
        """Whether a call can wait until it is deleted."""
        return self.waitable.can_be_deleted


def waitables(operations: Iterable[Operation], catalog: Catalog) -> dict[str, Waitable]:
    """Return by its kind whatever can be waited for with some operations.

    What deletes a thing, and what reads what it is about, is found in the catalog.
    """
    return {kind: _waitable(kind, read, catalog) for read in operations if (kind := read.awaited_as)}


def misfits(known: Mapping[str, Waitable], arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what is wrong with arguments of `wait_for` because of the kind that is waited for."""
    kind = arguments.get("kind")
    waitable = known.get(kind) if isinstance(kind, str) else None
    if waitable is None:
        return
    for name in PARENTS:
        if name in waitable.required and name not in arguments:
            yield Problem(name, f"is required for kind {kind}")
        if name not in (*waitable.parents, *waitable.optional) and name in arguments:
            yield Problem(name, f"must not be given for kind {kind}")
    if arguments.get(UNTIL) == DELETED and not waitable.can_be_deleted:
        can = ", ".join(each.kind for each in known.values() if each.can_be_deleted)
        yield Problem(UNTIL, f"must not be {DELETED} for kind {kind}, which cannot be deleted; for these it may: {can}")


def misfits_inside(arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what is wrong with arguments of `wait_for` for a thing inside a cluster."""
    kind, cluster = arguments.get("kind"), PARENTS[0]
    if cluster not in arguments:
        yield Problem(cluster, f"is required for kind {kind}")
    if arguments.get(UNTIL) == DELETED:
        yield Problem(UNTIL, f"must not be {DELETED} for kind {kind}; k8s_get shows whether it is gone")


def _waitable(kind: str, read: Operation, catalog: Catalog) -> Waitable:
    wait = read.wait
    if wait is None:
        raise ValueError(f"{read.id} has no wait of its own")
    removals = [each.wait for each in catalog.deletions_of(read.id)]
    ends = (each for each in removals if each is not None and each.operation == read.id)
    about = None
    if wait.resource is not None:
        resource = catalog[wait.resource.operation]
        about = _waitable(resource.awaited_as or resource.id, resource, catalog)
    above = read.path.rpartition("/")[0]
    lister = next((each.id for each in catalog.values() if each.method == "GET" and each.path == above), "")
    can_be_deleted = bool(removals) or (about is not None and about.can_be_deleted)
    return Waitable(kind, read, wait, next(ends, None), can_be_deleted, lister, about)


def _id_at(body: Any, place: str) -> str:
    """Return the id that stands in an answer; empty if it is none, for it becomes a part of calls and sentences."""
    shown = text(mask(get(body, place)))
    return shown if is_plain(shown) else ""


def _judged(wait: Wait, phase: Any) -> WaitVerdict:
    return _VERDICTS.get(wait.verdict(phase), RUNNING)


def _replaced(body: Any, path: Sequence[str], value: Any) -> Any:
    """Copy an answer with another value at the end of a path."""
    if not path or not isinstance(body, Mapping):
        return value
    return {**body, path[0]: _replaced(body.get(path[0]), path[1:], value)}
