"""How a wait ended, as an agent reads it: around what the reading tool says."""

from typing import Any

from ap_mcp.rules.wait_hints import DELETED, UNTIL, WAIT_FOR
from ap_mcp.summaries.base import COMMON_FIELDS, NextCall, Result
from ap_mcp.wait.poller import Ending, TargetT
from ap_mcp.wait.targets import RUNNING
from ap_mcp.wording import span


class Waited(Result):
    """How a wait ended: what the reading tool says of the thing, and whether that is the end of it.

    The verdict is that of the reading tool, so that one thing is called the same everywhere: a check that found nothing
    but risks is `ready_with_risks`. Where that tool has none, or the thing goes on, it says how the wait ended.
    """

    ended: bool
    verdict: str
    waited: str = ""
    found: dict[str, Any] | None = None


def waited(order: TargetT, ending: Ending[TargetT, Any], result: Result | None) -> Waited:
    """Shape how a wait ended.

    Args:
        order: what was waited for.
        ending: how that ended.
        result: what the reading tool says; None stands for a thing that no longer exists.
    """
    took, doubts = span(ending.seconds), [ending.doubt] if ending.doubt else []
    forgotten = f"The {order.name} is no longer known" if ending.order is not order else ""
    if result is None:
        deleted = f"{ending.order.name} no longer exists."
        said = f"{forgotten}; the {deleted}" if forgotten else f"The {deleted}"
        return Waited(summary=said, ended=True, verdict="succeeded", waited=took, warnings=doubts)
    kind = ending.order.kind
    about = f"{forgotten}, so how it ended is not known; this is how its {kind} is now. " if forgotten else ""
    shaped = Waited(
        summary=f"{_opening(ending, took)}{about}{result.summary}",
        ended=ending.verdict in ("succeeded", "failed"),
        verdict=_verdict(ending, result, order),
        waited=took,
        found={name: value for name, value in result.structured().items() if name not in COMMON_FIELDS},
        warnings=[*doubts, *result.warnings],
        next=[each for each in result.next if not forgotten or each.tool != order.operation],
        request_id=result.request_id,
        raw=result.raw,
    )
    if ending.verdict != RUNNING:
        return shaped
    others = [each for each in shaped.next if each.tool != WAIT_FOR]
    return shaped.model_copy(update={"next": [_again(order, ending), *others]})


def _verdict(ending: Ending[TargetT, Any], result: Result, order: TargetT) -> str:
    own = getattr(result, "verdict", None)
    is_own = ending.order is order and not order.until_deleted and ending.verdict != RUNNING
    return str(own) if own and is_own else ending.verdict


def _opening(ending: Ending[TargetT, Any], took: str) -> str:
    """Return what stands before the words of the reading tool; empty at a plain end."""
    if ending.verdict == "idle":
        return "Nothing is under way, so waiting longer changes nothing: what comes next is a call of yours. "
    if ending.verdict != RUNNING:
        return "It was not deleted. " if ending.verdict == "failed" and ending.order.until_deleted else ""
    if ending.stale:
        return "Perhaps not over: it was changed a moment ago, which may not show yet; call wait_for again. "
    deleting = ending.seen is not None and ending.order.is_being_deleted(ending.seen.body)
    if not ending.order.until_deleted:
        running = ending.seen is None or ending.order.is_running(ending.seen.body)
        goes_on = "Still running" if running else "No end that is known here"
        how = "Being deleted, and still there" if deleting else goes_on
        return f"{how} after {took}; call wait_for again. "
    return f"Still there after {took}{'' if deleting else ', and not shown as being deleted'}; call wait_for again. "


def _again(order: TargetT, ending: Ending[TargetT, Any]) -> NextCall:
    """Return the call that waits longer; it holds what was read about a thing that may be forgotten by then."""
    arguments = {name: value for name, value in order.given.items() if name != "wait_s" or value}
    body = ending.seen.body if ending.order is order and ending.seen is not None else None
    if body is not None and order.can_be_deleted and order.is_being_deleted(body):
        arguments[UNTIL] = DELETED  # any other end it will not have
    instead = ending.order if ending.order is not order else order.instead(body)
    if instead is not None:
        arguments |= {**instead.arguments} | ({UNTIL: DELETED} if instead.until_deleted else {})
    return NextCall(tool=WAIT_FOR, arguments=arguments, why="waits longer")
