"""The client repeats only what may be repeated, and turns every answer into a value or an error."""

import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from certificates import Authority
from connecting import CREATE, DELETE, GET, IAM, KEY, copied, settings
from pydantic import SecretStr

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import client as client_module
from ap_mcp.cloud import http
from ap_mcp.cloud.client import CloudClient, CloudResponse
from ap_mcp.cloud.retry import ATTEMPTS, LONGEST_WAIT, send_again
from ap_mcp.cloud.signing import verify
from ap_mcp.credentials import Agency, Credentials, GivenToken, Identity, Password
from ap_mcp.errors import (
    ApMcpError,
    AuthenticationFailed,
    BadAnswer,
    CloudUnreachable,
    CredentialsMissing,
    NotFound,
    ServiceError,
    SettingsError,
    SignatureExpired,
    Throttled,
    Unavailable,
    may_have_happened,
)
from ap_mcp.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

ALICE = Password("alice", SecretStr("pw"), "acme")


@dataclass
class Cloud:
    """Answers in turn with what it was given; the last answer is repeated."""

    answers: list[http.Response | Exception] = field(default_factory=list)
    seen: list[http.Request] = field(default_factory=list)

    def __call__(self, request: http.Request) -> http.Response:
        self.seen.append(copied(request))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return http.Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok(body: Any = None) -> http.Response:
    return http.Response(200, json={"kind": "Cluster"} if body is None else body, headers={"X-Request-Id": "r1"})


def error(status: int, **headers: str) -> http.Response:
    return http.Response(status, json={"error_code": "X.1", "error_msg": "no"}, headers=headers)


def connect(
    handler: Callable[[http.Request], http.Response],
    identity: Identity = KEY,
    project_id: str | None = "p1",
    **values: Any,
) -> CloudClient:
    credentials = Credentials(identity, "a test", project_id=project_id)
    return CloudClient(settings(**values), credentials, http.MockTransport(handler))


async def send(cloud: Cloud, call: HttpCall = GET, **connection: Any) -> CloudResponse:
    async with connect(cloud, **connection) as client:
        return await client.send(call)


async def failure(cloud: Cloud, call: HttpCall = GET, **connection: Any) -> ApMcpError:
    with pytest.raises(ApMcpError) as raised:
        await send(cloud, call, **connection)
    return raised.value


# Answers


async def test_an_answer_comes_with_its_body_and_its_request_id() -> None:
    reply = await send(Cloud([ok({"kind": "Cluster"})]))
    assert (reply.status, reply.body, reply.request_id, reply.sent_again) == (200, {"kind": "Cluster"}, "r1", 0)
    assert reply.content == b'{"kind":"Cluster"}'
    assert reply.headers["content-type"] == "application/json"


async def test_what_a_request_carries() -> None:
    cloud = Cloud([ok()])
    await send(cloud, replace(GET, headers={"X-Extra": "1"}))
    headers = cloud.seen[0].headers
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Project-Id"] == "p1"
    assert headers["X-Extra"] == "1"
    assert headers["User-Agent"].startswith("ap-mcp/")
    assert headers["Authorization"].startswith("SDK-HMAC-SHA256 Access=AK, SignedHeaders=content-type;host;x-extra;")


async def test_a_file_is_asked_for_as_it_is() -> None:
    cloud = Cloud([http.Response(200, content=b"\x1f\x8b")])
    reply = await send(cloud, replace(GET, accepts="application/octet-stream"))
    assert reply.body == b"\x1f\x8b"
    assert cloud.seen[0].headers["Accept-Encoding"] == "identity"


async def test_plain_text_and_empty_answers_are_fine_where_they_are_due() -> None:
    assert (
        await send(Cloud([http.Response(200, text="success")]), replace(DELETE, accepts="text/plain"))
    ).body == "success"
    assert (await send(Cloud([http.Response(204)]), replace(CREATE, accepts=None))).body is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401), AuthenticationFailed),
        (error(404), NotFound),
        (error(400), ServiceError),
        (http.Response(302, headers={"Location": "https://evil.example"}), BadAnswer),
        (http.Response(200, text="<html>"), BadAnswer),
        (http.Response(200, content=b'{"a": '), BadAnswer),
        (http.Response(200, json={"errorCode": "X.1", "errorMessage": "no"}), BadAnswer),
    ],
)
async def test_every_other_answer_is_an_error_raised_once(answer: http.Response, kind: type[ServiceError]) -> None:
    cloud = Cloud([answer])
    assert type(await failure(cloud)) is kind
    assert len(cloud.seen) == 1


async def test_an_error_knows_operation_and_permission() -> None:
    raised = await failure(Cloud([error(403)]))
    assert "get_cluster failed" in raised.render()
    assert "cce:cluster:get" in raised.render()


async def test_secrets_that_the_service_repeats_do_not_show() -> None:
    answer = http.Response(401, json={"error_code": "APIGW.0301", "error_msg": "canonicalRequest ... the-secret ..."})
    assert "the-secret" not in (await failure(Cloud([answer]))).render()


async def test_an_answer_beyond_the_limit_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LARGEST_ANSWER", 1024 * 1024)
    raised = await failure(Cloud([http.Response(200, content=b"x" * (1024 * 1024 + 1))]))
    assert isinstance(raised, BadAnswer)
    assert "larger than 1 MiB" in raised.render()


async def test_cookies_of_an_answer_are_not_sent_back() -> None:
    cloud = Cloud([http.Response(200, json={}, headers={"Set-Cookie": "a=b; Path=/"})])
    async with connect(cloud) as client:
        await client.send(GET)
        await client.send(GET)
    assert "Cookie" not in cloud.seen[1].headers


# Sending again

LOST = http.ReadTimeout("slow")
NEVER = http.ConnectError("[Errno 111] Connection refused")


@pytest.mark.parametrize("call", [GET, CREATE, DELETE], ids=lambda call: call.operation_id)
@pytest.mark.parametrize("trouble", [NEVER, http.ConnectTimeout("x"), http.PoolTimeout("x"), error(429)], ids=repr)
async def test_what_was_never_accepted_is_sent_again_whatever_it_is(
    trouble: http.Response | Exception, call: HttpCall
) -> None:
    cloud = Cloud([trouble, trouble, ok()])
    assert (await send(cloud, call)).sent_again == 2
    assert len(cloud.seen) == 3


TROUBLE: list[http.Response | Exception] = [
    LOST,
    http.ReadError("x"),
    http.RemoteProtocolError("x"),
    ConnectionResetError(),
    *(error(status) for status in (500, 502, 503, 504)),
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=repr)
async def test_what_may_have_arrived_is_sent_again_if_that_does_no_harm(trouble: http.Response | Exception) -> None:
    cloud = Cloud([trouble, ok()])
    assert (await send(cloud, DELETE)).sent_again == 1


@pytest.mark.parametrize("trouble", TROUBLE, ids=repr)
async def test_a_creation_that_may_have_arrived_is_never_sent_again(trouble: http.Response | Exception) -> None:
    cloud = Cloud([trouble, ok()])
    raised = await failure(cloud, CREATE)
    assert len(cloud.seen) == 1
    assert "before you send it again" in raised.render()
    if isinstance(raised, CloudUnreachable):
        assert raised.may_have_arrived


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500 + 1])
async def test_a_clear_no_is_not_asked_again(status: int) -> None:
    cloud = Cloud([error(status), ok()])
    await failure(cloud)
    assert len(cloud.seen) == 1


async def test_sending_again_ends() -> None:
    cloud = Cloud([error(503)])
    assert isinstance(await failure(cloud), Unavailable)
    assert len(cloud.seen) == ATTEMPTS
    cloud = Cloud([error(429)])
    assert isinstance(await failure(cloud, CREATE), Throttled)
    assert len(cloud.seen) == ATTEMPTS


async def test_a_lost_read_changed_nothing_and_says_so() -> None:
    raised = await failure(Cloud([LOST]))
    assert isinstance(raised, CloudUnreachable)
    assert not raised.may_have_arrived
    assert "Nothing was changed" in raised.render()
    assert "AP_MCP_TIMEOUT" in raised.render()


FAILED_TLS = [
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)", "has expired"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid (_ssl.c:1)", "not valid yet"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is", "another host name"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch, certificate", "another host name"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1)", "is self-signed"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: self signed certificate (_ssl.c:1)", "is self-signed"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain", "authority"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate", "authority"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to verify the first certificate", "authority"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: CA md too weak (_ssl.c:1006)", "ca md too weak"),
    ("WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "speaks no TLS"),
    ("SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure (_ssl.c:1006)", "ended the TLS handshake"),
]


@pytest.mark.parametrize(("said", "words"), FAILED_TLS)
async def test_what_tls_finds_wrong_has_words_of_its_own_and_is_not_tried_again(said: str, words: str) -> None:
    cloud = Cloud([http.ConnectError(f"[SSL: {said}")])
    shown = (await failure(cloud, CREATE)).render()
    assert words in shown
    assert ("AP_MCP_CA_FILE" in shown) == (words in {"authority", "is self-signed"})
    assert ("clock shows" in shown) == (words in {"has expired", "not valid yet"})
    assert "Nothing was changed" in shown
    assert len(cloud.seen) == 1


async def test_a_list_of_authorities_of_ones_own_is_named_where_it_falls_short(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    untrusted = http.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate")
    shown = (await failure(Cloud([untrusted]), ca_file=authority.file)).render()
    assert f'add its certificate to "{authority.file}", which AP_MCP_CA_FILE names' in shown


async def test_a_tls_failure_that_may_pass_is_tried_again() -> None:
    cloud = Cloud([http.ConnectError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"), ok()])
    assert (await send(cloud, CREATE)).sent_again == 1


@pytest.mark.parametrize("trouble", [http.ConnectError("x"), http.ConnectTimeout("x"), http.ReadTimeout("x")])
@pytest.mark.parametrize("identity", [KEY, ALICE])
async def test_an_iam_that_does_not_answer_is_named_by_its_own_setting(trouble: Exception, identity: Identity) -> None:
    shown = (await failure(Cloud([trouble]), identity=identity, project_id=None)).render()
    assert "AP_MCP_ENDPOINT" not in shown
    assert "AP_MCP_IAM_ENDPOINT" in shown or "taken effect" in shown


async def test_a_name_that_is_not_known_and_a_port_where_nobody_listens_are_told_apart() -> None:
    unknown, refused = http.ConnectError("x"), http.ConnectError("x")
    unknown.__cause__, refused.__cause__ = socket.gaierror(-2, "x"), ConnectionRefusedError()
    assert "its name is not known here (DNS)" in (await failure(Cloud([unknown]))).render()
    assert "nothing listens there" in (await failure(Cloud([refused]))).render()


# A signature that grew old on its way

OLD = {"error_code": "APIGW.0301", "error_msg": "calc aksk signature fail:signature expired, signature time:x"}


def turned_away(body: Any = None) -> http.Response:
    return http.Response(401, json=body or OLD)


@pytest.mark.parametrize("call", [GET, CREATE, DELETE])
async def test_a_request_turned_away_for_its_old_signature_is_signed_anew_and_sent_once_more(call: HttpCall) -> None:
    start = datetime(2026, 11, 29, 12, tzinfo=UTC)
    moments = (start + timedelta(seconds=number) for number in range(100))
    cloud = Cloud([turned_away(), ok()])
    credentials = Credentials(KEY, "a test", project_id="p1")
    async with CloudClient(settings(), credentials, http.MockTransport(cloud), lambda: next(moments)) as client:
        assert (await client.send(call)).sent_again == 1
    first, second = cloud.seen
    assert first.headers["X-Sdk-Date"] != second.headers["X-Sdk-Date"]
    for request in cloud.seen:
        path, headers = request.url.path, dict(request.headers)
        assert verify(call.method, path, call.query, headers, request.content, "the-secret") is None


async def test_it_is_sent_once_more_and_no_more() -> None:
    cloud = Cloud([turned_away()])
    raised = await failure(cloud, CREATE)
    assert isinstance(raised, SignatureExpired)
    assert not may_have_happened(raised)
    assert len(cloud.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        turned_away({"error_msg": "verify aksk signature fail"}),
        turned_away({"error_msg": "the security token has expired"}),
        http.Response(401, text="<html>signature expired"),
        http.Response(403, json=OLD),
        http.Response(400, json=OLD),
    ],
)
async def test_no_other_refusal_makes_a_request_go_out_again(answer: http.Response) -> None:
    cloud = Cloud([answer])
    await failure(cloud, CREATE)
    assert len(cloud.seen) == 1


async def test_a_token_is_not_signed_anew() -> None:
    cloud = Cloud([turned_away()])
    await failure(cloud, CREATE, identity=GivenToken(SecretStr("t")))
    assert len(cloud.seen) == 1


# Nothing is configured


async def test_without_any_configuration_one_error_names_all_that_is_missing_the_region_first() -> None:
    agency = Agency(("HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK: not set", "/home/me/.huaweicloud/credentials: no"))
    cloud = Cloud([ok()])
    shown = (await failure(cloud, identity=agency, project_id=None, region=None, endpoint=None)).render()
    places = [shown.index(name) for name in ("AP_MCP_REGION", *agency.searched, "HUAWEICLOUD_SDK_PROJECT_ID")]
    assert places == sorted(places)
    assert cloud.seen == []
    only_region = (await failure(cloud, region=None, endpoint=None)).render()
    assert "AP_MCP_REGION" in only_region
    assert "Keys" not in only_region
    assert "PROJECT" not in only_region


async def test_a_long_wait_is_left_to_the_caller() -> None:
    cloud = Cloud([error(429, **{"Retry-After": "120"})])
    raised = await failure(cloud)
    assert len(cloud.seen) == 1
    assert "in 120 s" in raised.render()


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(None, True), (0.0, 0.0), (7.0, 7.0), (LONGEST_WAIT, LONGEST_WAIT), (16.0, False)]
)
def test_the_wait_is_what_the_service_asks_for(retry_after: float | None, wait: bool | float) -> None:
    throttled = Throttled(status=429, operation=CREATE.operation_id, retry_after=retry_after)
    assert send_again(throttled, CREATE) is wait or send_again(throttled, CREATE) == wait


def test_an_error_of_another_operation_is_not_repeated_twice_over() -> None:
    assert not send_again(Throttled(status=429, operation="sign_in"), CREATE)
    assert not send_again(ValueError(), CREATE)


async def test_a_request_that_is_sent_again_is_signed_again() -> None:
    cloud = Cloud([error(503), ok()])
    await send(cloud)
    first, second = cloud.seen
    assert first is not second
    assert "Authorization" in second.headers


async def test_a_cancelled_call_ends_at_once() -> None:
    async def hang(_: http.Request) -> http.Response:
        await anyio.sleep_forever()
        raise AssertionError

    credentials = Credentials(KEY, "a test", project_id="p1")
    async with CloudClient(settings(), credentials, http.MockTransport(hang)) as client:
        with anyio.move_on_after(0.01) as scope:
            await client.send(GET)
    assert scope.cancelled_caught


async def test_an_answer_that_trickles_forever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WHOLE_ATTEMPT", 0.01)

    async def hang(_: http.Request) -> http.Response:
        await anyio.sleep_forever()
        raise AssertionError

    credentials = Credentials(KEY, "a test", project_id="p1")
    async with CloudClient(settings(timeout=1), credentials, http.MockTransport(hang)) as client:
        with pytest.raises(CloudUnreachable, match="no complete answer in time") as raised:
            await client.send(CREATE)
    assert raised.value.may_have_arrived


async def test_a_read_whose_answer_trickles_forever_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WHOLE_ATTEMPT", 0.05)
    sent = []

    class Trickle(http.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await anyio.sleep(0.001)

    async def answer(request: http.Request) -> http.Response:
        sent.append(request.method)
        return http.Response(200, stream=Trickle())

    credentials = Credentials(KEY, "a test", project_id="p1")
    async with CloudClient(settings(timeout=1), credentials, http.MockTransport(answer)) as client:
        with pytest.raises(CloudUnreachable, match="no complete answer in time"):
            await client.send(GET)
    assert sent == ["GET"]


# Project


def projects(*rows: Any) -> http.Response:
    return ok({"projects": list(rows), "links": {}})


async def test_a_given_project_is_not_searched_for() -> None:
    cloud = Cloud([ok()])
    async with connect(cloud) as client:
        assert await client.project_id() == "p1"
    assert cloud.seen == []


async def test_the_project_is_searched_for_once_for_all_who_wait() -> None:
    cloud = Cloud([projects({"id": "p7", "name": "ap-southeast-1"})])
    found: list[str] = []
    async with connect(cloud, project_id=None) as client:

        async def ask() -> None:
            found.append(await client.project_id())

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
    assert found == ["p7"] * 5
    (request,) = cloud.seen
    assert str(request.url) == f"{IAM}/v3/projects?name=ap-southeast-1"
    assert "Authorization" in request.headers
    assert "X-Project-Id" not in request.headers


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (projects(), "no project by the name"),
        (projects({"id": "p1", "name": "other"}), "no project by the name"),
        (projects({"id": "a", "name": "ap-southeast-1"}, {"id": "b", "name": "ap-southeast-1"}), "2 projects"),
        (ok({"projects": "unexpected"}), "no project by the name"),
        (ok([]), "no project by the name"),
        (projects({"id": 5}, "x"), "no project by the name"),
    ],
)
async def test_no_or_several_projects_are_an_error_that_says_so(answer: http.Response, words: str) -> None:
    raised = await failure(Cloud([answer]), project_id=None)
    assert isinstance(raised, SettingsError)
    assert words in raised.render()
    assert "HUAWEICLOUD_SDK_PROJECT_ID" in raised.render()


async def test_a_project_of_another_name_than_the_region_is_searched_for_by_that_name() -> None:
    cloud = Cloud([projects({"id": "p7", "name": "ap-southeast-1_dev"})])
    credentials = Credentials(KEY, "a test", project_name="ap-southeast-1_dev")
    async with CloudClient(settings(), credentials, http.MockTransport(cloud)) as client:
        assert await client.project_id() == "p7"
    assert cloud.seen[0].url.query == b"name=ap-southeast-1_dev"


@pytest.mark.parametrize(
    ("values", "project_id", "words"),
    [
        ({"endpoint": None, "region": None}, "p1", "AP_MCP_REGION"),
        ({"region": None}, None, "HUAWEICLOUD_SDK_PROJECT_ID"),
        ({"region": "private", "iam_endpoint": None}, None, "AP_MCP_IAM_ENDPOINT"),
    ],
)
async def test_what_is_not_set_is_named_when_it_is_needed(
    values: dict[str, Any], project_id: str | None, words: str
) -> None:
    raised = await failure(Cloud([ok()]), project_id=project_id, **values)
    assert isinstance(raised, SettingsError)
    assert words in raised.render()


@pytest.mark.parametrize(("given", "used"), [(None, "from-file.example"), ("https://given.example", "given.example")])
async def test_the_iam_of_the_credentials_file_is_used_unless_another_was_chosen(given: str | None, used: str) -> None:
    cloud = Cloud([projects({"id": "p7", "name": "ap-southeast-1"})])
    chosen = Settings(region="ap-southeast-1") if given is None else settings(iam_endpoint=given)
    credentials = Credentials(KEY, "a file", iam_endpoint="https://from-file.example")
    async with CloudClient(chosen, credentials, http.MockTransport(cloud)) as client:
        await client.project_id()
    assert cloud.seen[0].url.host == used


# Other ways to prove who calls


def with_iam(cloud: Cloud, *tokens: http.Response) -> Callable[[http.Request], http.Response]:
    queue = list(tokens)

    def answer(request: http.Request) -> http.Response:
        if request.url.path != "/v3/auth/tokens":
            return cloud(request)
        assert not {"authorization", "x-auth-token"} & set(request.headers)
        cloud.seen.append(copied(request))
        return queue.pop(0)

    return answer


def token(name: str) -> http.Response:
    return http.Response(
        201, json={"token": {"expires_at": "2999-01-01T00:00:00.000000Z"}}, headers={"X-Subject-Token": name}
    )


async def test_a_password_is_exchanged_once_and_the_token_sent() -> None:
    cloud = Cloud([ok()])
    async with connect(with_iam(cloud, token("t1")), ALICE) as client:
        await client.send(GET)
        await client.send(GET)
    assert [request.headers.get("X-Auth-Token") for request in cloud.seen] == [None, "t1", "t1"]
    assert json.loads(cloud.seen[0].content)["auth"]["scope"] == {"project": {"id": "p1"}}


async def test_a_token_is_asked_for_by_the_projects_name_if_its_id_is_unknown() -> None:
    cloud = Cloud([projects({"id": "p7", "name": "ap-southeast-1"}), ok()])
    async with connect(with_iam(cloud, token("t1")), ALICE, project_id=None) as client:
        await client.send(GET)
    assert json.loads(cloud.seen[0].content)["auth"]["scope"] == {"project": {"name": "ap-southeast-1"}}


async def test_a_wrong_password_is_reported_as_a_failed_sign_in() -> None:
    cloud = Cloud([ok()])
    refused = http.Response(401, json={"error": {"code": 401, "message": "The username or password is wrong."}})
    async with connect(with_iam(cloud, refused), ALICE) as client:
        with pytest.raises(AuthenticationFailed, match="sign_in failed: HTTP 401"):
            await client.send(GET)
    assert len(cloud.seen) == 1


async def test_an_expired_token_is_replaced_even_for_a_creation() -> None:
    cloud = Cloud([error(401), ok()])
    async with connect(with_iam(cloud, token("t1"), token("t2")), ALICE) as client:
        await client.send(CREATE)
    assert [request.headers.get("X-Auth-Token") for request in cloud.seen] == [None, "t1", None, "t2"]


async def test_without_any_project_there_is_nothing_to_sign_in_to() -> None:
    raised = await failure(Cloud([ok()]), identity=ALICE, project_id=None, region=None)
    assert isinstance(raised, SettingsError)
    assert "AP_MCP_REGION" in raised.render()


async def test_a_given_token_is_sent_as_it_is() -> None:
    cloud = Cloud([ok()])
    await send(cloud, identity=GivenToken(SecretStr("MIIxyz")))
    assert cloud.seen[0].headers["X-Auth-Token"] == "MIIxyz"


async def test_a_machine_without_any_credentials_is_an_error_with_every_place_searched() -> None:
    raised = await failure(Cloud([http.ConnectError("x")]), identity=Agency(("HUAWEICLOUD_SDK_AK: not set",)))
    assert isinstance(raised, CredentialsMissing)
    assert "HUAWEICLOUD_SDK_AK: not set" in raised.render()
