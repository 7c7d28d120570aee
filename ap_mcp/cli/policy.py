"""`ap-mcp policy`: what the operator's rules do, and a policy to start from."""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import exits, log_to_stderr, pairs_argument, settings_options, speed_option, tool_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ap_mcp.guard.facts import ClusterFacts
    from ap_mcp.guard.policy import Explanation, Policy, Verdict
    from ap_mcp.guard.subject import Objects, Subject
    from ap_mcp.plans import Tool
    from ap_mcp.server import Autopilot

TEMPLATE = """\
# What agents may do. Name this file in AP_MCP_POLICY_FILE, or as policy_file in ap-mcp.toml.
#
# deny beats ask beats allow, in whatever order the rules stand. Without a rule, reading and writing are allowed;
# what interrupts, destroys or hands out credentials is asked about.
#
# A rule matches a call that fits everything it names:
#   tools     globs of tool names; `ap-mcp tools` lists them
#   clusters  globs of cluster names; deny and ask match the alias too, allow never does
#   tags      keys that the cluster has, each with a glob for its value; allow takes them to the letter
#   effects   read, write, disrupt, destroy, secret. Left out: every one if the rule names tools, else all but read.
#             An allow releases only those of disrupt, destroy and secret that it names.
#   namespaces, kinds, names  globs of objects inside clusters: the namespace they are in (a Namespace counts by its own
#             name), their kind as in a manifest ("Secret", "Deployment", "*.rbac.authorization.k8s.io"), their name.
#             What is in no namespace, or all of a kind, fits every namespace for deny and ask, and none for allow.
#             Such rules reach the k8s_ tools and the waits and problems inside a cluster, nothing else.
#   profiles  globs of profiles of ap-mcp.toml: the rule is about calls that go to one of these
#   approver  with ask: "other" wants a signature under another name than the requester's; README says what it proves
#   reason    shown to the one who is refused or asked
#
# Rules with clusters or tags do not reach tools that act on no cluster, such as create_cluster. If one could apply
# and the cluster cannot be read, the call is refused. Upper and lower case make no difference to deny and ask, nor
# in names; letters that only look similar do.
#
# `ap-mcp policy explain TOOL KEY=VALUE ...` says which rule decides and why.

# Production is untouchable: nothing but reading, even with consent. ("nonprod" would be closed too: mind your names.)
[[rules]]
decision = "deny"
clusters = ["*prod*"]
reason = "Production is changed by people."

# The same for clusters that are known by a tag.
[[rules]]
decision = "deny"
tags = { env = "prod*" }
reason = "Production is changed by people."

# A person is asked before something costs money or runs code.
[[rules]]
decision = "ask"
tools = ["create_cluster", "install_addon", "create_release"]
reason = "It costs money or runs code."

# A signature under another name than the requester's is wanted for what cannot be undone. Remove the # to use this.
# [[rules]]
# decision = "ask"
# effects = ["destroy"]
# approver = "other"

# Kubernetes' own namespaces are left alone, and nobody reads a Secret, masked or not. Remove the # to use this.
# [[rules]]
# decision = "deny"
# namespaces = ["kube-*"]
# [[rules]]
# decision = "deny"
# kinds = ["Secret"]
# effects = ["read", "write", "disrupt", "destroy", "secret"]

# A person is asked before an agent changes anything in namespaces of production. Remove the # to use this.
# [[rules]]
# decision = "ask"
# namespaces = ["prod-*"]

# In namespaces of its own an agent may interrupt what runs. Remove the # to use this.
# [[rules]]
# decision = "allow"
# clusters = ["dev-*"]
# namespaces = ["scratch-*"]
# effects = ["disrupt"]

# Development clusters are released: no person is asked, unless a rule above asks. Remove the # to use this.
# [[rules]]
# decision = "allow"
# clusters = ["dev-*", "*-dev"]
# effects = ["disrupt", "destroy"]
"""


@click.group()
def policy() -> None:
    """See what the rules of the policy file do."""


@policy.command()
def template() -> None:
    """Print a policy to start from, with comments."""
    click.echo(TEMPLATE, nl=False)


@policy.command(short_help="Say what would be decided about a call, by which rule and why.")
@tool_argument()
@pairs_argument()
@click.option("--policy-file", metavar="FILE", help="This file in place of AP_MCP_POLICY_FILE.")
@click.option("--simulate", is_flag=True, help="Read the clusters of the simulator.")
@click.option("--state", type=click.Path(dir_okay=False), help="Where it keeps its account, if not in the usual file.")
@speed_option()
@settings_options("profile", "toolsets", "read_only", "confirm")
@exits
def explain(tool: str, pairs: tuple[str, ...], **options: Any) -> None:
    """Say what would be decided about a call of TOOL, by which rule and why; the call itself is not made.

    Arguments that do not matter may be left out. A cluster is read if a rule goes by its name or tags; inside it
    nothing is read, so a change there is judged by the least that its arguments tell.
    """
    from functools import partial

    import anyio

    anyio.run(partial(_explain, tool, pairs, **options))


async def _explain(
    tool: str, pairs: tuple[str, ...], *, simulate: bool, state: str | None, speed: float | None, **flags: Any
) -> None:
    from ap_mcp.cli.call import chosen_autopilot, typed_arguments
    from ap_mcp.guard import policy as guard
    from ap_mcp.guard.policy_file import load_policy
    from ap_mcp.toolbox import known_to_rules

    with ExitStack() as stack:
        autopilot = chosen_autopilot(stack, simulate=simulate, state=state, speed=speed, **flags)
        log_to_stderr(autopilot.settings.log_level, autopilot.settings.log_format)
        async with autopilot:
            found = _find(autopilot, tool)
            arguments = _checked(found, typed_arguments(found.input_schema["properties"], pairs, {}))
            known = known_to_rules(autopilot.catalog)
            asking = load_policy(autopilot.settings.policy_file, autopilot.settings, known)
            rules = autopilot.cloud.policy(asking)
            subject = await _subject(autopilot, found, arguments, rules)
            explanation = guard.explain(subject, rules)
        click.echo("\n".join(_lines(autopilot, rules, subject, explanation)))


def _find(autopilot: "Autopilot", name: str) -> "Tool":
    """Return a tool, also one that the toolsets or read-only leave out: the rules hold for it too."""
    from ap_mcp.toolbox import toolbox

    return toolbox(autopilot.catalog).find(name)


def _checked(tool: "Tool", arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as they are meant; wrong ones are refused, missing ones matter only if a rule wants them."""
    from ap_mcp.arguments import check_against

    schema = {key: value for key, value in tool.input_schema.items() if key != "required"}
    return check_against(tool.name, schema, arguments)


async def _subject(autopilot: "Autopilot", tool: "Tool", arguments: dict[str, Any], rules: "Policy") -> "Subject":
    """Return the call as rules see it; its cluster, however it is named, is read if a rule goes by its name or tags."""
    from ap_mcp.guard.policy import needs_cluster
    from ap_mcp.guard.subject import with_facts
    from ap_mcp.kubernetes.foreseen import foreseen, graver
    from ap_mcp.specs import CLUSTER

    subject = foreseen(tool.subject(arguments), arguments)
    any_effect = replace(subject, effects=subject.effects.union(graver(subject)))
    if CLUSTER not in arguments or not needs_cluster(any_effect, rules):
        return subject
    reads = autopilot.reads(autopilot.view())
    named = (await reads.resolve({CLUSTER: arguments[CLUSTER]}))[CLUSTER]
    return with_facts(subject, named, await reads.facts(named))


def _lines(autopilot: "Autopilot", rules: "Policy", subject: "Subject", explanation: "Explanation") -> "list[str]":
    from ap_mcp.guard.policy import Refuse
    from ap_mcp.guard.policy_file import doubts
    from ap_mcp.kubernetes.kinds import other_names
    from ap_mcp.kubernetes.spec import known_kinds
    from ap_mcp.toolbox import known_to_rules
    from ap_mcp.wording import in_quotes

    lines = [f"{subject.tool}: {_outcome(explanation, autopilot.settings.confirm)}", f"why: {explanation.because}"]
    lines += [f"profile: {autopilot.cloud.profile}"] if autopilot.cloud.profile else []
    raised = f", raised from {subject.stated}: {explanation.raised}" if explanation.raised else ""
    reason = getattr(getattr(explanation.decision, "rule", None), "reason", "")
    lines += [f"reason of that rule: {in_quotes(reason)}"] if reason else []
    lines += [f"effect: {explanation.effect}{raised}"] if explanation.effect else []
    lines += list(_if_graver(autopilot, rules, subject))
    lines += [f"cluster: {_cluster(subject.cluster)}"] if subject.cluster else []
    lines += [f"objects: {', '.join(map(_object, subject.objects))}"] if subject.objects else []
    if isinstance(explanation.decision, Refuse):
        lines.append(f"an agent gets: {explanation.decision.error.render()}")
    if subject.tool not in autopilot.view().toolbox.tools:
        lines.append("the server does not offer this tool: toolsets or read-only leave it out")
    if not explanation.verdicts:
        lines.append("rules: none, no policy file is set; `ap-mcp policy template` prints one to start from")
    else:
        lines += ["rules:", *(f"  {_verdict(each)}" for each in explanation.verdicts)]
    known, names = known_to_rules(autopilot.catalog), other_names(known_kinds())
    return lines + [f"warning: {doubt}" for doubt in doubts(rules, known, names, autopilot.clouds)]


def _if_graver(autopilot: "Autopilot", rules: "Policy", subject: "Subject") -> "Iterator[str]":
    """Say what would be decided about a change in a cluster that turns out to be graver than its arguments tell."""
    from ap_mcp.guard import policy as guard
    from ap_mcp.kubernetes.foreseen import graver

    for effect in graver(subject):
        found = guard.explain(replace(subject, effects=subject.effects | {effect}), rules)
        yield f"if what changes is {effect}: {_outcome(found, autopilot.settings.confirm)}, {found.because}"


def _object(objects: "Objects") -> str:
    from ap_mcp.vendor import word

    where = f" in namespace {word(objects.namespace)}" if objects.namespace else ""
    return f"{word(objects.kind)} {word(objects.name)}{where}" if objects.name else f"every {word(objects.kind)}{where}"


def _outcome(explanation: "Explanation", confirm: str) -> str:
    from ap_mcp.guard.policy import Allow, Ask

    decision = explanation.decision
    if isinstance(decision, Allow):
        return "ALLOWED"
    if isinstance(decision, Ask):
        who = "somebody other than the requester" if decision.other_approver else "a person"
        how = "which AP_MCP_CONFIRM=deny never takes" if confirm == "deny" else f"consent by {confirm}"
        return f"ASKED, {who} must agree ({how})"
    return "REFUSED"


def _verdict(verdict: "Verdict") -> str:
    matches = {True: "matches", False: "does not match", None: "unclear"}[verdict.matches]
    return f"{verdict.rule.source} ({verdict.rule.decision}) {matches}: it {verdict.why}"


def _cluster(cluster: "ClusterFacts") -> str:
    from ap_mcp.vendor import word
    from ap_mcp.wording import in_quotes

    tags = ", ".join(f"{word(key)}={word(value)}" for key, value in cluster.tags.items())
    return f"{in_quotes(cluster.name)}, alias {in_quotes(cluster.alias)}, tags {tags or 'none'}"
