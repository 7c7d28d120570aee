"""Judges what a passkey signed: that its owner, present and verified, saw exactly this on our own page."""

import base64
import binascii
import hmac
import json
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ap_mcp.guard.approval_requests import Assertion

MADE, USED = "webauthn.create", "webauthn.get"
MOST_BYTES = 2048
"""The most that a credential's id, a key, or what a browser or an authenticator says of it may have."""
_PRESENT, _VERIFIED = 0x01, 0x04
_DATA = 37
"""Bytes of authenticator data that every one has: the digest of the site's name, the flags, a counter."""
_SHORTEST_RSA = 2048


@dataclass(frozen=True)
class Passkey:
    """A passkey of an approver, as the operator's file pins it.

    Attributes:
        id: of the credential, as its authenticator names it.
        spki: the public key.
        origin: of the page that it was made on; what it signs elsewhere is worth nothing.
    """

    id: bytes
    spki: bytes = field(repr=False)
    origin: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= MOST_BYTES or not 1 <= len(self.spki) <= MOST_BYTES:
            raise ValueError(f"its id and key must have 1 to {MOST_BYTES} bytes")
        if not rp_id_of(self.origin):
            raise ValueError("its origin must be https://host or https://host:port, or http://localhost:port")
        _ = self.key

    @property
    def rp_id(self) -> str:
        """The name that the passkey is bound to: the host of its page."""
        return rp_id_of(self.origin)

    @cached_property
    def key(self) -> "ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey":
        """The public key.

        Raises:
            ValueError: it is none that passkeys of this page have.
        """
        try:
            key = load_der_public_key(self.spki)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("its key is no public key in DER") from None
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return key
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SHORTEST_RSA:
            return key
        if isinstance(key, ed25519.Ed25519PublicKey):
            return key
        raise ValueError("its key must be of P-256, Ed25519, or RSA of 2048 bits or more")

    @property
    def fingerprint(self) -> str:
        """A short text by which two people can tell that they speak of the same passkey."""
        text = sha256(self.spki + self.origin.encode()).hexdigest()[:16].upper()
        return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def rp_id_of(origin: str) -> str:
    """Return the name that passkeys of an origin are bound to; empty if browsers make none there.

    They need https, or this machine by the name localhost; an address in numbers is no name.
    """
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    spelt = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    is_number = ":" in host or host.rpartition(".")[2].isdigit()
    if spelt != origin or not host or is_number:
        return ""
    is_here = host == "localhost" or host.endswith(".localhost")
    return host if parts.scheme == "https" or (parts.scheme == "http" and is_here) else ""


def flaw(passkey: Passkey, signed: Assertion, signature: bytes, challenge: bytes) -> str:
    """Return why an assertion does not prove that the owner of a passkey agreed to a challenge; empty if it does.

    Args:
        passkey: pinned.
        signed: what the browser and the authenticator said.
        signature: under both.
        challenge: the digest of exactly what was shown, and of the answer.
    """
    if why := flaw_of_client_data(signed.client_data, USED, passkey.origin, challenge):
        return why
    if why := flaw_of_authenticator_data(signed.authenticator_data, passkey.rp_id):
        return why
    message = signed.authenticator_data + sha256(signed.client_data).digest()
    try:
        if isinstance(passkey.key, ec.EllipticCurvePublicKey):
            passkey.key.verify(signature, message, ec.ECDSA(SHA256()))
        elif isinstance(passkey.key, rsa.RSAPublicKey):
            passkey.key.verify(signature, message, padding.PKCS1v15(), SHA256())
        else:
            passkey.key.verify(signature, message)
    except InvalidSignature:
        return "it bears no signature of this passkey"
    return ""


def flaw_of_client_data(client_data: bytes, kind: str, origin: str, challenge: bytes) -> str:
    """Return why what a browser says it had signed is not this challenge on this page; empty if it is.

    Args:
        client_data: JSON, as the browser wrote it.
        kind: `MADE` or `USED`.
        origin: of the page.
        challenge: what the page gave it.
    """
    try:
        said = json.loads(client_data) if len(client_data) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("type") != kind:
        return "what the browser says about it cannot be read"
    if said.get("origin") != origin or said.get("crossOrigin") is True or "topOrigin" in said:
        return f"it was made on another page than {origin}"
    signed = unpacked(said.get("challenge"))
    if signed is None or not hmac.compare_digest(signed, challenge):
        return "it was signed for another question or answer"
    return ""


def flaw_of_authenticator_data(data: bytes, rp_id: str) -> str:
    """Return why an authenticator does not say that its owner was there, for this site; empty if it does."""
    if not _DATA <= len(data) <= MOST_BYTES or not hmac.compare_digest(data[:32], sha256(rp_id.encode()).digest()):
        return f"its authenticator used it for another site than {rp_id}"
    if data[32] & _PRESENT == 0:
        return "nobody was present"
    if data[32] & _VERIFIED == 0:
        return "its authenticator did not check who used it, by finger, face or PIN"
    return ""


def packed(data: bytes) -> str:
    """Return bytes as text: base64url without padding, as browsers use it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unpacked(text: Any, most: int = 2 * MOST_BYTES) -> bytes | None:
    """Return the bytes of such a text; None if it is none, or longer than `most` characters."""
    if not isinstance(text, str) or len(text) > most:
        return None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if packed(data) == text else None
