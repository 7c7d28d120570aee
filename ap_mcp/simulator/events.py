"""Which functions react to which scheduled event of the simulated world."""

from collections.abc import Callable
from typing import Any, TypeVar

Reaction = Callable[..., None]
"""Called as `reaction(world, **payload)`."""

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_REACTIONS: dict[str, list[Reaction]] = {}


def reacts_to(event: str) -> Callable[[_Decorated], _Decorated]:
    """Register a function to run when the named event is due; several may react, in the order of import."""

    def register(reaction: _Decorated) -> _Decorated:
        reactions = _REACTIONS.setdefault(event, [])
        origin = (reaction.__module__, reaction.__qualname__)
        if origin in {(known.__module__, known.__qualname__) for known in reactions}:
            raise ValueError(f"{'.'.join(origin)} is registered twice for the event {event!r}")
        reactions.append(reaction)
        return reaction

    return register


def reactions_to(event: str) -> tuple[Reaction, ...]:
    """List what runs on an event.

    Raises:
        LookupError: if nothing reacts to it; the name is misspelt or its module is not imported.
    """
    reactions = _REACTIONS.get(event)
    if not reactions:
        raise LookupError(f"nothing reacts to the event {event!r}; known events: {', '.join(sorted(_REACTIONS))}")
    return tuple(reactions)
