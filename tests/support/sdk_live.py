"""The official SDK on a served simulator; every answer it gets is compared with its own models."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from sdk_cases import CASES
from sdk_models import misfits
from simulation import simulate

from ap_mcp.simulator import constants
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.serving import running
from ap_mcp.simulator.world import World
from ap_mcp.specs import load_catalog

NULLS = re.compile(r"\.(spec\.values|status\.(targetVersions|currentVersion\.supportVersions)): null")
"""What an add-on answers as null; the reference shows it so, and the SDK reads it as nothing."""


class LiveSdk:
    """The SDK's client, called by the names of our operations.

    The credentials are those of the account and know no project: that is read from IAM, unless others are given.
    """

    def __init__(
        self, app: Simulator, base_url: str, *, credentials: Any = None, region: str = constants.REGION
    ) -> None:
        from huaweicloudsdkcce import v3
        from huaweicloudsdkcore.auth.credentials import BasicCredentials
        from huaweicloudsdkcore.http.http_handler import HttpHandler
        from huaweicloudsdkcore.region.region import Region

        keys = credentials or BasicCredentials(constants.ACCESS_KEY, constants.SECRET_KEY)
        self.app = app
        self.models = v3
        self.received: Any = None
        """The last response as it came, also if it became an error."""
        self._requests = {case.operation: type(case.request(v3)) for case in CASES}
        handler = HttpHandler().add_response_handler(self._keep)
        builder = v3.CceClient.new_builder().with_credentials(keys.with_iam_endpoint(base_url))
        self.client = builder.with_http_handler(handler).with_region(Region(region, base_url)).build()

    @property
    def world(self) -> World:
        return self.app.state.world

    @property
    def called(self) -> set[str]:
        """Operations that were carried out."""
        return {request.operation for request in self.app.state.log if request.status < 400}

    def call(self, operation: str, **parameters: Any) -> Any:
        """Call an operation; the SDK must know everything that comes, and read it as it is."""
        answer = self._send(operation, parameters)
        logged = self.app.state.log[-1]
        assert (logged.operation, logged.status) == (operation, answer.status_code)
        found = misfits(self.models, _body(self.received), answer, self.received.headers)
        assert [said for said in found if not NULLS.search(said)] == []
        return answer

    def call_if_there(self, operation: str, **parameters: Any) -> None:
        """Call an operation that reads; not every cluster has what it reads."""
        from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

        try:
            self.call(operation, **parameters)
        except ClientRequestException as error:
            if error.status_code != 404:
                raise

    def fail(self, operation: str, **parameters: Any) -> Any:
        """Call an operation that must be refused; return what the SDK raises."""
        from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

        with pytest.raises(ClientRequestException) as refused:
            self._send(operation, parameters)
        logged, error = self.app.state.log[-1], refused.value
        assert (logged.operation, logged.status) == (operation, error.status_code)
        assert error.request_id == self.received.headers["X-Request-Id"]
        assert error.error_code
        assert error.error_msg
        return error

    def close(self) -> None:
        """Close connections and threads."""
        self.client.close()
        self.client.get_http_client().executor.shutdown()

    def _send(self, operation: str, parameters: dict[str, Any]) -> Any:
        request = self._requests[operation](**parameters)
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", type(request).__name__.removesuffix("Request")).lower()
        return getattr(self.client, method)(request)

    def _keep(self, *, response: Any, **_: Any) -> None:
        self.received = response


@contextmanager
def live_sdk(app: Simulator | None = None, **settings: Any) -> Iterator[LiveSdk]:
    """Serve a simulator and point the SDK at it."""
    from huaweicloudsdkcce.v3 import ListAutopilotUpgradePlansResponse
    from huaweicloudsdkcore.auth.credentials import Credentials

    served = app or simulate()
    with running(served) as base_url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(Credentials, "_CACHE", {})  # projects that it found before
        # The kind of this answer is List, and the SDK's list types read a lone entry too.
        patch.setitem(ListAutopilotUpgradePlansResponse.openapi_types, "items", "list[UpgradePlan]")
        sdk = LiveSdk(served, base_url, **settings)
        try:
            yield sdk
        finally:
            sdk.close()
    assert served.state.violations == []


def read_everything(sdk: LiveSdk) -> None:
    """Read all there is to read in the account; a read that needs a cluster or nothing is found in the specs."""
    for operation in reads_with():
        sdk.call(operation)
    for cluster in sdk.call("list_clusters", detail="true").items:
        _read_cluster(sdk, cluster)
    for chart in sdk.call("list_charts").body:
        for operation in reads_with("chart_id"):
            sdk.call(operation, chart_id=chart.id)
    _read_records(sdk)


def _read_records(sdk: LiveSdk) -> None:
    """Read the record of each job."""
    for job in sdk.call("list_jobs").body:
        sdk.call("get_job_record", job_id=job.metadata.uid)


def reads_with(*parameters: str) -> list[str]:
    """Return the operations that only read and need exactly these parameters."""
    return [
        each.id
        for each in load_catalog().values()
        if each.method == "GET"
        and {it["name"] for it in each.parameters if it.get("required")} - {"project_id"} == set(parameters)
    ]


def _read_cluster(sdk: LiveSdk, cluster: Any) -> None:
    """Read all there is to read about a cluster."""
    here = {"cluster_id": cluster.metadata.uid}
    for operation in reads_with("cluster_id"):
        sdk.call_if_there(operation, **here)
    if cluster.status.job_id:
        _read_job(sdk, cluster.status.job_id)
    for addon in sdk.call("list_addons", **here).items:
        sdk.call("get_addon", id=addon.metadata.uid, **here)
    for release in sdk.call("list_releases", **here).body or ():
        place = {"namespace": release.namespace, "name": release.name, **here}
        sdk.call("get_release", **place)
        sdk.call("get_release_history", **place)
    for task in sdk.call("list_upgrade_tasks", **here).items:
        sdk.call("get_upgrade_task", task_id=task.metadata.uid, **here)
    for check in sdk.call("list_prechecks", **here).items:
        sdk.call("get_precheck", task_id=check.metadata.uid, **here)
    for workflow in sdk.call("list_upgrade_workflows", **here).items:
        sdk.call("get_upgrade_workflow", upgrade_workflow_id=workflow.metadata.uid, **here)
    if cluster.status.phase == "Available":
        sdk.call("get_cluster_certificate", body=sdk.models.CertDuration(duration=1), **here)


def _read_job(sdk: LiveSdk, job_id: str) -> None:
    """Read a job and, each by its own id, its sub-jobs."""
    for part in sdk.call("get_job", job_id=job_id).spec.sub_jobs or ():
        _read_job(sdk, part.metadata.uid)


def _body(response: Any) -> Any:
    """Return what came: JSON, text, or None for nothing and for files."""
    kind = response.headers.get("Content-Type")
    if kind == "application/json":
        return json.loads(response.content, parse_float=Decimal)
    return response.text if kind == "text/plain" else None
