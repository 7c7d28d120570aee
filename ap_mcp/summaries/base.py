"""What every summary is made of: the answer, the result, and ways to read odd JSON without stumbling.

A summariser is a pure function from an `Answer` to its own kind of `Result`:

    class QuotaList(Result):
        quotas: list[Quota]

    @summarises("quotas")
    def quotas(answer: Answer) -> QuotaList:
        found = [Quota(name=text(get(each, "/key"))) for each in items(answer.body, "/quotas")]
        return QuotaList(summary=f"{len(found)} quotas.", quotas=found)
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from ap_mcp.errors import clean, is_plain
from ap_mcp.errors import quoted as quoted_line
from ap_mcp.files import SavedFile
from ap_mcp.specs import Operation
from ap_mcp.summaries.mask import mask

TEXT_LIMIT = 300
LONGEST = 16_000
"""Characters of any one text in an answer; of a longer one the start is told, and how long it is."""
NAMED = 12
"""Things of a kind that are named before the rest is counted."""
FALLBACK_FIELD = "answer"
CURSOR, DETAIL, FULL = "cursor", "detail", "full"
"""Arguments of ours that choose how much of an answer is told."""
FULL_LIMIT = 48_000
"""Characters of a whole answer that are told; of a longer one each list is cut to its first entries."""

_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_]")
_CLOCK = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<time>\d{2}:\d{2}:\d{2})(?:[.,](?P<fraction>\d{1,12}))?"
    r" ?(?P<zone>[+-]\d{2}:?\d{2}|[A-Za-z]{1,5})?(?![^\s])",
)
_ZONES = {"Z": "+00:00", "UTC": "+00:00", "GMT": "+00:00", "CST": "+08:00"}
_NUMBER = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?")
_EPOCH_UNITS = ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))


class Part(BaseModel):
    """A piece of a result: small, flat, read-only, patient with numbers where text was expected."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, defer_build=True)


class NextCall(Part):
    """A call that makes sense now, ready to be sent."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    why: str


class Result(Part):
    """What a tool answers: one to three sentences, then typed facts in the fields of a subclass."""

    summary: str
    warnings: list[str] = Field(default_factory=list)
    next: list[NextCall] = Field(default_factory=list)
    full: Any = None
    request_id: str | None = None
    raw: str | None = None

    def structured(self) -> dict[str, Any]:
        """Return the result as JSON for the structured half of an answer; what is absent or empty is left out."""
        dumped = sendable(self.model_dump(exclude_none=True), LONGEST)
        return {key: value for key, value in dumped.items() if value or key not in ("warnings", "next")}


COMMON_FIELDS = frozenset(Result.model_fields)

R_co = TypeVar("R_co", bound=Result, covariant=True)


@dataclass(frozen=True)
class Answer:
    """What the cloud said to one call; secrets in it are masked the moment it is made.

    Args:
        operation: The operation that was called; its `summary` chooses the summariser.
        arguments: The flat arguments of the call.
        body: The parsed JSON, a text, or None for an empty answer.
        file: Where a binary or secret result was saved; then `body` holds only what may be shown.
        now: The time to measure ages against; a summariser never looks at a clock.
        own: The arguments of ours among those of the call: where a page begins, how much is told.
        context: What was read beside it, by the argument that named it.
    """

    operation: Operation
    arguments: Mapping[str, Any]
    body: Any
    file: SavedFile | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    own: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("body", "arguments", "own", "context"):
            value = getattr(self, name)
            object.__setattr__(self, name, mask(dict(value) if isinstance(value, Mapping) else value))


@dataclass(frozen=True)
class Summariser(Generic[R_co]):
    """A pure function that shapes the answers of one kind, and the type of its results."""

    kind: str
    function: Callable[[Answer], R_co]
    accepts: type | UnionType
    result: type[Result]

    def __call__(self, answer: Answer) -> R_co:
        """Shape an answer."""
        return self.function(answer)


def summarises(
    kind: str, *, accepts: type | UnionType = dict
) -> Callable[[Callable[[Answer], R_co]], Summariser[R_co]]:
    """Make a function the summariser of `kind`; its return annotation is the type of the result.

    Args:
        kind: The value of `summary` in the specs.
        accepts: The type of body it can read (`list`, `str | None`, …); anything else is shown as it came.
            An answer with a saved file is always passed on.
    """

    def wrap(function: Callable[[Answer], R_co]) -> Summariser[R_co]:
        result = get_type_hints(function).get("return")
        if not (isinstance(result, type) and issubclass(result, Result)):
            raise TypeError(f"Summariser {kind!r} needs a return annotation that is a Result.")
        if FALLBACK_FIELD in result.model_fields:
            raise TypeError(f"The field {FALLBACK_FIELD!r} of {kind!r} is kept for answers nobody understood.")
        return Summariser(kind, function, accepts, result)

    return wrap


def get(body: Any, pointer: str, default: Any = None) -> Any:
    """Return what stands at a JSON pointer; `default` when it is absent, null, or the way there is odd."""
    node = body
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping):
            node = node.get(key)
        elif isinstance(node, list) and key.isascii() and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return default
    return default if node is None else node


def items(body: Any, pointer: str = "") -> list[dict[str, Any]]:
    """Return the objects of the list at `pointer`; a lone object counts as a list of one."""
    found = get(body, pointer, [])
    every = found if isinstance(found, list) else [found]
    return [each for each in every if isinstance(each, dict)]


def strings(body: Any, pointer: str = "") -> list[str]:
    """Return the scalars of the list at `pointer` as clean texts; a lone scalar counts as a list of one."""
    found = get(body, pointer, [])
    every = found if isinstance(found, list) else [found]
    return [text(each) for each in every if isinstance(each, str | int | float)]


def mapping(body: Any, pointer: str = "") -> dict[str, str]:
    """Return the object at `pointer` as clean texts, as labels and annotations need it."""
    found = get(body, pointer)
    return {text(key): text(value) for key, value in found.items()} if isinstance(found, dict) else {}


def text(value: Any, limit: int = TEXT_LIMIT) -> str:
    """Return any value of the cloud as one harmless line of at most `limit` characters; null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    head = str(value)[: 20 * limit + 1000]
    return clean(_ANSI.sub("", head), limit)


def quoted(value: Any, limit: int = TEXT_LIMIT) -> str:
    """Return a text of the cloud in quotation marks, secrets masked, for use inside a sentence of ours."""
    return quoted_line(text(mask(value), limit), limit)


def word(value: Any) -> str:
    """Return a name, id or version of the cloud as it is; in quotation marks if it could pass for more than that."""
    shown = text(value)
    return shown if is_plain(shown) else quoted(value)


def number(value: Any) -> int | float | None:
    """Return a number, also one written as text; anything else is None."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def flag(value: Any) -> bool | None:
    """Return a boolean, also one written as text; anything else is None."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def loaded(value: Any) -> Any:
    """Return the JSON that a string holds; what holds none comes back as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def moment(value: Any) -> datetime | None:
    """Return the time that any of the API's clocks shows, in UTC; None when it shows none.

    Read are `2024-06-04 12:49:28.773718231 +0000 UTC` (and other offsets), RFC 3339, and seconds,
    milliseconds, microseconds or nanoseconds since 1970. A time without a zone is taken as UTC.
    """
    try:
        if (epoch := number(value)) is not None:
            unit = next(unit for bound, unit in _EPOCH_UNITS if abs(epoch) < bound)
            return datetime.fromtimestamp(epoch / unit, UTC) if epoch else None
        match = _CLOCK.match(value.strip()) if isinstance(value, str) else None
        if match is None:
            return None
        zone = (match["zone"] or "Z").upper()
        offset = zone if zone[0] in "+-" else _ZONES[zone]
        fraction = (match["fraction"] or "")[:6].ljust(6, "0")
        stamp = f"{match['day']}T{match['time']}.{fraction}{offset}"
        found = datetime.fromisoformat(stamp).astimezone(UTC)
    except (ValueError, KeyError, OverflowError, OSError):
        return None
    return found if found.year > 1 else None


def span(duration: timedelta | float) -> str:
    """Return a duration in its two largest units: `45 s`, `1 min 50 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    rest = max(0, int(seconds))
    if rest < 60:
        return f"{rest} s"
    if rest < 600:
        return " ".join(part for part in (f"{rest // 60} min", f"{rest % 60} s") if not part.startswith("0 "))
    minutes, hours, days = rest // 60 % 60, rest // 3600 % 24, rest // 86400
    parts = [f"{days} d", f"{hours} h"] if days else [f"{hours} h", f"{minutes} min"]
    return " ".join(part for part in parts if not part.startswith("0 "))


def age(since: datetime | None, now: datetime) -> str | None:
    """Return how long ago a moment was; None when it is unknown."""
    return None if since is None else span(now - since)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 cluster`, `3 clusters`, `2 releases`, `2 policies` when given."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def few(values: Sequence[str], limit: int = NAMED) -> str:
    """Return texts as an enumeration; what is beyond the limit is counted."""
    left = len(values) - limit
    return ", ".join(values[:limit]) + (f" and {left} more" if left > 0 else "")


def sendable(value: Any, longest: int | None = None) -> Any:
    """Return JSON-like data without nulls in objects, numbers that JSON does not know, and unseen characters.

    Args:
        value: the data.
        longest: how many characters of a text are kept; all of them if None.
    """
    if isinstance(value, dict):
        return {sendable(key, longest): sendable(each, longest) for key, each in value.items() if _can_be_sent(each)}
    if isinstance(value, list):
        return [sendable(each, longest) for each in value if each is None or _can_be_sent(each)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        shown = visible(value)
        return shown if longest is None or len(shown) <= longest else f"{shown[:longest]}… ({len(shown)} characters)"
    return value


def visible(value: str) -> str:
    """Return a text of any length without what a terminal would obey, reorder or hide; its lines stay lines."""
    if value.isprintable():
        return value
    return _ANSI.sub("", value.replace("\r\n", "\n")).translate(_VISIBLE)


class _Visible(dict[int, int | str | None]):
    """What becomes of each character, by its number."""

    def __missing__(self, number: int) -> int | str | None:
        kept: int | str | None = number
        category = unicodedata.category(chr(number))
        if category in ("Zl", "Zp"):
            kept = " "
        elif category == "Cs":
            kept = "?"
        elif category[0] == "C" and chr(number) not in "\n\t":
            kept = None
        self[number] = kept
        return kept


_VISIBLE = _Visible()


def _can_be_sent(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
