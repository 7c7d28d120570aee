"""A passkey's signature counts for exactly the question, the answer, the page and the person that it was made for."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from approving import BOUND, LATE, NOW, SECOND, SOON, USED, edit, granted, question
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from soft_authenticator import ORIGIN, PRESENT, VERIFIED, SoftPasskey

from ap_mcp.errors import ConsentDeclined
from ap_mcp.guard.approval_requests import Asked, Assertion, passkey_digest, signed_digest, withdrawal_digest
from ap_mcp.guard.approvals import standing
from ap_mcp.guard.approvers import KnownApprover
from ap_mcp.guard.passkeys import MOST_BYTES, Passkey, flaw, flaw_of_client_data, packed, rp_id_of, unpacked
from ap_mcp.state.consent_file import ConsentFile

CHALLENGE = sha256(b"what was shown").digest()
ALICES = SoftPasskey()
KNOWN = {"alice": KnownApprover(passkeys=(ALICES.pinned,))}


@pytest.fixture
def store(tmp_path: Path) -> ConsentFile:
    return ConsentFile(tmp_path / "approvals.db")


# What a signature is worth


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "Ed25519", "RSA"],
)
def test_an_assertion_over_the_challenge_has_no_flaw_whatever_the_kind_of_key(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    passkey = SoftPasskey(key)
    assertion, signature = passkey.asserted(CHALLENGE)
    assert flaw(passkey.pinned, assertion, signature, CHALLENGE) == ""
    assert flaw(passkey.pinned, assertion, b"\0" * len(signature), CHALLENGE) == "it bears no signature of this passkey"
    assert flaw(SoftPasskey().pinned, assertion, signature, CHALLENGE) == "it bears no signature of this passkey"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (0, "nobody was present"),
        (VERIFIED, "nobody was present"),
        (PRESENT, "did not check who used it"),
    ],
)
def test_somebody_must_have_been_there_and_verified(flags: int, why: str) -> None:
    assertion, signature = ALICES.asserted(CHALLENGE, flags)
    assert why in flaw(ALICES.pinned, assertion, signature, CHALLENGE)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "webauthn.create"}, "cannot be read"),
        ({"origin": "https://approve.example.com.evil.example"}, "made on another page"),
        ({"origin": "http://approve.example.com"}, "made on another page"),
        ({"crossOrigin": True}, "made on another page"),
        ({"topOrigin": "https://evil.example"}, "made on another page"),
        ({"challenge": packed(b"another")}, "another question or answer"),
        ({"challenge": 7}, "another question or answer"),
        ({"challenge": "*"}, "another question or answer"),
        ({"more": "x" * MOST_BYTES}, "cannot be read"),
    ],
)
def test_the_browser_must_speak_of_this_challenge_on_this_page(said: dict[str, Any], why: str) -> None:
    assertion, signature = ALICES.asserted(CHALLENGE, **said)
    assert why in flaw(ALICES.pinned, assertion, signature, CHALLENGE)


@pytest.mark.parametrize("words", [b"", b"7", b"[]", b"\xff", b"[" * 1000, b'{"type": ["webauthn.get"]}'])
def test_words_of_no_browser_are_reported_and_raise_nothing(words: bytes) -> None:
    assert flaw_of_client_data(words, "webauthn.get", ORIGIN, CHALLENGE)


def test_an_authenticator_that_speaks_of_another_site_or_not_at_all_does_not_count() -> None:
    for data in (ALICES.authenticator_data(rp_id="evil.example"), b"", ALICES.authenticator_data()[:36], b"\0" * 9999):
        assertion = Assertion(ALICES.client_data(CHALLENGE), data)
        assert "another site than approve.example.com" in flaw(
            ALICES.pinned, assertion, ALICES.signature(assertion), CHALLENGE
        )


def test_authenticator_data_with_extensions_behind_it_counts() -> None:
    assertion = Assertion(ALICES.client_data(CHALLENGE), ALICES.authenticator_data() + b"\xa0")
    assert flaw(ALICES.pinned, assertion, ALICES.signature(assertion), CHALLENGE) == ""


@pytest.mark.parametrize("part", ["client_data", "authenticator_data"])
def test_no_byte_can_be_changed_afterwards(part: str) -> None:
    assertion, signature = ALICES.asserted(CHALLENGE)
    changed = bytearray(getattr(assertion, part))
    changed[-1] ^= 1
    assert flaw(ALICES.pinned, replace(assertion, **{part: bytes(changed)}), signature, CHALLENGE)


# What is pinned


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://approve.example.com", "approve.example.com"),
        ("https://approve.example.com:8443", "approve.example.com"),
        ("http://localhost:8080", "localhost"),
        ("http://ap.localhost", "ap.localhost"),
        ("http://approve.example.com", ""),
        ("https://10.0.0.1", ""),
        ("http://127.0.0.1:8080", ""),
        ("https://[::1]:8443", ""),
        ("https://approve.example.com/", ""),
        ("https://APPROVE.example.com", ""),
        ("https://user@approve.example.com", ""),
        ("https://approve.example.com:x", ""),
        ("https://", ""),
        ("approve.example.com", ""),
        ("null", ""),
        ("https://[", ""),
    ],
)
def test_passkeys_are_bound_to_names_of_secure_pages(origin: str, name: str) -> None:
    assert rp_id_of(origin) == name


@pytest.mark.parametrize(
    ("credential", "spki", "origin", "why"),
    [
        (b"", ALICES.spki, ORIGIN, "must have 1 to 2048 bytes"),
        (b"x" * 2049, ALICES.spki, ORIGIN, "must have 1 to 2048 bytes"),
        (b"x", b"", ORIGIN, "must have 1 to 2048 bytes"),
        (b"x", b"no key", ORIGIN, "no public key in DER"),
        (b"x", SoftPasskey(ec.generate_private_key(ec.SECP384R1())).spki, ORIGIN, "must be of P-256"),
        (b"x", SoftPasskey(rsa.generate_private_key(65537, 1024)).spki, ORIGIN, "must be of P-256"),  # noqa: S505 - that is the point
        (b"x", ALICES.spki, "http://approve.example.com", "its origin must be"),
    ],
)
def test_what_is_no_passkey_is_not_pinned(credential: bytes, spki: bytes, origin: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Passkey(credential, spki, origin)


def test_a_fingerprint_tells_passkeys_and_pages_apart() -> None:
    fingerprints = {
        ALICES.pinned.fingerprint,
        SoftPasskey().pinned.fingerprint,
        SoftPasskey(ALICES.key, origin="https://other.example.com").pinned.fingerprint,
    }
    assert len(fingerprints) == 3
    assert all(len(each) == 19 for each in fingerprints)


@pytest.mark.parametrize("text", [None, 7, "a", "====", "ab=", "a+b/", "ab\n", "é", "x" * 5000, "AB"])
def test_only_one_spelling_of_bytes_is_taken(text: object) -> None:
    assert unpacked(text) is None
    assert unpacked(packed(b"any bytes")) == b"any bytes"


# What it makes of a question


def test_an_approval_by_passkey_is_granted_once(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    answer = ALICES.answered(asked, True, SOON)
    store.decide(asked.code, answer)
    assert store.find(asked.code) == Asked(asked, answer)
    found = granted(store, BOUND, USED, approvers=KNOWN)
    assert found is not None
    assert (found.approver, found.at) == ("alice", SOON)
    assert granted(store, BOUND, USED, approvers=KNOWN) is None


def test_a_no_by_passkey_holds(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, ALICES.answered(asked, False, SOON))
    with pytest.raises(ConsentDeclined, match="alice declined it"):
        granted(store, BOUND, USED, approvers=KNOWN)


def test_an_answer_counts_for_its_own_question_alone_and_as_it_was_given() -> None:
    asked = question()
    answer = ALICES.answered(asked, True, SOON)
    assert standing(Asked(asked, answer), KNOWN, USED).state == "approved"
    for other, given in (
        (question(name="another"), answer),
        (replace(asked, impact_text="Nothing much."), answer),
        (asked, replace(answer, approved=False)),
        (asked, replace(answer, at=SOON + SECOND)),
        (asked, replace(answer, assertion=None)),
        (asked, replace(answer, approver="mallory")),
        (asked, SoftPasskey().answered(asked, True, SOON)),
    ):
        assert standing(Asked(other, given), KNOWN, USED).state == "worthless"


def test_a_withdrawal_and_a_signature_for_the_terminal_are_no_answers() -> None:
    asked = question()
    for challenge in (withdrawal_digest(asked, SOON), signed_digest(asked, "alice", approved=True, at=SOON)):
        assertion, signature = ALICES.asserted(challenge)
        answer = replace(ALICES.answered(asked, True, SOON), assertion=assertion, signature=signature)
        assert standing(Asked(asked, answer), KNOWN, USED).state == "worthless"
    assert passkey_digest(asked, approved=True, at=SOON) != passkey_digest(asked, approved=False, at=SOON)


def test_a_passkey_taken_from_the_list_no_longer_counts(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, ALICES.answered(asked, True, SOON))
    without = {"alice": KnownApprover(passkeys=(SoftPasskey().pinned,))}
    assert granted(store, BOUND, USED, approvers=without) is None
    assert granted(store, BOUND, USED, approvers=KNOWN) is not None


def test_a_passkey_of_a_page_that_has_moved_no_longer_counts() -> None:
    asked = question()
    moved = {"alice": KnownApprover(passkeys=(SoftPasskey(ALICES.key, origin="https://new.example.com").pinned,))}
    assert standing(Asked(asked, ALICES.answered(asked, True, SOON)), moved, USED).state == "worthless"


def test_an_answer_before_the_question_or_after_its_end_does_not_count() -> None:
    asked = question()
    for at in (NOW - SECOND, LATE):
        assert standing(Asked(asked, ALICES.answered(asked, True, at)), KNOWN, LATE - SECOND).state == "worthless"


@pytest.mark.parametrize("column", ["signature", "client_data", "authenticator_data"])
@pytest.mark.parametrize("value", ["NULL", "'text'", "7", "x''", "x'ff'", "zeroblob(9999)"])
def test_nonsense_in_the_store_grants_nothing(column: str, value: str, store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    store.decide(asked.code, ALICES.answered(asked, True, SOON))
    edit(store, f"UPDATE questions SET {column} = {value}")  # noqa: S608 - the lists above
    assert granted(store, BOUND, USED, approvers=KNOWN) is None


def test_the_words_of_a_browser_may_hold_members_that_nobody_knows_yet() -> None:
    assertion, signature = ALICES.asserted(CHALLENGE, other_keys_can_be_added_here="do not compare with a template")
    assert "other_keys_can_be_added_here" in json.loads(assertion.client_data)
    assert flaw(ALICES.pinned, assertion, signature, CHALLENGE) == ""
