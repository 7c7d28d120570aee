"""Whether the process lives, and whether it can do its work, for whatever runs it: no more than that must know."""

import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

from anyio import connect_tcp, create_task_group, move_on_after, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ap_mcp.errors import ApMcpError
from ap_mcp.gateway import Gateway
from ap_mcp.guard.audit import AuditLog
from ap_mcp.server import Autopilot
from ap_mcp.setting_values import USUAL_PORTS

KEPT_SECONDS = 2.0
"""How long an answer stands: anybody may ask, as often as they like."""
CLOUD_KEPT_SECONDS = 30.0
CLOUD_SECONDS = 0.6
"""How long a cloud may take to accept a connection."""
PATIENCE = 0.7
"""Seconds that each check may take: what asks whether a server is ready gives up after one, mostly."""
IN_THE_LOG = "it failed; the log of the server says why"
NO_STORE = {"cache-control": "no-store"}

logger = logging.getLogger(__name__)


@dataclass
class Check:
    """One thing that must be so for this server to do its work.

    Attributes:
        name: what is checked, in a word.
        trouble: gives what is wrong, in words that anybody may read; an empty text if nothing is. What it raises goes
            to the log alone.
        decides: without it the server is not ready; else it is only reported.
        kept: seconds that its answer stands.
        patience: seconds that it may take.
    """

    name: str
    trouble: Callable[[], Awaitable[str]]
    decides: bool = True
    kept: float = KEPT_SECONDS
    patience: float = PATIENCE
    _last: tuple[float, str] | None = field(default=None, repr=False)
    _reported: str = field(default="", repr=False)

    async def run(self, now: float) -> str:
        """Return what is wrong, as it was found a moment ago."""
        if self._last is None or now - self._last[0] >= self.kept:
            found = f"no answer within {self.patience:g} s"
            try:
                with move_on_after(self.patience):
                    found = await self.trouble()
            except ApMcpError as error:
                found = IN_THE_LOG
                self._report(str(error))
            self._last = (now, found)
        return self._last[1]

    def _report(self, why: str) -> None:
        """Write why a check failed to the log, once for each reason that follows another."""
        if why != self._reported:
            self._reported = why
            logger.warning("Not ready (%s): %s", self.name, why)


def usual_checks(autopilot: Autopilot) -> list[Check]:
    """Return what every server over HTTP must have."""

    async def draining() -> str:
        return "it is about to end: no new calls are taken" if autopilot.draining else ""

    async def credentials() -> str:
        # A profile without credentials takes no other one away.
        errors = [error for each in autopilot.clouds.values() if (error := await _unconnected(each.gateway))]
        if len(errors) == len(autopilot.clouds):
            raise errors[0]
        return ""

    async def audit() -> str:
        return await to_thread.run_sync(_unwritable, autopilot.audit)

    async def cloud() -> str:
        found = dict.fromkeys(autopilot.clouds, "")

        async def ask(profile: str, endpoint: str) -> None:
            found[profile] = f"it takes no connection within {CLOUD_SECONDS:g} s"
            with move_on_after(CLOUD_SECONDS):
                found[profile] = await _unreachable(endpoint)

        async with create_task_group() as group:
            for profile, cloud in autopilot.clouds.items():
                group.start_soon(ask, profile, cloud.settings.endpoint or "")
        return "; ".join(f"{name}: {why}".removeprefix(": ") for name, why in found.items() if why)

    async def redis() -> str:
        if autopilot.shared is not None:
            await autopilot.shared.check()
        return ""

    # Without it guarded calls are refused, by all servers that share it: reads must go on.
    shared = [Check("redis", redis, decides=False)] if autopilot.shared is not None else []
    return [
        Check("running", draining, kept=0),
        Check("credentials", credentials),
        Check("audit", audit),
        *shared,
        # An outage of the cloud must not take the server away: what is kept, the page and the reasons stay useful.
        Check("cloud", cloud, decides=False, kept=CLOUD_KEPT_SECONDS),
    ]


def health_routes(checks: Iterable[Check], now: Callable[[], float] = monotonic) -> list[Route]:
    """Return `/healthz`, which says that the process lives, and `/readyz`, which says whether it can work.

    Args:
        checks: what must be so.
        now: a clock, in seconds.
    """
    every = list(checks)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n", headers=NO_STORE)

    async def readyz(_: Request) -> Response:
        found = dict.fromkeys([check.name for check in every], "")

        async def run(check: Check) -> None:
            found[check.name] = await check.run(now())

        async with create_task_group() as group:
            for check in every:
                group.start_soon(run, check)
        ready = not any(found[check.name] for check in every if check.decides)
        body = {"ready": ready, "checks": {name: trouble or "ok" for name, trouble in found.items()}}
        return JSONResponse(body, 200 if ready else 503, NO_STORE)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


def _unwritable(log: AuditLog) -> str:
    """Return why no line can be written to a log that may not be there yet; an empty text if one can."""
    path = log.path
    existing = next((each for each in (path, *path.parents) if os.path.exists(each)), path)  # noqa: PTH110 - never raises
    is_folder = os.path.isdir(existing)  # noqa: PTH112 - likewise
    needed = os.W_OK | os.X_OK if is_folder else os.W_OK
    if not os.access(existing, needed) or (existing != path and not is_folder):
        return "the audit log cannot be written; guarded calls are refused"
    if hasattr(os, "statvfs") and os.statvfs(existing).f_bavail == 0:
        return "there is no room for the audit log; guarded calls are refused"
    log.check()
    return ""


async def _unconnected(gateway: Gateway) -> ApMcpError | None:
    """Return why no client can be made for a cloud; None if one can."""
    try:
        await gateway.connect()
    except ApMcpError as error:
        return error
    return None


async def _unreachable(endpoint: str) -> str:
    """Return why a host takes no connection; an empty text if it does."""
    place = urlsplit(endpoint)
    if not place.hostname:
        return "no region and no endpoint is set"
    try:
        stream = await connect_tcp(place.hostname, place.port or USUAL_PORTS[place.scheme])
    except OSError:
        return "it takes no connection, unless it is reached through a proxy"
    await stream.aclose()
    return ""
