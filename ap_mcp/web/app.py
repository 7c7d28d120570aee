"""Builds what is served over HTTP: the protocol at `/mcp`, without sessions, and our own routes beside it."""

from collections.abc import Sequence
from typing import Any

from mcp.server import Server
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.context import ServerMiddleware
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ap_mcp.guard.limits import MOST_BESIDE
from ap_mcp.protocol import SPARE, build_server
from ap_mcp.server import Autopilot
from ap_mcp.web.gate import HEADERS, Explains, Gate, NotTooMany, PostOnly, Shares, WholeBodies
from ap_mcp.web.health import Check, health_routes, usual_checks
from ap_mcp.web.options import PATH, HttpOptions
from ap_mcp.web.sign_in import SignIn

APPROVALS = "/approvals"
"""Where the page for approvers stands, if one is served."""


def http_app(
    autopilot: Autopilot,
    options: HttpOptions,
    sign_in: SignIn | None = None,
    *,
    routes: Sequence[Route] = (),
    checks: Sequence[Check] = (),
    counting: ServerMiddleware[Any] | None = None,
) -> ASGIApp:
    """Return the application to serve.

    Args:
        autopilot: runs the tools.
        options: what it is called from outside, and its limits.
        sign_in: who may call; without it every caller is the user of this process, so it must listen on this machine.
        routes: others to serve, behind the same checks of Host and Origin.
        checks: what else must be so for the server to be ready.
        counting: sees every request of the protocol, and how it ends.
    """

    def signed_in() -> str:
        token = get_access_token()
        if sign_in is None or token is None:
            raise AssertionError("no request gets here without a verified token")
        return sign_in.principal_of(token)

    if sign_in is not None:
        autopilot.principals = sign_in
    server = build_server(autopilot, None if sign_in is None else signed_in)
    if counting is not None:
        server.middleware.append(counting)
    required, described = ([], []) if sign_in is None else (sign_in.checks(), sign_in.routes())
    own = [*health_routes([*usual_checks(autopilot), *required, *checks]), *described, *routes]
    own.append(_signpost(options.base_path, approvals=any(each.path == APPROVALS for each in routes)))
    most = autopilot.settings.calls_at_once + MOST_BESIDE + SPARE
    return framed(server, options, sign_in, routes=own, of_one=most)


def _signpost(base: str, *, approvals: bool) -> Route:
    """Return what somebody reads who opens the server in a browser: what it is and where to go, and no more than that.

    Args:
        base: what its addresses begin with.
        approvals: it serves the page on which people approve.
    """
    lines = ["This is an MCP server: programs call its tools. There is nothing to see here.", ""]
    lines += [f"MCP clients connect to {base}{PATH}, and sign in there if this server asks for it."]
    lines += [f"People approve at {base}{APPROVALS}."] if approvals else []
    said = "\n".join([*lines, ""])

    async def show(request: Request) -> Response:
        # A client that posts here has the wrong address, and reads the right one.
        return PlainTextResponse(said, 404 if request.method == "POST" else 200, HEADERS)

    return Route("/", show, methods=["GET", "POST"])


def framed(
    server: Server[Any],
    options: HttpOptions,
    sign_in: SignIn | None = None,
    *,
    routes: Sequence[Route] = (),
    of_one: int = MOST_BESIDE,
) -> ASGIApp:
    """Return the application that serves a server of the protocol, and other routes beside it.

    Args:
        server: whatever speaks the protocol.
        options: what it is called from outside, and its limits.
        sign_in: who may call; without it anybody who gets here.
        routes: others to serve, behind the same checks of Host and Origin.
        of_one: how many requests of one caller may be under way at once.
    """
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=options.body_limit,
        custom_starlette_routes=list(routes),
        # The gate does it, for every route.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    # It would lead to a plain http address, for it does not know of the proxy with TLS.
    app.router.redirect_slashes = False
    inner: ASGIApp = WholeBodies(PostOnly(Explains(app, PATH), PATH), PATH, options.body_limit, options.body_seconds)
    # Before any byte of the body is read: nobody else has this server work for them.
    signed_in = inner if sign_in is None else sign_in.guarded(Shares(inner, of_one))
    return Gate(NotTooMany(signed_in, options.requests), options)
