"""The official SDK on the simulator over HTTP: it drives all operations, and knows every field of every answer."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from time import monotonic
from typing import Any

import pytest
from sdk_cases import new_cluster
from sdk_cases_upgrades import addon_request
from sdk_life import CHAPTERS, Chapter, Life
from sdk_live import LiveSdk, live_sdk, read_everything
from sdk_models import misfits
from sdk_oracle import form_file
from simulation import fresh_world, simulate

from ap_mcp.simulator import constants
from ap_mcp.simulator.faults import Faults
from ap_mcp.simulator.prechecks import add_findings
from ap_mcp.specs import Catalog

# Without `dateutil` the SDK leaves dates as the texts they came as, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string to date")

NOWHERE = "00000000-0000-11ef-8f53-0255ac100000"
LONGEST_SECONDS = 20


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    with live_sdk() as sdk:
        yield Life(sdk)


@pytest.fixture(scope="module")
def sdk() -> Iterator[LiveSdk]:
    """The SDK on a simulator of which tests ask only what it refuses."""
    with live_sdk() as sdk:
        yield sdk


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.__name__)
def test_in_the_life_of_a_cluster(chapter: Chapter, life: Life) -> None:
    life.reach(chapter)


@pytest.mark.parametrize("days", [0, 1], ids=["at the start", "a day later"])
def test_the_sdk_knows_everything_of_the_seeded_account(days: float, catalog: Catalog) -> None:
    world = fresh_world()
    world.advance_until_idle(days * 86400)
    with live_sdk(simulate(world)) as sdk:
        clusters = sdk.call("list_clusters").items
        assert {each.metadata.name for each in clusters} == set(constants.CLUSTER_NAMES.values())
        read_everything(sdk)
    reads = {name for name, operation in catalog.items() if operation.method == "GET"}
    assert sdk.called == {"iam_list_projects", "get_cluster_certificate", *reads}


def test_the_sdk_knows_how_things_go_wrong() -> None:
    world = fresh_world()
    with live_sdk(simulate(world)) as sdk:
        v3, payments = sdk.models, {"cluster_id": constants.PAYMENTS_PROD}
        lost = new_cluster(v3, metadata={"name": "nowhere"}, spec={}, subnets=(constants.FULL_SUBNET_ID,)).body
        sdk.call("create_cluster", body=lost)
        for cluster_id, installed, values in (
            (constants.SEARCH_DEV, "gatekeeper", {"flavor": {"replicas": 0}}),
            (constants.SEARCH_DEV, "cert-manager", {"flavor": {"replicas": 99}}),
            (constants.TEAM_SANDBOX, "gatekeeper", {"basic": {"swr_addr": "nowhere.invalid"}}),
        ):
            wanted = {"cluster_id": cluster_id, "addon_template_name": installed, "values": values}
            sdk.call("install_addon", body=addon_request(v3, "install", **wanted))
        add_findings(world, constants.CHECKOUT_STAGING)
        for cluster_id, version in ((constants.SHOP_PROD, "v1.28.6-r0"), (constants.CHECKOUT_STAGING, "v1.29.8-r0")):
            spec = v3.PrecheckSpec(cluster_id=cluster_id, cluster_version=version, target_version="v1.31")
            body = v3.PrecheckClusterRequestBody(api_version="v3", kind="PreCheckTask", spec=spec)
            sdk.call("run_precheck", cluster_id=cluster_id, body=body)
        world.advance(5)
        read_everything(sdk)
        sdk.call("delete_cluster", delete_net="block", **payments)
        world.advance_until_idle()
        read_everything(sdk)
        assert {each.metadata.name: each.status.reason for each in failed_clusters(sdk)} == {
            "legacy-import": "CreateFailed",
            "nowhere": "CreateFailed",
            "payments-prod": "DeleteFailed",
        }
        addons = sdk.call("list_addons", cluster_id=constants.SEARCH_DEV).items
        assert {each.status.status for each in addons} == {"running", "available", "installFailed"}
        check = sdk.call("list_prechecks", cluster_id=constants.CHECKOUT_STAGING).items[-1]
        assert len(check.status.node_check_status.node_stage_status) == 50


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_the_command_serves_an_sdk_that_runs_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, how: signal.Signals, code: int
) -> None:
    from huaweicloudsdkcce import v3
    from huaweicloudsdkcce.v3.region.cce_region import CceRegion

    for name in [name for name in os.environ if name.startswith(("AP_MCP_", "HUAWEICLOUD_SDK_"))]:
        monkeypatch.delenv(name)
    with command("simulate", "--port", "0", "--speed", "60") as process:
        for name, value in {**announced(process), "NO_PROXY": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        client = v3.CceClient.new_builder().with_region(CceRegion.value_of(constants.REGION)).build()
        listed = client.list_autopilot_clusters(v3.ListAutopilotClustersRequest()).items
        assert {each.metadata.name for each in listed} == set(constants.CLUSTER_NAMES.values())
        start = v3.CreateAutopilotClusterMasterSnapshotRequest(cluster_id=constants.TEAM_SANDBOX)
        client.create_autopilot_cluster_master_snapshot(start)
        request = v3.ListAutopilotClusterMasterSnapshotTasksRequest(cluster_id=constants.TEAM_SANDBOX)
        deadline = monotonic() + LONGEST_SECONDS / 2
        while client.list_autopilot_cluster_master_snapshot_tasks(request).items[0].status.phase != "Success":
            assert monotonic() < deadline, "half a minute of the simulated account takes too long"
        client.close()
        client.get_http_client().executor.shutdown()
        process.send_signal(how)
        assert process.communicate(timeout=LONGEST_SECONDS) == ("", "")
    assert process.returncode == code


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"new": 1}, ["$.new: unknown to ShowAutopilotUpgradeWorkFlowResponse"]),
        ({"kind": 5}, ["$.kind: 5 is no str"]),
        ({"kind": None}, ["$.kind: null"]),
        ({"spec": {"clusterID": "a", "owner": {}}}, ["$.spec.owner: unknown to WorkFlowSpec"]),
        ({"spec": "a"}, ["$.spec: 'a' is no WorkFlowSpec"]),
        ({"metadata": {"creationTimestamp": "yesterday"}}, ["$.metadata.creationTimestamp: 'yesterday' is no date"]),
        ({"metadata": {"labels": {"a": 1}}}, ["$.metadata.labels.a: 1 is no str"]),
        ({"status": {"phase": "Lost"}}, ["$.status.phase: 'Lost' is none of WorkFlowPhase's Init, Running, "]),
        ({"status": {"pointStatuses": {}}}, ["$.status.pointStatuses: {} is no list[PointStatus]"]),
        ({"status": {"pointStatuses": [{}, {"x": 1}]}}, ["$.status.pointStatuses[1].x: unknown to PointStatus"]),
        ({"status": {"lineStatuses": [{"critical": 1}]}}, ["$.status.lineStatuses[0].critical: 1 is no bool"]),
    ],
    ids=str,
)
def test_the_comparison_sees(sdk: LiveSdk, change: dict[str, Any], found: list[str]) -> None:
    known = {
        "metadata": {"uid": "a", "creationTimestamp": "2024-06-04T12:49:28Z", "labels": {"a": "b"}},
        "spec": {"clusterID": "a", "targetVersion": "v1.31"},
        "status": {"phase": "Init", "pointStatuses": [{"taskType": "PreCheck"}]},
    }
    raw = {"kind": "WorkFlowTask", **known, **change}
    answer = sdk.client._deserialize(raw, "ShowAutopilotUpgradeWorkFlowResponse")
    said = misfits(sdk.models, raw, answer)
    assert len(said) == len(found)
    assert all(each.startswith(start) for each, start in zip(said, found, strict=True)), said


def test_the_comparison_sees_what_the_sdk_reads_otherwise(sdk: LiveSdk) -> None:
    answer = sdk.client._deserialize({"kind": "Task", "apiVersion": "v3"}, "ShowAutopilotJobResponse")
    assert misfits(sdk.models, {"kind": "Job"}, answer) == [
        "$.kind: 'Job' read as 'Task'",
        "$.apiVersion: did not come, read as 'v3'",
    ]


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("get_cluster", {"cluster_id": NOWHERE}),
        ("get_job", {"job_id": "no/such job"}),
        ("get_upgrade_task", {"cluster_id": constants.SHOP_PROD, "task_id": NOWHERE}),
        ("get_addon", {"id": NOWHERE}),
        ("get_chart", {"chart_id": NOWHERE}),
        ("delete_release", {"cluster_id": constants.SEARCH_DEV, "namespace": "search", "name": "nobody"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_a_404_to_the_sdk(sdk: LiveSdk, operation: str, parameters: dict[str, str]) -> None:
    error = sdk.fail(operation, **parameters)
    assert (error.status_code, error.error_code) == (404, "CCE_CM.0003")
    assert list(parameters.values())[-1] in error.error_msg
    assert sdk.received.json()["errorCode"] in {"CCE.01404001", "CCE.02404001", "CCE.03404001"}


@pytest.mark.parametrize(
    ("operation", "make", "said"),
    [
        ("create_cluster", lambda v3: new_request(v3, name="Shop Prod"), "$.metadata.name"),
        ("create_cluster", lambda v3: new_request(v3, name="newcomer", version="v1.9"), "v1.31"),
        (
            "get_cluster_certificate",
            lambda v3: {"cluster_id": constants.SHOP_PROD, "body": v3.CertDuration(duration=99999)},
            "99999",
        ),
        (
            "upload_chart",
            lambda v3: {"body": v3.UploadAutopilotChartRequestBody(content=form_file("chart.tgz", b"no chart"))},
            "gzip",
        ),
        (
            "set_cluster_public_access",
            lambda v3: {"cluster_id": constants.ML_BATCH, "body": v3.MasterEIPRequest(spec={"action": "unbind"})},
            "Creating",
        ),
    ],
)
def test_what_cannot_be_done_is_a_400_to_the_sdk(
    sdk: LiveSdk, operation: str, make: Callable[[Any], dict[str, Any]], said: str
) -> None:
    error = sdk.fail(operation, **make(sdk.models))
    assert error.status_code == 400
    assert error.error_code.startswith("CCE")
    assert said in error.error_msg


def test_a_taken_name_is_a_409_to_the_sdk(sdk: LiveSdk) -> None:
    error = sdk.fail("create_cluster", **new_request(sdk.models, name="shop-prod"))
    assert (error.status_code, error.error_code) == (409, "CCE.01409001")
    assert "'shop-prod' exists" in error.error_msg


@pytest.mark.parametrize(
    ("keys", "status", "code", "said"),
    [
        ((constants.ACCESS_KEY, "not-the-secret", constants.PROJECT_ID), 401, "APIGW.0301", "signature"),
        (("NOBODY", constants.SECRET_KEY, constants.PROJECT_ID), 401, "APIGW.0301", "AK does not exist"),
        ((constants.ACCESS_KEY, constants.SECRET_KEY, "0" * 32), 403, "APIGW.0302", "project"),
    ],
)
def test_a_refused_caller_gets_an_error_of_the_sdk(keys: tuple[str, ...], status: int, code: str, said: str) -> None:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials

    with live_sdk(credentials=BasicCredentials(*keys)) as sdk:
        error = sdk.fail("list_clusters")
        assert (error.status_code, error.error_code) == (status, code)
        assert said in error.error_msg


def test_temporary_keys_are_accepted() -> None:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials

    keys = BasicCredentials(constants.TEMPORARY_ACCESS_KEY, constants.TEMPORARY_SECRET_KEY)
    with live_sdk(credentials=keys.with_security_token(constants.SECURITY_TOKEN)) as sdk:
        assert sdk.call("list_clusters").items
        assert sdk.called == {"iam_list_projects", "list_clusters"}


def test_a_project_that_cannot_be_found_stops_the_sdk_at_its_start() -> None:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.exceptions.exceptions import SdkException

    wrong = BasicCredentials(constants.ACCESS_KEY, "not-the-secret")
    for settings, said in (({"region": "eu-west-101"}, "project exists"), ({"credentials": wrong}, "APIGW.0301")):
        with pytest.raises(SdkException) as refused, live_sdk(**settings):
            pytest.fail("the SDK started without a project")
        assert said in refused.value.error_msg


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("throttle:get_quotas", "ClientRequestException", 429),
        ("status:get_quotas:1:503", "ServerResponseException", 503),
    ],
)
def test_an_injected_fault_reaches_the_sdk_unchanged(fault: str, kind: str, status: int) -> None:
    from huaweicloudsdkcore.exceptions import exceptions

    with live_sdk(simulate(faults=Faults.parse(fault))) as sdk:
        with pytest.raises(getattr(exceptions, kind)) as refused:
            sdk.call("get_quotas")
        assert refused.value.status_code == status
        assert sdk.call("get_quotas").quotas


def test_every_operation_of_the_catalog_was_carried_out(life: Life, catalog: Catalog) -> None:
    life.reach(CHAPTERS[-1])
    assert life.sdk.called == {*catalog, "iam_list_projects"}


def new_request(v3: Any, *, name: str, version: str = "v1.31") -> dict[str, Any]:
    """The parameters of a request to create a cluster."""
    request = new_cluster(v3, metadata={"name": name}, spec={"version": version}, subnets=constants.SUBNET_IDS)
    return {"body": request.body}


def failed_clusters(sdk: LiveSdk) -> list[Any]:
    """The clusters that something went wrong with."""
    return [each for each in sdk.call("list_clusters").items if each.status.phase == "Error"]


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command of ours; it ends with the block, or when it takes too long."""
    program = [sys.executable, "-W", "error", "-m", "ap_mcp", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        alarm = Timer(LONGEST_SECONDS, process.kill)
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            process.kill()


def announced(process: subprocess.Popen[str]) -> dict[str, str]:
    """The environment that the command prints before it says that it is ready."""
    assert process.stdout is not None
    assert process.stderr is not None
    ready = process.stderr.readline()
    assert ready.startswith("Simulated account ready"), ready + process.stderr.read()
    printed = os.read(process.stdout.fileno(), 65536).decode()
    exported = [shlex.split(line) for line in printed.splitlines()]
    assert {words[0] for words in exported} == {"export"}
    return dict(words[1].split("=", 1) for words in exported)
