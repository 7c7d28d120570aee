"""The life cycle of one cluster in chapters, each of which continues the one before, all through the SDK."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sdk_cases import new_cluster
from sdk_cases_upgrades import addon_request
from sdk_live import LiveSdk
from sdk_oracle import form_file, packed

from ap_mcp.simulator import constants
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.cluster_rows import ADDONS_ANNOTATION
from ap_mcp.simulator.upgrades import fail_next_upgrade

NAME, ALIAS, DESCRIPTION = "guestbooks", "guestbooks-1", "Gästebücher 留言簿"
OLD, NEW, NEXT = "v1.29.13-r0", "v1.30.10-r0", "v1.31.6-r0"
NAMESPACE, RELEASE = "visitors", "guestbook"


@dataclass
class Life:
    """How many chapters are done, and what later ones need to know."""

    sdk: LiveSdk
    done: int = 0
    broken: str = ""
    """The chapter that went wrong; nothing can follow it."""
    clusters_before: int = 0
    cluster_id: str = ""
    job_id: str = ""
    workflow_id: str = ""
    chart_id: str = ""

    def reach(self, chapter: "Chapter") -> None:
        """Carry out all chapters up to and including one, unless that was done before."""
        while self.done <= CHAPTERS.index(chapter):
            assert not self.broken, f"a chapter failed: {self.broken}"
            self.broken = CHAPTERS[self.done].__name__
            CHAPTERS[self.done](self)
            self.broken = ""
            self.done += 1

    @property
    def models(self) -> Any:
        return self.sdk.models

    def call(self, operation: str, **parameters: Any) -> Any:
        """Call an operation on the cluster."""
        return self.sdk.call(operation, cluster_id=self.cluster_id, **parameters)

    def watch(self, read: Callable[[], str], *, seconds: float) -> list[str]:
        """Read, let time pass and read again until the value is final; return all values, each once."""
        values = [read()]
        for _ in range(60):
            if values[-1] in {"Success", "Failed", "Error"}:
                break
            self.sdk.world.advance(seconds)
            values.append(read())
        return list(dict.fromkeys(values))

    def watch_job(self, job_id: str) -> list[str]:
        """Follow a job to its end."""
        return self.watch(lambda: str(self.sdk.call("get_job", job_id=job_id).status.phase), seconds=15)


Chapter = Callable[[Life], None]


def the_project_is_found_in_iam(life: Life) -> None:
    assert life.sdk.client.get_credentials().project_id == constants.PROJECT_ID
    assert life.sdk.called == {"iam_list_projects"}


def a_cluster_is_created_by_a_job(life: Life) -> None:
    sdk, v3 = life.sdk, life.models
    life.clusters_before = sdk.call("get_quotas").quotas[0].used
    installed = packed([{"addonTemplateName": "log-agent", "version": "1.6.0"}])
    request = new_cluster(
        v3,
        metadata={"name": NAME, "annotations": {ADDONS_ANNOTATION: installed}},
        spec={
            "version": "v1.29",
            "description": DESCRIPTION,
            "service_network": v3.AutopilotServiceNetwork(i_pv4_cidr="10.96.0.0/16"),
            "cluster_tags": [v3.AutopilotResourceTag(key="env", value="test")],
            "enable_snat": True,
            "enable_swr_image_access": True,
            "extend_param": v3.AutopilotClusterExtendParam(enterprise_project_id="0"),
        },
        subnets=constants.SUBNET_IDS[:1],
    )
    created = sdk.call("create_cluster", body=request.body)
    life.cluster_id, life.job_id = created.metadata.uid, created.status.job_id
    assert created.spec.enable_snat is True
    job = sdk.call("get_job", job_id=life.job_id)
    assert (job.spec.cluster_uid, job.spec.type) == (life.cluster_id, "CreateCluster")
    part = sdk.call("get_job", job_id=job.spec.sub_jobs[0].metadata.uid)
    assert (part.spec.type, part.status.phase) == ("PrepareNetwork", "Initializing")
    refused = sdk.fail("delete_job_record", job_id=life.job_id)
    assert "only the record of a job that has ended can be deleted" in refused.error_msg


def it_becomes_available(life: Life) -> None:
    assert life.watch_job(life.job_id) == ["Initializing", "Running", "Success"]
    cluster = life.call("get_cluster")
    assert (cluster.status.phase, cluster.spec.version) == ("Available", "v1.29")
    assert cluster.spec.description == DESCRIPTION
    detailed = life.call("get_cluster", detail="true").metadata.annotations["installedAddonInstances"]
    assert '"log-agent"' in detailed
    listed = life.sdk.call("list_clusters", status="Available", version="v1.29", detail="true").items
    assert life.cluster_id in [each.metadata.uid for each in listed]
    assert life.sdk.call("get_quotas").quotas[0].used == life.clusters_before + 1


def it_is_changed_and_tagged(life: Life) -> None:
    v3 = life.models
    subnets = [v3.AutopilotNetworkSubnet(subnet_id=subnet) for subnet in constants.SUBNET_IDS]
    changes = v3.AutopilotClusterInformation(
        metadata=v3.AutopilotClusterMetadataForUpdate(alias=ALIAS),
        spec=v3.AutopilotClusterInformationSpec(
            description="", eni_network=v3.AutopilotEniNetworkUpdate(subnets=subnets)
        ),
    )
    updated = life.call("update_cluster", body=changes)
    assert (updated.metadata.alias, updated.spec.description) == (ALIAS, "")
    assert len(updated.spec.eni_network.subnets) == 3
    tags = [v3.ResourceTag(key="team", value="front desk"), v3.ResourceTag(key="env", value="prod")]
    life.call("add_cluster_tags", body=v3.BatchCreateClusterTagsRequestBody(tags=tags))
    assert {tag.key: tag.value for tag in life.call("get_cluster").spec.cluster_tags} == {
        "env": "prod",
        "team": "front desk",
    }
    gone = [v3.ResourceDeleteTag(key=key) for key in ("team", "env", "no such tag")]
    life.call("delete_cluster_tags", body=v3.BatchDeleteClusterTagsRequestBody(tags=gone))
    assert not life.call("get_cluster").spec.cluster_tags


def it_is_reached_from_outside(life: Life) -> None:
    v3 = life.models
    assert life.call("get_cluster_endpoints").status.public_endpoint == ""
    bind = v3.MasterEIPRequestSpec(action="bind", spec=v3.MasterEIPRequestSpecSpec(id=constants.EIP_ID))
    bound = life.call("set_cluster_public_access", body=v3.MasterEIPRequest(spec=bind))
    address = f"https://{bound.spec.elastic_ip}:5443"
    assert life.call("get_cluster_endpoints").status.public_endpoint == bound.status.public_endpoint == address
    assert [each.type for each in life.call("get_cluster").status.endpoints] == ["Internal", "External"]
    config = life.call("get_cluster_certificate", body=v3.CertDuration(duration=30))
    assert config.current_context == "external"
    assert config.port_id == life.sdk.received.headers["Port-ID"]
    assert {each.cluster.server for each in config.clusters[1:]} == {address}
    assert config.users[0].user.client_key_data
    unbind = v3.MasterEIPRequestSpec(action="unbind")
    life.call("set_cluster_public_access", body=v3.MasterEIPRequest(spec=unbind))
    assert life.call("get_cluster_certificate", body=v3.CertDuration(duration=-1)).current_context == "internal"


def addons_come_change_and_go(life: Life) -> None:
    sdk, v3 = life.sdk, life.models
    template = sdk.call("list_addon_templates", addon_template_name="nginx-ingress").items[0]
    assert "2.6.32" in [each.version for each in template.spec.versions]
    wanted = {"cluster_id": life.cluster_id, "addon_template_name": "nginx-ingress"}
    body = addon_request(v3, "install", version="2.6.0", values={"flavor": {"replicas": 3}}, **wanted)
    uid = sdk.call("install_addon", body=body).metadata.uid

    def settled() -> tuple[str, str, bool]:
        sdk.world.advance(60)
        addon = life.call("get_addon", id=uid)
        return addon.status.status, addon.spec.version, addon.status.is_rollbackable

    assert life.call("get_addon", id=uid).status.status == "installing"
    assert settled() == ("running", "2.6.0", False)
    assert len(life.call("list_addons").items) == 4
    body = addon_request(v3, "upgrade", version="2.6.32", values={"flavor": {"replicas": 2}}, **wanted)
    assert sdk.call("update_addon", id=uid, body=body).status.status == "upgrading"
    assert settled() == ("running", "2.6.32", True)
    back = v3.AddonInstanceRollbackRequest(cluster_id=life.cluster_id)
    assert sdk.call("rollback_addon", id=uid, body=back).status.status == "rollbacking"
    assert settled() == ("running", "2.6.0", False)
    assert life.call("delete_addon", id=uid).body == "success"
    assert life.call("get_addon", id=uid).status.status == "deleting"
    sdk.world.advance(60)
    assert sdk.fail("get_addon", id=uid).status_code == 404


def its_maintenance_window_opens_moves_and_closes(life: Life) -> None:
    v3 = life.models
    assert life.sdk.fail("get_maintenance_window", cluster_id=life.cluster_id).status_code == 404
    window = {"weekly_period": "Monday,Friday", "start_time": "22:30", "duration_hours": 2, "upgrade_scope": "patch"}
    made = life.call("create_maintenance_window", body=v3.MaintenanceWindow(**window))
    assert made.to_json_object() == life.call("get_maintenance_window").to_json_object() == window
    again = life.sdk.fail("create_maintenance_window", cluster_id=life.cluster_id, body=v3.MaintenanceWindow(**window))
    assert (again.status_code, again.error_code) == (409, "CCE.01409001")
    assert not life.call("list_upgrade_plans").items, "it runs the newest patch version"
    moved = {**window, "start_time": "23:00"}
    assert life.call("update_maintenance_window", body=v3.MaintenanceWindow(**moved)).start_time == "23:00"
    assert life.call("delete_maintenance_window").to_json_object() == moved
    assert life.sdk.fail("delete_maintenance_window", cluster_id=life.cluster_id).status_code == 404


def a_planned_upgrade_of_another_cluster_is_delayed(life: Life) -> None:
    sdk, v3 = life.sdk, life.models
    here = {"cluster_id": constants.PAYMENTS_PROD}
    (plan,) = sdk.call("list_upgrade_plans", **here).items
    later = plan.spec.not_before_deadline.replace("T02", "T01")
    which = {**here, "upgrade_plan_id": plan.metadata.uid}
    body = v3.DelayUpgradePlanRequestBody(not_before=later)
    assert sdk.call("update_upgrade_plan", **which, body=body).spec.not_before == later
    too_late = v3.DelayUpgradePlanRequestBody(not_before=plan.spec.not_before_deadline)
    assert "must be before notBeforeDeadline" in sdk.fail("update_upgrade_plan", **which, body=too_late).error_msg


def its_log_configuration_and_the_feature_gates_are_read(life: Life) -> None:
    config = life.call("get_log_config", type="audit")
    assert [(each.name, each.enable) for each in config.log_configs] == [("audit", False)]
    assert len(life.call("get_log_config").log_configs) > 1
    assert life.sdk.call("get_feature_gates").spec["AutopilotMaintenanceWindow"] is True


def an_upgrade_is_prepared(life: Life) -> None:
    v3 = life.models
    version = life.call("get_upgrade_info").spec.version_info
    assert f"{version.release}-{version.patch}" == OLD
    assert version.target_versions == [NEW, NEXT]
    paths = {path.version: path.target_versions for path in life.sdk.call("list_upgrade_paths").upgrade_paths}
    assert NEW in paths["v1.29"]
    assert life.sdk.call("get_upgrade_feature_gates").upgrade_feature_gates
    workflow = _open_workflow(life, OLD, NEW)
    life.workflow_id = workflow.metadata.uid
    assert [point.task_type for point in workflow.status.point_statuses] == [
        v3.TaskType.PRECHECK,
        v3.TaskType.SNAPSHOT,
        v3.TaskType.CLUSTER,
        v3.TaskType.POSTCHECK,
    ]
    selector = v3.ResourceSelector(key="node.uid", values=["n1"], operator="In")
    skipped = [v3.SkippedCheckItemList(name="NodeClockDrift", resource_selector=selector)]
    spec = v3.PrecheckSpec(
        cluster_id=life.cluster_id, cluster_version=OLD, target_version=NEW, skipped_check_item_list=skipped
    )
    check = v3.PrecheckClusterRequestBody(api_version="v3", kind="PreCheckTask", spec=spec)
    uid = life.call("run_precheck", body=check).metadata.uid
    phases = life.watch(lambda: str(life.call("get_precheck", task_id=uid).status.phase), seconds=5)
    assert phases == ["Init", "Running", "Success"]
    assert [each.metadata.uid for each in life.call("list_prechecks").items] == [uid]
    saved = life.call("backup_cluster").uid
    phases = life.watch(lambda: str(life.call("list_backups").items[0].status.phase), seconds=5)
    assert phases == ["Init", "Running", "Success"]
    assert life.call("list_backups").items[0].metadata.uid == saved


def an_upgrade_fails_and_is_retried(life: Life) -> None:
    v3 = life.models
    fail_next_upgrade(life.sdk.world, life.cluster_id)
    strategy = v3.UpgradeStrategy(
        type="inPlaceRollingUpdate", in_place_rolling_update=v3.InPlaceRollingUpdate(user_defined_step=20)
    )
    addon = v3.UpgradeAddonConfig(addon_template_name="log-agent", operation="patch", version="1.7.1", values={})
    action = v3.ClusterUpgradeAction(strategy=strategy, target_version="v1.30", addons=[addon])
    body = v3.UpgradeClusterRequestBody(
        metadata=v3.UpgradeClusterRequestMetadata(api_version="v3", kind="UpgradeTask"),
        spec=v3.UpgradeSpec(cluster_upgrade_action=action),
    )
    started = life.call("upgrade_cluster", body=body)
    assert started.spec.cluster_upgrade_action.target_version == NEW
    uid = started.metadata.uid

    def phase() -> str:
        life.call("get_upgrade_workflow", upgrade_workflow_id=life.workflow_id)
        return str(life.call("get_upgrade_task", task_id=uid).status.phase)

    assert life.watch(phase, seconds=10)[-1] == "Failed"
    assert life.call("get_cluster").status.reason == "UpgradeFailed"
    assert life.call("get_upgrade_info").spec.last_upgrade_info.phase == "Failed"
    life.call("retry_upgrade")
    assert life.watch(phase, seconds=10) == ["Init", "Running", "Success"]
    assert [each.status.progress for each in life.call("list_upgrade_tasks").items] == ["100.00"]
    assert life.call("get_cluster").spec.version == "v1.30"


def the_upgrade_is_checked_and_the_next_one_called_off(life: Life) -> None:
    v3 = life.models
    spec = v3.PostcheckSpec(cluster_id=life.cluster_id, cluster_version=OLD, target_version=NEW)
    check = v3.PostcheckClusterRequestBody(api_version="v3", kind="PostCheckTask", spec=spec)
    assert life.call("run_postcheck", body=check).status.phase == "Success"
    done = life.call("get_upgrade_workflow", upgrade_workflow_id=life.workflow_id)
    assert done.status.phase == v3.WorkFlowPhase.SUCCESS
    opened = _open_workflow(life, NEW, NEXT).metadata.uid
    cancel = v3.UpgradeWorkFlowUpdateRequestBodyStatus(phase=v3.WorkFlowPhase.CANCEL)
    body = v3.UpgradeWorkFlowUpdateRequestBody(status=cancel)
    cancelled = life.call("cancel_upgrade_workflow", upgrade_workflow_id=opened, body=body)
    assert cancelled.status.phase == v3.WorkFlowPhase.CANCEL
    assert [each.status.phase for each in life.call("list_upgrade_workflows").items] == ["Success", "Cancel"]


def a_chart_is_stored_replaced_and_read_back(life: Life) -> None:
    sdk, v3 = life.sdk, life.models
    stored = sdk.call("get_chart_quota").quotas.resources[0].used
    options = packed({"override": False, "skip_lint": False, "visible": True, "source": "package"})

    def body(kind: Any, version: str) -> Any:
        return kind(parameters=options, content=form_file(f"guestbook-{version}.tgz", _chart(version)))

    chart = sdk.call("upload_chart", body=body(v3.UploadAutopilotChartRequestBody, "1.0.0"))
    assert (chart.name, chart.version, chart.public) == ("guestbook", "1.0.0", True)
    life.chart_id = chart.id
    assert sdk.call("get_chart_quota").quotas.resources[0].used == stored + 1
    assert sdk.call("list_charts").body[0].id == chart.id
    changed = body(v3.UpdateAutopilotChartRequestBody, "1.1.0")
    assert sdk.call("update_chart", chart_id=chart.id, body=changed).version == "1.1.0"
    assert sdk.call("get_chart", chart_id=chart.id).chart_url == "guestbook-1.1.0.tgz"
    sdk.call("get_chart_values", chart_id=chart.id)
    assert sdk.received.json() == {"values": {"replicas": 2, "image": {"tag": "1.1.0"}}}
    kept: list[bytes] = []
    sdk.call("download_chart", chart_id=chart.id).consume_download_stream(lambda file: kept.append(file.content))
    assert kept == [_chart("1.1.0")]


def a_release_is_installed_upgraded_and_rolled_back(life: Life) -> None:
    v3, place = life.models, {"namespace": NAMESPACE, "name": RELEASE}
    chart = {"chart_id": life.chart_id, "values": {"replicas": 3}}
    options = v3.ReleaseReqBodyParams(replace=False, no_hooks=True, dry_run=False)
    body = v3.CreateReleaseReqBody(version="1.1.0", description="First", parameters=options, **chart, **place)
    assert life.call("create_release", body=body).status == "PENDING_INSTALL"

    def settled() -> tuple[str, int]:
        life.sdk.world.advance(120)
        release = life.call("get_release", **place)
        return release.status, release.version

    assert settled() == ("DEPLOYED", 1)
    listed = life.call("list_releases", namespace=NAMESPACE, chart_id=chart["chart_id"]).body
    assert [each.name for each in listed] == [RELEASE]
    chart["values"] = {"image": {"tag": "broken"}}
    upgrade = v3.UpdateReleaseReqBody(action="upgrade", parameters=v3.ReleaseReqBodyParams(), **chart)
    assert life.call("update_release", body=upgrade, **place).status == "PENDING_UPGRADE"
    assert settled() == ("FAILED", 2)
    to_first = v3.ReleaseReqBodyParams(release_version=1)
    rollback = v3.UpdateReleaseReqBody(action="rollback", parameters=to_first, **{**chart, "values": {}})
    assert life.call("update_release", body=rollback, **place).status == "PENDING_ROLLBACK"
    assert settled() == ("DEPLOYED", 3)
    assert [each.version for each in life.call("get_release_history", **place).body] == [1, 2, 3]


def release_and_chart_are_removed(life: Life) -> None:
    place = {"namespace": NAMESPACE, "name": RELEASE}
    assert life.call("delete_release", **place).body == "success"
    assert life.call("get_release", **place).status == "DELETING"
    life.sdk.world.advance(60)
    assert life.sdk.fail("get_release", cluster_id=life.cluster_id, **place).status_code == 404
    assert life.sdk.call("delete_chart", chart_id=life.chart_id).body == "success"
    assert life.sdk.fail("get_chart", chart_id=life.chart_id).status_code == 404


def the_cluster_is_deleted_and_forgotten(life: Life) -> None:
    options = {"delete_efs": "try", "delete_net": "block", "lts_reclaim_policy": "Delete_Log_Group"}
    job_id = life.call("delete_cluster", **options).status.job_id
    assert life.call("get_cluster").status.phase == "Deleting"
    assert life.call("delete_cluster").status.job_id == job_id
    assert life.watch_job(job_id) == ["Initializing", "Running", "Success"]
    gone = life.sdk.fail("get_cluster", cluster_id=life.cluster_id)
    assert gone.status_code == 404
    assert f"cluster {life.cluster_id!r} does not exist" in gone.error_msg
    assert life.sdk.call("get_quotas").quotas[0].used == life.clusters_before


def the_records_of_its_jobs_are_read_and_one_is_removed(life: Life) -> None:
    sdk = life.sdk
    records = {each.metadata.uid: each for each in sdk.call("list_jobs").body}
    mine = [uid for uid, each in records.items() if each.spec.clusteruid == life.cluster_id]
    assert [records[uid].spec.type for uid in mine] == ["CreateCluster", "DeleteCluster"]
    step = records[life.job_id].spec.subjobs[0]
    assert sdk.call("get_job_record", job_id=step.metadata.uid).status.completion_time == step.status.completion_time
    sdk.call("delete_job_record", job_id=life.job_id)
    assert sdk.fail("get_job_record", job_id=life.job_id).status_code == 404
    assert sdk.fail("get_job", job_id=life.job_id).status_code == 404


def _open_workflow(life: Life, source: str, target: str) -> Any:
    v3 = life.models
    spec = v3.WorkFlowSpec(cluster_id=life.cluster_id, cluster_version=source, target_version=target)
    body = v3.CreateUpgradeWorkFlowRequestBody(kind="WorkFlowTask", api_version="v3", spec=spec)
    return life.call("create_upgrade_workflow", body=body)


def _chart(version: str) -> bytes:
    files = {
        "Chart.yaml": f'apiVersion: v2\nname: guestbook\nversion: "{version}"\ndescription: {DESCRIPTION}\n',
        "values.yaml": f"replicas: 2\nimage: {{tag: '{version}'}}\n",
        "templates/deployment.yaml": "kind: Deployment\nreplicas: {{ .Values.replicas }}\n",
    }
    return build_chart("guestbook", files)


CHAPTERS: tuple[Chapter, ...] = (
    the_project_is_found_in_iam,
    a_cluster_is_created_by_a_job,
    it_becomes_available,
    it_is_changed_and_tagged,
    it_is_reached_from_outside,
    addons_come_change_and_go,
    its_maintenance_window_opens_moves_and_closes,
    a_planned_upgrade_of_another_cluster_is_delayed,
    its_log_configuration_and_the_feature_gates_are_read,
    an_upgrade_is_prepared,
    an_upgrade_fails_and_is_retried,
    the_upgrade_is_checked_and_the_next_one_called_off,
    a_chart_is_stored_replaced_and_read_back,
    a_release_is_installed_upgraded_and_rolled_back,
    release_and_chart_are_removed,
    the_cluster_is_deleted_and_forgotten,
    the_records_of_its_jobs_are_read_and_one_is_removed,
)
