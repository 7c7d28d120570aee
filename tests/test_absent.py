"""What an answer does not hold is absent from its summary: never an empty list, a zero or "none"."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from drawn import ANY, whole

from ap_mcp.rendering import render
from ap_mcp.specs import Operation, load_catalog
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.summaries.plain import Unread

NOW = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)
READ = [each.id for each in load_catalog().values() if each.response and each.effect != "secret"]
NONE = re.compile(r"\b0 |\bnone\b|\bno (?:newer|upgrade|stage|address)\b|\bnot exposed\b|\bnothing\b", re.IGNORECASE)
"""Words that say that there is nothing."""
MEANT = {"clusterTags.value"}
"""Fields that mean something by being absent: a tag without a value has an empty one."""


def without(body: Any, way: tuple[str, ...]) -> Any:
    """Return an answer without what stands at the end of a way; in a list, of every entry."""
    if isinstance(body, list):
        return [without(each, way) for each in body]
    if not isinstance(body, dict):
        return body
    if len(way) == 1:
        return {key: each for key, each in body.items() if key != way[0]}
    return {key: without(each, way[1:]) if key == way[0] else each for key, each in body.items()}


def ways(body: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the way to each field of an answer."""
    for each in body if isinstance(body, list) else []:
        yield from ways(each, above)
    for key, each in body.items() if isinstance(body, dict) and ANY not in body else ():
        yield (*above, key)
        yield from ways(each, (*above, key))


def claims(less: Any, full: Any, at: str = "") -> Iterator[str]:
    """Yield where a result says empty or zero, while the one of the whole answer says something."""
    if less in ("", 0, [], {}) and not isinstance(less, bool) and full not in (None, "", 0, [], {}):
        yield f"{at}={less!r}"
    if isinstance(less, dict) and isinstance(full, dict):
        for key, each in less.items():
            yield from claims(each, full.get(key), f"{at}.{key}")
    if isinstance(less, list) and isinstance(full, list):
        for one, other in zip(less, full, strict=False):
            yield from claims(one, other, at)


def shaped(operation: Operation, body: Any) -> Result:
    arguments = {"cluster_id": "5a9f2b1e-3c1d-11ef-8a6b-0255ac100b01", "namespace": "default", "name": "shop"}
    return summarise(Observation(operation, arguments, body, now=NOW))


@pytest.mark.parametrize("tool", READ)
def test_what_was_not_reported_is_never_said_to_be_empty_or_none(tool: str) -> None:
    operation = load_catalog()[tool]
    body = whole(operation, operation.response or {})
    full = shaped(operation, body)
    said = set(NONE.findall(full.summary))
    wrong = []
    for way in dict.fromkeys(ways(body)):
        if ".".join(way[-2:]) in MEANT:
            continue
        less = shaped(operation, without(body, way))
        if isinstance(less, Unread):
            continue
        found = list(claims(less.structured(), full.structured()))
        found += [f"says {each!r}: {less.summary}" for each in NONE.findall(less.summary) if each not in said]
        wrong += [f"without {'.'.join(way)}: {each}" for each in found]
    assert not isinstance(full, Unread), full
    assert wrong == []


def test_what_was_read_and_is_empty_is_shown_as_empty() -> None:
    operation = load_catalog()["get_cluster"]
    body = {
        "metadata": {"name": "shop", "annotations": {"installedAddonInstances": "[]"}},
        "spec": {"clusterTags": []},
        "status": {"phase": "Available"},
    }
    result = shaped(operation, body)
    assert (result.structured()["addons"], result.structured()["tags"]) == ([], {})
    assert {"addons: none", "tags: none"} <= set(render(result).splitlines())
    assert {"endpoints", "version", "details"}.isdisjoint(result.structured())
    assert shaped(load_catalog()["list_addons"], {"items": None}).structured()["addons"] == []


def test_a_call_is_not_proposed_without_the_id_that_it_needs() -> None:
    operation = load_catalog()["list_addons"]
    failed = {"spec": {"addonTemplateName": "coredns"}, "status": {"status": "installFailed"}}
    assert shaped(operation, {"items": [failed]}).next == []
    assert shaped(operation, {"items": [{**failed, "metadata": {"uid": "a1"}}]}).next[0].arguments["addon_id"] == "a1"
