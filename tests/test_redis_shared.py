"""With AP_MCP_REDIS_URL, whatever asks and decides uses the same Redis; without what that needs, it says so."""

import builtins
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from approving import ALICE, MINUTE, PASSPHRASE, SECOND, question
from click.testing import CliRunner
from consenting import Scenes, text_in
from over_http import served
from pydantic import SecretStr
from redis_fake import FakeRedis, in_a_thread
from simulation import simulate

from ap_mcp.cli import main
from ap_mcp.errors import ApprovalsUnusable, SettingsError
from ap_mcp.guard import keys
from ap_mcp.guard.keys import init_key, sign
from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.settings import Settings
from ap_mcp.state.local import LocalStore
from ap_mcp.state.redis import RedisStore
from ap_mcp.state.redis_link import COMMANDS
from ap_mcp.state.shared import SharedState, store_from
from ap_mcp.web.metrics import Metrics

pytest_plugins = ["consent_fixtures"]

KEY = "a key that all servers of a test share"


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def url(redis: FakeRedis, tmp_path: Path) -> Iterator[str]:
    with in_a_thread(redis, tmp_path) as found:
        yield found


def settings(url: str | None, **more: Any) -> Settings:
    return Settings(redis_url=SecretStr(url) if url else None, **more)


# Choosing


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    assert isinstance(store_from(settings(None, approvals_db=tmp_path / "db")), LocalStore)
    assert isinstance(store_from(settings("redis://redis.example")), RedisStore)


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "ap_mcp.state.redis_link":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SettingsError, match=r"pip install 'ap-mcp\[redis\]'"):
        store_from(settings("redis://redis.example"))


async def checked(url: str, key: str | None = KEY) -> None:
    shared = SharedState(settings(url, state_key=SecretStr(key) if key else None))
    try:
        await shared.join()
    finally:
        await shared.close()


@pytest.mark.anyio
async def test_servers_that_share_redis_must_share_a_key() -> None:
    with pytest.raises(SettingsError, match="AP_MCP_REDIS_URL is set without AP_MCP_STATE_KEY"):
        await checked("redis://redis.example", None)


@pytest.mark.anyio
async def test_a_server_starts_only_if_redis_can_be_used(url: str, redis: FakeRedis, tmp_path: Path) -> None:
    await checked(url)
    redis.broken = "NOAUTH Authentication required."
    with pytest.raises(ApprovalsUnusable, match="user and password"):
        await checked(url)
    with pytest.raises(ApprovalsUnusable, match="no connection"):
        await checked(f"unix://{tmp_path}/none.sock")


@pytest.mark.parametrize("arguments", [["serve"], ["serve", "--simulate"], ["serve", "--http", "127.0.0.1:0"]])
def test_serving_ends_at_once_without_redis(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AP_MCP_METRICS", "127.0.0.1:0")
    monkeypatch.setenv("AP_MCP_REDIS_URL", f"unix://{tmp_path}/none.sock")
    done = CliRunner().invoke(main, arguments, input="")
    assert (done.exit_code, "without AP_MCP_STATE_KEY" in done.output) == (2, True)
    monkeypatch.setenv("AP_MCP_STATE_KEY", KEY)
    done = CliRunner().invoke(main, arguments, input="")
    assert (done.exit_code, "none.sock cannot be used" in done.output) == (4, True)


def test_the_documents_show_the_commands_that_are_used() -> None:
    text = (Path(__file__).parents[1] / "docs" / "operating.md").read_text(encoding="utf-8")
    assert " ".join(["~ap-mcp:1:*", "resetchannels", "-@all", *(f"+{name}" for name in COMMANDS)]) in text


# The whole way


@pytest.mark.anyio
async def test_a_question_of_one_server_is_approved_elsewhere_and_used_by_another(
    scene_for: Scenes, url: str, redis: FakeRedis
) -> None:
    scene = scene_for("delete_cluster")
    async with scene.connect(confirm="approval", redis_url=SecretStr(url)) as agent:
        said = text_in(await agent.client.call_tool(scene.tool, scene.arguments))
        assert "ap-mcp approvals" in said
    store = store_from(settings(url), keeps=False)
    scene.clock.pass_by(SECOND)
    [asked] = await store.pending(scene.clock())
    await store.decide(asked.code, sign(ALICE, asked, True, scene.clock()))
    scene.clock.pass_by(SECOND)
    async with scene.connect(confirm="approval", redis_url=SecretStr(url)) as agent:
        await scene.done(agent)
    [ended] = await store.history(scene.clock())
    assert (ended.question, ended.is_open) == (asked, False)
    assert "getdel" in redis.seen


@pytest.mark.anyio
async def test_while_redis_is_down_guarded_calls_are_refused_and_reads_go_on(
    scene_for: Scenes, url: str, redis: FakeRedis
) -> None:
    scene = scene_for("delete_cluster")
    async with scene.connect(confirm="approval", redis_url=SecretStr(url)) as agent:
        redis.broken = "LOADING Redis is loading the dataset in memory"
        said = text_in(await agent.client.call_tool(scene.tool, scene.arguments))
        assert "Redis at " in said
        assert "Guarded calls are refused" in said
        assert not (await agent.client.call_tool("list_clusters", {})).is_error
        redis.broken = ""
        assert "ap-mcp approvals" in text_in(await agent.client.call_tool(scene.tool, scene.arguments))


@pytest.mark.anyio
async def test_redis_that_is_down_is_reported_over_http_and_takes_no_server_away(
    url: str, redis: FakeRedis, tmp_path: Path
) -> None:
    async with served(simulate(), tmp_path, redis_url=SecretStr(url)) as frame, frame.by_hand() as http:
        assert (await http.get("/readyz")).json()["checks"]["redis"] == "ok"
    redis.broken = "LOADING Redis is loading the dataset in memory"
    async with served(simulate(), tmp_path, redis_url=SecretStr(url)) as frame, frame.by_hand() as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"]["redis"] == "it failed; the log of the server says why"


@pytest.mark.anyio
async def test_a_redis_that_answers_and_takes_nothing_is_reported(
    url: str, redis: FakeRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis.takes_nothing = "OOM command not allowed when used memory > 'maxmemory'."
    async with served(simulate(), tmp_path, redis_url=SecretStr(url)) as frame, frame.by_hand() as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"]["redis"] == "it failed; the log of the server says why"
        assert "its memory is full" in caplog.text
        assert b"ap_mcp_redis_up 0.0" in await Metrics(frame.autopilot).text()
        redis.takes_nothing = ""
        assert b"ap_mcp_redis_up 1.0" in await Metrics(frame.autopilot).text()


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, own_home: Path, url: str) -> None:
    """A user whose approvals are in Redis."""
    monkeypatch.setenv("AP_MCP_REDIS_URL", url)
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)
    init_key(own_home / ".config" / "ap-mcp", "alice", PASSPHRASE)


@pytest.mark.usefixtures("person")
def test_a_person_sees_and_decides_in_a_terminal_what_waits_in_redis(url: str, redis: FakeRedis) -> None:
    def run(*arguments: str, typed: str = "") -> str:
        done = CliRunner().invoke(main, ["approvals", *arguments], input=typed)
        assert done.exit_code == 0, done.output
        return done.output

    def put() -> str:
        now = datetime.now(UTC)
        made = question(created=now, expires=now + 15 * MINUTE)
        anyio.run(store_from(settings(url), keeps=False).ask, made)
        return made.code

    yes, no, gone = put(), put(), put()
    assert all(code in run("list") for code in (yes, no, gone))
    assert "Approved by alice, once" in run("approve", yes, typed=f"shop-prod\n{PASSPHRASE}\n")
    assert "Declined by alice" in run("decline", no, typed=f"{PASSPHRASE}\n")
    assert "Withdrawn: " in run("withdraw", gone)
    listed = run("list", "--all")
    assert [word in listed for word in ("approved by alice", "declined by alice", "withdrawn by")] == [True] * 3
    assert "Standing: approved by alice" in run("show", yes)
    redis.clock = lambda: wall_clock().timestamp() + 16 * 60
    assert "Standing: " in run("show", yes)
    assert "approved by" not in run("show", yes)
