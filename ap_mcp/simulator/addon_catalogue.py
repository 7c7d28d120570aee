"""What can be installed in the simulated region: add-ons, their versions, parts and settings, as plain facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Release:
    """One version of an add-on: minor Kubernetes versions it runs on (`27|28`), the day it came out, what is new."""

    version: str
    minors: str
    day: str
    news: str
    stable: bool = True


@dataclass(frozen=True, slots=True)
class Component:
    """A workload of an add-on, with what it needs in its smallest size."""

    name: str
    milli_cpu: int
    mebibytes: int


@dataclass(frozen=True, slots=True)
class Need:
    """A setting that must not be empty once a switch is on, or the installation fails."""

    switch: str
    setting: str


@dataclass(frozen=True, slots=True)
class Product:
    """An add-on as the catalogue describes it."""

    name: str
    label: str
    about: str
    about_zh: str
    releases: tuple[Release, ...]
    components: tuple[Component, ...]
    custom: Mapping[str, Any] = field(default_factory=dict)
    basic: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    alias: str = ""
    required: bool = False
    sizes: tuple[str, ...] = ("Small", "Medium", "Large")


NETWORK = "ContainerNetwork"
OBSERVABILITY = "CloudNativeObservability"
ELASTICITY = "SchedulingAndElasticity"
SECURITY = "CloudNativeSecurity"
APPLICATIONS = "ApplicationManagement"

SPREAD = {"multiAZBalance": False, "multiAZEnabled": False, "node_match_expressions": []}
TOLERATIONS = [
    {"effect": "NoExecute", "key": f"node.kubernetes.io/{state}", "operator": "Exists", "tolerationSeconds": 60}
    for state in ("not-ready", "unreachable")
]
PLACEMENT = {
    "nodeAffinity_key": "",
    "nodeAffinity_values": "",
    "tolerations_effect": "NoSchedule",
    "tolerations_key": "",
    "tolerations_operator": "Exists",
}
SERVER_BLOCK = {
    "plugins": [
        {"name": "bind", "parameters": "{$POD_IP}"},
        {"name": "cache", "parameters": 30, "configBlock": "servfail 5s"},
        {"name": "errors"},
        {"name": "health", "parameters": "{$POD_IP}:8080"},
        {"name": "ready", "parameters": "{$POD_IP}:8081"},
        {
            "name": "kubernetes",
            "parameters": "cluster.local in-addr.arpa ip6.arpa",
            "configBlock": "pods insecure\nfallthrough in-addr.arpa ip6.arpa",
        },
        {"name": "loadbalance", "parameters": "round_robin"},
        {"name": "prometheus", "parameters": "{$POD_IP}:9153"},
        {"name": "forward", "parameters": ". /etc/resolv.conf", "configBlock": "policy random"},
        {"name": "reload"},
    ],
    "port": 5353,
    "zones": [{"zone": "."}],
}

PRODUCTS: tuple[Product, ...] = (
    Product(
        name="coredns",
        label=NETWORK,
        about="Resolves the names of Services and of the outside world for every pod of the cluster.",
        about_zh="为集群中的容器提供域名解析服务",
        required=True,
        releases=(
            Release("1.28.4", "27|28|29", "2024-01-22", "First version for Autopilot clusters"),
            Release("1.28.6", "27|28|29|30", "2024-02-19", "Answers health checks while it reloads its configuration"),
            Release("1.29.4", "27|28|29|30|31", "2024-06-03", "Runs on v1.29, v1.30 and v1.31"),
            Release("1.30.6", "28|29|30|31|32", "2024-09-11", "Runs on v1.32 and uses less memory for its cache"),
            Release("1.30.29", "28|29|30|31|32", "2025-03-04", "Fixes security holes of the base image"),
        ),
        components=(Component("coredns", 1000, 2048),),
        basic={"cluster_ip": "10.247.3.10", "image_version": "{version}"},
        custom={
            **SPREAD,
            "parameterSyncStrategy": "ensureConsistent",
            "servers": [SERVER_BLOCK],
            "stub_domains": {},
            "tolerations": TOLERATIONS,
            "upstream_nameservers": [],
        },
        sizes=("2500", "5000", "10000", "20000"),
    ),
    Product(
        name="metrics-server",
        label=OBSERVABILITY,
        about="Collects the CPU and memory use of pods for kubectl top and for autoscaling.",
        about_zh="采集集群核心资源的使用量",
        required=True,
        releases=(
            Release("1.3.37", "27|28", "2024-01-22", "First version for Autopilot clusters"),
            Release("1.3.60", "27|28|29|30", "2024-06-12", "Runs on v1.29 and v1.30"),
            Release("1.3.90", "27|28|29|30|31|32", "2024-11-20", "Runs on v1.31 and v1.32"),
        ),
        components=(Component("metrics-server", 1000, 2048),),
        basic={"image_version": "v0.7.1"},
        custom={**SPREAD, "tolerations": TOLERATIONS, "metric_resolution": "15s"},
    ),
    Product(
        name="cie-collector",
        alias="kube-prometheus-stack",
        label=OBSERVABILITY,
        about="Watches the cluster with Prometheus and sends what it measures to a managed instance.",
        about_zh="使用 Prometheus 监控集群并上报指标",
        releases=(
            Release("3.9.3", "27|28", "2024-01-26", "First version for Autopilot clusters"),
            Release("3.10.1", "27|28|29|30", "2024-06-18", "Keeps samples on disk while the network is away"),
            Release("3.11.0", "27|28|29|30|31", "2024-10-09", "Scrapes targets in shards"),
            Release("3.12.1", "28|29|30|31|32", "2025-02-17", "Runs on v1.32"),
        ),
        components=(
            Component("prometheusOperator", 1000, 1024),
            Component("prometheus", 1800, 2900),
            Component("kubeStateMetrics", 1000, 1024),
            Component("adapter", 1000, 1024),
        ),
        basic={"aom_url": "100.79.29.98:8149", "region_id": "{region}"},
        custom={
            "aom_auth_type": "Bearer",
            "aom_app_key": "",
            "aom_app_secret": "",
            "aom_enable": False,
            "aom_instance_id": "",
            "aom_remote_write_url": "",
            "appConfig": dict.fromkeys(
                ("adapter", "kubeStateMetrics", "prometheusOperator", "prometheusServer"), PLACEMENT
            ),
            "bearer_token": "",
            "cluster_category": "Autopilot",
            "deploy_mode": "agent",
            "enable_grafana": False,
            "highAvailability": False,
            "retention": "1d",
            "scrapeInterval": "15s",
            "shards": 1,
            "storage_class": "csi-disk",
            "storage_size": "10Gi",
            "storage_type": "SAS",
        },
        needs=(Need("aom_enable", "aom_instance_id"),),
    ),
    Product(
        name="log-agent",
        label=OBSERVABILITY,
        about="Collects logs of containers and Kubernetes events and hands them to Log Tank Service.",
        about_zh="采集容器日志与 Kubernetes 事件",
        releases=(
            Release("1.5.2", "27|28|29", "2024-03-11", "First version for Autopilot clusters"),
            Release("1.6.0", "27|28|29|30|31", "2024-08-19", "Collects files inside containers"),
            Release("1.7.1", "28|29|30|31|32", "2025-01-21", "Splits long lines instead of dropping them"),
        ),
        components=(Component("fluent-bit", 500, 512), Component("otel-collector", 1000, 1024)),
        custom={**SPREAD, "ltsAccessKey": "", "ltsEventEnable": True, "ltsGroupID": "", "ltsStdoutEnable": True},
    ),
    Product(
        name="nginx-ingress",
        label=NETWORK,
        about="Routes HTTP and HTTPS from one load balancer to Services by host and path.",
        about_zh="基于域名与路径转发七层流量",
        releases=(
            Release("2.1.5", "25|27|28", "2023-08-14", "Carries controller 1.2.1"),
            Release(
                "2.6.0", "27|28|29|30|31", "2024-04-22", "Carries controller 1.9.6 and leaves old Ingress versions"
            ),
            Release("2.6.32", "27|28|29|30|31", "2024-09-30", "Checks annotations before it applies them"),
            Release("3.0.8", "28|29|30|31|32", "2025-01-15", "Carries controller 1.11.2"),
            Release("4.0.3", "30|31|32", "2025-04-28", "Carries controller 1.12.1; for trial only", stable=False),
        ),
        components=(Component("controller", 2000, 2048), Component("defaultBackend", 100, 128)),
        custom={
            **SPREAD,
            "admissionWebhooks": {"enabled": True},
            "config": {"keep-alive-requests": "100", "worker-processes": "8", "server-tokens": "false"},
            "defaultBackend": {"enabled": True},
            "extraArgs": {},
            "ingressClass": "nginx",
            "publicAccess": False,
            "service": {"annotations": {"kubernetes.io/elb.class": "performance"}, "type": "LoadBalancer"},
            "eipID": "",
        },
        needs=(Need("publicAccess", "eipID"),),
    ),
    Product(
        name="cce-hpa-controller",
        label=ELASTICITY,
        about="Scales workloads by several metrics, at set times, and in steps of your choice.",
        about_zh="按指标或周期弹性伸缩工作负载",
        releases=(
            Release("1.4.3", "27|28|29", "2024-02-27", "First version for Autopilot clusters"),
            Release("1.4.30", "27|28|29|30|31", "2024-08-06", "Scales to zero when a schedule says so"),
            Release("1.5.2", "28|29|30|31|32", "2025-02-11", "Runs on v1.32"),
        ),
        components=(Component("customedhpa-controller", 500, 1024),),
        custom={**SPREAD, "tolerations": TOLERATIONS, "concurrency": 10},
    ),
    Product(
        name="vertical-pod-autoscaler",
        label=ELASTICITY,
        about="Recommends and sets the requests of containers by what they really use.",
        about_zh="根据实际用量调整容器资源请求",
        releases=(
            Release("1.0.1", "27|28|29|30", "2024-05-20", "First version for Autopilot clusters"),
            Release("1.0.12", "28|29|30|31|32", "2024-12-02", "Runs on v1.31 and v1.32"),
        ),
        components=(
            Component("recommender", 500, 512),
            Component("updater", 200, 256),
            Component("admission", 200, 256),
        ),
        custom={**SPREAD, "recommendationMarginFraction": "0.15", "podMinCPUMillicores": 25},
    ),
    Product(
        name="gatekeeper",
        label=SECURITY,
        about="Refuses objects that break the policies you write for Open Policy Agent.",
        about_zh="按策略校验集群资源",
        releases=(
            Release("1.0.3", "27|28|29", "2024-03-25", "First version for Autopilot clusters"),
            Release("1.0.10", "27|28|29|30|31|32", "2024-10-28", "Audits in the background"),
        ),
        components=(Component("controller-manager", 1000, 512), Component("audit", 1000, 512)),
        custom={
            **SPREAD,
            "auditInterval": 60,
            "constraintViolationsLimit": 20,
            "validatingWebhookFailurePolicy": "Ignore",
        },
    ),
    Product(
        name="dew-provider",
        label=SECURITY,
        about="Mounts secrets kept in Data Encryption Workshop into pods as files.",
        about_zh="将云凭据挂载到容器",
        releases=(
            Release("1.1.3", "27|28|29", "2024-04-15", "First version for Autopilot clusters"),
            Release("1.1.33", "28|29|30|31|32", "2024-12-16", "Takes up changes of a secret without a restart"),
        ),
        components=(Component("dew-provider", 100, 100), Component("csi-secrets-store", 100, 100)),
        custom={"agency_name": "", "get_version_burst": "5", "get_version_qps": "5", "rotation_enable": False},
        needs=(Need("rotation_enable", "agency_name"),),
    ),
    Product(
        name="cert-manager",
        label=SECURITY,
        about="Obtains TLS certificates, renews them in time, and stores them as Secrets.",
        about_zh="自动签发与续期证书",
        releases=(
            Release("1.0.4", "27|28|29|30", "2024-06-24", "Carries cert-manager 1.13"),
            Release("1.0.16", "28|29|30|31|32", "2025-01-27", "Carries cert-manager 1.16"),
        ),
        components=(
            Component("controller", 200, 256),
            Component("cainjector", 200, 256),
            Component("webhook", 100, 128),
        ),
        custom={**SPREAD, "clusterResourceNamespace": "kube-system", "featureGates": "", "installCRDs": True},
    ),
    Product(
        name="openkruise",
        label=APPLICATIONS,
        about="Adds workloads that update containers in place, and sidecars managed apart from their pods.",
        about_zh="增强的工作负载管理",
        releases=(
            Release("1.0.3", "27|28|29", "2024-02-05", "First version for Autopilot clusters"),
            Release("1.0.11", "28|29|30|31|32", "2024-11-04", "Carries OpenKruise 1.7"),
        ),
        components=(Component("kruise-manager", 200, 512),),
        custom={**SPREAD, "featureGates": "", "enableKruiseDaemon": False},
    ),
    Product(
        name="grafana",
        label=OBSERVABILITY,
        about="Draws dashboards from the metrics that the monitoring add-on collects.",
        about_zh="监控数据可视化面板",
        releases=(
            Release("1.3.0", "27|28|29|30", "2024-05-06", "First version for Autopilot clusters"),
            Release("1.3.4", "28|29|30|31|32", "2025-01-06", "Fixes security holes of the base image"),
        ),
        components=(Component("grafana", 500, 1024),),
        custom={
            "admin_password": "",
            "publicAccess": False,
            "eipID": "",
            "storage_class": "csi-disk",
            "storage_size": "5Gi",
        },
        needs=(Need("publicAccess", "eipID"),),
    ),
    Product(
        name="dolphin",
        label=OBSERVABILITY,
        about="Measures the network traffic of pods: bytes, packets, retransmissions, latency.",
        about_zh="容器网络流量监控",
        releases=(
            Release("1.3.8", "27|28|29", "2024-04-08", "First version for Autopilot clusters"),
            Release("1.4.3", "28|29|30|31|32", "2024-12-23", "Counts traffic between availability zones"),
        ),
        components=(Component("dolphin", 200, 256),),
        custom={"enableFlowLog": False, "metricsPort": 10001},
    ),
)

WORDS: Mapping[str, tuple[str, str]] = {
    "multiAZBalance": ("Even spread over zones", "多可用区均匀部署"),
    "multiAZEnabled": ("Several availability zones", "多可用区部署"),
    "node_match_expressions": ("Node affinity", "节点亲和"),
    "parameterSyncStrategy": ("How settings follow the template", "参数同步策略"),
    "servers": ("Server blocks", "服务块"),
    "stub_domains": ("Domains with a name server of their own", "存根域"),
    "tolerations": ("Tolerations", "容忍策略"),
    "upstream_nameservers": ("Name servers for outside names", "上游域名服务器"),
    "aom_enable": ("Report to a Prometheus instance of AOM", "上报至监控实例"),
    "aom_instance_id": ("Prometheus instance of AOM", "监控实例"),
    "deploy_mode": ("Keep data here (server) or only send it on (agent)", "部署模式"),
    "highAvailability": ("Two replicas of each part", "高可用"),
    "retention": ("How long data is kept", "数据保留期"),
    "shards": ("Shards that share the targets", "分片数"),
    "storage_class": ("Storage class of the volume", "存储类"),
    "storage_size": ("Size of the volume", "存储容量"),
    "ltsEventEnable": ("Report Kubernetes events", "上报事件"),
    "ltsStdoutEnable": ("Collect standard output", "采集标准输出"),
    "ltsGroupID": ("Log group", "日志组"),
    "ingressClass": ("Name of the ingress class", "控制器名称"),
    "publicAccess": ("Reachable from the internet", "公网访问"),
    "eipID": ("Elastic IP for public access", "弹性公网"),
    "service": ("Service in front of the controller", "服务"),
    "agency_name": ("Agency that may read the secrets", "委托名称"),
    "rotation_enable": ("Take up new secret versions", "定时轮转"),
    "auditInterval": ("Seconds between audits", "审计周期"),
    "admin_password": ("Password of the administrator", "管理员密码"),
}
"""What the console calls a setting, in English and Chinese."""
