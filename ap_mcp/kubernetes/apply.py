"""`k8s_apply`: whole manifests are applied, created or replaced, each document by a request of its own."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from ap_mcp.aside import in_a_thread
from ap_mcp.errors import CallRefused, Conflict, InvalidArguments, PermissionDenied, Problem, ServiceError
from ap_mcp.guard.subject import Limit
from ap_mcp.kubernetes import schema_check
from ap_mcp.kubernetes.api import DEFAULT, ClusterApi
from ap_mcp.kubernetes.effects import Change, Verb, touching
from ap_mcp.kubernetes.manifests import Document, nearest, read_manifest
from ap_mcp.kubernetes.secrets_read import filled_by_others
from ap_mcp.kubernetes.served import schemas_of
from ap_mcp.kubernetes.spec import Posted, Resource, effect_table, known_kinds
from ap_mcp.kubernetes.steps import (
    APPLY_PATCH,
    Checked,
    Checks,
    Step,
    as_dry_run,
    change_request,
    refusal_of,
    with_version,
)
from ap_mcp.vendor import get, number, quoted, text, word

FIRST = {"Namespace": 0, "CustomResourceDefinition.apiextensions.k8s.io": 1}
"""What other documents of a manifest may need comes before them; else they stay as they stand."""
CRD = "CustomResourceDefinition.apiextensions.k8s.io"
FITS, NO_SCHEMA = "its fields fit the schema of its kind", "nor is there a schema of its kind to compare it with"
FINALIZE = "finalize"
TOKEN_SECONDS = 3600
DAY = 86400


@dataclass(frozen=True)
class Target:
    """A document with the kind that the cluster serves for it, and where it goes."""

    document: Document
    resource: Resource
    namespace: str
    default_namespace: bool
    posted: Posted | None = None
    waits_for: str = ""
    """What another document of the manifest makes first, so that the server cannot check this one yet."""
    by_schema: str = ""
    """What is known instead, by the schema of its kind."""


async def steps(arguments: Mapping[str, Any], api: ClusterApi, checks: Checks) -> list[Step]:
    """Return what a manifest changes, in the order in which it is sent.

    Raises:
        InvalidArguments: with every problem of every document.
        CallRefused: the policy, or the cluster's own check, says no to one of them; then nothing of any is sent.
    """
    mode = arguments["mode"]
    if arguments.get("subresource") == FINALIZE and mode != "replace":
        raise InvalidArguments([Problem("mode", f"must be replace with subresource {FINALIZE}")])
    documents = await in_a_thread(lambda: read_manifest(arguments["manifest"], generated=mode == "create"))
    targets = await _targets(arguments, documents, api)
    below = _read_at(arguments)
    lives = [None if each.posted else await checks.live(*_place(each), below) for each in targets]
    await checks.decided(*(_change(each, live) for each, live in zip(targets, lives, strict=True)))
    new = [each for each, live in zip(targets, lives, strict=True) if live is None]
    names = {each.document.name for each in new if each.resource.full == "Namespace"}
    kinds = {_defined(each.document) for each in new if each.resource.full == CRD}
    # What is there already can be checked, whether the manifest names it once more or not.
    targets = [replace(each, waits_for=_waits_for(each, names, kinds)) for each in targets]
    targets = await _by_schema(targets, lives, api)
    return [await _step(arguments, each, checks, _known_secrets(new, each.namespace)) for each in targets]


async def _by_schema(targets: Sequence[Target], lives: Sequence[Any], api: ClusterApi) -> list[Target]:
    """Compare new documents that the server cannot check yet with the schemas of their kinds.

    Raises:
        InvalidArguments: with everything in them that does not fit.
    """
    definitions = {_defined(each.document): each.document for each in targets if each.resource.full == CRD}
    problems, compared = list[str](), list[Target]()
    for target, live in zip(targets, lives, strict=True):
        if live is not None or not target.waits_for or target.posted is not None:
            compared.append(target)
            continue
        document, resource = target.document, target.resource
        definition = definitions.get((document.group, document.kind))
        if definition is not None:
            found = schema_check.misfits_of_custom(definition.body, resource.version, document.body)
        else:
            found = schema_check.misfits(await _schemas(api, resource), resource, document.body)
        problems += [f"{document.where()}: {each}" for each in found or ()]
        compared.append(replace(target, by_schema=NO_SCHEMA if found is None else FITS))
    if problems:
        raise InvalidArguments([Problem("manifest", each) for each in problems])
    return compared


async def _schemas(api: ClusterApi, resource: Resource) -> Any:
    try:
        return await schemas_of(api, resource.group, resource.version)
    except PermissionDenied:  # the manifest may be applied without
        return None


def _waits_for(target: Target, namespaces: Collection[str], kinds: Collection[tuple[str, str]]) -> str:
    document = target.document
    if target.namespace in namespaces:
        return f"namespace {word(target.namespace)}"
    return f"kind {word(document.kind)}" if (document.group, document.kind) in kinds else ""


def _known_secrets(new: Sequence[Target], namespace: str) -> frozenset[str]:
    """Return the Secrets that a manifest makes in a namespace as a whole: whoever wrote it knows what is in them."""
    return frozenset(
        each.document.name
        for each in new
        if each.namespace == namespace and each.resource.full == "Secret" and not filled_by_others(each.document.body)
    )


def _read_at(arguments: Mapping[str, Any]) -> str:
    """Return the subresource that shows an object as it is; `finalize` can be replaced, and not be read."""
    below = str(arguments.get("subresource", ""))
    return "" if below == FINALIZE else below


def _place(target: Target) -> tuple[Resource, str, str]:
    return target.resource, target.namespace, target.document.name


async def _targets(arguments: Mapping[str, Any], documents: Sequence[Document], api: ClusterApi) -> list[Target]:
    served: tuple[Resource, ...] = ()
    problems: list[str] = []
    targets: list[Target] = []
    defined = {_defined(each): each for each in documents if each.kind == "CustomResourceDefinition"}
    for document in documents:
        posted = next(
            (each for each in effect_table().posted if (each.kind, each.group) == (document.kind, document.group)), None
        )
        if posted is not None:
            resource = next(each for each in known_kinds() if each.kind == posted.of and not each.group)
        else:
            found = _known(document)
            if found is None:
                served = served or await api.served(fresh=True)
                found = _served(document, served)
            if found is None and (document.group, document.kind) in defined:
                found = _of_definition(document, defined[document.group, document.kind])
                if any((each.group, each.plural) == (found.group, found.plural) for each in (*known_kinds(), *served)):
                    problems.append(f"{document.where()}: {word(found.plural)} of {word(found.group)} is another kind")
                    continue
            if found is None:
                names = [each.kind for each in (*known_kinds(), *served)]
                problems.append(
                    f"{document.where()}: the cluster serves no {quoted(document.kind)} of "
                    f"{quoted(document.api_version)}.{nearest(document.kind, names)}"
                )
                continue
            resource = found
        namespace, wrong = _namespace(arguments, document, resource)
        if wrong:
            problems.append(f"{document.where()}: {wrong}")
            continue
        if posted is not None and arguments["mode"] != "create":
            problems.append(f"{document.where()}: a {document.kind} is posted with mode create only")
        given = bool(document.namespace or arguments.get("namespace")) or not resource.namespaced
        targets.append(Target(document, resource, namespace, not given, posted))
        problems += _once_more(targets)
    if problems:
        raise InvalidArguments([Problem("manifest", each) for each in problems])
    return sorted(targets, key=lambda each: FIRST.get(each.resource.full, len(FIRST)))


def _once_more(targets: Sequence[Target]) -> list[str]:
    """Return that the last of some documents is about the object of another one, whatever namespace each names."""
    last = targets[-1]
    same = [each for each in targets[:-1] if last.document.name and _identity(each) == _identity(last)]
    where = same[0].document.where() if same else ""
    what = f"{last.document.kind} {word(last.document.name)} stands in {where} already"
    return [f"{last.document.where()}: {what}"] if same else []


def _identity(target: Target) -> tuple[str, ...]:
    return target.document.kind, target.document.group, target.namespace, target.document.name


def _known(document: Document) -> Resource | None:
    return next(
        (each for each in known_kinds() if each.kind == document.kind and each.api_version == document.api_version),
        None,
    )


def _served(document: Document, served: Sequence[Resource]) -> Resource | None:
    version = document.api_version.rpartition("/")[2]
    for each in served:
        if each.kind == document.kind and each.group == document.group and version in (each.version, *each.versions):
            return each._replace(version=version)
    return None


def _defined(document: Document) -> tuple[str, str]:
    return text(get(document.body, "/spec/group")), text(get(document.body, "/spec/names/kind"))


def _of_definition(document: Document, definition: Document) -> Resource:
    """Return the kind that another document of the same manifest defines."""
    return Resource(
        kind=document.kind,
        group=document.group,
        version=document.api_version.rpartition("/")[2],
        plural=text(get(definition.body, "/spec/names/plural")),
        namespaced=get(definition.body, "/spec/scope") != "Cluster",
    )


def _namespace(arguments: Mapping[str, Any], document: Document, resource: Resource) -> tuple[str, str]:
    """Return the namespace that a document goes to, and what is wrong with what it names."""
    given, own = arguments.get("namespace", ""), document.namespace
    if not resource.namespaced:
        return "", f"{document.kind} is in no namespace: leave metadata.namespace out" if own else ""
    if own and given and own != given:
        return "", f"its namespace is {word(own)}, and the argument namespace is {word(given)}: leave one of them out"
    return own or given or DEFAULT, ""


def _change(
    target: Target, live: Any, made: frozenset[str] = frozenset(), after: Any = None, subresource: str = ""
) -> Change:
    verb: Verb = "create" if live is None else "change"
    if target.posted is not None:
        verb, subresource = "change", target.posted.subresource
    return Change(verb, *_place(target), live, after, subresource, made)


async def _step(arguments: Mapping[str, Any], target: Target, checks: Checks, made: frozenset[str]) -> Step:
    if target.posted is not None:
        return await _posted(arguments, target, target.posted, checks)
    mode, subresource, force = arguments["mode"], arguments.get("subresource", ""), bool(arguments.get("force"))
    live = await checks.live(*_place(target), _read_at(arguments))
    change = _change(target, live, made, subresource=subresource)
    body = dict(target.document.body)
    if target.resource.namespaced:
        body["metadata"] = {**body["metadata"], "namespace": target.namespace}
    if live is None and (mode == "replace" or subresource):
        raise CallRefused(f"Refused: there is no {_named(target)}. Nothing was sent. Mode apply would make it.")
    if live is not None and mode == "create":
        raise CallRefused(f"Refused: {_named(target)} exists. Nothing was sent. Mode apply or k8s_patch changes it.")
    if mode == "create":
        parts, method, kind = target.resource.parts(target.namespace), "POST", "application/json"
    else:
        parts = target.resource.parts(target.namespace, target.document.name, subresource)
        method, kind = ("PUT", "application/json") if mode == "replace" else ("PATCH", APPLY_PATCH)
    if mode == "replace" and live is not None:
        _same_version(target, live)
    query = {"force": "true" if force and live is not None else "false"} if mode == "apply" else {}
    compared = change_request(checks.api, method, parts, body, content_type=kind, query=query)
    call = with_version(compared, live)
    taken, checked = "", Checked(unchecked=f"{target.waits_for} is made by the same manifest; {target.by_schema}")
    if not target.waits_for or live is not None:
        if force and mode == "apply" and live is not None:
            taken = await _taken(checks, change_request(
                checks.api, method, parts, body, content_type=kind, query={"force": "false"}), change)  # fmt: skip
        checked = await checks.dry_run(compared, change)
    after = checked.after if not checked.unchecked else _guess(live, body)
    change = touching(_change(target, live, made, after, subresource), body, whole=mode == "replace")
    nothing = live is not None and not checked.unchecked and change.is_none

    async def again(api: ClusterApi) -> Step:
        return await _step(arguments, target, Checks(api, checks.rehearse), made)

    return Step(
        change=change,
        call=None if nothing else call,
        compared=None if nothing else compared,
        again=again,
        given=target.document.body,
        warnings=checked.warnings,
        unchecked=checked.unchecked,
        taken=taken,
        default_namespace=target.default_namespace,
        words="replace" if mode == "replace" else "apply" if live is not None else "create",
        extra_effects={"disrupt": "it takes fields from other managers"} if taken else {},
    )


def _named(target: Target) -> str:
    place = f" in namespace {word(target.namespace)}" if target.namespace else ""
    return f"{target.document.kind} {word(target.document.name)}{place}"


def _same_version(target: Target, live: Any) -> None:
    given, has = target.document.metadata.get("resourceVersion"), text(get(live, "/metadata/resourceVersion"))
    if given and str(given) != has:
        raise CallRefused(
            f"Refused: {_named(target)} has changed: the manifest has resourceVersion {word(given)}, and it is "
            f"{word(has)} now. Nothing was sent. Read it with k8s_get, and replace what is there now."
        )


def _guess(live: Any, body: Any) -> Any:
    """Return what an object becomes where the server could not say: what was given, over what is there."""
    if not isinstance(body, Mapping) or not isinstance(live, Mapping):
        return body
    return {**live, **{key: _guess(live.get(key), value) for key, value in body.items()}}


async def _taken(checks: Checks, call: Any, change: Change) -> str:
    """Return which fields belong to other managers, in the server's words; empty if none."""
    try:
        await checks.rehearse(as_dry_run(call), checks.subject(change))
    except Conflict as error:
        return quoted("; ".join(error.texts), 1000)
    except ServiceError as error:
        raise refusal_of(error, change) from None
    return ""


async def _posted(arguments: Mapping[str, Any], target: Target, posted: Posted, checks: Checks) -> Step:
    """Return the step of a document that is a request about an object: an eviction, or a token."""
    about = next(each for each in known_kinds() if each.kind == posted.of and not each.group)
    live = await checks.live(about, target.namespace, target.document.name)
    if live is None:
        raise CallRefused(f"Refused: there is no {posted.of} {word(target.document.name)} in namespace "
                          f"{word(target.namespace)}. Nothing was sent.")  # fmt: skip
    body = deepcopy(target.document.body)
    body["metadata"] = {**body["metadata"], "namespace": target.namespace}
    change = Change("change", about, target.namespace, target.document.name, live, None, posted.subresource)
    limits: tuple[Limit, ...] = ()
    options: tuple[str, ...] = ()
    if posted.effect == "secret":
        seconds = number(get(body, "/spec/expirationSeconds", TOKEN_SECONDS))
        body.setdefault("spec", {})["expirationSeconds"] = seconds
        limits = (Limit("manifest: spec.expirationSeconds in days", (seconds or 0) / DAY, "max_kubeconfig_days"),)
        options = (f"valid for {seconds} s",)
    parts = about.parts(target.namespace, target.document.name, posted.subresource)
    compared = change_request(checks.api, "POST", parts, body)
    # A server may make the token although it is only asked to check.
    checked = Checked(unchecked="") if posted.effect == "secret" else await checks.dry_run(compared, change)

    async def again(api: ClusterApi) -> Step:
        return await _posted(arguments, target, posted, Checks(api, checks.rehearse))

    return Step(
        change=change,
        call=compared,
        compared=compared,
        again=again,
        warnings=checked.warnings,
        unchecked=checked.unchecked,
        default_namespace=target.default_namespace,
        limits=limits,
        words="evict" if posted.kind == "Eviction" else "make a token of",
        options=options,
        extra_effects={posted.effect: f"it is a {posted.kind}"},
    )
