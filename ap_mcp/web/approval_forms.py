"""Reads what the approval page's own script posts, and nothing else; answers it in JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from ap_mcp.guard.approval_requests import Assertion
from ap_mcp.guard.approvals import Approvers
from ap_mcp.guard.passkeys import Passkey, flaw, unpacked
from ap_mcp.guard.seal import moment_at
from ap_mcp.web.markup import Markup

MOST_BODY = 16 * 1024
FRESH = timedelta(minutes=5)
"""How long a person may take over the passkey, from the challenge to its answer."""
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        # Not no-referrer: with that, browsers send forms with `Origin: null`, which is refused.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    }
)


class Refusal(Exception):
    """What was posted is refused.

    Args:
        status: of HTTP.
        text: why, and what to do, for the person at the page.
        over: nothing can be decided here any more, so the page is to be read again.
    """

    def __init__(self, status: int, text: str, *, over: bool = False) -> None:
        super().__init__(text)
        self.status, self.text, self.over = status, text, over


@dataclass(frozen=True, slots=True)
class Signed:
    """What a browser brings back from a passkey: which one it was, what was signed, and the signature."""

    credential: bytes
    assertion: Assertion
    signature: bytes


def page(content: Markup, status: int = 200) -> HTMLResponse:
    """Return a page with the headers that keep others out of it."""
    return HTMLResponse(content, status, dict(HEADERS))


def answer(body: Mapping[str, Any], status: int = 200) -> JSONResponse:
    """Return an answer to the page's script."""
    return JSONResponse(dict(body), status, dict(HEADERS))


def refused(refusal: Refusal) -> JSONResponse:
    """Return the answer to what was refused."""
    return answer({"error": refusal.text, "over": refusal.over}, refusal.status)


async def read_body(request: Request, origin: str) -> Mapping[str, Any]:
    """Return what a page of ours has posted.

    Raises:
        Refusal: another page has posted it, or it is no JSON object of a decent size.
    """
    if request.headers.get("origin") != origin or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Refusal(403, f"This was not sent by the page at {origin}, so it does not count. Open the page there.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "Only JSON is taken here.")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BODY:
            raise Refusal(413, f"At most {MOST_BODY} bytes are taken here.")
    try:
        found = json.loads(bytes(content))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "This must be one JSON object.")
    return found


def read_text(body: Mapping[str, Any], name: str) -> str:
    """Return a text of a body.

    Raises:
        Refusal: it is not there, or no text.
    """
    value = body.get(name)
    if not isinstance(value, str):
        raise Refusal(400, f"{name} must be a text.")
    return value


def read_bytes(body: Mapping[str, Any], name: str) -> bytes:
    """Return bytes of a body.

    Raises:
        Refusal: they are not there, too many, or not spelt as the page's script spells them.
    """
    value = unpacked(body.get(name))
    if not value:
        raise Refusal(400, f"{name} must be base64url.")
    return value


def read_time(body: Mapping[str, Any], now: datetime) -> datetime:
    """Return when a challenge was made, which is what a signature says of its time.

    Raises:
        Refusal: it is no time, not of this server, or too long ago.
    """
    value = body.get("at")
    try:
        at = moment_at(value) if isinstance(value, int) and not isinstance(value, bool) else None
    except OverflowError:
        at = None
    if at is None:
        raise Refusal(400, "at must be the time that came with the challenge.")
    if not now - FRESH < at <= now:
        raise Refusal(403, "The passkey was used too long after it was asked for. Nothing was decided; try again.")
    return at


def read_signed(body: Mapping[str, Any]) -> Signed:
    """Return what a passkey signed.

    Raises:
        Refusal: a part of it is not there.
    """
    assertion = Assertion(read_bytes(body, "client_data"), read_bytes(body, "authenticator_data"))
    return Signed(read_bytes(body, "credential"), assertion, read_bytes(body, "signature"))


def signer(signed: Signed, challenge: bytes, approvers: Approvers, origin: str) -> tuple[str, Passkey]:
    """Return the approver who signed a challenge, and by which passkey.

    Args:
        signed: what came back.
        challenge: what must be signed.
        approvers: whose signatures count.
        origin: of this page.

    Raises:
        Refusal: nobody who is known here has signed exactly this, present and verified.
    """
    for name, known in approvers.items():
        for passkey in known.passkeys:
            if passkey.id != signed.credential:
                continue
            if passkey.origin != origin:
                why = f"it was made for {passkey.origin}, and this page is at {origin}: make a new one here"
            else:
                why = flaw(passkey, signed.assertion, signed.signature, challenge)
            if why:
                raise Refusal(403, f"This passkey of {name} does not count: {why}. Nothing was decided.")
            return name, passkey
    raise Refusal(
        403,
        "This passkey is of no approver who is known here, so it counts for nothing. If it is yours, have the operator "
        "enter the line that you were given when you made it.",
    )
