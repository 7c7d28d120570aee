"""Shapes answers about how a cluster is reached: its kubeconfig, its addresses, its public address."""

from datetime import timedelta
from typing import Any

from ap_mcp.summaries.base import NextCall, Observation, Result, summarises
from ap_mcp.vendor import get, items, number, text, word, written


class ClusterCertificate(Result):
    """Where a kubeconfig was saved, and how long it is valid."""

    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    server: str | None = None
    expires: str | None = None


class ClusterAddresses(Result):
    """Where the API server of a cluster can be reached."""

    cluster_id: str = ""
    private_url: str | None = None
    public_url: str | None = None
    bandwidth_mbit: int | None = None


@summarises("cluster_certificate")
def cluster_certificate(answer: Observation) -> ClusterCertificate:
    """Say where a kubeconfig was saved; what is in it stays out of the conversation."""
    days = number(answer.arguments.get("duration_days"))
    expires = answer.now + timedelta(days=days) if days else None
    until = f"; it expires at {written(expires)}" if expires else ""
    file = answer.file
    saved = f"The kubeconfig is saved to {file.path}" if file else "The kubeconfig was issued but saved nowhere"
    current = text(get(answer.body, "/current-context"))
    return ClusterCertificate(
        summary=f"{saved}{until}.",
        file=str(file.path) if file else None,
        bytes=file.bytes if file else None,
        sha256=file.sha256 if file else None,
        server=_server(answer.body, current) or None,
        expires=written(expires) if expires else None,
        warnings=["Anyone with this file controls the cluster until it expires."],
    )


@summarises("cluster_endpoints")
def cluster_endpoints(answer: Observation) -> ClusterAddresses:
    """Show where the API server can be reached."""
    found = _addresses(answer)
    inside = word(found.private_url) if found.private_url else "no address yet"
    exposed = f"exposed to the internet at {word(found.public_url or '')}"
    outside = exposed if found.public_url else "not exposed to the internet"
    return found.model_copy(update={"summary": f"The API server has {inside} in the VPC and is {outside}."})


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


def _server(body: Any, context: str) -> str:
    """Return the address that a kubeconfig's current context leads to."""
    chosen = next((each for each in items(body, "/contexts") if get(each, "/name") == context), {})
    wanted = text(get(chosen, "/context/cluster"))
    servers = {text(get(each, "/name")): text(get(each, "/cluster/server")) for each in items(body, "/clusters")}
    return servers.get(wanted) or next(iter(servers.values()), "")
