"""An audit log that is lost, or cut together with its head, is reported by what servers have noted in Redis."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result
from consenting import Scenes
from pydantic import SecretStr
from redis_fake import FakeRedis, in_a_thread

from ap_mcp.cli import main
from ap_mcp.guard.audit import AuditLog, Entry, Outcome, log_at
from ap_mcp.guard.audit_heads import AuditHead, Extent, lost_lines
from ap_mcp.state.redis_heads import AuditHeads
from ap_mcp.state.redis_link import RedisLink

pytest_plugins = ["consent_fixtures"]

ENTRY = Entry("delete_cluster", "destroy", "token:ann")


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def url(redis: FakeRedis, tmp_path: Path) -> Iterator[str]:
    with in_a_thread(redis, tmp_path) as found:
        yield found


@pytest.fixture
def log(own_home: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> AuditLog:
    """A log of two lines that is noted."""
    monkeypatch.setenv("AP_MCP_REDIS_URL", url)
    path = own_home / "state" / "audit.jsonl"
    monkeypatch.setenv("AP_MCP_AUDIT_LOG", str(path))
    log = log_at(path)
    add(log)
    note(url, log)
    return log


def add(log: AuditLog) -> None:
    log.finished(log.decided(ENTRY), Outcome("succeeded"))


def note(url: str, log: AuditLog, host: str = "") -> None:
    anyio.run(AuditHeads(RedisLink(url, keeps=False), host).note, log)


def noted(url: str) -> list[AuditHead]:
    return anyio.run(AuditHeads(RedisLink(url, keeps=False)).all)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def test_a_log_that_is_as_long_as_it_was_noted_or_longer_is_intact(log: AuditLog, url: str) -> None:
    assert run("verify").output.endswith("1 call, intact.\n")
    add(log)
    assert run("verify").exit_code == 0
    [head] = noted(url)
    assert (head.extent, head.path) == (log.extent() and Extent(head.extent.id, 2), str(log.path))


def test_a_log_that_was_cut_together_with_its_head_is_reported(log: AuditLog, url: str) -> None:
    kept = {path: path.read_bytes() for path in (log.path, log.head_file)}
    add(log)
    note(url, log)
    for path, content in kept.items():
        path.write_bytes(content)
    assert log.verify() == []
    done = run("verify")
    assert done.exit_code == 1
    assert "log: lost: it had 4 lines (last noted at " in done.output
    assert "and has 2: lines are missing at the end" in done.output
    assert f"{log.path} is not intact." in done.output


@pytest.mark.parametrize("begun_anew", [False, True])
def test_a_log_that_is_gone_is_reported_until_it_is_forgotten(log: AuditLog, url: str, begun_anew: bool) -> None:
    for path in (log.path, log.head_file, log.key_file):
        path.unlink()
    if begun_anew:
        add(log)
        note(url, log)
    done = run("verify")
    assert done.exit_code == 1
    assert "log: lost: another log stood here, of 2 lines" in done.output
    forget = done.output.partition("ap-mcp audit ")[2].partition(". ")[0].split()
    assert run(*forget).output == f"Forgotten: {forget[1]}.\n"
    assert run("verify").exit_code == 0
    again = run(*forget)
    assert (again.exit_code, "Redis knows of no log" in again.output) == (2, True)


def test_a_log_that_was_put_aside_is_intact_where_it_is_now(log: AuditLog) -> None:
    aside = log_at(log.path.with_name("old.jsonl"))
    log.path.rename(aside.path)
    log.head_file.rename(aside.head_file)
    assert run("verify", "--log", str(aside.path)).exit_code == 0
    assert "another log stood here" in run("verify").output


def test_the_logs_of_other_machines_are_no_matter_here(log: AuditLog, url: str, tmp_path: Path) -> None:
    other = log_at(tmp_path / "other" / "audit.jsonl")
    add(other)
    note(url, other, "another-host")
    assert run("verify").exit_code == 0
    assert len(noted(url)) == 2
    elsewhere = AuditHead(Extent("0" * 16, 9), "another-host", str(log.path), "")
    assert lost_lines([elsewhere], "this-host", str(log.path), log.extent()) == []


def test_what_is_noted_never_goes_back(log: AuditLog, redis: FakeRedis, url: str) -> None:
    add(log)
    note(url, log)
    extent = log.extent()
    assert extent
    redis.do([b"ZADD", b"ap-mcp:1:audit:lines", b"GT", b"1", extent.id.encode()])
    assert [head.extent.lines for head in noted(url)] == [4]


def test_what_somebody_else_wrote_is_passed_over(log: AuditLog, redis: FakeRedis, url: str) -> None:
    for name, about in ((b"nonsense", b"{}"), (b"f" * 16, b"[]"), (b"\xff" * 16, b'{"host":"h","path":"p","at":"a"}')):
        redis.do([b"ZADD", b"ap-mcp:1:audit:lines", b"3", name])
        redis.do([b"HSET", b"ap-mcp:1:audit:logs", name, about])
    redis.do([b"ZADD", b"ap-mcp:1:audit:lines", b"3", b"e" * 16])
    named = b'{"host":"h","path":"p","at":"a"}'
    redis.do([b"ZADD", b"ap-mcp:1:audit:lines", b"3", b"no id"])
    redis.do([b"HSET", b"ap-mcp:1:audit:logs", b"no id", named])
    redis.do([b"ZADD", b"ap-mcp:1:audit:lines", b"inf", b"a" * 16])
    redis.do([b"HSET", b"ap-mcp:1:audit:logs", b"a" * 16, named])
    assert len(noted(url)) == 1
    assert run("verify").exit_code == 0


@pytest.mark.usefixtures("url")
def test_while_redis_is_down_nothing_counts_as_verified_and_it_says_what_is_not_known(
    log: AuditLog, redis: FakeRedis
) -> None:
    redis.broken = "LOADING Redis is loading the dataset in memory"
    done = run("verify")
    assert done.exit_code == 1
    assert "Whether lines are missing that were noted in Redis is not known" in done.stdout
    assert done.stdout.endswith("1 call, intact in itself, but not verified: Redis could not be asked.\n")
    log.path.write_text(log.path.read_text().replace("delete", "create", 1))
    changed = run("verify")
    assert (changed.exit_code, "is not intact" in changed.stdout, "is not known" in changed.stdout) == (1, True, True)


def test_a_head_that_cannot_be_noted_is_said_once_and_holds_nothing_up(
    log: AuditLog, redis: FakeRedis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def twice() -> None:
        heads = AuditHeads(RedisLink(url, keeps=False))
        redis.broken = "LOADING Redis is loading the dataset in memory"
        await heads.note(log)
        await heads.note(log)
        redis.broken = ""
        await heads.note(log)
        redis.broken = "LOADING Redis is loading the dataset in memory"
        await heads.note(log)

    anyio.run(twice)
    assert [each.message for each in caplog.records if "could not be noted" in each.message] != []
    assert len([each for each in caplog.records if "could not be noted" in each.message]) == 2


def test_forgetting_needs_redis(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AP_MCP_REDIS_URL")
    done = run("forget", "0" * 16)
    assert (done.exit_code, "AP_MCP_REDIS_URL is not set" in done.output) == (2, True)


def test_a_log_without_lines_or_with_a_line_of_somebody_else_has_no_extent(log: AuditLog, tmp_path: Path) -> None:
    assert log_at(tmp_path / "none" / "audit.jsonl").extent() is None
    log.path.write_bytes(b"nonsense\n" + log.path.read_bytes())
    assert log.extent() is None


@pytest.mark.anyio
async def test_a_server_notes_its_log_once_a_call_was_refused_or_made(
    scene_for: Scenes, url: str, redis: FakeRedis
) -> None:
    scene = scene_for("delete_cluster")
    async with scene.connect(confirm="deny", redis_url=SecretStr(url)) as agent:
        await agent.fail(scene.tool, **scene.arguments)
        [head] = await agent.autopilot.shared.heads.all()  # type: ignore[union-attr]
        assert head.extent.lines == 1
