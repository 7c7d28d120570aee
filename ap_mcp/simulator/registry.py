"""What a subject's handlers are made of: requests, answers, vendor errors, and who handles which operation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.world import Row, World

__all__ = [
    "Answer",
    "Handler",
    "SimulatedError",
    "SimulatedRequest",
    "fetch",
    "handler_of",
    "handles",
    "invalid",
    "missing_handlers",
    "not_found",
    "public",
    "reacts_to",
]


@dataclass(frozen=True, slots=True)
class SimulatedRequest:
    """A request that has passed authentication and its spec.

    `body` is parsed JSON; for multipart it is `{"parameters": <parsed JSON>, "content": bytes, "filename": str}`.
    Header names are lower case.
    """

    operation: str
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that says more than its body; what is not set comes from the operation's spec.

    `body` may be JSON, text or bytes. `verbatim` keeps keys that start with `_` (a chart's values may have them).
    `empty` says that the body is missing on purpose although the spec describes one.
    """

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str | None = None
    verbatim: bool = False
    empty: bool = False


class SimulatedError(Exception):
    """An error as the vendor would answer it."""

    def __init__(
        self, status: int, code: str, message: str, *, reason: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason
        self.headers = dict(headers or {})


Handler = Callable[[World, SimulatedRequest], Any]
"""Returns JSON, text (`str`), None for an empty body, or an `Answer`."""

_Decorated = TypeVar("_Decorated", bound=Handler)
_HANDLERS: dict[str, Handler] = {}


def handles(operation: str) -> Callable[[_Decorated], _Decorated]:
    """Register the one function that answers an operation."""

    def register(handler: _Decorated) -> _Decorated:
        if operation in _HANDLERS:
            raise ValueError(f"{operation} already has a handler: {_HANDLERS[operation].__qualname__}")
        _HANDLERS[operation] = handler
        return handler

    return register


def handler_of(operation: str) -> Handler | None:
    """Find the function that answers an operation."""
    return _HANDLERS.get(operation)


def missing_handlers(operations: Iterable[str]) -> list[str]:
    """List the operations (a catalog's names) that nothing answers."""
    return sorted(set(operations) - set(_HANDLERS))


def public(value: Any) -> Any:
    """Copy a value without the hidden facts: keys that start with `_`, at every depth."""
    if isinstance(value, dict):
        return {
            key: public(item) if isinstance(item, (dict, list, tuple)) else item
            for key, item in value.items()
            if key[:1] != "_"
        }
    if isinstance(value, (list, tuple)):
        return [public(item) for item in value]
    return value


def not_found(kind: str, key: str, *, service: str = "01") -> SimulatedError:
    """Make the 404 of a service (01 clusters, 02 charts and releases, 03 add-ons)."""
    return SimulatedError(404, f"CCE.{service}404001", "Resource not found", reason=f"{kind} {key!r} does not exist")


def invalid(reason: str, *, service: str = "01") -> SimulatedError:
    """Make the 400 of a service for a request whose content cannot be accepted."""
    return SimulatedError(400, f"CCE.{service}400001", "Invalid request", reason=reason)


def fetch(world: World, table: str, key: str, kind: str, *, service: str = "01") -> Row:
    """Return a row.

    Raises:
        SimulatedError: 404 if there is none.
    """
    row = world.table(table).get(key)
    if row is None:
        raise not_found(kind, key, service=service)
    return row
