"""What a change does to other objects: selectors that match differently, and traffic that it takes from others."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes_calls import CORE
from kubernetes_writing import DEPLOYMENT, LONG_ENOUGH, Scene, made, shop
from test_kubernetes_impacts import lines, refusing

from ap_mcp.kubernetes.selectors import selects

pytestmark = pytest.mark.anyio

IN_SHOP = {"namespace": "shop"}
BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: keeps, namespace: shop}
spec: {minAvailable: 1, selector: {matchExpressions: [{key: tier, operator: %s}]}}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: walls, namespace: %s}
spec:
  podSelector: %s
  ingress: [{from: [%s]}]
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: %s}
spec: %s
"""
TO_WEB = {
    "http": {
        "paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "w", "port": {"number": 80}}}}]
    }
}
OTHER = DEPLOYMENT.replace("name: cart,", "name: canary,")


def ingress(name: str, *hosts: str, namespace: str = "shop", of: str = "", tls: str = "") -> str:
    """Write an Ingress; an empty host stands for all that no other serves."""
    spec: dict[str, Any] = {"rules": [{**({"host": each} if each else {}), **TO_WEB} for each in hosts]}
    spec |= {"ingressClassName": of} if of else {}
    spec |= {"tls": [{"hosts": list(hosts), "secretName": tls}]} if tls else {}
    return INGRESS % (name, namespace, json.dumps(spec))


async def a_pod(scene: Scene) -> str:
    return (await scene.cluster.names(f"{CORE}/namespaces/shop/pods"))[0]


async def labelling(scene: Scene, **labels: str | None) -> dict[str, str]:
    """Ask what it would do to change labels of a pod of the shop."""
    patch = json.dumps({"metadata": {"labels": labels}})
    given = {"kind": "pod", "name": await a_pod(scene), **IN_SHOP, "patch": patch, "type": "merge"}
    return lines(await scene.call("k8s_patch", **given, dry_run=True))


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"app": "cart"}, True),
        ({"app": "cart", "tier": "web"}, False),
        ({"matchLabels": {"app": "cart"}}, True),
        ({"matchLabels": {"app": "cart"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "cart"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a", "cart"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": ["In"]}]}, False),
        ({"matchLabels": {}}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_selector_of_either_form_matches_the_labels_that_kubernetes_says(selector: Any, matches: bool) -> None:
    assert selects(selector, {"app": "cart"}) is matches


async def test_labels_of_a_pod_that_no_selector_goes_by_are_a_mere_write(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, BUDGET % "DoesNotExist")
        assert (await labelling(scene, team="a"))["effect"] == "write"


async def test_labels_by_which_a_pod_leaves_what_selects_it_are_asked_about_with_all_of_these(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, BUDGET % "Exists")
        shown = await labelling(scene, app=None)
        assert shown["effect"] == "disrupt"
        assert "Service cart" in shown["goes"]
        assert "ReplicaSet cart-" in shown["goes"]
        assert "keeps" not in str(shown)
        shown = await labelling(scene, tier="web")
        assert shown["effect"] == "disrupt"
        assert "PodDisruptionBudget keeps" in shown["warnings"]


@pytest.mark.parametrize(
    ("namespace", "selector", "peer", "effect"),
    [
        ("shop", "{matchLabels: {tier: web}}", "", "disrupt"),
        ("shop", "{}", "{podSelector: {matchLabels: {tier: web}}}", "disrupt"),
        ("default", "{}", "{namespaceSelector: {}, podSelector: {matchLabels: {tier: web}}}", "disrupt"),
        ("default", "{}", "{podSelector: {matchLabels: {tier: web}}}", "write"),
        ("default", "{matchLabels: {tier: web}}", "", "write"),
    ],
)
async def test_a_network_policy_goes_by_labels_of_pods_it_isolates_and_of_those_it_lets_in(
    tmp_path: Path, namespace: str, selector: str, peer: str, effect: str
) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, POLICY % (namespace, selector, peer))
        shown = await labelling(scene, tier="web")
        assert shown["effect"] == effect
        assert ("NetworkPolicy" in shown["warnings"]) == (effect == "disrupt")


async def test_selectors_that_cannot_be_read_leave_it_asked_and_said_to_be_unknown(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        name = await a_pod(scene)
        await refusing(scene, "networkpolicies")
        patch = {"patch": json.dumps({"metadata": {"labels": {"team": "a"}}}), "type": "merge"}
        shown = lines(await scene.call("k8s_patch", kind="pod", name=name, **IN_SHOP, **patch, dry_run=True))
        assert shown["effect"] == "disrupt"
        assert "which NetworkPolicy it concerns" in shown["unknown"]


async def test_a_list_without_an_end_counts_as_not_read(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        name = await a_pod(scene)

        async def before(request: httpx.Request) -> httpx.Response | None:
            body = {"kind": "ServiceList", "metadata": {"continue": "more"}, "items": []}
            return httpx.Response(200, json=body) if request.url.path.endswith("/services") else None

        scene.way.before = before
        patch = {"patch": json.dumps({"metadata": {"labels": {"team": "a"}}}), "type": "merge"}
        shown = lines(await scene.call("k8s_patch", kind="pod", name=name, **IN_SHOP, **patch, dry_run=True))
        assert shown["effect"] == "disrupt"
        assert "pages of services and still has more" in shown["unknown"]


async def test_new_labels_of_a_template_say_which_services_lose_its_pods(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, BUDGET % "Exists")
        patch = json.dumps({"spec": {"template": {"metadata": {"labels": {"tier": "web"}}}}})
        shown = lines(await scene.call("k8s_patch", kind="deploy", name="cart", **IN_SHOP, patch=patch, dry_run=True))
        assert shown["effect"] == "disrupt"
        assert "PodDisruptionBudget keeps" in shown["warnings"]
        assert "Service" not in shown["warnings"]


async def test_labels_of_a_replicaset_that_its_deployment_selects_it_by_are_asked_about(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        (name,) = await scene.cluster.names("/apis/apps/v1/namespaces/shop/replicasets")
        for labels, effect in (({"team": "a"}, "write"), ({"app": None}, "disrupt")):
            patch = json.dumps({"metadata": {"labels": labels}})
            given = {"kind": "rs", "name": name, **IN_SHOP, "patch": patch, "type": "merge"}
            assert lines(await scene.call("k8s_patch", **given, dry_run=True))["effect"] == effect


# Traffic


@pytest.mark.parametrize(
    ("there", "new", "taken"),
    [
        (ingress("old", "shop.example.com"), ingress("new", "SHOP.example.com"), "host shop.example.com"),
        (ingress("old", "shop.example.com", namespace="default"), ingress("new", "shop.example.com"), "default/old"),
        (ingress("old", "*.example.com"), ingress("new", "shop.example.com"), "Ingress old"),
        (ingress("old", ""), ingress("new", "shop.example.com"), "Ingress old"),
        (ingress("old", ""), ingress("new", ""), "every host that no other"),
        (ingress("old", "a.example.com", of="nginx"), ingress("new", "a.example.com"), "Ingress old"),
        (ingress("old", "a.example.com", tls="mine"), ingress("new", "a.example.com", tls="theirs"), "certificate of"),
        (ingress("old", "a.example.com", of="nginx"), ingress("new", "a.example.com", of="cce"), ""),
        (ingress("old", "shop.example.com"), ingress("new", "other.example.com"), ""),
        (ingress("old", "shop.example.com"), ingress("new", "*.example.com"), ""),
        (ingress("old", "*.example.com"), ingress("new", "a.b.example.com"), ""),
        (ingress("old", "shop.example.com"), ingress("new", ""), ""),
    ],
)
async def test_a_new_ingress_is_asked_about_if_others_serve_its_hosts_and_they_are_named(
    tmp_path: Path, there: str, new: str, taken: str
) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, there)
        shown = lines(await scene.apply(new, dry_run=True))
        assert shown["effect"] == ("disrupt" if taken else "write")
        assert taken in shown["goes"]


async def test_an_ingress_that_gets_the_host_of_another_one_names_it_and_its_own_hosts_are_no_news(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, ingress("old", "a.example.com"))
        await made(scene.cluster, ingress("new", "b.example.com"))
        shown = lines(await scene.apply(ingress("new", "b.example.com", "a.example.com"), dry_run=True))
        assert "host a.example.com, which Ingress old serves now" in shown["goes"]
        assert "b.example.com" not in shown["goes"]


async def test_where_the_ingresses_of_other_namespaces_cannot_be_read_a_new_one_is_asked_about(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:

        async def before(request: httpx.Request) -> httpx.Response | None:
            status = {"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}
            everywhere = request.url.path == "/apis/networking.k8s.io/v1/ingresses"
            return httpx.Response(403, json=status) if everywhere else None

        scene.way.before = before
        shown = lines(await scene.apply(ingress("new", "a.example.com"), dry_run=True))
        assert shown["effect"] == "disrupt"
        assert "which Ingress it concerns" in shown["unknown"]


async def test_new_pods_that_join_a_service_which_others_serve_take_a_share_of_its_traffic(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        shown = lines(await scene.apply(OTHER, dry_run=True))
        assert shown["effect"] == "disrupt"
        assert "a share of the traffic of Service cart, which other pods serve now" in shown["goes"]
        await scene.cluster.ok("DELETE", "/apis/apps/v1/namespaces/shop/deployments/cart")
        scene.cluster.world.advance(LONG_ENOUGH)
        assert lines(await scene.apply(OTHER, dry_run=True))["effect"] == "write"


BARE = """
apiVersion: v1
kind: Pod
metadata: {name: batch-7, namespace: shop, labels: {app: batch}}
spec: {containers: [{name: main, image: "busybox:1.36"}]}
"""
TAKES_OVER = """
apiVersion: %s
kind: %s
metadata: {name: taker, namespace: shop}
spec:
  replicas: 0
  selector: %s
  template:
    metadata: {labels: {app: %s}}
    spec: {containers: [{name: main, image: "busybox:1.36"}]}
"""


@pytest.mark.parametrize(
    ("taker", "effect"),
    [
        (("apps/v1", "ReplicaSet", "{matchLabels: {app: batch}}", "batch"), "destroy"),
        (("apps/v1", "ReplicaSet", "{matchExpressions: [{key: app, operator: Exists}]}", "batch"), "destroy"),
        (("v1", "ReplicationController", "{app: batch}", "batch"), "destroy"),
        (("apps/v1", "ReplicaSet", "{matchLabels: {app: other}}", "other"), "write"),
    ],
)
async def test_a_new_controller_that_takes_over_pods_without_one_says_which_and_that_it_may_delete_them(
    tmp_path: Path, taker: tuple[str, ...], effect: str
) -> None:
    async with shop(tmp_path) as scene:
        await made(scene.cluster, BARE)
        shown = lines(await scene.apply(TAKES_OVER % taker, dry_run=True))
        assert shown["effect"] == effect
        assert ("Pod batch-7" in shown["goes"]) == (effect == "destroy")


async def test_a_new_controller_takes_over_no_pods_of_another_one(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        await scene.cluster.ok("DELETE", f"{CORE}/namespaces/shop/services/cart")
        taker = TAKES_OVER % ("apps/v1", "ReplicaSet", "{matchLabels: {app: cart}}", "cart")
        assert lines(await scene.apply(taker, dry_run=True))["effect"] == "write"
