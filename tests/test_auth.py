"""Keys and tokens are proven, renewed in time, and fetched once for all who wait."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from connecting import copied
from pydantic import SecretStr

from ap_mcp.cloud import http
from ap_mcp.cloud.agency import fetch_agency_key
from ap_mcp.cloud.auth import (
    FixedKey,
    FixedToken,
    PasswordToken,
    RenewedKey,
    SignedAuth,
    TokenAuth,
    parse_moment,
    read_token,
    token_call,
)
from ap_mcp.cloud.signing import parse_authorization, verify
from ap_mcp.credentials import AccessKey, Agency, Password
from ap_mcp.errors import BadAnswer, CredentialsMissing

pytestmark = pytest.mark.anyio

START = datetime(2024, 6, 4, 12, 0, tzinfo=UTC)
PLACES = Agency(("HUAWEICLOUD_SDK_AK: not set",))
Handler = Callable[[http.Request], http.Response]


class Clock:
    """A clock that moves only when it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **units: float) -> None:
        self.now += timedelta(**units)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def key(name: str = "AK", expires_at: datetime | None = None) -> AccessKey:
    return AccessKey(name, SecretStr("the-secret"), SecretStr("the-token") if expires_at else None, expires_at)


async def sent_with(auth: http.Auth, handler: Handler | None = None, **request: Any) -> list[http.Request]:
    """Send one request and return all that reached the other side."""
    seen: list[http.Request] = []

    def answer(received: http.Request) -> http.Response:
        seen.append(copied(received))
        return handler(received) if handler else http.Response(200)

    arguments = {"method": "GET", "url": "https://cce.example/v3/x?b=2&a=1"} | request
    async with http.AsyncClient(transport=http.MockTransport(answer), auth=auth, trust_env=False) as client:
        await client.request(**arguments)
    return seen


# Signatures


async def test_a_request_is_signed_over_what_is_sent(clock: Clock) -> None:
    auth = SignedAuth(FixedKey(key("AK", START)), clock)
    (request,) = await sent_with(auth, method="POST", content=b"{}", headers={"X-Project-Id": "p1"})
    assert request.headers["X-Sdk-Date"] == "20240604T120000Z"
    assert request.headers["X-Security-Token"] == "the-token"
    authorization = parse_authorization(request.headers["Authorization"])
    assert authorization is not None
    assert set(authorization.signed_headers) == {"host", "x-project-id", "x-sdk-date", "x-security-token"}
    query = (("b", "2"), ("a", "1"))
    assert verify("POST", "/v3/x", query, request.headers, request.content, "the-secret") is None


async def test_a_permanent_key_sends_no_security_token(clock: Clock) -> None:
    (request,) = await sent_with(SignedAuth(FixedKey(key()), clock))
    assert "X-Security-Token" not in request.headers


async def test_a_multipart_body_is_named_unsigned(clock: Clock) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    auth = SignedAuth(FixedKey(key()), clock)
    (request,) = await sent_with(auth, method="POST", content=b"--x--", headers=headers)
    assert request.headers["X-Sdk-Content-Sha256"] == "UNSIGNED-PAYLOAD"
    assert "x-sdk-content-sha256" in request.headers["Authorization"]


async def test_the_values_to_hide_are_those_in_use(clock: Clock) -> None:
    auth = SignedAuth(FixedKey(key("AK", START)), clock)
    assert auth.secrets() == ()
    await sent_with(auth)
    assert set(auth.secrets()) == {"the-secret", "the-token", "AK"}


# Temporary keys


class Agencies:
    """Hands out keys that live for two hours, and counts them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fetched = 0
        self.broken = False

    async def __call__(self) -> AccessKey:
        await anyio.lowlevel.checkpoint()
        if self.broken:
            raise CredentialsMissing(["agency: gone"])
        self.fetched += 1
        return key(f"AK{self.fetched}", self.clock() + timedelta(hours=2))


async def test_temporary_keys_are_kept_until_less_than_40_minutes_are_left(clock: Clock) -> None:
    agencies = Agencies(clock)
    source = RenewedKey(agencies, clock)
    assert (await source.current()).access_key == "AK1"
    clock.advance(minutes=80)
    assert (await source.current()).access_key == "AK1"
    clock.advance(seconds=1)
    assert (await source.current()).access_key == "AK2"


async def test_temporary_keys_are_fetched_once_for_concurrent_callers(clock: Clock) -> None:
    agencies = Agencies(clock)
    source = RenewedKey(agencies, clock)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(source.current)
    assert agencies.fetched == 1


async def test_keys_that_still_live_are_used_on_when_no_others_can_be_obtained(clock: Clock) -> None:
    agencies = Agencies(clock)
    source = RenewedKey(agencies, clock)
    await source.current()
    agencies.broken = True
    clock.advance(minutes=100)
    assert (await source.current()).access_key == "AK1"
    clock.advance(minutes=21)
    with pytest.raises(CredentialsMissing):
        await source.current()


def metadata(keys: http.Response, session: http.Response | None = None) -> http.MockTransport:
    def answer(request: http.Request) -> http.Response:
        assert request.url.host == "169.254.169.254"
        if request.method == "PUT":
            assert request.url.path == "/meta-data/latest/api/token"
            assert request.headers["X-Metadata-Token-Ttl-Seconds"] == "21600"
            return session or http.Response(200, text="session\n")
        assert request.url.path == "/openstack/latest/securitykey"
        expected = None if session and session.status_code != 200 else "session"
        assert request.headers.get("X-Metadata-Token") == expected
        return keys

    return http.MockTransport(answer)


GOOD = {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": "2024-06-04T14:00:00.000000Z"}


@pytest.mark.parametrize("session", [None, http.Response(404)], ids=["with a session", "of the first generation"])
async def test_the_server_hands_out_the_keys_of_its_agency(session: http.Response | None) -> None:
    async with http.AsyncClient(transport=metadata(http.Response(200, json={"credential": GOOD}), session)) as client:
        found = await fetch_agency_key(client, PLACES)
    assert (found.access_key, found.secret_key.get_secret_value()) == ("AK", "SK")
    assert found.security_token is not None
    assert found.security_token.get_secret_value() == "ST"
    assert found.expires_at == START + timedelta(hours=2)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (http.Response(404), "answers 404; is an agency assigned"),
        (http.Response(200, text="<html>"), "holds no credential"),
        (http.Response(200, json=[]), "holds no credential"),
        (http.Response(200, json={"credential": GOOD | {"secret": None}}), "is incomplete"),
        (http.Response(200, json={"credential": GOOD | {"expires_at": "soon"}}), "is incomplete"),
    ],
)
async def test_a_server_without_keys_is_an_error_with_every_place_searched(response: http.Response, words: str) -> None:
    async with http.AsyncClient(transport=metadata(response)) as client:
        with pytest.raises(CredentialsMissing, match=words) as raised:
            await fetch_agency_key(client, PLACES)
    assert "HUAWEICLOUD_SDK_AK: not set" in raised.value.render()


@pytest.mark.parametrize(
    ("error", "words"),
    [(http.ConnectError("no route"), "not reachable"), (TimeoutError(), "did not answer within 3 s")],
)
async def test_a_machine_outside_the_cloud_is_an_error_with_every_place_searched(error: Exception, words: str) -> None:
    def answer(_: http.Request) -> http.Response:
        raise error

    async with http.AsyncClient(transport=http.MockTransport(answer)) as client:
        with pytest.raises(CredentialsMissing, match=words):
            await fetch_agency_key(client, PLACES)


# Tokens


class Iam:
    """Hands out tokens that live for a day, and counts them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fetched = 0

    async def __call__(self) -> tuple[str, datetime]:
        await anyio.lowlevel.checkpoint()
        self.fetched += 1
        return f"token{self.fetched}", self.clock() + timedelta(hours=24)


async def test_a_token_is_fetched_once_for_concurrent_callers_and_renewed_before_its_end(clock: Clock) -> None:
    iam = Iam(clock)
    source = PasswordToken(iam, clock)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(source.current)
    assert (await source.current(), iam.fetched) == ("token1", 1)
    clock.advance(hours=23.4)
    assert await source.current() == "token1"
    clock.advance(hours=0.2)
    assert await source.current() == "token2"


async def test_a_refused_token_is_replaced_once_for_concurrent_callers(clock: Clock) -> None:
    iam = Iam(clock)
    source = PasswordToken(iam, clock)
    await source.current()
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(source.replace, "token1")
    assert (await source.current(), iam.fetched) == ("token2", 2)


async def test_a_token_is_sent_without_a_signature() -> None:
    auth = TokenAuth(FixedToken("MIIxyz"))
    (request,) = await sent_with(auth)
    assert request.headers["X-Auth-Token"] == "MIIxyz"
    assert not {"authorization", "x-sdk-date"} & set(request.headers)
    assert auth.secrets() == ("MIIxyz",)


def refuses(*tokens: str) -> Handler:
    return lambda request: http.Response(401 if request.headers["X-Auth-Token"] in tokens else 200)


async def test_a_refused_token_is_replaced_and_the_request_sent_again(clock: Clock) -> None:
    auth = TokenAuth(PasswordToken(Iam(clock), clock))
    seen = await sent_with(auth, refuses("token1"), method="POST", content=b"body")
    assert [request.headers["X-Auth-Token"] for request in seen] == ["token1", "token2"]
    assert seen[1].content == b"body"


async def test_a_second_refusal_stands(clock: Clock) -> None:
    auth = TokenAuth(PasswordToken(Iam(clock), clock))
    assert len(await sent_with(auth, refuses("token1", "token2", "token3"))) == 2


async def test_a_given_token_that_is_refused_is_not_sent_again() -> None:
    assert len(await sent_with(TokenAuth(FixedToken("t")), refuses("t"))) == 1


def test_a_password_is_exchanged_for_a_token_of_one_project() -> None:
    call = token_call(Password("alice", SecretStr("pä"), "acme"), {"name": "cn-north-4"})
    assert (call.method, call.path, call.content_type) == ("POST", "/v3/auth/tokens", "application/json")
    assert json.loads(call.body or b"") == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "alice", "password": "pä", "domain": {"name": "acme"}}},
            },
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }
    assert "pä" not in repr(call)


@pytest.mark.parametrize("body", [{}, None, [], {"token": {}}, {"token": {"expires_at": "soon"}}])
def test_a_token_without_an_end_lives_for_a_day(body: Any) -> None:
    assert read_token(201, "MII", body, START) == ("MII", START + timedelta(hours=24))


def test_the_end_of_a_token_is_that_of_the_answer() -> None:
    body = {"token": {"expires_at": "2024-06-05T06:52:13.855000Z"}}
    assert read_token(201, "MII", body, START)[1] == datetime(2024, 6, 5, 6, 52, 13, 855000, tzinfo=UTC)


def test_an_answer_without_a_token_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="X-Subject-Token"):
        read_token(201, "", {}, START)


def test_a_time_without_a_zone_is_taken_for_utc() -> None:
    assert parse_moment("2024-06-04T12:00:00") == START


def test_tokens_and_keys_do_not_show() -> None:
    shown = repr([FixedToken("MIIxyz"), FixedKey(key("AK", START))])
    assert not any(secret in shown for secret in ("MIIxyz", "the-secret", "the-token"))
