"""`k8s_patch`: some fields of one object are changed, by a strategic, a merge or a JSON patch."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from ap_mcp.aside import in_a_thread
from ap_mcp.binding import HttpCall
from ap_mcp.errors import CallRefused, InvalidArguments, Problem
from ap_mcp.kubernetes.api import DEFAULT, ClusterApi
from ap_mcp.kubernetes.effects import Change, touching
from ap_mcp.kubernetes.manifests import read_patch
from ap_mcp.kubernetes.sealed import hidden_in, hides_at, supplied_in
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.steps import PATCHES, Checks, Step, change_request, with_version
from ap_mcp.vendor import get, word

SCALE = "scale"


async def steps(arguments: Mapping[str, Any], api: ClusterApi, checks: Checks) -> list[Step]:
    """Return what a patch changes.

    Raises:
        InvalidArguments: the patch is none of its type.
        CallRefused: the policy, or the cluster's own check, says no.
    """
    kind = arguments["type"]
    body = await in_a_thread(partial(read_patch, arguments["patch"]))
    if wrong := _misfit(body, kind):
        raise InvalidArguments([Problem("patch", wrong)])
    resource = await api.resource(arguments["kind"])
    if kind == "strategic" and is_custom(resource):
        why = f"must be merge or json: {resource.full} is a custom kind, and the server knows no strategic patch for it"
        raise InvalidArguments([Problem("type", why)])
    return [await patched(arguments, resource, body, kind, checks, words="patch")]


async def patched(
    arguments: Mapping[str, Any],
    resource: Resource,
    body: Any,
    kind: str,
    checks: Checks,
    *,
    words: str,
    timeless: HttpCall | None = None,
    supplied: bool = True,
) -> Step:
    """Return the step that patches an object.

    Args:
        arguments: that name it.
        resource: its kind.
        body: the patch.
        kind: strategic, merge or json.
        checks: has it checked.
        words: what is done, in a few words.
        timeless: the request without what differs each time it is made.
        supplied: the patch is the caller's; one that was read from the cluster is shown without secrets.

    Raises:
        CallRefused: the policy, or the cluster's own check, says no.
    """
    name, namespace = arguments["name"], place_of(arguments, resource)
    subresource = arguments.get("subresource", "")
    live = await needed(checks, resource, namespace, name, subresource)
    change = Change("change", resource, namespace, name, live, None, subresource)
    await checks.decided(change)
    if kind == "json":
        _refuse_guesses(body, live, resource)
    parts = resource.parts(namespace, name, subresource)
    compared = change_request(checks.api, "PATCH", parts, body, content_type=PATCHES[kind])
    call = with_version(compared, live)
    checked = await checks.dry_run(compared, change)
    before, after = live, checked.after
    if subresource == SCALE:
        # What goes with the pods stands in the workload and not in its scale.
        whole = await needed(checks, resource, namespace, name)
        before = with_replicas(whole, live)
        after = with_replicas(whole, checked.after) if checked.after is not None else None
    change = touching(Change("change", resource, namespace, name, before, after, subresource), body)
    nothing = not checked.unchecked and change.is_none

    async def again(api: ClusterApi) -> Step:
        return await patched(arguments, resource, body, kind, Checks(api, checks.rehearse), words=words,
                             supplied=supplied)  # fmt: skip

    given: Any = body if isinstance(body, dict) or checked.after is None else None
    if supplied and given is None:
        given = supplied_in(after, body, before, resource.full)
    return Step(
        change=change,
        call=None if nothing else call,
        compared=None if nothing else timeless or compared,
        again=again,
        given=given if supplied else None,
        warnings=checked.warnings,
        unchecked=checked.unchecked,
        default_namespace=resource.namespaced and "namespace" not in arguments,
        words=words,
    )


def _refuse_guesses(operations: Any, live: Any, resource: Resource) -> None:
    """Refuse to have a value compared that is not shown: by such tests it could be guessed.

    Raises:
        CallRefused: an operation tests it, or tests something in an object that hides a value while others move values.
    """
    tested = [each["path"] for each in operations if each["op"] == "test"]
    moves = any(each["op"] in ("copy", "move") for each in operations)
    if tested and (
        any(hides_at(live, resource.full, each) for each in tested) or (moves and hidden_in(live, resource.full))
    ):
        raise CallRefused(
            "Refused: test would compare what is hidden as a secret. Nothing was sent. Leave test out; the patch is "
            "bound to the object as it was read anyway."
        )


def with_replicas(workload: Any, scale: Any) -> Any:
    """Return a workload with the number of replicas that a scale says, wherever a custom one has it."""
    return {**workload, "spec": {**(get(workload, "/spec") or {}), "replicas": get(scale, "/spec/replicas")}}


def place_of(arguments: Mapping[str, Any], resource: Resource) -> str:
    """Return the namespace of the object that arguments name; empty for a kind that is in none."""
    return str(arguments.get("namespace", DEFAULT)) if resource.namespaced else ""


async def needed(checks: Checks, resource: Resource, namespace: str, name: str, subresource: str = "") -> Any:
    """Return an object as it is.

    Raises:
        CallRefused: there is none.
    """
    live = await checks.live(resource, namespace, name, subresource)
    if live is None:
        place = f" in namespace {word(namespace)}" if namespace else ""
        below = f", or it has no {subresource}" if subresource else ""
        raise CallRefused(
            f"Refused: there is no {resource.kind} {word(name)}{place}{below}. Nothing was sent. "
            "k8s_list shows what there is; without a namespace it shows all of them."
        )
    return live


def is_custom(resource: Resource) -> bool:
    """Say whether a kind is none of Kubernetes' own, so that its server knows no strategic patch for it."""
    return "." in resource.group and not resource.group.endswith(".k8s.io")


def _misfit(body: Any, kind: str) -> str:
    """Return why a value is no patch of a type; empty if it is one."""
    if kind != "json":
        return "" if isinstance(body, dict) else f"a {kind} patch is an object with the fields to change"
    if not isinstance(body, list):
        return "a json patch is a list of operations, each with op and path"
    for number, each in enumerate(body, 1):
        if not isinstance(each, dict) or not isinstance(each.get("op"), str) or not isinstance(each.get("path"), str):
            return f"operation {number} must have op and path"
        if each["op"] not in ("add", "remove", "replace", "move", "copy", "test"):
            return f"operation {number}: op must be add, remove, replace, move, copy or test"
        if each["op"] in ("add", "replace", "test") and "value" not in each:
            return f"operation {number} ({json.dumps(each['path'])}) must have a value"
    return ""
