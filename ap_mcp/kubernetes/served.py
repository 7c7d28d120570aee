"""Answers k8s_discover: the kinds that a cluster serves, and the versions, verbs and fields of one of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from ap_mcp.errors import CallRefused, ServiceError
from ap_mcp.kubernetes.api import ClusterApi, cluster_api, is_no_path
from ap_mcp.kubernetes.discovery import KnownKinds, kinds_of, path_of
from ap_mcp.kubernetes.fields import FieldLine, Level, level_of, shown
from ap_mcp.kubernetes.kinds import chosen, fitting
from ap_mcp.kubernetes.spec import Resource, successors
from ap_mcp.plans import ToolContext
from ap_mcp.summaries.base import BRIEF, NextCall, Part, Result
from ap_mcp.vendor import quoted, word
from ap_mcp.wording import closest, few, plural

DISCOVER = "k8s_discover"
NAMED = 12
_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d+)?")
_NO_SCHEMA = "The cluster has no schema of {} {}: its fields are not known."


class GroupLine(Part):
    """Kinds of one version of an API group: the plural, and short names after slashes.

    Attributes:
        custom: it is no group of Kubernetes itself.
    """

    group_version: str
    custom: bool | None = None
    kinds: list[str]


class KindLine(Part):
    """A kind, with what can be done to it."""

    kind: str
    plural: str
    short: list[str] | None = None
    namespaced: bool
    verbs: list[str]


class Served(Result):
    """What a cluster serves.

    Attributes:
        groups: all, the core first.
        kinds: of the one group version that was asked for.
        versions: of the one kind that was asked for, the preferred one first.
        about: what the cluster says about the kind, or its field.
        fields: one level; those that are required come first.
    """

    groups: Annotated[list[GroupLine] | None, BRIEF] = None
    kinds: Annotated[list[KindLine] | None, BRIEF] = None
    kind: str | None = None
    namespaced: bool | None = None
    versions: list[str] | None = None
    short: list[str] | None = None
    verbs: list[str] | None = None
    subresources: list[str] | None = None
    type: str | None = None
    about: str | None = None
    values: list[str] | None = None
    fields: Annotated[list[FieldLine] | None, BRIEF] = None


RESULT = Served


async def run(arguments: Mapping[str, Any], context: ToolContext, kinds: KnownKinds) -> Served:
    """Show what a cluster serves.

    Raises:
        CallRefused: there is no such kind, group or field; close ones are named.
        ServiceError: the cluster said no.
    """
    api = await cluster_api(DISCOVER, arguments["cluster_id"], context.reads, kinds)
    kind, only, field = arguments.get("kind"), arguments.get("group_version", ""), arguments.get("field", "")
    if field and not kind:
        raise CallRefused("field is of a kind: name the kind too. Nothing was read.")
    if kind is None and only:
        return await _group(api, only.strip().lower())
    served = await api.served()
    if kind is None:
        return _all(api, served)
    if not fitting(kind, served):
        served = await api.served(fresh=True)
    resource = chosen(kind, served if not only else [each for each in served if _is_in(each, only)] or served)
    version = _version(resource, only)
    level = await _level(api, resource, version, field)
    return _kind(api, resource, version, field, level)


def _all(api: ClusterApi, served: Sequence[Resource]) -> Served:
    groups: dict[str, list[Resource]] = {}
    for each in sorted(served, key=lambda each: (not _is_own(each), each.group != "")):
        groups.setdefault(each.api_version, []).append(each)
    lines = [
        GroupLine(
            group_version=shown(version),
            custom=True if not _is_own(found[0]) else None,
            kinds=[shown("/".join((each.plural, *each.short))) for each in found],
        )
        for version, found in groups.items()
    ]
    own = sum(len(each.kinds) for each in lines if each.custom)
    custom = f", {own} of them custom ones" if own else ""
    return Served(summary=f"{api.name} serves {plural(len(served), 'kind')}{custom}.", groups=lines)


async def _group(api: ClusterApi, only: str) -> Served:
    """Return the kinds of one version of a group; of a version that is no longer served, those of what replaced it."""
    group, _, version = only.rpartition("/")
    if _VERSION.fullmatch(version):
        try:
            found = list(kinds_of(await api.path(*path_of(group, version)), group, version))
        except ServiceError as error:
            if not is_no_path(error):
                raise
        else:
            return _kinds(api, found, word(only))
    served = await api.served()
    if found := [each for each in served if _is_in(each, only)]:
        return _kinds(api, found, word(only))
    every = list(dict.fromkeys(each.api_version for each in served))
    instead = [each for each in every if each.rpartition("/")[0] == group and group]
    instead = instead or [each for each in successors().get(group, ()) if each in every]
    if not instead or not _VERSION.fullmatch(version):
        near = closest(only, every) or every
        raise CallRefused(f"{api.name} serves no group {quoted(only)}. There are: {few(near, NAMED)}.")
    found = []
    for each in instead:
        group, _, version = each.rpartition("/")
        found += kinds_of(await api.path(*path_of(group, version)), group, version)
    where = few([shown(each) for each in instead])
    gone = f"The cluster does not serve {word(only)}: {where} {'is' if len(instead) == 1 else 'are'} shown instead."
    answer = _kinds(api, found, where)
    return answer.model_copy(update={"warnings": [gone, *answer.warnings]})


def _kinds(api: ClusterApi, found: Sequence[Resource], where: str) -> Served:
    several = len({each.api_version for each in found}) > 1
    lines = [
        KindLine(
            kind=shown(each.kind),
            plural=shown(f"{each.plural}.{each.group}" if several and each.group else each.plural),
            short=[shown(name) for name in each.short] or None,
            namespaced=each.namespaced,
            verbs=sorted(map(shown, each.verbs)),
        )
        for each in found
    ]
    return Served(summary=f"{api.name} serves {plural(len(found), 'kind')} in {where}.", kinds=lines)


def _kind(api: ClusterApi, resource: Resource, version: str, field: str, level: Level | None) -> Served:
    group_version = f"{resource.group}/{version}" if resource.group else version
    where = f"{resource.kind}.{field}" if field else resource.kind
    place = "in namespaces" if resource.namespaced else "in no namespace"
    said = f"{word(where)} is a {quoted(level.type)} of {group_version}" if field and level else ""
    versions = [f"{resource.group}/{each}" if resource.group else each for each in resource.versions]
    onward = []
    if level and not field and any(each.name == "spec" for each in level.fields):
        given = {"cluster_id": api.cluster, "kind": resource.plural, "field": "spec"}
        onward = [NextCall(tool=DISCOVER, arguments=given, why="shows the fields below spec")]
    return Served(
        summary=f"{said or f'{word(resource.kind)} ({group_version}) is kept {place} of {api.name}'}.",
        kind=shown(resource.kind),
        namespaced=None if field else resource.namespaced,
        versions=None if field else [shown(each) for each in versions or [group_version]],
        short=None if field else [shown(each) for each in resource.short] or None,
        verbs=None if field else sorted(map(shown, resource.verbs)) or None,
        subresources=None if field else sorted(map(shown, resource.subresources)) or None,
        type=level.type if level and field else None,
        about=level.about or None if level else None,
        values=level.values or None if level else None,
        fields=level.fields if level else None,
        warnings=[] if level else [_NO_SCHEMA.format(word(group_version), word(resource.kind))],
        next=onward,
    )


async def _level(api: ClusterApi, resource: Resource, version: str, field: str) -> Level | None:
    document = await schemas_of(api, resource.group, version)
    return None if document is None else level_of(document, resource, version, field)


async def schemas_of(api: ClusterApi, group: str, version: str) -> Any:
    """Return the OpenAPI v3 document of a version of a group; None if the cluster serves none.

    Raises:
        ApMcpError: a rule forbids it, or the cluster said no.
    """
    try:
        return await api.path("openapi", "v3", *path_of(group, version))
    except ServiceError as error:
        if is_no_path(error):
            return None
        raise


def _version(resource: Resource, only: str) -> str:
    wanted = only.rpartition("/")[2]
    return wanted if wanted in resource.versions else resource.version


def _is_in(resource: Resource, only: str) -> bool:
    """Say whether a kind is of a group, or of one of its versions: `apps`, `apps/v1`, `v1` for the core."""
    wanted = only.strip().lower()
    versions: Iterable[str] = resource.versions or (resource.version,)
    whole = {f"{resource.group}/{each}" if resource.group else each for each in versions}
    return wanted == (resource.group or "core") or wanted in whole


def _is_own(resource: Resource) -> bool:
    return "." not in resource.group or resource.group.endswith(".k8s.io")
