"""The authority of each simulated cluster, and the certificates that it signs for clients and for its API server."""

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ap_mcp.simulator.constants import USER_NAME
from ap_mcp.simulator.world import Row, World

AUTHORITY_YEARS = 30
_CURVE = ec.SECP256R1()
_CURVE_BITS = 255
"""Bits of a seeded private value: below the order of the curve whatever they are."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What signs a cluster's certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def years_later(moment: datetime, years: int) -> datetime:
    """Return the same day of another year; the one after for a 29 February that it does not have."""
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February of a year that has none
        return moment.replace(year=moment.year + years, month=3, day=1)


def authority_of(world: World, row: Row) -> Authority:
    """Return what signs the cluster's certificates, made when first needed and kept in its row."""
    if "_authority" not in row:
        secret = _secret_number(world)
        key = ec.derive_private_key(secret, _CURVE)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, row["metadata"]["uid"])])
        last = years_later(world.now(), AUTHORITY_YEARS)
        builder = _certificate(world, name, name, key.public_key(), last)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        row["_authority"] = {"secret": f"{secret:x}", "certificate": pem.decode()}
    kept = row["_authority"]
    key = ec.derive_private_key(int(kept["secret"], 16), _CURVE)
    return Authority(key, x509.load_pem_x509_certificate(kept["certificate"].encode()))


def client_certificate(
    world: World, authority: Authority, key: ec.EllipticCurvePrivateKey, expiry: datetime
) -> x509.Certificate:
    """Sign a client's certificate."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, USER_NAME),
        ]
    )
    builder = _certificate(world, subject, authority.certificate.subject, key.public_key(), expiry)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return builder.add_extension(usage, critical=False).sign(authority.key, hashes.SHA256())


def server_certificate(world: World, authority: Authority, host: str) -> bytes:
    """Return certificate and key of an API server that listens under an address of this machine."""
    key = new_key(world)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    expiry = authority.certificate.not_valid_after_utc
    builder = _certificate(world, subject, authority.certificate.subject, key.public_key(), expiry)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host)), x509.DNSName("localhost")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    signed = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    certificate = signed.sign(authority.key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM) + pem(key)


def new_key(world: World) -> ec.EllipticCurvePrivateKey:
    """Make a private key, the same in every run with the same seed."""
    return ec.derive_private_key(_secret_number(world), _CURVE)


def _certificate(
    world: World, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, expiry: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(world.random.getrandbits(120) + 1)
        .not_valid_before(min(world.now(), datetime.now(UTC)))
        .not_valid_after(expiry)
    )


def _secret_number(world: World) -> int:
    return world.random.getrandbits(_CURVE_BITS) + 1


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a private key."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def encoded(text: bytes) -> str:
    """Write a certificate or key as a kubeconfig has it."""
    return base64.b64encode(text).decode()
