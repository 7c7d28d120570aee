"""Sends requests to the cloud: signed, bounded in time and size, repeated only where that does no harm."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import anyio

from ap_mcp import __version__
from ap_mcp.binding import HttpCall
from ap_mcp.cloud import http
from ap_mcp.cloud.agency import fetch_agency_key
from ap_mcp.cloud.auth import (
    FIND_PROJECT,
    PROJECTS_PATH,
    SIGN_IN_REQUESTS,
    Clock,
    CloudAuth,
    FixedKey,
    FixedToken,
    PasswordToken,
    RenewedKey,
    SignedAuth,
    TokenAuth,
    read_token,
    sign_in_permit,
    token_call,
    utc_now,
)
from ap_mcp.cloud.bodies import Came
from ap_mcp.cloud.lines import Lines, headers_of, unpacked
from ap_mcp.cloud.refusals import CCE_SETTING, IAM_SETTING, Recipient
from ap_mcp.cloud.responses import read_answer, request_id_of, service_error
from ap_mcp.cloud.retry import attempts, send_again
from ap_mcp.cloud.signing import encode_query
from ap_mcp.cloud.spans import Exchange, exchange
from ap_mcp.cloud.unreachable import Attempt, Route, unreachable
from ap_mcp.cluster_requests import CLUSTER_ID
from ap_mcp.credentials import AccessKey, Agency, Credentials, GivenToken, Password
from ap_mcp.errors import (
    ApMcpError,
    AuthenticationFailed,
    InvalidArguments,
    Problem,
    SettingsError,
    SignatureExpired,
    TooLarge,
    may_have_happened,
)
from ap_mcp.fairness import FairShare
from ap_mcp.permits import MayRepeat, Permit, always
from ap_mcp.setting_values import is_loopback
from ap_mcp.settings import Settings
from ap_mcp.specs import FILE
from ap_mcp.wording import in_quotes

if TYPE_CHECKING:
    from ap_mcp.cloud.direct import Direct

logger = logging.getLogger(__name__)

LARGEST_ANSWER = 16 * 1024 * 1024
# One attempt may take this many times the time-out, which counts from byte to byte.
WHOLE_ATTEMPT = 4
AT_ONCE_PER_CLUSTER = 4
REQUESTS_AT_ONCE = 190
_LIMITS = http.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=15)  # some for the sign-in
# The reference, section 1: the Kubernetes APIs take no persistent connections. Section 5: they are throttled.
_CLUSTER_LIMITS = http.Limits(max_connections=200, max_keepalive_connections=0)
_DIRECT_LIMITS = http.Limits(max_connections=AT_ONCE_PER_CLUSTER, keepalive_expiry=15)
DIRECT, DIRECT_SETTING = "direct", "AP_MCP_KUBERNETES"


@dataclass(frozen=True, slots=True)
class CloudResponse:
    """A successful answer.

    Attributes:
        headers: names in lower case.
        body: parsed JSON, text, bytes, or None where no body is due.
        content: the body as it came.
        sent_again: how many times the request went out beyond the first.
        found: how it is known that the request was carried out, if its answer was lost: then this is no answer to it.
        is_whole: the body is all that the content holds, and not a part of it.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    content: bytes = field(repr=False)
    request_id: str = ""
    sent_again: int = 0
    found: str = ""
    is_whole: bool = True

    @property
    def parsed_from(self) -> bytes:
        """The JSON that the body was parsed from; empty if the body is another one by now, or none."""
        return self.content if self.is_whole and isinstance(self.body, dict | list) else b""

    @property
    def came(self) -> Came:
        """The body as it can be sent to another process."""
        return Came(self.body, self.parsed_from)

    def narrowed(self, body: Any) -> Self:
        """Return the answer with a part of its body."""
        return self if body is self.body else replace(self, body=body, is_whole=False)


class CloudClient:
    """The way to CCE and IAM of one account; use it as an asynchronous context manager.

    Args:
        settings: endpoints, time-outs, proxy.
        credentials: who calls.
        transport: in place of the network, for tests and the simulator.
        clock: dates signatures and judges what expires.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        transport: http.AsyncBaseTransport | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._clock = clock
        self._lines = Lines(settings, _LIMITS, transport)
        # Without connections of its own until a Kubernetes API is called; a transport of a test serves both.
        self._clusters = Lines(settings, _CLUSTER_LIMITS) if transport is None else self._lines
        self._requests = FairShare(REQUESTS_AT_ONCE)
        self._at_once: dict[str, FairShare] = {}
        # A transport of a test or of the simulator leads everywhere: nothing goes around it.
        self._is_direct = settings.kubernetes == DIRECT and transport is None
        self._direct: dict[str, Direct] = {}
        self._auth = self._choose_auth()
        self._project_id = credentials.project_id
        self._finding_project = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lines.close()
        if self._clusters is not self._lines:
            await self._clusters.close()
        for each in self._direct.values():
            await each.lines.close()

    async def send(self, call: HttpCall, may_repeat: MayRepeat = always) -> CloudResponse:
        """Send a request to CCE, or to a cluster's Kubernetes API, and return its answer.

        The gateway has made sure that it may leave.

        Args:
            call: the request.
            may_repeat: asked before it is sent again although it may have taken effect; False ends the attempts.

        Raises:
            ServiceError: the service said no, or what came is no answer.
            CloudUnreachable: nothing usable came; says whether the request may have taken effect.
            SettingsError: endpoint, credentials or project cannot be determined.
        """
        endpoint = self._settings.endpoint
        if endpoint is None:
            raise self._unconfigured()
        headers = {"X-Project-Id": await self.project_id()}
        if not call.cluster:
            return await self._send(call, endpoint, self._auth, headers, may_repeat)
        if self._is_direct:
            return await self._send_directly(call, may_repeat)
        endpoint, host = _cluster_endpoint(endpoint, call.cluster)
        return await self._send(call, endpoint, self._auth, headers | host, may_repeat)

    def knows_way_to(self, cluster: str) -> bool:
        """Say whether requests can go to a cluster: to its own API server only with a certificate that lives on."""
        if not self._is_direct:
            return True
        known = self._direct.get(cluster)
        return known is not None and self._clock() < known.until

    async def introduce(self, cluster: str, kubeconfig: Any) -> None:
        """Use a kubeconfig for a cluster from now on; what is secret in it stays in memory.

        Args:
            cluster: its id.
            kubeconfig: what get_cluster_certificate answered.

        Raises:
            CallRefused: TLS cannot be verified with it, or it holds no certificate.
        """
        from ap_mcp.cloud.direct import LIFETIME, MARGIN, Direct, route_of, tls_of  # noqa: PLC0415 - few choose it

        route = route_of(kubeconfig)
        context = await anyio.to_thread.run_sync(tls_of, route)
        lines = Lines(self._settings, _DIRECT_LIMITS, tls=context)
        before = self._direct.get(cluster)
        self._direct[cluster] = Direct(route, lines, self._clock() + LIFETIME - MARGIN)
        if before is not None:
            await before.lines.close()

    async def _send_directly(self, call: HttpCall, may_repeat: MayRepeat) -> CloudResponse:
        known = self._direct.get(call.cluster)
        if known is None:
            raise InvalidArguments([Problem("cluster_id", "no certificate was fetched for this cluster")])
        try:
            return await self._send(call, known.route.server, None, {}, may_repeat)
        except AuthenticationFailed:
            # Certificates can be revoked: the next call fetches another.
            if self._direct.get(call.cluster) is known:
                del self._direct[call.cluster]
                await known.lines.close()
            raise

    async def project_id(self) -> str:
        """Return the id of the project: the given one, or found in IAM by its name, once.

        Raises:
            SettingsError: no project or several have that name.
        """
        if self._settings.endpoint is None:
            raise self._unconfigured()
        if self._project_id is None:
            async with self._finding_project:
                self._project_id = self._project_id or await self._find_project()
        return self._project_id

    async def _find_project(self) -> str:
        name = self._credentials.project_name or self._settings.region
        if not name:
            raise self._unconfigured()
        call = HttpCall(FIND_PROJECT, "GET", PROJECTS_PATH, query=(("name", name),), idempotent=True)
        reply = await self._send_to_iam(call, self._auth, sign_in_permit(call))
        listed = reply.body.get("projects") if isinstance(reply.body, dict) else None
        rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
        ids = [row["id"] for row in rows if row.get("name", name) == name and isinstance(row.get("id"), str)]
        if len(ids) == 1:
            return str(ids[0])
        found = f"{len(ids)} projects ({', '.join(sorted(ids))})" if ids else "no project"
        raise SettingsError(
            f"IAM knows {found} by the name {in_quotes(name)}. "
            f"Set {self._credentials.project_setting} to the one that is meant."
        )

    async def _send_to_iam(self, call: HttpCall, auth: CloudAuth | None, permit: Permit) -> CloudResponse:
        """Send a request of the sign-in; nothing else goes to IAM."""
        permit.spend(call, "sign_in")
        return await self._send(call, self._iam_endpoint(), auth)

    async def _send(
        self,
        call: HttpCall,
        endpoint: str,
        auth: CloudAuth | None,
        headers: Mapping[str, str] | None = None,
        may_repeat: MayRepeat = always,
    ) -> CloudResponse:
        lost: ApMcpError | None = None

        async def once(sent_again: int) -> CloudResponse:
            nonlocal lost
            if lost is not None and not await may_repeat(lost):
                lost.settled = True
                raise lost
            request = _request(call, endpoint, headers or {})
            try:
                # Not around the whole: who is asked whether to repeat may read from the same cluster.
                async with self._turn(call):
                    return await self._exchange(call, endpoint, request, auth, sent_again)
            except ApMcpError as error:
                error.after_lost = lost is not None
                if may_have_happened(error):
                    lost = error
                raise

        try:
            return await once(0)
        except ApMcpError as error:
            if send_again(error, call) is False:
                raise
            first = error
        async for attempt in attempts(call):
            with attempt:
                if attempt.num == 1:  # made already: most calls need nothing that counts attempts
                    raise first
                return await once(attempt.num - 1)
        raise AssertionError("attempts end with a reply or an error")

    @asynccontextmanager
    async def _turn(self, call: HttpCall) -> AsyncIterator[None]:
        """Wait until few enough other requests are under way: in all, and to the same cluster."""
        if call.cluster:
            # One caller leaves at least one of them to others.
            of_cluster = self._at_once.setdefault(call.cluster, FairShare(AT_ONCE_PER_CLUSTER, AT_ONCE_PER_CLUSTER - 1))
            async with of_cluster.turn(), self._requests.turn():
                yield
        elif (call.operation_id, call.method, call.path) in SIGN_IN_REQUESTS:
            yield  # requests that have their turns wait for it
        else:
            async with self._requests.turn():
                yield

    async def _exchange(
        self, call: HttpCall, endpoint: str, request: http.Request, auth: CloudAuth | None, sent_again: int
    ) -> CloudResponse:
        """Send once and read the whole answer; once more, signed anew, if it was turned away for its old signature."""
        try:
            with exchange(call, endpoint, sent_again) as seen:
                return await self._once(call, endpoint, request, auth, seen)
        except SignatureExpired:
            if not isinstance(auth, SignedAuth):
                raise
        logger.info("%s: its signature was too old on arrival; it is signed anew and sent once more", call.operation_id)
        with exchange(call, endpoint, sent_again + 1) as seen:
            return await self._once(call, endpoint, request, auth, seen, signed_anew=True)

    async def _once(
        self,
        call: HttpCall,
        endpoint: str,
        request: http.Request,
        auth: CloudAuth | None,
        seen: Exchange,
        *,
        signed_anew: bool = False,
    ) -> CloudResponse:
        """Send once and read the whole answer."""
        recipient = self._recipient(call)
        route = Route.to(endpoint, self._settings)
        request.extensions |= route.extensions
        started = anyio.current_time()
        try:
            with anyio.fail_after(self._settings.timeout * WHOLE_ATTEMPT):
                status, answered, content = await self._transfer(call, request, auth)
        except (http.RequestError, OSError) as error:
            logger.debug("%s: %s failed: %s", call.operation_id, call.method, type(error).__name__)
            attempt = Attempt(endpoint, recipient.setting, self._settings, route, self._clock())
            raise unreachable(error, call, attempt) from error
        seen.status = status
        took = (anyio.current_time() - started) * 1000
        # No address: what a caller gave stands in it, and masking does not know it once it is percent-encoded.
        logger.debug("%s: %s: HTTP %d in %.0f ms", call.operation_id, call.method, status, took)
        secrets = self._secrets() if auth is None else auth.secrets()
        if not 200 <= status < 300:
            raise service_error(
                status,
                answered,
                content,
                call.operation_id,
                permission=call.permission,
                precondition=call.precondition,
                recipient=recipient,
                signed_anew=signed_anew,
                may_repeat=call.idempotent,
                secrets=secrets,
                now=self._clock(),
            )
        body = read_answer(call, status, answered, content, secrets=secrets, setting=recipient.setting)
        return CloudResponse(status, answered, body, content, request_id_of(answered), seen.sent_again)

    async def _transfer(
        self, call: HttpCall, request: http.Request, auth: CloudAuth | None
    ) -> tuple[int, dict[str, str], bytes]:
        lines = self._lines
        if call.cluster:
            known = self._direct.get(call.cluster) if self._is_direct else None
            lines = known.lines if known else self._clusters
        response = await lines.send(request, auth)
        try:
            content = bytearray()
            async for chunk in unpacked(response):
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise TooLarge(
                        status=response.status_code,
                        operation=call.operation_id,
                        request_id=request_id_of(headers_of(response)),
                        hint=f"The answer is larger than {LARGEST_ANSWER // 1024**2} MiB and was not read to its end.",
                    )
            return response.status_code, headers_of(response), bytes(content)
        finally:
            await response.aclose()

    def _recipient(self, call: HttpCall) -> Recipient:
        """Return whom a request goes to, as errors speak of it."""
        if call.cluster and self._is_direct:
            return Recipient(DIRECT_SETTING)
        is_sign_in = (call.operation_id, call.method, call.path) in SIGN_IN_REQUESTS
        return Recipient(IAM_SETTING if is_sign_in else CCE_SETTING, self._credentials)

    def _unconfigured(self) -> SettingsError:
        """Name all that is not set, in one go: the region, by which endpoints and project are found, comes first."""
        example = "AP_MCP_REGION=ap-southeast-1"
        lines = [f"- Region: set AP_MCP_REGION, for instance {example}; endpoints and project are found by it."]
        identity = self._credentials.identity
        if isinstance(identity, Agency):
            lines += ["- Keys: set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK. Searched:"]
            lines += [f"  - {place}" for place in identity.searched]
        if self._project_id is None:
            lines.append(
                "- Project: the region's own is used; HUAWEICLOUD_SDK_PROJECT_ID (an id) or HW_PROJECT_NAME (a name) "
                "chooses another one."
            )
        return SettingsError("\n".join(["The cloud account is not configured yet. Nothing was sent. Missing:", *lines]))

    def _secrets(self) -> tuple[str, ...]:
        """Return what a request without authentication holds that must not be shown."""
        identity = self._credentials.identity
        return (identity.password.get_secret_value(),) if isinstance(identity, Password) else ()

    def _iam_endpoint(self) -> str:
        given = self._settings.iam_endpoint if self._settings.iam_endpoint_given else None
        endpoint = given or self._credentials.iam_endpoint or self._settings.iam_endpoint
        if endpoint is None:
            raise SettingsError("No IAM endpoint: set AP_MCP_IAM_ENDPOINT, or AP_MCP_REGION to a known region.")
        return endpoint

    def _choose_auth(self) -> CloudAuth:
        identity = self._credentials.identity
        if isinstance(identity, AccessKey):
            return SignedAuth(FixedKey(identity), self._clock)
        if isinstance(identity, GivenToken):
            return TokenAuth(FixedToken(identity.token.get_secret_value()))
        if isinstance(identity, Agency):
            fetch = partial(fetch_agency_key, self._lines.client(), identity)
            return SignedAuth(RenewedKey(fetch, self._clock), self._clock)
        return TokenAuth(PasswordToken(self._sign_in(identity), self._clock))

    def _sign_in(self, who: Password) -> Callable[[], Awaitable[tuple[str, datetime]]]:
        async def fetch() -> tuple[str, datetime]:
            call = token_call(who, self._scope())
            reply = await self._send_to_iam(call, None, sign_in_permit(call))
            return read_token(reply.status, reply.headers.get("x-subject-token", ""), reply.body, self._clock())

        return fetch

    def _scope(self) -> dict[str, str]:
        """Return the project a token is asked for; by name unless only its id is known."""
        name = self._credentials.project_name or self._settings.region
        if self._credentials.project_id:
            return {"id": self._credentials.project_id}
        if not name:
            raise self._unconfigured()
        return {"name": name}


def _cluster_endpoint(endpoint: str, cluster: str) -> tuple[str, dict[str, str]]:
    """Return the endpoint of a cluster's Kubernetes API, and the Host header that names it where no name leads there.

    Only an id goes into the host, so that no argument of a tool can name another one.
    """
    if CLUSTER_ID.fullmatch(cluster) is None:
        raise InvalidArguments([Problem("cluster_id", "is no id of a cluster")])
    parts = urlsplit(endpoint)
    if is_loopback(parts.hostname or ""):
        return endpoint, {"Host": f"{cluster}.{parts.netloc}"}
    return f"{parts.scheme}://{cluster}.{parts.netloc}", {}


def _request(call: HttpCall, endpoint: str, headers: Mapping[str, str]) -> http.Request:
    """Build the request so that what goes on the wire is byte for byte what will be signed.

    Raises:
        InvalidArguments: the library would change the path, as it does for `..`; such a request is never sent.
    """
    try:
        query = encode_query(call.query)
        target = f"{call.path}?{query}" if query else call.path
        url = _address(endpoint + target)
    except (UnicodeError, http.InvalidURL) as error:
        raise _unsendable(call) from error
    if url.raw_path != target.encode("ascii", errors="replace"):
        raise _unsendable(call)
    own = {
        "Accept": "*/*",
        "Accept-Encoding": "identity" if call.accepts == FILE else "gzip",
        "User-Agent": f"ap-mcp/{__version__}",
        "Content-Type": call.content_type,
    }
    return http.Request(call.method, url, headers={**own, **headers, **call.headers}, content=call.body)


@lru_cache(maxsize=512)
def _address(url: str) -> http.URL:
    """Return an address taken apart: the same ones are called again and again."""
    return http.URL(url)


def _unsendable(call: HttpCall) -> InvalidArguments:
    message = f"a value of {call.operation_id} cannot stand in a web address; '.' and '..' are no names"
    return InvalidArguments([Problem("", message)])
