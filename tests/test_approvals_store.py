"""A consent is spent once whoever races for it, and a store that cannot be trusted or read is told as that."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from approving import (
    APPROVERS,
    BOUND,
    LATE,
    MINUTE,
    NOW,
    USED,
    approved,
    mode_of,
    question,
)

from ap_mcp.errors import ApprovalsUnusable
from ap_mcp.guard import approvals
from ap_mcp.guard.approvals import ApprovalStore, Asked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ap-mcp" / "approvals.db"


@pytest.fixture
def store(path: Path) -> ApprovalStore:
    return ApprovalStore(path, APPROVERS)


# Spending


def test_a_consent_is_spent_once(store: ApprovalStore) -> None:
    assert store.spend("token:1", LATE)
    assert not store.spend("token:1", LATE)
    assert not store.spend("token:1", LATE + MINUTE)
    assert not ApprovalStore(store.path).spend("token:1", LATE)
    assert store.spend("token:2", LATE)


@pytest.mark.parametrize("stores", [1, 8], ids=["one store", "a store each"])
def test_of_threads_that_race_for_one_consent_one_gets_it(stores: int, path: Path) -> None:
    shared = [ApprovalStore(path, APPROVERS) for _ in range(stores)]
    barrier = Barrier(8)

    def race(number: int) -> bool:
        barrier.wait(5)
        return shared[number % stores].spend("token:1", LATE)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(race, range(8))) == [False] * 7 + [True]


def test_of_threads_that_race_for_one_approval_one_gets_it(store: ApprovalStore) -> None:
    approved(store)
    barrier = Barrier(4)

    def race(_: int) -> bool:
        barrier.wait(5)
        return store.granted(BOUND, USED) is not None

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, range(4))) == 1


RACER = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from ap_mcp.guard.approvals import ApprovalStore
path, expires, then = sys.argv[1:]
store = ApprovalStore(Path(path))
print("ready", flush=True)
sys.stdin.readline()
won = [store.spend(f"token:{number}", datetime.fromisoformat(expires)) for number in range(10)]
print(*map(int, won), flush=True)
if then == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def racer(path: Path, then: str = "end") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RACER, str(path), LATE.isoformat(), then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def raced(process: subprocess.Popen[str]) -> list[bool]:
    out, _ = process.communicate(timeout=30)
    return [word == "1" for word in out.split()]


def test_of_processes_that_race_for_consents_one_gets_each_even_in_a_store_that_is_just_being_made(path: Path) -> None:
    processes = [racer(path) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    won = [raced(process) for process in processes]
    assert [sum(each) for each in zip(*won, strict=True)] == [1] * 10


def test_a_consent_stays_spent_when_its_process_is_killed(path: Path, store: ApprovalStore) -> None:
    process = racer(path, "die")
    out, _ = process.communicate("\n", timeout=30)
    assert out.split() == ["ready", *["1"] * 10]
    assert process.returncode == -signal.SIGKILL
    assert not any(store.spend(f"token:{number}", LATE) for number in range(10))


# The file


def test_the_store_is_its_owners_only_whatever_the_umask(store: ApprovalStore) -> None:
    before = os.umask(0)
    try:
        with store._transaction() as db:
            db.execute("INSERT INTO spent VALUES ('x', 1)")
            modes = {file.name: mode_of(file) for file in store.path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["approvals.db", "approvals.db-shm", "approvals.db-wal"], 0o600)
    assert mode_of(store.path.parent) == 0o700


def test_another_connection_reads_while_one_writes(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)
    with store._transaction() as db, closing(sqlite3.connect(store.path, timeout=0)) as other:
        db.execute("DELETE FROM questions")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("SELECT code FROM questions").fetchall() == [(asked.code,)]
    assert store.find(asked.code) is None


def test_a_store_that_stays_locked_is_told_and_nothing_counts(
    store: ApprovalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(store)
    monkeypatch.setattr(approvals, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ApprovalsUnusable, match=r"another program has kept it locked.*try again"):
            store.granted(BOUND, USED)
        with pytest.raises(ApprovalsUnusable):
            store.spend("token:1", LATE)
    assert store.granted(BOUND, USED) is not None


def test_a_failure_in_the_middle_changes_nothing(store: ApprovalStore) -> None:
    asked = question()
    store.ask(asked)

    def stumble() -> None:
        with store._transaction() as db:
            db.execute("DELETE FROM questions")
            db.execute("SELECT * FROM nowhere")

    with pytest.raises(ApprovalsUnusable, match="no such table"):
        stumble()
    assert store.find(asked.code) == Asked(asked)


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE recipes (name TEXT)")


def newer_store(path: Path) -> None:
    ApprovalStore(path).pending(NOW)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def damaged_store(path: Path) -> None:
    ApprovalStore(path).ask(question())
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    path.write_bytes(content)


def text(path: Path) -> None:
    path.write_text("dear diary, " * 100)


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")


def readable(path: Path) -> None:
    ApprovalStore(path).pending(NOW)
    path.chmod(0o640)


def foreign(path: Path) -> None:
    ApprovalStore(path).pending(NOW)
    path.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (other_database, "not as ap-mcp makes it.*Move it away"),
        (newer_store, "a newer ap-mcp made it"),
        (damaged_store, "damaged, or no database.*Move it away"),
        (text, "damaged, or no database.*Move it away"),
        (folder, "no plain file"),
        (link, "no plain file"),
        (readable, "other users may read or change .*chmod go-rwx"),
        (foreign, "other users may change .*chmod go-w"),
    ],
)
def test_a_store_that_cannot_be_trusted_or_read_is_told_and_left_alone(
    spoil: Callable[[Path], None], why: str, store: ApprovalStore
) -> None:
    store.path.parent.mkdir(parents=True, mode=0o700)
    spoil(store.path)
    if store.path.is_file():
        store.path.chmod(mode_of(store.path) & (0o640 if spoil is readable else 0o600))
    before = store.path.read_bytes() if store.path.is_file() else b""
    for use in uses(store):
        with pytest.raises(ApprovalsUnusable, match=why) as raised:
            use()
        assert str(store.path) in raised.value.render()
    assert (store.path.read_bytes() if store.path.is_file() else b"") == before


def uses(store: ApprovalStore) -> Iterator[Callable[[], object]]:
    yield lambda: store.granted(BOUND, USED)
    yield lambda: store.find("ABCD-2345")
    yield lambda: store.ask(question())
    yield lambda: store.spend("token:1", LATE)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ApprovalsUnusable, match=r"approvals\.db cannot be used: "):
        ApprovalStore(tmp_path / "file" / "approvals.db").pending(NOW)


def test_a_store_that_was_moved_away_is_made_anew_and_what_was_spent_stays_so_here(store: ApprovalStore) -> None:
    assert store.spend("token:1", LATE)
    store.path.unlink()
    assert store.pending(USED) == ()
    assert not store.spend("token:1", LATE)
