"""The keys of an issuer of tokens: found by its address, fetched when needed, and never more often than it takes."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import anyio
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from ap_mcp.cloud import http
from ap_mcp.cloud.lines import Lines
from ap_mcp.setting_values import is_loopback
from ap_mcp.wording import NAME_LIMIT, in_quotes

FRESH, LAST = 600.0, 3600.0
"""Seconds after which keys are fetched again, and after which old ones do not count if that fails."""
AGAIN_FOR_UNKNOWN, AGAIN_AFTER_FAILURE = 60.0, 15.0
"""Seconds between two fetches for keys that are not known, and after one that failed."""
PATIENCE = 5.0
LARGEST_DOCUMENT = 256 * 1024
MOST_KEYS = 100
SMALLEST_RSA = 2048
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
ALGORITHMS = frozenset({*_RSA, *_CURVES.values(), "EdDSA"})
"""Those of public keys alone: with HS256, everybody who reads a public key could sign with it."""
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Document: TypeAlias = Mapping[str, Any]
Fetch: TypeAlias = Callable[[str], Awaitable[Document]]
"""Returns the JSON object at an address, or raises `IssuerFailed`."""

logger = logging.getLogger(__name__)


class IssuerFailed(Exception):
    """The issuer was not reached, or said nothing that can be used."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key, and what it may verify.

    Attributes:
        kid: its name; empty if it has none.
        algorithms: for signatures of which kinds it is.
        key: the key.
    """

    kid: str
    algorithms: frozenset[str]
    key: Any = field(repr=False)


class IssuerKeys:
    """The keys of one issuer.

    Args:
        issuer: its address.
        jwks_url: where its keys are; found by its metadata if not given.
        fetch: fetches a document.
        seconds: a clock that never goes back.
    """

    def __init__(
        self, issuer: str, jwks_url: str | None, fetch: Fetch, seconds: Callable[[], float] = monotonic
    ) -> None:
        self._issuer = issuer
        self._given = jwks_url
        self._fetch = fetch
        self._seconds = seconds
        self._fetching = anyio.Lock()
        self._keys: tuple[IssuerKey, ...] = ()
        self._got = self._tried = -LAST
        self.trouble = ""
        """Why the last fetch failed; empty if it did not."""

    async def find(self, kid: str | None, algorithm: str) -> IssuerKey | None:
        """Return the key that a token names; without a name, the only one that it can be.

        Raises:
            IssuerFailed: no keys are known now.
        """
        found = self._known(kid, algorithm)
        if found is not None and (self._age < FRESH or (self._age < LAST and self._fetching.locked())):
            return found
        async with self._fetching:
            if self._may_fetch(kid, algorithm):
                await self.refresh()
        if self._age >= LAST:
            raise IssuerFailed(self.trouble or "its keys were not fetched yet")
        return self._known(kid, algorithm)

    async def refresh(self) -> None:
        """Fetch the keys; if that fails, those that are known stay, and `trouble` says why."""
        self._tried = self._seconds()
        try:
            url = self._given or await self._discovered()
            keys = tuple(_keys_in(await self._fetch(url)))
            if not keys:
                raise IssuerFailed(f"{url} holds no key that can verify a token")  # noqa: TRY301 - as if not reached
        except IssuerFailed as error:
            if str(error) != self.trouble:
                logger.warning("The keys of %s could not be fetched: %s", self._issuer, error)
            self.trouble = str(error)
            return
        self.trouble = ""
        self._keys, self._got = keys, self._tried

    @property
    def names(self) -> tuple[str, ...]:
        """What the keys are called."""
        return tuple(key.kid or "without a name" for key in self._keys)

    @property
    def _age(self) -> float:
        return self._seconds() - self._got

    def _known(self, kid: str | None, algorithm: str) -> IssuerKey | None:
        fitting = [key for key in self._keys if algorithm in key.algorithms and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def _may_fetch(self, kid: str | None, algorithm: str) -> bool:
        """Say whether it is time to fetch: whoever makes up names of keys must not make us call the issuer."""
        since = self._seconds() - self._tried
        if self._age >= FRESH:
            return since >= AGAIN_AFTER_FAILURE
        return self._known(kid, algorithm) is None and since >= AGAIN_FOR_UNKNOWN

    async def _discovered(self) -> str:
        """Return where the keys are, as the issuer itself says it."""
        failures = []
        for url in metadata_urls(self._issuer):
            try:
                document = await self._fetch(url)
            except IssuerFailed as error:
                failures.append(str(error))
                continue
            if document.get("issuer") != self._issuer:
                named = in_quotes(str(document.get("issuer")), NAME_LIMIT)
                raise IssuerFailed(f"{url} is about the issuer {named}; it must be {self._issuer} to the letter")
            found = document.get("jwks_uri")
            if not isinstance(found, str) or not is_safe_address(found):
                raise IssuerFailed(f"{url} names no https address of keys (jwks_uri)")
            return found
        raise IssuerFailed("; ".join(failures))


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where an issuer may describe itself: RFC 8414, then OpenID Connect in both forms."""
    place = urlsplit(issuer)
    root, path = f"{place.scheme}://{place.netloc}", place.path.rstrip("/")
    found = (
        f"{root}/.well-known/oauth-authorization-server{path}",
        f"{root}{path}/.well-known/openid-configuration",
        f"{root}/.well-known/openid-configuration{path}",
    )
    return tuple(dict.fromkeys(found))


def is_safe_address(url: str) -> bool:
    """Say whether nobody on the way can change what an address gives: https, or http on this machine."""
    try:
        place = urlsplit(url)
        host = place.hostname or ""
    except ValueError:
        return False
    return bool(host) and (place.scheme == "https" or (place.scheme == "http" and is_loopback(host)))


def fetching(connect: Callable[[], Lines]) -> Fetch:
    """Return what fetches documents: whole within seconds, of bounded size, and from nowhere but the address asked.

    Args:
        connect: makes connections, which are used once: keys are fetched every few minutes at most.
    """

    async def fetch(url: str) -> Document:
        try:
            with anyio.fail_after(PATIENCE):
                found = json.loads(await _content(connect(), url))
        except (http.HTTPError, http.InvalidURL, OSError) as error:  # a time-out is an OSError, too
            raise IssuerFailed(f"{url} was not reached ({type(error).__name__})") from None
        except (ValueError, RecursionError):
            raise IssuerFailed(f"{url} answered no JSON") from None
        if not isinstance(found, dict):
            raise IssuerFailed(f"{url} answered no JSON object")
        return found

    return fetch


async def _content(lines: Lines, url: str) -> bytes:
    """Return what an address answers; a redirect is not followed, for these connections follow none."""
    # Nothing is compressed, or a small answer could become a large one.
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(lines.close)
        answer = await lines.send(http.Request("GET", url, headers=headers))
        stack.push_async_callback(answer.aclose)
        if answer.status_code != 200:
            moved = ", which is not followed" if answer.is_redirect else ""
            raise IssuerFailed(f"{url} answered {answer.status_code}{moved}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise IssuerFailed(f"{url} answered something compressed, which was not asked for")
        content = bytearray()
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > LARGEST_DOCUMENT:
                raise IssuerFailed(f"{url} answered more than {LARGEST_DOCUMENT} bytes")
    return bytes(content)


def _keys_in(document: Document) -> Iterator[IssuerKey]:
    """Yield the keys of a set that can verify tokens; what is none is passed over."""
    listed = document.get("keys")
    for entry in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if not isinstance(entry, Mapping) or not _is_for_signatures(entry):
            continue
        # A key that should never have been published is still good for what is public of it.
        public = {name: value for name, value in entry.items() if name not in _PRIVATE}
        try:
            fits, key = _key(public)
        except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            continue
        stated = entry.get("alg")
        algorithms = fits if stated is None else fits & {str(stated)}
        if algorithms:
            kid = entry.get("kid")
            yield IssuerKey(kid if isinstance(kid, str) else "", algorithms, key)


def _is_for_signatures(entry: Document) -> bool:
    operations = entry.get("key_ops")
    return entry.get("use", "sig") == "sig" and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _key(entry: Document) -> tuple[frozenset[str], Any]:
    """Return a public key and the signatures that it is for.

    Raises:
        ValueError: it is of no kind, or not of the strength, that is taken; as the errors of the library.
    """
    match entry.get("kty"):
        case "RSA":
            key: Any = RSAAlgorithm.from_jwk(dict(entry))
            if key.key_size < SMALLEST_RSA:
                raise ValueError("too short")
            return _RSA, key
        case "EC" if entry.get("crv") in _CURVES:
            return frozenset({_CURVES[entry["crv"]]}), ECAlgorithm.from_jwk(dict(entry))
        case "OKP" if entry.get("crv") == "Ed25519":
            return frozenset({"EdDSA"}), OKPAlgorithm.from_jwk(dict(entry))
        case _:
            raise ValueError("another kind")
