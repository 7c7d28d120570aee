"""Request bodies in protobuf mean the same as in JSON, and the OpenAPI v2 document has both forms as well."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from kubernetes_calls import CORE, DEPLOYMENTS, JOBS, SHOP, Cluster, cluster_with_shop, deployment, job

from ap_mcp.simulator.kubernetes.openapi_v2 import PROTOBUF
from ap_mcp.simulator.kubernetes.protobuf import MAGIC, MEDIA_TYPE
from ap_mcp.simulator.kubernetes.schemas import load

pytestmark = pytest.mark.anyio
MACHINERY = "k8s.io.apimachinery.pkg."


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(name: str, value: Any) -> bytes:
    """Write an object as a message: what a client written in Go would send."""
    made = b""
    for number, field, type_, flags in load("messages")[name]:
        if "i" in flags:
            made += part(number, message(type_, value))
        elif field not in value:
            continue
        elif "m" in flags:
            for key, each in value[field].items():
                made += part(number, part(1, key.encode()) + one(2, type_, each))
        elif "r" in flags:
            made += b"".join(one(number, type_, each) for each in value[field])
        else:
            made += one(number, type_, value[field])
    return made


def quantity(value: str) -> bytes:
    return part(1, value.encode())


def int_or_string(value: int | str) -> bytes:
    head = varint(8) + varint(isinstance(value, str))
    return head + (part(3, value.encode()) if isinstance(value, str) else varint(16) + varint(value))


def moment(value: str) -> bytes:
    read = datetime.fromisoformat(value)
    return varint(8) + varint(int(read.timestamp())) + varint(16) + varint(read.microsecond * 1000)


def raw(value: Any) -> bytes:
    return part(1, json.dumps(value).encode())


SPECIAL: dict[str, Callable[[Any], bytes]] = {
    "string": str.encode,
    "bytes": base64.b64decode,
    f"{MACHINERY}api.resource.Quantity": quantity,
    f"{MACHINERY}util.intstr.IntOrString": int_or_string,
    f"{MACHINERY}apis.meta.v1.Time": moment,
    f"{MACHINERY}apis.meta.v1.MicroTime": moment,
    f"{MACHINERY}runtime.RawExtension": raw,
}


def one(number: int, type_: str, value: Any) -> bytes:
    if type_ in ("int", "bool"):
        return varint(number << 3) + varint(int(value))
    return part(number, SPECIAL[type_](value) if type_ in SPECIAL else message(type_, value))


def enveloped(name: str, api_version: str, kind: str, value: Any) -> bytes:
    about = part(1, api_version.encode()) + part(2, kind.encode())
    return MAGIC + part(1, about) + part(2, message(name, value))


@pytest.fixture
async def shop() -> Cluster:
    return await cluster_with_shop()


def rich_deployment() -> Any:
    body: Any = deployment(replicas=0, automountServiceAccountToken=False)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "resources": {"limits": {"cpu": "250m", "memory": "512Mi"}},
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": False}}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "s"}}]
    body["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "20%"}}
    body["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    return body


def controller_revision() -> Any:
    return {"metadata": {"name": "r"}, "data": {"spec": {"a": [1]}}, "revision": -3}


CASES = [
    (DEPLOYMENTS, "k8s.io.api.apps.v1.Deployment", "apps/v1", "Deployment", rich_deployment()),
    (JOBS, "k8s.io.api.batch.v1.Job", "batch/v1", "Job", job(suspend=False, backoffLimit=0)),
    (f"{SHOP}/configmaps", "k8s.io.api.core.v1.ConfigMap", "v1", "ConfigMap",
     {"metadata": {"name": "c"}, "data": {"a": "ü"}, "binaryData": {"b": "AAE="}}),
    ("/apis/apps/v1/namespaces/shop/controllerrevisions", "k8s.io.api.apps.v1.ControllerRevision", "apps/v1",
     "ControllerRevision", controller_revision()),
    ("/apis/coordination.k8s.io/v1/namespaces/shop/leases", "k8s.io.api.coordination.v1.Lease",
     "coordination.k8s.io/v1", "Lease",
     {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "renewTime": "2024-01-01T00:00:00.250000Z"}}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[3] for case in CASES])
async def test_an_object_in_protobuf_means_the_same_as_in_json(
    shop: Cluster, case: tuple[str, str, str, str, Any]
) -> None:
    path, name, api_version, kind, body = case
    sent = enveloped(name, api_version, kind, body)
    as_protobuf = await shop.ok("POST", path, sent, type=MEDIA_TYPE, dryRun="All")
    as_json = await shop.ok("POST", path, body, dryRun="All")
    for each in (as_protobuf, as_json):
        each.pop("metadata")
    assert as_protobuf == as_json


async def test_the_options_of_a_deletion_can_be_protobuf(shop: Cluster) -> None:
    await shop.ok("POST", f"{SHOP}/configmaps", {"metadata": {"name": "c"}})
    options = enveloped(
        f"{MACHINERY}apis.meta.v1.DeleteOptions", "v1", "DeleteOptions", {"preconditions": {"uid": "other"}}
    )
    refusal = await shop.refused("DELETE", f"{SHOP}/configmaps/c", options, type=MEDIA_TYPE)
    assert "UID in precondition: other" in refusal["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", 400),
        (MAGIC + b"\x0a\xff", 400),
        (MAGIC + b"\x0f", 400),
        (MAGIC + part(1, part(1, b"example.com/v1") + part(2, b"Widget")), 415),
    ],
    ids=["no magic", "cut", "wire type", "unknown kind"],
)
async def test_what_is_no_known_message_is_refused(shop: Cluster, body: bytes, code: int) -> None:
    assert (await shop.refused("POST", f"{SHOP}/configmaps", body, type=MEDIA_TYPE))["code"] == code


async def test_the_older_openapi_document_has_the_same_kinds_in_both_its_forms(shop: Cluster) -> None:
    whole = await shop.ok("GET", "/openapi/v2")
    assert "io.k8s.api.apps.v1.Deployment" in whole["definitions"]
    patch = whole["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {each["name"] for each in patch["parameters"]} >= {"dryRun", "fieldValidation"}
    answer = await shop.send("GET", "/openapi/v2", accept=f"{PROTOBUF}@v1.0+protobuf")
    assert answer.content.startswith(part(1, b"2.0"))
    for name in whole["definitions"]:
        assert part(1, name.encode()) in answer.content
    await shop.refused("GET", "/openapi/v2", accept="text/plain")
    assert (await shop.ok("GET", f"{CORE}/namespaces/shop"))["kind"] == "Namespace"
