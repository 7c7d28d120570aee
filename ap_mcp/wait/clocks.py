"""How time passes for tools that wait."""

from typing import NamedTuple

from ap_mcp.specs import Catalog
from ap_mcp.wait import Now, Sleep
from ap_mcp.wait.recent_changes import Recent


class Clocks(NamedTuple):
    """How time passes for tools that wait, and what was changed a moment ago; shared by all callers."""

    sleep: Sleep
    now: Now
    recent: Recent

    @classmethod
    def stopped(cls, catalog: Catalog) -> "Clocks":
        """Return clocks for tools that are shown and never called."""

        async def sleep(_: float) -> None:
            raise RuntimeError("a tool that is only shown was called")

        return cls(sleep, lambda: 0.0, Recent(catalog, lambda: 0.0))
