"""An approver's key opens with its passphrase only, and a command alone does not make an approver."""

import base64
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from approving import ALICE, APPROVERS, LATE, MALLORY, NOW, PASSPHRASE, SOON, mode_of, question
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable, CallRefused, SettingsError
from ap_mcp.guard import keys
from ap_mcp.guard.approval_requests import Asked
from ap_mcp.guard.approvals import standing
from ap_mcp.guard.approvers import KnownApprover, load_approvers
from ap_mcp.guard.keys import APPROVERS_FILE, KEY_FILE, has_key, init_key, sign, unlock

NEW = "a new one, also long"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a guess at the passphrase cost little; what the real one costs has a test of its own."""
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config" / "ap-mcp"


def listed(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / APPROVERS_FILE).read_text())
    return found


# Making a key


def test_the_key_that_was_made_is_unlocked_by_its_passphrase_and_listed(folder: Path) -> None:
    made = init_key(folder, "alice", PASSPHRASE)
    unlocked = unlock(folder, PASSPHRASE)
    assert (unlocked.name, unlocked.public_text) == ("alice", made.public_text)
    assert listed(folder) == {"alice": made.public_text}
    approvers = load_approvers(folder / APPROVERS_FILE)
    assert [name for name, known in approvers.items() if known.key == made.key.public_key()] == ["alice"]


def test_the_files_are_their_owners_only(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    assert mode_of(folder) == 0o700
    assert {path.name: mode_of(path) for path in folder.iterdir()} == {KEY_FILE: 0o600, APPROVERS_FILE: 0o600}


def test_neither_the_passphrase_nor_the_private_key_stands_anywhere(folder: Path) -> None:
    made = init_key(folder, "alice", PASSPHRASE)
    private = made.key.private_bytes_raw()
    for kept in (repr(made).encode(), *(path.read_bytes() for path in folder.iterdir())):
        assert PASSPHRASE.encode() not in kept
        assert all(secret not in kept for secret in (private, private.hex().encode(), base64.b64encode(private)))


def test_a_guess_costs_memory_and_time_and_the_pem_block_alone_is_no_way_around(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    init_key(folder, "alice", PASSPHRASE)
    content = (folder / KEY_FILE).read_bytes()
    assert content.startswith(b"ap-mcp approver key 1: scrypt n=131072 r=8 p=1 salt=")
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in content
    with pytest.raises(ValueError, match="Incorrect password"):
        load_pem_private_key(content, PASSPHRASE.encode())
    assert unlock(folder, PASSPHRASE).name == "alice"


@pytest.mark.parametrize("passphrase", ["", "elevenchars", "    short   "[:11]])
def test_a_short_passphrase_makes_nothing(passphrase: str, folder: Path) -> None:
    with pytest.raises(CallRefused, match="at least 12 characters"):
        init_key(folder, "alice", passphrase)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["", " ", "alice b", "-alice", "ali\nce", "álice", "a" * 65, "../alice"])
def test_a_name_that_could_be_misread_makes_nothing(name: str, folder: Path) -> None:
    with pytest.raises(CallRefused, match="is no name for an approver"):
        init_key(folder, name, PASSPHRASE)
    assert not folder.exists()


def test_a_passphrase_may_be_typed_on_another_keyboard(folder: Path) -> None:
    init_key(folder, "alice", "caf\u00e9 au lait, s'il vous plait")
    assert unlock(folder, "cafe\u0301 au lait, s'il vous plait").name == "alice"


# Replacing a key


@pytest.mark.parametrize("old", [None, "", "correct horse batterY", NEW])
def test_a_key_is_not_replaced_without_its_own_passphrase(old: str | None, folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ApprovalRefused):
        init_key(folder, "alice", NEW, old)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_key_is_replaced_with_its_passphrase_and_the_old_one_counts_no_more(folder: Path) -> None:
    old = init_key(folder, "alice", PASSPHRASE)
    new = init_key(folder, "alice.b", NEW, PASSPHRASE)
    assert listed(folder) == {"alice.b": new.public_text}
    assert unlock(folder, NEW).name == "alice.b"
    with pytest.raises(ApprovalRefused, match="does not open"):
        unlock(folder, PASSPHRASE)
    answer = sign(old, asked := question(), True, SOON)
    found = standing(Asked(asked, answer), load_approvers(folder / APPROVERS_FILE), SOON)
    assert found.state == "worthless"


def test_other_approvers_stay_when_a_key_is_replaced(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    (folder / APPROVERS_FILE).write_text(json.dumps({**listed(folder), "mallory": MALLORY.public_text}))
    init_key(folder, "alice", NEW, PASSPHRASE)
    assert listed(folder)["mallory"] == MALLORY.public_text
    assert len(listed(folder)) == 2


def test_the_name_of_another_approver_cannot_be_taken(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    (folder / APPROVERS_FILE).write_text(json.dumps({**listed(folder), "mallory": MALLORY.public_text}))
    with pytest.raises(ApprovalRefused, match="knows Mallory by another key"):
        init_key(folder, "Mallory", NEW, PASSPHRASE)


def test_taking_the_key_away_does_not_make_room_for_a_new_approver(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    (folder / KEY_FILE).unlink()
    for name in ("alice", "mallory"):
        with pytest.raises(ApprovalRefused, match=r"names approvers already.*the operator"):
            init_key(folder, name, NEW)
    assert set(listed(folder)) == {"alice"}


def test_a_failed_write_leaves_the_old_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init_key(folder, "alice", PASSPHRASE)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ApprovalsUnusable, match="No space left on device"):
        init_key(folder, "alice", NEW, PASSPHRASE)
    assert unlock(folder, PASSPHRASE).name == "alice"
    assert {path.name for path in folder.iterdir()} == {KEY_FILE, APPROVERS_FILE}


# Unlocking


@pytest.mark.parametrize(
    "passphrase", ["", "correct horse batter", "correct horse battery ", "Correct horse battery", "\udcff"]
)
def test_a_wrong_passphrase_unlocks_nothing_and_is_not_repeated(passphrase: str, folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    with pytest.raises(ApprovalRefused) as raised:
        unlock(folder, passphrase)
    text = raised.value.render()
    assert str(folder / KEY_FILE) in text
    assert "Nothing was signed" in text
    assert not passphrase or passphrase not in text


def test_without_a_key_the_message_says_how_to_make_it(folder: Path) -> None:
    assert not has_key(folder)
    with pytest.raises(ApprovalRefused, match="ap-mcp approvals init"):
        unlock(folder, PASSPHRASE)


def test_a_key_that_is_not_listed_signs_nothing(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    (folder / APPROVERS_FILE).write_text(json.dumps({"alice": ALICE.public_text}))
    with pytest.raises(ApprovalRefused, match="does not name this key"):
        unlock(folder, PASSPHRASE)


def pem(lock: NoEncryption | BestAvailableEncryption) -> bytes:
    return ALICE.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


HEAD = b"ap-mcp approver key 1: scrypt n=1024 r=8 p=1 salt=" + b"0" * 32 + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        pem(NoEncryption()),
        pem(BestAvailableEncryption(PASSPHRASE.encode())),
        HEAD + pem(NoEncryption()),
        HEAD.replace(b"1024", b"9999999") + pem(BestAvailableEncryption(b"x")),
        HEAD.replace(b"1024", b"1025") + pem(BestAvailableEncryption(b"x")),
    ],
)
def test_a_key_that_is_not_locked_as_ours_are_is_not_used(content: bytes, folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    (folder / KEY_FILE).write_bytes(content)
    with pytest.raises(ApprovalsUnusable, match="not as `ap-mcp approvals init` makes it"):
        unlock(folder, PASSPHRASE)


def test_a_damaged_key_is_not_used(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    content = (folder / KEY_FILE).read_bytes()
    (folder / KEY_FILE).write_bytes(content[:-60])
    with pytest.raises(ApprovalRefused, match="does not open"):
        unlock(folder, PASSPHRASE)


def test_a_key_of_another_kind_is_not_used(folder: Path) -> None:
    init_key(folder, "alice", PASSPHRASE)
    lock = BestAvailableEncryption(keys._stretched(PASSPHRASE, bytes(16), 1024))
    other = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    (folder / KEY_FILE).write_bytes(HEAD + other)
    with pytest.raises(ApprovalsUnusable, match="another kind of key"):
        unlock(folder, PASSPHRASE)


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(open_to_all, "other users may read or change"), (link, "no plain file"), (directory, "no plain file")],
)
def test_a_key_that_others_could_have_touched_is_not_used(
    spoil: Callable[[Path], None], why: str, folder: Path
) -> None:
    init_key(folder, "alice", PASSPHRASE)
    spoil(folder / KEY_FILE)
    with pytest.raises(ApprovalsUnusable, match=why):
        unlock(folder, PASSPHRASE)


def test_a_folder_that_others_may_write_into_holds_no_key(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(ApprovalsUnusable, match=r"other users may change .* chmod go-w"):
        init_key(folder, "alice", PASSPHRASE)
    assert list(folder.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ApprovalsUnusable, match="cannot be used"):
        init_key(tmp_path / "file" / "folder", "alice", PASSPHRASE)


# Whom a server believes


def approvers_in(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    path = folder / APPROVERS_FILE
    path.write_text(content)
    path.chmod(0o600)
    return path


def test_without_a_file_there_are_no_approvers(folder: Path) -> None:
    assert load_approvers(folder / APPROVERS_FILE) == {}


def test_what_is_written_later_does_not_count(folder: Path) -> None:
    path = approvers_in(folder, json.dumps({"alice": ALICE.public_text}))
    approvers = load_approvers(path)
    path.write_text(json.dumps({"mallory": MALLORY.public_text}))
    assert dict(approvers) == APPROVERS
    with pytest.raises(TypeError):
        approvers["mallory"] = KnownApprover(MALLORY.key.public_key())  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "must be one JSON object"),
        ("[]", "must be one JSON object"),
        ("7", "must be one JSON object"),
        ("[" * 10_000, "must be one JSON object"),
        ('{"alice": 7}', "the key of alice is no Ed25519 key"),
        ('{"alice": null}', "the key of alice is no Ed25519 key"),
        ('{"alice": {}}', "the entry of alice has neither a key nor passkeys"),
        ('{"alice": "c2hvcnQ="}', "the key of alice is no Ed25519 key"),
        (f'{{"alice": " {ALICE.public_text}"}}', "the key of alice is no Ed25519 key"),
        (f'{{"alice": "{ALICE.public_text[:-2]}B="}}', "the key of alice is no Ed25519 key"),
        (f'{{"": "{ALICE.public_text}"}}', "is no name for an approver"),
        (f'{{"al ice": "{ALICE.public_text}"}}', "is no name for an approver"),
        (f'{{"alice": "{MALLORY.public_text}", "alice": "{ALICE.public_text}"}}', "a name stands there twice"),
        (f'{{"alice": "{MALLORY.public_text}", "Alice": "{ALICE.public_text}"}}', "the same name"),
        (f'{{"alice": "{ALICE.public_text}", "boss": "{ALICE.public_text}"}}', "the same key"),
    ],
)
def test_a_list_that_leaves_a_doubt_is_refused(content: str, why: str, folder: Path) -> None:
    path = approvers_in(folder, content)
    with pytest.raises(SettingsError, match=why) as raised:
        load_approvers(path)
    assert str(path) in raised.value.render()


def test_a_list_that_others_may_read_is_used_and_one_they_may_change_is_not(folder: Path) -> None:
    path = approvers_in(folder, json.dumps({"alice": ALICE.public_text}))
    path.chmod(0o644)
    assert dict(load_approvers(path)) == APPROVERS
    path.chmod(0o664)
    with pytest.raises(SettingsError, match="other users may change"):
        load_approvers(path)
    path.chmod(0o644)
    folder.chmod(0o733)
    with pytest.raises(SettingsError, match="other users may change"):
        load_approvers(path)


def test_a_list_of_another_user_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = approvers_in(folder, json.dumps({"alice": ALICE.public_text}))
    os.chown(path, 12345, -1) if os.getuid() == 0 else monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(SettingsError, match="belongs to another user"):
        load_approvers(path)


# Signing


def test_an_answer_counts_for_the_question_it_was_signed_for() -> None:
    asked = question()
    for approved, state in ((True, "approved"), (False, "declined")):
        found = standing(Asked(asked, sign(ALICE, asked, approved, SOON)), APPROVERS, SOON)
        assert (found.state, found.approver) == (state, "alice")


@pytest.mark.parametrize("at", [LATE, LATE + timedelta(days=1), NOW - timedelta(seconds=1)])
def test_nothing_is_signed_out_of_time(at: datetime) -> None:
    with pytest.raises(ApprovalRefused, match="from 2026-03-01T12:00:00Z to 2026-03-01T12:15:00Z only"):
        sign(ALICE, question(), True, at)


@pytest.mark.parametrize("principal", ["alice", "Alice", " ALICE ", "\uff41lice"])  # the last: a full-width a
def test_an_approver_cannot_sign_for_themselves_where_another_one_is_asked_for(principal: str) -> None:
    with pytest.raises(ApprovalRefused, match="somebody other than"):
        sign(ALICE, question(principal=principal, other_approver=True), True, SOON)
    assert sign(ALICE, question(principal="ivan", other_approver=True), True, SOON).approver == "alice"
