"""What the tools that change something answer: what was done to each object, and what to call next."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from pydantic import Field

from ap_mcp.files import save_result
from ap_mcp.kubernetes.finalizers import held_by, in_words
from ap_mcp.kubernetes.owners import undone_by
from ap_mcp.kubernetes.steps import Step, warnings_in
from ap_mcp.specs import CLUSTER
from ap_mcp.summaries.base import NextCall, Ours, Part, Result
from ap_mcp.vendor import get, number, stamp, text, word
from ap_mcp.wait import WAIT_FOR
from ap_mcp.wording import few, plural

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.kubernetes.writes import Outlook

WAITED = {
    "Deployment.apps": "rollout",
    "StatefulSet.apps": "rollout",
    "DaemonSet.apps": "rollout",
    "Job.batch": "k8s_job",
    "ReplicaSet.apps": "pods_ready",
    "Pod": "pods_ready",
}
"""What `wait_for` calls the end of what a change of an object starts."""
FILE = "file"
UNSURE = "unknown"
MOST_HELD = 3


class ChangedObject(Part):
    """One object, and what was done to it."""

    kind: str
    name: str
    namespace: str | None = None
    done: str
    generation: int | None = None


class Change(Result):
    """What a call changed in a cluster."""

    cluster: str = ""
    objects: list[ChangedObject] = Field(default_factory=list)
    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    expires: str | None = None
    note: Ours | None = None


RESULT = Change


def result_of(outlook: "Outlook", responses: "Sequence[CloudResponse]") -> Change:
    """Return what a call did.

    Args:
        outlook: what it came to.
        responses: to its requests, in their order.
    """
    answered = dict(zip(map(id, outlook.acting), responses, strict=False))
    objects = [_object(each, answered.get(id(each))) for each in outlook.steps]
    saved = next((each.body for each in responses if get(each.body, f"/{FILE}")), None)
    found = list(dict.fromkeys(each.found for each in responses if each.found))
    found += [held for each in outlook.steps if (held := _held(each, answered.get(id(each))))][:MOST_HELD]
    warnings = [text for each in responses for text in warnings_in(each.headers)]
    warnings += [text for each in outlook.steps if each.call is None for text in each.warnings]
    # Who may undo it was shown if a person was asked; an agent hears of it now.
    undone = [text for each in outlook.acting if each.change.verb != "delete" for text in undone_by(each)]
    warnings += list(dict.fromkeys(undone))[:MOST_HELD]
    place = {} if saved is None else get(saved, f"/{FILE}")
    return Change(
        summary=" ".join([_summary(outlook, objects), *found]),
        cluster=outlook.api.name,
        objects=objects,
        warnings=list(dict.fromkeys(warnings)),
        next=_next(outlook, objects),
        request_id=next((each.request_id for each in reversed(responses) if each.request_id), None),
        **place,
    )


def _object(step: Step, response: "CloudResponse | None") -> ChangedObject:
    change = step.change
    body = response.body if response is not None else None
    name = change.name or text(get(body, "/metadata/name"))
    generation = number(get(body, "/metadata/generation"))
    return ChangedObject(
        kind=change.resource.kind,
        name=name,
        namespace=change.namespace or None,
        done=_done(step, response),
        generation=None if generation is None else int(generation),
    )


def _done(step: Step, response: "CloudResponse | None") -> str:
    change = step.change
    if step.call is None:
        return "being deleted already" if change.verb == "delete" else "unchanged"
    if step.posts:
        return {"eviction": "evicted", "token": "token made"}[change.subresource]
    if change.verb == "delete":
        # Of several objects a server answers as they were, and pods are given time to end.
        ends = step.shared and change.resource.full == "Pod"
        body = change.before if step.shared else response.body if response is not None else None
        waits = ends or get(body, "/metadata/deletionTimestamp") or get(body, "/metadata/finalizers")
        return "being deleted" if waits else "deleted"
    return "created" if change.verb == "create" else "configured"


def _held(step: Step, response: "CloudResponse | None") -> str:
    """Return what keeps an object that is being deleted; empty if nothing but time does."""
    change = step.change
    if change.verb != "delete" or step.posts:
        return ""
    body = change.before if response is None else response.body
    finalizers = held_by(body) if get(body, "/metadata/deletionTimestamp") else []
    return f"{step.thing} stays until its finalizers are done: {in_words(finalizers)}." if finalizers else ""


def _summary(outlook: "Outlook", objects: Sequence[ChangedObject]) -> str:
    cluster = outlook.api.name
    if not outlook.acting:
        what = _names(objects) if objects else "nothing matches"
        ways = {each.done for each in objects}
        how = ways.pop() if len(ways) == 1 else "unchanged"
        said = f"{what}: {how}" if objects else f"Nothing matches in cluster {cluster}"
        return f"{said}. Nothing was sent."
    counts = Counter(each.done for each in objects)
    if len(objects) == 1:
        step = outlook.acting[0]
        how = step.words.replace("{} ", "")
        words = (
            f" ({how})" if how not in ("", "patch", "apply", "create", "replace", "evict", "make a token of") else ""
        )
        return f"{_names(objects)} in cluster {cluster}: {objects[0].done}{words}."
    done = ", ".join(f"{count} {what}" for what, count in counts.items())
    return f"{plural(len(objects), 'object')} in cluster {cluster}: {done}."


def _names(objects: Sequence[ChangedObject]) -> str:
    places = (f"{word(each.namespace)}/" if each.namespace else "" for each in objects)
    return few([f"{each.kind} {place}{word(each.name)}" for each, place in zip(objects, places, strict=True)], 5)


def _next(outlook: "Outlook", objects: Sequence[ChangedObject]) -> list[NextCall]:
    """Propose to wait for what rolls out now, and to read what was made."""
    calls: list[NextCall] = []
    for step, made in zip(outlook.steps, objects, strict=True):
        where: dict[str, Any] = {CLUSTER: outlook.api.cluster, "kind": made.kind.lower(), "name": made.name}
        where |= {"namespace": made.namespace} if made.namespace else {}
        held = step.change.verb == "delete" and made.done.startswith("being deleted")
        if (step.call is None and not held) or step.posts:
            continue
        if step.change.verb == "delete":
            if held:
                why = "shows whether it is gone, or what it waits for"
                calls.append(NextCall(tool="k8s_get", arguments=where, why=why))
        elif (kind := WAITED.get(step.change.resource.full)) and _goes_on(step):
            calls.append(_wait(outlook, kind, made))
        elif step.change.resource.full not in ("Secret", "ConfigMap"):
            calls.append(NextCall(tool="k8s_get", arguments=where, why="shows how it is now"))
    return calls[:3]


def _goes_on(step: Step) -> bool:
    """Say whether a change starts something that ends by itself: what is held back waits for a person."""
    held = any(get(step.change.after, f"/spec/{key}") is True for key in ("paused", "suspend"))
    return step.change.subresource != "status" and not held


def _wait(outlook: "Outlook", kind: str, made: ChangedObject) -> NextCall:
    arguments = {"kind": kind, "id": f"{made.kind.lower()}/{made.name}", CLUSTER: outlook.api.cluster}
    arguments |= {"namespace": made.namespace} if made.namespace else {}
    return NextCall(tool=WAIT_FOR, arguments=arguments, why=_ENDS[kind])


_ENDS = {
    "rollout": "says when the rollout has ended, and what keeps it if it does not",
    "k8s_job": "says when the Job has ended, and how",
    "pods_ready": "says when its pods are ready, and what keeps them if they are not",
}


async def saved_token(step: Step, response: "CloudResponse", folder: Path) -> "CloudResponse":
    """Return an answer that holds a token without it: the token goes to a file of its own, for its owner only."""
    if not step.makes_token:
        return response
    token = get(response.body, "/status/token")
    if not isinstance(token, str):
        return replace(response, body=None)
    name = f"{step.change.namespace}-{step.change.name}-token"
    file = await to_thread.run_sync(partial(save_result, folder, name, token.encode()))
    expires = stamp(get(response.body, "/status/expirationTimestamp"))
    said = {"path": str(file.path), "bytes": file.bytes, "sha256": file.sha256, "expires": expires}
    return replace(response, body={FILE: said}, content=json.dumps(said).encode())
