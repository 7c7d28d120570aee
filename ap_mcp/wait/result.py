"""How a wait ended, as an agent is told: around what the reading tool says."""

from typing import Any

from pydantic import Field

from ap_mcp.summaries.base import COMMON_FIELDS, NextCall, Result
from ap_mcp.summaries.wait_hints import WAIT_FOR
from ap_mcp.wait.poller import Ending
from ap_mcp.wait.targets import Order, Verdict
from ap_mcp.wording import span


class Waited(Result):
    """How a wait ended: what the reading tool says of the thing, and whether that is the end of it."""

    settled: bool = False
    verdict: Verdict = "running"
    waited: str = ""
    found: dict[str, Any] = Field(default_factory=dict)


def waited(order: Order, ending: Ending[Any], result: Result | None) -> Waited:
    """Shape how a wait ended.

    Args:
        order: what was waited for.
        ending: how that ended.
        result: what the reading tool says; None stands for a thing that no longer exists.
    """
    took, doubts = span(ending.seconds), [ending.doubt] if ending.doubt else []
    forgotten = f"The {order.name} is no longer known" if ending.order is not order else ""
    if result is None:
        gone = f"{ending.order.name} is gone."
        said = f"{forgotten}; the {gone}" if forgotten else f"The {gone}"
        return Waited(summary=said, settled=True, verdict="succeeded", waited=took, warnings=doubts)
    kind = ending.order.waitable.kind
    about = f"{forgotten}, so how it ended is not told; this is how its {kind} is now. " if forgotten else ""
    ended = Waited(
        summary=f"{_opening(ending, took)}{about}{result.summary}",
        settled=ending.verdict in ("succeeded", "failed"),
        verdict=ending.verdict,
        waited=took,
        found={name: value for name, value in result.structured().items() if name not in COMMON_FIELDS},
        warnings=[*doubts, *result.warnings],
        next=[each for each in result.next if not forgotten or each.tool != order.read.id],
        request_id=result.request_id,
        raw=result.raw,
    )
    if ending.verdict != "running":
        return ended
    others = [each for each in ended.next if each.tool != WAIT_FOR]
    return ended.model_copy(update={"next": [_again(order, ending), *others]})


def _opening(ending: Ending[Any], took: str) -> str:
    """Say what there is to say before what the reading tool says: nothing about an end."""
    if ending.verdict == "idle":
        return "Nothing is under way, so waiting on changes nothing: what comes next is a call of yours. "
    if ending.verdict != "running":
        return "It was not deleted. " if ending.verdict == "failed" and ending.order.gone else ""
    if ending.stale:
        return "Perhaps not over: it was changed a moment ago, which may not show yet; call wait_for again. "
    if not ending.order.gone:
        return f"Still running after {took}; call wait_for again. "
    leaves = ending.seen is not None and ending.order.is_leaving(ending.seen.body)
    return f"Still there after {took}{'' if leaves else ', and not shown as being deleted'}; call wait_for again. "


def _again(order: Order, ending: Ending[Any]) -> NextCall:
    """Return the call that waits on; it holds what was learned about a thing that may be forgotten by then."""
    arguments = {name: value for name, value in order.given.items() if name != "wait_s" or value}
    body = ending.seen.body if ending.order is order and ending.seen is not None else None
    instead = ending.order if ending.order is not order else order.instead(body)
    if instead is not None:
        arguments |= instead.arguments | ({"gone": True} if instead.gone else {})
    return NextCall(tool=WAIT_FOR, arguments=arguments, why="waits on")
