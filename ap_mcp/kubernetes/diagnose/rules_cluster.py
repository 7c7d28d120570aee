"""What lies below all workloads: name resolution, nodes, and namespaces that are being deleted."""

from collections.abc import Iterator
from datetime import timedelta

from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, Gravity, Thing, thing_of
from ap_mcp.kubernetes.diagnose.rules_containers import DNS
from ap_mcp.kubernetes.finalizers import in_words
from ap_mcp.vendor import get, items, moment, quoted, strings, text, word
from ap_mcp.wording import few, span

PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
REMAINS = (
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
    "NamespaceDeletionContentFailure",
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
)
OTHERWISE = ("Pod", "Namespace", "PersistentVolumeClaim")
FOREGROUND = "foregroundDeletion"
LONG = timedelta(minutes=1)


def name_resolution(evidence: Evidence) -> Iterator[Finding]:
    """Find that names do not resolve, or only for as long as nothing more fails."""
    ready = evidence.ready(DNS)
    if ready is None or 0 < ready[1] <= ready[0]:
        return
    have, wanted = ready
    what = (
        "names resolve nowhere in the cluster: none of its pods is ready"
        if have == 0
        else "names still resolve, with less in reserve"
    )
    calls = (
        evidence.call("k8s_diagnose", "says why", kind="deployment", name=DNS.name, namespace=DNS.namespace),
        evidence.call(
            "get_addon",
            "shows its settings, which update_addon changes: kube-system itself cannot be changed",
            addon_id="coredns",
        ),
    )
    gravity: Gravity = "critical" if have == 0 else "warning"
    own = any(thing_of(pod).namespace == DNS.namespace for pod in evidence.of("Pod"))
    yield Finding(
        "dns_down" if have == 0 and not own else "dns",
        DNS,
        what,
        (f"readyReplicas={have} replicas={wanted}",),
        gravity,
        None,
        (),
        calls,
        after=frozenset({DNS}) if own else frozenset(),
    )


def unhealthy_nodes(evidence: Evidence) -> Iterator[Finding]:
    """Find nodes that are not ready, or short of something."""
    for node in evidence.of("Node"):
        thing, bad = thing_of(node, "Node"), []
        since = None
        for each in items(node, "/status/conditions"):
            kind, status = text(get(each, "/type")), text(get(each, "/status"))
            if (kind == "Ready" and status != "True") or (kind in PRESSURES and status == "True"):
                bad.append((kind, status, each))
                since = since or moment(get(each, "/lastTransitionTime"))
        if not bad:
            continue
        ready = next((each for kind, _, each in bad if kind == "Ready"), None)
        named = few([word(kind) for kind, _, _ in bad if kind != "Ready"])
        what = (
            f"is not ready: {quoted(get(ready, '/message') or get(ready, '/reason'))}"
            if ready
            else f"is short of something: {named}"
        )
        facts = tuple(
            f"condition {word(kind)}={word(status)}, {word(get(each, '/reason'))}: {quoted(get(each, '/message'))}"
            for kind, status, each in bad[:2]
        )
        yield Finding(
            "node",
            thing,
            what,
            facts,
            "critical" if ready else "warning",
            since,
            (),
            (evidence.show(thing, "shows it"),),
        )


def objects_going(evidence: Evidence) -> Iterator[Finding]:
    """Find objects that are being deleted and stay, of kinds that have no rule of their own for that."""
    for kind, every in evidence.lists.items():
        for item in every if kind not in OTHERWISE else ():
            since, held = moment(get(item, "/metadata/deletionTimestamp")), strings(item, "/metadata/finalizers")
            if since is None or evidence.at - since < LONG or not held:
                continue
            thing = thing_of(item, kind)
            # What owns others waits for these to be gone.
            after = frozenset({thing}) if FOREGROUND in held else frozenset[Thing]()
            what = f"is being deleted and stays, until its finalizers are done: {in_words(held)}"
            facts = (f"metadata.deletionTimestamp passed {span(evidence.at - since)} ago",)
            calls = (evidence.show(thing, "shows its finalizers, and its events who tries"),)
            yield Finding("terminating", thing, what, facts, "warning", since, (), calls, after=after)


def namespaces_going(evidence: Evidence) -> Iterator[Finding]:
    """Find namespaces that are being deleted and stay."""
    for namespace in evidence.of("Namespace"):
        thing = thing_of(namespace, "Namespace")
        since = moment(get(namespace, "/metadata/deletionTimestamp"))
        if text(get(namespace, "/status/phase")) != "Terminating" and since is None:
            continue
        if since is not None and evidence.at - since < LONG:
            continue
        said = [
            each
            for kind in REMAINS
            for each in items(namespace, "/status/conditions")
            if get(each, "/type") == kind and text(get(each, "/status")) == "True"
        ]
        held = [each for each in strings(namespace, "/spec/finalizers") if each != "kubernetes"] + strings(
            namespace, "/metadata/finalizers"
        )
        why = "; ".join(quoted(get(each, "/message")) for each in said[:2]) or (
            f"finalizers {few([word(each) for each in held])}" if held else "nothing says what it waits for"
        )
        facts = tuple(
            f"condition {word(get(each, '/type'))}=True: {quoted(get(each, '/message'))}" for each in said[:2]
        ) or ("status.phase=Terminating",)
        calls = (
            evidence.show(thing, "shows its conditions"),
            evidence.call("k8s_discover", "shows whether an API that it needs is not served"),
        )
        yield Finding("namespace", thing, f"is being deleted and stays: {why}", facts, "critical", since, (), calls)
