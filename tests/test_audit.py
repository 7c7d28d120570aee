"""The audit log: nothing is sent unrecorded, and no hand in the file or crash in the middle goes unnoticed."""

import errno
import json
import os
import signal
import stat
import subprocess
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from forking import python

from ap_mcp.errors import AuditFailed, ConsentDeclined, SettingsError
from ap_mcp.guard import audit
from ap_mcp.guard.audit import LONGEST_TEXT, AuditFinding, AuditLog, Entry, Outcome, audit_from, log_at
from ap_mcp.guard.file_lock import lock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTRY = Entry("delete_cluster", "destroy", "alice", {"cluster_id": "c-1"}, target="shop-prod", channel="form")
DONE = Outcome("succeeded", request_id="r-1")
JUNK = b'{"seq":2,"time":"2026-03-01T12:00:00.000Z","event":"finished","of":1}'

CHILD = """
import os, signal, sys
from pathlib import Path
from ap_mcp.guard import audit
from ap_mcp.guard.audit import Entry, Outcome, log_at

log = log_at(Path(sys.argv[1]))
entry = Entry("delete_cluster", "destroy", "alice", target="shop-prod")
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
BETWEEN_DECIDED_AND_FINISHED = CHILD + "log.decided(entry); die()"
IN_THE_MIDDLE_OF_A_LINE = (
    CHILD + "audit._write_all = lambda fd, data: (os.write(fd, data[:99]), die()); log.decided(entry)"
)
BEFORE_THE_LINE_END = CHILD + "audit._write_all = lambda fd, data: (os.write(fd, data[:-1]), die()); log.decided(entry)"
BETWEEN_LINE_AND_HEAD = CHILD + "audit.write_private_file = die; log.decided(entry)"
BEFORE_THE_HEAD_HAS_ITS_NAME = CHILD + "Path.replace = die; log.decided(entry)"
ON_A_FULL_DISK = (
    CHILD
    + """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = log.path.stat().st_size + 99
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    log.decided(entry)
except audit.AuditFailed as error:
    sys.exit(str(error.render()))
"""
)
MANY = CHILD + "[log.finished(log.decided(entry), Outcome('succeeded')) for _ in range(10)]"


def ticking() -> Callable[[], datetime]:
    seconds = count()
    return lambda: NOON + timedelta(seconds=next(seconds))


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    path = tmp_path / "state" / "audit.jsonl"
    return AuditLog(path, path.with_name("audit.key"), ticking())


@pytest.fixture
def kept(log: AuditLog) -> AuditLog:
    """A log of three calls."""
    for _ in range(3):
        record(log)
    return log


def record(log: AuditLog) -> int:
    seq = log.decided(ENTRY)
    log.finished(seq, DONE)
    return seq


def lines_of(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


def kinds(findings: list[AuditFinding]) -> list[str]:
    return [finding.kind for finding in findings]


def refusal(deed: Callable[[], object]) -> str:
    with pytest.raises(AuditFailed) as caught:
        deed()
    return caught.value.render()


def run_child(script: str, log: AuditLog, status: int = -signal.SIGKILL) -> None:
    done = subprocess.run(
        [python(), "-c", script, str(log.path)], capture_output=True, check=False, timeout=30, text=True
    )
    assert done.returncode == status, done.stderr


def failing(problem: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(problem, os.strerror(problem))

    return fail


# What is recorded


def test_a_call_is_recorded_before_it_is_sent_and_when_it_has_ended(log: AuditLog) -> None:
    entry = Entry(
        tool="delete_cluster",
        effect="destroy",
        principal="alice",
        arguments={"cluster_id": "c-1", "delete_efs": "try"},
        client="agent 1.0",
        target="shop-prod",
        impact="ab" * 32,
        decision="policy.toml rule 2",
        channel="approval",
        approver="bob",
        profile="eu",
    )
    seq = log.decided(entry)
    before = log.calls()
    log.finished(seq, Outcome("failed", "r-9", "HTTP 409"))
    (call,) = log.calls()
    assert before[0].finished is None
    assert call.decided == before[0].decided
    assert {key: value for key, value in call.decided.items() if key != "prev"} == {
        "seq": 1,
        "time": "2026-03-01T12:00:00.000Z",
        "event": "decided",
        **asdict(entry),
    }
    assert call.finished is not None
    outcome = ("seq", "of", "result", "request_id", "detail")
    assert tuple(call.finished[name] for name in outcome) == (2, 1, "failed", "r-9", "HTTP 409")
    assert log.verify() == []


def test_no_secret_reaches_the_file(log: AuditLog) -> None:
    entry = Entry("update_release", "disrupt", "alice", {"values": {"db": {"password": "hunter2-hunter2"}}})
    seq = log.decided(entry)
    log.finished(seq, Outcome("failed", detail='{"password": "hunter2-hunter2"}'))
    assert b"hunter2" not in log.path.read_bytes()
    assert b"db" in log.path.read_bytes()


def test_texts_of_pages_are_cut_and_named_by_their_digest(log: AuditLog) -> None:
    log.decided(Entry("update_release", "disrupt", "alice", {"values": {"notes": ["a word " * 9000]}}))
    (kept,) = log.calls()[0].decided["arguments"]["values"]["notes"]
    assert len(kept) < LONGEST_TEXT + 120
    assert "(63000 characters, sha256 " in kept


@pytest.mark.parametrize("text", ["\ud800", "line\nend\r", '","mac":"' + "0" * 64, "\x00", "é…漢"])
def test_unusual_texts_stay_one_line_and_come_back_as_they_were(log: AuditLog, text: str) -> None:
    log.finished(log.decided(Entry("t", "write", text, {"a": text}, target=text)), Outcome("unknown"))
    (call,) = log.calls()
    assert (call.decided["principal"], call.decided["arguments"]["a"]) == (text, text)
    assert len(lines_of(log)) == 2
    assert log.verify() == []


def test_numbers_that_json_does_not_know_are_kept_as_words(log: AuditLog) -> None:
    log.decided(Entry("t", "write", "alice", {"a": float("nan"), "b": (1, True, None)}))
    assert log.calls()[0].decided["arguments"] == {"a": "nan", "b": [1, True, None]}


def test_nothing_is_made_before_the_first_call(log: AuditLog) -> None:
    assert (log.verify(), log.calls(), log.is_begun) == ([], [], False)
    assert not log.path.parent.exists()


def test_all_files_are_their_owners_only(kept: AuditLog) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept.path.parent.iterdir()}
    assert modes == {"audit.jsonl": 0o600, "audit.jsonl.head": 0o600, "audit.key": 0o600}
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700


def test_the_settings_say_where_it_is(tmp_path: Path) -> None:
    log = audit_from(SimpleNamespace(audit_log=tmp_path / "a" / "audit.jsonl", audit_stderr=False))
    assert (log.path, log.key_file) == (tmp_path / "a" / "audit.jsonl", tmp_path / "a" / "audit.key")
    with pytest.raises(SettingsError, match=r"AP_MCP_AUDIT_LOG: audit\.key is the name of the log's key"):
        audit_from(SimpleNamespace(audit_log=tmp_path / "audit.key", audit_stderr=False))


# Several at once


def test_processes_write_in_turn(log: AuditLog) -> None:
    command = [python(), "-c", MANY, str(log.path)]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    said = [child.communicate(timeout=30)[1] for child in children]
    assert said == [b""] * 3
    assert log.verify() == []
    assert [line["seq"] for line in map(json.loads, lines_of(log))] == list(range(1, 61))
    assert len(log.calls()) == 30


def test_threads_write_in_turn(log: AuditLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(lambda _: record(log), range(16)))
    assert len(set(numbers)) == 16
    assert log.verify() == []


def test_a_lock_that_is_held_is_waited_for_and_then_reported(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "lock", partial(lock, wait=0.02))
    descriptor = os.open(kept.key_file, os.O_RDWR)
    try:
        lock(descriptor, shared=True)
        assert kept.verify() == []
        said = refusal(partial(kept.decided, ENTRY))
    finally:
        os.close(descriptor)
    assert "another program has kept it locked for 0.02 seconds. Nothing was sent." in said
    assert kept.decided(ENTRY) == 7


def test_what_keeps_the_log_from_being_written_is_found_without_writing_or_waiting(kept: AuditLog) -> None:
    kept.check()
    before = {each: each.read_bytes() for each in kept.path.parent.iterdir()}
    with kept.key_file.open("r+b") as held:
        lock(held.fileno())
        kept.check()
    for each, why in ((kept.path, "is no plain file"), (kept.key_file, "is no plain file"), (kept.key_file, "is lost")):
        aside = each.rename(each.with_name("aside"))
        if "plain" in why:
            each.symlink_to(aside)
        assert why in refusal(kept.check)
        assert why in refusal(partial(kept.decided, ENTRY))
        each.unlink()
        aside.rename(each)
    kept.check()
    assert {each: each.read_bytes() for each in kept.path.parent.iterdir()} == before


def test_a_log_that_is_not_begun_can_be_written(log: AuditLog) -> None:
    log.check()
    assert not log.path.parent.exists()


def test_what_a_call_needs_of_the_log_takes_no_memory_however_long_it_is(log: AuditLog) -> None:
    long = {f"name-{number}": "x" * (LONGEST_TEXT - 1) for number in range(40)}
    for number in range(40):
        log.finished(log.decided(replace(ENTRY, arguments=long, consent=f"used-{number}")), DONE)
    size = log.path.stat().st_size
    tracemalloc.start()
    try:
        log.decided(replace(ENTRY, consent="another"))
        assert log.extent()
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()
    with pytest.raises(ConsentDeclined):
        log.decided(replace(ENTRY, consent="used-0"))


# Crashes


def test_a_kill_between_decided_and_finished_leaves_a_line_that_says_so(kept: AuditLog) -> None:
    run_child(BETWEEN_DECIDED_AND_FINISHED, kept)
    (finding,) = kept.verify()
    assert str(finding).startswith('line 7: unfinished: delete_cluster on "shop-prod", decided at 2')
    assert "outcome unknown" in str(finding)
    assert "the consent stays spent" in str(finding)
    assert not finding.is_alarm
    assert record(kept) == 8
    assert kinds(kept.verify()) == ["unfinished"]


def test_a_kill_in_the_middle_of_a_line_raises_no_alarm_and_loses_no_later_line(
    kept: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    run_child(IN_THE_MIDDLE_OF_A_LINE, kept)
    assert not kept.path.read_bytes().endswith(b"\n")
    assert kept.verify() == []
    assert record(kept) == 7
    assert kept.verify() == []
    assert len(kept.calls()) == 4
    assert caplog.text == ""


def test_a_kill_just_before_the_line_end_loses_nothing(kept: AuditLog, caplog: pytest.LogCaptureFixture) -> None:
    run_child(BEFORE_THE_LINE_END, kept)
    assert kinds(kept.verify()) == ["unfinished"]
    assert record(kept) == 8
    assert kinds(kept.verify()) == ["unfinished"]
    assert caplog.text == ""


@pytest.mark.parametrize("script", [BETWEEN_LINE_AND_HEAD, BEFORE_THE_HEAD_HAS_ITS_NAME])
def test_a_kill_between_line_and_head_raises_no_alarm(
    kept: AuditLog, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_child(script, kept)
    assert kinds(kept.verify()) == ["unfinished"]
    assert record(kept) == 8
    assert kinds(kept.verify()) == ["unfinished"]
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["audit.jsonl", "audit.jsonl.head", "audit.key"]
    assert caplog.text == ""


@pytest.mark.parametrize("script", [IN_THE_MIDDLE_OF_A_LINE, BETWEEN_LINE_AND_HEAD])
def test_a_kill_at_the_very_first_line_raises_no_alarm(log: AuditLog, script: str) -> None:
    run_child(script, log)
    assert "not intact" not in kinds(log.verify())
    record(log)
    assert "not intact" not in kinds(log.verify())


def test_crash_upon_crash_raises_no_alarm(kept: AuditLog) -> None:
    for script in (IN_THE_MIDDLE_OF_A_LINE, BETWEEN_LINE_AND_HEAD, IN_THE_MIDDLE_OF_A_LINE, BEFORE_THE_LINE_END):
        run_child(script, kept)
        assert "not intact" not in kinds(kept.verify())
    record(kept)
    assert kinds(kept.verify()) == ["unfinished"]
    assert [json.loads(line)["seq"] for line in lines_of(kept)] == list(range(1, 10))


def test_zeros_that_a_power_cut_leaves_count_as_a_line_cut_short(kept: AuditLog) -> None:
    with kept.path.open("ab") as file:
        file.write(bytes(512))
    assert kept.verify() == []
    record(kept)
    assert kept.verify() == []
    assert b"\0" not in kept.path.read_bytes()


def test_a_crash_after_somebody_changed_the_log_neither_hides_that_nor_loses_later_lines(kept: AuditLog) -> None:
    change_a_line_in_the_middle(kept)
    run_child(IN_THE_MIDDLE_OF_A_LINE, kept)
    before = kept.path.read_bytes()
    record(kept)
    assert kept.path.read_bytes().startswith(before)
    assert [(each.kind, each.line) for each in kept.verify()] == [("not intact", 3)]
    assert kept.calls()[-1].finished


def test_a_line_is_on_the_disk_before_its_head_and_the_head_before_anything_is_sent(
    kept: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Path | str] = []
    synced, replaced = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        same = (path for path in [kept.path, kept.path.parent] if os.path.samestat(path.stat(), os.fstat(descriptor)))
        done.append(next(same, "new head"))
        synced(descriptor)

    def replace(path: Path, target: Path) -> Path:
        done.append(target)
        return replaced(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    kept.decided(ENTRY)
    assert done == [kept.path, "new head", kept.head_file, kept.path.parent]


# What cannot be written


def test_a_full_disk_refuses_and_leaves_no_trace(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept.path.read_bytes()
    written = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        said = refusal(partial(kept.decided, ENTRY))
    assert said == (
        f"The audit log {kept.path} cannot be written: No space left on device. "
        "Nothing was sent. Fix that, or choose another file with AP_MCP_AUDIT_LOG."
    )
    assert kept.path.read_bytes() == before
    assert record(kept) == 7
    assert kept.verify() == []


def test_a_line_that_the_system_writes_in_part_is_taken_back(kept: AuditLog) -> None:
    before = kept.path.read_bytes()
    run_child(ON_A_FULL_DISK, kept, status=1)
    assert kept.path.read_bytes() == before
    assert kept.verify() == []


def test_a_line_whose_head_cannot_be_written_is_taken_back(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(audit, "write_private_file", failing(errno.EDQUOT))
        assert "Nothing was sent." in refusal(partial(kept.decided, ENTRY))
    assert kept.verify() == []
    assert record(kept) == 7


def test_a_line_that_cannot_be_taken_back_raises_no_alarm(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        assert "Nothing was sent." in refusal(partial(kept.decided, ENTRY))
    record(kept)
    assert kinds(kept.verify()) == ["unfinished"]


def test_a_head_that_is_written_is_not_taken_back(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(audit, "_sync_folder", failing(errno.EIO))
        refusal(partial(kept.decided, ENTRY))
    record(kept)
    assert kinds(kept.verify()) == ["unfinished"]


def test_an_outcome_that_cannot_be_recorded_says_that_the_call_was_made(
    kept: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = kept.decided(ENTRY)
    monkeypatch.setattr(audit, "write_private_file", failing(errno.ENOSPC))
    said = refusal(partial(kept.finished, seq, DONE))
    assert "The call was made (succeeded), but the log keeps number 7 as one of unknown outcome." in said
    assert "Nothing was sent" not in said
    assert kinds(kept.verify()) == ["unfinished"]


def test_a_folder_that_cannot_be_made_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refusal(partial(log_at(tmp_path / "file" / "audit.jsonl").decided, ENTRY))
    assert "Nothing was sent. Fix that, or choose another file with AP_MCP_AUDIT_LOG." in said
    assert str(tmp_path / "file") in said


def test_a_read_only_disk_refuses(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    assert "Read-only file system. Nothing was sent." in refusal(partial(kept.decided, ENTRY))
    assert kept.verify() == []
    assert len(kept.calls()) == 3


def opened_to_others(name: str) -> Callable[[AuditLog], None]:
    return lambda log: (log.path.parent / name).chmod(0o777 if name == "." else 0o644)


def replaced_by_a_link(log: AuditLog) -> None:
    log.path.rename(log.path.with_name("elsewhere"))
    log.path.symlink_to("elsewhere")


def replaced_by_a_folder(log: AuditLog) -> None:
    log.path.unlink()
    log.path.mkdir()


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (opened_to_others("audit.jsonl"), "close it with: chmod go-rwx"),
        (opened_to_others("audit.key"), "close it with: chmod go-rwx"),
        (opened_to_others("."), "close it with: chmod go-w"),
        (replaced_by_a_link, "is no plain file"),
        (replaced_by_a_folder, "is no plain file"),
    ],
)
def test_files_that_others_could_have_a_hand_in_refuse(
    kept: AuditLog, deed: Callable[[AuditLog], None], why: str
) -> None:
    deed(kept)
    said = refusal(partial(kept.decided, ENTRY))
    assert why in said
    assert "Nothing was sent." in said


def test_files_of_another_user_refuse(kept: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() == 0:
        os.chown(kept.path, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "belongs to another user. Nothing was sent." in refusal(partial(kept.decided, ENTRY))


def test_a_log_that_is_no_longer_there_to_read_says_so(kept: AuditLog) -> None:
    replaced_by_a_folder(kept)
    assert "cannot be read: Is a directory" in refusal(kept.verify)


def test_a_place_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    assert "cannot be read: File name too long" in refusal(log_at(tmp_path / ("a" * 300)).verify)


# The key


@pytest.mark.parametrize("content", [None, b"", b"short", b"x" * 33])
def test_a_lost_or_damaged_key_is_not_made_anew_while_lines_need_it(kept: AuditLog, content: bytes | None) -> None:
    kept.key_file.unlink()
    if content is not None:
        kept.key_file.write_bytes(content)
        kept.key_file.chmod(0o600)
    assert "Without the log and its key nothing can be said." in refusal(kept.verify)
    said = refusal(partial(kept.decided, ENTRY))
    assert "audit.key, is lost or damaged. Put it back, or move audit.jsonl and audit.jsonl.head away" in said
    kept.path.rename(kept.path.with_name("old"))
    kept.head_file.unlink()
    assert record(kept) == 1
    assert kept.verify() == []


def test_another_key_in_its_place_is_noticed_and_the_log_goes_on(kept: AuditLog) -> None:
    kept.key_file.write_bytes(b"x" * 32)
    assert [(each.kind, each.line) for each in kept.verify()] == [("not intact", 1)]
    assert "written with another key" in str(kept.verify()[0])
    record(kept)
    assert kinds(kept.verify()) == ["not intact"]
    assert len(kept.calls()) == 1


# Hands in the file, while a server goes on


def cut_the_tail(log: AuditLog) -> None:
    log.path.write_bytes(b"".join(lines_of(log)[:4]))


def cut_inside_a_line(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-100])


def empty(log: AuditLog) -> None:
    log.path.write_bytes(b"")


def delete(log: AuditLog) -> None:
    log.path.unlink()


def delete_the_head(log: AuditLog) -> None:
    log.head_file.unlink()


def delete_the_head_and_cut(log: AuditLog) -> None:
    delete_the_head(log)
    cut_the_tail(log)


def spoil_the_head(log: AuditLog) -> None:
    log.head_file.write_bytes(log.head_file.read_bytes().replace(b'"seq":6', b'"seq":4'))


def spoil_the_head_and_empty(log: AuditLog) -> None:
    spoil_the_head(log)
    empty(log)


def add_a_line(log: AuditLog) -> None:
    with log.path.open("ab") as file:
        file.write(JUNK + b"\n")


def change_a_line_in_the_middle(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes().replace(b'"seq":3', b'"seq":8'))


def change_the_last_line(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes().replace(b"r-1", b"r-2"))


@pytest.mark.parametrize(
    ("deed", "line"),
    [
        (cut_the_tail, 5),
        (cut_inside_a_line, 6),
        (empty, 1),
        (delete, 1),
        (delete_the_head, 0),
        (delete_the_head_and_cut, 0),
        (spoil_the_head, 0),
        (spoil_the_head_and_empty, 0),
        (add_a_line, 7),
        (change_a_line_in_the_middle, 3),
        (change_the_last_line, 2),
    ],
)
def test_the_log_goes_on_after_a_hand_in_it_and_never_forgets(
    kept: AuditLog, deed: Callable[[AuditLog], None], line: int
) -> None:
    deed(kept)
    assert ("not intact", line) in [(each.kind, each.line) for each in kept.verify()]
    before = kept.path.read_bytes() if kept.path.exists() else b""
    for _ in range(2):
        record(kept)
        assert "not intact" in kinds(kept.verify())
    assert kept.path.read_bytes().startswith(before)
    assert all(call.finished for call in kept.calls()[-2:])


def test_an_old_head_put_back_is_noticed(kept: AuditLog) -> None:
    old = kept.head_file.read_bytes()
    for _ in range(2):
        record(kept)
    kept.head_file.write_bytes(old)
    assert kinds(kept.verify()) == ["not intact"]
    record(kept)
    assert kinds(kept.verify()) == ["not intact"]


def test_a_tail_that_was_cut_off_stays_noticed_and_no_number_is_given_twice(kept: AuditLog) -> None:
    cut_the_tail(kept)
    assert list(map(str, kept.verify())) == ["line 5: not intact: lines are missing at the end"]
    assert record(kept) == 8
    assert [str(each) for each in kept.verify()] == [
        "line 5: not intact: here a line was changed, added, moved or removed, or written with another key"
    ]


def test_a_log_put_aside_with_its_head_can_still_be_checked_and_the_next_begins_at_one(kept: AuditLog) -> None:
    pending = kept.decided(ENTRY)
    old = log_at(kept.path.with_name("audit-2026-03.jsonl"))
    kept.path.rename(old.path)
    kept.head_file.rename(old.head_file)
    kept.finished(pending, DONE)
    assert kept.verify() == []
    assert [record(kept) for _ in range(4)] == [2, 4, 6, 8]
    kept.decided(ENTRY)
    assert kinds(kept.verify()) == ["unfinished"]
    assert kinds(old.verify()) == ["unfinished"]
    assert len(old.calls()) == 4


def test_an_outcome_of_an_earlier_log_says_nothing_about_this_one(log: AuditLog) -> None:
    log.finished(2, DONE)
    assert log.decided(ENTRY) == 2
    assert kinds(log.verify()) == ["unfinished"]
    log.finished(2, DONE)
    assert log.verify() == []


@pytest.mark.parametrize("seed", range(12))
def test_no_call_hides_what_was_done_to_the_log_before(log: AuditLog, seed: int) -> None:
    random = Random(seed)  # noqa: S311
    for _ in range(3):
        record(log)
    data = log.path.read_bytes()
    place = random.randrange(len(data) - 1)
    spoilt = [data[:place], data[:place] + data[place + 1 :], data[:place] + b"\0" + data[place:], data[place:]]
    log.path.write_bytes(random.choice(spoilt))
    record(log)
    assert "not intact" in kinds(log.verify())


def test_each_line_goes_to_standard_error_too_where_the_operator_wants_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("delete_cluster", "destroy", "ann", {"password": "hunter2"})
    for wanted in (False, True):
        log = audit_from(SimpleNamespace(audit_log=tmp_path / str(wanted) / "audit.jsonl", audit_stderr=wanted))
        log.finished(log.decided(entry), Outcome("succeeded"))
        assert capsys.readouterr().err == (log.path.read_text() if wanted else "")
    assert "hunter2" not in log.path.read_text()
    monkeypatch.setattr("sys.stderr", None)
    log.refused(entry, "no")
    assert len(log.path.read_text().splitlines()) == 3
