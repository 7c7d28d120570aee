"""Says how far a workload is: how many are wanted and ready, and whether its newest version is in place; pure."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ap_mcp.vendor import get, items, number, quoted
from ap_mcp.wording import plural

Phase: TypeAlias = Literal["done", "under way", "stuck", "paused", "scaled to 0"]
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a workload is.

    Attributes:
        phase: of the newest version.
        ready: pods that are ready.
        wanted: pods that there should be.
        updated: pods of the newest version.
        why: what is missing, in our words; what the cluster wrote in it is in quotation marks. Empty if nothing is.
    """

    phase: Phase
    ready: int
    wanted: int
    updated: int
    why: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the newest version is in place and everything wanted is ready."""
        return self.phase in ("done", "scaled to 0") and self.ready >= self.wanted


def rollout_of(kind: str, body: Any) -> Rollout | None:
    """Return how far a workload is, by the rules of `kubectl rollout status`; None for a kind that rolls nothing out.

    Args:
        kind: without its group.
        body: the object.
    """
    reader = {"Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set}.get(kind)
    return reader(body) if reader else None


def count(body: Any, pointer: str, default: int = 0) -> int:
    """Return a number of an object; what is absent counts as `default`."""
    found = number(get(body, pointer))
    return default if found is None else int(found)


def condition(body: Any, kind: str) -> dict[str, Any]:
    """Return a condition of an object by its type; empty if it has none."""
    return next((each for each in items(body, "/status/conditions") if get(each, "/type") == kind), {})


def _not_seen(body: Any) -> bool:
    """Say whether what is reported is about an older version of the object than this one."""
    return count(body, "/metadata/generation") > count(body, "/status/observedGeneration")


_WAITS = "the last change is not yet acted on"


def _deployment(body: Any) -> Rollout:
    wanted = count(body, "/spec/replicas", 1)
    updated, made = count(body, "/status/updatedReplicas"), count(body, "/status/replicas")
    available, progress = count(body, "/status/availableReplicas"), condition(body, "Progressing")
    fails = condition(body, "ReplicaFailure")
    phase: Phase = "under way"
    why = _progress(wanted, updated, made - updated, available)
    if get(fails, "/status") == "True":
        phase, why = "stuck", f"pods cannot be made: {quoted(get(fails, '/message'), 600)}"
    elif get(body, "/spec/paused") is True:
        phase, why = "paused", "changes of its template wait until it is resumed"
    elif _not_seen(body):
        why = _WAITS
    elif get(progress, "/reason") == "ProgressDeadlineExceeded":
        limit = count(body, "/spec/progressDeadlineSeconds", 600)
        phase, why = "stuck", f"no progress for its limit of {limit} s{_not_ready(updated, made - available)}"
    elif not why:
        phase = "done" if wanted else "scaled to 0"
    elif updated >= wanted and made <= updated and get(progress, "/reason") == "NewReplicaSetAvailable":
        # What was in place once and lost a pod rolls nothing out.
        phase = "done"
    return Rollout(phase, count(body, "/status/readyReplicas"), wanted, updated, why)


def _not_ready(updated: int, missing: int) -> str:
    """Say how many new pods are not ready; old ones that are not are removed before those that are."""
    new = min(updated, missing)
    return f": {plural(new, 'new pod')} {'is' if new == 1 else 'are'} not ready" if new > 0 else ""


def _stateful_set(body: Any) -> Rollout:
    wanted, ready = count(body, "/spec/replicas", 1), count(body, "/status/readyReplicas")
    same = get(body, "/status/updateRevision") == get(body, "/status/currentRevision")
    updated = wanted if same else count(body, "/status/updatedReplicas")
    due = wanted - count(body, "/spec/updateStrategy/rollingUpdate/partition")
    phase: Phase = "under way"
    if _not_seen(body):
        why = _WAITS
    elif not same and get(body, "/spec/updateStrategy/type") == "OnDelete":
        phase, why = "paused", "each pod takes the new version only once it is deleted"
    else:
        why = _progress(due, updated, 0, due) or (f"{ready} of {plural(wanted, 'pod')} ready" if ready < wanted else "")
        if not why or (same and updated >= due):
            phase = "done" if wanted else "scaled to 0"
    return Rollout(phase, ready, wanted, updated, why)


def _daemon_set(body: Any) -> Rollout:
    wanted, updated = count(body, "/status/desiredNumberScheduled"), count(body, "/status/updatedNumberScheduled")
    available = count(body, "/status/numberAvailable")
    why = _WAITS if _not_seen(body) else _progress(wanted, updated, 0, available)
    return Rollout("under way" if why else "done", count(body, "/status/numberReady"), wanted, updated, why)


def _progress(wanted: int, updated: int, old: int, available: int) -> str:
    """Say what a rollout still lacks; empty if nothing."""
    if updated < wanted:
        return f"{updated} of {plural(wanted, 'pod')} are of the new version"
    if old > 0:
        return f"{plural(old, 'old pod')} still to end"
    return f"{available} of {plural(updated, 'pod')} available" if available < updated else ""
