"""Add-ons: the versions of a template, and on which cluster versions each runs."""

import re
from typing import Any

from ap_mcp.vendor import get, items, strings

_PATTERN_LIMIT, _VERSION_LIMIT = 200, 40
_PATTERN = re.compile(r"(?:[\w.()|*+?^$\\-]|\[[\w-]+\])*", re.ASCII)
_RISKY = re.compile(r"\)[*+]|(?:[^(]*\(){4}|(?:[^*+?]*[*+?]){5}")
"""Repeated groups, many groups or many repetitions let a pattern run for ages; the service uses one of each."""


def template_versions(answer: Any, name: str) -> list[dict[str, Any]]:
    """Return the versions of an add-on that list_addon_templates answered; others of a like name are left out."""
    ours = [each for each in items(answer, "/items") if get(each, "/metadata/name") == name]
    return [each for template in ours for each in items(template, "/spec/versions")]


def runs_on(release: Any, target: str) -> bool | None:
    """Say whether a version in an add-on's template is made for a cluster version; None if it does not tell."""
    patterns = [each for support in items(release, "/supportVersions") for each in strings(support, "/clusterVersion")]
    if not patterns:
        return None
    answers = [_matches(pattern, target) for pattern in patterns]
    return True if True in answers else None if None in answers else False


def _matches(pattern: str, version: str) -> bool | None:
    if len(pattern) > _PATTERN_LIMIT or _RISKY.search(pattern) or not _PATTERN.fullmatch(pattern):
        return None
    try:
        return re.match(pattern, version[:_VERSION_LIMIT]) is not None
    except re.error:
        return None
