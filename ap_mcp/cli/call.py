"""`ap-mcp call`: one tool, for scripts and for people."""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import (
    EXIT_CODES,
    SPEED,
    exits,
    log_to_stderr,
    only_simulated,
    pairs_argument,
    settings_options,
    speed_option,
    tool_argument,
)
from ap_mcp.cli.outcomes import show_json, unfinished, writes_utf8

if TYPE_CHECKING:
    from ap_mcp.guard.callers import AskBack, Caller
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.simulator.world import World
    from ap_mcp.summaries import Result
    from ap_mcp.wait.poller import Report

WAIT_S = "wait_s"
WITHDRAWN = "The question {code} was withdrawn: the next call asks anew."


@click.command(epilog=EXIT_CODES)
@tool_argument()
@pairs_argument()
@click.option(
    "--json",
    "document",
    metavar="OBJECT",
    help="Arguments as one JSON object; `@FILE` reads a file, `-` or `@-` standard input.",
)
@click.option(
    "--output",
    type=click.Choice(["text", "json", "raw"]),
    default="text",
    show_default=True,
    help="Lines to read, one JSON object, or the whole answer of the cloud (secrets masked).",
)
@click.option("--simulate", is_flag=True, help="Call a simulator that keeps its account in a file between calls.")
@click.option("--state", type=click.Path(dir_okay=False), help="That file, if not the usual one.")
@speed_option()
@click.option(
    "--yes",
    is_flag=True,
    help="Ask nobody: a guarded call runs only where a rule of the policy allows it, and leaves no question behind.",
)
@settings_options("profile", "confirm", "read_only", "files_dir")
@exits
def call(tool: str, pairs: tuple[str, ...], document: str | None, output: str, **options: Any) -> None:
    """Call one TOOL with KEY=VALUE arguments.

    A VALUE is read as JSON where the argument is no string: tags='{"env":"prod"}', with_addons=true. What takes
    many quotation marks is easier in a file: --json @arguments.json. On a terminal, wait_for waits until the end.
    What a guarded call would do is shown on the terminal; it wants the name of what it touches, and an approver's
    passphrase. Without a terminal, the answer says how a person approves it.
    """
    from functools import partial

    import anyio

    from ap_mcp.cli import terminal

    for_person = output == "text" and terminal.is_fit(sys.stdout)
    result, raw = anyio.run(partial(_called, tool, pairs, document, for_person=for_person, **options))
    from ap_mcp.wait.result import Waited

    ended_badly = unfinished(result) if isinstance(result, Waited) else None
    if output == "json":
        show_json(result.structured() | ({"error": ended_badly} if ended_badly else {}))
    elif output == "raw":
        click.echo(raw) if writes_utf8() else show_json(json.loads(raw))
    elif for_person:
        terminal.show(result)
    else:
        from ap_mcp.rendering import render

        click.echo(render(result))
    if ended_badly:
        raise click.exceptions.Exit(ended_badly["exit_code"])


async def _called(
    tool: str,
    pairs: tuple[str, ...],
    document: str | None,
    *,
    for_person: bool,
    simulate: bool,
    state: str | None,
    speed: float | None,
    yes: bool,
    **flags: Any,
) -> "tuple[Result, str]":
    """Return the result, and the whole answer as text: its URI means nothing once this process has ended."""
    from ap_mcp import __version__
    from ap_mcp.guard.callers import Caller, local_user

    with ExitStack() as stack:
        autopilot = chosen_autopilot(stack, simulate=simulate, state=state, speed=speed, **flags)
        log_to_stderr(autopilot.settings.log_level, autopilot.settings.log_format)
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
            if for_person:
                await _warn_of_production(autopilot, tool, arguments, caller)
            result = await _to_the_end(autopilot, tool, arguments, caller, asking=asking)
            raw = await autopilot.kept_answer(local_user(), result.raw) if result.raw else None
            return result.model_copy(update={"raw": None}), raw or "null"


async def _warn_of_production(
    autopilot: "Autopilot", tool: str, arguments: Mapping[str, Any], caller: "Caller"
) -> None:
    """Say before a call that is not a read that its cluster looks like production, if it can be read that it does."""
    from ap_mcp.cli.terminal import warn_of_production
    from ap_mcp.errors import ApMcpError, CloudUnreachable
    from ap_mcp.guard.impacts.base import sign_of_production
    from ap_mcp.specs import CLUSTER
    from ap_mcp.summaries.clusters import ClusterState
    from ap_mcp.vendor import word

    try:
        view, _ = autopilot.addressed(caller.principal, arguments)
    except ApMcpError:
        return
    offered = view.toolbox.tools.get(tool)
    if offered is None or offered.effect == "read" or CLUSTER not in arguments:
        return
    which = {name: arguments[name] for name in (CLUSTER, "profile") if name in arguments}
    try:
        found = await autopilot.call("get_cluster", which, caller=caller)
    except CloudUnreachable:
        raise  # to try it again with the call itself would take as long once more
    except ApMcpError:
        return  # of what is wrong the call itself will tell
    if isinstance(found, ClusterState) and (sign := sign_of_production(found.name, found.tags or {})):
        warn_of_production(word(found.name), sign)


async def _to_the_end(
    autopilot: "Autopilot", tool: str, arguments: dict[str, Any], caller: "Caller", *, asking: bool
) -> "Result":
    """Call a tool; on a terminal its progress is shown, and a wait of no stated length goes on until its end."""
    from ap_mcp.wait import WAIT_FOR
    from ap_mcp.wait.result import Waited

    if not _shows_progress():
        return await _consented(autopilot, tool, arguments, caller, asking=asking)
    from ap_mcp.cli.progress import Bar

    with Bar() as bar:
        if tool == WAIT_FOR:
            # What has ended by the first read reports nothing, and a person has seen that the call began.
            await bar.report(0, 1, "")
        result = await _consented(autopilot, tool, arguments, caller, asking=asking, report=bar.report)
        while isinstance(result, Waited) and not result.ended and WAIT_S not in arguments:
            result = await _consented(autopilot, tool, arguments, caller, asking=asking, report=bar.report)
    return result


def _shows_progress() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


async def _consented(
    autopilot: "Autopilot",
    tool: str,
    arguments: dict[str, Any],
    caller: "Caller",
    *,
    asking: bool,
    report: "Report | None" = None,
) -> "Result":
    """Call a tool; if it waits for a person and one sits at the terminal, let them approve, and call it again.

    What changes while they read is shown again; a caller that cannot be asked gets how it is approved elsewhere.
    """
    from ap_mcp.errors import ApprovalRequired
    from ap_mcp.guard.consent import CHANGED
    from ap_mcp.guard.elsewhere import MOST_ROUNDS

    more: dict[str, Any] = {"report": report} if report else {}
    for asked in range(MOST_ROUNDS if asking else 0):
        try:
            return _finished(await autopilot.call(tool, arguments, caller=caller, **more))
        except ApprovalRequired as required:
            if asked:
                click.echo(f"\n{CHANGED}", err=True)
            await _ask(autopilot, tool, arguments, caller, required.code)
    return _finished(await autopilot.call(tool, arguments, caller=caller, **more))


def _finished(result: "Result | AskBack") -> "Result":
    from ap_mcp.guard.callers import AskBack

    if isinstance(result, AskBack):
        raise TypeError("a caller that cannot return was asked to")
    return result


async def _ask(autopilot: "Autopilot", tool: str, arguments: Mapping[str, Any], caller: "Caller", code: str) -> None:
    """Let the person at the terminal approve a call; a refusal of theirs is recorded, and its question taken away.

    Raises:
        ApprovalRefused: they did not do it right.
        ConsentDeclined: they left.
    """
    from ap_mcp.cli.approvals import withdraw_if_open
    from ap_mcp.errors import ApprovalRefused, CallRefused

    try:
        _let_approve(autopilot.settings, tool, code)
    except CallRefused as refusal:
        if refusal.verdict == ApprovalRefused.verdict:
            refusal.verdict = "not approved"  # by a person who was asked
        refusal.target, withdrawn = withdraw_if_open(autopilot.settings, code)
        await autopilot.refused(refusal, tool, arguments, caller)
        if withdrawn:
            click.echo(WITHDRAWN.format(code=code), err=True)
        raise


def _let_approve(settings: "Settings", tool: str, code: str) -> None:
    """Ask the person at the terminal, where results do not go.

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
            approve_here(settings, code, keeps=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        raise ConsentDeclined(tool, "It was broken off.", "broken off") from None
    finally:
        signal.signal(signal.SIGINT, before)


def _can_approve(settings: "Settings") -> bool:
    """Say whether whoever sits here has a key to approve with; without one they are shown what a call would do."""
    from ap_mcp.guard.keys import has_key

    return has_key(settings.approver_dir)


def _at_a_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def chosen_autopilot(
    stack: ExitStack, *, simulate: bool, state: str | None, speed: float | None, **flags: Any
) -> "Autopilot":
    """Return what runs tools against the cloud, or against the simulator with the account kept in `state`."""
    from ap_mcp.cli.connecting import autopilot_for, simulated_autopilot, state_file
    from ap_mcp.settings import load_settings

    only_simulated(simulate=simulate, state=state, speed=speed)
    if not simulate:
        return autopilot_for(load_settings(**flags))
    from ap_mcp.simulator.seed import kept_world

    fast = speed or SPEED

    def kept(profile: str) -> "World":
        return stack.enter_context(kept_world(state_file(profile, state), fast))

    return stack.enter_context(simulated_autopilot(kept, fast, **flags))


def _arguments(autopilot: "Autopilot", tool: str, pairs: tuple[str, ...], document: str | None) -> dict[str, Any]:
    """Join the JSON object and the pairs, and check them; what was typed wrong is reported with an example."""
    from ap_mcp.guard.callers import local_user

    shown = {each.name: each.input_schema["properties"] for each in autopilot.offered(local_user())}
    given = _object(document)
    if tool not in shown:
        return typed_arguments({}, pairs, given)

    def check(arguments: Mapping[str, Any]) -> None:
        view, rest = autopilot.addressed(local_user(), arguments)
        if (offered := view.toolbox.tools.get(tool)) is not None:
            offered.checked(rest)

    return typed_arguments(shown[tool], pairs, given, check)


def typed_arguments(
    schemas: Mapping[str, Any],
    pairs: tuple[str, ...],
    given: Mapping[str, Any],
    check: "Callable[[Mapping[str, Any]], object]" = lambda _: None,
) -> dict[str, Any]:
    """Return `given` with KEY=VALUE pairs added; a VALUE that is no string is read by the check of the arguments.

    Args:
        schemas: of the arguments, by name.
        pairs: what was typed.
        given: arguments that came as one JSON object.
        check: raises `InvalidArguments` for all that is wrong with them.

    Raises:
        InvalidArguments: with every problem, of the pairs and of the arguments, and an example where one helps.
    """
    from ap_mcp.arguments import meant
    from ap_mcp.errors import InvalidArguments, Problem
    from ap_mcp.masking import mask_text

    arguments, typed, problems = dict(given), set(), []
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            problems.append(Problem("", f"{mask_text(pair)!r} is not KEY=VALUE"))
        elif name in typed:
            problems.append(Problem(name, "is given twice"))
        elif name in given:
            problems.append(Problem(name, "is given as KEY=VALUE and in --json: leave one of them out"))
        else:
            is_text = schemas.get(name, {}).get("type", "string") == "string"
            arguments[name] = None if value == "null" and not is_text else value
            typed.add(name)
    try:
        check(arguments)
    except InvalidArguments as error:
        # What was read as it should be may be wrong all the same, and then the problem says how.
        read = meant({"properties": schemas}, {name: arguments[name] for name in typed & schemas.keys()})
        misread = {name for name, value in read.items() if isinstance(value, str)}
        problems += [
            Problem(each.argument, with_example(each.argument, schemas[each.argument]))
            if each.argument in misread and schemas[each.argument]["type"] != "string"
            else each
            for each in error.problems
        ]
    if problems:
        raise InvalidArguments(problems)
    return arguments


def with_example(name: str, schema: Mapping[str, Any]) -> str:
    """Say what an argument must be, with an example as one types it."""
    value = json.dumps(_example(schema), ensure_ascii=False, separators=(",", ":"))
    quoted = f"'{value}'" if '"' in value else value
    kind = str(schema["type"])
    return f"must be {'an' if kind[0] in 'aeiou' else 'a'} {kind}, such as {name}={quoted}"


def _example(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type", "string")
    if kind in ("integer", "number"):
        return schema.get("default", schema.get("minimum", 1))
    if kind == "boolean":
        return True
    if kind == "array":
        return [_example(schema.get("items", {}))]
    if kind == "object":
        fields = schema.get("properties") or {"name": schema.get("additionalProperties") or {}}
        return {name: _example(each) for name, each in fields.items() if isinstance(each, Mapping)}
    return next(iter(schema.get("enum", ["..."])))


def _object(document: str | None) -> dict[str, Any]:
    if document is None:
        return {}
    try:
        loaded = json.loads(_text(document), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--json: it is no valid JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise click.UsageError("--json: the arguments must be one JSON object.")
    return loaded


def _text(document: str) -> str | bytes:
    """Return the JSON that `--json` means; bytes are read in whatever Unicode they are, as Windows writes several."""
    if document in ("-", "@-"):
        if sys.stdin is None:
            raise click.UsageError("--json: standard input is closed.")
        return sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")
    if not document.startswith("@"):
        return document.removeprefix("\ufeff")
    from pathlib import Path

    if document == "@":
        raise click.UsageError("--json: @ is followed by the name of a file, or by - for standard input.")
    try:
        return Path(document[1:]).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise click.UsageError(f"--json: {document[1:]} cannot be read: {error.strerror}.") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; one that holds a key twice means two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for at, (name, _) in enumerate(pairs) if name in dict(pairs[:at]))
        raise ValueError(f"the key {json.dumps(twice)} stands twice in one object")
    return found
