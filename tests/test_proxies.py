"""A proxy is named when it is what fails, never its password; one that is set elsewhere only is hinted at."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
import stamina
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from certificates import Authority
from connecting import CREATE, GET, KEY, settings
from hypothesis import example, given
from hypothesis import strategies as st

from ap_mcp.cloud import http
from ap_mcp.cloud.client import CloudClient, CloudResponse
from ap_mcp.cloud.retry import ATTEMPTS
from ap_mcp.credentials import Credentials
from ap_mcp.errors import CloudUnreachable, SettingsError
from ap_mcp.settings import load_settings

PASSWORD = "hunter2"
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True, scope="module")
def no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture(autouse=True, scope="module")
def no_proxy_of_others() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("https_proxy", "all_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield


# Its address


def no_part(password: str, said: str) -> bool:
    """Say whether nothing of a password shows: no run of four of its characters that our own words do not have."""
    words = "AP_MCP_PROXY: must be http://host:port or http://user:password@host:port, without a path; percent-encode"
    parts = {password[start : start + 4] for start in range(len(password) - 3)}
    return not any(part in said for part in parts if part not in words)


@given(st.text(min_size=1, max_size=20), st.sampled_from(["http", "https"]))
@example("Hunter2/secret", "http")
@example("Hunter2#secret", "http")
@example("Hunter2?secret", "https")
@example("Hunter2[secret", "http")
@example("Hunter2\\secret", "http")
@example("12345/67890", "http")
def test_any_password_of_a_proxy_is_used_or_refused_without_any_part_of_it(password: str, scheme: str) -> None:
    url = f"{scheme}://me:{password}@proxy.example:3128"
    try:
        settings = load_settings(proxy=url, region="ap-southeast-1")
    except SettingsError as error:
        said = error.render()
        assert "--proxy: " in said
        assert "percent-encode" in said
        assert no_part(password, said)
    else:
        assert settings.proxy is not None
        proxy = http.Proxy(settings.proxy.get_secret_value())
        assert (proxy.url.host, proxy.url.port, proxy.raw_auth and proxy.raw_auth[0]) == ("proxy.example", 3128, b"me")


@given(st.text(min_size=1, max_size=20))
@example("a/b#c")
def test_a_percent_encoded_password_of_a_proxy_arrives_as_it_is(password: str) -> None:
    settings = load_settings(proxy=f"http://me:{quote(password, safe='')}@proxy.example:3128", region="ap-southeast-1")
    assert settings.proxy is not None
    assert http.Proxy(settings.proxy.get_secret_value()).raw_auth == (b"me", password.encode())


@pytest.mark.parametrize(
    "proxy",
    ["http://", "http://proxy.example/path", "http://proxy.example?x", "http://proxy.example:x", "proxy.example:3128"],
)
def test_a_proxy_is_a_host_and_perhaps_a_user(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_PROXY", proxy)
    with pytest.raises(SettingsError, match=r"- AP_MCP_PROXY: must"):
        load_settings()


# On the way through it


@asynccontextmanager
async def listening(
    serve: Callable[[ByteStream], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on a free port of this machine; yields the port."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no query of Django
        served = listener if context is None else TLSListener(listener, context, standard_compatible=False)
        group.start_soon(served.serve, serve)
        yield port
        group.cancel_scope.cancel()


def proxy_that_answers(status: str, seen: list[bytes]) -> Callable[[ByteStream], Awaitable[None]]:
    """A proxy that answers each CONNECT with a status, or with nothing."""

    async def serve(stream: ByteStream) -> None:
        async with stream:
            seen.append(await stream.receive())
            if status:
                await stream.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    return serve


def proxy_to(port: int) -> Callable[[ByteStream], Awaitable[None]]:
    """A proxy that leads every CONNECT to a port of this machine."""

    async def serve(stream: ByteStream) -> None:
        async with stream, await anyio.connect_tcp("127.0.0.1", port) as behind, anyio.create_task_group() as group:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
            group.start_soon(copied, stream, behind)
            await copied(behind, stream)
            group.cancel_scope.cancel()

    return serve


async def copied(source: ByteStream, target: ByteStream) -> None:
    try:
        async for chunk in source:
            await target.send(chunk)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return


async def answer_ok(stream: ByteStream) -> None:
    async with stream:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


async def through(proxy: str, **values: object) -> CloudResponse:
    chosen = settings(proxy=proxy, **values)
    with anyio.fail_after(10):
        async with CloudClient(chosen, Credentials(KEY, "a test", project_id="p1")) as client:
            return await client.send(CREATE)


async def failed(proxy: str, **values: object) -> str:
    with pytest.raises(CloudUnreachable) as raised:
        await through(proxy, **values)
    shown = raised.value.render()
    assert "AP_MCP_PROXY" in shown
    assert PASSWORD not in shown
    assert not raised.value.may_have_arrived
    return shown


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "login", "words", "attempts"),
    [
        ("407 Proxy Authentication Required", "", "asks for a user and password", 1),
        ("407 Proxy Authentication Required", f"me:{PASSWORD}@", "does not accept the user and password", 1),
        ("403 Forbidden", f"me:{PASSWORD}@", "does not let requests through to cce.example", 1),
        ("418 hunter2", "", "does not let requests through to cce.example: 418", 1),
        ("502 Bad Gateway", "", "cannot reach cce.example", ATTEMPTS),
        ("", "", "did not open the way: the connection was cut", ATTEMPTS),
    ],
)
async def test_a_proxy_that_says_no_is_named_and_asked_again_only_if_that_may_help(
    status: str, login: str, words: str, attempts: int
) -> None:
    seen: list[bytes] = []
    async with listening(proxy_that_answers(status, seen)) as port:
        shown = await failed(f"http://{login}127.0.0.1:{port}")
    assert f"the proxy 127.0.0.1:{port} of AP_MCP_PROXY" in shown
    assert words in shown
    assert len(seen) == attempts


@pytest.mark.anyio
async def test_a_proxy_that_is_down_is_named() -> None:
    async with listening(answer_ok) as port:
        pass
    shown = await failed(f"http://me:{PASSWORD}@127.0.0.1:{port}")
    assert f"the proxy 127.0.0.1:{port} of AP_MCP_PROXY cannot be reached: the connection was refused" in shown


@pytest.mark.anyio
async def test_a_proxy_reached_by_tls_is_named_when_its_certificate_will_not_do(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with listening(answer_ok, authority.server_context("proxy.example")) as port:
        shown = await failed(f"https://127.0.0.1:{port}")
    assert (
        f"the proxy 127.0.0.1:{port} of AP_MCP_PROXY: its certificate was issued by an authority that is not trusted"
        in shown
    )
    async with listening(proxy_that_answers("403 No", []), authority.server_context("localhost")) as port:
        shown = await failed(f"https://localhost:{port}", ca_file=authority.file)
    assert "does not let requests through to cce.example: 403" in shown
    async with listening(proxy_that_answers("200 OK", [])) as port:
        shown = await failed(f"https://127.0.0.1:{port}")
    assert f"the proxy 127.0.0.1:{port} of AP_MCP_PROXY: what answers there speaks no TLS" in shown


@pytest.mark.anyio
async def test_what_fails_behind_the_proxy_is_not_blamed_on_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        listening(answer_ok, authority.server_context("cce.example")) as port,
        listening(proxy_to(port)) as proxy,
    ):
        address = f"http://me:{PASSWORD}@127.0.0.1:{proxy}"
        with pytest.raises(CloudUnreachable) as raised:
            await through(address)
        assert (await through(address, ca_file=authority.file)).body == {}
        with pytest.raises(CloudUnreachable) as other:
            await through(address, endpoint="https://other.example", ca_file=authority.file)
    assert "(its certificate was issued by an authority that is not trusted here)" in raised.value.render()
    assert "(its certificate is for another host name)" in other.value.render()


# TLS of the endpoint itself


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "starts", "ends", "words"),
    [
        ("localhost", -2, 2, None),
        ("localhost", -4, -2, "has expired"),
        ("localhost", 2, 4, "is not valid yet"),
        ("other.example", -2, 2, "is for another host name"),
    ],
)
async def test_a_certificate_that_will_not_do_is_reported_by_what_is_wrong_with_it(
    host: str, starts: int, ends: int, words: str | None, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    day = timedelta(days=1)
    context = authority.server_context(host, NOW + starts * day, NOW + ends * day)
    async with listening(answer_ok, context) as port:
        chosen = settings(endpoint=f"https://localhost:{port}", ca_file=authority.file)
        async with CloudClient(chosen, Credentials(KEY, "a test", project_id="p1")) as client:
            if words is None:
                assert (await client.send(GET)).body == {}
                return
            with pytest.raises(CloudUnreachable) as raised:
                await client.send(GET)
    assert f"its certificate {words}" in raised.value.render()
    assert "AP_MCP_CA_FILE" not in raised.value.render()
    assert not raised.value.may_pass


# One that is set for other programs only


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("trouble", [http.ConnectError("x"), http.ConnectTimeout("x"), http.ReadTimeout("x")])
async def test_a_proxy_that_is_set_for_others_is_hinted_at_when_nothing_answers(
    name: str, trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://me:{PASSWORD}@proxy.example:3128")
    shown = await unanswered(trouble)
    assert f"{name} is set, but it is not used here: AP_MCP_PROXY must name the proxy" in shown
    assert PASSWORD not in shown


EXPIRED = http.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("trouble", "exempt", "values"),
    [
        (http.ConnectError("x"), "other.example,.example", {}),
        (http.ConnectError("x"), "cce.example", {}),
        (http.ConnectError("x"), "cce.example:443", {}),
        (http.ConnectError("x"), "*", {}),
        (http.ConnectError("x"), "other.example, *", {}),
        (http.ConnectError("x"), "*.example", {}),
        (http.ConnectError("x"), "192.0.2.0/24,10.0.0.0/8", {"endpoint": "https://10.1.2.3"}),
        (http.ConnectError("x"), "10.1.2.3/32:443x 10.1.2.3", {"endpoint": "https://10.1.2.3"}),
        (http.ConnectError("x"), "[fd00::]/8", {"endpoint": "https://[fd00::1]"}),
        (http.ConnectError("x"), "", {"proxy": "http://proxy.example"}),
        (http.ConnectError("x"), "", {"endpoint": "http://127.0.0.1:9"}),
        (http.ReadError("x"), "", {}),
        (EXPIRED, "", {}),
    ],
)
@pytest.mark.parametrize("spelt", ["NO_PROXY", "no_proxy"])
async def test_it_is_not_hinted_at_where_it_could_not_be_the_reason(
    trouble: Exception, exempt: str, values: dict[str, str], spelt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv(spelt, exempt)
    assert "HTTPS_PROXY" not in await unanswered(trouble, **values)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("exempt", "endpoint"),
    [
        ("11.0.0.0/8", "https://10.1.2.3"),
        ("10.0.0.0/8", "https://cce.example"),
        ("example.cce,?", "https://cce.example"),
    ],
)
async def test_it_is_hinted_at_where_others_would_use_it(
    exempt: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert "HTTPS_PROXY is set, but it is not used here" in await unanswered(http.ConnectError("x"), endpoint=endpoint)


@pytest.mark.anyio
@pytest.mark.parametrize(("exempt", "is_said"), [("cce.example", True), (".example", True), ("10.0.0.0/8", False)])
async def test_what_others_exempt_is_said_not_to_count_for_our_own_proxy(
    exempt: str, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", exempt)
    said = await unanswered(http.ConnectError("x"), proxy="http://proxy.example")
    assert ("NO_PROXY names this endpoint, but it is not used here" in said) == is_said


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (http.ConnectError(""), "the connection was ended while it was being opened"),
        (http.RemoteProtocolError("illegal status line: SSH-2.0"), "what came is no answer of HTTP"),
        (http.RemoteProtocolError("illegal chunk header"), "what came is no answer of HTTP"),
        (http.RemoteProtocolError("Server disconnected without sending a response."), "the connection was cut"),
        (http.RemoteProtocolError("peer closed connection without sending complete message body"), "was cut"),
        (http.DecodingError("Error -3 while decompressing data"), "the answer cannot be unpacked"),
    ],
)
async def test_what_kept_an_answer_away_is_said_in_words(trouble: Exception, said: str) -> None:
    shown = await unanswered(trouble)
    assert said in shown
    assert not str(trouble) or str(trouble) not in shown


async def unanswered(trouble: Exception, **values: str) -> str:
    def answer(_: http.Request) -> http.Response:
        raise trouble

    credentials = Credentials(KEY, "a test", project_id="p1")
    async with CloudClient(settings(**values), credentials, http.MockTransport(answer)) as client:
        with pytest.raises(CloudUnreachable) as raised:
            await client.send(GET)
    return raised.value.render()
