"""The simulator as an ASGI application: every operation of the catalog, and the part of IAM clients need."""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import cache
from typing import Any

import anyio
from starlette.types import Message, Receive, Scope, Send

from ap_mcp.simulator import cluster_gateway, iam
from ap_mcp.simulator.access import (
    SIMULATED_CREDENTIALS,
    TEMPORARY_CREDENTIALS,
    Gate,
    Received,
    SimulatedCredentials,
    WallClock,
    wall_clock,
)
from ap_mcp.simulator.clock import ManualClock
from ap_mcp.simulator.error_bodies import GatewayRefusal, IdentityRefusal, Sent, json_answer, refusal_answer, throttled
from ap_mcp.simulator.faults import Fault, Faults
from ap_mcp.simulator.handlers import handler_of
from ap_mcp.simulator.kubernetes.answering import Streamed
from ap_mcp.simulator.registry import Answer, SimulatedError, SimulatedRequest, invalid, public
from ap_mcp.simulator.request_body import Content, parse_body, read_body
from ap_mcp.simulator.routes import Match, Route, Routes, decode_query, operation_route, split_template
from ap_mcp.simulator.validation import parse_json, wrong_answer, wrong_body, wrong_parameters
from ap_mcp.simulator.world import World
from ap_mcp.specs import FILE, JSON, Catalog, Operation, load_catalog

CUT = "ap_mcp.simulator.cut"
"""Key of `scope["extensions"]` under which a server offers a function that closes the connection."""

LONGEST_LOG = 20_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as the simulator saw it; `operation` is empty if the path means none."""

    method: str
    path: str
    operation: str
    status: int


@dataclass(slots=True)
class State:
    """What tests and servers may read while the application runs."""

    world: World
    faults: Faults
    log: list[LoggedRequest] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """Answers of our own handlers that did not fit the specs."""

    def remember(self, request: LoggedRequest) -> None:
        """Log a request; of a simulator that runs for long, only the later half is kept."""
        if len(self.log) >= LONGEST_LOG:
            del self.log[: LONGEST_LOG // 2]
        self.log.append(request)


class Simulator:
    """The ASGI application; its order is that of a request: route, fault, gate, checks, handler, answer."""

    def __init__(
        self,
        state: State,
        routes: Routes,
        gate: Gate,
        wall: WallClock,
        *,
        strict_answers: bool,
        connection_lost: type[Exception],
        pause: cluster_gateway.Pause = anyio.sleep,
    ) -> None:
        self.state = state
        self._gate = gate
        self._wall = wall
        self._strict_answers = strict_answers
        self._connection_lost = connection_lost
        self._pause = pause
        # Where time is moved by hand, every run has the same ids; other runs share an audit log with those before.
        self._request_ids = random.Random(0 if isinstance(state.world.clock, ManualClock) else None)
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (or the server's start and stop)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"the simulator speaks HTTP only, not {scope['type']}")
        request_id = f"{self._request_ids.getrandbits(128):032x}"
        sent, name, fault = await self._answer(scope, receive, request_id)
        if isinstance(sent, Streamed):
            self.state.remember(LoggedRequest(scope["method"], scope["raw_path"].decode("latin-1"), name, 200))
            await cluster_gateway.stream(sent, format_datetime(self.state.world.now(), usegmt=True), receive, send)
            return
        path = scope["raw_path"].decode("latin-1")
        self.state.remember(LoggedRequest(scope["method"], path, name, sent.status))
        kind = fault.kind if fault is not None else None
        if kind == "lost":
            await self._cut(scope, receive)
            return
        start, body = _messages(sent, request_id, self._date(sent), halved=kind == "cut_json")
        await send(start)
        if kind == "cut":
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await self._cut(scope, receive)
            return
        await send({"type": "http.response.body", "body": body})

    def _date(self, sent: Sent) -> str:
        """Date an answer: a good one by the account's clock, a refusal by the one that checks signatures."""
        return format_datetime(self.state.world.now() if sent.status < 400 else self._wall(), usegmt=True)

    async def _answer(
        self, scope: Scope, receive: Receive, request_id: str
    ) -> tuple[Sent | Streamed, str, Fault | None]:
        """Return the answer, the operation's name, and what shall happen to the answer on its way."""
        name, fault = "", None
        sent: Sent | Streamed
        try:
            entry = cluster_gateway.entry_of(scope)
            match = self._match(scope) if entry is None else None
            name = match.route.name if match is not None else cluster_gateway.name_of_request(scope)
            fault = await self._take_faults(name)
            if fault is not None and fault.kind in _INSTEAD:
                return _INSTEAD[fault.kind](fault, request_id), name, None
            if match is not None:
                sent = await self._handle(match, scope, receive)
            else:
                sent = await self._ask_cluster(entry or cluster_gateway.Entry(""), scope, receive)
            if isinstance(sent, Sent) and fault is not None and fault.kind in _AFTERWARDS:
                sent = _AFTERWARDS[fault.kind](fault, sent)
        except (GatewayRefusal, IdentityRefusal, SimulatedError) as error:
            sent = refusal_answer(error, request_id)
        except Exception as error:
            logger.exception("the simulator's handler of %s failed", name)
            broken = SimulatedError(500, "CCE.01500001", "Internal error", reason=f"{type(error).__name__}: {error}")
            sent = refusal_answer(broken, request_id)
        return sent, name, fault

    def _match(self, scope: Scope) -> Match:
        try:
            match = self._routes.match(scope["method"], scope["raw_path"])
        except ValueError as error:
            raise GatewayRefusal(400, "APIGW.0201", f"Invalid request path: {error}") from error
        if match is None:
            raise GatewayRefusal(404, "APIGW.0101", "The API does not exist or has not been published")
        return match

    async def _take_faults(self, name: str) -> Fault | None:
        other = None
        for fault in self.state.faults.take(name):
            if fault.kind == "delay":
                await anyio.sleep(fault.amount)
            else:
                other = fault
        return other

    async def _ask_cluster(self, entry: cluster_gateway.Entry, scope: Scope, receive: Receive) -> Sent | Streamed:
        """Let a cluster's own API answer; behind the gateway the sender is known by signature or token."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        body = await read_body(receive, headers)
        try:
            query = decode_query(scope["query_string"])
            asked = cluster_gateway.request_of(entry, scope, headers, body)
        except ValueError as error:
            raise GatewayRefusal(400, "APIGW.0201", f"Invalid request: {error}") from error
        world = self.state.world
        with world.lock:
            if not entry.direct:
                received = Received(scope["method"], scope["raw_path"].decode("latin-1"), query, headers, body)
                self._gate.check_project(self._gate.enter(received), headers.get("x-project-id"))
            world.catch_up()
            answered = cluster_gateway.ask(world, entry, asked, self._pause)
        return answered if isinstance(answered, Streamed) else cluster_gateway.sent(answered)

    async def _handle(self, match: Match, scope: Scope, receive: Receive) -> Sent:
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        body = await read_body(receive, headers)
        try:
            query = decode_query(scope["query_string"])
        except ValueError as error:
            raise GatewayRefusal(400, "APIGW.0201", f"Invalid query: {error}") from error
        received = Received(scope["method"], scope["raw_path"].decode("latin-1"), query, headers, body)
        operation = match.route.operation
        if operation is None:
            return self._identify(match.route.name, received)
        with self.state.world.lock:
            project_id = self._gate.enter(received)
        self._gate.check_project(project_id, headers.get("x-project-id"))
        self._gate.check_project(project_id, match.path.get("project_id"))
        content = await parse_body(operation, headers, body, _service(operation))
        _check_request(operation, match.path, query, content)
        request = SimulatedRequest(operation.id, match.path, dict(query), headers, content.handled, project_id)
        return self._run(operation, request)

    def _identify(self, name: str, received: Received) -> Sent:
        world = self.state.world
        with world.lock:
            if name == iam.LIST_PROJECTS:
                self._gate.enter(received)
                return iam.list_projects(world, dict(received.query))
            try:
                body = parse_json(received.body)
            except ValueError as error:
                raise IdentityRefusal(400, f"The request body is no JSON: {error}.") from error
            return iam.create_token(world, body, self._wall())

    def _run(self, operation: Operation, request: SimulatedRequest) -> Sent:
        handler = handler_of(operation.id)
        if handler is None:
            raise SimulatedError(501, "CCE.01500001", "Internal error", reason=f"{operation.id} has no handler yet")
        with self.state.world.lock:
            self.state.world.catch_up()
            result = handler(self.state.world, request)
            answer = result if isinstance(result, Answer) else Answer(result)
            body = answer.body if answer.verbatim else public(answer.body)
            sent = _encoded(answer, body, answer.status or operation.status)
        if self._strict_answers and sent.status < 400 and not answer.empty:
            self._check_answer(operation, sent)
        return sent

    def _check_answer(self, operation: Operation, sent: Sent) -> None:
        problems = wrong_answer(operation, sent.status, sent.media_type, sent.body)
        if problems:
            self.state.violations += [f"{operation.id}: {problem}" for problem in problems]
            reason = "the simulator's own answer does not fit the spec: " + "; ".join(problems)
            raise SimulatedError(500, "CCE.01500001", "Internal error", reason=reason)

    async def _cut(self, scope: Scope, receive: Receive) -> None:
        """End the connection: on a socket by closing it, in-process by raising what the caller's library would."""
        cut = scope.get("extensions", {}).get(CUT)
        if cut is None:
            raise self._connection_lost("the simulated server disconnected")
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass


def build_app(
    world: World,
    catalog: Catalog | None = None,
    faults: Faults | None = None,
    credentials: SimulatedCredentials | Sequence[SimulatedCredentials] = (SIMULATED_CREDENTIALS, TEMPORARY_CREDENTIALS),
    *,
    wall: WallClock = wall_clock,
    strict_answers: bool = True,
    connection_lost: type[Exception] = ConnectionResetError,
    pause: cluster_gateway.Pause = anyio.sleep,
) -> Simulator:
    """Make the application.

    Args:
        world: the account it serves.
        catalog: the operations; those of the shipped specs unless given.
        faults: trouble to make.
        credentials: keys to accept.
        wall: the time that dates signatures and tokens; never the world's accelerated one.
        strict_answers: turn an answer that does not fit its spec into a 500.
        connection_lost: raised in-process when a fault cuts the connection; give your HTTP library's error.
        pause: waits between two looks of a watch; a test lets simulated time pass instead.
    """
    accepted = [credentials] if isinstance(credentials, SimulatedCredentials) else credentials
    state = State(world, faults or Faults())
    return Simulator(
        state,
        _shipped_routes() if catalog is None else _routes(catalog),
        Gate(world, accepted, wall),
        wall,
        strict_answers=strict_answers,
        connection_lost=connection_lost,
        pause=pause,
    )


@cache
def _shipped_routes() -> Routes:
    return _routes(load_catalog())


def _routes(catalog: Catalog) -> Routes:
    identity = [Route(name, method, split_template(path)) for name, (method, path) in iam.ROUTES.items()]
    return Routes([*map(operation_route, catalog.values()), *identity])


def _check_request(
    operation: Operation, path: Mapping[str, str], query: Sequence[tuple[str, str]], content: Content
) -> None:
    """Refuse a request that does not fit its spec, with all that is wrong."""
    names = [name for name, _ in query]
    problems = [f"query.{name}: is given twice" for name in sorted({n for n in names if names.count(n) > 1})]
    problems += wrong_parameters(operation, "path", path)
    problems += wrong_parameters(operation, "query", dict(query))
    problems += wrong_body(operation, content.checked)
    if problems:
        raise invalid("; ".join(problems), service=_service(operation))


def _service(operation: Operation) -> str:
    """Return the two digits by which error codes distinguish the services."""
    return {"charts": "02", "addons": "03"}.get(operation.subject, "01")


def _encoded(answer: Answer, body: Any, status: int) -> Sent:
    headers = dict(answer.headers)
    if body is None:
        return Sent(status, b"", None, headers)
    if isinstance(body, bytes):
        return Sent(status, body, answer.media_type or FILE, headers)
    if isinstance(body, str) and answer.media_type != JSON:
        return Sent(status, body.encode(), answer.media_type or "text/plain", headers)
    return json_answer(status, body, headers)


def _messages(sent: Sent, request_id: str, date: str, *, halved: bool) -> tuple[Message, bytes]:
    """Return the message that starts the answer, and the body that follows it."""
    body = sent.body[: len(sent.body) // 2] if halved else sent.body
    headers = {"Date": date, "X-Request-Id": request_id, **sent.headers}
    if sent.status != 204:
        headers["Content-Length"] = str(len(body))
    if sent.media_type is not None:
        headers["Content-Type"] = sent.media_type
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": sent.status, "headers": encoded}, body


def _html(fault: Fault, _request_id: str) -> Sent:
    page = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1><hr>gateway</body></html>"
    return Sent(int(fault.amount), page, "text/html", {})


def _throttle(fault: Fault, request_id: str) -> Sent:
    return refusal_answer(throttled(fault.amount), request_id)


def _status(fault: Fault, request_id: str) -> Sent:
    status = int(fault.amount)
    code = "CCE.01500001" if status >= 500 else f"CCE.01{status}001"
    return refusal_answer(SimulatedError(status, code, "Internal error", reason="a fault was injected"), request_id)


_INSTEAD: dict[str, Callable[[Fault, str], Sent]] = {"html": _html, "throttle": _throttle, "status": _status}
"""Faults that answer instead of the operation, which is not carried out."""

_AFTERWARDS: dict[str, Callable[[Fault, Sent], Sent]] = {
    "done_html": lambda fault, _: _html(fault, ""),
    "done_empty": lambda _, sent: Sent(sent.status, b"", sent.media_type, sent.headers),
}
"""Faults that hide the answer of an operation that was carried out."""


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
