"""Reads settings in whatever form the cloud has them: an object, or a text that holds one as JSON or as YAML."""

import math
from collections.abc import Mapping
from typing import Any

from ap_mcp.vendor import loaded

DEEPEST = 60
MOST_ENCODED = 3
"""How often settings may be wrapped: JSON in a JSON text is met, more than that is not."""
LONGEST_YAML = 256 * 1024


def settings(value: Any) -> dict[str, Any] | None:
    """Return settings as an object; None if they are not reported, or cannot be read.

    Args:
        value: an object, or a text with one in it: JSON, JSON that was encoded twice, or YAML.
    """
    found = value
    for _ in range(MOST_ENCODED):
        if not isinstance(found, str):
            break
        inner = loaded(found)
        if inner is found or inner == found:
            found = _from_yaml(found)
            break
        found = inner
    return found if isinstance(found, dict) and not too_deep(found) else None


def too_deep(values: Mapping[str, Any]) -> bool:
    """Say whether values are nested so deep that walking them could exhaust the stack."""
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        level = [
            inner for node in level for inner in (node.values() if isinstance(node, Mapping) else node) if _nests(inner)
        ]
    return bool(level)


def _nests(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def _from_yaml(text: str) -> Any:
    """Return what YAML holds if JSON can hold it too; None for anything else, aliases among it: they can unfold."""
    if ":" not in text or len(text) > LONGEST_YAML:
        return None
    import yaml  # noqa: PLC0415 - few services write YAML where JSON is documented

    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
                return None
        found = yaml.safe_load(text)
        return _plain(found) if isinstance(found, dict) else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """Return parsed YAML as JSON has it: a date as text.

    Raises:
        ValueError: JSON has no such number.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    if isinstance(value, dict):
        return {_key(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
