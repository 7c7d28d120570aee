"""Shapes what of a cluster is collected in logs, and the feature gates of the service."""

from typing import Any

from ap_mcp.summaries.base import Observation, Result, summarises
from ap_mcp.summaries.upgrades import FeatureGates
from ap_mcp.vendor import flag, get, items, mapping, number, text, word
from ap_mcp.wording import few, plural


class LogConfig(Result):
    """The logs of a cluster by name."""

    kept_days: int | None = None
    collected: list[str] | None = None
    not_collected: list[str] | None = None


@summarises("log_config", section="log_configs")
def log_config(answer: Observation) -> LogConfig:
    """Say which logs are collected, which are not, and for how long they are kept."""
    logs = items(answer.body, "/log_configs")
    on, off, unknown = (
        [_name(each) for each in logs if flag(get(each, "/enable")) is state] for state in (True, False, None)
    )
    days = number(get(answer.body, "/ttl_in_days"))
    kept = f", kept for {plural(int(days), 'day')}" if days is not None else ""
    missing = f" Not collected: {few([word(each) for each in off])}." if off else ""
    return LogConfig(
        summary=f"{len(on)} of {plural(len(logs), 'log')} collected{kept}.{missing}"
        if on or off or not logs
        else f"{plural(len(logs), 'log')}{kept}.",
        kept_days=int(days) if days is not None else None,
        collected=on if on or not unknown else None,
        not_collected=off if off or not unknown else None,
        warnings=[f"Whether these are collected is not reported: {few(list(map(word, unknown)))}."] if unknown else [],
    )


def _name(log: Any) -> str:
    return text(get(log, "/name")) or "not named"


@summarises("feature_gates", section="spec")
def feature_gates(answer: Observation) -> FeatureGates:
    """Show each feature with its value."""
    gates = mapping(answer.body, "/spec")
    shown = few([f"{word(name)}={word(value)}" for name, value in gates.items()])
    return FeatureGates(summary=f"{plural(len(gates), 'feature gate')}{f': {shown}' if shown else ''}.", gates=gates)
