"""How long audit logs are, as noted away from them: there a log that is lost, or cut with its head, is noticed."""

from collections.abc import Iterable
from dataclasses import dataclass

from ap_mcp.guard.audit_check import AuditFinding
from ap_mcp.vendor import moment, written


@dataclass(frozen=True, slots=True)
class Extent:
    """Which log one is, and how many lines it has.

    Attributes:
        id: of the log: the seal of its first line, cut.
        lines: how many there are.
    """

    id: str
    lines: int


@dataclass(frozen=True, slots=True)
class AuditHead:
    """What is noted about a log.

    Attributes:
        extent: of the log, as it was last.
        host: the machine that it was on.
        path: where it was there.
        at: when that was noted, in RFC 3339.
    """

    extent: Extent
    host: str
    path: str
    at: str


def lost_lines(heads: Iterable[AuditHead], host: str, path: str, extent: Extent | None) -> list[AuditFinding]:
    """Return what is missing of the logs of one place.

    Args:
        heads: what is noted, of all logs.
        host: this machine.
        path: of the log that is checked.
        extent: of that log; None if there is none.
    """
    found = []
    for head in heads:
        when = moment(head.at)
        at = f" (last noted at {written(when)})" if when else ""
        if extent is not None and head.extent.id == extent.id:
            if head.extent.lines > extent.lines:
                gone = f"it had {head.extent.lines} lines{at}, and has {extent.lines}: lines are missing at the end"
                found.append(AuditFinding("lost", 0, gone))
        elif (head.host, head.path) == (host, path):
            gone = (
                f"another log stood here, of {head.extent.lines} lines{at}. If it was put aside, check that copy with "
                f"--log, then have it forgotten: ap-mcp audit forget {head.extent.id}. Else it is lost"
            )
            found.append(AuditFinding("lost", 0, gone))
    return found
