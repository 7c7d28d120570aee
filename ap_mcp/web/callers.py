"""Who may call a server over HTTP, as its settings say: how they sign in, and what they may use then."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ap_mcp.cloud.lines import Lines, outward_lines
from ap_mcp.errors import SettingsError
from ap_mcp.principals import Rights
from ap_mcp.settings import Settings
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import known_to_rules
from ap_mcp.web.grants import Grant
from ap_mcp.web.issuer_keys import IssuerKeys, fetching
from ap_mcp.web.oauth import EVERYBODY_READS, OAuth, PeopleRule, read_rules
from ap_mcp.web.options import PATH
from ap_mcp.web.sign_in import SignIn
from ap_mcp.web.signed_in import rights_within
from ap_mcp.web.token_file import FileTokens
from ap_mcp.wording import few


def has_sign_in(settings: Settings) -> bool:
    """Say whether callers over HTTP have to sign in."""
    return settings.oauth_issuer is not None or tokens_file(settings) is not None


def sign_in_from(settings: Settings, server: Rights) -> SignIn | None:
    """Return how callers sign in; None if nobody has to.

    Args:
        settings: what the operator chose.
        server: the rights that nobody goes beyond.

    Raises:
        SettingsError: the tokens file or the settings of OAuth cannot be used.
    """
    if not has_sign_in(settings):
        check_oauth(settings)
        return None
    grantable = partial(rights_within, server, known=known_to_rules(load_catalog()), tables=settings.profiles)
    path = tokens_file(settings)
    tokens = None if path is None else FileTokens(path, grantable)
    if tokens is not None and tokens.trouble:
        raise SettingsError(tokens.trouble)
    check_oauth(settings)
    oauth = None
    if settings.oauth_issuer is not None:
        rules = read_rules(settings.oauth_rules, "oauth_rules") if settings.oauth_rules else EVERYBODY_READS
        oauth = OAuth(
            settings.oauth_issuer,
            audience_of(settings),
            keys_of(settings, settings.oauth_issuer),
            [(rule, _granted(rule, grantable)) for rule in rules],
            scopes=settings.oauth_scopes,
        )
    return SignIn(settings.public_url or "", PATH, tokens, oauth)


def _granted(rule: PeopleRule, grantable: Callable[[Grant], Rights | None]) -> Rights:
    rights = grantable(rule.grant)
    if rights is None:
        named = few(rule.grant.profiles)
        why = "none of them is served here, or ap-mcp.toml does not have one of them"
        raise SettingsError(f"Wrong rules in oauth_rules: profiles {named}: {why}.")
    return rights


def tokens_file(settings: Settings) -> Path | None:
    """Return the file of tokens: the one that is named, there or not; or that in the usual place, if it is there."""
    if settings.tokens_file is not None:
        return settings.tokens_file
    try:
        usual = settings.tokens_path
    except SettingsError:  # this user has no folders of their own
        return None
    return usual if os.path.lexists(usual) else None


def check_oauth(settings: Settings) -> None:
    """Check that the settings of OAuth fit each other.

    Raises:
        SettingsError: they do not.
    """
    beside = ("oauth_audience", "oauth_jwks_url", "oauth_scopes", "oauth_rules")
    given = [f"AP_MCP_{name.upper()}" for name in beside if getattr(settings, name)]
    if settings.oauth_issuer is None and given:
        raise SettingsError(f"{' and '.join(given)} without AP_MCP_OAUTH_ISSUER: name the issuer of the tokens.")
    if settings.oauth_issuer is not None and not audience_of(settings):
        raise SettingsError(
            "AP_MCP_OAUTH_ISSUER without AP_MCP_PUBLIC_URL: tokens are for an address, and it is not known which. "
            "Set AP_MCP_PUBLIC_URL to the address that callers use."
        )


def audience_of(settings: Settings) -> str:
    """Return what tokens of the issuer must be for; empty if that is not known."""
    return settings.oauth_audience or (settings.public_url + PATH if settings.public_url else "")


def keys_of(settings: Settings, issuer: str) -> IssuerKeys:
    """Return the keys of an issuer, which is reached as the cloud is: by the same proxy and certificates."""

    def connect() -> Lines:
        return outward_lines(settings)

    return IssuerKeys(issuer, settings.oauth_jwks_url, fetching(connect))
