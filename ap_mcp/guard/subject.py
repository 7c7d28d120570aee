"""What the operator's rules see of a call: which tool, what it can do, to which cluster, and what rules go by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ap_mcp.arguments import meets
from ap_mcp.guard.facts import ClusterFacts, Facts
from ap_mcp.specs import CLUSTER, Effect, Operation
from ap_mcp.wording import in_quotes


class Limit(NamedTuple):
    """A value that the operator limits: the argument, what the call gives for it, and the setting with the maximum."""

    argument: str
    value: Any
    setting: str


class Objects(NamedTuple):
    """One object in a cluster, or all of a kind in one namespace or in all of them, as rules see it.

    Attributes:
        kind: as discovery has it, with its group unless that is the core group: `Secret`, `Deployment.apps`.
        namespace: that it is in; empty for a kind that is in none, and for all namespaces together.
        name: of the object; empty for a collection.
    """

    kind: str
    namespace: str = ""
    name: str = ""

    @property
    def place(self) -> str:
        """The namespace that rules go by: of a Namespace its own name; empty if it is in none, or in all."""
        return self.name if self.kind == "Namespace" else self.namespace


@dataclass(frozen=True, slots=True)
class Subject:
    """One call as rules see it.

    Attributes:
        tool: its name.
        effects: every effect that this very call has; rules that saw only the gravest could be avoided by a graver one.
        stated: the effect of the tool by itself, before arguments or rules raise it.
        on_cluster: it acts on a cluster, so that rules about clusters apply.
        cluster: the facts of that cluster; None if they were not read, or could not be.
        problem: why there are none.
        changed_tags: keys of cluster tags that it sets or removes.
        changes_alias: it sets the cluster's alias.
        limits: what the operator limits of a call that returns credentials; None: nothing says what could be limited.
        objects: what it reads or changes inside the cluster; None: nothing there, or it is not known yet.
    """

    tool: str
    effects: frozenset[Effect]
    stated: Effect
    on_cluster: bool = False
    cluster: ClusterFacts | None = None
    problem: str = ""
    changed_tags: frozenset[str] = frozenset()
    changes_alias: bool = False
    limits: tuple[Limit, ...] | None = None
    objects: tuple[Objects, ...] | None = None

    @property
    def named(self) -> str:
        """The call in a sentence."""
        return f"{self.tool} on cluster {in_quotes(self.cluster.name)}" if self.cluster else self.tool


def subject_of(
    operation: Operation,
    arguments: Mapping[str, Any],
    facts: Facts | None = None,
    seen: Mapping[str, Any] | None = None,
) -> Subject:
    """Return the subject of a call of an operation.

    Args:
        operation: what is called.
        arguments: its flat arguments.
        facts: of the cluster that they name, if they were read.
        seen: the facts that its effect depends on, if they were read.
    """
    given = {**arguments, **{f"${name}": value for name, value in (seen or {}).items()}}
    raised = {rule.effect for rule in operation.effect_when if meets(rule.condition, given)}
    keys = arguments.get(operation.changes.get("cluster_tags", ""), ())
    limits = None
    if operation.limits is not None:
        limits = tuple(Limit(name, arguments.get(name), setting) for name, setting in operation.limits.items())
    if operation.names_secrets and _names_secrets(arguments.get(operation.names_secrets)):
        raised.add("secret")
        limits = limits or ()  # it returns no credentials that could live too long
    subject = Subject(
        tool=operation.id,
        effects=frozenset({operation.effect, *raised}),
        stated=operation.effect,
        on_cluster=operation.on_cluster,
        problem="its facts were not read" if CLUSTER in arguments else f"the call has no {CLUSTER}",
        changed_tags=frozenset(str(key) for key in (keys if isinstance(keys, Iterable) else ())),
        changes_alias=operation.changes.get("cluster_alias", "") in arguments,
        limits=limits,
    )
    return subject if facts is None else with_facts(subject, arguments.get(CLUSTER), facts)


def _names_secrets(settings: Any) -> bool:
    from ap_mcp.rules.named_secrets import secrets_named  # noqa: PLC0415 - few calls have settings of a chart

    return bool(secrets_named(settings))


class ToolScope(NamedTuple):
    """What calls of a tool can be, whatever their arguments are.

    Attributes:
        effects: every one that a call can have.
        on_cluster: a call can be about a cluster.
        on_objects: a call can be about objects inside a cluster.
    """

    effects: frozenset[Effect]
    on_cluster: bool
    on_objects: bool = False


def scope_of(operation: Operation) -> ToolScope:
    """Return what calls of an operation can be."""
    raised: set[Effect] = {"disrupt"} if operation.changes else set()
    return ToolScope(operation.effects | raised, operation.on_cluster, on_objects=operation.objects is not None)


def with_facts(subject: Subject, named: Any, facts: Facts) -> Subject:
    """Return a subject with the facts of its cluster, if they are of the one that the call names.

    Args:
        subject: what the call is.
        named: the cluster as the call names it.
        facts: what was read.
    """
    if facts.cluster is None or facts.problem is not None:
        return replace(subject, cluster=None, problem=facts.problem or subject.problem)
    if not facts.cluster.is_called(named):
        what = f"what was read is cluster {in_quotes(facts.cluster.name)}, which the call does not name"
        return replace(subject, cluster=None, problem=what)
    return replace(subject, cluster=facts.cluster, problem="")
