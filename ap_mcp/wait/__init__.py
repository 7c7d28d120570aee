"""Waits for what the cloud does in its own time: looks, and looks again, by what the specs say about phases."""

from ap_mcp.summaries.following import WAIT_FOR
from ap_mcp.wait.kinds import DESCRIPTION, PLACES, TITLE, Look, Order, Waitable, misfits, wait_schema, waitables
from ap_mcp.wait.recent import Recent
from ap_mcp.wait.waited import Waited, waited
from ap_mcp.wait.watch import Ending, Now, Report, Sleep, Watch, say_nothing

__all__ = [
    "DESCRIPTION",
    "PLACES",
    "TITLE",
    "WAIT_FOR",
    "Ending",
    "Look",
    "Now",
    "Order",
    "Recent",
    "Report",
    "Sleep",
    "Waitable",
    "Waited",
    "Watch",
    "misfits",
    "say_nothing",
    "wait_schema",
    "waitables",
    "waited",
]
