"""Who is being served right now: what is shared fairly goes by it, and what is logged names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Calling(NamedTuple):
    """The call that this task works on.

    Attributes:
        principal: for whom.
        tool: its name, as it was given.
        is_shared: others call this server too.
    """

    principal: str = ""
    tool: str = ""
    is_shared: bool = False


NOBODY = Calling()
_now: ContextVar[Calling] = ContextVar("calling", default=NOBODY)


def calling() -> Calling:
    """Return what this task works on; `NOBODY` outside of any call."""
    return _now.get()


@contextmanager
def working_on(call: Calling) -> Iterator[None]:
    """Have everything inside, also in tasks that are started there, count as a part of a call."""
    token = _now.set(call)
    try:
        yield
    finally:
        _now.reset(token)
