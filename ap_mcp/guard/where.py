"""Where a guarded call would act, and for whom it is made: what every question says beside the impact."""

from dataclasses import dataclass

from ap_mcp.wording import clean, in_order, in_quotes, is_plain

SIMULATED = "SIMULATED"
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Where:
    """Where a call would act, and for whom.

    Attributes:
        region: of the cloud; the host of the service where no region is set.
        project: the id of the project in it.
        client: name and version of the program that asks, as it says of itself; empty if it does not.
        principal: for whom the call is made.
        simulated: the other end is the simulator.
        profile: the operator's name for this account and region; empty if there is one only.
    """

    region: str
    project: str = ""
    client: str = ""
    principal: str = ""
    simulated: bool = False
    profile: str = ""

    @property
    def head(self) -> str:
        """What a question begins with: that nothing is real, or the region; and the profile, if that says more."""
        head = SIMULATED if self.simulated else _word(self.region)
        return f"{head} ({_word(self.profile)})" if self.profile not in ("", self.region) else head

    def lines(self) -> list[str]:
        """Return it as a person reads it."""
        project = f", project {_word(self.project)}" if self.project else ""
        real = f"{SIMULATED}: nothing here is real; " if self.simulated else ""
        asks = f"client {_word(self.client)}" if self.client else "a client that does not say its name"
        whom = f", for {_word(self.principal)}" if self.principal else ""
        profile = f"profile {_word(self.profile)}, " if self.profile else ""
        return [f"Where: {real}{profile}region {_word(self.region)}{project}", f"Asked by: {asks}{whom}"]


ANYWHERE = Where("any region")
"""Where nothing is said of it: the call is not made."""


def _word(text: str) -> str:
    shown = clean(text, _LONGEST)
    return shown if is_plain(shown) else in_order(in_quotes(text, _LONGEST))
