"""Decides whether a request is sent again, and when; the waiting itself is stamina's.

Tests switch it off with `stamina.set_testing(True, attempts=…, cap=True)`.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from ap_mcp.binding import HttpCall
from ap_mcp.errors import CloudUnreachable, ServiceError, Throttled, Unavailable

if TYPE_CHECKING:
    import stamina

ATTEMPTS = 4
TOTAL_SECONDS = 30.0
LONGEST_WAIT = 15.0


def send_again(error: Exception, call: HttpCall) -> bool | float:
    """Say whether `call` may be sent again after `error`, and after how many seconds if the service named them.

    What surely never arrived, or was refused before anything was done, may be sent again whatever it is. What may have
    taken effect is sent again only if doing it twice does no harm, and the client has first asked `MayRepeat`. An error
    of another operation, such as the sign-in before the call, used its own attempts.
    """
    if getattr(error, "operation", None) != call.operation_id or getattr(error, "settled", False):
        return False
    if isinstance(error, CloudUnreachable):
        return error.may_pass and (call.idempotent or not error.may_have_arrived)
    if isinstance(error, Throttled) or (isinstance(error, Unavailable) and error.may_pass and call.idempotent):
        return _wait(error)
    return False


def attempts(call: HttpCall) -> "AsyncIterator[stamina.Attempt]":
    """Return the attempts at `call`; each one is entered as a context manager around the sending."""
    import stamina  # noqa: PLC0415 - most requests are answered at the first attempt

    context = stamina.retry_context(
        on=partial(send_again, call=call),
        attempts=ATTEMPTS,
        timeout=TOTAL_SECONDS,
        wait_initial=0.4,
        wait_max=LONGEST_WAIT,
        wait_jitter=0.4,
    )
    return aiter(context)


def _wait(error: ServiceError) -> bool | float:
    """Return the wait the service asks for, or True for our own; a long one is left to the caller."""
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= LONGEST_WAIT else False
