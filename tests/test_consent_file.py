"""A consent is taken once, however many try at once; a store that was lost or damaged only has people asked again."""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from approving import BOUND, LATE, MINUTE, NOW, SOON, USED, approved, consent, granted, mode_of, question, take
from forking import python

from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
from ap_mcp.guard.approval_requests import Asked
from ap_mcp.guard.lifetimes import OPEN_LIMIT
from ap_mcp.state import database
from ap_mcp.state.consent_file import ConsentFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ap-mcp" / "approvals.db"


@pytest.fixture
def store(path: Path) -> ConsentFile:
    return ConsentFile(path)


# Taking


def test_a_consent_is_taken_once_and_only_if_it_was_opened(store: ConsentFile) -> None:
    assert not take(store, consent())
    store.open(consent())
    assert take(store, consent())
    assert not take(store, consent())
    assert not take(ConsentFile(store.path), consent())
    store.open(consent(2))
    assert take(ConsentFile(store.path), consent(2))
    assert not take(store, consent(2))


def test_what_is_used_once_is_used_up_in_every_process_and_is_no_consent(store: ConsentFile) -> None:
    assert store.use_once("sign-in:a", NOW, LATE)
    assert store.use_once("sign-in:b", NOW, LATE)
    for each in (store, ConsentFile(store.path)):
        assert not each.use_once("sign-in:a", SOON, LATE)
    assert not store.take("used:sign-in:a", "d" * 64, SOON)


def test_a_consent_bound_to_another_call_is_not_taken_and_gone(store: ConsentFile) -> None:
    store.open(consent())
    assert not take(store, consent(digest="e" * 64))
    assert not take(store, consent())


def test_a_consent_is_not_taken_once_it_has_expired(store: ConsentFile) -> None:
    store.open(consent())
    assert not take(store, consent(), LATE)
    assert not take(store, consent(), LATE - MINUTE)


def test_a_consent_that_is_open_is_not_opened_again(store: ConsentFile) -> None:
    store.open(consent())
    with pytest.raises(ApprovalsUnusable):
        store.open(consent(expires=LATE + MINUTE))
    assert take(store, consent())


def test_one_principal_cannot_fill_the_store_with_forms(store: ConsentFile) -> None:
    for number in range(OPEN_LIMIT):
        store.open(consent(number))
    with pytest.raises(ApprovalRefused, match=f'{OPEN_LIMIT} questions of "ivan" wait'):
        store.open(consent(OPEN_LIMIT))
    store.open(consent(OPEN_LIMIT, principal="judy"))
    store.ask(question())
    assert take(store, consent(0))
    store.open(consent(OPEN_LIMIT + 1))
    store.open(consent(OPEN_LIMIT + 2, created=LATE, expires=LATE + MINUTE))


@pytest.mark.parametrize("stores", [1, 8], ids=["one store", "a store each"])
def test_of_threads_that_race_for_one_consent_one_gets_it(stores: int, path: Path) -> None:
    shared = [ConsentFile(path) for _ in range(stores)]
    shared[0].open(consent())
    barrier = Barrier(8)

    def race(number: int) -> bool:
        barrier.wait(5)
        return take(shared[number % stores], consent())

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(race, range(8))) == [False] * 7 + [True]


def test_of_threads_that_race_for_one_approval_one_gets_it(store: ConsentFile) -> None:
    approved(store)
    barrier = Barrier(4)

    def race(_: int) -> bool:
        barrier.wait(5)
        return granted(store, BOUND, USED) is not None

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, range(4))) == 1


RACER = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from ap_mcp.state.consent_file import ConsentFile
path, digest, now, then = sys.argv[1:]
store = ConsentFile(Path(path))
print("ready", flush=True)
sys.stdin.readline()
won = [store.take(f"token:{number}", digest, datetime.fromisoformat(now)) for number in range(10)]
print(*map(int, won), flush=True)
if then == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def racer(path: Path, then: str = "end") -> subprocess.Popen[str]:
    command = [python(), "-c", RACER, str(path), consent().digest, USED.isoformat(), then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def raced(process: subprocess.Popen[str]) -> list[bool]:
    out, _ = process.communicate(timeout=30)
    return [word == "1" for word in out.split()]


def all_at_once(processes: list[subprocess.Popen[str]]) -> list[list[bool]]:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [raced(process) for process in processes]


def test_of_processes_that_race_for_consents_one_gets_each(path: Path, store: ConsentFile) -> None:
    for number in range(10):
        store.open(consent(number))
    won = all_at_once([racer(path) for _ in range(3)])
    assert [sum(each) for each in zip(*won, strict=True)] == [1] * 10


def test_of_processes_that_make_the_store_at_the_same_time_none_gets_a_consent_that_was_not_opened(path: Path) -> None:
    assert all_at_once([racer(path) for _ in range(3)]) == [[False] * 10] * 3
    store = ConsentFile(path)
    store.open(consent())
    assert take(store, consent())


def test_a_consent_stays_taken_when_its_process_is_killed(path: Path, store: ConsentFile) -> None:
    for number in range(10):
        store.open(consent(number))
    process = racer(path, "die")
    out, _ = process.communicate("\n", timeout=30)
    assert out.split() == ["ready", *["1"] * 10]
    assert process.returncode == -signal.SIGKILL
    assert not any(take(store, consent(number)) for number in range(10))


# Lost and restored


def delete(store: ConsentFile, copy: Path) -> None:
    store.path.unlink()


def truncate(store: ConsentFile, copy: Path) -> None:
    store.path.write_bytes(b"")


def restore(store: ConsentFile, copy: Path) -> None:
    shutil.copyfile(copy, store.path)


def forget_the_generation(store: ConsentFile, copy: Path) -> None:
    store.database.generation_file.unlink()


def restore_beside_no_generation(store: ConsentFile, copy: Path) -> None:
    restore(store, copy)
    store.database.generation_file.unlink()


@pytest.mark.parametrize(
    "harm",
    [delete, truncate, restore, forget_the_generation, restore_beside_no_generation],
    ids=lambda harm: harm.__name__,
)
def test_a_store_that_was_lost_or_restored_has_no_consent_open_in_any_process(
    harm: Callable[[ConsentFile, Path], None], store: ConsentFile, tmp_path: Path
) -> None:
    asked = approved(store)
    for number in range(2):
        store.open(consent(number))
    shutil.copyfile(store.path, tmp_path / "copy")
    assert take(store, consent(0))
    harm(store, tmp_path / "copy")
    for each in (ConsentFile(store.path), store):
        assert each.about(BOUND, USED) == []
        assert not any(take(each, opened, USED) for opened in (consent(0), consent(1), asked.consent))
        assert granted(each, BOUND, USED) is None
    store.open(consent(3))
    assert take(ConsentFile(store.path), consent(3), USED)


def test_a_copy_from_before_the_question_has_it_asked_again(store: ConsentFile, tmp_path: Path) -> None:
    store.open(consent(0))
    shutil.copyfile(store.path, tmp_path / "copy")
    store.open(consent(1))
    asked = approved(store)
    restore(store, tmp_path / "copy")
    assert not take(store, consent(1))
    assert store.find(asked.code) is None
    assert store.about(BOUND, USED) == []


def test_a_file_restored_with_its_generation_gains_nothing_on_the_server_that_took_the_consent(
    store: ConsentFile, tmp_path: Path
) -> None:
    store.open(consent())
    for path in (store.path, store.database.generation_file):
        shutil.copyfile(path, tmp_path / path.name)
    assert take(store, consent())
    for path in (store.path, store.database.generation_file):
        shutil.copyfile(tmp_path / path.name, path)
    assert not take(store, consent())


def test_a_take_that_is_interrupted_before_it_is_kept_has_people_asked_again(
    store: ConsentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(consent(0))
    store.open(consent(1))
    renew = database.Database.renew

    def renew_and_fail(self: database.Database, db: sqlite3.Connection) -> None:
        renew(self, db)
        raise OSError("the power went")

    monkeypatch.setattr(database.Database, "renew", renew_and_fail)
    with pytest.raises(ApprovalsUnusable):
        take(store, consent(0))
    monkeypatch.undo()
    assert not take(store, consent(1))
    assert not take(store, consent(0))


# The file


def test_the_store_is_its_owners_only_whatever_the_umask(store: ConsentFile) -> None:
    before = os.umask(0)
    try:
        with store.database.transaction() as db:
            db.execute("DELETE FROM questions")
            modes = {file.name: mode_of(file) for file in store.path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys([f"approvals.db{end}" for end in ("", "-shm", "-wal", ".generation")], 0o600)
    assert mode_of(store.path.parent) == 0o700


def test_another_connection_reads_while_one_writes(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)
    with store.database.transaction() as db, closing(sqlite3.connect(store.path, timeout=0)) as other:
        db.execute("DELETE FROM questions")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("SELECT code FROM questions").fetchall() == [(asked.code,)]
    assert store.find(asked.code) is None


def test_a_store_that_stays_locked_is_reported_and_nothing_counts(
    store: ConsentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = approved(store)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ApprovalsUnusable, match=r"another program has kept it locked.*try again"):
            granted(store, BOUND, USED)
        with pytest.raises(ApprovalsUnusable):
            take(store, asked.consent, USED)
    assert granted(store, BOUND, USED) is not None


def test_a_failure_in_the_middle_changes_nothing(store: ConsentFile) -> None:
    asked = question()
    store.ask(asked)

    def fail() -> None:
        with store.database.transaction() as db:
            db.execute("DELETE FROM questions")
            db.execute("SELECT * FROM nowhere")

    with pytest.raises(ApprovalsUnusable, match="no such table"):
        fail()
    assert store.find(asked.code) == Asked(asked)


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE recipes (name TEXT)")


def newer_store(path: Path) -> None:
    ConsentFile(path).pending(NOW)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {database._VERSION + 1}")


def older_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE spent (consent TEXT PRIMARY KEY, expires INTEGER NOT NULL)")
        db.execute(f"PRAGMA application_id = {database._APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")


def test_what_an_older_version_kept_is_dropped_and_asked_again(store: ConsentFile) -> None:
    store.path.parent.mkdir(parents=True, mode=0o700)
    older_store(store.path)
    store.path.chmod(0o600)
    asked = question()
    store.ask(asked)
    assert store.pending(NOW) == [asked]


def damaged_store(path: Path) -> None:
    ConsentFile(path).ask(question())
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
    ConsentFile(path).pending(NOW)
    path.chmod(0o640)


def foreign(path: Path) -> None:
    ConsentFile(path).pending(NOW)
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
def test_a_store_that_cannot_be_trusted_or_read_is_reported_and_left_alone(
    spoil: Callable[[Path], None], why: str, store: ConsentFile
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


def uses(store: ConsentFile) -> Iterator[Callable[[], object]]:
    yield lambda: granted(store, BOUND, USED)
    yield lambda: store.find("ABCD-2345")
    yield lambda: store.ask(question())
    yield lambda: store.open(consent())
    yield lambda: take(store, consent())


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ApprovalsUnusable, match=r"approvals\.db cannot be used: "):
        ConsentFile(tmp_path / "file" / "approvals.db").pending(NOW)


def test_a_generation_that_others_may_read_is_not_used(store: ConsentFile) -> None:
    store.open(consent())
    store.database.generation_file.chmod(0o644)
    with pytest.raises(ApprovalsUnusable, match="chmod go-rwx"):
        take(store, consent())
