"""Each request to the cloud is a span inside that of the call, which says how it went and never what it was about."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from agent import connected
from anyio.lowlevel import checkpoint
from mcp.shared import _otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from simulation import simulate

from ap_mcp.cloud import spans
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("ap-mcp"))
    monkeypatch.setattr(_otel, "_tracer", provider.get_tracer("mcp-python-sdk"))
    yield exporter
    provider.shutdown()


def of_cloud(recorded: InMemorySpanExporter) -> list[ReadableSpan]:
    return [
        each
        for each in recorded.get_finished_spans()
        if each.kind is SpanKind.CLIENT and " " in each.name and each.name.split()[0].isupper()
    ]


async def test_a_request_to_the_cloud_is_a_span_inside_that_of_the_call(
    tmp_path: Path, recorded: InMemorySpanExporter
) -> None:
    async with connected(tmp_path) as agent:
        recorded.clear()
        await agent.call("get_cluster", cluster_id="payments-prod")
    found = of_cloud(recorded)
    assert [each.name for each in found] == ["GET list_clusters", "GET get_cluster"]
    for each in found:
        assert dict(each.attributes or {}) == {
            "http.request.method": "GET",
            "server.address": "127.0.0.1",
            "http.response.status_code": 200,
        }
        assert each.status.status_code is not StatusCode.ERROR
    [whole] = [
        each
        for each in recorded.get_finished_spans()
        if each.name == "tools/call get_cluster" and each.kind is SpanKind.SERVER
    ]
    assert {each.parent and each.parent.span_id for each in found} == {whole.context and whole.context.span_id}


async def test_an_error_is_named_by_its_status_and_every_attempt_is_a_span(
    tmp_path: Path, recorded: InMemorySpanExporter
) -> None:
    async with connected(tmp_path) as agent:
        agent.app.state.faults.inject("status", "get_quotas", value=403)
        await agent.fail("get_quotas")
    [span] = of_cloud(recorded)
    assert span.attributes
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (403, "403")
    assert span.status.status_code is StatusCode.ERROR


async def test_what_was_not_reached_says_why(tmp_path: Path, recorded: InMemorySpanExporter) -> None:
    class Cut(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await checkpoint()
            raise httpx.ConnectTimeout("in vain")

    async with connected(tmp_path, transport=Cut()) as agent:
        await agent.fail("get_quotas")
    found = of_cloud(recorded)
    assert {(each.attributes or {})["error.type"] for each in found} == {"ConnectTimeout"}
    assert [(each.attributes or {}).get("http.request.resend_count", 0) for each in found] == [*range(len(found))]
    assert all("http.response.status_code" not in (each.attributes or {}) for each in found)


async def test_no_span_says_what_a_call_was_about(tmp_path: Path, recorded: InMemorySpanExporter) -> None:
    async with connected(tmp_path, app=simulate()) as agent:
        await agent.call("get_cluster", cluster_id=PAYMENTS_PROD)
        await agent.call("k8s_list", cluster_id=SEARCH_DEV, kind="Pod", namespace="default")
        agent.app.state.faults.inject("status", "get_cluster", value=403)
        await agent.fail("get_cluster", cluster_id=PAYMENTS_PROD)
    every = of_cloud(recorded)
    said = [(each.name, dict(each.attributes or {}), each.status.description, each.events) for each in every]
    assert len(said) >= 3
    for secret in (PAYMENTS_PROD, SEARCH_DEV, "payments-prod", "default"):
        assert secret not in str(said)
