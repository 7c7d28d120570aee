"""What get_cluster says of a cluster: its tags, and the phase it is in."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.rules.phases import CLUSTER, described, succeeded
from ap_mcp.vendor import get, items, text, word

TAGS = "/spec/clusterTags"
"""Where its tags stand."""


def phase_of(cluster: Any) -> str:
    """Return the phase of a cluster; empty if it is not reported."""
    return text(get(cluster, "/status/phase"))


def not_available(cluster: Any) -> str:
    """Return a sentence that says the cluster does not work normally now; empty if it does."""
    phase = phase_of(cluster)
    if succeeded(CLUSTER, phase):
        return ""
    return f"The cluster {standing(phase)}, not Available."


def standing(phase: str) -> str:
    """Return how a cluster is, to be said after its name: `is Error`, `is hibernated (phase Hibernation)`."""
    if said := described(CLUSTER, phase):
        return f"{said} (phase {word(phase)})"
    return f"is {word(phase) if phase else 'in a phase that is not reported'}"


def tags_of(cluster: Any) -> dict[str, str]:
    """Return a cluster's tags, fit to be shown; what is no tag is left out."""
    return {text(get(each, "/key")): text(get(each, "/value")) for each in items(cluster, TAGS)}


def exact_tags(cluster: Any) -> dict[str, str]:
    """Return a cluster's tags exactly as they are, for rules to use.

    Raises:
        LookupError: some cannot be read, so that a rule might overlook one.
    """
    listed = get(cluster, TAGS)
    if listed is None:
        return {}
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise LookupError("it does not report the cluster's tags")
    tags: dict[str, str] = {}
    for each in listed:
        key = _exact(each.get("key"), "the key of a tag")
        value = _exact("" if (given := each.get("value")) is None else given, "the value of a tag")
        if not key:
            raise LookupError("it does not report the key of a tag")
        if tags.setdefault(key, value) != value:
            raise LookupError("it has a tag with two values")
    return tags


def _exact(value: Any, what: str) -> str:
    if isinstance(value, str):
        return value
    raise LookupError(f"it does not report {what}")
