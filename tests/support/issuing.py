"""An issuer of access tokens in a test: its keys, its documents, and tokens that it, or somebody else, signs."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from ap_mcp.cloud.lines import Lines
from ap_mcp.guard.policy import Policy
from ap_mcp.principals import Rights
from ap_mcp.settings import Settings
from ap_mcp.web.issuer_keys import IssuerKeys, fetching
from ap_mcp.web.oauth import EVERYBODY_READS, OAuth, PeopleRule

ISSUER, AUDIENCE = "https://login.example/realm", "https://ap.example/mcp"
METADATA = "https://login.example/.well-known/oauth-authorization-server/realm"
OPENID = ISSUER + "/.well-known/openid-configuration"
JWKS = "https://login.example/keys"
SERVER = Rights(Policy(), ("all",), "approval")


class Time:
    """A clock that moves only when it is set."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 30, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@cache
def private_key(name: str) -> Any:
    """Return a key; its name says of which kind: one of each is made, as that takes long."""
    kind = name.partition("-")[0]
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "short":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public_jwk(name: str, **more: Any) -> dict[str, Any]:
    """Return the public half of a key, as an issuer publishes it; None leaves a member out."""
    key = private_key(name).public_key()
    kinds: tuple[tuple[type, Callable[[Any], Any]], ...] = (
        (rsa.RSAPublicKey, RSAAlgorithm.to_jwk),
        (ec.EllipticCurvePublicKey, ECAlgorithm.to_jwk),
        (ed25519.Ed25519PublicKey, OKPAlgorithm.to_jwk),
    )
    made = next(to_jwk(key) for kind, to_jwk in kinds if isinstance(key, kind))
    entry = {**json.loads(made), "kid": name, "use": "sig", **more}
    return {member: value for member, value in entry.items() if value is not None}


class Issuer:
    """An issuer that answers over a transport; `documents` says what stands where, `fetched` what was asked for."""

    def __init__(self, *keys: str) -> None:
        self.time = Time()
        self.fetched: list[str] = []
        self.down = False
        self.documents: dict[str, Any] = {METADATA: {"issuer": ISSUER, "jwks_uri": JWKS}}
        self.publish(*(public_jwk(key) for key in keys or ("ed",)))

    def publish(self, *entries: Any) -> None:
        """Publish keys in place of those before."""
        self.documents[JWKS] = {"keys": list(entries)}

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.fetched.append(str(request.url))
        if self.down:
            raise httpx.ConnectError("refused")
        found = self.documents.get(str(request.url))
        if found is None:
            return httpx.Response(404)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def connect(self) -> Lines:
        return Lines(Settings(), httpx.Limits(), httpx.MockTransport(self.answer))

    def keys(self, jwks_url: str | None = None) -> IssuerKeys:
        return IssuerKeys(ISSUER, jwks_url, fetching(self.connect), self.time.seconds)

    def oauth(self, *people: tuple[PeopleRule, Rights], scopes: tuple[str, ...] = ()) -> OAuth:
        rules = people or tuple((rule, SERVER) for rule in EVERYBODY_READS)
        return OAuth(ISSUER, AUDIENCE, self.keys(), rules, scopes=scopes, now=self.time.now)

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return what a good token says; None leaves a claim out."""
        now = int(self.time.seconds())
        made = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now,
            "exp": now + 300,
            "client_id": "bot",
            **more,
        }
        return {name: value for name, value in made.items() if value is not None}

    def token(
        self, key: str = "ed", algorithm: str = "EdDSA", head: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """Return a token signed with a key; members of its head that are None are left out."""
        header = {"kid": key, "typ": "at+jwt", **(head or {})}
        return jwt.encode(
            self.claims(**claims),
            private_key(key),
            algorithm,
            {name: value for name, value in header.items() if value is not None},
        )


def forged(head: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    """Return what has the form of a token, whatever it says."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    return ".".join((part(json.dumps(head).encode()), part(json.dumps(claims).encode()), part(signature)))
