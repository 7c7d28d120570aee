"""Arguments become exactly one request: nothing lost, nothing added, no value out of its place."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sdk_oracle import our_wire

from ap_mcp.arguments import check_arguments
from ap_mcp.binding import FilePart, HttpCall, bind
from ap_mcp.errors import InvalidArguments, SpecError
from ap_mcp.specs import Argument, Catalog

PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
CLUSTER = "8b2c1d4e-5f60-4a7b-9c8d-0e1f2a3b4c5d"
CREATE = {"name": "shop-prod", "vpc_id": "vpc", "subnet_id": "subnet", "eni_subnet_ids": ["eni"]}
ADDON = {"cluster_id": CLUSTER, "addon_id": "addon"}
ADDON_READ = {"/spec/addonTemplateName": "coredns", "/spec/version": "1.0", "/spec/values": {"a": 1, "b": {"c": 2}}}
UPGRADE = {"cluster_id": CLUSTER, "target_version": "v1.31"}
RELEASE = {"cluster_id": CLUSTER, "namespace": "default", "name": "shop", "chart_id": "chart"}
CHART = {"chart_path": "nginx.tgz"}

Bound = Callable[..., HttpCall]


@pytest.fixture
def bound(catalog: Catalog) -> Bound:
    """Check and bind the arguments of a tool."""

    def call(tool: str, arguments: Mapping[str, Any], **more: Any) -> HttpCall:
        check_arguments(catalog[tool], arguments)
        return bind(catalog[tool], arguments, project_id=PROJECT, **more)

    return call


def body(call: HttpCall) -> Any:
    assert call.body is not None
    return json.loads(call.body)


# Paths


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("plain-id_1.2~x", "plain-id_1.2~x"),
        ("a/b", "a%2Fb"),
        ("/", "%2F"),
        ("../../secrets", "..%2F..%2Fsecrets"),
        ("..;", "..%3B"),
        ("...", "..."),
        ("%2f", "%252f"),
        ("%2e%2e", "%252e%252e"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("a\\b", "a%5Cb"),
        ("a\r\nHost: x", "a%0D%0AHost%3A%20x"),
        ("\u0000\u001f\u007f", "%00%1F%7F"),
        ("é\u4e2d\U0001f680", "%C3%A9%E4%B8%AD%F0%9F%9A%80"),
        ("\u2025\uff0f", "%E2%80%A5%EF%BC%8F"),
        ("{cluster_id}", "%7Bcluster_id%7D"),
    ],
)
def test_a_path_value_stays_one_encoded_segment(bound: Bound, value: str, segment: str) -> None:
    call = bound("get_release", {"cluster_id": CLUSTER, "namespace": value, "name": "shop"})
    assert call.path == f"/autopilot/cam/v3/clusters/{CLUSTER}/namespace/{segment}/releases/shop"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_value_that_would_move_the_path_is_refused_twice(catalog: Catalog, value: str) -> None:
    with pytest.raises(InvalidArguments, match="must not be empty"):
        check_arguments(catalog["get_job"], {"job_id": value})
    with pytest.raises(SpecError, match="a path value is empty"):
        bind(catalog["get_job"], {"job_id": value}, project_id=PROJECT)


def test_the_project_id_is_encoded_too(catalog: Catalog) -> None:
    call = bind(catalog["get_chart_quota"], {}, project_id="../x y")
    assert call.path == "/autopilot/v2/charts/..%2Fx%20y/quotas"


# Queries and headers


def test_booleans_are_words_in_a_query(bound: Bound) -> None:
    assert bound("list_clusters", {"with_addons": True}).query == (("detail", "true"),)
    assert bound("list_clusters", {"with_addons": False}).query == (("detail", "false"),)


def test_a_query_keeps_the_values_as_they_are(bound: Bound) -> None:
    reserved = "a&b=c d+e%20é#"
    assert bound("list_addon_templates", {"template_name": reserved}).query == (("addon_template_name", reserved),)
    assert bound("list_addon_templates", {"template_name": ""}).query == (("addon_template_name", ""),)


def test_an_argument_that_was_not_given_is_not_sent(bound: Bound) -> None:
    call = bound("delete_cluster", {"cluster_id": CLUSTER, "delete_net": "try"})
    assert call.query == (("delete_net", "try"),)
    assert call.body is None


def test_lists_repeat_in_a_query_and_headers_are_texts(catalog: Catalog) -> None:
    given_headers = {
        "flag": Argument("flag", ("$request.header.X-Flag",)),
        "id": Argument("id", ("$request.query.id",)),
    }
    operation = replace(catalog["list_charts"], arguments=given_headers)
    call = bind(operation, {"flag": True, "id": ["b", "a", 1]}, project_id=PROJECT)
    assert call.headers == {"X-Flag": "true"}
    assert call.query == (("id", "b"), ("id", "a"), ("id", "1"))


@pytest.mark.parametrize("tool", ["get_quotas", "delete_cluster", "retry_upgrade", "backup_cluster"])
def test_a_request_without_body_still_says_json(bound: Bound, tool: str) -> None:
    call = bound(tool, {} if tool == "get_quotas" else {"cluster_id": CLUSTER})
    assert (call.body, call.content_type) == (None, "application/json")


# Bodies


def test_constants_go_with_every_body(bound: Bound) -> None:
    sent = body(bound("create_cluster", CREATE))
    assert (sent["kind"], sent["apiVersion"]) == ("Cluster", "v3")
    assert sent["spec"]["containerNetwork"] == {"mode": "eni"}
    assert (sent["spec"]["billingMode"], sent["spec"]["flavor"]) == (0, "cce.autopilot.cluster")


def test_only_defaults_of_required_properties_are_sent(bound: Bound) -> None:
    assert "serviceNetwork" not in body(bound("create_cluster", CREATE))["spec"]
    assert body(bound("install_addon", {"cluster_id": CLUSTER, "template_name": "x"}))["spec"]["values"] == {}
    rolling = body(bound("upgrade_cluster", UPGRADE))["spec"]["clusterUpgradeAction"]["strategy"]
    assert rolling == {"type": "inPlaceRollingUpdate", "inPlaceRollingUpdate": {"userDefinedStep": 20}}


def test_an_optional_object_goes_only_if_something_is_in_it(bound: Bound) -> None:
    assert "parameters" not in body(bound("create_release", {**RELEASE, "version": "1"}))
    sent = body(bound("create_release", {**RELEASE, "version": "1", "check_only": False}))
    assert sent["parameters"] == {"dry_run": False}


def test_a_required_object_goes_even_if_it_is_empty(bound: Bound) -> None:
    sent = body(bound("update_release", {**RELEASE, "action": "upgrade", "values": {}}))
    assert (sent["parameters"], sent["values"]) == ({}, {})


def test_empty_values_are_values(bound: Bound) -> None:
    sent = body(bound("create_cluster", {**CREATE, "description": "", "enable_snat": False, "tags": {}, "addons": []}))
    assert (sent["spec"]["description"], sent["spec"]["enableSnat"], sent["spec"]["clusterTags"]) == ("", False, [])
    assert sent["metadata"]["annotations"] == {"cluster.install.addons/install": "[]"}


def test_a_star_spreads_a_list_over_objects(bound: Bound) -> None:
    sent = body(bound("create_cluster", {**CREATE, "eni_subnet_ids": ["b", "a"]}))
    assert sent["spec"]["eniNetwork"] == {"subnets": [{"subnetID": "b"}, {"subnetID": "a"}]}


def test_entries_turn_a_map_into_a_list(bound: Bound) -> None:
    sent = body(bound("add_cluster_tags", {"cluster_id": CLUSTER, "tags": {"env": "prod", "owner": ""}}))
    assert sent == {"tags": [{"key": "env", "value": "prod"}, {"key": "owner", "value": ""}]}


def test_items_take_their_places_and_constants(bound: Bound) -> None:
    skip = [{"name": "NodeCheck", "node_ids": ["n1", "n2"]}, {"name": "Api"}, {"name": "Empty", "node_ids": []}]
    read = {"/spec/clusterVersion": "v1.28.6-r0"}
    sent = body(bound("run_precheck", {**UPGRADE, "skip_items": skip}, filled=read))
    assert sent["spec"]["skippedCheckItemList"] == [
        {"name": "NodeCheck", "resourceSelector": {"key": "node.uid", "values": ["n1", "n2"], "operator": "In"}},
        {"name": "Api"},
        {"name": "Empty", "resourceSelector": {"key": "node.uid", "values": [], "operator": "In"}},
    ]


def test_one_argument_can_have_two_places(bound: Bound) -> None:
    call = bound("create_upgrade_workflow", UPGRADE, filled={"/spec/clusterVersion": "v1.28.6-r0"})
    assert f"/clusters/{CLUSTER}/" in call.path
    assert body(call)["spec"]["clusterID"] == CLUSTER


def test_json_inside_a_string_is_one_string(bound: Bound) -> None:
    addons = [{"name": "coredns", "version": "1.0", "values": {"a": 'é"\n', "none": None}}, {"name": "x"}]
    annotations = body(bound("create_cluster", {**CREATE, "addons": addons}))["metadata"]["annotations"]
    text = annotations["cluster.install.addons/install"]
    assert json.loads(text) == [
        {"addonTemplateName": "coredns", "version": "1.0", "values": {"a": 'é"\n', "none": None}},
        {"addonTemplateName": "x"},
    ]
    assert ": " not in text


def test_free_form_values_are_sent_as_they_are(bound: Bound) -> None:
    values: dict[str, Any] = {"none": None, "": {"a/b~c*": [1, "2", None, [], {}]}, "kind": False, "$ref": "x"}
    assert body(bound("create_release", {**RELEASE, "version": "1", "values": values}))["values"] == values


def test_a_whole_number_is_sent_without_a_point(bound: Bound) -> None:
    call = bound("get_cluster_certificate", {"cluster_id": CLUSTER, "duration_days": 7.0})
    assert call.body == b'{"duration":7}'
    call = bound("upgrade_cluster", {**UPGRADE, "pool_order": {"pool": 1.0}, "addons": [{"name": "x", "version": "1"}]})
    assert b'"nodePoolOrder":{"pool":1}' in (call.body or b"")


def test_text_travels_as_utf_8(bound: Bound) -> None:
    call = bound("create_release", {**RELEASE, "version": "1", "description": "é\u4e2d\U0001f680\u2028"})
    assert "é\u4e2d\U0001f680\u2028".encode() in (call.body or b"")


def test_half_a_character_that_was_read_goes_back_as_it_came(bound: Bound) -> None:
    read = {**ADDON_READ, "/spec/values": {"half \ud83d": "\udc00"}}
    call = bound("update_addon", {**ADDON, "target_version": "2.0"}, filled=read)
    assert b'{"half \\ud83d":"\\udc00"}' in (call.body or b"")
    assert body(call)["spec"]["values"] == read["/spec/values"]


# Filled in


def test_what_was_read_is_sent(bound: Bound) -> None:
    sent = body(bound("update_addon", {**ADDON, "target_version": "2.0"}, filled=ADDON_READ))
    assert sent["spec"] == {
        "version": "2.0",
        "clusterID": CLUSTER,
        "values": {"a": 1, "b": {"c": 2}},
        "addonTemplateName": "coredns",
    }


def test_what_was_merged_is_sent_and_not_what_was_given_alone(bound: Bound) -> None:
    sent = body(bound("update_addon", {**ADDON, "values": {"a": None}}, filled=ADDON_READ))
    assert sent["spec"]["values"] == ADDON_READ["/spec/values"]
    assert sent["spec"]["version"] == "1.0"


def test_a_given_value_wins_over_what_was_read(bound: Bound) -> None:
    sent = body(bound("update_addon", {**ADDON, "target_version": "2.0"}, filled=ADDON_READ))
    assert sent["spec"]["version"] == "2.0"


# Multipart


def parts(call: HttpCall) -> dict[str, Any]:
    parsed: dict[str, Any] = our_wire(call).body
    return parsed


def test_options_stand_before_the_file(bound: Bound) -> None:
    archive = {"chart_path": FilePart("nginx.tgz", b"\x00\r\n--x\xff")}
    sent = parts(bound("upload_chart", {**CHART, "override": True, "visible": False}, files=archive))
    assert sent == {
        "order": ["parameters", "content"],
        "parameters": {"filename": None, "content": {"override": True, "source": "package", "visible": False}},
        "content": {
            "filename": "nginx.tgz",
            "content": b"\x00\r\n--x\xff",
            "Content-Type": "application/octet-stream",
        },
    }


def test_without_options_only_the_file_goes(bound: Bound) -> None:
    sent = parts(bound("update_chart", {"chart_id": "1", **CHART}, files={"chart_path": FilePart("nginx.tgz", b"")}))
    assert sent["order"] == ["content"]
    assert sent["content"]["content"] == b""


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("nginx-1.0.0+build.tgz", "nginx-1.0.0+build.tgz"),
        ('a "b".tgz', "a %22b%22.tgz"),
        ('a"\r\nX-Evil: 1\r\n\r\nb.tgz', "a%22%0D%0AX-Evil: 1%0D%0A%0D%0Ab.tgz"),
        ("é\u4e2d\U0001f680.tgz", "é\u4e2d\U0001f680.tgz"),
        ("100%22.tgz", "100%22.tgz"),
        ("\u0000\u007f.tgz", "%00%7F.tgz"),
        ("broken\udcff.tgz", "broken?.tgz"),
    ],
)
def test_a_file_name_cannot_leave_its_quotes(bound: Bound, name: str, sent: str) -> None:
    call = bound("upload_chart", CHART, files={"chart_path": FilePart(name, b"x")})
    assert parts(call)["content"]["filename"] == sent


def test_equal_uploads_are_equal_bytes_and_others_are_not(bound: Bound) -> None:
    calls = [bound("upload_chart", CHART, files={"chart_path": FilePart("a.tgz", content)}) for content in (b"x", b"x")]
    other = bound("upload_chart", CHART, files={"chart_path": FilePart("a.tgz", b"y")})
    assert calls[0] == calls[1]
    assert calls[0].content_type != other.content_type


def test_an_upload_does_not_show_its_bytes(bound: Bound) -> None:
    call = bound("upload_chart", CHART, files={"chart_path": FilePart("a.tgz", b"top-secret")})
    assert "top-secret" not in repr((call, FilePart("a.tgz", b"top-secret")))


# What the call says about itself


def test_the_call_carries_what_the_client_needs_to_know(bound: Bound) -> None:
    create = bound("create_cluster", CREATE)
    assert (create.method, create.idempotent, create.accepts) == ("POST", False, "application/json")
    assert create.operation_id == "create_cluster"
    assert create.permission == "cce:cluster:create"
    download = bound("download_chart", {"chart_id": "1"})
    assert (download.idempotent, download.accepts) == (True, "application/octet-stream")
    assert bound("add_cluster_tags", {"cluster_id": CLUSTER, "tags": {"a": "b"}}).accepts is None
