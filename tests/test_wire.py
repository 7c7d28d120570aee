"""What goes on the wire is byte for byte what was signed, and goes where it should, whatever the environment says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from certificates import Authority
from connecting import CREATE, GET, KEY, settings
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from pydantic import SecretStr

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import http
from ap_mcp.cloud.client import CloudClient, CloudResponse
from ap_mcp.cloud.retry import ATTEMPTS
from ap_mcp.cloud.signing import verify
from ap_mcp.credentials import Credentials, GivenToken, Identity
from ap_mcp.errors import CloudUnreachable, InvalidArguments, SettingsError

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]


@dataclass
class Wire:
    """A server on a real socket that keeps the bytes it received."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
                data += await stream.receive()
            self.received.append(data)
            await stream.send(self.answer)


def _length(data: bytes) -> int:
    head = data.partition(b"\r\n\r\n")[0].lower()
    return int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")


@asynccontextmanager
async def listening(wire: Wire) -> AsyncIterator[Wire]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        wire.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no query of Django
        group.start_soon(listener.serve, wire.serve)
        yield wire
        group.cancel_scope.cancel()


async def over(wire: Wire, call: HttpCall, identity: Identity = KEY, **values: str) -> CloudResponse:
    with anyio.fail_after(5):
        credentials = Credentials(identity, "a test", project_id="p1")
        async with CloudClient(settings(endpoint=wire.endpoint, **values), credentials) as client:
            return await client.send(call)


def taken_apart(data: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    return method, target, dict(line.split(": ", 1) for line in lines), body


def encoded(value: str) -> str:
    return quote(value, safe="~")


UNUSUAL = [
    "a/b",
    "a b",
    "a+b",
    "100%",
    "%2F",
    "集群",
    "🚀",
    "~x",
    "a..b",
    "x?y#z",
    "a;b,c=d&e",
    "'\"<>\\^`{|}",
    ":@",
    "[]",
]
WIRE_CALLS = [
    GET,
    CREATE,
    replace(GET, query=(("detail", "true"),)),
    *(
        replace(GET, path=f"/v2/charts/{encoded(value)}/values", query=(("name", value), ("b", ""), ("b", "a")))
        for value in UNUSUAL
    ),
    replace(CREATE, path="/v2/charts", content_type="multipart/form-data; boundary=x", body=b"--x\r\n\r\n\xff--x--"),
    replace(CREATE, body='{"description": "集群"}'.encode()),
    replace(CREATE, body=None, idempotent=True),
]


@pytest.mark.parametrize("call", WIRE_CALLS, ids=range(len(WIRE_CALLS)))
async def test_the_bytes_on_the_wire_are_those_that_were_signed(call: HttpCall) -> None:
    async with listening(Wire()) as wire:
        await over(wire, call)
    method, target, headers, body = taken_apart(wire.received[0])
    path, _, query = target.partition("?")
    assert path == call.path
    assert query == "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(call.query))
    assert body == (call.body or b"")
    assert verify(method, path, call.query, headers, body, "the-secret") is None


@pytest.mark.parametrize("call", WIRE_CALLS, ids=range(len(WIRE_CALLS)))
async def test_the_official_signer_would_have_sent_the_same(call: HttpCall) -> None:
    async with listening(Wire()) as wire:
        await over(wire, call)
    _, target, headers, body = taken_apart(wire.received[0])
    signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = SdkRequest(
        method=call.method,
        schema="http",
        host=headers["Host"],
        resource_path=call.path,
        query_params=list(call.query),
        header_params={name: value for name, value in headers.items() if name.lower() in signed},
        body=body,
    )
    Signer(SimpleNamespace(ak="AK", sk="the-secret")).sign(request)
    assert request.header_params["Authorization"] == headers["Authorization"]
    assert request.uri == target
    assert headers["Host"] == f"127.0.0.1:{wire.port}"


@pytest.mark.parametrize(
    "path",
    ["/v2/charts/..", "/v2/../x", "/v2/./x", "/v2/charts/a b", "/v2/charts/é", "/v2/charts/\ud800", "/v2/x?y=1#z"],
)
async def test_a_path_that_would_change_on_its_way_is_never_sent(path: str) -> None:
    await nothing_is_sent(replace(GET, path=path))


async def test_a_query_that_cannot_be_encoded_is_never_sent() -> None:
    await nothing_is_sent(replace(GET, query=(("name", "\ud800"),)))


async def nothing_is_sent(call: HttpCall) -> None:
    sent: list[http.Request] = []

    def answer(request: http.Request) -> http.Response:
        sent.append(request)
        return http.Response(200, json={})

    credentials = Credentials(KEY, "a test", project_id="p1")
    async with CloudClient(settings(), credentials, http.MockTransport(answer)) as client:
        with pytest.raises(InvalidArguments):
            await client.send(call)
    assert sent == []


async def test_neither_netrc_nor_proxies_of_the_environment_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening(Wire()) as wire:
        await over(wire, GET)
        await over(wire, GET, GivenToken(SecretStr("t")))
    assert taken_apart(wire.received[0])[2]["Authorization"].startswith("SDK-HMAC-SHA256 ")
    assert "Authorization" not in taken_apart(wire.received[1])[2]


async def test_a_proxy_of_the_settings_is_passed_by_for_this_machine() -> None:
    async with listening(Wire()) as wire:
        assert (await over(wire, GET, proxy="http://127.0.0.1:9")).body == {}


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"garbage\r\n\r\n"],
    ids=["lost", "cut", "garbled"],
)
async def test_a_cut_connection_is_reported_and_a_creation_not_repeated(answer: bytes) -> None:
    async with listening(Wire(answer=answer)) as wire:
        with pytest.raises(CloudUnreachable, match="before you send it again"):
            await over(wire, CREATE)
        assert len(wire.received) == 1
        with pytest.raises(CloudUnreachable):
            await over(wire, GET)
        assert len(wire.received) == 1 + ATTEMPTS


async def test_an_endpoint_where_nothing_listens_is_reported() -> None:
    async with listening(Wire()) as wire:
        pass
    with pytest.raises(CloudUnreachable, match="Nothing was changed") as raised:
        await over(wire, CREATE)
    assert wire.endpoint in raised.value.render()


async def test_an_answer_that_does_not_unpack_is_reported() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk"
    async with listening(Wire(answer=answer)) as wire:
        with pytest.raises(CloudUnreachable):
            await over(wire, GET)


def test_a_file_that_lost_its_certificates_since_the_start_is_a_settings_error(tmp_path: Path) -> None:
    path = Authority(tmp_path).file
    started = settings(ca_file=path)
    path.write_text("no certificate")
    with pytest.raises(SettingsError, match="AP_MCP_CA_FILE"):
        CloudClient(started, Credentials(KEY, "a test"))
