"""One request that changes something in a cluster: what it does, how it was checked beforehand, and what bound it."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from ap_mcp.binding import HttpCall
from ap_mcp.cluster_requests import cluster_request
from ap_mcp.errors import CallRefused, CloudUnreachable, NotFound, ServiceError
from ap_mcp.guard.subject import Limit, Objects, Subject
from ap_mcp.kubernetes.api import JSON, ClusterApi
from ap_mcp.kubernetes.effects import Change, effects_of, least
from ap_mcp.kubernetes.sealed import hidden_in, revealed
from ap_mcp.kubernetes.spec import Resource, effect_table
from ap_mcp.masking import PLACEHOLDER
from ap_mcp.permits import DRY_RUN
from ap_mcp.rules.settings_diff import digest
from ap_mcp.specs import Effect
from ap_mcp.vendor import get, quoted, text, word
from ap_mcp.wording import few

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse

MANAGER = "ap-mcp"
"""The field manager that changes are made as."""
FINALIZE = "finalize"
"""A subresource that can be replaced and not read: it is a part of the object itself."""
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_NO_DRY_RUN = re.compile(r"does not support dry run|dryRun (?:alpha )?feature is disabled", re.IGNORECASE)
_MOST_SAID = 1200
_ABOVE = ("", "/metadata")
_LEAST_HIDDEN = 4
"""Characters of a hidden value from which it is taken out of texts; shorter ones are parts of many words."""
ADVICE = (
    (
        r"Apply failed with|conflicts? with \"",
        "Other managers own these fields, as it says: leave them out of the manifest, or take them with force: true.",
    ),
    (
        r"field is immutable|[Ff]orbidden: (?:updates? to|spec is immutable|pod updates)|may not be changed",
        "What cannot be changed is changed by deleting the object (k8s_delete) and creating it again.",
    ),
    (r"exceeded quota", "A ResourceQuota of the namespace is used up: k8s_list with kind quota shows it."),
    (r"admission webhook", "An admission webhook of the cluster forbids it; only whoever runs that can change it."),
    (r"already exists", "Mode apply changes what exists."),
    (r"unknown field|strict decoding error", "k8s_discover with kind and field shows which fields there are."),
    (
        r"the body of the request was in an unknown format|strategic merge patch format is not supported",
        "Custom kinds take no strategic patch: use type merge or json.",
    ),
    (r"namespaces? .*not found", "Create the namespace first, or in the same manifest."),
    (r"disruption budget", "A PodDisruptionBudget protects it: wait until more pods are ready."),
    (r"being (?:terminated|deleted)", "It is being deleted: wait until it is gone."),
)
"""What to do about what a Kubernetes API server says, by how it says it."""

Rehearse: TypeAlias = Callable[[HttpCall, Subject], Awaitable["CloudResponse"]]


@dataclass(frozen=True)
class Step:
    """One request, and what it does to one object.

    Attributes:
        change: what it does.
        call: the request; None if the object is as it should be.
        compared: the same without the version of the object, which moves with its status.
        again: reads the object anew, and returns the step as it is then.
        given: what the caller supplied, for changes to be shown as they were supplied.
        warnings: what the server warned of when it checked the request.
        unchecked: why the server did not check it beforehand; empty if it did.
        taken: which fields it takes from other managers, in the server's words.
        default_namespace: the caller named no namespace.
        limits: what the operator limits of it.
        words: what is done, if not just created, changed or deleted; `{}` stands for the object, else it follows.
        options: what else was chosen, in words.
        shared: its request is one with that of the other steps.
        extra_effects: what it has beyond the effects of its change; of what is posted, all that it has.
    """

    change: Change
    call: HttpCall | None
    compared: HttpCall | None
    again: "Callable[[ClusterApi], Awaitable[Step]]" = field(repr=False)
    given: Any = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    unchecked: str = ""
    taken: str = ""
    default_namespace: bool = False
    limits: tuple[Limit, ...] = ()
    words: str = ""
    options: tuple[str, ...] = ()
    shared: bool = False
    extra_effects: Mapping[Effect, str] = field(default_factory=dict)

    @cached_property
    def effects(self) -> dict[Effect, str]:
        """Every effect that it has, each with what gives it; none if nothing is sent."""
        if self.call is None:
            return {}
        found = effects_of(self.change)
        # A request about an object has an effect of its own, and changes no setting of it.
        return dict(self.extra_effects) if self.posts else {**found, **self.extra_effects}

    @property
    def posts(self) -> bool:
        """Whether it is a request about an object that is posted below it, such as an eviction."""
        return self.change.subresource in {each.subresource for each in effect_table().posted}

    @property
    def makes_token(self) -> bool:
        """Whether it is answered with a token of a service account."""
        return self.posts and self.change.subresource == "token"

    @property
    def objects(self) -> Objects:
        """What it changes, as rules see it."""
        return objects_of(self.change.resource, self.change.namespace, self.change.name)

    @property
    def thing(self) -> str:
        """The object in a few words: `Deployment shop/cart`."""
        name = word(self.change.name or "(a new name)")
        place = f"{word(self.change.namespace)}/" if self.change.namespace else ""
        return f"{self.change.resource.kind} {place}{name}"

    @property
    def said(self) -> str:
        """What is done, in a few words: `create Deployment shop/cart`."""
        words = self.words or self.change.verb
        return words.replace("{}", self.thing) if "{}" in words else f"{words} {self.thing}"

    def facts(self) -> str:
        """Return a digest of what a person is shown of it: the same as long as only the object's status moves."""
        change = self.change
        call = None if self.compared is None else [self.compared.method, self.compared.path, self.compared.query]
        body = None if self.compared is None else digest((self.compared.body or b"").decode(errors="replace"))
        around = change.around.facts() if change.around else None
        return digest([change.facts(), sorted(self.effects), around, call, body, self.unchecked])


def objects_of(resource: Resource, namespace: str, name: str = "") -> Objects:
    """Return objects as rules see them."""
    return Objects(resource.full, namespace if resource.namespaced else "", name)


def change_request(
    api: ClusterApi,
    method: str,
    parts: tuple[str, ...],
    body: Any,
    *,
    content_type: str = JSON,
    query: Mapping[str, str] | None = None,
) -> HttpCall:
    """Return a request that changes something, made as our own field manager, unknown fields refused.

    Each is bound to a version or a uid, or says how something is to be: a second one after a lost answer does no harm.
    What is posted is another matter.
    """
    given = {"fieldManager": MANAGER, "fieldValidation": "Strict", **(query or {})} if method != "DELETE" else {}
    return cluster_request(
        api.tool,
        api.cluster,
        method,
        parts,
        query=tuple(given.items()),
        body=body,
        content_type=content_type,
        idempotent=method != "POST",
    )


def with_version(call: HttpCall, live: Any) -> HttpCall:
    """Return a request that the server refuses if the object is not as it was read.

    Raises:
        CallRefused: the caller wrote another version into it; by some, such as 0, it would be bound to none; or it
            changes what the server notes of who manages which field.
    """
    version = text(get(live, "/metadata/resourceVersion"))
    if not version or call.body is None:
        return call
    body = json.loads(call.body)
    _refuse_other_managers(body, live)
    given = get(body, "/metadata/resourceVersion")
    if given and given != version:
        raise CallRefused(
            f"Refused: {text(get(live, '/kind'))} {word(get(live, '/metadata/name'))} has changed: what you gave has "
            f"resourceVersion {word(given)}, and it is {word(version)} now. Nothing was sent. Leave it out, or read "
            "the object with k8s_get and change what is there now."
        )
    if call.method == "DELETE":
        body["preconditions"] = {"uid": text(get(live, "/metadata/uid")), "resourceVersion": version}
    elif isinstance(body, list):
        body.append({"op": "add", "path": "/metadata/resourceVersion", "value": version})
    elif not given:
        metadata = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
        body["metadata"] = {**metadata, "resourceVersion": version}
    return replace(call, body=json.dumps(body, ensure_ascii=False).encode(errors="backslashreplace"))


def _refuse_other_managers(body: Any, live: Any) -> None:
    """Refuse a request that would make a server forget who manages which field, so that none is kept for anybody.

    Raises:
        CallRefused: it would.
    """
    place = "/metadata/managedFields"
    if isinstance(body, list):
        wrong = any(f"{each['path']}/".startswith(f"{place}/") for each in body)
        given = [get(each.get("value"), place.removeprefix(each["path"])) for each in body if each["path"] in _ABOVE]
    else:
        wrong, given = False, [get(body, place)]
    if wrong or any(each not in (None, get(live, place)) for each in given):
        raise CallRefused(
            "Refused: metadata.managedFields is what the server notes of who manages which field. Nothing was sent. "
            "Leave it out."
        )


def as_dry_run(call: HttpCall) -> HttpCall:
    """Return a request that the server checks and does not carry out.

    A server takes the options of a deletion from its body, and then none from the query: they stand in both.
    """
    body = call.body
    if call.method == "DELETE" and body is not None:
        body = json.dumps({**json.loads(body), DRY_RUN[0]: [DRY_RUN[1]]}).encode()
    return replace(call, query=(*call.query, DRY_RUN), body=body)


@dataclass(frozen=True)
class Checked:
    """What a server said to a dry run.

    Attributes:
        after: the object as it would be; None if it could not say.
        warnings: what it warned of.
        unchecked: why it did not check; empty if it did.
    """

    after: Any = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    unchecked: str = ""


@dataclass(frozen=True)
class Checks:
    """Has a cluster check requests before anybody is asked about them.

    Attributes:
        api: the cluster.
        rehearse: sends a dry run, if the policy does not refuse what it is of.
    """

    api: ClusterApi
    rehearse: Rehearse = field(repr=False)

    async def live(self, resource: Resource, namespace: str, name: str, subresource: str = "") -> Any:
        """Return an object as it is; None if there is none, or the server is to name it."""
        if not name:
            return None
        try:
            return await self.api.get(resource, name, namespace, "" if subresource == FINALIZE else subresource)
        except NotFound:
            return None

    async def dry_run(self, call: HttpCall, change: Change, *more: Change) -> Checked:
        """Have a request checked, which may change several objects.

        Raises:
            CallRefused: the server would not carry it out; says why.
            ApMcpError: it could not be asked.
        """
        try:
            response = await self.rehearse(as_dry_run(call), self.subject(change, *more))
        except ServiceError as error:
            if _NO_DRY_RUN.search(" ".join(error.texts)):
                return Checked(unchecked=f"the server could not check it: {quoted(' '.join(error.texts), 300)}")
            raise refusal_of(error, change) from None
        except CloudUnreachable as error:
            error.before = f"{self.api.tool}: nothing was sent, for the check of it failed."
            raise
        kind = change.resource.full
        shown = revealed(change.before, response.body, kind, call.body) if change.verb == "change" else []
        if shown:
            where = f"{few([word(each) for each in shown], 5)} of {change.resource.kind} {word(change.name)}"
            raise CallRefused(
                f"Refused: {where} would show what is hidden as a secret now. Nothing was sent but a check. "
                "Leave it where it is, or give a new value."
            )
        if change.verb != "delete" and not _is_about(response.body, change):
            return Checked(unchecked="the server did not answer the check of it with the object")
        return Checked(response.body, warnings_in(response.headers))

    def subject(self, *changes: Change) -> Subject:
        """Return changes as rules see them before it is known what they change: by the least that they can do."""
        return Subject(
            tool=self.api.tool,
            effects=frozenset(least(each.verb, each.resource, each.before) for each in changes),
            stated="write",
            on_cluster=True,
            problem="its facts were not read",
            objects=tuple(objects_of(each.resource, each.namespace, each.name) for each in changes),
        )

    async def decided(self, *changes: Change) -> None:
        """Make sure that the policy does not refuse some changes, before anything of them is sent.

        Raises:
            CallRefused: it does.
        """
        if changes:
            await self.api.reads.decided(self.subject(*changes), self.api.cluster)


def _is_about(body: Any, change: Change) -> bool:
    """Say whether an answer is the object that a change is about; a request about an object is answered otherwise."""
    if change.subresource in {each.subresource for each in effect_table().posted}:
        return True
    name = text(get(body, "/metadata/name"))
    return bool(name) and change.name in ("", name)


def warnings_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a Kubernetes API server warns of in the headers of an answer."""
    return tuple(quoted(each.replace('\\"', '"')) for each in _WARNING.findall(headers.get("warning", "")))


def refusal_of(error: ServiceError, change: Change) -> CallRefused:
    """Return the refusal of a request that the server would not carry out, with its reason and what to do about it."""
    name = f"{change.resource.kind} {word(change.name)}" if change.name else change.resource.kind
    place = f" in namespace {word(change.namespace)}" if change.namespace else ""
    texts = "; ".join(dict.fromkeys(error.texts)) or f"HTTP {error.status}"
    # A server may repeat what is in the object.
    for hidden in sorted(hidden_in(change.before, change.resource.full), key=len, reverse=True):
        texts = texts.replace(hidden, PLACEHOLDER) if len(hidden) >= _LEAST_HIDDEN else texts
    said = quoted(texts, _MOST_SAID)
    advice = _advice(error, change)
    return CallRefused(
        f"Refused: the cluster would not {change.verb} {name}{place}. Nothing was sent but that check. "
        f"It says {said}." + (f"\n{advice}" if advice else "")
    )


def _advice(error: ServiceError, change: Change) -> str:
    said = " ".join(error.texts)
    if found := next((advice for pattern, advice in ADVICE if re.search(pattern, said)), ""):
        return found
    if error.status == 409:
        what = f"{change.resource.kind} {word(change.name)}"
        return f"Read it with k8s_get ({what}) and call again with what is there now."
    if error.status == 403:
        return "Kubernetes' RBAC, a quota or the rules of Autopilot forbid it; no consent lifts that."
    return "k8s_list shows what there is." if isinstance(error, NotFound) else ""
