"""One account in one region: the way there, and what is known of it; shared by all callers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from ap_mcp.gateway import Gateway
from ap_mcp.guard.policy import Policy, Rule
from ap_mcp.settings import Settings
from ap_mcp.specs import Catalog
from ap_mcp.wait import Now, Sleep
from ap_mcp.wait.clocks import Clocks
from ap_mcp.wait.recent_changes import Recent

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudClient
    from ap_mcp.guard.approval_requests import Place
    from ap_mcp.introductions import Introductions
    from ap_mcp.kubernetes.discovery import KnownKinds

Connect: TypeAlias = "Callable[[], Awaitable[CloudClient]]"
"""Makes the cloud client; not called before the first call that needs it."""


@dataclass(frozen=True)
class Account:
    """One account in one region, as the operator chose it.

    Attributes:
        settings: those for calls that go there.
        connect: makes its cloud client.
        profile: the operator's name for it; empty if there is one only.
        rules: about calls that go there, beside those about all calls.
    """

    settings: Settings
    connect: Connect = field(repr=False)
    profile: str = ""
    rules: tuple[Rule, ...] = ()


class Cloud:
    """One account in one region.

    Args:
        account: as the operator chose it.
        catalog: all operations.
        simulated: the other end is the simulator.
        sleep: how time passes for tools that wait.
        now: the clock, in seconds.

    Attributes:
        region: as a person reads it.
        gateway: the only way there.
        clocks: how time passes, and what was changed there a moment ago.
    """

    def __init__(self, account: Account, catalog: Catalog, *, simulated: bool, sleep: Sleep, now: Now) -> None:
        self.profile = account.profile
        self.settings = account.settings
        # The port of a simulator in this process is another one each time.
        self.region = account.settings.region or "not set" if simulated else account.settings.place
        self.gateway = Gateway(catalog, account.connect, read_only=account.settings.read_only)
        self.clocks = Clocks(sleep, now, Recent(catalog, now))
        # A certificate of the simulator leads nowhere that is not simulated.
        self.is_direct = account.settings.kubernetes == "direct" and not simulated
        self._catalog = catalog
        self._rules = account.rules

    def policy(self, policy: Policy) -> Policy:
        """Return what a policy, with the rules for this account, allows of calls that go there."""
        closed = "profile" if self.profile else "server"
        here = policy.with_rules(self._rules, read_only=self.settings.read_only, closed=closed)
        return here.for_calls_to(self.profile)

    def place(self, *, simulated: bool) -> "Place":
        """Return where its calls go, as a consent is bound to it; the project is to be filled in."""
        from ap_mcp.guard.approval_requests import Place  # noqa: PLC0415 - few calls need consent

        return Place(self.region, "", simulated, self.profile)

    @cached_property
    def kinds(self) -> "KnownKinds":
        """What its clusters serve, as far as it was asked for."""
        from ap_mcp.kubernetes.discovery import KnownKinds  # noqa: PLC0415 - only calls to clusters need it

        return KnownKinds(self.clocks.now)

    @cached_property
    def introductions(self) -> "Introductions":
        """What lets requests go to the API server of a cluster itself."""
        from ap_mcp.introductions import Introductions  # noqa: PLC0415 - only where the operator chose it

        return Introductions(self.gateway, self._catalog)
