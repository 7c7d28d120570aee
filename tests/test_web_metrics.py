"""What Prometheus reads: published names, how calls end, nothing that a caller makes up, at an address of its own."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.lowlevel import checkpoint
from over_http import Served, request, served
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from receiving import answer, receiver
from simulation import simulate

from ap_mcp.cloud.lines import outward_lines
from ap_mcp.errors import ApprovalsUnusable, SettingsError
from ap_mcp.server import Autopilot
from ap_mcp.settings import Settings
from ap_mcp.simulator.constants import TEAM_SANDBOX
from ap_mcp.watching import NotRecorded, Requested, happened, watched_by
from ap_mcp.web.metrics import CODES, OTHER, Metrics, metrics_app
from ap_mcp.web.serving import beside, listen, url_of
from ap_mcp.webhook_addresses import Address
from ap_mcp.webhooks.notice import trial
from ap_mcp.webhooks.posting import Posting

pytestmark = pytest.mark.anyio

MODERN, LEGACY = "2026-07-28", "2025-11-25"


@asynccontextmanager
async def counted(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Served, Metrics]]:
    made: list[Metrics] = []

    def counting(autopilot: Autopilot) -> Metrics:
        made.append(Metrics(autopilot))
        return made[0]

    async with served(simulate(), tmp_path, counting=counting, **settings) as found:
        with watched_by(made[0].note):
            yield found, made[0]


async def read(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by its name and the labels that say something."""
    text = (await metrics.text()).decode()
    return {
        (sample.name, frozenset((key, value) for key, value in sample.labels.items() if value)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def named(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def took(tool: str = "", method: str = "tools/call", version: str = MODERN, error: str = "") -> Any:
    labels = {"mcp_method_name": method, "gen_ai_tool_name": tool, "mcp_protocol_version": version, "error_type": error}
    return named(
        "mcp_server_operation_duration_seconds_count", **{key: value for key, value in labels.items() if value}
    )


async def post(found: Served, method: str, params: dict[str, Any] | None = None, version: str = MODERN) -> int:
    async with found.by_hand() as http:
        return (await http.post("/mcp", **request(method, params, version))).status_code


async def call(found: Served, tool: str, version: str = MODERN, **arguments: Any) -> int:
    return await post(found, "tools/call", {"name": tool, "arguments": arguments}, version)


async def test_how_long_requests_take_is_counted_under_the_published_name_in_both_eras(tmp_path: Path) -> None:
    async with counted(tmp_path) as (found, metrics):
        for version in (MODERN, LEGACY):
            await call(found, "get_quotas", version)
        await post(found, "tools/list")
        samples = await read(metrics)
        assert samples[took("get_quotas")] == samples[took("get_quotas", version=LEGACY)] == 1
        assert samples[took(method="tools/list")] == 1
        bucket = named(
            "mcp_server_operation_duration_seconds_bucket",
            mcp_method_name="tools/call",
            gen_ai_tool_name="get_quotas",
            mcp_protocol_version=MODERN,
            le="300.0",
        )
        assert samples[bucket] == 1


async def test_calls_that_fail_say_how(tmp_path: Path) -> None:
    async with counted(tmp_path) as (found, metrics):
        found.simulator.state.faults.inject("status", "get_quotas", value=403)
        await call(found, "get_quotas")
        await call(found, "get_cluster", cluster_id="nothing-of-that-name")
        await post(found, "resources/read", {"uri": "autopilot://responses/none"}, LEGACY)
        samples = await read(metrics)
        assert samples[took("get_quotas", error="tool_error")] == samples[took("get_cluster", error="tool_error")] == 1
        assert samples[took(method="resources/read", version=LEGACY, error="-32002")] == 1
        failed = {labels: each for (name, labels), each in samples.items() if name == "ap_mcp_cloud_errors_total"}
        [(error, count)] = failed.items()
        assert count == 1
        assert (
            dict(error).items()
            >= {
                "operation": "get_quotas",
                "http_response_status_code": "403",
                "error_type": "403",
            }.items()
        )
        requests = [labels for (name, labels) in samples if name == "http_client_request_duration_seconds_count"]
        assert {dict(labels)["operation"] for labels in requests} == {"get_quotas", "list_clusters"}


async def test_nothing_that_a_caller_makes_up_becomes_a_label(tmp_path: Path) -> None:
    async with counted(tmp_path) as (found, metrics):
        for each in range(5):
            await call(found, f"made_up_{each}", anything=f"made_up_{each}")
            await post(found, f"made_up/{each}", version=LEGACY)
        text = (await metrics.text()).decode()
        assert "made_up" not in text
        samples = await read(metrics)
        calls = {labels: value for (name, labels), value in samples.items() if name == took()[0]}
        assert sum(value for labels, value in calls.items() if ("gen_ai_tool_name", OTHER) in labels) == 5


def test_codes_of_the_vendor_are_bounded() -> None:
    metrics = Metrics.__new__(Metrics)
    metrics._codes = set()
    found = {metrics._bounded(f"CCE.{number}") for number in range(3 * CODES)}
    assert len(found) == CODES + 1
    assert OTHER in found
    assert metrics._bounded("CCE.0") == "CCE.0"


async def test_consents_and_open_questions_are_counted(tmp_path: Path) -> None:
    async with counted(tmp_path) as (found, metrics):
        await call(found, "delete_cluster", cluster_id=TEAM_SANDBOX)
        samples = await read(metrics)
        sought = named(
            "ap_mcp_consents_total", gen_ai_tool_name="delete_cluster", channel="approval", outcome="waiting"
        )
        assert samples[sought] == 1
        assert samples[named("ap_mcp_open_questions")] == 1
        assert samples[named("ap_mcp_state_up")] == 1
        assert samples[named("ap_mcp_calls", state="working")] == 0


async def test_audit_lines_that_were_not_written_are_counted(tmp_path: Path) -> None:
    async with counted(tmp_path) as (_, metrics):
        happened(NotRecorded())
        assert (await read(metrics))[named("ap_mcp_audit_failures_total")] == 1
    happened(NotRecorded())
    assert (await read(metrics))[named("ap_mcp_audit_failures_total")] == 1


async def test_messages_to_webhooks_are_counted_by_form_and_outcome_and_name_no_address(tmp_path: Path) -> None:
    async with counted(tmp_path) as (_, metrics), receiver(None, answer("", "500 Error")) as posted_to:
        posting = Posting([Address("slack", posted_to.url("/services/S3CRET"))], partial(outward_lines, Settings()))
        for _ in range(2):
            posting.put(trial(datetime.now(UTC)))
        await posting.close()
        samples = await read(metrics)
        for outcome in ("failed", "posted"):
            assert samples[named("ap_mcp_webhook_messages_total", form="slack", outcome=outcome)] == 1
        assert "S3CRET" not in (await metrics.text()).decode()


async def test_a_state_that_does_not_answer_is_seen_and_the_rest_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counted(tmp_path) as (found, metrics):
        await call(found, "get_quotas")

        async def waiting(_: object) -> None:
            await checkpoint()
            raise ApprovalsUnusable("it is gone")

        monkeypatch.setattr(found.autopilot.confirmer.store, "waiting", waiting)
        samples = await read(metrics)
        assert samples[named("ap_mcp_state_up")] == 0
        assert samples[took("get_quotas")] == 1


@pytest.mark.parametrize("shared", [{}, {"redis_url": SecretStr("redis://127.0.0.1:1")}], ids=["alone", "with Redis"])
async def test_calls_under_way_are_shown(tmp_path: Path, shared: dict[str, Any]) -> None:
    async with counted(tmp_path, **shared) as (found, metrics), found.autopilot.limits.admit("ann") as turn:
        assert (await read(metrics))[named("ap_mcp_calls", state="working")] == 1
        async with turn.rest():
            samples = await read(metrics)
            assert samples[named("ap_mcp_calls", state="working")] == 0
            assert samples[named("ap_mcp_calls", state="waiting")] == 1


async def test_metrics_are_not_served_where_callers_come_in(tmp_path: Path) -> None:
    async with counted(tmp_path) as (found, _), found.by_hand() as http:
        assert (await http.get("/metrics")).status_code == 404


async def text() -> bytes:
    await checkpoint()
    return b"x 1\n"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("10.1.2.3:9464", 200),
        ("[::1]:9464", 200),
        ("localhost:9464", 200),
        ("METRICS.example", 200),
        ("metrics.example.:", 200),
        ("localhost:", 200),
        ("10.1.2.3", 200),
        ("evil.example", 421),
        ("[::1", 421),
        ("", 421),
        ("metrics.example.evil.example", 421),
    ],
)
async def test_metrics_are_asked_for_by_address_or_known_name(host: str, status: int) -> None:
    transport = httpx.ASGITransport(metrics_app(text, ["metrics.example:8000"]))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.get("/metrics", headers={"host": host})
        assert answer.status_code == status
        assert (answer.text == "x 1\n") == (status == 200)
        assert (await http.post("/metrics")).status_code == 405


async def test_they_are_served_at_an_address_of_their_own() -> None:
    sockets = listen("127.0.0.1:0", "AP_MCP_METRICS")
    async with beside(metrics_app(text), sockets), httpx.AsyncClient(trust_env=False) as http:
        for _ in range(2):
            answer = await http.get(f"{url_of(sockets[0])}/metrics")
            assert answer.text == "x 1\n"
            assert re.match(r"text/plain; version=0\.0\.4", answer.headers["content-type"])


async def test_an_address_that_is_taken_is_named_with_its_setting() -> None:
    sockets = listen("127.0.0.1:0")
    taken = sockets[0].getsockname()[1]
    with pytest.raises(SettingsError, match=rf"AP_MCP_METRICS: 127\.0\.0\.1:{taken}: another program listens there"):
        listen(f"127.0.0.1:{taken}", "AP_MCP_METRICS")
    sockets[0].close()


def test_without_the_library_it_is_named_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SettingsError, match=r"pip install 'ap-mcp\[prometheus\]'"):
        Metrics(None)  # type: ignore[arg-type]


def test_who_watches_no_more_is_not_told() -> None:
    seen: list[Any] = []
    with watched_by(seen.append):
        happened(Requested("get_quotas", "GET", "cce.example", 0.1, 200))
    happened(NotRecorded())
    assert [type(each) for each in seen] == [Requested]
