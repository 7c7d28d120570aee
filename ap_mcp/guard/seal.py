"""Seals what travels through a client, so that it comes back unread, unchanged, in time, or not at all."""

import base64
import binascii
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

VERSION = "v1."
KEY_LENGTH = 32
NONCE_LENGTH = 12

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class HasStateKey(Protocol):
    """The part of the settings that a sealer is made from."""

    @property
    def state_key(self) -> SecretStr | None:
        """The key that several servers share; None: each process has its own."""


class Forged(ValueError):
    """A text that was not sealed here as what it is handed over for, or was changed since."""

    def __init__(self) -> None:
        super().__init__("it was not sealed here, or was changed since")


class Sealer:
    """Turns payloads into texts that only the key can read, make or change.

    Args:
        key: at least 32 bytes that cannot be guessed.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_LENGTH:
            raise ValueError(f"a sealing key must have at least {KEY_LENGTH} bytes")
        self._key = bytes(key)

    def __repr__(self) -> str:
        return "Sealer(key hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a sealer holds a key and is not copied out of its process")

    def seal(self, kind: str, payload: Mapping[str, Any], expires: datetime) -> str:
        """Return a payload as a sealed text of one kind.

        Args:
            kind: what the text is for; only `open` with the same kind accepts it.
            payload: JSON.
            expires: from then on it is worthless.
        """
        plain = canonical({"expires": ticks(expires), "payload": dict(payload)}).encode("ascii")
        nonce = os.urandom(NONCE_LENGTH)
        sealed = nonce + self._cipher(kind).encrypt(nonce, plain, kind.encode())
        return VERSION + _encoded(sealed)

    def open(self, kind: str, text: str, now: datetime) -> dict[str, Any] | None:
        """Return the payload of a text sealed here as this kind; None if it has expired.

        The tag is checked in constant time, and every payload has one spelling only.

        Raises:
            Forged: it is anything else; it does not say what is wrong, for a forger must not learn from the answer.
        """
        sealed = _decoded(text)
        if sealed is None:
            raise Forged
        try:
            plain = self._cipher(kind).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], kind.encode())
        except (InvalidTag, ValueError):
            raise Forged from None
        opened: dict[str, Any] = json.loads(plain)
        payload: dict[str, Any] = opened["payload"]
        return payload if ticks(now) < opened["expires"] else None

    def _cipher(self, kind: str) -> AESGCM:
        info = b"ap-mcp seal v1 " + kind.encode()
        return AESGCM(HKDF(algorithm=SHA256(), length=KEY_LENGTH, salt=None, info=info).derive(self._key))


def sealer_from(settings: HasStateKey) -> Sealer:
    """Return a sealer with the operator's key, or with one that ends with this process."""
    if settings.state_key is None:
        return Sealer(secrets.token_bytes(KEY_LENGTH))
    return Sealer(settings.state_key.get_secret_value().encode())


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


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes | None:
    """Return the bytes of a sealed text; None unless it is spelt exactly as `seal` spells it."""
    if not isinstance(text, str) or not text.startswith(VERSION):
        return None
    body = text.removeprefix(VERSION)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # Base64 has spare bits at its end: without this, several texts would open as one.
    return data if _encoded(data) == body and len(data) > NONCE_LENGTH else None
