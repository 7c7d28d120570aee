"""Signs and verifies requests by SDK-HMAC-SHA256, stage by stage; pure.

canonical_request → string_to_sign → signature → authorization
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

ALGORITHM = "SDK-HMAC-SHA256"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"
DATE_HEADER = "X-Sdk-Date"
CONTENT_HEADER = "X-Sdk-Content-Sha256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_SIGNED_AS_SENT = ("application/json", "application/bson")
_ALWAYS_SIGNED = frozenset({"host", DATE_HEADER.lower()})
_SIGNED_IF_SENT = frozenset({"x-project-id", "x-security-token", CONTENT_HEADER.lower()})
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} +Access=(?P<key>[^,\s]+), *SignedHeaders=(?P<headers>[^,\s]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of a received Authorization header."""

    access_key: str
    signed_headers: tuple[str, ...]
    signature: str


def encode_query(query: Iterable[tuple[str, str]]) -> str:
    """Return the query as it is signed and sent: sorted by raw name, then value; only unreserved characters plain."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query))


def canonical_path(path: str) -> str:
    """Return the percent-encoded `path` decoded, encoded anew and ending in a slash; nothing else is normalised."""
    encoded = quote(unquote(path), safe="/~")
    return encoded if encoded.endswith("/") else f"{encoded}/"


def signed_names(headers: Mapping[str, str]) -> list[str]:
    """Return the names that are signed: all but those with an underscore, in lower case, sorted."""
    return sorted(name.lower() for name in headers if "_" not in name)


def payload_hash(headers: Mapping[str, str], body: bytes) -> str:
    """Return the hash of the body, or the word that a header puts in its place."""
    if not body:
        return _EMPTY_HASH
    given = next((value for name, value in headers.items() if name.lower() == CONTENT_HEADER.lower()), "")
    return given or hashlib.sha256(body).hexdigest()


def is_payload_signed(content_type: str) -> bool:
    """Say whether a body of this type is part of the signature; others are sent as UNSIGNED-PAYLOAD."""
    return content_type == "" or content_type.startswith(_SIGNED_AS_SENT)


def canonical_request(
    method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], body: bytes
) -> str:
    """Return the text that stands for the request: one line per part.

    Args:
        method: of HTTP.
        path: percent-encoded, as on the wire.
        query: names and values, not encoded.
        headers: those to be signed, Host and X-Sdk-Date among them.
        body: as on the wire.
    """
    stripped = {name.lower(): value.strip() for name, value in headers.items()}
    names = signed_names(headers)
    lines = "".join(f"{name}:{stripped[name]}\n" for name in names)
    return "\n".join(
        (
            method.upper(),
            canonical_path(path),
            encode_query(query),
            lines,
            ";".join(names),
            payload_hash(headers, body),
        )
    )


def string_to_sign(canonical: str, date: str) -> str:
    """Return what the key is applied to: algorithm, date, and the hash of the canonical request."""
    return f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def signature(to_sign: str, secret_key: str) -> str:
    """Return the signature; the secret key itself is the signing key."""
    return hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def authorization(access_key: str, names: Sequence[str], signed: str) -> str:
    """Return the value of the Authorization header."""
    return f"{ALGORITHM} Access={access_key}, SignedHeaders={';'.join(names)}, Signature={signed}"


def sign_request(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
) -> str:
    """Go through all stages; `headers` must hold X-Sdk-Date."""
    date = next(value for name, value in headers.items() if name.lower() == DATE_HEADER.lower())
    canonical = canonical_request(method, path, query, headers, body)
    signed = signature(string_to_sign(canonical, date), secret_key)
    return authorization(access_key, signed_names(headers), signed)


def format_date(moment: datetime) -> str:
    """Return the moment as X-Sdk-Date wants it."""
    return moment.astimezone(UTC).strftime(DATE_FORMAT)


@lru_cache(64)
def parse_date(text: str) -> datetime:
    """Read an X-Sdk-Date; the requests of one second share theirs.

    Raises:
        ValueError: if it is not of that form.
    """
    return datetime.strptime(text, DATE_FORMAT).replace(tzinfo=UTC)


def parse_authorization(value: str) -> Authorization | None:
    """Take a received Authorization header apart; None if it is not of this algorithm."""
    found = _AUTHORIZATION.fullmatch(value.strip())
    if found is None:
        return None
    return Authorization(found["key"], tuple(found["headers"].split(";")), found["signature"])


def verify(  # noqa: PLR0917 - the parts of a request, in their own order
    method: str,
    raw_path: str,
    query_pairs: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
    secret_key: str,
) -> str | None:
    """Check the signature of a received request; the age of its date is the caller's to judge.

    Args:
        method: of HTTP.
        raw_path: as received, percent-encoded, without the query.
        query_pairs: names and values, decoded.
        headers: as received; text that was decoded as latin-1 is understood too.
        body: as received.
        secret_key: that belongs to the access key of the Authorization header.

    Returns:
        Why the request must be turned away, or None if the signature is right.
    """
    received = {name.lower(): _as_utf8(value) for name, value in headers.items()}
    given = parse_authorization(received.get("authorization", ""))
    if given is None:
        return f"the Authorization header is missing or not of the form of {ALGORITHM}"
    unsigned = _ALWAYS_SIGNED.union(_SIGNED_IF_SENT & received.keys()) - set(given.signed_headers)
    missing = [name for name in given.signed_headers if name not in received]
    if unsigned or missing:
        return f"headers sent but not signed: {sorted(unsigned)}; signed but not sent: {missing}"
    date = received[DATE_HEADER.lower()]
    try:
        parse_date(date)
    except ValueError:
        return f"{DATE_HEADER} must have the form 20240131T235959Z"
    signed = {name: received[name] for name in given.signed_headers}
    problem = _payload_problem(received, body)
    if problem:
        return problem
    canonical = canonical_request(method, raw_path, query_pairs, signed, body)
    expected = signature(string_to_sign(canonical, date), secret_key)
    return None if hmac.compare_digest(expected, given.signature) else "the signature does not fit the request"


def _payload_problem(headers: Mapping[str, str], body: bytes) -> str | None:
    """Compare the claimed hash of the body with the body: a claim alone would let anybody change it."""
    claimed = headers.get(CONTENT_HEADER.lower(), "")
    if not claimed or (claimed == UNSIGNED_PAYLOAD and not is_payload_signed(headers.get("content-type", ""))):
        return None
    return None if claimed == hashlib.sha256(body).hexdigest() else f"{CONTENT_HEADER} does not fit the body"


def _as_utf8(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
