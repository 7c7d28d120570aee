"""What happens in a server that somebody may want to count: those who count add themselves, and nothing waits for them.

Nothing of it says what a call was about: names of tools and operations, statuses and codes, never an argument.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeAlias


class Requested(NamedTuple):
    """A request went to the cloud, once.

    Attributes:
        operation: what was asked for.
        method: of HTTP.
        host: where.
        seconds: until the whole answer was there, or was given up.
        status: of the answer; 0 if none came.
        error: the kind of error that it came to; empty if it succeeded.
        code: of the vendor, with an error.
    """

    operation: str
    method: str
    host: str
    seconds: float
    status: int = 0
    error: str = ""
    code: str = ""


class ConsentSought(NamedTuple):
    """A call needed a person's consent.

    Attributes:
        tool: what was called.
        channel: how a person was asked, or agreed.
        outcome: `agreed`; `asked` or `waiting` if that is not known yet; else the kind of error.
    """

    tool: str
    channel: str
    outcome: str


class NotRecorded(NamedTuple):
    """A line of the audit could not be written."""


class NoticePosted(NamedTuple):
    """A message about a question went to a webhook, or did not.

    Attributes:
        form: what the receiver takes, as its address says.
        outcome: `posted`, `failed`, or `dropped` as too many waited.
    """

    form: str
    outcome: str


Happening: TypeAlias = Requested | ConsentSought | NotRecorded | NoticePosted


class Watcher(Protocol):
    """Takes what happens; it neither waits nor fails."""

    def __call__(self, happening: Happening, /) -> None:
        """Take it."""


_watchers: tuple[Watcher, ...] = ()


def happened(happening: Happening) -> None:
    """Let all who watch know of something."""
    for each in _watchers:
        each(happening)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Let somebody know of what happens meanwhile in this process."""
    global _watchers  # noqa: PLW0603 - those of the process
    _watchers = (*_watchers, watcher)
    try:
        yield
    finally:
        _watchers = tuple(each for each in _watchers if each is not watcher)
