"""An authenticator made of software, and the browser around it: for tests of passkeys without either."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ap_mcp.guard.approval_requests import Assertion, Question, SignedAnswer, passkey_digest
from ap_mcp.guard.passkeys import Passkey, packed

ORIGIN = "https://approve.example.com"
PRESENT, VERIFIED, MADE_HERE = 0x01, 0x04, 0x40

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass
class SoftPasskey:
    """A passkey whose private key is at hand; each part of what it says can be made wrong."""

    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = b"credential"
    origin: str = ORIGIN

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pinned(self) -> Passkey:
        return Passkey(self.id, self.spki, self.origin)

    def client_data(self, challenge: bytes, /, kind: str = "webauthn.get", **said: Any) -> bytes:
        words = {"type": kind, "challenge": packed(challenge), "origin": self.origin, "crossOrigin": False}
        return json.dumps({**words, **said}).encode()

    def authenticator_data(self, flags: int = PRESENT | VERIFIED, rp_id: str | None = None) -> bytes:
        name = self.pinned.rp_id if rp_id is None else rp_id
        return sha256(name.encode()).digest() + bytes([flags]) + (7).to_bytes(4, "big")

    def signature(self, assertion: Assertion) -> bytes:
        message = assertion.authenticator_data + sha256(assertion.client_data).digest()
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(message, ec.ECDSA(SHA256()))
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), SHA256())
        return self.key.sign(message)

    def asserted(self, challenge: bytes, /, flags: int = PRESENT | VERIFIED, **said: Any) -> tuple[Assertion, bytes]:
        """What it says to a challenge, and the signature under that."""
        assertion = Assertion(self.client_data(challenge, **said), self.authenticator_data(flags))
        return assertion, self.signature(assertion)

    def answered(self, question: Question, approved: bool, at: Any, approver: str = "alice") -> SignedAnswer:
        """The answer of its owner to a question."""
        assertion, signature = self.asserted(passkey_digest(question, approved=approved, at=at))
        return SignedAnswer(approver, approved, at, signature, assertion)
