"""`ap-mcp policy`: what it says about a call on a simulated account, and the template that it prints."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deciding import decide

from ap_mcp.cli import main
from ap_mcp.cli.options import exit_code
from ap_mcp.cli.policy import TEMPLATE
from ap_mcp.errors import DeniedByPolicy
from ap_mcp.guard.facts import ClusterFacts, Facts
from ap_mcp.guard.policy import Ask, Policy
from ap_mcp.guard.policy_file import doubts, parse_rules
from ap_mcp.kubernetes.kinds import other_names
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.simulator.constants import PAYMENTS_PROD
from ap_mcp.specs import CLUSTER, Catalog
from ap_mcp.toolbox import known_to_rules

PROD = ClusterFacts("1", "shop-prod", "Storefront", {"env": "prod"})
TAGGED = ClusterFacts("2", "storefront", "", {"Env": "Production"})
DEV = ClusterFacts("3", "search-dev", "", {"env": "dev"})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what runs `ap-mcp policy` in an empty folder, under the template by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "policy.toml"
    path.write_text(TEMPLATE)
    monkeypatch.setenv("AP_MCP_POLICY_FILE", str(path))
    return lambda *words: CliRunner().invoke(main, ["policy", *words])


def without_comment_signs(text: str) -> str:
    """The template with its suggestions taken: every rule that is commented out made a real one."""
    return re.sub(r"(?m)^# (?=\[\[rules|\w+ = )", "", text)


def decided(text: str, tool: str, on: ClusterFacts | None, catalog: Catalog) -> str:
    policy = Policy(rules=parse_rules(text, "policy.toml"))
    arguments = {CLUSTER: on.id} if on else {}
    return type(decide(catalog[tool], arguments, Facts(on), policy)).__name__.lower()


def test_the_template_is_printed_as_it_is(run: Callable[..., Result]) -> None:
    result = run("template")
    assert (result.exit_code, result.output) == (0, TEMPLATE)


def test_the_template_is_a_policy_without_doubts_as_it_is_and_with_its_suggestions_taken(catalog: Catalog) -> None:
    assert [rule.decision for rule in parse_rules(TEMPLATE, "p")] == ["deny", "deny", "ask"]
    whole = parse_rules(without_comment_signs(TEMPLATE), "p")
    assert [rule.decision for rule in whole] == [*["deny"] * 2, *["ask"] * 2, *["deny"] * 2, "ask", *["allow"] * 2]
    known = known_to_rules(catalog)
    assert doubts(Policy(rules=parse_rules(TEMPLATE, "p")), known, other_names(known_kinds())) == ()
    assert doubts(Policy(rules=whole), known, other_names(known_kinds())) == ()


def test_the_rule_that_makes_production_untouchable_has_at_most_five_lines() -> None:
    first = TEMPLATE.partition("[[rules]]")[2].partition("\n\n")[0]
    assert len(first.splitlines()) <= 5


@pytest.mark.parametrize("cluster", [PROD, TAGGED], ids=["by name", "by tag"])
def test_under_the_template_production_is_only_read(cluster: ClusterFacts, catalog: Catalog) -> None:
    for tool in catalog.values():
        if CLUSTER in tool.arguments and tool.effect != "secret":
            expected = "allow" if tool.effect == "read" else "refuse"
            assert decided(TEMPLATE, tool.id, cluster, catalog) == expected


def test_under_the_template_what_costs_or_runs_code_is_asked_about(catalog: Catalog) -> None:
    assert decided(TEMPLATE, "create_cluster", None, catalog) == "ask"
    for tool in ("install_addon", "create_release", "delete_cluster"):
        assert decided(TEMPLATE, tool, DEV, catalog) == "ask"
    assert decided(TEMPLATE, "backup_cluster", DEV, catalog) == "allow"


def test_the_suggested_rules_let_a_development_cluster_go_but_nothing_else(catalog: Catalog) -> None:
    before, sign, last = TEMPLATE.rpartition("# [[rules]]")
    text = before + without_comment_signs(sign + last)
    assert decided(text, "delete_cluster", DEV, catalog) == "allow"
    assert decided(text, "rollback_addon", DEV, catalog) == "allow"
    assert decided(text, "install_addon", DEV, catalog) == "ask"
    assert decided(text, "delete_cluster", ClusterFacts("4", "sandbox"), catalog) == "ask"
    assert decided(text, "delete_cluster", PROD, catalog) == "refuse"


def test_the_suggested_second_person_is_asked_for_even_where_a_rule_lets_go(catalog: Catalog) -> None:
    policy = Policy(rules=parse_rules(without_comment_signs(TEMPLATE), "p"))
    decision = decide(catalog["delete_cluster"], {CLUSTER: DEV.id}, Facts(DEV), policy)
    assert isinstance(decision, Ask)
    assert decision.other_approver


def test_explain_reads_the_cluster_and_says_which_rule_decides_and_why(run: Callable[..., Result]) -> None:
    result = run("explain", "delete_cluster", "cluster_id=payments", "--simulate")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "delete_cluster: REFUSED",
        'why: policy.toml rule 1 denies it: it is about clusters with name "payments-prod" (by "*prod*")',
        'reason of that rule: "Production is changed by people."',
        "effect: destroy",
        'cluster: "payments-prod", alias "payments", tags env=prod, team=payments',
        (
            'an agent gets: Refused by policy: delete_cluster on cluster "payments-prod" is denied by policy.toml '
            'rule 1 ("Production is changed by people."). Nothing was sent. No consent lifts this; only the operator '
            "can change the policy."
        ),
        "rules:",
        '  policy.toml rule 1 (deny) matches: it is about clusters with name "payments-prod" (by "*prod*")',
        "  policy.toml rule 2 (deny) matches: it is about clusters with tag env=prod*",
        "  policy.toml rule 3 (ask) does not match: it is about other tools",
    ]


def test_explain_says_what_raised_the_effect(run: Callable[..., Result]) -> None:
    result = run("explain", "add_cluster_tags", "cluster_id=search-dev", 'tags={"ENV": "x"}', "--simulate")
    assert result.exit_code == 0
    assert "add_cluster_tags: ASKED, a person must agree (consent by human)" in result.stdout
    assert "effect: disrupt, raised from write: it changes tags or an alias that rules go by" in result.stdout


def test_explain_says_that_a_cluster_is_not_there(run: Callable[..., Result]) -> None:
    unnamed = run("explain", "backup_cluster", "cluster_id=nope", "--simulate")
    assert (unnamed.exit_code, 'No cluster is called "nope"' in unnamed.stderr) == (2, True)
    gone = PAYMENTS_PROD[:-4] + "ffff"
    assert run("explain", "backup_cluster", f"cluster_id={gone}", "--simulate").exit_code == 5


def test_explain_reads_nothing_where_no_rule_goes_by_the_cluster(run: Callable[..., Result]) -> None:
    result = run("explain", "get_cluster", "cluster_id=anything")
    assert result.exit_code == 0
    assert result.stdout.startswith("get_cluster: ALLOWED\nwhy: no rule stands against it, and read needs no consent\n")
    assert "\ncluster:" not in result.stdout


def test_explain_needs_only_the_arguments_that_matter(run: Callable[..., Result]) -> None:
    result = run("explain", "create_cluster", "--confirm", "deny")
    assert result.exit_code == 0
    assert "create_cluster: ASKED, a person must agree (which AP_MCP_CONFIRM=deny never takes)" in result.stdout
    unnamed = run("explain", "create_release", "replace=true")
    assert (
        "why: policy.toml rule 1 goes by the cluster's name or tags, and the call has no cluster_id" in unnamed.stdout
    )
    assert "effect: destroy, raised from write: its arguments do that" in unnamed.stdout
    assert "policy.toml rule 1 (deny) unclear: it goes by" in unnamed.stdout


def test_explain_refuses_arguments_that_no_call_could_have(run: Callable[..., Result]) -> None:
    result = run("explain", "create_release", "replcae=true", "replace=1")
    assert result.exit_code == 2
    assert "replcae: is no argument of create_release; did you mean replace?" in result.stderr
    assert "replace: must be a boolean" in result.stderr
    tool = run("explain", "delete_clustre")
    assert (tool.exit_code, "Did you mean delete_cluster" in tool.stderr) == (2, True)


def test_explain_says_when_the_server_would_not_even_offer_the_tool(run: Callable[..., Result]) -> None:
    result = run("explain", "delete_chart", "--read-only")
    assert result.stdout.startswith("delete_chart: REFUSED\nwhy: this server only reads\n")
    assert "the server does not offer this tool: toolsets or read-only leave it out" in result.stdout


INSIDE = """rules = [
  { decision = "deny", namespaces = ["kube-*"] },
  { decision = "deny", kinds = ["Secret"], effects = ["read", "destroy"] },
  { decision = "allow", clusters = ["*"], namespaces = ["shop"], effects = ["disrupt"] },
]"""
MANIFEST = """apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: kube-system}
"""


@pytest.mark.parametrize(
    ("call", "outcome", "says"),
    [
        (("k8s_delete", "kind=deploy", "name=a", "namespace=shop"), "ASKED", "objects: Deployment.apps a in namespace"),
        (("k8s_delete", "kind=deploy", "name=a", "namespace=shop"), "ASKED", "effect: destroy"),
        (("k8s_delete", "kind=deploy", "name=a", "namespace=kube-system"), "REFUSED", "(deny) matches: it is about"),
        (("k8s_delete", "kind=ns", "name=kube-public"), "REFUSED", "objects: Namespace kube-public"),
        (("k8s_delete", "kind=po", "name=a", "namespace=shop"), "ALLOWED", "if what changes is destroy: ASKED, a"),
        (("k8s_delete", "kind=widgets.example.com", "name=a"), "ASKED", "effect: destroy"),
        (("k8s_scale", "name=a", "namespace=shop", "replicas=0"), "ALLOWED", "if what changes is disrupt: ALLOWED"),
        (("k8s_scale", "name=a", "namespace=shop", "replicas=0"), "ALLOWED", "objects: Deployment.apps a in namespace"),
        (("k8s_get", "kind=secrets", "name=a"), "REFUSED", "objects: Secret a in namespace default"),
        (("k8s_list", "kind=secret"), "REFUSED", "objects: every Secret"),
        (("k8s_list", "kind=pods", "namespace=shop"), "ALLOWED", "effect: read"),
        (("k8s_list", "kind=pods"), "ALLOWED", "every Pod"),
        (("k8s_apply", f"manifest={MANIFEST}"), "REFUSED", "ConfigMap b in namespace kube-system"),
        (("k8s_patch", "kind=secret", "name=a", "namespace=shop"), "ALLOWED", "if what changes is destroy: REFUSED"),
    ],
    ids=lambda each: " ".join(each[:3])[:60] if isinstance(each, tuple) else "",
)
def test_explain_says_what_rules_do_to_a_call_inside_a_cluster_and_sends_nothing(
    run: Callable[..., Result], tmp_path: Path, call: tuple[str, ...], outcome: str, says: str
) -> None:
    (tmp_path / "policy.toml").write_text(INSIDE)
    result = run("explain", call[0], "cluster_id=search-dev", *call[1:], "--simulate")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{call[0]}: {outcome}")
    assert says in result.stdout


def test_explain_takes_another_file_and_doubts_its_rules(run: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text('rules = [{ decision = "ask", effects = ["write"], approver = "other" }, { decision = "allow" }]')
    result = run("explain", "create_cluster", "--policy-file", str(path))
    assert "create_cluster: ASKED, somebody other than the requester must agree" in result.stdout
    assert "warning: new.toml rule 2 changes nothing" in result.stdout


def test_explain_without_a_policy_says_how_to_start_one(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AP_MCP_POLICY_FILE")
    result = run("explain", "create_cluster")
    assert "rules: none, no policy file is set; `ap-mcp policy template` prints one to start from" in result.stdout


def test_a_wrong_policy_is_a_settings_error_that_names_every_mistake(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text('[[rules]]\ndecision = "no"\nclusters = []\n')
    result = run("explain", "create_cluster")
    assert result.exit_code == 2
    assert "rule 1: decision" in result.stderr
    assert "rule 1: clusters" in result.stderr


def test_a_refusal_by_policy_has_the_exit_code_of_one() -> None:
    assert exit_code(DeniedByPolicy("delete_cluster", "is denied", "")) == 4
