"""The log on standard error: as lines to read, or one JSON object a line; secrets masked, and no line can be forged."""

import json
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeAlias

import click

from ap_mcp.calling import calling
from ap_mcp.masking import mask_text
from ap_mcp.wording import ends, span, visible

INDENT = "\n    "
"""What continues an entry: a line that begins without it is an entry of its own."""
PROGRAM = "ap_mcp.cli"
"""The logger that is named in entries about the program itself."""
NO_TRACE = 0
LONGEST = 20_000
"""Characters of an entry: whoever sends a request may have a part of it quoted."""
MINUTE = 60.0

_Place: TypeAlias = tuple[str, int, type[BaseException] | None]


class Lines(logging.Formatter):
    """Writes an entry for people."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry; what it quotes can neither begin another one nor move the cursor."""
        return INDENT.join(visible(_text(super().format(record))).splitlines())


class Objects(logging.Formatter):
    """Writes an entry for programs: one object of JSON, in ASCII, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry."""
        call = calling()
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _text(super().format(record)),
            "principal": call.principal,
            "tool": mask_text(call.tool),
            "trace_id": _trace(),
        }
        return json.dumps({key: value for key, value in found.items() if value})


@dataclass(slots=True)
class _Said:
    """When something was last written, and how often it was left out since."""

    at: float
    left_out: int = 0


class Seldom(logging.Filter):
    """Lets what one place in a library says through once a minute: whoever reaches the server may have it said.

    The next entry of that place says how many were left out. Our own code looks after itself.

    Args:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[_Place, _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether an entry is written."""
        if record.name.partition(".")[0] == "ap_mcp":
            return True
        place = (record.pathname, record.lineno, record.exc_info[0] if record.exc_info else None)
        now, said = self._now(), self._said.get(place)
        if said is not None and now - said.at < MINUTE:
            said.left_out += 1
            return False
        self._said[place] = _Said(now)
        if said is not None and said.left_out:
            more = f"{record.getMessage()} (left out within {span(now - said.at)}: {said.left_out} more like it)"
            record.msg, record.args = more, None
        return True


FORMS: dict[str, type[logging.Formatter]] = {"text": Lines, "json": Objects}


def say(text: str, form: str, level: int = logging.INFO) -> None:
    """Write words for whoever started the program to standard error, whatever the level of the log.

    Args:
        text: the words.
        form: that of the log: they are an entry if it is `json`, and stand as they are if not.
        level: of that entry.
    """
    if form == "json":
        text = Objects().format(logging.LogRecord(PROGRAM, level, "", 0, "%s", (text,), None))
    click.echo(text, err=True)


def log_what_is_uncaught() -> None:
    """Have what Python writes by itself written to the log: errors that nothing caught, and warnings."""
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda _kind, error, _trace: _uncaught(error)
    threading.excepthook = lambda args: _uncaught(args.exc_value)
    sys.unraisablehook = lambda args: _uncaught(args.exc_value)


def _uncaught(error: BaseException | None) -> None:
    logging.getLogger(PROGRAM).critical("An error in ap-mcp itself; please report it.", exc_info=error)


def _text(entry: str) -> str:
    # Cut last: what is left of a secret that is cut would not be known as one.
    return ends(mask_text(entry), LONGEST)


def _trace() -> str:
    """Return the id of the trace that the entry belongs to; empty if there is none."""
    traces = sys.modules.get("opentelemetry.trace")  # the protocol brings it; no command needs it
    if traces is None:
        return ""
    number = traces.get_current_span().get_span_context().trace_id
    return "" if number == NO_TRACE else f"{number:032x}"
