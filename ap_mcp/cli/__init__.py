"""The `ap-mcp` command: one file per group of commands, imported when called, because clients wait for the start."""

import atexit
import gc
import os
from importlib import import_module
from typing import Any

import click

from ap_mcp import __version__
from ap_mcp.cli.outcomes import SERVES, WANTS_JSON, refuse_closed_output, reported, wants_json, write_anything

COMMANDS = (
    *("serve", "call", "tools", "doctor", "approvals", "audit", "policy", "token", "simulate", "demo", "specs", "docs"),
)
"""Each in the module of its name."""
COMPLETION = "_AP_MCP_COMPLETE"
"""The variable by which a shell asks for completion."""


class Lazy(click.Group):
    """A group whose commands are imported when somebody asks for them, and whose outcome is always reported."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line."""
        write_anything()
        as_json = wants_json(args)
        serves = args[:1] == ["serve"]
        with reported(as_json=as_json, serves=serves):
            if args[:1] not in (["serve"], ["simulate"]):
                refuse_closed_output()
            context = super().make_context(info_name, args, parent, **extra)
        context.meta.update({WANTS_JSON: as_json, SERVES: serves})
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was typed."""
        with reported(as_json=bool(ctx.meta.get(WANTS_JSON)), serves=bool(ctx.meta.get(SERVES))):
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; a tool is no command, and how it is called is said."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches

            from ap_mcp.specs import load_catalog
            from ap_mcp.toolbox import toolbox

            tools = toolbox(load_catalog()).tools
            known = {name: name for name in COMMANDS} | {name: f"call {name}" for name in tools}
            near = [args[0]] if args[0] in known else get_close_matches(args[0], known, n=2)
            hint = " or ".join(f"ap-mcp {known[name]}" for name in near)
            ctx.fail(f"No such command {args[0]!r}.{f' Did you mean {hint}?' if hint else ''}")
        return super().resolve_command(ctx, args)

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


if COMPLETION in os.environ:
    from ap_mcp.cli.completing import prepare

    prepare()

# Pydantic looks through all that is installed for plugins that watch its models, unless it is asked not to.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# What is left goes with the process; to search it for garbage first would take a quarter of the time of a call.
atexit.register(gc.freeze)
