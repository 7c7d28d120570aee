"""Shapes answers about how a cluster is reached: its kubeconfig, its addresses, its public address."""

import shlex
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ap_mcp.files import SavedFile
from ap_mcp.summaries.base import NextCall, Observation, Result, summarises
from ap_mcp.vendor import flag, get, items, number, text, word, written

PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
"""Addresses that no route of the internet leads to."""
NOWHERE = "simulated, and nothing listens there: only ap-mcp simulate serves kubectl"


class ClusterCertificate(Result):
    """Where a kubeconfig was saved, and how long it is valid."""

    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    server: str | None = None
    command: str | None = None
    expires: str | None = None


class ClusterAddresses(Result):
    """Where the API server of a cluster can be reached."""

    cluster_id: str = ""
    private_url: str | None = None
    public_url: str | None = None
    bandwidth_mbit: int | None = None


@summarises("cluster_certificate")
def cluster_certificate(answer: Observation) -> ClusterCertificate:
    """Say where a kubeconfig was saved and how it is used; what is in it stays out of the conversation."""
    days = number(answer.arguments.get("duration_days"))
    expires = answer.now + timedelta(days=days) if days else None
    until = f" It expires at {written(expires)}." if expires else ""
    file, config = answer.file if isinstance(answer.file, SavedFile) else None, answer.body
    contexts = _contexts(config)
    chosen, unverified = _chosen(config, contexts)
    nowhere = bool(answer.context.get("simulated"))
    current = text(get(config, "/current-context"))
    command = _command(file.path, chosen if chosen != current else "") if file and not nowhere else None
    saved = f"The kubeconfig is saved to {file.path}." if file else "The kubeconfig was issued but saved nowhere."
    used = f" Use: {command}." if command else ""
    server = text(get(contexts.get(chosen), "/server"))
    where = ""
    if server:
        where = f" Its API server {word(server)} is {NOWHERE if nowhere else _reach(server)}."
    doubts = ["Anyone with this file controls the cluster until it expires."]
    if unverified:
        doubts.append(f"TLS is not verified with context {' or '.join(map(word, unverified))}: use another one.")
    return ClusterCertificate(
        summary=f"{saved}{until}{used}{where}",
        file=str(file.path) if file else None,
        bytes=file.bytes if file else None,
        sha256=file.sha256 if file else None,
        server=server or None,
        command=command,
        expires=written(expires) if expires else None,
        warnings=doubts,
    )


@summarises("cluster_endpoints", section="status")
def cluster_endpoints(answer: Observation) -> ClusterAddresses:
    """Show where the API server can be reached."""
    found = _addresses(answer)
    inside = get(answer.body, "/status/privateEndpoint")
    outside = get(answer.body, "/status/publicEndpoint")
    within = f"has {word(inside) if inside else 'no address yet'} in the VPC"
    reached = f"exposed to the internet at {word(outside)}" if outside else "not exposed to the internet"
    said = (
        f"The API server {'has an address in the VPC that is not reported' if inside is None else within} and is "
        f"{'exposed to the internet or not: that is not reported' if outside is None else reached}."
    )
    return found.model_copy(update={"summary": said})


@summarises("cluster_public_access", accepts=dict | None)
def cluster_public_access(answer: Observation) -> ClusterAddresses:
    """Say that the API server is open to the internet, or no longer; unbinding answers no body."""
    found = _addresses(answer)
    if answer.arguments.get("action") == "unbind":
        return found.model_copy(update={"summary": "The API server is no longer reachable from the internet."})
    where = word(found.public_url) if found.public_url else "an address it did not report"
    closing = {"cluster_id": found.cluster_id, "action": "unbind"}
    return found.model_copy(
        update={
            "summary": f"The API server is now reachable from the internet at {where}.",
            "next": [NextCall(tool="set_cluster_public_access", arguments=closing, why="closes it again")],
        }
    )


def _addresses(answer: Observation) -> ClusterAddresses:
    body = answer.body
    return ClusterAddresses(
        summary="",
        cluster_id=text(answer.arguments.get("cluster_id")),
        private_url=text(get(body, "/status/privateEndpoint")) or None,
        public_url=text(get(body, "/status/publicEndpoint")) or None,
        bandwidth_mbit=int(size) if (size := number(get(body, "/spec/spec/eip/bandwidth/size"))) else None,
    )


def _contexts(config: Any) -> dict[str, Any]:
    """Return by its name what each context of a kubeconfig leads to."""
    clusters = {text(get(each, "/name")): get(each, "/cluster") for each in items(config, "/clusters")}
    return {
        text(get(each, "/name")): clusters.get(text(get(each, "/context/cluster")))
        for each in items(config, "/contexts")
    }


def _chosen(config: Any, contexts: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the context to use, and those that do not verify TLS.

    It is the current one; or, if that one does not verify TLS, one that does so at the same address.
    """
    current = text(get(config, "/current-context"))
    unverified = [name for name, cluster in contexts.items() if flag(get(cluster, "/insecure-skip-tls-verify"))]
    if current in unverified:
        server = get(contexts[current], "/server")
        safe = (name for name in contexts if name not in unverified and get(contexts[name], "/server") == server)
        current = next(safe, current)
    return current if current in contexts else next(iter(contexts), ""), unverified


def _command(path: Path, context: str) -> str:
    chosen = f" --context {shlex.quote(context)}" if context else ""
    return f"kubectl --kubeconfig {shlex.quote(str(path))}{chosen} get pods -A"


def _reach(server: str) -> str:
    """Return from where an address is reached; a name may lead anywhere, and counts as one of the internet."""
    try:
        host = ip_address(urlsplit(server).hostname or "")
    except ValueError:
        return "reached from the internet"
    if host.is_loopback:
        return "reached on this machine only, as simulated ones are"
    return f"reached {'only inside its VPC' if any(host in each for each in PRIVATE) else 'from the internet'}"
