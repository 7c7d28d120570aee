"""Fault injection, in-process and over a socket; and the simulator as a server."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import httpx
import pytest
from simulation import Caller, simulate

from ap_mcp.errors import SettingsError
from ap_mcp.simulator import constants
from ap_mcp.simulator.access import SIMULATED_CREDENTIALS, TEMPORARY_CREDENTIALS
from ap_mcp.simulator.faults import Fault, Faults
from ap_mcp.simulator.local_servers import LocalServer
from ap_mcp.simulator.serving import exports, running

pytestmark = pytest.mark.anyio

CHARTS = "/autopilot/v2/charts"
TAGS = f"/clusters/{constants.SEARCH_DEV}/tags/create"
NEW_TAG = {"tags": [{"key": "fault", "value": "found"}]}


@pytest.fixture(params=["in-process", "socket"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    app = simulate()
    with ExitStack() as stack:
        local = request.param == "in-process"
        async with Caller(app) if local else Caller(app, stack.enter_context(running(app))) as sender:
            yield sender


@pytest.fixture
def base_url() -> Iterator[str]:
    with running(simulate()) as url:
        yield url


def was_tagged(caller: Caller) -> bool:
    cluster = caller.app.state.world.table("clusters")[constants.SEARCH_DEV]
    return "found" in json.dumps(cluster)


async def tag(caller: Caller) -> httpx.Response:
    return await caller.send("POST", caller.project + TAGS, NEW_TAG)


async def test_a_throttled_request_does_nothing_and_says_when_to_try_again(caller: Caller) -> None:
    caller.app.state.faults.inject("throttle", "add_*", value=7)
    answer = await tag(caller)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error_code"] == "APIGW.0308"
    assert not was_tagged(caller)
    assert (await tag(caller)).status_code == 204
    assert was_tagged(caller)


async def test_throttling_may_leave_the_time_open(caller: Caller) -> None:
    caller.app.state.faults.inject("throttle", value=-1)
    assert "Retry-After" not in (await caller.send("GET", CHARTS)).headers


async def test_a_failing_service_answers_its_status_as_often_as_configured(caller: Caller) -> None:
    caller.app.state.faults.inject("status", times=2, value=500)
    statuses = [(await tag(caller)).status_code for _ in range(3)]
    assert statuses == [500, 500, 204]
    assert [entry.status for entry in caller.app.state.log] == statuses


async def test_a_gateways_page_is_html(caller: Caller) -> None:
    caller.app.state.faults.inject("html")
    answer = await tag(caller)
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert not was_tagged(caller)


async def test_half_a_json_text_arrives_as_a_complete_answer(caller: Caller) -> None:
    whole = (await caller.send("GET", CHARTS)).text
    caller.app.state.faults.inject("cut_json")
    answer = await caller.send("GET", CHARTS)
    assert answer.status_code == 200
    assert whole.startswith(answer.text)
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_a_lost_answer_leaves_what_was_done(caller: Caller) -> None:
    caller.app.state.faults.inject("lost", "add_cluster_tags")
    with pytest.raises(httpx.RemoteProtocolError):
        await tag(caller)
    assert was_tagged(caller)
    assert (await caller.send("GET", CHARTS)).status_code == 200


async def test_a_connection_cut_in_the_middle_of_an_answer_is_an_error(caller: Caller) -> None:
    caller.app.state.faults.inject("cut", "list_charts")
    with pytest.raises(httpx.RemoteProtocolError):
        await caller.send("GET", CHARTS)
    assert (await caller.send("GET", CHARTS)).status_code == 200


async def test_a_delayed_request_is_answered_in_the_end(caller: Caller) -> None:
    caller.app.state.faults.inject("delay", value=0.01)
    caller.app.state.faults.inject("status")
    assert (await caller.send("GET", CHARTS)).status_code == 503


async def test_a_delay_can_outlast_a_clients_timeout() -> None:
    app = simulate(faults=Faults([Fault("delay", value=0.3)]))
    with running(app) as url:
        async with Caller(app, url) as caller:
            caller.client.timeout = httpx.Timeout(0.05)
            with pytest.raises(httpx.ReadTimeout):
                await caller.send("GET", CHARTS)


async def test_only_matching_operations_are_affected_and_faults_can_be_cleared(caller: Caller) -> None:
    caller.app.state.faults.inject("status", "*_addon*", times=None)
    assert (await caller.send("GET", CHARTS)).status_code == 200
    addons = ("/autopilot/v3/addons", (("cluster_id", constants.SEARCH_DEV),))
    for _ in range(3):
        assert (await caller.send("GET", addons[0], query=addons[1])).status_code == 503
    caller.app.state.faults.clear()
    assert (await caller.send("GET", addons[0], query=addons[1])).status_code == 200


async def test_faults_affect_iam_too(caller: Caller) -> None:
    caller.app.state.faults.inject("status", "iam_list_projects")
    assert (await caller.send("GET", "/v3/projects")).status_code == 503


async def test_a_socketless_cut_without_a_library_is_a_connection_reset() -> None:
    async with Caller(simulate(connection_lost=ConnectionResetError)) as caller:
        caller.app.state.faults.inject("lost")
        with pytest.raises(ConnectionResetError):
            await caller.send("GET", CHARTS)


def test_faults_can_be_written_as_text() -> None:
    faults = Faults.parse("throttle:create_*:2:5, lost:install_addon,delay:*:*:0.2,html")
    assert faults.take("create_cluster") == (Fault("delay", "*", None, 0.2), Fault("throttle", "create_*", 2, 5))
    assert faults.take("create_cluster")[1] == Fault("throttle", "create_*", 1, 5)
    assert [fault.kind for fault in faults.take("create_cluster")] == ["delay", "html"]
    assert [fault.kind for fault in faults.take("install_addon")] == ["delay", "lost"]
    assert [fault.kind for fault in faults.take("install_addon")] == ["delay"]


@pytest.mark.parametrize("text", ["explode", "lost:*:0", "lost:*:-1", "lost:*:x", "delay:*:1:x", "lost:a:1:2:3"])
def test_a_fault_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read the fault") as refused:
        Faults.parse(f"html,{text}")
    assert repr(text) in str(refused.value)


def test_faults_can_come_from_the_environment() -> None:
    assert Faults.from_environment({}).take("get_job") == ()
    assert Faults.from_environment({"AP_MCP_SIMULATOR_FAULTS": "lost"}).take("get_job") == (Fault("lost"),)
    with pytest.raises(SettingsError, match="AP_MCP_SIMULATOR_FAULTS: cannot read the fault"):
        Faults.from_environment({"AP_MCP_SIMULATOR_FAULTS": "explode"})


def test_a_served_simulator_stands_on_the_loopback_address_only(base_url: str) -> None:
    assert base_url.startswith("http://127.0.0.1:")
    environment = exports(base_url)
    assert list(environment) == [
        "AP_MCP_ENDPOINT",
        "AP_MCP_IAM_ENDPOINT",
        "AP_MCP_REGION",
        "HUAWEICLOUD_SDK_IAM_ENDPOINT",
        "HUAWEICLOUD_SDK_REGION_CCE_AP_SOUTHEAST_1",
        "HUAWEICLOUD_SDK_AK",
        "HUAWEICLOUD_SDK_SK",
        "HUAWEICLOUD_SDK_PROJECT_ID",
    ]
    assert environment["AP_MCP_ENDPOINT"] == base_url
    assert exports(base_url, TEMPORARY_CREDENTIALS)["HUAWEICLOUD_SDK_SECURITY_TOKEN"]
    assert SIMULATED_CREDENTIALS.secret_key not in repr(SIMULATED_CREDENTIALS)


def test_a_taken_port_is_an_error_at_once(base_url: str) -> None:
    with pytest.raises(OSError, match="in use"):
        LocalServer(simulate(), int(base_url.rpartition(":")[2]))


def test_a_stopped_simulator_no_longer_answers() -> None:
    with running(simulate()) as url:
        pass
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(url)


def test_serving_announces_its_environment_and_stops_on_an_interrupt() -> None:
    code = (
        "from ap_mcp.simulator.serving import serve; from ap_mcp.simulator.seed import seeded_world\n"
        "serve(seeded_world(), announce=lambda environment: print(*environment.values(), flush=True))"
    )
    program = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{url}/v3/projects").status_code == 401
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_the_official_sdk_finds_its_project_and_reads_a_chart(base_url: str) -> None:
    from huaweicloudsdkcce.v3 import CceClient, ListAutopilotChartsRequest, ShowAutopilotClusterRequest
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
    from huaweicloudsdkcore.region.region import Region

    credentials = BasicCredentials(constants.ACCESS_KEY, constants.SECRET_KEY).with_iam_endpoint(base_url)
    region = Region(constants.REGION, base_url)
    client = CceClient.new_builder().with_credentials(credentials).with_region(region).build()
    assert credentials.project_id == constants.PROJECT_ID
    assert client.list_autopilot_charts(ListAutopilotChartsRequest()).status_code == 200
    with pytest.raises(ClientRequestException) as refused:
        client.show_autopilot_cluster(ShowAutopilotClusterRequest("no-such-cluster"))
    assert refused.value.status_code == 404
    assert refused.value.request_id
    assert refused.value.error_code
