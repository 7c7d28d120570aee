"""Ways into a simulated cluster: client certificates, the public address, the list of addresses."""

import base64
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ap_mcp.simulator.cluster_rows import TABLE, available_cluster, endpoints, find_cluster, private_url, public_url
from ap_mcp.simulator.constants import USER_NAME
from ap_mcp.simulator.lifecycle import touch
from ap_mcp.simulator.registry import Answer, SimulatedError, SimulatedRequest, handles, invalid
from ap_mcp.simulator.world import Row, World

LONGEST = -1
CERTIFICATE_YEARS, AUTHORITY_YEARS = 5, 30
BANDWIDTH = {"size": 5, "sharetype": "PER"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CURVE = ec.SECP256R1()
_CURVE_BITS = 255
"""Bits of a seeded private value: below the order of the curve whatever they are."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What signs a cluster's certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@handles("get_cluster_certificate")
def get_cluster_certificate(world: World, request: SimulatedRequest) -> Answer:
    """Issue a client certificate, wrapped in a kubeconfig."""
    row = available_cluster(world, request.path["cluster_id"])
    expiry = _expiry(world.now(), request.body["duration"])
    authority = _authority(world, row)
    key = ec.derive_private_key(_secret_number(world), _CURVE)
    certificate = _client_certificate(world, authority, key, expiry)
    user = {
        "client-certificate-data": _encoded(certificate.public_bytes(serialization.Encoding.PEM)),
        "client-key-data": _encoded(_pem(key)),
    }
    clusters = _reachable(row, _encoded(authority.certificate.public_bytes(serialization.Encoding.PEM)))
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
        "status": _addresses(row),
    }


@handles("get_cluster_endpoints")
def get_cluster_endpoints(world: World, request: SimulatedRequest) -> Row:
    """Show the addresses of the API server; a cluster that is not up yet has none."""
    row = find_cluster(world, request.path["cluster_id"])
    bandwidth: dict[str, Any] = dict(BANDWIDTH) if row["_eip"] else {}
    return {
        "metadata": {},
        "spec": {"spec": {"eip": {"bandwidth": bandwidth}, "IsDynamic": False}},
        "status": _addresses(row) if row["status"].get("endpoints") else {"privateEndpoint": "", "publicEndpoint": ""},
    }


def _addresses(row: Row) -> dict[str, str]:
    return {"privateEndpoint": private_url(row), "publicEndpoint": public_url(row)}


def _set_address(world: World, row: Row, eip: Row | None) -> None:
    row["_eip"] = eip
    row["status"]["endpoints"] = endpoints(row)
    touch(world, row)


def _reachable(row: Row, authority: str) -> dict[str, dict[str, Any]]:
    """List a kubeconfig's clusters by name: the same API server by each address it has."""
    inside = {"internalCluster": {"server": private_url(row), "certificate-authority-data": authority}}
    if not row["_eip"]:
        return inside
    outside = public_url(row)
    return {
        **inside,
        "externalCluster": {"server": outside, "insecure-skip-tls-verify": True},
        "externalTLSVerifyCluster": {"server": outside, "certificate-authority-data": authority},
    }


def _expiry(now: datetime, days: int) -> datetime:
    last = _years_later(now, CERTIFICATE_YEARS)
    longest = (last - now).days
    if days == LONGEST:
        return last
    if not 1 <= days <= longest:
        raise invalid(f"duration {days} is not between 1 and {longest} days, nor -1")
    return now + timedelta(days=days)


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February of a year that has none
        return moment.replace(year=moment.year + years, month=3, day=1)


def _authority(world: World, row: Row) -> Authority:
    """Return what signs the cluster's certificates, made when first needed and kept in its row."""
    if "_authority" not in row:
        secret = _secret_number(world)
        key = ec.derive_private_key(secret, _CURVE)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, row["metadata"]["uid"])])
        last = _years_later(world.now(), AUTHORITY_YEARS)
        builder = _certificate(world, name, name, key.public_key(), last)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        row["_authority"] = {"secret": f"{secret:x}", "certificate": pem.decode()}
    kept = row["_authority"]
    key = ec.derive_private_key(int(kept["secret"], 16), _CURVE)
    return Authority(key, x509.load_pem_x509_certificate(kept["certificate"].encode()))


def _client_certificate(
    world: World, authority: Authority, key: ec.EllipticCurvePrivateKey, expiry: datetime
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, USER_NAME),
        ]
    )
    builder = _certificate(world, subject, authority.certificate.subject, key.public_key(), expiry)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return builder.add_extension(usage, critical=False).sign(authority.key, hashes.SHA256())


def _certificate(
    world: World, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, expiry: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(world.random.getrandbits(120) + 1)
        .not_valid_before(world.now())
        .not_valid_after(expiry)
    )


def _secret_number(world: World) -> int:
    return world.random.getrandbits(_CURVE_BITS) + 1


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
