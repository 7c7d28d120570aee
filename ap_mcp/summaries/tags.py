"""Shapes a change of tags; the service answers nothing, so the arguments and what was read beside say what was done."""

from pydantic import Field

from ap_mcp.rules.clusters import tags_of
from ap_mcp.summaries.base import AFTERWARDS, NextCall, Observation, Result, summarises
from ap_mcp.vendor import mapping, strings, text, word
from ap_mcp.wording import plural

REPLACED = "replaced"
"""The fact of the spec: tags that got another value, each with the value it had."""


class TagChange(Result):
    """What became of the tags of a cluster: all it has afterwards, and which were set, replaced or removed."""

    cluster_id: str = ""
    tags: dict[str, str] | None = None
    set: dict[str, str] = Field(default_factory=dict)
    replaced: dict[str, str] = Field(default_factory=dict)
    removed: list[str] = Field(default_factory=list)


@summarises("tags", accepts=dict | str | None)
def tags(answer: Observation) -> TagChange:
    """Say which tags were set, replaced or removed, and which there are now."""
    given = dict(answer.arguments)
    added, removed = mapping(given, "/tags"), strings(given, "/keys")
    replaced = mapping(answer.context, f"/{REPLACED}")
    cluster_id, after = text(given.get("cluster_id")), answer.context.get(AFTERWARDS)
    all_tags = None if after is None else tags_of(after)
    done = f"{plural(len(added), 'tag')} set" if added else f"{plural(len(removed), 'tag')} removed"
    before = "".join(f" {word(key)} was {word(value) or 'empty'}." for key, value in replaced.items())
    now = " Other tags are as they were." if all_tags is None else f" {plural(len(all_tags), 'tag')} now."
    again = NextCall(tool="get_cluster", arguments={"cluster_id": cluster_id}, why="shows all tags")
    return TagChange(
        summary=f"{done}: {', '.join(word(key) for key in added or removed)}.{before}{now}",
        cluster_id=cluster_id,
        tags=all_tags,
        set=added,
        replaced=replaced,
        removed=removed,
        warnings=[] if after is not None else ["All tags could not be read afterwards."],
        next=[] if after is not None else [again],
    )
