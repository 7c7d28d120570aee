"""Wherever servers stop, and whatever their store loses, no consent lets two requests through, and each is audited."""

import os
from pathlib import Path
from random import Random

import anyio
import pytest
from redis_fake import FakeRedis
from stopping import LocalShelf, RedisShelf, Team

from ap_mcp.guard.consent import Mode

IS_THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
RUNS = 1000 if IS_THOROUGH else 30
"""Runs of each kind of store in each mode."""
POINTS = {f"{when} {what}" for what in ("take", "decided", "sending", "finished") for when in ("before", "after")}
MODES: tuple[Mode, ...] = ("approval", "human", "token")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["local", "redis"])
def test_no_consent_lets_two_requests_through_wherever_servers_stop(kind: str, mode: Mode, tmp_path: Path) -> None:
    sent, where = 0, set[str]()

    async def play() -> None:
        nonlocal sent
        for seed in range(RUNS):
            folder = tmp_path / f"run-{seed}"
            folder.mkdir()
            redis = FakeRedis()
            async with redis.served(tmp_path) as url:
                shelf = LocalShelf(folder) if kind == "local" else RedisShelf(redis, url)
                team = Team(folder, shelf, mode, Random(f"{mode} {seed}"))  # noqa: S311 - no secret
                redis.clock = lambda: team.time.timestamp()  # noqa: B023, PLW0108 - of this run, as it is then
                await team.play()
            sent += len(team.sent)
            where.update(team.where)

    anyio.run(play)
    assert sent > RUNS / 4
    assert where >= POINTS if IS_THOROUGH else len(where & POINTS) >= 3
