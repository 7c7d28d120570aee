"""What runs in a simulated cluster: rollouts, jobs, sets, services, budgets, quotas, logs, watches, limits."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes_calls import (
    APPS,
    BATCH,
    CORE,
    DEPLOYMENTS,
    JOBS,
    MERGE,
    SHOP,
    STRATEGIC,
    TABLE,
    Cluster,
    cluster_with_shop,
    config_map,
    deployment,
    job,
)

from ap_mcp.simulator.kubernetes.schedules import next_moment
from ap_mcp.simulator.kubernetes.store import MOST_HISTORY
from ap_mcp.simulator.kubernetes.watching import BOOKMARK_SECONDS, POLL_SECONDS
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio
PODS, SETS, EVENTS = f"{SHOP}/pods", f"{APPS}/namespaces/shop/replicasets", f"{SHOP}/events"
STATEFUL = f"{APPS}/namespaces/shop/statefulsets"
CRON = f"{BATCH}/namespaces/shop/cronjobs"


@pytest.fixture
async def shop() -> Cluster:
    return await cluster_with_shop()


async def status(shop: Cluster, path: str) -> Any:
    return (await shop.ok("GET", path))["status"]


def met(status_: Any) -> dict[str, str]:
    return {each["type"]: each.get("reason", "") for each in status_["conditions"] if each["status"] == "True"}


async def reasons(shop: Cluster) -> set[str]:
    return {each["reason"] for each in (await shop.ok("GET", EVENTS))["items"]}


async def test_a_deployment_runs_after_a_while(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    assert [row[2] for row in await shop.table(PODS)] == ["ContainerCreating"] * 2
    assert "Available" not in met(await status(shop, f"{DEPLOYMENTS}/web"))
    shop.world.advance(10)
    done = await status(shop, f"{DEPLOYMENTS}/web")
    assert (done["replicas"], done["readyReplicas"], done["observedGeneration"]) == (2, 2, 1)
    assert met(done) == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
    assert [row[1:4] for row in await shop.table(PODS)] == [["1/1", "Running", "0"]] * 2
    assert await reasons(shop) >= {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulled", "Started"}


async def test_a_rollout_never_has_fewer_pods_than_it_may(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=4))
    shop.world.advance(10)
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [
        {"name": "app", "image": "nginx:1.28"}]}}}}, type=STRATEGIC)  # fmt: skip
    seen = set()
    for _ in range(40):
        shop.world.advance(0.5)
        sets = (await shop.ok("GET", SETS))["items"]
        seen.add((sum(each["status"].get("availableReplicas", 0) for each in sets),
                  sum(each["spec"]["replicas"] for each in sets)))  # fmt: skip
    assert min(available for available, _ in seen) >= 3
    assert max(total for _, total in seen) <= 5
    assert {row[6] for row in await shop.table(SETS) if row[1]} == {"nginx:1.28"}
    assert (await status(shop, f"{DEPLOYMENTS}/web"))["updatedReplicas"] == 4


async def test_revisions_are_counted_and_an_old_template_comes_back_as_the_newest(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    for image in ("n:2", "nginx:1.27"):
        shop.world.advance(20)
        await shop.ok("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [
            {"name": "app", "image": image}]}}}}, type=STRATEGIC)  # fmt: skip
    shop.world.advance(20)
    key = "deployment.kubernetes.io/revision"
    found = {each["spec"]["template"]["spec"]["containers"][0]["image"]: each["metadata"]["annotations"][key]
             for each in (await shop.ok("GET", SETS))["items"]}  # fmt: skip
    assert found == {"n:2": "2", "nginx:1.27": "3"}
    assert (await shop.ok("GET", f"{DEPLOYMENTS}/web"))["metadata"]["annotations"][key] == "3"


async def test_only_so_many_old_revisions_are_kept(shop: Cluster) -> None:
    body: Any = deployment()
    body["spec"]["revisionHistoryLimit"] = 1
    await shop.ok("POST", DEPLOYMENTS, body)
    for number in range(3):
        shop.world.advance(20)
        patch = {"spec": {"template": {"metadata": {"annotations": {"n": str(number)}}}}}
        await shop.ok("PATCH", f"{DEPLOYMENTS}/web", patch, type=MERGE)
    shop.world.advance(20)
    assert len(await shop.names(SETS)) == 2


async def test_an_image_that_cannot_be_pulled_stalls_a_rollout(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "shop/web:broken"}]}}}}
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", patch, type=STRATEGIC)
    shop.world.advance(10)
    assert sorted(row[2] for row in await shop.table(PODS)) == ["ImagePullBackOff", "Running", "Running"]
    assert "Failed to pull image" in " ".join(e["message"] for e in (await shop.ok("GET", EVENTS))["items"])
    shop.world.advance(700)
    late = await status(shop, f"{DEPLOYMENTS}/web")
    assert [each["reason"] for each in late["conditions"] if each["type"] == "Progressing"] == [
        "ProgressDeadlineExceeded"
    ]
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [
        {"name": "app", "image": "shop/web:2"}]}}}}, type=STRATEGIC)  # fmt: skip
    shop.world.advance(30)
    assert met(await status(shop, f"{DEPLOYMENTS}/web"))["Progressing"] == "NewReplicaSetAvailable"


async def test_a_pod_waits_for_what_it_needs_and_starts_when_it_is_there(shop: Cluster) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "smtp", "key": "k"}}}]
    body: Any = deployment(replicas=1)
    body["spec"]["template"]["spec"]["containers"][0] |= {"env": env, "envFrom": [{"configMapRef": {"name": "c"}}]}
    await shop.ok("POST", f"{SHOP}/configmaps", config_map("c"))
    await shop.ok("POST", DEPLOYMENTS, body)
    shop.world.advance(10)
    (pod,) = (await shop.ok("GET", PODS))["items"]
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "smtp" not found'}
    await shop.ok("POST", f"{SHOP}/secrets", {"metadata": {"name": "smtp"}})
    shop.world.advance(30)
    (pod,) = (await shop.ok("GET", PODS))["items"]
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["message"] == "couldn't find key k in Secret shop/smtp"
    await shop.ok("PATCH", f"{SHOP}/secrets/smtp", {"stringData": {"k": "v"}}, type=MERGE)
    shop.world.advance(30)
    assert [row[2] for row in await shop.table(PODS)] == ["Running"]


async def test_a_paused_deployment_does_not_roll_out(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    paused = {"spec": {"paused": True, "template": {"metadata": {"annotations": {"a": "b"}}}}}
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", paused, type=MERGE)
    shop.world.advance(10)
    assert len(await shop.names(SETS)) == 1
    conditions = (await status(shop, f"{DEPLOYMENTS}/web"))["conditions"]
    assert "DeploymentPaused" in {each.get("reason") for each in conditions}
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"paused": False}}, type=MERGE)
    shop.world.advance(20)
    assert len(await shop.names(SETS)) == 2


async def test_a_deployment_that_recreates_stops_all_before_it_starts_any(shop: Cluster) -> None:
    body: Any = deployment()
    body["spec"]["strategy"] = {"type": "Recreate"}
    await shop.ok("POST", DEPLOYMENTS, body)
    shop.world.advance(10)
    await shop.ok(
        "PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}, type=MERGE
    )
    assert {row[2] for row in await shop.table(PODS)} == {"Terminating"}
    shop.world.advance(20)
    assert [row[1] for row in await shop.table(DEPLOYMENTS)] == ["2/2"]


async def test_a_scale_is_read_and_written(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    path = f"{DEPLOYMENTS}/web/scale"
    scale = await shop.ok("GET", path)
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 2}, "app=web")
    await shop.ok("PUT", path, scale | {"spec": {"replicas": 3}})
    assert "has been modified" in (await shop.refused("PUT", path, scale | {"spec": {"replicas": 1}}))["message"]
    shop.world.advance(10)
    less = await shop.ok("PATCH", path, [{"op": "replace", "path": "/spec/replicas", "value": 1}],
                         type="application/json-patch+json")  # fmt: skip
    assert less["spec"] == {"replicas": 1}
    shop.world.advance(10)
    assert [row[1] for row in await shop.table(DEPLOYMENTS)] == ["1/1"]
    assert (await shop.refused("PUT", path, []))["code"] == 400


async def test_a_deleted_pod_is_replaced(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    first, *_ = await shop.names(PODS)
    going = await shop.ok("DELETE", f"{PODS}/{first}")
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    shop.world.advance(10)
    names = await shop.names(PODS)
    assert (len(names), first in names) == (2, False)
    await shop.ok("DELETE", f"{PODS}/{names[0]}", {"gracePeriodSeconds": 0})
    await shop.refused("GET", f"{PODS}/{names[0]}")


async def test_a_service_reaches_the_pods_that_are_ready(shop: Cluster) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}], "type": "LoadBalancer"}
    made = await shop.ok("POST", f"{SHOP}/services", {"metadata": {"name": "web"}, "spec": spec})
    assert made["spec"]["ports"][0]["nodePort"] >= 30000
    assert (await status(shop, f"{SHOP}/services/web"))["loadBalancer"]["ingress"][0]["ip"].startswith("203.0.113.")
    assert "subsets" not in await shop.ok("GET", f"{SHOP}/endpoints/web")
    await shop.ok("POST", DEPLOYMENTS, deployment())
    (subset,) = (await shop.ok("GET", f"{SHOP}/endpoints/web"))["subsets"]
    assert (len(subset["notReadyAddresses"]), "addresses" in subset) == (2, False)
    shop.world.advance(10)
    (subset,) = (await shop.ok("GET", f"{SHOP}/endpoints/web"))["subsets"]
    assert (len(subset["addresses"]), subset["ports"][0]["port"]) == (2, 8080)
    slices = (await shop.ok("GET", "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"))["items"]
    assert [each["conditions"]["ready"] for each in slices[0]["endpoints"]] == [True, True]
    outside = {"type": "ExternalName", "externalName": "example.com"}
    await shop.ok("POST", f"{SHOP}/services", {"metadata": {"name": "out"}, "spec": outside})
    assert next(row[1:5] for row in await shop.table(f"{SHOP}/services")) == [
        "ExternalName",
        "<none>",
        "example.com",
        "<none>",
    ]


async def test_a_job_runs_to_its_end(shop: Cluster) -> None:
    made = await shop.ok("POST", JOBS, job(completions=3, parallelism=2))
    assert made["spec"]["backoffLimit"] == 6
    shop.world.advance(4)
    running = await status(shop, f"{JOBS}/once")
    assert (running["active"], running["ready"]) == (2, 2)
    shop.world.advance(30)
    done = await status(shop, f"{JOBS}/once")
    assert (done["succeeded"], met(done)["Complete"]) == (3, "CompletionsReached")
    assert (await shop.table(JOBS))[0][:3] == ["once", "Complete", "3/3"]
    assert {row[2] for row in await shop.table(PODS)} == {"Completed"}
    frozen = await shop.refused(
        "PATCH", f"{JOBS}/once", {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}, type=MERGE
    )
    assert "field is immutable" in frozen["message"]


async def test_a_job_that_takes_too_long_is_given_up(shop: Cluster) -> None:
    await shop.ok("POST", JOBS, job(image="tool:broken", activeDeadlineSeconds=15))
    shop.world.advance(60)
    assert met(await status(shop, f"{JOBS}/once"))["Failed"] == "DeadlineExceeded"


async def test_a_suspended_job_waits(shop: Cluster) -> None:
    await shop.ok("POST", JOBS, job(suspend=True))
    shop.world.advance(10)
    assert met(await status(shop, f"{JOBS}/once")) == {"Suspended": "JobSuspended"}
    assert await shop.names(PODS) == []


async def test_a_cron_job_makes_jobs_when_they_are_due_and_keeps_a_few(shop: Cluster) -> None:
    body: Any = {"metadata": {"name": "tick"}, "spec": {"schedule": "*/5 * * * *", "successfulJobsHistoryLimit": 2,
            "jobTemplate": {"spec": job()["spec"]}}}  # fmt: skip
    await shop.ok("POST", CRON, body)
    shop.world.advance(1800)
    assert len(await shop.names(JOBS)) in {2, 3}
    row = (await shop.table(CRON))[0]
    assert (row[0], row[1], row[3]) == ("tick", "*/5 * * * *", "False")
    last = await status(shop, f"{CRON}/tick")
    assert last["lastScheduleTime"] == "2025-06-02T08:30:00Z"
    await shop.ok("PATCH", f"{CRON}/tick", {"spec": {"suspend": True}}, type=MERGE)
    before = await shop.names(JOBS)
    shop.world.advance(1800)
    assert await shop.names(JOBS) == before
    bad = {"metadata": {"name": "bad"}, "spec": {**body["spec"], "schedule": "often"}}
    assert "expected exactly 5 fields" in (await shop.refused("POST", CRON, bad))["message"]


MONDAY = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("*/15 * * * *", (6, 2, 8, 15)),
        ("0 8 * * *", (6, 3, 8, 0)),
        ("30 2 1 * *", (7, 1, 2, 30)),
        ("0 0 * * sun", (6, 8, 0, 0)),
        ("0 9-17/4 * * mon-fri", (6, 2, 9, 0)),
        ("0 0 13 * fri", (6, 6, 0, 0)),
        ("5,35 8 * jul *", (7, 1, 8, 5)),
        ("@hourly", (6, 2, 9, 0)),
        ("0 0 30 2 *", None),
        ("nonsense", None),
        ("a b c d e", None),
    ],
)
def test_schedules_are_read(schedule: str, due: tuple[int, int, int, int] | None) -> None:
    wanted = None if due is None else datetime(2025, *due, tzinfo=UTC)
    assert next_moment(schedule, MONDAY) == wanted


async def test_the_pods_of_a_stateful_set_come_one_after_the_other(shop: Cluster) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "csi-disk",
             "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    body: Any = deployment("db", 2)
    body |= {"kind": "StatefulSet"}
    body["spec"] |= {"serviceName": "db", "volumeClaimTemplates": [claim]}
    await shop.ok("POST", STATEFUL, body)
    assert await shop.names(PODS) == ["db-0"]
    shop.world.advance(30)
    assert await shop.names(PODS) == ["db-0", "db-1"]
    assert await shop.names(f"{SHOP}/persistentvolumeclaims") == ["data-db-0", "data-db-1"]
    assert (await shop.table(STATEFUL))[0][:2] == ["db", "2/2"]
    change = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    await shop.ok("PATCH", f"{STATEFUL}/db", change, type=MERGE)
    going = [row[0] for row in await shop.table(PODS) if row[2] == "Terminating"]
    assert going == ["db-1"]
    shop.world.advance(60)
    done = await status(shop, f"{STATEFUL}/db")
    assert (done["updatedReplicas"], done["currentRevision"] == done["updateRevision"]) == (2, True)
    await shop.ok("PATCH", f"{STATEFUL}/db", {"spec": {"replicas": 0}}, type=MERGE)
    shop.world.advance(30)
    assert await shop.names(PODS) == []
    refusal = await shop.refused("PATCH", f"{STATEFUL}/db", {"spec": {"serviceName": "x"}}, type=MERGE)
    assert "updates to statefulset spec for fields other than" in refusal["message"]


async def test_a_pod_without_a_volume_is_not_scheduled_until_it_has_one(shop: Cluster) -> None:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1, volumes=[volume]))
    shop.world.advance(5)
    (pod,) = (await shop.ok("GET", PODS))["items"]
    assert 'persistentvolumeclaim "disk" not found' in pod["status"]["conditions"][0]["message"]
    spec: Any = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    claims = f"{SHOP}/persistentvolumeclaims"
    await shop.ok("POST", claims, {"metadata": {"name": "disk"}, "spec": spec})
    shop.world.advance(30)
    assert [row[2] for row in await shop.table(PODS)] == ["Pending"]
    assert "FailedScheduling" in await reasons(shop)
    frozen = await shop.refused("PATCH", f"{claims}/disk", {"spec": {"storageClassName": "csi-disk"}}, type=MERGE)
    assert "spec is immutable after creation" in frozen["message"]
    await shop.ok("DELETE", f"{claims}/disk")
    await shop.ok("POST", claims, {"metadata": {"name": "disk"}, "spec": spec | {"storageClassName": "csi-disk"}})
    shop.world.advance(30)
    assert [row[2] for row in await shop.table(PODS)] == ["Running"]


async def test_a_budget_keeps_evictions_from_leaving_too_few(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"
    spec: Any = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": "60%"}
    await shop.ok("POST", budgets, {"metadata": {"name": "keep"}, "spec": spec})
    assert (await status(shop, f"{budgets}/keep"))["disruptionsAllowed"] == 0
    name = (await shop.names(PODS))[0]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    refusal = await shop.refused("POST", f"{PODS}/{name}/eviction", eviction)
    assert (refusal["code"], refusal["reason"]) == (429, "TooManyRequests")
    assert refusal["details"]["causes"][0]["message"] == (
        "The disruption budget keep needs 2 healthy pods and has 2 currently"
    )
    await shop.ok("PATCH", f"{budgets}/keep", {"spec": {"minAvailable": None, "maxUnavailable": 1}}, type=MERGE)
    dry = await shop.ok("POST", f"{PODS}/{name}/eviction", eviction | {"deleteOptions": {"dryRun": ["All"]}})
    assert dry["status"] == "Success"
    assert "deletionTimestamp" not in (await shop.ok("GET", f"{PODS}/{name}"))["metadata"]
    await shop.ok("POST", f"{PODS}/{name}/eviction", eviction)
    assert "deletionTimestamp" in (await shop.ok("GET", f"{PODS}/{name}"))["metadata"]


async def test_a_quota_counts_and_refuses_what_is_too_much(shop: Cluster) -> None:
    hard = {"pods": "2", "limits.memory": "1Gi", "configmaps": "9"}
    await shop.ok("POST", f"{SHOP}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    body: Any = deployment(replicas=3)
    await shop.ok("POST", DEPLOYMENTS, body)
    failed = (await status(shop, f"{DEPLOYMENTS}/web"))["conditions"]
    assert "failed quota: q: must specify limits.memory" in next(
        e["message"] for e in failed if e["type"] == "ReplicaFailure"
    )
    patch = {
        "spec": {"template": {"spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "512Mi"}}}]}}}
    }
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", patch, type=STRATEGIC)
    shop.world.advance(10)
    used = (await status(shop, f"{SHOP}/resourcequotas/q"))["used"]
    assert used == {"pods": "2", "limits.memory": "1Gi", "configmaps": "1"}
    failed = (await status(shop, f"{DEPLOYMENTS}/web"))["conditions"]
    said = next(each["message"] for each in failed if each["type"] == "ReplicaFailure")
    assert said.endswith(
        "is forbidden: exceeded quota: q, requested: limits.memory=512Mi,pods=1, used: limits.memory=1Gi,pods=2, "
        "limited: limits.memory=1Gi,pods=2"
    )
    assert (await shop.table(f"{SHOP}/resourcequotas"))[0][:3] == [
        "q", "configmaps: 1/9, pods: 2/2", "limits.memory: 1Gi/1Gi",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"hostNetwork": True, "hostPID": True}, "hostNetwork and hostPID are not allowed"),
        ({"nodeName": "autopilot-node-1"}, "nodeName is not allowed"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "a hostPath volume is not allowed"),
        (
            {"containers": [{"name": "a", "image": "b", "securityContext": {"privileged": True}}]},
            "the privileged container a",
        ),
    ],
    ids=["host", "node", "path", "privileged"],
)
async def test_autopilot_refuses_pods_that_reach_for_the_machine(shop: Cluster, spec: Any, said: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "b"}], **spec}}
    refusal = await shop.refused("POST", PODS, pod)
    assert (refusal["code"], said in refusal["message"]) == (403, True), refusal["message"]
    if "nodeName" not in spec:
        body: Any = deployment(replicas=1)
        body["spec"]["template"]["spec"] |= pod["spec"]
        await shop.ok("POST", DEPLOYMENTS, body)
        assert "FailedCreate" in await reasons(shop)
        assert met(await status(shop, f"{DEPLOYMENTS}/web"))["ReplicaFailure"] == "FailedCreate"


async def test_autopilot_has_no_daemon_sets_and_no_node_ports(shop: Cluster) -> None:
    daemons: Any = deployment() | {"kind": "DaemonSet"}
    daemons["spec"].pop("replicas")
    refusal = await shop.refused("POST", f"{APPS}/namespaces/shop/daemonsets", daemons)
    assert refusal["message"].endswith("DaemonSet is not allowed in Autopilot clusters")
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    assert "NodePort is not allowed" in (await shop.refused("POST", f"{SHOP}/services", service))["message"]


async def test_a_log_goes_on_as_time_passes(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1))
    (pod,) = await shop.names(PODS)
    path = f"{PODS}/{pod}/log"
    early = await shop.refused("GET", path)
    assert early["message"] == f'container "app" in pod "{pod}" is waiting to start: ContainerCreating'
    shop.world.advance(100)
    first = (await shop.send("GET", path)).text
    assert first.splitlines()[:2] == ["starting", "listening on :8080"]
    shop.world.advance(100)
    whole = (await shop.send("GET", path)).text
    assert whole.startswith(first)
    assert len(whole) > len(first)
    assert (await shop.send("GET", path, tailLines="2")).text.splitlines() == whole.splitlines()[-2:]
    stamped = (await shop.send("GET", path, timestamps="true", tailLines="1")).text
    assert stamped.startswith("2025-06-02T08:0")
    recent = (await shop.send("GET", path, sinceSeconds="60")).text
    since = (await shop.send("GET", path, sinceTime="2025-06-02T08:02:20Z")).text
    assert recent == since
    assert whole.endswith(recent)
    assert (await shop.send("GET", path, limitBytes="8")).text == "starting"
    assert "is not valid for pod" in (await shop.refused("GET", path, container="no"))["message"]
    assert "previous terminated container" in (await shop.refused("GET", path, previous="true"))["message"]


async def test_a_log_of_several_containers_needs_the_name_of_one(shop: Cluster) -> None:
    body: Any = deployment(replicas=1)
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "s:1"})
    await shop.ok("POST", DEPLOYMENTS, body)
    shop.world.advance(10)
    (pod,) = await shop.names(PODS)
    refusal = await shop.refused("GET", f"{PODS}/{pod}/log")
    assert refusal["message"] == f"a container name must be specified for pod {pod}, choose one of: [app side]"
    assert (await shop.send("GET", f"{PODS}/{pod}/log", container="side")).status_code == 200


@pytest.mark.parametrize("name", ["exec", "attach", "portforward"])
async def test_what_needs_a_real_machine_is_refused_cleanly(shop: Cluster, name: str) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1))
    (pod,) = await shop.names(PODS)
    refusal = await shop.refused("POST", f"{PODS}/{pod}/{name}")
    assert refusal["message"].endswith(f"{name} is not available in a simulated cluster")
    binding = await shop.refused("POST", f"{PODS}/{pod}/binding", {})
    assert "pods are assigned by the scheduler" in binding["message"]


async def test_metrics_follow_what_pods_ask_for(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    found = (await shop.ok("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"))["items"]
    assert [each["metadata"]["labels"]["app"] for each in found] == ["web", "web"]
    nodes = (await shop.ok("GET", "/apis/metrics.k8s.io/v1beta1/nodes"))["items"]
    everywhere = (await shop.ok("GET", "/apis/metrics.k8s.io/v1beta1/pods"))["items"]
    total = sum(int(part["usage"]["cpu"][:-1]) for each in everywhere for part in each["containers"])
    assert abs(sum(int(each["usage"]["cpu"][:-1]) for each in nodes) - total) <= len(everywhere)


def watched(world: World, *steps: Any) -> Any:
    """Return a pause in which simulated time passes and the next step is taken."""
    remaining = list(steps)

    async def pause(seconds: float) -> None:
        world.advance(seconds)
        if remaining:
            await remaining.pop(0)()

    return pause


async def watch(shop: Cluster, path: str, *steps: Any, **query: str) -> list[tuple[str, Any]]:
    shop.caller.app._pause = watched(shop.world, *steps)
    seconds = query.pop("timeoutSeconds", "1")
    answer = await shop.send("GET", path, watch="true", timeoutSeconds=seconds, **query)
    assert answer.status_code == 200, answer.text
    events = [json.loads(line) for line in answer.text.splitlines()]
    return [(each["type"], each["object"]) for each in events]


async def test_a_watch_tells_what_is_there_and_what_happens(shop: Cluster) -> None:
    maps = f"{SHOP}/configmaps"
    await shop.ok("POST", maps, config_map("a", app="x"))

    async def create() -> None:
        await shop.ok("POST", maps, config_map("b", app="x"))
        await shop.ok("POST", maps, config_map("other"))

    async def relabel() -> None:
        await shop.ok("PATCH", f"{maps}/b", {"metadata": {"labels": {"app": "y"}}}, type=MERGE)

    async def delete() -> None:
        await shop.ok("DELETE", f"{maps}/a")

    seen = await watch(shop, maps, create, relabel, delete, labelSelector="app=x")
    assert [(type_, each["metadata"]["name"]) for type_, each in seen] == [
        ("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b"), ("DELETED", "a"),
    ]  # fmt: skip


async def test_a_watch_goes_on_from_a_resource_version(shop: Cluster) -> None:
    maps = f"{SHOP}/configmaps"
    await shop.ok("POST", maps, config_map("a"))
    version = (await shop.ok("GET", maps))["metadata"]["resourceVersion"]
    for number in range(3):
        await shop.ok("PATCH", f"{maps}/a", {"data": {"n": str(number)}}, type=MERGE)
    await shop.ok("DELETE", f"{maps}/a")
    seen = await watch(shop, maps, resourceVersion=version)
    assert [(type_, each["data"].get("n")) for type_, each in seen] == [
        ("MODIFIED", "0"), ("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2"),
    ]  # fmt: skip


async def test_a_watch_from_a_forgotten_version_has_expired(shop: Cluster) -> None:
    maps = f"{SHOP}/configmaps"
    await shop.ok("POST", maps, config_map("a"))
    for number in range(MOST_HISTORY + 1):
        await shop.ok("PATCH", f"{maps}/a", {"data": {"n": str(number)}}, type=MERGE)
    refusal = await shop.refused("GET", maps, watch="1", resourceVersion="1010")
    assert (refusal["code"], refusal["reason"]) == (410, "Expired")

    async def flood() -> None:
        for number in range(MOST_HISTORY + 1):
            await shop.ok("PATCH", f"{maps}/a", {"data": {"m": str(number)}}, type=MERGE)

    version = (await shop.ok("GET", maps))["metadata"]["resourceVersion"]
    ((type_, status_),) = await watch(shop, maps, flood, resourceVersion=version)
    assert (type_, status_["code"]) == ("ERROR", 410)


async def test_a_watch_sends_bookmarks_and_tables(shop: Cluster) -> None:
    maps = f"{SHOP}/configmaps"
    await shop.ok("POST", maps, config_map("a"))
    begun = await watch(shop, maps, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", accept=TABLE)
    assert [type_ for type_, _ in begun] == ["ADDED", "ADDED", "BOOKMARK"]
    assert begun[0][1]["rows"][0]["cells"][0] == "a"
    assert begun[-1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    seconds = str(int(BOOKMARK_SECONDS * 2 + POLL_SECONDS * 10))
    quiet = await watch(shop, maps, fieldSelector="metadata.name=a", allowWatchBookmarks="true", timeoutSeconds=seconds)
    assert [type_ for type_, _ in quiet] == ["ADDED", "BOOKMARK", "BOOKMARK"]


async def test_a_watch_sees_what_time_brings(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1))
    seen = await watch(shop, DEPLOYMENTS, timeoutSeconds="10")
    assert seen[-1][1]["status"]["readyReplicas"] == 1


async def test_the_workloads_of_a_cluster_that_is_deleted_stop(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    del shop.world.table("clusters")[shop.id]
    shop.world.advance(10)
    assert (await shop.send("GET", f"{CORE}/namespaces")).status_code == 404
