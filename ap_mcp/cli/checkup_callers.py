"""What `ap-mcp doctor` checks of a server over HTTP: who may call it, and whether they can prove who they are."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ap_mcp.cli.checkup import Finding

if TYPE_CHECKING:
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.web.grants import Grant
    from ap_mcp.web.oauth import OAuth
    from ap_mcp.web.sign_in import SignIn
    from ap_mcp.web.token_file import FileTokens

CHECK = "sign-in"
SOON = timedelta(days=14)
"""Before the end of a token, when its holder should get another one."""


async def callers(autopilot: "Autopilot") -> AsyncIterator[Finding]:
    """Check who may call over HTTP; nothing, where none do."""
    chosen = autopilot.settings
    if not _is_for_http(chosen):
        return
    from ap_mcp.errors import SettingsError
    from ap_mcp.server import LOCAL
    from ap_mcp.web.callers import sign_in_from
    from ap_mcp.web.options import over_http, refuse_strangers

    if chosen.http is not None:
        with suppress(SettingsError):  # which the findings about HTTP have already
            chosen = over_http(chosen, int(chosen.http.rpartition(":")[2]), {})
    try:
        sign_in = sign_in_from(chosen, autopilot.rights_of(LOCAL.principal))
        if sign_in is None and chosen.http is not None:
            refuse_strangers(chosen)
    except SettingsError as error:
        yield Finding(CHECK, "problem", error.render(), "A server over HTTP does not start until this is corrected.")
        return
    if sign_in is None:
        yield Finding(CHECK, "ok", "nobody has to: it listens on this machine only, and every caller is this user")
        return
    for finding in _known(sign_in, chosen):
        yield finding
    if sign_in.oauth is not None:
        async for finding in _issuer(sign_in.oauth, chosen):
            yield finding


def _is_for_http(chosen: "Settings") -> bool:
    from ap_mcp.errors import SettingsError

    if chosen.http is not None or chosen.tokens_file is not None:
        return True
    if any(
        (chosen.oauth_issuer, chosen.oauth_audience, chosen.oauth_jwks_url, chosen.oauth_scopes, chosen.oauth_rules)
    ):
        return True
    try:
        return os.path.lexists(chosen.tokens_path)
    except SettingsError:
        return False


def _tokens(tokens: "FileTokens", chosen: "Settings", *, alone: bool) -> Iterator[Finding]:
    """Check the file of tokens, and those that need somebody's care."""
    from ap_mcp.private_files import check_private_file
    from ap_mcp.wording import few, plural, span

    now, path = datetime.now(UTC), chosen.tokens_path
    states: dict[str, list[str]] = {"active": [], "expired": [], "withdrawn": []}
    for token in tokens.tokens:
        states[token.state(now)].append(token.name)
    count = states["active"]
    said = [f"{plural(len(count), 'token')} of {path} {'counts' if len(count) == 1 else 'count'}"]
    said += [few(sorted(count))] if count else []
    said += [f"{len(names)} {state}" for state, names in states.items() if state != "active" and names]
    if count or not alone:
        yield Finding(CHECK, "ok", "; ".join(said))
    else:
        yield Finding(CHECK, "warning", f"{'; '.join(said)}: nobody gets in", "Make one with: ap-mcp token new NAME")
    try:
        check_private_file(path.resolve())
    except OSError as error:
        found = error.strerror or str(error)
        yield Finding(CHECK, "warning", found, "It holds hashes only; still, who may call is nobody else's business.")
    for token in tokens.tokens:
        if token.state(now) != "active":
            continue
        if token.expires is None and not token.grant.read_only:
            advice = "Give its holder one that ends: ap-mcp token new, then ap-mcp token revoke for this one."
            yield Finding(CHECK, "warning", f"the token {token.name} may change things, and never ends", advice)
        elif token.expires is not None and token.expires - now < SOON:
            advice = "Give its holder another one, under another name: ap-mcp token new"
            yield Finding(CHECK, "warning", f"the token {token.name} ends in {span(token.expires - now)}", advice)


def _known(sign_in: "SignIn", chosen: "Settings") -> Iterator[Finding]:
    """Look at the tokens, and at what they and the rules about people give."""
    from ap_mcp.web.signed_in import offers_tools

    now, tokens, oauth = datetime.now(UTC), sign_in.tokens, sign_in.oauth
    if tokens is not None:
        yield from _tokens(tokens, chosen, alone=oauth is None)
    for token, rights in tokens.granted if tokens else ():
        if token.state(now) == "active":
            yield from _given(f"the token {token.name}", token.grant, chosen, offers_tools(rights))
    for number, (rule, given) in enumerate(oauth.people if oauth else (), 1):
        yield from _given(f"rule {number} of oauth_rules", rule.grant, chosen, offers_tools(given))


def _given(who: str, grant: "Grant", chosen: "Settings", has_tools: bool | None) -> Iterator[Finding]:
    """Look at what a token or a rule gives: profiles that there are, and tools; None if nothing here at all."""
    from ap_mcp.wording import NAME_LIMIT, few, in_quotes

    if unknown := [in_quotes(each, NAME_LIMIT) for each in grant.profiles if each not in chosen.profiles]:
        there = f"There are: {', '.join(chosen.profiles)}." if chosen.profiles else "There are none."
        found = f"{who} names profiles that ap-mcp.toml does not have: {few(unknown)}"
        yield Finding(CHECK, "problem", found, f"{there} Until it is corrected, such callers are refused.")
    elif has_tools is None:
        found = f"{who} may use only profiles that are not served here: {few(grant.profiles)}"
        yield Finding(CHECK, "warning", found, "Such callers are refused here.")
    elif not has_tools:
        given, here = few(grant.toolsets), few(chosen.toolsets)
        found = f"{who} is offered no tool: it may use the toolsets {given}, and the server has {here}"
        yield Finding(CHECK, "warning", found, "Give it a toolset that the server has.")


async def _issuer(oauth: "OAuth", chosen: "Settings") -> AsyncIterator[Finding]:
    """Check the issuer: whether it can be reached, and gives keys that can be used."""
    from ap_mcp.web.options import PATH
    from ap_mcp.wording import few, plural

    await oauth.keys.refresh()
    if oauth.keys.trouble:
        advice = "Until then nobody gets in by it. AP_MCP_OAUTH_JWKS_URL names the keys where no metadata does."
        yield Finding(CHECK, "problem", f"issuer {oauth.issuer}: {oauth.keys.trouble}", advice)
    else:
        names = oauth.keys.names
        yield Finding(CHECK, "ok", f"issuer {oauth.issuer}: {plural(len(names), 'key')} ({few(names)})")
    own = f"{chosen.public_url or ''}{PATH}"
    if chosen.public_url and oauth.audience != own:
        advice = "Right only if the issuer puts that into its tokens whatever clients ask for."
        yield Finding(CHECK, "warning", f"tokens must be for {oauth.audience}, but clients ask for {own}", advice)
