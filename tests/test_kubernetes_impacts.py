"""What is shown before a change in a cluster is made: each line by what was read, and what was not read is said."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from guarded import Person
from kubernetes_calls import CORE, MERGE
from kubernetes_writing import LONG_ENOUGH, Scene, is_check, made, shop

pytestmark = pytest.mark.anyio

IN_SHOP = {"namespace": "shop"}
PODS = f"{CORE}/namespaces/shop/pods"
STORE = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disks}
provisioner: everest-csi-provisioner
reclaimPolicy: %s
"""
DB = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 3
  serviceName: db
  persistentVolumeClaimRetentionPolicy: {whenDeleted: %s, whenScaled: %s}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "nginx:1.25", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: disks, accessModes: [ReadWriteOnce], resources: {requests: {storage: 20Gi}}}
"""
LOOSE = """
apiVersion: v1
kind: Pod
metadata: {name: loose, namespace: shop, labels: {app: loose}}
spec:
  volumes: [{name: scratch, emptyDir: {}}%s]
  containers: [{name: web, image: "nginx:1.25"}]
"""
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: cart, namespace: shop}
spec: {minReplicas: 2, maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec: {type: %s, selector: {app: %s}, ports: [{port: 80}]}
"""


def lines(shown: dict[str, Any]) -> dict[str, str]:
    """Return each part of an impact as one text."""
    impact = shown["impact"]
    parts = {each: "\n".join(impact.get(each, [])) for each in ("goes", "stays", "changes", "unknown")}
    facts = "\n".join(f"{key}: {value}" for key, value in impact.get("facts", {}).items())
    return {**parts, "facts": facts, "warnings": "\n".join(shown.get("warnings", [])), "effect": impact["effect"]}


async def deleting(scene: Scene, kind: str, name: str, **more: Any) -> dict[str, str]:
    return lines(await scene.call("k8s_delete", kind=kind, name=name, dry_run=True, **more))


async def with_database(scene: Scene, policy: str = "Delete", deleted: str = "Retain", scaled: str = "Retain") -> None:
    """Run a database of three pods, each with a disk of its own."""
    await made(scene.cluster, STORE % policy)
    await made(scene.cluster, DB % (deleted, scaled))
    scene.cluster.world.advance(LONG_ENOUGH * 5)
    assert len(await scene.cluster.names(f"{CORE}/namespaces/shop/persistentvolumeclaims")) == 3


async def refusing(scene: Scene, *plurals: str) -> None:
    """Have the cluster answer no to lists and reads of some kinds from now on."""

    async def before(request: httpx.Request) -> httpx.Response | None:
        status = {"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}
        refused = request.method == "GET" and {*plurals} & {*request.url.path.split("/")}
        return httpx.Response(403, json=status) if refused else None

    scene.way.before = before


# Data


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_a_claim_that_goes_takes_its_disk_or_leaves_it_and_waits_for_its_pods(
    tmp_path: Path, policy: str
) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene, policy)
        shown = await deleting(scene, "pvc", "data-db-1", **IN_SHOP)
        goes, stays = "the disk (20Gi) and its data are deleted", "with its data; the disk keeps costing"
        assert (goes in shown["goes"], stays in shown["stays"]) == (policy == "Delete", policy == "Retain")
        assert f"reclaim policy {policy}" in shown["facts"]
        assert "storage class: disks" in shown["facts"]
        assert "1 pod use it now (db-1): it goes once they end." in shown["warnings"]
        assert "StatefulSet db makes an empty one when pod db-1 is made again." in shown["warnings"]


async def test_a_claim_that_no_pod_uses_any_more_is_not_made_again(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene)
        scale = {"spec": {"replicas": 1}}
        await scene.cluster.ok("PATCH", "/apis/apps/v1/namespaces/shop/statefulsets/db", scale, type=MERGE)
        scene.cluster.world.advance(LONG_ENOUGH * 5)
        shown = await deleting(scene, "pvc", "data-db-2", **IN_SHOP)
        assert "use it now" not in shown["warnings"]
        assert "makes an empty one" not in shown["warnings"]


async def test_what_of_a_claim_could_not_be_read_is_said_and_nothing_is_promised(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene)
        await refusing(scene, "persistentvolumes", "pods", "statefulsets")
        shown = await deleting(scene, "pvc", "data-db-1", **IN_SHOP)
        for what in ("what becomes of its disk", "which pods use it now", "whether a StatefulSet makes an empty one"):
            assert f"Not read: {what}." in shown["warnings"]
        assert "whether the disk and its data are deleted" in shown["unknown"]
        assert "disk" not in shown["goes"] + shown["stays"]


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_a_volume_that_goes_takes_its_disk_or_leaves_it_unknown(tmp_path: Path, policy: str) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene, policy)
        claim = await scene.cluster.ok("GET", f"{CORE}/namespaces/shop/persistentvolumeclaims/data-db-0")
        shown = await deleting(scene, "pv", claim["spec"]["volumeName"])
        assert "claimed by: shop/data-db-0" in shown["facts"]
        assert ("the disk and its data" in shown["goes"]) == (policy == "Delete")
        assert ("the disk itself, which keeps costing" in shown["stays"]) == (policy == "Retain")
        assert shown["effect"] == "destroy"


@pytest.mark.parametrize(("deleted", "cascade"), [("Retain", "background"), ("Delete", "background"),
                                                  ("Delete", "orphan")])  # fmt: skip
async def test_a_stateful_set_that_goes_leaves_its_claims_unless_it_is_to_take_them(
    tmp_path: Path, deleted: str, cascade: str
) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene, deleted=deleted)
        shown = await deleting(scene, "sts", "db", **IN_SHOP, cascade=cascade)
        claims = "3 volume claims of its pods (data-db-0, data-db-1, data-db-2), with what is on them"
        takes = deleted == "Delete" and cascade != "orphan"
        assert (claims in shown["goes"]) == takes
        assert (f"{claims}; they keep costing" in shown["stays"]) == (not takes)
        assert ("3 pods (3 ready): db-0, db-1, db-2" in shown["stays"]) == (cascade == "orphan")


@pytest.mark.parametrize("scaled", ["Retain", "Delete"])
async def test_fewer_pods_of_a_stateful_set_are_named_with_their_claims(tmp_path: Path, scaled: str) -> None:
    async with shop(tmp_path) as scene:
        await with_database(scene, scaled=scaled)
        shown = lines(await scene.call("k8s_scale", **IN_SHOP, kind="sts", name="db", replicas=1, dry_run=True))
        assert "pods db-1 to db-2" in shown["goes"]
        takes = scaled == "Delete"
        assert shown["effect"] == ("destroy" if takes else "disrupt")
        assert ("volume claims data of db-1 to db-2, with their data" in shown["goes"]) == takes
        assert ("volume claims data of db-1 to db-2, which keep costing" in shown["stays"]) == (not takes)


# What runs, and what reaches it


async def test_a_pod_without_a_controller_goes_for_good_with_what_is_in_it(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, LOOSE % "")
        await made(scene.cluster, SERVICE % ("loose", "ClusterIP", "loose"))
        scene.cluster.world.advance(LONG_ENOUGH)
        shown = await deleting(scene, "pod", "loose", **IN_SHOP)
        assert shown["goes"].splitlines()[:2] == [
            "the pod for good: no controller makes another one",
            "what is in its emptyDir volumes: scratch",
        ]
        assert "every endpoint of Service loose" in shown["goes"]
        assert shown["effect"] == "destroy"


async def test_the_last_ready_pod_of_a_service_is_said_to_be_that(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        first, second = await scene.cluster.names(PODS)
        assert "endpoint" not in (await deleting(scene, "pod", first, **IN_SHOP))["goes"]
        not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        await scene.cluster.ok("PATCH", f"{PODS}/{second}/status", not_ready, type=MERGE)
        assert "every endpoint of Service cart" in (await deleting(scene, "pod", first, **IN_SHOP))["goes"]
        await refusing(scene, "services")
        shown = await deleting(scene, "pod", first, **IN_SHOP)
        assert "Not read: which Services lose their endpoints." in shown["warnings"]
        assert "endpoint" not in shown["goes"]


async def test_pods_that_stay_without_their_owner_keep_their_service(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, SCALER)
        shown = await deleting(scene, "deploy", "cart", **IN_SHOP, cascade="orphan")
        assert "endpoint" not in shown["goes"]
        assert "autoscaler cart, which then point to nothing" in shown["stays"]


@pytest.mark.parametrize(
    ("replicas", "said"),
    [
        (4, "Autoscaler cart sets the number itself, and may set it back."),
        (1, "Autoscaler cart sets the number itself, and may set it back."),
        (0, "Autoscaler cart does nothing while there are 0 replicas."),
    ],
)
async def test_an_autoscaler_that_undoes_a_scale_is_named(tmp_path: Path, replicas: int, said: str) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, SCALER)
        shown = await scene.call("k8s_scale", **IN_SHOP, name="cart", replicas=replicas, dry_run=True)
        assert said in shown["warnings"]


@pytest.mark.parametrize(("selected", "pods"), [("nothing", 0), ("cart", 2)])
async def test_a_service_that_reaches_no_pod_is_said_to(tmp_path: Path, selected: str, pods: int) -> None:
    async with shop(tmp_path) as scene:
        patch = json.dumps({"spec": {"selector": {"app": selected}}})
        await made(scene.cluster, SERVICE % ("other", "ClusterIP", "before"))
        for shown in (
            await scene.apply(SERVICE % ("new", "ClusterIP", selected), dry_run=True),
            await scene.call("k8s_patch", kind="svc", name="other", **IN_SHOP, patch=patch, dry_run=True),
        ):
            assert lines(shown)["facts"].count(f"reaches: {pods} pod") == 1
            assert ("Its selector matches no pod: nothing answers at it." in lines(shown)["warnings"]) == (pods == 0)


async def test_a_service_that_goes_loses_its_address_and_leaves_its_ingresses(tmp_path: Path) -> None:
    ingress = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: shop}
spec: {defaultBackend: {service: {name: outside, port: {number: 80}}}}
"""
    async with shop(tmp_path) as scene:
        await made(scene.cluster, SERVICE % ("outside", "LoadBalancer", "cart"))
        await made(scene.cluster, ingress)
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
        await scene.cluster.ok("PATCH", f"{CORE}/namespaces/shop/services/outside/status", status, type=MERGE)
        shown = await deleting(scene, "svc", "outside", **IN_SHOP)
        assert "its load balancer (192.0.2.7); the address is lost" in shown["goes"]
        assert "Ingress front, which then leads nowhere" in shown["stays"]
        inside = '{"spec": {"type": "ClusterIP"}}'
        patched = await scene.call("k8s_patch", kind="svc", name="outside", **IN_SHOP, patch=inside, dry_run=True)
        assert "the address is lost" in lines(patched)["goes"]
        assert "address" not in (await deleting(scene, "svc", "cart", **IN_SHOP))["goes"]


async def test_who_sees_a_changed_secret_by_itself_and_who_does_not(tmp_path: Path) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: shop}\nstringData: {pin: '%s'}\n"
    by_env = LOOSE.replace("loose", "envy").replace(
        '"nginx:1.25"', '"nginx:1.25", envFrom: [{secretRef: {name: login}}]'
    )
    async with shop(tmp_path) as scene:
        await made(scene.cluster, secret % "1")
        shown = lines(await scene.apply(secret % "2", dry_run=True))
        assert "read by: no pod that runs now" in shown["facts"]
        await made(scene.cluster, LOOSE % ", {name: login, secret: {secretName: login}}")
        await made(scene.cluster, by_env % "")
        shown = lines(await scene.apply(secret % "2", dry_run=True))
        assert "1 pod (loose) has it in a volume, and see it within minutes." in shown["warnings"]
        assert "1 pod (envy) has it in the environment, and see it only after a restart." in shown["warnings"]
        assert shown["changes"] == "1 key changed: pin"
        shown = await deleting(scene, "secret", "login", **IN_SHOP)
        assert shown["warnings"].count("fail when they start again") == 2
        await refusing(scene, "pods")
        assert "Not read: which pods read it." in lines(await scene.apply(secret % "2", dry_run=True))["warnings"]


# The cluster itself


async def test_a_node_is_changed_by_the_service_alone(tmp_path: Path) -> None:
    person = Person()
    async with shop(tmp_path, person=person) as scene:
        name = (await scene.cluster.names(f"{CORE}/nodes"))[0]
        patch = {"kind": "node", "name": name, "patch": "spec: {unschedulable: true}"}
        shown = lines(await scene.call("k8s_patch", **patch, dry_run=True))
        pods = await scene.cluster.ok("GET", f"{CORE}/pods", fieldSelector=f"spec.nodeName={name}")
        assert f"pods on it: {len(pods['items'])}: " in shown["facts"]
        assert "On Autopilot, nodes are changed by the service and not by users." in shown["warnings"]

        async def before(request: httpx.Request) -> httpx.Response | None:
            status = {"kind": "Status", "status": "Failure", "message": "nodes are managed", "code": 403}
            return httpx.Response(403, json=status) if is_check(request) else None

        scene.way.before = before
        said = await scene.fail("k8s_patch", **patch)
        assert f'the cluster would not change Node {name}. Nothing was sent but that check. It says "nodes are' in said
        assert person.read == []
        assert scene.way.changes == []


DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [size], properties: {
      size: {type: integer}, color: {type: string}}}}}}
"""
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: %s, namespace: shop}\nspec: {size: 1}\n"


async def test_a_definition_that_goes_takes_every_object_of_its_kind(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, DEFINITION)
        scene.cluster.world.advance(LONG_ENOUGH)
        for name in ("a", "b", "c"):
            await scene.apply(WIDGET % name)
        shown = await deleting(scene, "crd", "widgets.example.com")
        assert shown["goes"].startswith("all 3 Widget objects, in every namespace")
        await refusing(scene, "widgets")
        shown = await deleting(scene, "crd", "widgets.example.com")
        assert "Not read: how many widgets.example.com there are." in shown["warnings"]
        assert "all" not in shown["goes"]


HOOKS = """
apiVersion: admissionregistration.k8s.io/v1
kind: %s
metadata: {name: guard}
webhooks:
- name: guard.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: %s
  clientConfig: {url: "https://guard.example.com"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [widgets]}]
"""
API = """
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.extra.example.com}
spec:
  {group: extra.example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 10, insecureSkipTLSVerify: true,
  service: {namespace: shop, name: cart}}
"""


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"])
@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_a_webhook_is_shown_by_what_it_sees_and_whether_it_can_block_it(
    tmp_path: Path, kind: str, policy: str
) -> None:
    async with shop(tmp_path) as scene:
        shown = lines(await scene.apply(HOOKS % (kind, policy), dry_run=True))
        assert 'is for: "CREATE of widgets"' in shown["facts"]
        assert ("while guard.example.com do not answer, none gets through" in shown["warnings"]) == (policy == "Fail")
        assert shown["effect"] == "disrupt"
        await made(scene.cluster, HOOKS % (kind, policy))
        shown = await deleting(scene, kind, "guard")
        assert "1 webhook: no request passes them any more" in shown["goes"]
        assert "gets through" not in shown["warnings"]


async def test_an_api_is_shown_by_the_service_that_answers_for_it(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        shown = lines(await scene.apply(API, dry_run=True))
        assert "While Service shop/cart does not answer, no kind of extra.example.com/v1" in shown["warnings"]
        await made(scene.cluster, API)
        shown = await deleting(scene, "apiservice", "v1.extra.example.com")
        assert "every kind of extra.example.com/v1" in shown["goes"]


# Finalizers


HELD = "metadata: {name: held, namespace: shop, finalizers: [cleaner.example.com/disk]}"
MAP = f"apiVersion: v1\nkind: ConfigMap\n{HELD}\ndata: {{a: '1'}}\n"


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_finalizer_that_is_taken_away_skips_what_it_would_have_cleaned_up(
    tmp_path: Path, deleted: bool
) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, MAP)
        if deleted:
            await scene.cluster.ok("DELETE", f"{CORE}/namespaces/shop/configmaps/held")
        patch = {"kind": "cm", "name": "held", **IN_SHOP, "patch": '{"metadata": {"finalizers": null}}'}
        shown = lines(await scene.call("k8s_patch", **patch, type="merge", dry_run=True))
        assert shown["effect"] == "destroy"
        assert "cleaning up by cleaner.example.com/disk (whoever runs cleaner.example.com)" in shown["goes"]
        assert "Cleaning up is skipped, which may leave cloud resources that keep costing." in shown["warnings"]
        assert ("so it goes at once, for good" in shown["warnings"]) == deleted


async def test_a_namespace_that_is_finalized_skips_its_own_controller(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\nspec: {finalizers: []}\n"
    async with shop(tmp_path) as scene:
        shown = lines(await scene.apply(text, mode="replace", subresource="finalize", dry_run=True))
        assert shown["effect"] == "destroy"
        assert "cleaning up by kubernetes (deletes what is in the namespace)" in shown["goes"]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_deletion_that_waits_says_for_what_and_where_to_look(tmp_path: Path, waits: bool) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, MAP if waits else MAP.replace(", finalizers: [cleaner.example.com/disk]", ""))
        said = "stays until its finalizers are done: cleaner.example.com/disk (whoever runs cleaner.example.com)."
        for how in ("being deleted", "being deleted already") if waits else ("deleted",):
            answer = await scene.call("k8s_delete", kind="cm", name="held", **IN_SHOP)
            assert [each["done"] for each in answer["objects"]] == [how]
            assert (said in answer["summary"]) == waits
            assert [each["tool"] for each in answer.get("next", [])] == (["k8s_get"] if waits else [])
        where = {"kind": "rollout", "id": "cart", "namespace": "shop"}
        assert "k8s_get shows whether it is gone" in await scene.fail("wait_for", **where, until="deleted")


# What no consent allows


@pytest.mark.parametrize(("rule", "at_once"), [("", True), ('namespaces = ["prod*"]', True),
                                               ('clusters = ["prod*"]', False)])  # fmt: skip
async def test_where_guarded_tools_are_off_a_deletion_is_refused_at_once_and_what_may_be_less_by_what_it_is(
    tmp_path: Path, rule: str, at_once: bool
) -> None:
    policy: dict[str, Any] = {"confirm": "deny", "unasked": False}
    if rule:
        policy["policy_file"] = tmp_path / "policy.toml"
        policy["policy_file"].write_text(f'[[rules]]\ndecision = "deny"\n{rule}\n')
    async with shop(tmp_path, **policy) as scene:
        assert "AP_MCP_CONFIRM=deny" in await scene.fail("k8s_delete", kind="deploy", name="cart", **IN_SHOP)
        # A rule about clusters is decided by the facts of this one.
        assert (scene.way.sent == []) == at_once
        assert "AP_MCP_CONFIRM=deny" in await scene.fail("k8s_scale", name="cart", replicas=1, **IN_SHOP)
        assert scene.way.changes == []
        await scene.call("k8s_scale", name="cart", replicas=3, **IN_SHOP)
        assert len(scene.way.changes) == 1
