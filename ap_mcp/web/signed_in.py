"""Who has signed in, and why others have not; shared by the ways to sign in."""

from collections.abc import Callable, Collection
from typing import Any

from mcp.server.auth.provider import AccessToken
from pydantic import ConfigDict, Field

from ap_mcp.guard.policy_file import Known, load_policy
from ap_mcp.principals import Rights
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import toolbox
from ap_mcp.web.grants import Grant

LARGEST_TOKEN = 16 * 1024
"""Characters of a token that are read; one of an issuer that names many groups has a few thousand."""


class SignedIn(AccessToken):
    """A caller whose token was verified; the token itself is not kept.

    Attributes:
        principal: for whom the call is made.
        rights_now: returns what they may use, each time it is asked; raises `UnknownPrincipal` once that is nothing.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    token: str = Field(default="", repr=False)
    principal: str
    rights_now: Callable[[], Rights] = Field(repr=False)


NO_PROFILE = (
    "This server has none of the profiles that you may use, or one of them is misspelt: its operator finds it with "
    "`ap-mcp doctor`."
)


class NotSignedIn(Exception):
    """A request that nobody who may call has made.

    Args:
        why: for whoever calls; no part of the token.
        status: 401 for a token that does not count, 403 for one that does and gives no rights, 503 where it cannot be
            known now.
        error: the code of RFC 6750, if one fits.
    """

    def __init__(self, why: str, status: int = 401, error: str = "invalid_token") -> None:
        super().__init__(why)
        self.status = status
        self.error = error


def rights_within(server: Rights, grant: Grant, known: Known, tables: Collection[str] | None = None) -> Rights | None:
    """Return the rights of a caller: what is granted, of what the server itself offers and allows.

    None if the server has no profile that is granted: it may be another server with the same file. None, too, if one
    that is granted is in no table: without it, another one would be where calls go that name none.

    Args:
        server: what the settings give to everybody.
        grant: of this caller.
        known: the tools that rules may name.
        tables: the profiles that there are, served or not, if that is known.

    Raises:
        SettingsError: the policy file of the grant is wrong.
    """
    if tables is not None and not set(grant.profiles).issubset(tables):
        return None
    profiles = tuple(each for each in grant.profiles if each in server.profiles) if grant.profiles else server.profiles
    if not profiles:
        return None
    rules = load_policy(grant.policy_file, server.policy, known).every_rule
    policy = server.policy.with_rules(rules, read_only=grant.read_only, closed="caller")
    return server._replace(policy=policy, toolsets=grant.toolsets, within=server.toolsets, profiles=profiles)


def offers_tools(rights: Rights | None) -> bool | None:
    """Say whether a caller is offered any tool; None if they have no rights here."""
    if rights is None:
        return None
    reads, within = rights.read_only, rights.within
    return bool(toolbox(load_catalog(), rights.toolsets, read_only=reads, remote=True, within=within).tools)


def access_of(principal: str, rights_now: Callable[[], Rights], **more: Any) -> SignedIn:
    """Return a caller who has signed in."""
    return SignedIn(principal=principal, rights_now=rights_now, **{"client_id": "", "scopes": [], **more})
