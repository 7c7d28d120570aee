"""What Prometheus reads: how long calls take and how they end, under the published names of OpenTelemetry for MCP.

It is served at an address of its own, never where callers come in. Nothing that a caller makes up becomes a label:
each new value would be a series of its own.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import perf_counter
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ap_mcp.errors import ApMcpError, SettingsError
from ap_mcp.server import Autopilot
from ap_mcp.toolbox import known_to_rules
from ap_mcp.watching import ConsentSought, Happening, NoticePosted, NotRecorded, Requested
from ap_mcp.web.names import Place, place_of

MISSING = (
    "AP_MCP_METRICS: this needs prometheus-client, which is not installed: pip install 'ap-mcp[prometheus]'. Nothing "
    "was started."
)
OTHER = "_OTHER"
"""What stands for a name that is none of ours."""
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Bounds of the buckets, as the conventions advise."""
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30)
METHODS = frozenset(
    {
        *("initialize", "server/discover", "ping", "tools/list", "tools/call", "resources/list", "resources/read"),
        *("resources/templates/list", "prompts/list", "prompts/get", "completion/complete", "subscriptions/listen"),
        *("notifications/initialized", "notifications/cancelled", "logging/setLevel"),
    }
)
CODES = 200
"""Different codes of the vendor that are counted apart."""


@dataclass
class Metrics:
    """Counts what happens in a server. It is a middleware of the protocol, and a watcher of the process.

    Args:
        autopilot: what it says of itself is read whenever somebody asks.

    Raises:
        SettingsError: prometheus-client is not installed.
    """

    autopilot: Autopilot
    _codes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415 - an extra
        except ImportError:
            raise SettingsError(MISSING) from None
        self.registry = own = CollectorRegistry()
        self._tools = frozenset(known_to_rules(self.autopilot.catalog))
        self._took = Histogram(
            "mcp_server_operation_duration_seconds",
            "How long requests of clients took",
            ["mcp_method_name", "gen_ai_tool_name", "error_type", "mcp_protocol_version"],
            buckets=SECONDS,
            registry=own,
        )
        self._requests = Histogram(
            "http_client_request_duration_seconds",
            "How long single requests to the cloud took, each attempt by itself",
            ["operation", "http_request_method", "http_response_status_code", "error_type"],
            buckets=REQUEST_SECONDS,
            registry=own,
        )
        self._errors = Counter(
            "ap_mcp_cloud_errors",
            "Requests to the cloud that ended as errors",
            ["operation", "http_response_status_code", "error_code", "error_type"],
            registry=own,
        )
        self._consents = Counter(
            "ap_mcp_consents",
            "Calls that needed a person's consent, by what became of it",
            ["gen_ai_tool_name", "channel", "outcome"],
            registry=own,
        )
        self._notices = Counter(
            "ap_mcp_webhook_messages",
            "Messages about questions, by what became of them",
            ["form", "outcome"],
            registry=own,
        )
        self._unrecorded = Counter("ap_mcp_audit_failures", "Lines of the audit that were not written", registry=own)
        self._calls = Gauge("ap_mcp_calls", "Calls that are under way", ["state"], registry=own)
        self._open = Gauge("ap_mcp_open_questions", "Questions that wait for a person", registry=own)
        self._store = Gauge("ap_mcp_state_up", "Whether what keeps questions and consents can be used", registry=own)
        self._redis = Gauge(
            "ap_mcp_redis_up", "Whether the shared Redis answers and takes what is written", registry=own
        )
        self._draining = Gauge("ap_mcp_draining", "Whether the server is about to end", registry=own)

    async def __call__(self, ctx: ServerRequestContext[Any], call_next: CallNext) -> HandlerResult:
        """Count a request of the protocol."""
        began, error = perf_counter(), "cancelled"
        try:
            result = await call_next(ctx)
        except MCPError as refused:
            error = str(refused.error.code)
            raise
        except Exception as failed:
            error = type(failed).__name__
            raise
        else:
            error = "tool_error" if _is_error(result) else ""
            return result
        finally:
            labels = (_known(ctx.method, METHODS), self._tool(ctx), error, ctx.protocol_version)
            self._took.labels(*labels).observe(perf_counter() - began)

    def note(self, happening: Happening) -> None:
        """Count what happened elsewhere in the process."""
        match happening:
            case Requested(operation, method, _, seconds, status, error, code):
                answered = str(status or "")
                self._requests.labels(operation, method, answered, error).observe(seconds)
                if error:
                    self._errors.labels(operation, answered, self._bounded(code), error).inc()
            case ConsentSought(tool, channel, outcome):
                self._consents.labels(tool, channel, outcome).inc()
            case NoticePosted(form, outcome):
                self._notices.labels(form, outcome).inc()
            case NotRecorded():
                self._unrecorded.inc()

    async def text(self) -> bytes:
        """Return everything in the format of Prometheus."""
        from prometheus_client import generate_latest  # noqa: PLC0415 - an extra

        limits = self.autopilot.limits
        for state in ("working", "waiting"):
            self._calls.labels(state).set(getattr(limits, state))
        self._calls.labels("held").set(len(self.autopilot.holds))
        self._draining.set(self.autopilot.draining)
        await self._ask_store()
        return generate_latest(self.registry)

    async def _ask_store(self) -> None:
        try:
            store = self.autopilot.confirmer.store
            self._open.set(await store.waiting(store.now()))
            if self.autopilot.shared is not None:
                await self.autopilot.shared.check()
            is_up = True
        except ApMcpError:
            is_up = False
        self._store.set(is_up)
        if self.autopilot.shared is not None:
            self._redis.set(is_up)

    def _tool(self, ctx: ServerRequestContext[Any]) -> str:
        if ctx.method != "tools/call":
            return ""
        name = (ctx.params or {}).get("name")
        return _known(str(name), self._tools)

    def _bounded(self, code: str) -> str:
        """Return a code of the vendor, or `OTHER` once there were too many."""
        if code not in self._codes and len(self._codes) >= CODES:
            return OTHER
        self._codes.add(code)
        return code


def metrics_app(read: Callable[[], Awaitable[bytes]], names: Collection[str] = ()) -> Starlette:
    """Return the application that Prometheus reads.

    Args:
        read: gives the text.
        names: hosts, with or without a port, that it may be asked by, besides addresses; a web page could let any
            other name point here.
    """
    allowed = [Place("localhost"), *(Place(place_of(each).name) for each in names)]

    async def metrics(request: Request) -> Response:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not _is_named(place_of(hosts[0]), allowed):
            return PlainTextResponse("This server is asked for by its address.", 421)
        return Response(await read(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Starlette(routes=[Route("/metrics", metrics, methods=["GET"])])


def _is_named(place: Place, allowed: Collection[Place]) -> bool:
    try:
        ip_address(place.name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return place.is_one_of(allowed)
    return True


def _known(name: str, known: Collection[str]) -> str:
    return name if name in known else OTHER


def _is_error(result: HandlerResult) -> bool:
    match result:
        case CallToolResult(is_error=True) | {"isError": True}:
            return True
        case _:
            return False
