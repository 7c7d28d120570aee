"""k8s_get: one object with its state, what matters of it, events of it and of what it owns, and no secret."""

import base64
import json
from typing import Any

import pytest
from fake_cluster import FakeCluster, ago, ask, event, made, owned, pod, status
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.cloud.bodies import Came
from ap_mcp.errors import CallRefused, NotFound
from ap_mcp.guard.policy import Policy, Rule
from ap_mcp.kubernetes.sealed import LAST_APPLIED, page_of
from ap_mcp.rendering import render

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

BYTES_OF_A_TOKEN = 2.7
"""Fewer than such an answer has in either half; `make bench` counts the tokens themselves."""
LABELS = {"app": "pay"}


def deployment(ready: int = 2, **more: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "app", "image": "swr/shop/pay:2.4.0"}]},
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "strategy": {"type": "RollingUpdate"},
        "template": template,
    }
    annotations = {"deployment.kubernetes.io/revision": "3", LAST_APPLIED: '{"a": "password=hunter2hunter2"}'}
    progress = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    available = {"type": "Available", "status": "True" if ready == 2 else "False", "reason": "MinimumReplicas"}
    reported = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": ready, "availableReplicas": ready}
    found = {**reported, "observedGeneration": 3, "conditions": [available, progress], **more}
    metadata = {
        "generation": 3,
        "labels": LABELS,
        "annotations": annotations,
        "managedFields": [{"manager": "kubectl"}],
    }
    return made("Deployment", "pay", "shop", metadata=metadata, spec=spec, status=found)


def replica_set(of: dict[str, Any], revision: int, ready: int, image: str) -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    metadata = {"labels": LABELS, "annotations": annotations, **owned(of)}
    spec = {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}
    return made("ReplicaSet", f"pay-{revision}", "shop", metadata=metadata, spec=spec, status={"readyReplicas": ready})


def crashing(name: str, owner: dict[str, Any]) -> dict[str, Any]:
    last = {"exitCode": 1, "reason": "Error", "startedAt": ago(minutes=5, seconds=2), "finishedAt": ago(minutes=5)}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
    found = {
        "name": "app",
        "ready": False,
        "restartCount": 14,
        "state": {"waiting": waiting},
        "lastState": {"terminated": last},
    }
    reported = {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [found]}
    return pod(name, labels=LABELS, metadata=owned(owner), status=reported)


def broken() -> FakeCluster:
    """A Deployment of which one pod crashes."""
    thing = deployment(1)
    newest, older = replica_set(thing, 3, 1, "swr/shop/pay:2.4.0"), replica_set(thing, 2, 0, "swr/shop/pay:2.3.0")
    healthy, bad = pod("pay-3-a", labels=LABELS, metadata=owned(newest)), crashing("pay-3-b", newest)
    said = [
        event(thing, "ScalingReplicaSet", "Scaled up replica set pay-3", lastTimestamp=ago(minutes=50)),
        event(newest, "SuccessfulCreate", "Created pod: pay-3-b", lastTimestamp=ago(minutes=45)),
        event(bad, "BackOff", "Back-off restarting failed container", type="Warning", count=66),
        event(healthy, "Pulled", "Container image already present"),
    ]
    return FakeCluster([made("Namespace", "shop"), thing, older, newest, healthy, bad, *said])


async def test_a_healthy_deployment_is_shown_in_five_hundred_tokens_and_few_requests() -> None:
    thing = deployment()
    versions = [replica_set(thing, at, 2 if at == 3 else 0, f"swr/shop/pay:2.{at}.0") for at in range(1, 4)]
    cluster = FakeCluster([thing, *versions, event(thing, "ScalingReplicaSet", "Scaled up replica set pay-3 to 2")])
    found = await ask(cluster, "k8s_get", kind="deploy", name="pay", namespace="shop")
    assert found.summary == "Deployment pay in shop of shop-prod: 2 of 2 ready, rollout done."
    assert [each.revision for each in found.revisions] == ["3", "2", "1"]
    assert (found.conditions, found.pods, found.warnings, found.next) == (None, None, [], [])
    assert found.facts["selector"] == "app=pay"
    for half in (render(found), json.dumps(found.structured(), ensure_ascii=False, separators=(",", ":"))):
        assert len(half) <= 500 * BYTES_OF_A_TOKEN
    assert len(cluster.seen) == 4


async def test_what_is_wrong_is_shown_with_the_events_of_what_the_object_owns() -> None:
    cluster = broken()
    found = await ask(cluster, "k8s_get", kind="deploy", name="pay", namespace="shop")
    assert "1 of 2 ready, rollout done: 1 of 2 pods available" in found.summary
    assert [(each.name, each.status, each.restarts) for each in found.pods] == [("pay-3-b", "CrashLoopBackOff", 14)]
    assert [each.type for each in found.conditions] == ["Available"]
    assert [each.reason for each in found.events] == ["BackOff", "SuccessfulCreate", "ScalingReplicaSet"]
    assert found.events[0].object == "pod/pay-3-b"
    assert found.next[0].tool == "k8s_diagnose"
    asked = [each for each in cluster.seen if "/events" in each]
    assert all("involvedObject.name=" in each for each in asked)
    assert len(asked) == 3


async def test_what_could_not_be_read_is_said_and_nothing_is_concluded_from_it() -> None:
    def first(request: Any) -> Any:
        return status(403, "Forbidden", "no") if request.url.path.endswith(("/events", "/replicasets")) else None

    cluster = broken()
    cluster.first = first
    found = await ask(cluster, "k8s_get", kind="deploy", name="pay", namespace="shop")
    assert sorted(each.split()[1] for each in found.warnings) == ["events", "revisions"]
    assert "403" in found.warnings[0]
    assert found.events is None
    assert "events: none" in render(
        await ask(FakeCluster([deployment()]), "k8s_get", kind="deploy", name="pay", namespace="shop")
    )


@pytest.mark.parametrize(
    ("ready", "said"),
    [
        ([], "ClusterIP, no ready pod is behind it: its selector matches no pod that has an address."),
        ([False], "ClusterIP, no ready pod is behind it: 1 pod is not ready."),
        ([False, False], "ClusterIP, no ready pod is behind it: 2 pods are not ready."),
        ([False, True], "ClusterIP."),
    ],
)
async def test_a_service_without_a_ready_pod_says_so_and_why(ready: list[bool], said: str) -> None:
    service = made("Service", "pay", "shop", spec={"type": "ClusterIP", "selector": LABELS})
    ends = [{"addresses": ["10.0.0.1"], "conditions": {"ready": each}} for each in ready]
    labels = {"labels": {"kubernetes.io/service-name": "pay"}}
    cluster = FakeCluster([service, made("EndpointSlice", "pay-1", "shop", metadata=labels, endpoints=ends)])
    found = await ask(cluster, "k8s_get", kind="service", name="pay", namespace="shop")
    assert found.summary.endswith(said)
    assert [each.tool for each in found.next] == ([] if any(ready) else ["k8s_diagnose"])


async def test_a_crashed_container_says_how_it_ended_and_leads_to_its_log() -> None:
    found = await ask(broken(), "k8s_get", kind="pod", name="pay-3-b", namespace="shop")
    assert found.summary.endswith("CrashLoopBackOff, 0 of 1 container ready.")
    shown = found.containers[0]
    assert (shown.state, shown.restarts) == ("waiting: CrashLoopBackOff", 14)
    assert shown.last == "ended with code 1 (Error), 5 min ago, after 2 s"
    assert [each.tool for each in found.next] == ["k8s_diagnose", "k8s_logs"]
    assert found.facts["owner"] == "ReplicaSet/pay-3"


HIDDEN = "s3cr3t-Pa55-word-9f8e7d"


def full_of_secrets() -> list[dict[str, Any]]:
    encoded = base64.b64encode(HIDDEN.encode()).decode()
    applied = {LAST_APPLIED: json.dumps({"stringData": {"password": HIDDEN}, "data": {"p": encoded}})}
    secret = made(
        "Secret", "db", "shop", type="Opaque", data={"password": encoded, "copy": encoded, "user": "YWRtaW4="}
    )
    secret["stringData"], secret["metadata"]["annotations"] = {"new": HIDDEN}, {**applied, "note": f"token={HIDDEN}"}
    config = made(
        "ConfigMap", "app", "shop", data={"DB_PASSWORD": HIDDEN, "LOG": "info", "app.ini": f"[db]\npassword={HIDDEN}\n"}
    )
    config["metadata"]["annotations"] = applied
    env = [{"name": "DB_PASSWORD", "value": HIDDEN}, {"name": "MODE", "value": "fast"}]
    runs = pod("web", spec={"containers": [{"name": "app", "image": "x", "env": env, "args": ["--password", HIDDEN]}]})
    message = {"waiting": {"reason": "Error", "message": f"cannot sign in: password={HIDDEN}"}}
    runs["status"]["containerStatuses"][0]["state"] = message
    runs["metadata"]["annotations"] = applied
    custom = {
        **config,
        "kind": "ConfigMap",
        "metadata": {**config["metadata"], "name": "other"},
        "binaryData": {"k": encoded},
    }
    return [secret, config, runs, custom, event(runs, "Failed", f"login with password={HIDDEN} refused")]


@pytest.mark.parametrize("detail", ["summary", "full"])
@pytest.mark.parametrize(("kind", "name"), [("secret", "db"), ("cm", "app"), ("pod", "web"), ("cm", "other")])
async def test_no_form_of_an_answer_holds_a_secret(kind: str, name: str, detail: str) -> None:
    cluster = FakeCluster(full_of_secrets())
    found = await ask(cluster, "k8s_get", kind=kind, name=name, namespace="shop", detail=detail)
    encoded = base64.b64encode(HIDDEN.encode()).decode()
    for half in (render(found), json.dumps(found.structured())):
        assert HIDDEN not in half
        assert encoded not in half
        assert "last-applied" not in half
        assert "managedFields" not in half
        assert name in half


async def test_values_of_a_secret_can_be_compared_by_their_tags_alone() -> None:
    cluster = FakeCluster(full_of_secrets())
    secret = {
        each.key: each for each in (await ask(cluster, "k8s_get", kind="secret", name="db", namespace="shop")).data
    }
    assert (secret["password"].bytes, secret["user"].bytes) == (len(HIDDEN), 5)
    assert secret["password"].tag == secret["copy"].tag == secret["new"].tag != secret["user"].tag
    config = {each.key: each for each in (await ask(cluster, "k8s_get", kind="cm", name="app", namespace="shop")).data}
    assert config["DB_PASSWORD"].tag == secret["password"].tag
    assert (config["LOG"].value, config["LOG"].tag) == ("info", None)
    assert all(each.value is None for each in secret.values())


@given(
    st.dictionaries(st.text(max_size=12), st.text(min_size=6, max_size=30), max_size=4),
    st.sampled_from(["Pod", None, "SecretList"]),
)
def test_whatever_a_secret_calls_itself_none_of_its_values_is_kept(data: dict[str, str], kind: str | None) -> None:
    values = {f"k{at}": f"value-{at}-{value}" for at, value in enumerate(data.values())}
    encoded = {key: base64.b64encode(value.encode(errors="replace")).decode() for key, value in values.items()}
    came = Came({"kind": kind, "metadata": {"name": "x"}, "data": encoded, "stringData": values})
    sealed = page_of(came, "Secret")
    shown = json.dumps([sealed.body, [each.model_dump() for each in sealed.keys or ()]], ensure_ascii=False)
    assert not [each for each in [*values.values(), *encoded.values()] if each in shown]
    assert len(sealed.keys or ()) == 2 * len(values)


async def test_a_name_that_is_not_there_names_close_ones_and_other_namespaces() -> None:
    cluster = broken()
    cluster.objects += [made("ConfigMap", "settings", "other")]
    for said, hint in (
        ("Pay", "Did you mean pay"),
        ("pya", "Did you mean pay"),
        ("cart", "There are deployments: pay"),
    ):
        with pytest.raises(NotFound, match=hint):
            await ask(cluster, "k8s_get", kind="deploy", name=said, namespace="shop")
    with pytest.raises(NotFound, match="There is one in another namespace: other"):
        await ask(cluster, "k8s_get", kind="cm", name="settings", namespace="shop")
    with pytest.raises(NotFound, match=r"There is no namespace shpo\. Did you mean shop\?"):
        await ask(cluster, "k8s_get", kind="cm", name="settings", namespace="shpo")
    with pytest.raises(NotFound, match="There are no jobs in namespace shop"):
        await ask(cluster, "k8s_get", kind="job", name="x", namespace="shop")


async def test_a_rule_about_names_closes_the_object_and_what_is_read_beside_it() -> None:
    rules = Policy(rules=(Rule("deny", effects=("read",), kinds=("Event",)),))
    found = await ask(broken(), "k8s_get", kind="deploy", name="pay", namespace="shop", rules=rules)
    assert found.warnings == ["The events were not read: a rule forbids it."]
    cluster = broken()
    closed = Policy(rules=(Rule("deny", effects=("read",), kinds=("Deployment",), names=("pay",)),))
    with pytest.raises(CallRefused, match="Refused by policy"):
        await ask(cluster, "k8s_get", kind="deploy", name="pay", namespace="shop", rules=closed)
    assert cluster.seen == []


async def test_a_namespace_for_a_kind_that_is_in_none_is_refused() -> None:
    with pytest.raises(CallRefused, match="nodes are in no namespace"):
        await ask(FakeCluster(), "k8s_get", kind="node", name="x", namespace="shop")


async def test_the_scale_and_the_status_of_an_object_are_read_by_themselves() -> None:
    scale = {
        "kind": "Scale",
        "metadata": {"name": "pay", "namespace": "shop"},
        "spec": {"replicas": 3},
        "status": {"replicas": 2},
    }
    path = "/apis/apps/v1/namespaces/shop/deployments/pay"
    cluster = FakeCluster(paths={f"{path}/scale": scale, f"{path}/status": deployment()})
    asked: dict[str, Any] = {"kind": "deploy", "name": "pay", "namespace": "shop"}
    found = await ask(cluster, "k8s_get", subresource="scale", **asked)
    assert found.summary == "Scale of Deployment pay of shop-prod: 3 wanted, 2 there."
    found = await ask(cluster, "k8s_get", subresource="status", **asked)
    assert found.full["readyReplicas"] == 2
    assert cluster.paths_seen == [f"{path}/scale", f"{path}/status"]
