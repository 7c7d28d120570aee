"""Works on what is large beside the event loop, so that the server goes on meanwhile.

In seconds where there are megabytes: in a thread, and what is larger, whose single steps would keep the other threads
waiting, in a process. What also awaits something has its own steps done in a thread, and the rest on the event loop;
in a call that has not read much, its steps as well: to change threads takes longer than most of them.
"""

import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Generic, ParamSpec, TypeVar

from anyio import BrokenWorkerProcess, CapacityLimiter, move_on_after, to_thread

from ap_mcp.errors import TooMuchWork
from ap_mcp.fairness import FairShare

IN_A_THREAD, IN_A_PROCESS = 32 * 1024, 256 * 1024
"""Bytes of data from which on it is worked on there."""
LONGEST = 60.0
"""Seconds that a process works on one thing: most clients wait no longer, and others wait for a process."""
A_VALUE = 32
"""Bytes that a value counts for, beside the characters of a text: each takes its time, however short it is."""
_THREADS = FairShare(4)
_PROCESSES = FairShare(max(2, os.cpu_count() or 2))

P = ParamSpec("P")
T = TypeVar("T")


class _Here(threading.local):
    """Where this thread is."""

    makes_steps = False
    """It makes a step of a coroutine."""
    is_aside = False
    """It does so beside the event loop."""


_here = _Here()


class _Amount:
    """How many bytes a call has worked on so far."""

    def __init__(self) -> None:
        self.bytes = 0


_amount: ContextVar[_Amount | None] = ContextVar("amount", default=None)


def has_much() -> bool:
    """Say whether what runs here has worked on much so far, or it is not known on how much."""
    amount = _amount.get()
    return amount is None or amount.bytes >= IN_A_THREAD


@contextmanager
def weighed() -> Iterator[None]:
    """Have what is worked on inside count together: while that is little, its steps are made on the event loop."""
    token = _amount.set(_Amount())
    try:
        yield
    finally:
        _amount.reset(token)


def weigh(size: int) -> None:
    """Count some bytes more that what runs here works on from now on."""
    if amount := _amount.get():
        amount.bytes += size


def on_the_loop(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have what an async function does done on the event loop, whoever awaits it."""

    @wraps(function)
    async def there(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _here.makes_steps:
            return await function(*args, **kwargs)
        wish: _Wish[T] = _Wish(partial(function, *args, **kwargs))
        return await wish

    return there


@on_the_loop
async def aside(work: Callable[[], T], size: int) -> T:
    """Return what some work comes to, without keeping the event loop from other work.

    Args:
        work: to do; it can be sent to another process, as can what it returns.
        size: how many bytes it works on.

    Raises:
        TooMuchWork: another process was not done with it in time.
    """
    if size >= IN_A_PROCESS:
        from anyio import to_process  # noqa: PLC0415 - no start waits for what few answers need

        # Where no process can be started, or it was ended, or what it works on is too deep to be sent, others wait
        # somewhat longer for a thread.
        with suppress(BrokenWorkerProcess, OSError, RecursionError):
            async with _PROCESSES.turn():
                with move_on_after(LONGEST):
                    return await to_process.run_sync(work, cancellable=True, limiter=CapacityLimiter(1))
                raise TooMuchWork(LONGEST)
    return await in_a_thread(work, size)


async def in_a_thread(work: Callable[[], T], size: int = IN_A_THREAD) -> T:
    """Return what some work comes to that cannot be sent to another process, as `aside` does."""
    if size < IN_A_THREAD or _here.is_aside:
        return work()
    if _here.makes_steps:
        wish: _Wish[T] = _Wish(partial(in_a_thread, work, size))
        return await wish
    async with _THREADS.turn():
        return await to_thread.run_sync(work)


async def steps_aside(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine comes to; its own steps are done in a thread, unless little is `weighed` until then.

    All that it awaits must be `on_the_loop`: in the thread there is none, so anything else fails.
    """
    if _here.makes_steps:
        return await work
    step: Callable[[], Any] = partial(work.send, None)
    amount = _amount.get()
    try:
        while True:
            size = IN_A_THREAD if amount is None else amount.bytes
            found = await in_a_thread(partial(_made, step, is_aside=size >= IN_A_THREAD), size)
            if isinstance(found, _End):
                return found.value  # type: ignore[no-any-return]
            try:
                answer = await found.make()
            except Exception as error:  # noqa: BLE001 - the coroutine is who awaits it
                step = partial(work.throw, error)
            else:
                step = partial(work.send, answer)
    finally:
        work.close()


def size_of(value: Any) -> int:
    """Return about how many bytes of JSON some data is, or the data of an object; of what is large only that it is."""
    size, left = 0, [value]
    while left and size < IN_A_PROCESS:
        each = left.pop()
        size += A_VALUE
        if each is None:  # as most fields of a result, of which to ask for the type takes long
            continue
        if isinstance(each, str):
            size += len(each)
        elif isinstance(each, Mapping):
            size += sum(map(len, each))
            left += each.values()
        elif isinstance(each, (list, tuple)):
            left += each
        else:
            left += getattr(each, "__dict__", {}).values()
    return size


class _End:
    """The end of a coroutine, and what it comes to."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Wish(Generic[T]):
    """What a coroutine wants to be awaited on the event loop."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self.make = make

    def __await__(self) -> Generator["_Wish[T]", T, T]:
        return (yield self)


def _made(step: Callable[[], Any], *, is_aside: bool) -> _Wish[Any] | _End:
    """Make a step of a coroutine; return what it awaits next, or its end."""
    _here.makes_steps, _here.is_aside = True, is_aside
    try:
        found = step()
    except StopIteration as end:
        return _End(end.value)
    finally:
        _here.makes_steps = _here.is_aside = False
    if not isinstance(found, _Wish):
        raise RuntimeError("what it awaits is not done on the event loop")  # noqa: TRY004 - whatever it is
    return found
