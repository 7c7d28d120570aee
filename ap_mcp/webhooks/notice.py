"""What is posted about a question: where, for whom, its code and link; no arguments, and nothing that decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.seal import ticks
from ap_mcp.vendor import written
from ap_mcp.wording import NAME_LIMIT, clean, in_quotes, plural, span

Kind: TypeAlias = Literal[
    "asked", "approved", "declined", "expired", "withdrawn", "left", "succeeded", "failed", "unknown", "test"
]

SIMULATED = "SIMULATED: "
OPEN = "Read and decide"
TEST_TITLE = "Test of ap-mcp: nothing waits for you"
TEST_LINE = "Questions that wait for a person will be posted here. Whoever set this up can go on."
_SAYS: Mapping[Kind, str] = {
    "asked": "{what} waits for a person",
    "approved": "{what} was approved{by}",
    "declined": "{what} was declined{by}",
    "expired": "{what} was not decided in time",
    "withdrawn": "{what} was withdrawn{by}: nothing is to be decided",
    "left": "{what} still waits, but the one who asked has left",
    "succeeded": "{what} was approved{by} and is done",
    "failed": "{what} was approved{by} and has failed",
    "unknown": "{what} was approved{by}, and it is not known how it ended",
}
_THEN: Mapping[Kind, str] = {
    "approved": "It is sent when the call comes back, or goes on by itself if it still waits.",
    "left": "If you approve it, the call has to be made again.",
    "expired": "Nothing was sent. It has to be asked anew.",
    "declined": "Nothing was sent.",
    "withdrawn": "Nothing was sent.",
    "failed": "The answer of the call says why.",
    "unknown": "Read what exists now before anybody repeats it.",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One message, the same for all receivers; what others chose in it is on one line each, cleaned and cut.

    Attributes:
        kind: what happened.
        title: the whole of it in one line.
        lines: what else a person needs.
        at: when.
        link: where it can be read and decided; empty if no page is served, or nothing is left to decide.
        data: the same for programs.
    """

    kind: Kind
    title: str
    lines: tuple[str, ...]
    at: datetime
    link: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def notice(kind: Kind, question: Question, now: datetime, *, link: str = "", by: str = "", today: int = 0) -> Notice:
    """Return what is posted when something has happened to a question.

    Args:
        kind: what happened.
        question: what it happened to.
        now: when.
        link: where it can be read and decided.
        by: who decided or withdrew it.
        today: how many questions were asked for the same principal within a day, this one included.
    """
    what = f"{_word(question.tool)} {in_quotes(question.name, NAME_LIMIT)}"
    who = f" by {in_quotes(by, NAME_LIMIT)}" if by else ""
    simulated = SIMULATED if question.simulated else ""
    waits = kind in ("asked", "left")
    lines = [
        f"Where: {_where(question)}",
        f"For {in_quotes(question.principal, NAME_LIMIT)}{_through(question)}",
        f"Code: {question.code}{_lives(question, now) if waits else ''}",
    ]
    if waits:
        lines.insert(0, f"Effect: {_word(question.effect)}")
        lines += ["Somebody else than the one it is for must decide."] if question.other_approver else []
        lines += [f"Asked for them within a day: {plural(today, 'question')}."] if today > 1 else []
        lines += [] if link else [f"Decide in a terminal: ap-mcp approvals approve {question.code}"]
    if kind in _THEN:
        lines.append(_THEN[kind])
    data = {
        "code": question.code,
        "tool": _word(question.tool),
        "effect": _word(question.effect),
        "name": _word(question.name),
        "principal": _word(question.principal),
        "client": _word(question.client),
        "profile": _word(question.profile),
        "region": _word(question.region),
        "project": _word(question.project),
        "simulated": question.simulated,
        "other_approver": question.other_approver,
        "asked": written(question.created),
        "expires": written(question.expires),
        "link": link if waits else "",
        "by": _word(by),
    }
    title = simulated + _SAYS[kind].format(what=what, by=who)
    return Notice(kind, title, tuple(lines), now, link if waits else "", data)


def trial(now: datetime) -> Notice:
    """Return what is posted to see whether posting works."""
    return Notice("test", TEST_TITLE, (TEST_LINE, f"Posted {written(now)}"), now, data={"id": ticks(now)})


def _where(question: Question) -> str:
    profile = f"profile {in_quotes(question.profile, NAME_LIMIT)}, " if question.profile else ""
    real = "nothing here is real, " if question.simulated else ""
    region, project = in_quotes(question.region, NAME_LIMIT), in_quotes(question.project, NAME_LIMIT)
    return f"{real}{profile}region {region}, project {project}"


def _through(question: Question) -> str:
    return f", through {in_quotes(question.client, NAME_LIMIT)}" if question.client else ""


def _lives(question: Question, now: datetime) -> str:
    return f", to be decided within {span(question.expires - now)}, until {written(question.expires)}"


def _word(text: str) -> str:
    return clean(text, NAME_LIMIT)
