"""What runs in the clusters of the seed account, step by step as it came to be: read from data/workloads.json.

An entry of a cluster's list says what happened, and under `age` how long ago:
`namespace` made · `object` made as it stands · `deployment`, `statefulset`, `cronjob` (`namespace/name`) made or
changed, written in short · `edit` of a text in a ConfigMap · `restart` of one pod of a Deployment · `full` the subnets
have no address left. `fault` names the entries that make something fail, as the tests call them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from ap_mcp.simulator.kubernetes.acting import controlled, make, write
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.pod_outcomes import ADDRESSES, subnets_of
from ap_mcp.simulator.kubernetes.pods import stop_pod
from ap_mcp.simulator.kubernetes.programs import registry
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.kubernetes.upserts import upsert
from ap_mcp.simulator.world import Row, copied

Step = tuple[datetime, Callable[[Store], None]]
USER = "kubectl-client-side-apply"
SIZE = {"cpu": "250m", "memory": "512Mi"}
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def steps_of(cluster_name: str, now: datetime) -> Iterator[Step]:
    """Yield what happened in a cluster of the seed account, with the moment of each step."""
    for entry in _entries().get(cluster_name, ()):
        yield now - age(str(entry.get("made") or entry["age"])), _step(entry, now)


def age(text: str) -> timedelta:
    """Read an age as kubectl writes it, `12d`."""
    return timedelta(**{_UNITS[text[-1]]: float(text[:-1])})


def faults() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return cluster and entry of everything that is made to fail, by the name of the fault."""
    return {
        entry["fault"]: (cluster, entry)
        for cluster, entries in _entries().items()
        for entry in entries
        if "fault" in entry
    }


@cache
def _entries() -> Mapping[str, list[Row]]:
    content: Mapping[str, list[Row]] = json.loads(files(__package__).joinpath("data/workloads.json").read_text("utf-8"))
    return content


def _step(entry: Row, now: datetime) -> Callable[[Store], None]:
    verbs = {"restart": _restart, "full": _fill_subnets, "edit": _edit}
    for name, act in verbs.items():
        if name in entry:
            return lambda store: act(store, entry)
    return lambda store: _put(store, entry, now)


def _put(store: Store, entry: Row, now: datetime) -> None:
    born = store.world.iso_timestamp(now - age(entry["age"]))
    if "namespace" in entry:
        labels = {"kubernetes.io/metadata.name": entry["namespace"], **entry.get("labels", {})}
        about = {"name": entry["namespace"], "labels": labels, "creationTimestamp": born}
        make(store, known("Namespace"), {"metadata": about, "status": {"phase": "Active"}}, manager=USER)
        return
    for kind, item in _objects(entry, now):
        item["metadata"]["creationTimestamp"] = born
        upsert(store, known(*kind), item, USER)


def _objects(entry: Row, now: datetime) -> Iterator[tuple[tuple[str, str], Row]]:
    if "object" in entry:
        item = copied(entry["object"])
        yield (item.pop("kind"), item.pop("group", "")), item
    elif "deployment" in entry:
        yield from _deployment(entry)
    elif "statefulset" in entry:
        yield from _stateful_set(entry)
    else:
        yield from _cron_job(entry, now)


def _deployment(entry: Row) -> Iterator[tuple[tuple[str, str], Row]]:
    namespace, name = entry["deployment"].split("/")
    spec = {
        "replicas": entry["replicas"],
        "selector": {"matchLabels": {"app": name}},
        "template": _template(entry, name),
    }
    if entry.get("recreate"):
        spec["strategy"] = {"type": "Recreate"}
    yield ("Deployment", "apps"), _named(namespace, name, {**spec, **copied(entry.get("spec", {}))})
    yield from _service(entry, namespace, name)


def _stateful_set(entry: Row) -> Iterator[tuple[tuple[str, str], Row]]:
    namespace, name = entry["statefulset"].split("/")
    spec = {"replicas": entry["replicas"], "serviceName": name, "selector": {"matchLabels": {"app": name}},
            "template": _template(entry, name)}  # fmt: skip
    if "disk" in entry:
        claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": entry["class"],
                 "resources": {"requests": {"storage": entry["disk"]}}}  # fmt: skip
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
        container = spec["template"]["spec"]["containers"][0]
        container.setdefault("volumeMounts", []).append({"name": "data", "mountPath": "/data"})
    yield ("StatefulSet", "apps"), _named(namespace, name, spec)
    yield from _service(entry, namespace, name)


def _cron_job(entry: Row, now: datetime) -> Iterator[tuple[tuple[str, str], Row]]:
    namespace, name = entry["cronjob"].split("/")
    due = now - age(entry["due"])
    template = _template(entry, name)
    template["spec"]["restartPolicy"] = "Never"
    job = {"backoffLimit": entry.get("retries", 6), "template": template}
    spec = {"schedule": f"{due.minute} {due.hour} * * *", "jobTemplate": {"spec": job}}
    yield ("CronJob", "batch"), _named(namespace, name, spec)


def _template(entry: Row, name: str) -> Row:
    image = entry["image"] if "." in entry["image"].partition("/")[0] else f"{registry()}/{entry['image']}"
    container: Row = {"name": entry.get("name", "app"), "image": image}
    if not entry.get("unlimited"):
        container["resources"] = {"requests": dict(SIZE), "limits": dict(SIZE)}
    if "port" in entry:
        container["ports"] = [{"containerPort": entry["port"]}]
    container |= copied(entry.get("container", {}))
    labels = {"app": name, **entry.get("labels", {})}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container], **copied(entry.get("pod", {}))}}


def _service(entry: Row, namespace: str, name: str) -> Iterator[tuple[tuple[str, str], Row]]:
    if entry.get("service") or "select" in entry:
        ports = [{"port": 80 if entry["port"] == 8080 else entry["port"], "targetPort": entry["port"]}]
        spec = {"selector": entry.get("select", {"app": name}), "ports": ports}
        yield ("Service", ""), _named(namespace, name, spec)


def _named(namespace: str, name: str, spec: Row) -> Row:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}, "spec": spec}


def _edit(store: Store, entry: Row) -> None:
    kind = known("ConfigMap")
    old = store.fetch(kind, *entry["edit"].split("/"))
    new = copied(old)
    new["data"] = {key: text.replace(*entry["replace"]) for key, text in new["data"].items()}
    write(store, kind, old, new, manager="kubectl-edit")


def _restart(store: Store, entry: Row) -> None:
    namespace, name = entry["restart"].split("/")
    deployment = store.fetch(known("Deployment", "apps"), namespace, name)
    pods = [pod for each in controlled(store, known("ReplicaSet", "apps"), deployment)
            for pod in controlled(store, known("Pod"), each)]  # fmt: skip
    stop_pod(store, pods[0])


def _fill_subnets(store: Store, _entry: Row) -> None:
    used = sum("podIP" in (each.get("status") or {}) for each in store.named("Pod"))
    store.world.table(ADDRESSES)[store.cluster_id] = {"subnets": subnets_of(store.cluster), "pods": used}
