"""What a policy file may hold; every mistake in it is reported at once, and none is guessed around."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ap_mcp.errors import SettingsError
from ap_mcp.guard.policy import Policy, Rule
from ap_mcp.guard.policy_file import doubts, load_policy, parse_rules
from ap_mcp.kubernetes.kinds import other_names
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.specs import Catalog
from ap_mcp.toolbox import known_to_rules


@dataclass(frozen=True)
class Limits:
    """Settings, as far as a policy wants them."""

    read_only: bool = False
    max_kubeconfig_days: int = 1


def reported(text: str) -> list[str]:
    """Return the mistakes that are reported about a policy's text."""
    with pytest.raises(SettingsError) as caught:
        parse_rules(text, "p.toml")
    first, *mistakes, last = str(caught.value).splitlines()
    assert first == "Wrong policy in p.toml:"
    assert "ap-mcp policy template" in last
    return [mistake.removeprefix("- ") for mistake in mistakes]


def rule(lines: str) -> str:
    return f"[[rules]]\n{lines}\n"


OF_OBJECTS = ("namespaces", "kinds", "names")
KEYS = ("decision", "tools", "clusters", "tags", "effects", *OF_OBJECTS, "profiles", "approver", "reason")
DENY = 'decision = "deny"\n'

WHOLE = """
[[rules]]
decision = "ask"
tools = ["delete_*", "Upgrade_Cluster"]
clusters = ["*-prod"]
tags = { env = "prod*", flag = "" }
effects = ["destroy"]
approver = "other"
reason = " Two people. "
[[rules]]
decision = "deny"
"""


def test_a_file_becomes_rules_that_know_where_they_stand() -> None:
    assert parse_rules(WHOLE, "p.toml") == (
        Rule(
            decision="ask",
            tools=("delete_*", "upgrade_cluster"),
            clusters=("*-prod",),
            tags={"env": "prod*", "flag": ""},
            effects=("destroy",),
            approver="other",
            reason="Two people.",
            source="p.toml rule 1",
        ),
        Rule("deny", source="p.toml rule 2"),
    )


def test_five_lines_in_the_short_form_do_too() -> None:
    text = 'rules = [\n  { decision = "deny", clusters = ["*prod*"] },\n  { decision = "deny", tags.env = "prod*" },\n]'
    assert [each.clusters or dict(each.tags) for each in parse_rules(text, "p")] == [("*prod*",), {"env": "prod*"}]


def test_a_policy_takes_its_limits_from_the_settings(tmp_path: Path) -> None:
    assert load_policy(None, Limits()) == Policy()
    path = tmp_path / "mine.toml"
    path.write_text(rule(DENY))
    limits = Limits(read_only=True, max_kubeconfig_days=9)
    expected = Policy(read_only=True, max_kubeconfig_days=9, rules=(Rule("deny", source="mine.toml rule 1"),))
    assert load_policy(path, limits) == expected


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_policy(tmp_path / "none.toml", Limits())
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_policy(binary, Limits())


@pytest.mark.parametrize("text", ["", "# nothing\n", "rules = []", "[rules]\ndecision = 'deny'", "rules = ['deny']"])
def test_a_file_without_rules_is_a_mistake(text: str) -> None:
    assert reported(text) == ["it holds no rules: start each with a line [[rules]]"]


@pytest.mark.parametrize(
    "text",
    [
        rule(DENY + DENY),
        rule(DENY + "tags = { env = 'a', env = 'b' }"),
        rule(DENY + "tags.env = 'a'\ntags.env = 'b'"),
        "[[rules]\n",
        rule("decision = deny"),
    ],
)
def test_broken_toml_and_keys_given_twice_are_reported_with_their_line(text: str) -> None:
    (mistake,) = reported(text)
    assert mistake.startswith("it is no valid TOML: ")
    assert "line" in mistake


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        ("reason = 'x'", "decision is missing: one of deny, ask, allow"),
        ("decision = 'forbid'", "decision must be one of deny, ask, allow"),
        ("decision = ['deny']", "decision must be one of deny, ask, allow"),
        ("decision = true", "decision must be one of deny, ask, allow"),
        (DENY + "cluster = ['x']", '"cluster" is unknown; did you mean clusters?'),
        (
            DENY + "zone = 'x'",
            f'"zone" is unknown; known: {", ".join(KEYS)}',
        ),
        (DENY + "tools = []", 'tools must be a list of texts that is not empty, like ["delete_*"]'),
        (DENY + "tools = 'delete_*'", 'tools must be a list of texts that is not empty, like ["delete_*"]'),
        (DENY + "tools = [1]", 'tools must be a list of texts that is not empty, like ["delete_*"]'),
        (DENY + "clusters = []", 'clusters must be a list of texts that is not empty, like ["prod-*"]'),
        (DENY + "clusters = {a = 'b'}", 'clusters must be a list of texts that is not empty, like ["prod-*"]'),
        (DENY + "effects = []", 'effects must be a list of texts that is not empty, like ["destroy"]'),
        (DENY + "effects = ['delete']", "effects must be one of read, write, disrupt, destroy, secret"),
        (DENY + "tags = {}", 'tags must be a table of keys and values that is not empty, like { env = "prod*" }'),
        (DENY + "tags = ['env']", 'tags must be a table of keys and values that is not empty, like { env = "prod*" }'),
        (
            DENY + "tags = { tier = 1 }",
            'tags must have texts as values, like { env = "prod*" }; the one of "tier" is none',
        ),
        (
            DENY + "tags = { app.name = 'x' }",
            'tags must have texts as values, like { env = "prod*" }; the one of "app" is none',
        ),
        (DENY + "tags = { env = 'a', ENV = 'b' }", "tags has keys that differ in upper and lower case only"),
        (DENY + "approver = 'other'", 'approver goes with decision = "ask" only'),
        ("decision = 'ask'\napprover = 'alice'", "approver must be one of any, other"),
        (DENY + "reason = ''", "reason must be a text of 1 to 300 characters"),
        (DENY + "reason = 1", "reason must be a text of 1 to 300 characters"),
        (
            DENY + "clusters = ['11111111-0000-0000-0000-00000000000A']",
            "clusters holds an id; rules go by name or alias",
        ),
        (
            DENY + "tools = ['delete_clsuter']",
            'tools names "delete_clsuter", which is no tool; did you mean delete_cluster?',
        ),
        (DENY + "tools = ['x']", 'tools names "x", which is no tool; see ap-mcp tools'),
        (
            DENY + "clusters = ['[prod']",
            'clusters holds "[prod", which has a [ without its ]; [[] stands for the character',
        ),
        (
            DENY + "tools = ['*']",
            (
                'tools = ["*"] leaves open whether reading is meant: leave tools out for every effect but read, '
                'or add effects = ["read", "write", "disrupt", "destroy", "secret"] for all'
            ),
        ),
    ],
)
def test_a_mistake_is_reported_with_what_would_be_right(lines: str, mistake: str) -> None:
    assert reported(rule(lines)) == [f"rule 1: {mistake}"]


@pytest.mark.parametrize("glob", ["", " ", "prod ", " prod", "pr\\u200bod", "pr\\nod", "\\u202eprod"])
@pytest.mark.parametrize("key", ["clusters", "tools"])
def test_globs_that_are_never_meant_are_mistakes(key: str, glob: str) -> None:
    (mistake,) = reported(rule(f'{DENY}{key} = ["{glob}"]'))
    assert f"rule 1: {key} holds " in mistake


def test_tags_that_are_never_meant_are_mistakes_too() -> None:
    assert "tags holds" in reported(rule(f'{DENY}tags = {{ " env" = "x" }}'))[0]
    assert "tags holds" in reported(rule(f'{DENY}tags = {{ env = "x " }}'))[0]


@pytest.mark.parametrize("decision", ["deny", "ask", "allow"])
@pytest.mark.parametrize("stars", ["*", "**", "get_cluster', '*"])
def test_every_tool_is_said_by_leaving_tools_out_or_by_effects(decision: str, stars: str) -> None:
    text = rule(f"decision = '{decision}'\ntools = ['{stars}']\n")
    assert "leaves open whether reading is meant" in reported(text)[0]
    assert parse_rules(text + "effects = ['read']", "p")[0].effects == ("read",)


@pytest.mark.parametrize("key", ["read_only", "toolsets", "confirm", "max_kubeconfig_days"])
def test_a_setting_in_the_policy_is_reported_with_its_place(key: str) -> None:
    assert reported(f"{key} = 1\n{rule(DENY)}") == [
        f"{key} is a setting, not part of a policy: AP_MCP_{key.upper()}, or ap-mcp.toml"
    ]


def test_every_mistake_of_every_rule_is_reported_at_once() -> None:
    text = "[[rule]]\n" + rule("tools = []\neffects = ['x']") + rule(DENY) + rule("decision = 'no'\nfoo = 1")
    assert [mistake.split(" must")[0].split(" is")[0] for mistake in reported(text)] == [
        '"rule"',
        "rule 1: tools",
        "rule 1: effects",
        "rule 1: decision",
        "rule 3: decision",
        'rule 3: "foo"',
    ]


@pytest.mark.parametrize(
    ("doubted", "says"),
    [
        (Rule("deny", tools=("k8s_*",)), "never matches: its tools fit no tool"),
        (Rule("deny", tools=("*_chart",), clusters=("*",)), "never matches: it is about clusters"),
        (Rule("deny", tools=("get_*",), effects=("destroy",)), "never matches: none of its tools has such an effect"),
        (
            Rule("deny", tools=("*_chart", "get_cluster"), clusters=("x",), effects=("destroy",)),
            "never matches: none of its tools has such an effect",
        ),
        (Rule("allow"), "changes nothing: an allow releases only what its effects name, of disrupt, destroy, secret"),
        (Rule("allow", tools=("create_cluster",), effects=("write",)), "changes nothing"),
        (Rule("allow", tools=("create_cluster",), effects=("destroy",)), "never matches: none of its tools has"),
        (Rule("allow", effects=("destroy", "disrupt")), "releases disrupt and destroy on every cluster"),
        (Rule("allow", clusters=("x", "**"), effects=("secret",)), "releases secret on every cluster"),
    ],
)
def test_a_rule_that_cannot_matter_or_lets_much_go_is_doubted(doubted: Rule, says: str) -> None:
    (doubt,) = doubts(Policy(rules=(doubted,)))
    assert doubt.startswith(f"a rule {says}")


@pytest.mark.parametrize(
    "sound",
    [
        Rule("deny", clusters=("*prod*",)),
        Rule("deny"),
        Rule("deny", tools=("*_cluster*",), clusters=("*",)),
        Rule("ask", tools=("create_release",), effects=("destroy",)),
        Rule("ask", tools=("add_cluster_tags",), tags={"env": "*"}, effects=("disrupt",)),
        Rule("allow", clusters=("dev-*",), effects=("destroy",)),
        Rule("allow", clusters=("*",), tags={"env": "dev"}, effects=("destroy",)),
        Rule("allow", tools=("delete_chart",), effects=("destroy",)),
    ],
)
def test_a_sound_rule_is_not_doubted(sound: Rule) -> None:
    assert doubts(Policy(rules=(sound,))) == ()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"decision": "deny", "tools": ["create_*"], "namespaces": ["shop"]}, "never matches: it is about objects"),
        ({"decision": "deny", "tools": ["delete_cluster"], "kinds": ["Secret"]}, "never matches: it is about objects"),
        ({"decision": "deny", "tools": ["delete_release"], "names": ["x"]}, "never matches: it is about objects"),
        ({"decision": "deny", "tools": ["k8s_get"], "names": ["x"], "effects": ["destroy"]}, "never matches: none of"),
        ({"decision": "allow", "kinds": ["Pod"], "clusters": ["dev-*"], "effects": ["disrupt"]}, "releases disrupt in"),
        (
            {"decision": "allow", "namespaces": ["*"], "clusters": ["dev-*"], "effects": ["destroy"]},
            "releases destroy in kube-system too",
        ),
        ({"decision": "allow", "namespaces": ["a"], "effects": ["destroy"]}, "releases destroy on every cluster"),
        (
            {"decision": "deny", "kinds": ["secrets"]},
            'reaches no Secret: kinds go by their own names, "Secret" and not',
        ),
        ({"decision": "ask", "kinds": ["Deploy.apps"]}, "reaches no Deployment"),
        ({"decision": "deny", "tools": ["get_chart"], "clusters": ["*"]}, "never matches: it is about clusters"),
    ],
)
def test_a_rule_about_objects_that_cannot_matter_or_lets_much_go_is_doubted(
    rule: dict[str, Any], says: str, catalog: Catalog
) -> None:
    lists: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in rule.items()}
    (doubt,) = doubts(Policy(rules=(Rule(**lists),)), known_to_rules(catalog), other_names(known_kinds()))
    assert doubt.startswith(f"a rule {says}")


def test_a_sound_rule_about_objects_or_a_read_of_a_cluster_is_not_doubted(catalog: Catalog) -> None:
    rules = (
        Rule("deny", namespaces=("kube-*",)),
        Rule("deny", kinds=("Secret", "*.example.com"), effects=("read",)),
        Rule("ask", tools=("k8s_*",), names=("*-prod",)),
        Rule("deny", tools=("get_release", "wait_for", "list_problems"), namespaces=("pay",)),
        Rule("allow", clusters=("dev",), namespaces=("scratch-*",), effects=("disrupt",)),
        Rule("allow", clusters=("dev",), namespaces=("kube-system",), effects=("disrupt",)),
        *(Rule("deny", tools=(tool,), clusters=("*prod*",)) for tool in ("k8s_logs", "wait_for", "assess_upgrade")),
    )
    assert doubts(Policy(rules=rules), known_to_rules(catalog), other_names(known_kinds())) == ()


def test_rules_may_name_any_tool_and_are_doubted_by_what_calls_of_it_can_be(catalog: Catalog) -> None:
    known = known_to_rules(catalog)
    for tool in ("wait_for", "assess_upgrade", "wait_*", "delete_cluster"):
        rules = parse_rules(f'[[rules]]\ndecision = "deny"\ntools = ["{tool}"]\n', "p", known)
        assert doubts(Policy(rules=rules), known) == ()
    with pytest.raises(SettingsError, match="did you mean wait_for"):
        parse_rules('[[rules]]\ndecision = "deny"\ntools = ["wait_fro"]\n', "p", known)
