"""What is tried again and again while time passes: brought up to date when somebody asks, not by events.

A world that was left alone for weeks would otherwise have to catch up with every restart of every container.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.kubernetes.autoscalers import AUTOSCALER, EVERY_SECONDS, autoscaler_changed
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.pod_outcomes import tries
from ap_mcp.simulator.kubernetes.pods import is_active, is_ready, try_again
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

TABLE = "kubernetes_retries"
"""Rows by cluster: when it was brought up to date last."""

EVERY = timedelta(seconds=10)
EVENTS_LIVE = timedelta(hours=1)
PROBE_SECONDS = 10
_EVERY_SECONDS = {"FailedGetResourceMetric": EVERY_SECONDS, "Unhealthy": PROBE_SECONDS}
"""How often what a warning says happens again, where that is not less and less often."""


def bring_up_to_date(store: Store) -> None:
    """Try again what failed, count what was tried in the meantime, and forget events that are too old."""
    world, row = store.world, store.world.table(TABLE).setdefault(store.cluster_id, {})
    if "at" in row and world.now() - parse_timestamp(row["at"]) < EVERY:
        return
    row["at"] = world.iso_timestamp()
    for pod in store.named("Pod"):
        if is_active(pod) and not is_ready(pod):
            try_again(store, pod)
    for each in store.named(*AUTOSCALER):
        autoscaler_changed(store, each)
    _count(store)
    _forget(store)


def _count(store: Store) -> None:
    """Raise the counts of the warnings about what is still as it was."""
    now, failing = store.world.now(), set(_failing(store))
    for event in store.named("Event"):
        if event.get("type") != "Warning" or event["involvedObject"].get("uid") not in failing:
            continue
        passed = (now - _moment(event, "firstTimestamp")).total_seconds()
        period = _EVERY_SECONDS.get(event["reason"])
        count = 1 + (int(passed // period) if period else tries(passed)[0])
        if count > (event.get("count") or 1):
            changed = {**copied(event), "count": count, "lastTimestamp": store.world.iso_timestamp()}
            store.put(known("Event"), changed)


def _failing(store: Store) -> Iterator[str]:
    """Yield the uids of what does not do what it should."""
    for pod in store.named("Pod"):
        if is_active(pod) and not is_ready(pod):
            yield str(pod["metadata"]["uid"])
    for claim in store.named("PersistentVolumeClaim"):
        if (claim.get("status") or {}).get("phase") == "Pending":
            yield str(claim["metadata"]["uid"])
    for kind, bad in ((("ReplicaSet", "apps"), "ReplicaFailure=True"), (AUTOSCALER, "ScalingActive=False")):
        for each in store.named(*kind):
            if bad in _conditions(each):
                yield str(each["metadata"]["uid"])


def _conditions(item: Row) -> list[str]:
    return [f"{each['type']}={each['status']}" for each in (item.get("status") or {}).get("conditions") or ()]


def _forget(store: Store) -> None:
    kind, oldest = known("Event"), store.world.now() - EVENTS_LIVE
    for event in list(store.all(kind)):
        if _moment(event, "lastTimestamp") < oldest:
            store.remove(kind, event)


def _moment(event: Row, field: str) -> datetime:
    """Read a moment of an event; clients write it with parts of seconds too, or leave it out."""
    return datetime.fromisoformat(event.get(field) or event["metadata"]["creationTimestamp"])
