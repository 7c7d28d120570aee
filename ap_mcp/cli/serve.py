"""`ap-mcp serve`: the MCP server."""

import gc
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from ap_mcp import __version__
from ap_mcp.cli.options import exits, log_to_stderr, settings_options

WAITING = (
    "ap-mcp waits for an MCP client on standard input: a client starts it by itself, see README. "
    "To call a tool from here: ap-mcp call. Stop with Ctrl-C."
)

logger = logging.getLogger(__name__)


@click.command()
@click.option("--simulate", is_flag=True, help="Serve against a built-in simulator instead of the cloud.")
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="How fast simulated time runs; 60 if not given.")
@settings_options("toolsets", "read_only", "confirm", "files_dir")
@exits
def serve(*, simulate: bool, speed: float | None, **flags: Any) -> None:
    """Serve MCP on standard input and output."""
    if speed and not simulate:
        raise click.UsageError("--speed goes with --simulate only.")
    with ExitStack() as stack:
        with _nothing_collected():
            from functools import partial

            import anyio

            from ap_mcp.cli.connecting import SPEED, autopilot_for, simulated_autopilot
            from ap_mcp.protocol import serve_stdio
            from ap_mcp.settings import load_settings

        if simulate:
            from ap_mcp.simulator.clock import ScaledClock
            from ap_mcp.simulator.seed import seeded_world

            fast = speed or SPEED
            world = seeded_world(ScaledClock(fast))
            autopilot = stack.enter_context(simulated_autopilot(world, fast, **flags))
        else:
            autopilot = autopilot_for(load_settings(**flags))
        log_to_stderr(autopilot.settings.log_level)
        if sys.stdin is not None and sys.stdin.isatty():
            click.echo(WAITING, err=True)
        logger.info("%s serves on stdio; its cloud: %s", __version__, autopilot.settings.endpoint)
        # A thread that waits for standard input cannot be stopped: without this, Ctrl-C would wait with it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        anyio.run(partial(serve_stdio, autopilot))


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector away from imports: they make objects by the 100,000, and garbage hardly ever.

    Checking them again and again takes a seventh of the start, and once more in every later collection.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
