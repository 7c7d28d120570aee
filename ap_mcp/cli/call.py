"""`ap-mcp call`: one tool, for scripts and for people."""

import json
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import CLOUD_SAID_NO, EXIT_CODES, WAITED_TOO_LONG, exits, log_to_stderr, settings_options

if TYPE_CHECKING:
    from ap_mcp.guard.callers import AskBack, Caller
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.summaries import Result


@click.command(epilog=EXIT_CODES)
@click.argument("tool")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "document", metavar="OBJECT", help="Arguments as one JSON object; `-` reads standard input.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", "raw"]),
    default="text",
    show_default=True,
    help="Lines to read, one JSON object, or the whole answer of the cloud (secrets masked).",
)
@click.option("--simulate", is_flag=True, help="Call a simulator that keeps its account in a file between calls.")
@click.option("--state", type=click.Path(dir_okay=False), help="That file, if not the usual one.")
@click.option(
    "--yes",
    is_flag=True,
    help="Ask nobody: a guarded call runs only where a rule of the policy allows it, and leaves no question behind.",
)
@settings_options("confirm", "read_only", "files_dir")
@exits
def call(tool: str, pairs: tuple[str, ...], document: str | None, output: str, **options: Any) -> None:
    """Call one TOOL with KEY=VALUE arguments.

    A VALUE is read as JSON where the argument is no string: tags='{"env":"prod"}', with_addons=true.
    What a guarded call would do is shown on the terminal; it wants the name of what it touches, and an approver's
    passphrase. Without a terminal, the answer says how a person approves it.
    """
    from functools import partial

    import anyio

    result, raw = anyio.run(partial(_called, tool, pairs, document, **options))
    if output == "json":
        click.echo(json.dumps(result.structured(), indent=2, ensure_ascii=False))
    elif output == "raw":
        click.echo(raw)
    else:
        from ap_mcp.rendering import render

        click.echo(render(result))
    from ap_mcp.wait import Waited

    if isinstance(result, Waited) and result.verdict != "succeeded":
        raise click.exceptions.Exit(CLOUD_SAID_NO if result.ended else WAITED_TOO_LONG)


async def _called(
    tool: str,
    pairs: tuple[str, ...],
    document: str | None,
    *,
    simulate: bool,
    state: str | None,
    yes: bool,
    **flags: Any,
) -> "tuple[Result, str]":
    """Return the result, and the whole answer as text: its URI means nothing once this process has ended."""
    from ap_mcp import __version__
    from ap_mcp.guard.callers import Caller, local_user

    with ExitStack() as stack:
        autopilot = chosen_autopilot(stack, simulate=simulate, state=state, **flags)
        log_to_stderr(autopilot.settings.log_level)
        async with autopilot:
            arguments = _arguments(autopilot, tool, pairs, document)
            at_terminal = _at_a_terminal()
            asking = not yes and at_terminal and _can_approve(autopilot.settings)
            caller = Caller(
                local_user(),
                f"ap-mcp call {__version__}",
                why_no_form="no approver's key is here" if at_terminal else "there is no terminal to ask at",
                may_ask=not yes,
                own_question=asking,
            )
            result = await _consented(autopilot, tool, arguments, caller, asking=asking)
            raw = await autopilot.kept.read(local_user(), result.raw) if result.raw else None
            return result.model_copy(update={"raw": None}), raw or "null"


async def _consented(
    autopilot: "Autopilot", tool: str, arguments: dict[str, Any], caller: "Caller", *, asking: bool
) -> "Result":
    """Call a tool; if it waits for a person and one sits at the terminal, let them approve, and call it again.

    What changes while they read is shown again; a caller that cannot be asked gets how it is approved elsewhere.
    """
    from ap_mcp.errors import ApprovalRequired
    from ap_mcp.guard.consent import CHANGED, MOST_ROUNDS

    for asked in range(MOST_ROUNDS if asking else 0):
        try:
            return _finished(await autopilot.call(tool, arguments, caller=caller))
        except ApprovalRequired as required:
            if asked:
                click.echo(f"\n{CHANGED}", err=True)
            _ask(autopilot, tool, required.code)
    return _finished(await autopilot.call(tool, arguments, caller=caller))


def _finished(result: "Result | AskBack") -> "Result":
    from ap_mcp.guard.consent import AskBack

    if isinstance(result, AskBack):
        raise TypeError("a caller that cannot return was asked to")
    return result


def _ask(autopilot: "Autopilot", tool: str, code: str) -> None:
    """Let the person at the terminal approve a call; they are asked where results do not go.

    Raises:
        ApprovalRefused: they did not do it right.
        ConsentDeclined: they left.
    """
    from ap_mcp.cli.approvals import approve_here
    from ap_mcp.errors import ConsentDeclined

    # The event loop would keep Ctrl-C for later, when the prompt has its answer.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with redirect_stdout(sys.stderr):
            approve_here(autopilot.settings, code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        raise ConsentDeclined(tool, "It was broken off.") from None
    finally:
        signal.signal(signal.SIGINT, before)


def _can_approve(settings: "Settings") -> bool:
    """Say whether whoever sits here has a key to approve with; without one they are shown what a call would do."""
    from ap_mcp.guard.keys import has_key

    return has_key(settings.approver_dir)


def _at_a_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def chosen_autopilot(stack: ExitStack, *, simulate: bool, state: str | None, **flags: Any) -> "Autopilot":
    """Return what runs tools against the cloud, or against the simulator with the account kept in `state`."""
    from pathlib import Path

    from ap_mcp.cli.connecting import SPEED, autopilot_for, simulated_autopilot, state_file
    from ap_mcp.settings import load_settings

    if state and not simulate:
        raise click.UsageError("--state goes with --simulate only.")
    if not simulate:
        return autopilot_for(load_settings(**flags))
    from ap_mcp.simulator.seed import kept_world

    world = stack.enter_context(kept_world(Path(state) if state else state_file(), SPEED))
    return stack.enter_context(simulated_autopilot(world, SPEED, **flags))


def _arguments(autopilot: "Autopilot", tool: str, pairs: tuple[str, ...], document: str | None) -> dict[str, Any]:
    """Join the JSON object and the pairs; a pair wins over the object."""
    offered = autopilot.view().toolbox.tools
    schemas = offered[tool].input_schema["properties"] if tool in offered else {}
    return typed_arguments(schemas, pairs, _object(document))


def typed_arguments(schemas: Mapping[str, Any], pairs: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Return `given` with KEY=VALUE pairs added, each VALUE read as its argument's schema wants it."""
    from ap_mcp.masking import mask_text

    arguments = dict(given)
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise click.UsageError(f"{mask_text(pair)!r} is not KEY=VALUE.")
        arguments[name] = value if schemas.get(name, {}).get("type", "string") == "string" else _value(name, value)
    return arguments


def _object(document: str | None) -> dict[str, Any]:
    if document is None:
        return {}
    text = sys.stdin.read() if document == "-" else document
    try:
        loaded = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--json: {error}") from error
    if not isinstance(loaded, dict):
        raise click.UsageError("--json: the arguments must be one JSON object.")
    return loaded


def _value(name: str, text: str) -> Any:
    from ap_mcp.masking import mask_text

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{name}: {mask_text(text)!r} is not JSON, and this argument is no string.") from error
