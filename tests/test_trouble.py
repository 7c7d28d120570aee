"""Whatever goes wrong between us and the cloud: reported clearly, never made worse, and the server goes on."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent import ENDPOINT, connected, unharmed
from mcp_types import TextResourceContents
from simulation import simulate

from ap_mcp.cloud.retry import ATTEMPTS
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import (
    HOST_SUBNET_ID,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SECRET_KEY,
    SUBNET_IDS,
    TEAM_SANDBOX,
    VPC_ID,
)
from ap_mcp.simulator.serving import exports

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

RELEASE = {"cluster_id": TEAM_SANDBOX, "namespace": "default", "name": "cache", "chart_id": REDIS, "version": "18.6.1"}


def everything_below(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.glob("**/*")]


KEYS = exports(ENDPOINT)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"HUAWEICLOUD_SDK_AK": "UNKNOWN"}, ["HTTP 401", "the AK does not exist", "HUAWEICLOUD_SDK_AK and"]),
        (
            {"HUAWEICLOUD_SDK_SK": "wrong-key"},
            ["HTTP 401", "signature does not match", "SDK_SK: check both"],
        ),
        ({"HUAWEICLOUD_SDK_SK": ""}, ["Credentials are incomplete", "HUAWEICLOUD_SDK_SK not"]),
        ({"HUAWEICLOUD_SDK_PROJECT_ID": "0" * 32}, ["HTTP 403", "project id", "cce:chart:list"]),
        ({"AP_MCP_AUTH_TOKEN": "outlived"}, ["HTTP 401", "has expired", "AP_MCP_AUTH_TOKEN", "Set a fresh one"]),
        ({"HUAWEICLOUD_SDK_AK": "", "HUAWEICLOUD_SDK_SK": ""}, ["No Huawei Cloud credentials found", "Searched:"]),
    ],
)
async def test_credentials_that_do_not_work_have_errors_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], expected: list[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with connected(tmp_path, environment=KEYS | change) as agent:
        for _ in range(2):
            said = await agent.fail("list_charts")
            assert [part for part in expected if part not in said] == []
            assert SECRET_KEY not in said
        assert (await agent.client.list_tools()).tools


async def test_missing_credentials_are_reported_with_every_place_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with connected(tmp_path, environment={}) as agent:
        said = await agent.fail("list_charts")
        for place in ("AP_MCP_AUTH_TOKEN", "HUAWEICLOUD_SDK_AK", "HW_ACCESS_KEY", "HW_USER_NAME", "agency"):
            assert place in said
        assert str(tmp_path / ".huaweicloud" / "credentials") in said


async def test_keys_that_come_later_are_found_without_a_new_start(tmp_path: Path) -> None:
    environment = KEYS | {"HUAWEICLOUD_SDK_SK": ""}
    async with connected(tmp_path, environment=environment) as agent:
        assert "incomplete" in await agent.fail("list_charts")
        environment["HUAWEICLOUD_SDK_SK"] = SECRET_KEY
        await agent.call("list_charts")


async def test_a_region_without_a_project_is_reported(tmp_path: Path) -> None:
    environment = KEYS | {"HUAWEICLOUD_SDK_PROJECT_ID": ""}
    async with connected(tmp_path, environment=environment, region="eu-west-101") as agent:
        said = await agent.fail("list_charts")
        assert 'IAM knows no project by the name "eu-west-101"' in said
        assert "HUAWEICLOUD_SDK_PROJECT_ID" in said
        assert agent.sent == ["iam_list_projects"]


@pytest.mark.parametrize(("minutes", "way"), [(20, "behind"), (-20, "ahead of")])
async def test_a_clock_that_is_wrong_is_reported_with_how_much(tmp_path: Path, minutes: int, way: str) -> None:
    app = simulate(wall=lambda: datetime.now(UTC) + timedelta(minutes=minutes))
    async with connected(tmp_path, app=app) as agent:
        said = await agent.fail("list_charts")
        assert f"This machine's clock is 20 minutes {way} the service's" in said


async def test_an_endpoint_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    async with connected(tmp_path, transport=httpx.AsyncHTTPTransport()) as agent:
        which = {"cluster_id": TEAM_SANDBOX}
        for tool, first, arguments in (("list_charts",) * 2 + ({},), ("delete_cluster", "get_cluster", which)):
            said = await agent.fail(tool, **arguments)
            assert f"{first}: no answer from {ENDPOINT}" in said
            assert "Nothing was changed. Check the network, the region and AP_MCP_ENDPOINT" in said


TROUBLE = {
    "throttle": ("HTTP 429", "Too many requests came at a time. Wait"),
    "status": ("HTTP 503", "Something went wrong inside CCE"),
    "html": ("HTTP 502", "A gateway got no usable answer"),
    "cut": ("no answer from", "the connection was cut before the answer was complete"),
    "lost": ("no answer from", "the connection was cut before the answer was complete"),
    "cut_json": ("HTTP 20", "The answer is no JSON, or cut off"),
}


@pytest.mark.parametrize("kind", TROUBLE)
async def test_a_read_survives_one_fault_and_reports_lasting_ones(tmp_path: Path, kind: Any) -> None:
    async with unharmed(tmp_path) as agent:
        faults = agent.app.state.faults
        if kind != "cut_json":
            faults.inject(kind, "get_chart", value=-1 if kind == "throttle" else None)
            await agent.call("get_chart", chart_id=REDIS)
            assert agent.sent == ["get_chart"] * 2
        faults.inject(kind, "get_chart", times=None, value=-1 if kind == "throttle" else None)
        said = await agent.fail("get_chart", chart_id=REDIS)
        assert [part for part in TROUBLE[kind] if part not in said] == []
        assert len(agent.sent) <= 2 + ATTEMPTS


@pytest.mark.parametrize("kind", TROUBLE)
async def test_a_creation_is_never_sent_again_once_it_may_have_been_done(tmp_path: Path, kind: Any) -> None:
    async with unharmed(tmp_path) as agent:
        agent.app.state.faults.inject(kind, "create_release", times=1, value=-1 if kind == "throttle" else None)
        if kind == "throttle":
            await agent.call("create_release", **RELEASE)
            assert [request.status for request in agent.app.state.log] == [429, 201]
            return
        said = await agent.fail("create_release", **RELEASE)
        assert [part for part in TROUBLE[kind] if part not in said] == []
        assert agent.sent == ["create_release", "list_releases"]
        assert re.search(r"(may have|probably) (reached|been carried out|made)|was probably made", said)
        assert re.search(r"[Rr]ead what exists", said)
        done = f"{TEAM_SANDBOX}/default/cache" in agent.world.table("releases")
        assert done == (kind in {"cut", "lost", "cut_json"})


async def test_a_deletion_whose_answer_was_lost_is_looked_for_and_not_sent_again(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        agent.app.state.faults.inject("lost", "delete_cluster")
        gone = await agent.call("delete_cluster", cluster_id=TEAM_SANDBOX)
        assert agent.changed == ["delete_cluster"]
        assert gone["job_id"] == agent.world.table("clusters")[TEAM_SANDBOX]["status"]["jobID"]
        assert gone["summary"].startswith("delete_cluster succeeded: its answer was lost")


async def test_a_web_page_instead_of_an_answer_is_reported(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        agent.app.state.faults.inject("html", "list_*", value=200)
        said = await agent.fail("list_clusters")
        assert "A web page came instead of an answer of the API" in said
        assert "AP_MCP_ENDPOINT" in said
        assert "<h1>" not in said


async def test_a_long_wait_asked_for_by_the_service_is_left_to_the_agent(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        agent.app.state.faults.inject("throttle", "list_clusters", times=None, value=600)
        assert "Worth another try in 600 s" in await agent.fail("list_clusters")
        assert agent.sent == ["list_clusters"]


async def test_half_an_answer_never_becomes_a_file(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        faults = agent.app.state.faults
        faults.inject("cut", "download_chart", times=None)
        await agent.fail("download_chart", chart_id=REDIS)
        for kind in ("cut", "lost", "cut_json", "html", "status"):
            faults.inject(kind, "get_cluster_certificate")
            said = await agent.fail("get_cluster_certificate", cluster_id=SEARCH_DEV, duration_days=1)
            assert "client-key-data" not in said or "«masked»" in said
        assert agent.changed == ["get_cluster_certificate"] * 5
    assert everything_below(tmp_path / "files") == []


async def test_half_an_answer_is_reported_without_the_secrets_in_it(tmp_path: Path) -> None:
    async with unharmed(tmp_path) as agent:
        agent.world.table("charts")[REDIS]["_values"] = {"auth": {"password": "pa55-w0rd"}, "more": "x" * 200}
        agent.app.state.faults.inject("cut_json", "get_chart_values")
        said = await agent.fail("get_chart_values", chart_id=REDIS)
        assert "auth" in said
        assert "pa55" not in said


async def test_a_folder_that_cannot_be_written_is_reported_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file where the folder should be")
    async with unharmed(tmp_path, files_dir=tmp_path / "taken") as agent:
        said = await agent.fail("download_chart", chart_id=REDIS)
        assert "could not be saved" in said
        assert "AP_MCP_FILES_DIR" in said
    assert everything_below(tmp_path) == ["taken"]


async def test_answers_in_an_unknown_form_are_shown_as_they_came(tmp_path: Path) -> None:
    app = simulate(strict_answers=False)
    async with unharmed(tmp_path, app=app) as agent:
        agent.world.table("clusters")[PAYMENTS_PROD] = {"metadata": 7, "spec": [None], "status": "fine"}
        shown = await agent.call("get_cluster", cluster_id=PAYMENTS_PROD)
        assert shown["summary"]
        kept = (await agent.client.read_resource(shown["raw"])).contents[0]
        assert isinstance(kept, TextResourceContents)
        assert '"status":"fine"' in kept.text


CREATES: list[tuple[str, dict[str, Any], str]] = [
    (
        "create_cluster",
        {"name": "aurora", "vpc_id": VPC_ID, "subnet_id": HOST_SUBNET_ID, "eni_subnet_ids": list(SUBNET_IDS)},
        "list_clusters shows now, with name aurora: ",
    ),
    (
        "install_addon",
        {"cluster_id": "team-sandbox", "template_name": "log-agent"},
        "list_addons shows now, with template_name log-agent: ",
    ),
    ("create_release", RELEASE, "list_releases shows now, with name cache and namespace default: "),
]


@pytest.mark.parametrize(("tool", "arguments", "expected"), CREATES)
async def test_a_creation_whose_answer_is_lost_is_searched_for_and_not_sent_again(
    tmp_path: Path, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    async with connected(tmp_path) as agent:
        agent.app.state.faults.inject("lost", tool)
        said = await agent.fail(tool, **arguments)
        assert "may have reached the service" in said
        assert expected in said
        assert "do not send it again" in said
        assert [each for each in agent.changed if each == tool] == [tool]


@dataclass
class Dropping(httpx.AsyncBaseTransport):
    """Loses every request that is more than a read on its way; the caller cannot know that it never arrived."""

    inner: httpx.AsyncBaseTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            raise httpx.ReadError("lost")
        return await self.inner.handle_async_request(request)


@pytest.mark.parametrize(("tool", "arguments", "expected"), CREATES)
async def test_a_creation_that_never_arrived_is_searched_for_and_not_found(
    tmp_path: Path, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    app = simulate()
    async with connected(tmp_path, app=app, transport=Dropping(httpx.ASGITransport(app))) as agent:
        said = await agent.fail(tool, **arguments)
        nothing = expected.replace(" shows now, ", " shows nothing ").removesuffix(": ")
        assert f"{nothing} yet: call it again in a while before you send it again." in said


async def test_where_even_the_read_fails_that_is_said(tmp_path: Path) -> None:
    tool, arguments, _ = CREATES[0]
    async with connected(tmp_path) as agent:
        agent.app.state.faults.inject("lost", tool)
        agent.app.state.faults.inject("status", "list_clusters", times=None, value=500)
        assert "list_clusters could not be read either" in await agent.fail(tool, **arguments)
