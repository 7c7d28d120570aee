"""What does not work in a cluster and why, concluded from its objects, events and logs, as controllers leave them."""

import json
import random
from collections.abc import Sequence
from typing import Any

import diagnosing_containers
import diagnosing_more
import diagnosing_others
import diagnosing_places
import diagnosing_traffic
import pytest
from broken import (
    AT,
    CART,
    SPACE,
    Json,
    Seen,
    ago,
    autoscaler,
    claim,
    crashing,
    deployment,
    ended,
    event,
    ingress,
    job,
    over,
    pod,
    runs,
    said,
    seeded,
    seen_of,
    service,
    storage_class,
    thing,
    unplaced,
    waits,
)
from diagnosing import GONE, Case, healthy

from ap_mcp.kubernetes.diagnose import order
from ap_mcp.kubernetes.diagnose.answer import sentence
from ap_mcp.kubernetes.diagnose.model import Finding, Thing
from ap_mcp.kubernetes.diagnose.order import RANK
from ap_mcp.kubernetes.diagnose.rules import findings_of, starting_pods

CASES = [
    *diagnosing_containers.CASES,
    *diagnosing_places.CASES,
    *diagnosing_traffic.CASES,
    *diagnosing_others.CASES,
    *diagnosing_more.CASES,
]


@pytest.mark.parametrize("name", diagnosing_more.HEALTHY)
def test_what_waits_its_time_is_no_fault(name: str) -> None:
    assert Seen(diagnosing_more.HEALTHY[name]).causes() == []


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_the_likeliest_cause_is_first_names_its_object_and_says_why(case: Case) -> None:
    causes = case.seen.causes()
    assert causes, "nothing found"
    first = causes[0].finding
    said_first = sentence(case.seen.evidence(), first)
    assert (first.fault, first.about) == (case.fault, case.about), said_first
    assert [each for each in case.says if each not in said_first] == [], said_first
    assert said_first.startswith(f"{case.about}")
    assert first.evidence
    assert first.next
    folded = [str(each.about) for each in causes[0].then]
    assert [each for each in case.then if each not in folded] == []
    assert len(causes) == 1, [sentence(case.seen.evidence(), each.finding) for each in causes]


def test_every_kind_of_fault_that_can_be_first_is_among_the_cases() -> None:
    only_folded = {
        "ingress_follows",
        "waiting_in_line",
        "no_ready_endpoint",
        "no_endpoints",
        "namespace_terminating",
        "ingress_secret",
    }
    assert RANK.keys() - {case.fault for case in CASES} - only_folded == set()


@pytest.mark.parametrize("name", seeded())
def test_the_broken_workloads_of_the_data_are_understood(name: str) -> None:
    case = seeded()[name]
    seen = seen_of(case)
    first = seen.causes()[0]
    assert first.finding.fault == case["fault"]
    assert len(seen.causes()) == 1
    owner = next(each for each in case["objects"] if each["kind"] == first.finding.about.kind)
    assert first.finding.about.name == owner["metadata"]["name"]


WELL: dict[str, Seen] = {
    "a workload with its Service, Ingress, autoscaler and budget": Seen(
        [
            *healthy(),
            service(),
            ingress(),
            claim(phase="Bound"),
            storage_class(),
            autoscaler(
                said("AbleToScale", "True"),
                said("ScalingActive", "True"),
                said(
                    "ScalingLimited",
                    "True",
                    "TooFewReplicas",
                    "the desired replica count is less than the minimum replica count",
                ),
            ),
            thing(
                "PodDisruptionBudget",
                "cart",
                spec={"maxUnavailable": 1},
                status={"disruptionsAllowed": 1, "expectedPods": 1},
            ),
        ]
    ),
    "a pod that was restarted long ago": Seen(
        [*deployment(ready=1), pod(runs(restarts=7, last=ended(1, minutes=900)), ready=True)]
    ),
    "a pod that was restarted once": Seen(
        [*deployment(ready=1), pod(runs(restarts=1, last=ended(1, minutes=10)), ready=True)]
    ),
    "a pod that was not ready for a moment": Seen(
        [*deployment(ready=1), (one := pod(runs(), ready=True))],
        [event(one, "Unhealthy", "Readiness probe failed: timeout", minutes=30)],
    ),
    "a pod that is made": Seen([*deployment(), pod(waits("ContainerCreating"), phase="Pending", age=0.3)]),
    "a pod that is not placed yet": Seen([*deployment(), unplaced(f"{GONE}3 Insufficient cpu.", minutes=0.2, age=0.2)]),
    "a pod that has just started": Seen(
        [*deployment(), pod(runs(ready=False, since=0.1, readinessProbe={"httpGet": {"port": 8080}}))]
    ),
    "a pod with a slow start that its probe allows": Seen(
        [
            *deployment(),
            pod(
                runs(
                    ready=False,
                    started=False,
                    since=4,
                    startupProbe={"periodSeconds": 10, "failureThreshold": 60, "httpGet": {"port": 8080}},
                )
            ),
        ]
    ),
    "a pod that ends": Seen(
        [
            *deployment(ready=1),
            pod(ready=True),
            pod(over(ended(137)), name="cart-old", metadata={"deletionTimestamp": ago(0.1)}),
        ]
    ),
    "an init container that has done its work": Seen(
        [
            *deployment(ready=1),
            pod(runs(), ready=True, init=[{**over(ended(0, "Completed"), name="migrate"), "ready": True}]),
        ]
    ),
    "a container that only debugs": Seen(
        [
            *deployment(ready=1),
            pod(runs(), ready=True, status={"ephemeralContainerStatuses": [over(ended(1), name="debugger")]}),
        ]
    ),
    "a claim that waits for its first pod": Seen([claim(), storage_class(mode="WaitForFirstConsumer")]),
    "a claim that waits, as its event says": Seen(
        [(waiting := claim()), storage_class()],
        [
            event(
                waiting,
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
                type_="Normal",
            )
        ],
    ),
    "a job that is done": Seen(
        [
            job(conditions=[said("Complete", "True")], succeeded=1),
            pod(over(ended(0, "Completed"), name="job"), name="close-1", owner=("Job", "close"), phase="Succeeded"),
        ]
    ),
    "a job that was made up for": Seen(
        [
            thing("CronJob", "nightly"),
            job(
                "nightly-1",
                age=900,
                owner=("CronJob", "nightly"),
                conditions=[said("Failed", "True", "BackoffLimitExceeded")],
            ),
            job("nightly-2", age=30, owner=("CronJob", "nightly"), conditions=[said("Complete", "True")]),
        ]
    ),
    "a job that runs": Seen([job(active=1), pod(runs(name="job"), name="close-1", owner=("Job", "close"), ready=True)]),
    "a service for something outside": Seen(
        [{**service(), "spec": {"type": "ExternalName", "externalName": "db.example.com"}}]
    ),
    "a service without a selector": Seen([service(selector={})]),
    "a service whose port is proven by a probe": Seen(
        [
            *deployment(ready=1),
            pod(runs(ports=[{"containerPort": 9113}], readinessProbe={"tcpSocket": {"port": 8080}}), ready=True),
            service(),
        ]
    ),
    "a workload scaled to zero that nobody asked about": Seen([*deployment(replicas=0, status={"replicas": 0})]),
    "a refusal that is over": Seen(
        [*healthy()],
        [
            event(
                deployment()[1],
                "FailedCreate",
                "Error creating: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
            )
        ],
    ),
    "events of an earlier pod of the name": Seen(
        [*healthy()],
        [
            event(
                {**pod(), "metadata": {"name": "cart-7d9f-aaaaa", "uid": "another"}},
                "Killing",
                "Container app failed liveness probe, will be restarted",
            )
        ],
    ),
    "an autoscaler of a workload that is off": Seen(
        [
            autoscaler(
                said(
                    "ScalingActive",
                    "False",
                    "ScalingDisabled",
                    "scaling is disabled since the replica count of the target is zero",
                )
            )
        ]
    ),
    "a cron job that runs": Seen([thing("CronJob", "nightly", status={"lastScheduleTime": ago(30)})]),
    "a node": Seen(
        [
            {
                "kind": "Node",
                "metadata": {"name": "node-1"},
                "status": {"conditions": [said("Ready", "True"), said("MemoryPressure", "False")]},
            }
        ]
    ),
}


@pytest.mark.parametrize("name", WELL)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    seen = WELL[name]
    assert [sentence(seen.evidence(), each.finding) for each in seen.causes()] == []


def test_what_is_young_is_said_to_be_starting() -> None:
    evidence = WELL["a pod that is made"].evidence()
    assert starting_pods(evidence, findings_of(evidence)) == {CART: 1}
    evidence = WELL["a workload with its Service, Ingress, autoscaler and budget"].evidence()
    assert starting_pods(evidence, findings_of(evidence)) == {}


def test_the_order_of_lists_events_and_containers_changes_nothing() -> None:
    every = [seen_of(each) for each in seeded().values()]
    one = Seen(
        [each for seen in every for each in seen.objects],
        [each for seen in every for each in seen.events],
        {key: text for seen in every for key, text in seen.logs.items()},
    )
    shuffle = random.Random(7).shuffle  # noqa: S311 - the same orders in every run
    for seen in (one, *(case.seen for case in CASES)):
        first, objects, events = _said(seen), list(seen.objects), list(seen.events)
        for _ in range(3):
            shuffle(objects)
            shuffle(events)
            assert _said(Seen(objects, events, seen.logs, seen.more)) == first


def _said(seen: Seen) -> list[str]:
    evidence = seen.evidence()
    return [
        f"{sentence(evidence, each.finding)} {each.finding.evidence} {each.also} {each.then}" for each in seen.causes()
    ]


def test_pods_of_one_workload_with_one_fault_are_one_finding_with_their_number() -> None:
    pods = [pod(crashing(restarts=at), name=f"cart-{at}") for at in range(30)]
    (only,) = Seen([*deployment(replicas=30), *pods]).causes()
    assert len(only.finding.pods) == 30


def test_what_several_workloads_lack_is_one_finding_that_names_them_all() -> None:
    both = [
        *deployment("a"),
        *deployment("b"),
        pod(waits("ContainerCreating"), of="a", phase="Pending"),
        pod(waits("ContainerCreating"), of="b", phase="Pending"),
    ]
    reported = [
        event(each, "FailedCreatePodSandBox", "subnet s-1 has no free IP address")
        for each in both
        if each["kind"] == "Pod"
    ]
    (only,) = Seen(both, reported).causes()
    assert (only.finding.about.name, [each.name for each in only.also]) == ("a", ["b"])


def test_a_later_pod_of_a_stateful_set_waits_for_the_first() -> None:
    stateful = thing("StatefulSet", "db", spec={"replicas": 3}, status={"replicas": 1, "readyReplicas": 0})
    first = pod(crashing(), name="db-0", owner=("StatefulSet", "db"))
    (only,) = Seen([stateful, first]).causes()
    assert only.finding.fault == "crash"
    assert [each.what for each in only.then] == [
        "2 pods of 3 are not made before db-0 is ready (podManagementPolicy OrderedReady)"
    ]


def test_what_was_not_read_is_not_taken_for_absent() -> None:
    seen = Seen(
        [claim(cls="fast"), ingress(cls="nginx", address=False), *healthy(), service(selector={"app": "other"})]
    )
    for cut in ("StorageClass", "IngressClass", "Pod", "Service"):
        with_cut = {each.finding.fault for each in seen.causes(cut=frozenset({cut}))}
        without = {each.finding.fault for each in seen.causes()}
        assert without - with_cut == {
            {"StorageClass": "storage_class", "IngressClass": "ingress_class", "Pod": "selector", "Service": ""}[cut]
        } - {""}


def test_a_secret_that_is_known_to_be_missing_is_said_and_its_content_is_never_needed() -> None:
    seen = Seen([ingress(tls=[{"secretName": "cert"}]), service(), *healthy()])
    assert seen.causes() == []
    (only,) = seen.causes(names={("Secret", SPACE): {"other"}})
    assert only.finding.fault == "ingress_secret"
    geo = seen_of(seeded()["image_forbidden"])
    ours = {("kubernetes.io/dockerconfigjson", "store"): {"team-registry"}}
    assert "team-registry is the usual one" in geo.causes(names=ours)[0].finding.what


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_every_fault_is_of_a_known_kind_and_its_calls_name_the_cluster(case: Case) -> None:
    for cause in case.seen.causes():
        for each in (cause.finding, *cause.then):
            assert each.fault in RANK
            assert all(call.arguments["cluster_id"] == "c1" for call in each.next)
            assert each.since is None or each.since <= AT


@pytest.mark.parametrize("code", [1, 2, 126, 255])
@pytest.mark.parametrize("place", [SPACE, "releases"])
def test_what_a_helm_release_made_goes_back_with_the_release(code: int, place: str) -> None:
    objects = [*deployment(), pod(crashing(code))]
    calls = [each.tool for one in Seen(objects).causes() for each in one.finding.next]
    assert "k8s_rollout" in calls
    objects[0]["metadata"]["annotations"] |= {
        "meta.helm.sh/release-name": "store",
        "meta.helm.sh/release-namespace": place,
    }
    found = {each.tool: each.arguments for one in Seen(objects).causes() for each in one.finding.next}
    assert "k8s_rollout" not in found
    history = found["get_release_history"]
    assert (history["name"], history["namespace"]) == ("store", place)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_a_call_that_shows_a_workload_shows_its_pod_template(case: Case) -> None:
    calls = [each for one in case.seen.causes() for each in one.finding.next if each.tool == "k8s_get"]
    for each in calls:
        made_of_pods = each.arguments["kind"] in ("deployment", "statefulset", "daemonset", "job", "cronjob", "pod")
        assert not made_of_pods or each.arguments["detail"] == "full"


PROBES: dict[str, dict[str, Any]] = {
    "readiness": {"httpGet": {"path": "/ok", "port": 8081}},
    "startup": {"httpGet": {"path": "/ok", "port": "web"}},
    "liveness": {"tcpSocket": {"port": 9090}},
}


def asking(kind: str, ports: Sequence[int] = (8080,)) -> list[Json]:
    """Return a workload whose probe asks a port that its container does not have."""
    declared = [{"containerPort": each} for each in ports]
    probe: dict[str, Any] = {f"{kind}Probe": PROBES[kind]}
    if kind == "liveness":
        return [*deployment(), pod(crashing(137, ports=declared, **probe))]
    return [*deployment(), pod(runs(ready=False, started=kind == "readiness", since=30, ports=declared, **probe))]


def events_of(kind: str, objects: Sequence[Json]) -> list[Json]:
    failed = event(objects[-1], "Unhealthy", f"{kind.title()} probe failed: dial tcp: connect: connection refused")
    killed = event(objects[-1], "Killing", f"Container app failed {kind} probe, will be restarted")
    return [failed, killed] if kind == "liveness" else [failed]


@pytest.mark.parametrize("kind", PROBES)
def test_a_probe_that_asks_the_wrong_port_leads_to_the_patch_that_corrects_it(kind: str) -> None:
    objects = asking(kind)
    first = Seen(objects, events_of(kind, objects)).causes()[0].finding
    patch = first.next[0]
    assert patch.tool == "k8s_patch", first.what
    assert (patch.arguments["kind"], patch.arguments["name"]) == ("deployment", "cart")
    how = next(iter(PROBES[kind]))
    container = {"name": "app", f"{kind}Probe": {how: {"port": 8080}}}
    assert json.loads(patch.arguments["patch"]) == {"spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.mark.parametrize("kind", PROBES)
def test_what_a_release_made_leads_to_the_release_before_the_patch(kind: str) -> None:
    objects = asking(kind)
    objects[0]["metadata"]["annotations"] |= {"meta.helm.sh/release-name": "store"}
    first = Seen(objects, events_of(kind, objects)).causes()[0].finding
    assert [each.tool for each in first.next[:2]] == ["get_release_history", "k8s_patch"]
    assert "until the next update of its release" in first.next[1].why


@pytest.mark.parametrize("kind", PROBES)
def test_no_patch_is_made_up_where_several_ports_may_be_meant(kind: str) -> None:
    objects = asking(kind, (8080, 9091))
    causes = Seen(objects, events_of(kind, objects)).causes()
    assert not any(each.tool == "k8s_patch" for one in causes for each in one.finding.next)


def test_a_finding_is_held_against_those_about_the_same_thing_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, explains = list[Finding](), order._explains

    def counted(cause: Finding, other: Finding) -> bool:
        tried.append(cause)
        return explains(cause, other)

    monkeypatch.setattr(order, "_explains", counted)
    count = 300
    pods = [Thing("Pod", "shop", f"web-{at}") for at in range(count)]
    services = [Thing("Service", "shop", f"web-{at}") for at in range(count)]
    fault, follows = (sorted(RANK, key=RANK.__getitem__)[at] for at in (0, -1))
    causes = order.in_order(
        [
            *(Finding(fault, each, "fails", explains=frozenset({of})) for each, of in zip(pods, services, strict=True)),
            *(Finding(follows, each, "has no pods", after=frozenset({each})) for each in services),
        ]
    )
    assert len(tried) == count
    assert [[each.about for each in cause.then] for cause in causes if cause.then] == [
        [of] for of in sorted(services, key=str)
    ]
