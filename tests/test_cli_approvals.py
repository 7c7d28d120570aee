"""A person sees what they sign, proves who they are, and gets a plain message when an answer is not taken."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from approving import ALICE, BOUND, MALLORY, PASSPHRASE, question
from approving import granted as granted_by
from click.testing import CliRunner, Result

from ap_mcp.cli import main
from ap_mcp.errors import ApprovalRefused, ConsentDeclined
from ap_mcp.guard import keys
from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.approvers import load_approvers
from ap_mcp.guard.callers import local_user
from ap_mcp.guard.keys import APPROVERS_FILE, KEY_FILE, init_key, sign
from ap_mcp.guard.seal import ticks
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.vendor import written

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    """Give each test a user of its own, whose passphrase is cheap to try."""
    monkeypatch.setenv("LOGNAME", "ivan")
    monkeypatch.chdir(own_home)
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".config" / "ap-mcp"


@pytest.fixture
def alice(folder: Path) -> None:
    """Make Alice the approver here."""
    init_key(folder, "alice", PASSPHRASE)


@pytest.fixture
def store(tmp_path: Path) -> ConsentFile:
    return ConsentFile(tmp_path / ".local" / "state" / "ap-mcp" / "approvals.db")


@pytest.fixture
def asked(store: ConsentFile) -> Question:
    """A question that waits."""
    return put(store)


def put(store: ConsentFile, **changes: Any) -> Question:
    now = datetime.now(UTC)
    made = question(**{"created": now, "expires": now + 15 * MINUTE, **changes})
    store.ask(made)
    return made


def run(*arguments: str, typed: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(main, ["approvals", *arguments], input="".join(f"{line}\n" for line in typed))


def granted(store: ConsentFile, folder: Path) -> bool:
    """Whether a server that starts now lets the call through."""
    approvers = load_approvers(folder / APPROVERS_FILE)
    return granted_by(ConsentFile(store.path), BOUND, datetime.now(UTC), approvers=approvers) is not None


def at(moments: Iterator[datetime], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands see these moments; their module hides behind the group of the same name."""
    monkeypatch.setattr(import_module("ap_mcp.cli.approvals"), "time_of", lambda _: next(moments))


# Making a key


def test_init_makes_a_locked_key_and_says_what_it_is_for(folder: Path) -> None:
    done = run("init", "--name", "alice", typed=(PASSPHRASE, PASSPHRASE))
    assert done.exit_code == 0
    assert "Made the key of alice" in done.output
    assert "restart" in done.output
    assert PASSPHRASE not in done.output
    assert json.loads((folder / APPROVERS_FILE).read_text())["alice"] in done.output


def test_init_takes_the_users_own_name(folder: Path) -> None:
    assert run("init", typed=(PASSPHRASE, PASSPHRASE)).exit_code == 0
    assert list(load_approvers(folder / APPROVERS_FILE)) == ["ivan"]


def test_a_nameless_user_is_asked_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("uid")

    monkeypatch.setattr("getpass.getuser", unknown)
    done = run("init", typed=(PASSPHRASE, PASSPHRASE))
    assert (done.exit_code, "--name" in done.output) == (2, True)


@pytest.mark.usefixtures("alice")
def test_init_replaces_a_key_with_its_old_passphrase_only(folder: Path) -> None:
    new = "another long passphrase"
    done = run("init", "--name", "alice", typed=("wrong passphrase", new, new))
    assert done.exit_code == 4
    assert "does not open" in done.output
    assert keys.unlock(folder, PASSPHRASE).name == "alice"
    done = run("init", "--name", "alice", typed=(PASSPHRASE, new, new))
    assert done.exit_code == 0
    assert keys.unlock(folder, new).name == "alice"


@pytest.mark.usefixtures("alice")
def test_init_does_not_add_an_approver_to_a_list_it_holds_no_key_of(folder: Path) -> None:
    (folder / KEY_FILE).unlink()
    done = run("init", "--name", "mallory", typed=(PASSPHRASE, PASSPHRASE))
    assert (done.exit_code, "names approvers already" in done.output) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "typed", "why"),
    [
        ((), ("short", "shorter", "eleven char"), "No passphrase was chosen in 3 tries"),
        (("--name", "a b"), (PASSPHRASE, PASSPHRASE), "is no name for an approver"),
    ],
)
def test_init_refuses_what_will_not_do(
    arguments: tuple[str, ...], typed: tuple[str, ...], why: str, folder: Path
) -> None:
    done = run("init", *arguments, typed=typed)
    assert (done.exit_code, why in done.output) == (2, True)
    assert not (folder / KEY_FILE).exists()


def test_a_short_passphrase_is_refused_before_it_is_typed_again_and_asked_for_anew(folder: Path) -> None:
    done = run("init", "--name", "alice", typed=("short", PASSPHRASE, "another one, of course", PASSPHRASE, PASSPHRASE))
    assert done.exit_code == 0
    assert done.output.count("That is too short: at least 12 characters.") == 1
    assert done.output.count("The two are not the same.") == 1
    assert keys.unlock(folder, PASSPHRASE).name == "alice"


# Reading


def test_nothing_waits_at_first() -> None:
    done = run("list")
    assert (done.exit_code, done.output) == (0, "Nothing waits for a person.\n")


def test_what_waits_is_listed_with_its_code(asked: Question, store: ConsentFile) -> None:
    other = put(store, name="redis", tool="delete_release", expires=asked.created + MINUTE)
    done = run("list")
    lines = done.output.splitlines()
    assert done.exit_code == 0
    *fields, left = lines[0].split("  ")
    where = 'region "cn-north-4", project "0b1c"'
    whom = 'for "ivan" through "Claude 1.0"'
    assert fields == [asked.code, where, "delete_cluster", '"shop-prod"', "destroy", whom]
    assert "min left" in left
    assert lines[1].startswith(f"{other.code}  {where}  delete_release")
    assert "less than a minute left" in lines[1]
    assert "ap-mcp approvals show" in lines[2]


def test_what_is_simulated_is_listed_last_and_marked_wherever_it_is_shown(store: ConsentFile) -> None:
    simulated = put(store, simulated=True)
    real = put(store)
    first, second, _ = run("list").output.splitlines()
    assert first.startswith(f'{real.code}  region "cn-north-4"')
    assert second.startswith(f"{simulated.code}  SIMULATED, nothing real is touched, ")
    assert "SIMULATED" not in first
    assert "Where: SIMULATED" in run("show", simulated.code).output
    assert "SIMULATED" not in run("show", real.code).output


def test_simulated_questions_leave_room_for_real_ones(store: ConsentFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.state.consent_file.OPEN_LIMIT", 1)
    put(store, simulated=True)
    put(store)
    for simulated in (True, False):
        with pytest.raises(ApprovalRefused, match="wait for a person already"):
            put(store, simulated=simulated)


@pytest.mark.usefixtures("alice")
def test_who_approves_is_warned_that_a_server_older_than_the_key_does_not_know_it(
    store: ConsentFile, folder: Path
) -> None:
    older = put(store, created=datetime.now(UTC) - MINUTE)
    assert "restart it" in run("approve", older.code, typed=("shop-prod", PASSPHRASE)).output
    os.utime(folder / APPROVERS_FILE, (0, 0))
    assert "restart it" not in run("approve", put(store).code, typed=("shop-prod", PASSPHRASE)).output


def test_a_question_is_shown_whole(asked: Question) -> None:
    done = run("show", asked.code.lower().replace("-", ""))
    assert done.exit_code == 0
    for line in (
        'Where: region "cn-north-4", project "0b1c"',
        'Asked for "ivan" through "Claude 1.0"',
        "Tool: delete_cluster (effect: destroy)",
        '  | cluster_id: "0e1f"',
        '  | password: "***"',
        "  | Deletes cluster shop-prod for good.",
        "  | Warning: it looks like production.",
        'It acts on: "shop-prod"',
        "Standing: pending",
    ):
        assert line in done.output.splitlines()


def test_a_question_for_somebody_else_says_so(store: ConsentFile) -> None:
    assert "(another person must decide)" in run("show", put(store, other_approver=True).code).output


def test_a_question_without_arguments_says_so(store: ConsentFile) -> None:
    assert "  | none" in run("show", put(store, arguments="{}").code).output.splitlines()


@pytest.mark.usefixtures("alice")
def test_a_decided_question_shows_who_decided(store: ConsentFile, folder: Path, asked: Question) -> None:
    store.decide(asked.code, sign(keys.unlock(folder, PASSPHRASE), asked, False, datetime.now(UTC)))
    assert "Standing: declined by alice" in run("show", asked.code).output


@pytest.mark.usefixtures("alice")
def test_a_forged_answer_is_shown_for_what_it_is(store: ConsentFile, asked: Question) -> None:
    forged = replace(sign(MALLORY, asked, True, datetime.now(UTC)), approver="alice")
    store.decide(asked.code, forged)
    output = run("show", asked.code).output
    assert "Standing: worthless, it does not bear the signature" in output


@pytest.mark.parametrize("command", ["show", "approve", "decline", "withdraw"])
@pytest.mark.parametrize("code", ["ABCD-2345", "nonsense", "\x1b[2J"])
def test_an_unknown_code_is_wrong_usage(command: str, code: str) -> None:
    done = run(command, code)
    assert done.exit_code == 2
    assert "There is no question" in done.output
    assert "ap-mcp approvals list" in done.output
    assert "\x1b" not in done.output


# Deciding


@pytest.mark.usefixtures("alice")
def test_an_approval_lets_exactly_one_call_through(asked: Question, store: ConsentFile, folder: Path) -> None:
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert done.exit_code == 0
    assert "  | Deletes cluster shop-prod for good." in done.output.splitlines()
    assert "you have read what this is about" in done.output
    assert "signs exactly what stands above" in done.output
    assert f"Approved by alice, once, for exactly this call, until {written(asked.expires)}." in done.output
    assert "Nothing has been sent yet" in done.output
    assert PASSPHRASE not in done.output
    assert granted(store, folder)
    assert not granted(store, folder)


@pytest.mark.usefixtures("alice")
def test_what_decides_stands_right_above_the_prompt_however_long_the_question_is(store: ConsentFile) -> None:
    long = put(store, impact_text="\n".join(["A pod ends."] * 60), name="shop-prod", simulated=True)
    done = run("approve", long.code, typed=("shop-prod", PASSPHRASE))
    above = done.output.split("Name of what is acted on")[0].splitlines()[-4:]
    assert long.code in above[0]
    assert long.tool in above[0]
    assert long.effect in above[0]
    assert "SIMULATED" in above[1]
    assert above[2] == 'It acts on: "shop-prod"'


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("name", ["", "shop-Prod", "shop-prod ", "shop", "yes", "y", "\x1b[31m"])
def test_a_wrong_name_decides_nothing(name: str, asked: Question, store: ConsentFile, folder: Path) -> None:
    done = run("approve", asked.code, typed=(name, PASSPHRASE))
    assert done.exit_code == 4
    assert "is not the name of what this call acts on" in done.output
    assert f"{asked.code} still waits" in done.output
    assert "\x1b" not in done.output.split("Not approved", 1)[1]
    assert not granted(store, folder)
    assert store.pending(datetime.now(UTC)) == [asked]


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("command", ["approve", "decline"])
@pytest.mark.parametrize("passphrase", ["", "wrong", PASSPHRASE.upper()])
def test_a_wrong_passphrase_decides_nothing(
    command: str, passphrase: str, asked: Question, store: ConsentFile, folder: Path
) -> None:
    done = run(command, asked.code, typed=("shop-prod", passphrase) if command == "approve" else (passphrase,))
    assert done.exit_code == 4
    assert "The passphrase does not open" in done.output
    assert not granted(store, folder)
    assert store.pending(datetime.now(UTC)) == [asked]


@pytest.mark.usefixtures("alice")
def test_a_person_may_walk_away(asked: Question, store: ConsentFile) -> None:
    for typed in ((), ("shop-prod",)):
        assert run("approve", asked.code, typed=typed).exit_code == 1
    assert store.pending(datetime.now(UTC)) == [asked]


@pytest.mark.usefixtures("alice")
def test_a_refusal_is_signed_too_and_holds(asked: Question, store: ConsentFile, folder: Path) -> None:
    done = run("decline", asked.code, typed=(PASSPHRASE,))
    assert done.exit_code == 0
    assert "Declined by alice" in done.output
    with pytest.raises(ConsentDeclined):
        granted(store, folder)


@pytest.mark.usefixtures("alice")
def test_what_is_decided_is_not_decided_again(asked: Question, store: ConsentFile, folder: Path) -> None:
    assert run("approve", asked.code, typed=("shop-prod", PASSPHRASE)).exit_code == 0
    for state in ("approved by alice", "spent"):
        done = run("decline", asked.code, typed=(PASSPHRASE,))
        assert done.exit_code == 4
        assert f"it is {state} already" in done.output
        granted(store, folder)


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("command", ["approve", "decline"])
def test_what_has_expired_is_not_decided(
    command: str, asked: Question, store: ConsentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(repeat(asked.expires), monkeypatch)
    assert "Standing: expired" in run("show", asked.code).output
    done = run(command, asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, f"it expired at {written(asked.expires)}" in done.output) == (4, True)
    assert "Passphrase" not in done.output


@pytest.mark.usefixtures("alice")
def test_what_expires_while_it_is_read_is_not_decided(
    asked: Question, store: ConsentFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(chain([asked.created + MINUTE], repeat(asked.expires)), monkeypatch)
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, "can be decided from" in done.output) == (4, True)
    assert not granted(store, folder)


@pytest.mark.parametrize("command", ["approve", "decline"])
def test_without_a_key_the_message_says_how_to_make_it(command: str, asked: Question) -> None:
    done = run(command, asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, "ap-mcp approvals init" in done.output) == (4, True)


def test_a_person_cannot_approve_for_themselves_where_another_one_is_asked_for(
    store: ConsentFile, folder: Path
) -> None:
    init_key(folder, "ivan", PASSPHRASE)
    asked = put(store, other_approver=True)
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, "somebody other than" in done.output) == (4, True)
    assert store.pending(datetime.now(UTC)) == [asked]


@pytest.mark.usefixtures("alice")
def test_an_approver_who_is_no_longer_listed_gets_the_reason(asked: Question, folder: Path) -> None:
    (folder / APPROVERS_FILE).write_text(json.dumps({"alice": ALICE.public_text}))
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, "does not name this key" in done.output) == (4, True)


@pytest.mark.usefixtures("alice")
def test_withdrawing_takes_a_question_away_without_a_passphrase(asked: Question, store: ConsentFile) -> None:
    done = run("withdraw", asked.code.lower())
    assert (done.exit_code, done.output) == (
        0,
        f'Withdrawn: {asked.code} (delete_cluster of "shop-prod"). Nothing was sent.\n',
    )
    assert store.pending(datetime.now(UTC)) == []
    assert f'Standing: withdrawn by "{local_user()}", at ' in run("show", asked.code).output
    again = run("withdraw", asked.code)
    assert (again.exit_code, "is withdrawn already" in again.output) == (4, True)
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, "it is withdrawn by" in done.output) == (4, True)


@pytest.mark.usefixtures("alice")
def test_what_came_to_an_end_is_listed_on_request(asked: Question, store: ConsentFile) -> None:
    declined, simulated = put(store), put(store, simulated=True)
    assert run("decline", declined.code, typed=(PASSPHRASE,)).exit_code == 0
    store.withdraw(simulated.code, "\x1b[2J", datetime.now(UTC))
    assert run("list").output.splitlines()[0].startswith(asked.code)
    assert declined.code not in run("list").output
    first, second, third, last = run("list", "--all").output.splitlines()
    assert first.startswith(asked.code)
    assert second.startswith(declined.code)
    assert second.endswith("  declined by alice")
    assert third.startswith(f"{simulated.code}  SIMULATED")
    assert '  withdrawn by "\\u001b[2J", at ' in third
    assert "ap-mcp approvals show" in last
    store.withdraw(asked.code, "ivan", datetime.now(UTC))
    assert run("list", "--all").output.startswith("Nothing waits for a person.\n")


# A hand in the store


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    "changes",
    [
        {"impact_text": "Deletes cluster shop-prod.\x1b[2K\rReads a little."},
        {"impact_text": "Deletes \u202edorp-pohs"},
        {"impact_text": "Deletes\u2028nothing"},
        {"name": "shop-prod\u200b"},
        {"name": "shop\nprod"},
        {"tool": "get\x08\x08_cluster"},
        {"principal": "ivan\r"},
    ],
)
def test_what_hides_something_is_shown_with_it_and_not_decided(changes: dict[str, str], store: ConsentFile) -> None:
    asked = put(store, **changes)
    done = run("approve", asked.code, typed=(changes.get("name", "shop-prod"), PASSPHRASE))
    assert done.exit_code == 4
    assert "characters that cannot be seen" in done.output
    assert "Passphrase" not in done.output
    assert done.output.isprintable() or not set(done.output) & set("\x1b\r\x08\u202e\u2028\u200b")
    assert not set(run("list").output) & set("\x1b\r\x08\u202e\u2028\u200b")


@pytest.mark.usefixtures("alice")
def test_arguments_are_seen_in_the_order_in_which_they_stand(store: ConsentFile) -> None:
    asked = put(store, arguments=json.dumps({"alias": "שם 12 生"}))
    assert '  | alias: "\\u05e9\\u05dd 12 生"' in run("show", asked.code).output.splitlines()


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(("arguments", "shown"), [("[1]", "[1]"), ("\x1bnonsense\n", "\\u001bnonsense\\n")])
def test_arguments_that_are_no_object_are_shown_as_they_are(arguments: str, shown: str, store: ConsentFile) -> None:
    assert f"  | {shown}" in run("show", put(store, arguments=arguments).code).output.splitlines()


def test_arguments_cannot_hide_or_break_out(store: ConsentFile) -> None:
    asked = put(store, arguments=json.dumps({"values": "a\u200b\u202eb\nStanding: approved"}, ensure_ascii=False))
    lines = run("show", asked.code).output.splitlines()
    assert '  | values: "a\\u200b\\u202eb\\nStanding: approved"' in lines


@pytest.mark.usefixtures("alice")
def test_a_question_changed_while_it_is_read_is_signed_as_it_was_shown(
    store: ConsentFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = put(store, impact_text="Reads a little.", arguments_digest="b" * 64)
    unlock = keys.unlock

    def unlock_meanwhile(*arguments: Any) -> keys.Approver:
        with closing(sqlite3.connect(store.path)) as db, db:
            db.execute("UPDATE questions SET arguments_digest = ?, impact_text = 'Deletes all.'", ("a" * 64,))
        return unlock(*arguments)

    monkeypatch.setattr(keys, "unlock", unlock_meanwhile)
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert (done.exit_code, "kept but does not count" in done.output) == (4, True)
    assert not granted(store, folder)


@pytest.mark.usefixtures("alice")
def test_an_answer_put_there_by_hand_can_only_be_asked_anew(store: ConsentFile, asked: Question) -> None:
    with closing(sqlite3.connect(store.path)) as db, db:
        values = (ticks(asked.created), bytes(64))
        db.execute("UPDATE questions SET approver = 'alice', approved = 1, decided = ?, signature = ?", values)
    done = run("approve", asked.code, typed=("shop-prod", PASSPHRASE))
    assert done.exit_code == 4
    assert "it is worthless already (it does not bear the signature" in done.output


# Trouble


@pytest.mark.usefixtures("alice")
def test_a_damaged_store_is_reported_plainly(asked: Question, store: ConsentFile) -> None:
    store.path.write_text("no database " * 100)
    assert_reported(asked, 4, "damaged, or no database")


@pytest.mark.usefixtures("alice")
def test_a_damaged_list_of_approvers_is_reported_plainly(asked: Question, folder: Path) -> None:
    (folder / APPROVERS_FILE).write_text("[]")
    assert_reported(asked, 2, "must be one JSON object")


def assert_reported(asked: Question, code: int, why: str) -> None:
    for arguments in (("list",), ("show", asked.code), ("approve", asked.code), ("decline", asked.code)):
        done = run(*arguments)
        assert (done.exit_code, why in done.output) == (code, True)
        assert "Traceback" not in done.output


@pytest.mark.parametrize("command", ["init", "list", "show", "approve", "decline"])
def test_each_command_says_what_it_is_for_and_takes_no_passphrase_from_elsewhere(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Exit codes: 0 done, 2 wrong usage, 4 refused." in done.output
    assert "--passphrase" not in done.output
