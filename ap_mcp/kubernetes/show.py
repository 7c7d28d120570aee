"""Answers k8s_get: one object with its state, what matters of it, and the newest events about it and what it owns."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from ap_mcp.aside import aside, size_of
from ap_mcp.errors import CallRefused, ServiceError
from ap_mcp.kubernetes.api import ClusterApi, cluster_api, is_no_path
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.kubernetes.events import EventLine, event_line, newest
from ap_mcp.kubernetes.owned import Owned, owned_by
from ap_mcp.kubernetes.owners import owners_of
from ap_mcp.kubernetes.pods import Container, End, containers_of, is_healthy, status_of
from ap_mcp.kubernetes.sealed import Key, Sealed, page_of
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.states import State, matters, served_by, state_of
from ap_mcp.kubernetes.troubles import explained
from ap_mcp.masking import mask
from ap_mcp.parallel_reads import read_together, why_unread
from ap_mcp.plans import ToolContext
from ap_mcp.summaries.base import BRIEF, CURSOR, DETAIL, FULL, TELLING, NextCall, Ours, Part, Result
from ap_mcp.summaries.pages import CHANGED, fitted
from ap_mcp.vendor import get, items, mapping, moment, text, word
from ap_mcp.wording import age, ends, span

SHOW = "k8s_get"
EVENTS, REVISIONS, PODS, LABELS = 5, 5, 5, 12
OWNED_ASKED = 2
"""Owned objects whose events are read: the newest version, and what is not healthy."""
MESSAGE = 300
DEFAULT = "default"


class Condition(Part):
    """A condition that is not as it should be."""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None
    age: str | None = None


class Revision(Part):
    """A version that a workload had; the newest first."""

    revision: str
    name: str
    ready: int | None = None
    images: list[str] | None = None
    age: str | None = None


class ContainerShown(Part):
    """A container: of a pod as it is, of a template as it is wanted.

    Attributes:
        last: how the run before this one ended.
    """

    name: str
    image: str | None = None
    state: str | None = None
    message: str | None = None
    ready: bool | None = None
    restarts: int | None = None
    last: Ours | None = None


class PodShown(Part):
    """A pod that is not healthy."""

    name: str
    status: str
    restarts: int | None = None
    message: str | None = None


class ObjectShown(Result):
    """One object of a cluster, secrets in it masked.

    Attributes:
        facts: of its kind, its owner and labels.
        conditions: those that are not as they should be.
        pods: of it that are not healthy.
        data: entries of a Secret or ConfigMap.
        events: the newest, of it and of what it owns.
    """

    age: str | None = None
    facts: dict[str, Any] | None = None
    conditions: Annotated[list[Condition] | None, BRIEF] = None
    containers: Annotated[list[ContainerShown] | None, BRIEF] = None
    revisions: Annotated[list[Revision] | None, BRIEF] = None
    pods: Annotated[list[PodShown] | None, BRIEF] = None
    data: Annotated[list[Key] | None, TELLING, BRIEF] = None
    events: Annotated[list[EventLine] | None, TELLING, BRIEF] = None


RESULT = ObjectShown


async def run(arguments: Mapping[str, Any], context: ToolContext, kinds: KnownKinds) -> ObjectShown:
    """Show one object.

    Raises:
        CallRefused: the cluster has no such kind, or a rule closes it.
        ServiceError: the cluster said no; if there is no such object, the error names close ones.
    """
    api = await cluster_api(SHOW, arguments["cluster_id"], context.reads, kinds)
    resource = await api.resource(arguments["kind"])
    if arguments.get("namespace") and not resource.namespaced:
        raise CallRefused(f"{resource.plural} are in no namespace: leave namespace out. Nothing was read.")
    namespace = arguments.get("namespace", DEFAULT) if resource.namespaced else ""
    name, below = arguments["name"].strip(), arguments.get("subresource", "")
    async with explained(api, resource, namespace, name):
        try:
            response = await api.read(resource, namespace, name, below)
        except ServiceError as error:
            if below and is_no_path(error):
                error.hint = f"{resource.plural} have no {below} of their own: leave subresource out."
            raise
    work = partial(page_of, response.came, resource.full, arguments.get(CURSOR, ""))
    sealed: Sealed = await aside(work, size_of(response.body))
    now = context.reads.now()
    if below:
        return _below(api, resource, sealed.body, below, now)
    state = state_of(resource.full, sealed.body, now)
    shown = _paged(await _shown(api, resource, sealed, state, now), sealed, arguments)
    if arguments.get(DETAIL) != FULL:
        return shown
    whole, cut = fitted(sealed.body)
    why = [f"The whole object is too long: {cut}."] if cut else []
    return shown.model_copy(update={"full": whole, "warnings": [*shown.warnings, *why]})


def _paged(shown: ObjectShown, sealed: Sealed, arguments: Mapping[str, Any]) -> ObjectShown:
    """Say of an object with more entries than one answer holds how many are shown, and how the next ones are."""
    warnings = [CHANGED] if sealed.is_lost else []
    onward = []
    if sealed.keys is not None and len(sealed.keys) < sealed.total:
        warnings.append(f"Of its {sealed.total} keys {len(sealed.keys)} are shown here.")
    if sealed.cursor:
        given = {**arguments, CURSOR: sealed.cursor}
        onward = [NextCall(tool=SHOW, arguments=given, why="shows the next keys")]
    if not (warnings or onward):
        return shown
    return shown.model_copy(update={"warnings": [*shown.warnings, *warnings], "next": [*shown.next, *onward]})


def _below(api: ClusterApi, resource: Resource, body: Mapping[str, Any], below: str, now: datetime) -> ObjectShown:
    """Return what stands below an object: its status, or its scale."""
    name = word(get(body, "/metadata/name"))
    if below == "scale":
        there, wanted = get(body, "/status/replicas", 0), get(body, "/spec/replicas", 0)
        said, whole = f"{text(wanted)} wanted, {text(there)} there", {"selector": get(body, "/status/selector")}
    else:
        said, whole = state_of(resource.full, body, now).sentence, get(body, "/status", {})
    summary = f"{below.capitalize()} of {resource.kind} {name} of {api.name}: {said}."
    return ObjectShown(
        summary=summary,
        full=fitted({key: each for key, each in whole.items() if each is not None})[0],
    )


async def _shown(api: ClusterApi, resource: Resource, sealed: Sealed, state: State, now: datetime) -> ObjectShown:
    body = sealed.body
    beside: dict[str, Callable[[], Awaitable[Any]]] = {
        "events": partial(events_of, api, resource.kind, body),
        "owned": partial(owned_by, api, resource, body, healthy=state.healthy),
    }

    if resource.full == "Service" and get(body, "/spec/selector") and get(body, "/spec/type") != "ExternalName":
        beside["endpoints"] = partial(_slices, api, body)

    async def read(what: str) -> Any:
        return await beside[what]()

    answers, failed = await read_together(read, {each: (each, {}) for each in beside})
    if "endpoints" in answers:
        state = served_by(state, answers["endpoints"])
    owned: Owned = answers.get("owned", Owned())
    errors = {**failed, **owned.errors}
    found = list(answers.get("events", []))
    about = owned.worth_asking[:OWNED_ASKED]

    async def of_owned(at: str) -> Any:
        return await events_of(api, text(get(about[int(at)], "/kind")), about[int(at)])

    more, failed = await read_together(of_owned, {str(at): (str(at), {}) for at in range(len(about))})
    errors.update(("events", error) for error in failed.values())
    found += [each for every in more.values() for each in every]
    name, namespace = get(body, "/metadata/name"), text(get(body, "/metadata/namespace"))
    where = f" in {word(namespace)}" if namespace else ""
    facts = {**state.facts, "managed_by": _managed_by(body), "owner": _owner(body), "labels": _labels(body)}
    unwell = [each for each in owned.pods if not is_healthy(each)]
    return ObjectShown(
        summary=f"{resource.kind} {word(name)}{where} of {api.name}: {state.sentence}.",
        age=age(moment(get(body, "/metadata/creationTimestamp")), now),
        facts={key: each for key, each in facts.items() if each is not None} or None,
        conditions=[_condition(each, now) for each in items(body, "/status/conditions") if matters(each)] or None,
        containers=_containers(resource, body, now) or None,
        revisions=[_revision(mask(each), now) for each in owned.revisions[:REVISIONS]] or None,
        pods=[pod_shown(mask(each)) for each in unwell[:PODS]] or None,
        data=sealed.keys,
        events=[event_line(each, now) for each in newest(found)[:EVENTS]] if found or "events" not in errors else None,
        warnings=[f"The {what} were not read: {why_unread(error)}." for what, error in errors.items()],
        next=_next(api, resource, body, state),
    )


async def events_of(api: ClusterApi, kind: str, body: Any) -> list[dict[str, Any]]:
    """Return the events about an object; the cluster chooses them.

    Raises:
        ApMcpError: they may not be read, or the cluster said no.
    """
    name, namespace = text(get(body, "/metadata/name")), text(get(body, "/metadata/namespace"))
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    found = await api.list(await api.resource("events"), namespace, query={"fieldSelector": selector, "limit": "100"})
    return items(found, "/items")


async def _slices(api: ClusterApi, service: Any) -> list[dict[str, Any]]:
    """Return the EndpointSlices of a Service."""
    name, namespace = text(get(service, "/metadata/name")), text(get(service, "/metadata/namespace"))
    query = {"labelSelector": f"kubernetes.io/service-name={name}"}
    return items(await api.list(await api.resource("endpointslices"), namespace, query=query), "/items")


def _owner(body: Any) -> str | None:
    every = owners_of(body)
    return ", ".join(f"{text(get(each, '/kind'))}/{text(get(each, '/name'))}" for each in every) or None


def _labels(body: Any) -> str | None:
    """Return labels as label_selector takes them, so many as a person would read."""
    return ",".join(f"{key}={value}" for key, value in list(mapping(body, "/metadata/labels").items())[:LABELS]) or None


def _managed_by(body: Any) -> str | None:
    """Say who else changes the object: a release of Helm, or what its label names."""
    release = mapping(body, "/metadata/annotations").get("meta.helm.sh/release-name")
    label = mapping(body, "/metadata/labels").get("app.kubernetes.io/managed-by")
    return f"release {release}" if release else label


def _condition(entry: Any, now: datetime) -> Condition:
    return Condition(
        type=text(get(entry, "/type")),
        status=text(get(entry, "/status")),
        reason=text(get(entry, "/reason")) or None,
        message=text(get(entry, "/message"), MESSAGE) or None,
        age=age(moment(get(entry, "/lastTransitionTime")), now),
    )


_TEMPLATES = ("/spec/template/spec", "/spec/jobTemplate/spec/template/spec")


def _containers(resource: Resource, body: Any, now: datetime) -> list[ContainerShown]:
    if resource.full == "Pod":
        return [container_shown(each, now) for each in containers_of(body)]
    template = next((found for each in _TEMPLATES if (found := get(body, each))), None)
    every = [*items(template, "/initContainers"), *items(template, "/containers")]
    return [ContainerShown(name=text(get(each, "/name")), image=text(get(each, "/image"))) for each in every]


def container_shown(container: Container, now: datetime) -> ContainerShown:
    """Return a container of a pod as it is."""
    state = container.state or "not started"
    if container.end is not None:
        state = f"ended {ended(container.end, now)}"
    elif container.reason:
        state = f"waiting: {container.reason}"
    return ContainerShown(
        name=container.name,
        image=container.image,
        state=text(f"init, {state}" if container.is_init else state),
        message=text(container.message, MESSAGE) or None,
        ready=None if container.is_init else container.ready,
        restarts=container.restarts or None,
        last=f"ended {ended(container.last, now)}" if container.last else None,
    )


def ended(end: End, now: datetime) -> str:
    """Say how a run of a container ended: `with code 1 (Error), 5 min ago, after 2 s`."""
    code = f"with code {end.code}" if end.code is not None else "with an unknown code"
    reason = f" ({word(end.reason)})" if end.reason else ""
    ago = f", {since} ago" if (since := age(end.at, now)) else ""
    lasted = f", after {span(end.lasted)}" if end.lasted is not None else ""
    return f"{code}{reason}{ago}{lasted}"


def _revision(body: Any, now: datetime) -> Revision:
    number = mapping(body, "/metadata/annotations").get("deployment.kubernetes.io/revision")
    template = get(body, "/spec/template/spec")
    return Revision(
        revision=number or text(get(body, "/revision")),
        name=text(get(body, "/metadata/name")),
        ready=get(body, "/status/readyReplicas", 0) if template is not None else None,
        images=[text(get(each, "/image")) for each in items(template, "/containers")] or None,
        age=age(moment(get(body, "/metadata/creationTimestamp")), now),
    )


def pod_shown(pod: Any) -> PodShown:
    """Return a pod in a line: how it is, and what its first container in trouble says."""
    every = containers_of(pod)
    lasting = [each for each in every if not each.is_init]
    said = next((each.message for each in every if each.message), "") or text(get(pod, "/status/message"))
    status, ready = status_of(pod), f"{sum(each.ready for each in lasting)}/{len(lasting)} ready" if lasting else ""
    return PodShown(
        name=text(get(pod, "/metadata/name")),
        status=f"{status}, {ready}" if status == "Running" and ready else status,
        restarts=sum(each.restarts for each in every) or None,
        message=ends(said, MESSAGE) or None,
    )


def _next(api: ClusterApi, resource: Resource, body: Any, state: State) -> list[NextCall]:
    if state.healthy:
        return []
    name, namespace = text(get(body, "/metadata/name")), text(get(body, "/metadata/namespace"))
    given = {"cluster_id": api.cluster, "kind": resource.plural, "name": name}
    place = {"namespace": namespace} if namespace else {}
    why = "says why, with the evidence"
    calls = [NextCall(tool="k8s_diagnose", arguments={**given, **place}, why=why)]
    if resource.full == "Pod" and any(each.crashed or each.end for each in containers_of(body)):
        calls.append(NextCall(tool="k8s_logs", arguments={**given, **place}, why="shows what it wrote before it ended"))
    return calls
