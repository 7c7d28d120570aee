"""Whose answers count: the people that the operator's file names, with the public keys that they sign by."""

import base64
import binascii
import json
import logging
import os
import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ap_mcp.errors import ApprovalRefused, SettingsError
from ap_mcp.guard.approval_requests import SHOWN, same_person
from ap_mcp.guard.passkeys import Passkey, packed, unpacked
from ap_mcp.private_files import read_own_text, stamp_of, write_private_file
from ap_mcp.wording import in_quotes

NAMES = "up to 64 letters, digits and . _ @ + -, without spaces"
KEY, PASSKEYS, PRINCIPALS = "key", "passkeys", "principals"
MOST_PASSKEYS = 16
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}")
_OF_A_TOKEN, _OF_A_SUBJECT = "token:", "|"
"""What stands in principals of HTTP: `token:NAME` and `issuer|subject`."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownApprover:
    """A person whose answers count.

    Attributes:
        key: that `ap-mcp approvals init` made, to answer in a terminal; None if they have none.
        passkeys: to answer on the page.
        principals: of HTTP that are the same person; None if the file does not say, which is not the same as none.
    """

    key: Ed25519PublicKey | None = None
    passkeys: tuple[Passkey, ...] = ()
    principals: frozenset[str] | None = None

    def as_entry(self) -> Any:
        """Return the person as the file holds them: a key alone is a plain text, as it always was."""
        if self.key is not None and not self.passkeys and self.principals is None:
            return public_text(self.key)
        entry: dict[str, Any] = {} if self.key is None else {KEY: public_text(self.key)}
        if self.passkeys:
            entry[PASSKEYS] = [passkey_entry(each) for each in self.passkeys]
        if self.principals is not None:
            entry[PRINCIPALS] = sorted(self.principals)
        return entry


def is_name(name: str) -> bool:
    """Say whether an approver may have a name."""
    return _NAME.fullmatch(name) is not None


def why_same_person(principal: str, name: str, known: KnownApprover | None) -> str:
    """Return why an approver does not count as somebody other than the principal of a call; empty if they do.

    A local user goes by their name. What calls over HTTP is a token or a subject of an issuer, which says nothing
    about people by itself: the operator's file must say which of them are the approver.

    Args:
        principal: for whom the call is made.
        name: of the approver.
        known: the approver as the file names them.
    """
    who = in_quotes(name, SHOWN)
    stated = (known.principals if known else None) or frozenset()
    if same_person(principal.removeprefix(_OF_A_TOKEN), name) or any(same_person(principal, each) for each in stated):
        return f"it needs somebody other than {who}, for whom the call is made"
    is_remote = principal.startswith(_OF_A_TOKEN) or _OF_A_SUBJECT in principal
    if is_remote and (known is None or known.principals is None):
        return (
            f"it needs somebody other than the requester, and nothing says whether {who} is: the operator adds "
            f'"{PRINCIPALS}" to their entry in approvers.json, a list of the callers that are the same person ([] if '
            "none is)"
        )
    return ""


def load_approvers(path: Path) -> Mapping[str, KnownApprover]:
    """Return the approvers by name; none if there is no such file.

    On stdio to be read once, at the start: what an agent on this machine writes into the file later must not count.

    Raises:
        SettingsError: others may change the file, or something in it leaves a doubt.
    """
    if not os.path.lexists(path):
        return MappingProxyType({})
    try:
        found = json.loads(read_own_text(path), object_pairs_hook=_object)
        approvers = {name: _approver(name, entry) for name, entry in found.items()}
    except OSError as error:
        raise SettingsError(f"{path}, which says whose approvals count, cannot be used: {error.strerror}") from error
    except (ValueError, AttributeError, RecursionError) as error:  # AttributeError: a list, a number
        raise SettingsError(f"{path} must be one JSON object, name to public key: {error}") from None
    if what := _twice(approvers):
        raise SettingsError(f"{path}: two approvers have the same {what}, so that it is not known who approved.")
    return MappingProxyType(approvers)


def save_approvers(path: Path, approvers: Mapping[str, KnownApprover]) -> None:
    """Write the file, whole.

    Raises:
        OSError: it cannot be written; the old one is untouched.
    """
    entries = {name: known.as_entry() for name, known in approvers.items()}
    listed = json.dumps(entries, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_private_file(path, listed.encode())


def with_passkey(
    approvers: Mapping[str, KnownApprover], name: str, passkey: Passkey, principals: Iterable[str] = ()
) -> Mapping[str, KnownApprover]:
    """Return the approvers with one more passkey, of somebody who is known already or new.

    Args:
        approvers: so far.
        name: whose passkey it is.
        passkey: the new one.
        principals: callers over HTTP that are the same person, beside those that are stated already.

    Raises:
        ApprovalRefused: the passkey is listed already, or the name is another's but for its spelling.
    """
    listed = [each for known in approvers.values() for each in known.passkeys]
    if any(each.spki == passkey.spki or each.id == passkey.id for each in listed):
        raise ApprovalRefused(f"The passkey {passkey.fingerprint} is listed already. Nothing was changed.")
    if taken := [each for each in approvers if each != name and same_person(each, name)]:
        raise ApprovalRefused(f"{name} and {taken[0]} could be taken for the same person. Nothing was changed.")
    known = approvers.get(name, KnownApprover())
    stated = (known.principals or frozenset()) | set(principals)
    more = KnownApprover(known.key, (*known.passkeys, passkey), stated)
    return MappingProxyType({**approvers, name: more})


class ApproversFile(Mapping[str, KnownApprover]):
    """The approvers of a file that is read again when it has changed; while it is broken there are none.

    For servers over HTTP, whose callers cannot write to this machine.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        # Before it is read: what changes meanwhile is read again.
        self._state = stamp_of(path)
        self._known: Mapping[str, KnownApprover] = load_approvers(path)

    def __getitem__(self, name: str) -> KnownApprover:
        return self._current()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    # Those of `Mapping` go through the names, and look each up in a file that may be another one by then.

    def keys(self) -> KeysView[str]:
        """Return the names, as the file says at this moment."""
        return self._current().keys()

    def items(self) -> ItemsView[str, KnownApprover]:
        """Return the names with their people, as the file says at this moment."""
        return self._current().items()

    def values(self) -> ValuesView[KnownApprover]:
        """Return the people, as the file says at this moment."""
        return self._current().values()

    def _current(self) -> Mapping[str, KnownApprover]:
        state = stamp_of(self.path)
        if state != self._state:
            try:
                self._known, self.trouble = load_approvers(self.path), ""
                logger.info("%s has changed: %d people may approve now", self.path, len(self._known))
            except SettingsError as error:
                self._known, self.trouble = MappingProxyType({}), str(error)
                logger.warning("Nobody can approve until this is fixed: %s", error)
            self._state = state
        return self._known


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key as the file holds it."""
    return base64.b64encode(key.public_bytes_raw()).decode("ascii")


def passkey_entry(passkey: Passkey) -> dict[str, str]:
    """Return a passkey as the file holds it."""
    return {"id": packed(passkey.id), "key": packed(passkey.spki), "origin": passkey.origin}


def read_passkey(entry: Any) -> Passkey:
    """Return the passkey of an entry.

    Raises:
        ValueError: says what is wrong with it.
    """
    if not isinstance(entry, dict) or set(entry) != {"id", "key", "origin"} or not isinstance(entry["origin"], str):
        raise ValueError("a passkey is an object with id, key and origin, as its page showed it")
    credential, spki = unpacked(entry["id"]), unpacked(entry["key"])
    if credential is None or spki is None:
        raise ValueError("its id and key must be base64url, as its page showed them")
    return Passkey(credential, spki, entry["origin"])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object in which no name stands twice: of two keys under a name, one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _approver(name: str, entry: Any) -> KnownApprover:
    if not is_name(name):
        raise ValueError(f"{in_quotes(name, SHOWN)} is no name for an approver")
    if not isinstance(entry, dict):
        return KnownApprover(_public_key(name, entry))
    if stray := set(entry) - {KEY, PASSKEYS, PRINCIPALS}:
        said = ", ".join(in_quotes(each, SHOWN) for each in sorted(stray))
        raise ValueError(f"the entry of {name} has {said}; known are {KEY}, {PASSKEYS} and {PRINCIPALS}")
    if not entry.get(KEY) and not entry.get(PASSKEYS):
        raise ValueError(f"the entry of {name} has neither a {KEY} nor {PASSKEYS}")
    key = _public_key(name, entry[KEY]) if KEY in entry else None
    return KnownApprover(key, _passkeys(name, entry.get(PASSKEYS, [])), _principals(name, entry))


def _passkeys(name: str, entries: Any) -> tuple[Passkey, ...]:
    if not isinstance(entries, list) or len(entries) > MOST_PASSKEYS:
        raise ValueError(f"the passkeys of {name} must be a list of at most {MOST_PASSKEYS}")
    try:
        return tuple(read_passkey(each) for each in entries)
    except ValueError as error:
        raise ValueError(f"a passkey of {name} cannot be used: {error}") from None


def _principals(name: str, entry: Mapping[str, Any]) -> frozenset[str] | None:
    if PRINCIPALS not in entry:
        return None
    found = entry[PRINCIPALS]
    if not isinstance(found, list) or not all(isinstance(each, str) and each.strip() for each in found):
        raise ValueError(f'the principals of {name} must be a list of texts: "token:NAME" or "issuer|subject"')
    return frozenset(found)


def _public_key(name: str, text: Any) -> Ed25519PublicKey:
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"the key of {name} is no Ed25519 key in base64") from None
    if public_text(key) != text:
        raise ValueError(f"the key of {name} is no Ed25519 key in base64")
    return key


def _twice(approvers: Mapping[str, KnownApprover]) -> str:
    """Return what two approvers share that must be one's own; empty if nothing."""
    keys = [public_text(each.key) for each in approvers.values() if each.key is not None]
    passkeys = [passkey for each in approvers.values() for passkey in each.passkeys]
    for values, what in (
        ([name.casefold() for name in approvers], "name"),
        (keys, "key"),
        ([each.spki for each in passkeys], "passkey"),
        ([each.id for each in passkeys], "passkey"),
    ):
        if len(set(values)) < len(values):
            return what
    return ""
