"""Reaches a cluster's API server itself, with a client certificate that is kept in memory only."""

import base64
import binascii
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ap_mcp.cloud.lines import Lines
from ap_mcp.errors import CallRefused
from ap_mcp.setting_values import endpoint

LIFETIME, MARGIN = timedelta(days=1), timedelta(hours=1)
"""How long a certificate lives, and how long before its end another one is fetched."""
NO_ADDRESS = (
    "The kubeconfig of the cluster names no address of its API server that TLS can be verified for, so nothing is sent "
    "to it. With AP_MCP_KUBERNETES=gateway requests go through the gateway of the service."
)


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one cluster's API server.

    Attributes:
        server: its address.
        authority: the certificate that its own is verified by, in PEM form.
        certificate: of the client, in PEM form.
        key: of the client, in PEM form.
    """

    server: str
    authority: str = field(repr=False)
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Direct:
    """A route with the connections that use it, and until when its certificate is used."""

    route: Route
    lines: Lines = field(repr=False)
    until: datetime


def route_of(kubeconfig: Any) -> Route:
    """Return the way that a kubeconfig describes: from outside if there is one, and only where TLS is verified.

    Raises:
        CallRefused: it describes none.
    """
    routes = sorted(_routes(kubeconfig), key=lambda each: _is_private(each.server))
    if not routes:
        raise CallRefused(NO_ADDRESS)
    return routes[0]


def _routes(kubeconfig: Any) -> Iterator[Route]:
    clusters, users = _named(kubeconfig, "clusters", "cluster"), _named(kubeconfig, "users", "user")
    for context in _named(kubeconfig, "contexts", "context").values():
        cluster, user = clusters.get(_text(context, "cluster"), {}), users.get(_text(context, "user"), {})
        server = _text(cluster, "server")
        found = [
            _decoded(cluster, "certificate-authority-data"),
            _decoded(user, "client-certificate-data"),
            _decoded(user, "client-key-data"),
        ]
        if _is_address(server) and all(found) and cluster.get("insecure-skip-tls-verify") is not True:
            yield Route(server.rstrip("/"), found[0].decode(errors="replace"), found[1], found[2])


def _named(kubeconfig: Any, plural: str, singular: str) -> dict[str, Mapping[str, Any]]:
    listed = kubeconfig.get(plural) if isinstance(kubeconfig, Mapping) else None
    rows = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    return {str(each.get("name")): each[singular] for each in rows if isinstance(each.get(singular), Mapping)}


def _text(entry: Mapping[str, Any], name: str) -> str:
    found = entry.get(name)
    return found if isinstance(found, str) else ""


def _decoded(entry: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_text(entry, name), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_address(server: str) -> bool:
    """Say whether a text names a host to be reached over TLS, and nothing else: no user, path or query."""
    try:
        return server.startswith("https://") and endpoint(server) == server.rstrip("/").lower()
    except ValueError:
        return False


def _is_private(server: str) -> bool:
    try:
        return ip_address(urlsplit(server).hostname or "").is_private
    except ValueError:
        return False


def tls_of(route: Route) -> ssl.SSLContext:
    """Return what shows the client's certificate, and accepts a server by the cluster's own authority alone.

    The library of TLS takes a certificate from files only: they are in a folder of this user's, for a moment.

    Raises:
        CallRefused: what the kubeconfig holds is no certificate.
    """
    folder = Path(tempfile.mkdtemp(prefix="ap-mcp-"))
    try:
        context = ssl.create_default_context(cadata=route.authority)
        chain = folder / "client.pem"
        descriptor = os.open(chain, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(route.certificate.rstrip() + b"\n" + route.key)
        context.load_cert_chain(chain)
    except (ssl.SSLError, ValueError) as error:
        raise CallRefused("The kubeconfig of the cluster holds no usable certificates. Nothing was sent.") from error
    finally:
        shutil.rmtree(folder)
    return context
