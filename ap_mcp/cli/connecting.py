"""How the commands reach a cloud: the real one, or a simulator served by this process."""

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudClient
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.simulator.world import World

SPEED = 60.0
SHORTEST_SLEEP = 0.2
NOTICE = "SIMULATED: no cloud is touched, and time runs {speed:g} times as fast."


def autopilot_for(settings: "Settings", *, remote: bool = False) -> "Autopilot":
    """Return what runs tools against the cloud of the settings; it connects at the first call that needs to.

    Args:
        settings: what the operator chose.
        remote: its callers are on other machines.
    """
    from ap_mcp.server import Autopilot

    return Autopilot(settings, _connector(settings), remote=remote)


@contextmanager
def simulated_autopilot(
    world: "World",
    speed: float = SPEED,
    *,
    prepare: "Callable[[Settings], Settings] | None" = None,
    **flags: Any,
) -> Iterator["Autopilot"]:
    """Yield what runs tools against a simulator, which is served over HTTP on a free port of this machine.

    Args:
        world: the simulated account.
        speed: how fast its time runs.
        prepare: returns settings as they hold for what serves; callers are on other machines if that is over HTTP.
        flags: of the command line, by setting.
    """
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import load_settings
    from ap_mcp.simulator.app import build_app
    from ap_mcp.simulator.faults import Faults
    from ap_mcp.simulator.serving import exports, running

    faults = Faults.from_environment(os.environ)
    with running(build_app(world, faults=faults, strict_answers=False)) as base_url:
        environment = exports(base_url)
        ours = ("AP_MCP_ENDPOINT", "AP_MCP_IAM_ENDPOINT", "AP_MCP_REGION")
        own = {name.removeprefix("AP_MCP_").lower(): environment[name] for name in ours}
        settings = load_settings(**{**flags, **own})
        click.echo(NOTICE.format(speed=speed), err=True)
        settings = settings if prepare is None else prepare(settings)
        remote = prepare is not None and settings.http is not None
        connect, sleep = _connector(settings, environment), _shortened_sleep(speed)
        yield Autopilot(settings, connect, simulated=True, remote=remote, sleep=sleep)


def state_file() -> Path:
    """Return where `call --simulate` keeps its account by default."""
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder) / "ap-mcp" / "simulator.json"


def _shortened_sleep(speed: float) -> "Callable[[float], Awaitable[None]]":
    """Return a sleep for simulated time: a wait reads more often, and still lasts no longer than it was asked to."""
    import anyio

    async def sleep(seconds: float) -> None:
        await anyio.sleep(max(seconds / speed, min(seconds, SHORTEST_SLEEP)))

    return sleep


def _connector(
    settings: "Settings", environment: Mapping[str, str] | None = None
) -> "Callable[[], Awaitable[CloudClient]]":
    async def connect() -> "CloudClient":
        # Imported at the first call only: httpx would cost the start of every server a fifth of a second.
        from ap_mcp.cloud.client import CloudClient
        from ap_mcp.credentials import find_credentials

        return CloudClient(settings, find_credentials(os.environ if environment is None else environment))

    return connect
