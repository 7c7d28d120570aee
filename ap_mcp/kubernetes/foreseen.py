"""Says what a call inside a cluster is about as far as its arguments alone tell, for who asks what rules do to it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ap_mcp.errors import CallRefused
from ap_mcp.guard.subject import Objects, Subject
from ap_mcp.kubernetes.api import DEFAULT
from ap_mcp.kubernetes.effects import gravest, least
from ap_mcp.kubernetes.kinds import chosen
from ap_mcp.kubernetes.manifests import read_manifest
from ap_mcp.kubernetes.spec import Resource, effect_table, known_kinds, tool_specs
from ap_mcp.kubernetes.steps import objects_of
from ap_mcp.specs import EFFECTS, Effect
from ap_mcp.vendor import get, text

_EVERYWHERE = frozenset({"k8s_list", "k8s_diagnose"})
"""Tools that mean all namespaces where none is named."""


def foreseen(subject: Subject, arguments: Mapping[str, Any]) -> Subject:
    """Return a call with the objects and the least effect that its arguments tell of; others are left as they are.

    Of a kind that not every cluster serves the group is known only if the arguments give it.

    Args:
        subject: the call as its tool sees it.
        arguments: of the call; any may be left out.

    Raises:
        InvalidArguments: a manifest cannot be read.
    """
    spec = tool_specs().get(subject.tool)
    if spec is None:
        return subject
    given = {name: each["default"] for name, each in spec.input_schema["properties"].items() if "default" in each}
    about = tuple(_about(subject.tool, {**given, **arguments}))
    if spec.effect == "read":
        return replace(subject, objects=tuple(each for _, each in about) or None)
    found = {_least(subject.tool, *each) for each in about} or {spec.effect}
    return replace(
        subject,
        effects=frozenset(found),
        stated=gravest(found),
        limits=(),
        objects=tuple(each for _, each in about) or None,
    )


def graver(subject: Subject) -> tuple[Effect, ...]:
    """Return the effects, graver than those of a foreseen call, that it can turn out to have: what changes decides."""
    spec = tool_specs().get(subject.tool)
    known = EFFECTS.index(gravest(subject.effects))
    return () if spec is None else tuple(each for each in EFFECTS[known + 1 :] if each in spec.effects)


def _least(tool: str, resource: Resource, objects: Objects) -> Effect:
    if tool == "k8s_delete":
        # What a controller makes anew is the least of it.
        return "disrupt" if resource.full == "Pod" else least("delete", resource)
    return "disrupt" if objects.place in effect_table().own_namespaces else least("change", resource)


def _about(tool: str, arguments: Mapping[str, Any]) -> Iterator[tuple[Resource, Objects]]:
    namespace = arguments.get("namespace", "" if tool in _EVERYWHERE else DEFAULT)
    if "manifest" in arguments:
        for each in read_manifest(arguments["manifest"]):
            resource = _of_document(each.body)
            place, name = (text(get(each.body, f"/metadata/{key}")) for key in ("namespace", "name"))
            yield resource, objects_of(resource, place or namespace, name)
    elif "kind" in arguments:
        resource = _named(arguments["kind"])
        yield resource, objects_of(resource, namespace, arguments.get("name", ""))


def _of_document(body: Any) -> Resource:
    group, _, version = text(get(body, "/apiVersion")).rpartition("/")
    return _named(f"{get(body, '/kind')}.{group or version}")


def _named(said: str) -> Resource:
    try:
        return chosen(said, known_kinds())
    except CallRefused:
        kind, _, group = said.strip().partition(".")
        return Resource(kind, group, "", kind.lower(), namespaced=True)
