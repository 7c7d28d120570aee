"""Says why no usable answer came: the network, a proxy, TLS or time; and what can be done about it."""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import http
from ap_mcp.errors import CloudUnreachable
from ap_mcp.setting_values import is_loopback
from ap_mcp.settings import Settings
from ap_mcp.wording import clean, in_quotes

CONNECT_SECONDS = 5.0
PROXY = "AP_MCP_PROXY"
CA_FILE = "AP_MCP_CA_FILE"
_NEVER_ARRIVED = (
    http.ConnectError,
    http.ConnectTimeout,
    http.PoolTimeout,
    http.ProxyError,
    http.UnsupportedProtocol,
    http.LocalProtocolError,
)
_CUT = ("disconnected", "peer closed")
"""What the HTTP library says of a connection that ended too early; its other complaints are about what came."""
_BASIC_ONLY = " They are sent as Basic: a proxy that takes NTLM or Kerberos only needs a helper in between."
_NO_CONNECTION = (http.ConnectError, http.TimeoutException, TimeoutError)
# What other programs read; the order is theirs.
_OTHERS_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_NO_BRACKETS = {ord("["): None, ord("]"): None}
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "HTTP_REQUEST")
_NO_AGREEMENT = ("HANDSHAKE_FAILURE", "PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_SHARED_CIPHER", "ALERT_")


@dataclass
class Route:
    """How far a request got.

    Attributes:
        proxy: the address of the proxy in between, without user and password; empty if there is none.
        has_login: the proxy's address holds a user or password.
        past_proxy: the proxy has let it through.
    """

    proxy: str = ""
    has_login: bool = False
    past_proxy: bool = False

    @classmethod
    def to(cls, endpoint: str, settings: Settings) -> "Route":
        """Return the way to an endpoint, not yet gone."""
        if settings.proxy is None or is_loopback(urlsplit(endpoint).hostname or ""):
            return cls()
        parts = urlsplit(settings.proxy.get_secret_value())
        return cls(parts.netloc.rpartition("@")[2], "@" in parts.netloc)

    @property
    def extensions(self) -> dict[str, Any]:
        """What lets the HTTP library say how far a request is; nothing where there is no proxy to get past."""
        return {"trace": self._trace} if self.proxy else {}

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.startswith("proxy.start_tls"):
            self.past_proxy = True
        elif event.endswith("send_request_headers.started"):
            self.past_proxy = self.past_proxy or info["request"].method != b"CONNECT"


class _Cause(NamedTuple):
    """What went wrong, what to check, and whether another try may succeed."""

    reason: str
    advice: str
    may_pass: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a request.

    Attributes:
        endpoint: where it was to go.
        setting: the variable that names the endpoint.
        settings: time-out, proxy and certificates in use.
        route: how far it got.
        now: this machine's time.
    """

    endpoint: str
    setting: str
    settings: Settings
    route: Route
    now: datetime

    @property
    def host(self) -> str:
        """The endpoint without its scheme."""
        return urlsplit(self.endpoint).netloc


def unreachable(error: Exception, call: HttpCall, attempt: Attempt) -> CloudUnreachable:
    """Understand why a request got no answer.

    Args:
        error: of the HTTP library, or of the time limit.
        call: the request.
        attempt: where it was sent, and how far it got.
    """
    route = attempt.route
    at_proxy = bool(route.proxy) and not route.past_proxy and not isinstance(error, http.PoolTimeout)
    cause = _at_proxy(error, attempt) if at_proxy else _at_endpoint(error, attempt)
    arrived = not at_proxy and not isinstance(error, _NEVER_ARRIVED)
    return CloudUnreachable(
        attempt.endpoint,
        cause.reason,
        may_have_arrived=arrived and call.method not in {"GET", "HEAD"},
        operation=call.operation_id,
        advice=cause.advice,
        may_pass=cause.may_pass,
    )


def unused_proxy(endpoint: str, settings: Settings) -> str:
    """Name the variable with a proxy for this endpoint that other programs use and this one does not; else empty."""
    if settings.proxy is not None or is_loopback(urlsplit(endpoint).hostname or ""):
        return ""
    name = next((each for each in _OTHERS_PROXIES if os.environ.get(each, "").strip()), "")
    return "" if not name or _is_spared(endpoint) else name


def _is_spared(endpoint: str) -> bool:
    """Say whether NO_PROXY keeps an endpoint from proxies, in any of the forms that programs read there."""
    from fnmatch import fnmatchcase  # noqa: PLC0415 - for trouble only, as the next
    from urllib.request import proxy_bypass  # noqa: PLC0415 - slow to import

    parts = urlsplit(endpoint)
    host, port = parts.hostname or "", parts.port or 443
    entries = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").lower().replace(",", " ").split()
    if proxy_bypass(f"{host}:{port}") or any(fnmatchcase(host, each.removesuffix(f":{port}")) for each in entries):
        return True
    with suppress(ValueError):  # a name is in no network
        address = ip_address(host)
        return any(address in network for network in _networks(entries))
    return False


def _networks(entries: Iterable[str]) -> Iterator[IPv4Network | IPv6Network]:
    for each in entries:
        with suppress(ValueError):
            yield ip_network(each.translate(_NO_BRACKETS), strict=False)


def _at_endpoint(error: Exception, attempt: Attempt) -> _Cause:
    if tls := _tls(error, "its", attempt.setting, attempt):
        return tls
    advice = f"Check the network, the region and {attempt.setting}, then try again."
    if isinstance(error, _NO_CONNECTION) and (name := unused_proxy(attempt.endpoint, attempt.settings)):
        advice += f" {name} is set, but it is not used here: {PROXY} must name the proxy if this machine needs one."
    # An answer that goes on and on would do so again.
    return _Cause(_reason(error, attempt.settings.timeout), advice, may_pass=not isinstance(error, TimeoutError))


def _at_proxy(error: Exception, attempt: Attempt) -> _Cause:
    proxy = f"the proxy {attempt.route.proxy} of {PROXY}"
    if isinstance(error, http.ProxyError):
        return _refused_by_proxy(str(error), proxy, attempt)
    if tls := _tls(error, f"{proxy}: its", PROXY, attempt):
        return tls
    what = "cannot be reached" if isinstance(error, http.ConnectError | http.ConnectTimeout) else "did not open the way"
    reason = f"{proxy} {what}: {_reason(error, attempt.settings.timeout)}"
    advice = f"Check {PROXY} and that proxy, then try again."
    if _is_spared(attempt.endpoint):
        advice += f" NO_PROXY names this endpoint, but it is not used here: without {PROXY} it is reached directly."
    return _Cause(reason, advice)


def _refused_by_proxy(said: str, proxy: str, attempt: Attempt) -> _Cause:
    """Understand what a proxy answered when it was asked for a way through; only the number is ours to show."""
    status = said.split(maxsplit=1)[0] if said.strip() else ""
    if status == "407" and attempt.route.has_login:
        advice = f"Correct them in {PROXY}; what is special in them is percent-encoded.{_BASIC_ONLY}"
        return _Cause(f"{proxy} does not accept the user and password: 407", advice, may_pass=False)
    if status == "407":
        address = f"http://user:password@{attempt.route.proxy}"
        advice = f"Put them into {PROXY}, as {address}, what is special in them percent-encoded.{_BASIC_ONLY}"
        return _Cause(f"{proxy} asks for a user and password: 407", advice, may_pass=False)
    if status in {"502", "503", "504"}:
        advice = f"Check the region, {attempt.setting} and {PROXY}, then try again."
        return _Cause(f"{proxy} cannot reach {attempt.host}: {status}", advice)
    number = status if status.isdigit() else "no HTTP status"
    advice = f"Whoever runs the proxy must allow it, or {PROXY} must name another one."
    return _Cause(f"{proxy} does not let requests through to {attempt.host}: {number}", advice, may_pass=False)


def _tls(error: Exception, whose: str, setting: str, attempt: Attempt) -> _Cause | None:
    """Say what TLS found wrong with the other side; None if it was not that."""
    said = str(error)
    if not isinstance(error, http.ConnectError) or "SSL" not in said:
        return None
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return _certificate(said.lower(), whose, setting, attempt)
    if any(each in said for each in _NO_TLS):
        advice = f"Check {setting}: a port without TLS, or a sign-in page of this network, may answer there."
        return _Cause(f"{whose.removesuffix('its')}what answers there speaks no TLS", advice, may_pass=False)
    if any(each in said for each in _NO_AGREEMENT):
        advice = f"Check {setting}, and what stands in between: it accepts no TLS that this machine offers."
        return _Cause(f"{whose} side ended the TLS handshake ({clean(said, 200)})", advice, may_pass=False)
    return None


def _certificate(said: str, whose: str, setting: str, attempt: Attempt) -> _Cause:
    clock = f"This machine's clock shows {attempt.now:%Y-%m-%dT%H:%M:%SZ}"
    is_self_signed = "self-signed" in said or "self signed" in said
    if "certificate has expired" in said:
        what = "has expired"
        advice = f"{clock}: set it right if it is wrong; else the certificate must be renewed on the other side."
    elif "not yet valid" in said:
        what, advice = "is not valid yet", f"{clock}: set it right (NTP) if it is behind, then try again."
    elif "mismatch" in said:
        what = "is for another host name"
        advice = f"Check {setting}, DNS, and what stands in between: another server answers at that address."
    elif is_self_signed and "chain" not in said:
        what, advice = "is self-signed", _trust("it", attempt.settings)
    elif is_self_signed or "issuer certificate" in said or "verify the first certificate" in said:
        what = "was issued by an authority that is not trusted here"
        advice = _trust("that authority", attempt.settings)
    else:
        found = said.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        what, advice = f"is not accepted: {clean(found, 200)}", "It must be replaced on the other side."
    return _Cause(f"{whose} certificate {what}", advice, may_pass=False)


def _trust(what: str, settings: Settings) -> str:
    """Say how a certificate comes to be trusted."""
    if settings.ca_file is None:
        named = f"{CA_FILE} can name a file with its certificate in PEM form"
    else:
        path = in_quotes(str(settings.ca_file))
        named = f"add its certificate to {path}, which {CA_FILE} names: nothing else is trusted"
    return f"If {what} is to be trusted, such as a proxy of your company that looks into TLS, {named}."


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, http.ConnectTimeout):
        return f"no connection within {min(CONNECT_SECONDS, timeout):.0f} s"
    if isinstance(error, http.TimeoutException | TimeoutError):
        return f"no complete answer in time; the limit is {timeout:.0f} s, set by AP_MCP_TIMEOUT"
    return _broken_answer(error) or _no_connection(error) or str(error) or type(error).__name__


def _broken_answer(error: Exception) -> str:
    """Say what is wrong with what came; empty if nothing came."""
    if isinstance(error, http.DecodingError):
        return "the answer cannot be unpacked: it is damaged, or not in the encoding that it names"
    if isinstance(error, http.RemoteProtocolError) and not any(each in str(error) for each in _CUT):
        return "what came is no answer of HTTP: something else may listen there"
    is_cut = isinstance(error, http.ReadError | http.RemoteProtocolError)
    return "the connection was cut before the answer was complete" if is_cut else ""


def _no_connection(error: Exception) -> str:
    causes = list(_causes(error))
    if any(isinstance(each, socket.gaierror) for each in causes):
        return "its name is not known here (DNS)"
    if any(isinstance(each, ConnectionRefusedError) for each in causes):
        return "the connection was refused: nothing listens there"
    is_bare = isinstance(error, http.ConnectError) and not str(error)
    return "the connection was ended while it was being opened" if is_bare else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it came from, and so on; what several attempts came to counts as well."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else []
