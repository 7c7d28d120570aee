"""An approver's private key, locked by a passphrase: making it, and signing with it."""

import os
import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable, CallRefused
from ap_mcp.guard.approval_requests import SHOWN, Question, SignedAnswer, same_person, signed_digest
from ap_mcp.guard.approvers import (
    NAMES,
    KnownApprover,
    is_name,
    load_approvers,
    public_text,
    save_approvers,
    why_same_person,
)
from ap_mcp.private_files import (
    APPROVERS_FILE,
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
    "sign",
    "unlock",
]

KEY_FILE = "approver.pem"
PASSPHRASE_LENGTH = 12
SCRYPT_COST = 2**17
"""Memory and time for one guess at the passphrase: about 128 MiB and half a second."""

# PKCS8 itself would stretch the passphrase by a mere 2,048 rounds, so scrypt goes before it; its salt stands in the
# line above the PEM block, where PEM allows any text.
_HEAD = re.compile(rb"ap-mcp approver key 1: scrypt n=(\d{4,7}) r=8 p=1 salt=([0-9a-f]{32})\n(?=-----BEGIN ENCRYPTED )")
_COSTS = frozenset(2**power for power in range(10, 21))


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may sign answers, their key unlocked; `known` is how the list of approvers names them."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)
    known: KnownApprover | None = None

    @property
    def public_text(self) -> str:
        """The public key as `approvers.json` holds it."""
        return public_text(self.key.public_key())


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
    if not is_name(name):
        raise CallRefused(f"{in_quotes(name, SHOWN)} is no name for an approver: {NAMES}. Nothing was made.")
    if not is_long_enough(passphrase):
        raise CallRefused(f"The passphrase must have at least {PASSPHRASE_LENGTH} characters. Nothing was made.")
    try:
        make_private_folder(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    others, before = _others(folder, name, old_passphrase)
    key = Ed25519PrivateKey.generate()
    approver = Approver(name, key, replace(before, key=key.public_key()))
    try:
        write_private_file(folder / KEY_FILE, _locked(approver.key, passphrase))
        save_approvers(folder / APPROVERS_FILE, {**others, name: approver.known or before})
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
    mine = public_text(key.public_key())
    for name, known in load_approvers(folder / APPROVERS_FILE).items():
        if _text_of(known) == mine:
            return Approver(name, key, known)
    raise ApprovalRefused(f"{folder / APPROVERS_FILE} does not name this key, so nothing that it signs would count.")


def sign(approver: Approver, question: Question, approved: bool, at: datetime) -> SignedAnswer:
    """Return an approver's signed answer to exactly this question.

    Raises:
        ApprovalRefused: it is not the question's time, or the policy wants another person.
    """
    if not question.created <= at < question.expires:
        times = f"from {written(question.created)} to {written(question.expires)}"
        raise ApprovalRefused(f"{question.code} can be decided {times} only. Nothing was decided.")
    if question.other_approver and (why := why_same_person(question.principal, approver.name, approver.known)):
        raise ApprovalRefused(f"{approver.name} cannot decide {question.code}: {why}. Nothing was decided.")
    digest = signed_digest(question, approver.name, approved=approved, at=at)
    return SignedAnswer(approver.name, approved, at, approver.key.sign(digest))


def _others(folder: Path, name: str, old_passphrase: str | None) -> tuple[dict[str, KnownApprover], KnownApprover]:
    """Return the approvers that stay beside a new key, and whose it is, once it is sure that it may be made."""
    listed = load_approvers(folder / APPROVERS_FILE)
    if not has_key(folder):
        if listed:
            raise ApprovalRefused(
                f"{folder / APPROVERS_FILE} names approvers already, and no key of theirs is here to prove who asks. "
                "Make your key in a folder of its own (AP_MCP_APPROVER_DIR), and have the operator copy its line over."
            )
        return {}, KnownApprover()
    if old_passphrase is None:
        raise ApprovalRefused(f"{folder / KEY_FILE} is there already: a new key needs the passphrase of the old one.")
    old = public_text(_unlocked(folder / KEY_FILE, old_passphrase).public_key())
    mine = [each for each, known in listed.items() if _text_of(known) == old]
    others = {each: known for each, known in listed.items() if each not in mine}
    if any(same_person(each, name) for each in others):
        raise ApprovalRefused(f"{folder / APPROVERS_FILE} knows {name} by another key. The operator must settle that.")
    return others, listed[mine[0]] if mine else KnownApprover()


def _text_of(known: KnownApprover) -> str | None:
    return None if known.key is None else public_text(known.key)


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
        raise ApprovalRefused(f"The passphrase does not open {path}. Nothing was signed.", "wrong passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ApprovalsUnusable(f"{path} holds another kind of key than `ap-mcp approvals init` makes.")
    return key


def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    """Return a password that costs memory and time to try, from one that a person can remember."""
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(typed).hex().encode()


def _unusable(path: Path, error: OSError) -> ApprovalsUnusable:
    return ApprovalsUnusable(f"{path} cannot be used: {error.strerror or type(error).__name__}. Nothing was signed.")
