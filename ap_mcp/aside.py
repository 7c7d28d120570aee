"""Works on what is large beside the event loop, so that the server goes on meanwhile.

In seconds where there are megabytes: in a thread, and what is larger, whose single steps would keep the other threads
waiting, in a process.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anyio import BrokenWorkerProcess, CapacityLimiter, to_process, to_thread

from ap_mcp.fairness import FairShare

IN_A_THREAD, IN_A_PROCESS = 32 * 1024, 256 * 1024
"""Bytes of data from which on it is worked on there."""
_PROCESSES = FairShare(max(2, os.cpu_count() or 2))

T = TypeVar("T")


async def aside(work: Callable[[], T], size: int) -> T:
    """Return what some work comes to, without keeping the event loop from other work.

    Args:
        work: to do; it can be sent to another process, as can what it returns.
        size: how many bytes it works on.
    """
    if size < IN_A_THREAD:
        return work()
    if size >= IN_A_PROCESS:
        # Where no process can be started, or it was ended, others wait somewhat longer for a thread.
        with suppress(BrokenWorkerProcess, OSError):
            async with _PROCESSES.turn():
                return await to_process.run_sync(work, cancellable=True, limiter=CapacityLimiter(1))
    return await to_thread.run_sync(work)
