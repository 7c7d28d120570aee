"""The inputs of the oracle test: for every operation our arguments, and the SDK's request that means the same."""

from typing import Any

from sdk_cases_upgrades import ADDONS, UPGRADES
from sdk_oracle import CLUSTER, OTHER, RESERVED, VALUES, Case, form_file, packed, plain

VPC, SUBNET = "2f1d6a0c-9b3e-4f57-8c41-6d0a9e7b5c10", "a041c2d8-75c6-4093-8b8b-46d293e76087"
ENI, ENI2 = "4c8b7e92-1f60-4a3d-9b25-e07c3d81fa21", "c5d0f1a3-7e24-4b96-8d13-92ab60e47f58"
CHART = {"id": OTHER, "name": "shop", "version": "1.0.0"}
READ_OF_RELEASES: dict[str, Any] = {
    "get_release": {"chart_name": "shop", "chart_version": "1.0.0", "values": '{"imageTag": "v1"}'},
    "get_chart": CHART,
    "list_charts": [CHART],
}
ARCHIVE = b"\x1f\x8b\x08\x00chart\r\n--bytes\x00\xff"


def new_cluster(v3: Any, *, metadata: dict[str, Any], spec: dict[str, Any], subnets: tuple[str, ...]) -> Any:
    """Return a cluster with the constants that every Autopilot cluster has; the SDK leaves them to its caller."""
    return v3.CreateAutopilotClusterRequest(
        body=v3.AutopilotCluster(
            kind="Cluster",
            api_version="v3",
            metadata=v3.AutopilotClusterMetadata(**metadata),
            spec=v3.AutopilotClusterSpec(
                category="Turbo",
                type="VirtualMachine",
                flavor="cce.autopilot.cluster",
                billing_mode=0,
                host_network=v3.AutopilotHostNetwork(vpc=VPC, subnet=SUBNET),
                container_network=v3.AutopilotContainerNetwork(mode="eni"),
                eni_network=v3.AutopilotEniNetwork(
                    subnets=[v3.AutopilotNetworkSubnet(subnet_id=subnet) for subnet in subnets]
                ),
                **spec,
            ),
        )
    )


CLUSTERS = (
    Case("list_clusters", "minimal", {}, lambda v3: v3.ListAutopilotClustersRequest()),
    Case(
        "list_clusters",
        "everything",
        {"status": "Available", "version": "v1.31", "with_addons": True},
        lambda v3: v3.ListAutopilotClustersRequest(status="Available", version="v1.31", detail="true"),
    ),
    Case(
        "create_cluster",
        "minimal",
        {"name": "shop-prod", "vpc_id": VPC, "subnet_id": SUBNET, "eni_subnet_ids": [ENI]},
        lambda v3: new_cluster(v3, metadata={"name": "shop-prod"}, spec={}, subnets=(ENI,)),
    ),
    Case(
        "create_cluster",
        "everything",
        {
            "name": "shop-prod",
            "vpc_id": VPC,
            "subnet_id": SUBNET,
            "eni_subnet_ids": [ENI, ENI2],
            "version": "v1.31",
            "service_cidr": "10.96.0.0/12",
            "alias": "shop-alias",
            "description": "The shop, in production",
            "tags": {"env": "prod", "owner": ""},
            "enable_snat": False,
            "enable_swr_access": True,
            "enterprise_project_id": "0",
            "addons": [{"name": "coredns", "version": "1.30.6", "values": VALUES}, {"name": "metrics-server"}],
        },
        lambda v3: new_cluster(
            v3,
            metadata={
                "name": "shop-prod",
                "alias": "shop-alias",
                "annotations": {
                    "cluster.install.addons/install": packed(
                        [
                            {"addonTemplateName": "coredns", "version": "1.30.6", "values": VALUES},
                            {"addonTemplateName": "metrics-server"},
                        ]
                    )
                },
            },
            spec={
                "version": "v1.31",
                "service_network": v3.AutopilotServiceNetwork(i_pv4_cidr="10.96.0.0/12"),
                "description": "The shop, in production",
                "cluster_tags": [
                    v3.AutopilotResourceTag(key="env", value="prod"),
                    v3.AutopilotResourceTag(key="owner", value=""),
                ],
                "enable_snat": False,
                "enable_swr_image_access": True,
                "extend_param": v3.AutopilotClusterExtendParam(enterprise_project_id="0"),
            },
            subnets=(ENI, ENI2),
        ),
    ),
    Case(
        "get_cluster", "minimal", {"cluster_id": CLUSTER}, lambda v3: v3.ShowAutopilotClusterRequest(cluster_id=CLUSTER)
    ),
    Case(
        "get_cluster",
        "everything",
        {"cluster_id": CLUSTER, "with_addons": False},
        lambda v3: v3.ShowAutopilotClusterRequest(cluster_id=CLUSTER, detail="false"),
    ),
    Case(
        "update_cluster",
        "only an alias",
        {"cluster_id": CLUSTER, "alias": "shop-alias"},
        lambda v3: v3.UpdateAutopilotClusterRequest(
            cluster_id=CLUSTER,
            body=v3.AutopilotClusterInformation(
                spec=v3.AutopilotClusterInformationSpec(),
                metadata=v3.AutopilotClusterMetadataForUpdate(alias="shop-alias"),
            ),
        ),
    ),
    Case(
        "update_cluster",
        "everything",
        {"cluster_id": CLUSTER, "alias": "shop-alias", "description": "", "eni_subnet_ids": [ENI, ENI2]},
        lambda v3: v3.UpdateAutopilotClusterRequest(
            cluster_id=CLUSTER,
            body=v3.AutopilotClusterInformation(
                spec=v3.AutopilotClusterInformationSpec(
                    description="",
                    eni_network=v3.AutopilotEniNetworkUpdate(
                        subnets=[v3.AutopilotNetworkSubnet(subnet_id=ENI), v3.AutopilotNetworkSubnet(subnet_id=ENI2)]
                    ),
                ),
                metadata=v3.AutopilotClusterMetadataForUpdate(alias="shop-alias"),
            ),
        ),
    ),
    Case(
        "delete_cluster",
        "minimal",
        {"cluster_id": CLUSTER},
        lambda v3: v3.DeleteAutopilotClusterRequest(cluster_id=CLUSTER),
    ),
    Case(
        "delete_cluster",
        "everything",
        {
            "cluster_id": CLUSTER,
            "delete_efs": "block",
            "delete_eni": "try",
            "delete_net": "skip",
            "delete_obs": "try",
            "delete_sfs30": "block",
            "lts_reclaim_policy": "Delete_Log_Group",
        },
        lambda v3: v3.DeleteAutopilotClusterRequest(
            cluster_id=CLUSTER,
            delete_efs="block",
            delete_eni="try",
            delete_net="skip",
            delete_obs="try",
            delete_sfs30="block",
            lts_reclaim_policy="Delete_Log_Group",
        ),
    ),
    Case(
        "get_cluster_certificate",
        "everything",
        {"cluster_id": CLUSTER, "duration_days": 7},
        lambda v3: v3.CreateAutopilotKubernetesClusterCertRequest(cluster_id=CLUSTER, body=v3.CertDuration(duration=7)),
    ),
    Case("get_job", "everything", {"job_id": OTHER}, lambda v3: v3.ShowAutopilotJobRequest(job_id=OTHER)),
    Case(
        "get_job",
        "an id to be encoded",
        {"job_id": RESERVED},
        lambda v3: v3.ShowAutopilotJobRequest(job_id=RESERVED),
    ),
    Case(
        "set_cluster_public_access",
        "unbind",
        {"cluster_id": CLUSTER, "action": "unbind"},
        lambda v3: v3.UpdateAutopilotClusterEipRequest(
            cluster_id=CLUSTER, body=v3.MasterEIPRequest(spec=v3.MasterEIPRequestSpec(action="unbind"))
        ),
    ),
    Case(
        "set_cluster_public_access",
        "bind",
        {"cluster_id": CLUSTER, "action": "bind", "eip_id": OTHER},
        lambda v3: v3.UpdateAutopilotClusterEipRequest(
            cluster_id=CLUSTER,
            body=v3.MasterEIPRequest(
                spec=v3.MasterEIPRequestSpec(action="bind", spec=v3.MasterEIPRequestSpecSpec(id=OTHER))
            ),
        ),
    ),
    Case(
        "get_cluster_endpoints",
        "everything",
        {"cluster_id": CLUSTER},
        lambda v3: v3.ShowAutopilotClusterEndpointsRequest(cluster_id=CLUSTER),
    ),
    plain("list_jobs", "ListAutopilotJobs"),
    plain("get_job_record", "GetAutopilotOneJob", job_id=RESERVED),
    plain("delete_job_record", "DeleteAutopilotJob", job_id=OTHER),
    Case(
        "get_log_config",
        "minimal",
        {"cluster_id": CLUSTER},
        lambda v3: v3.ShowAutopilotClusterConfigRequest(cluster_id=CLUSTER),
    ),
    Case(
        "get_log_config",
        "everything",
        {"cluster_id": CLUSTER, "log_type": "system-addon"},
        lambda v3: v3.ShowAutopilotClusterConfigRequest(cluster_id=CLUSTER, type="system-addon"),
    ),
    plain("get_feature_gates", "ShowAutopilotFeatureGates"),
)

TAGS_AND_QUOTAS = (
    plain("get_quotas", "ShowAutopilotQuotas"),
    Case(
        "add_cluster_tags",
        "everything",
        {"cluster_id": CLUSTER, "tags": {"env": "prod", "cost centre": "", "région": "a_b.c:/=+-@"}},
        lambda v3: v3.BatchCreateAutopilotClusterTagsRequest(
            cluster_id=CLUSTER,
            body=v3.BatchCreateClusterTagsRequestBody(
                tags=[
                    v3.ResourceTag(key="env", value="prod"),
                    v3.ResourceTag(key="cost centre", value=""),
                    v3.ResourceTag(key="région", value="a_b.c:/=+-@"),
                ]
            ),
        ),
    ),
    Case(
        "delete_cluster_tags",
        "everything",
        {"cluster_id": CLUSTER, "keys": ["env", "owner"]},
        lambda v3: v3.BatchDeleteAutopilotClusterTagsRequest(
            cluster_id=CLUSTER,
            body=v3.BatchDeleteClusterTagsRequestBody(
                tags=[v3.ResourceDeleteTag(key="env"), v3.ResourceDeleteTag(key="owner")]
            ),
        ),
    ),
)


def _chart(v3: Any, name: str, **parameters: bool) -> dict[str, Any]:
    """Return the multipart fields of a chart; its options go as JSON text, with the constant `source`."""
    text = packed({**parameters, "source": "package"}) if parameters else None
    return {"parameters": text, "content": form_file(name, ARCHIVE)}


CHARTS = (
    plain("list_charts", "ListAutopilotCharts"),
    Case(
        "upload_chart",
        "minimal",
        {"chart_path": "charts/nginx-1.0.0.tgz"},
        lambda v3: v3.UploadAutopilotChartRequest(
            body=v3.UploadAutopilotChartRequestBody(**_chart(v3, "nginx-1.0.0.tgz"))
        ),
        file=("nginx-1.0.0.tgz", ARCHIVE),
    ),
    Case(
        "upload_chart",
        "everything",
        {"chart_path": "charts/nginx.tgz", "override": True, "skip_lint": False, "visible": True},
        lambda v3: v3.UploadAutopilotChartRequest(
            body=v3.UploadAutopilotChartRequestBody(
                **_chart(v3, 'a "b" é\u4e2d%22+1;\r\nc.tgz', override=True, skip_lint=False, visible=True)
            )
        ),
        file=('a "b" é\u4e2d%22+1;\r\nc.tgz', ARCHIVE),
    ),
    plain("get_chart", "ShowAutopilotChart", chart_id=OTHER),
    Case(
        "update_chart",
        "minimal",
        {"chart_id": OTHER, "chart_path": "nginx-1.0.1+build.5.tgz"},
        lambda v3: v3.UpdateAutopilotChartRequest(
            chart_id=OTHER, body=v3.UpdateAutopilotChartRequestBody(**_chart(v3, "nginx-1.0.1+build.5.tgz"))
        ),
        file=("nginx-1.0.1+build.5.tgz", ARCHIVE),
    ),
    Case(
        "update_chart",
        "everything",
        {"chart_id": OTHER, "chart_path": "nginx.tgz", "override": False, "skip_lint": True, "visible": False},
        lambda v3: v3.UpdateAutopilotChartRequest(
            chart_id=OTHER,
            body=v3.UpdateAutopilotChartRequestBody(
                **_chart(v3, "nginx.tgz", override=False, skip_lint=True, visible=False)
            ),
        ),
        file=("nginx.tgz", ARCHIVE),
    ),
    plain("delete_chart", "DeleteAutopilotChart", chart_id=OTHER),
    plain("download_chart", "DownloadAutopilotChart", chart_id=OTHER),
    plain("get_chart_values", "ShowAutopilotChartValues", chart_id=OTHER),
    plain("get_chart_quota", "ShowAutopilotUserChartsQuotas"),
    plain("list_releases", "ListAutopilotReleases", cluster_id=CLUSTER, namespace="kube system", chart_id=OTHER),
    Case(
        "list_releases",
        "minimal",
        {"cluster_id": CLUSTER},
        lambda v3: v3.ListAutopilotReleasesRequest(cluster_id=CLUSTER),
    ),
    Case(
        "create_release",
        "minimal",
        {"cluster_id": CLUSTER, "chart_id": OTHER, "name": "shop", "namespace": "default"},
        lambda v3: v3.CreateAutopilotReleaseRequest(
            cluster_id=CLUSTER,
            body=v3.CreateReleaseReqBody(
                chart_id=OTHER,
                version="1.0.0",
                name="shop",
                namespace="default",
                values=v3.CreateReleaseReqBodyValues(),
            ),
        ),
        answers=READ_OF_RELEASES,
    ),
    Case(
        "create_release",
        "everything",
        {
            "cluster_id": CLUSTER,
            "chart_id": OTHER,
            "version": "1.0.0",
            "name": "shop",
            "namespace": "default",
            "values": VALUES,
            "description": "first",
            "replace": False,
            "no_hooks": True,
            "check_only": True,
        },
        lambda v3: v3.CreateAutopilotReleaseRequest(
            cluster_id=CLUSTER,
            body=v3.CreateReleaseReqBody(
                chart_id=OTHER,
                version="1.0.0",
                name="shop",
                namespace="default",
                values=VALUES,
                description="first",
                parameters=v3.ReleaseReqBodyParams(replace=False, no_hooks=True, dry_run=True),
            ),
        ),
    ),
    Case(
        "get_release",
        "minimal",
        {"cluster_id": CLUSTER, "namespace": "default", "name": RESERVED},
        lambda v3: v3.ShowAutopilotReleaseRequest(
            cluster_id=CLUSTER, namespace="default", name=RESERVED, show_resources="true"
        ),
    ),
    Case(
        "update_release",
        "minimal",
        {"cluster_id": CLUSTER, "namespace": "default", "name": "shop", "values": {"on": True}},
        lambda v3: v3.UpdateAutopilotReleaseRequest(
            cluster_id=CLUSTER,
            namespace="default",
            name="shop",
            body=v3.UpdateReleaseReqBody(
                chart_id=OTHER,
                action="upgrade",
                parameters=v3.ReleaseReqBodyParams(),
                values={"imageTag": "v1", "on": True},
            ),
        ),
        answers=READ_OF_RELEASES,
    ),
    Case(
        "update_release",
        "upgrade that replaces all settings",
        {
            "cluster_id": CLUSTER,
            "namespace": "default",
            "name": "shop",
            "action": "upgrade",
            "values": VALUES,
            "reset_values": True,
        },
        lambda v3: v3.UpdateAutopilotReleaseRequest(
            cluster_id=CLUSTER,
            namespace="default",
            name="shop",
            body=v3.UpdateReleaseReqBody(
                chart_id=OTHER,
                action="upgrade",
                parameters=v3.ReleaseReqBodyParams(reset_values=True),
                values=VALUES,
            ),
        ),
        answers=READ_OF_RELEASES,
    ),
    Case(
        "update_release",
        "upgrade",
        {
            "cluster_id": CLUSTER,
            "namespace": "default",
            "name": "shop",
            "action": "upgrade",
            "chart_id": OTHER,
            "values": {"imagePullPolicy": "Always", "imageTag": "v2"},
        },
        lambda v3: v3.UpdateAutopilotReleaseRequest(
            cluster_id=CLUSTER,
            namespace="default",
            name="shop",
            body=v3.UpdateReleaseReqBody(
                chart_id=OTHER,
                action="upgrade",
                parameters=v3.ReleaseReqBodyParams(),
                values=v3.CreateReleaseReqBodyValues(image_pull_policy="Always", image_tag="v2"),
            ),
        ),
        answers=READ_OF_RELEASES,
    ),
    Case(
        "update_release",
        "rollback, everything",
        {
            "cluster_id": CLUSTER,
            "namespace": "default",
            "name": "shop",
            "action": "rollback",
            "chart_id": OTHER,
            "revision": 3,
            "reset_values": True,
            "recreate": False,
            "include_hooks": True,
            "check_only": False,
        },
        lambda v3: v3.UpdateAutopilotReleaseRequest(
            cluster_id=CLUSTER,
            namespace="default",
            name="shop",
            body=v3.UpdateReleaseReqBody(
                chart_id=OTHER,
                action="rollback",
                parameters=v3.ReleaseReqBodyParams(
                    release_version=3, reset_values=True, recreate=False, include_hooks=True, dry_run=False
                ),
                values={},
            ),
        ),
    ),
    plain("delete_release", "DeleteAutopilotRelease", cluster_id=CLUSTER, namespace="default", name="shop"),
    plain("get_release_history", "ShowAutopilotReleaseHistory", cluster_id=CLUSTER, namespace="default", name="shop"),
)

CASES = (*CLUSTERS, *ADDONS, *UPGRADES, *TAGS_AND_QUOTAS, *CHARTS)
