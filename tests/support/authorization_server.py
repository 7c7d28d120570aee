"""An authorization server on this machine: the official SDK's own, which issues JWTs as those of operators do.

It has metadata, dynamic registration, authorization codes with PKCE, resource indicators, refresh tokens and a set of
keys. Whoever opens its page is Alice, who agrees at once.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from issuing import private_key, public_jwk
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.routes import build_metadata, create_auth_routes
from mcp.server.auth.settings import ClientRegistrationOptions, RevocationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ap_mcp.simulator.serving import running

REALM = "/realms/ops"
SCOPES = ["autopilot", "profile"]
KEY, ALGORITHM = "p256", "ES256"
LIFE = 300


@dataclass
class AuthorizationServer(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """What it remembers, and what a test has it do otherwise.

    Attributes:
        audience: what its tokens are for; what the client asks for, if empty.
        first_life: seconds that the access token which a code is exchanged for lives; a refreshed one lives longer.
        withheld: what Alice does not grant the next time that she is asked, and then never again.
        asked: what clients asked for, in order: the name of each endpoint, or the kind of grant.
    """

    issuer: str = ""
    audience: str = ""
    first_life: int = LIFE
    withheld: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    _clients: dict[str, OAuthClientInformationFull] = field(default_factory=dict)
    _codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    _refresh: dict[str, RefreshToken] = field(default_factory=dict)

    def usual(self) -> None:
        """Do nothing otherwise, and forget what was asked for."""
        self.audience, self.first_life = "", LIFE
        self.withheld.clear()
        self.asked.clear()

    def app(self) -> ASGIApp:
        """The application that serves it."""
        address, registration = AnyHttpUrl(self.issuer), ClientRegistrationOptions(enabled=True, valid_scopes=SCOPES)
        metadata = build_metadata(address, None, registration, RevocationOptions())
        described = metadata.model_dump(mode="json", exclude_none=True) | {
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            "authorization_response_iss_parameter_supported": True,
        }

        async def describe(_: Request) -> Response:
            return JSONResponse(described)

        async def keys(_: Request) -> Response:
            return JSONResponse({"keys": [public_jwk(KEY)]})

        every = [Route("/keys", keys), *create_auth_routes(self, address, None, registration)]
        served = Starlette(
            routes=[Route(f"/.well-known/oauth-authorization-server{REALM}", describe), Mount(REALM, routes=every)]
        )

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            self.asked.append(scope["path"].removeprefix(REALM).lstrip("/"))
            await served(scope, receive, send)

        return noted

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self._clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self._clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = secrets.token_urlsafe(32)
        scopes = [each for each in params.scopes or [] if each not in self.withheld]
        self.withheld.clear()
        asked = params.model_dump(exclude={"state", "scopes"})
        self._codes[code] = AuthorizationCode(
            code=code, client_id=client.client_id, scopes=scopes, expires_at=time.time() + 60, **asked
        )
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state, iss=self.issuer)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self._codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        given = self._codes.pop(authorization_code.code)
        self.asked.append("authorization_code")
        return self._tokens(client, given.scopes, given.resource, self.first_life)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self._refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        given = self._refresh.pop(refresh_token.token)
        self.asked.append("refresh_token")
        return self._tokens(client, scopes, given.resource, LIFE)

    async def load_access_token(self, token: str) -> AccessToken | None:
        raise NotImplementedError("whoever takes the tokens judges them")

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        raise NotImplementedError("tokens end by themselves")

    def _tokens(
        self, client: OAuthClientInformationFull, scopes: list[str], resource: str | None, life: int
    ) -> OAuthToken:
        now, again = int(time.time()), secrets.token_urlsafe(32)
        self._refresh[again] = RefreshToken(token=again, client_id=client.client_id, scopes=scopes, resource=resource)
        claims: dict[str, Any] = {"iss": self.issuer, "sub": "alice", "client_id": client.client_id}
        claims |= {"aud": self.audience or resource, "scope": " ".join(scopes), "iat": now, "exp": now + life}
        signed = jwt.encode(claims, private_key(KEY), ALGORITHM, {"kid": KEY, "typ": "at+jwt"})
        return OAuthToken(access_token=signed, expires_in=max(life, 0), scope=claims["scope"], refresh_token=again)


@contextmanager
def authorizing() -> Iterator[AuthorizationServer]:
    """Serve one on a free port."""
    made = AuthorizationServer()
    later: list[ASGIApp] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await later[0](scope, receive, send)

    with running(app) as place:  # its address is in all that it says, and known only now
        made.issuer = f"{place}{REALM}"
        later.append(made.app())
        yield made
