"""What every summary is made of: the observation and the result.

A summariser is a pure function from an `Observation` to its own kind of `Result`:

    class QuotaList(Result):
        quotas: list[Quota]

    @summarises("quotas")
    def quotas(answer: Observation) -> QuotaList:
        found = [Quota(name=text(get(each, "/key"))) for each in items(answer.body, "/quotas")]
        return QuotaList(summary=f"{len(found)} quotas.", quotas=found)
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Generic, TypeAlias, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from ap_mcp.files import KeptFile, SavedFile
from ap_mcp.masking import mask
from ap_mcp.specs import Operation
from ap_mcp.wording import ends, visible

LONGEST = 16_000
"""Characters of any one text in an answer; of a longer one head and tail are shown, and how much is left out."""
FALLBACK_FIELD = "answer"
CURSOR, DETAIL, FULL, SECTION, TAG = "cursor", "detail", "full", "section", "tag"
"""Arguments of ours that choose how much of an answer is shown."""
AFTERWARDS = "afterwards"
"""What the context of an observation has that was read once the call had succeeded."""
WORKLOADS = "workloads"
"""What the context of an observation has of the workloads in the cluster that a thing consists of."""
ALONE = "alone"
"""What the context of an observation has if all but one thing, with this id, was taken out of the list."""
FULL_LIMIT = 48_000
"""Characters of a whole answer that are shown; of a longer one each list is cut to its first entries."""


BRIEF = "brief"
"""Marks a list of objects whose schema leaves out what they hold: it travels with every list of tools."""
TELLING = "telling"
"""Marks a field whose text says so if what was read is empty."""
OWN = "ours"
Ours: TypeAlias = Annotated[str, OWN]
"""Our own words, in which what the cloud wrote stands in quotation marks. Any other text of a result is data."""


class Part(BaseModel):
    """A piece of a result: small, flat, read-only, accepting numbers where text was expected."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, defer_build=True)


class NextCall(Part):
    """A call that makes sense now, ready to be sent."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    why: str


class Result(Part):
    """What a tool answers: one to three sentences, then typed facts in the fields of a subclass.

    What was not read is None, or an empty text, and left out of the answer; what was read and is empty stays.
    """

    bounds_itself: ClassVar[bool] = False
    """Its lists are made to fit by what makes them: their last entries matter most."""

    summary: str
    warnings: list[str] = Field(default_factory=list)
    next: list[NextCall] = Field(default_factory=list)
    full: Any = None
    consent: str | None = None
    request_id: str | None = None
    raw: str | None = None

    @property
    def share(self) -> float | None:
        """How far the thing is, in percent; None if that is not known."""
        return None

    def structured(self) -> dict[str, Any]:
        """Return the result as JSON for the structured half of an answer, without what was not read."""
        dumped = sendable(self, LONGEST)
        return {key: value for key, value in dumped.items() if value or key not in ("warnings", "next")}


COMMON_FIELDS = frozenset(Result.model_fields)


@cache
def _names_of(part: type[Part]) -> tuple[str, ...]:
    return tuple(part.model_fields)


R_co = TypeVar("R_co", bound=Result, covariant=True)


@dataclass(frozen=True)
class Observation:
    """What the cloud said to one call; secrets in it are masked when it is made.

    Args:
        operation: The operation that was called; its `summary` chooses the summariser.
        arguments: The flat arguments of the call.
        body: The parsed JSON, a text, or None for an empty answer.
        file: Where a binary or secret result was saved or is kept; then `body` holds only what may be shown.
        now: The time to measure ages against; a summariser never reads a clock.
        own: The arguments of ours among those of the call: where a page begins, how much is shown.
        context: What was read beside it, by the argument that named it or the name of the fact.
    """

    operation: Operation
    arguments: Mapping[str, Any]
    body: Any
    file: SavedFile | KeptFile | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    own: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("body", "arguments", "own", "context"):
            value = getattr(self, name)
            object.__setattr__(self, name, mask(dict(value) if isinstance(value, Mapping) else value))


@dataclass(frozen=True)
class Summariser(Generic[R_co]):
    """A pure function that shapes the answers of one kind, the type of its results, and what it cannot do without."""

    kind: str
    function: Callable[[Observation], R_co]
    accepts: type | UnionType
    result: type[Result]
    section: str = ""

    def __call__(self, answer: Observation) -> R_co:
        """Shape an answer."""
        return self.function(answer)


def summarises(
    kind: str, *, accepts: type | UnionType = dict, section: str = ""
) -> Callable[[Callable[[Observation], R_co]], Summariser[R_co]]:
    """Make a function the summariser of `kind`; its return annotation is the type of the result.

    Args:
        kind: The value of `summary` in the specs.
        accepts: The type of body it can read (`list`, `str | None`, …); anything else is shown as it came.
            An answer with a saved file is always passed on.
        section: The field that holds what the answer is about. Null there is an empty list; without it nothing was
            reported, and the answer is shown as it came.
    """

    def wrap(function: Callable[[Observation], R_co]) -> Summariser[R_co]:
        result = get_type_hints(function).get("return")
        if not (isinstance(result, type) and issubclass(result, Result)):
            raise TypeError(f"Summariser {kind!r} needs a return annotation that is a Result.")
        if FALLBACK_FIELD in result.model_fields:
            raise TypeError(f"The field {FALLBACK_FIELD!r} of {kind!r} is reserved for answers that could not be read.")
        return Summariser(kind, function, accepts, result, section)

    return wrap


def sendable(value: Any, longest: int | None = None) -> Any:
    """Return JSON-like data without numbers that JSON does not know, and without unseen characters.

    Of a result, or a piece of one, fields that hold None or an empty text are left out; data in them stays as it is.

    Args:
        value: the data.
        longest: how many characters of a text are kept; all of them if None.
    """
    if isinstance(value, str):
        shown = visible(value)
        return shown if longest is None else ends(shown, longest)
    if isinstance(value, dict):
        return {sendable(key, longest): sendable(each, longest) for key, each in value.items() if can_be_sent(each)}
    if isinstance(value, (list, tuple)):
        return [sendable(each, longest) for each in value if can_be_sent(each)]
    if isinstance(value, Part):
        return {
            name: sendable(each, longest)
            for name in _names_of(type(value))
            if (each := getattr(value, name)) is not None and each != "" and can_be_sent(each)
        }
    return int(value) if isinstance(value, float) and value.is_integer() else value


def can_be_sent(value: Any) -> bool:
    """Say whether JSON has a value: it knows no number that is infinite or none."""
    return not (isinstance(value, float) and not math.isfinite(value))
