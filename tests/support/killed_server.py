"""A server that makes approved calls one after another until it is killed: `killed_server.py URL FOLDER NUMBER COUNT`.

Calls are those of `call_number`; what is sent goes into a file, a line each, as a cloud would see it.
"""

import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random

import anyio
from approving import APPROVERS
from confirming import DELETE

from ap_mcp.errors import ApprovalRequired, ConsentDeclined
from ap_mcp.guard.audit import log_at
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.consent import Confirmer
from ap_mcp.guard.guarding import Guard, cleared_by
from ap_mcp.guard.policy import Ask, Policy
from ap_mcp.guard.requests import Request, digest_of
from ap_mcp.guard.seal import Sealer
from ap_mcp.state.redis import RedisStore
from ap_mcp.state.redis_link import RedisLink

PRINCIPALS = 8
"""So many share the calls, for each may have a hundred questions open."""


def call_number(number: int) -> tuple[Request, Caller]:
    """The request of one call, and who makes it."""
    arguments = {"cluster_id": f"{number}"}
    return replace(DELETE, arguments=arguments, digest=digest_of(arguments, {})), Caller(f"ivan-{number % PRINCIPALS}")


def guard_on(store: RedisStore, log: Path) -> Guard:
    """What decides on a server."""
    confirmer = Confirmer("approval", Sealer(b"k" * 32), store, APPROVERS, store.now)
    return Guard(Policy(), "approval", lambda: confirmer, lambda: log_at(log))


async def make(guard: Guard, number: int, sent: int) -> None:
    """Make one call, as the server does."""
    request, caller = call_number(number)

    async def read_again(at: datetime | None) -> Request:
        return request if at is None else replace(request, shown_at=at)

    consent = await guard.consent(Ask("destroy"), request, caller, read_again)
    assert not isinstance(consent, AskBack)
    cleared = cleared_by(consent)
    async with guard.sending(cleared, cleared.calls[0], caller) as sending:
        os.write(sent, f"{number} {cleared.used}\n".encode())
        sending.succeeded("request")


async def serve(url: str, folder: Path, name: str, count: int) -> None:
    store = RedisStore(RedisLink(url))
    await store.time()
    guard = guard_on(store, folder / name / "audit.jsonl")
    sent = os.open(folder / "sent", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    print("ready", flush=True)  # noqa: T201 - what the test waits for
    numbers = list(range(count))
    Random(os.getpid()).shuffle(numbers)  # noqa: S311 - no secret
    for number in numbers:
        with suppress(ApprovalRequired, ConsentDeclined):  # another one was faster, or was killed
            await make(guard, number, sent)
    await store.close()


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
