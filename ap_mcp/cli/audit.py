"""`ap-mcp audit`: read the record of calls that are not reads, and check that it is intact."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ap_mcp.cli.options import exits

if TYPE_CHECKING:
    from ap_mcp.guard.audit import AuditLog, Call
    from ap_mcp.guard.audit_check import AuditFinding
    from ap_mcp.settings import Settings
    from ap_mcp.state.redis_heads import AuditHeads

SHOWN = 20

log_option = click.option("--log", metavar="PATH", help="Another log than that of AP_MCP_AUDIT_LOG; its key beside it.")


@click.group()
def audit() -> None:
    """Read and check the record of calls that are not reads."""


@audit.command(short_help="Say whether the log is intact.")
@log_option
@exits
def verify(log: str | None) -> None:
    """Say whether the log is intact, or from which line on it is not, and which calls are of unknown outcome.

    Exit 1 if a line was changed, lost, moved or added, or if the log or its key cannot be read. With AP_MCP_REDIS_URL,
    also if lines, or a whole log, are missing that the servers have noted in Redis, or if Redis cannot be asked.
    """
    from ap_mcp.errors import AuditFailed

    try:
        found = _log(log)
        lost, unasked = _lost(found)
        findings = [*found.verify(), *lost]
        count, refused = len(found.calls()), len(found.refusals())
    except AuditFailed as error:
        click.echo(error.render(), err=True)
        raise click.exceptions.Exit(1) from error
    for finding in findings:
        click.echo(str(finding))
    if unasked:
        click.echo(unasked)
    if alarms := {finding.kind for finding in findings if finding.is_alarm}:
        broken = alarms & {"not intact", "lost"}
        click.echo(f"{found.path} {'is not intact' if broken else 'is intact, and shows an attack'}.")
        raise click.exceptions.Exit(1)
    calls = "1 call" if count == 1 else f"{count} calls"
    refusals = f", {'1 refusal' if refused == 1 else f'{refused} refusals'}" if refused else ""
    if unasked:
        here = f"{calls}{refusals}, intact in itself" if found.is_begun else "no guarded call was recorded yet"
        click.echo(f"{found.path}: {here}, but not verified: Redis could not be asked.")
        raise click.exceptions.Exit(1)
    click.echo(f"{found.path}: {calls}{refusals}, intact." if found.is_begun else _nothing(found))


@audit.command(short_help="Show the last calls that were no reads.")
@click.option("--last", type=click.IntRange(1), default=SHOWN, show_default=True, metavar="N", help="How many calls.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array with all that is recorded.")
@log_option
@exits
def show(last: int, *, as_json: bool, log: str | None) -> None:
    """Show the last calls that were no reads, and those that were refused, oldest first, and what became of them."""
    found = _log(log)
    calls = sorted([*found.calls(), *found.refusals()], key=lambda call: int(call.decided["seq"]))[-last:]
    if as_json:
        click.echo(json.dumps([_document(call) for call in calls], indent=2))
    elif calls:
        click.echo("\n".join(_lines(call) for call in calls))
    else:
        click.echo(_nothing(found))
    if any(finding.kind == "not intact" for finding in found.verify()):
        click.echo(f"{found.path} is not intact: `ap-mcp audit verify` says from where on.", err=True)


@audit.command(short_help="Have Redis forget a log that was put aside or lost.")
@click.argument("log_id", metavar="ID")
@exits
def forget(log_id: str) -> None:
    """Have Redis forget the log ID, which was put aside or lost, so that `verify` says nothing of it any more."""
    import anyio

    from ap_mcp.errors import CallRefused
    from ap_mcp.settings import load_settings

    settings = load_settings()
    if settings.redis_url is None:
        raise click.UsageError("AP_MCP_REDIS_URL is not set: how long logs are is noted in Redis alone.")
    if not anyio.run(_heads(settings).forget, log_id):
        raise CallRefused(f"Redis knows of no log {json.dumps(log_id)}. `ap-mcp audit verify` names those it misses.")
    click.echo(f"Forgotten: {log_id}.")


def _heads(settings: "Settings") -> "AuditHeads":
    from ap_mcp.state.redis_heads import AuditHeads
    from ap_mcp.state.shared import link_to

    return AuditHeads(link_to(settings, keeps=False))


def _lost(found: "AuditLog") -> "tuple[list[AuditFinding], str]":
    """Return what is missing of a log that the servers which share Redis have noted there, and why that is not known.

    The reason is empty if it is known, or nothing is noted there.
    """
    import anyio

    from ap_mcp.errors import ApprovalsUnusable
    from ap_mcp.guard.audit_heads import lost_lines
    from ap_mcp.settings import load_settings

    settings = load_settings()
    if settings.redis_url is None:
        return [], ""
    heads = _heads(settings)
    try:
        noted = anyio.run(heads.all)
    except ApprovalsUnusable as error:
        return [], f"Whether lines are missing that were noted in Redis is not known: {error.render()}"
    return lost_lines(noted, heads.host, str(found.path), found.extent()), ""


def _log(given: str | None) -> "AuditLog":
    from pathlib import Path

    from ap_mcp.guard.audit import audit_from, log_at
    from ap_mcp.settings import load_settings

    if given is None:
        return audit_from(load_settings())
    found = log_at(Path(given).expanduser().absolute())
    if not found.is_begun:
        raise click.UsageError(f"there is no audit log {found.path}")
    return found


def _nothing(found: "AuditLog") -> str:
    return f"{found.path}: no guarded call was recorded yet."


def _document(call: "Call") -> dict[str, object]:
    """Return a call without what holds the lines together."""
    aside = {"event", "prev", "mac", "of"}
    if call.is_refused:
        refused = {"result": "refused", "detail": call.decided["reason"]}
        return {**{k: v for k, v in call.decided.items() if k not in {*aside, "reason"}}, "outcome": refused}
    finished = None if call.finished is None else {k: v for k, v in call.finished.items() if k not in {*aside, "seq"}}
    return {**{k: v for k, v in call.decided.items() if k not in aside}, "outcome": finished}


def _lines(call: "Call") -> str:
    """Return a call as lines to read; what comes from elsewhere is quoted."""
    from ap_mcp.wording import NAME_LIMIT, clean, in_quotes

    asked, done = call.decided, call.finished
    target = f" on {in_quotes(asked['target'], NAME_LIMIT)}" if asked["target"] else ""
    caller = f"for {in_quotes(asked['principal'], NAME_LIMIT)}"
    caller += f" through {in_quotes(asked['client'], NAME_LIMIT)}" if asked["client"] else ""
    caller += f" in profile {clean(asked['profile'])}" if asked.get("profile") else ""
    agreed = [
        clean(asked["decision"]),
        f"asked by {clean(asked['channel'])}" if asked["channel"] else "",
        f"approved by {in_quotes(asked['approver'], NAME_LIMIT)}" if asked["approver"] else "",
    ]
    lines = [
        f"{asked['seq']}  {asked['time']}  {clean(asked['tool'])}{target} ({clean(asked['effect'])}) {caller}",
        f"   {json.dumps(asked['arguments'], ensure_ascii=True)}" if asked["arguments"] else "",
        f"   {', '.join(part for part in agreed if part)}" if any(agreed) else "",
        f"   {_refusal(asked) if call.is_refused else _outcome(done)}",
    ]
    return "\n".join(line for line in lines if line)


def _refusal(refused: Mapping[str, object]) -> str:
    from ap_mcp.wording import in_quotes

    return f"refused: {in_quotes(str(refused['reason']))}"


def _outcome(done: Mapping[str, object] | None) -> str:
    from ap_mcp.wording import NAME_LIMIT, clean, in_quotes

    if done is None:
        return "outcome unknown: it was never recorded"
    parts = [
        f"{clean(str(done['result']))} at {done['time']}",
        f"request id {clean(str(done['request_id']), NAME_LIMIT)}" if done["request_id"] else "",
        in_quotes(str(done["detail"])) if done["detail"] else "",
    ]
    return ", ".join(part for part in parts if part)
