"""What holds for every policy and every call."""

from dataclasses import dataclass, replace
from typing import Any

from deciding import decide, effect_of, explain, needs_cluster
from hypothesis import given, settings
from hypothesis import strategies as st

from ap_mcp.guard.facts import ClusterFacts, Facts
from ap_mcp.guard.policy import (
    Allow,
    Ask,
    Decision,
    Policy,
    Refuse,
    Rule,
)
from ap_mcp.specs import CLUSTER, EFFECTS, GUARDED, EffectRule, Operation, load_catalog

CATALOG = load_catalog()
LIFETIME = "duration_days"
STRICTNESS = (Allow, Ask, Refuse)
patient = settings(deadline=None)
KEYS, VALUES = ("env", "Env", "team"), ("prod", "PROD", "dev", "")
NAMES = ("shop-prod", "search-dev", "Shop-Prod", "sandbox")


@dataclass(frozen=True)
class Call:
    """A call and what was read about it."""

    operation: Operation
    arguments: dict[str, Any]
    facts: Facts

    def under(self, policy: Policy) -> Decision:
        return decide(self.operation, self.arguments, self.facts, policy)

    def strictness(self, policy: Policy) -> int:
        return STRICTNESS.index(type(self.under(policy)))


def some(values: tuple[str, ...], *, least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=3).map(tuple)


TOOL_GLOBS = st.lists(
    st.sampled_from(("*", "**", "get_*", "delete_*", "*cluster*", "add_cluster_tags", "update_*", *CATALOG)),
    min_size=1,
    max_size=3,
).map(tuple)
CLUSTER_GLOBS = ("*", "*prod*", "*-dev", "shop-prod", "SHOP*", "sand?ox", "nothing")
TAGS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from((*VALUES, "*", "p*")), max_size=2)
RULES = st.builds(
    Rule,
    decision=st.sampled_from(("deny", "ask", "allow")),
    tools=st.just(("*",)) | TOOL_GLOBS,
    clusters=some(CLUSTER_GLOBS),
    tags=TAGS,
    effects=some(EFFECTS),
    approver=st.sampled_from(("any", "other")),
    source=st.uuids().map(str),
)
POLICIES = st.builds(
    Policy,
    read_only=st.booleans(),
    ask=st.sampled_from((True, True, False)),
    max_kubeconfig_days=st.integers(1, 3),
    rules=st.lists(RULES, max_size=5).map(tuple),
)
CLUSTERS = st.builds(
    ClusterFacts,
    id=st.just("11111111-0000-0000-0000-000000000001"),
    name=st.sampled_from(NAMES),
    alias=st.sampled_from(("", *NAMES)),
    tags=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3),
)
TAG_KEYS = ("env", "TEAM", "owner")
RELEVANT: dict[str, st.SearchStrategy[Any]] = {
    "override": st.booleans(),
    "replace": st.booleans(),
    "eni_subnet_ids": st.just(["s1"]),
    "alias": st.sampled_from(NAMES),
    "tags": st.dictionaries(st.sampled_from(TAG_KEYS), st.sampled_from(VALUES), min_size=1),
    "keys": st.lists(st.sampled_from(TAG_KEYS), min_size=1),
    LIFETIME: st.integers(1, 4),
}
"""The arguments that a decision can hang on."""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Draw a call of any tool with any of the arguments that a decision can hang on."""
    operation = draw(st.sampled_from(list(CATALOG.values())))
    relevant = {name: values for name, values in RELEVANT.items() if name in operation.arguments}
    arguments = draw(st.fixed_dictionaries({}, optional=relevant))
    if CLUSTER not in operation.arguments:
        return Call(operation, arguments, Facts())
    cluster = draw(CLUSTERS)
    return Call(operation, {**arguments, CLUSTER: cluster.id}, Facts(cluster))


def with_rule(policy: Policy, rule: Rule) -> Policy:
    return replace(policy, rules=(*policy.rules, rule))


def same(decision: Decision) -> tuple[Any, ...]:
    """What of a decision must not depend on the order of rules: all but which of several equal ones is named."""
    return (
        (type(decision), decision.effect, decision.other_approver) if isinstance(decision, Ask) else (type(decision),)
    )


def test_the_arguments_drawn_are_those_that_raise_an_effect() -> None:
    conditions = {name for tool in CATALOG.values() for when in tool.effect_when for name in when.condition["required"]}
    facts = {f"${fact.name}" for tool in CATALOG.values() for fact in tool.facts}
    assert conditions - facts <= set(RELEVANT)


@patient
@given(calls(), POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(call: Call, policy: Policy, random: Any) -> None:
    shuffled = list(policy.rules)
    random.shuffle(shuffled)
    assert same(call.under(policy)) == same(call.under(replace(policy, rules=tuple(shuffled))))


@patient
@given(calls(), POLICIES, RULES)
def test_a_deny_that_matches_always_wins(call: Call, policy: Policy, rule: Rule) -> None:
    denied = with_rule(policy, replace(rule, decision="deny"))
    matches = explain(call.operation, call.arguments, call.facts, denied).verdicts[-1].matches
    if matches:
        assert isinstance(call.under(denied), Refuse)


@patient
@given(calls(), POLICIES, RULES)
def test_no_rule_turns_a_refusal_into_anything_else(call: Call, policy: Policy, rule: Rule) -> None:
    if isinstance(call.under(policy), Refuse):
        assert isinstance(call.under(with_rule(policy, rule)), Refuse)


@patient
@given(calls(), POLICIES, RULES.filter(lambda rule: rule.decision != "allow"))
def test_only_an_allow_makes_a_decision_milder(call: Call, policy: Policy, rule: Rule) -> None:
    assert call.strictness(with_rule(policy, rule)) >= call.strictness(policy)


@patient
@given(calls(), POLICIES, RULES.map(lambda rule: replace(rule, decision="allow")))
def test_an_allow_releases_only_an_effect_it_names(call: Call, policy: Policy, rule: Rule) -> None:
    after = with_rule(policy, rule)
    if call.strictness(after) < call.strictness(policy):
        assert effect_of(call.operation, call.arguments, after) in rule.effects
        assert call.under(after) == Allow(rule)


@patient
@given(calls(), POLICIES)
def test_a_guarded_call_goes_out_unasked_only_by_a_rule_that_names_its_effect(call: Call, policy: Policy) -> None:
    decision, effect = call.under(policy), effect_of(call.operation, call.arguments, policy)
    if policy.ask and effect in GUARDED and isinstance(decision, Allow):
        assert decision.rule is not None
        assert decision.rule.decision == "allow"
        assert effect in decision.rule.effects


@patient
@given(calls(), POLICIES, some(CLUSTER_GLOBS, least=1))
def test_a_deny_on_a_cluster_closes_every_effect_but_read(call: Call, policy: Policy, globs: tuple[str, ...]) -> None:
    closed = with_rule(policy, Rule("deny", clusters=globs))
    matches = explain(call.operation, call.arguments, call.facts, closed).verdicts[-1].matches
    if call.operation.effect == "read":
        assert matches is False
    elif matches:
        assert isinstance(call.under(closed), Refuse)
    everywhere = with_rule(policy, Rule("deny", clusters=("*",)))
    if CLUSTER in call.operation.arguments and call.operation.effect != "read":
        assert isinstance(call.under(everywhere), Refuse)


@patient
@given(calls(), POLICIES, CLUSTERS)
def test_unreadable_facts_never_allow_what_readable_ones_could_refuse(
    call: Call, policy: Policy, cluster: ClusterFacts
) -> None:
    readable = replace(call, facts=Facts(cluster))
    for facts in (Facts(), Facts(problem="HTTP 503"), Facts(cluster._replace(id="another", name="x", alias="x"))):
        assert replace(call, facts=facts).strictness(policy) >= readable.strictness(policy)


@patient
@given(calls(), POLICIES)
def test_facts_matter_only_where_they_are_said_to_be_needed(call: Call, policy: Policy) -> None:
    if not needs_cluster(call.operation, call.arguments, policy):
        assert same(replace(call, facts=Facts()).under(policy)) == same(call.under(policy))


@patient
@given(calls(), POLICIES, st.sampled_from(NAMES))
def test_an_alias_releases_nothing(call: Call, policy: Policy, alias: str) -> None:
    if call.facts.cluster is not None:
        named = replace(call, facts=Facts(call.facts.cluster._replace(alias=alias)))
        unnamed = replace(call, facts=Facts(call.facts.cluster._replace(alias="")))
        assert named.strictness(policy) >= unnamed.strictness(policy)


@patient
@given(calls(), POLICIES, st.text(max_size=20).filter(lambda name: name not in CATALOG))
def test_a_tool_outside_the_catalog_needs_the_same_consent(call: Call, policy: Policy, name: str) -> None:
    stranger = replace(call, operation=replace(call.operation, id=name))
    bare = replace(policy, rules=())
    assert same(stranger.under(bare))[0] == same(call.under(bare))[0]


@patient
@given(calls(), POLICIES, st.text(max_size=20).filter(lambda effect: effect not in EFFECTS), st.booleans())
def test_an_unknown_effect_is_refused(call: Call, policy: Policy, effect: Any, own: bool) -> None:
    unknown = replace(call.operation, effect=effect) if own else None
    unknown = unknown or replace(call.operation, effect_when=(*call.operation.effect_when, EffectRule({}, effect)))
    named = Rule("allow", effects=(effect,))
    assert isinstance(replace(call, operation=unknown).under(with_rule(policy, named)), Refuse)


@patient
@given(calls(), POLICIES)
def test_a_read_only_server_only_reads(call: Call, policy: Policy) -> None:
    decision = call.under(replace(policy, read_only=True))
    assert isinstance(decision, Refuse) or call.operation.effect == "read"


@patient
@given(calls(), POLICIES, st.integers(-5, 50))
def test_no_rule_lengthens_the_life_of_a_kubeconfig(call: Call, policy: Policy, days: int) -> None:
    arguments = {CLUSTER: "11111111-0000-0000-0000-000000000001", LIFETIME: days}
    asked = Call(CATALOG["get_cluster_certificate"], arguments, call.facts)
    if not 0 < days <= policy.max_kubeconfig_days:
        assert isinstance(asked.under(policy), Refuse)
