"""Direct access to a cluster's own API server: with a certificate of a day, over TLS that is always verified."""

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener, TLSStream
from certificates import Authority
from pydantic import SecretStr

from ap_mcp.cloud.client import CloudClient
from ap_mcp.cloud.direct import route_of, tls_of
from ap_mcp.credentials import AccessKey, Credentials
from ap_mcp.errors import AuthenticationFailed, CallRefused, CloudUnreachable, ServiceError
from ap_mcp.kubernetes.api import cluster_api
from ap_mcp.server import Autopilot
from ap_mcp.settings import Settings

pytestmark = pytest.mark.anyio

UID = "6f2b8f0e-9d3c-11ee-8c1d-0255ac10003a"
VERSION = {"gitVersion": "v1.31.6"}


def encoded(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def kubeconfig(servers: Mapping[str, str | None], authority: str = "CA", chain: str = "CERT", key: str = "KEY") -> Any:
    """A kubeconfig as the service writes it: servers by address, None for what cannot be verified."""
    clusters, contexts = [], []
    for at, (server, kind) in enumerate(servers.items()):
        trust = {"certificate-authority-data": encoded(authority)} if kind else {"insecure-skip-tls-verify": True}
        clusters.append({"name": f"c{at}", "cluster": {"server": server, **trust}})
        contexts.append({"name": f"x{at}", "context": {"cluster": f"c{at}", "user": "user"}})
    user = {"client-certificate-data": encoded(chain), "client-key-data": encoded(key)}
    users = [{"name": "user", "user": user}]
    return {"kind": "Config", "clusters": clusters, "contexts": contexts, "users": users, "current-context": "x0"}


@pytest.mark.parametrize(
    ("servers", "chosen"),
    [
        ({"https://192.168.0.4:5443": "ca", "https://110.0.3.4:5443": "ca"}, "https://110.0.3.4:5443"),
        ({"https://110.0.3.4:5443": None, "https://192.168.0.4:5443": "ca"}, "https://192.168.0.4:5443"),
        ({"https://10.1.1.1:5443": "ca", "https://api.example.com:5443/": "ca"}, "https://api.example.com:5443"),
        ({"https://u:p@110.0.3.4:5443": "ca", "https://10.1.1.1:5443": "ca"}, "https://10.1.1.1:5443"),
    ],
)
def test_the_address_from_outside_is_used_if_tls_can_be_verified_for_it(servers: Any, chosen: str) -> None:
    assert route_of(kubeconfig(servers)).server == chosen


@pytest.mark.parametrize(
    "config",
    [
        kubeconfig({"https://110.0.3.4:5443": None}),
        kubeconfig({"http://110.0.3.4:5443": "ca"}),
        kubeconfig({"https://110.0.3.4:5443/api/v1/namespaces": "ca"}),
        kubeconfig({"https://110.0.3.4:5443?watch=1": "ca"}),
        kubeconfig({"https://110.0.3.4:5443#x": "ca"}),
        kubeconfig({"https://:5443": "ca"}),
        kubeconfig({"https://[::1": "ca"}),
        kubeconfig({"https://110.0.3.4:port": "ca"}),
        kubeconfig({"https://110.0.3.4:5443": "ca"}, chain=""),
        {"clusters": [None, {"name": 1}], "users": {}, "contexts": [{"name": "x", "context": "y"}]},
        [],
        None,
    ],
)
def test_a_kubeconfig_without_a_verified_address_or_a_certificate_is_refused(config: Any) -> None:
    with pytest.raises(CallRefused, match="no address of its API server that TLS can be verified for"):
        route_of(config)


class Api:
    """An API server on this machine that asks clients for a certificate; it counts what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.tls = self.authority.server_context("localhost")
        self.tls.load_verify_locations(self.authority.file)
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.authority.server_context("client")
        self.client = (folder / "client.pem").read_text()
        self.status = 200
        self.headers = ""
        self.seen: list[str] = []
        self.port = 0

    def kubeconfig(self, authority: str | None = None) -> Any:
        certificate, _, key = self.client.partition("-----BEGIN PRIVATE KEY-----")
        trusted = self.authority.file.read_text() if authority is None else authority
        server = f"https://localhost:{self.port}"
        return kubeconfig({server: "ca"}, trusted, certificate, f"-----BEGIN PRIVATE KEY-----{key}")

    async def serve(self, stream: TLSStream) -> None:
        try:
            async with stream:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                self.seen.append(head.decode())
                body = json.dumps(VERSION if self.status == 200 else {"kind": "Status", "status": "Failure"}).encode()
                start = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
                await stream.send(f"{start}{self.headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError, OSError):
            pass


def port_of(listener: Any) -> int:
    return int(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610 - not of a database


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[Api]:
    there = Api(folder)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    there.port = port_of(listener)

    secured = _Quiet(listener, there.tls, standard_compatible=False)
    async with anyio.create_task_group() as group:
        group.start_soon(secured.serve, there.serve)
        try:
            yield there
        finally:
            group.cancel_scope.cancel()
    await listener.aclose()


class _Quiet(TLSListener):
    """Leaves a client alone that ends the handshake."""

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: Any) -> None:
        del exc
        await stream.aclose()


class Cloud:
    """The service: answers get_cluster, and issues the kubeconfig of a test."""

    def __init__(self, there: Api) -> None:
        self.api = there
        self.issued = 0
        self.seen: list[str] = []
        self.config: Any = None

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive()
            line = head.decode().partition("\r\n")[0]
            self.seen.append(line)
            found: Any = {"kind": "Cluster", "metadata": {"name": "shop", "uid": UID}, "status": {"phase": "Available"}}
            if "/clustercert" in line:
                self.issued += 1
                found = self.config or self.api.kubeconfig()
            body = json.dumps(found).encode()
            start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            await stream.send(f"{start}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Clock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


@asynccontextmanager
async def direct(tmp_path: Path, policy: str = "", **settings: Any) -> AsyncIterator[tuple[Autopilot, Cloud, Clock]]:
    """A server whose operator chose direct access, the service and one API server behind it."""
    async with api(tmp_path) as there:
        cloud, clock = Cloud(there), Clock()
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        endpoint = f"http://127.0.0.1:{port_of(listener)}"
        if policy:
            (tmp_path / "policy.toml").write_text(policy)
            (tmp_path / "policy.toml").chmod(0o600)
            settings["policy_file"] = tmp_path / "policy.toml"
        chosen = Settings(
            endpoint=endpoint,
            iam_endpoint=endpoint,
            kubernetes="direct",
            audit_log=tmp_path / "audit.jsonl",
            approver_dir=tmp_path,
            **settings,
        )
        keys = Credentials(AccessKey("AKEXAMPLE", SecretStr("secret")), "a test", project_id="p1")

        async def connect() -> CloudClient:
            return CloudClient(chosen, keys, clock=clock)

        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, cloud.serve)
            async with Autopilot(chosen, connect) as autopilot:
                yield autopilot, cloud, clock
            group.cancel_scope.cancel()
        await listener.aclose()


def folder_in(folder: Path) -> Path:
    (folder / "other").mkdir()
    return folder / "other"


def audit(folder: Path) -> str:
    return (folder / "audit.jsonl").read_text()


def left_over() -> set[Path]:
    """The folders that certificates were in for a moment and still are."""
    return set(Path(tempfile.gettempdir()).glob("ap-mcp-*"))


async def version(autopilot: Autopilot) -> Any:
    """Read the version of the cluster, as any tool of the Kubernetes API does."""
    reads = autopilot.reads(autopilot.view())
    return await (await cluster_api("k8s_discover", UID, reads, autopilot.cloud.kinds)).path("version")


async def test_a_certificate_is_fetched_once_and_recorded_and_nothing_of_it_is_kept_on_disk(tmp_path: Path) -> None:
    before = left_over()
    async with direct(tmp_path) as (autopilot, cloud, clock):
        assert await version(autopilot) == VERSION
        assert await version(autopilot) == VERSION
        assert cloud.issued == 1
        assert len(cloud.api.seen) == 2
        assert not any(name in cloud.api.seen[0].lower() for name in ("authorization", "x-auth-token", "x-project-id"))
        clock.time += timedelta(hours=23, minutes=30)
        assert await version(autopilot) == VERSION
        assert cloud.issued == 2
    written = audit(tmp_path)
    lines = [json.loads(line) for line in written.splitlines()]
    assert [each["tool"] for each in lines if "tool" in each] == ["get_cluster_certificate"] * 2
    assert "AP_MCP_KUBERNETES=direct" in written
    assert "PRIVATE KEY" not in written
    assert left_over() == before


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ('rules = [{ decision = "deny", tools = ["get_cluster_certificate"] }]', {}),
        ('rules = [{ decision = "deny", effects = ["secret"], clusters = ["shop"] }]', {}),
        ("", {"read_only": True}),
    ],
)
async def test_what_closes_the_certificate_closes_direct_access(tmp_path: Path, policy: str, settings: Any) -> None:
    async with direct(tmp_path, policy, **settings) as (autopilot, cloud, _):
        with pytest.raises(CallRefused):
            await version(autopilot)
        assert (cloud.issued, cloud.api.seen) == (0, [])


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(tmp_path: Path) -> None:
    stranger = Authority(folder_in(tmp_path)).file.read_text()
    async with direct(tmp_path) as (autopilot, cloud, _):
        cloud.config = cloud.api.kubeconfig(stranger)
        with pytest.raises(CloudUnreachable, match="certificate"):
            await version(autopilot)
        assert cloud.api.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_to_the_service_nor_to_another_path(tmp_path: Path, status: int) -> None:
    async with direct(tmp_path) as (autopilot, cloud, _):
        for place in (f"https://localhost:{cloud.api.port}/elsewhere", "https://example.com/version", "//example.com"):
            cloud.api.status, cloud.api.headers, cloud.api.seen = status, f"Location: {place}\r\n", []
            with pytest.raises(ServiceError, match="redirect, which is never followed"):
                await version(autopilot)
            assert [each.partition("\r\n")[0] for each in cloud.api.seen] == ["GET /version HTTP/1.1"]


async def test_a_certificate_that_is_no_longer_accepted_is_replaced_by_the_next_call(tmp_path: Path) -> None:
    async with direct(tmp_path) as (autopilot, cloud, _):
        cloud.api.status = 401
        with pytest.raises(AuthenticationFailed):
            await version(autopilot)
        cloud.api.status = 200
        assert await version(autopilot) == VERSION
        assert cloud.issued == 2


async def test_what_is_no_certificate_is_refused_without_a_trace() -> None:
    before = left_over()
    with pytest.raises(CallRefused, match="holds no usable certificates"):
        tls_of(route_of(kubeconfig({"https://110.0.3.4:5443": "ca"})))
    assert left_over() == before
