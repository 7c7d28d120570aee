"""What `tool_specs/kubernetes.json` says: the tools of the Kubernetes API, and the kinds that every cluster serves.

It is no OpenAPI document, for one tool stands for many paths.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ap_mcp.errors import SpecError
from ap_mcp.specs import EFFECTS, Effect, specs_folder

TOOLSET = "kubernetes"
USE = "use"


@dataclass(frozen=True, slots=True)
class ToolSpec:
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
    def worst_effect(self) -> Effect:
        """The gravest effect a call can have."""
        return max(self.effects, key=EFFECTS.index)


@dataclass(frozen=True, slots=True)
class Resource:
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
