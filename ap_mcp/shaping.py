"""Shapes answers: masked, then summarised for an agent, and as the text that is kept of them.

Masking reads every character, in seconds where there are megabytes: what is large is shaped beside the event loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from ap_mcp.aside import aside
from ap_mcp.cloud.bodies import Came
from ap_mcp.files import KeptFile, SavedFile
from ap_mcp.response_store import kept_text
from ap_mcp.specs import Operation, load_catalog
from ap_mcp.summaries import Observation, Result, summarise


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a call, secrets in it not masked yet; it can be sent to another process.

    Attributes:
        operation: what was called.
        arguments: its flat arguments.
        body: the parsed JSON, a text, or None.
        now: the time to measure ages against.
        own: the arguments of ours that were given with them.
        beside: what was read for the summary to go by.
        file: where a binary or secret result was saved, or is kept.
        content: what the body was parsed from, if it was from JSON; it is sent in place of the body.
    """

    operation: Operation
    arguments: Mapping[str, Any]
    body: Any
    now: datetime
    own: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    file: SavedFile | KeptFile | None = None
    content: bytes = b""

    def observed(self) -> Observation:
        """Return it with secrets masked."""
        return Observation(self.operation, self.arguments, self.body, self.file, self.now, self.own, self.beside)

    def __reduce__(self) -> tuple[Any, ...]:
        plain = (dict(self.arguments), self.now, dict(self.own), dict(self.beside), self.file)
        return _answered, (self.operation.id, Came(self.body, self.content), *plain)


def _answered(name: str, came: Came, arguments: Mapping[str, Any], *rest: Any) -> Answered:
    """Return what another process has sent; the operation is the same in its specs."""
    return replace(Answered(load_catalog()[name], arguments, came.body, *rest), content=came.content)


@dataclass(frozen=True, slots=True)
class Shaped:
    """An answer as an agent gets it, and the whole of it as text, masked; None if there is nothing to keep."""

    result: Result
    whole: str | None


def shape(answered: Answered) -> Shaped:
    """Mask an answer and summarise it."""
    observation = answered.observed()
    return Shaped(summarise(observation), kept_text(observation))


async def shaped_aside(answered: Answered, size: int) -> Shaped:
    """Shape an answer without keeping the event loop from other work.

    Args:
        answered: the answer.
        size: how many bytes it has, and the arguments of its call.
    """
    return await aside(partial(shape, answered), size)
