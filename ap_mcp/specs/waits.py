"""What the specs say about how things end: which phase means what, and where it is looked up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ENTRY = "id"
"""What a `wait` calls the id of a list's entry, for no argument of the list takes it."""


@dataclass(frozen=True, slots=True)
class Item:
    """The entry of a list that is waited for: what it is called, where the list stands, where an entry has its id."""

    kind: str
    list: str
    id: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What some work is about, which tells how it ended once the work itself is forgotten.

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


@dataclass(frozen=True, slots=True)
class Wait:
    """How to know that what an operation started has ended; on a reading operation, that what it reads has.

    Attributes:
        operation: looks.
        argument: its arguments, those of the resource, and the `id` of a list's entry: pointers or `$arguments`.
        phase_at: where the phase stands.
        success: phases that are a good end.
        failure: phases that are a bad one.
        interval_s: seconds between looks.
        item: the entry, if a list is looked at.
        idle: phases in which nothing is under way, and only another call brings things on.
        deleting: phases of something that is being deleted.
        resource: what the thing is about, if the thing itself is soon forgotten.
        skip_if: an argument that, if true, starts nothing.
        kind: what can be waited for so; None if the operation does not tell by itself how things end.
        takes_id: the argument that names the thing itself; the others say where it is.
    """

    operation: str
    argument: Mapping[str, str]
    phase_at: str
    success: tuple[str, ...]
    failure: tuple[str, ...]
    interval_s: int
    item: Item | None = None
    idle: tuple[str, ...] = ()
    deleting: tuple[str, ...] = ()
    resource: Resource | None = None
    skip_if: str | None = None
    kind: str | None = None
    takes_id: str = ENTRY

    def ends(self, phase: Any) -> bool:
        """Say whether nothing is under way in a phase; of a phase that nobody told us about, nobody can say."""
        return phase in (*self.success, *self.failure, *self.idle)


def own_waits(operations: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return, by operation, how those that can be waited on themselves tell the end; others refer to them."""
    found: dict[str, Mapping[str, Any]] = {}
    for raw in operations:
        ours = raw.get("x-ap-mcp", {})
        wait = ours.get("wait", {})
        if wait and wait.get("operation") == raw.get("operationId"):
            names = [name for name in ours.get("arguments", {}) if name in wait.get("argument", {})]
            told = wait["item"].get("kind") if "item" in wait else ours.get("summary")
            takes = names[-1] if names and "item" not in wait else ENTRY
            found[raw["operationId"]] = {**wait, "kind": told, "takes_id": takes}
    return found


def read_wait(value: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> Wait:
    """Read a wait; what it leaves out stands at the operation that it looks with.

    Raises:
        KeyError: it stands nowhere.
    """
    whole = {**own.get(value["operation"], {}), **value}
    parts: dict[str, Any] = {}
    if "item" in whole:
        parts["item"] = Item(**whole["item"])
    if "resource" in whole:
        parts["resource"] = Resource(
            **{**whole["resource"], "deletion_types": tuple(whole["resource"]["deletion_types"])}
        )
    return Wait(
        operation=whole["operation"],
        argument=whole["argument"],
        phase_at=whole["phase_at"],
        success=tuple(whole["success"]),
        failure=tuple(whole["failure"]),
        interval_s=whole["interval_s"],
        idle=tuple(whole.get("idle", ())),
        deleting=tuple(whole.get("deleting", ())),
        skip_if=whole.get("skip_if"),
        kind=whole.get("kind"),
        takes_id=whole.get("takes_id", ENTRY),
        **parts,
    )
