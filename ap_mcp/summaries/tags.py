"""Shapes a change of tags; the service answers nothing, so the arguments say what was done."""

from pydantic import Field

from ap_mcp.summaries.base import NextCall, Observation, Result, summarises
from ap_mcp.vendor import mapping, strings, text, word
from ap_mcp.wording import plural


class TagChange(Result):
    """Which tags were set or removed."""

    cluster_id: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    removed: list[str] = Field(default_factory=list)


@summarises("tags", accepts=dict | str | None)
def tags(answer: Observation) -> TagChange:
    """Say which tags were set or removed."""
    given = dict(answer.arguments)
    added, removed = mapping(given, "/tags"), strings(given, "/keys")
    done = f"{plural(len(added), 'tag')} set" if added else f"{plural(len(removed), 'tag')} removed"
    cluster_id = text(given.get("cluster_id"))
    return TagChange(
        summary=f"{done}: {', '.join(word(key) for key in added or removed)}. Other tags are as they were.",
        cluster_id=cluster_id,
        tags=added,
        removed=removed,
        next=[NextCall(tool="get_cluster", arguments={"cluster_id": cluster_id}, why="shows all tags")],
    )
