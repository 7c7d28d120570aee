"""Waits for what the cloud does in its own time: reads, and reads again, by what the specs say about phases."""

from ap_mcp.rules.wait_hints import DELETED, UNTIL, WAIT_FOR
from ap_mcp.wait.poller import Ending, Now, Report, Shown, Sleep, Watch, say_nothing
from ap_mcp.wait.recent_changes import Recent
from ap_mcp.wait.result import Waited, waited
from ap_mcp.wait.targets import DESCRIPTION, PLACES, TITLE, Order, ReadKey, Waitable, misfits, wait_schema, waitables

__all__ = [
    "DELETED",
    "DESCRIPTION",
    "PLACES",
    "TITLE",
    "UNTIL",
    "WAIT_FOR",
    "Ending",
    "Now",
    "Order",
    "ReadKey",
    "Recent",
    "Report",
    "Shown",
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
