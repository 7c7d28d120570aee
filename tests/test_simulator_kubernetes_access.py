"""How requests reach a simulated cluster's own API, what it says it serves, and what it knows of who asks."""

import json

import pytest
from kubernetes_calls import APPS, CORE, SHOP, TABLE, Cluster, cluster
from simulation import HOST, signed_headers

from ap_mcp.simulator.app import LoggedRequest
from ap_mcp.simulator.constants import ML_BATCH, PROJECT_ID, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
WIDGETS = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1, "maximum": 9},
                                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                    "label": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def sandbox() -> Cluster:
    return cluster()


async def test_a_cluster_answers_to_its_own_host_name(sandbox: Cluster) -> None:
    assert (await sandbox.ok("GET", "/version"))["gitVersion"] == "v1.31.6-r0"
    sandbox.id = SHOP_PROD
    assert (await sandbox.ok("GET", "/version"))["minor"] == "28"
    assert [entry.operation for entry in sandbox.caller.app.state.log] == ["kubernetes_discover"] * 2


async def test_a_request_to_a_cluster_must_be_signed_like_any_other(sandbox: Cluster) -> None:
    answer = await sandbox.caller.send_as_is("GET", "/api", headers={"Host": f"{TEAM_SANDBOX}.{HOST}"})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
    headers = signed_headers("GET", "/api", host=f"{SHOP_PROD}.{HOST}") | {"Host": f"{TEAM_SANDBOX}.{HOST}"}
    other = await sandbox.caller.send_as_is("GET", "/api", headers=headers)
    assert "does not match" in other.json()["error_msg"]


async def test_a_token_opens_a_cluster_too(sandbox: Cluster) -> None:
    row = {"expires_at": "2999-01-01T00:00:00Z", "project_id": PROJECT_ID}
    sandbox.world.table("tokens")["t0ken"] = row
    headers = {"Host": f"{TEAM_SANDBOX}.{HOST}", "X-Auth-Token": "t0ken"}
    assert (await sandbox.caller.send_as_is("GET", "/api/v1/namespaces", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("cluster_id", "status"),
    [("00000000-0000-0000-0000-000000000000", 404), (ML_BATCH, 503)],
    ids=["unknown", "not up"],
)
async def test_the_gateway_refuses_for_a_cluster_without_an_api(sandbox: Cluster, cluster_id: str, status: int) -> None:
    sandbox.id = cluster_id
    answer = await sandbox.send("GET", "/api")
    assert (answer.status_code, answer.json()["error_code"][:5]) == (status, "APIGW")


async def test_faults_and_the_log_name_requests_by_verb_and_kind(sandbox: Cluster) -> None:
    sandbox.caller.app.state.faults.inject("throttle", "kubernetes_list_pods")
    assert (await sandbox.send("GET", f"{CORE}/namespaces/default/pods")).status_code == 429
    assert await sandbox.names(f"{CORE}/namespaces/default/pods") == []
    last = sandbox.caller.app.state.log[-1]
    assert last == LoggedRequest("GET", "/api/v1/namespaces/default/pods", "kubernetes_list_pods", 200)


async def test_both_ways_of_discovery_say_the_same(sandbox: Cluster) -> None:
    at_once, one_by_one = set(), set()
    for root in ("/api", "/apis"):
        for group in (await sandbox.ok("GET", root, accept=AGGREGATED))["items"]:
            for version in group["versions"]:
                for each in version["resources"]:
                    kind = each["responseKind"]["kind"]
                    about = (group["metadata"]["name"], version["version"])
                    at_once.add((*about, each["resource"], kind, tuple(each["verbs"])))
                    for sub in each.get("subresources", ()):
                        name = f"{each['resource']}/{sub['subresource']}"
                        at_once.add((*about, name, sub["responseKind"]["kind"], tuple(sub["verbs"])))
    listed = [("", "v1", "/api/v1")] + [
        (group["name"], version["version"], f"/apis/{version['groupVersion']}")
        for group in (await sandbox.ok("GET", "/apis"))["groups"]
        for version in group["versions"]
    ]
    for group, version, path in listed:
        for each in (await sandbox.ok("GET", path))["resources"]:
            one_by_one.add((group, version, each["name"], each["kind"], tuple(each["verbs"])))
    assert at_once == one_by_one
    assert {row[0] for row in at_once} >= {"", "apps", "batch", "metrics.k8s.io", "rbac.authorization.k8s.io"}


async def test_metrics_are_served_by_the_add_on_that_makes_them(sandbox: Cluster) -> None:
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    assert [each["kind"] for each in (await sandbox.ok("GET", path))["items"]] == ["NodeMetrics"] * 2
    assert int((await sandbox.ok("GET", f"{path}/autopilot-node-1"))["usage"]["cpu"].removesuffix("m")) > 0
    await sandbox.refused("GET", f"{path}/other")
    for row in sandbox.world.table("addons").values():
        if row["spec"]["addonTemplateName"] == "metrics-server":
            row["status"]["status"] = "abnormal"
    assert (await sandbox.refused("GET", path))["message"] == "the server could not find the requested resource"


async def test_every_listed_openapi_document_is_there_and_complete(sandbox: Cluster) -> None:
    await sandbox.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    paths = (await sandbox.ok("GET", "/openapi/v3"))["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/example.com/v1"} <= paths.keys()
    for path in paths:
        document = await sandbox.ok("GET", f"/openapi/v3/{path}")
        schemas = document["components"]["schemas"]
        text = json.dumps(document)
        named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
        assert named <= schemas.keys(), path
    widgets = await sandbox.ok("GET", "/openapi/v3/apis/example.com/v1")
    assert "com.example.v1.Widget" in widgets["components"]["schemas"]


async def test_a_custom_resource_definition_is_served_as_soon_as_it_is_there(sandbox: Cluster) -> None:
    path = "/apis/example.com/v1/namespaces/default/widgets"
    await sandbox.refused("GET", path)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await sandbox.ok("POST", definitions, WIDGETS)
    made = await sandbox.ok("POST", path, {"metadata": {"name": "one"}, "spec": {"size": 3}})
    assert (made["spec"], made["metadata"]["generation"]) == ({"size": 3, "color": "red"}, 1)
    assert await sandbox.table(path) == [["one", 3, "0s"]]
    status = await sandbox.ok(
        "PATCH", f"{path}/one/status", {"status": {"any": {"thing": 1}}}, type="application/merge-patch+json"
    )
    assert (status["status"], status["metadata"]["generation"]) == ({"any": {"thing": 1}}, 1)
    await sandbox.ok("DELETE", f"{definitions}/widgets.example.com")
    await sandbox.refused("GET", path)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.size: Required value"),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 10}, "should be less than or equal to 9"),
        ({"size": 1, "color": "green"}, 'spec.color: Unsupported value: "green": supported values: "blue", "red"'),
        ({"size": 1, "label": "ABC"}, "spec.label in body should match '^[a-z]+$'"),
        ({"size": 1, "label": "a"}, "should be at least 2 chars long"),
        ({"size": 1, "label": "abcde"}, "Too long"),
    ],
)
async def test_a_custom_resource_must_fit_its_schema(sandbox: Cluster, spec: dict[str, object], said: str) -> None:
    await sandbox.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    path = "/apis/example.com/v1/namespaces/default/widgets"
    refusal = await sandbox.refused("POST", path, {"metadata": {"name": "one"}, "spec": spec})
    assert (refusal["code"], refusal["reason"]) == (422, "Invalid")
    assert said in refusal["message"]


async def test_a_cluster_says_who_asks_and_what_they_may(sandbox: Cluster) -> None:
    who = await sandbox.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert who["status"]["userInfo"]["username"] == "simulated-operator"
    path = "/apis/authorization.k8s.io/v1"
    asked = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods"}}}
    assert (await sandbox.ok("POST", f"{path}/selfsubjectaccessreviews", asked))["status"] == {"allowed": True}
    assert (await sandbox.ok("POST", f"{path}/subjectaccessreviews", asked))["status"]["allowed"] is False
    assert (await sandbox.refused("POST", f"{path}/selfsubjectaccessreviews", {}))["code"] == 422
    rules = await sandbox.ok("POST", f"{path}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}})
    assert rules["status"]["resourceRules"][0]["verbs"] == ["*"]


async def test_a_token_is_made_for_a_service_account_and_known_again(sandbox: Cluster) -> None:
    path = f"{CORE}/namespaces/default/serviceaccounts/default/token"
    made = await sandbox.ok("POST", path, {"spec": {"expirationSeconds": 900}})
    assert made["status"]["expirationTimestamp"] == "2025-06-02T08:15:00Z"
    review = {"spec": {"token": made["status"]["token"]}}
    known = await sandbox.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert known["status"]["user"]["username"] == "system:serviceaccount:default:default"
    unknown = await sandbox.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x"}})
    assert unknown["status"]["authenticated"] is False
    assert (await sandbox.ok("POST", path, {}, dryRun="All"))["status"]["token"] == ""
    assert (
        "less than 10 minutes" in (await sandbox.refused("POST", path, {"spec": {"expirationSeconds": 9}}))["message"]
    )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nosuch", 404),
        ("GET", "/apis/apps/v9", 404),
        ("GET", "/apis/nosuch", 404),
        ("GET", "/nosuch", 404),
        ("GET", "/openapi/v1", 404),
        ("GET", "/openapi/v3/apis/nosuch/v1", 404),
        ("POST", "/version", 404),
        ("GET", f"{CORE}/namespaces/default/nodes", 404),
        ("GET", f"{CORE}/namespaces/default/pods/x/nosuch", 404),
        ("DELETE", f"{CORE}/namespaces", 405),
        ("GET", "/apis/authentication.k8s.io/v1/selfsubjectreviews", 405),
        ("POST", f"{SHOP}/pods/x/log", 405),
        ("GET", f"{CORE}/namespaces/default/pods/x/log", 404),
    ],
)
async def test_what_is_not_served_is_refused(sandbox: Cluster, method: str, path: str, code: int) -> None:
    assert (await sandbox.refused(method, path))["code"] == code


async def test_an_answer_is_made_in_the_first_form_that_can_be(sandbox: Cluster) -> None:
    path = f"{CORE}/namespaces/default"
    protobuf_first = "application/vnd.kubernetes.protobuf,application/json"
    assert (await sandbox.ok("GET", path, accept=protobuf_first))["kind"] == "Namespace"
    assert (await sandbox.ok("GET", path, accept=TABLE))["kind"] == "Table"
    partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert (await sandbox.ok("GET", path, accept=partial)).keys() == {"kind", "apiVersion", "metadata"}
    listed = await sandbox.ok("GET", f"{CORE}/namespaces", accept=partial.replace("Metadata", "MetadataList"))
    assert listed["kind"] == "PartialObjectMetadataList"
    assert (await sandbox.refused("GET", path, accept="application/vnd.kubernetes.protobuf"))["code"] == 406


async def test_the_health_of_a_cluster_is_plain_text(sandbox: Cluster) -> None:
    answer = await sandbox.send("GET", "/readyz")
    assert (answer.text, answer.headers["content-type"]) == ("ok", "text/plain")
    assert (await sandbox.ok("GET", "/api"))["versions"] == ["v1"]
    assert (await sandbox.ok("GET", "/apis/apps"))["preferredVersion"]["version"] == "v1"


async def test_a_cluster_is_filled_when_it_is_first_asked_and_kept_with_the_world(sandbox: Cluster) -> None:
    assert sandbox.world.table("kubernetes") == {}
    await sandbox.shop()
    assert sandbox.world.table("kubernetes").keys() == {TEAM_SANDBOX}
    kept = World.from_json(json.loads(json.dumps(sandbox.world.to_json())))
    again = cluster(world=kept)
    assert await again.names(f"{CORE}/namespaces") == [
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
        "shop",
    ]
    assert await again.names(f"{APPS}/namespaces/shop/deployments") == []
