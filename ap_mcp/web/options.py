"""What the operator says of serving over HTTP: where it listens, what it is called, and whose pages may call it."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from ap_mcp.errors import SettingsError
from ap_mcp.settings import Settings, where_from

PATH = "/mcp"
"""Where the protocol is served."""
BODY_LIMIT = 1024 * 1024
"""The most bytes that a request may bring."""
BODY_SECONDS = 30.0
"""How long the body of a request may take to come in."""
MOST_CONNECTIONS = 1000
OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What this machine is called from itself, whatever else it is called."""
APPROVAL_WAIT = 50.0
"""Seconds that a call is held for its approval, unless the operator says otherwise; clients give it up after 60."""
REMOTE_CONFIRM = ("approval", "deny")
"""How consent can be obtained over HTTP: a form would be answered by whoever runs the client, a token by the model."""


@dataclass(frozen=True)
class HttpOptions:
    """What the frame goes by.

    Attributes:
        hosts: the names that requests may be for; one without a port fits every port.
        origins: the origins of web pages that may send requests.
        base_path: what the addresses of this server begin with behind its proxy; empty if nothing.
        body_limit: the most bytes that a request may bring.
        body_seconds: how long they may take.
        connections: how many clients may be connected at once.
    """

    hosts: frozenset[str] = OWN_NAMES
    origins: frozenset[str] = frozenset()
    base_path: str = ""
    body_limit: int = BODY_LIMIT
    body_seconds: float = BODY_SECONDS
    connections: int = MOST_CONNECTIONS

    @property
    def requests(self) -> int:
        """How many may be under way at once: fewer, or nobody could ask meanwhile whether the server lives."""
        return max(self.connections * 9 // 10, 1)


def options_from(settings: Settings, port: int, connections: int = MOST_CONNECTIONS) -> HttpOptions:
    """Return what the frame goes by.

    Args:
        settings: what the operator chose.
        port: where the server listens.
        connections: how many clients may be connected at once.
    """
    bound = host_of(settings)
    public = urlsplit(settings.public_url or "")
    hosts = {*OWN_NAMES, *settings.http_hosts}
    if not is_wildcard(bound):
        hosts.add(bound)
    if public.netloc:
        hosts.add(public.netloc if public.port is None else public.netloc.rpartition(":")[0])
    # Pages of this server alone; another program on this machine may have pages too.
    origins = {f"http://{name}:{port}" for name in OWN_NAMES} | set(settings.http_origins)
    if public.netloc:
        origins.add(f"{public.scheme}://{public.netloc}")
    return HttpOptions(frozenset(hosts), frozenset(origins), public.path, connections=connections)


def over_http(settings: Settings, port: int, flags: Mapping[str, Any]) -> Settings:
    """Return settings as they hold for callers on other machines.

    Args:
        settings: what the operator chose, for whatever serves.
        port: where the server listens.
        flags: those of the command line, by setting.

    Raises:
        SettingsError: consent was to be obtained in a way that over HTTP is none.
    """
    given = settings.model_fields_set
    if "confirm" in given and settings.confirm not in REMOTE_CONFIRM:
        raise SettingsError(
            f"{where_from('confirm', flags)}: over HTTP a person agrees by an approval, away from the client, so it "
            f"must be {' or '.join(REMOTE_CONFIRM)}, not {settings.confirm}. Left out, it is approval."
        )
    changes: dict[str, Any] = {}
    if "confirm" not in given:
        changes["confirm"] = REMOTE_CONFIRM[0]
    if "approval_wait" not in given:
        changes["approval_wait"] = APPROVAL_WAIT
    if "chart_roots" not in given:
        changes["chart_roots"] = ()
    if settings.public_url is None and is_here(host_of(settings)):
        # Not the address: passkeys are for names only.
        changes["public_url"] = f"http://localhost:{port}"
    return settings.model_copy(update=changes)


def refuse_strangers(settings: Settings) -> None:
    """Refuse to listen where other machines reach it while nobody has to sign in.

    Raises:
        SettingsError: they would.
    """
    host = host_of(settings)
    if not is_here(host):
        raise SettingsError(
            f"AP_MCP_HTTP: {host} can be reached from other machines, and nobody has to sign in. Nothing was started. "
            "Listen on 127.0.0.1, or have callers sign in: `ap-mcp token new NAME` makes a token, and "
            "AP_MCP_OAUTH_ISSUER takes those of an issuer."
        )


def is_here(host: str) -> bool:
    """Say whether a host is this very machine and nothing else, by all the addresses that it has."""
    try:
        found = {place[4][0] for place in socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(found) and all(_is_loopback(str(each)) for each in found)


def is_wildcard(host: str) -> bool:
    """Say whether a host stands for every address of this machine."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def _is_loopback(address: str) -> bool:
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def host_of(settings: Settings) -> str:
    """Return the host that the settings have a server listen at."""
    return (settings.http or "").rpartition(":")[0]
