"""The `ap-mcp` command: one file per group of commands, imported when called, because clients wait for the start."""

import atexit
import gc
from importlib import import_module

import click

from ap_mcp import __version__

COMMANDS = ("serve", "call", "tools", "approvals", "audit", "policy", "simulate", "demo", "specs", "docs")
"""Each in the module of its name."""


class Lazy(click.Group):
    """A group whose commands are imported when somebody asks for them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command by its name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ap-mcp")
def main() -> None:
    """Operate Huawei Cloud CCE Autopilot clusters through the Model Context Protocol."""


# What is left goes with the process; to search it for garbage first would take a quarter of the time of a call.
atexit.register(gc.freeze)
