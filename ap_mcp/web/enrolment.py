"""Lets somebody make a passkey by a one-time link; it counts for nothing before the operator's file has it."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from ap_mcp.errors import CallRefused
from ap_mcp.guard.approval_requests import SHOWN
from ap_mcp.guard.approvers import NAMES, is_name, passkey_entry, read_passkey
from ap_mcp.guard.links import PATH
from ap_mcp.guard.passkeys import MADE, Passkey, flaw_of_authenticator_data, flaw_of_client_data, packed, unpacked
from ap_mcp.guard.stores import ConsentStore, OpenConsent
from ap_mcp.web.approval_forms import Refusal, read_bytes, read_text
from ap_mcp.wording import in_quotes

LIFETIME = timedelta(minutes=15)
USED_UP = "This link was used before, has expired, or is not of this server. Have the operator make a new one."
_LONGEST_LINE = 8192


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time link for somebody to make a passkey under a name; only a digest of its secret is kept.

    Attributes:
        name: under which they will approve.
        secret: 256 bits, which stand in the link alone.
    """

    name: str
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise CallRefused(f"{in_quotes(self.name, SHOWN)} is no name for an approver: {NAMES}. Nothing was made.")

    @property
    def id(self) -> str:
        """The name of its record."""
        return f"enrolment:{sha256(self.secret.encode()).hexdigest()}"

    @property
    def digest(self) -> str:
        """What its record is bound to: the name under which the passkey is made."""
        return sha256(f"ap-mcp enrolment 1 of {self.name}".encode()).hexdigest()

    @property
    def challenge(self) -> bytes:
        """What the new passkey must be made for."""
        return sha256(f"ap-mcp enrolment 1 {self.secret}".encode()).digest()

    def record(self, now: datetime) -> OpenConsent:
        """Return the record that is taken away when the link is used."""
        return OpenConsent(self.id, self.digest, f"approver {self.name}", now, now + LIFETIME)

    def link(self, public_url: str) -> str:
        """Return the link; what stands behind # is sent to no server before the passkey is made."""
        return f"{public_url}{PATH}/enrol#{self.name}.{self.secret}"


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that somebody has made, on its way to the operator's file."""

    name: str
    passkey: Passkey

    @property
    def line(self) -> str:
        """All of it in one word, for `ap-mcp approvals accept`."""
        entry = {"name": self.name, **passkey_entry(self.passkey)}
        return packed(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode())

    @property
    def entry(self) -> str:
        """What stands in `approvers.json`, for who writes it by hand."""
        return f'"{self.name}": {json.dumps({"passkeys": [passkey_entry(self.passkey)], "principals": []}, indent=2)}'

    def as_json(self) -> Mapping[str, str]:
        """Return what its owner is shown."""
        command = f"ap-mcp approvals accept {self.line}"
        return {"fingerprint": self.passkey.fingerprint, "command": command, "entry": self.entry}


def read_line(line: str) -> NewPasskey:
    """Return the passkey of a line that the page has shown.

    Raises:
        CallRefused: it is no such line.
    """
    content = unpacked(line.strip(), _LONGEST_LINE)
    try:
        found = json.loads(content) if content else None
        name = found.pop("name", None) if isinstance(found, dict) else None
        if isinstance(name, str) and is_name(name):
            return NewPasskey(name, read_passkey(found))
        why = "it names nobody"
    except (ValueError, RecursionError) as error:
        why = str(error)
    what = "no line that the page for new approvers shows, or a part of it is missing"
    raise CallRefused(f"This is {what}: {why}. Nothing was changed.")


async def enrolled(body: Mapping[str, Any], store: ConsentStore, origin: str, rp_id: str, now: datetime) -> NewPasskey:
    """Return the passkey that was just made by a one-time link, which is used up by that.

    Args:
        body: what the page has posted.
        store: holds the record of the link.
        origin: of the page.
        rp_id: what its passkeys are bound to.
        now: the time.

    Raises:
        Refusal: the link does not count (any more), or what was made is no passkey of this page.
    """
    try:
        invitation = Invitation(read_text(body, "name"), read_text(body, "secret"))
    except CallRefused:
        raise Refusal(410, USED_UP) from None
    why = flaw_of_client_data(read_bytes(body, "client_data"), MADE, origin, invitation.challenge)
    why = why or flaw_of_authenticator_data(read_bytes(body, "authenticator_data"), rp_id)
    if why:
        raise Refusal(403, f"This passkey cannot be used: {why}. Nothing was kept; the link still works.")
    try:
        passkey = Passkey(read_bytes(body, "credential"), read_bytes(body, "key"), origin)
    except ValueError as error:
        raise Refusal(400, f"This passkey cannot be used: {error}. Nothing was kept; the link still works.") from None
    if not await store.take(invitation.id, invitation.digest, now):
        raise Refusal(410, USED_UP)
    return NewPasskey(invitation.name, passkey)
