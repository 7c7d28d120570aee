"""The control loop: what reacts to which change, until nothing changes any more."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.store import TABLE, Store
from ap_mcp.simulator.world import Row, World

MOST_STEPS = 5000
"""A loop that takes more steps than this does not come to an end."""

Reconciler = Callable[[Store, Mapping[str, Any]], None]
"""Called with an object that changed, as it was then; it may be gone by now."""

_RECONCILERS: dict[str, list[Reconciler]] = {}
EVERY = "*"


def reconciles(*storages: str) -> Callable[[Reconciler], Reconciler]:
    """Register a function to run when an object of these kinds changes; `*` is any."""

    def register(reconciler: Reconciler) -> Reconciler:
        for storage in storages:
            _RECONCILERS.setdefault(storage, []).append(reconciler)
        return reconciler

    return register


@contextlib.contextmanager
def controlled_store(world: World, cluster_id: str) -> Iterator[Store]:
    """Open the objects of a cluster; when the block ends well, everything reacts to what was changed."""
    changed: deque[tuple[Kind, Row]] = deque()
    store = Store(world, cluster_id, lambda kind, item: changed.append((kind, item)))
    yield store
    for _ in range(MOST_STEPS):
        if not changed:
            return
        kind, item = changed.popleft()
        for reconciler in (*_RECONCILERS.get(kind.storage, ()), *_RECONCILERS.get(EVERY, ())):
            reconciler(store, item)
    raise RuntimeError(f"the controllers of {cluster_id} do not come to rest: {changed[0][0].kind} changes again")


@contextlib.contextmanager
def acting_on(world: World, cluster_id: str) -> Iterator[Store | None]:
    """Open the objects of a cluster for something that happens later; None if the cluster is gone by then."""
    if cluster_id not in world.table(TABLE) or cluster_id not in world.table("clusters"):
        yield None
        return
    with controlled_store(world, cluster_id) as store:
        yield store
