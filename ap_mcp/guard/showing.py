"""What a person is shown of a question before they decide, the same in a terminal and on a page.

What servers and callers wrote may hold characters that are obeyed or hidden: here they are spelt out, one way for all.
"""

import json
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from ap_mcp.guard.approval_requests import Asked, Question
from ap_mcp.guard.approvals import Approvers, standing
from ap_mcp.vendor import written
from ap_mcp.wording import in_order

CANNOT_BE_SEEN = "it holds characters that cannot be seen, so you cannot know what you would sign"


@dataclass(frozen=True, slots=True)
class Shown:
    """A question, all of it fit to be read.

    Attributes:
        code: names it.
        asked: when it was asked.
        left: how long it can still be decided.
        where: the call goes; that it is simulated comes first.
        for_whom: the call is made, and which program asks.
        other_approver: another person must decide.
        tool: what is called.
        effect: how grave it is.
        arguments: a line each.
        impact: what would happen, in lines.
        name: of what it acts on, in quotation marks.
        simulated: nothing real is touched.
    """

    code: str
    asked: str
    left: str
    where: str
    for_whom: str
    other_approver: bool
    tool: str
    effect: str
    arguments: tuple[str, ...]
    impact: tuple[str, ...]
    name: str
    simulated: bool


def shown(question: Question, now: datetime) -> Shown:
    """Return a question as a person reads it.

    Args:
        question: as it stands in the store.
        now: the time.
    """
    return Shown(
        code=question.code,
        asked=written(question.created),
        left=left(question, now),
        where=where(question),
        for_whom=for_whom(question),
        other_approver=question.other_approver,
        tool=on_one_line(question.tool),
        effect=on_one_line(question.effect),
        arguments=tuple(_argument_lines(question.arguments)),
        impact=tuple(visible(question.impact_text).split("\n")),
        name=quoted(question.name),
        simulated=question.simulated,
    )


def hides_something(question: Question) -> bool:
    """Say whether a question holds characters that cannot be seen: nobody can know what they would agree to."""
    names = (question.tool, question.name, question.principal, question.client, question.region, question.project)
    lines = (*names, question.effect, question.profile)
    return any(text != on_one_line(text) for text in lines) or question.impact_text != visible(question.impact_text)


def outcome(asked: Asked, approvers: Approvers, now: datetime) -> str:
    """Return what a question has come to, by whom, and why if it counts for nothing."""
    found = standing(asked, approvers, now)
    by = f" by {quoted(found.approver)}" if found.state == "withdrawn" else f" by {found.approver}"
    why = f"{':' if found.state == 'spent' else ','} {found.why}" if found.why else ""
    return f"{found.state}{by if found.approver else ''}{why}"


def where(question: Question) -> str:
    """Return where a call goes; that it is simulated comes first."""
    simulated = "SIMULATED, nothing real is touched, " if question.simulated else ""
    profile = f"profile {quoted(question.profile)}, " if question.profile else ""
    return f"{simulated}{profile}region {quoted(question.region)}, project {quoted(question.project)}"


def for_whom(question: Question) -> str:
    """Return for whom a call is made, and which program asks."""
    client = f" through {quoted(question.client)}" if question.client else ""
    return f"for {quoted(question.principal)}{client}"


def left(question: Question, now: datetime) -> str:
    """Return how long a question can still be decided."""
    minutes = (question.expires - now).total_seconds() / 60
    if minutes <= 0:
        return "expired"
    return f"{minutes:.0f} min left" if minutes >= 1 else "less than a minute left"


def quoted(text: str) -> str:
    """Return a name, code or the like in quotation marks, on one line, every character of it visible."""
    return f'"{on_one_line(text)}"'


def on_one_line(text: str) -> str:
    """Return a text on one line, every character of it visible."""
    return visible(text).replace("\n", "\\n")


def visible(text: str) -> str:
    """Return a text in which what a terminal or a page would obey or hide is spelt out."""
    if all(map(str.isprintable, text.split("\n"))):
        return text
    return "".join(char if _is_plain(char) else f"\\u{ord(char):04x}" for char in text)


def _is_plain(char: str) -> bool:
    return char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def _argument_lines(text: str) -> list[str]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return [on_one_line(text)]
    lines = (f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return [in_order(on_one_line(each)) for each in lines] or ["none"]
