"""The records of questions: opened before a question leaves, taken away to use the consent: none counts twice."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.errors import ForgedState
from ap_mcp.guard.approval_requests import call_digest
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.requests import Request
from ap_mcp.guard.seal import Forged, SealedElsewhere, Sealer
from ap_mcp.guard.stores import ApprovalStore, OpenConsent
from ap_mcp.specs import CLUSTER

STATE = "state"
PROFILE = "profile"
USED = "was used before, or the record of its question is lost"


@dataclass(frozen=True)
class Records:
    """The store of open consents, and the seal of what a client carries between the legs of a call.

    Args:
        sealer: seals what travels through the client.
        store: open consents and approvals; all servers of one user share it.
        now: the clock.
    """

    sealer: Sealer
    store: ApprovalStore
    now: Callable[[], datetime]

    async def opened(self, bound: Mapping[str, str], lifetime: timedelta) -> OpenConsent:
        """Open a consent, before its question leaves; only the store's word that it is open lets it be used."""
        now = self.now()
        opened = OpenConsent(secrets.token_urlsafe(12), call_digest(bound), bound["principal"], now, now + lifetime)
        await self.store.open(opened)
        return opened

    async def taken(self, consent_id: str, digest: str) -> bool:
        """Take the record of a consent away; only who is answered True may send."""
        return await self.store.take(consent_id, digest, self.now())

    def sealed(self, request: Request, caller: Caller, about: Mapping[str, Any], expires: datetime) -> str:
        """Return what the client is to bring back with the answer to a question about a call.

        Args:
            request: the call.
            caller: who makes it.
            about: the question.
            expires: when it counts no longer.
        """
        where = {CLUSTER: request.arguments.get(CLUSTER), PROFILE: request.place.profile}
        return self.sealer.seal(STATE, {**request.binding(caller.principal), **about, **where}, expires)

    def returned(self, tool: str, caller: Caller) -> dict[str, Any] | None:
        """Return what came back with an answer; None if nothing did, or what did has expired.

        Raises:
            ForgedState: it was not made here.
        """
        try:
            return None if caller.state is None else self.sealer.open(STATE, caller.state, self.now())
        except Forged as error:
            raise ForgedState(tool, elsewhere=isinstance(error, SealedElsewhere)) from None


def is_about(sealed: Mapping[str, Any], request: Request, caller: Caller) -> bool:
    """Say whether what came back with an answer was made for this call, on whatever state of things."""
    bound = {**request.binding(caller.principal), PROFILE: request.place.profile}
    return all(sealed.get(key) == value for key, value in bound.items() if key != "fingerprint")
