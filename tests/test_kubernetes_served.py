"""k8s_discover: the kinds that a cluster serves, and the fields of one, a level at a time."""

import itertools
from functools import partial
from typing import Any

import httpx
import pytest
from fake_cluster import FakeCluster, ask

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.discovery import KnownKinds

pytestmark = pytest.mark.anyio

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def group(name: str, versions: dict[str, list[tuple[str, str, list[str], bool]]]) -> dict[str, Any]:
    def one(plural: str, kind: str, short: list[str], namespaced: bool) -> dict[str, Any]:
        scope = "Namespaced" if namespaced else "Cluster"
        found = {
            "resource": plural,
            "responseKind": {"kind": kind},
            "scope": scope,
            "shortNames": short,
            "verbs": VERBS,
        }
        return {**found, "singularResource": kind.lower(), "subresources": [{"subresource": "status"}]}

    listed = [{"version": each, "resources": [one(*kind) for kind in kinds]} for each, kinds in versions.items()]
    return {"metadata": {"name": name}, "versions": listed}


NAME = "io.k8s.api.apps.v1"
SCHEMAS = {
    f"{NAME}.Deployment": {
        "description": "Deployment enables declarative updates for Pods and ReplicaSets. More text.",
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string", "description": "Versioned schema."},
            "spec": {"allOf": [{"$ref": f"#/components/schemas/{NAME}.DeploymentSpec"}], "default": {}},
        },
        "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
    },
    f"{NAME}.DeploymentSpec": {
        "type": "object",
        "required": ["selector"],
        "properties": {
            "replicas": {
                "type": "integer",
                "format": "int32",
                "default": 1,
                "description": f"Number of pods{'!' * 900}",
            },
            "strategy": {"allOf": [{"$ref": f"#/components/schemas/{NAME}.Strategy"}], "description": "How. More."},
            "selector": {"$ref": f"#/components/schemas/{NAME}.Selector"},
            "containers": {"type": "array", "items": {"$ref": f"#/components/schemas/{NAME}.Container"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    f"{NAME}.Strategy": {
        "type": "object",
        "description": "A strategy.",
        "properties": {
            "type": {"type": "string", "enum": ["Recreate", "RollingUpdate"]},
            "maxSurge": {"x-kubernetes-int-or-string": True},
        },
    },
    f"{NAME}.Selector": {"type": "object", "properties": {"self": {"$ref": f"#/components/schemas/{NAME}.Selector"}}},
    f"{NAME}.Container": {"type": "object", "properties": {"image": {"type": "string"}}},
}


def cluster() -> FakeCluster:
    core = group("", {"v1": [("pods", "Pod", ["po"], True), ("nodes", "Node", ["no"], False)]})
    apps = group("apps", {"v1": [("deployments", "Deployment", ["deploy"], True)]})
    custom = group(
        "shop.example.com", {"v1": [("carts", "Cart", ["ct"], True)], "v1beta1": [("carts", "Cart", [], True)]}
    )
    listed = {"kind": "APIGroupDiscoveryList"}
    return FakeCluster(
        paths={
            "/api": {**listed, "items": [core]},
            "/apis": {**listed, "items": [custom, apps]},
            "/openapi/v3/apis/apps/v1": {"openapi": "3.0.0", "components": {"schemas": SCHEMAS}},
        }
    )


async def test_all_kinds_are_listed_by_their_groups_with_custom_ones_last_and_marked() -> None:
    found = await ask(cluster(), "k8s_discover")
    assert found.summary == "shop-prod serves 4 kinds, 1 of them custom ones."
    assert [(each.group_version, each.custom) for each in found.groups] == [
        ("v1", None),
        ("apps/v1", None),
        ("shop.example.com/v1", True),
    ]
    assert found.groups[0].kinds == ["pods/po", "nodes/no"]


@pytest.mark.parametrize(
    ("said", "kinds"), [("apps/v1", ["Deployment"]), ("v1", ["Pod", "Node"]), ("core", ["Pod", "Node"])]
)
async def test_one_group_is_listed_with_verbs(said: str, kinds: list[str]) -> None:
    found = await ask(cluster(), "k8s_discover", group_version=said)
    assert [each.kind for each in found.kinds] == kinds
    assert found.kinds[0].verbs == sorted(VERBS)


async def test_a_group_that_is_not_served_names_close_ones() -> None:
    with pytest.raises(CallRefused, match=r'serves no group "aps/v1"\. There are: apps/v1'):
        await ask(cluster(), "k8s_discover", group_version="aps/v1")


def lists(kind: str, plural: str) -> dict[str, Any]:
    entry = {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": VERBS}
    return {"kind": "APIResourceList", "resources": [entry, {**entry, "name": f"{plural}/status"}]}


@pytest.mark.parametrize(
    ("wanted", "there", "shown"),
    [
        ("shop.example.com/v1alpha1", ["/apis/shop.example.com/v1"], ["carts"]),
        ("extensions/v1beta1", ["/apis/apps/v1"], ["deployments"]),
    ],
)
async def test_of_a_version_that_is_gone_what_is_served_instead_is_shown(
    wanted: str, there: list[str], shown: list[str]
) -> None:
    served = cluster()
    served.paths |= {
        "/apis/shop.example.com/v1": lists("Cart", "carts"),
        "/apis/apps/v1": lists("Deployment", "deployments"),
    }
    found = await ask(served, "k8s_discover", group_version=wanted)
    assert [each.plural for each in found.kinds] == shown
    instead = there[0].removeprefix("/apis/")
    assert found.warnings == [f"The cluster does not serve {wanted}: {instead} is shown instead."]
    assert served.paths_seen == [f"/apis/{wanted}", "/api", "/apis", *there]


async def test_one_version_of_a_group_is_one_request() -> None:
    served = cluster()
    served.paths["/apis/apps/v1"] = lists("Deployment", "deployments")
    found = await ask(served, "k8s_discover", group_version="apps/v1")
    assert [(each.kind, each.namespaced, each.verbs) for each in found.kinds] == [("Deployment", True, VERBS)]
    assert served.paths_seen == ["/apis/apps/v1"]


async def test_a_kind_is_shown_with_its_versions_and_its_fields() -> None:
    found = await ask(cluster(), "k8s_discover", kind="deploy")
    assert (found.kind, found.versions, found.short) == ("Deployment", ["apps/v1"], ["deploy"])
    assert found.subresources == ["status"]
    assert [(each.name, each.type) for each in found.fields] == [("apiVersion", "string"), ("spec", "DeploymentSpec")]
    assert found.about == "Deployment enables declarative updates for Pods and ReplicaSets"
    assert found.next[0].arguments["field"] == "spec"


async def test_a_path_goes_down_through_references_lists_and_maps() -> None:
    found = await ask(cluster(), "k8s_discover", kind="deploy", field="spec")
    shown = {each.name: each for each in found.fields}
    assert (found.fields[0].name, found.fields[0].required) == ("selector", True)
    assert shown["containers"].type == "list of Container"
    assert shown["labels"].type == "map of string"
    assert (shown["replicas"].type, shown["replicas"].default) == ("integer", "1")
    assert len(shown["replicas"].about) <= 90
    strategy = await ask(cluster(), "k8s_discover", kind="deploy", field="spec.strategy")
    assert {each.name: (each.type, each.values) for each in strategy.fields} == {
        "type": ("string", ["Recreate", "RollingUpdate"]),
        "maxSurge": ("integer or string", None),
    }
    for path in ("spec.containers.image", "spec.containers[].image"):
        image = await ask(cluster(), "k8s_discover", kind="deploy", field=path)
        assert (image.type, image.fields) == ("string", [])
    deep = await ask(cluster(), "k8s_discover", kind="deploy", field="spec.selector.self.self.self")
    assert deep.type == "object"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("spec.replcas", r'Deployment.spec has no field "replcas"\. Did you mean replicas'),
        ("spec.zzz", r"There are: containers, labels"),
        ("spec.strategy.type.x", "It is a string, without fields"),
    ],
)
async def test_a_field_that_is_not_there_names_close_ones(path: str, said: str) -> None:
    with pytest.raises(CallRefused, match=said):
        await ask(cluster(), "k8s_discover", kind="deploy", field=path)


async def test_a_kind_without_a_schema_is_shown_without_fields_and_says_so() -> None:
    found = await ask(cluster(), "k8s_discover", kind="cart")
    assert found.fields is None
    assert found.versions == ["shop.example.com/v1", "shop.example.com/v1beta1"]
    assert "no schema of shop.example.com/v1 Cart" in found.warnings[0]


async def test_a_field_without_its_kind_is_refused_before_anything_is_read() -> None:
    there = cluster()
    with pytest.raises(CallRefused, match="name the kind too"):
        await ask(there, "k8s_discover", field="spec")
    assert there.seen == []


async def test_a_kind_that_came_since_is_found() -> None:
    there = cluster()
    seen: list[str] = []

    def first(request: httpx.Request) -> httpx.Response | None:
        seen.append(request.url.path)
        listed = {"kind": "APIGroupDiscoveryList", "items": []}
        early = request.url.path == "/apis" and seen.count("/apis") == 1
        return httpx.Response(200, json=listed) if early else None

    there.first = first
    kinds = KnownKinds(partial(next, itertools.count()))
    with pytest.raises(CallRefused, match="serves no kind"):
        await ask(there, "k8s_discover", kind="carts", kinds=kinds)
    assert (await ask(there, "k8s_discover", kind="carts", kinds=kinds)).kind == "Cart"
