"""Makes an object as a client would that applies it, or changes the one that is there."""

from ap_mcp.simulator.kubernetes.acting import make, write
from ap_mcp.simulator.kubernetes.defaults import fill
from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.networking import allocate
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row, copied

_KEPT = {"services": ("clusterIP", "clusterIPs", "healthCheckNodePort"), "statefulsets.apps": ("volumeClaimTemplates",)}
"""Fields of a spec that stay as they are once they are set."""


def upsert(store: Store, kind: Kind, item: Row, manager: str) -> None:
    """Let a manager make an object, or give the one that is there its labels, annotations and content."""
    metadata = item["metadata"]
    old = store.get(kind, metadata.get("namespace", ""), metadata["name"])
    if old is None:
        if "spec" in item:
            metadata.setdefault("generation", 1)
        if kind.storage == "services":
            allocate(store, item)
        make(store, kind, item, manager=manager)
        return
    new = copied(old)
    for name in ("labels", "annotations"):
        if name in metadata or name in new["metadata"]:
            new["metadata"][name] = {**new["metadata"].get(name, {}), **metadata.get(name, {})}
    content = copied({key: value for key, value in item.items() if key not in ("metadata", "status")})
    fill(kind, store.schema(kind), content)
    for name in _KEPT.get(kind.storage, ()):
        if name in old.get("spec", {}):
            content["spec"][name] = old["spec"][name]
    new |= content
    if new.get("spec") != old.get("spec"):
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
    write(store, kind, old, new, manager=manager)
