"""What a caller means by a kind: well-known ones at once, others by what the cluster serves."""

from typing import Any

import pytest

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.discovery import KEPT_SECONDS, MOST_VERSIONS, KnownKinds, served_by
from ap_mcp.kubernetes.kinds import chosen, fitting
from ap_mcp.kubernetes.spec import known_kinds

WIDGETS = {
    "resource": "widgets",
    "responseKind": {"group": "example.com", "version": "v1", "kind": "Widget"},
    "scope": "Namespaced",
    "singularResource": "widget",
    "shortNames": ["wd"],
    "verbs": ["get", "list"],
    "subresources": [{"subresource": "status", "verbs": ["get"]}],
}
AGGREGATED: dict[str, Any] = {
    "api": {"kind": "APIGroupDiscoveryList", "items": []},
    "apis": {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": "example.com"},
                "versions": [
                    {"version": "v1", "resources": [WIDGETS]},
                    {"version": "v1beta1", "resources": [WIDGETS, {**WIDGETS, "resource": "gadgets"}]},
                ],
            }
        ],
    },
}
LEGACY = {
    "api": {"kind": "APIVersions", "versions": ["v1"]},
    "apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": "example.com",
                "versions": [{"version": "v1beta1"}, {"version": "v1"}],
                "preferredVersion": {"version": "v1"},
            }
        ],
    },
    "api/v1": {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get"]}]},
    "apis/example.com/v1": {
        "resources": [
            {"name": "widgets", "kind": "Widget", "namespaced": True, "singularName": "widget", "shortNames": ["wd"]},
            {"name": "widgets/status", "kind": "Widget", "namespaced": True},
        ]
    },
    "apis/example.com/v1beta1": {"resources": [{"name": "widgets", "kind": "Widget", "namespaced": True}]},
}


class Cluster:
    """Answers discovery, and counts how often it is asked for all of it."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked = 0
        self.time = 0.0

    async def read(self, parts: tuple[str, ...], _accept: str) -> Any:
        self.asked += parts == ("apis",)
        return self.answers["/".join(parts)]

    def now(self) -> float:
        return self.time


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("deploy", "Deployment.apps"),
        ("Deployments", "Deployment.apps"),
        ("deployment.apps", "Deployment.apps"),
        ("deployments.v1.apps", "Deployment.apps"),
        ("PO", "Pod"),
        ("pods.v1", "Pod"),
        ("ns", "Namespace"),
        ("ing", "Ingress.networking.k8s.io"),
        ("hpa", "HorizontalPodAutoscaler.autoscaling"),
        ("cronjobs.batch", "CronJob.batch"),
        (" svc ", "Service"),
    ],
)
def test_a_well_known_kind_is_found_as_kubectl_finds_it(said: str, full: str) -> None:
    assert chosen(said, known_kinds()).full == full


def test_every_name_of_every_well_known_kind_finds_it() -> None:
    for each in known_kinds():
        for name in (each.kind, each.plural, each.kind.lower(), *each.short):
            assert fitting(name, known_kinds())[0] == each, name


@pytest.mark.parametrize("answers", [AGGREGATED, LEGACY], ids=["aggregated", "legacy"])
@pytest.mark.anyio
async def test_a_custom_kind_is_found_in_its_preferred_version(answers: dict[str, Any]) -> None:
    cluster = Cluster(answers)
    kinds = KnownKinds(cluster.now)
    for said in ("widget", "Widgets", "wd", "widgets.example.com", "widget.v1.example.com"):
        found = await kinds.find("c", said, cluster.read)
        assert (found.full, found.version, found.plural) == ("Widget.example.com", "v1", "widgets")
        assert found.namespaced
        assert found.subresources == {"status"}
    assert cluster.asked == 1


LYING: list[tuple[str, dict[str, Any]]] = [
    ("", {"resource": "secrets", "responseKind": {"kind": "Widget"}}),
    ("", {"resource": "pods", "responseKind": {"kind": "ConfigMap"}}),
    ("example.com", {"resource": "../../api/v1/secrets", "responseKind": {"kind": "Widget"}}),
    ("example.com", {"resource": "widgets/status", "responseKind": {"kind": "Widget"}}),
    ("example.com", {"resource": "widgets", "responseKind": {"kind": "../Widget"}}),
    ("example.com", {"resource": "widgets", "responseKind": {"kind": ""}}),
    ("example.com", {"resource": "", "responseKind": {"kind": "Widget"}}),
    ("https://elsewhere.example", {"resource": "widgets", "responseKind": {"kind": "Widget"}}),
    ("example.com/../apps", {"resource": "widgets", "responseKind": {"kind": "Widget"}}),
]
"""Kinds that a cluster may claim to serve: by these the rules would see one thing, and requests reach another."""


@pytest.mark.parametrize(("group", "resource"), LYING)
@pytest.mark.anyio
async def test_a_kind_whose_names_lead_elsewhere_is_not_served(group: str, resource: dict[str, Any]) -> None:
    found = [{"metadata": {"name": group}, "versions": [{"version": "v1", "resources": [resource]}]}]
    bad = {"kind": "APIGroupDiscoveryList", "items": found}
    good = AGGREGATED["apis"]
    both = {**good, "items": [*good["items"], *found]}
    for answers in ({"api": bad, "apis": good}, {"api": AGGREGATED["api"], "apis": both}):
        cluster = Cluster(answers)
        assert await served_by(cluster.read) == await served_by(Cluster(AGGREGATED).read)


@pytest.mark.anyio
async def test_groups_without_an_end_are_not_all_asked_for() -> None:
    versions = [{"version": f"v{at}"} for at in range(3 * MOST_VERSIONS)]
    groups = [{"name": "example.com", "preferredVersion": {"version": "v1"}, "versions": versions}]
    asked = []

    async def read(parts: tuple[str, ...], _accept: str) -> Any:
        asked.append(parts)
        return {"kind": "APIGroupList", "groups": groups} if parts == ("apis",) else {}

    assert await served_by(read) == ()
    assert len(asked) == 2 + MOST_VERSIONS


@pytest.mark.anyio
async def test_well_known_kinds_cost_no_request_and_unknown_ones_name_what_is_close() -> None:
    cluster = Cluster(AGGREGATED)
    kinds = KnownKinds(cluster.now)
    assert (await kinds.find("c", "pods", cluster.read)).kind == "Pod"
    assert cluster.asked == 0
    with pytest.raises(CallRefused, match=r'no kind "wigdets"\. Did you mean widgets'):
        await kinds.find("c", "wigdets", cluster.read)


@pytest.mark.anyio
async def test_what_a_cluster_serves_is_kept_for_a_while_and_asked_again_for_what_is_new() -> None:
    cluster = Cluster(AGGREGATED)
    kinds = KnownKinds(cluster.now)
    await kinds.served("c", cluster.read)
    cluster.time = KEPT_SECONDS
    await kinds.served("c", cluster.read)
    assert cluster.asked == 1
    cluster.time = 2 * KEPT_SECONDS
    await kinds.served("c", cluster.read)
    assert cluster.asked == 2
    cluster.time += 1
    with pytest.raises(CallRefused):
        await kinds.find("c", "sprockets", cluster.read)
    assert cluster.asked == 3
