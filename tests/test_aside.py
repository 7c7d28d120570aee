"""Work beside the event loop: a coroutine's own steps are made in a thread, and what it awaits is done on the loop."""

import ast
import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from sources import modules

from ap_mcp import aside as aside_module
from ap_mcp.aside import (
    A_VALUE,
    IN_A_PROCESS,
    IN_A_THREAD,
    aside,
    in_a_thread,
    on_the_loop,
    size_of,
    steps_aside,
    weigh,
    weighed,
)
from ap_mcp.calling import Calling, working_on
from ap_mcp.errors import TooMuchWork

pytestmark = pytest.mark.anyio


@on_the_loop
async def answered(value: Any) -> tuple[Any, int]:
    """What a read returns, and in which thread it was made."""
    await anyio.lowlevel.checkpoint()
    if isinstance(value, Exception):
        raise value
    return value, threading.get_ident()


async def test_steps_are_made_in_a_thread_and_what_they_await_on_the_loop() -> None:
    async def work() -> list[Any]:
        found = [await answered(number) for number in range(3)]
        return [*found, threading.get_ident()]

    here = threading.get_ident()
    *awaited, there = await steps_aside(work())
    assert awaited == [(0, here), (1, here), (2, here)]
    assert there != here


async def test_what_fails_on_the_loop_fails_where_it_is_awaited_and_may_be_handled_there() -> None:
    async def work() -> str:
        try:
            await answered(KeyError("first"))
        except KeyError:
            await answered(ValueError("second"))
        return "not reached"

    with pytest.raises(ValueError, match="second"):
        await steps_aside(work())


async def test_steps_may_hand_on_to_others_that_are_made_aside_as_well() -> None:
    async def inner() -> Any:
        return await answered("inner"), await in_a_thread(threading.get_ident)

    async def work() -> Any:
        return await steps_aside(inner()), threading.get_ident()

    ((said, awaited), inside), there = await steps_aside(work())
    assert (said, awaited) == ("inner", threading.get_ident())
    assert inside == there


async def test_steps_are_made_in_a_thread_from_where_on_much_was_read() -> None:
    @on_the_loop
    async def read(size: int) -> None:
        weigh(size)

    async def work() -> list[int]:
        found = [threading.get_ident()]
        for _ in range(2):
            await read(IN_A_THREAD // 2)
            found.append(threading.get_ident())
        return found

    here = threading.get_ident()
    with weighed():
        *before, after = await steps_aside(work())
        further = await steps_aside(work())
    assert before == [here, here]
    assert after != here
    assert here not in further


async def test_a_single_large_work_of_small_steps_is_still_done_in_a_thread() -> None:
    async def work() -> tuple[int, int, int]:
        small, large = await in_a_thread(threading.get_ident, 10), await in_a_thread(threading.get_ident)
        return small, large, threading.get_ident()

    here = threading.get_ident()
    with weighed():
        small, large, after = await steps_aside(work())
    assert small == after == here
    assert large != here


@pytest.mark.parametrize("amount", [0, IN_A_THREAD])
async def test_what_is_not_done_on_the_loop_fails_at_once(amount: int) -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    with weighed():
        weigh(amount)
        with pytest.raises(RuntimeError, match="not done on the event loop"):
            await steps_aside(work())


def test_whatever_makes_several_reads_at_once_for_a_change_does_that_on_the_loop() -> None:
    places = {"kubernetes", "kubernetes/impacts", "guard/impacts", "filling"}
    found = {}
    for path, nodes in modules().items():
        if path.rpartition("/")[0] not in places and path != "parallel_reads.py":
            continue
        for each in nodes:
            if isinstance(each, ast.AsyncFunctionDef) and "create_task_group" in ast.unparse(each):
                found[path, each.name] = "on_the_loop" in map(ast.unparse, each.decorator_list)
    assert len(found) > 3
    assert [each for each, is_there in found.items() if not is_there] == []


async def test_a_call_that_is_given_up_makes_no_further_step() -> None:
    began, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    async def work() -> None:
        try:
            began.set()
            go_on.wait()
            done.append("the step that was being made")
            await answered("dropped")
            done.append("a further one")
        finally:
            done.append("left")

    async with anyio.create_task_group() as group:
        group.start_soon(steps_aside, work())
        await to_thread.run_sync(began.wait)
        group.cancel_scope.cancel()
        go_on.set()
    assert done == ["the step that was being made", "left"]


async def test_long_steps_of_one_principal_leave_a_turn_to_another() -> None:
    hold = threading.Event()

    async def long() -> None:
        hold.wait()

    async def call(principal: str, times: int) -> None:
        with working_on(Calling(principal, "", is_shared=True)):
            async with anyio.create_task_group() as calls:
                for _ in range(times):
                    calls.start_soon(steps_aside, long())

    async def short() -> str:
        return "done"

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(call, "ann", 10)
            await anyio.wait_all_tasks_blocked()
            with working_on(Calling("bob", "", is_shared=True)):
                assert await steps_aside(short()) == "done"
            hold.set()


@pytest.mark.parametrize(
    "large",
    [
        "a" * IN_A_PROCESS,
        {"a" * IN_A_PROCESS: 1},
        {"text": ["a" * (IN_A_PROCESS // 10)] * 10},
        dict.fromkeys(map(str, range(IN_A_PROCESS // A_VALUE))),
        [0] * (IN_A_PROCESS // A_VALUE),
    ],
    ids=["one text", "one name", "several texts", "many settings", "a long list"],
)
def test_what_is_large_counts_as_large_whatever_makes_it_so(large: Any) -> None:
    deep = large
    for _ in range(50):
        deep = {"below": [deep]}
    assert size_of(large) >= IN_A_PROCESS
    assert size_of(deep) >= IN_A_PROCESS
    assert size_of({"name": "web-0", "replicas": 3}) < 200


async def test_a_worker_ends_with_the_call_that_is_given_up() -> None:
    worker = await aside(os.getpid, IN_A_PROCESS)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(aside, partial(time.sleep, 60), IN_A_PROCESS)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()
    assert worker != os.getpid()
    assert not _lives(worker)


WITH_A_WORKER = """
import os, sys, time
from functools import partial
import anyio
from ap_mcp.aside import IN_A_PROCESS, aside

async def main():
    print(await aside(os.getpid, IN_A_PROCESS), flush=True)
    await aside(partial(time.sleep, 2), IN_A_PROCESS)

anyio.run(main)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_however_leaves_no_worker_behind(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WITH_A_WORKER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        assert worker != process.pid
        process.send_signal(how)
    ends = time.monotonic() + 20
    while _lives(worker):
        assert time.monotonic() < ends, "the worker is still there"
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # Whoever takes over orphans may not ask how they ended.
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


async def test_work_that_takes_a_process_too_long_is_stopped_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside_module, "LONGEST", 0.05)
    with pytest.raises(TooMuchWork, match="Ask for less of it"):
        await aside(partial(time.sleep, 60), IN_A_PROCESS)
    assert await aside(partial(str, 5), 0) == "5"
