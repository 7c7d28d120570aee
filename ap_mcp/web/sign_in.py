"""How callers over HTTP prove who they are: by a token of ours, or by one of an issuer; what each of them may use."""

import logging
from typing import Any
from urllib.parse import urlsplit

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware, get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ap_mcp.errors import UnknownPrincipal
from ap_mcp.principals import Rights
from ap_mcp.web.gate import path_of
from ap_mcp.web.health import Check
from ap_mcp.web.oauth import OAuth
from ap_mcp.web.signed_in import LARGEST_TOKEN, NotSignedIn, SignedIn
from ap_mcp.web.token_file import FileTokens
from ap_mcp.web.tokens import PREFIX

METADATA = "/.well-known/oauth-protected-resource"
AGAIN_SECONDS = 10
"""When to try again where it is not known who calls."""
CODES = {401: "unauthorized", 403: "access_denied", 503: "temporarily_unavailable"}
"""What stands in the body where RFC 6750 has no code."""
HIDDEN = {"cache-control": "no-store"}

logger = logging.getLogger(__name__)


class SignIn:
    """Implements `Principals` for those who call over HTTP and have to sign in.

    Args:
        public_url: the address of the server as callers know it; empty if it is not known.
        path: where the protocol is served.
        tokens: tokens of ours.
        oauth: those of an issuer.
    """

    def __init__(
        self, public_url: str, path: str, tokens: FileTokens | None = None, oauth: OAuth | None = None
    ) -> None:
        self._public_url = public_url.rstrip("/")
        self._path = path
        self.tokens = tokens
        self.oauth = oauth

    async def signed_in(self, token: str) -> SignedIn:
        """Return whose token it is: what it begins with says who judges it.

        Raises:
            NotSignedIn: it is nobody's.
        """
        if len(token) > LARGEST_TOKEN:
            raise NotSignedIn("The token is too long.")
        judge = self.tokens if token.startswith(PREFIX) or self.oauth is None else self.oauth
        if judge is None:
            raise NotSignedIn("Tokens of this kind are not taken here.")
        return await judge.signed_in(token)

    def principal_of(self, token: AccessToken) -> str:
        """Return for whom a call is made that has signed in."""
        if not isinstance(token, SignedIn):
            raise TypeError("every token that gets here was verified here")
        return token.principal

    def rights_of(self, principal: str) -> Rights:
        """Return what the caller of the call that runs may use now: the same person may call by several tokens.

        Raises:
            UnknownPrincipal: nothing, or nothing any more.
        """
        token = get_access_token()
        if not isinstance(token, SignedIn) or token.principal != principal:
            raise UnknownPrincipal(principal)
        return token.rights_now()

    def checks(self) -> list[Check]:
        """Return what must be so for callers to be able to sign in; an issuer that is away is only reported."""
        tokens, oauth = self.tokens, self.oauth
        found = []
        if tokens is not None:

            async def of_tokens() -> str:
                await tokens.look()
                return "the file of tokens cannot be used; the log of the server says why" if tokens.trouble else ""

            found.append(Check("tokens", of_tokens))
        if oauth is not None:

            async def of_issuer() -> str:
                return "its keys could not be fetched; the log of the server says why" if oauth.keys.trouble else ""

            found.append(Check("issuer", of_issuer, decides=False))
        return found

    def routes(self) -> list[Route]:
        """Return the description of this server for clients that want to sign in (RFC 9728)."""
        if not self._public_url:
            return []
        document: dict[str, Any] = {
            # Whatever its tokens are for: clients refuse a description of another address than the one they call.
            "resource": self._public_url + self._path,
            "resource_name": "CCE Autopilot",
            "bearer_methods_supported": ["header"],
        }
        if self.oauth is not None:
            document["authorization_servers"] = [self.oauth.issuer]
            document |= {"scopes_supported": list(self.oauth.scopes)} if self.oauth.scopes else {}

        async def describe(_: Request) -> Response:
            return JSONResponse(document, headers={"cache-control": "public, max-age=300"})

        # The second is where clients seek it by themselves; a proxy in front of a base path has to pass it on.
        base = urlsplit(self._public_url).path
        places = dict.fromkeys((METADATA + self._path, METADATA + base + self._path))
        return [Route(place, describe, methods=["GET"]) for place in places]

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose protocol is for those who have signed in; the rest of it needs none."""
        inner = AuthContextMiddleware(app)

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or path_of(scope) != self._path:
                await app(scope, receive, send)
                return
            try:
                token = _bearer(Headers(scope=scope))
                caller = await self.signed_in(token)
            except NotSignedIn as refused:
                await self._refusal(refused)(scope, receive, send)
                return
            await inner({**scope, "user": AuthenticatedUser(caller)}, receive, send)

        return guard

    def _refusal(self, refused: NotSignedIn) -> Response:
        """Return the answer of RFC 6750, with where to learn how to sign in."""
        logger.info("Not let in (%d): %s", refused.status, refused)
        parts = {"error": refused.error, "error_description": str(refused)} if refused.error else {}
        if self.oauth is not None and self.oauth.scopes:
            parts["scope"] = " ".join(self.oauth.scopes)
        if self._public_url:
            parts["resource_metadata"] = self._public_url + METADATA + self._path
        headers = dict(HIDDEN)
        if refused.status == 503:
            headers["retry-after"] = str(AGAIN_SECONDS)
        elif refused.status == 401 or refused.error:
            said = ", ".join(f'{name}="{value}"' for name, value in parts.items())
            headers["www-authenticate"] = f"Bearer {said}".strip()
        body = {"error": refused.error or CODES[refused.status], "error_description": str(refused)}
        return JSONResponse(body, refused.status, headers)


def _bearer(headers: Headers) -> str:
    """Return the token of a request: of its header alone, for addresses end up in logs.

    Raises:
        NotSignedIn: it has none, or several.
    """
    given = headers.getlist("authorization")
    if len(given) > 1:
        raise NotSignedIn("Send one Authorization header.", 400, "invalid_request")
    scheme, _, token = given[0].partition(" ") if given else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotSignedIn("Sign in: send a token as Authorization: Bearer TOKEN.", error="")
    return token.strip()
