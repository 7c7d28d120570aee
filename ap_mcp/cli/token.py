"""`ap-mcp token`: who may call a server over HTTP with a token; new ones, those there are, and their end."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import exits
from ap_mcp.cli.outcomes import show_json

if TYPE_CHECKING:
    from pathlib import Path

    from ap_mcp.web.tokens import Token

CODES = "Exit codes: 0 done, 2 wrong usage, or nothing was changed because of what is there."
USUAL, FOR_EVER = "90d", "never"
_LIFETIME = re.compile(r"([1-9][0-9]{0,3})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
AS_JSON = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines to read, or one JSON object.",
)


@click.group(epilog=CODES, short_help="Make, list and revoke tokens to call a server over HTTP with.")
def token() -> None:
    """Make, list and revoke the tokens of those who call a server over HTTP.

    They stand in the file of AP_MCP_TOKENS_FILE, as hashes. Running servers see each change within seconds.
    """


@token.command(epilog=CODES)
@click.argument("name")
@click.option(
    "--expires", default=USUAL, show_default=True, metavar="TIME", help="90d, 12h, 2w, a date (2027-03-01) or never."
)
@click.option("--toolsets", metavar="A,B", help="What it is offered of what the server offers; all if not given.")
@click.option(
    "--read-only/--read-write", default=True, show_default=True, help="Whether it only reads, or may change things too."
)
@click.option("--profile", "profiles", multiple=True, metavar="NAME", help="A profile that it may use; all if none.")
@click.option("--policy", type=click.Path(), metavar="FILE", help="Rules for it, besides those of the server.")
@AS_JSON
@exits
def new(  # noqa: PLR0917 - click passes them by name
    name: str,
    expires: str,
    toolsets: str | None,
    read_only: bool,
    profiles: tuple[str, ...],
    policy: str | None,
    output: str,
) -> None:
    """Make a token, and print it: once, for it is kept nowhere.

    NAME says who calls: `token:NAME` stands in every question and in the audit.
    """
    from dataclasses import replace

    from ap_mcp.web.grants import Grant
    from ap_mcp.web.tokens import Token, add_token, check_name, digest_of, new_secret

    now = datetime.now(UTC).replace(microsecond=0)
    try:
        check_name(name)
        grant = Grant(read_only=read_only, profiles=profiles)
        if toolsets is not None:
            words = [word.strip() for word in toolsets.split(",") if word.strip()]
            grant = replace(grant, toolsets=_toolsets(words or [toolsets]))
        ends = _end(expires, now)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    path = _tokens_file()
    _check_profiles(profiles)
    if policy is not None:
        grant = replace(grant, policy_file=_policy(policy))
    secret = new_secret()
    made = Token(name, digest_of(secret), grant, now, ends)
    add_token(path, made)
    if output == "json":
        show_json({"token": secret, **_described(made, now)})
        return
    until = f"until {_moment(ends)}" if ends else "for ever, until it is revoked"
    click.echo(f"Token {name} ({grant.words}) counts {until}. It stands in {path} as a hash.", err=True)
    click.echo("It is shown this once; clients send it as: Authorization: Bearer TOKEN", err=True)
    click.echo(secret)


@token.command("list", epilog=CODES, short_help="Show the tokens and what each may do.")
@AS_JSON
@exits
def list_(*, output: str) -> None:
    """Show the tokens: what each may do, until when, and whether it counts."""
    from ap_mcp.web.tokens import SHOWN

    now = datetime.now(UTC)
    path = _tokens_file()
    found = sorted(_known(path), key=lambda each: each.name)
    if output == "json":
        show_json({"file": str(path), "tokens": [_described(each, now) for each in found]})
        return
    if not found:
        click.echo(f"There are no tokens in {path}. Make one with: ap-mcp token new NAME", err=True)
    rows = [("NAME", "HASH", "EXPIRES", "STATE", "MAY USE")] if found else []
    for each in found:
        shown = each.digest[:SHOWN]
        rows.append((each.name, shown, _moment(each.expires) or "never", each.state(now), each.grant.words))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@token.command(epilog=CODES)
@click.argument("name")
@exits
def revoke(name: str) -> None:
    """Withdraw a token: what it sends is refused within seconds. What runs already ends as it began.

    Its entry stays, so that nobody else gets its name.
    """
    from ap_mcp.web.tokens import withdraw_token

    before = withdraw_token(_tokens_file(), name, datetime.now(UTC))
    if before.withdrawn:
        click.echo(f"Token {name} was withdrawn already, at {_moment(before.withdrawn)}.", err=True)
    else:
        click.echo(f"Token {name} is withdrawn.", err=True)


def _toolsets(words: list[str]) -> tuple[str, ...]:
    """Return the names of toolsets.

    Raises:
        ValueError: one is unknown.
    """
    from ap_mcp.web.grants import check_toolsets

    try:
        return check_toolsets(words)
    except ValueError as error:
        raise ValueError(f"--toolsets {error}") from None


def _tokens_file() -> "Path":
    from ap_mcp.settings import load_settings

    return load_settings().tokens_path


def _check_profiles(names: tuple[str, ...]) -> None:
    """Refuse a profile that is none of those that are configured here; say so if none are."""
    from difflib import get_close_matches

    from ap_mcp.settings import load_settings

    known = load_settings().profiles
    if names and not known:
        click.echo("--profile: no profiles are configured here; the token gives nothing before they are.", err=True)
    for name in names:
        if known and name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise click.UsageError(f"--profile: there is no profile {name!r}. {hint}")


def _known(path: "Path") -> "tuple[Token, ...]":
    import os

    from ap_mcp.web.tokens import read_tokens

    return read_tokens(path) if os.path.lexists(path) else ()


def _policy(text: str) -> "Path":
    """Return the path of a policy file, every rule of which can be used."""
    from pathlib import Path

    from ap_mcp.guard.policy_file import load_policy
    from ap_mcp.settings import load_settings
    from ap_mcp.specs import load_catalog
    from ap_mcp.toolbox import known_to_rules

    path = Path(text).expanduser().absolute()
    load_policy(path, load_settings(), known_to_rules(load_catalog()))
    return path


def _end(text: str, now: datetime) -> datetime | None:
    """Return when a token expires.

    Raises:
        ValueError: the text says no time to come.
    """
    text = text.strip().lower()
    if text == FOR_EVER:
        return None
    found = _LIFETIME.fullmatch(text)
    try:
        if found:
            return now + int(found[1]) * _UNITS[found[2]]
        end = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("--expires takes 90d, 12h, 2w, a date like 2027-03-01, or never") from None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if end <= now:
        raise ValueError(f"--expires: {_moment(end)} is over")
    return end


def _described(each: "Token", now: datetime) -> dict[str, Any]:
    grant = each.grant
    return {
        "name": each.name,
        "principal": each.principal,
        "sha256": each.digest,
        "created": _moment(each.created),
        "expires": _moment(each.expires),
        "withdrawn": _moment(each.withdrawn),
        "state": each.state(now),
        "read_only": grant.read_only,
        "toolsets": list(grant.toolsets),
        "profiles": list(grant.profiles),
        "policy_file": str(grant.policy_file) if grant.policy_file else None,
    }


def _moment(moment: datetime | None) -> str | None:
    from ap_mcp.vendor import written

    return written(moment) if moment else None
