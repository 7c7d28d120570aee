"""What follows from a deletion: what the object owned goes or is left, a namespace with all it holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.acting import make
from ap_mcp.simulator.kubernetes.controllers import EVERY, reconciles
from ap_mcp.simulator.kubernetes.deletion import FOREGROUND, ORPHAN, delete, finish_deletion
from ap_mcp.simulator.kubernetes.kinds import Kind, custom_kinds, known
from ap_mcp.simulator.kubernetes.options import DeleteOptions
from ap_mcp.simulator.kubernetes.store import CRDS, Store
from ap_mcp.simulator.world import Row, copied

ROOT_CERTIFICATE = "kube-root-ca.crt"


@reconciles(EVERY)
def collect(store: Store, item: Mapping[str, Any]) -> None:
    """Remove or free what a deleted object owned, and go on with what waited for it."""
    kind = store.served().of(item["apiVersion"], item["kind"])
    metadata = item["metadata"]
    current = None if kind is None else store.get(kind, metadata.get("namespace", ""), metadata["name"])
    if current is not None and current["metadata"]["uid"] == metadata["uid"]:
        if kind is not None and current["metadata"].get("deletionTimestamp"):
            _go_on(store, kind, current)
        return
    for dependent_kind, dependent in list(_dependents(store, metadata["uid"])):
        _let_go(store, dependent_kind, dependent, metadata["uid"])
    for reference in metadata.get("ownerReferences") or ():
        owner_kind = store.served().of(reference["apiVersion"], reference["kind"])
        owner = owner_kind and store.get(
            owner_kind, metadata.get("namespace", "") if owner_kind.namespaced else "", reference["name"]
        )
        if owner_kind and owner and owner["metadata"].get("deletionTimestamp"):
            _go_on(store, owner_kind, owner)


@reconciles("namespaces")
def namespace_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Give a new namespace what every namespace has."""
    name = item["metadata"]["name"]
    found = store.get(known("Namespace"), "", name)
    if found is None or found["metadata"].get("deletionTimestamp"):
        return
    if store.get(known("ServiceAccount"), name, "default") is None:
        make(store, known("ServiceAccount"), {"metadata": {"name": "default", "namespace": name}})
    if store.get(known("ConfigMap"), name, ROOT_CERTIFICATE) is None:
        about = {"name": ROOT_CERTIFICATE, "namespace": name}
        make(store, known("ConfigMap"), {"metadata": about, "data": {"ca.crt": "simulated: no certificate\n"}})


@reconciles(EVERY)
def empty_namespace(store: Store, item: Mapping[str, Any]) -> None:
    """Go on to delete a namespace when something in it, or itself, has changed."""
    name = item["metadata"].get("namespace") or (item["metadata"]["name"] if item["kind"] == "Namespace" else "")
    found = store.get(known("Namespace"), "", name) if name else None
    if found is None or not found["metadata"].get("deletionTimestamp"):
        return
    left = False
    for kind in store.served().kept:
        if kind.namespaced:
            for each in list(store.all(kind, name)):
                left = True
                if not each["metadata"].get("deletionTimestamp"):
                    delete(store, kind, each, DeleteOptions())
    if not left and (found.get("spec") or {}).get("finalizers"):
        changed = copied(found)
        changed["spec"]["finalizers"] = []
        if not finish_deletion(store, known("Namespace"), changed):
            store.put(known("Namespace"), changed)


@reconciles(CRDS)
def definition_changed(store: Store, item: Mapping[str, Any]) -> None:
    """Serve what a custom resource definition defines, and delete its objects with it."""
    kind = known("CustomResourceDefinition", "apiextensions.k8s.io")
    found = store.get(kind, "", item["metadata"]["name"])
    if found is None:
        for custom in custom_kinds(item)[:1]:
            for each in list(store.all(custom)):
                store.remove(custom, each)
        return
    names = found["spec"]["names"]
    if (found.get("status") or {}).get("acceptedNames") == names:
        return
    changed, now = copied(found), store.world.iso_timestamp()
    changed["status"] = {
        "acceptedNames": copied(names),
        "storedVersions": [each["name"] for each in found["spec"]["versions"] if each.get("storage")],
        "conditions": [
            {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
            for type_, reason, message in (
                ("NamesAccepted", "NoConflicts", "no conflicts found"),
                ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            )
        ],
    }
    store.put(kind, changed)


def _dependents(store: Store, uid: str) -> Iterator[tuple[Kind, Row]]:
    for kind in store.served().kept:
        for each in store.all(kind):
            references = each["metadata"].get("ownerReferences")
            if references and any(reference["uid"] == uid for reference in references):
                yield kind, each


def _let_go(store: Store, kind: Kind, dependent: Row, uid: str) -> None:
    """Delete what has no owner any more; what has another one keeps it."""
    left = [each for each in dependent["metadata"]["ownerReferences"] if each["uid"] != uid]
    if not any(_is_there(store, dependent, each) for each in left):
        if not dependent["metadata"].get("deletionTimestamp"):
            delete(store, kind, dependent, DeleteOptions())
        return
    changed = copied(dependent)
    changed["metadata"]["ownerReferences"] = left
    store.put(kind, changed)


def _is_there(store: Store, dependent: Row, reference: Mapping[str, Any]) -> bool:
    kind = store.served().of(reference["apiVersion"], reference["kind"])
    if kind is None:
        return False
    namespace = dependent["metadata"].get("namespace", "") if kind.namespaced else ""
    owner = store.get(kind, namespace, reference["name"])
    return owner is not None and owner["metadata"]["uid"] == reference["uid"]


def _go_on(store: Store, kind: Kind, item: Row) -> None:
    """Do what the server's own finalizers of an object wait for, and take the object out when nothing holds it."""
    finalizers = item["metadata"].get("finalizers") or []
    uid = item["metadata"]["uid"]
    if ORPHAN in finalizers:
        for dependent_kind, dependent in list(_dependents(store, uid)):
            changed = copied(dependent)
            references = [each for each in changed["metadata"]["ownerReferences"] if each["uid"] != uid]
            changed["metadata"]["ownerReferences"] = references
            if not references:
                del changed["metadata"]["ownerReferences"]
            store.put(dependent_kind, changed)
        _without(store, kind, item, ORPHAN)
    elif FOREGROUND in finalizers:
        dependents = list(_dependents(store, uid))
        for dependent_kind, dependent in dependents:
            if not dependent["metadata"].get("deletionTimestamp"):
                delete(store, dependent_kind, dependent, DeleteOptions(propagation="Foreground"))
        if not dependents:
            _without(store, kind, item, FOREGROUND)


def _without(store: Store, kind: Kind, item: Row, finalizer: str) -> None:
    changed = copied(item)
    changed["metadata"]["finalizers"] = [each for each in item["metadata"]["finalizers"] if each != finalizer]
    if not finish_deletion(store, kind, changed):
        store.put(kind, changed)
