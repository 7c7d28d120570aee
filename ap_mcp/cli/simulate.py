"""`ap-mcp simulate`: the simulator over HTTP, for other programs."""

import logging
import shlex

import click

from ap_mcp.cli.options import exits, speed_option

REAL_TIME = 1.0


@click.command(short_help="Serve a simulated Autopilot and IAM to other programs.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen; 0 takes any free port.")
@speed_option(REAL_TIME)
@exits
def simulate(port: int, speed: float | None) -> None:
    """Serve a simulated Autopilot and IAM on this machine until interrupted.

    Prints one `export NAME=value` line per variable once it answers: eval them, and ap-mcp or the official SDK
    goes there.
    """
    from ap_mcp.simulator.clock import ScaledClock
    from ap_mcp.simulator.seed import seeded_world
    from ap_mcp.simulator.serving import serve

    speed = speed or REAL_TIME

    def announce(exports: dict[str, str]) -> None:
        for name, value in exports.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo(f"Simulated account ready; time runs {speed:g} times as fast. Stop with Ctrl-C.", err=True)

    # kubectl exec wants WebSockets, which are refused here: uvicorn would advise to install a library for them.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        serve(seeded_world(ScaledClock(speed)), port, announce=announce)
    except OSError as error:
        raise click.UsageError(f"port {port} cannot be used: {error.strerror}") from error
