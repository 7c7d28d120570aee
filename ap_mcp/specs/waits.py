"""What the specs say about how things end: which phase means what, and where it is read."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

PhaseVerdict: TypeAlias = Literal["success", "failure", "transitional", "idle", "deleting"]

SUCCESS: Final = "success"
FAILURE: Final = "failure"
TRANSITIONAL: Final = "transitional"
IDLE: Final = "idle"
DELETING: Final = "deleting"
PHASE_VERDICTS: tuple[PhaseVerdict, ...] = (SUCCESS, FAILURE, TRANSITIONAL, IDLE, DELETING)
NOTHING: Mapping[str, Any] = MappingProxyType({})
"""What a mapping is that an operation does not state."""
ENTRY = "id"
"""What a `wait` may call the id of a list's entry, for no argument of the list takes it."""


class Item(NamedTuple):
    """The entry of a list that is waited for: where the list stands, where an entry has its id."""

    list: str
    id: str


class Resource(NamedTuple):
    """What some work is about, which says how it ended once the work itself is forgotten.

    Attributes:
        operation: reads the resource.
        argument: its arguments, as pointers into the answer about the work.
        type_at: where that answer says what kind of work it is.
        deletion_types: kinds of work that remove the resource.
    """

    operation: str
    argument: Mapping[str, str]
    type_at: str
    deletion_types: tuple[str, ...]


class _Stated(NamedTuple):
    """What the specs state of a wait.

    Attributes:
        operation: reads the phase.
        argument: its arguments, those of the resource, and the `id` of a list's entry: pointers or `$arguments`.
        phase_at: where the phase stands.
        interval_s: seconds between reads.
        success: phases that are a good end.
        failure: phases that are a bad one.
        transitional: phases in which something is under way that ends by itself.
        idle: phases in which nothing is under way, and only another call changes that.
        deleting: phases of something that is being deleted.
        groups: further facts of the API that hold in some phases, by name.
        wording: how a phase is said after the name of the thing.
        aliases: other spellings of phases.
        item: the entry, if a list is read.
        resource: what the thing is about, if the thing itself is soon forgotten.
        skip_if: an argument that, if true, starts nothing.
        kind: what wait_for calls such a thing; None if nothing can be waited for in this way.
        id: the argument that names the thing itself; the others say where it is.
    """

    operation: str
    argument: Mapping[str, str]
    phase_at: str
    interval_s: int
    success: tuple[str, ...]
    failure: tuple[str, ...]
    transitional: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    deleting: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = NOTHING
    wording: Mapping[str, str] = NOTHING
    aliases: Mapping[str, str] = NOTHING
    item: Item | None = None
    resource: Resource | None = None
    skip_if: str | None = None
    kind: str | None = None
    id: str = ENTRY


class Wait(_Stated):
    """How to know that what an operation started has ended; on a reading operation, that what it reads has."""

    def verdict(self, phase: Any) -> PhaseVerdict | None:
        """Return what a phase means; None if the specs do not know it."""
        return self._verdicts.get(self._spelled(phase) or "")

    def ends(self, phase: Any) -> bool:
        """Say whether nothing is under way in a phase; an unknown phase is no end."""
        return self.verdict(phase) in (SUCCESS, FAILURE, IDLE)

    def under_way(self, phase: Any) -> bool:
        """Say whether something is under way in a phase, a deletion included; an unknown phase does not say so."""
        return self.verdict(phase) in (TRANSITIONAL, DELETING)

    def holds(self, group: str, phase: Any) -> bool:
        """Say whether a further fact holds in a phase.

        Raises:
            KeyError: the specs do not state such a fact.
        """
        return self._spelled(phase) in self.groups[group]

    def described(self, phase: str) -> str:
        """Return how a phase is said after the name of the thing; empty if the specs have no words for it."""
        return self.wording.get(self._spelled(phase) or "", "")

    def _spelled(self, phase: Any) -> str | None:
        """Return a phase as the specs spell it; letter case and hyphens differ between services, and from Helm."""
        if not isinstance(phase, str):
            return None
        known = phase if phase in self._known else self._alike.get(_bare(phase), phase)
        return self.aliases.get(known, known)

    # A check has hundreds of items, each with its phase: what the lists say is turned around once.
    @cached_property
    def _verdicts(self) -> Mapping[str, PhaseVerdict]:
        return {phase: each for each in reversed(PHASE_VERDICTS) for phase in getattr(self, each)}

    @cached_property
    def _known(self) -> dict[str, None]:
        return dict.fromkeys((*self.aliases, *(phase for each in PHASE_VERDICTS for phase in getattr(self, each))))

    @cached_property
    def _alike(self) -> Mapping[str, str]:
        return {_bare(phase): phase for phase in reversed(self._known)}


def _bare(phase: str) -> str:
    return phase.strip().lower().replace("-", "_")


def own_waits(operations: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return, by operation, how those that can be waited on themselves say the end; others refer to them."""
    found: dict[str, Mapping[str, Any]] = {}
    for raw in operations:
        wait = raw.get("x-ap-mcp", {}).get("wait", {})
        if wait and wait.get("operation") == raw.get("operationId"):
            found[raw["operationId"]] = wait
    return found


def read_wait(value: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> Wait:
    """Read a wait; what it leaves out stands at the operation that it reads with.

    Raises:
        KeyError: it stands nowhere.
    """
    base = own.get(value["operation"], {})
    whole = {**base, **value, **_phases(value, base)}
    parts: dict[str, Any] = {}
    if "item" in whole:
        parts["item"] = Item(**whole["item"])
    if "resource" in whole:
        types = tuple(whole["resource"]["deletion_types"])
        parts["resource"] = Resource(**{**whole["resource"], "deletion_types": types})
    return Wait(
        operation=whole["operation"],
        argument=whole["argument"],
        phase_at=whole["phase_at"],
        interval_s=whole["interval_s"],
        success=tuple(whole["success"]),
        failure=tuple(whole["failure"]),
        transitional=tuple(whole.get(TRANSITIONAL, ())),
        idle=tuple(whole.get(IDLE, ())),
        deleting=tuple(whole.get(DELETING, ())),
        groups=MappingProxyType({name: tuple(phases) for name, phases in whole.get("groups", {}).items()}),
        wording=MappingProxyType(whole.get("wording", {})),
        aliases=MappingProxyType(whole.get("aliases", {})),
        skip_if=whole.get("skip_if"),
        kind=whole.get("kind"),
        id=whole.get("id", ENTRY),
        **parts,
    )


def _phases(value: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lists that change where an operation says its own success and failure of what another reads.

    Before a deletion has ended, any other phase is one in which the thing is still there: all that the operation
    does not list is under way.
    """
    if value is base or not base or not any(each in value for each in PHASE_VERDICTS):
        return {}
    kept = {each: value.get(each, base.get(each, ())) for each in (SUCCESS, FAILURE, DELETING)}
    kept[IDLE] = value.get(IDLE, ())
    listed = {phase for phases in kept.values() for phase in phases}
    every = [phase for each in PHASE_VERDICTS for phase in base.get(each, ())]
    return {**kept, TRANSITIONAL: [phase for phase in every if phase not in listed]}
