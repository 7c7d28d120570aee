"""What a simulated cluster does with objects: lists, Tables, patches, apply, dry runs, deletions, refusals."""

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_calls import (
    APPLY,
    CORE,
    DEPLOYMENTS,
    JSON_PATCH,
    MERGE,
    SHOP,
    STRATEGIC,
    TABLE,
    Cluster,
    cluster_with_shop,
    config_map,
    deployment,
)

from ap_mcp.simulator.kubernetes.columns import COLUMNS, duration
from ap_mcp.simulator.kubernetes.kinds import METRICS, built_in
from ap_mcp.simulator.kubernetes.patches import merge_patched, strategically_patched
from ap_mcp.simulator.kubernetes.schemas import schema_of
from ap_mcp.simulator.kubernetes.store import MOST_HISTORY
from ap_mcp.simulator.kubernetes.store import TABLE as OBJECTS

pytestmark = pytest.mark.anyio
MAPS = f"{SHOP}/configmaps"


@pytest.fixture
async def shop() -> Cluster:
    return await cluster_with_shop()


def state(shop: Cluster) -> str:
    return json.dumps(shop.world.table(OBJECTS), sort_keys=True)


async def test_an_object_is_created_read_replaced_and_deleted(shop: Cluster) -> None:
    made = await shop.ok("POST", MAPS, config_map("one"))
    metadata = made["metadata"]
    assert (metadata["namespace"], metadata["creationTimestamp"]) == ("shop", "2025-06-02T08:00:00Z")
    assert await shop.ok("GET", f"{MAPS}/one") == made
    changed = await shop.ok("PUT", f"{MAPS}/one", made | {"data": {"b": "2"}})
    assert changed["data"] == {"b": "2"}
    assert int(changed["metadata"]["resourceVersion"]) > int(metadata["resourceVersion"])
    assert changed["metadata"]["uid"] == metadata["uid"]
    gone = await shop.ok("DELETE", f"{MAPS}/one")
    assert (gone["status"], gone["details"]["uid"]) == ("Success", metadata["uid"])
    missing = await shop.refused("GET", f"{MAPS}/one")
    assert (missing["message"], missing["details"]) == (
        'configmaps "one" not found',
        {"name": "one", "kind": "configmaps"},
    )


async def test_a_write_that_changes_nothing_makes_no_new_version(shop: Cluster) -> None:
    made = await shop.ok("POST", MAPS, config_map("one"))
    again = await shop.ok("PUT", f"{MAPS}/one", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_name_is_made_from_its_prefix(shop: Cluster) -> None:
    made = await shop.ok("POST", MAPS, {"metadata": {"generateName": "job-"}})
    assert made["metadata"]["name"].startswith("job-")
    assert len(made["metadata"]["name"]) == 9


async def test_a_second_object_of_a_name_is_refused(shop: Cluster) -> None:
    await shop.ok("POST", MAPS, config_map("one"))
    refusal = await shop.refused("POST", MAPS, config_map("one"))
    assert (refusal["reason"], refusal["message"]) == ("AlreadyExists", 'configmaps "one" already exists')


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_write_for_another_state_is_a_conflict(shop: Cluster, method: str) -> None:
    old = await shop.ok("POST", MAPS, config_map("one"))
    await shop.ok("PATCH", f"{MAPS}/one", {"data": {"b": "2"}}, type=MERGE)
    refusal = await shop.refused(method, f"{MAPS}/one", old, type=MERGE if method == "PATCH" else "application/json")
    assert (refusal["code"], refusal["reason"]) == (409, "Conflict")
    assert refusal["message"] == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    other = old | {"metadata": old["metadata"] | {"uid": "x", "resourceVersion": ""}}
    assert "UID in precondition: x" in (await shop.refused("PUT", f"{MAPS}/one", other))["message"]


@pytest.mark.parametrize("name", ["uid", "resourceVersion"])
async def test_a_deletion_for_another_object_is_a_conflict(shop: Cluster, name: str) -> None:
    made = await shop.ok("POST", MAPS, config_map("one"))
    refusal = await shop.refused("DELETE", f"{MAPS}/one", {"preconditions": {name: "1"}})
    label = {"uid": "UID", "resourceVersion": "ResourceVersion"}[name]
    found = made["metadata"][name]
    assert refusal["message"] == (
        'Operation cannot be fulfilled on configmaps "one": '
        f"Precondition failed: {label} in precondition: 1, {label} in object meta: {found}"
    )
    await shop.ok("DELETE", f"{MAPS}/one", {"preconditions": {name: found}})


WRITES: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", MAPS, config_map("new"), {}),
    ("POST", DEPLOYMENTS, deployment("new"), {}),
    ("POST", f"{CORE}/namespaces", {"metadata": {"name": "new"}}, {}),
    ("PUT", f"{MAPS}/one", config_map("one", x="y"), {}),
    ("PATCH", f"{MAPS}/one", {"data": {"z": "9"}}, {"type": MERGE}),
    ("PATCH", f"{MAPS}/one", [{"op": "remove", "path": "/data"}], {"type": JSON_PATCH}),
    ("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 9}}, {"type": STRATEGIC}),
    ("PATCH", f"{DEPLOYMENTS}/web", deployment(replicas=5), {"type": APPLY, "fieldManager": "me", "force": "true"}),
    ("PATCH", f"{DEPLOYMENTS}/new", deployment("new"), {"type": APPLY, "fieldManager": "me"}),
    ("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 7}}, {"type": MERGE}),
    ("DELETE", f"{MAPS}/one", None, {}),
    ("DELETE", MAPS, None, {}),
    ("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Foreground"}, {}),
    ("DELETE", f"{CORE}/namespaces/shop", None, {}),
]


@pytest.mark.parametrize(("method", "path", "body", "options"), WRITES, ids=lambda value: str(value)[:40])
async def test_a_dry_run_answers_as_if_done_and_changes_nothing(
    shop: Cluster, method: str, path: str, body: Any, options: dict[str, str]
) -> None:
    await shop.ok("POST", MAPS, config_map("one"))
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    before = state(shop)
    dry = await shop.send(method, path, body, dryRun="All", **options)
    assert state(shop) == before
    done = await shop.send(method, path, body, **options)
    assert dry.status_code == done.status_code
    assert dry.json().get("kind") == done.json().get("kind")
    assert dry.json().get("spec") == done.json().get("spec")
    assert state(shop) != before


async def test_lists_are_selected_by_labels(shop: Cluster) -> None:
    for name, labels in (("a", {"tier": "web", "n": "1"}), ("b", {"tier": "db", "n": "3"}), ("c", {})):
        await shop.ok("POST", MAPS, config_map(name, **labels))
    wanted = {
        "tier=web": ["a"],
        "tier==web": ["a"],
        "tier!=web": ["b", "c", "kube-root-ca.crt"],
        "tier in (web, db)": ["a", "b"],
        "tier notin (web),tier": ["b"],
        "!tier": ["c", "kube-root-ca.crt"],
        "n>2": ["b"],
        "n<2,tier in (web,db)": ["a"],
    }
    assert {text: await shop.names(MAPS, labelSelector=text) for text in wanted} == wanted


@pytest.mark.parametrize("text", ["a b", "=x", "a in web", "-a=b", "a=b=c"])
async def test_a_selector_that_cannot_be_read_is_refused(shop: Cluster, text: str) -> None:
    assert "unable to parse requirement" in (await shop.refused("GET", MAPS, labelSelector=text))["message"]


async def test_lists_are_selected_by_the_fields_that_a_kind_has(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1))
    pods = f"{SHOP}/pods"
    assert await shop.names(pods, fieldSelector="status.phase=Running") == []
    assert len(await shop.names(pods, fieldSelector="status.phase!=Running,metadata.namespace=shop")) == 1
    assert await shop.names(MAPS, fieldSelector="metadata.name=nosuch") == []
    nodes = await shop.names(f"{CORE}/nodes", fieldSelector="spec.unschedulable=false")
    assert nodes == ["autopilot-node-1", "autopilot-node-2"]
    source = await shop.names(f"{SHOP}/events", fieldSelector="source=default-scheduler,involvedObject.kind=Pod")
    assert len(source) == 1
    refusal = await shop.refused("GET", MAPS, fieldSelector="data.a=1")
    assert refusal["message"] == "field label not supported: data.a"
    assert "unable to parse" in (await shop.refused("GET", MAPS, fieldSelector="data"))["message"]


async def pages(shop: Cluster, path: str, limit: int) -> tuple[list[list[str]], set[str]]:
    found: list[list[str]] = []
    versions: set[str] = set()
    token: dict[str, str] = {}
    while True:
        page = await shop.ok("GET", path, limit=str(limit), **token)
        found.append([each["metadata"]["name"] for each in page["items"]])
        versions.add(page["metadata"]["resourceVersion"])
        if "continue" not in page["metadata"]:
            return found, versions
        token = {"continue": page["metadata"]["continue"]}
        await shop.ok("POST", MAPS, {"metadata": {"generateName": "a-"}})
        await shop.ok("PATCH", f"{MAPS}/m-1", {"data": {"x": str(len(found))}}, type=MERGE)
        await shop.send("DELETE", f"{MAPS}/m-4")


async def test_pages_show_one_state_however_much_changes_meanwhile(shop: Cluster) -> None:
    for number in range(5):
        await shop.ok("POST", MAPS, config_map(f"m-{number}"))
    whole = await shop.ok("GET", MAPS)
    found, versions = await pages(shop, MAPS, 2)
    assert list(itertools.chain(*found)) == [each["metadata"]["name"] for each in whole["items"]]
    assert [len(page) for page in found] == [2, 2, 2]
    assert versions == {whole["metadata"]["resourceVersion"]}


async def test_a_page_says_how_many_are_left(shop: Cluster) -> None:
    for number in range(3):
        await shop.ok("POST", MAPS, config_map(f"m-{number}", app="x"))
    page = await shop.ok("GET", MAPS, limit="1")
    assert page["metadata"]["remainingItemCount"] == 3
    assert "remainingItemCount" not in (await shop.ok("GET", MAPS, limit="1", labelSelector="app=x"))["metadata"]


async def test_a_token_of_a_forgotten_state_has_expired(shop: Cluster) -> None:
    for number in range(3):
        await shop.ok("POST", MAPS, config_map(f"m-{number}"))
    token = (await shop.ok("GET", MAPS, limit="1"))["metadata"]["continue"]
    for number in range(MOST_HISTORY + 1):
        await shop.ok("PATCH", f"{MAPS}/m-0", {"data": {"x": str(number)}}, type=MERGE)
    refusal = await shop.refused("GET", MAPS, limit="1", **{"continue": token})
    assert (refusal["code"], refusal["reason"]) == (410, "Expired")
    assert refusal["message"].startswith("The provided continue parameter is too old")
    assert "not valid" in (await shop.refused("GET", MAPS, **{"continue": "x"}))["message"]
    assert "invalid syntax" in (await shop.refused("GET", MAPS, limit="x"))["message"]


async def test_every_kind_is_listed_as_a_table_with_a_cell_for_each_column(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    for kind in built_in():
        if "list" not in kind.verbs:
            continue
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else "/api/v1"
        table = await shop.ok("GET", f"{root}/{kind.plural}", accept=TABLE)
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1"), kind
        assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"]), kind
    assert {kind.storage for kind in built_in()} - {METRICS} >= COLUMNS.keys()


@pytest.mark.parametrize(
    ("included", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "Pod")]
)
async def test_a_table_has_as_much_of_each_object_as_is_asked_for(
    shop: Cluster, included: str, kind: str | None
) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    table = await shop.ok("GET", f"{SHOP}/pods", accept=TABLE, includeObject=included)
    assert {row.get("object", {}).get("kind") for row in table["rows"]} == {kind}
    assert "includeObject" in (await shop.refused("GET", MAPS, accept=TABLE, includeObject="Some"))["message"]


def test_ages_are_written_as_kubectl_does() -> None:
    shown = {0: "0s", 119: "119s", 120: "2m", 125: "2m5s", 601: "10m", 10799: "179m", 10800: "3h", 11000: "3h3m",
             30000: "8h", 172799: "47h", 172800: "2d", 180000: "2d2h", 691200: "8d", 63072000: "2y",
             64000000: "2y10d", 260000000: "8y", -5: "0s"}  # fmt: skip
    assert {seconds: duration(seconds) for seconds in shown} == shown


async def test_the_three_kinds_of_patches_merge_as_they_should(shop: Cluster) -> None:
    made = deployment()
    made["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "s:1"})
    await shop.ok("POST", DEPLOYMENTS, made)
    path = f"{DEPLOYMENTS}/web"

    async def images(body: Any, type_: str) -> dict[str, str]:
        answer = await shop.ok("PATCH", path, body, type=type_)
        return {each["name"]: each["image"] for each in answer["spec"]["template"]["spec"]["containers"]}

    def pod(*entries: Any, **members: Any) -> Any:
        return {"spec": {"template": {"spec": {"containers": list(entries), **members}}}}

    assert await images(pod({"name": "app", "image": "n:2"}), STRATEGIC) == {"app": "n:2", "side": "s:1"}
    order = {"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}]}
    assert list(await images(pod({"name": "app", "image": "n:3"}, **order), STRATEGIC)) == ["side", "app"]
    assert list(await images(pod({"$patch": "delete", "name": "side"}), STRATEGIC)) == ["app"]
    assert await images(pod({"name": "app", "image": "n:4"}), MERGE) == {"app": "n:4"}
    operation = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "n:5"}
    assert await images([operation], JSON_PATCH) == {"app": "n:5"}


@pytest.mark.parametrize(
    ("body", "type_", "code", "said"),
    [
        ({"a": 1}, JSON_PATCH, 400, "cannot unmarshal object"),
        ([{"op": "test", "path": "/data/a", "value": "2"}], JSON_PATCH, 422, "rejected our request"),
        ([{"op": "remove", "path": "/data/nosuch"}], JSON_PATCH, 422, "rejected our request"),
        ([{"op": "jump", "path": "/data"}], JSON_PATCH, 400, "unable to apply"),
        ({"metadata": {"name": "two"}}, MERGE, 400, "does not match the name on the URL"),
        ({"$patch": "jump"}, STRATEGIC, 400, "unrecognized patch directive"),
        (b"{", MERGE, 400, "parse error"),
        ({}, "text/plain", 415, "unknown format"),
        (config_map("one"), APPLY, 422, "fieldManager"),
    ],
)
async def test_a_patch_that_cannot_be_carried_out_is_refused(
    shop: Cluster, body: Any, type_: str, code: int, said: str
) -> None:
    await shop.ok("POST", MAPS, config_map("one"))
    refusal = await shop.refused("PATCH", f"{MAPS}/one", body, type=type_)
    assert (refusal["code"], said in refusal["message"]) == (code, True), refusal


RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396)
def test_merge_patches_give_what_their_standard_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_patched(target, patch) == result


POD_SPEC = schema_of(next(kind for kind in built_in() if kind.kind == "Pod"))
ENTRIES = st.lists(st.sampled_from("abcd"), unique=True)


@given(old=ENTRIES, new=ENTRIES)
def test_entries_of_a_list_with_a_merge_key_are_merged_one_by_one(old: list[str], new: list[str]) -> None:
    def spec(names: list[str], image: str) -> Any:
        return {"spec": {"containers": [{"name": name, "image": image} for name in names]}}

    merged = strategically_patched(POD_SPEC, spec(old, "1"), spec(new, "2"))["spec"]["containers"]
    assert {each["name"]: each["image"] for each in merged} == dict.fromkeys(old, "1") | dict.fromkeys(new, "2")
    assert [each["name"] for each in merged] == old + [name for name in new if name not in old]


def test_strategic_merge_knows_sets_and_directives() -> None:
    finalizers = {"metadata": {"finalizers": ["a", "b"]}}
    joined = strategically_patched(POD_SPEC, finalizers, {"metadata": {"finalizers": ["b", "c"]}})
    assert joined["metadata"]["finalizers"] == ["a", "b", "c"]
    less = strategically_patched(POD_SPEC, finalizers, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})
    assert less["metadata"]["finalizers"] == ["b"]
    volume = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    kept = {"$retainKeys": ["name", "secret"], "name": "v", "secret": {"secretName": "s"}}
    swapped = strategically_patched(POD_SPEC, volume, {"spec": {"volumes": [kept]}})
    assert swapped["spec"]["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]
    assert strategically_patched(POD_SPEC, volume, {"spec": {"$patch": "replace", "x": 1}})["spec"] == {"x": 1}
    assert strategically_patched(POD_SPEC, volume, {"spec": {"$patch": "delete"}})["spec"] == {}
    whole = [{"$patch": "replace"}, {"name": "w"}]
    assert strategically_patched(POD_SPEC, volume, {"spec": {"volumes": whole}})["spec"]["volumes"] == [{"name": "w"}]
    two = {"spec": {"volumes": [{"name": "v"}, {"name": "w"}]}}
    order = {"spec": {"$setElementOrder/volumes": [{"name": "w"}, {"name": "v"}]}}
    moved = strategically_patched(POD_SPEC, two, order)["spec"]["volumes"]
    assert [each["name"] for each in moved] == ["w", "v"]


async def applied(shop: Cluster, body: Any, manager: str = "agent", **options: Any) -> Any:
    name = body["metadata"]["name"]
    return await shop.ok("PATCH", f"{DEPLOYMENTS}/{name}", body, type=APPLY, fieldManager=manager, **options)


async def test_what_is_applied_belongs_to_who_applies_it(shop: Cluster) -> None:
    answer = await shop.send("PATCH", f"{DEPLOYMENTS}/web", deployment(), type=APPLY, fieldManager="agent")
    assert answer.status_code == 201
    (entry,) = [each for each in answer.json()["metadata"]["managedFields"] if each["operation"] == "Apply"]
    spec = entry["fieldsV1"]["f:spec"]
    assert (entry["manager"], spec["f:replicas"]) == ("agent", {})
    container = spec["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container["f:image"] == {}
    assert container["f:ports"] == {'k:{"containerPort":8080,"protocol":"TCP"}': {
        ".": {}, "f:containerPort": {}, "f:name": {}}}  # fmt: skip


async def test_a_conflict_names_every_field_and_its_owner(shop: Cluster) -> None:
    await applied(shop, deployment(), "first")
    await shop.ok("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 4}}, type=MERGE, agent="kubectl/1")
    refusal = await shop.refused(
        "PATCH", f"{DEPLOYMENTS}/web", deployment(replicas=1, image="n:2"), type=APPLY, fieldManager="second"
    )
    assert refusal["reason"] == "Conflict"
    assert {(cause["field"], cause["message"]) for cause in refusal["details"]["causes"]} == {
        (".spec.replicas", 'conflict with "kubectl" using apps/v1'),
        ('.spec.template.spec.containers[name="app"].image', 'conflict with "first" using apps/v1'),
    }
    assert refusal["message"].startswith("Apply failed with 2 conflicts: ")
    forced = await applied(shop, deployment(replicas=1, image="n:2"), "second", force="true")
    assert forced["spec"]["replicas"] == 1
    one = await shop.refused("PATCH", f"{DEPLOYMENTS}/web", deployment(replicas=3, image="n:2"), type=APPLY,
                             fieldManager="first")  # fmt: skip
    assert one["message"] == 'Apply failed with 1 conflict: conflict with "second" using apps/v1: .spec.replicas'


async def test_what_is_no_longer_applied_goes_unless_another_owns_it(shop: Cluster) -> None:
    labelled = deployment()
    labelled["metadata"]["labels"] = {"app": "web", "mine": "1", "ours": "1"}
    await applied(shop, labelled, "first")
    shared = {**deployment(), "metadata": {"name": "web", "labels": {"ours": "1"}}}
    await applied(shop, {key: shared[key] for key in ("apiVersion", "kind", "metadata")}, "second")
    left = await applied(shop, deployment(), "first")
    assert left["metadata"]["labels"] == {"app": "web", "ours": "1"}
    assert {each["manager"] for each in left["metadata"]["managedFields"]} >= {"first", "second"}


async def test_an_apply_for_another_state_is_a_conflict(shop: Cluster) -> None:
    body = deployment() | {"metadata": {"name": "web", "resourceVersion": "1"}}
    assert (
        "does not exist"
        in (await shop.refused("PATCH", f"{DEPLOYMENTS}/web", body, type=APPLY, fieldManager="a"))["message"]
    )
    await applied(shop, deployment())
    refusal = await shop.refused("PATCH", f"{DEPLOYMENTS}/web", body, type=APPLY, fieldManager="a")
    assert "has been modified" in refusal["message"]
    body["metadata"] = {"name": "web", "managedFields": [{"manager": "x"}]}
    assert (
        "must be nil"
        in (await shop.refused("PATCH", f"{DEPLOYMENTS}/web", body, type=APPLY, fieldManager="a"))["message"]
    )
    status = await shop.refused("PATCH", f"{DEPLOYMENTS}/no/status", deployment("no"), type=APPLY, fieldManager="a")
    assert status["code"] == 404


async def test_yaml_can_be_applied(shop: Cluster) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {since: '2024-01-01', day: \"x\"}\n"
    made = await shop.ok("PATCH", f"{MAPS}/y", text, type=APPLY, fieldManager="a")
    assert made["data"] == {"since": "2024-01-01", "day": "x"}
    assert (
        "yaml parse error"
        in (await shop.refused("PATCH", f"{MAPS}/y", b"a: [", type=APPLY, fieldManager="a"))["message"]
    )


async def test_unknown_fields_are_refused_warned_about_or_ignored(shop: Cluster) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    body["spec"]["replicaz"] = 1
    refusal = await shop.refused("POST", DEPLOYMENTS, body, fieldValidation="Strict")
    assert refusal["code"] == 400
    assert refusal["message"] == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.template.spec.containers[0].imag", unknown field "spec.replicaz"'
    )
    warned = await shop.send("POST", DEPLOYMENTS, body, dryRun="All")
    assert warned.headers["warning"].startswith('299 - "unknown field \\"spec.template.spec.containers[0].imag\\""')
    ignored = await shop.send("POST", DEPLOYMENTS, body, fieldValidation="Ignore")
    assert ("warning" in ignored.headers, "replicaz" in ignored.json()["spec"]) == (False, False)
    assert "fieldValidation" in (await shop.refused("POST", MAPS, {}, fieldValidation="Some"))["message"]
    assert "dryRun" in (await shop.refused("POST", MAPS, {}, dryRun="Some"))["message"]


def changed(path: str, value: Any) -> Any:
    """Return a manifest of a Deployment with a value elsewhere than it should be."""
    body: Any = deployment()
    *above, last = path.split(".")
    place = body
    for part in above:
        place = place[int(part)] if part.isdecimal() else place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


CONTAINER = "spec.template.spec.containers.0"


@pytest.mark.parametrize(
    ("path", "value", "code", "said"),
    [
        ("spec.replicas", "two", 400, "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of"),
        ("spec.template.spec.containers", {}, 400, "cannot unmarshal object"),
        ("spec.replicas", -1, 422, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ("spec.selector", {}, 422, "empty selector is invalid for deployment"),
        ("spec.selector.matchLabels", {"app": "x"}, 422, "`selector` does not match template `labels`"),
        ("spec.template.spec.containers", [], 422, "spec.template.spec.containers: Required value"),
        (f"{CONTAINER}.image", None, 422, "spec.template.spec.containers[0].image: Required value"),
        (f"{CONTAINER}.name", None, 422, "spec.template.spec.containers[0].name: Required value"),
        (f"{CONTAINER}.name", "A", 422, 'containers[0].name: Invalid value: "A": a lowercase RFC 1123 label'),
        (f"{CONTAINER}.ports", [{"containerPort": 0}], 422, "must be between 1 and 65535, inclusive"),
        (f"{CONTAINER}.volumeMounts", [{"name": "v", "mountPath": "/v"}], 422, 'volumeMounts[0].name: Not found: "v"'),
        (f"{CONTAINER}.resources", {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}, 422, "cpu limit of 1"),
        (f"{CONTAINER}.resources", {"limits": {"cpu": "much"}}, 422, "quantities must match the regular expression"),
        ("spec.template.spec.restartPolicy", "Never", 422, 'Unsupported value: "Never": supported values: "Always"'),
        ("spec.template.spec.restartPolicy", "Later", 422, "Unsupported value"),
        ("metadata.name", "Web", 422, 'metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain'),
        ("metadata.labels", {"a b": "c"}, 422, "name part must consist of alphanumeric characters"),
        ("metadata.labels", {"a": "b c"}, 422, "a valid label must be an empty string or consist of"),
        ("metadata.labels", {"a": "b" * 64}, 422, "must be no more than 63 characters"),
        ("metadata.annotations", {"/a": "b"}, 422, "metadata.annotations"),
        ("metadata.resourceVersion", "1", 400, "should not be set on objects to be created"),
        ("metadata.namespace", "other", 400, "does not match the namespace sent on the request"),
        ("kind", "Pod", 400, "cannot be handled as a Deployment"),
    ],
)  # fmt: skip
async def test_an_object_must_be_right(shop: Cluster, path: str, value: Any, code: int, said: str) -> None:
    refusal = await shop.refused("POST", DEPLOYMENTS, changed(path, value))
    assert (refusal["code"], said in refusal["message"]) == (code, True), refusal["message"]
    if code == 422:
        assert all(cause["field"] and cause["message"] in refusal["message"] for cause in refusal["details"]["causes"])


@pytest.mark.parametrize(
    ("plural", "body", "said"),
    [
        ("services", {"metadata": {"name": "s"}, "spec": {}}, "spec.ports: Required value"),
        ("services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 0}]}}, "must be between 1 and 65535"),
        (
            "services",
            {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}, {"port": 2}]}},
            "ports[0].name: Required",
        ),
        ("services", {"metadata": {"name": "s"}, "spec": {"type": "Odd", "ports": [{"port": 1}]}}, "Unsupported value"),
        ("configmaps", {"metadata": {"name": "c"}, "data": {"a b": "c"}}, "a valid config key must consist of"),
        ("configmaps", {"metadata": {}}, "name or generateName is required"),
        ("secrets", {"metadata": {"name": "s"}, "data": {"a/b": "Yw=="}}, "a valid config key"),
    ],
)
async def test_other_kinds_have_rules_of_their_own(shop: Cluster, plural: str, body: Any, said: str) -> None:
    assert said in (await shop.refused("POST", f"{SHOP}/{plural}", body))["message"]


async def test_what_is_immutable_stays(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    body = {"spec": {"selector": {"matchLabels": {"app": "z"}}}}
    refusal = await shop.refused("PATCH", f"{DEPLOYMENTS}/web", body, type=MERGE)
    assert 'spec.selector: Invalid value: {"matchLabels":{"app":"z"}}: field is immutable' in refusal["message"]
    await shop.ok("POST", MAPS, config_map("fixed") | {"immutable": True})
    fixed = await shop.refused("PATCH", f"{MAPS}/fixed", {"data": {"a": "2"}, "immutable": False}, type=MERGE)
    assert [cause["field"] for cause in fixed["details"]["causes"]] == ["data", "immutable"]
    secrets = f"{SHOP}/secrets"
    await shop.ok("POST", secrets, {"metadata": {"name": "s"}, "type": "a/b"})
    assert "field is immutable" in (await shop.refused("PATCH", f"{secrets}/s", {"type": "c/d"}, type=MERGE))["message"]
    services = f"{SHOP}/services"
    made = await shop.ok("POST", services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]]
    other = {"spec": {"clusterIP": "10.247.9.9"}}
    assert "may not change once set" in (await shop.refused("PATCH", f"{services}/s", other, type=MERGE))["message"]
    pod = (await shop.names(f"{SHOP}/pods"))[0]
    moved = await shop.refused("PATCH", f"{SHOP}/pods/{pod}", {"spec": {"nodeName": "x"}}, type=MERGE)
    assert "pod updates may not change fields other than" in moved["message"]
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}
    await shop.ok("POST", bindings, {"metadata": {"name": "b:c"}, "roleRef": role})
    rebound = await shop.refused("PATCH", f"{bindings}/b:c", {"roleRef": {"name": "z"}}, type=MERGE)
    assert "cannot change roleRef" in rebound["message"]


async def test_a_secret_given_as_text_is_kept_encoded(shop: Cluster) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}}
    made = await shop.ok("POST", f"{SHOP}/secrets", body)
    assert (made["data"], made["type"]) == ({"a": base64.b64encode(b"b").decode(), "c": "ZA=="}, "Opaque")
    assert "stringData" not in made


async def test_the_status_is_written_through_its_own_path_only(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1))
    shop.world.advance(10)
    path = f"{DEPLOYMENTS}/web"
    live = await shop.ok("GET", path)
    same = await shop.ok("PATCH", path, {"status": {"replicas": 77}}, type=MERGE)
    assert same["status"] == live["status"]
    assert await shop.ok("GET", f"{path}/status") == live
    node = f"{CORE}/nodes/autopilot-node-1"
    before = await shop.ok("GET", node)
    set_ = await shop.ok(
        "PATCH", f"{node}/status", {"status": {"phase": "Running"}, "spec": {"unschedulable": True}}, type=MERGE
    )
    assert (set_["status"]["phase"], set_["spec"]) == ("Running", before["spec"])
    put = await shop.ok("PUT", f"{node}/status", before | {"metadata": {"name": "autopilot-node-1"}})
    assert "phase" not in put["status"]


async def test_a_list_can_be_deleted_at_once(shop: Cluster) -> None:
    for name in "abc":
        await shop.ok("POST", MAPS, config_map(name, app="x" if name != "c" else "y"))
    gone = await shop.ok("DELETE", MAPS, labelSelector="app=x")
    assert [each["metadata"]["name"] for each in gone["items"]] == ["a", "b"]
    assert await shop.names(MAPS) == ["c", "kube-root-ca.crt"]


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(shop: Cluster) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    await shop.ok("POST", MAPS, held)
    left = await shop.ok("DELETE", f"{MAPS}/held")
    assert left["metadata"]["deletionTimestamp"] == "2025-06-02T08:00:00Z"
    again = await shop.ok("DELETE", f"{MAPS}/held")
    assert again["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    await shop.ok("PATCH", f"{MAPS}/held", {"metadata": {"finalizers": None}}, type=MERGE)
    await shop.refused("GET", f"{MAPS}/held")


async def test_a_namespace_must_be_there_and_goes_with_all_it_holds(shop: Cluster) -> None:
    missing = await shop.refused("POST", f"{CORE}/namespaces/nosuch/configmaps", config_map("a"))
    assert (missing["code"], missing["message"]) == (404, 'namespaces "nosuch" not found')
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    await shop.ok("POST", MAPS, held)
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    going = await shop.ok("DELETE", SHOP)
    assert going["status"]["phase"] == "Terminating"
    shop.world.advance(10)
    late = await shop.refused("POST", MAPS, config_map("late"))
    assert (late["code"], "because it is being terminated" in late["message"]) == (403, True)
    assert await shop.names(f"{SHOP}/pods") == []
    await shop.ok("PATCH", f"{MAPS}/held", {"metadata": {"finalizers": None}}, type=MERGE)
    await shop.refused("GET", SHOP)


async def test_a_namespace_can_be_finalized_by_hand_and_those_of_the_system_stay(shop: Cluster) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    await shop.ok("POST", MAPS, held)
    going = await shop.ok("DELETE", SHOP)
    await shop.ok("PUT", f"{SHOP}/finalize", going | {"spec": {"finalizers": []}})
    await shop.refused("GET", SHOP)
    refusal = await shop.refused("DELETE", f"{CORE}/namespaces/kube-system")
    assert refusal["message"] == 'namespaces "kube-system" is forbidden: this namespace may not be deleted'


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_what_a_deleted_object_owns_goes_or_is_left(shop: Cluster, policy: str) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment())
    shop.world.advance(10)
    answer = await shop.ok("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": policy})
    assert (answer["kind"] == "Deployment") == (policy != "Background")
    assert (await shop.send("GET", f"{DEPLOYMENTS}/web")).status_code == (200 if policy == "Foreground" else 404)
    shop.world.advance(10)
    await shop.refused("GET", f"{DEPLOYMENTS}/web")
    sets = (await shop.ok("GET", DEPLOYMENTS.replace("deployments", "replicasets")))["items"]
    pods = await shop.names(f"{SHOP}/pods")
    assert (len(sets), len(pods)) == ((1, 2) if policy == "Orphan" else (0, 0))
    assert not any("ownerReferences" in each["metadata"] for each in sets)


async def test_what_has_another_owner_is_kept(shop: Cluster) -> None:
    owners = [await shop.ok("POST", MAPS, config_map(name)) for name in "ab"]
    child = config_map("child")
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": each["metadata"]["name"], "uid": each["metadata"]["uid"]}
        for each in owners
    ]
    await shop.ok("POST", MAPS, child)
    await shop.ok("DELETE", f"{MAPS}/a")
    left = (await shop.ok("GET", f"{MAPS}/child"))["metadata"]["ownerReferences"]
    assert [each["name"] for each in left] == ["b"]
    await shop.ok("DELETE", f"{MAPS}/b", propagationPolicy="Background")
    await shop.refused("GET", f"{MAPS}/child")
    assert (
        "propagationPolicy"
        in (await shop.refused("DELETE", f"{MAPS}/kube-root-ca.crt", propagationPolicy="Some"))["message"]
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_autoscaler_is_one_object_in_both_its_versions(shop: Cluster, version: str) -> None:
    spec: Any = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    first = f"/apis/autoscaling/{version}/namespaces/shop/horizontalpodautoscalers"
    goal = {"type": "Utilization", "averageUtilization": 70}
    own = {"targetCPUUtilizationPercentage": 70} if version == "v1" else {
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": goal}}]}  # fmt: skip
    made = await shop.ok("POST", first, {"metadata": {"name": "h"}, "spec": spec | own})
    assert made["apiVersion"] == f"autoscaling/{version}"
    old = await shop.ok("GET", f"{first.replace(version, 'v1')}/h")
    new = await shop.ok("GET", f"{first.replace(version, 'v2')}/h")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 70
    assert new["spec"]["metrics"][0]["resource"]["target"] == goal
    assert await shop.table(first) == [["h", "Deployment/web", "cpu: <unknown>/70%", 1, 5, 0, "0s"]]
    refusal = await shop.refused("PATCH", f"{first}/h", {"spec": {"maxReplicas": 0}}, type=MERGE)
    assert "must be greater than 0" in refusal["message"]


async def test_an_event_is_one_object_in_both_its_groups(shop: Cluster) -> None:
    await shop.ok("POST", DEPLOYMENTS, deployment(replicas=1))
    old = (await shop.ok("GET", f"{SHOP}/events"))["items"]
    new = (await shop.ok("GET", "/apis/events.k8s.io/v1/namespaces/shop/events"))["items"]
    assert [each["message"] for each in old] == [each["note"] for each in new]
    assert {each["apiVersion"] for each in new} == {"events.k8s.io/v1"}
