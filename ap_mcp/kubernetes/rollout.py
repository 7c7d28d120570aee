"""`k8s_rollout`: a workload is restarted, rolled back, paused or resumed, by a patch each."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.api import ClusterApi
from ap_mcp.kubernetes.changes import REVISION
from ap_mcp.kubernetes.owners import controller_of
from ap_mcp.kubernetes.patch import needed, patched, place_of
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.kubernetes.steps import PATCHES, Checks, Step, change_request
from ap_mcp.vendor import get, items, number, word, written
from ap_mcp.wording import few

RESTARTED = "kubectl.kubernetes.io/restartedAt"
ROLLED = ("Deployment.apps", "StatefulSet.apps", "DaemonSet.apps")
MOMENT = "the moment it is sent"


async def steps(arguments: Mapping[str, Any], api: ClusterApi, checks: Checks) -> list[Step]:
    """Return the patch that an action comes to.

    Raises:
        CallRefused: the action does not fit the workload, or the policy or the cluster's own check says no.
    """
    resource = await api.resource(arguments["kind"])
    if resource.full not in ROLLED:
        raise CallRefused(
            f"Refused: a {resource.kind} is not rolled out. Nothing was sent. Deployments, StatefulSets and "
            "DaemonSets are."
        )
    return [await _step(arguments, resource, checks)]


async def _step(arguments: Mapping[str, Any], resource: Resource, checks: Checks) -> Step:
    live = await needed(checks, resource, place_of(arguments, resource), arguments["name"])
    action, name, paused = arguments["action"], word(arguments["name"]), get(live, "/spec/paused") is True
    if "revision" in arguments and action != "undo":
        raise CallRefused("Refused: revision is for undo only. Nothing was sent.")
    if paused and action in ("restart", "undo"):
        raise CallRefused(
            f"Refused: the rollout of {resource.kind} {name} is paused, so that {action} would show no effect until it "
            "is resumed. Nothing was sent. Resume it first."
        )
    if action in ("pause", "resume"):
        if resource.full != "Deployment.apps":
            raise CallRefused("Refused: only a Deployment can be paused and resumed. Nothing was sent.")
        body: Any = {"spec": {"paused": action == "pause"}}
        step = await patched(arguments, resource, body, "strategic", checks, words=action)
    elif action == "restart":
        step = await _restarted(arguments, resource, checks)
    else:
        step = await _undone(arguments, resource, live, checks)

    async def again(api: ClusterApi) -> Step:
        return await _step(arguments, resource, Checks(api, checks.rehearse))

    return replace(step, again=again)


async def _restarted(arguments: Mapping[str, Any], resource: Resource, checks: Checks) -> Step:
    def body(moment: str) -> Any:
        return {"spec": {"template": {"metadata": {"annotations": {RESTARTED: moment}}}}}

    parts = resource.parts(place_of(arguments, resource), arguments["name"])
    # What a person agrees to does not depend on the second in which it is sent.
    timeless = change_request(checks.api, "PATCH", parts, body(MOMENT), content_type=PATCHES["strategic"])
    moment = written(checks.api.reads.now())
    step = await patched(arguments, resource, body(moment), "strategic", checks, words="restart", timeless=timeless)
    after = deepcopy(step.change.after)
    if isinstance(get(after, "/spec/template/metadata/annotations"), dict):
        after["spec"]["template"]["metadata"]["annotations"][RESTARTED] = MOMENT
    return replace(step, change=replace(step.change, after=after))


async def _undone(arguments: Mapping[str, Any], resource: Resource, live: Any, checks: Checks) -> Step:
    revisions = await _revisions(resource, place_of(arguments, resource), live, checks)
    current = _current(resource, live, revisions)
    wanted = arguments.get("revision")
    if wanted is None:
        older = [each for each in revisions if each < current]
        if not older:
            raise CallRefused(
                f"Refused: {resource.kind} {word(arguments['name'])} has no revision before {current}. "
                "Nothing was sent."
            )
        wanted = max(older)
    if wanted not in revisions:
        there = few([str(each) for each in sorted(revisions)]) or "none"
        raise CallRefused(
            f"Refused: {resource.kind} {word(arguments['name'])} has no revision {wanted}; there are {there}. "
            "Nothing was sent."
        )
    body, kind = revisions[wanted]
    words = f"roll {{}} back to revision {wanted}"
    return await patched(arguments, resource, body, kind, checks, words=words, supplied=False)


async def _revisions(resource: Resource, namespace: str, live: Any, checks: Checks) -> dict[int, tuple[Any, str]]:
    """Return the patch that leads to each revision of a workload, with its type."""
    of_deployment = resource.full == "Deployment.apps"
    wanted = "ReplicaSet" if of_deployment else "ControllerRevision"
    kept = next(each for each in known_kinds() if each.kind == wanted)
    found: dict[int, tuple[Any, str]] = {}
    for each in items(await checks.api.list(kept, namespace), "/items"):
        if (controller_of(each) or {}).get("uid") != get(live, "/metadata/uid"):
            continue
        place = f"/metadata/annotations/{REVISION.replace('/', '~1')}" if of_deployment else "/revision"
        revision = number(get(each, place))
        if revision is None:
            continue
        if of_deployment:
            template = deepcopy(get(each, "/spec/template"))
            (template.get("metadata", {}).get("labels") or {}).pop("pod-template-hash", None)
            found[int(revision)] = ([{"op": "replace", "path": "/spec/template", "value": template}], "json")
        else:
            found[int(revision)] = (get(each, "/data"), "strategic")
    return found


def _current(resource: Resource, live: Any, revisions: Mapping[int, Any]) -> int:
    if resource.full == "Deployment.apps":
        return int(number(get(live, f"/metadata/annotations/{REVISION.replace('/', '~1')}")) or 0)
    return max(revisions, default=0)
