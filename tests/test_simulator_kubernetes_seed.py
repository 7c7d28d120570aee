"""What runs in the clusters of the seed account: what fails there shows why, and is healed when its cause goes."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from calling import Tools
from kubernetes_calls import APPS, CORE, MERGE, STRATEGIC, Cluster, cluster
from simulation import Caller, simulate

from ap_mcp.simulator.check_items import Skips, cluster_results
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    CLUSTER_NAMES,
    ML_BATCH,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
)
from ap_mcp.simulator.kubernetes.kinds import known
from ap_mcp.simulator.kubernetes.retries import EVENTS_LIVE
from ap_mcp.simulator.kubernetes.seed import ensure_seeded
from ap_mcp.simulator.kubernetes.store import TABLE, Store
from ap_mcp.simulator.kubernetes.workload_seed import faults
from ap_mcp.simulator.world import World
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio
IDS = {name: cluster_id for cluster_id, name in CLUSTER_NAMES.items()}
LAB, LAB_APPS = f"{CORE}/namespaces/lab", f"{APPS}/namespaces/lab"
SHOP_APPS = f"{APPS}/namespaces/shop"


class Seen:
    """The objects of one cluster, as the evidence of a diagnosis is taken from them."""

    def __init__(self, world: World, cluster_id: str) -> None:
        ensure_seeded(world, cluster_id)
        self.store = Store(world, cluster_id)

    def pods(self, app: str) -> list[Any]:
        """Return the pods of an application, the newest first."""
        pods = [each for each in self.store.named("Pod") if each["metadata"].get("labels", {}).get("app") == app]
        return sorted(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]), reverse=True)

    def waiting(self, app: str) -> Any:
        """Return what the container of the newest pod waits for."""
        return self.pods(app)[0]["status"]["containerStatuses"][0]["state"]["waiting"]

    def last(self, app: str) -> Any:
        """Return how the container of the newest pod ended last."""
        return self.pods(app)[0]["status"]["containerStatuses"][0]["lastState"]["terminated"]

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of the events about what has a name that begins so."""
        events = (each for each in self.store.named("Event") if each["involvedObject"]["name"].startswith(name))
        return [(each["reason"], each["message"]) for each in events]

    def said(self, name: str, reason: str) -> str:
        """Return what the events of one reason say."""
        return "\n".join(message for each, message in self.events(name) if each == reason)

    def conditions(self, kind: tuple[str, str], name: str) -> dict[str, str]:
        """Return status, reason and message of each condition, by type."""
        (found,) = (each for each in self.store.named(*kind) if each["metadata"]["name"] == name)
        return {each["type"]: f"{each['status']} {each.get('reason')} {each.get('message')}" for each in
                found["status"]["conditions"]}  # fmt: skip


def crash_loop(seen: Seen) -> None:
    assert seen.waiting("indexer")["reason"] == "CrashLoopBackOff"
    assert (seen.last("indexer")["exitCode"], seen.last("indexer")["reason"]) == (1, "Error")
    assert seen.pods("indexer")[0]["status"]["containerStatuses"][0]["restartCount"] == 14
    assert "back-off 5m0s" in seen.waiting("indexer")["message"]
    assert "ProgressDeadlineExceeded" in seen.conditions(("Deployment", "apps"), "indexer")["Progressing"]


def image_not_found(seen: Seen) -> None:
    assert seen.waiting("ranker")["reason"] == "ImagePullBackOff"
    assert "ranker:1.9.9: not found" in seen.said("ranker", "Failed")
    assert [each["status"]["phase"] for each in seen.pods("ranker")] == ["Pending", "Running"]


def image_forbidden(seen: Seen) -> None:
    assert seen.waiting("geo-lookup")["reason"] == "ImagePullBackOff"
    assert "401 Unauthorized" in seen.said("geo-lookup", "Failed")
    assert "imagePullSecrets" not in seen.pods("geo-lookup")[0]["spec"]


def oom_killed(seen: Seen) -> None:
    assert (seen.last("embeddings")["reason"], seen.last("embeddings")["exitCode"]) == ("OOMKilled", 137)
    (container,) = seen.pods("embeddings")[0]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "512Mi"


def no_ip(seen: Seen) -> None:
    pods = seen.pods("load-test")
    assert len(pods) == 4
    assert {each["status"]["phase"] for each in pods} == {"Pending"}
    assert seen.waiting("load-test") == {"reason": "ContainerCreating"}
    scheduled = [each["status"] for each in pods[0]["status"]["conditions"] if each["type"] == "PodScheduled"]
    assert scheduled == ["True"]
    said = seen.said("load-test", "FailedCreatePodSandBox")
    assert f"subnet {SUBNET_IDS[0]} has no free IP address" in said


def not_ready(seen: Seen) -> None:
    (status,) = seen.pods("autocomplete")[0]["status"]["containerStatuses"]
    assert (status["ready"], status["started"], list(status["state"])) == (False, True, ["running"])
    assert ":8081/healthz" in seen.said("autocomplete", "Unhealthy")
    assert "connection refused" in seen.said("autocomplete", "Unhealthy")
    (subset,) = seen.store.fetch(known("Endpoints"), "lab", "autocomplete")["subsets"]
    assert (len(subset["notReadyAddresses"]), "addresses" in subset) == (2, False)


def selector_mismatch(seen: Seen) -> None:
    assert "subsets" not in seen.store.fetch(known("Endpoints"), "lab", "facets")
    assert seen.store.fetch(known("Service"), "lab", "facets")["spec"]["selector"]["version"] == "v2"
    assert {each["metadata"]["labels"]["version"] for each in seen.pods("facets")} == {"v1"}


def secret_missing(seen: Seen) -> None:
    expected = {"reason": "CreateContainerConfigError", "message": 'secret "smtp" not found'}
    assert seen.waiting("feedback-mailer") == expected
    assert seen.store.get(known("Secret"), "lab", "smtp") is None


def pvc_pending(seen: Seen) -> None:
    claim = seen.store.fetch(known("PersistentVolumeClaim"), "lab", "data-vectors-0")
    assert claim["status"]["phase"] == "Pending"
    assert '"csi-disk-fast" not found' in seen.said("data-vectors-0", "ProvisioningFailed")
    (scheduled,) = seen.pods("vectors")[0]["status"]["conditions"]
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert "unbound immediate PersistentVolumeClaims" in scheduled["message"]


def quota_exceeded(seen: Seen) -> None:
    failure = seen.conditions(("Deployment", "apps"), "importer")["ReplicaFailure"]
    assert "True FailedCreate" in failure
    assert "exceeded quota: imports-quota, requested: limits.memory=512Mi, used: limits.memory=2Gi" in failure
    assert not seen.pods("importer")
    status = seen.store.fetch(known("ResourceQuota"), "imports", "imports-quota")["status"]
    assert status["used"]["limits.memory"] == status["hard"]["limits.memory"]


def job_failed(seen: Seen) -> None:
    (job,) = seen.store.named("Job", "batch")
    assert "BackoffLimitExceeded" in seen.conditions(("Job", "batch"), job["metadata"]["name"])["Failed"]
    assert job["status"]["failed"] == 4
    ends = [each["status"]["containerStatuses"][0]["state"]["terminated"] for each in seen.pods("catalog-close")]
    assert {each["exitCode"] for each in ends} == {2}


def hpa_no_metrics(seen: Seen) -> None:
    said = seen.conditions(("HorizontalPodAutoscaler", "autoscaling"), "suggest")["ScalingActive"]
    assert said.startswith("False FailedGetResourceMetric")
    assert "missing request for cpu in container app" in said


def coredns(seen: Seen) -> None:
    restarts = [each["status"]["containerStatuses"][0]["restartCount"] for each in seen.pods("coredns")]
    assert (restarts[0] > 10, restarts[1]) == (True, 0)
    assert seen.waiting("coredns")["reason"] == "CrashLoopBackOff"
    assert "NewReplicaSetAvailable" in seen.conditions(("Deployment", "apps"), "coredns")["Progressing"]
    assert "foward" in seen.store.fetch(known("ConfigMap"), "kube-system", "coredns")["data"]["Corefile"]


def autopilot_refuses(seen: Seen) -> None:
    failure = seen.conditions(("Deployment", "apps"), "node-agent")["ReplicaFailure"]
    assert "denied the request" in failure
    assert "hostPath" in failure
    assert "privileged" in failure
    assert not seen.pods("node-agent")


EVIDENCE: dict[str, Callable[[Seen], None]] = {
    each.__name__: each
    for each in (crash_loop, image_not_found, image_forbidden, oom_killed, no_ip, not_ready, selector_mismatch,
                 secret_missing, pvc_pending, quota_exceeded, job_failed, hpa_no_metrics, coredns, autopilot_refuses)
}  # fmt: skip
LAST_LINES = {
    (SEARCH_DEV, "lab", "indexer"): "FATAL: migration 0042 failed",
    (SEARCH_DEV, "lab", "embeddings"): "reading 18 months of orders",
    (SEARCH_DEV, "kube-system", "coredns"): "Unknown directive 'foward'",
    (SHOP_PROD, "shop", "catalog-search"): "panic: index products has mapping version 7",
}


@pytest.fixture(scope="module")
def account() -> World:
    """A world whose clusters were all asked; nobody changes it."""
    world = simulate().state.world
    for cluster_id in (SHOP_PROD, PAYMENTS_PROD, CHECKOUT_STAGING, SEARCH_DEV, TEAM_SANDBOX):
        ensure_seeded(world, cluster_id)
    return world


@pytest.fixture
async def cloud(catalog: Catalog) -> Tools:
    return Tools(catalog, Caller(simulate()))


def troubled(world: World, cluster_id: str) -> set[str]:
    """Name the pods that wait for something or are not ready, and what has too few of them."""
    store = Store(world, cluster_id)
    found = set()
    for pod in store.named("Pod"):
        states = pod["status"].get("containerStatuses") or [{"ready": False}]
        if pod["status"]["phase"] != "Succeeded" and not all(each["ready"] for each in states):
            found.add(pod["metadata"]["name"])
    for each in store.named("Deployment", "apps"):
        if each["status"].get("availableReplicas", 0) < each["spec"]["replicas"]:
            found.add(each["metadata"]["name"])
    return found


def test_the_proofs_cover_what_the_data_makes_fail() -> None:
    assert set(EVIDENCE) == set(faults())


@pytest.mark.parametrize("fault", sorted(faults()))
def test_what_fails_in_the_account_shows_what_decides_why(fault: str, account: World) -> None:
    name, _ = faults()[fault]
    EVIDENCE[fault](Seen(account, IDS[name]))


def test_most_of_it_fails_in_one_cluster_of_developers_and_others_are_healthy(account: World) -> None:
    names = [name for name, _ in faults().values()]
    assert names.count("search-dev") > 10
    assert not troubled(account, PAYMENTS_PROD)
    assert not troubled(account, TEAM_SANDBOX)
    assert {each.rpartition("-")[0].rpartition("-")[0] for each in troubled(account, SHOP_PROD)} == {"catalog-search"}


def test_events_are_of_the_last_hour_and_count_what_was_tried(account: World) -> None:
    for cluster_id in (SEARCH_DEV, CHECKOUT_STAGING, SHOP_PROD):
        events = Store(account, cluster_id).named("Event")
        times = [each["lastTimestamp"] for each in events]
        assert min(times) >= account.iso_timestamp(account.now() - EVENTS_LIVE)
        assert max(times) == account.iso_timestamp()
        assert max(each["count"] for each in events) > 5


@pytest.mark.parametrize("place", LAST_LINES, ids=lambda place: place[2])
async def test_the_log_of_the_run_that_ended_says_why(place: tuple[str, str, str], account: World) -> None:
    cluster_id, namespace, app = place
    asked = Cluster(Caller(simulate(account)), cluster_id)
    pod = Seen(account, cluster_id).pods(app)[0]["metadata"]["name"]
    answer = await asked.send("GET", f"{CORE}/namespaces/{namespace}/pods/{pod}/log", previous="true")
    assert LAST_LINES[place] in answer.text


def test_objects_of_the_seed_say_who_wrote_them(account: World) -> None:
    store = Store(account, SHOP_PROD)
    for kind in (("Deployment", "apps"), ("Pod", ""), ("Service", ""), ("ConfigMap", "")):
        assert all(each["metadata"]["managedFields"] for each in store.named(*kind))
    (search,) = (each for each in store.named("Deployment", "apps") if each["metadata"]["name"] == "catalog-search")
    assert {each["manager"] for each in search["metadata"]["managedFields"]} == {"helm", "kube-controller-manager"}


def test_the_client_of_a_removed_api_is_found_by_what_the_check_says(account: World) -> None:
    (finding,) = (each for each in cluster_results(account, SHOP_PROD, "v1.29.13-r0", Skips([]))
                  if each["name"] == "DeprecatedApiCheck")  # fmt: skip
    agent = finding["riskSource"]["deprecatedAPIRisks"][0]["userAgent"]
    program, _, version = agent.partition("/")
    (found,) = (each for each in Store(account, SHOP_PROD).named("StatefulSet", "apps")
                if each["metadata"]["name"] == program)  # fmt: skip
    assert found["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{version}")


def test_nothing_is_made_before_somebody_asks_and_the_state_stays_small(account: World) -> None:
    assert TABLE not in simulate().state.world.to_json()["tables"]
    for cluster_id, row in account.table(TABLE).items():
        assert len(json.dumps(row)) < 500_000, CLUSTER_NAMES[cluster_id]


def pods_of(app: str, *container: str, **pod: Any) -> tuple[Any, ...]:
    """Return how the template of a Deployment in the namespace lab is changed: an image, or fields of its pods."""
    fields = {"containers": [dict(zip(("name", "image"), container, strict=False))]} if container else pod
    return "lab", app, "PATCH", f"{LAB_APPS}/deployments/{app}", {"spec": {"template": {"spec": fields}}}, STRATEGIC


MORE = [{"name": "worker", "resources": {"limits": {"memory": "2Gi"}}}]
PROBE = [{"name": "web", "readinessProbe": {"httpGet": {"port": 8080}}}]
SECRET = {"metadata": {"name": "smtp"}, "stringData": {"password": "x"}}
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CLASS = {"metadata": {"name": "csi-disk-fast"}, "provisioner": "everest-csi-provisioner"}
QUOTA = f"{CORE}/namespaces/imports/resourcequotas/imports-quota"
PLAIN = {"volumes": None, "containers": [{"name": "agent", "image": "shop/node-agent:1.0"}]}
HEALED: dict[str, tuple[Any, ...]] = {
    "image": pods_of("ranker", "app", "shop/ranker:1.9.10"),
    "crash": pods_of("indexer", "app", "shop/indexer:2.4.1"),
    "pull secret": pods_of("geo-lookup", imagePullSecrets=[{"name": "default-secret"}]),
    "memory": pods_of("embeddings", containers=MORE),
    "probe": pods_of("autocomplete", containers=PROBE),
    "host path": (*pods_of("node-agent", **PLAIN)[:5], MERGE),
    "secret": ("lab", "feedback-mailer", "POST", f"{LAB}/secrets", SECRET, "application/json"),
    "storage class": ("lab", "vectors", "POST", CLASSES, CLASS, "application/json"),
    "quota": ("imports", "importer", "PATCH", QUOTA, {"spec": {"hard": {"limits.memory": "8Gi"}}}, MERGE),
}


@pytest.mark.parametrize("cause", HEALED)
async def test_removing_the_cause_heals_the_workload(cause: str) -> None:
    namespace, app, method, path, body, type_ = HEALED[cause]
    dev = cluster()
    dev.id = SEARCH_DEV
    before = await dev.states(namespace, app)
    assert not before or not all(each.startswith("1/1") for each in before)
    await dev.ok(method, path, body, type=type_)
    dev.world.advance(60)
    assert set(await dev.states(namespace, app)) == {"1/1 Running"}


async def test_pods_without_an_address_start_once_the_cluster_has_another_subnet(cloud: Tools) -> None:
    staging = Cluster(cloud.caller, CHECKOUT_STAGING)
    assert set(await staging.states("checkout", "load-test")) == {"0/1 ContainerCreating"}
    subnets = [{"subnetID": each} for each in (*SUBNET_IDS, "d9a1c3f5-75b6-4a92-8c8a-35c182d74e76")]
    cloud.world.table("clusters")[CHECKOUT_STAGING]["spec"]["eniNetwork"]["subnets"] = subnets
    cloud.world.advance(15)
    assert set(await staging.states("checkout", "load-test")) == {"1/1 Running"}


async def test_restarts_go_on_while_nobody_looks_and_cost_nothing(cloud: Tools) -> None:
    dev = Cluster(cloud.caller, SEARCH_DEV)

    async def restarts() -> int:
        rows = await dev.table(f"{LAB}/pods", labelSelector="app=indexer")
        return int(str(rows[0][3]).split()[0])

    before = await restarts()
    planned = len(cloud.world.to_json()["events"])
    cloud.world.advance(timedelta(hours=2).total_seconds())
    assert await restarts() == before + 24
    assert len(cloud.world.to_json()["events"]) <= planned


async def test_an_autoscaler_sees_when_metrics_are_gone(cloud: Tools) -> None:
    prod = Cluster(cloud.caller, SHOP_PROD)
    path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/storefront"

    async def active() -> str:
        conditions = (await prod.ok("GET", path))["status"]["conditions"]
        return next(f"{each['status']} {each['message']}" for each in conditions if each["type"] == "ScalingActive")

    assert (await active()).startswith("True")
    for row in cloud.world.table("addons").values():
        if row["spec"]["addonTemplateName"] == "metrics-server":
            row["status"]["status"] = "abnormal"
    cloud.world.advance(15)
    assert "could not find the requested resource (get pods.metrics.k8s.io)" in await active()


async def test_an_autoscaler_keeps_its_target_within_its_limits(cloud: Tools) -> None:
    prod = Cluster(cloud.caller, SHOP_PROD)
    await prod.ok("PATCH", f"{SHOP_APPS}/deployments/storefront", {"spec": {"replicas": 1}}, type=MERGE)
    cloud.world.advance(30)
    assert (await prod.ok("GET", f"{SHOP_APPS}/deployments/storefront"))["spec"]["replicas"] == 3


async def test_a_cluster_takes_its_objects_with_it_and_one_that_is_not_ready_has_none(cloud: Tools) -> None:
    sandbox = Cluster(cloud.caller, TEAM_SANDBOX)
    await sandbox.names(f"{CORE}/namespaces")
    assert TEAM_SANDBOX in cloud.world.table(TABLE)
    cloud.world.fire("cluster.deleted", cluster_id=TEAM_SANDBOX, job_id="")
    assert TEAM_SANDBOX not in cloud.world.table(TABLE)
    busy = Cluster(cloud.caller, ML_BATCH)
    assert (await busy.send("GET", f"{CORE}/namespaces")).status_code == 503
    assert ML_BATCH not in cloud.world.table(TABLE)


async def test_the_nodes_are_those_of_which_checks_speak(cloud: Tools) -> None:
    named = [each["name"] for each in cloud.world.table("upgrade_facts")[SHOP_PROD]["nodes"]]
    assert await Cluster(cloud.caller, SHOP_PROD).names(f"{CORE}/nodes") == named


def test_the_same_past_is_lived_through_once_and_is_each_accounts_own() -> None:
    first, second, other = (simulate().state.world for _ in range(3))
    ensure_seeded(first, SHOP_PROD)
    asked = first.table(TABLE)[SHOP_PROD]["objects"]
    untouched = json.dumps(asked)
    asked["pods"].clear()
    ensure_seeded(second, SHOP_PROD)
    assert json.dumps(second.table(TABLE)[SHOP_PROD]["objects"]) == untouched
    other.table("clusters")[SHOP_PROD]["_version"] = "v1.29.99-r0"
    ensure_seeded(other, SHOP_PROD)
    versions = {each["status"]["nodeInfo"]["kubeletVersion"] for each in Seen(other, SHOP_PROD).store.named("Node")}
    assert versions == {"v1.29.99-r0"}


async def test_an_ingress_has_the_address_of_its_controller_and_none_without_its_class(cloud: Tools) -> None:
    prod = Cluster(cloud.caller, SHOP_PROD)
    path = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"
    service = await prod.ok("GET", f"{CORE}/namespaces/kube-system/services/nginx-ingress-controller")
    (address,) = (await prod.ok("GET", f"{path}/shop"))["status"]["loadBalancer"]["ingress"]
    assert address["ip"] == service["status"]["loadBalancer"]["ingress"][0]["ip"]
    backend = {"service": {"name": "cart", "port": {"number": 80}}}
    for class_, has in (("cce", True), ("none-such", False)):
        body = {"metadata": {"name": class_}, "spec": {"ingressClassName": class_, "defaultBackend": backend}}
        await prod.ok("POST", path, body)
        made = await prod.ok("GET", f"{path}/{class_}")
        assert bool(made.get("status", {}).get("loadBalancer", {}).get("ingress")) is has
