"""The pure decision about a call: allowed, to be asked about, or refused.

Deny beats ask beats allow, in whatever order the rules stand. Without a rule, reading and writing are allowed and
guarded effects are asked about. Doubt never opens anything: denying and asking rules match generously (by name or
alias, in upper or lower case, by any effect a call has), allowing ones narrowly (by name, tags to the letter, and only
the effect they name). Texts are compared without regard to case and are not normalised any further: a name written
with letters that only look similar is another name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, TypeAlias

from ap_mcp.errors import READ_ONLY, CallRefused, DeniedByPolicy, InvalidArguments, Problem, ReadOnly
from ap_mcp.guard.facts import FACTS_READ, ClusterFacts
from ap_mcp.guard.subject import Objects, Subject
from ap_mcp.specs import EFFECTS, GUARDED, Effect
from ap_mcp.wording import clean, in_quotes

Choice: TypeAlias = Literal["deny", "ask", "allow"]
ApproverRule: TypeAlias = Literal["any", "other"]

EVERY_TOOL = ("*",)
CHANGES: frozenset[Effect] = frozenset(EFFECTS) - {"read"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the operator; it matches a call that fits everything it names.

    Attributes:
        decision: what to do with a call that matches.
        tools: globs of tool names.
        clusters: globs of cluster names; of aliases too, unless it allows.
        tags: keys a cluster must have, with a glob for the value of each.
        effects: what the call does; none given is every effect if it names tools, else every effect but read.
        namespaces: globs of namespaces of a cluster; a Namespace counts by its own name.
        kinds: globs of kinds of objects in a cluster: `Secret`, `Deployment`, `*.rbac.authorization.k8s.io`.
        names: globs of names of objects in a cluster.
        profiles: globs of the operator's profiles; it is about calls that go to one of these.
        approver: who may agree to what it asks about: anybody, or somebody other than the requester.
        reason: shown to the one who is refused or asked.
        source: where it stands.
    """

    decision: Choice
    tools: tuple[str, ...] = EVERY_TOOL
    clusters: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    namespaces: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    approver: ApproverRule = "any"
    reason: str = ""
    source: str = "a rule"

    @property
    def about_clusters(self) -> bool:
        """Whether it goes by what a cluster is called or tagged."""
        return bool(self.clusters or self.tags)

    @property
    def about_objects(self) -> bool:
        """Whether it goes by objects inside a cluster."""
        return bool(self.namespaces or self.kinds or self.names)

    def concerns(self, profile: str) -> bool:
        """Say whether it is about calls that go to a profile; what allows names it to the letter."""
        if not self.profiles:
            return True
        return (_spelt if self.decision == "allow" else _fits)(profile, self.profiles)

    @property
    def names_tools(self) -> bool:
        """Whether it is about some tools rather than all."""
        return not any(set(glob) <= {"*"} for glob in self.tools)

    @property
    def is_about_tools(self) -> bool:
        """Whether it is about whole calls of some tools, whatever they do and to what."""
        return self.names_tools and not self.effects and not self.about_objects

    @property
    def covered(self) -> frozenset[Effect]:
        """The effects it is about; those it releases, if it allows."""
        if self.decision == "allow":
            return GUARDED.intersection(self.effects)
        return frozenset(self.effects or (EFFECTS if self.names_tools else CHANGES))


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows.

    Attributes:
        read_only: nothing but reading.
        closed: what made it so, if it is, as `READ_ONLY` names it.
        ask: a guarded call needs a person's consent; only the simulator can do without.
        max_kubeconfig_days: the longest life of a kubeconfig that is handed out.
        rules: in no particular order.
        elsewhere: rules about other profiles, which stand for nothing but an explanation.
    """

    read_only: bool = False
    closed: str = "server"
    ask: bool = True
    max_kubeconfig_days: int = 1
    rules: tuple[Rule, ...] = ()
    elsewhere: tuple[Rule, ...] = ()

    def for_calls_to(self, profile: str) -> "Policy":
        """Return the policy of calls that go to one profile; empty: there are no profiles.

        All calls of a caller's view go to one profile, so its rules are chosen once: no call can be without them.
        """
        here = tuple(rule for rule in self.every_rule if rule.concerns(profile))
        elsewhere = tuple(rule for rule in self.every_rule if not rule.concerns(profile))
        return replace(self, rules=here, elsewhere=elsewhere)

    @property
    def every_rule(self) -> tuple[Rule, ...]:
        """All rules, those about other profiles too: what is made of this policy must not lose any of them."""
        return (*self.rules, *self.elsewhere)

    def with_rules(self, rules: tuple[Rule, ...], *, read_only: bool, closed: str) -> "Policy":
        """Return it with more rules, of which those that deny still beat all others; those of profiles stand aside.

        Args:
            rules: besides those that there are.
            read_only: let nothing but reading through; what is closed already stays so.
            closed: what wants that, as `READ_ONLY` names it.
        """
        why = self.closed if self.read_only else closed
        reads = self.read_only or read_only
        return replace(self, rules=(*self.rules, *rules), read_only=reads, closed=why).for_calls_to("")

    def maximum(self, setting: str) -> int:
        """Return the largest value that a setting allows.

        Raises:
            AttributeError: the policy has no such setting.
        """
        return int(getattr(self, setting))


NO_RULES = Policy()


class Allow(NamedTuple):
    """The call may go out; `rule` released it, if it needed that."""

    rule: Rule | None = None


class Ask(NamedTuple):
    """A person must agree first; `other_approver`: one who is not the requester."""

    effect: Effect
    rule: Rule | None = None
    other_approver: bool = False


class Refuse(NamedTuple):
    """The call may not go out; no consent allows it."""

    error: CallRefused
    rule: Rule | None = None


Decision: TypeAlias = Allow | Ask | Refuse


class Verdict(NamedTuple):
    """Whether a rule matches a call and why; None: not known without the cluster's facts."""

    rule: Rule
    matches: bool | None
    why: str


class Explanation(NamedTuple):
    """A decision and why, the effect of the call, what raised it if anything did, and what each rule says."""

    decision: Decision
    because: str
    effect: Effect | None = None
    raised: str = ""
    verdicts: tuple[Verdict, ...] = ()


class _Case(NamedTuple):
    """A subject under a policy; `moves_rules`: it changes tags or an alias that the rules go by."""

    subject: Subject
    effects: frozenset[Effect]
    moves_rules: bool

    @property
    def effect(self) -> Effect:
        return max(self.effects, key=EFFECTS.index)

    @property
    def raised(self) -> str:
        if self.effect == self.subject.stated:
            return ""
        return "it changes tags or an alias that rules go by" if self.moves_rules else "its arguments do that"


def effect_of(subject: Subject, policy: Policy = NO_RULES) -> Effect:
    """Return the gravest effect of a call: the tool's own, or one that its arguments or the rules raise it to.

    Raises:
        CallRefused: it has an effect that this version does not know.
    """
    return _case(subject, policy).effect


def needs_cluster(subject: Subject, policy: Policy) -> bool:
    """Say whether a call can be decided only with the facts of its cluster.

    Raises:
        CallRefused: it has an effect that this version does not know.
    """
    if not subject.on_cluster:
        return False
    case = _case(subject, policy)
    if policy.read_only and case.effect != "read":
        return False
    return any(
        rule.about_clusters and _fits(subject.tool, rule.tools) and rule.covered & case.effects for rule in policy.rules
    )


def decide(subject: Subject, policy: Policy) -> Decision:
    """Say whether a call may go out, must be asked about, or is refused.

    Cheap refusals come first: a person is not asked about a call that would fail anyway.
    """
    return explain(subject, policy).decision


def explain(subject: Subject, policy: Policy) -> Explanation:
    """Decide about a call, and say what decided."""
    try:
        case = _case(subject, policy)
    except CallRefused as error:
        return Explanation(Refuse(error), "whatever is not known is refused")
    verdicts = tuple(_verdict(rule, case) for rule in policy.rules)
    elsewhere = tuple(Verdict(rule, matches=False, why="is about other profiles") for rule in policy.elsewhere)
    decision, because = (
        _refused_at_once(case, policy) or _refused_by_rule(case, verdicts) or _released(case, verdicts, policy)
    )
    return Explanation(decision, because, case.effect, case.raised, (*verdicts, *elsewhere))


def _case(subject: Subject, policy: Policy) -> _Case:
    if not subject.effects or (unknown := subject.effects.difference(EFFECTS)):
        what = f"effect {in_quotes(min(unknown))} is unknown to this version" if subject.effects else "it states none"
        raise CallRefused(f"Refused: the effect of {subject.tool} is not known: {what}. Nothing was sent.")
    moves = _moves_rules(subject, policy)
    more: set[Effect] = {"disrupt"} if moves and not subject.effects & GUARDED else set()
    return _Case(subject, subject.effects | more, moves)


def _moves_rules(subject: Subject, policy: Policy) -> bool:
    """Say whether a call changes tags or an alias that any rule goes by."""
    if subject.changes_alias and any(rule.clusters for rule in policy.rules):
        return True
    used = {key.casefold() for rule in policy.rules for key in rule.tags}
    return any(key.casefold() in used for key in subject.changed_tags)


def _refused_at_once(case: _Case, policy: Policy) -> tuple[Decision, str] | None:
    """Refuse what no rule and no consent can help."""
    if policy.read_only and case.effect != "read":
        return Refuse(ReadOnly(case.subject.tool, policy.closed)), f"{READ_ONLY[policy.closed][0]} only reads"
    if "secret" not in case.effects:
        return None
    if case.subject.limits is None:
        why = f"{case.subject.tool} returns credentials, and nothing says how long they may live"
        return Refuse(CallRefused(f"Refused: {why}. Nothing was sent.")), why
    problems = [
        Problem(
            limit.argument,
            f"must be {f'from 1 to {most}' if most > 1 else most}; the operator can raise "
            f"AP_MCP_{limit.setting.upper()}",
        )
        for limit in case.subject.limits
        if not _within(limit.value, most := policy.maximum(limit.setting))
    ]
    if problems:
        names = " and ".join(problem.argument for problem in problems)
        return Refuse(InvalidArguments(problems)), f"{names} is not within what the operator allows"
    return None


def _within(value: object, most: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most


def _refused_by_rule(case: _Case, verdicts: tuple[Verdict, ...]) -> tuple[Decision, str] | None:
    if denying := _first(verdicts, "deny"):
        return Refuse(_denied(case, denying.rule), denying.rule), f"{denying.rule.source} denies it: it {denying.why}"
    if unclear := next((each for each in verdicts if each.matches is None), None):
        return Refuse(_unclear(case, unclear.rule), unclear.rule), f"{unclear.rule.source} {unclear.why}"
    return None


def _released(case: _Case, verdicts: tuple[Verdict, ...], policy: Policy) -> tuple[Decision, str]:
    """Allow what needs no consent, or what a rule releases; ask about the rest."""
    if not policy.ask:
        return Allow(), "no rule denies it, and consent is switched off"
    if asking := _first(verdicts, "ask"):
        other = asking.rule.approver == "other"
        return Ask(case.effect, asking.rule, other), f"{asking.rule.source} asks: it {asking.why}"
    if case.effect not in GUARDED:
        return Allow(), f"no rule stands against it, and {case.effect} needs no consent"
    if allowing := _first(verdicts, "allow"):
        return Allow(allowing.rule), f"{allowing.rule.source} allows it: it {allowing.why}"
    return Ask(case.effect), f"no rule releases it, and {case.effect} needs a person's consent"


def _first(verdicts: tuple[Verdict, ...], decision: Choice) -> Verdict | None:
    """Return the verdict for all matching rules of a kind: the first, of those that want another approver if any do."""
    found = [each for each in verdicts if each.matches and each.rule.decision == decision]
    return min(found, key=lambda each: each.rule.approver != "other", default=None)


def _denied(case: _Case, rule: Rule) -> DeniedByPolicy:
    reason = f" ({in_quotes(rule.reason)})" if rule.reason else ""
    remedy = "No consent lifts this; only the operator can change the policy."
    # Who may not read a cluster does not learn its name by its id.
    hides = rule.about_clusters and "read" in rule.covered and _fits(FACTS_READ, rule.tools)
    return DeniedByPolicy(
        case.subject.tool if hides else case.subject.named, f"is denied by {rule.source}{reason}", remedy
    )


def _unclear(case: _Case, rule: Rule) -> DeniedByPolicy:
    why = f"cannot be decided: {rule.source} goes by the cluster's name or tags, and {clean(case.subject.problem)}"
    return DeniedByPolicy(
        case.subject.named, why.rstrip("."), "Name a cluster that get_cluster can read, then try again."
    )


def _verdict(rule: Rule, case: _Case) -> Verdict:
    """Match one rule against a call; cheap tests first."""
    if not _fits(case.subject.tool, rule.tools):
        return Verdict(rule, matches=False, why="is about other tools")
    if why := _other_effects(rule, case) or _other_objects(rule, case.subject.objects):
        return Verdict(rule, matches=False, why=why)
    if not rule.about_clusters:
        return Verdict(rule, matches=True, why=f"is about {_about(rule, case)}")
    if not case.subject.on_cluster:
        return Verdict(rule, matches=False, why="is about clusters, and this tool acts on none")
    if case.subject.cluster is None:
        return Verdict(rule, matches=None, why=f"goes by the cluster's name or tags, and {clean(case.subject.problem)}")
    return _of_cluster(rule, case.subject.cluster)


def _other_objects(rule: Rule, objects: tuple[Objects, ...] | None) -> str:
    """Return why a rule does not reach the objects of a call; empty if it does, or goes by none.

    What denies or asks reaches a call if it may concern any of its objects, what allows if it surely names all.
    """
    if not rule.about_objects:
        return ""
    if not objects:
        return "is about objects in a cluster, and this call names none"
    if rule.decision == "allow":
        return "" if all(_surely(rule, each) for each in objects) else "does not name every object of the call"
    return "" if any(_maybe(rule, each) for each in objects) else "is about other objects"


def _maybe(rule: Rule, objects: Objects) -> bool:
    """Say whether a rule may concern some objects: all of a kind hold every name, and every namespace if not in one."""
    kind, _, group = objects.kind.partition(".")
    return (
        (not rule.kinds or _fits(kind, rule.kinds) or _fits(f"{kind}.{group}", rule.kinds))
        and (not rule.namespaces or not objects.place or _fits(objects.place, rule.namespaces))
        and (not rule.names or not objects.name or _fits(objects.name, rule.names))
    )


def _surely(rule: Rule, objects: Objects) -> bool:
    """Say whether a rule names some objects, to the letter; a kind without a group is one of Kubernetes itself."""
    kind, _, group = objects.kind.partition(".")
    own = "." not in group or group.endswith(".k8s.io")
    return (
        (not rule.kinds or _spelt(objects.kind, rule.kinds) or (own and _spelt(kind, rule.kinds)))
        and (not rule.namespaces or (bool(objects.place) and _spelt(objects.place, rule.namespaces)))
        and (not rule.names or (bool(objects.name) and _spelt(objects.name, rule.names)))
    )


def _spelt(text: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


def _other_effects(rule: Rule, case: _Case) -> str:
    """Return why a rule does not reach the effects of a call; empty if it does."""
    if rule.decision != "allow":
        return "" if case.effects & rule.covered else f"is not about {case.effect}"
    if case.effect not in GUARDED:
        return f"has nothing to release: {case.effect} needs no consent"
    if case.effect not in rule.covered:
        return f"does not release {case.effect}: its effects do not name it"
    # Or an agent released on one cluster could reach other rules by setting tags.
    if case.moves_rules and case.subject.tool not in rule.tools:
        return f"does not release a change of what rules go by: its tools do not spell out {case.subject.tool}"
    return ""


def _about(rule: Rule, case: _Case) -> str:
    tool = f"{case.subject.tool}{_by(case.subject.tool, rule.tools)}" if rule.names_tools else "every tool"
    return f"{tool} with effect {' or '.join(each for each in EFFECTS if each in case.effects & rule.covered)}"


def _of_cluster(rule: Rule, cluster: ClusterFacts) -> Verdict:
    exact = rule.decision == "allow"
    fits = []
    if rule.clusters:
        names = {"name": cluster.name} if exact else {"name": cluster.name, "alias": cluster.alias}
        found = next((what for what, name in names.items() if _fits(name, rule.clusters)), None)
        if found is None:
            return Verdict(rule, matches=False, why=f"is about clusters of another {' and '.join(names)}")
        fits.append(f"{found} {in_quotes(names[found])}{_by(names[found], rule.clusters)}")
    for key, glob in rule.tags.items():
        if not _tagged(cluster, key, glob, exact=exact):
            return Verdict(rule, matches=False, why=f"is about clusters with tag {key}={glob}")
        fits.append(f"tag {key}={glob}")
    return Verdict(rule, matches=True, why=f"is about clusters with {' and '.join(fits)}")


def _tagged(cluster: ClusterFacts, key: str, glob: str, *, exact: bool) -> bool:
    if exact:
        return key in cluster.tags and fnmatchcase(cluster.tags[key], glob)
    return any(has.casefold() == key.casefold() and _fits(value, (glob,)) for has, value in cluster.tags.items())


def _fits(text: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(text.casefold(), glob.casefold()) for glob in globs)


def _by(text: str, globs: Iterable[str]) -> str:
    """Say which pattern of a rule a name fits, if that is another text than the name."""
    glob = next(each for each in globs if _fits(text, (each,)))
    return "" if glob == text else f" (by {in_quotes(glob)})"
