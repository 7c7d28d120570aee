"""How grave a change in a cluster is: by verb and kind, by what really changes, and by what its pods could read."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.changes import changed, facts_of, unchanged
from ap_mcp.kubernetes.effects import Around, Change, Verb, effects_of, gravest, least
from ap_mcp.kubernetes.secrets_read import account_of, newly_read, other_programs, pod_spec, secrets_of
from ap_mcp.kubernetes.spec import UNKNOWN, Resource, effect_table, known_kinds
from ap_mcp.kubernetes.volume_claims import stores_of

KINDS = {each.kind: each for each in known_kinds()}
WIDGET = Resource("Widget", "example.com", "v1", "widgets", namespaced=True)
FAKE_SECRET = Resource("Secret", "example.com", "v1", "secrets", namespaced=True)
SPEC = {"containers": [{"name": "web", "image": "nginx:1.25"}]}
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "cart", "uid": "u1", "labels": {"app": "cart"}},
    "spec": {"replicas": 2, "template": {"spec": SPEC}},
}


def effect(verb: Verb, kind: str | Resource, before: Any = None, after: Any = None, **more: Any) -> str:
    resource = KINDS[kind] if isinstance(kind, str) else kind
    return gravest(effects_of(Change(verb, resource, more.pop("namespace", "shop"), "cart", before, after, **more)))


def with_(body: Any, **changes: Any) -> Any:
    """Return a copy of an object with values set at dotted paths, `__` standing for a dot."""
    made = copy.deepcopy(body)
    for path, value in changes.items():
        node = made
        *way, last = path.split("__")
        for key in way:
            node = node.setdefault(key, {})
        node[last] = value
    return made


def test_every_well_known_kind_has_an_effect_for_each_verb_and_custom_ones_are_grave() -> None:
    table = effect_table()
    assert set(table.classes) <= set(KINDS)
    for resource in (*KINDS.values(), WIDGET, FAKE_SECRET):
        for verb in ("create", "change", "delete"):
            assert table.verbs[verb][table.class_of(resource)] in ("write", "disrupt", "destroy")
    assert {table.class_of(each) for each in (WIDGET, FAKE_SECRET)} == {UNKNOWN}
    assert (effect("create", WIDGET), effect("change", WIDGET), effect("delete", WIDGET)) == (
        "disrupt",
        "disrupt",
        "destroy",
    )


@pytest.mark.parametrize(
    ("verb", "kind", "expected"),
    [
        ("create", "Deployment", "write"),
        ("create", "Secret", "write"),
        ("create", "Role", "disrupt"),
        ("create", "ResourceQuota", "disrupt"),
        ("create", "CustomResourceDefinition", "disrupt"),
        ("create", "NetworkPolicy", "disrupt"),
        ("create", "Endpoints", "disrupt"),
        ("create", "EndpointSlice", "disrupt"),
        ("create", "Service", "write"),
        ("delete", "Deployment", "destroy"),
        ("delete", "PersistentVolumeClaim", "destroy"),
        ("delete", "PodDisruptionBudget", "disrupt"),
        ("delete", "Pod", "destroy"),
    ],
)
def test_the_table_decides_where_nothing_more_is_known(verb: Verb, kind: str, expected: str) -> None:
    assert effect(verb, kind, {"metadata": {}}, {"metadata": {}}) == expected


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
def test_in_kubernetes_own_namespaces_nothing_is_a_mere_write(namespace: str) -> None:
    assert effect("create", "ConfigMap", namespace=namespace) == "disrupt"
    labelled = with_(DEPLOYMENT, metadata__labels={"team": "a"})
    assert effect("change", "Deployment", DEPLOYMENT, labelled, namespace=namespace) == "disrupt"


LABELLED = with_(DEPLOYMENT, metadata__labels={"app": "cart", "team": "a"})
PROXIED = with_(DEPLOYMENT, metadata__labels={"app": "cart", "service.kubernetes.io/service-proxy-name": "none"})
BY_KUBECTL = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
ANNOTATED = with_(DEPLOYMENT, metadata__annotations={"note": "x"})


@pytest.mark.parametrize(
    ("kind", "after", "expected"),
    [
        ("Deployment", LABELLED, "write"),
        ("Deployment", ANNOTATED, "write"),
        ("Deployment", with_(DEPLOYMENT, spec__replicas=3), "write"),
        ("Deployment", with_(DEPLOYMENT, spec__replicas=1), "disrupt"),
        ("Deployment", with_(DEPLOYMENT, spec__paused=True), "write"),
        ("Deployment", with_(LABELLED, spec__paused=True, spec__replicas=3), "disrupt"),
        ("Pod", LABELLED, "disrupt"),
        ("Namespace", LABELLED, "disrupt"),
        ("Service", LABELLED, "write"),
        ("Service", ANNOTATED, "disrupt"),
        ("Service", PROXIED, "disrupt"),
        ("Deployment", PROXIED, "disrupt"),
        ("Deployment", with_(DEPLOYMENT, metadata__annotations=BY_KUBECTL), "disrupt"),
        ("Deployment", with_(ANNOTATED, metadata__annotations={**BY_KUBECTL, "note": "x"}), "disrupt"),
        ("Secret", with_(DEPLOYMENT, metadata__annotations={"reflector.example/copy-to": "everywhere"}), "disrupt"),
        ("Deployment", with_(DEPLOYMENT, metadata__annotations={"kubernetes.io/change-cause": "x"}), "write"),
        ("Role", LABELLED, "disrupt"),
        (WIDGET, LABELLED, "disrupt"),
        ("Job", with_(DEPLOYMENT, spec__suspend=False), "write"),
        ("Job", with_(DEPLOYMENT, spec__suspend=True), "disrupt"),
    ],
)
def test_a_small_change_is_less_than_its_kind_says_only_if_nothing_goes_by_it(
    kind: str | Resource, after: Any, expected: str
) -> None:
    assert effect("change", kind, DEPLOYMENT, after) == expected


def test_what_nobody_could_check_is_never_taken_for_a_small_change() -> None:
    assert effect("change", "Deployment", DEPLOYMENT, None) == "disrupt"


def test_a_pod_that_comes_back_is_disrupted_and_one_that_does_not_is_destroyed() -> None:
    owned = {"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": True}]}}
    loose = {"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "r"}]}}
    assert (effect("delete", "Pod", owned), effect("delete", "Pod", loose)) == ("disrupt", "destroy")
    assert least("delete", KINDS["Pod"], owned) == "disrupt"


def test_taking_finalizers_away_destroys_what_they_would_have_cleaned_up() -> None:
    held = with_(DEPLOYMENT, metadata__finalizers=["a/b", "c/d"])
    assert effect("change", "Deployment", held, with_(held, metadata__finalizers=["a/b"])) == "destroy"
    assert effect("change", "Deployment", held, with_(held, metadata__finalizers=["a/b", "c/d", "e/f"])) == "disrupt"
    assert effect("change", "Namespace", DEPLOYMENT, DEPLOYMENT, subresource="finalize") == "destroy"


def test_fewer_replicas_destroy_only_where_their_volumes_go_with_them() -> None:
    taking = with_(DEPLOYMENT, spec__persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"})
    assert effect("change", "StatefulSet", taking, with_(taking, spec__replicas=1)) == "destroy"
    assert effect("change", "StatefulSet", taking, with_(taking, spec__replicas=4)) == "write"
    assert effect("change", "StatefulSet", DEPLOYMENT, with_(DEPLOYMENT, spec__replicas=1)) == "disrupt"
    assert effect("change", "StatefulSet", DEPLOYMENT, with_(taking, spec__replicas=1)) == "destroy"


@pytest.mark.parametrize("kind", ["Deployment", "ConfigMap", "PersistentVolumeClaim", "Role", WIDGET], ids=str)
def test_an_object_that_gets_an_owner_goes_with_it(kind: str | Resource) -> None:
    owned = with_(DEPLOYMENT, metadata__ownerReferences=[{"kind": "ConfigMap", "name": "gone", "uid": "u9"}])
    assert effect("change", kind, DEPLOYMENT, owned) == "destroy"
    assert effect("change", kind, owned, DEPLOYMENT) == "disrupt"
    assert effect("create", "ConfigMap", None, owned) == "write"


def test_taking_over_what_is_not_its_own_is_no_mere_creation() -> None:
    assert effect("create", "Service", None, {"spec": {"externalIPs": ["192.0.2.1"]}}) == "disrupt"
    spec = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    for kind, maker in MAKERS.items():
        assert effect("create", kind, None, maker(spec)) == "disrupt"
        assert effect("create", kind, None, maker(spec), around=Around()) == "write"


def test_storage_that_a_change_opens_or_may_open_is_asked_about() -> None:
    more = with_(DEPLOYMENT, spec__replicas=3)
    for around, expected in (
        (Around(), "write"),
        (Around(opened=("volume claim old",)), "disrupt"),
        (Around(unread={"which PersistentVolume it concerns": CallRefused("no")}), "disrupt"),
    ):
        assert effect("change", "StatefulSet", DEPLOYMENT, more, around=around) == expected


def test_a_volume_that_is_no_longer_kept_or_claimed_is_as_good_as_lost() -> None:
    kept = {"spec": {"persistentVolumeReclaimPolicy": "Retain", "claimRef": {"uid": "c1"}}}
    assert (
        effect("change", "PersistentVolume", kept, with_(kept, spec__persistentVolumeReclaimPolicy="Delete"))
        == "destroy"
    )
    assert effect("change", "PersistentVolume", kept, with_(kept, spec__claimRef=None)) == "destroy"
    assert effect("change", "PersistentVolume", kept, with_(kept, spec__capacity={})) == "disrupt"


SECRETS: list[dict[str, Any]] = [
    {"containers": [{"name": "a", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]},
    {"containers": [{"name": "a", "envFrom": [{"secretRef": {"name": "s"}}]}]},
    {"initContainers": [{"name": "a", "envFrom": [{"secretRef": {"name": "s"}}]}]},
    {"ephemeralContainers": [{"name": "a", "envFrom": [{"secretRef": {"name": "s"}}]}]},
    {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
    {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]},
    {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}]},
    {"volumes": [{"name": "v", "azureFile": {"secretName": "s"}}]},
    *(
        {"volumes": [{"name": "v", kind: {"secretRef": {"name": "s"}}}]}
        for kind in ("cephfs", "rbd", "iscsi", "scaleIO", "storageos", "flexVolume")
    ),
]
NONE: list[dict[str, Any]] = [
    {"imagePullSecrets": [{"name": "s"}]},
    {"volumes": [{"name": "v", "configMap": {"name": "s"}}]},
    {"containers": [{"name": "a", "envFrom": [{"configMapRef": {"name": "s"}}]}]},
    {"serviceAccountName": "default"},
    {"serviceAccountName": "admin", "automountServiceAccountToken": False},
]
MAKERS: dict[str, Any] = {
    "Pod": lambda spec: {"kind": "Pod", "metadata": {}, "spec": spec},
    "Deployment": lambda spec: {"kind": "Deployment", "metadata": {}, "spec": {"template": {"spec": spec}}},
    "CronJob": lambda spec: {
        "kind": "CronJob",
        "metadata": {},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}},
    },
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("spec", SECRETS, ids=str)
def test_a_template_that_hands_a_secret_to_its_pods_is_secret_unless_they_had_it(spec: Any, kind: str) -> None:
    body = MAKERS[kind](spec)
    assert secrets_of(spec) == {"s"}
    assert effect("create", kind, None, body) == "secret"
    known = "disrupt" if stores_of(pod_spec(body)) else "write"
    assert effect("create", kind, None, body, made=frozenset({"s"})) == known
    assert effect("change", kind, MAKERS[kind]({}), body) == "secret"
    assert effect("change", kind, body, with_(body, spec__x=1)) == "disrupt"


@pytest.mark.parametrize("spec", NONE, ids=str)
def test_what_no_container_sees_is_no_secret_of_its(spec: Any) -> None:
    assert newly_read(None, MAKERS["Deployment"](spec)) == ()
    assert effect("create", "Deployment", None, MAKERS["Deployment"](spec)) == "write"


READING: dict[str, Any] = {
    "name": "web",
    "image": "registry.example.com:5000/shop/web:1.0",
    "args": ["serve"],
    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
}
BESIDE = {"name": "log", "image": "log:1"}
PODS: dict[str, Any] = {
    "containers": [READING, BESIDE],
    "volumes": [{"name": "v", "secret": {"secretName": "t"}}, {"name": "w", "emptyDir": {}}],
}
LOG = {**BESIDE, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
OTHERS: list[tuple[Any, Any, str]] = [
    (READING, {**READING, "command": ["env"]}, "container web can read Secret s"),
    (READING, {**READING, "args": ["serve", "--verbose"]}, "container web can read Secret s"),
    (READING, {**READING, "image": "registry.example.com:5000/other/web:1.0"}, "container web can read Secret s"),
    (READING, {**READING, "lifecycle": {"postStart": {"exec": {"command": ["env"]}}}}, "web can read Secret s"),
    (READING, {**READING, "livenessProbe": {"exec": {"command": ["env"]}}}, "container web can read Secret s"),
    (BESIDE, LOG, "container log can read Secret t"),
    (BESIDE, {**LOG, "name": "more"}, "container more can read Secret t"),
    (BESIDE, {**BESIDE, "envFrom": [{"secretRef": {"name": "s"}}]}, "container log can read Secret s"),
]
SAME: list[tuple[Any, Any]] = [
    (READING, {**READING, "image": "registry.example.com:5000/shop/web:1.1"}),
    (READING, {**READING, "image": "registry.example.com:5000/shop/web@sha256:" + 64 * "0"}),
    (READING, {**READING, "command": None, "resources": {"limits": {"cpu": "1"}}}),
    (READING, {**READING, "env": [*READING["env"], {"name": "B", "value": "b"}]}),
    (READING, {**READING, "env": []}),
    (READING, {**READING, "livenessProbe": {"httpGet": {"port": 80}}}),
    (BESIDE, {**BESIDE, "command": ["env"]}),
    (BESIDE, {**BESIDE, "command": ["env"], "volumeMounts": [{"name": "w", "mountPath": "/w"}]}),
]


def replaced(old: Any, new: Any) -> dict[str, Any]:
    return {**PODS, "containers": [new if each is old else each for each in PODS["containers"]]}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(("old", "new", "said"), OTHERS)
def test_another_program_where_a_secret_is_read_is_secret(kind: str, old: Any, new: Any, said: str) -> None:
    before, after = MAKERS[kind](PODS), MAKERS[kind](replaced(old, new))
    assert newly_read(before, after) == ()
    assert said in other_programs(before, after)[0]
    assert effect("change", kind, before, after) == "secret"


@pytest.mark.parametrize(("old", "new"), SAME)
def test_the_same_program_or_one_that_reads_no_secret_is_not_secret(old: Any, new: Any) -> None:
    before, after = MAKERS["Deployment"](PODS), MAKERS["Deployment"](replaced(old, new))
    assert other_programs(before, after) == ()
    assert effect("change", "Deployment", before, after) == "disrupt"


BY_ENV = {"name": "web", "image": "web:1", "envFrom": [{"secretRef": {"name": "s"}}]}
DEBUG = {"name": "debug", "image": "busybox:1.36"}


@pytest.mark.parametrize(
    ("before", "after", "is_secret"),
    [
        ({}, {"ephemeralContainers": [{**DEBUG, "targetContainerName": "web"}]}, True),
        ({}, {"ephemeralContainers": [{**DEBUG, "targetContainerName": "log"}]}, False),
        ({}, {"ephemeralContainers": [DEBUG]}, False),
        ({"shareProcessNamespace": True}, {"initContainers": [DEBUG]}, True),
        ({}, {"initContainers": [DEBUG]}, False),
        ({}, {"shareProcessNamespace": True}, True),
        ({"shareProcessNamespace": True}, {"activeDeadlineSeconds": 9}, False),
    ],
)
def test_a_container_reads_the_secrets_of_those_whose_processes_it_sees(
    before: Any, after: Any, is_secret: bool
) -> None:
    has = {"containers": [BY_ENV, BESIDE], **before}
    found = effect("change", "Pod", MAKERS["Pod"](has), MAKERS["Pod"]({**has, **after}))
    assert found == ("secret" if is_secret else "disrupt")


def test_another_program_can_read_the_token_of_the_service_account_too() -> None:
    spec = {"serviceAccountName": "admin", "containers": [BESIDE]}
    after = {**spec, "containers": [{**BESIDE, "command": ["cat"]}]}
    said = other_programs(MAKERS["Pod"](spec), MAKERS["Pod"](after))
    assert said == ("container log can read the token of ServiceAccount admin",)
    assert other_programs(MAKERS["Pod"](spec), MAKERS["Pod"](spec)) == ()
    assert other_programs(None, MAKERS["Pod"](spec)) == ()


def test_a_secret_that_the_server_fills_with_a_token_is_secret() -> None:
    account = {"kubernetes.io/service-account.name": "admin"}
    filled = {"type": "kubernetes.io/service-account-token", "metadata": {"annotations": account}}
    assert effect("create", "Secret", None, filled) == "secret"
    assert effect("change", "Secret", with_(filled, metadata__annotations={}), filled) == "secret"
    assert effect("change", "Secret", filled, with_(filled, data={"x": "eA=="})) == "disrupt"


def test_a_service_account_hands_its_token_to_the_pods() -> None:
    spec = {"serviceAccountName": "admin"}
    assert account_of(spec) == "admin"
    assert newly_read(None, MAKERS["Pod"](spec)) == ("the token of ServiceAccount admin",)
    projected = {**spec, "automountServiceAccountToken": False}
    projected["volumes"] = [{"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
    assert account_of(projected) == "admin"


def test_what_only_the_server_notes_is_no_change() -> None:
    moved = with_(
        DEPLOYMENT,
        metadata__resourceVersion="9",
        metadata__managedFields=[{"manager": "x"}],
        metadata__generation=4,
        metadata__annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        status={"readyReplicas": 1},
    )
    assert unchanged(DEPLOYMENT, moved)
    assert facts_of(DEPLOYMENT) == facts_of(moved)
    assert changed(DEPLOYMENT, moved) == []
    assert not unchanged(DEPLOYMENT, moved, status=True)
    assert facts_of(DEPLOYMENT) != facts_of(with_(moved, metadata__uid="u2"))


def test_entries_of_lists_are_compared_by_their_names() -> None:
    before = with_(
        DEPLOYMENT,
        spec__template={"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}},
    )
    after = with_(
        DEPLOYMENT,
        spec__template={"spec": {"containers": [{"name": "b", "image": "y:2"}, {"name": "a", "image": "x:1"}]}},
    )
    assert [each.line() for each in changed(before, after)] == [
        'spec.template.spec.containers.b.image: "y:1" becomes "y:2"',
        'order of spec.template.spec.containers: ["a", "b"] becomes ["b", "a"]',
    ]


THREE: list[Any] = [{"name": each, "v": 0} for each in "abc"]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (THREE, THREE[::-1], ['order of spec.x: ["a", "b", "c"] becomes ["c", "b", "a"]']),
        (
            THREE[:2],
            [THREE[1], {**THREE[0], "v": 1}],
            ["spec.x.a.v: 0 becomes 1", 'order of spec.x: ["a", "b"] becomes ["b", "a"]'],
        ),
        ({"a": THREE[0]}, THREE[:1], ['spec.x: {"a": {"name": "a", "v": 0}} becomes [{"name": "a", "v": 0}]']),
        (
            [{"name": 1}, {"name": "1"}],
            [{"name": 1, "v": 2}, {"name": "1"}],
            ['spec.x: [{"name": 1}, {"name": "1"}] becomes [{"name": 1, "v": 2}, {"name": "1"}]'],
        ),
        (
            THREE[1:2],
            THREE[:1] + THREE[1:2],
            ['spec.x.a.name: new, "a"', "spec.x.a.v: new, 0", 'order of spec.x: ["b"] becomes ["a", "b"]'],
        ),
        (THREE[:1], THREE[:2], ['spec.x.b.name: new, "b"', "spec.x.b.v: new, 0"]),
        ([], THREE[:1], ['spec.x.a.name: new, "a"', "spec.x.a.v: new, 0"]),
        (THREE[:1], [], ['spec.x.a.name: "a" is no longer set', "spec.x.a.v: 0 is no longer set"]),
        (
            THREE[:1],
            [THREE[0], THREE[0]],
            ['spec.x: [{"name": "a", "v": 0}] becomes [{"name": "a", "v": 0}, {"name": "a", "v": 0}]'],
        ),
    ],
)
def test_no_change_of_a_list_is_left_out(old: Any, new: Any, lines: list[str]) -> None:
    assert [each.line() for each in changed({"spec": {"x": old}}, {"spec": {"x": new}})] == lines


@given(st.data())
def test_whatever_differs_between_two_objects_is_shown(data: Any) -> None:
    leaf: Any = st.sampled_from([0, 1, "", "1", None, True, [], {}])
    tree = st.recursive(leaf, lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["name", "a", "1"]), inner, max_size=2),
    ), max_leaves=6)  # fmt: skip
    before, after = ({"spec": {"x": data.draw(tree)}} for _ in range(2))
    assert bool(changed(before, after)) is not unchanged(before, after)


def test_what_the_cloud_says_of_a_secret_is_never_shown_as_a_change() -> None:
    before = {"kind": "Secret", "metadata": {}, "data": {"password": "aHVudGVyMjI="}}
    lines = [each.line() for each in changed(before, with_(before, data={"password": "bmV3ZXI="}))]
    assert lines == ["data.password: changes"]


STORES = {"nfs": {"server": "10.0.0.9", "path": "/"}, "csi": {"driver": "everest"}, "madeUpLater": {}}


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        *(("Pod", {**SPEC, "volumes": [{"name": "v", name: source}]}, "disrupt") for name, source in STORES.items()),
        ("Pod", {**SPEC, "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "ephemeral": {}}]}, "write"),
    ],
)
def test_a_pod_with_a_store_that_others_may_use_is_asked_about(kind: str, spec: Any, expected: str) -> None:
    assert effect("create", kind, None, {"kind": kind, "spec": spec}) == expected


@pytest.mark.parametrize("spec", [{"replicas": 5}, {"paused": True}, {"suspend": False}])
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job"])
def test_a_custom_kind_that_is_called_as_a_well_known_one_is_never_a_mere_write(kind: str, spec: Any) -> None:
    custom = Resource(kind, "apps.example.com", "v1", "things", namespaced=True)
    before = {"spec": {"replicas": 1, "paused": False, "suspend": True}}
    assert effect("change", custom, before, {"spec": {**before["spec"], **spec}}) == "disrupt"
