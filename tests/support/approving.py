"""A question that waits for a person, an approver, and a clock: for tests of consent given elsewhere."""

import itertools
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ap_mcp.guard.approvals import LIFETIME, ApprovalStore, Question
from ap_mcp.guard.keys import Approver, sign
from ap_mcp.guard.seal import canonical

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
SOON = NOW + MINUTE
"""When Alice answers."""
USED = SOON + MINUTE
"""When the call is made again."""
LATE = NOW + LIFETIME
PASSPHRASE = "correct horse battery"
ALICE = Approver("alice", Ed25519PrivateKey.from_private_bytes(b"a" * 32))
MALLORY = Approver("mallory", Ed25519PrivateKey.from_private_bytes(b"m" * 32))
APPROVERS: Mapping[str, Ed25519PublicKey] = {"alice": ALICE.key.public_key()}
BOUND = {"principal": "ivan", "tool": "delete_cluster", "digest": "a" * 64, "fingerprint": "f" * 64}

_numbers = itertools.count()


def question(**changes: Any) -> Question:
    """A question about deleting shop-prod, each with a code of its own."""
    digits = "23456789"
    number = next(_numbers)
    code = "AAAA-" + "".join(digits[number // 8**place % 8] for place in (3, 2, 1, 0))
    values: dict[str, Any] = {
        "code": code,
        "tool": BOUND["tool"],
        "arguments": canonical({"cluster_id": "0e1f", "password": "***"}),
        "arguments_digest": BOUND["digest"],
        "principal": BOUND["principal"],
        "effect": "destroy",
        "name": "shop-prod",
        "impact_text": "Deletes cluster shop-prod for good.\nWarning: it looks like production.",
        "fingerprint": BOUND["fingerprint"],
        "created": NOW,
        "expires": LATE,
        "other_approver": False,
    }
    return Question(**{**values, **changes})


def approved(store: ApprovalStore, **changes: Any) -> Question:
    """Ask a question and have Alice approve it."""
    asked = question(**changes)
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, True, SOON))
    return asked


def edit(store: ApprovalStore, statement: str, *values: object) -> None:
    """Write into the store by hand."""
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(statement, values)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
