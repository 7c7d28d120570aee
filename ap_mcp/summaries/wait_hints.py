"""Leads from what was started, or is still under way, to the wait for its end, by what the specs say about phases."""

from typing import Any, TypeVar

from ap_mcp.specs import load_catalog
from ap_mcp.specs.waits import Wait
from ap_mcp.summaries.base import NextCall, Observation, Result
from ap_mcp.vendor import get, text, word

WAIT_FOR = "wait_for"
STARTED = "It takes a while: tells when it has ended, and how"
UNDER_WAY = "It is not done yet: tells when it has ended, and how"
LEAVING = "It takes a while: tells when it is gone"

ResultT = TypeVar("ResultT", bound=Result)


def followed(answer: Observation, result: ResultT) -> ResultT:
    """Return a result that proposes to wait, if the call has started something or shows it under way."""
    call = wait_call(answer)
    return result if call is None else result.model_copy(update={"next": [call, *result.next]})


def wait_call(answer: Observation) -> NextCall | None:
    """Return the call that waits for what an answer is about; None if nothing is under way, or nobody can tell."""
    operation, wait = answer.operation, answer.operation.wait
    if wait is None or wait.kind is None or (wait.skip_if and answer.arguments.get(wait.skip_if) is True):
        return None
    reads = operation.id == wait.operation
    phase = text(get(answer.body, wait.phase_at))
    if reads and (wait.item or not phase or wait.ends(phase)):
        return None
    arguments = _arguments(answer, wait)
    if arguments is None:
        return None
    gone = _is_leaving(answer, wait, phase) if reads else _removes(answer, wait)
    why = LEAVING if gone else UNDER_WAY if reads else STARTED
    return NextCall(tool=WAIT_FOR, arguments={**arguments, **({"gone": True} if gone else {})}, why=why)


def how_to_wait(tool: str, body: Any, **arguments: str) -> str:
    """Return a sentence that leads to the wait for what a read showed under way; empty if nothing is.

    Args:
        tool: the read.
        body: what it answered.
        arguments: what it was asked with.
    """
    call = wait_call(Observation(load_catalog()[tool], arguments, body))
    if call is None:
        return ""
    given = ", ".join(f"{name}={_written(value)}" for name, value in call.arguments.items())
    return f"{call.tool}({given}) tells when it {'is gone' if 'gone' in call.arguments else 'has ended'}."


def _written(value: str | bool) -> str:
    if value is True:
        return "true"
    shown = word(value)
    return shown if shown.startswith('"') else f'"{shown}"'


def _arguments(answer: Observation, wait: Wait) -> dict[str, str] | None:
    """Return what names the thing to `wait_for`: its id, then where it is, or what it is about if that is told."""
    about = wait.resource.argument if wait.resource else {}
    places = dict(wait.argument) if answer.operation.id != wait.operation else {**wait.argument, **about}
    found = {name: text(_value(answer, place)) for name, place in places.items()}
    if any(not value for name, value in found.items() if name not in about):
        return None
    where = {name: value for name, value in found.items() if value and name != wait.takes_id}
    return {"kind": wait.kind or "", "id": found[wait.takes_id], **where}


def _value(answer: Observation, place: str) -> Any:
    name = place.removeprefix("$arguments.")
    return get(answer.body, place) if name == place else answer.arguments.get(name)


def _is_leaving(answer: Observation, wait: Wait, phase: str) -> bool:
    work = wait.resource
    return phase in wait.deleting or (work is not None and get(answer.body, work.type_at) in work.deletion_types)


def _removes(answer: Observation, wait: Wait) -> bool:
    """Say whether a call deletes what is waited for, or what the work that is waited for is about."""
    operation = answer.operation
    about = {wait.operation, wait.resource.operation if wait.resource else wait.operation}
    return operation.method == "DELETE" and operation.target is not None and operation.target.read in about
