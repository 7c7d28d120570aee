"""Serves the API of each simulated cluster over TLS, on a port of its own of this machine, for kubectl and the like.

Who has a certificate of the cluster's own authority is let in; one of another cluster is answered 401, as by the real
server, and one of nobody's is refused in the handshake.
"""

import asyncio
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.types import ASGIApp, Receive, Scope, Send

from ap_mcp.simulator.cluster_certificates import authority_of, server_certificate
from ap_mcp.simulator.cluster_gateway import DIRECT
from ap_mcp.simulator.local_servers import HOST, CuttableProtocol, LocalServer
from ap_mcp.simulator.world import Row, World

STOP_TIMEOUT = 10.0


class DirectProtocol(CuttableProtocol):
    """HTTP/1.1 that names the owner of the client's certificate to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Offer the certificate that the handshake has verified to every request of the connection."""
        super().connection_made(transport)
        served: Any = self.app
        secured = transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert() if secured is not None else None

        async def known(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[DIRECT] = {"certificate": certificate}
            await served(scope, receive, send)

        self.app = known


class ClusterListeners:
    """A listener for each cluster that is asked for, until all of them are closed."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._servers: dict[str, LocalServer] = {}
        self._threads: list[threading.Thread] = []
        world.listening = self.url

    def url(self, cluster_id: str) -> str:
        """Return the address of a cluster's API server, which listens from now on."""
        with self._world.lock:
            if cluster_id not in self._servers:
                self._open(cluster_id)
            return self._servers[cluster_id].base_url.replace("http:", "https:")

    def close(self) -> None:
        """Stop all of them."""
        self._world.listening = lambda _cluster_id: ""
        for server in self._servers.values():
            server.should_exit = True
        for thread in self._threads:
            thread.join(STOP_TIMEOUT)

    def _open(self, cluster_id: str) -> None:
        app = _of_cluster(self._app, cluster_id)
        server = LocalServer(app, protocol=DirectProtocol)
        server.config.load()
        server.config.ssl = self._context(cluster_id)
        self._servers[cluster_id] = server
        thread = threading.Thread(target=server.serve_until_stopped, name=f"cluster {cluster_id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _context(self, cluster_id: str) -> ssl.SSLContext:
        world, clusters = self._world, self._world.table("clusters")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.verify_mode = ssl.CERT_OPTIONAL
        rows: list[Row] = list(clusters.values())
        certificates = [authority_of(world, row).certificate.public_bytes(Encoding.PEM).decode() for row in rows]
        context.load_verify_locations(cadata="\n".join(certificates))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "server.pem"
            file.touch(mode=0o600)
            file.write_bytes(server_certificate(world, authority_of(world, clusters[cluster_id]), HOST))
            context.load_cert_chain(file)
        return context


def _of_cluster(app: ASGIApp, cluster_id: str) -> ASGIApp:
    """Return an application whose requests are all for one cluster, from whom its own authority knows."""

    async def direct(scope: Scope, receive: Receive, send: Send) -> None:
        found = scope.get("extensions", {}).get(DIRECT)
        if found is not None:
            user = _owner(found["certificate"], cluster_id)
            scope["extensions"][DIRECT] = {"cluster_id": cluster_id, "user": user}
        await app(scope, receive, send)

    return direct


def _owner(certificate: Any, cluster_id: str) -> str | None:
    """Return whom a verified certificate names, None unless the authority of this cluster signed it."""
    if not certificate:
        return None
    issuer, subject = (
        {key: value for part in certificate[side] for key, value in part} for side in ("issuer", "subject")
    )
    return subject.get("commonName") if issuer.get("commonName") == cluster_id else None
