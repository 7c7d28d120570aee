"""An approver's private key, locked by a passphrase, and the public keys whose signatures a server accepts."""

import base64
import binascii
import json
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable, CallRefused, SettingsError
from ap_mcp.guard.approval_requests import SHOWN, Question, SignedAnswer, same_person, signed_digest
from ap_mcp.private_files import (
    APPROVERS_FILE,
    OTHERS_WRITE,
    check_private_file,
    check_private_folder,
    make_private_folder,
    write_private_file,
)
from ap_mcp.vendor import written
from ap_mcp.wording import in_quotes

__all__ = [
    "APPROVERS_FILE",
    "KEY_FILE",
    "PASSPHRASE_LENGTH",
    "SCRYPT_COST",
    "Approver",
    "has_key",
    "init_key",
    "is_long_enough",
    "load_approvers",
    "sign",
    "unlock",
]

KEY_FILE = "approver.pem"
PASSPHRASE_LENGTH = 12
SCRYPT_COST = 2**17
"""Memory and time for one guess at the passphrase: about 128 MiB and half a second."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}")
# PKCS8 itself would stretch the passphrase by a mere 2,048 rounds, so scrypt goes before it; its salt stands in the
# line above the PEM block, where PEM allows any text.
_HEAD = re.compile(rb"ap-mcp approver key 1: scrypt n=(\d{4,7}) r=8 p=1 salt=([0-9a-f]{32})\n(?=-----BEGIN ENCRYPTED )")
_COSTS = frozenset(2**power for power in range(10, 21))


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may sign answers, their key unlocked."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_text(self) -> str:
        """The public key as `approvers.json` holds it."""
        return _public_text(self.key.public_key())


def has_key(folder: Path) -> bool:
    """Say whether an approver's key is there, whatever its state."""
    return os.path.lexists(folder / KEY_FILE)


def is_long_enough(passphrase: str) -> bool:
    """Say whether a passphrase is long enough to lock a key."""
    return len(unicodedata.normalize("NFC", passphrase)) >= PASSPHRASE_LENGTH


def init_key(folder: Path, name: str, passphrase: str, old_passphrase: str | None = None) -> Approver:
    """Make an approver's key and enter its public half among the approvers.

    To run this command alone must not make anyone an approver: a key is replaced with its own passphrase
    only, and a list that names approvers already is for its operator to extend.

    Args:
        folder: for the locked key and `approvers.json`; made for its owner only.
        name: of the approver, as it appears in approvals.
        passphrase: at least 12 characters.
        old_passphrase: of the key that is there already.

    Raises:
        CallRefused: the name or the passphrase will not do.
        ApprovalRefused: there is a key that the old passphrase does not open, or other approvers.
        ApprovalsUnusable: the folder or a file in it cannot be used.
        SettingsError: `approvers.json` is wrong.
    """
    if not _NAME.fullmatch(name):
        raise CallRefused(
            f"{in_quotes(name, SHOWN)} is no name for an approver: up to 64 letters, digits and . _ @ + -, "
            "without spaces. Nothing was made."
        )
    if not is_long_enough(passphrase):
        raise CallRefused(f"The passphrase must have at least {PASSPHRASE_LENGTH} characters. Nothing was made.")
    try:
        make_private_folder(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    others = _others(folder, name, old_passphrase)
    approver = Approver(name, Ed25519PrivateKey.generate())
    listed = json.dumps({**others, name: approver.public_text}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        write_private_file(folder / KEY_FILE, _locked(approver.key, passphrase))
        write_private_file(folder / APPROVERS_FILE, listed.encode())
    except OSError as error:
        raise _unusable(folder, error) from error
    return approver


def unlock(folder: Path, passphrase: str) -> Approver:
    """Return the approver whose key is there, after they proved to know its passphrase.

    Raises:
        ApprovalRefused: there is no key, the passphrase is wrong, or the key is not among the approvers.
        ApprovalsUnusable: the key cannot be read.
        SettingsError: `approvers.json` is wrong.
    """
    if not has_key(folder):
        raise ApprovalRefused(f"There is no approver's key in {folder}. Make one with: ap-mcp approvals init")
    key = _unlocked(folder / KEY_FILE, passphrase)
    mine = _public_text(key.public_key())
    for name, public in load_approvers(folder / APPROVERS_FILE).items():
        if _public_text(public) == mine:
            return Approver(name, key)
    raise ApprovalRefused(f"{folder / APPROVERS_FILE} does not name this key, so nothing that it signs would count.")


def load_approvers(path: Path) -> Mapping[str, Ed25519PublicKey]:
    """Return the named approvers and their public keys; none if there is no such file.

    To be read once, at the start: what somebody writes into the file later must not count.

    Raises:
        SettingsError: others may change the file, or it is not as `init` makes it.
    """
    if not os.path.lexists(path):
        return MappingProxyType({})
    try:
        check_private_folder(path.parent)
        check_private_file(path, OTHERS_WRITE)
        found = json.loads(path.read_bytes(), object_pairs_hook=_object)
        approvers = {name: _public_key(name, text) for name, text in found.items()}
    except OSError as error:
        raise SettingsError(f"{path}, which says whose approvals count, cannot be used: {error.strerror}") from error
    except (ValueError, AttributeError, RecursionError) as error:  # AttributeError: a list, a number
        raise SettingsError(f"{path} must be one JSON object, name to public key: {error}") from None
    for values, what in (([name.casefold() for name in found], "name"), (list(found.values()), "key")):
        if len(set(values)) < len(values):
            raise SettingsError(f"{path}: two approvers have the same {what}, so that it is not known who approved.")
    return MappingProxyType(approvers)


def sign(approver: Approver, question: Question, approved: bool, at: datetime) -> SignedAnswer:
    """Return an approver's signed answer to exactly this question.

    Raises:
        ApprovalRefused: it is not the question's time, or the policy wants another person.
    """
    if not question.created <= at < question.expires:
        times = f"from {written(question.created)} to {written(question.expires)}"
        raise ApprovalRefused(f"{question.code} can be decided {times} only. Nothing was decided.")
    if question.other_approver and same_person(question.principal, approver.name):
        why = f"the policy wants somebody other than {in_quotes(question.principal, SHOWN)}, for whom the call is made"
        raise ApprovalRefused(f"{approver.name} cannot decide {question.code}: {why}. Nothing was decided.")
    digest = signed_digest(question, approver.name, approved=approved, at=at)
    return SignedAnswer(approver.name, approved, at, approver.key.sign(digest))


def _others(folder: Path, name: str, old_passphrase: str | None) -> dict[str, str]:
    """Return the approvers that stay beside a new key, once it is sure that the key may be made."""
    listed = {each: _public_text(key) for each, key in load_approvers(folder / APPROVERS_FILE).items()}
    if not has_key(folder):
        if listed:
            raise ApprovalRefused(
                f"{folder / APPROVERS_FILE} names approvers already, and no key of theirs is here to prove who asks. "
                "Make your key in a folder of its own (AP_MCP_APPROVER_DIR), and have the operator copy its line over."
            )
        return {}
    if old_passphrase is None:
        raise ApprovalRefused(f"{folder / KEY_FILE} is there already: a new key needs the passphrase of the old one.")
    old = _public_text(_unlocked(folder / KEY_FILE, old_passphrase).public_key())
    others = {each: text for each, text in listed.items() if text != old}
    if any(same_person(each, name) for each in others):
        raise ApprovalRefused(f"{folder / APPROVERS_FILE} knows {name} by another key. The operator must settle that.")
    return others


def _locked(key: Ed25519PrivateKey, passphrase: str) -> bytes:
    salt = os.urandom(16)
    lock = BestAvailableEncryption(_stretched(passphrase, salt, SCRYPT_COST))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    return b"ap-mcp approver key 1: scrypt n=%d r=8 p=1 salt=%s\n" % (SCRYPT_COST, salt.hex().encode()) + pem


def _unlocked(path: Path, passphrase: str) -> Ed25519PrivateKey:
    try:
        check_private_folder(path.parent)
        check_private_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error
    head = _HEAD.match(content)
    if head is None or int(head[1]) not in _COSTS:
        raise ApprovalsUnusable(f"{path} is not as `ap-mcp approvals init` makes it. Nothing was signed.")
    password = _stretched(passphrase, bytes.fromhex(head[2].decode()), int(head[1]))
    try:
        key = load_pem_private_key(content[head.end() :], password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ApprovalRefused(f"The passphrase does not open {path}. Nothing was signed.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ApprovalsUnusable(f"{path} holds another kind of key than `ap-mcp approvals init` makes.")
    return key


def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    """Return a password that costs memory and time to try, from one that a person can remember."""
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(typed).hex().encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object in which no name stands twice: of two keys under a name, one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _public_key(name: str, text: Any) -> Ed25519PublicKey:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{in_quotes(name, SHOWN)} is no name for an approver")
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"the key of {name} is no Ed25519 key in base64") from None
    if _public_text(key) != text:
        raise ValueError(f"the key of {name} is no Ed25519 key in base64")
    return key


def _public_text(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode("ascii")


def _unusable(path: Path, error: OSError) -> ApprovalsUnusable:
    return ApprovalsUnusable(f"{path} cannot be used: {error.strerror or type(error).__name__}. Nothing was signed.")
