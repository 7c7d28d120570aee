"""Says how grave a change of an object is: by verb and class of kind, then by what really changes; pure.

The table stands in `tool_specs/kubernetes.json`. A kind that is not known here is taken for the gravest.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.changes import (
    LAST_APPLIED,
    changed,
    facts_of,
    names_at,
    paths_changed,
    settings_of,
    unchanged,
)
from ap_mcp.kubernetes.owners import controller_of, owner_uids
from ap_mcp.kubernetes.secrets_read import filled_by_server, newly_read, other_programs, pod_spec
from ap_mcp.kubernetes.spec import UNKNOWN, Resource, effect_table
from ap_mcp.kubernetes.volume_claims import claims_of, replicas_of, stores_of
from ap_mcp.rules.settings_diff import SettingChange, digest, same
from ap_mcp.specs import EFFECTS, Effect
from ap_mcp.vendor import get, mapping, number

Verb: TypeAlias = Literal["create", "change", "delete"]

LABELS, ANNOTATIONS, FINALIZERS = ("metadata", "labels"), ("metadata", "annotations"), ("metadata", "finalizers")
REPLICAS, PAUSED, SUSPEND = ("spec", "replicas"), ("spec", "paused"), ("spec", "suspend")


@dataclass(frozen=True, slots=True)
class Around:
    """What a change does to other objects of the cluster, in words, as far as they were read.

    Attributes:
        gains: what selects the object, or its pods, only afterwards.
        loses: what selects them now, and not afterwards.
        taken: traffic that others get now, and that the object takes from them.
        doubtful: what selects pods by labels in a way that is not known here, if labels of pods change.
        adopted: what no controller has now, and the object will.
        opened: storage that is there already, and that its pods open.
        awaited: pods that read it as soon as it is there, and did without it so far.
        rights: what gives rights to the account whose token its pods get although they name none.
        unread: what of this is not known, each with why.
    """

    gains: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    unread: Mapping[str, ApMcpError] = field(default_factory=dict)

    def facts(self) -> list[list[str]]:
        """Return what a person is shown of it, in an order that does not depend on that of the lists."""
        selecting = (self.gains, self.loses, self.doubtful)
        others = (self.taken, self.adopted, self.opened, self.awaited, self.rights)
        return [sorted(each) for each in (*selecting, *others, self.unread)]


@dataclass(frozen=True, slots=True)
class Change:
    """What a request does to one object.

    Attributes:
        verb: what is done to it.
        resource: its kind.
        namespace: that it is in; empty if in none.
        name: of it.
        before: the object as it is; None if there is none.
        after: as it becomes; None if it goes, or if that is not known.
        subresource: that is changed; empty if the object itself is.
        made: Secrets that the same call creates.
        around: what it does to other objects; None if they were not read.
        with_status: it changes the status although it is of the object itself, as it may be of a custom kind.
        with_copy: it may change the copy that kubectl keeps of what was applied last.
    """

    verb: Verb
    resource: Resource
    namespace: str
    name: str
    before: Any = None
    after: Any = None
    subresource: str = ""
    made: frozenset[str] = frozenset()
    around: Around | None = None
    with_status: bool = False
    with_copy: bool = False

    @property
    def status(self) -> bool:
        """Whether the status counts among what it changes."""
        return self.with_status or self.subresource == "status"

    @property
    def is_none(self) -> bool:
        """Whether the object stays as it is."""
        return unchanged(self.before, self.after, status=self.status, copy=self.with_copy)

    def facts(self) -> str:
        """Return a digest of the object as it is and becomes, which changes only with what counts."""
        kept = {"status": self.status, "copy": self.with_copy}
        after = settings_of(self.after, **kept) if isinstance(self.after, Mapping) else None
        return digest([facts_of(self.before, **kept), after])

    def settings(self, given: Any = None) -> list[SettingChange]:
        """List each setting that changes; `given` is what the caller supplied."""
        return changed(self.before, self.after, given, status=self.status, copy=self.with_copy)


def touching(change: Change, body: Any, *, whole: bool = False) -> Change:
    """Return a change that knows what its request does beside the settings of the object.

    Args:
        change: what was found so far.
        body: of the request.
        whole: it replaces the object.
    """
    moved = not same(get(change.before, "/status"), get(change.after, "/status"))
    is_custom = effect_table().class_of(change.resource) == UNKNOWN
    return replace(
        change,
        with_status=not change.subresource and is_custom and moved and (whole or names_at(body, "status")),
        with_copy=whole or names_at(body, *ANNOTATIONS, LAST_APPLIED),
    )


def effects_of(change: Change) -> dict[Effect, str]:
    """Return every effect of a change, each with what gives it; the gravest one decides."""
    table = effect_table()
    base = table.verbs[change.verb][table.class_of(change.resource)]
    found: dict[Effect, str] = {}
    if lower := _lowered(change):
        found["write" if change.verb == "change" else "disrupt"] = lower
    else:
        found[base] = f"{change.verb} {change.resource.kind}"
    for effect, why in (*raised(change), *_raised_around(change)):
        found.setdefault(effect, why)
    place = change.name if change.resource.full == "Namespace" else change.namespace
    if place in table.own_namespaces and gravest(found) == "write":
        found["disrupt"] = f"{place} is Kubernetes' own"
    return found


def least(verb: Verb, resource: Resource, before: Any = None) -> Effect:
    """Return the least effect that a change can have, whatever it changes: it is decided about before a dry run."""
    if verb == "change":
        return "write"
    if verb == "delete":
        return gravest(effects_of(Change("delete", resource, "", "", before)))
    return effect_table().verbs[verb][effect_table().class_of(resource)]


def gravest(effects: Any) -> Effect:
    """Return the gravest of some effects."""
    return max(effects, key=EFFECTS.index)


def raised(change: Change) -> Iterator[tuple[Effect, str]]:
    """Yield what makes a change graver than its kind says, by the object itself."""
    kind, before, after = change.resource.full, change.before, change.after
    if change.verb != "delete" and (read := newly_read(before, after, change.made)):
        yield "secret", f"its pods can read {' and '.join(read)}, which logs could show"
    elif change.verb == "change" and (other := other_programs(before, after, change.made)):
        yield "secret", f"what runs is another program: {', '.join(other)}, which logs could show"
    account = filled_by_server(after) if kind == "Secret" and change.verb != "delete" else ""
    if account and account != filled_by_server(before):
        yield "secret", f"the server puts a token of ServiceAccount {account} into it that does not expire"
    if settings := _controller_settings(change):
        yield "secret", f"it configures the ingress controller, which can read Secrets, by {', '.join(settings)}"
    if change.verb == "create":
        yield from _raised_creation(change)
    elif change.verb == "change":
        yield from _raised_change(change)


def _controller_settings(change: Change) -> list[str]:
    """Return the annotations of an Ingress by which it newly configures the program of its controller."""
    if change.resource.full != "Ingress.networking.k8s.io" or change.verb == "delete":
        return []
    old, new = (mapping(each, "/metadata/annotations") for each in (change.before, change.after))
    known = effect_table().controller_settings
    return sorted(name for name in new if name.rpartition("/")[2] in known and old.get(name) != new[name])


def _raised_creation(change: Change) -> Iterator[tuple[Effect, str]]:
    """Yield what a new object does to what is there already."""
    kind, after = change.resource.full, change.after
    if kind == "NetworkPolicy.networking.k8s.io":
        yield "disrupt", "it isolates the pods that it selects"
    outside = sorted({change.name, change.namespace} & effect_table().outside_names) if kind == "Service" else []
    if outside:
        yield "disrupt", f"to pods it may answer for names outside the cluster that end in .{outside[0]}"
    if kind == "Service" and get(after, "/spec/externalIPs"):
        yield "disrupt", "it takes the traffic to addresses that are not its own"
    if kind in ("Secret", "ConfigMap") and _is_record(after):
        yield "disrupt", "a program goes by what is in it"
    if kind == "PersistentVolume":
        yield "disrupt", "a volume claim may be given it, with what is on it"
    if stores := stores_of(pod_spec(after)):
        yield "disrupt", f"its pods can change what is in the store of volume {' and '.join(sorted(stores))}"


def _raised_around(change: Change) -> Iterator[tuple[Effect, str]]:
    """Yield what a change does to other objects, as far as they were read."""
    if change.verb == "delete":
        return
    around = change.around or Around(opened=tuple(claims_of(change.after) - claims_of(change.before)))
    if around.adopted:
        yield "destroy", "it takes over what no controller has, and may delete it"
    if around.rights:
        yield "secret", "its pods get the token of ServiceAccount default, which has rights here"
    if around.awaited:
        yield "disrupt", "pods that did without it read it as soon as it is there"
    if around.taken:
        yield "disrupt", "it takes something from others"
    if around.opened:
        yield "disrupt", "its pods can change what is on storage that is there already"
    if around.unread:
        yield "disrupt", "what it does to other objects is not known"


def _raised_change(change: Change) -> Iterator[tuple[Effect, str]]:
    kind, before, after = change.resource.full, change.before, change.after
    if owner_uids(after) - owner_uids(before):
        yield "destroy", "it is deleted with an owner that it does not have now"
    if change.subresource == "finalize" or _lost(before, after, "/metadata/finalizers"):
        yield "destroy", "cleaning up is skipped"
    if kind == "Deployment.apps" and _goes_on(before, after):
        yield "disrupt", "the rollout that was held back goes on: pods of the old template are replaced"
    if kind == "StatefulSet.apps" and _fewer(change) and any(map(_takes_volumes, (before, after))):
        yield "destroy", "the volumes of the pods that go are deleted"
    if kind == "PersistentVolume" and _opens_loss(before, after):
        yield "destroy", "the disk may be deleted, or given away"


def _lowered(change: Change) -> str:
    """Return why a change is less than its kind says; empty if it is not."""
    if change.verb == "delete":
        owned = change.resource.full == "Pod" and controller_of(change.before) is not None
        return "its controller makes another one" if owned else ""
    if change.verb != "change" or change.after is None or change.subresource not in ("", "scale"):
        return ""
    paths, kind, table = paths_changed(change.before, change.after), change.resource.kind, effect_table()
    if (its_class := table.class_of(change.resource)) == UNKNOWN:
        return ""
    if its_class in ("workload", "data", "config", "traffic") and paths:
        quiet = {*([] if kind in table.labels_select and change.around != Around() else [LABELS])}
        quiet |= {*([] if kind in table.annotations_act else [ANNOTATIONS])}
        is_record = its_class == "config" and any(map(_is_record, (change.before, change.after)))
        if paths <= quiet and not is_record and all(map(table.is_note, _named(change))):
            return "only labels and annotations that nothing goes by"
    known = [
        (paths == {REPLICAS} and not _fewer(change) and kind in _SCALED, "more replicas"),
        (paths == {PAUSED} and kind == "Deployment", "pause or resume"),
        (paths == {SUSPEND} and kind == "Job" and get(change.after, "/spec/suspend") is not True, "the job goes on"),
    ]
    return next((why for holds, why in known if holds), "")


def _is_record(body: Any) -> bool:
    """Say whether a Secret or ConfigMap is what a program notes for itself, and finds by its labels."""
    labels = mapping(body, "/metadata/labels").items()
    return get(body, "/type") in effect_table().records or effect_table().record_labels <= labels


def _named(change: Change) -> Iterator[str]:
    """Yield the names of the labels and annotations that a change touches, that of kubectl's own copy included."""
    for place in ("/metadata/labels", "/metadata/annotations"):
        old, new = (mapping(each, place) for each in (change.before, change.after))
        yield from (name for name in {*old, *new} if old.get(name) != new.get(name))


_SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")


def _fewer(change: Change) -> bool:
    before, after = (number(get(each, "/spec/replicas")) for each in (change.before, change.after))
    return after is not None and after < (1 if before is None else before)


def _goes_on(before: Any, after: Any) -> bool:
    """Say whether a Deployment is resumed while not all of its pods are known to be of its template."""
    if get(before, "/spec/paused") is not True or after is None or get(after, "/spec/paused") is True:
        return False
    places = ("/metadata/generation", "/status/observedGeneration", "/status/replicas", "/status/updatedReplicas")
    newest, seen, has, updated = (number(get(before, each)) or 0 for each in places)
    return seen < newest or not has == updated == replicas_of(before)


def _takes_volumes(body: Any) -> bool:
    return bool(get(body, "/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete")


def _lost(before: Any, after: Any, pointer: str) -> bool:
    old, new = get(before, pointer, []), get(after, pointer, [])
    return after is not None and isinstance(old, list) and any(each not in (new or []) for each in old)


def _opens_loss(before: Any, after: Any) -> bool:
    policy = "/spec/persistentVolumeReclaimPolicy"
    taken = get(after, policy) != "Retain" and get(before, policy) == "Retain"
    claim = get(before, "/spec/claimRef/uid")
    return after is not None and (taken or (claim is not None and not same(claim, get(after, "/spec/claimRef/uid"))))
