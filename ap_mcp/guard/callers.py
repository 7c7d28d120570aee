"""Who calls, and how a person behind them can be asked; no more than every call needs, guarded or not."""

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from ap_mcp.wording import NAME_LIMIT, clean

Waiting: TypeAlias = Callable[[float, float, str], Awaitable[None]]
"""Takes how many seconds a person has been waited for, of how many, and in words."""


class FormFailed(Exception):
    """The client announced forms and could not show this one: it answered an error, or nothing that is an answer.

    Args:
        what: came back, in our words.
        said: the client's own words.
    """

    def __init__(self, what: str, said: str = "") -> None:
        super().__init__(what)
        self.said = said


class FormAnswer(NamedTuple):
    """What came back from a form: accept, decline or cancel, and what was typed."""

    action: str
    content: Mapping[str, Any] = MappingProxyType({})


async def tell_nobody(_passed: float, _total: float, _message: str) -> None:
    """Tell no one that a person is waited for."""


class Caller(NamedTuple):
    """Who calls, and how a person behind the client can be asked.

    Attributes:
        principal: for whom the call is made; consent is bound to it.
        client: name and version of the program, for the audit; an approval counts for that one alone.
        push: shows a form while the call waits, or raises `FormFailed`; None if the session cannot.
        can_return: the call may be answered with a question and come back with `returned` and `state`.
        can_open: that question may be a link, which the client has its user open in a browser.
        why_no_form: why neither of both is possible.
        waiting: is informed now and then that a person is waited for.
        may_ask: a person may be asked about its calls, here or elsewhere; else only a rule lets a guarded one through.
        own_question: a question that waits already is left to the call that asked it, whatever it is about.
        may_hold: the call may stay open for a while until a person elsewhere has decided.
        rest: returns what the call is inside of while it only waits for a person.
    """

    principal: str
    client: str = ""
    push: Callable[[str, dict[str, Any]], Awaitable[FormAnswer]] | None = None
    can_return: bool = False
    can_open: bool = False
    returned: FormAnswer | None = None
    state: str | None = None
    why_no_form: str = "this client announces no forms"
    waiting: Waiting = tell_nobody
    may_ask: bool = True
    own_question: bool = False
    may_hold: bool = False
    rest: Callable[[], AbstractAsyncContextManager[None]] = nullcontext

    def resting(self, rest: Callable[[], AbstractAsyncContextManager[None]]) -> "Caller":
        """Return a caller whose call is inside of `rest()` while a person is asked."""
        show = self.push
        if show is None:
            return self._replace(rest=rest)

        async def push(message: str, schema: dict[str, Any]) -> FormAnswer:
            async with rest():
                return await show(message, schema)

        return self._replace(push=push, rest=rest)


class AskBack(NamedTuple):
    """A question for the client to put to a person before it sends the call again.

    Attributes:
        message: what the person reads.
        schema: of the form; empty if there is a link instead.
        state: comes back with the call, sealed.
        link: where the person decides; empty if they do in the form.
    """

    message: str
    schema: dict[str, Any]
    state: str
    link: str = ""


def client_of(caller: Caller) -> str:
    """Return the program that asks, as a question keeps it: one clean line."""
    return clean(caller.client, NAME_LIMIT)


def local_user() -> str:
    """Return the user this process runs as; not what its environment claims, for consent is bound to it."""
    try:
        import pwd  # noqa: PLC0415 - only POSIX systems have it

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "local")
