"""A question that waits for a person, an approver, and a clock: for tests of consent given elsewhere."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ap_mcp.guard.approvals import LIFETIME, Question
from ap_mcp.guard.keys import Approver
from ap_mcp.guard.seal import canonical

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
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
