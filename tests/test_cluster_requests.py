"""Requests to a cluster's Kubernetes API: what may be built, which of them read, and where they are sent."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from pydantic import SecretStr

from ap_mcp.cloud.client import AT_ONCE_PER_CLUSTER, CloudClient
from ap_mcp.cluster_requests import TEXT, cluster_request, is_cluster_read
from ap_mcp.credentials import AccessKey, Credentials
from ap_mcp.errors import InvalidArguments
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.permits import digest_of
from ap_mcp.settings import Settings

CLUSTER = "6f2b8f0e-9d3c-11ee-8c1d-0255ac10003a"
OTHER = "6f2b8f0e-9d3c-11ee-8c1d-0255ac10003b"


def request(*parts: str, method: str = "GET", **more: Any) -> Any:
    return cluster_request("k8s_get", CLUSTER, method, parts, **more)


@pytest.mark.parametrize("resource", known_kinds(), ids=lambda each: each.plural)
def test_every_known_kind_is_read_in_all_its_places_and_changed_in_none_without_a_permit(resource: Any) -> None:
    places = [resource.parts(), resource.parts("shop", "cart"), resource.parts("shop", "cart", "status")]
    for parts in [*places, resource.parts("shop")]:
        assert is_cluster_read(request(*parts))
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert not is_cluster_read(request(*parts, method=method, query=[("dryRun", "All")]))


def test_a_name_stays_one_part_of_the_path_whatever_is_in_it() -> None:
    call = request("api", "v1", "namespaces", "shop", "configmaps", "a?b#c é")
    assert call.path == "/api/v1/namespaces/shop/configmaps/a%3Fb%23c%20%C3%A9"
    assert is_cluster_read(call)


@pytest.mark.parametrize("part", ["", ".", "..", "shop/", "/shop", "shop/secrets/db", "shop%2Fx", "shop%", "../shop"])
def test_what_would_be_another_path_to_a_server_that_decodes_it_first_is_refused(part: str) -> None:
    for parts in (("namespaces", part, "pods"), ("namespaces", "shop", "pods", part)):
        with pytest.raises(InvalidArguments):
            request("api", "v1", *parts)
    if part:
        read = request("api", "v1", "namespaces", "shop", "pods", "web")
        assert not is_cluster_read(replace(read, path=read.path.replace("web", quote(part, safe=""))))


@pytest.mark.parametrize("cluster", ["", "prod", "example.com", f"{CLUSTER}.evil", f"x@{CLUSTER}", CLUSTER.upper()])
def test_nothing_but_an_id_names_a_cluster(cluster: str) -> None:
    with pytest.raises(InvalidArguments):
        cluster_request("k8s_get", cluster, "GET", ("api",))


def test_a_permit_is_for_one_cluster() -> None:
    parts = ("api", "v1", "namespaces", "shop")
    assert digest_of(request(*parts)) != digest_of(cluster_request("k8s_get", OTHER, "GET", parts))


def client(endpoint: str, answer: httpx.MockTransport) -> CloudClient:
    settings = Settings(endpoint=endpoint, iam_endpoint="http://127.0.0.1:1")
    key = AccessKey("AKEXAMPLE", SecretStr("secret"))
    return CloudClient(settings, Credentials(key, "a test", project_id="p1"), answer)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("endpoint", "url", "host"),
    [
        ("https://cce.example.com", f"https://{CLUSTER}.cce.example.com/version", f"{CLUSTER}.cce.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/version", f"{CLUSTER}.127.0.0.1:8080"),
    ],
)
async def test_the_cluster_is_named_by_the_host(endpoint: str, url: str, host: str) -> None:
    seen: list[httpx.Request] = []

    def answer(received: httpx.Request) -> httpx.Response:
        seen.append(received)
        return httpx.Response(200, json={"gitVersion": "v1.31.6"})

    async with client(endpoint, httpx.MockTransport(answer)) as cloud:
        reply = await cloud.send(request("version"))
    assert reply.body == {"gitVersion": "v1.31.6"}
    assert (str(seen[0].url), seen[0].headers["host"]) == (url, host)
    assert "host" in seen[0].headers["authorization"].partition("SignedHeaders=")[2]


@pytest.mark.anyio
async def test_few_requests_at_once_go_to_one_cluster_and_none_waits_for_another() -> None:

    inside: dict[str, int] = {}
    most: dict[str, int] = {}
    gate = anyio.Event()

    async def answer(received: httpx.Request) -> httpx.Response:
        host = received.headers["host"]
        inside[host] = inside.get(host, 0) + 1
        most[host] = max(most.get(host, 0), inside[host])
        if len(inside) == 2 and all(each == AT_ONCE_PER_CLUSTER for each in inside.values()):
            gate.set()
        await gate.wait()
        inside[host] -= 1
        return httpx.Response(200, text="a line\n")

    async with client("http://127.0.0.1:1", httpx.MockTransport(answer)) as cloud:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for at in range(2 * AT_ONCE_PER_CLUSTER):
                    for cluster in (CLUSTER, OTHER):
                        parts = ("api", "v1", "namespaces", "shop", "pods", f"cart-{at}", "log")
                        group.start_soon(cloud.send, cluster_request("k8s_logs", cluster, "GET", parts, accepts=TEXT))
    assert set(most.values()) == {AT_ONCE_PER_CLUSTER}
