"""What a diagnosis goes by: the objects, events and logs that were read, found by what they belong to."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from ap_mcp.kubernetes.diagnose.model import Gravity, LogKey, Thing, labels_of, thing_of
from ap_mcp.kubernetes.events import event_count, event_text, event_time, subject_of
from ap_mcp.kubernetes.owners import controller_of
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, items, moment, number, quoted, text, word
from ap_mcp.wording import age

YOUNG = timedelta(minutes=1)
"""A pod that is younger may still be starting."""
SCHEDULING = timedelta(seconds=30)
LASTS = timedelta(hours=1)
"""How long a cluster keeps events by default; what happened longer ago is over if all works now."""
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "ReplicationController")
REVISED = ("Deployment", "StatefulSet", "DaemonSet")
HASH = "pod-template-hash"
SYSTEM, ADDONS = "kube-system", ("coredns", "metrics-server")
"""The namespace that the cloud keeps, and workloads in it that are named after their add-on."""


@dataclass(frozen=True)
class Evidence:
    """What was read of a cluster, and when.

    Attributes:
        cluster: its id, for the calls that lead on.
        at: the time to measure ages against.
        lists: objects by their kind; a kind that is absent was not read.
        cut: kinds of which not all objects were read, so that absence proves nothing.
        events: all events that were read; None if none could be.
        logs: what was read of logs, masked.
        named: what the caller asked about by its name.
        names: names of objects whose content is not read, by kind and namespace.
        subnets: ids of those that pods get their addresses from.
    """

    cluster: str
    at: datetime
    lists: Mapping[str, Sequence[Any]]
    cut: Collection[str] = frozenset()
    events: Sequence[Any] | None = ()
    logs: Mapping[LogKey, str] = field(default_factory=dict)
    named: Thing | None = None
    names: Mapping[tuple[str, str], Collection[str]] = field(default_factory=dict)
    subnets: Sequence[str] = ()

    def of(self, kind: str) -> Sequence[Any]:
        """Return the objects of a kind that were read."""
        return self.lists.get(kind, ())

    def is_whole(self, kind: str) -> bool:
        """Say whether all objects of a kind were read, so that one that is not among them does not exist."""
        return kind in self.lists and kind not in self.cut

    def find(self, thing: Thing) -> Any:
        """Return an object that was read; None if it was not."""
        return self._by_thing.get(thing)

    def lacks(self, thing: Thing) -> bool:
        """Say whether an object does not exist, as far as its kind was read whole."""
        known = self.names.get((thing.kind, thing.namespace))
        if known is not None:
            return thing.name not in known
        return self.is_whole(thing.kind) and thing not in self._by_thing

    @cached_property
    def _by_thing(self) -> dict[Thing, Any]:
        return {thing_of(each, kind): each for kind, every in self.lists.items() for each in every}

    @cached_property
    def _events(self) -> dict[Thing, list[Any]]:
        found: dict[Thing, list[Any]] = defaultdict(list)
        for each in self.events or ():
            about = subject_of(each)
            found[Thing(*(text(get(about, f"/{key}")) for key in ("kind", "namespace", "name")))].append(each)
        for every in found.values():
            every.sort(key=lambda each: (event_time(each) or NEVER, event_text(each)), reverse=True)
        return found

    def events_of(self, item: Any, kind: str, *reasons: str) -> list[Any]:
        """Return the events about an object, the newest first; those about an earlier one of its name are left out.

        Args:
            item: the object.
            kind: its kind.
            reasons: the events wanted; all if none is given.
        """
        uid = text(get(item, "/metadata/uid"))
        return [
            each
            for each in self._events.get(thing_of(item, kind), ())
            if (not reasons or text(get(each, "/reason")) in reasons)
            and text(get(each, "/involvedObject/uid", uid)) in (uid, "")
        ]

    @cached_property
    def pods_by_owner(self) -> Mapping[Thing, list[Any]]:
        """The pods of each workload, each under all that own it."""
        found: dict[Thing, list[Any]] = defaultdict(list)
        for pod in self.of("Pod"):
            for owner in self.owners(pod, "Pod"):
                found[owner].append(pod)
        return found

    @cached_property
    def owned(self) -> Mapping[Thing, list[Thing]]:
        """The ReplicaSets and Jobs of each workload, under all that own them."""
        found: dict[Thing, list[Thing]] = defaultdict(list)
        for kind in ("ReplicaSet", "Job"):
            for each in self.of(kind):
                own = thing_of(each, kind)
                for owner in self.owners(each, kind):
                    if owner != own:
                        found[owner].append(own)
        return found

    @cached_property
    def users(self) -> Mapping[Thing, list[Any]]:
        """The pods that use each volume claim."""
        found: dict[Thing, list[Any]] = defaultdict(list)
        for pod in self.of("Pod"):
            for claim in claims_of(pod):
                found[Thing("PersistentVolumeClaim", thing_of(pod).namespace, claim)].append(pod)
        return found

    @cached_property
    def _labelled(self) -> Mapping[tuple[str, str, str], list[Any]]:
        found: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
        for pod in self.of("Pod"):
            if text(get(pod, "/status/phase")) not in ("Succeeded", "Failed"):
                for key, value in labels_of(pod).items():
                    found[thing_of(pod).namespace, key, value].append(pod)
        return found

    def selected(self, namespace: str, selector: Mapping[str, str]) -> list[Any]:
        """Return the pods that a selector of equalities selects and that are not at their end; none if it is empty."""
        lists = [self._labelled.get((namespace, key, value), []) for key, value in selector.items()]
        fewest: list[Any] = min(lists, key=len, default=[])
        return [pod for pod in fewest if selector.items() <= labels_of(pod).items()]

    def owners(self, item: Any, kind: str) -> Iterator[Thing]:
        """Yield an object and what controls it, up to the one that a person made."""
        yield thing_of(item, kind)
        for _ in range(4):
            above = self._controller(item)
            if above is None:
                return
            yield above
            item = self.find(above)
            if item is None:
                return

    def _controller(self, item: Any) -> Thing | None:
        ref = controller_of(item)
        if ref is None:
            return None
        namespace = text(get(item, "/metadata/namespace"))
        above = Thing(text(get(ref, "/kind")), namespace, text(get(ref, "/name")))
        ending = f"-{labels_of(item).get(HASH, '')}"
        if above.kind == "ReplicaSet" and ending != "-" and above.name.endswith(ending) and self.find(above) is None:
            # The ReplicaSet was not read, but is named after its Deployment.
            return Thing("Deployment", namespace, above.name.removesuffix(ending))
        return above

    def workload_of(self, pod: Any) -> Thing:
        """Return the workload that a pod belongs to: what a person would change; of a CronJob's pod, the Job."""
        found = thing_of(pod, "Pod")
        for each in self.owners(pod, "Pod"):
            if each.kind == "CronJob":
                break
            found = each
        return found

    def age_of(self, item: Any) -> timedelta:
        """Return how old an object is; what says no time counts as old."""
        made = moment(get(item, "/metadata/creationTimestamp"))
        return self.at - made if made else timedelta.max

    def ready(self, workload: Thing) -> tuple[int, int] | None:
        """Return how many pods of a workload are ready, of how many; None if that is not known or does not apply."""
        item = self.find(workload)
        places = _READY.get(workload.kind)
        if item is None or places is None:
            return None
        wanted = number(get(item, places[1], 1 if places[1].startswith("/spec") else 0))
        have = number(get(item, places[0], 0))
        return (int(have or 0), int(wanted or 0))

    def gravity_of(self, workload: Thing) -> Gravity:
        """Return how grave it is that something of a workload does not work: less so while a part of it does."""
        ready = self.ready(workload)
        return "warning" if ready is not None and ready[0] > 0 else "critical"

    def call(self, tool: str, why: str, **arguments: Any) -> NextCall:
        """Return a call on the cluster; what is empty is left out."""
        given = {"cluster_id": self.cluster, **arguments}
        return NextCall(tool=tool, arguments={key: value for key, value in given.items() if value != ""}, why=why)

    def undo(self, workload: Thing) -> tuple[NextCall, ...]:
        """Return the way back to the revision before, where there is one, by what made the workload.

        What is in kube-system comes of add-ons. What a Helm release made goes back with it, or its next update would
        bring the fault again.
        """
        if workload.namespace == SYSTEM:
            if workload.name not in ADDONS:
                return ()
            why = f"shows its settings, which update_addon changes: what is in {SYSTEM} cannot be changed itself"
            return (self.call("get_addon", why, addon_id=workload.name),)
        if release := self.release_of(workload):
            return (release,)
        revision = number(get(self.find(workload), "/metadata/annotations/deployment.kubernetes.io~1revision"))
        if workload.kind not in REVISED or (workload.kind == "Deployment" and (revision is None or revision <= 1)):
            return ()
        where = {"kind": workload.kind.lower(), "name": workload.name, "namespace": workload.namespace}
        return (
            self.call("k8s_rollout", "goes back to the revision before, if that one worked", **where, action="undo"),
        )

    def release_of(self, workload: Thing) -> NextCall | None:
        """Return the call that shows the Helm release that made a workload, with the way back; None if none did."""
        item = self.find(workload)
        name, namespace = (text(get(item, f"/metadata/annotations/{each}")) for each in _RELEASE)
        if not name:
            return None
        why = f"shows what each revision of its release {word(name)} changed, and the way back"
        return self.call("get_release_history", why, namespace=namespace or workload.namespace, name=name)

    def show(self, thing: Thing, why: str) -> NextCall:
        """Return the call that shows an object; of what has a pod template all, for a summary leaves that out."""
        detail = "full" if thing.kind in (*WORKLOADS, "CronJob", "Pod") else ""
        where = {"kind": thing.kind.lower(), "name": thing.name, "namespace": thing.namespace}
        return self.call("k8s_get", why, **where, detail=detail)

    def event(self, event: Any) -> str:
        """Return an event as evidence: its reason, how often, how long ago, and what it says."""
        times = event_count(event)
        often = f", {times} times" if times > 1 else ""
        ago = f", {since} ago" if (since := age(event_time(event), self.at)) else ""
        return f"event {text(get(event, '/reason'), 60)}{often}{ago}: {quoted(event_text(event))}"


def claims_of(pod: Any) -> list[str]:
    """Return the names of the volume claims that a pod uses; that of an ephemeral volume is named after both."""
    found = []
    for volume in items(pod, "/spec/volumes"):
        if claim := text(get(volume, "/persistentVolumeClaim/claimName")):
            found.append(claim)
        elif get(volume, "/ephemeral") is not None:
            found.append(f"{thing_of(pod).name}-{text(get(volume, '/name'))}")
    return found


_RELEASE = ("meta.helm.sh~1release-name", "meta.helm.sh~1release-namespace")
NEVER = moment("1970-01-02T00:00:00Z")
_READY: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"),
        ("/status/readyReplicas", "/spec/replicas"),
    ),
    "DaemonSet": ("/status/numberReady", "/status/desiredNumberScheduled"),
}
