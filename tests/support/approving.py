"""A question that waits for a person, an approver, and a clock: for tests of consent given elsewhere."""

import itertools
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.approvals import Approval, Approvers, approval_in, waiting_in
from ap_mcp.guard.approvers import KnownApprover
from ap_mcp.guard.keys import Approver, sign
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME
from ap_mcp.guard.seal import canonical
from ap_mcp.guard.stores import OpenConsent
from ap_mcp.state.consent_file import ConsentFile

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
SOON = NOW + MINUTE
"""When Alice answers."""
USED = SOON + MINUTE
"""When the call is made again."""
LATE = NOW + APPROVAL_LIFETIME
PASSPHRASE = "correct horse battery"
ALICE = Approver("alice", Ed25519PrivateKey.from_private_bytes(b"a" * 32))
MALLORY = Approver("mallory", Ed25519PrivateKey.from_private_bytes(b"m" * 32))
APPROVERS: Approvers = {"alice": KnownApprover(ALICE.key.public_key())}
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
        "client": "Claude 1.0",
        "region": "cn-north-4",
        "project": "0b1c",
        "effect": "destroy",
        "name": "shop-prod",
        "impact_text": "Deletes cluster shop-prod for good.\nWarning: it looks like production.",
        "fingerprint": BOUND["fingerprint"],
        "created": NOW,
        "expires": LATE,
        "other_approver": False,
        "simulated": False,
    }
    return Question(**{**values, **changes})


def approved(store: ConsentFile, **changes: Any) -> Question:
    """Ask a question and have Alice approve it."""
    asked = question(**changes)
    store.ask(asked)
    store.decide(asked.code, sign(ALICE, asked, True, SOON))
    return asked


def approved_for(
    store: ConsentFile,
    bound: Mapping[str, str],
    now: datetime,
    *,
    approvers: Approvers = APPROVERS,
    other_approver: bool = False,
) -> Approval | None:
    """The approval of exactly this call, which is not used by it."""
    return approval_in(store.about(bound, now), approvers, now, other_approver=other_approver)


def granted(store: ConsentFile, bound: Mapping[str, str], now: datetime, **how: Any) -> Approval | None:
    """The approval of exactly this call, which is used by it."""
    found = approved_for(store, bound, now, **how)
    return found if found and store.take(found.question.consent.id, found.question.consent.digest, now) else None


def pending_for(store: ConsentFile, bound: Mapping[str, str], now: datetime) -> Question | None:
    """The newest question about exactly this call that is not answered yet."""
    return waiting_in(store.about(bound, now))


def consent(number: int = 1, **changes: Any) -> OpenConsent:
    """A consent that can be opened."""
    values: dict[str, Any] = {"digest": "d" * 64, "principal": "ivan", "created": NOW, "expires": LATE}
    return OpenConsent(f"token:{number}", **{**values, **changes})


def take(store: ConsentFile, opened: OpenConsent, now: datetime = SOON) -> bool:
    return store.take(opened.id, opened.digest, now)


def edit(store: ConsentFile, statement: str, *values: object) -> None:
    """Write into the store by hand."""
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(statement, values)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
