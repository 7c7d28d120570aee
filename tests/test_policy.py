"""Which calls go out, which wait for a person, and which are refused, by table."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from deciding import decide, effect_of, explain, needs_cluster

from ap_mcp.errors import (
    CallRefused,
    CloudUnreachable,
    DeniedByPolicy,
    InvalidArguments,
    NotFound,
    ReadOnly,
    ServiceError,
)
from ap_mcp.guard import policy as guard
from ap_mcp.guard.facts import ClusterFacts, Facts, cluster_facts, read_facts
from ap_mcp.guard.policy import (
    NO_RULES,
    Allow,
    Ask,
    Decision,
    Policy,
    Refuse,
    Rule,
)
from ap_mcp.guard.subject import Limit, Subject
from ap_mcp.specs import CLUSTER, Catalog, Effect, EffectRule, load_catalog

PROD = ClusterFacts("11111111-0000-0000-0000-000000000001", "shop-prod", "Storefront", {"env": "prod", "team": "shop"})
DEV = ClusterFacts("11111111-0000-0000-0000-000000000002", "search-dev", "search-dev", {"env": "dev"})
BARE = ClusterFacts("11111111-0000-0000-0000-000000000003", "team-sandbox")

DENY_PROD = Rule("deny", clusters=("*prod*",), source="p rule 1")
DENY_TAGGED = Rule("deny", tags={"env": "prod"}, source="p rule 2")
ASK_COST = Rule("ask", tools=("create_cluster", "install_addon", "create_release"), source="p rule 3")
ALLOW_DEV = Rule("allow", clusters=("*-dev",), effects=("disrupt", "destroy"), source="p rule 4")

RELEASE: dict[str, Any] = {"chart_id": "c", "version": "1", "name": "n", "namespace": "default"}


def decided(
    tool: str, *rules: Rule, on: ClusterFacts | None = None, policy: Policy = NO_RULES, **given: Any
) -> Decision:
    """Decide about a call; one on a cluster names it by its id."""
    arguments = {CLUSTER: on.id, **given} if on else given
    return decide(load_catalog()[tool], arguments, Facts(on), replace(policy, rules=rules))


def word(decision: Decision) -> str:
    return type(decision).__name__.lower()


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("get_cluster", "allow"),
        ("backup_cluster", "allow"),
        ("install_addon", "allow"),
        ("rollback_addon", "ask"),
        ("delete_cluster", "ask"),
        ("upgrade_cluster", "ask"),
    ],
)
def test_without_rules_guarded_effects_are_asked_about_and_the_rest_is_allowed(tool: str, expected: str) -> None:
    assert word(decided(tool, on=PROD)) == expected


def test_every_guarded_tool_asks_when_no_rule_speaks(catalog: Catalog) -> None:
    for tool in catalog.values():
        if tool.effect in {"disrupt", "destroy"}:
            assert decided(tool.id, on=PROD) == Ask(tool.effect)


@pytest.mark.parametrize(
    ("rules", "tool", "cluster", "expected"),
    [
        ((DENY_PROD,), "get_cluster", PROD, "allow"),
        ((DENY_PROD,), "create_release", PROD, "refuse"),
        ((DENY_PROD,), "install_addon", PROD, "refuse"),
        ((DENY_PROD,), "add_cluster_tags", PROD, "refuse"),
        ((DENY_PROD,), "delete_cluster", PROD, "refuse"),
        ((DENY_PROD,), "delete_cluster", DEV, "ask"),
        ((DENY_PROD,), "install_addon", DEV, "allow"),
        ((DENY_PROD,), "create_cluster", None, "allow"),
        ((DENY_TAGGED,), "backup_cluster", PROD, "refuse"),
        ((DENY_TAGGED,), "backup_cluster", DEV, "allow"),
        ((DENY_TAGGED,), "backup_cluster", BARE, "allow"),
        ((ASK_COST,), "create_cluster", None, "ask"),
        ((ASK_COST,), "install_addon", DEV, "ask"),
        ((ASK_COST,), "backup_cluster", DEV, "allow"),
        ((ALLOW_DEV,), "delete_cluster", DEV, "allow"),
        ((ALLOW_DEV,), "rollback_addon", DEV, "allow"),
        ((ALLOW_DEV,), "delete_cluster", PROD, "ask"),
        ((ALLOW_DEV, ASK_COST), "install_addon", DEV, "ask"),
        ((ALLOW_DEV, Rule("ask", tools=("delete_*",))), "delete_cluster", DEV, "ask"),
        (
            (ALLOW_DEV, Rule("ask", tools=("delete_*",)), Rule("deny", tags={"env": "*"})),
            "delete_cluster",
            DEV,
            "refuse",
        ),
        ((Rule("deny", tools=("get_release*",)),), "get_release_history", DEV, "refuse"),
        ((Rule("deny", effects=("secret",)),), "delete_cluster", PROD, "ask"),
        ((Rule("deny"),), "create_cluster", None, "refuse"),
        ((Rule("deny"),), "list_clusters", None, "allow"),
        ((Rule("deny", tools=("*",)),), "list_clusters", None, "allow"),
        ((Rule("deny", tools=("*",), effects=("read",)),), "list_clusters", None, "refuse"),
        ((Rule("deny", clusters=("*prod*",), tags={"team": "search"}),), "delete_cluster", PROD, "ask"),
        ((Rule("deny", clusters=("*prod*",), tags={"team": "s*"}),), "delete_cluster", PROD, "refuse"),
        ((Rule("deny", tags={"env": "prod", "owner": "*"}),), "delete_cluster", PROD, "ask"),
    ],
)
def test_rules_decide(rules: tuple[Rule, ...], tool: str, cluster: ClusterFacts | None, expected: str) -> None:
    assert word(decided(tool, *rules, on=cluster)) == expected
    assert word(decided(tool, *reversed(rules), on=cluster)) == expected


def test_a_deny_on_a_cluster_closes_every_tool_on_it_but_those_that_read(catalog: Catalog) -> None:
    for tool in catalog.values():
        if CLUSTER in tool.arguments:
            expected = "allow" if tool.effect == "read" else "refuse"
            assert word(decided(tool.id, DENY_PROD, on=PROD, duration_days=1)) == expected


def test_an_allow_releases_a_guarded_effect_only_if_it_names_it() -> None:
    for rule in (Rule("allow"), Rule("allow", tools=("delete_cluster",)), Rule("allow", effects=("disrupt", "write"))):
        assert decided("delete_cluster", rule, on=DEV) == Ask("destroy")
    named = Rule("allow", effects=("destroy",))
    assert decided("delete_cluster", named, on=DEV) == Allow(named)


def test_an_allow_of_the_lesser_effect_does_not_release_what_arguments_make_graver() -> None:
    disrupt = Rule("allow", tools=("update_chart",), effects=("disrupt",))
    assert decided("update_chart", disrupt, chart_id="c", chart_path="x.tgz") == Allow(disrupt)
    assert decided("update_chart", disrupt, chart_id="c", chart_path="x.tgz", override=True) == Ask("destroy")


def test_a_rule_on_the_lesser_effect_is_not_dodged_by_arguments_that_make_it_graver() -> None:
    rule = Rule("deny", effects=("write",))
    assert word(decided("create_release", rule, on=DEV, **RELEASE)) == "refuse"
    assert word(decided("create_release", rule, on=DEV, **RELEASE, replace=True)) == "refuse"
    assert word(decided("delete_release", rule, on=DEV)) == "ask"


def test_what_is_graver_already_is_not_raised() -> None:
    rule = Rule("deny", effects=("disrupt",), tags={"env": "*"})
    assert word(decided("delete_cluster_tags", rule, on=DEV, keys=["env"])) == "ask"
    assert word(decided("add_cluster_tags", rule, on=DEV, tags={"env": "x"})) == "refuse"


@pytest.mark.parametrize("pattern", ["SHOP-*", "shop-prod", "*OD", "storefront", "[rs]hop-????", "*"])
def test_deny_and_ask_go_by_name_or_alias_in_upper_or_lower_case(pattern: str) -> None:
    assert word(decided("backup_cluster", Rule("deny", clusters=(pattern,)), on=PROD)) == "refuse"
    assert word(decided("backup_cluster", Rule("ask", clusters=(pattern,)), on=PROD)) == "ask"


def test_an_alias_never_opens_a_cluster_and_closes_one_that_takes_the_name_of_another() -> None:
    disguised = PROD._replace(alias="search-dev")
    assert decided("delete_cluster", ALLOW_DEV, on=disguised) == Ask("destroy")
    namesake = DEV._replace(alias="shop-prod")
    assert word(decided("delete_cluster", DENY_PROD, ALLOW_DEV, on=namesake)) == "refuse"


def test_letters_that_look_similar_are_other_letters() -> None:
    cyrillic = DEV._replace(name="search-d\u0435v")
    assert word(decided("delete_cluster", ALLOW_DEV, on=cyrillic)) == "ask"


@pytest.mark.parametrize("tags", [{"ENV": "prod"}, {"env": "PROD"}, {"Env": "Prod", "env": "dev"}])
def test_a_denying_rule_takes_tags_in_any_case(tags: Mapping[str, str]) -> None:
    assert word(decided("backup_cluster", DENY_TAGGED, on=BARE._replace(tags=tags))) == "refuse"


@pytest.mark.parametrize("tags", [{"ENV": "dev"}, {"env": "DEV"}, {"ENV": "dev", "env": "prod"}, {}])
def test_an_allowing_rule_takes_tags_to_the_letter(tags: Mapping[str, str]) -> None:
    rule = Rule("allow", tags={"env": "dev"}, effects=("destroy",))
    assert decided("delete_cluster", rule, on=BARE._replace(tags=tags)) == Ask("destroy")
    assert decided("delete_cluster", rule, on=DEV) == Allow(rule)


def test_an_ask_may_want_somebody_else_to_agree_and_the_strictest_wins() -> None:
    other = Rule("ask", effects=("destroy",), approver="other")
    plain = Rule("ask", tools=("delete_*",))
    for rules in ((plain, other), (other, plain)):
        assert decided("delete_cluster", *rules, on=DEV) == Ask("destroy", other, other_approver=True)
    assert decided("delete_addon", plain, on=DEV) == Ask("destroy", plain, other_approver=False)
    lenient = replace(ALLOW_DEV, approver="other")
    assert decided("delete_addon", plain, lenient, on=DEV) == Ask("destroy", plain, other_approver=False)


def test_read_only_refuses_before_any_rule() -> None:
    policy = Policy(read_only=True)
    decision = decided("delete_cluster", ALLOW_DEV, on=DEV, policy=policy)
    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, ReadOnly)
    assert decision.rule is None
    assert word(decided("get_cluster", ALLOW_DEV, on=DEV, policy=policy)) == "allow"


@pytest.mark.parametrize(("days", "expected"), [(1, "ask"), (1.0, "ask"), (2, "refuse"), (0, "refuse"), (-1, "refuse")])
def test_a_kubeconfig_lives_no_longer_than_the_operator_allows(days: float, expected: str) -> None:
    assert word(decided("get_cluster_certificate", on=DEV, duration_days=days)) == expected


@pytest.mark.parametrize("days", [None, "1", [1], float("nan")])
def test_a_kubeconfig_without_a_proper_life_is_refused(days: Any) -> None:
    decision = decided("get_cluster_certificate", on=DEV, duration_days=days)
    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, InvalidArguments)
    assert word(decided("get_cluster_certificate", on=DEV)) == "refuse"


def test_an_allow_lengthens_no_kubeconfig() -> None:
    rule = Rule("allow", effects=("secret",))
    assert word(decided("get_cluster_certificate", rule, on=DEV, duration_days=1)) == "allow"
    assert word(decided("get_cluster_certificate", rule, on=DEV, duration_days=2)) == "refuse"


def test_with_consent_switched_off_only_refusals_stay() -> None:
    off = Policy(ask=False)
    assert word(decided("delete_cluster", ASK_COST, on=DEV, policy=off)) == "allow"
    assert word(decided("create_cluster", ASK_COST, policy=off)) == "allow"
    assert word(decided("backup_cluster", DENY_PROD, on=PROD, policy=off)) == "refuse"


UNREADABLE = [
    Facts(),
    Facts(problem="the cluster could not be read: HTTP 503"),
    Facts(BARE, problem="half read"),
    Facts(DEV),
]


@pytest.mark.parametrize("facts", UNREADABLE, ids=["nothing read", "failed", "failed half way", "another cluster"])
@pytest.mark.parametrize("rule", [DENY_PROD, DENY_TAGGED, Rule("ask", clusters=("x",)), ALLOW_DEV])
def test_a_cluster_that_cannot_be_read_is_closed_if_a_rule_goes_by_it(
    facts: Facts, rule: Rule, catalog: Catalog
) -> None:
    decision = decide(catalog["delete_cluster"], {CLUSTER: BARE.id}, facts, Policy(rules=(rule,)))
    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, DeniedByPolicy)
    assert decision.rule == rule
    assert "Nothing was sent" in decision.error.render()


@pytest.mark.parametrize("facts", UNREADABLE)
@pytest.mark.parametrize(
    ("tool", "rule"),
    [
        ("get_cluster", DENY_PROD),
        ("backup_cluster", Rule("deny", tools=("delete_*",), clusters=("*prod*",))),
        ("backup_cluster", ALLOW_DEV),
        ("backup_cluster", Rule("deny", effects=("destroy",), clusters=("*prod*",))),
    ],
)
def test_a_cluster_that_cannot_be_read_hinders_nothing_if_no_rule_could_apply(
    facts: Facts, tool: str, rule: Rule, catalog: Catalog
) -> None:
    assert word(decide(catalog[tool], {CLUSTER: BARE.id}, facts, Policy(rules=(rule,)))) == "allow"


def test_a_plain_deny_is_reported_even_if_the_cluster_cannot_be_read(catalog: Catalog) -> None:
    plain = Rule("deny", tools=("delete_*",), source="p rule 9")
    decision = decide(catalog["delete_cluster"], {CLUSTER: "x"}, Facts(), Policy(rules=(DENY_PROD, plain)))
    assert isinstance(decision, Refuse)
    assert decision.rule == plain


def test_a_call_may_name_its_cluster_by_name_too_but_facts_of_another_do_not_count(catalog: Catalog) -> None:
    policy = Policy(rules=(ALLOW_DEV,))
    for named in ("search-dev", "SEARCH-DEV", DEV.id.upper()):
        assert word(decide(catalog["delete_cluster"], {CLUSTER: named}, Facts(DEV), policy)) == "allow"
    others: list[Any] = ["shop-prod", PROD.id, "", None, 7]
    for other in others:
        assert word(decide(catalog["delete_cluster"], {CLUSTER: other}, Facts(DEV), policy)) == "refuse"


@pytest.mark.parametrize(
    ("tool", "arguments", "rules", "expected"),
    [
        ("add_cluster_tags", {"tags": {"env": "dev"}}, (), "write"),
        ("add_cluster_tags", {"tags": {"env": "dev"}}, (DENY_PROD,), "write"),
        ("add_cluster_tags", {"tags": {"owner": "me"}}, (DENY_TAGGED,), "write"),
        ("add_cluster_tags", {"tags": {"owner": "me", "ENV": "dev"}}, (DENY_TAGGED,), "disrupt"),
        ("add_cluster_tags", {"tags": {"env": "dev"}}, (Rule("allow", tags={"env": "dev"}),), "disrupt"),
        ("add_cluster_tags", {"tags": {"env": "dev"}}, (Rule("ask", tags={"ENV": "x"}),), "disrupt"),
        ("delete_cluster_tags", {"keys": ["env"]}, (DENY_TAGGED,), "destroy"),
        ("update_cluster", {"alias": "prod"}, (), "write"),
        ("update_cluster", {"alias": "prod"}, (DENY_TAGGED,), "write"),
        ("update_cluster", {"alias": "prod"}, (DENY_PROD,), "disrupt"),
        ("update_cluster", {"alias": "prod"}, (ALLOW_DEV,), "disrupt"),
        ("update_cluster", {"description": "x"}, (DENY_PROD,), "write"),
        ("update_cluster", {"eni_subnet_ids": ["x"]}, (), "disrupt"),
        ("create_release", {**RELEASE, "replace": True}, (), "destroy"),
        ("create_release", {**RELEASE, "replace": False}, (), "write"),
    ],
)
def test_changing_what_rules_go_by_is_guarded(
    tool: str, arguments: dict[str, Any], rules: tuple[Rule, ...], expected: str, catalog: Catalog
) -> None:
    assert effect_of(catalog[tool], arguments, Policy(rules=rules)) == expected


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("add_cluster_tags", {"tags": {"trusted": "yes"}}),
        ("delete_cluster_tags", {"keys": ["trusted"]}),
        ("update_cluster", {"alias": "other"}),
    ],
)
def test_an_agent_let_loose_on_a_cluster_cannot_retag_it_into_another_rule(tool: str, given: dict[str, Any]) -> None:
    trusted = Rule("allow", tags={"trusted": "yes"}, effects=("secret",))
    for tools in (("*",), ("**",), ("*_*",)):
        assert word(decided(tool, trusted, replace(ALLOW_DEV, tools=tools), on=DEV, **given)) == "ask"
    assert word(decided(tool, trusted, replace(ALLOW_DEV, tools=(tool,)), on=DEV, **given)) == "allow"


def test_the_calls_that_change_what_rules_go_by_are_all_known(catalog: Catalog) -> None:
    bound = [tool for tool in catalog.values() if CLUSTER in tool.arguments and tool.worst_effect != "read"]
    tags = {tool.id: name for tool in bound for name in ("tags", "keys") if name in tool.arguments}
    assert {each.id: each.changes["cluster_tags"] for each in bound if "cluster_tags" in each.changes} == tags
    alias = {tool.id: "alias" for tool in bound if "alias" in tool.arguments}
    assert {each.id: each.changes["cluster_alias"] for each in bound if "cluster_alias" in each.changes} == alias


@pytest.mark.parametrize(
    ("tool", "arguments", "rules", "expected"),
    [
        ("delete_cluster", {}, (), False),
        ("delete_cluster", {}, (ASK_COST,), False),
        ("delete_cluster", {}, (DENY_PROD,), True),
        ("delete_cluster", {}, (ALLOW_DEV,), True),
        ("get_cluster", {}, (DENY_PROD,), False),
        ("get_cluster", {}, (Rule("deny", tools=("get_*",), clusters=("x",)),), True),
        ("backup_cluster", {}, (ALLOW_DEV,), False),
        ("update_cluster", {"description": "x"}, (ALLOW_DEV,), False),
        ("update_cluster", {"alias": "x"}, (ALLOW_DEV,), True),
        ("update_cluster", {"eni_subnet_ids": ["x"]}, (ALLOW_DEV,), True),
        ("add_cluster_tags", {"tags": {"a": "c"}}, (Rule("ask", effects=("disrupt",), tags={"a": "b"}),), True),
        ("add_cluster_tags", {"tags": {"b": "c"}}, (Rule("ask", effects=("disrupt",), tags={"a": "b"}),), False),
        ("create_release", {"replace": True}, (Rule("ask", effects=("destroy",), tags={"a": "b"}),), True),
        ("create_release", {"replace": False}, (Rule("ask", effects=("destroy",), tags={"a": "b"}),), False),
        ("create_cluster", {}, (DENY_PROD, DENY_TAGGED), False),
        ("upgrade_cluster", {}, (Rule("deny", tools=("delete_*",), clusters=("x",)),), False),
    ],
)
def test_the_cluster_is_read_only_if_a_rule_could_need_it(
    tool: str, arguments: dict[str, Any], rules: tuple[Rule, ...], expected: bool, catalog: Catalog
) -> None:
    assert needs_cluster(catalog[tool], arguments, Policy(rules=rules)) is expected


def test_what_is_read_only_anyway_needs_no_cluster(catalog: Catalog) -> None:
    assert not needs_cluster(catalog["delete_cluster"], {}, Policy(read_only=True, rules=(DENY_PROD,)))


def test_a_tool_outside_the_catalog_is_decided_by_what_it_does(catalog: Catalog) -> None:
    policy = Policy(rules=(Rule("deny", tools=("format_*",)),))
    outcomes: dict[Effect, str] = {"read": "allow", "write": "allow", "disrupt": "ask", "destroy": "ask"}
    for effect, expected in outcomes.items():
        stranger = Subject("k8s_delete", frozenset({effect}), effect)
        assert word(guard.decide(stranger, policy)) == expected
        assert word(guard.decide(replace(stranger, tool="format_cloud"), policy)) == "refuse"
    assert word(guard.decide(Subject("k8s_delete", frozenset(), "read"), policy)) == "refuse"


def test_what_returns_credentials_is_refused_unless_something_says_how_long_they_may_live() -> None:
    silent = Subject("k8s_get", frozenset({"secret"}), "secret")
    decision = guard.decide(silent, Policy())
    assert isinstance(decision, Refuse)
    assert "nothing says how long they may live" in decision.error.render()
    assert word(guard.decide(replace(silent, limits=()), Policy())) == "ask"
    for value, expected in ((1, "ask"), (0, "refuse"), (2, "refuse"), (None, "refuse"), (True, "refuse")):
        limited = replace(silent, limits=(Limit("days", value, "max_kubeconfig_days"),))
        assert word(guard.decide(limited, Policy())) == expected


def test_an_unknown_effect_is_refused_whether_it_is_the_tools_own_or_raised(catalog: Catalog) -> None:
    unknown: Any = "obliterate"
    own = replace(catalog["get_cluster"], effect=unknown)
    raised = replace(catalog["get_cluster"], effect_when=(EffectRule({}, unknown),))
    for tool in (own, raised):
        decision = decide(tool, {}, Facts(), Policy(ask=False, rules=(Rule("allow", effects=(unknown,)),)))
        assert isinstance(decision, Refuse)
        assert "obliterate" in decision.error.render()
        with pytest.raises(CallRefused, match="obliterate"):
            effect_of(tool, {})


def test_a_refusal_names_the_call_the_rule_its_reason_and_who_can_lift_it() -> None:
    decision = decided("delete_cluster", replace(DENY_PROD, reason='Ask "Ops"\nfirst'), on=PROD)
    assert isinstance(decision, Refuse)
    assert decision.error.render() == (
        'Refused by policy: delete_cluster on cluster "shop-prod" is denied by p rule 1 ("Ask \'Ops\' first"). '
        "Nothing was sent. No consent lifts this; only the operator can change the policy."
    )


def test_an_explanation_says_of_each_rule_whether_it_matches_and_why(catalog: Catalog) -> None:
    policy = Policy(rules=(DENY_PROD, DENY_TAGGED, ASK_COST, ALLOW_DEV, Rule("deny", effects=("secret",))))
    arguments = {CLUSTER: DEV.id, **RELEASE, "replace": True}
    explained = explain(catalog["create_release"], arguments, Facts(DEV), policy)
    assert (explained.decision, explained.effect, explained.raised) == (
        Ask("destroy", ASK_COST),
        "destroy",
        "its arguments do that",
    )
    assert explained.because == "p rule 3 asks: it is about create_release with effect write or destroy"
    assert [(each.matches, each.why) for each in explained.verdicts] == [
        (False, "is about clusters of another name and alias"),
        (False, "is about clusters with tag env=prod"),
        (True, "is about create_release with effect write or destroy"),
        (True, 'is about clusters with name "search-dev" (by "*-dev")'),
        (False, "is not about destroy"),
    ]


@pytest.mark.parametrize(
    ("tool", "given", "policy", "because"),
    [
        ("get_cluster", {}, Policy(), "no rule stands against it, and read needs no consent"),
        ("delete_addon", {}, Policy(), "no rule releases it, and destroy needs a person's consent"),
        ("delete_addon", {}, Policy(ask=False), "no rule denies it, and consent is switched off"),
        ("delete_addon", {}, Policy(read_only=True), "this server only reads"),
        ("get_cluster_certificate", {}, Policy(), "duration_days is not within what the operator allows"),
        (
            "delete_addon",
            {},
            Policy(rules=(ALLOW_DEV,)),
            'p rule 4 allows it: it is about clusters with name "search-dev" (by "*-dev")',
        ),
        (
            "delete_addon",
            {},
            Policy(rules=(Rule("deny", clusters=("*dev",), tags={"env": "*"}, source="r"),)),
            'r denies it: it is about clusters with name "search-dev" (by "*dev") and tag env=*',
        ),
        (
            "delete_addon",
            {CLUSTER: "x"},
            Policy(rules=(DENY_PROD,)),
            (
                "p rule 1 goes by the cluster's name or tags, "
                'and what was read is cluster "search-dev", which the call does not name'
            ),
        ),
    ],
)
def test_an_explanation_says_what_decided(
    tool: str, given: dict[str, Any], policy: Policy, because: str, catalog: Catalog
) -> None:
    assert explain(catalog[tool], {CLUSTER: DEV.id, **given}, Facts(DEV), policy).because == because


@pytest.mark.parametrize(
    ("rule", "tool", "given", "why"),
    [
        (ALLOW_DEV, "backup_cluster", {}, "has nothing to release: write needs no consent"),
        (Rule("allow"), "delete_addon", {}, "does not release destroy: its effects do not name it"),
        (
            replace(ALLOW_DEV, tags={"env": "dev"}),
            "add_cluster_tags",
            {"tags": {"env": "prod"}},
            "does not release a change of what rules go by: its tools do not spell out add_cluster_tags",
        ),
        (DENY_PROD, "create_cluster", {}, "is about clusters, and this tool acts on none"),
        (
            Rule("deny", clusters=("st*",)),
            "backup_cluster",
            {},
            'is about clusters with alias "Storefront" (by "st*")',
        ),
        (Rule("allow", effects=("destroy",)), "delete_addon", {}, "is about every tool with effect destroy"),
        (replace(ALLOW_DEV, clusters=("x",)), "delete_addon", {}, "is about clusters of another name"),
    ],
)
def test_a_rule_says_why_it_matches_or_not(
    rule: Rule, tool: str, given: dict[str, Any], why: str, catalog: Catalog
) -> None:
    explained = explain(catalog[tool], {CLUSTER: PROD.id, **given}, Facts(PROD), Policy(rules=(rule,)))
    assert explained.verdicts[0].why == why


def test_a_raise_by_the_rules_themselves_is_explained(catalog: Catalog) -> None:
    arguments = {CLUSTER: DEV.id, "alias": "x"}
    explained = explain(catalog["update_cluster"], arguments, Facts(DEV), Policy(rules=(DENY_PROD,)))
    assert (explained.effect, explained.raised) == ("disrupt", "it changes tags or an alias that rules go by")


def body(**changes: Any) -> dict[str, Any]:
    """What get_cluster answers."""
    metadata = {"uid": DEV.id, "name": "search-dev", "alias": "Search", **changes.pop("metadata", {})}
    tags = changes.pop("tags", [{"key": "env", "value": "dev"}])
    return {"metadata": metadata, "spec": {"clusterTags": tags}, **changes}


def test_the_facts_of_a_cluster_are_its_id_name_alias_and_tags() -> None:
    assert cluster_facts(body()) == ClusterFacts(DEV.id, "search-dev", "Search", {"env": "dev"})
    plain = {"metadata": {"uid": DEV.id, "name": "search-dev"}, "spec": {}}
    assert cluster_facts(plain) == ClusterFacts(DEV.id, "search-dev", "", {})
    assert cluster_facts(body(tags=[{"key": "flag", "value": None}, {"key": "gone"}])).tags == {"flag": "", "gone": ""}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "metadata"),
        ("<html>", "metadata"),
        ({}, "metadata"),
        (body(spec=None), "spec"),
        (body(metadata={"uid": ""}), "id"),
        (body(metadata={"uid": 7}), "id"),
        (body(metadata={"name": None}), "name"),
        (body(metadata={"alias": ["x"]}), "alias"),
        (body(tags="env=prod"), "tags"),
        (body(tags=["env"]), "tags"),
        (body(tags=[{"value": "prod"}]), "key"),
        (body(tags=[{"key": "env", "value": 1}]), "value"),
        (body(tags=[{"key": "env", "value": "dev"}, {"key": "env", "value": "prod"}]), "two values"),
    ],
)
def test_facts_that_cannot_be_read_are_an_error(answer: Any, says: str) -> None:
    with pytest.raises(LookupError, match=says):
        cluster_facts(answer)


FAILED = ServiceError(status=503, operation="get_cluster")
LOST = CloudUnreachable("https://cce.example", "cut", may_have_arrived=False, operation="get_cluster")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "says"), [(FAILED, "HTTP 503"), (LOST, "no answer"), ({"metadata": {}}, "does not report|no spec")]
)
async def test_a_cluster_that_cannot_be_read_is_a_fact_too(answer: Any, says: str) -> None:
    async def read() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    facts = await read_facts(read)
    assert facts.cluster is None
    assert facts.problem is not None
    assert re.search(says, facts.problem)


@pytest.mark.anyio
async def test_a_cluster_that_does_not_exist_is_no_matter_of_policy() -> None:
    async def missing() -> Any:
        raise NotFound(status=404, operation="get_cluster")

    async def there() -> Any:
        return body()

    with pytest.raises(NotFound):
        await read_facts(missing)
    assert (await read_facts(there)).cluster == ClusterFacts(DEV.id, "search-dev", "Search", {"env": "dev"})
