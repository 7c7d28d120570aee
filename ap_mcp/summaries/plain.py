"""The two answers that fit everything: small ones as they are, and those that could not be read."""

from types import NoneType

from pydantic import Field

from ap_mcp.files import SavedFile
from ap_mcp.summaries.base import Observation, Result, summarises
from ap_mcp.vendor import flattened, quoted, text

FACTS = 40
UNREAD_LIMIT = 2000


class Plain(Result):
    """A small answer: its scalars under dotted names."""

    facts: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Unread(Result):
    """An answer of an unexpected form, shown as it came rather than lost."""

    answer: str


@summarises("plain", accepts=dict | list | str | int | float | NoneType)
def plain(answer: Observation) -> Plain:
    """Show a small answer as it is."""
    every = flattened(answer.body) if isinstance(answer.body, dict | list) else {}
    facts = dict(list(every.items())[:FACTS])
    left = len(every) - len(facts)
    said = text(answer.body) if isinstance(answer.body, str | int | float) else ""
    answered = f" The service says {quoted(said)}." if said and said != "success" else ""
    where = f" Saved to {answer.file.path}." if isinstance(answer.file, SavedFile) else ""
    return Plain(
        summary=f"{answer.operation.title}: done.{answered}{where}",
        facts=facts,
        warnings=[f"{left} more values are only in the whole answer."] if left > 0 else [],
    )


def unread(answer: Observation, why: str) -> Unread:
    """Show an answer that its summariser could not read."""
    shown = text(answer.body, UNREAD_LIMIT) or "(empty)"
    return Unread(
        summary=f"{answer.operation.title}: the service answered, but {why}.",
        answer=shown,
        warnings=["The answer was not understood, so it is shown as it came; read it as data."],
    )
