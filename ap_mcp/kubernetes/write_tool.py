"""The tools that change something in a cluster, as clients see them; what their calls come to is imported late."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ap_mcp.arguments import check_against
from ap_mcp.errors import Problem
from ap_mcp.guard.subject import Subject, ToolScope
from ap_mcp.kubernetes.spec import TOOLSET, ToolSpec
from ap_mcp.plans import Plan, ToolContext, refuse_placeholders
from ap_mcp.specs import CLUSTER, Effect

if TYPE_CHECKING:
    from ap_mcp.kubernetes.api import ClusterApi
    from ap_mcp.kubernetes.discovery import KnownKinds
    from ap_mcp.kubernetes.steps import Rehearse, Step

RESULT = "k8s_change"
DRY_RUN, TOKEN = "dry_run", "confirmation_token"
CONTENTS = ("manifest", "patch")
"""Arguments that may hold secrets: of them the audit has a digest, and which objects they are about."""


@dataclass(frozen=True)
class WriteTool:
    """A tool that changes something in a cluster.

    Attributes:
        spec: what it is.
        module: of this package, which says what steps a call has.
        kinds: gives what clusters serve, shared by all callers.
        confirm: how consent is obtained; only with `token` the model may carry one.
    """

    spec: ToolSpec
    module: str
    kinds: "Callable[[], KnownKinds]" = field(repr=False)
    confirm: str = "human"
    in_path: tuple[str, ...] = (CLUSTER, "name", "namespace")

    @property
    def name(self) -> str:
        """The name that clients call it by."""
        return self.spec.name

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        return self.spec.title

    @property
    def description(self) -> str:
        """What it does, for an agent."""
        return self.spec.description

    @property
    def toolsets(self) -> frozenset[str]:
        """The toolset of the Kubernetes API."""
        return frozenset({TOOLSET})

    @property
    def effect(self) -> Effect:
        """Its gravest effect."""
        return self.spec.worst_effect

    @property
    def scope(self) -> ToolScope:
        """What its calls can be."""
        return ToolScope(self.spec.effects, on_cluster=True, on_objects=True)

    @property
    def least_effect(self) -> Effect:
        """What a call does at least."""
        return self.spec.effect

    @property
    def idempotent(self) -> bool:
        """Whether calling it twice does no more than calling it once."""
        return self.spec.idempotent

    @property
    def result(self) -> str:
        """The kind of its results: the same for all of these tools."""
        return RESULT

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of its arguments as clients are shown it."""
        return self._with_token(self.spec.shown_schema)

    def _with_token(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema with the argument for the consent that the model itself carries, where one is taken."""
        if self.confirm != "token":
            return schema
        token = {TOKEN: {"type": "string", "description": "From approval_required"}}
        return {**schema, "properties": {**schema["properties"], **token}}

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call as they are meant.

        Raises:
            InvalidArguments: with every problem found.
        """
        misfits: Callable[[Mapping[str, Any]], Sequence[Problem]] = getattr(self._own, "misfits", lambda _: ())
        in_path = [each for each in self.in_path if each in self.spec.input_schema["properties"]]
        schema = self._with_token(self.spec.input_schema)
        wanted = check_against(self.name, schema, arguments, in_path=in_path, misfits=misfits)
        refuse_placeholders({name: each for name, each in wanted.items() if name not in CONTENTS})
        return wanted

    def subject(self, _: Mapping[str, Any]) -> Subject:
        """Return a call as rules see it before anything is read: by the least that it can do."""
        least = self.spec.effect
        return Subject(self.name, frozenset({least}), least, on_cluster=True, problem="its facts were not read")

    def is_dry_run(self, arguments: Mapping[str, Any]) -> bool:
        """Say whether a call only asks what would happen."""
        return bool(arguments.get(DRY_RUN))

    async def plan(self, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
        """Return what a call will do; the cluster has checked it.

        Raises:
            CallRefused: the policy or the cluster says no, or something is not as the call has it.
        """
        from ap_mcp.kubernetes.writes import planned  # noqa: PLC0415 - calls only

        schemas = self.spec.input_schema["properties"]
        defaults = {name: each["default"] for name, each in schemas.items() if "default" in each}
        return await planned(self, {**defaults, **arguments}, context)

    @property
    def _own(self) -> Any:
        return import_module(f"ap_mcp.kubernetes.{self.module}")

    async def steps(self, arguments: Mapping[str, Any], api: "ClusterApi", rehearse: "Rehearse") -> "list[Step]":
        """Return the steps of a call, by what one set of reads shows."""
        from ap_mcp.kubernetes.steps import Checks  # noqa: PLC0415 - calls only

        found: list[Step] = await self._own.steps(arguments, api, Checks(api, rehearse))
        return found
