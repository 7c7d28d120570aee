"""`ap-mcp serve`: the MCP server."""

import signal
from contextlib import ExitStack
from typing import Any

import click

from ap_mcp.cli.options import exits, log_to_stderr, settings_options


@click.command()
@click.option("--simulate", is_flag=True, help="Serve against a built-in simulator instead of the cloud.")
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="How fast simulated time runs; 60 if not given.")
@settings_options("toolsets", "read_only", "confirm", "files_dir")
@exits
def serve(*, simulate: bool, speed: float | None, **flags: Any) -> None:
    """Serve MCP on standard input and output."""
    from functools import partial

    import anyio

    from ap_mcp.cli.connecting import SPEED, autopilot_for, simulated_autopilot
    from ap_mcp.protocol import serve_stdio
    from ap_mcp.settings import load_settings

    if speed and not simulate:
        raise click.UsageError("--speed goes with --simulate only.")
    with ExitStack() as stack:
        if simulate:
            from ap_mcp.simulator.clock import ScaledClock
            from ap_mcp.simulator.seed import seeded_world

            fast = speed or SPEED
            world = seeded_world(ScaledClock(fast))
            autopilot = stack.enter_context(simulated_autopilot(world, fast, **flags))
        else:
            autopilot = autopilot_for(load_settings(**flags))
        log_to_stderr(autopilot.settings.log_level)
        # A thread that waits for standard input cannot be told to stop: without this, Ctrl-C would wait with it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        anyio.run(partial(serve_stdio, autopilot))
