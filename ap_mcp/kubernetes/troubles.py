"""Adds to an error of a cluster what a caller needs to go on: close names, the right namespace, what may be done."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from ap_mcp.errors import ApMcpError, NotFound, PermissionDenied, ServiceError
from ap_mcp.kubernetes.api import DEFAULT, NAMES_ONLY, ClusterApi, is_no_path
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.parallel_reads import read_together
from ap_mcp.vendor import get, items, text, word
from ap_mcp.wording import closest, few

SEEN = 500
"""Names that are compared with one that was not found."""
NAMED = 5
TRIED = 12
"""Namespaces that are tried for one in which a read is allowed."""
_EXPIRED = 410


@asynccontextmanager
async def explained(
    api: ClusterApi, resource: Resource, namespace: str = "", name: str = "", query: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Have an error of a read say what to do instead; looking for that never hides the error itself.

    Args:
        api: the cluster.
        resource: what is read.
        namespace: in which; empty for all.
        name: of the one object; empty for a list.
        query: of the read.
    """
    try:
        yield
    except NotFound as error:
        if error.status == _EXPIRED:
            error.hint = "The cursor has expired: a cluster keeps a list for some minutes. Call again without cursor."
        elif name and not is_no_path(error):
            with suppress(ApMcpError):
                error.hint = await _instead_of(api, resource, namespace, name)
        raise
    except PermissionDenied as error:
        with suppress(ApMcpError):
            error.hint = f"{error.hint} {await _allowed(api, resource, namespace)}".strip()
        raise
    except ServiceError as error:
        if error.status == 400 and (said := _about_query(resource, query or {}, " ".join(error.texts))):
            error.hint = said
        raise


async def names_in(api: ClusterApi, resource: Resource, namespace: str = "") -> list[str]:
    """Return the names of objects, at most `SEEN`.

    Raises:
        ApMcpError: they may not be listed, or the cluster said no.
    """
    body = await api.list(resource, namespace, accept=NAMES_ONLY, query={"limit": str(SEEN)})
    return [text(get(each, "/metadata/name")) for each in items(body, "/items")]


async def no_such_namespace(api: ClusterApi, namespace: str) -> str:
    """Return a sentence that says that a namespace does not exist; empty if it does, or if that cannot be read."""
    kind = _kind("namespaces")
    try:
        await api.get(kind, namespace)
    except NotFound as error:
        if is_no_path(error):
            return ""
        there = []
        with suppress(ApMcpError):
            there = await names_in(api, kind)
        # Those of Kubernetes itself are rarely meant, and are listed before most others.
        there.sort(key=_is_of_kubernetes)
        return f"There is no namespace {word(namespace)}.{_nearest(namespace, there, 'namespaces')}"
    except ApMcpError:
        return ""
    return ""


def _is_of_kubernetes(namespace: str) -> bool:
    return namespace.startswith("kube-") or namespace == DEFAULT


async def _instead_of(api: ClusterApi, resource: Resource, namespace: str, name: str) -> str:
    """Say what there is instead of an object that was not found."""
    if resource.namespaced and namespace:
        if missing := await no_such_namespace(api, namespace):
            return missing
        with suppress(ApMcpError):
            elsewhere = await api.list(
                resource, "", accept=NAMES_ONLY, query={"fieldSelector": f"metadata.name={name}", "limit": "10"}
            )
            places = [text(get(each, "/metadata/namespace")) for each in items(elsewhere, "/items")]
            if places:
                return f"There is one in another namespace: {few([word(each) for each in places], NAMED)}."
    where = f" in namespace {word(namespace)}" if resource.namespaced else ""
    nearest = _nearest(name, await names_in(api, resource, namespace), resource.plural)
    return nearest.strip() or f"There are no {resource.plural}{where}."


def _nearest(name: str, there: list[str], plural: str) -> str:
    """Return a sentence, after a blank, that names what is close to a name, or a few of what there is."""
    near = closest(name.lower(), there)
    # A pod has the name of its workload and more.
    near += [each for each in there if each not in near and (each.startswith(name) or name.startswith(each))][:3]
    if near:
        return f" Did you mean {few([word(each) for each in near[:NAMED]], NAMED)}?"
    return f" There are {plural}: {few([word(each) for each in there], NAMED)}." if there else ""


async def _allowed(api: ClusterApi, resource: Resource, namespace: str) -> str:
    """Say where the identity in use may do what it may not do here, or what it may do here."""
    if namespace or not resource.namespaced:
        return await _rights_in(api, namespace or "default", resource)
    there = (await names_in(api, _kind("namespaces")))[:TRIED]

    async def may(place: str) -> bool:
        asked = {"verb": "list", "group": resource.group, "resource": resource.plural, "namespace": place}
        body = await api.review("SelfSubjectAccessReview", {"resourceAttributes": asked})
        return get(body, "/status/allowed") is True

    answers, _ = await read_together(may, {each: (each, {}) for each in there})
    open_to = [word(each) for each in there if answers.get(each)]
    if open_to:
        return f"It may list {resource.plural} in: {few(open_to, NAMED)}."
    return f"It may list {resource.plural} in none of: {few([word(each) for each in there], NAMED)}." if there else ""


async def _rights_in(api: ClusterApi, namespace: str, resource: Resource) -> str:
    """Say what the identity in use may read in a namespace, as far as its rules are known to the server."""
    body = await api.review("SelfSubjectRulesReview", {"namespace": namespace})
    may: dict[str, None] = {}
    for rule in items(body, "/status/resourceRules"):
        verbs = set(_texts(rule, "/verbs"))
        groups = _texts(rule, "/apiGroups")
        if verbs & {"get", "list", "*"} and "authorization.k8s.io" not in groups:
            may |= dict.fromkeys(each for each in _texts(rule, "/resources") if "/" not in each)
    if not may:
        return f"In namespace {word(namespace)} it may read nothing that the cluster names."
    if "*" in may or resource.plural in may:
        return ""
    return f"In namespace {word(namespace)} it may read: {few([word(each) for each in may], 10)}."


_ABOUT_SELECTORS = ("unable to parse", "selector", "field label", "couldn't understand", "not a valid", "invalid label")


def _about_query(resource: Resource, query: Mapping[str, str], said: str) -> str:
    """Say how a part of a query is written that the cluster did not take; empty if it is about something else."""
    lowered = said.lower()
    if query.get("continue") and "continue" in lowered:
        return "The cursor is none that this list gave: take it from the answer before as it is, or leave it out."
    if not any(each in lowered for each in _ABOUT_SELECTORS):
        return ""
    parts = []
    if query.get("fieldSelector"):
        fields = ("metadata.name", *(("metadata.namespace",) if resource.namespaced else ()), *resource.fields)
        parts.append(
            "field_selector is written as field=value or field!=value, joined by commas; "
            f"{resource.plural} take {', '.join(fields)}."
        )
    if query.get("labelSelector"):
        parts.append(
            "label_selector is written as app=cart, app!=cart, tier in (a,b), tier notin (a,b), app or !app, joined "
            "by commas."
        )
    return " ".join(parts)


def _kind(plural: str) -> Resource:
    return next(each for each in known_kinds() if each.plural == plural)


def _texts(body: Any, pointer: str) -> list[str]:
    found = get(body, pointer)
    return [text(each) for each in found] if isinstance(found, list) else []
