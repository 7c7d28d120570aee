"""Seals what travels through a client, so that it comes back unread, unchanged, in time, or not at all."""

import base64
import binascii
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

VERSION = "v2."
KEY_LENGTH = 32
NONCE_LENGTH = 12
NAME_LENGTH = 8
"""Characters of the name of a key, which stands in the text: it says with which one of several it was sealed."""
PROOF_LENGTH = 26

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class HasStateKeys(Protocol):
    """The part of the settings that a sealer is made from."""

    @property
    def state_keys(self) -> tuple[SecretStr, ...]:
        """The keys that several servers share, of which the first one seals; none: each process has its own."""


class Forged(ValueError):
    """A text that was not sealed here as what it is handed over for, or was changed since."""

    def __init__(self) -> None:
        super().__init__("it was not sealed here, or was changed since")


class SealedElsewhere(Forged):
    """A text that names a key which is not known here: another server sealed it, or nobody did."""


class Sealer:
    """Turns payloads into texts that only the key can read, make or change.

    Args:
        key: at least 32 bytes that cannot be guessed.
        older: keys of which texts are still opened, while servers change from one key to the next.
    """

    def __init__(self, key: bytes, *older: bytes) -> None:
        if any(len(each) < KEY_LENGTH for each in (key, *older)):
            raise ValueError(f"a sealing key must have at least {KEY_LENGTH} bytes")
        self._name = _name_of(key)
        self._keys = {_name_of(each): bytes(each) for each in (*older, key)}

    def __repr__(self) -> str:
        return "Sealer(key hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a sealer holds a key and is not copied out of its process")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its keys, from which nothing can be learnt about these."""
        return tuple(self._keys)

    def seal(self, kind: str, payload: Mapping[str, Any], expires: datetime) -> str:
        """Return a payload as a sealed text of one kind.

        Args:
            kind: what the text is for; only `open` with the same kind accepts it.
            payload: JSON.
            expires: from then on it is worthless.
        """
        plain = canonical({"expires": ticks(expires), "payload": dict(payload)}).encode("ascii")
        nonce = os.urandom(NONCE_LENGTH)
        sealed = nonce + self._cipher(self._name, kind).encrypt(nonce, plain, kind.encode())
        return f"{VERSION}{self._name}.{_encoded(sealed)}"

    def open(self, kind: str, text: str, now: datetime) -> dict[str, Any] | None:
        """Return the payload of a text sealed here as this kind; None if it has expired.

        The tag is checked in constant time, and every payload has one spelling only.

        Raises:
            SealedElsewhere: it names a key that is not known here.
            Forged: it is anything else; it does not say what is wrong, for a forger must not learn from the answer.
        """
        name, sealed = _decoded(text)
        if sealed is None:
            raise Forged
        if name not in self._keys:
            raise SealedElsewhere
        try:
            plain = self._cipher(name, kind).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], kind.encode())
        except (InvalidTag, ValueError):
            raise Forged from None
        opened: dict[str, Any] = json.loads(plain)
        payload: dict[str, Any] = opened["payload"]
        return payload if ticks(now) < opened["expires"] else None

    def proof(self, kind: str, text: str) -> str:
        """Return what only a holder of the key can say about a text: 130 bits, in small letters and digits.

        Args:
            kind: what the proof is for.
            text: what it is about; `proves` knows it again.
        """
        return _proof(self._keys[self._name], kind, text)

    def proves(self, kind: str, text: str, proof: str) -> bool:
        """Say whether `proof` gave this about a text, by any of the keys; compared in constant time."""
        given = proof.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(_proof(key, kind, text).encode(), given) for key in self._keys.values())

    def _cipher(self, name: str, kind: str) -> AESGCM:
        return AESGCM(_derived(self._keys[name], b"ap-mcp seal v2 " + kind.encode()))


def sealer_from(settings: HasStateKeys) -> Sealer:
    """Return a sealer with the operator's keys, or with one that ends with this process."""
    keys = [key.get_secret_value().encode() for key in settings.state_keys]
    return Sealer(*keys or [secrets.token_bytes(KEY_LENGTH)])


def _proof(key: bytes, kind: str, text: str) -> str:
    digest = hmac.digest(_derived(key, b"ap-mcp proof v1 " + kind.encode()), text.encode(), "sha256")
    return base64.b32encode(digest).decode("ascii").lower()[:PROOF_LENGTH]


def canonical(value: Any) -> str:
    """Return JSON in the one spelling that digests and signatures are made over: sorted, dense, ASCII.

    Raises:
        ValueError: it is no JSON (NaN and infinity are not).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from None


def ticks(moment: datetime) -> int:
    """Return a moment as microseconds since 1970, exactly.

    Raises:
        ValueError: it has no time zone, so it names no moment.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    return (moment - _EPOCH) // _TICK


def moment_at(number: int) -> datetime:
    """Return the moment that `ticks` gave."""
    return _EPOCH + number * _TICK


def _derived(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_LENGTH, salt=None, info=info).derive(key)


def _name_of(key: bytes) -> str:
    """Return the name of a key, from which nothing can be learnt about the key itself."""
    return _encoded(_derived(key, b"ap-mcp seal name"))[:NAME_LENGTH]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> tuple[str, bytes | None]:
    """Return the name of a sealed text's key, and its bytes; None unless it is spelt exactly as `seal` spells it."""
    if not isinstance(text, str) or not text.startswith(VERSION):
        return "", None
    name, _, body = text.removeprefix(VERSION).partition(".")
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return "", None
    # Base64 has spare bits at its end: without this, several texts would open as one.
    return name, data if _encoded(data) == body and len(data) > NONCE_LENGTH else None
