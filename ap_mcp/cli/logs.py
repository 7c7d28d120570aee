"""The log on standard error: as lines to read, or one JSON object a line; secrets masked, and no line can be forged."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ap_mcp.calling import calling
from ap_mcp.masking import mask_text
from ap_mcp.wording import visible

INDENT = "\n    "
"""What continues an entry: a line that begins without it is an entry of its own."""
NO_TRACE = 0


class Lines(logging.Formatter):
    """Writes an entry for people."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry; what it quotes can neither begin another one nor move the cursor."""
        return INDENT.join(visible(mask_text(super().format(record))).splitlines())


class Objects(logging.Formatter):
    """Writes an entry for programs: one object of JSON, in ASCII, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry."""
        call = calling()
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask_text(super().format(record)),
            "principal": call.principal,
            "tool": mask_text(call.tool),
            "trace_id": _trace(),
        }
        return json.dumps({key: value for key, value in found.items() if value})


FORMS: dict[str, type[logging.Formatter]] = {"text": Lines, "json": Objects}


def _trace() -> str:
    """Return the id of the trace that the entry belongs to; empty if there is none."""
    traces = sys.modules.get("opentelemetry.trace")  # the protocol brings it; no command needs it
    if traces is None:
        return ""
    number = traces.get_current_span().get_span_context().trace_id
    return "" if number == NO_TRACE else f"{number:032x}"
