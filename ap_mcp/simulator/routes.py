"""Finds the operation a raw, percent-encoded path means, decoding each segment once and only once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from ap_mcp.specs import Operation


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path template; `operation` is None for what is not in the catalog (IAM)."""

    name: str
    method: str
    segments: tuple[str, ...]
    operation: Operation | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the decoded values of its path parameters."""

    route: Route
    path: Mapping[str, str]


class Routes:
    """All routes; a fixed segment beats a parameter."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, int], list[Route]] = {}
        for route in routes:
            self._routes.setdefault((route.method, len(route.segments)), []).append(route)
        for same_length in self._routes.values():
            same_length.sort(key=lambda route: [_is_parameter(segment) for segment in route.segments])

    def match(self, method: str, raw_path: bytes) -> Match | None:
        """Find the route of a request.

        Raises:
            ValueError: if a segment is no UTF-8 or a dot segment, which a real gateway would resolve away.
        """
        segments = [decode(segment) for segment in raw_path.split(b"/")[1:]]
        if any(segment in {".", ".."} for segment in segments):
            raise ValueError("the path holds a '.' or '..' segment")
        for route in self._routes.get((method, len(segments)), ()):
            values = _values(route, segments)
            if values is not None:
                return Match(route, values)
        return None


def operation_route(operation: Operation) -> Route:
    """Make the route of a catalog operation."""
    return Route(operation.id, operation.method, split_template(operation.path), operation)


def split_template(path: str) -> tuple[str, ...]:
    """Split `/a/{b}` into its segments."""
    return tuple(path.split("/")[1:])


def decode(text: bytes) -> str:
    """Decode percent-encoded UTF-8; a plus sign stays one.

    Raises:
        ValueError: if the bytes are no UTF-8.
    """
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise ValueError("the URL holds bytes that are no UTF-8") from error


def decode_query(query: bytes) -> list[tuple[str, str]]:
    """Split a query string into decoded pairs, in order, empty values kept.

    Raises:
        ValueError: if the bytes are no UTF-8.
    """
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    return [(decode(name), decode(value)) for name, _, value in pairs]


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _values(route: Route, segments: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for template, segment in zip(route.segments, segments, strict=True):
        if _is_parameter(template) and segment:
            values[template[1:-1]] = segment
        elif template != segment:
            return None
    return values
