"""What stands in a form, and what its answer is worth: programs answer forms too, and theirs counts for nothing."""

import hmac
from datetime import timedelta
from typing import Any

from ap_mcp.errors import ConsentDeclined
from ap_mcp.guard.callers import FormAnswer
from ap_mcp.guard.forms import SEEN_AT_ONCE, rows_of
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.impacts.layout import Layout
from ap_mcp.guard.lifetimes import SHORTEST_READING
from ap_mcp.guard.requests import Request
from ap_mcp.wording import in_quotes, span

FIELD = "name"
WRONG_NAME = "wrong name"
"""What the audit calls an answer with another name than that of what is acted on."""
ONCE_MORE = "Once more, in short; all of it stands above (scroll up, or Page Up):"


def message(asked: Layout, name: str, note: str = "") -> str:
    """Return what a person reads before they decide; of the model's words there are those alone that would be sent.

    A client whose window is too low may show the end of a long one alone, or its beginning alone: at either end stands
    what decides, with what to type.
    """
    to_go_on = f"To go on, type its name exactly: {in_quotes(name)}"
    text = asked.text(note)
    if rows_of(text) < SEEN_AT_ONCE:
        return f"{text}\n{to_go_on}"
    return "\n".join([asked.text(f"{to_go_on}\n{note}".rstrip()), ONCE_MORE, *asked.first, to_go_on])


def form(impact: Impact) -> dict[str, Any]:
    """Return the form: the name must be typed, because a bare yes can be answered by a machine."""
    text = {"type": "string", "title": "Name", "description": f"Type {in_quotes(impact.name)} to go on"}
    return {"type": "object", "properties": {FIELD: text}, "required": [FIELD]}


def not_shown(answer: FormAnswer | None, took: timedelta) -> str:
    """Return what shows that no person has read a form and answered it; empty if one may have.

    Programs announce forms and answer them themselves, or never draw them: what they answer counts for nothing.

    Args:
        answer: what came back; None if nothing did in time.
        took: from sending it to its answer.
    """
    if answer is None:
        return f"nobody answered within {span(took)}"
    if took < SHORTEST_READING:
        return f"the client answered after {seconds(took)}: nobody saw the form"
    if answer.action not in ("accept", "decline"):
        return f"it was closed after {seconds(took)}, by the client or by a user who does not want this"
    return ""


def refusal(request: Request, answer: FormAnswer | None) -> ConsentDeclined | None:
    """Return why what a person answered is no consent; None if it is."""
    if answer is None or answer.action != "accept":
        return ConsentDeclined(request.tool, "The person who was asked said no. Do not ask again unless they want it.")
    typed, name = answer.content.get(FIELD), request.impact.name
    if isinstance(typed, str) and hmac.compare_digest(_bytes(typed), _bytes(name)):
        return None
    why = f"The name typed was not {in_quotes(name)}. Call again to have it asked anew; only the person types it."
    return ConsentDeclined(request.tool, why, WRONG_NAME)


def seconds(took: timedelta) -> str:
    """Return how long an answer took: `0.03 s`, for what is short matters."""
    passed = max(took.total_seconds(), 0)
    return f"{passed:.2f} s" if passed < 10 else span(passed)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
