"""Says of each request to the cloud how it went, as a span and to those who count; never what it was about."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, StatusCode, get_tracer

from ap_mcp import __version__
from ap_mcp.binding import HttpCall
from ap_mcp.errors import ServiceError
from ap_mcp.watching import Requested, happened

_tracer = get_tracer("ap-mcp", __version__)


@dataclass(slots=True)
class Exchange:
    """One sending of a request, which was sent so often before; whoever makes it notes the status of the answer."""

    sent_again: int = 0
    status: int = 0


@contextmanager
def exchange(call: HttpCall, endpoint: str, sent_again: int = 0) -> Iterator[Exchange]:
    """Return what one sending of a request is made inside of.

    Args:
        call: the request.
        endpoint: where it goes; which cluster it is for is left out of the host.
        sent_again: how many times it went out before.
    """
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").removeprefix(f"{call.cluster}.".lower())
    found, began, error, code = Exchange(sent_again), perf_counter(), "", ""
    attributes: dict[str, str | int] = {"http.request.method": call.method, "server.address": host}
    attributes |= {"http.request.resend_count": sent_again} if sent_again else {}
    with _tracer.start_as_current_span(
        f"{call.method} {call.operation_id}",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,  # its text quotes the service
        set_status_on_exception=False,
    ) as span:
        try:
            yield found
        except BaseException as raised:
            error = str(found.status) if found.status >= 400 else type(raised.__cause__ or raised).__name__
            code = raised.code if isinstance(raised, ServiceError) else ""
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            if found.status:
                span.set_attribute("http.response.status_code", found.status)
            happened(Requested(call.operation_id, call.method, host, perf_counter() - began, found.status, error, code))
