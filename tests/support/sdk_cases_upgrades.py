"""The inputs of the oracle test for add-ons and upgrades."""

from typing import Any

from sdk_oracle import CLUSTER, OTHER, RESERVED, VALUES, Case, plain

UPGRADE_INFO = {"get_upgrade_info": {"spec": {"versionInfo": {"release": "v1.28.6", "patch": "r0"}}}}
ADDON = {
    "get_addon": {
        "spec": {
            "version": "1.3.9",
            "addonTemplateName": "metrics-server",
            "values": {"basic": {"url": "swr", "arch": "amd64"}, "flavor": {"replicas": 1, "name": "tiny"}},
        }
    }
}


def addon_request(v3: Any, kind: str, **spec: Any) -> Any:
    return v3.InstanceRequest(
        kind="Addon",
        api_version="v3",
        metadata=v3.AddonMetadata(annotations={f"addon.{kind}/type": kind}),
        spec=v3.InstanceRequestSpec(**spec),
    )


def _upgrade(v3: Any, *, step: int = 20, scope: str | None = None, **action: Any) -> Any:
    rolling = v3.InPlaceRollingUpdate(user_defined_step=step, scope=scope)
    strategy = v3.UpgradeStrategy(type="inPlaceRollingUpdate", in_place_rolling_update=rolling)
    return v3.UpgradeAutopilotClusterRequest(
        cluster_id=CLUSTER,
        body=v3.UpgradeClusterRequestBody(
            metadata=v3.UpgradeClusterRequestMetadata(api_version="v3", kind="UpgradeTask"),
            spec=v3.UpgradeSpec(
                cluster_upgrade_action=v3.ClusterUpgradeAction(strategy=strategy, target_version="v1.31", **action)
            ),
        ),
    )


def _precheck(v3: Any, **spec: Any) -> Any:
    spec = {"cluster_id": CLUSTER, "cluster_version": "v1.28.6-r0", "target_version": "v1.31", **spec}
    body = v3.PrecheckClusterRequestBody(api_version="v3", kind="PreCheckTask", spec=v3.PrecheckSpec(**spec))
    return v3.CreateAutopilotPreCheckRequest(cluster_id=CLUSTER, body=body)


def _skipped(v3: Any, name: str, nodes: list[str] | None = None) -> Any:
    selector = v3.ResourceSelector(key="node.uid", values=nodes, operator="In") if nodes is not None else None
    return v3.SkippedCheckItemList(name=name, resource_selector=selector)


def _postcheck(v3: Any, **spec: str) -> Any:
    spec = {"cluster_id": CLUSTER, "target_version": "v1.28.6-r0", **spec}
    body = v3.PostcheckClusterRequestBody(api_version="v3", kind="PostCheckTask", spec=v3.PostcheckSpec(**spec))
    return v3.CreateAutopilotPostCheckRequest(cluster_id=CLUSTER, body=body)


def _node_order(v3: Any) -> dict[str, Any]:
    chosen = v3.NodeSelector(key="kubernetes.io/hostname", operator="in", value=["n1", "n2"])
    marked = v3.NodeSelector(key="first", operator="exists")
    return {
        "pool": [v3.NodePriority(node_selector=chosen, priority=2), v3.NodePriority(node_selector=marked, priority=0)]
    }


ADDONS = (
    Case(
        "list_addons",
        "everything",
        {"cluster_id": CLUSTER},
        lambda v3: v3.ListAutopilotAddonInstancesRequest(cluster_id=CLUSTER),
    ),
    Case(
        "install_addon",
        "minimal",
        {"cluster_id": CLUSTER, "template_name": "metrics-server"},
        lambda v3: v3.CreateAutopilotAddonInstanceRequest(
            body=addon_request(v3, "install", cluster_id=CLUSTER, addon_template_name="metrics-server", values={})
        ),
    ),
    Case(
        "install_addon",
        "everything",
        {"cluster_id": CLUSTER, "template_name": "metrics-server", "version": "1.3.90", "values": VALUES},
        lambda v3: v3.CreateAutopilotAddonInstanceRequest(
            body=addon_request(
                v3,
                "install",
                cluster_id=CLUSTER,
                addon_template_name="metrics-server",
                version="1.3.90",
                values=VALUES,
            )
        ),
    ),
    Case("list_addon_templates", "minimal", {}, lambda v3: v3.ListAutopilotAddonTemplatesRequest()),
    Case(
        "list_addon_templates",
        "a name made to hurt",
        {"template_name": RESERVED},
        lambda v3: v3.ListAutopilotAddonTemplatesRequest(addon_template_name=RESERVED),
    ),
    Case(
        "get_addon",
        "everything",
        {"cluster_id": CLUSTER, "addon_id": OTHER},
        lambda v3: v3.ShowAutopilotAddonInstanceRequest(id=OTHER, cluster_id=CLUSTER),
    ),
    Case(
        "update_addon",
        "only a version",
        {"cluster_id": CLUSTER, "addon_id": OTHER, "target_version": "1.3.90"},
        lambda v3: v3.UpdateAutopilotAddonInstanceRequest(
            id=OTHER,
            body=addon_request(
                v3,
                "upgrade",
                cluster_id=CLUSTER,
                addon_template_name="metrics-server",
                version="1.3.90",
                values={"basic": {"url": "swr", "arch": "amd64"}, "flavor": {"replicas": 1, "name": "tiny"}},
            ),
        ),
        answers=ADDON,
    ),
    Case(
        "update_addon",
        "everything",
        {
            "cluster_id": CLUSTER,
            "addon_id": OTHER,
            "target_version": "1.3.90",
            "values": {"flavor": {"replicas": 3, "name": None}, "custom": {"on": False}},
        },
        lambda v3: v3.UpdateAutopilotAddonInstanceRequest(
            id=OTHER,
            body=addon_request(
                v3,
                "upgrade",
                cluster_id=CLUSTER,
                addon_template_name="metrics-server",
                version="1.3.90",
                values={
                    "basic": {"url": "swr", "arch": "amd64"},
                    "flavor": {"replicas": 3},
                    "custom": {"on": False},
                },
            ),
        ),
        answers=ADDON,
    ),
    Case(
        "update_addon",
        "all settings replaced",
        {"cluster_id": CLUSTER, "addon_id": OTHER, "values": {"custom": {"on": False}}, "reset_values": True},
        lambda v3: v3.UpdateAutopilotAddonInstanceRequest(
            id=OTHER,
            body=addon_request(
                v3,
                "upgrade",
                cluster_id=CLUSTER,
                addon_template_name="metrics-server",
                version=ADDON["get_addon"]["spec"]["version"],
                values={"custom": {"on": False}},
            ),
        ),
        answers=ADDON,
    ),
    Case(
        "delete_addon",
        "everything",
        {"cluster_id": CLUSTER, "addon_id": OTHER},
        lambda v3: v3.DeleteAutopilotAddonInstanceRequest(id=OTHER, cluster_id=CLUSTER),
    ),
    Case(
        "rollback_addon",
        "everything",
        {"cluster_id": CLUSTER, "addon_id": OTHER},
        lambda v3: v3.RollbackAutopilotAddonInstanceRequest(
            id=OTHER, body=v3.AddonInstanceRollbackRequest(cluster_id=CLUSTER)
        ),
    ),
)


def _window(v3: Any) -> Any:
    return v3.MaintenanceWindow(
        weekly_period="Friday,Saturday", start_time="02:00", duration_hours=4, upgrade_scope="patch"
    )


UPGRADES = (
    Case(
        "upgrade_cluster",
        "minimal",
        {"cluster_id": CLUSTER, "target_version": "v1.31"},
        _upgrade,
    ),
    Case(
        "upgrade_cluster",
        "everything",
        {
            "cluster_id": CLUSTER,
            "target_version": "v1.31",
            "addons": [
                {"name": "coredns", "version": "1.30.6", "values": VALUES},
                {"name": "metrics-server", "version": "1.3.90"},
            ],
            "batch_size": 5,
            "batch_scope": "NodePool",
            "pool_order": {"default": 1, "gpu pool": 0},
            "node_order": {
                "pool": [
                    {
                        "nodeSelector": {"key": "kubernetes.io/hostname", "operator": "in", "value": ["n1", "n2"]},
                        "priority": 2,
                    },
                    {"nodeSelector": {"key": "first", "operator": "exists"}, "priority": 0},
                ]
            },
        },
        lambda v3: _upgrade(
            v3,
            step=5,
            scope="NodePool",
            addons=[
                v3.UpgradeAddonConfig(
                    addon_template_name="coredns", operation="patch", version="1.30.6", values=VALUES
                ),
                v3.UpgradeAddonConfig(addon_template_name="metrics-server", operation="patch", version="1.3.90"),
            ],
            node_pool_order={"default": 1, "gpu pool": 0},
            node_order=_node_order(v3),
        ),
    ),
    plain("get_upgrade_task", "ShowAutopilotUpgradeClusterTask", cluster_id=CLUSTER, task_id=OTHER),
    plain("retry_upgrade", "RetryAutopilotUpgradeClusterTask", cluster_id=CLUSTER),
    plain("list_upgrade_tasks", "ListAutopilotUpgradeClusterTasks", cluster_id=CLUSTER),
    Case(
        "run_precheck",
        "minimal",
        {"cluster_id": CLUSTER, "target_version": "v1.31"},
        _precheck,
        answers=UPGRADE_INFO,
    ),
    Case(
        "run_precheck",
        "everything",
        {
            "cluster_id": CLUSTER,
            "target_version": "v1.31",
            "skip_items": [{"name": "CceNodeCheck", "node_ids": [OTHER, "n2"]}, {"name": "DeprecatedApi"}],
        },
        lambda v3: _precheck(
            v3,
            skipped_check_item_list=[
                _skipped(v3, "CceNodeCheck", [OTHER, "n2"]),
                _skipped(v3, "DeprecatedApi"),
            ],
        ),
        answers=UPGRADE_INFO,
    ),
    Case(
        "run_precheck",
        "nothing to skip",
        {"cluster_id": CLUSTER, "target_version": "v1.31", "skip_items": []},
        lambda v3: _precheck(v3, skipped_check_item_list=[]),
        answers=UPGRADE_INFO,
    ),
    plain("get_precheck", "ShowAutopilotPreCheck", cluster_id=CLUSTER, task_id=OTHER),
    plain("list_prechecks", "ListAutopilotPreCheckTasks", cluster_id=CLUSTER),
    Case("run_postcheck", "minimal", {"cluster_id": CLUSTER}, _postcheck, answers=UPGRADE_INFO),
    Case(
        "run_postcheck",
        "everything",
        {"cluster_id": CLUSTER, "from_version": "v1.27.3-r10"},
        lambda v3: _postcheck(v3, cluster_version="v1.27.3-r10"),
        answers=UPGRADE_INFO,
    ),
    plain("backup_cluster", "CreateAutopilotClusterMasterSnapshot", cluster_id=CLUSTER),
    plain("list_backups", "ListAutopilotClusterMasterSnapshotTasks", cluster_id=CLUSTER),
    plain("get_upgrade_info", "ShowAutopilotClusterUpgradeInfo", cluster_id=CLUSTER),
    plain("list_upgrade_paths", "ListAutopilotClusterUpgradePaths"),
    plain("get_upgrade_feature_gates", "ListAutopilotClusterUpgradeFeatureGates"),
    Case(
        "create_upgrade_workflow",
        "everything",
        {"cluster_id": CLUSTER, "target_version": "v1.31"},
        lambda v3: v3.CreateAutopilotUpgradeWorkFlowRequest(
            cluster_id=CLUSTER,
            body=v3.CreateUpgradeWorkFlowRequestBody(
                kind="WorkFlowTask",
                api_version="v3",
                spec=v3.WorkFlowSpec(cluster_id=CLUSTER, cluster_version="v1.28.6-r0", target_version="v1.31"),
            ),
        ),
        answers=UPGRADE_INFO,
    ),
    plain("list_upgrade_workflows", "ListAutopilotUpgradeWorkFlows", cluster_id=CLUSTER),
    plain("get_upgrade_workflow", "ShowAutopilotUpgradeWorkFlow", cluster_id=CLUSTER, upgrade_workflow_id=OTHER),
    Case(
        "cancel_upgrade_workflow",
        "everything",
        {"cluster_id": CLUSTER, "upgrade_workflow_id": OTHER},
        lambda v3: v3.UpgradeAutopilotWorkFlowUpdateRequest(
            cluster_id=CLUSTER,
            upgrade_workflow_id=OTHER,
            body=v3.UpgradeWorkFlowUpdateRequestBody(
                status=v3.UpgradeWorkFlowUpdateRequestBodyStatus(phase=v3.WorkFlowPhase.CANCEL)
            ),
        ),
    ),
    plain("get_maintenance_window", "ShowAutopilotMaintenanceWindow", cluster_id=CLUSTER),
    plain("delete_maintenance_window", "DeleteAutopilotMaintenanceWindow", cluster_id=CLUSTER),
    Case(
        "create_maintenance_window",
        "minimal",
        {"cluster_id": CLUSTER, "weekdays": ["Friday"], "start_time": "02:00", "duration_hours": 4},
        lambda v3: v3.CreateAutopilotMaintenanceWindowRequest(
            cluster_id=CLUSTER,
            body=v3.MaintenanceWindow(weekly_period="Friday", start_time="02:00", duration_hours=4),
        ),
    ),
    Case(
        "create_maintenance_window",
        "everything",
        {
            "cluster_id": CLUSTER,
            "weekdays": ["Friday", "Saturday"],
            "start_time": "02:00",
            "duration_hours": 4,
            "upgrade_scope": "patch",
        },
        lambda v3: v3.CreateAutopilotMaintenanceWindowRequest(cluster_id=CLUSTER, body=_window(v3)),
    ),
    Case(
        "update_maintenance_window",
        "minimal, the rest as it stands",
        {"cluster_id": CLUSTER, "upgrade_scope": "patch"},
        lambda v3: v3.UpdateAutopilotMaintenanceWindowRequest(cluster_id=CLUSTER, body=_window(v3)),
        answers={
            "get_maintenance_window": {"weekly_period": "Friday,Saturday", "start_time": "02:00", "duration_hours": 4}
        },
    ),
    Case(
        "update_maintenance_window",
        "everything",
        {
            "cluster_id": CLUSTER,
            "weekdays": ["Friday", "Saturday"],
            "start_time": "02:00",
            "duration_hours": 4,
            "upgrade_scope": "patch",
        },
        lambda v3: v3.UpdateAutopilotMaintenanceWindowRequest(cluster_id=CLUSTER, body=_window(v3)),
    ),
    plain("list_upgrade_plans", "ListAutopilotUpgradePlans", cluster_id=CLUSTER),
    Case(
        "update_upgrade_plan",
        "everything",
        {"cluster_id": CLUSTER, "upgrade_plan_id": OTHER, "not_before": "2026-07-11T02:00:00Z"},
        lambda v3: v3.UpdateAutopilotUpgradePlanRequest(
            cluster_id=CLUSTER,
            upgrade_plan_id=OTHER,
            body=v3.DelayUpgradePlanRequestBody(not_before="2026-07-11T02:00:00Z"),
        ),
    ),
)
