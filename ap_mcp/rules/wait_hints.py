"""Leads from what was started, or is still under way, to the wait for its end, by what the specs say about phases."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ap_mcp.specs import Operation, load_catalog
from ap_mcp.specs.waits import DELETING, Wait
from ap_mcp.vendor import get, text, word

WAIT_FOR = "wait_for"
UNTIL, ENDED, DELETED = "until", "ended", "deleted"
"""The argument of wait_for that says which end is meant, and its two values."""
STARTED = "It takes a while: says when it has ended, and how"
UNDER_WAY = "It is not done yet: says when it has ended, and how"
NOT_KNOWN = "Its phase is not known here: says whether it comes to an end that is, and how"
BEING_DELETED = "It takes a while: says when it is deleted"


class WaitHint(NamedTuple):
    """The call of wait_for that fits an answer: its arguments, and why it makes sense."""

    arguments: Mapping[str, str]
    why: str


def wait_hint(operation: Operation, given: Mapping[str, Any], body: Any) -> WaitHint | None:
    """Return the wait for what an answer is about; None if nothing is under way, or the answer does not name it.

    Args:
        operation: what was called.
        given: its arguments.
        body: what it answered.
    """
    wait = operation.wait
    if wait is None or wait.kind is None or (wait.skip_if and given.get(wait.skip_if) is True):
        return None
    reads = operation.id == wait.operation
    phase = text(get(body, wait.phase_at))
    if reads and (wait.item or not phase or wait.ends(phase)):
        return None
    arguments = _arguments(operation, given, body)
    if arguments is None:
        return None
    deleting = _is_being_deleted(wait, body, phase) if reads else _removes(operation, wait)
    going = UNDER_WAY if wait.verdict(phase) is not None else NOT_KNOWN
    why = BEING_DELETED if deleting else going if reads else STARTED
    return WaitHint({**arguments, **({UNTIL: DELETED} if deleting else {})}, why)


def how_to_wait(tool: str, body: Any, **arguments: str) -> str:
    """Return a sentence that leads to the wait for what a read showed under way; empty if nothing is.

    Args:
        tool: the read.
        body: what it answered.
        arguments: what it was asked with.
    """
    hint = wait_hint(load_catalog()[tool], arguments, body)
    if hint is None:
        return ""
    given = ", ".join(f"{name}={_written(value)}" for name, value in hint.arguments.items())
    return f"{WAIT_FOR}({given}) says when it {'is deleted' if UNTIL in hint.arguments else 'has ended'}."


def _written(value: str) -> str:
    shown = word(value)
    return shown if shown.startswith('"') else f'"{shown}"'


def _arguments(operation: Operation, given: Mapping[str, Any], body: Any) -> dict[str, str] | None:
    """Return what names the thing to `wait_for`: its id, then where it is, or what it is about if that is reported."""
    wait = operation.wait
    if wait is None:
        return None
    about = wait.resource.argument if wait.resource else {}
    places = dict(wait.argument) if operation.id != wait.operation else {**wait.argument, **about}
    found = {name: text(_value(given, body, place)) for name, place in places.items()}
    if any(not value for name, value in found.items() if name not in about):
        return None
    where = {name: value for name, value in found.items() if value and name != wait.id}
    return {"kind": wait.kind or "", "id": found[wait.id], **where}


def _value(given: Mapping[str, Any], body: Any, place: str) -> Any:
    name = place.removeprefix("$arguments.")
    return get(body, place) if name == place else given.get(name)


def _is_being_deleted(wait: Wait, body: Any, phase: str) -> bool:
    work = wait.resource
    return wait.verdict(phase) == DELETING or (work is not None and get(body, work.type_at) in work.deletion_types)


def _removes(operation: Operation, wait: Wait) -> bool:
    """Say whether a call deletes what is waited for, or what the work that is waited for is about."""
    about = {wait.operation, wait.resource.operation if wait.resource else wait.operation}
    return operation.deletes and operation.target is not None and operation.target.read in about
