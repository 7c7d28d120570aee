"""Who calls, and what they may use: light objects, made per principal; what all callers share is made once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from ap_mcp.clouds import Cloud
from ap_mcp.errors import CallRefused
from ap_mcp.finishing import Finishing
from ap_mcp.guard.guarding import Guard
from ap_mcp.guard.policy import Policy, effect_of
from ap_mcp.guard.policy_file import load_policy
from ap_mcp.settings import Confirm, Settings
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Result
from ap_mcp.toolbox import Toolbox, known_to_rules


class Rights(NamedTuple):
    """What some principals may use; those with equal rights share one view.

    Attributes:
        policy: what the operator allows.
        toolsets: what is offered.
        confirm: how consent is obtained.
        remote: they call from other machines, over HTTP: files of this one are neither sent nor written for them, and
            no call waits longer than what lies between lets it.
        profiles: the operator's profiles that their calls may go to, the default one first; one without a name where
            there are none.
        within: what the server itself offers; nothing beyond it is offered, whatever the toolsets.
    """

    policy: Policy
    toolsets: tuple[str, ...]
    confirm: Confirm
    remote: bool = False
    profiles: tuple[str, ...] = ("",)
    within: tuple[str, ...] = ("all",)

    @property
    def read_only(self) -> bool:
        """Whether nothing but reads is offered, and let through."""
        return self.policy.read_only


class Principals(Protocol):
    """Who may use a server, and what."""

    def rights_of(self, principal: str) -> Rights:
        """Return what a principal may use now.

        Raises:
            UnknownPrincipal: nothing, or nothing any more.
        """


class Everybody(NamedTuple):
    """Implements `Principals` for a server whose callers all have the same rights."""

    rights: Rights

    def rights_of(self, _principal: str) -> Rights:
        """Return what everybody may use."""
        return self.rights


@dataclass(frozen=True)
class View:
    """The server as principals with equal rights see it, of one profile.

    Attributes:
        rights: what they may use.
        cloud: where the calls go.
        toolbox: the tools that they are offered.
        guard: decides about their calls.
        finishing: makes results fit for them.
    """

    rights: Rights
    cloud: Cloud
    toolbox: Toolbox
    guard: Guard
    finishing: Finishing

    @property
    def policy(self) -> Policy:
        """What the operator allows of calls that go there."""
        return self.guard.policy

    @property
    def note(self) -> str:
        """What an error says of the profile; nothing if there is one only."""
        if len(self.rights.profiles) == 1:
            return ""
        from ap_mcp.addressing import note  # noqa: PLC0415 - few servers have several profiles

        return note(self.cloud.profile, self.rights.profiles)

    def leading_back(self, result: Result) -> Result:
        """Return a result whose next calls go to the profile that it came from, where there are several."""
        if len(self.rights.profiles) == 1:
            return result
        from ap_mcp.addressing import leading_back  # noqa: PLC0415 - likewise

        return leading_back(result, self.cloud.profile)

    def effect_of(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Return how grave a call is, or the worst that its tool can do where the arguments do not tell."""
        tool = self.toolbox.tools.get(name)
        if tool is None:
            operation = self.toolbox.catalog.get(name)
            return operation.worst_effect if operation else ""
        try:
            return effect_of(tool.subject(tool.checked(arguments)), self.policy)
        except CallRefused:
            return tool.effect


def rights_from(
    settings: Settings, *, profiles: tuple[str, ...] = ("",), ask: bool = True, remote: bool = False
) -> Rights:
    """Return the rights that the settings give to everybody.

    Args:
        settings: what the operator chose.
        profiles: those that were chosen.
        ask: guarded calls need a person's consent.
        remote: everybody calls over HTTP.

    Raises:
        SettingsError: the policy file is wrong.
    """
    known = None if settings.policy_file is None else known_to_rules(load_catalog())
    policy = replace(load_policy(settings.policy_file, settings, known), ask=ask)
    return Rights(policy, tuple(settings.toolsets), settings.confirm, remote, profiles)
