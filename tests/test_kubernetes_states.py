"""How objects are, by what they report: workloads as `kubectl rollout status` has it, pods as `kubectl get` has it."""

from collections.abc import Iterator
from typing import Any

import pytest
from fake_cluster import NOW, ago, made, pod

from ap_mcp.kubernetes.events import event_line, newest
from ap_mcp.kubernetes.pods import containers_of, is_healthy, not_scheduled, status_of
from ap_mcp.kubernetes.rollouts import rollout_of
from ap_mcp.kubernetes.show import container_shown, pod_shown
from ap_mcp.kubernetes.states import label_selector, matters, state_of


def deployment(**more: Any) -> dict[str, Any]:
    spec = {"replicas": 3, **more.pop("spec", {})}
    metadata = {"generation": 2, **more.pop("metadata", {})}
    healthy = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    return made("Deployment", "cart", "shop", metadata=metadata, spec=spec, status={**healthy, **more})


def progressing(reason: str, status: str = "True") -> list[dict[str, str]]:
    return [{"type": "Progressing", "reason": reason, "status": status}]


@pytest.mark.parametrize(
    ("body", "phase", "why"),
    [
        (deployment(), "done", ""),
        (deployment(spec={"replicas": 0}, replicas=0, updatedReplicas=0, readyReplicas=0), "scaled to 0", ""),
        (deployment(metadata={"generation": 3}), "under way", "not yet acted on"),
        (deployment(updatedReplicas=1), "under way", "1 of 3 pods are of the new version"),
        (deployment(replicas=4), "under way", "1 old pod still to end"),
        (deployment(availableReplicas=2), "under way", "2 of 3 pods available"),
        (deployment(availableReplicas=2, conditions=progressing("NewReplicaSetAvailable")), "done", "2 of 3 pods"),
        (deployment(updatedReplicas=1, conditions=progressing("NewReplicaSetAvailable")), "under way", "1 of 3"),
        (
            deployment(availableReplicas=0, conditions=progressing("ProgressDeadlineExceeded", "False")),
            "stuck",
            "600 s: 3 new pods are not ready",
        ),
        (
            deployment(replicas=4, updatedReplicas=1, conditions=progressing("ProgressDeadlineExceeded", "False")),
            "stuck",
            "600 s: 1 new pod is not ready",
        ),
        (
            deployment(
                updatedReplicas=0,
                conditions=[{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: q"}],
            ),
            "stuck",
            'pods cannot be made: "exceeded quota: q"',
        ),
        (deployment(spec={"paused": True}), "paused", "until it is resumed"),
    ],
)
def test_a_deployment_is_as_far_as_kubectl_says(body: dict[str, Any], phase: str, why: str) -> None:
    found = rollout_of("Deployment", body)
    assert found is not None
    assert found.phase == phase
    assert why in found.why
    assert bool(found.why) == bool(why)


def stateful(revisions: str = "aa", ready: int = 3, **more: Any) -> Any:
    spec = {"replicas": 3, "updateStrategy": more.pop("strategy", {"type": "RollingUpdate"})}
    said = {"currentRevision": revisions[0], "updateRevision": revisions[1], "readyReplicas": ready, **more}
    return made("StatefulSet", "db", "shop", spec=spec, status=said)


@pytest.mark.parametrize(
    ("body", "phase", "why"),
    [
        (stateful(), "done", ""),
        (stateful(ready=2), "done", "2 of 3 pods ready"),
        (stateful("ab", updatedReplicas=1), "under way", "1 of 3 pods are of the new version"),
        (stateful("ab", updatedReplicas=3, ready=2), "under way", "2 of 3 pods ready"),
        (stateful("ab", strategy={"type": "OnDelete"}), "paused", "once it is deleted"),
        (stateful("ab", updatedReplicas=1, strategy={"rollingUpdate": {"partition": 2}}), "done", ""),
    ],
)
def test_a_stateful_set_is_as_far_as_its_partition_lets_it_be(body: Any, phase: str, why: str) -> None:
    found = rollout_of("StatefulSet", body)
    assert found is not None
    assert (found.phase, why in found.why, bool(found.why)) == (phase, True, bool(why))


def container(**state: Any) -> dict[str, Any]:
    return {"name": "app", "restartCount": 0, "ready": "running" in state, "state": state}


def with_status(
    phase: str, *found: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **more: Any
) -> dict[str, Any]:
    first = [{"name": f"i{at}"} for at in range(len(init))]
    spec = {"containers": [{"name": "app"}], "initContainers": first}
    named = [{**each, "name": f"i{at}"} for at, each in enumerate(init)]
    reported = {"phase": phase, "containerStatuses": list(found), "initContainerStatuses": named, **more}
    return pod("x", spec=spec, status={"conditions": [], **reported})


RUNS, CRASHES = container(running={}), container(waiting={"reason": "CrashLoopBackOff"})
ENDED, FAILED = container(terminated={"exitCode": 0, "reason": "Completed"}), container(terminated={"exitCode": 3})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (with_status("Running", RUNS), "Running"),
        (with_status("Running", CRASHES), "CrashLoopBackOff"),
        (with_status("Succeeded", ENDED), "Completed"),
        (with_status("Failed", FAILED), "ExitCode:3"),
        (with_status("Failed", reason="Evicted"), "Evicted"),
        (with_status("Pending"), "Pending"),
        (with_status("Pending", init=(ENDED, RUNS)), "Init:1/2"),
        (with_status("Pending", init=(CRASHES,)), "Init:CrashLoopBackOff"),
        (with_status("Pending", init=(FAILED,)), "Init:ExitCode:3"),
        (with_status("Running", RUNS) | {"metadata": {"deletionTimestamp": ago(minutes=1)}}, "Terminating"),
    ],
)
def test_a_pod_has_the_status_that_kubectl_shows(body: dict[str, Any], status: str) -> None:
    assert status_of(body) == status


KINDS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "Deployment.apps": (deployment(availableReplicas=2, readyReplicas=2), "2 of 3 ready, rollout under way", False),
    "ReplicaSet.apps": (
        {"spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}}, "status": {"readyReplicas": 2}},
        "2 of 2 ready",
        True,
    ),
    "DaemonSet.apps": (
        {"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1, "numberReady": 1}},
        "1 of 2 ready, rollout under way: 1 of 2 pods available",
        False,
    ),
    "StatefulSet.apps": (stateful(), "3 of 3 ready, rollout done", True),
    "Pod": (
        with_status("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"}]),
        'no place for it: "Insufficient cpu"',
        False,
    ),
    "Job.batch": (
        {
            "status": {
                "failed": 4,
                "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}],
            }
        },
        "failed after 4 failed pods: BackoffLimitExceeded",
        False,
    ),
    "CronJob.batch": (
        {"spec": {"suspend": True, "schedule": "0 1 * * *"}, "status": {"lastScheduleTime": ago(hours=3)}},
        "suspended, 0 jobs running, last started 3 h ago",
        True,
    ),
    "Service": (
        {"spec": {"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 8080}], "selector": {"a": "b"}}},
        "LoadBalancer, its load balancer has no address yet",
        False,
    ),
    "Ingress.networking.k8s.io": (
        {
            "spec": {
                "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}},
                "rules": [
                    {"host": "a.b", "http": {"paths": [{"path": "/x", "backend": {"service": {"name": "web"}}}]}}
                ],
                "tls": [{"secretName": "t"}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
        },
        "has an address",
        True,
    ),
    "PersistentVolumeClaim": (
        {"status": {"phase": "Pending"}, "spec": {"accessModes": ["ReadWriteOnce"]}},
        "Pending",
        False,
    ),
    "PersistentVolume": (
        {"status": {"phase": "Bound"}, "spec": {"claimRef": {"namespace": "a", "name": "b"}}},
        "Bound",
        True,
    ),
    "HorizontalPodAutoscaler.autoscaling": (
        {
            "spec": {
                "maxReplicas": 5,
                "scaleTargetRef": {"kind": "Deployment", "name": "cart"},
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "U", "averageUtilization": 60}}}
                ],
            },
            "status": {"currentReplicas": 2, "conditions": [{"type": "ScalingActive", "status": "False"}]},
        },
        "2 replicas, 0 wanted, between 1 and 5; it cannot scale",
        False,
    ),
    "Node": (
        {"spec": {"unschedulable": True}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        "ready, closed to new pods",
        True,
    ),
    "Namespace": ({"status": {"phase": "Active"}}, "Active", True),
    "ConfigMap": ({"data": {"a": "b"}, "binaryData": {"c": "d"}, "immutable": True}, "2 keys, cannot be changed", True),
    "Secret": ({"data": {"a": "b"}, "type": "Opaque"}, "1 key", True),
    "PodDisruptionBudget.policy": (
        {"spec": {"minAvailable": 2}, "status": {"currentHealthy": 2, "desiredHealthy": 2}},
        "2 healthy of 2 that must be, 0 pods may be evicted now",
        True,
    ),
    "Role.rbac.authorization.k8s.io": ({"rules": [{"verbs": ["get"], "resources": ["pods"]}]}, "1 rule", True),
    "RoleBinding.rbac.authorization.k8s.io": (
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u", "namespace": "n"}]},
        'gives 1 subject "Role r"',
        True,
    ),
    "Cart.example.com": (
        {"spec": {"size": 3}, "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NoDisk"}]}},
        '"Ready=False (NoDisk)"',
        False,
    ),
    "Other.example.com": ({"status": {"phase": "Fine\nnext: x"}}, '"Fine next: x"', True),
}


@pytest.mark.parametrize("full", KINDS)
def test_each_kind_is_said_in_its_own_terms(full: str) -> None:
    body, said, healthy = KINDS[full]
    found = state_of(full, body, NOW)
    assert said in found.sentence
    assert found.healthy == healthy


def test_what_is_being_deleted_says_so_and_what_holds_it() -> None:
    body = {"metadata": {"deletionTimestamp": ago(minutes=5), "finalizers": ["kubernetes.io/pvc-protection"]}}
    found = state_of("PersistentVolumeClaim", body, NOW)
    assert found.sentence.startswith("being deleted since 5 min, held by the finalizers kubernetes.io/pvc-protection")
    assert not found.healthy


ODD: tuple[Any, ...] = (None, "", "text", 7, -1.5, True, [], {}, [None], {"a": None}, ["x"], [{"a": {}}])


def spoiled(body: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield an object with each of its parts, one at a time, replaced by each odd value."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, each in inner:
        for value in ODD:
            changed = dict(body) if isinstance(body, dict) else list(body)
            changed[key] = value
            yield (*way, key), changed
        for below, value in spoiled(each, (*way, key)):
            changed = dict(body) if isinstance(body, dict) else list(body)
            changed[key] = value
            yield below, changed


@pytest.mark.parametrize("full", KINDS)
def test_whatever_an_object_holds_instead_it_is_read(full: str) -> None:
    for way, body in spoiled(KINDS[full][0]):
        try:
            assert state_of(full, body, NOW).sentence
        except Exception as error:
            raise AssertionError(way) from error


def test_whatever_a_pod_or_an_event_holds_instead_it_is_read() -> None:
    last = {"exitCode": 1, "startedAt": ago(minutes=5), "finishedAt": ago(minutes=4)}
    thing = with_status("Running", {**CRASHES, "lastState": {"terminated": last}}, init=(ENDED, FAILED))
    for _, body in spoiled(thing):
        assert status_of(body)
        assert pod_shown(body) is not None
        assert all(container_shown(each, NOW).state for each in containers_of(body))
        assert isinstance(is_healthy(body), bool)
        assert isinstance(not_scheduled(body), str)
    said = {
        "involvedObject": {"kind": "Pod", "name": "x"},
        "series": {"count": 2},
        "lastTimestamp": ago(minutes=1),
        "count": 3,
    }
    for _, body in spoiled({**said, "message": "m", "type": "Normal"}):
        assert event_line(newest([body])[0], NOW).type


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({"matchLabels": {"app": "cart", "tier": "web"}}, "app=cart,tier=web"),
        ({"app": "cart"}, "app=cart"),
        (
            {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["x", "y"]},
                    {"key": "b", "operator": "NotIn", "values": ["z"]},
                    {"key": "c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                ]
            },
            "a in (x,y),b notin (z),c,!d",
        ),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_selector_is_written_as_a_query_has_it(selector: Any, said: str) -> None:
    assert label_selector(selector) == said


@pytest.mark.parametrize(
    ("kind", "status", "wrong"),
    [
        ("Ready", "True", False),
        ("Ready", "Unknown", True),
        ("MemoryPressure", "False", False),
        ("MemoryPressure", "True", True),
        ("ReplicaFailure", "True", True),
        ("ScalingLimited", "False", False),
    ],
)
def test_a_condition_matters_if_it_is_not_as_it_should_be(kind: str, status: str, wrong: bool) -> None:
    assert matters({"type": kind, "status": status}) is wrong


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (({**RUNS, "ready": False},), "Running, 0/1 ready"),
        ((RUNS,), "Running, 1/1 ready"),
        ((CRASHES,), "CrashLoopBackOff"),
    ],
)
def test_a_running_pod_that_is_shown_among_others_says_how_many_of_it_are_ready(
    found: tuple[dict[str, Any], ...], said: str
) -> None:
    assert pod_shown(with_status("Running", *found)).status == said
