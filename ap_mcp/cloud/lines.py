"""The connections to one side: which transport leads to a host, how long each step may take, and what comes back.

Requests go to the transports of the HTTP library directly. Its client would follow redirects, keep cookies and read
the environment, none of which may happen here, and takes longer over that than all of our own work on a request.
"""

import ssl
import zlib
from collections.abc import AsyncIterator
from functools import cache
from urllib.parse import urlsplit

from ap_mcp.cloud import http
from ap_mcp.cloud.unreachable import CONNECT_SECONDS
from ap_mcp.credentials import METADATA_ENDPOINT
from ap_mcp.errors import SettingsError
from ap_mcp.setting_values import is_loopback
from ap_mcp.settings import Settings

POOL_SECONDS = 10.0
"""How long a request waits for a connection while all are in use."""
_OUTWARD = 10
"""Connections to other services than the cloud's: little is sent to them."""
UNPACKED_AT_ONCE = 256 * 1024
"""Bytes of a body that are unpacked at a time."""
_METADATA_HOST = urlsplit(METADATA_ENDPOINT).hostname


class Lines:
    """Sends requests; nothing of the environment (~/.netrc, proxies) changes where one goes or as whom.

    Args:
        settings: time-outs, proxy and certificates.
        limits: how many connections there may be.
        transport: in place of the network, for tests and the simulator.
        tls: in place of the certificates of the settings.
    """

    def __init__(
        self,
        settings: Settings,
        limits: http.Limits,
        transport: http.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        connect = min(CONNECT_SECONDS, settings.timeout)
        timeout = http.Timeout(settings.timeout, connect=connect, pool=min(POOL_SECONDS, settings.timeout))
        self._extensions = {"timeout": timeout.as_dict()}
        self._proxied: http.AsyncBaseTransport | None = None
        if transport is None:
            context = tls or _ssl_context(settings)
            transport = http.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
            if proxy := _proxy(settings):
                self._proxied = http.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, proxy=proxy)
        self._direct = transport

    async def send(self, request: http.Request, auth: http.Auth | None = None) -> http.Response:
        """Send a request and return the answer, whose body is still to be read, and which is to be closed.

        Args:
            request: with its body, which is no stream.
            auth: adds what proves who calls, and may send the request again after an answer.

        Raises:
            http.TransportError: nothing usable came.
        """
        if auth is None:
            return await self._sent(request)
        flow = auth.async_auth_flow(request)
        try:
            request = await anext(flow)
            while True:
                response = await self._sent(request)
                try:
                    request = await flow.asend(response)
                except StopAsyncIteration:
                    return response
                except BaseException:
                    await response.aclose()
                    raise
                await response.aclose()
        finally:
            await flow.aclose()

    def client(self) -> http.AsyncClient:
        """Return a client of the HTTP library on the connections that go around the proxy; not to be closed."""
        return http.AsyncClient(transport=self._direct, trust_env=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()

    async def _sent(self, request: http.Request) -> http.Response:
        request.extensions = self._extensions | request.extensions
        transport = self._direct
        if self._proxied is not None and not _is_near(request.url.host):
            transport = self._proxied
        response = await transport.handle_async_request(request)
        response.request = request  # named in errors about the body
        return response


def outward_lines(settings: Settings) -> Lines:
    """Return connections to other services than the cloud's, through the same proxy and by the same certificates."""
    return Lines(settings, http.Limits(max_connections=_OUTWARD))


def headers_of(response: http.Response) -> dict[str, str]:
    """Return the headers of an answer, names in lower case; several of a name are joined by commas."""
    found: dict[str, str] = {}
    try:
        for raw_name, raw_value in response.headers.raw:
            name, value = raw_name.decode("ascii").lower(), raw_value.decode("ascii")
            found[name] = f"{found[name]}, {value}" if name in found else value
    except UnicodeDecodeError:
        return {name.lower(): value for name, value in response.headers.items()}
    return found


async def unpacked(response: http.Response) -> AsyncIterator[bytes]:
    """Yield the body bit by bit, also where a little of what came unpacks to a lot.

    Raises:
        http.DecodingError: it is not packed as it says.
    """
    packed_by = response.headers.get("content-encoding", "").strip().lower()
    if packed_by != "gzip" or response.is_stream_consumed:  # nothing else is asked for; what was read is unpacked
        async for chunk in response.aiter_bytes():
            yield chunk
        return
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        async for packed in response.aiter_raw():
            left = packed
            while left:
                yield unpacking.decompress(left, UNPACKED_AT_ONCE)
                left = unpacking.unconsumed_tail
        yield unpacking.flush()
    except zlib.error as error:
        raise http.DecodingError(str(error), request=response.request) from error


def _is_near(host: str) -> bool:
    """Say whether a host is this machine, or what only it reaches: no proxy leads there."""
    return is_loopback(host) or host == _METADATA_HOST


def _proxy(settings: Settings) -> http.Proxy | None:
    """Return the proxy to use; the settings have checked its address, and no part of it is shown."""
    if settings.proxy is None:
        return None
    try:
        url = settings.proxy.get_secret_value()
        return http.Proxy(url, ssl_context=_ssl_context(settings) if url.startswith("https:") else None)
    except (http.InvalidURL, ValueError):
        raise SettingsError("AP_MCP_PROXY: it is no address; percent-encode what is special in its password.") from None


@cache
def _usual_authorities() -> ssl.SSLContext:
    """Return what trusts the usual certificates: read once, which takes longer than all else of a client."""
    return http.create_ssl_context(trust_env=False)


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    if settings.ca_file is None:
        return _usual_authorities()
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file))
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"AP_MCP_CA_FILE: {settings.ca_file} holds no certificates in PEM form.") from error
