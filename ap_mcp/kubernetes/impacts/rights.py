"""Impacts on rights: who may do what where, in words, and what of it opens everything else; tokens of accounts."""

import json
from collections.abc import Iterator
from typing import Any

from ap_mcp.kubernetes.impacts.notes import Notes, name_of
from ap_mcp.kubernetes.secrets_read import is_account
from ap_mcp.vendor import get, items, mapping, strings, text, word
from ap_mcp.wording import few

EVERYBODY = frozenset({"system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccounts"})
_GRAVE_VERBS = frozenset({"escalate", "bind", "impersonate"})
_GRAVE_RESOURCES = frozenset({"secrets", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy"})
_GRAVE_TO_CREATE = frozenset({"pods", "serviceaccounts/token"})
MOST = 12
LABELS, AGGREGATED = "/metadata/labels", "rbac.authorization.k8s.io/aggregate-to-"
"""Where labels stand, and how those begin that make the rules of one role a part of another."""


async def about_rights(notes: Notes) -> None:
    """Note what a role allows, or what a binding gives to whom."""
    kind, body = notes.change.resource.kind, notes.change.after or notes.change.before
    if kind in ("Role", "ClusterRole"):
        _about_rules(notes, body, "allows")
        _about_aggregation(notes)
    elif kind in ("RoleBinding", "ClusterRoleBinding"):
        await _about_binding(notes, body)
    if notes.change.verb != "delete":
        notes.warnings.append("The cluster does not stop rights beyond the caller's own: the caller is administrator.")


async def about_token(notes: Notes) -> None:
    """Note what a token of a service account opens: every role that is bound to it."""
    change = notes.change
    notes.final = True
    notes.goes.append("a token to a file (mode 0600); whoever has it acts as the account until it expires")
    notes.unknown.append("what other systems that trust the cluster's tokens let it do")
    for audience in strings(_spec(notes), "/audiences"):
        notes.fact("audience", word(audience))
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        bindings = await notes.listed(kind, f"which {kind}s give it rights", "")
        for each in bindings or []:
            if any(is_account(subject, change.namespace, change.name) for subject in items(each, "/subjects")):
                await _about_binding(notes, each)
    if not any(label == "allows" for label, _ in notes.facts):
        notes.fact("allows", "nothing that is bound to it by name")


def _spec(notes: Notes) -> Any:
    call = notes.step.compared
    return get(json.loads(call.body), "/spec") if call is not None and call.body else None


async def _about_binding(notes: Notes, binding: Any) -> None:
    reference = get(binding, "/roleRef")
    kind, role = text(get(reference, "/kind")), text(get(reference, "/name"))
    namespace = text(get(binding, "/metadata/namespace")) or notes.change.namespace
    scope = f"in namespace {word(namespace)}" if "Cluster" not in text(get(binding, "/kind")) and namespace else ""
    for subject in items(binding, "/subjects"):
        name = text(get(subject, "/name"))
        place = f" of namespace {word(get(subject, '/namespace'))}" if get(subject, "/namespace") else ""
        notes.fact("gives", f"{word(kind)} {word(role)} {scope or 'everywhere'} to {word(get(subject, '/kind'))} "
                            f"{word(name)}{place}")  # fmt: skip
        if name in EVERYBODY or name.startswith("system:serviceaccounts:"):
            notes.warnings.append(f"It is for everybody: {word(name)}.")
    if role in {"cluster-admin", "admin"}:
        where = "" if role == "cluster-admin" else " in the namespace"
        notes.warnings.append(f"{word(role)} may do everything{where}.")
    if kind in ("Role", "ClusterRole"):
        place = namespace if kind == "Role" else ""
        body = await notes.got(kind, role, place, f"what {word(kind)} {word(role)} allows")
        if body is not None:
            _about_rules(notes, body, "allows")
            notes.stable.setdefault("roles", []).append([role, text(get(body, "/metadata/resourceVersion"))])


def _about_rules(notes: Notes, role: Any, label: str) -> None:
    rules = items(role, "/rules")
    for rule in rules[:MOST]:
        notes.fact(label, _in_words(rule))
    if len(rules) > MOST:
        notes.fact(label, f"and {len(rules) - MOST} more rules")
    for why in dict.fromkeys(why for rule in rules for why in grave(rule)):
        notes.warnings.append(f"{word(name_of(role))}: {why}.")


def _about_aggregation(notes: Notes) -> None:
    """Note which roles get the rules of a role by its labels, and that a role gets those of others."""
    change = notes.change
    bodies = [each for each in (change.before, change.after) if each is not None]
    labels = {key for each in bodies for key, value in mapping(each, LABELS).items() if value == "true"}
    if into := sorted(each.removeprefix(AGGREGATED) for each in labels if each.startswith(AGGREGATED)):
        names = few([word(each) for each in into])
        notes.warnings.append(f"By its labels, its rules are part of ClusterRole {names}: all who have that have them.")
    if any(get(each, "/aggregationRule") for each in bodies):
        notes.warnings.append("What it allows is what the roles allow that its aggregationRule selects, now and later.")


def _in_words(rule: Any) -> str:
    verbs = few([word(each) for each in strings(rule, "/verbs")], 12)
    paths = strings(rule, "/nonResourceURLs")
    what = few([word(each) for each in (strings(rule, "/resources") or paths)], 12)
    groups = [each or "core" for each in strings(rule, "/apiGroups")]
    of = f" of {few([word(each) for each in groups], 6)}" if groups else ""
    names = strings(rule, "/resourceNames")
    only = f", only {few([word(each) for each in names], 6)}" if names else ""
    return f"{verbs}: {what}{of}{only}"


def grave(rule: Any) -> Iterator[str]:
    """Yield what in a rule of a role opens more than it names."""
    verbs, resources = set(strings(rule, "/verbs")), set(strings(rule, "/resources"))
    if "*" in verbs:
        yield "every verb (*)"
    if "*" in resources:
        yield "every resource (*)"
    for each in sorted(verbs & _GRAVE_VERBS):
        yield f"the verb {each} gives rights beyond its own"
    for each in sorted(resources & _GRAVE_RESOURCES):
        yield f"{each} opens what is in there"
    if verbs & {"create", "*"}:
        for each in sorted(resources & _GRAVE_TO_CREATE):
            yield f"to create {each} is to use any account of the namespace"
