"""Decisions about calls of operations: the subject is made of operation, arguments and facts, as the server does it."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.guard import policy as guard
from ap_mcp.guard.facts import Facts
from ap_mcp.guard.policy import NO_RULES, Decision, Explanation, Policy
from ap_mcp.guard.subject import subject_of
from ap_mcp.specs import Effect, Operation


def decide(operation: Operation, arguments: Mapping[str, Any], facts: Facts, policy: Policy) -> Decision:
    return guard.decide(subject_of(operation, arguments, facts), policy)


def explain(operation: Operation, arguments: Mapping[str, Any], facts: Facts, policy: Policy) -> Explanation:
    return guard.explain(subject_of(operation, arguments, facts), policy)


def effect_of(
    operation: Operation,
    arguments: Mapping[str, Any],
    policy: Policy = NO_RULES,
    seen: Mapping[str, Any] | None = None,
) -> Effect:
    return guard.effect_of(subject_of(operation, arguments, seen=seen), policy)


def needs_cluster(operation: Operation, arguments: Mapping[str, Any], policy: Policy) -> bool:
    return guard.needs_cluster(subject_of(operation, arguments), policy)
