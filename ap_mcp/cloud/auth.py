"""Proves to the cloud who calls: a signature by key, or a token; renews both in time, once for all who wait."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl

import anyio

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import http, signing
from ap_mcp.credentials import AccessKey, Password
from ap_mcp.errors import ApMcpError, BadAnswer, NotPermitted
from ap_mcp.permits import Permit, digest_of

Clock = Callable[[], datetime]
SIGN_IN = "sign_in"
TOKEN_PATH = "/v3/auth/tokens"  # noqa: S105 - a path
FIND_PROJECT = "find_project"
PROJECTS_PATH = "/v3/projects"
SIGN_IN_REQUESTS = frozenset({(SIGN_IN, "POST", TOKEN_PATH), (FIND_PROJECT, "GET", PROJECTS_PATH)})
"""All that is ever sent to IAM."""
TOKEN_LIFE = timedelta(hours=24)
TOKEN_MARGIN = timedelta(minutes=30)
KEY_MARGIN = timedelta(minutes=40)
# Set by the transport or changed on the way, so never part of what is signed.
_UNSIGNED = frozenset({"accept", "accept-encoding", "connection", "content-length", "transfer-encoding", "user-agent"})


def utc_now() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


class CloudAuth(http.Auth):
    """How requests are authenticated; knows which values must never be shown."""

    def secrets(self) -> tuple[str, ...]:
        """Return the values in use that must not appear in any message."""
        raise NotImplementedError


class KeySource(Protocol):
    """Gives the key pair to sign with at this moment."""

    async def current(self) -> AccessKey:
        """Return the pair."""
        ...


@dataclass(frozen=True, slots=True)
class FixedKey:
    """A key pair that does not change."""

    key: AccessKey

    async def current(self) -> AccessKey:
        """Return the pair."""
        return self.key


class RenewedKey:
    """Temporary keys that are fetched anew when less than 40 minutes are left."""

    def __init__(self, fetch: Callable[[], Awaitable[AccessKey]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._key: AccessKey | None = None
        self._lock = anyio.Lock(fast_acquire=True)

    async def current(self) -> AccessKey:
        """Return keys that live long enough; fetched once, however many callers wait.

        Keys that still live are used on if no others can be obtained.
        """
        async with self._lock:
            if self._key is None or not _lasts(self._key.expires_at, self._clock(), KEY_MARGIN):
                self._key = await self._renewed()
            return self._key

    async def _renewed(self) -> AccessKey:
        try:
            return await self._fetch()
        except ApMcpError:
            if self._key is None or not _lasts(self._key.expires_at, self._clock(), timedelta()):
                raise
            return self._key


class SignedAuth(CloudAuth):
    """Signs each request with an access key, the bytes exactly as they go on the wire."""

    requires_request_body = True

    def __init__(self, source: KeySource, clock: Clock = utc_now) -> None:
        self._source = source
        self._clock = clock
        self._used: AccessKey | None = None

    def secrets(self) -> tuple[str, ...]:
        """Return the parts of the key pair used last."""
        if self._used is None:
            return ()
        token = self._used.security_token
        return (
            self._used.secret_key.get_secret_value(),
            token.get_secret_value() if token else "",
            self._used.access_key,
        )

    async def async_auth_flow(self, request: http.Request) -> AsyncGenerator[http.Request, http.Response]:
        """Add date, security token and signature to the request."""
        self._used = key = await self._source.current()
        request.headers.pop("Authorization", None)  # of an earlier try, and no part of what is signed
        request.headers[signing.DATE_HEADER] = signing.format_date(self._clock())
        if key.security_token is not None:
            request.headers["X-Security-Token"] = key.security_token.get_secret_value()
        if not signing.is_payload_signed(request.headers.get("Content-Type", "")):
            request.headers[signing.CONTENT_HEADER] = signing.UNSIGNED_PAYLOAD
        request.headers["Authorization"] = _signature(request, key)
        yield request


class TokenSource(Protocol):
    """Gives the token to send at this moment."""

    async def current(self) -> str:
        """Return the token."""
        ...

    async def replace(self, refused: str) -> str | None:
        """Return another token than the refused one; None if there is none."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class FixedToken:
    """A token that another program fetched; it cannot be renewed here."""

    token: str

    async def current(self) -> str:
        """Return the token."""
        return self.token

    async def replace(self, refused: str) -> str | None:
        """Return None: there is no other."""
        del refused
        return None


class PasswordToken:
    """A token fetched from IAM by password, kept until half an hour before its end."""

    def __init__(self, fetch: Callable[[], Awaitable[tuple[str, datetime]]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token = ""
        self._expires_at: datetime | None = None
        self._lock = anyio.Lock(fast_acquire=True)

    async def current(self) -> str:
        """Return a token that lives long enough; fetched once, however many callers wait."""
        async with self._lock:
            if not self._token or not _lasts(self._expires_at, self._clock(), TOKEN_MARGIN):
                self._token, self._expires_at = await self._fetch()
            return self._token

    async def replace(self, refused: str) -> str | None:
        """Return another token than the refused one, fetched unless another caller has done so."""
        async with self._lock:
            if self._token == refused:
                self._token = ""
        return await self.current()


class TokenAuth(CloudAuth):
    """Sends an IAM token; no signature then. A token that is refused is replaced once."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._used = ""

    def secrets(self) -> tuple[str, ...]:
        """Return the token used last."""
        return (self._used,)

    async def async_auth_flow(self, request: http.Request) -> AsyncGenerator[http.Request, http.Response]:
        """Add the token; a 401 means that nothing was done, so the request may go out again with a new one."""
        self._used = await self._source.current()
        request.headers["X-Auth-Token"] = self._used
        response = yield request
        if response.status_code == 401:
            another = await self._source.replace(self._used)
            if another and another != self._used:
                self._used = another
                request.headers["X-Auth-Token"] = another
                yield request


def token_call(who: Password, scope: dict[str, str]) -> HttpCall:
    """Return the request that exchanges a password for a token of one project."""
    user = {"name": who.user, "password": who.password.get_secret_value(), "domain": {"name": who.domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": scope}}}
    return HttpCall(
        operation_id=SIGN_IN,
        method="POST",
        path=TOKEN_PATH,
        body=json.dumps(body, ensure_ascii=False).encode(),
        idempotent=True,
    )


def sign_in_permit(call: HttpCall) -> Permit:
    """Return the permit of a request to IAM: to exchange a password for a token, or to find the project.

    Raises:
        NotPermitted: it is another request.
    """
    if (call.operation_id, call.method, call.path) not in SIGN_IN_REQUESTS:
        raise NotPermitted(call.operation_id, "it is no request of the sign-in")
    return Permit("sign_in", digest_of(call))


def read_token(status: int, header: str, body: Any, now: datetime) -> tuple[str, datetime]:
    """Return the token of an answer and its end.

    Raises:
        BadAnswer: there is no token in it.
    """
    if not header:
        hint = "The answer has no X-Subject-Token: check AP_MCP_IAM_ENDPOINT."
        raise BadAnswer(status=status, operation=SIGN_IN, hint=hint)
    token = body.get("token") if isinstance(body, dict) else None
    expires = parse_moment(token.get("expires_at")) if isinstance(token, dict) else None
    return header, expires or now + TOKEN_LIFE


def parse_moment(value: Any) -> datetime | None:
    """Read a time of ISO 8601, in UTC if it does not say; None if it is none."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _lasts(expires_at: datetime | None, now: datetime, margin: timedelta) -> bool:
    return expires_at is None or expires_at - now >= margin


def _signature(request: http.Request, key: AccessKey) -> str:
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    return signing.sign_request(
        request.method,
        path,
        parse_qsl(query.replace("+", "%2B"), keep_blank_values=True),
        {name: value for name, value in request.headers.items() if name not in _UNSIGNED},
        request.content,
        access_key=key.access_key,
        secret_key=key.secret_key.get_secret_value(),
    )
