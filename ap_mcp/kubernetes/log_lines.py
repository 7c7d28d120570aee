"""Makes lines of what a container wrote: cleaned, masked, only what is wanted, long ones cut in their middle; pure."""

import re
from dataclasses import dataclass

from ap_mcp.masking import mask_text
from ap_mcp.wording import ends, visible

LINE_LIMIT = 1000
BINARY_SHARE = 0.2
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest lines of a log.

    Attributes:
        lines: the oldest first, none longer than `LINE_LIMIT`.
        older: lines that were read and are left out, for there were more than wanted or than fit.
        cut: characters that are left out of long lines.
        searched: lines that were searched; None if nothing was searched for.
    """

    lines: list[str]
    older: int = 0
    cut: int = 0
    searched: int | None = None


def tail_of(raw: str, wanted: int, room: int, contains: str = "") -> Tail:
    """Return the newest lines of a log.

    What is searched for is sought in what may be shown: what is masked cannot be found by guessing it.

    Args:
        raw: as it came.
        wanted: how many lines.
        room: characters that they may take together.
        contains: only lines with this text; upper and lower case count.
    """
    # A line that is overwritten on a terminal would hide what it said before.
    separated = raw.replace("\r\n", "\n").replace("\r", "\n")
    readable = "\n".join(map(_readable, separated.split("\n")))
    every = [line for line in mask_text(visible(readable)).replace("\t", "  ").split("\n") if line.strip()]
    fitting = [line for line in every if contains in line] if contains else every
    kept: list[str] = []
    cut = 0
    for line in reversed(fitting[-wanted:]):
        shown = ends(line.rstrip(), LINE_LIMIT)
        if len(shown) > room and kept:
            break
        room -= len(shown)
        cut += len(line.rstrip()) - len(shown) if len(shown) < len(line.rstrip()) else 0
        kept.append(shown)
    return Tail(kept[::-1], len(fitting) - len(kept), cut, len(every) if contains else None)


def _readable(line: str) -> str:
    """Return a line; one that is no text as its size."""
    odd = len(_CONTROLS.findall(line)) if not line.isprintable() or "\ufffd" in line else 0
    return f"({len(line)} bytes that are no text)" if odd > max(BINARY_SHARE * len(line), 2) else line
