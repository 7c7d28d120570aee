"""The event loop goes on while another program keeps a file of ours locked: others' calls are answered meanwhile.

It measures time, so it runs alone (`make test` starts it after the other tests), and against an idle loop of the same
test: what else the machine does slows both.
"""

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent
from consenting import Scene, Scenes, answer_to, leg, question_of
from guarded import Person
from mcp_types import CallToolResult

from ap_mcp.operation_tools import TOKEN

pytest_plugins = ["consent_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.serial]

TOOL = "delete_cluster"
LOCKED_SECONDS = 1.0
"""How long a file is kept locked: longer than any pause of a loop that goes on, shorter than callers wait for it."""
MORE_SECONDS = LOCKED_SECONDS / 2
"""By how much the longest pause may exceed that of an idle loop; a loop that waits for the file stands still longer."""
BEAT_SECONDS = 0.005
BETWEEN_READS = 0.1

HOLD_STORE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
"""
HOLD_AUDIT = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
"""
UNTIL_RELEASED = """
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def locked(program: str, path: Path) -> Iterator[Callable[[], None]]:
    """Have another process keep a file locked; it releases the file when what this yields is called, or at the end."""
    command = [sys.executable, "-c", program + UNTIL_RELEASED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "held\n"
        yield process.stdin.close
        process.stdin.close()


async def longest_pause(work: Callable[[], Awaitable[object]]) -> float:
    """Return the longest time in seconds that a loop did nothing else for, while something is done on it."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await anyio.sleep(BEAT_SECONDS)
            longest = max(longest, time.perf_counter() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        await work()
        group.cancel_scope.cancel()
    return longest


async def stays_responsive(agent: Agent, program: str, path: Path, guarded: Callable[[], Awaitable[object]]) -> None:
    """Make a guarded call while a file is locked, and others' reads meanwhile; the loop must not wait for the file."""
    answered: list[str] = []

    async def call() -> None:
        await guarded()
        answered.append("guarded")

    async def work(release: Callable[[], None]) -> None:
        end = time.perf_counter() + LOCKED_SECONDS
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            while time.perf_counter() < end:
                await agent.call("get_quotas")
                answered.append("read")
                await anyio.sleep(BETWEEN_READS)
            assert set(answered) == {"read"}
            release()

    idle = await longest_pause(partial(anyio.sleep, LOCKED_SECONDS))
    with locked(program, path) as release:
        pause = await longest_pause(partial(work, release))
    assert answered[-1] == "guarded"
    assert pause < idle + MORE_SECONDS


def files(scene: Scene) -> dict[str, tuple[str, Path]]:
    """For each file that guarded calls use, what keeps it locked, and its path; the files are made."""
    scene.store.pending(scene.clock())
    state = scene.folder / "state"
    (state / "audit.key").touch(mode=0o600)
    return {"store": (HOLD_STORE, state / "approvals.db"), "audit": (HOLD_AUDIT, state / "audit.key")}


FORM, LEGS, TOKENS, APPROVAL = "form", "form between two legs", "token", "approval"


@pytest.mark.parametrize(
    ("channel", "file"), [*((channel, "store") for channel in (FORM, LEGS, TOKENS, APPROVAL)), (FORM, "audit")]
)
async def test_a_locked_file_does_not_stop_the_loop(scene_for: Scenes, channel: str, file: str) -> None:
    scene = scene_for(TOOL, "legacy" if channel == FORM else "auto")
    confirm = channel if channel in (TOKENS, APPROVAL) else "human"
    held = files(scene)[file]
    async with scene.connect(Person() if confirm == "human" else None, confirm=confirm) as agent:
        guarded: Callable[[], Awaitable[object]]
        if channel == LEGS:
            guarded = partial(answered, agent, scene, answer_to(await question_of(agent, scene)))
        elif channel == TOKENS:
            guarded = partial(scene.done, agent, **{TOKEN: await scene.token(agent)})
        else:
            if channel == APPROVAL:
                scene.decide(await scene.waits(agent))
            guarded = partial(scene.done, agent)
        await stays_responsive(agent, *held, guarded)


async def answered(agent: Agent, scene: Scene, answer: dict[str, Any]) -> None:
    """Send the second leg of a call, which must now go through."""
    scene.sent.append(scene.tool)
    result = await leg(agent, scene, **answer)
    assert isinstance(result, CallToolResult)
    assert not result.is_error
