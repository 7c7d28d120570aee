"""Sends a request that is more than a read, and finds out what became of it if no answer says so.

An answer is lost if the connection is cut, if a gateway gives up first (502, 503, 504), or if what comes under the
status of a success is empty or cannot be read. Then nothing is assumed: the plan of the call looks for what the request
should have done. It is sent again only if that does no harm and all is as it was when a person agreed; it is never
called failed, and called done only if that shows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ap_mcp.binding import HttpCall
from ap_mcp.errors import ApMcpError, may_have_happened
from ap_mcp.gateway import Gateway
from ap_mcp.specs import Effect

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.guard.guarding import Sending

Verdict: TypeAlias = Literal["done", "as before", "unclear"]


class Sent(NamedTuple):
    """A request on its way.

    Attributes:
        call: the request.
        at: the time just before it went out: the service's, or this machine's if no answer has reported that yet.
        service_time: `at` is the service's.
        effect: how grave it is.
        impact: the fingerprint of what a person was shown, or would have been; empty if nothing was described.
    """

    call: HttpCall
    at: datetime
    effect: Effect
    impact: str = ""
    service_time: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """What was found after an answer was lost.

    Attributes:
        verdict: `done`: what was wanted is so now; `as before`: nothing has changed since the request was agreed to.
        said: that as a sentence.
        body: stands for the answer that was lost; None if the thing is gone.
    """

    verdict: Verdict
    said: str = ""
    body: Any = field(default=None, repr=False)


async def look_nowhere(_: Sent) -> Look:
    """Say that nothing shows what became of a request."""
    return Look("unclear")


async def deliver(
    gateway: Gateway, sent: Sent, sending: "Sending", look: Callable[[Sent], Awaitable[Look]]
) -> "CloudResponse":
    """Send a request and return its answer; or what is found, if the answer was lost and it was carried out.

    Args:
        gateway: sends it.
        sent: the request.
        sending: holds its permit, and takes how it ended.
        look: finds out what became of it.

    Raises:
        ApMcpError: it failed, or nothing shows that it was carried out; `may_have_happened` tells one from the other.
    """
    seen = Look("unclear")

    async def may_repeat(_: ApMcpError) -> bool:
        nonlocal seen
        seen = await look(sent)
        return seen.verdict == "as before"

    try:
        response = await gateway.send(sent.call, sending.permit, may_repeat)
    except ApMcpError as error:
        if not may_have_happened(error):
            raise
        if not error.settled:
            seen = await look(sent)
        if seen.verdict != "done":
            error.unclear, error.found = True, seen.said
            raise
        return _found(seen, sending, getattr(error, "request_id", ""))
    sending.succeeded(response.request_id)
    return response


def _found(seen: Look, sending: "Sending", request_id: str) -> "CloudResponse":
    from ap_mcp.cloud.client import CloudResponse  # noqa: PLC0415 - imported with the client that sent the request

    sending.succeeded(request_id, seen.said)
    return CloudResponse(200, {}, seen.body, b"", request_id, found=seen.said)
