"""Ways into a simulated cluster: client certificates, the public address, the list of addresses."""

import re
import uuid
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization

from ap_mcp.simulator.cluster_certificates import authority_of, client_certificate, encoded, new_key, pem, years_later
from ap_mcp.simulator.cluster_rows import TABLE, available_cluster, endpoints, find_cluster, private_url, public_url
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.registry import Answer, SimulatedError, SimulatedRequest, handles, invalid
from ap_mcp.simulator.world import Row, World

LONGEST = -1
CERTIFICATE_YEARS = 5
BANDWIDTH = {"size": 5, "sharetype": "PER"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@handles("get_cluster_certificate")
def get_cluster_certificate(world: World, request: SimulatedRequest) -> Answer:
    """Issue a client certificate, wrapped in a kubeconfig."""
    row = available_cluster(world, request.path["cluster_id"])
    expiry = _expiry(world.now(), request.body["duration"])
    authority = authority_of(world, row)
    key = new_key(world)
    certificate = client_certificate(world, authority, key, expiry)
    user = {
        "client-certificate-data": encoded(certificate.public_bytes(serialization.Encoding.PEM)),
        "client-key-data": encoded(pem(key)),
    }
    clusters = _reachable(world, row, encoded(authority.certificate.public_bytes(serialization.Encoding.PEM)))
    contexts = [name.replace("Cluster", "") for name in clusters]
    config = {
        "kind": "Config",
        "apiVersion": "v1",
        "preferences": {},
        "clusters": [{"name": name, "cluster": cluster} for name, cluster in clusters.items()],
        "users": [{"name": "user", "user": user}],
        "contexts": [
            {"name": context, "context": {"cluster": cluster, "user": "user"}}
            for context, cluster in zip(contexts, clusters, strict=True)
        ],
        "current-context": "external" if row["_eip"] else "internal",
    }
    return Answer(config, headers={"Port-ID": row["_port_id"]})


@handles("set_cluster_public_access")
def set_cluster_public_access(world: World, request: SimulatedRequest) -> Row | Answer:
    """Bind a public address to the API server, or take it away; the latter answers nothing."""
    row = available_cluster(world, request.path["cluster_id"])
    wanted = request.body["spec"]
    if wanted["action"] == "unbind":
        _set_address(world, row, None)
        return Answer(empty=True)
    eip = {"id": wanted.get("spec", {}).get("id", ""), "size": BANDWIDTH["size"]}
    if not _UUID.fullmatch(eip["id"]):
        raise invalid(f"spec.spec.id {eip['id']!r} is no EIP id; it is mandatory for bind")
    for uid, other in world.table(TABLE).items():
        if other["_eip"] and (uid == row["metadata"]["uid"]) != (other["_eip"]["id"] == eip["id"]):
            reason = f"cluster {other['metadata']['name']!r} has EIP {other['_eip']['id']} bound; unbind it first"
            raise SimulatedError(409, "CCE.01409001", "The resource already exists", reason=reason)
    _set_address(world, row, {**eip, "address": f"203.0.113.{uuid.UUID(eip['id']).int % 253 + 1}"})
    return {
        "metadata": {},
        "spec": {
            "action": "bind",
            "spec": {"id": eip["id"], "eip": {"bandwidth": dict(BANDWIDTH)}, "IsDynamic": False},
            "elasticIp": row["_eip"]["address"],
        },
        "status": _addresses(world, row),
    }


@handles("get_cluster_endpoints")
def get_cluster_endpoints(world: World, request: SimulatedRequest) -> Row:
    """Show the addresses of the API server; a cluster that is not up yet has none."""
    row = find_cluster(world, request.path["cluster_id"])
    bandwidth: dict[str, Any] = dict(BANDWIDTH) if row["_eip"] else {}
    return {
        "metadata": {},
        "spec": {"spec": {"eip": {"bandwidth": bandwidth}, "IsDynamic": False}},
        "status": _addresses(world, row)
        if row["status"].get("endpoints")
        else {"privateEndpoint": "", "publicEndpoint": ""},
    }


def _addresses(world: World, row: Row) -> dict[str, str]:
    outside = public_url(row) and (world.listening(row["metadata"]["uid"]) or public_url(row))
    return {"privateEndpoint": _inside(world, row), "publicEndpoint": outside}


def _inside(world: World, row: Row) -> str:
    """Return where the API server can be reached: on this machine if it listens there."""
    return world.listening(row["metadata"]["uid"]) or private_url(row)


def _set_address(world: World, row: Row, eip: Row | None) -> None:
    row["_eip"] = eip
    row["status"]["endpoints"] = endpoints(row)
    touch(world, row)


def _reachable(world: World, row: Row, authority: str) -> dict[str, dict[str, Any]]:
    """List a kubeconfig's clusters by name: the same API server by each address it has."""
    inside = {"internalCluster": {"server": _inside(world, row), "certificate-authority-data": authority}}
    if not row["_eip"]:
        return inside
    outside = world.listening(row["metadata"]["uid"]) or public_url(row)
    return {
        **inside,
        "externalCluster": {"server": outside, "insecure-skip-tls-verify": True},
        "externalTLSVerifyCluster": {"server": outside, "certificate-authority-data": authority},
    }


def _expiry(now: datetime, days: int) -> datetime:
    last = years_later(now, CERTIFICATE_YEARS)
    longest = (last - now).days
    if days == LONGEST:
        return last
    if not 1 <= days <= longest:
        raise invalid(f"duration {days} is not between 1 and {longest} days, nor -1")
    return now + timedelta(days=days)
