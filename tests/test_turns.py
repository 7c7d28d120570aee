"""Those who are served take turns at the event loop: what one of them asks for does not put off the others' calls."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import count
from typing import Any

import pytest

from ap_mcp.calling import Calling, working_on
from ap_mcp.web.turns import FIRST_SECONDS, FairLoop

STEPS = 20
FLOOD = 50


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock by which so much time passes between any two looks at it."""
    return partial(next, count(0.0, seconds))


def looped(work: Coroutine[Any, Any, None], seconds: float = FIRST_SECONDS / STEPS / 2) -> None:
    """Run on a loop by whose clock each step takes so long: by default a piece of work of all its steps one turn."""
    with asyncio.Runner(loop_factory=partial(FairLoop, ticking(seconds))) as runner:
        runner.run(work)


async def worked(who: str, done: list[str], steps: int = STEPS) -> None:
    with working_on(Calling(who, is_shared=True)):
        for _ in range(steps):
            await asyncio.sleep(0)
        done.append(who)


def test_work_beside_a_flood_is_done_second_at_most() -> None:
    done: list[str] = []

    async def flooded() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(FLOOD):
                group.create_task(worked("ann", done))
            for _ in range(STEPS // 4):
                await asyncio.sleep(0)
            await group.create_task(worked("bob", done))
            assert done.index("bob") <= 1

    looped(flooded())
    assert done.count("ann") == FLOOD


@pytest.mark.parametrize("steps", [STEPS, 20 * STEPS])
def test_whoever_goes_on_alternates_with_all_others_who_do(steps: int) -> None:
    done: list[str] = []

    async def flooded() -> None:
        async with asyncio.TaskGroup() as group:
            for who in ("ann", "bob", "eve"):
                for _ in range(FLOOD if who == "ann" else 5):
                    group.create_task(worked(who, done, steps))

    looped(flooded())
    assert done[-FLOOD // 2 :] == ["ann"] * (FLOOD // 2)


def test_steps_for_one_principal_are_made_in_their_order_and_a_cancelled_one_not_at_all() -> None:
    made: list[int] = []

    async def scheduled() -> None:
        loop = asyncio.get_running_loop()
        with working_on(Calling("ann")):
            steps = [loop.call_soon(made.append, each) for each in range(STEPS)]
            steps[3].cancel()
            end = loop.create_future()
            loop.call_soon(end.set_result, None)
            await end

    looped(scheduled(), FIRST_SECONDS)
    assert made == [each for each in range(STEPS) if each != 3]


def test_a_step_that_fails_is_reported_and_those_behind_it_are_made() -> None:
    reported: list[Any] = []
    made: list[str] = []

    async def scheduled() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, about: reported.append(about["exception"]))
        with working_on(Calling("ann")):
            loop.call_soon(partial(int, "x"))
            loop.call_soon(made.append, "behind")
            await asyncio.sleep(0)

    looped(scheduled())
    assert [type(each) for each in reported] == [ValueError]
    assert made == ["behind"]


def test_ctrl_c_in_a_step_ends_the_loop_and_what_is_left_is_given_up() -> None:
    ended: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    async def left() -> None:
        with working_on(Calling("ann")):
            asyncio.get_running_loop().call_soon(interrupted)
            try:
                await asyncio.sleep(0)
                await asyncio.Event().wait()
            finally:
                ended.append("ann")

    with pytest.raises(KeyboardInterrupt):
        looped(left())
    assert ended == ["ann"]
