"""Lets an approver who has signed in by passkey read what waits, for ten minutes; to decide takes it each time."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from ap_mcp.guard.approvals import Approvers
from ap_mcp.guard.passkeys import packed
from ap_mcp.guard.seal import Forged, Sealer
from ap_mcp.guard.stores import ConsentStore
from ap_mcp.web.approval_forms import Refusal, Signed, signer

LIFETIME = timedelta(minutes=10)
CHALLENGE_LIFETIME = timedelta(minutes=2)
AGAIN = "Signing in took too long, or was done already. Try again."
_CHALLENGE, _SESSION = "approver sign-in", "approver session"


class Sessions:
    """Signs approvers in, and knows them again by a sealed cookie; nothing is kept but which challenges were used.

    Args:
        sealer: of all servers that serve the page.
        store: theirs too, for a challenge that one of them took counts at none again.
        origin: of the page.
        now: the clock.
    """

    def __init__(self, sealer: Sealer, store: ConsentStore, origin: str, now: Callable[[], datetime]) -> None:
        self._sealer, self._store, self._origin, self._now = sealer, store, origin, now

    @property
    def cookie(self) -> str:
        """The name of the cookie: over https one that no other host can set."""
        return "__Host-ap-mcp-approver" if self._is_secure else "ap-mcp-approver"

    def challenge(self) -> Mapping[str, str]:
        """Return what a passkey is to sign, and what must come back with it."""
        state = self._sealer.seal(_CHALLENGE, {"nonce": secrets.token_urlsafe(16)}, self._now() + CHALLENGE_LIFETIME)
        return {"challenge": packed(_digest(state)), "state": state}

    async def sign_in(self, state: str, signed: Signed, approvers: Approvers, response: Response) -> str:
        """Set the cookie of an approver who has signed a challenge of `challenge`, and return their name.

        Raises:
            Refusal: it is no challenge of ours, too old, used before, or nobody known here has signed it.
            ApprovalsUnusable: it cannot be known whether it was used.
        """
        try:
            opened = self._sealer.open(_CHALLENGE, state, self._now())
        except Forged:
            opened = None
        if opened is None:
            raise Refusal(403, AGAIN)
        challenge, now = _digest(state), self._now()
        # First: strangers write nothing into the store.
        name, passkey = signer(signed, challenge, approvers, self._origin)
        if not await self._store.use_once(f"sign-in:{challenge.hex()}", now, now + CHALLENGE_LIFETIME):
            raise Refusal(403, AGAIN)
        who = {"approver": name, "passkey": packed(passkey.id)}
        sealed = self._sealer.seal(_SESSION, who, self._now() + LIFETIME)
        response.set_cookie(
            self.cookie,
            sealed,
            max_age=int(LIFETIME.total_seconds()),
            secure=self._is_secure,
            httponly=True,
            samesite="strict",
        )
        return name

    def sign_out(self, response: Response) -> None:
        """Have the browser forget the cookie."""
        response.delete_cookie(self.cookie, secure=self._is_secure, httponly=True, samesite="strict")

    def approver(self, request: Request, approvers: Approvers) -> str | None:
        """Return the approver who has signed in; None if nobody has, or they are no approver any more."""
        try:
            opened = self._sealer.open(_SESSION, request.cookies.get(self.cookie, ""), self._now())
        except Forged:
            return None
        known = approvers.get(opened["approver"]) if opened else None
        if opened is None or known is None:
            return None
        is_theirs = any(packed(each.id) == opened["passkey"] for each in known.passkeys)
        return str(opened["approver"]) if is_theirs else None

    @property
    def _is_secure(self) -> bool:
        return self._origin.startswith("https://")


def _digest(state: str) -> bytes:
    return sha256(f"ap-mcp sign-in 1 {state}".encode()).digest()
