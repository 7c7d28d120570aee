"""Who calls, and how a person behind them can be asked; no more than every call needs, guarded or not."""

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """What came back from a form: accept, decline or cancel, and what was typed."""

    action: str
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and how a person behind the client can be asked.

    Attributes:
        principal: for whom the call is made; consent is bound to it.
        client: name and version of the program, for the audit.
        push: shows a form while the call waits; None if the session cannot.
        can_return: the call may be answered with a question and come back with `returned` and `state`.
    """

    principal: str
    client: str = ""
    push: Callable[[str, dict[str, Any]], Awaitable[FormAnswer]] | None = None
    can_return: bool = False
    returned: FormAnswer | None = None
    state: str | None = None

    def resting(self, rest: Callable[[], AbstractAsyncContextManager[None]]) -> "Caller":
        """Return a caller whose call is inside of `rest()` while a person is asked."""
        show = self.push
        if show is None:
            return self

        async def push(message: str, schema: dict[str, Any]) -> FormAnswer:
            async with rest():
                return await show(message, schema)

        return replace(self, push=push)


@dataclass(frozen=True, slots=True)
class AskBack:
    """A question for the client to put to a person before it sends the call again."""

    message: str
    schema: dict[str, Any]
    state: str


def local_user() -> str:
    """Return the user this process runs as; not what its environment claims, for consent is bound to it."""
    try:
        import pwd  # noqa: PLC0415 - only POSIX systems have it

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "local")
