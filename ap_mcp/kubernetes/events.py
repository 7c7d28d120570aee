"""Events of a cluster: read in any of their forms, the newest first, with how often and about what; pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ap_mcp.masking import mask_text
from ap_mcp.summaries.base import Part
from ap_mcp.vendor import get, moment, number, text
from ap_mcp.wording import age

MESSAGE_LIMIT = 400
KEPT = "Kubernetes keeps events for an hour unless the cluster is set otherwise."
_NEVER = datetime.min.replace(tzinfo=UTC)


class EventLine(Part):
    """What was reported about an object; the first texts lead.

    Attributes:
        count: how often it was reported.
        age: since it was reported last.
    """

    type: str
    reason: str
    object: str | None = None
    age: str | None = None
    count: int | None = None
    message: str | None = None


def when(event: Any) -> datetime:
    """Return when an event was reported last; long ago if that is not said."""
    places = ("/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime", "/firstTimestamp")
    every = (moment(get(event, each)) for each in (*places, "/metadata/creationTimestamp"))
    return next((each for each in every if each), _NEVER)


def newest(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return events, the newest first."""
    return sorted(events, key=when, reverse=True)


def event_line(event: Any, now: datetime, *, about: bool = True, namespace: bool = False) -> EventLine:
    """Return an event as one line.

    Args:
        event: of either API group.
        now: to measure its age.
        about: name the object that it is about.
        namespace: name the namespace of that object.
    """
    thing = get(event, "/involvedObject") or get(event, "/regarding")
    counts = (number(get(event, each)) for each in ("/series/count", "/count", "/deprecatedCount"))
    count, at = next((each for each in counts if each), None), when(event)
    return EventLine(
        type=text(get(event, "/type")) or "Normal",
        reason=text(get(event, "/reason")),
        object=named(thing, namespace=namespace) if about else None,
        age=age(at, now) if at is not _NEVER else None,
        count=int(count) if count and count > 1 else None,
        message=text(mask_text(_raw(get(event, "/message") or get(event, "/note"))), MESSAGE_LIMIT) or None,
    )


def named(thing: Any, *, namespace: bool = False) -> str:
    """Return a reference to an object as kubectl writes it: `pod/cart-5d4`."""
    kind, name = text(get(thing, "/kind")).lower(), text(get(thing, "/name"))
    place = f"{text(get(thing, '/namespace'))}/" if namespace and get(thing, "/namespace") else ""
    return f"{place}{kind}/{name}" if kind else name


def _raw(message: Any) -> str:
    return message if isinstance(message, str) else ""
