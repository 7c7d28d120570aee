"""`ap-mcp audit`: what a person or a script reads about the record of guarded calls."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ap_mcp.cli import main
from ap_mcp.guard.audit import AuditLog, Entry, Outcome, log_at

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditLog:
    """A log of two calls, one without outcome; it is the one the settings name."""
    path = tmp_path / "audit" / "audit.jsonl"
    monkeypatch.setenv("AP_MCP_AUDIT_LOG", str(path))
    monkeypatch.chdir(tmp_path)
    log = AuditLog(path, log_at(path).key_file, lambda: NOON)
    entry = Entry(
        tool="delete_cluster",
        effect="destroy",
        principal="alice",
        arguments={"cluster_id": "c-1"},
        client="agent 1.0",
        target='shop"\u202eprod\n',
        decision="policy.toml rule 2",
        channel="approval",
        approver="bob",
    )
    log.finished(log.decided(entry), Outcome("failed", "r-1", 'CCE said "no"\nand more'))
    log.decided(Entry("get_cluster_certificate", "secret", "alice"))
    return log


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def spoil(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes().replace(b"alice", b"carol", 1))


def test_verify_finds_an_untouched_log_intact(log: AuditLog) -> None:
    log.finished(3, Outcome("succeeded"))
    result = run("verify")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{log.path}: 2 calls, intact.\n"


def test_verify_names_a_call_without_outcome_and_raises_no_alarm(log: AuditLog) -> None:
    result = run("verify")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith(
        "line 3: unfinished: get_cluster_certificate, decided at 2026-03-01"
    )
    assert "the consent stays spent" in result.stdout


def test_verify_fails_when_a_line_was_changed(log: AuditLog) -> None:
    spoil(log)
    result = run("verify")
    assert result.exit_code == 1
    assert "line 1: not intact: here a line was changed, " in result.stdout
    assert result.stdout.splitlines()[-1] == f"{log.path} is not intact."


def test_verify_fails_when_it_cannot_judge(log: AuditLog) -> None:
    log.key_file.unlink()
    result = run("verify")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"The audit log {log.path} cannot be read: No such file or directory ({log.key_file})." in result.stderr


def test_another_log_is_checked_with_the_key_beside_it(log: AuditLog) -> None:
    old = log_at(log.path.with_name("old.jsonl"))
    log.path.rename(old.path)
    log.head_file.rename(old.head_file)
    assert "no guarded call was recorded yet." in run("verify").stdout
    assert "2 calls, intact." in run("verify", "--log", str(old.path)).stdout
    assert "get_cluster_certificate" in run("show", "--log", "audit/old.jsonl").stdout


def test_a_log_that_is_not_there_is_a_wrong_argument(log: AuditLog) -> None:
    result = run("verify", "--log", "nowhere.jsonl")
    assert result.exit_code == 2
    assert "there is no audit log" in result.stderr


def test_nothing_recorded_yet_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_AUDIT_LOG", str(tmp_path / "none" / "audit.jsonl"))
    monkeypatch.chdir(tmp_path)
    for command in ("verify", "show"):
        result = run(command)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"{tmp_path}/none/audit.jsonl: no guarded call was recorded yet.\n"
    assert json.loads(run("show", "--json").stdout) == []


def test_show_prints_calls_in_lines_that_cannot_be_forged(log: AuditLog) -> None:
    result = run("show")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        '1  2026-03-01T12:00:00.000Z  delete_cluster on "shop\'prod" (destroy) for "alice" through "agent 1.0"',
        '   {"cluster_id": "c-1"}',
        '   policy.toml rule 2, asked by approval, approved by "bob"',
        "   failed at 2026-03-01T12:00:00.000Z, request id r-1, \"CCE said 'no' and more\"",
        '3  2026-03-01T12:00:00.000Z  get_cluster_certificate (secret) for "alice"',
        "   outcome unknown: it was never recorded",
    ]


def test_show_gives_the_last_calls_as_data(log: AuditLog) -> None:
    calls = json.loads(run("show", "--json").stdout)
    assert [(call["seq"], call["tool"]) for call in calls] == [(1, "delete_cluster"), (3, "get_cluster_certificate")]
    assert calls[0]["outcome"]["result"] == "failed"
    assert calls[1]["outcome"] is None
    assert {"prev", "mac"}.isdisjoint(calls[0])
    assert json.loads(run("show", "--json", "--last", "1").stdout) == calls[1:]


def test_show_leaves_out_what_is_not_true_and_says_so(log: AuditLog) -> None:
    spoil(log)
    result = run("show")
    assert result.exit_code == 0
    assert "carol" not in result.stdout
    assert "is not intact: `ap-mcp audit verify` says from where on." in result.stderr


def test_show_says_when_the_log_cannot_be_read(log: AuditLog) -> None:
    log.key_file.unlink()
    result = run("show")
    assert result.exit_code == 4
    assert "Without the log and its key nothing can be said." in result.stderr
