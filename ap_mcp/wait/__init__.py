"""Waits for what the cloud does in its own time: looks, and looks again, by what the specs say about phases."""

from ap_mcp.summaries.wait_hints import WAIT_FOR
from ap_mcp.wait.poller import Ending, Now, Report, Sleep, Watch, say_nothing
from ap_mcp.wait.recent_changes import Recent
from ap_mcp.wait.result import Waited, waited
from ap_mcp.wait.targets import DESCRIPTION, PLACES, TITLE, Look, Order, Waitable, misfits, wait_schema, waitables

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
