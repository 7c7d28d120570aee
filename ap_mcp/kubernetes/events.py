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


def event_time(event: Any) -> datetime | None:
    """Return when an event was reported last: its series, which newer reporters keep, knows best; None if not said."""
    places = ("/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime", "/firstTimestamp")
    every = (moment(get(event, each)) for each in (*places, "/metadata/creationTimestamp"))
    return next((each for each in every if each), None)


def event_count(event: Any) -> int:
    """Return how often an event was reported."""
    counts = (number(get(event, each)) for each in ("/series/count", "/count", "/deprecatedCount"))
    return int(next((each for each in counts if each), 1))


def event_text(event: Any) -> str:
    """Return what an event says, on one line, secrets in it not masked."""
    return text(_message(event), 2000)


def subject_of(event: Any) -> Any:
    """Return the reference to the object that an event is about."""
    return get(event, "/involvedObject") or get(event, "/regarding")


def newest(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return events, the newest first."""
    return sorted(events, key=lambda each: event_time(each) or _NEVER, reverse=True)


def event_line(event: Any, now: datetime, *, about: bool = True, namespace: bool = False) -> EventLine:
    """Return an event as one line.

    Args:
        event: of either API group.
        now: to measure its age.
        about: name the object that it is about.
        namespace: name the namespace of that object.
    """
    count, at = event_count(event), event_time(event)
    return EventLine(
        type=text(get(event, "/type")) or "Normal",
        reason=text(get(event, "/reason")),
        object=named(subject_of(event), namespace=namespace) if about else None,
        age=age(at, now) if at else None,
        count=count if count > 1 else None,
        message=text(mask_text(_message(event)), MESSAGE_LIMIT) or None,
    )


def named(thing: Any, *, namespace: bool = False) -> str:
    """Return a reference to an object as kubectl writes it: `pod/cart-5d4`."""
    kind, name = text(get(thing, "/kind")).lower(), text(get(thing, "/name"))
    place = f"{text(get(thing, '/namespace'))}/" if namespace and get(thing, "/namespace") else ""
    return f"{place}{kind}/{name}" if kind else name


def _message(event: Any) -> str:
    found = get(event, "/message") or get(event, "/note")
    return found if isinstance(found, str) else ""
