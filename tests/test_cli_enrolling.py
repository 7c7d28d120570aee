"""Somebody becomes an approver by a link and a line: the operator sees whose passkey it is before it counts."""

import json
from pathlib import Path

import pytest
from approval_desk import ALICES
from approving import PASSPHRASE
from click.testing import CliRunner, Result
from soft_authenticator import SoftPasskey

from ap_mcp.cli import main
from ap_mcp.guard import keys
from ap_mcp.guard.approvers import KnownApprover, load_approvers, save_approvers
from ap_mcp.guard.keys import init_key
from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.private_files import APPROVERS_FILE
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.web.enrolment import Invitation, NewPasskey

ADDRESS = "https://approve.example.com/cce"
LINE = NewPasskey("alice", ALICES.pinned).line
KNOWN = KnownApprover(passkeys=(ALICES.pinned,), principals=frozenset())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    """Give each test a user of its own, whose passphrase is cheap to try."""
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".config" / "ap-mcp" / APPROVERS_FILE


def run(*arguments: str, typed: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(main, ["approvals", *arguments], input="".join(f"{line}\n" for line in typed))


# The link


def test_enrol_prints_a_link_that_the_page_takes_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AP_MCP_PUBLIC_URL", ADDRESS)
    done = run("enrol", "alice")
    assert done.exit_code == 0
    link = done.stdout.strip()
    assert link.startswith(f"{ADDRESS}/approvals/enrol#alice.")
    assert "Give this link to alice alone. It works once, until" in done.stderr
    invitation = Invitation("alice", link.rpartition(".")[2])
    store = ConsentFile(tmp_path / ".local" / "state" / "ap-mcp" / "approvals.db")
    assert store.take(invitation.id, invitation.digest, wall_clock())
    assert not store.take(invitation.id, invitation.digest, wall_clock())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "bound to the address of the page, which is not known here"),
        ("https://10.0.0.1", "browsers have no passkeys at https://10.0.0.1"),
        ("http://127.0.0.1:8000", "browsers have no passkeys at http://127.0.0.1:8000"),
    ],
)
def test_without_an_address_that_passkeys_can_be_bound_to_no_link_is_made(
    address: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AP_MCP_PUBLIC_URL", address)
    done = run("enrol", "alice")
    assert (done.exit_code, why in done.output, "enrol#" in done.output) == (2, True, False)


def test_nobody_is_invited_under_a_name_that_no_approver_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_PUBLIC_URL", ADDRESS)
    assert run("enrol", "al ice").exit_code == 2


# The line


def test_accept_shows_whose_passkey_it_is_and_enters_it(path: Path) -> None:
    done = run("accept", LINE, typed=("alice",))
    assert done.exit_code == 0
    assert f"alice made a passkey for {ALICES.origin}, with the fingerprint {ALICES.pinned.fingerprint}." in done.output
    assert "who is no approver so far" in done.output
    assert load_approvers(path) == {"alice": KNOWN}


def test_accept_states_which_callers_an_approver_is(path: Path) -> None:
    done = run("accept", LINE, "--principal", "token:alice", "--principal", "https://x|alice", typed=("alice",))
    assert 'Of the callers over HTTP they are: "https://x|alice", "token:alice".' in done.output
    assert load_approvers(path)["alice"].principals == frozenset({"token:alice", "https://x|alice"})


def test_a_second_passkey_stands_beside_the_first_and_all_else_stays(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o700)
    bob = KnownApprover(passkeys=(SoftPasskey(id=b"bob").pinned,))
    save_approvers(path, {"alice": KnownApprover(KNOWN.key, KNOWN.passkeys, frozenset({"token:a"})), "bob": bob})
    laptop = SoftPasskey(id=b"alice's laptop")
    done = run("accept", NewPasskey("alice", laptop.pinned).line, "--principal", "token:b", typed=("alice",))
    assert (done.exit_code, "who is an approver so far" in done.output) == (0, True)
    both = KnownApprover(None, (ALICES.pinned, laptop.pinned), frozenset({"token:a", "token:b"}))
    assert load_approvers(path) == {"alice": both, "bob": bob}


@pytest.mark.parametrize("typed", ["", "y", "Alice", "bob"])
def test_what_the_operator_does_not_confirm_by_name_is_not_entered(typed: str, path: Path) -> None:
    done = run("accept", LINE, typed=(typed,))
    assert (done.exit_code, "Nothing was changed" in done.output, path.exists()) == (4, True, False)


def test_the_same_passkey_and_a_name_that_only_looks_new_are_refused(path: Path) -> None:
    assert run("accept", LINE, typed=("alice",)).exit_code == 0
    before = path.read_bytes()
    again = run("accept", NewPasskey("bob", ALICES.pinned).line, typed=("bob",))
    assert (again.exit_code, "is listed already" in again.output) == (4, True)
    other = run("accept", NewPasskey("ALICE", SoftPasskey(id=b"x").pinned).line, typed=("ALICE",))
    assert (other.exit_code, "could be taken for the same person" in other.output) == (4, True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["", "nonsense", LINE[:-9], json.dumps({"name": "alice"})], ids=lambda line: line[:8])
def test_a_line_that_is_not_whole_is_reported(line: str, path: Path) -> None:
    done = run("accept", line)
    assert (done.exit_code, "is no line" in done.output, path.exists()) == (2, True, False)


def test_where_a_key_is_its_passphrase_is_wanted(path: Path) -> None:
    init_key(path.parent, "bob", PASSPHRASE)
    for typed, code in ((("alice", "wrong passphrase"), 4), (("alice", PASSPHRASE), 0)):
        assert run("accept", LINE, typed=typed).exit_code == code
        assert ("alice" in load_approvers(path)) == (code == 0)
    assert sorted(load_approvers(path)) == ["alice", "bob"]


def test_a_list_that_cannot_be_written_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ap_mcp.guard.approvers.write_private_file", full)
    done = run("accept", LINE, typed=("alice",))
    assert (done.exit_code, "cannot be written: No space left on device. Nothing was changed." in done.output) == (
        4,
        True,
    )
