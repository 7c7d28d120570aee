"""What `tool_specs/kubernetes.json` says: the tools, the kinds that every cluster serves, how grave changes are.

It is no OpenAPI document, for one tool stands for many paths.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from ap_mcp.errors import SpecError
from ap_mcp.specs import EFFECTS, Effect, specs_folder

TOOLSET = "kubernetes"
USE = "use"
HIDDEN = ("minLength", "maxLength", "contentMediaType")
UNKNOWN = "unknown"


class ToolSpec(NamedTuple):
    """One tool.

    Attributes:
        effect: the least that a call does.
        effects: all that a call can do.
        idempotent: calling it twice does no more than calling it once.
        input_schema: JSON Schema of the arguments.
    """

    name: str
    title: str
    description: str
    effect: Effect
    effects: frozenset[Effect]
    idempotent: bool
    input_schema: dict[str, Any]

    @property
    def shown_schema(self) -> dict[str, Any]:
        """What clients are shown of the schema: not how long a text may be, nor that an object is taken for it."""
        shown = {
            name: {key: value for key, value in schema.items() if key not in HIDDEN}
            for name, schema in self.input_schema["properties"].items()
        }
        return {**self.input_schema, "properties": shown}

    @property
    def worst_effect(self) -> Effect:
        """The gravest effect a call can have."""
        return max(self.effects, key=EFFECTS.index)


class Resource(NamedTuple):
    """A kind of object that a cluster serves.

    Attributes:
        kind: in the singular, as manifests have it.
        group: of the API; empty for the core.
        version: that is used for it.
        plural: as it stands in paths.
        namespaced: its objects are in namespaces.
        short: names that kubectl takes for it.
        singular: in lower case.
        versions: all that are served, the preferred one first; empty if not known.
        verbs: what can be done to it; empty if not known.
        subresources: what stands below an object; empty if not known.
        fields: that a field selector takes beside name and namespace; empty if not known.
    """

    kind: str
    group: str
    version: str
    plural: str
    namespaced: bool
    short: tuple[str, ...] = ()
    singular: str = ""
    versions: tuple[str, ...] = ()
    verbs: frozenset[str] = frozenset()
    subresources: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()

    @property
    def full(self) -> str:
        """The kind with its group, as rules name it: `Secret`, `Deployment.apps`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def api_version(self) -> str:
        """Group and version, as manifests have them: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def parts(self, namespace: str = "", name: str = "", subresource: str = "") -> tuple[str, ...]:
        """Return the parts of a path: of all its objects, of those in a namespace, of one, or of what is below it."""
        root = ("apis", self.group, self.version) if self.group else ("api", self.version)
        inside = ("namespaces", namespace) if namespace and self.namespaced else ()
        return (*root, *inside, self.plural, *((name,) if name else ()), *((subresource,) if subresource else ()))


class Posted(NamedTuple):
    """A document that is no object but a request about one, posted below it, such as an eviction.

    Attributes:
        kind: of the document.
        group: of the document's API.
        of: the kind of the object that it is about, whose name it bears.
        subresource: that it is posted to.
        effect: how grave it is.
    """

    kind: str
    group: str
    of: str
    subresource: str
    effect: Effect


class EffectTable(NamedTuple):
    """How grave changes of objects are, before it is known what they change.

    Attributes:
        classes: the class of each well-known kind; any other is of the class `UNKNOWN`.
        verbs: by create, change and delete, the effect on each class.
        own_namespaces: Kubernetes' own, in which every change is at least `disrupt`.
        labels_select: kinds whose labels other objects select by.
        selected_by: of those, the ones whose selecting kinds are known, with these.
        custom_selectors: custom kinds that select pods by labels, in ways that are not known here.
        controller_settings: annotations of an Ingress, without their prefix, that a controller takes into the
            configuration of its own program, some by a fault: CVE-2021-25742, CVE-2023-5043, CVE-2023-5044,
            CVE-2025-1097, CVE-2025-1098, CVE-2025-24514.
        more_hosts: the annotation by which an Ingress serves other hosts as well.
        records: types of Secrets that a program goes by later.
        record_labels: labels of a Secret or ConfigMap that is such a record, whatever its type.
        annotations_act: kinds whose annotations controllers act upon.
        own_volumes: sources of volumes that hold nothing of others, or whose users are known in another way.
        outside_names: first-level domains, by which a Service or its namespace answers for names outside the cluster:
            pods look for `github.com` as a name inside it first.
        notes: names of labels and annotations that no program acts upon although they have a prefix.
        posted: documents that are requests about an object.
    """

    classes: Mapping[str, str]
    verbs: Mapping[str, Mapping[str, Effect]]
    own_namespaces: frozenset[str]
    labels_select: frozenset[str]
    selected_by: Mapping[str, tuple[str, ...]]
    custom_selectors: frozenset[str]
    controller_settings: frozenset[str]
    more_hosts: str
    records: frozenset[str]
    record_labels: frozenset[tuple[str, str]]
    annotations_act: frozenset[str]
    own_volumes: frozenset[str]
    outside_names: frozenset[str]
    notes: frozenset[str]
    posted: tuple[Posted, ...]

    def class_of(self, resource: Resource) -> str:
        """Return the class of a kind; a custom kind that is called as a well-known one is unknown all the same."""
        own = any(each.kind == resource.kind and each.group == resource.group for each in known_kinds())
        return self.classes.get(resource.kind, UNKNOWN) if own else UNKNOWN

    def is_note(self, name: str) -> bool:
        """Say whether no program acts upon a label or annotation: those of programs have a prefix."""
        return "/" not in name or name in self.notes


@cache
def effect_table() -> EffectTable:
    """Return how grave changes of objects are."""
    try:
        raw = _document()["effects"]
        return EffectTable(
            classes={kind: name for name, kinds in raw["classes"].items() for kind in kinds},
            verbs=raw["verbs"],
            own_namespaces=frozenset(raw["own_namespaces"]),
            labels_select=frozenset(raw["labels_select"]),
            selected_by={kind: tuple(kinds) for kind, kinds in raw["selected_by"].items()},
            custom_selectors=frozenset(raw["custom_selectors"]),
            controller_settings=frozenset(raw["controller_settings"]),
            more_hosts=raw["more_hosts"],
            records=frozenset(raw["records"]),
            record_labels=frozenset(raw["record_labels"].items()),
            annotations_act=frozenset(raw["annotations_act"]),
            own_volumes=frozenset(raw["own_volumes"]),
            outside_names=frozenset(raw["outside_names"]),
            notes=frozenset(raw["notes"]),
            posted=tuple(Posted(kind=kind, **each) for kind, each in raw["posted"].items()),
        )
    except (KeyError, TypeError) as error:
        raise SpecError(f"kubernetes.json: malformed ({error!r})") from error


@cache
def tool_specs() -> Mapping[str, ToolSpec]:
    """Return the tools, by name."""
    document = _document()
    try:
        return {name: _tool(name, raw, document["shared"]) for name, raw in document["tools"].items()}
    except (KeyError, TypeError) as error:
        raise SpecError(f"kubernetes.json: malformed ({error!r})") from error


@cache
def known_kinds() -> tuple[Resource, ...]:
    """Return the kinds that every cluster serves, with the versions served from Kubernetes 1.27 on."""
    try:
        return tuple(_kind(raw) for raw in _document()["kinds"])
    except (KeyError, TypeError) as error:
        raise SpecError(f"kubernetes.json: malformed ({error!r})") from error


@cache
def successors() -> Mapping[str, tuple[str, ...]]:
    """Return groups that are served no more, each with the versions of other groups that have its kinds now."""
    try:
        return {group: tuple(versions) for group, versions in _document()["successors"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"kubernetes.json: malformed ({error!r})") from error


@cache
def _document() -> dict[str, Any]:
    path = specs_folder() / "kubernetes.json"
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: {error}") from error
    return found


def _tool(name: str, raw: Mapping[str, Any], shared: Mapping[str, Any]) -> ToolSpec:
    arguments = {argument: _argument(schema, shared) for argument, schema in raw["arguments"].items()}
    return ToolSpec(
        name=name,
        title=raw["title"],
        description=raw["description"],
        effect=raw["effect"],
        effects=frozenset(raw.get("effects", [raw["effect"]])),
        idempotent=raw["idempotent"],
        input_schema={
            "type": "object",
            "properties": arguments,
            "required": raw["required"],
            "additionalProperties": False,
        },
    )


def _argument(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an argument: that of a shared one, and what it says beyond it; an empty text removes."""
    merged = {**shared[schema[USE]], **schema} if USE in schema else dict(schema)
    return {key: value for key, value in merged.items() if key != USE and value != ""}


def _kind(raw: Mapping[str, Any]) -> Resource:
    return Resource(
        kind=raw["kind"],
        group=raw["group"],
        version=raw["version"],
        plural=raw["plural"],
        namespaced=raw["namespaced"],
        short=tuple(raw.get("short", ())),
        singular=raw["kind"].lower(),
        fields=tuple(raw.get("fields", ())),
    )
