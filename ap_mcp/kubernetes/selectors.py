"""Says which labels the selectors of Kubernetes match; pure."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.vendor import get, items, mapping, strings, text


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Say whether a selector matches labels; one that is missing or empty matches none here.

    Args:
        selector: a plain map, as a Service has it, or one with matchLabels and matchExpressions.
        labels: of the object.
    """
    wanted, expressions = mapping(selector, "/matchLabels"), items(selector, "/matchExpressions")
    if not wanted and not expressions:
        wanted = mapping(selector)
    if not wanted and not expressions:
        return False
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _expressed(each, labels) for each in expressions
    )


def _expressed(expression: Any, labels: Mapping[str, str]) -> bool:
    key, values, operator = text(get(expression, "/key")), strings(expression, "/values"), get(expression, "/operator")
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }.get(operator if isinstance(operator, str) else "", False)
