"""Shapes what of a cluster is collected in logs, and the feature gates of the service."""

from pydantic import Field

from ap_mcp.summaries.base import Observation, Result, summarises
from ap_mcp.summaries.upgrades import FeatureGates
from ap_mcp.vendor import flag, get, items, mapping, number, text, word
from ap_mcp.wording import few, plural


class LogConfig(Result):
    """The logs of a cluster by name."""

    kept_days: int | None = None
    collected: list[str] = Field(default_factory=list)
    not_collected: list[str] = Field(default_factory=list)


@summarises("log_config")
def log_config(answer: Observation) -> LogConfig:
    """Say which logs are collected, which are not, and for how long they are kept."""
    logs = items(answer.body, "/log_configs")
    on = [text(get(each, "/name")) for each in logs if flag(get(each, "/enable")) is True]
    off = [text(get(each, "/name")) for each in logs if flag(get(each, "/enable")) is not True]
    days = number(get(answer.body, "/ttl_in_days"))
    kept = f", kept for {plural(int(days), 'day')}" if days is not None else ""
    missing = f" Not collected: {few([word(each) for each in off])}." if off else ""
    return LogConfig(
        summary=f"{len(on)} of {plural(len(logs), 'log')} collected{kept}.{missing}",
        kept_days=int(days) if days is not None else None,
        collected=on,
        not_collected=off,
    )


@summarises("feature_gates")
def feature_gates(answer: Observation) -> FeatureGates:
    """Show each feature with its value."""
    gates = mapping(answer.body, "/spec")
    shown = few([f"{word(name)}={word(value)}" for name, value in gates.items()])
    return FeatureGates(summary=f"{plural(len(gates), 'feature gate')}{f': {shown}' if shown else ''}.", gates=gates)
