"""`ap-mcp doctor`: is everything in place, and what is to be done where it is not."""

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import exits, settings_options, speed_option
from ap_mcp.cli.outcomes import show_json
from ap_mcp.wording import plural

if TYPE_CHECKING:
    from ap_mcp.cli.checkup import Finding

INDENT, SHORTEST = 22, 40
"""Columns before what was found, and at least for it."""
ENDS = "Exit codes: 0 no problem was found, though perhaps warnings; 1 there is a problem; 2 wrong usage."


@click.command(epilog=ENDS, short_help="See whether everything is in place, and what to do if not.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines to read, or one JSON object.",
)
@click.option("--simulate", is_flag=True, help="Check the simulator in place of the cloud.")
@click.option("--state", type=click.Path(dir_okay=False), help="Where it keeps its account, if not in the usual file.")
@speed_option()
@settings_options("http", "profile", "toolsets", "read_only", "confirm", "files_dir")
@exits
def doctor(*, output: str, simulate: bool, state: str | None, speed: float | None, **flags: Any) -> None:
    """Check settings, credentials, network, clock, permissions, approvers, policy and folders; say what to do.

    Nothing is changed: it signs in as the server does, and makes a few reads. No secret is shown.
    """
    from functools import partial

    import anyio

    findings = anyio.run(partial(_examined, simulate=simulate, state=state, speed=speed, flags=flags))
    counted = {state: sum(each.state == state for each in findings) for state in ("ok", "warning", "problem")}
    if output == "json":
        checks = [
            {"check": each.check, "state": each.state, "found": each.found}
            | ({"advice": each.advice} if each.advice else {})
            for each in findings
        ]
        show_json({"healthy": not counted["problem"], "counts": counted, "checks": checks})
    else:
        for each in findings:
            _say(each)
        click.echo(f"{plural(counted['problem'], 'problem')}, {plural(counted['warning'], 'warning')}.")
    if counted["problem"]:
        raise click.exceptions.Exit(1)


def _say(finding: "Finding") -> None:
    """Print one finding: its state first, what to do below."""
    from ap_mcp.wording import visible

    colours = {"ok": "green", "warning": "yellow", "problem": "red"}
    state = click.style(f"{finding.state:<7}", fg=colours[finding.state], bold=finding.state != "ok")
    first, *more = [part for line in visible(finding.found).splitlines() for part in _fitting(line)]
    click.echo(f"{state}  {finding.check:<11}  {first}")
    advice = [part for line in finding.advice.splitlines() for part in _fitting(f"-> {line}")]
    for line in (*more, *advice):
        click.echo(f"{' ' * INDENT}{line}")


def _fitting(line: str) -> list[str]:
    """Return a line as those that fit beside the names of the checks on a terminal; elsewhere it stays one."""
    if not sys.stdout.isatty():
        return [line]
    from shutil import get_terminal_size
    from textwrap import wrap

    # A path or a command that is broken could not be copied.
    width = max(get_terminal_size().columns - INDENT, SHORTEST)
    return wrap(line, width, break_long_words=False, break_on_hyphens=False)


async def _examined(
    *, simulate: bool, state: str | None, speed: float | None, flags: dict[str, Any]
) -> "list[Finding]":
    """Check everything that can be checked; wrong settings leave out only what needs them."""
    from ap_mcp.cli import checkup, checkup_callers, checkup_http, checkup_redis
    from ap_mcp.cli.call import chosen_autopilot
    from ap_mcp.cli.options import log_to_stderr
    from ap_mcp.errors import ApMcpError
    from ap_mcp.settings import load_settings

    log_to_stderr("warning")
    keys = [] if simulate else [*checkup.credentials()]
    try:
        chosen = load_settings(**flags)
        if chosen.profiles or chosen.profile:
            from ap_mcp.profiles import profiles_of

            keys = [*checkup.profiles(profiles_of(chosen), simulated=simulate)]
    except ApMcpError as error:
        skipped = "network, approvers, policy, folders and the cloud were not checked: the settings are wrong"
        last = checkup.Finding("settings", "warning", skipped, "Correct them first.")
        return [*checkup.program(), *checkup.wrong_settings(error), *keys, last]
    findings = [*checkup.program(), *checkup.settings(chosen, flags, simulated=simulate), *keys]
    findings += [*checkup.network(chosen), *checkup.approvers(chosen), *checkup.folders(chosen)]
    findings += checkup_http.http(chosen, flags)
    findings += [each async for each in checkup_redis.redis(chosen)]
    findings += [each async for each in checkup.webhooks(chosen)]
    with ExitStack() as stack:
        try:
            autopilot = chosen_autopilot(stack, simulate=simulate, state=state, speed=speed, **flags)
        except ApMcpError as error:
            return [*findings, *checkup.unusable(error, findings)]
        async with autopilot:
            findings += checkup.policy(autopilot)
            findings += [each async for each in checkup_callers.callers(autopilot)]
            findings += [each async for each in checkup.clouds(autopilot, findings)]
    return findings
