"""Reads label and field selectors, and says which objects they match."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.statuses import bad_request

Matches = Callable[[Mapping[str, Any]], bool]
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(r"([^\s=!<>]+)\s*(==|=|!=)\s*([^\s=!,]*)")
_GREATER = re.compile(r"(\S+?)\s*([<>])\s*(-?\d+)")
_EXISTS = re.compile(r"(!?)\s*([^\s=!<>()]+)")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

FIELDS: Mapping[str, Sequence[str]] = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "jobs.batch": ("status.successful",),
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
    "certificatesigningrequests.certificates.k8s.io": ("spec.signerName",),
}  # fmt: skip
"""What can be selected by beside name and namespace, by kind."""


def label_selector(text: str) -> Matches:
    """Read `app=cart,tier in (a,b),!old`.

    Raises:
        StatusError: 400 if it cannot be read.
    """
    terms = [_label_term(term) for term in _split(text)]
    return lambda labels: all(matches(labels) for matches in terms)


def object_selector(selector: Mapping[str, Any] | None) -> Matches:
    """Return what a selector inside an object matches among labels: an empty one everything, none nothing."""
    if selector is None:
        return lambda _labels: False
    wanted = dict(selector.get("matchLabels") or {})
    terms = [_expression(each) for each in selector.get("matchExpressions") or ()]
    return lambda labels: all(labels.get(k) == v for k, v in wanted.items()) and all(term(labels) for term in terms)


def field_selector(kind: Kind, text: str) -> Matches:
    """Read `status.phase!=Running`.

    Raises:
        StatusError: 400 if it cannot be read or names a field that the kind cannot be selected by.
    """
    allowed = {"metadata.name", *FIELDS.get(kind.storage, ())} | ({"metadata.namespace"} if kind.namespaced else set())
    terms: list[tuple[str, str, bool]] = []
    for term in (part.strip() for part in text.split(",") if part.strip()):
        found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if found is None:
            raise bad_request(f"unable to parse field selector requirement: invalid field selector: '{term}'")
        name, operator, value = found.groups()
        if name not in allowed:
            raise bad_request(f"field label not supported: {name}")
        terms.append((name, value, operator != "!="))
    return lambda item: all((_field(item, name) == value) == equal for name, value, equal in terms)


def _field(item: Mapping[str, Any], path: str) -> str:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if path == "source":
        return str((item.get("source") or {}).get("component", ""))
    if value is None:
        return {"spec.unschedulable": "false", "spec.hostNetwork": "false"}.get(path, "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _split(text: str) -> list[str]:
    """Split at the commas outside of parentheses."""
    return [term.strip() for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _label_term(term: str) -> Matches:
    if found := _SET.fullmatch(term):
        key, operator, listed = found.groups()
        values = [value.strip() for value in listed.split(",")]
        return _expression({"key": _key(key), "operator": {"in": "In", "notin": "NotIn"}[operator], "values": values})
    if found := _EQUAL.fullmatch(term):
        key, operator, value = found.groups()
        return _expression({"key": _key(key), "operator": "NotIn" if operator == "!=" else "In", "values": [value]})
    if found := _GREATER.fullmatch(term):
        key, operator, limit = found.groups()
        return _compared(_key(key), operator, int(limit))
    if found := _EXISTS.fullmatch(term):
        return _expression({"key": _key(found[2]), "operator": "DoesNotExist" if found[1] else "Exists"})
    raise bad_request(f"unable to parse requirement: found '{term}', expected: ',' or 'end of string'")


def _compared(key: str, operator: str, limit: int) -> Matches:
    def matches(labels: Mapping[str, Any]) -> bool:
        value = str(labels.get(key, ""))
        number = int(value) if value.lstrip("-").isdecimal() else None
        return number is not None and (number > limit if operator == ">" else number < limit)

    return matches


def _key(text: str) -> str:
    if not _LABEL_KEY.fullmatch(text):
        raise bad_request(f"unable to parse requirement: <nil>: Invalid value: {text!r}: name part must consist of "
                          "alphanumeric characters, '-', '_' or '.'")  # fmt: skip
    return text


def _expression(term: Mapping[str, Any]) -> Matches:
    key, operator, values = term["key"], term["operator"], set(term.get("values") or ())
    checks: dict[str, Matches] = {
        "In": lambda labels: labels.get(key) in values and key in labels,
        "NotIn": lambda labels: key not in labels or labels[key] not in values,
        "Exists": lambda labels: key in labels,
        "DoesNotExist": lambda labels: key not in labels,
    }
    return checks[operator]
