"""The operator's file says whose answers count and which callers they are; it is believed only when it is clear."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from approving import ALICE, MALLORY, PASSPHRASE, SOON, USED, question
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from soft_authenticator import SoftPasskey

from ap_mcp.errors import ApprovalRefused, SettingsError
from ap_mcp.guard import keys
from ap_mcp.guard.approval_requests import Asked
from ap_mcp.guard.approvals import approval_in, standing
from ap_mcp.guard.approvers import (
    MOST_PASSKEYS,
    ApproversFile,
    KnownApprover,
    load_approvers,
    passkey_entry,
    save_approvers,
    why_same_person,
)
from ap_mcp.guard.keys import init_key, sign, unlock
from ap_mcp.private_files import APPROVERS_FILE

PHONE, LAPTOP = SoftPasskey(id=b"phone"), SoftPasskey(id=b"laptop")
ENTRY = passkey_entry(PHONE.pinned)
BOT = "token:chatops"
IVAN = "https://login.example.com|ivan"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "config" / "ap-mcp"
    folder.mkdir(parents=True, mode=0o700)
    return folder / APPROVERS_FILE


def written(path: Path, content: Any) -> Path:
    """The file with this content, of another time than before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


# Reading and writing


def test_a_person_may_have_a_key_and_passkeys(path: Path) -> None:
    alice = KnownApprover(ALICE.key.public_key(), (PHONE.pinned, LAPTOP.pinned), frozenset({BOT, IVAN}))
    people = {"alice": alice, "bob": KnownApprover(MALLORY.key.public_key()), "eve": KnownApprover(None, (), None)}
    del people["eve"]
    save_approvers(path, people)
    assert load_approvers(path) == people
    found = json.loads(path.read_text())
    assert found["bob"] == MALLORY.public_text
    assert sorted(found["alice"]) == ["key", "passkeys", "principals"]


def test_a_passkey_alone_makes_an_approver_and_no_principals_is_not_the_same_as_not_stated(path: Path) -> None:
    people = {
        "alice": KnownApprover(passkeys=(PHONE.pinned,), principals=frozenset()),
        "bob": KnownApprover(passkeys=(LAPTOP.pinned,)),
    }
    save_approvers(path, people)
    assert load_approvers(path) == people
    assert json.loads(path.read_text())["alice"]["principals"] == []


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"alice": {"passkey": [ENTRY]}}, 'the entry of alice has "passkey"; known are key, passkeys and principals'),
        ({"alice": {"passkeys": []}}, "neither a key nor passkeys"),
        ({"alice": {"principals": [BOT]}}, "neither a key nor passkeys"),
        ({"alice": {"passkeys": ENTRY}}, "must be a list of at most"),
        ({"alice": {"passkeys": [ENTRY] * (MOST_PASSKEYS + 1)}}, "must be a list of at most"),
        ({"alice": {"passkeys": ["x"]}}, "a passkey is an object with id, key and origin"),
        ({"alice": {"passkeys": [{**ENTRY, "more": 1}]}}, "a passkey is an object with id, key and origin"),
        ({"alice": {"passkeys": [{**ENTRY, "origin": 7}]}}, "a passkey is an object with id, key and origin"),
        ({"alice": {"passkeys": [{**ENTRY, "id": "?"}]}}, "must be base64url"),
        ({"alice": {"passkeys": [{**ENTRY, "key": "AAAA"}]}}, "no public key in DER"),
        ({"alice": {"passkeys": [{**ENTRY, "origin": "http://approve.example.com"}]}}, "its origin must be"),
        ({"alice": {"passkeys": [ENTRY], "principals": BOT}}, "principals of alice must be a list of texts"),
        ({"alice": {"passkeys": [ENTRY], "principals": [""]}}, "principals of alice must be a list of texts"),
        ({"alice": {"passkeys": [ENTRY], "key": "x"}}, "the key of alice is no Ed25519 key"),
        ({"alice": {"passkeys": [ENTRY]}, "bob": {"passkeys": [ENTRY]}}, "the same passkey"),
        (
            {"alice": {"passkeys": [ENTRY]}, "bob": {"passkeys": [passkey_entry(SoftPasskey(id=b"phone").pinned)]}},
            "the same passkey",
        ),
    ],
)
def test_an_entry_that_leaves_a_doubt_is_refused(entries: dict[str, Any], why: str, path: Path) -> None:
    with pytest.raises(SettingsError, match=why):
        load_approvers(written(path, entries))


def test_a_mounted_secret_which_is_a_link_is_read(path: Path) -> None:
    real = path.parent / "..data"
    real.mkdir(mode=0o700)
    written(real / APPROVERS_FILE, {"alice": ALICE.public_text})
    path.symlink_to(real / APPROVERS_FILE)
    assert list(load_approvers(path)) == ["alice"]


def test_a_new_key_leaves_the_passkeys_of_its_owner_and_the_others_as_they_are(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)
    made = init_key(path.parent, "alice", PASSPHRASE)
    bob = KnownApprover(passkeys=(LAPTOP.pinned,), principals=frozenset({BOT}))
    alice = KnownApprover(made.key.public_key(), (PHONE.pinned,), frozenset())
    save_approvers(path, {"alice": alice, "bob": bob})
    again = init_key(path.parent, "alice", PASSPHRASE, PASSPHRASE)
    found = load_approvers(path)
    assert found["bob"] == bob
    assert found["alice"].key == again.key.public_key() != made.key.public_key()
    assert found["alice"].passkeys == (PHONE.pinned,)
    assert unlock(path.parent, PASSPHRASE).known == found["alice"]


# While a server runs


def test_a_new_approver_counts_without_a_restart_and_one_that_is_taken_out_no_longer(path: Path) -> None:
    approvers = ApproversFile(path)
    assert (len(approvers), list(approvers), "alice" in approvers) == (0, [], False)
    written(path, {"alice": ALICE.public_text})
    assert isinstance(approvers["alice"].key, Ed25519PublicKey)
    written(path, {"bob": {"passkeys": [ENTRY]}})
    assert list(approvers) == ["bob"]
    path.unlink()
    assert list(approvers) == []


@pytest.mark.parametrize("view", ["items", "values", "keys", "__iter__"])
def test_who_goes_through_the_approvers_sees_one_state_of_the_file(view: str, path: Path) -> None:
    approvers = ApproversFile(written(path, {"alice": ALICE.public_text, "bob": {"passkeys": [ENTRY]}}))
    seen = iter(getattr(approvers, view)())
    next(seen)
    written(path, {})
    assert len([*seen]) == 1
    assert [*getattr(approvers, view)()] == []


@pytest.mark.parametrize("content", ["", "[]", '{"alice": 7}', '{"alice'])
def test_while_the_file_is_broken_nobody_counts_and_the_log_says_why_once(
    content: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    approvers = ApproversFile(written(path, {"alice": ALICE.public_text}))
    with caplog.at_level(logging.WARNING):
        written(path, content)
        assert [len(approvers), len(approvers)] == [0, 0]
    assert [record.message.startswith("Nobody can approve until this is fixed: ") for record in caplog.records] == [
        True
    ]
    assert str(path) in approvers.trouble
    written(path, {"alice": ALICE.public_text})
    assert (list(approvers), approvers.trouble) == (["alice"], "")


def test_a_file_that_others_may_change_meanwhile_counts_no_longer(path: Path) -> None:
    approvers = ApproversFile(written(path, {"alice": ALICE.public_text}))
    path.chmod(0o666)
    assert list(approvers) == []
    path.chmod(0o600)
    path.parent.chmod(0o777)
    assert list(approvers) == []
    path.parent.chmod(0o700)
    assert list(approvers) == ["alice"]


def test_a_file_that_is_broken_at_the_start_is_an_error(path: Path) -> None:
    with pytest.raises(SettingsError, match="must be one JSON object"):
        ApproversFile(written(path, "[]"))


# Who is somebody else


KNOWN_PEOPLE = {
    "stated": KnownApprover(ALICE.key.public_key(), (), frozenset()),
    "is the bot": KnownApprover(ALICE.key.public_key(), (), frozenset({BOT})),
    "is Ivan": KnownApprover(ALICE.key.public_key(), (), frozenset({IVAN})),
    "not stated": KnownApprover(ALICE.key.public_key()),
    "unknown": None,
}


@pytest.mark.parametrize(
    ("principal", "name", "person", "why"),
    [
        ("ivan", "alice", "not stated", ""),
        ("ivan", "Ivan", "not stated", "for whom the call is made"),
        ("ivan", "alice", "unknown", ""),
        (BOT, "alice", "stated", ""),
        (BOT, "alice", "is Ivan", ""),
        (BOT, "alice", "is the bot", "for whom the call is made"),
        (BOT, "alice", "not stated", 'adds "principals"'),
        (BOT, "alice", "unknown", 'adds "principals"'),
        ("token:alice", "Alice", "stated", "for whom the call is made"),
        (IVAN, "alice", "stated", ""),
        (IVAN, "alice", "is Ivan", "for whom the call is made"),
        (IVAN.upper(), "alice", "is Ivan", "for whom the call is made"),
        (IVAN, "alice", "not stated", 'adds "principals"'),
    ],
)
def test_the_operators_file_says_which_callers_an_approver_is(principal: str, name: str, person: str, why: str) -> None:
    found = why_same_person(principal, name, KNOWN_PEOPLE[person])
    assert (found == "") == (why == "")
    assert why in found


@pytest.mark.parametrize("client", ["Claude 1.0", "alice", BOT])
def test_what_a_client_calls_itself_makes_nobody_another_person(client: str) -> None:
    asked = question(principal=BOT, client=client, other_approver=True)
    for principals, state in ((frozenset({BOT}), "worthless"), (frozenset[str](), "approved")):
        known = {"alice": KnownApprover(passkeys=(PHONE.pinned,), principals=principals)}
        answered = Asked(asked, PHONE.answered(asked, True, SOON))
        assert standing(answered, known, USED).state == state
        assert (approval_in([answered], known, USED, other_approver=True) is None) == (state == "worthless")


def test_a_policy_that_grows_stricter_wants_another_person_of_an_approval_that_was_given(path: Path) -> None:
    asked = question(principal=BOT)
    answered = [Asked(asked, PHONE.answered(asked, True, SOON))]
    known = {"alice": KnownApprover(passkeys=(PHONE.pinned,))}
    assert approval_in(answered, known, USED) is not None
    assert approval_in(answered, known, USED, other_approver=True) is None


def test_the_same_person_is_refused_in_the_terminal_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)
    made = init_key(path.parent, "alice", PASSPHRASE)
    asked = question(principal=BOT, other_approver=True)
    for principals, why in ((frozenset({BOT}), "for whom the call is made"), (None, 'adds "principals"')):
        save_approvers(path, {"alice": KnownApprover(made.key.public_key(), (), principals)})
        with pytest.raises(ApprovalRefused, match=why):
            sign(unlock(path.parent, PASSPHRASE), asked, True, SOON)
    save_approvers(path, {"alice": KnownApprover(made.key.public_key(), (), frozenset())})
    assert sign(unlock(path.parent, PASSPHRASE), asked, True, SOON).approved
